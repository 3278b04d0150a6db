//! Asks policies to divide workers among jobs, and says what comes of it.

use std::sync::Arc;

use super::jobs::{Previous, Row, column};
use crate::base::{JobId, NodeId, Rng, Span, Time};
use crate::cli::text::{count, some};
use crate::policy::fair::{STEPS_MAX, TooLarge};
use crate::policy::{self, ClusterView, JobView, Policy, WorkerView};

/// The most workers that are given out one by one, to policies that only pick.
const PICKED_MAX: u32 = 100_000;
/// The most questions, each about all jobs, that those are asked in jobs times workers.
const LOOKS_MAX: u64 = 2_000_000_000;
/// The most workers that are described one by one, to policies that see them all at once.
const DESCRIBED_MAX: u32 = 1_000_000;

/// Over what a rate in `recent_qps` is taken to have been measured, or since the arrival of younger jobs.
const RATE_SPAN: Span = Span::secs(10);

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    /// Every job, in the order of the file.
    pub(super) rows: Vec<Row>,
    /// The positions in `rows` of the jobs that have something left to do.
    open: Vec<usize>,
    /// What policies see of those.
    views: Vec<JobView>,
    /// The latest moment that a row tells of.
    now: Time,
    /// How many workers.
    pub(super) workers: u32,
    /// What policies draw from.
    seed: u64,
}

/// What one policy answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) policy: &'static str,
    pub(super) outcome: Outcome,
}

/// How it answers.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It divides the workers.
    Divided(Division),
    /// It cannot, and this is why.
    Unable(String),
}

/// One way to divide the workers.
#[derive(Debug)]
pub(super) struct Division {
    /// For each job of the file its workers and its rate; no rate where the job has ended in no time.
    pub(super) jobs: Vec<(u32, Option<f64>)>,
    pub(super) totals: Totals,
}

/// What a division comes to, over the jobs that have something left to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Totals {
    /// The highest lifetime rate minus the lowest, each divided by its job's weight, in queries per second.
    pub(super) gap: f64,
    /// The same over the highest; `None` when no rate is above zero.
    pub(super) relative_gap: Option<f64>,
    /// The sum of the lifetime rates.
    pub(super) aggregate: f64,
    /// The queries per second that the workers will answer: the sum of workers over seconds per query.
    pub(super) instantaneous: f64,
    /// Jain's index of the lifetime rates divided by the weights, from 1/m (one job has all) to 1 (all are equal); `None` when all are zero.
    pub(super) jain: Option<f64>,
    /// Workers that have to load another model than they had.
    pub(super) loads: u64,
    /// Workers that are left without a job.
    pub(super) idle: u32,
    /// Jobs with something left to do and without a worker.
    pub(super) starved: usize,
}

impl Question {
    /// What policies shall be asked.
    pub(super) fn new(rows: Vec<Row>, previous: &Previous, workers: u32, seed: u64) -> Question {
        let open: Vec<usize> = (0..rows.len()).filter(|&position| rows[position].remaining > 0).collect();
        let ages: Vec<(Option<Span>, Span)> = rows
            .iter()
            .map(|row| (row.arrival_s.map(Span::from_secs), Span::from_secs(row.elapsed_s)))
            .collect();
        // Without arrivals the oldest job came at time zero.
        let latest = ages.iter().map(|(arrival, age)| Span(arrival.map_or(0, |at| at.0) + age.0)).max();
        let now = Time(latest.unwrap_or(Span::ZERO).0);
        let view = |&position: &usize| {
            let row = &rows[position];
            let (arrival, age) = ages[position];
            let had = previous.workers.get(&row.name).copied().unwrap_or(0);
            JobView {
                job: JobId(position as u32 + 1),
                model: row.name.as_str().into(),
                arrived: Time(arrival.map_or(now.0 - age.0, |at| at.0)),
                elapsed: age,
                total: row.queries,
                done: row.queries - row.remaining,
                waiting: row.remaining,
                serving: had,
                allocated: had,
                rate: row.recent_qps.unwrap_or(0.0),
                rate_span: if age == Span::ZERO { RATE_SPAN } else { age.min(RATE_SPAN) },
                held: 0,
                seconds_per_query: row.seconds_per_query,
                seconds_by_kind: Vec::new(),
                isolated_seconds: row.isolated_s,
                weight: row.weight,
                priority: row.priority,
            }
        };
        let views = open.iter().map(view).collect();
        Question { rows, open, views, now, workers, seed }
    }

