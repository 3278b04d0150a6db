//! What nodes say to each other, and what clients ask of them.
//!
//! A message is at most 64 bytes; large parts are shared behind an [`Arc`]. Any message is legal at any moment: late,
//! twice, out of order, from a node that was removed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Index, JobSpec, Outcome, Position, Seats};
use super::file::{Expect, Located, Put};
use super::question::{Question, Reading};
use super::record::Snapshot;
use super::update::ViewUpdate;
use super::view::Member;
use crate::base::{
    AttemptId, Chunk, ClusterId, Epoch, Incarnation, JobId, NodeId, QueryId, SessionId, Span, ViewId,
};

/// One message and the cluster that it belongs to; a node drops those of other clusters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// What it says.
    pub body: Body,
}

/// What a message says, by the part of the node that it speaks to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Body {
    /// Who is alive, and who belongs to the cluster.
    Membership(MembershipMessage),
    /// The quorum log among its voters and learners.
    Log(LogMessage),
    /// Dispatch and results between coordinator and workers.
    Work(WorkMessage),
    /// Client requests on their way to the coordinator, and its answers on their way back.
    Client(ClientMessage),
    /// The classic design instead of the quorum log: coordinator and standby.
    Standby(StandbyMessage),
    /// The file store: which members hold which chunks.
    Store(StoreMessage),
}

const _: () = assert!(size_of::<Message>() <= 64, "messages are copied through queues");

/// Membership and failure detection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MembershipMessage {
    /// A member to its observers, 20 times a second: "this life of mine goes on". It carries the newest reign and view
    /// that the sender knows. Not answered, unless the receiver knows that the sender was evicted ([`Self::Expelled`])
    /// or finds the sender's view newer than its own ([`Self::FetchView`]).
    Heartbeat {
        /// The newest reign that the sender knows.
        epoch: Epoch,
        /// Who leads it, as far as the sender knows.
        coordinator: Option<NodeId>,
        /// The newest view that the sender holds.
        view: ViewId,
        /// The sender's life.
        incarnation: Incarnation,
    },
    /// An observer to every voter, every 100 ms while the silence lasts. Not answered, unless the receiver has no vote
    /// ([`Self::Announce`] says who has) or knows that the sender was evicted ([`Self::Expelled`]).
    Alert {
        /// The silent member.
        subject: NodeId,
        /// The life of it that is silent.
        incarnation: Incarnation,
        /// The view in which the sender observes it.
        view: ViewId,
        /// For how long the sender, awake, has heard nothing from it; counted from the end of the grace at the earliest.
        silent_for: Span,
        /// The sender's life.
        by: Incarnation,
    },
    /// One who wants to belong to the cluster, to any member; passed on to the coordinator. Repeated until a view that
    /// contains this very life arrives ([`Self::Announce`]).
    Join(Arc<Member>),
    /// A member that leaves on purpose, to the coordinator or to one who passes it on, repeated until it is told so by
    /// [`Self::Expelled`].
    Leave {
        /// Who leaves.
        node: NodeId,
        /// The life that ends.
        incarnation: Incarnation,
    },
    /// A member to any other, twice a second, and to one who holds a newer view: "do you know a newer view, or newer seats?"
    /// Answered by [`Self::Announce`] if so; a receiver whose own view is older asks in turn.
    FetchView {
        /// The view that the sender holds.
        have: ViewId,
        /// The number of the seats that it knows.
        seats: u64,
    },
    /// The coordinator to every member after a view or seat change; anyone in answer to [`Self::FetchView`], to a
    /// [`Self::Join`] of one who is a member, and to an alert that should have gone to a voter.
    Announce(Arc<Announcement>),
    /// Anyone to a node that is not, or no longer, a member: "the life in which you speak does not belong here".
    Expelled {
        /// The life that was evicted.
        incarnation: Incarnation,
        /// The view by which the sender judges.
        view: ViewId,
    },
    /// Where members watch each other in a ring, an observer to the one that it watches, instead of the latter's heartbeats: "are
    /// you there?" A member answers with a [`Self::Heartbeat`]; otherwise it is treated like one.
    Ping {
        /// The newest reign that the sender knows.
        epoch: Epoch,
        /// Who leads it, as far as the sender knows.
        coordinator: Option<NodeId>,
        /// The newest view that the sender holds.
        view: ViewId,
        /// The sender's life.
        incarnation: Incarnation,
    },
}

