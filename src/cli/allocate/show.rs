//! How the answers of `idunno allocate` are written: for people, as CSV, as JSON.

use std::fmt::Write as _;

use super::answer::{Answer, Division, Outcome, Question, Totals};
use crate::cli::text::{columns, count, list, number, some, wrapped};

/// More jobs than this are counted and not shown in a table.
const JOBS_MAX: usize = 40;
/// The widest line of a table that compares policies.
const WIDTH: usize = 100;

/// For people: one policy with all that is known of each job, several side by side.
pub(super) fn table(question: &Question, answers: &[Answer]) -> String {
    let mut parts = vec![heading(question)];
    let divisions: Vec<(&str, &Division)> = answers
        .iter()
        .filter_map(|answer| match &answer.outcome {
            Outcome::Divided(division) => Some((answer.policy, division)),
            Outcome::Unable(_) => None,
        })
        .collect();
    match divisions.as_slice() {
        [] => {}
        [(policy, division)] => parts.push(block(question, policy, division)),
        several => {
            parts.push(summary(several));
            parts.extend(side_by_side(question, several));
        }
    }
    let unable = answers.iter().filter_map(|answer| match &answer.outcome {
        Outcome::Divided(_) => None,
        Outcome::Unable(why) => Some(wrapped(&format!("{}: {why}.", answer.policy), "  ")),
    });
    let unable: Vec<String> = unable.collect();
    if !unable.is_empty() {
        parts.push(format!("Without an answer:\n{}", unable.join("\n")));
    }
    parts.join("\n\n") + "\n"
}

fn heading(question: &Question) -> String {
    let open = question.rows.iter().filter(|row| row.remaining > 0).count();
    let ended = question.rows.len() - open;
    let mut text = format!(
        "{} for {}",
        some(u64::from(question.workers), "worker", "workers"),
        some(open as u64, "job", "jobs")
    );
    if ended > 0 {
        let others = some(ended as u64, "has", "have");
        let _ = write!(text, " with something left to do; {others} ended");
    }
    text + "."
}

