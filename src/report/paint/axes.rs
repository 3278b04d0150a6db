//! Axes: the grid, the numbers along them, and what they measure.

use super::fonts::BODY;
use super::scale::{Range, Ticks};
use super::sketch::{Anchor, GRID_MAJOR, GRID_MINOR, INK, Sketch};

/// The width of the lines of axes, in millimetres.
pub(super) const AXIS: f64 = 0.25;
/// How far the small lines at numbers stand out.
const TICK: f64 = 0.8;
/// From those to the numbers.
const GAP: f64 = 0.8;
/// Lines of the grid that are nearer than this are left out.
const MINOR_MIN: f64 = 1.0;
/// The lines that a label of an axis may take.
const LABEL_LINES_MAX: usize = 2;

/// Where the picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plot {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// From a place along the horizontal axis.
    pub(super) fn x(&self, place: f64) -> f64 {
        self.left + place * self.width()
    }

    /// From a place along the vertical axis.
    pub(super) fn y(&self, place: f64) -> f64 {
        self.bottom - place * self.height()
    }
}

/// As many numbers as stand beside each other on `width` mm.
pub(super) fn horizontal(range: &Range, width: f64) -> Ticks {
    let most = ((width / 9.0) as usize).clamp(5, 12);
    let fits = |ticks: &Ticks| {
        ticks.major.windows(2).all(|pair| {
            let room = (pair[1].0 - pair[0].0) * width;
            f64::midpoint(BODY.width(&pair[0].1), BODY.width(&pair[1].1)) + 2.0 <= room
        })
    };
    let mut ticks =
        (2..=most).rev().map(|most| range.ticks(most)).find(fits).unwrap_or_else(|| range.ticks(2));
    if !fits(&ticks) {
        ticks.major.truncate(1);
    }
    ticks
}

/// As many numbers as stand above each other on `height` mm.
pub(super) fn vertical(range: &Range, height: f64) -> Ticks {
    let most = ((height / 7.5) as usize).clamp(2, 12);
    let fits =
        |ticks: &Ticks| ticks.major.windows(2).all(|pair| (pair[1].0 - pair[0].0) * height >= BODY.line());
    (2..=most).rev().map(|most| range.ticks(most)).find(fits).unwrap_or_else(|| range.ticks(2))
}

/// How far the numbers of a horizontal axis reach beyond its right end.
pub(super) fn overhang(ticks: &Ticks, width: f64) -> f64 {
    let beyond = |(place, label): &(f64, String)| BODY.width(label) / 2.0 - (1.0 - place) * width;
    ticks.major.iter().map(beyond).fold(0.0, f64::max)
}

/// The room that a vertical axis needs to the left of the plot, `height` mm high.
pub(super) fn left_room(ticks: &Ticks, label: &str, height: f64) -> f64 {
    let numbers = ticks.major.iter().map(|(_, label)| BODY.width(label)).fold(0.0, f64::max);
    let lines = BODY.balanced(label, height, LABEL_LINES_MAX).len() as f64;
    let label = if lines > 0.0 { lines * BODY.line() + 0.5 } else { 0.0 };
    label + numbers + TICK + GAP
}

/// Lines across the plot at the numbers of its axes.
pub(super) fn grid(sketch: &mut Sketch, plot: &Plot, x: Option<&Ticks>, y: Option<&Ticks>) {
    let mut across = |place: f64, upright: bool, color| {
        let line = if upright {
            vec![(plot.x(place), plot.top), (plot.x(place), plot.bottom)]
        } else {
            vec![(plot.left, plot.y(place)), (plot.right, plot.y(place))]
        };
        sketch.line(line, color, 0.15);
    };
    for minor in [true, false] {
        for (ticks, upright, length) in [(x, true, plot.width()), (y, false, plot.height())] {
            let Some(ticks) = ticks else { continue };
            if minor && near(&ticks.minor) * length >= MINOR_MIN {
                ticks.minor.iter().for_each(|place| across(*place, upright, GRID_MINOR));
            }
            if !minor {
                ticks.major.iter().for_each(|(place, _)| across(*place, upright, GRID_MAJOR));
            }
        }
    }
}

/// The least distance between two places.
fn near(places: &[f64]) -> f64 {
    places.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f64::min)
}

/// The line below the plot, its numbers and its label; gives the line below them.
pub(super) fn draw_horizontal(
    sketch: &mut Sketch,
    plot: &Plot,
    ticks: &Ticks,
    label: &str,
    edges: (f64, f64),
) -> f64 {
    sketch.line(vec![(plot.left, plot.bottom), (plot.right, plot.bottom)], INK, AXIS);
    let baseline = plot.bottom + TICK + GAP + BODY.capital();
    for (place, number) in &ticks.major {
        let x = plot.x(*place);
        sketch.line(vec![(x, plot.bottom), (x, plot.bottom + TICK)], INK, AXIS);
        sketch.text((x, baseline), number, BODY, INK, Anchor::Middle);
    }
    let mut bottom = baseline + 0.6;
    let lines = BODY.balanced(label, edges.1 - edges.0, LABEL_LINES_MAX);
    // As near to the middle of the plot as the edges of the chart allow.
    let half = lines.iter().map(|line| BODY.width(line)).fold(0.0, f64::max) / 2.0;
    let middle = f64::midpoint(plot.left, plot.right).min(edges.1 - half).max(edges.0 + half);
    for line in lines {
        bottom += BODY.line();
        sketch.text((middle, bottom - 0.3), &line, BODY, INK, Anchor::Middle);
    }
    bottom + 0.8
}

/// The line to the left of the plot, its numbers and its label.
pub(super) fn draw_vertical(sketch: &mut Sketch, plot: &Plot, ticks: &Ticks, label: &str) {
    sketch.line(vec![(plot.left, plot.top), (plot.left, plot.bottom)], INK, AXIS);
    for (place, number) in &ticks.major {
        let y = plot.y(*place);
        sketch.line(vec![(plot.left - TICK, y), (plot.left, y)], INK, AXIS);
        let at = (plot.left - TICK - GAP, y + BODY.capital() / 2.0);
        sketch.text(at, number, BODY, INK, Anchor::End);
    }
    let mut x = plot.left - left_room(ticks, label, plot.height()) + BODY.capital();
    for line in BODY.balanced(label, plot.height(), LABEL_LINES_MAX) {
        sketch.text_upwards((x, f64::midpoint(plot.top, plot.bottom)), &line, BODY, INK);
        x += BODY.line();
    }
}
