//! The commands of clients against real nodes: what they print, and that what they ask for outlives whoever leads.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use idunno::base::JobId;
use idunno::cluster::{Client, Key};
use idunno::node::{Inputs, JobSpec, Reply, Request};
use serde_json::Value;

use crate::cluster::{Node, PATIENCE, ask, folder, formed, rows, until};

/// Three nodes, of which all vote.
fn three(folder: &Path) -> Vec<Node> {
    let first = Node::start(folder, "n1", &[]);
    let mut nodes = vec![Node::start(folder, "n2", &[&first]), Node::start(folder, "n3", &[&first])];
    nodes.insert(0, first);
    formed(folder, &nodes.iter().collect::<Vec<_>>(), 3, 3);
    nodes
}

fn at(nodes: &[Node]) -> Vec<&Node> {
    nodes.iter().collect()
}

/// What a command prints that has to work.
fn said(folder: &Path, nodes: &[Node], words: &[&str]) -> String {
    let output = ask(folder, &at(nodes), "key", words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    text(&output.stdout)
}

/// The message of a command that has to fail with this code.
fn refused(folder: &Path, nodes: &[Node], words: &[&str], code: i32) -> String {
    let output: Output = ask(folder, &at(nodes), "key", words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

/// Where in `nodes` the leader is.
fn leader(folder: &Path, nodes: &[Node]) -> usize {
    until("somebody leads", || {
        let members = rows(folder, &at(nodes), "members");
        let leader = members.iter().find(|member| member["leads"] == true)?;
        nodes.iter().position(|node| leader["address"] == node.address.as_str())
    })
}

fn kill(mut node: Node) {
    node.process.kill().unwrap();
    node.process.wait().unwrap();
}

fn is(value: &Value, wanted: &str) -> bool {
    value.as_str() == Some(wanted)
}

#[test]
fn every_command_says_what_it_did() {
    let folder = folder();
    let folder = folder.path();
    let nodes = three(folder);
    let does = |words: &[&str]| said(folder, &nodes, words);
    let table = |what| rows(folder, &at(&nodes), what);
    assert_eq!(does(&["jobs"]), "There are no jobs.\n");
    // Inputs by number and by name.
    assert_eq!(
        does(&["submit", "letters", "40", "--batch", "10", "--range", "5..25", "--name", "range"]),
        "job 1\n"
    );
    std::fs::write(folder.join("list"), "a.png\nb.png\nc.png\n").unwrap();
    let waited = does(&["submit", "letters", "list", "--wait"]);
    assert!(waited.starts_with("job 2\njob 2 has ended: 3 of 3 inputs done and none failed\n"), "{waited}");
    assert!(
        refused(folder, &nodes, &["submit", "letters", "no/such/file"], 2).contains("no number of inputs")
    );
    // A model that nobody knows is refused before anything is asked for, also beside one that is known.
    let unknown = refused(folder, &nodes, &["predict", "4", "--models", "letters,nonsense"], 2);
    assert!(unknown.contains("there is no model \"nonsense\"; the settings of n1 name letters"), "{unknown}");
    // Who asks by other ways gets a job of which every input fails, and says why.
    let key = Key::read(&folder.join("key")).unwrap();
    let mut client = Client::new(&key, &[nodes[0].address.parse().unwrap()], PATIENCE).unwrap();
    let spec = |model: &str| JobSpec {
        name: model.into(),
        model: model.into(),
        inputs: Inputs::Range { dataset: "synthetic".into(), from: 0, count: 4 },
        batch: 1,
        weight: 1.0,
        priority: 0,
    };
    for (model, job) in [("letters", 3), ("nonsense", 4)] {
        let told = client.request(&Request::Submit(spec(model))).unwrap();
        assert_eq!(told, Reply::Submitted(JobId(job)));
    }
    until("both jobs end", || table("jobs")[2..].iter().all(|job| job["ended"] == true).then_some(()));
    let failed = does(&["job", "4"]);
    assert!(failed.starts_with("job 4: nonsense, complete\n") && failed.contains("4, 4 failed"), "{failed}");
    let reasons = does(&["job", "4", "--format", "csv"]);
    assert!(
        reasons.starts_with("from,name,inputs,reason\n0,synthetic:0,") && reasons.contains("nonsense"),
        "{reasons}"
    );
    assert!(refused(folder, &nodes, &["job", "77"], 1).contains("there is no job 77"));
    // Results name their inputs; those of the first job are the dataset's numbers 5 to 24.
    until("job 1 ends", || (table("jobs")[0]["ended"] == true).then_some(()));
    let result = does(&["result", "1", "--format", "csv"]);
    let lines: Vec<&str> = result.lines().collect();
    assert_eq!((lines.len(), lines[0]), (21, "input,name,prediction,failure,label"));
    assert!(lines[1].starts_with("0,synthetic:5,") && lines[20].starts_with("19,synthetic:24,"), "{result}");
    assert!(does(&["result", "2"]).lines().nth(1).is_some_and(|line| line.contains("a.png")));
    // A job that lasts, and what can be done with it.
    does(&["submit", "letters", "100000", "--batch", "10", "--name", "long"]);
    let long = || rows(folder, &at(&nodes), "jobs").into_iter().find(|job| is(&job["name"], "long")).unwrap();
    until("it is under way", || (long()["done"].as_u64() > Some(100)).then_some(()));
    let stats = table("stats");
    let long_stats = stats.iter().find(|job| is(&job["name"], "long")).unwrap();
    assert!(
        long_stats["rate_qps"].as_f64() > Some(1.0) && long_stats["p99_s"].as_f64() > Some(0.01),
        "{long_stats}"
    );
    assert!(does(&["stats"]).contains("since this coordinator's reign began"));
    let workers = table("assignments");
    assert_eq!(workers.len(), 3);
    assert!(workers.iter().any(|worker| worker["job"] == 5 && worker["last_took_s"].as_f64() > Some(0.01)));
    assert!(does(&["batch", "5", "20"]).contains("queries of 20 inputs"));
    assert!(does(&["stop", "5"]).contains("job 5 is stopped") && is(&long()["state"], "stopped"));
    assert!(does(&["resume", "5"]).contains("job 5 goes on") && is(&long()["state"], "running"));
    assert!(refused(folder, &nodes, &["remove", "5"], 1).contains("has not ended yet"));
    assert!(does(&["cancel", "5"]).contains("job 5 is over") && is(&long()["state"], "cancelled"));
    assert!(does(&["remove", "5"]).contains("job 5 is forgotten"));
    assert_eq!(table("jobs").len(), 4);
    // The cluster itself.
    assert!(refused(folder, &nodes, &["policy", "nonsense"], 2).contains("wanted one of"));
    let policy =
        |name: &str| table("policy").iter().any(|row| is(&row["name"], name) && row["in_force"] == true);
    assert!(policy("rate_balance"));
    does(&["policy", "even"]);
    assert!(policy("even"));
    assert!(refused(folder, &nodes, &["drain", "n9"], 2).contains("there are "));
    let status = |words: &[&str]| does(&[&["status"], words].concat());
    let term =
        |shown: &str| -> u64 { serde_json::from_str::<Value>(shown).unwrap()["term"].as_u64().unwrap() };
    let (before, first) = (term(&status(&["--format", "json"])), leader(folder, &nodes));
    let shown = status(&[]);
    assert!(shown.contains(&format!("term      {before}, led by n{}", first + 1)), "{shown}");
    assert!(shown.contains("policy    even") && shown.contains("0 entries"), "{shown}");
    let heir = format!("n{}", (first + 1) % 3 + 1);
    assert!(does(&["handover", "--to", &heir]).contains(&format!("{heir} leads in term ")));
    assert!(term(&status(&["--format", "json"])) > before);
    let quiet = does(&["jobs", "--quiet"]);
    assert_eq!(quiet, "");
    assert!(refused(folder, &nodes, &["top"], 2).contains("the standard output is none"));
    // It goes at last, whoever leads by then.
    assert!(does(&["leave", "n3"]).contains("n3 has left"));
    let mut nodes = nodes;
    let mut gone = nodes.remove(2);
    let status = until("its process ends", || gone.process.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert_eq!(formed(folder, &at(&nodes), 2, 1).len(), 2);
}

#[test]
fn what_clients_ask_for_is_done_once_and_outlives_the_leader() {
    let folder = folder();
    let folder = folder.path();
    let mut nodes = three(folder);
    said(folder, &nodes, &["policy", "fifo"]);
    let first = leader(folder, &nodes);
    let drained = format!("n{}", (first + 1) % 3 + 1);
    said(folder, &nodes, &["drain", &drained]);
    // Jobs come one after another, and the leader dies among them.
    let submit = |nodes: &[Node], serial: usize| {
        said(folder, nodes, &["submit", "letters", "10", "--name", &format!("s{serial}")])
    };
    (0..8).for_each(|serial| assert!(submit(&nodes, serial).starts_with("job ")));
    let (dead, left) = {
        let dead = nodes.remove(first);
        (dead, nodes)
    };
    std::thread::scope(|scope| {
        let stream =
            scope.spawn(|| (8..30).for_each(|serial| assert!(submit(&left, serial).starts_with("job "))));
        std::thread::sleep(std::time::Duration::from_millis(150));
        kill(dead);
        stream.join().unwrap();
    });
    let jobs = until("all jobs end", || {
        let jobs = rows(folder, &at(&left), "jobs");
        (!jobs.is_empty() && jobs.iter().all(|job| job["ended"] == true)).then_some(jobs)
    });
    let names: BTreeSet<&str> = jobs.iter().map(|job| job["name"].as_str().unwrap()).collect();
    assert_eq!((jobs.len(), names.len()), (30, 30), "each was carried out once");
    assert!(jobs.iter().all(|job| job["done"] == 10 && job["failed"] == 0));
    // What operators chose is in the log.
    let shown = said(folder, &left, &["status"]);
    assert!(shown.contains("policy    fifo") && shown.contains(&format!("drained   {drained}")), "{shown}");
    let worker = rows(folder, &at(&left), "assignments").into_iter().find(|row| is(&row["worker"], &drained));
    assert!(is(&worker.unwrap()["state"], "drained"));
    said(folder, &left, &["drain", &drained, "--undo"]);
    assert!(!said(folder, &left, &["status"]).contains("drained"));
    // With one voter of three there is no quorum, and that is said as such.
    let mut left = left;
    kill(left.remove(0));
    let why = refused(folder, &left, &["status"], 5);
    assert!(why.contains("no quorum"), "{why}");
    assert!(refused(folder, &left, &["submit", "letters", "1", "--timeout", "1s"], 5).contains("no quorum"));
    // What a node knows by itself it still tells; the leader that died first may have been evicted before.
    let members = rows(folder, &at(&left), "members").len();
    assert!((2..=3).contains(&members), "{members}");
}
