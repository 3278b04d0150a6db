//! Legends: beside the picture where there is room, else below it, in an area of their own.

use super::Column;
use super::fonts::{BODY, HEADING};
use super::sketch::{Anchor, INK, Point, Sketch};

/// The width of a sample, in millimetres.
pub(super) const SAMPLE: f64 = 6.0;
/// From a sample to its name.
const GAP: f64 = 1.5;
/// Charts at least this wide have their legend beside the picture.
const BESIDE_MIN: f64 = 130.0;
/// The share of a chart's width that a legend beside the picture, or a name below it, may take.
const SHARE_MAX: [f64; 2] = [0.26, 0.6];
/// Entries that are written; of more it says how many.
const ENTRIES_MAX: usize = 24;

/// Draws a sample from its left end, on its middle line.
type Sample<'a> = Box<dyn Fn(&mut Sketch, Point) + 'a>;

/// A legend.
pub(super) struct Legend<'a> {
    heading: String,
    entries: Vec<(Option<Sample<'a>>, String)>,
}

impl<'a> Legend<'a> {
    pub(super) fn new(heading: &str) -> Legend<'a> {
        Legend { heading: super::fonts::clean(heading), entries: Vec::new() }
    }

    /// Adds a name with its sample.
    pub(super) fn add(&mut self, name: &str, sample: impl Fn(&mut Sketch, Point) + 'a) {
        self.entries.push((Some(Box::new(sample)), name.to_owned()));
    }

    /// Adds a remark without a sample.
    pub(super) fn remark(&mut self, text: &str) {
        self.entries.push((None, text.to_owned()));
    }

    /// The width it takes beside the picture, with the gap before it; `None` where it goes below or is empty.
    pub(super) fn beside(&self, column: &Column) -> Option<f64> {
        let width = column.right - column.left;
        if width < BESIDE_MIN || self.entries.is_empty() {
            return None;
        }
        let names = self.entries.iter().map(|(sample, name)| indent(sample.as_ref()) + BODY.width(name));
        let widest = names.fold(HEADING.width(&self.heading), f64::max);
        Some(widest.min(width * SHARE_MAX[0]) + 5.0)
    }

    /// Draws it beside the picture, from `left`; gives the line below it.
    pub(super) fn draw_beside(mut self, sketch: &mut Sketch, left: f64, right: f64, top: f64) -> f64 {
        self.shorten();
        let mut y = top;
        if !self.heading.is_empty() {
            let heading = HEADING.fitting(&self.heading, right - left);
            sketch.text((left, y + HEADING.capital()), &heading, HEADING, INK, Anchor::Start);
            y += HEADING.line() * 1.2;
        }
        for (sample, name) in &self.entries {
            let middle = y + BODY.capital() / 2.0;
            if let Some(sample) = sample {
                sample(sketch, (left, middle));
            }
            let indent = indent(sample.as_ref());
            let name = BODY.fitting(name, right - left - indent);
            sketch.text((left + indent, y + BODY.capital()), &name, BODY, INK, Anchor::Start);
            y += BODY.line() * 1.2;
        }
        y
    }

    /// Draws it below the picture, in as many rows as it needs; gives the line below it.
    pub(super) fn draw_below(mut self, sketch: &mut Sketch, column: &Column) -> f64 {
        self.shorten();
        if self.entries.is_empty() {
            return column.top;
        }
        let width = column.right - column.left;
        let (mut x, mut y) = (column.left, column.top);
        if !self.heading.is_empty() {
            let heading = HEADING.fitting(&self.heading, width * SHARE_MAX[1]);
            sketch.text((x, y + HEADING.capital()), &heading, HEADING, INK, Anchor::Start);
            x += HEADING.width(&heading) + 2.5;
        }
        let start = x.min(column.left + width * 0.3);
        for (sample, name) in &self.entries {
            let indent = indent(sample.as_ref());
            let name = BODY.fitting(name, width * SHARE_MAX[1]);
            let needed = indent + BODY.width(&name);
            if x + needed > column.right && x > start {
                (x, y) = (start, y + BODY.line() * 1.15);
            }
            let name = BODY.fitting(&name, column.right - x - indent);
            if let Some(sample) = sample {
                sample(sketch, (x, y + BODY.capital() / 2.0));
            }
            sketch.text((x + indent, y + BODY.capital()), &name, BODY, INK, Anchor::Start);
            x += needed + 3.5;
        }
        y + BODY.line()
    }

    fn shorten(&mut self) {
        let more = self.entries.len().saturating_sub(ENTRIES_MAX);
        if more > 0 {
            self.entries.truncate(ENTRIES_MAX - 1);
            self.remark(&format!("and {} more", more + 1));
        }
    }
}

fn indent(sample: Option<&Sample<'_>>) -> f64 {
    if sample.is_some() { SAMPLE + GAP } else { 0.0 }
}
