//! What clients can ask to be shown, and what they see. A question changes nothing, and its answer is as of now: a quorum has
//! confirmed after it was asked that whoever answers still leads.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{Failure, Inputs};
use super::file::{Kept, Listed, Located, Shelved};
use super::message::JobStatus;
use crate::base::{Epoch, Incarnation, JobId, NodeId, QueryId, Span, ViewId};

/// Something that a client wants to see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Question {
    /// One job with its failures. Answered by [`Reading::Job`], or refused when there is no such job.
    Job(JobId),
    /// What a job has brought so far, from this input on. Answered by [`Reading::Results`] with one page, or refused when there
    /// is no such job.
    Results {
        /// The job.
        job: JobId,
        /// The first input wanted, counted within the job's inputs.
        from: u64,
    },
    /// How far and how fast every job is. Answered by [`Reading::Stats`].
    Stats,
    /// What every worker does. Answered by [`Reading::Assignments`].
    Assignments,
    /// Who leads, who votes, and by which policy. Answered by [`Reading::Cluster`].
    Cluster,
    /// The files whose names begin so, in order. Answered by [`Reading::Files`] with one page.
    Files {
        /// How the names begin.
        prefix: Arc<str>,
        /// The last one of the page before.
        after: Option<Arc<str>>,
    },
    /// The versions of a file. Answered by [`Reading::Versions`], or refused when there is no such file.
    Versions(Arc<str>),
    /// A version of a file, and where its chunks are. Answered by [`Reading::Located`], or refused when there is no such version.
    Locate {
        /// The file.
        name: Arc<str>,
        /// Which version; `None` for the newest.
        version: Option<u64>,
    },
    /// What each member holds for the file store. Answered by [`Reading::Shelves`].
    Shelves,
}

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reading {
    /// One job.
    Job(JobReport),
    /// A page of a job's results.
    Results(Page),
    /// Every job.
    Stats(Stats),
    /// Every worker, in order of the ids.
    Assignments(Vec<Assignment>),
    /// The cluster.
    Cluster(Overview),
    /// A page of files.
    Files {
        /// The files, in order of their names.
        files: Vec<Listed>,
        /// Whether there are more.
        more: bool,
    },
    /// The versions of a file, oldest first.
    Versions(Vec<Kept>),
    /// A version of a file, and where its chunks are.
    Located(Located),
    /// What the members hold, in order of their ids.
    Shelves(Vec<Shelved>),
}

/// One job, with what is known of it beside its progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobReport {
    /// How far it is.
    pub status: JobStatus,
    /// The file and the version that it reads, as in `store:letters@3`; `None` when that is no file of the store, and after its end.
    pub reads: Option<Arc<str>>,
    /// For how long it has been known, in cluster time.
    pub age: Span,
    /// Whether a client cancelled it.
    pub cancelled: bool,
    /// How many queries it has; those that a change of the batch size made void are left out.
    pub queries: u32,
    /// How many of them are counted.
    pub queries_counted: u32,
    /// The inputs that failed, in order; neighbours that failed for the same reason stand together. At most
    /// [`FAILURES_MAX`](super::limits::FAILURES_MAX) of these, the first ones.
    pub failures: Vec<Failed>,
}

/// Neighbouring inputs that failed for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failed {
    /// The first, counted within the job's inputs.
    pub from: u64,
    /// How many.
    pub inputs: u64,
    /// Why.
    pub reason: Arc<str>,
}

/// Results of neighbouring queries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Page {
    /// The counted queries, in the order of their inputs.
    pub queries: Vec<Counted>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<u64>,
    /// Whether nothing more will come.
    pub ended: bool,
}

/// What one counted query brought.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counted {
    /// Its first input, counted within the job's inputs.
    pub from: u64,
    /// How many inputs, failed ones among them.
    pub inputs: u32,
    /// The predictions of those that did not fail, in order, encoded by the engine.
    pub predictions: Arc<[u8]>,
    /// Those that failed.
    pub failed: Arc<[Failure]>,
}

impl Counted {
    /// How many inputs have a prediction.
    pub fn answered(&self) -> usize {
        (self.inputs as usize).saturating_sub(self.failed.len())
    }

