//! What is counted twice, and what is forgotten, where a coordinator goes on from a state that lacks what others have counted.
//!
//! Its entries contradict the log and are no part of it. Each reign that makes such entries has a line of its own: the line that it
//! took over, up to a place, and then what it made itself. Jobs are known by the requests that made them, because two lines give
//! the same number to different jobs.

use std::collections::{BTreeMap, BTreeSet};

use super::intervals::Cover;
use super::ledger::Ledger;
use super::log::Log;
use crate::base::{Epoch, JobId, SessionId};
use crate::history::Machine;
use crate::node::{Change, Command, Entry, Index, Payload, Position, Reply, Request};

/// The request that made a job: its client's session and its number there.
type Origin = (SessionId, u64);

/// The jobs of a line, each with its request and the place at which it was added.
type Jobs = BTreeMap<JobId, (Origin, Index)>;

/// A reign with entries that the log does not have.
#[derive(Debug)]
struct Branch {
    /// The jobs that it took over, and its own.
    jobs: Jobs,
    /// Its last entry so far.
    last: Index,
    /// What its entries counted: where, of which job, the first input and the one after the last.
    counted: Vec<(Index, Origin, (u64, u64))>,
}

/// All lines beside the log.
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// The jobs of the log itself.
    log: Jobs,
    reigns: BTreeMap<Epoch, Branch>,
    /// Where the state of each running process stands, if it has any.
    stands: BTreeMap<Machine, Position>,
    /// How many queries clients were told will be answered, by the request that asked for them.
    accepted: BTreeMap<Origin, u64>,
    /// The last submission of each session, and how many queries it is about.
    asked: BTreeMap<SessionId, (u64, u64)>,
}

impl Branches {
    /// A process began or ended, and holds nothing.
    pub(super) fn on_process(&mut self, machine: Machine) {
        self.stands.remove(&machine);
    }

    /// A node replaced its state by that of another.
    pub(super) fn on_restored(&mut self, machine: Machine, last: Position) {
        self.stands.insert(machine, last);
    }

    /// A client asked something.
    pub(super) fn on_asked(&mut self, session: SessionId, number: u64, request: &Request) {
        if let Request::Submit(spec) = request {
            let queries = spec.inputs.count().div_ceil(u64::from(spec.batch.max(1)));
            self.asked.insert(session, (number, queries));
        }
    }

    /// A client was told something.
    pub(super) fn on_told(&mut self, session: SessionId, number: u64, reply: &Reply) {
        if let Reply::Submitted(_) = reply
            && let Some((_, queries)) = self.asked.get(&session).filter(|asked| asked.0 == number)
        {
            self.accepted.insert((session, number), *queries);
        }
    }

    /// A node applied an entry; `is_new` if the log ends with it since then.
    pub(super) fn on_applied(
        &mut self,
        machine: Machine,
        entry: &Entry,
        changes: &[Change],
        is_new: bool,
        log: &Log,
    ) {
        let Position { epoch, index } = entry.position;
        let before = self.stands.insert(machine, entry.position);
        if is_new {
            note(&mut self.log, entry, changes);
        } else if !log.has(entry.position) {
            if !self.reigns.contains_key(&epoch) {
                let jobs = before.map_or_else(Jobs::new, |before| self.jobs_at(before, log));
                self.reigns.insert(epoch, Branch { jobs, last: Index(0), counted: Vec::new() });
            }
            let branch = self.reigns.get_mut(&epoch).expect("it is there since then");
            // A standby applies the same entries after its coordinator.
            if index > branch.last {
                branch.last = index;
                note(&mut branch.jobs, entry, changes);
                branch.count(index, changes);
            }
        }
    }

    /// The jobs of the line that leads to a place.
    fn jobs_at(&self, place: Position, log: &Log) -> Jobs {
        let line = self.reigns.get(&place.epoch).filter(|_| !log.has(place));
        let jobs = line.map_or(&self.log, |branch| &branch.jobs);
        let until = jobs.iter().filter(|(_, (_, added))| *added <= place.index);
        until.map(|(job, origin)| (*job, *origin)).collect()
    }

    /// How many queries were counted whose inputs, or some of them, had been counted in another line.
    pub(super) fn doubled(&self, ledger: &Ledger, log: &Log) -> u64 {
        let mut covers: BTreeMap<Origin, Cover> = BTreeMap::new();
        let mut doubled = 0;
        for (&epoch, branch) in &self.reigns {
            // Who has contradicted the log may be the first all the same to apply what becomes a part of it.
            let beside = |index: Index| !log.has(Position { epoch, index });
            for &(_, origin, (from, to)) in branch.counted.iter().filter(|counted| beside(counted.0)) {
                let cover = covers.entry(origin).or_insert_with(|| ledger.counted_of(origin));
                doubled += u64::from(cover.insert(from, to) > 0);
            }
        }
        doubled
    }

    /// How many queries of accepted jobs are nowhere: those who lead do not have the job, or, when nobody leads, those who run;
    /// nor is it in a log that is `stored` on disks.
    pub(super) fn lost(
        &self,
        leads: impl Fn(Machine) -> bool,
        stored: bool,
        ledger: &Ledger,
        log: &Log,
    ) -> u64 {
        let leaders = self.stands.iter().filter(|(machine, _)| leads(**machine));
        let leaders: Vec<Position> = leaders.map(|(_, place)| *place).collect();
        let places = if leaders.is_empty() { self.stands.values().copied().collect() } else { leaders };
        let lines = places.iter().flat_map(|place| self.jobs_at(*place, log).into_values());
        let there = lines.chain(self.log.values().filter(|_| stored).copied());
        let there: BTreeSet<Origin> = there.map(|(origin, _)| origin).collect();
        let gone = |origin: &Origin| !there.contains(origin) && !ledger.is_dropped(*origin);
        self.accepted.iter().filter(|(origin, _)| gone(origin)).map(|(_, queries)| queries).sum()
    }
}

impl Branch {
    fn count(&mut self, index: Index, changes: &[Change]) {
        for change in changes {
            if let Change::Counted { query, from, inputs, .. } = change
                && let Some((origin, _)) = self.jobs.get(&query.job)
            {
                self.counted.push((index, *origin, (*from, from.saturating_add(u64::from(*inputs)))));
            }
        }
    }
}

/// Adds the jobs that an entry made.
fn note(jobs: &mut Jobs, entry: &Entry, changes: &[Change]) {
    for change in changes {
        if let Change::JobAdded { job, .. } = change
            && let Payload::Command(Command::Request { session, number, .. }) = &*entry.payload
        {
            jobs.insert(*job, ((*session, *number), entry.position.index));
        }
    }
}
