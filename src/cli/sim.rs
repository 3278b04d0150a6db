//! `idunno sim`: scenarios in the simulator, trial by trial, checked and written down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::{Exit, Sim, scenarios, screen, trials};
use crate::check::{Census, Checker, Invariant, Kind, Verdict, Violation};
use crate::history::Ignore;
use crate::report::{Finished, Gather, ReportError, Results, Trial, TrialEnd};
use crate::scenario::{Plan, to_toml};
use crate::sim::{self, Outcome, Traffic};

/// What one scenario came to, beside its results.
pub(super) struct Findings {
    /// Invariants that did not hold, at most ten per trial and a hundred in all.
    pub(super) violations: Vec<Violation>,
    /// How many there were.
    pub(super) violations_found: u64,
    /// Trials that were given up, with their seed and what was left to do.
    pub(super) unfinished: Vec<(u64, Vec<String>)>,
    /// How much was looked at.
    pub(super) census: Census,
    /// Queries counted, lost, and counted more than once.
    pub(super) counted: u64,
    /// See `counted`.
    pub(super) lost: u64,
    /// See `counted`.
    pub(super) doubled: u64,
    /// Messages, wake-ups and other inputs of nodes.
    pub(super) events: u64,
    /// The trace hash of trial 0.
    trace: Option<u128>,
    gravest: Option<Kind>,
}

/// More violations than this are counted and not shown.
const VIOLATIONS_MAX: usize = 100;
/// More violations of one trial than this are counted and not shown.
const PER_TRIAL_MAX: usize = 10;

/// Why a scenario was not run to its end.
enum Halt {
    Interrupted,
    Failed(ReportError),
}

/// One trial as a worker thread hands it on, or the repetition of trial 0.
enum Made {
    Trial(Box<(Trial, Verdict, Outcome)>),
    Repetition(Outcome),
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
    for ((plan, results), argument) in scenarios.into_iter().zip(&sim.scenarios) {
        match scenario(sim, &plan, results, &pool, stop) {
            Ok((finished, findings)) => {
                let shown = screen::show(sim, argument, &plan, &finished, &findings);
                exit = exit.graver(findings.exit()).graver(shown);
            }
            Err(Halt::Interrupted) => {
                screen::interrupted(&plan, &sim.out);
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
    let threads = sim.threads.map_or(0, usize::from);
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start threads")?;
    let results = |plan: Plan| {
        let results = Results::create(&sim.out, &plan, "sim", &to_toml(&plan))?;
        Ok((plan, results.with_width(sim.width)))
    };
    let scenarios = plans.into_iter().map(results).collect::<Result<Vec<_>, ReportError>>();
    Ok((pool, scenarios.context("there is no place for the results")?))
}

fn scenario(
    sim: &Sim,
    plan: &Plan,
    mut results: Results,
    pool: &ThreadPool,
    stop: &AtomicBool,
) -> Result<(Finished, Findings), Halt> {
    let bar = progress(sim, plan);
    let mut findings = Findings::new();
    // The one after the last is trial 0 again, to see that it comes out the same.
    let make = |number: u32| if number < plan.trials { trial(plan, number, stop) } else { again(plan, stop) };
    let take = |_, made: Made| {
        let stopped = match &made {
            Made::Trial(trial) => trial.2.stopped,
            Made::Repetition(outcome) => outcome.stopped,
        };
        if stopped || stop.load(Ordering::Relaxed) {
            return Err(Halt::Interrupted);
        }
        match made {
            Made::Trial(trial) => {
                let (trial, verdict, outcome) = *trial;
                findings.add(trial.seed, verdict, outcome);
                results.add(trial).map_err(Halt::Failed)?;
                bar.inc(1);
            }
            Made::Repetition(outcome) => findings.compare(plan, &outcome),
        }
        Ok(())
    };
    let ran = trials::in_order(pool, plan.trials.saturating_add(1), make, take);
    bar.finish_and_clear();
    ran?;
    Ok((results.finish().map_err(Halt::Failed)?, findings))
}

fn trial(plan: &Plan, number: u32, stop: &AtomicBool) -> Made {
    let seed = plan.seed.wrapping_add(u64::from(number));
    let gather = Gather::new(plan, number, seed);
    let gather = if number == 0 { gather.with_figures() } else { gather };
    let mut sinks = (Checker::new(plan, seed), gather);
    let outcome = sim::run(plan, seed, &mut sinks, &|| stop.load(Ordering::Relaxed));
    let (checker, gather) = sinks;
    let verdict = checker.finish(outcome.ended_at);
    let Traffic { membership, log, work, client } = outcome.sent;
    let trial = gather.finish(TrialEnd {
        trace: outcome.trace,
        ended_at: outcome.ended_at,
        messages: Some(membership + log + work + client),
        queries_lost: verdict.queries_lost,
        queries_doubled: verdict.queries_doubled,
    });
    Made::Trial(Box::new((trial, verdict, outcome)))
}

fn again(plan: &Plan, stop: &AtomicBool) -> Made {
    Made::Repetition(sim::run(plan, plan.seed, &mut Ignore, &|| stop.load(Ordering::Relaxed)))
}

/// A bar on the terminal; nothing when standard error is not one, or when nothing shall be shown.
fn progress(sim: &Sim, plan: &Plan) -> ProgressBar {
    if sim.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::from(plan.trials));
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos} of {len} trials, {eta} left")
        .expect("the template is right")
        .progress_chars("=> ");
    bar.set_style(style);
    bar.set_message(plan.name.clone());
    bar.tick();
    bar
}

impl Findings {
    fn new() -> Findings {
        Findings {
            violations: Vec::new(),
            violations_found: 0,
            unfinished: Vec::new(),
            census: Census::default(),
            counted: 0,
            lost: 0,
            doubled: 0,
            events: 0,
            trace: None,
            gravest: None,
        }
    }

