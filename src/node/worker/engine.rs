//! What the worker knows of its inference engine: what it does, since when, and which models are in its memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::config::limits::WARM_MAX;
use super::super::io::{EngineCommand, Outbox};
use super::super::message::Order;
use super::super::observation::Observation;
use crate::base::{AttemptId, Span, Time};

/// A load that takes longer than this is stuck, and the engine is killed.
pub(super) const LOAD_LIMIT: Span = Span::secs(60);
/// A check that comes later than this after its time shows that the node itself stood still. What the engine said in the
/// meantime may still be on its way, and gets as long to arrive.
const LATE: Span = Span::millis(100);

/// The engine, which does one thing at a time.
#[derive(Debug, Default)]
pub(super) struct Engine {
    busy: Option<Busy>,
    /// The models in memory, the least recently used first.
    warm: VecDeque<Arc<str>>,
}

/// What the engine does.
#[derive(Debug)]
pub(super) struct Busy {
    /// What.
    pub task: Task,
    /// Since when.
    pub since: Time,
    /// Whether it took too long, or was not wanted any more, and the engine's death is awaited.
    pub killed: bool,
    /// Added to the time limit after this node itself stood still.
    grace: Span,
}

/// Something that an engine does.
#[derive(Debug)]
pub(super) enum Task {
    /// It brings a model into memory.
    Load(Arc<str>),
    /// It runs a query.
    Infer(Order),
    /// It runs a query whose result nobody wants any more, with this limit; or one whose result is in already.
    Unwanted(AttemptId, Span),
}

impl Engine {
    /// The order that it runs, unless nobody wants it any more.
    pub(super) fn running(&self) -> Option<&Order> {
        match self.busy.as_ref()?.task {
            Task::Infer(ref order) => Some(order),
            Task::Load(_) | Task::Unwanted(..) => None,
        }
    }

    /// The model that it loads.
    pub(super) fn loading(&self) -> Option<&Arc<str>> {
        match self.busy.as_ref()?.task {
            Task::Load(ref model) => Some(model),
            Task::Infer(_) | Task::Unwanted(..) => None,
        }
    }

    /// The models in its memory, in order of their names.
    pub(super) fn warm(&self) -> Vec<Arc<str>> {
        let mut warm: Vec<_> = self.warm.iter().cloned().collect();
        warm.sort_unstable();
        warm
    }

    /// When what it does will have taken too long. An unwanted query may take its time while nothing waits behind it.
    pub(super) fn stuck_at(&self, something_waits: bool) -> Time {
        let Some(busy) = self.busy.as_ref().filter(|busy| !busy.killed) else { return Time::NEVER };
        let limit = match busy.task {
            Task::Load(_) => LOAD_LIMIT,
            Task::Infer(ref order) => order.limit,
            Task::Unwanted(_, limit) if something_waits => limit,
            Task::Unwanted(..) => return Time::NEVER,
        };
        busy.since + limit + busy.grace
    }

    /// Kills the engine if what it does has taken too long.
    pub(super) fn check(&mut self, now: Time, something_waits: bool, out: &mut Outbox) {
        let stuck_at = self.stuck_at(something_waits);
        let Some(busy) = self.busy.as_mut().filter(|_| stuck_at <= now) else { return };
        if now.since(stuck_at) > LATE && busy.grace == Span::ZERO && !matches!(busy.task, Task::Unwanted(..))
        {
            busy.grace = now.since(stuck_at) + LATE;
            return;
        }
        busy.killed = true;
        out.engine(EngineCommand::Kill);
    }

