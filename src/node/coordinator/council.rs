//! Who belongs and who votes: gathers arrivals and departures into view changes, and keeps the seats filled.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::config::{Config, FailoverMode, limits};
use super::super::entry::{Command, Seats};
use super::super::view::{Member, View, ViewChange};
use super::{Coordinator, Facts, Wish};
use crate::base::{Incarnation, NodeId, Span, Time};

/// How long joins and evictions are gathered into one view change.
const GATHER: Span = Span::millis(100);
/// How often the seats are looked at.
const SEATS_EVERY: Span = Span::millis(100);
/// A view change that has not committed after this long is proposed again.
const PATIENCE: Span = Span::secs(1);
/// A learner this close to the end of the log has caught up.
const CAUGHT_UP: u64 = 64;

/// Arrivals and departures that wait for a view change.
#[derive(Debug)]
pub(super) struct Council {
    joining: BTreeMap<NodeId, Arc<Member>>,
    leaving: BTreeMap<NodeId, Incarnation>,
    /// When the next view change is proposed.
    due: Time,
    /// Until when the one that is proposed may take.
    proposed_until: Option<Time>,
    seats_at: Time,
}

impl Council {
    pub(super) fn new(now: Time) -> Council {
        Council {
            joining: BTreeMap::new(),
            leaving: BTreeMap::new(),
            due: Time::NEVER,
            proposed_until: None,
            seats_at: now + SEATS_EVERY,
        }
    }

    /// When the next view change, and the next look at the seats, is due.
    pub(super) fn deadlines(&self) -> (Time, Time) {
        (self.proposed_until.unwrap_or(self.due), self.seats_at)
    }

    pub(super) fn view_changed(&mut self) {
        self.proposed_until = None;
    }

    pub(super) fn wake(
        &mut self,
        me: NodeId,
        config: &Config,
        facts: &Facts<'_>,
        wishes: &mut VecDeque<Wish>,
    ) {
        if self.proposed_until.is_some_and(|until| facts.now >= until) {
            self.proposed_until = None;
        }
        if self.proposed_until.is_none() && facts.now >= self.due {
            self.propose(facts, wishes);
        }
        if facts.now >= self.seats_at {
            self.seats_at = facts.now + SEATS_EVERY;
            match config.failover.mode {
                FailoverMode::Log => {
                    wishes.extend(next_seats(me, config, facts).map(Wish::Seat));
                }
                FailoverMode::Standby => wishes.push_back(Wish::Standby),
            }
        }
    }

    fn propose(&mut self, facts: &Facts<'_>, wishes: &mut VecDeque<Wish>) {
        self.due = Time::NEVER;
        let view = facts.ledger.view();
        self.joining.retain(|&id, member| is_newer(view, id, member.incarnation));
        self.leaving.retain(|&id, &mut incarnation| view.contains(id, incarnation));
        let joined: Vec<Member> =
            self.joining.values().take(limits::VIEW_CHANGE_MAX).map(|member| (**member).clone()).collect();
        let gone: Vec<(NodeId, Incarnation)> = (self.leaving.iter())
            .filter(|(id, _)| !self.joining.contains_key(id))
            .take(limits::VIEW_CHANGE_MAX)
            .map(|(&id, &incarnation)| (id, incarnation))
            .collect();
        if !joined.is_empty() || !gone.is_empty() {
            self.proposed_until = Some(facts.now + PATIENCE);
            // What this change does not take, or does not bring about, is looked at again.
            self.due = facts.now + GATHER;
            wishes.push_back(Wish::Propose(Command::ChangeView(ViewChange { joined, gone })));
        }
    }
}

fn is_newer(view: &View, id: NodeId, incarnation: Incarnation) -> bool {
    let ended = view.is_ended(id, incarnation);
    !ended && view.member(id).is_none_or(|member| member.incarnation < incarnation)
}

