//! What a model took, load by load and query by query, for people to judge.

use std::fmt::Write as _;

use super::fit::Fitted;
use crate::cli::text::{columns, duration};
use crate::report::Stats;

/// What a model took, in seconds, sorted.
#[derive(Debug)]
pub(super) struct Times {
    /// On so many engines.
    pub(super) engines: u32,
    pub(super) loads: Vec<f64>,
    /// By inputs per query.
    pub(super) queries: Vec<(u32, Vec<f64>)>,
}

/// What stands above the table: where it was measured (`origin`) and what, in a line for each size, so that it can be judged what the fitted draws are worth.
pub(super) fn remarks(origin: &str, times: &Times) -> String {
    let mut text = format!("# Measured {origin}.\n");
    let mut line = |what: &str, sorted: &[f64]| {
        let stats = Stats::of(sorted);
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), duration);
        let _ = writeln!(
            text,
            "# {what}: n {}, mean {}, standard deviation {}, median {}, p95 {}",
            stats.n,
            shown(stats.mean),
            shown(stats.std),
            shown(stats.p50),
            shown(stats.p95)
        );
    };
    line("load", &times.loads);
    for (size, sorted) in &times.queries {
        line(&format!("batch {size}"), sorted);
    }
    text
}

/// The figures for people.
pub(super) fn figures(times: &Times, fitted: &Fitted) -> String {
    let head =
        ["", "n", "mean", "std", "least", "median", "p90", "most", "inputs/s", "line"].map(str::to_owned);
    let row = |what: String, sorted: &[f64], inputs: Option<u32>| {
        let stats = Stats::of(sorted);
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), duration);
        // All engines together.
        let rate =
            |inputs: u32| f64::from(inputs) * f64::from(times.engines) / stats.mean.unwrap_or(f64::NAN);
        let spread = [stats.mean, stats.std, stats.min, stats.p50, stats.p90, stats.max].map(shown);
        let mut cells = vec![what, stats.n.to_string()];
        cells.extend(spread);
        cells.push(inputs.map(|inputs| format!("{:.1}", rate(inputs))).unwrap_or_default());
        cells.push(inputs.map(|inputs| duration(fitted.line(f64::from(inputs)))).unwrap_or_default());
        cells
    };
    let mut rows = vec![head.to_vec(), row("load".to_owned(), &times.loads, None)];
    rows.extend(times.queries.iter().map(|(size, all)| row(format!("batch {size}"), all, Some(*size))));
    format!("{}\n", columns(&rows).trim_end())
}
