//! What `idunno sim --sweep` shows at the end: the points, their main figures, and which differences are more than chance.

use std::fmt::Write as _;

use super::super::findings::Findings;
use super::super::screen;
use super::super::sim::Runs;
use super::super::text::{columns, count, duration, list, number, some, wrapped};
use super::super::{Exit, Format};
use super::settings;
use crate::check::Census;
use crate::report::{Compared, Comparison, Grid, Stats};
use crate::scenario::Plan;

/// More points than this are counted and not shown.
const POINTS_MAX: usize = 40;
/// More kinds of faults than this have no column.
const KINDS_MAX: usize = 3;

/// How a figure is written.
type Show = fn(f64) -> String;

/// A figure that has a column.
struct Column {
    metric: String,
    head: String,
    show: Show,
}

/// The results of one scenario.
pub(super) fn show(
    runs: &Runs,
    argument: &str,
    grid: &Grid,
    plans: &[Plan],
    compared: &Compared,
    findings: &[Findings],
) -> Exit {
    let mut exit = Exit::Fine;
    if !runs.quiet {
        let text = match runs.format {
            Format::Table => table(grid, plans, compared, findings),
            Format::Json => format!("{}\n", json(grid, plans, compared, findings)),
            Format::Csv => match std::fs::read_to_string(compared.folder.join("comparison.csv")) {
                Ok(text) => text,
                Err(cause) => {
                    screen::error(&anyhow::Error::new(cause).context("cannot read comparison.csv again"));
                    return Exit::Failed;
                }
            },
        };
        exit = screen::say(&text);
    }
    for (point, (plan, findings)) in plans.iter().zip(findings).enumerate() {
        for line in screen::complaints(argument, &settings(runs, grid, point), plan, findings) {
            screen::complain(&format!("point {point}: {line}"));
        }
    }
    exit
}

fn table(grid: &Grid, plans: &[Plan], compared: &Compared, findings: &[Findings]) -> String {
    let of = |metric: &str, point: usize| compared.compared.of(metric, point);
    let columns_shown = shown(compared);
    let mut parts = vec![heading(grid, &plans[0]), means(grid, &columns_shown, &of)];
    let pairs = compared.compared.rows().iter().map(|one| one.difference.n).max().unwrap_or(0);
    if grid.points() > 1 && pairs > 1 {
        parts.push(differences(grid, &columns_shown, &of));
    } else if grid.points() > 1 {
        parts.push("  One trial says nothing about chance; run more to compare the points.".to_owned());
    }
    parts.push(checks(findings));
    parts.push(format!("Results are in {}.", compared.folder.display()));
    parts.join("\n\n") + "\n\n"
}

fn heading(grid: &Grid, plan: &Plan) -> String {
    let last = plan.seed.wrapping_add(u64::from(plan.trials) - 1);
    let seeds = if plan.trials == 1 {
        format!("seed {}", plan.seed)
    } else {
        format!("seeds {} to {last}", plan.seed)
    };
    let points = some(grid.points() as u64, "point", "points");
    let trials = some(u64::from(plan.trials), "trial", "trials");
    let first = format!("{}: {points}, {trials} at each, {seeds}.", plan.name);
    let about = wrapped(&plan.about, "  ");
    if about.is_empty() { first } else { format!("{first}\n{about}") }
}

/// The figures that have a column: those that any point has.
fn shown(compared: &Compared) -> Vec<Column> {
    let share: Show = |share| format!("{:.1} %", share * 100.0);
    let has = |metric: &str| compared.compared.has(metric);
    let fixed: [(&str, &str, Show); 4] = [
        ("makespan_s", "makespan", duration),
        ("aggregate_qps", "queries/s", number),
        ("rate_gap", "gap", share),
        ("start_delay_s", "start delay", duration),
    ];
    let mut columns: Vec<Column> = fixed
        .into_iter()
        .filter(|(metric, ..)| has(metric))
        .map(|(metric, head, show)| Column { metric: metric.to_owned(), head: head.to_owned(), show })
        .collect();
    let kinds = compared.compared.kinds().into_iter().filter(|kind| has(&format!("recovery.{kind}.total_s")));
    columns.extend(kinds.take(KINDS_MAX).map(|kind| Column {
        metric: format!("recovery.{kind}.total_s"),
        head: format!("after {}", kind.replace('_', " ")),
        show: duration,
    }));
    columns.push(Column { metric: "wasted_attempts".to_owned(), head: "wasted".to_owned(), show: number });
    columns
}

/// A line per point: its number and values, and then its figures.
fn lines(
    grid: &Grid,
    head: &str,
    shown: &[Column],
    points: std::ops::Range<usize>,
    cell: &dyn Fn(&Column, usize) -> String,
) -> String {
    let first = std::iter::once(head.to_owned())
        .chain(grid.keys().iter().map(|swept| swept.key.clone()))
        .chain(shown.iter().map(|column| column.head.clone()));
    let mut rows: Vec<Vec<String>> = vec![first.collect()];
    let last = points.end.min(POINTS_MAX);
    for point in points.start..last {
        let values = grid.values(point).into_iter().map(str::to_owned);
        let cells = shown.iter().map(|column| cell(column, point));
        rows.push(std::iter::once(point.to_string()).chain(values).chain(cells).collect());
    }
    let mut text = columns(&rows);
    if points.end > last {
        let _ = write!(text, "\n  and {} more in comparison.csv", points.end - last);
    }
    text
}

