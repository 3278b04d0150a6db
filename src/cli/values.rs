//! Values of flags that several commands take, and the text of files that they name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::text::count;
use crate::base::Span;
use crate::scenario::{SEED_MAX, span};

/// No file with a scenario or settings has more bytes.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// The text of a file with a scenario or settings.
pub(super) fn text(path: &Path) -> Result<String> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    let fits = bytes.len() as u64 <= TEXT_BYTES_MAX;
    ensure!(fits, "{shown} is too large to be read as text: it has more than {} MiB", TEXT_BYTES_MAX >> 20);
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{shown} is not text in UTF-8"))
}

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
