//! Detection in a small cluster.

use super::super::MembershipEvent as Event;
use super::net::Net;
use crate::base::{Incarnation, Rng, Span, Time};

fn is_suspected(event: &Event) -> bool {
    matches!(event, Event::Suspected(..))
}

fn is_expelled(event: &Event) -> bool {
    matches!(event, Event::Expelled)
}

#[test]
fn a_crashed_member_is_suspect_to_every_voter_within_300_ms_and_evicted_after_two_seconds() {
    for seed in 0..100 {
        let mut net = Net::new(seed, 10, 7);
        net.loss = 0.01;
        net.run(Span::secs(3));
        let (dead, at) = (9, net.now);
        net.crash(dead);
        net.run(Span::millis(300));
        let said = net.said(at, is_suspected);
        let id = net.peers[dead].id;
        assert!(
            said.iter().all(|(_, _, event)| *event == Event::Suspected(id, Incarnation(1))),
            "seed {seed}"
        );
        let mut voters: Vec<usize> = said.iter().map(|(_, voter, _)| *voter).collect();
        voters.sort_unstable();
        assert_eq!(voters, [0, 1, 2, 3, 4, 5, 6], "seed {seed}");
        net.run(Span::millis(1_700));
        assert_eq!(net.views.len(), 1, "seed {seed}: suspicion alone evicts nobody");
        net.run(Span::millis(600));
        assert_eq!(net.views.len(), 2, "seed {seed}");
        assert!(net.view().member(id).is_none(), "seed {seed}");
        assert!((0..9).all(|i| net.is_settled(i)), "seed {seed}");
    }
}

#[test]
fn five_per_cent_loss_suspects_nobody_in_two_hours() {
    let mut net = Net::new(1, 10, 7);
    net.loss = 0.05;
    net.run(Span::secs(2 * 3600));
    assert_eq!(net.said(Time::ZERO, is_suspected), [], "seed {}", net.seed);
    assert_eq!(net.views.len(), 1);
    assert!(net.sent["alert"] > 0, "a loss that nobody notices proves nothing");
}

#[test]
fn a_quiet_cluster_sends_heartbeats_compares_notes_and_does_nothing_else() {
    let mut net = Net::new(2, 10, 7);
    net.run(Span::secs(60));
    let compared = net.sent.remove("compare").unwrap_or_default();
    assert!((1_000..=1_200).contains(&compared), "{compared}: each asks somebody twice a second at most");
    let heartbeats = net.sent.remove("heartbeat").unwrap_or_default();
    assert!(net.sent.is_empty(), "{:?}", net.sent);
    assert!((59_800..=60_000).contains(&heartbeats), "{heartbeats}");
}

#[test]
fn one_that_can_only_hear_is_evicted_and_one_that_can_only_speak_is_not() {
    for seed in 0..20 {
        let mut net = Net::new(seed, 10, 7);
        net.run(Span::secs(3));
        net.cut = Box::new(|from, _| from == 8);
        net.run(Span::secs(10));
        assert!(net.view().member(net.peers[8].id).is_none(), "seed {seed}");
        net.cut = Box::new(|_, _| false);
        net.run(Span::secs(1));
        assert!(net.is_settled(8) && net.peers[8].life == Incarnation(2), "seed {seed}");

        let at = net.now;
        net.run(Span::secs(3));
        net.cut = Box::new(|_, to| to == 9);
        net.run(Span::secs(10));
        assert_eq!(net.said(at, is_suspected), [], "seed {seed}");
    }
}

