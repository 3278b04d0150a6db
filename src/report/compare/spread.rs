//! The statistics of a comparison: what trials say together, and how far two means are apart.

use std::collections::BTreeMap;

use crate::report::stats::{self, Stats};

/// Samples by trial. Those of one trial may depend on each other; trials do not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples(BTreeMap<u32, Vec<f64>>);

impl Samples {
    pub(super) fn add(&mut self, trial: u32, value: f64) {
        self.0.entry(trial).or_default().push(value);
    }

    pub(super) fn all(&self) -> Vec<f64> {
        self.0.values().flatten().copied().collect()
    }

    /// What each trial that has samples contributes to the mean of all samples: with one sample per trial that sample, with
    /// equally many the mean of the trial, else linearised about the mean of all (Cochran 1977, section 6.3, the ratio of
    /// two sums). The mean of the contributions is the mean of all samples, and their spread is that between trials.
    pub(super) fn contributions(&self) -> BTreeMap<u32, f64> {
        let all = self.all();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let per_trial = all.len() as f64 / self.0.len() as f64;
        let one = |(&trial, samples): (&u32, &Vec<f64>)| {
            let beyond: f64 = samples.iter().map(|sample| sample - mean).sum();
            // A single sample stays what it is, to the last bit.
            let plain = per_trial.to_bits() == 1.0_f64.to_bits();
            (trial, if plain { samples[0] } else { mean + beyond / per_trial })
        };
        self.0.iter().map(one).collect()
    }
}

/// How the interval of a difference of means was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// From the differences of trials of the same number and seed, by Student's t.
    Paired,
    /// From the two spreads, as of independent samples that may spread differently, by Welch's t.
    Welch,
}

impl Method {
    /// `paired` or `welch`.
    pub const fn word(self) -> &'static str {
        match self {
            Method::Paired => "paired",
            Method::Welch => "welch",
        }
    }
}

/// The 95 % interval of the mean of `b − a` over trials that both have; `None` from fewer than two.
pub(super) fn paired(a: &BTreeMap<u32, f64>, b: &BTreeMap<u32, f64>) -> Option<(f64, f64)> {
    assert!(a.keys().eq(b.keys()), "pairs are made of trials that both have");
    let differences: Vec<f64> = a.values().zip(b.values()).map(|(a, b)| b - a).collect();
    Stats::of(&differences).ci95
}

/// The 95 % interval of the difference `b − a` of two means, each given as (samples, mean, standard deviation).
///
/// Welch's t with the degrees of freedom of Welch and Satterthwaite. `None` when a side has fewer than two samples.
pub(super) fn welch(a: (usize, f64, f64), b: (usize, f64, f64)) -> Option<(f64, f64)> {
    if a.0 < 2 || b.0 < 2 {
        return None;
    }
    let difference = b.1 - a.1;
    let [of_a, of_b] = [a, b].map(|(n, _, std)| std * std / n as f64);
    let variance = of_a + of_b;
    if variance <= 0.0 {
        return Some((difference, difference));
    }
    let lessened = |of: f64, n: usize| of * of / (n - 1) as f64;
    let degrees = variance * variance / (lessened(of_a, a.0) + lessened(of_b, b.0));
    let half = stats::student_t_975(degrees) * variance.sqrt();
    Some((difference - half, difference + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[(u32, f64)]) -> Samples {
        let mut samples = Samples::default();
        for (trial, value) in of {
            samples.add(*trial, *value);
        }
        samples
    }

    #[test]
    fn a_trial_with_one_sample_contributes_that_sample() {
        let one = samples(&[(0, 0.1), (1, 0.7), (4, 0.3)]);
        assert_eq!(one.contributions(), BTreeMap::from([(0, 0.1), (1, 0.7), (4, 0.3)]));
    }

    #[test]
    fn the_contributions_of_uneven_trials_have_the_mean_of_all_samples() {
        let uneven = samples(&[(0, 1.0), (0, 2.0), (0, 6.0), (1, 10.0), (2, 3.0), (2, 5.0)]);
        let contributions: Vec<f64> = uneven.contributions().into_values().collect();
        assert!((contributions.iter().sum::<f64>() / 3.0 - 27.0 / 6.0).abs() < 1e-12, "{contributions:?}");
        // Ten samples of one trial that say the same are worth one, not ten.
        let same: Vec<(u32, f64)> = (0..10).flat_map(|_| [(0, 1.0), (1, 2.0), (2, 3.0)]).collect();
        assert_eq!(
            Stats::of(&samples(&same).contributions().into_values().collect::<Vec<_>>()).std,
            Some(1.0)
        );
    }

    #[test]
    fn welchs_interval_is_that_of_other_programs() {
        // By hand: 0.1 + 0.4 = 0.5; 0.5² ÷ (0.1² ÷ 9 + 0.4² ÷ 4) = 6.081081 degrees of freedom.
        let (low, high) = welch((10, 5.0, 1.0), (5, 7.0, 2.0_f64.sqrt())).unwrap();
        let half = 2.439_025 * 0.5_f64.sqrt();
        assert!((low - (2.0 - half)).abs() < 1e-5 && (high - (2.0 + half)).abs() < 1e-5, "{low} {high}");
        assert_eq!(welch((1, 5.0, 0.0), (5, 7.0, 1.0)), None);
        assert_eq!(welch((3, 5.0, 0.0), (3, 7.0, 0.0)), Some((2.0, 2.0)));
    }

    #[test]
    fn pairs_see_a_shift_that_the_spread_between_trials_hides() {
        let a: BTreeMap<u32, f64> = (0..20).map(|trial| (trial, f64::from(trial))).collect();
        let shift = |(&trial, &value): (&u32, &f64)| (trial, value + 0.5 + 0.01 * f64::from(trial % 3));
        let b: BTreeMap<u32, f64> = a.iter().map(shift).collect();
        let (low, high) = paired(&a, &b).unwrap();
        assert!(low > 0.5 && high < 0.52, "{low} {high}");
        let stats = |of: &BTreeMap<u32, f64>| {
            let stats = Stats::of(&of.values().copied().collect::<Vec<_>>());
            (stats.n, stats.mean.unwrap(), stats.std.unwrap())
        };
        let (low, high) = welch(stats(&a), stats(&b)).unwrap();
        assert!(low < 0.0 && high > 0.0, "{low} {high}");
    }
}
