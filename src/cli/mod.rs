//! The commands: what people type, what they are shown, and how a command ends.

mod allocate;
mod calibrate;
mod check;
mod client;
mod collect;
mod compare;
mod completions;
mod dataset;
#[cfg(target_os = "linux")]
mod drill;
mod exit;
mod findings;
mod fuzz;
mod key;
mod man;
mod models;
mod outlet;
mod rehearsal;
mod replay;
mod report;
mod run;
mod scenarios;
mod screen;
mod sim;
mod sweep;
mod text;
mod trace;
mod train;
mod trials;
mod tune;
mod values;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

pub use exit::Exit;

#[derive(Debug, Parser)]
#[command(
    name = "idunno",
    version,
    about = "Rehearse a fault-tolerant inference cluster before you trust it.",
    after_help = FIRST_STEPS,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say how policies would divide workers among jobs that a file describes.
    #[command(after_help = allocate::EXAMPLES)]
    Allocate(allocate::Allocate),
    /// Measure what real machines are like, in the words of a scenario.
    #[command(subcommand, after_help = calibrate::EXAMPLES)]
    Calibrate(calibrate::Calibrate),
    /// Check the history of a run once more.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Check),
    /// Put together what the nodes of a running cluster observed, check it, and write it down like a drill.
    #[command(after_help = collect::EXAMPLES)]
    Collect(collect::Collect),
    /// Put two results side by side: how far B is from A in each metric, and whether that is more than their spread.
    #[command(after_help = compare::EXAMPLES)]
    Compare(compare::Compare),
    /// Print the script with which a shell completes commands, flags, scenarios and keys when Tab is pressed.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Completions),
    /// Make a dataset to train and to try models with.
    #[command(subcommand, after_help = dataset::EXAMPLES)]
    Dataset(dataset::Make),
    /// Carry out scenarios on real nodes of this machine, which are really broken.
    #[cfg(target_os = "linux")]
    #[command(after_help = drill::EXAMPLES)]
    Drill(drill::Drill),
    /// Be the inference engine of a node.
    #[command(hide = true, after_help = run::ENGINE_EXAMPLES)]
    Engine,
    /// Draw scenarios from seeds, faults and all, and look for one that breaks something.
    #[command(after_help = fuzz::examples())]
    Fuzz(fuzz::Fuzz),
    /// Make the secret of a real cluster.
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::Keys),
    /// Print the manual page, or write one for each command.
    #[command(after_help = man::EXAMPLES)]
    Man(man::Manual),
    /// Copy networks in, so that nodes, jobs and scenarios can name them; list them, look into them.
    #[command(subcommand, after_help = models::EXAMPLES)]
    Models(models::Models),
    /// Step a fresh machine through the recording of a real node, and say whether the same comes of it.
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::Replaying),
    /// Write the CSV files and charts of a run once more, from its history.
    #[command(after_help = report::EXAMPLES)]
    Report(report::Report),
    /// Be a node of a real cluster: found one, join one, or go on after a restart.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Run),
    /// Run scenarios in the simulator, check every trial, and write the results as CSV files and a chart.
    #[command(after_help = sim::EXAMPLES)]
    Sim(sim::Sim),
    /// List, show and check scenarios, and explain their keys.
    #[command(subcommand, after_help = scenarios::EXAMPLES)]
    Scenario(scenarios::Scenario),
    /// Let a network learn a dataset, and write its weights.
    #[command(after_help = train::EXAMPLES)]
    Train(train::Train),
    /// Say which time-outs a cluster should have: how quickly crashes are noticed, against false alarms and messages.
    #[command(after_help = tune::EXAMPLES)]
    Tune(tune::Tune),
    #[command(flatten)]
    Client(client::Commands),
}

const FIRST_STEPS: &str = "\
Examples:
  idunno sim coord_fail
      Rehearse the death of a coordinator; the results are in results/coord_fail/sim.
  idunno scenario list
      What else is there to rehearse.
  idunno sim --help
      Every flag of a command, with examples.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 3 a safety invariant broke;
4 a liveness bound broke; 5 no quorum; 130 interrupted, nothing changed of what was under way.";

