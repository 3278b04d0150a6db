//! The quorum log: who leads, what is committed, who has a seat. A pure machine that [`Node`](super::Node) drives.
//!
//! Voters elect a leader per term ([`Epoch`]). The leader appends entries, sends them to voters and learners, and
//! commits what a majority of the voters holds durably. It is Raft with pre-vote, check-quorum, leader transfer, one seat
//! change at a time, read-index rounds and snapshots, and with one addition: a voter that would be elected but for its stale log
//! adopts the missing end from whoever has it.
//!
//! # Why at most one leads per term
//!
//! A vote is told only once it is durable, so a voter votes at most once per term, whatever it forgets. A candidate asks for
//! votes only once its own candidacy is durable, and leads only with its own vote among the majority: so it never stands twice in
//! one term, and no answer to one of its lives counts for another. Every term beyond the first one thus makes its entries in one life of one
//! node, which never replaces any of them. Hence an entry is named by its [`Position`], it always has the same predecessor, and all
//! entries form a tree whose paths from the root are the possible logs. Appending, replacing an end, adopting and
//! installing a snapshot all lead from one path to another.
//!
//! # Why committed entries stay
//!
//! Let a leader of term `T` commit entry `e` of its own term, because a majority acknowledged it in `T` (only entries of the
//! own term are counted; what precedes them is committed along with them). Claim: every leader of a later term holds
//! `e`. By induction over terms, let `U > T` be the first for which it could fail. Some voter `v` acknowledged `e` in `T` and later
//! voted for the leader of `U`. Between the two, `v`'s log changed in three ways only:
//!
//! - By an append from a leader of a term from `T` to below `U`, whose log contains `e`, so that `e` is not replaced.
//! - By adopting a log `L` whose last position, (term, index), is greater than that of `v`'s own, which contains `e`. Let `W` be the term of
//!   the last entry of `L`; it is at least `T`. If `W = T`, then `L` is a part of the leader's log of `T` and longer than the part that `v` has:
//!   it contains `e`. If `T < W < U`, it continues the log with which the leader of `W` was elected, which contains `e`. And `W ≥ U` cannot
//!   be: a node's ballot is never older than an entry in its log, which is why **the sender's term is adopted with its entries** and
//!   written before them. The ballot of `v` would be `W`; above `U` it would not have voted in `U`, and an entry of `U` itself does not exist
//!   before the votes for its leader.
//! - By a snapshot, which is of committed state. It drops what contradicts it and keeps what continues it, so that `e` stays, or is covered.
//!
//! So `v` held `e` when it voted, and voted only because the candidate's last position was not less than its own: by the same three
//! cases on `W` the candidate held `e`. A longer log of an earlier term is *not* greater, and must be neither elected nor adopted.
//!
//! Leaders never adopt: what a leader counts as its own must not change under it. A candidate adopts nothing either, because its votes
//! were given for the log that it had. A follower's adoption may undo what it acknowledged of *earlier* terms, so a
//! leader takes a refused append as a reason to go back, even behind what was acknowledged. Entries of the leader's own term are never undone.
//!
//! A suffix may contradict entries that the requester knows to be committed, because the answerer was cut off for long. It is
//! refused then. It may come from memory that the answerer has not yet synced, because an entry is the same wherever it is.
//!
//! # What is durable when
//!
//! A vote and an acknowledgement wait for the write that they speak of, and the first messages of a term for the ballot.
//! Everything else goes at once. A sign of life is answered at once with what is durable, so that a slow disk delays
//! commits and deposes nobody. Acknowledging a round needs no disk: a node that answers in `T` has not voted
//! above `T` in a way that anyone knows of.

mod adoption;
mod election;
mod following;
mod lead;
mod reading;
mod reign;
mod replication;
mod seats;
mod snapshot;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::{Failover, limits};
use super::entry::{Command, Entry, Index, Payload, Position, Seats};
use super::io::{Outbox, Token};
use super::message::{Body, LogMessage};
use super::mutant::{Mutant, Planted};
use super::observation::{Observation, StepDown};
use super::record::{Ballot, Disk, Snapshot};
use super::timer::{Timer, add_due, earliest};
use crate::base::{Epoch, NodeId, Rng, Span, Time};
use election::{Asking, Standing};
use lead::Lead;
use snapshot::Draw;
use storage::Store;
pub(super) use storage::size;

