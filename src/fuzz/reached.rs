//! What scenarios reach: the points of interest, and the faults that took effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lasting::is_for_good;
use super::points::Point;
use crate::base::{JobId, NodeId, QueryId, Time};
use crate::history::{
    Change, ClientEvent, Dispatch, FaultPhase, GiveUp, Index, Machine, Observation, Record, Reply, Seats,
    Sink, StepDown, Version, What,
};
use crate::scenario::Plan;

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
    /// What jobs read of the file store.
    pinned: BTreeMap<JobId, Arc<Version>>,
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
            Observation::Arrived { query, answered: true, .. } => self.on_answer(*query),
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

    fn on_answer(&mut self, query: QueryId) {
        if !self.answered.insert(query) {
            self.reach(Point::AnsweredTwice);
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
                Change::FilePut { gone, .. } => {
                    self.on_gone(gone);
                    self.reach(Point::FilePut);
                    if self.leaders > 1 {
                        self.reach(Point::FilePutLater);
                    }
                }
                Change::FileDeleted { gone, .. } => {
                    self.on_gone(gone);
                    self.reach(Point::FileDeleted);
                }
                Change::Pinned { job, version } => {
                    self.pinned.insert(*job, Arc::clone(version));
                }
                Change::Unpinned { job, .. } => {
                    self.pinned.remove(job);
                    self.reach(Point::FileRead);
                }
                _ => {}
            }
        }
    }

    /// These versions of files do not stay.
    fn on_gone(&mut self, gone: &[Arc<Version>]) {
        let read = gone.iter().filter(|version| self.pinned.values().any(|pinned| pinned == *version));
        self.reach_times(Point::FileReadOn, read.count() as u64);
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

#[cfg(test)]
mod tests {
    use super::super::{Profile, scenario};
    use super::*;
    use crate::base::{Draw, Epoch, Incarnation, Span, ViewId};
    use crate::history::{Command, Entry, FaultEvent, Member, Payload, Position, View, ViewChange};
    use crate::scenario::{Fault, FaultKind, NodePlan, Target};

    fn id(machine: Machine) -> NodeId {
        NodeId::new(100 + u64::from(machine))
    }

    fn tell(reached: &mut Reached, machine: Option<Machine>, what: What) {
        reached.record(&Record { at: Time::ZERO, machine, what });
    }

    /// The machine applies the entry of this index, with these changes.
    fn applies(reached: &mut Reached, machine: Machine, index: u64, changes: &[Change]) {
        let position = Position { epoch: Epoch(1), index: Index(index) };
        let entry = Entry {
            position,
            at: Time::ZERO,
            payload: Arc::new(Payload::Command(Command::Complete(Vec::new()))),
        };
        let observation = Observation::Applied { entry, changes: changes.into(), state: 0 };
        tell(reached, Some(machine), What::Node(observation));
    }

    fn seated(reached: &mut Reached, number: u64, voters: &[Machine]) {
        let voters = voters.iter().map(|machine| id(*machine)).collect();
        let seats = Arc::new(Seats { number, voters, learners: Vec::new(), passing: None });
        tell(reached, Some(0), What::Node(Observation::Seated { seats }));
    }

    /// The view of the first `after` machines, in which those are new that were not among the first `before`.
    fn grown(before: Machine, after: Machine) -> Change {
        let member = |machine: Machine| Member {
            id: id(machine),
            incarnation: Incarnation(1),
            birth: 0,
            name: format!("n{machine}").into(),
            kind: "cpu".into(),
            worker: true,
            address: "".into(),
        };
        let members: Vec<Member> = (0..after).map(member).collect();
        let joined = members[before as usize..].to_vec();
        let view = Arc::new(View::new(ViewId(1), 3, members));
        Change::ViewChanged { view, change: Arc::new(ViewChange { joined, gone: Vec::new() }) }
    }

    #[test]
    fn what_every_replica_applies_counts_once() {
        let mut reached = Reached::default();
        for machine in 0..3 {
            applies(&mut reached, machine, 1, &[grown(0, 3)]);
            applies(&mut reached, machine, 2, &[grown(3, 5)]);
        }
        applies(&mut reached, 1, 3, &[grown(5, 6)]);
        // The founding view is no change of several members, and that of a single one is none either.
        assert_eq!(reached.times(Point::SeveralChanged), 1);
    }

    #[test]
    fn a_seat_that_is_given_counts_once_whoever_learns_of_it_and_when() {
        let mut reached = Reached::default();
        for (number, voters) in [(1, [0, 1, 2]), (2, [0, 1, 3]), (1, [0, 1, 2]), (2, [0, 1, 3])] {
            seated(&mut reached, number, &voters);
        }
        assert_eq!(reached.times(Point::SeatGiven), 1);
    }

    #[test]
    fn only_a_quorum_is_left_when_the_others_are_broken_for_good() {
        let mut plan = scenario(1, Profile::Swarm);
        plan.nodes = (1..=5).map(NodePlan::usual).collect();
        Arc::make_mut(&mut plan.config).failover.voters = Some(5);
        let fault = |machine, lasting| Fault {
            at: Draw::ZERO,
            kind: FaultKind::Pause,
            target: Target::Node(machine),
            lasting,
            repeat: None,
            trigger: None,
            after: Draw::ZERO,
        };
        plan.faults = vec![fault(0, None), fault(1, Some(Draw::Fixed(Span::secs(1)))), fault(2, None)];
        let begins = |faults: &[u32]| {
            let mut reached = Reached::in_trial_of(&plan);
            (0..5).for_each(|machine| tell(&mut reached, Some(machine), What::Up(id(machine))));
            for fault in faults {
                let event = FaultEvent {
                    fault: *fault,
                    kind: "pause".into(),
                    machines: vec![*fault],
                    phase: FaultPhase::Began,
                };
                tell(&mut reached, None, What::Fault(event));
            }
            reached.times(Point::OnlyQuorum)
        };
        assert_eq!(begins(&[0, 1]), 0, "one of them comes back");
        assert_eq!(begins(&[0, 2]), 1);
        assert_eq!(begins(&[0, 2, 1, 2]), 1, "it is the same quorum");
    }

    /// A client asks elsewhere where there is anywhere else, and not because it waits.
    #[test]
    fn a_client_without_another_node_asks_nowhere_else() {
        let elsewhere = |nodes| {
            let mut asked = 0;
            for seed in 0..20 {
                let mut plan = scenario(seed, Profile::Swarm);
                plan.nodes = (1..=nodes).map(NodePlan::usual).collect();
                Arc::make_mut(&mut plan.config).failover.voters = None;
                plan.faults = vec![Fault {
                    at: Draw::ZERO,
                    kind: FaultKind::Pause,
                    target: Target::All,
                    lasting: Some(Draw::Fixed(Span::secs(3))),
                    repeat: None,
                    trigger: None,
                    after: Draw::ZERO,
                }];
                asked += super::super::Trial::run(&plan, seed, false, &|| false)
                    .reached
                    .times(Point::AskedElsewhere);
            }
            asked
        };
        assert_eq!(elsewhere(1), 0);
        assert!(elsewhere(3) > 0);
    }
}
