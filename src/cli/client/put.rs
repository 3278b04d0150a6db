//! `idunno put`: a file or a folder goes into the store.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::files::{bar, kind, sound, told};
use super::folder::Stoppable;
use super::sheet::{Cell, Sheet};
use super::{Misuse, Reach, Show, ended, folder, misuse};
use crate::cli::text::some;
use crate::cli::{Exit, Format, screen};
use crate::cluster::{ClientError, Local, StoreError};
use crate::node::{self, Expect, FileKind};

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  idunno put model.bin models/letters
      A new version of the file models/letters. It is stored when this ends: four disks hold it, or all if there are fewer.
  idunno put pictures letters/train --keep 2
      A folder, of which the two newest versions are kept.
  idunno put notes.txt notes --if-version 4
      Only if version 4 is still the newest: nobody else's change is overwritten.
  idunno put - log/today
      What comes from the standard input.

When it is interrupted, the same command goes on with what the nodes do not have yet. Folders and what comes from the standard input
are first written to a temporary file (below TMPDIR, or /tmp), which needs as much room as they have bytes.

Exit codes: 0 it is stored; 1 failed, or --if-absent or --if-version did not hold; 2 usage or a bad file, nothing changed;
5 no quorum; 130 interrupted.";

/// Bytes that are read from the standard input at once, and how many such pieces may wait.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 16;
/// Between two looks at whether to stop while nothing is typed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What `idunno put` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Put {
    /// The file or folder on this machine; - is the standard input.
    #[arg(value_name = "LOCAL")]
    local: PathBuf,
    /// What it shall be called in the store, such as letters/train.
    #[arg(value_name = "NAME")]
    name: String,
    /// How many versions of the file are kept, this one among them.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    keep: u16,
    /// Put it only if there is no such file.
    #[arg(long, conflicts_with = "if_version")]
    if_absent: bool,
    /// Put it only if this is the newest version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// Does what `idunno put` is told.
pub(in crate::cli) fn put(put: &Put, stop: &AtomicBool) -> Exit {
    ended(stored(put, stop))
}

fn stored(put: &Put, stop: &AtomicBool) -> Result<Exit> {
    let name = sound(&put.name)?;
    let stop = || stop.load(Ordering::Relaxed);
    let or_stopped = |error: anyhow::Error| if stop() { StoreError::Stopped.into() } else { error };
    let (file, is) = open(&put.local, stop).map_err(|error| or_stopped(misuse(&error)))?;
    let length = file.metadata()?.len();
    let reading = bar(&put.show, "reading", length);
    let read = |read| {
        reading.set_position(read);
        !stop()
    };
    let local = Local::of(file, is, &read);
    reading.finish_and_clear();
    if stop() {
        return Err(StoreError::Stopped.into());
    }
    let local = local.map_err(|error| Misuse(format!("{} {error}", put.local.display())))?;
    let content = Arc::clone(local.content());
    let bytes = content.bytes();
    let expect = match (put.if_absent, put.if_version) {
        (true, _) => Expect::Absent,
        (_, Some(version)) => Expect::Version(version),
        _ => Expect::Anything,
    };
    let request = Arc::new(node::Put { name: Arc::clone(&name), content, expect, keep: put.keep });
    let (mut client, _) = put.reach.client_of_all()?;
    let bringing = bar(&put.show, "bringing", bytes);
    let stored = client.put(&request, &Arc::new(local), &|there| bringing.set_position(there), &stop);
    bringing.finish_and_clear();
    // The last that was heard of it need not be the last that happens to it.
    if matches!(
        stored,
        Err(StoreError::Stopped
            | StoreError::Client(ClientError::NoAnswer { .. } | ClientError::NoQuorum { .. }))
    ) {
        screen::complain(&format!(
            "It may come to be stored all the same; \"idunno versions {name}\" says whether it is."
        ));
    }
    let version = told(stored)?;
    if put.show.format == Format::Table {
        let size = some(bytes, "byte", "bytes");
        return Ok(put.show.note(&format!("{name} has version {version}: a {} of {size}", kind(is))));
    }
    let mut sheet =
        Sheet::new(&[("name", "name"), ("version", "version"), ("kind", "kind"), ("bytes", "bytes")]);
    sheet.row(vec![Cell::text(&*name), Cell::number(version), Cell::text(kind(is)), Cell::count(bytes)]);
    Ok(put.show.sheet(&sheet, ""))
}

/// What is to be put, as one file that can be read twice.
fn open(path: &Path, stop: impl Fn() -> bool) -> Result<(File, FileKind)> {
    if path == Path::new("-") {
        let mut spool = Spool::new()?;
        let input = Stoppable { from: Patient::new()?, stop: &stop };
        io::copy(&mut { input }, &mut spool).context("cannot keep the standard input")?;
        spool.rewind()?;
        return Ok((spool.0, FileKind::Plain));
    }
    let cannot = || format!("cannot read {}", path.display());
    let about = fs::metadata(path).with_context(cannot)?;
    if about.is_dir() {
        let mut spool = Spool::new()?;
        folder::pack(path, &mut spool, &stop)?;
        spool.rewind()?;
        return Ok((spool.0, FileKind::Folder));
    }
    anyhow::ensure!(
        about.is_file(),
        "{} is neither a file nor a folder; what comes from a pipe is put as -",
        path.display()
    );
    Ok((File::open(path).with_context(cannot)?, FileKind::Plain))
}

/// A temporary file that nobody else can see and that goes with the process.
struct Spool(File);

impl Spool {
    fn new() -> Result<Spool> {
        let made = tempfile::tempfile();
        Ok(Spool(made.with_context(|| format!("no temporary file in {}", std::env::temp_dir().display()))?))
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let told = |error: io::Error| {
            let folder = std::env::temp_dir();
            let why = format!("{error} in {}, which needs room for all of it", folder.display());
            io::Error::new(error.kind(), why)
        };
        self.0.write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// The standard input, read by a thread of its own: whoever waits for somebody to type can be interrupted.
struct Patient {
    pieces: Receiver<io::Result<Vec<u8>>>,
    at_hand: io::Cursor<Vec<u8>>,
}

impl Patient {
    fn new() -> Result<Patient> {
        let (send, pieces) = mpsc::sync_channel(PIECES);
        let read = move || {
            let mut input = io::stdin().lock();
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = input.read(&mut piece);
                let over = !read.as_ref().is_ok_and(|read| *read > 0);
                let read = read.map(|read| {
                    piece.truncate(read);
                    piece
                });
                if send.send(read).is_err() || over {
                    return;
                }
            }
        };
        thread::Builder::new().name("input".to_owned()).spawn(read).context("cannot start a thread")?;
        Ok(Patient { pieces, at_hand: io::Cursor::default() })
    }
}

impl Read for Patient {
    /// Reads what there is; when there is nothing for a moment it is "interrupted", which whoever reads on takes as a reason to try again.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.at_hand.read(into)?;
        if read > 0 {
            return Ok(read);
        }
        match self.pieces.recv_timeout(LOOK_EVERY) {
            Ok(piece) => {
                self.at_hand = io::Cursor::new(piece?);
                self.at_hand.read(into)
            }
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::Interrupted.into()),
            Err(RecvTimeoutError::Disconnected) => Ok(0),
        }
    }
}
