//! The commands: what people type, what they are shown, and how a command ends.

mod fuzz;
mod scenarios;
mod screen;
mod sim;
mod text;
mod trials;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::base::Span;
use crate::fuzz::Profile;
use crate::scenario::SEED_MAX;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything went well.
    Fine,
    /// It failed.
    Failed,
    /// It was called wrongly, or a file is bad; nothing was changed.
    Usage,
    /// A safety invariant broke.
    Safety,
    /// A liveness bound broke.
    Liveness,
    /// Ctrl-C; nothing was changed.
    Interrupted,
}

impl Exit {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Safety => 3,
            Exit::Liveness => 4,
            Exit::Interrupted => 130,
        }
    }

    /// The graver of two: broken safety, broken liveness, failure, none.
    #[must_use]
    pub fn graver(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Liveness => 2,
            Exit::Safety => 3,
            Exit::Usage => 4,
            Exit::Interrupted => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "idunno",
    version,
    about = "Rehearse a fault-tolerant inference cluster before you trust it.",
    after_help = EXIT_CODES,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw scenarios from seeds, faults and all, and look for one that breaks something.
    #[command(after_help = FUZZ_EXAMPLES)]
    Fuzz(Fuzz),
    /// Run scenarios in the simulator, check every trial, and write the results as CSV files and a chart.
    #[command(after_help = SIM_EXAMPLES)]
    Sim(Sim),
    /// List, show and check scenarios, and explain their keys.
    #[command(subcommand, after_help = SCENARIO_EXAMPLES)]
    Scenario(Scenario),
}

/// What `idunno scenario` is told.
#[derive(Clone, Debug, Subcommand)]
enum Scenario {
    /// Name the shipped scenarios and say what to look for in each.
    List,
    /// Print a scenario with all its defaults, as results keep it.
    Show {
        /// A scenario file, or the name of a shipped scenario.
        scenario: String,
        /// Set a key of the scenario; may be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Say whether scenarios are right, and if not what is wrong where.
    Check {
        /// Scenario files, or names of shipped scenarios.
        #[arg(required = true, value_name = "SCENARIO")]
        scenarios: Vec<String>,
    },
    /// Explain every key: what it does, what it may be, what it is by default.
    Keys,
}

/// What `idunno fuzz` is told.
#[derive(Clone, Debug, Args)]
struct Fuzz {
    /// The seeds: how many, from 0 on, or from the first to the one after the last, as in 500..1500 [default: 1000].
    #[arg(long, value_name = "N|A..B", value_parser = fuzz::seeds)]
    seeds: Option<fuzz::Seeds>,
    /// Go on for this long, such as 10m, instead of for a number of seeds.
    #[arg(long = "for", value_name = "TIME", value_parser = lasting, conflicts_with = "seeds")]
    lasting: Option<Duration>,
    /// What to aim at.
    #[arg(long, value_name = "PROFILE", default_value = "swarm", value_parser = profile)]
    profile: Profile,
    /// Where scenarios that failed go, made as small as possible.
    #[arg(long, value_name = "DIR", default_value = "results/fuzz")]
    out: PathBuf,
    /// Print the scenario of the first seed as it is drawn, and run nothing.
    #[arg(long)]
    show: bool,
    /// Fail when a kind of fault never took effect or a point of interest was never reached; from 10,000 seeds on this is always so.
    #[arg(long)]
    require_coverage: bool,
    /// How many scenarios to run at the same time [default: one per core]. What is found does not depend on it.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

/// The profile of this name.
fn profile(name: &str) -> Result<Profile, String> {
    let all = || Profile::ALL.iter().map(|profile| format!("\n  {}: {}", profile.name(), profile.about()));
    Profile::by_name(name).ok_or_else(|| format!("wanted one of{}", all().collect::<String>()))
}

/// A length of time, as in scenarios.
fn lasting(text: &str) -> Result<Duration, String> {
    let span: Span = crate::scenario::span(text)?;
    if span == Span::ZERO { Err("is no time at all".to_owned()) } else { Ok(Duration::from_nanos(span.0)) }
}

/// What `idunno sim` is told.
#[derive(Clone, Debug, Args)]
struct Sim {
    /// Scenario files, or names of shipped scenarios.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// The seed of the first trial; trial i uses this seed plus i [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,
    /// How many trials [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    trials: Option<u32>,
    /// Where results go: into DIR/<scenario>/sim, in the place of all that is there.
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Set a key of the scenario, such as membership.heartbeat=20ms; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How many trials to run at the same time [default: one per core]. Results do not depend on it.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
    /// How to show the summary.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

/// A seed, within the same bounds as in a scenario.
fn seed(text: &str) -> Result<u64, String> {
    let wanted = || format!("wanted a whole number from 0 to {}", text::count(SEED_MAX));
    text.parse().ok().filter(|seed| *seed <= SEED_MAX).ok_or_else(wanted)
}

/// How a summary is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object per scenario and line.
    Json,
    /// The rows of summary.csv.
    Csv,
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 3 a safety invariant broke; \
4 a liveness bound broke; 130 interrupted, nothing changed.";

const SIM_EXAMPLES: &str = "\
Examples:
  idunno sim coord_fail
      A shipped scenario: the coordinator of ten nodes dies while two jobs run.
  idunno sim my/cluster.toml --trials 200 --set membership.suspect_after=400ms
      A scenario of your own, with one setting changed.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 3 a safety invariant broke;
4 a liveness bound broke; 130 interrupted, nothing changed.";

const FUZZ_EXAMPLES: &str = "\
Examples:
  idunno fuzz --seeds 10000
      Ten thousand scenarios with random clusters, work and faults.
  idunno fuzz --for 10m --profile partitions
      For ten minutes, with the network cut in every shape.

Exit codes: 0 nothing broke; 1 failed, or tested less than it should; 2 usage, nothing changed; 3 a safety invariant broke;
4 a liveness bound broke; 130 interrupted.";

const SCENARIO_EXAMPLES: &str = "\
Example, to begin a scenario of your own:
  idunno scenario show coord_fail > my.toml";

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Does what the command line says.
pub fn main() -> ExitCode {
    let line = Line::parse();
    let on_interrupt = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    };
    // Without a handler Ctrl-C still ends the process, if less tidily.
    let _ = ctrlc::set_handler(on_interrupt);
    let exit = match &line.command {
        Command::Fuzz(fuzz) => fuzz::run(fuzz, &STOP),
        Command::Sim(sim) => sim::run(sim, &STOP),
        Command::Scenario(scenario) => scenarios::run(scenario),
    };
    ExitCode::from(exit.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Line::command().debug_assert();
    }

    #[test]
    fn broken_safety_outweighs_broken_liveness_and_failure() {
        assert_eq!(Exit::Liveness.graver(Exit::Safety), Exit::Safety);
        assert_eq!(Exit::Safety.graver(Exit::Failed), Exit::Safety);
        assert_eq!(Exit::Fine.graver(Exit::Failed), Exit::Failed);
    }
}
