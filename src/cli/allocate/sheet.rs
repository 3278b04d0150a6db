//! CSV files that people wrote: cells that know where they stand, and what is wrong with them.

use std::fmt;

use crate::scenario::nearest;

/// The longest file that is read, in bytes.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// More problems than this are counted and not shown.
const PROBLEMS_MAX: usize = 20;

/// A file of rows that all have the columns of its first one, in any order.
#[derive(Debug)]
pub(super) struct Sheet {
    /// For each known column its place in the file, from 0, if it is there.
    places: Vec<Option<usize>>,
    /// The names of the known columns.
    columns: &'static [&'static str],
    rows: Vec<Row>,
}

/// One row.
#[derive(Debug)]
struct Row {
    line: u64,
    cells: csv::StringRecord,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// The line, from 1.
    line: u64,
    /// The column, from 1, and its name.
    column: Option<(usize, String)>,
    /// What was found and what is wanted.
    what: String,
}

/// Why a file was refused, each reason with its place. Nothing has been done with the file.
#[derive(Debug, thiserror::Error)]
pub(super) struct Problems {
    origin: String,
    problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().take(PROBLEMS_MAX).enumerate() {
            let line = if position > 0 { "\n" } else { "" };
            write!(f, "{line}{}:{}: ", self.origin, problem.line)?;
            if let Some((number, name)) = &problem.column {
                write!(f, "column {number} ({name}): ")?;
            }
            f.write_str(&problem.what)?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl Problems {
    /// Nothing is wrong so far with the file of this name.
    pub(super) fn none(origin: &str) -> Problems {
        Problems { origin: origin.to_owned(), problems: Vec::new() }
    }

    /// `value`, unless something was wrong.
    pub(super) fn unless_any<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
    }

    fn add(&mut self, line: u64, column: Option<(usize, String)>, what: impl Into<String>) {
        self.problems.push(Problem { line, column, what: what.into() });
    }

    fn alone(mut self, line: u64, what: impl Into<String>) -> Problems {
        self.problems.clear();
        self.add(line, None, what);
        self
    }
}

/// What columns a file may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Every column that is read.
    pub(super) columns: &'static [&'static str],
    /// How many of them, from the first, must be there.
    pub(super) required: usize,
    /// Columns that may be there and are not read.
    pub(super) ignored: &'static [&'static str],
    /// The most rows.
    pub(super) rows_max: usize,
}

impl Sheet {
    /// Reads a whole file. Lines that are empty or begin with `#` are left out.
    pub(super) fn read(bytes: &[u8], origin: &str, shape: Shape) -> Result<Sheet, Problems> {
        let none = || Problems::none(origin);
        if bytes.len() > BYTES_MAX {
            let what = format!("the file is longer than {} MiB", BYTES_MAX >> 20);
            return Err(none().alone(1, what));
        }
        if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
            let what = "the file begins with a byte order mark; wanted plain UTF-8 without one";
            return Err(none().alone(1, what));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            none().alone(line as u64, "not text in UTF-8; wanted a CSV file")
        })?;
        let lines =
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let mut rows = Vec::new();
        for (position, line) in lines {
            let line_number = position as u64 + 1;
            if rows.len() > shape.rows_max {
                return Err(none().alone(line_number, format!("more than {} rows", shape.rows_max)));
            }
            let cells = cells(line).map_err(|what| none().alone(line_number, what))?;
            rows.push(Row { line: line_number, cells });
        }
        let mut problems = none();
        let wanted = shape.columns[..shape.required].join(",");
        if rows.is_empty() {
            return Err(problems.alone(1, format!("the file is empty; wanted a first line such as {wanted}")));
        }
        let head = rows.remove(0);
        let places = shape.places(&head, &mut problems);
        for row in rows.iter().filter(|row| row.cells.len() != head.cells.len()) {
            let (found, names) = (row.cells.len(), head.cells.len());
            problems.add(
                row.line,
                None,
                format!("{found} values; wanted {names}, one for each column of line {}", head.line),
            );
        }
        if rows.is_empty() {
            problems.add(head.line, None, "no rows follow the names of the columns; wanted at least one");
        }
        problems.unless_any(Sheet { places, columns: shape.columns, rows })
    }

    /// The rows, in their order.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cells<'_>> {
        self.rows.iter().map(|row| Cells { sheet: self, row })
    }

    fn place(&self, column: &str) -> Option<usize> {
        let known = self.columns.iter().position(|known| *known == column);
        self.places[known.expect("only known columns are asked for")]
    }
}

