//! What happened along an axis of time: dashed lines, shaded while it lasts, with labels in rows above the plot.

use super::axes::Plot;
use super::fonts::BODY;
use super::scale::Range;
use super::sketch::{Anchor, GREY, INK, Sketch, WHITE};
use super::style::{dashed, distance};
use crate::report::figure::Mark;

/// Rows of labels; where they do not suffice, labels of near marks become one.
const ROWS_MAX: usize = 4;
/// Between two labels of a row, in millimetres.
const GAP: f64 = 1.5;
/// The widest label, as a share of the plot.
const SHARE_MAX: f64 = 0.55;
/// Marks of a kind within this many millimetres of each other share a label; the next where labels do not fit.
const NEAR: [f64; 8] = [0.3, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, f64::INFINITY];
/// The width of a line.
const LINE: f64 = 0.25;
/// Lines nearer than this to the one before are left out.
const LINE_MIN: f64 = 0.2;
/// Dashes and gaps.
const DASHES: [f64; 2] = [1.0, 0.7];

/// Marks that share a label.
#[derive(Clone, Debug, PartialEq)]
struct Label {
    /// The first mark and the last.
    from: f64,
    to: f64,
    text: String,
    /// Where the text begins.
    left: f64,
    row: usize,
}

/// The marks of a plot.
#[derive(Debug)]
pub(super) struct Marks {
    /// From where to where, along the plot, from 0 to 1.
    marks: Vec<(f64, Option<f64>, String)>,
}

impl Marks {
    /// Those that `range` shows.
    pub(super) fn of(marks: &[Mark], range: &Range) -> Marks {
        let mut seen: Vec<(f64, Option<f64>, String)> = marks
            .iter()
            .filter_map(|mark| {
                let from = range.place(mark.from)?;
                let to = mark.to.and_then(|to| range.place(to)).filter(|to| *to > from);
                let shown = from <= 1.0 && to.unwrap_or(from) >= 0.0;
                shown.then(|| (from.max(0.0), to.map(|to| to.min(1.0)), super::fonts::clean(&mark.label)))
            })
            .collect();
        seen.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.2.cmp(&b.2)));
        Marks { marks: seen }
    }

    /// The height of the rows of labels above a plot from `left` to `right`, in millimetres.
    pub(super) fn room(&self, left: f64, right: f64) -> f64 {
        let rows = self.labels(left, right).iter().map(|label| label.row + 1).max().unwrap_or(0);
        if rows == 0 { 0.0 } else { rows as f64 * BODY.line() + 0.8 }
    }

    /// Shades the plot for as long as the marks last.
    pub(super) fn shade(&self, sketch: &mut Sketch, plot: &Plot) {
        let mut spans: Vec<(f64, f64)> = Vec::new();
        for (from, to, _) in &self.marks {
            match (to, spans.last_mut()) {
                (Some(to), Some(last)) if *from <= last.1 => last.1 = last.1.max(*to),
                (Some(to), _) => spans.push((*from, *to)),
                (None, _) => {}
            }
        }
        for (from, to) in spans {
            sketch.rect((plot.x(from), plot.top), (plot.x(to), plot.bottom), GREY.faded(0.13));
        }
    }

    /// A dashed line at each mark.
    pub(super) fn lines(&self, sketch: &mut Sketch, plot: &Plot) {
        let mut last = f64::NEG_INFINITY;
        for (from, _, _) in &self.marks {
            let x = plot.x(*from);
            if x - last >= LINE_MIN {
                // One area, whose parts hang together along the line's left edge.
                let dashes = dashed(&[(x, plot.top), (x, plot.bottom)], &DASHES, distance);
                let corners = dashes.iter().flat_map(|dash| {
                    let (top, bottom) = (dash[0].1, dash[dash.len() - 1].1);
                    let (left, right) = (x - LINE / 2.0, x + LINE / 2.0);
                    [(left, top), (right, top), (right, bottom), (left, bottom)]
                });
                sketch.area(corners.collect(), GREY);
                last = x;
            }
        }
    }

    /// The labels above the plot, each with a line to its mark.
    pub(super) fn draw_labels(&self, sketch: &mut Sketch, plot: &Plot) {
        let labels = self.labels(plot.left, plot.right);
        let base = |row: usize| plot.top - 0.8 - row as f64 * BODY.line();
        for label in &labels {
            sketch.line(
                vec![(label.from, plot.top), (label.from, base(label.row) - BODY.capital())],
                GREY,
                0.2,
            );
        }
        for label in &labels {
            let (y, width) = (base(label.row), BODY.width(&label.text));
            let (from, to) = (label.left - 0.3, label.left + width + 0.3);
            sketch.rect((from, y - BODY.capital() - 0.3), (to, y + 0.5), WHITE);
            sketch.text((label.left, y), &label.text, BODY, INK, Anchor::Start);
            if label.to - label.from > LINE_MIN {
                sketch.line(vec![(label.from, y + 0.65), (label.to, y + 0.65)], GREY, 0.2);
            }
        }
    }

    fn labels(&self, left: f64, right: f64) -> Vec<Label> {
        let merged = |near: &f64| merged(&self.marks, *near, left, right);
        let all = NEAR.iter().map(merged).find_map(|labels| placed(labels, left, right));
        all.unwrap_or_else(|| {
            let text = format!("{} events", self.marks.len());
            let at = |mark: Option<&(f64, Option<f64>, String)>| {
                mark.map_or(left, |mark| left + mark.0 * (right - left))
            };
            let (from, to) = (at(self.marks.first()), at(self.marks.last()));
            placed(vec![Label { from, to, left: from, row: 0, text }], left, right).unwrap_or_default()
        })
    }
}

