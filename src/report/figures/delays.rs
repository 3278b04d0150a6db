//! How long jobs waited for their first query to start, over all trials.

use super::super::figure::{Axis, Bar, Bars, Curve, Curves, Figure, Join, Panel, Scale};
use super::super::summary::{JobSamples, Summary};
use super::{ascending, scale, spread, trials};
use crate::scenario::Plan;

/// Jobs whose distributions are drawn; of more only the middle and the spread.
const CURVES_MAX: usize = 6;
/// Jobs that have a bar of their own; all others share the last one.
const BARS_MAX: usize = 40;

/// The figure; `None` when no job began.
pub(super) fn figure(plan: &Plan, summary: &Summary) -> Option<Figure> {
    let jobs: Vec<&JobSamples> = summary.samples().iter().filter(|job| !job.delays.is_empty()).collect();
    if jobs.is_empty() {
        return None;
    }
    let several = jobs.iter().any(|job| job.delays.len() > 1);
    let as_curves = several && jobs.len() <= CURVES_MAX;
    let what = "from submission to the start of the first query";
    let subtitle = match (several, as_curves) {
        (false, _) => format!("{}; {what}", trials(plan)),
        (true, true) => format!("{}; {what}; each curve steps up at every trial of its job", trials(plan)),
        (true, false) => {
            format!("{}; {what}; medians, whiskers span the middle 95 % of the trials", trials(plan))
        }
    };
    let panel = if as_curves { Panel::Curves(curves(&jobs)) } else { Panel::Bars(bars(&jobs)) };
    Some(Figure { title: format!("Start delay of jobs: {}", plan.name), subtitle, panel })
}

fn axis(values: impl Iterator<Item = f64>) -> Axis {
    Axis { label: "Start delay (s)".to_owned(), scale: scale(values), ..Axis::default() }
}

fn curves(jobs: &[&JobSamples]) -> Curves {
    let curve = |job: &&JobSamples| {
        let delays = ascending(&job.delays);
        let share = |count: usize| 100.0 * count as f64 / delays.len() as f64;
        let steps = delays.iter().zip(1..).map(|(delay, count)| (*delay, share(count)));
        let points = delays.first().map(|delay| (*delay, 0.0)).into_iter().chain(steps).collect();
        Curve { name: job.name.to_string(), join: Join::Steps, points, spread: Vec::new() }
    };
    let share = "Trials with at most this delay (%)".to_owned();
    let all = || jobs.iter().flat_map(|job| job.delays.iter().copied());
    let mut x = axis(all());
    // Upright lines at the very edge would be lost in the frame.
    if x.scale == Scale::Log {
        x.from = all().min_by(f64::total_cmp).map(|least| least * 0.8);
    }
    x.to = all().max_by(f64::total_cmp).filter(|most| *most > 0.0).map(|most| most * 1.05);
    Curves {
        x,
        y: Axis { label: share, from: Some(0.0), to: Some(100.0), ..Axis::default() },
        legend: "Job".to_owned(),
        curves: jobs.iter().map(curve).collect(),
        marks: Vec::new(),
    }
}

fn bars(jobs: &[&JobSamples]) -> Bars {
    let own = if jobs.len() > BARS_MAX { BARS_MAX - 1 } else { jobs.len() };
    let mut groups: Vec<String> = jobs[..own].iter().map(|job| job.name.to_string()).collect();
    let mut values: Vec<_> = jobs[..own].iter().map(|job| spread(&job.delays)).collect();
    if own < jobs.len() {
        let others: Vec<f64> = jobs[own..].iter().flat_map(|job| job.delays.iter().copied()).collect();
        groups.push(format!("{} other jobs", jobs.len() - own));
        values.push(spread(&others));
    }
    let axis = axis(values.iter().flatten().map(|estimate| estimate.value));
    let bar = Bar { name: "start delay".to_owned(), values };
    Bars { axis, groups, legend: String::new(), bars: vec![bar] }
}

#[cfg(test)]
mod tests {
    use super::super::super::example::plan;
    use super::super::super::tests::trial;
    use super::*;

    fn summary(trials: u32) -> Summary {
        let mut summary = Summary::default();
        (0..trials).for_each(|number| summary.add(&trial(number)));
        summary
    }

    #[test]
    fn few_jobs_have_a_curve_that_ends_at_all_trials() {
        let figure = figure(&plan(), &summary(4)).expect("jobs began");
        let Panel::Curves(curves) = &figure.panel else { panic!("{:?}", figure.panel) };
        let names: Vec<&str> = curves.curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(names, ["cats", "dogs"]);
        let points = &curves.curves[0].points;
        assert_eq!((points.len(), points[0].1, points[1].1, points[4].1), (5, 0.0, 25.0, 100.0));
        assert!((points[4].0 - 0.011).abs() < 1e-9);
    }

    #[test]
    fn a_single_trial_or_many_jobs_are_bars_and_the_last_ones_share_one() {
        let summary = summary(1);
        let figure = figure(&plan(), &summary).expect("jobs began");
        let Panel::Bars(few) = &figure.panel else { panic!("{:?}", figure.panel) };
        assert_eq!(few.groups, ["cats", "dogs"]);
        let jobs: Vec<&JobSamples> = (0..50).map(|_| &summary.samples()[0]).collect();
        let many = bars(&jobs);
        assert_eq!((many.groups.len(), many.bars[0].values.len()), (40, 40));
        assert_eq!(many.groups[39], "11 other jobs");
    }
}
