//! How lines of a trace look: time, node, what made it happen, what came of it.

use std::io::{self, Write};

use crate::base::Time;

/// No line has more letters than this.
const WIDTH: usize = 120;
/// The letters that a time takes.
const TIME: usize = 11;
/// The letters between two columns.
const GAP: usize = 2;
/// The letters that a cause takes when what came of it stands beside it.
const CAUSE: usize = 36;
/// Names of nodes that are longer than this push the rest to the right.
const NAME_MAX: usize = 12;
/// What goes wrong stands under this in the place of a node.
pub(super) const WRONG: &str = "!!";
/// What concerns no single node stands under this.
pub(super) const NOBODY: &str = "-";

/// Writes lines until the reader has enough.
#[derive(Debug)]
pub(super) struct Lines<O> {
    out: O,
    name: usize,
    /// How many lines were written.
    pub(super) written: u64,
    /// Why nothing more can be written.
    pub(super) failed: Option<io::Error>,
}

impl<O: Write> Lines<O> {
    /// Lines in which the names of nodes take `name` letters.
    pub(super) fn new(out: O, name: usize) -> Lines<O> {
        Lines { out, name: name.clamp(2, NAME_MAX), written: 0, failed: None }
    }

    /// One event: what came of it stands beside its cause if there is room, else below it. What is too long is broken.
    pub(super) fn event(&mut self, at: Time, node: &str, cause: &str, effects: &[String]) {
        let left = WIDTH - TIME - self.name.max(node.chars().count()) - 2 * GAP;
        let mut effects = effects.iter().flat_map(|effect| broken(effect, left - CAUSE - GAP));
        if cause.chars().count() <= CAUSE {
            let first = effects.next();
            self.line(at, node, cause, &first.unwrap_or_default());
        } else {
            for part in broken(cause, left) {
                self.line(at, node, &part, "");
            }
        }
        for effect in effects {
            self.line(at, node, "", &effect);
        }
    }

    /// Something that did not hold, in as many lines as it takes.
    pub(super) fn wrong(&mut self, at: Time, text: &str) {
        let left = WIDTH - TIME - self.name - 2 * GAP;
        for part in broken(text, left) {
            self.line(at, WRONG, &part, "");
        }
    }

    fn line(&mut self, at: Time, node: &str, cause: &str, effect: &str) {
        if self.failed.is_some() {
            return;
        }
        let line = lay_out(at, (node, self.name), cause, effect);
        match writeln!(self.out, "{line}") {
            Ok(()) => self.written += 1,
            Err(error) => self.failed = Some(error),
        }
    }

    /// Makes sure that everything has reached the reader.
    pub(super) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.flush().err();
        }
    }
}

fn lay_out(at: Time, (node, name): (&str, usize), cause: &str, effect: &str) -> String {
    // Rounded as in the result files, so that what stands there can be found here.
    let micros = at.0 / 1_000 + u64::from(at.0 % 1_000 >= 500);
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let line = format!("{seconds:>4}.{micros:06}  {node:<name$}  {cause:<CAUSE$}  {effect}");
    clipped(line.trim_end())
}

/// `text` in parts of at most `width` letters, broken between words; all but the first are set in.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    // Two blanks stand between receivers and message, and stay.
    for word in text.split(' ') {
        match parts.last_mut() {
            Some(part) if part.chars().count() + 1 + word.chars().count() <= width => {
                part.push(' ');
                part.push_str(word);
            }
            Some(_) => parts.push(format!("    {word}")),
            None => parts.push(word.to_owned()),
        }
    }
    parts
}

/// At most [`WIDTH`] letters, none of which can disturb a terminal or begin a new line.
fn clipped(line: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    if line.chars().count() <= WIDTH {
        return line.chars().map(plain).collect();
    }
    line.chars().take(WIDTH - 1).map(plain).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Lines<&mut Vec<u8>>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Lines::new(&mut bytes, 3));
        String::from_utf8(bytes).unwrap()
    }

    const AT: Time = Time(12_345_678_901);

    #[test]
    fn cause_and_first_effect_share_a_line_and_further_effects_stand_below() {
        let said = shown(|lines| lines.event(AT, "n1", "timer: x", &["one".into(), "two".into()]));
        let gap = " ".repeat(CAUSE - "timer: x".len() + 2);
        let below = " ".repeat(CAUSE + 2);
        assert_eq!(said, format!("  12.345679  n1   timer: x{gap}one\n  12.345679  n1   {below}two\n"));
    }

    #[test]
    fn a_long_cause_stands_alone() {
        let long = "c".repeat(CAUSE + 1);
        let said = shown(|lines| lines.event(AT, "n10", &long, &["one".into()]));
        let below = " ".repeat(CAUSE + 2);
        assert_eq!(said, format!("  12.345679  n10  {long}\n  12.345679  n10  {below}one\n"));
    }

    #[test]
    fn no_line_is_wider_than_a_page_or_contains_control_characters() {
        let wild = format!("a\nb\x1b[31m{}", "ü".repeat(300));
        let said = shown(|lines| {
            lines.event(AT, "n1", &wild, std::slice::from_ref(&wild));
            lines.wrong(AT, &"word ".repeat(100));
        });
        assert!(said.lines().all(|line| line.chars().count() <= WIDTH), "{said}");
        assert!(said.lines().all(|line| line.starts_with("  12.345679")), "{said}");
        assert!(said.lines().filter(|line| line.contains("!!")).count() > 3, "{said}");
    }

    #[test]
    fn after_a_failure_nothing_more_is_written() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut lines = Lines::new(Full, 3);
        lines.event(AT, "n1", "x", &[]);
        lines.event(AT, "n1", "y", &[]);
        assert_eq!(lines.written, 0);
        assert_eq!(lines.failed.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
    }
}
