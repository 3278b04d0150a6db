//! Selection among all rates of all jobs without listing them: the k-th smallest in a few passes over the jobs.
//!
//! Newton's method on `1 / s(t)`, with `s(t) = Σ W / (t·Q − e)` the workers that a common pace of `t` seconds per query takes,
//! comes near the wanted rank; the next rates of each job from there give a guess. Whether the guess is right is decided by
//! counting with evaluated rates, and a wrong one is put right by bisecting the bit patterns of doubles, so that the result is
//! exact whatever the guess was.

use super::curve::Curve;

/// Steps of Newton's method; it takes about five.
const STEPS_MAX: usize = 24;

/// The rates of each job with `from` to `to` workers, both inclusive, as one multiset; none of a job where `from > to`.
#[derive(Clone, Copy)]
pub(super) struct Rates<'a, R> {
    pub(super) curves: &'a [Curve],
    /// `from` and `to` of the job at a position.
    pub(super) range: R,
}

impl<R: Fn(usize) -> (u64, u64)> Rates<'_, R> {
    fn each(&self) -> impl Iterator<Item = (&Curve, u64, u64)> {
        self.curves.iter().enumerate().map(|(position, curve)| {
            let (from, to) = (self.range)(position);
            (curve, from, to)
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.each().fold(0, |sum, (_, from, to)| sum.saturating_add((to + 1).saturating_sub(from)))
    }

    /// How many are at most `level`.
    fn count(&self, level: f64) -> u64 {
        self.each().fold(0, |sum, (curve, from, to)| {
            sum.saturating_add((curve.at_most(level, to) + 1).saturating_sub(from))
        })
    }

    /// The `rank`-th smallest, counted from 1; infinite when there are fewer.
    pub(super) fn nth(&self, rank: u64) -> f64 {
        let len = self.len();
        if rank >= len {
            let last = self.each().filter(|(_, from, to)| from <= to).map(|(curve, _, to)| curve.rate(to));
            return if rank == len { last.fold(0.0, f64::max) } else { f64::INFINITY };
        }
        self.exactly(rank, self.guess(rank))
    }

    /// The smallest double at which `rank` rates are counted, looked for near `guess`.
    fn exactly(&self, rank: u64, guess: f64) -> f64 {
        let enough = |bits: u64| self.count(f64::from_bits(bits)) >= rank;
        // Doubles that are not negative are ordered like their bit patterns.
        let (first, last) = (0, f64::MAX.to_bits());
        let guess = if guess >= 0.0 { guess.to_bits().min(last) } else { first };
        let (mut low, mut high, mut step) = (guess, guess, 1);
        // `low` becomes one that is not enough and `high` one that is.
        if enough(guess) {
            loop {
                if low == first {
                    return 0.0;
                }
                low = low.saturating_sub(step);
                if !enough(low) {
                    break;
                }
                (high, step) = (low, step.saturating_mul(4));
            }
        } else {
            loop {
                high = high.saturating_add(step).min(last);
                if enough(high) {
                    break;
                }
                (low, step) = (high, step.saturating_mul(4));
            }
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if enough(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        f64::from_bits(high)
    }

    /// A rate that is nearly always the `rank`-th smallest. `rank` is less than the number of rates.
    fn guess(&self, rank: u64) -> f64 {
        let jobs = self.curves.len() as f64;
        let mut pace = self.pace_least(rank);
        let mut start = Vec::with_capacity(self.curves.len());
        // Rounding down takes half a worker per job on average; aiming a little lower leaves few rates to the wanted one.
        let mut target = (rank as f64 + jobs / 2.0 - 2.0 * jobs.sqrt() - 1.0).max(0.5);
        for _ in 0..3 {
            pace = self.pace_of(target, pace);
            start.clear();
            let mut below = 0_u64;
            for (curve, from, to) in self.each() {
                let workers = (curve.workers_at(pace).0 as u64).min(to);
                below = below.saturating_add((workers + 1).saturating_sub(from));
                start.push(workers.max(from.saturating_sub(1)));
            }
            if below < rank {
                return self.onward(&start, rank - below).unwrap_or(1.0 / pace);
            }
            target = (target - (below - rank) as f64 - jobs.sqrt() - 1.0).max(0.0);
        }
        1.0 / pace
    }

    /// The `rank`-th smallest of the rates beyond `start`; `None` when that takes too long to say.
    fn onward(&self, start: &[u64], rank: u64) -> Option<f64> {
        let rank = usize::try_from(rank).ok()? - 1;
        let room = || self.each().zip(start).filter(|((_, from, to), at)| from <= to && *at < to);
        let mut next: Vec<f64> = room().map(|((curve, ..), &at)| curve.rate(at + 1)).collect();
        if rank >= next.len() {
            return None;
        }
        let bound = *next.select_nth_unstable_by(rank, f64::total_cmp).1;
        let enough = 4 * self.curves.len() + 64;
        let mut all = Vec::with_capacity(2 * rank + 8);
        for ((curve, _, to), &at) in room() {
            for workers in at + 1..=to {
                let rate = curve.rate(workers);
                if rate > bound {
                    break;
                }
                all.push(rate);
                if all.len() > enough {
                    return Some(bound);
                }
            }
        }
        Some(*all.select_nth_unstable_by(rank, f64::total_cmp).1)
    }

    /// A pace at which `rank` rates or more are reached, as far as that is easily said.
    fn pace_least(&self, rank: u64) -> f64 {
        self.each().map(|(curve, _, to)| 1.0 / curve.rate(rank.min(to).max(1))).fold(0.0, f64::max)
    }

    /// A pace that takes about `target` workers beyond those at which the ranges begin, from a first idea of it on.
    ///
    /// `1 / s` is concave as long as no job is at the end of its range, so that Newton's method comes from the left without
    /// overshooting; otherwise it is kept within what is known.
    fn pace_of(&self, target: f64, mut pace: f64) -> f64 {
        let tolerance = 0.25 + 0.1 * (self.curves.len() as f64).sqrt();
        let (mut low, mut high) = (0.0, f64::INFINITY);
        for _ in 0..STEPS_MAX {
            let (mut sum, mut slope) = (0.0, 0.0);
            for (curve, from, to) in self.each() {
                let (least, most) = (from.saturating_sub(1) as f64, to as f64);
                let (workers, fall) = curve.workers_at(pace);
                if workers >= most {
                    sum += (most - least).max(0.0);
                } else if workers > least {
                    sum += workers - least;
                    slope += fall;
                }
            }
            if (sum - target).abs() <= tolerance {
                break;
            }
            if sum > target {
                low = pace;
            } else {
                high = pace;
            }
            let next = pace + sum * (sum / target - 1.0) / slope;
            let inside = next > low && next < high;
            pace = match (inside, high < f64::INFINITY) {
                (true, _) => next,
                (false, true) => f64::midpoint(low, high),
                (false, false) => 2.0 * pace,
            };
        }
        pace
    }
}
