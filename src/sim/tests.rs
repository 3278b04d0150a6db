//! The driver under a stand-in for the node: a process that pings its neighbour, writes, and says what it sees.

mod again;
mod clocks;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Outcome, Process, run_process};
use crate::base::{
    AttemptId, BySize, ClusterId, CostProfile, Draw, Epoch, Incarnation, JobId, NodeId, QueryId, Rng, Span,
    Time, ViewId,
};
use crate::history::{ClientEvent, FaultPhase, Machine, Record, What};
use crate::node::{
    self, Body, Change, Command, Config, Effect, EngineCommand, EngineEvent, Entry, Identity, Index, Input,
    Inputs, JobSpec, Message, Observation, Outbox, Payload, Position, Refusal, Reply, Start, StepDown, Token,
    WorkMessage,
};
use crate::scenario::{
    Direction, DiskPlan, Failover, Fault, FaultKind, JobPlan, ModelPlan, NetworkPlan, NodePlan, Plan, Target,
    Until,
};

/// From one ping to the next, and from one write to the next.
const BEAT: Span = Span::millis(10);

/// A process that every 10 ms pings the next machine twice, at once and after a write. Its kind tells what it says to
/// clients: `answers`, `refuses`, or nothing. What it sees it says in observations, which mean something else here:
/// `Stood` a wake-up, `Voted` a ping that arrived, `Led` a write that became durable, `Born` what its disk held when it
/// began, `SteppedDown` a start without a disk, `EngineDied` whatever its engine said.
struct Echo {
    kind: Arc<str>,
    id: NodeId,
    peers: Vec<NodeId>,
    next: Time,
    written: u64,
    asked: Vec<(crate::base::SessionId, u64)>,
    born: Option<Observation>,
}

impl Process for Echo {
    fn start(identity: Identity, _: Arc<Config>, start: Start, _: Rng) -> Echo {
        let (peers, written, born) = match start {
            Start::Restart(disk) => {
                let (view, _) = disk.view.expect("formed disks have a view");
                let peers = view.members().iter().map(|member| member.id).collect();
                let life = disk.incarnation;
                (peers, u64::from(life.0), Observation::Born { incarnation: life })
            }
            Start::Join { seeds, .. } => {
                (seeds, 0, Observation::SteppedDown { epoch: Epoch(0), reason: StepDown::Unseated })
            }
            Start::Found => unreachable!("nobody founds"),
        };
        let (kind, id) = (identity.kind, identity.id);
        Echo { kind, id, peers, next: Time::ZERO, written, asked: Vec::new(), born: Some(born) }
    }

    fn deadline(&self) -> Time {
        self.next
    }

    fn step(&mut self, now: Time, input: Input, out: &mut Outbox) {
        let mut observe = |observation| out.push(Effect::Observe(observation));
        self.born.take().map(&mut observe);
        match input {
            Input::Wake => {
                observe(Observation::Stood { epoch: Epoch(now.0) });
                self.next = now + BEAT;
                self.written += 1;
                let record = node::Record::Incarnation(Incarnation(self.written as u32));
                out.push(Effect::Persist { token: Token(self.written), record });
                for after in [None, Some(Token(self.written))] {
                    // The ping says whether it waited, in its lowest bit.
                    let stamp = now.0 / 2 * 2 + u64::from(after.is_some());
                    let body = Body::Work(WorkMessage::Survey { epoch: Epoch(stamp) });
                    let place =
                        self.peers.iter().position(|peer| *peer == self.id).map_or(0, |place| place + 1);
                    let to = self.peers[place % self.peers.len()];
                    out.push(Effect::Send { to, message: Message { cluster: ClusterId(1), body }, after });
                }
            }
            Input::Receive { from, message } => {
                if let Body::Work(WorkMessage::Survey { epoch }) = message.body {
                    observe(Observation::Voted { epoch, candidate: from });
                }
            }
            Input::Client { session, number, .. } => match &*self.kind {
                "answers" => {
                    self.asked.push((session, number));
                    let model: Arc<str> = "letters".into();
                    out.push(Effect::Engine(EngineCommand::Load { model }));
                }
                "refuses" => {
                    let reply = Arc::new(Reply::Refused(Refusal::NoCoordinator));
                    out.push(Effect::Reply { session, number, reply });
                }
                _ => {}
            },
            Input::Engine(event) => {
                let reason = format!("{event:?}").into();
                observe(Observation::EngineDied { reason });
                match event {
                    EngineEvent::Loaded { model } => out.push(Effect::Engine(EngineCommand::Infer {
                        attempt: AttemptId { epoch: Epoch(1), serial: 1 },
                        query: QueryId { job: JobId(1), cut: 0, number: 0 },
                        model,
                        dataset: "test".into(),
                        from: 0,
                        inputs: 1,
                    })),
                    EngineEvent::Finished { .. } => {
                        for (session, number) in std::mem::take(&mut self.asked) {
                            let reply = Arc::new(Reply::Submitted(JobId(1)));
                            out.push(Effect::Reply { session, number, reply });
                            let entry = Entry {
                                position: Position { epoch: Epoch(1), index: Index(3) },
                                at: now,
                                payload: Arc::new(Payload::Noop),
                            };
                            let changes = [Change::JobEnded { job: JobId(1), cancelled: false }].into();
                            out.push(Effect::Observe(Observation::Applied { entry, changes, state: 0 }));
                        }
                    }
                    _ => {}
                }
            }
            Input::Chunk(_) => {}
            Input::Persisted(token) => observe(Observation::Led { epoch: Epoch(token.0) }),
            Input::Leave => {
                out.push(Effect::Left);
                // It has left, and still wants something.
                let record = node::Record::Incarnation(Incarnation(u32::MAX));
                out.push(Effect::Persist { token: Token(self.written + 1), record });
            }
        }
    }

