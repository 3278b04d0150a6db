//! What `idunno sim` shows at the end: jobs, recovery, checks, where the files are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::findings::Findings;
use super::sim::Runs;
use super::text::{columns, count, duration, list, number, quoted, rounded, some, wrapped};
use super::{Exit, Format};
use crate::check::Invariant;
use crate::report::{Finished, Stats};
use crate::scenario::{FaultKind, Plan, Target};

/// More jobs than this are not shown one by one.
const JOBS_MAX: usize = 12;
/// More groups of faults than this are shown by kind alone.
const GROUPS_MAX: usize = 4;
/// The most trials that were given up of which it is said what was left to do.
const GIVEN_UP_SHOWN: usize = 3;
/// More violations of one invariant than this are counted and not shown: they tend to be alike.
const ALIKE_SHOWN: u64 = 3;

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
    parts.extend(groups(plan).iter().filter_map(|(label, faults)| recovery(label, faults, finished)));
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

/// The faults of a scenario by what they do and to whom: a label and their numbers, from 0.
fn groups(plan: &Plan) -> Vec<(String, Vec<u32>)> {
    let group = |label: &dyn Fn(usize) -> String| {
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        for position in 0..plan.faults.len() {
            let (label, fault) = (label(position), position as u32);
            match groups.iter_mut().find(|(known, _)| *known == label) {
                Some((_, faults)) => faults.push(fault),
                None => groups.push((label, vec![fault])),
            }
        }
        groups
    };
    let what = |position: usize| what(&plan.faults[position].kind);
    let whom = |position: usize| target(plan, &plan.faults[position].target);
    let fine = group(&|position| {
        let (event, place) = what(position);
        format!("the {event} {place} {}", whom(position))
    });
    if fine.len() <= GROUPS_MAX { fine } else { group(&|position| format!("each {}", what(position).0)) }
}

/// What a fault is, and the word between that and whom it hits.
fn what(kind: &FaultKind) -> (&'static str, &'static str) {
    match kind {
        FaultKind::Crash { wipe: false } => ("crash", "of"),
        FaultKind::Crash { wipe: true } => ("crash and wiped disk", "of"),
        FaultKind::Restart => ("restart", "of"),
        FaultKind::Leave => ("departure", "of"),
        FaultKind::Pause => ("pause", "of"),
        FaultKind::Isolate => ("isolation", "of"),
        FaultKind::Cut { .. } => ("cut", "around"),
        FaultKind::SlowLink(_) => ("slow link", "of"),
        FaultKind::Jam => ("jam of messages", "at"),
        FaultKind::Partial(_) => ("partial cut", "among"),
        FaultKind::Starve(_) => ("starvation", "of"),
        FaultKind::Skew(_) => ("skewed clock", "of"),
        FaultKind::Suspend => ("suspension", "of"),
        FaultKind::Loss(_) => ("loss of messages", "at"),
        FaultKind::Delay(_) => ("delay of messages", "at"),
        FaultKind::Duplicate(_) => ("doubling of messages", "at"),
        FaultKind::Reorder(_) => ("reordering of messages", "at"),
        FaultKind::Slow(_) => ("slowing", "of"),
        FaultKind::LoadFailure { .. } => ("failure to load", "on"),
        FaultKind::EngineDeath => ("death of the engine", "on"),
        FaultKind::Stuck => ("stuck query", "on"),
        FaultKind::SlowDisk(_) => ("slow disk", "of"),
        FaultKind::FullDisk => ("full disk", "of"),
        FaultKind::Corrupt => ("damaged disk", "of"),
        FaultKind::Rollback => ("return to an old disk", "of"),
        FaultKind::Rot => ("rotten chunk", "of"),
        FaultKind::BadOutput(_) => ("wrong answers", "of"),
        FaultKind::RepeatOutput => ("repeated answers", "of"),
    }
}

fn target(plan: &Plan, whom: &Target) -> String {
    match whom {
        Target::Node(machine) => plan.nodes[*machine as usize].name.to_string(),
        Target::Coordinator => "the coordinator".to_owned(),
        Target::Voter => "a voter".to_owned(),
        Target::BusiestWorker => "the busiest worker".to_owned(),
        Target::Worker => "a worker".to_owned(),
        Target::Spare => "a machine that can be spared".to_owned(),
        Target::Random(n) => some(u64::from(*n), "node at random", "nodes at random"),
        Target::Minority => "a minority".to_owned(),
        Target::All => "all nodes".to_owned(),
        Target::Each => "each node".to_owned(),
        Target::Concerned => "the node concerned".to_owned(),
        Target::Several(several) => list(&several.iter().map(|one| target(plan, one)).collect::<Vec<_>>()),
    }
}

