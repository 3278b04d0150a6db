//! What training says beside the weights that it writes: what they are weights of, what they were learnt from, and how far they came.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::train::Epoch;
use super::weights;
use crate::base::{Architecture, InputShape};
use crate::dataset::Dataset;

/// Under these names they stand among the metadata of a `.safetensors` file, each as a text; all but the first two are JSON.
const NAMES: [&str; 5] =
    ["idunno.network", "idunno.input", "idunno.classes", "idunno.split", "idunno.epochs"];

/// What is known of weights that `idunno train` wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The layers.
    pub network: Architecture,
    /// What they take.
    pub input: InputShape,
    /// The names of the classes that they tell apart, by number.
    pub classes: Vec<Arc<str>>,
    /// Which inputs they learnt from.
    pub split: Split,
    /// The epochs so far.
    pub epochs: Vec<Epoch>,
}

/// What decides which inputs of a dataset are learnt from and which are kept for validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// What the order is drawn from.
    pub seed: u64,
    /// The part that is kept for validation.
    pub validation: f64,
    /// How many inputs there are.
    pub inputs: u64,
    /// BLAKE3 of their names in order, each with a line end, in hexadecimal digits.
    pub names: String,
}

impl Split {
    /// How this dataset is divided.
    pub fn of(dataset: &Dataset, seed: u64, validation: f64) -> Split {
        let mut names = blake3::Hasher::new();
        for name in dataset.names() {
            names.update(name.as_bytes()).update(b"\n");
        }
        let inputs = dataset.names().len() as u64;
        Split { seed, validation, inputs, names: names.finalize().to_hex().to_string() }
    }
}

impl Facts {
    /// What is said in this file; `None` where it says nothing, because something else wrote it. An error says what is damaged.
    pub fn of(path: &Path) -> Result<Option<Facts>, String> {
        Facts::read(&weights::metadata(path)?).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// What these metadata say.
    pub(super) fn read(metadata: &HashMap<String, String>) -> Result<Option<Facts>, String> {
        let [network, input, classes, split, epochs] = NAMES
            .map(|name| metadata.get(name).map(String::as_str).ok_or_else(|| format!("it lacks {name}")));
        let Ok(network) = network else { return Ok(None) };
        let damaged = |name: &str, why: &dyn std::fmt::Display| format!("{name} is damaged: {why}");
        Ok(Some(Facts {
            network: network.parse().map_err(|why: String| damaged(NAMES[0], &why))?,
            input: input?.parse().map_err(|why: String| damaged(NAMES[1], &why))?,
            classes: serde_json::from_str(classes?).map_err(|why| damaged(NAMES[2], &why))?,
            split: serde_json::from_str(split?).map_err(|why| damaged(NAMES[3], &why))?,
            epochs: serde_json::from_str(epochs?).map_err(|why| damaged(NAMES[4], &why))?,
        }))
    }

    /// As metadata.
    pub(super) fn written(&self) -> HashMap<String, String> {
        let json = [
            serde_json::to_string(&self.classes),
            serde_json::to_string(&self.split),
            serde_json::to_string(&self.epochs),
        ];
        let [classes, split, epochs] =
            json.map(|text| text.expect("texts and finite numbers can be written"));
        let values = [self.network.name().to_owned(), self.input.to_string(), classes, split, epochs];
        NAMES.map(str::to_owned).into_iter().zip(values).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_others_wrote_says_nothing() {
        let split = Split { seed: 7, validation: 0.1, inputs: 52, names: "00ff".to_owned() };
        let epoch =
            Epoch { epoch: 1, train_loss: 0.5, train_error: 0.25, validation_error: 0.125, seconds: 1.5 };
        let facts = Facts {
            network: Architecture::LeNet,
            input: Architecture::LeNet.usual_input(),
            classes: vec!["A".into(), "B".into()],
            split,
            epochs: vec![epoch],
        };
        let mut written = facts.written();
        assert_eq!(Facts::read(&written), Ok(Some(facts)));
        written.insert("idunno.split".to_owned(), "{}".to_owned());
        assert!(Facts::read(&written).unwrap_err().contains("idunno.split is damaged"));
        written.remove("idunno.split");
        assert!(Facts::read(&written).unwrap_err().contains("lacks idunno.split"));
        assert_eq!(Facts::read(&HashMap::from([("format".to_owned(), "pt".to_owned())])), Ok(None));
    }
}
