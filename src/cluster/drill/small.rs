//! Disks that can be filled: small file systems in memory, which only this drill and its nodes see.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// How much such a disk holds.
const SIZE: &str = "size=64m";
/// What fills it.
const FILLER: &str = "filler";

/// A small disk. It is gone when it is dropped, and in any case with the processes of the drill.
#[derive(Debug)]
pub(super) struct SmallDisk(PathBuf);

/// What this thread and those that it starts mount from now on is seen by nobody else.
pub(super) fn apart() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    Ok(mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?)
}

impl SmallDisk {
    /// An empty one in the place of the folder `at`.
    pub(super) fn new(at: &Path) -> io::Result<SmallDisk> {
        fs::create_dir_all(at)?;
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(SIZE))?;
        Ok(SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // One that is in use for a moment longer goes after that.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Takes all the room that is left on the disk `at`.
pub(super) fn fill(at: &Path) -> io::Result<()> {
    let mut filler = File::create(at.join(FILLER))?;
    for block in [1 << 20, 1 << 12, 1] {
        let block = vec![0; block];
        loop {
            match filler.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Makes room again on the disk `at`.
pub(super) fn empty(at: &Path) -> io::Result<()> {
    match fs::remove_file(at.join(FILLER)) {
        // Somebody has wiped the disk.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
