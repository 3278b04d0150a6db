//! The scenarios that come with idunno, built into the binary, so that they can be run by their bare names.

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),+]
    };
}

/// Every shipped scenario: its name, which is that of its file in `scenarios/`, and its source; in order of the names.
pub fn shipped() -> &'static [(&'static str, &'static str)] {
    shipped![
        "classic_pull",
        "classic_query_counts",
        "classic_successor",
        "classic_time_shares",
        "coord_and_voter_fail",
        "coord_fail",
        "fair_many_jobs",
        "fair_two_models",
        "handover",
        "late_job",
        "lossy_network",
        "partial_chained",
        "partial_constrained",
        "partial_quorum_loss",
        "partition_leader_one_way",
        "partition_minority",
        "pause_coordinator",
        "priorities",
        "refusal_20",
        "refusal_80",
        "refusal_mixed",
        "refusal_steep",
        "rolling_restart",
        "second_job",
        "second_job_busy",
        "second_job_stored",
        "second_job_swapped",
        "standby_lagging_backup",
        "standby_partition",
        "standby_works",
        "starved_few",
        "steady",
        "stragglers",
        "three_at_once",
        "torch_coord_fail",
        "worker_fail",
    ]
}

/// The source of the shipped scenario of this name.
pub fn find_shipped(name: &str) -> Option<&'static str> {
    shipped().iter().find(|(shipped, _)| *shipped == name).map(|(_, source)| *source)
}
