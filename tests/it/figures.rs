//! The figures over time say what the tables say.

use std::collections::BTreeMap;

use idunno::report::{Curves, Figure, Gather, Lanes, Panel, Seconds, Trial, TrialEnd};
use idunno::scenario::{Plan, find_shipped};
use idunno::sim;

/// The scenarios in which nodes die, restart, are cut off, and stand still.
const SCENARIOS: [&str; 4] = ["coord_fail", "rolling_restart", "partition_minority", "pause_coordinator"];
const SEEDS: [u64; 2] = [1, 5];

/// From when to when, in seconds.
type Stay = (f64, f64);

fn trial(plan: &Plan, seed: u64) -> Trial {
    let mut gather = Gather::new(plan, 3, seed).with_figures();
    let outcome = sim::run(plan, seed, &mut gather, &|| false);
    let (trace, ended_at) = (outcome.trace, outcome.ended_at);
    gather.finish(TrialEnd {
        trace,
        ended_at,
        messages: None,
        queries_lost: 0,
        queries_doubled: 0,
        unfinished: Vec::new(),
    })
}

/// What the scenario shows under each seed.
fn trials(name: &str, look: impl Fn(&Plan, &Trial, &str)) {
    let source = find_shipped(name).unwrap_or_else(|| panic!("{name} is not shipped"));
    let plan = Plan::read(source, name).unwrap_or_else(|error| panic!("{error}"));
    for seed in SEEDS {
        look(&plan, &trial(&plan, seed), &format!("{name}, seed {seed}"));
    }
}

fn figure<'a>(trial: &'a Trial, file: &str) -> &'a Figure {
    let found = trial.figures.iter().find(|(name, _)| *name == file);
    &found.unwrap_or_else(|| panic!("there is no figure {file}")).1
}

fn lanes(trial: &Trial) -> &Lanes {
    let Panel::Lanes(lanes) = &figure(trial, "timeline").panel else { panic!("it has lanes") };
    lanes
}

fn rates(trial: &Trial) -> &Curves {
    let Panel::Curves(curves) = &figure(trial, "rates").panel else { panic!("it has curves") };
    curves
}

/// The stretches of a lane that are in a state.
fn drawn(lanes: &Lanes, node: &str, state: &str) -> Vec<Stay> {
    let wanted = lanes.states.iter().position(|known| known.name == state);
    let wanted = wanted.unwrap_or_else(|| panic!("no state is called {state:?}"));
    let lane = lanes.lanes.iter().find(|lane| lane.name == node).expect("every node has a lane");
    let stretches = lane.stretches.iter().filter(|stretch| stretch.state == wanted);
    stretches.map(|stretch| (stretch.from, stretch.to)).collect()
}

fn at(seconds: Seconds) -> f64 {
    seconds.value().expect("it happened")
}

