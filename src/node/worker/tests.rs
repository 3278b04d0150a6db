//! Tests of the worker: each rule by itself, and all of them under random desks and a moody engine (see `fuzz`).

use super::*;
use crate::base::JobId;
use crate::node::config::limits::WARM_MAX;
use crate::node::io::{Effect, EngineCommand};

mod fuzz;

pub(super) const COORDINATOR: NodeId = NodeId::new(100);
const LIMIT: Span = Span::secs(2);

/// A worker, its facts, and what it put out in the last step.
struct Bench {
    worker: Worker,
    now: Time,
    facts: WorkerFacts,
    reports: Vec<Report>,
    messages: Vec<(NodeId, WorkMessage)>,
    commands: Vec<EngineCommand>,
    seen: Vec<Observation>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            worker: Worker::new(true, 0.0, &Dispatch::default(), Rng::new(1)),
            now: Time(1_000_000_000),
            facts: WorkerFacts {
                epoch: Epoch(5),
                coordinator: Some(COORDINATOR),
                incarnation: Incarnation(2),
                member: true,
            },
            reports: Vec::new(),
            messages: Vec::new(),
            commands: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// One step; keeps only what it put out.
    fn step(&mut self, step: impl FnOnce(&mut Worker, Time, WorkerFacts, &mut Outbox)) {
        let mut out = Outbox::new();
        step(&mut self.worker, self.now, self.facts, &mut out);
        (self.reports, self.messages, self.commands, self.seen) = Default::default();
        for effect in out.drain() {
            match effect {
                Effect::Send { to, message, after: None } => match message.body {
                    Body::Work(WorkMessage::Report(report)) => {
                        assert_eq!(to, COORDINATOR);
                        self.reports.push((*report).clone());
                    }
                    Body::Work(message) => self.messages.push((to, message)),
                    other => panic!("a worker says {other:?}"),
                },
                Effect::Engine(command) => self.commands.push(command),
                Effect::Observe(observation) => self.seen.push(observation),
                other => panic!("a worker does {other:?}"),
            }
        }
    }

    fn receive(&mut self, message: &WorkMessage) {
        self.step(|worker, now, facts, out| worker.receive(now, COORDINATOR, message, facts, out));
    }

    /// A desk of the facts' reign that keeps and orders these attempts, all of model `m`.
    fn desk(&mut self, version: u64, keep: &[u64], orders: &[u64]) {
        let orders = orders.iter().map(|&serial| order(serial, "m")).collect();
        self.receive(&desk(self.facts, version, keep, orders));
    }

    fn engine(&mut self, event: EngineEvent) {
        self.step(|worker, now, facts, out| worker.engine(now, event, facts, out));
    }

    fn loaded(&mut self, model: &str) {
        self.engine(EngineEvent::Loaded { model: model.into() });
    }

    fn finished(&mut self, serial: u64) {
        let answer = Answer { inputs: 10, ..Answer::default() };
        self.engine(EngineEvent::Finished { attempt: attempt(serial), answer, took: Span(5) });
    }

    fn died(&mut self) {
        self.engine(EngineEvent::Died { reason: "out of memory".into() });
    }

    /// Lets time pass, with a wake-up at each deadline, and keeps what the last one put out.
    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        (self.reports, self.messages, self.commands, self.seen) = Default::default();
        while self.worker.deadline() <= end {
            self.now = self.worker.deadline();
            self.step(Worker::wake);
        }
        self.now = end;
    }

    /// The serials in the only report of the last step, with how far each has come.
    fn report(&self) -> Vec<(u64, &'static str)> {
        assert_eq!(self.reports.len(), 1, "{:?}", self.reports);
        let progress = |progress: &Progress| match progress {
            Progress::Waiting => "waits",
            Progress::Running => "runs",
            Progress::Ended { outcome: Outcome::Answered(_), .. } => "answered",
            Progress::Ended { outcome: Outcome::Failed(_), .. } => "failed",
            Progress::Ended { outcome: Outcome::Refused, .. } => "refused",
        };
        self.reports[0].held.iter().map(|held| (held.attempt.serial, progress(&held.progress))).collect()
    }

    fn failure(&self) -> &str {
        let failure = |held: &Held| match &held.progress {
            Progress::Ended { outcome: Outcome::Failed(reason), .. } => Some(Arc::clone(reason)),
            _ => None,
        };
        assert!(self.reports[0].held.iter().filter_map(failure).count() == 1);
        let Some(Progress::Ended { outcome: Outcome::Failed(reason), .. }) = self.reports[0]
            .held
            .iter()
            .map(|held| &held.progress)
            .find(|p| matches!(p, Progress::Ended { .. }))
        else {
            panic!("no failure in {:?}", self.reports)
        };
        reason
    }

    fn inferred(&self) -> Vec<u64> {
        let serial = |command: &EngineCommand| match command {
            EngineCommand::Infer { attempt, .. } => Some(attempt.serial),
            EngineCommand::Load { .. } | EngineCommand::Kill => None,
        };
        self.commands.iter().filter_map(serial).collect()
    }

    fn killed(&self) -> bool {
        self.commands.contains(&EngineCommand::Kill)
    }

    fn dropped(&self) -> Vec<u64> {
        let serial = |seen: &Observation| match seen {
            Observation::Dropped { attempt, .. } => Some(attempt.serial),
            _ => None,
        };
        self.seen.iter().filter_map(serial).collect()
    }
}

