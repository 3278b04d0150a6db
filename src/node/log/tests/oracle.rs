//! Knows everything that happened on all nodes, and panics at the first thing that must not happen.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::{Ballot, Disk, Entry, Index, LogMessage, Payload, Position, Record, Seats};
use super::super::Log;
use crate::base::{Epoch, Fold, NodeId, Time};

/// A voter and what is on its disk.
type Holder<'a> = (NodeId, &'a Disk);

/// A committed entry, with the digest of the state after it.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) entry: Entry,
    pub(super) state: u128,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Every entry ever written, with its predecessor: always the same one.
    tree: BTreeMap<Position, (u128, Position)>,
    pub(super) committed: Vec<Committed>,
    leaders: BTreeMap<Epoch, (NodeId, u32)>,
    votes: BTreeMap<(NodeId, Epoch), NodeId>,
    numbers: BTreeSet<u64>,
}

/// The state after `entry`.
pub(super) fn state_after(before: u128, entry: &Entry) -> u128 {
    Fold::of(&(before, entry))
}

/// Whether `disk` holds `position`, or stands for it by a snapshot.
fn disk_holds(disk: &Disk, position: Position) -> bool {
    disk.snapshot.as_ref().is_some_and(|snapshot| snapshot.last.index >= position.index)
        || disk.entries.iter().any(|entry| entry.position == position)
}

impl Oracle {
    /// The formed entries, which no one ever writes.
    pub(super) fn formed(&mut self, disk: &Disk) {
        let mut parent = Position::default();
        for entry in &disk.entries {
            self.tree.insert(entry.position, (entry.digest(), parent));
            parent = entry.position;
        }
    }

    /// A node writes `record`; `written` is its disk with all earlier writes.
    pub(super) fn writes(&mut self, written: &Disk, record: &Record) {
        match record {
            Record::Ballot(ballot) => {
                let old = written.ballot;
                let revoted = ballot.epoch == old.epoch && old.vote.is_some() && ballot.vote != old.vote;
                assert!(ballot.epoch >= old.epoch && !revoted, "ballot {old:?} becomes {ballot:?}");
            }
            Record::Entries(entries) => {
                let first = entries[0].position.index;
                let before = written.entries.iter().rev().find(|entry| entry.position.index < first);
                let snapshot =
                    written.snapshot.as_ref().map_or(Position::default(), |snapshot| snapshot.last);
                let mut parent = before.map_or(snapshot, |entry| entry.position);
                for entry in entries {
                    assert_eq!(parent.index.next(), entry.position.index, "no gaps");
                    assert!(
                        entry.position.epoch <= written.ballot.epoch,
                        "the term is written before its entries"
                    );
                    let known = self.tree.entry(entry.position).or_insert((entry.digest(), parent));
                    assert_eq!(
                        *known,
                        (entry.digest(), parent),
                        "{:?} is one entry with one past",
                        entry.position
                    );
                    parent = entry.position;
                }
            }
            Record::Snapshot(snapshot) => {
                let at = &self.committed[snapshot.last.index.0 as usize - 1];
                assert_eq!(at.entry.position, snapshot.last, "snapshots are of committed entries");
                assert_eq!(snapshot.at, at.entry.at);
                assert_eq!(*snapshot.seats, self.seats_at(snapshot.last.index), "a snapshot keeps the seats");
            }
            Record::Cluster(_) | Record::Incarnation(_) | Record::View { .. } => panic!("not the log's"),
        }
    }

    fn seats_at(&self, index: Index) -> Seats {
        let mut until = self.committed[..index.0 as usize].iter().rev();
        until
            .find_map(|committed| match &*committed.entry.payload {
                Payload::Seats(seats) => Some((**seats).clone()),
                Payload::Noop | Payload::Command(_) => None,
            })
            .unwrap_or_default()
    }

