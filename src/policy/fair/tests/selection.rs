//! Selection beside sorting, and beside going through all rates one by one.

use super::brute::{FAMILIES, Instance};
use crate::base::Rng;
use crate::policy::fair::Problem;
use crate::policy::fair::levels::Rates;

#[test]
fn the_kth_smallest_rate_is_that_of_the_sorted_list() {
    for family in FAMILIES {
        for seed in 0..1000 {
            let mut rng = Rng::new(seed).fork("ranges");
            let instance = Instance::random(family, seed, 6, 20);
            let problem = Problem::new(&instance.jobs, instance.workers, &instance.terms);
            let ranges: Vec<(u64, u64)> =
                problem.curves.iter().map(|_| (rng.below(4), rng.below(20))).collect();
            let mut all: Vec<f64> = Vec::new();
            for (curve, &(from, to)) in problem.curves.iter().zip(&ranges) {
                all.extend((from..=to).map(|workers| curve.rate(workers)));
            }
            all.sort_unstable_by(f64::total_cmp);
            let rates = Rates { curves: &problem.curves, range: |position: usize| ranges[position] };
            assert_eq!(rates.len(), all.len() as u64);
            for rank in 1..=all.len() {
                let found = rates.nth(rank as u64, &mut 0.0);
                let what = format!("{family}, seed {seed}, rank {rank}: {ranges:?} {instance:?}");
                assert_eq!(found.to_bits(), all[rank - 1].to_bits(), "{what}");
            }
        }
    }
}

#[test]
fn many_workers_are_bounded_as_if_they_were_dealt_one_by_one() {
    for family in FAMILIES {
        for seed in 0..200 {
            for (jobs, workers) in [(5, 14), (8, 300), (60, 200), (3, 5000)] {
                let instance = Instance::random(family, seed, jobs, workers);
                let problem = Problem::new(&instance.jobs, instance.workers, &instance.terms);
                let (selected, dealt) = (problem.bounds_with(0), problem.bounds_with(u64::MAX));
                assert_eq!(selected, dealt, "{family}, seed {seed}: {instance:?}");
            }
        }
    }
}
