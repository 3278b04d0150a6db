//! `idunno compare`: two results side by side, as a table for people, CSV, JSON lines, and a chart.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::text::{columns, count, duration, list, rounded, some, wrapped};
use super::{Exit, Format, screen};
use crate::report::compare::{Comparison, Difference, Group, Line, Method, Origin, Values, Verdict};
use crate::report::{Width, png, svg};

/// What the help shows.
pub(super) const EXAMPLES: &str = "\
Examples:
  idunno compare results/coord_fail/sim results/other/coord_fail/sim
      Two runs: what was set differently, and each metric with its error and spread.
  idunno compare results/coord_fail results/other --out compared
      The same, written down with a chart; a folder stands for the only results in it.
  idunno compare results/coord_fail results/other --format csv > errors.csv
      A row per metric, for a spreadsheet.

Exit codes: 0 compared, whatever came out; 1 a file could not be written; 2 usage, or results
that are missing or damaged.";

/// More jobs than this are not shown in the table.
const JOBS_MAX: usize = 12;
/// More settings than this are not shown in the table.
const SETTINGS_MAX: usize = 40;
/// Longer settings are cut in the table.
const SETTING_CHARS_MAX: usize = 36;

/// What `idunno compare` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Compare {
    /// The results to compare with: their folder, such as `results/coord_fail/sim`, or one that holds no others.
    a: PathBuf,
    /// The results to be compared with A, given likewise; an error is how far B is from A, in per cent of A.
    b: PathBuf,
    /// How to show the comparison.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
    /// Also write compare.csv, settings.csv and the chart compare.svg and compare.png into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How wide the chart is on paper: 85mm is a column of a paper, 180mm a page; cm and in do as well.
    #[arg(long, value_name = "WIDTH", default_value = "180mm", requires = "out")]
    width: Width,
    /// Show nothing but errors; for use with --out.
    #[arg(long, short)]
    quiet: bool,
}

/// Does what `idunno compare` is told.
pub(super) fn run(compare: &Compare) -> Exit {
    let comparison = match Comparison::of(&compare.a, &compare.b) {
        Ok(comparison) => comparison,
        Err(error) => {
            screen::error(&anyhow::Error::new(error));
            return Exit::Usage;
        }
    };
    let mut exit = Exit::Fine;
    if !compare.quiet {
        exit = screen::say(&match compare.format {
            Format::Table => table(&comparison),
            Format::Json => lines(&comparison),
            Format::Csv => comparison.csv(),
        });
    }
    if let Some(out) = &compare.out {
        match write(&comparison, out, compare.width) {
            Ok(files) if !compare.quiet && compare.format == Format::Table => {
                let said = screen::say(&format!("{} are in {}.\n", list(&files), out.display()));
                exit = exit.graver(said);
            }
            Ok(_) => {}
            Err(error) => {
                screen::error(&error);
                exit = exit.graver(Exit::Failed);
            }
        }
    }
    exit
}

/// Writes the files of the comparison and names them.
fn write(comparison: &Comparison, out: &Path, width: Width) -> Result<Vec<String>> {
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("compare.csv", comparison.csv().into_bytes()),
        ("settings.csv", comparison.settings_csv().into_bytes()),
    ];
    if let Some(figure) = comparison.figure() {
        let drawn = svg(&figure, width)?;
        let image = png(&drawn)?;
        files.extend([("compare.svg", drawn.into_bytes()), ("compare.png", image)]);
    }
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    for (name, bytes) in &files {
        let path = out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(files.iter().map(|(name, _)| (*name).to_owned()).collect())
}

fn table(comparison: &Comparison) -> String {
    let mut parts = vec![origins(comparison)];
    if comparison.is_equal() {
        return equal(comparison);
    }
    parts.push(settings(comparison));
    parts.push(columns(&rows(comparison)));
    parts.push(closing(comparison));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n") + "\n\n"
}

/// The one sentence that says it all.
fn equal(comparison: &Comparison) -> String {
    let Origin { scenario, trials, .. } = &comparison.a;
    let sentence = format!(
        "Everything is equal: {} of {scenario} on either side, the same settings, and {} without a difference.",
        some(u64::from(*trials), "trial", "trials"),
        some(comparison.lines.len() as u64, "metric", "metrics"),
    );
    wrapped(&sentence, "") + "\n"
}

fn origins(comparison: &Comparison) -> String {
    let side = |letter: &str, origin: &Origin| {
        let Origin { folder, scenario, seed, trials } = origin;
        let seeds = match trials {
            1 => format!("seed {seed}"),
            _ => format!("seeds {seed} to {}", seed.saturating_add(u64::from(*trials) - 1)),
        };
        let trials = some(u64::from(*trials), "trial", "trials");
        format!("{letter}: {}: {scenario}, {trials}, {seeds}.", folder.display())
    };
    format!("{}\n{}", side("A", &comparison.a), side("B", &comparison.b))
}

