//! What the README and the pages quote: each command is run, and must print what stands below it.
//!
//! In a block of the language `console` a line that begins with `$ ` is a command for a shell; the lines up to the next one, or to
//! the end of the block, are its whole standard output.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command and what shall come of it.
#[derive(Debug, PartialEq, Eq)]
struct Quote {
    line: usize,
    command: String,
    output: String,
}

/// The commands of a page, with the numbers of their lines.
fn quotes(page: &str) -> Vec<Quote> {
    let mut found: Vec<Quote> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(page.lines()) {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            found.push(Quote { line: number, command: command.to_owned(), output: String::new() });
        } else if let Some(quote) = found.last_mut().filter(|_| inside) {
            quote.output += line;
            quote.output.push('\n');
        }
    }
    found
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).expect("there are pages") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

#[cfg(unix)]
#[test]
fn every_command_that_a_page_quotes_prints_what_stands_below_it() {
    let binary = Path::new(env!("CARGO_BIN_EXE_idunno")).parent().expect("it lies in a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut wrong = Vec::new();
    for page in pages() {
        // Each page begins where nothing is, and its commands build on each other.
        let folder = tempfile::tempdir().unwrap();
        for quote in quotes(&fs::read_to_string(&page).unwrap()) {
            let mut shell = Command::new("sh");
            shell.args(["-c", &quote.command]).current_dir(folder.path()).env("PATH", &path);
            let ran = shell.output().expect("there is a shell");
            let printed = String::from_utf8(ran.stdout).expect("it is text");
            if !ran.status.success() || printed != quote.output {
                let said = String::from_utf8_lossy(&ran.stderr);
                wrong.push(format!(
                    "{}:{}: {}\nends with {} and prints\n{printed}{said}",
                    page.display(),
                    quote.line,
                    quote.command,
                    ran.status
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pages_are_linked_and_quote_something() {
    let readme = include_str!("../../README.md");
    for page in pages() {
        let name = page.file_name().expect("it is a file").to_string_lossy().into_owned();
        assert!(name == "README.md" || readme.contains(&format!("(docs/{name})")), "{name} is not linked");
        // A page of explanations alone has nothing to quote.
        let quotes = quotes(&fs::read_to_string(&page).unwrap());
        let explains =
            ["results.md", "classic_designs.md", "targets.md", "networks.md", "files.md"].contains(&&*name);
        assert!(explains || !quotes.is_empty(), "{name} quotes no command");
    }
}

#[test]
fn quotes_are_taken_from_console_blocks_alone() {
    let page = "```text\n$ no\n```\n```console\n$ one\na\n\nb\n$ two\n```\n$ no\n";
    let quote = |line, command: &str, output: &str| Quote {
        line,
        command: command.to_owned(),
        output: output.to_owned(),
    };
    assert_eq!(quotes(page), [quote(5, "one", "a\n\nb\n"), quote(9, "two", "")]);
}