/// One policy: a line per job, and the totals below.
fn block(question: &Question, policy: &str, division: &Division) -> String {
    let head = [policy, "workers", "share", "queries/s"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    for (job, (workers, rate)) in question.rows.iter().zip(&division.jobs).take(JOBS_MAX) {
        let share = f64::from(*workers) / f64::from(question.workers);
        let rate = rate.map_or_else(|| "-".to_owned(), number);
        let ended = job.remaining == 0;
        rows.push(vec![
            shortened(&job.name),
            if ended { "ended".to_owned() } else { count(u64::from(*workers)) },
            if ended { String::new() } else { format!("{:.1} %", share * 100.0) },
            rate,
        ]);
    }
    let mut text = columns(&rows);
    text += &hidden(question);
    text + "\n\n" + &sentences(&division.totals)
}

fn sentences(totals: &Totals) -> String {
    let gap = match totals.relative_gap {
        Some(relative) => {
            format!("Gap {} queries/s ({} of the highest rate)", fine(totals.gap), percent(relative))
        }
        None => "No job gets anything done".to_owned(),
    };
    let jain = totals.jain.map_or_else(String::new, |jain| format!("; Jain's index {jain:.4}"));
    let mut lines = vec![
        format!("  {gap}{jain}."),
        format!(
            "  Together {} queries/s over the jobs' lives, {} from now on.",
            number(totals.aggregate),
            number(totals.instantaneous)
        ),
    ];
    let mut last = vec![some(totals.loads, "model load", "model loads")];
    if totals.idle > 0 {
        last.push(some(u64::from(totals.idle), "idle worker", "idle workers"));
    }
    if totals.starved > 0 {
        last.push(some(totals.starved as u64, "job without a worker", "jobs without a worker"));
    }
    lines.push(format!("  {}.", list(&last)));
    lines.join("\n")
}

/// A line per policy.
fn summary(divisions: &[(&str, &Division)]) -> String {
    let head = ["Policy", "gap", "relative", "together", "from now", "Jain", "loads", "idle", "starved"];
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    for (policy, Division { totals, .. }) in divisions {
        let shown = |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
        rows.push(vec![
            (*policy).to_owned(),
            fine(totals.gap),
            shown(totals.relative_gap, percent),
            number(totals.aggregate),
            number(totals.instantaneous),
            shown(totals.jain, |jain| format!("{jain:.4}")),
            count(totals.loads),
            count(u64::from(totals.idle)),
            count(totals.starved as u64),
        ]);
    }
    columns(&rows)
        + "\n  gap, together: lifetime rates in queries/s; from now: what the workers will answer per second"
}

/// The workers of each job, a column per policy, in as many tables as the width asks for.
fn side_by_side(question: &Question, divisions: &[(&str, &Division)]) -> Vec<String> {
    let names: Vec<String> = question.rows.iter().take(JOBS_MAX).map(|row| shortened(&row.name)).collect();
    let first = names.iter().map(|name| name.chars().count()).chain([7]).max().unwrap_or(7);
    let mut tables = Vec::new();
    let mut rest = divisions;
    while !rest.is_empty() {
        let mut width = first + 2;
        let fits = |(policy, division): &&(&str, &Division)| {
            let most = division.jobs.iter().map(|(n, _)| count(u64::from(*n)).len()).max().unwrap_or(0);
            width += 2 + policy.len().max(most);
            width <= WIDTH
        };
        let taken = rest.iter().take_while(fits).count().max(1);
        let (some, later) = rest.split_at(taken);
        rest = later;
        let mut rows: Vec<Vec<String>> = vec![
            std::iter::once("Workers")
                .chain(some.iter().map(|(policy, _)| *policy))
                .map(str::to_owned)
                .collect(),
        ];
        for (position, name) in names.iter().enumerate() {
            let workers = some.iter().map(|(_, division)| count(u64::from(division.jobs[position].0)));
            rows.push(std::iter::once(name.clone()).chain(workers).collect());
        }
        tables.push(columns(&rows) + &hidden(question));
    }
    tables
}

fn hidden(question: &Question) -> String {
    match question.rows.len().saturating_sub(JOBS_MAX) {
        0 => String::new(),
        more => format!("\n  and {} more; --format csv shows all", count(more as u64)),
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= 32 { name.to_owned() } else { name.chars().take(31).chain(['…']).collect() }
}

/// A number with three digits that count, also when it is small.
fn fine(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() < 0.000_01 {
        format!("{value:.1e}")
    } else if value.abs() < 0.1 {
        format!("{value:.5}")
    } else {
        number(value)
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The rows `policy,job,workers,rate_qps`, with the totals of each policy on a line that begins with `#`.
pub(super) fn csv(question: &Question, answers: &[Answer]) -> String {
    let mut text = String::from("policy,job,workers,rate_qps\n");
    for Answer { policy, outcome } in answers {
        match outcome {
            Outcome::Divided(division) => {
                let mut writer = ::csv::Writer::from_writer(Vec::new());
                for (row, (workers, rate)) in question.rows.iter().zip(&division.jobs) {
                    let rate = rate.map_or_else(String::new, decimal);
                    let record = [*policy, &row.name, &workers.to_string(), &rate];
                    writer.write_record(record).expect("memory takes everything");
                }
                let bytes = writer.into_inner().expect("memory takes everything");
                text += std::str::from_utf8(&bytes).expect("names are text");
                text += &totals_line(policy, &division.totals);
            }
            Outcome::Unable(why) => {
                let _ = writeln!(text, "# policy={policy} has no answer: {why}");
            }
        }
    }
    text
}

fn totals_line(policy: &str, totals: &Totals) -> String {
    let optional = |value: Option<f64>| value.map_or_else(String::new, decimal);
    format!(
        "# policy={policy} gap_qps={} relative_gap={} aggregate_qps={} instantaneous_qps={} jain={} loads={} idle={} starved={}\n",
        decimal(totals.gap),
        optional(totals.relative_gap),
        decimal(totals.aggregate),
        decimal(totals.instantaneous),
        optional(totals.jain),
        totals.loads,
        totals.idle,
        totals.starved
    )
}

fn decimal(value: f64) -> String {
    format!("{value:.6}")
}

/// One JSON object per policy and line; numbers with all their digits.
pub(super) fn json(question: &Question, answers: &[Answer]) -> String {
    let line = |Answer { policy, outcome }: &Answer| match outcome {
        Outcome::Unable(why) => serde_json::json!({ "policy": policy, "no_answer": why }),
        Outcome::Divided(division) => {
            let job = |(row, (workers, rate)): (&super::jobs::Row, &(u32, Option<f64>))| serde_json::json!({ "job": row.name, "workers": workers, "rate_qps": rate });
            let jobs: Vec<_> = question.rows.iter().zip(&division.jobs).map(job).collect();
            let totals = &division.totals;
            serde_json::json!({
                "policy": policy, "workers": question.workers, "jobs": jobs,
                "gap_qps": totals.gap, "relative_gap": totals.relative_gap, "aggregate_qps": totals.aggregate,
                "instantaneous_qps": totals.instantaneous, "jain": totals.jain, "loads": totals.loads,
                "idle": totals.idle, "starved": totals.starved,
            })
        }
    };
    answers.iter().map(|answer| line(answer).to_string() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_gaps_keep_their_digits() {
        assert_eq!(fine(0.0), "0");
        assert_eq!(fine(0.000_001_2), "1.2e-6");
        assert_eq!(fine(0.012_34), "0.01234");
        assert_eq!(fine(1.5), "1.50");
    }
}
