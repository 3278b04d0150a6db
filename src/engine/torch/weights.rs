//! Weights on disk: read with every name and shape checked, and written with what is needed to use them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata as Head, SafeTensors, TensorView};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::base::Architecture;

/// The most bytes of a file with weights.
const FILE_BYTES_MAX: u64 = 8 << 30;
/// The longest head of a .safetensors file that is read: it stands after its length, in eight bytes, and names what follows.
const HEAD_BYTES_MAX: u64 = 100 << 20;
/// The most names that a message lists.
const SHOWN_MAX: usize = 3;
/// Counts that torchvision stores and nobody needs for inference.
const COUNTED: &str = ".num_batches_tracked";

/// The names and values of a file.
pub(super) type Tensors = BTreeMap<String, Tensor>;

/// What is said beside them, by name.
pub(super) type Metadata = HashMap<String, String>;

/// Reads all of a file, onto the processor; the format `.ot` has no metadata.
pub(super) fn read(path: &Path) -> Result<(Tensors, Metadata), String> {
    let shown = path.display();
    let size = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{shown} has {size} bytes, and at most {FILE_BYTES_MAX} are allowed"));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
            let unsound = |error| format!("{shown} is no sound .safetensors file: {error}");
            let file = SafeTensors::deserialize(&bytes).map_err(unsound)?;
            let (_, head) = SafeTensors::read_metadata(&bytes).map_err(unsound)?;
            let tensors = file.iter().filter(|(name, _)| !name.ends_with(COUNTED));
            let tensors = tensors.map(|(name, view)| Ok((name.to_owned(), tensor(name, &view)?)));
            Ok((tensors.collect::<Result<_, String>>()?, head.metadata().clone().unwrap_or_default()))
        }
        Some("ot") => {
            let tensors = Tensor::load_multi_with_device(path, Device::Cpu)
                .map_err(|error| format!("{shown} is no sound .ot file: {}", reason(&error)))?;
            let tensors = tensors.into_iter().filter(|(name, _)| !name.ends_with(COUNTED));
            Ok((tensors.collect(), Metadata::new()))
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
    Ok(tensor.map_err(|error| format!("{name}: {}", reason(&error)))?.to_kind(Kind::Float))
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
        copied.map_err(|error| format!("{name}: {}", reason(&error)))?;
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

/// Whether a file that is named after what is in it (its BLAKE3, as of imported ones) holds just that; an error says that it does not. Any
/// other file may hold anything.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let named =
        path.file_stem().and_then(|name| name.to_str()).and_then(|name| blake3::Hash::from_hex(name).ok());
    let Some(named) = named else { return Ok(()) };
    let shown = path.display();
    let mut found = blake3::Hasher::new();
    let read = File::open(path).and_then(|file| found.update_reader(file).map(|_| ()));
    read.map_err(|error| format!("{shown}: {error}"))?;
    if found.finalize() == named {
        return Ok(());
    }
    Err(format!("{shown} is damaged, or is another file than was imported; import it again"))
}

/// Where a file is while it is being written.
fn half(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

/// Writes tensors, and what is said beside them, as .safetensors in the place of `path`; no half of a file is ever there.
pub(super) fn write(
    path: &Path,
    tensors: &HashMap<String, Tensor>,
    metadata: Metadata,
) -> Result<(), String> {
    let mut all = BTreeMap::new();
    for (name, tensor) in tensors {
        let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut bytes = vec![0; flat.numel() * 4];
        flat.f_copy_data_u8(&mut bytes, flat.numel()).map_err(|error| reason(&error))?;
        all.insert(name.clone(), (flat.size().iter().map(|side| *side as usize).collect::<Vec<_>>(), bytes));
    }
    let views = all.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a number has four bytes"))
    });
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())?;
    let half = half(path);
    let written = fs::write(&half, bytes).and_then(|()| fs::rename(&half, path));
    written.map_err(|error| {
        // What is written of it would only take room, of which there may be none.
        let _ = fs::remove_file(&half);
        format!("cannot write {}: {error}", path.display())
    })
}

/// What is said beside the weights in a .safetensors file, whose head alone is read.
pub(super) fn metadata(path: &Path) -> Result<Metadata, String> {
    let shown = path.display();
    let read = |from: File| -> std::io::Result<Vec<u8>> {
        let mut from = BufReader::new(from);
        let mut length = [0; 8];
        from.read_exact(&mut length)?;
        let mut head = Vec::new();
        from.take(u64::from_le_bytes(length).min(HEAD_BYTES_MAX)).read_to_end(&mut head)?;
        Ok(head)
    };
    let head = File::open(path).and_then(read).map_err(|error| format!("{shown}: {error}"))?;
    let head: Head = serde_json::from_slice(&head)
        .map_err(|error| format!("{shown} is no sound .safetensors file: {error}"))?;
    Ok(head.metadata().clone().unwrap_or_default())
}

/// What libtorch says, without the stack of C++ calls: its first line, and of a script's error, which begins with where it was,
/// what it was.
pub(super) fn reason(error: &tch::TchError) -> String {
    essence(&error.to_string()).to_owned()
}

fn essence(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("no reason given");
    let named = |line: &&str| {
        let name = line.split_once(": ").map(|(name, _)| name);
        name.is_some_and(|name| name.ends_with("Error") && !name.contains(' '))
    };
    lines.find(named).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::essence;

    #[test]
    fn of_an_error_its_essence_is_told() {
        let script = "The following operation failed in the TorchScript interpreter.\n\
                      Traceback of TorchScript (most recent call last):\n  File \"<string>\", line 3, in forward\n\
                      RuntimeError: shape '[1, 7]' is invalid for input of size 12\n";
        assert_eq!(essence(script), "RuntimeError: shape '[1, 7]' is invalid for input of size 12");
        assert_eq!(essence("\nno such file\nException raised from open: at x.cpp"), "no such file");
        assert_eq!(essence(""), "no reason given");
    }
}
