//! Curves: values over a continuous axis, with their spread.

use std::collections::BTreeSet;

use super::axes::{self, Plot};
use super::legend::{Legend, SAMPLE};
use super::marks::Marks;
use super::scale::Range;
use super::sketch::{Color, Point, Sketch};
use super::style::{CURVES_MAX, Stroke};
use super::{Column, nothing};
use crate::report::figure::{Curve, Curves, Join};

/// The height of the plot, as a share of the chart's width, and its bounds in millimetres.
const HEIGHT: f64 = 0.4;
const HEIGHT_BOUNDS: [f64; 2] = [45.0, 250.0];
/// Curves that are drawn; of more only some, evenly chosen.
const DRAWN_MAX: usize = 200;
/// Points of all curves together, about; curves with more are drawn by what they reach in each column.
const POINTS_MAX: usize = 40_000;
/// Columns narrower than this could not be told apart, in millimetres.
const COLUMN_MIN: f64 = 0.12;
/// Dots of all curves together; where they lie closer, one stands for several.
const DOTS_MAX: usize = 5_000;
/// Above and below the curves, as a share of their range.
const ROOM: f64 = 0.05;

/// Draws it below the top of `column`; gives the line below it.
pub(super) fn draw(sketch: &mut Sketch, column: &Column, panel: &Curves) -> f64 {
    let all = |which: fn(&Curve) -> Vec<f64>| panel.curves.iter().flat_map(which);
    let xs =
        all(|curve| curve.points.iter().filter(|point| point.1.is_finite()).map(|point| point.0).collect());
    let ys = all(|curve| {
        let spread = curve.spread.iter().flat_map(|(_, low, high)| [*low, *high]);
        curve.points.iter().map(|point| point.1).chain(spread).collect()
    });
    let (Some(x), Some(y)) = (Range::of(&panel.x, xs, [0.0; 2]), Range::of(&panel.y, ys, [ROOM; 2])) else {
        return nothing(sketch, column);
    };
    let width = column.right - column.left;
    let height = (width * HEIGHT).clamp(HEIGHT_BOUNDS[0], HEIGHT_BOUNDS[1]);
    let chosen = chosen(panel.curves.len());
    let legend = legend(panel, &chosen);
    let beside = legend.beside(column);

    let numbers = axes::vertical(&y, height);
    let left = column.left + axes::left_room(&numbers, &panel.y.label, height);
    let right = column.right - beside.unwrap_or(0.0);
    let ticks = axes::horizontal(&x, right - left);
    let right = right - axes::overhang(&ticks, right - left);
    let marks = Marks::of(&panel.marks, &x);
    let top = column.top + marks.room(left, right);
    let plot = Plot { left, right, top, bottom: top + height };

    marks.shade(sketch, &plot);
    axes::grid(sketch, &plot, Some(&ticks), Some(&numbers));
    marks.lines(sketch, &plot);
    let painter = Painter { plot, x, y, count: chosen.len() };
    for (order, position) in chosen.iter().enumerate() {
        painter.spread(sketch, &panel.curves[*position], Stroke::of(order, chosen.len()).color);
    }
    for (order, position) in chosen.iter().enumerate() {
        painter.curve(sketch, &panel.curves[*position], &Stroke::of(order, chosen.len()));
    }
    axes::draw_vertical(sketch, &plot, &numbers, &panel.y.label);
    let bottom = axes::draw_horizontal(sketch, &plot, &ticks, &panel.x.label, (column.left, column.right));
    marks.draw_labels(sketch, &plot);
    match beside {
        Some(room) => {
            let from = column.right - room + 5.0;
            legend.draw_beside(sketch, from, column.right, plot.top).max(bottom)
        }
        None => legend.draw_below(sketch, &Column { top: bottom + 1.0, ..*column }),
    }
}

/// The curves that are drawn.
fn chosen(count: usize) -> Vec<usize> {
    let drawn = count.min(DRAWN_MAX);
    (0..drawn)
        .map(|position| if drawn == count { position } else { position * (count - 1) / (drawn - 1) })
        .collect()
}

fn legend<'a>(panel: &'a Curves, chosen: &[usize]) -> Legend<'a> {
    let mut legend = Legend::new(&panel.legend);
    let count = chosen.len();
    if count == 1 && panel.curves[0].name.is_empty() {
        return legend;
    }
    // A long sequence is told by its ends and its middle.
    let named: Vec<usize> =
        if count <= CURVES_MAX { (0..count).collect() } else { vec![0, count / 2, count - 1] };
    for order in named {
        let curve = &panel.curves[chosen[order]];
        let stroke = Stroke::of(order, count);
        legend.add(&curve.name, move |sketch, at| sample(sketch, at, curve, &stroke));
    }
    if count > CURVES_MAX {
        legend.remark(&if count == panel.curves.len() {
            format!("{count} in all")
        } else {
            format!("{count} of {} drawn", panel.curves.len())
        });
    }
    legend
}

