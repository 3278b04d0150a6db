//! The chunks on a node's disk: a file for each, named by what is in it, which is there as a whole or not at all.
//!
//! | file | what |
//! |---|---|
//! | `chunks/ab/ab…` | a chunk, by the 64 hexadecimal digits of its SHA-256 |
//! | `chunks/new/…` | what is not complete yet; removed when the node starts |
//!
//! A chunk is written beside its place, made durable and then named, so that a crash leaves all of it or nothing. What happens to
//! the chunks of a subfolder happens under its lock, and is told before the lock is given up: so it is told in order.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::PIECE_BYTES;
use super::folder::{foreign, is_sound, listed, make, named, remove, sync};
use crate::base::{Chunk, ChunkId};
use crate::cluster::net::link::lock;
use crate::node::ChunkEvent;
use crate::node::limits::CHUNK_BYTES_MAX;

/// Subfolders, one for each first byte of a digest.
const SHARDS: usize = 256;
/// What stays free of a disk for the node's log: a twentieth of the disk, and no more than this.
#[cfg(target_os = "linux")]
const SPARE_BYTES_MAX: u64 = 1 << 30;
/// The folder of what is not complete.
const NEW: &str = "new";

/// Why a node did not keep a chunk that was brought to it. Nothing of it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unkept {
    /// The disk is full, or nearly so.
    #[error("its disk has no room for more")]
    Full,
    /// These bytes have another digest or length.
    #[error("the bytes are not those that the chunk's name says")]
    Untrue,
    /// No chunk is that long.
    #[error("a chunk has 1 to {CHUNK_BYTES_MAX} bytes, not {0}")]
    Length(u32),
    /// The disk failed otherwise.
    #[error("its disk failed: {0}")]
    Disk(String),
}

impl From<io::Error> for Unkept {
    fn from(error: io::Error) -> Unkept {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Unkept::Full,
            _ => Unkept::Disk(error.to_string()),
        }
    }
}

/// Who is told what happens.
type Tell = Box<dyn Fn(ChunkEvent) + Send + Sync>;

/// All chunks of a node.
pub(in super::super) struct Rack {
    folder: PathBuf,
    /// What is there, by the first byte of its digest.
    shards: Vec<Mutex<BTreeMap<ChunkId, u32>>>,
    tell: Tell,
    /// Bytes that are about to be written.
    coming: AtomicU64,
    /// Names of files that are not complete.
    serial: AtomicU64,
}

