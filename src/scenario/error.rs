//! What can be wrong with a scenario, said with place, key, what was found and what is allowed.

use std::fmt;
use std::sync::Arc;

use super::units::UnitError;

/// A scenario that was refused. Nothing has been done with it.
///
/// It prints as one line per problem, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ScenarioError {
    problems: Vec<Problem>,
}

impl ScenarioError {
    /// An error of at least one problem.
    pub(super) fn new(mut problems: Vec<Problem>) -> ScenarioError {
        assert!(!problems.is_empty(), "a scenario is refused for a reason");
        problems.sort_by_key(|problem| problem.place.line());
        problems.dedup();
        ScenarioError { problems }
    }

    /// Everything that was found, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// One thing that is wrong: `scenarios/x.toml:14: membership.heartbeat: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The dotted path of the key, as `--set` takes it; empty when the whole document is meant.
    pub key: String,
    /// What is wrong with it.
    pub wrong: Wrong,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A flag shows its own path.
        let shown = match &self.place {
            Place::Flag { path, .. } => self.key == **path,
            Place::File { .. } => false,
        };
        write!(f, "{}: ", self.place)?;
        if !shown && !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        self.wrong.fmt(f)
    }
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File {
        /// The path by which the file was opened.
        origin: Arc<str>,
        /// The line, from 1; `None` when no single line is meant.
        line: Option<u32>,
    },
    /// On the command line.
    Flag {
        /// The dotted path that it sets.
        path: Arc<str>,
        /// The flag's argument as it was given.
        argument: Arc<str>,
    },
}

impl Place {
    fn line(&self) -> u32 {
        match self {
            Place::File { line, .. } => line.unwrap_or(u32::MAX),
            Place::Flag { .. } => u32::MAX,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { origin, line: Some(line) } => write!(f, "{origin}:{line}"),
            Place::File { origin, line: None } => f.write_str(origin),
            Place::Flag { argument, .. } => write!(f, "--set {argument}"),
        }
    }
}

/// What is wrong in one place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The text is not TOML.
    #[error("{0}")]
    Syntax(String),
    /// An override that cannot be carried out.
    #[error("{0}")]
    Override(String),
    /// Nothing has this name.
    #[error("unknown key; {}{table} knows {known}", hint(near.as_ref()))]
    UnknownKey {
        /// What may have been meant.
        near: Option<String>,
        /// Where the key was written.
        table: String,
        /// The keys that may stand there.
        known: String,
    },
    /// A key that this kind of fault or request does not have.
    #[error("a {what} of the kind {kind:?} has no such key; it knows {known}")]
    NotOfKind {
        /// What it is: a fault or a request.
        what: &'static str,
        /// Its kind.
        kind: String,
        /// The keys that it has.
        known: String,
    },
    /// A key without which nothing can be done.
    #[error("missing; wanted {wanted}")]
    Missing {
        /// What to write.
        wanted: String,
    },
    /// A value that cannot be used.
    #[error("{found} {why}; {}wanted {wanted}", hint(near.as_ref()))]
    Value {
        /// The value, as it was written.
        found: String,
        /// Why not.
        why: String,
        /// What may have been meant.
        near: Option<String>,
        /// What to write.
        wanted: String,
    },
    /// A setting that does not go with another one, or with the cluster.
    #[error("{0}")]
    Contradiction(String),
}

/// Why one value cannot be used, to be completed with its place and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Goes on where the value as it was found has been named: `is negative`.
    pub(super) why: String,
    /// What may have been meant.
    pub(super) near: Option<String>,
}

impl Complaint {
    pub(super) fn near(self, near: Option<&str>) -> Complaint {
        Complaint { near: near.map(str::to_owned), ..self }
    }
}

impl From<&str> for Complaint {
    fn from(why: &str) -> Complaint {
        why.to_owned().into()
    }
}

impl From<String> for Complaint {
    fn from(why: String) -> Complaint {
        Complaint { why, near: None }
    }
}

impl From<UnitError> for Complaint {
    fn from(why: UnitError) -> Complaint {
        why.to_string().into()
    }
}

fn hint(near: Option<&String>) -> String {
    near.map_or_else(String::new, |near| format!("did you mean {near:?}? "))
}

/// The candidate that a misspelt `word` most likely means, if one is close enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let word = plain(word);
    // One slip in three letters; very long words are not misspelt keys.
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be inserted, removed, replaced or swapped with their neighbour to make `a` into `b`
/// (optimal string alignment). More than 64 letters count as entirely different.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("heartbaet", "heartbeat"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance(&"x".repeat(65), "x"), usize::MAX);
    }

    #[test]
    fn only_what_is_close_is_suggested() {
        let known = ["heartbeat", "suspect_after", "evict_after", "at"];
        assert_eq!(nearest("suspekt-after", known), Some("suspect_after"));
        assert_eq!(nearest("Heartbeat", known), Some("heartbeat"));
        assert_eq!(nearest("zz", known), None);
        assert_eq!(nearest("observers", known), None);
    }
}