fn attempt(serial: u64) -> AttemptId {
    AttemptId { epoch: Epoch(5), serial }
}

fn order(serial: u64, model: &str) -> Order {
    Order {
        attempt: attempt(serial),
        query: QueryId { job: JobId(1), cut: 0, number: serial as u32 },
        model: model.into(),
        dataset: "letters".into(),
        from: serial * 10,
        inputs: 10,
        limit: LIMIT,
    }
}

fn desk(facts: WorkerFacts, version: u64, keep: &[u64], orders: Vec<Order>) -> WorkMessage {
    let keep = keep.iter().map(|&serial| attempt(serial)).collect();
    WorkMessage::Desk(Arc::new(Desk {
        epoch: facts.epoch,
        incarnation: facts.incarnation,
        version,
        keep,
        orders,
    }))
}

#[test]
fn orders_run_one_at_a_time_in_order_and_are_reported_until_settled() {
    let mut bench = Bench::new();
    bench.desk(1, &[1, 2], &[1, 2]);
    assert_eq!(bench.report(), [(1, "runs"), (2, "waits")]);
    assert_eq!(bench.commands, [EngineCommand::Load { model: "m".into() }]);
    assert_eq!((bench.reports[0].version, bench.worker.held()), (1, 2));
    bench.loaded("m");
    assert_eq!((bench.inferred(), bench.reports.len()), (vec![1], 0));
    bench.finished(1);
    assert_eq!((bench.inferred(), bench.report()), (vec![2], vec![(2, "runs"), (1, "answered")]));
    assert_eq!(bench.reports[0].warm, ["m".into()]);
    bench.finished(2);
    assert_eq!(bench.report(), [(2, "answered")], "the first result was told a moment ago");
    bench.desk(2, &[2], &[]);
    assert_eq!(bench.report(), []);
    bench.pass(Span::millis(250));
    assert_eq!(bench.report(), [(2, "answered")]);
    bench.desk(3, &[], &[]);
    assert!(bench.seen.is_empty(), "settled is not dropped");
    assert_eq!((bench.report(), bench.worker.held(), bench.worker.deadline()), (vec![], 0, Time::NEVER));
}

/// One report in a hundred is lost where the network loses as many messages, so the second comes soon; where nobody hears it, it
/// becomes rare.
#[test]
fn a_result_is_repeated_soon_and_then_ever_more_seldom() {
    let mut bench = Bench::new();
    bench.desk(1, &[1, 2], &[1, 2]);
    bench.loaded("m");
    let died = bench.now;
    bench.died();
    let mut told = Vec::new();
    while bench.now < died + Span::millis(500) {
        bench.pass(Span::millis(1));
        if !bench.reports.is_empty() {
            assert_eq!(bench.report(), [(2, "runs"), (1, "failed")]);
            told.push(bench.now.since(died).0 / 1_000_000);
        }
    }
    assert_eq!(told, [20, 60, 140, 240, 340, 440], "milliseconds after the engine's death");
    // A new coordinator has not heard any of it.
    bench.receive(&WorkMessage::Survey { epoch: Epoch(5) });
    assert_eq!(bench.report(), [(2, "runs"), (1, "failed")]);
    assert_eq!(bench.worker.deadline(), bench.now + Span::millis(20));
}

