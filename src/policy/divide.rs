//! The allocation that a policy arrives at, whichever of its questions it answers.

use super::{ClusterView, Policy};
use crate::base::{Rng, Span};

/// How many workers each job of `view.jobs` gets under `policy`, in their order; together at most the number of workers.
///
/// A policy that allocates is asked just that. Any other is asked for each worker in turn, as if all of them had become free
/// at this moment: whoever is given a job counts for it from then on, with as many queries held as a worker runs in the
/// longest rate window or query of any job, so that slow and fast queries compare. A job gets no more workers than it has
/// queries left.
pub fn divide(policy: &dyn Policy, view: &ClusterView<'_>) -> Vec<u32> {
    if let Some(workers) = policy.allocate(view) {
        assert_eq!(workers.len(), view.jobs.len(), "a policy allocates to each job");
        return workers;
    }
    let mut jobs = view.jobs.to_vec();
    for job in &mut jobs {
        job.waiting += u64::from(std::mem::take(&mut job.held));
        job.serving = 0;
    }
    let usual = view.usual_seconds();
    let seconds = |of: f64| if of > 0.0 { of } else { usual };
    let windows = jobs.iter().map(|job| job.rate_span).max().unwrap_or(Span::ZERO).as_secs();
    let horizon = jobs.iter().map(|job| seconds(job.seconds_per_query)).fold(windows, f64::max);
    let mut rng = Rng::new(view.draw);
    for worker in view.workers {
        let asked = ClusterView { jobs: &jobs, draw: rng.bits(), ..*view };
        let Some(position) = policy.pick(&asked, worker) else { continue };
        let job = &mut jobs[position];
        job.serving += 1;
        job.waiting = job.waiting.saturating_sub(1);
        let runs = (horizon / seconds(job.seconds_per_query)).round().clamp(1.0, 1e6);
        job.held = job.held.saturating_add(runs as u32);
    }
    jobs.iter().map(|job| job.serving).collect()
}