fn sample(sketch: &mut Sketch, (x, y): Point, curve: &Curve, stroke: &Stroke) {
    if !curve.spread.is_empty() {
        sketch.rect((x, y - 1.0), (x + SAMPLE, y + 1.0), stroke.color.faded(0.22));
    }
    if curve.join != Join::Dots {
        let width = stroke.width.max(0.5);
        for piece in stroke.pieces(vec![(x, y), (x + SAMPLE, y)], curve.join) {
            sketch.line(piece, stroke.color, width);
        }
    }
    if matches!(curve.join, Join::Dots | Join::DottedLines) {
        sketch.dot((x + SAMPLE / 2.0, y), radius(1), stroke.color);
    }
}

/// Of a dot, in millimetres, by the number of curves.
fn radius(count: usize) -> f64 {
    if count > CURVES_MAX { 0.35 } else { 0.55 }
}

/// Draws curves.
struct Painter {
    plot: Plot,
    x: Range,
    y: Range,
    /// Of all curves.
    count: usize,
}

impl Painter {
    fn place(&self, x: f64, y: f64) -> Option<Point> {
        Some((self.plot.x(self.x.place(x)?), self.plot.y(self.y.place(y)?)))
    }

    /// The width of the columns in which points may be summed up.
    fn column(&self) -> f64 {
        let most = (POINTS_MAX / (4 * self.count)).max(50) as f64;
        (self.plot.width() / most).max(COLUMN_MIN)
    }

    fn spread(&self, sketch: &mut Sketch, curve: &Curve, color: Color) {
        let mut pieces: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new()];
        for (x, low, high) in &curve.spread {
            // A logarithmic axis shows what is below it at its lower end.
            let low =
                self.place(*x, *low).or_else(|| self.place(*x, *high).map(|(x, _)| (x, self.plot.bottom)));
            match (low, self.place(*x, *high)) {
                (Some((x, low)), Some((_, high))) => {
                    let column = self.column();
                    let piece = pieces.last_mut().expect("there is a piece");
                    let x = x.clamp(self.plot.left, self.plot.right);
                    let [low, high] = [low, high].map(|y| y.clamp(self.plot.top, self.plot.bottom));
                    match piece.last_mut() {
                        Some(last) if curve.spread.len() > 1000 && x - last.0 < column => {
                            *last = (last.0, last.1.max(low), last.2.min(high));
                        }
                        _ => piece.push((x, low, high)),
                    }
                }
                _ => pieces.push(Vec::new()),
            }
        }
        for piece in pieces.iter().filter(|piece| piece.len() > 1) {
            let lower = piece.iter().map(|(x, low, _)| (*x, *low));
            let upper = piece.iter().rev().map(|(x, _, high)| (*x, *high));
            let faded = if self.count > CURVES_MAX { 0.08 } else { 0.2 };
            sketch.area(lower.chain(upper).collect(), color.faded(faded));
        }
    }

    fn curve(&self, sketch: &mut Sketch, curve: &Curve, stroke: &Stroke) {
        let mut pieces: Vec<Vec<Point>> = vec![Vec::new()];
        for (x, y) in &curve.points {
            let Some((x, y)) = self.place(*x, *y) else {
                pieces.push(Vec::new());
                continue;
            };
            let piece = pieces.last_mut().expect("there is a piece");
            if let (Join::Steps, Some(last)) = (curve.join, piece.last().copied()) {
                piece.push((x, last.1));
            }
            piece.push((x, y));
        }
        let lonely = |piece: &&Vec<Point>| piece.len() == 1;
        let dots: Vec<Point> = match curve.join {
            Join::Dots | Join::DottedLines => pieces.concat(),
            // A point without neighbours would not show.
            Join::Lines | Join::Steps => pieces.iter().filter(lonely).map(|piece| piece[0]).collect(),
        };
        let reduced = pieces.into_iter().map(|piece| reduced(piece, self.column()));
        let visible: Vec<Vec<Point>> = reduced.flat_map(|piece| clipped(&piece, &self.plot)).collect();
        if curve.join != Join::Dots {
            for dash in visible.into_iter().flat_map(|line| stroke.pieces(line, curve.join)) {
                sketch.line(dash, stroke.color, stroke.width);
            }
        }
        self.dots(sketch, &dots, stroke.color);
    }

    fn dots(&self, sketch: &mut Sketch, dots: &[Point], color: Color) {
        let edge = 0.01;
        let plot = &self.plot;
        let within = |(x, y): &Point| {
            (plot.left - edge..=plot.right + edge).contains(x)
                && (plot.top - edge..=plot.bottom + edge).contains(y)
        };
        let visible: Vec<Point> = dots.iter().copied().filter(within).collect();
        let most = DOTS_MAX / self.count;
        let mut cell = 0.1;
        let mut kept = visible.clone();
        while kept.len() > most && cell < 50.0 {
            let mut taken = BTreeSet::new();
            kept = visible
                .iter()
                .copied()
                .filter(|(x, y)| taken.insert(((x / cell) as i64, (y / cell) as i64)))
                .collect();
            cell *= 1.5;
        }
        for dot in kept {
            sketch.dot(dot, radius(self.count), color);
        }
    }
}

