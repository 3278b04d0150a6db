//! What queries read of files, at hand on this node's disk: of each file a copy in which only those parts are that somebody reads.
//!
//! | path | what |
//! |---|---|
//! | `staged/KEY/NAME` | a file of the store, as long as the whole and with holes where nothing was needed |
//!
//! Nothing of it counts as a copy of the store's, nothing is durable, and a node begins with nothing. Which parts a query reads follows
//! from the list of a zip, which is fetched first; of any other file it is the whole. What nobody reads any more stays until the limit
//! is reached; then the parts go that were read longest ago.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ring::digest::{SHA256, digest};
use tokio::task::JoinSet;

use super::porter::{Porter, aside};
use crate::base::{AttemptId, Cache, Chunk, NodeId};
use crate::cluster::net::link::lock;
use crate::engine::layout::{self, TAIL_BYTES};
use crate::node::limits::CHUNK_BYTES_MAX;
use crate::node::{ChunkEvent, Located, Stage};

/// Chunks that come at the same time, each of which is in memory as a whole.
const AT_ONCE: usize = 4;

type Key = [u8; 16];
type Place = (Key, u32);

/// Everything that is at hand.
#[derive(Debug)]
pub(in super::super) struct Larder {
    porter: Arc<Porter>,
    folder: PathBuf,
    shelf: Mutex<Shelf>,
    /// Where engines find what was staged. The machine looks at it, which must not wait for a disk.
    paths: Mutex<BTreeMap<AttemptId, String>>,
    /// Whether something was fetched since ways to other nodes were let go of last.
    fetched: AtomicBool,
}

#[derive(Debug)]
struct Shelf {
    cache: Cache<Place>,
    /// The chunks that are there.
    present: BTreeSet<Place>,
    copies: BTreeMap<Key, Arc<Copy>>,
    staged: BTreeMap<AttemptId, Staged>,
}

/// What one query reads.
#[derive(Debug)]
struct Staged {
    key: Key,
    holds: BTreeSet<u32>,
}

/// One file.
#[derive(Debug)]
struct Copy {
    key: Key,
    path: PathBuf,
    chunks: Vec<Chunk>,
    /// Where inputs stand; found by the first who needs it. One at a time brings something.
    layout: tokio::sync::Mutex<Option<Layout>>,
}

#[derive(Clone, Debug)]
enum Layout {
    /// Every query reads all of it.
    Whole,
    /// A zip: what every query reads, and where each input stands.
    Zip { common: BTreeSet<u32>, inputs: Arc<[Range<u64>]> },
}

impl Copy {
    fn length(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
    }

    /// The chunks in which these bytes stand.
    fn covering(&self, bytes: &Range<u64>) -> Range<u32> {
        let whole = u64::from(CHUNK_BYTES_MAX);
        let count = self.chunks.len() as u64;
        let last = if bytes.is_empty() { bytes.start } else { bytes.end };
        (bytes.start / whole).min(count) as u32..last.div_ceil(whole).min(count) as u32
    }
}

impl Larder {
    /// An empty one at `folder`, which keeps at most `limit` bytes that no query at hand needs.
    pub(in super::super) fn open(porter: Arc<Porter>, folder: PathBuf, limit: u64) -> io::Result<Larder> {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (present, copies, staged) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let shelf = Shelf { cache: Cache::new(limit), present, copies, staged };
        let (shelf, paths, fetched) = (Mutex::new(shelf), Mutex::default(), AtomicBool::new(false));
        Ok(Larder { porter, folder, shelf, paths, fetched })
    }

    /// Where the engine finds what was staged for an attempt.
    pub(in super::super) fn path(&self, attempt: AttemptId) -> Option<String> {
        lock(&self.paths).get(&attempt).cloned()
    }

    /// Brings what a query reads, and tells what came of it unless it is unstaged before.
    pub(super) fn stage(self: &Arc<Larder>, stage: Arc<Stage>) {
        let larder = Arc::clone(self);
        let key = key(&stage);
        let staged = Staged { key, holds: BTreeSet::new() };
        let before = lock(&self.shelf).staged.insert(stage.attempt, staged);
        debug_assert!(before.is_none(), "an attempt is staged once at a time");
        self.porter.handle().spawn(async move {
            let attempt = stage.attempt;
            let brought = larder.bring(key, &stage).await;
            let event = match brought {
                Ok(path) => {
                    let shelf = lock(&larder.shelf);
                    shelf.staged.contains_key(&attempt).then(|| {
                        lock(&larder.paths).insert(attempt, path);
                        ChunkEvent::Staged { attempt }
                    })
                }
                Err(reason) => {
                    tracing::warn!(dataset = %stage.dataset, reason, "what a query reads cannot be had");
                    larder.release(attempt).then(|| ChunkEvent::Unstaged { attempt, reason: reason.into() })
                }
            };
            if let Some(event) = event {
                larder.porter.rack.say(event);
            }
            if larder.fetched.swap(false, Ordering::Relaxed) {
                larder.porter.rest().await;
            }
        });
    }

