//! What a policy sees of the cluster, and the answers that follow from it by default.

use std::sync::Arc;

use crate::base::{JobId, NodeId, Span, Time};

/// Where there are more jobs than workers, a turn lasts at least this many seconds ...
const TURN_LEAST_S: f64 = 2.0;
/// ... and this many of the longest queries.
const TURN_QUERIES: f64 = 2.0;

/// The cluster at one moment, as its coordinator knows it.
#[derive(Clone, Copy, Debug)]
pub struct ClusterView<'a> {
    /// Cluster time: goes on evenly across failovers.
    pub now: Time,
    /// The jobs that have not ended, in order of their ids.
    pub jobs: &'a [JobView],
    /// The members that take queries and are not suspect, in order of their ids.
    pub workers: &'a [WorkerView],
    /// 64 random bits, new for each question.
    pub draw: u64,
}

impl<'a> ClusterView<'a> {
    /// The jobs that have queries waiting, with their positions.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, &'a JobView)> + use<'a> {
        self.jobs.iter().enumerate().filter(|(_, job)| job.waiting > 0)
    }

    /// What a query of a job of which nothing is known yet is taken to cost: the mean of the others' seconds per query, 1
    /// where none is known.
    pub fn usual_seconds(&self) -> f64 {
        let known = || self.jobs.iter().map(|job| job.seconds_per_query).filter(|&seconds| seconds > 0.0);
        match known().count() {
            0 => 1.0,
            count => known().sum::<f64>() / count as f64,
        }
    }

    /// One worker each for as many jobs with queries left as there are workers; the others get theirs later. The turn goes
    /// round by cluster time, and lasts long enough for a few queries.
    pub fn turns(&self) -> Vec<u32> {
        let left = |job: &JobView| job.done < job.total;
        let jobs = self.jobs.iter().filter(|job| left(job)).count();
        let workers = self.workers.len().min(jobs);
        let longest = self.jobs.iter().map(|job| job.seconds_per_query).fold(0.0, f64::max);
        let turn = self.now.as_secs() / (longest * TURN_QUERIES).max(TURN_LEAST_S);
        let first = (turn as u64).wrapping_mul(workers as u64) % jobs.max(1) as u64;
        let mut places = 0..jobs;
        let mut is_next = |job: &JobView| {
            let place = if left(job) { places.next() } else { None };
            place.is_some_and(|place| (place + jobs - first as usize) % jobs < workers)
        };
        self.jobs.iter().map(|job| u32::from(is_next(job))).collect()
    }
}

/// One job that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The job.
    pub job: JobId,
    /// The model that it runs.
    pub model: Arc<str>,
    /// When its submission was committed, in cluster time.
    pub arrived: Time,
    /// `now − arrived`.
    pub elapsed: Span,
    /// Queries in all.
    pub total: u64,
    /// Queries counted so far.
    pub done: u64,
    /// Queries that no worker holds.
    pub waiting: u64,
    /// Workers whose newest order belongs to this job.
    pub serving: u32,
    /// How many workers the last allocation gave it; 0 before the first. Under a policy that only picks: [`Self::serving`].
    pub allocated: u32,
    /// Queries counted per second over the rate window, or since arrival if that is shorter.
    pub rate: f64,
    /// What `rate` was measured over; never nothing in a coordinator's view.
    pub rate_span: Span,
    /// Queries that workers run or have waiting.
    pub held: u32,
    /// Mean seconds of inference per query over the rate window, else over all time; 0 when nothing has ended yet.
    pub seconds_per_query: f64,
    /// The same for each kind of worker on which something has ended, in order of the kinds' names.
    pub seconds_by_kind: Vec<(Arc<str>, f64)>,
    /// Seconds that the whole job would take with all workers to itself, where the caller knows better than what follows from
    /// `total` and `seconds_per_query`.
    pub isolated_seconds: Option<f64>,
    /// Its share relative to other jobs; 1 is usual.
    pub weight: f64,
    /// Higher goes first where a policy has a meaning for it; 0 is usual.
    pub priority: i32,
}

/// One worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView {
    /// The worker.
    pub id: NodeId,
    /// Its kind of machine.
    pub kind: Arc<str>,
    /// The models in its memory, in order of their names.
    pub warm: Vec<Arc<str>>,
    /// The job of its newest order; `None` before the first, and when that job has ended.
    pub serving: Option<JobId>,
    /// Queries that it runs or has waiting.
    pub held: u32,
    /// How many more it may hold.
    pub free: u32,
    /// Queries that it has refused or failed in this reign.
    pub refusals: u32,
}

impl WorkerView {
    /// Whether the model is in its memory.
    pub fn is_warm(&self, model: &str) -> bool {
        self.warm.iter().any(|warm| &**warm == model)
    }
}

/// See [`super::Policy::pick`].
pub(super) fn most_below_allocation(view: &ClusterView<'_>, worker: &WorkerView) -> Option<usize> {
    let waiting = || view.waiting();
    let current = waiting().find(|(_, job)| worker.serving == Some(job.job));
    if let Some((position, job)) = current
        && job.serving <= job.allocated
    {
        return Some(position);
    }
    let missing = |job: &JobView| i64::from(job.allocated) - i64::from(job.serving);
    let neediest = waiting().filter(|(_, job)| missing(job) > 0).max_by_key(|(position, job)| {
        (missing(job), worker.is_warm(&job.model), std::cmp::Reverse(*position))
    });
    // When every job has what it was allocated, a free worker still helps one: idling serves nobody.
    neediest
        .or(current)
        .or_else(|| waiting().max_by_key(|(position, job)| (missing(job), std::cmp::Reverse(*position))))
        .map(|(position, _)| position)
}

/// See [`super::Policy::place`].
pub(super) fn least_loaded(view: &ClusterView<'_>, job: usize) -> Option<usize> {
    let model = &view.jobs[job].model;
    (0..view.workers.len())
        .filter(|&position| view.workers[position].free > 0)
        .min_by_key(|&position| (view.workers[position].held, !view.workers[position].is_warm(model)))
}
