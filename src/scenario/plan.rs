//! A scenario, checked: everything a driver needs to carry it out, with nothing left to guess.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Chunk, ChunkId, CostProfile, Draw, Fold, JobId, Network, NodeId, Span};
use crate::node::{Config, Content, DispatchMode, Expect, FileKind, JobSpec, Put, Question, Request, limits};
#[cfg(debug_assertions)]
use crate::node::{Mutant, Planted};
use crate::policy::{Options, Policy, by_name};

/// How many times the longest expected load and query a run may take without counting a query.
const WORK_FACTOR: f64 = 10.0;

/// A checked scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name; results land under it.
    pub name: String,
    /// A sentence on what to look for.
    pub about: String,
    /// The seed of trial 0; trial `i` uses `seed + i`.
    pub seed: u64,
    /// How many trials, at least 1.
    pub trials: u32,
    /// When a trial ends.
    pub until: Until,
    /// Once faults are over: the time within which the cluster must be whole again and have finished what it accepted.
    pub liveness_within: Span,
    /// The machines, at least 1, with distinct names.
    pub nodes: Vec<NodePlan>,
    /// The nodes' settings.
    pub config: Arc<Config>,
    /// What the policy in `config` was made with.
    pub options: Options,
    /// The network between them.
    pub network: NetworkPlan,
    /// Their disks.
    pub disk: DiskPlan,
    /// The models that jobs may name.
    pub models: BTreeMap<Arc<str>, ModelPlan>,
    /// Jobs submitted at planned times, in the order of the file.
    pub jobs: Vec<JobPlan>,
    /// Streams of jobs that arrive at random times.
    pub arrivals: Vec<Arrivals>,
    /// What clients ask beside their jobs, in the order of the file.
    pub requests: Vec<RequestPlan>,
    /// The faults, in the order of the file.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// The same with a bug planted in every node. Release builds have no such function, and no file can say it.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn planted(mut self, mutant: Mutant) -> Plan {
        Arc::make_mut(&mut self.config).planted = Planted::with(mutant);
        self
    }

    /// The longest that an engine may stand still before it runs a query.
    pub fn stall_max(&self) -> Span {
        let stalls = self.nodes.iter().filter(|node| node.worker && node.stall > 0.0);
        stalls.map(|node| node.stall_for).max().unwrap_or(Span::ZERO)
    }

    /// The longest that a query may be put off while a worker is free: by refusals, until one of them is the last, and by
    /// workers that ask for work only now and then.
    pub fn put_off_max(&self) -> Span {
        let dispatch = &self.config.dispatch;
        let pause = dispatch.backoff + dispatch.repeat;
        let refused = if self.nodes.iter().any(|node| node.worker && node.refuse > 0.0) {
            u64::from(dispatch.retries_max) + 1
        } else {
            0
        };
        let unasked = u64::from(dispatch.mode == DispatchMode::Pull);
        pause * (refused + unasked)
    }

    /// How long it may take until queries of a job are found to be stuck, one attempt after another, where a healthy query takes at most
    /// `longest`. Every failure doubles the time that the next attempt may take.
    pub fn stuck_max(&self, longest: Span) -> Span {
        let stuck = self.faults.iter().filter(|fault| fault.kind == FaultKind::Stuck);
        let times: usize = stuck.map(|fault| fault.target.machines_max(self.nodes.len())).sum();
        let attempts = u64::from(self.config.dispatch.retries_max) + 1;
        let times = attempts.min(times as u64);
        // Attempts that fail for other reasons come first at worst.
        let fails = |fault: &Fault| {
            matches!(
                fault.kind,
                FaultKind::LoadFailure { .. } | FaultKind::EngineDeath | FaultKind::BadOutput(_)
            )
        };
        let first = if self.faults.iter().any(fails) { attempts - times } else { 0 };
        let limit = limits::QUERY_UNKNOWN_MAX.max(longest * limits::STUCK_FACTOR);
        let doubled = |failures: u64| limit * (1 << failures.min(limits::DOUBLINGS_MAX.into()));
        (first..first + times).fold(Span::ZERO, |sum, failures| sum + doubled(failures))
    }

    /// What is submitted, each with the largest batch size that a client ever asks for.
    pub fn batches_max(&self) -> impl Iterator<Item = (&JobSpec, u32)> {
        let streams = self.arrivals.iter().map(|stream| &stream.spec);
        self.jobs.iter().map(|job| &job.spec).chain(streams).map(|spec| {
            let asked = self.requests.iter().filter_map(|request| match &request.errand {
                Errand::SetBatch { job, batch } => Some(*batch).filter(|_| *job == spec.name),
                Errand::Cancel(_)
                | Errand::Forget(_)
                | Errand::Stop(_)
                | Errand::Resume(_)
                | Errand::Jobs
                | Errand::SetPolicy(_)
                | Errand::Drain { .. }
                | Errand::Put { .. }
                | Errand::Get(_)
                | Errand::Delete(_) => None,
            });
            (spec, asked.fold(spec.batch, u32::max))
        })
    }

    /// The policies by which workers are divided, at first or after a client's request.
    pub fn policies(&self) -> impl Iterator<Item = Arc<dyn Policy>> {
        let scheduler = &self.config.scheduler;
        let chosen = self.requests.iter().filter_map(|request| match &request.errand {
            Errand::SetPolicy(name) => by_name(name, &scheduler.options),
            Errand::Cancel(_)
            | Errand::Forget(_)
            | Errand::Stop(_)
            | Errand::Resume(_)
            | Errand::Jobs
            | Errand::SetBatch { .. }
            | Errand::Drain { .. }
            | Errand::Put { .. }
            | Errand::Get(_)
            | Errand::Delete(_) => None,
        });
        std::iter::once(Arc::clone(&scheduler.policy)).chain(chosen)
    }

    /// The models that cannot be rehearsed, since nobody says how long they take.
    pub fn unmeasured(&self) -> impl Iterator<Item = &Arc<str>> {
        let unmeasured = self
            .models
            .iter()
            .filter(|(_, model)| model.network.is_some() && model.profile == CostProfile::UNKNOWN);
        unmeasured.map(|(name, _)| name)
    }

    /// How long a run may go without progress while jobs are unfinished.
    pub fn patience(&self) -> Span {
        self.liveness_within + self.slow_writes() + self.allowance()
    }

    /// How long a write may take that was begun under a fault that slows disks, generously: it goes on when the fault is over.
    pub fn slow_writes(&self) -> Span {
        let delay = |fault: &Fault| {
            if let FaultKind::SlowDisk(delay) = &fault.kind { Some(delay.mean() * 2) } else { None }
        };
        self.faults.iter().filter_map(delay).max().unwrap_or(Span::ZERO)
    }

    /// How long the plan's slowest load and query may take, generously: while they run nothing is counted.
    fn allowance(&self) -> Span {
        let workers = self.nodes.iter().filter(|node| node.worker);
        let mut pace = workers.map(|node| node.speed).fold(f64::INFINITY, f64::min);
        for fault in &self.faults {
            if let FaultKind::Slow(factor) = fault.kind {
                pace /= factor.max(1.0);
            }
        }
        let profiles = self.batches_max().filter_map(|(spec, batch)| {
            let profile = self.models.get(&spec.model)?.profile;
            let usual = (profile.load.mean() + profile.query_mean(batch)).scaled(WORK_FACTOR);
            Some((usual, profile.load.rarely_exceeded() + profile.query_rarely_exceeded(batch)))
        });
        let most =
            |(usual, rare): (Span, Span), (one, other): (Span, Span)| (usual.max(one), rare.max(other));
        let (usual, rare) = profiles.fold((Span::ZERO, Span::ZERO), most);
        let injected = self.stall_max().scaled(WORK_FACTOR) + self.put_off_max();
        // What is found to be stuck is measured by queries that are usual, not by those that hardly ever come.
        let (usual, rare) = (usual.scaled(1.0 / pace), rare.scaled(1.0 / pace));
        usual.max(rare) + injected + self.stuck_max(usual)
    }
}

