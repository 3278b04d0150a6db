//! One machine without a network: each message and what it draws.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::{Facts, Jurors, Membership, MembershipEvent as Event};
use super::net::member;
use crate::base::{Epoch, Incarnation, NodeId, Rng, Span, Time, ViewId};
use crate::node::config::Membership as MembershipConfig;
use crate::node::entry::Seats;
use crate::node::io::{Effect, Outbox};
use crate::node::message::{Announcement, Body, MembershipMessage};
use crate::node::update::{Memo, ViewUpdate};
use crate::node::view::{View, ViewChange};

/// One machine without a network.
struct Solo {
    machine: Membership,
    seats: Arc<Seats>,
    coordinator: Option<NodeId>,
    leads: bool,
    out: Outbox,
    events: VecDeque<Event>,
}

impl Solo {
    /// Node 1 among nodes 1 to `n` of view 5.
    fn new(n: u64) -> Solo {
        let members = (1..=n).map(|id| member(NodeId::new(id), 1)).collect();
        let view = Arc::new(View::new(ViewId(5), 5, members));
        let config = MembershipConfig::default();
        Solo {
            machine: Membership::new(member(NodeId::new(1), 1), &config, view, vec![], Rng::new(n)),
            seats: Arc::default(),
            coordinator: Some(NodeId::new(2)),
            leads: false,
            out: Outbox::new(),
            events: VecDeque::new(),
        }
    }

