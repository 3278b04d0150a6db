//! What a campaign has to have reached now and then, or it has tested less than it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lasting::is_for_good;
use super::profile::Profile;
use crate::base::{NodeId, QueryId, Time};
use crate::history::{
    Change, ClientEvent, Dispatch, FaultPhase, GiveUp, Index, Machine, Observation, Record, Reply, Seats,
    Sink, StepDown, What,
};
use crate::scenario::Plan;

/// A point of interest: something that may happen in a trial. [`Point::name`] says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each has its sentence in the table")]
pub enum Point {
    SecondLeader,
    NoQuorum,
    HandedOver,
    SnapshotRestored,
    Evicted,
    SeveralChanged,
    SeatGiven,
    Expelled,
    Trusted,
    Hedged,
    SuspectRelieved,
    Withdrawn,
    AnsweredTwice,
    TakenOver,
    LoadFailed,
    EngineDied,
    EndedUnderFaults,
    Recut,
    Cancelled,
    WentOn,
    AskedElsewhere,
    GaveUp,
    JobsRead,
    FilePut,
    FileDeleted,
    ChunkDropped,
    FilePutLater,
    OnlyQuorum,
}

/// Every profile.
const ALL: &[Profile] = &Profile::ALL;
/// Those whose engines break.
const ENGINES: &[Profile] = &[Profile::Swarm, Profile::Work];
/// Those whose machines leave on purpose.
const LEAVES: &[Profile] = &[Profile::Swarm, Profile::Churn];
/// Those whose clients have files.
const FILES: &[Profile] = &[Profile::Files];

/// Every point, with its sentence about a trial, and the profiles whose scenarios can be expected to reach it.
#[rustfmt::skip] // One point, one line: it is a table.
const POINTS: [(Point, &str, &[Profile]); 28] = [
    (Point::SecondLeader, "a second leader was elected", ALL),
    (Point::NoQuorum, "a leader stepped down without a quorum", ALL),
    (Point::HandedOver, "a leader handed over", LEAVES),
    (Point::SnapshotRestored, "a node restored a snapshot", ALL),
    (Point::Evicted, "a member was evicted", ALL),
    (Point::SeveralChanged, "several members changed in one view", ALL),
    (Point::SeatGiven, "a voter's seat was given to another node", ALL),
    (Point::Expelled, "an evicted life learned of it", ALL),
    (Point::Trusted, "a suspect was trusted again", ALL),
    (Point::Hedged, "a query was hedged", ALL),
    (Point::SuspectRelieved, "a query of a suspect was given to another worker", ALL),
    (Point::Withdrawn, "a query was taken back from a worker", ALL),
    (Point::AnsweredTwice, "two answers to one query arrived", ALL),
    (Point::TakenOver, "a new coordinator took over attempts", ALL),
    (Point::LoadFailed, "a load failed", ENGINES),
    (Point::EngineDied, "an engine died", ENGINES),
    (Point::EndedUnderFaults, "a job ended under faults", ALL),
    (Point::Recut, "a batch size changed under way", ALL),
    (Point::Cancelled, "a job was cancelled under way", ALL),
    (Point::WentOn, "a stopped job went on", ALL),
    (Point::AskedElsewhere, "a client asked again elsewhere", ALL),
    (Point::GaveUp, "a client gave up and never knew", ALL),
    (Point::JobsRead, "a client read how far jobs are", ALL),
    (Point::FilePut, "a file was put", FILES),
    (Point::FileDeleted, "a file was deleted", FILES),
    (Point::ChunkDropped, "a chunk was dropped", FILES),
    (Point::FilePutLater, "a file was put under a second coordinator", FILES),
    (Point::OnlyQuorum, "only a quorum of the voters was left whole", ALL),
];

impl Point {
    /// All points, in the order of the table.
    pub fn all() -> impl Iterator<Item = Point> {
        POINTS.iter().map(|(point, ..)| *point)
    }

    /// Those that scenarios of `profile` can be expected to reach.
    pub fn of(profile: Profile) -> impl Iterator<Item = Point> {
        POINTS.iter().filter(move |(.., profiles)| profiles.contains(&profile)).map(|(point, ..)| *point)
    }

    /// A sentence about a trial, without a full stop.
    pub fn name(self) -> &'static str {
        POINTS[self as usize].1
    }
}

/// What one trial reached, gathered while it runs, or several.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// How often each point was reached: once for each event, however many nodes notice it.
    pub points: BTreeMap<Point, u64>,
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
    /// The last entry whose changes were looked at: every node applies it.
    applied: Index,
    /// How many machines, the first ones, vote until seats change.
    founders: Machine,
    /// The newest seats that anybody knows of, once they have changed.
    seats: Option<Arc<Seats>>,
    /// Which faults never end, by their position in the plan.
    endless: BTreeSet<u32>,
    /// The machines that these have hit.
    broken: BTreeSet<Machine>,
    /// Who runs on each machine.
    ids: BTreeMap<Machine, NodeId>,
}

impl Reached {
    /// Nothing so far, of a trial of `plan`.
    pub(super) fn in_trial_of(plan: &Plan) -> Reached {
        let faults = (0..).zip(&plan.faults);
        let endless = faults.filter(|(_, fault)| is_for_good(fault)).map(|(position, _)| position);
        let founders = plan.config.failover.voters_for(plan.nodes.len()) as Machine;
        Reached { endless: endless.collect(), founders, ..Reached::default() }
    }

    /// Adds what another trial reached.
    pub fn add(&mut self, other: &Reached) {
        fn sum<K: Clone + Ord>(all: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
            for (key, count) in other {
                *all.entry(key.clone()).or_default() += count;
            }
        }
        sum(&mut self.points, &other.points);
        sum(&mut self.began, &other.began);
        sum(&mut self.effective, &other.effective);
    }

