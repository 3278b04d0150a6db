//! What `idunno sim` shows at the end: jobs, recovery, checks, where the files are.

mod complaints;
mod recoveries;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use self::complaints::complaints;
use self::recoveries::recoveries;
use super::findings::Findings;
use super::sim::Runs;
use super::text::{columns, count, duration, list, number, rounded, some, wrapped};
use super::{Exit, Format};
use crate::report::{Finished, Stats};
use crate::scenario::Plan;

/// More jobs than this are not shown one by one.
const JOBS_MAX: usize = 12;

/// An error, with what led to it.
pub(super) fn error(error: &anyhow::Error) {
    complain(&format!("error: {error:#}"));
}

/// What was asked for. Whoever closes the pipe early does not want the rest; anything else that keeps it from being
/// written is a failure.
pub(super) fn say(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            error(&anyhow::Error::new(cause).context("cannot write to the standard output"));
            Exit::Failed
        }
        _ => Exit::Fine,
    }
}

/// A run that Ctrl-C ended before its `folder` was written; `finished` are the folders of the scenarios that were done
/// before.
pub(super) fn interrupted(plan: &Plan, out: &Path, folder: &str, finished: &[PathBuf]) {
    let place = out.join(&plan.name).join(folder);
    let earlier = if place.exists() {
        format!("the earlier results in {} are as they were", place.display())
    } else {
        "there are no earlier results".to_owned()
    };
    complain(&format!("Interrupted in {}: nothing of it was written, and {earlier}.", plan.name));
    if !finished.is_empty() {
        let folders: Vec<String> = finished.iter().map(|folder| folder.display().to_string()).collect();
        complain(&format!("What had finished before is written: {}.", list(&folders)));
    }
}

/// A report that Ctrl-C ended.
pub(super) fn interrupted_in(folder: &Path) {
    complain(&format!("Interrupted: nothing was written, and {} is as it was.", folder.display()));
}

/// How long it all took.
pub(super) fn took(elapsed: Duration) {
    complain(&format!("Took {}.", duration(elapsed.as_secs_f64())));
}

/// The results of one scenario; `first` says whether it is the first of the command.
pub(super) fn show(
    runs: &Runs,
    argument: &str,
    plan: &Plan,
    finished: &Finished,
    findings: &Findings,
    first: bool,
) -> Exit {
    let mut exit = Exit::Fine;
    if !runs.quiet {
        let text = match runs.format {
            Format::Table => tables(plan, finished, findings),
            Format::Json => format!("{}\n", json(plan, finished, findings)),
            Format::Csv => csv(plan, finished, first),
        };
        exit = say(&text);
    }
    let until = runs.until.map(|until| format!("until={until}"));
    let settings: Vec<String> = runs.set.iter().cloned().chain(until).collect();
    for line in complaints(argument, &settings, plan, findings) {
        complain(&line);
    }
    exit
}

/// A history that was collected.
pub(super) fn collected(format: Format, plan: &Plan, finished: &Finished, findings: &Findings) -> Exit {
    say(&match format {
        Format::Table => tables(plan, finished, findings),
        Format::Json => format!("{}\n", json(plan, finished, findings)),
        Format::Csv => csv(plan, finished, true),
    })
}

/// What checking stored results again came to; `scenario` is the path of theirs.
pub(super) fn verdict(quiet: bool, scenario: &str, plan: &Plan, findings: &Findings) -> Exit {
    let exit = if quiet { Exit::Fine } else { say(&format!("{}\n\n{}\n", heading(plan), checks(findings))) };
    for line in complaints(scenario, &[], plan, findings) {
        complain(&line);
    }
    exit
}

/// Results that were written again.
pub(super) fn rewritten(plan: &Plan, finished: &Finished) -> Exit {
    say(&joined(told(plan, finished), finished))
}

/// Something to be said beside what was asked for.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn tables(plan: &Plan, finished: &Finished, findings: &Findings) -> String {
    let mut parts = told(plan, finished);
    parts.push(checks(findings));
    joined(parts, finished)
}

/// What was run and what it came to.
fn told(plan: &Plan, finished: &Finished) -> Vec<String> {
    let mut parts = vec![heading(plan), jobs(finished)];
    parts.extend(recoveries(plan, finished));
    parts
}

fn joined(mut parts: Vec<String>, finished: &Finished) -> String {
    parts.push(format!("Results are in {}.", finished.folder.display()));
    parts.retain(|part| !part.is_empty());
    // A blank line after it sets it apart from the next scenario and from the prompt.
    parts.join("\n\n") + "\n\n"
}

