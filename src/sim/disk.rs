//! A node's disk: what is durable, what is being made durable, and what waits for it.

use std::collections::VecDeque;

use crate::base::{Draw, Incarnation, NodeId, Rng, Span};
use crate::node::{self, Message, Record, Token};
use crate::scenario::{DiskPlan, FaultKind};

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
    ills: Ills,
    /// Faults that did something.
    pub(super) took_effect: Vec<u32>,
}

/// What faults do to a disk, each with the fault's position in the plan.
#[derive(Debug, Default)]
struct Ills {
    /// Each sync takes so much longer, drawn from a stream of the fault's own.
    slow: Vec<(u32, Draw, Rng)>,
    /// There is no room.
    full: Vec<u32>,
    /// Bits have flipped in the midst of what is durable, or in the snapshot.
    damage: Vec<u32>,
    /// What was durable when the fault began, and will be again.
    copies: Vec<(u32, node::Disk)>,
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
            ills: Ills::default(),
            took_effect: Vec::new(),
        }
    }

    /// A fault of a disk begins; its draws come from `rng`.
    pub(super) fn fall_ill(&mut self, fault: u32, kind: &FaultKind, rng: Rng) {
        match kind {
            FaultKind::SlowDisk(delay) => self.ills.slow.push((fault, *delay, rng)),
            FaultKind::FullDisk => self.ills.full.push(fault),
            FaultKind::Corrupt => self.ills.damage.push(fault),
            FaultKind::Rollback => self.ills.copies.push((fault, self.durable.clone())),
            _ => unreachable!("{} is no fault of a disk", kind.name()),
        }
    }

    /// A fault ends by which the disk was slow or full.
    pub(super) fn recover(&mut self, fault: u32) {
        self.ills.slow.retain(|(of, ..)| *of != fault);
        self.ills.full.retain(|of| *of != fault);
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.durable == node::Disk::default()
    }

    /// Whether a life has begun on it.
    pub(super) fn has_lived(&self) -> bool {
        self.durable.incarnation > Incarnation(0)
    }

    /// Whether there is no room.
    pub(super) fn is_full(&self) -> bool {
        !self.ills.full.is_empty()
    }

    /// The faults that take its room.
    pub(super) fn full(&self) -> &[u32] {
        &self.ills.full
    }

    /// Whether something waits to be written for which there is no room.
    pub(super) fn refuses(&self) -> bool {
        self.is_full() && !self.waiting.is_empty()
    }

    /// The faults that have damaged it.
    pub(super) fn damage(&self) -> &[u32] {
        &self.ills.damage
    }

    /// Whether `fault` has damaged it, and nobody has noticed.
    pub(super) fn is_damaged_by(&self, fault: u32) -> bool {
        self.ills.damage.contains(&fault)
    }

    /// Puts back the copy that `fault` made, of which no process may be using the original; false when there is none, when the
    /// copy is what the disk holds, and when ballot or log have changed since.
    pub(super) fn restore(&mut self, fault: u32) -> bool {
        let Some(place) = self.ills.copies.iter().position(|(of, _)| *of == fault) else { return false };
        let (_, copy) = self.ills.copies.remove(place);
        let now = &self.durable;
        let same_log =
            (now.ballot, &now.snapshot, &now.entries) == (copy.ballot, &copy.snapshot, &copy.entries);
        let restores = same_log && copy != *now;
        if restores {
            self.durable = copy;
        }
        restores
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
        let mut takes = plan.sync.sample(&mut self.rng);
        for (fault, delay, rng) in &mut self.ills.slow {
            takes += delay.sample(rng);
            self.took_effect.push(*fault);
        }
        Some(takes)
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

    /// The log and the ballot are lost, and who the disk belongs to is not. This is a bug, to be planted.
    pub(super) fn wipe_but_identity(&mut self) {
        self.crash();
        let node::Disk { cluster, incarnation, view, .. } = self.durable.clone();
        self.wipe();
        self.durable = node::Disk { cluster, incarnation, view, ..node::Disk::default() };
    }

    /// The disk is lost: an empty one takes its place.
    pub(super) fn wipe(&mut self) {
        self.crash();
        self.durable = node::Disk::default();
        // The new one has room, is sound, and is not what was copied.
        self.ills = Ills { slow: std::mem::take(&mut self.ills.slow), ..Ills::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, Draw, Incarnation};
    use crate::node::{Ballot, Body, WorkMessage};

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
    fn a_slow_disk_takes_longer_until_it_recovers_and_shifts_no_draw() {
        let usual = DiskPlan { sync: Draw::Uniform(Span::millis(1), Span::millis(9)) };
        let syncs = |ills: &[(u32, u64)]| -> Vec<Span> {
            let mut disk = disk(3);
            let delay = |ms| FaultKind::SlowDisk(Draw::Fixed(Span::millis(ms)));
            for &(fault, ms) in ills {
                disk.fall_ill(fault, &delay(ms), Rng::new(9));
            }
            let one = |token| {
                write(&mut disk, token);
                let takes = disk.sync(&usual).expect("it begins");
                disk.synced();
                disk.recover(7);
                takes
            };
            (1..=3).map(one).collect()
        };
        let (usual, slow) = (syncs(&[]), syncs(&[(7, 50), (8, 100)]));
        let delays: Vec<u64> = slow.iter().zip(usual).map(|(a, b)| (a.0 - b.0) / 1_000_000).collect();
        assert_eq!(delays, [150, 100, 100]);
    }

    #[test]
    fn a_full_disk_refuses_what_waits_and_keeps_what_it_has_begun() {
        let mut disk = disk(1);
        write(&mut disk, 1);
        disk.sync(&plan());
        disk.fall_ill(2, &FaultKind::FullDisk, Rng::new(1));
        assert!(!disk.refuses(), "what it syncs has its place already");
        disk.synced();
        write(&mut disk, 2);
        assert!(disk.refuses());
        disk.crash();
        assert_eq!((disk.durable().incarnation.0, disk.is_full()), (1, true));
        disk.recover(2);
        assert!(!disk.is_full());
    }

    #[test]
    fn a_copy_is_put_back_unless_the_log_went_on() {
        let copied = |changes: &[Record]| {
            let mut disk = disk(1);
            write(&mut disk, 1);
            disk.sync(&plan());
            disk.synced();
            disk.fall_ill(5, &FaultKind::Rollback, Rng::new(1));
            for record in changes {
                disk.write(Token(2), record.clone());
            }
            disk.sync(&plan());
            disk.synced();
            (disk.restore(5), disk.durable().incarnation.0, disk.restore(5))
        };
        let life = Record::Incarnation(Incarnation(7));
        let ballot = Ballot { epoch: crate::base::Epoch(3), vote: Some(NodeId::new(1)) };
        assert_eq!(copied(&[]), (false, 1, false), "it is what the disk holds");
        assert_eq!(copied(std::slice::from_ref(&life)), (true, 1, false));
        assert_eq!(copied(&[life, Record::Ballot(ballot)]), (false, 7, false));
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
