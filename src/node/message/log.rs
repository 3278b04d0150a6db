//! The quorum log among its voters and learners.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::entry::{Entry, Index, Position};
use crate::base::{Epoch, Time};

/// The quorum log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogMessage {
    /// A voter that misses its leader, to all voters: "would you vote for me in `epoch`?" Answered by [`Self::PreVoteReply`].
    PreVote {
        /// The epoch in which the sender would stand.
        epoch: Epoch,
        /// Where the sender's log ends.
        last: Position,
    },
    /// Answer to [`Self::PreVote`]. Nobody's term or vote changes by it.
    PreVoteReply {
        /// The epoch that was asked about.
        epoch: Epoch,
        /// Whether the sender would vote so.
        granted: bool,
        /// The sender's own term.
        term: Epoch,
        /// Where the sender's log ends: a pre-candidate whose own is behind asks for the rest by [`Self::Fetch`].
        last: Position,
    },
    /// A candidate to all voters. Answered by [`Self::VoteReply`] once the vote is durable.
    Vote {
        /// The epoch in which the sender stands.
        epoch: Epoch,
        /// Where the sender's log ends.
        last: Position,
        /// True when the leader itself asked the sender to stand, so that having heard from the leader is no reason to refuse.
        transfer: bool,
    },
    /// Answer to [`Self::Vote`].
    VoteReply {
        /// The sender's term.
        epoch: Epoch,
        /// Whether the sender's vote of that term is the receiver's.
        granted: bool,
    },
    /// The leader to each voter and learner: new entries, or none as a sign of life. Answered by [`Self::AppendReply`].
    Append(Arc<Append>),
    /// Answer to [`Self::Append`], sent once the entries are durable.
    AppendReply {
        /// The sender's term.
        epoch: Epoch,
        /// The round of the append that is answered: acknowledges the leader's authority at that moment.
        round: u64,
        /// True: the sender's log agrees with the leader's up to `index`, durably. False: it does not reach or does not
        /// agree at the append's predecessor, and `index` is the last place where it may agree.
        matched: bool,
        /// See `matched`.
        index: Index,
    },
    /// A pre-candidate with a stale log to the voter that refused it: "send me what follows `after`". Answered by
    /// [`Self::Suffix`], or by [`Self::Install`] when the sender has compacted that part.
    Fetch {
        /// The requester's commit index, or the end of what it has gathered so far.
        after: Index,
    },
    /// Answer to [`Self::Fetch`]: adopted by a pre-candidate whose log ends earlier in (term, length), with the sender's term.
    Suffix(Arc<Suffix>),
    /// A leader, or the answerer of [`Self::Fetch`]: "you need my snapshot". The receiver draws it part by part with [`Self::FetchPart`].
    Install {
        /// The sender's term.
        epoch: Epoch,
        /// The last entry that the snapshot covers.
        last: Position,
        /// Its length in bytes.
        size: u64,
    },
    /// "Send me the part of the snapshot at `last` that begins at `offset`." Answered by [`Self::Part`] while that snapshot exists.
    FetchPart {
        /// Which snapshot.
        last: Position,
        /// The first byte wanted.
        offset: u64,
    },
    /// A part of at most 256 KiB of a snapshot.
    Part(Arc<Part>),
    /// A leader that hands over, to a voter whose log is complete: "stand for election now".
    TransferNow {
        /// The leader's term.
        epoch: Epoch,
    },
}

/// The body of [`LogMessage::Append`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Append {
    /// The leader's term.
    pub epoch: Epoch,
    /// Counted by the leader; the highest one that a quorum has answered proves that it still led when that round began.
    pub round: u64,
    /// Cluster time when the leader last gave a sign of life, so that it goes on from reign to reign while nothing is appended.
    pub time: Time,
    /// The entry before the first of `entries`.
    pub previous: Position,
    /// At most 1 MiB of entries, in order without gaps.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub commit: Index,
}

/// The body of [`LogMessage::Suffix`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suffix {
    /// The sender's term.
    pub epoch: Epoch,
    /// The entry before the first of `entries`. Unless the sender was cut off for long, the receiver has it, too.
    pub previous: Position,
    /// What follows, at most 1 MiB of it.
    pub entries: Vec<Entry>,
    /// The sender's commit index.
    pub commit: Index,
}

/// The body of [`LogMessage::Part`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The sender's term.
    pub epoch: Epoch,
    /// Which snapshot.
    pub last: Position,
    /// The whole length in bytes.
    pub size: u64,
    /// Where `bytes` begin.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}
