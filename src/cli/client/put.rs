//! `idunno put`: a file or a folder goes into the store.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Args;

use super::files::{bar, kind, sound, told};
use super::sheet::{Cell, Sheet};
use super::{Misuse, Reach, Show, ended, folder, misuse};
use crate::cli::text::some;
use crate::cli::{Exit, Format};
use crate::cluster::Local;
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

When it is interrupted, the same command goes on with what the nodes do not have yet.

Exit codes: 0 it is stored; 1 failed, or --if-absent or --if-version did not hold; 2 usage or a bad file, nothing changed;
5 no quorum; 130 interrupted.";

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
    let (file, is) = open(&put.local).map_err(|error| misuse(&error))?;
    let length = file.metadata()?.len();
    let reading = bar(&put.show, "reading", length);
    let local = Local::of(file, is, &|read| reading.set_position(read));
    reading.finish_and_clear();
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
    let stop = || stop.load(Ordering::Relaxed);
    let stored = client.put(&request, &Arc::new(local), &|there| bringing.set_position(there), &stop);
    bringing.finish_and_clear();
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
fn open(path: &Path) -> Result<(File, FileKind)> {
    if path == Path::new("-") {
        let mut spool = tempfile::tempfile().context("no temporary file for the standard input")?;
        io::copy(&mut io::stdin().lock(), &mut spool).context("cannot keep the standard input")?;
        spool.rewind()?;
        return Ok((spool, FileKind::Plain));
    }
    let cannot = || format!("cannot read {}", path.display());
    let about = fs::metadata(path).with_context(cannot)?;
    if about.is_dir() {
        let mut spool = tempfile::tempfile().context("no temporary file for the folder")?;
        folder::pack(path, &mut spool)?;
        spool.rewind()?;
        return Ok((spool, FileKind::Folder));
    }
    anyhow::ensure!(
        about.is_file(),
        "{} is neither a file nor a folder; what comes from a pipe is put as -",
        path.display()
    );
    Ok((File::open(path).with_context(cannot)?, FileKind::Plain))
}
