//! Training: a network learns a dataset, epoch by epoch, and is written down after each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::adam::{Adam, beside};
use super::facts::{Facts, Split};
use super::weights::reason;
use super::{networks, picture, weights};
use crate::base::{Architecture, Device, InputShape, Rng};
use crate::dataset::{Dataset, DatasetError};

/// The most bytes that the decoded inputs of a dataset may take in memory.
const MEMORY_MAX: u64 = 16 << 30;

/// What to train, on what, and how.
#[derive(Clone, Debug)]
pub struct Training {
    /// The layers; a script cannot be trained.
    pub architecture: Architecture,
    /// What they take.
    pub input: InputShape,
    /// Passes over the dataset, those of earlier runs among them.
    pub epochs: u32,
    /// How large the steps are at first; they shrink to nothing over the epochs, as half a cosine.
    pub rate: f64,
    /// Inputs per step.
    pub batch: u32,
    /// The part of the inputs that is kept for validation, above 0 and below 1.
    pub validation: f64,
    /// What is random: the first weights, the split, the order.
    pub seed: u64,
    /// What it runs on.
    pub device: Device,
    /// Threads, at least 1.
    pub threads: u32,
    /// Where the weights go, as `.safetensors`.
    pub out: PathBuf,
    /// Whether to go on from what is in `out`.
    pub resume: bool,
}

/// What came of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Epoch {
    /// Which, from 1.
    pub epoch: u32,
    /// The mean cross-entropy over the inputs that were learnt from, while they were.
    pub train_loss: f64,
    /// The share of them that was answered wrongly.
    pub train_error: f64,
    /// The share of the others that is answered wrongly after it.
    pub validation_error: f64,
    /// How long it took.
    pub seconds: f64,
}

/// Why training does not begin, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The dataset, or an input.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// An input that cannot be learnt from.
    #[error("{name}: {why}")]
    Input {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
    /// What does not fit together.
    #[error("{0}")]
    Unfit(String),
    /// What was learnt cannot be written; what was written before is still there.
    #[error("{0}")]
    Unwritten(String),
    /// Libtorch.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> TrainError {
        TrainError::Torch(reason(&error))
    }
}

/// Inputs in memory.
struct Examples {
    numbers: Tensor,
    labels: Tensor,
}

/// What steps are made of, ready to go on.
struct Trainer<'a> {
    training: &'a Training,
    store: VarStore,
    layers: networks::Layers,
    optimizer: Adam,
    learn: Examples,
    validate: Examples,
    classes: Vec<Arc<str>>,
    split: Split,
    device: tch::Device,
}

/// Trains; `told` hears of each epoch once its weights are written, of those of an earlier run as well, and whether to go on is what it returns.
/// `forgot` hears why training that goes on begins with an optimizer that remembers nothing, if it does. The epochs are returned.
pub fn train(
    training: &Training,
    dataset: &Path,
    mut told: impl FnMut(&Epoch) -> bool,
    forgot: impl FnOnce(&str),
) -> Result<Vec<Epoch>, TrainError> {
    let dataset = Arc::new(Dataset::open(dataset)?);
    let (mut trainer, mut epochs) = Trainer::new(training, &dataset, forgot)?;
    for epoch in epochs.clone() {
        told(&epoch);
    }
    while epochs.len() < training.epochs as usize {
        let epoch = trainer.epoch(epochs.len() as u32 + 1)?;
        epochs.push(epoch);
        trainer.write(&epochs)?;
        if !told(&epoch) {
            break;
        }
    }
    Ok(epochs)
}

