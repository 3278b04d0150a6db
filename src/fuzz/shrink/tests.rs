//! Shrinking failures that need no planted bug: a standby without a quorum loses what it counted.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{Profile, scenario};
use super::parts::remove_node;
use super::*;
use crate::base::Span;
use crate::scenario::{NodePlan, find_shipped};

/// What is lost in the shipped scenario of that name.
fn lossy(name: &str, more: &str) -> Plan {
    let source = find_shipped(name).expect("it is shipped");
    Plan::read(&format!("{source}{more}"), name).unwrap_or_else(|error| panic!("{error}"))
}

fn failure(plan: &Plan) -> Option<Failure> {
    Trial::run(plan, plan.seed, false, &|| false).failure.map(|(failure, _)| failure)
}

/// A lagging standby, and much that has nothing to do with it: faults, clients, chance.
const CLUTTER: &str = r#"
[[fault]]
at = "1s..2s"
kind = "slow"
target = "random 2"
factor = 2
for = "1s..3s"
[[fault]]
at = "2s"
kind = "duplicate"
target = "all"
rate = 0.1
for = "2s"
[[request]]
at = "1s..4s"
kind = "jobs"
"#;

#[test]
fn what_is_not_needed_goes_and_what_is_left_is_certain() {
    let plan = lossy("standby_lagging_backup", CLUTTER);
    let way = failure(&plan).expect("it loses what was counted");
    let shrunk = shrink(&plan, way, &|| true);
    let small = &shrunk.plan;
    let text = to_brief_toml(small);
    assert!(shrunk.complete && shrunk.tried > 10, "{} tries", shrunk.tried);
    assert_eq!(small.faults.len(), 1, "{text}");
    assert!(small.faults[0].target == Target::Coordinator, "{text}");
    assert!(small.requests.is_empty() && small.jobs.len() == 1 && small.models.len() == 1, "{text}");
    assert!(small.nodes.len() <= 3, "{text}");
    assert_eq!(chances(small), 0, "{text}");
    // What a reader of the file gets fails in the same way, each time.
    let read = Plan::read(&text, "small.toml").unwrap();
    assert!((0..5).all(|_| failure(&read) == Some(way)), "{text}");
    assert!(text.lines().count() < 40, "{text}");
}

#[test]
fn it_ends_when_it_is_told_to_with_something_that_fails() {
    let plan = lossy("standby_lagging_backup", CLUTTER);
    let way = failure(&plan).expect("it loses what was counted");
    let left = AtomicU32::new(40);
    let more = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    let shrunk = shrink(&plan, way, &more);
    assert!(!shrunk.complete && shrunk.tried <= 40);
    assert_eq!(failure(&shrunk.plan), Some(way));
}

#[test]
fn where_there_was_no_time_nothing_is_said_to_be_complete() {
    let plan = lossy("standby_lagging_backup", CLUTTER);
    let way = failure(&plan).expect("it loses what was counted");
    let shrunk = shrink(&plan, way, &|| false);
    assert!(!shrunk.complete && shrunk.tried == 0);
    assert_eq!(shrunk.plan.faults, plan.faults);
}

#[test]
fn whoever_votes_alone_survives_others_only() {
    let mut plan = scenario(1, Profile::Swarm);
    plan.nodes = (1..=3).map(NodePlan::usual).collect();
    Arc::make_mut(&mut plan.config).failover.voters = Some(1);
    let death = Fault {
        at: Draw::Fixed(Span::secs(1)),
        kind: FaultKind::Crash { wipe: false },
        target: Target::Node(2),
        lasting: None,
        repeat: None,
        trigger: None,
        after: Draw::ZERO,
    };
    plan.faults = vec![death.clone()];
    assert!(is_survivable(&plan));
    plan.faults[0].target = Target::Node(0);
    assert!(!is_survivable(&plan), "the only voter is gone");
    plan.faults = vec![death.clone(), Fault { target: Target::Node(1), ..death }];
    assert!(!is_survivable(&plan), "most machines are gone");
}

#[test]
fn what_does_not_fail_stays_as_it_is() {
    let plan = scenario(1, Profile::Swarm);
    let shrunk = shrink(&plan, Failure::Panic, &|| true);
    assert_eq!(shrunk.plan.faults, plan.faults);
    assert_eq!(shrunk.plan.nodes, plan.nodes);
}

#[test]
fn machines_that_go_take_along_what_names_them() {
    let mut plan = lossy("standby_lagging_backup", "");
    plan.nodes = (1..=4).map(NodePlan::usual).collect();
    let one = &plan.faults[0].clone();
    let hitting = |target| Fault { target, ..one.clone() };
    let nodes = |places: &[u32]| Target::Several(places.iter().copied().map(Target::Node).collect());
    plan.faults = vec![
        hitting(Target::Node(1)),
        hitting(Target::Node(3)),
        hitting(nodes(&[0, 1, 3])),
        hitting(nodes(&[1, 2])),
        hitting(Target::Random(4)),
    ];
    remove_node(&mut plan, 1);
    let targets: Vec<Target> = plan.faults.iter().map(|fault| fault.target.clone()).collect();
    assert_eq!(targets, [Target::Node(2), nodes(&[0, 2]), Target::Node(1), Target::Random(3)]);
    assert_eq!(plan.nodes, (1..=3).map(NodePlan::usual).collect::<Vec<_>>());
}

#[test]
fn a_scenario_that_could_not_survive_is_no_smaller_one() {
    let mut plan = lossy("standby_lagging_backup", "");
    plan.nodes = (1..=3).map(NodePlan::usual).collect();
    let mut death = plan.faults[0].clone();
    (death.kind, death.lasting, death.target) = (FaultKind::Crash { wipe: false }, None, Target::Node(0));
    plan.faults = vec![death.clone()];
    assert!(is_survivable(&plan));
    plan.faults.push(Fault { target: Target::Node(1), ..death.clone() });
    assert!(!is_survivable(&plan), "two of three are gone");
    plan.faults[1].lasting = Some(Draw::Fixed(Span::secs(1)));
    assert!(is_survivable(&plan), "one of them comes back");
    plan.faults[1].kind = FaultKind::Crash { wipe: true };
    assert!(!is_survivable(&plan), "without its disk");
}
