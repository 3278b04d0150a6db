//! Stored results: a folder that a run wrote, opened to be read again from its scenario and its history.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::history::{Applications, FORMAT, FileLine, LastLine, Repetition, TrialLine, again};
use crate::base::Time;
use crate::history::{Machine, Observation, Record, Sink, What};
use crate::scenario::{Plan, ScenarioError};

#[cfg(test)]
pub(super) mod tests;

/// The longest line that is read, in bytes: many times what the largest entry takes.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// The name of the scenario's file.
pub(super) const SCENARIO: &str = "scenario.toml";
/// The name of the history's file.
pub(super) const HISTORY: &str = "history.jsonl";
/// The folder of what happened on real machines.
const REAL: &str = "real";

/// Why stored results could not be read. Nothing is changed by reading.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The folder is none, or a file is not in it.
    #[error("{} has no {file}; {}", folder.display(), instead(folder))]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The history was written in another format.
    #[error(
        "{} has format {found}, written by idunno {idunno}, and idunno {} reads format {FORMAT}: run the scenario again with \
         `idunno sim {}`, or use the idunno that wrote it",
        path.display(), env!("CARGO_PKG_VERSION"), path.with_file_name(SCENARIO).display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The version that wrote it.
        idunno: String,
    },
    /// A line of the history is not what it should be, or is missing.
    #[error(
        "{}, line {line}: {reason}\n  {}.", path.display(), anew(path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The scenario is not the one that was run.
    #[error(
        "{}, line {line}: {reason}\n  Put it back as it was, or run the changed scenario with `idunno sim {}`.",
        path.display(), path.display()
    )]
    Edited {
        /// The file.
        path: PathBuf,
        /// The first line that differs, from 1.
        line: usize,
        /// What it says and what it should say.
        reason: String,
    },
    /// This version cannot make sense of the scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
}

/// Where results are, if not in `folder`.
fn instead(folder: &Path) -> String {
    let below = ["sim", REAL].map(|mode| folder.join(mode));
    let found: Vec<String> = below
        .iter()
        .filter(|below| below.join(HISTORY).is_file())
        .map(|below| below.display().to_string())
        .collect();
    match &found[..] {
        [] => {}
        [one] => return format!("{one} is one with results"),
        several => return format!("{} have some", several.join(" and ")),
    }
    "give a folder that `idunno sim` wrote, such as results/coord_fail/sim".to_owned()
}

/// How a history comes to be sound again.
fn anew(history: &Path) -> String {
    let folder = history.parent().unwrap_or(Path::new(""));
    if folder.file_name().is_some_and(|name| name == REAL) {
        return "It was recorded on real machines: another drill, or `idunno collect`, records another one"
            .to_owned();
    }
    format!(
        "The same scenario gives the same history: `idunno sim {}` writes it anew",
        folder.join(SCENARIO).display()
    )
}

#[derive(Deserialize)]
struct RecordRead {
    at: Time,
    machine: Option<Machine>,
    node: Option<Observation>,
    what: Option<What>,
    again: Option<(u64, u64)>,
}

/// What every format's first line has.
#[derive(Deserialize)]
struct FormatLine {
    idunno: String,
    format: u32,
}

/// A history being read, trial by trial. It holds one line and the entries of one trial at a time.
#[derive(Debug)]
pub struct Stored<R = BufReader<File>> {
    lines: Lines<R>,
    head: FileLine,
    seed: u64,
    trials: u32,
    machines: u64,
    next: u32,
    repetition: Option<Repetition>,
}

impl Stored {
    /// Opens the results in `folder`: the scenario that was run, and the history to be read. A scenario file that is not, to
    /// the letter, the one that was run is refused.
    pub fn open(folder: &Path) -> Result<(Plan, Stored), StoredError> {
        let open = |file: &'static str| {
            let path = folder.join(file);
            if !path.is_file() {
                return Err(StoredError::Missing { folder: folder.to_owned(), file });
            }
            Ok(path)
        };
        let (scenario, history) = (open(SCENARIO)?, open(HISTORY)?);
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| StoredError::Read { path, source }
        };
        let file = File::open(&history).map_err(unreadable(&history))?;
        let text = fs::read(&scenario).map_err(unreadable(&scenario))?;
        let (plan, stored) = Stored::read_from(BufReader::with_capacity(1 << 16, file), &history, &scenario)?;
        same(&scenario, &stored.head.resolved, &String::from_utf8_lossy(&text))?;
        Ok((plan, stored))
    }
}

