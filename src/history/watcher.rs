//! A closer look at a run than its history: every input of every node with its reason, and every message on its way.

use super::{Ignore, Machine, Record};
use crate::base::{NodeId, Time};
use crate::node::{Effect, Input, Message, Timer};

/// What becomes of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at `first`, if a process runs there then, and once more at `second` when it was doubled.
    Arrives {
        /// When.
        first: Time,
        /// When its double does.
        second: Option<Time>,
    },
    /// It is lost on the way.
    Lost,
    /// It is lost because a fault cuts the way.
    Cut,
}

/// Watches a run while it goes on. Each method does nothing unless it is written, and what a watcher does changes nothing.
///
/// A step of a node is told in this order: [`Watcher::given`], then for each of the step's effects [`Watcher::wanted`] and what
/// becomes of it, then [`Watcher::stepped`]. Only a step that an ended sync leads to begins with [`Watcher::synced`] and the
/// messages that waited for it.
pub trait Watcher {
    /// False when all methods do nothing, so that nothing need be prepared for them.
    const WATCHES: bool = true;

    /// The sync of `machine` has ended: what waited for it leaves now, and then the node is told.
    fn synced(&mut self, _at: Time, _machine: Machine) {}

    /// The node on `machine` is given `input`; before it looks at that it does what is `due`.
    fn given(&mut self, _at: Time, _machine: Machine, _input: &Input, _due: &[Timer]) {}

    /// The node on `machine` wants this done.
    fn wanted(&mut self, _at: Time, _machine: Machine, _effect: &Effect) {}

    /// A message leaves `machine`; one that waited for its write does so later than it was wanted.
    fn sent(&mut self, _at: Time, _machine: Machine, _to: NodeId, _message: &Message, _fate: Fate) {}

    /// The step of the node on `machine` is over, and everything that follows from it is on its way.
    fn stepped(&mut self, _at: Time, _machine: Machine) {}

    /// A message arrives at `machine`, where the process that it is meant for does not run.
    fn dropped(&mut self, _at: Time, _machine: Machine, _from: NodeId, _message: &Message) {}

    /// This is written into the history.
    fn recorded(&mut self, _record: &Record) {}
}

impl Watcher for Ignore {
    const WATCHES: bool = false;
}
