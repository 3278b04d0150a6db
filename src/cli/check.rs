//! `idunno check`: the history of a run, checked once more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::findings::Findings;
use super::{Exit, screen, sim};
use crate::check::Checker;
use crate::report::{Gather, Stored, StoredError, TrialEnd};
use crate::scenario::Plan;

/// What `idunno check` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    /// A folder of results, such as `results/coord_fail/sim`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno check results/coord_fail/sim
      Every invariant, over what history.jsonl says.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 3 a safety invariant broke;
4 a liveness bound broke.";

/// Checks what it is told to check; see [`Check`].
pub(super) fn run(check: &Check, stop: &AtomicBool) -> Exit {
    match again(check, stop) {
        Ok(Some((plan, findings))) => {
            let scenario = check.folder.join("scenario.toml");
            let shown = screen::verdict(check.quiet, &path(&scenario), &plan, &findings);
            findings.exit().graver(shown)
        }
        Ok(None) => Exit::Interrupted,
        Err(error) => {
            screen::error(&error.into());
            Exit::Usage
        }
    }
}

/// `None` when it was interrupted.
fn again(check: &Check, stop: &AtomicBool) -> Result<Option<(Plan, Findings)>, StoredError> {
    let (plan, mut stored) = Stored::open(&check.folder)?;
    let mut findings = Findings::new();
    let bar = sim::progress(check.quiet, &plan);
    while let Some(trial) = stored.next_trial()? {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let checker = Checker::with_gaps(&plan, trial.seed, trial.gaps);
        findings.gaps = trial.gaps;
        // What is real never happens twice, and has no trace.
        findings.real = trial.trace == 0;
        let mut sinks = (checker, Gather::stored(&plan, trial.trial, trial.seed));
        stored.read(&trial, &mut sinks)?;
        let (mut checker, gather) = sinks;
        if let Some(messages) = trial.messages {
            checker.count_messages(messages.membership, messages.log);
        }
        let tables = gather.finish(TrialEnd::from(&trial));
        findings.add(&tables, checker.finish(trial.ended_at), trial.trace, trial.unfinished);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(again) = stored.repetition() {
        findings.compare(plan.seed, again.trace, again.ended_at);
    }
    Ok(Some((plan, findings)))
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
