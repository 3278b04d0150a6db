//! Who belongs and who votes: gathers arrivals and departures into view changes, and keeps the seats filled.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::config::{Config, FailoverMode, limits};
use super::super::entry::{Command, Seats};
use super::super::mutant::Mutant;
use super::super::view::{Member, View, ViewChange};
use super::seating::Seating;
use super::{Coordinator, Facts, Wish};
use crate::base::{Incarnation, NodeId, Span, Time};

/// How long joins and evictions are gathered into one view change.
const GATHER: Span = Span::millis(100);
/// How often the seats are looked at.
const SEATS_EVERY: Span = Span::millis(100);
/// How often while a step towards other seats waits for answers.
const CONFIRM_EVERY: Span = Span::millis(10);
/// A view change that has not committed after this long is proposed again.
const PATIENCE: Span = Span::secs(1);

/// Arrivals and departures that wait for a view change.
#[derive(Debug)]
pub(super) struct Council {
    joining: BTreeMap<NodeId, Arc<Member>>,
    leaving: BTreeMap<NodeId, Incarnation>,
    /// Those who leave on purpose, each since when, and wait to be without a seat.
    departing: BTreeMap<NodeId, (Incarnation, Time)>,
    /// When the next view change is proposed.
    due: Time,
    /// Until when the one that is proposed may take.
    proposed_until: Option<Time>,
    seats_at: Time,
    /// When learners that did not answer had to make room for others.
    passed_over: BTreeMap<NodeId, Time>,
    /// The step that shall be taken once enough have answered what was sent after the append of this number, and when it was thought of.
    intended: Option<(Seats, u64, Time)>,
    /// The number of the last append before the last step of this reign, which is as good for the step that follows at once.
    stepped: Option<u64>,
}

/// The next step of the seats, as a leader sees it that has not taken office yet.
pub(in super::super) fn next_seats(me: NodeId, config: &Config, facts: &Facts<'_>) -> Option<Seats> {
    let (passed_over, departing) = (&BTreeMap::new(), &BTreeMap::new());
    Seating { me, failover: &config.failover, facts, passed_over, departing }.next()
}

impl Council {
    pub(super) fn new(now: Time) -> Council {
        Council {
            joining: BTreeMap::new(),
            leaving: BTreeMap::new(),
            departing: BTreeMap::new(),
            due: Time::NEVER,
            proposed_until: None,
            seats_at: now + SEATS_EVERY,
            passed_over: BTreeMap::new(),
            intended: None,
            stepped: None,
        }
    }

    /// When the next view change, and the next look at the seats, is due.
    pub(super) fn deadlines(&self) -> (Time, Time) {
        (self.proposed_until.unwrap_or(self.due), self.seats_at)
    }

    /// It does not leave after all.
    pub(super) fn leaving_is_off(&mut self, id: NodeId, incarnation: Incarnation) {
        if self.leaving.get(&id) == Some(&incarnation) {
            self.leaving.remove(&id);
        }
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
        self.let_go_of_the_unseated(facts);
        if self.proposed_until.is_none() && facts.now >= self.due {
            self.propose(facts, wishes);
        }
        if facts.now >= self.seats_at {
            self.seats_at = facts.now + SEATS_EVERY;
            match config.failover.mode {
                FailoverMode::Log => {
                    let voters = &facts.seats.voters;
                    let stays = config.has(Mutant::LostVoterStays)
                        && voters.iter().any(|voter| facts.ledger.view().member(*voter).is_none());
                    if !stays && let Some(seats) = self.next_step(me, config, facts) {
                        self.note_passed_over(&seats, facts);
                        wishes.push_back(Wish::Seat(seats));
                    }
                }
                FailoverMode::Standby => wishes.push_back(Wish::Standby),
            }
        }
    }

    /// The next step towards other seats, once enough have answered since it was thought of: whoever answered shortly before may
    /// have died since.
    fn next_step(&mut self, me: NodeId, config: &Config, facts: &Facts<'_>) -> Option<Seats> {
        let seating = Seating {
            me,
            failover: &config.failover,
            facts,
            passed_over: &self.passed_over,
            departing: &self.departing,
        };
        let stepped = self.stepped.take();
        let Some(next) = seating.next() else {
            self.intended = None;
            return None;
        };
        // Answers of long ago say no more than those before the step was thought of.
        let lasts = |at: Time| facts.now < at + config.failover.election;
        let known = self.intended.take().filter(|(seats, _, at)| *seats == next && lasts(*at));
        let (round, at) = match known {
            Some((_, round, at)) => (round, at),
            None => (stepped.unwrap_or(facts.round), facts.now),
        };
        if !seating.is_confirmed(&next, round) {
            self.intended = Some((next, round, at));
            self.seats_at = facts.now + CONFIRM_EVERY;
            return None;
        }
        self.stepped = Some(facts.round);
        Some(next)
    }

    /// Those who leave on purpose and have no seat any more can go.
    fn let_go_of_the_unseated(&mut self, facts: &Facts<'_>) {
        let view = facts.ledger.view();
        self.departing.retain(|&id, (incarnation, _)| view.contains(id, *incarnation));
        let seats = facts.seats;
        for (&id, &(incarnation, _)) in &self.departing {
            let seated = seats.voters.contains(&id) || seats.learners.contains(&id);
            if !seated && self.leaving.insert(id, incarnation) != Some(incarnation) {
                self.due = self.due.min(facts.now);
            }
        }
    }

    /// Seats were changed: the next step may follow at once.
    pub(super) fn reseated(&mut self, now: Time) {
        self.seats_at = now;
    }

    /// Remembers who has to make room by this step without having learnt.
    fn note_passed_over(&mut self, next: &Seats, facts: &Facts<'_>) {
        let view = facts.ledger.view();
        self.passed_over.retain(|&id, _| view.member(id).is_some());
        let is_out = |id: &&NodeId| !next.learners.contains(id) && !next.voters.contains(id);
        for &id in facts.seats.learners.iter().filter(is_out) {
            self.passed_over.insert(id, facts.now);
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

    /// A member leaves on purpose. One that has a seat gives it up first.
    pub(in super::super) fn depart(&mut self, id: NodeId, incarnation: Incarnation, facts: &Facts<'_>) {
        if self.config.failover.mode == FailoverMode::Standby {
            return self.let_go(id, incarnation, facts);
        }
        if facts.ledger.view().contains(id, incarnation) && !self.council.departing.contains_key(&id) {
            self.council.departing.insert(id, (incarnation, facts.now));
            self.council.seats_at = facts.now;
        }
    }

    /// Whether a member is about to leave on purpose.
    pub(in super::super) fn is_departing(&self, id: NodeId) -> bool {
        self.council.departing.contains_key(&id)
    }

    /// For how long this reign has lasted.
    pub(in super::super) fn reigns_for(&self, now: Time) -> Span {
        now.since(self.began)
    }

    /// A member shall be let go, or evicted.
    pub(in super::super) fn let_go(&mut self, id: NodeId, incarnation: Incarnation, facts: &Facts<'_>) {
        // Whoever leads is heard by a quorum, whatever its observers say.
        let ignored = self.config.has(Mutant::NobodyIsEvicted);
        if id != self.me && !ignored && facts.ledger.view().contains(id, incarnation) {
            self.council.leaving.insert(id, incarnation);
            self.council.due = self.council.due.min(facts.now + GATHER);
        }
    }

    /// A member that was to be evicted is heard again.
    pub(in super::super) fn trust(&mut self, id: NodeId, incarnation: Incarnation) {
        self.trial.absolve(id);
        self.council.leaving_is_off(id, incarnation);
    }
}
