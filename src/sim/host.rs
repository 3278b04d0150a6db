//! A machine of the run: the process on it, if one runs, and what waits for it while it stands still.

use std::collections::VecDeque;
use std::sync::Arc;

use super::clock::Clock;
use crate::base::{NodeId, Rng, SessionId, Time};
use crate::node::{
    ChunkEvent, Config, EngineEvent, Identity, Input, Message, Node, Outbox, Request, Seats, Start, Status,
    Timer,
};

/// What messages a process that stands still keeps at most; the oldest are dropped.
const INBOX_MAX: usize = 10_000;

/// What runs on the machines: [`Node`], or a stand-in by which the driver itself is tested and measured.
pub trait Process: Sized {
    /// A process whose clock stands at zero; see [`Node::new`].
    fn start(identity: Identity, config: Arc<Config>, start: Start, rng: Rng) -> Self;
    /// See [`Node::deadline`].
    fn deadline(&self) -> Time;
    /// See [`Node::step`].
    fn step(&mut self, now: Time, input: Input, out: &mut Outbox);
    /// See [`Node::status`].
    fn status(&self) -> Status;
    /// See [`Node::due`]; stand-ins need not say it.
    fn due(&self, _now: Time) -> Vec<Timer> {
        Vec::new()
    }
}

impl Process for Node {
    fn start(identity: Identity, config: Arc<Config>, start: Start, rng: Rng) -> Node {
        Node::new(identity, config, start, rng)
    }
    fn deadline(&self) -> Time {
        Node::deadline(self)
    }
    fn step(&mut self, now: Time, input: Input, out: &mut Outbox) {
        Node::step(self, now, input, out);
    }
    fn status(&self) -> Status {
        Node::status(self)
    }
    fn due(&self, now: Time) -> Vec<Timer> {
        Node::due(self, now)
    }
}

/// One machine.
#[derive(Debug)]
pub(super) struct Host<P> {
    /// Who lives on its present disk.
    pub(super) id: NodeId,
    /// How often its disk was wiped.
    pub(super) disk: u32,
    /// How often a process began on it; what belongs to an earlier life is void.
    pub(super) life: u32,
    /// The present process's clock.
    pub(super) clock: Clock,
    /// The faults that make it run wrong, each with how many times as fast.
    pub(super) skews: Vec<(u32, f64)>,
    /// Whether the clock stands still, because the process does.
    pub(super) suspended: bool,
    /// How many faults keep processor time from it at the moment.
    pub(super) starved: u32,
    /// The wake-up that counts; earlier queued ones are void.
    pub(super) armed: Time,
    /// Whether the process stands still.
    pub(super) paused: bool,
    /// Whether a process is to begin as soon as the disk has room.
    pub(super) awaits_room: bool,
    /// The seats that the process has said it acts by.
    pub(super) seats: Option<Arc<Seats>>,
    /// The process, unless it is dead.
    pub(super) process: Option<P>,
}

impl<P: Process> Host<P> {
    /// A machine that is off.
    pub(super) fn new(id: NodeId) -> Host<P> {
        Host {
            id,
            disk: 0,
            life: 0,
            clock: Clock::new(Time::ZERO, 1.0),
            skews: Vec::new(),
            suspended: false,
            starved: 0,
            armed: Time::NEVER,
            paused: false,
            awaits_room: false,
            seats: None,
            process: None,
        }
    }

    /// Whether a process on it does nothing for now.
    pub(super) fn stands_still(&self) -> bool {
        self.paused || self.starved > 0
    }

    /// How fast a clock on it runs.
    pub(super) fn rate(&self) -> f64 {
        if self.suspended { 0.0 } else { self.skews.iter().fold(1.0, |rate, (_, factor)| rate * factor) }
    }

    /// From `now` on the clock runs as fast as it should by now.
    pub(super) fn set_clock(&mut self, now: Time) {
        self.clock.run_at(now, self.rate());
    }

    /// Whether a process runs on it, be it paused.
    pub(super) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// What the process is now.
    pub(super) fn status(&self) -> Option<Status> {
        self.process.as_ref().map(Process::status)
    }
}

/// Something that the machine itself has for its process; never lost while the process lives.
#[derive(Debug)]
pub(super) enum Local {
    /// The sync in flight ended.
    Synced,
    /// The engine spoke.
    Engine(EngineEvent),
    /// A client asks.
    Client { session: SessionId, number: u64, request: Arc<Request> },
    /// Something became of a chunk.
    Chunk(ChunkEvent),
}

/// What waits for a process that stands still.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// From the machine itself.
    pub(super) local: Vec<Local>,
    /// From the network.
    pub(super) inbox: VecDeque<(NodeId, Message)>,
}

impl Waiting {
    /// Queues a message; when the queue is full the oldest is dropped.
    pub(super) fn receive(&mut self, from: NodeId, message: Message) {
        if self.inbox.len() == INBOX_MAX {
            self.inbox.pop_front();
        }
        self.inbox.push_back((from, message));
    }
}
