//! `idunno calibrate model`: what a network costs on this machine, measured through the same child process that nodes use.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::base::{Architecture, AttemptId, Device, Draw, Epoch, InputShape, Network, Span, Weights};
use crate::cli::text::{columns, duration};
use crate::cli::{Exit, screen, seed};
use crate::dataset::Dataset;
use crate::dataset::letters::{Layout, Letters};
use crate::engine::{self, Event, Model, Order, Said, Setup, Supervisor};
use crate::scenario::{ModelPlan, model_to_toml};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno calibrate model resnet18 --random-weights 1 --batch 1,8,32
      Random weights are as fast as any: load time and time per query, then the table [model.resnet18].
  idunno calibrate model photos --network resnet50 --weights w.safetensors --dataset photos.zip
      With your weights and inputs; --out FILE writes the table, --device cuda:0 measures a GPU.

Run it while the machine has nothing else to do, and with the threads that the node will have. This needs an idunno that was built
with libtorch.

Exit codes: 0 fine; 1 the network cannot be run; 2 usage or a bad file.";

/// How long a load or a query may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is loaded.
const LOADS: u32 = 3;
/// Queries of each size before those that count.
const WARM_UP: u32 = 3;
/// Pictures to measure with, when there are no others.
const PICTURES: u32 = 64;
/// How wide they are: about the usual photo of a phone, shrunk for the web.
const SIDE: u32 = 320;

/// What `idunno calibrate model` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Measure {
    /// What the model is called in the table; a known network's name says which network as well.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Which network: alexnet, resnet18, resnet34, resnet50, mlp, lenet, or script for what a file says [default: the name].
    #[arg(long, value_name = "NETWORK")]
    network: Option<Architecture>,
    /// The file of the weights.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "random_weights",
        conflicts_with = "random_weights"
    )]
    weights: Option<String>,
    /// Draw the weights from this seed instead.
    #[arg(long, value_name = "SEED", value_parser = seed)]
    random_weights: Option<u64>,
    /// Classes that random weights tell apart.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    classes: u32,
    /// What the network takes [default: image:32x32 for mlp and lenet, else image:224].
    #[arg(long, value_name = "SHAPE")]
    input: Option<InputShape>,
    /// Queries of so many inputs are measured.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,8", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: Vec<u32>,
    /// How often each.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..=100_000))]
    repeats: u32,
    /// What it runs on: cpu, cuda:0, or auto.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// Threads of one inference; as many decode its inputs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Measure with these inputs: a folder or a zip [default: 64 letters of 320 by 320 pixels].
    #[arg(long, value_name = "PATH")]
    dataset: Option<PathBuf>,
    /// Write the table into this file, which must not exist, and not to the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let good = plain && text.len() <= 64 && text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let wanted = || "wanted at most 64 letters, digits, \"-\", \"_\" and \".\"".to_owned();
    if good { Ok(text.to_owned()) } else { Err(wanted()) }
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
            Exit::Failed
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
    if let Some(out) = measure.out.as_ref().filter(|out| out.exists()) {
        bail!("{} exists already, and is left as it is", out.display());
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
        (Some(file), _) => Weights::File(file.as_str().into()),
        (None, seed) => Weights::Random(seed.unwrap_or_default()),
    };
    let network = Network {
        architecture,
        weights,
        classes: measure.classes,
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
            letters.write(&at.path().join("letters"), Layout::Flat, |_| {})?;
            (at.path().join("letters"), Some(at))
        }
    };
    let inputs = Dataset::open(&path)?.names().len() as u64;
    let dataset = format!("node:{}", path.to_str().context("the path of the dataset is no text")?);
    Ok(Prepared { network, dataset, inputs, _drawn: drawn })
}

