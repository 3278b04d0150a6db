//! A made-up run for tests: ten workers serve two jobs, the coordinator dies at 10 s, a worker stands still at 20 s.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{AttemptId, Epoch, Incarnation, JobId, NodeId, QueryId, SessionId, Span, Time};
use crate::history::{
    Answer, Change, ClientEvent, Command, Completion, Dispatch, Entry, FaultEvent, FaultPhase, GiveUp, Index,
    JobSpec, Machine, Observation, Payload, Position, Record, Reply, Request, What,
};
use crate::scenario::{Plan, to_toml};

/// The node on a machine.
pub(super) fn node(machine: Machine) -> NodeId {
    NodeId::new(u64::from(machine) + 1000)
}

/// A point in time in milliseconds.
pub(super) fn ms(at: u64) -> Time {
    Time(at * 1_000_000)
}

const SCENARIO: &str = r#"
name = "example"
about = "A made-up run."
seed = 7
nodes = 10
[model.resnet]
load = "1s"
per_input = "20ms"
batch = 10
[[job]]
name = "cats"
model = "resnet"
inputs = 10000
at = "1s"
[[job]]
name = "dogs"
model = "resnet"
inputs = 4000
at = "5s"
[[fault]]
at = "10s"
kind = "crash"
target = "coordinator"
for = "5s"
[[fault]]
at = "20s"
kind = "pause"
target = "worker"
for = "3s"
"#;

/// The scenario that the run could have come from, with this many trials, as its results keep it.
pub(super) fn resolved(trials: u32) -> String {
    to_toml(&Plan { trials, ..plan() })
}

/// The scenario that the run could have come from.
pub(super) fn plan() -> Plan {
    Plan::read(SCENARIO, "example.toml").expect("the scenario is right")
}

/// Writes the run down.
#[derive(Default)]
struct Pen {
    records: Vec<Record>,
    index: u64,
    serial: u64,
    done: BTreeMap<JobId, u64>,
}

impl Pen {
    fn write(&mut self, at: Time, machine: Option<Machine>, what: What) {
        self.records.push(Record { at, machine, what });
    }

    fn observe(&mut self, at: Time, machine: Machine, observation: Observation) {
        self.write(at, Some(machine), What::Node(observation));
    }

    /// Three voters apply an entry, one after another.
    fn apply(&mut self, at: Time, epoch: u64, payload: Payload, changes: &[Change]) {
        self.index += 1;
        let position = Position { epoch: Epoch(epoch), index: Index(self.index) };
        let payload = Arc::new(payload);
        for (voter, delay) in [(3, 0), (4, 2), (5, 5)] {
            let entry = Entry { position, at, payload: Arc::clone(&payload) };
            let (changes, state) = (changes.into(), u128::MAX - u128::from(self.index));
            let observation = Observation::Applied { entry, changes, state };
            self.observe(at + Span::millis(delay), voter, observation);
        }
    }

    fn submit(&mut self, at: Time, job: JobId, spec: JobSpec) {
        let (session, number) = (SessionId(u64::from(job.0)), 1);
        let request = Arc::new(Request::Submit(spec.clone()));
        let asked = ClientEvent::Asked { session, number, request: Arc::clone(&request) };
        self.write(at, None, What::Client(asked));
        let command = Command::Request { session, number, request };
        let added = Change::JobAdded { job, spec: Arc::new(spec) };
        let at = at + Span::millis(4);
        self.apply(at, 1, Payload::Command(command), &[added]);
        let told = ClientEvent::Told { session, number, reply: Arc::new(Reply::Submitted(job)) };
        self.write(at + Span::millis(1), None, What::Client(told));
    }

    /// A query from dispatch to commit; `dies` is when its worker does, unanswered.
    fn query(&mut self, at: Time, worker: Machine, job: JobId, took: Span, dies: Option<Time>) -> Time {
        let leader = if at < ms(10_000) { (0, 1) } else { (3, 2) };
        let number = *self.done.entry(job).or_default();
        let query = QueryId { job, cut: 0, number: number as u32 };
        self.serial += 1;
        let attempt = AttemptId { epoch: Epoch(leader.1), serial: self.serial };
        let (incarnation, reason) = (Incarnation(1), Dispatch::Turn);
        let given = Observation::Dispatched { query, attempt, worker: node(worker), incarnation, reason };
        self.observe(at, leader.0, given);
        let at = at + Span::millis(1);
        self.observe(at, worker, Observation::Accepted { query, attempt, epoch: Epoch(leader.1) });
        self.observe(at, worker, Observation::Began { query, attempt });
        if dies.is_some_and(|dies| at + took > dies) {
            return Time::NEVER;
        }
        self.done.insert(job, number + 1);
        let at = at + took;
        self.observe(at, worker, Observation::Ended { query, attempt, error: None });
        let told = at + Span::millis(1);
        self.observe(told, leader.0, Observation::Arrived { query, attempt, answered: true });
        let counted = Change::Counted {
            query,
            attempt,
            worker: node(worker),
            from: number * 10,
            inputs: 10,
            failed: 0,
        };
        let answer = Answer { inputs: 10, ..Default::default() };
        let completion = Completion { query, attempt, worker: node(worker), answer };
        let payload = Payload::Command(Command::Complete(vec![completion]));
        self.apply(at + Span::millis(5), leader.1, payload, &[counted]);
        at
    }

    fn fault(&mut self, at: Time, fault: u32, kind: &str, machine: Machine, phase: FaultPhase) {
        let event = FaultEvent { fault, kind: kind.into(), machines: vec![machine], phase };
        self.write(at, None, What::Fault(event));
    }
}

