//! `idunno calibrate model`: what a network costs on this machine, measured through the same child process that nodes use.

mod chart;
mod engines;

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::engines::Work;
use super::fit;
use super::times::{figures, remarks};
use crate::base::{Architecture, Device, InputShape, Network, Weights};
use crate::cli::text::some;
use crate::cli::values::seed;
use crate::cli::{Exit, STOP, screen};
use crate::dataset::Dataset;
use crate::dataset::letters::{Layout, Letters};
use crate::engine;
use crate::scenario::{ModelPlan, model_to_toml};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno calibrate model resnet18 --random-weights 1 --batch 1,8,32
      Random weights are as fast as any: load time and time per query, then the table [model.resnet18].
  idunno calibrate model photos --network resnet50 --weights w.safetensors --dataset photos.zip
      With your weights and inputs; --out FILE writes the table, --device cuda:0 measures a GPU.
  idunno calibrate model resnet18 --random-weights 1 --batch 1,2,4,8,16 --engines 2 --repeats 100 --charts charts
      Two nodes share this machine: what their engines take when both run. charts/resnet18.svg has the time against the batch.

Run it while the machine has nothing else to do, with as many engines as will run there at the same time, and with the threads that they
will have: engines that share cores, caches and memory take longer. Each load is that of a fresh process, and the next query's inputs are
decoded while one runs, as on a node. This needs an idunno that was built with libtorch.

Exit codes: 0 fine; 1 the network cannot be run; 2 usage or a bad file; 130 interrupted, nothing was written.";

/// Pictures to measure with, when there are no others.
const PICTURES: u32 = 64;
/// How wide they are: about the usual photo of a phone, shrunk for the web.
const SIDE: u32 = 320;

/// What `idunno calibrate model` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Measure {
    /// What the model is called in the table; a known network's name says which network as well.
    #[arg(value_name = "NAME", value_parser = super::name)]
    name: String,
    /// Which network: alexnet, resnet18, resnet34, resnet50, mlp, lenet, or script for what a file says [default: the name].
    #[arg(long, value_name = "NETWORK")]
    network: Option<Architecture>,
    /// The file of the weights; without it, --random-weights.
    #[arg(long, value_name = "FILE", conflicts_with = "random_weights")]
    weights: Option<String>,
    /// Draw the weights from this seed instead of reading them: they are as fast as any.
    #[arg(long, value_name = "SEED", value_parser = seed)]
    random_weights: Option<u64>,
    /// Classes that random weights tell apart [default: 1000].
    #[arg(long, value_name = "N", conflicts_with = "weights", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    classes: Option<u32>,
    /// What the network takes [default: image:32x32 for mlp and lenet, else image:224].
    #[arg(long, value_name = "SHAPE")]
    input: Option<InputShape>,
    /// Queries of so many inputs are measured.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,8", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: Vec<u32>,
    /// How often each, on each engine, from 5 to 100,000.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..=100_000))]
    repeats: u32,
    /// What it runs on: cpu, cuda:0, or auto.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// Threads of one inference; as many decode its inputs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Engines that run at the same time, each a process of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    engines: u32,
    /// Measure with these inputs: a folder or a zip [default: 64 letters of 320 by 320 pixels].
    #[arg(long, value_name = "PATH")]
    dataset: Option<PathBuf>,
    /// Write the table into this file, which must not exist, and not to the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write the chart of the time against the batch, as NAME.svg and NAME.png, and every time that was measured, as NAME.csv, into
    /// this folder.
    #[arg(long, value_name = "DIR")]
    charts: Option<PathBuf>,
}

/// Does what `idunno calibrate model` is told.
pub(super) fn run(measure: &Measure) -> Exit {
    let prepared = match prepare(measure) {
        Ok(prepared) => prepared,
        Err(error) => {
            screen::error(&error);
            return Exit::Usage;
        }
    };
    match measured(measure, prepared) {
        Ok(exit) => exit,
        Err(error) => {
            screen::error(&error);
            if STOP.load(Ordering::Relaxed) { Exit::Interrupted } else { Exit::Failed }
        }
    }
}

