//! Models that were imported are known by name: to nodes, to jobs, and to drills, whose accuracy is that of a local run.

use std::fs;
use std::path::Path;

use idunno::base::{Network, Prediction, Weights};
use idunno::cluster::Client;
use idunno::engine::torch::Model;
use idunno::node::{Inputs, JobSpec, Question, Reading, Reply, Request};

use tch::{Device, Kind, Tensor};

use super::cluster::{Cluster, done, idunno, refused, until};
use super::networks::network;
use super::serve::local;

/// Four nodes, whose coordinator is killed in the midst of the job.
const SCENARIO: &str = "name = \"mine\"\nnodes = 4\ntrials = 1\n\
    [model.letters]\nengine = \"torch\"\n\
    [[job]]\nname = \"a\"\nmodel = \"letters\"\ninputs = \"node:test:0..1200\"\nbatch = 16\n\
    [[fault]]\nat = \"200ms\"\nkind = \"crash\"\ntarget = \"coordinator\"\n";

/// The share of predictions whose first class, or one of the first five, is right.
fn accuracy(all: &[Result<Prediction, String>]) -> [f64; 2] {
    [1, 5].map(|first| {
        let right = all.iter().filter(|one| one.as_ref().unwrap().is_right(first) == Some(true)).count();
        right as f64 / all.len() as f64
    })
}

#[test]
fn an_imported_model_is_known_by_its_name() {
    let at = tempfile::tempdir().unwrap();
    let folder = at.path();
    done(folder, "dataset letters --count 1040 --seed 1 --size 16 --out letters --quiet");
    done(folder, "dataset letters --count 1200 --seed 2 --size 16 --flat --out test --quiet");
    done(
        folder,
        "train lenet letters --input image:16x16 --epochs 6 --out w.safetensors --threads 1 --device cpu",
    );

    // What does not fit is refused, and nothing is left of it.
    assert!(done(folder, "models list").contains("no models in"));
    // Training wrote down what it is.
    let said = refused(folder, "models import letters w.safetensors --network mlp");
    assert!(said.contains("was trained as lenet") && said.contains("--network says mlp"), "{said}");
    let said = refused(folder, "models import letters w.safetensors --input image:32x32");
    assert!(said.contains("was trained as image:16x16"), "{said}");
    strangers(folder);
    assert!(refused(folder, "models import letters none.pt").contains("none.pt"));
    assert!(refused(folder, "models inspect letters").contains("no model letters"));
    let import = "models import letters w.safetensors";
    done(folder, "models import letters zeros.safetensors --network lenet --input image:16x16");
    assert!(refused(folder, import).contains("--replace"));
    done(folder, &format!("{import} --replace"));
    let entries: Vec<_> = fs::read_dir(folder.join("models")).unwrap().collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    // Those from before stay for nodes that know them, until the next time.
    let kept = || fs::read_dir(folder.join("models/letters")).unwrap().count();
    assert_eq!(kept(), 3);
    done(folder, &format!("{import} --replace"));
    assert_eq!(kept(), 2);

    let weights = fs::read(folder.join("w.safetensors")).unwrap();
    let hash = blake3::hash(&weights).to_hex().to_string();
    let listed = done(folder, "models list");
    assert!(listed.contains("letters") && listed.contains(&hash[..16]), "{listed}");
    let shown = done(folder, "models inspect letters");
    for part in
        ["lenet", "image:16x16", "3 × 16 × 16", "0:A 1:B", "25:Z", &hash, "conv1.weight", "16 × 3 × 5 × 5"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // The original may go elsewhere: nodes have the copy.
    let copy = folder.join(format!("models/letters/{hash}.safetensors"));
    fs::rename(folder.join("w.safetensors"), folder.join("o.safetensors")).unwrap();
    let mine = network("lenet", Weights::File(copy.to_str().unwrap().into()), "image:16x16");
    let wanted = accuracy(&local(&mine, &folder.join("test")));
    assert!(wanted[0] > 0.2 && wanted[1] > wanted[0] && wanted[1] < 1.0, "{wanted:?} shows too little");
    drilled(folder, wanted);
    named(folder, &mine, &local(&mine, &folder.join("test")));
    served(folder, &mine);

    let mut damaged = weights;
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&copy, damaged).unwrap();
    let output = idunno(folder, "models inspect letters");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not what was imported"));
    // Nor does a node load it.
    assert!(Model::load(&mine).unwrap_err().contains("is damaged, or is another file than was imported"));
    // What was learnt at one size is not run at another.
    let path = folder.join("o.safetensors");
    let other = network("lenet", Weights::File(path.to_str().unwrap().into()), "image:32x32");
    let said = Model::load(&other).unwrap_err();
    assert!(said.contains("trained on image:16x16, not image:32x32"), "{said}");
}

/// The same weights from elsewhere do not say which layers they are of.
fn strangers(folder: &Path) {
    let model = Model::load(&network("lenet", Weights::Random(3), "image:16x16")).unwrap();
    let zeros = |(name, shape): (String, Vec<i64>)| (name, Tensor::zeros(shape, (Kind::Float, Device::Cpu)));
    let tensors: Vec<(String, Tensor)> = model.parameters().into_iter().map(zeros).collect();
    Tensor::write_safetensors(&tensors, folder.join("zeros.safetensors")).unwrap();
    assert!(refused(folder, "models import letters zeros.safetensors").contains("--network"));
    let said = refused(folder, "models import letters zeros.safetensors --network mlp --input image:16x16");
    assert!(said.contains("does not fit") && said.contains("mlp"), "{said}");
    let nan: Vec<(String, Tensor)> =
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor / 0.0)).collect();
    Tensor::write_safetensors(&nan, folder.join("nan.safetensors")).unwrap();
    let output = idunno(folder, "models import nan nan.safetensors --network lenet --input image:16x16");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("no answer to an input of zeros"), "{said}");
    fs::remove_dir_all(folder.join("models/nan")).unwrap();
}

