//! `idunno sim --sweep`: a scenario at every point of a grid of settings, with the same seeds, compared trial by trial.

mod show;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rayon::ThreadPool;

use super::findings::Findings;
use super::sim::{self, Halt, Made};
use super::sim::{Runs, Sim};
use super::text::{count, some};
use super::{Exit, scenarios, screen, trials};
use crate::report::{Compared, Grid, ReportError, Sweep};
use crate::scenario::{Plan, ScenarioError, to_toml};

/// The most trials of all points together.
const TRIALS_MAX: u64 = 1_000_000;
/// More reasons against a grid than this are not shown.
const REASONS_MAX: usize = 10;

/// One scenario at all points of the grid.
struct Swept<'a> {
    argument: &'a str,
    /// For each point the scenario with its settings; all have the same name, seed and trials.
    plans: Vec<Plan>,
    results: Sweep<'a>,
}

/// Runs all scenarios that were named at all points of the grid; see [`Sim`].
pub(super) fn run(sim: &Sim, stop: &AtomicBool) -> Exit {
    let began = Instant::now();
    let grid = match Grid::read(&sim.sweep, &sim.runs.set) {
        Ok(grid) => grid,
        Err(error) => {
            screen::error(&error.into());
            return Exit::Usage;
        }
    };
    let (pool, swept) = match prepare(sim, &grid) {
        Ok(prepared) => prepared,
        Err(error) => {
            screen::error(&error);
            return Exit::Usage;
        }
    };
    let mut exit = Exit::Fine;
    let mut written = Vec::new();
    for Swept { argument, plans, results } in swept {
        match points(sim, &plans, results, &pool, stop) {
            Ok((compared, findings)) => {
                let shown = show::show(&sim.runs, argument, &grid, &plans, &compared, &findings);
                written.push(compared.folder);
                exit = findings.iter().fold(exit, |exit, one| exit.graver(one.exit())).graver(shown);
            }
            Err(Halt::Interrupted) => {
                screen::interrupted(&plans[0], sim.runs.out(), "sweep", &written);
                return Exit::Interrupted;
            }
            Err(Halt::Failed(error)) => {
                let what = format!("the sweep of {} was not finished", plans[0].name);
                screen::error(&anyhow::Error::new(error).context(what));
                return exit.graver(Exit::Failed);
            }
        }
    }
    if !sim.runs.quiet {
        screen::took(began.elapsed());
    }
    exit
}

/// Everything that can go wrong before anything runs.
fn prepare<'a>(sim: &'a Sim, grid: &'a Grid) -> Result<(ThreadPool, Vec<Swept<'a>>)> {
    // Those that cannot be run even without the grid are told as usual.
    let plain = sim.plans()?;
    scenarios::rehearsable(&plain)?;
    let pool = sim::pool(sim)?;
    let mut all = Vec::new();
    for (argument, plain) in sim.runs.scenarios.iter().zip(plain) {
        let plans = plans(sim, argument, &plain, grid)?;
        let trials = plans.len() as u64 * u64::from(plain.trials);
        if trials > TRIALS_MAX {
            bail!(
                "{} of {} each are {} trials; wanted at most {}",
                some(plans.len() as u64, "point", "points"),
                some(u64::from(plain.trials), "trial", "trials"),
                count(trials),
                count(TRIALS_MAX)
            );
        }
        let resolved: Vec<String> = plans.iter().map(to_toml).collect();
        let results = Sweep::create(sim.runs.out(), &plain.name, grid, &resolved);
        let results = results.context("there is no place for the results")?;
        all.push(Swept { argument, plans, results });
    }
    Ok((pool, all))
}

