//! Bugs that can be planted on purpose, each as others have made it, to see that the checks find it.
//!
//! Only builds with debug assertions can hold one. In a release build [`Planted`] has no size and [`Planted::has`] is false
//! at compile time, so that the code of the bugs is not there.

/// A bug. Each stands at one place of the code, which asks whether it is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// A vote is told before it is on the disk.
    VoteBeforeDurable,
    /// A candidate asks for votes, and counts its own, before its candidacy is on the disk.
    StandsBeforeDurable,
    /// A follower acknowledges entries before they are on the disk.
    AcknowledgesBeforeDurable,
    /// Entries of an earlier term are committed by counting who holds them.
    CommitsEarlierTerms,
    /// A new leader takes for granted that each voter holds all that it holds itself.
    AssumesProgress,
    /// A longer log is preferred to one of a later term in elections.
    ElectsLonger,
    /// A longer log is preferred to one of a later term by who is asked before an election, and when a stale log is filled up.
    AdoptsLonger,
    /// Voters that were removed, and learners, are asked for votes, and theirs count.
    OutsidersVote,
    /// Voters that were removed, but not learners, are asked for votes, and theirs count.
    RemovedVoterVotes,
    /// A new leader changes the seats before an entry of its own term is committed.
    ReseatsEarly,
    /// The seat of a voter that is gone is given to no one.
    LostVoterStays,
    /// A snapshot loses the seats.
    SnapshotLosesSeats,
    /// A snapshot loses the jobs that have not begun.
    SnapshotLosesQueued,
    /// A leader goes on leading although no majority answers.
    NoCheckQuorum,
    /// Whoever has once heard a leader elects no other one.
    ContentForEver,
    /// A wiped disk keeps its identity, and with it its vote.
    WipedKeepsIdentity,
    /// A worker obeys a reign that is over.
    ObeysOldReign,
    /// A deposed coordinator goes on.
    DeposedGoesOn,
    /// A client is answered before its request is committed.
    AnswersBeforeCommit,
    /// A request that is repeated is carried out again.
    RepeatsRequest,
    /// A query that is answered twice is counted twice.
    CountsTwice,
    /// A result that comes when the batch size has changed counts as that of the query that has its number now.
    VoidCutCounts,
    /// A second answer to a query counts towards the end of its job.
    DuplicateEndsJob,
    /// A new coordinator goes on from the number of queries that are counted, as if they were the first ones.
    ResumesByCount,
    /// A query that failed too often is dropped instead of being counted as failed.
    DropsFailures,
    /// A late result takes from the desk what its worker holds now.
    LateResultClearsDesk,
    /// An order that was lost is not sent again.
    NoSecondOrder,
    /// A result that was lost is not sent again.
    NoSecondResult,
    /// What a worker held that is gone is given to no one.
    WorkDiesWithWorker,
    /// A worker that is gone is given work.
    GoneGetWork,
    /// A life that was evicted comes back.
    EvictedReturns,
    /// Nobody is ever evicted.
    NobodyIsEvicted,
    /// A view replaces a newer one.
    InstallsOldView,
    /// A file is written into the log before enough disks hold it.
    PutsUnplaced,
    /// The chunks of a file that is being put are needed by nobody.
    PutsPinNothing,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 35] = [
        Mutant::VoteBeforeDurable,
        Mutant::StandsBeforeDurable,
        Mutant::AcknowledgesBeforeDurable,
        Mutant::CommitsEarlierTerms,
        Mutant::AssumesProgress,
        Mutant::ElectsLonger,
        Mutant::AdoptsLonger,
        Mutant::OutsidersVote,
        Mutant::RemovedVoterVotes,
        Mutant::ReseatsEarly,
        Mutant::LostVoterStays,
        Mutant::SnapshotLosesSeats,
        Mutant::SnapshotLosesQueued,
        Mutant::NoCheckQuorum,
        Mutant::ContentForEver,
        Mutant::WipedKeepsIdentity,
        Mutant::ObeysOldReign,
        Mutant::DeposedGoesOn,
        Mutant::AnswersBeforeCommit,
        Mutant::RepeatsRequest,
        Mutant::CountsTwice,
        Mutant::VoidCutCounts,
        Mutant::DuplicateEndsJob,
        Mutant::ResumesByCount,
        Mutant::DropsFailures,
        Mutant::LateResultClearsDesk,
        Mutant::NoSecondOrder,
        Mutant::NoSecondResult,
        Mutant::WorkDiesWithWorker,
        Mutant::GoneGetWork,
        Mutant::EvictedReturns,
        Mutant::NobodyIsEvicted,
        Mutant::InstallsOldView,
        Mutant::PutsUnplaced,
        Mutant::PutsPinNothing,
    ];

    /// Its name, as commands spell it: `vote_before_durable`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The one of this name.
    pub fn by_name(name: &str) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

/// Which bug is planted, if any. By default none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(debug_assertions)]
    mutant: Option<Mutant>,
}

impl Planted {
    /// With this bug. Release builds have no such function.
    #[cfg(debug_assertions)]
    pub const fn with(mutant: Mutant) -> Planted {
        Planted { mutant: Some(mutant) }
    }

    /// Whether this bug is planted; never in release builds.
    #[cfg(debug_assertions)]
    pub const fn has(self, mutant: Mutant) -> bool {
        matches!(self.mutant, Some(planted) if planted as u8 == mutant as u8)
    }

    /// Whether this bug is planted; never in release builds.
    #[cfg(not(debug_assertions))]
    pub const fn has(self, _mutant: Mutant) -> bool {
        false
    }
}

// A build without debug assertions has no place to keep a bug.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Planted>() == 0 && !Planted {}.has(Mutant::CountsTwice));

#[cfg(test)]
mod tests {
    use super::{Mutant, Planted};

    #[test]
    fn names_are_found_again() {
        assert_eq!(Mutant::VoteBeforeDurable.name(), "vote_before_durable");
        for mutant in Mutant::ALL {
            assert_eq!(Mutant::by_name(&mutant.name()), Some(mutant));
        }
        assert_eq!(Mutant::by_name("none"), None);
    }

    #[test]
    fn nothing_is_planted_by_default() {
        assert!(Mutant::ALL.into_iter().all(|mutant| !Planted::default().has(mutant)));
    }

    #[cfg(debug_assertions)]
    #[test]
    fn what_is_planted_is_there_and_nothing_else() {
        for planted in Mutant::ALL {
            let there = |mutant: &Mutant| Planted::with(planted).has(*mutant);
            assert!(Mutant::ALL.into_iter().filter(there).eq([planted]));
        }
    }
}
