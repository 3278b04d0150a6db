//! The state machine of one cluster node. It has no clock, socket, thread, file or global randomness.
//!
//! A driver calls [`Node::step`] with whatever happened and carries out the effects that it finds in the [`Outbox`]; it
//! calls it with [`Input::Wake`] no later than [`Node::deadline`]. That is the whole contract, see [`Input`] and [`Effect`].
//!
//! Inside, six sub-machines share the work and know nothing of each other. They return small events, which this module
//! routes in a fixed order:
//!
//! - `membership`: who is alive, who belongs: heartbeats, alerts, suspicion, views.
//! - `log`: the quorum log: elections, replication, snapshots, seats. Or `standby`: the classic design in its place, which is not
//!   safe; `replica` is what the rest sees of either.
//! - `ledger`: the replicated state, a pure function of the committed entries.
//! - `coordinator`: exists on the leader alone: dispatch, client requests, view and seat changes.
//! - `worker`: runs queries on the inference engine.
//! - `store`: knows which chunks of files its disk holds.

mod config;
mod coordinator;
mod deliver;
mod entry;
mod facts;
mod file;
mod identity;
mod io;
mod ledger;
mod log;
mod membership;
mod message;
mod mutant;
mod observation;
mod question;
mod record;
mod replica;
mod route;
mod standby;
mod store;
mod timer;
mod update;
mod view;
mod weight;
mod worker;

use std::collections::VecDeque;
use std::sync::Arc;

pub use config::{
    Config, Detector, Dispatch as DispatchConfig, DispatchMode, Failover, FailoverMode,
    Membership as MembershipConfig, Scheduler, StandbyRule, Store as StoreConfig, limits,
};
pub use entry::*;
pub use file::*;
pub use identity::{Identity, Start, Status};
pub use io::{ChunkCommand, ChunkEvent, Effect, EngineCommand, EngineEvent, Input, Outbox, Stage, Token};
pub use message::*;
pub use mutant::{Mutant, Planted};
pub use observation::*;
pub use question::{
    Assignment, Counted, Failed, JobReport, JobState, JobStats, Last, Overview, Page, Question, Reading,
    Seat, Stats, Took,
};
pub use record::{Ballot, Disk, Record, Snapshot};
pub use timer::Timer;
pub use update::{Memo, ViewUpdate};
pub use view::{Member, View, ViewChange};

use crate::base::{ClusterId, Incarnation, NodeId, Rng, Span, Time};
use coordinator::{Coordinator, Wish};
use ledger::Ledger;
use log::LogEvent;
use membership::{Membership, MembershipEvent};
use replica::Replica;
use store::Store;
use worker::{Worker, WorkerFacts};

/// A step that comes later than this after its deadline means that the node itself was held up.
const OVERSLEPT: Span = Span::millis(100);

/// One node of a cluster.
#[derive(Debug)]
pub struct Node {
    me: NodeId,
    cluster: ClusterId,
    config: Arc<Config>,
    rng: Rng,
    last_token: Token,
    life: Life,
    membership: Membership,
    log: Replica,
    ledger: Ledger,
    worker: Worker,
    store: Store,
    coordinator: Option<Coordinator>,
    /// The newest committed seats that this node knows of, by its own log or by announcement.
    seats: Arc<Seats>,
    /// When the next attempt to leave is due; `Time::NEVER` when the node shall stay.
    leave_at: Time,
    /// Where the last snapshot of the ledger was taken.
    compacted: Index,
    deadline: Time,
    log_events: VecDeque<LogEvent>,
    membership_events: VecDeque<MembershipEvent>,
    wishes: VecDeque<Wish>,
}

/// Whether the node may speak.
#[derive(Debug)]
enum Life {
    /// Nothing has happened yet; this is how it will start.
    Unborn(Start),
    /// The record of this life is being written.
    Expecting { incarnation: Incarnation, durable_by: Token },
    /// The record is durable.
    Living,
}

