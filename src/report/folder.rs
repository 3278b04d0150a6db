//! The folder of results: written beside earlier ones, and put in their place as a whole. Files of other people that lie
//! there are kept.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::figure::Figure;
use super::figures;
use super::gather::Trial;
use super::history::{Repetition, first_line, last_line};
use super::hlog;
use super::kept;
use super::paint::{self, ChartError, Width};
use super::rows::{
    AllocationRow, AssignmentRow, AttemptRow, FairnessRow, JobRow, MembershipRow, QueryRow, RecoveryRow,
    SummaryRow,
};
use super::scratch::Scratch;
use super::stored::{HISTORY, SCENARIO};
use super::summary::Summary;
use crate::base::Time;
use crate::scenario::Plan;

/// Why results could not be written. Earlier results are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The scenario's name cannot be the name of a folder.
    #[error("the scenario's name {name:?} cannot be the name of a folder")]
    Name {
        /// The name.
        name: String,
    },
    /// Results would take the place of something that is not results.
    #[error("{} is neither empty nor a folder of results; name one that is, or one that does not exist", path.display())]
    Occupied {
        /// What is there.
        path: PathBuf,
    },
    /// A file or folder could not be made, written or moved.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table could not be written.
    #[error("cannot write {file}")]
    Table {
        /// Which one.
        file: &'static str,
        /// Why.
        source: csv::Error,
    },
    /// A chart could not be drawn.
    #[error("cannot draw {}", path.display())]
    Chart {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: ChartError,
    },
}

/// A CSV file under way.
type Table = csv::Writer<File>;

/// The results of a scenario under way. Dropped before [`Results::finish`] it leaves nothing behind, and earlier results as
/// they were.
#[derive(Debug)]
pub struct Results {
    /// The folder that the results are put in.
    home: PathBuf,
    /// Where they are put.
    place: PathBuf,
    /// What that was called.
    called: PathBuf,
    folder: Scratch,
    tables: [Table; FILES.len()],
    history: History,
    plan: Plan,
    summary: Summary,
    /// When the longest trial ended.
    ended_at: Time,
    figures: Vec<(&'static str, Figure)>,
    width: Width,
    next: u32,
    /// Declared last, so that it goes last.
    _made: Made,
}

/// What becomes of history.jsonl and scenario.toml.
#[derive(Debug)]
enum History {
    /// They are written.
    Fresh { file: BufWriter<File>, repetition: Option<Repetition> },
    /// They are in the place already and stay there.
    Kept,
    /// They were copied from another folder.
    Copied,
}

/// Folders that were made for these results; they go again when they stay empty.
#[derive(Debug)]
pub(super) struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // One that is not empty stays, as it should.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The results of a scenario, complete.
#[derive(Debug)]
pub struct Finished {
    /// Where they are.
    pub folder: PathBuf,
    /// What all trials together say.
    pub summary: Summary,
}

/// The tables that grow with each trial.
const FILES: [&str; 8] = [
    "queries.csv",
    "attempts.csv",
    "jobs.csv",
    "allocation.csv",
    "fairness.csv",
    "assignments.csv",
    "membership.csv",
    "recovery.csv",
];

impl Results {
    /// Prepares a folder beside `out/<scenario>/<driver>`. `resolved` is the scenario with all its defaults, as TOML.
    pub fn create(
        out: &Path,
        plan: &Plan,
        driver: &'static str,
        resolved: &str,
    ) -> Result<Results, ReportError> {
        let home = home(out, &plan.name)?;
        let mut results = Results::beside(plan, home.join(driver), home, &[out])?;
        results.resolve(driver, resolved)?;
        Ok(results)
    }

    /// Before the first trial: the scenario turned out to be this one, with what was found out about the machines that it runs on.
    pub fn resolve(&mut self, driver: &'static str, resolved: &str) -> Result<(), ReportError> {
        assert_eq!(self.next, 0, "a history begins with its scenario");
        let path = self.folder.path();
        write(&path.join(SCENARIO), resolved.as_bytes())?;
        let path = path.join(HISTORY);
        let mut file = BufWriter::new(File::create(&path).map_err(at(&path))?);
        file.write_all(&first_line(&self.plan.name, driver, resolved)).map_err(at(&path))?;
        self.history = History::Fresh { file, repetition: None };
        Ok(())
    }