/// What the log tells its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogEvent {
    /// This node was elected; the no-op of its term has been appended.
    Led {
        /// Its reign.
        epoch: Epoch,
    },
    /// This node no longer leads.
    Unled {
        /// The reign that ended.
        epoch: Epoch,
        /// Why.
        reason: StepDown,
    },
    /// The newest reign, or its leader, as this node knows it, changed.
    Follow {
        /// The newest reign.
        epoch: Epoch,
        /// Who leads it, if that is known.
        leader: Option<NodeId>,
    },
    /// The next committed entry, in order, each exactly once per life.
    Commit(Entry),
    /// The replicated state is to be replaced by this one; commits go on after it.
    Restore(Arc<Snapshot>),
    /// The seats in force changed: by an append, a truncation or a snapshot.
    Seated(Arc<Seats>),
    /// The classic design wants a snapshot of the state at this place, which is where it stands now: see [`super::standby`].
    Compact(Index),
    /// A read that was begun by [`Log::read`] may be answered from the state at `index`, which is committed, or from any later one.
    Readable {
        /// What [`Log::read`] returned.
        read: u64,
        /// A place that covers everything that was committed anywhere when the read began.
        index: Index,
    },
}

/// How large messages may be, and how much of the log is kept beyond need.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Bytes of entries in one append or suffix.
    append: usize,
    /// Bytes of one part of a snapshot.
    part: usize,
    /// Bytes of entries that a snapshot covers and that stay in memory for those who are only a little behind.
    keep: usize,
}

impl Sizes {
    const USUAL: Sizes = Sizes { append: limits::APPEND_BYTES_MAX, part: limits::PART_BYTES, keep: 16 << 20 };
}

/// What a step of the log may use: the time, and where effects and events go.
struct Turn<'a> {
    now: Time,
    out: &'a mut Outbox,
    events: &'a mut VecDeque<LogEvent>,
}

impl Turn<'_> {
    fn send(&mut self, to: NodeId, message: LogMessage) {
        self.out.send(to, Body::Log(message));
    }

    fn send_after(&mut self, to: NodeId, message: LogMessage, after: Option<Token>) {
        self.out.send_after(to, Body::Log(message), after);
    }

    fn observe(&mut self, observation: Observation) {
        self.out.observe(observation);
    }

    fn tell(&mut self, event: LogEvent) {
        self.events.push_back(event);
    }
}

/// What a node does in the current term.
#[derive(Debug)]
enum Role {
    Follower,
    Asking(Asking),
    Standing(Standing),
    Leading(Box<Lead>),
}

/// The quorum log of one node.
#[derive(Debug)]
pub(super) struct Log {
    me: NodeId,
    election: Span,
    beat: Span,
    sizes: Sizes,
    pub(super) planted: Planted,
    rng: Rng,
    store: Store,
    /// The newest term that this node has written, and its vote there.
    ballot: Ballot,
    /// The write of the ballot, while it is under way.
    ballot_write: Option<Token>,
    /// The newest term heard of. Newer than the ballot only on a node without a vote.
    heard: Epoch,
    /// Who leads that term.
    leader: Option<NodeId>,
    /// When that leader's last append arrived.
    heard_at: Option<Time>,
    /// When the vote of this term was given.
    voted_at: Option<Time>,
    /// Cluster time at one moment of the own clock, as far as this node has heard.
    clock: (Time, Time),
    role: Role,
    /// When a voter that does not lead asks to be elected.
    timer: Time,
    draw: Option<Draw>,
    /// How often this node has asked again at once since the last time-out.
    hurries: u8,
    reads_begun: u64,
    /// After a reign that ended without a quorum, until there is news: the voters that did not answer.
    missing: Vec<NodeId>,
    /// Whether this node has a voter's seat.
    seated: bool,
    /// Whether the first step of this life has been made.
    begun: bool,
    /// What [`LogEvent::Follow`] said last.
    told: (Epoch, Option<NodeId>),
}

impl Log {
    /// A log that holds nothing. Its node has no seat until a leader gives it one.
    pub(super) fn new(me: NodeId, config: &Failover, rng: Rng) -> Log {
        Log {
            me,
            election: config.election,
            beat: config.beat,
            sizes: Sizes::USUAL,
            planted: Planted::default(),
            rng,
            store: Store::empty(),
            ballot: Ballot::default(),
            ballot_write: None,
            heard: Epoch(0),
            leader: None,
            heard_at: None,
            voted_at: None,
            clock: (Time::ZERO, Time::ZERO),
            role: Role::Follower,
            timer: Time::NEVER,
            draw: None,
            hurries: 0,
            reads_begun: 0,
            missing: Vec::new(),
            seated: false,
            begun: false,
            told: (Epoch(0), None),
        }
    }

    /// The log that a disk holds; everything there is durable.
    pub(super) fn restart(me: NodeId, disk: &Disk, config: &Failover, rng: Rng) -> Log {
        let mut log = Log::new(me, config, rng);
        log.store = Store::of(disk);
        log.ballot = disk.ballot;
        log.heard = disk.ballot.epoch;
        log.clock.0 = log.store.last_at();
        assert!(log.store.last().epoch <= log.heard, "a term is written before its entries");
        log.seated = log.store.seats().voters.contains(&me);
        log
    }

