//! Jobs as the exact allocations see them: what they have done, and what they have left.

use super::fair::{Job, Plan, Terms};
use super::{ClusterView, JobView, Options};

/// The seconds that a query of each job takes; of one that has not answered anything yet the mean of the others, and 1 when
/// nothing is known of any.
pub(super) fn seconds(view: &ClusterView<'_>) -> Vec<f64> {
    let known = || view.jobs.iter().map(|job| job.seconds_per_query).filter(|&seconds| seconds > 0.0);
    let usual = if known().next().is_none() { 1.0 } else { known().sum::<f64>() / known().count() as f64 };
    let of = |job: &JobView| if job.seconds_per_query > 0.0 { job.seconds_per_query } else { usual };
    view.jobs.iter().map(of).collect()
}

/// The jobs of a view, with `queries` as the measure of what each gets.
pub(super) fn jobs(view: &ClusterView<'_>, queries: impl Fn(&JobView, f64) -> f64) -> Vec<Job> {
    let job = |(job, seconds): (&JobView, f64)| Job {
        queries: queries(job, seconds),
        elapsed: job.elapsed.as_secs(),
        work: seconds * job.total.saturating_sub(job.done) as f64,
        weight: job.weight,
    };
    view.jobs.iter().zip(seconds(view)).map(job).collect()
}

/// The workers of a view.
pub(super) fn workers(view: &ClusterView<'_>) -> u32 {
    view.workers.len() as u32
}

/// What the options say about divisions.
pub(super) fn terms(options: &Options) -> Terms {
    Terms { at_least_one: options.at_least_one, cap: options.cap }
}

