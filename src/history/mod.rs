//! What happened in a run: one record per observation, fed to a [`Sink`] while the run goes on.
//!
//! Both drivers write the same history; the checker and the reports read nothing else.

mod progress;
mod watcher;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{NodeId, SessionId, Time};

pub use progress::{EVERY, Progress, SETTLE};
pub use watcher::{Fate, Watcher};

/// What records are made of, for those who read histories without knowing nodes.
pub use crate::node::{
    Answer, Change, Command, Completion, Dispatch, Entry, GiveUp, Index, Inputs, JobSpec, Member,
    Observation, Payload, Position, Reply, Request, Seats, StepDown, Uncounted, Version, View, ViewChange,
};

/// A machine of the run, by its position in the plan. A machine whose disk is wiped gets a new [`NodeId`] and keeps this.
pub type Machine = u32;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, since the run began.
    pub at: Time,
    /// On which machine; `None` for what concerns none or several.
    pub machine: Option<Machine>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A node's process began; the identity tells whether its disk is an old one.
    Up(NodeId),
    /// A node's process ended without a word.
    Down(NodeId),
    /// A node's process stands still.
    Paused(NodeId),
    /// A node's process goes on.
    Resumed(NodeId),
    /// The node observed something.
    Node(Observation),
    /// A fault was injected, or ended.
    Fault(FaultEvent),
    /// A client asked something, or was told something.
    Client(ClientEvent),
}

/// What became of a planned fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEvent {
    /// Its position in the plan.
    pub fault: u32,
    /// Its kind, as scenarios call it.
    pub kind: Arc<str>,
    /// The machines that it hit.
    pub machines: Vec<Machine>,
    /// What became of it.
    pub phase: FaultPhase,
}

/// What became of a planned fault at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultPhase {
    /// It is in force from now on.
    Began,
    /// It did something for the first time: a message was cut, a query was stuck.
    TookEffect,
    /// It is over.
    Ended,
    /// It could not be injected; nothing changed.
    Missed {
        /// Why.
        reason: Arc<str>,
    },
}

/// A client's side of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientEvent {
    /// A request went out for the first time.
    Asked {
        /// The session.
        session: SessionId,
        /// The request's number within the session.
        number: u64,
        /// The request.
        request: Arc<Request>,
    },
    /// An answer came: the session goes on to its next request.
    Told {
        /// The session.
        session: SessionId,
        /// The request's number within the session.
        number: u64,
        /// The answer.
        reply: Arc<Reply>,
    },
    /// The client waited long enough: it will never know whether the request was carried out, or still will be.
    GaveUp {
        /// The session.
        session: SessionId,
        /// The request's number within the session.
        number: u64,
    },
}

/// Takes in a run while it goes on.
pub trait Sink {
    /// The next record; times never decrease.
    fn record(&mut self, record: &Record);
}

impl Sink for Vec<Record> {
    fn record(&mut self, record: &Record) {
        self.push(record.clone());
    }
}

impl<A: Sink, B: Sink> Sink for (A, B) {
    fn record(&mut self, record: &Record) {
        self.0.record(record);
        self.1.record(record);
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn record(&mut self, record: &Record) {
        (**self).record(record);
    }
}

/// Takes in nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignore;

impl Sink for Ignore {
    fn record(&mut self, _: &Record) {}
}
