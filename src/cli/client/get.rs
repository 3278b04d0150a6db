//! `idunno get`: a file or a folder comes out of the store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;
#[cfg(unix)]
use nix::fcntl::OFlag;
use ring::digest::{SHA256, digest};

use super::files::{bar, kind, last_part, told, versioned};
use super::{Misuse, Reach, Show, ended, folder};
use crate::cli::text::some;
use crate::cli::{Exit, outlet};
use crate::cluster::{Client, StoreError};
use crate::node::limits::CHUNK_BYTES_MAX;
use crate::node::{FileKind, Located};

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  idunno get models/letters
      The newest version, into the file letters here, in the place of one that is there.
  idunno get letters/train pictures
      A folder that was put, into the new folder pictures.
  idunno get notes@3 old-notes.txt
      Version 3.
  idunno get log/today -
      To the standard output; of a folder that is a zip.

Every part is checked against its digest, and nothing stands in its place before all of it has come. When it is interrupted, the
same command goes on where it ended.

Exit codes: 0 fine; 1 failed, or there is no such file; 2 usage or a bad file, nothing changed; 5 no quorum; 130 interrupted.";

/// What `idunno get` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Get {
    /// The file, or a version of it as NAME@VERSION.
    #[arg(value_name = "NAME")]
    name: String,
    /// Where it shall go: a file, a folder to put a file into, or - for the standard output; what was a folder becomes this one, which
    /// is new or empty [default: the last part of NAME, here].
    #[arg(value_name = "LOCAL")]
    local: Option<PathBuf>,
    /// Which version [default: the newest].
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// Does what `idunno get` is told.
pub(in crate::cli) fn get(get: &Get, stop: &AtomicBool) -> Exit {
    ended(got(get, stop))
}

fn got(get: &Get, stop: &AtomicBool) -> Result<Exit> {
    let (name, behind) = versioned(&get.name)?;
    if behind.is_some() && get.version.is_some() {
        return Err(Misuse("the version is said twice".to_owned()).into());
    }
    let (mut client, _) = get.reach.client_of_all()?;
    let found = client.locate(&name, behind.or(get.version))?;
    let content = &found.version.content;
    let (number, is, bytes) = (found.version.number, content.kind, content.bytes());
    let stop = || stop.load(Ordering::Relaxed);
    let bar = bar(&get.show, "fetching", bytes);
    if get.local.as_deref() == Some(Path::new("-")) {
        return outlet::pour(|out| {
            let mut take = |bytes: &[u8]| {
                bar.inc(bytes.len() as u64);
                out.write_all(bytes)
            };
            let fetched = client.fetch(&name, found, 0, &mut take, &stop);
            bar.finish_and_clear();
            told(fetched)
        });
    }
    let target = target(get.local.as_deref(), last_part(&name)?, is)?;
    let mut part = Part::open(&target, &found)?;
    let fetched = part.fill(&mut client, &name, found, &bar, &stop);
    bar.finish_and_clear();
    if let Err(error) = fetched {
        return Err(part.left(error));
    }
    match is {
        FileKind::Plain => part.place(&target)?,
        FileKind::Folder => part.unpack(bytes, &target, &stop)?,
    }
    let size = some(bytes, "byte", "bytes");
    let shown = target.display();
    Ok(get.show.note(&format!("{shown} is version {number} of {name}: a {} of {size}", kind(is))))
}

