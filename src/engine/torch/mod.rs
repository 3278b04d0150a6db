//! The engine of real networks: [`Model`] runs them on libtorch, and the child process serves them.
//!
//! Inputs are decoded by threads of their own (`feed`), piece by piece ahead of the network; what a query will need next is said
//! by the node as soon as it knows. What cannot be decoded, and what a network answers with something that is no number, becomes
//! a failed input with its reason; the others of its query are not touched.

mod adam;
mod array;
mod facts;
mod feed;
mod networks;
mod picture;
pub mod train;
mod weights;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tch::nn::VarStore;
use tch::{CModule, Kind, Tensor};

pub use self::adam::beside as memory;
pub use self::facts::{Facts, Split};
use self::feed::{Decoded, Feed, PIECE_MAX, Piece};
pub use self::picture::numbers as prepare;
use self::weights::reason;
use super::words::{Failed, Order, Said};
use crate::base::network::Device;
use crate::base::prediction::TOP;
use crate::base::{Architecture, AttemptId, Network, Prediction, Span, Weights};
use crate::dataset::Dataset;

/// The most models in memory; the node counts on this many.
const WARM_MAX: usize = 8;
/// How often a network runs before it is said to be loaded: the first times it prepares itself.
const WARM_UP: usize = 2;

/// Whoever makes a network draws its first weights from the one generator that libtorch has for the whole process.
static DRAWING: Mutex<()> = Mutex::new(());

/// Runs a network.
#[derive(Debug)]
pub struct Model {
    runs: Runs,
    dimensions: Vec<i64>,
    device: tch::Device,
    threads: i32,
    /// How many classes it tells apart.
    classes: usize,
    /// Their numbers by name, where the weights name them.
    named: HashMap<Arc<str>, u16>,
}

#[derive(Debug)]
enum Runs {
    /// The layers and the store that keeps their weights.
    Layers(networks::Layers, VarStore),
    Script(CModule),
}

/// The most likely classes of an input, or why there are none.
pub type Answer = Result<Vec<(u16, f32)>, String>;

impl Model {
    /// Brings a network into memory and warms it up. An error says what is wrong with which file, or device.
    pub fn load(network: &Network) -> Result<Model, String> {
        let device = device(network.device)?;
        let threads = network.threads as i32;
        tch::set_num_threads(threads);
        if let Weights::File(file) = &network.weights {
            weights::check(Path::new(&**file))?;
        }
        let mut named = HashMap::new();
        let runs = match (&network.weights, network.architecture) {
            (Weights::File(file), Architecture::Script) => {
                let script = CModule::load_on_device(Path::new(&**file), device);
                let mut script =
                    script.map_err(|error| format!("{file} is no sound TorchScript: {}", reason(&error)))?;
                script.f_set_eval().map_err(|error| format!("{file}: {}", reason(&error)))?;
                Runs::Script(script)
            }
            (Weights::Stored(file), _) => {
                return Err(format!("{file} is in the store of a cluster, and only its nodes fetch it"));
            }
            (Weights::Imported, _) => {
                return Err("it was imported, and nobody has looked up where its weights are".to_owned());
            }
            (Weights::Random(_), Architecture::Script) => {
                return Err(
                    "a script has its weights in its file; random ones cannot be drawn for it".to_owned()
                );
            }
            (Weights::File(file), architecture) => {
                let (tensors, metadata) = weights::read(Path::new(&**file))?;
                let of_file = |why| format!("{file} does not fit: {why}");
                let classes = weights::classes(architecture, &tensors).map_err(of_file)?;
                if let Some(facts) = Facts::read(&metadata).map_err(of_file)? {
                    if facts.classes.len() as i64 != classes {
                        let names = facts.classes.len();
                        return Err(of_file(format!("it names {names} classes and tells {classes} apart")));
                    }
                    if facts.input != network.input {
                        let (learnt, taken) = (&facts.input, &network.input);
                        return Err(of_file(format!(
                            "trained on {learnt}, not {taken}; say input = \"{learnt}\""
                        )));
                    }
                    named.extend(facts.classes.into_iter().zip(0..));
                }
                let store = VarStore::new(device);
                let layers = {
                    let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
                    networks::build(architecture, &store.root(), &network.input, classes)?
                };
                weights::install(architecture, &store, &tensors).map_err(of_file)?;
                Runs::Layers(layers, store)
            }
            (Weights::Random(seed), architecture) => {
                let (layers, store) = drawn(architecture, network, device, *seed)?;
                Runs::Layers(layers, store)
            }
        };
        let dimensions = network.input.dimensions();
        let mut model = Model { runs, dimensions, device, threads, classes: 0, named };
        let nothing = vec![0.0; network.input.numbers()];
        for _ in 0..WARM_UP {
            model.run(&[&nothing])?;
        }
        model.classes = model.scores(&[&nothing])?[0].len();
        Ok(model)
    }

