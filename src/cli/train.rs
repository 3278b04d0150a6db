//! `idunno train`: a network learns a dataset.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::Exit;
use super::values::seed;
use crate::base::{Architecture, Device, InputShape};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno dataset letters --count 10400 --out letters
  idunno train lenet letters --epochs 8 --out letters.safetensors
      A small network learns letters in a minute or two; train.csv beside the weights says how well.
  idunno train lenet letters --epochs 16 --out letters.safetensors --resume
      Eight epochs more.
  idunno train resnet18 photos.zip --batch 32 --lr 0.0003 --device cuda:0 --out p.safetensors
      A large network, on a GPU, from a zip with a folder per class.

The weights are written after each epoch, as .safetensors with torchvision's names. Ctrl-C ends after the epoch under way.
This needs an idunno that was built with libtorch.

Exit codes: 0 fine; 1 failed, such as on a full disk; 2 usage, a bad dataset or a bad file; 130 interrupted. What was written after
the last epoch is kept.";

/// What `idunno train` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Train {
    /// The network: mlp or lenet for small pictures, alexnet, resnet18, resnet34 or resnet50.
    #[arg(value_name = "MODEL")]
    model: Architecture,
    /// What it learns: a folder per class, a folder with labels.csv, or a zip of either.
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// How often it sees every input, earlier runs included.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,
    /// How large the steps are at first, from 1e-9 to 10; towards the end they shrink to nothing.
    #[arg(long, value_name = "RATE", default_value_t = 0.001, value_parser = rate)]
    lr: f64,
    /// Inputs per step.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    batch: u32,
    /// The part of the inputs that is not learnt from, but shows how well others will be answered.
    #[arg(long, value_name = "PART", default_value_t = 0.1, value_parser = part)]
    validation: f64,
    /// What the network takes [default: image:32x32 for mlp and lenet, else image:224].
    #[arg(long, value_name = "SHAPE")]
    input: Option<InputShape>,
    /// What it learns on: cpu, cuda:0, or auto.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// How many threads learn [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// What is random: the first weights, the split and the order.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed)]
    seed: u64,
    /// The file for the weights; it must not exist, unless to --resume.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Where the table of epochs goes; what is there of another training is not replaced [default: train.csv beside the weights, or
    /// FILE.train.csv where that is another training's].
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Go on from the weights in the file, and from what the optimizer remembered, which lies beside them as
    /// FILE.optimizer.safetensors: with the same --epochs the same comes of it as of one run. Dataset, --seed and --validation have to be
    /// the same again, so that nothing that was learnt is in the validation.
    #[arg(long)]
    resume: bool,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1e-9..=10.0).contains(rate));
    rate.ok_or_else(|| "wanted a number from 1e-9 to 10, such as 0.001".to_owned())
}

fn part(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let part =
        number.trim().parse().ok().map(|part: f64| part / whole).filter(|part| (0.001..=0.9).contains(part));
    part.ok_or_else(|| "wanted a part from 0.001 to 0.9, such as 0.1 or 10%".to_owned())
}

/// Does what `idunno train` is told.
#[cfg(not(feature = "torch"))]
pub(super) fn run(_: &Train, _: &AtomicBool) -> Exit {
    super::screen::error(&anyhow::anyhow!("networks learn on libtorch, and {}", crate::engine::NO_TORCH));
    Exit::Usage
}

#[cfg(feature = "torch")]
pub(super) use with::run;

#[cfg(feature = "torch")]
mod with {
    use std::fs::File;
    use std::io::{ErrorKind, Read};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::Ordering;

    use anyhow::{Context, Result, bail};

    use super::{AtomicBool, Exit, Train};
    use crate::cli::text::facts;
    use crate::cli::{outlet, screen};
    use crate::engine::torch::train::{Epoch, TrainError, Training, train};
    use crate::engine::torch::{Facts, memory};

    /// Does what `idunno train` is told.
    pub(in crate::cli) fn run(told: &Train, stop: &AtomicBool) -> Exit {
        match trained(told, stop) {
            Ok(exit) => exit,
            Err(error) => {
                screen::error(&error);
                match error.downcast_ref::<TrainError>() {
                    Some(TrainError::Torch(_) | TrainError::Unwritten(_)) => Exit::Failed,
                    _ => Exit::Usage,
                }
            }
        }
    }

