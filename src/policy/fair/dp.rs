//! The published program for fair-time allocation, kept as it is: slow, and not exact.

use super::{Job, Plan, Problem, Terms, Window};

/// The most steps of one run: about 15 ms. A coordinator must not stand still for longer.
pub const STEPS_MAX: u64 = 20_000_000;

/// Why the program was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the dynamic program would take m·n² = {jobs}·{workers}² steps, which is more than {steps}; fair_time gives the exact \
     answer at any size"
)]
pub struct TooLarge {
    /// Jobs with work left.
    pub jobs: u64,
    /// Workers to divide.
    pub workers: u64,
    /// The most steps that were allowed.
    pub steps: u64,
}

/// Divides `workers` by the dynamic program over (jobs so far, workers so far) that keeps one (lowest, highest) rate per state, the
/// narrowest, in O(m n²) steps; of several the one with the fewest workers for the last job.
///
/// Keeping only the narrowest is its fault: a wider range of the first jobs can end in a narrower one of all. It is exact for
/// up to two jobs, and at most (m − 1) times the least gap. `steps` bounds m·n²; [`STEPS_MAX`] suits a running cluster.
pub fn published(jobs: &[Job], workers: u64, terms: &Terms, steps: u64) -> Result<Plan, TooLarge> {
    let problem = Problem::new(jobs, workers, terms);
    let (count, workers) = (problem.curves.len() as u64, problem.workers);
    if workers.saturating_mul(workers).saturating_mul(count) > steps {
        return Err(TooLarge { jobs: count, workers, steps });
    }
    if workers == 0 || count == 0 {
        return Ok(problem.nothing());
    }
    let size = workers as usize + 1;
    let least = problem.least as usize;
    let impossible = Window { low: 0.0, high: f64::INFINITY };
    let mut states = vec![impossible; size];
    states[0] = Window { low: f64::INFINITY, high: f64::NEG_INFINITY };
    let mut choices: Vec<Vec<u32>> = Vec::with_capacity(problem.curves.len());
    for curve in &problem.curves {
        let most = curve.most.min(workers) as usize;
        let rates: Vec<f64> = (0..=most).map(|share| curve.rate(share as u64)).collect();
        let mut next = vec![impossible; size];
        let mut choice = vec![0; size];
        for (sum, (next, choice)) in next.iter_mut().zip(&mut choice).enumerate() {
            if sum < least {
                continue;
            }
            let most = most.min(sum);
            let (mut narrowest, mut found) = (f64::INFINITY, None);
            let before = states[sum - most..=sum - least].iter().rev();
            for (position, (before, &rate)) in before.zip(&rates[least..=most]).enumerate() {
                let low = if before.low < rate { before.low } else { rate };
                let high = if before.high > rate { before.high } else { rate };
                if high - low < narrowest {
                    (narrowest, found) = (high - low, Some((Window { low, high }, position)));
                }
            }
            if let Some((window, position)) = found {
                (*next, *choice) = (window, (least + position) as u32);
            }
        }
        states = next;
        choices.push(choice);
    }
    let mut given = vec![0; choices.len()];
    let mut sum = workers as usize;
    for (given, choice) in given.iter_mut().zip(&choices).rev() {
        *given = u64::from(choice[sum]);
        sum -= *given as usize;
    }
    Ok(problem.plan(&given, states[workers as usize]))
}
