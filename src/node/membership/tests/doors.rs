//! Coming and going.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::{Facts, Membership, MembershipEvent as Event};
use super::net::{Net, member};
use crate::base::{Epoch, Incarnation, NodeId, Rng, Span, Time, ViewId};
use crate::node::config::Membership as MembershipConfig;
use crate::node::entry::Seats;
use crate::node::io::{Effect, Outbox};
use crate::node::message::{Body, MembershipMessage};
use crate::node::view::{View, ViewChange};

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
        let facts =
            Facts { epoch: Epoch(3), coordinator: self.coordinator, leads: self.leads, seats: &seats };
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
        MembershipMessage::FetchView { have: ViewId(1) },
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
    let fetch = (vec![(NodeId::new(7), MembershipMessage::FetchView { have: ViewId(5) })], vec![]);
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
