//! How long the cluster took to get over its faults, step by step, over all trials.

use super::super::figure::{Axis, Bar, Bars, Figure, Panel};
use super::super::summary::Summary;
use super::{scale, spread, trials};
use crate::scenario::{Fault, Plan, Target};

/// Faults that are shown one by one, or by whom they hit; more are shown by their kind.
const GROUPS_MAX: usize = 4;

/// What the bars of a group are, in the order of the columns of recovery.csv.
const STEPS: [&str; 5] =
    ["detected", "new coordinator", "dispatching again", "first result", "back at its pace"];

/// The figure; `None` when nothing had to be got over.
pub(super) fn figure(plan: &Plan, summary: &Summary) -> Option<Figure> {
    let groups = groups(plan);
    let samples: Vec<(String, [Vec<f64>; STEPS.len()])> = groups
        .into_iter()
        .map(|(label, faults)| {
            let mut all = summary.recovery_samples(&faults).into_iter();
            (label, std::array::from_fn(|_| all.next().unwrap_or_default()))
        })
        .filter(|(_, steps)| steps.iter().any(|samples| !samples.is_empty()))
        .collect();
    if samples.is_empty() {
        return None;
    }
    let bar = |(step, name): (usize, &&str)| Bar {
        name: (*name).to_owned(),
        values: samples.iter().map(|(_, steps)| spread(&steps[step])).collect(),
    };
    let mut bars: Vec<Bar> = STEPS.iter().enumerate().map(bar).collect();
    // What no group has is no part of the legend.
    bars.retain(|bar| bar.values.iter().any(Option::is_some));
    let values = bars.iter().flat_map(|bar| bar.values.iter().flatten().map(|estimate| estimate.value));
    let scale = scale(values);
    let label = "Time since the fault (s)".to_owned();
    Some(Figure {
        title: format!("Recovery from faults: {}", plan.name),
        subtitle: subtitle(plan, samples.iter().flat_map(|(_, steps)| steps)),
        panel: Panel::Bars(Bars {
            axis: Axis { label, scale, ..Axis::default() },
            groups: samples.iter().map(|(label, _)| label.clone()).collect(),
            legend: "Until".to_owned(),
            bars,
        }),
    })
}

fn subtitle<'a>(plan: &Plan, samples: impl Iterator<Item = &'a Vec<f64>> + Clone) -> String {
    let counts = samples.map(Vec::len).filter(|count| *count > 0);
    let most = counts.clone().max().unwrap_or(0);
    if most <= 1 {
        return format!("{}, counted from the fault", trials(plan));
    }
    // Medians of different faults need not be in order.
    let some = if counts.min() < Some(most) { "; not every step followed every fault" } else { "" };
    format!(
        "{}; medians, counted from the fault; whiskers span the middle 95 % of up to {most} faults{some}",
        trials(plan)
    )
}

/// The plan's faults by their numbers, those together that hit the same in the same way, each group with its name.
pub(super) fn groups(plan: &Plan) -> Vec<(String, Vec<u32>)> {
    let groups = grouped(plan, |fault| format!("{} {}", kind(fault), whom(plan, &fault.target)));
    if groups.len() > GROUPS_MAX { grouped(plan, kind) } else { groups }
}

/// The faults with equal labels together, by their numbers.
fn grouped(plan: &Plan, label: impl Fn(&Fault) -> String) -> Vec<(String, Vec<u32>)> {
    let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
    for (fault, number) in plan.faults.iter().zip(0..) {
        let label = label(fault);
        match groups.iter_mut().find(|(known, _)| *known == label) {
            Some((_, faults)) => faults.push(number),
            None => groups.push((label, vec![number])),
        }
    }
    groups
}

fn kind(fault: &Fault) -> String {
    fault.kind.name().replace('_', " ")
}

fn whom(plan: &Plan, target: &Target) -> String {
    match target {
        Target::Node(machine) => {
            plan.nodes.get(*machine as usize).map_or_else(String::new, |node| node.name.to_string())
        }
        Target::Coordinator => "coordinator".to_owned(),
        Target::Voter => "voter".to_owned(),
        Target::BusiestWorker => "busiest worker".to_owned(),
        Target::Worker => "worker".to_owned(),
        Target::Spare => "spare".to_owned(),
        Target::Random(count) => format!("random {count}"),
        Target::Minority => "minority".to_owned(),
        Target::All => "all".to_owned(),
        Target::Each => "each".to_owned(),
        Target::Concerned => "the one concerned".to_owned(),
        Target::Several(several) => several.iter().map(|one| whom(plan, one)).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::example::plan;
    use super::super::super::figure::Estimate;
    use super::super::super::tests::trial;
    use super::*;

    fn bars(figure: &Figure) -> &Bars {
        match &figure.panel {
            Panel::Bars(bars) => bars,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_fault_has_its_steps_and_what_did_not_happen_has_no_bar() {
        let mut summary = Summary::default();
        (0..3).for_each(|number| summary.add(&trial(number)));
        let figure = figure(&plan(), &summary).expect("there were faults");
        let bars = bars(&figure);
        assert_eq!(bars.groups, ["crash coordinator", "pause worker"]);
        let names: Vec<&str> = bars.bars.iter().map(|bar| bar.name.as_str()).collect();
        assert_eq!(names, STEPS);
        let promoted = bars.bars[1].values[0].expect("another one leads after the crash");
        assert!((promoted.value - 0.3).abs() < 1e-9 && promoted.low <= promoted.value);
        assert_eq!(bars.bars[1].values[1], None, "nobody is promoted when a worker stands still");
        assert!(figure.subtitle.contains("middle 95 %"), "{}", figure.subtitle);
    }

    #[test]
    fn many_different_faults_are_shown_by_kind() {
        let mut plan = plan();
        for machine in 0..6 {
            let target = Target::Node(machine);
            plan.faults.push(Fault { target, ..plan.faults[0].clone() });
        }
        let mut summary = Summary::default();
        summary.add(&trial(0));
        assert_eq!(bars(&figure(&plan, &summary).unwrap()).groups, ["crash", "pause"]);
    }

    #[test]
    fn a_run_without_faults_has_no_such_figure() {
        let mut plan = plan();
        plan.faults.clear();
        let mut summary = Summary::default();
        summary.add(&trial(0));
        assert_eq!(figure(&plan, &summary), None);
    }

    #[test]
    fn whiskers_span_the_middle_of_the_samples() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(spread(&samples), Some(Estimate { value: 50.0, low: 3.0, high: 98.0 }));
        assert_eq!(spread(&[2.0]), Some(Estimate { value: 2.0, low: 2.0, high: 2.0 }));
        assert_eq!(spread(&[]), None);
    }
}
