//! The scenarios about fair shares: what rates jobs get, how soon after an arrival, and that nobody starves.

use std::collections::BTreeMap;

use idunno::check::Checker;
use idunno::report::{Gather, JobRow, Tables, TrialEnd};
use idunno::scenario::{Plan, find_shipped};
use idunno::sim;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// How many seeds each scenario is run with.
const SEEDS: u64 = 10;
/// No job of `fair_many_jobs`, whose queries take up to eight seconds, waits longer for a query of it to be counted.
const HUNGER_MAX_S: f64 = 10.0;

/// One run: its rows, and when the queries of each job were counted.
struct Run {
    which: String,
    tables: Tables,
    counted: BTreeMap<String, Vec<f64>>,
}

/// Runs a scenario under many seeds, insists that nothing is wrong, and looks at each run.
fn runs(name: &str, overrides: &[&str], look: impl Fn(&Run) + Sync) {
    let source = find_shipped(name).unwrap_or_else(|| panic!("{name} is not shipped"));
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    let plan = Plan::with_overrides(source, name, &overrides).unwrap_or_else(|error| panic!("{error}"));
    (1..=SEEDS).into_par_iter().for_each(|seed| look(&run(&plan, seed)));
}

fn run(plan: &Plan, seed: u64) -> Run {
    let which = format!("{}, seed {seed}", plan.name);
    let mut sink = (Checker::new(plan, seed), Gather::new(plan, 0, seed));
    let outcome = sim::run(plan, seed, &mut sink, &|| false);
    let (checker, gather) = sink;
    let verdict = checker.finish(outcome.ended_at);
    assert!(verdict.violations.is_empty(), "{which}: {:?}", verdict.violations);
    assert!(outcome.unfinished.is_empty(), "{which}: {:?}", outcome.unfinished);
    let trial = gather.finish(TrialEnd {
        trace: outcome.trace,
        ended_at: outcome.ended_at,
        messages: None,
        queries_lost: verdict.queries_lost,
        queries_doubled: verdict.queries_doubled,
        unfinished: Vec::new(),
    });
    let mut counted: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in &trial.tables.queries {
        counted.entry(row.job.to_string()).or_default().extend(row.committed_s.value());
    }
    for times in counted.values_mut() {
        times.sort_by(f64::total_cmp);
    }
    Run { which, tables: trial.tables, counted }
}

impl Run {
    fn job(&self, name: &str) -> &JobRow {
        self.tables.jobs.iter().find(|row| &*row.job == name).unwrap_or_else(|| panic!("{name} is a job"))
    }

    fn arrived(&self, job: &str) -> f64 {
        self.job(job).submitted_s.value().expect("it was submitted")
    }

    fn done(&self, job: &str) -> f64 {
        self.job(job).done_s.value().expect("it ended")
    }

    /// When the first job ended.
    fn first_end(&self) -> f64 {
        self.counted.keys().map(|job| self.done(job)).fold(f64::INFINITY, f64::min)
    }

    /// Queries of a job counted after `from` and up to `to`.
    fn count(&self, job: &str, from: f64, to: f64) -> f64 {
        let times = &self.counted[job];
        (times.partition_point(|at| *at <= to) - times.partition_point(|at| *at <= from)) as f64
    }

    /// How long after `arrived` the rates of all jobs over 2 s came within 10 % of each other and stayed there for a second,
    /// counted here from queries.csv alone.
    fn settled_after(&self, arrived: f64) -> Option<f64> {
        let near = |at: f64| {
            let rates = || self.counted.keys().map(|job| self.count(job, at - 2.0, at));
            let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
            high - low <= 0.1 * high
        };
        let steps = ((self.first_end() - arrived) * 10.0) as u32;
        let at = |step: u32| arrived + f64::from(step) * 0.1;
        let mut starts = 20..steps.saturating_sub(10);
        starts.find(|&start| (start..=start + 10).all(|step| near(at(step)))).map(|step| at(step) - arrived)
    }

    /// The numbers of workers of these jobs, in this order, at each row of allocation.csv in a stretch of time.
    fn shares(&self, jobs: &[&str], from: f64, to: f64) -> Vec<Vec<u32>> {
        let mut shares: BTreeMap<u64, BTreeMap<&str, u32>> = BTreeMap::new();
        for row in &self.tables.allocation {
            let at = row.at_s.value().expect("it is known");
            if from <= at && at < to {
                shares.entry(at.to_bits()).or_default().insert(&row.job, row.workers);
            }
        }
        shares
            .values()
            .map(|row| jobs.iter().map(|job| row.get(job).copied().unwrap_or(0)).collect())
            .collect()
    }

