//! A node's data directory: who it is, its log of records, its snapshots, and the lock that keeps a second process out.
//!
//! | file | what |
//! |---|---|
//! | `lock` | locked by the process that uses the directory |
//! | `identity` | the node's identity, made together with the directory |
//! | `log` | every record since the last snapshot, in frames (`frames`) |
//! | `snapshot-EPOCH-INDEX` | the snapshot that the log names |
//! | `chunks/` | the chunks of files that the node holds (`super::chunks`) |
//! | `diary/` | what the node observed, for people and reports (`diary`) |
//!
//! A frame is written and synced as a whole before the next one is written. So a crash can harm the last frame alone, which is cut; a
//! bad frame with a good one after it is damage, and the disk counts as lost.

mod folder;
pub(super) mod frames;
mod log;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub(super) use folder::Folder;
pub(super) use log::Log;
pub(super) use writer::Writer;

/// Why a data directory cannot be used. Nothing in it has changed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The machine refuses.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has the directory.
    #[error("{path} is in use by another process; one directory is the disk of one node", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// What the disk held is not what was written.
    #[error(
        "{path} is damaged: {what}. This disk is lost: what it promised cannot be kept. Move the directory away and start the \
         node with --join and an empty one; it joins as a new node",
        path = path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> DiskError {
    move |error| DiskError::Io { path: path.to_owned(), error }
}
