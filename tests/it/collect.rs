//! Histories that are collected from a cluster that was started by hand, and histories that lack something.

use idunno::base::{NodeId, Time};
use idunno::check::{Checker, Gaps, Invariant, Verdict};
use idunno::history::{Machine, Observation, Record, Sink, What};
use idunno::scenario::{Plan, shipped};
use idunno::sim;

/// What happened in one trial of a shipped scenario, and when it ended.
fn rehearsed(name: &str, seed: u64) -> (Plan, Vec<Record>, Time) {
    let (_, source) = shipped().iter().find(|(known, _)| *known == name).expect("it is shipped");
    let plan = Plan::read(source, name).unwrap();
    let mut records: Vec<Record> = Vec::new();
    let outcome = sim::run(&plan, seed, &mut records, &|| false);
    (plan, records, outcome.ended_at)
}

/// What is left of a history when only what nodes said from `from` on is known.
fn cut(records: &[Record], from: Time) -> Vec<Record> {
    let before = records.partition_point(|record| record.at < from);
    let mut runs: Vec<(Machine, Option<NodeId>)> = Vec::new();
    for record in &records[..before] {
        let Some(machine) = record.machine else { continue };
        let state = match record.what {
            What::Up(id) => Some(id),
            What::Down(_) => None,
            _ => continue,
        };
        runs.retain(|(other, _)| *other != machine);
        runs.push((machine, state));
    }
    let up = |(machine, id): (Machine, Option<NodeId>)| {
        Some(Record { at: Time::ZERO, machine: Some(machine), what: What::Up(id?) })
    };
    let told = |record: &&Record| matches!(record.what, What::Up(_) | What::Down(_) | What::Node(_));
    let rest = records[before..].iter().filter(told);
    let moved = |record: &Record| Record { at: Time(record.at.since(from).0), ..record.clone() };
    runs.into_iter().filter_map(up).chain(rest.map(moved)).collect()
}

fn judged(plan: &Plan, records: &[Record], gaps: Gaps) -> Verdict {
    let mut checker = Checker::with_gaps(plan, 1, gaps);
    for record in records {
        checker.record(record);
    }
    checker.finish(records.last().map_or(Time::ZERO, |record| record.at))
}

const LATE: Gaps = Gaps { beginning: true, nodes: false };

#[test]
fn a_history_that_went_well_is_clean_wherever_it_begins_and_whoever_is_silent() {
    for name in ["coord_fail", "rolling_restart", "partition_minority", "three_at_once"] {
        for seed in 1..=2 {
            let (plan, records, ended_at) = rehearsed(name, seed);
            for tenth in [0, 1, 3, 5, 7, 9] {
                let from = Time(ended_at.0 / 10 * tenth);
                let rest = cut(&records, from);
                let verdict = judged(&plan, &rest, LATE);
                assert_eq!(verdict.violations, [], "{name}, seed {seed}, from {from}");
                assert!(verdict.census.entries_compared > 0 || tenth == 9, "{name} from {from}");
                for silent in [0, 3] {
                    let heard: Vec<Record> =
                        rest.iter().filter(|record| record.machine != Some(silent)).cloned().collect();
                    let gaps = Gaps { nodes: true, ..LATE };
                    let verdict = judged(&plan, &heard, gaps);
                    assert_eq!(verdict.violations, [], "{name}, seed {seed}, from {from} without {silent}");
                }
            }
        }
    }
}

#[test]
fn what_went_wrong_is_found_in_what_is_left_of_a_history() {
    let (plan, records, ended_at) = rehearsed("coord_fail", 1);
    // Both jobs come later than that.
    let rest = cut(&records, Time(ended_at.0 / 1000));
    assert!(judged(&plan, &rest, LATE).is_clean());
    let broken = |invariant: Invariant, change: &dyn Fn(&mut Vec<Record>)| {
        let mut rest = rest.clone();
        change(&mut rest);
        let found = judged(&plan, &rest, LATE).violations;
        assert!(found.iter().any(|violation| violation.invariant == invariant), "{invariant:?}: {found:?}");
    };
    let half = rest.len() / 2;
    broken(Invariant::LogKept, &|rest| {
        let applied = rest[half..].iter_mut().find_map(|record| match &mut record.what {
            What::Node(Observation::Applied { state, .. }) => Some(state),
            _ => None,
        });
        *applied.unwrap() += 1;
    });
    broken(Invariant::CountedOnce, &|rest| {
        let ended =
            rest.iter().position(|record| matches!(record.what, What::Node(Observation::Ended { .. })));
        rest.remove(ended.unwrap());
    });
    broken(Invariant::OneLeader, &|rest| {
        let led = rest.iter().position(|record| matches!(record.what, What::Node(Observation::Led { .. })));
        let led = rest[led.expect("the coordinator dies, and another one is elected")].clone();
        let other = rest.last().unwrap().clone();
        rest.push(Record { machine: Some((led.machine.unwrap() + 1) % 10), at: other.at, what: led.what });
    });
    broken(Invariant::ViewsOrdered, &|rest| {
        let installed = rest.iter_mut().find_map(|record| match &mut record.what {
            What::Node(Observation::Installed { digest, .. }) => Some(digest),
            _ => None,
        });
        *installed.expect("the dead coordinator is evicted") += 1;
    });
}