impl std::fmt::Debug for Rack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rack").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Rack {
    /// Opens the folder, which is made if need be, removes what a crash left unfinished, and lists what there is. Whether it is sound
    /// shows when it is read.
    pub(in super::super) fn open(
        folder: &Path,
        tell: impl Fn(ChunkEvent) + Send + Sync + 'static,
    ) -> io::Result<Rack> {
        make(folder)?;
        let new = folder.join(NEW);
        make(&new)?;
        for entry in fs::read_dir(&new)? {
            remove(&entry?.path())?;
        }
        let mut shards = Vec::with_capacity(SHARDS);
        for first in 0..SHARDS {
            let shard = folder.join(format!("{first:02x}"));
            let found = match fs::read_dir(&shard) {
                Ok(entries) => listed(first as u8, entries)?,
                Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
                Err(error) => return Err(foreign(&shard, &error)),
            };
            shards.push(Mutex::new(found));
        }
        let (coming, serial) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Rack { folder: folder.to_owned(), shards, tell: Box::new(tell), coming, serial })
    }

    /// Every chunk that is there, in order.
    pub(in super::super) fn all(&self) -> Vec<Chunk> {
        let of = |shard: &Mutex<BTreeMap<ChunkId, u32>>| {
            lock(shard).iter().map(|(&id, &bytes)| Chunk { id, bytes }).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of).collect()
    }

    /// The first chunk after this one.
    pub(super) fn after(&self, last: Option<ChunkId>) -> Option<ChunkId> {
        let first = last.map_or(0, |last| usize::from(last.0[0]));
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.shards[first..].iter().find_map(|shard| {
            let shard = lock(shard);
            shard.range((from, Bound::Unbounded)).next().map(|(&id, _)| id)
        })
    }

    /// Whether a chunk is there, which is told if it is: whoever asks is about to count on it.
    pub(super) fn has(&self, id: ChunkId) -> bool {
        let mut shard = self.shard(id);
        let Some(&bytes) = shard.get(&id) else { return false };
        let as_long = fs::metadata(self.place(id)).is_ok_and(|about| about.len() == u64::from(bytes));
        if as_long {
            (self.tell)(ChunkEvent::Got { chunk: Chunk { id, bytes } });
        } else {
            self.lose(&mut shard, id);
        }
        as_long
    }

    /// Begins to take a chunk in.
    pub(super) fn begin(self: &Arc<Rack>, chunk: Chunk) -> Result<Incoming, Unkept> {
        if !(1..=CHUNK_BYTES_MAX).contains(&chunk.bytes) {
            return Err(Unkept::Length(chunk.bytes));
        }
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(NEW).join(serial.to_string());
        self.coming.fetch_add(chunk.bytes.into(), Ordering::Relaxed);
        // From here on it is given back when the incoming chunk is dropped, whatever becomes of it.
        let rack = Arc::clone(self);
        let mut incoming =
            Incoming { rack, chunk, path, file: None, digest: Context::new(&SHA256), bytes: 0 };
        let new = self.folder.join(NEW);
        if !new.is_dir() {
            // Somebody has removed the folder under a node that runs.
            make(&self.folder).and_then(|()| make(&new)).map_err(|error| named(&new, &error))?;
        }
        if !self.has_room()? {
            return Err(Unkept::Full);
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&incoming.path);
        incoming.file = Some(file.map_err(|error| named(&incoming.path, &error))?);
        Ok(incoming)
    }

    /// Whether the disk has room for all that is coming.
    pub(super) fn has_room(&self) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        {
            let disk = nix::sys::statvfs::statvfs(&self.folder)?;
            let spare = (disk.blocks() * disk.fragment_size() / 20).min(SPARE_BYTES_MAX);
            let free = disk.blocks_available() * disk.fragment_size();
            Ok(free >= spare + self.coming.load(Ordering::Relaxed))
        }
        // Elsewhere it shows when it is written.
        #[cfg(not(target_os = "linux"))]
        Ok(true)
    }

    /// Removes a chunk.
    pub(super) fn discard(&self, id: ChunkId) {
        let mut shard = self.shard(id);
        shard.remove(&id);
        self.remove(id);
        (self.tell)(ChunkEvent::Dropped { chunk: id });
    }

    /// Tells something that has nothing to do with what is there.
    pub(super) fn say(&self, event: ChunkEvent) {
        (self.tell)(event);
    }

    /// A chunk could not be had, or not be written.
    pub(super) fn failed(&self, chunk: ChunkId, unwritten: bool) {
        (self.tell)(ChunkEvent::Failed { chunk, unwritten });
    }

    /// Opens a chunk to be read; `None` when it is not there.
    pub(super) fn read(self: &Arc<Rack>, id: ChunkId) -> Option<Outgoing> {
        let mut shard = self.shard(id);
        let &bytes = shard.get(&id)?;
        let Ok(file) = File::open(self.place(id)) else {
            self.lose(&mut shard, id);
            return None;
        };
        let rack = Arc::clone(self);
        Some(Outgoing { rack, chunk: Chunk { id, bytes }, file, digest: Context::new(&SHA256), left: bytes })
    }

    /// A chunk seems to be damaged. It is looked at once more, because it may have come anew; if it is, it goes.
    fn doubt(&self, id: ChunkId) {
        let mut shard = self.shard(id);
        let Some(&bytes) = shard.get(&id) else { return };
        if !File::open(self.place(id)).is_ok_and(|file| is_sound(file, Chunk { id, bytes })) {
            self.lose(&mut shard, id);
        }
    }

    fn lose(&self, shard: &mut BTreeMap<ChunkId, u32>, id: ChunkId) {
        tracing::warn!(chunk = %id, "a chunk is lost or damaged; another copy takes its place");
        shard.remove(&id);
        self.remove(id);
        (self.tell)(ChunkEvent::Lost { chunk: id });
    }

    /// Removes a file that counts no longer. One that stays nevertheless is found at the next start.
    fn remove(&self, id: ChunkId) {
        match fs::remove_file(self.place(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(chunk = %id, %error, "a chunk cannot be removed");
            }
            _ => {}
        }
    }

    fn shard(&self, id: ChunkId) -> MutexGuard<'_, BTreeMap<ChunkId, u32>> {
        lock(&self.shards[usize::from(id.0[0])])
    }

    fn folder_of(&self, id: ChunkId) -> PathBuf {
        self.folder.join(format!("{:02x}", id.0[0]))
    }

    fn place(&self, id: ChunkId) -> PathBuf {
        self.folder_of(id).join(id.to_string())
    }

    /// Names a complete file, durably.
    fn name(&self, path: &Path, id: ChunkId) -> io::Result<()> {
        let (folder, place) = (self.folder_of(id), self.place(id));
        match fs::rename(path, &place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(&folder)?;
                fs::rename(path, &place)?;
            }
            renamed => renamed?,
        }
        sync(&folder)
    }
}