/// A line by its first, lowest, highest and last point in each column, where it has more than those.
fn reduced(line: Vec<Point>, column: f64) -> Vec<Point> {
    if line.len() < 1000 {
        return line;
    }
    let mut kept: Vec<Point> = Vec::new();
    let mut rest = line.as_slice();
    while let Some(first) = rest.first() {
        let column_of = |point: &Point| (point.0 / column).floor() as i64;
        let index = column_of(first);
        let end = rest.iter().position(|point| column_of(point) != index).unwrap_or(rest.len());
        let (group, after) = rest.split_at(end);
        let extreme = |sign: f64| {
            let order = |a: &&Point, b: &&Point| (a.1 * sign).total_cmp(&(b.1 * sign));
            group.iter().max_by(order).copied()
        };
        let [low, high] = [extreme(-1.0), extreme(1.0)].map(|point| point.unwrap_or(*first));
        let last = group[group.len() - 1];
        kept.push(*first);
        kept.extend(if group.len() > 2 { vec![low, high] } else { Vec::new() });
        kept.push(last);
        rest = after;
    }
    kept.dedup();
    kept
}

/// The parts of a line within the plot.
fn clipped(line: &[Point], plot: &Plot) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut open = false;
    for pair in line.windows(2) {
        let Some((from, to)) = visible(pair[0], pair[1], plot) else {
            open = false;
            continue;
        };
        match parts.last_mut() {
            Some(part) if open && part.last() == Some(&from) => part.push(to),
            _ => parts.push(vec![from, to]),
        }
        open = to == pair[1];
    }
    parts
}

/// The part of a segment within the plot, after Liang and Barsky.
fn visible(a: Point, b: Point, plot: &Plot) -> Option<(Point, Point)> {
    let (x, y) = (b.0 - a.0, b.1 - a.1);
    let (mut from, mut to) = (0.0_f64, 1.0_f64);
    let edges = [(-x, a.0 - plot.left), (x, plot.right - a.0), (-y, a.1 - plot.top), (y, plot.bottom - a.1)];
    for (towards, room) in edges {
        // What lies on an edge is inside, in spite of rounding.
        let room = if room.abs() < 1e-9 { 0.0 } else { room };
        if towards == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if towards < 0.0 {
            from = from.max(room / towards);
        } else {
            to = to.min(room / towards);
        }
    }
    let at = |share: f64| (a.0 + x * share, a.1 + y * share);
    let end = if to >= 1.0 { b } else { at(to) };
    (from <= to).then(|| (if from <= 0.0 { a } else { at(from) }, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLOT: Plot = Plot { left: 0.0, right: 10.0, top: 0.0, bottom: 10.0 };

    #[test]
    fn a_line_is_cut_at_the_edges_of_the_plot() {
        let line = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (8.0, 15.0), (8.0, 5.0)];
        assert_eq!(
            clipped(&line, &PLOT),
            [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 5.0)]]
        );
        assert!(clipped(&[(-1e6, -1.0), (1e6, -1.0)], &PLOT).is_empty());
    }

    #[test]
    fn a_long_line_keeps_its_peaks() {
        let mut line: Vec<Point> = (0..100_000).map(|i| (f64::from(i) / 1e4, f64::from(i % 7))).collect();
        line[54_321].1 = 99.0;
        line[54_329].1 = -99.0;
        let kept = reduced(line, 0.1);
        assert!(kept.len() <= 404, "{}", kept.len());
        assert!(kept.contains(&(5.4321, 99.0)) && kept.contains(&(5.4329, -99.0)));
    }
}
