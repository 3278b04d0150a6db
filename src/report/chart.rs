//! The chart of workers per job over time: the resource ratio, with the faults marked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::cluster::Cluster;
use super::recovery::Hit;
use super::serving::{Move, Shares};
use crate::base::{JobId, Time};
use crate::scenario::Plan;

/// Why a chart could not be drawn. Earlier results are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The chart could not be laid out or encoded.
    #[error("cannot draw {chart}: {reason}")]
    Draw {
        /// Which chart.
        chart: String,
        /// What the drawing library says.
        reason: String,
    },
}

/// The size of a chart in pixels, large, because bitmaps of polygons are not smoothed and SVG coordinates are whole.
const SIZE: (u32, u32) = (1920, 1080);
/// What the chart leaves to the legend on its right.
const LEGEND_WIDTH: i32 = 330;
/// Title and subtitle.
const HEAD_HEIGHT: i32 = 132;
/// One row of fault labels.
const LABEL_HEIGHT: i32 = 38;
/// Between two labels of a row.
const LABEL_GAP: i32 = 20;
/// More rows of fault labels than this are not drawn; the lines are.
const LABEL_ROWS_MAX: usize = 4;
/// Jobs with a line of their own; all others share one.
const LINES_MAX: usize = 6;
/// Points along the time axis.
const BINS_MAX: u64 = 600;
/// SVG text comes out up to this much wider than the layout computes.
const SVG_WIDER: f64 = 1.12;
/// A generic family, so that an SVG viewer without the embedded font still shows a fitting one.
const FONT: &str = "sans-serif";

/// Colours that people with any colour vision can tell apart, by Okabe and Ito, without the ones too pale for lines.
const PALETTE: [RGBColor; LINES_MAX] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
];
const OTHERS: RGBColor = RGBColor(0, 0, 0);
const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(222, 222, 222);
const MARK: RGBColor = RGBColor(96, 96, 96);

/// What the chart shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    title: String,
    subtitle: String,
    workers: u32,
    end_s: f64,
    bin_s: f64,
    lines: Vec<(String, Vec<f64>)>,
    faults: Vec<Mark>,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
struct Mark {
    from_s: f64,
    to_s: Option<f64>,
    label: String,
}

impl Scene {
    /// The scene of one trial.
    pub(super) fn of(
        plan: &Plan,
        number: u32,
        end: Time,
        moves: &[Move],
        names: &BTreeMap<JobId, Arc<str>>,
        hits: &[Hit],
        cluster: &Cluster,
    ) -> Scene {
        let shares = Shares::of(moves, end, BINS_MAX);
        let mut lines: Vec<(String, Vec<f64>)> = Vec::new();
        let several = shares.workers.len() > LINES_MAX + 1;
        for (job, row) in &shares.workers {
            if several && lines.len() > LINES_MAX {
                let (_, others) = lines.last_mut().expect("there are lines");
                others.iter_mut().zip(row).for_each(|(sum, more)| *sum += more);
            } else if several && lines.len() == LINES_MAX {
                lines.push((format!("{} other jobs", shares.workers.len() - LINES_MAX), row.clone()));
            } else {
                lines
                    .push((names.get(job).map_or_else(|| job.to_string(), ToString::to_string), row.clone()));
            }
        }
        let mark = |hit: &Hit| {
            let whom = match hit.machines.as_slice() {
                few @ ([_] | [_, _]) => {
                    few.iter().map(|&m| cluster.machine_name(m).to_string()).collect::<Vec<_>>().join(" ")
                }
                many => format!("{} nodes", many.len()),
            };
            let label = format!("{} {whom}", hit.kind.replace('_', " "));
            Mark { from_s: hit.at.as_secs(), to_s: hit.ended.map(Time::as_secs), label }
        };
        let bin = if shares.bin_s > 1.0 { format!("{} s", shares.bin_s) } else { "1 s".to_owned() };
        Scene {
            title: format!("Workers per job: {}", plan.name),
            subtitle: if hits.is_empty() {
                format!("Trial {number}, means over {bin}")
            } else {
                format!("Trial {number}, means over {bin}; dashed lines are faults, shaded while they last")
            },
            workers: plan.nodes.iter().filter(|node| node.worker).count() as u32,
            end_s: end.as_secs().max(1e-3),
            bin_s: shares.bin_s,
            lines,
            faults: hits.iter().filter(|hit| !hit.machines.is_empty()).map(mark).collect(),
        }
    }
}

/// The chart as SVG.
pub(super) fn workers_svg(scene: &Scene) -> Result<String, ChartError> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&root, scene).map_err(|error| failed("workers.svg", &error))?;
        root.present().map_err(|error| failed("workers.svg", &error))?;
    }
    Ok(text)
}

