//! Partial connectivity: while links between some machines are down, a coordinator leads and work goes on.
//!
//! The three cases are those in which elections by plain majority are known to stall: the leader lives without a majority
//! (quorum loss), the only one who could be elected has an old log (constrained), and those who miss the leader depose it in turn
//! (chained). See Ng, Haridi and Carbone, Omni-Paxos, at the European Conference on Computer Systems 2023.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use idunno::base::Time;
use idunno::check::Checker;
use idunno::history::{Record, What};
use idunno::node::{Change, Index, Observation};
use idunno::scenario::{Plan, find_shipped};
use idunno::sim;

/// The shipped scenarios cut their links at this second of a trial ...
const FROM: u64 = 10;
/// ... and mend them at this one.
const TO: u64 = 25;
const SEEDS: u64 = 20;
/// How often another node may be elected while the links are down: one has to be where the leader is lost.
const ELECTED_MAX: usize = 2;

/// The moment at which each query is counted first.
fn counted(records: &[Record]) -> Vec<Time> {
    let mut applied = Index(0);
    let mut times = Vec::new();
    for record in records {
        let What::Node(Observation::Applied { entry, changes, .. }) = &record.what else { continue };
        if entry.position.index > applied {
            applied = entry.position.index;
            let counts = changes.iter().filter(|change| matches!(change, Change::Counted { .. }));
            times.extend(counts.map(|_| record.at));
        }
    }
    times
}

fn goes_on_all_the_while(name: &str) {
    let source = find_shipped(name).expect("it is shipped");
    let plan = Plan::read(source, name).unwrap_or_else(|error| panic!("{error}"));
    let second = |record: Time| record.0 / 1_000_000_000;
    (1..=SEEDS).into_par_iter().for_each(|seed| {
        let mut sink = (Checker::new(&plan, seed), Vec::new());
        let outcome = sim::run(&plan, seed, &mut sink, &|| false);
        let (checker, records) = sink;
        let violations = checker.finish(outcome.ended_at).violations;
        assert!(violations.is_empty(), "{name}, seed {seed}: {violations:#?}");
        assert!(outcome.unfinished.is_empty(), "{name}, seed {seed}: {:?}", outcome.unfinished);
        let led = |record: &&Record| {
            let within = (FROM..TO).contains(&second(record.at));
            within && matches!(record.what, What::Node(Observation::Led { .. }))
        };
        let elected = records.iter().filter(led).count();
        assert!(elected <= ELECTED_MAX, "{name}, seed {seed}: {elected} were elected");
        let counted = counted(&records);
        for idle in FROM..TO {
            let count = counted.iter().filter(|at| second(**at) == idle).count();
            assert!(count > 0, "{name}, seed {seed}: nothing was counted in second {idle}");
        }
    });
}

#[test]
fn a_leader_that_loses_its_majority_gives_way_to_the_only_node_that_has_one() {
    goes_on_all_the_while("partial_quorum_loss");
}

#[test]
fn the_only_node_that_can_lead_gets_the_log_that_it_lacks() {
    goes_on_all_the_while("partial_constrained");
}

#[test]
fn machines_in_a_row_do_not_depose_each_other_in_turn() {
    goes_on_all_the_while("partial_chained");
}
