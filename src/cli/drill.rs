//! `idunno drill`: scenarios on real nodes of this computer, trial by trial, checked and written down like those of `idunno sim`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::findings::Findings;
use super::sim::Runs;
use super::text::list;
use super::{Exit, scenarios, screen, sim};
use crate::check::Checker;
use crate::cluster::drill::{self, DrillError};
use crate::report::{Finished, Gather, ReportError, Results, TrialEnd};
use crate::scenario::{Plan, to_toml};

/// What `idunno drill` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Drill {
    #[command(flatten)]
    runs: Runs,
    /// Give each node a network of its own, connected by a bridge that nothing else can reach, so that links can be cut and messages
    /// lost. Needs root and the programs ip and nft.
    #[arg(long)]
    netns: bool,
    /// Leave out faults that cannot be injected into real nodes, instead of refusing the scenario; they count as missed.
    #[arg(long)]
    skip_unsupported: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno drill coord_fail --trials 5
      Ten real nodes on this machine, whose coordinator is killed; the results are in results/coord_fail/real.
  idunno drill partition_minority --netns --trials 3
      A real partition, as root.
  idunno sim results/coord_fail/real/scenario.toml
  idunno compare results/coord_fail/sim results/coord_fail/real
      How far the rehearsal and the real thing are apart.

Nodes listen on 127.0.0.1 and the following addresses. Networks and disks are those of this machine: what the scenario says of the
times that they take is for the simulator. Before the first trial the nodes measure them, while they have nothing else to do, and
scenario.toml in the results says what they found, so that it can be rehearsed. Trials run one after the other; --threads, --sweep and
--trace are for idunno sim alone.

Exit codes: 0 fine; 1 failed, or no input was answered; 2 usage or a bad file, or a fault that cannot be injected, nothing changed;
3 a safety invariant broke; 4 a liveness bound broke; 130 interrupted. Whatever happens, every process that was started
has ended.";

/// Why a scenario was not run to its end.
enum Halt {
    Interrupted,
    Drill(DrillError),
    Report(ReportError),
}

/// Runs all scenarios that were named; see [`Drill`].
pub(super) fn run(told: &Drill, stop: &AtomicBool) -> Exit {
    let began = Instant::now();
    let (program, prepared) = match prepare(told) {
        Ok(prepared) => prepared,
        Err(error) => {
            screen::error(&error);
            return Exit::Usage;
        }
    };
    let runs = &told.runs;
    let mut exit = Exit::Fine;
    let mut written = Vec::new();
    for ((plan, results), argument) in prepared.into_iter().zip(&runs.scenarios) {
        match scenario(told, &program, &plan, results, stop) {
            Ok((finished, findings)) => {
                let shown = screen::show(runs, argument, &plan, &finished, &findings, written.is_empty());
                if !runs.quiet
                    && let Some(what) = not_in_force(&plan, told.netns)
                {
                    screen::complain(&what);
                }
                for drill::Unable { fault, kind, why } in drill::unable(&plan, told.netns) {
                    screen::complain(&format!(
                        "{}: fault {} ({kind}) was left out: {why}.",
                        plan.name,
                        fault + 1
                    ));
                }
                written.push(finished.folder);
                exit = exit.graver(findings.exit()).graver(shown);
            }
            Err(Halt::Interrupted) => {
                screen::interrupted(&plan, runs.out(), "real", &written);
                return Exit::Interrupted;
            }
            Err(halt) => {
                let error = match halt {
                    Halt::Drill(error) => anyhow::Error::new(error),
                    Halt::Report(error) => anyhow::Error::new(error),
                    Halt::Interrupted => unreachable!("handled above"),
                };
                screen::error(&error.context(format!("{} was not finished", plan.name)));
                return exit.graver(Exit::Failed);
            }
        }
    }
    if !runs.quiet {
        screen::took(began.elapsed());
    }
    exit
}

