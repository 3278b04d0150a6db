//! The figures that results come with, each in a file of its own.

mod delays;
mod latency;
mod recovery;

use super::figure::{Estimate, Figure, Scale};
use super::stats::nearest_rank;
use super::summary::Summary;
use crate::scenario::Plan;

/// The figures about all trials, each with the name of its file without the ending.
pub(super) fn of_all_trials(plan: &Plan, summary: &Summary) -> Vec<(&'static str, Figure)> {
    let figures = [
        ("recovery", recovery::figure(plan, summary)),
        ("start_delay", delays::figure(plan, summary)),
        ("latency", latency::figure(plan, summary)),
    ];
    figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
}

/// How many trials were run, in words.
fn trials(plan: &Plan) -> String {
    match plan.trials {
        1 => "1 trial".to_owned(),
        several => format!("{several} trials"),
    }
}

fn ascending(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The median of the samples, and the middle 95 % of them.
fn spread(samples: &[f64]) -> Option<Estimate> {
    let sorted = ascending(samples);
    let at = |per_mille| nearest_rank(&sorted, per_mille);
    (!sorted.is_empty()).then(|| Estimate { value: at(500), low: at(25), high: at(975) })
}

/// Logarithmic where values lie so far apart that the small ones could not be seen beside the large ones.
fn scale(values: impl Iterator<Item = f64>) -> Scale {
    const APART: f64 = 30.0;
    let bounds = values.fold(None, |bounds: Option<(f64, f64)>, value| {
        let (low, high) = bounds.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    match bounds {
        Some((low, high)) if low > 0.0 && high > APART * low => Scale::Log,
        _ => Scale::Linear,
    }
}
