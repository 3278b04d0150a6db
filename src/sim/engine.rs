//! An inference engine, emulated: it takes the time that the model's cost profile says, and can be slow, stuck or dead.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Rng, Span, synthetic};
use crate::node::{Answer, EngineCommand, EngineEvent, Failure};
use crate::scenario::{FaultKind, Flaw, ModelPlan, NodePlan};

/// From an engine's death to the moment at which its node hears of it and of its successor: what a real one needs.
const RESTART: Span = Span::micros(2_500);
/// How long it takes to find that there is no such model.
const LOOK_UP: Span = Span::millis(1);
/// Why an input has no prediction when the model computed something that is no number.
const NOT_A_NUMBER: &str = "the prediction is not a number";

/// What an engine is busy with.
#[derive(Debug)]
enum Activity {
    Idle,
    /// It will say this when its time has come.
    Busy(EngineEvent),
    /// It runs a query that never ends.
    Stuck,
    /// It died, for this reason, and its successor starts.
    Restarting(Arc<str>),
}

/// The time until an engine speaks, and what tells this moment from those that a kill made void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) after: Span,
    pub(super) serial: u64,
}

/// How an engine stalls: with this probability, for so long, before it runs a query.
#[derive(Debug)]
struct Stalls {
    chance: f64,
    lasting: Span,
    /// A stream of its own, so that stalls shift no other draw.
    rng: Rng,
}

/// One engine.
#[derive(Debug)]
pub(super) struct Engine {
    speed: f64,
    rng: Rng,
    stalls: Stalls,
    activity: Activity,
    warm: Vec<Arc<str>>,
    serial: u64,
    /// It died, and its node has not been told yet: it may stand still.
    unheard: bool,
    slow: Vec<(u32, f64)>,
    load_failures: Vec<(u32, Option<Arc<str>>)>,
    /// Faults that wait for a query to get stuck.
    stick: Vec<u32>,
    /// Faults that make answers wrong, and how.
    bad: Vec<(u32, Flaw)>,
    /// What exactly is wrong with an answer: a stream of its own.
    flaws: Rng,
    /// Faults that repeat answers.
    repeat: Vec<u32>,
    /// The faults that are in the query that is stuck.
    stuck_by: Option<u32>,
    /// Faults that did something, each time that they did.
    pub(super) took_effect: Vec<u32>,
    /// Faults that are over, because what was stuck is gone.
    pub(super) over: Vec<u32>,
}

impl Engine {
    /// The engine of a machine.
    pub(super) fn new(machine: &NodePlan, rng: Rng) -> Engine {
        let flaws = rng.fork("flaws");
        let stalls = Stalls { chance: machine.stall, lasting: machine.stall_for, rng: rng.fork("stalls") };
        Engine {
            speed: machine.speed,
            rng,
            stalls,
            activity: Activity::Idle,
            warm: Vec::new(),
            serial: 0,
            unheard: false,
            slow: Vec::new(),
            load_failures: Vec::new(),
            stick: Vec::new(),
            bad: Vec::new(),
            flaws,
            repeat: Vec::new(),
            stuck_by: None,
            took_effect: Vec::new(),
            over: Vec::new(),
        }
    }

    /// Carries out a command of its node. One from before the node heard of the engine's death is lost, as it would be with a
    /// child process that has just died: it was meant for the dead engine. Only a kill may interrupt what runs.
    pub(super) fn command(
        &mut self,
        command: EngineCommand,
        models: &BTreeMap<Arc<str>, ModelPlan>,
    ) -> Option<Alarm> {
        if self.unheard {
            return None;
        }
        if matches!(command, EngineCommand::Kill) {
            return self.die("killed by its node");
        }
        assert!(
            matches!(self.activity, Activity::Idle),
            "a node gave its engine two things to do: {command:?} beside {:?}",
            self.activity
        );
        match command {
            EngineCommand::Load { model } => Some(self.load(model, models)),
            EngineCommand::Infer { attempt, query: _, model, dataset, from, inputs } => {
                let Some(plan) = models.get(&model).filter(|_| self.warm.contains(&model)) else {
                    let reason = format!("the model {model} is not in memory").into();
                    return Some(self.busy(LOOK_UP, EngineEvent::Failed { attempt, reason }));
                };
                let stall =
                    if self.stalls.rng.chance(self.stalls.chance) { self.stalls.lasting } else { Span::ZERO };
                let took = stall + plan.profile.query(inputs, self.pace(), &mut self.rng);
                self.took_effect.extend(self.slow.iter().map(|(fault, _)| *fault));
                if let Some(fault) = self.stick.pop() {
                    self.took_effect.push(fault);
                    self.stuck_by = Some(fault);
                    self.activity = Activity::Stuck;
                    return None;
                }
                let answer = self
                    .answer(|input| synthetic::prediction(&model, &dataset, from + u64::from(input)), inputs);
                Some(self.busy(took, EngineEvent::Finished { attempt, answer, took }))
            }
            EngineCommand::Kill => unreachable!("kills are carried out above"),
        }
    }