fn measured(measure: &Measure, prepared: Prepared) -> Result<Exit> {
    let mut child = Child::start(measure, &prepared.network)?;
    let mut loads: Vec<f64> = (0..LOADS).map(|_| child.load()).collect::<Result<_>>()?;
    loads.sort_by(f64::total_cmp);
    let mut sizes = measure.batch.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let mut all = Vec::new();
    for size in sizes {
        // Queries go through the inputs; one that is larger than the dataset cannot be asked.
        let Some(most) = prepared.inputs.checked_sub(u64::from(size)) else {
            bail!(
                "--batch {size}: the dataset has only {} inputs; say with --dataset where there are more",
                prepared.inputs
            );
        };
        let mut times = Vec::new();
        for number in 0..WARM_UP + measure.repeats {
            let from = u64::from(number) * u64::from(size) % (most + 1);
            let took = child.infer(&prepared.dataset, from, size)?;
            if number >= WARM_UP {
                times.push(took);
            }
        }
        times.sort_by(f64::total_cmp);
        all.push((size, times));
    }
    let fitted = fit(&all);
    screen::complain(&figures(&loads, &all, &fitted));
    let profile = crate::base::CostProfile {
        load: Draw::Fixed(rounded(loads[loads.len() / 2])),
        setup: Draw::Fixed(rounded(fitted.setup)),
        per_input: spread(fitted.per_input, fitted.sigma),
    };
    let plan = ModelPlan { engine: "torch".into(), profile, network: Some(prepared.network) };
    let table = model_to_toml(&measure.name, &plan);
    match &measure.out {
        Some(out) => {
            std::fs::write(out, table).with_context(|| format!("cannot write {}", out.display()))?;
            Ok(Exit::Fine)
        }
        None => Ok(screen::say(&table)),
    }
}

/// What such figures are worth: microseconds.
fn rounded(seconds: f64) -> Span {
    Span::micros((seconds * 1e6).round() as u64)
}

fn spread(median: f64, sigma: f64) -> Draw {
    let sigma = (sigma * 1000.0).round() / 1000.0;
    let median = rounded(median);
    if sigma > 0.0 { Draw::LogNormal(median, sigma) } else { Draw::Fixed(median) }
}

/// A time per query as scenarios know it: `setup + per_input · inputs`, the second part log-normal.
#[derive(Debug, PartialEq)]
struct Fitted {
    setup: f64,
    per_input: f64,
    sigma: f64,
}

/// Least squares through the medians, by their size, so that small queries count as much as large ones; then the spread of what is left
/// of each query without its fixed part. All times are in seconds, sorted.
fn fit(all: &[(u32, Vec<f64>)]) -> Fitted {
    let points: Vec<(f64, f64)> =
        all.iter().map(|(size, times)| (f64::from(*size), times[times.len() / 2])).collect();
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(size, time)| of(size, time)).sum::<f64>();
    // Errors relative to the time: each point weighs 1/time².
    let (w, x, y) = (sum(&|_, t| 1.0 / (t * t)), sum(&|s, t| s / (t * t)), sum(&|_, t| 1.0 / t));
    let (xx, xy) = (sum(&|s, t| s * s / (t * t)), sum(&|s, t| s / t));
    let below = w * xx - x * x;
    let slope = if points.len() > 1 && below > 0.0 { (w * xy - x * y) / below } else { 0.0 };
    let setup = if slope > 0.0 { ((y - slope * x) / w).max(0.0) } else { 0.0 };
    // Without a fixed part the line goes through zero.
    let per_input = if setup > 0.0 { slope } else { xy / xx };
    let logs: Vec<f64> = (all.iter())
        .flat_map(|(size, times)| times.iter().map(move |time| (f64::from(*size), *time)))
        .filter(|(_, time)| *time > setup)
        .map(|(size, time)| libm::log((time - setup) / (size * per_input)))
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
    let variance = logs.iter().map(|log| (log - mean) * (log - mean)).sum::<f64>() / logs.len().max(1) as f64;
    Fitted { setup, per_input, sigma: libm::sqrt(variance) }
}

/// The figures for people.
fn figures(loads: &[f64], all: &[(u32, Vec<f64>)], fitted: &Fitted) -> String {
    let head = ["", "n", "least", "median", "p90", "most", "inputs/s", "fitted"].map(str::to_owned).to_vec();
    let row = |what: String, sorted: &[f64], inputs: Option<u32>| {
        let at = |share: usize| duration(sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]);
        let rate = inputs.map(|inputs| format!("{:.1}", f64::from(inputs) / sorted[sorted.len() / 2]));
        let line = inputs.map(|inputs| duration(fitted.setup + fitted.per_input * f64::from(inputs)));
        let count = sorted.len().to_string();
        vec![what, count, at(0), at(50), at(90), at(100), rate.unwrap_or_default(), line.unwrap_or_default()]
    };
    let mut rows = vec![head, row("load".to_owned(), loads, None)];
    rows.extend(all.iter().map(|(size, times)| row(format!("batch {size}"), times, Some(*size))));
    format!("{}\n", columns(&rows).trim_end())
}

