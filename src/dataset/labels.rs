//! Which class each input of a dataset belongs to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::listing::{Listing, is_harmless};
use super::{CLASSES_MAX, DatasetError};

/// The most letters of a label.
const LABEL_LETTERS_MAX: usize = 200;
/// The label of an input of which none is known.
const UNKNOWN: u32 = u32::MAX;

/// The classes of a dataset, and that of each input.
#[derive(Debug)]
pub(super) struct Labels {
    /// Names of classes, by number.
    pub(super) classes: Vec<Arc<str>>,
    /// Whether a table says the numbers.
    pub(super) numbered: bool,
    /// The class of each input.
    by_input: Vec<u32>,
}

impl Labels {
    /// The class of an input.
    pub(super) fn of(&self, input: usize) -> Option<u32> {
        self.by_input.get(input).copied().filter(|label| *label != UNKNOWN)
    }

    /// Each input belongs to the class that its folder is named after; one that lies in no folder to none.
    pub(super) fn of_folders(path: &Path, listing: &Listing) -> Result<Labels, DatasetError> {
        let class =
            |name: &'_ Arc<str>| listing.below(name).split_once('/').map(|(class, _)| Arc::from(class));
        let found: Vec<Option<Arc<str>>> = listing.names.iter().map(class).collect();
        Labels::sorted(path, &found)
    }

    /// The classes that a table says.
    pub(super) fn of_table(path: &Path, listing: &Listing, table: &[u8]) -> Result<Labels, DatasetError> {
        let mut found = vec![None; listing.names.len()];
        let mut lines = vec![0; listing.names.len()];
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(table);
        let wrong = |line, why| DatasetError::Labels { path: path.to_owned(), line, why };
        let unread = |error: &csv::Error| {
            wrong(error.position().map_or(1, csv::Position::line), format!("cannot be read: {error}"))
        };
        let head = reader.headers().map_err(|error| unread(&error))?.clone();
        let column = |name: &str| head.iter().position(|column| column == name);
        let (Some(file), Some(label)) = (column("file"), column("label")) else {
            let columns = head.iter().collect::<Vec<_>>().join(",");
            return Err(wrong(1, format!("the columns are {columns}; wanted file and label among them")));
        };
        for row in reader.records() {
            let row = row.map_err(|error| unread(&error))?;
            let line = row.position().map_or(0, csv::Position::line);
            let (file, label) = (row.get(file).unwrap_or_default(), row.get(label).unwrap_or_default());
            let full = format!("{}{file}", listing.top);
            let place = listing.names.binary_search_by(|name| (**name).cmp(&full));
            let Some(place) = place.ok().filter(|_| is_harmless(file)) else {
                return Err(wrong(
                    line,
                    format!(
                        "{file:?} is no file of the dataset; wanted one such as {:?}",
                        listing.names.first().map_or("", |name| listing.below(name))
                    ),
                ));
            };
            if label.is_empty() || label.chars().count() > LABEL_LETTERS_MAX {
                return Err(wrong(
                    line,
                    format!("the label of {file} is empty or longer than {LABEL_LETTERS_MAX} letters"),
                ));
            }
            if found[place].replace(Arc::from(label)).is_some() {
                return Err(wrong(line, format!("{file} stands here twice")));
            }
            lines[place] = line;
        }
        let is_number = |label: &str| label.parse::<u32>().is_ok();
        if found.iter().flatten().any(|label| is_number(label)) {
            // Beside numbers of classes a number that is none is a mistake, and no name.
            let mistaken = |(label, _): &(&Option<Arc<str>>, &u64)| {
                label
                    .as_ref()
                    .is_some_and(|label| !is_number(label) && label.parse::<f64>().is_ok_and(f64::is_finite))
            };
            if let Some((Some(label), &line)) =
                found.iter().zip(&lines).filter(mistaken).min_by_key(|(_, line)| **line)
            {
                let most = CLASSES_MAX - 1;
                return Err(wrong(
                    line,
                    format!("{label} is the number of no class; wanted a whole number from 0 to {most}"),
                ));
            }
        }
        let number = |label: &Option<Arc<str>>| match label {
            None => Some(UNKNOWN),
            Some(label) => label.parse::<u32>().ok(),
        };
        let numbers: Option<Vec<u32>> = found.iter().map(number).collect();
        let Some(labels) = numbers.filter(|_| found.iter().any(Option::is_some)) else {
            return Labels::sorted(path, &found);
        };
        let known = labels.iter().zip(&lines).filter(|(label, _)| **label != UNKNOWN);
        let Some((&most, &line)) = known.max_by_key(|(label, _)| **label) else {
            return Labels::sorted(path, &found);
        };
        if most >= CLASSES_MAX {
            return Err(wrong(
                line,
                format!("the class {most} is too high; wanted at most {}", CLASSES_MAX - 1),
            ));
        }
        let classes = (0..=most).map(|class| class.to_string().into()).collect();
        Ok(Labels { classes, numbered: true, by_input: labels })
    }

    /// Numbers the classes in the order of their names.
    fn sorted(path: &Path, found: &[Option<Arc<str>>]) -> Result<Labels, DatasetError> {
        let mut numbers: BTreeMap<&str, u32> = found.iter().flatten().map(|class| (&**class, 0)).collect();
        if numbers.len() > CLASSES_MAX as usize {
            let (found, most) = (numbers.len() as u64, u64::from(CLASSES_MAX));
            return Err(DatasetError::TooMany { path: path.to_owned(), found, what: "classes", most });
        }
        numbers.values_mut().zip(0..).for_each(|(number, place)| *number = place);
        let label = |class: &Option<Arc<str>>| class.as_ref().map_or(UNKNOWN, |class| numbers[&**class]);
        let labels = found.iter().map(label).collect();
        let classes = numbers.keys().map(|class| Arc::from(*class)).collect();
        Ok(Labels { classes, numbered: false, by_input: labels })
    }
}
