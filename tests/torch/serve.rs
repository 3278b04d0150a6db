//! A network learns letters, and a cluster answers with what it has learnt.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use idunno::base::Weights;
use idunno::dataset::Dataset;
use idunno::engine::torch::{Model, prepare};
use serde_json::Value;

use super::networks::network;

const IDUNNO: &str = env!("CARGO_BIN_EXE_idunno");
const BATCH: usize = 16;

fn idunno(folder: &Path, words: &str) -> Output {
    Command::new(IDUNNO).args(words.split(' ')).current_dir(folder).output().expect("it can be started")
}

fn done(folder: &Path, words: &str) -> String {
    let output = idunno(folder, words);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "idunno {words}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn refused(folder: &Path, words: &str) -> String {
    let output = idunno(folder, words);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "idunno {words}: {err}");
    err
}

/// A node that ends with the test.
struct Node(Child, String);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    fn start(folder: &Path, name: &str, join: Option<&Node>) -> Node {
        let mut command = Command::new(IDUNNO);
        command.args([
            "run",
            "--tied",
            "--listen",
            "127.0.0.1:0",
            "--key",
            "key",
            "--data",
            name,
            "--name",
            name,
        ]);
        if let Some(other) = join {
            command.args(["--join", &other.1]);
        }
        let log = fs::File::create(folder.join(format!("{name}.log"))).unwrap();
        let child =
            command.current_dir(folder).stdin(Stdio::null()).stderr(log).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("it can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(
            address.contains(':'),
            "{line:?}: {}",
            fs::read_to_string(folder.join(format!("{name}.log"))).unwrap()
        );
        Node(child, address)
    }
}

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
        refused(folder, "train mlp letters --epochs 7 --out w.safetensors --resume").contains("\"lenet\"")
    );

    // Other letters, with two inputs that are none.
    done(folder, "dataset letters --count 200 --seed 2 --flat --out test --quiet");
    fs::write(folder.join("test/bad.png"), "no picture").unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
    let array =
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    fs::write(folder.join("test/few.npy"), array).unwrap();
    let wanted = local(&folder.join("w.safetensors"), &folder.join("test"));
    assert_eq!(wanted.len(), 202);

    done(folder, "key new key");
    let weights = folder.join("w.safetensors");
    let model = format!(
        "[model.letters]\nengine = \"torch\"\nnetwork = \"lenet\"\nweights = {weights:?}\nload = \"1s\"\nper_input = \"1ms\"\n"
    );
    fs::write(folder.join("idunno.toml"), model).unwrap();
    let first = Node::start(folder, "n1", None);
    let _others = ["n2", "n3"].map(|name| Node::start(folder, name, Some(&first)));
    let until = Instant::now() + Duration::from_mins(1);
    let ask = |words: &str| idunno(folder, &format!("{words} --key key --node {}", first.1));
    while String::from_utf8_lossy(&ask("members --format csv").stdout).lines().count() < 4 {
        assert!(Instant::now() < until, "three nodes never became a cluster");
        thread::sleep(Duration::from_millis(50));
    }
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
        let (answer, label) = wanted;
        match answer {
            Ok(answer) => {
                assert_eq!(row["prediction"], answer.as_str(), "{row}");
                assert_eq!(row["label"].as_u64(), label.map(u64::from), "{row}");
                right += u32::from(answer.split(':').next().unwrap().parse().ok() == *label);
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
}

/// What a plain loop over the same queries says about each input, as `idunno result` shows it, with the label.
fn local(weights: &Path, dataset: &Path) -> Vec<(Result<String, String>, Option<u32>)> {
    let network = network("lenet", Weights::File(weights.to_str().unwrap().into()), "image:32x32");
    let model = Model::load(&network).unwrap();
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
            let answer = decoded.clone().and_then(|_| answers.next().unwrap());
            let shown = |top: Vec<(u16, f32)>| {
                top.iter().map(|(class, chance)| format!("{class}:{chance:.4}")).collect::<Vec<_>>().join(" ")
            };
            all.push((answer.map(shown), dataset.label(*place)));
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
}
