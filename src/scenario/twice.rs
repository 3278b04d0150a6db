//! Keys that a file has twice: which they are, and where they stand first. The parser says only that there is one.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The lines of a file that begin a table or have a key.
pub(super) struct Written<'a> {
    source: &'a str,
    lines: Vec<Line>,
}

struct Line {
    /// Where it begins.
    at: usize,
    path: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `[a]`
    Table,
    /// `[[a]]`, which may stand as often as one likes.
    Element,
    /// `a = 1`
    Key,
}

/// A key that stands where it has been written before.
pub(super) struct Twice {
    /// Its dotted path.
    pub(super) path: String,
    /// Where the line begins that has it first.
    pub(super) first: usize,
    /// The header, where it is that of a table.
    pub(super) header: Option<String>,
}

impl<'a> Written<'a> {
    pub(super) fn of(source: &'a str) -> Written<'a> {
        let mut lines = Vec::new();
        let mut within: Vec<String> = Vec::new();
        let mut at = 0;
        for text in source.split_inclusive('\n') {
            if let Some(path) = header(text) {
                within.clone_from(&path);
                let kind = if text.trim_start().starts_with("[[") { Kind::Element } else { Kind::Table };
                lines.push(Line { at, path, kind });
            } else if let Some((key, _)) = text.split_once('=')
                && let Some(names) = names(&format!("{} = 0", key.trim_start()))
            {
                let path = within.iter().cloned().chain(names).collect();
                lines.push(Line { at, path, kind: Kind::Key });
            }
            at += text.len();
        }
        Written { source, lines }
    }

    /// What the key at `span` is that is there already. `None` where that cannot be told, as within braces.
    pub(super) fn twice(&self, span: &Range<usize>) -> Option<Twice> {
        let number = self.lines.partition_point(|line| line.at <= span.start).checked_sub(1)?;
        let line = &self.lines[number];
        let text = self.source[line.at..].lines().next()?;
        if span.end > line.at + text.len() {
            return None;
        }
        let (path, header) = if line.kind == Kind::Key {
            // Of a dotted key the part that is there already.
            let within = self.lines[..number].iter().rev().find(|line| line.kind != Kind::Key);
            let key = names(&format!("{} = 0", self.source[line.at..span.end].trim_start()))?;
            (within.into_iter().flat_map(|line| line.path.iter().cloned()).chain(key).collect(), None)
        } else {
            (line.path.clone(), Some(text.trim().to_owned()))
        };
        let mut first = None;
        for earlier in &self.lines[..number] {
            if earlier.kind == Kind::Element && path.starts_with(&earlier.path) && path != earlier.path {
                // Another element has keys of its own.
                first = None;
            } else if earlier.path.starts_with(&path) {
                first = first.or(Some(earlier.at));
            }
        }
        Some(Twice { path: path.join("."), first: first?, header })
    }
}

/// The path of the table that a line begins.
fn header(line: &str) -> Option<Vec<String>> {
    if line.trim_start().starts_with('[') { names(line) } else { None }
}

/// The path of the only key of a text that is TOML.
fn names(text: &str) -> Option<Vec<String>> {
    let whole = DeTable::parse(text).ok()?;
    let mut path = Vec::new();
    let mut table = whole.get_ref();
    while let Some((key, value)) = table.iter().next() {
        path.push(key.get_ref().to_string());
        let inner = match value.get_ref() {
            DeValue::Array(list) => list.first().map(toml::Spanned::get_ref),
            value => Some(value),
        };
        let Some(DeValue::Table(inner)) = inner else { break };
        table = inner;
    }
    (!path.is_empty()).then_some(path)
}