/// Says so when the scenario describes a network or disks: real nodes have those of this machine.
fn not_in_force(plan: &Plan, netns: bool) -> Option<String> {
    let usual =
        Plan::with_overrides("", "usual.toml", &["name=usual", "until=1s"]).expect("defaults are sound");
    let mut network = plan.network.clone();
    if netns {
        // The one thing that networks of the nodes' own can be given.
        network.loss = usual.network.loss;
    }
    let tables = [(network != usual.network, "[network]"), (plan.disk != usual.disk, "[disk]")];
    let said: Vec<String> =
        tables.iter().filter(|(differs, _)| *differs).map(|(_, table)| (*table).to_owned()).collect();
    (!said.is_empty()).then(|| {
        let (name, said) = (&plan.name, list(&said));
        format!("{name}: what it says in {said} was not in force; the nodes used those of this machine.")
    })
}

/// Everything that can go wrong before anything runs.
fn prepare(told: &Drill) -> Result<(PathBuf, Vec<(Plan, Results)>)> {
    let runs = &told.runs;
    let plans = scenarios::plans(runs, false)?;
    for plan in &plans {
        super::run::models(&plan.models).with_context(|| plan.name.clone())?;
    }
    if let Some(plan) = plans.iter().find(|plan| plan.nodes.len() > drill::NODES_MAX) {
        bail!(
            "{}: a drill has a process for each node, and at most {} of them, not {}; idunno sim rehearses more",
            plan.name,
            drill::NODES_MAX,
            plan.nodes.len()
        );
    }
    let mut refused = Vec::new();
    for plan in plans.iter().filter(|_| !told.skip_unsupported) {
        for unable in drill::unable(plan, told.netns) {
            refused.push(format!(
                "\n  {}: fault {} ({}) {}",
                plan.name,
                unable.fault + 1,
                unable.kind,
                unable.why
            ));
        }
    }
    if !refused.is_empty() {
        bail!(
            "not all faults can be injected into real nodes; --skip-unsupported leaves them out:{}",
            refused.concat()
        );
    }
    if let Some(why) = told.netns.then(drill::networks_lack).flatten() {
        bail!("--netns needs root and the programs ip and nft: {why}");
    }
    let program = std::env::current_exe().context("where this program is")?;
    let results = |plan: Plan| {
        let results = Results::create(runs.out(), &plan, "real", &to_toml(&plan))?;
        Ok((plan, results.with_width(runs.width)))
    };
    let scenarios = plans.into_iter().map(results).collect::<Result<Vec<_>, ReportError>>();
    Ok((program, scenarios.context("there is no place for the results")?))
}

fn scenario(
    told: &Drill,
    program: &std::path::Path,
    plan: &Plan,
    mut results: Results,
    stop: &AtomicBool,
) -> Result<(Finished, Findings), Halt> {
    let bar = sim::progress(told.runs.quiet, plan);
    let mut findings = Findings::new();
    findings.real = true;
    for number in 0..plan.trials {
        let seed = plan.seed.wrapping_add(u64::from(number));
        let gather = Gather::new(plan, number, seed);
        let gather = if number == 0 { gather.with_figures() } else { gather };
        let mut sinks = (Checker::new(plan, seed), gather);
        let drill = drill::Drill {
            plan,
            seed,
            program: program.to_owned(),
            netns: told.netns,
            measures: number == 0,
        };
        let drilled = drill::run(&drill, &mut sinks, &|| stop.load(Ordering::Relaxed)).map_err(|error| {
            bar.finish_and_clear();
            // Ctrl-C in a terminal reaches the nodes as well, whose ends are then not what went wrong.
            if stop.load(Ordering::Relaxed) { Halt::Interrupted } else { Halt::Drill(error) }
        })?;
        if drilled.stopped {
            bar.finish_and_clear();
            return Err(Halt::Interrupted);
        }
        if let Some(measured) = &drilled.measured {
            let mut plan = plan.clone();
            measured.put_into(&mut plan);
            results.resolve("real", &to_toml(&plan)).map_err(Halt::Report)?;
        }
        let (checker, gather) = sinks;
        let verdict = checker.finish(drilled.ended_at);
        let trial = gather.finish(TrialEnd {
            // What is real never happens twice.
            trace: 0,
            ended_at: drilled.ended_at,
            messages: None,
            queries_lost: verdict.queries_lost,
            queries_doubled: verdict.queries_doubled,
            unfinished: drilled.unfinished.clone(),
        });
        findings.add(&trial, verdict, 0, drilled.unfinished);
        findings.heard(seed, drilled.failures);
        results.add(trial).map_err(Halt::Report)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((results.finish().map_err(Halt::Report)?, findings))
}
