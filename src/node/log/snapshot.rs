//! Snapshots on their way: the receiver draws them part by part, and asks again for what is lost.

use std::sync::Arc;

use super::super::entry::{Index, Position, Seats};
use super::super::message::{LogMessage, Part};
use super::super::record::Snapshot;
use super::{Log, LogEvent, Role, Turn};
use crate::base::{Epoch, NodeId, Time};

/// A snapshot larger than this is not drawn.
const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;

/// How often an unanswered request for a part is repeated, an election time-out apart, before the draw is given up.
const PART_TRIES_MAX: u32 = 8;

/// A snapshot in the form in which it travels: seats and time, encoded, then the state as it is.
#[derive(Debug)]
pub(super) struct Image {
    snapshot: Arc<Snapshot>,
    header: Vec<u8>,
}

impl Image {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Image {
        let header = postcard::to_stdvec(&(snapshot.at, &snapshot.seats))
            .expect("times and lists of ids can be encoded");
        Image { snapshot, header }
    }

    pub(super) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub(super) fn last(&self) -> Position {
        self.snapshot.last
    }

    pub(super) fn size(&self) -> u64 {
        (self.header.len() + self.snapshot.state.len()) as u64
    }

    /// At most `bytes_max` bytes from `offset` on, which is at most the size.
    fn part(&self, offset: usize, bytes_max: usize) -> Vec<u8> {
        let end = (self.size() as usize).min(offset + bytes_max);
        let split = self.header.len();
        let state = &self.snapshot.state[offset.max(split) - split..end.max(split) - split];
        [&self.header[offset.min(split)..end.min(split)], state].concat()
    }

    /// The snapshot at `last` whose image `bytes` is; `None` when it is none.
    fn decode(last: Position, bytes: &[u8]) -> Option<Snapshot> {
        let ((at, seats), state): ((Time, Arc<Seats>), &[u8]) = postcard::take_from_bytes(bytes).ok()?;
        Some(Snapshot { last, at, seats, state: state.into() })
    }
}

/// A snapshot that this node is drawing from another.
#[derive(Debug)]
pub(super) struct Draw {
    from: NodeId,
    last: Position,
    size: u64,
    bytes: Vec<u8>,
    pub(super) retry_at: Time,
    tries: u32,
}

impl Log {
    /// A leader, or one who was asked to fill a gap, offers its snapshot.
    pub(super) fn on_install(&mut self, t: &mut Turn, from: NodeId, epoch: Epoch, last: Position, size: u64) {
        let led = self.leader == Some(from) && epoch == self.epoch();
        let asked = matches!(&self.role, Role::Asking(asking) if asking.fetched_from(from));
        if !(led || asked) || last.index <= self.store.commit() || size > SNAPSHOT_BYTES_MAX {
            return;
        }
        if let Some(draw) = &self.draw {
            let same = (draw.from, draw.last, draw.size) == (from, last, size);
            // What is under way goes on, unless the leader offers something else or nothing comes any more.
            if same || !led && draw.last >= last && draw.tries == 0 {
                return;
            }
        }
        // The entries that the snapshot stands for may be of any term up to the sender's.
        self.raise(t, epoch);
        self.draw = Some(Draw { from, last, size, bytes: Vec::new(), retry_at: t.now, tries: 0 });
        self.ask_for_part(t);
    }

    fn ask_for_part(&mut self, t: &mut Turn) {
        let Some(draw) = &mut self.draw else { return };
        draw.retry_at = t.now + self.election;
        let message = LogMessage::FetchPart { last: draw.last, offset: draw.bytes.len() as u64 };
        t.send(draw.from, message);
    }

    /// The part that was asked for did not come in time.
    pub(super) fn draw_again(&mut self, t: &mut Turn) {
        let Some(draw) = &mut self.draw else { return };
        draw.tries += 1;
        if draw.tries > PART_TRIES_MAX {
            self.draw = None;
        } else {
            self.ask_for_part(t);
        }
    }

    /// Gives up drawing what has become known by other ways.
    pub(super) fn drop_useless_draw(&mut self) {
        self.draw.take_if(|draw| draw.last.index <= self.store.commit());
    }

    /// Someone draws a snapshot from here.
    pub(super) fn on_fetch_part(&mut self, t: &mut Turn, from: NodeId, last: Position, offset: u64) {
        let image = self.lead().and_then(|lead| lead.offered(from)).filter(|image| image.last() == last);
        let own = || self.store.image().filter(|image| image.last() == last);
        let Some(image) = image.or_else(own) else { return };
        if offset >= image.size() {
            return;
        }
        let part = Part {
            epoch: self.epoch(),
            last,
            size: image.size(),
            offset,
            bytes: image.part(offset as usize, self.sizes.part),
        };
        t.send(from, LogMessage::Part(Arc::new(part)));
    }

    /// A part of the snapshot that this node draws.
    pub(super) fn on_part(&mut self, t: &mut Turn, from: NodeId, part: &Part) {
        let Some(draw) = &mut self.draw else { return };
        let expected = (draw.from, draw.last, draw.size, draw.bytes.len() as u64);
        let fits = (1..=draw.size - expected.3).contains(&(part.bytes.len() as u64));
        if expected != (from, part.last, part.size, part.offset) || !fits {
            return;
        }
        draw.bytes.extend_from_slice(&part.bytes);
        draw.tries = 0;
        if (draw.bytes.len() as u64) < draw.size {
            self.ask_for_part(t);
            return;
        }
        let snapshot = Image::decode(draw.last, &draw.bytes);
        self.draw = None;
        if let Some(snapshot) = snapshot {
            self.install(t, from, Arc::new(snapshot));
        }
    }

    fn install(&mut self, t: &mut Turn, from: NodeId, snapshot: Arc<Snapshot>) {
        if snapshot.last.index <= self.store.commit() {
            return;
        }
        assert!(self.lead().is_none(), "a leader holds everything that is committed, and draws nothing");
        self.raise(t, snapshot.last.epoch);
        let before = Arc::clone(self.store.seats());
        let token = self.store.install(&snapshot, t.out);
        let last: Index = snapshot.last.index;
        t.events.push_back(LogEvent::Restore(snapshot));
        self.reseat(t, &before);
        if self.leader == Some(from) {
            // The leader need not wait for the next beat to learn that it can go on with entries.
            let epoch = self.epoch();
            self.raise(t, epoch);
            let after = self.ballot_write.max(Some(token));
            let reply = LogMessage::AppendReply { epoch, round: 0, matched: true, index: last };
            t.send_after(from, reply, after);
        }
        if matches!(self.role, Role::Asking(_)) {
            self.ask_again(t);
        }
    }
}
