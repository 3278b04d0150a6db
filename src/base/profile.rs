//! What a model costs: how long it takes to load and to answer, as distributions.

use serde::{Deserialize, Serialize};

use super::{Rng, Span};

/// A length of time that may be random.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Draw {
    /// Always the same.
    Fixed(Span),
    /// Every length between the two equally likely.
    Uniform(Span, Span),
    /// Log-normal: the median, and the standard deviation of the logarithm.
    LogNormal(Span, f64),
    /// Exponential with this mean.
    Exponential(Span),
}

impl Draw {
    /// No time at all.
    pub const ZERO: Draw = Draw::Fixed(Span::ZERO);

    /// One sample. A fixed length draws nothing from `rng`.
    pub fn sample(self, rng: &mut Rng) -> Span {
        match self {
            Draw::Fixed(span) => span,
            Draw::Uniform(low, high) => low + Span(rng.below((high - low).0.saturating_add(1))),
            Draw::LogNormal(median, sigma) => median.scaled(libm::exp(sigma * rng.normal())),
            Draw::Exponential(mean) => mean.scaled(rng.exponential()),
        }
    }

    /// The expected length.
    pub fn mean(self) -> Span {
        match self {
            Draw::Fixed(span) => span,
            Draw::Uniform(low, high) => Span(low.0 / 2 + high.0 / 2),
            // The mean of a log-normal is its median times exp(σ²/2).
            Draw::LogNormal(median, sigma) => median.scaled(libm::exp(sigma * sigma / 2.0)),
            Draw::Exponential(mean) => mean,
        }
    }

    /// What about one sample in a million exceeds; nothing, where there is a longest.
    pub fn rarely_exceeded(self) -> Span {
        match self {
            Draw::Fixed(span) => span,
            Draw::Uniform(_, high) => high,
            // 4.75 standard deviations of a normal distribution.
            Draw::LogNormal(median, sigma) => median.scaled(libm::exp(4.75 * sigma)),
            // -ln(10^-6).
            Draw::Exponential(mean) => mean.scaled(13.8),
        }
    }
}

/// How a query's time departs from a line over the number of its inputs: by which factor, at some sizes. In between it is in proportion
/// to the size, beyond the sizes it is that of the nearest one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BySize {
    count: usize,
    points: [(u32, f64); BySize::SIZES_MAX],
}

impl BySize {
    /// The most sizes.
    pub const SIZES_MAX: usize = 8;
    /// The largest factor; the least is one over it.
    pub const FACTOR_MAX: f64 = 100.0;
    /// Time is a line.
    pub const LINE: BySize = BySize { count: 0, points: [(0, 0.0); BySize::SIZES_MAX] };

    /// These sizes with their factors; `None` unless there are at most 8, in ascending order from 1 on, with factors from 0.01 to 100.
    pub fn new(points: &[(u32, f64)]) -> Option<BySize> {
        let sound = |&(size, factor): &(u32, f64)| {
            size > 0 && (1.0 / BySize::FACTOR_MAX..=BySize::FACTOR_MAX).contains(&factor)
        };
        let fits = points.len() <= BySize::SIZES_MAX
            && points.iter().all(sound)
            && points.is_sorted_by(|one, next| one.0 < next.0);
        let mut by_size = BySize { count: points.len(), ..BySize::LINE };
        fits.then(|| {
            by_size.points[..points.len()].copy_from_slice(points);
            by_size
        })
    }

    /// The sizes, ascending, with their factors.
    pub fn points(&self) -> &[(u32, f64)] {
        &self.points[..self.count]
    }

    /// The factor for so many inputs; 1 where time is a line.
    pub fn factor(&self, inputs: u32) -> f64 {
        let points = self.points();
        let next = points.partition_point(|(size, _)| *size < inputs);
        match (next.checked_sub(1).map(|before| points[before]), points.get(next)) {
            (None, None) => 1.0,
            (Some((_, factor)), None) | (None, Some(&(_, factor))) => factor,
            (Some((low, from)), Some(&(high, to))) => {
                from + (to - from) * f64::from(inputs - low) / f64::from(high - low)
            }
        }
    }

