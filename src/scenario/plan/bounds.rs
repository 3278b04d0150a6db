//! How long what a scenario does may take, at most: what keeps a run from being given up too soon.

use crate::base::Span;
use crate::node::{DispatchMode, JobSpec, limits};

use super::{Errand, Fault, FaultKind, Plan};

/// How many times the longest expected load and query a run may take without counting a query.
const WORK_FACTOR: f64 = 10.0;

impl Plan {
    /// The longest that an engine may stand still before it runs a query.
    pub fn stall_max(&self) -> Span {
        let stalls = self.nodes.iter().filter(|node| node.worker && node.stall > 0.0);
        stalls.map(|node| node.stall_for).max().unwrap_or(Span::ZERO)
    }

    /// The longest that a query may be put off while a worker is free: by refusals, until one of them is the last, and by
    /// workers that ask for work only now and then.
    pub fn put_off_max(&self) -> Span {
        let dispatch = &self.config.dispatch;
        let pause = dispatch.backoff + dispatch.repeat;
        let refused = if self.nodes.iter().any(|node| node.worker && node.refuse > 0.0) {
            u64::from(dispatch.retries_max) + 1
        } else {
            0
        };
        let unasked = u64::from(dispatch.mode == DispatchMode::Pull);
        pause * (refused + unasked)
    }

    /// How long it may take until queries of a job are found to be stuck, one attempt after another, where a healthy query takes at most
    /// `longest`. Every failure doubles the time that the next attempt may take.
    pub fn stuck_max(&self, longest: Span) -> Span {
        let stuck = self.faults.iter().filter(|fault| fault.kind == FaultKind::Stuck);
        let times: usize = stuck.map(|fault| fault.target.machines_max(self.nodes.len())).sum();
        let attempts = u64::from(self.config.dispatch.retries_max) + 1;
        let times = attempts.min(times as u64);
        // Attempts that fail for other reasons come first at worst.
        let fails = |fault: &Fault| {
            matches!(
                fault.kind,
                FaultKind::LoadFailure { .. } | FaultKind::EngineDeath | FaultKind::BadOutput(_)
            )
        };
        let first = if self.faults.iter().any(fails) { attempts - times } else { 0 };
        let limit = limits::QUERY_UNKNOWN_MAX.max(longest * limits::STUCK_FACTOR);
        let doubled = |failures: u64| limit * (1 << failures.min(limits::DOUBLINGS_MAX.into()));
        (first..first + times).fold(Span::ZERO, |sum, failures| sum + doubled(failures))
    }

    /// What is submitted, each with the largest batch size that a client ever asks for.
    pub fn batches_max(&self) -> impl Iterator<Item = (&JobSpec, u32)> {
        let streams = self.arrivals.iter().map(|stream| &stream.spec);
        self.jobs.iter().map(|job| &job.spec).chain(streams).map(|spec| {
            let asked = self.requests.iter().filter_map(|request| match &request.errand {
                Errand::SetBatch { job, batch } => Some(*batch).filter(|_| *job == spec.name),
                Errand::Cancel(_)
                | Errand::Forget(_)
                | Errand::Stop(_)
                | Errand::Resume(_)
                | Errand::Jobs
                | Errand::SetPolicy(_)
                | Errand::Drain { .. }
                | Errand::Put { .. }
                | Errand::Get(_)
                | Errand::Delete(_) => None,
            });
            (spec, asked.fold(spec.batch, u32::max))
        })
    }

    /// How long a run may go without progress while jobs are unfinished.
    pub fn patience(&self) -> Span {
        self.liveness_within + self.slow_writes() + self.allowance()
    }

    /// How long a write may take that was begun under a fault that slows disks, generously: it goes on when the fault is over.
    pub fn slow_writes(&self) -> Span {
        let delay = |fault: &Fault| {
            if let FaultKind::SlowDisk(delay) = &fault.kind { Some(delay.mean() * 2) } else { None }
        };
        self.faults.iter().filter_map(delay).max().unwrap_or(Span::ZERO)
    }

    /// How long the plan's slowest load and query may take, generously: while they run nothing is counted.
    fn allowance(&self) -> Span {
        let workers = self.nodes.iter().filter(|node| node.worker);
        let mut pace = workers.map(|node| node.speed).fold(f64::INFINITY, f64::min);
        for fault in &self.faults {
            if let FaultKind::Slow(factor) = fault.kind {
                pace /= factor.max(1.0);
            }
        }
        let profiles = self.batches_max().filter_map(|(spec, batch)| {
            let profile = self.models.get(&spec.model)?.profile;
            let usual = (profile.load.mean() + profile.query_mean(batch)).scaled(WORK_FACTOR);
            Some((usual, profile.load.rarely_exceeded() + profile.query_rarely_exceeded(batch)))
        });
        let most =
            |(usual, rare): (Span, Span), (one, other): (Span, Span)| (usual.max(one), rare.max(other));
        let (usual, rare) = profiles.fold((Span::ZERO, Span::ZERO), most);
        let injected = self.stall_max().scaled(WORK_FACTOR) + self.put_off_max();
        // What is found to be stuck is measured by queries that are usual, not by those that hardly ever come.
        let (usual, rare) = (usual.scaled(1.0 / pace), rare.scaled(1.0 / pace));
        usual.max(rare) + injected + self.stuck_max(usual)
    }
}