impl Coordinator {
    /// A node asks to be let in.
    pub(in super::super) fn join(&mut self, member: &Arc<Member>, facts: &Facts<'_>) {
        let view = facts.ledger.view();
        let waiting = self.council.joining.get(&member.id);
        if !is_newer(view, member.id, member.incarnation)
            || waiting.is_some_and(|waiting| waiting.incarnation >= member.incarnation)
        {
            return;
        }
        self.council.joining.insert(member.id, Arc::clone(member));
        // A new life of a known node replaces the old one without delay: the old one's work waits for that.
        let gather = if view.member(member.id).is_some() { Span::ZERO } else { GATHER };
        self.council.due = self.council.due.min(facts.now + gather);
    }

    /// A member leaves, or has been suspect for too long.
    pub(in super::super) fn evict(&mut self, id: NodeId, incarnation: Incarnation, facts: &Facts<'_>) {
        // Whoever leads is heard by a quorum, whatever its observers say.
        if id != self.me && facts.ledger.view().contains(id, incarnation) {
            self.council.leaving.insert(id, incarnation);
            self.council.due = self.council.due.min(facts.now + GATHER);
        }
    }

    /// A member that was to be evicted is heard again.
    pub(in super::super) fn trust(&mut self, id: NodeId, incarnation: Incarnation) {
        if self.council.leaving.get(&id) == Some(&incarnation) {
            self.council.leaving.remove(&id);
        }
    }
}

/// The next single step towards seats that are all held by members, as many as the cluster shall have; `None` when
/// nothing is to be done.
///
/// An evicted voter is replaced once a learner has caught up: it is removed, and the learner added right after. Without
/// anyone to learn, five seats with two dead shrink to three, and seven with two dead to five.
fn next_seats(me: NodeId, config: &Config, facts: &Facts<'_>) -> Option<Seats> {
    let (seats, view) = (facts.seats, facts.ledger.view());
    let is_member = |id: &NodeId| view.member(*id).is_some();
    let step = |voters: Vec<NodeId>, learners: Vec<NodeId>| {
        Some(Seats { number: seats.number + 1, voters, learners })
    };
    let without =
        |list: &[NodeId], id: NodeId| list.iter().copied().filter(|&other| other != id).collect::<Vec<_>>();
    if let Some(&gone) = seats.learners.iter().find(|id| !is_member(id)) {
        return step(seats.voters.clone(), without(&seats.learners, gone));
    }
    let gone: Vec<NodeId> = seats.voters.iter().copied().filter(|id| !is_member(id)).collect();
    let want = config.failover.voters_for(view.members().len());
    let ready = seats
        .learners
        .iter()
        .copied()
        .find(|&id| !(facts.suspect)(id) && (facts.lag)(id).is_some_and(|behind| behind <= CAUGHT_UP));
    // An even number of voters is only ever the middle of a replacement or of growth.
    let wanted = seats.voters.len() - gone.len() < want.max(seats.voters.len() | 1);
    match (gone.first(), ready) {
        (Some(&gone), Some(_)) => step(without(&seats.voters, gone), seats.learners.clone()),
        (None, Some(learner)) if seats.voters.len() < want || seats.voters.len() % 2 == 0 => {
            let mut voters = seats.voters.clone();
            voters.push(learner);
            voters.sort_unstable();
            step(voters, without(&seats.learners, learner))
        }
        _ if wanted
            && seats.learners.is_empty()
            && (!gone.is_empty() || seats.voters.len() < want || seats.voters.len() % 2 == 0) =>
        {
            let candidate = view
                .members()
                .iter()
                .map(|member| member.id)
                .find(|id| *id != me && !seats.voters.contains(id) && !(facts.suspect)(*id));
            match candidate {
                Some(id) => step(seats.voters.clone(), vec![id]),
                None => shrink(seats, &gone),
            }
        }
        _ => None,
    }
}

/// Without a replacement: two dead voters go together, one after the other, so that the rest is an odd number again.
fn shrink(seats: &Seats, gone: &[NodeId]) -> Option<Seats> {
    let odd = seats.voters.len() % 2 == 1;
    let possible = if odd {
        gone.len() >= 2 && seats.voters.len() >= 5
    } else {
        !gone.is_empty() && seats.voters.len() >= 4
    };
    possible.then(|| Seats {
        number: seats.number + 1,
        voters: seats.voters.iter().copied().filter(|&id| id != gone[0]).collect(),
        learners: seats.learners.clone(),
    })
}
