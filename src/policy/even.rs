//! Equal numbers of workers for all jobs, whatever their models cost.

use super::{ClusterView, Policy};

/// Every job gets the same number of workers; the first jobs get one more where it does not divide evenly. Where
/// there are more jobs than workers they take turns. Weights and priorities mean nothing here.
///
/// Source: the baseline that fair schedulers are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Even;

impl Policy for Even {
    fn name(&self) -> &'static str {
        "even"
    }

    fn about(&self) -> &'static str {
        "every job gets the same number of workers; with more jobs than workers they take turns"
    }

    fn starves_nobody(&self) -> bool {
        true
    }

    fn allocate(&self, view: &ClusterView<'_>) -> Option<Vec<u32>> {
        let (jobs, workers) = (view.jobs.len() as u32, view.workers.len() as u32);
        if workers < jobs {
            return Some(view.turns());
        }
        let share = |position: u32| workers / jobs + u32::from(position < workers % jobs);
        Some((0..jobs).map(share).collect())
    }
}
