//! A file that shall be put: read once to learn what its chunks are, and again chunk by chunk as they are brought.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use ring::digest::{SHA256, digest};

use crate::base::{Chunk, ChunkId};
use crate::cluster::net::link::lock;
use crate::node::limits::{CHUNK_BYTES_MAX, FILE_CHUNKS_MAX};
use crate::node::{Content, FileKind};

/// Why a file cannot be put. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The machine refuses.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not what it was when it was read first.
    #[error("changed while it was read; nothing was stored")]
    Changed,
    /// Its length says nothing about how much can be read, as of what a system makes up when it is read.
    #[error("has another length than the system says; put - and let it come from the standard input")]
    Unmeasured,
    /// No file of the store is as long.
    #[error("is larger than {most} GiB, which is the most that a file of the store may have", most = (FILE_CHUNKS_MAX as u64 * u64::from(CHUNK_BYTES_MAX)) >> 30)]
    TooLarge,
}

/// A file, and what its chunks are.
#[derive(Debug)]
pub struct Local {
    file: Mutex<File>,
    content: Arc<Content>,
}

impl Local {
    /// Reads a file from its beginning to its end. `read` is told how many bytes of it were read so far, and says whether to go on: if
    /// not, the file counts as one that changed.
    pub fn of(mut file: File, kind: FileKind, read: &dyn Fn(u64) -> bool) -> Result<Local, LocalError> {
        let before = look(&file)?;
        if before.0 > FILE_CHUNKS_MAX as u64 * u64::from(CHUNK_BYTES_MAX) {
            return Err(LocalError::TooLarge);
        }
        file.seek(SeekFrom::Start(0))?;
        let (mut chunks, mut so_far) = (Vec::new(), 0);
        let mut bytes = Vec::with_capacity(CHUNK_BYTES_MAX as usize);
        loop {
            bytes.clear();
            file.by_ref().take(CHUNK_BYTES_MAX.into()).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                break;
            }
            if chunks.len() == FILE_CHUNKS_MAX {
                return Err(LocalError::TooLarge);
            }
            chunks.push(chunk(&bytes));
            so_far += bytes.len() as u64;
            if !read(so_far) {
                break;
            }
        }
        if before != look(&file)? || so_far < before.0 {
            return Err(LocalError::Changed);
        }
        if so_far > before.0 {
            return Err(LocalError::Unmeasured);
        }
        Ok(Local { file: Mutex::new(file), content: Arc::new(Content { kind, chunks }) })
    }

    /// What it consists of.
    pub fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// The bytes of one of its chunks, if they are still what they were.
    pub(super) fn read(&self, place: usize) -> Result<Vec<u8>, LocalError> {
        let wanted = self.content.chunks[place];
        let mut bytes = vec![0; wanted.bytes as usize];
        {
            let mut file = lock(&self.file);
            file.seek(SeekFrom::Start(place as u64 * u64::from(CHUNK_BYTES_MAX)))?;
            file.read_exact(&mut bytes).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => LocalError::Changed,
                _ => LocalError::Io(error),
            })?;
        }
        if chunk(&bytes) == wanted { Ok(bytes) } else { Err(LocalError::Changed) }
    }
}

/// How long a file is, and when it was changed.
fn look(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let about = file.metadata()?;
    Ok((about.len(), about.modified().ok()))
}

/// The chunk that these bytes are.
pub(super) fn chunk(bytes: &[u8]) -> Chunk {
    let digest = digest(&SHA256, bytes);
    let id = ChunkId(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"));
    Chunk { id, bytes: bytes.len() as u32 }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_has_no_length_before_it_is_read_is_refused() {
        let made_up = File::open("/proc/self/status").unwrap();
        assert!(matches!(Local::of(made_up, FileKind::Plain, &|_| true), Err(LocalError::Unmeasured)));
    }

    #[test]
    fn a_file_is_cut_into_chunks_that_are_read_again_unless_it_has_changed() {
        const WHOLE: usize = CHUNK_BYTES_MAX as usize;
        for length in [0, 1, WHOLE, WHOLE + 1, 2 * WHOLE + 7] {
            let mut file = tempfile::tempfile().unwrap();
            let bytes: Vec<u8> = (0..length).map(|n| (n / 1000) as u8).collect();
            file.write_all(&bytes).unwrap();
            let mut writer = file.try_clone().unwrap();
            let local = Local::of(file, FileKind::Plain, &|_| true).unwrap();
            assert_eq!(local.content().bytes(), length as u64);
            let places = 0..local.content().chunks.len();
            let again: Vec<u8> = places.clone().flat_map(|place| local.read(place).unwrap()).collect();
            assert!(again == bytes, "{length} bytes");
            let Some(last) = places.last() else { continue };
            writer.seek(SeekFrom::Start(length as u64 - 1)).unwrap();
            writer.write_all(b"?").unwrap();
            assert!(matches!(local.read(last), Err(LocalError::Changed)));
            writer.set_len(length as u64 - 1).unwrap();
            assert!(matches!(local.read(last), Err(LocalError::Changed)));
        }
    }
}
