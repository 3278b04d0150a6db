//! Short jobs first: the cluster serves the job with the fewest queries left.

use idunno::policy::{ClusterView, Policy, WorkerView};

/// The job with the fewest queries left gets every free worker; among equals the one that arrived first.
#[derive(Debug)]
pub struct FewestLeft;

impl Policy for FewestLeft {
    fn name(&self) -> &'static str {
        "fewest_left"
    }

    fn about(&self) -> &'static str {
        "the job with the fewest queries left goes first"
    }

    /// A worker has a free slot: which job? Only jobs with queries waiting may be named.
    fn pick(&self, view: &ClusterView<'_>, _worker: &WorkerView) -> Option<usize> {
        let left = view.waiting().map(|(place, job)| (job.total - job.done, job.arrived, place));
        left.min().map(|(_, _, place)| place)
    }
}
