//! Invariant 2: the committed log, place by place, as every node applies it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::elections::Elections;
use super::roster::Who;
use super::verdict::{Findings, Invariant};
use crate::base::{Epoch, Fold, Time};
use crate::history::Machine;
use crate::node::{Change, Entry, Index, Payload, Position};

/// For this many of the newest places the entry itself is kept, so that comparing it costs no digest.
const RECENT: usize = 256;

/// What stands at one place of the log: what the first node to apply it said.
#[derive(Clone, Copy, Debug)]
struct Place {
    epoch: Epoch,
    at: Time,
    first: Machine,
    entry: u128,
    changes: u128,
    state: u128,
}

/// How far a process has come.
#[derive(Clone, Copy, Debug, Default)]
struct Reader {
    applied: Option<Index>,
    /// It said something else than others, which was reported; what it says from then on is not compared.
    astray: bool,
}

/// The committed log.
#[derive(Debug, Default)]
pub(super) struct Log {
    places: Vec<Place>,
    /// How many places come before these. They are not known, because the history lacks them.
    before: u64,
    /// Payloads and effects of the last places.
    recent: VecDeque<(Arc<Payload>, Arc<[Change]>)>,
    readers: Vec<Reader>,
}

impl Log {
    /// The last place that any node has applied.
    pub(super) fn committed(&self) -> Index {
        Index(self.before + self.places.len() as u64)
    }

    /// After which place the log was taken up last, because the history lacks what was before; 0 when it lacks nothing.
    pub(super) fn taken_up(&self) -> Index {
        Index(self.before)
    }

    /// What is known up to `last` belongs to another stretch than what follows.
    fn take_up(&mut self, last: Index) {
        self.before = last.0;
        self.places.clear();
        self.recent.clear();
    }

    /// What is known of a place; of one before the log was taken up nothing is.
    fn place(&self, index: Index) -> Option<Place> {
        let number = index.0.checked_sub(self.before + 1)?;
        self.places.get(number as usize).copied()
    }

    /// Whether the log has the entry of this position.
    pub(super) fn has(&self, position: Position) -> bool {
        self.place(position.index).is_some_and(|place| place.epoch == position.epoch)
    }

    /// The seats in force changed on a node, which leads `leads` if it leads: then it has made the change. Two leaders whose changes
    /// are not committed could have majorities that share nobody, unless each has committed an entry of its own first.
    pub(super) fn on_seated(&self, who: Who, leads: Option<Epoch>, findings: &mut Findings) {
        let Some(epoch) = leads else { return };
        if findings.gaps.any() && self.places.is_empty() {
            return;
        }
        if self.places.last().is_none_or(|place| place.epoch < epoch) {
            let detail =
                format_args!("it changed the seats in {epoch} before an entry of {epoch} was committed");
            findings.report(Invariant::LogKept, who.at, &[who.machine], detail);
        }
    }

    pub(super) fn on_up(&mut self, machine: Machine) {
        *self.reader(machine) = Reader::default();
    }

    fn reader(&mut self, machine: Machine) -> &mut Reader {
        let place = machine as usize;
        if place >= self.readers.len() {
            self.readers.resize(place + 1, Reader::default());
        }
        &mut self.readers[place]
    }

    /// A node applied an entry: whether it is the first to do so, and its word is the truth from now on.
    pub(super) fn on_applied(
        &mut self,
        who: Who,
        (entry, changes, state): (&Entry, &Arc<[Change]>, u128),
        elections: &Elections,
        findings: &mut Findings,
    ) -> bool {
        let index = entry.position.index;
        let reader = self.reader(who.machine);
        let before = reader.applied.replace(index);
        if reader.astray {
            return false;
        }
        if let Some(before) = before.filter(|before| before.next() != index) {
            reader.astray = true;
            let detail = format_args!("it applied {index} after {before}");
            findings.report(Invariant::LogKept, who.at, &[who.machine], detail);
            return false;
        }
        if findings.gaps.any() && index > self.committed().next() {
            self.take_up(Index(index.0 - 1));
        }
        let committed = self.committed();
        let reader = self.reader(who.machine);
        if index == Index(0) || index > committed.next() {
            reader.astray = true;
            let detail = format_args!("it applied {index} when nobody had applied more than {committed}");
            findings.report(Invariant::LogKept, who.at, &[who.machine], detail);
            return false;
        }
        if index <= committed {
            let Some(place) = self.place(index) else { return false };
            findings.census.entries_compared += 1;
            if let Some(difference) = self.difference(&place, entry, changes, state) {
                self.reader(who.machine).astray = true;
                findings.report(
                    Invariant::LogKept,
                    who.at,
                    &[place.first, who.machine],
                    format_args!("at {index} they have {difference}"),
                );
            }
            return false;
        }
        self.extend(who, entry, changes, state, elections, findings);
        true
    }

