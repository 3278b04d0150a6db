//! A node's diary: what it observed and when, in files that take up a bounded part of its disk.
//!
//! The machine writes down what it observed in a step before the step has any effect outside, without syncing: what is written
//! survives the death of the process, whenever it comes, and only that of the whole machine can take the last lines with it. The
//! files are numbered. Each life of the process begins a new one, and so does a file that is full; the oldest goes when there are
//! too many. Each is a row of frames, of which the first one says whose diary it is.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clock;
use super::disk::frames;
use crate::base::{NodeId, Time};
use crate::node::{Effect, Observation};

/// The version of the format.
const FORMAT: u32 = 1;
/// A file that is longer is full.
const FILE_BYTES: u64 = 4 << 20;
/// How many files are kept: 256 MiB in all.
const FILES_MAX: usize = 64;
/// No head is longer: it has one name in it.
const HEAD_BYTES_MAX: u64 = 4096;
/// The checksums of diaries depend on nothing but what they are of.
const SEED: u64 = 0;

/// What stands in a diary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note<O = Observation> {
    /// Whose it is; at the beginning of every file.
    Head(Head),
    /// What the node observed in one step.
    Step {
        /// When, by the clock of its machine.
        at: Time,
        /// What, in order.
        observed: Vec<O>,
    },
}

/// Whose diary it is, and what its times mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The version of the format.
    pub(crate) format: u32,
    /// The node.
    pub(crate) node: NodeId,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The number of the file with which this life of the process began.
    pub(crate) life: u64,
    /// When the file began, by the clock of the machine.
    pub(crate) at: Time,
    /// The same moment in nanoseconds since 1970, by the clock that people set.
    pub(crate) unix: u64,
}

/// A diary that is written.
#[derive(Debug)]
pub(crate) struct Diary {
    folder: PathBuf,
    node: NodeId,
    name: Arc<str>,
    life: u64,
    files: BTreeSet<u64>,
    /// The present file and its length; `None` once it could not be written.
    file: Option<(File, u64)>,
}

impl Diary {
    /// Begins a life of `node` in `folder`, which is made if need be.
    pub(crate) fn begin(folder: &Path, node: NodeId, name: Arc<str>) -> io::Result<Diary> {
        DirBuilder::new().recursive(true).create(folder)?;
        let files = numbers(folder)?;
        let life = files.last().map_or(1, |last| last + 1);
        let mut diary = Diary { folder: folder.to_owned(), node, name, life, files, file: None };
        diary.next_file(life)?;
        Ok(diary)
    }

    /// Writes down what of the effects of a step is to be seen. A diary that cannot be written ends; the node goes on.
    pub(crate) fn write(&mut self, at: Time, effects: &[Effect]) {
        let observed = effects.iter().filter_map(|effect| match effect {
            Effect::Observe(observation) => Some(observation),
            _ => None,
        });
        let observed: Vec<&Observation> = observed.collect();
        if observed.is_empty() || self.file.is_none() {
            return;
        }
        if let Err(error) = self.add(&Note::Step { at, observed }) {
            tracing::warn!(folder = %self.folder.display(), %error, "the diary ends here");
            self.file = None;
        }
    }

    fn add(&mut self, note: &Note<&Observation>) -> io::Result<()> {
        let mut frame = Vec::new();
        frames::add(&mut frame, SEED, &postcard::to_stdvec(note).expect("observations can be encoded"));
        let Some((file, length)) = &mut self.file else { return Ok(()) };
        file.write_all(&frame)?;
        *length += frame.len() as u64;
        if *length > FILE_BYTES {
            let next = self.files.last().map_or(1, |last| last + 1);
            self.next_file(next)?;
        }
        Ok(())
    }

    /// Goes on in a new file, and forgets the oldest if there are too many.
    fn next_file(&mut self, number: u64) -> io::Result<()> {
        let path = self.folder.join(named(number));
        self.file = Some((OpenOptions::new().write(true).create_new(true).open(path)?, 0));
        self.files.insert(number);
        let (at, unix) = (clock::now(), clock::unix());
        let (node, name, life) = (self.node, Arc::clone(&self.name), self.life);
        self.add(&Note::Head(Head { format: FORMAT, node, name, life, at, unix }))?;
        while self.files.len() > FILES_MAX {
            let oldest = self.files.pop_first().expect("there are many");
            fs::remove_file(self.folder.join(named(oldest)))?;
        }
        Ok(())
    }
}

pub(super) fn named(number: u64) -> String {
    format!("{number:08}")
}

/// The files of a diary, by number.
pub(super) fn numbers(folder: &Path) -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        found.extend(name.to_str().filter(|name| name.len() >= 8).and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(found)
}

