//! Machines that get no processor time: what comes of it for those that do.

use std::collections::BTreeSet;

use idunno::base::NodeId;
use idunno::check::Checker;
use idunno::history::{Change, FaultPhase, Machine, Observation, Record, Sink, What};
use idunno::scenario::{Plan, find_shipped};
use idunno::sim;

/// Who starved, who was evicted, and which machine each node runs on.
#[derive(Default)]
struct Seen {
    starved: BTreeSet<Machine>,
    home: std::collections::BTreeMap<NodeId, Machine>,
    evicted: BTreeSet<Machine>,
    suspected: BTreeSet<Machine>,
}

impl Sink for Seen {
    fn record(&mut self, record: &Record) {
        match &record.what {
            What::Up(id) => {
                self.home.extend(record.machine.map(|machine| (*id, machine)));
            }
            What::Fault(event) if event.phase == FaultPhase::Began => self.starved.extend(&event.machines),
            What::Node(Observation::Suspected { subject, .. }) => {
                self.suspected.extend(self.home.get(subject));
            }
            What::Node(Observation::Applied { changes, .. }) => {
                for change in changes.iter() {
                    if let Change::ViewChanged { change, .. } = change {
                        self.evicted.extend(change.gone.iter().filter_map(|gone| self.home.get(&gone.0)));
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn starved_machines_get_no_healthy_one_evicted() {
    let source = find_shipped("starved_few").expect("it is shipped");
    let plan = Plan::with_overrides(source, "starved_few.toml", &["nodes=200", "fault.0.target=random 8"])
        .unwrap_or_else(|error| panic!("{error}"));
    for seed in 0..2 {
        let mut sink = (Checker::new(&plan, seed), Seen::default());
        let outcome = sim::run(&plan, seed, &mut sink, &|| false);
        let (checker, seen) = sink;
        let verdict = checker.finish(outcome.ended_at);
        assert!(verdict.is_clean(), "seed {seed}: {:?}", verdict.violations);
        assert_eq!(seen.starved.len(), 8, "seed {seed}");
        assert!(!seen.suspected.is_disjoint(&seen.starved), "seed {seed}: nobody noticed anything");
        let healthy: Vec<_> = seen.evicted.difference(&seen.starved).collect();
        assert!(healthy.is_empty(), "seed {seed}: {healthy:?} were healthy");
    }
}