/// When a trial ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When every job has ended, every fault is over, and the cluster is whole again.
    Done,
    /// At this time, whatever has happened.
    At(Span),
}

/// One machine.
#[derive(Clone, Debug, PartialEq)]
pub struct NodePlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: Arc<str>,
    /// How fast it infers, relative to the models' profiles; more than 0.
    pub speed: f64,
    /// Whether it takes queries.
    pub worker: bool,
    /// How likely it refuses a query, 0 to 1.
    pub refuse: f64,
    /// How likely its engine stands still for `stall_for` before it runs a query, 0 to 1.
    pub stall: f64,
    /// See `stall`.
    pub stall_for: Span,
}

impl NodePlan {
    /// The machine number `number`, from 1, of a cluster whose machines are all alike: named `n1`, `n2`, …, of the kind
    /// `cpu`, of speed 1, a worker that refuses nothing and never stalls.
    pub fn usual(number: usize) -> NodePlan {
        NodePlan {
            name: format!("n{number}").into(),
            kind: "cpu".into(),
            speed: 1.0,
            worker: true,
            refuse: 0.0,
            stall: 0.0,
            stall_for: Span::secs(3),
        }
    }
}

/// The network: every message is delayed, lost, doubled and reordered on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPlan {
    /// One-way delay.
    pub latency: Draw,
    /// Probability that a message is lost.
    pub loss: f64,
    /// Probability that a message arrives twice.
    pub duplicate: f64,
    /// Probability that a message is held back by up to ten further latencies, so that later ones overtake it.
    pub reorder: f64,
    /// Bytes per second that a machine can send; `None` is without limit.
    pub bandwidth: Option<u64>,
}

