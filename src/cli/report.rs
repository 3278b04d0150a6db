//! `idunno report`: the CSV files and charts of a run, written once more from its history.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::text::{count, some};
use super::{Exit, screen, sim};
use crate::report::{Finished, Gather, ReportError, Results, Stored, TrialEnd, Width};
use crate::scenario::Plan;

/// What `idunno report` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Report {
    /// A folder of results, such as `results/coord_fail/sim`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Which trial the charts over time show, from 0.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    trial: u32,
    /// How wide the charts are on paper: 85mm is a column of a paper, 180mm a page; cm and in do as well.
    #[arg(long, value_name = "WIDTH", default_value = "180mm")]
    width: Width,
    /// Write into this folder instead, which is new, empty, or holds results.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno report results/coord_fail/sim
      The same files once more, in the place of what is there.
  idunno report results/coord_fail/sim --trial 7 --out trial-7
      Charts of trial 7, beside those of trial 0.
  idunno report results/coord_fail/sim --width 85mm --out column
      Charts for a column of a paper.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 130 interrupted, nothing changed.";

/// Writes what it is told to write; see [`Report`].
pub(super) fn run(report: &Report, stop: &AtomicBool) -> Exit {
    match again(report, stop) {
        Ok(Some((_, Err(error)))) => {
            screen::error(&anyhow::Error::new(error).context("nothing was changed"));
            Exit::Failed
        }
        Ok(Some((plan, Ok(finished)))) if !report.quiet => screen::rewritten(&plan, &finished),
        Ok(Some(_)) => Exit::Fine,
        Ok(None) => {
            screen::interrupted_in(&report.folder);
            Exit::Interrupted
        }
        Err(error) => {
            screen::error(&error);
            Exit::Usage
        }
    }
}

/// The outer error is that of a bad call or a bad file; the inner one of what could not be written. `None` when it was
/// interrupted.
fn again(report: &Report, stop: &AtomicBool) -> Result<Option<(Plan, Result<Finished, ReportError>)>> {
    let (plan, mut stored) = Stored::open(&report.folder)?;
    if report.trial >= plan.trials {
        bail!(
            "there is no trial {}: the run had {}, numbered from 0 to {}",
            count(u64::from(report.trial)),
            some(u64::from(plan.trials), "trial", "trials"),
            count(u64::from(plan.trials) - 1)
        );
    }
    let mut results = Results::again(&plan, &report.folder, report.out.as_deref())
        .context("there is no place for the results")?
        .with_width(report.width);
    let bar = sim::progress(report.quiet, &plan);
    while let Some(trial) = stored.next_trial()? {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut gather = Gather::stored(&plan, trial.trial, trial.seed);
        if trial.trial == report.trial {
            gather = gather.with_figures();
        }
        stored.read(&trial, &mut gather)?;
        if let Err(error) = results.add(gather.finish(TrialEnd::from(&trial))) {
            return Ok(Some((plan, Err(error))));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let finished = results.finish();
    Ok(Some((plan, finished)))
}