    /// What was staged for an attempt need not be at hand any more.
    pub(super) fn unstage(&self, attempt: AttemptId) {
        self.release(attempt);
    }

    fn release(&self, attempt: AttemptId) -> bool {
        let mut shelf = lock(&self.shelf);
        let Some(Staged { key, holds, .. }) = shelf.staged.remove(&attempt) else { return false };
        lock(&self.paths).remove(&attempt);
        for place in holds {
            shelf.let_go((key, place));
        }
        shelf.shrink();
        true
    }

    /// Brings what a query reads; where its engine finds it, or why it cannot be had.
    async fn bring(self: &Arc<Larder>, key: Key, stage: &Stage) -> Result<String, String> {
        let located = stage.found.located.as_ref().ok_or("nobody said where it is")?;
        let copy = self.copy(key, stage, located)?;
        let mut known = copy.layout.lock().await;
        let (attempt, holders) = (stage.attempt, located.holders.as_slice());
        let layout = match &*known {
            Some(layout) => layout.clone(),
            None => known.insert(self.look(&copy, attempt, holders).await?).clone(),
        };
        let (places, path) = match &layout {
            Layout::Whole => (
                (0..copy.chunks.len() as u32).collect(),
                copy.path.parent().expect("it is in a folder of its own"),
            ),
            Layout::Zip { common, inputs } => {
                let from = usize::try_from(stage.from).unwrap_or(usize::MAX).min(inputs.len());
                let end = from.saturating_add(stage.inputs as usize).min(inputs.len());
                let read = inputs[from..end].iter().flat_map(|input| copy.covering(input));
                (read.chain(common.iter().copied()).collect(), copy.path.as_path())
            }
        };
        self.fill(&copy, attempt, holders, &places).await?;
        let path = path.to_str().ok_or("the path of the data directory is no text")?;
        Ok(format!("node:{path}"))
    }

    /// The copy of a file, which is made if need be.
    fn copy(&self, key: Key, stage: &Stage, located: &Located) -> Result<Arc<Copy>, String> {
        let mut shelf = lock(&self.shelf);
        if let Some(copy) = shelf.copies.get(&key) {
            return Ok(Arc::clone(copy));
        }
        let folder = self.folder.join(format!("{:032x}", u128::from_be_bytes(key)));
        let copy = Copy {
            key,
            path: folder.join(last_part(&stage.dataset)),
            chunks: located.version.content.chunks.clone(),
            layout: tokio::sync::Mutex::default(),
        };
        let made = fs::create_dir_all(&folder).and_then(|()| File::create(&copy.path));
        let made = made.and_then(|file| file.set_len(copy.length()));
        made.map_err(|error| format!("{error}: {}", copy.path.display()))?;
        let copy = Arc::new(copy);
        shelf.copies.insert(key, Arc::clone(&copy));
        Ok(copy)
    }

    /// Finds out where the inputs of a file stand.
    async fn look(
        self: &Arc<Larder>,
        copy: &Arc<Copy>,
        attempt: AttemptId,
        holders: &[Vec<NodeId>],
    ) -> Result<Layout, String> {
        let length = copy.length();
        let tail = length.saturating_sub(TAIL_BYTES)..length;
        // A zip begins like one, and its engine looks at that.
        let mut common: BTreeSet<u32> = copy.covering(&(0..length.min(4))).collect();
        common.extend(copy.covering(&tail));
        self.fill(copy, attempt, holders, &common).await?;
        let path = copy.path.clone();
        let Some(list) = aside(move || read(&path, &tail).map(|bytes| layout::list(&bytes, length)))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?
        else {
            return Ok(Layout::Whole);
        };
        common.extend(copy.covering(&list.at));
        self.fill(copy, attempt, holders, &common).await?;
        let path = copy.path.clone();
        let places = aside(move || File::open(&path).and_then(|mut file| layout::places(&mut file, &list)));
        let places = places.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        common.extend(layout::tables(&places).flat_map(|table| copy.covering(table)));
        self.fill(copy, attempt, holders, &common).await?;
        let path = copy.path.clone();
        let inputs =
            aside(move || layout::inputs(&path, &places)).await.map_err(|error| error.to_string())?;
        // What is told first is all that an answer has room for, and where the copy stands helps nobody.
        let inputs = inputs.map_err(|why| why.replace(&*copy.path.to_string_lossy(), "the zip"))?;
        Ok(Layout::Zip { common, inputs: inputs.into() })
    }

