//! Filling the end of a stale log from whoever has it, so that a badly connected cluster still finds a leader.
//!
//! Why this is safe is argued in the docs of [the log](super).

use std::sync::Arc;

use super::super::entry::{Entry, Index, Position};
use super::super::message::{LogMessage, Suffix};
use super::super::mutant::Mutant;
use super::{Log, Role, Turn};
use crate::base::NodeId;

/// Entries kept of a suffix that arrives in several parts and is not yet better than what it would replace.
const GATHERED_ENTRIES_MAX: usize = 1 << 16;

/// The beginning of someone's suffix: not yet more than this node has itself. It continues a place in the own log. Whose it is does not
/// matter: whoever has its last entry has all of it.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Never empty.
    entries: Vec<Entry>,
    /// Whether it has grown since this node asked last.
    grown: bool,
}

impl Gathered {
    pub(super) fn end(&self) -> Position {
        self.entries.last().expect("never empty").position
    }

    /// What is worth keeping when this node asks anew.
    pub(super) fn carried_over(self) -> Option<Gathered> {
        self.grown.then_some(Gathered { grown: false, ..self })
    }
}

impl Log {
    /// Someone whose log is stale asks for what follows `after`.
    pub(super) fn on_fetch(&mut self, t: &mut Turn, from: NodeId, after: Index) {
        if after >= self.store.last().index {
            return;
        }
        if let Some(previous) = self.store.position(after) {
            let entries = self.store.from(after.next(), self.sizes.append);
            let suffix = Suffix { epoch: self.epoch(), previous, entries, commit: self.store.commit() };
            t.send(from, LogMessage::Suffix(Arc::new(suffix)));
        } else if let Some(image) = self.store.image() {
            let (last, size) = (image.last(), image.size());
            t.send(from, LogMessage::Install { epoch: self.epoch(), last, size });
        }
    }

    /// What follows the own committed entries in someone else's log.
    pub(super) fn on_suffix(&mut self, t: &mut Turn, from: NodeId, suffix: &Suffix) {
        let Role::Asking(asking) = &mut self.role else { return };
        let Some(last) = suffix.entries.last() else { return };
        let end: Position = last.position;
        if !asking.fetched_from(from) {
            return;
        }
        let mut entries = match asking.gathered.take() {
            Some(gathered) if gathered.end() == suffix.previous => gathered.entries,
            Some(gathered) if gathered.end().index >= end.index => {
                // A late or doubled part.
                asking.gathered = Some(gathered);
                return;
            }
            _ if self.store.position(suffix.previous.index) == Some(suffix.previous) => Vec::new(),
            _ => return,
        };
        entries.extend_from_slice(&suffix.entries);
        let longer = end.index > self.store.last().index && self.planted.has(Mutant::AdoptsLonger);
        if end > self.store.last() || longer {
            self.adopt(t, from, suffix, &entries, end);
        } else if entries.len() <= GATHERED_ENTRIES_MAX {
            asking.gathered = Some(Gathered { entries, grown: true });
            t.send(from, LogMessage::Fetch { after: end.index });
        }
    }

    /// Makes the log end as the sender's does, takes over the sender's term, and asks for more, or asks the voters again.
    fn adopt(&mut self, t: &mut Turn, from: NodeId, suffix: &Suffix, entries: &[Entry], end: Position) {
        if end.index <= self.store.commit() {
            return;
        }
        self.raise(t, suffix.epoch);
        if let Role::Asking(asking) = &mut self.role {
            asking.gathered = None;
        }
        let before = Arc::clone(self.store.seats());
        if self.store.merge(entries, t.out) {
            self.reseat(t, &before);
            // The logs agree up to `end`, so that what is committed there is committed here.
            if suffix.commit.min(end.index) > self.store.commit() {
                self.commit_to(t, suffix.commit.min(end.index));
            }
            match &self.role {
                Role::Asking(asking) if asking.best > end => {
                    t.send(from, LogMessage::Fetch { after: end.index });
                }
                Role::Follower | Role::Asking(_) | Role::Standing(_) | Role::Leading(_) => self.ask_again(t),
            }
        }
    }
}
