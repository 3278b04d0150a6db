//! Text for people: lengths of time, counts, columns, lines of a bearable length.

/// The width at which text is broken.
const WIDTH: usize = 100;

/// Seconds in the unit that people would use: `0.4 ms`, `312 ms`, `1.24 s`, `15 min`.
pub(super) fn duration(seconds: f64) -> String {
    let magnitude = seconds.abs();
    if magnitude == 0.0 {
        "0 ms".to_owned()
    } else if magnitude < 0.01 {
        format!("{:.1} ms", seconds * 1e3)
    } else if magnitude < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if magnitude < 100.0 {
        format!("{seconds:.2} s")
    } else if magnitude < 6000.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

/// `value` to six decimals, the same as in the CSV files, so that sums of binary fractions show no noise.
pub(super) fn rounded(value: f64) -> f64 {
    let rounded = (value * 1e6).round() / 1e6;
    // What is too large for six decimals has none, and zero has no sign.
    if rounded.is_finite() { rounded + 0.0 } else { value }
}

/// A number with three digits or so: `0.12`, `31.4`, `1,234`.
pub(super) fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2}")
    } else if value.abs() < 1000.0 {
        format!("{value:.1}")
    } else {
        count(value.round().max(0.0) as u64)
    }
}

/// A whole number with its thousands set apart: `1,234,567`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 trial`, `30 trials`.
pub(super) fn some(value: u64, one: &str, many: &str) -> String {
    if value == 1 { format!("1 {one}") } else { format!("{} {many}", count(value)) }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `text` in lines of at most 100 characters, each after `indent`.
pub(super) fn wrapped(text: &str, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

/// Rows in columns: the first to the left, all others to the right.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut text = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let padded = if column == 0 { format!(" {cell:<width$}") } else { format!("  {cell:>width$}") };
            text.push_str(&padded);
        }
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What is called how, a line each: names of one width, then the texts, with a line end after each.
pub(super) fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |all, (name, text)| all + &format!("  {name:<width$}  {text}\n"))
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=,:+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(duration(0.000_42), "0.4 ms");
        assert_eq!(duration(0.312_4), "312 ms");
        assert_eq!(duration(0.999_7), "1.00 s");
        assert_eq!(duration(1.239), "1.24 s");
        assert_eq!(duration(900.0), "900 s");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(number(31.44), "31.4");
        assert_eq!(some(1, "trial", "trials"), "1 trial");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }

    #[test]
    fn rounding_takes_the_noise_of_binary_fractions_away() {
        assert_eq!(rounded(0.1 + 0.2).to_string(), "0.3");
        assert_eq!(rounded(-1e-9).to_string(), "0");
        assert_eq!(rounded(1_234_567.123_456_7).to_string(), "1234567.123457");
        assert_eq!(rounded(f64::MAX).to_bits(), f64::MAX.to_bits());
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["job".into(), "rate".into()], vec!["resnet".into(), "3".into()]];
        assert_eq!(columns(&rows), "  job     rate\n  resnet     3");
    }

    #[test]
    fn texts_stand_below_each_other() {
        let rows = [("input", "image:224".to_owned()), ("of", "a b".to_owned())];
        assert_eq!(facts(&rows), "  input  image:224\n  of     a b\n");
    }

    #[test]
    fn words_for_a_shell_are_quoted_when_they_must_be() {
        assert_eq!(quoted("network.loss=1%"), "network.loss=1%");
        assert_eq!(quoted("a b'c"), r"'a b'\''c'");
    }
}