    /// Brings the chunks at these places that are not there, and keeps all of them for an attempt.
    async fn fill(
        self: &Arc<Larder>,
        copy: &Arc<Copy>,
        attempt: AttemptId,
        holders: &[Vec<NodeId>],
        places: &BTreeSet<u32>,
    ) -> Result<(), String> {
        let mut missing = {
            let mut shelf = lock(&self.shelf);
            let missing = shelf.hold(copy, attempt, places).ok_or("nobody wants it any more")?;
            shelf.shrink();
            missing
        };
        let (mut coming, mut failed) = (JoinSet::new(), None);
        loop {
            while coming.len() < AT_ONCE
                && failed.is_none()
                && let Some(place) = missing.pop_first()
            {
                let mut from = holders.get(place as usize).cloned().unwrap_or_default();
                if !from.is_empty() {
                    // Not everything comes from the same node.
                    let first = (attempt.serial + u64::from(place)) as usize % from.len();
                    from.rotate_left(first);
                }
                let (larder, copy) = (Arc::clone(self), Arc::clone(copy));
                coming.spawn(async move { larder.fetch(&copy, place, &from).await });
            }
            // What is on its way is waited for even so: nothing is written behind anybody's back.
            match coming.join_next().await {
                None => return failed.map_or(Ok(()), Err),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(why))) => failed = failed.or(Some(why)),
                Some(Err(error)) => failed = failed.or_else(|| Some(error.to_string())),
            }
        }
    }

    /// Brings one chunk.
    async fn fetch(&self, copy: &Copy, place: u32, from: &[NodeId]) -> Result<(), String> {
        let chunk = copy.chunks[place as usize];
        self.fetched.store(true, Ordering::Relaxed);
        let bytes =
            self.porter.carry(chunk, from).await.map_err(|error| format!("chunk {place}: {error}"))?;
        let path = copy.path.clone();
        let at = u64::from(place) * u64::from(CHUNK_BYTES_MAX);
        let written = aside(move || write(&path, at, &bytes)).await.map_err(|error| error.to_string())?;
        written.map_err(|error| format!("chunk {place} cannot be written: {error}"))?;
        let mut shelf = lock(&self.shelf);
        if !shelf.is_held((copy.key, place)) {
            // Whoever needed it does so no more, and it is no longer accounted for.
            dig(&copy.path, at, chunk.bytes);
            return Err("nobody wants it any more".to_owned());
        }
        shelf.present.insert((copy.key, place));
        Ok(())
    }
}

impl Shelf {
    /// Keeps chunks for an attempt; those that are not there. `None` when it is not wanted any more.
    fn hold(&mut self, copy: &Copy, attempt: AttemptId, places: &BTreeSet<u32>) -> Option<BTreeSet<u32>> {
        let staged = self.staged.get_mut(&attempt)?;
        for &place in places {
            if staged.holds.insert(place) {
                self.cache.hold((copy.key, place), u64::from(copy.chunks[place as usize].bytes));
            }
        }
        Some(places.iter().copied().filter(|&place| !self.present.contains(&(copy.key, place))).collect())
    }

    fn let_go(&mut self, place: Place) {
        self.cache.release(place);
        if !self.present.contains(&place) && !self.is_held(place) {
            self.cache.remove(place);
        }
    }

    fn is_held(&self, (key, place): Place) -> bool {
        self.staged.values().any(|staged| staged.key == key && staged.holds.contains(&place))
    }

    /// Removes what is beyond the limit, and files of which nothing is left.
    fn shrink(&mut self) {
        for (key, place) in self.cache.shrink() {
            self.present.remove(&(key, place));
            if let Some(copy) = self.copies.get(&key) {
                let at = u64::from(place) * u64::from(CHUNK_BYTES_MAX);
                dig(&copy.path, at, copy.chunks[place as usize].bytes);
            }
        }
        let (present, staged) = (&self.present, &self.staged);
        self.copies.retain(|&key, copy| {
            let needed = present.range((key, 0)..=(key, u32::MAX)).next().is_some()
                || staged.values().any(|staged| staged.key == key);
            if !needed && let Some(folder) = copy.path.parent() {
                // What cannot be removed is when the node starts the next time.
                let _ = fs::remove_dir_all(folder);
            }
            needed
        });
    }
}

/// What a copy is called: by what is in it and how its name ends, so that equal files are equal copies.
fn key(stage: &Stage) -> Key {
    let chunks = stage.found.located.as_ref().map(|located| &located.version.content.chunks);
    let mut all = last_part(&stage.dataset).as_bytes().to_vec();
    for chunk in chunks.into_iter().flatten() {
        all.extend(chunk.id.0);
    }
    digest(&SHA256, &all).as_ref()[..16].try_into().expect("a digest is longer")
}

/// The last part of a file's name.
fn last_part(dataset: &str) -> &str {
    let name = dataset.split_once(':').map_or(dataset, |(_, name)| name);
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    name.rsplit('/').next().unwrap_or(name)
}

fn read(path: &Path, at: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at.start))?;
    let mut bytes = Vec::new();
    file.take(at.end - at.start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Gives the room of a part of a file back. Where systems cannot, it comes back with that of the whole file.
fn dig(path: &Path, at: u64, bytes: u32) {
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{FallocateFlags, fallocate};
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let dug = OpenOptions::new().write(true).open(path).map(|file| {
            let (at, bytes) = (at.try_into().unwrap_or(i64::MAX), i64::from(bytes));
            fallocate(file, flags, at, bytes)
        });
        if let Err(error) | Ok(Err(error)) = dug.map(|dug| dug.map_err(io::Error::from)) {
            tracing::debug!(path = %path.display(), %error, "room cannot be given back");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (path, at, bytes);
}
