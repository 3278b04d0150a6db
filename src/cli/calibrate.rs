//! `idunno calibrate`: what real machines are like, in the words of a scenario.

mod fit;
mod history;
mod model;
mod times;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::client::{Misuse, Reach, ended};
use super::text::{columns, duration};
use super::{Exit, outlet, screen};
use crate::base::Span;
use crate::cluster::{Calibration, Measured};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno calibrate network
      Round trips, losses and pauses between the nodes of a cluster, and what their disks take.
  idunno calibrate model resnet18 --random-weights 1 --batch 1,8,32
      What a network takes on this machine.
  idunno calibrate history results/torch_coord_fail/real
      What models took in a drill, or in a cluster whose history was collected.

Each prints tables for a scenario, or writes them with --out into a file; \"idunno calibrate network --help\" and the like say more.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 130 interrupted.";

const NETWORK_EXAMPLES: &str = "\
Examples:
  idunno calibrate network
      Round trips, losses and pauses between the nodes, and what their disks take; then two tables for a scenario.
  idunno calibrate network --out network.toml --node 10.0.0.1:7400 --key cluster.key
      The tables into a file, which must not exist.

Each node takes about a second for each other one. Run it while the cluster has nothing else to do: work is measured with it.

Exit codes: 0 fine; 1 failed; 2 usage, a bad file, or nothing could be measured.";

/// What `idunno calibrate` is told.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Calibrate {
    /// Say what each model took in a run, real or not, as the tables of a scenario.
    #[command(after_help = history::EXAMPLES)]
    History(history::Past),
    /// Measure what a network costs on this machine, as the table of a scenario.
    #[command(after_help = model::EXAMPLES)]
    Model(Box<model::Measure>),
    /// Measure the network between the running nodes of a real cluster, and their disks.
    #[command(after_help = NETWORK_EXAMPLES)]
    Network(Network),
}

/// What `idunno calibrate network` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Network {
    /// Write the tables into this file, which must not exist, and not to the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// The name of a model, as it is typed.
pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let good = plain && text.len() <= 64 && text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let wanted = || "wanted at most 64 letters, digits, \"-\", \"_\" and \".\"".to_owned();
    if good { Ok(text.to_owned()) } else { Err(wanted()) }
}

/// Whether tables can be written there: now, and not once everything has been measured.
fn free(out: Option<&Path>) -> anyhow::Result<()> {
    let Some(out) = out else { return Ok(()) };
    if out.exists() {
        return Err(Misuse(format!("{} exists already, and is left as it is", out.display())).into());
    }
    Ok(outlet::is_in_a_folder(out).map_err(|error| Misuse(error.to_string()))?)
}

/// Does what `idunno calibrate` is told.
pub(super) fn run(calibrate: &Calibrate) -> Exit {
    match calibrate {
        Calibrate::History(past) => ended(history::measured(past)),
        Calibrate::Model(measure) => model::run(measure),
        Calibrate::Network(network) => ended(measured(network)),
    }
}

fn measured(network: &Network) -> anyhow::Result<Exit> {
    free(network.out.as_deref())?;
    let mut found: Vec<Measured> = Vec::new();
    for (name, measured) in network.reach.client()?.measure()? {
        match measured {
            Ok(measured) => found.push(measured),
            Err(why) => screen::complain(&format!("{name} cannot say: {why}")),
        }
    }
    let all = Calibration::of(&found);
    if all.trips.is_empty() && all.syncs.is_empty() {
        return Err(Misuse("no node could measure anything".to_owned()).into());
    }
    screen::complain(&figures(&all));
    let tables = all.to_toml();
    match &network.out {
        Some(out) => {
            std::fs::write(out, tables).with_context(|| format!("cannot write {}", out.display()))?;
            Ok(Exit::Fine)
        }
        None => Ok(screen::say(&tables)),
    }
}

/// The figures for people.
fn figures(all: &Calibration) -> String {
    let row = |what: &str, sorted: &[Span]| {
        let at = |share: usize| {
            let place = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
            sorted.get(place).map_or_else(|| "–".to_owned(), |span| duration(span.as_secs()))
        };
        vec![what.to_owned(), sorted.len().to_string(), at(0), at(50), at(90), at(100)]
    };
    let head = ["", "n", "least", "median", "p90", "most"].map(str::to_owned).to_vec();
    let rows =
        [head, row("round trip", &all.trips), row("woken late", &all.late), row("disk sync", &all.syncs)];
    let (sent, lost) = all.packets;
    let missing = if all.missing == 0 {
        String::new()
    } else {
        format!(" {} round trips did not come to their end and stand nowhere.", all.missing)
    };
    format!("{}\n{lost} of {sent} packets lost.{missing}\n", columns(&rows).trim_end())
}
