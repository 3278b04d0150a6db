//! The scenarios of `scenarios/regressions/`: each one broke something once, under the seed that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use idunno::base::QueryId;
use idunno::check::Checker;
use idunno::history::{Record, Sink, What};
use idunno::node::Observation;
use idunno::scenario::Plan;
use idunno::sim;

/// A query that is dispatched more often than this is passed around for nothing.
const DISPATCHES_MAX: usize = 50;

#[test]
fn what_was_mended_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/regressions");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it is read").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let name = path.display().to_string();
        let source = fs::read_to_string(&path).expect("a scenario is text");
        let plan = Plan::read(&source, &name).unwrap_or_else(|error| panic!("{error}"));
        let mut sink = (Checker::new(&plan, plan.seed), Dispatches::default());
        let outcome = sim::run(&plan, plan.seed, &mut sink, &|| false);
        let (checker, dispatches) = sink;
        let verdict = checker.finish(outcome.ended_at);
        assert_eq!(verdict.census.faults_began > 0, !plan.faults.is_empty(), "{name}: no fault happened");
        let wrong: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        assert!(outcome.unfinished.is_empty(), "{name}: {:?}", outcome.unfinished);
        let most = dispatches.0.values().max();
        assert!(most.is_none_or(|&most| most <= DISPATCHES_MAX), "{name}: {most:?} dispatches of one query");
    }
}

/// How often each query was dispatched.
#[derive(Default)]
struct Dispatches(BTreeMap<QueryId, usize>);

impl Sink for Dispatches {
    fn record(&mut self, record: &Record) {
        if let What::Node(Observation::Dispatched { query, .. }) = &record.what {
            *self.0.entry(*query).or_default() += 1;
        }
    }
}