    /// Founds a new cluster, of which this node is the only voter: writes the seats and `founding` in epoch 1 and stands for
    /// election in epoch 2, in which both are committed. To be called once, on a log that holds nothing.
    pub(in crate::node) fn found(
        &mut self,
        now: Time,
        founding: Command,
        out: &mut Outbox,
        events: &mut VecDeque<LogEvent>,
    ) {
        assert!(
            self.epoch() == Epoch(0) && self.store.last() == Position::default(),
            "a cluster is founded once"
        );
        self.turn(now, out, events, |log, t| {
            let before = Arc::clone(log.store.seats());
            log.raise(t, Epoch(1));
            let seats = Seats { number: 1, voters: vec![log.me], learners: Vec::new(), passing: None };
            let payloads = [Payload::Seats(Arc::new(seats)), Payload::Command(founding)];
            let entries = (1..).zip(payloads).map(|(index, payload)| Entry {
                position: Position { epoch: Epoch(1), index: Index(index) },
                at: Time::ZERO,
                payload: Arc::new(payload),
            });
            log.store.append(entries.collect(), t.out);
            log.reseat(t, &before);
            log.ask(t);
        });
    }

    /// When [`Log::wake`] shall be called.
    pub(super) fn deadline(&self) -> Time {
        earliest(self.timers())
    }

    /// Adds the timers that are due by `now`.
    pub(super) fn due(&self, now: Time, due: &mut Vec<Timer>) {
        add_due(now, self.timers(), due);
    }

    fn timers(&self) -> [(Timer, Time); 2] {
        if !self.begun {
            return [(Timer::Start, Time::ZERO), (Timer::Part, Time::NEVER)];
        }
        let role = match &self.role {
            Role::Leading(lead) => lead.timer(),
            Role::Follower | Role::Asking(_) | Role::Standing(_) if self.seated => {
                (Timer::Election, self.timer)
            }
            Role::Follower | Role::Asking(_) | Role::Standing(_) => (Timer::Election, Time::NEVER),
        };
        [role, (Timer::Part, self.draw.as_ref().map_or(Time::NEVER, |draw| draw.retry_at))]
    }

    /// Does what is due. Too early it does nothing.
    pub(super) fn wake(&mut self, now: Time, out: &mut Outbox, events: &mut VecDeque<LogEvent>) {
        self.turn(now, out, events, |log, t| {
            if log.leads() {
                log.beat_if_due(t);
            } else if log.seated && log.timer <= now {
                log.hurries = 0;
                log.ask(t);
            }
            if log.draw.as_ref().is_some_and(|draw| draw.retry_at <= now) {
                log.draw_again(t);
            }
        });
    }

    /// Takes in a message.
    pub(super) fn receive(
        &mut self,
        now: Time,
        from: NodeId,
        message: LogMessage,
        out: &mut Outbox,
        events: &mut VecDeque<LogEvent>,
    ) {
        self.turn(now, out, events, |log, t| match message {
            LogMessage::PreVote { epoch, last } => log.on_pre_vote(t, from, epoch, last),
            LogMessage::PreVoteReply { epoch, granted, term, last } => {
                log.on_pre_vote_reply(t, from, epoch, granted, term, last);
            }
            LogMessage::Vote { epoch, last, transfer } => log.on_vote(t, from, epoch, last, transfer),
            LogMessage::VoteReply { epoch, granted } => log.on_vote_reply(t, from, epoch, granted),
            LogMessage::Append(append) => log.on_append(t, from, &append),
            LogMessage::AppendReply { epoch, round, matched, index } => {
                log.on_append_reply(t, from, epoch, round, matched, index);
            }
            LogMessage::Fetch { after } => log.on_fetch(t, from, after),
            LogMessage::Suffix(suffix) => log.on_suffix(t, from, &suffix),
            LogMessage::Install { epoch, last, size } => log.on_install(t, from, epoch, last, size),
            LogMessage::FetchPart { last, offset } => log.on_fetch_part(t, from, last, offset),
            LogMessage::Part(part) => log.on_part(t, from, &part),
            LogMessage::TransferNow { epoch } => log.on_transfer_now(t, from, epoch),
        });
    }

    /// Every write up to `token` is durable.
    pub(super) fn persisted(
        &mut self,
        now: Time,
        token: Token,
        out: &mut Outbox,
        events: &mut VecDeque<LogEvent>,
    ) {
        self.turn(now, out, events, |log, t| {
            log.ballot_write = log.ballot_write.filter(|written| *written > token);
            log.count_own_vote(t, token);
            if log.store.persisted(token) && log.leads() {
                log.advance_commit(t);
            }
        });
    }