/// The records of the run, in order of time. It ends at 31 s.
pub(super) fn records() -> Vec<Record> {
    let mut pen = Pen::default();
    for machine in 0..10 {
        pen.write(Time::ZERO, Some(machine), What::Up(node(machine)));
        pen.observe(Time::ZERO, machine, Observation::Born { incarnation: Incarnation(1) });
    }
    pen.observe(ms(300), 0, Observation::Led { epoch: Epoch(1) });
    let plan = plan();
    let (cats, dogs) = (JobId(1), JobId(2));
    pen.submit(ms(1_000), cats, plan.jobs[0].spec.clone());
    pen.submit(ms(5_000), dogs, plan.jobs[1].spec.clone());
    crash(&mut pen);
    pause(&mut pen);
    let mut free: Vec<(Time, Machine)> = (0..10).map(|worker| (ms(1_010), worker)).collect();
    loop {
        free.sort_unstable();
        let (at, worker) = free[0];
        if at >= ms(28_000) {
            break;
        }
        // Shares shift a little over time, as they do.
        let dogs_may = at > ms(5_010) && pen.done.get(&dogs).is_none_or(|done| *done < 400);
        let job = if dogs_may && (worker + (at.0 / 4_000_000_000) as u32) % 10 < 6 { dogs } else { cats };
        let took = if job == cats { Span::millis(120) } else { Span::millis(230) };
        let outage = at >= ms(9_995) && at < ms(10_350);
        free[0].0 = if outage {
            ms(10_350)
        } else if worker == 6 && at >= ms(20_000) && at < ms(23_000) {
            ms(23_000)
        } else {
            let dies = if worker == 0 { ms(10_000) } else { ms(20_000) };
            let dies = (at < dies && (worker == 0 || worker == 6)).then_some(dies);
            pen.query(at, worker, job, took + Span::micros(at.0 / 1000 % 7_000), dies)
        };
        if free[0].0 == Time::NEVER {
            free[0].0 = if worker == 0 { ms(15_400) } else { ms(23_010) };
        }
    }
    for (job, at) in [(dogs, 29_000), (cats, 30_000)] {
        pen.apply(ms(at), 2, Payload::Noop, &[Change::JobEnded { job, cancelled: false }]);
    }
    // Written down out of order here and there; the sort is stable.
    pen.records.sort_by_key(|record| record.at);
    renumber(&mut pen.records);
    pen.records
}

/// Gives the entries places in order of time, as a log does.
fn renumber(records: &mut [Record]) {
    let mut places: BTreeMap<Index, Index> = BTreeMap::new();
    for record in records {
        if let What::Node(Observation::Applied { entry, .. }) = &mut record.what {
            let next = Index(places.len() as u64 + 1);
            entry.position.index = *places.entry(entry.position.index).or_insert(next);
        }
    }
}

fn crash(pen: &mut Pen) {
    pen.fault(ms(10_000), 0, "crash", 0, FaultPhase::Began);
    pen.write(ms(10_000), Some(0), What::Down(node(0)));
    let (subject, incarnation) = (node(0), Incarnation(1));
    pen.observe(ms(10_260), 3, Observation::Suspected { subject, incarnation });
    pen.observe(ms(10_265), 4, Observation::Suspected { subject, incarnation });
    pen.observe(ms(10_290), 3, Observation::Stood { epoch: Epoch(2) });
    pen.observe(ms(10_300), 3, Observation::Led { epoch: Epoch(2) });
    pen.observe(ms(10_345), 3, Observation::Opened { epoch: Epoch(2) });
    pen.fault(ms(15_000), 0, "crash", 0, FaultPhase::Ended);
    pen.write(ms(15_000), Some(0), What::Up(node(0)));
    pen.observe(ms(15_001), 0, Observation::Born { incarnation: Incarnation(2) });
    for voter in [3, 4] {
        pen.observe(ms(15_050), voter, Observation::Trusted { subject, incarnation });
    }
}

/// The paused worker's query is given to another one, which answers first.
fn pause(pen: &mut Pen) {
    pen.fault(ms(20_000), 1, "pause", 6, FaultPhase::Began);
    pen.write(ms(20_000), Some(6), What::Paused(node(6)));
    let (subject, incarnation) = (node(6), Incarnation(1));
    pen.observe(ms(20_270), 4, Observation::Suspected { subject, incarnation });
    let query = QueryId { job: JobId(1), cut: 0, number: 0 };
    let attempt = AttemptId { epoch: Epoch(2), serial: 1_000_000 };
    let reason = Dispatch::Suspect;
    let held = AttemptId { epoch: Epoch(2), serial: 999_999 };
    for (at, attempt, worker) in [(19_990, held, 6), (20_271, attempt, 2)] {
        let given = Observation::Dispatched { query, attempt, worker: node(worker), incarnation, reason };
        pen.observe(ms(at), 3, given);
    }
    let gave_up = Observation::GaveUp { query, attempt: held, reason: GiveUp::Gone };
    pen.observe(ms(22_270), 3, gave_up);
    // Nothing injected explains this one.
    let (subject, incarnation) = (node(8), Incarnation(1));
    for voter in [4, 5] {
        pen.observe(ms(21_000), voter, Observation::Suspected { subject, incarnation });
        pen.observe(ms(21_100), voter, Observation::Trusted { subject, incarnation });
    }
    pen.fault(ms(23_000), 1, "pause", 6, FaultPhase::Ended);
    pen.write(ms(23_000), Some(6), What::Resumed(node(6)));
}
