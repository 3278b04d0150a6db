//! Who shall have a seat: the next single step towards seats that are all held by members that answer.
//!
//! A step that was wrong can be taken back only with a quorum of the seats that it made, and so perhaps never. Three rules
//! keep that from happening:
//!
//! - A voter loses its seat only when it is no member *and* has not answered its leader for long. One that restarts, or that was
//!   evicted in error, keeps it: it will be a member again in a moment.
//! - A lost voter's seat passes to its successor: while it does, those who would have decided before and those who will after decide
//!   together. Of `2f + 1` voters `f` can be lost for good before, meanwhile and after, whichever these are. Were the lost one
//!   removed first, of `2f` one less could be lost; were the successor there first, it would be needed from the first moment on.
//! - No step is taken before a quorum of the seats that it makes has answered what was sent after it was thought of.
//!
//! Whoever leaves on purpose gives up its seat before it goes, so that however many leave, those who stay have a quorum.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::super::config::Failover;
use super::super::entry::{Passing, Seats};
use super::Facts;
use crate::base::{Incarnation, NodeId, Span, Time};

/// A learner this close to the end of the log has caught up.
const CAUGHT_UP: u64 = 64;
/// A voter or learner that has not answered for this many election time-outs cannot be counted on.
const LOST_ELECTIONS: u64 = 4;
/// How long one who leaves waits for a successor to learn.
const SUCCESSOR_WITHIN: Span = Span::secs(5);
/// How long lost voters are waited for before the cluster does with fewer: whoever replaces a voter too early loses nothing, but with
/// three voters one can be spared where with five it was two.
const SHRINK_AFTER: Span = Span::secs(10);

/// What the next step depends on.
pub(super) struct Seating<'a> {
    pub(super) me: NodeId,
    pub(super) failover: &'a Failover,
    pub(super) facts: &'a Facts<'a>,
    /// When learners that did not answer had to make room for others.
    pub(super) passed_over: &'a BTreeMap<NodeId, Time>,
    /// Members that leave on purpose, each since when it has asked: they go once they have no seat.
    pub(super) departing: &'a BTreeMap<NodeId, (Incarnation, Time)>,
}