    /// What `policy` answers.
    pub(super) fn ask(&self, policy: &dyn Policy) -> Answer {
        let outcome = match self.refusal(policy) {
            Some(why) => Outcome::Unable(why),
            None => Outcome::Divided(self.division(&self.divide(policy))),
        };
        Answer { policy: policy.name(), outcome }
    }

    /// Why the policy cannot answer, if it cannot.
    fn refusal(&self, policy: &dyn Policy) -> Option<String> {
        let missing = policy.needs().iter().find_map(|need| {
            let row = self.open.iter().map(|&position| &self.rows[position]).find(|row| !row.meets(*need))?;
            Some(format!("needs {} of every job; that of {} is not known", column(*need), row.name))
        });
        missing.or_else(|| self.too_large(policy))
    }

    /// Why there are too many workers or jobs for the policy, if there are.
    fn too_large(&self, policy: &dyn Policy) -> Option<String> {
        let (jobs, workers) = (self.views.len() as u64, self.workers);
        if policy.name() == "fair_time_dp" {
            // In a cluster it then answers what fair_time does; whoever compares policies wants to know.
            let steps = jobs.saturating_mul(u64::from(workers)).saturating_mul(u64::from(workers));
            return (steps > STEPS_MAX)
                .then(|| TooLarge { jobs, workers: u64::from(workers), steps: STEPS_MAX }.to_string());
        }
        let one = self.describe(1);
        let view = self.view(policy, &one);
        let (limit, why) = if jobs == 0 || policy.allocate_equal(&view, 1).is_some() {
            return None;
        } else if policy.allocate(&view).is_some() {
            (DESCRIBED_MAX, "looks at every worker")
        } else {
            let limit = (LOOKS_MAX / jobs).clamp(1, u64::from(PICKED_MAX));
            (limit as u32, "gives out workers one by one, each time looking at every job")
        };
        let jobs = some(jobs, "job", "jobs");
        let (limit_shown, found) = (count(u64::from(limit)), count(u64::from(workers)));
        let why = || format!("{why}; with {jobs} it can be asked about {limit_shown} workers, not {found}");
        (workers > limit).then(why)
    }

    /// The workers of each open job.
    fn divide(&self, policy: &dyn Policy) -> Vec<u32> {
        if self.views.is_empty() {
            return Vec::new();
        }
        let equal = policy.allocate_equal(&self.view(policy, &[]), self.workers);
        equal.unwrap_or_else(|| {
            let workers = self.describe(self.workers);
            policy::divide(policy, &self.view(policy, &workers))
        })
    }

    /// What the policy sees.
    fn view<'a>(&'a self, policy: &dyn Policy, workers: &'a [WorkerView]) -> ClusterView<'a> {
        ClusterView { now: self.now, jobs: &self.views, workers, draw: self.draw(policy) }
    }

    /// The first `count` workers, all alike, the first ones at the models that they had before.
    fn describe(&self, count: u32) -> Vec<WorkerView> {
        let kind: Arc<str> = "cpu".into();
        let before = self.views.iter().flat_map(|job| std::iter::repeat_n(Some(job), job.serving as usize));
        let jobs = before.chain(std::iter::repeat(None));
        let worker = |(number, job): (u32, Option<&JobView>)| WorkerView {
            id: NodeId::new(u64::from(number) + 1),
            kind: Arc::clone(&kind),
            warm: job.map(|job| Arc::clone(&job.model)).into_iter().collect(),
            serving: job.map(|job| job.job),
            held: 0,
            free: 1,
            refusals: 0,
        };
        (0..count).zip(jobs).map(worker).collect()
    }

