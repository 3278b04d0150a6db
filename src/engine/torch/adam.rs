//! Adam, with a memory that can be written down: libtorch's own keeps what it remembers to itself, and training that goes on later
//! would not be what it had been in one run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::weights;

/// How long gradients are remembered, and their squares, as the share that is left after a step.
const BETAS: (f64, f64) = (0.9, 0.999);
/// What keeps a step finite where there were no gradients.
const EPSILON: f64 = 1e-8;
/// What is said beside the memory: after which epoch it was, and after how many steps.
const FACTS: [&str; 2] = ["idunno.epoch", "idunno.steps"];

/// An optimizer. Steps are those of Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.
#[derive(Debug)]
pub(super) struct Adam {
    all: BTreeMap<String, Parameter>,
    /// How many it has made.
    steps: u32,
}

/// A parameter, and the means of its gradients and of their squares.
#[derive(Debug)]
struct Parameter {
    value: Tensor,
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    /// For everything in `store` that can be learnt; it remembers nothing.
    pub(super) fn new(store: &VarStore) -> Adam {
        let learnt = store.variables().into_iter().filter(|(_, value)| value.requires_grad());
        let parameter = |(name, value): (String, Tensor)| {
            let (mean, square) = tch::no_grad(|| (value.zeros_like(), value.zeros_like()));
            (name, Parameter { value, mean, square })
        };
        Adam { all: learnt.map(parameter).collect(), steps: 0 }
    }

    /// Makes a step of this size against the gradient of `loss`.
    pub(super) fn step(&mut self, loss: &Tensor, rate: f64) -> Result<(), tch::TchError> {
        for Parameter { value, .. } in self.all.values_mut() {
            value.zero_grad();
        }
        loss.f_backward()?;
        self.steps += 1;
        let left = |beta: f64| 1.0 - beta.powi(self.steps as i32);
        let (left_mean, left_square) = (left(BETAS.0), left(BETAS.1));
        let _guard = tch::no_grad_guard();
        for Parameter { value, mean, square } in self.all.values_mut() {
            let gradient = value.grad();
            if !gradient.defined() {
                // Nothing depends on it.
                continue;
            }
            let _ = mean.f_mul_scalar_(BETAS.0)?.f_add_(&(&gradient * (1.0 - BETAS.0)))?;
            let _ = square.f_mul_scalar_(BETAS.1)?.f_addcmul_(&(&gradient * (1.0 - BETAS.1)), &gradient)?;
            let size = square.f_sqrt()?.f_div_scalar_(left_square.sqrt())?.f_add_scalar_(EPSILON)?;
            let step = mean.f_div(&size)?.f_mul_scalar_(rate / left_mean)?;
            let _ = value.f_sub_(&step)?;
        }
        Ok(())
    }

    /// Writes down what it remembers after this epoch.
    pub(super) fn write(&self, path: &Path, epoch: u32) -> Result<(), String> {
        let mut tensors = HashMap::new();
        for (name, Parameter { mean, square, .. }) in &self.all {
            tensors.insert(format!("{name}.mean"), mean.shallow_clone());
            tensors.insert(format!("{name}.square"), square.shallow_clone());
        }
        let facts = FACTS.map(str::to_owned).into_iter().zip([epoch.to_string(), self.steps.to_string()]);
        weights::write(path, &tensors, facts.collect())
    }

    /// Remembers what was written down after this epoch. An error says why that is of no use, and leaves it as it was.
    pub(super) fn read(&mut self, path: &Path, epoch: u32, device: Device) -> Result<(), String> {
        let shown = path.display();
        let facts = weights::metadata(path)?;
        let [found, steps] = FACTS.map(|fact| facts.get(fact).and_then(|text| text.parse::<u32>().ok()));
        if found != Some(epoch) {
            return Err(format!("{shown} does not belong to the weights after epoch {epoch}"));
        }
        let steps = steps.ok_or_else(|| format!("{shown} does not say after how many steps it was"))?;
        let (mut tensors, _) = weights::read(path)?;
        let mut all = Vec::new();
        for (name, parameter) in &self.all {
            let mut one = |part: &str| {
                let found = tensors.remove(&format!("{name}.{part}"));
                let found = found.filter(|tensor| tensor.size() == parameter.value.size());
                found.ok_or_else(|| format!("{shown} has no {name}.{part} of the right shape"))
            };
            all.push((one("mean")?.to_device(device), one("square")?.to_device(device)));
        }
        for (parameter, (mean, square)) in self.all.values_mut().zip(all) {
            (parameter.mean, parameter.square) = (mean, square);
        }
        self.steps = steps;
        Ok(())
    }
}

/// Where the memory of an optimizer lies beside weights: `w.optimizer.safetensors` beside `w.safetensors`.
pub fn beside(weights: &Path) -> PathBuf {
    weights.with_extension("optimizer.safetensors")
}
