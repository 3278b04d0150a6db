//! What the file store is told and keeps: contents, versions, and what one can ask about them. The bytes never come here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::limits::{
    CHUNK_BYTES_MAX, FILE_CHUNKS_MAX, NAME_BYTES_MAX, PART_BYTES_MAX, VERSIONS_KEPT_MAX,
};
use crate::base::{Chunk, NodeId, Span, Time};

/// What a version of a file holds: its chunks, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content {
    /// What the bytes are.
    pub kind: FileKind,
    /// All chunks but the last have [`CHUNK_BYTES_MAX`] bytes; an empty file has none.
    pub chunks: Vec<Chunk>,
}

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// Bytes.
    Plain,
    /// A zip that was made of a folder, and becomes one again when it is fetched.
    Folder,
}

impl Content {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
    }

    /// What is wrong with it; `None` when nothing is.
    fn flaw(&self) -> Option<String> {
        if self.chunks.len() > FILE_CHUNKS_MAX {
            let most = (FILE_CHUNKS_MAX as u64 * u64::from(CHUNK_BYTES_MAX)) >> 30;
            return Some(format!(
                "a file has at most {FILE_CHUNKS_MAX} chunks ({most} GiB), not {}",
                self.chunks.len()
            ));
        }
        let (last, others) = self.chunks.split_last()?;
        let whole = others.iter().all(|chunk| chunk.bytes == CHUNK_BYTES_MAX);
        let fits = (1..=CHUNK_BYTES_MAX).contains(&last.bytes);
        (!whole || !fits).then(|| {
            format!("all chunks of a file but the last have {CHUNK_BYTES_MAX} bytes, and the last has 1 to that many")
        })
    }
}

/// A client puts a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Put {
    /// The file's name: see [`name_flaw`].
    pub name: Arc<str>,
    /// What the new version shall hold.
    pub content: Arc<Content>,
    /// What has to be so.
    pub expect: Expect,
    /// How many versions of the file stay, the new one among them: 1 to 1,000. 5 is usual.
    pub keep: u16,
}

impl Put {
    /// What is wrong with it; `None` when nothing is.
    pub(super) fn flaw(&self) -> Option<String> {
        let kept = (1..=VERSIONS_KEPT_MAX).contains(&self.keep);
        let keep = || format!("1 to {VERSIONS_KEPT_MAX} versions of a file are kept, not {}", self.keep);
        name_flaw(&self.name).or_else(|| self.content.flaw()).or_else(|| (!kept).then(keep))
    }
}

/// What must be so for a file to be changed: compare and set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Expect {
    /// Whatever there is.
    #[default]
    Anything,
    /// There is no such file.
    Absent,
    /// This is its newest version.
    Version(u64),
}

/// One version of a file. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// One more than the last of its name. The first of a name is beyond all that were ever deleted, of any name, so that no number is
    /// given twice.
    pub number: u64,
    /// When it was put, in cluster time.
    pub at: Time,
    /// What it holds.
    pub content: Arc<Content>,
}

/// A file as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: Arc<str>,
    /// What its newest version is.
    pub kind: FileKind,
    /// The number of that.
    pub version: u64,
    /// How many bytes that has.
    pub bytes: u64,
    /// How many versions there are.
    pub versions: u32,
    /// When the newest was put, in cluster time.
    pub at: Time,
}

/// A version that is kept, without what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// For how long it has been there, in cluster time.
    pub age: Span,
    /// What its bytes are.
    pub kind: FileKind,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many chunks these are.
    pub chunks: u32,
}

impl Kept {
    /// What there is to say of a version at this time.
    pub(super) fn of(version: &Version, now: Time) -> Kept {
        Kept {
            number: version.number,
            age: now.since(version.at),
            kind: version.content.kind,
            bytes: version.content.bytes(),
            chunks: version.content.chunks.len() as u32,
        }
    }
}

/// Where a version's chunks are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Located {
    /// The version.
    pub version: Version,
    /// For each of its chunks, in order, the members that are known to hold it.
    pub holders: Vec<Vec<NodeId>>,
}

/// What a member holds for the file store, as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shelved {
    /// The member.
    pub node: NodeId,
    /// Its name.
    pub name: Arc<str>,
    /// Chunks on its disk.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks that it was told to fetch and does not hold yet.
    pub coming: u64,
    /// Whether it is suspect, so that its copies do not count.
    pub suspect: bool,
    /// Whether its disk did not take what it was to hold, a moment ago: it gets nothing for ten seconds at a time.
    pub full: bool,
}

