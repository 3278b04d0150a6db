//! Families of faults: a family is one way in which clusters break, of one fault or several, and profiles aim at some of them.

use super::profile::Profile::{self, Churn, Disks, Elections, Files, Partitions, Stories, Work};

/// One way in which clusters break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// A machine dies and starts again later.
    Kill,
    /// The coordinator dies and starts again later.
    KillLeader,
    /// A machine dies and loses its disk.
    Wipe,
    /// A machine restarts at once.
    Restart,
    /// A machine dies again as soon as it is back, several times.
    CrashLoop,
    /// Many machines die, and come back at the same moment.
    JoinStorm,
    /// A machine leaves on purpose and comes back.
    Leave,
    /// A machine leaves and is back before anything else has changed.
    Rejoin,
    /// A machine stands still.
    Pause,
    /// The coordinator stands still.
    PauseLeader,
    /// A machine is cut off.
    Isolate,
    /// The coordinator is cut off in one direction or both.
    LeaderCut,
    /// The machines are cut into two parts.
    Halves,
    /// Nothing goes into a machine, or nothing out of it.
    OneWay,
    /// Two machines do not hear each other.
    DeadPair,
    /// Two parts are connected through one machine only.
    Bridge,
    /// Each machine hears a majority, and each another one.
    Ring,
    /// A link goes up and down.
    Flap,
    /// Messages of some machines are lost.
    Loss,
    /// Messages of some machines are lost in bursts, or only large ones.
    Bursts,
    /// Links carry little.
    SlowLink,
    /// Messages are held and come all at once.
    Jam,
    /// Only some links live, in one of the shapes that scenarios know.
    Partial,
    /// Machines get no processor time now and then.
    Starve,
    /// A clock runs fast or slow.
    Skew,
    /// A machine stands still and its clock with it.
    Suspend,
    /// A machine stands still again and again.
    PauseStorm,
    /// A machine dies in the midst of an election, a snapshot or a change of seats.
    KillAmid,
    /// Messages of some machines are late.
    Delay,
    /// Messages arrive twice.
    Duplicate,
    /// Messages overtake each other.
    Reorder,
    /// A machine infers slowly.
    Slow,
    /// A single query takes very long.
    Straggler,
    /// Models do not load.
    LoadFailure,
    /// Engines die.
    EngineDeath,
    /// Queries hang.
    Stuck,
    /// Engines answer wrongly.
    BadOutput,
    /// Engines answer twice.
    RepeatOutput,
    /// A disk is slow.
    SlowDisk,
    /// A disk is full.
    FullDisk,
    /// A disk is damaged, and its machine starts again.
    Corrupt,
    /// A machine that does not vote goes back to an old copy of its disk, and may have died in the meantime.
    Rollback,
    /// Bits of a chunk of a file flip on one disk.
    Rot,
    /// One voter after the other dies for a moment, while the others choose a leader.
    Storm,
    /// A coordinator that was cut off is back when its successor dies.
    OldLeader,
    /// What was committed is left on disks whose machines are dead.
    LastCopies,
    /// Votes and candidacies are lost before they are on a disk, and those who do not know of them elect once more.
    LostVotes,
    /// Coordinators are cut off one after the other, each with an entry that nobody else has, and come back.
    OldTerms,
    /// A coordinator that was cut off hears its successor without being heard.
    HalfHeard,
    /// The coordinator dies while a voter's seat is given to another node.
    Successors,
}

