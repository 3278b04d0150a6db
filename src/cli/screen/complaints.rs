//! What went wrong in the trials of a scenario, each with the command that shows it again.

use std::collections::BTreeMap;

use crate::check::Invariant;
use crate::cli::findings::Findings;
use crate::cli::text::{list, quoted, some};
use crate::scenario::Plan;

/// The most trials that were given up of which it is said what was left to do.
const GIVEN_UP_SHOWN: usize = 3;
/// More violations of one invariant than this are counted and not shown: they tend to be alike.
const ALIKE_SHOWN: u64 = 3;

/// How a bug that was planted is said on the command line.
#[cfg(debug_assertions)]
fn planted(plan: &Plan) -> String {
    let mutant = crate::scenario::Mutant::ALL.into_iter().find(|mutant| plan.config.has(*mutant));
    mutant.map_or_else(String::new, |mutant| format!(" --mutant {}", mutant.name()))
}

/// Nothing is planted in release builds.
#[cfg(not(debug_assertions))]
fn planted(_: &Plan) -> String {
    String::new()
}

/// What went wrong, with the command that repeats it.
pub(in crate::cli) fn complaints(
    argument: &str,
    settings: &[String],
    plan: &Plan,
    findings: &Findings,
) -> Vec<String> {
    let settings = settings.iter().fold(planted(plan), |text, set| text + " --set " + &quoted(set));
    let repeat = |seed: u64| {
        let (argument, first) = (quoted(argument), plan.seed);
        let trial = seed.wrapping_sub(first);
        if findings.gaps.any() {
            return "what happened cannot be repeated; history.jsonl has all of it".to_owned();
        }
        if findings.real {
            return format!(
                "try it again, which may come out otherwise: idunno drill {argument} --seed {seed} --trials 1 --out \
                 repeat{settings}\n  rehearse it: idunno sim {argument} --seed {seed} --trials 1 --out repeat{settings}"
            );
        }
        format!(
            "repeat it with: idunno sim {argument} --seed {seed} --trials 1 --out repeat{settings}\n  \
             follow it with: idunno sim {argument} --seed {first} --trace --trial {trial}{settings}"
        )
    };
    let mut lines = Vec::new();
    let mut shown: BTreeMap<Invariant, u64> = BTreeMap::new();
    for violation in &findings.violations {
        let shown = shown.entry(violation.invariant).or_default();
        if *shown == ALIKE_SHOWN {
            continue;
        }
        *shown += 1;
        let kind = match violation.kind() {
            crate::check::Kind::Safety => "safety",
            crate::check::Kind::Liveness => "liveness",
        };
        lines.push(format!("{}: {kind} broke at {violation}\n  {}", plan.name, repeat(violation.seed)));
    }
    for (invariant, found) in &findings.violations_of {
        let hidden = found - shown.get(invariant).copied().unwrap_or(0);
        if hidden > 0 {
            let more = some(hidden, "more violation", "more violations");
            lines.push(format!("{}: {more} of invariant {}.", plan.name, invariant.number()));
        }
    }
    for (seed, left) in findings.unfinished.iter().take(GIVEN_UP_SHOWN) {
        let left = list(left);
        lines.push(format!(
            "{}: the trial with seed {seed} was given up; still to do: {left}.\n  {}",
            plan.name,
            repeat(*seed)
        ));
    }
    let hidden = findings.unfinished.len().saturating_sub(GIVEN_UP_SHOWN) as u64;
    if hidden > 0 {
        let trials = some(hidden, "more trial was", "more trials were");
        lines.push(format!("{}: {trials} given up.", plan.name));
    }
    if let Some((seed, failures)) = &findings.failures {
        let all = if findings.answered_nothing() { "No input was answered. In" } else { "In" };
        lines.push(format!("{}: {all} the trial with seed {seed} {}.", plan.name, failures.join("; ")));
    }
    let missed = findings.census.faults_missed;
    if missed > 0 {
        lines.push(format!(
            "{}: {} could not be injected; membership.csv and history.jsonl say what the cluster was doing.",
            plan.name,
            some(missed, "fault", "faults")
        ));
    }
    if findings.all_missed() {
        lines.push(format!(
            "error: {}: none of its faults happened, so that the run shows nothing of what it is for.",
            plan.name
        ));
    }
    lines
}
