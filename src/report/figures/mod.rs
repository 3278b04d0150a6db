//! The figures that results come with: each is built from what a trial gathered, in a file of its own.

pub(super) mod burden;
mod delays;
mod latency;
mod rates;
mod recovery;
mod timeline;
mod workers;

use super::figure::{Axis, Estimate, Figure, Mark, Scale};
use super::lives::Lives;
use super::queries::Source;
use super::recovery::{Hit, Hits};
use super::serving::Move;
use super::stats::nearest_rank;
use super::summary::Summary;
use crate::base::Time;
use crate::scenario::Plan;

/// Machines that a fault's mark names; of more it says how many.
const NAMED_MAX: usize = 4;

/// What the figures of a trial are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) source: Source<'a>,
    pub(super) moves: &'a [Move],
    pub(super) hits: &'a Hits,
    pub(super) lives: &'a Lives,
}

/// The figures, each with the name of its file without the ending.
pub(super) fn figures(facts: &Facts<'_>) -> Vec<(&'static str, Figure)> {
    vec![
        ("workers", workers::figure(facts)),
        ("rates", rates::figure(facts)),
        ("timeline", timeline::figure(facts)),
    ]
}

impl Facts<'_> {
    /// When the trial ended, in seconds; never zero.
    fn end_s(&self) -> f64 {
        self.source.end.as_secs().max(1e-3)
    }

    /// The axis of time, from the beginning of the trial to its end.
    fn time(&self) -> Axis {
        Axis {
            label: "Time since the beginning of the trial (s)".to_owned(),
            from: Some(0.0),
            to: Some(self.end_s()),
            ..Axis::default()
        }
    }

    /// The faults that hit somebody.
    fn marks(&self) -> Vec<Mark> {
        self.hits.0.iter().filter(|hit| !hit.machines.is_empty()).map(|hit| self.mark(hit)).collect()
    }

    fn mark(&self, hit: &Hit) -> Mark {
        let whom = match hit.machines.as_slice() {
            few if few.len() <= NAMED_MAX => {
                let names = few.iter().map(|&machine| self.source.cluster.machine_name(machine).to_string());
                names.collect::<Vec<_>>().join(", ")
            }
            many => format!("{} nodes", many.len()),
        };
        let lasted = hit.ended.filter(|ended| *ended > hit.at);
        Mark {
            from: hit.at.as_secs(),
            to: lasted.map(Time::as_secs),
            label: format!("{} {whom}", hit.kind.replace('_', " ")),
        }
    }

    /// Which trial it is, what else is to be said, and how faults are marked, if there are any.
    fn subtitle(&self, what: &str) -> String {
        let trial = self.source.trial;
        let marks = self.marks();
        let faults = match (marks.is_empty(), marks.iter().any(|mark| mark.to.is_some())) {
            (true, _) => "",
            (false, false) => "; dashed lines are faults",
            (false, true) => "; dashed lines are faults, shaded while they last",
        };
        format!("Trial {trial}; {what}{faults}")
    }
}

/// The figures about all trials, each with the name of its file without the ending.
pub(super) fn of_all_trials(plan: &Plan, summary: &Summary) -> Vec<(&'static str, Figure)> {
    let figures = [
        ("recovery", recovery::figure(plan, summary)),
        ("recovery_by_load", burden::figure(plan, summary)),
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
