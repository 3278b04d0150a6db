//! A query goes to whichever worker the dice say.

use super::{ClusterView, Policy, rate_balance};

/// Each query is placed on a worker drawn at random among those with a free slot. Whose query it is follows the recent
/// rates, by weight, as under `rate_balance`.
///
/// Source: the first placement policy of a coordinator for data-parallel training on nodes that may refuse. It knows
/// nothing, and so nothing can mislead it.
#[derive(Clone, Copy, Debug)]
pub struct Random;

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn about(&self) -> &'static str {
        "each query goes to a random worker with a free slot"
    }

    fn starves_nobody(&self) -> bool {
        true
    }

    fn next(&self, view: &ClusterView<'_>) -> Option<usize> {
        rate_balance::slowest(view)
    }

    fn place(&self, view: &ClusterView<'_>, _job: usize) -> Option<usize> {
        let free = || (0..view.workers.len()).filter(|&position| view.workers[position].free > 0);
        // The high half of the product of a draw and a bound is a number below the bound, each about equally likely.
        let chosen = (u128::from(view.draw) * free().count() as u128) >> 64;
        free().nth(chosen as usize)
    }
}
