//! What INPUTS means: so many, the names in a list, the files of a folder or a zip, or a path on the workers.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::Misuse;
use crate::cli::text::count;
use crate::node::{Inputs, limits, stored};

/// The dataset of inputs that are only counted.
const COUNTED: &str = "synthetic";
/// A list longer than this is none.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// A range of inputs, counted from 0: `A..B` is from A up to, but without, B.
pub(super) fn range(text: &str) -> Result<Range<u64>, String> {
    let bounds = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let range: Range<u64> = bounds.map(|(from, to)| from..to).ok_or("wanted A..B, such as 0..500")?;
    if range.is_empty() { Err("holds no input; wanted A..B with A below B".to_owned()) } else { Ok(range) }
}

/// The inputs that `what` says, or a range of them.
pub(super) fn inputs(what: &str, range: Option<&Range<u64>>) -> Result<Inputs> {
    let wrong = |why: String| Err(Misuse(why).into());
    if let Some(path) = what.strip_prefix("node:") {
        let Some(range) = range else {
            return wrong(format!(
                "{what} is on the workers, and only they know how much is in it; say with --range A..B which inputs are meant"
            ));
        };
        if path.is_empty() {
            return wrong("node: needs a path on the workers, such as node:/data/images".to_owned());
        }
        return Ok(Inputs::Range { dataset: what.into(), from: range.start, count: range.end - range.start });
    }
    if let Some(named) = stored(what) {
        named.map_err(|flaw| Misuse(format!("{what}: {flaw}")))?;
        let Some(range) = range else {
            return wrong(format!(
                "{what} is in the store, and only those who read it know how many inputs it holds; say with --range A..B which ones are meant"
            ));
        };
        return Ok(Inputs::Range { dataset: what.into(), from: range.start, count: range.end - range.start });
    }
    if let Ok(all) = what.parse::<u64>() {
        if all > limits::INPUTS_MAX {
            let most = count(limits::INPUTS_MAX);
            return wrong(format!("a job has at most {most} inputs, not {}", count(all)));
        }
        let whole = 0..all;
        let range = range.unwrap_or(&whole);
        within(range, all)?;
        return Ok(Inputs::Range {
            dataset: COUNTED.into(),
            from: range.start,
            count: range.end - range.start,
        });
    }
    let names = names(Path::new(what)).map_err(|error| super::misuse(&error))?;
    let whole = 0..names.len() as u64;
    let range = range.unwrap_or(&whole);
    within(range, whole.end)?;
    let names: Arc<[Arc<str>]> = names[range.start as usize..range.end as usize].into();
    if names.len() > limits::NAMES_MAX {
        return wrong(format!(
            "{what} holds {} names, and a job takes at most {}; divide it with --range",
            count(names.len() as u64),
            count(limits::NAMES_MAX as u64)
        ));
    }
    let (bytes, most) = (names.iter().map(|name| name.len()).sum::<usize>(), limits::SPEC_BYTES_MAX);
    if bytes > most {
        return wrong(format!(
            "the names in {what} take {} bytes, and a job's text takes at most {}; divide it with --range",
            count(bytes as u64),
            count(most as u64)
        ));
    }
    Ok(Inputs::Names(names))
}

fn within(range: &Range<u64>, all: u64) -> Result<()> {
    if range.end > all {
        let why = format!("--range {}..{}: there are only {} inputs", range.start, range.end, count(all));
        return Err(Misuse(why).into());
    }
    if range.is_empty() {
        return Err(Misuse("there are no inputs".to_owned()).into());
    }
    Ok(())
}

/// The names in a list, or those of the files in a folder or a zip.
fn names(path: &Path) -> Result<Vec<Arc<str>>> {
    let shown = path.display();
    let about = fs::metadata(path)
        .with_context(|| format!("{shown} is no number of inputs, and no file or folder that can be read"))?;
    let mut names = Vec::new();
    if about.is_dir() {
        folder(path, "", &mut names)?;
        names.sort();
    } else if is_zip(path)? {
        let sound = || format!("{shown} is no sound zip");
        let archive = zip::ZipArchive::new(File::open(path)?).with_context(sound)?;
        for name in archive.file_names() {
            let name = name.with_context(sound)?;
            if !name.ends_with('/') {
                names.push(name.into());
            }
        }
        names.sort();
    } else {
        anyhow::ensure!(
            about.len() <= LIST_BYTES_MAX,
            "{shown} has {} bytes; a list of names has at most {}",
            count(about.len()),
            count(LIST_BYTES_MAX)
        );
        // It may be a pipe, which tells no length.
        for line in BufReader::new(File::open(path)?.take(LIST_BYTES_MAX)).lines() {
            let line = line.with_context(|| format!("{shown} is no list of names"))?;
            names.extend(Some(line.trim()).filter(|name| !name.is_empty()).map(Arc::from));
        }
    }
    anyhow::ensure!(!names.is_empty(), "{shown} names no inputs");
    Ok(names)
}

fn is_zip(path: &Path) -> Result<bool> {
    let mut first = [0; 4];
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    // An empty zip begins with its end.
    Ok(file.read_exact(&mut first).is_ok() && [*b"PK\x03\x04", *b"PK\x05\x06"].contains(&first))
}

