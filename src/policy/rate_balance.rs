//! Fair-time by feedback: whoever is free serves the job with the lowest recent query rate.

use super::{ClusterView, JobView, Need, Policy, WorkerView};

/// A free worker takes the next query of the job whose query rate over the rate window, divided by its weight, is the
/// lowest; the job with fewer workers among equals.
///
/// The queries that workers hold count as if they ended one query's duration from now. Without them the policy would see
/// what it did only that much later, and would send all workers to one job and then all to the other. Priorities mean
/// nothing here.
///
/// Source: "the rates of concurrent jobs within 20 % of each other", which the course project `IDunno` asks for.
#[derive(Clone, Copy, Debug)]
pub struct RateBalance;

impl Policy for RateBalance {
    fn name(&self) -> &'static str {
        "rate_balance"
    }

    fn about(&self) -> &'static str {
        "a free worker serves the job with the lowest recent query rate, by weight"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::RecentRate]
    }

    fn starves_nobody(&self) -> bool {
        true
    }

    fn pick(&self, view: &ClusterView<'_>, _worker: &WorkerView) -> Option<usize> {
        slowest(view)
    }
}

/// The job with the lowest rate ahead. Where many jobs share few workers most recent rates are zero, and the rate since the
/// job's arrival decides.
pub(super) fn slowest(view: &ClusterView<'_>) -> Option<usize> {
    let usual = view.jobs.iter().map(|job| job.seconds_per_query).fold(0.0, f64::max);
    // A job that has not answered anything yet is taken for one like the slowest other.
    let usual = if usual > 0.0 { usual } else { 1.0 };
    let rate = |job: &JobView| ahead(job, usual) / job.weight;
    let lifetime = |job: &JobView| job.done as f64 / (job.elapsed.as_secs() + usual) / job.weight;
    view.waiting()
        .min_by(|(_, a), (_, b)| {
            rate(a)
                .total_cmp(&rate(b))
                .then(a.serving.cmp(&b.serving))
                .then(lifetime(a).total_cmp(&lifetime(b)))
        })
        .map(|(position, _)| position)
}

/// The job's rate one query's duration from now, when what workers hold has ended.
fn ahead(job: &JobView, usual: f64) -> f64 {
    let span = job.rate_span.as_secs();
    let duration = if job.seconds_per_query > 0.0 { job.seconds_per_query } else { usual };
    (job.rate * span + f64::from(job.held)) / (span + duration)
}
