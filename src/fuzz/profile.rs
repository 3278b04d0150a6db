//! What a campaign aims at.

use super::family::{FAMILIES, Family};

/// What a campaign aims at: which faults its scenarios may have, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Everything but files, a random subset of it in each scenario.
    Swarm,
    /// Voters die, stand still and start again while elections, snapshots and changes of seats go on.
    Elections,
    /// The network is cut in every shape: one-way, partial, in halves, flapping.
    Partitions,
    /// Machines come, go and lose their disks all the time.
    Churn,
    /// Engines die, hang, slow down and answer wrongly under many jobs.
    Work,
    /// Disks are slow, full, damaged, lost and replaced by old copies.
    Disks,
    /// Faults come in the order and at the distance in which clusters are known to lose data.
    Stories,
    /// Files are put, found and deleted by several clients while machines come and go.
    Files,
}

impl Profile {
    /// All profiles, the usual one first.
    pub const ALL: [Profile; 8] = [
        Profile::Swarm,
        Profile::Elections,
        Profile::Partitions,
        Profile::Churn,
        Profile::Work,
        Profile::Disks,
        Profile::Stories,
        Profile::Files,
    ];

    /// What commands call it.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Swarm => "swarm",
            Profile::Elections => "elections",
            Profile::Partitions => "partitions",
            Profile::Churn => "churn",
            Profile::Work => "work",
            Profile::Disks => "disks",
            Profile::Stories => "stories",
            Profile::Files => "files",
        }
    }

    /// What it aims at, in a sentence without a full stop.
    pub const fn about(self) -> &'static str {
        match self {
            Profile::Swarm => "everything but files, a random subset of it in each scenario",
            Profile::Elections => {
                "voters die, stand still and restart during elections, snapshots and seat changes"
            }
            Profile::Partitions => "the network is cut in every shape: one-way, partial, in halves, flapping",
            Profile::Churn => "machines come, go and lose their disks all the time",
            Profile::Work => "engines die, hang, slow down and answer wrongly under many jobs",
            Profile::Disks => "disks are slow, full, damaged, lost and replaced by old copies",
            Profile::Stories => "faults come in the order in which clusters are known to lose data",
            Profile::Files => "files are put, found and deleted while machines come, go and lose their disks",
        }
    }

    /// The profile of this name.
    pub fn by_name(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The faults that its scenarios may have.
    pub(super) fn families(self) -> Vec<Family> {
        Family::of(self)
    }

    /// The most faults of a scenario, those that a pattern consists of counted as one.
    pub(super) const fn faults_max(self) -> u64 {
        match self {
            Profile::Swarm | Profile::Work => 16,
            Profile::Elections | Profile::Churn | Profile::Disks => 24,
            Profile::Partitions | Profile::Files => 10,
            Profile::Stories => 6,
        }
    }

    /// In how many of its scenarios something stays broken, of those in which anything can.
    pub(super) const fn lasting_share(self) -> f64 {
        match self {
            // Its clusters always have a voter to spare.
            Profile::Stories => 0.42,
            _ => 0.5,
        }
    }

    /// The kinds of faults that its scenarios may have, as scenario files call them, each once, in order.
    pub fn kinds(self) -> Vec<&'static str> {
        let aims = self.families();
        let rows = FAMILIES.iter().filter(|(family, ..)| aims.contains(family));
        let mut kinds: Vec<&str> = rows.map(|(_, kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}