fn settings(comparison: &Comparison) -> String {
    if comparison.settings.is_empty() {
        return "The settings are the same.".to_owned();
    }
    let value = |value: &Option<String>| match value {
        None => "-".to_owned(),
        Some(text) if text.chars().count() > SETTING_CHARS_MAX => {
            format!("{}…", text.chars().take(SETTING_CHARS_MAX).collect::<String>())
        }
        Some(text) => text.clone(),
    };
    let mut rows = vec![["Settings that differ".to_owned(), "A".to_owned(), "B".to_owned()].to_vec()];
    for setting in comparison.settings.iter().take(SETTINGS_MAX) {
        rows.push(vec![format!("  {}", setting.path), value(&setting.a), value(&setting.b)]);
    }
    let mut text = columns(&rows);
    if let more @ 1.. = comparison.settings.len().saturating_sub(SETTINGS_MAX) {
        let _ = write!(text, "\n    and {} more in settings.csv (--out DIR)", count(more as u64));
    }
    text
}

/// The table of the metrics: two rows for each, A above B, or one where nothing tells them apart.
fn rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut last: Option<String> = None;
    let mut jobs = 0;
    for line in &comparison.lines {
        let heading = match &line.group {
            Group::Recovery(kind) => format!("After a fault: {}", kind.replace('_', " ")),
            Group::Job(_) => "Jobs".to_owned(),
            Group::Cluster => "Cluster".to_owned(),
        };
        if last.as_ref() != Some(&heading) {
            if last.is_some() {
                rows.push(Vec::new());
            }
            let head = ["", "n", "mean ± 95 %", "p50", "p95", "std", "B against A"];
            rows.push([heading.clone()].into_iter().chain(head.map(str::to_owned)).collect());
            last = Some(heading);
        }
        let name = match &line.group {
            Group::Job(job) if line.short() == "rate_qps" => {
                jobs += 1;
                format!("  {job}: rate_qps")
            }
            Group::Job(job) => format!("  {job}: {}", line.short()),
            Group::Recovery(_) | Group::Cluster => format!("  {}", line.short()),
        };
        if jobs <= JOBS_MAX || !matches!(line.group, Group::Job(_)) {
            rows.extend(pair(name, line));
        }
    }
    let widest = rows.iter().filter_map(|row| row.get(7)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    for cell in rows.iter_mut().filter_map(|row| row.get_mut(7)) {
        *cell = format!("{cell:<widest$}");
    }
    rows
}

fn pair(name: String, line: &Line) -> Vec<Vec<String>> {
    let side = |name: String, letter: &str, values: &Values, last: String| {
        let show = |value: f64| shown(&line.metric, value);
        let or = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), show);
        let half = values.ci95.map(|(low, high)| (high - low) / 2.0).filter(|half| *half > 0.0);
        let half = half.map(|half| format!(" ± {}", beside(&line.metric, values.mean, half)));
        let mean = format!("{}{}", show(values.mean), half.unwrap_or_default());
        let n = count(values.n as u64);
        vec![name, letter.to_owned(), n, mean, or(values.p50), or(values.p95), or(values.std), last]
    };
    let words = line.verdict.words().to_owned();
    match (&line.a, &line.b, &line.difference) {
        (Some(a), Some(_), _) if line.verdict == Verdict::Equal => vec![side(name, "A = B", a, words)],
        (Some(a), Some(b), Some(difference)) => {
            vec![side(name, "A", a, error(line, difference)), side(String::new(), "B", b, words)]
        }
        (Some(a), ..) => vec![side(name, "A", a, words)],
        (None, Some(b), _) => vec![side(name, "B", b, words)],
        (None, None, _) => Vec::new(),
    }
}

/// `+94.1 % (+89.2 to +99.0)`, or the difference itself where A is zero.
fn error(line: &Line, difference: &Difference) -> String {
    let unit = if difference.base.is_some() { " %" } else { "" };
    let (value, interval) = if let Some((error, interval)) = difference.percent() {
        (per_cent(error), interval.map(|(low, high)| (per_cent(low), per_cent(high))))
    } else {
        let signed = |value: f64| {
            let sign = if value > 0.0 { "+" } else { "" };
            format!("{sign}{}", shown(&line.metric, value))
        };
        (signed(difference.value), difference.interval.map(|(low, high, _)| (signed(low), signed(high))))
    };
    interval
        .map_or_else(|| format!("{value}{unit}"), |(low, high)| format!("{value}{unit} ({low} to {high})"))
}

