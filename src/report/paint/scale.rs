//! From values to places along an axis, and the numbers that stand beside it.

use crate::report::figure::{Axis, Scale};

/// Values beyond this are drawn as if they were this.
const HUGE: f64 = 1e300;
/// Ranges narrower than this share of their values are widened to it; more digits could not be read.
const NARROW: f64 = 1e-9;
/// Fixed decimals are written from 10 to the first power up to 10 to the second.
const PLAIN: [i32; 2] = [-4, 6];

/// What an axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    /// In powers of ten for logarithmic ones.
    low: f64,
    high: f64,
    scale: Scale,
}

/// The numbers along an axis: places from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ticks {
    /// With their labels.
    pub(super) major: Vec<(f64, String)>,
    /// Those between.
    pub(super) minor: Vec<f64>,
}

impl Range {
    /// What `axis` must show of `values`, with `room` (shares of it) below, where it does not begin at zero, and above.
    /// `None` if there is no value that it could show.
    pub(super) fn of(axis: &Axis, values: impl Iterator<Item = f64>, room: [f64; 2]) -> Option<Range> {
        let log = axis.scale == Scale::Log;
        let shown = |value: &f64| value.is_finite() && (!log || *value > 0.0);
        let place = |value: f64| if log { libm::log10(value) } else { value.clamp(-HUGE, HUGE) };
        let (low, high) = values.filter(shown).map(place).fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })?;
        let spread = if log && high - low < NARROW { 1.0 } else { high - low.min(0.0).max(low) };
        let floor = if !log && low >= 0.0 { 0.0 } else { low - room[0] * spread };
        let spread = if log { spread } else { high - floor };
        let ceiling = if !log && high <= 0.0 && low < 0.0 { 0.0 } else { high + room[1] * spread };
        let given = |bound: Option<f64>| bound.filter(shown).map(place);
        let low = given(axis.from).unwrap_or(floor);
        let high = given(axis.to).unwrap_or(ceiling);
        let (low, high) = if low <= high { (low, high) } else { (high, low) };
        let least = low.abs().max(high.abs()) * NARROW;
        let high = if high - low > least {
            high
        } else {
            low + least.max(low.abs() / 2.0).max(f64::from(u8::from(low.abs() < 1e-290)))
        };
        Some(Range { low, high, scale: axis.scale })
    }

    /// Where a value stands: 0 at the beginning of the axis, 1 at its end. `None` for one that the axis cannot show.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let at = match self.scale {
            _ if !value.is_finite() => return None,
            // Numbers of the axis may lie a little beyond what it shows.
            Scale::Linear => value.clamp(-HUGE * 1e3, HUGE * 1e3),
            Scale::Log if value <= 0.0 => return None,
            Scale::Log => libm::log10(value),
        };
        Some(((at - self.low) / (self.high - self.low)).clamp(-1e6, 1e6))
    }

    /// Where bars begin: at zero, or at the beginning of an axis that has none.
    pub(super) fn base(&self) -> f64 {
        match self.scale {
            Scale::Linear => self.place(0.0).unwrap_or(0.0).clamp(0.0, 1.0),
            Scale::Log => 0.0,
        }
    }

    /// At most `most` numbers, at least two if two fit its range.
    pub(super) fn ticks(&self, most: usize) -> Ticks {
        let most = most.clamp(2, 30);
        if self.scale == Scale::Linear {
            return self.linear(self.low, self.high, most);
        }
        let decades = libm::floor(self.high + NARROW) - libm::ceil(self.low - NARROW) + 1.0;
        let ticks = if decades >= 3.0 || decades as usize > most { self.decades(most) } else { self.parts() };
        if (2..=most).contains(&ticks.major.len()) {
            return ticks;
        }
        let (low, high) = (libm::pow(10.0, self.low), libm::pow(10.0, self.high));
        if decades >= 2.0 || !high.is_finite() { self.decades(most) } else { self.linear(low, high, most) }
    }

    fn linear(&self, low: f64, high: f64, most: usize) -> Ticks {
        let (mantissa, exponent) = step(low, high, most);
        let size = |count: f64| scaled(count * mantissa, exponent);
        let unit = size(1.0);
        let inside = |place: &f64| (-NARROW..=1.0 + NARROW).contains(place);
        let counts = |parts: f64| {
            let first = libm::ceil(low / unit * parts - 1e-6);
            (0..400)
                .map(move |i| first + f64::from(i))
                .take_while(move |count| count / parts * unit <= high + unit * 1e-6)
        };
        let greatest = low.abs().max(high.abs());
        let label = |value: f64| labelled(value, unit, exponent, greatest);
        let place = |value: f64| self.place(value).filter(inside);
        let major = counts(1.0).filter_map(|count| Some((place(size(count))?, label(size(count))))).collect();
        let parts = if mantissa > 1.5 && mantissa < 2.5 { 4.0 } else { 5.0 };
        let whole = |count: &f64| (count % parts).abs() < 0.5;
        let minor = counts(parts)
            .filter(|count| !whole(count))
            .filter_map(|count| place(size(count / parts)))
            .collect();
        Ticks { major, minor }
    }

    /// Every power of ten, or every second, third and so on.
    fn decades(&self, most: usize) -> Ticks {
        let (first, last) = (libm::ceil(self.low - NARROW) as i32, libm::floor(self.high + NARROW) as i32);
        let every = ((last - first + 1).max(1) as usize).div_ceil(most) as i32;
        let plain = self.is_plain();
        let place = |power: f64| (power - self.low) / (self.high - self.low);
        let major = (first..=last).filter(|power| power.rem_euclid(every) == 0);
        let major = major.map(|power| (place(f64::from(power)), power_label(1, power, plain))).collect();
        let minor = if every == 1 {
            let all = (first - 1..=last)
                .flat_map(|power| (2..10).map(move |digit| f64::from(power) + libm::log10(f64::from(digit))));
            all.map(place).filter(|place| (0.0..=1.0).contains(place)).collect()
        } else {
            (first..=last)
                .filter(|power| power.rem_euclid(every) != 0)
                .map(|power| place(f64::from(power)))
                .collect()
        };
        Ticks { major, minor }
    }

    /// Once, twice and five times each power of ten.
    fn parts(&self) -> Ticks {
        let plain = self.is_plain();
        let mut ticks = Ticks::default();
        for power in libm::floor(self.low) as i32..=libm::floor(self.high + NARROW) as i32 {
            for digit in 1..10 {
                let at = f64::from(power) + libm::log10(f64::from(digit));
                let place = (at - self.low) / (self.high - self.low);
                if !(-NARROW..=1.0 + NARROW).contains(&place) {
                } else if [1, 2, 5].contains(&digit) {
                    ticks.major.push((place, power_label(digit, power, plain)));
                } else {
                    ticks.minor.push(place);
                }
            }
        }
        ticks
    }

    fn is_plain(&self) -> bool {
        self.low >= f64::from(PLAIN[0]) - 0.01 && self.high <= f64::from(PLAIN[1]) + 0.99
    }
}