/// The voters' half finds out about the other half, though half of the observers of each are on the wrong side.
#[test]
fn halving_makes_the_other_half_suspect() {
    let (mut missed, runs) = (0, 300);
    for seed in 0..runs {
        let mut net = Net::new(seed, 10, 7);
        net.evicts = false;
        net.run(Span::secs(3));
        net.cut = Box::new(|from, to| (from < 5) != (to < 5));
        net.run(Span::millis(400));
        for voter in 0..5 {
            let suspects = net.suspects(voter);
            assert!(suspects.iter().all(|&i| i >= 5), "seed {seed}");
            missed += 5 - suspects.len();
        }
        net.cut = Box::new(|_, _| false);
        net.run(Span::millis(500));
        assert!((0..7).all(|voter| net.suspects(voter).is_empty()), "seed {seed}");
    }
    let missed = missed as f64 / (5 * runs) as f64;
    println!("{missed} of 5 cut-off members missed on average");
    assert!(missed < 0.05, "{missed} of 5 are missed on average");
}

#[test]
fn one_that_was_paused_accuses_nobody_and_is_trusted_again() {
    for seed in 0..50 {
        let mut net = Net::new(seed, 10, 7);
        net.run(Span::secs(3));
        let at = net.now;
        net.pause(8, Span::millis(1_500));
        net.run(Span::secs(3));
        assert!(net.alerts.iter().all(|&(_, by, subject)| by != 8 && subject == 8), "seed {seed}");
        assert!(!net.said(at, is_suspected).is_empty(), "seed {seed}");
        assert!((0..7).all(|voter| net.suspects(voter).is_empty()), "seed {seed}");
        assert_eq!(net.views.len(), 1, "seed {seed}");
    }
}

#[test]
fn pauses_of_a_second_and_a_half_at_five_per_cent_loss_evict_nobody() {
    let mut net = Net::new(3, 10, 7);
    net.loss = 0.05;
    let mut rng = Rng::new(net.seed);
    for _ in 0..200 {
        net.run(Span::secs(6));
        let paused = rng.below(10) as usize;
        net.pause(paused, Span(rng.below(Span::millis(1_500).0)));
    }
    net.run(Span::secs(2));
    assert_eq!(net.views.len(), 1);
}

#[test]
fn a_new_coordinator_inherits_the_suspicions() {
    for seed in 0..20 {
        let mut net = Net::new(seed, 10, 7);
        net.run(Span::secs(3));
        let at = net.now;
        for i in [0, 1, 9] {
            net.crash(i);
        }
        net.run(Span::secs(1));
        net.elect(3);
        net.run(Span::millis(1_700));
        for i in [0, 1, 9] {
            assert!(net.view().member(net.peers[i].id).is_none(), "seed {seed}, node {i}");
        }
        assert!(net.now.since(at) < Span::secs(3));
    }
}

#[test]
fn one_that_gets_a_seat_learns_the_alerts_within_100_ms() {
    let mut net = Net::new(4, 10, 3);
    net.evicts = false;
    net.run(Span::secs(3));
    net.crash(9);
    net.run(Span::millis(500));
    assert!(net.suspects(5).is_empty());
    net.seat(&[0, 1, 2, 5, 6]);
    net.run(Span::millis(110));
    assert_eq!(net.suspects(5), [9]);
    assert_eq!(net.suspects(6), [9]);
    net.seat(&[0, 1, 2, 3, 4]);
    net.run(Span::millis(400));
    assert_eq!((net.suspects(5), net.suspects(3)), (vec![], vec![9]));
}

#[test]
fn an_accuser_with_old_seats_is_told_the_new_ones() {
    let mut net = Net::new(5, 10, 3);
    net.evicts = false;
    net.run(Span::secs(3));
    // The announcement reaches only the one that loses its seat and the one that gets it.
    net.cut = Box::new(|from, to| from == 0 && to != 2 && to != 3);
    net.seat(&[0, 1, 3]);
    net.run(Span::millis(10));
    net.cut = Box::new(|_, _| false);
    net.crash(9);
    net.run(Span::millis(500));
    assert_eq!(net.suspects(3), [9]);
}

