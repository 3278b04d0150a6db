//! The state machine of one cluster node. It has no clock, socket, thread, file or global randomness.

mod config;
mod entry;
mod io;
mod membership;
mod message;
mod observation;
mod record;
mod view;

pub use config::{
    Config, Dispatch as DispatchConfig, Failover, Membership as MembershipConfig, Scheduler, limits,
};
pub use entry::*;
pub use io::{Effect, EngineCommand, EngineEvent, Input, Outbox, Token};
pub use message::*;
pub use observation::*;
pub use record::{Ballot, Disk, Record, Snapshot};
pub use view::{Member, Memo, View, ViewChange, ViewUpdate};

use std::sync::Arc;

use crate::base::{Epoch, Incarnation, NodeId, Rng, Time, ViewId};

/// Who a node is, whatever happens to it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Made with its disk; see [`NodeId`].
    pub id: NodeId,
    /// Its name for people.
    pub name: Arc<str>,
    /// Its kind of machine.
    pub kind: Arc<str>,
    /// Whether it takes queries.
    pub worker: bool,
    /// Where its driver can be reached.
    pub address: Arc<str>,
}

/// How a node starts. It never guesses.
#[derive(Clone, Debug)]
pub enum Start {
    /// It founds a new cluster, of which it is the only voter.
    Found,
    /// Its disk is empty, and it asks these members, in turn, to be let in.
    Join(Vec<NodeId>),
    /// It goes on from what its disk holds.
    Restart(Box<Disk>),
}

/// What a node is at one moment, for drivers that aim faults at roles and for status displays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One node of a cluster.
#[derive(Debug)]
pub struct Node {
    deadline: Time,
}

impl Node {
    /// A node whose clock stands at zero. Nothing happens before the first [`Node::step`], which is due at once.
    pub fn new(_identity: Identity, _config: Arc<Config>, _start: Start, _rng: Rng) -> Node {
        Node { deadline: Time::ZERO }
    }

    /// When [`Node::step`] shall be called with [`Input::Wake`].
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Takes in one input at `now` (nanoseconds since this process began, never decreasing) and puts what follows from it
    /// into `out`, which the driver empties after each step. What is due by `now` is done first.
    pub fn step(&mut self, _now: Time, _input: Input, _out: &mut Outbox) {
        self.deadline = Time::NEVER;
    }

    /// What it is now.
    pub fn status(&self) -> Status {
        Status {
            incarnation: Incarnation(1),
            epoch: Epoch(0),
            coordinator: None,
            leads: false,
            votes: false,
            view: ViewId(0),
            member: false,
            held: 0,
        }
    }
}
