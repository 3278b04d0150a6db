//! Training goes on where it was.

use std::fs;
use std::path::Path;

use idunno::base::Device;
use idunno::dataset::letters::{Layout, Letters};
use idunno::engine::torch::train::{Epoch, Training, train};

const EPOCHS: u32 = 3;

fn training(out: &Path, resume: bool) -> Training {
    Training {
        architecture: "lenet".parse().unwrap(),
        input: "image:16x16".parse().unwrap(),
        epochs: EPOCHS,
        rate: 0.002,
        batch: 32,
        validation: 0.1,
        seed: 5,
        device: Device::Cpu,
        threads: 1,
        out: out.to_owned(),
        resume,
    }
}

/// Trains until `until` epochs are there: the epochs without what they took, and whether the optimizer's memory was missed.
fn trained(training: &Training, dataset: &Path, until: u32) -> (Vec<Epoch>, bool) {
    let mut forgotten = false;
    let epochs = train(training, dataset, |epoch| epoch.epoch < until, |_| forgotten = true).unwrap();
    (epochs.into_iter().map(|epoch| Epoch { seconds: 0.0, ..epoch }).collect(), forgotten)
}

/// Interrupted after the first epoch, and gone on with twice, it ends with the same weights as in one run; without what the optimizer
/// remembered it does not.
#[test]
fn training_in_parts_is_training_in_one_run() {
    let at = tempfile::tempdir().unwrap();
    let dataset = at.path().join("letters");
    Letters { count: 260, seed: 1, side: 16 }.write(&dataset, Layout::Folders, |_| true).unwrap();
    let [whole, parts, lost] =
        ["whole", "parts", "lost"].map(|name| at.path().join(name).with_extension("safetensors"));
    let (wanted, _) = trained(&training(&whole, false), &dataset, EPOCHS);
    assert_eq!(wanted.len(), EPOCHS as usize);
    let weights = |path: &Path| fs::read(path).unwrap();

    for out in [&parts, &lost] {
        let (first, forgotten) = trained(&training(out, false), &dataset, 1);
        assert_eq!((&first[..], forgotten), (&wanted[..1], false));
    }
    let (second, forgotten) = trained(&training(&parts, true), &dataset, 2);
    assert_eq!((&second[..], forgotten), (&wanted[..2], false));
    let (all, forgotten) = trained(&training(&parts, true), &dataset, EPOCHS);
    assert_eq!((&all, forgotten), (&wanted, false));
    // The times that epochs took stand in the files as well, and so the numbers are compared.
    let tensors = |path: &Path| {
        let bytes = weights(path);
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + length..].to_vec()
    };
    assert_eq!(tensors(&parts), tensors(&whole));

    fs::remove_file(lost.with_extension("optimizer.safetensors")).unwrap();
    let (all, forgotten) = trained(&training(&lost, true), &dataset, EPOCHS);
    assert!(forgotten && all.len() == EPOCHS as usize);
    assert_ne!(tensors(&lost), tensors(&whole));
}
