//! Which job each worker serves, gathered while a run goes on.
//!
//! A worker serves the job of the query that its engine began last, from that moment until it begins one of another job,
//! has nothing left on its desk, stands still, dies, or the job ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{AttemptId, JobId, Time};
use crate::history::{Change, Machine, Observation, What};

/// One change of what a worker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) at: Time,
    pub(super) worker: Machine,
    pub(super) from: Option<JobId>,
    pub(super) to: Option<JobId>,
}

#[derive(Debug, Default)]
struct Desk {
    holds: BTreeSet<AttemptId>,
    /// The job of the query that the engine began last.
    began: Option<JobId>,
    paused: bool,
    /// What the last move led to.
    serves: Option<JobId>,
}

impl Desk {
    fn now(&self) -> Option<JobId> {
        if self.paused || self.holds.is_empty() { None } else { self.began }
    }
}

/// What every worker serves over time.
#[derive(Debug, Default)]
pub(super) struct Serving {
    desks: BTreeMap<Machine, Desk>,
    /// Workers that did something at `instant`: what they serve shows when it is over.
    touched: BTreeSet<Machine>,
    instant: Time,
    ended: BTreeSet<JobId>,
    /// The changes, in order of time and, within an instant, of workers.
    pub(super) moves: Vec<Move>,
}

impl Serving {
    /// Time has come to `at`: whatever happened before is settled.
    pub(super) fn advance(&mut self, at: Time) {
        if at <= self.instant {
            return;
        }
        for worker in std::mem::take(&mut self.touched) {
            let desk = self.desks.entry(worker).or_default();
            let to = desk.now().filter(|job| !self.ended.contains(job));
            if to != desk.serves {
                self.moves.push(Move { at: self.instant, worker, from: desk.serves, to });
                desk.serves = to;
            }
        }
        self.instant = at;
    }

    /// A process began, ended, stood still or went on.
    pub(super) fn on_process(&mut self, worker: Machine, what: &What) {
        let desk = self.desks.entry(worker).or_default();
        match what {
            What::Up(_) | What::Down(_) => {
                desk.holds.clear();
                desk.began = None;
                desk.paused = false;
            }
            What::Paused(_) => desk.paused = true,
            What::Resumed(_) => desk.paused = false,
            What::Node(_) | What::Fault(_) | What::Client(_) => return,
        }
        self.touched.insert(worker);
    }

    /// A worker did something.
    pub(super) fn on_node(&mut self, worker: Machine, observation: &Observation) {
        match observation {
            Observation::Accepted { attempt, .. } => {
                self.desks.entry(worker).or_default().holds.insert(*attempt);
            }
            Observation::Began { query, attempt } => {
                let desk = self.desks.entry(worker).or_default();
                desk.holds.insert(*attempt);
                desk.began = Some(query.job);
            }
            Observation::Ended { attempt, .. } | Observation::Dropped { attempt, .. } => {
                self.desks.entry(worker).or_default().holds.remove(attempt);
            }
            _ => return,
        }
        self.touched.insert(worker);
    }

    /// An entry was applied for the first time by anyone.
    pub(super) fn on_changes(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::JobEnded { job, .. } = change {
                self.ended.insert(*job);
                let serve = |desk: &Desk| desk.serves == Some(*job) || desk.began == Some(*job);
                let workers = self.desks.iter().filter(|(_, desk)| serve(desk)).map(|(worker, _)| *worker);
                self.touched.extend(workers);
            }
        }
    }
}

/// Mean numbers of workers per job, for drawing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shares {
    /// The length of a bin in seconds.
    pub(super) bin_s: f64,
    /// For each job the mean number of workers that serve it in each bin.
    pub(super) workers: BTreeMap<JobId, Vec<f64>>,
}

impl Shares {
    /// Means over bins of one second, or longer ones when that would make more than `bins_max`, from zero to `end`.
    pub(super) fn of(moves: &[Move], end: Time, bins_max: u64) -> Shares {
        let second = 1_000_000_000;
        let bin = second * end.0.div_ceil(second * bins_max).max(1);
        let bins = end.0.div_ceil(bin).max(1) as usize;
        let mut workers: BTreeMap<JobId, Vec<f64>> = BTreeMap::new();
        let mut since: BTreeMap<Machine, (Time, JobId)> = BTreeMap::new();
        let mut fill = |from: Time, to: Time, job: JobId| {
            let row = workers.entry(job).or_insert_with(|| vec![0.0; bins]);
            let mut at = from.0;
            while at < to.0 {
                let index = at / bin;
                let next = to.0.min((index + 1) * bin);
                // The last bin may be cut short by the end.
                let length = bin.min(end.0 - index * bin);
                row[index as usize] += (next - at) as f64 / length as f64;
                at = next;
            }
        };
        for step in moves {
            if let Some((from, job)) = since.remove(&step.worker) {
                fill(from, step.at.min(end), job);
            }
            if let Some(job) = step.to {
                since.insert(step.worker, (step.at, job));
            }
        }
        for (from, job) in since.into_values() {
            fill(from, end, job);
        }
        Shares { bin_s: bin as f64 / 1e9, workers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at_ms: u64, worker: Machine, to: Option<u32>) -> Move {
        Move { at: Time(at_ms * 1_000_000), worker, from: None, to: to.map(JobId) }
    }

    #[test]
    fn shares_are_means_over_time() {
        let moves = [step(0, 1, Some(1)), step(0, 2, Some(1)), step(1500, 2, Some(2)), step(2250, 1, None)];
        let shares = Shares::of(&moves, Time(2_500_000_000), 600);
        assert_eq!(shares.workers[&JobId(1)], [2.0, 1.5, 0.5]);
        assert_eq!(shares.workers[&JobId(2)], [0.0, 0.5, 1.0]);
    }

    #[test]
    fn long_runs_get_longer_bins() {
        let shares = Shares::of(&[step(0, 1, Some(1))], Time(10_000_000_000_000), 600);
        assert_eq!((shares.bin_s, shares.workers[&JobId(1)].len()), (17.0, 589));
    }
}