    /// What the policy may draw from: the same for the same seed, whoever else is asked.
    fn draw(&self, policy: &dyn Policy) -> u64 {
        Rng::new(self.seed).fork("allocate").fork(policy.name()).bits()
    }

    fn division(&self, given: &[u32]) -> Division {
        assert_eq!(given.len(), self.open.len(), "a policy answers for every job");
        let ended = |row: &Row| (row.elapsed_s > 0.0).then(|| row.queries as f64 / row.elapsed_s);
        let mut jobs: Vec<(u32, Option<f64>)> = self.rows.iter().map(|row| (0, ended(row))).collect();
        for ((&position, view), &workers) in self.open.iter().zip(&self.views).zip(given) {
            jobs[position] = (workers, Some(lifetime_rate(view, workers)));
        }
        Division { jobs, totals: self.totals(given) }
    }

    fn totals(&self, given: &[u32]) -> Totals {
        let rates = self.views.iter().zip(given).map(|(job, &n)| lifetime_rate(job, n));
        // From 0 on: the sum of nothing would be −0.
        let aggregate = rates.clone().fold(0.0, |sum, rate| sum + rate);
        let weighted: Vec<f64> = rates.zip(&self.views).map(|(rate, job)| rate / job.weight).collect();
        let high = weighted.iter().copied().fold(0.0, f64::max);
        let low = weighted.iter().copied().fold(high, f64::min);
        let sum: f64 = weighted.iter().sum();
        let squares: f64 = weighted.iter().map(|rate| rate * rate).sum();
        let loads = self.views.iter().zip(given).map(|(job, &n)| u64::from(n.saturating_sub(job.serving)));
        let taken: u64 = given.iter().map(|&n| u64::from(n)).sum();
        assert!(taken <= u64::from(self.workers), "a policy gives out no more workers than there are");
        Totals {
            gap: high - low,
            relative_gap: (high > 0.0).then(|| (high - low) / high),
            aggregate,
            instantaneous: self
                .views
                .iter()
                .zip(given)
                .fold(0.0, |sum, (job, &n)| sum + f64::from(n) / job.seconds_per_query),
            jain: (squares > 0.0).then(|| sum * sum / (weighted.len() as f64 * squares)),
            loads: loads.sum(),
            idle: (u64::from(self.workers) - taken) as u32,
            starved: given.iter().filter(|n| **n == 0).count(),
        }
    }
}

