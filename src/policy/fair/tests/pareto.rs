//! A dynamic program that is exact because it keeps every range that none is within: the answer for sizes at which divisions
//! cannot be listed.

use super::brute::Instance;
use crate::policy::fair::{allocate, published};

/// The (lowest, highest) rates that a state can have, without those that contain another.
type Ranges = Vec<(f64, f64)>;

fn keep(ranges: &mut Ranges, new: (f64, f64)) {
    if ranges.iter().any(|&(low, high)| low >= new.0 && high <= new.1) {
        return;
    }
    ranges.retain(|&(low, high)| !(new.0 >= low && new.1 <= high));
    ranges.push(new);
}

/// The least gap, by the program, when each job may have any number from `least` on.
fn least_gap(instance: &Instance, least: u64) -> f64 {
    let workers = instance.workers as usize;
    let mut states: Vec<Ranges> = vec![Ranges::new(); workers + 1];
    states[0].push((f64::INFINITY, 0.0));
    for position in 0..instance.jobs.len() {
        let rates: Vec<f64> = (0..=instance.workers).map(|count| instance.rate(position, count)).collect();
        let mut next: Vec<Ranges> = vec![Ranges::new(); workers + 1];
        for (sum, ranges) in next.iter_mut().enumerate() {
            for share in least as usize..=sum {
                for &(low, high) in &states[sum - share] {
                    keep(ranges, (low.min(rates[share]), high.max(rates[share])));
                }
            }
        }
        states = next;
    }
    states[workers].iter().map(|(low, high)| high - low).fold(f64::INFINITY, f64::min)
}

#[test]
fn ten_jobs_on_two_hundred_workers_are_divided_as_by_an_exact_program() {
    let mut beaten = 0;
    for (number, family) in ["service-like", "log-uniform", "linear", "saturated"].into_iter().enumerate() {
        for seed in 0..10 {
            let mut instance = Instance::random(family, seed + 1000 * number as u64, 1, 0);
            while instance.jobs.len() < 10 {
                let more = Instance::random(family, seed + 7919 * (1 + instance.jobs.len() as u64), 1, 0);
                instance.jobs.extend(more.jobs);
            }
            instance.jobs.iter_mut().for_each(|job| job.work = job.work.max(1e-3));
            instance.workers = 200;
            instance.terms.cap = 0.0;
            for least in [0, 1] {
                instance.terms.at_least_one = least == 1;
                let plan = allocate(&instance.jobs, 200, &instance.terms);
                let gap = least_gap(&instance, least);
                assert_eq!(
                    plan.gap().to_bits(),
                    gap.to_bits(),
                    "{family}, seed {seed}, least {least}: {plan:?}"
                );
                assert_eq!(plan.workers.iter().sum::<u64>(), 200);
                let program = published(&instance.jobs, 200, &instance.terms, u64::MAX).expect("no bound");
                assert!(program.gap() >= gap, "{family}, seed {seed}: the published program is never better");
                beaten += u64::from(program.gap() > gap);
            }
        }
    }
    assert!(beaten > 0, "the published program misses the least gap somewhere");
}
