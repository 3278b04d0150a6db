//! The shipped scenarios: clean under many seeds, and as quick to recover as the README says.
//!
//! All times here are simulated, so that these tests measure the protocol and never the machine that they run on.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use idunno::base::{Epoch, Span, Time};
use idunno::check::{Checker, Verdict};
use idunno::history::{FaultPhase, Record, What};
use idunno::node::{Observation, StepDown};
use idunno::scenario::{Plan, Until, find_shipped, shipped};
use idunno::sim::{self, Outcome};

/// What these show is how the classic standby breaks its promises; `classics` tests that they do.
const BROKEN_BY_DESIGN: [&str; 2] = ["standby_lagging_backup", "standby_partition"];

/// How many seeds each shipped scenario is run with, of thirty that `make reference` runs and checks; `IDUNNO_SEEDS` asks for more.
const SEEDS: u64 = 3;

/// A trial with its checker and everything that was recorded.
struct Trial {
    plan: Plan,
    outcome: Outcome,
    verdict: Verdict,
    records: Vec<Record>,
}

fn plan(name: &str) -> Plan {
    let source = find_shipped(name).unwrap_or_else(|| panic!("{name} is not shipped"));
    Plan::read(source, &format!("scenarios/{name}.toml")).unwrap_or_else(|error| panic!("{error}"))
}

