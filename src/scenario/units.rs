//! Values with units, as people write them: spans, draws, rates, bandwidths; read and written.

use crate::base::{Draw, Span};

/// Why a text is not the value that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    #[error("is empty")]
    Empty,
    #[error("has no unit")]
    NoUnit,
    #[error("has the unknown unit {0:?}")]
    UnknownUnit(String),
    #[error("is not a number with a unit")]
    NotANumber,
    #[error("is negative")]
    Negative,
    #[error("is finer than a nanosecond")]
    TooFine,
    #[error("is not a whole number of bytes per second")]
    PartOfAByte,
    #[error("is too large")]
    TooLarge,
    #[error("begins after it ends")]
    Backwards,
    #[error("names an unknown distribution")]
    UnknownDraw,
    #[error("needs a median and a deviation, two values")]
    TwoValues,
    #[error("needs a deviation from 0 to 5, a plain number")]
    Deviation,
    #[error("is not a share such as 0.01 or \"1%\"")]
    NotAShare,
}

/// The units of a span with their lengths in nanoseconds.
const SPAN_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The units of a bandwidth with their sizes in bits per second.
const BANDWIDTH_UNITS: [(&str, u64); 8] = [
    ("bit", 1),
    ("kbit", 1_000),
    ("Mbit", 1_000_000),
    ("Gbit", 1_000_000_000),
    ("B", 8),
    ("kB", 8_000),
    ("MB", 8_000_000),
    ("GB", 8_000_000_000),
];

/// A length of time: `250ms`, `1.5s`, `2m`. Exact, without a detour over floats.
pub(super) fn span(text: &str) -> Result<Span, UnitError> {
    let (number, unit) = number_and_unit(text)?;
    let scale = size_of(&SPAN_UNITS, unit)?;
    let nanos = scaled(number, scale)?.ok_or(UnitError::TooFine)?;
    // The greatest number means "for ever", which nothing in a file can.
    u64::try_from(nanos).ok().filter(|&nanos| nanos < u64::MAX).map(Span).ok_or(UnitError::TooLarge)
}

/// A length of time as scenarios write it, such as `250ms`, `1.5s` or `2m`; `None` for anything else.
pub fn readable_span(text: &str) -> Option<Span> {
    span(text).ok()
}

/// A length of time that may be random: a span, `30s..40s`, `lognormal(150ms, 0.2)` or `exp(2s)`.
pub(super) fn draw(text: &str) -> Result<Draw, UnitError> {
    let text = text.trim();
    if let Some((low, high)) = text.split_once("..") {
        let (low, high) = (span(low)?, span(high)?);
        return if low > high { Err(UnitError::Backwards) } else { Ok(Draw::Uniform(low, high)) };
    }
    let Some((name, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return if text.contains('(') { Err(UnitError::UnknownDraw) } else { span(text).map(Draw::Fixed) };
    };
    match name.trim() {
        "lognormal" => {
            let (median, deviation) = inner.split_once(',').ok_or(UnitError::TwoValues)?;
            let deviation: f64 = deviation.trim().parse().map_err(|_| UnitError::Deviation)?;
            if !(0.0..=5.0).contains(&deviation) {
                return Err(UnitError::Deviation);
            }
            // Minus zero is zero, and is written so.
            Ok(Draw::LogNormal(span(median)?, deviation + 0.0))
        }
        "exp" => span(inner).map(Draw::Exponential),
        _ => Err(UnitError::UnknownDraw),
    }
}

/// How a scenario writes a draw; reading it gives the same value again.
pub fn draw_text(draw: Draw) -> String {
    match draw {
        Draw::Fixed(span) => span.to_string(),
        Draw::Uniform(low, high) => format!("{low}..{high}"),
        Draw::LogNormal(median, deviation) => format!("lognormal({median}, {deviation})"),
        Draw::Exponential(mean) => format!("exp({mean})"),
    }
}

/// The lengths between which a draw lies, as far as it has such bounds: for the unbounded ones the median or the mean.
pub(super) fn draw_range(draw: Draw) -> (Span, Span) {
    match draw {
        Draw::Uniform(low, high) => (low, high),
        Draw::Fixed(span) | Draw::LogNormal(span, _) | Draw::Exponential(span) => (span, span),
    }
}

/// A share in per cent, such as `1%` or `0.5%`.
pub(super) fn percentage(text: &str) -> Result<f64, UnitError> {
    let number = text.trim().strip_suffix('%').ok_or(UnitError::NotAShare)?.trim();
    if number.starts_with('-') {
        return Err(UnitError::Negative);
    }
    if number.is_empty() || number.contains(|c: char| !c.is_ascii_digit() && c != '.') {
        return Err(UnitError::NotAShare);
    }
    // Shifting the decimal point in the text rounds once, so that "0.3%" is the very number 0.003.
    format!("{number}e-2").parse().map_err(|_| UnitError::NotAShare)
}

/// A bandwidth in bytes per second: `1Gbit`, `100MB`, also with `/s`.
pub(super) fn bandwidth(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    let (number, unit) = number_and_unit(text.strip_suffix("/s").unwrap_or(text))?;
    let bits = scaled(number, size_of(&BANDWIDTH_UNITS, unit)?)?.ok_or(UnitError::PartOfAByte)?;
    if bits % 8 != 0 {
        return Err(UnitError::PartOfAByte);
    }
    u64::try_from(bits / 8).map_err(|_| UnitError::TooLarge)
}

/// How a bandwidth of so many bytes per second is written; [`bandwidth`] reads it back as the same value.
pub(super) fn bandwidth_text(bytes: u64) -> String {
    match bytes {
        0 => "0B".to_owned(),
        n if n % 1_000_000_000 == 0 => format!("{}GB", n / 1_000_000_000),
        n if n % 1_000_000 == 0 => format!("{}MB", n / 1_000_000),
        n if n % 1_000 == 0 => format!("{}kB", n / 1_000),
        n => format!("{n}B"),
    }
}

/// The size of a value that is one number, as charts show it, with its unit: seconds for lengths of time, per cent for shares
/// written so, bytes per second for bandwidths, nothing for plain numbers. `None` for anything else, also for random lengths.
pub fn magnitude(text: &str) -> Option<(f64, &'static str)> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some((number, ""));
    }
    if percentage(text).is_ok() {
        return text.strip_suffix('%')?.trim().parse().ok().map(|number| (number, "%"));
    }
    let bytes = || bandwidth(text).ok().map(|bytes| (bytes as f64, "bytes/s"));
    span(text).ok().map(|span| (span.as_secs(), "s")).or_else(bytes)
}