/// The files below a folder, hidden ones left out.
fn folder(path: &Path, prefix: &str, names: &mut Vec<Arc<str>>) -> Result<()> {
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            anyhow::bail!("{} has a name that is no text", entry.path().display())
        };
        if name.starts_with('.') {
            continue;
        }
        // A link to a folder could lead in a circle, and is not followed.
        if entry.file_type()?.is_dir() {
            folder(&entry.path(), &format!("{prefix}{name}/"), names)?;
        } else if fs::metadata(entry.path()).is_ok_and(|about| about.is_file()) {
            names.push(format!("{prefix}{name}").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(inputs: &Inputs) -> Vec<&str> {
        match inputs {
            Inputs::Names(names) => names.iter().map(|name| &**name).collect(),
            Inputs::Range { .. } => panic!("{inputs:?}"),
        }
    }

    #[test]
    fn inputs_are_a_number_a_list_a_folder_a_zip_or_a_path_on_the_workers() {
        let of = |dataset: &str, from, count| Inputs::Range { dataset: dataset.into(), from, count };
        assert_eq!(inputs("1000", None).unwrap(), of(COUNTED, 0, 1000));
        assert_eq!(inputs("1000", Some(&(10..20))).unwrap(), of(COUNTED, 10, 10));
        assert_eq!(inputs("node:/data", Some(&(5..9))).unwrap(), of("node:/data", 5, 4));
        let at = tempfile::tempdir().unwrap();
        let path = |name: &str| at.path().join(name).to_str().unwrap().to_owned();
        fs::write(at.path().join("list"), "b.png\n\n  a.png\n").unwrap();
        assert_eq!(named(&inputs(&path("list"), None).unwrap()), ["b.png", "a.png"]);
        // Longer than a job may be: any part of it can be had, and no name is cut.
        let long: Vec<String> = (0..200_000).map(|n| format!("images/picture-{n:08}.png")).collect();
        let long = long.join("\n");
        fs::write(at.path().join("long"), long).unwrap();
        assert_eq!(
            named(&inputs(&path("long"), Some(&(199_999..200_000))).unwrap()),
            ["images/picture-00199999.png"]
        );
        assert!(inputs(&path("long"), None).unwrap_err().to_string().contains("200,000 names"));
        let wide: Vec<String> = (0..9_000).map(|n| format!("{n:0100}")).collect();
        let wide = wide.join("\n");
        fs::write(at.path().join("wide"), wide).unwrap();
        assert!(inputs(&path("wide"), None).unwrap_err().to_string().contains("take 900,000 bytes"));
        assert!(inputs("4294967297", None).unwrap_err().is::<Misuse>());
        fs::create_dir_all(at.path().join("dir/sub")).unwrap();
        for name in ["dir/2.png", "dir/1.png", "dir/sub/3.png", "dir/.hidden"] {
            fs::write(at.path().join(name), "").unwrap();
        }
        assert_eq!(named(&inputs(&path("dir"), None).unwrap()), ["1.png", "2.png", "sub/3.png"]);
        assert_eq!(named(&inputs(&path("dir"), Some(&(1..2))).unwrap()), ["2.png"]);
        let mut zip = zip::ZipWriter::new(File::create(at.path().join("some.zip")).unwrap());
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.add_directory("d", stored).unwrap();
        zip.start_file("d/y.png", stored).unwrap();
        zip.start_file("d/x.png", stored).unwrap();
        zip.finish().unwrap();
        assert_eq!(named(&inputs(&path("some.zip"), None).unwrap()), ["d/x.png", "d/y.png"]);
    }

    #[test]
    fn a_file_of_the_store_needs_a_sound_name_and_a_range() {
        let found = inputs("store:letters/train@3", Some(&(10..30))).unwrap();
        let dataset = "store:letters/train@3".into();
        assert_eq!(found, Inputs::Range { dataset, from: 10, count: 20 });
        let said = |what: &str, range: Option<&Range<u64>>| inputs(what, range).unwrap_err().to_string();
        assert!(said("store:letters", None).contains("--range A..B"));
        assert!(said("store:../letters", Some(&(0..1))).contains("store:../letters: "));
        assert!(said("store:letters@x", Some(&(0..1))).contains("NAME@VERSION"));
    }

    #[test]
    fn what_makes_no_inputs_is_said_with_what_would() {
        let said = |what: &str, range: Option<&Range<u64>>| inputs(what, range).unwrap_err().to_string();
        assert!(said("node:/data", None).contains("--range A..B"));
        assert!(said("10", Some(&(5..11))).contains("there are only 10 inputs"));
        assert!(said("0", None).contains("no inputs"));
        assert!(said("/no/such/file", None).contains("no number of inputs"));
        assert!(
            range("5..5").unwrap_err().contains("A below B") && range("7").unwrap_err().contains("0..500")
        );
        let at = tempfile::tempdir().unwrap();
        fs::write(at.path().join("long"), "x\n".repeat(limits::NAMES_MAX + 1)).unwrap();
        assert!(said(at.path().join("long").to_str().unwrap(), None).contains("divide it with --range"));
    }
}
