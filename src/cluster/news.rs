//! What a node noticed of late, in words: what a client follows to learn what happens in a cluster.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::base::NodeId;
use crate::node::{Change, Observation, StepDown};

/// News that a node keeps; the oldest leave.
const NEWS_MAX: usize = 1_000;

/// Something that a node noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Counted per process, from 1.
    pub number: u64,
    /// When, in milliseconds since 1970, by the clock of the node's machine.
    pub at_ms: u64,
    /// What it is about: `cluster`, `job`, `engine` or `operator`.
    pub about: String,
    /// What happened.
    pub text: String,
}

/// The news of one node.
#[derive(Debug, Default)]
pub(super) struct Board {
    last: u64,
    kept: VecDeque<News>,
}

impl Board {
    /// Keeps what is worth telling of an observation; `name` is what people call a node.
    pub(super) fn note(&mut self, observation: &Observation, name: &dyn Fn(NodeId) -> String) {
        for (about, text) in told(observation, name) {
            self.last += 1;
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let at_ms = since_1970.as_millis() as u64;
            if self.kept.len() == NEWS_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(News { number: self.last, at_ms, about: about.to_owned(), text });
        }
    }

    /// The number of the newest news about this that is kept; 0 without any.
    pub(super) fn newest(&self, about: &str) -> u64 {
        self.kept.iter().rev().find(|news| news.about == about).map_or(0, |news| news.number)
    }

    /// What came after the news of this number, as far as it is kept.
    pub(super) fn after(&self, number: u64) -> Vec<News> {
        self.kept.iter().filter(|news| news.number > number).cloned().collect()
    }
}

/// An observation in words. Every query makes several, and none of these is news.
fn told(observation: &Observation, name: &dyn Fn(NodeId) -> String) -> Vec<(&'static str, String)> {
    const CLUSTER: &str = "cluster";
    let one = |about, text| vec![(about, text)];
    match observation {
        Observation::Born { incarnation } => one(CLUSTER, format!("begins its {incarnation}")),
        Observation::Stood { epoch } => {
            one(CLUSTER, format!("misses a leader and would lead term {}", epoch.0))
        }
        Observation::Led { epoch } => one(CLUSTER, format!("leads in term {}", epoch.0)),
        Observation::SteppedDown { epoch, reason } => {
            let why = match reason {
                StepDown::Superseded => "there is a later one",
                StepDown::NoQuorum => "a majority of the voters does not answer",
                StepDown::HandedOver => "it handed over",
                StepDown::Unseated => "it lost its seat",
            };
            one(CLUSTER, format!("leads no more in term {}: {why}", epoch.0))
        }
        Observation::Seated { seats } => {
            let voters: Vec<String> = seats.voters.iter().map(|&id| name(id)).collect();
            one(CLUSTER, format!("voters: {}", voters.join(", ")))
        }
        Observation::Suspected { subject, .. } => one(CLUSTER, format!("suspects {}", name(*subject))),
        Observation::Trusted { subject, .. } => one(CLUSTER, format!("hears {} again", name(*subject))),
        Observation::Expelled { .. } => one(CLUSTER, "was evicted, and joins anew".to_owned()),
        Observation::Restored { last, .. } => {
            one(CLUSTER, format!("takes over the state of entry {}", last.index))
        }
        Observation::EngineDied { reason } => one("engine", format!("the engine died: {reason}")),
        Observation::Loaded { model, ok: true } => one("engine", format!("has {model} in memory")),
        Observation::Loaded { model, ok: false } => one("engine", format!("cannot load {model}")),
        Observation::Applied { changes, .. } => {
            changes.iter().filter_map(|change| changed(change, name)).collect()
        }
        Observation::ChunkLost { chunk } => one("files", format!("has lost chunk {chunk:?}")),
        Observation::Voted { .. }
        | Observation::ChunkHeld { .. }
        | Observation::ChunkDropped { .. }
        | Observation::Placed { .. }
        | Observation::Installed { .. }
        | Observation::Opened { .. }
        | Observation::Allocated { .. }
        | Observation::Dispatched { .. }
        | Observation::Inherited { .. }
        | Observation::GaveUp { .. }
        | Observation::Arrived { .. }
        | Observation::Accepted { .. }
        | Observation::Refused { .. }
        | Observation::Dropped { .. }
        | Observation::Loading { .. }
        | Observation::Began { .. }
        | Observation::Ended { .. } => Vec::new(),
    }
}

fn changed(change: &Change, name: &dyn Fn(NodeId) -> String) -> Option<(&'static str, String)> {
    Some(match change {
        Change::FilePut { name, version, .. } => ("files", format!("{name} has version {}", version.number)),
        Change::FileDeleted { name, .. } => ("files", format!("{name} is deleted")),
        Change::JobAdded { job, spec } => {
            let inputs = spec.inputs.count();
            ("job", format!("{job} is accepted: {}, {inputs} inputs of {}", spec.name, spec.model))
        }
        Change::Recut { job, batch, .. } => {
            ("job", format!("{job} is divided into queries of {batch} inputs"))
        }
        Change::JobEnded { job, cancelled: false } => ("job", format!("{job} is complete")),
        Change::JobEnded { job, cancelled: true } => ("job", format!("{job} is cancelled")),
        Change::JobForgotten { job } => ("job", format!("{job} is forgotten")),
        Change::JobStopped { job } => ("job", format!("{job} is stopped")),
        Change::JobResumed { job } => ("job", format!("{job} goes on")),
        Change::ViewChanged { view, change } => {
            let joined = change.joined.iter().map(|member| format!("+{}", member.name));
            let gone = change.gone.iter().map(|(id, _)| format!("-{}", name(*id)));
            let all: Vec<String> = joined.chain(gone).collect();
            ("cluster", format!("{}: {}", view.id(), all.join(" ")))
        }
        Change::PolicySet { policy } => ("operator", format!("workers are divided by {policy}")),
        Change::Drained { node, drained: true } => {
            ("operator", format!("{} gets no more queries", name(*node)))
        }
        Change::Drained { node, drained: false } => ("operator", format!("{} works again", name(*node))),
        Change::Counted { .. }
        | Change::Uncounted { .. }
        | Change::Pinned { .. }
        | Change::Unpinned { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Epoch;

    #[test]
    fn news_are_numbered_and_the_oldest_leave() {
        let mut board = Board::default();
        for epoch in 1..=NEWS_MAX as u64 + 2 {
            board.note(&Observation::Led { epoch: Epoch(epoch) }, &|id| id.to_string());
        }
        let all = board.after(0);
        assert_eq!((all.len(), all[0].number, all[0].text.as_str()), (NEWS_MAX, 3, "leads in term 3"));
        assert_eq!(board.after(NEWS_MAX as u64 + 1).len(), 1);
        board.note(&Observation::Opened { epoch: Epoch(1) }, &|id| id.to_string());
        assert_eq!(board.after(NEWS_MAX as u64 + 2), []);
    }
}