/// The scenario at each point.
fn plans(sim: &Sim, argument: &str, plain: &Plan, grid: &Grid) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    // Each reason once, with the first point that it holds for and how many others.
    let mut reasons: Vec<(String, usize, usize)> = Vec::new();
    for point in 0..grid.points() {
        match scenarios::plan(argument, &settings(&sim.runs, grid, point)) {
            Ok(plan) => plans.push(Plan { seed: plain.seed, trials: plain.trials, ..plan }),
            Err(error) => {
                for reason in reasons_of(&error) {
                    match reasons.iter_mut().find(|(known, ..)| *known == reason) {
                        Some((.., others)) => *others += 1,
                        None => reasons.push((reason, point, 0)),
                    }
                }
            }
        }
    }
    if reasons.is_empty() {
        return Ok(plans);
    }
    let line = |(reason, point, others): &(String, usize, usize)| {
        let values = grid.overrides(*point).join(", ");
        let more = if *others == 0 {
            String::new()
        } else {
            format!(", and at {}", some(*others as u64, "other point", "other points"))
        };
        format!("{reason}\n  at point {point} ({values}){more}")
    };
    let mut lines: Vec<String> = reasons.iter().take(REASONS_MAX).map(line).collect();
    if reasons.len() > REASONS_MAX {
        lines.push(format!("and {} more", reasons.len() - REASONS_MAX));
    }
    bail!("the grid does not fit {argument}:\n{}", lines.join("\n"))
}

/// What is wrong with a scenario, problem by problem. A key that does not exist is the same problem whatever its value.
fn reasons_of(error: &anyhow::Error) -> Vec<String> {
    let Some(error) = error.downcast_ref::<ScenarioError>() else { return vec![format!("{error:#}")] };
    error.problems().iter().map(sweep_problem).collect()
}

fn sweep_problem(problem: &crate::scenario::Problem) -> String {
    use crate::scenario::{Place, Wrong};
    match (&problem.place, &problem.wrong) {
        (Place::Flag { path, .. }, wrong @ Wrong::UnknownKey { .. }) => format!("{path}: {wrong}"),
        _ => problem.to_string(),
    }
}

/// What is set at a point.
fn settings(runs: &Runs, grid: &Grid, point: usize) -> Vec<String> {
    runs.set.iter().cloned().chain(grid.overrides(point)).collect()
}

/// Runs every trial at every point, one bar for all of them.
fn points(
    sim: &Sim,
    plans: &[Plan],
    mut results: Sweep<'_>,
    pool: &ThreadPool,
    stop: &AtomicBool,
) -> Result<(Compared, Vec<Findings>), Halt> {
    let trials = plans[0].trials;
    let message = format!("{}, {}", plans[0].name, some(plans.len() as u64, "point", "points"));
    let bar = sim::bar(sim.runs.quiet, &message, plans.len() as u64 * u64::from(trials));
    let mut findings: Vec<Findings> = plans.iter().map(|_| Findings::new()).collect();
    // The one after the last trial of a point is its trial 0 again, to see that it comes out the same.
    let each = trials + 1;
    let place = |number: u32| ((number / each) as usize, number % each);
    let make = |number: u32| {
        let (point, trial) = place(number);
        sim::made(&plans[point], trial, stop)
    };
    let take = |number: u32, made: Made| {
        if made.is_stopped() || stop.load(Ordering::Relaxed) {
            return Err(Halt::Interrupted);
        }
        let (point, _) = place(number);
        let (plan, findings) = (&plans[point], &mut findings[point]);
        match made {
            Made::Trial(trial) => {
                let (trial, verdict, outcome) = *trial;
                results.add(point, &trial);
                findings.events += outcome.events;
                findings.add(&trial, verdict, outcome.trace, outcome.unfinished);
                bar.inc(1);
            }
            Made::Repetition(again) => findings.compare(plan.seed, again.trace, again.ended_at),
        }
        Ok(())
    };
    let ran = trials::in_order(pool, plans.len() as u32 * each, make, take);
    bar.finish_and_clear();
    ran?;
    let compared = results.finish().map_err(|error: ReportError| Halt::Failed(error))?;
    Ok((compared, findings))
}
