//! Fair-time, exactly: the lifetime query rates of all jobs within the narrowest range possible.

use super::fair::{self, Terms};
use super::{ClusterView, Options, Policy, lifetime};

/// Divides the workers so that the lifetime query rates that jobs will have when they end, divided by their weights, are as
/// near to each other as whole workers allow (see [`fair`]).
///
/// Moving a worker to another model costs a load. The last allocation stays while its gap is small enough
/// ([`Options::hysteresis`], [`Options::slack`]), or else changes by as few workers as that takes. It does not count when a
/// job came or went or the number of workers changed: when a job has no worker yet, or the numbers do not add up.
///
/// With fewer workers than jobs the division with the least range starves the same jobs every time, those whose first
/// worker would lift them the most. A cluster lets the jobs take turns instead ([`ClusterView::turns`]), unless
/// [`Options::at_least_one`] is off; [`Policy::allocate_equal`], which answers for a single moment, does not.
#[derive(Clone, Copy, Debug)]
pub struct FairTime {
    terms: Terms,
    hysteresis: f64,
    slack: f64,
}

impl FairTime {
    /// The policy with these options; all of them have a meaning for it.
    pub fn new(options: &Options) -> FairTime {
        FairTime { terms: lifetime::terms(options), hysteresis: options.hysteresis, slack: options.slack }
    }
}

impl Policy for FairTime {
    fn name(&self) -> &'static str {
        "fair_time"
    }

    fn about(&self) -> &'static str {
        "lifetime query rates within the least possible range, exactly; with more jobs than workers they take turns"
    }

    fn starves_nobody(&self) -> bool {
        self.terms.at_least_one
    }

    fn allocate(&self, view: &ClusterView<'_>) -> Option<Vec<u32>> {
        let running = view.jobs.iter().filter(|job| job.done < job.total).count();
        if self.terms.at_least_one && view.workers.len() < running {
            return Some(view.turns());
        }
        self.allocate_equal(view, lifetime::workers(view))
    }

    fn allocate_equal(&self, view: &ClusterView<'_>, workers: u32) -> Option<Vec<u32>> {
        let workers = u64::from(workers);
        let jobs = lifetime::jobs(view, |job, _| job.total as f64);
        let previous: Vec<u64> = view.jobs.iter().map(|job| u64::from(job.allocated)).collect();
        let mut plan = fair::nearest(&jobs, workers, &self.terms, &previous);
        let running =
            || jobs.iter().zip(&previous).filter(|(job, _)| job.work > 0.0).map(|(_, &before)| before);
        let is_settled =
            running().all(|before| before > 0) && running().sum::<u64>() == plan.workers.iter().sum::<u64>();
        if is_settled && (self.hysteresis > 0.0 || self.slack > 0.0) {
            plan = fair::steady(&jobs, workers, &self.terms, &previous, self.hysteresis, self.slack);
        }
        Some(lifetime::answer(&plan))
    }
}
