//! `idunno models`: networks that were copied in, so that nodes, jobs and scenarios can name them.

mod file;
pub(super) mod record;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Subcommand;

use self::file::{Loaded, Trained, load};
use super::text::{columns, count, facts, some};
use super::{Exit, STOP, screen};
use crate::base::{Architecture, Device, InputShape, Network};
use crate::engine;

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno models import photos resnet18.safetensors --network resnet18
      Weights with torchvision's names of the parameters, as .safetensors or .ot.
  idunno models import letters letters.safetensors
      Weights that idunno train wrote say themselves which network they are of, what it takes, and what its classes are called.
  idunno models import scorer scorer.pt --input tensor:f32[128]
      TorchScript, which takes arrays of 128 numbers.
  idunno models list
  idunno models inspect photos
      What it takes, its classes, its parameters and their shapes, and whether the file is still what was imported.
  idunno run
  idunno submit photos node:/data/photos --range 0..1000 --wait
      Every node that is started from now on knows the models that were imported on its machine, under their names.

A model is copied into a folder of yours (IDUNNO_MODELS, or models in your data folder), under a name made of its contents. A table
[model.photos] of a scenario or of idunno.toml with engine = \"torch\", and without network and weights, means the one that was imported.
Importing needs an idunno that was built with libtorch: what cannot be loaded is refused.

Exit codes: 0 fine; 1 the file is not what was imported; 2 usage or a bad file, nothing changed; 130 interrupted.";

/// The most classes that are named.
const CLASSES_SHOWN: usize = 100;
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
        /// Which network: alexnet, resnet18, resnet34, resnet50, mlp, lenet, or script for what the file says [default: what idunno
        /// train wrote into the file, else NAME if that is one, else script for a file that is neither .safetensors nor .ot].
        #[arg(long, value_name = "NETWORK")]
        network: Option<Architecture>,
        /// What it takes: image:224 (shrunk to 256 and cut to the middle), image:32x32 (stretched), or tensor:f32[3,224,224] (arrays)
        /// [default: what idunno train wrote into the file, else image:32x32 for mlp and lenet, else image:224].
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
    let trained = Trained::read(file)?;
    let said = |what: &str, found: &str, said: String| {
        anyhow::anyhow!("{} was trained as {found}, and --{what} says {said}; leave it out", file.display())
    };
    if let Some(trained) = &trained {
        if let Some(other) = network.filter(|network| *network != trained.network) {
            return Err(said("network", trained.network.name(), other.name().to_owned()));
        }
        if let Some(other) = input.filter(|input| **input != trained.input) {
            return Err(said("input", &trained.input.to_string(), other.to_string()));
        }
    }
    let (network, input) = match trained {
        Some(Trained { network, input, .. }) => (Some(network), Some(input)),
        None => (network, input.cloned()),
    };
    let architecture = match network.or_else(|| name.parse().ok()) {
        Some(architecture) => architecture,
        None if !["safetensors", "ot"].contains(&ending) => Architecture::Script,
        None => bail!(
            "{}: weights do not say which layers they are of; say it with --network, and {name} is the name of none: wanted one of {}",
            file.display(),
            Architecture::ALL.map(Architecture::name).join(", ")
        ),
    };
    let input = input.unwrap_or_else(|| architecture.usual_input());
    let Some(path) = file.to_str() else { bail!("the path of the file is no text: {}", file.display()) };
    let weights = crate::base::Weights::File(path.into());
    let network = Network { architecture, weights, classes: 1000, input, device: Device::Cpu, threads: 1 };
    let Loaded { parameters, silent } = in_time(network.clone())?;
    if let Some(why) = silent {
        screen::complain(&format!("It has no answer to an input of zeros: {why}."));
    }
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
    Ok(screen::say(&(columns(&rows) + "\n")))
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
        ("network", record.network.clone()),
        ("input", format!("{}: {} numbers", record.input, dimensions.join(" × "))),
        ("weights", file.display().to_string()),
        ("bytes", count(record.bytes)),
        ("blake3", record.blake3.clone()),
    ];
    if !sound {
        rows.push(("damaged", "the file is not what was imported".to_owned()));
        text += &facts(&rows);
        return Ok(Exit::Failed.graver(screen::say(&text)));
    }
    let shown = if engine::HAS_TORCH { Some(load(&network)?.parameters) } else { None };
    let parameters = match &shown {
        None => format!("unknown: {}", engine::NO_TORCH),
        Some(all) => {
            format!("{} in {}", count(numbers(all)), some(all.len() as u64, "tensor", "tensors"))
        }
    };
    rows.push(("parameters", parameters));
    let classes = Trained::read(&file)?.map_or_else(Vec::new, |trained| trained.classes);
    if !classes.is_empty() {
        rows.push(("classes", named(&classes)));
    }
    text += &facts(&rows);
    if let Some(all) = shown.filter(|all| !all.is_empty()) {
        let shape = |sides: &[i64]| sides.iter().map(i64::to_string).collect::<Vec<_>>().join(" × ");
        let rows: Vec<Vec<String>> =
            all.iter().map(|(name, sides)| vec![format!("  {name}"), shape(sides)]).collect();
        let _ = writeln!(text, "\n{}", columns(&rows));
    }
    Ok(screen::say(&text))
}

/// The first classes, with their numbers as results show them.
fn named(classes: &[Arc<str>]) -> String {
    let shown: Vec<String> = classes
        .iter()
        .take(CLASSES_SHOWN)
        .zip(0..)
        .map(|(class, number)| format!("{number}:{class}"))
        .collect();
    let more = classes.len().saturating_sub(CLASSES_SHOWN);
    if more == 0 { shown.join(" ") } else { format!("{} and {more} more", shown.join(" ")) }
}

/// How many numbers these parameters have together.
fn numbers(parameters: &[(String, Vec<i64>)]) -> u64 {
    parameters.iter().map(|(_, sides)| sides.iter().product::<i64>() as u64).sum()
}

/// Loads a network, unless that takes too long. What goes on then ends with this process.
fn in_time(network: Network) -> Result<Loaded> {
    let (sender, found) = mpsc::channel();
    let began = Instant::now();
    thread::spawn(move || sender.send(load(&network)));
    loop {
        match found.recv_timeout(Duration::from_millis(50)) {
            Ok(loaded) => return loaded,
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
