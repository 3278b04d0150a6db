//! Fair division of equal workers among jobs, exactly: the least possible range of their lifetime query rates.
//!
//! A job with `Q` queries that has run for `e` seconds and has `W` seconds of work left will have had the lifetime rate
//! `f(C) = Q / (e + W / C)` when `C` workers finish it; `f(0) = 0`. [`allocate`] finds whole numbers `C` whose sum is the number
//! of workers and for which the largest rate is as little above the smallest as it can be. This is the fair (or equipollent)
//! resource allocation problem of Katoh, Ibaraki and Mine.
//!
//! Rates within `[low, high]` are possible exactly when the fewest workers that reach `low` and the most that stay within
//! `high` leave room for the sum on both sides. That bounds `low` from above and `high` from below by two order statistics of all
//! rates (`levels.rs`), and leaves one candidate for `low` per job (`sweep.rs`). The cost is O(m log m) for m jobs, whatever
//! the number of workers, and the answer is that of an exhaustive search to the last bit: rates are compared as they are evaluated
//! in double precision.
//!
//! Weights divide rates. Jobs without work left are given nothing and do not count.

mod curve;
mod dp;
mod fill;
mod levels;
mod leximin;
mod sweep;
mod switching;
#[cfg(test)]
mod tests;

pub use dp::{STEPS_MAX, TooLarge, published};
pub use leximin::leximin;
pub use switching::{at_most_loads, loads, steady};

use curve::Curve;

/// The most workers and the most jobs' worth of them that can be divided: whole numbers up to here are exact as doubles.
pub const WORKERS_MAX: u64 = 1 << 53;

/// Up to as many workers are dealt one by one.
const FEW: u64 = 32;

/// What has to be known of a job. Each number is finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// Queries in all.
    pub queries: f64,
    /// Seconds since it arrived.
    pub elapsed: f64,
    /// Seconds that one worker would need for what is left; 0 when it is finished.
    pub work: f64,
    /// Its share relative to other jobs, more than 0: its rate counts divided by this.
    pub weight: f64,
}

/// What a division has to respect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Whether every job that has work left gets a worker, if there are as many workers as such jobs.
    pub at_least_one: bool,
    /// No job gets a further worker that would raise its rate by less than this share of itself; 0 is without a cap. Workers
    /// that no job may have are left over.
    pub cap: f64,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { at_least_one: true, cap: 0.0 }
    }
}

/// A division of workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// For each job, in their order.
    pub workers: Vec<u64>,
    /// The lowest lifetime rate (divided by weight) of a job with work left; 0 without jobs.
    pub low: f64,
    /// The highest one.
    pub high: f64,
}

impl Plan {
    /// How far the rates are apart.
    pub fn gap(&self) -> f64 {
        self.high - self.low
    }
}

/// Divides `workers` among `jobs` so that the gap is the least possible.
///
/// Of several ranges of the same least width the lowest is taken, and within the range the lexicographically smallest numbers of
/// workers.
///
/// # Panics
///
/// When a job is not as [`Job`] says, or with more than [`WORKERS_MAX`] workers.
pub fn allocate(jobs: &[Job], workers: u64, terms: &Terms) -> Plan {
    let problem = Problem::new(jobs, workers, terms);
    let Some(bounds) = problem.bounds() else { return problem.nothing() };
    let window = sweep::best(&problem, bounds);
    problem.plan(&fill::lexicographic(&problem, window), window)
}

/// The same, but within the range the numbers that differ least from `previous`: as few workers as possible change their job.
/// Of several such the lexicographically smallest.
pub fn nearest(jobs: &[Job], workers: u64, terms: &Terms, previous: &[u64]) -> Plan {
    let problem = Problem::new(jobs, workers, terms);
    let Some(bounds) = problem.bounds() else { return problem.nothing() };
    let window = sweep::best(&problem, bounds);
    problem.plan(&fill::nearest(&problem, window, &problem.running(previous)), window)
}

/// Rates from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    low: f64,
    high: f64,
}

