//! What a campaign aims at.

use super::faults::Family;

/// What a campaign aims at: which faults its scenarios may have, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Everything, a random subset of it in each scenario.
    Swarm,
    /// Voters die, stand still and start again while elections, snapshots and changes of seats go on.
    Elections,
    /// The network is cut in every shape: one-way, partial, in halves, flapping.
    Partitions,
    /// Machines come, go and lose their disks all the time.
    Churn,
    /// Engines die, hang and slow down under many jobs.
    Work,
}

impl Profile {
    /// All profiles, the usual one first.
    pub const ALL: [Profile; 5] =
        [Profile::Swarm, Profile::Elections, Profile::Partitions, Profile::Churn, Profile::Work];

    /// What commands call it.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Swarm => "swarm",
            Profile::Elections => "elections",
            Profile::Partitions => "partitions",
            Profile::Churn => "churn",
            Profile::Work => "work",
        }
    }

    /// What it aims at, in a sentence without a full stop.
    pub const fn about(self) -> &'static str {
        match self {
            Profile::Swarm => "everything, a random subset of it in each scenario",
            Profile::Elections => {
                "voters die, stand still and restart during elections, snapshots and seat changes"
            }
            Profile::Partitions => "the network is cut in every shape: one-way, partial, in halves, flapping",
            Profile::Churn => "machines come, go and lose their disks all the time",
            Profile::Work => "engines die, hang and slow down under many jobs",
        }
    }

    /// The profile of this name.
    pub fn by_name(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The faults that its scenarios may have.
    pub(super) fn families(self) -> &'static [Family] {
        match self {
            Profile::Swarm => &Family::ALL,
            Profile::Elections => &[
                Family::Kill,
                Family::KillLeader,
                Family::Pause,
                Family::PauseLeader,
                Family::Restart,
                Family::LeaderCut,
                Family::Loss,
                Family::Delay,
            ],
            Profile::Partitions => &[
                Family::Halves,
                Family::OneWay,
                Family::DeadPair,
                Family::Bridge,
                Family::Ring,
                Family::Flap,
                Family::LeaderCut,
                Family::Isolate,
            ],
            Profile::Churn => &[
                Family::Kill,
                Family::Wipe,
                Family::Restart,
                Family::Leave,
                Family::CrashLoop,
                Family::KillLeader,
                Family::Loss,
            ],
            Profile::Work => &[
                Family::EngineDeath,
                Family::Stuck,
                Family::Slow,
                Family::LoadFailure,
                Family::Kill,
                Family::Pause,
                Family::KillLeader,
            ],
        }
    }

    /// The most faults of a scenario, those that a pattern consists of counted as one.
    pub(super) const fn faults_max(self) -> u64 {
        match self {
            Profile::Swarm | Profile::Work => 16,
            Profile::Elections | Profile::Churn => 24,
            Profile::Partitions => 10,
        }
    }

    /// The kinds of faults that its scenarios may have, as scenario files call them, each once, in order.
    pub fn kinds(self) -> Vec<&'static str> {
        let mut kinds: Vec<&str> = self.families().iter().map(|family| family.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Whether its scenarios can be expected to reach this point of [`super::POINTS`].
    pub fn expects(self, point: &str) -> bool {
        let engines = matches!(self, Profile::Swarm | Profile::Work);
        let leaves = matches!(self, Profile::Swarm | Profile::Churn);
        match point {
            "a load failed" | "an engine died" => engines,
            "a leader handed over" => leaves,
            _ => true,
        }
    }
}
