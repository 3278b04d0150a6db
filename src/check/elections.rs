//! Invariant 1: votes, majorities and leaders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::roster::{Roster, Who};
use super::verdict::{Findings, Invariant, ceiling};
use crate::base::{Epoch, NodeId, Span, Time};
use crate::history::Machine;
use crate::node::{Index, Seats};
use crate::scenario::{FaultKind, Plan};

/// Votes are remembered for this many epochs; the majority of a leader of an earlier one is not verified.
const EPOCHS_MAX: usize = 1024;
/// How many of the newest seats are remembered for leaders whose own are not known.
const SEATS_MAX: usize = 16;

/// The leader of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reign {
    leader: NodeId,
    pub(super) machine: Machine,
    /// The last entry that was known to be committed when it was elected: its own entries come after that.
    pub(super) committed: Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vote {
    epoch: Epoch,
    candidate: NodeId,
}

/// What one node voted.
#[derive(Debug, Default)]
struct Voter {
    /// The newest vote that is certainly on its disk.
    settled: Option<Vote>,
    /// Later votes of its present process, with the time from which they count as on the way to the disk.
    pending: Vec<(Time, Vote)>,
    paused: bool,
}

impl Voter {
    fn last(&self) -> Option<Vote> {
        self.pending.last().map(|(_, vote)| *vote).or(self.settled)
    }

    /// What was written more than `horizon` ago has reached the disk. In the same moment it has not, however quick the disk is: what
    /// ends a process may come first.
    fn settle(&mut self, now: Time, horizon: Span) {
        let done = self.pending.partition_point(|(since, _)| *since + horizon < now);
        if let Some((_, vote)) = self.pending.drain(..done).next_back() {
            self.settled = Some(vote);
        }
    }
}

/// All votes and leaders.
#[derive(Debug)]
pub(super) struct Elections {
    leaders: BTreeMap<Epoch, Reign>,
    votes: BTreeMap<Epoch, BTreeSet<(NodeId, NodeId)>>,
    voters: BTreeMap<NodeId, Voter>,
    /// The seats in force on each machine, as far as its present process said.
    seats: BTreeMap<Machine, Arc<Seats>>,
    /// The newest seats that anyone spoke of.
    known: Vec<Arc<Seats>>,
    /// Leaders that were elected before any seats were known.
    unproven: Vec<(Epoch, Who)>,
    /// How long a vote may take to reach the disk.
    horizon: Span,
}

impl Elections {
    pub(super) fn new(plan: &Plan) -> Elections {
        let slow = plan.faults.iter().filter_map(|fault| match fault.kind {
            // Who gets no processor time writes that much later.
            FaultKind::SlowDisk(delay) | FaultKind::Starve(delay) => Some(ceiling(delay)),
            _ => None,
        });
        let slowed = slow.fold(Span::ZERO, |sum, delay| sum + delay);
        Elections {
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            voters: BTreeMap::new(),
            seats: BTreeMap::new(),
            known: Vec::new(),
            unproven: Vec::new(),
            // One sync may be in flight already; the vote then shares the next.
            horizon: (ceiling(plan.disk.sync) + slowed) * 2,
        }
    }

    /// The leader of an epoch.
    pub(super) fn reign(&self, epoch: Epoch) -> Option<&Reign> {
        self.leaders.get(&epoch)
    }

    /// The seats in force on a machine, as far as its present process said.
    pub(super) fn seats(&self, machine: Machine) -> Option<&Arc<Seats>> {
        self.seats.get(&machine)
    }

    pub(super) fn on_up(&mut self, who: Who) {
        self.seats.remove(&who.machine);
    }

    pub(super) fn on_down(&mut self, who: Who) {
        if let Some(voter) = self.voters.get_mut(&who.id) {
            if !voter.paused {
                voter.settle(who.at, self.horizon);
            }
            // The rest was told to no one, or its telling is in `votes`: the disk may not have it.
            voter.pending.clear();
            voter.paused = false;
        }
    }

    pub(super) fn on_paused(&mut self, who: Who) {
        if let Some(voter) = self.voters.get_mut(&who.id) {
            voter.settle(who.at, self.horizon);
            voter.paused = true;
        }
    }

    pub(super) fn on_resumed(&mut self, who: Who) {
        if let Some(voter) = self.voters.get_mut(&who.id) {
            voter.paused = false;
            for (since, _) in &mut voter.pending {
                *since = who.at;
            }
        }
    }

    pub(super) fn on_voted(&mut self, who: Who, epoch: Epoch, candidate: NodeId, findings: &mut Findings) {
        findings.census.votes += 1;
        let voter = self.voters.entry(who.id).or_default();
        voter.settle(who.at, self.horizon);
        if let Some(last) = voter.last() {
            if epoch < last.epoch {
                findings.report(
                    Invariant::OneLeader,
                    who.at,
                    &[who.machine],
                    format_args!("it voted in {epoch} after it had voted in {}", last.epoch),
                );
            } else if epoch == last.epoch && candidate != last.candidate {
                findings.report(
                    Invariant::OneLeader,
                    who.at,
                    &[who.machine],
                    format_args!("it voted in {epoch} for {candidate} after {}", last.candidate),
                );
            }
        }
        voter.pending.push((who.at, Vote { epoch, candidate }));
        self.votes.entry(epoch).or_default().insert((who.id, candidate));
        if self.votes.len() > EPOCHS_MAX {
            self.votes.pop_first();
        }
    }

