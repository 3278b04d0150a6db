//! Typed access to a document: each value is read by what the table of keys says about it, and what is wrong is noted.

use std::cell::RefCell;
use std::sync::Arc;

use super::document::{Document, Entry, Item, Table, Value, joined, value_of_text};
use super::error::{Complaint, Place, Problem, Wrong, nearest};
use super::keys::{BANDWIDTH_RANGE, Key, Kind, Preset, key_at};
use super::units::{self, UnitError};
use crate::base::{BySize, Draw, Span};
use crate::node::{Inputs, limits, stored};

/// The most bytes of a path to a dataset.
const PATH_BYTES_MAX: usize = 1_000;
/// The dataset of jobs whose inputs are a mere count.
pub(super) const DATASET: &str = "synthetic";

/// The longest name.
const NAME_CHARS_MAX: usize = 64;

/// What was found to be wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, place: Place, key: String, wrong: Wrong) {
        self.0.borrow_mut().push(Problem { place, key, wrong });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// One table of a document.
#[derive(Clone)]
pub(super) struct Section<'a> {
    problems: &'a Problems,
    /// The table's path in the table of keys: `job.N`.
    group: &'static str,
    /// Its path in this document: `job.0`.
    path: String,
    /// Where it begins.
    place: Place,
    table: Option<&'a Table>,
}

/// What a reader makes of an item, or why it cannot.
pub(super) type Reading<T> = Result<T, Complaint>;

fn complain<T>(why: impl Into<Complaint>) -> Reading<T> {
    Err(why.into())
}

