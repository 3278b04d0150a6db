//! The rows about who serves which job: allocation.csv and assignments.csv, and how far the jobs' rates are apart.

use std::collections::BTreeMap;

use super::fairness::gap;
use super::format::{Number, Seconds};
use super::queries::Source;
use super::rows::{AllocationRow, AssignmentRow};
use super::serving::Move;
use crate::base::{JobId, Span, Time};

/// A worker's turning to a job or from it, for each change of what it serves.
pub(super) fn assignments(source: &Source<'_>, moves: &[Move]) -> Vec<AssignmentRow> {
    let row = |step: &Move, job: JobId, event| AssignmentRow {
        trial: source.trial,
        at_s: Seconds::from(step.at),
        job: source.name(job),
        worker: source.cluster.machine_name(step.worker),
        event,
    };
    let mut rows = Vec::new();
    for step in moves {
        rows.extend(step.from.map(|job| row(step, job, "leaves")));
        rows.extend(step.to.map(|job| row(step, job, "serves")));
    }
    rows
}

/// allocation.csv, and the gap at each full second.
pub(super) struct Allocation {
    pub(super) rows: Vec<AllocationRow>,
    /// The mean of the gap over the full seconds at which two or more jobs had all been running for the rate window.
    pub(super) gap: Option<f64>,
}

/// One job while time goes on.
pub(super) struct Running {
    weight: f64,
    /// The times at which its queries were counted.
    commits: Vec<Time>,
    /// Its commits before `from` have left the window, those before `to` have entered it.
    from: usize,
    to: usize,
    /// When its submission was committed.
    pub(super) added: Time,
    /// When it ended; never, if it did not.
    pub(super) ended: Time,
    workers: u32,
}

impl Running {
    /// Queries counted per second within the window that ends at `at`, which never decreases.
    pub(super) fn rate(&mut self, at: Time, window: Span) -> f64 {
        while self.commits.get(self.to).is_some_and(|commit| *commit <= at) {
            self.to += 1;
        }
        let length = window.min(at.since(self.added));
        while self.commits.get(self.from).is_some_and(|commit| *commit + window <= at) {
            self.from += 1;
        }
        if length == Span::ZERO { 0.0 } else { (self.to - self.from) as f64 / length.as_secs() }
    }
}

impl Allocation {
    /// Walks through the trial from change to change and from second to second.
    pub(super) fn of(source: &Source<'_>, moves: &[Move], window: Span) -> Allocation {
        let mut jobs = running(source);
        let mut rows = Vec::new();
        let (mut gaps, mut seconds) = (0.0, 0_u32);
        let mut moves = moves.iter().peekable();
        for at in moments(source, moves.clone().copied()) {
            while let Some(step) = moves.next_if(|step| step.at <= at) {
                if let Some(job) = step.from.and_then(|job| jobs.get_mut(&job)) {
                    job.workers -= 1;
                }
                if let Some(job) = step.to.and_then(|job| jobs.get_mut(&job)) {
                    job.workers += 1;
                }
            }
            let listed = jobs.iter_mut().filter(|(_, job)| job.added <= at && at <= job.ended);
            let listed: Vec<Listed> = listed
                .map(|(id, job)| Listed {
                    job: *id,
                    workers: job.workers,
                    rate: job.rate(at, window),
                    weight: job.weight,
                    age: (at < job.ended).then(|| at.since(job.added)),
                })
                .collect();
            let live = || listed.iter().filter_map(|job| Some((job.rate / job.weight, job.age?)));
            let gap = gap(&live().map(|(rate, _)| rate).collect::<Vec<f64>>());
            for job in &listed {
                rows.push(AllocationRow {
                    trial: source.trial,
                    at_s: Seconds::from(at),
                    job: source.name(job.job),
                    workers: job.workers,
                    rate_qps: Number(Some(job.rate)),
                    gap: Number(gap),
                });
            }
            let settled = live().all(|(_, age)| age >= window);
            if let Some(gap) = gap
                && settled
                && at.0 % SECOND == 0
            {
                gaps += gap;
                seconds += 1;
            }
        }
        Allocation { rows, gap: (seconds > 0).then(|| gaps / f64::from(seconds)) }
    }
}

/// One job at one moment.
struct Listed {
    job: JobId,
    workers: u32,
    rate: f64,
    weight: f64,
    /// How long it has been running; `None` when it ends now.
    age: Option<Span>,
}

const SECOND: u64 = 1_000_000_000;

/// The jobs at the beginning of the trial, in order of their numbers.
pub(super) fn running(source: &Source<'_>) -> BTreeMap<JobId, Running> {
    let mut jobs: BTreeMap<JobId, Running> = BTreeMap::new();
    for (id, job) in &source.work.jobs {
        let (added, ended, weight) = (job.added, job.end(), job.spec.weight);
        let commits = Vec::new();
        jobs.insert(*id, Running { weight, commits, from: 0, to: 0, added, ended, workers: 0 });
    }
    for (at, job) in &source.work.commits {
        if let Some(job) = jobs.get_mut(job) {
            job.commits.push(*at);
        }
    }
    jobs
}

/// Every moment that gets rows, in order: each move, each arrival and end of a job, each full second.
fn moments(source: &Source<'_>, moves: impl Iterator<Item = Move>) -> Vec<Time> {
    let jobs = source.work.jobs.values();
    let mut moments: Vec<Time> = moves.map(|step| step.at).collect();
    moments.extend(jobs.clone().map(|job| job.added));
    moments.extend(jobs.filter_map(|job| job.ended));
    moments.extend((1..=source.end.0 / SECOND).map(|second| Time(second * SECOND)));
    moments.sort_unstable();
    moments.dedup();
    moments
}
