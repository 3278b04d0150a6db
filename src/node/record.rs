//! What a node writes to its disk, and what it finds there when it starts again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::Command;
use super::entry::{Entry, Index, Payload, Position, Seats};
use super::view::{Member, View, ViewChange};
use crate::base::{Chunk, ClusterId, Epoch, Incarnation, NodeId, Time};

/// One durable fact. Records become durable in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record {
    /// The cluster that this disk belongs to. Never changes again.
    Cluster(ClusterId),
    /// A new life begins. Durable before its first message.
    Incarnation(Incarnation),
    /// The newest term seen and the vote given in it. Durable before anyone is told.
    Ballot(Ballot),
    /// Entries that continue the log or replace its end from their first index on. Never empty, without gaps.
    Entries(Vec<Entry>),
    /// A snapshot that stands for all entries up to its last one.
    Snapshot(Arc<Snapshot>),
    /// The newest view and seats, so that a node that restarts knows whom to ask.
    View {
        /// The view.
        view: Arc<View>,
        /// The seats.
        seats: Arc<Seats>,
    },
}

/// The newest term a node has seen, and its vote in that term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// The term.
    pub epoch: Epoch,
    /// Whom the node voted for in it.
    pub vote: Option<NodeId>,
}

/// The whole replicated state at one place of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry that it covers.
    pub last: Position,
    /// Cluster time of that entry.
    pub at: Time,
    /// The seats in force there.
    pub seats: Arc<Seats>,
    /// The ledger, encoded.
    pub state: Arc<[u8]>,
}

/// A node's disk: all its records, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The last life that began.
    pub incarnation: Incarnation,
    /// The newest term and vote.
    pub ballot: Ballot,
    /// The newest snapshot.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The entries after the snapshot, or from the beginning.
    pub entries: Vec<Entry>,
    /// The newest view and seats seen.
    pub view: Option<(Arc<View>, Arc<Seats>)>,
    /// The chunks of the file store that are durable beside the records.
    pub chunks: Vec<Chunk>,
}

impl Disk {
    /// Folds one more record in.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Cluster(cluster) => self.cluster = *cluster,
            Record::Incarnation(incarnation) => self.incarnation = *incarnation,
            Record::Ballot(ballot) => self.ballot = *ballot,
            Record::View { view, seats } => self.view = Some((Arc::clone(view), Arc::clone(seats))),
            Record::Entries(entries) => {
                let first = entries.first().expect("a record of entries is never empty").position.index;
                let keep = self.entries.partition_point(|entry| entry.position.index < first);
                self.entries.truncate(keep);
                self.entries.extend_from_slice(entries);
            }
            Record::Snapshot(snapshot) => {
                let covered = |entry: &Entry| entry.position.index <= snapshot.last.index;
                // What follows the snapshot stays only if it continues the very log that the snapshot is of.
                let continues = self
                    .entries
                    .iter()
                    .find(|entry| entry.position.index == snapshot.last.index)
                    .is_some_and(|entry| entry.position == snapshot.last);
                self.entries.retain(|entry| continues && !covered(entry));
                self.snapshot = Some(Arc::clone(snapshot));
            }
        }
    }

    /// The disk of a member as the formation of a cluster leaves it, before any start: the founding entries, committed
    /// in epoch 1, on the voters; the first view on everyone.
    ///
    /// `members` carry incarnation 1, which is what the first start from this disk counts up to.
    pub fn formed(cluster: ClusterId, me: NodeId, view: &Arc<View>, seats: &Arc<Seats>) -> Disk {
        assert!(seats.voters.is_sorted() && seats.learners.is_sorted(), "seats are listed in order");
        let holds_log = seats.voters.contains(&me) || seats.learners.contains(&me);
        let entry = |index, payload| Entry {
            position: Position { epoch: Epoch(1), index: Index(index) },
            at: Time::ZERO,
            payload: Arc::new(payload),
        };
        let founding = |members: &[Member]| {
            Command::ChangeView(ViewChange { joined: members.to_vec(), gone: Vec::new() })
        };
        let entries = if holds_log {
            vec![
                entry(1, Payload::Seats(Arc::clone(seats))),
                entry(2, Payload::Command(founding(view.members()))),
            ]
        } else {
            Vec::new()
        };
        Disk {
            cluster,
            incarnation: Incarnation(0),
            ballot: Ballot { epoch: Epoch(1), vote: None },
            snapshot: None,
            entries,
            view: Some((Arc::clone(view), Arc::clone(seats))),
            chunks: Vec::new(),
        }
    }
}
