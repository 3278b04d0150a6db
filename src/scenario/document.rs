//! A scenario file as a tree of values that know where they were written, with the command line's overrides put in.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::error::{Place, Problem, ScenarioError, Wrong};
use super::keys::keys;
use super::twice::Written;

/// The longest file, in bytes, that is read as a scenario.
const SOURCE_BYTES_MAX: usize = 16 << 20;

/// The most parts of an override's path.
const STEPS_MAX: usize = 8;

/// Of more duplicate keys than this it is not said where they stand first.
const TWICE_MAX: usize = 20;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What TOML can say.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Whole(i128),
    Number(f64),
    Switch(bool),
    /// A date or a time of day, which no key takes.
    Moment(String),
    List(Vec<Item>),
    Table(Table),
}

/// Keys and values in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Where the key stands; the value may stand further down.
    pub(super) place: Place,
    pub(super) item: Item,
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Item> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.item)
    }
}

impl Item {
    /// How a message shows the value: short, and as it would be written.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) if text.chars().count() > 60 => {
                format!("{:?}…", text.chars().take(60).collect::<String>())
            }
            Value::Text(text) => format!("{text:?}"),
            Value::Whole(n) => n.to_string(),
            Value::Number(x) => format!("{x:?}"),
            Value::Switch(yes) => yes.to_string(),
            Value::Moment(text) => text.clone(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }
}

/// A whole file.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) origin: Arc<str>,
    pub(super) root: Table,
}

impl Document {
    /// Reads TOML. Every syntax error is reported.
    pub(super) fn parse(source: &str, origin: &str) -> Result<Document, ScenarioError> {
        let origin: Arc<str> = origin.into();
        let whole = Place::File { origin: origin.clone(), line: None };
        if source.len() > SOURCE_BYTES_MAX {
            let wrong = Wrong::Syntax(format!(
                "{} bytes are too long for a scenario; at most {SOURCE_BYTES_MAX}",
                source.len()
            ));
            return Err(ScenarioError::new(vec![Problem { place: whole, key: String::new(), wrong }]));
        }
        let lines = Lines::of(source, &origin);
        let (table, errors) = DeTable::parse_recoverable(source);
        if errors.is_empty() {
            let root = table_of(table.get_ref(), &|offset| lines.place(offset));
            return Ok(Document { origin, root });
        }
        let written = Written::of(source);
        let problem = |(number, error): (usize, &toml::de::Error)| {
            let span = error.span().unwrap_or(0..0);
            let place = lines.place(span.start);
            let is_duplicate = number < TWICE_MAX && error.message() == "duplicate key";
            let Some(twice) = is_duplicate.then(|| written.twice(&span)).flatten() else {
                let wrong = Wrong::Syntax(format!("not TOML: {}", error.message()));
                return Problem { place, key: String::new(), wrong };
            };
            let first = lines.number(twice.first);
            let why = match &twice.header {
                Some(header) => format!(
                    "written in line {first} already; wanted one {header} with the keys of both, each of them once"
                ),
                None => format!("written in line {first} already; wanted it once: take one of the two out"),
            };
            Problem { place, key: twice.path, wrong: Wrong::Syntax(why) }
        };
        Err(ScenarioError::new(errors.iter().enumerate().map(problem).collect()))
    }

    /// The file as such, when no line of it is to blame.
    pub(super) fn whole(&self) -> Place {
        Place::File { origin: self.origin.clone(), line: None }
    }

    /// Where the value at a dotted path was written, if it was.
    pub(super) fn written(&self, path: &str) -> Option<Place> {
        let steps: Vec<&str> = path.split('.').collect();
        find(&self.root, &steps).map(|item| item.place.clone())
    }

    /// Puts in `PATH=VALUE`, where the path is dotted and may name an element of a list by its position from 0, and the
    /// value is TOML or, failing that, a text without quotes.
    pub(super) fn set(&mut self, argument: &str) -> Result<(), ScenarioError> {
        let place = |path: &str| Place::Flag { path: path.into(), argument: argument.into() };
        let refused = |path: &str, why: String| {
            let place = place(path);
            ScenarioError::new(vec![Problem { place, key: path.to_owned(), wrong: Wrong::Override(why) }])
        };
        let Some((path, text)) = argument.split_once('=') else {
            return Err(refused(
                "",
                "no \"=\"; wanted PATH=VALUE, such as membership.heartbeat=20ms".to_owned(),
            ));
        };
        let path = path.trim();
        let steps: Vec<&str> = path.split('.').collect();
        if steps.len() > STEPS_MAX || steps.iter().any(|step| step.is_empty()) {
            let why = "not a path; wanted up to 8 keys joined by dots, such as job.0.batch";
            return Err(refused(path, why.to_owned()));
        }
        let item = Item { place: place(path), value: value_of_text(text.trim(), &place(path)) };
        put(&mut self.root, "", &steps, item).map_err(|why| refused(path, why))
    }
}