    fn trained(told: &Train, stop: &AtomicBool) -> Result<Exit> {
        if told.out.extension().is_none_or(|extension| extension != "safetensors") {
            bail!("--out {}: wanted a name that ends in .safetensors", told.out.display());
        }
        if told.out.exists() && !told.resume {
            bail!("{} exists already; --resume goes on from it", told.out.display());
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let training = Training {
            architecture: told.model,
            input: told.input.clone().unwrap_or_else(|| told.model.usual_input()),
            epochs: told.epochs,
            rate: told.lr,
            batch: told.batch,
            validation: told.validation,
            seed: told.seed,
            device: told.device,
            threads: told.threads.unwrap_or(cores.min(256) as u32),
            out: told.out.clone(),
            resume: told.resume,
        };
        outlet::is_in_a_folder(&told.out)?;
        if let Some(table) = &told.table {
            outlet::is_in_a_folder(table)?;
        }
        let memory = memory(&told.out);
        if memory.exists() && !told.resume {
            bail!(
                "{} exists already, where what the optimizer remembers is to go; remove it, or say another --out",
                memory.display()
            );
        }
        let earlier = if told.resume { earlier(&told.out)? } else { Vec::new() };
        let table = table(told, &earlier)?;
        let mut epochs: Vec<Epoch> = Vec::new();
        let mut written = Ok(());
        let on_epoch = |epoch: &Epoch| {
            if !told.quiet {
                let head = if epochs.is_empty() { HEAD.join("  ") + "\n" } else { String::new() };
                screen::say(&format!("{head}{}\n", line(epoch)));
            }
            epochs.push(*epoch);
            written = write(&table, &epochs);
            written.is_ok() && !stop.load(Ordering::Relaxed)
        };
        let forgot = |why: &str| {
            screen::complain(&format!("{why}; the optimizer begins anew, and so this is not quite one run."));
        };
        let all = train(&training, &told.dataset, on_epoch, forgot)?;
        written.with_context(|| format!("cannot write {}", table.display()))?;
        let Some(last) = all.last() else { bail!("there were no epochs") };
        if !told.quiet {
            let right = 100.0 * (1.0 - last.validation_error);
            let (weights, table) = (told.out.display().to_string(), table.display().to_string());
            let rows = [
                (&*weights, format!("the weights; {right:.2} % of the validation is answered rightly")),
                (&*table, "the epochs".to_owned()),
            ];
            screen::say(&format!("\n{}", facts(&rows)));
        }
        Ok(if last.epoch < told.epochs { Exit::Interrupted } else { Exit::Fine })
    }

    const HEAD: [&str; 5] = ["epoch", "train loss", "train error", "validation error", "seconds"];

    fn line(epoch: &Epoch) -> String {
        let Epoch { epoch, train_loss, train_error, validation_error, seconds } = epoch;
        let (train, validation) =
            (format!("{:.2} %", 100.0 * train_error), format!("{:.2} %", 100.0 * validation_error));
        format!("{epoch:>5}  {train_loss:>10.4}  {train:>11}  {validation:>16}  {seconds:>7.1}")
    }

    /// The epochs of the run that is gone on from.
    fn earlier(weights: &Path) -> Result<Vec<Epoch>> {
        let facts = Facts::of(weights).map_err(anyhow::Error::msg)?;
        Ok(facts.map_or_else(Vec::new, |facts| facts.epochs))
    }

    /// Where the epochs go: not over something else than these earlier ones, or a beginning of them.
    fn table(told: &Train, earlier: &[Epoch]) -> Result<PathBuf> {
        let names = match &told.table {
            Some(table) => {
                if let Some(same) =
                    [told.out.clone(), memory(&told.out)].iter().find(|other| are_same(table, other))
                {
                    bail!("--table names {}, where weights are to go", same.display());
                }
                vec![table.clone()]
            }
            None => vec![told.out.with_file_name("train.csv"), told.out.with_extension("train.csv")],
        };
        for name in &names {
            if is_free(name, earlier)? {
                return Ok(name.clone());
            }
        }
        let shown: Vec<String> = names.iter().map(|name| name.display().to_string()).collect();
        bail!(
            "there is something else in {}; say with --table where these epochs shall go",
            shown.join(" and in ")
        )
    }

    /// Whether both paths mean the same place, which need not be there yet.
    fn are_same(one: &Path, other: &Path) -> bool {
        let place = |path: &Path| {
            let folder = outlet::folder_of(path).canonicalize().ok();
            folder.map(|folder| folder.join(path.file_name().unwrap_or_default()))
        };
        place(one).is_some_and(|one| Some(one) == place(other))
    }

    fn is_free(table: &Path, earlier: &[Epoch]) -> Result<bool> {
        let known = text(earlier)?;
        let mut found = Vec::new();
        match File::open(table) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            // One byte more than is known is too much.
            opened => opened.and_then(|file| file.take(known.len() as u64 + 1).read_to_end(&mut found)),
        }
        .with_context(|| format!("cannot read {}", table.display()))?;
        Ok(known.starts_with(&found))
    }

    /// A table of epochs.
    fn text(epochs: &[Epoch]) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for epoch in epochs {
            writer.serialize(epoch)?;
        }
        writer.into_inner().map_err(|error| anyhow::anyhow!("{}", error.error()))
    }

    fn write(table: &Path, epochs: &[Epoch]) -> Result<()> {
        Ok(std::fs::write(table, text(epochs)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_parts_are_bounded() {
        assert_eq!((part("10%"), part("0.25"), rate("1e-3")), (Ok(0.1), Ok(0.25), Ok(0.001)));
        assert!(part("0").is_err() && part("100%").is_err() && rate("0").is_err() && rate("-1").is_err());
    }
}