/// Where a file goes. A file takes the place of a file, and goes into a folder that is there; a folder goes where none is, or one
/// that is empty.
pub(super) fn target(local: Option<&Path>, last: &str, is: FileKind) -> Result<PathBuf> {
    let wrong = |why: String| Err(Misuse(why).into());
    let mut target = local.map_or_else(|| PathBuf::from(last), Path::to_owned);
    let ends_as_folder = local.is_some_and(|local| local.as_os_str().as_encoded_bytes().ends_with(b"/"));
    if is == FileKind::Plain && ends_as_folder && !target.is_dir() {
        return wrong(format!("there is no folder {}", target.display()));
    }
    if is == FileKind::Plain && local.is_some() && target.is_dir() {
        target.push(last);
    }
    // What such a name leads to is a file that somebody else has open, and goes on writing to.
    let is_link = fs::symlink_metadata(&target).is_ok_and(|about| about.is_symlink());
    if is_link && (target.starts_with("/dev") || target.starts_with("/proc")) {
        return wrong(format!("{} is no place for a file; - is the standard output", target.display()));
    }
    // A link to a file stays, and what it leads to is replaced.
    if let Ok(led) = fs::canonicalize(&target) {
        target = led;
    }
    let shown = target.display();
    let is_empty = || fs::read_dir(&target).is_ok_and(|mut entries| entries.next().is_none());
    match (fs::symlink_metadata(&target), is) {
        (Err(error), _) if error.kind() == ErrorKind::NotFound => {}
        (Err(error), _) => return wrong(format!("{shown}: {error}")),
        (Ok(about), FileKind::Plain) if !about.is_file() => {
            return wrong(format!("{shown} is there and is no file"));
        }
        (Ok(about), FileKind::Folder) if !about.is_dir() || !is_empty() => {
            return wrong(format!("{shown} is there; a folder goes where nothing is, or into an empty one"));
        }
        _ => {}
    }
    if target.file_name().is_none() || !outlet::folder_of(&target).is_dir() {
        return wrong(format!("there is no folder {}", outlet::folder_of(&target).display()));
    }
    Ok(target)
}

/// A file that is not complete, beside its target. Its name follows from both, so that it is found again.
struct Part {
    path: PathBuf,
    file: File,
    /// Chunks that are in it.
    chunks: usize,
}

impl Part {
    /// Opens it, and finds out how much of it is there from an earlier time.
    fn open(target: &Path, found: &Located) -> Result<Part> {
        let content = &found.version.content;
        let called = format!("{:?} {content:?}", target.file_name());
        let digest = digest(&SHA256, called.as_bytes());
        let name =
            digest.as_ref()[..8].iter().fold(".idunno-".to_owned(), |name, byte| format!("{name}{byte:02x}"));
        let path = outlet::folder_of(target).join(name + ".part");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // Its name can be guessed: a link there would lead elsewhere, and a pipe would wait for a reader.
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        }
        let mut file = options.open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if !file.metadata()?.is_file() {
            bail!("{} is there and is no file; remove it", path.display());
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{} is being fetched by another command", target.display());
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock what is fetched"),
        }
        let mut chunks = 0;
        let mut bytes = Vec::with_capacity(CHUNK_BYTES_MAX as usize);
        for chunk in &content.chunks {
            bytes.clear();
            (&file).take(chunk.bytes.into()).read_to_end(&mut bytes)?;
            if bytes.len() != chunk.bytes as usize
                || ring::digest::digest(&SHA256, &bytes).as_ref() != chunk.id.0
            {
                break;
            }
            chunks += 1;
        }
        let there = content.chunks[..chunks].iter().map(|chunk| u64::from(chunk.bytes)).sum();
        file.set_len(there)?;
        file.seek(SeekFrom::Start(there))?;
        Ok(Part { path, file, chunks })
    }

    /// Fetches what is missing.
    fn fill(
        &mut self,
        client: &mut Client,
        name: &str,
        found: Located,
        bar: &ProgressBar,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        bar.set_position(self.file.stream_position()?);
        let from = self.chunks;
        let mut take = |bytes: &[u8]| {
            self.file.write_all(bytes)?;
            self.chunks += 1;
            bar.inc(bytes.len() as u64);
            Ok(())
        };
        told(client.fetch(name, found, from, &mut take, stop))?;
        Ok(self.file.sync_all()?)
    }

    /// What stays after an error: what has come so far, if anything has.
    fn left(self, error: anyhow::Error) -> anyhow::Error {
        if self.chunks == 0 {
            let _ = fs::remove_file(&self.path);
            return error;
        }
        let kept = self.path.display().to_string();
        crate::cli::screen::complain(&format!(
            "What has come is kept in {kept}; the same command goes on from there."
        ));
        error
    }

    /// Takes the place of the target.
    fn place(self, target: &Path) -> Result<()> {
        if let Ok(about) = fs::metadata(target) {
            self.file.set_permissions(about.permissions())?;
        }
        renamed(&self.path, target)
    }

    /// Becomes the folder that it was. One that is there, and empty, stays what it is: somebody may be in it, or have closed it to others.
    fn unpack(mut self, bytes: u64, target: &Path, stop: &dyn Fn() -> bool) -> Result<()> {
        self.file.rewind()?;
        let mut builder = tempfile::Builder::new();
        // As any other new folder, where the system lets us say so.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let into =
            builder.prefix(".idunno-").tempdir_in(outlet::folder_of(target)).context("no room to unpack")?;
        let zip = io::BufReader::new(&self.file);
        let unpacked = folder::unpack(zip, bytes, into.path(), stop);
        if stop() {
            return Err(self.left(StoreError::Stopped.into()));
        }
        let _ = fs::remove_file(&self.path);
        unpacked.context("the folder cannot be unpacked")?;
        if !target.is_dir() {
            return renamed(&into.keep(), target);
        }
        for entry in fs::read_dir(into.path())? {
            let entry = entry?;
            renamed(&entry.path(), &target.join(entry.file_name()))?;
        }
        Ok(())
    }
}

