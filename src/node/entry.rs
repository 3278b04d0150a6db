//! What the quorum log holds: entries, seats, commands to the ledger, and the values that they carry.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::limits::{FAILURE_BYTES_MAX, PREDICTION_BYTES_MAX};
use super::message::Request;
use super::view::ViewChange;
use crate::base::{AttemptId, Epoch, Fold, NodeId, QueryId, SessionId, Time};

/// A place in the log, from 1; 0 is "before the first entry".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Index(pub u64);

impl Index {
    /// The next place.
    #[must_use]
    pub const fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The place before; the place before the first is 0, and 0 stays.
    #[must_use]
    pub const fn previous(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

impl std::fmt::Display for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("#{}", self.0))
    }
}

/// An entry named by the term that made it and its place. Of two logs, the one whose last position compares greater is
/// the more complete one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The term that made the entry.
    pub epoch: Epoch,
    /// Its place.
    pub index: Index,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Its term and place.
    pub position: Position,
    /// Cluster time when it was made: never less than its predecessor's.
    pub at: Time,
    /// What it says.
    pub payload: Arc<Payload>,
}

impl Entry {
    /// A digest of everything in the entry.
    pub fn digest(&self) -> u128 {
        Fold::of(self)
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a new leader's first entry, whose commit commits everything before it.
    Noop,
    /// Who votes from here on; in force as soon as it is appended.
    Seats(Arc<Seats>),
    /// A change of the replicated state.
    Command(Command),
}

/// Who holds the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seats {
    /// Counted per seat change, from 1; the higher number is the newer fact.
    pub number: u64,
    /// Those whose majority decides, in order.
    pub voters: Vec<NodeId>,
    /// Those who receive the log without a vote, in order.
    pub learners: Vec<NodeId>,
    /// The seat that passes from one node to another; both are among the voters meanwhile.
    #[serde(default)]
    pub passing: Option<Passing>,
}

/// A seat passes from one node to another. Meanwhile two majorities decide together: one of the voters as they were, and one of the voters as
/// they will be. So nothing can be decided without those who would have decided before, nor without those who will after (joint consensus,
/// Ongaro and Ousterhout, 2014).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Passing {
    /// Who loses it.
    pub from: NodeId,
    /// Who gets it.
    pub to: NodeId,
}

impl Seats {
    /// How many voters make a majority; while a seat passes, how many do of those before and of those after.
    pub fn quorum(&self) -> usize {
        (self.voters.len() - usize::from(self.passing.is_some())) / 2 + 1
    }

    /// Whether those of whom `is_there` holds can decide.
    pub fn is_quorum(&self, is_there: impl Fn(NodeId) -> bool) -> bool {
        let there = |out: Option<NodeId>| {
            self.voters.iter().filter(|&&id| Some(id) != out && is_there(id)).count() >= self.quorum()
        };
        self.left_out().all(there)
    }

    /// The highest value that a quorum has reached, each voter `of` its own; `None` without voters.
    pub fn reached<T: Ord>(&self, of: impl Fn(NodeId) -> T) -> Option<T> {
        let by = |out: Option<NodeId>| {
            let mut values: Vec<T> =
                self.voters.iter().filter(|&&id| Some(id) != out).map(|&id| of(id)).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            values.into_iter().nth(self.quorum() - 1)
        };
        self.left_out().map(by).min().flatten()
    }

    /// Of which voters a majority is needed: of all but one each time, or of all.
    fn left_out(&self) -> impl Iterator<Item = Option<NodeId>> {
        let (first, second) = match self.passing {
            None => (None, None),
            Some(Passing { from, to }) => (Some(to), Some(Some(from))),
        };
        std::iter::once(first).chain(second)
    }
}

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// The membership changes.
    ChangeView(ViewChange),
    /// A client's request; `session` and `number` make sure that it takes effect once.
    Request {
        /// The client's session.
        session: SessionId,
        /// The request's number in it.
        number: u64,
        /// The request.
        request: Arc<Request>,
    },
    /// Queries ended. Of several completions of one query the first counts, here and everywhere.
    Complete(Vec<Completion>),
}

