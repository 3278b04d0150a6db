//! Workers per job over time: the resource ratio, with the faults marked.

use super::Facts;
use crate::base::JobId;
use crate::report::figure::{Axis, Curve, Curves, Figure, Join, Panel};
use crate::report::serving::Shares;

/// Points along the time axis.
const BINS_MAX: u64 = 600;

/// How many workers serve each job.
pub(super) fn figure(facts: &Facts<'_>) -> Figure {
    let shares = Shares::of(facts.moves, facts.source.end, BINS_MAX);
    let curve = |(job, row): (&JobId, &Vec<f64>)| Curve {
        name: facts.source.name(*job).to_string(),
        join: Join::Steps,
        points: stairs(row, shares.bin_s, facts.end_s()),
        spread: Vec::new(),
    };
    let workers = facts.plan.nodes.iter().filter(|node| node.worker).count().max(1);
    Figure {
        title: format!("Workers per job: {}", facts.plan.name),
        subtitle: facts.subtitle(&format!("means over {} s", shares.bin_s)),
        panel: Panel::Curves(Curves {
            x: facts.time(),
            y: Axis {
                label: "Workers that serve the job".to_owned(),
                from: Some(0.0),
                to: Some(workers as f64 * 1.04),
                ..Axis::default()
            },
            legend: "Job".to_owned(),
            curves: shares.workers.iter().map(curve).collect(),
            marks: facts.marks(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staircase_begins_and_ends_at_zero_where_there_were_workers() {
        assert_eq!(stairs(&[0.0, 2.0, 3.0, 0.0], 1.0, 3.5), [(1.0, 0.0), (1.0, 2.0), (2.0, 3.0), (3.0, 0.0)]);
        assert_eq!(stairs(&[0.0, 0.0], 1.0, 2.0), []);
    }
}
