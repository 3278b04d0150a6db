//! The embedded font: how wide texts are, and how they are cut to fit.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb;
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// The families that an SVG viewer tries; one without Noto Sans still shows a fitting one.
pub(super) const FAMILY: &str = "Noto Sans, Arial, Helvetica, sans-serif";
/// Millimetres in a point.
pub(super) const POINT: f64 = 25.4 / 72.0;
/// Room for viewers whose fonts are wider than the embedded one.
const WIDER: f64 = 1.1;
/// Letters of a text; what follows is cut before anything else looks at it.
const LETTERS_MAX: usize = 2_000;

/// A size and weight of writing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Font {
    /// In points.
    pub(super) size: f64,
    /// Whether it is bold.
    pub(super) bold: bool,
}

/// Titles.
pub(super) const TITLE: Font = Font { size: 8.5, bold: true };
/// Headings of legends.
pub(super) const HEADING: Font = Font { size: 7.0, bold: true };
/// All else.
pub(super) const BODY: Font = Font { size: 7.0, bold: false };

impl Font {
    /// From one line to the next, in millimetres.
    pub(super) fn line(self) -> f64 {
        self.size * POINT * 1.28
    }

    /// How high capital letters are, in millimetres.
    pub(super) fn capital(self) -> f64 {
        self.size * POINT * 0.714
    }

    /// The room that a text needs, in millimetres.
    pub(super) fn width(self, text: &str) -> f64 {
        let face = &FACES[usize::from(self.bold)];
        // At size 1 widths are shares of the font size.
        let metrics = face.glyph_metrics(Size::new(1.0), LocationRef::default());
        let charmap = face.charmap();
        let advance = |letter: char| {
            // What the font lacks comes from others, where it is a square at most.
            charmap.map(letter).and_then(|glyph| metrics.advance_width(glyph)).unwrap_or(1.0)
        };
        let ems: f32 = text.chars().map(advance).sum();
        f64::from(ems) * self.size * POINT * WIDER
    }

    /// A text, or as much of its beginning and its end, which tells names in a series apart, as fits into `width` mm.
    pub(super) fn fitting(self, text: &str, width: f64) -> String {
        let text = clean(text);
        if self.width(&text) <= width + 0.01 {
            return text;
        }
        let letters: Vec<char> = text.chars().collect();
        let join = |kept: usize, tail: usize| {
            let (head, end) = (&letters[..kept], &letters[letters.len() - tail..]);
            format!(
                "{}…{}",
                head.iter().collect::<String>().trim_end(),
                end.iter().collect::<String>().trim_start()
            )
        };
        for tail in [4, 2, 0] {
            let least = if tail == 0 { 1 } else { tail };
            let most = letters.len().saturating_sub(tail);
            let fits = |kept: &usize| self.width(&join(*kept, tail)) <= width;
            // The wider the beginning, the wider the whole.
            let kept = (0..most).collect::<Vec<_>>().partition_point(fits).saturating_sub(1);
            if kept >= least && most > 0 {
                return join(kept, tail);
            }
        }
        "…".to_owned()
    }

    /// A text in lines of at most `width` mm, at most `lines_max` of them; the last ends with … if there is more.
    pub(super) fn wrapped(self, text: &str, width: f64, lines_max: usize) -> Vec<String> {
        let text = clean(text);
        let mut lines: Vec<String> = Vec::new();
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let full = lines.len() >= lines_max;
            let longer = lines.last().map(|line| format!("{line} {word}"));
            match (longer, lines.last_mut()) {
                (Some(longer), Some(line)) if self.width(&longer) <= width => *line = longer,
                (Some(longer), Some(line)) if full => {
                    let rest = words.by_ref().take(40).collect::<Vec<_>>().join(" ");
                    *line = self.ending(&format!("{longer} {rest}"), width);
                    return lines;
                }
                _ => lines.push(if self.width(word) <= width {
                    word.to_owned()
                } else {
                    self.fitting(word, width)
                }),
            }
        }
        lines
    }

    /// The same, in lines that are about as long as each other.
    pub(super) fn balanced(self, text: &str, width: f64, lines_max: usize) -> Vec<String> {
        let mut lines = self.wrapped(text, width, lines_max);
        if lines.len() < 2 {
            return lines;
        }
        // Narrower and narrower, for as long as nothing more than the place of the breaks changes.
        for tenths in (5..10).rev() {
            let narrower = self.wrapped(text, width * f64::from(tenths) / 10.0, lines_max);
            if narrower.len() > lines.len() || narrower.join(" ") != lines.join(" ") {
                break;
            }
            lines = narrower;
        }
        lines
    }

    /// As much of the beginning as fits, with … at its end.
    fn ending(self, text: &str, width: f64) -> String {
        let letters: Vec<char> = text.chars().collect();
        let cut = |kept: usize| format!("{}…", letters[..kept].iter().collect::<String>().trim_end());
        let kept =
            (0..=letters.len()).collect::<Vec<_>>().partition_point(|kept| self.width(&cut(*kept)) <= width);
        cut(kept.saturating_sub(1))
    }
}

