//! `idunno models`: networks that were copied in, so that nodes, jobs and scenarios can name them.

pub(super) mod record;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Subcommand;

use super::text::{columns, count, some};
use super::{Exit, STOP, screen};
use crate::base::{Architecture, Device, InputShape, Network};
use crate::engine;

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno models import photos resnet18.safetensors --network resnet18
      Weights with torchvision's names of the parameters, as .safetensors or .ot.
  idunno models import scorer scorer.pt --input tensor:f32[128]
      TorchScript, which takes arrays of 128 numbers.
  idunno models list
  idunno models inspect photos
      What it takes, its parameters and their shapes, and whether the file is still what was imported.
  idunno run
  idunno submit photos node:/data/photos --range 0..1000 --wait
      Every node knows the models that were imported on its machine, under their names.

A model is copied into a folder of yours (IDUNNO_MODELS, or models in your data folder), under a name made of its contents. A table
[model.photos] of a scenario or of idunno.toml with engine = \"torch\", and without network and weights, means the one that was imported.
Importing needs an idunno that was built with libtorch: what cannot be loaded is refused.

Exit codes: 0 fine; 1 the file is not what was imported; 2 usage or a bad file, nothing changed; 130 interrupted.";

/// How long a network may take to be loaded and tried: what is in a script may go on for ever.
const TRIED_WITHIN: Duration = Duration::from_mins(2);

/// What `idunno models` is told.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Models {
    /// Copy a network in, under a name.
    #[command(after_help = EXAMPLES)]
    Import {
        /// What it is called from now on.
        #[arg(value_name = "NAME", value_parser = super::calibrate::name)]
        name: String,
        /// Its weights as .safetensors or .ot, with torchvision's names, or `TorchScript`.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Which network: alexnet, resnet18, resnet34, resnet50, mlp, lenet, or script for what the file says [default: NAME if that is
        /// one, else script for a file that is neither .safetensors nor .ot].
        #[arg(long, value_name = "NETWORK")]
        network: Option<Architecture>,
        /// What it takes: image:224 (shrunk to 256 and cut to the middle), image:32x32 (stretched), or tensor:f32[3,224,224] (arrays)
        /// [default: image:32x32 for mlp and lenet, else image:224].
        #[arg(long, value_name = "SHAPE")]
        input: Option<InputShape>,
        /// Put it in the place of another one of that name.
        #[arg(long)]
        replace: bool,
    },
    /// Show a model that was imported: what it takes, its parameters with their shapes, and its hash.
    #[command(after_help = EXAMPLES)]
    Inspect {
        /// Its name.
        #[arg(value_name = "NAME", value_parser = super::calibrate::name)]
        name: String,
    },
    /// Name the models that were imported.
    #[command(after_help = EXAMPLES)]
    List,
}

/// Does what `idunno models` is told.
pub(super) fn run(models: &Models) -> Exit {
    let done = match models {
        Models::Import { name, file, network, input, replace } => {
            import(name, file, *network, input.as_ref(), *replace)
        }
        Models::Inspect { name } => inspect(name),
        Models::List => list(),
    };
    done.unwrap_or_else(|error| {
        screen::error(&error);
        if STOP.load(Ordering::Relaxed) { Exit::Interrupted } else { Exit::Usage }
    })
}

fn import(
    name: &str,
    file: &std::path::Path,
    network: Option<Architecture>,
    input: Option<&InputShape>,
    replace: bool,
) -> Result<Exit> {
    if !engine::HAS_TORCH {
        bail!("a network is tried before it is imported, and {}", engine::NO_TORCH);
    }
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let architecture = match network.or_else(|| name.parse().ok()) {
        Some(architecture) => architecture,
        None if !["safetensors", "ot"].contains(&ending) => Architecture::Script,
        None => bail!(
            "{}: weights do not say which layers they are of; say it with --network, and {name} is the name of none: wanted one of {}",
            file.display(),
            Architecture::ALL.map(Architecture::name).join(", ")
        ),
    };
    let input = input.cloned().unwrap_or_else(|| architecture.usual_input());
    let Some(path) = file.to_str() else { bail!("the path of the file is no text: {}", file.display()) };
    let weights = crate::base::Weights::File(path.into());
    let network = Network { architecture, weights, classes: 1000, input, device: Device::Cpu, threads: 1 };
    let parameters = in_time(network.clone())?;
    let (home, record) = record::import(name, file, architecture, &network.input, replace)?;
    let said = format!(
        "{name}: {}, {}, {} parameters; {}\n",
        record.network,
        record.input,
        count(numbers(&parameters)),
        home.join(&record.weights).display()
    );
    Ok(screen::say(&said))
}