#[test]
fn one_that_pulls_asks_at_the_end_of_a_query_and_again_after_the_back_off() {
    let mut bench = Bench::new();
    let backoff = Span::millis(500);
    let config = Dispatch { mode: DispatchMode::Pull, backoff, ..Dispatch::default() };
    bench.worker = Worker::new(true, 0.0, &config, Rng::new(1));
    bench.receive(&WorkMessage::Survey { epoch: Epoch(5) });
    assert_eq!(bench.report(), []);
    bench.pass(backoff - Span(1));
    assert_eq!(bench.reports.len(), 0, "it does not ask before its time");
    bench.pass(Span(1));
    assert_eq!(bench.report(), [], "it asks again");
    bench.desk(1, &[1], &[1]);
    bench.loaded("m");
    bench.pass(backoff * 3);
    assert_eq!(bench.reports.len(), 0, "it has no room");
    bench.finished(1);
    assert_eq!(bench.report(), [(1, "answered")]);
    bench.desk(2, &[], &[]);
    assert_eq!(bench.worker.deadline(), bench.now + backoff);

    bench.worker = Worker::new(false, 0.0, &config, Rng::new(1));
    assert_eq!(bench.worker.deadline(), Time::NEVER, "one that takes no queries asks for none");
}

#[test]
fn several_endings_of_one_step_share_a_report() {
    let mut bench = Bench::new();
    bench.receive(&desk(bench.facts, 1, &[1, 2, 3], vec![order(1, "a"), order(2, "b"), order(3, "a")]));
    bench.engine(EngineEvent::LoadFailed { model: "a".into(), reason: "no such file".into() });
    assert_eq!(bench.report(), [(2, "runs"), (1, "failed"), (3, "failed")]);
    assert_eq!(bench.commands, [EngineCommand::Load { model: "b".into() }]);
    assert!(bench.seen.contains(&Observation::Loaded { model: "a".into(), ok: false }));
    // Only what was at hand fails: a later order tries the load again.
    bench.receive(&desk(bench.facts, 2, &[2, 4], vec![order(4, "a")]));
    bench.loaded("b");
    bench.finished(2);
    assert_eq!(bench.commands, [EngineCommand::Load { model: "a".into() }]);
}

#[test]
fn desks_that_are_old_or_for_others_change_nothing() {
    let mut bench = Bench::new();
    bench.desk(4, &[1], &[1]);
    bench.desk(3, &[], &[]);
    assert_eq!((bench.reports.len(), bench.worker.held()), (0, 1));
    bench.desk(4, &[], &[]);
    assert_eq!(bench.report(), [(1, "runs")], "a repeated desk is answered, so that a lost answer heals");
    let other_life = WorkerFacts { incarnation: Incarnation(1), ..bench.facts };
    bench.receive(&desk(other_life, 9, &[], vec![]));
    assert_eq!((bench.reports.len(), bench.worker.held()), (0, 1));
    bench.facts.member = false;
    bench.desk(5, &[], &[]);
    assert_eq!((bench.reports.len(), bench.worker.held()), (0, 1));
    bench.facts.member = true;
    bench.desk(5, &[1], &[2]);
    assert_eq!(bench.report(), [(1, "runs")], "an order that is not kept is not taken");
}

#[test]
fn a_stale_coordinator_is_told_so() {
    let mut bench = Bench::new();
    bench.desk(1, &[1], &[1]);
    bench.receive(&WorkMessage::Survey { epoch: Epoch(6) });
    assert_eq!((bench.report(), bench.reports[0].epoch), (vec![(1, "runs")], Epoch(6)));
    assert_eq!(bench.reports[0].version, 0, "no desk of this reign was followed");
    let deposed = [(COORDINATOR, WorkMessage::Deposed { epoch: Epoch(6) })];
    bench.desk(2, &[], &[]);
    assert_eq!((&bench.messages[..], bench.worker.held()), (&deposed[..], 1));
    bench.receive(&WorkMessage::Survey { epoch: Epoch(5) });
    assert_eq!((&bench.messages[..], bench.reports.len()), (&deposed[..], 0));
    // What the rest of the node knows counts as well.
    bench.facts.epoch = Epoch(9);
    bench.receive(&WorkMessage::Survey { epoch: Epoch(6) });
    assert_eq!(bench.messages, [(COORDINATOR, WorkMessage::Deposed { epoch: Epoch(9) })]);
}