    pub(super) fn on_led(
        &mut self,
        who: Who,
        epoch: Epoch,
        committed: Index,
        roster: &Roster,
        findings: &mut Findings,
    ) {
        findings.census.leaders += 1;
        if let Some(reign) = self.leaders.get(&epoch) {
            let detail = if reign.leader == who.id { "it was elected twice" } else { "both were elected" };
            findings.report(
                Invariant::OneLeader,
                who.at,
                &[reign.machine, who.machine],
                format_args!("{detail} in {epoch}"),
            );
            return;
        }
        if let Some(last) = self.voters.get(&who.id).and_then(Voter::last).filter(|last| last.epoch > epoch) {
            findings.report(
                Invariant::OneLeader,
                who.at,
                &[who.machine],
                format_args!("it was elected in {epoch} after it had voted in {}", last.epoch),
            );
        }
        self.leaders.insert(epoch, Reign { leader: who.id, machine: who.machine, committed });
        self.verify(epoch, who, roster, findings);
    }

    /// The seats in force on a node changed.
    pub(super) fn on_seated(
        &mut self,
        who: Who,
        seats: &Arc<Seats>,
        roster: &Roster,
        findings: &mut Findings,
    ) {
        self.seats.insert(who.machine, Arc::clone(seats));
        self.learn(seats, roster, findings);
    }

    /// Someone spoke of these seats.
    pub(super) fn learn(&mut self, seats: &Arc<Seats>, roster: &Roster, findings: &mut Findings) {
        if self.known.contains(seats) {
            return;
        }
        self.known.push(Arc::clone(seats));
        if self.known.len() > SEATS_MAX {
            self.known.remove(0);
        }
        for (epoch, who) in std::mem::take(&mut self.unproven) {
            self.verify(epoch, who, roster, findings);
        }
    }

    /// Whether a majority voted for the leader of `epoch`. What a node votes is observed before it is told to anyone.
    fn verify(&mut self, epoch: Epoch, who: Who, roster: &Roster, findings: &mut Findings) {
        if findings.gaps.any() {
            return;
        }
        let Some(votes) = self.votes.get(&epoch) else {
            if self.votes.len() < EPOCHS_MAX {
                let detail = format_args!("it was elected in {epoch} without any vote");
                findings.report(Invariant::OneLeader, who.at, &[who.machine], detail);
            }
            return;
        };
        let backs = |id: NodeId| id == who.id || votes.contains(&(id, who.id));
        let own = self.seats.get(&who.machine).filter(|_| roster.runs(who.machine) == Some(who.id));
        let candidates = own.map_or(&self.known[..], std::slice::from_ref);
        if candidates.is_empty() {
            self.unproven.push((epoch, who));
            return;
        }
        let count = |seats: &Seats| seats.voters.iter().filter(|&&id| backs(id)).count();
        let Some(seats) = candidates.iter().find(|seats| seats.is_quorum(backs)) else {
            let (have, of) = (count(&candidates[0]), candidates[0].voters.len());
            findings.report(
                Invariant::OneLeader,
                who.at,
                &[who.machine],
                format_args!("it was elected in {epoch} with {have} votes of {of}"),
            );
            return;
        };
        findings.census.leaders_verified += 1;
        // Without one vote to spare each of them was told, and what is told is on the disk.
        let exact = own.is_some() && seats.passing.is_none() && count(seats) == seats.quorum();
        let told: Vec<NodeId> = seats.voters.iter().copied().filter(|&id| exact && backs(id)).collect();
        for id in told.into_iter().filter(|&id| id != who.id) {
            self.prove(id, Vote { epoch, candidate: who.id }, who, roster, findings);
        }
    }

    /// A voter's vote has certainly been told.
    fn prove(&mut self, id: NodeId, vote: Vote, who: Who, roster: &Roster, findings: &mut Findings) {
        let voter = self.voters.entry(id).or_default();
        let other = |other: &Vote| other.epoch == vote.epoch && other.candidate != vote.candidate;
        if voter.pending.iter().any(|(_, pending)| other(pending))
            || voter.settled.as_ref().is_some_and(other)
        {
            let machines: Vec<Machine> = roster.home(id).into_iter().collect();
            findings.report(
                Invariant::OneLeader,
                who.at,
                &machines,
                format_args!("its vote of {} was told to two candidates", vote.epoch),
            );
        }
        if voter.settled.is_none_or(|settled| settled.epoch < vote.epoch) {
            voter.settled = Some(vote);
        }
        voter.pending.retain(|(_, pending)| pending.epoch > vote.epoch);
    }
}
