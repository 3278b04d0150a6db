//! Which bytes of a file an engine reads for which inputs, found without reading the inputs: only the list at the end of a zip.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use crate::dataset::{Dataset, INPUTS_MAX, LABELS};

/// So much of the end of a zip says where its list stands.
pub const TAIL_BYTES: u64 = (1 << 16) + 98;
/// Bytes of an entry of a list, without its name and what is added to it.
const ENTRY_BYTES: usize = 46;
/// The most bytes of what is added to an entry: several times of what is usual. Whoever has more makes lists to fill memory with.
const ADDED_BYTES_MAX: usize = 4_096;

/// Where the files in a zip stand, each with all that belongs to it.
pub type Places = BTreeMap<Vec<u8>, Range<u64>>;

/// The list of a zip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Where it stands.
    pub at: Range<u64>,
    /// How many entries it is said to have.
    pub entries: u64,
}

/// The list of a zip, by what its last [`TAIL_BYTES`] say; `None` when that is no zip, or has more in its list than a dataset may have.
pub fn list(tail: &[u8], length: u64) -> Option<List> {
    let end = (0..=tail.len().checked_sub(22)?).rev().find(|&at| {
        let behind = tail.len() - at - 22;
        tail[at..].starts_with(b"PK\x05\x06") && usize::from(u16_at(tail, at + 20)) == behind
    })?;
    let begin = length - tail.len() as u64;
    let mut entries = u64::from(u16_at(tail, end + 10));
    let (mut size, mut from) = (u64::from(u32_at(tail, end + 12)), u64::from(u32_at(tail, end + 16)));
    if from == u64::from(u32::MAX) || size == u64::from(u32::MAX) || u16_at(tail, end + 10) == u16::MAX {
        // A large one says so in a record of its own.
        let sign = end.checked_sub(20).filter(|&at| tail[at..].starts_with(b"PK\x06\x07"))?;
        let at = usize::try_from(u64_at(tail, sign + 8).checked_sub(begin)?).ok()?;
        let record = tail.get(at..at.checked_add(56)?).filter(|record| record.starts_with(b"PK\x06\x06"))?;
        (entries, size, from) = (u64_at(record, 32), u64_at(record, 40), u64_at(record, 48));
    }
    // Names of files as long as they may be, and a little beside each.
    let most = entries.checked_mul((ENTRY_BYTES + ADDED_BYTES_MAX) as u64)?;
    let fits = from.checked_add(size)? <= begin + end as u64 && size <= most && entries <= INPUTS_MAX as u64;
    fits.then(|| List { at: from..from + size, entries })
}

/// Where the files stand that a list names. It is read entry by entry, so that one that makes no sense takes no memory.
pub fn places(file: &mut File, List { at, entries }: &List) -> io::Result<Places> {
    let wrong = || io::Error::other("the list of the zip makes no sense");
    file.seek(SeekFrom::Start(at.start))?;
    let mut rest = BufReader::new(file.take(at.end - at.start));
    let mut names = Vec::new();
    let mut record = Vec::new();
    for _ in 0..*entries {
        record.resize(ENTRY_BYTES, 0);
        rest.read_exact(&mut record)?;
        let [name, extra, note] = [28, 30, 32].map(|at| usize::from(u16_at(&record, at)));
        if !record.starts_with(b"PK\x01\x02") || name + extra + note > ADDED_BYTES_MAX {
            return Err(wrong());
        }
        record.resize(ENTRY_BYTES + name + extra + note, 0);
        rest.read_exact(&mut record[ENTRY_BYTES..])?;
        let (name, added) = record[ENTRY_BYTES..].split_at(name);
        let begin = match u32_at(&record, 42) {
            u32::MAX => large(&record, &added[..extra]).ok_or_else(wrong)?,
            begin => u64::from(begin),
        };
        if begin >= at.start {
            return Err(wrong());
        }
        names.push((begin, name.to_vec()));
    }
    names.sort_unstable();
    // What begins at the next one's place belongs to that.
    let ends: Vec<u64> = names.iter().skip(1).map(|(begin, _)| *begin).chain([at.start]).collect();
    Ok(names.into_iter().zip(ends).map(|((begin, name), end)| (name, begin..end)).collect())
}

