//! `idunno versions`: the versions of a file, or what the last ones hold.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::files::{bar, kind, last_part, sound, told};
use super::get::target;
use super::sheet::{Cell, Sheet};
use super::{Misuse, Reach, Show, ended, read};
use crate::cli::text::some;
use crate::cli::{Exit, outlet};
use crate::cluster::Client;
use crate::node::{FileKind, Kept, Question, Reading};

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  idunno versions notes
      The versions of the file that are kept, oldest first.
  idunno versions notes --last 3 --get last-notes.txt
      The last three in one file, each after a line that names it.

Exit codes: 0 fine; 1 failed, or there is no such file; 2 usage or a bad file, nothing changed; 5 no quorum; 130 interrupted.";

/// What `idunno versions` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Versions {
    /// The file.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only the last so many [default: all that are kept].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    last: Option<u16>,
    /// Write what they hold into this file, one after the other, each after a line that names it; - is the standard output.
    #[arg(long, value_name = "LOCAL")]
    get: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// Does what `idunno versions` is told.
pub(in crate::cli) fn versions(versions: &Versions, stop: &AtomicBool) -> Exit {
    ended(listed(versions, stop))
}

fn listed(told: &Versions, stop: &AtomicBool) -> Result<Exit> {
    let name = sound(&told.name)?;
    let (mut client, _) = told.reach.client_of_all()?;
    let mut all = read(&mut client, Question::Versions(Arc::clone(&name)), |reading| match reading {
        Reading::Versions(versions) => Some(versions),
        _ => None,
    })?;
    let first = told.last.map_or(0, |last| all.len().saturating_sub(last.into()));
    all.drain(..first);
    let Some(local) = &told.get else {
        let mut sheet = Sheet::new(&[
            ("version", "version"),
            ("age_s", "put ago"),
            ("kind", "kind"),
            ("bytes", "bytes"),
            ("chunks", "chunks"),
        ]);
        for version in &all {
            sheet.row(vec![
                Cell::number(version.number),
                Cell::span(version.age),
                Cell::text(kind(version.kind)),
                Cell::count(version.bytes),
                Cell::count(version.chunks),
            ]);
        }
        return Ok(told.show.sheet(&sheet, "There are no versions."));
    };
    if let Some(folder) = all.iter().find(|version| version.kind == FileKind::Folder) {
        let why = format!(
            "version {} of {name} is a folder, which does not go into one file; fetch it with get",
            folder.number
        );
        return Err(Misuse(why).into());
    }
    if local == Path::new("-") {
        return outlet::pour(|out| write_all(&mut client, told, &name, &all, out, stop));
    }
    let target = target(Some(local), last_part(&name)?, FileKind::Plain)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.prefix(".idunno-").tempfile_in(outlet::folder_of(&target));
    let mut file = file.map_err(|error| anyhow!("cannot write {}: {}", target.display(), error.kind()))?;
    write_all(&mut client, told, &name, &all, &mut file, stop)?;
    if let Ok(about) = std::fs::metadata(&target) {
        file.as_file().set_permissions(about.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).with_context(|| format!("cannot write {}", target.display()))?;
    let versions = some(all.len() as u64, "version", "versions");
    Ok(told.show.note(&format!("{} holds {versions} of {name}", target.display())))
}

/// Writes versions one after the other, each after a line that names it.
fn write_all(
    client: &mut Client,
    versions: &Versions,
    name: &str,
    all: &[Kept],
    out: &mut dyn Write,
    stop: &AtomicBool,
) -> Result<()> {
    let bytes = all.iter().map(|version| version.bytes).sum();
    let bar = bar(&versions.show, "fetching", bytes);
    let stop = || stop.load(Ordering::Relaxed);
    for version in all {
        let size = some(version.bytes, "byte", "bytes");
        writeln!(out, "=== {name}@{}: {size} ===", version.number)?;
        let found = client.locate(name, Some(version.number))?;
        let mut last = b'\n';
        let mut take = |bytes: &[u8]| {
            last = bytes.last().copied().unwrap_or(last);
            bar.inc(bytes.len() as u64);
            out.write_all(bytes)
        };
        told(client.fetch(name, found, 0, &mut take, &stop))?;
        // The next line that names a version begins at the left.
        if last != b'\n' {
            writeln!(out)?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}