    /// A message leaves `from`, whose durable disk is `disk`.
    pub(super) fn sends(&mut self, from: NodeId, to: NodeId, message: &LogMessage, disk: &Disk) {
        match message {
            LogMessage::Vote { epoch, .. } => {
                assert!(disk.ballot.epoch >= *epoch, "{from} stands in {epoch} before that is durable");
                self.votes(from, *epoch, from, disk);
            }
            LogMessage::VoteReply { epoch, granted: true } => self.votes(from, *epoch, to, disk),
            LogMessage::AppendReply { epoch, matched: true, .. } => {
                assert!(disk.ballot.epoch >= *epoch, "{from} acknowledges in {epoch} before that is durable");
            }
            LogMessage::Append(append) => {
                let leader = self.leaders.get(&append.epoch).map(|(leader, _)| *leader);
                assert_eq!(leader, Some(from), "only the leader of {} appends", append.epoch);
            }
            _ => {}
        }
    }

    fn votes(&mut self, voter: NodeId, epoch: Epoch, candidate: NodeId, disk: &Disk) {
        let Ballot { epoch: durable, vote } = disk.ballot;
        assert!(
            durable > epoch || durable == epoch && vote == Some(candidate),
            "{voter} tells its vote in {epoch} before it is durable"
        );
        let known = *self.votes.entry((voter, epoch)).or_insert(candidate);
        assert_eq!(known, candidate, "{voter} votes twice in {epoch}");
    }

    /// A node begins to lead.
    pub(super) fn leads(&mut self, node: NodeId, life: u32, epoch: Epoch, log: &Log) {
        let known = *self.leaders.entry(epoch).or_insert((node, life));
        assert_eq!(known, (node, life), "{epoch} has two leaders");
        for committed in &self.committed {
            let position = committed.entry.position;
            let holds = match log.store.position(position.index) {
                Some(held) => held == position,
                None => position.index < log.store.commit(),
            };
            assert!(holds, "{node} leads {epoch} without the committed {position:?}");
        }
    }

    /// `node` takes the next entry as committed; returns the state after it.
    pub(super) fn commits(
        &mut self,
        entry: &Entry,
        first_by: Option<(Epoch, &Seats, Vec<Holder<'_>>)>,
    ) -> u128 {
        let place = entry.position.index.0 as usize - 1;
        if let Some(known) = self.committed.get(place) {
            assert_eq!(known.entry, *entry, "what is committed never changes");
            return known.state;
        }
        assert_eq!(place, self.committed.len(), "commits come in order");
        let (epoch, seats, disks) = first_by.expect("a leader is the first to commit");
        assert!(entry.position.epoch <= epoch);
        let holds = |(_, disk): &&Holder<'_>| disk_holds(disk, entry.position);
        let holders: Vec<NodeId> = disks.iter().filter(holds).map(|(id, _)| *id).collect();
        assert!(
            seats.is_quorum(|voter| holders.contains(&voter)),
            "{:?} is committed on the disks of {holders:?} of {seats:?}",
            entry.position
        );
        let before = self.committed.last();
        assert!(before.is_none_or(|before| before.entry.at <= entry.at), "cluster time never decreases");
        assert!(before.is_none_or(|before| before.entry.position < entry.position));
        if let Some(number) = number_of(entry) {
            assert!(self.numbers.insert(number), "proposal {number} is committed twice");
        }
        let state = state_after(before.map_or(0, |before| before.state), entry);
        self.committed.push(Committed { entry: entry.clone(), state });
        state
    }

    pub(super) fn state_at(&self, index: Index) -> u128 {
        if index.0 == 0 { 0 } else { self.committed[index.0 as usize - 1].state }
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }

    pub(super) fn last_at(&self) -> Time {
        self.committed.last().map_or(Time::ZERO, |committed| committed.entry.at)
    }
}

/// The number of the test's proposal in an entry.
fn number_of(entry: &Entry) -> Option<u64> {
    match &*entry.payload {
        Payload::Command(super::super::super::Command::Request { number, .. }) => Some(*number),
        Payload::Command(_) | Payload::Noop | Payload::Seats(_) => None,
    }
}
