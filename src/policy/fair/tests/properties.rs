//! What holds for divisions of any size, where no other program can be asked.

use proptest::prelude::*;

use crate::base::Rng;
use crate::policy::fair::{Job, Plan, Terms, allocate, at_most_loads, leximin, nearest, steady};

fn jobs(most: usize) -> impl Strategy<Value = Vec<Job>> {
    let number = || prop_oneof![1e-9..1e9_f64, 0.1..100.0_f64, Just(1.0), Just(7.0)];
    let elapsed = prop_oneof![Just(0.0), number()];
    let work = prop_oneof![1 => Just(0.0), 9 => number()];
    let weight = prop_oneof![3 => Just(1.0), 1 => 0.1..10.0_f64];
    let job = (number(), elapsed, work, weight);
    prop::collection::vec(job, 1..most).prop_map(|jobs| {
        let job = |(queries, elapsed, work, weight)| Job { queries, elapsed, work, weight };
        jobs.into_iter().map(job).collect()
    })
}

fn workers() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_u64, 0..100_000_u64, 0..1_000_000_000_000_u64]
}

fn terms() -> impl Strategy<Value = Terms> {
    let cap = prop_oneof![Just(0.0), 0.0..1.0_f64];
    (any::<bool>(), cap).prop_map(|(at_least_one, cap)| Terms { at_least_one, cap })
}

fn is_sound(plan: &Plan, jobs: &[Job], workers: u64, terms: &Terms) -> Result<(), TestCaseError> {
    let sum: u64 = plan.workers.iter().sum();
    let running = jobs.iter().filter(|job| job.work > 0.0).count() as u64;
    prop_assert!(sum <= workers);
    if terms.cap <= 0.0 && running > 0 {
        prop_assert_eq!(sum, workers);
    }
    for (job, &given) in jobs.iter().zip(&plan.workers) {
        prop_assert!(job.work > 0.0 || given == 0, "a finished job has workers");
        if job.work > 0.0 && terms.at_least_one && workers >= running {
            prop_assert!(given > 0, "{:?} starves", job);
        }
    }
    prop_assert!(plan.low <= plan.high && plan.high.is_finite());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_workers_are_given_and_nobody_starves(jobs in jobs(60), workers in workers(), terms in terms(), seed: u64) {
        let mut rng = Rng::new(seed);
        let best = allocate(&jobs, workers, &terms);
        is_sound(&best, &jobs, workers, &terms)?;
        let fair = leximin(&jobs, workers, &terms);
        is_sound(&fair, &jobs, workers, &Terms { at_least_one: true, ..terms })?;
        prop_assert!(best.gap() <= fair.gap() || !terms.at_least_one || jobs.is_empty());
        let mut previous = fair.workers;
        rng.shuffle(&mut previous);
        let near = nearest(&jobs, workers, &terms, &previous);
        is_sound(&near, &jobs, workers, &terms)?;
        prop_assert_eq!(near.gap().to_bits(), best.gap().to_bits());
        is_sound(&steady(&jobs, workers, &terms, &previous, 0.2, 0.1), &jobs, workers, &terms)?;
        if let Some(plan) = at_most_loads(&jobs, workers, &terms, &previous, workers / 8 + 1) {
            is_sound(&plan, &jobs, workers, &terms)?;
            prop_assert!(plan.gap() >= best.gap());
        }
    }

    #[test]
    fn the_gap_does_not_depend_on_the_order_of_the_jobs(
        jobs in jobs(60), workers in workers(), terms in terms(), seed: u64,
    ) {
        let gap = allocate(&jobs, workers, &terms).gap();
        let mut shuffled = jobs.clone();
        Rng::new(seed).shuffle(&mut shuffled);
        prop_assert_eq!(allocate(&shuffled, workers, &terms).gap().to_bits(), gap.to_bits());
    }
}

/// With a worker more or less for each job, nobody can do better: so that the answers stay right where nothing else can tell.
#[test]
fn a_billion_workers_are_divided_to_the_last_one() {
    let mut rng = Rng::new(1);
    let job = |_| {
        let queries = 100.0 + rng.below(900) as f64;
        Job { queries, elapsed: 0.0, work: queries * (0.05 + rng.unit()), weight: 1.0 }
    };
    let jobs: Vec<Job> = (0..100).map(job).collect();
    for workers in [10_000, 1_000_000, 1_000_000_000, 1_000_000_000_000] {
        let plan = allocate(&jobs, workers, &Terms::default());
        assert_eq!(plan.workers.iter().sum::<u64>(), workers);
        // One worker more changes a rate by 1 / S, and the rates are apart by about that.
        let seconds = jobs.iter().map(|job| job.work / job.queries);
        let most = seconds.map(|seconds| 1.0 / seconds).fold(0.0, f64::max);
        assert!(plan.gap() < most, "{workers} workers: gap {} with steps of up to {most}", plan.gap());
    }
}