/// A view together with who votes and who leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Announcement {
    /// The newest reign that the sender knows.
    pub epoch: Epoch,
    /// Who leads it.
    pub coordinator: Option<NodeId>,
    /// The view.
    pub update: ViewUpdate,
    /// The seats as the sender knows them.
    pub seats: Arc<Seats>,
}

/// The quorum log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogMessage {
    /// A voter that misses its leader, to all voters: "would you vote for me in `epoch`?" Answered by [`Self::PreVoteReply`].
    PreVote {
        /// The epoch in which the sender would stand.
        epoch: Epoch,
        /// Where the sender's log ends.
        last: Position,
    },
    /// Answer to [`Self::PreVote`]. Nobody's term or vote changes by it.
    PreVoteReply {
        /// The epoch that was asked about.
        epoch: Epoch,
        /// Whether the sender would vote so.
        granted: bool,
        /// The sender's own term.
        term: Epoch,
        /// Where the sender's log ends: a pre-candidate whose own is behind asks for the rest by [`Self::Fetch`].
        last: Position,
    },
    /// A candidate to all voters. Answered by [`Self::VoteReply`] once the vote is durable.
    Vote {
        /// The epoch in which the sender stands.
        epoch: Epoch,
        /// Where the sender's log ends.
        last: Position,
        /// True when the leader itself asked the sender to stand, so that having heard from the leader is no reason to refuse.
        transfer: bool,
    },
    /// Answer to [`Self::Vote`].
    VoteReply {
        /// The sender's term.
        epoch: Epoch,
        /// Whether the sender's vote of that term is the receiver's.
        granted: bool,
    },
    /// The leader to each voter and learner: new entries, or none as a sign of life. Answered by [`Self::AppendReply`].
    Append(Arc<Append>),
    /// Answer to [`Self::Append`], sent once the entries are durable.
    AppendReply {
        /// The sender's term.
        epoch: Epoch,
        /// The round of the append that is answered: acknowledges the leader's authority at that moment.
        round: u64,
        /// True: the sender's log agrees with the leader's up to `index`, durably. False: it does not reach or does not
        /// agree at the append's predecessor, and `index` is the last place where it may agree.
        matched: bool,
        /// See `matched`.
        index: Index,
    },
    /// A pre-candidate with a stale log to the voter that refused it: "send me what follows `after`". Answered by
    /// [`Self::Suffix`], or by [`Self::Install`] when the sender has compacted that part.
    Fetch {
        /// The requester's commit index, or the end of what it has gathered so far.
        after: Index,
    },
    /// Answer to [`Self::Fetch`]: adopted by a pre-candidate whose log ends earlier in (term, length), with the sender's term.
    Suffix(Arc<Suffix>),
    /// A leader, or the answerer of [`Self::Fetch`]: "you need my snapshot". The receiver draws it part by part with [`Self::FetchPart`].
    Install {
        /// The sender's term.
        epoch: Epoch,
        /// The last entry that the snapshot covers.
        last: Position,
        /// Its length in bytes.
        size: u64,
    },
    /// "Send me the part of the snapshot at `last` that begins at `offset`." Answered by [`Self::Part`] while that snapshot exists.
    FetchPart {
        /// Which snapshot.
        last: Position,
        /// The first byte wanted.
        offset: u64,
    },
    /// A part of at most 256 KiB of a snapshot.
    Part(Arc<Part>),
    /// A leader that hands over, to a voter whose log is complete: "stand for election now".
    TransferNow {
        /// The leader's term.
        epoch: Epoch,
    },
}

