//! `idunno dataset`: inputs to train and to try models with.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use super::values::seed;
use super::{Exit, STOP, screen};
use crate::dataset::letters::{CLASSES, COUNT_MAX, Layout, Letters};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno dataset letters --count 5200 --out letters
      200 pictures of each of the 26 letters, in a folder per letter.
  idunno dataset letters --count 1000 --seed 7 --flat --out test
      Other pictures, in one folder with a table labels.csv that says which letter each shows.

The same count, seed and size give the same bytes on every machine.

Exit codes: 0 fine; 2 usage, or the folder cannot be written or is not empty; 130 interrupted. Unless it is 0, the folder is as it was.";

/// What `idunno dataset` is told.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Make {
    /// Draw letters from A to Z, turned, moved and under noise, as PNG files with their labels.
    #[command(after_help = EXAMPLES)]
    Letters(Draw),
}

/// What `idunno dataset letters` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Draw {
    /// How many pictures; the 26 letters take turns.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    count: u32,
    /// What is random about them; further pictures of the same seed change none.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed)]
    seed: u64,
    /// The folder to write, which must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many pixels wide and high the pictures are.
    #[arg(long, value_name = "PIXELS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(16..=512))]
    size: u32,
    /// Write one folder with a table labels.csv instead of a folder per letter.
    #[arg(long)]
    flat: bool,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

/// Does what `idunno dataset` is told.
pub(super) fn run(make: &Make) -> Exit {
    let Make::Letters(draw) = make;
    let letters = Letters { count: draw.count, seed: draw.seed, side: draw.size };
    let layout = if draw.flat { Layout::Flat } else { Layout::Folders };
    let bar = if draw.quiet { ProgressBar::hidden() } else { ProgressBar::new(draw.count.into()) };
    let written = letters.write(&draw.out, layout, |drawn| {
        bar.set_position(drawn.into());
        !STOP.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    match written {
        Ok(false) => {
            screen::complain("Interrupted; the folder is as it was.");
            Exit::Interrupted
        }
        Ok(true) if draw.quiet => Exit::Fine,
        Ok(true) => {
            let classes = draw.count.min(CLASSES);
            screen::say(&format!("{}: {} pictures of {classes} letters\n", draw.out.display(), draw.count))
        }
        Err(error) => {
            screen::error(&error.into());
            Exit::Usage
        }
    }
}
