//! The names of the file store: which versions there are of each file, and which chunks they consist of.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::config::limits::{CHUNKS_MAX, FILES_MAX, LISTED_MAX};
use super::super::entry::Inputs;
use super::super::file::{Expect, Listed, Put, STORED, Version, stored};
use super::super::message::Refusal;
use super::super::observation::Change;
use crate::base::{ChunkId, Fold, JobId, Time};

/// The files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Files {
    by_name: BTreeMap<Arc<str>, File>,
    /// The highest version number of any file that was deleted: what is put anew goes on above, so that no version of a name is
    /// ever named like another.
    floor: u64,
    /// What jobs that have not ended read.
    pins: BTreeMap<JobId, Pin>,
    /// How many versions and jobs refer to each chunk; follows from the files and the pins.
    #[serde(skip)]
    references: BTreeMap<ChunkId, Reference>,
    /// The sum of the digests of all files; follows from them.
    #[serde(skip)]
    digest: u128,
}

/// One file: its versions, oldest first, never none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct File {
    versions: VecDeque<Arc<Version>>,
}

/// What a job reads. It does not change when the file does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in super::super) struct Pin {
    /// The file and the version, as workers are told.
    pub dataset: Arc<str>,
    /// The version.
    pub version: Arc<Version>,
}

/// That versions refer to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reference {
    bytes: u32,
    versions: u32,
}

impl File {
    fn newest(&self) -> &Arc<Version> {
        self.versions.back().expect("a file has at least one version")
    }
}

impl Files {
    /// Whether nothing was ever put.
    pub(super) fn is_unused(&self) -> bool {
        self.by_name.is_empty() && self.floor == 0
    }

    /// A digest of it; zero when nothing was ever put, so that it adds nothing to that of the whole state.
    pub(super) fn digest(&self) -> u128 {
        if self.is_unused() { 0 } else { Fold::of(&("files", self.floor)).wrapping_add(self.digest) }
    }

    /// What a job with these inputs would read; `None` when that is no file.
    pub(super) fn pin_of(&self, inputs: &Inputs) -> Result<Option<Pin>, Refusal> {
        let Inputs::Range { dataset, .. } = inputs else { return Ok(None) };
        // What is wrong with a name was said before.
        let Some(Ok((name, number))) = stored(dataset) else { return Ok(None) };
        let unknown = || Refusal::UnknownFile(dataset[STORED.len()..].into());
        let version = Arc::clone(self.version(name, number).ok_or_else(unknown)?);
        let dataset = format!("{STORED}{name}@{}", version.number).into();
        Ok(Some(Pin { dataset, version }))
    }

    /// A job reads this from now on.
    pub(super) fn pin(&mut self, job: JobId, pin: Pin) -> Change {
        let version = Arc::clone(&pin.version);
        self.refer(&version);
        self.digest = self.digest.wrapping_add(Fold::of(&("pin", job, &pin)));
        self.pins.insert(job, pin);
        Change::Pinned { job, version }
    }

    /// A job has ended, and reads nothing any more.
    pub(super) fn unpin(&mut self, job: JobId) -> Option<Change> {
        let pin = self.pins.remove(&job)?;
        self.digest = self.digest.wrapping_sub(Fold::of(&("pin", job, &pin)));
        self.unrefer(&pin.version);
        Some(Change::Unpinned { job, version: pin.version })
    }

    /// What a job reads, if that is a file and it has not ended.
    pub(in super::super) fn pinned(&self, job: JobId) -> Option<&Pin> {
        self.pins.get(&job)
    }

    /// Works out what follows from what was read; false when that makes no sense.
    pub(super) fn restore(&mut self) -> bool {
        if self.by_name.values().any(|file| file.versions.is_empty()) {
            return false;
        }
        for (name, file) in &self.by_name {
            self.digest = self.digest.wrapping_add(Fold::of(&(name, file)));
        }
        for (job, pin) in &self.pins {
            self.digest = self.digest.wrapping_add(Fold::of(&("pin", job, pin)));
        }
        let named = self.by_name.values().flat_map(|file| file.versions.iter().cloned());
        let all: Vec<Arc<Version>> =
            named.chain(self.pins.values().map(|pin| Arc::clone(&pin.version))).collect();
        for version in &all {
            self.refer(version);
        }
        true
    }

