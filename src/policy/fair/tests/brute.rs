//! Exhaustive search over all divisions of a few workers among a few jobs, and the random instances that it is run on.

use crate::base::Rng;
use crate::policy::fair::{Job, Terms, loads};

/// The families of random instances.
pub(super) const FAMILIES: [&str; 7] =
    ["service-like", "log-uniform", "tiny integers", "linear", "saturated", "identical", "plateaus"];

/// A random instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) jobs: Vec<Job>,
    pub(super) workers: u64,
    pub(super) terms: Terms,
    /// A division that came before; nothing is promised of it.
    pub(super) previous: Vec<u64>,
}

impl Instance {
    /// Up to `jobs` jobs and `workers` workers.
    pub(super) fn random(family: &str, seed: u64, jobs: u64, workers: u64) -> Instance {
        let mut rng = Rng::new(seed).fork(family);
        let (m, n) = (1 + rng.below(jobs), rng.below(workers + 1));
        let mut jobs: Vec<Job> = (0..m).map(|_| job(family, &mut rng)).collect();
        if family == "identical" {
            let first = jobs[0];
            jobs.fill(first);
        }
        for job in &mut jobs {
            if rng.chance(0.05) {
                job.work = 0.0;
            }
            if rng.chance(0.1) {
                job.weight = [0.5, 2.0, 3.0][rng.below(3) as usize];
            }
        }
        let cap = if rng.chance(0.2) { rng.unit() * 0.5 } else { 0.0 };
        let previous = previous(&mut rng, m, n);
        Instance { jobs, workers: n, terms: Terms { at_least_one: rng.chance(0.5), cap }, previous }
    }

    /// The rate of a job, divided by its weight.
    pub(super) fn rate(&self, position: usize, workers: u64) -> f64 {
        let Job { queries, elapsed, work, weight } = self.jobs[position];
        let queries = (queries / weight).max(1e-100);
        if workers == 0 { 0.0 } else { queries / (elapsed + work / workers as f64) }
    }

    fn is_running(&self, position: usize) -> bool {
        self.jobs[position].work > 0.0
    }

    /// The fewest and the most workers that each job may have, one worker at a time; and their sum.
    fn allowed(&self) -> (Vec<(u64, u64)>, u64) {
        let running = (0..self.jobs.len()).filter(|&position| self.is_running(position)).count() as u64;
        let least = u64::from(self.terms.at_least_one && self.workers >= running);
        let most = |position: usize| {
            let Job { elapsed, work, .. } = self.jobs[position];
            let gain = |c: f64| work / (c * (elapsed * (c + 1.0) + work));
            let capped = (1..self.workers).find(|&c| self.terms.cap > 0.0 && gain(c as f64) < self.terms.cap);
            capped.unwrap_or(self.workers)
        };
        let range = |position| if self.is_running(position) { (least, most(position)) } else { (0, 0) };
        let ranges: Vec<(u64, u64)> = (0..self.jobs.len()).map(range).collect();
        let sum = ranges.iter().map(|(_, most)| most).sum::<u64>().min(self.workers);
        (ranges, sum)
    }

    /// Every division that the terms allow, in lexicographic order, with its lowest and its highest rate.
    pub(super) fn each(&self, mut visit: impl FnMut(&[u64], f64, f64)) {
        let (ranges, sum) = self.allowed();
        let table: Vec<Vec<f64>> = (0..self.jobs.len())
            .map(|position| (0..=self.workers).map(|workers| self.rate(position, workers)).collect())
            .collect();
        let mut given = vec![0; self.jobs.len()];
        let search =
            Search { ranges: &ranges, table: &table, running: &|position| self.is_running(position) };
        search.from(0, sum, (f64::INFINITY, 0.0), &mut given, &mut visit);
    }

    /// The best division by `key`, the first of several, among those that `admit` takes.
    pub(super) fn best<K: PartialOrd>(
        &self,
        admit: impl Fn(&[u64]) -> bool,
        key: impl Fn(&[u64]) -> K,
    ) -> Option<Found> {
        let mut best: Option<Keyed<K>> = None;
        self.each(|given, low, high| {
            let width = width(low, high);
            if best.as_ref().is_some_and(|(best, _)| best.0 < width) || !admit(given) {
                return;
            }
            let key = (width, low, key(given));
            if best.as_ref().is_none_or(|(best, _)| key < *best) {
                best = Some((key, Found { workers: given.to_vec(), low, high }));
            }
        });
        best.map(|(_, found)| found)
    }

