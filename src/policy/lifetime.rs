//! Jobs as the exact allocations see them: what they have done, and what they have left.

use super::fair::{Job, Plan, Terms};
use super::{ClusterView, JobView, Options};

/// The seconds that a query of each job takes; of one that has not answered anything yet the mean of the others, and 1 when
/// nothing is known of any.
pub(super) fn seconds(view: &ClusterView<'_>) -> Vec<f64> {
    let known = || view.jobs.iter().map(|job| job.seconds_per_query).filter(|&seconds| seconds > 0.0);
    let usual = if known().next().is_none() { 1.0 } else { known().sum::<f64>() / known().count() as f64 };
    let of = |job: &JobView| if job.seconds_per_query > 0.0 { job.seconds_per_query } else { usual };
    view.jobs.iter().map(of).collect()
}

/// The jobs of a view, with `queries` as the measure of what each gets.
pub(super) fn jobs(view: &ClusterView<'_>, queries: impl Fn(&JobView, f64) -> f64) -> Vec<Job> {
    let job = |(job, seconds): (&JobView, f64)| Job {
        queries: queries(job, seconds),
        elapsed: job.elapsed.as_secs(),
        work: seconds * job.total.saturating_sub(job.done) as f64,
        weight: job.weight,
    };
    view.jobs.iter().zip(seconds(view)).map(job).collect()
}

/// The workers of a view.
pub(super) fn workers(view: &ClusterView<'_>) -> u32 {
    view.workers.len() as u32
}

/// What the options say about divisions.
pub(super) fn terms(options: &Options) -> Terms {
    Terms { at_least_one: options.at_least_one, cap: options.cap }
}

/// The answer of a policy; there are fewer than 2³² workers in a view.
pub(super) fn answer(plan: &Plan) -> Vec<u32> {
    plan.workers.iter().map(|&workers| workers as u32).collect()
}