const SPANS: [&str; 5] =
    ["detected", "new coordinator", "dispatching again", "first result", "back at its pace"];

fn recovery(label: &str, faults: &[u32], finished: &Finished) -> Option<String> {
    let stats = finished.summary.recovery(faults);
    let head = [format!("After {label}"), "n".into(), "p50".into(), "p95".into(), "max".into()];
    let mut rows: Vec<Vec<String>> = vec![head.to_vec()];
    for (name, stats) in SPANS.iter().zip(&stats).filter(|(_, stats)| stats.n > 0) {
        let time = |value| shown(value, duration);
        let n = count(stats.n as u64);
        rows.push(vec![format!("  {name}"), n, time(stats.p50), time(stats.p95), time(stats.max)]);
    }
    (rows.len() > 1).then(|| columns(&rows))
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
    let left_out = gaps.left_out();
    let left_out = if left_out.is_empty() {
        String::new()
    } else {
        "\n".to_owned() + &wrapped(&format!("Not checked: {}.", left_out.join("; ")), "")
    };
    format!("{}\n{alarms}{looked}{faults}{left_out}", counted(findings))
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

/// How a bug that was planted is said on the command line.
#[cfg(debug_assertions)]
fn planted(plan: &Plan) -> String {
    let mutant = crate::scenario::Mutant::ALL.into_iter().find(|mutant| plan.config.has(*mutant));
    mutant.map_or_else(String::new, |mutant| format!(" --mutant {}", mutant.name()))
}

/// Nothing is planted in release builds.
#[cfg(not(debug_assertions))]
fn planted(_: &Plan) -> String {
    String::new()
}

/// What went wrong, with the command that repeats it.
pub(super) fn complaints(
    argument: &str,
    settings: &[String],
    plan: &Plan,
    findings: &Findings,
) -> Vec<String> {
    let settings = settings.iter().fold(planted(plan), |text, set| text + " --set " + &quoted(set));
    let repeat = |seed: u64| {
        let (argument, first) = (quoted(argument), plan.seed);
        let trial = seed.wrapping_sub(first);
        if findings.gaps.any() {
            return "what happened cannot be repeated; history.jsonl has all of it".to_owned();
        }
        if findings.real {
            return format!(
                "try it again, which may come out otherwise: idunno drill {argument} --seed {seed} --trials 1 --out \
                 repeat{settings}\n  rehearse it: idunno sim {argument} --seed {seed} --trials 1 --out repeat{settings}"
            );
        }
        format!(
            "repeat it with: idunno sim {argument} --seed {seed} --trials 1 --out repeat{settings}\n  \
             follow it with: idunno sim {argument} --seed {first} --trace --trial {trial}{settings}"
        )
    };
    let mut lines = Vec::new();
    let mut shown: BTreeMap<Invariant, u64> = BTreeMap::new();
    for violation in &findings.violations {
        let shown = shown.entry(violation.invariant).or_default();
        if *shown == ALIKE_SHOWN {
            continue;
        }
        *shown += 1;
        let kind = match violation.kind() {
            crate::check::Kind::Safety => "safety",
            crate::check::Kind::Liveness => "liveness",
        };
        lines.push(format!("{}: {kind} broke at {violation}\n  {}", plan.name, repeat(violation.seed)));
    }
    for (invariant, found) in &findings.violations_of {
        let hidden = found - shown.get(invariant).copied().unwrap_or(0);
        if hidden > 0 {
            let more = some(hidden, "more violation", "more violations");
            lines.push(format!("{}: {more} of invariant {}.", plan.name, invariant.number()));
        }
    }
    for (seed, left) in findings.unfinished.iter().take(GIVEN_UP_SHOWN) {
        let left = list(left);
        lines.push(format!(
            "{}: the trial with seed {seed} was given up; still to do: {left}.\n  {}",
            plan.name,
            repeat(*seed)
        ));
    }
    let hidden = findings.unfinished.len().saturating_sub(GIVEN_UP_SHOWN) as u64;
    if hidden > 0 {
        let trials = some(hidden, "more trial was", "more trials were");
        lines.push(format!("{}: {trials} given up.", plan.name));
    }
    let missed = findings.census.faults_missed;
    if missed > 0 {
        lines.push(format!(
            "{}: {} could not be injected; membership.csv and history.jsonl say what the cluster was doing.",
            plan.name,
            some(missed, "fault", "faults")
        ));
    }
    if findings.all_missed() {
        lines.push(format!(
            "error: {}: none of its faults happened, so that the run shows nothing of what it is for.",
            plan.name
        ));
    }
    lines
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
