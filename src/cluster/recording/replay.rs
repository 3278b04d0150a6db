//! A recorded life, lived again.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Beginning, Noted, RecordingEnd, RecordingError, SEED, Step, VERSION, chain, io_error};
use crate::base::{Rng, Time};
use crate::cluster::disk::frames;
use crate::node::{Effect, Input, Node, Outbox, Timer};
use crate::scenario::Settings;

/// A recording, and the node that is stepped through it.
#[derive(Debug)]
pub struct Replay {
    /// How it began.
    pub beginning: Beginning,
    frames: Frames,
    /// The frame under way, and how much of it has been taken.
    frame: (Vec<u8>, usize),
    node: Node,
    outbox: Outbox,
    digest: u128,
    /// Steps given so far.
    steps: u64,
}

/// What the machine was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which step, from 1.
    pub number: u64,
    /// When, by the time of the node.
    pub now: Time,
    /// What.
    pub input: Input,
    /// How many effects it had, and their digest; `None` when the machine panicked.
    pub had: Option<(u32, u128)>,
}

/// What a recording holds next.
#[derive(Debug)]
pub enum Next {
    /// A step, to be taken before one asks again.
    Given(Box<Given>),
    /// Nothing.
    End(RecordingEnd),
}

/// What came of a step when it was taken again.
#[derive(Debug)]
pub struct Stepped {
    /// The timers that were due.
    pub due: Vec<Timer>,
    /// The effects.
    pub effects: Vec<Effect>,
    /// Whether this step and all before it had the same effects as when they were recorded.
    pub same: bool,
}

impl Replay {
    /// Opens what may be a recording: its frames, and the first of them, which says what it is.
    pub(super) fn begins(path: &Path) -> Result<(Frames, Vec<u8>), RecordingError> {
        let mut frames = Frames::open(path)?;
        let head = frames.next()?.ok_or_else(|| frames.bad("it has no beginning"))?;
        Ok((frames, head))
    }

    /// Opens a recording and makes the node that it is of.
    pub fn open(path: &Path) -> Result<Replay, RecordingError> {
        let (frames, head) = Replay::begins(path)?;
        let nonsense = |error: postcard::Error| frames.bad(&format!("its beginning makes no sense: {error}"));
        let (version, rest): (u32, _) = postcard::take_from_bytes(&head).map_err(nonsense)?;
        if version != VERSION {
            return Err(frames.bad(&format!("it has version {version}, and this program reads {VERSION}")));
        }
        let beginning: Beginning = postcard::from_bytes(rest).map_err(nonsense)?;
        let settings = Settings::read(&beginning.settings, "the settings in it");
        let settings = settings.map_err(|error| frames.bad(&error.to_string()))?;
        let Beginning { identity, start, seed, .. } = beginning.clone();
        Ok(Replay {
            node: Node::new(identity, settings.config, start, Rng::new(seed)),
            beginning,
            frames,
            frame: (Vec::new(), 0),
            outbox: Outbox::new(),
            digest: 0,
            steps: 0,
        })
    }

    /// What the machine is given next, or how the recording ends.
    pub fn ask(&mut self) -> Result<Next, RecordingError> {
        while self.frame.1 == self.frame.0.len() {
            match self.frames.next()? {
                Some(frame) => self.frame = (frame, 0),
                None => return Ok(Next::End(RecordingEnd::Torn)),
            }
        }
        let (frame, at) = &mut self.frame;
        let taken = postcard::take_from_bytes(&frame[*at..]);
        let (noted, rest) = taken.map_err(|error| {
            self.frames.bad(&format!("what follows step {} makes no sense: {error}", self.steps))
        })?;
        *at = frame.len() - rest.len();
        self.steps += 1;
        let number = self.steps;
        let (now, input, had) = match noted {
            Noted::Step(Step { now, input, effects, digest }) => (now, input, Some((effects, digest))),
            Noted::Fatal { now, input } => (now, input, None),
            Noted::End(why) => return Ok(Next::End(RecordingEnd::Said(why))),
        };
        Ok(Next::Given(Box::new(Given { number, now, input, had })))
    }

    /// Gives it to the machine. It panics where the machine does.
    pub fn take(&mut self, given: &Given) -> Stepped {
        let due = self.node.due(given.now);
        self.node.step(given.now, given.input.clone(), &mut self.outbox);
        let effects: Vec<Effect> = self.outbox.drain().collect();
        self.digest = chain(self.digest, &effects, self.node.deadline());
        let same = given.had.is_some_and(|(_, digest)| digest == self.digest);
        Stepped { due, effects, same }
    }

    /// The digest of the effects of all steps taken so far.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The node as it stands.
    pub fn node(&self) -> &Node {
        &self.node
    }
}

/// The frames of a file, one after the other.
#[derive(Debug)]
pub(super) struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    /// How much of the file has been read.
    at: u64,
}

impl Frames {
    fn open(path: &Path) -> Result<Frames, RecordingError> {
        let file = File::open(path).map_err(io_error(path))?;
        // A device would be read for ever.
        if !file.metadata().map_err(io_error(path))?.is_file() {
            let what = "it is no file".to_owned();
            return Err(RecordingError::Bad { path: path.to_owned(), what });
        }
        Ok(Frames { path: path.to_owned(), file: BufReader::with_capacity(1 << 20, file), at: 0 })
    }

    fn bad(&self, what: &str) -> RecordingError {
        RecordingError::Bad { path: self.path.clone(), what: what.to_owned() }
    }

    /// The next frame; `None` where the file ends, in the middle of one or not.
    fn next(&mut self) -> Result<Option<Vec<u8>>, RecordingError> {
        let bad = io_error(&self.path);
        let mut head = Vec::new();
        self.file.by_ref().take(frames::HEAD as u64).read_to_end(&mut head).map_err(&bad)?;
        let mut frame = head;
        if let Some(length) = frames::length(&frame) {
            self.file.by_ref().take(length as u64).read_to_end(&mut frame).map_err(&bad)?;
        }
        match frames::read(&frame, SEED) {
            Ok((found, end)) if end == frame.len() && found.len() == 1 => {
                self.at += end as u64;
                frame.drain(..frames::HEAD);
                Ok(Some(frame))
            }
            // A bad frame is a torn end when no good one follows it.
            _ => {
                self.file.read_to_end(&mut frame).map_err(&bad)?;
                match frames::read(&frame, SEED) {
                    Ok((found, _)) if found.is_empty() && (self.at > 0 || frame.is_empty()) => Ok(None),
                    Ok(_) => Err(self.bad("it does not begin like one")),
                    Err(frames::Damaged { at, .. }) => {
                        let at = self.at + at as u64;
                        Err(self.bad(&format!("what stands at byte {at} is bad, and more follows")))
                    }
                }
            }
        }
    }
}
