//! Whom a fault hits, as people write it, and whether this cluster can have such a target.

use super::document::{Item, Value};
use super::error::{Complaint, nearest};
use super::plan::{FaultKind, NodePlan, Target};
use super::read::Reading;

/// The targets that are single words, and no machine's name.
const ROLES: [(&str, Target); 9] = [
    ("coordinator", Target::Coordinator),
    ("voter", Target::Voter),
    ("busiest worker", Target::BusiestWorker),
    ("worker", Target::Worker),
    ("spare", Target::Spare),
    ("minority", Target::Minority),
    ("all", Target::All),
    ("each", Target::Each),
    ("concerned", Target::Concerned),
];

/// Whether a machine of this name could not be told from a role or a position.
pub(super) fn is_reserved(name: &str) -> bool {
    ROLES.iter().any(|(role, _)| *role == name) || ["node", "random", "rest", "busiest"].contains(&name)
}

/// Reads a target or a list of them; else why not, and what may have been meant.
pub(super) fn parse(item: &Item, nodes: &[NodePlan]) -> Reading<Target> {
    match &item.value {
        Value::Text(text) => parse_one(text.trim(), nodes),
        Value::List(list) if list.is_empty() => Err("is empty".into()),
        Value::List(list) => {
            let one = |item: &Item| match &item.value {
                Value::Text(text) => parse_one(text.trim(), nodes).map_err(|Complaint { why, near }| {
                    Complaint { why: format!("holds {text:?}, which {why}"), near }
                }),
                _ => Err("holds something that is not a text".into()),
            };
            let mut targets = list.iter().map(one).collect::<Result<Vec<_>, _>>()?;
            Ok(if targets.len() == 1 { targets.remove(0) } else { Target::Several(targets) })
        }
        _ => Err("is not a text".into()),
    }
}

fn parse_one(text: &str, nodes: &[NodePlan]) -> Reading<Target> {
    let count = nodes.len();
    if let Some((_, target)) = ROLES.iter().find(|(role, _)| *role == text) {
        return Ok(target.clone());
    }
    if let Some(position) = nodes.iter().position(|node| &*node.name == text) {
        return Ok(Target::Node(position as u32));
    }
    let number = |word: &str| text.strip_prefix(word).and_then(|rest| rest.trim().parse::<u64>().ok());
    if let Some(number) = number("node ") {
        return match usize::try_from(number) {
            Ok(number) if (1..=count).contains(&number) => Ok(Target::Node(number as u32 - 1)),
            _ => Err(format!("does not exist: the cluster has node 1 to node {count}").into()),
        };
    }
    if let Some(number) = number("random ") {
        return match usize::try_from(number) {
            Ok(0) => Err("hits nobody".into()),
            Ok(number) if number <= count => Ok(Target::Random(number as u32)),
            _ => Err(format!("is more than the cluster has: {}", machines(count)).into()),
        };
    }
    // In a large cluster the names of machines are too many to compare, and too alike to suggest one.
    let names = nodes.iter().take(100).map(|node| &*node.name);
    let near = nearest(text, ROLES.iter().map(|(role, _)| *role).chain(names));
    Err(Complaint::from("is no role, and no machine has this name").near(near))
}

/// How a target is written, as TOML; [`parse`] reads it back as the same value.
pub(super) fn text(target: &Target) -> String {
    match target {
        Target::Node(position) => format!("\"node {}\"", position + 1),
        Target::Random(count) => format!("\"random {count}\""),
        Target::Several(targets) => {
            format!("[{}]", targets.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        role => {
            let found = ROLES.iter().find(|(_, target)| target == role);
            format!("{:?}", found.expect("what is neither a number nor a list is a role").0)
        }
    }
}

/// Why a cluster of these machines, with so many voters, can never have such a target; `None` when it can.
pub(super) fn impossible(
    target: &Target,
    kind: &FaultKind,
    nodes: &[NodePlan],
    voters: usize,
) -> Option<String> {
    let count = nodes.len();
    let several = std::slice::from_ref(target);
    let parts: &[Target] = if let Target::Several(parts) = target { parts } else { several };
    let number = |wanted: &Target| parts.iter().filter(|part| *part == wanted).count();
    let followers = voters - 1;
    if number(&Target::Voter) > followers {
        let has = match voters {
            1 => "one voter, which leads".to_owned(),
            _ => format!("{voters} voters, one of which leads"),
        };
        return Some(match number(&Target::Voter) {
            1 => format!("\"voter\" means one that does not lead, and this cluster has {has}"),
            wanted => format!("{wanted} voters that do not lead are wanted, and this cluster has {has}"),
        });
    }
    let workers = nodes.iter().filter(|node| node.worker).count().min(count - 1);
    let wanted = number(&Target::Worker) + number(&Target::BusiestWorker);
    if wanted > workers {
        let plural =
            if wanted == 1 { "worker that does not lead is" } else { "workers that do not lead are" };
        return Some(format!("{wanted} {plural} wanted, and this cluster can have {workers}"));
    }
    if parts.contains(&Target::Spare) && count == 1 {
        return Some("the only machine cannot be spared".to_owned());
    }
    let alone = |part: &Target| matches!(part, Target::All | Target::Minority | Target::Each);
    if parts.len() > 1 && parts.iter().any(alone) {
        return Some("\"all\", \"each\" and \"minority\" stand alone".to_owned());
    }
    for (position, part) in parts.iter().enumerate() {
        if matches!(part, Target::Node(_) | Target::Coordinator | Target::Concerned)
            && parts[..position].contains(part)
        {
            return Some(format!("{} stands twice", text(part)));
        }
        if *part == Target::Minority && count < 3 {
            let have = if count == 1 { "has" } else { "have" };
            return Some(format!("{} {have} no minority without the coordinator", machines(count)));
        }
        if let Target::Node(position) = part
            && concerns_workers(kind)
            && !nodes[*position as usize].worker
        {
            return Some(format!("{} takes no queries, so that nothing would happen", text(part)));
        }
    }
    let wanted: usize = parts.iter().map(|part| size(part, count)).sum();
    (wanted > count).then(|| format!("{wanted} machines are wanted, and this cluster has {count}"))
}

/// How many machines a target without parts hits in a cluster of `count`.
fn size(target: &Target, count: usize) -> usize {
    match target {
        Target::Random(wanted) => *wanted as usize,
        Target::Minority => (count - 1) / 2,
        Target::All => count,
        _ => 1,
    }
}

fn concerns_workers(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Slow(_)
            | FaultKind::LoadFailure { .. }
            | FaultKind::EngineDeath
            | FaultKind::Stuck
            | FaultKind::BadOutput(_)
            | FaultKind::RepeatOutput
    )
}

fn machines(count: usize) -> String {
    if count == 1 { "1 machine".to_owned() } else { format!("{count} machines") }
}