/// Of a dataset with few of the classes, the answers are those that the same pictures had among all: classes go by their names.
fn named(folder: &Path, mine: &Network, all: &[Result<Prediction, String>]) {
    let table = fs::read_to_string(folder.join("test/labels.csv")).unwrap();
    let (few, foreign) = (folder.join("few"), folder.join("foreign"));
    let mut wanted = Vec::new();
    for (row, one) in table.lines().skip(1).zip(all) {
        let (file, letter) = row.split_once(',').unwrap();
        if !["C", "Q", "X"].contains(&letter) {
            continue;
        }
        for (at, class) in [(&few, letter), (&foreign, "?")] {
            fs::create_dir_all(at.join(class)).unwrap();
            fs::copy(folder.join("test").join(file), at.join(class).join(file)).unwrap();
        }
        wanted.push((format!("{letter}/{file}"), one.clone().unwrap()));
    }
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    let found: Vec<Prediction> = local(mine, &few).into_iter().map(Result::unwrap).collect();
    let wanted: Vec<Option<u16>> = wanted.into_iter().map(|(_, one)| one.label).collect();
    assert_eq!(found.iter().map(|one| one.label).collect::<Vec<_>>(), wanted);
    assert!(wanted.contains(&Some(2)) && wanted.contains(&Some(16)) && wanted.contains(&Some(23)));
    // A class that the network has never heard of is never right.
    assert!(local(mine, &foreign).iter().all(|one| one.as_ref().unwrap().is_right(5) == Some(false)));
    // Nor is one that is only the number of a class that it knows by a name.
    let numbered = folder.join("numbered");
    fs::create_dir_all(&numbered).unwrap();
    fs::copy(
        folder.join("test").join(table.lines().nth(1).unwrap().split_once(',').unwrap().0),
        numbered.join("0.png"),
    )
    .unwrap();
    let best = local(mine, &foreign)[0].as_ref().map_or(0, |one| one.top[0].0);
    fs::write(numbered.join("labels.csv"), format!("file,label\n0.png,{best}\n")).unwrap();
    assert_eq!(local(mine, &numbered)[0].as_ref().unwrap().is_right(5), Some(false));
    // Weights without names and with another number of classes say nothing about which is which.
    let drawn = network("lenet", Weights::Random(1), "image:16x16");
    assert!(local(&drawn, &few).iter().all(|one| one.as_ref().unwrap().label.is_none()));
}

/// A drill whose inputs are not there says so, and is none.
#[test]
fn a_drill_that_answers_nothing_fails_and_says_why() {
    let at = tempfile::tempdir().unwrap();
    let folder = at.path();
    let model = "engine = \"torch\"\nnetwork = \"lenet\"\nrandom_weights = 1\nclasses = 26\nload = \"1s\"\nper_input = \"1ms\"";
    let scenario = SCENARIO.replace("engine = \"torch\"", model).replace("0..1200", "0..160");
    fs::write(folder.join("mine.toml"), scenario).unwrap();
    let output = idunno(folder, "drill mine.toml --out results");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No input was answered") && said.contains("160 of 160 inputs"), "{said}");
    assert!(said.contains("not found: test"), "{said}");
}

/// A drill names it without a word about what it takes; a rehearsal would have to know.
fn drilled(folder: &Path, wanted: [f64; 2]) {
    fs::write(folder.join("mine.toml"), SCENARIO).unwrap();
    done(folder, "drill mine.toml --out results --quiet");
    let mut jobs = csv::Reader::from_path(folder.join("results/mine/real/jobs.csv")).unwrap();
    let header = jobs.headers().unwrap().clone();
    let row = jobs.records().next().unwrap().unwrap();
    let cell = |name: &str| row[header.iter().position(|column| column == name).unwrap()].to_owned();
    assert_eq!([cell("inputs"), cell("failed_inputs")], ["1200", "0"]);
    let found = ["accuracy_top1", "accuracy_top5"].map(|name| cell(name).parse::<f64>().unwrap());
    for (found, wanted) in found.iter().zip(wanted) {
        // Six decimals are kept.
        assert!((found - wanted).abs() < 1e-6, "{found} in the drill, {wanted} in a local run");
    }
    let summary = fs::read_to_string(folder.join("results/mine/real/recovery.csv")).unwrap();
    assert!(summary.lines().count() == 2 && summary.contains("crash"), "{summary}");
    let said = refused(folder, "sim mine.toml --out rehearsed");
    assert!(said.contains("letters") && said.contains("calibrate model"), "{said}");
    assert!(!folder.join("rehearsed").exists());
}

/// A node knows it without any settings.
fn served(folder: &Path, mine: &Network) {
    let cluster = Cluster::start(folder, "");
    let mut client: Client = cluster.client();
    let inputs = Inputs::Range {
        dataset: format!("node:{}", folder.join("test").display()).into(),
        from: 0,
        count: 160,
    };
    let (name, model) = ("a".into(), "letters".into());
    let spec = JobSpec { name, model, inputs, batch: 16, weight: 1.0, priority: 0 };
    let Ok(Reply::Submitted(job)) = client.request(&Request::Submit(spec)) else { panic!("it is refused") };
    let report = until("the job ends", || match client.read(Question::Job(job)) {
        Ok(Reading::Job(report)) => Some(report).filter(|report| report.status.ended),
        other => panic!("{other:?}"),
    });
    assert_eq!((report.status.inputs_done, report.status.inputs_failed), (160, 0), "{mine:?}: {report:?}");
}