impl<'a> Section<'a> {
    pub(super) fn root(document: &'a Document, problems: &'a Problems) -> Section<'a> {
        let table = Some(&document.root);
        Section { problems, group: "", path: String::new(), place: document.whole(), table }
    }

    /// The table of this name, which may not have been written.
    pub(super) fn table(&self, name: &'static str) -> Section<'a> {
        let item = self.item(name);
        let place = item.map_or_else(|| self.place.clone(), |item| item.place.clone());
        Section { problems: self.problems, group: name, path: name.to_owned(), place, table: table_in(item) }
    }

    /// The tables of a list, under the name that the table of keys gives to each.
    pub(super) fn list(&self, name: &str, group: &'static str) -> Vec<Section<'a>> {
        let Some(Item { value: Value::List(list), .. }) = self.item(name) else { return Vec::new() };
        let section = |(position, item): (usize, &'a Item)| {
            let (path, place) = (format!("{name}.{position}"), item.place.clone());
            let table = Some(table_in(Some(item))?);
            Some(Section { problems: self.problems, group, path, place, table })
        };
        list.iter().enumerate().filter_map(section).collect()
    }

    /// The tables within a table, with their names.
    pub(super) fn map(&self, name: &str, group: &'static str) -> Vec<(&'a str, Section<'a>)> {
        let Some(table) = table_in(self.item(name)) else { return Vec::new() };
        let section = |entry: &'a Entry| {
            let (path, place) = (joined(name, &entry.name), entry.item.place.clone());
            let table = Some(table_in(Some(&entry.item))?);
            Some((entry.name.as_str(), Section { problems: self.problems, group, path, place, table }))
        };
        table.entries.iter().filter_map(section).collect()
    }

    /// Whether the key was written.
    pub(super) fn has(&self, name: &str) -> bool {
        self.item(name).is_some()
    }

    /// The names of the keys that were written.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.table.into_iter().flat_map(|table| table.entries.iter().map(|entry| entry.name.as_str()))
    }

    /// Notes that the value of a key is wrong, at its place if it was written.
    pub(super) fn refuse(&self, name: &str, wrong: Wrong) {
        let place = self.item(name).map_or_else(|| self.place.clone(), |item| item.place.clone());
        self.problems.add(place, joined(&self.path, name), wrong);
    }

    /// Notes that the table itself is wrong.
    pub(super) fn refuse_whole(&self, wrong: Wrong) {
        self.problems.add(self.place.clone(), self.path.clone(), wrong);
    }

    /// The value as it was written.
    pub(super) fn item(&self, name: &str) -> Option<&'a Item> {
        self.table.and_then(|table| table.get(name))
    }

    /// `None` when the key says, or by default is, the word that stands for "no value"; else what `read` makes of it.
    pub(super) fn unless_word<T>(&self, name: &str, read: impl FnOnce(&Self, &str) -> T) -> Option<T> {
        let key = key_at(self.group, name);
        let word = match self.item(name) {
            Some(Item { value: Value::Text(text), .. }) => key.word == Some(text),
            Some(_) => false,
            None => key.word.is_some_and(|word| key.default == Preset::Value(word)),
        };
        if word { None } else { Some(read(self, name)) }
    }

    /// `None` when the key was not written; else what `read` makes of it.
    pub(super) fn if_written<T>(&self, name: &str, read: impl FnOnce(&Self, &str) -> T) -> Option<T> {
        self.has(name).then(|| read(self, name))
    }

    /// Any text.
    pub(super) fn text(&self, name: &str) -> String {
        self.read(name, |item, _| Ok(text_in(item, "is not a text")?.to_owned())).unwrap_or_default()
    }

    /// A name of a harmless form.
    pub(super) fn name(&self, name: &str) -> Arc<str> {
        self.read(name, |item, _| {
            let text = text_in(item, "is not a text")?;
            if is_name(text) { Ok(text.into()) } else { complain("is not a name") }
        })
        .unwrap_or_else(|| "".into())
    }

    /// A whole number within the key's bounds.
    pub(super) fn whole(&self, name: &str) -> i128 {
        self.read(name, |item, key| {
            let Kind::Whole(least, most) = key.kind else { unreachable!("{} is no whole number", key.path) };
            match item.value {
                Value::Whole(n) if n < least => complain("is too small"),
                Value::Whole(n) if n > most => complain("is too large"),
                Value::Whole(n) => Ok(n),
                _ => complain("is not a whole number"),
            }
        })
        .unwrap_or_default()
    }

    /// An odd number up to the key's bound.
    pub(super) fn odd(&self, name: &str) -> u8 {
        self.read(name, |item, key| {
            let Kind::Odd(most) = key.kind else { unreachable!("{} is no odd number", key.path) };
            match item.value {
                Value::Whole(n) if n < 1 => complain("is too small"),
                Value::Whole(n) if n > i128::from(most) => complain("is too large"),
                Value::Whole(n) if n % 2 == 0 => {
                    complain("is even, which survives no more failures than one less")
                }
                Value::Whole(n) => Ok(n as u8),
                _ => complain("is not a whole number"),
            }
        })
        .unwrap_or(1)
    }

    /// A number above zero.
    pub(super) fn number(&self, name: &str) -> f64 {
        self.read(name, |item, key| {
            let Kind::Number(most) = key.kind else { unreachable!("{} is no number", key.path) };
            let x = number_in(item).ok_or("is not a number")?;
            match x {
                _ if x.is_nan() => complain("is not a number"),
                _ if x < 0.0 => complain("is negative"),
                _ if x == 0.0 => complain("is not above 0"),
                _ if x > most => complain("is too large"),
                _ => Ok(x),
            }
        })
        .unwrap_or(1.0)
    }

    /// A number, which may be zero.
    pub(super) fn amount(&self, name: &str) -> f64 {
        self.read(name, |item, key| {
            let Kind::Amount(most) = key.kind else { unreachable!("{} is no amount", key.path) };
            let x = number_in(item).ok_or("is not a number")?;
            match x {
                _ if x.is_nan() => complain("is not a number"),
                _ if x < 0.0 => complain("is negative"),
                _ if x > most => complain("is too large"),
                // Minus zero is zero, and is written so.
                _ => Ok(x + 0.0),
            }
        })
        .unwrap_or_default()
    }

    /// A probability.
    pub(super) fn rate(&self, name: &str) -> f64 {
        self.read(name, |item, _| {
            let x = match &item.value {
                Value::Text(text) => units::percentage(text)?,
                _ => number_in(item).ok_or("is not a probability")?,
            };
            // Minus zero is zero, and is written so.
            if (0.0..=1.0).contains(&x) { Ok(x + 0.0) } else { complain("is not from 0 to 1") }
        })
        .unwrap_or_default()
    }

    /// A length of time within the key's bounds.
    pub(super) fn span(&self, name: &str) -> Span {
        self.read(name, |item, key| {
            let Kind::Span(least, most) = key.kind else { unreachable!("{} is no span", key.path) };
            let text = timed_in(item)?;
            let span = match units::span(text) {
                Ok(span) => span,
                Err(_) if units::draw(text).is_ok() => return complain("is random, and must not be"),
                Err(why) => return complain(why),
            };
            within(span, span, least, most)?;
            Ok(span)
        })
        .unwrap_or_default()
    }

    /// A length of time that may be random, within the key's bounds.
    pub(super) fn draw(&self, name: &str) -> Draw {
        self.read(name, |item, key| {
            let Kind::Draw(least, most) = key.kind else { unreachable!("{} is no draw", key.path) };
            let draw = match units::draw(timed_in(item)?) {
                Ok(draw) => draw,
                Err(why @ UnitError::UnknownDraw) => {
                    let text = timed_in(item)?.split('(').next().unwrap_or_default();
                    return Err(Complaint::from(why).near(nearest(text, ["lognormal", "exp"])));
                }
                Err(why) => return complain(why),
            };
            let (low, high) = units::draw_range(draw);
            within(low, high, least, most)?;
            Ok(draw)
        })
        .unwrap_or(Draw::ZERO)
    }

    /// Yes or no.
    pub(super) fn switch(&self, name: &str) -> bool {
        self.read(name, |item, _| match item.value {
            Value::Switch(yes) => Ok(yes),
            _ => complain("is neither true nor false"),
        })
        .unwrap_or_default()
    }

    /// One of the key's words; `None` when it is wrong.
    pub(super) fn choice(&self, name: &str) -> Option<&'static str> {
        self.read(name, |item, key| {
            let Kind::Choice(words) = key.kind else { unreachable!("{} is no choice", key.path) };
            let (text, words) = (text_in(item, "is not a text")?, words());
            let chosen = words.iter().find(|word| **word == text).copied();
            chosen.ok_or_else(|| Complaint::from("is not known").near(nearest(text, words)))
        })
    }

    /// Bytes per second.
    pub(super) fn bandwidth(&self, name: &str) -> u64 {
        self.read(name, |item, _| {
            let bytes = units::bandwidth(timed_in(item)?)?;
            match bytes {
                bytes if bytes < BANDWIDTH_RANGE.0 => complain("is too small"),
                bytes if bytes > BANDWIDTH_RANGE.1 => complain("is too large"),
                bytes => Ok(bytes),
            }
        })
        .unwrap_or_default()
    }

    /// What a job runs on.
    pub(super) fn inputs(&self, name: &str) -> Inputs {
        self.read(name, |item, _| inputs_in(item)).unwrap_or_else(|| Inputs::Names(Arc::new([])))
    }

    /// Factors by the number of inputs of a query.
    pub(super) fn by_size(&self, name: &str) -> BySize {
        let written = self.unless_word(name, |section, name| {
            section.read(name, |item, _| by_size_in(text_in(item, "is not a text")?))
        });
        written.flatten().unwrap_or(BySize::LINE)
    }

    /// What `parse` makes of an item of any form.
    pub(super) fn any<T>(&self, name: &str, parse: impl FnOnce(&Item) -> Reading<T>) -> Option<T> {
        self.read(name, |item, _| parse(item))
    }

    /// Reads what was written, or else the default; `None`, and a problem noted, when that cannot be done.
    fn read<T>(&self, name: &str, parse: impl FnOnce(&Item, &Key) -> Reading<T>) -> Option<T> {
        let key = key_at(self.group, name);
        let preset = match (self.item(name), key.default) {
            (Some(_), _) => None,
            (None, Preset::Value(text)) => {
                Some(Item { place: self.place.clone(), value: value_of_text(text, &self.place) })
            }
            (None, Preset::Derived(_)) => unreachable!("{} is derived by whoever reads it", key.path),
            (None, Preset::Required) => {
                self.refuse(name, Wrong::Missing { wanted: key.wanted() });
                return None;
            }
        };
        let item = self.item(name).or(preset.as_ref()).expect("written or preset");
        match parse(item, key) {
            Ok(value) => Some(value),
            Err(Complaint { why, near }) => {
                let near = near.or_else(|| near_word(item, key));
                assert!(preset.is_none(), "the default of {} is wrong: it {why}", key.path);
                self.refuse(name, Wrong::Value { found: item.shown(), why, near, wanted: key.wanted() });
                None
            }
        }
    }
}

