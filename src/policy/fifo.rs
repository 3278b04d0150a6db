//! One job after the other, in the order in which they came.

use std::cmp::Reverse;

use super::{ClusterView, Need, Policy, WorkerView};

/// The whole cluster serves the job that arrived first, as long as it has queries waiting; those of a higher priority
/// before all others. Weights mean nothing here.
///
/// Source: the job queue of every batch system, and of the `IDunno`s before their schedulers. Mean completion times suffer
/// from a long job in front.
#[derive(Clone, Copy, Debug)]
pub struct Fifo;

impl Policy for Fifo {
    fn name(&self) -> &'static str {
        "fifo"
    }

    fn about(&self) -> &'static str {
        "the whole cluster serves the job that arrived first, higher priorities before all others"
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Arrival]
    }

    fn pick(&self, view: &ClusterView<'_>, _worker: &WorkerView) -> Option<usize> {
        view.waiting()
            .min_by_key(|(_, job)| (Reverse(job.priority), job.arrived))
            .map(|(position, _)| position)
    }
}