/// Where a file begins that begins too far on for the usual field.
fn large(record: &[u8], mut extra: &[u8]) -> Option<u64> {
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let field = extra.get(4..4 + length)?;
        if id == 1 {
            let before = [24, 20].iter().filter(|&&at| u32_at(record, at) == u32::MAX).count() * 8;
            return field.get(before..before + 8).map(|bytes| u64_at(bytes, 0));
        }
        extra = &extra[4 + length..];
    }
    None
}

/// The table of labels in a zip, if there is one.
pub fn tables(places: &Places) -> impl Iterator<Item = &Range<u64>> {
    let is_table = |name: &[u8]| name.rsplit(|letter| *letter == b'/').next() == Some(LABELS.as_bytes());
    places.iter().filter(move |(name, _)| is_table(name)).map(|(_, place)| place)
}

/// Where each input stands of the dataset that a zip is: its list and its tables of labels are there, and nothing else need be.
pub fn inputs(path: &Path, places: &Places) -> Result<Vec<Range<u64>>, String> {
    let dataset = Dataset::open(path).map_err(|error| error.to_string())?;
    let place = |name: &str| places.get(name.as_bytes()).cloned().unwrap_or(0..0);
    Ok(dataset.names().iter().map(|name| place(name)).collect())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    /// A zip of these files, with or without the records of large ones.
    fn zipped(path: &Path, files: &[(&str, usize)], large: bool) {
        let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
        let stored = zip::write::SimpleFileOptions::DEFAULT;
        let stored = stored.compression_method(zip::CompressionMethod::Stored).large_file(large);
        for (name, bytes) in files {
            zip.start_file(*name, stored).unwrap();
            zip.write_all(&vec![b'x'; *bytes]).unwrap();
        }
        zip.finish().unwrap();
    }

    #[test]
    fn inputs_are_found_in_a_file_in_which_nothing_else_than_its_end_is_there() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("zip");
        for large in [false, true] {
            zipped(&path, &[("b/2.png", 100), ("a/1.png", 3000), ("b/1.png", 0), ("a/.no", 9)], large);
            let whole = fs::read(&path).unwrap();
            let length = whole.len() as u64;
            let tail = &whole[whole.len().saturating_sub(TAIL_BYTES as usize)..];
            let found = list(tail, length).expect("it is a zip");
            // Nothing but the list and the first four bytes.
            let mut bare = vec![0; whole.len()];
            bare[..4].copy_from_slice(&whole[..4]);
            assert_eq!(found.entries, 4);
            let from = found.at.start as usize;
            bare[from..].copy_from_slice(&whole[from..]);
            fs::write(&path, &bare).unwrap();
            let places = places(&mut File::open(&path).unwrap(), &found).unwrap();
            let inputs = inputs(&path, &places).unwrap();
            assert_eq!(inputs.len(), 3);
            let sizes = [3000, 0, 100];
            for (range, size) in inputs.iter().zip(sizes) {
                // With its header, and perhaps the name of a file that is left out.
                assert!((size..size + 90).contains(&(range.end - range.start)), "{range:?} for {size}");
                let here = &whole[range.start as usize..range.end as usize];
                assert!(here.starts_with(b"PK\x03\x04"));
            }
        }
    }

    #[test]
    fn what_is_no_zip_has_no_list() {
        assert_eq!(list(b"", 0), None);
        assert_eq!(list(&[7; 500], 500), None);
        // One that says that its list is where it cannot be.
        let mut end = b"PK\x05\x06".to_vec();
        end.resize(22, 0);
        end[16] = 200;
        assert_eq!(list(&end, 22), None);
        end[16] = 0;
        assert_eq!(list(&end, 22), Some(List { at: 0..0, entries: 0 }));
    }

    #[test]
    fn a_list_that_is_too_long_for_its_entries_is_none() {
        let end = |entries: u16, size: u32| {
            let mut end = b"PK\x05\x06".to_vec();
            end.resize(22, 0);
            end[10..12].copy_from_slice(&entries.to_le_bytes());
            end[12..16].copy_from_slice(&size.to_le_bytes());
            end
        };
        let length = 400_000_000;
        assert_eq!(list(&end(2, 300_000_000), length), None);
        assert!(list(&end(60_000, 3_000_000), length).is_some());
        // One that says of itself what is not so.
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("noise");
        fs::write(&path, vec![b'x'; 10_000]).unwrap();
        let lie = List { at: 100..9_000, entries: 3 };
        assert!(places(&mut File::open(&path).unwrap(), &lie).is_err());
    }
}
