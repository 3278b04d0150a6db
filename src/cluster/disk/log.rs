//! The log of records and the snapshot that it names: read at the start, continued, and begun anew after each snapshot.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::frames;
use super::{DiskError, io_error};
use crate::node::{Disk, Position, Record, Snapshot};

const LOG: &str = "log";

/// What frames hold, one after the other.
#[derive(Serialize, Deserialize)]
enum Stored {
    Record(Record),
    /// The snapshot at this place; it has a file of its own.
    Snapshot(Position),
}

/// A log that is open for writing, with everything that it holds.
#[derive(Debug)]
pub(in super::super) struct Log {
    folder: Folder,
    file: File,
    /// All records, folded.
    disk: Disk,
}

impl Log {
    /// Reads everything, cuts a torn tail, and is ready to go on. Says how many bytes were cut.
    pub(in super::super) fn open(folder: Folder) -> Result<(Log, u64), DiskError> {
        let path = folder.file(LOG);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // The log comes before everything else that a node writes: only a first start that was cut short has none.
                if let Some(used) = folder.trace_of_use()? {
                    let what = format!("it is gone, and {used} says that it was there");
                    return Err(DiskError::Lost { path, what });
                }
                folder.tidy(None)?;
                // The first frame is empty and was never torn: a log without one has lost what it held.
                let file = folder.replace(LOG, &framed(folder.id.bits(), &[]))?;
                return Ok((Log { folder, file, disk: Disk::default() }, 0));
            }
            Err(error) => return Err(io_error(&path)(error)),
        };
        let lost = |what| DiskError::Lost { path: path.clone(), what };
        let (frames, end) = frames::read(&bytes, folder.id.bits()).map_err(|damaged| {
            let frames::Damaged { at, good } = damaged;
            lost(format!("the record at byte {at} is bad, and good ones follow from byte {good} on"))
        })?;
        if end == 0 {
            return Err(lost("it does not begin with a record of this node".to_owned()));
        }
        let (mut disk, mut named) = (Disk::default(), None);
        for frame in frames {
            let mut rest = frame;
            while !rest.is_empty() {
                let (stored, after) = postcard::take_from_bytes(rest).map_err(|error| {
                    lost(format!("a record with the right checksum cannot be read: {error}"))
                })?;
                rest = after;
                match stored {
                    // No entries at all are nothing that is ever written.
                    Stored::Record(Record::Entries(entries)) if entries.is_empty() => {
                        return Err(lost("a record with the right checksum makes no sense".to_owned()));
                    }
                    Stored::Record(record) => disk.apply(&record),
                    Stored::Snapshot(last) => {
                        disk.apply(&Record::Snapshot(read_snapshot(&folder, last)?));
                        named = Some(name_of(last));
                    }
                }
            }
        }
        folder.tidy(named.as_deref())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io_error(&path))?;
        let cut = (bytes.len() - end) as u64;
        if cut > 0 {
            let shortened = file.set_len(end as u64).and_then(|()| file.sync_all());
            shortened.map_err(io_error(&path))?;
        }
        Ok((Log { folder, file, disk }, cut))
    }

    /// Everything that it holds.
    pub(in super::super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Makes records durable, all of them together: after a crash in the meantime the disk holds all or none.
    pub(in super::super) fn write(&mut self, records: Vec<Record>) -> Result<(), DiskError> {
        let has_snapshot = records.iter().any(|record| matches!(record, Record::Snapshot(_)));
        for record in &records {
            self.disk.apply(record);
        }
        if has_snapshot {
            return self.begin_anew();
        }
        let stored: Vec<Stored> = records.into_iter().map(Stored::Record).collect();
        let frame = framed(self.folder.id.bits(), &stored);
        let written = self.file.write_all(&frame).and_then(|()| self.file.sync_data());
        written.map_err(io_error(&self.folder.file(LOG)))
    }

    /// Writes the snapshot into a file of its own, and a log that begins with it.
    fn begin_anew(&mut self) -> Result<(), DiskError> {
        let (disk, seed) = (&self.disk, self.folder.id.bits());
        let snapshot = disk.snapshot.as_ref().expect("a record of a snapshot was folded in");
        let name = name_of(snapshot.last);
        self.folder
            .replace(&name, &framed(seed, &[Stored::Record(Record::Snapshot(Arc::clone(snapshot)))]))?;
        let mut stored = vec![
            Stored::Record(Record::Cluster(disk.cluster)),
            Stored::Record(Record::Incarnation(disk.incarnation)),
            Stored::Record(Record::Ballot(disk.ballot)),
            Stored::Snapshot(snapshot.last),
        ];
        if let Some((view, seats)) = &disk.view {
            let (view, seats) = (Arc::clone(view), Arc::clone(seats));
            stored.push(Stored::Record(Record::View { view, seats }));
        }
        if !disk.entries.is_empty() {
            stored.push(Stored::Record(Record::Entries(disk.entries.clone())));
        }
        self.file = self.folder.replace(LOG, &framed(seed, &stored))?;
        self.folder.tidy(Some(&name))
    }
}