impl<R: BufRead> Stored<R> {
    /// Begins to read a history; the paths are those by which messages call it and its scenario.
    pub(super) fn read_from(
        source: R,
        history: &Path,
        scenario: &Path,
    ) -> Result<(Plan, Stored<R>), StoredError> {
        let mut lines = Lines { source, path: history.to_owned(), number: 0, line: Vec::new() };
        let first = "the file is empty; its first line should say what wrote it";
        lines.next(|| first.to_owned())?;
        let FormatLine { idunno, format } = lines.parse("a line that says what wrote the file")?;
        if format != FORMAT {
            return Err(StoredError::Format { path: history.to_owned(), found: format, idunno });
        }
        let head: FileLine = lines.parse("a line that says what wrote the file")?;
        let plan = Plan::read(&head.resolved, &scenario.to_string_lossy())?;
        let (seed, trials, machines) = (plan.seed, plan.trials, plan.nodes.len() as u64);
        Ok((plan, Stored { lines, head, seed, trials, machines, next: 0, repetition: None }))
    }

    /// What the first line says.
    pub fn head(&self) -> &FileLine {
        &self.head
    }

    /// What came out when trial 0 was run a second time; known once all trials have been read.
    pub fn repetition(&self) -> Option<&Repetition> {
        self.repetition.as_ref()
    }

    /// The next trial's own line, after which its records have to be [read](Stored::read); `None` after the last one.
    pub fn next_trial(&mut self) -> Result<Option<TrialLine>, StoredError> {
        let (number, trials) = (self.next, self.trials);
        if number == trials {
            return self.end().map(|()| None);
        }
        self.lines.next(|| format!("the file ends where trial {number} of {trials} should begin"))?;
        let trial: TrialLine = self.lines.parse("the line with which a trial begins")?;
        let seed = self.seed.wrapping_add(u64::from(number));
        if (trial.trial, trial.seed) != (number, seed) {
            let found = format!("trial {} with seed {}", trial.trial, trial.seed);
            return Err(self
                .lines
                .damaged(format!("trial {number} with seed {seed} should begin, not {found}")));
        }
        self.next += 1;
        Ok(Some(trial))
    }