/// A chunk that is on its way to the disk. Unless it is kept, nothing of it stays.
pub(super) struct Incoming {
    rack: Arc<Rack>,
    chunk: Chunk,
    path: PathBuf,
    file: Option<File>,
    digest: Context,
    bytes: u32,
}

impl Incoming {
    /// Writes the next piece.
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), Unkept> {
        let bytes = u32::try_from(piece.len()).ok().and_then(|more| self.bytes.checked_add(more));
        self.bytes = bytes.filter(|&bytes| bytes <= self.chunk.bytes).ok_or(Unkept::Untrue)?;
        self.digest.update(piece);
        Ok(self.file.as_mut().expect("it was opened when it began").write_all(piece)?)
    }

    /// Keeps the chunk, if it is what it is said to be. It is durable afterwards, and told.
    pub(super) fn keep(mut self) -> Result<(), Unkept> {
        let Chunk { id, bytes } = self.chunk;
        if self.bytes != bytes || self.digest.clone().finish().as_ref() != id.0 {
            return Err(Unkept::Untrue);
        }
        self.file.take().expect("it was opened when it began").sync_all()?;
        let mut shard = self.rack.shard(id);
        self.rack.name(&self.path, id)?;
        shard.insert(id, bytes);
        (self.rack.tell)(ChunkEvent::Got { chunk: self.chunk });
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.file = None;
        self.rack.coming.fetch_sub(self.chunk.bytes.into(), Ordering::Relaxed);
        // It is not there any more when it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

/// A chunk that is read.
pub(super) struct Outgoing {
    rack: Arc<Rack>,
    /// Which one, and its length.
    pub(super) chunk: Chunk,
    pub(super) file: File,
    digest: Context,
    left: u32,
}

/// A chunk is not what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk is damaged")]
pub(super) struct Damaged;

impl Outgoing {
    /// All of it.
    pub(super) fn whole(mut self) -> Result<Vec<u8>, Damaged> {
        let mut all = Vec::with_capacity(self.chunk.bytes as usize);
        while let Some(piece) = self.piece()? {
            all.extend(piece);
        }
        Ok(all)
    }

    /// The next piece; `None` after the last one. The last one comes only if the whole is right.
    pub(super) fn piece(&mut self) -> Result<Option<Vec<u8>>, Damaged> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; PIECE_BYTES.min(self.left as usize)];
        let read = self.file.read_exact(&mut piece);
        self.left -= piece.len() as u32;
        self.digest.update(&piece);
        let wrong = self.left == 0 && self.digest.clone().finish().as_ref() != self.chunk.id.0;
        if read.is_err() || wrong {
            self.rack.doubt(self.chunk.id);
            return Err(Damaged);
        }
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = Arc<Mutex<Vec<ChunkEvent>>>;

    fn rack(folder: &Path) -> (Arc<Rack>, Told) {
        let told = Told::default();
        let to = Arc::clone(&told);
        (Arc::new(Rack::open(folder, move |event| lock(&to).push(event)).unwrap()), told)
    }

    fn chunk(bytes: &[u8]) -> Chunk {
        let digest = ring::digest::digest(&SHA256, bytes);
        let id = ChunkId(digest.as_ref().try_into().unwrap());
        Chunk { id, bytes: bytes.len() as u32 }
    }

    fn keep(rack: &Arc<Rack>, chunk: Chunk, bytes: &[u8]) -> Result<(), Unkept> {
        let mut incoming = rack.begin(chunk)?;
        bytes.chunks(1000).try_for_each(|piece| incoming.write(piece))?;
        incoming.keep()
    }

    fn whole(rack: &Arc<Rack>, id: ChunkId) -> Result<Vec<u8>, Damaged> {
        rack.read(id).ok_or(Damaged)?.whole()
    }

    #[test]
    fn a_folder_that_somebody_removed_is_made_anew_and_what_does_not_belong_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chunks");
        let (first, told) = rack(&path);
        let bytes = vec![7; 3_000];
        let chunk = chunk(&bytes);
        keep(&first, chunk, &bytes).unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(!first.has(chunk.id));
        keep(&first, chunk, &bytes).unwrap();
        assert_eq!(whole(&first, chunk.id).unwrap(), bytes);
        drop((first, told));
        let shard = path.join(format!("{:02x}", chunk.id.0[0]));
        let file = fs::read_dir(&shard).unwrap().next().unwrap().unwrap().path();
        let refused = |culprit: &Path| {
            let why = Rack::open(&path, |_| ()).unwrap_err().to_string();
            assert!(why.starts_with(&format!("{} does not belong there", culprit.display())), "{why}");
        };
        fs::create_dir(path.join(NEW).join("mine")).unwrap();
        refused(&path.join(NEW).join("mine"));
        fs::remove_dir(path.join(NEW).join("mine")).unwrap();
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        refused(&file);
        fs::remove_dir_all(&shard).unwrap();
        fs::write(&shard, "").unwrap();
        refused(&shard);
    }

    #[test]
    fn what_is_kept_is_read_again_and_found_at_the_next_start_and_what_is_dropped_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chunks");
        let long: Vec<u8> = (0..600_000_u32).map(|n| (n / 7) as u8).collect();
        let (first, told) = rack(&path);
        for bytes in [&b"x"[..], &long] {
            let chunk = chunk(bytes);
            keep(&first, chunk, bytes).unwrap();
            assert_eq!(whole(&first, chunk.id).unwrap(), bytes);
            assert_eq!(lock(&told).pop(), Some(ChunkEvent::Got { chunk }));
            assert!(first.has(chunk.id));
            assert_eq!(lock(&told).pop(), Some(ChunkEvent::Got { chunk }), "it is said again");
        }
        assert!(!first.has(ChunkId([7; 32])) && first.read(ChunkId([7; 32])).is_none());
        fs::write(path.join(NEW).join("99"), "unfinished").unwrap();
        let (second, _) = rack(&path);
        assert_eq!(second.all().len(), 2);
        assert_eq!(fs::read_dir(path.join(NEW)).unwrap().count(), 0);
        // One after the other until there is none.
        let walked: Vec<ChunkId> =
            std::iter::successors(second.after(None), |id| second.after(Some(*id))).collect();
        assert_eq!(walked, second.all().iter().map(|chunk| chunk.id).collect::<Vec<_>>());
        second.discard(chunk(b"x").id);
        let (third, _) = rack(&path);
        assert_eq!(third.all(), [chunk(&long)]);
    }

    #[test]
    fn what_is_not_what_its_name_says_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (rack, told) = rack(folder.path());
        let right = chunk(b"right");
        assert_eq!(keep(&rack, right, b"wrong"), Err(Unkept::Untrue));
        assert_eq!(keep(&rack, right, b"righ"), Err(Unkept::Untrue));
        assert_eq!(keep(&rack, right, b"right and more"), Err(Unkept::Untrue));
        for bytes in [0, CHUNK_BYTES_MAX + 1, u32::MAX] {
            assert_eq!(rack.begin(Chunk { bytes, ..right }).err(), Some(Unkept::Length(bytes)));
        }
        drop(rack.begin(right).ok().unwrap());
        assert_eq!(fs::read_dir(folder.path().join(NEW)).unwrap().count(), 0);
        assert_eq!((rack.all(), lock(&told).len(), rack.coming.load(Ordering::Relaxed)), (Vec::new(), 0, 0));
    }

    #[test]
    fn a_damaged_chunk_is_never_given_out_as_a_whole_and_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (rack, told) = rack(folder.path());
        let bytes = vec![3; 300_000];
        let chunk = chunk(&bytes);
        for damage in ["flipped", "short", "gone"] {
            keep(&rack, chunk, &bytes).unwrap();
            let place = rack.place(chunk.id);
            let mut bad = bytes.clone();
            bad[299_999] ^= 1;
            match damage {
                "flipped" => fs::write(&place, bad).unwrap(),
                "short" => fs::write(&place, &bytes[1..]).unwrap(),
                _ => fs::remove_file(&place).unwrap(),
            }
            assert_eq!(whole(&rack, chunk.id), Err(Damaged), "{damage}");
            assert_eq!(lock(&told).pop(), Some(ChunkEvent::Lost { chunk: chunk.id }), "{damage}");
            assert!(!place.exists() && rack.all().is_empty());
        }
    }
}
