//! What the README promises a newcomer.

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