/// The value that a text without a file around it means: TOML if it is that, else the text itself.
pub(super) fn value_of_text(text: &str, place: &Place) -> Value {
    match DeValue::parse(text) {
        Ok(value) => value_of(value.get_ref(), &|_| place.clone()),
        Err(_) => Value::Text(text.to_owned()),
    }
}

/// The entry that the first steps name, and how many they are: names may hold dots, as those of models do, and the longest
/// one that exists is meant.
fn longest(table: &Table, steps: &[&str]) -> Option<(usize, usize)> {
    (1..=steps.len()).rev().find_map(|n| {
        let name = steps[..n].join(".");
        table.entries.iter().position(|entry| entry.name == name).map(|position| (position, n))
    })
}

fn find<'a>(table: &'a Table, steps: &[&str]) -> Option<&'a Item> {
    let (position, mut taken) = longest(table, steps)?;
    let mut item = &table.entries[position].item;
    while taken < steps.len() {
        match &item.value {
            Value::Table(table) => return find(table, &steps[taken..]),
            Value::List(list) => item = list.get(steps[taken].parse::<usize>().ok()?)?,
            _ => return None,
        }
        taken += 1;
    }
    Some(item)
}

fn put(table: &mut Table, above: &str, steps: &[&str], item: Item) -> Result<(), String> {
    let (name, rest) = (steps[0], &steps[1..]);
    let Some((position, taken)) = longest(table, steps) else {
        let place = item.place.clone();
        if above.is_empty() && !rest.is_empty() && is_list(name) {
            return Err(format!(
                "there is no {}, because the scenario has no [[{name}]]; write one into the file first",
                joined(name, rest[0])
            ));
        }
        let item = if rest.is_empty() {
            item
        } else {
            let mut inner = Table::default();
            put(&mut inner, &joined(above, name), rest, item)?;
            Item { place: place.clone(), value: Value::Table(inner) }
        };
        table.entries.push(Entry { name: name.to_owned(), place, item });
        return Ok(());
    };
    let entry = &mut table.entries[position];
    if taken == steps.len() {
        entry.place = item.place.clone();
        entry.item = item;
        return Ok(());
    }
    let path = joined(above, &steps[..taken].join("."));
    put_into(&mut entry.item, &path, &steps[taken..], item)
}

/// Whether tables of this name come in lists.
fn is_list(name: &str) -> bool {
    let group = format!("{name}.N");
    keys().iter().any(|key| key.group() == group)
}

fn put_into(target: &mut Item, path: &str, steps: &[&str], item: Item) -> Result<(), String> {
    match &mut target.value {
        Value::Table(table) => put(table, path, steps, item),
        Value::List(list) => {
            let count = list.len();
            let element = steps[0].parse::<usize>().ok().and_then(|position| list.get_mut(position));
            let Some(element) = element else {
                return Err(match count {
                    0 => format!("there is no {}; {path} is empty", joined(path, steps[0])),
                    1 => format!("there is no {}; the only one is {path}.0", joined(path, steps[0])),
                    _ => format!(
                        "there is no {}; there are {path}.0 to {path}.{}",
                        joined(path, steps[0]),
                        count - 1
                    ),
                });
            };
            if steps.len() == 1 {
                *element = item;
                return Ok(());
            }
            put_into(element, &joined(path, steps[0]), &steps[1..], item)
        }
        _ => Err(format!("{path} is a value; it has no parts")),
    }
}

/// A dotted path and one more part.
pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn table_of(table: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Table {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): &(&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
        Entry { name: key.get_ref().to_string(), place: place(key.span().start), item: item_of(value, place) }
    };
    Table { entries: entries.iter().map(entry).collect() }
}

fn item_of(value: &toml::Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Place) -> Item {
    Item { place: place(value.span().start), value: value_of(value.get_ref(), place) }
}

fn value_of(value: &DeValue<'_>, place: &dyn Fn(usize) -> Place) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        // What exceeds 128 bits exceeds every bound; it needs no exact value.
        DeValue::Integer(n) => Value::Whole(
            i128::from_str_radix(n.as_str(), n.radix()).unwrap_or(if n.as_str().starts_with('-') {
                i128::MIN
            } else {
                i128::MAX
            }),
        ),
        DeValue::Float(x) => Value::Number(x.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(yes) => Value::Switch(*yes),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(list) => Value::List(list.iter().map(|item| item_of(item, place)).collect()),
        DeValue::Table(table) => Value::Table(table_of(table, place)),
    }
}

/// Where the lines of a source begin.
struct Lines<'a> {
    origin: &'a Arc<str>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(source: &str, origin: &'a Arc<str>) -> Lines<'a> {
        let breaks = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines { origin, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn number(&self, offset: usize) -> u32 {
        self.starts.partition_point(|&start| start <= offset) as u32
    }

    fn place(&self, offset: usize) -> Place {
        Place::File { origin: self.origin.clone(), line: Some(self.number(offset)) }
    }
}