    /// Puts a new version, or says why not and changes nothing.
    pub(super) fn put(&mut self, put: &Put, now: Time) -> Result<(u64, Change), Refusal> {
        self.expect(&put.name, put.expect)?;
        let full = |what: &str, limit: usize| Refusal::Busy { what: what.into(), limit: limit as u64 };
        if self.by_name.len() >= FILES_MAX && !self.by_name.contains_key(&put.name) {
            return Err(full("files", FILES_MAX));
        }
        if self.references.len() + put.content.chunks.len() > CHUNKS_MAX {
            return Err(full("chunks of files", CHUNKS_MAX));
        }
        let before = self.take(&put.name);
        let number = before.as_ref().map_or(self.floor, |file| file.newest().number) + 1;
        let version = Arc::new(Version { number, at: now, content: Arc::clone(&put.content) });
        let mut file = before.unwrap_or_else(|| File { versions: VecDeque::new() });
        file.versions.push_back(Arc::clone(&version));
        self.refer(&version);
        let mut gone = Vec::new();
        while file.versions.len() > usize::from(put.keep) {
            gone.extend(file.versions.pop_front());
        }
        for version in &gone {
            self.unrefer(version);
        }
        self.digest = self.digest.wrapping_add(Fold::of(&(&put.name, &file)));
        self.by_name.insert(Arc::clone(&put.name), file);
        Ok((number, Change::FilePut { name: Arc::clone(&put.name), version, gone }))
    }

    /// Deletes a file with all its versions, or says why not and changes nothing.
    pub(super) fn delete(&mut self, name: &Arc<str>, expect: Expect) -> Result<Change, Refusal> {
        if !self.by_name.contains_key(name) {
            return Err(Refusal::UnknownFile(Arc::clone(name)));
        }
        self.expect(name, expect)?;
        let file = self.take(name).expect("it was seen above");
        self.floor = self.floor.max(file.newest().number);
        let gone: Vec<Arc<Version>> = file.versions.into();
        for version in &gone {
            self.unrefer(version);
        }
        Ok(Change::FileDeleted { name: Arc::clone(name), gone })
    }

    /// Whether what must be so is so.
    fn expect(&self, name: &Arc<str>, expect: Expect) -> Result<(), Refusal> {
        let newest = self.by_name.get(name).map(|file| file.newest().number);
        let fits = match expect {
            Expect::Anything => true,
            Expect::Absent => newest.is_none(),
            Expect::Version(number) => newest == Some(number),
        };
        if fits { Ok(()) } else { Err(Refusal::Changed { name: Arc::clone(name), newest }) }
    }

    /// Takes a file out of the digest, to be put back changed or not at all.
    fn take(&mut self, name: &Arc<str>) -> Option<File> {
        let file = self.by_name.remove(name)?;
        self.digest = self.digest.wrapping_sub(Fold::of(&(name, &file)));
        Some(file)
    }

    fn refer(&mut self, version: &Version) {
        for chunk in &version.content.chunks {
            self.references
                .entry(chunk.id)
                .or_insert(Reference { bytes: chunk.bytes, versions: 0 })
                .versions += 1;
        }
    }

    fn unrefer(&mut self, version: &Version) {
        for chunk in &version.content.chunks {
            let reference = self.references.get_mut(&chunk.id).expect("what refers was counted");
            reference.versions -= 1;
            if reference.versions == 0 {
                self.references.remove(&chunk.id);
            }
        }
    }

    /// Whether any version or job refers to this chunk.
    pub(in super::super) fn refer_to(&self, chunk: ChunkId) -> bool {
        self.references.contains_key(&chunk)
    }

    /// Every chunk that is referred to, in order, with its length.
    pub(in super::super) fn chunks(&self) -> impl Iterator<Item = (ChunkId, u32)> {
        self.references.iter().map(|(&id, reference)| (id, reference.bytes))
    }

    /// A version of a file: the newest one, or that of a number.
    pub(in super::super) fn version(&self, name: &str, number: Option<u64>) -> Option<&Arc<Version>> {
        let file = self.by_name.get(name)?;
        match number {
            None => Some(file.newest()),
            Some(number) => file.versions.iter().find(|version| version.number == number),
        }
    }

    /// The versions of a file, oldest first; none when there is no such file.
    pub(in super::super) fn versions(&self, name: &str) -> impl Iterator<Item = &Arc<Version>> {
        self.by_name.get(name).into_iter().flat_map(|file| &file.versions)
    }

    /// A page of the files whose names begin so, in order, after this one: and whether there are more.
    pub(in super::super) fn list(&self, prefix: &str, after: Option<&str>) -> (Vec<Listed>, bool) {
        let from: Arc<str> = after.unwrap_or(prefix).max(prefix).into();
        let mut matching = (self.by_name.range(from..))
            .skip_while(|(name, _)| Some(&***name) == after)
            .take_while(|(name, _)| name.starts_with(prefix));
        let listed = |(name, file): (&Arc<str>, &File)| {
            let newest = file.newest();
            Listed {
                name: Arc::clone(name),
                kind: newest.content.kind,
                version: newest.number,
                bytes: newest.content.bytes(),
                versions: file.versions.len() as u32,
                at: newest.at,
            }
        };
        let page = matching.by_ref().take(LISTED_MAX).map(listed).collect();
        (page, matching.next().is_some())
    }
}