impl Seating<'_> {
    /// The next step; `None` when nothing is to be done, or nothing can be done yet.
    ///
    /// An odd number of voters is at rest; an even number is the middle of a seat's passing, of growth by two, or of shrinking by two.
    pub(super) fn next(&self) -> Option<Seats> {
        let Seats { voters, learners, passing, .. } = self.facts.seats;
        if let Some(passing) = passing {
            return self.pass_on(*passing);
        }
        let staying: Vec<NodeId> = learners.iter().copied().filter(|id| self.stays(*id)).collect();
        if staying.len() < learners.len() {
            return self.step(voters.clone(), staying);
        }
        let lost: Vec<NodeId> = voters.iter().copied().filter(|id| self.is_lost(*id)).collect();
        let ready: Vec<NodeId> = learners.iter().copied().filter(|id| self.is_ready(*id)).collect();
        let want = self.want();
        if voters.iter().any(|id| self.departing.contains_key(id)) {
            // Where the dead keep those who leave from going, they have to go first.
            let step = self.make_way(want, ready.first().copied());
            if step.is_some() || lost.is_empty() {
                return step;
            }
        }
        let odd = voters.len() % 2 == 1;
        let grows = voters.len() < want;
        let usual = if odd { voters.len() } else { voters.len() - 1 };
        let need = (want.max(usual) + lost.len()).saturating_sub(voters.len());
        match (odd, lost.first(), ready.first()) {
            (true, Some(_), Some(&successor)) => {
                self.pass(self.longest_silent(&lost)?, successor).or_else(|| self.learn(need))
            }
            // Only with both at hand, so that an even number does not have to last.
            (true, None, Some(&first)) if grows && ready.len() >= 2 => self.with(first),
            (true, _, _) if voters.len() >= 5 && self.nobody_can_learn() && self.are_given_up(&lost) => {
                self.without(self.longest_silent(&lost)?)
            }
            (false, _, Some(&second)) if grows => self.with(second),
            (false, Some(_), _) => self.without(self.longest_silent(&lost)?),
            (false, None, _) if !grows => self.without(self.least_useful()?),
            (true | false, _, _) => self.learn(need),
        }
    }

    /// The seat of a lost voter begins to pass to a learner.
    fn pass(&self, from: NodeId, to: NodeId) -> Option<Seats> {
        let seats = Seats { passing: Some(Passing { from, to }), ..self.and(to) };
        self.stands(&seats).then_some(seats)
    }

    /// A seat that passes comes to its end: with the successor, unless it does not answer or is not needed, because who lost the seat
    /// is back.
    fn pass_on(&self, Passing { from, to }: Passing) -> Option<Seats> {
        let back = self.is_member(from) && self.answers(from) || !self.answers(to) && !self.is_lost(from);
        let (first, second) = if back { (to, from) } else { (from, to) };
        self.without(first).or_else(|| self.without(second))
    }

    /// The next step towards seats of those who stay: a successor first if there can be one, then without the one that leaves. The
    /// leader keeps its seat: it hands over first.
    fn make_way(&self, want: usize, ready: Option<NodeId>) -> Option<Seats> {
        let Seats { voters, .. } = self.facts.seats;
        let leaves = |id: &NodeId| self.departing.contains_key(id);
        let staying = voters.iter().filter(|id| !leaves(id)).count();
        let leaver = voters.iter().copied().find(|id| leaves(id) && *id != self.me);
        let first_asked = voters.iter().filter_map(|id| self.departing.get(id)).map(|(_, at)| *at).min();
        let patient = first_asked.is_some_and(|at| self.facts.now < at + SUCCESSOR_WITHIN);
        // The leader alone waits for as long as it takes: without it nobody would be left to let anybody in.
        let waits = patient || leaver.is_none();
        if want > staying && voters.len() % 2 == 1 && waits && !self.nobody_can_learn() {
            return ready.map_or_else(|| self.learn(1), |successor| self.with(successor));
        }
        self.without(leaver?)
    }

    /// Whether a member has not asked to leave.
    fn stays(&self, id: NodeId) -> bool {
        self.is_member(id) && !self.departing.contains_key(&id)
    }

    /// How many voters there shall be: always an odd number.
    fn want(&self) -> usize {
        let members = self.facts.ledger.view().members().iter();
        let want = self.failover.voters_for(members.filter(|member| self.stays(member.id)).count());
        if want.is_multiple_of(2) { want - 1 } else { want }
    }

    fn is_member(&self, id: NodeId) -> bool {
        self.facts.ledger.view().member(id).is_some()
    }

    fn is_silent(&self, id: NodeId) -> bool {
        (self.facts.silence)(id) >= self.failover.election * LOST_ELECTIONS
    }

    fn is_lost(&self, id: NodeId) -> bool {
        !self.is_member(id) && self.is_silent(id)
    }

    /// Whether two voters have been lost for so long that the cluster shall do without them.
    fn are_given_up(&self, lost: &[NodeId]) -> bool {
        lost.iter().filter(|id| (self.facts.silence)(**id) >= SHRINK_AFTER).count() >= 2
    }

    /// Whether it has answered this leader of late.
    fn answers(&self, id: NodeId) -> bool {
        let recently = (self.facts.silence)(id) < self.failover.election;
        id == self.me || recently && (self.facts.lag)(id).is_some()
    }

    fn is_ready(&self, id: NodeId) -> bool {
        let close = (self.facts.lag)(id).is_some_and(|behind| behind <= CAUGHT_UP);
        // In a short log also one that has nothing yet is close to the end.
        close && (self.facts.holds_seats)(id) && self.answers(id) && !(self.facts.suspect)(id)
    }

    /// The members that could learn, those first that have not been passed over, or not for the longest time.
    fn candidates(&self) -> Vec<NodeId> {
        let Seats { voters, learners, .. } = self.facts.seats;
        let members = self.facts.ledger.view().members().iter().map(|member| member.id);
        let free = |id: &NodeId| {
            *id != self.me
                && !self.departing.contains_key(id)
                && !voters.contains(id)
                && !learners.contains(id)
                && !(self.facts.suspect)(*id)
        };
        let mut candidates: Vec<NodeId> = members.filter(free).collect();
        candidates.sort_by_key(|id| self.passed_over.get(id));
        candidates
    }

    fn nobody_can_learn(&self) -> bool {
        self.facts.seats.learners.is_empty() && self.candidates().is_empty()
    }

    fn longest_silent(&self, voters: &[NodeId]) -> Option<NodeId> {
        voters.iter().copied().max_by_key(|id| (self.facts.silence)(*id))
    }

    /// The voter that is missed least where there is one too many.
    fn least_useful(&self) -> Option<NodeId> {
        let others = self.facts.seats.voters.iter().copied().filter(|&id| id != self.me);
        let use_of = |id: &NodeId| {
            let behind = (self.facts.lag)(*id).unwrap_or(u64::MAX);
            (self.is_member(*id), self.answers(*id), !(self.facts.suspect)(*id), std::cmp::Reverse(behind))
        };
        others.min_by_key(use_of)
    }

    /// Lets as many learn as are needed; one that does not answer makes room for another one.
    fn learn(&self, need: usize) -> Option<Seats> {
        let Seats { voters, learners, .. } = self.facts.seats;
        if need == 0 {
            return if learners.is_empty() { None } else { self.step(voters.clone(), Vec::new()) };
        }
        let mut candidates = self.candidates().into_iter();
        let mut next = learners.clone();
        next.extend(candidates.by_ref().take(need.saturating_sub(learners.len())));
        if next.len() == learners.len() {
            let mute = next.iter_mut().find(|id| self.is_silent(**id))?;
            *mute = candidates.next()?;
        }
        next.sort_unstable();
        self.step(voters.clone(), next)
    }

    /// A learner becomes a voter.
    fn with(&self, learner: NodeId) -> Option<Seats> {
        let seats = self.and(learner);
        self.stands(&seats).then_some(seats)
    }

    fn and(&self, learner: NodeId) -> Seats {
        let Seats { voters, learners, .. } = self.facts.seats;
        let mut voters = voters.clone();
        voters.push(learner);
        voters.sort_unstable();
        self.seats(voters, learners.iter().copied().filter(|id| *id != learner).collect())
    }

    /// A voter loses its seat.
    fn without(&self, voter: NodeId) -> Option<Seats> {
        let Seats { voters, learners, .. } = self.facts.seats;
        self.step(voters.iter().copied().filter(|id| *id != voter).collect(), learners.clone())
    }

    /// The step to these seats, if they have a quorum.
    fn step(&self, voters: Vec<NodeId>, learners: Vec<NodeId>) -> Option<Seats> {
        let seats = self.seats(voters, learners);
        self.stands(&seats).then_some(seats)
    }

    fn seats(&self, voters: Vec<NodeId>, learners: Vec<NodeId>) -> Seats {
        Seats { number: self.facts.seats.number + 1, voters, learners, passing: None }
    }

    fn stands(&self, next: &Seats) -> bool {
        has_quorum(self.facts.seats, next, |id| self.answers(id))
    }

    /// Whether enough have answered an append that was sent after that of `round` for this step to be taken. Where nobody gets or
    /// loses a vote, nothing depends on that.
    pub(super) fn is_confirmed(&self, next: &Seats, round: u64) -> bool {
        next.voters == self.facts.seats.voters
            || has_quorum(self.facts.seats, next, |id| id == self.me || (self.facts.answered)(id) > round)
    }
}

/// Whether those of `next` who answer are a quorum of it, even if who has no seat in `now` dies at once. Beside a single voter
/// a second one is needed.
fn has_quorum(now: &Seats, next: &Seats, answers: impl Fn(NodeId) -> bool) -> bool {
    let is_new = |id: &NodeId| !now.voters.contains(id);
    let counts = |id: NodeId| answers(id) && (now.voters.len() == 1 || !is_new(&id));
    next.is_quorum(counts) && next.voters.iter().filter(|id| is_new(id)).all(|&id| answers(id))
}
