//! The folder in which results are written before they take their place; those of runs that were killed are cleared away.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

/// What such folders are called at first.
const PREFIX: &str = ".tmp-";
/// A folder younger than this may be one that is just being made.
const SETTLED: Duration = Duration::from_mins(1);

/// A folder that goes when it is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    /// The folder itself, locked as long as this process uses it; `None` where folders cannot be locked.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes one in `home`, and clears away those there that nobody uses any more.
    pub(super) fn create(home: &Path) -> io::Result<Scratch> {
        clear(home);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // What is moved into place shall be as readable as any other folder; the user's mask still applies.
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let folder = builder.tempdir_in(home)?;
        let lock = File::open(folder.path()).ok().filter(|folder| folder.try_lock().is_ok());
        Ok(Scratch { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the folder be: it has a new name now, under which it stays.
    pub(super) fn keep(self) {
        let _ = self.folder.keep();
    }

    /// Removes the folder.
    pub(super) fn close(self) -> io::Result<()> {
        self.folder.close()
    }
}

/// Removes what runs left behind that had no chance to do it themselves. What cannot be removed is in nobody's way.
fn clear(home: &Path) {
    let Ok(entries) = fs::read_dir(home) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_left_behind(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether no process holds the folder, and none is about to.
fn is_left_behind(folder: &Path) -> bool {
    let Ok(file) = File::open(folder) else { return false };
    let age = file.metadata().and_then(|known| known.modified()).ok().and_then(|then| then.elapsed().ok());
    age.is_some_and(|age| age >= SETTLED) && file.try_lock().is_ok()
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn aged(folder: &Path) {
        let long_ago = SystemTime::now() - SETTLED * 2;
        File::open(folder).unwrap().set_modified(long_ago).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_is_in_use_stays() {
        let home = tempfile::tempdir().unwrap();
        let (left, fresh) = (home.path().join(".tmp-left"), home.path().join(".tmp-fresh"));
        for folder in [&left, &fresh] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("queries.csv"), "trial").unwrap();
        }
        aged(&left);
        let used = Scratch::create(home.path()).unwrap();
        aged(used.path());
        assert!(!left.exists() && fresh.exists());
        let other = Scratch::create(home.path()).unwrap();
        assert!(used.path().exists() && fresh.exists());
        let path = other.path().to_owned();
        other.close().unwrap();
        assert!(!path.exists());
    }
}