    fn act(
        &mut self,
        deed: impl FnOnce(&mut Membership, &Facts<'_>, &mut Outbox, &mut VecDeque<Event>),
    ) -> (Vec<(NodeId, MembershipMessage)>, Vec<Event>) {
        let seats = Arc::clone(&self.seats);
        let facts = Facts {
            epoch: Epoch(3),
            coordinator: self.coordinator,
            leads: self.leads,
            jurors: Jurors::Voters,
            seats: &seats,
        };
        deed(&mut self.machine, &facts, &mut self.out, &mut self.events);
        let sent = self.out.drain().filter_map(|effect| match effect {
            Effect::Send { to, message, .. } => match message.body {
                Body::Membership(message) => Some((to, message)),
                _ => None,
            },
            _ => None,
        });
        (sent.collect(), self.events.drain(..).collect())
    }

    fn begin(&mut self) {
        self.act(|machine, facts, out, events| machine.begin(Time::ZERO, facts, out, events));
    }

    fn receive(
        &mut self,
        ms: u64,
        from: u64,
        message: MembershipMessage,
    ) -> (Vec<(NodeId, MembershipMessage)>, Vec<Event>) {
        let now = Time::ZERO + Span::millis(ms);
        self.act(|machine, facts, out, events| {
            machine.receive(now, NodeId::new(from), message, facts, out, events);
        })
    }
}

fn heartbeat(view: u64, life: u32) -> MembershipMessage {
    MembershipMessage::Heartbeat {
        epoch: Epoch(3),
        coordinator: Some(NodeId::new(2)),
        view: ViewId(view),
        incarnation: Incarnation(life),
    }
}

fn expelled(life: u32, view: u64) -> MembershipMessage {
    MembershipMessage::Expelled { incarnation: Incarnation(life), view: ViewId(view) }
}

#[test]
fn nothing_is_said_before_the_life_is_durable() {
    let mut solo = Solo::new(3);
    assert_eq!(solo.machine.deadline(), Time::NEVER);
    for message in [
        heartbeat(9, 1),
        heartbeat(1, 0),
        MembershipMessage::Join(Arc::new(member(NodeId::new(9), 1))),
        MembershipMessage::FetchView { have: ViewId(1), seats: 1 },
        expelled(1, 9),
    ] {
        assert_eq!(solo.receive(0, 3, message), (vec![], vec![]));
    }
    solo.begin();
    assert_ne!(solo.machine.deadline(), Time::NEVER);
}

#[test]
fn the_evicted_are_told_only_by_one_who_knows_the_newer_view_and_not_at_each_word() {
    let mut solo = Solo::new(3);
    solo.begin();
    let told = (vec![(NodeId::new(7), expelled(4, 5))], vec![]);
    assert_eq!(solo.receive(0, 7, heartbeat(5, 4)), told);
    assert_eq!(solo.receive(99, 7, heartbeat(5, 4)), (vec![], vec![]));
    assert_eq!(solo.receive(100, 7, heartbeat(5, 4)), told);
    assert_eq!(solo.receive(200, 7, heartbeat(6, 4)), (vec![], vec![]), "its view is newer");
    let fetch = (vec![(NodeId::new(7), MembershipMessage::FetchView { have: ViewId(5), seats: 0 })], vec![]);
    assert_eq!(solo.receive(220, 7, heartbeat(6, 4)), fetch);
    assert_eq!(solo.receive(319, 7, heartbeat(6, 4)), (vec![], vec![]));
    assert_eq!(solo.receive(320, 7, heartbeat(6, 4)), fetch);
    // An earlier life of a member; and one that this view cannot know yet.
    assert_eq!(solo.receive(500, 3, heartbeat(5, 0)), (vec![(NodeId::new(3), expelled(0, 5))], vec![]));
    assert_eq!(solo.receive(700, 3, heartbeat(5, 2)), (vec![], vec![]));
}

#[test]
fn the_answers_that_strangers_draw_are_bounded() {
    let mut solo = Solo::new(3);
    solo.begin();
    let answers: usize = (100..1_000).map(|id| solo.receive(0, id, heartbeat(5, 1)).0.len()).sum();
    assert_eq!(answers, 64);
}

#[test]
fn an_eviction_of_another_life_or_by_an_older_view_is_ignored() {
    let mut solo = Solo::new(3);
    solo.begin();
    assert_eq!(solo.receive(0, 2, expelled(0, 9)).1, []);
    assert_eq!(solo.receive(0, 2, expelled(2, 9)).1, []);
    assert_eq!(solo.receive(0, 2, expelled(1, 5)).1, []);
    assert_eq!(solo.receive(0, 2, expelled(1, 6)).1, [Event::Expelled]);
    assert_eq!(solo.receive(0, 2, expelled(1, 6)).1, [], "once is enough");
    assert_eq!(solo.machine.deadline(), Time::NEVER);
    solo.machine.reborn(Incarnation(2));
    solo.begin();
    assert_eq!(solo.receive(0, 2, expelled(1, 6)).1, [], "it asked for a newer life meanwhile");
}

#[test]
fn a_join_goes_to_the_coordinator_and_no_further() {
    let mut solo = Solo::new(3);
    solo.begin();
    let asker = Arc::new(member(NodeId::new(9), 1));
    let join = MembershipMessage::Join(Arc::clone(&asker));
    assert_eq!(solo.receive(0, 9, join.clone()), (vec![(NodeId::new(2), join.clone())], vec![]));
    assert_eq!(solo.receive(0, 3, join.clone()), (vec![], vec![]), "it was passed on once already");
    solo.coordinator = None;
    assert_eq!(solo.receive(0, 9, join.clone()), (vec![], vec![]));
    solo.leads = true;
    solo.coordinator = Some(NodeId::new(1));
    assert_eq!(solo.receive(0, 3, join), (vec![], vec![Event::Joining(asker)]));
    let known = MembershipMessage::Join(Arc::new(member(NodeId::new(3), 1)));
    let (sent, events) = solo.receive(0, 3, known);
    assert!(matches!(&sent[..], [(_, MembershipMessage::Announce(_))]) && events.is_empty(), "{sent:?}");
}

#[test]
fn an_ended_life_cannot_join_again() {
    let mut solo = Solo::new(3);
    solo.leads = true;
    solo.begin();
    let gone = vec![(NodeId::new(3), Incarnation(1))];
    let view = Arc::new(solo.machine.view().after(&ViewChange { joined: vec![], gone }));
    solo.act(|machine, facts, out, events| machine.install(Time::ZERO, view, facts, out, events));
    let again = MembershipMessage::Join(Arc::new(member(NodeId::new(3), 1)));
    assert_eq!(solo.receive(0, 3, again), (vec![(NodeId::new(3), expelled(1, 6))], vec![]));
    let anew = Arc::new(member(NodeId::new(3), 2));
    let (_, events) = solo.receive(0, 3, MembershipMessage::Join(Arc::clone(&anew)));
    assert_eq!(events, [Event::Joining(anew)]);
}

#[test]
fn a_newer_reign_is_reported_and_an_older_one_is_not() {
    let mut solo = Solo::new(3);
    solo.begin();
    let beat = |epoch, coordinator: Option<u64>| MembershipMessage::Heartbeat {
        epoch: Epoch(epoch),
        coordinator: coordinator.map(NodeId::new),
        view: ViewId(5),
        incarnation: Incarnation(1),
    };
    let reign = |epoch, coordinator: Option<u64>| {
        vec![Event::Reign { epoch: Epoch(epoch), coordinator: coordinator.map(NodeId::new) }]
    };
    assert_eq!(solo.receive(0, 3, beat(2, Some(3))).1, []);
    assert_eq!(solo.receive(0, 3, beat(3, Some(2))).1, []);
    assert_eq!(solo.receive(0, 3, beat(4, None)).1, reign(4, None));
    solo.coordinator = None;
    assert_eq!(solo.receive(0, 3, beat(3, None)).1, []);
    assert_eq!(solo.receive(0, 3, beat(3, Some(2))).1, reign(3, Some(2)));
}

/// An alert about node 6 from life `by` of its sender.
fn alert(by: u32) -> MembershipMessage {
    MembershipMessage::Alert {
        subject: NodeId::new(6),
        incarnation: Incarnation(1),
        view: ViewId(5),
        silent_for: Span::millis(250),
        by: Incarnation(by),
    }
}

/// Node 1 votes and suspects node 6 of 6.
fn suspecting() -> Solo {
    let mut solo = Solo::new(6);
    solo.seats = Arc::new(Seats { number: 1, voters: vec![NodeId::new(1)], learners: vec![], passing: None });
    solo.begin();
    for from in [2, 3, 4] {
        solo.receive(0, from, alert(1));
    }
    assert!(solo.machine.is_suspect(NodeId::new(6)));
    solo
}

#[test]
fn members_that_start_together_do_not_beat_together() {
    let mut first: Vec<Time> = (3..203)
        .map(|n| {
            let mut solo = Solo::new(n);
            solo.begin();
            solo.machine.deadline()
        })
        .collect();
    first.sort_unstable();
    first.dedup();
    assert!(first.len() > 190 && first[0] < Time::ZERO + Span::millis(3), "{first:?}");
    assert!(first[first.len() - 1] > Time::ZERO + Span::millis(47), "{first:?}");
    assert!(first[first.len() - 1] <= Time::ZERO + Span::millis(50), "{first:?}");
}

#[test]
fn an_alert_of_an_earlier_life_counts_nothing_and_is_answered() {
    let mut solo = Solo::new(6);
    solo.seats = Arc::new(Seats { number: 1, voters: vec![NodeId::new(1)], learners: vec![], passing: None });
    solo.begin();
    for from in [2, 3, 4, 5] {
        let told = (vec![(NodeId::new(from), expelled(0, 5))], vec![]);
        assert_eq!(solo.receive(0, from, alert(0)), told);
        assert_eq!(solo.receive(0, from, alert(2)), (vec![], vec![]), "of a life still to come");
    }
}

#[test]
fn a_voter_that_overslept_finds_its_suspicions_as_old_as_before() {
    let mut solo = suspecting();
    let late = Span::secs(5);
    solo.machine.overslept(late);
    let wake = |ms| {
        move |machine: &mut Membership, facts: &Facts<'_>, out: &mut Outbox, events: &mut VecDeque<Event>| {
            machine.wake(Time::ZERO + Span::millis(ms), facts, out, events);
        }
    };
    assert_eq!(solo.act(wake(5_299)).1, []);
    assert_eq!(solo.act(wake(5_300)).1, [Event::Trusted(NodeId::new(6), Incarnation(1))]);
}

