//! Fair-time by feedback: whoever is free serves the job with the lowest recent query rate.

use super::{ClusterView, JobView, Policy, WorkerView};

/// A free worker takes the next query of the job whose query rate over the rate window, divided by its weight, is the
/// lowest; the job with fewer workers among equals.
///
/// The queries that workers hold count as if they ended now. Without them the policy would see what it did only a query's
/// duration later, and would send all workers to one job and then all to the other.
#[derive(Clone, Copy, Debug)]
pub struct RateBalance;

impl Policy for RateBalance {
    fn name(&self) -> &'static str {
        "rate_balance"
    }

    fn pick(&self, view: &ClusterView<'_>, _worker: &WorkerView) -> Option<usize> {
        let waiting = view.jobs.iter().enumerate().filter(|(_, job)| job.waiting > 0);
        waiting
            .min_by(|(_, a), (_, b)| {
                (ahead(a) / a.weight).total_cmp(&(ahead(b) / b.weight)).then(a.serving.cmp(&b.serving))
            })
            .map(|(position, _)| position)
    }
}

/// The job's rate with the queries that are under way.
fn ahead(job: &JobView) -> f64 {
    job.rate + f64::from(job.held) / job.rate_span.as_secs().max(f64::MIN_POSITIVE)
}