/// Every family, with the kind of its faults as scenario files call it, and the profiles that aim at it beside
/// [`Profile::Swarm`], which takes all but what only files have.
#[rustfmt::skip] // One family, one line: it is a table.
pub(super) const FAMILIES: [(Family, &str, &[Profile]); 50] = [
    (Family::Kill, "crash", &[Elections, Churn, Work, Disks, Files]),
    (Family::KillLeader, "crash", &[Elections, Churn, Work, Files]),
    (Family::Wipe, "crash", &[Churn, Disks, Files]),
    (Family::Restart, "restart", &[Elections, Churn, Disks, Files]),
    (Family::CrashLoop, "crash", &[Churn, Files]),
    (Family::JoinStorm, "crash", &[Churn]),
    (Family::Leave, "leave", &[Churn, Files]),
    (Family::Rejoin, "leave", &[Churn, Files]),
    (Family::Pause, "pause", &[Elections, Work, Files]),
    (Family::PauseLeader, "pause", &[Elections, Files]),
    (Family::Isolate, "isolate", &[Partitions, Files]),
    (Family::LeaderCut, "cut", &[Elections, Partitions, Files]),
    (Family::Halves, "cut", &[Partitions, Files]),
    (Family::OneWay, "cut", &[Partitions]),
    (Family::DeadPair, "cut", &[Partitions]),
    (Family::Bridge, "cut", &[Partitions]),
    (Family::Ring, "cut", &[Partitions]),
    (Family::Flap, "cut", &[Partitions, Files]),
    (Family::Loss, "loss", &[Elections, Churn, Files]),
    (Family::Bursts, "loss", &[Elections]),
    (Family::SlowLink, "slow_link", &[Partitions, Files]),
    (Family::Jam, "jam", &[Elections, Partitions]),
    (Family::Partial, "partial", &[Elections, Partitions, Files]),
    (Family::Starve, "starve", &[Elections]),
    (Family::Skew, "skew", &[Elections]),
    (Family::Suspend, "suspend", &[Elections, Files]),
    (Family::PauseStorm, "pause", &[Elections]),
    (Family::KillAmid, "crash", &[Elections, Churn, Stories]),
    (Family::Delay, "delay", &[Elections, Stories, Files]),
    (Family::Duplicate, "duplicate", &[Files]),
    (Family::Reorder, "reorder", &[Files]),
    (Family::Slow, "slow", &[Work]),
    (Family::Straggler, "slow", &[Work]),
    (Family::LoadFailure, "load_failure", &[Work]),
    (Family::EngineDeath, "engine_death", &[Work]),
    (Family::Stuck, "stuck", &[Work]),
    (Family::BadOutput, "bad_output", &[Work]),
    (Family::RepeatOutput, "repeat_output", &[Work]),
    (Family::SlowDisk, "slow_disk", &[Elections, Disks, Stories, Files]),
    (Family::FullDisk, "full_disk", &[Disks, Files]),
    (Family::Corrupt, "corrupt", &[Churn, Disks, Files]),
    (Family::Rollback, "rollback", &[Churn, Disks]),
    (Family::Rot, "rot", &[Files]),
    (Family::Storm, "crash", &[Elections, Stories]),
    (Family::OldLeader, "cut", &[Elections, Partitions, Stories]),
    (Family::LastCopies, "crash", &[Churn, Disks, Stories]),
    (Family::LostVotes, "crash", &[Elections, Stories]),
    (Family::OldTerms, "isolate", &[Elections, Stories]),
    (Family::HalfHeard, "cut", &[Partitions, Stories]),
    (Family::Successors, "crash", &[Elections, Churn, Stories]),
];

impl Family {
    /// The families at which `profile` aims.
    pub(super) fn of(profile: Profile) -> Vec<Family> {
        // Only files rot.
        let aims = |family: Family, profiles: &[Profile]| {
            profile == Profile::Swarm && family != Family::Rot || profiles.contains(&profile)
        };
        let all = FAMILIES.iter().filter(|(family, _, profiles)| aims(*family, profiles));
        all.map(|(family, ..)| *family).collect()
    }

    /// Whether machines leave on purpose.
    pub(super) fn takes_leave(self) -> bool {
        matches!(self, Family::Leave | Family::Rejoin)
    }

    /// Whether it costs a machine its disk, or a part of it.
    pub(super) fn loses_disks(self) -> bool {
        matches!(self, Family::Wipe | Family::Corrupt | Family::LastCopies | Family::Rot)
    }
}