    /// The largest value of `gap_10s` in a stretch of time, over the full seconds there.
    fn widest_gap(&self, from: f64, to: f64) -> f64 {
        let rows = self.tables.fairness.iter().filter(|row| {
            let at = row.at_s.value().expect("it is known");
            from <= at && at < to
        });
        let gaps: Vec<f64> = rows.map(|row| row.gap_10s.0.expect("several jobs run")).collect();
        assert!(!gaps.is_empty(), "{}: there are seconds from {from} to {to}", self.which);
        gaps.into_iter().fold(0.0, f64::max)
    }
}

/// Settled means from 5 s after the arrival on, and over 10 s from 15 s after it on.
#[test]
fn a_quick_and_a_slow_model_share_one_to_seven_at_equal_rates_and_hardly_waste_anything() {
    runs("fair_two_models", &[], |run| {
        let (arrived, end) = (run.arrived("quick"), run.first_end());
        assert!(end - arrived > 40.0, "{}: both run for {} s", run.which, end - arrived);
        let settled = run.settled_after(arrived);
        assert!(settled.is_some_and(|after| after <= 5.0), "{}: {settled:?}", run.which);
        let from = arrived + 5.0;
        let shares = run.shares(&["slow", "quick"], from, end);
        assert!(shares.len() > 35 && shares.iter().all(|row| *row == [7, 1]), "{}: {shares:?}", run.which);
        let widest = run.widest_gap(from + 10.0, end);
        assert!(widest <= 0.05, "{}: {widest}", run.which);
        let rate = (run.count("slow", from, end) + run.count("quick", from, end)) / (end - from);
        let mean = |job| run.job(job).mean_s.0.expect("it ran");
        let ideal = 2.0 * 8.0 / (mean("slow") + mean("quick"));
        assert!(rate >= 0.95 * ideal && rate <= 1.05 * ideal, "{}: {rate} of {ideal}", run.which);
    });
}

#[test]
fn a_late_job_has_its_share_within_five_seconds_where_recent_rates_are_the_aim() {
    for policy in ["time_share", "rate_balance"] {
        runs("late_job", &[&format!("scheduler.policy={policy}")], |run| {
            let arrived = run.arrived("late");
            let settled = run.settled_after(arrived);
            assert!(settled.is_some_and(|after| after <= 5.0), "{policy}, {}: {settled:?}", run.which);
            if policy == "time_share" {
                let shares = run.shares(&["light", "middle", "late"], arrived + 5.0, run.first_end());
                let right = |row: &Vec<u32>| *row == [2, 4, 6];
                assert!(!shares.is_empty() && shares.iter().all(right), "{}: {shares:?}", run.which);
            }
        });
    }
}

#[test]
fn rates_are_in_proportion_to_weights() {
    runs("priorities", &[], |run| {
        let from = run.arrived("urgent") + 3.0;
        let per_weight = |(job, weight)| run.count(job, from, run.first_end()) / weight;
        let rates = [("low", 1.0), ("usual", 2.0), ("urgent", 4.0)].map(per_weight);
        let (low, high) =
            (rates.iter().fold(f64::MAX, |a, b| a.min(*b)), rates.iter().fold(0.0_f64, |a, b| a.max(*b)));
        assert!(low >= 0.9 * high, "{}: {rates:?}", run.which);
        let widest = run.widest_gap(from + 10.0, run.first_end());
        assert!(widest <= 0.10, "{}: {widest}", run.which);
    });
}

#[test]
fn jobs_end_in_the_order_of_their_priorities_under_a_policy_that_goes_by_them() {
    runs("priorities", &["scheduler.policy=fifo"], |run| {
        let ends = ["urgent", "usual", "low"].map(|job| run.done(job));
        assert!(ends.is_sorted() && run.arrived("urgent") > run.arrived("low"), "{}: {ends:?}", run.which);
    });
}

#[test]
fn nobody_starves_where_many_jobs_come_and_go() {
    runs("fair_many_jobs", &[], |run| {
        assert_eq!(run.tables.jobs.len(), 40, "{}", run.which);
        for (job, counted) in &run.counted {
            assert!(
                run.job(job).start_delay_s.value().is_some_and(|delay| delay < 5.0),
                "{}: {job}",
                run.which
            );
            let before = std::iter::once(run.arrived(job)).chain(counted.iter().copied());
            let longest = before.zip(counted).map(|(before, at)| at - before).fold(0.0, f64::max);
            assert!(longest < HUNGER_MAX_S, "{}: {job} waits for {longest} s", run.which);
        }
    });
}
