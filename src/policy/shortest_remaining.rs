//! Whatever is done soonest goes first.

use super::{ClusterView, JobView, Policy, WorkerView};

/// The whole cluster serves the job with the least work left, which is its remaining queries times its seconds per query,
/// divided by its weight; those of a higher priority before all others. A job that has not answered anything yet counts
/// with the mean of the others' seconds.
///
/// Source: L. E. Schrage, "A proof of the optimality of the shortest remaining processing time discipline" (1968), with
/// weights by W. E. Smith's ratio (1956). The mean completion time is the least, and a long job waits while short ones come.
#[derive(Clone, Copy, Debug)]
pub struct ShortestRemaining;

impl Policy for ShortestRemaining {
    fn name(&self) -> &'static str {
        "shortest_remaining"
    }

    fn about(&self) -> &'static str {
        "the whole cluster serves the job with the least work left, by weight, higher priorities before all others"
    }

    fn pick(&self, view: &ClusterView<'_>, _worker: &WorkerView) -> Option<usize> {
        let usual = view.usual_seconds();
        let work = |job: &JobView| {
            let seconds = if job.seconds_per_query > 0.0 { job.seconds_per_query } else { usual };
            job.total.saturating_sub(job.done) as f64 * seconds / job.weight
        };
        view.waiting()
            .min_by(|(_, a), (_, b)| b.priority.cmp(&a.priority).then(work(a).total_cmp(&work(b))))
            .map(|(position, _)| position)
    }
}
