//! How the states of a lane look: those of different kinds overlap without hiding each other.

use super::runs::{LaneRuns, PARTS, Run};
use super::sketch::{Color, GREY, Point, Sketch, WHITE};
use super::style;
use crate::report::figure::{Look, State};

/// A lane in which nothing happens.
pub(super) const GROUND: Color = Color::new(238, 238, 238);
/// Hatches, crowns and boxes of the first state of their kind, of the second, and so on.
const DARK: [Color; 3] = [Color::new(0, 0, 0), Color::new(170, 30, 20), Color::new(90, 0, 120)];
/// Between two hatches, in millimetres.
const HATCH: f64 = 1.0;
/// The thickness of lines, in millimetres, for lanes that are high enough.
const LINE: f64 = 0.32;

/// The part of the paper that a lane takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Strip {
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Strip {
    fn height(&self) -> f64 {
        self.bottom - self.top
    }

    fn line(&self) -> f64 {
        LINE.min(self.height() / 4.0)
    }
}

/// Draws what a lane went through.
pub(super) fn draw(sketch: &mut Sketch, strip: &Strip, runs: &LaneRuns, states: &[State]) {
    let of = |kind: fn(Look) -> bool| runs.iter().filter(move |(state, _)| kind(states[**state].look));
    for (_, runs) in of(|look| look == Look::Absent) {
        absent(sketch, strip, runs);
    }
    // Later states stand behind earlier ones and reach higher.
    for (state, runs) in of(|look| matches!(look, Look::Filled(_))).collect::<Vec<_>>().into_iter().rev() {
        if let Look::Filled(color) = states[*state].look {
            sketch.area(skyline(strip, runs), style::fill(color));
        }
    }
    for (state, runs) in of(|look| look == Look::Hatched) {
        let order = order(states, *state);
        hatched(sketch, strip, runs, order % 2 == 1, DARK[order % DARK.len()]);
    }
    for (state, runs) in of(|look| look == Look::Crowned) {
        let thick = (strip.height() * 0.2).max(0.2);
        let gap = strip.line() * 0.6;
        band(sketch, runs, strip.top, strip.top + thick + gap, WHITE);
        band(
            sketch,
            runs,
            strip.top - gap / 2.0,
            strip.top + thick,
            DARK[order(states, *state) % DARK.len()],
        );
    }
    for (state, runs) in of(|look| look == Look::Boxed) {
        boxed(sketch, strip, runs, DARK[(order(states, *state) + 1) % DARK.len()]);
    }
}

/// Draws a sample of a state.
pub(super) fn sample(sketch: &mut Sketch, (x, y): Point, width: f64, states: &[State], state: usize) {
    let strip = Strip { top: y - 1.25, bottom: y + 1.25 };
    let inset = if states[state].look == Look::Boxed { 0.7 } else { 0.0 };
    sketch.rect((x, strip.top), (x + width, strip.bottom), GROUND);
    let run = Run { from: x + inset, to: x + width - inset, height: PARTS };
    draw(sketch, &strip, &LaneRuns::from([(state, vec![run])]), states);
}

/// How many states before this one look the same.
fn order(states: &[State], state: usize) -> usize {
    states[..state].iter().filter(|other| other.look == states[state].look).count()
}

/// One area for all runs, which stands on the lane's bottom line.
fn skyline(strip: &Strip, runs: &[Run]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    for run in runs {
        let top = strip.bottom - strip.height() * f64::from(run.height) / f64::from(PARTS);
        if run.from - end > 1e-9 {
            if end.is_finite() {
                points.push((end, strip.bottom));
            }
            points.push((run.from, strip.bottom));
        }
        points.extend([(run.from, top), (run.to, top)]);
        end = run.to;
    }
    points.push((end, strip.bottom));
    points
}

/// A band along all runs, between two heights.
fn band(sketch: &mut Sketch, runs: &[Run], top: f64, bottom: f64, color: Color) {
    let whole = |run: &Run| Run { height: PARTS, ..*run };
    let runs: Vec<Run> = runs.iter().map(whole).collect();
    sketch.area(skyline(&Strip { top, bottom }, &runs), color);
}

/// Nothing but a thin line.
fn absent(sketch: &mut Sketch, strip: &Strip, runs: &[Run]) {
    band(sketch, runs, strip.top, strip.bottom, WHITE);
    let (middle, half) = (f64::midpoint(strip.top, strip.bottom), strip.line() * 0.35);
    band(sketch, runs, middle - half, middle + half, GREY);
}

/// Slanting lines: one area, whose parts hang together along the lane's bottom line.
fn hatched(sketch: &mut Sketch, strip: &Strip, runs: &[Run], backwards: bool, color: Color) {
    let mut points = Vec::new();
    let thick = strip.line() * 1.1;
    for run in runs {
        let slant = strip.height().min((run.to - run.from - thick).max(0.0)).min(2.5);
        let last = run.to - slant - thick;
        let count = (((last - run.from) / HATCH).floor() as usize).min(5_000);
        for step in 0..=count {
            let x = run.from + step as f64 * HATCH;
            let (foot, head) = if backwards { (x + slant, x) } else { (x, x + slant) };
            points.extend([
                (foot, strip.bottom),
                (head, strip.top),
                (head + thick, strip.top),
                (foot + thick, strip.bottom),
            ]);
        }
    }
    sketch.area(points, color);
}

/// An outline, which stands out above and below the lane.
fn boxed(sketch: &mut Sketch, strip: &Strip, runs: &[Run], color: Color) {
    let thick = strip.line() * 1.2;
    let strip = Strip { top: strip.top - thick / 2.0, bottom: strip.bottom + thick / 2.0 };
    band(sketch, runs, strip.top, strip.top + thick, color);
    band(sketch, runs, strip.bottom - thick, strip.bottom, color);
    let sides: Vec<Run> = runs
        .iter()
        .flat_map(|run| {
            let thick = thick.min((run.to - run.from) / 2.0);
            [Run { to: run.from + thick, ..*run }, Run { from: run.to - thick, ..*run }]
        })
        .collect();
    band(sketch, &sides, strip.top, strip.bottom, color);
}
