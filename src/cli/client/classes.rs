//! What the classes of a network are called, for those who read its predictions.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::base::Prediction;

/// The most bytes of a list, and of what stands before the weights in a `.safetensors` file.
const BYTES_MAX: u64 = 100 << 20;

/// The names of classes, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes(Vec<String>);

/// What stands before the weights, as far as it is of interest here.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "__metadata__")]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "idunno.classes")]
    classes: Option<String>,
}

impl Classes {
    /// Those of a list with a name per line, from class 0 on, or of weights that `idunno train` wrote.
    pub(super) fn read(path: &Path) -> Result<Classes> {
        let shown = path.display();
        let mut file = File::open(path).with_context(|| format!("{shown} cannot be read"))?;
        let names = if path.extension().is_some_and(|extension| extension == "safetensors") {
            of_weights(&mut file)
        } else {
            of_list(&mut file)
        };
        let names = names.with_context(|| format!("{shown} names no classes"))?;
        ensure!(!names.is_empty(), "{shown} is empty; wanted a name per line, from class 0 on");
        Ok(Classes(names))
    }

    /// What people call this class: its number where it has no name.
    pub(super) fn name(&self, class: u16) -> String {
        self.0.get(usize::from(class)).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The likeliest classes with their probabilities, the likeliest first.
    pub(super) fn text(&self, prediction: &Prediction) -> String {
        let one = |(class, probability): &(u16, f32)| format!("{}:{probability:.4}", self.name(*class));
        prediction.top.iter().map(one).collect::<Vec<_>>().join(" | ")
    }
}

fn of_list(file: &mut File) -> Result<Vec<String>> {
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

fn of_weights(file: &mut File) -> Result<Vec<String>> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > BYTES_MAX {
        bail!("it is no sound .safetensors file");
    }
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head)?;
    let head: Head = serde_json::from_slice(&head).context("it is no sound .safetensors file")?;
    let classes = head.metadata.and_then(|metadata| metadata.classes);
    let classes = classes
        .ok_or_else(|| anyhow!("\"idunno train\" did not write it; give a list with a name per line"))?;
    Ok(serde_json::from_str(&classes)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    impl Classes {
        pub(in crate::cli::client) fn of(names: &[&str]) -> Classes {
            Classes(names.iter().map(|&name| name.to_owned()).collect())
        }
    }

    /// What is read from a file of this name with these contents.
    fn read(name: &str, contents: &[u8]) -> Result<Classes, String> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join(name);
        fs::write(&path, contents).expect("it is writable");
        Classes::read(&path).map_err(|error| format!("{error:#}").replace(&path.display().to_string(), name))
    }

    #[test]
    fn names_come_from_a_list_or_from_what_training_wrote() {
        assert_eq!(
            read("list.txt", b"tench, Tinca\r\ngoldfish\n"),
            Ok(Classes::of(&["tench, Tinca", "goldfish"]))
        );
        let head = br#"{"__metadata__":{"idunno.network":"lenet","idunno.classes":"[\"A\",\"B\"]"}}"#;
        let weights = [&(head.len() as u64).to_le_bytes()[..], head, b"weights"].concat();
        assert_eq!(read("letters.safetensors", &weights), Ok(Classes::of(&["A", "B"])));
    }

    #[test]
    fn what_names_none_is_refused() {
        let refusal = |name: &str, contents: &[u8]| read(name, contents).unwrap_err();
        assert!(refusal("list.txt", b"").contains("list.txt is empty; wanted a name per line"));
        assert!(refusal("a.safetensors", b"short").contains("a.safetensors names no classes"));
        assert!(refusal("a.safetensors", &[255; 20]).contains("no sound .safetensors file"));
        let head = br#"{"__metadata__":{"format":"pt"}}"#;
        let others = [&(head.len() as u64).to_le_bytes()[..], head].concat();
        assert!(refusal("a.safetensors", &others).contains("\"idunno train\" did not write it"));
    }
}
