//! What lanes went through, in columns of paper: short stretches share a column by how long they took.

use std::collections::{BTreeMap, BTreeSet};

use super::scale::Range;
use crate::report::figure::{Lane, Look, State};

/// The narrowest column, in millimetres: what is shorter could not be seen.
const COLUMN_MIN: f64 = 0.2;
/// A column is divided by height into so many parts.
pub(super) const PARTS: u8 = 8;
/// A state that fills any part of a column fills at least so many of them.
const PARTS_MIN: u8 = 4;
/// Corners of all areas together; where a lane has more than its part, its columns become wider.
const CORNERS_MAX: usize = 100_000;

/// The part of the axis that is drawn, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) range: Range,
    pub(super) left: f64,
    pub(super) right: f64,
}

/// A state from one place to another, in millimetres, up to a height in [`PARTS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) height: u8,
}

/// For each state of a lane its runs in order. Filled states stand on each other: those of a later state reach up behind
/// those of an earlier one.
pub(super) type LaneRuns = BTreeMap<usize, Vec<Run>>;

/// The runs of all lanes.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) lanes: Vec<LaneRuns>,
    /// The states that occur.
    pub(super) occur: BTreeSet<usize>,
}

impl Runs {
    pub(super) fn of(lanes: &[Lane], states: &[State], window: &Window) -> Runs {
        let most = CORNERS_MAX / 2 / lanes.len().max(1);
        let found = lanes.iter().map(|lane| {
            let mut all = fitting(window, most, |column| filled(lane, states, window, column));
            all.extend(fitting(window, most, |column| others(lane, states, window, column)));
            all
        });
        let lanes: Vec<LaneRuns> = found.collect();
        let occur = lanes.iter().flat_map(|lane| lane.keys().copied()).collect();
        Runs { lanes, occur }
    }
}

/// The runs of the narrowest columns that have at most so many corners.
fn fitting(window: &Window, corners_max: usize, runs: impl Fn(f64) -> LaneRuns) -> LaneRuns {
    let mut column = COLUMN_MIN;
    loop {
        let found = runs(column);
        let corners: usize = found.values().map(|runs| corners(runs)).sum();
        if corners <= corners_max || column >= window.right - window.left {
            return found;
        }
        column *= 1.5;
    }
}

/// Corners of the area of some runs.
fn corners(runs: &[Run]) -> usize {
    let joined = runs.windows(2).filter(|pair| pair[0].to >= pair[1].from).count();
    runs.len() * 4 - joined * 2
}

/// Part of a column that a state fills: up to 1.
type Share = f64;

/// The columns of a window.
struct Columns {
    left: f64,
    width: f64,
    count: usize,
}

impl Columns {
    fn of(window: &Window, width: f64) -> Columns {
        let whole = window.right - window.left;
        let count = ((whole / width).round() as usize).max(1);
        Columns { left: window.left, width: whole / count as f64, count }
    }

    fn place(&self, column: usize) -> f64 {
        self.left + self.width * column as f64
    }

    /// The columns of a stretch: the first, the one after the last, and how much of each it fills. Long stretches end
    /// where columns do; short ones share the column of their middle.
    fn stretch(&self, window: &Window, from: f64, to: f64) -> Option<(usize, usize, Share)> {
        let (from, to) = places(window, from, to)?;
        let (from, to) = (from * self.count as f64, to * self.count as f64);
        if to - from >= 1.0 {
            return Some((from.round() as usize, to.round() as usize, 1.0));
        }
        let column = (f64::midpoint(from, to) as usize).min(self.count - 1);
        Some((column, column + 1, to - from))
    }

    /// Adds to each column how much of it a stretch covers, to the letter.
    fn cover(&self, window: &Window, from: f64, to: f64, busy: &mut [Share]) {
        let Some((from, to)) = places(window, from, to) else { return };
        let (from, to) = (from * self.count as f64, to * self.count as f64);
        let first = from as usize;
        let columns = busy.iter_mut().enumerate().skip(first).take(to as usize + 1 - first);
        for (column, busy) in columns {
            *busy += (to.min(column as f64 + 1.0) - from.max(column as f64)).max(0.0);
        }
    }
}

/// The runs of filled states.
fn filled(lane: &Lane, states: &[State], window: &Window, column: f64) -> LaneRuns {
    let columns = Columns::of(window, column);
    let mut cells: Vec<Vec<(usize, Share)>> = vec![Vec::new(); columns.count];
    let mut busy: Vec<Share> = vec![0.0; columns.count];
    for stretch in &lane.stretches {
        let is_filled = states.get(stretch.state).is_some_and(|state| matches!(state.look, Look::Filled(_)));
        if !is_filled {
            continue;
        }
        let Some((first, end, share)) = columns.stretch(window, stretch.from, stretch.to) else { continue };
        columns.cover(window, stretch.from, stretch.to, &mut busy);
        for cell in &mut cells[first..end] {
            match cell.iter_mut().find(|(other, _)| *other == stretch.state) {
                Some((_, sum)) => *sum = (*sum + share).min(1.0),
                None => cell.push((stretch.state, share)),
            }
        }
    }
    let mut runs = LaneRuns::new();
    for (cell, (mut shares, busy)) in cells.into_iter().zip(busy).enumerate() {
        // Long stretches that end in this column were moved to its edges: what is left takes the room that they had.
        let sum: Share = shares.iter().map(|(_, share)| share).sum();
        if sum < busy {
            for (_, share) in &mut shares {
                *share *= busy / sum;
            }
        }
        let mut height = 0;
        for (state, parts) in heights(shares) {
            height += parts;
            let (from, to) = (columns.place(cell), columns.place(cell + 1));
            extend(runs.entry(state).or_default(), Run { from, to, height });
        }
    }
    runs
}