/// A text in one line, without what cannot be written.
pub(super) fn clean(text: &str) -> String {
    let plain = |letter: char| match letter {
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        letter if letter.is_control() || letter.is_whitespace() => ' ',
        letter => letter,
    };
    text.chars().take(LETTERS_MAX).map(plain).collect::<String>().trim().to_owned()
}

/// The embedded font, upright and bold.
static FACES: LazyLock<[FontRef<'static>; 2]> = LazyLock::new(|| {
    [notosans::REGULAR_TTF, notosans::BOLD_TTF]
        .map(|bytes| FontRef::new(bytes).expect("the embedded fonts are fonts"))
});

/// The embedded font for the painter of bitmaps, which knows no other.
pub(super) static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for bytes in [notosans::REGULAR_TTF, notosans::BOLD_TTF] {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(bytes)));
    }
    assert_eq!(fonts.len(), 2, "the embedded fonts are fonts");
    fonts.set_sans_serif_family("Noto Sans");
    Arc::new(fonts)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_too_long_keep_their_ends() {
        let short = BODY.fitting("a_rather_long_name_of_a_stream-17", 25.0);
        assert!(short.starts_with("a_r") && short.ends_with("…m-17"), "{short}");
        assert_eq!(BODY.fitting("resnet", 20.0), "resnet");
        assert_eq!(BODY.fitting("resnet", 1.0), "…");
        assert!(BODY.width(&BODY.fitting("W".repeat(500).as_str(), 20.0)) <= 20.0);
    }

    #[test]
    fn long_texts_are_wrapped_and_end_with_an_ellipsis() {
        let text = "what the failure of the coordinator costs, by the number of voters and nodes";
        let lines = BODY.wrapped(text, 40.0, 9);
        assert_eq!(lines.join(" "), text);
        assert!(lines.len() > 1 && lines.iter().all(|line| BODY.width(line) <= 40.0), "{lines:?}");
        let cut = BODY.wrapped(text, 40.0, 2);
        assert!(cut.len() == 2 && cut[1].ends_with('…') && BODY.width(&cut[1]) <= 40.0, "{cut:?}");
        assert!(BODY.wrapped(" \n\t ", 40.0, 2).is_empty());
    }

    #[test]
    fn balanced_lines_leave_no_word_alone() {
        let text = "False suspicions per node and day, at most";
        let width = BODY.width(text) - 1.0;
        assert_eq!(BODY.wrapped(text, width, 2)[1], "most");
        let lines = BODY.balanced(text, width, 2);
        assert_eq!((lines.join(" ").as_str(), lines.len()), (text, 2));
        assert!(BODY.width(&lines[1]) > BODY.width(&lines[0]) / 2.0, "{lines:?}");
        assert_eq!(BODY.balanced(text, 40.0, 1), BODY.wrapped(text, 40.0, 1), "what is cut stays as it is");
        assert_eq!(BODY.balanced("short", 40.0, 2), ["short"]);
    }

    #[test]
    fn what_cannot_stand_in_a_file_is_taken_out() {
        assert_eq!(clean(" a\u{0}b\u{1b}\nc\u{ffff} "), "a b  c\u{fffd}");
    }
}