/// When `holds` was true of a node, as its rows of membership.csv tell; it sees each row and remembers what it likes.
fn told(trial: &Trial, node: &str, end: f64, mut holds: impl FnMut(&str) -> bool) -> Vec<Stay> {
    let mut stays = Vec::new();
    let mut since = None;
    for row in trial.tables.membership.iter().filter(|row| &*row.node == node) {
        match (since, holds(&row.event)) {
            (None, true) => since = Some(at(row.at_s)),
            (Some(from), false) => {
                since = None;
                stays.push((from, at(row.at_s)));
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    stays.extend(since.map(|from| (from, end)));
    stays.retain(|(from, to)| from < to);
    stays
}

#[test]
fn lanes_show_what_membership_csv_says() {
    for name in SCENARIOS {
        trials(name, |plan, trial, which| {
            let lanes = lanes(trial);
            let end = lanes.x.to.expect("the axis ends with the trial");
            let names: Vec<&str> = lanes.lanes.iter().map(|lane| &*lane.name).collect();
            assert_eq!(names, plan.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>());
            for node in names {
                let same = |state, told: Vec<Stay>| {
                    assert_eq!(drawn(lanes, node, state), told, "{which}: {node} {state}");
                };
                let (mut up, mut member) = (true, true);
                let absent = |event: &str| {
                    up = event == "up" || (up && event != "down");
                    member = event == "joined" || (member && event != "evicted");
                    !up || !member
                };
                same("dead or evicted", told(trial, node, end, absent));
                let mut still = false;
                let stands = |event: &str| {
                    still = event == "paused" || (still && !["resumed", "down"].contains(&event));
                    still
                };
                same("stands still", told(trial, node, end, stands));
                let mut suspect = false;
                let suspected = |event: &str| {
                    suspect = event == "suspected"
                        || (suspect && !["trusted", "evicted", "joined"].contains(&event));
                    suspect
                };
                same("a voter suspects it", told(trial, node, end, suspected));
                let (mut leads, mut still) = (false, false);
                let led = |event: &str| {
                    let over = event == "down" || event.starts_with("stepped down");
                    leads = event == "led" || (leads && !over);
                    still = event == "paused" || (still && !["resumed", "down"].contains(&event));
                    leads && !still
                };
                same("leads", told(trial, node, end, led));
            }
        });
    }
}

#[test]
fn every_scenario_shows_what_it_is_about() {
    let total = |trial: &Trial, state: &str| -> f64 {
        let lanes = lanes(trial);
        let stays = lanes.lanes.iter().flat_map(|lane| drawn(lanes, &lane.name, state));
        stays.map(|(from, to)| to - from).sum()
    };
    trials("partition_minority", |_, trial, which| {
        let cut = total(trial, "connections are cut");
        assert!((cut - 4.0 * 8.0).abs() < 1e-6, "{which}: four nodes are cut off for 8 s, not {cut}");
        let absent = total(trial, "dead or evicted");
        assert!(absent > 4.0 * 5.5 && absent < 4.0 * 7.0, "{which}: they are evicted after 2 s: {absent}");
    });
    trials("pause_coordinator", |_, trial, which| {
        let still = total(trial, "stands still");
        assert!((still - 5.0).abs() < 1e-6, "{which}: {still}");
    });
    trials("coord_fail", |_, trial, which| {
        assert!(
            total(trial, "a voter suspects it") > 1.5,
            "{which}: the dead one is suspected before it is evicted"
        );
        let loads = total(trial, "loads a model");
        assert!(loads > 10.0 * 0.4 && loads < 10.0 * 1.5, "{which}: every engine loads two models: {loads}");
    });
}

#[test]
fn engines_run_what_attempts_csv_says() {
    for name in SCENARIOS {
        trials(name, |_, trial, which| {
            let lanes = lanes(trial);
            let end = lanes.x.to.expect("the axis ends with the trial");
            let mut runs = BTreeMap::new();
            for job in &trial.tables.jobs {
                for lane in &lanes.lanes {
                    let stays = drawn(lanes, &lane.name, &format!("runs {}", job.job));
                    runs.insert((&*job.job, &*lane.name), stays);
                }
            }
            // Whatever counted was run, on the worker that the tables name, from beginning to end.
            for query in trial.tables.queries.iter().filter(|query| query.committed_s != Seconds::NONE) {
                let stays = &runs[&(&*query.job, &*query.worker)];
                let (from, to) = (at(query.started_s), at(query.finished_s));
                let inside = |moment: f64| stays.iter().any(|stay| stay.0 <= moment && moment <= stay.1);
                let still = drawn(lanes, &query.worker, "stands still");
                let paused = still.iter().any(|stay| stay.0 < to && from < stay.1);
                let whole = stays.iter().any(|stay| stay.0 <= from && to <= stay.1);
                assert!(whole || (paused && inside(from)), "{which}: {query:?}");
            }
            // Whatever is drawn ends with an attempt, with the life of its worker, or with the trial.
            for ((job, node), stays) in runs {
                let attempts =
                    trial.tables.attempts.iter().filter(|row| &*row.job == job && &*row.worker == node);
                let (own, unwanted): (Vec<_>, Vec<_>) =
                    attempts.partition(|row| ["counted", "failed"].contains(&row.outcome));
                let mut ends: Vec<f64> = own.into_iter().filter_map(|row| row.ended_s.value()).collect();
                let over = |event: &str| event == "down" || event == "paused";
                let rows = trial.tables.membership.iter();
                ends.extend(
                    rows.filter(|row| &*row.node == node && over(&row.event)).map(|row| at(row.at_s)),
                );
                ends.push(end);
                for (from, to) in stays {
                    // The worker learns a little later that nobody wants it any more.
                    let dropped = unwanted.iter().any(|row| {
                        at(row.dispatched_s) <= to && row.ended_s.value().is_none_or(|ended| ended <= to)
                    });
                    assert!(
                        from < to && (dropped || ends.contains(&to)),
                        "{which}: {node} runs {job} from {from} to {to}"
                    );
                }
            }
        });
    }
}

#[test]
fn rates_are_those_of_allocation_csv_from_a_jobs_arrival_to_its_end() {
    for name in ["coord_fail", "second_job"] {
        trials(name, |_, trial, which| {
            let curves = rates(trial);
            assert_eq!(curves.curves.len(), trial.tables.jobs.len());
            for (curve, job) in curves.curves.iter().zip(&trial.tables.jobs) {
                assert_eq!(curve.name, *job.job);
                let rows = trial.tables.allocation.iter().filter(|row| row.job == job.job);
                let mut told: BTreeMap<u64, f64> = BTreeMap::new();
                told.extend(rows.map(|row| (at(row.at_s).to_bits(), row.rate_qps.0.expect("it is known"))));
                let (first, last) = (curve.points[0], curve.points[curve.points.len() - 1]);
                assert!(
                    first.0 >= at(job.submitted_s) && first.0 <= at(job.first_start_s),
                    "{which}: {first:?}"
                );
                assert_eq!(Some(last.0), job.done_s.value(), "{which}");
                let found = curve.points.iter().filter_map(|(x, y)| Some((y, told.get(&x.to_bits())?)));
                let found: Vec<_> = found.collect();
                assert!(found.len() as f64 > last.0 - first.0, "{which}: every full second, first and last");
                assert!(
                    found.iter().all(|(drawn, told)| (*drawn - *told).abs() < 1e-9),
                    "{which}: {found:?}"
                );
                let longest = curve.points.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max);
                assert!(longest <= 0.1 + 1e-9, "{which}: what lasts for {longest} s would be missed");
            }
        });
    }
}

#[test]
fn the_faults_that_hit_somebody_are_marked() {
    trials("rolling_restart", |_, trial, which| {
        let labels: Vec<&str> = lanes(trial).marks.iter().map(|mark| &*mark.label).collect();
        let wanted: Vec<String> = (1..=10).map(|node| format!("restart n{node}")).collect();
        assert_eq!(labels, wanted, "{which}");
        assert_eq!(lanes(trial).marks, rates(trial).marks);
    });
    trials("pause_coordinator", |_, trial, which| {
        let [mark] = rates(trial).marks.as_slice() else { panic!("{which}: one fault") };
        assert!((mark.to.expect("it lasts") - mark.from - 5.0).abs() < 1e-9, "{which}: {mark:?}");
    });
}

#[test]
fn only_what_shall_be_drawn_is_kept() {
    trials("second_job", |plan, _, _| {
        let mut gather = Gather::new(plan, 0, 1);
        let outcome = sim::run(plan, 1, &mut gather, &|| false);
        let (trace, ended_at) = (outcome.trace, outcome.ended_at);
        let end = TrialEnd {
            trace,
            ended_at,
            messages: None,
            queries_lost: 0,
            queries_doubled: 0,
            unfinished: Vec::new(),
        };
        assert!(gather.finish(end).figures.is_empty());
    });
}

/// Two of three die: nobody leads again, and what had been counted in the second before says nothing of that.
#[test]
fn a_cluster_that_never_works_again_is_not_back_at_its_pace() {
    let scenario = |target: &str| {
        format!(
            "nodes = 3\nuntil = \"12s\"\n[model.m]\nload = \"10ms\"\nper_input = \"50ms\"\n[[job]]\nmodel = \"m\"\ninputs = 900\n\
             [[fault]]\nat = \"5s\"\nkind = \"crash\"\ntarget = {target}\n"
        )
    };
    let normal = |target: &str, seed: u64| {
        let plan = Plan::read(&scenario(target), "pace.toml").unwrap_or_else(|error| panic!("{error}"));
        trial(&plan, seed).tables.recovery[0].normal_s.value()
    };
    for seed in 1..=3 {
        assert_eq!(normal("[\"node 2\", \"node 3\"]", seed), None, "seed {seed}");
        let back = normal("\"coordinator\"", seed).expect("a successor works on");
        assert!(back > 0.2, "seed {seed}: back after {back} s, which is before the first election");
    }
}
