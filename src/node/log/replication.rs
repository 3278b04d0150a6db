//! Leading: sending the log to the followers, committing, keeping the quorum.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::config::limits;
use super::super::entry::{Entry, Index, Payload, Position};
use super::super::io::Outbox;
use super::super::message::{Append, Body, LogMessage};
use super::super::mutant::Mutant;
use super::super::observation::{Observation, StepDown};
use super::lead::{Follower, Lead, Mode};
use super::{Log, LogEvent, Role, Turn, storage};
use crate::base::{Epoch, NodeId, Span, Time};

/// Entries that are not committed yet; a proposal beyond is refused.
const PENDING_ENTRIES_MAX: u64 = 16_384;
/// Bytes of entries that are not committed yet; a proposal beyond is refused.
const PENDING_BYTES_MAX: usize = 64 << 20;

impl Log {
    /// Elected.
    pub(super) fn lead_now(&mut self, t: &mut Turn) {
        let epoch = self.epoch();
        let last = self.store.last();
        let pending = self.store.from(self.store.commit().next(), usize::MAX);
        self.role = Role::Leading(Box::new(Lead {
            first: last.index.next(),
            round: 0,
            followers: BTreeMap::new(),
            beat_at: t.now + self.beat,
            reads: VecDeque::new(),
            answerable: false,
            handover: None,
            pending_bytes: pending.iter().map(storage::size).sum(),
        }));
        self.leader = Some(self.me);
        self.heard_at = None;
        self.draw = None;
        self.tell_reign(t);
        t.observe(Observation::Led { epoch });
        self.append_own(t, Payload::Noop).expect("nothing forbids the first entry");
        t.tell(LogEvent::Led { epoch });
        self.reseat_followers(t.now, t.out);
    }

    /// Appends an entry of the own term and sends it.
    pub(super) fn append_own(&mut self, t: &mut Turn, payload: Payload) -> Option<Position> {
        let position = Position { epoch: self.epoch(), index: self.store.last().index.next() };
        let at = self.cluster_time(t.now);
        let commit = self.store.commit();
        let Role::Leading(lead) = &mut self.role else { return None };
        let entry = Entry { position, at, payload: Arc::new(payload) };
        let bytes = storage::size(&entry);
        let opens = lead.first == position.index;
        let full = position.index.0 - commit.0 > PENDING_ENTRIES_MAX
            || lead.pending_bytes + bytes > PENDING_BYTES_MAX
            || bytes > limits::APPEND_BYTES_MAX;
        if !opens && (lead.handover.is_some() || full) {
            return None;
        }
        lead.pending_bytes += bytes;
        self.store.append(vec![entry], t.out);
        self.feed_all(t.out);
        Some(position)
    }

    /// Cluster time now, as this leader's clock advances it; the time of the last entry on others.
    pub(in super::super) fn cluster_time(&self, now: Time) -> Time {
        let last = self.store.last_at();
        if self.leads() { last.max(self.clock.0 + now.since(self.clock.1)) } else { last }
    }

    /// How many entries of the log are not committed, as far as this node knows.
    pub(in super::super) fn pending(&self) -> u64 {
        self.store.last().index.0 - self.store.commit().0
    }

    /// How many entries of the log `node` does not hold durably, as far as it has said. `None` when this node does not lead, or `node`
    /// has no seat or has not answered since it has followed this leader.
    pub(in super::super) fn lag(&self, node: NodeId) -> Option<u64> {
        let follower = self.lead()?.followers.get(&node).filter(|follower| follower.round > 0)?;
        Some(self.store.last().index.0 - follower.matched.0)
    }

    /// The number of the last append that this leader has sent; zero when this node does not lead.
    pub(in super::super) fn round(&self) -> u64 {
        self.lead().map_or(0, |lead| lead.round)
    }

    /// The number of the last append that `node` has answered; zero if it has answered none.
    pub(in super::super) fn answered(&self, node: NodeId) -> u64 {
        self.lead().and_then(|lead| lead.followers.get(&node)).map_or(0, |follower| follower.round)
    }

    /// Whether `node` has said that it holds the entry durably that made the seats that are in force.
    pub(in super::super) fn holds_seats(&self, node: NodeId) -> bool {
        let follower = self.lead().and_then(|lead| lead.followers.get(&node));
        follower.is_some_and(|follower| follower.matched >= self.store.seats_since())
    }

    /// How long `node` has not answered this leader: since it began to follow it, if it never has. Nothing for the leader itself, and for
    /// ever for one that has no seat, or when this node does not lead.
    pub(in super::super) fn silence(&self, node: NodeId, now: Time) -> Span {
        let follower = self.lead().map(|lead| lead.followers.get(&node));
        match follower {
            Some(Some(follower)) => now.since(follower.answered_at),
            Some(None) if node == self.me => Span::ZERO,
            Some(None) | None => Span::FOREVER,
        }
    }

