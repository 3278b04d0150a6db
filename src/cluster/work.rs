//! The border between a node and its engine: what the one says in the words of the other.

use std::sync::Arc;

use crate::base::AttemptId;
use crate::engine::{Event, Failed, Order, Said, Supervisor};
use crate::node::{Answer, Body, EngineCommand, EngineEvent, Failure, Message, STORED, WorkMessage};

/// The most letters of a file's name that are shown.
const FILE_LETTERS_MAX: usize = 24;

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

/// The essential part of why a model cannot be loaded, without folders: few letters are left where it is shown.
fn essence(reason: &str) -> Arc<str> {
    let reason = reason.split_once(" does not fit: ").map_or(reason, |(_, why)| why);
    let word = |word: &str| {
        let Some(path) = word.strip_prefix('/') else { return word.to_owned() };
        let name = path.rsplit('/').next().unwrap_or(path);
        // Such as that of an imported file, which says nothing to anybody.
        let long = name.trim_end_matches(':').len() > FILE_LETTERS_MAX;
        let colon = if name.ends_with(':') { ":" } else { "" };
        if long { format!("its file{colon}") } else { name.to_owned() }
    };
    reason.split(' ').map(word).collect::<Vec<_>>().join(" ").into()
}

/// What an engine lets its node know.
pub(super) fn event(event: Event) -> EngineEvent {
    match event {
        Event::Died { reason } => EngineEvent::Died { reason },
        Event::Said(Said::Loaded { model }) => EngineEvent::Loaded { model },
        Event::Said(Said::LoadFailed { model, reason }) => {
            tracing::warn!(%model, %reason, "cannot be loaded");
            EngineEvent::LoadFailed { model, reason: essence(&reason) }
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

#[cfg(test)]
mod tests {
    use super::essence;

    #[test]
    fn of_why_a_model_does_not_load_the_essence_is_told() {
        let imported = format!("/home/me/models/photos/{}.safetensors: Permission denied", "0a".repeat(32));
        assert_eq!(&*essence(&imported), "its file: Permission denied");
        assert_eq!(
            &*essence("/models/a/w.pt is no sound TorchScript: empty"),
            "w.pt is no sound TorchScript: empty"
        );
        assert_eq!(&*essence("/m/w.safetensors does not fit: fc1.weight holds I32"), "fc1.weight holds I32");
        assert_eq!(&*essence("this node knows no such model"), "this node knows no such model");
    }
}
