//! What was measured, as the draws of a scenario.

use crate::base::{BySize, CostProfile, Draw, Span};

/// What such figures are worth: microseconds.
fn rounded(seconds: f64) -> Span {
    Span::micros((seconds * 1e6).round() as u64)
}

fn spread(median: f64, sigma: f64) -> Draw {
    let sigma = (sigma * 1000.0).round() / 1000.0;
    let median = rounded(median);
    if sigma > 0.0 { Draw::LogNormal(median, sigma) } else { Draw::Fixed(median) }
}

/// Sizes whose median is as near to the line as this, in parts of it, are on the line.
const ON_LINE: f64 = 0.02;

/// A time per query as scenarios know it: `setup + per_input · inputs`, the second part log-normal, and factors for the sizes that were
/// measured where this line does not fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fitted {
    pub(super) setup: f64,
    pub(super) per_input: f64,
    pub(super) sigma: f64,
    pub(super) by_size: BySize,
}

impl Fitted {
    /// What the line says of a query of so many inputs, in seconds.
    pub(super) fn line(&self, inputs: f64) -> f64 {
        self.setup + self.per_input * inputs
    }

    /// As a scenario has it, with what a load takes.
    pub(super) fn profile(&self, load: Draw) -> CostProfile {
        CostProfile {
            load,
            setup: Draw::Fixed(rounded(self.setup)),
            per_input: spread(self.per_input, self.sigma),
            by_size: self.by_size,
        }
    }
}

/// What a load takes, of these (seconds, sorted); `None` without any.
pub(super) fn load(all: &[f64]) -> Option<Draw> {
    let logs: Vec<f64> = all.iter().map(|load| libm::log(*load)).collect();
    all.get(all.len() / 2).map(|median| spread(*median, deviation(&logs)))
}

/// The standard deviation, about the mean.
fn deviation(all: &[f64]) -> f64 {
    let count = all.len().max(1) as f64;
    let mean = all.iter().sum::<f64>() / count;
    libm::sqrt(all.iter().map(|one| (one - mean) * (one - mean)).sum::<f64>() / count)
}

/// Least squares through the medians, by their size, so that small queries count as much as large ones; then the spread of what is left
/// of each query without its fixed part. All times are in seconds, sorted.
pub(super) fn fit(all: &[(u32, Vec<f64>)]) -> Fitted {
    let points: Vec<(f64, f64)> =
        all.iter().map(|(size, times)| (f64::from(*size), times[times.len() / 2])).collect();
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(size, time)| of(size, time)).sum::<f64>();
    // Errors relative to the time: each point weighs 1/time².
    let (w, x, y) = (sum(&|_, t| 1.0 / (t * t)), sum(&|s, t| s / (t * t)), sum(&|_, t| 1.0 / t));
    let (xx, xy) = (sum(&|s, t| s * s / (t * t)), sum(&|s, t| s / t));
    let below = w * xx - x * x;
    let slope = if points.len() > 1 && below > 0.0 { (w * xy - x * y) / below } else { 0.0 };
    let setup = if slope > 0.0 { ((y - slope * x) / w).max(0.0) } else { 0.0 };
    // Without a fixed part the line goes through zero.
    let per_input = if setup > 0.0 { slope } else { xy / xx };
    let by_size = departures(&points, &|size| setup + per_input * size);
    let logs: Vec<f64> = (all.iter())
        .flat_map(|(size, times)| times.iter().map(move |time| (*size, time / by_size.factor(*size))))
        .filter(|(_, time)| *time > setup)
        .map(|(size, time)| libm::log((time - setup) / (f64::from(size) * per_input)))
        .collect();
    Fitted { setup, per_input, sigma: deviation(&logs), by_size }
}

/// By how much the medians, by size, depart from the line; nothing where they all lie on it. Of more sizes than factors can be given for
/// some are taken, from the first to the last.
fn departures(points: &[(f64, f64)], line: &dyn Fn(f64) -> f64) -> BySize {
    let factors: Vec<(u32, f64)> = points
        .iter()
        .map(|&(size, time)| (size as u32, (time / line(size) * 1000.0).round() / 1000.0))
        .collect();
    if factors.iter().all(|(_, factor)| (factor - 1.0).abs() <= ON_LINE) {
        return BySize::LINE;
    }
    let last = (BySize::SIZES_MAX - 1).min(factors.len() - 1);
    let some: Vec<(u32, f64)> =
        (0..=last).map(|place| factors[place * (factors.len() - 1) / last.max(1)]).collect();
    BySize::new(&some).unwrap_or(BySize::LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn what_was_drawn_from_a_profile_is_fitted_as_that_profile() {
        let mut rng = Rng::new(5);
        let mut times = |size: u32| {
            let draw = Draw::LogNormal(Span::millis(40), 0.05);
            let mut all: Vec<f64> =
                (0..400).map(|_| 0.01 + draw.sample(&mut rng).as_secs() * f64::from(size)).collect();
            all.sort_by(f64::total_cmp);
            (size, all)
        };
        let fitted = fit(&[times(1), times(8), times(32)]);
        assert!((fitted.setup - 0.01).abs() < 0.002, "{fitted:?}");
        assert!((fitted.per_input - 0.04).abs() < 0.0006, "{fitted:?}");
        assert!((fitted.sigma - 0.05).abs() < 0.005, "{fitted:?}");
    }

    #[test]
    fn one_size_and_a_line_that_would_begin_below_zero_have_no_fixed_part() {
        let one = fit(&[(4, vec![0.2; 5])]);
        assert!(one.setup == 0.0 && (one.per_input - 0.05).abs() < 1e-9 && one.sigma == 0.0, "{one:?}");
        let steep = fit(&[(1, vec![0.01; 5]), (10, vec![0.2; 5])]);
        assert!(steep.setup == 0.0 && steep.per_input > 0.01 && steep.per_input < 0.02, "{steep:?}");
    }

    #[test]
    fn sizes_that_lie_off_the_line_have_factors_of_their_own() {
        // Two sizes make a line, and a third one lies off it.
        let fitted = fit(&[(1, vec![0.01; 5]), (8, vec![0.1; 5]), (16, vec![0.12; 5])]);
        for (size, median) in [(1, 0.01), (8, 0.1), (16, 0.12)] {
            let found = fitted.line(f64::from(size)) * fitted.by_size.factor(size);
            assert!((found / median - 1.0).abs() < 0.001, "{size}: {fitted:?}");
        }
        assert!(fitted.by_size.points().len() == 3 && fitted.sigma < 0.001, "{fitted:?}");
        let straight = fit(&[(1, vec![0.01; 5]), (8, vec![0.08; 5]), (16, vec![0.16; 5])]);
        assert_eq!(straight.by_size, BySize::LINE);
    }

    #[test]
    fn loads_have_their_median_and_their_spread() {
        let fitted = Fitted { setup: 0.002, per_input: 0.05, sigma: 0.1, by_size: BySize::LINE };
        let profile = fitted.profile(load(&[0.4, 0.5, 0.625]).unwrap());
        let Draw::LogNormal(median, sigma) = profile.load else { panic!("{profile:?}") };
        // The logarithms are ln 0.5 and ln 1.25 to either side of it.
        assert_eq!((median, (sigma * 1000.0).round() as u32), (Span::millis(500), 182));
        assert_eq!(profile.setup, Draw::Fixed(Span::millis(2)));
        assert_eq!(profile.per_input, Draw::LogNormal(Span::millis(50), 0.1));
        assert_eq!((load(&[0.5; 5]), load(&[])), (Some(Draw::Fixed(Span::millis(500))), None));
    }
}