/// What a file begins with, once that is written.
pub(super) fn head(file: &mut impl Read) -> io::Result<Option<Head>> {
    let mut bytes = Vec::new();
    file.take(HEAD_BYTES_MAX).read_to_end(&mut bytes)?;
    let Some(length) = frames::length(&bytes).filter(|length| frames::HEAD + length <= bytes.len()) else {
        return Ok(None);
    };
    let first = frames::read(&bytes[..frames::HEAD + length], SEED).ok();
    let first = first.and_then(|(found, _)| postcard::from_bytes(found.first()?).ok());
    Ok(match first {
        Some(Note::Head(head)) if head.format == FORMAT => Some(head),
        Some(Note::<Observation>::Head(_) | Note::Step { .. }) | None => None,
    })
}

/// Reads a diary from its beginning, while it may still be written.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    /// The file that is read and how far, once there is one.
    at: Option<(u64, u64)>,
}

impl Reader {
    /// A reader of the diary in `folder`, which may not exist yet.
    pub(crate) fn new(folder: &Path) -> Reader {
        Reader { folder: folder.to_owned(), at: None }
    }

    /// What was written since the last time, as far as it is whole: `take` is given each note in order. A file that vanished before
    /// it was read to its end is an error, and so is one that makes no sense.
    pub(crate) fn read(&mut self, mut take: impl FnMut(Note)) -> io::Result<()> {
        loop {
            let files = match numbers(&self.folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                files => files?,
            };
            let Some(&first) = files.first() else { return Ok(()) };
            let (number, from) = *self.at.get_or_insert((first, 0));
            // What is written before a later file is there to be seen is all that this one will ever hold.
            let later = files.range(number + 1..).next().copied();
            let mut file = File::open(self.folder.join(named(number)))?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let damaged = |what: String| {
                let path = self.folder.join(named(number));
                io::Error::new(ErrorKind::InvalidData, format!("{}: {what}", path.display()))
            };
            let (found, end) = frames::read(&bytes, SEED)
                .map_err(|bad| damaged(format!("damaged at byte {}", from + bad.at as u64)))?;
            for frame in found {
                take(postcard::from_bytes(frame).map_err(|error| damaged(error.to_string()))?);
            }
            self.at = Some((number, from + end as u64));
            match later {
                Some(later) => self.at = Some((later, 0)),
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, Incarnation};

    const ME: NodeId = NodeId::new(9);

    fn stood(epoch: u64) -> Observation {
        Observation::Stood { epoch: Epoch(epoch) }
    }

    fn write(diary: &mut Diary, epoch: u64) {
        diary.write(Time(epoch), &[Effect::Left, Effect::Observe(stood(epoch))]);
    }

    fn read(reader: &mut Reader) -> Vec<Note> {
        let mut notes = Vec::new();
        reader.read(|note| notes.push(note)).unwrap();
        notes
    }

    fn lives(notes: &[Note]) -> Vec<u64> {
        let heads = notes.iter().filter_map(|note| match note {
            Note::Head(head) => Some(head.life),
            Note::Step { .. } => None,
        });
        heads.collect()
    }

    #[test]
    fn what_is_written_can_be_read_at_once_and_lives_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("diary");
        let mut reader = Reader::new(&folder);
        assert_eq!(read(&mut reader), []);
        let mut diary = Diary::begin(&folder, ME, "n1".into()).unwrap();
        write(&mut diary, 1);
        let notes = read(&mut reader);
        assert_eq!(lives(&notes), [1]);
        assert_eq!(notes[1..], [Note::Step { at: Time(1), observed: vec![stood(1)] }]);
        write(&mut diary, 2);
        diary.write(Time(3), &[Effect::Left]);
        assert_eq!(read(&mut reader), [Note::Step { at: Time(2), observed: vec![stood(2)] }]);
        // A frame that the end of the process cut short is as good as never written.
        let path = folder.join("00000001");
        let length = fs::metadata(&path).unwrap().len();
        write(&mut diary, 4);
        drop(diary);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length + 7).unwrap();
        assert_eq!(read(&mut reader), []);
        let mut diary = Diary::begin(&folder, ME, "n1".into()).unwrap();
        write(&mut diary, 5);
        let notes = read(&mut reader);
        assert_eq!((lives(&notes), notes.len()), (vec![2], 2));
    }

    #[test]
    fn it_takes_up_a_bounded_part_of_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut diary = Diary::begin(folder.path(), ME, "n1".into()).unwrap();
        let much: Vec<Effect> = (0..400_000)
            .map(|n| Effect::Observe(Observation::Born { incarnation: Incarnation(n) }))
            .collect();
        for at in 0..=(FILES_MAX as u64 * 4) {
            diary.write(Time(at), &much);
        }
        let files = numbers(folder.path()).unwrap();
        assert_eq!(files.len(), FILES_MAX);
        assert!(*files.first().unwrap() > 1, "{files:?}");
        let bytes: u64 =
            files.iter().map(|file| fs::metadata(folder.path().join(named(*file))).unwrap().len()).sum();
        assert!(bytes < (FILES_MAX as u64 + 1) * (FILE_BYTES + (2 << 20)), "{bytes}");
        // All of them belong to the life that began with the first, which is gone.
        let notes = read(&mut Reader::new(folder.path()));
        assert!(lives(&notes).iter().all(|life| *life == 1));
    }
}
