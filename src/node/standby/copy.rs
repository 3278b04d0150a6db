//! The whole state as coordinator and standby hold it in memory: a snapshot, and the entries after it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::config::limits;
use super::super::entry::{Command, Entry, Index, Payload, Position, Seats};
use super::super::log::size;
use super::super::message::Whole;
use super::super::record::Snapshot;
use crate::base::{NodeId, Time};

/// A snapshot, the entries after it, and what follows from both.
#[derive(Debug, Default)]
pub(super) struct Copy {
    base: Option<Arc<Snapshot>>,
    entries: VecDeque<Entry>,
    /// What was in force at the snapshot.
    before: Standing,
    /// What is in force at the end.
    now: Standing,
}

/// Who holds the state, and who came when.
#[derive(Clone, Debug, Default)]
struct Standing {
    seats: Arc<Seats>,
    /// The members in the order of their arrival; those who came together in the order of their names.
    seniority: Vec<NodeId>,
}

impl Standing {
    fn follow(&mut self, entry: &Entry) {
        match &*entry.payload {
            Payload::Seats(seats) => self.seats = Arc::clone(seats),
            Payload::Command(Command::ChangeView(change)) => {
                let mut joined: Vec<_> = change.joined.iter().collect();
                // n2 comes before n10.
                joined.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
                let leaves = |id: &NodeId| {
                    change.gone.iter().any(|(gone, _)| gone == id)
                        || change.joined.iter().any(|member| member.id == *id)
                };
                self.seniority.retain(|id| !leaves(id));
                self.seniority.extend(joined.iter().map(|member| member.id));
            }
            Payload::Noop | Payload::Command(_) => {}
        }
    }
}

impl Copy {
    /// What a coordinator hands over to a new standby.
    pub(super) fn of(whole: &Whole) -> Copy {
        let seats = Arc::clone(&whole.snapshot.seats);
        let standing = Standing { seats, seniority: whole.seniority.clone() };
        Copy {
            base: Some(Arc::clone(&whole.snapshot)),
            entries: VecDeque::new(),
            before: standing.clone(),
            now: standing,
        }
    }

    fn base(&self) -> Position {
        self.base.as_ref().map_or(Position::default(), |snapshot| snapshot.last)
    }

    /// Where it ends.
    pub(super) fn last(&self) -> Position {
        self.entries.back().map_or(self.base(), |entry| entry.position)
    }

    /// Cluster time at its end.
    pub(super) fn last_at(&self) -> Time {
        let base = self.base.as_ref().map_or(Time::ZERO, |snapshot| snapshot.at);
        self.entries.back().map_or(base, |entry| entry.at)
    }

    /// Who holds the state at its end.
    pub(super) fn seats(&self) -> &Arc<Seats> {
        &self.now.seats
    }

    /// The members at its end, those who have belonged longest first.
    pub(super) fn seniority(&self) -> &[NodeId] {
        &self.now.seniority
    }

    /// The position at `index`, unless the snapshot covers it or it is beyond the end.
    pub(super) fn position(&self, index: Index) -> Option<Position> {
        if index == self.base().index {
            return Some(self.base());
        }
        let place = index.0.checked_sub(self.base().index.0 + 1)?;
        self.entries.get(place as usize).map(|entry| entry.position)
    }

    /// The entries after `index` in order, as many as fit into a message, but at least one if there is any.
    pub(super) fn after(&self, index: Index) -> Vec<Entry> {
        let mut bytes = 0;
        self.all_after(index)
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += size(entry);
                first || bytes <= limits::APPEND_BYTES_MAX
            })
            .cloned()
            .collect()
    }

    /// All entries after `index`, which the snapshot must not go beyond.
    pub(super) fn all_after(&self, index: Index) -> impl Iterator<Item = &Entry> {
        let skipped = index.0.checked_sub(self.base().index.0).expect("what the snapshot covers is gone");
        self.entries.range((skipped as usize).min(self.entries.len())..)
    }

    /// Adds the next entry.
    pub(super) fn append(&mut self, entry: Entry) {
        assert_eq!(entry.position.index, self.last().index.next(), "entries come without gaps");
        self.now.follow(&entry);
        self.entries.push_back(entry);
    }

    /// Lets a snapshot of the state at `last` stand for the entries up to there.
    pub(super) fn compact(&mut self, last: Index, state: Arc<[u8]>) {
        let Some(position) = self.position(last).filter(|_| last > self.base().index) else { return };
        let covered = (last.0 - self.base().index.0) as usize;
        let mut at = Time::ZERO;
        for entry in self.entries.drain(..covered) {
            self.before.follow(&entry);
            at = entry.at;
        }
        let seats = Arc::clone(&self.before.seats);
        self.base = Some(Arc::new(Snapshot { last: position, at, seats, state }));
    }

    /// The snapshot, as a new standby needs it; `None` when none was made yet.
    pub(super) fn whole(&self) -> Option<Whole> {
        let snapshot = Arc::clone(self.base.as_ref()?);
        Some(Whole { snapshot, seniority: self.before.seniority.clone() })
    }
}