/// Plans that once found a bug; each says which.
fn regression(text: &str) -> Plan {
    let common = r#"
        nodes = 5
        [network]
        latency = "lognormal(150us, 0.3)"
        [disk]
        sync = "lognormal(4ms, 0.3)"
        [model.m]
        load = "100ms"
        per_input = "lognormal(50ms, 0.3)"
        [[job]]
        name = "job"
        model = "m"
        inputs = 300
    "#;
    Plan::read(&format!("{common}{text}"), "regression.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn run(plan: Plan, seed: u64) -> Trial {
    let mut sink = (Checker::new(&plan, seed), Vec::new());
    let outcome = sim::run(&plan, seed, &mut sink, &|| false);
    let (checker, records) = sink;
    Trial { verdict: checker.finish(outcome.ended_at), plan, outcome, records }
}

/// Runs a scenario under many seeds, insists that nothing is wrong, and looks at each trial.
fn trials<T: Send>(name: &str, seeds: u64, look: impl Fn(Trial) -> T + Sync) -> Vec<T> {
    (1..=seeds)
        .into_par_iter()
        .map(|seed| {
            let trial = run(plan(name), seed);
            let wrong: Vec<String> = trial.verdict.violations.iter().map(ToString::to_string).collect();
            assert!(wrong.is_empty(), "{name}, seed {seed}: {wrong:#?}");
            assert!(
                trial.outcome.unfinished.is_empty(),
                "{name}, seed {seed}: {:?}",
                trial.outcome.unfinished
            );
            assert_eq!(
                (trial.verdict.queries_lost, trial.verdict.queries_doubled),
                (0, 0),
                "{name}, seed {seed}"
            );
            look(trial)
        })
        .collect()
}

impl Trial {
    /// When the first fault began, and on which machines.
    fn fault(&self) -> (Time, Vec<u32>) {
        let began = self.records.iter().find_map(|record| match &record.what {
            What::Fault(event) if event.phase == FaultPhase::Began => {
                Some((record.at, event.machines.clone()))
            }
            _ => None,
        });
        began.expect("the scenario has a fault")
    }

    fn observations(&self) -> impl Iterator<Item = (Time, u32, &Observation)> {
        self.records.iter().filter_map(|record| match (&record.what, record.machine) {
            (What::Node(observation), Some(machine)) => Some((record.at, machine, observation)),
            _ => None,
        })
    }

    /// The reign at the time of the first fault.
    fn reign(&self) -> Epoch {
        let at = self.fault().0;
        let led = self.observations().filter_map(|(time, _, observation)| match observation {
            Observation::Led { epoch } if time < at => Some(*epoch),
            _ => None,
        });
        led.max().expect("someone leads before the fault")
    }

    /// Who holds the log at the end, by machine, and how many of them run.
    fn voters_at_the_end(&self) -> (usize, usize) {
        let seats = self.observations().filter_map(|(_, _, observation)| match observation {
            Observation::Seated { seats } => Some(seats),
            _ => None,
        });
        let seats = seats.max_by_key(|seats| seats.number).expect("there are voters");
        let mut up = BTreeSet::new();
        for record in &self.records {
            match record.what {
                What::Up(id) => up.insert(id),
                What::Down(id) => up.remove(&id),
                _ => false,
            };
        }
        (seats.voters.len(), seats.voters.iter().filter(|id| up.contains(id)).count())
    }

    /// From the first fault to the first dispatch of a later reign.
    fn coordinator_recovery(&self) -> Span {
        let (at, reign) = (self.fault().0, self.reign());
        let first = self.observations().find_map(|(time, _, observation)| match observation {
            Observation::Dispatched { attempt, .. } if attempt.epoch > reign => Some(time),
            _ => None,
        });
        first.expect("a later reign dispatches").since(at)
    }

    /// From the first fault to the first time that a query of a dead worker is given to another one.
    fn worker_recovery(&self) -> Span {
        let (at, machines) = self.fault();
        let mut held = BTreeMap::new();
        let ups = self.records.iter().filter_map(|record| match record.what {
            What::Up(id) if record.machine.is_some_and(|machine| machines.contains(&machine)) => Some(id),
            _ => None,
        });
        let ids: Vec<_> = ups.collect();
        for (time, _, observation) in self.observations() {
            match observation {
                Observation::Dispatched { query, worker, .. } if time < at && ids.contains(worker) => {
                    held.insert(*query, *worker);
                }
                Observation::Arrived { query, .. } if time < at => {
                    held.remove(query);
                }
                Observation::Dispatched { query, .. } if time >= at && held.contains_key(query) => {
                    return time.since(at);
                }
                _ => {}
            }
        }
        panic!("nothing was dispatched again");
    }
}

/// The nearest-rank quantile.
fn quantile(mut spans: Vec<Span>, q: f64) -> Span {
    spans.sort_unstable();
    spans[((spans.len() as f64 * q).ceil() as usize).clamp(1, spans.len()) - 1]
}

#[test]
fn every_shipped_scenario_is_clean() {
    let seeds =
        std::env::var("IDUNNO_SEEDS").map_or(SEEDS, |text| text.parse().expect("IDUNNO_SEEDS is a number"));
    for (name, _) in shipped().iter().filter(|(name, _)| !BROKEN_BY_DESIGN.contains(name)) {
        trials(name, seeds, |trial| {
            let took = |record: &&Record| matches!(&record.what, What::Fault(event) if event.phase == FaultPhase::TookEffect);
            let took = trial.records.iter().filter(took).count();
            assert_eq!(took, trial.plan.faults.len(), "{name}: every fault does something");
            assert_eq!(trial.plan.until, Until::Done, "{name} ends by itself");
        });
    }
}

#[test]
fn a_crashed_coordinator_is_replaced_within_the_promised_time() {
    let spans: Vec<Span> = trials("coord_fail", 30, |trial| trial.coordinator_recovery());
    let (p50, p95) = (quantile(spans.clone(), 0.5), quantile(spans, 0.95));
    assert!(p50 < Span::millis(400) && p95 < Span::secs(1), "p50 {p50}, p95 {p95}");
}

#[test]
fn the_queries_of_a_crashed_worker_are_dispatched_again_within_the_promised_time() {
    let spans: Vec<Span> = trials("worker_fail", 30, |trial| trial.worker_recovery());
    let p95 = quantile(spans, 0.95);
    assert!(p95 < Span::millis(500), "p95 {p95}");
}

#[test]
fn three_losses_at_once_do_not_stop_the_cluster() {
    trials("three_at_once", 10, |trial| {
        assert_eq!(trial.fault().1.len(), 3);
        // The dead held seats, which members that live have taken over.
        assert_eq!(trial.voters_at_the_end(), (7, 7));
        assert!(trial.coordinator_recovery() < Span::secs(2));
    });
}

#[test]
fn a_paused_coordinator_wakes_up_deposed_and_commits_nothing() {
    trials("pause_coordinator", 20, |trial| {
        let (at, machines) = trial.fault();
        let reign = trial.reign();
        let resumed = trial.records.iter().find(|record| matches!(record.what, What::Resumed(_)));
        let resumed = resumed.expect("the pause ends").at;
        let stepped_down = trial.observations().find_map(|(time, machine, observation)| match observation {
            Observation::SteppedDown { epoch, reason } if *epoch == reign && machines.contains(&machine) => {
                Some((time, *reason))
            }
            _ => None,
        });
        let (time, reason) = stepped_down.expect("the old coordinator steps down");
        assert!(time >= resumed && time.since(resumed) < Span::millis(50), "{time} after {resumed}");
        assert!(matches!(reason, StepDown::Superseded | StepDown::NoQuorum), "{reason:?}");
        // Whatever its reign had proposed was committed before its successor's first entry, or never.
        let mut later_reign_applied = None;
        for (time, _, observation) in trial.observations().filter(|(time, ..)| *time > at) {
            if let Observation::Applied { entry, .. } = observation {
                if entry.position.epoch > reign {
                    later_reign_applied = later_reign_applied.or(Some(entry.position.index));
                } else if let Some(first) = later_reign_applied {
                    assert!(entry.position.index < first, "{time}: {:?} of the old reign", entry.position);
                }
            }
        }
        assert!(later_reign_applied.is_some());
    });
}

#[test]
fn a_planned_handover_costs_less_than_a_tenth_of_a_second() {
    trials("handover", 30, |trial| {
        assert!(trial.coordinator_recovery() < Span::millis(100), "{}", trial.coordinator_recovery());
        let handed_over = trial.observations().any(|(_, _, observation)| {
            matches!(observation, Observation::SteppedDown { reason: StepDown::HandedOver, .. })
        });
        assert!(handed_over);
    });
}

/// When each job was submitted first, by name, and when its first query began.
fn starts(trial: &Trial) -> BTreeMap<String, (Time, Time)> {
    let mut asked = BTreeMap::new();
    let mut jobs = BTreeMap::new();
    let mut starts = BTreeMap::new();
    for record in &trial.records {
        match &record.what {
            What::Client(idunno::history::ClientEvent::Asked { request, .. }) => {
                if let idunno::node::Request::Submit(spec) = &**request {
                    asked.entry(spec.name.to_string()).or_insert(record.at);
                }
            }
            What::Node(Observation::Applied { changes, .. }) => {
                for change in changes.iter() {
                    if let idunno::node::Change::JobAdded { job, spec } = change {
                        jobs.insert(*job, spec.name.to_string());
                    }
                }
            }
            What::Node(Observation::Began { query, .. }) => {
                let name = &jobs[&query.job];
                starts.entry(name.clone()).or_insert((asked[name], record.at));
            }
            _ => {}
        }
    }
    starts
}

#[test]
fn a_second_job_starts_at_once_where_its_model_is_warm_and_slots_are_free() {
    for name in ["second_job", "second_job_swapped"] {
        trials(name, 30, |trial| {
            let (asked, began) = starts(&trial)["second"];
            assert!(began.since(asked) <= Span::millis(100), "{name}: {}", began.since(asked));
        });
    }
}

#[test]
fn a_second_job_waits_for_the_first_free_slot_and_the_load_and_nothing_else() {
    let excess = trials("second_job_busy", 30, |trial| {
        let (asked, began) = starts(&trial)["second"];
        let ended = trial.observations().find_map(|(time, _, observation)| {
            matches!(observation, Observation::Ended { .. }).then_some(time).filter(|time| *time > asked)
        });
        let shortest = ended.expect("something runs").since(asked);
        began.since(asked) - shortest - Span::millis(600)
    });
    let p95 = quantile(excess, 0.95);
    assert!(p95 <= Span::millis(100), "p95 {p95}");
}

/// A node that died between the record of its first life and its admission started again as if it had been a member,
/// knew nobody to ask, and stayed outside for ever.
#[test]
fn a_node_that_dies_while_it_joins_joins_when_it_returns() {
    let plan = || {
        regression(
            r#"
            [[fault]]
            at = "2s"
            kind = "crash"
            wipe = true
            target = "node 5"
            for = "100ms"
            [[fault]]
            at = "2.1s..2.13s"
            kind = "crash"
            target = "node 5"
            for = "100ms"
            "#,
        )
    };
    for seed in 0..40 {
        let trial = run(plan(), seed);
        assert!(trial.outcome.unfinished.is_empty(), "seed {seed}: {:?}", trial.outcome.unfinished);
        assert!(trial.verdict.is_clean(), "seed {seed}: {:?}", trial.verdict.violations);
    }
}

/// Queries that got stuck before anything was known about their job held their engines for ten minutes.
#[test]
fn queries_that_are_stuck_from_the_beginning_hold_nothing_up_for_long() {
    let plan = || {
        regression(
            r#"
            [[fault]]
            at = "300ms"
            kind = "stuck"
            target = "random 2"
            "#,
        )
    };
    for seed in 0..20 {
        let trial = run(plan(), seed);
        assert!(trial.outcome.unfinished.is_empty(), "seed {seed}: {:?}", trial.outcome.unfinished);
        assert!(trial.verdict.is_clean(), "seed {seed}: {:?}", trial.verdict.violations);
        assert!(trial.outcome.ended_at < Time(120_000_000_000), "seed {seed}: {}", trial.outcome.ended_at);
    }
}

#[test]
fn five_seats_with_two_dead_and_nobody_to_replace_them_shrink_to_three() {
    for seed in 0..10 {
        let mut plan = regression(
            r#"
            [[fault]]
            at = "2s"
            kind = "crash"
            target = "random 2"
            "#,
        );
        plan.until = Until::At(Span::secs(20));
        let trial = run(plan, seed);
        assert!(trial.verdict.is_clean(), "seed {seed}: {:?}", trial.verdict.violations);
        assert_eq!(trial.voters_at_the_end(), (3, 3), "seed {seed}");
    }
}