impl Trainer<'_> {
    fn new<'a>(
        training: &'a Training,
        dataset: &Arc<Dataset>,
        forgot: impl FnOnce(&str),
    ) -> Result<(Trainer<'a>, Vec<Epoch>), TrainError> {
        let classes = dataset.classes().to_vec();
        if classes.len() < 2 {
            let why = format!(
                "{} has {} classes; wanted two or more: a folder for each, or a table labels.csv",
                dataset.path().display(),
                classes.len()
            );
            return Err(TrainError::Unfit(why));
        }
        let device = super::device(training.device).map_err(TrainError::Unfit)?;
        tch::set_num_threads(training.threads as i32);
        tch::manual_seed(training.seed as i64);
        let store = VarStore::new(tch::Device::Cpu);
        let layers =
            networks::build(training.architecture, &store.root(), &training.input, classes.len() as i64);
        let layers = layers.map_err(TrainError::Unfit)?;
        let split = Split::of(dataset, training.seed, training.validation);
        let earlier = if training.resume { resume(training, &store, &classes, &split)? } else { Vec::new() };
        let mut store = store;
        store.set_device(device);
        let (learn, validate) = divided(training, dataset)?;
        let read = |places: &[usize]| examples(training, dataset, places, device);
        let (learn, validate) = (read(&learn)?, read(&validate)?);
        let mut optimizer = Adam::new(&store);
        if let Some(last) = earlier.last() {
            // Weights that came without it, or whose writer was ended between the two, are gone on from all the same.
            if let Err(why) = optimizer.read(&beside(&training.out), last.epoch, device) {
                forgot(&why);
            }
        }
        let trainer = Trainer { training, store, layers, optimizer, learn, validate, classes, split, device };
        Ok((trainer, earlier))
    }

    fn epoch(&mut self, number: u32) -> Result<Epoch, TrainError> {
        let began = Instant::now();
        let Training { epochs, rate, batch, seed, .. } = *self.training;
        // An epoch is the same whether those before it ran just now or in another run.
        let mut rng = Rng::new(seed).fork("epoch").fork_number(number.into());
        tch::manual_seed(rng.bits() as i64);
        let count = self.learn.labels.size()[0];
        let mut order: Vec<i64> = (0..count).collect();
        rng.shuffle(&mut order);
        let (mut loss_sum, mut wrong) = (0.0, 0);
        let steps = order.len().div_ceil(batch as usize);
        for (step, places) in order.chunks(batch as usize).enumerate() {
            let done = (f64::from(number - 1) + step as f64 / steps as f64) / f64::from(epochs);
            let rate_now = rate * (1.0 + libm::cos(std::f64::consts::PI * done)) / 2.0;
            let places = Tensor::f_from_slice(places)?.to_device(self.device);
            let inputs = self.learn.numbers.f_index_select(0, &places)?;
            let labels = self.learn.labels.f_index_select(0, &places)?;
            let outputs = self.layers.forward_t(&inputs, true);
            let loss =
                outputs.f_cross_entropy_loss::<Tensor>(&labels, None, tch::Reduction::Mean, -100, 0.0)?;
            self.optimizer.step(&loss, rate_now)?;
            let loss = f64::try_from(&loss)?;
            if !loss.is_finite() {
                let why = format!(
                    "the loss is no number any more in epoch {number}; wanted a smaller --lr than {rate}"
                );
                return Err(TrainError::Unfit(why));
            }
            loss_sum += loss * labels.size()[0] as f64;
            wrong += wrongs(&outputs, &labels)?;
        }
        Ok(Epoch {
            epoch: number,
            train_loss: rounded(loss_sum / count as f64),
            train_error: rounded(wrong as f64 / count as f64),
            validation_error: rounded(self.validation_error()?),
            seconds: rounded(began.elapsed().as_secs_f64()),
        })
    }

    fn validation_error(&self) -> Result<f64, TrainError> {
        let _guard = tch::no_grad_guard();
        let count = self.validate.labels.size()[0];
        let batch = i64::from(self.training.batch);
        let mut wrong = 0;
        for from in (0..count).step_by(batch as usize) {
            let length = batch.min(count - from);
            let inputs = self.validate.numbers.f_narrow(0, from, length)?;
            let outputs = self.layers.forward_t(&inputs, false);
            wrong += wrongs(&outputs, &self.validate.labels.f_narrow(0, from, length)?)?;
        }
        Ok(wrong as f64 / count as f64)
    }

    fn write(&self, epochs: &[Epoch]) -> Result<(), TrainError> {
        let facts = Facts {
            network: self.training.architecture,
            input: self.training.input.clone(),
            classes: self.classes.clone(),
            split: self.split.clone(),
            epochs: epochs.to_vec(),
        };
        // First what the optimizer remembers: where it is of another epoch than the weights, it is not used.
        let last = self.training.out.as_path();
        let written = self.optimizer.write(&beside(last), epochs.len() as u32);
        let written = written.and_then(|()| weights::write(last, &self.store.variables(), facts.written()));
        written.map_err(TrainError::Unwritten)
    }
}

