//! `idunno sim --trace`: one trial, one line per event, to be read like a conversation.

mod causes;
mod changes;
mod clients;
mod filter;
mod life;
mod lines;
mod messages;
#[cfg(test)]
mod tests;
mod told;
mod tracer;

pub(super) use filter::query;
pub(super) use life::Life;
pub(super) use told::Kind;

use std::cell::Cell;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use self::filter::Filter;
use self::tracer::Tracer;
use super::sim::Sim;
use super::sim::end_of;
use super::text::{count, some};
use super::{Exit, screen};
use crate::base::Time;
use crate::check::{self, Verdict};
use crate::history::{Ignore, Sink};
use crate::report::{Finished, Gather, ReportError, Results};
use crate::scenario::{Plan, to_toml};
use crate::sim::{self, Outcome};

/// Runs the trial that was asked for and writes its lines to the standard output.
pub(super) fn run(sim: &Sim, stop: &AtomicBool) -> Exit {
    let prepared = match prepare(sim) {
        Ok(prepared) => prepared,
        Err(error) => {
            screen::error(&error);
            return Exit::Usage;
        }
    };
    let Prepared { plan, filter, results } = prepared;
    let closed = Cell::new(false);
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut tracer = Tracer::new(&plan, plan.seed, filter, out, &closed);
    let mut gather = results.as_ref().map(|_| Gather::new(&plan, 0, plan.seed).with_figures());
    let mut nobody = Ignore;
    let sink: &mut dyn Sink = match &mut gather {
        Some(gather) => gather,
        None => &mut nobody,
    };
    let enough = || closed.get() || stop.load(Ordering::Relaxed);
    let outcome = sim::run_watched(&plan, plan.seed, sink, &mut tracer, &enough);
    let (verdict, written, failed) = tracer.finish(outcome.ended_at, &outcome.unfinished);
    match failed {
        // Whoever closes the pipe has seen enough.
        Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => return Exit::Fine,
        Some(cause) => {
            screen::error(&anyhow::Error::new(cause).context("cannot write to the standard output"));
            return Exit::Failed;
        }
        None if outcome.stopped => return Exit::Interrupted,
        None => {}
    }
    let mut exit = judge(&verdict, &outcome);
    let kept = results.zip(gather).map(|(results, gather)| keep(results, gather, &outcome, &verdict));
    let folder = match kept {
        Some(Ok(finished)) => Some(finished.folder),
        Some(Err(error)) => {
            screen::error(&anyhow::Error::new(error).context("the results were not written"));
            exit = exit.graver(Exit::Failed);
            None
        }
        None => None,
    };
    if !sim.runs.quiet {
        let _ =
            writeln!(io::stderr(), "{}", summary(sim, &plan, &outcome, &verdict, written, folder.as_deref()));
    }
    exit
}

/// What a trace needs before it begins.
struct Prepared {
    /// The plan, with the seed of the trial that is traced and no other trial.
    plan: Plan,
    filter: Filter,
    /// Only where it was said where results go.
    results: Option<Results>,
}

fn prepare(sim: &Sim) -> Result<Prepared> {
    if sim.runs.scenarios.len() > 1 {
        bail!("--trace follows one trial of one scenario, and {} are named", sim.runs.scenarios.len());
    }
    let mut plan = sim.plans()?.pop().expect("the command line has a scenario");
    if let (Some(from), Some(until)) = (sim.from, sim.runs.until)
        && from > until
    {
        bail!("--until {until} is before --from {from}");
    }
    plan.seed = plan.seed.wrapping_add(u64::from(sim.trial.unwrap_or(0)));
    plan.trials = 1;
    let filter = Filter {
        kinds: sim.kind.clone(),
        machines: filter::machines(&plan, &sim.node)?,
        jobs: filter::jobs(&plan, &sim.job)?,
        queries: sim.query.clone(),
        from: Time::ZERO + sim.from.unwrap_or_default(),
    };
    let results = match &sim.runs.out {
        Some(out) => {
            let results = Results::create(out, &plan, "sim", &to_toml(&plan));
            Some(results.context("there is no place for the results")?)
        }
        None => None,
    };
    Ok(Prepared { plan, filter, results })
}

fn keep(
    mut results: Results,
    gather: Gather,
    outcome: &Outcome,
    verdict: &Verdict,
) -> Result<Finished, ReportError> {
    results.add(gather.finish(end_of(outcome, verdict)))?;
    results.finish()
}

fn judge(verdict: &Verdict, outcome: &Outcome) -> Exit {
    match verdict.gravest() {
        Some(check::Kind::Safety) => Exit::Safety,
        Some(check::Kind::Liveness) => Exit::Liveness,
        None if !outcome.unfinished.is_empty() => Exit::Liveness,
        None => Exit::Fine,
    }
}

/// What is said of a trace beside its lines.
fn summary(
    sim: &Sim,
    plan: &Plan,
    outcome: &Outcome,
    verdict: &Verdict,
    written: u64,
    folder: Option<&Path>,
) -> String {
    let trial = sim.trial.unwrap_or(0);
    let found = if verdict.is_clean() {
        "all that was checked held".to_owned()
    } else {
        format!("{} found", some(verdict.violations_found, "violation", "violations"))
    };
    let lines = if written == 0 {
        "no line fits what was asked for".to_owned()
    } else {
        some(written, "line", "lines")
    };
    let kept =
        folder.map_or_else(String::new, |folder| format!("\nIts results are in {}.", folder.display()));
    format!(
        "{}, trial {trial}, seed {}: {} steps until {}, {lines}, {found}.{kept}",
        plan.name,
        plan.seed,
        count(outcome.events),
        outcome.ended_at
    )
}
