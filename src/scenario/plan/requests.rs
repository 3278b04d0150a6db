//! What clients ask beside their jobs.

use std::sync::Arc;

use crate::base::{Chunk, ChunkId, Draw, Fold, JobId, NodeId, Span};
use crate::node::{Content, Expect, FileKind, Put, Question, Request, limits};

/// A request of a client beside the submission of jobs.
///
/// A client asks one thing at a time, in the order of the file. A request about a job waits until that job was accepted,
/// and is left out when it was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPlan {
    /// When it is asked, at the earliest.
    pub at: Draw,
    /// Who asks: a job's name is the client that submitted it; any other name is a client that only asks.
    pub client: Arc<str>,
    /// What.
    pub errand: Errand,
    /// See [`JobPlan::give_up`](super::JobPlan::give_up).
    pub give_up: Option<Span>,
}

/// What a client wants beside the submission of jobs; jobs go by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// End a job for good.
    Cancel(Arc<str>),
    /// Divide what is left of a job into batches of another size.
    SetBatch {
        /// The job.
        job: Arc<str>,
        /// Inputs per query from then on.
        batch: u32,
    },
    /// Drop a job that has ended.
    Forget(Arc<str>),
    /// Give out nothing more of a job.
    Stop(Arc<str>),
    /// Go on with a stopped job.
    Resume(Arc<str>),
    /// Read how far all jobs are.
    Jobs,
    /// Divide workers by this policy from then on.
    SetPolicy(Arc<str>),
    /// Give a machine no more queries, or let it work again.
    Drain {
        /// The machine, by its name.
        node: Arc<str>,
        /// False to let it work again.
        drained: bool,
    },
    /// Make a new version of a file, whose bytes are drawn.
    Put {
        /// The file.
        file: Arc<str>,
        /// How many bytes it has.
        bytes: u64,
        /// How many versions stay.
        keep: u16,
        /// What makes its bytes different from all others': the position of the request.
        salt: u32,
    },
    /// Find the newest version of a file.
    Get(Arc<str>),
    /// Delete a file.
    Delete(Arc<str>),
}

impl Errand {
    /// What scenarios call it.
    pub fn name(&self) -> &'static str {
        match self {
            Errand::Cancel(_) => "cancel",
            Errand::SetBatch { .. } => "batch",
            Errand::Forget(_) => "forget",
            Errand::Stop(_) => "stop",
            Errand::Resume(_) => "resume",
            Errand::Jobs => "jobs",
            Errand::SetPolicy(_) => "policy",
            Errand::Drain { drained: true, .. } => "drain",
            Errand::Drain { drained: false, .. } => "undrain",
            Errand::Put { .. } => "put",
            Errand::Get(_) => "get",
            Errand::Delete(_) => "delete",
        }
    }

    /// The job that it is about.
    pub fn job(&self) -> Option<&Arc<str>> {
        match self {
            Errand::Cancel(job)
            | Errand::SetBatch { job, .. }
            | Errand::Forget(job)
            | Errand::Stop(job)
            | Errand::Resume(job) => Some(job),
            Errand::Jobs
            | Errand::SetPolicy(_)
            | Errand::Drain { .. }
            | Errand::Put { .. }
            | Errand::Get(_)
            | Errand::Delete(_) => None,
        }
    }

    /// What a client asks: about `job`, which it knows if the errand has one, or about the node that `id` says a machine runs.
    /// `None` where the job is missing.
    pub fn request(&self, job: Option<JobId>, id: impl FnOnce(&str) -> NodeId) -> Option<Request> {
        match self {
            Errand::Cancel(_) => job.map(Request::Cancel),
            Errand::SetBatch { batch, .. } => job.map(|job| Request::SetBatch { job, batch: *batch }),
            Errand::Forget(_) => job.map(Request::Forget),
            Errand::Stop(_) => job.map(Request::Stop),
            Errand::Resume(_) => job.map(Request::Resume),
            Errand::Jobs => Some(Request::Jobs),
            Errand::SetPolicy(policy) => Some(Request::SetPolicy(Arc::clone(policy))),
            Errand::Drain { node, drained } => Some(Request::Drain { node: id(node), drained: *drained }),
            Errand::Put { file, bytes, keep, salt } => Some(Request::Put(Arc::new(Put {
                name: Arc::clone(file),
                content: Arc::new(drawn(file, *bytes, *salt)),
                expect: Expect::Anything,
                keep: *keep,
            }))),
            Errand::Get(file) => {
                Some(Request::Read(Question::Locate { name: Arc::clone(file), version: None }))
            }
            Errand::Delete(file) => {
                Some(Request::Delete { name: Arc::clone(file), expect: Expect::Anything })
            }
        }
    }
}

/// The chunks of a file of so many drawn bytes, none of which is a chunk of another one.
fn drawn(file: &str, bytes: u64, salt: u32) -> Content {
    let whole = u64::from(limits::CHUNK_BYTES_MAX);
    let chunk = |number: u64| {
        let half = |half: u8| Fold::of(&("drawn", file, bytes, salt, number, half)).to_le_bytes();
        let id = std::array::from_fn(|place| half((place / 16) as u8)[place % 16]);
        Chunk { id: ChunkId(id), bytes: whole.min(bytes - number * whole) as u32 }
    };
    Content { kind: FileKind::Plain, chunks: (0..bytes.div_ceil(whole)).map(chunk).collect() }
}