fn means<'a>(grid: &Grid, shown: &[Column], of: &dyn Fn(&str, usize) -> Option<&'a Comparison>) -> String {
    let cell = |column: &Column, point: usize| {
        let mean = of(&column.metric, point).and_then(|one| one.stats.mean);
        mean.map_or_else(|| "-".to_owned(), column.show)
    };
    lines(grid, "Point", shown, 0..grid.points(), &cell)
}

fn differences<'a>(
    grid: &Grid,
    shown: &[Column],
    of: &dyn Fn(&str, usize) -> Option<&'a Comparison>,
) -> String {
    let cell = |column: &Column, point: usize| {
        let Some(one) = of(&column.metric, point) else { return "-".to_owned() };
        let Some(mean) = one.difference.mean else { return "-".to_owned() };
        let mark = if one.is_significant() { "*" } else { " " };
        format!("{}{mark}", signed(mean, column.show))
    };
    let text = lines(grid, "From point 0", shown, 1..grid.points(), &cell);
    let note = "Trials with the same seed are compared with each other. * marks a difference that chance hardly explains: its \
                95 % interval leaves out zero. Where nothing differs, one mark in twenty is to be expected all the same.";
    format!("{text}\n\n{}", wrapped(note, "  "))
}

/// A difference with its sign, unless what is shown of it is nothing.
fn signed(value: f64, show: Show) -> String {
    let shown = show(value.abs());
    let sign = match shown.contains(|c| matches!(c, '1'..='9')) {
        false => "",
        true if value < 0.0 => "−",
        true => "+",
    };
    format!("{sign}{shown}")
}

/// What all trials together were checked for.
fn checks(findings: &[Findings]) -> String {
    let sum = |of: fn(&Findings) -> u64| findings.iter().map(of).sum::<u64>();
    let census = |of: fn(&Census) -> u64| findings.iter().map(|one| of(&one.census)).sum::<u64>();
    let violations = sum(|one| one.violations_found);
    let broken = findings.iter().enumerate().filter(|(_, one)| one.violations_found > 0);
    let broken: Vec<String> = broken.map(|(point, _)| point.to_string()).take(20).collect();
    let verdict = if violations == 0 {
        "Invariants 1 to 12 held at every point".to_owned()
    } else {
        let points = if broken.len() == 1 { "point" } else { "points" };
        format!("{} found at {points} {}", some(violations, "violation", "violations"), list(&broken))
    };
    let began = census(|census| census.faults_began + census.faults_missed);
    let faults = if began == 0 {
        String::new()
    } else {
        let effective = count(census(|census| census.faults_effective));
        format!("\n{effective} of {} took effect.", some(began, "fault", "faults"))
    };
    format!(
        "{}: {} lost, {} counted twice.\n{verdict}, over {}.{faults}",
        some(sum(|one| one.counted), "query", "queries"),
        count(sum(|one| one.lost)),
        count(sum(|one| one.doubled)),
        some(census(|census| census.records), "record", "records")
    )
}

fn json(grid: &Grid, plans: &[Plan], compared: &Compared, findings: &[Findings]) -> serde_json::Value {
    let interval = |stats: &Stats| stats.ci95.map(|(low, high)| [low, high]);
    let point = |(point, findings): (usize, &Findings)| {
        let of_point = compared.compared.rows().iter().filter(|one| one.point == point);
        let metrics: serde_json::Map<String, serde_json::Value> = of_point
            .map(|one| {
                let difference = (point > 0).then(|| {
                    serde_json::json!({
                        "pairs": one.difference.n, "mean": one.difference.mean,
                        "ci95": interval(&one.difference), "significant": one.is_significant(),
                    })
                });
                let own = &one.stats;
                let value = serde_json::json!({
                    "n": own.n, "mean": own.mean, "ci95": interval(own), "difference": difference,
                });
                (one.metric.clone(), value)
            })
            .collect();
        let keys = grid.keys().iter().map(|swept| swept.key.as_str());
        let values: serde_json::Map<String, serde_json::Value> =
            keys.zip(grid.values(point)).map(|(key, value)| (key.to_owned(), value.into())).collect();
        serde_json::json!({
            "point": point, "values": values, "metrics": metrics,
            "violations_found": findings.violations_found,
            "unfinished": findings.unfinished.iter().map(|(seed, _)| seed).collect::<Vec<_>>(),
            "queries_counted": findings.counted, "queries_lost": findings.lost, "queries_doubled": findings.doubled,
        })
    };
    let points: Vec<_> = findings.iter().enumerate().map(point).collect();
    serde_json::json!({
        "scenario": plans[0].name, "seed": plans[0].seed, "trials": plans[0].trials,
        "folder": compared.folder, "points": points,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_unless_they_round_to_nothing() {
        assert_eq!(signed(0.142, duration), "+142 ms");
        assert_eq!(signed(-1.5, number), "−1.50");
        assert_eq!(signed(-0.001, number), "0.00");
    }
}
