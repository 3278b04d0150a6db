//! Max-min fairness: the lowest rate as high as possible, then the next lowest, and so on.

use super::levels::Rates;
use super::{FEW, Job, Plan, Problem, Terms};

/// Divides `workers` so that the rates in ascending order are the lexicographically greatest possible.
///
/// Giving worker after worker to whoever has the lowest rate does that (Ibaraki and Katoh, Resource Allocation Problems, 1988);
/// here the level at which that ends is selected directly. When only some of the jobs at the last level can have another worker,
/// those get it whom it lifts highest, earlier jobs first. Where several workers do not change a rate in double precision,
/// that last choice may be off by what the rounding hides. Jobs without a worker are at rate 0, so that everyone has one if
/// there are enough, whatever the terms say.
pub fn leximin(jobs: &[Job], workers: u64, terms: &Terms) -> Plan {
    let problem = Problem::new(jobs, workers, terms);
    if problem.workers == 0 || problem.curves.is_empty() {
        return problem.nothing();
    }
    let curves = &problem.curves;
    let count = curves.len() as u64;
    // The worker after the c-th is given at the rate of c workers; the first ones are given at rate 0.
    let rates = Rates { curves, range: |position: usize| (1, curves[position].most - 1) };
    let level = match problem.workers.saturating_sub(count) {
        0 => 0.0,
        rank if problem.workers <= FEW => rates.nth_of_few(rank, rank).0,
        rank => rates.nth(rank, &mut 0.0),
    };
    let mut given: Vec<u64> = curves.iter().map(|curve| curve.at_least(level).min(curve.most)).collect();
    let mut left = problem.workers - given.iter().sum::<u64>();
    // Those at the level: how many workers lift them above it, and to what.
    let lift = |position: usize| {
        let curve = &curves[position];
        let above = (curve.at_most(level, curve.most) + 1).min(curve.most);
        (above - given[position], curve.rate(above), position)
    };
    let at_level = |position: &usize| {
        given[*position] < curves[*position].most && curves[*position].rate(given[*position]) <= level
    };
    let mut lifts: Vec<(u64, f64, usize)> = (0..curves.len()).filter(at_level).map(lift).collect();
    lifts.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    for (workers, _, position) in lifts {
        let more = workers.min(left);
        given[position] += more;
        left -= more;
    }
    assert_eq!(left, 0, "those at the level take what is left");
    let window = problem.window_of(&given);
    problem.plan(&given, window)
}
