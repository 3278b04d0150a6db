//! What a node lets the outside see of itself. Observations change nothing; history, checker and reports are made of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, JobSpec, Position, Seats};
use super::file::{Content, Version};
use super::view::{View, ViewChange};
use crate::base::{AttemptId, ChunkId, Epoch, Incarnation, JobId, NodeId, QueryId, ViewId};

/// Something that a node did or noticed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Observation {
    /// A life began: its record is durable, and the node may speak.
    Born {
        /// The life.
        incarnation: Incarnation,
    },
    /// It misses its leader and asks whether it would be elected in this epoch.
    Stood {
        /// The epoch it would lead.
        epoch: Epoch,
    },
    /// It gave its vote (the vote is told to no one before it is durable).
    Voted {
        /// The term.
        epoch: Epoch,
        /// For whom.
        candidate: NodeId,
    },
    /// It was elected.
    Led {
        /// Its reign.
        epoch: Epoch,
    },
    /// It no longer leads.
    SteppedDown {
        /// The reign that ended.
        epoch: Epoch,
        /// Why.
        reason: StepDown,
    },
    /// The seats in force changed: by an append, by a truncation, or by a snapshot.
    Seated {
        /// The seats.
        seats: Arc<Seats>,
    },
    /// It applied a committed entry.
    Applied {
        /// The entry.
        entry: Entry,
        /// What the entry did to the replicated state.
        changes: Arc<[Change]>,
        /// A digest of the whole replicated state after it.
        state: u128,
    },
    /// It replaced its state by a snapshot.
    Restored {
        /// The last entry that the snapshot covers.
        last: Position,
        /// A digest of the whole replicated state.
        state: u128,
    },
    /// As a voter: a majority of this member's observers hear nothing from it.
    Suspected {
        /// The member.
        subject: NodeId,
        /// Its life.
        incarnation: Incarnation,
    },
    /// As a voter: a suspected member is heard again.
    Trusted {
        /// The member.
        subject: NodeId,
        /// Its life.
        incarnation: Incarnation,
    },
    /// It acts by this view from now on.
    Installed {
        /// The view.
        view: ViewId,
        /// A digest of its members.
        digest: u128,
    },
    /// It learned that its life was evicted, dropped its queries, and will join as a new one.
    Expelled {
        /// The life that was evicted.
        incarnation: Incarnation,
    },
    /// As coordinator: it knows what the workers hold and dispatches from now on.
    Opened {
        /// Its reign.
        epoch: Epoch,
    },
    /// As coordinator: how many workers each running job shall have.
    Allocated {
        /// Workers per job, in order of the jobs.
        workers: Arc<[(JobId, u32)]>,
    },
    /// As coordinator: it gave a query to a worker.
    Dispatched {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
        /// The worker.
        worker: NodeId,
        /// The worker's life.
        incarnation: Incarnation,
        /// Why now, and why there.
        reason: Dispatch,
    },
    /// As coordinator: a worker told it, in answer to a survey, that it holds this attempt of an earlier reign.
    Inherited {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
        /// The worker.
        worker: NodeId,
    },
    /// As coordinator: it expects nothing from an attempt any more.
    GaveUp {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        reason: GiveUp,
    },
    /// As coordinator: an attempt's result arrived, which frees its slot.
    Arrived {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
        /// Whether it brought predictions.
        answered: bool,
    },
    /// As worker: it took an order.
    Accepted {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
        /// The reign that ordered it.
        epoch: Epoch,
    },
    /// As worker: it refused an order, which ends the attempt before it began.
    Refused {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
        /// The reign that ordered it.
        epoch: Epoch,
    },
    /// As worker: it dropped an attempt that its coordinator no longer wants, or all of them because it was expelled.
    Dropped {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// As worker: a model begins to load.
    Loading {
        /// The model.
        model: Arc<str>,
    },
    /// As worker: the load ended.
    Loaded {
        /// The model.
        model: Arc<str>,
        /// Whether the model is in memory now.
        ok: bool,
    },
    /// As worker: the engine began with a query.
    Began {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// As worker: an attempt ended.
    Ended {
        /// The query.
        query: QueryId,
        /// The attempt.
        attempt: AttemptId,
        /// Why it brought no predictions; `None` when it did.
        error: Option<Arc<str>>,
    },
    /// As worker: its engine died.
    EngineDied {
        /// Why.
        reason: Arc<str>,
    },
    /// A chunk of the file store is on its disk: from now on, or since before its process began.
    ChunkHeld {
        /// Which.
        chunk: ChunkId,
    },
    /// It drops a chunk, because the coordinator says so.
    ChunkDropped {
        /// Which.
        chunk: ChunkId,
    },
    /// A chunk is missing on its disk, or damaged.
    ChunkLost {
        /// Which.
        chunk: ChunkId,
    },
    /// As coordinator: so many disks hold every chunk of a file, which it proposes now.
    Placed {
        /// The file.
        name: Arc<str>,
        /// What it will hold.
        content: Arc<Content>,
        /// At least so many disks hold each chunk.
        copies: u8,
        /// The members that copies are counted on: the others are suspect, deaf, or have no room.
        live: u32,
    },
}

/// Why a leader stopped leading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepDown {
    /// It heard of a later epoch.
    Superseded,
    /// A majority of the voters did not answer for an election time-out.
    NoQuorum,
    /// It handed over on purpose.
    HandedOver,
    /// It lost its seat or its membership.
    Unseated,
}

