//! Why results cannot be compared, said with folder, file, line, and what was expected.

use std::io;
use std::path::{Path, PathBuf};

/// Why two results could not be compared. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// There is nothing of that name, or it is not a folder.
    #[error("{} is not a folder; wanted one with results, such as results/coord_fail/sim", path.display())]
    NoFolder {
        /// What was named.
        path: PathBuf,
    },
    /// No results are in the folder.
    #[error(
        "there are no results in {}: neither it nor a folder up to three levels below has a summary.csv",
        path.display()
    )]
    NoResults {
        /// The folder.
        path: PathBuf,
    },
    /// More than one folder below it has results.
    #[error("{} holds several results; name one of {}", path.display(), shown(found))]
    Several {
        /// The folder.
        path: PathBuf,
        /// The folders with results.
        found: Vec<PathBuf>,
    },
    /// A file of the results is not there.
    #[error(
        "{} is missing; to be compared, results need summary.csv, jobs.csv, recovery.csv, queries.csv and scenario.toml",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not say what it should.
    #[error("{}{}: {what}", path.display(), line.map_or_else(String::new, |line| format!(":{line}")))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if one is to blame.
        line: Option<u64>,
        /// What is wrong with it and what was expected.
        what: String,
    },
}

impl CompareError {
    pub(super) fn damaged(path: &Path, line: Option<u64>, what: impl Into<String>) -> CompareError {
        CompareError::Damaged { path: path.to_owned(), line, what: what.into() }
    }
}

/// More folders than this are not named.
const SHOWN_MAX: usize = 6;

fn shown(found: &[PathBuf]) -> String {
    let few = found.iter().take(SHOWN_MAX).map(|path| path.display().to_string());
    let few = few.collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(SHOWN_MAX) {
        0 => few,
        more => format!("{few} and {more} more"),
    }
}
