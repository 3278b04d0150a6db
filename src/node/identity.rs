//! Who a node is, how it starts, and what it says of itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::Disk;
use crate::base::{Epoch, Incarnation, NodeId, ViewId};

/// Who a node is, whatever happens to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Made with its disk; see [`NodeId`].
    pub id: NodeId,
    /// Its name for people.
    pub name: Arc<str>,
    /// Its kind of machine.
    pub kind: Arc<str>,
    /// Whether it takes queries.
    pub worker: bool,
    /// How likely it refuses an order, 0 to 1; 0 is usual. What it refuses is drawn from a stream of its own.
    pub refuse: f64,
    /// Where its driver can be reached.
    pub address: Arc<str>,
}

/// How a node starts. It never guesses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Start {
    /// It founds a new cluster, of which it is the only voter.
    Found,
    /// Its disk holds no view, and it asks these members, in turn, to be let in. An earlier try may have left its life on the disk.
    Join {
        /// Whom to ask.
        seeds: Vec<NodeId>,
        /// What the disk holds.
        disk: Box<Disk>,
    },
    /// It goes on from what its disk holds.
    Restart(Box<Disk>),
}

/// What a node is at one moment, for drivers that aim faults at roles and for status displays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its life.
    pub incarnation: Incarnation,
    /// The newest reign that it knows.
    pub epoch: Epoch,
    /// Who leads that reign, if it knows.
    pub coordinator: Option<NodeId>,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it has a voter's seat.
    pub votes: bool,
    /// The view that it acts by.
    pub view: ViewId,
    /// Whether this life belongs to that view.
    pub member: bool,
    /// Queries that it holds as a worker, without results that it only keeps.
    pub held: usize,
}
