//! How long queries took, from the middle of the distribution far into its tail.

use super::super::figure::{Axis, Curve, Curves, Figure, Join, Panel, Scale};
use super::super::stats::{P99_SAMPLES_MIN, nearest_rank};
use super::super::summary::{JobSamples, Summary};
use super::{ascending, trials};
use crate::scenario::Plan;

/// Jobs of which both the latency and the time that queries ran are drawn.
const PAIRS_MAX: usize = 3;
/// Jobs of which the latency alone is drawn; of more jobs, all are drawn as one.
const CURVES_MAX: usize = 7;
/// Points of a curve.
const POINTS_MAX: i32 = 400;
/// The percentiles that are marked, per mille.
const MARKED: [usize; 3] = [500, 900, 990];

/// The figure; `None` when no query was counted.
pub(super) fn figure(plan: &Plan, summary: &Summary) -> Option<Figure> {
    let jobs: Vec<&JobSamples> = summary.samples().iter().filter(|job| !job.latencies.is_empty()).collect();
    if jobs.is_empty() {
        return None;
    }
    let named = |job: &JobSamples, what: &str| format!("{}, {what}", job.name);
    let mut samples: Vec<(String, Vec<f64>)> = Vec::new();
    let what = if jobs.len() <= PAIRS_MAX {
        for job in &jobs {
            samples.push((named(job, "in all"), ascending(&job.latencies)));
            samples.push((named(job, "running"), ascending(&job.times)));
        }
        "in all: from first dispatch to commit; running: on the engine"
    } else if jobs.len() <= CURVES_MAX {
        samples.extend(jobs.iter().map(|job| (job.name.to_string(), ascending(&job.latencies))));
        "from first dispatch to commit"
    } else {
        let all = |of: fn(&JobSamples) -> &[f64]| {
            ascending(&jobs.iter().flat_map(|job| of(job).iter().copied()).collect::<Vec<_>>())
        };
        samples.push(("in all".to_owned(), all(|job| &job.latencies)));
        samples.push(("running".to_owned(), all(|job| &job.times)));
        "in all: from first dispatch to commit; running: on the engine"
    };
    // Queries whose model could not be loaded anywhere are counted, as failed, and never ran.
    samples.retain(|(_, sorted)| !sorted.is_empty());
    let mut curves: Vec<Curve> = samples.iter().map(|(name, sorted)| tail(name, sorted)).collect();
    curves.push(marked(&samples));
    let pooled = if jobs.len() > CURVES_MAX { format!(" of {} jobs", jobs.len()) } else { String::new() };
    let share = "Queries that took as long or longer (%)".to_owned();
    Some(Figure {
        title: format!("Latency of queries: {}", plan.name),
        subtitle: format!("{}, all queries{pooled}; {what}", trials(plan)),
        panel: Panel::Curves(Curves {
            x: Axis { label: "Time (s)".to_owned(), scale: Scale::Log, ..Axis::default() },
            y: Axis { label: share, scale: Scale::Log, from: None, to: Some(100.0) },
            legend: if jobs.len() > CURVES_MAX { "Time" } else { "Job" }.to_owned(),
            curves,
            marks: Vec::new(),
        }),
    })
}

/// The share of samples that are not less, for samples that are spread evenly over that share's logarithm. There is at least one.
fn tail(name: &str, sorted: &[f64]) -> Curve {
    let count = sorted.len();
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut before = usize::MAX;
    for point in 0..=POINTS_MAX {
        let part = 1.0 - f64::from(point) / f64::from(POINTS_MAX);
        let left = (libm::pow(count as f64, part).round() as usize).clamp(1, count);
        if left != before {
            points.push((sorted[count - left], 100.0 * left as f64 / count as f64));
            before = left;
        }
    }
    Curve { name: name.to_owned(), join: Join::Lines, points, spread: Vec::new() }
}

/// A dot at each marked percentile that there are enough samples for.
fn marked(samples: &[(String, Vec<f64>)]) -> Curve {
    let mut points: Vec<(f64, f64)> = samples
        .iter()
        .flat_map(|(_, sorted)| {
            let enough = |per_mille: &&usize| **per_mille < 990 || sorted.len() >= P99_SAMPLES_MIN;
            MARKED.iter().filter(enough).map(|&per_mille| {
                let share = (1000 - per_mille) as f64 / 10.0;
                (nearest_rank(sorted, per_mille), share)
            })
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    Curve { name: "p50, p90, p99".to_owned(), join: Join::Dots, points, spread: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::super::example::plan;
    use super::super::super::tests::trial;
    use super::*;

    fn curves(figure: &Figure) -> &Curves {
        match &figure.panel {
            Panel::Curves(curves) => curves,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_curve_falls_from_all_queries_to_the_slowest_one() {
        let sorted: Vec<f64> = (1..=10_000).map(f64::from).collect();
        let points = tail("x", &sorted).points;
        assert_eq!((points[0], *points.last().unwrap()), ((1.0, 100.0), (10_000.0, 0.01)));
        assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1) && points.len() > 200);
        let at = |share: f64| points.iter().find(|point| point.1 <= share).unwrap().0;
        assert!((at(1.0) - 9_901.0).abs() < 10.0, "{}", at(1.0));
        assert_eq!(tail("x", &[2.0]).points, [(2.0, 100.0)]);
    }

    #[test]
    fn queries_take_longer_in_all_than_they_run_and_percentiles_are_marked() {
        let mut summary = Summary::default();
        summary.add(&trial(0));
        let figure = figure(&plan(), &summary).expect("queries were counted");
        let curves = &curves(&figure).curves;
        let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(
            names,
            ["cats, in all", "cats, running", "dogs, in all", "dogs, running", "p50, p90, p99"]
        );
        let first = |curve: usize| curves[curve].points[0].0;
        assert!((first(2) - first(3) - 0.006).abs() < 1e-3, "{} {}", first(2), first(3));
        let dots = &curves[4].points;
        assert_eq!(dots.len(), 10, "400 queries are too few for a 99th percentile");
        let median = summary.jobs()[0].query_s.p50.unwrap();
        assert!(dots.contains(&(median, 50.0)), "{dots:?}");
    }

    #[test]
    fn a_job_that_never_ran_has_the_one_curve_only() {
        let mut summary = Summary::default();
        let mut trial = trial(0);
        trial.sample.jobs[1].times.clear();
        summary.add(&trial);
        let figure = figure(&plan(), &summary).expect("queries were counted");
        let names: Vec<&str> = curves(&figure).curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(names, ["cats, in all", "cats, running", "dogs, in all", "p50, p90, p99"]);
    }

    #[test]
    fn many_jobs_are_drawn_as_one() {
        let mut summary = Summary::default();
        for number in 0..9 {
            let mut trial = trial(0);
            trial.sample.jobs.truncate(1);
            trial.sample.jobs[0].name = format!("job {number}").into();
            summary.add(&trial);
        }
        let figure = figure(&plan(), &summary).unwrap();
        assert_eq!(curves(&figure).curves.len(), 3);
        assert!(figure.subtitle.contains("of 9 jobs"), "{}", figure.subtitle);
    }
}
