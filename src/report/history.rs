//! history.jsonl: everything that happened, one JSON object per line.
//!
//! The first line says what wrote the file: `{"idunno":"0.1.0","format":1,"scenario":…,"driver":"sim"}`. Each trial begins
//! with a line of its own, `{"trial":0,"seed":…,"trace":"…","ended_at":…,"records":…}`, and its records follow in their
//! order. Times are whole nanoseconds since the beginning of the trial.
//!
//! Nothing is left out, but nothing large is said twice: every voter applies every entry, so an application that agrees with
//! the first one of that entry in each bit is written as `{"at":…,"machine":…,"again":[epoch,index]}`. What a node observed
//! stands under `node`, everything else under `what`.
//! [`read_history`] puts the same records back together.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::history::{Change, Entry, Machine, Observation, Position, Record, Sink, What};

/// The format that this version writes and reads.
const FORMAT: u32 = 1;

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct FileLine {
    /// The version that wrote it.
    idunno: String,
    format: u32,
    scenario: String,
    driver: String,
}

/// The first line of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialLine {
    /// Its number, from 0.
    pub trial: u32,
    /// Its seed.
    pub seed: u64,
    /// The trace hash, 32 hexadecimal digits.
    pub trace: String,
    /// When it ended.
    pub ended_at: Time,
    /// How many records follow.
    pub records: u64,
}

#[derive(Serialize)]
struct RecordLine<'a> {
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<Machine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a Observation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a What>,
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<Again>,
}

#[derive(Deserialize)]
struct RecordRead {
    at: Time,
    machine: Option<Machine>,
    node: Option<Observation>,
    what: Option<What>,
    again: Option<Again>,
}

/// Names an entry that was applied before: its epoch and its place.
type Again = (u64, u64);

fn again(position: Position) -> Again {
    (position.epoch.0, position.index.0)
}

/// The first application of each entry.
type Applications = BTreeMap<Again, (Entry, Arc<[Change]>, u128)>;

/// The first line of a file about `scenario`, run by `driver`.
pub(super) fn first_line(scenario: &str, driver: &str) -> Vec<u8> {
    let idunno = env!("CARGO_PKG_VERSION").to_owned();
    let line = FileLine { idunno, format: FORMAT, scenario: scenario.to_owned(), driver: driver.to_owned() };
    let mut bytes = Vec::new();
    write_line(&mut bytes, &line);
    bytes
}

/// The lines of one trial.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    records: u64,
    applications: Applications,
}

impl Lines {
    /// Puts the trial's own line before those of its records.
    pub(super) fn finish(self, trial: u32, seed: u64, trace: u128, ended_at: Time) -> Vec<u8> {
        let line = TrialLine { trial, seed, trace: format!("{trace:032x}"), ended_at, records: self.records };
        let mut bytes = Vec::with_capacity(self.bytes.len() + 200);
        write_line(&mut bytes, &line);
        bytes.extend_from_slice(&self.bytes);
        bytes
    }

    fn is_repetition(&mut self, entry: &Entry, changes: &Arc<[Change]>, state: u128) -> bool {
        let known = self.applications.entry(again(entry.position));
        match known {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert((entry.clone(), Arc::clone(changes), state));
                false
            }
            std::collections::btree_map::Entry::Occupied(first) => {
                let (first_entry, first_changes, first_state) = first.get();
                *first_state == state && first_entry == entry && first_changes == changes
            }
        }
    }
}

impl Sink for Lines {
    fn record(&mut self, record: &Record) {
        self.records += 1;
        let (at, machine) = (record.at, record.machine);
        let mut line = RecordLine { at, machine, node: None, what: None, again: None };
        match &record.what {
            What::Node(Observation::Applied { entry, changes, state })
                if self.is_repetition(entry, changes, *state) =>
            {
                line.again = Some(again(entry.position));
            }
            What::Node(observation) => line.node = Some(observation),
            what => line.what = Some(what),
        }
        write_line(&mut self.bytes, &line);
    }
}

fn write_line(bytes: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *bytes, line).expect("memory takes everything, and all keys are strings");
    bytes.push(b'\n');
}

/// Why a history could not be read. Nothing is changed by reading.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be read.
    #[error("the history cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line} of the history is damaged: {reason}")]
    Damaged {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written in another format.
    #[error("the history has format {found}, and this version reads format {FORMAT}")]
    Format {
        /// Its format.
        found: u32,
    },
}

/// Reads a history. `begin` makes the sink of each trial from its first line, `end` gets it back after its last record.
pub fn read_history<S: Sink>(
    source: impl BufRead,
    mut begin: impl FnMut(&TrialLine) -> S,
    mut end: impl FnMut(TrialLine, S),
) -> Result<(), HistoryError> {
    let mut lines = source.lines().zip(1_u64..);
    let (first, _) =
        lines.next().ok_or(HistoryError::Damaged { line: 1, reason: "the file is empty".into() })?;
    let file: FileLine = parse(1, &first?)?;
    if file.format != FORMAT {
        return Err(HistoryError::Format { found: file.format });
    }
    while let Some((line, number)) = lines.next() {
        let trial: TrialLine = parse(number, &line?)?;
        let mut sink = begin(&trial);
        let mut applications = Applications::new();
        for place in 0..trial.records {
            let missing = || HistoryError::Damaged {
                line: number + place + 1,
                reason: format!("{} records of trial {} are missing", trial.records - place, trial.trial),
            };
            let (line, number) = lines.next().ok_or_else(missing)?;
            sink.record(&restore(number, parse(number, &line?)?, &mut applications)?);
        }
        end(trial, sink);
    }
    Ok(())
}

fn restore(line: u64, read: RecordRead, applications: &mut Applications) -> Result<Record, HistoryError> {
    let damaged = |reason: &str| HistoryError::Damaged { line, reason: reason.to_owned() };
    let what = match (read.node, read.what, read.again) {
        (Some(observation), None, None) => What::Node(observation),
        (None, Some(what), None) => what,
        (None, None, Some(again)) => {
            let first =
                applications.get(&again).ok_or_else(|| damaged("no such entry was applied before"))?;
            let (entry, changes, state) = first.clone();
            What::Node(Observation::Applied { entry, changes, state })
        }
        _ => return Err(damaged("a record has one of \"node\", \"what\" and \"again\"")),
    };
    if let What::Node(Observation::Applied { entry, changes, state }) = &what {
        let first = (entry.clone(), Arc::clone(changes), *state);
        applications.entry(again(entry.position)).or_insert(first);
    }
    Ok(Record { at: read.at, machine: read.machine, what })
}

fn parse<'a, T: Deserialize<'a>>(line: u64, text: &'a str) -> Result<T, HistoryError> {
    serde_json::from_str(text).map_err(|error| HistoryError::Damaged { line, reason: error.to_string() })
}
