//! Values of flags that several commands take.

use super::text::count;
use crate::base::Span;
use crate::scenario::{SEED_MAX, span};

/// A time after the beginning of a trial, as the key until is written; a number without a unit is in seconds.
pub(super) fn moment(text: &str) -> Result<Span, String> {
    let seconds = text.ends_with(|last: char| last.is_ascii_digit()).then(|| format!("{text}s"));
    span(seconds.as_deref().unwrap_or(text)).ok_or_else(|| {
        "wanted a time such as 12.5s or 800ms, counted from the beginning of the trial".to_owned()
    })
}

/// A seed, within the same bounds as in a scenario.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    let wanted = || format!("wanted a whole number from 0 to {}", count(SEED_MAX));
    text.parse().ok().filter(|seed| *seed <= SEED_MAX).ok_or_else(wanted)
}
