//! The settings of a node. All nodes of a cluster should have the same.

use std::sync::Arc;

use super::mutant::{Mutant, Planted};
use crate::base::Span;
use crate::policy::{Options, Policy};

/// Everything about a node that can be chosen.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Failure detection and membership.
    pub membership: Membership,
    /// The quorum log.
    pub failover: Failover,
    /// Giving queries to workers.
    pub dispatch: Dispatch,
    /// Dividing workers among jobs.
    pub scheduler: Scheduler,
    /// Files and their copies.
    pub store: Store,
    /// A bug, planted to see that it is found; none by default, and none ever in release builds.
    pub planted: Planted,
}

impl Config {
    /// Whether this bug is planted.
    pub const fn has(&self, mutant: Mutant) -> bool {
        self.planted.has(mutant)
    }
}

/// Failure detection and membership.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// Who watches whom, and how. Default [`Detector::Observers`].
    pub kind: Detector,
    /// Time between two heartbeats to each observer, or between two pings of a ring. Default 50 ms.
    pub heartbeat: Span,
    /// How long an observer hears nothing before it alerts the voters. Default 250 ms, at least two heartbeats.
    pub suspect_after: Span,
    /// How long a member is suspect before it is evicted. Default 2 s.
    pub evict_after: Span,
    /// Distinct observers of each member, 1 to 16; in a ring there is one, whatever this says. Default 5.
    pub observers: u8,
}

/// How failures are detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detector {
    /// Everyone sends heartbeats to several observers, and a majority of these decides.
    #[default]
    Observers,
    /// The classic design: everyone pings its neighbour in a ring and waits for the answer, and decides alone.
    Ring,
}

impl Membership {
    /// How many observers each member has, if there are as many others.
    pub fn observers_each(&self) -> u8 {
        match self.kind {
            Detector::Observers => self.observers,
            Detector::Ring => 1,
        }
    }

    /// How long it takes to evict a member that falls silent. Whoever does not answer the coordinator for as long gets no queries,
    /// although it stays a member where its observers hear it.
    pub fn patience(&self) -> Span {
        self.suspect_after + self.evict_after
    }
}

impl Default for Membership {
    fn default() -> Membership {
        Membership {
            kind: Detector::Observers,
            heartbeat: Span::millis(50),
            suspect_after: Span::millis(250),
            evict_after: Span::secs(2),
            observers: 5,
        }
    }
}

/// What keeps the state when machines die: the quorum log, unless said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Failover {
    /// Which design. Default [`FailoverMode::Log`].
    pub mode: FailoverMode,
    /// With a standby, the time between two backups to it; zero, the default, is at every operation.
    pub backup_every: Span,
    /// With a standby, who that is. Default [`StandbyRule::Earliest`].
    pub standby: StandbyRule,
    /// The shortest time without a leader after which a voter asks to be elected; the longest is twice that. Default 250 ms.
    pub election: Span,
    /// Time between two signs of life of the leader to each voter. Default 75 ms, so that three have to be lost before a voter
    /// misses the leader; at most half of `election`.
    pub beat: Span,
    /// Entries applied between two snapshots. Default 4,096.
    pub snapshot_every: u64,
    /// How many voters the cluster shall have: 1, 3, 5 or 7. `None`: 1 with one or two members, 3 from 3, 5 from 5, 7 from 10 up.
    pub voters: Option<u8>,
}

impl Default for Failover {
    fn default() -> Failover {
        Failover {
            mode: FailoverMode::Log,
            backup_every: Span::ZERO,
            standby: StandbyRule::Earliest,
            election: Span::millis(250),
            beat: Span::millis(75),
            snapshot_every: 4096,
            voters: None,
        }
    }
}

/// What keeps the state when machines die.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailoverMode {
    /// A quorum of voters.
    #[default]
    Log,
    /// The classic design: one hot standby that takes over when membership says that the coordinator is dead. **Not safe**: it
    /// splits its brain when the network parts, and forgets what it was not sent.
    Standby,
}

/// Who is the standby in the classic design. A coordinator chooses when it begins, and again when its standby is dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StandbyRule {
    /// The member that has belonged longest.
    #[default]
    Earliest,
    /// The coordinator's next neighbour in the ring.
    Successor,
    /// The machine of this name and no other.
    Named(Arc<str>),
}

