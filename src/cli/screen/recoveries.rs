//! What a cluster did after each kind of fault of a scenario, and what these are called.

use super::shown;
use crate::cli::text::{columns, count, duration, list, some};
use crate::report::Finished;
use crate::scenario::{FaultKind, Plan, Target};

/// More groups of faults than this are shown by kind alone.
const GROUPS_MAX: usize = 4;

/// A table for each group of faults of which something is known.
pub(super) fn recoveries(plan: &Plan, finished: &Finished) -> Vec<String> {
    groups(plan).iter().filter_map(|(label, faults)| recovery(label, faults, finished)).collect()
}

/// The faults of a scenario by what they do and to whom: a label and their numbers, from 0.
fn groups(plan: &Plan) -> Vec<(String, Vec<u32>)> {
    let group = |label: &dyn Fn(usize) -> String| {
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        for position in 0..plan.faults.len() {
            let (label, fault) = (label(position), position as u32);
            match groups.iter_mut().find(|(known, _)| *known == label) {
                Some((_, faults)) => faults.push(fault),
                None => groups.push((label, vec![fault])),
            }
        }
        groups
    };
    let what = |position: usize| what(&plan.faults[position].kind);
    let whom = |position: usize| target(plan, &plan.faults[position].target);
    let fine = group(&|position| {
        let (event, place) = what(position);
        format!("the {event} {place} {}", whom(position))
    });
    if fine.len() <= GROUPS_MAX { fine } else { group(&|position| format!("each {}", what(position).0)) }
}

/// What a fault is, and the word between that and whom it hits.
fn what(kind: &FaultKind) -> (&'static str, &'static str) {
    match kind {
        FaultKind::Crash { wipe: false } => ("crash", "of"),
        FaultKind::Crash { wipe: true } => ("crash and wiped disk", "of"),
        FaultKind::Restart => ("restart", "of"),
        FaultKind::Leave => ("departure", "of"),
        FaultKind::Pause => ("pause", "of"),
        FaultKind::Isolate => ("isolation", "of"),
        FaultKind::Cut { .. } => ("cut", "around"),
        FaultKind::SlowLink(_) => ("slow link", "of"),
        FaultKind::Jam => ("jam of messages", "at"),
        FaultKind::Partial(_) => ("partial cut", "among"),
        FaultKind::Starve(_) => ("starvation", "of"),
        FaultKind::Skew(_) => ("skewed clock", "of"),
        FaultKind::Suspend => ("suspension", "of"),
        FaultKind::Loss(_) => ("loss of messages", "at"),
        FaultKind::Delay(_) => ("delay of messages", "at"),
        FaultKind::Duplicate(_) => ("doubling of messages", "at"),
        FaultKind::Reorder(_) => ("reordering of messages", "at"),
        FaultKind::Slow(_) => ("slowing", "of"),
        FaultKind::LoadFailure { .. } => ("failure to load", "on"),
        FaultKind::EngineDeath => ("death of the engine", "on"),
        FaultKind::Stuck => ("stuck query", "on"),
        FaultKind::SlowDisk(_) => ("slow disk", "of"),
        FaultKind::FullDisk => ("full disk", "of"),
        FaultKind::Corrupt => ("damaged disk", "of"),
        FaultKind::Rollback => ("return to an old disk", "of"),
        FaultKind::Rot => ("rotten chunk", "of"),
        FaultKind::BadOutput(_) => ("wrong answers", "of"),
        FaultKind::RepeatOutput => ("repeated answers", "of"),
    }
}

fn target(plan: &Plan, whom: &Target) -> String {
    match whom {
        Target::Node(machine) => plan.nodes[*machine as usize].name.to_string(),
        Target::Coordinator => "the coordinator".to_owned(),
        Target::Voter => "a voter".to_owned(),
        Target::BusiestWorker => "the busiest worker".to_owned(),
        Target::Worker => "a worker".to_owned(),
        Target::Spare => "a machine that can be spared".to_owned(),
        Target::Random(n) => some(u64::from(*n), "node at random", "nodes at random"),
        Target::Minority => "a minority".to_owned(),
        Target::All => "all nodes".to_owned(),
        Target::Each => "each node".to_owned(),
        Target::Concerned => "the node concerned".to_owned(),
        Target::Several(several) => list(&several.iter().map(|one| target(plan, one)).collect::<Vec<_>>()),
    }
}

const SPANS: [&str; 5] =
    ["detected", "new coordinator", "dispatching again", "first result", "back at its pace"];

fn recovery(label: &str, faults: &[u32], finished: &Finished) -> Option<String> {
    let stats = finished.summary.recovery(faults);
    let head = [format!("After {label}"), "n".into(), "p50".into(), "p95".into(), "max".into()];
    let mut rows: Vec<Vec<String>> = vec![head.to_vec()];
    for (name, stats) in SPANS.iter().zip(&stats).filter(|(_, stats)| stats.n > 0) {
        let time = |value| shown(value, duration);
        let n = count(stats.n as u64);
        rows.push(vec![format!("  {name}"), n, time(stats.p50), time(stats.p95), time(stats.max)]);
    }
    (rows.len() > 1).then(|| columns(&rows))
}
