//! The simulator: one trial of a plan in virtual time, the same for the same seed wherever it runs.
//!
//! Everything that happens is an event in one queue, ordered by (time, sequence). Everything random is drawn from a stream
//! of its own, forked from the seed by label, so that changing one fault or job does not shift the draws of another. Every
//! input of a node goes into the trace hash.

mod book;
mod chunks;
mod client;
mod clock;
mod course;
mod disk;
mod engine;
mod faults;
mod host;
mod life;
mod network;
mod queue;
mod sampler;
mod size;
mod spare;
mod staging;
mod starvation;
mod storage;
#[cfg(test)]
mod tests;
mod trace;
mod world;

pub use host::Process;

use crate::base::Time;
use crate::history::{Ignore, Sink, Watcher};
use crate::node::Node;
use crate::scenario::Plan;

/// How a trial went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The digest of all that the nodes were given, in order: equal for equal plans and seeds, on every machine.
    pub trace: u128,
    /// How many messages, wake-ups and other inputs were delivered to nodes.
    pub events: u64,
    /// When the trial ended.
    pub ended_at: Time,
    /// What was left to do when a trial that runs until it is done was given up; empty when it was not given up.
    pub unfinished: Vec<String>,
    /// Whether the caller stopped the trial before its end.
    pub stopped: bool,
    /// The messages that nodes sent, lost ones among them.
    pub sent: Traffic,
    /// How often clients asked another machine than the one that they had asked the same before.
    pub asked_elsewhere: u64,
}

/// Messages sent, by the part of the protocol that they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Heartbeats, alerts, views.
    pub membership: u64,
    /// The quorum log.
    pub log: u64,
    /// Dispatch and results.
    pub work: u64,
    /// Clients' requests and their answers, between nodes.
    pub client: u64,
    /// The file store, without the chunks themselves.
    pub store: u64,
}

/// Runs one trial of `plan` under `seed` and feeds what happens to `sink`.
///
/// `stop` is asked every few thousand events; once it says true the trial ends early. The result depends on the plan, the
/// seed and `stop` alone.
pub fn run(plan: &Plan, seed: u64, sink: &mut dyn Sink, stop: &dyn Fn() -> bool) -> Outcome {
    run_process::<Node>(plan, seed, sink, stop)
}

/// [`run`] with something else than [`Node`] on the machines.
pub fn run_process<P: Process>(
    plan: &Plan,
    seed: u64,
    sink: &mut dyn Sink,
    stop: &dyn Fn() -> bool,
) -> Outcome {
    world::World::<P, Ignore>::new(plan, seed, sink, &mut Ignore).run(stop)
}

/// [`run`] under the eyes of `watcher`. The outcome, the trace hash in it, and what `sink` is fed are the same as without.
pub fn run_watched<W: Watcher>(
    plan: &Plan,
    seed: u64,
    sink: &mut dyn Sink,
    watcher: &mut W,
    stop: &dyn Fn() -> bool,
) -> Outcome {
    world::World::<Node, W>::new(plan, seed, sink, watcher).run(stop)
}
