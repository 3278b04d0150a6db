//! What it costs to give out queries that take no time: three real nodes on this machine, each with its disk, its sockets and its engine.
//!
//! The *rate* is that of one large job on a model that takes no time: queries that were counted in a second, each of them dispatched,
//! run by an engine's process, reported, and committed by a majority with fsync on. Beside it stands where the time goes: processor
//! time per query of every thread of the nodes, and of their engines. On two cores three nodes share what ten machines would each
//! have for themselves.
//!
//! The *latency* is that of single queries: from the moment that a client submits a job of one input until it is told that the job has
//! ended. At least two syncs of two disks lie in it, of the submission and of the result; the measured ones stand beside it.
//!
//! `cargo bench --bench dispatch -- --queries 500000` takes another number of queries, `--test` very few.

mod nodes;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use idunno::base::JobId;
use idunno::cluster::{Client, Key};
use idunno::node::{Inputs, JobReport, JobSpec, Question, Reading, Reply, Request};
use nodes::{IDUNNO, Node, PATIENCE};

const MODELS: &str = "[model.null]\nload = \"0s\"\nper_input = \"0s\"\n";

/// Three nodes, of which all vote.
fn cluster(folder: &Path) -> (Vec<Node>, Client) {
    fs::write(folder.join("idunno.toml"), MODELS).expect("the folder is writable");
    let made = Command::new(IDUNNO).args(["key", "new", "key"]).current_dir(folder).output();
    assert!(made.expect("it can be started").status.success());
    let first = Node::start(folder, "n1", true, None);
    let join = Some(first.address);
    let nodes = vec![first, Node::start(folder, "n2", true, join), Node::start(folder, "n3", true, join)];
    let key = Key::read(&folder.join("key")).expect("it was just made");
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
    let mut client = Client::new(&key, &addresses, PATIENCE).expect("a client needs a port");
    let began = Instant::now();
    loop {
        let standing = client.standing().expect("a node answers");
        if standing.members.len() == 3 && standing.seats.voters.len() == 3 {
            return (nodes, client);
        }
        assert!(began.elapsed() < PATIENCE, "the nodes form no cluster");
        thread::sleep(Duration::from_millis(20));
    }
}

fn submit(client: &mut Client, inputs: u64) -> JobId {
    let inputs = Inputs::Range { dataset: "synthetic".into(), from: 0, count: inputs };
    let (name, model) = ("job".into(), "null".into());
    let spec = JobSpec { name, model, inputs, batch: 1, weight: 1.0, priority: 0 };
    match client.request(&Request::Submit(spec)) {
        Ok(Reply::Submitted(job)) => job,
        other => panic!("{other:?}"),
    }
}

/// Looks at a job, every so often, until it has ended.
fn ended(client: &mut Client, job: JobId, every: Duration) -> JobReport {
    let began = Instant::now();
    loop {
        match client.read(Question::Job(job)) {
            Ok(Reading::Job(report)) if report.status.ended => return report,
            Ok(Reading::Job(_)) => assert!(began.elapsed() < PATIENCE, "{job} does not end"),
            other => panic!("{other:?}"),
        }
        thread::sleep(every);
    }
}

/// Processor time of every thread of the nodes and their engines so far, in seconds, by names; nothing where the system does not tell.
fn spent(nodes: &[Node]) -> BTreeMap<Arc<str>, f64> {
    // The kernel counts in hundredths of a second, whatever its own clock does.
    let ticks = 100.0;
    let mut all: BTreeMap<Arc<str>, f64> = BTreeMap::new();
    for node in nodes {
        let pid = node.process.id();
        let tasks = |pid: u32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut children = Vec::new();
        for task in tasks(pid) {
            add(&mut all, "", &task.path().join("stat"), ticks);
            let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.extend(list.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        for child in children {
            for task in tasks(child) {
                add(&mut all, "engine's process", &task.path().join("stat"), ticks);
            }
        }
    }
    all
}

/// Adds what a thread has spent, by its own name or the one that it is given.
fn add(all: &mut BTreeMap<Arc<str>, f64>, called: &str, stat: &Path, ticks: f64) {
    let stat = fs::read_to_string(stat).unwrap_or_default();
    let Some((head, rest)) = stat.rsplit_once(')') else { return };
    let own = head.split_once('(').map_or("", |(_, name)| name);
    let name = if called.is_empty() { own } else { called };
    // Counted from the state, which is the third field: user and system time are fields 14 and 15.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let time = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    *all.entry(name.into()).or_default() += (time(11) + time(12)) / ticks;
}

fn percentiles(label: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let shown = [0, 50, 90, 99].map(|share| at(share).map_or(0.0, |time| time.as_secs_f64() * 1e3));
    println!(
        "{label:<24} {:>6} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
        times.len(),
        shown[0],
        shown[1],
        shown[2],
        shown[3]
    );
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let brief = words.iter().any(|word| word == "--test");
    let wanted = words.iter().position(|word| word == "--queries").and_then(|place| words.get(place + 1));
    let usual = if brief { 2_000 } else { 200_000 };
    let queries = wanted.map_or(usual, |number| number.parse().expect("a number of queries"));
    let folder = tempfile::tempdir().expect("a folder for disks");
    let (nodes, mut client) = cluster(folder.path());
    let syncs = client.measure().expect("the nodes answer");
    let syncs = syncs.into_iter().filter_map(|(_, found)| found.ok()).flat_map(|found| found.syncs);
    let syncs: Vec<Duration> = syncs.map(|span| Duration::from_nanos(span.0)).collect();
    // The model is in memory everywhere once a few have run.
    let warm = submit(&mut client, 300);
    ended(&mut client, warm, Duration::from_millis(5));

    let singles = (0..if brief { 5 } else { 300 }).map(|_| {
        let began = Instant::now();
        let job = submit(&mut client, 1);
        ended(&mut client, job, Duration::ZERO);
        began.elapsed()
    });
    let singles: Vec<Duration> = singles.collect();

    let before = spent(&nodes);
    let began = Instant::now();
    let job = submit(&mut client, queries);
    let report = ended(&mut client, job, Duration::from_millis(20));
    let took = began.elapsed().as_secs_f64();
    let after = spent(&nodes);
    assert_eq!((u64::from(report.queries_counted), report.status.inputs_failed), (queries, 0));

    println!("{queries} queries in {took:.2} s: {:.0} a second", queries as f64 / took);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let all: f64 = after.values().sum::<f64>() - before.values().sum::<f64>();
    println!("processor time of all nodes: {:.0} % of {cores} cores", 100.0 * all / took / cores as f64);
    let mut parts: Vec<(f64, &str)> = (after.iter())
        .map(|(name, spent)| (spent - before.get(name).copied().unwrap_or(0.0), &**name))
        .collect();
    parts.sort_by(|one, other| other.0.total_cmp(&one.0));
    for (seconds, name) in parts.iter().filter(|(seconds, _)| *seconds > 0.0) {
        println!("  {name:<22} {:>7.1} µs per query, all nodes together", seconds * 1e6 / queries as f64);
    }
    println!("\n{:<24} {:>6} {:>9} {:>9} {:>9} {:>9}", "milliseconds", "n", "least", "median", "p90", "p99");
    percentiles("single query", singles);
    percentiles("fsync, as nodes measure", syncs);
}
