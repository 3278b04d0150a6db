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
mod findings;
mod fuzz;
mod key;
mod man;
mod models;
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

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::base::{QueryId, Span};
use crate::node::Request;
use crate::report::Width;
use crate::scenario::{SEED_MAX, span};

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
    /// A real cluster has no quorum at present.
    NoQuorum,
    /// Ctrl-C; of what was under way nothing was changed.
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
            Exit::NoQuorum => 5,
            Exit::Interrupted => 130,
        }
    }

    /// The graver of two: broken safety, broken liveness, no quorum, failure, none.
    #[must_use]
    pub fn graver(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::NoQuorum => 2,
            Exit::Liveness => 3,
            Exit::Safety => 4,
            Exit::Usage => 5,
            Exit::Interrupted => 6,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

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
    #[command(subcommand, after_help = calibrate::NETWORK_EXAMPLES)]
    Calibrate(calibrate::Calibrate),
    /// Check the history of a run once more.
    #[command(after_help = CHECK_EXAMPLE)]
    Check(Check),
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
    #[command(after_help = REPORT_EXAMPLES)]
    Report(Report),
    /// Be a node of a real cluster: found one, join one, or go on after a restart.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Run),
    /// Run scenarios in the simulator, check every trial, and write the results as CSV files and a chart.
    #[command(after_help = SIM_EXAMPLES)]
    Sim(Sim),
    /// List, show and check scenarios, and explain their keys.
    #[command(subcommand, after_help = SCENARIO_EXAMPLES)]
    Scenario(Scenario),
    /// Let a network learn a dataset, and write its weights.
    #[command(after_help = train::EXAMPLES)]
    Train(train::Train),
    /// Say which time-outs a cluster should have: how quickly crashes are noticed, against false alarms and messages.
    #[command(after_help = tune::EXAMPLES)]
    Tune(tune::Tune),
    #[command(flatten)]
    Client(ClientCommand),
}

/// What clients ask of a real cluster.
#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Show what every worker of a real cluster does.
    #[command(after_help = client::work::ASSIGNMENTS_EXAMPLES)]
    Assignments(client::Look),
    /// Divide what is left of a job into queries of another size.
    #[command(after_help = client::jobs::BATCH_EXAMPLES)]
    Batch(client::jobs::Batch),
    /// End a job for good.
    #[command(after_help = client::jobs::CANCEL_EXAMPLES)]
    Cancel(client::jobs::One),
    /// Delete a file of the store, with all its versions.
    #[command(after_help = client::files::DELETE_EXAMPLES)]
    Delete(client::files::Delete),
    /// Give a node of a real cluster no more queries.
    #[command(after_help = client::nodes::DRAIN_EXAMPLES)]
    Drain(client::nodes::Drain),
    /// Show what a node of a real cluster noticed of late.
    #[command(after_help = client::events::EXAMPLES)]
    Events(client::events::Events),
    /// Fetch a file of the store.
    #[command(after_help = client::get::EXAMPLES)]
    Get(client::get::Get),
    /// Let another voter of a real cluster lead.
    #[command(after_help = client::nodes::HANDOVER_EXAMPLES)]
    Handover(client::nodes::Handover),
    /// Show all about a file of the store, and who holds it.
    #[command(after_help = client::files::INFO_EXAMPLES)]
    Info(client::files::Info),
    /// Show all about one job, with what failed and why.
    #[command(after_help = client::jobs::JOB_EXAMPLES)]
    Job(client::jobs::One),
    /// Show how far every job of a real cluster is.
    #[command(after_help = client::jobs::JOBS_EXAMPLES)]
    Jobs(client::Look),
    /// Let a node leave a real cluster, and end.
    #[command(after_help = client::nodes::LEAVE_EXAMPLES)]
    Leave(client::nodes::Leave),
    /// List the files of the store.
    #[command(after_help = client::files::LS_EXAMPLES)]
    Ls(client::files::Ls),
    /// Show who belongs to a real cluster, who votes and who leads.
    #[command(after_help = client::nodes::MEMBERS_EXAMPLES)]
    Members(client::Look),
    /// Show or choose the policy of a real cluster.
    #[command(after_help = client::nodes::POLICY_EXAMPLES)]
    Policy(client::nodes::Policy),
    /// Give a real cluster a job for each of several models.
    #[command(after_help = client::submit::PREDICT_EXAMPLES)]
    Predict(client::submit::Predict),
    /// Put a file or a folder into the store of a real cluster.
    #[command(after_help = client::put::EXAMPLES)]
    Put(client::put::Put),
    /// Forget a job that has ended, with its predictions.
    #[command(after_help = client::jobs::REMOVE_EXAMPLES)]
    Remove(client::jobs::One),
    /// Print what a job has predicted so far.
    #[command(after_help = client::jobs::RESULT_EXAMPLES)]
    Result(client::jobs::One),
    /// Go on with a stopped job.
    #[command(after_help = client::jobs::RESUME_EXAMPLES)]
    Resume(client::jobs::One),
    /// Show how fast the jobs of a real cluster are.
    #[command(after_help = client::work::STATS_EXAMPLES)]
    Stats(client::Look),
    /// Show who leads a real cluster, who votes, and how far behind each is.
    #[command(after_help = client::nodes::STATUS_EXAMPLES)]
    Status(client::Look),
    /// Give out no more queries of a job until it is resumed.
    #[command(after_help = client::jobs::STOP_EXAMPLES)]
    Stop(client::jobs::One),
    /// Show what the nodes of a real cluster hold of the store.
    #[command(after_help = client::files::STORE_EXAMPLES)]
    Store(client::files::Store),
    /// Give a real cluster a job.
    #[command(after_help = client::submit::SUBMIT_EXAMPLES)]
    Submit(client::submit::Submit),
    /// Watch a real cluster live.
    #[command(after_help = client::top::EXAMPLES)]
    Top(client::top::Top),
    /// List the versions of a file of the store, or fetch the last ones into one file.
    #[command(after_help = client::versions::EXAMPLES)]
    Versions(client::versions::Versions),
}