#[test]
fn results_survive_a_change_of_coordinator() {
    let mut bench = Bench::new();
    bench.desk(7, &[1, 2, 3], &[1, 2, 3]);
    bench.loaded("m");
    bench.finished(1);
    bench.facts.epoch = Epoch(6);
    bench.receive(&WorkMessage::Survey { epoch: Epoch(6) });
    assert_eq!(bench.report(), [(2, "runs"), (3, "waits"), (1, "answered")], "all of it");
    bench.desk(1, &[1, 2], &[]);
    assert_eq!((bench.dropped(), bench.report()), (vec![3], vec![(2, "runs")]));
    bench.pass(Span::millis(100));
    assert_eq!(bench.report(), [(2, "runs"), (1, "answered")]);
}

#[test]
fn without_a_coordinator_results_wait_for_one() {
    let mut bench = Bench::new();
    bench.desk(1, &[1], &[1]);
    bench.loaded("m");
    (bench.facts.epoch, bench.facts.coordinator) = (Epoch(6), None);
    bench.finished(1);
    assert_eq!(bench.reports.len(), 0);
    bench.pass(Span::millis(350));
    assert_eq!(bench.reports.len(), 0);
    bench.facts.coordinator = Some(COORDINATOR);
    bench.pass(Span::millis(100));
    assert_eq!(bench.report(), [(1, "answered")]);
}

#[test]
fn what_is_dropped_while_waiting_never_runs_and_never_returns() {
    let mut bench = Bench::new();
    bench.desk(1, &[1, 2, 3], &[1, 2, 3]);
    bench.desk(2, &[1, 3], &[]);
    assert_eq!((bench.dropped(), bench.report()), (vec![2], vec![(1, "runs"), (3, "waits")]));
    bench.desk(3, &[1, 2, 3], &[2]);
    assert_eq!(bench.report(), [(1, "runs"), (3, "waits")]);
    bench.loaded("m");
    bench.finished(1);
    assert_eq!(bench.inferred(), [3]);
    bench.desk(4, &[3], &[1]);
    bench.desk(5, &[1, 3], &[1]);
    assert_eq!(bench.report(), [(3, "runs")], "settled under this reign");
}

#[test]
fn a_dropped_inference_runs_on_unheard() {
    let mut bench = Bench::new();
    bench.desk(1, &[1], &[1]);
    bench.loaded("m");
    bench.desk(2, &[2], &[2]);
    assert_eq!((bench.dropped(), bench.report()), (vec![1], vec![(2, "waits")]));
    assert_eq!((bench.commands.len(), bench.worker.held()), (0, 1));
    bench.finished(1);
    assert_eq!((bench.inferred(), bench.reports.len()), (vec![2], 0));
}

#[test]
fn a_dropped_inference_is_killed_only_when_it_is_stuck_and_something_waits() {
    let mut bench = Bench::new();
    bench.desk(1, &[1], &[1]);
    bench.loaded("m");
    bench.desk(2, &[], &[]);
    bench.pass(LIMIT * 2);
    assert_eq!((bench.killed(), bench.worker.deadline()), (false, Time::NEVER));
    bench.desk(3, &[2], &[2]);
    assert!(bench.killed());
    bench.died();
    assert_eq!((bench.commands.len(), bench.reports.len()), (1, 0), "the model loads again");
}

#[test]
fn a_stuck_inference_is_killed_and_fails() {
    let mut bench = Bench::new();
    bench.desk(1, &[1, 2], &[1, 2]);
    bench.loaded("m");
    bench.pass(LIMIT - Span(1));
    assert!(!bench.killed());
    bench.pass(Span(1));
    assert!(bench.killed() && bench.worker.deadline() == Time::NEVER);
    bench.died();
    assert_eq!(bench.report(), [(2, "runs"), (1, "failed")]);
    assert_eq!(bench.failure(), "took longer than 2s");
    assert!(bench.reports[0].warm.is_empty());
    assert_eq!(bench.commands, [EngineCommand::Load { model: "m".into() }]);
}

