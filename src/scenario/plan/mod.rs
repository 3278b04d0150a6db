//! A scenario, checked: everything a driver needs to carry it out, with nothing left to guess.

mod bounds;
mod faults;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{CostProfile, Draw, Network, Span};
use crate::node::{Config, JobSpec};
#[cfg(debug_assertions)]
use crate::node::{Mutant, Planted};
use crate::policy::{Options, Policy, by_name};

pub use faults::{Direction, Fault, FaultKind, Flaw, Loss, Repeat, Shape, Target, Trigger};
pub use requests::{Errand, RequestPlan};

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