impl Failover {
    /// How many voters a cluster of `members` shall have.
    ///
    /// With a standby it is one, the coordinator.
    pub fn voters_for(&self, members: usize) -> usize {
        if self.mode == FailoverMode::Standby {
            return 1;
        }
        let fitting = match members {
            0..=2 => 1,
            3..=4 => 3,
            5..=9 => 5,
            _ => 7,
        };
        self.voters.map_or(fitting, usize::from).min(members.max(1))
    }
}

/// Giving queries to workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// Who begins. Default [`DispatchMode::Push`].
    pub mode: DispatchMode,
    /// Queries that a worker holds at most, the running one among them, 1 to 64. `None`: at least 2 and enough for 2 ms of work,
    /// but no more than 16, and 1 when workers ask.
    pub window: Option<u8>,
    /// How often a query whose attempts fail is tried again before its inputs end as failures. Refusals are counted apart, up
    /// to the same limit, after which the inputs end as failures for the reason "refused". Default 3.
    pub retries_max: u32,
    /// How long a query that was refused waits before it is given to a worker again; when workers ask, also how long one that got
    /// nothing waits before it asks again. Default 50 ms.
    pub backoff: Span,
    /// Whether a query that runs unusually long, or is among a job's last, is given to an idle worker as well. Default true.
    pub hedge: bool,
    /// After how long at most an unanswered desk or survey and an unsettled result are repeated. The first time it is a fifth of that,
    /// because a message may have been lost; each further time twice as long as the last. Default 100 ms, which suits networks
    /// where an answer takes less than 20 ms.
    pub repeat: Span,
    /// How long a new coordinator waits for workers to say what they hold. Default 50 ms.
    pub survey: Span,
}

/// How many times shorter than the longest wait for an answer the first one is.
const FIRST_WAIT: u64 = 5;

/// How long to wait for an answer before one asks again, after a wait of `before`: twice as long, but no longer than `repeat`.
/// `None` or nothing before: the first wait.
pub(super) fn longer(before: Option<Span>, repeat: Span) -> Span {
    match before {
        Some(before) if before > Span::ZERO => (before * 2).min(repeat),
        Some(_) | None => repeat / FIRST_WAIT,
    }
}

/// Who begins when a worker has room for a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DispatchMode {
    /// The coordinator, which gives out queries as soon as they wait.
    #[default]
    Push,
    /// The worker: its reports ask for work, and work is given in answer to them only.
    Pull,
}

impl Default for Dispatch {
    fn default() -> Dispatch {
        Dispatch {
            mode: DispatchMode::Push,
            window: None,
            retries_max: 3,
            backoff: Span::millis(50),
            hedge: true,
            repeat: Span::millis(100),
            survey: Span::millis(50),
        }
    }
}

/// Files and their copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// How many members keep each chunk, 1 to 16; fewer where there are fewer. Default 4, so that three disks can be lost at once.
    pub copies: u8,
    /// Bytes that a worker keeps of what queries read of files, beside its share of the copies. Default 1 GiB. What the queries
    /// at hand need stays even if that is more.
    pub cache: u64,
}

impl Default for Store {
    fn default() -> Store {
        Store { copies: 4, cache: 1 << 30 }
    }
}

/// Dividing workers among jobs.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// The policy. Default `rate_balance`.
    pub policy: Arc<dyn Policy>,
    /// What a policy that is chosen while the cluster runs is made with.
    pub options: Options,
    /// The window over which recent rates and durations are measured. Default 10 s.
    pub rate_window: Span,
}

impl Default for Scheduler {
    fn default() -> Scheduler {
        Scheduler {
            policy: crate::policy::default(),
            options: Options::default(),
            rate_window: Span::secs(10),
        }
    }
}

/// The limits that no setting changes. Whatever exceeds one is refused, and said so.
pub mod limits {
    use crate::base::Span;

