//! Who has a seat, as the log tells it: in force from the append on, back again when the entry is truncated.

use std::sync::Arc;

use super::super::entry::{Index, Passing, Seats};
use crate::base::NodeId;

/// More voters than anyone needs; a cluster has 1, 3, 5 or 7, and one more or less while it changes.
const VOTERS_MAX: usize = 9;

/// The seats that are in force now, and those that would be again if the end of the log were cut off.
#[derive(Debug)]
pub(super) struct SeatHistory {
    /// Never empty. Each is in force from its place on; the first one stands for everything before it, too.
    changes: Vec<(Index, Arc<Seats>)>,
}

impl SeatHistory {
    /// Nobody has a seat.
    pub(super) fn empty() -> SeatHistory {
        SeatHistory { changes: vec![(Index(0), Arc::default())] }
    }

    /// These seats, given by a snapshot that ends at `index`.
    pub(super) fn from_snapshot(index: Index, seats: Arc<Seats>) -> SeatHistory {
        SeatHistory { changes: vec![(index, seats)] }
    }

    /// The seats in force.
    pub(super) fn current(&self) -> &Arc<Seats> {
        &self.newest().1
    }

    /// Where the seats in force came into force.
    pub(super) fn since(&self) -> Index {
        self.newest().0
    }

    fn newest(&self) -> &(Index, Arc<Seats>) {
        self.changes.last().expect("the first one is never removed")
    }

    /// The seats that were in force at `index`, which is not before what was forgotten.
    pub(super) fn at(&self, index: Index) -> &Arc<Seats> {
        &self.changes[self.covering(index)].1
    }

    fn covering(&self, index: Index) -> usize {
        self.changes.partition_point(|(from, _)| *from <= index).saturating_sub(1)
    }

    /// Every voter of these seats and of those before them, some of them more than once.
    pub(super) fn voters_so_far(&self) -> impl Iterator<Item = NodeId> {
        self.changes.iter().flat_map(|(_, seats)| seats.voters.iter().copied())
    }

    /// An entry at `index` changes the seats.
    pub(super) fn append(&mut self, index: Index, seats: Arc<Seats>) {
        assert!(index > self.since() || self.changes.len() == 1, "seat changes come in the order of the log");
        self.changes.push((index, seats));
    }

    /// Entries from `first` on are gone, and so are the changes that they made.
    pub(super) fn truncate(&mut self, first: Index) {
        let keep = self.changes.partition_point(|(from, _)| *from < first).max(1);
        self.changes.truncate(keep);
    }

    /// Nobody will ask again about places before `index`.
    pub(super) fn forget_before(&mut self, index: Index) {
        self.changes.drain(..self.covering(index));
    }
}

/// Whether `next` may follow `current`: the next number, lists in order, nobody listed twice, at least one voter, and at most one
/// voter more or less, so that what decides by the one shares a node with what decides by the other. A seat begins to pass from a
/// voter to one who has none, and then either of them goes. Learners may change freely.
pub(super) fn may_follow(current: &Seats, next: &Seats) -> bool {
    let ordered = |list: &[NodeId]| list.is_sorted_by(|a, b| a < b);
    let missing = |from: &[NodeId], to: &[NodeId]| from.iter().filter(|id| !to.contains(id)).count();
    next.number == current.number + 1
        && ordered(&next.voters)
        && ordered(&next.learners)
        && (1..=VOTERS_MAX).contains(&next.voters.len())
        && !next.voters.iter().any(|voter| next.learners.contains(voter))
        && match (current.passing, next.passing) {
            (None, None) => {
                missing(&current.voters, &next.voters) + missing(&next.voters, &current.voters) <= 1
            }
            (None, Some(Passing { from, to })) => {
                let comes = !current.voters.contains(&to) && next.voters.contains(&to);
                let stays = current.voters.iter().all(|id| next.voters.contains(id));
                comes
                    && stays
                    && next.voters.len() == current.voters.len() + 1
                    && current.voters.contains(&from)
            }
            (Some(Passing { from, to }), None) => {
                let gone: Vec<&NodeId> =
                    current.voters.iter().filter(|id| !next.voters.contains(id)).collect();
                next.voters.len() + 1 == current.voters.len() && (gone == [&from] || gone == [&to])
            }
            (Some(one), Some(other)) => one == other && current.voters == next.voters,
        }
}