/// The end of one query by one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Completion {
    /// The query.
    pub query: QueryId,
    /// The attempt that brought the answer.
    pub attempt: AttemptId,
    /// Who ran it.
    pub worker: NodeId,
    /// The predictions.
    pub answer: Answer,
}

/// The predictions of one query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// How many inputs it covers, failed ones among them.
    pub inputs: u32,
    /// What the engine predicted, encoded by the engine: at most 64 bytes per input.
    pub predictions: Arc<[u8]>,
    /// The inputs without a prediction, in order.
    pub failed: Arc<[Failure]>,
}

impl Answer {
    /// What is wrong with it as the answer to a query of `inputs` inputs; `None` when nothing is.
    pub(super) fn flaw(&self, inputs: u32) -> Option<String> {
        let size = self.predictions.len();
        if self.inputs != inputs {
            return Some(format!("the answer covers {} inputs instead of {inputs}", self.inputs));
        }
        // What failed has a reason instead, which takes its place.
        let size_max = (inputs as usize).saturating_sub(self.failed.len()) * PREDICTION_BYTES_MAX;
        if size > size_max {
            return Some(format!("the predictions take {size} bytes, and at most {size_max} are allowed"));
        }
        let ordered = self.failed.is_sorted_by(|a, b| a.input < b.input);
        if !ordered || self.failed.last().is_some_and(|failure| failure.input >= inputs) {
            return Some("the failed inputs are out of order or out of range".to_owned());
        }
        None
    }
}

/// An input that ended without a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Which input, counted within the query.
    pub input: u32,
    /// Why.
    pub reason: Arc<str>,
}

impl Failure {
    /// `reason` is cut at [`FAILURE_BYTES_MAX`], so that the failures of a whole query fit into one entry.
    pub(super) fn new(input: u32, reason: &Arc<str>) -> Failure {
        let reason = match reason.floor_char_boundary(FAILURE_BYTES_MAX) {
            end if end < reason.len() => reason[..end].into(),
            _ => Arc::clone(reason),
        };
        Failure { input, reason }
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Predictions.
    Answered(Answer),
    /// Nothing, for a reason that may not repeat: the engine died, the model did not load, the batch was stuck.
    Failed(Arc<str>),
    /// Nothing, because the worker refused the order when it came. That says nothing about the query.
    Refused,
}

/// What a client submits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// A name for people.
    pub name: Arc<str>,
    /// The model to run.
    pub model: Arc<str>,
    /// What to run it on.
    pub inputs: Inputs,
    /// Inputs per query, 1 to 10,000.
    pub batch: u32,
    /// Its share relative to other jobs, more than 0; 1 is usual.
    pub weight: f64,
    /// Jobs of a higher priority go first where a policy has a meaning for it; 0 is usual.
    pub priority: i32,
}

impl Eq for JobSpec {}

impl Hash for JobSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.model, &self.inputs, self.batch, self.weight.to_bits(), self.priority).hash(state);
    }
}

/// The inputs of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Inputs {
    /// A range of a dataset's inputs.
    Range {
        /// The dataset.
        dataset: Arc<str>,
        /// The first input.
        from: u64,
        /// How many, at most 2³² of them.
        count: u64,
    },
    /// At most 10,000 inputs by name.
    Names(Arc<[Arc<str>]>),
}

impl Inputs {
    /// How many inputs there are.
    pub fn count(&self) -> u64 {
        match self {
            Inputs::Range { count, .. } => *count,
            Inputs::Names(names) => names.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(&*Failure::new(3, &"engine died".into()).reason, "engine died");
        let long = "ä".repeat(40);
        assert_eq!(Failure::new(3, &format!("x{long}").into()).reason.len(), 63);
    }

    #[test]
    fn what_failed_has_a_reason_or_a_prediction_and_not_both() {
        let failed: Arc<[Failure]> = vec![Failure::new(1, &"unreadable".into())].into();
        let answer =
            |bytes| Answer { inputs: 2, predictions: vec![0; bytes].into(), failed: Arc::clone(&failed) };
        assert_eq!(answer(64).flaw(2), None);
        assert!(answer(65).flaw(2).is_some());
    }
}
