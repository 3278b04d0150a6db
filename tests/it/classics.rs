//! The classic designs that are settings here: what they do, and what they lose.

use std::collections::BTreeMap;

use idunno::base::{NodeId, Span, Time};
use idunno::check::{Checker, Verdict};
use idunno::history::{Observation, Record, What};
use idunno::scenario::Plan;
use idunno::sim::{self, Outcome};

/// Five machines, one job after another.
const TWO_JOBS: &str = r#"
    nodes = 5
    [model.m]
    load = "100ms"
    per_input = "lognormal(200ms, 0.2)"
    [[job]]
    name = "first"
    model = "m"
    inputs = 100
    [[job]]
    name = "second"
    model = "m"
    at = "20s"
    inputs = 100
"#;

struct Trial {
    outcome: Outcome,
    verdict: Verdict,
    records: Vec<Record>,
}

fn read(text: &str, overrides: &[&str]) -> Plan {
    Plan::with_overrides(text, "classic.toml", overrides).unwrap_or_else(|error| panic!("{error}"))
}

fn run(plan: &Plan, seed: u64) -> Trial {
    let mut sink = (Checker::new(plan, seed), Vec::new());
    let outcome = sim::run(plan, seed, &mut sink, &|| false);
    let (checker, records) = sink;
    Trial { verdict: checker.finish(outcome.ended_at), outcome, records }
}