/// The key's word, if that is what a misspelt value means.
fn near_word(item: &Item, key: &Key) -> Option<String> {
    let Value::Text(text) = &item.value else { return None };
    nearest(text, key.word).map(str::to_owned)
}

pub(super) fn table_in(item: Option<&Item>) -> Option<&Table> {
    match item {
        Some(Item { value: Value::Table(table), .. }) => Some(table),
        _ => None,
    }
}

fn text_in<'a>(item: &'a Item, why: &str) -> Reading<&'a str> {
    match &item.value {
        Value::Text(text) => Ok(text),
        _ => complain(why),
    }
}

/// The text of a value that has to have a unit.
fn timed_in(item: &Item) -> Reading<&str> {
    match &item.value {
        Value::Whole(_) | Value::Number(_) => complain(UnitError::NoUnit),
        _ => text_in(item, "is not a text"),
    }
}

fn number_in(item: &Item) -> Option<f64> {
    match item.value {
        Value::Whole(n) => Some(n as f64),
        Value::Number(x) => Some(x),
        _ => None,
    }
}

fn within(low: Span, high: Span, least: Span, most: Span) -> Reading<()> {
    if low < least {
        return complain("is too short");
    }
    if high > most { complain("is too long") } else { Ok(()) }
}

/// Whether a text is fit to name something: a folder, a column's entry, a part of a path.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether it says where nodes find a dataset on their own disks: `node:` and a path.
fn is_on_nodes(text: &str) -> bool {
    text.strip_prefix("node:").is_some_and(|path| {
        !path.is_empty() && path.len() <= PATH_BYTES_MAX && !path.chars().any(char::is_control)
    })
}