    /// Prepares to write the results of `plan` in `folder` again from their history, in their own place or in that of `out`.
    ///
    /// Trials then come from [`Gather::stored`](super::Gather::stored): scenario and history stay as they are to the letter.
    pub fn again(plan: &Plan, folder: &Path, out: Option<&Path>) -> Result<Results, ReportError> {
        let from = folder.canonicalize().map_err(at(folder))?;
        let place = match out {
            Some(out) => whole(out).map_err(at(out))?,
            None => from.clone(),
        };
        if place != from && place.exists() && !kept::is_results(&place) {
            return Err(ReportError::Occupied { path: out.unwrap_or(folder).to_owned() });
        }
        let home = place.parent().map_or_else(|| place.clone(), Path::to_owned);
        let mut results = Results::beside(plan, place.clone(), home, &[])?;
        out.unwrap_or(folder).clone_into(&mut results.called);
        if place != from {
            for file in [SCENARIO, HISTORY] {
                let to = results.folder.path().join(file);
                fs::copy(from.join(file), &to).map_err(at(&to))?;
            }
            results.history = History::Copied;
        }
        Ok(results)
    }

    /// A folder in `home`, in which, as in those `above` it, nothing is left when nothing comes of this.
    fn beside(plan: &Plan, place: PathBuf, home: PathBuf, above: &[&Path]) -> Result<Results, ReportError> {
        let made = made(&home, above)?;
        let folder = temporary(&home)?;
        let path = folder.path();
        let tables = [
            table::<QueryRow>(path, FILES[0])?,
            table::<AttemptRow>(path, FILES[1])?,
            table::<JobRow>(path, FILES[2])?,
            table::<AllocationRow>(path, FILES[3])?,
            table::<FairnessRow>(path, FILES[4])?,
            table::<AssignmentRow>(path, FILES[5])?,
            table::<MembershipRow>(path, FILES[6])?,
            table::<RecoveryRow>(path, FILES[7])?,
        ];
        let (history, summary) = (History::Kept, Summary::default());
        let called = place.clone();
        Ok(Results {
            home,
            place,
            called,
            folder,
            tables,
            history,
            plan: plan.clone(),
            summary,
            ended_at: Time::ZERO,
            figures: Vec::new(),
            width: Width::default(),
            next: 0,
            _made: made,
        })
    }

    /// Trial 0 was run a second time, and this came out.
    pub fn repeated(&mut self, trace: u128, ended_at: Time) {
        if let History::Fresh { repetition, .. } = &mut self.history {
            *repetition = Some(Repetition { trace, ended_at });
        }
    }

    /// Draws charts as wide as that; 180 mm unless said otherwise.
    #[must_use]
    pub fn with_width(mut self, width: Width) -> Results {
        self.width = width;
        self
    }

    /// Adds a trial. Trials come in order, from 0. The first one that was gathered with its figures is drawn.
    pub fn add(&mut self, trial: Trial) -> Result<(), ReportError> {
        assert_eq!(
            trial.number, self.next,
            "trials are written in order, so that equal runs give equal bytes"
        );
        self.next += 1;
        let [queries, attempts, jobs, allocation, fairness, assignments, membership, recovery] =
            &mut self.tables;
        let rows = &trial.tables;
        append(queries, FILES[0], &rows.queries)?;
        append(attempts, FILES[1], &rows.attempts)?;
        append(jobs, FILES[2], &rows.jobs)?;
        append(allocation, FILES[3], &rows.allocation)?;
        append(fairness, FILES[4], &rows.fairness)?;
        append(assignments, FILES[5], &rows.assignments)?;
        append(membership, FILES[6], &rows.membership)?;
        append(recovery, FILES[7], &rows.recovery)?;
        if let History::Fresh { file, .. } = &mut self.history {
            file.write_all(&trial.history).map_err(at(&self.folder.path().join(HISTORY)))?;
        }
        self.summary.add(&trial);
        self.ended_at = self.ended_at.max(trial.ended_at);
        if self.figures.is_empty() {
            self.figures = trial.figures;
        }
        Ok(())
    }

