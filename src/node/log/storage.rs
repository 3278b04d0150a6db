//! The log as one node holds it: entries in memory, the snapshot before them, and how much of it is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::entry::{Command, Entry, Index, Inputs, Payload, Position, Seats};
use super::super::io::{Outbox, Token};
use super::super::message::Request;
use super::super::record::{Disk, Record, Snapshot};
use super::seats::SeatHistory;
use super::snapshot::Image;
use crate::base::{NodeId, Time};

/// Entries, snapshot, seats, and what of them is committed and durable.
#[derive(Debug)]
pub(super) struct Store {
    image: Option<Arc<Image>>,
    /// The entry before the first of `entries`. At most as far as the snapshot reaches: the entries since the snapshot before
    /// it are kept for those who are only a little behind.
    base: Position,
    entries: VecDeque<Entry>,
    seats: SeatHistory,
    commit: Index,
    /// The disk holds the log, as it is now, up to here.
    durable: Index,
    /// Writes under way in their order: once the token is durable, the log is durable up to the index.
    writes: VecDeque<(Token, Index)>,
}

impl Store {
    /// Holds nothing.
    pub(super) fn empty() -> Store {
        Store {
            image: None,
            base: Position::default(),
            entries: VecDeque::new(),
            seats: SeatHistory::empty(),
            commit: Index(0),
            durable: Index(0),
            writes: VecDeque::new(),
        }
    }

    /// What a disk holds, all of it durable.
    pub(super) fn of(disk: &Disk) -> Store {
        let mut store = Store::empty();
        if let Some(snapshot) = &disk.snapshot {
            store.base = snapshot.last;
            store.commit = snapshot.last.index;
            store.seats = SeatHistory::from_snapshot(snapshot.last.index, Arc::clone(&snapshot.seats));
            store.image = Some(Arc::new(Image::new(Arc::clone(snapshot))));
        }
        for entry in &disk.entries {
            assert_eq!(entry.position.index, store.last().index.next(), "a disk holds entries without gaps");
            store.hold(entry.clone());
        }
        store.durable = store.last().index;
        store
    }

    /// The newest snapshot, ready to be handed out.
    pub(super) fn image(&self) -> Option<&Arc<Image>> {
        self.image.as_ref()
    }

    /// Where the log ends.
    pub(super) fn last(&self) -> Position {
        self.entries.back().map_or(self.base, |entry| entry.position)
    }

    /// Cluster time at the end of the log.
    pub(super) fn last_at(&self) -> Time {
        let snapshot_at = self.image.as_ref().map_or(Time::ZERO, |image| image.snapshot().at);
        self.entries.back().map_or(snapshot_at, |entry| entry.at)
    }

    /// Up to where the log is known to be committed.
    pub(super) fn commit(&self) -> Index {
        self.commit
    }

    /// Up to where the log, as it is now, is on the disk.
    pub(super) fn durable(&self) -> Index {
        self.durable
    }

    /// The seats in force.
    pub(super) fn seats(&self) -> &Arc<Seats> {
        self.seats.current()
    }

    /// The seats that were in force at `index`, which no snapshot before the last one covers.
    pub(super) fn seats_at(&self, index: Index) -> &Arc<Seats> {
        self.seats.at(index)
    }

    /// Every voter of the seats since the last snapshot.
    pub(super) fn voters_so_far(&self) -> impl Iterator<Item = NodeId> {
        self.seats.voters_so_far()
    }

    /// Where the seats in force came into force.
    pub(super) fn seats_since(&self) -> Index {
        self.seats.since()
    }