#[cfg(target_os = "linux")]
mod real {
    use std::fs;

    use crate::cluster::{Node, ask, folder, formed, rows, until};

    #[test]
    fn what_a_running_cluster_did_is_collected_checked_and_written_like_a_drill() {
        let folder = folder();
        let folder = folder.path();
        let first = Node::start(folder, "n1", &[]);
        let second = Node::start(folder, "n2", &[&first]);
        let mut third = Node::start(folder, "n3", &[&first]);
        formed(folder, &[&first, &second, &third], 3, 3);
        let waited = |at: &[&Node], inputs: &str| {
            let done = ask(folder, at, "key", &["submit", "letters", inputs, "--batch", "10", "--wait"]);
            assert!(done.status.success(), "{done:?}");
        };
        waited(&[&first], "1000");
        // One of them dies without a word, and comes back: its diary tells of both lives.
        third.process.kill().unwrap();
        third.process.wait().unwrap();
        drop(third);
        let mut third = Node::start(folder, "n3", &[]);
        until("the third is a member again", || {
            let members = rows(folder, &[&first], "members");
            members.iter().any(|member| member["address"] == third.address.as_str()).then_some(())
        });
        waited(&[&second], "500");
        let collect = |at: &[&Node], out: &str| {
            let words = ["collect", "--since", "1h", "--out", out, "--timeout", "3s"];
            let told = ask(folder, at, "key", &words);
            let said = [told.stdout.as_slice(), &told.stderr].concat();
            (told.status.code(), String::from_utf8(said).unwrap())
        };
        let (code, said) = collect(&[&second], "all");
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("150 queries: 0 lost, 0 counted twice.") && said.contains("Not checked: "),
            "{said}"
        );
        let read = |file: &str| fs::read_to_string(folder.join("all/collected/real").join(file)).unwrap();
        assert_eq!(read("queries.csv").lines().count(), 151);
        assert_eq!(read("jobs.csv").lines().count(), 3);
        let membership = read("membership.csv");
        let happened = |event: &str| membership.lines().filter(|line| line.contains(event)).count();
        assert_eq!((happened(",n3,down,"), happened(",n3,up,")), (1, 2), "{membership}");
        // All of them share this machine's clock.
        let clocks = read("clocks.csv");
        assert_eq!(clocks.lines().count(), 4);
        assert!(
            clocks.lines().skip(1).all(|line| line.ends_with(",0.000000000,0.000000000,0.000000000")),
            "{clocks}"
        );
        let idunno = |words: &[&str]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_idunno"));
            let output = command.args(words).current_dir(folder).output().unwrap();
            assert!(output.status.success(), "{words:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let checked = idunno(&["check", "all/collected/real"]);
        assert!(checked.contains("as far as this history tells"), "{checked}");
        idunno(&["report", "all/collected/real", "--quiet"]);
        // What they did can be rehearsed: the same settings, nodes and jobs.
        let scenario = read("scenario.toml");
        assert!(scenario.contains("name = \"letters-2\"") && scenario.contains("inputs = 500"), "{scenario}");
        idunno(&["sim", "all/collected/real/scenario.toml", "--out", "rehearsed", "--quiet"]);
        // Who cannot be asked is named, and the rest is collected.
        third.process.kill().unwrap();
        third.process.wait().unwrap();
        let (code, said) = collect(&[&second], "rest");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("Could not be asked") && said.contains("n3 ("), "{said}");
        assert!(folder.join("rest/collected/real/history.jsonl").exists());
        drop(first);
        let mut second = second;
        second.process.kill().unwrap();
        second.process.wait().unwrap();
        let (code, said) = collect(&[&second], "none");
        assert_eq!(code, Some(1), "{said}");
        assert!(!folder.join("none").exists(), "nothing is written about nobody");
    }
}