    /// Writes what only all trials together say, and puts the folder in the place of earlier results.
    pub fn finish(mut self) -> Result<Finished, ReportError> {
        let path = self.folder.path().to_owned();
        let mut summary = table::<SummaryRow>(&path, "summary.csv")?;
        append(&mut summary, "summary.csv", &self.summary.rows())?;
        let all = self.tables.iter_mut().zip(FILES).chain([(&mut summary, "summary.csv")]);
        for (table, file) in all {
            table.flush().map_err(at(&path.join(file)))?;
        }
        if let History::Fresh { file, repetition } = &mut self.history {
            let last = last_line(self.next, repetition.as_ref());
            file.write_all(&last).and_then(|()| file.flush()).map_err(at(&path.join(HISTORY)))?;
        }
        let log = path.join("latency.hlog");
        let histograms = hlog::written(&self.summary, self.ended_at).map_err(at(&log))?;
        write(&log, &histograms)?;
        let of_all = figures::of_all_trials(&self.plan, &self.summary);
        for (name, figure) in self.figures.iter().chain(&of_all) {
            write_figure(&path, name, figure, self.width)?;
        }
        let also: &[&str] = if matches!(self.history, History::Kept) { &[SCENARIO, HISTORY] } else { &[] };
        keep(&self.place, &path, also)?;
        replace(&self.home, self.folder, &self.place)?;
        Ok(Finished { folder: self.called, summary: self.summary })
    }
}

/// The folder `out/<scenario>`.
pub(super) fn home(out: &Path, scenario: &str) -> Result<PathBuf, ReportError> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    if scenario.is_empty() || scenario.starts_with('.') || !scenario.chars().all(plain) {
        return Err(ReportError::Name { name: scenario.to_owned() });
    }
    Ok(out.join(scenario))
}

/// Makes the folder `home`, of which, as of those `above` it, nothing is left when nothing comes of this.
pub(super) fn made(home: &Path, above: &[&Path]) -> Result<Made, ReportError> {
    let all = above.iter().copied().chain([home]);
    let made = Made(all.filter(|path| !path.exists()).map(PathBuf::from).collect());
    fs::create_dir_all(home).map_err(at(home))?;
    Ok(made)
}

/// Keeps what is in an earlier folder of results and not ours.
pub(super) fn keep(earlier: &Path, fresh: &Path, also: &[&str]) -> Result<(), ReportError> {
    kept::keep(earlier, fresh, also).map_err(|(path, source)| ReportError::Write { path, source })
}

/// Puts `folder` at `place`; what was there before is gone only once it is.
pub(super) fn replace(home: &Path, folder: Scratch, place: &Path) -> Result<(), ReportError> {
    let attic = temporary(home)?;
    let earlier = attic.path().join("earlier");
    let had_earlier = match fs::rename(place, &earlier) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(ReportError::Write { path: place.to_owned(), source }),
    };
    if let Err(source) = fs::rename(folder.path(), place) {
        if had_earlier {
            fs::rename(&earlier, place).map_err(at(place))?;
        }
        return Err(ReportError::Write { path: place.to_owned(), source });
    }
    folder.keep();
    attic.close().map_err(at(home))
}

/// The path from the root, whether or not there is anything yet.
fn whole(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(path),
        found => found,
    }
}

pub(super) fn temporary(home: &Path) -> Result<Scratch, ReportError> {
    Scratch::create(home).map_err(at(home))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReportError {
    let path = path.to_owned();
    move |source| ReportError::Write { path, source }
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    fs::write(path, bytes).map_err(at(path))
}

/// Draws a figure into `name.svg` and `name.png`.
pub(super) fn write_figure(
    folder: &Path,
    name: &str,
    figure: &Figure,
    width: Width,
) -> Result<(), ReportError> {
    let path = folder.join(format!("{name}.svg"));
    let failed = |source| ReportError::Chart { path: path.clone(), source };
    let svg = paint::svg(figure, width).map_err(failed)?;
    let png = paint::png(&svg).map_err(failed)?;
    write(&path, svg.as_bytes())?;
    write(&folder.join(format!("{name}.png")), &png)
}

/// A file that begins with the names of the columns of `R`, whether or not rows follow.
fn table<R: Default + Serialize>(folder: &Path, file: &'static str) -> Result<Table, ReportError> {
    let failed = |source| ReportError::Table { file, source };
    let mut example = csv::Writer::from_writer(Vec::new());
    example.serialize(R::default()).map_err(failed)?;
    let bytes = example.into_inner().map_err(|error| failed(error.into_error().into()))?;
    let mut names = csv::Reader::from_reader(bytes.as_slice());
    let path = folder.join(file);
    let mut table = csv::WriterBuilder::new().has_headers(false).from_path(path).map_err(failed)?;
    table.write_record(names.headers().map_err(failed)?).map_err(failed)?;
    Ok(table)
}

fn append(table: &mut Table, file: &'static str, rows: &[impl Serialize]) -> Result<(), ReportError> {
    rows.iter().try_for_each(|row| table.serialize(row)).map_err(|source| ReportError::Table { file, source })
}
