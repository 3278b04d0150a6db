//! Coming and going: how a life is let in, leaves, and learns that it was evicted.

use std::sync::Arc;

use super::{Events, Facts, Membership, MembershipEvent, Standing};
use crate::base::{Incarnation, NodeId, Span, Time, ViewId};
use crate::node::io::Outbox;
use crate::node::message::{Body, MembershipMessage};
use crate::node::observation::Observation;
use crate::node::view::Member;

/// Between two requests to be let in or out.
const ASK_PERIOD: Span = Span::millis(500);
/// How many nodes are told something of their own within [`COURTESY_PERIOD`].
const COURTESY_MAX: usize = 64;
/// The shortest time between two such answers to one node.
const COURTESY_PERIOD: Span = Span::millis(100);

impl Membership {
    /// Asks to be let go, until the cluster says so ([`MembershipEvent::Left`]). The node stays a member until then.
    pub(in crate::node) fn leave(
        &mut self,
        now: Time,
        facts: &Facts<'_>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        match self.standing {
            Standing::Member => {
                self.standing = Standing::Leaving;
                self.ask(now, facts, out, events);
            }
            Standing::Leaving => {}
            Standing::Joining | Standing::Silent => {
                self.fall_silent();
                events.push_back(MembershipEvent::Left);
            }
        }
    }

    pub(super) fn begin_asking(
        &mut self,
        now: Time,
        facts: &Facts<'_>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        self.standing = Standing::Joining;
        // The first to be asked is the coordinator or a voter; which one, and who comes next, is random.
        self.turn = self.rng.below(1 << 32) * 3;
        self.ask(now, facts, out, events);
    }

    /// Asks someone to be let in or out.
    pub(super) fn ask(&mut self, now: Time, facts: &Facts<'_>, out: &mut Outbox, events: &mut Events) {
        self.ask_at = now + ASK_PERIOD;
        let leaves = self.standing == Standing::Leaving;
        let (node, incarnation) = (self.me.id, self.me.incarnation);
        if facts.leads {
            events.push_back(if leaves {
                MembershipEvent::Leaving(node, incarnation)
            } else {
                MembershipEvent::Joining(Arc::clone(&self.me))
            });
        } else if let Some(host) = self.next_host(facts) {
            out.send(
                host,
                Body::Membership(if leaves {
                    MembershipMessage::Leave { node, incarnation }
                } else {
                    MembershipMessage::Join(Arc::clone(&self.me))
                }),
            );
        }
    }

    /// Whom to ask next. Those who should know (the coordinator, the voters), seeds and members take turns, so that no
    /// list that is out of date holds up the others.
    fn next_host(&mut self, facts: &Facts<'_>) -> Option<NodeId> {
        // Twice round, because a turn can fall on this node itself.
        for _ in 0..6 {
            let (list, turn) = (self.turn % 3, (self.turn / 3) as usize);
            self.turn += 1;
            let voters = &facts.seats.voters;
            let members = self.view.members();
            let host = match list {
                0 => facts.coordinator.or_else(|| voters.get(turn % voters.len().max(1)).copied()),
                1 => self.seeds.get(turn % self.seeds.len().max(1)).copied(),
                _ => members.get(turn % members.len().max(1)).map(|member| member.id),
            };
            if host.is_some_and(|host| host != self.me.id) {
                return host;
            }
        }
        None
    }

    pub(super) fn on_join(
        &mut self,
        now: Time,
        from: NodeId,
        member: Arc<Member>,
        facts: &Facts<'_>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        let (id, incarnation) = (member.id, member.incarnation);
        if self.view.is_home_of(&member) {
            self.announce_whole(now, id, facts, out);
        } else if self.view.contains(id, incarnation) || self.view.is_ended(id, incarnation) {
            self.refuse(now, id, incarnation, out);
        } else if facts.leads {
            events.push_back(MembershipEvent::Joining(member));
        } else if let Some(coordinator) = self.next_hop(from, id, facts) {
            out.send(coordinator, Body::Membership(MembershipMessage::Join(member)));
        }
    }

    pub(super) fn on_leave(
        &mut self,
        now: Time,
        from: NodeId,
        message: (NodeId, Incarnation),
        facts: &Facts<'_>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        let (node, incarnation) = message;
        let is_over = if facts.leads {
            self.is_out(node, incarnation)
        } else {
            // Unlike the leader, this node may not have heard of that life yet.
            self.view.is_ended(node, incarnation)
        };
        if is_over {
            self.refuse(now, node, incarnation, out);
        } else if facts.leads {
            events.push_back(MembershipEvent::Leaving(node, incarnation));
        } else if let Some(coordinator) = self.next_hop(from, node, facts) {
            out.send(coordinator, Body::Membership(MembershipMessage::Leave { node, incarnation }));
        }
    }

    /// Where to pass on what `asker` wants and `from` sent: only what comes from the asker itself is passed on, so that
    /// two nodes that take each other for the coordinator do not play ball with it.
    fn next_hop(&self, from: NodeId, asker: NodeId, facts: &Facts<'_>) -> Option<NodeId> {
        facts
            .coordinator
            .filter(|&coordinator| from == asker && coordinator != self.me.id && coordinator != asker)
    }

    /// Someone says that `incarnation` is over, by a view that does not contain it though an earlier one did.
    pub(super) fn on_expelled(
        &mut self,
        incarnation: Incarnation,
        view: ViewId,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        let knows_better = self.is_member() && view <= self.view.id();
        if incarnation == self.me.incarnation && !knows_better {
            self.end_life(out, events);
        }
    }

    /// This life is over: by eviction, or as it wished.
    pub(super) fn end_life(&mut self, out: &mut Outbox, events: &mut Events) {
        let wished = self.standing == Standing::Leaving;
        self.fall_silent();
        if wished {
            events.push_back(MembershipEvent::Left);
        } else {
            out.observe(Observation::Expelled { incarnation: self.me.incarnation });
            events.push_back(MembershipEvent::Expelled);
        }
    }

    /// Tells `to` that its life is over, unless it was told something just now.
    pub(super) fn refuse(&mut self, now: Time, to: NodeId, incarnation: Incarnation, out: &mut Outbox) {
        if self.courtesy.allows(now, to) {
            let view = self.view.id();
            out.send(to, Body::Membership(MembershipMessage::Expelled { incarnation, view }));
        }
    }
}

/// Limits the answers that others can draw out of a node: one per receiver and [`COURTESY_PERIOD`], and few altogether.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    /// Who was answered of late, and until when that counts.
    lately: Vec<(NodeId, Time)>,
}

impl Courtesy {
    /// Whether `to` may be answered now; counts as an answer if so.
    pub(super) fn allows(&mut self, now: Time, to: NodeId) -> bool {
        self.lately.retain(|&(_, until)| until > now);
        let allowed =
            self.lately.len() < COURTESY_MAX && self.lately.iter().all(|&(receiver, _)| receiver != to);
        if allowed {
            self.lately.push((to, now + COURTESY_PERIOD));
        }
        allowed
    }
}
