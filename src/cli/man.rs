//! `idunno man`: manual pages, made of the same definitions as the help.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_mangen::Man;

use super::text::some;
use super::{Exit, screen};

/// What the help shows.
pub(super) const EXAMPLES: &str = "\
Examples:
  idunno man | man -l -
      Read the main page.
  idunno man --out ~/.local/share/man/man1
      From then on \"man idunno\" and \"man idunno-sim\" show the pages.";

/// What `idunno man` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Manual {
    /// Write a page for each command into this folder, such as ~/.local/share/man/man1; without it the main page is
    /// printed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Does what `idunno man` is told; `line` is the whole command line.
pub(super) fn run(manual: &Manual, mut line: Command) -> Exit {
    line.build();
    let Some(out) = &manual.out else {
        let (_, page) = page(line);
        return screen::say(&page);
    };
    match write(out, line) {
        Ok(pages) => screen::say(&format!(
            "{} in {}; read the first with: man -l {}\n",
            some(pages as u64, "page", "pages"),
            out.display(),
            out.join("idunno.1").display()
        )),
        Err(error) => {
            screen::error(&error);
            Exit::Failed
        }
    }
}

fn write(out: &Path, line: Command) -> Result<usize> {
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let pages = pages(line);
    for (name, page) in &pages {
        let path = out.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(pages.len())
}

/// The page of the command and those of all commands below it, with the names of their files.
fn pages(command: Command) -> Vec<(String, String)> {
    let below: Vec<Command> = command.get_subcommands().cloned().collect();
    let mut all = vec![page(command)];
    all.extend(below.into_iter().flat_map(pages));
    all
}

/// A page and the name of its file.
fn page(command: Command) -> (String, String) {
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render(&mut page).expect("memory takes everything");
    let name = man.get_filename();
    (name.clone(), mended(&name, &String::from_utf8(page).expect("manual pages are text")))
}

/// Gives the page a title that names this program and its version, and the usual sections instead of one for all that
/// stands below the options.
fn mended(name: &str, page: &str) -> String {
    let title = name.trim_end_matches(".1").to_uppercase().replace('-', "\\-");
    let title = format!(".TH {title} 1 \"\" \"idunno {}\" \"User Commands\"", env!("CARGO_PKG_VERSION"));
    let mut section = "";
    let mut text = String::with_capacity(page.len());
    for line in page.replace("\n.br\n\n.br\n", "\n.sp\n").lines() {
        section = line.strip_prefix(".SH ").unwrap_or(section);
        let line = match (section, line) {
            (_, line) if line.starts_with(".TH ") => title.clone(),
            ("EXTRA", ".SH EXTRA") => ".SH EXAMPLES".to_owned(),
            ("EXTRA", "" | "Examples:") => continue,
            // Three levels: a heading, a command, what it is for.
            ("EXTRA", line) if line.starts_with("      ") => line.trim_start().to_owned(),
            ("EXTRA", line) if line.starts_with("  ") => format!(".TP\n\\fB{}\\fR", line.trim_start()),
            ("EXTRA", line) => line
                .strip_prefix("Exit codes: ")
                .map_or_else(|| line.to_owned(), |codes| format!(".SH EXIT STATUS\n{codes}")),
            (_, line) => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}