    /// Every entry in memory, in order.
    #[cfg(test)]
    pub(super) fn entries_for_tests(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The position at `index`, while it is in memory: from the place before the first entry to the last.
    pub(super) fn position(&self, index: Index) -> Option<Position> {
        if index == self.base.index {
            return Some(self.base);
        }
        self.entry(index).map(|entry| entry.position)
    }

    /// The entry at `index`, while it is in memory.
    pub(super) fn entry(&self, index: Index) -> Option<&Entry> {
        let place = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(place as usize)
    }

    /// The entries from `first` on, as many as `bytes_max` allows but at least one if there is any.
    pub(super) fn from(&self, first: Index, bytes_max: usize) -> Vec<Entry> {
        assert!(first > self.base.index, "the caller asked whether the entry before is there");
        let skipped = (first.0 - self.base.index.0 - 1) as usize;
        let mut bytes = 0;
        self.entries
            .range(skipped.min(self.entries.len())..)
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += size(entry);
                first || bytes <= bytes_max
            })
            .cloned()
            .collect()
    }

    /// The last place at which a log that has `previous`, where this one has something else or nothing, may agree with this one.
    pub(super) fn may_agree(&self, previous: Position) -> Index {
        let end = self.last().index.min(previous.index.previous());
        // Terms never decrease along a log: what is of a later term than `previous` cannot be before it.
        let mut agree = end;
        while agree > self.commit && self.position(agree).is_some_and(|here| here.epoch > previous.epoch) {
            agree = agree.previous();
        }
        agree.max(self.commit)
    }

    fn hold(&mut self, entry: Entry) {
        if let Payload::Seats(seats) = &*entry.payload {
            self.seats.append(entry.position.index, Arc::clone(seats));
        }
        self.entries.push_back(entry);
    }

    fn write(&mut self, record: Record, covers: Index, out: &mut Outbox) -> Token {
        let token = out.persist(record);
        self.writes.push_back((token, covers));
        token
    }

    /// Adds entries to the end and writes them.
    pub(super) fn append(&mut self, entries: Vec<Entry>, out: &mut Outbox) {
        for entry in &entries {
            assert_eq!(entry.position.index, self.last().index.next(), "entries are appended without gaps");
            assert!(entry.position.epoch >= self.last().epoch, "terms never decrease along a log");
            self.hold(entry.clone());
        }
        let last = self.last().index;
        self.write(Record::Entries(entries), last, out);
    }

    /// Makes this log agree with another one at `entries`, which follow a place where the two agree: what is missing is
    /// added and written, what is different is replaced together with everything after it, what is there already stays. Returns
    /// false, with nothing changed, when that would replace a committed entry.
    pub(super) fn merge(&mut self, entries: &[Entry], out: &mut Outbox) -> bool {
        let lacks = |entry: &Entry| {
            let index = entry.position.index;
            index >= self.base.index && self.position(index) != Some(entry.position)
        };
        let Some(first) = entries.iter().position(lacks) else { return true };
        let from = entries[first].position.index;
        if from <= self.commit {
            return false;
        }
        self.truncate(from);
        self.append(entries[first..].to_vec(), out);
        true
    }

    /// Forgets the entries from `first` on, none of them committed. The record that replaces them follows at once.
    fn truncate(&mut self, first: Index) {
        assert!(first > self.commit, "a committed entry is never replaced");
        self.entries.truncate((first.0 - self.base.index.0 - 1) as usize);
        self.seats.truncate(first);
        self.distrust(first.previous());
    }

    /// What the disk holds after `last`, now or when the writes under way are done, is no longer this log.
    fn distrust(&mut self, last: Index) {
        self.durable = self.durable.min(last);
        for (_, covers) in &mut self.writes {
            *covers = (*covers).min(last);
        }
    }

    /// Every write up to `token` is durable. Returns whether more of the log is durable than before.
    pub(super) fn persisted(&mut self, token: Token) -> bool {
        let before = self.durable;
        let done = self.writes.partition_point(|(written, _)| *written <= token);
        for (_, covers) in self.writes.drain(..done) {
            self.durable = self.durable.max(covers);
        }
        self.durable > before
    }

    /// The write that must be durable before the log is durable up to `index`; `None` when it already is.
    pub(super) fn awaits(&self, index: Index) -> Option<Token> {
        if index <= self.durable {
            return None;
        }
        let covering = self.writes.iter().find(|(_, covers)| *covers >= index);
        Some(covering.expect("every entry is durable or being written").0)
    }

    /// Takes the log as committed up to `index` and returns what is newly committed.
    pub(super) fn commit_to(&mut self, index: Index) -> impl Iterator<Item = &Entry> {
        assert!(index <= self.last().index, "only what is there can be committed");
        let from = self.commit.0 - self.base.index.0;
        self.commit = self.commit.max(index);
        self.entries.range(from as usize..(self.commit.0 - self.base.index.0) as usize)
    }

    /// Replaces the entries up to `last`, which are committed, by a snapshot of the state and the seats there. In memory those since the
    /// snapshot before stay, as far as `keep_bytes` allows. Nothing happens when a snapshot reaches as far already.
    pub(super) fn compact(
        &mut self,
        last: Index,
        seats: Arc<Seats>,
        state: Arc<[u8]>,
        keep_bytes: usize,
        out: &mut Outbox,
    ) {
        assert!(last <= self.commit, "only committed entries are compacted");
        let before = self.image.as_ref().map_or(Index(0), |image| image.snapshot().last.index);
        if last <= before {
            return;
        }
        let entry = self.entry(last).expect("entries after the last snapshot are in memory");
        let snapshot = Arc::new(Snapshot { last: entry.position, at: entry.at, seats, state });
        self.write(Record::Snapshot(Arc::clone(&snapshot)), last, out);
        self.image = Some(Arc::new(Image::new(snapshot)));
        self.seats.forget_before(last);
        let covered = (last.0 - self.base.index.0) as usize;
        let mut bytes = 0;
        let kept = self
            .entries
            .range(..covered)
            .rev()
            .take_while(|entry| {
                bytes += size(entry);
                entry.position.index > before && bytes <= keep_bytes
            })
            .count();
        if let Some(dropped) = self.entries.drain(..covered - kept).next_back() {
            self.base = dropped.position;
        }
    }

    /// Replaces everything up to the end of `snapshot`, which is committed, by it. What follows stays if it continues the very
    /// log that the snapshot is of; otherwise it contradicts a committed entry, or is not there. Returns the write to wait for.
    pub(super) fn install(&mut self, snapshot: &Arc<Snapshot>, out: &mut Outbox) -> Token {
        let last = snapshot.last;
        assert!(last.index > self.commit, "a snapshot is installed only when it brings something new");
        if self.position(last.index) == Some(last) {
            self.entries.drain(..(last.index.0 - self.base.index.0) as usize);
            self.seats.forget_before(last.index);
        } else {
            self.entries.clear();
            self.seats = SeatHistory::from_snapshot(last.index, Arc::clone(&snapshot.seats));
            // The committed part stays on the disk until the snapshot takes its place, the rest is void.
            self.distrust(self.commit);
        }
        self.base = last;
        self.commit = last.index;
        self.image = Some(Arc::new(Image::new(Arc::clone(snapshot))));
        self.write(Record::Snapshot(Arc::clone(snapshot)), last.index, out)
    }
}

