//! Whether the tables and keys of a document are those that a scenario has.

use super::document::{Document, Entry, Item, Table, Value, joined};
use super::error::{Wrong, nearest};
use super::keys::{Key, keys};
use super::read::{Problems, table_in};

/// What keys are called elsewhere: the table, the other word, and the key.
const ALSO_CALLED: [(&str, &str, &str); 6] = [
    ("fault.N", "from", "other"),
    ("fault.N", "to", "other"),
    ("fault.N", "between", "other"),
    ("fault.N", "duration", "for"),
    ("fault.N", "node", "target"),
    ("fault.N", "nodes", "target"),
];

/// Notes every key that does not exist and every table that has the wrong form.
pub(super) fn check_shape(document: &Document, problems: &Problems) {
    for entry in &document.root.entries {
        let name = entry.name.as_str();
        let group = |end: &str| {
            let is_it = |group: &&str| group.strip_suffix(end) == Some(name);
            keys().iter().map(Key::group).find(is_it)
        };
        if let Some(group) = group(".N") {
            check_list(entry, group, problems);
        } else if let Some(group) = group(".NAME") {
            check_map(entry, group, problems);
        } else if let Some(group) = group("") {
            match table_in(Some(&entry.item)) {
                Some(table) => check_keys(table, group, name, &format!("[{name}]"), problems),
                None => misfit(&entry.item, name, format!("[{name}], with one bracket, once"), problems),
            }
        } else if !keys().iter().any(|key| key.path == name) {
            problems.add(entry.place.clone(), name.to_owned(), unknown(name, "", "a scenario"));
        }
    }
}

/// Tables that come in a list: `[[job]]`.
fn check_list(entry: &Entry, group: &str, problems: &Problems) {
    let name = entry.name.as_str();
    let Value::List(list) = &entry.item.value else {
        misfit(&entry.item, name, format!("[[{name}]], with two brackets, for each"), problems);
        return;
    };
    for (position, item) in list.iter().enumerate() {
        let path = format!("{name}.{position}");
        match table_in(Some(item)) {
            Some(table) => check_keys(table, group, &path, &format!("[[{name}]]"), problems),
            None => misfit(item, &path, format!("a table, one [[{name}]] for each"), problems),
        }
    }
}

/// Tables that have names: `[model.resnet18]`.
fn check_map(entry: &Entry, group: &str, problems: &Problems) {
    let wanted = || format!("[{}.NAME] for each", entry.name);
    let Some(tables) = table_in(Some(&entry.item)) else {
        misfit(&entry.item, &entry.name, wanted(), problems);
        return;
    };
    for inner in &tables.entries {
        let path = joined(&entry.name, &inner.name);
        match table_in(Some(&inner.item)) {
            Some(table) => check_keys(table, group, &path, &format!("[{path}]"), problems),
            None => misfit(&inner.item, &path, wanted(), problems),
        }
    }
}

/// Notes a value that has not the form of what stands under its name.
fn misfit(item: &Item, path: &str, wanted: String, problems: &Problems) {
    let (found, why) = (item.shown(), "does not fit here".to_owned());
    problems.add(item.place.clone(), path.to_owned(), Wrong::Value { found, why, near: None, wanted });
}

fn check_keys(table: &Table, group: &str, path: &str, shown: &str, problems: &Problems) {
    for entry in &table.entries {
        if !keys().iter().any(|key| key.name() == entry.name && key.group() == group) {
            problems.add(entry.place.clone(), joined(path, &entry.name), unknown(&entry.name, group, shown));
        }
    }
}

fn unknown(name: &str, group: &str, table: &str) -> Wrong {
    let mut known: Vec<&str> = Vec::new();
    for key in keys() {
        let name = match group {
            // The document knows its own keys and the names of its tables.
            "" => key.path.split('.').next().expect("a path has a first part"),
            _ if key.group() == group => key.name(),
            _ => continue,
        };
        if !known.contains(&name) {
            known.push(name);
        }
    }
    let mut also = ALSO_CALLED.iter().filter(|(whose, called, _)| *whose == group && *called == name);
    let meant = also.next().map(|(.., key)| *key);
    let near = meant.or_else(|| nearest(name, known.iter().copied())).map(str::to_owned);
    // A key that is right, in the wrong table; only one that cannot be confused, and none of the many tables of a list: what
    // stands in one list is not meant for another.
    let elsewhere = || {
        let is_listed = |group: &str| group.strip_suffix(".N").is_some();
        let mut others =
            keys().iter().filter(|key| key.name() == name && !(is_listed(group) && is_listed(key.group())));
        others.next().filter(|_| others.next().is_none()).map(|key| key.path.to_owned())
    };
    Wrong::UnknownKey { near: near.or_else(elsewhere), table: table.to_owned(), known: known.join(", ") }
}