    /// The answer to a query of `inputs` inputs, of which `predict` says what is right.
    fn answer(&mut self, predict: impl Fn(u32) -> [u8; synthetic::PREDICTION_BYTES], inputs: u32) -> Answer {
        let predictions = |of: &dyn Fn(&u32) -> bool, inputs| -> Arc<[u8]> {
            (0..inputs).filter(of).flat_map(&predict).collect::<Vec<u8>>().into()
        };
        let Some(&(fault, flaw)) = self.bad.first() else {
            return Answer { inputs, predictions: predictions(&|_| true, inputs), failed: Arc::default() };
        };
        self.took_effect.push(fault);
        match flaw {
            Flaw::Count => {
                let inputs = if self.flaws.chance(0.5) { inputs + 1 } else { inputs - 1 };
                Answer { inputs, predictions: predictions(&|_| true, inputs), failed: Arc::default() }
            }
            Flaw::Nan => {
                let certain = self.flaws.below(u64::from(inputs)) as u32;
                let bad: Vec<u32> =
                    (0..inputs).filter(|&input| self.flaws.chance(0.5) || input == certain).collect();
                let failed = bad.iter().map(|&input| Failure { input, reason: NOT_A_NUMBER.into() });
                let is_good = |input: &u32| bad.binary_search(input).is_err();
                Answer { inputs, predictions: predictions(&is_good, inputs), failed: failed.collect() }
            }
        }
    }

    /// Whether it says this a second time.
    pub(super) fn repeats(&mut self, event: &EngineEvent) -> bool {
        let answers = matches!(event, EngineEvent::Finished { .. } | EngineEvent::Failed { .. });
        let repeats = answers && !self.repeat.is_empty();
        if repeats {
            self.took_effect.extend(&self.repeat);
        }
        repeats
    }

    fn load(&mut self, model: Arc<str>, models: &BTreeMap<Arc<str>, ModelPlan>) -> Alarm {
        let Some(plan) = models.get(&model) else {
            let reason = format!("there is no model {model}").into();
            return self.busy(LOOK_UP, EngineEvent::LoadFailed { model, reason });
        };
        let takes = plan.profile.load.sample(&mut self.rng).scaled(1.0 / self.pace());
        let concerns = |of: &Option<Arc<str>>| of.as_ref().is_none_or(|of| *of == model);
        if let Some((fault, _)) = self.load_failures.iter().find(|(_, of)| concerns(of)) {
            self.took_effect.push(*fault);
            return self
                .busy(takes, EngineEvent::LoadFailed { model, reason: "injected load failure".into() });
        }
        self.busy(takes, EngineEvent::Loaded { model })
    }

    fn pace(&self) -> f64 {
        self.slow.iter().fold(self.speed, |speed, (_, factor)| speed / factor)
    }

    fn busy(&mut self, after: Span, event: EngineEvent) -> Alarm {
        self.activity = Activity::Busy(event);
        self.alarm(after)
    }

    fn alarm(&mut self, after: Span) -> Alarm {
        self.serial += 1;
        Alarm { after, serial: self.serial }
    }

    /// What the engine says when the alarm `serial` goes off; nothing when that alarm is void.
    pub(super) fn ring(&mut self, serial: u64) -> Option<EngineEvent> {
        if serial != self.serial {
            return None;
        }
        match std::mem::replace(&mut self.activity, Activity::Idle) {
            Activity::Busy(event) => {
                if let EngineEvent::Loaded { model } = &event
                    && !self.warm.contains(model)
                {
                    self.warm.push(Arc::clone(model));
                }
                Some(event)
            }
            Activity::Restarting(reason) => Some(EngineEvent::Died { reason }),
            Activity::Idle | Activity::Stuck => unreachable!("nobody set an alarm for this"),
        }
    }

    /// The engine dies with everything it had in memory, and a new one starts. One whose death the node has not heard of yet
    /// has done nothing that could be lost.
    pub(super) fn die(&mut self, reason: &str) -> Option<Alarm> {
        if self.unheard {
            return None;
        }
        self.forget();
        self.unheard = true;
        self.activity = Activity::Restarting(reason.into());
        Some(self.alarm(RESTART))
    }

