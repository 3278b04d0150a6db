//! What policies answer, each in a view made by hand.

use super::*;
use crate::base::{JobId, NodeId, Span, Time};

/// A job of this many queries that cost `seconds` each, half of them done, of which all others wait.
pub(super) fn job(id: u64, queries: u64, seconds: f64) -> JobView {
    JobView {
        job: JobId(id as u32),
        model: "letters".into(),
        arrived: Time(id * 1_000_000_000),
        elapsed: Span::secs(100 - id),
        total: queries,
        done: queries / 2,
        waiting: queries - queries / 2,
        serving: 0,
        allocated: 0,
        rate: 0.0,
        rate_span: Span::secs(10),
        held: 0,
        seconds_per_query: seconds,
        seconds_by_kind: Vec::new(),
        isolated_seconds: None,
        weight: 1.0,
        priority: 0,
    }
}

pub(super) fn workers(count: u64) -> Vec<WorkerView> {
    let worker = |id| WorkerView {
        id: NodeId::new(id),
        kind: "cpu".into(),
        warm: Vec::new(),
        serving: None,
        held: 0,
        free: 2,
        refusals: 0,
    };
    (1..=count).map(worker).collect()
}

pub(super) fn at<'a>(seconds: u64, jobs: &'a [JobView], workers: &'a [WorkerView]) -> ClusterView<'a> {
    ClusterView { now: Time::ZERO + Span::secs(seconds), jobs, workers, draw: 7 }
}

fn divided(policy: &dyn Policy, jobs: &[JobView], count: u64) -> Vec<u32> {
    divide(policy, &at(100, jobs, &workers(count)))
}

#[test]
fn policies_are_listed_in_order_and_each_says_what_it_does() {
    let all = all(&Options::default());
    assert!(all.is_sorted_by(|a, b| a.name() < b.name()), "{all:?}");
    for policy in all {
        let about = policy.about();
        assert!(!about.is_empty() && about.len() <= 120 && !about.ends_with('.'), "{}", policy.name());
    }
}

#[test]
fn every_policy_uses_every_worker_while_queries_wait() {
    for policy in all(&Options { hysteresis: 0.0, slack: 0.0, ..Options::default() }) {
        for (jobs, count) in [(1, 1), (1, 7), (2, 10), (5, 3), (9, 40)] {
            let jobs: Vec<JobView> = (1..=jobs).map(|id| job(id, 1_000 * id, 0.1 * id as f64)).collect();
            let given = divided(&*policy, &jobs, count);
            assert_eq!(given.iter().sum::<u32>(), count as u32, "{}: {given:?}", policy.name());
        }
    }
}

#[test]
fn nobody_gets_a_worker_where_there_is_none_and_nothing_is_divided_among_no_jobs() {
    for policy in all(&Options::default()) {
        assert_eq!(divided(&*policy, &[job(1, 10, 1.0)], 0), [0], "{}", policy.name());
        assert_eq!(divided(&*policy, &[], 3), [0_u32; 0], "{}", policy.name());
    }
}

#[test]
fn rates_are_balanced_by_giving_slow_queries_more_workers() {
    let mut jobs = [job(1, 1_000, 0.49), job(2, 1_000, 0.07)];
    for job in &mut jobs {
        job.rate = 14.0;
    }
    assert_eq!(divided(&RateBalance, &jobs, 8), [7, 1]);
    assert_eq!(divided(&TimeShare, &jobs, 8), [7, 1]);
    assert_eq!(divided(&Even, &jobs, 8), [4, 4]);
    assert_eq!(divided(&Random, &jobs, 8), [7, 1], "random places, and does not choose");
    jobs[1].weight = 7.0;
    assert_eq!(divided(&TimeShare, &jobs, 8), [4, 4]);
    jobs[1].rate = 98.0;
    assert_eq!(divided(&RateBalance, &jobs, 8), [4, 4]);
}

#[test]
fn the_lowest_count_gets_everyone_until_it_has_caught_up() {
    let mut jobs = [job(1, 100, 1.0), job(2, 100, 1.0)];
    jobs[1].done = 0;
    assert_eq!(divided(&CountBalance, &jobs, 6), [0, 6]);
    jobs[1].done = jobs[0].done;
    assert_eq!(divided(&CountBalance, &jobs, 6), [3, 3]);
    jobs[0].weight = 2.0;
    assert_eq!(divided(&CountBalance, &jobs, 6), [6, 0]);
}

#[test]
fn queues_serve_one_job_and_priorities_go_first() {
    let mut jobs = [job(1, 1_000, 1.0), job(2, 400, 1.0), job(3, 600, 1.0)];
    assert_eq!(divided(&Fifo, &jobs, 6), [6, 0, 0]);
    assert_eq!(divided(&ShortestRemaining, &jobs, 6), [0, 6, 0]);
    jobs[0].weight = 10.0;
    assert_eq!(divided(&ShortestRemaining, &jobs, 6), [6, 0, 0]);
    jobs[2].priority = 1;
    assert_eq!(divided(&Fifo, &jobs, 6), [0, 0, 6]);
    assert_eq!(divided(&ShortestRemaining, &jobs, 6), [0, 0, 6]);
    jobs[2].waiting = 4;
    assert_eq!(divided(&Fifo, &jobs, 6), [2, 0, 4], "what is left over goes on to the next");
}

#[test]
fn more_jobs_than_workers_take_turns_and_none_is_left_out() {
    let jobs: Vec<JobView> = (1..=7).map(|id| job(id, 100, 0.5)).collect();
    let workers = workers(3);
    for policy in [&Even as &dyn Policy, &TimeShare, &FairTime::new(&Options::default())] {
        let mut served = vec![0; jobs.len()];
        for turn in 0..7 {
            let given = policy.allocate(&at(turn * 2, &jobs, &workers)).expect("it allocates");
            assert_eq!(given.iter().sum::<u32>(), 3);
            served.iter_mut().zip(given).for_each(|(sum, given)| *sum += given);
        }
        assert_eq!(served, [3; 7], "{}", policy.name());
    }
}

#[test]
fn random_places_on_every_free_worker_alike_and_least_load_on_whoever_holds_least() {
    let jobs = [job(1, 100, 1.0)];
    let mut workers = workers(4);
    workers[1].free = 0;
    (workers[0].held, workers[2].held, workers[3].held) = (3, 1, 2);
    assert_eq!(LeastLoad.place(&at(0, &jobs, &workers), 0), Some(2));
    let mut rng = crate::base::Rng::new(5);
    let mut hits = [0; 4];
    for _ in 0..3_000 {
        let view = ClusterView { draw: rng.bits(), ..at(0, &jobs, &workers) };
        hits[Random.place(&view, 0).expect("someone is free")] += 1;
    }
    assert!(hits[1] == 0 && hits.iter().all(|&n| n == 0 || (900..1_100).contains(&n)), "{hits:?}, seed 5");
    for worker in &mut workers {
        worker.free = 0;
    }
    assert_eq!(Random.place(&at(0, &jobs, &workers), 0), None);
    assert_eq!(LeastLoad.place(&at(0, &jobs, &workers), 0), None);
}

#[test]
fn a_job_that_was_never_served_comes_before_those_that_only_rest() {
    // All were silent for a window, and the last job has never had a turn.
    let mut jobs: Vec<JobView> = (1..=3).map(|id| job(id, 100, 1.0)).collect();
    jobs[2].done = 0;
    assert_eq!(RateBalance.pick(&at(0, &jobs, &[]), &workers(1)[0]), Some(2));
}
