//! Random desks, surveys, reigns, losses and engine moods, with every promise of the worker checked at each step.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::Rng;

/// One worker between a coordinator that changes its mind, a network that loses, repeats and reorders, and an engine
/// that fails, dies and gets stuck.
struct Storm {
    seed: u64,
    rng: Rng,
    now: Time,
    facts: WorkerFacts,
    worker: Worker,
    /// Messages under way to the worker.
    net: Vec<WorkMessage>,
    /// The coordinator: its reign, last desk, what shall be on it, and what it has been told.
    epoch: Epoch,
    version: u64,
    serial: u64,
    keep: Vec<Order>,
    ended: BTreeSet<AttemptId>,
    engine: Machine,
    ledger: Seen,
    calm: bool,
}

/// The engine itself.
#[derive(Default)]
struct Machine {
    doing: Option<EngineCommand>,
    killed: bool,
    stuck: bool,
    memory: BTreeSet<Arc<str>>,
    /// Events that were delivered once and may come again.
    past: Vec<EngineEvent>,
}

/// What the worker's observations and commands have shown so far.
#[derive(Default)]
struct Seen {
    newest: Epoch,
    accepted: BTreeSet<AttemptId>,
    began: BTreeSet<AttemptId>,
    over: BTreeMap<AttemptId, &'static str>,
    kills: usize,
    surveys: usize,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        Storm {
            seed,
            rng: Rng::new(seed).fork("worker"),
            now: Time(1),
            facts: Bench::new().facts,
            worker: Worker::new(true, 0.2, &Dispatch::default(), Rng::new(seed).fork("refusals")),
            net: Vec::new(),
            epoch: Epoch(5),
            version: 0,
            serial: 0,
            keep: Vec::new(),
            ended: BTreeSet::new(),
            engine: Machine::default(),
            ledger: Seen::default(),
            calm: false,
        }
    }

    fn step(&mut self, step: impl FnOnce(&mut Worker, Time, WorkerFacts, &mut Outbox)) {
        self.ledger.newest = self.ledger.newest.max(self.facts.epoch);
        let mut out = Outbox::new();
        step(&mut self.worker, self.now, self.facts, &mut out);
        for effect in out.drain() {
            match effect {
                Effect::Send { message, .. } => {
                    if self.calm || self.rng.chance(0.7) {
                        self.hear(&message.body);
                    }
                }
                Effect::Engine(command) => self.command(command),
                Effect::Observe(observation) => self.observe(&observation),
                other => panic!("seed {}: a worker does {other:?}", self.seed),
            }
        }
    }

    /// The coordinator takes in what the worker says.
    fn hear(&mut self, body: &Body) {
        if let Body::Work(WorkMessage::Report(report)) = body {
            assert!(report.held.iter().filter(|held| held.progress == Progress::Running).count() <= 1);
            for held in &report.held {
                if matches!(held.progress, Progress::Ended { .. }) {
                    self.ended.insert(held.attempt);
                }
            }
        }
    }

    fn command(&mut self, command: EngineCommand) {
        let seed = self.seed;
        if command == EngineCommand::Kill {
            assert!(self.engine.doing.is_some() && !self.engine.killed, "seed {seed}: a kill for nothing");
            self.engine.killed = true;
            self.ledger.kills += 1;
            return;
        }
        assert_eq!(self.engine.doing, None, "seed {seed}: two things at once");
        if let EngineCommand::Infer { attempt, model, .. } = &command {
            assert!(self.engine.memory.contains(model), "seed {seed}: {model} is cold");
            assert!(self.ledger.accepted.contains(attempt), "seed {seed}: nobody ordered {attempt}");
            assert_eq!(self.ledger.over.get(attempt), None, "seed {seed}: {attempt} is over");
            assert!(self.ledger.began.insert(*attempt), "seed {seed}: {attempt} runs twice");
        }
        self.engine.doing = Some(command);
        self.engine.stuck = !self.calm && self.rng.chance(0.05);
    }

    fn observe(&mut self, observation: &Observation) {
        let seed = self.seed;
        match observation {
            Observation::Accepted { attempt, epoch, .. } => {
                assert!(*epoch >= self.ledger.newest, "seed {seed}: obeys {epoch}");
                self.ledger.newest = *epoch;
                assert!(self.ledger.accepted.insert(*attempt), "seed {seed}: {attempt} is accepted twice");
            }
            Observation::Refused { attempt, epoch, .. } => {
                assert!(*epoch >= self.ledger.newest, "seed {seed}: obeys {epoch}");
                self.ledger.newest = *epoch;
                assert!(self.ledger.accepted.insert(*attempt), "seed {seed}: {attempt} is refused late");
                assert_eq!(self.ledger.over.insert(*attempt, "refused"), None, "seed {seed}: {attempt}");
            }
            Observation::Dropped { attempt, .. } => {
                assert_ne!(
                    self.ledger.over.insert(*attempt, "dropped"),
                    Some("dropped"),
                    "seed {seed}: {attempt}"
                );
            }
            Observation::Ended { attempt, .. } => {
                assert_eq!(self.ledger.over.insert(*attempt, "ended"), None, "seed {seed}: {attempt}");
            }
            _ => {}
        }
    }

    /// The engine gets on with what it does.
    fn run_engine(&mut self) {
        if !self.calm && self.rng.chance(0.1) && !self.engine.past.is_empty() {
            let past = self.rng.below(self.engine.past.len() as u64) as usize;
            let event = self.engine.past[past].clone();
            return self.step(|worker, now, facts, out| worker.engine(now, event, facts, out));
        }
        let dies = self.engine.killed && self.rng.chance(0.7) || !self.calm && self.rng.chance(0.02);
        if dies {
            self.engine = Machine { past: std::mem::take(&mut self.engine.past), ..Machine::default() };
            let event = EngineEvent::Died { reason: "signal 9".into() };
            return self.step(|worker, now, facts, out| worker.engine(now, event, facts, out));
        }
        if self.engine.stuck {
            return;
        }
        let fails = self.rng.chance(0.1);
        let event = match self.engine.doing.take() {
            None => return,
            Some(EngineCommand::Load { model }) if fails => {
                EngineEvent::LoadFailed { model, reason: "unreadable".into() }
            }
            Some(EngineCommand::Load { model }) => {
                self.engine.memory.insert(Arc::clone(&model));
                EngineEvent::Loaded { model }
            }
            Some(EngineCommand::Infer { attempt, .. }) if fails => {
                EngineEvent::Failed { attempt, reason: "nan".into() }
            }
            Some(EngineCommand::Infer { attempt, inputs, .. }) => {
                let answer = Answer { inputs, ..Answer::default() };
                EngineEvent::Finished { attempt, answer, took: Span(7) }
            }
            Some(EngineCommand::Kill) => unreachable!("a kill is not something that it does"),
        };
        if self.engine.killed {
            // It ended while the kill was under way; the death follows.
            self.engine.doing = Some(EngineCommand::Kill);
            self.engine.stuck = true;
        }
        // A load that is repeated could answer a later one; the engine sends each once.
        if !matches!(event, EngineEvent::Loaded { .. } | EngineEvent::LoadFailed { .. }) {
            self.engine.past.push(event.clone());
        }
        self.step(|worker, now, facts, out| worker.engine(now, event, facts, out));
    }

    /// The coordinator writes a new desk.
    fn write_desk(&mut self) {
        let (ended, rng) = (&self.ended, &mut self.rng);
        let calm = self.calm;
        self.keep.retain(|order| calm || !rng.chance(if ended.contains(&order.attempt) { 0.7 } else { 0.1 }));
        while !self.calm && self.keep.len() < 8 && self.rng.chance(0.7) {
            self.serial += 1;
            let model = ["a", "b", "c"][self.rng.below(3) as usize];
            let attempt = AttemptId { epoch: self.epoch, serial: self.serial };
            self.keep.push(Order { attempt, ..order(self.serial, model) });
        }
        self.version += 1;
        let desk = Desk {
            epoch: self.epoch,
            incarnation: self.facts.incarnation,
            version: self.version,
            keep: self.keep.iter().map(|order| order.attempt).collect(),
            orders: self.keep.iter().filter(|order| order.attempt.epoch == self.epoch).cloned().collect(),
        };
        self.net.push(WorkMessage::Desk(Arc::new(desk)));
    }

    fn deliver(&mut self) {
        if self.net.is_empty() {
            return;
        }
        let place = self.rng.below(self.net.len() as u64) as usize;
        let message = self.net[place].clone();
        if self.calm || self.rng.chance(0.7) {
            self.net.swap_remove(place);
        }
        if !self.calm && self.rng.chance(0.1) {
            return;
        }
        if let WorkMessage::Survey { epoch } = message {
            self.ledger.newest = self.ledger.newest.max(epoch);
            self.ledger.surveys += 1;
        }
        self.step(|worker, now, facts, out| worker.receive(now, COORDINATOR, &message, facts, out));
    }

    fn new_reign(&mut self) {
        self.epoch = self.epoch.next();
        (self.version, self.serial) = (0, 0);
        self.net.push(WorkMessage::Survey { epoch: self.epoch });
    }

    fn expel(&mut self) {
        self.step(|worker, now, _, out| worker.expel(now, out));
        self.facts.incarnation = self.facts.incarnation.next();
        self.keep.clear();
        self.version = 0;
        for attempt in &self.ledger.accepted {
            assert!(self.ledger.over.contains_key(attempt), "seed {}: {attempt} survives", self.seed);
        }
    }

    fn act(&mut self) {
        match self.rng.below(100) {
            0..20 => self.write_desk(),
            20..50 => self.deliver(),
            50..80 => self.run_engine(),
            80..84 => self.new_reign(),
            84..88 => self.facts.epoch = self.epoch,
            88 => self.expel(),
            89 => self.facts.member = !self.facts.member,
            _ => self.pass(),
        }
    }

    fn pass(&mut self) {
        let to_deadline = self.worker.deadline().0.saturating_sub(self.now.0);
        let span = if self.rng.chance(0.5) { to_deadline.min(1 << 40) } else { self.rng.below(50_000_000) };
        self.now += Span(span);
        self.step(Worker::wake);
        assert!(self.worker.deadline() > self.now, "seed {}: a deadline that is never met", self.seed);
    }

    /// Everything works again; what the last desk keeps must end up reported.
    fn settle(&mut self) {
        (self.calm, self.facts.member, self.facts.epoch) = (true, true, self.epoch);
        self.net.clear();
        self.write_desk();
        self.deliver();
        // A stuck load takes a minute to be noticed, and steps are 100 ms and less.
        for _ in 0..5000 {
            if self.worker.held() == 0 {
                break;
            }
            self.run_engine();
            self.pass();
        }
        let end = self.now + Dispatch::default().repeat;
        while self.now < end {
            self.pass();
        }
        for order in &self.keep {
            let attempt = order.attempt;
            let dropped = self.ledger.over.get(&attempt) == Some(&"dropped");
            // Of an earlier reign the worker may hold less than the coordinator believes.
            let due = attempt.epoch == self.epoch || self.ledger.accepted.contains(&attempt) && !dropped;
            assert!(!due || self.ended.contains(&attempt), "seed {}: {attempt} is never reported", self.seed);
        }
        assert_eq!(self.worker.held(), 0, "seed {}", self.seed);
    }
}

#[test]
fn whatever_happens_the_worker_keeps_its_promises() {
    let (mut ended, mut dropped, mut kills, mut surveys) = (0, 0, 0, 0);
    for seed in 0..500 {
        let mut storm = Storm::new(seed);
        for _ in 0..400 {
            storm.act();
        }
        storm.settle();
        dropped += storm.ledger.over.values().filter(|over| **over == "dropped").count();
        ended += storm.ledger.over.values().filter(|over| **over == "ended").count();
        kills += storm.ledger.kills;
        surveys += storm.ledger.surveys;
    }
    let done = [ended, dropped, kills, surveys];
    assert!(done.iter().all(|&n| n > 500), "the storm does too little: {done:?}");
}