    /// How many workers would change their job, counted at both ends.
    pub(super) fn distance(&self, given: &[u64]) -> u64 {
        let differences = given.iter().zip(&self.previous).enumerate();
        differences.filter(|(position, _)| self.is_running(*position)).map(|(_, (a, b))| a.abs_diff(*b)).sum()
    }

    pub(super) fn loads(&self, given: &[u64]) -> u64 {
        loads(&self.previous, given)
    }
}

/// What the search found.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) workers: Vec<u64>,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A division with what it is judged by: the exact width of its range, the lower end, and a key.
type Keyed<K> = (((f64, f64), f64, K), Found);

struct Search<'a> {
    ranges: &'a [(u64, u64)],
    table: &'a [Vec<f64>],
    running: &'a dyn Fn(usize) -> bool,
}

impl Search<'_> {
    fn from(
        &self,
        position: usize,
        left: u64,
        (low, high): (f64, f64),
        given: &mut Vec<u64>,
        visit: &mut dyn FnMut(&[u64], f64, f64),
    ) {
        let Some(&(least, most)) = self.ranges.get(position) else {
            if left == 0 {
                visit(given, low.min(high), high);
            }
            return;
        };
        let later: u64 = self.ranges[position + 1..].iter().map(|(_, most)| most).sum();
        for workers in least.max(left.saturating_sub(later))..=most.min(left) {
            given[position] = workers;
            let rate = self.table[position][workers as usize];
            let window = if (self.running)(position) { (low.min(rate), high.max(rate)) } else { (low, high) };
            self.from(position + 1, left - workers, window, given, visit);
        }
    }
}

/// The exact width of a range: rounded, and what rounding took away.
pub(super) fn width(low: f64, high: f64) -> (f64, f64) {
    let width = high - low;
    // Dekker's way, by magnitude: the larger operand first.
    let rest = if high >= low { (high - width) - low } else { -((low + width) - high) };
    (width, rest)
}

fn job(family: &str, rng: &mut Rng) -> Job {
    let log_uniform = |rng: &mut Rng, decades: f64| libm::pow(10.0, (rng.unit() - 0.5) * decades);
    let whole = |rng: &mut Rng, from: u64, to: u64| (from + rng.below(to - from + 1)) as f64;
    let (queries, elapsed, work) = match family {
        "service-like" => {
            let total = whole(rng, 100, 1000);
            let seconds = 0.05 + rng.unit();
            let left = 1.0 + rng.below(total as u64) as f64;
            (total, rng.unit() * 60.0, seconds * left)
        }
        "tiny integers" => (whole(rng, 1, 8), whole(rng, 0, 8), whole(rng, 1, 8)),
        "linear" => (whole(rng, 1, 100), 0.0, whole(rng, 1, 100)),
        // One worker already comes near the most that is possible.
        "saturated" => {
            (whole(rng, 1, 50), 1.0 + rng.unit() * 100.0, rng.unit() * log_uniform(rng, 4.0) + 1e-6)
        }
        // Further workers disappear in the rounding.
        "plateaus" => (whole(rng, 1, 4), whole(rng, 1, 4), whole(rng, 1, 9) * 1e-16),
        _ => (log_uniform(rng, 6.0), log_uniform(rng, 6.0), log_uniform(rng, 6.0)),
    };
    Job { queries, elapsed, work, weight: 1.0 }
}

/// All workers dealt at random, sometimes with a few more or less.
fn previous(rng: &mut Rng, jobs: u64, workers: u64) -> Vec<u64> {
    let mut previous = vec![0; jobs as usize];
    let dealt = if rng.chance(0.7) { workers } else { rng.below(workers + 3) };
    for _ in 0..dealt {
        previous[rng.below(jobs) as usize] += 1;
    }
    previous
}