/// The runs of all other states.
fn others(lane: &Lane, states: &[State], window: &Window, column: f64) -> LaneRuns {
    let columns = Columns::of(window, column);
    let mut spans: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for stretch in &lane.stretches {
        let is_other = states.get(stretch.state).is_some_and(|state| !matches!(state.look, Look::Filled(_)));
        if let (true, Some((first, end, _))) = (is_other, columns.stretch(window, stretch.from, stretch.to)) {
            spans.entry(stretch.state).or_default().push((first, end));
        }
    }
    let mut runs = LaneRuns::new();
    for (state, mut spans) in spans {
        spans.sort_unstable();
        let row = runs.entry(state).or_default();
        for (first, end) in spans {
            let from = row.last().map_or(columns.place(first), |run: &Run| run.to.max(columns.place(first)));
            let to = columns.place(end);
            if from < to {
                extend(row, Run { from, to, height: PARTS });
            }
        }
    }
    runs
}

/// Where a stretch is drawn, from 0 to 1; `None` if it is not within the window.
fn places(window: &Window, from: f64, to: f64) -> Option<(f64, f64)> {
    let from = window.range.place(from)?;
    // What has not ended lasts.
    let to = if to == f64::INFINITY { 1.0 } else { window.range.place(to)? };
    (from <= to && from <= 1.0 && to >= 0.0).then_some((from.max(0.0), to.min(1.0)))
}

fn extend(row: &mut Vec<Run>, run: Run) {
    match row.last_mut() {
        Some(last) if last.height == run.height && run.from - last.to < 1e-9 => last.to = run.to,
        _ => row.push(run),
    }
}

/// How many parts of a column each state fills, in order of the states.
fn heights(mut shares: Vec<(usize, Share)>) -> Vec<(usize, u8)> {
    shares.sort_by_key(|(state, _)| *state);
    let sum: Share = shares.iter().map(|(_, share)| share).sum::<Share>().max(1.0);
    // More states than parts cannot be shown.
    shares.truncate(usize::from(PARTS));
    let least = PARTS_MIN.min(PARTS / shares.len().max(1) as u8);
    let parts = |share: Share| ((share / sum * f64::from(PARTS)).round() as u8).clamp(least, PARTS);
    let mut heights: Vec<(usize, u8)> = shares.iter().map(|(state, share)| (*state, parts(*share))).collect();
    while heights.iter().map(|(_, parts)| parts).sum::<u8>() > PARTS {
        let tallest = heights.iter_mut().max_by_key(|(_, parts)| *parts).expect("there are several");
        tallest.1 -= 1;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figure::{Axis, Stretch};

    fn found(stretches: &[(usize, f64, f64)]) -> LaneRuns {
        let state = |name: &str, look| State { name: name.to_owned(), look };
        let states = [state("a", Look::Filled(0)), state("b", Look::Filled(1)), state("down", Look::Absent)];
        let stretches =
            stretches.iter().map(|(state, from, to)| Stretch { state: *state, from: *from, to: *to });
        let lane = Lane { name: String::new(), stretches: stretches.collect() };
        let axis = Axis { from: Some(0.0), to: Some(100.0), ..Axis::default() };
        let range = Range::of(&axis, [0.0].into_iter(), [0.0; 2]).unwrap();
        let window = Window { range, left: 0.0, right: 100.0 };
        let mut runs = filled(&lane, &states, &window, 1.0);
        runs.extend(others(&lane, &states, &window, 1.0));
        runs
    }

    fn run(from: f64, to: f64, height: u8) -> Run {
        Run { from, to, height }
    }

    #[test]
    fn long_stretches_fill_the_lane_and_short_ones_a_part_of_a_column() {
        let lane = found(&[(0, 10.2, 19.9), (0, 40.4, 40.401), (2, 50.0, 50.0)]);
        assert_eq!(lane[&0], [run(10.0, 20.0, 8), run(40.0, 41.0, 4)]);
        assert_eq!(lane[&2], [run(50.0, 51.0, 8)]);
    }

    #[test]
    fn a_column_that_is_never_idle_has_no_gap_however_its_stretches_end() {
        let lane = found(&[(0, 0.0, 10.3), (1, 10.3, 10.7), (0, 10.7, 20.0)]);
        assert_eq!(lane[&0], [run(0.0, 10.0, 8), run(11.0, 20.0, 8)]);
        assert_eq!(lane[&1], [run(10.0, 11.0, 8)]);
    }

    #[test]
    fn many_short_stretches_fill_what_they_took_together() {
        let busy: Vec<(usize, f64, f64)> =
            (0..1000).map(|i| (i % 2, i as f64 * 0.1, (i as f64 + 0.99) * 0.1)).collect();
        let lane = found(&busy);
        assert_eq!(lane[&0], [run(0.0, 100.0, 4)]);
        assert_eq!(lane[&1], [run(0.0, 100.0, 8)]);
    }

    #[test]
    fn stretches_that_overlap_share_the_lane_and_those_outside_are_cut() {
        let lane = found(&[
            (0, -10.0, 50.0),
            (1, 30.0, f64::INFINITY),
            (0, 200.0, 300.0),
            (1, f64::NAN, 3.0),
            (9, 0.0, 9.0),
        ]);
        assert_eq!(lane[&0], [run(0.0, 30.0, 8), run(30.0, 50.0, 4)]);
        assert_eq!(
            lane[&1],
            [run(30.0, 50.0, 8), run(50.0, 100.0, 8)].map(|run| run).iter().fold(
                Vec::new(),
                |mut row, run| {
                    extend(&mut row, *run);
                    row
                }
            )
        );
    }
}
