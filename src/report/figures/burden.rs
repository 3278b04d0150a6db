//! How long the cluster took to get over a fault, against what it had to see to: the queries that a dead worker held, or those that
//! were left when the coordinator died.

use super::super::figure::{Axis, Curve, Curves, Figure, Join, Panel, Scale};
use super::super::summary::{Burden, Summary};
use super::{recovery, scale, trials};
use crate::scenario::Plan;

/// Fewer faults of a group than this show no dependence.
const FAULTS_MIN: usize = 5;

/// What the dots are.
const DOTS: &str = "a dot per fault; held: until all queries of the workers that were hit had been given out again; unfinished: until the \
                    next coordinator gave out the first query";

/// The figure of a run; `None` when no group of faults found different numbers of queries often enough.
pub(super) fn figure(plan: &Plan, summary: &Summary) -> Option<Figure> {
    let groups = recovery::groups(plan).into_iter();
    let found = groups.map(|(label, faults)| (label, summary.burdens(&faults).collect()));
    of(&plan.name, &trials(plan), found)
}

/// The figure of so many groups of faults of a scenario.
pub(in crate::report) fn of(
    scenario: &str,
    runs: &str,
    groups: impl Iterator<Item = (String, Vec<Burden>)>,
) -> Option<Figure> {
    let mut curves: Vec<Curve> = Vec::new();
    for (label, burdens) in groups {
        for (led, what) in [(false, "held"), (true, "unfinished")] {
            let found: Vec<Burden> = burdens.iter().filter(|one| one.led == led).copied().collect();
            if found.len() >= FAULTS_MIN && found.iter().any(|one| one.queries != found[0].queries) {
                curves.push(curve(format!("{label}: {what}"), &found));
            }
        }
    }
    if curves.is_empty() {
        return None;
    }
    let all = || curves.iter().flat_map(|curve| curve.points.iter());
    let axis = |label: &str, scale| Axis { label: label.to_owned(), scale, ..Axis::default() };
    let (x, y) = (scale(all().map(|point| point.0)), scale(all().map(|point| point.1)));
    let (x, mut y) = (axis("Queries at the moment of the fault", x), axis("Recovery (s)", y));
    y.from = (y.scale == Scale::Linear).then_some(0.0);
    Some(Figure {
        title: format!("Recovery by load: {scenario}"),
        subtitle: format!("{runs}, {DOTS}"),
        panel: Panel::Curves(Curves { x, y, legend: "Fault: queries".to_owned(), curves, marks: Vec::new() }),
    })
}

fn curve(name: String, found: &[Burden]) -> Curve {
    let mut points: Vec<(f64, f64)> = found.iter().map(|one| (one.queries as f64, one.seconds)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    Curve { name, join: Join::Dots, points, spread: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::super::example::plan;
    use super::super::super::tests::trial;
    use super::*;

    #[test]
    fn a_dot_stands_for_each_fault_and_equal_loads_show_nothing() {
        let mut summary = Summary::default();
        for number in 0..5 {
            summary.add(&trial(number));
        }
        assert_eq!(figure(&plan(), &summary), None, "each trial of the example is the same");
        let mut busier = trial(5);
        busier.tables.recovery[0].unfinished += 100;
        summary.add(&busier);
        let figure = figure(&plan(), &summary).expect("the coordinator died with more left to do");
        let Panel::Curves(curves) = &figure.panel else { panic!("{:?}", figure.panel) };
        let names: Vec<&str> = curves.curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(names, ["crash coordinator: unfinished"]);
        let points = &curves.curves[0].points;
        assert!(points.len() == 6 && (points[5].0 - points[4].0 - 100.0).abs() < 1e-9, "{points:?}");
        assert!(points.iter().all(|point| (point.1 - 0.35).abs() < 1e-9), "{points:?}");
    }
}
