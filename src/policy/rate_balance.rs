//! Fair-time by feedback: whoever is free serves the job with the lowest recent query rate.

use super::{ClusterView, Policy, WorkerView};

/// A free worker takes the next query of the job whose query rate over the rate window, divided by its weight, is the
/// lowest; the job with fewer workers among equals.
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
                (a.rate / a.weight).total_cmp(&(b.rate / b.weight)).then(a.serving.cmp(&b.serving))
            })
            .map(|(position, _)| position)
    }
}
