//! The border between a node and its engine: what the one says in the words of the other.

use crate::base::AttemptId;
use crate::engine::{Event, Failed, Order, Said, Supervisor};
use crate::node::{Answer, Body, EngineCommand, EngineEvent, Failure, Message, STORED, WorkMessage};

/// Passes a node's command on. What a network reads of the store it is told to find where it was staged; what only takes time, by the
/// name that is the same everywhere.
pub(super) fn command(
    engine: &Supervisor,
    command: EngineCommand,
    staged: impl FnOnce(&str, AttemptId) -> Option<String>,
) {
    match command {
        EngineCommand::Load { model } => engine.order(Order::Load { model }),
        EngineCommand::Infer { attempt, query: _, model, dataset, from, inputs } => {
            let stored = dataset.starts_with(STORED);
            let dataset = stored.then(|| staged(&model, attempt)).flatten().map_or(dataset, Into::into);
            engine.order(Order::Infer { attempt, model, dataset, from, inputs });
        }
        EngineCommand::Kill => engine.kill(),
    }
}

/// Lets an engine know what a message will make of it: the node has to decide first, and the engine can decode meanwhile.
pub(super) fn expect(engine: &Supervisor, message: &Message) {
    if let Body::Work(WorkMessage::Desk(desk)) = &message.body {
        for order in desk.orders.iter().filter(|order| !order.dataset.starts_with(STORED)) {
            engine.expect(&order.model, &order.dataset, order.from, order.inputs);
        }
    }
}

/// What an engine lets its node know.
pub(super) fn event(event: Event) -> EngineEvent {
    match event {
        Event::Died { reason } => EngineEvent::Died { reason },
        Event::Said(Said::Loaded { model }) => EngineEvent::Loaded { model },
        Event::Said(Said::LoadFailed { model, reason }) => {
            tracing::warn!(%model, %reason, "cannot be loaded");
            EngineEvent::LoadFailed { model, reason }
        }
        Event::Said(Said::Finished { attempt, inputs, predictions, failed, took }) => {
            let failure = |one: Failed| Failure { input: one.input, reason: one.reason };
            let failed = failed.into_iter().map(failure).collect();
            let answer = Answer { inputs, predictions: predictions.into(), failed };
            EngineEvent::Finished { attempt, answer, took }
        }
        Event::Said(Said::Failed { attempt, reason }) => EngineEvent::Failed { attempt, reason },
        Event::Said(Said::Ready) => unreachable!("the supervisor keeps this to itself"),
    }
}