impl Shape {
    /// Where each column stands, by the first line of the file.
    fn places(&self, head: &Row, problems: &mut Problems) -> Vec<Option<usize>> {
        let mut places = vec![None; self.columns.len()];
        for (place, name) in head.cells.iter().enumerate() {
            let column = || Some((place + 1, name.to_owned()));
            if let Some(known) = self.columns.iter().position(|known| *known == name) {
                if let Some(earlier) = places[known].replace(place) {
                    let what = format!("this name has been there, as column {}", earlier + 1);
                    problems.add(head.line, column(), what);
                }
            } else if !self.ignored.contains(&name) {
                let guess = nearest(name, self.columns.iter().copied());
                let guess = guess.map_or_else(String::new, |near| format!(" Did you mean {near}?"));
                let what =
                    format!("no column of this name is known.{guess} Known are {}", self.columns.join(", "));
                problems.add(head.line, column(), what);
            }
        }
        for (name, place) in self.columns.iter().zip(&places).take(self.required) {
            if place.is_none() {
                let what =
                    format!("there is no column {name}; wanted {}", self.columns[..self.required].join(","));
                problems.add(head.line, None, what);
            }
        }
        places
    }
}

/// The cells of one line, which holds a whole row.
fn cells(line: &str) -> Result<csv::StringRecord, String> {
    // A quotation mark inside quotes is doubled, so that a whole row has an even number of them.
    if !line.matches('"').count().is_multiple_of(2) {
        return Err("a quotation mark has no partner on this line".to_owned());
    }
    let mut builder = csv::ReaderBuilder::new();
    builder
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .buffer_capacity(line.len().clamp(64, 8192));
    let mut record = csv::StringRecord::new();
    let mut reader = builder.from_reader(line.as_bytes());
    reader.read_record(&mut record).map_err(|error| format!("not CSV: {error}"))?;
    Ok(record)
}

/// The cells of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'a> {
    sheet: &'a Sheet,
    row: &'a Row,
}

impl<'a> Cells<'a> {
    /// The line that the row stands on, from 1.
    pub(super) fn line(&self) -> u64 {
        self.row.line
    }

    /// What stands in a column; nothing where the file does not have it or the cell is empty.
    fn text(&self, column: &str) -> Option<&'a str> {
        let text = &self.row.cells[self.sheet.place(column)?];
        (!text.is_empty()).then_some(text)
    }

    /// Notes that a cell is wrong.
    pub(super) fn refuse(&self, column: &str, problems: &mut Problems, what: impl Into<String>) {
        let place = self.sheet.place(column).map(|place| (place + 1, column.to_owned()));
        problems.add(self.row.line, place, what);
    }

    /// A name: of at most 200 letters.
    pub(super) fn name(&self, column: &str, problems: &mut Problems) -> Option<&'a str> {
        let wanted = "wanted a name of at most 200 letters";
        match self.text(column) {
            None => self.refuse(column, problems, format!("empty; {wanted}")),
            Some(text) if text.chars().count() > 200 => {
                self.refuse(column, problems, format!("too long; {wanted}"));
            }
            Some(text) if text.chars().any(char::is_control) => {
                self.refuse(column, problems, format!("{text:?} holds a control character; {wanted}"));
            }
            Some(text) => return Some(text),
        }
        None
    }

    /// What `read` makes of a cell that must not be empty.
    pub(super) fn required<T>(&self, column: &str, problems: &mut Problems, limits: &Limits<T>) -> Option<T> {
        if self.text(column).is_none() {
            self.refuse(column, problems, format!("empty; wanted {}", limits.wanted));
        }
        self.optional(column, problems, limits)
    }

    /// What `read` makes of a cell that may be empty.
    pub(super) fn optional<T>(&self, column: &str, problems: &mut Problems, limits: &Limits<T>) -> Option<T> {
        let text = self.text(column)?;
        match (limits.read)(text) {
            Ok(value) => Some(value),
            Err(why) => {
                let short: String = text.chars().take(40).collect();
                let more = if short.len() < text.len() { "…" } else { "" };
                self.refuse(column, problems, format!("{short}{more} {why}; wanted {}", limits.wanted));
                None
            }
        }
    }
}

/// What may stand in a cell.
pub(super) struct Limits<T> {
    /// In words.
    pub(super) wanted: &'static str,
    /// The value, or why it is none, to be said after the text of the cell.
    pub(super) read: fn(&str) -> Result<T, &'static str>,
}

/// A number within bounds, the first of which is excluded where `above` says so.
pub(super) fn number(text: &str, low: f64, high: f64, above: bool) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Err(_) => Err("is not a number"),
        Ok(value) if value.is_nan() => Err("is not a number"),
        Ok(value) if value.is_infinite() && !text.contains(|c: char| c.is_ascii_digit()) => {
            Err("is not finite")
        }
        Ok(value) if value < 0.0 && low >= 0.0 => Err("is negative"),
        Ok(value) if value < low || (above && value <= low) => Err("is too small"),
        Ok(value) if value > high => Err("is too large"),
        // Minus zero is zero.
        Ok(value) => Ok(value + 0.0),
    }
}