/// The queries per second of the job over its whole life, when it keeps this many workers to its end: Q / (e + S·R / C).
pub(super) fn lifetime_rate(job: &JobView, workers: u32) -> f64 {
    if workers == 0 {
        return 0.0;
    }
    let left = (job.total - job.done) as f64 * job.seconds_per_query;
    job.total as f64 / (job.elapsed.as_secs() + left / f64::from(workers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::allocate::jobs;

    fn question(text: &str, previous: &[(&str, u32)], workers: u32) -> Question {
        let rows = jobs::read(text.as_bytes(), "jobs.csv").unwrap_or_else(|error| panic!("{error}"));
        let workers_of = previous.iter().map(|(name, workers)| ((*name).to_owned(), *workers)).collect();
        Question::new(rows, &Previous { workers: workers_of, ended: Vec::new() }, workers, 1)
    }

    fn divided(question: &Question, policy: &str) -> Division {
        let policy = policy::by_name(policy, &policy::Options::default()).expect("there is such a policy");
        match question.ask(&*policy).outcome {
            Outcome::Divided(division) => division,
            Outcome::Unable(why) => panic!("{why}"),
        }
    }

    const HEAD: &str = "job,queries,elapsed_s,seconds_per_query,remaining\n";

    #[test]
    fn the_rate_is_that_of_the_jobs_whole_life() {
        // 100 queries in 20 s so far and 0.5 · 60 / 3 s more.
        let question = question(&format!("{HEAD}a,100,20,0.5,60\n"), &[], 3);
        let division = divided(&question, "even");
        assert_eq!(division.jobs, [(3, Some(100.0 / 30.0))]);
        assert_eq!(division.totals.aggregate.to_bits(), (100.0_f64 / 30.0).to_bits());
        assert_eq!(division.totals.instantaneous.to_bits(), 6.0_f64.to_bits());
    }

    #[test]
    fn totals_are_over_the_jobs_that_go_on() {
        let text = format!("{HEAD}a,100,0,1,100\nended,50,10,1,0\nb,100,0,2,100\n");
        let question = question(&text, &[("a", 1), ("b", 4)], 4);
        let division = divided(&question, "even");
        assert_eq!(division.jobs, [(2, Some(2.0)), (0, Some(5.0)), (2, Some(1.0))]);
        let totals = division.totals;
        assert_eq!((totals.gap, totals.relative_gap, totals.aggregate), (1.0, Some(0.5), 3.0));
        // (2 + 1)² / (2 · (4 + 1)).
        assert_eq!((totals.instantaneous, totals.jain), (3.0, Some(0.9)));
        assert_eq!((totals.loads, totals.idle, totals.starved), (1, 0, 0));
    }

    #[test]
    fn weights_divide_the_rates_that_are_compared() {
        let text =
            "job,queries,elapsed_s,seconds_per_query,remaining,weight\na,100,0,1,100,2\nb,100,0,1,100,1\n";
        let totals = divided(&question(text, &[], 3), "fair_time").totals;
        assert_eq!((totals.gap, totals.jain, totals.aggregate), (0.0, Some(1.0), 3.0));
    }

    #[test]
    fn the_published_program_is_not_asked_where_it_would_answer_as_another() {
        let small = question(&format!("{HEAD}a,9,0,1,9\nb,9,0,1,9\n"), &[], 3000);
        assert_eq!(divided(&small, "fair_time_dp").jobs[0].0, 1500);
        let large = question(&format!("{HEAD}a,9,0,1,9\nb,9,0,1,9\n"), &[], 4000);
        let policy = policy::by_name("fair_time_dp", &policy::Options::default()).unwrap();
        let Outcome::Unable(why) = large.ask(&*policy).outcome else { panic!("it shall be too large") };
        assert!(why.contains("m·n² = 2·4000² steps"), "{why}");
    }

    #[test]
    fn a_billion_workers_are_no_more_work_than_ten() {
        let question = question(&format!("{HEAD}a,9,0,1,9\nb,9,0,2,9\n"), &[], 1_000_000_000);
        let division = divided(&question, "fair_time");
        assert_eq!(division.jobs.iter().map(|(workers, _)| workers).sum::<u32>(), 1_000_000_000);
        assert_eq!(division.totals.idle, 0);
    }

    #[test]
    fn without_a_previous_allocation_every_worker_loads() {
        let question = question(&format!("{HEAD}a,9,0,1,9\nb,9,0,1,9\n"), &[], 5);
        assert_eq!(divided(&question, "even").totals.loads, 5);
    }

    #[test]
    fn no_job_is_left_or_no_worker_for_some() {
        let ended = question(&format!("{HEAD}a,9,3,1,0\nb,9,0,1,0\n"), &[], 5);
        let division = divided(&ended, "even");
        assert_eq!(division.jobs, [(0, Some(3.0)), (0, None)]);
        assert_eq!((division.totals.idle, division.totals.gap, division.totals.jain), (5, 0.0, None));
        let few = question(&format!("{HEAD}a,9,0,1,9\nb,9,0,1,9\n"), &[], 1);
        let totals = divided(&few, "even").totals;
        assert_eq!((totals.starved, totals.relative_gap, totals.jain), (1, Some(1.0), Some(0.5)));
    }
}
