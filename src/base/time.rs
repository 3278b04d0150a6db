//! Points in time and lengths of time, both in whole nanoseconds, both without a clock.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since some origin that the owner of the value knows.
///
/// For a node it is the start of its process, for a simulated run its beginning, and for *cluster time*
/// the founding of the cluster. It is never a wall clock. Arithmetic saturates at [`Time::NEVER`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

/// A length of time in nanoseconds, at most 584 years. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);
    /// Later than anything that happens: the deadline of one who waits for nothing.
    pub const NEVER: Time = Time(u64::MAX);

    /// The length from `earlier` to `self`; zero when `earlier` is in fact later.
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Seconds since the origin, for reports only.
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// Longer than any run: "for ever".
    pub const FOREVER: Span = Span(u64::MAX);

    /// `n` seconds.
    pub const fn secs(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000_000))
    }

    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }

    /// `n` microseconds.
    pub const fn micros(n: u64) -> Span {
        Span(n.saturating_mul(1_000))
    }

    /// `s` seconds, rounded to the nearest nanosecond; negative and NaN become zero.
    pub fn from_secs(s: f64) -> Span {
        // A float cast saturates and sends NaN to zero, on every platform alike.
        Span((s * 1e9 + 0.5) as u64)
    }

    /// This length in seconds, for reports only.
    pub fn as_secs(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// This length times a factor that is not negative, rounded to the nearest nanosecond.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Span {
        if self == Span::FOREVER { self } else { Span((self.0 as f64 * factor + 0.5) as u64) }
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Mul<u64> for Span {
    type Output = Span;
    fn mul(self, factor: u64) -> Span {
        Span(self.0.saturating_mul(factor))
    }
}

impl Div<u64> for Span {
    type Output = Span;
    fn div(self, divisor: u64) -> Span {
        Span(self.0 / divisor)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::NEVER {
            return f.pad("never");
        }
        f.pad(&format!("{}.{:06}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000))
    }
}

/// The largest unit in which the length is a whole number: `90s`, `250ms`, `1500us`, `7ns`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            u64::MAX => "forever".to_owned(),
            0 => "0s".to_owned(),
            n if n % 1_000_000_000 == 0 => format!("{}s", n / 1_000_000_000),
            n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => format!("{}us", n / 1_000),
            n => format!("{n}ns"),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Time::NEVER + Span::secs(1), Time::NEVER);
        assert_eq!(Time(5) - Span(7), Time::ZERO);
        assert_eq!(Time(5).since(Time(7)), Span::ZERO);
        assert_eq!(Span::FOREVER.scaled(0.5), Span::FOREVER);
        assert_eq!(Span::from_secs(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_secs(-1.0), Span::ZERO);
    }

    #[test]
    fn spans_print_in_the_unit_people_would_write() {
        assert_eq!(Span::millis(250).to_string(), "250ms");
        assert_eq!(Span::secs(90).to_string(), "90s");
        assert_eq!(Span::micros(1500).to_string(), "1500us");
        assert_eq!(Time(1_234_567_890).to_string(), "1.234567s");
    }
}
