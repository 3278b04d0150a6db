//! A member's part of the file store: which chunks its disk holds, and telling the coordinator so.
//!
//! The driver moves the bytes and says what became of them, in the order in which it happened to the disk. What the coordinator has to
//! know is repeated until it confirms it, so that no message matters. Every time that a chunk is wanted here it gets a new **stamp**:
//! the coordinator drops chunks by stamp, so that an order to drop one that is late cannot touch a chunk that it has counted on since.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::limits::{FETCHES_MAX, HOLDS_MAX};
use super::io::{ChunkCommand, ChunkEvent, Outbox};
use super::message::{Body, Holding, Holds, StoreMessage, Tend};
use super::observation::Observation;
use super::worker::WorkerFacts;
use crate::base::{Chunk, ChunkId, Epoch, Incarnation, NodeId, Span, Time};

/// How long the first wait for a confirmation lasts; each further one is twice as long.
const FIRST_WAIT: Span = Span::millis(20);
/// How long the longest lasts.
const WAIT_MAX: Span = Span::secs(1);

/// What a member knows of the chunks on its disk.
#[derive(Debug)]
pub(super) struct Store {
    held: BTreeMap<ChunkId, Held>,
    /// Whether what the disk held when the process began has been observed.
    observed: bool,
    /// What is on its way here.
    fetching: BTreeMap<ChunkId, Chunk>,
    /// What the driver was told to drop and has not said to be gone: what it says to have got of these it got before.
    dropping: BTreeSet<ChunkId>,
    stamps: u64,
    /// What the coordinator has not confirmed to know.
    unreported: BTreeMap<ChunkId, News>,
    changes: u64,
    /// Whom it reports to, in which reign and as whom.
    to: Option<Reader>,
    serial: u64,
    /// What was said last: its number, and the changes that it told of.
    said: Option<(u64, Vec<(ChunkId, u64)>)>,
    again_at: Time,
    wait: Span,
}

type Reader = (Epoch, NodeId, Incarnation);

/// That something about a chunk has changed.
#[derive(Clone, Copy, Debug)]
struct News {
    /// The number of the change.
    number: u64,
    chunk: Chunk,
    /// Whether the disk could not take it.
    unwritten: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: u32,
    stamp: u64,
}

impl Store {
    /// One whose disk holds these.
    pub(super) fn new(chunks: &[Chunk]) -> Store {
        let stamped = |(place, chunk): (usize, &Chunk)| {
            (chunk.id, Held { bytes: chunk.bytes, stamp: place as u64 + 1 })
        };
        Store {
            held: chunks.iter().enumerate().map(stamped).collect(),
            observed: false,
            fetching: BTreeMap::new(),
            dropping: BTreeSet::new(),
            stamps: chunks.len() as u64,
            unreported: BTreeMap::new(),
            changes: 0,
            to: None,
            serial: 0,
            said: None,
            again_at: Time::NEVER,
            wait: FIRST_WAIT,
        }
    }

    /// When [`Store::wake`] is due.
    pub(super) fn deadline(&self) -> Time {
        self.again_at
    }

    /// Says again what was not confirmed.
    pub(super) fn wake(&mut self, now: Time, out: &mut Outbox) {
        self.again_at = Time::NEVER;
        self.said = None;
        self.report(now, out);
    }

    /// Ends a step: a coordinator of whom this life hears first is told everything, others what is new.
    pub(super) fn settle(&mut self, now: Time, facts: WorkerFacts, out: &mut Outbox) {
        if !std::mem::replace(&mut self.observed, true) {
            // Some may have become durable just before the last process ended, which then never heard of it.
            for &chunk in self.held.keys() {
                out.observe(Observation::ChunkHeld { chunk });
            }
        }
        let to = facts
            .coordinator
            .filter(|_| facts.member)
            .map(|coordinator| (facts.epoch, coordinator, facts.incarnation));
        if to != self.to {
            self.to = to;
            self.said = None;
            self.again_at = Time::NEVER;
            let held = self.held.iter();
            let all: Vec<Chunk> = held.map(|(&id, held)| Chunk { id, bytes: held.bytes }).collect();
            for chunk in all {
                self.changed(chunk);
            }
        }
        self.report(now, out);
    }

