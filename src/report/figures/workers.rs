//! Workers per job over time: the resource ratio, with the faults marked.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{JobId, Time};
use crate::report::cluster::Cluster;
use crate::report::figure::{Axis, Curve, Curves, Figure, Join, Mark, Panel};
use crate::report::recovery::Hit;
use crate::report::serving::{Move, Shares};
use crate::scenario::Plan;

/// Points along the time axis.
const BINS_MAX: u64 = 600;
/// Machines that a fault's mark names; of more it says how many.
const NAMED_MAX: usize = 4;

/// The figure of one trial, which ended at `end`.
pub(in crate::report) fn workers(
    plan: &Plan,
    end: Time,
    moves: &[Move],
    names: &BTreeMap<JobId, Arc<str>>,
    hits: &[Hit],
    cluster: &Cluster,
) -> Figure {
    let shares = Shares::of(moves, end, BINS_MAX);
    let end_s = end.as_secs().max(1e-3);
    let curve = |(job, row): (&JobId, &Vec<f64>)| Curve {
        name: names.get(job).map_or_else(|| job.to_string(), ToString::to_string),
        join: Join::Steps,
        points: stairs(row, shares.bin_s, end_s),
        spread: Vec::new(),
    };
    let marks: Vec<Mark> =
        hits.iter().filter(|hit| !hit.machines.is_empty()).map(|hit| mark(hit, cluster)).collect();
    let workers = plan.nodes.iter().filter(|node| node.worker).count().max(1);
    let faults = if marks.is_empty() { "" } else { "; dashed lines are faults, shaded while they last" };
    Figure {
        title: format!("Workers per job: {}", plan.name),
        subtitle: format!("Trial 0, means over {} s{faults}", shares.bin_s),
        panel: Panel::Curves(Curves {
            x: Axis {
                label: "Time since the beginning of the trial (s)".to_owned(),
                from: Some(0.0),
                to: Some(end_s),
                ..Axis::default()
            },
            y: Axis {
                label: "Workers that serve the job".to_owned(),
                from: Some(0.0),
                to: Some(workers as f64 * 1.04),
                ..Axis::default()
            },
            legend: "Job".to_owned(),
            curves: shares.workers.iter().map(curve).collect(),
            marks,
        }),
    }
}

/// The means as a staircase, from the first bin with workers to the last.
fn stairs(row: &[f64], bin_s: f64, end_s: f64) -> Vec<(f64, f64)> {
    let edge = |bin: usize| (bin as f64 * bin_s).min(end_s);
    let Some(first) = row.iter().position(|mean| *mean > 0.0) else { return Vec::new() };
    let last = row.iter().rposition(|mean| *mean > 0.0).map_or(first, |last| last + 1);
    let steps = (first..last).map(|bin| (edge(bin), row[bin]));
    std::iter::once((edge(first), 0.0)).chain(steps).chain([(edge(last), 0.0)]).collect()
}

/// A fault, and whom it hit.
pub(super) fn mark(hit: &Hit, cluster: &Cluster) -> Mark {
    let whom = match hit.machines.as_slice() {
        few if few.len() <= NAMED_MAX => few
            .iter()
            .map(|&machine| cluster.machine_name(machine).to_string())
            .collect::<Vec<_>>()
            .join(", "),
        many => format!("{} nodes", many.len()),
    };
    Mark {
        from: hit.at.as_secs(),
        to: hit.ended.map(Time::as_secs),
        label: format!("{} {whom}", hit.kind.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staircase_begins_and_ends_at_zero_where_there_were_workers() {
        assert_eq!(stairs(&[0.0, 2.0, 3.0, 0.0], 1.0, 3.5), [(1.0, 0.0), (1.0, 2.0), (2.0, 3.0), (3.0, 0.0)]);
        assert_eq!(stairs(&[0.0, 0.0], 1.0, 2.0), []);
    }
}