#[test]
fn alone_nobody_is_observed_and_of_two_each_observes_the_other() {
    let mut net = Net::new(6, 1, 1);
    net.run(Span::secs(100));
    assert!(net.sent.is_empty() && net.log.len() == 1, "{:?}", net.log);

    let mut net = Net::new(7, 2, 1);
    net.run(Span::secs(3));
    net.crash(1);
    net.run(Span::millis(300));
    assert_eq!(net.suspects(0), [1]);
    net.run(Span::millis(2_200));
    assert_eq!(net.view().members().len(), 1);
    net.start(1);
    net.run(Span::millis(200));
    assert!(net.is_settled(1));
}

#[test]
fn whoever_misses_an_announcement_fetches_the_step_soon() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 30, 3);
        net.run(Span::secs(3));
        net.crash(29);
        net.run(Span::millis(2_100));
        // The members from 20 on hear nothing from the coordinator.
        net.cut = Box::new(|from, to| from == 0 && to >= 20);
        net.run(Span::millis(450));
        assert_eq!(net.views.len(), 2, "seed {seed}");
        assert!((0..29).all(|i| net.is_settled(i)), "seed {seed}");
        let fetched = net.sent["fetch"];
        // Those who happened to compare notes in time did not have to.
        assert!((5..=20).contains(&fetched), "{fetched} fetches, seed {seed}");
        assert!(!net.sent.contains_key("whole"), "seed {seed}: steps are enough");
        net.cut = Box::new(|_, _| false);
        net.run(Span::secs(3));
        assert_eq!(net.sent["fetch"], fetched, "seed {seed}");
    }
}

/// Crashes, restarts, pauses, cuts and loss; then quiet: everyone that lives is a member, and nobody else.
#[test]
fn after_any_trouble_the_view_is_those_who_live() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed).fork("trouble");
        let n = 4 + rng.below(12) as usize;
        // The coordinator stays, for it is not this machine's task to replace it.
        let mut net = Net::with_observers(seed, n, 1 + rng.below(3) as usize, 1 + rng.below(5) as u8);
        for _ in 0..30 {
            let (a, b) = (1 + rng.below(n as u64 - 1) as usize, 1 + rng.below(n as u64 - 1) as usize);
            match rng.below(7) {
                0 => net.crash(a),
                1 if net.peers[a].alive => {
                    net.crash(a);
                    net.start(a);
                }
                2 => net.pause(a, Span(rng.below(Span::secs(4).0))),
                3 => net.cut = Box::new(move |from, to| from == a || to == b),
                4 => net.cut = Box::new(move |from, to| (from < a) != (to < a)),
                5 => net.loss = rng.unit() * 0.4,
                _ if !net.peers[a].alive => net.start(a),
                _ => net.cut = Box::new(|_, _| false),
            }
            net.run(Span(rng.below(Span::secs(2).0)));
        }
        net.loss = 0.01;
        net.cut = Box::new(|_, _| false);
        net.run(Span::secs(12));
        for i in 0..n {
            let is_in = net.view().member(net.peers[i].id).is_some();
            assert_eq!(is_in, net.peers[i].alive, "seed {seed}, node {i}");
            assert!(!net.peers[i].alive || net.is_settled(i), "seed {seed}, node {i}");
        }
        assert!(net.suspects(0).is_empty(), "seed {seed}");
        let at = net.now;
        net.run(Span::secs(5));
        assert_eq!(net.said(at, |event| is_expelled(event) || is_suspected(event)), [], "seed {seed}");
        lives_never_return(&net);
    }
}

/// A life that left the view is in no later one.
fn lives_never_return(net: &Net) {
    let mut ended = std::collections::BTreeSet::new();
    for pair in net.views.windows(2) {
        for member in pair[0].members() {
            if !pair[1].contains(member.id, member.incarnation) {
                ended.insert((member.id, member.incarnation));
            }
        }
        for member in pair[1].members() {
            assert!(!ended.contains(&(member.id, member.incarnation)), "seed {}", net.seed);
        }
    }
}
