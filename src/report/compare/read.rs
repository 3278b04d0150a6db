//! One of the two results as it lies on disk: found, read, and checked for being whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::error::CompareError;
use super::settings;
use super::spread::Samples;

/// How many levels below a folder its results are looked for.
const DEPTH_MAX: usize = 3;
/// More folders than this are not searched.
const FOLDERS_MAX: usize = 10_000;
/// How far a mean over numbers of six decimals may be from the mean of the exact ones.
const ROUNDING: f64 = 2e-6;

/// What one side of the comparison says.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) folder: PathBuf,
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) trials: u32,
    pub(super) settings: BTreeMap<String, String>,
    /// The rows of summary.csv, in their order.
    pub(super) summary: Vec<Metric>,
    /// The samples of each metric that the other files tell by trial.
    pub(super) samples: BTreeMap<String, Samples>,
    /// The jobs in the order in which they first appear.
    pub(super) jobs: Vec<String>,
}

/// A row of summary.csv. A field that is empty there is `None`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) n: usize,
    pub(super) mean: f64,
    pub(super) std: Option<f64>,
    pub(super) ci95: Option<(f64, f64)>,
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) ends: (Option<f64>, Option<f64>),
}

/// The folder with the results that `path` means: itself, or the only one below it.
pub(super) fn find(path: &Path) -> Result<PathBuf, CompareError> {
    if !path.is_dir() {
        return Err(CompareError::NoFolder { path: path.to_owned() });
    }
    let (mut open, mut found, mut looked) = (vec![(path.to_owned(), 0)], Vec::new(), 0);
    while let Some((folder, depth)) = open.pop() {
        looked += 1;
        if folder.join("summary.csv").is_file() {
            found.push(folder);
        } else if depth < DEPTH_MAX && looked < FOLDERS_MAX {
            let read = |source| CompareError::Read { path: folder.clone(), source };
            for entry in fs::read_dir(&folder).map_err(read)? {
                let entry = entry.map_err(read)?;
                // What is hidden is another run under way.
                if entry.path().is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
                    open.push((entry.path(), depth + 1));
                }
            }
        }
    }
    found.sort_unstable();
    match found.len() {
        0 => Err(CompareError::NoResults { path: path.to_owned() }),
        1 => Ok(found.remove(0)),
        _ => Err(CompareError::Several { path: path.to_owned(), found }),
    }
}

impl Side {
    /// Reads the results in `folder`.
    pub(super) fn read(folder: PathBuf) -> Result<Side, CompareError> {
        let (scenario, seed, trials, settings) = scenario(&folder.join("scenario.toml"))?;
        let summary = summary(&folder.join("summary.csv"))?;
        let mut side = Side {
            folder,
            scenario,
            seed,
            trials,
            settings,
            summary,
            samples: BTreeMap::new(),
            jobs: Vec::new(),
        };
        side.read_recovery()?;
        let counted = side.read_jobs()?;
        side.read_queries(counted)?;
        Ok(side)
    }

    fn read_recovery(&mut self) -> Result<(), CompareError> {
        let path = self.folder.join("recovery.csv");
        let mut table = Table::open(&path, &["trial", "kind"])?;
        let spans = |name: &&String| name.ends_with("_s") && *name != "at_s";
        let columns: Vec<String> = table.columns.iter().filter(spans).cloned().collect();
        while let Some(row) = table.next()? {
            let (trial, kind) = (row.trial(self.trials)?, row.text("kind").to_owned());
            for column in &columns {
                if let Some(span) = row.number(column)? {
                    self.add(format!("recovery.{kind}.{column}"), trial, span);
                }
            }
        }
        for metric in self.summary.iter().filter(|metric| metric.name.starts_with("recovery.")) {
            self.agrees(metric, &path)?;
        }
        Ok(())
    }

    /// Whether what summary.csv says of a metric is what the samples of another file come to.
    fn agrees(&self, metric: &Metric, file: &Path) -> Result<(), CompareError> {
        let samples = self.samples.get(&metric.name).map(Samples::all).unwrap_or_default();
        let mean = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
        if samples.len() == metric.n && (mean - metric.mean).abs() <= ROUNDING {
            return Ok(());
        }
        let what = format!(
            "{} has {} samples with the mean {:.6}, but {} has {} with the mean {mean:.6}; wanted files of one run",
            metric.name,
            metric.n,
            metric.mean,
            file.display(),
            samples.len(),
        );
        Err(CompareError::damaged(&self.folder.join("summary.csv"), Some(metric.line), what))
    }