/// About how many bytes an entry takes on the wire; never less than 1.
pub(in super::super) fn size(entry: &Entry) -> usize {
    const FIXED: usize = 48;
    let payload = match &*entry.payload {
        Payload::Noop => 0,
        Payload::Seats(seats) => 10 * (seats.voters.len() + seats.learners.len()),
        Payload::Command(Command::ChangeView(change)) => {
            let text = |texts: [&Arc<str>; 3]| texts.iter().map(|text| text.len() + 2).sum::<usize>();
            let member = |m: &super::super::Member| 28 + text([&m.name, &m.kind, &m.address]);
            change.joined.iter().map(member).sum::<usize>() + 16 * change.gone.len()
        }
        Payload::Command(Command::Request { request, .. }) => match &**request {
            Request::Submit(spec) => {
                let inputs = match &spec.inputs {
                    Inputs::Range { dataset, .. } => dataset.len() + 20,
                    Inputs::Names(names) => names.iter().map(|name| name.len() + 5).sum(),
                };
                48 + spec.name.len() + spec.model.len() + inputs
            }
            Request::Cancel(_)
            | Request::SetBatch { .. }
            | Request::Forget(_)
            | Request::Jobs
            | Request::Stop(_)
            | Request::Resume(_)
            | Request::Read(_)
            | Request::Drain { .. }
            | Request::HandOver { .. } => 16,
            Request::SetPolicy(name) => 16 + name.len(),
            Request::Put(put) => 32 + put.name.len() + 37 * put.content.chunks.len(),
            Request::Delete { name, .. } => 32 + name.len(),
        },
        Payload::Command(Command::Complete(completions)) => completions
            .iter()
            .map(|completion| {
                let failed = completion.answer.failed.iter().map(|failure| 10 + failure.reason.len());
                64 + completion.answer.predictions.len() + failed.sum::<usize>()
            })
            .sum(),
    };
    FIXED + payload
}
