//! The points of interest: what a campaign has to have reached now and then, or it has tested less than it says.

use super::profile::Profile;

/// A point of interest: something that may happen in a trial. [`Point::name`] says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each has its sentence in the table")]
pub enum Point {
    SecondLeader,
    NoQuorum,
    HandedOver,
    SnapshotRestored,
    Evicted,
    SeveralChanged,
    SeatGiven,
    Expelled,
    Trusted,
    Hedged,
    SuspectRelieved,
    Withdrawn,
    AnsweredTwice,
    TakenOver,
    LoadFailed,
    EngineDied,
    EndedUnderFaults,
    Recut,
    Cancelled,
    WentOn,
    AskedElsewhere,
    GaveUp,
    JobsRead,
    FilePut,
    FileDeleted,
    ChunkDropped,
    FilePutLater,
    FileRead,
    FileReadOn,
    OnlyQuorum,
}

/// Every profile.
const ALL: &[Profile] = &Profile::ALL;
/// Those whose engines break.
const ENGINES: &[Profile] = &[Profile::Swarm, Profile::Work];
/// Those whose machines leave on purpose.
const LEAVES: &[Profile] = &[Profile::Swarm, Profile::Churn];
/// Those whose clients have files.
const FILES: &[Profile] = &[Profile::Files];

/// Every point, with its sentence about a trial, and the profiles whose scenarios can be expected to reach it.
#[rustfmt::skip] // One point, one line: it is a table.
const POINTS: [(Point, &str, &[Profile]); 30] = [
    (Point::SecondLeader, "a second leader was elected", ALL),
    (Point::NoQuorum, "a leader stepped down without a quorum", ALL),
    (Point::HandedOver, "a leader handed over", LEAVES),
    (Point::SnapshotRestored, "a node restored a snapshot", ALL),
    (Point::Evicted, "a member was evicted", ALL),
    (Point::SeveralChanged, "several members changed in one view", ALL),
    (Point::SeatGiven, "a voter's seat was given to another node", ALL),
    (Point::Expelled, "an evicted life learned of it", ALL),
    (Point::Trusted, "a suspect was trusted again", ALL),
    (Point::Hedged, "a query was hedged", ALL),
    (Point::SuspectRelieved, "a query of a suspect was given to another worker", ALL),
    (Point::Withdrawn, "a query was taken back from a worker", ALL),
    (Point::AnsweredTwice, "two answers to one query arrived", ALL),
    (Point::TakenOver, "a new coordinator took over attempts", ALL),
    (Point::LoadFailed, "a load failed", ENGINES),
    (Point::EngineDied, "an engine died", ENGINES),
    (Point::EndedUnderFaults, "a job ended under faults", ALL),
    (Point::Recut, "a batch size changed under way", ALL),
    (Point::Cancelled, "a job was cancelled under way", ALL),
    (Point::WentOn, "a stopped job went on", ALL),
    (Point::AskedElsewhere, "a client asked again elsewhere", ALL),
    (Point::GaveUp, "a client gave up and never knew", ALL),
    (Point::JobsRead, "a client read how far jobs are", ALL),
    (Point::FilePut, "a file was put", FILES),
    (Point::FileDeleted, "a file was deleted", FILES),
    (Point::ChunkDropped, "a chunk was dropped", FILES),
    (Point::FilePutLater, "a file was put under a second coordinator", FILES),
    (Point::FileRead, "a job that reads a file ended", FILES),
    (Point::FileReadOn, "a file was deleted or replaced while a job read it", FILES),
    (Point::OnlyQuorum, "only a quorum of the voters was left whole", ALL),
];

impl Point {
    /// All points, in the order of the table.
    pub fn all() -> impl Iterator<Item = Point> {
        POINTS.iter().map(|(point, ..)| *point)
    }

    /// Those that scenarios of `profile` can be expected to reach.
    pub fn of(profile: Profile) -> impl Iterator<Item = Point> {
        POINTS.iter().filter(move |(.., profiles)| profiles.contains(&profile)).map(|(point, ..)| *point)
    }

    /// A sentence about a trial, without a full stop.
    pub fn name(self) -> &'static str {
        POINTS[self as usize].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_stands_in_the_table_in_order_with_a_sentence_of_its_own() {
        for (position, (point, sentence, profiles)) in POINTS.iter().enumerate() {
            assert_eq!(*point as usize, position, "{point:?}: the table is in the order of the points");
            assert!(!profiles.is_empty() && !sentence.ends_with('.'), "{sentence}");
            assert_eq!(POINTS.iter().filter(|(_, other, _)| other == sentence).count(), 1, "{sentence}");
        }
    }

    #[test]
    fn profiles_expect_what_their_scenarios_can_have() {
        let expects = |profile, point| Point::of(profile).any(|other| other == point);
        assert!(expects(Profile::Files, Point::FilePut) && !expects(Profile::Swarm, Point::FilePut));
        assert!(expects(Profile::Work, Point::EngineDied) && !expects(Profile::Disks, Point::EngineDied));
        assert!(Profile::ALL.iter().all(|profile| expects(*profile, Point::OnlyQuorum)));
    }
}