    /// The largest factor of any size.
    pub fn most(&self) -> f64 {
        self.points().iter().map(|(_, factor)| *factor).reduce(f64::max).unwrap_or(1.0)
    }

    /// `span` for so many inputs, as the line has it, corrected.
    fn correct(&self, span: Span, inputs: u32) -> Span {
        if self.count == 0 { span } else { span.scaled(self.factor(inputs)) }
    }
}

/// The cost of one model on a worker of speed 1: a load when it is cold, and per query a fixed part and a part per input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostProfile {
    /// Bringing the model into memory.
    pub load: Draw,
    /// The part of a query that does not depend on its size.
    pub setup: Draw,
    /// The part that each input adds; drawn once per query and multiplied by its inputs.
    pub per_input: Draw,
    /// How much longer or shorter than both together say a query takes, by its size.
    pub by_size: BySize,
}

impl CostProfile {
    /// What a real network is supposed to take at most when nobody has measured it: a minute to load, and half a minute and a second per
    /// input to answer. So long its node is waited for; no rehearsal can be made of it.
    pub const UNKNOWN: CostProfile = CostProfile {
        load: Draw::Fixed(Span::secs(60)),
        setup: Draw::Fixed(Span::secs(30)),
        per_input: Draw::Fixed(Span::secs(1)),
        by_size: BySize::LINE,
    };

    /// One sample of a query's duration for `inputs` inputs on a worker of `speed` (1 is the reference, 2 twice as fast).
    pub fn query(&self, inputs: u32, speed: f64, rng: &mut Rng) -> Span {
        let whole = self.setup.sample(rng) + self.per_input.sample(rng) * u64::from(inputs);
        self.by_size.correct(whole, inputs).scaled(1.0 / speed)
    }

    /// The expected duration of a query of `inputs` inputs at speed 1.
    pub fn query_mean(&self, inputs: u32) -> Span {
        self.by_size.correct(self.setup.mean() + self.per_input.mean() * u64::from(inputs), inputs)
    }

    /// How long a query with so many inputs takes at speed 1 where its parts take what is rarely exceeded.
    pub fn query_rarely_exceeded(&self, inputs: u32) -> Span {
        let line = self.setup.rarely_exceeded() + self.per_input.rarely_exceeded() * u64::from(inputs);
        self.by_size.correct(line, inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_by_size_is_in_proportion_between_sizes_and_like_the_nearest_beyond() {
        let by_size = BySize::new(&[(8, 1.2), (16, 0.8), (32, 1.0)]).unwrap();
        let near = |inputs: u32, wanted: f64| (by_size.factor(inputs) - wanted).abs() < 1e-12;
        assert!(near(1, 1.2) && near(8, 1.2) && near(12, 1.0) && near(16, 0.8) && near(24, 0.9));
        assert!(near(32, 1.0) && near(1_000, 1.0) && (by_size.most() - 1.2).abs() < 1e-12);
        assert_eq!((BySize::LINE.factor(7), BySize::LINE.most()), (1.0, 1.0));
        let profile = CostProfile {
            load: Draw::ZERO,
            setup: Draw::Fixed(Span::millis(20)),
            per_input: Draw::Fixed(Span::millis(10)),
            by_size,
        };
        assert_eq!(profile.query_mean(8), Span::millis(120));
        assert_eq!(profile.query(16, 2.0, &mut Rng::new(1)), Span::millis(72));
    }

    #[test]
    fn sizes_are_few_ascending_and_their_factors_within_bounds() {
        for wrong in
            [&[(8, 1.0), (8, 1.0)][..], &[(8, 1.0), (4, 1.0)], &[(0, 1.0)], &[(1, 0.0)], &[(1, f64::NAN)]]
        {
            assert_eq!(BySize::new(wrong), None, "{wrong:?}");
        }
        let many: Vec<(u32, f64)> = (1..=9).map(|size| (size, 1.0)).collect();
        assert_eq!(BySize::new(&many), None);
        assert_eq!(BySize::new(&many[..8]).unwrap().points().len(), 8);
    }
}
