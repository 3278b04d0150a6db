//! `idunno sim`: scenarios in the simulator, trial by trial, checked and written down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::findings::Findings;
use super::values::{moment, seed};
use super::{Exit, Format, scenarios, screen, trace, trials};
use crate::base::{QueryId, Span};
use crate::check::{Checker, Verdict};
use crate::history::Ignore;
use crate::report::{Finished, Gather, Messages, ReportError, Results, Trial, TrialEnd, Width};
use crate::scenario::{Plan, to_toml};
use crate::sim::{self, Outcome, Traffic};

/// What `idunno sim` and `idunno drill` are both told: what to run, how often, and where results go.
#[derive(Clone, Debug, Args)]
pub(super) struct Runs {
    /// Scenario files, or names of shipped scenarios ("idunno scenario list" names them).
    #[arg(required = true, value_name = "SCENARIO")]
    pub(super) scenarios: Vec<String>,
    /// The seed of the first trial; trial i, from 0, runs with this seed plus i. In a rehearsal the same seed gives the same
    /// results, byte for byte [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    pub(super) seed: Option<u64>,
    /// How many trials to run, each with a seed of its own; the more, the narrower the intervals [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) trials: Option<u32>,
    /// Where results go: into DIR/<scenario>/sim, those of a drill into real, in the place of earlier ones [default:
    /// results].
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Set a key of the scenario for this run, such as membership.heartbeat=20ms; may be repeated. "idunno scenario keys"
    /// explains every key.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// How wide the charts are on paper: 85mm is a column of a paper, 180mm a page; cm and in do as well.
    #[arg(long, value_name = "WIDTH", default_value = "180mm")]
    pub(super) width: Width,
    /// Show only what went wrong; results are written all the same.
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// How to show the summary; the files of the results are the same.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(super) format: Format,
    /// End each trial at TIME, such as 12.5s, like the key until. What was promised for later is not judged.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<Span>,
}

/// What `idunno sim` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Sim {
    #[command(flatten)]
    pub(super) runs: Runs,
    /// Run the scenario with each of these values of a key; may be repeated for every combination with those of other keys.
    ///
    /// All points run the same seeds, and are compared with the first one trial by trial. Results go into
    /// DIR/<scenario>/sweep.
    #[arg(long, value_name = "KEY=A,B,...")]
    pub(super) sweep: Vec<String>,
    /// How many trials to run at the same time [default: one per core]. Results do not depend on it.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) threads: Option<u16>,
    /// Run one trial alone and write what happens in it, a line per event, to the standard output. No results are
    /// written unless --out says where.
    #[arg(long, conflicts_with_all = ["trials", "threads", "format", "sweep"], help_heading = TRACE)]
    pub(super) trace: bool,
    /// Which trial [default: 0]. Trial N has the seed of trial 0 plus N.
    #[arg(long, value_name = "N", requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    pub(super) trial: Option<u32>,
    /// Only lines of this node, and of what is done to it; may be repeated, as the following may.
    #[arg(long, value_name = "NAME", requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    pub(super) node: Vec<String>,
    /// Only lines of this kind. Heartbeats, disks and idle timers are left out unless they are asked for here.
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',', requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    pub(super) kind: Vec<trace::Kind>,
    /// Only lines about this job and its queries, and faults.
    #[arg(long, value_name = "NAME", requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    pub(super) job: Vec<String>,
    /// Only lines about this query, as queries.csv names it (1.0.17), and faults.
    #[arg(long, value_name = "JOB.CUT.NUMBER", value_parser = trace::query, requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    pub(super) query: Vec<QueryId>,
    /// Only lines from TIME on.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    pub(super) from: Option<Span>,
    /// Plant this bug first, as in "idunno fuzz", to look at what it does. Release builds cannot.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "NAME", hide = true, value_parser = super::fuzz::mutant)]
    pub(super) mutant: Option<crate::scenario::Mutant>,
}

/// The options about a single trial stand together in the help.
const TRACE: &str = "Following one trial";

impl Runs {
    /// Where results go.
    pub(super) fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("results"))
    }
}

impl Sim {
    /// The plan of each scenario that was named.
    pub(super) fn plans(&self) -> Result<Vec<Plan>> {
        let looks = self.trace && self.runs.out.is_none();
        let plans = scenarios::plans(&self.runs, looks)?;
        #[cfg(debug_assertions)]
        if let Some(mutant) = self.mutant {
            return Ok(plans.into_iter().map(|plan| plan.planted(mutant)).collect());
        }
        Ok(plans)
    }
}

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno sim coord_fail
      A shipped scenario: the coordinator of ten nodes dies while two jobs run.
  idunno sim my/cluster.toml --trials 200 --set membership.suspect_after=400ms
      A scenario of your own, with one setting changed.
  idunno sim coord_fail --sweep cluster.voters=3,5,7 --sweep network.loss=0%,1%,5%
      A scenario at every point of a grid, compared trial by trial.
  idunno sim coord_fail worker_fail --seed 100 --out results/other --format csv
      Two scenarios with other seeds, their metrics as CSV; the first column names the scenario.
  idunno sim coord_fail --trace --kind fault,election,survey
      Follow how trial 0 finds a new coordinator.

Exit codes: 0 fine; 1 failed, or none of the faults happened; 2 usage or a bad file, nothing changed;
3 a safety invariant broke; 4 a liveness bound broke, or a trial was given up with work left;
130 interrupted: the scenario under way changed nothing, those that had finished before it are
written.";

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
    for ((plan, results), argument) in scenarios.into_iter().zip(&sim.runs.scenarios) {
        match scenario(sim, &plan, results, &pool, stop) {
            Ok((finished, findings)) => {
                let shown =
                    screen::show(&sim.runs, argument, &plan, &finished, &findings, written.is_empty());
                written.push(finished.folder);
                exit = exit.graver(findings.exit()).graver(shown);
            }
            Err(Halt::Interrupted) => {
                screen::interrupted(&plan, sim.runs.out(), "sim", &written);
                return Exit::Interrupted;
            }
            Err(Halt::Failed(error)) => {
                screen::error(&anyhow::Error::new(error).context(format!("{} was not finished", plan.name)));
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
fn prepare(sim: &Sim) -> Result<(ThreadPool, Vec<(Plan, Results)>)> {
    let plans = sim.plans()?;
    scenarios::rehearsable(&plans)?;
    let pool = pool(sim)?;
    let results = |plan: Plan| {
        let results = Results::create(sim.runs.out(), &plan, "sim", &to_toml(&plan))?;
        Ok((plan, results.with_width(sim.runs.width)))
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
    let bar = progress(sim.runs.quiet, plan);
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