impl ClientCommand {
    fn run(&self, stop: &AtomicBool) -> Exit {
        use client::{files, jobs, nodes, submit, work};
        match self {
            ClientCommand::Assignments(look) => work::show_assignments(look),
            ClientCommand::Batch(batch) => jobs::batch(batch),
            ClientCommand::Cancel(one) => jobs::change(one, Request::Cancel, "is over"),
            ClientCommand::Delete(delete) => files::delete(delete),
            ClientCommand::Drain(drain) => nodes::drain(drain),
            ClientCommand::Events(events) => client::events::events(events, stop),
            ClientCommand::Get(get) => client::get::get(get, stop),
            ClientCommand::Handover(handover) => nodes::handover(handover),
            ClientCommand::Info(info) => files::info(info),
            ClientCommand::Job(one) => jobs::one(one),
            ClientCommand::Jobs(look) => jobs::jobs(look),
            ClientCommand::Leave(leave) => nodes::leave(leave),
            ClientCommand::Ls(ls) => files::ls(ls),
            ClientCommand::Members(look) => nodes::members(look),
            ClientCommand::Policy(policy) => nodes::policy(policy),
            ClientCommand::Predict(predict) => submit::predict(predict, stop),
            ClientCommand::Put(put) => client::put::put(put, stop),
            ClientCommand::Remove(one) => jobs::change(one, Request::Forget, "is forgotten"),
            ClientCommand::Result(one) => jobs::result(one),
            ClientCommand::Resume(one) => jobs::change(one, Request::Resume, "goes on"),
            ClientCommand::Stats(look) => work::show_stats(look),
            ClientCommand::Status(look) => nodes::status(look),
            ClientCommand::Stop(one) => jobs::change(one, Request::Stop, "is stopped"),
            ClientCommand::Store(store) => files::store(store),
            ClientCommand::Submit(submit) => submit::submit(submit, stop),
            ClientCommand::Top(top) => client::top::top(top, stop),
            ClientCommand::Versions(versions) => client::versions::versions(versions, stop),
        }
    }
}

