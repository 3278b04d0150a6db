//! Models that were imported are known by name: to nodes, to jobs, and to drills, whose accuracy is that of a local run.

use std::fs;
use std::path::Path;

use idunno::base::{Network, Prediction, Weights};
use idunno::cluster::Client;
use idunno::node::{Inputs, JobSpec, Question, Reading, Reply, Request};

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
    assert!(refused(folder, "models import letters w.safetensors").contains("--network"));
    let said = refused(folder, "models import letters w.safetensors --network mlp --input image:16x16");
    assert!(said.contains("does not fit") && said.contains("mlp"), "{said}");
    assert!(refused(folder, "models import letters none.pt").contains("none.pt"));
    assert!(refused(folder, "models inspect letters").contains("no model letters"));
    let import = "models import letters w.safetensors --network lenet --input image:16x16";
    done(folder, import);
    assert!(refused(folder, import).contains("--replace"));
    done(folder, &format!("{import} --replace"));
    let entries: Vec<_> = fs::read_dir(folder.join("models")).unwrap().collect();
    assert_eq!(entries.len(), 1, "{entries:?}");

    let weights = fs::read(folder.join("w.safetensors")).unwrap();
    let hash = blake3::hash(&weights).to_hex().to_string();
    let listed = done(folder, "models list");
    assert!(listed.contains("letters") && listed.contains(&hash[..16]), "{listed}");
    let shown = done(folder, "models inspect letters");
    for part in ["lenet", "image:16x16", "3 × 16 × 16", &hash, "conv1.weight", "16 × 3 × 5 × 5"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // The original may go: nodes have the copy.
    let copy = folder.join(format!("models/letters/{hash}.safetensors"));
    fs::remove_file(folder.join("w.safetensors")).unwrap();
    let mine = network("lenet", Weights::File(copy.to_str().unwrap().into()), "image:16x16");
    let wanted = accuracy(&local(&mine, &folder.join("test")));
    assert!(wanted[0] > 0.2 && wanted[1] > wanted[0] && wanted[1] < 1.0, "{wanted:?} shows too little");
    drilled(folder, wanted);
    served(folder, &mine);

    let mut damaged = weights;
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&copy, damaged).unwrap();
    let output = idunno(folder, "models inspect letters");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not what was imported"));
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
