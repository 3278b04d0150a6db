//! What stays when results take the place of earlier ones: every file that idunno does not write.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// Every file that idunno writes into a folder of results, or ever wrote.
const OURS: [&str; 16] = [
    "allocation.csv",
    "assignments.csv",
    "attempts.csv",
    "comparison.csv",
    "fairness.csv",
    "history.jsonl",
    "jobs.csv",
    "latency.hlog",
    "membership.csv",
    "queries.csv",
    "recovery.csv",
    "runs.csv",
    "scenario.toml",
    "settings.toml",
    "summary.csv",
    "tune.csv",
];
/// The charts among them, each as SVG and as PNG.
const CHARTS: [&str; 14] = [
    "aggregate_qps",
    "detection",
    "election",
    "eviction",
    "latency",
    "makespan_s",
    "messages",
    "rate_gap",
    "rates",
    "recovery",
    "start_delay",
    "timeline",
    "wasted",
    "workers",
];

/// Whether the folder is empty or has results in it.
pub(super) fn is_results(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let names: BTreeSet<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.is_empty() || ["history.jsonl", "summary.csv"].iter().all(|file| names.contains(OsStr::new(file)))
}

/// Puts everything in `earlier` that is not ours, and the files that are named in `also`, into `fresh` as well. Nothing in
/// `earlier` changes. An error names the path that it is about.
pub(super) fn keep(earlier: &Path, fresh: &Path, also: &[&str]) -> Result<(), (PathBuf, io::Error)> {
    let entries = match fs::read_dir(earlier) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(at(earlier))?,
    };
    for entry in entries {
        let entry = entry.map_err(at(earlier))?;
        let name = entry.file_name();
        let known = name.to_str().is_some_and(|name| is_ours(name) && !also.contains(&name));
        if !known {
            let kind = entry.file_type().map_err(at(&entry.path()))?;
            link(&entry.path(), kind, &fresh.join(&name))?;
        }
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    let is_chart = |name: &str| CHARTS.contains(&name) || name.starts_with("recovery_");
    let chart = |ending| name.strip_suffix(ending).is_some_and(is_chart);
    let point = name.strip_prefix("point-").and_then(|rest| rest.strip_suffix(".toml"));
    let is_point = point.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()));
    is_point || OURS.contains(&name) || chart(".svg") || chart(".png")
}

/// Gives a file or a whole folder a second place.
fn link(from: &Path, kind: FileType, to: &Path) -> Result<(), (PathBuf, io::Error)> {
    if !kind.is_dir() {
        // Not every file system can give a file a second name.
        return fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)).map_err(at(from));
    }
    fs::create_dir(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let kind = entry.file_type().map_err(at(&entry.path()))?;
        link(&entry.path(), kind, &to.join(entry.file_name()))?;
    }
    let permissions = fs::metadata(from).map_err(at(from))?.permissions();
    fs::set_permissions(to, permissions).map_err(at(to))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> (PathBuf, io::Error) {
    let path = path.to_owned();
    move |error| (path, error)
}
