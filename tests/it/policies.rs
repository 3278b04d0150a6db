//! What policies do to a cluster: who is starved, who is asked again and again, and what refusals and stalls cost.

use std::collections::BTreeMap;

use idunno::base::{JobId, NodeId, Span, Time};
use idunno::check::Checker;
use idunno::history::{Record, What};
use idunno::node::{Change, Observation};
use idunno::policy::{Options, all};
use idunno::scenario::{Plan, find_shipped};
use idunno::sim;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// A run and what was recorded of it; everything must be right and done.
fn records(plan: &Plan, seed: u64) -> (Vec<Record>, Time) {
    let mut sink = (Checker::new(plan, seed), Vec::new());
    let outcome = sim::run(plan, seed, &mut sink, &|| false);
    let (checker, records) = sink;
    let verdict = checker.finish(outcome.ended_at);
    assert!(verdict.violations.is_empty(), "{} seed {seed}: {:?}", plan.name, verdict.violations);
    assert!(outcome.unfinished.is_empty(), "{} seed {seed}: {:?}", plan.name, outcome.unfinished);
    (records, outcome.ended_at)
}

fn written(source: &str, overrides: &[String]) -> Plan {
    Plan::with_overrides(source, "test.toml", overrides).unwrap_or_else(|error| panic!("{error}"))
}

/// The first appearance of each change of the replicated state.
fn changes(records: &[Record]) -> impl Iterator<Item = (Time, &Change)> {
    let mut applied = 0;
    let fresh = records.iter().filter_map(move |record| match &record.what {
        What::Node(Observation::Applied { entry, changes, .. }) if entry.position.index.0 > applied => {
            applied = entry.position.index.0;
            Some((record.at, changes))
        }
        _ => None,
    });
    fresh.flat_map(|(at, changes)| changes.iter().map(move |change| (at, change)))
}

/// Twelve long jobs on three workers, and short ones that go on arriving.
const CROWD: &str = r#"
    until = "120s"
    nodes = 3
    [dispatch]
    hedge = false
    [model.m]
    load = "10ms"
    per_input = "lognormal(100ms, 0.3)"
    [model.slow]
    load = "20ms"
    per_input = "lognormal(600ms, 0.3)"
    [[arrivals]]
    name = "long"
    every = "10ms"
    count = 6
    model = "m"
    inputs = 10000
    [[arrivals]]
    name = "slow"
    every = "10ms"
    count = 6
    model = "slow"
    inputs = 10000
    [[arrivals]]
    name = "short"
    from = "1s"
    every = "exp(2s)"
    count = 40
    model = "m"
    inputs = 8
"#;

/// The longest that any of the first twelve jobs waited for a query of it to be counted.
fn hunger(policy: &str, seed: u64) -> Span {
    let plan = written(CROWD, &[format!("scheduler.policy={policy}")]);
    let mut sink = (Checker::new(&plan, seed), Vec::new());
    let outcome = sim::run(&plan, seed, &mut sink, &|| false);
    let (mut fed, mut longest) = (BTreeMap::new(), Span::ZERO);
    for (at, change) in changes(&sink.1) {
        let job = match change {
            Change::JobAdded { job, .. } => *job,
            Change::Counted { query, .. } => query.job,
            _ => continue,
        };
        let before = fed.insert(job, at).unwrap_or(at);
        if job <= JobId(12) {
            longest = longest.max(at.since(before));
        }
    }
    let hungry = fed.range(..=JobId(12)).map(|(_, last)| outcome.ended_at.since(*last)).max();
    longest.max(hungry.expect("there are jobs"))
}

#[test]
fn nobody_starves_under_a_policy_that_promises_it() {
    for policy in all(&Options::default()).iter().filter(|policy| policy.starves_nobody()) {
        for seed in 1..=2 {
            let longest = hunger(policy.name(), seed);
            assert!(longest < Span::secs(60), "{}, seed {seed}: {longest}", policy.name());
        }
    }
    let longest = hunger("fifo", 1);
    assert!(longest > Span::secs(110), "the test notices starvation: {longest}");
}

/// The mean makespan in seconds, and per machine by name how many queries it refused and ran.
fn placed(name: &str, policy: &str) -> (f64, BTreeMap<String, (u32, u32)>) {
    let source = find_shipped(name).unwrap_or_else(|| panic!("{name} is not shipped"));
    let plan = written(source, &[format!("scheduler.policy={policy}"), "arrivals.0.count=20".to_owned()]);
    let runs: Vec<(f64, Vec<(String, bool)>)> = (1..=3)
        .into_par_iter()
        .map(|seed| {
            let (records, end) = records(&plan, seed);
            let answers = records.iter().filter_map(|record| {
                let machine = &plan.nodes[record.machine? as usize].name;
                match &record.what {
                    What::Node(Observation::Refused { .. }) => Some((machine.to_string(), false)),
                    What::Node(Observation::Ended { .. }) => Some((machine.to_string(), true)),
                    _ => None,
                }
            });
            (end.as_secs(), answers.collect())
        })
        .collect();
    let mut machines: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (machine, ran) in runs.iter().flat_map(|(_, answers)| answers) {
        let (refused, runs) = machines.entry(machine.clone()).or_default();
        *(if *ran { runs } else { refused }) += 1;
    }
    (runs.iter().map(|(end, _)| end).sum::<f64>() / runs.len() as f64, machines)
}