/// The disks.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskPlan {
    /// How long it takes to make writes durable.
    pub sync: Draw,
}

/// A model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPlan {
    /// What runs it on real nodes: `synthetic` or `torch`.
    pub engine: Arc<str>,
    /// What it costs.
    pub profile: CostProfile,
    /// The network that `torch` runs; `None` of the synthetic engine.
    pub network: Option<Network>,
}

/// A job that is submitted at a planned time.
#[derive(Clone, Debug, PartialEq)]
pub struct JobPlan {
    /// When the client asks.
    pub at: Draw,
    /// How long it waits for an answer before it gives up and never learns the outcome; `None`: for ever.
    pub give_up: Option<Span>,
    /// What it submits.
    pub spec: JobSpec,
}

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
    /// See [`JobPlan::give_up`].
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

/// A stream of jobs that differ only in their names and arrival times. The first arrives at `from`, or one gap later.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrivals {
    /// When the stream begins.
    pub from: Span,
    /// The gap from one arrival to the next, the first one from `from` on. `None`: each arrives when the one before has ended.
    pub every: Option<Draw>,
    /// How many jobs arrive.
    pub count: u32,
    /// What each of them submits; a number is added to its name.
    pub spec: JobSpec,
}

/// A fault to inject.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When.
    pub at: Draw,
    /// What.
    pub kind: FaultKind,
    /// Whom.
    pub target: Target,
    /// For how long; `None` is for good. After a crash this is the time until the restart.
    pub lasting: Option<Draw>,
    /// Whether it happens again.
    pub repeat: Option<Repeat>,
    /// What it waits for once its time has come.
    pub trigger: Option<Trigger>,
    /// How long after what it waited for it begins; nothing when it waits for nothing.
    pub after: Draw,
}

/// How a fault happens again and again; never before it has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeat {
    /// From one time that it is due to the next, drawn anew each time.
    pub every: Draw,
    /// How often it happens in all, at least once; `None` is until the trial ends.
    pub times: Option<u32>,
}