    /// The number that this network has for the class of an input; `None` when that is not known.
    ///
    /// Where the weights name their classes, as those of training do, it is that of the same name, whatever other classes the dataset
    /// has; a name that they do not know has the number after their last, and so is never predicted. Otherwise numbers are all
    /// there is: those of a table of labels, or, where classes are names, their places in order, if there are as many as the network
    /// tells apart. Of some of its classes nobody could say which they are.
    pub fn class_of(&self, dataset: &Dataset, input: usize) -> Option<u16> {
        let label = dataset.label(input)?;
        let number = u16::try_from(label).ok();
        if let Some(class) = self.named.get(&dataset.classes()[label as usize]) {
            return Some(*class);
        }
        if !self.named.is_empty() {
            return u16::try_from(self.classes).ok().filter(|class| *class < u16::MAX);
        }
        number.filter(|_| dataset.is_numbered() || dataset.classes().len() == self.classes)
    }

    /// The names and shapes of its weights, in order of the names; of a script those that it names.
    pub fn parameters(&self) -> Vec<(String, Vec<i64>)> {
        let shapes = |(name, tensor): (String, Tensor)| (name, tensor.size());
        let mut all: Vec<_> = match &self.runs {
            Runs::Layers(_, store) => store.variables().into_iter().map(shapes).collect(),
            Runs::Script(script) => script.named_parameters().into_iter().flatten().map(shapes).collect(),
        };
        all.sort_unstable();
        all
    }

    /// What the network says about each of these inputs, as probabilities (softmax); an error says why it cannot run at all.
    pub fn run(&self, inputs: &[&[f32]]) -> Result<Vec<Answer>, String> {
        let failed = |error: tch::TchError| reason(&error);
        tch::set_num_threads(self.threads);
        let outputs = self.outputs(inputs)?.f_softmax(-1, Kind::Float).map_err(failed)?;
        let classes = outputs.size()[1];
        let (values, places) = outputs.f_topk((TOP as i64).min(classes), -1, true, true).map_err(failed)?;
        let width = values.size()[1] as usize;
        let count = inputs.len() * width;
        let (mut chances, mut found) = (vec![0_f32; count], vec![0_i64; count]);
        values.to_device(tch::Device::Cpu).f_copy_data(&mut chances, count).map_err(failed)?;
        places.to_device(tch::Device::Cpu).f_copy_data(&mut found, count).map_err(failed)?;
        let one = |(chances, found): (&[f32], &[i64])| {
            if chances.iter().any(|chance| !chance.is_finite()) {
                return Err("the network's output is not a number".to_owned());
            }
            Ok(found.iter().map(|class| *class as u16).zip(chances.iter().copied()).collect())
        };
        Ok(chances.chunks(width).zip(found.chunks(width)).map(one).collect())
    }

