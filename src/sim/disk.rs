//! A node's disk: what is durable, what is being made durable, and what waits for it.

use std::collections::VecDeque;

use crate::base::{NodeId, Rng, Span};
use crate::node::{self, Message, Record, Token};
use crate::scenario::DiskPlan;

/// A send that waits until a write is durable.
#[derive(Debug)]
pub(super) struct HeldSend {
    after: Token,
    /// The receiver.
    pub(super) to: NodeId,
    /// What it gets.
    pub(super) message: Message,
}

/// One disk. At most one sync is in flight; what is written meanwhile shares the next (group commit).
#[derive(Debug)]
pub(super) struct Disk {
    durable: node::Disk,
    /// The newest token that is durable in this life.
    settled: Token,
    syncing: Vec<(Token, Record)>,
    waiting: Vec<(Token, Record)>,
    /// In order of their tokens.
    held: VecDeque<HeldSend>,
    rng: Rng,
}

impl Disk {
    /// A disk that holds `durable`.
    pub(super) fn new(durable: node::Disk, rng: Rng) -> Disk {
        Disk {
            durable,
            settled: Token::default(),
            syncing: Vec::new(),
            waiting: Vec::new(),
            held: VecDeque::new(),
            rng,
        }
    }

    /// What would be found on it after a crash now, if nothing of the sync in flight survived.
    pub(super) fn durable(&self) -> &node::Disk {
        &self.durable
    }

    /// Takes a record that shall become durable with the next sync.
    pub(super) fn write(&mut self, token: Token, record: Record) {
        self.waiting.push((token, record));
    }

    /// Begins a sync of everything that waits, unless one is in flight or nothing waits: how long it will take.
    pub(super) fn sync(&mut self, plan: &DiskPlan) -> Option<Span> {
        if self.waiting.is_empty() || !self.syncing.is_empty() {
            return None;
        }
        std::mem::swap(&mut self.syncing, &mut self.waiting);
        Some(plan.sync.sample(&mut self.rng))
    }

    /// The sync in flight has ended: the newest token that is durable now.
    pub(super) fn synced(&mut self) -> Token {
        for (token, record) in self.syncing.drain(..) {
            self.durable.apply(&record);
            self.settled = token;
        }
        self.settled
    }

    /// Whether a send that relies on `token` may leave.
    pub(super) fn is_settled(&self, token: Token) -> bool {
        token <= self.settled
    }

    /// Keeps a send until `after` is durable.
    pub(super) fn hold(&mut self, after: Token, to: NodeId, message: Message) {
        let place = self.held.partition_point(|held| held.after <= after);
        self.held.insert(place, HeldSend { after, to, message });
    }

    /// The oldest send that need not wait any longer.
    pub(super) fn release(&mut self) -> Option<HeldSend> {
        if self.held.front()?.after <= self.settled { self.held.pop_front() } else { None }
    }

    /// The process dies. Of the sync in flight a random part from the beginning survives, possibly nothing or everything;
    /// a record that it was in the middle of is a torn tail and is cut. Whatever waited is lost.
    pub(super) fn crash(&mut self) {
        let survive = self.rng.below(self.syncing.len() as u64 + 1) as usize;
        for (_, record) in &self.syncing[..survive] {
            self.durable.apply(record);
        }
        self.syncing.clear();
        self.waiting.clear();
        self.held.clear();
        self.settled = Token::default();
    }

    /// The disk is lost: an empty one takes its place.
    pub(super) fn wipe(&mut self) {
        self.crash();
        self.durable = node::Disk::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, Draw, Incarnation};
    use crate::node::{Body, WorkMessage};

    fn disk(seed: u64) -> Disk {
        Disk::new(node::Disk::default(), Rng::new(seed))
    }

    fn plan() -> DiskPlan {
        DiskPlan { sync: Draw::Fixed(Span::millis(1)) }
    }

    fn write(disk: &mut Disk, token: u64) {
        disk.write(Token(token), Record::Incarnation(Incarnation(token as u32)));
    }

    fn survivors(seed: u64) -> (u32, u32) {
        let mut disk = disk(seed);
        write(&mut disk, 1);
        disk.sync(&plan());
        disk.synced();
        (2..=5).for_each(|token| write(&mut disk, token));
        disk.sync(&plan());
        (6..=9).for_each(|token| write(&mut disk, token));
        let before = disk.durable().incarnation.0;
        disk.crash();
        (before, disk.durable().incarnation.0)
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_loses_what_waited() {
        let after: Vec<u32> = (0..200)
            .map(|seed| {
                let (before, after) = survivors(seed);
                assert_eq!(before, 1, "seed {seed}");
                after
            })
            .collect();
        // Of the sync in flight (2 to 5) any part from the beginning can survive; of what waited (6 to 9) nothing.
        for kept in 1..=5 {
            assert!(after.contains(&kept), "{kept} never was the last survivor");
        }
        assert!(after.iter().all(|kept| *kept <= 5));
    }

    #[test]
    fn what_is_written_during_a_sync_shares_the_next() {
        let mut disk = disk(1);
        write(&mut disk, 1);
        assert!(disk.sync(&plan()).is_some());
        write(&mut disk, 2);
        write(&mut disk, 3);
        assert!(disk.sync(&plan()).is_none(), "one sync is in flight");
        assert_eq!(disk.synced(), Token(1));
        assert!(disk.sync(&plan()).is_some());
        assert_eq!(disk.synced(), Token(3));
        assert!(disk.sync(&plan()).is_none(), "nothing is left");
    }

    #[test]
    fn a_send_waits_for_its_write_and_dies_with_the_process() {
        let message = || Message {
            cluster: ClusterId(1),
            body: Body::Work(WorkMessage::Survey { epoch: crate::base::Epoch(1) }),
        };
        let mut disk = disk(1);
        write(&mut disk, 1);
        disk.hold(Token(1), NodeId::new(1), message());
        disk.sync(&plan());
        write(&mut disk, 2);
        disk.hold(Token(2), NodeId::new(2), message());
        assert!(disk.release().is_none());
        disk.synced();
        assert_eq!(disk.release().map(|held| held.to), Some(NodeId::new(1)));
        assert!(disk.release().is_none());
        disk.crash();
        disk.synced();
        assert!(disk.release().is_none());
    }

    #[test]
    fn a_wiped_disk_is_empty() {
        let mut disk = disk(1);
        write(&mut disk, 4);
        disk.sync(&plan());
        disk.synced();
        disk.wipe();
        assert_eq!(*disk.durable(), node::Disk::default());
    }
}