fn heading(plan: &Plan) -> String {
    let last = plan.seed.wrapping_add(u64::from(plan.trials) - 1);
    let seeds = if plan.trials == 1 {
        format!("seed {}", plan.seed)
    } else {
        format!("seeds {} to {last}", plan.seed)
    };
    let nodes = some(plan.nodes.len() as u64, "node", "nodes");
    let trials = some(u64::from(plan.trials), "trial", "trials");
    let policy = plan.config.scheduler.policy.name();
    let about = wrapped(&plan.about, "  ");
    let first = format!("{}: {trials}, {seeds}; {nodes}, policy {policy}.", plan.name);
    if about.is_empty() { first } else { format!("{first}\n{about}") }
}

fn shown(value: Option<f64>, show: fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

fn jobs(finished: &Finished) -> String {
    let jobs = finished.summary.jobs();
    if jobs.is_empty() {
        return "No job was accepted.".to_owned();
    }
    let head = ["Jobs", "done", "start delay", "queries/s", "query mean", "p50", "p95", "p99"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    for job in jobs.iter().take(JOBS_MAX) {
        let time = |value| shown(value, duration);
        let query = &job.query_s;
        rows.push(vec![
            job.name.to_string(),
            format!("{} of {}", job.ended, job.trials),
            time(job.start_delay_s.p50),
            shown(job.rate_qps.mean, number),
            time(query.mean),
            time(query.p50),
            time(query.p95),
            time(query.p99),
        ]);
    }
    let mut text = columns(&rows);
    let (together, gap) = (finished.summary.metric("aggregate_qps"), finished.summary.metric("rate_gap"));
    if let Some(together) = together.mean
        && jobs.len() > 1
    {
        let _ = write!(text, "\n  together {} queries/s", number(together));
        if let Some(gap) = gap.mean {
            let _ = write!(text, "; the jobs' rates are {:.1} % apart on average", gap * 100.0);
        }
    }
    if jobs.len() > JOBS_MAX {
        let _ = write!(text, "\n  and {} more in jobs.csv", jobs.len() - JOBS_MAX);
    }
    text
}

fn checks(findings: &Findings) -> String {
    let census = &findings.census;
    let gaps = findings.gaps;
    let verdict = if findings.violations_found == 0 && gaps.any() {
        "Invariants 1, 2 and 4 to 6 held, as far as this history tells".to_owned()
    } else if findings.violations_found == 0 {
        format!("Invariants 1 to {} held", if findings.repeated { "12" } else { "10 and 12" })
    } else {
        format!("{} found", some(findings.violations_found, "violation", "violations"))
    };
    let looked = [
        (
            census.entries_compared,
            some(census.entries_compared, "log entry compared", "log entries compared"),
        ),
        (census.leaders, some(census.leaders, "election checked", "elections checked")),
        (census.deadlines, some(census.deadlines, "deadline kept", "deadlines kept")),
    ];
    let looked: Vec<String> =
        looked.into_iter().filter(|(seen, _)| *seen > 0).map(|(_, words)| words).collect();
    let records = some(census.records, "record", "records");
    let looked = if looked.is_empty() { String::new() } else { format!(": {}", list(&looked)) };
    let looked = wrapped(&format!("{verdict}, over {records}{looked}."), "");
    let faults = if census.faults_began + census.faults_missed == 0 {
        String::new()
    } else {
        format!(
            "\n{} of {} took effect.",
            count(census.faults_effective),
            some(census.faults_began + census.faults_missed, "fault", "faults")
        )
    };
    let [suspicions, evictions] = findings.false_alarms;
    // Without a word on faults nobody knows which alarms were false.
    let alarms = if gaps.any() {
        String::new()
    } else {
        format!(
            "{} and {} of nodes that no fault had silenced.\n",
            some(suspicions, "suspicion", "suspicions"),
            some(evictions, "eviction", "evictions"),
        )
    };
    let unjudged = match census.histories_unchecked {
        0 => String::new(),
        jobs => {
            let text = format!(
                "Invariant 9 was not judged for {}: too much was asked of them at the same time to look through every order.",
                some(jobs, "job", "jobs")
            );
            "\n".to_owned() + &wrapped(&text, "")
        }
    };
    let left_out = gaps.left_out();
    let left_out = if left_out.is_empty() {
        String::new()
    } else {
        "\n".to_owned() + &wrapped(&format!("Not checked: {}.", left_out.join("; ")), "")
    };
    format!("{}\n{alarms}{looked}{faults}{unjudged}{left_out}", counted(findings))
}

/// How many queries were counted, and how many of them wrongly.
pub(super) fn counted(findings: &Findings) -> String {
    let Findings { counted, lost, doubled, answered, failed_inputs, .. } = *findings;
    let queries = |number| some(number, "query", "queries");
    // Where two coordinators counted, each in a log of its own, one log is followed; the tables have the answers of both.
    let whose = if findings.violations_found > 0 && answered != counted {
        format!(
            "{} answered, {} of them in the log that the checker follows;",
            queries(answered),
            count(counted)
        )
    } else {
        format!("{}:", queries(counted))
    };
    let failed = match failed_inputs {
        0 => String::new(),
        failed => format!(" {} as failed.", some(failed, "input ended", "inputs ended")),
    };
    let text = format!("{whose} {} lost, {} counted twice.{failed}", count(lost), count(doubled));
    wrapped(&text, "")
}

/// The rows of summary.csv, each after the name of its scenario; the names of the columns stand above the first one.
fn csv(plan: &Plan, finished: &Finished, first: bool) -> String {
    let mut rows = ::csv::Writer::from_writer(Vec::new());
    for row in finished.summary.rows() {
        rows.serialize(row).expect("rows are flat, and memory takes everything");
    }
    let rows = rows.into_inner().expect("memory takes everything");
    let mut named = ::csv::Writer::from_writer(Vec::new());
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(rows.as_slice());
    for (line, row) in reader.records().enumerate().filter(|(line, _)| first || *line > 0) {
        let row = row.expect("what was just written can be read");
        let name = if line == 0 { "scenario" } else { &plan.name };
        named.write_record(std::iter::once(name).chain(row.iter())).expect("memory takes everything");
    }
    let bytes = named.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("metrics are text")
}

fn json(plan: &Plan, finished: &Finished, findings: &Findings) -> serde_json::Value {
    let six = |value: Option<f64>| value.map(rounded);
    let stats = |stats: &Stats| {
        serde_json::json!({
            "n": stats.n, "mean": six(stats.mean), "std": six(stats.std),
            "ci95": stats.ci95.map(|(low, high)| [rounded(low), rounded(high)]),
            "min": six(stats.min), "p50": six(stats.p50), "p90": six(stats.p90), "p95": six(stats.p95),
            "p99": six(stats.p99), "p999": six(stats.p999), "max": six(stats.max),
        })
    };
    let jobs: Vec<_> = finished
        .summary
        .jobs()
        .iter()
        .map(|job| {
            serde_json::json!({
                "job": job.name, "trials": job.trials, "done": job.ended,
                "start_delay_s": stats(&job.start_delay_s), "rate_qps": stats(&job.rate_qps), "query_s": stats(&job.query_s),
            })
        })
        .collect();
    let metrics: serde_json::Map<String, serde_json::Value> = finished
        .summary
        .rows()
        .into_iter()
        .map(|row| {
            let value = serde_json::json!({
                "n": row.n, "mean": six(row.mean.0), "std": six(row.std.0),
                "ci95": [six(row.ci95_low.0), six(row.ci95_high.0)],
                "min": six(row.min.0), "p50": six(row.p50.0), "p90": six(row.p90.0), "p95": six(row.p95.0),
                "p99": six(row.p99.0), "p999": six(row.p999.0), "max": six(row.max.0),
            });
            (row.metric, value)
        })
        .collect();
    let violations: Vec<_> = findings
        .violations
        .iter()
        .map(|violation| {
            serde_json::json!({
                "invariant": violation.invariant.number(), "seed": violation.seed,
                "at_s": rounded(violation.at.as_secs()), "nodes": violation.names, "detail": violation.detail,
            })
        })
        .collect();
    serde_json::json!({
        "scenario": plan.name, "seed": plan.seed, "trials": plan.trials, "nodes": plan.nodes.len(),
        "policy": plan.config.scheduler.policy.name(), "folder": finished.folder,
        "jobs": jobs, "metrics": metrics,
        "queries_counted": findings.counted, "queries_lost": findings.lost, "queries_doubled": findings.doubled,
        "violations_found": findings.violations_found, "violations": violations,
        "unfinished": findings.unfinished.iter().map(|(seed, _)| seed).collect::<Vec<_>>(),
        "events": findings.events,
    })
}
