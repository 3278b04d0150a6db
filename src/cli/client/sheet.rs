//! What clients show: rows as a table for people, or as JSON or CSV for programs, where names and units never change.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::base::Span;
use crate::cli::Format;
use crate::cli::text::{count, duration, rounded};

/// A value, and how people write it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    value: Value,
    text: String,
}

/// The most letters of a name in a table.
const LETTERS_MAX: usize = 120;
/// What is not known, or does not apply.
const NOTHING: &str = "-";

impl Cell {
    /// A word or a name. In a table it takes part of a line, whatever is in it; programs get all of it.
    pub(super) fn text(text: impl Into<String>) -> Cell {
        let value = text.into();
        let mut text = String::new();
        for (place, letter) in value.chars().enumerate() {
            if place == LETTERS_MAX {
                text.push('…');
                break;
            }
            if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
        }
        Cell { value: json!(value), text }
    }

    /// How many.
    pub(super) fn count(value: impl Into<u64>) -> Cell {
        let value = value.into();
        Cell { value: json!(value), text: count(value) }
    }

    /// A number that names something, such as a job.
    pub(super) fn number(value: impl Into<u64>) -> Cell {
        let value = value.into();
        Cell { value: json!(value), text: value.to_string() }
    }

    /// A number with a fraction, and how people write it.
    pub(super) fn amount(value: f64, text: String) -> Cell {
        Cell { value: json!(rounded(value)), text }
    }

    /// A whole number that people read with its unit.
    pub(super) fn whole(value: u64, text: String) -> Cell {
        Cell { value: json!(value), text }
    }

    /// A length of time; for programs in seconds.
    pub(super) fn span(span: Span) -> Cell {
        Cell::amount(span.as_secs(), duration(span.as_secs()))
    }

    /// Yes or no.
    pub(super) fn flag(value: bool) -> Cell {
        Cell { value: json!(value), text: if value { "yes" } else { "no" }.to_owned() }
    }

    /// What may not be there.
    pub(super) fn maybe<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Cell {
        value.map_or_else(|| Cell { value: Value::Null, text: NOTHING.to_owned() }, cell)
    }

    fn is_number(&self) -> bool {
        self.value.is_number()
    }
}

/// Rows under the names of their columns: what programs call each, and what stands above it for people.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    columns: Vec<(&'static str, &'static str)>,
    rows: Vec<Vec<Cell>>,
}

impl Sheet {
    /// An empty sheet.
    pub(super) fn new(columns: &[(&'static str, &'static str)]) -> Sheet {
        Sheet { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for every column.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sheet in the form that was asked for; nothing when it has no rows, except for the names of the columns in CSV.
    pub(super) fn shown(&self, format: Format) -> String {
        match format {
            Format::Table => self.table(),
            Format::Json => self.json(),
            Format::Csv => self.csv(true),
        }
    }

    /// The sheet as CSV, with or without the names of the columns.
    pub(super) fn csv(&self, head: bool) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        if head {
            let names = self.columns.iter().map(|(name, _)| *name);
            writer.write_record(names).expect("memory takes everything");
        }
        let plain = |cell: &Cell| match &cell.value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        for row in &self.rows {
            writer.write_record(row.iter().map(plain)).expect("memory takes everything");
        }
        String::from_utf8(writer.into_inner().expect("memory takes everything")).expect("texts are texts")
    }

    fn json(&self) -> String {
        let mut lines = String::new();
        for row in &self.rows {
            let names = self.columns.iter().map(|(name, _)| (*name).to_owned());
            let fields: Map<String, Value> = names.zip(row.iter().map(|cell| cell.value.clone())).collect();
            lines += &Value::Object(fields).to_string();
            lines.push('\n');
        }
        lines
    }

    /// Words to the left, numbers to the right.
    fn table(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let places = 0..self.columns.len();
        let wide = |text: &str| text.chars().count();
        let look = |place: usize| {
            let cells = self.rows.iter().map(|row| &row[place]);
            let width = cells.clone().map(|cell| wide(&cell.text)).max().unwrap_or(0);
            (cells.clone().any(Cell::is_number), width.max(wide(self.columns[place].1)))
        };
        let looks: Vec<(bool, usize)> = places.map(look).collect();
        let heads = self.columns.iter().map(|(_, head)| *head).collect::<Vec<_>>();
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect());
        let mut text = String::new();
        for row in std::iter::once(heads).chain(rows) {
            let mut line = String::new();
            for (cell, (right, width)) in row.iter().zip(&looks) {
                let gap = " ".repeat(width - wide(cell));
                let (before, after) = if *right { (gap, String::new()) } else { (String::new(), gap) };
                let _ = write!(line, "{before}{cell}{after}  ");
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new(&[("job", "job"), ("name", "name"), ("age_s", "age"), ("ended", "ended")]);
        sheet.row(vec![
            Cell::number(1_u32),
            Cell::text("a, b"),
            Cell::span(Span::millis(1500)),
            Cell::flag(true),
        ]);
        sheet.row(vec![
            Cell::number(12_u32),
            Cell::text("c"),
            Cell::maybe(None, Cell::span),
            Cell::flag(false),
        ]);
        sheet
    }

    #[test]
    fn people_see_columns_that_line_up_and_programs_plain_values() {
        let table = "job  name     age  ended\n  1  a, b  1.50 s  yes\n 12  c          -  no\n";
        assert_eq!(sheet().shown(Format::Table), table);
        let csv = "job,name,age_s,ended\n1,\"a, b\",1.5,true\n12,c,,false\n";
        assert_eq!(sheet().shown(Format::Csv), csv);
        let json = sheet().shown(Format::Json);
        let last = json.lines().last().unwrap();
        assert_eq!(last, r#"{"age_s":null,"ended":false,"job":12,"name":"c"}"#);
    }

    #[test]
    fn without_rows_programs_still_learn_the_columns() {
        let empty = Sheet::new(&[("job", "job"), ("name", "name")]);
        let shown = [Format::Table, Format::Json, Format::Csv].map(|format| empty.shown(format));
        assert_eq!(shown, ["", "", "job,name\n"]);
    }
}