    /// Says the next part of what the coordinator does not know, unless the last one is not confirmed.
    fn report(&mut self, now: Time, out: &mut Outbox) {
        let Some((epoch, coordinator, incarnation)) = self.to else { return };
        if self.said.is_some() || self.unreported.is_empty() {
            return;
        }
        let holding = |(id, news): (&ChunkId, &News)| Holding {
            chunk: news.chunk,
            stamp: self.held.get(id).map(|held| held.stamp),
            unwritten: news.unwritten,
        };
        let chunks: Vec<Holding> = self.unreported.iter().take(HOLDS_MAX).map(holding).collect();
        let changes = self.unreported.iter().take(HOLDS_MAX).map(|(&id, news)| (id, news.number)).collect();
        self.serial += 1;
        self.said = Some((self.serial, changes));
        self.again_at = now + self.wait;
        self.wait = (self.wait * 2).min(WAIT_MAX);
        let holds = Holds { epoch, incarnation, serial: self.serial, chunks };
        out.send(coordinator, Body::Store(StoreMessage::Holds(Arc::new(holds))));
    }

    pub(super) fn receive(&mut self, from: NodeId, message: &StoreMessage, out: &mut Outbox) {
        let Some(to) = self.to else { return };
        match message {
            StoreMessage::Noted { epoch, incarnation, serial } => {
                if (*epoch, from, *incarnation) == to {
                    self.noted(*serial);
                }
            }
            StoreMessage::Tend(tend) => {
                if (tend.epoch, from, tend.incarnation) == to {
                    let (epoch, _, incarnation) = to;
                    out.send(from, Body::Store(StoreMessage::Tending { epoch, incarnation }));
                    self.tend(tend, out);
                }
            }
            StoreMessage::Holds(_)
            | StoreMessage::Tending { .. }
            | StoreMessage::Seek { .. }
            | StoreMessage::Found(_) => {}
        }
    }

    fn noted(&mut self, serial: u64) {
        let Some((_, changes)) = self.said.take_if(|(said, _)| *said == serial) else { return };
        for (id, change) in changes {
            if self.unreported.get(&id).is_some_and(|news| news.number == change) {
                self.unreported.remove(&id);
            }
        }
        self.again_at = Time::NEVER;
        self.wait = FIRST_WAIT;
    }

    /// Does what the coordinator says about single chunks.
    fn tend(&mut self, tend: &Tend, out: &mut Outbox) {
        for fetch in &tend.fetch {
            let chunk = fetch.chunk;
            if self.held.contains_key(&chunk.id) {
                self.stamp(chunk);
            } else if !self.fetching.contains_key(&chunk.id) && self.fetching.len() < 2 * FETCHES_MAX {
                self.fetching.insert(chunk.id, chunk);
                out.chunk(ChunkCommand::Fetch { chunk, from: fetch.from.clone().into() });
            }
        }
        for (chunk, stamp) in &tend.drop {
            if self.held.get(&chunk.id).is_some_and(|held| held.stamp == *stamp) {
                self.held.remove(&chunk.id);
                self.dropping.insert(chunk.id);
                out.chunk(ChunkCommand::Drop { chunk: chunk.id });
                out.observe(Observation::ChunkDropped { chunk: chunk.id });
            }
            self.changed(*chunk);
        }
    }

    /// The driver says what became of a chunk.
    pub(super) fn event(&mut self, event: &ChunkEvent, out: &mut Outbox) {
        match event {
            ChunkEvent::Got { chunk } => {
                self.fetching.remove(&chunk.id);
                if self.dropping.contains(&chunk.id) {
                    return;
                }
                if !self.held.contains_key(&chunk.id) {
                    out.observe(Observation::ChunkHeld { chunk: chunk.id });
                }
                self.stamp(*chunk);
            }
            ChunkEvent::Failed { chunk, unwritten } => {
                if let Some(chunk) = self.fetching.remove(chunk) {
                    self.changed(chunk);
                    self.unreported.entry(chunk.id).and_modify(|news| news.unwritten = *unwritten);
                }
            }
            ChunkEvent::Lost { chunk } => {
                if let Some(held) = self.held.remove(chunk) {
                    out.observe(Observation::ChunkLost { chunk: *chunk });
                    self.changed(Chunk { id: *chunk, bytes: held.bytes });
                }
            }
            ChunkEvent::Dropped { chunk } => {
                self.dropping.remove(chunk);
            }
            // That is for the worker: what is at hand for a query is no copy of the store's.
            ChunkEvent::Staged { .. } | ChunkEvent::Unstaged { .. } => {}
        }
    }

    /// A chunk is wanted here, from now on by a new stamp.
    fn stamp(&mut self, chunk: Chunk) {
        self.stamps += 1;
        self.held.insert(chunk.id, Held { bytes: chunk.bytes, stamp: self.stamps });
        self.changed(chunk);
    }

    fn changed(&mut self, chunk: Chunk) {
        self.changes += 1;
        let news = News { number: self.changes, chunk, unwritten: false };
        self.unreported.insert(chunk.id, news);
    }
}