/// How something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// One JSON object per line, for programs.
    Json,
    /// Comma-separated values with a line of column names, for spreadsheets.
    Csv,
}

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Does what the command line says.
pub fn main() -> ExitCode {
    let line = Line::parse();
    let own = std::thread::current();
    let on_interrupt = move || {
        if STOP.swap(true, Ordering::Relaxed) {
            // At once: what libraries do when a process ends does not bear threads that still run.
            #[cfg(unix)]
            signal_hook::low_level::exit(i32::from(Exit::Interrupted.code()));
            #[cfg(not(unix))]
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
        // A node hands over at once, and not when it looks next.
        own.unpark();
    };
    // Without a handler Ctrl-C still ends the process, if less tidily.
    let _ = ctrlc::set_handler(on_interrupt);
    let exit = match &line.command {
        Command::Allocate(allocate) => allocate::run(allocate),
        Command::Calibrate(calibrate) => calibrate::run(calibrate),
        Command::Collect(collect) => collect::run(collect, &STOP),
        Command::Dataset(make) => dataset::run(make),
        #[cfg(target_os = "linux")]
        Command::Drill(drill) => drill::run(drill, &STOP),
        Command::Engine => run::engine(),
        Command::Fuzz(fuzz) => fuzz::run(fuzz, &STOP),
        Command::Key(keys) => key::run(keys),
        Command::Models(models) => models::run(models),
        Command::Replay(replaying) => replay::run(replaying, &STOP),
        Command::Run(run) => run::run(run, &STOP),
        Command::Sim(sim) if !sim.sweep.is_empty() => sweep::run(sim, &STOP),
        Command::Check(check) => check::run(check, &STOP),
        Command::Report(report) => report::run(report, &STOP),
        Command::Compare(compare) => compare::run(compare),
        Command::Completions(completions) => completions::run(completions, Line::command()),
        Command::Man(manual) => man::run(manual, Line::command()),
        Command::Sim(sim) if sim.trace => trace::run(sim, &STOP),
        Command::Sim(sim) => sim::run(sim, &STOP),
        Command::Scenario(scenario) => scenarios::run(scenario),
        Command::Train(train) => train::run(train, &STOP),
        Command::Tune(tune) => tune::run(tune, &STOP),
        Command::Client(client) => client.run(&STOP),
    };
    ExitCode::from(exit.code())
}

#[cfg(test)]
mod tests {
    use clap::Command as Clap;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    /// Every command without commands of its own, after the names that lead to it.
    fn leaves(command: &Clap, path: &[String]) -> Vec<(Vec<String>, Clap)> {
        let path = [path, &[command.get_name().to_owned()]].concat();
        if command.has_subcommands() {
            return command.get_subcommands().flat_map(|inner| leaves(inner, &path)).collect();
        }
        vec![(path, command.clone())]
    }

    /// The commands among the lines of a help text, up to a pipe or a redirection.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let lines = help
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| line.starts_with("idunno "));
        let words = |line: &str| {
            let words = line.split_whitespace().take_while(|word| !["|", ">", "<", "&&"].contains(word));
            words.map(|word| word.trim_matches('\'').to_owned()).collect()
        };
        lines.map(words).collect()
    }

    #[test]
    fn the_help_of_every_command_has_examples_that_work() {
        let mut seen = 0;
        for (path, command) in leaves(&Line::command(), &[]) {
            let name = path.join(" ");
            let help = command.clone().render_long_help().to_string();
            let after =
                help.split_once("Example").unwrap_or_else(|| panic!("{name} has no example:\n{help}")).1;
            let examples = examples(after);
            assert!(
                examples.iter().any(|words| words.starts_with(&path)),
                "{name} has no example of its own"
            );
            for words in examples {
                if let Err(error) = Line::try_parse_from(&words) {
                    panic!("the example of {name} does not work: {}\n{error}", words.join(" "));
                }
                seen += 1;
            }
        }
        assert!(seen >= 10, "{seen}");
    }

    #[test]
    fn every_command_flag_and_value_says_what_it_is_for() {
        fn look(command: &Clap) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} does not say what it is for");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} of {name} is not explained", argument.get_id());
                for value in
                    argument.get_possible_values().iter().filter(|_| argument.get_action().takes_values())
                {
                    let known = value.get_help().is_some() || ["true", "false"].contains(&value.get_name());
                    assert!(
                        known,
                        "{} of {} of {name} is not explained",
                        value.get_name(),
                        argument.get_id()
                    );
                }
            }
            command.get_subcommands().for_each(look);
        }
        look(&Line::command());
    }

    #[test]
    fn broken_safety_outweighs_broken_liveness_and_failure() {
        assert_eq!(Exit::Liveness.graver(Exit::Safety), Exit::Safety);
        assert_eq!(Exit::Safety.graver(Exit::Failed), Exit::Safety);
        assert_eq!(Exit::Fine.graver(Exit::Failed), Exit::Failed);
    }
}