    fn status(&self) -> node::Status {
        node::Status {
            incarnation: Incarnation(1),
            epoch: Epoch(1),
            coordinator: None,
            leads: self.peers.first() == Some(&self.id) && &*self.kind != "follows",
            votes: true,
            view: ViewId(1),
            member: true,
            held: 0,
        }
    }
}

fn plan(kinds: &[&str]) -> Plan {
    let node =
        |(number, kind): (usize, &&str)| NodePlan { kind: (*kind).into(), ..NodePlan::usual(number + 1) };
    let profile = CostProfile {
        load: Draw::Fixed(Span::millis(30)),
        setup: Draw::Fixed(Span::millis(10)),
        per_input: Draw::Fixed(Span::millis(10)),
        by_size: BySize::LINE,
    };
    Plan {
        name: "test".into(),
        about: String::new(),
        seed: 1,
        trials: 1,
        until: Until::At(Span::secs(1)),
        liveness_within: Span::secs(3),
        nodes: kinds.iter().enumerate().map(node).collect(),
        config: Arc::new(Config::default()),
        options: crate::scenario::Options::default(),
        network: NetworkPlan {
            latency: Draw::Fixed(Span::millis(1)),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            bandwidth: None,
        },
        disk: DiskPlan { sync: Draw::Fixed(Span::millis(4)) },
        models: BTreeMap::from([(
            "letters".into(),
            ModelPlan { engine: "synthetic".into(), profile, network: None },
        )]),
        jobs: Vec::new(),
        arrivals: Vec::new(),
        requests: Vec::new(),
        faults: Vec::new(),
    }
}

fn job(at: Span) -> JobPlan {
    let spec = JobSpec {
        name: "job".into(),
        model: "letters".into(),
        inputs: Inputs::Range { dataset: "test".into(), from: 0, count: 1 },
        batch: 1,
        weight: 1.0,
        priority: 0,
    };
    JobPlan { at: Draw::Fixed(at), give_up: None, spec }
}

fn fault(at: u64, kind: FaultKind, target: Target, lasting: Option<u64>) -> Fault {
    let lasting = lasting.map(|ms| Draw::Fixed(Span::millis(ms)));
    Fault {
        at: Draw::Fixed(Span::millis(at)),
        kind,
        target,
        lasting,
        repeat: None,
        trigger: None,
        after: Draw::ZERO,
    }
}

fn run(plan: &Plan, seed: u64) -> (Outcome, Vec<Record>) {
    let mut history = Vec::new();
    let outcome = run_process::<Echo>(plan, seed, &mut history, &|| false);
    (outcome, history)
}

/// What one machine observed, with the milliseconds at which it did.
fn seen(history: &[Record], machine: Machine) -> Vec<(u64, &Observation)> {
    let of = |record: &&Record| record.machine == Some(machine);
    let observed = history.iter().filter(of).filter_map(|record| match &record.what {
        What::Node(observation) => Some((record.at.0 / 1_000_000, observation)),
        _ => None,
    });
    observed.collect()
}

