//! Coming and going in a small cluster.

use super::super::MembershipEvent as Event;
use super::net::Net;
use crate::base::{Incarnation, Span, Time};

fn is_expelled(event: &Event) -> bool {
    matches!(event, Event::Expelled)
}

#[test]
fn a_newcomer_gets_in_through_any_member() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 10, 3);
        net.run(Span::secs(1));
        let door = 3 + (seed % 7) as usize;
        let new = net.join(&[door]);
        net.run(Span::millis(120));
        assert!(net.is_settled(new), "seed {seed}");
        assert_eq!(net.view().members().len(), 11, "seed {seed}");
        net.run(Span::secs(5));
        assert!(net.alerts.is_empty(), "seed {seed}: nobody is silent");
        assert_eq!(net.views.len(), 2, "seed {seed}");
    }
}

#[test]
fn a_newcomer_tries_its_seeds_in_turn_and_repeats_itself() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 10, 3);
        net.run(Span::secs(1));
        net.crash(8);
        net.crash(9);
        net.loss = 0.2;
        let new = net.join(&[8, 9, 5]);
        net.run(Span::secs(15));
        assert!(net.is_settled(new), "seed {seed}");
        assert_eq!(net.peers[new].life, Incarnation(1), "seed {seed}");
    }
}

#[test]
fn a_hundred_join_at_once_and_nobody_is_suspected_for_it() {
    let mut net = Net::new(1, 3, 3);
    net.loss = 0.01;
    net.run(Span::secs(1));
    let new: Vec<usize> = (0..100).map(|i| net.join(&[i % 3])).collect();
    net.run(Span::secs(3));
    assert!(new.iter().all(|&i| net.is_settled(i)));
    net.run(Span::secs(10));
    assert!(net.said(Time::ZERO, |event| matches!(event, Event::Suspected(..))).is_empty());
    assert!(net.views.len() <= 6, "{} view changes", net.views.len());
}

#[test]
fn a_restarted_member_replaces_its_earlier_life_at_once() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 10, 3);
        net.run(Span::secs(3));
        net.crash(7);
        net.run(Span::millis(50));
        net.start(7);
        net.run(Span::millis(115));
        assert!(net.is_settled(7) && net.peers[7].life == Incarnation(2), "seed {seed}");
        net.run(Span::secs(3));
        assert!(
            net.said(Time::ZERO, |event| matches!(event, Event::Suspected(..))).is_empty(),
            "seed {seed}"
        );
        assert_eq!(net.views.len(), 2, "seed {seed}");
    }
}

#[test]
fn a_restarted_coordinator_lets_itself_in() {
    let mut net = Net::new(1, 5, 3);
    net.run(Span::secs(1));
    net.crash(0);
    net.start(0);
    net.run(Span::millis(150));
    assert!(net.is_settled(0) && net.peers[0].life == Incarnation(2));
}

#[test]
fn everyone_comes_back_after_all_were_down() {
    let mut net = Net::new(2, 20, 3);
    net.run(Span::secs(1));
    for i in 0..20 {
        net.crash(i);
    }
    net.run(Span::secs(60));
    for i in 0..20 {
        net.start(i);
    }
    net.elect(1);
    net.run(Span::secs(3));
    assert!((0..20).all(|i| net.is_settled(i)));
}

#[test]
fn one_that_was_evicted_behind_its_back_comes_back_once_in_a_new_life() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 10, 3);
        net.run(Span::secs(3));
        net.cut = Box::new(|from, to| from == 8 || to == 8);
        net.run(Span::secs(10));
        assert!(net.view().member(net.peers[8].id).is_none(), "seed {seed}");
        assert_eq!(net.said(Time::ZERO, is_expelled), [], "seed {seed}: it cannot know yet");
        let healed = net.now;
        net.cut = Box::new(|_, _| false);
        net.run(Span::millis(250));
        assert!(net.is_settled(8) && net.peers[8].life == Incarnation(2), "seed {seed}");
        net.run(Span::secs(10));
        let expelled: Vec<usize> =
            net.said(healed, is_expelled).into_iter().map(|(_, node, _)| node).collect();
        assert_eq!(expelled, [8], "seed {seed}");
        // One when it was removed (cut off), and one from each of its old observers and accused voters.
        assert!(net.sent["expelled"] <= 11, "{} of them, seed {seed}", net.sent["expelled"]);
        assert_eq!(net.views.len(), 3, "seed {seed}");
    }
}

#[test]
fn one_that_leaves_is_told_and_stays_away() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 10, 3);
        net.loss = 0.3;
        net.run(Span::secs(1));
        net.leave(9);
        net.run(Span::secs(5));
        let left = net.said(Time::ZERO, |event| matches!(event, Event::Left));
        assert_eq!(left.iter().map(|(_, node, _)| *node).collect::<Vec<_>>(), [9], "seed {seed}");
        assert!(net.view().member(net.peers[9].id).is_none(), "seed {seed}");
        assert_eq!(net.peers[9].life, Incarnation(1), "seed {seed}");
        assert_eq!(net.peers[9].machine.deadline(), Time::NEVER, "seed {seed}");
    }
}
