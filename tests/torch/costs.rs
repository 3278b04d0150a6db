//! What a network takes, measured as a table for scenarios.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cluster::{IDUNNO, done, refused};

const MODEL: &str = "calibrate model lenet --random-weights 1 --batch 1,4 --device cpu";

#[test]
fn what_was_measured_can_be_rehearsed() {
    let at = tempfile::tempdir().unwrap();
    let folder = at.path();
    done(folder, &format!("{MODEL} --repeats 5 --out lenet.toml --charts charts"));
    let table = fs::read_to_string(folder.join("lenet.toml")).unwrap();
    assert!(table.contains("[model.lenet]") && table.contains("by idunno calibrate model"), "{table}");
    let mut times = csv::Reader::from_path(folder.join("charts/lenet.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = times.records().map(Result::unwrap).collect();
    let count = |what: &str, inputs: &str| {
        rows.iter()
            .filter(|row| &row[0] == what && &row[1] == inputs && row[2].parse::<f64>().unwrap() > 0.0)
            .count()
    };
    assert_eq!((count("load", ""), count("query", "1"), count("query", "4"), rows.len()), (5, 5, 5, 15));
    assert!(folder.join("charts/lenet.svg").exists() && folder.join("charts/lenet.png").exists());

    let scenario =
        "name = \"mine\"\nnodes = 3\ntrials = 2\n[[job]]\nmodel = \"lenet\"\ninputs = 100\nbatch = 4\n";
    fs::write(folder.join("mine.toml"), format!("{scenario}\n{table}")).unwrap();
    done(folder, "sim mine.toml --out results --quiet");

    // What was measured already is not replaced, and what cannot be is said before anything is measured.
    assert!(refused(folder, &format!("{MODEL} --out lenet.toml")).contains("exists already"));
    let said = refused(folder, &format!("{MODEL} --charts lenet.toml"));
    assert!(said.contains("cannot make the folder lenet.toml"), "{said}");
    let said = refused(folder, "calibrate model lenet");
    assert!(said.contains("--weights FILE") && said.contains("--random-weights SEED"), "{said}");
    assert!(
        refused(folder, "calibrate model lenet --weights w.safetensors --classes 3").contains("--weights")
    );
    assert!(
        refused(folder, "calibrate model lenet --weights w.safetensors").contains("--weights w.safetensors")
    );
}

#[test]
fn measuring_ends_at_the_first_interrupt() {
    let at = tempfile::tempdir().unwrap();
    let mut command = Command::new(IDUNNO);
    command.args(MODEL.split(' ')).args(["--repeats", "100000", "--out", "lenet.toml"]);
    let mut child = command.current_dir(at.path()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(child.try_wait().unwrap().is_none(), "it has ended by itself");
    let began = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Without a word on the interrupt it would go on for minutes.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(!at.path().join("lenet.toml").exists());
}
