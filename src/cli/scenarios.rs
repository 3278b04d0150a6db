//! From what was typed to a plan, a file or the name of a shipped scenario; and `idunno scenario`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use clap::Subcommand;

use super::sim::Runs;
use super::text::{list, some, wrapped};
use super::values::text;
use super::{Exit, screen};
use crate::scenario::{Plan, Preset, Until, keys, nearest, shipped, to_toml};

/// What `idunno scenario` is told.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Scenario {
    /// Name the shipped scenarios and say what to look for in each.
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Print a scenario with all its defaults, as results keep it.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// A scenario file, or the name of a shipped scenario ("idunno scenario list" names them).
        scenario: String,
        /// Set a key of the scenario, such as membership.heartbeat=20ms; may be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Say whether scenarios are right, and if not what is wrong where; nothing is run.
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// Scenario files, or names of shipped scenarios.
        #[arg(required = true, value_name = "SCENARIO")]
        scenarios: Vec<String>,
    },
    /// Explain every key of a scenario: what it does, what it may be, what it is by default.
    #[command(after_help = KEYS_EXAMPLES)]
    Keys,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno scenario list
      The shipped scenarios, and what to look for in each.
  idunno scenario show coord_fail > my.toml
      Begin a scenario of your own.
  idunno scenario keys | less
      What can be written into it.";

const LIST_EXAMPLES: &str = "\
Examples:
  idunno scenario list
      Each of these names can be given to idunno sim.";

const SHOW_EXAMPLES: &str = "\
Examples:
  idunno scenario show coord_fail > my.toml
      Begin a scenario of your own; idunno sim my.toml runs it.
  idunno scenario show my.toml --set nodes=20
      What would be run, with one setting changed.";

const CHECK_EXAMPLES: &str = "\
Examples:
  idunno scenario check my.toml scenarios/coord_fail.toml
      Says of each file whether it is right, or which line is wrong and what is allowed there.

Exit codes: 0 all are right; 2 one of them is not.";

const KEYS_EXAMPLES: &str = "\
Examples:
  idunno scenario keys | less
      Every key, with its bounds and its default.
  idunno scenario keys | grep -A 4 suspect_after
      One of them.";

/// The plan of each scenario that was named, with what was set on the command line. What is only looked at may end before everything that
/// is planned has happened; what is written down may not, because it could not be read again.
pub(super) fn plans(runs: &Runs, looks: bool) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = Vec::new();
    for argument in &runs.scenarios {
        let until = runs.until.filter(|_| !looks).map(|until| format!("until={until}"));
        let set: Vec<String> = runs.set.iter().cloned().chain(until).collect();
        let mut plan = plan(argument, &set)?;
        if let Some(until) = runs.until {
            plan.until = Until::At(until);
        }
        plan.seed = runs.seed.unwrap_or(plan.seed);
        plan.trials = runs.trials.unwrap_or(plan.trials);
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

/// Refuses to rehearse what nobody knows enough about.
pub(super) fn rehearsable<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Result<()> {
    for plan in plans {
        let models: Vec<&str> = plan.unmeasured().map(|name| &**name).collect();
        if !models.is_empty() {
            bail!(
                "{}: nothing says how long {} {}, and so there is nothing to rehearse; wanted load and per_input, which \"idunno calibrate \
                 model\" measures",
                plan.name,
                models.join(", "),
                if models.len() == 1 { "takes" } else { "take" }
            );
        }
    }
    Ok(())
}

/// The plan of a scenario, with what is set.
pub(super) fn plan(argument: &str, set: &[String]) -> Result<Plan> {
    let path = Path::new(argument);
    if path.is_file() {
        let source = text(path)?;
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
    let guess = nearest(&word, names()).map(|name| format!("\n  Did you mean {name}?"));
    let known: Vec<&str> = names().collect();
    bail!(
        "there is no file {argument}, and no shipped scenario of that name{}\n{}",
        guess.unwrap_or_default(),
        wrapped(&format!("The shipped ones are {}.", known.join(", ")), "  ")
    )
}

/// Does what `idunno scenario` is told.
pub(super) fn run(command: &Scenario) -> Exit {
    let said = match command {
        Scenario::List => Ok(listed()),
        Scenario::Show { scenario, set } => plan(scenario, set).map(|plan| to_toml(&plan)),
        Scenario::Check { scenarios } => return checked(scenarios),
        Scenario::Keys => Ok(explained()),
    };
    match said {
        Ok(text) => screen::say(&text),
        Err(error) => {
            screen::error(&error);
            Exit::Usage
        }
    }
}

fn listed() -> String {
    let mut text = String::new();
    for (name, source) in shipped() {
        let plan = Plan::read(source, &format!("{name}.toml")).expect("shipped scenarios are right");
        let _ = writeln!(text, "{name}\n{}", wrapped(&plan.about, "    "));
    }
    text
}

/// Every one of them is checked, whatever the others are.
fn checked(scenarios: &[String]) -> Exit {
    let mut exit = Exit::Fine;
    for argument in scenarios {
        match plan(argument, &[]) {
            Ok(plan) => {
                let said = screen::say(&format!("{argument} is right: {}.\n", size(&plan)));
                exit = exit.graver(said);
            }
            Err(error) => {
                screen::error(&error);
                exit = Exit::Usage;
            }
        }
    }
    exit
}

/// What a plan comes to, so that a table that was forgotten is missed.
fn size(plan: &Plan) -> String {
    let parts = [
        (plan.nodes.len(), "node", "nodes"),
        (plan.jobs.len(), "job", "jobs"),
        (plan.arrivals.len(), "stream of jobs", "streams of jobs"),
        (plan.faults.len(), "fault", "faults"),
        (plan.trials as usize, "trial", "trials"),
    ];
    let parts = parts.into_iter().filter(|(number, ..)| *number > 0);
    list(&parts.map(|(number, one, many)| some(number as u64, one, many)).collect::<Vec<_>>())
}

fn explained() -> String {
    let mut text = String::from(
        "Keys are given by their dotted paths, as --set takes them. N is the position in a list, from 0; NAME is the\n\
         name of a model. In a file, job.N stands under [[job]], model.NAME under [model.NAME], and so on.\n",
    );
    for key in keys() {
        let default = match key.default {
            Preset::Required => "required".to_owned(),
            Preset::Value("") => "empty by default".to_owned(),
            Preset::Value(value) | Preset::Derived(value) => format!("by default {value}"),
        };
        let about = wrapped(&format!("{} {}; {default}.", key.about, capital(&key.wanted())), "    ");
        let _ = writeln!(text, "\n{}\n{about}", key.path);
        for (word, meaning) in key.words() {
            let _ = writeln!(text, "{}", wrapped(&format!("{word}: {meaning}."), "      "));
        }
    }
    text
}

/// `text` with a capital letter at its beginning, if it begins with a letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_suggests_the_nearest_shipped_one() {
        for typed in ["cord_fail", "coord-fail", "scenarios/coord_fial.toml"] {
            let error = plan(typed, &[]).unwrap_err().to_string();
            assert!(error.contains("Did you mean coord_fail?"), "{error}");
        }
        let error = plan("nothing_like_it", &[]).unwrap_err().to_string();
        assert!(!error.contains("Did you mean") && error.contains("worker_fail"), "{error}");
    }

    #[test]
    fn shipped_scenarios_run_by_their_bare_names() {
        for (name, _) in shipped() {
            assert_eq!(plan(name, &[]).unwrap().name, *name);
        }
    }
}