    /// What differs between an entry and what is known of its place.
    fn difference(
        &self,
        place: &Place,
        entry: &Entry,
        changes: &Arc<[Change]>,
        state: u128,
    ) -> Option<&'static str> {
        let back = (self.committed().0 - entry.position.index.0) as usize;
        let recent = self.recent.len().checked_sub(back + 1).map(|place| &self.recent[place]);
        let (same_entry, same_changes) = match recent {
            Some((payload, effects)) => (
                (entry.position.epoch, entry.at) == (place.epoch, place.at)
                    && (Arc::ptr_eq(payload, &entry.payload) || *payload == entry.payload),
                Arc::ptr_eq(effects, changes) || effects == changes,
            ),
            None => (place.entry == entry.digest(), place.changes == Fold::of(changes)),
        };
        if !same_entry {
            Some("different committed entries")
        } else if !same_changes {
            Some("the same entry with different effects")
        } else if place.state != state {
            Some("the same entry and different states")
        } else {
            None
        }
    }

    /// A place that nobody had applied before.
    fn extend(
        &mut self,
        who: Who,
        entry: &Entry,
        changes: &Arc<[Change]>,
        state: u128,
        elections: &Elections,
        findings: &mut Findings,
    ) {
        findings.census.entries += 1;
        let Position { epoch, index } = entry.position;
        let last = self.places.last().map_or((Epoch(0), Time::ZERO), |place| (place.epoch, place.at));
        if epoch < last.0 || entry.at < last.1 {
            findings.report(
                Invariant::LogKept,
                who.at,
                &[who.machine],
                format_args!(
                    "{index} was made in {epoch} at {} of cluster time, after an entry of {} at {}",
                    entry.at, last.0, last.1
                ),
            );
        }
        // The founding entries of epoch 1 may stand on the disks from the beginning.
        if epoch > last.0 && epoch > Epoch(1) && !findings.gaps.any() {
            match elections.reign(epoch) {
                None => findings.report(
                    Invariant::LogKept,
                    who.at,
                    &[who.machine],
                    format_args!("{index} was made in {epoch}, which nobody led"),
                ),
                Some(reign) if reign.committed >= index => findings.report(
                    Invariant::LogKept,
                    who.at,
                    &[reign.machine, who.machine],
                    format_args!(
                        "the leader of {epoch} made {index}, which had been committed up to {} before it was elected",
                        reign.committed
                    ),
                ),
                Some(_) => {}
            }
        }
        let (entry_digest, changes_digest) = (entry.digest(), Fold::of(changes));
        self.places.push(Place {
            epoch,
            at: entry.at,
            first: who.machine,
            entry: entry_digest,
            changes: changes_digest,
            state,
        });
        self.recent.push_back((Arc::clone(&entry.payload), Arc::clone(changes)));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// A node replaced its state by a snapshot.
    pub(super) fn on_restored(&mut self, who: Who, last: Position, state: u128, findings: &mut Findings) {
        if findings.gaps.any() && last.index > self.committed() {
            self.take_up(last.index);
        }
        let committed = self.committed();
        let reader = self.reader(who.machine);
        let before = reader.applied.replace(last.index);
        reader.astray = false;
        let mut report = |machines: &[Machine], detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::LogKept, who.at, machines, detail);
        };
        if let Some(before) = before.filter(|&before| before > last.index) {
            report(
                &[who.machine],
                format_args!("it went back from {before} to a snapshot of {}", last.index),
            );
        }
        if last.index > committed {
            reader.astray = true;
            let detail =
                format_args!("it has a snapshot of {}, and nobody applied more than {committed}", last.index);
            report(&[who.machine], detail);
        } else if let Some(place) = self.place(last.index) {
            if (place.epoch, place.state) != (last.epoch, state) {
                self.reader(who.machine).astray = true;
                let detail = format_args!("its snapshot of {} has another state", last.index);
                report(&[place.first, who.machine], detail);
            }
            findings.census.snapshots_compared += 1;
        }
    }
}
