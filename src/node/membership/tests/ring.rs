//! The classic detector: one observer that pings, waits for the answer, and decides alone.

use super::super::MembershipEvent as Event;
use super::net::Net;
use crate::base::{Incarnation, Span, Time};

fn is_suspected(event: &Event) -> bool {
    matches!(event, Event::Suspected(..))
}

/// Whom node `i` of a net observes in the newest view.
fn observed_by(net: &Net, i: usize) -> usize {
    let place = net.view().position(net.peers[i].id).expect("it is a member");
    let &[subject] = net.view().subjects(place) else { panic!("in a ring everyone observes one") };
    net.place(net.view().members()[subject as usize].id)
}

#[test]
fn the_members_form_one_ring() {
    for seed in 0..20 {
        let net = Net::ring(seed, 10, 7);
        let mut round = vec![0];
        while round.len() < 10 {
            round.push(observed_by(&net, *round.last().unwrap()));
        }
        assert_eq!(observed_by(&net, *round.last().unwrap()), 0, "seed {seed}");
        round.sort_unstable();
        assert_eq!(round, (0..10).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn a_quiet_ring_sends_a_ping_and_an_answer_per_member_and_period_and_compares_notes() {
    let mut net = Net::ring(2, 10, 7);
    net.run(Span::secs(60));
    let compared = net.sent.remove("compare").unwrap_or_default();
    assert!((1_000..=1_200).contains(&compared), "{compared}: each asks somebody twice a second at most");
    let (pings, answers) = (net.sent.remove("ping").unwrap_or(0), net.sent.remove("heartbeat").unwrap_or(0));
    assert!(net.sent.is_empty(), "{:?}", net.sent);
    assert!((11_900..=12_000).contains(&pings), "{pings}");
    assert!(pings - answers < 10, "{answers} answers to {pings} pings");
}

#[test]
fn a_crashed_member_is_found_by_its_one_observer_and_evicted() {
    for seed in 0..50 {
        let mut net = Net::ring(seed, 10, 7);
        net.run(Span::secs(3));
        let (dead, at) = (9, net.now);
        net.crash(dead);
        net.run(Span::millis(300));
        let accusers: Vec<usize> =
            net.alerts.iter().filter(|(when, ..)| *when >= at).map(|&(_, accuser, _)| accuser).collect();
        assert!(
            !accusers.is_empty() && accusers.iter().all(|&i| observed_by(&net, i) == dead),
            "seed {seed}"
        );
        assert_eq!(net.said(at, is_suspected).len(), 7, "seed {seed}: each voter believes it");
        net.run(Span::millis(2_300));
        assert!(net.view().member(net.peers[dead].id).is_none(), "seed {seed}");
        assert!((0..9).all(|i| net.is_settled(i)), "seed {seed}");
    }
}

/// What several observers would not believe: a single bad link has a healthy member evicted. It comes back as a new life.
#[test]
fn one_bad_link_evicts_a_healthy_member() {
    for seed in 0..20 {
        let mut net = Net::ring(seed, 10, 7);
        net.run(Span::secs(3));
        let observer = 8;
        let victim = observed_by(&net, observer);
        if victim == net.lead {
            continue;
        }
        net.cut = Box::new(move |from, to| from == victim && to == observer);
        net.run(Span::secs(4));
        assert!(net.views.len() > 1 && net.peers[victim].life > Incarnation(1), "seed {seed}");
        net.cut = Box::new(|_, _| false);
        net.run(Span::secs(4));
        assert!((0..10).all(|i| net.is_settled(i)), "seed {seed}");

        let mut careful = Net::new(seed, 10, 7);
        careful.run(Span::secs(3));
        careful.cut = Box::new(move |from, to| from == victim && to == observer);
        careful.run(Span::secs(4));
        assert_eq!(careful.said(Time::ZERO, is_suspected), [], "seed {seed}: five observers are not misled");
    }
}

#[test]
fn one_that_was_evicted_learns_it_from_whom_it_pings() {
    for seed in 0..20 {
        let mut net = Net::ring(seed, 10, 7);
        net.run(Span::secs(3));
        net.cut = Box::new(|from, to| from == 8 || to == 8);
        net.run(Span::secs(4));
        assert!(net.view().member(net.peers[8].id).is_none(), "seed {seed}");
        net.cut = Box::new(|_, _| false);
        net.run(Span::secs(3));
        assert!(net.is_settled(8) && net.peers[8].life == Incarnation(2), "seed {seed}");
    }
}
