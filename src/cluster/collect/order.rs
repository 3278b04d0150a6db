//! Causes before effects: how far the times of each node are to be moved.
//!
//! Offsets of clocks are known up to half a round trip, and a message takes no longer than that, so that its arrival may seem to come
//! before its departure. What nodes said gives pairs of which one certainly came first: an order is given before its worker takes it, and
//! an attempt ends before its coordinator hears of it. Each pair bounds the difference of two clocks, and movements that keep all bounds are
//! found by relaxing one after the other (Bellman and Ford).

use std::collections::BTreeMap;

use crate::base::AttemptId;
use crate::history::{Observation, What};

/// An effect comes at least this much after its cause, in nanoseconds.
const AFTER: i128 = 1;

/// By how many nanoseconds the times of each node are to be moved. Zero for all when nothing is out of order, or when nothing helps.
pub(super) fn corrections(told: &[&[(i128, What)]]) -> Vec<i128> {
    let bounds = bounds(told);
    let mut moves = vec![0_i128; told.len()];
    // Without a contradiction everything is settled after as many rounds as there are nodes.
    for _ in 0..=told.len() {
        let mut settled = true;
        for (&(cause, effect), &gap) in &bounds {
            let lacks = AFTER - (gap + moves[effect] - moves[cause]);
            if lacks > 0 {
                // Only ever later: whoever is too early moves.
                moves[effect] += lacks;
                settled = false;
            }
        }
        if settled {
            return moves;
        }
    }
    vec![0; told.len()]
}

/// For each two nodes the shortest time between a cause on the first and its effect on the second.
fn bounds(told: &[&[(i128, What)]]) -> BTreeMap<(usize, usize), i128> {
    let (mut given, mut ended) = (BTreeMap::new(), BTreeMap::new());
    let mut heard: Vec<(bool, AttemptId, usize, i128)> = Vec::new();
    for (place, happened) in told.iter().enumerate() {
        for (at, what) in *happened {
            let What::Node(observation) = what else { continue };
            match observation {
                Observation::Dispatched { attempt, .. } => {
                    given.entry(*attempt).or_insert((place, *at));
                }
                Observation::Ended { attempt, .. } => {
                    ended.entry(*attempt).or_insert((place, *at));
                }
                Observation::Accepted { attempt, .. } | Observation::Refused { attempt, .. } => {
                    heard.push((false, *attempt, place, *at));
                }
                Observation::Arrived { attempt, answered: true, .. } => {
                    heard.push((true, *attempt, place, *at));
                }
                _ => {}
            }
        }
    }
    let mut bounds = BTreeMap::new();
    for (back, attempt, effect, at) in heard {
        let Some(&(cause, began)) = (if back { &ended } else { &given }).get(&attempt) else { continue };
        if cause != effect {
            let gap = bounds.entry((cause, effect)).or_insert(i128::MAX);
            *gap = (*gap).min(at - began);
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, Incarnation, JobId, NodeId, QueryId};
    use crate::history::Dispatch;

    fn attempt(serial: u64) -> (QueryId, AttemptId) {
        let query = QueryId { job: JobId(1), cut: 0, number: serial as u32 };
        (query, AttemptId { epoch: Epoch(1), serial })
    }

    fn gives(serial: u64) -> What {
        let (query, attempt) = attempt(serial);
        let (worker, incarnation, reason) = (NodeId::new(1), Incarnation(1), Dispatch::Turn);
        What::Node(Observation::Dispatched { query, attempt, worker, incarnation, reason })
    }

    fn takes(serial: u64) -> What {
        let (query, attempt) = attempt(serial);
        What::Node(Observation::Accepted { query, attempt, epoch: Epoch(1) })
    }

    fn ends(serial: u64) -> What {
        let (query, attempt) = attempt(serial);
        What::Node(Observation::Ended { query, attempt, error: None })
    }

    fn hears(serial: u64) -> What {
        let (query, attempt) = attempt(serial);
        What::Node(Observation::Arrived { query, attempt, answered: true })
    }

    #[test]
    fn a_clock_that_seems_to_be_behind_is_moved_until_no_effect_comes_before_its_cause() {
        let coordinator = [(100, gives(1)), (200, gives(2)), (500, hears(1)), (900, hears(2))];
        let behind = [(90, takes(1)), (150, takes(2)), (400, ends(1)), (450, ends(2))];
        assert_eq!(corrections(&[&coordinator, &behind]), [0, 51]);
        // Ahead by so much that what ended is heard of before: then it is the coordinator that is late.
        let ahead = [(130, takes(1)), (250, takes(2)), (520, ends(1)), (800, ends(2))];
        assert_eq!(corrections(&[&coordinator, &ahead]), [21, 0]);
        let right = [(101, takes(1)), (250, takes(2)), (499, ends(1)), (800, ends(2))];
        assert_eq!(corrections(&[&coordinator, &right]), [0, 0]);
    }

    #[test]
    fn what_contradicts_itself_is_left_alone() {
        let coordinator = [(100, gives(1)), (110, hears(1))];
        let worker = [(50, takes(1)), (120, ends(1))];
        assert_eq!(corrections(&[&coordinator, &worker]), [0, 0]);
    }
}
