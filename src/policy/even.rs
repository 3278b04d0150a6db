//! Equal numbers of workers for all jobs, whatever their models cost.

use super::{ClusterView, Policy};

/// Every job gets the same number of workers; the first jobs get one more where it does not divide evenly.
#[derive(Clone, Copy, Debug)]
pub struct Even;

impl Policy for Even {
    fn name(&self) -> &'static str {
        "even"
    }

    fn allocate(&self, view: &ClusterView<'_>) -> Option<Vec<u32>> {
        let (jobs, workers) = (view.jobs.len() as u32, view.workers.len() as u32);
        Some((0..jobs).map(|position| workers / jobs + u32::from(position < workers % jobs)).collect())
    }
}
