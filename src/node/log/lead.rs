//! What a leader knows: about its reign, and about each follower.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::entry::Index;
use super::super::timer::Timer;
use super::snapshot::Image;
use crate::base::{NodeId, Time};

/// Appends with entries that are on their way to one follower.
const FLIGHT_MAX: usize = 256;
/// Bytes of entries that are on their way to one follower.
const FLIGHT_BYTES_MAX: usize = 8 << 20;

/// What a leader knows about its reign.
#[derive(Debug)]
pub(super) struct Lead {
    /// The no-op with which the reign begins.
    pub(super) first: Index,
    /// The round of the last append. Every append has its own.
    pub(super) round: u64,
    pub(super) followers: BTreeMap<NodeId, Follower>,
    pub(super) beat_at: Time,
    pub(super) reads: VecDeque<Read>,
    /// A read need not wait for anyone.
    pub(super) answerable: bool,
    pub(super) handover: Option<Handover>,
    /// Bytes of the entries that are not committed yet.
    pub(super) pending_bytes: usize,
}

/// What a leader knows about one follower.
#[derive(Debug)]
pub(super) struct Follower {
    /// Its log agrees with the leader's up to here, durably.
    pub(super) matched: Index,
    /// The first entry to send next.
    pub(super) next: Index,
    pub(super) mode: Mode,
    /// Refusals of appends before this round say nothing about the present mode.
    pub(super) since: u64,
    /// The last round that it answered.
    pub(super) round: u64,
    pub(super) answered_at: Time,
    /// The last entry and the size of each append with entries that is not acknowledged yet.
    pub(super) flight: VecDeque<(Index, usize)>,
    pub(super) flight_bytes: usize,
}

/// How a leader feeds a follower.
#[derive(Debug)]
pub(super) enum Mode {
    /// It is not known whether the logs agree before `next`; one append at a time finds out.
    Probe,
    /// They do: entries are sent as they come, without waiting for answers.
    Stream,
    /// The follower needs entries that are gone: it is offered this snapshot.
    Offer(Arc<Image>),
}

/// A read that waits until a majority has confirmed the reign.
#[derive(Debug)]
pub(super) struct Read {
    /// What it was called when it began.
    pub(super) number: u64,
    /// Any append of this round or a later one was sent after the read began.
    pub(super) round: u64,
    pub(super) index: Index,
}

/// A planned end of the reign.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) to: NodeId,
    /// When it has failed, and the reign goes on.
    pub(super) until: Time,
}

impl Follower {
    pub(super) fn new(next: Index, since: u64, now: Time) -> Follower {
        Follower {
            matched: Index(0),
            next,
            mode: Mode::Probe,
            since,
            round: 0,
            answered_at: now,
            flight: VecDeque::new(),
            flight_bytes: 0,
        }
    }

    /// Starts over from `next`. What the answers to appends up to `round` say of the log is outdated.
    pub(super) fn probe(&mut self, next: Index, round: u64) {
        self.next = next;
        self.start(Mode::Probe, round);
    }

    pub(super) fn start(&mut self, mode: Mode, round: u64) {
        self.mode = mode;
        self.since = round + 1;
        self.flight.clear();
        self.flight_bytes = 0;
    }

    /// It says that its log agrees up to `index`, durably, in answer to the append of `round`.
    pub(super) fn agreed(&mut self, index: Index, round: u64) {
        let stated = round >= self.since;
        self.acknowledged(index);
        let streams = match &self.mode {
            // It agrees at the place before `next`, even if that is not durable yet.
            Mode::Probe => stated || self.next == self.matched.next(),
            Mode::Stream => true,
            Mode::Offer(image) => {
                let has = stated || self.matched >= image.last().index;
                if has {
                    self.next = self.next.max(image.last().index.next());
                }
                has
            }
        };
        if streams {
            self.mode = Mode::Stream;
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.flight.len() < FLIGHT_MAX && self.flight_bytes < FLIGHT_BYTES_MAX
    }

    pub(super) fn acknowledged(&mut self, index: Index) {
        self.matched = self.matched.max(index);
        self.next = self.next.max(self.matched.next());
        while let Some((_, bytes)) = self.flight.front().filter(|(last, _)| *last <= self.matched) {
            self.flight_bytes -= bytes;
            self.flight.pop_front();
        }
    }
}

impl Lead {
    /// What a leader has to do next, and when.
    pub(super) fn timer(&self) -> (Timer, Time) {
        if self.answerable {
            return (Timer::Read, Time::ZERO);
        }
        (Timer::Lead, if self.followers.is_empty() { Time::NEVER } else { self.beat_at })
    }

    pub(super) fn hands_over(&self) -> bool {
        self.handover.is_some()
    }

    /// The snapshot that is on offer to `node`.
    pub(super) fn offered(&self, node: NodeId) -> Option<&Arc<Image>> {
        match &self.followers.get(&node)?.mode {
            Mode::Offer(image) => Some(image),
            Mode::Probe | Mode::Stream => None,
        }
    }
}