    /// A reign, or its leader, was heard of by other ways than the log's own messages.
    pub(super) fn hear(
        &mut self,
        now: Time,
        epoch: Epoch,
        leader: Option<NodeId>,
        out: &mut Outbox,
        events: &mut VecDeque<LogEvent>,
    ) {
        if epoch < self.epoch() || epoch == self.epoch() && (self.leader.is_some() || leader.is_none()) {
            return;
        }
        self.turn(now, out, events, |log, t| {
            if log.seated || log.leads() {
                log.raise(t, epoch);
            } else if epoch > log.heard {
                log.heard = epoch;
                log.leader = None;
                log.heard_at = None;
            }
            if log.leader.is_none() {
                // Who led before it crashed, or before it lost its quorum, does not lead because others still think so.
                log.leader = leader.filter(|leader| *leader != log.me);
            }
        });
    }

    /// Appends a command to the log and returns its place, where it will be committed unless this reign ends before. `None`, with
    /// nothing changed, when this node does not lead, hands over, or has too much that is not committed yet, or when the command is
    /// larger than an entry may be.
    pub(super) fn propose(
        &mut self,
        now: Time,
        command: Command,
        out: &mut Outbox,
        events: &mut VecDeque<LogEvent>,
    ) -> Option<Position> {
        self.turn(now, out, events, |log, t| log.append_own(t, Payload::Command(command)))
    }

    /// Begins a change of seats; false, with nothing changed, when this node does not lead, hands over, has not yet committed an
    /// entry of its own term, when an earlier change is not committed yet, or when `seats` may not follow those in force: it must have
    /// the next number, ordered lists, and at most one voter more or less; or a seat begins to pass, or has passed.
    pub(super) fn propose_seats(
        &mut self,
        now: Time,
        seats: Seats,
        out: &mut Outbox,
        events: &mut VecDeque<LogEvent>,
    ) -> bool {
        let early = self.planted.has(Mutant::ReseatsEarly);
        let settled = self.lead().is_some_and(|lead| lead.first <= self.store.commit() || early)
            && self.store.seats_since() <= self.store.commit();
        if !settled || !seats::may_follow(self.store.seats(), &seats) {
            return false;
        }
        self.turn(now, out, events, |log, t| {
            let before = Arc::clone(log.store.seats());
            let appended = log.append_own(t, Payload::Seats(Arc::new(seats))).is_some();
            log.reseat(t, &before);
            appended
        })
    }

    /// The newest reign that this node knows.
    pub(super) fn epoch(&self) -> Epoch {
        self.heard
    }

    /// Who leads that reign, if this node knows.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Whether this node is a voter that has not heard its leader for an election time-out, and so seeks another one.
    pub(super) fn misses_leader(&self) -> bool {
        matches!(self.role, Role::Asking(_) | Role::Standing(_))
    }

    /// Whether this node leads.
    pub(super) fn leads(&self) -> bool {
        self.lead().is_some()
    }

    /// Whether this node has a voter's seat.
    pub(super) fn votes(&self) -> bool {
        self.seated
    }

    /// The seats in force, committed or not.
    pub(super) fn seats(&self) -> &Arc<Seats> {
        self.store.seats()
    }

    /// Up to where the log is known to be committed.
    #[cfg(test)]
    pub(super) fn commit(&self) -> Index {
        self.store.commit()
    }

    /// Where the log ends.
    #[cfg(test)]
    pub(super) fn last(&self) -> Position {
        self.store.last()
    }

    /// Makes a snapshot of `state`, which is the state after the entry at `last`, stand for the entries up to there. They must be
    /// committed. Nothing happens when a snapshot reaches as far already.
    pub(super) fn compact(&mut self, last: Index, state: Arc<[u8]>, out: &mut Outbox) {
        let seats = if self.planted.has(Mutant::SnapshotLosesSeats) {
            Arc::default()
        } else {
            Arc::clone(self.store.seats_at(last))
        };
        self.store.compact(last, seats, state, self.sizes.keep, out);
    }

    fn lead(&self) -> Option<&Lead> {
        match &self.role {
            Role::Leading(lead) => Some(lead),
            Role::Follower | Role::Asking(_) | Role::Standing(_) => None,
        }
    }

    fn lead_mut(&mut self) -> Option<&mut Lead> {
        match &mut self.role {
            Role::Leading(lead) => Some(lead),
            Role::Follower | Role::Asking(_) | Role::Standing(_) => None,
        }
    }

    /// Every step goes through here: the first one begins this life, each one ends by telling of a new reign or leader.
    fn turn<R>(
        &mut self,
        now: Time,
        out: &mut Outbox,
        events: &mut VecDeque<LogEvent>,
        step: impl FnOnce(&mut Log, &mut Turn) -> R,
    ) -> R {
        let mut t = Turn { now, out, events };
        if !self.begun {
            self.begin(&mut t);
        }
        let result = step(self, &mut t);
        self.tell_reign(&mut t);
        result
    }
}
