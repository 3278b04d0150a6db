//! Selection among all rates of all jobs without listing them: the k-th smallest in a few passes over the jobs.
//!
//! Newton's method on `1 / s(t)`, with `s(t) = Σ W / (t·Q − e)` the workers that a common pace of `t` seconds per query takes,
//! comes near the wanted rank; the next rates of each job from there give a guess. Whether the guess is right is decided by
//! counting with evaluated rates, and a wrong one is put right by bisecting the bit patterns of doubles, so that the result is
//! exact whatever the guess was.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

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

    /// How many are at most `level`, and how many are below it.
    fn count(&self, level: f64) -> (u64, u64) {
        let (mut counted, mut below) = (0_u64, 0_u64);
        for (curve, from, to) in self.each() {
            let most = curve.at_most(level, to);
            let less =
                if most == 0 || curve.rate(most) < level { most } else { curve.below(level, most - 1) };
            counted = counted.saturating_add((most + 1).saturating_sub(from));
            below = below.saturating_add((less + 1).saturating_sub(from));
        }
        (counted, below)
    }

    /// The `rank`-th smallest, counted from 1; infinite when there are fewer.
    ///
    /// `near` is about one over that rate, for a faster search, or 0 when nothing is known of it; it becomes what was found.
    pub(super) fn nth(&self, rank: u64, near: &mut f64) -> f64 {
        let len = self.len();
        if rank >= len {
            let last = self.each().filter(|(_, from, to)| from <= to).map(|(curve, _, to)| curve.rate(to));
            return if rank == len { last.fold(0.0, f64::max) } else { f64::INFINITY };
        }
        let guess = self.guess(rank, near);
        let (counted, below) = self.count(guess);
        if counted >= rank && below < rank { guess } else { self.exactly(rank, guess) }
    }

    /// The smallest double at which `rank` rates are counted, looked for near `guess`, in at most 128 passes.
    #[cold]
    fn exactly(&self, rank: u64, guess: f64) -> f64 {
        let enough = |bits: u64| self.count(f64::from_bits(bits)).0 >= rank;
        // Doubles that are not negative are ordered like their bit patterns.
        let last = f64::MAX.to_bits();
        let guess = if guess >= 0.0 { guess.to_bits().min(last) } else { 0 };
        let (mut low, mut high, mut step) = (guess, guess, 1_u64);
        // `low` becomes one that is not enough and `high` one that is.
        if enough(guess) {
            loop {
                if low == 0 {
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
    fn guess(&self, rank: u64, near: &mut f64) -> f64 {
        let (pole, begin) = self.begin(rank);
        let mut pace = begin.max(*near - pole);
        // Beyond this many rates there is nothing to gain from coming nearer.
        let close = 2.0 + 3.0 * (self.curves.len() as f64).sqrt();
        let (mut low, mut high) = (0.0, f64::INFINITY);
        for _ in 0..STEPS_MAX {
            let Taken { real, whole, slope } = self.taken(pole, pace, rank);
            let missing = rank as f64 - whole;
            if missing < 1.0 {
                low = pace;
            } else {
                high = pace;
                if missing <= close {
                    break;
                }
            }
            // Rounding down takes about as much at the next pace as at this one.
            let target = rank as f64 - close / 2.0 + (real - whole);
            let next = pace + real * (real / target - 1.0) / slope;
            pace = match (next > low && next < high, high < f64::INFINITY) {
                (true, _) => next,
                (false, true) => f64::midpoint(low, high),
                (false, false) => 2.0 * pace,
            };
            if pace <= low || pace >= high {
                break;
            }
        }
        *near = pole + pace;
        self.onward(pole, high, rank).unwrap_or(1.0 / (pole + pace))
    }

    /// The pace at which the first job that can have `rank` workers would need infinitely many, and a pace beyond that to begin
    /// with, at which `rank` workers or more are taken.
    fn begin(&self, rank: u64) -> (f64, f64) {
        let free = || self.each().filter(|(_, _, to)| *to >= rank).map(|(curve, ..)| curve);
        let (mut pole, mut alone) = (0.0, 0.0);
        for curve in free() {
            let (own, workers) = curve.pole(rank);
            if own >= pole {
                alone = if own > pole { workers } else { workers.max(alone) };
                pole = own;
            }
        }
        // By the inequality of Cauchy: Σ W / d is at least (Σ W)² / Σ W·d.
        let (mut work, mut rise, mut offset) = (0.0, 0.0, 0.0);
        for curve in free() {
            let [own, per_pace, at_pole] = curve.moments(pole);
            work += own;
            rise += per_pace;
            offset += at_pole;
        }
        let together = (work * work / rank as f64 - offset) / rise;
        (pole, if together > alone { together } else { alone })
    }

    /// What jobs take at a pace of `pole + pace`.
    fn taken(&self, pole: f64, pace: f64, rank: u64) -> Taken {
        let mut taken = Taken { real: 0.0, whole: 0.0, slope: 0.0 };
        for (curve, from, to) in self.each() {
            let (least, most) = (from.saturating_sub(1) as f64, to as f64);
            let (workers, fall) = curve.workers_at(pole, pace);
            if to < rank && workers >= most {
                taken.real += (most - least).max(0.0);
                taken.whole += (most - least).max(0.0);
            } else if workers > least {
                taken.real += workers - least;
                taken.whole += workers as i64 as f64 - least;
                taken.slope += fall;
            }
        }
        taken
    }

    /// The `rank`-th smallest rate, looked for beyond the pace of `pole + pace`; `None` when that is too near or too far.
    fn onward(&self, pole: f64, pace: f64, rank: u64) -> Option<f64> {
        let mut below = 0_u64;
        let mut next: Vec<Next> = Vec::with_capacity(self.curves.len());
        for (position, (curve, from, to)) in self.each().enumerate() {
            if from > to {
                continue;
            }
            let workers = (curve.workers_at(pole, pace).0 as u64).min(to).max(from.saturating_sub(1));
            below = below.saturating_add(workers + 1 - from);
            if workers < to {
                next.push(Next { rate: curve.rate(workers + 1), workers: workers + 1, to, position });
            }
        }
        let rank = usize::try_from(rank.checked_sub(below)?).ok()?;
        if rank > 4 * next.len() + 64 {
            return None;
        }
        // A job whose first rate is beyond that many others has nothing to say.
        if (1..next.len()).contains(&rank) {
            next.select_nth_unstable_by(rank - 1, |a, b| a.rate.total_cmp(&b.rate));
            next.truncate(rank);
        }
        let mut heap = BinaryHeap::from(next);
        self.step(&mut heap, rank.checked_sub(1)?)?;
        heap.peek().map(|least| least.rate)
    }

    /// The rates of these two ranks, the first not above the second, by going through all that are smaller: what is quickest
    /// when those are few. Infinite where there are fewer.
    pub(super) fn nth_of_few(&self, first: u64, second: u64) -> (f64, f64) {
        let mut heap: BinaryHeap<Next> = self
            .each()
            .enumerate()
            .filter(|(_, (_, from, to))| from <= to)
            .map(|(position, (curve, from, to))| Next { rate: curve.rate(from), workers: from, to, position })
            .collect();
        let mut rate_after = |steps: u64| {
            self.step(&mut heap, steps as usize)?;
            heap.peek().map(|least| least.rate)
        };
        let low = rate_after(first - 1);
        (low.unwrap_or(f64::INFINITY), rate_after(second - first).unwrap_or(f64::INFINITY))
    }

    /// Leaves the lowest rate behind, so many times; `None` when there are not as many.
    fn step(&self, heap: &mut BinaryHeap<Next>, times: usize) -> Option<()> {
        for _ in 0..times {
            let mut least = heap.peek_mut()?;
            if least.workers < least.to {
                least.workers += 1;
                least.rate = self.curves[least.position].rate(least.workers);
            } else {
                PeekMut::pop(least);
            }
        }
        Some(())
    }
}

/// What jobs take at a common pace, beyond where their ranges begin.
struct Taken {
    /// As real numbers.
    real: f64,
    /// Each rounded down.
    whole: f64,
    /// How much less per pace.
    slope: f64,
}

/// The next rate of a job; the lowest compares greatest, as heaps want it.
struct Next {
    rate: f64,
    workers: u64,
    to: u64,
    position: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Next) -> Ordering {
        other.rate.total_cmp(&self.rate)
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}