    /// How often `point` was reached.
    pub fn times(&self, point: Point) -> u64 {
        self.points.get(&point).copied().unwrap_or(0)
    }

    fn reach(&mut self, point: Point) {
        self.reach_times(point, 1);
    }

    pub(super) fn reach_times(&mut self, point: Point, times: u64) {
        if times > 0 {
            *self.points.entry(point).or_default() += times;
        }
    }

    fn on_node(&mut self, observation: &Observation) {
        match observation {
            Observation::Led { .. } => {
                self.leaders += 1;
                if self.leaders > 1 {
                    self.reach(Point::SecondLeader);
                }
            }
            Observation::SteppedDown { reason: StepDown::NoQuorum, .. } => self.reach(Point::NoQuorum),
            Observation::SteppedDown { reason: StepDown::HandedOver, .. } => self.reach(Point::HandedOver),
            Observation::Restored { .. } => self.reach(Point::SnapshotRestored),
            Observation::Seated { seats } => self.on_seats(seats),
            Observation::Expelled { .. } => self.reach(Point::Expelled),
            Observation::Trusted { .. } => self.reach(Point::Trusted),
            Observation::Dispatched { reason, .. } => match reason {
                Dispatch::Hedge => self.reach(Point::Hedged),
                Dispatch::Suspect => self.reach(Point::SuspectRelieved),
                _ => {}
            },
            Observation::Arrived { query, answered: true, .. } => {
                if !self.answered.insert(*query) {
                    self.reach(Point::AnsweredTwice);
                }
            }
            Observation::GaveUp { reason: GiveUp::Withdrawn, .. } => self.reach(Point::Withdrawn),
            Observation::Inherited { .. } => self.reach(Point::TakenOver),
            Observation::Loaded { ok: false, .. } => self.reach(Point::LoadFailed),
            Observation::EngineDied { .. } => self.reach(Point::EngineDied),
            Observation::ChunkDropped { .. } => self.reach(Point::ChunkDropped),
            Observation::Applied { entry, changes, .. } if entry.position.index > self.applied => {
                self.applied = entry.position.index;
                self.on_changes(changes);
            }
            _ => {}
        }
    }

    /// Every node says of itself which seats are in force for it, at different times.
    fn on_seats(&mut self, seats: &Arc<Seats>) {
        if let Some(before) = &self.seats {
            if seats.number <= before.number {
                return;
            }
            if seats.voters.iter().any(|voter| !before.voters.contains(voter)) {
                self.reach(Point::SeatGiven);
            }
        }
        self.seats = Some(Arc::clone(seats));
    }

    fn on_changes(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::ViewChanged { view, change } => {
                    if !change.gone.is_empty() {
                        self.reach(Point::Evicted);
                    }
                    // In the view that founds a cluster all members are new.
                    let founds = change.joined.len() == view.members().len();
                    if change.gone.len() + change.joined.len() > 1 && !founds {
                        self.reach(Point::SeveralChanged);
                    }
                }
                Change::JobEnded { cancelled, .. } => {
                    if self.faults_in_force > 0 {
                        self.reach(Point::EndedUnderFaults);
                    }
                    if *cancelled {
                        self.reach(Point::Cancelled);
                    }
                }
                Change::Recut { .. } => self.reach(Point::Recut),
                Change::JobResumed { .. } => self.reach(Point::WentOn),
                Change::FilePut { .. } => {
                    self.reach(Point::FilePut);
                    if self.leaders > 1 {
                        self.reach(Point::FilePutLater);
                    }
                }
                Change::FileDeleted { .. } => self.reach(Point::FileDeleted),
                _ => {}
            }
        }
    }

    fn on_client(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Told { reply, .. } => {
                if let Reply::Jobs(_) = **reply {
                    self.reach(Point::JobsRead);
                }
            }
            ClientEvent::GaveUp { .. } => self.reach(Point::GaveUp),
            ClientEvent::Asked { .. } => {}
        }
    }

    /// Machines that stay broken from now on.
    fn on_broken(&mut self, machines: &[Machine]) {
        self.broken.extend(machines);
        let voters = match &self.seats {
            Some(seats) => seats.voters.clone(),
            None => (0..self.founders).filter_map(|machine| self.ids.get(&machine).copied()).collect(),
        };
        let broken =
            |voter: &&NodeId| self.broken.iter().any(|machine| self.ids.get(machine) == Some(*voter));
        let whole = voters.iter().filter(|voter| !broken(voter)).count();
        if whole < voters.len() && whole == voters.len() / 2 + 1 && self.times(Point::OnlyQuorum) == 0 {
            self.reach(Point::OnlyQuorum);
        }
    }
}

impl Sink for Reached {
    fn record(&mut self, record: &Record) {
        match &record.what {
            What::Node(observation) => self.on_node(observation),
            What::Up(id) => {
                self.ids.extend(record.machine.map(|machine| (machine, *id)));
            }
            What::Fault(event) => match event.phase {
                FaultPhase::Began => {
                    self.faults_in_force += 1;
                    self.hit.entry(event.fault).or_insert_with(|| (record.at, event.machines.clone()));
                    *self.began.entry(Arc::clone(&event.kind)).or_default() += 1;
                    if self.endless.contains(&event.fault) {
                        self.on_broken(&event.machines);
                    }
                }
                FaultPhase::TookEffect => *self.effective.entry(Arc::clone(&event.kind)).or_default() += 1,
                FaultPhase::Ended => self.faults_in_force -= 1,
                FaultPhase::Missed { .. } => {}
            },
            What::Client(event) => self.on_client(event),
            _ => {}
        }
    }
}
