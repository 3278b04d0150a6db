//! What a campaign has to have reached now and then, or it has tested less than it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{QueryId, SessionId, Span, Time};
use crate::history::{
    Change, ClientEvent, Dispatch, FaultPhase, GiveUp, Machine, Observation, Record, Reply, Sink, StepDown,
    What,
};

/// The points of interest, each a sentence about a trial.
pub const POINTS: [&str; 27] = [
    "a second leader was elected",
    "a leader stepped down without a quorum",
    "a leader handed over",
    "a node restored a snapshot",
    "a member was evicted",
    "several members changed in one view",
    "a voter's seat was given to another node",
    "an evicted life learned of it",
    "a suspect was trusted again",
    "a query was hedged",
    "a query of a suspect was given to another worker",
    "a query was taken back from a worker",
    "two answers to one query arrived",
    "a new coordinator took over attempts",
    "a load failed",
    "an engine died",
    "a job ended under faults",
    "a batch size changed under way",
    "a job was cancelled under way",
    "a stopped job went on",
    "a client asked again elsewhere",
    "a client gave up and never knew",
    "a client read how far jobs are",
    "a file was put",
    "a file was deleted",
    "a chunk was dropped",
    "a file was put under a second coordinator",
];

/// From this wait on a client has asked more than one node.
const PATIENCE: Span = Span::millis(500);

/// What one trial reached, gathered while it runs.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// How often each point was reached, in the order of [`POINTS`].
    pub points: [u64; POINTS.len()],
    /// For each kind of fault, how many began.
    pub began: BTreeMap<Arc<str>, u64>,
    /// For each kind of fault, how many took effect.
    pub effective: BTreeMap<Arc<str>, u64>,
    /// For each fault of the plan, when it began for the first time, and whom it hit then.
    pub(super) hit: BTreeMap<u32, (Time, Vec<Machine>)>,
    leaders: u64,
    faults_in_force: i64,
    /// Queries of which an answer has reached a coordinator.
    answered: BTreeSet<QueryId>,
    asked: BTreeMap<(SessionId, u64), Time>,
    voters: Option<BTreeSet<crate::base::NodeId>>,
}

impl Reached {
    /// Adds what another trial reached.
    pub fn add(&mut self, other: &Reached) {
        for (sum, one) in self.points.iter_mut().zip(other.points) {
            *sum += one;
        }
        for (kind, count) in &other.began {
            *self.began.entry(Arc::clone(kind)).or_default() += count;
        }
        for (kind, count) in &other.effective {
            *self.effective.entry(Arc::clone(kind)).or_default() += count;
        }
    }

    fn reach(&mut self, point: usize) {
        self.points[point] += 1;
    }

    fn on_node(&mut self, observation: &Observation) {
        match observation {
            Observation::Led { .. } => {
                self.leaders += 1;
                if self.leaders > 1 {
                    self.reach(0);
                }
            }
            Observation::SteppedDown { reason: StepDown::NoQuorum, .. } => self.reach(1),
            Observation::SteppedDown { reason: StepDown::HandedOver, .. } => self.reach(2),
            Observation::Restored { .. } => self.reach(3),
            Observation::Seated { seats } => {
                let voters: BTreeSet<_> = seats.voters.iter().copied().collect();
                let fresh = |before: &BTreeSet<_>| !voters.is_subset(before);
                if self.voters.as_ref().is_some_and(fresh) {
                    self.reach(6);
                }
                self.voters = Some(voters);
            }
            Observation::Expelled { .. } => self.reach(7),
            Observation::Trusted { .. } => self.reach(8),
            Observation::Dispatched { reason, .. } => match reason {
                Dispatch::Hedge => self.reach(9),
                Dispatch::Suspect => self.reach(10),
                _ => {}
            },
            Observation::Arrived { query, answered: true, .. } => self.on_answer(*query),
            Observation::GaveUp { reason: GiveUp::Withdrawn, .. } => self.reach(11),
            Observation::Inherited { .. } => self.reach(13),
            Observation::Loaded { ok: false, .. } => self.reach(14),
            Observation::EngineDied { .. } => self.reach(15),
            Observation::ChunkDropped { .. } => self.reach(25),
            Observation::Applied { changes, .. } => self.on_changes(changes),
            _ => {}
        }
    }

    fn on_answer(&mut self, query: QueryId) {
        if !self.answered.insert(query) {
            self.reach(12);
        }
    }

    fn on_changes(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::ViewChanged { change, .. } => {
                    if !change.gone.is_empty() {
                        self.reach(4);
                    }
                    if change.gone.len() + change.joined.len() > 1 {
                        self.reach(5);
                    }
                }
                Change::JobEnded { .. } if self.faults_in_force > 0 => self.reach(16),
                Change::Recut { .. } => self.reach(17),
                Change::JobResumed { .. } => self.reach(19),
                Change::FilePut { .. } => {
                    self.reach(23);
                    if self.leaders > 1 {
                        self.reach(26);
                    }
                }
                Change::FileDeleted { .. } => self.reach(24),
                _ => {}
            }
            if let Change::JobEnded { cancelled: true, .. } = change {
                self.reach(18);
            }
        }
    }

    fn on_client(&mut self, at: Time, event: &ClientEvent) {
        match event {
            ClientEvent::Asked { session, number, .. } => {
                self.asked.insert((*session, *number), at);
            }
            ClientEvent::Told { session, number, reply } => {
                let asked = self.asked.remove(&(*session, *number));
                if asked.is_some_and(|asked| at.since(asked) > PATIENCE) {
                    self.reach(20);
                }
                if let Reply::Jobs(_) = **reply {
                    self.reach(22);
                }
            }
            ClientEvent::GaveUp { .. } => self.reach(21),
        }
    }
}

impl Sink for Reached {
    fn record(&mut self, record: &Record) {
        match &record.what {
            What::Node(observation) => self.on_node(observation),
            What::Fault(event) => match event.phase {
                FaultPhase::Began => {
                    self.faults_in_force += 1;
                    self.hit.entry(event.fault).or_insert_with(|| (record.at, event.machines.clone()));
                    *self.began.entry(Arc::clone(&event.kind)).or_default() += 1;
                }
                FaultPhase::TookEffect => *self.effective.entry(Arc::clone(&event.kind)).or_default() += 1,
                FaultPhase::Ended => self.faults_in_force -= 1,
                FaultPhase::Missed { .. } => {}
            },
            What::Client(event) => self.on_client(record.at, event),
            _ => {}
        }
    }
}
