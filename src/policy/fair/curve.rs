//! The one evaluated form of a job's lifetime rate, and its exact inverse.

use super::Job;

/// Inputs beyond these count as these, so that no rate overflows or vanishes.
const LEAST: f64 = 1e-100;
const MOST: f64 = 1e100;

/// The rate of one job as a function of its workers: `f(C) = Q / (e + W / C)`, `f(0) = 0`.
///
/// Everything that compares rates evaluates them by [`Curve::rate`]. Each of its three operations is correctly rounded and
/// monotone, so that it never falls as `C` grows, in floating point either; it may stay the same (a plateau).
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    /// Queries divided by the job's weight.
    queries: f64,
    elapsed: f64,
    work: f64,
    /// The most workers that the job can use.
    pub(super) most: u64,
}

impl Curve {
    /// The curve of a job that has work left, with up to `most` workers.
    pub(super) fn new(job: &Job, most: u64) -> Curve {
        let Job { queries, elapsed, work, weight } = *job;
        assert!(queries >= 0.0 && elapsed >= 0.0 && work > 0.0 && weight > 0.0, "not a running job: {job:?}");
        Curve {
            queries: (queries / weight).clamp(LEAST, MOST),
            elapsed: elapsed.min(MOST),
            work: work.clamp(LEAST, MOST),
            most,
        }
    }

    /// Queries per second over the job's whole life with so many workers from now on, divided by its weight.
    #[inline]
    pub(super) fn rate(&self, workers: u64) -> f64 {
        self.queries / (self.elapsed + self.work / workers as f64)
    }

    /// By what share of itself one worker more than these, of which there are some, would raise the rate; falls as they grow.
    pub(super) fn gain(&self, workers: u64) -> f64 {
        let workers = workers as f64;
        self.work / (workers * (self.elapsed * (workers + 1.0) + self.work))
    }

    /// Workers, as a real number, with which a query takes `pole + pace` seconds over the job's life, and how steeply their
    /// number falls as the pace grows. What is near the pole is better told from it as two numbers.
    #[inline]
    pub(super) fn workers_at(&self, pole: f64, pace: f64) -> (f64, f64) {
        let room = 1.0 / ((pole * self.queries - self.elapsed) + pace * self.queries);
        let workers = self.work * room;
        if room > 0.0 { (workers, workers * self.queries * room) } else { (f64::INFINITY, 0.0) }
    }

    /// The seconds per query that not even infinitely many workers fall below, and how much more they are with `workers`.
    #[inline]
    pub(super) fn pole(&self, workers: u64) -> (f64, f64) {
        (self.elapsed / self.queries, self.work / (workers as f64 * self.queries))
    }

    /// With `W` the work and `d(t) = t·Q − e`: `W`, `W·Q`, and `W·d(pole)`.
    #[inline]
    pub(super) fn moments(&self, pole: f64) -> [f64; 3] {
        let Curve { queries, elapsed, work, .. } = *self;
        [work, work * queries, work * (pole * queries - elapsed)]
    }

    /// The largest number of workers up to `most` with which the rate is at most `level`, which is not negative.
    ///
    /// The closed form is a guess; evaluating the rate decides.
    #[inline]
    pub(super) fn at_most(&self, level: f64, most: u64) -> u64 {
        let room = self.queries - level * self.elapsed;
        let guess = if room > 0.0 { (level * self.work / room) as u64 } else { u64::MAX };
        let guess = guess.min(most);
        if self.rate(guess) <= level {
            if guess == most || self.rate(guess + 1) > level {
                guess
            } else {
                self.climb(level, guess + 1, most)
            }
        } else {
            self.descend(level, guess)
        }
    }

    /// The largest number of workers up to `most` with which the rate is below `level`, which is more than 0.
    #[inline]
    pub(super) fn below(&self, level: f64, most: u64) -> u64 {
        self.at_most(level.next_down(), most)
    }

    /// The smallest number of workers with which the rate is at least `level`; one more than `self.most` where that is not
    /// enough.
    pub(super) fn at_least(&self, level: f64) -> u64 {
        if level <= 0.0 { 0 } else { 1 + self.below(level, self.most) }
    }

    /// The same as [`Curve::at_most`], where `low` workers are known to be at most `level`.
    #[cold]
    fn climb(&self, level: f64, mut low: u64, most: u64) -> u64 {
        let mut step = 1;
        while low < most {
            let next = low.saturating_add(step).min(most);
            if self.rate(next) > level {
                return self.bisect(level, low, next);
            }
            (low, step) = (next, step.saturating_mul(2));
        }
        most
    }

    /// The same as [`Curve::at_most`], where `high` workers are known to be above `level`.
    #[cold]
    fn descend(&self, level: f64, mut high: u64) -> u64 {
        let mut step = 1;
        loop {
            let next = high.saturating_sub(step);
            // Without workers the rate is 0, so that the loop ends there at the latest.
            if self.rate(next) <= level {
                return self.bisect(level, next, high);
            }
            (high, step) = (next, step.saturating_mul(2));
        }
    }

    /// `low` workers are at most `level`, `high` are above.
    fn bisect(&self, level: f64, mut low: u64, mut high: u64) -> u64 {
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.rate(middle) <= level {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The fewest workers beyond which another would raise the rate by less than `share` of itself: at least one and at most
    /// `most`.
    pub(super) fn capped(&self, share: f64, most: u64) -> u64 {
        if self.gain(1) < share {
            return most.min(1);
        }
        // One more than `low` is worth it; `high` is the answer when no fewer are.
        let (mut low, mut high) = (1, most.max(1));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.gain(middle) < share {
                high = middle;
            } else {
                low = middle;
            }
        }
        high.min(most)
    }
}
