//! What models took in a run comes back as the costs of a scenario.

use std::fs;

use idunno::base::Span;
use idunno::scenario::Plan;

use crate::command::{output, text};

/// One model whose time is no line, and jobs of three sizes; one of three workers is twice as fast.
const SCENARIO: &str = "name = \"bent\"\ntrials = 2\n[[node]]\nspeed = 2\n[[node]]\n[[node]]\n\
    [model.m]\nload = \"300ms\"\nsetup = \"5ms\"\nper_input = \"lognormal(10ms, 0.1)\"\nby_size = \"1: 1, 8: 1.5, 16: 0.9\"\n\
    [[job]]\nmodel = \"m\"\ninputs = 200\n[[job]]\nmodel = \"m\"\ninputs = 1600\nbatch = 8\n[[job]]\nmodel = \"m\"\ninputs = 3200\nbatch = 16\n";

#[test]
fn costs_by_size_come_back_from_a_history_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("bent.toml"), SCENARIO).unwrap();
    let ran = output(&["sim", &at("bent.toml"), "--quiet", "--out", &at("results")]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let results = at("results/bent/sim");
    let shown = output(&["calibrate", "history", &results]);
    let (table, said) = (text(&shown.stdout), text(&shown.stderr));
    assert!(
        shown.status.success() && said.contains("batch 16") && table.starts_with("# Measured"),
        "{said}{table}"
    );
    let whole = output(&["calibrate", "history", &results, "--whole", "--out", &at("whole.toml")]);
    assert!(whole.status.success() && whole.stdout.is_empty(), "{}", text(&whole.stderr));
    let plan = Plan::read(&fs::read_to_string(at("whole.toml")).unwrap(), "whole.toml").unwrap();
    let profile = plan.models["m"].profile;
    for (size, wanted) in [(1, 15.0), (8, 127.5), (16, 148.5)] {
        let mean = profile.query_mean(size).as_secs() * 1e3;
        assert!((mean / wanted - 1.0).abs() < 0.04, "{size}: {mean} ms, and not {wanted}; {table}");
    }
    assert!((profile.load.mean().as_secs() / 0.3 - 1.0).abs() < 0.01, "{table}");
    assert_eq!(plan.jobs.len(), 3);
    // What is there is left alone, and what is no run is refused.
    let again = output(&["calibrate", "history", &results, "--out", &at("whole.toml")]);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
    let none = output(&["calibrate", "history", &at("results")]);
    assert_eq!(none.status.code(), Some(2), "{}", text(&none.stderr));
    assert_eq!(plan.config.membership.suspect_after, Span::millis(250));
}
