//! How wide a chart is on paper.

use std::fmt;
use std::str::FromStr;

/// The width of a chart on paper, from 40 mm to 1000 mm; 180 mm, the width of a page, unless said otherwise.
///
/// Written as a number with its unit: `85mm` (a column of a paper), `18cm`, `3.5in`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Width {
    mm: f64,
}

/// Why a text is not the width of a chart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WidthError {
    /// There is a number, but no unit.
    #[error("{text:?} has no unit: write {text}mm for millimetres, or give cm or in")]
    NoUnit {
        /// What was given.
        text: String,
    },
    /// It is not a number and a unit.
    #[error("{text:?} is not a width: write a number and mm, cm or in, such as 85mm")]
    NotAWidth {
        /// What was given.
        text: String,
    },
    /// It is too narrow or too wide.
    #[error("{text:?} is not between 40mm and 1000mm; a column of a paper has about 85mm, a page 180mm")]
    OutOfBounds {
        /// What was given.
        text: String,
    },
}

/// The narrowest and the widest chart, in millimetres.
const BOUNDS_MM: [f64; 2] = [40.0, 1000.0];
/// The units that people write, in millimetres.
const UNITS_MM: [(&str, f64); 3] = [("mm", 1.0), ("cm", 10.0), ("in", 25.4)];

impl Width {
    /// A column of a paper: 85 mm.
    pub const COLUMN: Width = Width { mm: 85.0 };
    /// A page: 180 mm.
    pub const PAGE: Width = Width { mm: 180.0 };

    /// In millimetres.
    pub fn mm(self) -> f64 {
        self.mm
    }
}

impl Default for Width {
    fn default() -> Width {
        Width::PAGE
    }
}

impl FromStr for Width {
    type Err = WidthError;

    fn from_str(text: &str) -> Result<Width, WidthError> {
        let given = text.trim();
        let shown = || given.to_owned();
        let split = given.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(given.len());
        let (number, unit) = given.split_at(split);
        let number: f64 = number.parse().map_err(|_| WidthError::NotAWidth { text: shown() })?;
        let unit = unit.trim_start().to_ascii_lowercase();
        if unit.is_empty() {
            return Err(WidthError::NoUnit { text: shown() });
        }
        let Some((_, each)) = UNITS_MM.iter().find(|(name, _)| *name == unit) else {
            return Err(WidthError::NotAWidth { text: shown() });
        };
        let mm = number * each;
        if !(BOUNDS_MM[0]..=BOUNDS_MM[1]).contains(&mm) {
            return Err(WidthError::OutOfBounds { text: shown() });
        }
        Ok(Width { mm })
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}mm", self.mm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<f64, String> {
        text.parse::<Width>().map(Width::mm).map_err(|error| error.to_string())
    }

    #[test]
    fn widths_are_numbers_with_units() {
        assert_eq!(read("85mm"), Ok(85.0));
        assert_eq!(read(" 8.5 cm "), Ok(85.0));
        assert_eq!(read("10in"), Ok(254.0));
        assert_eq!(Width::default().to_string().parse(), Ok(Width::PAGE));
    }

    #[test]
    fn a_width_without_a_unit_or_out_of_bounds_is_refused_with_what_would_be_right() {
        assert!(read("120").unwrap_err().contains("120mm"));
        assert!(read("39.9mm").unwrap_err().contains("40mm"));
        assert!(read("101cm").unwrap_err().contains("1000mm"));
        for nonsense in ["", "mm", "wide", "-85mm", "1.2.3mm", "85px", "1e2mm", "NaNmm", "infmm"] {
            assert!(read(nonsense).is_err_and(|text| text.contains("85mm")), "{nonsense}");
        }
    }
}