/// Renames durably.
fn renamed(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    if cfg!(unix) {
        File::open(outlet::folder_of(to))?.sync_all()?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use std::sync::Arc;

    use super::*;
    use crate::base::Time;
    use crate::node::{Content, Version};

    fn found(kind: FileKind) -> Located {
        let content = Arc::new(Content { kind, chunks: Vec::new() });
        Located { version: Version { number: 1, at: Time::ZERO, content }, holders: Vec::new() }
    }

    #[test]
    fn what_stands_where_parts_are_kept_is_not_followed() {
        let at = tempfile::tempdir().unwrap();
        let (target, victim) = (at.path().join("x"), at.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        let part = Part::open(&target, &found(FileKind::Plain)).unwrap().path;
        fs::remove_file(&part).unwrap();
        symlink(&victim, &part).unwrap();
        assert!(Part::open(&target, &found(FileKind::Plain)).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_file(&part).unwrap();
        nix::unistd::mkfifo(&part, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Part::open(&target, &found(FileKind::Plain)).is_err());
    }

    /// Unpacks a folder with one file into `target`.
    fn unpack(at: &Path, target: &Path) {
        let packed = at.join("packed");
        fs::create_dir_all(packed.join("sub")).unwrap();
        fs::write(packed.join("sub/file"), "file").unwrap();
        let mut part = Part::open(target, &found(FileKind::Folder)).unwrap();
        folder::pack(&packed, &mut part.file, &|| false).unwrap();
        let bytes = part.file.metadata().unwrap().len();
        part.unpack(bytes, target, &|| false).unwrap();
        assert_eq!(fs::read_to_string(target.join("sub/file")).unwrap(), "file");
    }

    #[test]
    fn an_empty_folder_that_is_there_stays_what_it_is() {
        let at = tempfile::tempdir().unwrap();
        let target = at.path().join("closed");
        fs::create_dir(&target).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o700)).unwrap();
        let before = fs::metadata(&target).unwrap();
        unpack(at.path(), &target);
        let after = fs::metadata(&target).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
        // A new one is like any other new folder.
        let (target, other) = (at.path().join("new"), at.path().join("other"));
        unpack(at.path(), &target);
        fs::create_dir(&other).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode(), fs::metadata(&other).unwrap().mode());
        let left = fs::read_dir(at.path()).unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_str().is_some_and(|name| name.starts_with(".idunno"))
        });
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_file_does_not_go_where_only_streams_are() {
        for stream in ["/dev/stdout", "/proc/self/fd/1"] {
            let why = target(Some(Path::new(stream)), "x", FileKind::Plain).unwrap_err().to_string();
            assert!(why.contains("is no place for a file; - is the standard output"), "{why}");
        }
    }

    #[test]
    fn a_file_does_not_go_into_a_folder_that_is_not_there() {
        let at = tempfile::tempdir().unwrap();
        let to = |name: &str| target(Some(&at.path().join(name)), "last", FileKind::Plain);
        assert!(to("missing/").unwrap_err().is::<Misuse>());
        assert!(to("missing/x").unwrap_err().is::<Misuse>());
        assert_eq!(to("missing").unwrap(), at.path().join("missing"));
        assert_eq!(to("").unwrap(), fs::canonicalize(at.path()).unwrap().join("last"));
    }
}