    /// Returns how many queries of each job were counted in each trial.
    fn read_jobs(&mut self) -> Result<BTreeMap<(u32, String), u64>, CompareError> {
        let wanted = [
            "trial",
            "job",
            "queries",
            "submitted_s",
            "first_start_s",
            "start_delay_s",
            "done_s",
            "rate_qps",
        ];
        let mut table = Table::open(&self.folder.join("jobs.csv"), &wanted)?;
        let mut counted = BTreeMap::new();
        let mut trials: BTreeMap<u32, Work> = BTreeMap::new();
        let rho = table.columns.iter().any(|column| column == "rho");
        while let Some(row) = table.next()? {
            let (trial, job) = (row.trial(self.trials)?, row.text("job").to_owned());
            let queries = row.whole("queries")?;
            if let Some(rate) = row.number("rate_qps")? {
                self.add(format!("job.{job}.rate_qps"), trial, rate);
            }
            if let Some(delay) = row.number("start_delay_s")? {
                self.add(format!("job.{job}.start_delay_s"), trial, delay);
                self.add("start_delay_s".to_owned(), trial, delay);
            }
            if let Some(rho) = if rho { row.number("rho")? } else { None } {
                self.add("rho".to_owned(), trial, rho);
            }
            let (submitted, done) = (row.number("submitted_s")?, row.number("done_s")?);
            trials.entry(trial).or_default().add(submitted, done, queries);
            if !self.jobs.contains(&job) {
                self.jobs.push(job.clone());
            }
            if counted.insert((trial, job.clone()), queries).is_some() {
                return Err(row.wrong(format!("the job {job:?} stands twice in trial {trial}")));
            }
        }
        for (trial, work) in trials {
            if let Some((makespan, rate)) = work.whole() {
                self.add("makespan_s".to_owned(), trial, makespan);
                self.add("aggregate_qps".to_owned(), trial, rate);
            }
        }
        // What cannot be told from jobs.csv exactly, as where a job did not end, is left to the summary.
        for name in ["start_delay_s", "rho", "makespan_s", "aggregate_qps"] {
            let metric = self.summary.iter().find(|metric| metric.name == name);
            if metric.is_none_or(|metric| self.agrees(metric, Path::new("jobs.csv")).is_err()) {
                self.samples.remove(name);
            }
        }
        Ok(counted)
    }

    fn read_queries(&mut self, mut counted: BTreeMap<(u32, String), u64>) -> Result<(), CompareError> {
        let path = self.folder.join("queries.csv");
        let wanted = ["trial", "job", "query", "started_s", "finished_s", "committed_s"];
        let mut table = Table::open(&path, &wanted)?;
        while let Some(row) = table.next()? {
            let (trial, job) = (row.trial(self.trials)?, row.text("job").to_owned());
            let (started, finished) = (row.number("started_s")?, row.number("finished_s")?);
            if row.number("committed_s")?.is_none() {
                continue;
            }
            if let (Some(started), Some(finished)) = (started, finished) {
                self.add(format!("job.{job}.query_s"), trial, finished - started);
            }
            match counted.get_mut(&(trial, job.clone())) {
                Some(left) if *left > 0 => *left -= 1,
                _ => {
                    let what = format!(
                        "a counted query of {job:?} in trial {trial} that jobs.csv does not count; wanted files of one run"
                    );
                    return Err(row.wrong(what));
                }
            }
        }
        match counted.into_iter().find(|(_, left)| *left > 0) {
            None => Ok(()),
            Some(((trial, job), left)) => {
                let what = format!(
                    "{left} counted queries of {job:?} in trial {trial} are missing; wanted as many as jobs.csv says"
                );
                Err(CompareError::damaged(&path, None, what))
            }
        }
    }

    fn add(&mut self, metric: String, trial: u32, value: f64) {
        self.samples.entry(metric).or_default().add(trial, value);
    }
}

/// What jobs.csv says of one trial.
#[derive(Debug, Default)]
struct Work {
    submitted: Option<f64>,
    done: Option<f64>,
    queries: u64,
    /// A job that was not submitted or has not ended.
    open: bool,
}

impl Work {
    fn add(&mut self, submitted: Option<f64>, done: Option<f64>, queries: u64) {
        self.queries += queries;
        let (Some(submitted), Some(done)) = (submitted, done) else {
            self.open = true;
            return;
        };
        self.submitted = Some(self.submitted.map_or(submitted, |known| known.min(submitted)));
        self.done = Some(self.done.map_or(done, |known| known.max(done)));
    }

    /// From the first submission to the last end, and the queries per second over that.
    fn whole(&self) -> Option<(f64, f64)> {
        let makespan = self.done? - self.submitted?;
        (!self.open && makespan > 0.0).then(|| (makespan, self.queries as f64 / makespan))
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, CompareError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CompareError::Missing { path: path.to_owned() },
        _ => CompareError::Read { path: path.to_owned(), source },
    })
}

type Scenario = (String, u64, u32, BTreeMap<String, String>);

