//! The voter alone.

use std::collections::VecDeque;

use super::super::MembershipEvent as Event;
use super::super::jury::{Accusation, Jury};
use super::net::member;
use crate::base::{Incarnation, NodeId, Rng, Span, Time, ViewId};
use crate::node::io::Outbox;
use crate::node::view::{View, ViewChange};

const SUSPECT_AFTER: Span = Span::millis(250);

/// A jury on a view of its own, with a clock in milliseconds.
struct Court {
    jury: Jury,
    view: View,
    out: Outbox,
    events: VecDeque<Event>,
}

impl Court {
    fn new(n: u64, seed: u64) -> Court {
        let mut rng = Rng::new(seed);
        let members = (0..n).map(|_| member(NodeId::new(rng.bits()), 1)).collect();
        Court {
            jury: Jury::new(SUSPECT_AFTER, Span::secs(2)),
            view: View::new(ViewId(1), 5, members),
            out: Outbox::new(),
            events: VecDeque::new(),
        }
    }

    fn id(&self, position: usize) -> NodeId {
        self.view.members()[position].id
    }

    fn observers(&self, id: NodeId) -> Vec<NodeId> {
        let position = self.view.position(id).expect("it is a member");
        self.view.observers(position).iter().map(|&place| self.id(place as usize)).collect()
    }

    fn accuse(&mut self, ms: u64, by: NodeId, subject: NodeId) -> Vec<Event> {
        self.accuse_life(ms, by, subject, 1)
    }

    fn accuse_life(&mut self, ms: u64, by: NodeId, subject: NodeId, life: u32) -> Vec<Event> {
        self.accuse_silence(ms, by, (subject, life), SUSPECT_AFTER)
    }

    /// An alert about a silence of this length.
    fn accuse_silence(
        &mut self,
        ms: u64,
        by: NodeId,
        (subject, life): (NodeId, u32),
        silent_for: Span,
    ) -> Vec<Event> {
        let accusation = Accusation { by, subject, incarnation: Incarnation(life), silent_for };
        self.jury.accuse(at(ms), accusation, &self.view, &mut self.out, &mut self.events);
        self.events.drain(..).collect()
    }

    fn wake(&mut self, ms: u64) -> Vec<Event> {
        if at(ms) >= self.jury.due() {
            self.jury.wake(at(ms), &self.view, &mut self.out, &mut self.events);
        }
        assert!(self.jury.due() > at(ms));
        self.events.drain(..).collect()
    }

    fn change(&mut self, ms: u64, change: &ViewChange) -> Vec<Event> {
        let view = self.view.after(change);
        self.jury.install(at(ms), &self.view, &view, &mut self.out, &mut self.events);
        self.view = view;
        self.events.drain(..).collect()
    }
}

fn at(ms: u64) -> Time {
    Time::ZERO + Span::millis(ms)
}

fn suspected(id: NodeId) -> Event {
    Event::Suspected(id, Incarnation(1))
}

fn trusted(id: NodeId) -> Event {
    Event::Trusted(id, Incarnation(1))
}

fn evict(id: NodeId) -> Event {
    Event::Evict(id, Incarnation(1))
}

