//! Sweeps: a scenario at every point of a grid of settings, with the same seeds, compared trial by trial.
//!
//! The first point is what all others are compared with. Each of them runs the same seeds, so that the difference of a metric
//! in a trial is that of two runs with the same luck as far as settings leave it the same; the interval of such differences is
//! usually much narrower than those of the means.

mod compare;
mod figures;
mod grid;

use std::fs::File;
use std::path::{Path, PathBuf};

use self::compare::Runs;
pub use self::compare::{Comparison, Comparisons};
pub use self::grid::{Grid, GridError, POINTS_MAX, Swept};
use super::folder::{self, Made, ReportError};
use super::format::decimal;
use super::gather::Trial;
use super::paint::Width;
use super::scratch::Scratch;
use super::summary::{Burden, burden};

/// The folder of the results of a sweep.
const FOLDER: &str = "sweep";

/// The results of a sweep under way. Dropped before [`Sweep::finish`] it leaves nothing behind, and earlier results as they
/// were.
#[derive(Debug)]
pub struct Sweep<'a> {
    scenario: String,
    grid: &'a Grid,
    home: PathBuf,
    folder: Scratch,
    runs: Runs,
    /// For each point, what its faults found.
    burdens: Vec<Vec<Burden>>,
    /// Declared last, so that it goes last.
    _made: Made,
}

/// The results of a sweep, complete.
#[derive(Debug)]
pub struct Compared {
    /// Where they are.
    pub folder: PathBuf,
    /// Every metric at every point.
    pub compared: Comparisons,
}

impl<'a> Sweep<'a> {
    /// Prepares a folder beside `out/<scenario>/sweep`. `resolved` is the scenario of each point with all its defaults, as
    /// TOML; it is kept as `point-0.toml` and so on.
    pub fn create(
        out: &Path,
        scenario: &str,
        grid: &'a Grid,
        resolved: &[String],
    ) -> Result<Sweep<'a>, ReportError> {
        assert_eq!(resolved.len(), grid.points(), "each point has its scenario");
        let home = folder::home(out, scenario)?;
        let made = folder::made(&home, &[out])?;
        let folder = folder::temporary(&home)?;
        for (point, text) in resolved.iter().enumerate() {
            folder::write(&folder.path().join(format!("point-{point}.toml")), text.as_bytes())?;
        }
        let (runs, burdens) = (Runs::new(grid.points()), vec![Vec::new(); grid.points()]);
        Ok(Sweep { scenario: scenario.to_owned(), grid, home, folder, runs, burdens, _made: made })
    }

    /// Adds a trial at a point. Those of a point come in order, from 0.
    pub fn add(&mut self, point: usize, trial: &Trial) {
        self.runs.add(point, trial);
        self.burdens[point].extend(trial.tables.recovery.iter().filter_map(burden));
    }

    /// Writes tables and charts, and puts the folder in the place of earlier results.
    pub fn finish(self) -> Result<Compared, ReportError> {
        let path = self.folder.path().to_owned();
        let compared = self.runs.compared();
        self.write_runs(&path)?;
        self.write_comparison(&path, &compared)?;
        let load = figures::by_load(&self.scenario, self.grid, &self.burdens);
        let load = load.map(|figure| ("recovery_by_load".to_owned(), figure));
        for (name, figure) in figures::figures(&self.scenario, self.grid, &compared).into_iter().chain(load) {
            folder::write_figure(&path, &name, &figure, Width::default())?;
        }
        let place = self.home.join(FOLDER);
        folder::keep(&place, &path, &[])?;
        folder::replace(&self.home, self.folder, &place)?;
        Ok(Compared { folder: place, compared })
    }

    /// runs.csv: a row per point and trial, with every metric as a column.
    fn write_runs(&self, path: &Path) -> Result<(), ReportError> {
        let keys = self.grid.keys().iter().map(|swept| swept.key.clone());
        let metrics: Vec<(usize, &str)> = self.runs.metrics().collect();
        let head = ["point".to_owned()]
            .into_iter()
            .chain(keys)
            .chain(["trial".to_owned(), "seed".to_owned()])
            .chain(metrics.iter().map(|(_, name)| (*name).to_owned()));
        let mut table = Table::create(path, "runs.csv")?;
        table.row(head)?;
        for (point, runs) in self.runs.points.iter().enumerate() {
            for run in runs {
                let values = self.grid.values(point).into_iter().map(str::to_owned);
                let metrics = metrics.iter().map(|(number, _)| optional(run.value(*number)));
                let row = [point.to_string()]
                    .into_iter()
                    .chain(values)
                    .chain([run.trial.to_string(), run.seed.to_string()])
                    .chain(metrics);
                table.row(row)?;
            }
        }
        table.close()
    }

    /// comparison.csv: a row per metric and point.
    fn write_comparison(&self, path: &Path, compared: &Comparisons) -> Result<(), ReportError> {
        let keys = self.grid.keys().iter().map(|swept| swept.key.clone());
        let after = [
            "n",
            "mean",
            "ci95_low",
            "ci95_high",
            "pairs",
            "difference",
            "difference_low",
            "difference_high",
            "significant",
        ];
        let mut table = Table::create(path, "comparison.csv")?;
        let before = ["metric".to_owned(), "point".to_owned()];
        table.row(before.into_iter().chain(keys).chain(after.map(str::to_owned)))?;
        for one in compared.rows() {
            let values = self.grid.values(one.point).into_iter().map(str::to_owned);
            let (own, difference) = (&one.stats, &one.difference);
            let ends =
                |ci95: Option<(f64, f64)>| (optional(ci95.map(|ci| ci.0)), optional(ci95.map(|ci| ci.1)));
            let ((low, high), (from, to)) = (ends(own.ci95), ends(difference.ci95));
            let significant = match difference.ci95 {
                None => "",
                Some(_) if one.is_significant() => "yes",
                Some(_) => "no",
            };
            let pairs = if one.point == 0 { String::new() } else { difference.n.to_string() };
            let row = [one.metric.clone(), one.point.to_string()].into_iter().chain(values).chain([
                own.n.to_string(),
                optional(own.mean),
                low,
                high,
                pairs,
                optional(difference.mean),
                from,
                to,
                significant.to_owned(),
            ]);
            table.row(row)?;
        }
        table.close()
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, decimal)
}

/// A CSV file whose columns depend on the grid.
struct Table {
    file: &'static str,
    path: PathBuf,
    writer: csv::Writer<File>,
}

impl Table {
    fn create(folder: &Path, file: &'static str) -> Result<Table, ReportError> {
        let path = folder.join(file);
        let writer = csv::Writer::from_path(&path).map_err(|source| ReportError::Table { file, source })?;
        Ok(Table { file, path, writer })
    }

    fn row(&mut self, cells: impl Iterator<Item = String>) -> Result<(), ReportError> {
        let file = self.file;
        let cells: Vec<String> = cells.collect();
        self.writer.write_record(&cells).map_err(|source| ReportError::Table { file, source })
    }

    fn close(mut self) -> Result<(), ReportError> {
        self.writer.flush().map_err(|source| ReportError::Write { path: self.path, source })
    }
}
