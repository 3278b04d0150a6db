//! From what was typed to a plan: a file, or the name of a shipped scenario.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Sim;
use crate::scenario::{Plan, nearest, shipped};

/// The plan of each scenario that was named, with what was set on the command line.
pub(super) fn plans(sim: &Sim) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = Vec::new();
    for argument in &sim.scenarios {
        let mut plan = plan(argument, &sim.set)?;
        plan.seed = sim.seed.unwrap_or(plan.seed);
        plan.trials = sim.trials.unwrap_or(plan.trials);
        if plans.iter().any(|other| other.name == plan.name) {
            bail!(
                "two scenarios are called \"{}\", and the results of one would replace those of the other; run \
                 them one after the other with different --out",
                plan.name
            );
        }
        plans.push(plan);
    }
    Ok(plans)
}

fn plan(argument: &str, set: &[String]) -> Result<Plan> {
    let path = Path::new(argument);
    if path.is_file() {
        let source = fs::read_to_string(path).with_context(|| format!("cannot read {argument}"))?;
        return Ok(Plan::with_overrides(&source, argument, set)?);
    }
    if let Some((name, source)) = shipped().iter().find(|(name, _)| *name == argument) {
        return Ok(Plan::with_overrides(source, &format!("{name}.toml"), set)?);
    }
    if path.exists() {
        bail!("{argument} is not a file");
    }
    let names = || shipped().iter().map(|(name, _)| *name);
    // A path is most likely a slip in the name of a shipped scenario's file.
    let word =
        path.file_stem().map_or_else(|| argument.to_owned(), |stem| stem.to_string_lossy().into_owned());
    let guess = nearest(&word, names()).map(|name| format!("did you mean \"{name}\"? "));
    let known: Vec<&str> = names().collect();
    bail!(
        "there is no file {argument} and no shipped scenario of that name; {}the shipped ones are {}",
        guess.unwrap_or_default(),
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_suggests_the_nearest_shipped_one() {
        for typed in ["cord_fail", "coord-fail", "scenarios/coord_fial.toml"] {
            let error = plan(typed, &[]).unwrap_err().to_string();
            assert!(error.contains("did you mean \"coord_fail\"?"), "{error}");
        }
        let error = plan("nothing_like_it", &[]).unwrap_err().to_string();
        assert!(!error.contains("did you mean") && error.contains("worker_fail"), "{error}");
    }

    #[test]
    fn shipped_scenarios_run_by_their_bare_names() {
        for (name, _) in shipped() {
            assert_eq!(plan(name, &[]).unwrap().name, *name);
        }
    }
}