    /// The voters that have not answered for an election time-out. After a reign that ended for want of a quorum they are still
    /// named, until a new reign is heard of; otherwise one that does not lead names none.
    pub(in super::super) fn silent_voters(&self, now: Time) -> Vec<NodeId> {
        let Some(lead) = self.lead() else { return self.missing.clone() };
        let silent = |voter: &&NodeId| {
            lead.followers.get(voter).is_some_and(|follower| now.since(follower.answered_at) >= self.election)
        };
        self.store.seats().voters.iter().filter(silent).copied().collect()
    }

    /// Commits what a majority holds durably, if that covers an entry of the own term.
    pub(super) fn advance_commit(&mut self, t: &mut Turn) {
        let Some(lead) = self.lead() else { return };
        // Most answers are to signs of life.
        if self.store.commit() == self.store.last().index {
            return;
        }
        let matched = |voter: NodeId| {
            if voter == self.me {
                self.store.durable()
            } else {
                lead.followers.get(&voter).map_or(Index(0), |follower| follower.matched)
            }
        };
        let Some(index) = self.store.seats().reached(matched) else { return };
        let earlier = index < lead.first && !self.planted.has(Mutant::CommitsEarlierTerms);
        if index <= self.store.commit() || earlier {
            return;
        }
        let committed = self.commit_to(t, index);
        if let Some(lead) = self.lead_mut() {
            lead.pending_bytes = lead.pending_bytes.saturating_sub(committed);
        }
        self.answer_reads(t);
        if !self.seated && self.store.seats_since() <= index {
            self.leave_office(t);
        }
    }

    /// Takes entries as committed up to `index`; returns their size.
    pub(super) fn commit_to(&mut self, t: &mut Turn, index: Index) -> usize {
        let mut bytes = 0;
        for entry in self.store.commit_to(index) {
            bytes += storage::size(entry);
            t.events.push_back(LogEvent::Commit(entry.clone()));
        }
        bytes
    }

    /// This leader's removal is committed: it says so, names the most complete voter as successor, and steps down.
    fn leave_office(&mut self, t: &mut Turn) {
        let voters = self.store.seats().voters.clone();
        for &voter in &voters {
            self.send_append(t.out, voter, false);
        }
        let Some(lead) = self.lead() else { return };
        let matched = |voter: &NodeId| lead.followers.get(voter).map(|follower| follower.matched);
        let successor = voters.into_iter().max_by_key(matched).expect("there is always a voter");
        t.send(successor, LogMessage::TransferNow { epoch: self.epoch() });
        self.step_down(t, StepDown::Unseated);
    }

    /// A sign of life to everyone, unless no majority gives one.
    pub(super) fn beat_if_due(&mut self, t: &mut Turn) {
        self.answer_reads(t);
        let (beat, election) = (self.beat, self.election);
        let Some(lead) = self.lead_mut().filter(|lead| lead.beat_at <= t.now) else { return };
        lead.beat_at = t.now + beat;
        self.clock = (self.cluster_time(t.now), t.now);
        let lead = self.lead_mut().expect("it leads");
        lead.handover.take_if(|handover| handover.until <= t.now);
        let lead = self.lead().expect("it leads");
        let answered = |voter: NodeId| {
            lead.followers
                .get(&voter)
                .map_or(voter == self.me, |follower| t.now.since(follower.answered_at) < election)
        };
        if self.store.seats().reached(answered) == Some(false) && !self.planted.has(Mutant::NoCheckQuorum) {
            let missing = self.silent_voters(t.now);
            self.step_down(t, StepDown::NoQuorum);
            self.missing = missing;
            return;
        }
        let lead = self.lead_mut().expect("it leads");
        let round = lead.round;
        for follower in lead.followers.values_mut() {
            if t.now.since(follower.answered_at) >= election {
                // To the dead nothing is sent but signs of life; what they need is found out afresh.
                follower.probe(follower.matched.next(), round);
            }
        }
        let all: Vec<NodeId> = lead.followers.keys().copied().collect();
        for to in all {
            self.send_append(t.out, to, false);
        }
        self.transfer_if_ready(t.out);
    }

