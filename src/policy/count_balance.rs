//! Whoever is free serves the job of which least has been done: what "the lowest query rate" was in one system's code.

use super::{ClusterView, Policy, WorkerView};

/// A free worker takes the next query of the job with the fewest counted queries, divided by its weight; the job with fewer
/// workers among equals.
///
/// Source: the code of an `IDunno` that means to balance query rates and compares cumulative counts. A job that arrives late
/// gets the whole cluster until it has caught up with the others, so that new jobs can starve old ones.
#[derive(Clone, Copy, Debug)]
pub struct CountBalance;

impl Policy for CountBalance {
    fn name(&self) -> &'static str {
        "count_balance"
    }

    fn about(&self) -> &'static str {
        "a free worker serves the job with the fewest counted queries, by weight"
    }

    fn pick(&self, view: &ClusterView<'_>, _worker: &WorkerView) -> Option<usize> {
        view.waiting()
            .min_by(|(_, a), (_, b)| {
                let count = |done: u64, weight: f64| done as f64 / weight;
                count(a.done, a.weight).total_cmp(&count(b.done, b.weight)).then(a.serving.cmp(&b.serving))
            })
            .map(|(position, _)| position)
    }
}
