//! A believable run of a small cluster, told record by record, for tests to tell wrongly.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{
    AttemptId, BySize, CostProfile, Draw, Epoch, Fold, Incarnation, JobId, NodeId, QueryId, SessionId, Span,
    Time, ViewId,
};
use crate::check::{Verdict, check};
use crate::history::{ClientEvent, FaultEvent, FaultPhase, Machine, Record, What};
use crate::node::{
    Answer, Change, Command, Completion, Config, Dispatch, Entry, Failure, Index, Inputs, JobSpec, Member,
    Observation, Payload, Position, Reply, Request, Seats, StepDown, View, ViewChange,
};
use crate::scenario::{
    DiskPlan, Fault, FaultKind, JobPlan, ModelPlan, NetworkPlan, NodePlan, Plan, Target, Until,
};

/// Machines, and voters, of the cluster.
pub(super) const SIZE: Machine = 5;
/// The seed that violations shall name.
pub(super) const SEED: u64 = 77;
/// The bound on liveness.
pub(super) const WITHIN: Span = Span::secs(5);
/// The client's session.
pub(super) const SESSION: SessionId = SessionId(9);

/// A run in the making. Everything happens a millisecond after what was told before.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) plan: Plan,
    pub(super) now: Time,
    pub(super) records: Vec<Record>,
    pub(super) ids: Vec<NodeId>,
    pub(super) lives: Vec<Incarnation>,
    pub(super) up: Vec<bool>,
    pub(super) view: Arc<View>,
    pub(super) leader: Machine,
    pub(super) epoch: Epoch,
    serial: u64,
    number: u64,
    jobs: u32,
    left: BTreeMap<JobId, u64>,
    /// The log, with the effects and states of its entries.
    pub(super) log: Vec<(Entry, Arc<[Change]>, u128)>,
    /// How much of it each machine has applied.
    pub(super) applied: Vec<usize>,
    /// Machines that apply late, on purpose.
    pub(super) late: Vec<Machine>,
}

pub(super) fn spec(inputs: u64, batch: u32) -> JobSpec {
    JobSpec {
        name: "letters".into(),
        model: "m".into(),
        inputs: Inputs::Range { dataset: "d".into(), from: 0, count: inputs },
        batch,
        weight: 1.0,
        priority: 0,
    }
}

fn plan() -> Plan {
    let profile = CostProfile {
        load: Draw::Fixed(Span::millis(100)),
        setup: Draw::Fixed(Span::millis(10)),
        per_input: Draw::ZERO,
        by_size: BySize::LINE,
    };
    let fault = |kind| Fault {
        at: Draw::ZERO,
        kind,
        target: Target::Coordinator,
        lasting: None,
        repeat: None,
        trigger: None,
        after: Draw::ZERO,
    };
    Plan {
        name: "story".into(),
        about: String::new(),
        seed: SEED,
        trials: 1,
        until: Until::At(Span::secs(1000)),
        liveness_within: WITHIN,
        nodes: (1..=SIZE as usize).map(NodePlan::usual).collect(),
        config: Arc::new(Config::default()),
        options: crate::scenario::Options::default(),
        network: NetworkPlan {
            latency: Draw::Fixed(Span::millis(1)),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            bandwidth: None,
        },
        disk: DiskPlan { sync: Draw::Fixed(Span::millis(1)) },
        models: [("m".into(), ModelPlan { engine: "synthetic".into(), profile, network: None })].into(),
        jobs: vec![JobPlan { at: Draw::ZERO, give_up: None, spec: spec(100, 10) }],
        arrivals: Vec::new(),
        requests: Vec::new(),
        faults: vec![fault(FaultKind::Crash { wipe: false }), fault(FaultKind::Isolate)],
    }
}

pub(super) fn member(id: NodeId, machine: Machine, incarnation: Incarnation) -> Member {
    Member {
        id,
        incarnation,
        birth: 0,
        name: format!("n{}", machine + 1).into(),
        kind: "cpu".into(),
        worker: true,
        address: "".into(),
    }
}

pub(super) fn query(job: u32, cut: u32, number: u32) -> QueryId {
    QueryId { job: JobId(job), cut, number }
}

impl Story {
    /// All machines up, the first one elected, the founding entries applied.
    pub(super) fn begin() -> Story {
        let mut story = Story::unled();
        story.elect(0, 2);
        story
    }

