//! Inputs on disk: the files of a folder or a zip, in one order that every machine agrees on, with their labels where these are
//! known.
//!
//! A dataset is a folder with a folder per class (`A/1.png`), a flat folder with a table `labels.csv` (columns `file` and `label`),
//! or a zip of either, whose list of names is all that is read before an input is asked for. Inputs are all files but `labels.csv` and hidden ones, in
//! the order of the bytes of their names, so that an input's number means the same wherever a copy of the dataset lies.
//!
//! [`letters`] draws a dataset that needs nothing from elsewhere.

mod labels;
pub mod letters;
mod listing;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use labels::Labels;
use listing::{Archive, Listing};

/// The most bytes of one input.
pub const INPUT_BYTES_MAX: u64 = 64 << 20;
/// The most inputs of a dataset.
pub const INPUTS_MAX: usize = 10_000_000;
/// The most classes of a dataset; numbers of classes are below it.
pub const CLASSES_MAX: u32 = 65_535;
/// The name of the table of labels.
pub const LABELS: &str = "labels.csv";

/// Why a dataset, or an input of one, cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The disk.
    #[error("{}: {error}", path.display())]
    Disk {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It is a file and no zip.
    #[error("{} is neither a folder nor a zip; wanted a folder per class, a folder with {LABELS}, or a zip of either", path.display())]
    NoDataset {
        /// The file.
        path: PathBuf,
    },
    /// The zip is damaged, or packed in a way that is not known here.
    #[error("{} is no sound zip: {why}", path.display())]
    Zip {
        /// The zip.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A name that could lead elsewhere, or that not every system can have.
    #[error("{}: the name {name:?} {why}; wanted names such as A/1.png", path.display())]
    Hostile {
        /// The dataset.
        path: PathBuf,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A row of the table of labels is wrong.
    #[error("{}/{LABELS}:{line}: {why}", path.display())]
    Labels {
        /// The dataset.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// There is nothing in it.
    #[error("{} holds no inputs", path.display())]
    Empty {
        /// The dataset.
        path: PathBuf,
    },
    /// There is too much of something.
    #[error("{} has {found} {what}, and at most {most} are allowed", path.display())]
    TooMany {
        /// The dataset, or an input of it.
        path: PathBuf,
        /// How many there are, at least.
        found: u64,
        /// Of what.
        what: &'static str,
        /// How many may be.
        most: u64,
    },
    /// No input has this number.
    #[error("{} has {inputs} inputs, and none has the number {number}; the first is 0", path.display())]
    NoInput {
        /// The dataset.
        path: PathBuf,
        /// How many inputs there are.
        inputs: usize,
        /// The number that was asked for.
        number: u64,
    },
}

/// What is known of a dataset without looking into its inputs.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    listing: Listing,
    labels: Labels,
}

impl Dataset {
    /// Lists the dataset at `path`.
    pub fn open(path: &Path) -> Result<Dataset, DatasetError> {
        let mut listing = Listing::of(path)?;
        let table = listing.take_table(path)?;
        if listing.names.is_empty() {
            return Err(DatasetError::Empty { path: path.to_owned() });
        }
        let labels = match table {
            Some(table) => Labels::of_table(path, &listing, &table)?,
            None => Labels::of_folders(path, &listing)?,
        };
        Ok(Dataset { path: path.to_owned(), listing, labels })
    }

    /// Whether it still is what it was when it was opened: by the times of its folders and of its table of labels, or by the length
    /// of the zip and its place on the disk. What is in the inputs is read when they are.
    pub fn is_current(&self) -> bool {
        self.listing.is_current()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the inputs, in order: paths below the dataset, divided by `/`.
    pub fn names(&self) -> &[Arc<str>] {
        &self.listing.names
    }

    /// The names of the classes, by number; empty when no label is known. Where all labels of a table are whole numbers, these are the
    /// numbers of the classes; else the classes are numbered in the order of the bytes of their names.
    pub fn classes(&self) -> &[Arc<str>] {
        &self.labels.classes
    }

    /// Whether the labels of a table say the numbers of the classes.
    pub fn is_numbered(&self) -> bool {
        self.labels.numbered
    }

    /// The number of the class that an input belongs to, if that is known.
    pub fn label(&self, input: usize) -> Option<u32> {
        self.labels.of(input)
    }

    /// Something that reads inputs; each thread has its own.
    pub fn reader(self: &Arc<Dataset>) -> Result<Reader, DatasetError> {
        let archive = if self.listing.is_zip() { Some(listing::archive(&self.path)?) } else { None };
        Ok(Reader { dataset: Arc::clone(self), archive })
    }
}

/// Reads the inputs of a dataset.
pub struct Reader {
    dataset: Arc<Dataset>,
    archive: Option<Archive>,
}

impl Reader {
    /// The dataset.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// The bytes of an input, at most [`INPUT_BYTES_MAX`].
    pub fn read(&mut self, number: u64) -> Result<Vec<u8>, DatasetError> {
        let Dataset { path, listing, .. } = &*self.dataset;
        let found = usize::try_from(number).ok().filter(|&place| place < listing.names.len());
        let Some(place) = found else {
            return Err(DatasetError::NoInput { path: path.clone(), inputs: listing.names.len(), number });
        };
        let name = path.join(&*listing.names[place]);
        if let Some(archive) = &mut self.archive {
            let file = archive.by_index(listing.places[place]);
            return whole(file.map_err(|error| listing::unsound(path, &error))?, &name);
        }
        let file = File::open(&name).map_err(|error| DatasetError::Disk { path: name.clone(), error })?;
        whole(file, &name)
    }
}

/// Everything that there is to read, if it is not too much.
fn whole(from: impl Read, path: &Path) -> Result<Vec<u8>, DatasetError> {
    let mut bytes = Vec::new();
    let read = from.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| DatasetError::Disk { path: path.to_owned(), error })?;
    let found = bytes.len() as u64;
    if found > INPUT_BYTES_MAX {
        let path = path.to_owned();
        return Err(DatasetError::TooMany { path, found, what: "bytes", most: INPUT_BYTES_MAX });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn names(dataset: &Dataset) -> Vec<&str> {
        dataset.names().iter().map(|name| &**name).collect()
    }

    fn classes(dataset: &Dataset) -> Vec<&str> {
        dataset.classes().iter().map(|name| &**name).collect()
    }

    fn labels(dataset: &Dataset) -> Vec<Option<u32>> {
        (0..dataset.names().len()).map(|input| dataset.label(input)).collect()
    }

    /// A folder with these files, and a zip of them.
    fn both(files: &[(&str, &str)]) -> (tempfile::TempDir, [PathBuf; 2]) {
        let at = tempfile::tempdir().unwrap();
        let (folder, zip) = (at.path().join("folder"), at.path().join("some.zip"));
        let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
        for (name, text) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        (at, [folder, zip])
    }

    /// What is said about these files, in a folder and in a zip alike.
    fn refused(files: &[(&str, &str)]) -> String {
        let (at, paths) = both(files);
        let [folder, zip] = paths.map(|path| {
            let said = Dataset::open(&path).unwrap_err().to_string();
            said.replace(&path.display().to_string(), "DATASET")
        });
        assert_eq!(folder, zip, "{}", at.path().display());
        folder
    }

    #[test]
    fn a_folder_per_class_and_a_zip_of_it_are_read_alike() {
        let files = [
            ("b/2.png", "b2"),
            ("a/1.png", "a1"),
            ("b/1.png", "b1"),
            ("b/.hidden", "no"),
            ("loose.png", "?"),
        ];
        let (_at, paths) = both(&files);
        for path in paths {
            let dataset = Arc::new(Dataset::open(&path).unwrap());
            assert_eq!(names(&dataset), ["a/1.png", "b/1.png", "b/2.png", "loose.png"]);
            assert_eq!(classes(&dataset), ["a", "b"]);
            assert_eq!(labels(&dataset), [Some(0), Some(1), Some(1), None]);
            let mut reader = dataset.reader().unwrap();
            assert_eq!(reader.read(2).unwrap(), b"b2");
            assert_eq!(reader.read(0).unwrap(), b"a1");
            let said = reader.read(4).unwrap_err().to_string();
            assert!(said.contains("4 inputs") && said.contains("number 4"), "{said}");
        }
    }

    #[test]
    fn a_table_of_labels_tells_the_classes_of_a_flat_folder() {
        let table = "file,label\n2.png,dog\n1.png,cat\n";
        let (_at, paths) = both(&[("labels.csv", table), ("1.png", "1"), ("2.png", "2"), ("3.png", "3")]);
        for path in paths {
            let dataset = Dataset::open(&path).unwrap();
            assert_eq!(names(&dataset), ["1.png", "2.png", "3.png"]);
            assert_eq!(
                (classes(&dataset), labels(&dataset)),
                (vec!["cat", "dog"], vec![Some(0), Some(1), None])
            );
        }
    }

    #[test]
    fn labels_that_are_numbers_are_the_numbers_of_classes() {
        let (_at, [folder, _]) =
            both(&[("labels.csv", "label,file\n10,1.png\n2,2.png\n"), ("1.png", ""), ("2.png", "")]);
        let dataset = Dataset::open(&folder).unwrap();
        assert_eq!(labels(&dataset), [Some(10), Some(2)]);
        assert_eq!((dataset.classes().len(), classes(&dataset)[10]), (11, "10"));
    }

    #[test]
    fn a_number_of_no_class_is_refused_among_numbers_and_is_a_name_among_names() {
        for wrong in ["-1", "5000000000", "1.0"] {
            let table = format!("file,label\n1.png,0\n2.png,{wrong}\n");
            let said = refused(&[("labels.csv", &table), ("1.png", ""), ("2.png", "")]);
            assert!(
                said.contains("labels.csv:3: ") && said.contains(wrong) && said.contains("65534"),
                "{said}"
            );
        }
        for names in [["A", "1"], ["1.0", "2.5"], ["0", "nan"]] {
            let table = format!("file,label\n1.png,{}\n2.png,{}\n", names[0], names[1]);
            let (_at, [folder, _]) = both(&[("labels.csv", &table), ("1.png", ""), ("2.png", "")]);
            let dataset = Dataset::open(&folder).unwrap();
            assert!(!dataset.is_numbered() && classes(&dataset).len() == 2, "{names:?}");
        }
    }

    #[test]
    fn a_dataset_that_was_changed_is_not_current_any_more() {
        let files = [("a/1.png", ""), ("b/1.png", ""), ("labels.csv", "file,label\na/1.png,x\n")];
        let (at, [folder, zip]) = both(&files);
        let changes: [fn(&Path); 3] = [
            |folder| fs::write(folder.join("b/2.png"), "").unwrap(),
            |folder| fs::write(folder.join("labels.csv"), "file,label\nb/1.png,other\n").unwrap(),
            |folder| fs::remove_file(folder.join("a/1.png")).unwrap(),
        ];
        let listed = Dataset::open(&zip).unwrap();
        assert!(listed.is_current());
        fs::copy(&zip, at.path().join("other.zip")).unwrap();
        fs::rename(at.path().join("other.zip"), &zip).unwrap();
        assert!(!listed.is_current());
        for change in changes {
            let dataset = Dataset::open(&folder).unwrap();
            assert!(dataset.is_current());
            // Times of files are as fine as a tick of the clock.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(&folder);
            assert!(!dataset.is_current());
        }
    }

    #[test]
    fn a_zip_of_a_whole_folder_has_the_labels_of_what_is_in_it() {
        let (_at, [_, zip]) = both(&[("mine/a/1.png", ""), ("mine/b/1.png", "")]);
        assert_eq!(classes(&Dataset::open(&zip).unwrap()), ["a", "b"]);
        let (_at, [_, zip]) = both(&[("mine/labels.csv", "file,label\n1.png,x\n"), ("mine/1.png", "")]);
        assert_eq!(classes(&Dataset::open(&zip).unwrap()), ["x"]);
        let (_at, [_, zip]) = both(&[("a/1.png", ""), ("a/2.png", "")]);
        assert_eq!(classes(&Dataset::open(&zip).unwrap()), ["a"]);
    }

    #[test]
    fn a_table_that_is_wrong_is_refused_with_its_line() {
        let said = refused(&[("labels.csv", "name,class\n1.png,x\n"), ("1.png", "")]);
        assert!(said.contains("labels.csv:1: ") && said.contains("file") && said.contains("label"), "{said}");
        let said = refused(&[("labels.csv", "file,label\n1.png,x\n../../etc/passwd,x\n"), ("1.png", "")]);
        assert!(said.contains("labels.csv:3: ") && said.contains("passwd"), "{said}");
        let said = refused(&[("labels.csv", "file,label\n1.png,x\n1.png,y\n"), ("1.png", "")]);
        assert!(said.contains("labels.csv:3: ") && said.contains("twice"), "{said}");
        let said = refused(&[("labels.csv", "file,label\n1.png,70000\n"), ("1.png", "")]);
        assert!(said.contains("labels.csv:2: ") && said.contains("65534"), "{said}");
        let said = refused(&[("labels.csv", "file,label\n1.png\n"), ("1.png", "")]);
        assert!(said.contains("labels.csv:2: "), "{said}");
    }

    #[test]
    fn a_zip_whose_names_lead_elsewhere_is_refused() {
        for name in
            ["../a.png", "/etc/passwd", "a/../../b.png", "a\\b.png", "C:/x.png", "a//b.png", "a/\u{1}.png"]
        {
            let at = tempfile::tempdir().unwrap();
            let zip = at.path().join("bad.zip");
            let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
            writer.start_file("a/ok.png", zip::write::SimpleFileOptions::default()).unwrap();
            let honest = "#".repeat(name.len());
            writer.start_file(&*honest, zip::write::SimpleFileOptions::default()).unwrap();
            writer.finish().unwrap();
            // The writer tidies names, and those who mean harm do not.
            let mut bytes = fs::read(&zip).unwrap();
            let here = |place: &usize| bytes[*place..].starts_with(honest.as_bytes());
            let places: Vec<usize> = (0..bytes.len()).filter(here).collect();
            assert_eq!(places.len(), 2, "once beside the file and once in the list");
            for place in places {
                bytes[place..place + name.len()].copy_from_slice(name.as_bytes());
            }
            fs::write(&zip, bytes).unwrap();
            let said = Dataset::open(&zip).unwrap_err().to_string();
            assert!(said.contains("leads elsewhere") && said.contains("A/1.png"), "{name}: {said}");
        }
    }

    #[test]
    fn an_input_that_is_too_large_is_refused_and_the_largest_is_read() {
        let (_at, [folder, _]) = both(&[("a/1.png", ""), ("a/2.png", "")]);
        for (name, size) in [("a/1.png", INPUT_BYTES_MAX), ("a/2.png", INPUT_BYTES_MAX + 1)] {
            // A hole: it takes no room on the disk.
            File::create(folder.join(name)).unwrap().set_len(size).unwrap();
        }
        let mut reader = Arc::new(Dataset::open(&folder).unwrap()).reader().unwrap();
        assert_eq!(reader.read(0).unwrap().len() as u64, INPUT_BYTES_MAX);
        let said = reader.read(1).unwrap_err().to_string();
        assert!(said.contains("2.png") && said.contains(&INPUT_BYTES_MAX.to_string()), "{said}");
    }

    #[test]
    fn what_is_no_dataset_is_said_with_what_would_be_one() {
        let at = tempfile::tempdir().unwrap();
        let said = Dataset::open(at.path()).unwrap_err().to_string();
        assert!(said.contains("holds no inputs"), "{said}");
        fs::write(at.path().join("x"), "text").unwrap();
        let said = Dataset::open(&at.path().join("x")).unwrap_err().to_string();
        assert!(said.contains("neither a folder nor a zip"), "{said}");
        fs::write(at.path().join("z"), "PK\x03\x04 but no more").unwrap();
        let said = Dataset::open(&at.path().join("z")).unwrap_err().to_string();
        assert!(said.contains("no sound zip"), "{said}");
        assert!(Dataset::open(&at.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