#[test]
fn a_majority_of_the_observers_makes_a_suspect() {
    for (n, needed) in [(2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (20, 3)] {
        let mut court = Court::new(n, n);
        let subject = court.id(0);
        let observers = court.observers(subject);
        for (count, &by) in observers.iter().enumerate() {
            let expected = if count + 1 == needed { vec![suspected(subject)] } else { vec![] };
            assert_eq!(court.accuse(0, by, subject), expected, "n = {n}, accuser {count}");
            assert_eq!(court.accuse(1, by, subject), [], "a repeated alert counts once");
        }
        assert!(court.jury.is_suspect(subject));
        assert_eq!(court.jury.suspects().collect::<Vec<_>>(), [(subject, Incarnation(1))]);
    }
}

#[test]
fn only_observers_of_the_view_and_this_life_count() {
    let mut court = Court::new(20, 1);
    let subject = court.id(3);
    let observers = court.observers(subject);
    for position in 0..20 {
        let by = court.id(position);
        if !observers.contains(&by) {
            assert_eq!(court.accuse(0, by, subject), []);
        }
    }
    for &by in &observers {
        assert_eq!(court.accuse_life(0, by, subject, 2), []);
        assert_eq!(court.accuse(0, by, NodeId::new(77)), []);
    }
    assert_eq!(court.jury.due(), Time::NEVER, "nothing was kept");
}

#[test]
fn an_alert_that_is_not_repeated_for_300_ms_counts_no_more() {
    let mut court = Court::new(10, 2);
    let subject = court.id(4);
    let observers = court.observers(subject);
    court.accuse(0, observers[0], subject);
    court.accuse(100, observers[1], subject);
    assert_eq!(court.accuse(200, observers[2], subject), [suspected(subject)]);
    assert_eq!(court.wake(299), []);
    assert_eq!(court.wake(300), [trusted(subject)]);
    assert_eq!(court.wake(500), []);
    assert_eq!(court.jury.due(), Time::NEVER, "nothing is left of it");
}

#[test]
fn two_seconds_of_unbroken_suspicion_call_for_eviction_again_and_again() {
    let mut court = Court::new(10, 3);
    let subject = court.id(4);
    let observers = court.observers(subject);
    let mut calls = Vec::new();
    for ms in (0..4_000).step_by(10) {
        // The suspicion breaks once, at 1.5 s.
        if ms % 100 == 0 && !(1_100..1_500).contains(&ms) {
            for &by in &observers[..3] {
                court.accuse(ms, by, subject);
            }
        }
        calls.extend(court.wake(ms).into_iter().filter(|event| *event == evict(subject)).map(|_| ms));
    }
    assert_eq!(calls, [3_500, 3_600, 3_700, 3_800, 3_900]);
}

/// The suspicion lapses because alerts were lost; the silence that they tell of goes on.
#[test]
fn a_suspicion_that_lapses_while_nobody_hears_the_suspect_is_as_old_as_the_silence() {
    let mut court = Court::new(10, 3);
    let subject = court.id(4);
    let observers = court.observers(subject);
    let mut calls = Vec::new();
    let begin = 10_000;
    for ms in (0..4_000).step_by(10) {
        if ms % 100 == 0 && !(1_100..1_500).contains(&ms) {
            for (&by, heard_later) in observers[..3].iter().zip([0, 200, 400]) {
                let silent_for = Span::millis(ms + 1_000 - heard_later);
                court.accuse_silence(begin + ms, by, (subject, 1), silent_for);
            }
        }
        calls.extend(court.wake(begin + ms).into_iter().map(|event| (ms, event)));
    }
    // The third of five observers has been silent for 250 ms of the 600 with which this began: 1.65 s are left.
    assert_eq!(calls[..2], [(1_300, trusted(subject)), (1_650, evict(subject))]);
    let mut newcomer = Court::new(10, 3);
    for &by in &observers[..3] {
        newcomer.accuse_silence(9_000, by, (subject, 1), Span::secs(3));
    }
    assert_eq!(newcomer.wake(9_000), [evict(subject)], "as old as for those who heard the first alerts");
}

#[test]
fn an_alert_about_a_long_silence_counts_for_longer() {
    let mut court = Court::new(10, 2);
    let subject = court.id(4);
    for by in court.observers(subject) {
        court.accuse_silence(10_000, by, (subject, 1), Span::secs(60));
    }
    let said: Vec<Event> = (10_000..11_000).step_by(10).flat_map(|ms| court.wake(ms)).collect();
    assert!(!said.is_empty() && said.iter().all(|event| *event == evict(subject)), "{said:?}");
    assert_eq!(court.wake(11_000), [trusted(subject)]);
}

#[test]
fn a_suspect_observer_agrees_when_an_unsuspected_one_accuses() {
    let mut court = Court::new(10, 4);
    let subject = court.id(4);
    let observers = court.observers(subject);
    // Two of its observers are accused by everyone who may.
    for &dead in &observers[..2] {
        for by in court.observers(dead) {
            if !observers[..2].contains(&by) {
                court.accuse(0, by, dead);
            }
        }
        assert!(court.jury.is_suspect(dead));
    }
    assert!(!court.jury.is_suspect(subject));
    assert_eq!(court.accuse(10, observers[2], subject), [suspected(subject)]);
}

#[test]
fn suspects_alone_cannot_make_a_suspect() {
    let mut court = Court::new(10, 5);
    let subject = court.id(4);
    let observers = court.observers(subject);
    for &dead in &observers[..3] {
        for by in court.observers(dead) {
            court.accuse(0, by, dead);
        }
    }
    assert_eq!(court.accuse(10, observers[0], subject), [], "the accuser is itself accused by a majority");
    assert_eq!(court.accuse(10, observers[1], subject), []);
    assert_eq!(court.accuse(10, observers[3], subject), [suspected(subject)]);
}

#[test]
fn replacing_accusers_of_a_suspect_neither_acquits_nor_evicts_it() {
    let mut court = Court::new(20, 6);
    let subject = court.id(4);
    let before = court.observers(subject);
    for &by in &before[..3] {
        court.accuse(0, by, subject);
    }
    let gone = before[1..3].iter().map(|&id| (id, Incarnation(1))).collect();
    assert_eq!(court.change(100, &ViewChange { joined: vec![], gone }), []);
    assert!(court.jury.is_suspect(subject));
    // One old accuser goes on; the new observers are in their grace and say nothing. That may not evict.
    let mut said = Vec::new();
    for ms in (100..2_600).step_by(10) {
        if ms % 100 == 0 {
            court.accuse(ms, before[0], subject);
        }
        said.extend(court.wake(ms).into_iter().map(|event| (ms, event)));
    }
    assert_eq!(said, [(2_400, trusted(subject))], "the grace of the new observers is over");
}

#[test]
fn new_observers_that_accuse_evict_at_once_what_was_suspect_all_the_time() {
    let mut court = Court::new(20, 6);
    let subject = court.id(4);
    let before = court.observers(subject);
    for &by in &before[..3] {
        court.accuse(0, by, subject);
    }
    let gone = before[1..3].iter().map(|&id| (id, Incarnation(1))).collect();
    court.change(100, &ViewChange { joined: vec![], gone });
    let now = court.observers(subject);
    let mut said = Vec::new();
    for ms in (100..2_300).step_by(10) {
        if ms % 100 == 0 {
            court.accuse(ms, before[0], subject);
        }
        if ms == 2_100 {
            for &by in &now {
                assert_eq!(court.accuse(ms, by, subject), []);
            }
        }
        said.extend(court.wake(ms).into_iter().map(|event| (ms, event)));
    }
    assert_eq!(said, [(2_100, evict(subject)), (2_200, evict(subject))]);
}

#[test]
fn a_view_without_the_suspect_closes_its_case() {
    let mut court = Court::new(10, 7);
    let subject = court.id(4);
    for by in court.observers(subject) {
        court.accuse(0, by, subject);
    }
    let change = ViewChange { joined: vec![member(subject, 2)], gone: vec![] };
    assert_eq!(court.change(100, &change), []);
    assert!(!court.jury.is_suspect(subject));
    assert_eq!(court.jury.due(), Time::NEVER);
}

#[test]
fn a_voter_that_slept_neither_evicts_nor_trusts_for_it() {
    let mut court = Court::new(10, 8);
    let subject = court.id(4);
    for by in court.observers(subject) {
        court.accuse(0, by, subject);
    }
    court.jury.overslept(Span::secs(5));
    assert_eq!(court.wake(5_100), []);
    assert_eq!(court.wake(5_300), [trusted(subject)]);
}

/// Whatever the alerts, each voter's verdicts come to rest, and are the rule's.
#[test]
fn verdicts_always_come_to_rest() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut court = Court::new(3 + rng.below(10), seed);
        let n = court.view.members().len() as u64;
        let mut ms = 0;
        for _ in 0..400 {
            ms += rng.below(20);
            let subject = court.id(rng.below(n) as usize);
            let observers = court.observers(subject);
            let by = observers[rng.below(observers.len() as u64) as usize];
            court.accuse(ms, by, subject);
            court.wake(ms);
        }
        court.wake(ms + 1_000);
        assert_eq!(court.jury.suspects().count(), 0, "seed {seed}");
        assert_eq!(court.jury.due(), Time::NEVER, "seed {seed}");
    }
}
