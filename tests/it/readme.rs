//! What the README promises a newcomer.

use std::fs;
use std::path::Path;
use std::process::Command;

use idunno::scenario::{Plan, keys};

use crate::command::{output, text};

const README: &str = include_str!("../../README.md");

#[test]
fn its_scenario_is_complete_and_right() {
    let (_, rest) = README.split_once("```toml\n").expect("it shows a scenario");
    let (scenario, _) = rest.split_once("```").expect("it ends");
    let plan = Plan::read(scenario, "readme.toml").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((plan.nodes.len(), plan.jobs.len(), plan.faults.len()), (6, 2, 1));
}

#[test]
fn its_comparison_is_what_the_commands_print() {
    let (_, rest) = README.split_once("```text\nA: ").expect("it shows a comparison");
    let sample = format!("A: {}", rest.split_once("  …\n```").expect("it ends with what is left out").0);
    let folder = tempfile::tempdir().unwrap();
    let (usual, slow) = (folder.path().join("results"), folder.path().join("results/slow"));
    let [usual, slow] = [&usual, &slow].map(|path| path.to_str().unwrap());
    let run = ["sim", "worker_fail", "--trials", "10", "--quiet", "--out"];
    output(&[run.as_slice(), &[usual]].concat());
    output(&[run.as_slice(), &[slow, "--set", "membership.suspect_after=500ms"]].concat());
    let shown = text(&output(&["compare", &format!("{usual}/worker_fail"), slow]).stdout);
    let shown = shown.replace(usual, "results");
    assert!(shown.starts_with(&sample), "the README shows\n{sample}\nbut it begins\n{shown}");
}

#[test]
fn it_names_every_kind_of_fault() {
    let kinds = keys().iter().find(|key| key.path == "fault.N.kind").expect("faults have kinds").wanted();
    for kind in kinds.split('"').skip(1).step_by(2) {
        assert!(README.contains(&format!("`{kind}`")), "{kind} is missing");
    }
}

/// What stands in the first block of this kind after a heading.
fn block<'a>(heading: &str, kind: &str) -> &'a str {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).expect("it has the section");
    let (_, rest) = section.split_once(&format!("```{kind}\n")).expect("the section has such a block");
    rest.split_once("```").expect("the block ends").0
}

fn said(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idunno"));
    let shown = command.current_dir(folder).args(arguments).output().expect("the command can be started");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    String::from_utf8(shown.stdout).expect("it speaks UTF-8")
}

#[test]
fn its_allocation_is_what_the_command_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs.csv"), block("What if", "csv")).unwrap();
    let shown = said(folder.path(), &["allocate", "jobs.csv", "--workers", "10"]);
    assert_eq!(shown.trim(), block("What if", "text").trim());
}

#[test]
fn its_sweep_has_the_tables_that_the_command_shows() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("my.toml"), block("Writing a scenario", "toml")).unwrap();
    let sweep = "membership.suspect_after=250ms,400ms,800ms";
    let shown = said(folder.path(), &["sim", "my.toml", "--trials", "2", "--sweep", sweep]);
    // Figures change with the protocol, and with them the widths of columns; what is shown does not.
    let words = |text: &str| -> Vec<String> {
        let word = |word: &&str| word.chars().all(|c| c.is_alphabetic() || c == '_' || c == '.' || c == '/');
        let units = ["s", "ms"];
        text.split_whitespace().filter(word).filter(|word| !units.contains(word)).map(str::to_owned).collect()
    };
    assert_eq!(words(&shown), words(block("Sweeping settings", "text")));
    let files = fs::read_dir(folder.path().join("results/my/sweep")).unwrap();
    assert!(files.count() > 8);
}
