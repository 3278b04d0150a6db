//! Finish-time fairness (Themis: Mahajan and others, NSDI 2020): nobody waits much longer than alone in the cluster.

use super::fair::{self, Terms};
use super::{ClusterView, JobView, Options, Policy, lifetime};

/// Divides the workers so that the largest ρ is as small as possible, then the next largest, and so on. ρ is the time from a
/// job's arrival to its end, divided by the time that it would take with all workers to itself; a job of weight w counts with
/// w·ρ.
///
/// Where the time alone is not given, it is all the job's queries at their recent cost on all workers. The smallest ρ is the
/// largest of its inverse, `T / (e + W / C)`, so that this is max-min fairness with `T` in place of the number of queries.
#[derive(Clone, Copy, Debug)]
pub struct FinishTime {
    terms: Terms,
}

impl FinishTime {
    /// The policy with these options, of which it uses `cap`.
    pub fn new(options: &Options) -> FinishTime {
        FinishTime { terms: lifetime::terms(options) }
    }
}

impl Policy for FinishTime {
    fn name(&self) -> &'static str {
        "finish_time"
    }

    fn about(&self) -> &'static str {
        "the job that sharing delays most, compared with running alone, is delayed as little as possible"
    }

    fn allocate(&self, view: &ClusterView<'_>) -> Option<Vec<u32>> {
        self.allocate_equal(view, lifetime::workers(view))
    }

    fn allocate_equal(&self, view: &ClusterView<'_>, workers: u32) -> Option<Vec<u32>> {
        let workers = u64::from(workers);
        let alone = |job: &JobView, seconds: f64| {
            job.isolated_seconds.unwrap_or(job.total as f64 * seconds / workers.max(1) as f64)
        };
        let jobs = lifetime::jobs(view, alone);
        Some(lifetime::answer(&fair::leximin(&jobs, workers, &self.terms)))
    }
}