fn list() -> Result<Exit> {
    let all = record::all()?;
    if all.is_empty() {
        return Ok(screen::say(&format!("no models in {}\n", record::folder()?.display())));
    }
    let mut rows = vec![["model", "network", "input", "bytes", "blake3"].map(str::to_owned).to_vec()];
    for (name, found) in all {
        let mut cells = vec![name.to_string()];
        match found {
            Ok((_, record)) => cells.extend([
                record.network,
                record.input,
                count(record.bytes),
                record.blake3.chars().take(16).collect(),
            ]),
            Err(error) => cells.push(format!("{error:#}")),
        }
        rows.push(cells);
    }
    Ok(screen::say(&columns(&rows)))
}

fn inspect(name: &str) -> Result<Exit> {
    let Some((folder, record)) = record::find(name)? else {
        bail!("no model {name} was imported into {}", record::folder()?.display());
    };
    let network = record.network(&folder, Device::Cpu, 1)?;
    let file = folder.join(&record.weights);
    let sound = record::hash(&file)? == record.blake3;
    let mut text = format!("{name}\n");
    let dimensions: Vec<String> = network.input.dimensions().iter().map(i64::to_string).collect();
    let mut rows = vec![
        vec!["  network".to_owned(), record.network.clone()],
        vec!["  input".to_owned(), format!("{}: {} numbers", record.input, dimensions.join(" × "))],
        vec!["  weights".to_owned(), file.display().to_string()],
        vec!["  bytes".to_owned(), count(record.bytes)],
        vec!["  blake3".to_owned(), record.blake3.clone()],
    ];
    if !sound {
        rows.push(vec!["  damaged".to_owned(), "the file is not what was imported".to_owned()]);
        text += &columns(&rows);
        return Ok(Exit::Failed.graver(screen::say(&text)));
    }
    let shown = if engine::HAS_TORCH { Some(parameters(&network)?) } else { None };
    match &shown {
        None => rows.push(vec!["  parameters".to_owned(), format!("unknown: {}", engine::NO_TORCH)]),
        Some(all) => {
            let tensors = some(all.len() as u64, "tensor", "tensors");
            rows.push(vec!["  parameters".to_owned(), format!("{} in {tensors}", count(numbers(all)))]);
        }
    }
    text += &columns(&rows);
    if let Some(all) = shown.filter(|all| !all.is_empty()) {
        let shape = |sides: &[i64]| sides.iter().map(i64::to_string).collect::<Vec<_>>().join(" × ");
        let rows: Vec<Vec<String>> =
            all.iter().map(|(name, sides)| vec![format!("  {name}"), shape(sides)]).collect();
        let _ = write!(text, "\n{}", columns(&rows));
    }
    Ok(screen::say(&text))
}

/// How many numbers these parameters have together.
fn numbers(parameters: &[(String, Vec<i64>)]) -> u64 {
    parameters.iter().map(|(_, sides)| sides.iter().product::<i64>() as u64).sum()
}

/// The names and shapes of what a network has learnt; an error says why it cannot be loaded.
#[cfg(feature = "torch")]
fn parameters(network: &Network) -> Result<Vec<(String, Vec<i64>)>> {
    let model = engine::torch::Model::load(network).map_err(anyhow::Error::msg)?;
    Ok(model.parameters())
}

/// The same, unless it takes too long. What goes on then ends with this process.
fn in_time(network: Network) -> Result<Vec<(String, Vec<i64>)>> {
    let (sender, found) = mpsc::channel();
    let began = Instant::now();
    thread::spawn(move || sender.send(parameters(&network)));
    loop {
        match found.recv_timeout(Duration::from_millis(50)) {
            Ok(parameters) => return parameters,
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the network ended the thread on which it was tried")
            }
            Err(RecvTimeoutError::Timeout) if STOP.load(Ordering::Relaxed) => {
                bail!("interrupted; nothing was imported")
            }
            Err(RecvTimeoutError::Timeout) if began.elapsed() > TRIED_WITHIN => {
                bail!(
                    "it has not answered one input within {} s; nothing was imported",
                    TRIED_WITHIN.as_secs()
                )
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Only libtorch can tell.
#[cfg(not(feature = "torch"))]
fn parameters(_: &Network) -> Result<Vec<(String, Vec<i64>)>> {
    bail!("{}", engine::NO_TORCH)
}
