//! Which files a dataset has: those below a folder, or those that a zip lists.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{DatasetError, INPUTS_MAX, LABELS, whole};

/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 1_000;
/// The most folders within folders.
const DEPTH_MAX: usize = 16;

/// A zip that is open.
pub(super) type Archive = ZipArchive<BufReader<File>>;

/// The files of a dataset, in the order of the bytes of their names.
#[derive(Debug)]
pub(super) struct Listing {
    /// Their names, below the dataset.
    pub(super) names: Vec<Arc<str>>,
    /// Of a zip: where each stands in it.
    pub(super) places: Vec<usize>,
    /// What all names begin with and what says nothing about their classes: that of a folder which was zipped as a whole.
    pub(super) top: String,
    zip: bool,
    /// The zip, or the folders and the table of labels, as they were when they were read.
    seen: Vec<(PathBuf, Stamp)>,
}

/// What tells whether something has changed.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    /// Of a zip its place on the disk: one that a node fetches piece by piece is written to all the time.
    place: u64,
    /// Of a folder and of a table.
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path, dated: bool) -> io::Result<Stamp> {
        let about = fs::metadata(path)?;
        #[cfg(unix)]
        let place = std::os::unix::fs::MetadataExt::ino(&about);
        #[cfg(not(unix))]
        let place = 0;
        Ok(Stamp { bytes: about.len(), place, modified: about.modified().ok().filter(|_| dated) })
    }
}

impl Listing {
    /// Lists the files at `path`.
    pub(super) fn of(path: &Path) -> Result<Listing, DatasetError> {
        let disk = |error| DatasetError::Disk { path: path.to_owned(), error };
        if fs::metadata(path).map_err(disk)?.is_dir() {
            let (mut names, mut seen) = (Vec::new(), Vec::new());
            folder(path, path, "", 0, &mut names, &mut seen)?;
            names.sort_unstable();
            return Ok(Listing { names, places: Vec::new(), top: String::new(), zip: false, seen });
        }
        let seen = vec![(path.to_owned(), Stamp::of(path, false).map_err(disk)?)];
        let mut first = [0; 4];
        let read = File::open(path).map_err(disk)?.read_exact(&mut first);
        // An empty zip begins with its end.
        if read.is_err() || ![*b"PK\x03\x04", *b"PK\x05\x06"].contains(&first) {
            return Err(DatasetError::NoDataset { path: path.to_owned() });
        }
        let mut found = zipped(path)?;
        found.sort_unstable();
        if let Some(twice) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let why = format!("{:?} is in it twice", &*twice[0].0);
            return Err(DatasetError::Zip { path: path.to_owned(), why });
        }
        let (names, places): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        Ok(Listing { top: top(&names), names, places, zip: true, seen })
    }

    /// Whether what was listed is still what is there.
    pub(super) fn is_current(&self) -> bool {
        let same = |path: &Path, before: &Stamp| {
            Stamp::of(path, before.modified.is_some()).is_ok_and(|now| now == *before)
        };
        self.seen.iter().all(|(path, before)| same(path, before))
    }

    /// Whether it is that of a zip.
    pub(super) fn is_zip(&self) -> bool {
        self.zip
    }

    /// A name without what all names begin with.
    pub(super) fn below<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.top.as_str()).unwrap_or(name)
    }

    /// Takes the table of labels out of the list; its bytes, if there is one.
    pub(super) fn take_table(&mut self, path: &Path) -> Result<Option<Vec<u8>>, DatasetError> {
        let name = format!("{}{LABELS}", self.top);
        let Ok(place) = self.names.binary_search_by(|other| (**other).cmp(&name)) else { return Ok(None) };
        self.names.remove(place);
        let at = path.join(&name);
        if self.zip {
            let place = self.places.remove(place);
            let mut archive = archive(path)?;
            let file = archive.by_index(place).map_err(|error| unsound(path, &error))?;
            return whole(file, &at).map(Some);
        }
        let disk = |error| DatasetError::Disk { path: at.clone(), error };
        self.seen.push((at.clone(), Stamp::of(&at, true).map_err(disk)?));
        whole(File::open(&at).map_err(disk)?, &at).map(Some)
    }
}

