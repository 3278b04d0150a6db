//! `idunno sim`: scenarios in the simulator, trial by trial, checked and written down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::findings::Findings;
use super::{Exit, Sim, scenarios, screen, trials};
use crate::check::{Checker, Verdict};
use crate::history::Ignore;
use crate::report::{Finished, Gather, Messages, ReportError, Results, Trial, TrialEnd};
use crate::scenario::{Plan, to_toml};
use crate::sim::{self, Outcome, Traffic};

/// Why a scenario was not run to its end.
pub(super) enum Halt {
    Interrupted,
    Failed(ReportError),
}

/// One trial as a worker thread hands it on, or the repetition of trial 0.
pub(super) enum Made {
    Trial(Box<(Trial, Verdict, Outcome)>),
    Repetition(Outcome),
}

impl Made {
    /// Whether it was interrupted.
    pub(super) fn is_stopped(&self) -> bool {
        match self {
            Made::Trial(trial) => trial.2.stopped,
            Made::Repetition(outcome) => outcome.stopped,
        }
    }
}

/// Runs all scenarios that were named; see [`Sim`].
pub(super) fn run(sim: &Sim, stop: &AtomicBool) -> Exit {
    let began = Instant::now();
    let prepared = match prepare(sim) {
        Ok(prepared) => prepared,
        Err(error) => {
            screen::error(&error);
            return Exit::Usage;
        }
    };
    let (pool, scenarios) = prepared;
    let mut exit = Exit::Fine;
    let mut written = Vec::new();
    for ((plan, results), argument) in scenarios.into_iter().zip(&sim.scenarios) {
        match scenario(sim, &plan, results, &pool, stop) {
            Ok((finished, findings)) => {
                let shown = screen::show(sim, argument, &plan, &finished, &findings, written.is_empty());
                written.push(finished.folder);
                exit = exit.graver(findings.exit()).graver(shown);
            }
            Err(Halt::Interrupted) => {
                screen::interrupted(&plan, sim.out(), "sim", &written);
                return Exit::Interrupted;
            }
            Err(Halt::Failed(error)) => {
                screen::error(&anyhow::Error::new(error).context(format!("{} was not finished", plan.name)));
                return exit.graver(Exit::Failed);
            }
        }
    }
    if !sim.quiet {
        screen::took(began.elapsed());
    }
    exit
}

/// Everything that can go wrong before anything runs.
fn prepare(sim: &Sim) -> Result<(ThreadPool, Vec<(Plan, Results)>)> {
    let plans = scenarios::plans(sim)?;
    scenarios::rehearsable(&plans)?;
    let pool = pool(sim)?;
    let results = |plan: Plan| {
        let results = Results::create(sim.out(), &plan, "sim", &to_toml(&plan))?;
        Ok((plan, results.with_width(sim.width)))
    };
    let scenarios = plans.into_iter().map(results).collect::<Result<Vec<_>, ReportError>>();
    Ok((pool, scenarios.context("there is no place for the results")?))
}

/// The threads that trials run on.
pub(super) fn pool(sim: &Sim) -> Result<ThreadPool> {
    let threads = sim.threads.map_or(0, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start threads")
}

fn scenario(
    sim: &Sim,
    plan: &Plan,
    mut results: Results,
    pool: &ThreadPool,
    stop: &AtomicBool,
) -> Result<(Finished, Findings), Halt> {
    let bar = progress(sim.quiet, plan);
    let mut findings = Findings::new();
    let take = |_, made: Made| {
        if made.is_stopped() || stop.load(Ordering::Relaxed) {
            return Err(Halt::Interrupted);
        }
        match made {
            Made::Trial(trial) => {
                let (trial, verdict, outcome) = *trial;
                findings.events += outcome.events;
                findings.add(&trial, verdict, outcome.trace, outcome.unfinished);
                results.add(trial).map_err(Halt::Failed)?;
                bar.inc(1);
            }
            Made::Repetition(Outcome { trace, ended_at, .. }) => {
                findings.compare(plan.seed, trace, ended_at);
                results.repeated(trace, ended_at);
            }
        }
        Ok(())
    };
    let make = |number: u32| made(plan, number, stop);
    let ran = trials::in_order(pool, plan.trials.saturating_add(1), make, take);
    bar.finish_and_clear();
    ran?;
    Ok((results.finish().map_err(Halt::Failed)?, findings))
}

/// Trial `number`; the one after the last is trial 0 again, to see that it comes out the same.
pub(super) fn made(plan: &Plan, number: u32, stop: &AtomicBool) -> Made {
    if number < plan.trials { trial(plan, number, stop) } else { again(plan, stop) }
}

fn trial(plan: &Plan, number: u32, stop: &AtomicBool) -> Made {
    let seed = plan.seed.wrapping_add(u64::from(number));
    let gather = Gather::new(plan, number, seed);
    let gather = if number == 0 { gather.with_figures() } else { gather };
    let mut sinks = (Checker::new(plan, seed), gather);
    let outcome = sim::run(plan, seed, &mut sinks, &|| stop.load(Ordering::Relaxed));
    let (mut checker, gather) = sinks;
    checker.count_messages(outcome.sent.membership, outcome.sent.log);
    let verdict = checker.finish(outcome.ended_at);
    let trial = gather.finish(end_of(&outcome, &verdict));
    Made::Trial(Box::new((trial, verdict, outcome)))
}

/// What is known of a trial only at its end.
pub(super) fn end_of(outcome: &Outcome, verdict: &Verdict) -> TrialEnd {
    let Traffic { membership, log, work, client, store } = outcome.sent;
    TrialEnd {
        trace: outcome.trace,
        ended_at: outcome.ended_at,
        messages: Some(Messages { membership, log, work, client: client + store }),
        queries_lost: verdict.queries_lost,
        queries_doubled: verdict.queries_doubled,
        unfinished: outcome.unfinished.clone(),
    }
}

fn again(plan: &Plan, stop: &AtomicBool) -> Made {
    Made::Repetition(sim::run(plan, plan.seed, &mut Ignore, &|| stop.load(Ordering::Relaxed)))
}

/// A bar on the terminal; nothing when standard error is not one, or when nothing shall be shown.
pub(super) fn progress(quiet: bool, plan: &Plan) -> ProgressBar {
    bar(quiet, &plan.name, u64::from(plan.trials))
}

/// The same for so many trials of whatever the message names.
pub(super) fn bar(quiet: bool, message: &str, trials: u64) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(trials);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos} of {len} trials, {eta} left")
        .expect("the template is right")
        .progress_chars("=> ");
    bar.set_style(style);
    bar.set_message(message.to_owned());
    bar.tick();
    bar
}
