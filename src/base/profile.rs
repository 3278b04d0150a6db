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

/// The cost of one model on a worker of speed 1: a load when it is cold, and per query a fixed part and a part per input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostProfile {
    /// Bringing the model into memory.
    pub load: Draw,
    /// The part of a query that does not depend on its size.
    pub setup: Draw,
    /// The part that each input adds; drawn once per query and multiplied by its inputs.
    pub per_input: Draw,
}

impl CostProfile {
    /// What a real network is supposed to take at most when nobody has measured it: a minute to load, and half a minute and a second per
    /// input to answer. So long its node is waited for; no rehearsal can be made of it.
    pub const UNKNOWN: CostProfile = CostProfile {
        load: Draw::Fixed(Span::secs(60)),
        setup: Draw::Fixed(Span::secs(30)),
        per_input: Draw::Fixed(Span::secs(1)),
    };

    /// One sample of a query's duration for `inputs` inputs on a worker of `speed` (1 is the reference, 2 twice as fast).
    pub fn query(&self, inputs: u32, speed: f64, rng: &mut Rng) -> Span {
        let whole = self.setup.sample(rng) + self.per_input.sample(rng) * u64::from(inputs);
        whole.scaled(1.0 / speed)
    }

    /// The expected duration of a query of `inputs` inputs at speed 1.
    pub fn query_mean(&self, inputs: u32) -> Span {
        self.setup.mean() + self.per_input.mean() * u64::from(inputs)
    }

    /// How long a query with so many inputs takes at speed 1 where its parts take what is rarely exceeded.
    pub fn query_rarely_exceeded(&self, inputs: u32) -> Span {
        self.setup.rarely_exceeded() + self.per_input.rarely_exceeded() * u64::from(inputs)
    }
}
