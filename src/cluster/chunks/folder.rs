//! What a rack does to its folder: files and folders are listed, made durable, and named where something is wrong with them.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};

use super::PIECE_BYTES;
use crate::base::{Chunk, ChunkId};
use crate::node::limits::CHUNK_BYTES_MAX;

/// What went wrong, and where.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether a file is the chunk and nothing more.
pub(super) fn is_sound(mut file: File, chunk: Chunk) -> bool {
    let (mut digest, mut left) = (Context::new(&SHA256), chunk.bytes as usize);
    let mut piece = vec![0; PIECE_BYTES];
    while left > 0 {
        let part = &mut piece[..PIECE_BYTES.min(left)];
        if file.read_exact(part).is_err() {
            return false;
        }
        digest.update(part);
        left -= part.len();
    }
    digest.finish().as_ref() == chunk.id.0
}

/// The chunks among the files of a subfolder. What has the name of a chunk and cannot be one is removed; other names are left alone.
pub(super) fn listed(first: u8, entries: fs::ReadDir) -> io::Result<BTreeMap<ChunkId, u32>> {
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(ChunkId::parse).filter(|id| id.0[0] == first) else { continue };
        let about = entry.metadata()?;
        let bytes = u32::try_from(about.len()).ok().filter(|bytes| (1..=CHUNK_BYTES_MAX).contains(bytes));
        match bytes.filter(|_| about.is_file()) {
            Some(bytes) => drop(found.insert(id, bytes)),
            None => remove(&entry.path())?,
        }
    }
    Ok(found)
}

/// Removes a file that a crash left, or that cannot be what it is called.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).map_err(|error| foreign(path, &error))
}

/// Something is there that this program has not made: whoever has may want it.
pub(super) fn foreign(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} does not belong there, move it away: {error}", path.display()))
}

/// Makes a folder, if it does not exist, and its name durable.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    folder.parent().map_or(Ok(()), sync)
}

/// Makes the names in a folder durable. Windows knows no such thing.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