/// One, two or five times a power of ten: the least distance of numbers that makes at most `most` of them.
fn step(low: f64, high: f64, most: usize) -> (f64, i32) {
    let exponent = libm::floor(libm::log10((high - low) / most as f64)) as i32 - 1;
    for up in 0..4 {
        for mantissa in [1.0, 2.0, 5.0] {
            let unit = scaled(mantissa, exponent + up);
            let count = libm::floor(high / unit + 1e-6) - libm::ceil(low / unit - 1e-6) + 1.0;
            if unit > 0.0 && count <= most as f64 {
                return (mantissa, exponent + up);
            }
        }
    }
    (1.0, exponent + 3)
}

/// `value` times ten to the `exponent`, as exactly as can be.
fn scaled(value: f64, exponent: i32) -> f64 {
    if exponent < -300 {
        value * libm::pow(10.0, f64::from(exponent))
    } else if exponent < 0 {
        value / libm::pow(10.0, f64::from(-exponent))
    } else {
        value * libm::pow(10.0, f64::from(exponent))
    }
}

/// A number of a linear axis whose numbers are `unit` apart and at most `greatest`.
fn labelled(value: f64, unit: f64, exponent: i32, greatest: f64) -> String {
    if value.abs() < unit / 2.0 {
        return "0".to_owned();
    }
    let top = libm::floor(libm::log10(greatest) + NARROW) as i32;
    if exponent >= PLAIN[0] && top <= PLAIN[1] {
        return decimal(value, (-exponent).max(0) as usize);
    }
    let own = libm::floor(libm::log10(value.abs()) + NARROW) as i32;
    let digits = (own - exponent).clamp(0, 12) as usize;
    format!("{}{}", decimal(value / scaled(1.0, own), digits), power_of_ten(own))
}

fn power_label(digit: i32, power: i32, plain: bool) -> String {
    if plain {
        decimal(scaled(f64::from(digit), power), (-power).max(0) as usize)
    } else {
        format!("{digit}{}", power_of_ten(power))
    }
}

/// A number with so many decimals, commas between thousands from 10,000 on, and a real minus.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if whole.len() > 4 && position > 0 && (whole.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    format!("{}{grouped}{rest}", if value < 0.0 && !zero { "−" } else { "" })
}

