//! The directory itself: its lock, the identity in it, and files that are replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{DiskError, io_error};
use crate::base::NodeId;

/// What the file of the identity begins with; 16 hexadecimal digits follow.
const IDENTITY: &str = "idunno-disk-1 ";

/// A data directory that this process alone uses.
#[derive(Debug)]
pub(in super::super) struct Folder {
    path: PathBuf,
    /// Held locked as long as the folder is.
    _lock: File,
    /// Whose disk it is.
    pub(in super::super) id: NodeId,
}

impl Folder {
    /// Takes the directory for this process; one that does not exist is made, with the identity `fresh`.
    pub(in super::super) fn open(path: &Path, fresh: NodeId) -> Result<Folder, DiskError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt;
            builder.mode(0o700);
        }
        builder.create(path).map_err(io_error(path))?;
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io_error(&lock_path)(error)),
        }
        let mut folder = Folder { path: path.to_owned(), _lock: lock, id: fresh };
        folder.id = folder.identity(fresh)?;
        Ok(folder)
    }

    /// The identity in the directory; an empty directory gets `fresh`.
    fn identity(&self, fresh: NodeId) -> Result<NodeId, DiskError> {
        let path = self.file("identity");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let digits = text.trim_end().strip_prefix(IDENTITY).filter(|digits| digits.len() == 16);
                let bits = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                bits.filter(|&bits| bits != 0).map(NodeId::new).ok_or_else(|| DiskError::Lost {
                    what: format!("it holds no identity of a node, such as \"{IDENTITY}{fresh}\""),
                    path,
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if self.file("log").exists() {
                    let what = "there is a log, and nothing says whose it is".to_owned();
                    return Err(DiskError::Lost { path, what });
                }
                self.replace("identity", format!("{IDENTITY}{fresh}\n").as_bytes())?;
                Ok(fresh)
            }
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Puts `bytes` in the place of a file, durably and so that a crash leaves the old file or the new one.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<File, DiskError> {
        let new = self.file(&format!("{name}.new"));
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create(true).truncate(true).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, self.file(name))?;
            self.sync()?;
            Ok(file)
        };
        write().map_err(io_error(&new))
    }

    /// Something in it that only a node leaves which has a log.
    pub(super) fn trace_of_use(&self) -> Result<Option<String>, DiskError> {
        let listed = fs::read_dir(&self.path).map_err(io_error(&self.path))?;
        for entry in listed {
            let name = entry.map_err(io_error(&self.path))?.file_name().to_string_lossy().into_owned();
            if name.starts_with("snapshot-") || ["diary", "chunks", "staged", "weights"].contains(&&*name) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Removes what a crash left behind: files that were not finished, snapshots that the log does not name.
    pub(super) fn tidy(&self, snapshot: Option<&str>) -> Result<(), DiskError> {
        let listed = fs::read_dir(&self.path).map_err(io_error(&self.path))?;
        for entry in listed {
            let name = entry.map_err(io_error(&self.path))?.file_name().to_string_lossy().into_owned();
            let stale = name.starts_with("snapshot-") && Some(name.as_str()) != snapshot;
            if stale || name == "log.new" || name == "identity.new" || name == "measure.new" {
                let path = self.file(&name);
                fs::remove_file(&path).map_err(io_error(&path))?;
            }
        }
        Ok(())
    }

    /// Makes names durable.
    fn sync(&self) -> std::io::Result<()> {
        // Windows knows no such thing.
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_identity_and_one_user() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = Folder::open(&path, NodeId::new(5)).unwrap();
        assert!(matches!(Folder::open(&path, NodeId::new(6)), Err(DiskError::InUse { .. })));
        drop(first);
        assert_eq!(Folder::open(&path, NodeId::new(6)).unwrap().id, NodeId::new(5));
        fs::write(path.join("identity"), "something else").unwrap();
        let lost = Folder::open(&path, NodeId::new(6)).unwrap_err();
        assert!(lost.to_string().contains("idunno-disk-1 0000000000000006"), "{lost}");
    }

    #[test]
    fn a_log_without_an_identity_is_a_lost_disk() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log"), "x").unwrap();
        assert!(matches!(Folder::open(folder.path(), NodeId::new(1)), Err(DiskError::Lost { .. })));
    }
}