    /// What comes out of the last layer for each of these inputs: a number per class.
    pub fn scores(&self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, String> {
        tch::set_num_threads(self.threads);
        let outputs = self.outputs(inputs)?.to_device(tch::Device::Cpu);
        let mut scores = vec![0.0; outputs.numel()];
        outputs.f_copy_data(&mut scores, outputs.numel()).map_err(|error| reason(&error))?;
        Ok(scores.chunks(scores.len() / inputs.len()).map(<[f32]>::to_vec).collect())
    }

    /// A row per input, a column per class.
    fn outputs(&self, inputs: &[&[f32]]) -> Result<Tensor, String> {
        let failed = |error: tch::TchError| format!("model error: {}", reason(&error));
        let numbers = self.dimensions.iter().product::<i64>() as usize;
        let shape: Vec<i64> =
            std::iter::once(inputs.len() as i64).chain(self.dimensions.iter().copied()).collect();
        if inputs.is_empty() || inputs.iter().any(|input| input.len() != numbers) {
            return Err(format!("inputs of another size than {:?}", self.dimensions));
        }
        let flat = inputs.concat();
        let batch = Tensor::f_from_slice(&flat).and_then(|flat| flat.f_view(shape.as_slice()));
        let batch = batch.map_err(failed)?.to_device(self.device);
        let _guard = tch::no_grad_guard();
        let outputs = match &self.runs {
            Runs::Layers(layers, _) => layers.forward_t(&batch, false),
            Runs::Script(script) => script.forward_ts(&[batch]).map_err(failed)?,
        };
        match outputs.size().as_slice() {
            [rows, 1..=65_535] if *rows == inputs.len() as i64 => Ok(outputs.to_kind(Kind::Float)),
            other => Err(format!("outputs of shape {other:?}; wanted [{}, classes]", inputs.len())),
        }
    }
}

/// A network whose weights are drawn: the same ones for the same seed.
fn drawn(
    architecture: Architecture,
    network: &Network,
    device: tch::Device,
    seed: u64,
) -> Result<(networks::Layers, VarStore), String> {
    let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    // On the processor, whatever it will run on: a GPU draws others.
    let mut store = VarStore::new(tch::Device::Cpu);
    let layers = networks::build(architecture, &store.root(), &network.input, i64::from(network.classes))?;
    store.set_device(device);
    Ok((layers, store))
}

/// The device that is meant.
fn device(device: Device) -> Result<tch::Device, String> {
    match device {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Auto => Ok(tch::Device::cuda_if_available()),
        Device::Cuda(number) if i64::from(number) < tch::Cuda::device_count() => {
            Ok(tch::Device::Cuda(number as usize))
        }
        Device::Cuda(number) => Err(format!(
            "there is no device cuda:{number}: this machine and its libtorch have {} of them; wanted cpu, or auto for the best that \
             there is",
            tch::Cuda::device_count()
        )),
    }
}

/// The part of a child process that runs networks.
#[derive(Debug)]
pub(super) struct Torch {
    networks: BTreeMap<Arc<str>, Network>,
    /// The models in memory, the least recently used first.
    warm: VecDeque<(Arc<str>, Model)>,
    feed: Arc<Feed>,
}

impl Torch {
    /// With nothing in memory.
    pub(super) fn new(networks: BTreeMap<Arc<str>, Network>) -> std::io::Result<Torch> {
        let threads = networks.values().map(|network| network.threads).max().unwrap_or(1);
        Ok(Torch { networks, warm: VecDeque::new(), feed: Arc::new(Feed::new(threads as usize)?) })
    }

    /// What hears of queries that are about to come, from any thread.
    pub(super) fn ear(&self) -> impl Fn(&Order) + Send + 'static {
        let (networks, feed) = (self.networks.clone(), Arc::clone(&self.feed));
        move |order| {
            if let Order::Expect { model, dataset, from, inputs } = order
                && let Some(network) = networks.get(model)
                && let Some(first) = pieces(network, dataset, *from, *inputs).next()
            {
                feed.expect(first);
            }
        }
    }

