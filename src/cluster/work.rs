//! The border between a node and its engine: what the one says in the words of the other.

use crate::engine::{Event, Order, Said, Supervisor};
use crate::node::{Answer, EngineCommand, EngineEvent};

/// Passes a node's command on.
pub(super) fn command(engine: &Supervisor, command: EngineCommand) {
    match command {
        EngineCommand::Load { model } => engine.order(Order::Load { model }),
        EngineCommand::Infer { attempt, query: _, model, dataset, from, inputs } => {
            engine.order(Order::Infer { attempt, model, dataset, from, inputs });
        }
        EngineCommand::Kill => engine.kill(),
    }
}

/// What an engine lets its node know.
pub(super) fn event(event: Event) -> EngineEvent {
    match event {
        Event::Died { reason } => EngineEvent::Died { reason },
        Event::Said(Said::Loaded { model }) => EngineEvent::Loaded { model },
        Event::Said(Said::LoadFailed { model, reason }) => EngineEvent::LoadFailed { model, reason },
        Event::Said(Said::Finished { attempt, inputs, predictions, took }) => {
            let answer = Answer { inputs, predictions: predictions.into(), failed: [].into() };
            EngineEvent::Finished { attempt, answer, took }
        }
        Event::Said(Said::Failed { attempt, reason }) => EngineEvent::Failed { attempt, reason },
        Event::Said(Said::Ready) => unreachable!("the supervisor keeps this to itself"),
    }
}