/// A trial in which nothing goes wrong.
fn clean(plan: &Plan, seed: u64) -> Trial {
    let trial = run(plan, seed);
    let wrong: Vec<String> = trial.verdict.violations.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{}, seed {seed}: {wrong:#?}", plan.name);
    assert!(
        trial.outcome.unfinished.is_empty(),
        "{}, seed {seed}: {:?}",
        plan.name,
        trial.outcome.unfinished
    );
    trial
}

impl Trial {
    fn observations(&self) -> impl Iterator<Item = (Time, u32, &Observation)> {
        self.records.iter().filter_map(|record| match (&record.what, record.machine) {
            (What::Node(observation), Some(machine)) => Some((record.at, machine, observation)),
            _ => None,
        })
    }

    /// How many queries a worker has been given and not answered, at the most.
    fn most_held(&self) -> usize {
        let mut holders: BTreeMap<_, NodeId> = BTreeMap::new();
        let mut most = 0;
        for (_, _, observation) in self.observations() {
            match observation {
                Observation::Dispatched { attempt, worker, .. } => {
                    holders.insert(*attempt, *worker);
                    most = most.max(holders.values().filter(|holder| *holder == worker).count());
                }
                Observation::Arrived { attempt, .. } | Observation::GaveUp { attempt, .. } => {
                    holders.remove(attempt);
                }
                _ => {}
            }
        }
        most
    }

    /// The first dispatch to each worker from `from` on, counted from there, the earliest first.
    fn first_dispatches(&self, from: Time) -> Vec<Span> {
        let mut first: BTreeMap<NodeId, Span> = BTreeMap::new();
        for (at, _, observation) in self.observations() {
            if let Observation::Dispatched { worker, .. } = observation
                && at >= from
            {
                first.entry(*worker).or_insert(at.since(from));
            }
        }
        let mut spans: Vec<Span> = first.into_values().collect();
        spans.sort_unstable();
        spans
    }
}

#[test]
fn workers_that_pull_hold_one_query_and_wait_for_work_up_to_a_back_off() {
    let pull = read(TWO_JOBS, &["dispatch.mode=pull", "dispatch.backoff=500ms"]);
    let push = read(TWO_JOBS, &["dispatch.window=1"]);
    for seed in 1..=5 {
        let (pull, push) = (clean(&pull, seed), clean(&push, seed));
        assert_eq!((pull.most_held(), push.most_held()), (1, 1), "seed {seed}");
        let second = Time::ZERO + Span::secs(20);
        let (asked, given) = (pull.first_dispatches(second), push.first_dispatches(second));
        assert_eq!((asked.len(), given.len()), (5, 5), "seed {seed}: everybody gets work");
        let last = *given.last().unwrap();
        assert!(last < Span::millis(50), "seed {seed}: push gives it at once, and took {last}");
        let last = *asked.last().unwrap();
        assert!(
            last > Span::millis(50) && last < Span::millis(550),
            "seed {seed}: pull waits to be asked, and took {last}"
        );
    }
}

#[test]
fn workers_that_pull_get_what_the_dead_held() {
    let text = format!(
        "{TWO_JOBS}[[fault]]\nat = \"2s\"\nkind = \"crash\"\ntarget = [\"worker\", \"coordinator\"]\n"
    );
    for window in ["auto", "3"] {
        let plan = read(&text, &["dispatch.mode=pull", &format!("dispatch.window={window}")]);
        for seed in 1..=5 {
            let trial = clean(&plan, seed);
            assert_eq!((trial.verdict.queries_lost, trial.verdict.queries_counted), (0, 200), "seed {seed}");
        }
    }
}

/// The last query of a job takes a hundred times as long on a slow machine; whoever asks next gets it as well.
#[test]
fn workers_that_pull_are_given_second_attempts() {
    let text =
        TWO_JOBS.replace("nodes = 5", "[[node]]\ncount = 4\n[[node]]\nname = \"slow\"\nspeed = 0.01\n");
    let plan = read(&text, &["dispatch.mode=pull", "dispatch.hedge=true"]);
    let without = read(&text, &["dispatch.mode=pull", "dispatch.hedge=false"]);
    for seed in 1..=3 {
        let hedges = |trial: &Trial| {
            use idunno::node::Dispatch;
            let hedge = |(_, _, seen): &(Time, u32, &Observation)| {
                matches!(seen, Observation::Dispatched { reason: Dispatch::Hedge, .. })
            };
            trial.observations().filter(hedge).count()
        };
        assert!(hedges(&clean(&plan, seed)) > 0, "seed {seed}");
        assert_eq!(hedges(&clean(&without, seed)), 0, "seed {seed}");
    }
}

/// With one voter, the first machine leads; here it takes no queries.
#[test]
fn a_coordinator_can_do_nothing_but_coordinate() {
    let text = TWO_JOBS.replace(
        "nodes = 5",
        "cluster.voters = 1\n[[node]]\nname = \"coordinator-only\"\nworker = false\n[[node]]\nname = \"w\"\ncount = 4\n",
    );
    for mode in ["push", "pull"] {
        let plan = read(&text, &[&format!("dispatch.mode={mode}")]);
        for seed in 1..=3 {
            let trial = clean(&plan, seed);
            let led = trial
                .observations()
                .find_map(|(_, machine, seen)| matches!(seen, Observation::Led { .. }).then_some(machine));
            assert_eq!(led, Some(0), "seed {seed}");
            let ran = |(_, machine, seen): (Time, u32, &Observation)| {
                matches!(seen, Observation::Began { .. }).then_some(machine)
            };
            let workers: std::collections::BTreeSet<u32> = trial.observations().filter_map(ran).collect();
            assert_eq!(workers, (1..5).collect(), "seed {seed}");
        }
    }
}

/// A false eviction costs a life and some queries run twice, never a result.
#[test]
fn a_ring_on_a_bad_network_evicts_the_living_and_loses_nothing() {
    let text = format!("{TWO_JOBS}[network]\nloss = \"30%\"\n");
    let overrides = ["membership.suspect_after=250ms", "membership.evict_after=10ms", "failover.election=2s"];
    let ring = read(&text, &[&overrides[..], &["membership.kind=ring"]].concat());
    let mut expelled = 0;
    for seed in 1..=5 {
        let trial = clean(&ring, seed);
        assert_eq!((trial.verdict.queries_lost, trial.verdict.queries_counted), (0, 200), "seed {seed}");
        let gone = |(_, _, seen): &(Time, u32, &Observation)| matches!(seen, Observation::Expelled { .. });
        expelled += trial.observations().filter(gone).count();
    }
    assert!(expelled > 0, "nobody was evicted, so that this shows nothing");
}
