//! Fair-time by the published dynamic program: a baseline, and for reproducing what was measured with it.

use super::fair::{self, STEPS_MAX, Terms};
use super::{ClusterView, Options, Policy, lifetime};

/// Divides the workers by the dynamic program that was published for fair-time allocation. It is slow, O(m n²), and does not
/// always find the narrowest range (see [`fair::published`]); it knows nothing of loads.
///
/// A cluster must not stand still for it: where it would take more than [`STEPS_MAX`] steps, the exact answer of
/// [`fair::allocate`] is given, which costs next to nothing and whose gap is never wider.
#[derive(Clone, Copy, Debug)]
pub struct FairTimeDp {
    terms: Terms,
}

impl FairTimeDp {
    /// The policy with these options, of which it uses `at_least_one` and `cap`.
    pub fn new(options: &Options) -> FairTimeDp {
        FairTimeDp { terms: lifetime::terms(options) }
    }
}

impl Policy for FairTimeDp {
    fn name(&self) -> &'static str {
        "fair_time_dp"
    }

    fn about(&self) -> &'static str {
        "the same by the published dynamic program, which is slow and not always exact"
    }

    fn allocate(&self, view: &ClusterView<'_>) -> Option<Vec<u32>> {
        self.allocate_equal(view, lifetime::workers(view))
    }

    fn allocate_equal(&self, view: &ClusterView<'_>, workers: u32) -> Option<Vec<u32>> {
        let workers = u64::from(workers);
        let jobs = lifetime::jobs(view, |job, _| job.total as f64);
        let plan = fair::published(&jobs, workers, &self.terms, STEPS_MAX)
            .unwrap_or_else(|_| fair::allocate(&jobs, workers, &self.terms));
        Some(lifetime::answer(&plan))
    }
}
