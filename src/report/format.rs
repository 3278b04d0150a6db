//! Numbers as the result files write them: always the same digits for the same value.

use serde::{Serialize, Serializer};

use crate::base::{Span, Time};

/// A point in time or a length, written in seconds with six decimals; nothing is written for "not applicable".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Option<u64>);

impl Seconds {
    /// Not applicable.
    pub const NONE: Seconds = Seconds(None);

    /// As a number, unrounded.
    pub fn value(self) -> Option<f64> {
        self.0.map(|nanoseconds| nanoseconds as f64 / 1e9)
    }
}

impl From<Time> for Seconds {
    fn from(time: Time) -> Seconds {
        Seconds(Some(time.0))
    }
}

impl From<Span> for Seconds {
    fn from(span: Span) -> Seconds {
        Seconds(Some(span.0))
    }
}

impl From<Option<Time>> for Seconds {
    fn from(time: Option<Time>) -> Seconds {
        Seconds(time.map(|time| time.0))
    }
}

impl From<Option<Span>> for Seconds {
    fn from(span: Option<Span>) -> Seconds {
        Seconds(span.map(|span| span.0))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_none(),
            Some(nanoseconds) => {
                let micros = nanoseconds / 1_000 + u64::from(nanoseconds % 1_000 >= 500);
                serializer.serialize_str(Digits::of(micros).text())
            }
        }
    }
}

/// A number of millionths as a decimal number; made by hand, because most of what is written in results are these.
struct Digits {
    /// The text stands at the end.
    text: [u8; 24],
    from: usize,
}

impl Digits {
    fn of(millionths: u64) -> Digits {
        let mut digits = Digits { text: [b'0'; 24], from: 24 };
        let mut left = millionths;
        for place in 0.. {
            digits.from -= 1;
            if place == 6 {
                digits.text[digits.from] = b'.';
            } else {
                digits.text[digits.from] = b'0' + (left % 10) as u8;
                left /= 10;
            }
            // At least one digit before the point.
            if place > 6 && left == 0 {
                break;
            }
        }
        digits
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.text[self.from..]).expect("digits and a point are text")
    }
}

/// A number, written with six decimals; nothing is written for "not applicable".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Number(pub Option<f64>);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_none(),
            Some(number) => serializer.serialize_str(&decimal(number)),
        }
    }
}

/// `number` with six decimals, and zero without a sign.
pub(super) fn decimal(number: f64) -> String {
    let text = format!("{number:.6}");
    if text == "-0.000000" { "0.000000".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: impl Serialize) -> String {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.serialize((0, value)).unwrap();
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    }

    #[test]
    fn seconds_have_six_decimals_and_are_rounded() {
        assert_eq!(written(Seconds::from(Time(1_234_567_499))), "0,1.234567\n");
        assert_eq!(written(Seconds::from(Span(999_999_999))), "0,1.000000\n");
        assert_eq!(written(Seconds::NONE), "0,\n");
        for millionths in [0, 9, 999_999, 1_000_000, 10_000_000, 123_456_789, u64::MAX / 1_000] {
            let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
            assert_eq!(Digits::of(millionths).text(), text);
        }
    }

    #[test]
    fn numbers_have_six_decimals_and_no_negative_zero() {
        assert_eq!(written(Number(Some(-1e-9))), "0,0.000000\n");
        assert_eq!(written(Number(Some(2.5))), "0,2.500000\n");
        assert_eq!(written(Number(None)), "0,\n");
    }
}