fn number_and_unit(text: &str) -> Result<(&str, &str), UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    if number.is_empty() { Err(UnitError::NotANumber) } else { Ok((number, unit)) }
}

fn size_of(units: &[(&str, u64)], unit: &str) -> Result<u64, UnitError> {
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    let known = units.iter().find(|(name, _)| *name == unit);
    known.map(|(_, size)| *size).ok_or_else(|| UnitError::UnknownUnit(unit.to_owned()))
}

/// A decimal number of digits and at most one point, times `scale`; `None` when that is not whole.
fn scaled(number: &str, scale: u64) -> Result<Option<u128>, UnitError> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part = part.trim_end_matches('0');
    if part.contains('.') || (whole.is_empty() && part.is_empty()) {
        return Err(UnitError::NotANumber);
    }
    // Parts finer than 18 digits are finer than any unit; more than 20 digits exceed any bound.
    if part.len() > 18 {
        return Ok(None);
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > 20 {
        return Err(UnitError::TooLarge);
    }
    let digits = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>() };
    let whole = digits(whole).map_err(|_| UnitError::NotANumber)?;
    let part_scaled = digits(part).map_err(|_| UnitError::NotANumber)? * u128::from(scale);
    let divisor = 10_u128.pow(part.len() as u32);
    if part_scaled % divisor != 0 {
        return Ok(None);
    }
    // 20 digits times less than 2⁴³ fit into 128 bits.
    Ok(Some(whole * u128::from(scale) + part_scaled / divisor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_of_one_number_have_a_magnitude() {
        assert_eq!(magnitude("5"), Some((5.0, "")));
        assert_eq!(magnitude("0.01"), Some((0.01, "")));
        assert_eq!(magnitude("250ms"), Some((0.25, "s")));
        assert_eq!(magnitude("0.3%"), Some((0.3, "%")));
        assert_eq!(magnitude("8kbit"), Some((1000.0, "bytes/s")));
        for other in ["auto", "1s..2s", "exp(1s)", "inf", "NaN", ""] {
            assert_eq!(magnitude(other), None, "{other}");
        }
    }

    #[test]
    fn spans_read_as_people_write_them() {
        let read = |text: &str| span(text).map(|span| span.0);
        assert_eq!(read("250ms"), Ok(250_000_000));
        assert_eq!(read("1.5s"), Ok(1_500_000_000));
        assert_eq!(read("2m"), Ok(120_000_000_000));
        assert_eq!(read("1h"), Ok(3_600_000_000_000));
        assert_eq!(read("100us"), read("100µs"));
        assert_eq!(read(" 7 ns "), Ok(7));
        assert_eq!(read("0.000000001s"), Ok(1));
        assert_eq!(read("1.50s"), read("1500ms"));
        assert_eq!(read("50"), Err(UnitError::NoUnit));
        assert_eq!(read("50 msec"), Err(UnitError::UnknownUnit("msec".to_owned())));
        assert_eq!(read("-1s"), Err(UnitError::Negative));
        assert_eq!(read("0.5ns"), Err(UnitError::TooFine));
        assert_eq!(read("1.2.3s"), Err(UnitError::NotANumber));
        assert_eq!(read(".s"), Err(UnitError::NotANumber));
        assert_eq!(read("s"), Err(UnitError::NotANumber));
        assert_eq!(read("soon"), Err(UnitError::NotANumber));
        assert_eq!(read(""), Err(UnitError::Empty));
        assert_eq!(read("99999999999999999999h"), Err(UnitError::TooLarge));
        assert_eq!(read("18446744073709551615ns"), Err(UnitError::TooLarge));
    }

    #[test]
    fn draws_read_as_people_write_them() {
        assert_eq!(draw("2s"), Ok(Draw::Fixed(Span::secs(2))));
        assert_eq!(draw("30s..40s"), Ok(Draw::Uniform(Span::secs(30), Span::secs(40))));
        assert_eq!(draw("lognormal(150ms, 0.2)"), Ok(Draw::LogNormal(Span::millis(150), 0.2)));
        assert_eq!(draw("exp( 2s )"), Ok(Draw::Exponential(Span::secs(2))));
        assert_eq!(draw("40s..30s"), Err(UnitError::Backwards));
        assert_eq!(draw("30..40s"), Err(UnitError::NoUnit));
        assert_eq!(draw("lognormal(150ms)"), Err(UnitError::TwoValues));
        assert_eq!(draw("lognormal(150ms, -1)"), Err(UnitError::Deviation));
        assert_eq!(draw("lognormal(150ms, NaN)"), Err(UnitError::Deviation));
        assert_eq!(draw("normal(2s, 1s)"), Err(UnitError::UnknownDraw));
        assert_eq!(draw("exp(2s"), Err(UnitError::UnknownDraw));
    }

    #[test]
    fn shares_and_bandwidths_read_as_people_write_them() {
        assert_eq!(percentage("1%"), Ok(0.01));
        assert_eq!(percentage("0.3%"), Ok(0.003));
        assert_eq!(percentage("-1%"), Err(UnitError::Negative));
        assert_eq!(percentage("1"), Err(UnitError::NotAShare));
        assert_eq!(percentage("1e3%"), Err(UnitError::NotAShare));
        assert_eq!(percentage("1.2.3%"), Err(UnitError::NotAShare));
        assert_eq!(bandwidth("1Gbit"), Ok(125_000_000));
        assert_eq!(bandwidth("100MB/s"), Ok(100_000_000));
        assert_eq!(bandwidth("1.5kbit"), Err(UnitError::PartOfAByte));
        assert_eq!(bandwidth("100Mb"), Err(UnitError::UnknownUnit("Mb".to_owned())));
        assert_eq!(bandwidth("100"), Err(UnitError::NoUnit));
    }

    fn any_draw() -> impl Strategy<Value = Draw> {
        let span = || prop_oneof![0..u64::MAX, 0..10_000_u64].prop_map(Span);
        prop_oneof![
            span().prop_map(Draw::Fixed),
            (span(), span()).prop_map(|(a, b)| Draw::Uniform(a.min(b), a.max(b))),
            (span(), 0.0..=5.0).prop_map(|(median, deviation)| Draw::LogNormal(median, deviation)),
            span().prop_map(Draw::Exponential),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_value(value in any_draw(), bytes in any::<u64>()) {
            prop_assert_eq!(draw(&draw_text(value)), Ok(value));
            prop_assert_eq!(bandwidth(&bandwidth_text(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC*", number in "[0-9.\\-]{0,60}[a-zA-Zµ%()., ]{0,12}") {
            for text in [&text, &number] {
                let _ = (draw(text), span(text), percentage(text), bandwidth(text));
            }
        }
    }
}
