//! What clients ask for, and what they are answered.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::entry::JobSpec;
use super::super::file::{Expect, Put};
use super::super::question::{Question, Reading};
use crate::base::{Epoch, JobId, NodeId, SessionId};

/// Clients, through whichever node they are connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientMessage {
    /// The node that a client is connected to, to the coordinator. Answered by [`Self::Answer`].
    Forward {
        /// The client's session.
        session: SessionId,
        /// The request's number within its session.
        number: u64,
        /// The request.
        request: Arc<Request>,
    },
    /// The coordinator to the node that forwarded the request.
    Answer {
        /// The client's session.
        session: SessionId,
        /// The request's number within its session.
        number: u64,
        /// The answer.
        reply: Arc<Reply>,
    },
}

/// What a client can ask. A session has one request under way at a time, numbered from 1; repeating a number repeats the
/// answer and not the deed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Request {
    /// Run a job. Answered by [`Reply::Submitted`].
    Submit(JobSpec),
    /// End a job for good; what is complete stays. Answered by [`Reply::Done`].
    Cancel(JobId),
    /// Divide what a job has left into batches of another size. Answered by [`Reply::Done`].
    SetBatch {
        /// The job.
        job: JobId,
        /// Inputs per query from now on, 1 to 10,000.
        batch: u32,
    },
    /// Drop a finished or cancelled job with its predictions. Answered by [`Reply::Done`].
    Forget(JobId),
    /// How far every job is, as of now (linearizable). Answered by [`Reply::Jobs`].
    Jobs,
    /// Give out no more queries of a job until [`Request::Resume`], and take back what workers hold; what is complete stays, and
    /// an answer that is on its way still counts. Nothing happens when it is stopped already. Answered by [`Reply::Done`].
    Stop(JobId),
    /// Go on with a stopped job; nothing happens when it is not stopped. Answered by [`Reply::Done`].
    Resume(JobId),
    /// Show something, as of now (linearizable). Answered by [`Reply::Read`].
    Read(Question),
    /// Divide workers among jobs by this policy from now on, whatever the nodes' files say. Answered by [`Reply::Done`].
    SetPolicy(Arc<str>),
    /// Give a member no more queries, and take back those that have not begun; or let it work again. It stays so whatever becomes
    /// of its membership. Answered by [`Reply::Done`].
    Drain {
        /// The member.
        node: NodeId,
        /// False to let it work again.
        drained: bool,
    },
    /// End this reign on purpose, in favour of a voter. No part of the log: whoever leads a later reign answers that it is done, so
    /// that a repeated request ends no second one. Answered by [`Reply::Done`] when the reign is over.
    HandOver {
        /// The reign that shall end.
        epoch: Epoch,
        /// Who shall lead; `None` for the voter that is closest to the end of the log.
        to: Option<NodeId>,
    },
    /// Make a new version of a file. It is written into the log once enough disks hold every chunk of it, so that its client has to
    /// bring those that nobody has; until then it waits. Answered by [`Reply::Stored`].
    Put(Arc<Put>),
    /// Forget a file with all its versions. Answered by [`Reply::Done`].
    Delete {
        /// The file.
        name: Arc<str>,
        /// What has to be so.
        expect: Expect,
    },
}

impl Request {
    /// Whether it only looks: it is answered without an entry in the log.
    pub fn is_read(&self) -> bool {
        matches!(self, Request::Jobs | Request::Read(_))
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// The job is accepted and will survive whatever a quorum survives.
    Submitted(JobId),
    /// It is done, durably.
    Done,
    /// Every job known.
    Jobs(Vec<JobStatus>),
    /// It was not done.
    Refused(Refusal),
    /// What the client wanted to see.
    Read(Arc<Reading>),
    /// The file has a new version, of this number: enough disks hold it, and its name is durable.
    Stored(u64),
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job.
    pub job: JobId,
    /// What was submitted.
    pub spec: JobSpec,
    /// Inputs complete, failed ones among them.
    pub inputs_done: u64,
    /// Inputs that ended as failures.
    pub inputs_failed: u64,
    /// Whether nothing is left to do.
    pub ended: bool,
    /// Whether a client has stopped it.
    pub stopped: bool,
    /// Inputs per query at present.
    pub batch: u32,
}

/// Why a request was not carried out. Nothing has changed, except where it says that this is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The node knows no coordinator at present. Try again, or elsewhere.
    #[error("no coordinator is known at present")]
    NoCoordinator,
    /// The coordinator lost its quorum; whether the request took effect is unknown until one returns.
    #[error("no quorum: {} of the voters {} not answer", missing.len(), if missing.len() == 1 { "does" } else { "do" })]
    NoQuorum {
        /// The voters that do not answer.
        missing: Vec<NodeId>,
    },
    /// The session is not known (any more), so that a repeated request could be carried out twice.
    #[error(
        "the session was closed because too many newer ones exist; open a new one and check what was done"
    )]
    SessionLost,
    /// The session has a later request already.
    #[error("this request is older than one that the session has already made")]
    Outdated,
    /// Too much is under way.
    #[error("too busy: the limit of {limit} {what} is reached")]
    Busy {
        /// What there is too much of.
        what: Arc<str>,
        /// The limit.
        limit: u64,
    },
    /// No such job.
    #[error("there is no {0}")]
    UnknownJob(JobId),
    /// The job is in the wrong state for this.
    #[error("{0} has not ended yet; cancel it first")]
    NotEnded(JobId),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// No such file.
    #[error("the store has no file {0}")]
    UnknownFile(Arc<str>),
    /// The file is not what the request expected.
    #[error("{}", changed(name, *newest))]
    Changed {
        /// The file.
        name: Arc<str>,
        /// Its newest version; `None` when there is no such file.
        newest: Option<u64>,
    },
    /// Too many disks have no room for a file that was to be put, or do not work.
    #[error(
        "the disks of {} are full or do not work, so that only {able} {} can hold the file, which shall be on {wanted}; make room, or \
         let such nodes leave", nodes.join(", "), if *able == 1 { "node" } else { "nodes" }
    )]
    NoRoom {
        /// The names of those who have none.
        nodes: Vec<Arc<str>>,
        /// How many others there are.
        able: u64,
        /// How many are needed.
        wanted: u64,
    },
    /// Parts of a file that was to be put did not come for a minute.
    #[error("{chunks} chunks of the file did not reach enough disks within a minute")]
    Incomplete {
        /// How many.
        chunks: u64,
    },
}

/// How a file is not what was expected.
fn changed(name: &str, newest: Option<u64>) -> String {
    match newest {
        None => format!("there is no {name}"),
        Some(newest) => format!("the newest version of {name} is {newest}"),
    }
}
