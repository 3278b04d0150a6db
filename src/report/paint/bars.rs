//! Bars: values of a few things beside each other, upright where all texts fit, else lying.

use super::axes::{self, Plot};
use super::fonts::BODY;
use super::legend::{Legend, SAMPLE};
use super::scale::{Range, significant};
use super::sketch::{Anchor, GREY, INK, Point, Sketch};
use super::style;
use super::{Column, nothing};
use crate::report::figure::{Bar, Bars, Estimate, Scale};

/// The height of a plot of upright bars, in millimetres.
const HEIGHT: [f64; 2] = [40.0, 70.0];
/// The thickness of a lying bar, in millimetres, when there is room for all, and at least.
const THICKNESS: [f64; 2] = [3.1, 0.6];
/// The height that lying bars may take together before they become thinner.
const HEIGHT_MAX: f64 = 230.0;
/// Between groups, in bars.
const GROUP_GAP: f64 = 0.7;
/// The widest upright bar, in millimetres.
const UPRIGHT_MAX: f64 = 14.0;
/// The share of the width that names of groups may take beside lying bars.
const NAMES_MAX: f64 = 0.32;
/// Beside the values, as a share of their range.
const ROOM: f64 = 0.04;
/// What stands for a value that there is not.
const NONE: &str = "–";
/// The width of whiskers, in millimetres.
const WHISKER: f64 = 0.25;

/// A chart of bars, laid out as far as both ways share.
struct Layout<'a> {
    panel: &'a Bars,
    range: Range,
    /// What stands at the end of each bar: by group, by bar.
    values: Vec<Vec<String>>,
}

/// Draws it below the top of `column`; gives the line below it.
pub(super) fn draw(sketch: &mut Sketch, column: &Column, panel: &Bars) -> f64 {
    let values = panel.bars.iter().flat_map(|bar| bar.values.iter().take(panel.groups.len()).flatten());
    let ends = values.flat_map(|estimate| [estimate.value, estimate.low, estimate.high]);
    // A logarithmic axis begins well below the least, so that its bar shows.
    let room = [if panel.axis.scale == Scale::Log { 0.15 } else { ROOM }, ROOM];
    let Some(range) = Range::of(&panel.axis, ends, room) else { return nothing(sketch, column) };
    let finite =
        panel.bars.iter().flat_map(|bar| bar.values.iter().flatten()).map(|estimate| estimate.value.abs());
    let greatest = match panel.axis.scale {
        Scale::Linear => finite.filter(|value| value.is_finite()).fold(0.0, f64::max),
        Scale::Log => 0.0,
    };
    let text = |group: usize, bar: &Bar| match bar.values.get(group) {
        Some(Some(estimate)) if estimate.value.is_finite() => significant(estimate.value, greatest),
        _ => NONE.to_owned(),
    };
    let values = (0..panel.groups.len()).map(|group| panel.bars.iter().map(|bar| text(group, bar)).collect());
    let layout = Layout { panel, range, values: values.collect() };

    let mut legend = Legend::new(&panel.legend);
    if panel.bars.len() > 1 || !panel.legend.is_empty() {
        for (position, bar) in panel.bars.iter().enumerate() {
            let color = style::fill(position);
            legend.add(&bar.name, move |sketch, (x, y)| {
                sketch.rect((x, y - 1.0), (x + SAMPLE, y + 1.0), color);
            });
        }
    }
    let beside = legend.beside(column);
    let inner = Column { right: column.right - beside.unwrap_or(0.0), ..*column };
    let bottom = layout.upright(sketch, &inner).unwrap_or_else(|| layout.lying(sketch, &inner));
    match beside {
        Some(_) => legend.draw_beside(sketch, inner.right + 5.0, column.right, column.top + 1.0).max(bottom),
        None => legend.draw_below(sketch, &Column { top: bottom + 1.0, ..*column }),
    }
}