/// An engine as a node has one.
struct Child {
    engine: Supervisor,
    heard: Receiver<Event>,
    model: Arc<str>,
    serial: u64,
}

impl Child {
    fn start(measure: &Measure, network: &Network) -> Result<Child> {
        let program = std::env::current_exe().context("where this program is")?;
        let model: Arc<str> = measure.name.as_str().into();
        let models = [(Arc::clone(&model), Model::Torch(network.clone()))].into();
        let (sender, heard) = mpsc::channel();
        let tell = move |event| {
            // Whoever measures may have given up.
            let _ = sender.send(event);
        };
        let engine = Supervisor::start(program, Setup { models, speed: 1.0, seed: 1 }, tell);
        Ok(Child { engine: engine.context("the inference engine")?, heard, model, serial: 0 })
    }

    /// Brings the model into memory; the seconds that took.
    fn load(&mut self) -> Result<f64> {
        let began = Instant::now();
        self.engine.order(Order::Load { model: Arc::clone(&self.model) });
        match self.answer()? {
            Said::Loaded { .. } => Ok(began.elapsed().as_secs_f64()),
            Said::LoadFailed { reason, .. } => bail!("{} cannot be loaded: {reason}", self.model),
            other => bail!("the engine answered {other:?}"),
        }
    }

    /// Runs a query; the seconds that took.
    fn infer(&mut self, dataset: &str, from: u64, inputs: u32) -> Result<f64> {
        self.serial += 1;
        let attempt = AttemptId { epoch: Epoch(1), serial: self.serial };
        let (model, dataset) = (Arc::clone(&self.model), dataset.into());
        self.engine.order(Order::Infer { attempt, model, dataset, from, inputs });
        match self.answer()? {
            Said::Finished { failed, took, .. } => match failed.first() {
                None => Ok(took.as_secs()),
                Some(first) => bail!("input {} failed: {}", from + u64::from(first.input), first.reason),
            },
            Said::Failed { reason, .. } => bail!("a query of {inputs} inputs failed: {reason}"),
            other => bail!("the engine answered {other:?}"),
        }
    }

    fn answer(&self) -> Result<Said> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(Event::Said(said)) => Ok(said),
            Ok(Event::Died { reason }) => bail!("the engine died: {reason}"),
            Err(_) => bail!("the engine did not answer within {} s", PATIENCE.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn what_was_drawn_from_a_profile_is_fitted_as_that_profile() {
        let mut rng = Rng::new(5);
        let mut times = |size: u32| {
            let draw = Draw::LogNormal(Span::millis(40), 0.05);
            let mut all: Vec<f64> =
                (0..400).map(|_| 0.01 + draw.sample(&mut rng).as_secs() * f64::from(size)).collect();
            all.sort_by(f64::total_cmp);
            (size, all)
        };
        let fitted = fit(&[times(1), times(8), times(32)]);
        assert!((fitted.setup - 0.01).abs() < 0.002, "{fitted:?}");
        assert!((fitted.per_input - 0.04).abs() < 0.0006, "{fitted:?}");
        assert!((fitted.sigma - 0.05).abs() < 0.005, "{fitted:?}");
    }

    #[test]
    fn one_size_and_a_line_that_would_begin_below_zero_have_no_fixed_part() {
        let one = fit(&[(4, vec![0.2; 5])]);
        assert!(one.setup == 0.0 && (one.per_input - 0.05).abs() < 1e-9 && one.sigma == 0.0, "{one:?}");
        let steep = fit(&[(1, vec![0.01; 5]), (10, vec![0.2; 5])]);
        assert!(steep.setup == 0.0 && steep.per_input > 0.01 && steep.per_input < 0.02, "{steep:?}");
    }
}