/// The body of [`LogMessage::Append`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Append {
    /// The leader's term.
    pub epoch: Epoch,
    /// Counted by the leader; the highest one that a quorum has answered proves that it still led when that round began.
    pub round: u64,
    /// The entry before the first of `entries`.
    pub previous: Position,
    /// At most 1 MiB of entries, in order without gaps.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub commit: Index,
}

/// The body of [`LogMessage::Suffix`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suffix {
    /// The sender's term.
    pub epoch: Epoch,
    /// The entry before the first of `entries`. Unless the sender was cut off for long, the receiver has it, too.
    pub previous: Position,
    /// What follows, at most 1 MiB of it.
    pub entries: Vec<Entry>,
    /// The sender's commit index.
    pub commit: Index,
}

/// The body of [`LogMessage::Part`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The sender's term.
    pub epoch: Epoch,
    /// Which snapshot.
    pub last: Position,
    /// The whole length in bytes.
    pub size: u64,
    /// Where `bytes` begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A coordinator of the classic design and its standby.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StandbyMessage {
    /// The coordinator to its standby: the state, or what is new in it. Answered by [`Self::Kept`]; repeated until then.
    Backup(Arc<Backup>),
    /// The standby to the coordinator; also anyone to one whose reign is over.
    Kept {
        /// The newest reign that the sender knows.
        epoch: Epoch,
        /// Where the sender's copy ends; the beginning of everything when it has none.
        last: Position,
    },
}

/// The body of [`StandbyMessage::Backup`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backup {
    /// The coordinator's reign.
    pub epoch: Epoch,
    /// The whole state, for one that has none of it.
    pub whole: Option<Whole>,
    /// At most 1 MiB of entries that follow, without gaps.
    pub entries: Vec<Entry>,
}

/// The whole state of a coordinator of the classic design.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Whole {
    /// The state.
    pub snapshot: Arc<Snapshot>,
    /// The members, those who have belonged longest first.
    pub seniority: Vec<NodeId>,
}

/// Coordinator and workers. Both sides speak in whole states, so that a lost or repeated message never matters: the
/// coordinator says what should be on a worker's **desk**, the worker **reports** what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkMessage {
    /// A new coordinator to every member: "this reign is mine; what do you hold?" Answered by [`Self::Report`] or
    /// [`Self::Deposed`]; repeated until then.
    Survey {
        /// The reign.
        epoch: Epoch,
    },
    /// The coordinator to a worker. Answered by [`Self::Report`] or [`Self::Deposed`]; repeated until then.
    Desk(Arc<Desk>),
    /// A worker to its coordinator: in answer to a survey or a desk, when something ended, and repeated while the
    /// coordinator has not settled a result.
    Report(Arc<Report>),
    /// A node to a coordinator of an older reign: "the cluster is at `epoch`, and I do not obey you".
    Deposed {
        /// The newest reign that the sender knows.
        epoch: Epoch,
    },
}

/// Everything that should be on one worker's desk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Desk {
    /// The reign of the coordinator that says so.
    pub epoch: Epoch,
    /// The life of the worker that it is meant for.
    pub incarnation: Incarnation,
    /// Counted per worker and reign; the worker follows the highest that it has seen.
    pub version: u64,
    /// The attempts that the worker shall hold, its unsettled results among them, in ascending order. Whatever else it holds it
    /// drops.
    pub keep: Vec<AttemptId>,
    /// Those of `keep` that the worker may not know yet, in the order in which they shall run.
    pub orders: Vec<Order>,
}

/// One attempt at a query, as a worker needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The attempt.
    pub attempt: AttemptId,
    /// The query.
    pub query: QueryId,
    /// The model to run.
    pub model: Arc<str>,
    /// The dataset that the inputs belong to.
    pub dataset: Arc<str>,
    /// The first input, counted within the job's inputs.
    pub from: u64,
    /// How many inputs.
    pub inputs: u32,
    /// An inference that takes longer than this is stuck, and its engine is killed.
    pub limit: Span,
}

