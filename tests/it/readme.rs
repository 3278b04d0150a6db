//! What the README promises a newcomer.

use idunno::scenario::{Plan, keys};

const README: &str = include_str!("../../README.md");

#[test]
fn its_scenario_is_complete_and_right() {
    let (_, rest) = README.split_once("```toml\n").expect("it shows a scenario");
    let (scenario, _) = rest.split_once("```").expect("it ends");
    let plan = Plan::read(scenario, "readme.toml").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((plan.nodes.len(), plan.jobs.len(), plan.faults.len()), (6, 2, 1));
}

#[test]
fn it_names_every_kind_of_fault() {
    let kinds = keys().iter().find(|key| key.path == "fault.N.kind").expect("faults have kinds").wanted();
    for kind in kinds.split('"').skip(1).step_by(2) {
        assert!(README.contains(&format!("`{kind}`")), "{kind} is missing");
    }
}