/// The chart as PNG, in a file.
pub(super) fn workers_png(scene: &Scene, path: &Path) -> Result<(), ChartError> {
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    let shown = path.file_name().map(PathBuf::from).unwrap_or_default();
    let chart = shown.display().to_string();
    draw(&root, scene).map_err(|error| failed(&chart, &error))?;
    root.present().map_err(|error| failed(&chart, &error))
}

fn failed(chart: &str, error: &impl ToString) -> ChartError {
    ChartError::Draw { chart: chart.to_owned(), reason: error.to_string() }
}

type Area<B> = DrawingArea<B, Shift>;
type Outcome<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;
type Plot<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw<B: DrawingBackend>(root: &Area<B>, scene: &Scene) -> Outcome<B> {
    register();
    root.fill(&WHITE)?;
    let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
    write(root, &scene.title, (56, 34), 40, true, INK)?;
    write(root, &scene.subtitle, (56, 86), 26, false, MARK)?;

    let left = 130;
    let (right, bottom) = (width - LEGEND_WIDTH, height - 110);
    let column = |x_s: f64| left + (x_s / scene.end_s * f64::from(right - left)).round() as i32;
    let labels = place(&scene.faults, &column);
    let rows = labels.iter().flatten().map(|label| label.row + 1).max().unwrap_or(0) as i32;
    let top = HEAD_HEIGHT + rows * LABEL_HEIGHT + 14;

    let area = root.clone().margin(0, 0, 0, 0);
    let mut plot = ChartBuilder::on(&area)
        .margin_top(top)
        .margin_right(LEGEND_WIDTH)
        .margin_bottom(30)
        .margin_left(50)
        .x_label_area_size(80)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..scene.end_s, 0.0..f64::from(scene.workers.max(1)) * 1.04)?;
    let [low, high] = [0, 1].map(|i| if i == 0 { bottom } else { top });
    for mark in &scene.faults {
        shade(&mut plot, scene, mark)?;
    }
    mesh(&mut plot)?;
    for (mark, label) in scene.faults.iter().zip(&labels) {
        let from = label.map_or(high - 10, |label| HEAD_HEIGHT + (label.row as i32 + 1) * LABEL_HEIGHT);
        dashed(root, column(mark.from_s), from, low)?;
    }
    for (mark, label) in scene.faults.iter().zip(&labels) {
        let Some(Label { row, left, right }) = *label else { continue };
        let y = HEAD_HEIGHT + row as i32 * LABEL_HEIGHT + 4;
        // Lines of other faults pass behind it.
        root.draw(&Rectangle::new([(left - 4, y), (right + 4, y + LABEL_HEIGHT - 4)], WHITE.filled()))?;
        write(root, &mark.label, (left, y), 24, false, INK)?;
    }
    for (position, (_, row)) in scene.lines.iter().enumerate() {
        plot.draw_series(std::iter::once(PathElement::new(stairs(scene, row), line_style(scene, position))))?;
    }
    legend(root, scene, (right + 34, top + 4))
}

/// Makes the embedded fonts known to the drawing library; harmless when repeated.
fn register() {
    for (style, bytes) in [(FontStyle::Normal, notosans::REGULAR_TTF), (FontStyle::Bold, notosans::BOLD_TTF)]
    {
        assert!(register_font(FONT, style, bytes).is_ok(), "the embedded fonts are fonts");
    }
}

/// Grid, axes and their labels.
fn mesh<B: DrawingBackend>(plot: &mut Plot<'_, B>) -> Outcome<B> {
    let label = (FONT, 26).into_font().color(&INK);
    let number = |value: &f64| {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    plot.configure_mesh()
        .x_labels(12)
        .y_labels(11)
        .max_light_lines(0)
        .bold_line_style(FAINT.stroke_width(2))
        .axis_style(INK.stroke_width(2))
        .x_desc("Time since the beginning of the trial (s)")
        .y_desc("Number of workers that serve the job")
        .label_style(label.clone())
        .axis_desc_style(label)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .draw()
}

/// A faint band for as long as the fault lasts.
fn shade<B: DrawingBackend>(plot: &mut Plot<'_, B>, scene: &Scene, mark: &Mark) -> Outcome<B> {
    let Some(to) = mark.to_s else { return Ok(()) };
    let high = f64::from(scene.workers.max(1)) * 1.04;
    let band = Rectangle::new([(mark.from_s, 0.0), (to.min(scene.end_s), high)], MARK.mix(0.10).filled());
    plot.draw_series(std::iter::once(band)).map(|_| ())
}

/// A dashed vertical line.
fn dashed<B: DrawingBackend>(root: &Area<B>, x: i32, from: i32, to: i32) -> Outcome<B> {
    let (dash, period) = (10, 16);
    for y in (from..to).step_by(period) {
        root.draw(&PathElement::new([(x, y), (x, (y + dash).min(to))], MARK.stroke_width(2)))?;
    }
    Ok(())
}

/// The means as a staircase, from the first bin with workers to the last.
fn stairs(scene: &Scene, row: &[f64]) -> Vec<(f64, f64)> {
    let edge = |bin: usize| (bin as f64 * scene.bin_s).min(scene.end_s);
    let first = row.iter().position(|mean| *mean > 0.0).unwrap_or(0);
    let last = row.iter().rposition(|mean| *mean > 0.0).map_or(0, |last| last + 1);
    let steps = (first..last).flat_map(|bin| [(edge(bin), row[bin]), (edge(bin + 1), row[bin])]);
    std::iter::once((edge(first), 0.0)).chain(steps).chain([(edge(last), 0.0)]).collect()
}

/// Earlier lines are wider, so that equal ones show below each other.
fn line_style(scene: &Scene, position: usize) -> ShapeStyle {
    let color = PALETTE.get(position).copied().unwrap_or(OTHERS);
    let width = if scene.lines.len() <= 3 { 8 - 2 * position as u32 } else { 4 };
    color.stroke_width(width)
}

fn legend<B: DrawingBackend>(root: &Area<B>, scene: &Scene, (x, y): (i32, i32)) -> Outcome<B> {
    write(root, "Job", (x, y), 26, true, INK)?;
    for (position, (name, _)) in scene.lines.iter().enumerate() {
        let row = y + 48 + 42 * position as i32;
        let style = line_style(scene, position);
        root.draw(&PathElement::new([(x, row + 8), (x + 44, row + 8)], style))?;
        write(
            root,
            &fitting(name, 26, f64::from(LEGEND_WIDTH - 34 - 60 - 16)),
            (x + 60, row),
            26,
            false,
            INK,
        )?;
    }
    Ok(())
}

/// Where a fault's label stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label {
    row: usize,
    left: i32,
    right: i32,
}