/// What a worker holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// The newest reign that the worker knows.
    pub epoch: Epoch,
    /// The worker's life.
    pub incarnation: Incarnation,
    /// The newest desk of that reign that the worker has followed; 0 when none.
    pub version: u64,
    /// Everything that waits or runs, and the results that are new or overdue (all of them in answer to a survey).
    pub held: Vec<Held>,
    /// The models in its memory, in order of their names.
    pub warm: Vec<Arc<str>>,
}

/// One attempt on a worker's desk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The attempt.
    pub attempt: AttemptId,
    /// The query.
    pub query: QueryId,
    /// How far it has come.
    pub progress: Progress,
}

/// How far an attempt has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Progress {
    /// It waits for the engine.
    Waiting,
    /// It runs, or its model loads.
    Running,
    /// It ended; the result is kept until the coordinator takes the attempt off the desk.
    Ended {
        /// What came of it.
        outcome: Outcome,
        /// How long the inference took, without waiting and loading.
        took: Span,
    },
}

/// The file store. Members say which chunks they hold, the coordinator says which they should; both repeat themselves until they are
/// answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StoreMessage {
    /// A member to the coordinator: what it holds, to one whom it told nothing yet, and then what has changed. Answered by
    /// [`Self::Noted`]; nothing more is said before.
    Holds(Arc<Holds>),
    /// The coordinator to a member: "I know that."
    Noted {
        /// The coordinator's reign.
        epoch: Epoch,
        /// The life of the member.
        incarnation: Incarnation,
        /// What was said.
        serial: u64,
    },
    /// The coordinator to a member: what it shall get and what it shall drop. Answered by [`Self::Tending`] at once, and by
    /// [`Self::Holds`] for each chunk in time.
    Tend(Arc<Tend>),
    /// A member to its coordinator: "I see to it", however long that takes.
    Tending {
        /// The coordinator's reign.
        epoch: Epoch,
        /// The life of the member.
        incarnation: Incarnation,
    },
    /// A worker to its coordinator: "where are the data of this job?" Repeated until it is answered by [`Self::Found`].
    Seek {
        /// The reign whose coordinator it is meant for.
        epoch: Epoch,
        /// The job.
        job: JobId,
    },
    /// The coordinator to a worker: where the data of a job are at present.
    Found(Arc<Found>),
}

/// Where the data of a job are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Found {
    /// The job.
    pub job: JobId,
    /// The number after that of its last input.
    pub inputs_end: u64,
    /// The version of the file that it reads, and who holds what of it; `None` when it reads none.
    pub located: Option<Located>,
}

/// What changed of the chunks that a member holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holds {
    /// The reign whose coordinator it is meant for.
    pub epoch: Epoch,
    /// The member's life.
    pub incarnation: Incarnation,
    /// Counted per life of a process.
    pub serial: u64,
    /// At most 1,000.
    pub chunks: Vec<Holding>,
}

/// Whether a member holds a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holding {
    /// The chunk.
    pub chunk: Chunk,
    /// By which stamp, if it holds it: a new one each time that it was wanted.
    pub stamp: Option<u64>,
    /// Whether it does not because its disk could not take it.
    pub unwritten: bool,
}

/// What a member shall do with single chunks. Nothing is said of all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tend {
    /// The reign of the coordinator that says so.
    pub epoch: Epoch,
    /// The life of the member that it is meant for.
    pub incarnation: Incarnation,
    /// What it shall hold.
    pub fetch: Vec<Fetch>,
    /// What it shall drop if it holds it by this stamp.
    pub drop: Vec<(Chunk, u64)>,
}

/// A chunk that a member shall hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fetch {
    /// The chunk.
    pub chunk: Chunk,
    /// Who holds it.
    pub from: Vec<NodeId>,
}

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
        None => format!("there is no {name} any more"),
        Some(newest) => format!("{name} has a version {newest} already"),
    }
}
