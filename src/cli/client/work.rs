//! `idunno stats` and `idunno assignments`: how fast jobs are, and what workers do.

use anyhow::Result;

use super::jobs::{state, stats};
use super::sheet::{Cell, Sheet};
use super::{Look, ended, read};
use crate::cli::text::{duration, number};
use crate::cli::{Exit, Format};
use crate::cluster::Client;
use crate::node::{Assignment, JobStats, Question, Reading, Stats};

pub(in crate::cli) const STATS_EXAMPLES: &str = "\
Examples:
  idunno stats
      Of every job the rate over the last 10 s, the totals, and how long its queries take.
  idunno stats --format csv
      The same for a spreadsheet, all durations in seconds.

Totals are the whole cluster's memory. Rates and durations are what the present coordinator has seen since its reign
began, which is said; a new coordinator starts them anew, and keeps those of the last 256 jobs that ended. Durations
are those of inference alone, without waiting and loading, and are kept within 1 %.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const ASSIGNMENTS_EXAMPLES: &str = "\
Examples:
  idunno assignments
      Which job every worker serves since when, what it runs, and how long its last query took.
  idunno assignments --format json
      The same, a JSON object per worker.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 5 no quorum.";

/// Does what `idunno stats` is told.
pub(in crate::cli) fn show_stats(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let stats = stats(&mut client)?;
        let exit = look.show.sheet(&stats_sheet(&stats), "There are no jobs.");
        let began = duration(stats.counting.as_secs());
        let note = format!("Rates and durations: since this coordinator's reign began, {began} ago.");
        Ok(if stats.jobs.is_empty() { exit } else { exit.graver(look.show.note(&note)) })
    }))
}

/// Queries counted per second of late.
pub(super) fn rate(job: &JobStats) -> Cell {
    let rate = job.recent as f64 / job.recent_over.as_secs().max(1e-3);
    Cell::amount(rate, format!("{}/s", number(rate)))
}

fn stats_sheet(stats: &Stats) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("job", "job"),
        ("name", "name"),
        ("state", "state"),
        ("rate_qps", "rate"),
        ("rate_over_s", "over"),
        ("queries_counted", "counted"),
        ("queries", "queries"),
        ("inputs_failed", "failed"),
        ("samples", "timed"),
        ("mean_s", "mean"),
        ("std_s", "σ"),
        ("p50_s", "p50"),
        ("p90_s", "p90"),
        ("p95_s", "p95"),
        ("p99_s", "p99"),
        ("max_s", "max"),
    ]);
    for job in &stats.jobs {
        let took = Some(job.took).filter(|took| took.samples > 0);
        let mut row = vec![
            Cell::number(job.job.0),
            Cell::text(&*job.name),
            Cell::text(state(job.state)),
            rate(job),
            Cell::span(job.recent_over),
            Cell::count(job.queries_counted),
            Cell::count(job.queries),
            Cell::count(job.inputs_failed),
            Cell::count(job.took.samples),
        ];
        let spans = took.map(|took| [took.mean, took.std, took.p50, took.p90, took.p95, took.p99, took.max]);
        row.extend((0..7).map(|place| Cell::maybe(spans.map(|spans| spans[place]), Cell::span)));
        sheet.row(row);
    }
    sheet
}

/// Does what `idunno assignments` is told.
pub(in crate::cli) fn show_assignments(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let workers = assignments(&mut client)?;
        Ok(look.show.sheet(&assignments_sheet(&workers), "No member takes queries."))
    }))
}

/// What every worker does.
pub(super) fn assignments(client: &mut Client) -> Result<Vec<Assignment>> {
    read(client, Question::Assignments, |reading| match reading {
        Reading::Assignments(workers) => Some(workers),
        _ => None,
    })
}

/// What a worker is good for.
pub(super) fn standing(worker: &Assignment) -> &'static str {
    match (worker.suspect, worker.drained, worker.held) {
        (true, _, _) => "suspect",
        (_, true, 0) => "drained",
        (_, true, _) => "draining",
        (_, _, 0) => "idle",
        _ => "busy",
    }
}

fn assignments_sheet(workers: &[Assignment]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("worker", "worker"),
        ("kind", "kind"),
        ("state", "state"),
        ("job", "job"),
        ("job_for_s", "for"),
        ("running", "running"),
        ("running_for_s", "since"),
        ("held", "held"),
        ("last", "last query"),
        ("last_took_s", "took"),
        ("last_ago_s", "ago"),
        ("warm", "warm models"),
    ]);
    for worker in workers {
        sheet.row(vec![
            Cell::text(&*worker.name),
            Cell::text(&*worker.kind),
            Cell::text(standing(worker)),
            Cell::maybe(worker.serving, |(job, _)| Cell::number(job.0)),
            Cell::maybe(worker.serving, |(_, span)| Cell::span(span)),
            Cell::maybe(worker.running, |(query, _)| Cell::text(query.to_string())),
            Cell::maybe(worker.running, |(_, span)| Cell::span(span)),
            Cell::count(worker.held),
            Cell::maybe(worker.last, |last| Cell::text(last.query.to_string())),
            Cell::maybe(worker.last, |last| Cell::span(last.took)),
            Cell::maybe(worker.last, |last| Cell::span(last.ago)),
            Cell::text(worker.warm.join(" ")),
        ]);
    }
    sheet
}

/// The tables of jobs and workers, for those who watch them.
pub(super) fn tables(stats: &Stats, workers: &[Assignment]) -> [String; 2] {
    [stats_sheet(stats).shown(Format::Table), assignments_sheet(workers).shown(Format::Table)]
}
