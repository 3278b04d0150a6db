//! `idunno collect`: what happened in a cluster that was started by hand, checked and written down like a drill.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Args;

use super::client::{Misuse, Reach, ended};
use super::findings::Findings;
use super::text::list;
use super::{Exit, Format, screen};
use crate::base::{Span, Time};
use crate::check::{Checker, Gaps};
use crate::cluster::{self, Account, CollectError, Collected, Source};
use crate::history::Sink;
use crate::report::{Finished, Gather, Results, TrialEnd, Width};
use crate::scenario::{span, to_toml};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno collect --since 10m --out results
      What the members of the cluster observed during the last ten minutes, checked, as CSV files and charts in
      results/collected/real.
  idunno collect --since 1h --out results --node 10.0.0.1:7400,10.0.0.7:7400 --key cluster.key
      Ask one of these nodes who belongs to the cluster; both are collected from even if one belongs no more.
  idunno check results/collected/real
      The same checks once more.

Nodes are asked for their diaries, of which each keeps 260 MB. Their clocks are compared by round trips, which clocks.csv in the results
records; nothing else need be synchronised. A history that begins in the midst of things cannot be checked in every
respect: what was left out is said. Members that cannot be asked are named, and the others are collected from.

Exit codes: 0 fine; 1 failed, or some members could not be asked; 2 usage or a bad file; 3 a safety invariant broke;
130 interrupted, nothing written.";

/// What `idunno collect` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Collect {
    /// How far back to go.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = since)]
    since: Span,
    /// Where results go: into DIR/collected/real, in the place of earlier ones.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How wide the charts are on paper: 85mm is a column of a paper, 180mm a page; cm and in do as well.
    #[arg(long, value_name = "WIDTH", default_value = "180mm")]
    width: Width,
    #[command(flatten)]
    reach: Reach,
    /// How to show the summary; the files of the results are the same.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
    /// Show only what went wrong; results are written all the same.
    #[arg(long, short)]
    quiet: bool,
}

/// The longest time that a scenario can last is years; a diary holds less.
fn since(text: &str) -> Result<Span, String> {
    let wanted = || "wanted a time from 1s to 30d, such as 10m or 1h".to_owned();
    let span = span(text).filter(|span| (Span::secs(1)..=Span::secs(30 * 24 * 3600)).contains(span));
    span.ok_or_else(wanted)
}

/// Does what it is told; see [`Collect`].
pub(super) fn run(told: &Collect, stop: &AtomicBool) -> Exit {
    ended(collected(told, stop))
}

fn collected(told: &Collect, stop: &AtomicBool) -> Result<Exit> {
    let mut client = told.reach.client()?;
    let stopped = || stop.load(Ordering::Relaxed);
    let collected = match cluster::collect(&mut client, told.since, &stopped) {
        Ok(collected) => collected,
        Err(CollectError::Stopped) => {
            screen::complain("Interrupted: nothing was written.");
            return Ok(Exit::Interrupted);
        }
        Err(CollectError::Client(error)) => return Err(error.into()),
        Err(error) => return Err(error.into()),
    };
    let account = collected.account().context("what the cluster says of itself makes no scenario")?;
    let (finished, findings) = written(told, &collected, &account)?;
    let exit = if told.quiet {
        Exit::Fine
    } else {
        screen::collected(told.format, &account.plan, &finished, &findings)
    };
    for line in screen::complaints("", &[], &account.plan, &findings) {
        screen::complain(&line);
    }
    if !account.differ.is_empty() {
        let names: Vec<String> = account.differ.iter().map(ToString::to_string).collect();
        let first = &collected.nodes[0].name;
        screen::complain(&format!(
            "The settings of {} differ from those of {first}, which stand in scenario.toml.",
            list(&names)
        ));
    }
    let missing = collected.missing.iter().map(|(name, why)| format!("{name} ({why})"));
    let missing: Vec<String> = missing.collect();
    let exit = exit.graver(findings.exit());
    if missing.is_empty() {
        return Ok(exit);
    }
    screen::complain(&format!(
        "Could not be asked, and the history lacks what they observed: {}.",
        list(&missing)
    ));
    Ok(exit.graver(Exit::Failed))
}

/// Checks everything and writes it down.
fn written(told: &Collect, collected: &Collected, account: &Account) -> Result<(Finished, Findings)> {
    let plan = &account.plan;
    let resolved = to_toml(plan);
    let results = Results::create(&told.out, plan, "real", &resolved);
    let results = results.map_err(|error| Misuse(format!("there is no place for the results: {error}")))?;
    let mut results = results.with_width(told.width);
    // What was before is never known for sure: how jobs and reigns began, and what clients were told.
    let gaps = Gaps { beginning: true, nodes: collected.lacks_nodes };
    let gather = Gather::new(plan, 0, plan.seed).with_figures().with_gaps(gaps);
    let mut sinks = (Checker::with_gaps(plan, plan.seed, gaps), gather);
    for record in &collected.records {
        sinks.record(record);
    }
    let (checker, gather) = sinks;
    let ended_at = Time::ZERO + collected.lasted;
    let verdict = checker.finish(ended_at);
    let trial = gather.finish(TrialEnd {
        // What is real never happens twice.
        trace: 0,
        ended_at,
        messages: None,
        queries_lost: verdict.queries_lost,
        queries_doubled: verdict.queries_doubled,
        unfinished: Vec::new(),
    });
    let mut findings = Findings::new();
    (findings.real, findings.gaps) = (true, gaps);
    findings.add(&trial, verdict, 0, Vec::new());
    results.add(trial)?;
    let finished = results.finish()?;
    clocks(&finished.folder, &collected.nodes)?;
    Ok((finished, findings))
}

/// Records how the nodes' clocks were brought together.
fn clocks(folder: &Path, nodes: &[Source]) -> Result<()> {
    let path = folder.join("clocks.csv");
    let seconds = |nanos: i128| format!("{:.9}", nanos as f64 / 1e9);
    let write = || {
        let mut rows = csv::Writer::from_path(&path)?;
        rows.write_record(["node", "id", "offset_s", "error_s", "moved_s"])?;
        for Source { id, name, offset_ns, error, moved_ns, .. } in nodes {
            let (offset, error) = (seconds(*offset_ns), seconds(i128::from(error.0)));
            rows.write_record([&**name, &id.to_string(), &offset, &error, &seconds(*moved_ns)])?;
        }
        Ok::<(), csv::Error>(rows.flush()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