#[test]
fn least_load_wins_among_equals() {
    for name in ["refusal_20", "refusal_80"] {
        let (random, least) = (placed(name, "random").0, placed(name, "least_load").0);
        assert!(least < random * 0.97, "{name}: {least} s and {random} s");
    }
}

/// Load counts only active queries, so that those who refuse most look idlest.
#[test]
fn least_load_loses_where_some_refuse_more_than_others() {
    for name in ["refusal_mixed", "refusal_steep"] {
        let ((random, by_chance), (least, by_load)) = (placed(name, "random"), placed(name, "least_load"));
        assert!(least > random * 1.05, "{name}: {least} s and {random} s");
        let (chance, load) = (by_chance["d"], by_load["d"]);
        assert!(load.0 > chance.0 * 2, "{name}: d is asked more often: it refuses {load:?} and {chance:?}");
        assert!(load.1 > chance.1 * 2, "{name}: and runs more: {load:?} and {chance:?}");
    }
}

const REFUSING: &str = r#"
    [[node]]
    count = 4
    refuse = "50%"
    [dispatch]
    retries_max = 2
    backoff = "200ms"
    [model.m]
    load = "10ms"
    per_input = "10ms"
    [[job]]
    model = "m"
    inputs = 4000
    batch = 10
"#;

#[test]
fn what_is_refused_too_often_ends_as_failed_and_nothing_else_does() {
    for policy in all(&Options::default()) {
        let plan = written(REFUSING, &[format!("scheduler.policy={}", policy.name())]);
        let (records, _) = records(&plan, 1);
        let (mut failed, mut queries) = (0, 0);
        for (_, change) in changes(&records) {
            if let Change::Counted { failed: inputs, .. } = change {
                queries += 1;
                failed += u32::from(*inputs == 10);
                assert!([0, 10].contains(inputs), "{}", policy.name());
            }
        }
        // Three refusals in a row: an eighth of 400.
        assert_eq!(queries, 400, "{}", policy.name());
        assert!((25..75).contains(&failed), "{}: {failed} queries failed, seed 1", policy.name());
    }
}

#[test]
fn a_query_that_was_refused_rests_before_it_is_given_out_again() {
    let plan = written(REFUSING, &[]);
    let (records, _) = records(&plan, 1);
    let (mut refused, mut again) = (BTreeMap::new(), 0);
    for record in &records {
        match &record.what {
            // Until its coordinator has heard of it, the query may be taken back for an idle worker.
            What::Node(Observation::Arrived { query, answered: false, .. }) => {
                refused.insert(*query, record.at);
            }
            What::Node(Observation::Dispatched { query, .. }) => {
                if let Some(before) = refused.remove(query) {
                    again += 1;
                    let rested = record.at.since(before);
                    assert!(rested >= Span::millis(200), "{query} rests {rested}, seed 1");
                    assert!(rested < Span::secs(2), "{query} rests {rested}, seed 1");
                }
            }
            _ => {}
        }
    }
    assert!(again > 100, "{again}, seed 1");
}

#[test]
fn refusals_are_drawn_apart_and_a_stall_makes_a_query_longer() {
    let stalling = REFUSING.replace("refuse = \"50%\"", "stall = \"20%\"");
    let (records, _) = records(&written(&stalling, &[]), 3);
    let mut began: BTreeMap<(NodeId, u64), Time> = BTreeMap::new();
    let node = |machine: Option<u32>| NodeId::new(u64::from(machine.expect("a node said it")) + 1);
    let (mut long, mut all) = (0, 0);
    for record in &records {
        match &record.what {
            What::Node(Observation::Began { attempt, .. }) => {
                began.insert((node(record.machine), attempt.serial), record.at);
            }
            What::Node(Observation::Ended { attempt, .. }) => {
                let since = began.remove(&(node(record.machine), attempt.serial)).expect("it began");
                all += 1;
                long += u32::from(record.at.since(since) >= Span::secs(3));
            }
            What::Node(Observation::Refused { .. }) => panic!("nobody refuses here"),
            _ => {}
        }
    }
    assert!((all / 10..all / 3).contains(&long), "{long} of {all} stalled, seed 3");
}
