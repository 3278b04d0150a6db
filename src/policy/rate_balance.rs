//! Fair-time by feedback: whoever is free serves the job with the lowest recent query rate.

use super::{ClusterView, JobView, Policy, WorkerView};

/// A free worker takes the next query of the job whose query rate over the rate window, divided by its weight, is the
/// lowest; the job with fewer workers among equals.
///
/// The queries that workers hold count as if they ended one query's duration from now. Without them the policy would see
/// what it did only that much later, and would send all workers to one job and then all to the other.
#[derive(Clone, Copy, Debug)]
pub struct RateBalance;

impl Policy for RateBalance {
    fn name(&self) -> &'static str {
        "rate_balance"
    }

    fn pick(&self, view: &ClusterView<'_>, _worker: &WorkerView) -> Option<usize> {
        let usual = view.jobs.iter().map(|job| job.seconds_per_query).fold(0.0, f64::max);
        // A job that has not answered anything yet is taken for one like the slowest other.
        let usual = if usual > 0.0 { usual } else { 1.0 };
        let rate = |job: &JobView| ahead(job, usual) / job.weight;
        let waiting = view.jobs.iter().enumerate().filter(|(_, job)| job.waiting > 0);
        waiting
            .min_by(|(_, a), (_, b)| rate(a).total_cmp(&rate(b)).then(a.serving.cmp(&b.serving)))
            .map(|(position, _)| position)
    }
}

/// The job's rate one query's duration from now, when what workers hold has ended.
fn ahead(job: &JobView, usual: f64) -> f64 {
    let span = job.rate_span.as_secs();
    let duration = if job.seconds_per_query > 0.0 { job.seconds_per_query } else { usual };
    (job.rate * span + f64::from(job.held)) / (span + duration)
}
