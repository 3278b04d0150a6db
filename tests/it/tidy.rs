//! The shape of the code: who may import whom, what the pure folders may not touch, how files begin.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every allowed import: a folder under `src`, and the folders that it may name.
const IMPORTS: [(&str, &[&str]); 13] = [
    ("base", &[]),
    ("policy", &["base"]),
    ("node", &["base", "policy"]),
    ("history", &["base", "node"]),
    ("scenario", &["base", "node", "policy"]),
    ("dataset", &["base"]),
    ("engine", &["base", "dataset"]),
    ("cluster", &["base", "node", "history", "scenario", "engine"]),
    ("check", &["base", "node", "history", "scenario"]),
    ("sim", &["base", "node", "history", "scenario"]),
    ("fuzz", &["base", "history", "scenario", "check", "sim"]),
    ("report", &["base", "history", "scenario", "check"]),
    (
        "cli",
        &[
            "base", "policy", "node", "history", "scenario", "dataset", "engine", "cluster", "check", "sim",
            "fuzz", "report",
        ],
    ),
];

/// Folders whose code is a function of its arguments.
const PURE: [&str; 3] = ["base", "policy", "node"];

/// What has no place in them: clocks, threads, files, sockets, hash order, other people's randomness.
const IMPURE: [&str; 16] = [
    "Instant",
    "SystemTime",
    "std::time",
    "std::thread",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::io",
    "HashMap",
    "HashSet",
    "RandomState",
    "thread_rng",
    "getrandom",
    "tokio",
    "rayon",
];

/// Functions whose results differ between platforms; `libm` has all of them.
const UNPORTABLE: [&str; 9] =
    [".exp()", ".exp2()", ".ln()", ".log2()", ".log10()", ".powf(", ".sin()", ".cos()", ".tan()"];

/// What only `cli` may do.
const SHOWING: [&str; 6] = ["anyhow", "println!", "print!", "eprintln!", "eprint!", "process::exit"];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The folder, or the file, directly under `src` that this belongs to.
    fn module(&self) -> String {
        let below = self.path.strip_prefix(root().join("src")).expect("it is under src");
        let first = below.components().next().expect("it has a name").as_os_str().to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    /// The code, without comments and without what stands in quotes.
    fn code(&self) -> String {
        let mut code = String::with_capacity(self.text.len());
        let mut quoted = false;
        for line in self.text.lines() {
            let mut letters = line.chars().peekable();
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' if quoted => drop(letters.next()),
                    // A quotation mark as a character is not the beginning of a text.
                    '\'' if !quoted && letters.peek() == Some(&'"') => drop(letters.next()),
                    '"' => quoted = !quoted,
                    '/' if !quoted && letters.peek() == Some(&'/') => break,
                    _ if quoted => {}
                    _ => code.push(letter),
                }
            }
            code.push('\n');
        }
        code
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut open = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are text");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "there are sources in {folder}");
    found
}

/// The folders that code names by `crate::…`, alone or in a group.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        let name = |text: &str| {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        };
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut item) = (0, String::new());
            for letter in group.chars() {
                match letter {
                    '}' if depth == 0 => break,
                    ',' if depth == 0 => found.extend([name(&std::mem::take(&mut item))]),
                    _ => {
                        depth += i32::from(letter == '{') - i32::from(letter == '}');
                        item.push(letter);
                    }
                }
            }
            found.insert(name(&item));
        } else {
            found.insert(name(rest));
        }
    }
    found.remove("");
    found
}

fn breaches(sources: &[Source], banned: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let code = source.code();
        for word in banned.iter().filter(|word| has(&code, word)) {
            found.push(format!("{}: {word}", source.path.display()));
        }
    }
    found
}

/// Whether `word` occurs other than as the end of a longer word.
fn has(code: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(place, _)| !word.starts_with(inside) || !code[..place].ends_with(inside))
}

fn is_test(source: &Source) -> bool {
    source.path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

#[test]
fn imports_follow_the_table() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let module = source.module();
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = IMPORTS.iter().find(|(folder, _)| *folder == module) else {
            wrong.push(format!("{}: the table does not know {module}", source.path.display()));
            continue;
        };
        for import in imports(&source.code()) {
            let known = IMPORTS.iter().any(|(folder, _)| *folder == import);
            if known && import != module && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: {module} may not import {import}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_a_line_without_circles() {
    for (position, (folder, allowed)) in IMPORTS.iter().enumerate() {
        for import in *allowed {
            let before = IMPORTS[..position].iter().any(|(earlier, _)| earlier == import);
            assert!(before, "{folder} imports {import}, which comes later");
        }
    }
}

#[test]
fn pure_folders_touch_nothing_outside() {
    let pure = sources("src").into_iter().filter(|source| PURE.contains(&source.module().as_str()));
    // How many seeds a test tries may come from outside.
    let (tests, code): (Vec<Source>, Vec<Source>) = pure.partition(is_test);
    let less: Vec<&str> = IMPURE.into_iter().filter(|word| *word != "std::env").collect();
    let found = [breaches(&code, &IMPURE), breaches(&tests, &less)].concat();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_the_commands_print_and_only_they_use_anyhow() {
    // Tests may say what they measured.
    let other = |source: &Source| source.module() != "cli" && !is_test(source);
    let others: Vec<Source> = sources("src").into_iter().filter(other).collect();
    let found = breaches(&others, &SHOWING);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn mathematics_is_the_same_on_every_machine() {
    let found = breaches(&sources("src"), &UNPORTABLE);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for folder in ["src", "tests", "benches"] {
        for source in sources(folder) {
            assert!(source.text.starts_with("//! "), "{} does not open with //!", source.path.display());
        }
    }
}

#[test]
fn the_scanner_sees_what_it_shall_see() {
    let source = |text: &str| Source { path: root().join("src/base/x.rs"), text: text.to_owned() };
    let seen = |text: &str| imports(&source(text).code()).into_iter().collect::<Vec<_>>();
    assert_eq!(seen("use crate::sim::run;"), ["sim"]);
    assert_eq!(seen("use crate::{base::{Span, Time}, check, node::Node};"), ["base", "check", "node"]);
    assert_eq!(seen("let x = crate::cli::main();"), ["cli"]);
    assert_eq!(seen("// crate::sim\nlet text = \"crate::cli\";"), [""; 0]);
    assert!(has("use std::time::Instant;", "Instant") && !has("let an_Instant = 1;", "Instant"));
    assert!(!has("eprintln!(1)", "println!"));
    assert_eq!(source("let a = '\"'; // Instant").code(), "let a = '; \n");
}
