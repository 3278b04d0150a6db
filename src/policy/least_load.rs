//! A query goes to whichever worker has the least to do.

use super::{ClusterView, Policy, rate_balance};

/// Each query is placed on the worker that holds the fewest queries at this moment, the one with the smallest identity among
/// equals. Whose query it is follows the recent rates, by weight, as under `rate_balance`.
///
/// Source: the second placement policy of a coordinator for data-parallel training on nodes that may refuse, with its flaw:
/// only active queries are load, so that a worker that refuses looks idle and is asked first, again and again.
#[derive(Clone, Copy, Debug)]
pub struct LeastLoad;

impl Policy for LeastLoad {
    fn name(&self) -> &'static str {
        "least_load"
    }

    fn about(&self) -> &'static str {
        "each query goes to the worker with the fewest active queries; one that refuses looks idle"
    }

    fn starves_nobody(&self) -> bool {
        true
    }

    fn next(&self, view: &ClusterView<'_>) -> Option<usize> {
        rate_balance::slowest(view)
    }

    fn place(&self, view: &ClusterView<'_>, _job: usize) -> Option<usize> {
        (0..view.workers.len())
            .filter(|&position| view.workers[position].free > 0)
            .min_by_key(|&position| view.workers[position].held)
    }
}
