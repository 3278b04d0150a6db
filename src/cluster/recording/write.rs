//! The recorder's side of the machine, which never waits, and its thread, which encodes and writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use super::replay::Replay;
use super::{Beginning, Noted, RecordTo, RecordingError, SEED, Step, VERSION, chain, io_error};
use crate::base::Time;
use crate::cluster::disk::frames;
use crate::node::{Effect, Input};

/// Steps that may wait for the thread, and about how many bytes of them; then recording ends.
const WAITING_MAX: (usize, usize) = (65_536, 64 << 20);
/// Bytes that are written at once, as a frame.
const FRAME_BYTES: usize = 64 << 10;
/// Earlier recordings that are kept.
const EARLIER_MAX: u32 = 2;

/// Takes down what a machine is given. It costs the machine copies of small values; the rest is another thread's.
#[derive(Debug)]
pub(in super::super) struct Recorder {
    sender: Option<SyncSender<Told>>,
    thread: Option<JoinHandle<()>>,
    /// About how many bytes wait.
    waiting: Arc<AtomicUsize>,
    /// The step under way.
    begun: Option<(Time, Input)>,
}

enum Told {
    Step { now: Time, input: Input, effects: Vec<Effect>, deadline: Time, weight: usize },
    Fatal { now: Time, input: Input },
    End(String),
}

impl Recorder {
    /// Begins a recording; an earlier one in its place is kept under another name.
    pub(in super::super) fn start(to: &RecordTo, beginning: &Beginning) -> Result<Recorder, RecordingError> {
        let bad = io_error(&to.file);
        // What is there is put aside, and in the end deleted, if it is a recording.
        if to.file.exists() {
            Replay::begins(&to.file)?;
        }
        keep_earlier(&to.file).map_err(&bad)?;
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // What clients ask and are told is not for everyone.
            options.mode(0o600);
        }
        let mut file = options.open(&to.file).map_err(&bad)?;
        let head = postcard::to_stdvec(&(VERSION, beginning)).expect("a beginning can be encoded");
        let mut frame = Vec::new();
        frames::add(&mut frame, SEED, &head);
        file.write_all(&frame).map_err(&bad)?;
        let (sender, told) = mpsc::sync_channel(WAITING_MAX.0);
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&waiting);
        let mut writer = Writer {
            left: to.bytes_max.saturating_sub(frame.len() as u64),
            path: to.file.clone(),
            file,
            bytes: Vec::new(),
            digest: 0,
        };
        let run = move || writer.run(&told, &taken);
        let thread = thread::Builder::new().name("recorder".to_owned()).spawn(run).map_err(&bad)?;
        Ok(Recorder { sender: Some(sender), thread: Some(thread), waiting, begun: None })
    }

    /// The machine is about to take this step.
    pub(in super::super) fn begins(&mut self, now: Time, input: &Input) {
        if self.sender.is_some() {
            self.begun = Some((now, input.clone()));
        }
    }

    /// The machine has taken it.
    pub(in super::super) fn ended(&mut self, effects: &[Effect], deadline: Time) {
        let Some((now, input)) = self.begun.take() else { return };
        let weight = input.weight() + effects.iter().map(Effect::weight).sum::<usize>();
        let waits = self.waiting.fetch_add(weight, Ordering::Relaxed) + weight;
        if waits > WAITING_MAX.1 {
            return self.give_up();
        }
        let Some(sender) = &self.sender else { return };
        match sender.try_send(Told::Step { now, input, effects: effects.to_vec(), deadline, weight }) {
            Err(TrySendError::Full(_)) => self.give_up(),
            // It has said why.
            Err(TrySendError::Disconnected(_)) => self.sender = None,
            Ok(()) => {}
        }
    }

    /// The thread does not keep up. It finds that nothing follows.
    fn give_up(&mut self) {
        tracing::warn!("the recording ends here, because writing it does not keep up with the node");
        self.sender = None;
    }

    /// The node has ended, for this reason.
    pub(in super::super) fn end(&mut self, why: &str) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(Told::End(why.to_owned()));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let (Some((now, input)), Some(sender)) = (self.begun.take(), &self.sender) {
            let _ = sender.send(Told::Fatal { now, input });
        }
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // What a panic there had to say was said when it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Writer {
    path: PathBuf,
    file: File,
    /// How many more bytes the file may take.
    left: u64,
    /// What has been encoded and not written.
    bytes: Vec<u8>,
    digest: u128,
}

impl Writer {
    fn run(&mut self, told: &Receiver<Told>, waiting: &AtomicUsize) {
        if let Err(error) = self.write_all(told, waiting) {
            tracing::warn!(path = %self.path.display(), %error, "the recording ends here");
        }
    }

    fn write_all(&mut self, inbox: &Receiver<Told>, waiting: &AtomicUsize) -> io::Result<()> {
        loop {
            let told = if let Ok(told) = inbox.try_recv() {
                told
            } else {
                // Nothing waits: whoever looks at the file finds everything so far.
                self.flush()?;
                let Ok(told) = inbox.recv() else {
                    return self.end("writing it did not keep up with the node");
                };
                told
            };
            let noted = match told {
                Told::Step { now, input, effects, deadline, weight } => {
                    self.digest = chain(self.digest, &effects, deadline);
                    waiting.fetch_sub(weight, Ordering::Relaxed);
                    Noted::Step(Step { now, input, effects: effects.len() as u32, digest: self.digest })
                }
                Told::Fatal { now, input } => {
                    self.add(&Noted::Fatal { now, input });
                    return self.end("the machine panicked");
                }
                Told::End(why) => return self.end(&why),
            };
            self.add(&noted);
            if self.bytes.len() as u64 >= self.left {
                tracing::warn!(path = %self.path.display(), "the recording is as long as it may be, and ends here");
                return self.end("it was as long as it may be");
            }
            if self.bytes.len() >= FRAME_BYTES {
                self.flush()?;
            }
        }
    }

    fn add(&mut self, noted: &Noted) {
        self.bytes = postcard::to_extend(noted, mem::take(&mut self.bytes)).expect("notes can be encoded");
    }

    fn end(&mut self, why: &str) -> io::Result<()> {
        self.add(&Noted::End(why.to_owned()));
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let mut frame = Vec::with_capacity(self.bytes.len() + 16);
        frames::add(&mut frame, SEED, &self.bytes);
        self.file.write_all(&frame)?;
        self.left = self.left.saturating_sub(frame.len() as u64);
        self.bytes.clear();
        Ok(())
    }
}

/// Makes room for a new recording.
fn keep_earlier(path: &Path) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    for number in (0..EARLIER_MAX).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