#[test]
fn a_result_that_crosses_its_kill_counts_and_the_engine_is_free_only_after_its_death() {
    let mut bench = Bench::new();
    bench.desk(1, &[1, 2], &[1, 2]);
    bench.loaded("m");
    bench.pass(LIMIT);
    bench.finished(1);
    assert_eq!((bench.report(), bench.commands.len()), (vec![(2, "waits"), (1, "answered")], 0));
    bench.died();
    assert_eq!((bench.reports.len(), bench.commands.len()), (0, 1));
}

#[test]
fn after_standing_still_the_node_hears_its_engine_out_before_it_kills() {
    let mut bench = Bench::new();
    bench.desk(1, &[1], &[1]);
    bench.loaded("m");
    bench.now = bench.now + LIMIT + Span::secs(10);
    bench.step(Worker::wake);
    assert!(!bench.killed());
    assert_eq!(bench.worker.deadline(), bench.now + Span::millis(100));
    bench.now += Span::secs(10);
    bench.step(Worker::wake);
    assert!(bench.killed(), "but only once");
}

#[test]
fn a_stuck_load_is_killed_and_fails_all_that_waits_for_it() {
    let mut bench = Bench::new();
    bench.receive(&desk(bench.facts, 1, &[1, 2, 3], vec![order(1, "a"), order(2, "a"), order(3, "b")]));
    bench.pass(Span::secs(60));
    assert!(bench.killed());
    bench.loaded("a");
    assert!(bench.inferred().is_empty(), "a killed engine has nothing in memory");
    bench.died();
    assert_eq!(bench.report(), [(3, "runs"), (1, "failed"), (2, "failed")]);
}

#[test]
fn the_death_of_the_engine_fails_what_ran_and_cools_the_models() {
    let mut bench = Bench::new();
    bench.desk(1, &[1, 2], &[1, 2]);
    bench.loaded("m");
    bench.died();
    assert_eq!(bench.report(), [(2, "runs"), (1, "failed")]);
    assert_eq!(bench.failure(), "the engine died: out of memory");
    assert_eq!(bench.commands, [EngineCommand::Load { model: "m".into() }]);
    assert_eq!(bench.seen[0], Observation::EngineDied { reason: "out of memory".into() });
    // A model that kills the engine when it loads is not tried for ever.
    bench.died();
    assert_eq!((bench.report(), bench.commands.len()), (vec![(2, "failed")], 0));
}

#[test]
fn answers_that_do_not_fit_the_order_are_failures() {
    let flawed = [
        Answer { inputs: 9, ..Answer::default() },
        Answer { inputs: 10, predictions: vec![0; 641].into(), failed: Arc::default() },
    ];
    for answer in flawed {
        let mut bench = Bench::new();
        bench.desk(1, &[1], &[1]);
        bench.loaded("m");
        bench.engine(EngineEvent::Finished { attempt: attempt(1), answer, took: Span(5) });
        assert_eq!(bench.report(), [(1, "failed")]);
    }
}

#[test]
fn endless_reasons_are_cut() {
    let mut bench = Bench::new();
    bench.desk(1, &[1], &[1]);
    bench.loaded("m");
    bench.engine(EngineEvent::Failed { attempt: attempt(1), reason: "é".repeat(100_000).into() });
    assert_eq!(bench.failure().len(), REASON_BYTES_MAX);
}

#[test]
fn engine_events_that_answer_nothing_are_ignored() {
    let mut bench = Bench::new();
    bench.desk(1, &[1, 2], &[1, 2]);
    bench.finished(1);
    bench.loaded("other");
    assert_eq!((bench.commands.len(), bench.reports.len(), bench.seen.len()), (0, 0, 0));
    bench.loaded("m");
    bench.loaded("m");
    bench.engine(EngineEvent::LoadFailed { model: "m".into(), reason: "late".into() });
    bench.finished(2);
    bench.engine(EngineEvent::Failed { attempt: attempt(7), reason: "late".into() });
    assert_eq!((bench.commands.len(), bench.reports.len(), bench.seen.len()), (0, 0, 0));
    bench.finished(1);
    bench.finished(1);
    assert_eq!((bench.commands.len(), bench.reports.len(), bench.seen.len()), (0, 0, 0));
    assert_eq!(bench.worker.held(), 1);
}

