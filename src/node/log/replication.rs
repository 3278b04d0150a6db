//! Leading: sending the log to the followers, committing, keeping the quorum, reading, handing over. And following.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::config::limits;
use super::super::entry::{Entry, Index, Payload, Position};
use super::super::io::Outbox;
use super::super::message::{Append, Body, LogMessage};
use super::super::observation::{Observation, StepDown};
use super::snapshot::Image;
use super::{Log, LogEvent, Role, Turn, storage};
use crate::base::{Epoch, NodeId, Time};

/// Appends with entries that are on their way to one follower.
const FLIGHT_MAX: usize = 256;
/// Bytes of entries that are on their way to one follower.
const FLIGHT_BYTES_MAX: usize = 8 << 20;
/// Entries that are not committed yet; a proposal beyond is refused.
const PENDING_ENTRIES_MAX: u64 = 16_384;
/// Bytes of entries that are not committed yet; a proposal beyond is refused.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// Reads that wait for their round; one beyond is refused.
const READS_MAX: usize = 16_384;

/// What a leader knows about its reign.
#[derive(Debug)]
pub(super) struct Lead {
    /// The no-op with which the reign begins.
    pub(super) first: Index,
    /// The round of the last append. Every append has its own.
    round: u64,
    followers: BTreeMap<NodeId, Follower>,
    beat_at: Time,
    reads: VecDeque<Read>,
    /// A read need not wait for anyone.
    answerable: bool,
    handover: Option<Handover>,
    /// Cluster time at one moment of the own clock.
    clock: (Time, Time),
    /// Bytes of the entries that are not committed yet.
    pending_bytes: usize,
}

/// What a leader knows about one follower.
#[derive(Debug)]
struct Follower {
    /// Its log agrees with the leader's up to here, durably.
    matched: Index,
    /// The first entry to send next.
    next: Index,
    mode: Mode,
    /// Refusals of appends before this round say nothing about the present mode.
    since: u64,
    /// The last round that it answered.
    round: u64,
    answered_at: Time,
    /// The last entry and the size of each append with entries that is not acknowledged yet.
    flight: VecDeque<(Index, usize)>,
    flight_bytes: usize,
}

/// How a leader feeds a follower.
#[derive(Debug)]
enum Mode {
    /// It is not known whether the logs agree before `next`; one append at a time finds out.
    Probe,
    /// They do: entries are sent as they come, without waiting for answers.
    Stream,
    /// The follower needs entries that are gone: it is offered this snapshot.
    Offer(Arc<Image>),
}

/// A read that waits until a majority has confirmed the reign.
#[derive(Debug)]
struct Read {
    read: u64,
    /// Any append of this round or a later one was sent after the read began.
    round: u64,
    index: Index,
}

/// A planned end of the reign.
#[derive(Debug)]
struct Handover {
    to: NodeId,
    /// When it has failed, and the reign goes on.
    until: Time,
}

impl Follower {
    fn new(next: Index, since: u64, now: Time) -> Follower {
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
    fn probe(&mut self, next: Index, round: u64) {
        self.next = next;
        self.start(Mode::Probe, round);
    }

    fn start(&mut self, mode: Mode, round: u64) {
        self.mode = mode;
        self.since = round + 1;
        self.flight.clear();
        self.flight_bytes = 0;
    }

    fn has_room(&self) -> bool {
        self.flight.len() < FLIGHT_MAX && self.flight_bytes < FLIGHT_BYTES_MAX
    }

    fn acknowledged(&mut self, index: Index) {
        self.matched = self.matched.max(index);
        self.next = self.next.max(self.matched.next());
        while let Some((_, bytes)) = self.flight.front().filter(|(last, _)| *last <= self.matched) {
            self.flight_bytes -= bytes;
            self.flight.pop_front();
        }
    }
}

impl Lead {
    pub(super) fn deadline(&self) -> Time {
        if self.answerable {
            return Time::ZERO;
        }
        if self.followers.is_empty() { Time::NEVER } else { self.beat_at }
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

/// Leading.
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
            clock: (self.store.last_at(), t.now),
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
        self.lead().map_or(last, |lead| last.max(lead.clock.0 + now.since(lead.clock.1)))
    }

