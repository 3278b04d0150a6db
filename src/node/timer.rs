//! A node's timers by name, so that whoever watches it can say why it woke.

use crate::base::Time;

/// Something that a node does when its time has come. A timer that is due need not lead to anything visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The process, or a part of it, takes its first step.
    Start,
    /// A voter has heard of no leader for an election time-out.
    Election,
    /// The leader sends its followers a sign of life, and sees who answered the last ones.
    Lead,
    /// A read that this node alone can confirm is answered.
    Read,
    /// A part of a snapshot did not come.
    Part,
    /// One who wants to be let in, or to be let go, asks again.
    Ask,
    /// The observers get a heartbeat.
    Beat,
    /// Somebody who is observed may have been silent for too long.
    Silence,
    /// An alert grows old, or a suspicion is old enough for an eviction.
    Suspicion,
    /// A worker's result was not settled, and is reported again; or what its engine does takes too long.
    Worker,
    /// One who leaves tries again.
    Leave,
    /// The survey of a new coordinator has lasted long enough.
    Survey,
    /// Workers that did not answer the survey are asked again.
    SurveyAgain,
    /// Rates are looked at anew.
    Replan,
    /// Desks that workers did not confirm are sent again.
    Desks,
    /// Idle workers look for a query to run a second time.
    Spares,
    /// A worker that refused a query may be asked again.
    Rested,
    /// Arrivals and departures that were gathered become a view change, or the last one took too long.
    Gather,
    /// The seats of the voters are looked at.
    Seats,
    /// The standby of the classic design is sent what is new, or what it did not answer.
    Backup,
    /// What the coordinator did not confirm to know of a member's chunks is said again.
    Holds,
    /// Members are told again what they shall do with chunks, a file that is being put takes too long, or chunks that nobody needs have
    /// been kept for long enough.
    Shelves,
}

/// The earliest of some timers; `Time::NEVER` when none is set.
pub(super) fn earliest<const N: usize>(timers: [(Timer, Time); N]) -> Time {
    timers.into_iter().fold(Time::NEVER, |first, (_, at)| first.min(at))
}

/// Adds those of some timers that are due by `now`.
pub(super) fn add_due<const N: usize>(now: Time, timers: [(Timer, Time); N], due: &mut Vec<Timer>) {
    due.extend(timers.into_iter().filter(|(_, at)| *at <= now).map(|(timer, _)| timer));
}