/// Puts each fault's label above its line, in the first row where it does not touch its neighbour; none where all rows are
/// taken.
fn place(marks: &[Mark], column: &impl Fn(f64) -> i32) -> Vec<Option<Label>> {
    let mut order: Vec<usize> = (0..marks.len()).collect();
    order.sort_by(|&a, &b| marks[a].from_s.total_cmp(&marks[b].from_s));
    let mut ends = [0; LABEL_ROWS_MAX];
    let mut labels = vec![None; marks.len()];
    for position in order {
        let width = text_width(&marks[position].label, 24);
        let left = (column(marks[position].from_s) - width / 2).min(SIZE.0 as i32 - width - 20).max(20);
        if let Some(row) = ends.iter().position(|end| *end <= left) {
            ends[row] = left + width + LABEL_GAP;
            labels[position] = Some(Label { row, left, right: left + width });
        }
    }
    labels
}

/// How wide a text can get, in pixels.
fn text_width(text: &str, size: i32) -> i32 {
    let width = (FONT, size).into_font().box_size(text).map_or(0, |(width, _)| width);
    (f64::from(width) * SVG_WIDER).ceil() as i32
}

/// A text, or as much of its beginning and its end, which tells names in a series apart, as fits into `width` pixels.
fn fitting(text: &str, size: i32, width: f64) -> String {
    let fits = |text: &str| f64::from(text_width(text, size)) <= width;
    if fits(text) {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let tail: String = letters[letters.len().saturating_sub(4)..].iter().collect();
    let shortened = |kept: usize| format!("{}…{tail}", letters[..kept].iter().collect::<String>());
    let most = letters.len().saturating_sub(4).min(64);
    (0..=most).rev().map(shortened).find(|text| fits(text)).unwrap_or_default()
}

fn write<B: DrawingBackend>(
    root: &Area<B>,
    text: &str,
    at: (i32, i32),
    size: i32,
    bold: bool,
    color: RGBColor,
) -> Outcome<B> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FontFamily::Name(FONT), f64::from(size), style);
    let style = font.color(&color).pos(Pos::new(HPos::Left, VPos::Top));
    root.draw(&Text::new(text.to_owned(), at, style))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(times: &[f64]) -> Vec<Option<usize>> {
        let mark = |from_s: &f64| Mark { from_s: *from_s, to_s: None, label: "crash n1".to_owned() };
        let marks: Vec<Mark> = times.iter().map(mark).collect();
        register();
        let labels = place(&marks, &|seconds| (seconds * 100.0) as i32);
        labels.iter().map(|label| label.map(|label| label.row)).collect()
    }

    #[test]
    fn labels_of_near_faults_stand_below_each_other_and_those_of_far_ones_at_the_top() {
        assert_eq!(rows(&[1.0, 1.1, 1.2, 9.0]), [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(rows(&[1.0, 1.0, 1.0, 1.0, 1.0]), [Some(0), Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn names_that_are_too_long_keep_their_ends() {
        register();
        let name = "a_rather_long_name_of_a_stream-17";
        let short = fitting(name, 26, 200.0);
        assert!(short.starts_with("a_r") && short.ends_with("…m-17"), "{short}");
        assert_eq!(fitting("resnet", 26, 200.0), "resnet");
    }
}