/// Why a query was dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dispatch {
    /// It was its turn.
    Turn,
    /// Its last attempt failed or was refused.
    Retry,
    /// The worker that holds it is suspect.
    Suspect,
    /// The worker that held it is no longer a member, or lives a new life.
    Gone,
    /// It takes unusually long, or the job is nearly done: a second attempt beside the first.
    Hedge,
    /// It was taken back from a worker, because the allocation changed.
    Moved,
}

/// Why a coordinator expects nothing from an attempt any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GiveUp {
    /// Its worker is no longer a member, or lives a new life.
    Gone,
    /// Its worker does not hold it.
    Lost,
    /// Another attempt was counted first, or the job is cancelled, or its cut is void.
    Settled,
    /// It was taken back before it ran.
    Withdrawn,
}

/// What a committed entry did to the replicated state. The same on every node that applies it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// A job was accepted.
    JobAdded {
        /// The job.
        job: JobId,
        /// What was submitted.
        spec: Arc<JobSpec>,
    },
    /// What a job has left was divided anew; older queries from `boundary` on are void.
    Recut {
        /// The job.
        job: JobId,
        /// The new cut.
        cut: u32,
        /// The first input of the new cut.
        boundary: u64,
        /// Inputs per query from there on.
        batch: u32,
    },
    /// A query was counted.
    Counted {
        /// The query.
        query: QueryId,
        /// The attempt that brought it.
        attempt: AttemptId,
        /// Who ran it.
        worker: NodeId,
        /// The first input.
        from: u64,
        /// How many inputs.
        inputs: u32,
        /// How many of them failed.
        failed: u32,
    },
    /// A completion was not counted.
    Uncounted {
        /// The query.
        query: QueryId,
        /// The attempt that brought it.
        attempt: AttemptId,
        /// Why not.
        reason: Uncounted,
    },
    /// A job has nothing left to do.
    JobEnded {
        /// The job.
        job: JobId,
        /// True when a client cancelled it.
        cancelled: bool,
    },
    /// A job and its predictions were dropped.
    JobForgotten {
        /// The job.
        job: JobId,
    },
    /// A client stopped a job.
    JobStopped {
        /// The job.
        job: JobId,
    },
    /// A stopped job goes on.
    JobResumed {
        /// The job.
        job: JobId,
    },
    /// The membership changed.
    ViewChanged {
        /// The new view.
        view: Arc<View>,
        /// What changed.
        change: Arc<ViewChange>,
    },
    /// A client chose a policy.
    PolicySet {
        /// Its name.
        policy: Arc<str>,
    },
    /// A client took a member out of work, or let it work again.
    Drained {
        /// The member.
        node: NodeId,
        /// False when it works again.
        drained: bool,
    },
    /// A file has a new version.
    FilePut {
        /// The file.
        name: Arc<str>,
        /// The version.
        version: Arc<Version>,
        /// Older versions that do not stay.
        gone: Vec<Arc<Version>>,
    },
    /// A file was deleted.
    FileDeleted {
        /// The file.
        name: Arc<str>,
        /// Its versions.
        gone: Vec<Arc<Version>>,
    },
    /// A job reads this version of a file: its chunks stay until the job has ended, whatever becomes of the file.
    Pinned {
        /// The job.
        job: JobId,
        /// What it reads.
        version: Arc<Version>,
    },
    /// A job that read a file has ended.
    Unpinned {
        /// The job.
        job: JobId,
        /// What it read.
        version: Arc<Version>,
    },
}

/// Why a completion was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Uncounted {
    /// The query was counted before.
    Duplicate,
    /// The query belongs to a cut that a later one made void, or does not exist.
    Void,
    /// The job was cancelled or forgotten.
    NoJob,
}
