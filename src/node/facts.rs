//! What the parts of a node need to know of each other, borrowed from the fields that it is made of: the other parts stay free to change.

use super::{Node, WorkerFacts};

/// What membership needs to know.
macro_rules! membership_facts {
    ($node:ident) => {
        $crate::node::membership::Facts {
            epoch: $node.log.epoch(),
            coordinator: $node.log.leader(),
            leads: $node.log.leads(),
            jurors: $node.log.jurors(),
            seats: &$node.seats,
        }
    };
}

/// What the coordinator needs to know.
macro_rules! coordinator_facts {
    ($node:ident, $now:expr) => {
        $crate::node::coordinator::Facts {
            now: $now,
            cluster_now: $node.log.cluster_time($now),
            ledger: &$node.ledger,
            seats: $node.log.seats(),
            pending: $node.log.pending(),
            lag: &|id| $node.log.lag(id),
            silence: &|id| $node.log.silence(id, $now),
            round: $node.log.round(),
            answered: &|id| $node.log.answered(id),
            holds_seats: &|id| $node.log.holds_seats(id),
            suspect: &|id| $node.membership.is_suspect(id),
            accused: &|| $node.membership.accused(),
            accuses: &|by, id| $node.membership.accuses(by, id),
        }
    };
}

pub(super) use {coordinator_facts, membership_facts};

impl Node {
    /// What the worker needs to know.
    pub(super) fn worker_facts(&self) -> WorkerFacts {
        WorkerFacts {
            epoch: self.log.epoch(),
            coordinator: self.log.leader(),
            incarnation: self.membership.me().incarnation,
            member: self.membership.is_member(),
        }
    }
}
