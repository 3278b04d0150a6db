//! From a window of rates to numbers of workers.

use super::{Problem, Window};

/// The fewest workers with which each job is in the window, and the most.
fn boxes(problem: &Problem, window: Window) -> (Vec<u64>, Vec<u64>) {
    let low = problem.curves.iter().map(|curve| curve.at_least(window.low).max(problem.least));
    let high = problem.curves.iter().map(|curve| curve.at_most(window.high, curve.most));
    (low.collect(), high.collect())
}

/// The lexicographically smallest numbers in the window.
pub(super) fn lexicographic(problem: &Problem, window: Window) -> Vec<u64> {
    let mut workers: Vec<u64> =
        problem.curves.iter().map(|curve| curve.at_least(window.low).max(problem.least)).collect();
    let mut left = problem.workers - workers.iter().sum::<u64>();
    for (curve, workers) in problem.curves.iter().zip(&mut workers).rev() {
        if left == 0 {
            break;
        }
        let more = (curve.at_most(window.high, curve.most) - *workers).min(left);
        *workers += more;
        left -= more;
    }
    assert_eq!(left, 0, "the window has room for all workers");
    workers
}

/// The numbers in the window with the least sum of differences from `previous`, the lexicographically smallest of several.
///
/// Each job comes as near to its previous number as the window allows. What is then missing or too much is the same whoever takes
/// it, since everyone who has room for it moves away from the previous number.
pub(super) fn nearest(problem: &Problem, window: Window, previous: &[u64]) -> Vec<u64> {
    let (low, high) = boxes(problem, window);
    let clamped =
        previous.iter().zip(&low).zip(&high).map(|((&previous, &low), &high)| previous.clamp(low, high));
    let mut workers: Vec<u64> = clamped.collect();
    let sum = workers.iter().fold(0_u64, |sum, &workers| sum.saturating_add(workers));
    let mut missing = problem.workers.saturating_sub(sum);
    for (workers, &high) in workers.iter_mut().zip(&high).rev() {
        let more = (high - *workers).min(missing);
        *workers += more;
        missing -= more;
    }
    let mut surplus = sum.saturating_sub(problem.workers);
    for (workers, &low) in workers.iter_mut().zip(&low) {
        let less = (*workers - low).min(surplus);
        *workers -= less;
        surplus -= less;
    }
    assert_eq!((missing, surplus), (0, 0), "the window has room for all workers");
    workers
}