fn per_cent(value: f64) -> String {
    let text = if value.abs() < 1_000.0 { format!("{value:+.1}") } else { format!("{value:+.0}") };
    // What rounds to nothing has no direction.
    if text == "+0.0" || text == "-0.0" { "0.0".to_owned() } else { text }
}

/// A value of a metric, with its unit where it is a time.
fn shown(metric: &str, value: f64) -> String {
    beside(metric, value, value)
}

/// A value of a metric, with as many decimals as `other` needs.
fn beside(metric: &str, other: f64, value: f64) -> String {
    // A rate is no length of time, though it ends like one.
    if metric.ends_with("_s") && !metric.ends_with("_per_node_s") {
        return duration(value);
    }
    let magnitude = other.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if magnitude < 1.0 {
        format!("{value:.4}")
    } else if magnitude < 1000.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// How to read it, and what came out of it.
fn closing(comparison: &Comparison) -> String {
    let both = comparison.lines.iter().filter(|line| line.difference.is_some());
    let judged = comparison.lines.len()
        - [Verdict::OnlyA, Verdict::OnlyB, Verdict::NoSpread]
            .map(|verdict| comparison.count(verdict))
            .iter()
            .sum::<usize>();
    let with = |method: Method| {
        both.clone().filter(|line| matches!(line.difference, Some(Difference { interval: Some((_, _, m)), .. }) if m == method)).count()
    };
    let (paired, welch) = (with(Method::Paired), with(Method::Welch));
    let differ = comparison.count(Verdict::Differs);
    let judged = some(judged as u64, "metric", "metrics");
    let found = format!("{} of {judged} differ beyond the spread between trials.", count(differ as u64));
    let made = match (paired, welch) {
        (0, 0) => {
            return wrapped("A single trial has no spread to judge a difference by: run more trials.", "");
        }
        (_, 0) => "All intervals are paired, trial by trial, because the seeds agree.".to_owned(),
        (0, _) => "All intervals are Welch's, from the spreads of A and B.".to_owned(),
        (..) => format!(
            "{} paired, trial by trial, because the seeds agree; {} that only summary.csv has, by Welch's t.",
            some(paired as u64, "interval is", "intervals are"),
            some(welch as u64, "is that of a metric", "are those of metrics"),
        ),
    };
    let how = "In brackets stands the 95 % interval of the difference: of results that are in truth alike, about one \
               metric in twenty still differs.";
    wrapped(&format!("{found} {how} {made}"), "")
}

/// The comparison as JSON: an object for the two sides, one for each setting that differs, one for each metric.
fn lines(comparison: &Comparison) -> String {
    let origin = |origin: &Origin| {
        json!({
            "folder": origin.folder, "scenario": origin.scenario, "seed": origin.seed, "trials": origin.trials,
        })
    };
    let mut objects = vec![json!({
        "kind": "comparison", "a": origin(&comparison.a), "b": origin(&comparison.b),
        "paired": comparison.paired, "equal": comparison.is_equal(),
    })];
    let settings = comparison.settings.iter();
    objects.extend(settings.map(|s| json!({ "kind": "setting", "setting": s.path, "a": s.a, "b": s.b })));
    objects.extend(comparison.lines.iter().map(object));
    objects.iter().fold(String::new(), |text, object| text + &object.to_string() + "\n")
}

fn object(line: &Line) -> Value {
    let values = |values: &Option<Values>| {
        values.map(|values| {
            json!({
                "n": values.n, "trials": values.trials, "mean": rounded(values.mean),
                "p50": values.p50.map(rounded), "p95": values.p95.map(rounded), "std": values.std.map(rounded),
                "ci95": values.ci95.map(|(low, high)| [rounded(low), rounded(high)]),
            })
        })
    };
    let ends = |(low, high): (f64, f64)| [rounded(low), rounded(high)];
    let difference = line.difference;
    let percent = difference.and_then(|difference| difference.percent());
    let interval = difference.and_then(|difference| difference.interval);
    let (kind, job) = match &line.group {
        Group::Recovery(kind) => (Some(kind), None),
        Group::Job(job) => (None, Some(job)),
        Group::Cluster => (None, None),
    };
    json!({
        "kind": "metric", "group": line.group.word(), "fault": kind, "job": job, "metric": line.metric,
        "a": values(&line.a), "b": values(&line.b),
        "difference": difference.map(|difference| rounded(difference.value)),
        "difference_ci95": interval.map(|(low, high, _)| ends((low, high))),
        "error_percent": percent.map(|(error, _)| rounded(error)),
        "error_percent_ci95": percent.and_then(|(_, interval)| interval).map(ends),
        "method": interval.map(|(_, _, method)| method.word()),
        "verdict": line.verdict.words(),
    })
}