fn scenario(path: &Path) -> Result<Scenario, CompareError> {
    let wrong = |line, what: String| CompareError::damaged(path, line, what);
    let text = String::from_utf8(bytes(path)?).map_err(|_| wrong(None, "not text in UTF-8".to_owned()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() as u64);
        wrong(before.map(|lines| lines + 1), format!("not TOML: {}", error.message()))
    })?;
    let whole = |key: &str| {
        let value = table.get(key).and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok());
        value.ok_or_else(|| {
            wrong(None, format!("{key} is missing; wanted a whole number, as results have it"))
        })
    };
    let trials = u32::try_from(whole("trials")?)
        .map_err(|_| wrong(None, "trials is too large; wanted at most 1,000,000".to_owned()))?;
    let name = table.get("name").and_then(toml::Value::as_str);
    let name = name.ok_or_else(|| wrong(None, "name is missing; wanted the scenario's name".to_owned()))?;
    Ok((name.to_owned(), whole("seed")?, trials, settings::flat(&table)))
}

fn summary(path: &Path) -> Result<Vec<Metric>, CompareError> {
    let wanted = ["metric", "n", "mean", "std", "ci95_low", "ci95_high", "min", "p50", "p95", "max"];
    let mut table = Table::open(path, &wanted)?;
    let mut metrics: Vec<Metric> = Vec::new();
    while let Some(row) = table.next()? {
        let name = row.text("metric").to_owned();
        if metrics.iter().any(|metric| metric.name == name) {
            return Err(row.wrong(format!("the metric {name} stands twice")));
        }
        let n = row.whole("n")? as usize;
        let Some(mean) = row.number("mean")? else {
            return Err(row.wrong("column mean: empty; wanted a number such as 0.250000".to_owned()));
        };
        metrics.push(Metric {
            line: row.line,
            n,
            mean,
            std: row.number("std")?,
            ci95: row.number("ci95_low")?.zip(row.number("ci95_high")?),
            p50: row.number("p50")?,
            p95: row.number("p95")?,
            ends: (row.number("min")?, row.number("max")?),
            name,
        });
    }
    Ok(metrics)
}

/// A CSV file under way.
struct Table {
    path: PathBuf,
    reader: csv::Reader<io::Cursor<Vec<u8>>>,
    columns: Vec<String>,
}

/// One row of it.
struct Row<'a> {
    path: &'a Path,
    columns: &'a [String],
    line: u64,
    fields: StringRecord,
}

impl Table {
    /// Opens a file that has at least these columns, in whatever order.
    fn open(path: &Path, wanted: &[&str]) -> Result<Table, CompareError> {
        let mut reader = csv::Reader::from_reader(io::Cursor::new(bytes(path)?));
        let columns = match reader.headers() {
            Ok(columns) => columns.iter().map(str::to_owned).collect::<Vec<_>>(),
            Err(error) => return Err(unreadable(path, &error)),
        };
        if let Some(missing) = wanted.iter().find(|name| !columns.iter().any(|column| column == *name)) {
            let what =
                format!("there is no column {missing}; wanted a first line with {}", wanted.join(", "));
            return Err(CompareError::damaged(path, Some(1), what));
        }
        Ok(Table { path: path.to_owned(), reader, columns })
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, CompareError> {
        let mut fields = StringRecord::new();
        match self.reader.read_record(&mut fields) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let line = fields.position().map_or(0, csv::Position::line);
                Ok(Some(Row { path: &self.path, columns: &self.columns, line, fields }))
            }
            Err(error) => Err(unreadable(&self.path, &error)),
        }
    }
}

fn unreadable(path: &Path, error: &csv::Error) -> CompareError {
    let line = error.position().map(csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields; wanted {expected_len}, as in the first line")
        }
        csv::ErrorKind::Utf8 { .. } => "not text in UTF-8".to_owned(),
        _ => format!("not CSV: {error}"),
    };
    CompareError::damaged(path, line, what)
}

impl Row<'_> {
    fn wrong(&self, what: String) -> CompareError {
        CompareError::damaged(self.path, Some(self.line), what)
    }

    fn text(&self, column: &str) -> &str {
        let place = self.columns.iter().position(|name| name == column);
        place.and_then(|place| self.fields.get(place)).unwrap_or_default()
    }

    /// A number; `None` where nothing is written.
    fn number(&self, column: &str) -> Result<Option<f64>, CompareError> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        let wanted =
            || format!("column {column}: {text:?} is not a number; wanted one such as 0.250000, or nothing");
        number.map(Some).ok_or_else(|| self.wrong(wanted()))
    }

    fn whole(&self, column: &str) -> Result<u64, CompareError> {
        let text = self.text(column);
        let wanted = || format!("column {column}: {text:?} is not a whole number; wanted one such as 30");
        text.parse().map_err(|_| self.wrong(wanted()))
    }

    fn trial(&self, trials: u32) -> Result<u32, CompareError> {
        let trial = self.whole("trial")?;
        let wanted = || {
            format!("there is no trial {trial}; wanted one of the {trials}, counted from 0, of scenario.toml")
        };
        u32::try_from(trial).ok().filter(|trial| *trial < trials).ok_or_else(|| self.wrong(wanted()))
    }
}