    /// Sends one append to `to`: with the entries that it needs next, or empty. In place of entries that are gone a snapshot is offered.
    pub(super) fn send_append(&mut self, out: &mut Outbox, to: NodeId, with_entries: bool) {
        let epoch = self.heard;
        let Role::Leading(lead) = &mut self.role else { return };
        let Some(follower) = lead.followers.get_mut(&to) else { return };
        let before_next = self.store.position(follower.next.previous());
        if before_next.is_none() && !matches!(follower.mode, Mode::Offer(_)) {
            let image = self.store.image().expect("entries are dropped only for a snapshot");
            follower.start(Mode::Offer(Arc::clone(image)), lead.round);
        }
        let mut entries = Vec::new();
        let previous = match (&follower.mode, before_next) {
            (Mode::Probe | Mode::Stream, Some(previous)) => {
                if with_entries && follower.has_room() {
                    entries = self.store.from(follower.next, self.sizes.append);
                }
                previous
            }
            (Mode::Offer(image), _) => {
                say(out, to, LogMessage::Install { epoch, last: image.last(), size: image.size() });
                image.last()
            }
            (Mode::Probe | Mode::Stream, None) => unreachable!("a snapshot is offered then"),
        };
        if let (Mode::Stream, Some(last)) = (&follower.mode, entries.last()) {
            let bytes = entries.iter().map(storage::size).sum();
            follower.next = last.position.index.next();
            follower.flight.push_back((last.position.index, bytes));
            follower.flight_bytes += bytes;
        }
        lead.round += 1;
        let append = Append {
            epoch,
            round: lead.round,
            time: self.clock.0,
            previous,
            entries,
            commit: self.store.commit(),
        };
        say(out, to, LogMessage::Append(Arc::new(append)));
    }

    /// Sends what is outstanding to a follower that is fed without waiting.
    fn feed(&mut self, out: &mut Outbox, to: NodeId) {
        loop {
            let last = self.store.last().index;
            let Some(follower) = self.lead().and_then(|lead| lead.followers.get(&to)) else { return };
            if !matches!(follower.mode, Mode::Stream) || follower.next > last || !follower.has_room() {
                return;
            }
            self.send_append(out, to, true);
        }
    }

    fn feed_all(&mut self, out: &mut Outbox) {
        for to in self.follower_ids() {
            self.feed(out, to);
        }
    }

    fn follower_ids(&self) -> Vec<NodeId> {
        self.lead().map_or_else(Vec::new, |lead| lead.followers.keys().copied().collect())
    }

    /// Brings the followers in line with the seats. One that is gone has been sent the entry that says so; one that is new has
    /// no past here, even if it had a seat before.
    pub(super) fn reseat_followers(&mut self, now: Time, out: &mut Outbox) {
        let seats = Arc::clone(self.store.seats());
        let last = self.store.last().index;
        let me = self.me;
        let holds = |id: &NodeId| *id != me && (seats.voters.contains(id) || seats.learners.contains(id));
        let (beat, assumes) = (self.beat, self.planted.has(Mutant::AssumesProgress));
        let Some(lead) = self.lead_mut() else { return };
        if lead.followers.is_empty() {
            lead.beat_at = now + beat;
        }
        lead.followers.retain(|id, _| holds(id));
        let mut added: Vec<NodeId> = seats.voters.iter().chain(&seats.learners).copied().collect();
        added.retain(|id| holds(id) && !lead.followers.contains_key(id));
        for id in added {
            let lead = self.lead_mut().expect("it leads");
            let mut follower = Follower::new(last, lead.round + 1, now);
            if assumes {
                follower.matched = last;
            }
            lead.followers.insert(id, follower);
            self.send_append(out, id, true);
        }
    }

    /// An answer to an append.
    pub(super) fn on_append_reply(
        &mut self,
        t: &mut Turn,
        from: NodeId,
        epoch: Epoch,
        round: u64,
        matched: bool,
        index: Index,
    ) {
        if epoch > self.epoch() {
            self.raise(t, epoch);
        }
        let last = self.store.last().index;
        let current = epoch == self.epoch();
        let Role::Leading(lead) = &mut self.role else { return };
        let Some(follower) = lead.followers.get_mut(&from).filter(|_| current) else { return };
        follower.answered_at = t.now;
        follower.round = follower.round.max(round);
        if matched {
            follower.agreed(index.min(last), round);
            self.feed(t.out, from);
        } else if round >= follower.since {
            // Even behind what it acknowledged: it may have adopted a log that lacks entries of earlier terms.
            follower.matched = follower.matched.min(index);
            let known = self.store.position(index).is_some();
            if known || !matches!(follower.mode, Mode::Offer(_)) {
                follower.probe(index.next(), lead.round);
                self.send_append(t.out, from, true);
            }
        }
        self.answer_reads(t);
        self.advance_commit(t);
        self.transfer_if_ready(t.out);
    }
}

fn say(out: &mut Outbox, to: NodeId, message: LogMessage) {
    out.send(to, Body::Log(message));
}