/// The moments at which a fault reported this phase.
fn reported(history: &[Record], fault: u32, phase: &FaultPhase) -> Vec<u64> {
    let at = history.iter().filter_map(|record| match &record.what {
        What::Fault(event) if event.fault == fault && event.phase == *phase => Some(record.at.0 / 1_000_000),
        _ => None,
    });
    at.collect()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let mut plan = plan(&["answers", "refuses", "silent", "silent"]);
    plan.network.latency = Draw::LogNormal(Span::millis(2), 0.5);
    plan.network.loss = 0.1;
    plan.network.duplicate = 0.05;
    plan.network.reorder = 0.05;
    plan.jobs.push(job(Span::millis(100)));
    plan.faults.push(fault(200, FaultKind::Crash { wipe: false }, Target::Random(1), Some(100)));
    plan.faults.push(fault(300, FaultKind::Loss(crate::scenario::Loss::of(0.5)), Target::Voter, Some(400)));
    let (first, history) = run(&plan, 7);
    let (again, same_history) = run(&plan, 7);
    assert_eq!(first, again);
    assert_eq!(history, same_history);
    assert_ne!(first.trace, run(&plan, 8).0.trace);
    assert_eq!(first.ended_at, Time::ZERO + Span::secs(1));
    assert!(first.events > 1000, "{} events", first.events);
}

#[test]
fn every_node_has_a_clock_of_its_own_that_starts_with_its_process() {
    let mut plan = plan(&["silent"; 3]);
    plan.faults.push(fault(505, FaultKind::Restart, Target::Node(1), None));
    let (_, history) = run(&plan, 1);
    let wakes = |machine| -> Vec<(u64, u64)> {
        let stood = |(at, seen): (u64, &Observation)| match seen {
            Observation::Stood { epoch } => Some((at, epoch.0 / 1_000_000)),
            _ => None,
        };
        seen(&history, machine).into_iter().filter_map(stood).collect()
    };
    assert_eq!(wakes(0), (0..=100).map(|i| (i * 10, i * 10)).collect::<Vec<_>>());
    let expected = (0..=50).map(|i| (i * 10, i * 10)).chain((0..50).map(|i| (505 + i * 10, i * 10)));
    assert_eq!(wakes(1), expected.collect::<Vec<_>>());
}

#[test]
fn a_send_waits_for_its_write_and_others_do_not() {
    let (_, history) = run(&plan(&["silent"; 2]), 1);
    let mut counts = [0, 0];
    for (at, seen) in seen(&history, 1) {
        if let Observation::Voted { epoch, .. } = seen {
            let waited = epoch.0 % 2;
            counts[waited as usize] += 1;
            assert_eq!(at, epoch.0 / 2 * 2 / 1_000_000 + if waited == 1 { 5 } else { 1 });
        }
    }
    assert_eq!(counts, [100, 100]);
}

#[test]
fn one_sync_is_in_flight_and_what_came_meanwhile_shares_the_next() {
    let mut plan = plan(&["silent"; 2]);
    plan.disk.sync = Draw::Fixed(Span::millis(35));
    let (_, history) = run(&plan, 1);
    let durable = |(at, seen): (u64, &Observation)| match seen {
        Observation::Led { epoch } => Some((at, epoch.0)),
        _ => None,
    };
    let durable: Vec<_> = seen(&history, 0).into_iter().filter_map(durable).take(3).collect();
    // Writes happen at 0, 10, 20 ms and so on. The first sync takes only the first; the second, from 35 ms on, the next three.
    assert_eq!(durable, [(35, 1), (70, 4), (105, 7)]);
}