#[test]
fn a_new_life_in_the_next_view_is_not_suspect_for_the_old_one() {
    let mut solo = suspecting();
    let change = ViewChange { joined: vec![member(NodeId::new(6), 2)], gone: vec![] };
    let view = Arc::new(solo.machine.view().after(&change));
    let (_, events) = solo.act(|machine, facts, out, events| {
        machine.install(Time::ZERO, Arc::clone(&view), facts, out, events);
    });
    assert_eq!(events, [Event::Installed(Arc::clone(&view))]);
    assert_eq!(solo.machine.suspects().count(), 0);
    let older = Arc::new(View::new(ViewId(6), 5, vec![]));
    let (sent, events) = solo.act(|machine, facts, out, events| {
        machine.install(Time::ZERO, older, facts, out, events);
    });
    assert_eq!((sent, events), (vec![], vec![]), "a view that is not newer changes nothing");
}

fn announce(update: ViewUpdate) -> MembershipMessage {
    let announcement =
        Announcement { epoch: Epoch(3), coordinator: Some(NodeId::new(2)), update, seats: Arc::default() };
    MembershipMessage::Announce(Arc::new(announcement))
}

#[test]
fn a_step_from_a_view_that_is_missing_is_fetched_at_once() {
    let mut solo = Solo::new(3);
    solo.begin();
    let step = ViewUpdate::Step { base: ViewId(7), change: ViewChange::default(), result: Memo::default() };
    let fetch = MembershipMessage::FetchView { have: ViewId(5), seats: 0 };
    assert_eq!(solo.receive(0, 2, announce(step)), (vec![(NodeId::new(2), fetch)], vec![]));
}

#[test]
fn a_joiner_whose_life_came_and_went_without_its_knowledge_learns_so_from_the_view() {
    let mut solo = Solo::new(3);
    let view = Arc::clone(solo.machine.view());
    let config = MembershipConfig::default();
    let nobody = Arc::new(View::empty());
    solo.machine = Membership::new(member(NodeId::new(1), 1), &config, nobody, vec![], Rng::new(1));
    solo.begin();
    let gone = vec![(NodeId::new(1), Incarnation(1))];
    let without = Arc::new(view.after(&ViewChange { joined: vec![], gone }));
    let (sent, events) = solo.receive(0, 2, announce(ViewUpdate::Whole(Arc::clone(&without))));
    assert_eq!((sent, events), (vec![], vec![Event::Installed(without), Event::Expelled]));
    assert_eq!(solo.machine.deadline(), Time::NEVER);
}

