//! A network learns letters, and a cluster answers with what it has learnt.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idunno::base::{Network, Prediction, Weights};
use idunno::dataset::Dataset;
use idunno::engine::torch::{Model, prepare};
use serde_json::Value;

use super::cluster::{Cluster, done, idunno, refused};
use super::faults::{Job, answers_through_faults};
use super::networks::network;

/// Inputs per query.
pub(crate) const BATCH: usize = 16;
/// How often nodes are killed in the midst of the same work.
const TRIALS: u32 = 3;

fn errors(table: &Path) -> Vec<f64> {
    let mut reader = csv::Reader::from_path(table).unwrap();
    assert_eq!(
        reader.headers().unwrap(),
        vec!["epoch", "train_loss", "train_error", "validation_error", "seconds"]
    );
    reader.records().map(|row| row.unwrap()[3].parse().unwrap()).collect()
}

#[test]
fn what_a_network_has_learnt_is_what_three_nodes_answer() {
    let at = tempfile::tempdir().unwrap();
    let folder = at.path();
    done(folder, "dataset letters --count 5200 --seed 1 --out letters --quiet");
    let began = Instant::now();
    done(folder, "train lenet letters --epochs 5 --out w.safetensors --threads 1 --device cpu");
    let took = began.elapsed();
    let learnt = errors(&folder.join("train.csv"));
    println!("errors {learnt:?} after {took:?}");
    assert_eq!(learnt.len(), 5);
    assert!(learnt[4] <= 0.05, "at least 95 % were to be right, and {learnt:?} of them are wrong");
    assert!(took < Duration::from_mins(2), "{took:?}");

    // It goes on where it was, and only there.
    assert!(refused(folder, "train lenet letters --epochs 6 --out w.safetensors").contains("--resume"));
    done(
        folder,
        "train lenet letters --epochs 6 --out w.safetensors --resume --quiet --threads 1 --device cpu",
    );
    let longer = errors(&folder.join("train.csv"));
    assert_eq!((longer.len(), &longer[..5]), (6, &learnt[..]));
    assert!(longer[5] <= 0.05, "{longer:?}");
    assert!(
        refused(folder, "train mlp letters --epochs 7 --out w.safetensors --resume")
            .contains("it holds lenet")
    );
    // Nothing that was learnt comes into the validation, and no other training's table is replaced.
    for other in ["--seed 2", "--validation 0.2"] {
        let said =
            refused(folder, &format!("train lenet letters --epochs 7 --out w.safetensors --resume {other}"));
        assert!(said.contains("it began with --seed 1 --validation 0.1"), "{said}");
    }
    fs::copy(folder.join("letters/A/0000.png"), folder.join("letters/A/more.png")).unwrap();
    let said = refused(folder, "train lenet letters --epochs 7 --out w.safetensors --resume");
    assert!(said.contains("5200 inputs") && said.contains("5201"), "{said}");
    fs::remove_file(folder.join("letters/A/more.png")).unwrap();
    done(folder, "train mlp letters --epochs 1 --out other.safetensors --quiet --threads 1 --device cpu");
    assert_eq!(errors(&folder.join("other.train.csv")).len(), 1);
    assert_eq!(errors(&folder.join("train.csv")), longer);

    // Other letters, with two inputs that are none.
    done(folder, "dataset letters --count 200 --seed 2 --flat --out test --quiet");
    fs::write(folder.join("test/bad.png"), "no picture").unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
    let array =
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    fs::write(folder.join("test/few.npy"), array).unwrap();
    let weights = folder.join("w.safetensors");
    let letters = network("lenet", Weights::File(weights.to_str().unwrap().into()), "image:32x32");
    let wanted = local(&letters, &folder.join("test"));
    assert_eq!(wanted.len(), 202);

    let drawn = network("resnet18", Weights::Random(7), "image:64x64");
    let table = |name: &str, network: &Network, weights: &str| {
        let (layers, input) = (network.architecture.name(), &network.input);
        format!(
            "[model.{name}]\nengine = \"torch\"\nnetwork = \"{layers}\"\ninput = \"{input}\"\ndevice = \"cpu\"\n{weights}\n\
             load = \"1s\"\nper_input = \"1ms\"\n"
        )
    };
    let models = table("letters", &letters, "weights = \"store:models/letters.safetensors\"")
        + &table("drawn", &drawn, "random_weights = 7\nclasses = 10");
    let mut cluster = Cluster::start(folder, &models);
    let ask = |words: &str| idunno(folder, &format!("{words} --key key --node {}", cluster.address(0)));
    // What it has learnt travels through the store.
    assert!(ask("put w.safetensors models/letters.safetensors --quiet").status.success());
    let test = folder.join("test");
    let submitted =
        ask(&format!("submit letters node:{} --range 0..202 --batch {BATCH} --wait", test.display()));
    let said =
        String::from_utf8_lossy(&submitted.stdout).into_owned() + &String::from_utf8_lossy(&submitted.stderr);
    assert_eq!(submitted.status.code(), Some(1), "two inputs failed: {said}");
    assert!(said.contains("202 of 202") && said.contains("2 failed") && said.contains("% right"), "{said}");
    let shown = String::from_utf8(ask("result 1 --format json").stdout).unwrap();
    let rows: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 202);
    let mut right = 0;
    for (row, wanted) in rows.iter().zip(&wanted) {
        match wanted {
            Ok(wanted) => {
                let shown: Vec<String> =
                    wanted.top.iter().map(|(class, chance)| format!("{class}:{chance:.4}")).collect();
                assert_eq!(row["prediction"], shown.join(" "), "{row}");
                assert_eq!(row["label"].as_u64(), wanted.label.map(u64::from), "{row}");
                right += u32::from(wanted.is_right(1) == Some(true));
            }
            Err(why) => assert_eq!(row["failure"], why.as_str(), "{row}"),
        }
    }
    assert!(right >= 180, "{right} of 200 are right");
    let job: Value = serde_json::from_slice(&ask("job 1 --format json").stdout).unwrap();
    assert!((job["accuracy_top1"].as_f64().unwrap() - f64::from(right) / 200.0).abs() < 1e-9, "{job}");
    let reasons: Vec<&str> =
        job["failures"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["unreadable image: neither PNG nor JPEG", "shape [2] instead of [3, 32, 32]"]);

    // More work, so that there is time to kill nodes in the midst of it.
    done(folder, "dataset letters --count 1500 --seed 3 --flat --out many --quiet");
    done(folder, "dataset letters --count 1600 --seed 4 --size 64 --out larger --quiet");
    let job = |model: &'static str, network: &Network, dataset: &str| {
        let dataset = folder.join(dataset);
        Job { model, wanted: local(network, &dataset), dataset: format!("node:{}", dataset.display()) }
    };
    let jobs = [job("letters", &letters, "many"), job("drawn", &drawn, "larger")];
    for trial in 0..TRIALS {
        answers_through_faults(&mut cluster, &jobs, trial);
    }
}