/// What bounds the window: `low` is at most `low_most`, and `high` at least `high_least`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    low_most: f64,
    high_least: f64,
}

/// The jobs with work left, and how many workers they get.
struct Problem {
    curves: Vec<Curve>,
    /// The position of each curve among the jobs; empty when every job has a curve.
    positions: Vec<usize>,
    jobs: usize,
    /// The fewest workers of each: 0 or 1.
    least: u64,
    /// The workers that are divided.
    workers: u64,
}

impl Problem {
    fn new(jobs: &[Job], workers: u64, terms: &Terms) -> Problem {
        assert!(workers <= WORKERS_MAX, "{workers} workers are more than {WORKERS_MAX}");
        let finished = jobs.iter().filter(|job| job.work <= 0.0).count();
        let running = || jobs.iter().enumerate().filter(|(_, job)| job.work > 0.0);
        let positions =
            if finished == 0 { Vec::new() } else { running().map(|(position, _)| position).collect() };
        let mut curves: Vec<Curve> = running().map(|(_, job)| Curve::new(job, workers)).collect();
        assert_eq!(curves.len() + finished, jobs.len(), "work is a number");
        let mut usable = workers;
        if terms.cap > 0.0 && workers > 0 {
            usable = 0;
            for curve in &mut curves {
                curve.most = curve.capped(terms.cap, workers);
                usable = usable.saturating_add(curve.most);
            }
        }
        let least = u64::from(terms.at_least_one && workers >= curves.len() as u64);
        Problem { curves, positions, jobs: jobs.len(), least, workers: workers.min(usable) }
    }

    /// What bounds the window; `None` when there is nothing to divide.
    fn bounds(&self) -> Option<Bounds> {
        self.bounds_with(FEW)
    }

    /// The same, dealing up to `few` workers one by one.
    fn bounds_with(&self, few: u64) -> Option<Bounds> {
        if self.workers == 0 || self.curves.is_empty() {
            return None;
        }
        let jobs = self.curves.len() as u64;
        let rates =
            levels::Rates { curves: &self.curves, range: |position: usize| (1, self.curves[position].most) };
        let (reached, enough) = if self.workers < jobs {
            (0.0, rates.nth(self.workers, &mut 0.0))
        } else if self.workers <= few {
            rates.nth_of_few(self.workers - jobs + 1, self.workers)
        } else {
            let mut near = 0.0;
            let enough = rates.nth(self.workers, &mut near);
            (rates.nth(self.workers - jobs + 1, &mut near), enough)
        };
        let first = self.curves.iter().map(|curve| curve.rate(self.least)).fold(0.0, f64::max);
        Some(Bounds { low_most: reached, high_least: enough.max(first) })
    }

    /// The plan that gives nobody anything.
    fn nothing(&self) -> Plan {
        Plan { workers: vec![0; self.jobs], low: 0.0, high: 0.0 }
    }

    /// The values of running jobs among those of all.
    fn running(&self, all: &[u64]) -> Vec<u64> {
        assert_eq!(all.len(), self.jobs, "one number for each job");
        if self.positions.is_empty() && self.curves.len() == self.jobs {
            return all.to_vec();
        }
        self.positions.iter().map(|&position| all[position]).collect()
    }

    /// The numbers of running jobs as a plan for all.
    fn plan(&self, running: &[u64], window: Window) -> Plan {
        debug_assert_eq!(self.window_of(running), window, "an optimal window is tight");
        let workers = if self.curves.len() == self.jobs {
            running.to_vec()
        } else {
            let mut workers = vec![0; self.jobs];
            for (&position, &share) in self.positions.iter().zip(running) {
                workers[position] = share;
            }
            workers
        };
        Plan { workers, low: window.low, high: window.high }
    }

    /// The range of the rates of running jobs.
    fn window_of(&self, running: &[u64]) -> Window {
        let rates = || self.curves.iter().zip(running).map(|(curve, &workers)| curve.rate(workers));
        Window { low: rates().fold(f64::INFINITY, f64::min), high: rates().fold(0.0, f64::max) }
    }
}
