//! A comparison as files: compare.csv, settings.csv and a chart.

use serde::Serialize;

use super::{Comparison, Difference, Line, Setting, Values};
use crate::report::format::Number;

/// A row of compare.csv. A field is empty where it does not apply.
#[derive(Serialize)]
struct Row<'a> {
    group: &'static str,
    metric: &'a str,
    n_a: Option<usize>,
    n_b: Option<usize>,
    mean_a: Number,
    mean_b: Number,
    p50_a: Number,
    p50_b: Number,
    p95_a: Number,
    p95_b: Number,
    std_a: Number,
    std_b: Number,
    ci95_low_a: Number,
    ci95_high_a: Number,
    ci95_low_b: Number,
    ci95_high_b: Number,
    difference: Number,
    difference_low: Number,
    difference_high: Number,
    error_percent: Number,
    error_low_percent: Number,
    error_high_percent: Number,
    error_p50_percent: Number,
    error_p95_percent: Number,
    method: &'static str,
    verdict: &'static str,
}

impl<'a> Row<'a> {
    fn of(line: &'a Line) -> Row<'a> {
        let a = |value: fn(&Values) -> Option<f64>| Number(line.a.as_ref().and_then(value));
        let b = |value: fn(&Values) -> Option<f64>| Number(line.b.as_ref().and_then(value));
        let error = |value: fn(&Values) -> Option<f64>| {
            let (a, b) = (a(value).0, b(value).0);
            Number(a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| (b - a) / a.abs() * 100.0))
        };
        let difference = line.difference.as_ref();
        let interval = difference.and_then(|difference| difference.interval);
        let percent = difference.and_then(Difference::percent);
        let ends = percent.and_then(|(_, interval)| interval);
        Row {
            group: line.group.word(),
            metric: &line.metric,
            n_a: line.a.map(|values| values.n),
            n_b: line.b.map(|values| values.n),
            mean_a: a(|values| Some(values.mean)),
            mean_b: b(|values| Some(values.mean)),
            p50_a: a(|values| values.p50),
            p50_b: b(|values| values.p50),
            p95_a: a(|values| values.p95),
            p95_b: b(|values| values.p95),
            std_a: a(|values| values.std),
            std_b: b(|values| values.std),
            ci95_low_a: a(|values| values.ci95.map(|(low, _)| low)),
            ci95_high_a: a(|values| values.ci95.map(|(_, high)| high)),
            ci95_low_b: b(|values| values.ci95.map(|(low, _)| low)),
            ci95_high_b: b(|values| values.ci95.map(|(_, high)| high)),
            difference: Number(difference.map(|difference| difference.value)),
            difference_low: Number(interval.map(|(low, ..)| low)),
            difference_high: Number(interval.map(|(_, high, _)| high)),
            error_percent: Number(percent.map(|(error, _)| error)),
            error_low_percent: Number(ends.map(|(low, _)| low)),
            error_high_percent: Number(ends.map(|(_, high)| high)),
            error_p50_percent: error(|values| values.p50),
            error_p95_percent: error(|values| values.p95),
            method: interval.map_or("", |(_, _, method)| method.word()),
            verdict: line.verdict.words(),
        }
    }
}

impl Comparison {
    /// The lines as CSV, a row each, numbers with six decimals.
    pub fn csv(&self) -> String {
        table(self.lines.iter().map(Row::of))
    }

    /// The settings that differ as CSV: `setting`, `a`, `b`; empty where a side has no such key.
    pub fn settings_csv(&self) -> String {
        let head = [("setting", Some("a"), Some("b"))];
        let settings = self.settings.iter();
        let rows = settings.map(|Setting { path, a, b }| (path.as_str(), a.as_deref(), b.as_deref()));
        table(head.into_iter().chain(rows))
    }
}

fn table(rows: impl Iterator<Item = impl Serialize>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).expect("rows are flat, and memory takes everything");
    }
    let bytes = writer.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("what was read as text is text")
}