/// A number with three digits that count, but at most one decimal more than `greatest` has with three.
pub(super) fn significant(value: f64, greatest: f64) -> String {
    // What rounds up to the next power of ten has that power.
    let power = |value: f64| {
        let rounded: f64 = format!("{:.2e}", value.abs()).parse().unwrap_or(value.abs());
        libm::floor(libm::log10(rounded) + NARROW) as i32
    };
    let decimals = |power: i32| (2 - power).max(0);
    let most = if greatest > 0.0 { decimals(power(greatest)) + 1 } else { i32::MAX };
    if value == 0.0 {
        return "0".to_owned();
    }
    let power = power(value);
    if power > PLAIN[1] || (power < PLAIN[0] && most > 2 - PLAIN[0]) {
        return format!("{}{}", decimal(scaled(value, -power.max(-300)), 2), power_of_ten(power));
    }
    decimal(value, decimals(power).min(most) as usize)
}

/// A power of ten; the font has no small minus to raise.
fn power_of_ten(power: i32) -> String {
    format!("e{}{}", if power < 0 { "−" } else { "" }, power.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn axis(scale: Scale, from: Option<f64>, to: Option<f64>) -> Axis {
        Axis { label: String::new(), scale, from, to }
    }

    fn labels(scale: Scale, values: &[f64], most: usize) -> Vec<String> {
        let range = Range::of(&axis(scale, None, None), values.iter().copied(), [0.0; 2]).unwrap();
        range.ticks(most).major.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(labels(Scale::Linear, &[0.0, 10.0], 6), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(
            labels(Scale::Linear, &[0.3, 0.04], 4),
            ["0.0", "0.1", "0.2", "0.3"].map(|t| if t == "0.0" { "0" } else { t })
        );
        assert_eq!(labels(Scale::Linear, &[-30.0, 20_000.0], 3), ["0", "10,000", "20,000"]);
        assert_eq!(labels(Scale::Linear, &[-2.0, 2.0], 5), ["−2", "−1", "0", "1", "2"]);
        assert_eq!(labels(Scale::Linear, &[4e9], 5), ["0", "1e9", "2e9", "3e9", "4e9"]);
        assert_eq!(labels(Scale::Log, &[0.001, 10.0], 9), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(labels(Scale::Log, &[1e-9, 1e9], 4), ["1e−5", "1e0", "1e5"]);
        assert_eq!(labels(Scale::Log, &[1.0, 20.0], 9), ["1", "2", "5", "10", "20"]);
        assert_eq!(labels(Scale::Log, &[3.0, 4.0], 6), ["3.0", "3.2", "3.4", "3.6", "3.8", "4.0"]);
    }

    #[test]
    fn values_have_three_digits_that_count() {
        let written: Vec<String> = [0.0, 0.021_34, 9.996, 12.0, 1234.5, 123_456.0, -0.5, 2.5e12, 7e-9]
            .map(|value| significant(value, 0.0))
            .into();
        let expected = ["0", "0.0213", "10.0", "12.0", "1234", "123,456", "−0.500", "2.50e12", "7.00e−9"];
        assert_eq!(written, expected);
        let beside = [41.0, -3.2, 0.0213, 1e-9].map(|value| significant(value, 41.0));
        assert_eq!(beside, ["41.0", "−3.20", "0.02", "0.00"]);
    }

    #[test]
    fn an_axis_without_values_has_no_range() {
        assert_eq!(
            Range::of(&axis(Scale::Linear, None, None), [f64::NAN, f64::INFINITY].into_iter(), [0.1; 2]),
            None
        );
        assert_eq!(
            Range::of(&axis(Scale::Log, Some(1.0), Some(2.0)), [0.0, -1.0].into_iter(), [0.1; 2]),
            None
        );
    }

    proptest! {
        #[test]
        fn any_range_has_few_ticks_in_order_within_it(
            log: bool,
            values in prop::collection::vec(prop::num::f64::ANY, 1..5),
            from in prop::option::of(prop::num::f64::ANY),
            to in prop::option::of(prop::num::f64::ANY),
            most in 0..50_usize,
        ) {
            let scale = if log { Scale::Log } else { Scale::Linear };
            let Some(range) = Range::of(&axis(scale, from, to), values.iter().copied(), [0.04; 2]) else { return Ok(()) };
            let ticks = range.ticks(most);
            prop_assert!(ticks.major.len() <= most.clamp(2, 30) + 1, "{range:?} {ticks:?}");
            prop_assert!(ticks.major.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1), "{range:?} {ticks:?}");
            prop_assert!(ticks.major.iter().map(|(at, _)| *at).chain(ticks.minor).all(|at| (-0.001..1.001).contains(&at)), "{range:?}");
            for value in values {
                prop_assert!(range.place(value).is_none_or(|at| at.abs() <= 1e6));
            }
        }
    }
}