/// Opens a zip.
pub(super) fn archive(path: &Path) -> Result<Archive, DatasetError> {
    let file = File::open(path).map_err(|error| DatasetError::Disk { path: path.to_owned(), error })?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| unsound(path, &error))
}

/// What is wrong with a zip.
pub(super) fn unsound(path: &Path, error: &ZipError) -> DatasetError {
    DatasetError::Zip { path: path.to_owned(), why: error.to_string() }
}

/// The files that a zip lists, with their places in it.
fn zipped(path: &Path) -> Result<Vec<(Arc<str>, usize)>, DatasetError> {
    let archive = archive(path)?;
    limited(path, archive.len())?;
    let mut found = Vec::new();
    for (name, place) in archive.file_names().zip(0..) {
        let name = name.map_err(|error| unsound(path, &error))?;
        if !is_harmless(name.strip_suffix('/').unwrap_or(&name)) {
            return Err(hostile(path, name.into_owned()));
        }
        let hidden = name.split('/').any(|part| part.starts_with('.'));
        if !name.ends_with('/') && !hidden {
            found.push((Arc::from(&*name), place));
        }
    }
    Ok(found)
}

fn hostile(path: &Path, name: String) -> DatasetError {
    let why = "leads elsewhere, is longer than 1,000 bytes, or holds \":\", \"\\\" or control characters";
    DatasetError::Hostile { path: path.to_owned(), name, why }
}

/// Whether a name stays below the dataset, on any system.
pub(super) fn is_harmless(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let letter = |letter: char| letter.is_control() || letter == '\\' || letter == ':';
    name.len() <= NAME_BYTES_MAX && name.split('/').all(part) && !name.contains(letter)
}

fn limited(path: &Path, found: usize) -> Result<(), DatasetError> {
    if found <= INPUTS_MAX {
        return Ok(());
    }
    let (found, most) = (found as u64, INPUTS_MAX as u64);
    Err(DatasetError::TooMany { path: path.to_owned(), found, what: "inputs", most })
}

/// The folder that holds everything in a zip, when that was zipped as a whole: what is in it are folders, or a table of labels.
fn top(names: &[Arc<str>]) -> String {
    let Some((first, _)) = names.first().and_then(|name| name.split_once('/')) else { return String::new() };
    let top = format!("{first}/");
    let Some(below) = names.iter().map(|name| name.strip_prefix(&top)).collect::<Option<Vec<_>>>() else {
        return String::new();
    };
    if below.iter().any(|name| *name == LABELS || name.contains('/')) { top } else { String::new() }
}

/// The files below a folder, hidden ones left out.
fn folder(
    dataset: &Path,
    at: &Path,
    prefix: &str,
    depth: usize,
    names: &mut Vec<Arc<str>>,
    seen: &mut Vec<(PathBuf, Stamp)>,
) -> Result<(), DatasetError> {
    let disk = |error| DatasetError::Disk { path: at.to_owned(), error };
    // Before it is read, so that whatever comes meanwhile is noticed later.
    seen.push((at.to_owned(), Stamp::of(at, true).map_err(disk)?));
    if depth > DEPTH_MAX {
        let (found, most) = (depth as u64, DEPTH_MAX as u64);
        return Err(DatasetError::TooMany {
            path: at.to_owned(),
            found,
            what: "folders within folders",
            most,
        });
    }
    for entry in fs::read_dir(at).map_err(disk)? {
        let entry = entry.map_err(disk)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let (path, name) = (dataset.to_owned(), name.to_string_lossy().into_owned());
            return Err(DatasetError::Hostile { path, name, why: "is no text in UTF-8" });
        };
        if !is_harmless(name) {
            return Err(hostile(dataset, name.to_owned()));
        }
        if name.starts_with('.') {
            continue;
        }
        // A link to a folder could lead in a circle, and is not followed.
        if entry.file_type().map_err(disk)?.is_dir() {
            folder(dataset, &entry.path(), &format!("{prefix}{name}/"), depth + 1, names, seen)?;
        } else if fs::metadata(entry.path()).is_ok_and(|about| about.is_file()) {
            names.push(format!("{prefix}{name}").into());
            limited(dataset, names.len())?;
        }
    }
    Ok(())
}