/// One label for the marks of a kind that are `near` to each other.
fn merged(marks: &[(f64, Option<f64>, String)], near: f64, left: f64, right: f64) -> Vec<Label> {
    let mut groups: Vec<(f64, f64, Vec<&str>)> = Vec::new();
    let kind = |text: &str| text.split(' ').next().map(str::to_owned);
    for (from, _, text) in marks.iter().filter(|mark| !mark.2.is_empty()) {
        let x = left + from * (right - left);
        let mine = |group: &&mut (f64, f64, Vec<&str>)| kind(group.2[0]) == kind(text) && x - group.1 <= near;
        match groups.iter_mut().rev().find(mine) {
            Some(group) => {
                group.1 = x;
                group.2.push(text);
            }
            None => groups.push((x, x, vec![text])),
        }
    }
    let widest = SHARE_MAX * (right - left);
    groups
        .into_iter()
        .map(|(from, to, texts)| Label { from, to, text: together(&texts, widest), left: from, row: 0 })
        .collect()
}

/// "crash n1, n4, n5", or "12 × crash" where that would be too long.
fn together(texts: &[&str], widest: f64) -> String {
    let [first, others @ ..] = texts else { return String::new() };
    if others.is_empty() {
        return BODY.fitting(first, widest);
    }
    let words: Vec<&str> = first.split(' ').collect();
    let shared = |count: &usize| {
        let prefix = words[..*count].join(" ");
        others.iter().all(|text| *text == prefix || text.starts_with(&format!("{prefix} ")))
    };
    let count = (1..=words.len()).rev().find(shared).unwrap_or(0);
    let prefix = words[..count].join(" ");
    let mut rests: Vec<&str> = texts.iter().map(|text| text[prefix.len()..].trim_start()).collect();
    rests.dedup();
    let named = format!("{prefix} {}", rests.join(", "));
    if rests.len() == texts.len() && rests.iter().all(|rest| !rest.is_empty()) && BODY.width(&named) <= widest
    {
        return named;
    }
    BODY.fitting(&format!("{} × {prefix}", texts.len()), widest)
}

/// Gives each label the lowest row in which neither it nor its line touches one to its right; `None` if there are not
/// enough rows.
fn placed(mut labels: Vec<Label>, left: f64, right: f64) -> Option<Vec<Label>> {
    let mut taken: Vec<(f64, f64, usize)> = Vec::new();
    for label in labels.iter_mut().rev() {
        let width = BODY.width(&label.text);
        let beside = label.from + 0.6;
        label.left =
            if beside + width <= right { beside } else { (right - width).min(label.from - width - 0.6) };
        // Where there is no room on its left either, it ends at the right edge: left of the plot are the numbers of the axis.
        if label.left < left {
            label.left = (right - width).max(left);
        }
        let from = label.left.min(label.from) - GAP;
        let to = (label.left + width).max(label.to) + GAP;
        let above = |other: &&(f64, f64, usize)| from < other.1 && other.0 < to;
        label.row = taken.iter().filter(above).map(|other| other.2 + 1).max().unwrap_or(0);
        if label.row >= ROWS_MAX {
            return None;
        }
        taken.push((label.left.min(label.from), (label.left + width).max(label.to), label.row));
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figure::Axis;

    fn texts(marks: &[(f64, &str)]) -> Vec<(String, usize)> {
        let marks: Vec<Mark> = marks
            .iter()
            .map(|(from, label)| Mark { from: *from, to: None, label: (*label).to_owned() })
            .collect();
        let range = Range::of(
            &Axis { from: Some(0.0), to: Some(100.0), ..Axis::default() },
            [0.0].into_iter(),
            [0.0; 2],
        );
        let labels = Marks::of(&marks, &range.unwrap()).labels(10.0, 110.0);
        labels.into_iter().map(|label| (label.text, label.row)).collect()
    }

    fn row(text: &str, row: usize) -> (String, usize) {
        (text.to_owned(), row)
    }

    #[test]
    fn labels_of_near_marks_stand_above_each_other() {
        let found = texts(&[(10.0, "crash n1"), (15.0, "cut n2"), (50.0, "crash n3")]);
        assert_eq!(found, [row("crash n1", 1), row("cut n2", 0), row("crash n3", 0)]);
    }

    #[test]
    fn marks_of_a_kind_at_one_time_are_named_together() {
        let found =
            texts(&[(10.0, "crash n1"), (10.0, "crash n5"), (10.0, "crash n4"), (10.0, "lose disk n4")]);
        assert_eq!(found, [row("crash n1, n4, n5", 1), row("lose disk n4", 0)]);
        let same = texts(&[(10.0, "restart"), (10.0, "restart")]);
        assert_eq!(same, [row("2 × restart", 0)]);
    }

    #[test]
    fn too_many_marks_are_counted() {
        let many: Vec<(f64, &str)> = (0..200).map(|i| (f64::from(i) / 2.0, "restart n12")).collect();
        assert_eq!(texts(&many), [row("200 × restart n12", 0)]);
        let names: Vec<String> = (0..300).map(|i| format!("kind{i} n1")).collect();
        let all: Vec<(f64, &str)> =
            names.iter().enumerate().map(|(i, name)| (i as f64 / 3.0, name.as_str())).collect();
        assert_eq!(texts(&all), [row("300 events", 0)]);
    }
}