    fn add(&mut self, seed: u64, verdict: Verdict, outcome: Outcome) {
        self.trace.get_or_insert(outcome.trace);
        self.events += outcome.events;
        self.counted += verdict.queries_counted;
        self.lost += verdict.queries_lost;
        self.doubled += verdict.queries_doubled;
        self.violations_found += verdict.violations_found;
        self.gravest = [self.gravest, verdict.gravest()].into_iter().flatten().min();
        let room = VIOLATIONS_MAX.saturating_sub(self.violations.len()).min(PER_TRIAL_MAX);
        self.violations.extend(verdict.violations.into_iter().take(room));
        let (sum, one) = (&mut self.census, verdict.census);
        sum.records += one.records;
        sum.leaders += one.leaders;
        sum.entries_compared += one.entries_compared;
        sum.attempts += one.attempts;
        sum.deadlines += one.deadlines;
        sum.faults_began += one.faults_began;
        sum.faults_effective += one.faults_effective;
        sum.faults_missed += one.faults_missed;
        if !outcome.unfinished.is_empty() {
            self.unfinished.push((seed, outcome.unfinished));
        }
    }

    /// Invariant 11: the same seed has the same trace.
    fn compare(&mut self, plan: &Plan, again: &Outcome) {
        let trace = self.trace.expect("the repetition comes after trial 0");
        if trace == again.trace {
            return;
        }
        self.violations_found += 1;
        self.gravest = Some(Kind::Safety);
        self.violations.push(Violation {
            invariant: Invariant::Repeatable,
            at: again.ended_at,
            machines: Vec::new(),
            names: Vec::new(),
            seed: plan.seed,
            detail: format!("the trace hash was {trace:032x} first and {:032x} then", again.trace),
        });
    }

    /// How a command that found this ends.
    pub(super) fn exit(&self) -> Exit {
        match self.gravest {
            Some(Kind::Safety) => Exit::Safety,
            Some(Kind::Liveness) => Exit::Liveness,
            None if !self.unfinished.is_empty() => Exit::Liveness,
            // A fault that never happened proves nothing.
            None if self.census.faults_missed > 0 && self.census.faults_began == 0 => Exit::Failed,
            None => Exit::Fine,
        }
    }
}