impl Node {
    /// A node whose clock stands at zero. Nothing happens before the first [`Node::step`], which is due at once.
    ///
    /// Drivers hand over only disks whose checksums are right; a snapshot that does not decode is a bug and panics.
    pub fn new(identity: Identity, config: Arc<Config>, start: Start, rng: Rng) -> Node {
        let disk = match &start {
            Start::Restart(disk) | Start::Join { disk, .. } => Some(&**disk),
            Start::Found => None,
        };
        let (view, seats) = disk
            .and_then(|disk| disk.view.clone())
            .unwrap_or_else(|| (Arc::new(View::empty()), Arc::default()));
        let seeds = match &start {
            Start::Join { seeds, .. } => seeds.clone(),
            Start::Found | Start::Restart(_) => Vec::new(),
        };
        let incarnation = disk.map_or(Incarnation(0), |disk| disk.incarnation).next();
        let member = Member {
            id: identity.id,
            incarnation,
            birth: rng.fork("birth").bits() | 1,
            name: identity.name,
            kind: identity.kind,
            worker: identity.worker,
            address: identity.address,
        };
        let log_rng = rng.fork("log");
        let log = Replica::new(identity.id, disk, &config.failover, log_rng);
        let mut node = Node {
            me: identity.id,
            cluster: disk.map_or(ClusterId(0), |disk| disk.cluster),
            last_token: Token(0),
            membership: Membership::new(member, &config.membership, view, seeds, rng.fork("membership")),
            log,
            ledger: Ledger::new(config.membership.observers_each()),
            worker: Worker::new(identity.worker, identity.refuse, &config.dispatch, rng.fork("refusals")),
            store: Store::new(disk.map_or(&[], |disk| &disk.chunks)),
            coordinator: None,
            seats,
            leave_at: Time::NEVER,
            compacted: Index(0),
            deadline: Time::ZERO,
            log_events: VecDeque::new(),
            membership_events: VecDeque::new(),
            wishes: VecDeque::new(),
            life: Life::Unborn(start),
            config,
            rng,
        };
        node.plant();
        node
    }

    /// Tells the parts which bug is planted, if any.
    fn plant(&mut self) {
        let planted = self.config.planted;
        self.log.plant(planted);
        self.membership.planted = planted;
        self.ledger.planted = planted;
        self.worker.planted = planted;
    }

    /// When [`Node::step`] shall be called with [`Input::Wake`].
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Takes in one input at `now` (nanoseconds since this process began, never decreasing) and puts what follows from it
    /// into `out`, which the driver empties after each step. What is due by `now` is done first.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Outbox) {
        out.begin(self.me, self.cluster, self.last_token);
        if matches!(self.life, Life::Unborn(_)) {
            self.start(now, out);
        }
        if now >= self.deadline && matches!(self.life, Life::Living) {
            let late = now.since(self.deadline);
            if late > OVERSLEPT {
                self.membership.overslept(late);
            }
            self.wake(now, out);
        }
        match input {
            Input::Wake => {}
            Input::Receive { from, message } => self.receive(now, from, message, out),
            Input::Client { session, number, request } => self.client(now, session, number, request, out),
            Input::Engine(event) => self.worker.engine(now, event, self.worker_facts(), out),
            Input::Persisted(token) => self.persisted(now, token, out),
            Input::Leave => self.leave(now, out),
            Input::Chunk(event @ (ChunkEvent::Staged { .. } | ChunkEvent::Unstaged { .. })) => {
                self.worker.chunk(now, event, self.worker_facts(), out);
            }
            Input::Chunk(event) => self.store.event(&event, out),
        }
        self.settle(now, out);
        self.last_token = out.last_token;
        self.deadline = match self.life {
            // What is to be done at once is due now, and not since the process began: nobody has overslept.
            Life::Living => self.next_deadline().max(now),
            Life::Unborn(_) | Life::Expecting { .. } => Time::NEVER,
        };
    }

    /// What it is now.
    pub fn status(&self) -> Status {
        Status {
            incarnation: self.membership.me().incarnation,
            epoch: self.log.epoch(),
            coordinator: self.coordinator(),
            leads: self.log.leads(),
            votes: self.log.votes(),
            view: self.membership.view().id(),
            member: self.membership.is_member(),
            held: self.worker.held(),
        }
    }

    /// Which timers are due by `now`: what a step at that time does first. For those who watch; it changes nothing.
    ///
    /// Never empty when the deadline has come. A node that was held up allows for that as it steps, so that a silence or a
    /// suspicion that is named here may come to nothing.
    pub fn due(&self, now: Time) -> Vec<Timer> {
        let mut due = Vec::new();
        match self.life {
            Life::Unborn(_) => due.push(Timer::Start),
            Life::Expecting { .. } => {}
            Life::Living => {
                self.log.due(now, &mut due);
                self.membership.due(now, &mut due);
                timer::add_due(now, [(Timer::Worker, self.worker.deadline())], &mut due);
                timer::add_due(now, [(Timer::Holds, self.store.deadline())], &mut due);
                timer::add_due(now, [(Timer::Leave, self.leave_at)], &mut due);
                if let Some(coordinator) = &self.coordinator {
                    coordinator.due(now, &mut due);
                }
            }
        }
        due
    }

    fn next_deadline(&self) -> Time {
        let coordinator = self.coordinator.as_ref().map_or(Time::NEVER, Coordinator::deadline);
        let parts = self.membership.deadline().min(self.log.deadline()).min(self.worker.deadline());
        parts.min(coordinator).min(self.leave_at).min(self.store.deadline())
    }
}