    /// All machines up, and nothing else.
    pub(super) fn unled() -> Story {
        let ids: Vec<NodeId> = (0..SIZE).map(|machine| NodeId::new(100 + u64::from(machine))).collect();
        let members = (0..SIZE).map(|m| member(ids[m as usize], m, Incarnation(1))).collect::<Vec<_>>();
        let view = Arc::new(View::new(ViewId(1), 3, members.clone()));
        let seats = Arc::new(Seats { number: 1, voters: ids.clone(), learners: Vec::new(), passing: None });
        let n = SIZE as usize;
        let mut story = Story {
            plan: plan(),
            now: Time::ZERO,
            records: Vec::new(),
            ids,
            lives: vec![Incarnation(0); n],
            up: vec![false; n],
            view: Arc::new(View::empty()),
            leader: 0,
            epoch: Epoch(1),
            serial: 0,
            number: 0,
            jobs: 0,
            left: BTreeMap::new(),
            log: Vec::new(),
            applied: vec![0; n],
            late: Vec::new(),
        };
        for machine in 0..SIZE {
            story.start(machine);
            story.node(machine, Observation::Seated { seats: Arc::clone(&seats) });
            story.node(machine, Observation::Installed { view: ViewId(1), digest: view.digest() });
        }
        story.append(Payload::Seats(seats), Vec::new());
        let change = ViewChange { joined: members, gone: Vec::new() };
        let view_changed = Change::ViewChanged { view: Arc::clone(&view), change: Arc::new(change.clone()) };
        story.append(Payload::Command(Command::ChangeView(change)), vec![view_changed]);
        story.view = view;
        story
    }

    pub(super) fn id(&self, machine: Machine) -> NodeId {
        self.ids[machine as usize]
    }

    pub(super) fn say(&mut self, machine: Option<Machine>, what: What) {
        self.now += Span::millis(1);
        self.records.push(Record { at: self.now, machine, what });
    }

    pub(super) fn node(&mut self, machine: Machine, observation: Observation) {
        self.say(Some(machine), What::Node(observation));
    }

    pub(super) fn wait(&mut self, span: Span) {
        self.now += span;
    }

    /// A process starts, from whatever its disk holds.
    pub(super) fn start(&mut self, machine: Machine) {
        let place = machine as usize;
        self.say(Some(machine), What::Up(self.ids[place]));
        self.up[place] = true;
        self.applied[place] = 0;
        self.birth(machine);
    }

    /// A new life begins.
    pub(super) fn birth(&mut self, machine: Machine) {
        let life = &mut self.lives[machine as usize];
        *life = life.next();
        let incarnation = *life;
        self.node(machine, Observation::Born { incarnation });
    }

    pub(super) fn crash(&mut self, machine: Machine) {
        self.up[machine as usize] = false;
        self.say(Some(machine), What::Down(self.id(machine)));
    }

    pub(super) fn fault(&mut self, fault: u32, machines: Vec<Machine>, phase: FaultPhase) {
        self.say(None, What::Fault(FaultEvent { fault, kind: "fault".into(), machines, phase }));
    }

    fn voters_up(&self) -> Vec<Machine> {
        (0..SIZE).filter(|&machine| self.up[machine as usize]).collect()
    }

    /// Votes of everyone who is up, and a first entry of the new reign.
    pub(super) fn elect(&mut self, machine: Machine, epoch: u64) {
        let epoch = Epoch(epoch);
        self.node(machine, Observation::Stood { epoch });
        for voter in self.voters_up() {
            self.node(voter, Observation::Voted { epoch, candidate: self.id(machine) });
        }
        self.node(machine, Observation::Led { epoch });
        (self.leader, self.epoch, self.serial) = (machine, epoch, 0);
        self.commit(Payload::Noop, Vec::new());
        self.node(machine, Observation::Opened { epoch });
    }

    /// A coordinator that learns of a later reign.
    pub(super) fn depose(&mut self, machine: Machine, epoch: u64) {
        let epoch = Epoch(epoch);
        self.node(machine, Observation::SteppedDown { epoch, reason: StepDown::Superseded });
    }

    /// A new entry at the end of the log, which nobody applies yet.
    pub(super) fn append(&mut self, payload: Payload, changes: Vec<Change>) {
        let index = Index(self.log.len() as u64 + 1);
        let position = Position { epoch: self.epoch, index };
        let at = if self.epoch == Epoch(1) { Time::ZERO } else { self.now };
        let entry = Entry { position, at, payload: Arc::new(payload) };
        let state = Fold::of(&(self.log.last().map(|last| last.2), entry.digest()));
        self.log.push((entry, changes.into(), state));
    }

    /// A new entry that everyone who is up applies, the leader first.
    pub(super) fn commit(&mut self, payload: Payload, changes: Vec<Change>) {
        self.append(payload, changes);
        let leader = self.leader;
        let mut order = self.voters_up();
        order.retain(|machine| *machine != leader && !self.late.contains(machine));
        order.insert(0, leader);
        for machine in order {
            self.catch_up(machine);
        }
    }

    /// A machine applies what it has not applied yet.
    pub(super) fn catch_up(&mut self, machine: Machine) {
        while let Some((entry, changes, state)) = self.log.get(self.applied[machine as usize]).cloned() {
            self.applied[machine as usize] += 1;
            self.node(machine, Observation::Applied { entry, changes, state });
        }
    }

