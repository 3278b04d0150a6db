//! Dispatch and results between coordinator and workers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::entry::Outcome;
use crate::base::{AttemptId, Epoch, Incarnation, QueryId, Span};

/// Coordinator and workers. Both sides speak in whole states, so that a lost or repeated message never matters: the
/// coordinator says what should be on a worker's **desk**, the worker **reports** what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkMessage {
    /// A new coordinator to every member: "this reign is mine; what do you hold?" Answered by [`Self::Report`] or
    /// [`Self::Deposed`]; repeated until then.
    Survey {
        /// The reign.
        epoch: Epoch,
    },
    /// The coordinator to a worker. Answered by [`Self::Report`] or [`Self::Deposed`]; repeated until then.
    Desk(Arc<Desk>),
    /// A worker to its coordinator: in answer to a survey or a desk, when something ended, and repeated while the
    /// coordinator has not settled a result.
    Report(Arc<Report>),
    /// A node to a coordinator of an older reign: "the cluster is at `epoch`, and I do not obey you".
    Deposed {
        /// The newest reign that the sender knows.
        epoch: Epoch,
    },
}

/// Everything that should be on one worker's desk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Desk {
    /// The reign of the coordinator that says so.
    pub epoch: Epoch,
    /// The life of the worker that it is meant for.
    pub incarnation: Incarnation,
    /// Counted per worker and reign; the worker follows the highest that it has seen.
    pub version: u64,
    /// The attempts that the worker shall hold, its unsettled results among them, in ascending order. Whatever else it holds it
    /// drops.
    pub keep: Vec<AttemptId>,
    /// Those of `keep` that the worker may not know yet, in the order in which they shall run.
    pub orders: Vec<Order>,
}

/// One attempt at a query, as a worker needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The attempt.
    pub attempt: AttemptId,
    /// The query.
    pub query: QueryId,
    /// The model to run.
    pub model: Arc<str>,
    /// The dataset that the inputs belong to.
    pub dataset: Arc<str>,
    /// The first input, counted within the job's inputs.
    pub from: u64,
    /// How many inputs.
    pub inputs: u32,
    /// An inference that takes longer than this is stuck, and its engine is killed.
    pub limit: Span,
}

/// What a worker holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// The newest reign that the worker knows.
    pub epoch: Epoch,
    /// The worker's life.
    pub incarnation: Incarnation,
    /// The newest desk of that reign that the worker has followed; 0 when none.
    pub version: u64,
    /// Everything that waits or runs, and the results that are new or overdue (all of them in answer to a survey).
    pub held: Vec<Held>,
    /// The models in its memory, in order of their names.
    pub warm: Vec<Arc<str>>,
}

/// One attempt on a worker's desk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The attempt.
    pub attempt: AttemptId,
    /// The query.
    pub query: QueryId,
    /// How far it has come.
    pub progress: Progress,
}

/// How far an attempt has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Progress {
    /// It waits for the engine.
    Waiting,
    /// It runs, or its model loads.
    Running,
    /// It ended; the result is kept until the coordinator takes the attempt off the desk.
    Ended {
        /// What came of it.
        outcome: Outcome,
        /// How long the inference took, without waiting and loading.
        took: Span,
    },
}
