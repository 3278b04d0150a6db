//! A flight recorder: everything that a node's machine was given, from its start on, so that its life can be lived again elsewhere.
//!
//! A machine is a function of its start and its inputs. A recording is that start ([`Start`], settings, the seed of its randomness)
//! and every input with the time that `step` was given; of the effects it holds a digest of 128 bits per step, each of which covers
//! all steps before it. [`Replay`] steps a fresh node through it and finds the first step that comes out differently. Parts of
//! snapshots are inputs like any others, and are kept whole.
//!
//! A node cannot be taken up in the middle of its life: what it knows is nowhere but in its memory. So a recording that has reached
//! its limit ends, and says so, and does not drop its beginning. Each start of a node begins a new one, and the last few are kept.
//!
//! The file is a sequence of frames as those of a disk, and can be cut anywhere by a crash: whole frames before that are good.

mod replay;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use replay::{Given, Next, Replay, Stepped};
pub(super) use write::Recorder;

use crate::base::{Time, fold};
use crate::node::{Effect, Identity, Input, Start};

/// The version of the file. Others are refused.
const VERSION: u32 = 3;
/// What the checksums of the frames begin with: a recording is not taken for a disk.
const SEED: u64 = 0x1d0e_5ec0;

/// Where a node's inputs are recorded.
#[derive(Clone, Debug)]
pub struct RecordTo {
    /// The file. One that is there already becomes `FILE.1`, that one `FILE.2`, and the one before goes.
    pub file: PathBuf,
    /// The most bytes that it may have; then the recording ends, and the node goes on.
    pub bytes_max: u64,
    /// The settings of the node, from which its `config` can be read again.
    pub settings: String,
}

/// How a recorded node began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Beginning {
    /// The version of idunno that recorded it. Another one may do other things.
    pub program: String,
    /// Who it is.
    pub identity: Identity,
    /// Its settings, as TOML.
    pub settings: String,
    /// How it started, with all that its disk held.
    pub start: Start,
    /// What its randomness was drawn from.
    pub seed: u64,
}

/// What frames hold, one after the other; the first frame of a file holds the version and a [`Beginning`].
#[derive(Debug, Serialize, Deserialize)]
enum Noted {
    Step(Step),
    /// A step that never ended: the machine panicked in it.
    Fatal {
        now: Time,
        input: Input,
    },
    /// Nothing follows, for this reason.
    End(String),
}

/// One step of the machine.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    now: Time,
    input: Input,
    /// How many effects it had.
    effects: u32,
    /// Of this step and all before it.
    digest: u128,
}

/// How a recording ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordingEnd {
    /// The node, or the recorder, said why.
    Said(String),
    /// In the middle of a write, as a process that is killed leaves it.
    Torn,
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The machine refuses.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is something else, or was damaged later.
    #[error("{path} is no recording of idunno, or a damaged one: {what}; \"idunno run --record FILE\" writes one", path = path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> RecordingError {
    move |error| RecordingError::Io { path: path.to_owned(), error }
}

/// The digest of a step and all before it, of which `before` is the last.
fn chain(before: u128, effects: &[Effect], deadline: Time) -> u128 {
    let mut bytes = before.to_le_bytes().to_vec();
    bytes.extend_from_slice(&deadline.0.to_le_bytes());
    let bytes = postcard::to_extend(effects, bytes).expect("effects can be encoded");
    fold::digest(SEED, &bytes)
}