    /// A machine replaces its state by the newest snapshot.
    pub(super) fn restore(&mut self, machine: Machine) {
        let (entry, _, state) = self.log.last().cloned().expect("something is committed");
        self.applied[machine as usize] = self.log.len();
        self.node(machine, Observation::Restored { last: entry.position, state });
    }

    pub(super) fn ask(&mut self, request: Request) -> u64 {
        self.number += 1;
        let (session, number, request) = (SESSION, self.number, Arc::new(request));
        self.say(None, What::Client(ClientEvent::Asked { session, number, request }));
        self.number
    }

    pub(super) fn tell(&mut self, number: u64, reply: Reply) {
        let reply = Arc::new(reply);
        self.say(None, What::Client(ClientEvent::Told { session: SESSION, number, reply }));
    }

    pub(super) fn request(&mut self, number: u64, request: Request, changes: Vec<Change>) {
        let (session, request) = (SESSION, Arc::new(request));
        self.commit(Payload::Command(Command::Request { session, number, request }), changes);
    }

    /// A client submits a job and is told so.
    pub(super) fn submit(&mut self, inputs: u64, batch: u32) -> JobId {
        let spec = spec(inputs, batch);
        let number = self.ask(Request::Submit(spec.clone()));
        self.jobs += 1;
        let job = JobId(self.jobs);
        self.left.insert(job, inputs);
        let added = Change::JobAdded { job, spec: Arc::new(spec.clone()) };
        self.request(number, Request::Submit(spec), vec![added]);
        self.tell(number, Reply::Submitted(job));
        job
    }

    pub(super) fn dispatch(&mut self, query: QueryId, worker: Machine) -> AttemptId {
        self.serial += 1;
        let attempt = AttemptId { epoch: self.epoch, serial: self.serial };
        let (id, incarnation) = (self.id(worker), self.lives[worker as usize]);
        let reason = Dispatch::Turn;
        self.node(self.leader, Observation::Dispatched { query, attempt, worker: id, incarnation, reason });
        attempt
    }

    pub(super) fn accept(&mut self, query: QueryId, attempt: AttemptId, worker: Machine) {
        self.node(worker, Observation::Accepted { query, attempt, epoch: self.epoch });
        self.node(worker, Observation::Began { query, attempt });
    }

    pub(super) fn end(&mut self, query: QueryId, attempt: AttemptId, worker: Machine) {
        self.node(worker, Observation::Ended { query, attempt, error: None });
    }

    /// A query from dispatch to its end, not yet counted.
    pub(super) fn work(&mut self, query: QueryId, worker: Machine) -> AttemptId {
        let attempt = self.dispatch(query, worker);
        self.accept(query, attempt, worker);
        self.end(query, attempt, worker);
        self.node(self.leader, Observation::Arrived { query, attempt, answered: true });
        attempt
    }

    /// An entry that counts a query for these inputs.
    pub(super) fn count(
        &mut self,
        query: QueryId,
        attempt: AttemptId,
        worker: Machine,
        range: (u64, u32),
        failed: u32,
    ) {
        let (from, inputs) = range;
        let worker = self.id(worker);
        let failures = (0..failed).map(|input| Failure { input, reason: "no".into() });
        let answer = Answer { inputs, predictions: Arc::from([]), failed: failures.collect() };
        let completion = Completion { query, attempt, worker, answer };
        let mut changes = vec![Change::Counted { query, attempt, worker, from, inputs, failed }];
        let left = self.left.entry(query.job).or_default();
        *left = left.saturating_sub(u64::from(inputs));
        if *left == 0 {
            changes.push(Change::JobEnded { job: query.job, cancelled: false });
        }
        self.commit(Payload::Command(Command::Complete(vec![completion])), changes);
    }

    /// A query of a job in batches of 10 that was never cut anew, from dispatch to count.
    pub(super) fn serve(&mut self, job: JobId, number: u32, worker: Machine) {
        let query = query(job.0, 0, number);
        let attempt = self.work(query, worker);
        self.count(query, attempt, worker, (u64::from(number) * 10, 10), 0);
    }

    /// The membership changes, and those who run install the new view.
    pub(super) fn change_view(&mut self, change: ViewChange) {
        // Without the caution that nodes have, so that tests can do what must not be done.
        let stays = |member: &&Member| {
            change.joined.iter().all(|joined| joined.id != member.id)
                && !change.gone.contains(&(member.id, member.incarnation))
        };
        let stay = self.view.members().iter().filter(stays);
        let members = stay.chain(&change.joined).cloned().collect();
        self.view = Arc::new(View::new(self.view.id().next(), 3, members));
        let view = Arc::clone(&self.view);
        let changed = Change::ViewChanged { view: Arc::clone(&view), change: Arc::new(change.clone()) };
        self.commit(Payload::Command(Command::ChangeView(change)), vec![changed]);
        for machine in self.voters_up() {
            self.node(machine, Observation::Installed { view: view.id(), digest: view.digest() });
        }
    }