/// A whole number within bounds, both included.
pub(super) fn whole(text: &str, low: i64, high: i64) -> Result<i64, &'static str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse::<f64>().is_ok_and(f64::is_finite);
        return Err(if number { "is not a whole number written in digits" } else { "is not a number" });
    }
    match text.parse::<i64>() {
        _ if text.starts_with('-') && low >= 0 => Err("is negative"),
        Ok(value) if value < low => Err("is too small"),
        Ok(value) if value <= high => Ok(value),
        _ => Err("is too large"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape =
        Shape { columns: &["job", "workers", "weight"], required: 2, ignored: &["rate_qps"], rows_max: 3 };

    fn refused(bytes: &[u8]) -> String {
        Sheet::read(bytes, "x.csv", SHAPE).expect_err("it shall be refused").to_string()
    }

    #[test]
    fn columns_come_in_any_order_and_comments_are_left_out() {
        let text = "# made by hand\nworkers,rate_qps,job\n\n3,9.5, a \n# more\r\n4,,\"b, c\"\r\n";
        let sheet = Sheet::read(text.as_bytes(), "x.csv", SHAPE).unwrap();
        let mut problems = Problems::none("x.csv");
        let rows: Vec<_> =
            sheet.cells().map(|row| (row.line(), row.name("job", &mut problems).unwrap())).collect();
        assert_eq!(rows, [(4, "a"), (6, "b, c")]);
        assert!(sheet.place("workers").is_some() && sheet.place("weight").is_none());
        assert!(problems.unless_any(()).is_ok());
    }

    #[test]
    fn a_file_that_is_no_table_is_refused_with_its_line() {
        for (bytes, said) in [
            (&b""[..], "x.csv:1: the file is empty; wanted a first line such as job,workers"),
            (b"\n# nothing\n", "x.csv:1: the file is empty"),
            (b"job,workers\n", "x.csv:1: no rows follow"),
            (b"\xef\xbb\xbfjob,workers\na,1\n", "x.csv:1: the file begins with a byte order mark"),
            (b"job,workers\na,\xff\n", "x.csv:2: not text in UTF-8"),
            (
                b"job,workers\na,1,2\nb\n",
                "x.csv:2: 3 values; wanted 2, one for each column of line 1\nx.csv:3: 1 values",
            ),
            (b"job,workers\n\"a,1\n", "x.csv:2: a quotation mark has no partner"),
            (b"job\na\n", "x.csv:1: there is no column workers; wanted job,workers"),
            (
                b"job,wrokers,workers\na,1,1\n",
                "x.csv:1: column 2 (wrokers): no column of this name is known. Did you mean workers?",
            ),
            (b"job,workers,job\na,1,b\n", "x.csv:1: column 3 (job): this name has been there, as column 1"),
            (b"job,workers\na,1\nb,1\nc,1\nd,1\n", "x.csv:5: more than 3 rows"),
        ] {
            let shown = refused(bytes);
            assert!(shown.contains(said), "{said:?} is not in {shown:?}");
        }
    }

    #[test]
    fn numbers_are_finite_and_within_bounds() {
        for (text, why) in [
            ("", "is not a number"),
            ("a", "is not a number"),
            ("NaN", "is not a number"),
            ("inf", "is not finite"),
            ("-Infinity", "is not finite"),
            ("-1", "is negative"),
            ("0", "is too small"),
            ("1e400", "is too large"),
            ("101", "is too large"),
        ] {
            assert_eq!(number(text, 0.0, 100.0, true), Err(why), "{text}");
        }
        assert_eq!(number("0.5", 0.0, 100.0, true), Ok(0.5));
        assert_eq!(number("0", 0.0, 100.0, false), Ok(0.0));
    }

    #[test]
    fn whole_numbers_are_whole_and_within_bounds() {
        for (text, why) in [
            ("", "is not a number"),
            ("x", "is not a number"),
            ("1.5", "is not a whole number written in digits"),
            ("1e3", "is not a whole number written in digits"),
            ("-1", "is negative"),
            ("0", "is too small"),
            ("11", "is too large"),
            ("99999999999999999999999", "is too large"),
        ] {
            assert_eq!(whole(text, 1, 10), Err(why), "{text}");
        }
        assert_eq!((whole("10", 1, 10), whole("-3", -5, 5)), (Ok(10), Ok(-3)));
    }

    #[test]
    fn a_flood_of_problems_is_counted() {
        let mut problems = Problems::none("x.csv");
        (0..25).for_each(|line| problems.add(line, None, "wrong"));
        let shown = problems.unless_any(()).unwrap_err().to_string();
        assert!(shown.ends_with("and 5 more") && shown.lines().count() == 21, "{shown}");
    }
}
