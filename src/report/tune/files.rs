//! The folder of a tuning: every point as a row per metric, the charts, and the settings to use.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::folder::{self, Made, ReportError};
use super::super::format::decimal;
use super::super::paint::Width;
use super::super::scratch::Scratch;
use super::super::stats::{P99_SAMPLES_MIN, Stats};
use super::{Limits, Point, Timing, figures};

/// The folder of the results of a tuning.
const FOLDER: &str = "tune";
/// The file with a row per point and metric.
const FILE: &str = "tune.csv";

/// The results of a tuning under way. Dropped before [`Tuning::finish`] it leaves nothing behind, and earlier results as they
/// were.
#[derive(Debug)]
pub struct Tuning {
    scenario: String,
    home: PathBuf,
    folder: Scratch,
    width: Width,
    /// Declared last, so that it goes last.
    _made: Made,
}

impl Tuning {
    /// Prepares a folder beside `out/<scenario>/tune`.
    pub fn create(out: &Path, scenario: &str, width: Width) -> Result<Tuning, ReportError> {
        let home = folder::home(out, scenario)?;
        let made = folder::made(&home, &[out])?;
        let folder = folder::temporary(&home)?;
        Ok(Tuning { scenario: scenario.to_owned(), home, folder, width, _made: made })
    }

    /// Writes tables, charts and settings, and puts the folder in the place of earlier results; gives its path. `stages` are the
    /// points of each stage, with the position of the one to use; `settings` are those to use, and `resolved` is the scenario with
    /// them, as TOML.
    pub fn finish(
        self,
        stages: &[(Vec<Point>, usize)],
        limits: &Limits,
        settings: &str,
        resolved: &str,
    ) -> Result<PathBuf, ReportError> {
        let path = self.folder.path().to_owned();
        write_points(&path, stages)?;
        folder::write(&path.join("settings.toml"), settings.as_bytes())?;
        folder::write(&path.join("scenario.toml"), resolved.as_bytes())?;
        for (points, chosen) in stages {
            for (name, figure) in figures::figures(&self.scenario, points, *chosen, limits) {
                folder::write_figure(&path, name, &figure, self.width)?;
            }
        }
        let place = self.home.join(FOLDER);
        folder::keep(&place, &path, &[])?;
        folder::replace(&self.home, self.folder, &place)?;
        Ok(place)
    }
}

/// One row of tune.csv, its settings aside.
struct Row {
    metric: &'static str,
    n: usize,
    mean: Option<f64>,
    ci95: Option<(f64, f64)>,
    percentiles: [Option<f64>; 3],
    most: Option<f64>,
}

fn rows(point: &Point) -> Vec<Row> {
    let delays = point.delays();
    let finite: Vec<f64> = delays.iter().copied().filter(|delay| delay.is_finite()).collect();
    let dealt = Stats::of(&finite);
    let at = |per_mille: usize| point.delay(per_mille).filter(|delay| delay.is_finite());
    let enough = delays.len() >= P99_SAMPLES_MIN;
    let none = [None; 3];
    let alarms = point.alarms();
    let messages: Vec<f64> = point.samples.iter().filter_map(|sample| sample.messages).collect();
    let messages = Stats::of(&messages);
    let mut rows = vec![
        Row {
            metric: "delay_s",
            n: delays.len(),
            mean: dealt.mean,
            ci95: dealt.ci95,
            percentiles: [at(500), at(950), at(990).filter(|_| enough)],
            most: at(1000),
        },
        Row {
            metric: "delays_without_end",
            n: delays.len(),
            mean: Some((delays.len() - finite.len()) as f64),
            ci95: None,
            percentiles: none,
            most: None,
        },
        Row {
            metric: "false_alarms_per_node_day",
            n: alarms.count as usize,
            mean: Some(alarms.rate()),
            ci95: Some(alarms.ci95()),
            percentiles: none,
            most: Some(alarms.at_most()),
        },
    ];
    if messages.n > 0 {
        let (n, mean, ci95) = (messages.n, messages.mean, messages.ci95);
        rows.push(Row {
            metric: "messages_per_node_s",
            n,
            mean,
            ci95,
            percentiles: none,
            most: messages.max,
        });
    }
    if let Some(wasted) = point.wasted() {
        let n = point.samples.iter().filter(|sample| sample.wasted.is_some()).count();
        let mean = Some(wasted);
        rows.push(Row { metric: "wasted_per_1000", n, mean, ci95: None, percentiles: none, most: None });
    }
    rows
}

/// tune.csv. `n` counts crashes (`delay_s`, `delays_without_end`), false alarms (`false_alarms_per_node_day`), trials (the others);
/// `max` of the false alarms is the rate that is not exceeded with 95 % confidence.
fn write_points(path: &Path, stages: &[(Vec<Point>, usize)]) -> Result<(), ReportError> {
    let failed = |source| ReportError::Table { file: FILE, source };
    let mut table: csv::Writer<File> = csv::Writer::from_path(path.join(FILE)).map_err(failed)?;
    let settings =
        ["stage", "heartbeat_s", "suspect_after_s", "evict_after_s", "election_s", "beat_s", "use"];
    let figures = ["node_days", "metric", "n", "mean", "ci95_low", "ci95_high", "p50", "p95", "p99", "max"];
    table.write_record(settings.iter().chain(&figures)).map_err(failed)?;
    let number = |value: Option<f64>| value.map_or_else(String::new, decimal);
    for (points, chosen) in stages {
        for (position, point) in points.iter().enumerate() {
            let Timing { heartbeat, suspect_after, evict_after, election, beat } = point.timing;
            let spans = [heartbeat, suspect_after, evict_after, election, beat];
            for row in rows(point) {
                let used = if position == *chosen { "yes" } else { "" };
                let [p50, p95, p99] = row.percentiles;
                let ends = [row.ci95.map(|ci| ci.0), row.ci95.map(|ci| ci.1)];
                let days = decimal(point.alarms().node_days);
                let record = [point.stage.name().to_owned()]
                    .into_iter()
                    .chain(spans.iter().map(|span| decimal(span.as_secs())))
                    .chain([used.to_owned(), days, row.metric.to_owned(), row.n.to_string()])
                    .chain([row.mean, ends[0], ends[1], p50, p95, p99, row.most].map(number));
                table.write_record(record).map_err(failed)?;
            }
        }
    }
    table.flush().map_err(|source| ReportError::Write { path: path.join(FILE), source })
}
