//! Which members hold which chunks, and which they should.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::file::Located;
use crate::base::{Chunk, Epoch, Incarnation, JobId, NodeId};

/// The file store. Members say which chunks they hold, the coordinator says which they should; both repeat themselves until they are
/// answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StoreMessage {
    /// A member to the coordinator: what it holds, to one whom it told nothing yet, and then what has changed. Answered by
    /// [`Self::Noted`]; nothing more is said before.
    Holds(Arc<Holds>),
    /// The coordinator to a member: "I know that."
    Noted {
        /// The coordinator's reign.
        epoch: Epoch,
        /// The life of the member.
        incarnation: Incarnation,
        /// What was said.
        serial: u64,
    },
    /// The coordinator to a member: what it shall get and what it shall drop. Answered by [`Self::Tending`] at once, and by
    /// [`Self::Holds`] for each chunk in time.
    Tend(Arc<Tend>),
    /// A member to its coordinator: "I see to it", however long that takes.
    Tending {
        /// The coordinator's reign.
        epoch: Epoch,
        /// The life of the member.
        incarnation: Incarnation,
    },
    /// A worker to its coordinator: "where are the data of this job?" Repeated until it is answered by [`Self::Found`].
    Seek {
        /// The reign whose coordinator it is meant for.
        epoch: Epoch,
        /// The job.
        job: JobId,
    },
    /// The coordinator to a worker: where the data of a job are at present.
    Found(Arc<Found>),
}

/// Where the data of a job are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Found {
    /// The job.
    pub job: JobId,
    /// The number after that of its last input.
    pub inputs_end: u64,
    /// The version of the file that it reads, and who holds what of it; `None` when it reads none.
    pub located: Option<Located>,
}

/// What changed of the chunks that a member holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holds {
    /// The reign whose coordinator it is meant for.
    pub epoch: Epoch,
    /// The member's life.
    pub incarnation: Incarnation,
    /// Counted per life of a process.
    pub serial: u64,
    /// At most 1,000.
    pub chunks: Vec<Holding>,
}

/// Whether a member holds a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holding {
    /// The chunk.
    pub chunk: Chunk,
    /// By which stamp, if it holds it: a new one each time that it was wanted.
    pub stamp: Option<u64>,
    /// Whether it does not because its disk could not take it.
    pub unwritten: bool,
}

/// What a member shall do with single chunks. Nothing is said of all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tend {
    /// The reign of the coordinator that says so.
    pub epoch: Epoch,
    /// The life of the member that it is meant for.
    pub incarnation: Incarnation,
    /// What it shall hold.
    pub fetch: Vec<Fetch>,
    /// What it shall drop if it holds it by this stamp.
    pub drop: Vec<(Chunk, u64)>,
}

/// A chunk that a member shall hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fetch {
    /// The chunk.
    pub chunk: Chunk,
    /// Who holds it.
    pub from: Vec<NodeId>,
}