    /// Feeds the records of `trial`, which [`Stored::next_trial`] has just given, to `sink`.
    pub fn read(&mut self, trial: &TrialLine, sink: &mut dyn Sink) -> Result<(), StoredError> {
        let mut applications = Applications::new();
        let mut before = Time::ZERO;
        for place in 0..trial.records {
            let left = trial.records - place;
            self.lines.next(|| {
                format!("the file ends where {left} more records of trial {} should be", trial.trial)
            })?;
            let record = self.restore(&mut applications)?;
            let at = record.at;
            if at < before || at > trial.ended_at {
                let reason = format!(
                    "a record at {at}, which should be between the one before it, at {before}, and the trial's end, at {}",
                    trial.ended_at
                );
                return Err(self.lines.damaged(reason));
            }
            before = at;
            sink.record(&record);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoredError> {
        let trials = self.trials;
        self.lines
            .next(|| format!("the file ends where the line that says so after {trials} trials should be"))?;
        let last: LastLine = self.lines.parse("the line that ends the file")?;
        if last.trials != trials {
            let reason =
                format!("the last line counts {} trials, and the scenario has {trials}", last.trials);
            return Err(self.lines.damaged(reason));
        }
        self.repetition = last.repetition;
        if self.lines.is_more()? {
            self.lines.number += 1;
            return Err(self.lines.damaged("the file should have ended before this line".to_owned()));
        }
        Ok(())
    }

    fn restore(&self, applications: &mut Applications) -> Result<Record, StoredError> {
        let read: RecordRead = self.lines.parse("a record")?;
        if let Some(machine) = read.machine
            && u64::from(machine) >= self.machines
        {
            let last = self.machines - 1;
            return Err(self
                .lines
                .damaged(format!("machine {machine}, and they are numbered from 0 to {last}")));
        }
        let what = match (read.node, read.what, read.again) {
            (Some(observation), None, None) => What::Node(observation),
            (None, Some(what), None) => what,
            (None, None, Some(again)) => {
                let Some(first) = applications.get(&again) else {
                    let (epoch, index) = again;
                    let reason =
                        format!("entry {index} of epoch {epoch} is applied again, but was not before");
                    return Err(self.lines.damaged(reason));
                };
                let (entry, changes, state) = first.clone();
                return Ok(Record {
                    at: read.at,
                    machine: read.machine,
                    what: What::Node(Observation::Applied { entry, changes, state }),
                });
            }
            _ => {
                let reason = "a record should have one of \"node\", \"what\" and \"again\"";
                return Err(self.lines.damaged(reason.to_owned()));
            }
        };
        if let What::Node(Observation::Applied { entry, changes, state }) = &what {
            let first = || (entry.clone(), Arc::clone(changes), *state);
            applications.entry(again(entry.position)).or_insert_with(first);
        }
        Ok(Record { at: read.at, machine: read.machine, what })
    }
}

/// Lines of a file, one at a time.
#[derive(Debug)]
struct Lines<R> {
    source: R,
    path: PathBuf,
    /// Of the line, from 1.
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Goes to the next line, which has to be there.
    fn next(&mut self, missing: impl FnOnce() -> String) -> Result<(), StoredError> {
        self.number += 1;
        self.line.clear();
        let mut source = (&mut self.source).take(LINE_BYTES_MAX);
        let read = source.read_until(b'\n', &mut self.line);
        read.map_err(|source| StoredError::Read { path: self.path.clone(), source })?;
        if self.line.is_empty() {
            return Err(self.damaged(format!("{}: it was cut off", missing())));
        }
        if self.line.pop() != Some(b'\n') {
            let long = self.line.len() as u64 + 1 >= LINE_BYTES_MAX;
            let reason =
                if long { "the line is too long" } else { "the file ends within this line: it was cut off" };
            return Err(self.damaged(reason.to_owned()));
        }
        Ok(())
    }

    fn is_more(&mut self) -> Result<bool, StoredError> {
        let more = self.source.fill_buf().map(|bytes| !bytes.is_empty());
        more.map_err(|source| StoredError::Read { path: self.path.clone(), source })
    }

    /// The line as what it should be.
    fn parse<T: DeserializeOwned>(&self, wanted: &str) -> Result<T, StoredError> {
        serde_json::from_slice(&self.line).map_err(|error| {
            // The library counts lines within what it was given, which is always one.
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            self.damaged(format!("column {}: {said}; this should be {wanted}", error.column()))
        })
    }

    fn damaged(&self, reason: String) -> StoredError {
        StoredError::Damaged { path: self.path.clone(), line: self.number, reason }
    }
}

/// Refuses a scenario that is not the one that was run.
fn same(path: &Path, run: &str, now: &str) -> Result<(), StoredError> {
    if run == now {
        return Ok(());
    }
    let (mut was, mut is) = (run.lines(), now.lines());
    let mut line = 1;
    let reason = loop {
        match (was.next(), is.next()) {
            (Some(was), Some(is)) if was == is => line += 1,
            (Some(was), Some(is)) => break format!("this says `{is}`, and what was run says `{was}`"),
            (Some(was), None) => break format!("this is missing, and what was run says `{was}`"),
            (None, Some(is)) => break format!("this says `{is}`, and what was run ends before it"),
            (None, None) => break "the ends of the lines differ from what was run".to_owned(),
        }
    };
    Err(StoredError::Edited { path: path.to_owned(), line, reason })
}
