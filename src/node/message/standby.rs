//! The classic design instead of the quorum log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::entry::{Entry, Position};
use super::super::record::Snapshot;
use crate::base::{Epoch, NodeId};

/// A coordinator of the classic design and its standby.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StandbyMessage {
    /// The coordinator to its standby: the state, or what is new in it. Answered by [`Self::Kept`]; repeated until then.
    Backup(Arc<Backup>),
    /// The standby to the coordinator; also anyone to one whose reign is over.
    Kept {
        /// The newest reign that the sender knows.
        epoch: Epoch,
        /// Where the sender's copy ends; the beginning of everything when it has none.
        last: Position,
    },
}

/// The body of [`StandbyMessage::Backup`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backup {
    /// The coordinator's reign.
    pub epoch: Epoch,
    /// The whole state, for one that has none of it.
    pub whole: Option<Whole>,
    /// At most 1 MiB of entries that follow, without gaps.
    pub entries: Vec<Entry>,
}

/// The whole state of a coordinator of the classic design.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Whole {
    /// The state.
    pub snapshot: Arc<Snapshot>,
    /// The members, those who have belonged longest first.
    pub seniority: Vec<NodeId>,
}
