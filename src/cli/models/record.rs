//! Imported models on disk: a folder each, which holds the weights under a name made of their contents, and a record of what they are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::base::{Architecture, Device, InputShape, Network, Weights};

/// The name of the record in the folder of a model.
const RECORD: &str = "model.toml";
/// The largest record that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 1 << 16;

/// What is kept of a model beside its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Record {
    /// Its layers, by name; `script` is what the file says.
    pub(in crate::cli) network: String,
    /// What it takes.
    pub(in crate::cli) input: String,
    /// The file of the weights, in the same folder: named after what is in it.
    pub(in crate::cli) weights: String,
    /// How long that file is.
    pub(in crate::cli) bytes: u64,
    /// BLAKE3 of what is in it: the same model is the same number on every machine.
    pub(in crate::cli) blake3: String,
}

impl Record {
    /// The network that it describes, whose files are in `folder`.
    pub(in crate::cli) fn network(&self, folder: &Path, device: Device, threads: u32) -> Result<Network> {
        let unsound = |why: String| anyhow!("{}: {why}", folder.join(RECORD).display());
        let architecture: Architecture = self.network.parse().map_err(unsound)?;
        let input: InputShape = self.input.parse().map_err(unsound)?;
        if Path::new(&self.weights).components().count() != 1 || self.weights.starts_with('.') {
            return Err(unsound(format!(
                "weights {:?} lie elsewhere; wanted the name of a file",
                self.weights
            )));
        }
        let weights = folder.join(&self.weights);
        let weights = weights.to_str().with_context(|| format!("{} is no text", weights.display()))?;
        let weights = Weights::File(weights.into());
        Ok(Network { architecture, weights, classes: 1000, input, device, threads })
    }
}

/// A model's folder and its record, or why there is none that is sound.
type Found = Result<(PathBuf, Record)>;

/// Where models are that were imported: `IDUNNO_MODELS`, or the folder models in the user's data folder.
pub(in crate::cli) fn folder() -> Result<PathBuf> {
    match std::env::var_os("IDUNNO_MODELS").filter(|folder| !folder.is_empty()) {
        Some(folder) => Ok(folder.into()),
        None => Ok(crate::cli::run::data_folder()?.join("models")),
    }
}

/// The folder and the record of the model of this name; `None` when none was imported.
pub(in crate::cli) fn find(name: &str) -> Result<Option<(PathBuf, Record)>> {
    let home = folder()?.join(name);
    let path = home.join(RECORD);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
        Ok(about) if about.len() > RECORD_BYTES_MAX => bail!("{} is no record of a model", path.display()),
        Ok(_) => {}
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let record =
        toml::from_str(&text).with_context(|| format!("{} is no record of a model", path.display()))?;
    Ok(Some((home, record)))
}

/// All models that were imported, by name; of one whose record is unsound, why.
pub(in crate::cli) fn all() -> Result<BTreeMap<Arc<str>, Found>> {
    let folder = folder()?;
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    let mut all = BTreeMap::new();
    for entry in entries {
        let name = entry.with_context(|| folder.display().to_string())?.file_name();
        // What begins with a dot is an import under way, or one that was given up.
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        if let Some(found) = find(name).transpose() {
            all.insert(name.into(), found);
        }
    }
    Ok(all)
}

/// The network that the imported model of this name is, on this device; an error says how to import one.
pub(in crate::cli) fn network(name: &str, device: Device, threads: u32) -> Result<Network> {
    let Some((folder, record)) = find(name)? else {
        bail!(
            "the model {name} has neither weights nor random_weights, and none of that name was imported on this machine; \"idunno models \
             import {name} FILE\" does that"
        );
    };
    record.network(&folder, device, threads)
}

/// Copies `from` into the folder of models as `name`; `replace` says whether another one of that name gives way. Whoever is interrupted
/// leaves what was there.
pub(super) fn import(
    name: &str,
    from: &Path,
    network: Architecture,
    input: &InputShape,
    replace: bool,
) -> Result<(PathBuf, Record)> {
    let folder = folder()?;
    let home = folder.join(name);
    let before = find(name).ok().flatten().map(|(_, record)| record);
    if home.join(RECORD).exists() && !replace {
        bail!("a model {name} was imported already; --replace puts this one in its place");
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let work = tempfile::Builder::new().prefix(".import-").tempdir_in(&folder);
    let work = work.with_context(|| format!("cannot write into {}", folder.display()))?;
    let copy = work.path().join("weights");
    let bytes = fs::copy(from, &copy).with_context(|| format!("cannot copy {}", from.display()))?;
    // Of the copy: what the record says of it stays true whatever becomes of the original.
    let blake3 = hash(&copy)?;
    let ending = from.extension().and_then(|ending| ending.to_str()).unwrap_or("pt");
    let weights = format!("{blake3}.{ending}");
    fs::rename(&copy, work.path().join(&weights))?;
    let (network, input) = (network.name().to_owned(), input.to_string());
    let record = Record { network, input, weights, bytes, blake3 };
    let text = toml::to_string(&record).context("a record of a model")?;
    fs::write(work.path().join(RECORD), text)
        .with_context(|| format!("cannot write into {}", work.path().display()))?;
    settle(work.path(), &home, &record, before.as_ref())
        .with_context(|| format!("cannot write {}", home.display()))?;
    Ok((home, record))
}

/// Makes what was imported the model in `home`, in one moment. The weights that were there until then stay until the next time: nodes
/// that run know them, and load them when they start an engine.
fn settle(work: &Path, home: &Path, record: &Record, before: Option<&Record>) -> io::Result<()> {
    fs::create_dir_all(home)?;
    fs::rename(work.join(&record.weights), home.join(&record.weights))?;
    fs::rename(work.join(RECORD), home.join(RECORD))?;
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name();
        let stays =
            name == RECORD || name == *record.weights || before.is_some_and(|before| name == *before.weights);
        if !stays && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// BLAKE3 of a file, in hexadecimal digits.
pub(super) fn hash(path: &Path) -> Result<String> {
    let read = || -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize())
    };
    Ok(read().with_context(|| path.display().to_string())?.to_hex().to_string())
}