/// What is measured, and with what.
struct Prepared {
    network: Network,
    dataset: String,
    inputs: u64,
    /// Keeps the pictures that were drawn for it.
    _drawn: Option<tempfile::TempDir>,
}

fn prepare(measure: &Measure) -> Result<Prepared> {
    if !engine::HAS_TORCH {
        bail!("networks are measured on libtorch, and {}", engine::NO_TORCH);
    }
    super::free(measure.out.as_deref())?;
    if let Some(folder) = &measure.charts {
        // Now, and not once everything has been measured.
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let architecture = match measure.network {
        Some(architecture) => architecture,
        None => measure.name.parse().map_err(|wanted| {
            anyhow::anyhow!(
                "{} is the name of no network; say with --network which one it is: {wanted}",
                measure.name
            )
        })?,
    };
    let weights = match (&measure.weights, measure.random_weights) {
        (Some(file), _) => {
            std::fs::File::open(file).with_context(|| format!("--weights {file}"))?;
            Weights::File(file.as_str().into())
        }
        (None, Some(seed)) => Weights::Random(seed),
        (None, None) => bail!(
            "a network has weights: say with --weights FILE which, or with --random-weights SEED that any will do, for they are as fast"
        ),
    };
    let network = Network {
        architecture,
        weights,
        classes: measure.classes.unwrap_or(1000),
        input: measure.input.clone().unwrap_or_else(|| architecture.usual_input()),
        device: measure.device,
        threads: measure.threads,
    };
    let (path, drawn) = match &measure.dataset {
        Some(path) => (std::path::absolute(path)?, None),
        None if matches!(network.input, InputShape::Array(_)) => {
            bail!("{} takes arrays; say with --dataset where there are some", measure.name)
        }
        None => {
            let at = tempfile::tempdir().context("no place for pictures")?;
            let letters = Letters { count: PICTURES, seed: 1, side: SIDE };
            letters.write(&at.path().join("letters"), Layout::Flat, |_| true)?;
            (at.path().join("letters"), Some(at))
        }
    };
    let inputs = Dataset::open(&path)?.names().len() as u64;
    let dataset = format!("node:{}", path.to_str().context("the path of the dataset is no text")?);
    Ok(Prepared { network, dataset, inputs, _drawn: drawn })
}

fn measured(measure: &Measure, prepared: Prepared) -> Result<Exit> {
    let mut sizes = measure.batch.clone();
    sizes.sort_unstable();
    sizes.dedup();
    // Queries go through the inputs; one that is larger than the dataset cannot be asked.
    if let Some(size) = sizes.iter().find(|size| u64::from(**size) > prepared.inputs) {
        bail!(
            "--batch {size}: the dataset has only {} inputs; say with --dataset where there are more",
            prepared.inputs
        );
    }
    let Prepared { network, dataset, inputs, _drawn } = prepared;
    let what = Work { name: &measure.name, network: &network, dataset: &dataset, inputs };
    let times = engines::measure(&what, measure.engines, &sizes, measure.repeats)?;
    let fitted = fit::fit(&times.queries);
    screen::complain(&figures(&times, &fitted));
    let profile = fitted.profile(fit::load(&times.loads).context("nothing was loaded")?);
    let plan = ModelPlan { engine: "torch".into(), profile, network: Some(network.clone()) };
    let Measure { engines, threads, .. } = measure;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let origin = format!(
        "by idunno calibrate model: {} at once, threads {threads}, on a machine with {cores} cores",
        some(u64::from(*engines), "engine", "engines"),
    );
    let table = remarks(&origin, &times) + &model_to_toml(&measure.name, &plan);
    // The table first: it is what all this was measured for.
    let exit = match &measure.out {
        Some(out) => {
            std::fs::write(out, table).with_context(|| format!("cannot write {}", out.display()))?;
            Exit::Fine
        }
        None => screen::say(&table),
    };
    if let Some(folder) = &measure.charts {
        let figure = chart::figure(measure, &network, &times, &fitted);
        chart::write(folder, &measure.name, &figure, &times)?;
    }
    Ok(exit)
}