#[test]
fn an_announcement_is_a_step_for_those_who_stay_a_view_for_those_who_come_and_a_farewell() {
    let mut solo = Solo::new(3);
    solo.leads = true;
    solo.begin();
    let change =
        ViewChange { joined: vec![member(NodeId::new(9), 1)], gone: vec![(NodeId::new(3), Incarnation(1))] };
    let view = Arc::new(solo.machine.view().after(&change));
    let update = ViewUpdate::Step { base: ViewId(5), change, result: Memo::of(Arc::clone(&view)) };
    let (sent, _) = solo.act(|machine, facts, out, events| {
        machine.install(Time::ZERO, Arc::clone(&view), facts, out, events);
        machine.announce(update, facts, out);
    });
    let kinds: Vec<(u64, &str)> = sent
        .iter()
        .map(|(to, message)| {
            let kind = match message {
                MembershipMessage::Announce(announcement) => match announcement.update {
                    ViewUpdate::Step { .. } => "step",
                    ViewUpdate::Whole(_) => "whole",
                },
                MembershipMessage::Expelled { .. } => "expelled",
                _ => "other",
            };
            (to.bits(), kind)
        })
        .collect();
    assert_eq!(kinds, [(3, "expelled"), (2, "step"), (9, "whole")]);
    // After a seat change the same step goes out again: it is smaller than the view, and everyone has it.
    let (sent, _) = solo.act(|machine, facts, out, _| {
        machine.announce(ViewUpdate::Whole(Arc::clone(&view)), facts, out);
    });
    assert!(sent.iter().all(|(_, message)| matches!(message, MembershipMessage::Announce(announcement)
        if matches!(announcement.update, ViewUpdate::Step { .. }))));
    assert_eq!(sent.len(), 2);
}

/// Whom a machine asks for news within a hundred seconds.
fn asked_for_news(solo: &mut Solo) -> Vec<NodeId> {
    solo.begin();
    let mut asked = Vec::new();
    for ms in 0..100_000 {
        let now = Time::ZERO + Span::millis(ms);
        let (sent, _) = solo.act(|machine, facts, out, events| {
            if now >= machine.deadline() {
                machine.wake(now, facts, out, events);
            }
        });
        let news = MembershipMessage::FetchView { have: ViewId(5), seats: 1 };
        asked.extend(sent.into_iter().filter(|(_, message)| *message == news).map(|(to, _)| to));
    }
    asked
}

#[test]
fn everyone_is_asked_for_news_sooner_or_later_and_nobody_often() {
    let mut solo = Solo::new(6);
    let seats =
        Seats { number: 1, voters: vec![NodeId::new(2), NodeId::new(9)], learners: vec![], passing: None };
    solo.seats = Arc::new(seats);
    let asked = asked_for_news(&mut solo);
    // Twice a second, but for the eighth of the draws that hit itself.
    assert!((150..=200).contains(&asked.len()), "{}", asked.len());
    let often = |id| asked.iter().filter(|&&other| other == NodeId::new(id)).count();
    for id in [2, 3, 4, 5, 6, 9] {
        assert!((10..=80).contains(&often(id)), "node {id} {} times of {}", often(id), asked.len());
    }
    assert_eq!(often(1), 0, "it asks itself");
}

#[test]
fn whoever_knows_older_seats_or_an_older_view_is_told_and_nobody_else() {
    let mut solo = Solo::new(3);
    solo.seats = Arc::new(Seats { number: 4, voters: vec![NodeId::new(2)], learners: vec![], passing: None });
    solo.begin();
    let news = |view, seats| MembershipMessage::FetchView { have: ViewId(view), seats };
    for (ms, view, seats, told) in
        [(0, 5, 4, false), (200, 5, 3, true), (400, 4, 4, true), (600, 5, 9, false)]
    {
        let (sent, _) = solo.receive(ms, 3, news(view, seats));
        let is_told = sent.iter().any(|(to, message)| match message {
            MembershipMessage::Announce(announcement) => {
                *to == NodeId::new(3)
                    && announcement.seats.number == 4
                    && announcement.update.target() == ViewId(5)
            }
            _ => false,
        });
        assert_eq!(is_told, told, "view {view}, seats {seats}: {sent:?}");
    }
    // One that knows a newer view is asked for it, once its announcement has had its time.
    assert_eq!(solo.receive(800, 3, news(6, 4)), (vec![], vec![]));
    assert_eq!(solo.receive(900, 3, news(6, 4)).0, vec![(NodeId::new(3), news(5, 4))]);
}