    /// What became of each input, by its number within the job: its prediction, or why there is none. All predictions of an engine have
    /// the same length.
    pub fn outcomes(&self) -> Vec<(u64, Result<&[u8], &str>)> {
        let width = self.predictions.len() / self.answered().max(1);
        let mut failed = self.failed.iter().peekable();
        let mut place = 0;
        let one = |input: u32| {
            let outcome = if let Some(failure) = failed.next_if(|failure| failure.input == input) {
                Err(&*failure.reason)
            } else {
                place += width;
                Ok(self.predictions.get(place - width..place).unwrap_or_default())
            };
            (self.from + u64::from(input), outcome)
        };
        (0..self.inputs).map(one).collect()
    }
}

/// How far and how fast every job is. Numbers of queries and inputs come from the ledger; durations and the recent rate are what
/// this coordinator has seen since its reign began.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stats {
    /// For how long this coordinator has counted.
    pub counting: Span,
    /// The jobs, in order.
    pub jobs: Vec<JobStats>,
}

/// How far and how fast one job is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobStats {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: Arc<str>,
    /// Its model.
    pub model: Arc<str>,
    /// What becomes of it.
    pub state: JobState,
    /// Inputs per query at present.
    pub batch: u32,
    /// How many inputs it has.
    pub inputs: u64,
    /// Inputs complete, failed ones among them.
    pub inputs_done: u64,
    /// Inputs that ended as failures.
    pub inputs_failed: u64,
    /// How many queries it has.
    pub queries: u32,
    /// Queries that are counted.
    pub queries_counted: u32,
    /// Queries that were counted within the last `recent_over`.
    pub recent: u64,
    /// 10 s, or since the reign began if that is shorter.
    pub recent_over: Span,
    /// How long inference took, without waiting and loading.
    pub took: Took,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobState {
    /// Workers work on it, or it waits for them.
    Running,
    /// A client has stopped it.
    Stopped,
    /// Every query is counted.
    Complete,
    /// A client cancelled it.
    Cancelled,
}

/// A distribution of durations, each within 1 %. All are zero without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Took {
    /// How many there were.
    pub samples: u64,
    /// Their mean.
    pub mean: Span,
    /// Their standard deviation.
    pub std: Span,
    /// Half took no longer.
    pub p50: Span,
    /// Nine in ten took no longer.
    pub p90: Span,
    /// 95 in a hundred took no longer.
    pub p95: Span,
    /// 99 in a hundred took no longer.
    pub p99: Span,
    /// The longest.
    pub max: Span,
}

/// What one worker does, as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assignment {
    /// The worker.
    pub worker: NodeId,
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Its life.
    pub incarnation: Incarnation,
    /// Whether it is suspect.
    pub suspect: bool,
    /// Whether it shall get no more queries.
    pub drained: bool,
    /// The job that it serves, and for how long.
    pub serving: Option<(JobId, Span)>,
    /// The query that it runs, as far as one can tell from afar, and for how long.
    pub running: Option<(QueryId, Span)>,
    /// Queries that it holds, the running one among them.
    pub held: u32,
    /// The last query that it answered in this reign.
    pub last: Option<Last>,
    /// The models in its memory.
    pub warm: Vec<Arc<str>>,
}

/// A query that a worker has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Last {
    /// The query.
    pub query: QueryId,
    /// How long inference took.
    pub took: Span,
    /// How long ago the answer came.
    pub ago: Span,
}

/// Who leads, who votes, and by which policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Overview {
    /// The reign.
    pub epoch: Epoch,
    /// Who leads.
    pub leader: NodeId,
    /// For how long.
    pub reign: Span,
    /// The view.
    pub view: ViewId,
    /// Those who hold the log: voters in order, then learners.
    pub seats: Vec<Seat>,
    /// The policy in force.
    pub policy: Arc<str>,
    /// The members that shall get no queries, in order.
    pub drained: Vec<NodeId>,
}

/// One who holds the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seat {
    /// The node.
    pub node: NodeId,
    /// Its name; `None` when it is no member at present.
    pub name: Option<Arc<str>>,
    /// Whether it votes; otherwise it learns.
    pub votes: bool,
    /// How many entries it is behind the leader; `None` when it has not answered in this reign.
    pub lag: Option<u64>,
    /// For how long it has not answered the leader.
    pub silence: Span,
}

impl Inputs {
    /// The name of an input, counted within the job's inputs: its own, or that of the dataset with its number there.
    pub fn name(&self, input: u64) -> Option<Arc<str>> {
        match self {
            Inputs::Range { dataset, from, count } => {
                (input < *count).then(|| format!("{dataset}:{}", from + input).into())
            }
            Inputs::Names(names) => names.get(usize::try_from(input).ok()?).cloned(),
        }
    }
}