/// To a millionth: what such figures are worth, and what is read back as the same from any text.
fn rounded(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

/// Puts into a network what an earlier run wrote, if it was about the same; the epochs that it had.
fn resume(
    training: &Training,
    store: &VarStore,
    classes: &[Arc<str>],
    split: &Split,
) -> Result<Vec<Epoch>, TrainError> {
    let path = &training.out;
    let unfit = |why: String| TrainError::Unfit(format!("{} cannot be gone on from: {why}", path.display()));
    let (tensors, metadata) = weights::read(path).map_err(TrainError::Unfit)?;
    let facts = Facts::read(&metadata).map_err(unfit)?;
    let facts = facts.ok_or_else(|| unfit("it does not say what it learnt from".to_owned()))?;
    if (facts.network, &facts.input) != (training.architecture, &training.input) {
        let (network, wanted) = (facts.network.name(), training.architecture.name());
        let (input, takes) = (&facts.input, &training.input);
        return Err(unfit(format!("it holds {network} for {input}, and not {wanted} for {takes}")));
    }
    if facts.classes != classes {
        return Err(unfit(format!(
            "it tells {} other classes apart than the {} of the dataset",
            facts.classes.len(),
            classes.len()
        )));
    }
    // Another division would ask it in the validation what it has learnt.
    let Split { seed, validation, inputs, .. } = &facts.split;
    if (split.seed, split.validation.to_bits()) != (*seed, validation.to_bits()) {
        return Err(unfit(format!(
            "it began with --seed {seed} --validation {validation}; wanted these again"
        )));
    }
    if *split != facts.split {
        return Err(unfit(format!(
            "it began with a dataset of {inputs} inputs, and this one has others, or others' names: {}",
            split.inputs
        )));
    }
    weights::install(training.architecture, store, &tensors).map_err(unfit)?;
    Ok(facts.epochs)
}

/// Which inputs are learnt from, and which are kept for validation.
fn divided(training: &Training, dataset: &Dataset) -> Result<(Vec<usize>, Vec<usize>), TrainError> {
    let count = dataset.names().len();
    if let Some(input) = (0..count).find(|input| dataset.label(*input).is_none()) {
        let name = dataset.names()[input].to_string();
        return Err(TrainError::Input {
            name,
            why: "has no label, and nothing can be learnt from it".to_owned(),
        });
    }
    let mut order: Vec<usize> = (0..count).collect();
    Rng::new(training.seed).fork("split").shuffle(&mut order);
    let kept = ((count as f64 * training.validation) as usize).max(1);
    if kept >= count {
        return Err(TrainError::Unfit(format!(
            "of {count} inputs {kept} would be kept for validation, and none is left"
        )));
    }
    let learn = order.split_off(kept);
    Ok((learn, order))
}

/// These inputs, decoded.
fn examples(
    training: &Training,
    dataset: &Arc<Dataset>,
    places: &[usize],
    device: tch::Device,
) -> Result<Examples, TrainError> {
    let bytes = places.len() as u64 * training.input.numbers() as u64 * 4;
    if bytes > MEMORY_MAX {
        return Err(TrainError::Unfit(format!(
            "{} inputs take {bytes} bytes in memory, and at most {MEMORY_MAX} are allowed; wanted fewer or smaller ones",
            places.len()
        )));
    }
    let one = |reader: &mut Result<crate::dataset::Reader, DatasetError>, place: &usize| {
        let name = || dataset.names()[*place].to_string();
        let reader =
            reader.as_mut().map_err(|error| TrainError::Input { name: name(), why: error.to_string() })?;
        let bytes = reader.read(*place as u64)?;
        picture::numbers(&bytes, &training.input).map_err(|why| TrainError::Input { name: name(), why })
    };
    let decoded: Result<Vec<Vec<f32>>, TrainError> =
        places.par_iter().map_init(|| dataset.reader(), one).collect();
    let shape: Vec<i64> = std::iter::once(places.len() as i64).chain(training.input.dimensions()).collect();
    let numbers = Tensor::f_from_slice(&decoded?.concat())?.f_view(shape.as_slice())?.to_device(device);
    let labels: Vec<i64> =
        places.iter().map(|place| i64::from(dataset.label(*place).expect("all have labels"))).collect();
    Ok(Examples { numbers, labels: Tensor::f_from_slice(&labels)?.to_device(device) })
}

/// How many rows of outputs have their highest number elsewhere than where the label says.
fn wrongs(outputs: &Tensor, labels: &Tensor) -> Result<i64, TrainError> {
    let right = outputs.f_argmax(-1, false)?.f_eq_tensor(labels)?.f_sum(Kind::Int64)?;
    Ok(labels.size()[0] - i64::try_from(&right)?)
}
