//! Fair-time by shares: workers in proportion to what a query of the job costs.

use super::{ClusterView, Policy};

/// A job gets workers in proportion to its mean seconds per query over the rate window times its weight, rounded by
/// largest remainder, at least one each while there are enough. A job that has not answered anything yet counts with the
/// mean of the others.
///
/// With `C_i ∝ S_i` the rates `C_i / S_i` are equal, which is the aim of fair-time. Where there are more jobs than workers
/// they take turns. Priorities mean nothing here.
///
/// Source: the schedulers of two `IDunno`s, one of which measures the seconds over the last ten.
#[derive(Clone, Copy, Debug)]
pub struct TimeShare;

impl Policy for TimeShare {
    fn name(&self) -> &'static str {
        "time_share"
    }

    fn about(&self) -> &'static str {
        "workers in proportion to the seconds per query of each job, by weight; with more jobs than workers they take turns"
    }

    fn starves_nobody(&self) -> bool {
        true
    }

    fn allocate(&self, view: &ClusterView<'_>) -> Option<Vec<u32>> {
        if view.workers.len() < view.jobs.len() {
            return Some(view.turns());
        }
        let usual = view.usual_seconds();
        let cost = |seconds: f64| if seconds > 0.0 { seconds } else { usual };
        let shares: Vec<f64> = view.jobs.iter().map(|job| cost(job.seconds_per_query) * job.weight).collect();
        Some(largest_remainder(&shares, view.workers.len() as u32))
    }
}

/// Divides `workers` in proportion to `shares`, each of which is more than 0: first one each, as far as that goes, then
/// whole parts of the quota, then the largest remainders, earlier jobs first among equals.
fn largest_remainder(shares: &[f64], workers: u32) -> Vec<u32> {
    let least = u32::from(workers as usize >= shares.len());
    let total: f64 = shares.iter().sum();
    let quota = |share: f64| share / total * f64::from(workers);
    let mut given: Vec<u32> = shares.iter().map(|&share| (quota(share) as u32).max(least)).collect();
    // One each can give out more than there is; then those furthest above their quota step back.
    while given.iter().sum::<u32>() > workers {
        let above = |i: usize| f64::from(given[i]) - quota(shares[i]);
        let most =
            (0..given.len()).filter(|&i| given[i] > least).max_by(|&a, &b| above(a).total_cmp(&above(b)));
        given[most.expect("the least of all fits, so that someone has more than it")] -= 1;
    }
    while !given.is_empty() && given.iter().sum::<u32>() < workers {
        let below = |i: usize| quota(shares[i]) - f64::from(given[i]);
        let most = (0..given.len()).rev().max_by(|&a, &b| below(a).total_cmp(&below(b)));
        given[most.expect("there is a job")] += 1;
    }
    given
}

#[cfg(test)]
mod tests {
    use super::largest_remainder;

    #[test]
    fn shares_follow_the_cost_of_a_query() {
        // Six and nine seconds per query on ten workers: four and six.
        assert_eq!(largest_remainder(&[6.0, 9.0], 10), [4, 6]);
        assert_eq!(largest_remainder(&[2.56, 1.88], 10), [6, 4]);
        assert_eq!(largest_remainder(&[0.49, 0.07], 8), [7, 1]);
    }

    #[test]
    fn everyone_gets_one_and_nothing_is_left_over() {
        assert_eq!(largest_remainder(&[1000.0, 1.0, 1.0], 4), [2, 1, 1]);
        assert_eq!(largest_remainder(&[1.0, 1.0, 1.0], 2).iter().sum::<u32>(), 2);
        assert_eq!(largest_remainder(&[1.0, 1.0, 1.0], 0), [0, 0, 0]);
        assert_eq!(largest_remainder(&[], 3), [0_u32; 0]);
    }
}
