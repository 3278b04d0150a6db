//! history.jsonl: everything that happened, one JSON object per line.
//!
//! The first line says what wrote the file and what was run:
//! `{"idunno":"0.1.0","format":2,"scenario":…,"driver":"sim","resolved":…}`, where `resolved` is the text of scenario.toml. Each
//! trial begins with a line of its own, a [`TrialLine`], and its records follow in their order. The last line,
//! `{"trials":…,"repetition":…}`, says that nothing is missing. Times are whole nanoseconds since the beginning of the trial.
//!
//! Nothing is left out, but nothing large is said twice: every voter applies every entry, so an application that agrees with
//! the first one of that entry in each bit is written as `{"at":…,"machine":…,"again":[epoch,index]}`. What a node observed
//! stands under `node`, everything else under `what`. `stored` puts the same records back together.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::check::Gaps;
use crate::history::{Change, Entry, Machine, Observation, Position, Record, Sink, What};

/// The format that this version writes and reads.
pub(super) const FORMAT: u32 = 2;

/// The first line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// The version that wrote it.
    pub idunno: String,
    /// Its format.
    pub format: u32,
    /// The name of the scenario.
    pub scenario: String,
    /// What ran it: `sim`.
    pub driver: String,
    /// The scenario with all its defaults: the text of scenario.toml.
    pub resolved: String,
}

/// Messages that nodes sent to each other in a trial, by the part of the protocol that they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// Heartbeats, alerts, views.
    pub membership: u64,
    /// The quorum log.
    pub log: u64,
    /// Dispatch and results.
    pub work: u64,
    /// Clients' requests and their answers.
    pub client: u64,
}

impl Messages {
    /// All of them.
    pub fn total(self) -> u64 {
        let Messages { membership, log, work, client } = self;
        [membership, log, work, client].into_iter().fold(0, u64::saturating_add)
    }
}

/// The first line of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialLine {
    /// Its number, from 0.
    pub trial: u32,
    /// Its seed.
    pub seed: u64,
    /// The trace hash, written as 32 hexadecimal digits.
    #[serde(with = "hexadecimal")]
    pub trace: u128,
    /// When it ended.
    pub ended_at: Time,
    /// Messages between nodes, if the driver counted them.
    pub messages: Option<Messages>,
    /// Queries of accepted jobs that were lost, as the checker says.
    pub queries_lost: u64,
    /// Queries that were counted more than once, as the checker says.
    pub queries_doubled: u64,
    /// What was left to do when the trial was given up; empty when it was not given up.
    pub unfinished: Vec<String>,
    /// How many records follow.
    pub records: u64,
    /// What the history lacks; not written where it lacks nothing.
    #[serde(default, skip_serializing_if = "Gaps::none")]
    pub gaps: Gaps,
}

/// The last line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastLine {
    /// How many trials there are.
    pub(super) trials: u32,
    /// What came out when trial 0 was run a second time, if it was.
    pub(super) repetition: Option<Repetition>,
}

/// The second run of trial 0, which must come out like the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// The trace hash, written as 32 hexadecimal digits.
    #[serde(with = "hexadecimal")]
    pub trace: u128,
    /// When it ended.
    pub ended_at: Time,
}

/// A trace hash as the history writes it: JSON has no numbers that large.
mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(trace: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{trace:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let trace = u128::from_str_radix(&text, 16).ok().filter(|_| digits);
        trace.ok_or_else(|| D::Error::custom("a trace has 32 hexadecimal digits"))
    }
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

/// Names an entry that was applied before: its epoch and its place.
pub(super) type Again = (u64, u64);

pub(super) fn again(position: Position) -> Again {
    (position.epoch.0, position.index.0)
}

/// The first application of each entry.
pub(super) type Applications = BTreeMap<Again, (Entry, Arc<[Change]>, u128)>;

/// The first line of a file about `scenario`, which is `resolved`, run by `driver`.
pub(super) fn first_line(scenario: &str, driver: &str, resolved: &str) -> Vec<u8> {
    one_line(&FileLine {
        idunno: env!("CARGO_PKG_VERSION").to_owned(),
        format: FORMAT,
        scenario: scenario.to_owned(),
        driver: driver.to_owned(),
        resolved: resolved.to_owned(),
    })
}

/// The last line of a file.
pub(super) fn last_line(trials: u32, repetition: Option<&Repetition>) -> Vec<u8> {
    one_line(&LastLine { trials, repetition: repetition.copied() })
}

fn one_line(line: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_line(&mut bytes, line);
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
    /// How many records there are so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Puts the trial's own line before those of its records.
    pub(super) fn finish(self, line: &TrialLine) -> Vec<u8> {
        assert_eq!(line.records, self.records, "the line says how many records follow");
        let mut bytes = one_line(line);
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
