//! The statistics of the reports: mean, standard deviation, confidence interval, percentiles.

/// The fewest samples from which a 99th percentile is reported.
pub const P99_SAMPLES_MIN: usize = 662;
/// The fewest samples from which a 99.9th percentile is reported.
pub const P999_SAMPLES_MIN: usize = 6_700;

/// What a set of samples says. `None` where there are too few of them to say it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// How many samples.
    pub n: usize,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their standard deviation (n − 1 in the denominator), from 2 samples up.
    pub std: Option<f64>,
    /// The 95 % confidence interval of the mean by Student's t, from 2 samples up.
    pub ci95: Option<(f64, f64)>,
    /// The smallest.
    pub min: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
    /// The 99th percentile, from [`P99_SAMPLES_MIN`] samples up.
    pub p99: Option<f64>,
    /// The 99.9th percentile, from [`P999_SAMPLES_MIN`] samples up.
    pub p999: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

impl Stats {
    /// The statistics of `samples`, none of which may be NaN, in any order.
    ///
    /// A percentile is the nearest rank: the smallest sample that at least that share of all samples does not exceed.
    pub fn of(samples: &[f64]) -> Stats {
        let n = samples.len();
        if n == 0 {
            return Stats::default();
        }
        // Sorted first, so that the sums do not depend on the order of the samples either.
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let std = (n > 1).then(|| {
            let squares: f64 = sorted.iter().map(|sample| (sample - mean) * (sample - mean)).sum();
            (squares / (n - 1) as f64).sqrt()
        });
        let ci95 = std.map(|std| {
            let half = student_t_975((n - 1) as f64) * std / (n as f64).sqrt();
            (mean - half, mean + half)
        });
        let from = |least: usize, per_mille: usize| (n >= least).then(|| nearest_rank(&sorted, per_mille));
        Stats {
            n,
            mean: Some(mean),
            std,
            ci95,
            min: sorted.first().copied(),
            p50: from(1, 500),
            p90: from(1, 900),
            p95: from(1, 950),
            p99: from(P99_SAMPLES_MIN, 990),
            p999: from(P999_SAMPLES_MIN, 999),
            max: sorted.last().copied(),
        }
    }
}

/// The sample of rank ⌈n · `per_mille` / 1000⌉; `sorted` is not empty.
pub(super) fn nearest_rank(sorted: &[f64], per_mille: usize) -> f64 {
    sorted[(sorted.len() * per_mille).div_ceil(1000).max(1) - 1]
}

/// The 97.5th percentile of Student's t distribution with `degrees` ≥ 1 degrees of freedom, which need not be whole.
///
/// A table for whole ones up to 30; above, the expansion in powers of 1/ν about the normal percentile (Abramowitz and
/// Stegun 26.7.5), which is exact to six decimals there; in between, the point at which the distribution function is 0.975.
pub(super) fn student_t_975(degrees: f64) -> f64 {
    const TABLE: [f64; 30] = [
        12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
        2.228_139, 2.200_985, 2.178_813, 2.160_369, 2.144_787, 2.131_450, 2.119_905, 2.109_816, 2.100_922,
        2.093_024, 2.085_963, 2.079_614, 2.073_873, 2.068_658, 2.063_899, 2.059_539, 2.055_529, 2.051_831,
        2.048_407, 2.045_230, 2.042_272,
    ];
    assert!(degrees >= 1.0, "one sample has no spread");
    if degrees < 30.0 {
        let (below, above) = (TABLE[degrees as usize - 1], TABLE[degrees as usize]);
        return if degrees.fract() > 0.0 { between(degrees, above, below) } else { below };
    }
    if degrees <= 30.0 {
        return TABLE[29];
    }
    let z = 1.959_963_984_540_054_f64;
    let z2 = z * z;
    let v = degrees;
    let first = z * (z2 + 1.0) / 4.0;
    let second = z * (3.0 + z2 * (16.0 + z2 * 5.0)) / 96.0;
    let third = z * (-15.0 + z2 * (17.0 + z2 * (19.0 + z2 * 3.0))) / 384.0;
    z + (first + (second + third / v) / v) / v
}

