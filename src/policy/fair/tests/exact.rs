//! The answers beside those of an exhaustive search, bit for bit.

use super::brute::{FAMILIES, Found, Instance};
use crate::policy::fair::{
    Job, Plan, Terms, allocate, at_most_loads, leximin, loads, nearest, published, steady,
};

/// Instances per family.
const INSTANCES: u64 = 16_000;

fn found(plan: Plan) -> Found {
    let Plan { workers, low, high } = plan;
    Found { workers, low, high }
}

fn claim(instance: &Instance, plan: Plan, search: Option<Found>, what: &str) {
    let search = search.expect("there is always a division");
    assert_eq!(found(plan), search, "{what}: {instance:?}");
}

fn compare(family: &str) {
    for seed in 0..INSTANCES {
        let mut instance = Instance::random(family, seed, 5, 14);
        for at_least_one in [false, true] {
            instance.terms.at_least_one = at_least_one;
            let Instance { jobs, workers, terms, previous } = &instance;
            let what = format!("{family}, seed {seed}");
            let smallest = instance.best(|_| true, |_| 0);
            claim(&instance, allocate(jobs, *workers, terms), smallest, &what);
            let closest = instance.best(|_| true, |given| instance.distance(given));
            claim(&instance, nearest(jobs, *workers, terms, previous), closest, &what);
        }
    }
}

#[test]
fn service_like_jobs_are_divided_as_by_exhaustive_search() {
    compare("service-like");
}

#[test]
fn jobs_of_all_magnitudes_are_divided_as_by_exhaustive_search() {
    compare("log-uniform");
}

#[test]
fn ties_are_divided_as_by_exhaustive_search() {
    compare("tiny integers");
}

#[test]
fn fresh_jobs_are_divided_as_by_exhaustive_search() {
    compare("linear");
}

#[test]
fn saturated_jobs_are_divided_as_by_exhaustive_search() {
    compare("saturated");
}

#[test]
fn identical_jobs_are_divided_as_by_exhaustive_search() {
    compare("identical");
}

#[test]
fn plateaus_are_divided_as_by_exhaustive_search() {
    compare("plateaus");
}

#[test]
fn a_limit_on_loads_is_kept_as_by_exhaustive_search() {
    for family in FAMILIES {
        for seed in 0..1500 {
            let instance = Instance::random(family, seed, 5, 10);
            let Instance { jobs, workers, terms, previous } = &instance;
            for limit in 0..=4 {
                let plan = at_most_loads(jobs, *workers, terms, previous, limit);
                let few = |given: &[u64]| instance.loads(given) <= limit;
                let search = instance.best(few, |given| instance.distance(given));
                assert_eq!(plan.map(found), search, "{family}, seed {seed}, {limit} loads: {instance:?}");
            }
        }
    }
}

#[test]
fn hysteresis_takes_the_fewest_loads_that_keep_the_gap_small() {
    let mut kept = 0;
    for family in FAMILIES {
        for seed in 0..1500 {
            let instance = Instance::random(family, seed, 5, 10);
            let Instance { jobs, workers, terms, previous } = &instance;
            let best = nearest(jobs, *workers, terms, previous);
            let running: Vec<usize> = (0..jobs.len()).filter(|&i| jobs[i].work > 0.0).collect();
            let rates = running.iter().map(|&i| instance.rate(i, best.workers[i]));
            let mean = rates.sum::<f64>() / running.len().max(1) as f64;
            for (hysteresis, slack) in [(0.2, 0.1), (0.0, 0.0), (3.0, 0.5)] {
                let bound = (1.0 + hysteresis) * best.gap() + slack * mean;
                let plan = steady(jobs, *workers, terms, previous, hysteresis, slack);
                let mut fewest = u64::MAX;
                instance.each(|given, low, high| {
                    if high - low <= bound {
                        fewest = fewest.min(instance.loads(given));
                    }
                });
                let what = format!("{family}, seed {seed}, {hysteresis}, {slack}: {instance:?}");
                let few = |given: &[u64]| instance.loads(given) <= fewest;
                claim(&instance, plan, instance.best(few, |given| instance.distance(given)), &what);
                kept += u64::from(fewest == 0);
            }
        }
    }
    assert!(kept > 1000, "hysteresis is tried: {kept} divisions are kept");
}

#[test]
fn the_lowest_rates_are_as_high_as_by_exhaustive_search() {
    for family in FAMILIES.into_iter().filter(|family| *family != "plateaus") {
        for seed in 0..3000 {
            let instance = Instance::random(family, seed, 5, 10);
            let Instance { jobs, workers, terms, .. } = &instance;
            let sorted = |given: &[u64]| {
                let running = (0..jobs.len()).filter(|&i| jobs[i].work > 0.0);
                let mut rates: Vec<f64> = running.map(|i| instance.rate(i, given[i])).collect();
                rates.sort_unstable_by(f64::total_cmp);
                rates
            };
            let mut best: Vec<f64> = Vec::new();
            instance.each(|given, _, _| {
                let rates = sorted(given);
                if rates > best {
                    best = rates;
                }
            });
            let plan = leximin(jobs, *workers, terms);
            assert_eq!(sorted(&plan.workers), best, "{family}, seed {seed}: {instance:?} {plan:?}");
        }
    }
}

/// The smallest case on which the published program is wrong.
#[test]
fn the_published_program_misses_the_least_gap() {
    let job = |queries, elapsed, work| Job { queries, elapsed, work, weight: 1.0 };
    let jobs = [job(3.0, 1.0, 4.0), job(7.0, 8.0, 1.0), job(4.0, 0.0, 7.0)];
    let terms = Terms::default();
    let wrong = published(&jobs, 4, &terms, 1000).expect("it is small");
    let right = allocate(&jobs, 4, &terms);
    assert_eq!(
        (wrong.workers.as_slice(), format!("{:.4}", wrong.gap())),
        ([2, 1, 1].as_slice(), "0.4286".into())
    );
    assert_eq!(
        (right.workers.as_slice(), format!("{:.4}", right.gap())),
        ([1, 2, 1].as_slice(), "0.2521".into())
    );
}

#[test]
fn the_published_program_takes_from_the_last_job_in_a_tie_and_refuses_what_is_too_large() {
    let jobs = [Job { queries: 1.0, elapsed: 0.0, work: 1.0, weight: 1.0 }; 2];
    let plan = published(&jobs, 3, &Terms::default(), 18).expect("it takes 2·3² steps");
    assert_eq!(plan.workers, [2, 1]);
    let refusal = published(&jobs, 3, &Terms::default(), 17).expect_err("one step too many");
    assert!(refusal.to_string().contains("2·3² steps"), "{refusal}");
}

#[test]
fn loads_count_the_workers_that_change_their_job() {
    assert_eq!(loads(&[3, 0, 5], &[2, 4, 2]), 4);
}