impl Layout<'_> {
    /// Upright bars; `None` if the texts do not fit below and above them.
    fn upright(&self, sketch: &mut Sketch, column: &Column) -> Option<f64> {
        let panel = self.panel;
        let height = ((column.right - column.left) * 0.4).clamp(HEIGHT[0], HEIGHT[1]);
        let numbers = axes::vertical(&self.range, height);
        let left = column.left + axes::left_room(&numbers, &panel.axis.label, height);
        let each = (column.right - left) / panel.groups.len() as f64;
        let thick = (each / (panel.bars.len() as f64 + GROUP_GAP)).min(UPRIGHT_MAX);
        let fits = |text: &String| BODY.width(text) <= thick;
        let names = panel.groups.iter().map(|name| BODY.wrapped(name, each - 2.0, 3));
        let names: Vec<Vec<String>> = names.collect();
        let whole = names.iter().zip(&panel.groups).all(|(lines, name)| {
            lines.join(" ").split_whitespace().eq(name.split_whitespace()) && lines.len() < 3
        });
        if !whole || !self.values.iter().flatten().all(fits) {
            return None;
        }
        let top = column.top + BODY.line();
        let plot = Plot { left, right: column.right, top, bottom: top + height };
        axes::grid(sketch, &plot, None, Some(&numbers));
        let base = plot.y(self.range.base());
        for (group, values) in self.values.iter().enumerate() {
            let middle = left + each * (group as f64 + 0.5);
            let start = middle - thick * panel.bars.len() as f64 / 2.0;
            for (position, (bar, text)) in panel.bars.iter().zip(values).enumerate() {
                let x = start + thick * (position as f64 + 0.5);
                let ends = self
                    .ends(bar.values.get(group).copied().flatten())
                    .map(|ends| ends.map(|end| plot.y(end)));
                let (mut upper, mut under) = (base, false);
                if let Some([value, low, high]) = ends {
                    sketch.rect(
                        (x - thick * 0.45, value.min(base)),
                        (x + thick * 0.45, value.max(base)),
                        style::fill(position),
                    );
                    whisker(sketch, (x, low), (x, high), thick);
                    under = value > base + 0.01;
                    upper = if under { value.max(low) } else { value.min(high) };
                }
                let y =
                    if under { (upper + 0.8 + BODY.capital()).min(plot.bottom - 0.5) } else { upper - 0.8 };
                write(sketch, (x, y), text, Anchor::Middle);
            }
            for (line, text) in names[group].iter().enumerate() {
                let y = plot.bottom + 1.6 + BODY.capital() + line as f64 * BODY.line();
                sketch.text((middle, y), text, BODY, INK, Anchor::Middle);
            }
        }
        sketch.line(vec![(plot.left, base), (plot.right, base)], INK, axes::AXIS);
        axes::draw_vertical(sketch, &plot, &numbers, &panel.axis.label);
        let lines = names.iter().map(Vec::len).max().unwrap_or(0) as f64;
        Some(plot.bottom + 1.6 + lines * BODY.line() + 1.0)
    }

    /// Lying bars, with the names of the groups to their left.
    fn lying(&self, sketch: &mut Sketch, column: &Column) -> f64 {
        let panel = self.panel;
        let (groups, bars) = (panel.groups.len() as f64, panel.bars.len() as f64);
        let rows = groups * (bars + GROUP_GAP);
        let thick = (HEIGHT_MAX / rows).clamp(THICKNESS[1], THICKNESS[0]);
        let written = thick >= BODY.line() * 0.85;
        let widest = panel.groups.iter().map(|name| BODY.width(name)).fold(0.0, f64::max);
        let names = widest.min((column.right - column.left) * NAMES_MAX);
        let longest = self.values.iter().flatten().map(|text| BODY.width(text)).fold(0.0, f64::max);
        let beside = if written { longest + 1.8 } else { 0.0 };
        let below = panel
            .bars
            .iter()
            .flat_map(|bar| bar.values.iter().flatten())
            .any(|estimate| estimate.value < 0.0);
        let below = below && self.range.base() > 0.0;
        let left = column.left + names + 1.5 + if below { beside } else { 0.0 };
        let right = column.right - beside;
        let ticks = axes::horizontal(&self.range, right - left);
        let right = right.min(column.right - axes::overhang(&ticks, right - left));
        let plot = Plot { left, right, top: column.top, bottom: column.top + rows * thick };
        axes::grid(sketch, &plot, Some(&ticks), None);
        let base = plot.x(self.range.base());
        let each = thick * (bars + GROUP_GAP);
        let every = (BODY.line() / each).ceil().max(1.0) as usize;
        for (group, values) in self.values.iter().enumerate() {
            let start = plot.top + each * group as f64 + thick * GROUP_GAP / 2.0;
            for (position, (bar, text)) in panel.bars.iter().zip(values).enumerate() {
                let y = start + thick * (position as f64 + 0.5);
                let ends = self
                    .ends(bar.values.get(group).copied().flatten())
                    .map(|ends| ends.map(|end| plot.x(end)));
                let (mut outer, mut before) = (base, false);
                if let Some([value, low, high]) = ends {
                    sketch.rect(
                        (value.min(base), y - thick * 0.42),
                        (value.max(base), y + thick * 0.42),
                        style::fill(position),
                    );
                    whisker(sketch, (low, y), (high, y), thick);
                    before = value < base - 0.01;
                    outer = if before { value.min(low) } else { value.max(high) };
                }
                if written {
                    let x = if before { outer - 1.3 } else { outer + 1.3 };
                    let anchor = if before { Anchor::End } else { Anchor::Start };
                    write(sketch, (x, y + BODY.capital() / 2.0), text, anchor);
                }
            }
            if group.is_multiple_of(every) {
                let y = start + thick * bars / 2.0 + BODY.capital() / 2.0;
                let name = BODY.fitting(&panel.groups[group], names);
                sketch.text((column.left + names, y), &name, BODY, INK, Anchor::End);
            }
        }
        sketch.line(vec![(base, plot.top), (base, plot.bottom)], INK, axes::AXIS);
        axes::draw_horizontal(sketch, &plot, &ticks, &panel.axis.label, (column.left, column.right))
    }

    /// Value, low and high end as places along the axis; `None` if there is nothing to draw.
    fn ends(&self, estimate: Option<Estimate>) -> Option<[f64; 3]> {
        let estimate = estimate?;
        let place = |value: f64| self.range.place(value).map(|place| place.clamp(0.0, 1.0));
        let value = place(estimate.value).or((estimate.value == 0.0).then_some(0.0))?;
        let or_value = |end: f64| place(end).unwrap_or(value);
        Some([value, or_value(estimate.low), or_value(estimate.high)])
    }
}

/// What stands at the end of a bar.
fn write(sketch: &mut Sketch, at: Point, text: &str, anchor: Anchor) {
    sketch.text(at, text, BODY, if text == NONE { GREY } else { INK }, anchor);
}

/// A line with small ends, if it has a length.
fn whisker(sketch: &mut Sketch, from: Point, to: Point, thick: f64) {
    let (x, y) = ((to.0 - from.0).abs(), (to.1 - from.1).abs());
    if x.max(y) < 0.05 {
        return;
    }
    let half = (thick * 0.22).min(1.0);
    sketch.line(vec![from, to], INK, WHISKER);
    for (at_x, at_y) in [from, to] {
        let (across, along) = if x > y { (0.0, half) } else { (half, 0.0) };
        sketch.line(vec![(at_x - across, at_y - along), (at_x + across, at_y + along)], INK, WHISKER);
    }
}