    /// The present life of a machine is evicted.
    pub(super) fn evict(&mut self, machine: Machine) {
        let incarnation = self.view.member(self.id(machine)).expect("it is a member").incarnation;
        self.change_view(ViewChange { joined: Vec::new(), gone: vec![(self.id(machine), incarnation)] });
    }

    /// The present life of a machine becomes a member.
    pub(super) fn join(&mut self, machine: Machine) {
        let member = member(self.id(machine), machine, self.lives[machine as usize]);
        self.change_view(ViewChange { joined: vec![member], gone: Vec::new() });
    }

    /// A coordinator crash in the middle of a job: a successor, an eviction, inherited and repeated work, a new batch size,
    /// a failed query, a cancelled job, a forgotten one, and the return of the old coordinator. Everything goes well.
    pub(super) fn eventful() -> Story {
        let mut story = Story::begin();
        let job = story.submit(100, 10);
        story.serve(job, 0, 1);
        story.late = vec![4];
        story.serve(job, 1, 2);
        let held = story.dispatch(query(1, 0, 2), 3);
        story.accept(query(1, 0, 2), held, 3);
        let lost = story.dispatch(query(1, 0, 3), 0);
        story.accept(query(1, 0, 3), lost, 0);
        story.fault(0, vec![0], FaultPhase::Began);
        story.crash(0);
        story.fault(0, vec![0], FaultPhase::TookEffect);
        story.wait(Span::millis(400));
        story.elect(1, 4);
        story.late.clear();
        story.node(1, Observation::Inherited { query: query(1, 0, 2), attempt: held, worker: story.id(3) });
        story.end(query(1, 0, 2), held, 3);
        story.count(query(1, 0, 2), held, 3, (20, 10), 0);
        story.evict(0);
        let again = story.work(query(1, 0, 3), 2);
        story.count(query(1, 0, 3), again, 2, (30, 10), 4);
        story.recut(job, 1, 40, 25);
        let whole = story.work(query(1, 1, 0), 3);
        story.count(query(1, 1, 0), whole, 3, (40, 25), 0);
        story.start(0);
        story.restore(0);
        story.fault(0, vec![0], FaultPhase::Ended);
        story.join(0);
        for (number, from, inputs) in [(1, 65, 25), (2, 90, 10)] {
            let attempt = story.work(query(1, 1, number), 0);
            story.count(query(1, 1, number), attempt, 0, (from, inputs), 0);
        }
        story.forget(job);
        let other = story.submit(40, 10);
        story.serve(other, 3, 1);
        story.cancel(other);
        story
    }

    pub(super) fn recut(&mut self, job: JobId, cut: u32, boundary: u64, batch: u32) {
        let number = self.ask(Request::SetBatch { job, batch });
        let change = Change::Recut { job, cut, boundary, batch };
        self.request(number, Request::SetBatch { job, batch }, vec![change]);
        self.tell(number, Reply::Done);
    }

    pub(super) fn cancel(&mut self, job: JobId) {
        let number = self.ask(Request::Cancel(job));
        self.request(number, Request::Cancel(job), vec![Change::JobEnded { job, cancelled: true }]);
        self.tell(number, Reply::Done);
    }

    pub(super) fn forget(&mut self, job: JobId) {
        let number = self.ask(Request::Forget(job));
        self.request(number, Request::Forget(job), vec![Change::JobForgotten { job }]);
        self.tell(number, Reply::Done);
    }

    /// What the checker says of it as it stands.
    pub(super) fn verdict(&self) -> Verdict {
        check(&self.plan, SEED, &self.records, self.now)
    }

    /// The numbers of the invariants that broke, each once.
    pub(super) fn broken(&self) -> Vec<u8> {
        let verdict = self.verdict();
        let mut numbers: Vec<u8> = verdict.violations.iter().map(|v| v.invariant.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Tells every observation differently for which `change` says so; how many that were.
    pub(super) fn retell(&mut self, mut change: impl FnMut(Machine, &mut Observation) -> bool) -> usize {
        let mut changed = 0;
        for record in &mut self.records {
            if let (Some(machine), What::Node(observation)) = (record.machine, &mut record.what) {
                changed += usize::from(change(machine, observation));
            }
        }
        changed
    }

    /// Leaves out the records for which `gone` holds; how many that were.
    pub(super) fn omit(&mut self, gone: impl Fn(&Record) -> bool) -> usize {
        let before = self.records.len();
        self.records.retain(|record| !gone(record));
        before - self.records.len()
    }
}
