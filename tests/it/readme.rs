//! What the README promises a newcomer.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use idunno::base::JobId;
use idunno::history::{Change, Observation, Record, What};
use idunno::scenario::{Plan, keys};
use idunno::sim;

use crate::command::{output, text};
use crate::fewest_left::FewestLeft;

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

#[test]
fn its_policy_is_compiled_and_serves_short_jobs_first() {
    assert_eq!(block("Writing a policy", "rust"), include_str!("fewest_left.rs"));
    let mut plan = Plan::read(
        r#"
        nodes = 3
        [model.m]
        load = "10ms"
        per_input = "50ms"
        [[job]]
        name = "long"
        model = "m"
        inputs = 200
        [[job]]
        name = "short"
        model = "m"
        inputs = 30
        at = "1s"
        "#,
        "policy.toml",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let mut config = (*plan.config).clone();
    config.scheduler.policy = Arc::new(FewestLeft);
    plan.config = Arc::new(config);
    let mut records = Vec::new();
    sim::run(&plan, plan.seed, &mut records, &|| false);
    let counted = |job: u32| {
        let times = records.iter().filter_map(move |record: &Record| match &record.what {
            What::Node(Observation::Applied { changes, .. }) => {
                changes.iter().find_map(|change| match change {
                    Change::Counted { query, .. } if query.job == JobId(job) => Some(record.at),
                    _ => None,
                })
            }
            _ => None,
        });
        let times: Vec<_> = times.collect();
        (times[0], times[times.len() - 1])
    };
    let (long, short) = (counted(1), counted(2));
    assert!(long.0 < short.0 && short.1 < long.1, "long {long:?}, short {short:?}");
}