/// What a plain loop over the same queries says about each input.
pub(crate) fn local(network: &Network, dataset: &Path) -> Vec<Result<Prediction, String>> {
    let model = Model::load(network).unwrap();
    let dataset = Arc::new(Dataset::open(dataset).unwrap());
    let mut reader = dataset.reader().unwrap();
    let mut all = Vec::new();
    let places: Vec<usize> = (0..dataset.names().len()).collect();
    for query in places.chunks(BATCH) {
        let decoded: Vec<Result<Vec<f32>, String>> =
            query.iter().map(|place| prepare(&reader.read(*place as u64).unwrap(), &network.input)).collect();
        let readable: Vec<&[f32]> = decoded.iter().flatten().map(Vec::as_slice).collect();
        let mut answers = model.run(&readable).unwrap().into_iter();
        for (place, decoded) in query.iter().zip(&decoded) {
            let label = model.class_of(&dataset, *place);
            let top = decoded.clone().and_then(|_| answers.next().unwrap());
            all.push(top.map(|top| Prediction { label, top }));
        }
    }
    all
}

#[test]
fn nothing_is_trained_on_what_cannot_be_learnt_from() {
    let at = tempfile::tempdir().unwrap();
    let folder = at.path();
    done(folder, "dataset letters --count 60 --out few --quiet");
    assert!(refused(folder, "train lenet few --out w.pt").contains(".safetensors"));
    assert!(refused(folder, "train lenet none --out w.safetensors").contains("none"));
    fs::write(folder.join("few/A/bad.png"), "no picture").unwrap();
    let said = refused(folder, "train lenet few --epochs 1 --out w.safetensors");
    assert!(said.contains("A/bad.png") && said.contains("neither PNG nor JPEG"), "{said}");
    fs::rename(folder.join("few/A/bad.png"), folder.join("few/loose.png")).unwrap();
    let said = refused(folder, "train lenet few --epochs 1 --out w.safetensors");
    assert!(said.contains("loose.png") && said.contains("no label"), "{said}");
    assert!(!folder.join("w.safetensors").exists() && !folder.join("train.csv").exists());
    fs::remove_file(folder.join("few/loose.png")).unwrap();
    for table in ["w.safetensors", "./w.safetensors", "few/../w.optimizer.safetensors"] {
        let same = refused(folder, &format!("train lenet few --out w.safetensors --table {table}"));
        assert!(same.contains("--table names w.") && same.contains("where weights are to go"), "{same}");
    }
    for places in ["--out none/w.safetensors", "--out w.safetensors --table none/t.csv"] {
        let said = refused(folder, &format!("train lenet few {places}"));
        assert!(said.contains("there is no folder none"), "{said}");
    }
    fs::write(folder.join("w.optimizer.safetensors"), "precious").unwrap();
    let said = refused(folder, "train lenet few --out w.safetensors");
    assert!(said.contains("w.optimizer.safetensors exists already"), "{said}");
    fs::remove_file(folder.join("w.optimizer.safetensors")).unwrap();
    fs::write(folder.join("mine.txt"), "precious").unwrap();
    let other = refused(folder, "train lenet few --out w.safetensors --table mine.txt");
    assert!(other.contains("there is something else in mine.txt"), "{other}");
    assert_eq!(fs::read_to_string(folder.join("mine.txt")).unwrap(), "precious");
}