#[test]
fn a_crash_keeps_what_was_told_durable_and_loses_what_waited() {
    let mut kept_less = false;
    for seed in 0..50 {
        let mut plan = plan(&["silent"; 2]);
        plan.disk.sync = Draw::Fixed(Span::millis(35));
        plan.faults.push(fault(223, FaultKind::Crash { wipe: false }, Target::Node(0), Some(100)));
        let (_, history) = run(&plan, seed);
        let seen = seen(&history, 0);
        // Syncs end at 210 ms (up to the write of 170 ms, the 18th) and would have ended at 245 ms (up to the 21st).
        assert!(seen.contains(&(210, &Observation::Led { epoch: Epoch(18) })), "seed {seed}");
        let born = |seen: &(u64, &Observation)| match seen.1 {
            Observation::Born { incarnation } => Some((seen.0, incarnation.0)),
            _ => None,
        };
        let born: Vec<_> = seen.iter().filter_map(born).collect();
        assert_eq!((born[0], born[1].0), ((0, 0), 323), "seed {seed}");
        assert!((18..=21).contains(&born[1].1), "seed {seed}: {born:?}");
        kept_less |= born[1].1 < 21;
    }
    assert!(kept_less, "nothing was ever lost");
}

#[test]
fn a_paused_process_gets_what_waited_before_it_wakes() {
    let mut plan = plan(&["silent"; 2]);
    plan.faults.push(fault(205, FaultKind::Pause, Target::Node(1), Some(300)));
    let (_, history) = run(&plan, 1);
    let seen = seen(&history, 1);
    assert!(seen.iter().all(|(at, _)| !(206..505).contains(at)), "it did something while it stood still");
    let resumed: Vec<&Observation> =
        seen.iter().filter(|(at, _)| *at == 505).map(|(_, observation)| *observation).collect();
    // 2 pings each 10 ms, and the write of 200 ms, whose sync had ended before the pause began at 205 ms.
    let pings = resumed.iter().filter(|seen| matches!(seen, Observation::Voted { .. })).count();
    assert!((59..=61).contains(&pings), "{pings} pings");
    let first_wake =
        seen.iter().position(|(at, seen)| *at >= 505 && matches!(seen, Observation::Stood { .. }));
    let last_ping =
        seen.iter().rposition(|(at, seen)| *at == 505 && matches!(seen, Observation::Voted { .. }));
    assert!(first_wake > last_ping);
    let paused = history.iter().filter(|record| matches!(record.what, What::Paused(_))).count();
    let resumed = history.iter().filter(|record| matches!(record.what, What::Resumed(_))).count();
    assert_eq!((paused, resumed), (1, 1));
}

#[test]
fn a_one_way_cut_takes_effect_with_the_first_message_that_it_stops() {
    let mut plan = plan(&["silent"; 2]);
    let kind = FaultKind::Cut { other: Some(Target::Node(1)), direction: Direction::Out };
    plan.faults.push(fault(203, kind, Target::Node(0), Some(200)));
    let (_, history) = run(&plan, 1);
    let pings = |machine| {
        let seen = seen(&history, machine);
        let during = |(at, seen): &&(u64, &Observation)| {
            (206..403).contains(at) && matches!(seen, Observation::Voted { .. })
        };
        seen.iter().filter(during).count()
    };
    assert_eq!((pings(0), pings(1)), (39, 0));
    assert_eq!(reported(&history, 0, &FaultPhase::Began), [203]);
    assert_eq!(reported(&history, 0, &FaultPhase::TookEffect).len(), 1);
    assert_eq!(reported(&history, 0, &FaultPhase::Ended), [403]);
}

#[test]
fn a_client_asks_elsewhere_until_someone_answers() {
    for seed in 0..20 {
        let mut plan = plan(&["silent", "refuses", "refuses", "answers"]);
        plan.until = Until::At(Span::secs(20));
        plan.jobs.push(job(Span::millis(100)));
        let (_, history) = run(&plan, seed);
        let asked =
            history.iter().filter(|r| matches!(r.what, What::Client(ClientEvent::Asked { .. }))).count();
        let told = history.iter().filter_map(|record| match &record.what {
            What::Client(ClientEvent::Told { reply, .. }) => Some((*reply).clone()),
            _ => None,
        });
        assert_eq!(asked, 1, "seed {seed}");
        assert_eq!(told.collect::<Vec<_>>(), [Arc::new(Reply::Submitted(JobId(1)))], "seed {seed}");
    }
}