/// What the inputs of a job are called that a file of the store holds, before the file's name.
pub const STORED: &str = "store:";

/// The file that a dataset names, and its version if it says one: `store:NAME` or `store:NAME@VERSION`. `None` when it names none;
/// an error says what is wrong with the name.
pub fn stored(dataset: &str) -> Option<Result<(&str, Option<u64>), String>> {
    let named = dataset.strip_prefix(STORED)?;
    let (name, number) = match named.split_once('@') {
        None => (named, Ok(None)),
        Some((name, number)) => (name, number.parse().map(Some)),
    };
    Some(match (name_flaw(name), number) {
        (Some(flaw), _) => Err(flaw),
        (None, Ok(number)) if number != Some(0) => Ok((name, number)),
        (None, _) => Err(format!("{named:?} ends in no number of a version; wanted NAME or NAME@VERSION")),
    })
}

/// What is wrong with the name of a file; `None` when nothing is.
///
/// A name has 1 to 1,024 bytes and consists of parts of at most 255 bytes between slashes, none of which is empty, `.` or `..`; no control
/// characters.
/// So it is a path below whatever folder it is fetched into, and reads the same everywhere.
pub fn name_flaw(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a file needs a name".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Some(format!("a file's name has at most {NAME_BYTES_MAX} bytes, not {}", name.len()));
    }
    if let Some(control) = name.chars().find(|letter| letter.is_control()) {
        return Some(format!("a file's name has no control characters like {control:?}"));
    }
    if name.contains(['\\', '@']) {
        return Some(
            "a file's name has no \\ and no @ (which stands before the number of a version)".to_owned(),
        );
    }
    if let Some(long) = name.split('/').map(str::len).find(|bytes| *bytes > PART_BYTES_MAX) {
        return Some(format!(
            "a file's name has at most {PART_BYTES_MAX} bytes between slashes, as file systems have, not {long}"
        ));
    }
    let wrong = name.split('/').find(|part| matches!(*part, "" | "." | ".."));
    wrong.map(|part| format!("a file's name has no part {part:?} between slashes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ChunkId;

    #[test]
    fn names_stay_below_the_folder_that_they_are_fetched_into() {
        for fine in ["a", "letters/train.zip", "Größe 3", "..a/b..", "a/.b"] {
            assert_eq!(name_flaw(fine), None, "{fine}");
        }
        for wrong in ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a\0b", "a\nb", "a\\b", "a@2"] {
            assert!(name_flaw(wrong).is_some(), "{wrong:?}");
        }
        assert_eq!(name_flaw(&"x".repeat(PART_BYTES_MAX)), None);
        assert!(name_flaw(&format!("a/{}", "x".repeat(PART_BYTES_MAX + 1))).is_some());
        assert_eq!(name_flaw(&"xyz/".repeat(NAME_BYTES_MAX / 4)[..NAME_BYTES_MAX - 1]), None);
        assert!(name_flaw(&"x".repeat(10_000)).is_some_and(|flaw| flaw.contains("10000")));
    }

    #[test]
    fn a_dataset_names_a_file_of_the_store_and_perhaps_a_version() {
        assert_eq!(stored("letters"), None);
        assert_eq!(stored("store:a/b"), Some(Ok(("a/b", None))));
        assert_eq!(stored("store:a/b@12"), Some(Ok(("a/b", Some(12)))));
        for wrong in ["store:", "store:@1", "store:../a", "store:a@", "store:a@x", "store:a@0", "store:a@1@2"]
        {
            assert!(stored(wrong).is_some_and(|read| read.is_err()), "{wrong}");
        }
    }

    #[test]
    fn a_content_has_whole_chunks_and_a_last_one() {
        let content = |lengths: &[u32]| {
            let chunk = |(place, &bytes): (usize, &u32)| Chunk { id: ChunkId([place as u8; 32]), bytes };
            Content { kind: FileKind::Plain, chunks: lengths.iter().enumerate().map(chunk).collect() }
        };
        let whole = CHUNK_BYTES_MAX;
        for fine in [&[][..], &[1], &[whole], &[whole, whole], &[whole, 7]] {
            assert_eq!(content(fine).flaw(), None, "{fine:?}");
        }
        for wrong in [&[0][..], &[whole + 1], &[7, whole], &[whole, 0], &[whole - 1, 1]] {
            assert!(content(wrong).flaw().is_some(), "{wrong:?}");
        }
        assert_eq!(content(&[whole, 7]).bytes(), u64::from(whole) + 7);
    }
}