/// Something in the life of a cluster in the midst of which a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A node misses its leader and asks whether it would be elected; it is the one concerned.
    Election,
    /// A node that would be elected stands for election: it has voted for itself, which is not on its disk yet, and is the one
    /// concerned.
    Candidacy,
    /// A node votes for another one, which is not on its disk yet; it is the one concerned.
    Vote,
    /// A node was elected and begins to lead; it is the one concerned.
    Reign,
    /// A part of a snapshot is on its way to a node, which is the one concerned.
    Snapshot,
    /// The voters' seats change on a node, the leader first; it is the one concerned.
    Seats,
}

impl Trigger {
    /// All of them.
    pub(super) const ALL: [Trigger; 6] = [
        Trigger::Election,
        Trigger::Candidacy,
        Trigger::Vote,
        Trigger::Reign,
        Trigger::Snapshot,
        Trigger::Seats,
    ];

    /// What scenarios call it.
    pub fn name(self) -> &'static str {
        match self {
            Trigger::Election => "election",
            Trigger::Candidacy => "candidacy",
            Trigger::Vote => "vote",
            Trigger::Reign => "reign",
            Trigger::Snapshot => "snapshot",
            Trigger::Seats => "seats",
        }
    }
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// The process dies; unsynced writes are lost, and with `wipe` the whole disk.
    Crash {
        /// Whether the disk is lost.
        wipe: bool,
    },
    /// The process dies and starts again at once.
    Restart,
    /// The node leaves on purpose, handing over first if it leads, and its process ends; it comes back as a new life when the
    /// fault does.
    Leave,
    /// The process stands still; messages to it queue.
    Pause,
    /// Nothing goes in or out.
    Isolate,
    /// Nothing passes between the target and `other` in this direction.
    Cut {
        /// The other side; `None` is everyone else.
        other: Option<Target>,
        /// Which direction is cut.
        direction: Direction,
    },
    /// Messages to and from the target are lost.
    Loss(Loss),
    /// The target's links carry no more than so many bytes per second.
    SlowLink(u64),
    /// Messages to and from the target are held, and arrive all at once, in their order, when the fault ends.
    Jam,
    /// Among the machines of the target only some links live.
    Partial(Shape),
    /// The target gets no processor time now and then: what it does, and what it is told, is late by up to so much.
    Starve(Draw),
    /// The target's clock runs so many times as fast.
    Skew(f64),
    /// The target stands still and its clock with it: for it, no time has passed.
    Suspend,
    /// Messages to and from the target take this much longer.
    Delay(Draw),
    /// Messages to and from the target arrive twice with this probability.
    Duplicate(f64),
    /// Messages to and from the target are held back with this probability.
    Reorder(f64),
    /// The target infers this many times slower.
    Slow(f64),
    /// Loading a model fails; `None` is any model.
    LoadFailure {
        /// Which model.
        model: Option<Arc<str>>,
    },
    /// The inference engine dies, once.
    EngineDeath,
    /// The query that runs, or the next one, never ends.
    Stuck,
    /// Each sync of the target's disk takes this much longer.
    SlowDisk(Draw),
    /// The target's disk has no room: a process that writes ends, and starts again when there is room.
    FullDisk,
    /// Bits flip on the target's disk, in the midst of what was durable; the next start finds the disk damaged. When the fault
    /// ends, the process starts anew.
    Corrupt,
    /// The target's disk is copied when the fault begins, and when it ends the process crashes and finds the copy. Nobody who
    /// votes is hit.
    Rollback,
    /// Bits of one chunk of a file flip on the target's disk, any one of those that are there. The node notices when it reads the
    /// chunk: for somebody else, for a query, or on its walk through all of them.
    Rot,
    /// The engine's answers are wrong in this way.
    BadOutput(Flaw),
    /// The engine gives each answer twice.
    RepeatOutput,
}