    /// How long the first attempt at a query may take before anything is known about its job; one that takes longer is stuck.
    /// Each further attempt may take twice as long.
    pub const QUERY_UNKNOWN_MAX: Span = Span::secs(60);
    /// Later on a query is stuck when it takes this many times what one in a hundred takes, or as the slowest of a few.
    pub const STUCK_FACTOR: u64 = 20;
    /// The time that an attempt may take is doubled at most this often.
    pub const DOUBLINGS_MAX: u32 = 6;
    /// Client sessions remembered; the least recently used leaves.
    pub const SESSIONS_MAX: usize = 10_000;
    /// Jobs that the ledger holds, ended ones that were not forgotten among them.
    pub const JOBS_MAX: usize = 10_000;
    /// Inputs of one job.
    pub const INPUTS_MAX: u64 = 1 << 32;
    /// Queries of one job: inputs divided by batch.
    pub const QUERIES_MAX: u64 = 10_000_000;
    /// Changes of one job's batch size.
    pub const CUTS_MAX: u32 = 10_000;
    /// Bytes of predictions that the ledger holds before it takes no more jobs; forgetting jobs makes room.
    pub const RESULT_BYTES_MAX: u64 = 4 << 30;
    /// The weight of a job, which is above 0.
    pub const WEIGHT_MAX: f64 = 1e6;
    /// The priority of a job, up and down.
    pub const PRIORITY_MAX: i32 = 1_000;
    /// Bytes of the name of a job.
    pub const JOB_NAME_BYTES_MAX: usize = 200;
    /// Bytes of text in one submission: its names, model, dataset and inputs.
    pub const SPEC_BYTES_MAX: usize = 512 << 10;
    /// Inputs of a job that are given by name.
    pub const NAMES_MAX: usize = 10_000;
    /// Bytes of prediction per input.
    pub const PREDICTION_BYTES_MAX: usize = 64;
    /// Inputs per query: the predictions of one query fit into one entry of the log.
    pub const BATCH_MAX: u32 = 10_000;
    /// Bytes of the reason why one input failed.
    pub const FAILURE_BYTES_MAX: usize = 64;
    /// Client requests that a coordinator has under way.
    pub const REQUESTS_MAX: usize = 10_000;
    /// Bytes of log entries in one message.
    pub const APPEND_BYTES_MAX: usize = 1 << 20;
    /// Bytes of one part of a snapshot.
    pub const PART_BYTES: usize = 256 << 10;
    /// Queries that a worker may hold.
    pub const WINDOW_MAX: u8 = 64;
    /// Queries and unsettled results together that a worker may hold.
    pub const UNSETTLED_MAX: usize = 4096;
    /// Models that a worker keeps in memory; the least recently used leaves.
    pub const WARM_MAX: usize = 8;
    /// Arrivals and departures that one view change takes.
    pub const VIEW_CHANGE_MAX: usize = 1_000;
    /// Members that are out of work by [`Request::Drain`](super::super::Request::Drain).
    pub const DRAINED_MAX: usize = 1_000;
    /// Groups of failed inputs that one answer names.
    pub const FAILURES_MAX: usize = 1_000;
    /// Failed inputs that are looked at for one answer.
    pub const FAILURE_LOOKS_MAX: usize = 1_000_000;
    /// Bytes of predictions and reasons after which a page of results is full.
    pub const PAGE_BYTES_MAX: usize = 256 << 10;
    /// Queries on one page of results.
    pub const PAGE_QUERIES_MAX: usize = 4_096;
    /// Queries that are looked at for one page of results.
    pub const PAGE_LOOKS_MAX: usize = 100_000;
    /// Different questions that one round of reads answers; the others are answered in the next one.
    pub const QUESTIONS_MAX: usize = 64;
    /// Ended jobs whose durations a coordinator still knows.
    pub const TALLIES_MAX: usize = 256;
    /// Bytes of a chunk: all chunks of a file but the last have so many.
    pub const CHUNK_BYTES_MAX: u32 = 4 << 20;
    /// Chunks of one file: 32 GiB.
    pub const FILE_CHUNKS_MAX: usize = 8_192;
    /// Chunks of all files together, counted once where files share them: 1 TiB.
    pub const CHUNKS_MAX: usize = 262_144;
    /// Files.
    pub const FILES_MAX: usize = 100_000;
    /// Bytes of a file's name.
    pub const NAME_BYTES_MAX: usize = 1_024;
    /// Bytes of what stands between two slashes of it: the most that usual file systems allow.
    pub const PART_BYTES_MAX: usize = 255;
    /// Versions of one file.
    pub const VERSIONS_KEPT_MAX: u16 = 1_000;
    /// Files on one page of a list.
    pub const LISTED_MAX: usize = 1_000;
    /// Files that clients may be putting at the same time.
    pub const PUTS_MAX: usize = 64;
    /// Chunks that a member says of in one message whether it holds them.
    pub const HOLDS_MAX: usize = 1_000;
    /// Chunks that a member fetches at the same time.
    pub const FETCHES_MAX: usize = 4;
    /// Queries whose data a worker fetches at the same time; those of the next ones come first.
    pub const STAGED_MAX: usize = 4;
    /// How often a worker fails to get the data of a query before the attempt fails.
    pub const STAGE_TRIES_MAX: u8 = 2;
}