/// What `idunno scenario` is told.
#[derive(Clone, Debug, Subcommand)]
enum Scenario {
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

/// What `idunno sim` is told.
#[derive(Clone, Debug, Args)]
struct Sim {
    /// Scenario files, or names of shipped scenarios ("idunno scenario list" names them).
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// The seed of the first trial; trial i, from 0, runs with this seed plus i. In a rehearsal the same seed gives the same
    /// results, byte for byte [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,
    /// How many trials to run, each with a seed of its own; the more, the narrower the intervals [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    trials: Option<u32>,
    /// Where results go: into DIR/<scenario>/sim, those of a drill into real, in the place of earlier ones [default:
    /// results; with --trace: nowhere].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Set a key of the scenario for this run, such as membership.heartbeat=20ms; may be repeated. "idunno scenario keys"
    /// explains every key.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Run the scenario with each of these values of a key; may be repeated for every combination with those of other keys.
    ///
    /// All points run the same seeds, and are compared with the first one trial by trial. Results go into
    /// DIR/<scenario>/sweep.
    #[arg(long, value_name = "KEY=A,B,...")]
    sweep: Vec<String>,
    /// How many trials to run at the same time [default: one per core]. Results do not depend on it.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How wide the charts are on paper: 85mm is a column of a paper, 180mm a page; cm and in do as well.
    #[arg(long, value_name = "WIDTH", default_value = "180mm")]
    width: Width,
    /// Show only what went wrong; results are written all the same.
    #[arg(long, short)]
    quiet: bool,
    /// How to show the summary; the files of the results are the same.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
    /// End each trial at TIME, such as 12.5s, like the key until. What was promised for later is not judged.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Span>,
    /// Run one trial alone and write what happens in it, a line per event, to the standard output. No results are
    /// written unless --out says where.
    #[arg(long, conflicts_with_all = ["trials", "threads", "format", "sweep"], help_heading = TRACE)]
    trace: bool,
    /// Which trial [default: 0]. Trial N has the seed of trial 0 plus N.
    #[arg(long, value_name = "N", requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    trial: Option<u32>,
    /// Only lines of this node, and of what is done to it; may be repeated, as the following may.
    #[arg(long, value_name = "NAME", requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    node: Vec<String>,
    /// Only lines of this kind. Heartbeats, disks and idle timers are left out unless they are asked for here.
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',', requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    kind: Vec<trace::Kind>,
    /// Only lines about this job and its queries, and faults.
    #[arg(long, value_name = "NAME", requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    job: Vec<String>,
    /// Only lines about this query, as queries.csv names it (1.0.17), and faults.
    #[arg(long, value_name = "JOB.CUT.NUMBER", value_parser = trace::query, requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    query: Vec<QueryId>,
    /// Only lines from TIME on.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "trace", conflicts_with_all = ["trials", "sweep"], help_heading = TRACE)]
    from: Option<Span>,
    /// Plant this bug first, as in "idunno fuzz", to look at what it does. Release builds cannot.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "NAME", hide = true, value_parser = fuzz::mutant)]
    mutant: Option<crate::scenario::Mutant>,
}

/// The options about a single trial stand together in the help.
const TRACE: &str = "Following one trial";

impl Sim {
    /// Where results go.
    fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("results"))
    }
}

/// A time after the beginning of a trial, as the key until is written; a number without a unit is in seconds.
fn moment(text: &str) -> Result<Span, String> {
    let seconds = text.ends_with(|last: char| last.is_ascii_digit()).then(|| format!("{text}s"));
    span(seconds.as_deref().unwrap_or(text)).ok_or_else(|| {
        "wanted a time such as 12.5s or 800ms, counted from the beginning of the trial".to_owned()
    })
}

/// What `idunno check` is told.
#[derive(Clone, Debug, Args)]
struct Check {
    /// A folder of results, such as `results/coord_fail/sim`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

/// What `idunno report` is told.
#[derive(Clone, Debug, Args)]
struct Report {
    /// A folder of results, such as `results/coord_fail/sim`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Which trial the charts over time show, from 0.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    trial: u32,
    /// How wide the charts are on paper: 85mm is a column of a paper, 180mm a page; cm and in do as well.
    #[arg(long, value_name = "WIDTH", default_value = "180mm")]
    width: Width,
    /// Write into this folder instead, which is new, empty, or holds results.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

/// A seed, within the same bounds as in a scenario.
fn seed(text: &str) -> Result<u64, String> {
    let wanted = || format!("wanted a whole number from 0 to {}", text::count(SEED_MAX));
    text.parse().ok().filter(|seed| *seed <= SEED_MAX).ok_or_else(wanted)
}

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

const CHECK_EXAMPLE: &str = "\
Examples:
  idunno check results/coord_fail/sim
      Every invariant, over what history.jsonl says.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 3 a safety invariant broke;
4 a liveness bound broke.";

const REPORT_EXAMPLES: &str = "\
Examples:
  idunno report results/coord_fail/sim
      The same files once more, in the place of what is there.
  idunno report results/coord_fail/sim --trial 7 --out trial-7
      Charts of trial 7, beside those of trial 0.
  idunno report results/coord_fail/sim --width 85mm --out column
      Charts for a column of a paper.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 130 interrupted, nothing changed.";

const SIM_EXAMPLES: &str = "\
Examples:
  idunno sim coord_fail
      A shipped scenario: the coordinator of ten nodes dies while two jobs run.
  idunno sim my/cluster.toml --trials 200 --set membership.suspect_after=400ms
      A scenario of your own, with one setting changed.
  idunno sim coord_fail --sweep cluster.voters=3,5,7 --sweep network.loss=0%,1%,5%
      A scenario at every point of a grid, compared trial by trial.
  idunno sim coord_fail worker_fail --seed 100 --out results/other --format csv
      Two scenarios with other seeds, their metrics as CSV; the first column names the scenario.
  idunno sim coord_fail --trace --kind fault,election,survey
      Follow how trial 0 finds a new coordinator.

Exit codes: 0 fine; 1 failed, or none of the faults happened; 2 usage or a bad file, nothing changed;
3 a safety invariant broke; 4 a liveness bound broke, or a trial was given up with work left;
130 interrupted: the scenario under way changed nothing, those that had finished before it are
written.";

const SCENARIO_EXAMPLES: &str = "\
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