#[test]
fn a_crashed_node_has_forgotten_its_clients() {
    // The load takes 30 ms and the query 20: the only node dies in between, and the client asks again after its patience.
    let mut plan = plan(&["answers", "silent"]);
    plan.until = Until::Done;
    plan.jobs.push(job(Span::millis(100)));
    plan.faults.push(fault(50, FaultKind::Crash { wipe: false }, Target::Node(1), Some(5000)));
    plan.faults.push(fault(140, FaultKind::Restart, Target::Node(0), None));
    let (outcome, history) = run(&plan, 3);
    let told = history.iter().find(|record| matches!(record.what, What::Client(ClientEvent::Told { .. })));
    let at = told.expect("the second attempt succeeds").at.0 / 1_000_000;
    assert_eq!(at, 100 + 500 + 1 + 30 + 20 + 1);
    assert_eq!(outcome.unfinished, [""; 0]);
}

#[test]
fn an_answer_from_a_node_that_the_client_has_left_is_not_heard() {
    // The first node stands still until 700 ms and then needs 50 ms for its answer. A client that asked it first has gone
    // elsewhere by then and comes back at 1,100 ms; one that asked it second, at 600 ms, is still there.
    let mut plan = plan(&["answers", "silent"]);
    plan.until = Until::At(Span::secs(2));
    plan.jobs.push(job(Span::millis(100)));
    plan.faults.push(fault(50, FaultKind::Pause, Target::Node(0), Some(650)));
    let told = |seed| {
        let (_, history) = run(&plan, seed);
        let told =
            history.iter().find(|record| matches!(record.what, What::Client(ClientEvent::Told { .. })));
        told.expect("it is answered in the end").at.0 / 1_000_000
    };
    let mut times: Vec<u64> = (0..20).map(told).collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times, [751, 1152]);
}

#[test]
fn a_run_is_done_a_second_after_nothing_is_left() {
    let mut plan = plan(&["answers"; 3]);
    plan.until = Until::Done;
    plan.jobs.push(job(Span::millis(100)));
    plan.faults.push(fault(2000, FaultKind::Isolate, Target::Node(2), Some(500)));
    let (outcome, _) = run(&plan, 1);
    assert_eq!(outcome.unfinished, [""; 0]);
    assert_eq!(outcome.ended_at, Time::ZERO + Span::millis(3500));
}

#[test]
fn a_run_that_makes_no_progress_is_given_up_and_says_what_was_left() {
    let mut plan = plan(&["silent"; 3]);
    plan.until = Until::Done;
    plan.jobs.push(job(Span::secs(2)));
    let (outcome, _) = run(&plan, 1);
    // 3 s of patience, and ten times the 50 ms of work.
    assert_eq!(outcome.ended_at, Time::ZERO + Span::millis(5600));
    assert_eq!(outcome.unfinished, ["job was not answered in 8 attempts"]);
}

#[test]
fn a_wiped_machine_comes_back_as_somebody_else_and_joins() {
    let mut plan = plan(&["silent"; 3]);
    plan.faults.push(fault(200, FaultKind::Crash { wipe: true }, Target::Node(1), Some(100)));
    let (_, history) = run(&plan, 1);
    let ups: Vec<NodeId> = history
        .iter()
        .filter(|record| record.machine == Some(1))
        .filter_map(|record| if let What::Up(id) = record.what { Some(id) } else { None })
        .collect();
    assert!(ups.len() == 2 && ups[0] != ups[1], "{ups:?}");
    let joined = Observation::SteppedDown { epoch: Epoch(0), reason: StepDown::Unseated };
    assert!(seen(&history, 1).contains(&(300, &joined)));
    // Its neighbour goes on pinging the old identity, which is nobody now.
    let late = seen(&history, 1).into_iter().filter(|(at, seen)| {
        let Observation::Voted { candidate, .. } = seen else { return false };
        *at > 300 && *candidate == history_id(&history, 0)
    });
    assert_eq!(late.count(), 0);
}

fn history_id(history: &[Record], machine: Machine) -> NodeId {
    let up = history.iter().find_map(|record| match record.what {
        What::Up(id) if record.machine == Some(machine) => Some(id),
        _ => None,
    });
    up.expect("every machine starts")
}

