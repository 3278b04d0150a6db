//! What was measured as a picture, and every time of it as a table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::fit::Fitted;
use super::super::times::Times;
use super::Measure;
use crate::base::Network;
use crate::cli::text::some;
use crate::report::{Axis, Curve, Curves, Figure, Join, Panel, Scale, Width, png, svg};

/// The share of the times that lies below the band about the median, and above it.
const TAIL: f64 = 0.05;
/// Sizes that are further apart than this stand on an axis by their logarithm.
const SPAN_MAX: f64 = 16.0;

/// The time of a query by its inputs: what was measured, and the line that was fitted to it.
pub(super) fn figure(measure: &Measure, network: &Network, times: &Times, fitted: &Fitted) -> Figure {
    let at = |sorted: &[f64], share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    let sizes: Vec<f64> = times.queries.iter().map(|(size, _)| f64::from(*size)).collect();
    let (least, most) = (sizes[0], sizes[sizes.len() - 1]);
    let points = (times.queries.iter().zip(&sizes)).map(|((_, all), size)| (*size, at(all, 0.5))).collect();
    let band = times.queries.iter().zip(&sizes);
    let spread = band.map(|((_, all), size)| (*size, at(all, TAIL), at(all, 1.0 - TAIL))).collect();
    // On an axis by logarithms a straight line is bent: it is drawn through many points.
    let steps = 64;
    let along = |step: u32| least * libm::pow(most / least, f64::from(step) / f64::from(steps));
    let line = |size: f64| (size, fitted.line(size));
    let line = (0..=steps).map(|step| line(along(step))).collect();
    let wide = most / least > SPAN_MAX;
    let scale = if wide { Scale::Log } else { Scale::Linear };
    let from = (!wide).then_some(0.0);
    let axis = |label: &str| Axis { label: label.to_owned(), scale, from, ..Axis::default() };
    let queries = times.queries.first().map_or(0, |(_, all)| all.len());
    Figure {
        title: format!("Time of a query: {}", measure.name),
        subtitle: format!(
            "{} on {}, {} at once, threads {}; {} of each size; the band holds nine in ten of them, and the line is setup + per_input · inputs",
            network.architecture.name(),
            network.device,
            some(u64::from(times.engines), "engine", "engines"),
            network.threads,
            some(queries as u64, "query", "queries"),
        ),
        panel: Panel::Curves(Curves {
            x: axis("Inputs per query (batch)"),
            y: axis("Time of a query (s)"),
            legend: "Time".to_owned(),
            curves: vec![
                Curve { name: "measured, median".to_owned(), join: Join::DottedLines, points, spread },
                Curve { name: "fitted".to_owned(), join: Join::Lines, points: line, spread: Vec::new() },
            ],
            marks: Vec::new(),
        }),
    }
}

/// Writes the picture as NAME.svg and NAME.png and the times as NAME.csv: what, inputs, seconds.
pub(super) fn write(folder: &Path, name: &str, figure: &Figure, times: &Times) -> Result<()> {
    let drawn = svg(figure, Width::default())?;
    let image = png(&drawn)?;
    let mut table = String::from("what,inputs,seconds\n");
    for load in &times.loads {
        let _ = writeln!(table, "load,,{load:.6}");
    }
    for (size, all) in &times.queries {
        for time in all {
            let _ = writeln!(table, "query,{size},{time:.6}");
        }
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (ending, bytes) in [("svg", drawn.into_bytes()), ("png", image), ("csv", table.into_bytes())] {
        let path = folder.join(format!("{name}.{ending}"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