    /// Begins with the first of `waiting` that is ready, if the engine is free. While none is, models that will be needed load.
    pub(super) fn go_on(
        &mut self,
        now: Time,
        waiting: &mut VecDeque<Order>,
        ready: impl Fn(&Order) -> bool,
        out: &mut Outbox,
    ) {
        if self.busy.is_some() {
            return;
        }
        let cold = |order: &Order| !self.warm.contains(&order.model);
        let Some(place) = waiting.iter().position(ready).or_else(|| waiting.iter().position(cold)) else {
            return;
        };
        let order = &waiting[place];
        let task = if self.touch(&order.model) {
            let order = waiting.remove(place).expect("the place is from this list");
            out.observe(Observation::Began { query: order.query, attempt: order.attempt });
            out.engine(EngineCommand::Infer {
                attempt: order.attempt,
                query: order.query,
                model: Arc::clone(&order.model),
                dataset: Arc::clone(&order.dataset),
                from: order.from,
                inputs: order.inputs,
            });
            Task::Infer(order)
        } else {
            let model = Arc::clone(&order.model);
            out.observe(Observation::Loading { model: Arc::clone(&model) });
            out.engine(EngineCommand::Load { model: Arc::clone(&model) });
            Task::Load(model)
        };
        self.busy = Some(Busy { task, since: now, killed: false, grace: Span::ZERO });
    }

    /// A model is in memory. False when that is no answer to what the engine was told last.
    pub(super) fn on_loaded(&mut self, model: &str) -> bool {
        match self.busy.as_ref() {
            // After a kill nothing stays in memory.
            Some(Busy { task: Task::Load(loading), killed: false, .. }) if **loading == *model => {
                self.warm.push_back(Arc::clone(loading));
                if self.warm.len() > WARM_MAX {
                    self.warm.pop_front();
                }
                self.busy = None;
                true
            }
            _ => false,
        }
    }

    /// A model could not be loaded. False when that is no answer to what the engine was told last.
    pub(super) fn on_load_failed(&mut self, model: &str) -> bool {
        let matches = self.loading().is_some_and(|loading| **loading == *model);
        match self.busy.as_mut().filter(|_| matches) {
            // The death that was asked for will say the same.
            Some(busy) if busy.killed => false,
            Some(_) => {
                self.busy = None;
                true
            }
            None => false,
        }
    }

    /// An inference ended. Returns its order and when it began, if that is what runs and is wanted.
    pub(super) fn on_end(&mut self, attempt: AttemptId) -> Option<(Order, Time)> {
        let busy = self.busy.take()?;
        let (order, limit) = match busy.task {
            Task::Infer(order) if order.attempt == attempt => {
                let limit = order.limit;
                (Some(order), limit)
            }
            Task::Unwanted(running, limit) if running == attempt => (None, limit),
            Task::Load(_) | Task::Infer(_) | Task::Unwanted(..) => {
                self.busy = Some(busy);
                return None;
            }
        };
        if busy.killed {
            // It ended just before it was killed: the result counts, but the engine is not free before its death.
            self.busy = Some(Busy { task: Task::Unwanted(attempt, limit), ..busy });
        }
        order.map(|order| (order, busy.since))
    }

    /// The engine died. Returns what it did.
    pub(super) fn on_death(&mut self) -> Option<Busy> {
        self.warm.clear();
        self.busy.take()
    }

    /// Nobody wants the running order any more, if `unwanted` says so; returns it then.
    pub(super) fn abandon(&mut self, unwanted: impl FnOnce(&Order) -> bool) -> Option<Order> {
        let busy = self.busy.as_mut()?;
        match &busy.task {
            Task::Infer(order) if unwanted(order) => {
                let unwanted = Task::Unwanted(order.attempt, order.limit);
                match std::mem::replace(&mut busy.task, unwanted) {
                    Task::Infer(order) => Some(order),
                    Task::Load(_) | Task::Unwanted(..) => None,
                }
            }
            Task::Infer(_) | Task::Load(_) | Task::Unwanted(..) => None,
        }
    }

    /// Kills the engine if it runs a query.
    pub(super) fn kill_inference(&mut self, out: &mut Outbox) {
        if let Some(busy) =
            self.busy.as_mut().filter(|busy| !busy.killed && !matches!(busy.task, Task::Load(_)))
        {
            busy.killed = true;
            out.engine(EngineCommand::Kill);
        }
    }

    /// Whether `model` is in memory; if so it is the most recently used from now on.
    fn touch(&mut self, model: &Arc<str>) -> bool {
        let Some(place) = self.warm.iter().position(|warm| warm == model) else { return false };
        let warm = self.warm.remove(place).expect("the place is from this list");
        self.warm.push_back(warm);
        true
    }
}