#[test]
fn roles_are_looked_up_when_a_fault_begins() {
    let mut plan = plan(&["silent"; 5]);
    let target = Target::Several(vec![Target::Coordinator, Target::Voter, Target::Worker]);
    plan.faults.push(fault(100, FaultKind::Crash { wipe: false }, target, None));
    plan.faults.push(fault(200, FaultKind::Crash { wipe: false }, Target::All, None));
    for seed in 0..20 {
        let (_, history) = run(&plan, seed);
        let ids: Vec<NodeId> = (0..5).map(|machine| history_id(&history, machine)).collect();
        let leader = ids.iter().enumerate().min_by_key(|(_, id)| **id).expect("there are five").0 as Machine;
        let hit = |fault: u32| {
            let mut events = history.iter().filter_map(|record| match &record.what {
                What::Fault(event) if event.fault == fault => Some(event.machines.clone()),
                _ => None,
            });
            events.next_back().expect("the fault reports")
        };
        assert!(hit(0).len() == 3 && hit(0).contains(&leader), "seed {seed}: {:?} without {leader}", hit(0));
        assert!(
            hit(1).len() == 2 && hit(1).iter().all(|m| !hit(0).contains(m)),
            "seed {seed}: only the living"
        );
    }
}

#[test]
fn a_role_that_nobody_has_is_missed_after_five_seconds() {
    let mut plan = plan(&["follows"; 3]);
    plan.until = Until::At(Span::secs(10));
    plan.faults.push(fault(1000, FaultKind::Pause, Target::Coordinator, Some(100)));
    let (_, history) = run(&plan, 1);
    let reason: Arc<str> = "nobody leads".into();
    assert_eq!(reported(&history, 0, &FaultPhase::Missed { reason }), [6000]);
    assert!(reported(&history, 0, &FaultPhase::Began).is_empty());
}

#[test]
fn a_run_that_waited_for_a_fault_in_vain_is_not_given_up_at_once() {
    let mut plan = plan(&["follows"; 3]);
    plan.until = Until::Done;
    plan.jobs.push(job(Span::secs(2)));
    plan.faults.push(fault(1000, FaultKind::Pause, Target::Coordinator, Some(100)));
    let (outcome, _) = run(&plan, 1);
    // Six seconds until the pause is missed, 3 s of patience, and ten times the 50 ms of work.
    assert_eq!(outcome.ended_at, Time::ZERO + Span::millis(9600));
}

#[test]
fn a_run_stops_when_it_is_told_to() {
    let mut plan = plan(&["silent"; 3]);
    plan.until = Until::At(Span::secs(1000));
    let outcome = run_process::<Echo>(&plan, 1, &mut crate::history::Ignore, &|| true);
    assert!(outcome.stopped && outcome.ended_at < Time::ZERO + Span::secs(1000));
}

#[test]
fn a_node_that_has_left_is_down() {
    let plan = plan(&["silent"; 2]);
    let mut history = Vec::new();
    let mut watcher = crate::history::Ignore;
    let mut world = super::world::World::<Echo, _>::new(&plan, 1, &mut history, &mut watcher);
    world.step(1, Input::Leave);
    assert!(!world.hosts[1].runs() && world.hosts[0].runs());
    drop(world);
    assert!(matches!(history.last(), Some(Record { machine: Some(1), what: What::Down(_), .. })));
}

#[test]
fn what_a_node_wants_after_it_has_left_is_not_done() {
    let mut plan = plan(&["silent"; 2]);
    plan.until = Until::At(Span::secs(3));
    plan.faults.push(fault(1000, FaultKind::Leave, Target::Node(1), Some(500)));
    let history = run(&plan, 1).1;
    let after: Vec<&Observation> =
        seen(&history, 1).into_iter().filter(|(at, _)| *at >= 1500).map(|(_, seen)| seen).collect();
    let born = after.iter().find_map(|seen| match seen {
        Observation::Born { incarnation } => Some(incarnation.0),
        _ => None,
    });
    assert!(born.is_some_and(|life| life < 1000), "{born:?}");
    assert!(after.iter().any(|seen| matches!(seen, Observation::Led { .. })), "its disk works again");
}

/// The real thing: five nodes, a job, and the coordinator's death in the middle of it.
#[test]
fn real_nodes_finish_their_job_through_a_coordinators_death_and_do_so_twice_alike() {
    let mut plan = plan(&["cpu"; 5]);
    plan.until = Until::Done;
    plan.liveness_within = Span::secs(10);
    plan.network.loss = 0.01;
    let mut job = job(Span::millis(500));
    job.spec.inputs = Inputs::Range { dataset: "test".into(), from: 0, count: 400 };
    plan.jobs.push(job);
    plan.faults.push(fault(1500, FaultKind::Crash { wipe: false }, Target::Coordinator, Some(3000)));
    for seed in 0..5 {
        let mut histories = [Vec::new(), Vec::new()];
        let outcomes = histories.each_mut().map(|history| super::run(&plan, seed, history, &|| false));
        assert_eq!(outcomes[0], outcomes[1], "seed {seed}");
        assert_eq!(histories[0], histories[1], "seed {seed}");
        assert_eq!(outcomes[0].unfinished, [""; 0], "seed {seed}");
        let [history, _] = histories;
        assert_eq!(reported(&history, 0, &FaultPhase::TookEffect).len(), 1, "seed {seed}");
        let led = history.iter().filter(|r| matches!(r.what, What::Node(Observation::Led { .. }))).count();
        assert!(led >= 2, "seed {seed}: nobody took over");
    }
}