fn by_size_in(text: &str) -> Reading<BySize> {
    let point = |part: &str| {
        let (size, factor) = part.split_once(':')?;
        Some((size.trim().parse().ok()?, factor.trim().parse().ok()?))
    };
    let points: Option<Vec<(u32, f64)>> = text.split(',').map(point).collect();
    let Some(points) = points else { return complain("is no list of sizes with factors") };
    BySize::new(&points).ok_or_else(|| "has too many sizes, or one out of its order or its bounds".into())
}

fn inputs_in(item: &Item) -> Reading<Inputs> {
    let count = |n: i128| match u64::try_from(n) {
        Ok(0) | Err(_) => complain("is not a count of at least 1"),
        Ok(n) if n > limits::INPUTS_MAX => complain(format!("is more than {} inputs", limits::INPUTS_MAX)),
        Ok(n) => Ok(n),
    };
    match &item.value {
        Value::Whole(n) => Ok(Inputs::Range { dataset: DATASET.into(), from: 0, count: count(*n)? }),
        Value::Text(text) => {
            let parts = text.rsplit_once(':').and_then(|(dataset, range)| {
                let (from, to) = range.split_once("..")?;
                Some((dataset.trim(), from.trim().parse::<u64>().ok()?, to.trim().parse::<u64>().ok()?))
            });
            let Some((dataset, from, to)) = parts else { return complain("is not a range") };
            if let Some(Err(flaw)) = stored(dataset) {
                return complain(format!("names no file of the store: {flaw}"));
            }
            if !is_name(dataset) && !is_on_nodes(dataset) && stored(dataset).is_none() {
                return complain("does not begin with the name of a dataset");
            }
            if to <= from {
                return complain("is an empty range");
            }
            Ok(Inputs::Range { dataset: dataset.into(), from, count: count(i128::from(to - from))? })
        }
        Value::List(list) if list.is_empty() => complain("is empty"),
        Value::List(list) if list.len() > limits::NAMES_MAX => {
            complain(format!("has more than {} names", limits::NAMES_MAX))
        }
        Value::List(list) => {
            let names: Reading<Vec<Arc<str>>> = list
                .iter()
                .map(|item| text_in(item, "has an element that is not a text").map(Into::into))
                .collect();
            Ok(Inputs::Names(names?.into()))
        }
        _ => complain("is not a count, a range or a list of names"),
    }
}
