//! The trace hash: a digest of everything that nodes are given, in order.

use std::hash::{Hash, Hasher};

use crate::base::{Fold, NodeId, Time};
use crate::history::Machine;
use crate::node::{Body, Input, MembershipMessage, Message};

/// Folds one input after another.
#[derive(Debug)]
pub(super) struct Trace {
    fold: Fold,
}

impl Trace {
    /// The trace of a run that begins now.
    pub(super) fn new(seed: u64) -> Trace {
        Trace { fold: Fold::new(seed) }
    }

    /// `machine` is given `input`, by the event number `sequence`.
    pub(super) fn add(&mut self, now: Time, sequence: u64, machine: Machine, input: &Input) {
        self.fold.write_u64(now.0);
        // The queue bounds both: 40 bits and 24 bits.
        self.fold.write_u64(sequence << 24 | u64::from(machine));
        if let Input::Receive { from, message: Message { cluster, body } } = input
            && let Body::Membership(MembershipMessage::Heartbeat { epoch, coordinator, view, incarnation }) =
                body
        {
            // Most inputs are heartbeats, and each word that is folded waits for the one before it. So what hardly changes
            // is first gathered into one word, in which every field has an odd factor of its own.
            let who = coordinator.map_or(0, NodeId::bits);
            let gathered =
                [(epoch.0, FACTORS[0]), (view.0, FACTORS[1]), (cluster.0, FACTORS[2]), (who, FACTORS[3])]
                    .into_iter()
                    .fold(u64::from(incarnation.0), |sum, (word, factor)| {
                        sum ^ word.wrapping_mul(factor).rotate_left(29)
                    });
            self.fold.write_u64(from.bits());
            self.fold.write_u64(gathered);
        } else {
            input.hash(&mut self.fold);
        }
    }

    /// The digest of everything so far.
    pub(super) fn digest(&self) -> u128 {
        self.fold.wide()
    }
}

const FACTORS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x27d4_eb2f_1656_67c5];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, Epoch, Incarnation, ViewId};

    fn digest(now: u64, sequence: u64, machine: Machine, from: u64, fields: [u64; 5]) -> u128 {
        let [cluster, epoch, coordinator, view, incarnation] = fields;
        let heartbeat = MembershipMessage::Heartbeat {
            epoch: Epoch(epoch),
            coordinator: (coordinator > 0).then(|| NodeId::new(coordinator)),
            view: ViewId(view),
            incarnation: Incarnation(incarnation as u32),
        };
        let message = Message { cluster: ClusterId(cluster), body: Body::Membership(heartbeat) };
        let mut trace = Trace::new(1);
        trace.add(Time(now), sequence, machine, &Input::Receive { from: NodeId::new(from), message });
        trace.digest()
    }

    #[test]
    fn every_part_of_a_heartbeat_is_in_the_trace() {
        let base = digest(1, 2, 3, 4, [1, 1, 1, 1, 1]);
        let mut others = vec![
            digest(2, 2, 3, 4, [1; 5]),
            digest(1, 3, 3, 4, [1; 5]),
            digest(1, 2, 4, 4, [1; 5]),
            digest(1, 2, 3, 5, [1; 5]),
            digest(1, 2, 3, 4, [1, 1, 0, 1, 1]),
        ];
        for field in 0..5 {
            for value in 2..100 {
                let mut fields = [1; 5];
                fields[field] = value;
                others.push(digest(1, 2, 3, 4, fields));
            }
        }
        let n = others.len();
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), n);
        assert!(!others.contains(&base));
    }
}
