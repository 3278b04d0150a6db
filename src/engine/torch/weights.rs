//! Weights on disk: read with every name and shape checked, and written with what is needed to use them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::base::Architecture;

/// The most bytes of a file with weights.
const FILE_BYTES_MAX: u64 = 8 << 30;
/// The most names that a message lists.
const SHOWN_MAX: usize = 3;
/// Counts that torchvision stores and nobody needs for inference.
const COUNTED: &str = ".num_batches_tracked";

/// The names and values of a file.
pub(super) type Tensors = BTreeMap<String, Tensor>;

/// Reads all of a file, onto the processor.
pub(super) fn read(path: &Path) -> Result<Tensors, String> {
    let shown = path.display();
    let size = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{shown} has {size} bytes, and at most {FILE_BYTES_MAX} are allowed"));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
            let file = SafeTensors::deserialize(&bytes)
                .map_err(|error| format!("{shown} is no sound .safetensors file: {error}"))?;
            let tensors = file.iter().filter(|(name, _)| !name.ends_with(COUNTED));
            tensors.map(|(name, view)| Ok((name.to_owned(), tensor(name, &view)?))).collect()
        }
        Some("ot") => {
            let tensors = Tensor::load_multi_with_device(path, Device::Cpu)
                .map_err(|error| format!("{shown} is no sound .ot file: {}", first_line(&error)))?;
            Ok(tensors.into_iter().filter(|(name, _)| !name.ends_with(COUNTED)).collect())
        }
        _ => Err(format!(
            "{shown} does not end in .safetensors or .ot; wanted one of these two formats of weights"
        )),
    }
}

fn tensor(name: &str, view: &TensorView<'_>) -> Result<Tensor, String> {
    let kind = match view.dtype() {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        other => return Err(format!("{name} holds {other:?}; wanted floating point numbers")),
    };
    let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
    // That the bytes are as many as the shape needs was checked with the file.
    let tensor = Tensor::f_from_data_size(view.data(), &shape, kind);
    Ok(tensor.map_err(|error| format!("{name}: {}", first_line(&error)))?.to_kind(Kind::Float))
}

/// How many classes these weights tell apart.
pub(super) fn classes(architecture: Architecture, tensors: &Tensors) -> Result<i64, String> {
    let last = super::networks::last_layer(architecture);
    let classes = tensors.get(last).and_then(|tensor| tensor.size().first().copied());
    classes.filter(|classes| (1..=i64::from(u16::MAX)).contains(classes)).ok_or_else(|| {
        format!(
            "they lack {last}, and so are none of {}; they hold {}",
            architecture.name(),
            some(tensors.keys())
        )
    })
}

/// Puts weights into a network, if they are exactly those that it has: with a name less or more they are those of another one.
pub(super) fn install(architecture: Architecture, store: &VarStore, tensors: &Tensors) -> Result<(), String> {
    let own = store.variables();
    let mut missing: Vec<&String> = own.keys().filter(|name| !tensors.contains_key(*name)).collect();
    let foreign: Vec<&String> = tensors.keys().filter(|name| !own.contains_key(*name)).collect();
    missing.sort_unstable();
    if !missing.is_empty() {
        return Err(format!("they lack {}, which {} has", some(missing), architecture.name()));
    }
    if !foreign.is_empty() {
        return Err(format!("they hold {}, which {} has not", some(foreign), architecture.name()));
    }
    for (name, mut parameter) in own {
        let tensor = &tensors[&name];
        if tensor.size() != parameter.size() {
            let (found, wanted) = (tensor.size(), parameter.size());
            return Err(format!("{name} has the shape {found:?} instead of {wanted:?}"));
        }
        let copied = tch::no_grad(|| parameter.f_copy_(tensor));
        copied.map_err(|error| format!("{name}: {}", first_line(&error)))?;
    }
    Ok(())
}

/// The first few of these names.
fn some(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let shown: Vec<&str> = names.iter().take(SHOWN_MAX).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN_MAX) {
        0 if shown.is_empty() => "nothing".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Writes tensors, and facts about them, as .safetensors in the place of `path`; no half of a file is ever there.
pub(super) fn write(
    path: &Path,
    tensors: &HashMap<String, Tensor>,
    facts: HashMap<String, String>,
) -> Result<(), String> {
    let mut all = BTreeMap::new();
    for (name, tensor) in tensors {
        let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut bytes = vec![0; flat.numel() * 4];
        flat.f_copy_data_u8(&mut bytes, flat.numel()).map_err(|error| first_line(&error))?;
        all.insert(name.clone(), (flat.size().iter().map(|side| *side as usize).collect::<Vec<_>>(), bytes));
    }
    let views = all.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a number has four bytes"))
    });
    let bytes = safetensors::serialize(views, Some(facts)).map_err(|error| error.to_string())?;
    let half = path.with_extension("tmp");
    let written = fs::write(&half, bytes).and_then(|()| fs::rename(&half, path));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What is said beside the weights in a .safetensors file.
pub(super) fn facts(path: &Path) -> Result<HashMap<String, String>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|error| format!("{} is no sound .safetensors file: {error}", path.display()))?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

/// What libtorch says, without the stack of C++ calls.
pub(super) fn first_line(error: &tch::TchError) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given").to_owned()
}
