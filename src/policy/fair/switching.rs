//! Staying near the previous division: moving a worker to another model costs a load.

use super::levels::Rates;
use super::{Bounds, Job, Plan, Problem, Terms, fill, sweep};

/// How many workers have to load another job's model to come from `previous` to `next`.
pub fn loads(previous: &[u64], next: &[u64]) -> u64 {
    previous.iter().zip(next).map(|(previous, next)| next.saturating_sub(*previous)).sum()
}

/// Divides `workers` so that the gap is the least that at most `limit` loads from `previous` allow; `None` when the terms or
/// the number of workers demand more.
///
/// Of several ranges of the same least width the lowest is taken, and the numbers are those nearest to `previous` in it.
pub fn at_most_loads(
    jobs: &[Job],
    workers: u64,
    terms: &Terms,
    previous: &[u64],
    limit: u64,
) -> Option<Plan> {
    let problem = Problem::new(jobs, workers, terms);
    let Some(bounds) = problem.bounds() else { return Some(problem.nothing()) };
    let previous = problem.running(previous);
    (limit >= loads_least(&problem, &previous)).then(|| within(&problem, bounds, &previous, limit))
}

/// Divides `workers` with as few loads from `previous` as keep the gap at most `1 + hysteresis` times the least possible one
/// plus `slack` times the mean rate of the division that has it.
///
/// `previous` itself comes back when its gap is that small. With both at 0 it is the least possible gap with the fewest
/// loads. A previous division that does not sum to the workers there are is no reason to keep to anything: callers plan
/// anew with [`super::nearest`] when jobs or workers come or go.
pub fn steady(
    jobs: &[Job],
    workers: u64,
    terms: &Terms,
    previous: &[u64],
    hysteresis: f64,
    slack: f64,
) -> Plan {
    let problem = Problem::new(jobs, workers, terms);
    let Some(bounds) = problem.bounds() else { return problem.nothing() };
    let previous = problem.running(previous);
    let window = sweep::best(&problem, bounds);
    let nearest = fill::nearest(&problem, window, &previous);
    let rates = problem.curves.iter().zip(&nearest).map(|(curve, &workers)| curve.rate(workers));
    let mean = rates.sum::<f64>() / nearest.len() as f64;
    let best = problem.plan(&nearest, window);
    let bound = (1.0 + hysteresis) * best.gap() + slack * mean;
    let (mut low, mut high) = (loads_least(&problem, &previous), loads(&previous, &nearest));
    let mut found = best;
    // The gap falls as the loads grow, and with `high` of them it is small enough. Keeping what can be kept is tried first,
    // since it is the usual answer.
    let mut next = low;
    while low < high {
        let plan = within(&problem, bounds, &previous, next);
        if plan.gap() <= bound {
            (high, found) = (next, plan);
        } else {
            low = next + 1;
        }
        next = low + (high - low) / 2;
    }
    found
}

/// The fewest loads with which the terms can be met.
fn loads_least(problem: &Problem, previous: &[u64]) -> u64 {
    let kept = problem.curves.iter().zip(previous).map(|(curve, &previous)| previous.min(curve.most));
    let kept = kept.fold(0, u64::saturating_add);
    forced(problem, previous).max(problem.workers.saturating_sub(kept))
}

/// The loads that it takes to give everyone the fewest workers.
fn forced(problem: &Problem, previous: &[u64]) -> u64 {
    previous.iter().map(|previous| problem.least.saturating_sub(*previous)).sum()
}

/// The least gap with at most `limit` loads, which is not less than [`loads_least`].
///
/// Reaching `low` takes as many loads as rates below it have to be left behind from the previous numbers on; staying within
/// `high` takes as many as workers cannot stay where they are. Either is one more order statistic.
fn within(problem: &Problem, bounds: Bounds, previous: &[u64], limit: u64) -> Plan {
    let Problem { curves, least, workers, .. } = problem;
    let mut near = 1.0 / bounds.high_least;
    let beyond = |position: usize| (previous[position].max(*least), curves[position].most);
    let reached = Rates { curves, range: beyond }.nth(limit - forced(problem, previous) + 1, &mut near);
    let stay = |position: usize| (1, previous[position].min(curves[position].most));
    let kept =
        if limit >= *workers { 0.0 } else { Rates { curves, range: stay }.nth(workers - limit, &mut near) };
    let bounds = Bounds { low_most: bounds.low_most.min(reached), high_least: bounds.high_least.max(kept) };
    let window = sweep::best(problem, bounds);
    problem.plan(&fill::nearest(problem, window, previous), window)
}