/// The answer of a policy; there are fewer than 2³² workers in a view.
pub(super) fn answer(plan: &Plan) -> Vec<u32> {
    plan.workers.iter().map(|&workers| workers as u32).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{
        ClusterView, FairTime, FairTimeDp, FinishTime, JobView, MaxMin, Options, Policy, WorkerView,
    };
    use crate::base::{JobId, NodeId, Span, Time};

    /// A job of 1,000 queries, of which so many are done, at so many seconds each.
    fn job(id: u64, done: u64, seconds_per_query: f64, allocated: u32) -> JobView {
        JobView {
            job: JobId(id as u32),
            model: "m".into(),
            arrived: Time::ZERO,
            elapsed: Span::secs(10),
            total: 1000,
            done,
            waiting: 1000 - done,
            serving: allocated,
            allocated,
            rate: 0.0,
            rate_span: Span::secs(10),
            held: 0,
            seconds_per_query,
            seconds_by_kind: Vec::new(),
            isolated_seconds: None,
            weight: 1.0,
            priority: 0,
        }
    }

    fn allocate(policy: &dyn Policy, jobs: &[JobView], workers: u64) -> Vec<u32> {
        let worker = |id: u64| WorkerView {
            id: NodeId::new(id),
            kind: Arc::from("cpu"),
            warm: Vec::new(),
            serving: None,
            held: 0,
            free: 1,
            refusals: 0,
        };
        let workers: Vec<WorkerView> = (0..workers).map(worker).collect();
        let view = ClusterView { now: Time::ZERO, jobs, workers: &workers, draw: 0 };
        policy.allocate(&view).expect("it allocates")
    }

    #[test]
    fn an_allocation_stays_while_its_gap_is_small() {
        let usual = FairTime::new(&Options::default());
        let exact = FairTime::new(&Options { hysteresis: 0.0, slack: 0.0, ..Options::default() });
        let near = [job(1, 480, 1.0, 20), job(2, 520, 1.0, 20)];
        assert_eq!(allocate(&exact, &near, 40), [21, 19]);
        assert_eq!(allocate(&usual, &near, 40), [20, 20]);
        // One load is enough here, though two would be best.
        let far = [job(1, 450, 1.0, 20), job(2, 550, 1.0, 20)];
        assert_eq!(allocate(&exact, &far, 40), [22, 18]);
        assert_eq!(allocate(&usual, &far, 40), [21, 19]);
    }

    #[test]
    fn it_is_planned_anew_when_a_job_or_a_worker_comes_or_goes() {
        let policy = FairTime::new(&Options::default());
        let jobs = [job(1, 450, 1.0, 20), job(2, 550, 1.0, 20)];
        assert_eq!(allocate(&policy, &jobs, 41), [23, 18], "a worker came");
        assert_eq!(allocate(&policy, &jobs, 38), [21, 17], "workers went");
        let jobs = [jobs[0].clone(), jobs[1].clone(), job(3, 0, 1.0, 0)];
        let shares = allocate(&policy, &jobs, 40);
        assert!(shares[2] > shares[0] && shares[0] > shares[1], "a job came: {shares:?}");
        let jobs = [job(1, 450, 1.0, 20), job(2, 1000, 1.0, 20)];
        assert_eq!(allocate(&policy, &jobs, 40), [40, 0], "a job has nothing left");
    }

    #[test]
    fn a_job_of_which_nothing_is_known_costs_as_much_as_the_others() {
        let options = Options::default();
        let policies: [&dyn Policy; 4] = [
            &FairTime::new(&options),
            &FairTimeDp::new(&options),
            &MaxMin::new(&options),
            &FinishTime::new(&options),
        ];
        for policy in policies {
            let jobs = [job(1, 0, 2.0, 0), job(2, 0, 0.0, 0)];
            assert_eq!(allocate(policy, &jobs, 10), [5, 5], "{}", policy.name());
            let jobs = [job(1, 0, 0.0, 0), job(2, 0, 0.0, 0), job(3, 0, 0.0, 0)];
            assert_eq!(allocate(policy, &jobs, 9), [3, 3, 3], "{}", policy.name());
        }
    }

    #[test]
    fn weights_divide_rates() {
        let mut jobs = [job(1, 0, 1.0, 0), job(2, 0, 1.0, 0)];
        for job in &mut jobs {
            job.elapsed = Span::ZERO;
        }
        jobs[0].weight = 3.0;
        let options = Options::default();
        let policies: [&dyn Policy; 4] = [
            &FairTime::new(&options),
            &FairTimeDp::new(&options),
            &MaxMin::new(&options),
            &FinishTime::new(&options),
        ];
        for policy in policies {
            assert_eq!(allocate(policy, &jobs, 8), [6, 2], "{}", policy.name());
        }
    }

    #[test]
    fn the_largest_rho_is_as_small_as_it_can_be() {
        let mut jobs = [job(1, 200, 0.5, 0), job(2, 700, 2.0, 0)];
        jobs[1].isolated_seconds = Some(40.0);
        let alone = [1000.0 * 0.5 / 12.0, 40.0];
        let rho = |position: usize, workers: f64| {
            let JobView { done, seconds_per_query, .. } = &jobs[position];
            (10.0 + (1000 - done) as f64 * seconds_per_query / workers) / alone[position]
        };
        let largest = |first: u32| rho(0, f64::from(first)).max(rho(1, f64::from(12 - first)));
        let best = (1..12).min_by(|&a, &b| largest(a).total_cmp(&largest(b))).expect("there are some");
        assert_eq!(allocate(&FinishTime::new(&Options::default()), &jobs, 12), [best, 12 - best]);
    }

    #[test]
    fn the_program_is_not_run_where_a_cluster_would_wait_for_it() {
        let jobs: Vec<JobView> = (0..300).map(|id| job(id, id, 1.0, 0)).collect();
        let shares = allocate(&FairTimeDp::new(&Options::default()), &jobs, 3000);
        assert_eq!(shares.iter().sum::<u32>(), 3000);
        let exact = FairTime::new(&Options { hysteresis: 0.0, slack: 0.0, ..Options::default() });
        assert_eq!(shares.iter().max(), allocate(&exact, &jobs, 3000).iter().max());
    }
}
