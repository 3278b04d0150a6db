//! Colours that people with any colour vision can tell apart, by Okabe and Ito, and the dashes of lines.

use super::sketch::{Color, Point, WHITE};
use crate::report::figure::Join;

/// Curves that are told apart; more than these form a sequence.
pub(super) const CURVES_MAX: usize = 8;
/// The dashes of a line so many times as long as it is wide are measured along the axis: along the line they could not be
/// told from its turns. Those of stairs can, until they are very many times as long.
const TURNS_MAX: [f64; 2] = [2.0, 20.0];

/// Without yellow, which is too pale for lines; black and grey instead.
const PALETTE: [Color; CURVES_MAX] = [
    Color::new(0, 114, 178),
    Color::new(230, 159, 0),
    Color::new(0, 158, 115),
    Color::new(204, 121, 167),
    Color::new(213, 94, 0),
    Color::new(86, 180, 233),
    Color::new(0, 0, 0),
    Color::new(128, 128, 128),
];

/// From the first of a long sequence to its last: by lightness as well as by hue.
const SEQUENCE: [Color; 5] = [
    Color::new(68, 1, 84),
    Color::new(59, 82, 139),
    Color::new(33, 145, 140),
    Color::new(94, 180, 80),
    Color::new(225, 190, 20),
];

/// How a curve is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) color: Color,
    /// In millimetres.
    pub(super) width: f64,
    /// Lengths of dashes and gaps in turn, in millimetres; empty for a line without gaps.
    dashes: &'static [f64],
}

impl Stroke {
    /// How curve number `position` of `count` is drawn. Earlier ones are wider, and later ones dashed, so that equal
    /// curves show below each other.
    pub(super) fn of(position: usize, count: usize) -> Stroke {
        if count > CURVES_MAX {
            let share = position as f64 / (count - 1) as f64 * (SEQUENCE.len() - 1) as f64;
            let from = (share as usize).min(SEQUENCE.len() - 2);
            let color = SEQUENCE[from].towards(SEQUENCE[from + 1], share - from as f64);
            return Stroke { color, width: 0.25, dashes: &[] };
        }
        let dashes: [&[f64]; CURVES_MAX] = [
            &[],
            &[2.4, 0.8],
            &[0.9, 0.6],
            &[3.2, 0.7, 0.7, 0.7],
            &[],
            &[2.4, 0.8],
            &[0.9, 0.6],
            &[3.2, 0.7, 0.7, 0.7],
        ];
        let width = if count <= 3 { 0.55 - 0.08 * position as f64 } else { 0.5 - 0.02 * position as f64 };
        Stroke { color: PALETTE[position], width, dashes: dashes[position] }
    }

    /// A line in the pieces that its dashes make of it.
    pub(super) fn pieces(&self, line: Vec<Point>, join: Join) -> Vec<Vec<Point>> {
        if self.dashes.is_empty() {
            return vec![line];
        }
        let total = |measure: Measure| line.windows(2).map(|pair| measure(pair[0], pair[1])).sum::<f64>();
        let most = TURNS_MAX[usize::from(join == Join::Steps)];
        let turns = total(distance) > most * total(progress) && total(progress) > self.dashes[0];
        dashed(&line, self.dashes, if turns { progress } else { distance })
    }
}

/// How long a dash is from one point to another.
type Measure = fn(Point, Point) -> f64;

/// A line cut into dashes: lengths of dashes and gaps in turn.
pub(super) fn dashed(line: &[Point], dashes: &[f64], measure: Measure) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Point> = line.first().copied().into_iter().collect();
    let (mut turn, mut left) = (0, dashes[0]);
    for pair in line.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        let mut rest = measure(from, to);
        while rest > left {
            let share = left / rest;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            rest -= left;
            if turn % 2 == 0 {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![from];
            }
            turn += 1;
            left = dashes[turn % dashes.len()];
        }
        left -= rest;
        if turn % 2 == 0 {
            piece.push(to);
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// Along the axis.
fn progress(a: Point, b: Point) -> f64 {
    (b.0 - a.0).abs()
}

/// Along the line.
pub(super) fn distance(a: Point, b: Point) -> f64 {
    let (x, y) = (b.0 - a.0, b.1 - a.1);
    (x * x + y * y).sqrt()
}

/// The colour of filled thing number `position`: the palette, then paler, then darker.
pub(super) fn fill(position: usize) -> Color {
    let colors = PALETTE.len() - 1;
    let base = PALETTE[[0, 1, 2, 3, 4, 5, 7][position % colors]];
    match position / colors % 3 {
        0 => base.towards(WHITE, 0.12),
        1 => base.towards(WHITE, 0.6),
        _ => base.towards(Color::new(0, 0, 0), 0.45),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_follow_the_line_around_its_corners() {
        let pieces = dashed(&[(0.0, 0.0), (3.0, 0.0), (3.0, 3.0)], &[2.0, 0.5], distance);
        assert_eq!(
            pieces,
            [
                vec![(0.0, 0.0), (2.0, 0.0)],
                vec![(2.5, 0.0), (3.0, 0.0), (3.0, 1.5)],
                vec![(3.0, 2.0), (3.0, 3.0)],
            ]
        );
    }

    #[test]
    fn strokes_and_fills_that_are_told_apart_differ() {
        for count in 1..=CURVES_MAX {
            let strokes: Vec<Stroke> = (0..count).map(|position| Stroke::of(position, count)).collect();
            for (position, stroke) in strokes.iter().enumerate() {
                assert!(strokes[..position].iter().all(|other| other.color != stroke.color));
            }
        }
        let fills: Vec<Color> = (0..21).map(fill).collect();
        for (position, color) in fills.iter().enumerate() {
            assert!(!fills[..position].contains(color), "{position}");
        }
    }

    #[test]
    fn the_dashes_of_a_line_with_many_turns_are_measured_along_the_axis() {
        let zigzag: Vec<Point> = (0..4000).map(|i| (f64::from(i) * 0.01, f64::from(i % 2) * 20.0)).collect();
        let pieces = Stroke::of(1, 2).pieces(zigzag, Join::Lines);
        assert_eq!(pieces.len(), 13);
        assert!(pieces.windows(2).all(|pair| pair[1][0].0 - pair[0].last().unwrap().0 > 0.79));
        assert_eq!(Stroke::of(0, 2).pieces(vec![(0.0, 0.0), (9.0, 0.0)], Join::Lines).len(), 1);
    }
}