fn name_of(last: Position) -> String {
    format!("snapshot-{}-{}", last.epoch.0, last.index.0)
}

fn framed(seed: u64, stored: &[Stored]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for one in stored {
        bytes = postcard::to_extend(one, bytes).expect("records can be encoded");
    }
    let mut file = Vec::with_capacity(bytes.len() + 16);
    frames::add(&mut file, seed, &bytes);
    file
}

fn read_snapshot(folder: &Folder, last: Position) -> Result<Arc<Snapshot>, DiskError> {
    let path = folder.file(&name_of(last));
    let lost = |what: &str| DiskError::Lost { path: path.clone(), what: what.to_owned() };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(lost("the log names this snapshot, and it is not there"));
        }
        Err(error) => return Err(io_error(&path)(error)),
    };
    let bad = || lost("it is not the snapshot that was written");
    let (frames, end) = frames::read(&bytes, folder.id.bits()).map_err(|_| bad())?;
    let [frame] = frames[..] else { return Err(bad()) };
    match postcard::from_bytes(frame) {
        Ok(Stored::Record(Record::Snapshot(snapshot))) if snapshot.last == last && end == bytes.len() => {
            Ok(snapshot)
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::base::{ClusterId, Epoch, Incarnation, NodeId, Time};
    use crate::node::{Ballot, Entry, Index, Payload, Seats};

    const ME: NodeId = NodeId::new(77);

    fn open(path: &Path) -> Result<(Log, u64), DiskError> {
        Log::open(Folder::open(path, ME)?)
    }

    #[test]
    fn a_disk_without_its_log_is_lost_if_it_was_ever_used() {
        let at = tempfile::tempdir().unwrap();
        drop(open(at.path()).unwrap());
        // A first start that was cut short leaves an identity, and nothing else.
        std::fs::remove_file(at.path().join(LOG)).unwrap();
        drop(open(at.path()).unwrap());
        for used in ["diary", "chunks"] {
            std::fs::remove_file(at.path().join(LOG)).unwrap();
            std::fs::create_dir(at.path().join(used)).unwrap();
            let lost = open(at.path()).map(|_| ()).unwrap_err();
            assert!(matches!(lost, DiskError::Lost { .. }) && lost.to_string().contains(used), "{lost}");
            std::fs::remove_dir(at.path().join(used)).unwrap();
            drop(open(at.path()).unwrap());
        }
    }

    fn position(index: u64) -> Position {
        Position { epoch: Epoch(1), index: Index(index) }
    }

    fn entries(from: u64, until: u64) -> Record {
        let entry =
            |index| Entry { position: position(index), at: Time(index), payload: Arc::new(Payload::Noop) };
        Record::Entries((from..until).map(entry).collect())
    }

    fn snapshot(index: u64) -> Record {
        let seats = Arc::new(Seats { number: 1, voters: vec![ME], learners: Vec::new(), passing: None });
        let state = vec![index as u8; 1000].into();
        Record::Snapshot(Arc::new(Snapshot { last: position(index), at: Time(index), seats, state }))
    }

    /// Batches as a node writes them, a snapshot among them.
    fn batches() -> Vec<Vec<Record>> {
        vec![
            vec![Record::Cluster(ClusterId(3)), Record::Incarnation(Incarnation(1))],
            vec![entries(1, 5)],
            vec![Record::Ballot(Ballot { epoch: Epoch(1), vote: Some(ME) }), entries(5, 9)],
            vec![snapshot(6), entries(9, 10)],
            vec![entries(10, 12)],
            vec![Record::Incarnation(Incarnation(2)), entries(11, 14)],
        ]
    }

    /// The disk after the first `count` batches.
    fn folded(count: usize) -> Disk {
        let mut disk = Disk::default();
        batches()[..count].iter().flatten().for_each(|record| disk.apply(record));
        disk
    }

    fn written(path: &Path, count: usize) {
        let (mut log, _) = open(path).expect("the directory is new");
        batches().into_iter().take(count).for_each(|batch| log.write(batch).unwrap());
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        for count in 0..=batches().len() {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), count);
            let (mut log, cut) = open(folder.path()).unwrap();
            assert_eq!((log.disk(), cut), (&folded(count), 0), "{count} batches");
            // And it goes on from there.
            let rest: Vec<_> = batches().into_iter().skip(count).collect();
            for batch in rest {
                log.write(batch).unwrap();
            }
            drop(log);
            assert_eq!(open(folder.path()).unwrap().0.disk(), &folded(batches().len()), "{count} batches");
        }
    }

    #[test]
    fn a_snapshot_makes_the_log_short_and_the_snapshot_before_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        log.write(vec![entries(1, 2000)]).unwrap();
        let before = fs::metadata(folder.path().join(LOG)).unwrap().len();
        log.write(vec![snapshot(1000)]).unwrap();
        log.write(vec![snapshot(1999)]).unwrap();
        assert!(fs::metadata(folder.path().join(LOG)).unwrap().len() < before / 10);
        assert!(folder.path().join("snapshot-1-1999").exists());
        assert!(!folder.path().join("snapshot-1-1000").exists());
    }

    #[test]
    fn a_snapshot_that_is_gone_or_damaged_is_a_lost_disk() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 5);
        let path = folder.path().join("snapshot-1-6");
        let whole = fs::read(&path).unwrap();
        for bad in [whole[..whole.len() - 1].to_vec(), [whole.as_slice(), &[0]].concat()] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(open(folder.path()), Err(DiskError::Lost { .. })));
        }
        fs::remove_file(&path).unwrap();
        let lost = open(folder.path()).unwrap_err().to_string();
        assert!(lost.contains("snapshot-1-6") && lost.contains("--join"), "{lost}");
    }

    #[test]
    fn a_record_of_no_entries_is_a_lost_disk_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 2);
        let path = folder.path().join(LOG);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(framed(ME.bits(), &[Stored::Record(Record::Entries(Vec::new()))]));
        fs::write(&path, bytes).unwrap();
        assert!(matches!(open(folder.path()), Err(DiskError::Lost { .. })));
    }

    #[test]
    fn what_an_interrupted_snapshot_left_behind_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 5);
        for name in ["snapshot-1-7", "log.new", "snapshot-9-9.new"] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        assert_eq!(open(folder.path()).unwrap().0.disk(), &folded(5));
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["identity", "lock", "log", "snapshot-1-6"]);
    }

    /// Something that happens to a file.
    #[derive(Clone, Debug)]
    enum Harm {
        Cut(prop::sample::Index),
        Flip(prop::sample::Index, u32),
        /// Noise in the place of what was there, or behind it.
        Noise(prop::sample::Index, Vec<u8>),
        /// A part of the file once more, at its end.
        Repeat(prop::sample::Index, prop::sample::Index),
        /// A part is gone.
        Gap(prop::sample::Index, prop::sample::Index),
    }

    /// Bytes of which some begin like a record.
    fn noise() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), proptest::collection::vec(0..6_u8, 0..60),]
    }

    fn harm() -> impl Strategy<Value = Harm> {
        let place = any::<prop::sample::Index>;
        prop_oneof![
            1 => place().prop_map(Harm::Cut),
            // What is easiest to overlook comes most often.
            4 => (place(), 0..8_u32).prop_map(|(place, bit)| Harm::Flip(place, bit)),
            1 => (place(), proptest::collection::vec(any::<u8>(), 1..80))
                .prop_map(|(place, noise)| Harm::Noise(place, noise)),
            1 => (place(), place()).prop_map(|(from, to)| Harm::Repeat(from, to)),
            1 => (place(), place()).prop_map(|(from, to)| Harm::Gap(from, to)),
        ]
    }

    impl Harm {
        fn befall(&self, file: &mut Vec<u8>) {
            let length = file.len();
            let part = |file: &[u8], from: &prop::sample::Index, to: &prop::sample::Index| {
                let (one, other) = (from.index(length + 1), to.index(length + 1));
                let mut part = one.min(other)..one.max(other);
                // Whole frames that vanish or come twice are nothing that a disk does, and nobody could tell.
                part.start += usize::from(frames::length(&file[part.clone()]).is_some());
                part
            };
            match self {
                Harm::Cut(place) => file.truncate(place.index(length + 1)),
                Harm::Flip(place, bit) if length > 0 => file[place.index(length)] ^= 1 << bit,
                Harm::Flip(..) => {}
                Harm::Noise(place, noise) => {
                    let place = place.index(length + 1);
                    file.truncate(place);
                    file.extend_from_slice(noise);
                }
                Harm::Repeat(from, to) => {
                    let part = part(file, from, to);
                    file.extend_from_within(part);
                }
                Harm::Gap(from, to) => {
                    let part = part(file, from, to);
                    file.drain(part);
                }
            }
        }
    }

    proptest! {
        // Each case works on real files.
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Wherever a crash tears the last write, everything before it is there and the log can be continued.
        #[test]
        fn a_log_that_is_cut_anywhere_keeps_whole_batches(
            count in 1..=6_usize, cut in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), count);
            let path = folder.path().join(LOG);
            let whole = fs::read(&path).unwrap();
            // What a snapshot has replaced cannot be torn any more.
            let first = if count >= 4 { 4 } else { 0 };
            let other = tempfile::tempdir().unwrap();
            written(other.path(), first);
            let least = fs::read(other.path().join(LOG)).unwrap().len();
            let kept = least + cut.index(whole.len() - least + 1);
            fs::write(&path, &whole[..kept]).unwrap();
            let (mut log, torn) = open(folder.path()).unwrap();
            let survived = (first..=count).find(|&n| *log.disk() == folded(n));
            prop_assert!(survived.is_some(), "a disk that never was: {:?}", log.disk());
            prop_assert_eq!(fs::metadata(&path).unwrap().len() + torn, kept as u64);
            log.write(vec![Record::Incarnation(Incarnation(9))]).unwrap();
            drop(log);
            prop_assert_eq!(open(folder.path()).unwrap().0.disk().incarnation, Incarnation(9));
        }

        /// Whatever is done to a log, it is refused, or it is what it was after some of its batches: nothing is believed that was
        /// never written, and a refused log is left as it is.
        #[test]
        fn a_log_that_was_mangled_never_says_what_was_not_written(
            count in 0..=6_usize, harms in proptest::collection::vec(harm(), 1..3),
        ) {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), count);
            let path = folder.path().join(LOG);
            let mut bytes = fs::read(&path).unwrap();
            for harm in &harms {
                harm.befall(&mut bytes);
            }
            fs::write(&path, &bytes).unwrap();
            match open(folder.path()) {
                Ok((log, torn)) => {
                    prop_assert!((0..=count).any(|n| *log.disk() == folded(n)), "{:?}", log.disk());
                    prop_assert_eq!(fs::metadata(&path).unwrap().len() + torn, bytes.len() as u64);
                    let cut = fs::read(&path).unwrap();
                    prop_assert_eq!(&cut[..], &bytes[..cut.len()]);
                }
                Err(DiskError::Lost { .. }) => prop_assert_eq!(fs::read(&path).unwrap(), bytes),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        /// Frames with the right checksum whose bytes were never written, as by another version, are refused or make sense to the last
        /// byte.
        #[test]
        fn sound_frames_of_noise_are_read_without_a_panic(
            noise in proptest::collection::vec(noise(), 1..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), 0);
            let path = folder.path().join(LOG);
            let mut bytes = fs::read(&path).unwrap();
            for one in &noise {
                frames::add(&mut bytes, ME.bits(), one);
            }
            fs::write(&path, &bytes).unwrap();
            match open(folder.path()) {
                Ok((_, torn)) => prop_assert_eq!(torn, 0),
                Err(DiskError::Lost { .. }) => prop_assert_eq!(fs::read(&path).unwrap(), bytes),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        /// A flipped bit costs the last batch at most; anywhere else the disk is refused and nothing is changed.
        #[test]
        fn a_flipped_bit_is_never_believed(
            count in 1..=6_usize, place in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), count);
            let path = folder.path().join(LOG);
            let mut bad = fs::read(&path).unwrap();
            let place = place.index(bad.len());
            bad[place] ^= 1 << bit;
            fs::write(&path, &bad).unwrap();
            match open(folder.path()) {
                Ok((log, torn)) => {
                    prop_assert!(torn > 0);
                    prop_assert_eq!(log.disk(), &folded(count - 1));
                }
                Err(DiskError::Lost { .. }) => prop_assert_eq!(fs::read(&path).unwrap(), bad),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