    /// The node is being told of the death: what it says from now on is meant for the new engine.
    pub(super) fn heard(&mut self) {
        self.unheard = false;
    }

    /// The machine's process died, and its engine with it.
    pub(super) fn forget(&mut self) {
        self.unheard = false;
        self.over.extend(self.stuck_by.take());
        self.warm.clear();
        self.activity = Activity::Idle;
        self.serial += 1;
    }

    /// A fault of the engine begins; it concerns what the engine is told from now on, or does at present.
    pub(super) fn suffer(&mut self, fault: u32, kind: &FaultKind) {
        match kind {
            FaultKind::Slow(factor) => self.slow.push((fault, *factor)),
            FaultKind::LoadFailure { model } => self.load_failures.push((fault, model.clone())),
            FaultKind::Stuck => self.stick(fault),
            FaultKind::BadOutput(flaw) => self.bad.push((fault, *flaw)),
            FaultKind::RepeatOutput => self.repeat.push(fault),
            _ => unreachable!("{} is no fault of an engine", kind.name()),
        }
    }

    /// The fault `fault` makes the query that runs, or the next one, never end.
    fn stick(&mut self, fault: u32) {
        if let Activity::Busy(EngineEvent::Finished { .. }) = self.activity {
            self.activity = Activity::Stuck;
            self.serial += 1;
            self.stuck_by = Some(fault);
            self.took_effect.push(fault);
        } else {
            self.stick.push(fault);
        }
    }

