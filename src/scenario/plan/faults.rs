//! The faults of a scenario: what breaks, whom it hits, and when.

use std::sync::Arc;

use crate::base::{Draw, Span};

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
    pub(in crate::scenario) const ALL: [Trigger; 6] = [
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