/// An entry of the log costs every voter a message and a write: where many answers come, each is worth many of them, and where few come,
/// none waits for another one.
#[test]
fn under_load_an_entry_counts_many_answers_and_else_each_counts_its_own() {
    let counted = |per_input, count, seed| {
        let mut plan = plan(&["cpu"; 5]);
        plan.until = Until::Done;
        plan.liveness_within = Span::secs(10);
        let mut job = job(Span::millis(500));
        job.spec.inputs = Inputs::Range { dataset: "test".into(), from: 0, count };
        plan.jobs.push(job);
        for model in plan.models.values_mut() {
            model.profile.setup = Draw::ZERO;
            model.profile.per_input = Draw::LogNormal(per_input, 0.3);
        }
        let mut history = Vec::new();
        let outcome = super::run(&plan, seed, &mut history, &|| false);
        assert_eq!(outcome.unfinished, [""; 0], "seed {seed}");
        let mut entries = BTreeMap::new();
        for record in &history {
            if let What::Node(Observation::Applied { entry, .. }) = &record.what
                && let Payload::Command(Command::Complete(completions)) = &*entry.payload
            {
                entries.insert(entry.position, completions.len());
            }
        }
        assert_eq!(entries.values().sum::<usize>() as u64, count, "seed {seed}");
        count as f64 / entries.len() as f64
    };
    for seed in 0..3 {
        let (busy, calm) = (counted(Span::micros(20), 4_000, seed), counted(Span::millis(200), 100, seed));
        assert!(busy > 10.0 && calm < 1.1, "seed {seed}: {busy} and {calm} answers an entry");
    }
}

/// Of three voters one can be spared and nobody else as long as its seat is empty; a fault that stays counts, one that ends does
/// not; the only worker is never spared.
#[test]
fn only_who_leaves_a_majority_and_a_worker_behind_is_spared() {
    let crash = |wipe| FaultKind::Crash { wipe };
    let hit = |plan: &Plan, seed, fault| {
        let (_, history) = run(plan, seed);
        history.iter().find_map(|record| match &record.what {
            What::Fault(event) if event.fault == fault && event.phase == FaultPhase::Began => {
                Some(event.machines[0])
            }
            _ => None,
        })
    };
    for seed in 0..20 {
        let mut plan = plan(&["silent"; 3]);
        plan.config = Arc::new(Config {
            failover: Failover { voters: Some(3), ..Failover::default() },
            ..Config::default()
        });
        plan.until = Until::At(Span::secs(8));
        plan.faults.push(fault(100, crash(false), Target::Node(0), Some(300)));
        plan.faults.push(fault(200, crash(true), Target::Spare, Some(50)));
        plan.faults.push(fault(500, crash(false), Target::Spare, None));
        let wiped = hit(&plan, seed, 1);
        assert!(matches!(wiped, Some(1 | 2)), "seed {seed}: who is dead for a while is not lost");
        assert_eq!(hit(&plan, seed, 2), wiped, "seed {seed}: only the one that has come back without a seat");
        plan.faults.remove(1);
        plan.faults.push(fault(600, FaultKind::Pause, Target::Spare, None));
        assert!(hit(&plan, seed, 1).is_some(), "seed {seed}");
        assert_eq!(hit(&plan, seed, 2), None, "seed {seed}: one is gone for good");
        plan.faults.truncate(1);
        plan.nodes[1].worker = false;
        plan.nodes[2].worker = false;
        plan.faults[0] = fault(100, FaultKind::Isolate, Target::Spare, None);
        assert!(matches!(hit(&plan, seed, 0), Some(1 | 2)), "seed {seed}: machine 0 is the only worker");
    }
}
