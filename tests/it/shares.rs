//! What exact allocation does in a cluster: shares follow the cost of a query.

use idunno::base::{Span, Time};
use idunno::history::{Observation, Record, What};
use idunno::scenario::Plan;
use idunno::sim;

/// Two jobs of equal length on eight machines, with these times per query, under this policy.
fn two_models(policy: &str, first: &str, second: &str) -> Plan {
    let text = format!(
        r#"
        nodes = 8
        until = "60s"
        scheduler.policy = "{policy}"
        [model.first]
        load = "100ms"
        per_input = "{first}"
        [model.second]
        load = "100ms"
        per_input = "{second}"
        [[job]]
        model = "first"
        inputs = 100000
        batch = 10
        [[job]]
        model = "second"
        at = "500ms"
        inputs = 100000
        batch = 10
    "#
    );
    Plan::read(&text, "two_models.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// The allocations that were in force at some time after 5 s.
fn settled(plan: &Plan, seed: u64) -> Vec<Vec<u32>> {
    let mut records: Vec<Record> = Vec::new();
    sim::run(plan, seed, &mut records, &|| false);
    let mut allocations: Vec<(Time, Vec<u32>)> = Vec::new();
    for record in records {
        if let What::Node(Observation::Allocated { workers }) = record.what {
            allocations.push((record.at, workers.iter().map(|&(_, workers)| workers).collect()));
        }
    }
    let settled = Time::ZERO + Span::secs(5);
    let early = allocations.iter().filter(|(at, _)| *at <= settled).count();
    allocations.split_off(early.max(1) - 1).into_iter().map(|(_, workers)| workers).collect()
}

#[test]
fn two_equal_models_share_the_cluster_evenly() {
    for policy in ["fair_time", "fair_time_dp", "max_min", "finish_time"] {
        let plan = two_models(policy, "lognormal(20ms, 0.1)", "lognormal(20ms, 0.1)");
        for seed in 1..=3 {
            let allocations = settled(&plan, seed);
            assert!(
                !allocations.is_empty() && allocations.iter().all(|shares| *shares == [4, 4]),
                "{policy}, seed {seed}: {allocations:?}"
            );
        }
    }
}

#[test]
fn a_model_that_is_seven_times_slower_gets_seven_of_eight_workers() {
    for policy in ["fair_time", "fair_time_dp", "max_min"] {
        let plan = two_models(policy, "lognormal(70ms, 0.1)", "lognormal(10ms, 0.1)");
        for seed in 1..=3 {
            let allocations = settled(&plan, seed);
            assert!(
                !allocations.is_empty() && allocations.iter().all(|shares| *shares == [7, 1]),
                "{policy}, seed {seed}: {allocations:?}"
            );
        }
    }
}