    /// How many entries of the log `node` does not hold durably, as far as it has said. `None` when this node does not lead or `node`
    /// has no seat.
    pub(in super::super) fn lag(&self, node: NodeId) -> Option<u64> {
        let follower = self.lead()?.followers.get(&node)?;
        Some(self.store.last().index.0 - follower.matched.0)
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

    /// The highest value that a majority of the voters has reached.
    fn reached<T: Ord>(&self, of: impl Fn(&NodeId) -> T) -> Option<T> {
        let seats = self.store.seats();
        let mut values: Vec<T> = seats.voters.iter().map(of).collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.into_iter().nth(seats.quorum() - 1)
    }

    /// Commits what a majority holds durably, if that covers an entry of the own term.
    pub(super) fn advance_commit(&mut self, t: &mut Turn) {
        let Some(lead) = self.lead() else { return };
        let matched = |voter: &NodeId| {
            if *voter == self.me {
                self.store.durable()
            } else {
                lead.followers.get(voter).map_or(Index(0), |follower| follower.matched)
            }
        };
        let Some(index) = self.reached(matched) else { return };
        if index <= self.store.commit() || index < lead.first {
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
        lead.handover.take_if(|handover| handover.until <= t.now);
        let lead = self.lead().expect("it leads");
        let answered = |voter: &NodeId| {
            lead.followers
                .get(voter)
                .map_or(*voter == self.me, |follower| t.now.since(follower.answered_at) < election)
        };
        if self.reached(answered) == Some(false) {
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
    fn send_append(&mut self, out: &mut Outbox, to: NodeId, with_entries: bool) {
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
        let append = Append { epoch, round: lead.round, previous, entries, commit: self.store.commit() };
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
        let beat = self.beat;
        let Some(lead) = self.lead_mut() else { return };
        if lead.followers.is_empty() {
            lead.beat_at = now + beat;
        }
        lead.followers.retain(|id, _| holds(id));
        let mut added: Vec<NodeId> = seats.voters.iter().chain(&seats.learners).copied().collect();
        added.retain(|id| holds(id) && !lead.followers.contains_key(id));
        for id in added {
            let lead = self.lead_mut().expect("it leads");
            lead.followers.insert(id, Follower::new(last, lead.round + 1, now));
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

/// Reading and handing over.
impl Log {
    /// Begins a read: [`LogEvent::Readable`] follows once a majority has confirmed that this node still leads. `None` when it does not
    /// lead, or when too many reads wait.
    pub(in super::super) fn read(&mut self, _now: Time, out: &mut Outbox) -> Option<u64> {
        let commit = self.store.commit();
        self.reads_begun += 1;
        let read = self.reads_begun;
        let lead = self.lead_mut().filter(|lead| lead.reads.len() < READS_MAX)?;
        // Before the first entry of the own term is committed, the commit index may be behind what a former leader said.
        let waiting = Read { read, round: lead.round + 1, index: commit.max(lead.first) };
        let first = lead.reads.is_empty();
        lead.reads.push_back(waiting);
        let alone = self.confirmed() == Some(u64::MAX);
        if alone {
            self.lead_mut()?.answerable = true;
        } else if first {
            self.confirm(out);
        }
        Some(read)
    }

    /// The last round that a majority has answered.
    fn confirmed(&self) -> Option<u64> {
        let lead = self.lead()?;
        self.reached(|voter| {
            if *voter == self.me {
                u64::MAX
            } else {
                lead.followers.get(voter).map_or(0, |follower| follower.round)
            }
        })
    }

    /// Asks the voters for a sign that this node still leads.
    fn confirm(&mut self, out: &mut Outbox) {
        for voter in self.store.seats().voters.clone() {
            self.send_append(out, voter, false);
        }
    }

    /// Tells which reads may be answered. Those that came while a round was under way share the next.
    fn answer_reads(&mut self, t: &mut Turn) {
        let commit = self.store.commit();
        let Some(confirmed) = self.confirmed() else { return };
        let Some(lead) = self.lead_mut() else { return };
        lead.answerable = false;
        let waiting = lead.reads.len();
        while let Some(read) = lead.reads.front()
            && read.round <= confirmed
            && read.index <= commit
        {
            t.tell(LogEvent::Readable { read: read.read, index: read.index });
            lead.reads.pop_front();
        }
        if !lead.reads.is_empty() && lead.reads.len() < waiting {
            self.confirm(t.out);
        }
    }

    /// Begins to hand over to the voter `to`: nothing is accepted any more until it leads, or an election time-out has passed. False, with
    /// nothing changed, when this node does not lead, hands over already, or `to` is not another voter.
    pub(in super::super) fn transfer(&mut self, now: Time, to: NodeId, out: &mut Outbox) -> bool {
        let until = now + self.election;
        let eligible = to != self.me && self.store.seats().voters.contains(&to);
        let Some(lead) = self.lead_mut().filter(|lead| eligible && lead.handover.is_none()) else {
            return false;
        };
        lead.handover = Some(Handover { to, until });
        self.transfer_if_ready(out);
        true
    }

    /// Tells the successor to stand once it holds the whole log.
    fn transfer_if_ready(&mut self, out: &mut Outbox) {
        let Some(lead) = self.lead() else { return };
        let Some(to) = lead.handover.as_ref().map(|handover| handover.to) else { return };
        let complete = |follower: &Follower| follower.matched == self.store.last().index;
        if lead.followers.get(&to).is_some_and(complete) {
            say(out, to, LogMessage::TransferNow { epoch: self.epoch() });
        }
    }
}

impl Follower {
    /// It says that its log agrees up to `index`, durably, in answer to the append of `round`.
    fn agreed(&mut self, index: Index, round: u64) {
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
}

/// Following.
impl Log {
    /// The leader's entries, or its sign of life.
    pub(super) fn on_append(&mut self, t: &mut Turn, from: NodeId, append: &Append) {
        let round = append.round;
        if append.epoch < self.epoch() {
            let (epoch, index) = (self.epoch(), self.store.commit());
            t.send(from, LogMessage::AppendReply { epoch, round, matched: false, index });
            return;
        }
        self.raise(t, append.epoch);
        assert!(!self.leads(), "a term has at most one leader");
        self.role = Role::Follower;
        self.leader = Some(from);
        self.heard_at = Some(t.now);
        self.reset_timer(t.now);

        let epoch = append.epoch;
        let previous = append.previous;
        // What is committed here is in every later leader's log.
        let agrees =
            previous.index <= self.store.commit() || self.store.position(previous.index) == Some(previous);
        if !agrees {
            let index = self.store.may_agree(previous);
            let reply = LogMessage::AppendReply { epoch, round, matched: false, index };
            t.send_after(from, reply, self.ballot_write);
            return;
        }
        let before = Arc::clone(self.store.seats());
        assert!(self.store.merge(&append.entries, t.out), "every later leader holds what is committed");
        self.reseat(t, &before);
        let end = append.entries.last().map_or(previous.index, |entry| entry.position.index);
        if append.commit.min(end) > self.store.commit() {
            self.commit_to(t, append.commit.min(end));
        }
        let (index, written) = if append.entries.is_empty() {
            (end.min(self.store.durable()), None)
        } else {
            (end, self.store.awaits(end))
        };
        let reply = LogMessage::AppendReply { epoch, round, matched: true, index };
        t.send_after(from, reply, written.max(self.ballot_write));
    }
}

fn say(out: &mut Outbox, to: NodeId, message: LogMessage) {
    out.send(to, Body::Log(message));
}
