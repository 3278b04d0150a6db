//! The figure of query rates: how many queries of each job were counted per second, over a window that moves.

use super::Facts;
use crate::base::{Span, Time};
use crate::report::allocation::{Running, running};
use crate::report::figure::{Axis, Curve, Curves, Figure, Join, Panel};

/// Samples along the axis of time, arrivals and ends of jobs aside.
const SAMPLES_MAX: u64 = 1_000;
/// How many samples a second may have.
const PER_SECOND: [u64; 6] = [50, 20, 10, 5, 2, 1];
const SECOND: u64 = 1_000_000_000;

/// The query rate of each job, from its arrival to its end.
pub(super) fn figure(facts: &Facts<'_>) -> Figure {
    let window = facts.plan.config.scheduler.rate_window;
    let every = every(facts.source.end);
    let curve = |(id, mut job): (_, Running)| Curve {
        name: facts.source.name(id).to_string(),
        join: Join::Lines,
        points: points(&mut job, facts.source.end, window, every),
        spread: Vec::new(),
    };
    let curves = running(&facts.source).into_iter().map(curve).collect();
    Figure {
        title: format!("Query rate per job: {}", facts.plan.name),
        subtitle: facts
            .subtitle(&format!("rates over the last {} s, or since the job's arrival", window.as_secs())),
        panel: Panel::Curves(Curves {
            x: facts.time(),
            y: Axis { label: "Query rate (queries/s)".to_owned(), from: Some(0.0), ..Axis::default() },
            legend: "Job".to_owned(),
            curves,
            marks: facts.marks(),
        }),
    }
}

/// Often enough to show what lasts for a fraction of a second; full seconds are always among the samples of short trials.
fn every(end: Time) -> Span {
    let often = PER_SECOND.into_iter().find(|often| end.0.saturating_mul(*often) <= SAMPLES_MAX * SECOND);
    Span(often.map_or_else(|| SECOND * end.0.div_ceil(SECOND * SAMPLES_MAX), |often| SECOND / often))
}

/// The rate at the job's arrival, at each sample after that, and at its end or that of the trial.
fn points(job: &mut Running, end: Time, window: Span, every: Span) -> Vec<(f64, f64)> {
    let last = job.ended.min(end);
    let first = job.added.0 / every.0 + 1;
    let samples = (first..).map(|number| Time(number * every.0)).take_while(|at| *at < last);
    let moments = std::iter::once(job.added).chain(samples).chain([last]);
    moments.map(|at| (at.as_secs(), job.rate(at, window))).collect()
}