/// The t from `low` to `high` that is exceeded, up or down, with probability 0.05, by halving.
fn between(degrees: f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if exceeded(degrees, middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The probability that Student's t is beyond `t` up or down, for less than 30 `degrees` and t > 1.9: the regularised
/// incomplete beta function of x = ν ÷ (ν + t²) with the parameters ν/2 and 1/2, by its power series (Abramowitz and Stegun
/// 26.5.4).
fn exceeded(degrees: f64, t: f64) -> f64 {
    /// The terms shrink at least by the factor x < 0.9, so that the rest is below 1e-12.
    const TERMS: u32 = 300;
    let (p, q) = (degrees / 2.0, 0.5);
    let x = degrees / (degrees + t * t);
    let beta = libm::lgamma(p) + libm::lgamma(q) - libm::lgamma(p + q);
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 0..TERMS {
        term *= x * (p + q + f64::from(n)) / (p + 1.0 + f64::from(n));
        sum += term;
    }
    libm::exp(p * libm::log(x) + q * libm::log(1.0 - x) - beta) / p * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_sample_has_its_known_statistics() {
        let stats = Stats::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!((stats.n, stats.mean, stats.min, stats.max), (8, Some(5.0), Some(2.0), Some(9.0)));
        let std = stats.std.unwrap();
        assert!((std - 2.138_089_935).abs() < 1e-9);
        let (low, high) = stats.ci95.unwrap();
        // 5 ± 2.364624 · 2.13809 / √8, as R's t.test says.
        assert!((low - 3.212_512).abs() < 1e-5 && (high - 6.787_488).abs() < 1e-5, "{low} {high}");
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Vec<f64> = (1..=10).map(f64::from).collect();
        let stats = Stats::of(&samples);
        assert_eq!((stats.p50, stats.p90, stats.p95), (Some(5.0), Some(9.0), Some(10.0)));
        assert_eq!(Stats::of(&[7.0]).p50, Some(7.0));
        assert_eq!(Stats::of(&[7.0]).std, None);
    }

    #[test]
    fn far_percentiles_need_many_samples() {
        let samples = |n: usize| Stats::of(&(1..=n).map(|i| i as f64).collect::<Vec<_>>());
        assert_eq!(samples(661).p99, None);
        assert_eq!(samples(662).p99, Some(656.0));
        assert_eq!(samples(6_699).p999, None);
        assert_eq!(samples(6_700).p999, Some(6_694.0));
    }

    #[test]
    fn the_order_of_the_samples_does_not_matter_to_a_single_bit() {
        let samples: Vec<f64> = (0..1000).map(|i| 1.0 / (1.0 + f64::from(i * 7919 % 1000))).collect();
        let reversed: Vec<f64> = samples.iter().rev().copied().collect();
        assert_eq!(Stats::of(&samples), Stats::of(&reversed));
    }

    #[test]
    fn students_t_agrees_with_tables_where_table_and_expansion_meet() {
        for (degrees, t) in [(29.0, 2.045_230), (31.0, 2.039_513), (60.0, 2.000_298), (120.0, 1.979_930)] {
            assert!((student_t_975(degrees) - t).abs() < 2e-6, "{degrees}: {}", student_t_975(degrees));
        }
    }

    #[test]
    fn students_t_between_whole_degrees_of_freedom_is_where_integration_finds_it() {
        // Found by Simpson's rule over the density; the last ones show that the table is met from both sides.
        let known = [(1.3, 7.500_529), (2.5, 3.574_655), (6.081_081, 2.439_025), (29.5, 2.043_725)];
        let edges = [(1.000_001, 12.706_166), (8.999_999, 2.262_157), (9.000_001, 2.262_157)];
        for (degrees, t) in known.into_iter().chain(edges) {
            assert!((student_t_975(degrees) / t - 1.0).abs() < 1e-6, "{degrees}: {}", student_t_975(degrees));
        }
    }
}