    /// Brings a model into memory.
    pub(super) fn load(&mut self, model: Arc<str>) -> Said {
        let Some(network) = self.networks.get(&model) else {
            return Said::LoadFailed { model, reason: "this node knows no such model".into() };
        };
        self.warm.retain(|(name, _)| *name != model);
        match Model::load(network) {
            Ok(loaded) => {
                if self.warm.len() >= WARM_MAX {
                    self.warm.pop_front();
                }
                self.warm.push_back((Arc::clone(&model), loaded));
                Said::Loaded { model }
            }
            Err(reason) => Said::LoadFailed { model, reason: reason.into() },
        }
    }

    /// Runs a query; the time that it took is filled in by whoever measures it.
    pub(super) fn infer(
        &mut self,
        attempt: AttemptId,
        model: &Arc<str>,
        dataset: &Arc<str>,
        from: u64,
        inputs: u32,
    ) -> Said {
        let place = self.warm.iter().position(|(name, _)| name == model);
        let Some(warm) = place.and_then(|place| self.warm.remove(place)) else {
            return Said::Failed { attempt, reason: format!("the model {model} is not in memory").into() };
        };
        let (mut predictions, mut failed) = (Vec::new(), Vec::new());
        let mut all = pieces(&self.networks[model], dataset, from, inputs);
        let first = all.next();
        let mut next = first.clone().map(|piece| self.feed.begin(piece));
        let mut input = 0;
        let mut broken = None;
        while let Some(decoding) = next {
            next = all.next().map(|piece| self.feed.decode(piece));
            let mut decoded = decoding.recv();
            // It may have been decoded long ago.
            if let (0, Some(first)) = (input, &first)
                && decoded.as_ref().is_ok_and(Decoded::is_stale)
            {
                decoded = self.feed.decode(first.clone()).recv();
            }
            let Ok(decoded) = decoded else {
                broken = Some("inputs could not be decoded: a thread panicked".to_owned());
                break;
            };
            match answers(&warm.1, from.saturating_add(input.into()), decoded) {
                Ok(answered) => {
                    for one in answered {
                        match one {
                            Ok(prediction) => predictions.extend(prediction.encode()),
                            Err(reason) => failed.push(Failed { input, reason: reason.into() }),
                        }
                        input += 1;
                    }
                }
                Err(why) => {
                    broken = Some(why);
                    break;
                }
            }
        }
        self.warm.push_back(warm);
        match broken {
            Some(reason) => Said::Failed { attempt, reason: reason.into() },
            None => Said::Finished { attempt, inputs, predictions, failed, took: Span::ZERO },
        }
    }
}

/// A query in parts that a network is given at once.
fn pieces<'a>(
    network: &'a Network,
    dataset: &'a Arc<str>,
    from: u64,
    inputs: u32,
) -> impl Iterator<Item = Piece> + use<'a> {
    (0..inputs).step_by(PIECE_MAX as usize).map(move |place| Piece {
        dataset: Arc::clone(dataset),
        from: from.saturating_add(u64::from(place)),
        inputs: (inputs - place).min(PIECE_MAX),
        shape: network.input.clone(),
    })
}

/// What becomes of each input of a piece that begins with this one.
fn answers(model: &Model, from: u64, piece: Decoded) -> Result<Vec<Result<Prediction, String>>, String> {
    let Decoded { dataset, inputs } = piece;
    let readable: Vec<&[f32]> = inputs.iter().flatten().map(Vec::as_slice).collect();
    let mut answered = if readable.is_empty() { Vec::new() } else { model.run(&readable)? }.into_iter();
    let one = |(input, numbers): (u64, Result<Vec<f32>, String>)| {
        numbers?;
        let top = answered.next().expect("there is an answer to each readable input")?;
        let label = dataset.as_ref().and_then(|dataset| model.class_of(dataset, input as usize));
        Ok(Prediction { label, top })
    };
    Ok((from..).zip(inputs).map(one).collect())
}
