//! Lanes: what each of many things went through over time.

use super::axes::{self, Plot};
use super::fonts::BODY;
use super::legend::{Legend, SAMPLE};
use super::looks::{self, Strip};
use super::marks::Marks;
use super::runs::{Runs, Window};
use super::scale::Range;
use super::sketch::{Anchor, GREY, INK, Sketch};
use super::{Column, nothing};
use crate::report::figure::{Lanes, Stretch};

/// From one lane to the next, in millimetres: of few lanes, of many, of very many.
const PITCH: [f64; 3] = [5.0, 3.2, 0.8];
/// The height that few lanes share, and that very many do.
const HEIGHT: [f64; 2] = [60.0, 175.0];
/// The share of a lane's pitch that stays empty.
const GAP: f64 = 0.16;
/// Lanes that are drawn; more are counted below.
const LANES_MAX: usize = 400;
/// The share of the width that names may take.
const NAMES_MAX: f64 = 0.28;
/// Every so many lanes have their name written, where there is no room for all.
const EVERY: [usize; 8] = [1, 2, 5, 10, 20, 50, 100, 200];

/// Draws it below the top of `column`; gives the line below it.
pub(super) fn draw(sketch: &mut Sketch, column: &Column, panel: &Lanes) -> f64 {
    let lanes = &panel.lanes[..panel.lanes.len().min(LANES_MAX)];
    let real = |stretch: &&Stretch| stretch.state < panel.states.len() && stretch.from.is_finite();
    let stretches = lanes.iter().flat_map(|lane| lane.stretches.iter().filter(real));
    let ends = stretches.flat_map(|stretch| [stretch.from, stretch.to]);
    let marks = panel.marks.iter().map(|mark| mark.from);
    let explicit = [panel.x.from, panel.x.to].into_iter().flatten();
    let Some(range) =
        Range::of(&panel.x, ends.chain(marks).chain(explicit), [0.0; 2]).filter(|_| !lanes.is_empty())
    else {
        return nothing(sketch, column);
    };
    let count = lanes.len() as f64;
    let pitch = (HEIGHT[0] / count).clamp(PITCH[1], PITCH[0]).min((HEIGHT[1] / count).max(PITCH[2]));
    let every = EVERY.into_iter().find(|every| *every as f64 * pitch >= BODY.line() * 0.95).unwrap_or(500);
    let named = || lanes.iter().step_by(every);
    let widest = named().map(|lane| BODY.width(&lane.name)).fold(0.0, f64::max);
    let names = widest.min((column.right - column.left) * NAMES_MAX);
    let left = column.left + names + 1.5;
    let ticks = axes::horizontal(&range, column.right - left);
    let right = column.right - axes::overhang(&ticks, column.right - left).max(0.5);
    let marks = Marks::of(&panel.marks, &range);
    let top = column.top + marks.room(left, right);
    let plot = Plot { left, right, top, bottom: top + pitch * count };

    let runs = Runs::of(lanes, &panel.states, &Window { range, left, right });
    let strip = |position: usize| {
        let top = plot.top + pitch * (position as f64 + GAP / 2.0);
        Strip { top, bottom: top + pitch * (1.0 - GAP) }
    };
    for position in 0..lanes.len() {
        let Strip { top, bottom } = strip(position);
        sketch.rect((left, top), (right, bottom), looks::GROUND);
    }
    marks.shade(sketch, &plot);
    for (position, lane) in runs.lanes.iter().enumerate() {
        looks::draw(sketch, &strip(position), lane, &panel.states);
    }
    marks.lines(sketch, &plot);
    for (position, lane) in lanes.iter().enumerate().step_by(every) {
        let Strip { top, bottom } = strip(position);
        let y = f64::midpoint(top, bottom) + BODY.capital() / 2.0;
        sketch.text((left - 1.5, y), &BODY.fitting(&lane.name, names), BODY, INK, Anchor::End);
    }
    let mut bottom =
        axes::draw_horizontal(sketch, &plot, &ticks, &panel.x.label, (column.left, column.right));
    marks.draw_labels(sketch, &plot);
    if lanes.len() < panel.lanes.len() {
        bottom += BODY.line();
        let text = format!("The first {} of {} lanes.", lanes.len(), panel.lanes.len());
        sketch.text((column.left, bottom - 0.8), &text, BODY, GREY, Anchor::Start);
    }
    let mut legend = Legend::new("");
    for (position, state) in
        panel.states.iter().enumerate().filter(|(position, _)| runs.occur.contains(position))
    {
        let states = &panel.states;
        legend
            .add(&state.name, move |sketch, (x, y)| looks::sample(sketch, (x, y), SAMPLE, states, position));
    }
    legend.draw_below(sketch, &Column { top: bottom + 1.0, ..*column })
}