    /// The fault `fault` is over. What is stuck stays stuck.
    pub(super) fn heal(&mut self, fault: u32) {
        self.slow.retain(|(of, _)| *of != fault);
        self.load_failures.retain(|(of, _)| *of != fault);
        self.stick.retain(|of| *of != fault);
        self.bad.retain(|(of, _)| *of != fault);
        self.repeat.retain(|of| *of != fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AttemptId, BySize, CostProfile, Draw, Epoch, JobId, QueryId};

    fn models() -> BTreeMap<Arc<str>, ModelPlan> {
        let profile = CostProfile {
            load: Draw::Fixed(Span::millis(100)),
            setup: Draw::Fixed(Span::millis(10)),
            per_input: Draw::Fixed(Span::millis(1)),
            by_size: BySize::LINE,
        };
        BTreeMap::from([("letters".into(), ModelPlan { engine: "synthetic".into(), profile, network: None })])
    }

    fn load(model: &str) -> EngineCommand {
        EngineCommand::Load { model: model.into() }
    }

    fn infer(from: u64) -> EngineCommand {
        EngineCommand::Infer {
            attempt: AttemptId { epoch: Epoch(1), serial: 1 },
            query: QueryId { job: JobId(1), cut: 0, number: 0 },
            model: "letters".into(),
            dataset: "test".into(),
            from,
            inputs: 10,
        }
    }

    fn warm(speed: f64) -> Engine {
        let mut engine = Engine::new(&NodePlan { speed, ..NodePlan::usual(1) }, Rng::new(1));
        let alarm = engine.command(load("letters"), &models()).expect("it answers");
        assert_eq!(alarm.after, Span::millis(100).scaled(1.0 / speed));
        assert_eq!(engine.ring(alarm.serial), Some(EngineEvent::Loaded { model: "letters".into() }));
        engine
    }

    fn finish(engine: &mut Engine, from: u64) -> (Span, Answer) {
        let alarm = engine.command(infer(from), &models()).expect("it answers");
        let Some(EngineEvent::Finished { answer, took, .. }) = engine.ring(alarm.serial) else {
            panic!("it did not finish")
        };
        assert_eq!(took, alarm.after);
        (took, answer)
    }

    #[test]
    fn predictions_do_not_depend_on_who_computes_them_or_how_they_are_cut() {
        let (_, whole) = finish(&mut warm(1.0), 100);
        let (_, shifted) = finish(&mut warm(2.0), 105);
        assert_eq!(whole.predictions[20..], shifted.predictions[..20]);
        assert_ne!(whole.predictions[..20], shifted.predictions[..20]);
    }

    #[test]
    fn a_faster_machine_and_a_slow_fault_change_the_pace() {
        assert_eq!(finish(&mut warm(1.0), 0).0, Span::millis(20));
        let mut engine = warm(2.0);
        assert_eq!(finish(&mut engine, 0).0, Span::millis(10));
        engine.suffer(3, &FaultKind::Slow(4.0));
        assert_eq!(finish(&mut engine, 0).0, Span::millis(40));
        assert_eq!(engine.took_effect, [3]);
        engine.heal(3);
        assert_eq!(finish(&mut engine, 0).0, Span::millis(10));
    }

    #[test]
    fn a_killed_engine_says_so_once_and_has_forgotten_its_models() {
        let mut engine = warm(1.0);
        let running = engine.command(infer(0), &models()).expect("it answers");
        let dying = engine.command(EngineCommand::Kill, &models()).expect("it answers");
        assert_eq!(engine.ring(running.serial), None);
        assert_eq!(engine.command(EngineCommand::Kill, &models()), None, "it is dying already");
        assert!(matches!(engine.ring(dying.serial), Some(EngineEvent::Died { .. })));
        assert_eq!(engine.command(infer(0), &models()), None, "this is for the one that died");
        assert_eq!(engine.die("once more"), None, "nobody has heard of the first time");
        engine.heard();
        let alarm = engine.command(infer(0), &models()).expect("it answers");
        assert!(matches!(engine.ring(alarm.serial), Some(EngineEvent::Failed { .. })));
    }

    #[test]
    fn a_stuck_query_ends_only_with_a_kill() {
        let mut engine = warm(1.0);
        let running = engine.command(infer(0), &models()).expect("it answers");
        engine.suffer(5, &FaultKind::Stuck);
        assert_eq!(engine.ring(running.serial), None);
        assert_eq!(engine.took_effect, [5]);
        assert!(engine.over.is_empty());
        let dying = engine.command(EngineCommand::Kill, &models()).expect("it answers");
        assert_eq!(engine.over, [5]);
        assert!(engine.ring(dying.serial).is_some());
        engine.heard();
        engine.suffer(6, &FaultKind::Stuck);
        let alarm = engine.command(load("letters"), &models()).expect("loads are not concerned");
        engine.ring(alarm.serial);
        assert_eq!(engine.command(infer(0), &models()), None, "the next query is stuck");
        assert_eq!(engine.took_effect, [5, 6]);
    }

    #[test]
    fn wrong_answers_have_gaps_or_another_length() {
        let right = finish(&mut warm(1.0), 0).1;
        let (mut gaps, mut lengths) = (Vec::new(), Vec::new());
        for fault in 0..20 {
            let mut engine = warm(1.0);
            engine.flaws = Rng::new(u64::from(fault));
            engine.suffer(fault, &FaultKind::BadOutput(Flaw::Nan));
            let answer = finish(&mut engine, 0).1;
            assert_eq!(answer.inputs, 10);
            assert!(!answer.failed.is_empty(), "fault {fault}");
            let is_good =
                |input: &usize| answer.failed.iter().all(|failure| failure.input as usize != *input);
            let good: Vec<u8> = (0..10)
                .filter(is_good)
                .flat_map(|input| right.predictions[input * 4..][..4].to_vec())
                .collect();
            assert_eq!(*answer.predictions, *good, "fault {fault}");
            gaps.push(answer.failed.len());
            engine.heal(fault);
            engine.suffer(fault, &FaultKind::BadOutput(Flaw::Count));
            lengths.push(finish(&mut engine, 0).1.inputs);
            assert_eq!(engine.took_effect, [fault, fault]);
        }
        assert!(gaps.iter().any(|n| *n < 5) && gaps.iter().any(|n| *n > 5), "{gaps:?}");
        assert!(lengths.contains(&9) && lengths.contains(&11) && !lengths.contains(&10));
    }

    #[test]
    fn answers_are_repeated_and_nothing_else_is() {
        let mut engine = warm(1.0);
        let attempt = AttemptId { epoch: Epoch(1), serial: 1 };
        let failed = EngineEvent::Failed { attempt, reason: "no".into() };
        assert!(!engine.repeats(&failed));
        engine.suffer(4, &FaultKind::RepeatOutput);
        assert!(engine.repeats(&failed));
        assert!(!engine.repeats(&EngineEvent::Died { reason: "no".into() }));
        assert_eq!(engine.took_effect, [4]);
        engine.heal(4);
        assert!(!engine.repeats(&failed));
    }

    #[test]
    fn loads_fail_for_unknown_models_and_by_fault() {
        let mut engine = warm(1.0);
        let failed = |engine: &mut Engine, model: &str| {
            let alarm = engine.command(load(model), &models()).expect("it answers");
            matches!(engine.ring(alarm.serial), Some(EngineEvent::LoadFailed { .. }))
        };
        assert!(failed(&mut engine, "nonsense"));
        assert!(!failed(&mut engine, "letters"));
        engine.suffer(1, &FaultKind::LoadFailure { model: Some("other".into()) });
        assert!(!failed(&mut engine, "letters"));
        engine.suffer(2, &FaultKind::LoadFailure { model: None });
        assert!(failed(&mut engine, "letters"));
        assert_eq!(engine.took_effect, [2]);
    }
}
