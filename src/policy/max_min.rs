//! Max-min fairness of lifetime query rates.

use super::fair::{self, Terms};
use super::{ClusterView, Options, Policy, lifetime};

/// Divides the workers so that the lowest lifetime query rate, divided by the job's weight, is as high as possible, then the
/// next lowest, and so on (see [`fair::leximin`]).
///
/// Unlike fair-time it never holds a job back so that it be no better off than a late one.
#[derive(Clone, Copy, Debug)]
pub struct MaxMin {
    terms: Terms,
}

impl MaxMin {
    /// The policy with these options, of which it uses `cap`.
    pub fn new(options: &Options) -> MaxMin {
        MaxMin { terms: lifetime::terms(options) }
    }
}

impl Policy for MaxMin {
    fn name(&self) -> &'static str {
        "max_min"
    }

    fn about(&self) -> &'static str {
        "the lowest lifetime query rate as high as possible, then the next, and so on"
    }

    fn allocate(&self, view: &ClusterView<'_>) -> Option<Vec<u32>> {
        self.allocate_equal(view, lifetime::workers(view))
    }

    fn allocate_equal(&self, view: &ClusterView<'_>, workers: u32) -> Option<Vec<u32>> {
        let workers = u64::from(workers);
        let jobs = lifetime::jobs(view, |job, _| job.total as f64);
        Some(lifetime::answer(&fair::leximin(&jobs, workers, &self.terms)))
    }
}