#[test]
fn the_least_recently_used_model_leaves_the_memory() {
    let mut bench = Bench::new();
    let mut serial = 0;
    let mut run = |bench: &mut Bench, model: usize| {
        serial += 1;
        let model = format!("m{model}");
        bench.receive(&desk(bench.facts, serial, &[serial], vec![order(serial, &model)]));
        let cold = bench.commands == [EngineCommand::Load { model: model.clone().into() }];
        if cold {
            bench.loaded(&model);
        }
        bench.finished(serial);
        cold
    };
    for model in 0..WARM_MAX {
        assert!(run(&mut bench, model));
    }
    assert!(!run(&mut bench, 0), "warm");
    assert!(run(&mut bench, 100));
    assert_eq!(bench.reports[0].warm.len(), WARM_MAX);
    assert!(!run(&mut bench, 0), "used a moment ago");
    assert!(run(&mut bench, 1), "the oldest");
}

#[test]
fn no_more_than_a_window_is_accepted() {
    let mut bench = Bench::new();
    let serials: Vec<u64> = (1..=70).collect();
    bench.desk(1, &serials, &serials);
    assert_eq!((bench.worker.held(), bench.report().len()), (64, 64));
}

#[test]
fn an_expelled_worker_holds_nothing_and_kills_what_runs() {
    let mut bench = Bench::new();
    bench.desk(9, &[1, 2, 3], &[1, 2, 3]);
    bench.loaded("m");
    bench.finished(1);
    bench.step(|worker, now, _, out| worker.expel(now, out));
    assert_eq!(bench.dropped(), [1, 3, 2]);
    assert!(bench.killed() && bench.reports.is_empty());
    assert_eq!((bench.worker.held(), bench.worker.deadline()), (0, Time::NEVER));
    // The next life follows desks that are counted anew, and waits for the engine's death.
    bench.facts.incarnation = Incarnation(3);
    bench.desk(1, &[4], &[4]);
    assert_eq!((bench.report(), bench.commands.len()), (vec![(4, "waits")], 0));
    bench.died();
    assert_eq!((bench.commands.len(), bench.reports.len()), (1, 0));
}

#[test]
fn one_that_takes_no_queries_answers_surveys_and_nothing_else() {
    let mut bench = Bench::new();
    bench.worker = Worker::new(false, 0.0, &Dispatch::default(), Rng::new(1));
    bench.desk(1, &[1], &[1]);
    assert!(bench.reports.is_empty() && bench.worker.held() == 0);
    bench.receive(&WorkMessage::Survey { epoch: Epoch(5) });
    assert_eq!(bench.report(), []);
    bench.receive(&WorkMessage::Survey { epoch: Epoch(4) });
    assert_eq!(bench.messages, [(COORDINATOR, WorkMessage::Deposed { epoch: Epoch(5) })]);
}

#[test]
fn a_refusal_is_reported_once_repeated_while_it_counts_and_never_taken_back() {
    let mut bench = Bench::new();
    bench.worker = Worker::new(true, 1.0, &Dispatch::default(), Rng::new(1));
    bench.desk(1, &[1], &[1]);
    assert_eq!((bench.report(), bench.commands.len()), (vec![(1, "refused")], 0));
    assert!(matches!(bench.seen[..], [Observation::Refused { .. }]), "{:?}", bench.seen);
    assert_eq!(bench.worker.held(), 0);
    // The same desk again, and the report lost: nothing is drawn anew, and after a while it is said again.
    bench.desk(1, &[1], &[1]);
    assert_eq!((bench.report(), bench.seen.len()), (vec![], 0));
    bench.pass(Dispatch::default().repeat);
    assert_eq!(bench.report(), [(1, "refused")]);
    bench.desk(2, &[], &[]);
    assert_eq!((bench.report(), bench.worker.deadline()), (vec![], Time::NEVER));
    bench.desk(3, &[1], &[1]);
    assert_eq!((bench.report(), bench.seen.len()), (vec![], 0), "what left the desk does not come back");
}

#[test]
fn refusals_come_as_often_as_the_node_is_told() {
    let mut bench = Bench::new();
    bench.worker = Worker::new(true, 0.3, &Dispatch::default(), Rng::new(7));
    let refused = |serial: u64| {
        bench.desk(serial, &[serial], &[serial]);
        bench.seen.iter().any(|seen| matches!(seen, Observation::Refused { .. }))
    };
    let count = (1..=2_000).map(refused).filter(|refused| *refused).count();
    assert!((540..660).contains(&count), "{count} of 2,000, seed 7");
}