impl FaultKind {
    /// What scenarios call it.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Crash { .. } => "crash",
            FaultKind::Restart => "restart",
            FaultKind::Leave => "leave",
            FaultKind::Pause => "pause",
            FaultKind::Isolate => "isolate",
            FaultKind::Cut { .. } => "cut",
            FaultKind::Loss(_) => "loss",
            FaultKind::SlowLink(_) => "slow_link",
            FaultKind::Jam => "jam",
            FaultKind::Partial(_) => "partial",
            FaultKind::Starve(_) => "starve",
            FaultKind::Skew(_) => "skew",
            FaultKind::Suspend => "suspend",
            FaultKind::Delay(_) => "delay",
            FaultKind::Duplicate(_) => "duplicate",
            FaultKind::Reorder(_) => "reorder",
            FaultKind::Slow(_) => "slow",
            FaultKind::LoadFailure { .. } => "load_failure",
            FaultKind::EngineDeath => "engine_death",
            FaultKind::Stuck => "stuck",
            FaultKind::SlowDisk(_) => "slow_disk",
            FaultKind::FullDisk => "full_disk",
            FaultKind::Corrupt => "corrupt",
            FaultKind::Rollback => "rollback",
            FaultKind::Rot => "rot",
            FaultKind::BadOutput(_) => "bad_output",
            FaultKind::RepeatOutput => "repeat_output",
        }
    }
}

/// How messages are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Which part of them is lost, 0 to 1.
    pub rate: f64,
    /// How long, on average, a machine's connection loses everything before it is good again (Gilbert's model); `None`: each
    /// message is lost or not on its own.
    pub burst: Option<Span>,
    /// Only messages of at least so many bytes are lost.
    pub bytes_min: u64,
}

impl Loss {
    /// Each message is lost with this probability, whatever its size.
    pub const fn of(rate: f64) -> Loss {
        Loss { rate, burst: None, bytes_min: 0 }
    }
}

/// A pattern of partial connectivity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The machines stand in a line, and each hears its neighbours.
    Chain,
    /// One hears all, and the others hear that one only: nobody else has a majority.
    Star,
    /// The machines stand in a circle, and each hears so many neighbours that they are a majority with it.
    Ring,
    /// Two halves are connected through one machine.
    Bridge,
    /// One after the other falls silent, and one after the other is back, in another order.
    Swizzle,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 5] = [Shape::Chain, Shape::Star, Shape::Ring, Shape::Bridge, Shape::Swizzle];

    /// What scenarios call it.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Chain => "chain",
            Shape::Star => "star",
            Shape::Ring => "ring",
            Shape::Bridge => "bridge",
            Shape::Swizzle => "swizzle",
        }
    }
}

/// What is wrong with an engine's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Some predictions are not numbers: these inputs have failed.
    Nan,
    /// There are more or fewer predictions than inputs.
    Count,
}

/// Which direction of a cut is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    Both,
    /// What comes in to the target.
    In,
    /// What goes out from the target.
    Out,
}

/// Whom a fault hits; a role is looked up when the fault begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The machine at this position: `node 7` is position 6; names work too.
    Node(u32),
    /// Whoever leads.
    Coordinator,
    /// A voter that does not lead.
    Voter,
    /// The worker that holds most queries and does not lead.
    BusiestWorker,
    /// A worker that neither leads nor votes, if there is one, else one that does not lead.
    Worker,
    /// A machine without which the cluster goes on, should it be gone for good or lose its disk: a majority of those who have
    /// seats keep theirs, and somebody is left who works.
    Spare,
    /// This many machines at random, whatever their roles.
    Random(u32),
    /// A minority of the machines, as large as possible, without the coordinator.
    Minority,
    /// Every machine.
    All,
    /// Every machine on its own: each draws its own times, as if the fault stood there once for each.
    Each,
    /// The machine in the midst of what the fault waited for; see [`Trigger`].
    Concerned,
    /// Several targets, none of them twice.
    Several(Vec<Target>),
}

impl Target {
    /// How many machines of `nodes` it can be at most.
    pub fn machines_max(&self, nodes: usize) -> usize {
        match self {
            Target::Node(_)
            | Target::Coordinator
            | Target::Voter
            | Target::BusiestWorker
            | Target::Worker
            | Target::Spare
            | Target::Concerned => 1,
            Target::Random(count) => *count as usize,
            Target::Minority | Target::All | Target::Each => nodes,
            Target::Several(targets) => targets.iter().map(|target| target.machines_max(nodes)).sum(),
        }
    }
}
