//! A node's diary as it is lent to those who ask: which files there are, and their bytes piece by piece.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::clock;
use super::diary::{self, Head};
use crate::base::{NodeId, Time};

/// The most bytes of one piece.
const PIECE_BYTES: u64 = 1 << 20;

/// One file of a diary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    /// Its number.
    pub(crate) number: u64,
    /// What it begins with.
    pub(crate) head: Head,
    /// How long it was when it was listed; the last one grows.
    pub(crate) bytes: u64,
}

/// What a node says of itself and of its diary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shelf {
    /// The node.
    pub(crate) node: NodeId,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its kind of machine.
    pub(crate) kind: Arc<str>,
    /// Whether it takes queries.
    pub(crate) worker: bool,
    /// Its settings and models, as a file with settings has them.
    pub(crate) settings: Arc<str>,
    /// When the files were listed, by its clock: what it observed before that is in them.
    pub(crate) now: Time,
    /// The files, oldest first; 64 at most.
    pub(crate) volumes: Vec<Volume>,
}

/// What a node lends from.
#[derive(Debug)]
pub(super) struct Lender {
    pub(super) folder: PathBuf,
    pub(super) node: NodeId,
    pub(super) name: Arc<str>,
    pub(super) kind: Arc<str>,
    pub(super) worker: bool,
    pub(super) settings: Arc<str>,
    /// One reads at a time, however many ask: each piece takes memory, and the disk has better to do.
    pub(super) busy: tokio::sync::Mutex<()>,
}

impl Lender {
    /// What there is. A file that cannot be read, or vanishes meanwhile, is not there.
    pub(super) fn shelf(&self) -> io::Result<Shelf> {
        let now = clock::now();
        let mut volumes = Vec::new();
        for number in diary::numbers(&self.folder)? {
            let path = self.folder.join(diary::named(number));
            let listed = File::open(path).and_then(|mut file| {
                let bytes = file.metadata()?.len();
                Ok((diary::head(&mut file)?, bytes))
            });
            if let Ok((Some(head), bytes)) = listed {
                volumes.push(Volume { number, head, bytes });
            }
        }
        Ok(Shelf {
            node: self.node,
            name: Arc::clone(&self.name),
            kind: Arc::clone(&self.kind),
            worker: self.worker,
            settings: Arc::clone(&self.settings),
            now,
            volumes,
        })
    }

    /// What stands in a file from this byte on, at most 1 MiB; `None` when the file is gone.
    pub(super) fn piece(&self, number: u64, from: u64) -> io::Result<Option<ByteBuf>> {
        let mut file = match File::open(self.folder.join(diary::named(number))) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(PIECE_BYTES).read_to_end(&mut bytes)?;
        Ok(Some(ByteBuf::from(bytes)))
    }
}
