//! What it costs to keep files on several real nodes of this machine, beside what copying them with `cp` costs.
//!
//! **put** and **update** (the same name, other bytes) go to a cluster of four, whose disks hold a copy each, and stand beside four
//! copies that are written to the same disk one after the other and made durable; **get** stands beside one. Both are measured in turn,
//! so that the disk and the rest of the machine are the same for both; what counts is the ratio. Memory is the most that a process
//! has had at any time (`VmHWM`).
//!
//! **healing** kills a node of five (SIGKILL) that holds a file of 40 MB: how long until the others suspect it, and how long until all
//! chunks have four copies again, both from the kill on.
//!
//! `cargo bench --bench store -- --rounds 5` repeats each so often, `--test` does very little.

mod nodes;

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use idunno::base::{NodeId, Rng};
use idunno::cluster::{Client, Key};
use idunno::node::{Question, Reading};
use nodes::{IDUNNO, Node, PATIENCE};

const COPIES: usize = 4;

/// A node and what it is called.
struct Named {
    name: String,
    node: Node,
}

fn start(folder: &Path, name: &str, join: Option<SocketAddr>) -> Named {
    Named { name: name.to_owned(), node: Node::start(folder, name, false, join) }
}

/// So many nodes, and a client that knows all of them.
fn cluster(folder: &Path, count: usize) -> (Vec<Named>, Client) {
    fs::write(folder.join("idunno.toml"), "").expect("the folder is writable");
    let made = Command::new(IDUNNO).args(["key", "new", "key"]).current_dir(folder).output();
    assert!(made.expect("it can be started").status.success());
    let mut nodes = vec![start(folder, "n1", None)];
    for number in 2..=count {
        let join = Some(nodes[0].node.address);
        nodes.push(start(folder, &format!("n{number}"), join));
    }
    let key = Key::read(&folder.join("key")).expect("it was just made");
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.node.address).collect();
    let mut client = Client::new(&key, &addresses, PATIENCE).expect("a client needs a port");
    wait("the nodes form a cluster", || {
        let standing = client.standing().expect("a node answers");
        standing.members.len() == count && standing.seats.voters.len() >= 3.min(count)
    });
    (nodes, client)
}

fn wait(what: &str, mut until: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

/// The most memory that a process has had so far, in bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

/// Carries a command out; says how long it took, and the most memory that it had.
fn command(folder: &Path, nodes: &[Named], words: &[&str]) -> (Duration, u64) {
    let began = Instant::now();
    let addresses: Vec<String> = nodes.iter().map(|node| node.node.address.to_string()).collect();
    let mut command = Command::new(IDUNNO);
    command.args(words).args(["--quiet", "--key", "key", "--node", &addresses.join(",")]).current_dir(folder);
    let mut process = command.spawn().expect("it can be started");
    let mut most = 0;
    let status = loop {
        most = most.max(peak(process.id()));
        if let Some(status) = process.try_wait().expect("it is a child") {
            break status;
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert!(status.success(), "{words:?}: {status}");
    (began.elapsed(), most)
}

/// Writes a file with bytes that repeat nowhere.
fn fill(path: &Path, bytes: usize, rng: &mut Rng) {
    let mut file = io::BufWriter::new(File::create(path).expect("there is room"));
    for _ in 0..bytes.div_ceil(8) {
        file.write_all(&rng.bits().to_le_bytes()).expect("there is room");
    }
    file.flush().expect("there is room");
}

/// Copies a file so often and makes it durable, as `cp` and `sync FILE` do.
fn copy(folder: &Path, file: &str, copies: usize) -> Duration {
    let began = Instant::now();
    for number in 0..copies {
        let to = folder.join(format!("copy{number}"));
        fs::copy(folder.join(file), &to).expect("there is room");
        File::open(&to).and_then(|file| file.sync_all()).expect("the disk works");
    }
    let took = began.elapsed();
    for number in 0..copies {
        let _ = fs::remove_file(folder.join(format!("copy{number}")));
    }
    took
}

/// The least, the median and the most.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    format!("{median:>9.3} ({:.3} to {:.3})", values[0], values[values.len() - 1])
}

fn report(what: &str, megabytes: usize, measured: &[(Duration, Duration)]) {
    let of = |take: &dyn Fn(&(Duration, Duration)) -> f64| spread(measured.iter().map(take).collect());
    let own = of(&|(own, _)| own.as_secs_f64());
    let copied = of(&|(_, copied)| copied.as_secs_f64());
    let ratio = of(&|(own, copied)| own.as_secs_f64() / copied.as_secs_f64());
    println!("{what:<8} {megabytes:>5}  {own:<28} {copied:<28} {ratio}");
}

/// Files of this size, put, updated and fetched in turn with copies.
fn files(megabytes: usize, rounds: usize, rng: &mut Rng) {
    let folder = tempfile::tempdir().expect("a folder for disks");
    let folder = folder.path();
    let (nodes, mut client) = cluster(folder, COPIES);
    let (mut puts, mut updates, mut gets, mut clients) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let name = format!("f{round}");
        for times in [&mut puts, &mut updates] {
            fill(&folder.join("local"), megabytes * 1_000_000, rng);
            let copied = copy(folder, "local", COPIES);
            let (took, most) = command(folder, &nodes, &["put", "local", &name, "--keep", "1"]);
            clients = clients.max(most);
            times.push((took, copied));
        }
        let copied = copy(folder, "local", 1);
        let (took, most) = command(folder, &nodes, &["get", &name, "back"]);
        clients = clients.max(most);
        gets.push((took, copied));
        let same = fs::read(folder.join("back")).unwrap() == fs::read(folder.join("local")).unwrap();
        assert!(same, "it comes back as it was put");
        // The disk is not to fill up over the rounds; what was deleted goes a minute later.
        command(folder, &nodes, &["delete", &name]);
    }
    report("put", megabytes, &puts);
    report("update", megabytes, &updates);
    report("get", megabytes, &gets);
    let most: Vec<String> =
        nodes.iter().map(|node| format!("{} {}", node.name, peak(node.node.process.id()) >> 20)).collect();
    println!("  most memory in MiB: {}; client {}", most.join(", "), clients >> 20);
    client.standing().expect("all nodes are well");
}

/// Kills one who holds a file, so often.
fn healing(megabytes: usize, rounds: usize, rng: &mut Rng) {
    let (mut detections, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let folder = tempfile::tempdir().expect("a folder for disks");
        let folder = folder.path();
        let (mut nodes, mut client) = cluster(folder, COPIES + 1);
        fill(&folder.join("local"), megabytes * 1_000_000, rng);
        command(folder, &nodes, &["put", "local", "precious"]);
        let leads = |client: &mut Client| match client.read(Question::Cluster) {
            Ok(Reading::Cluster(overview)) => overview.leader,
            other => panic!("{other:?}"),
        };
        let leader = leads(&mut client);
        let standing = client.standing().expect("a node answers");
        let lives = |id: NodeId| standing.members.iter().find(|member| member.id == id).expect("it belongs");
        let led = &*lives(leader).name;
        // One that does not lead: what a new coordinator takes is another matter.
        let dead = nodes.iter().rposition(|node| node.name != led).expect("there are five");
        let gone = nodes.remove(dead);
        let mut left = Vec::new();
        for node in &nodes {
            left.push(node.node.address);
        }
        let key = Key::read(&folder.join("key")).expect("it was just made");
        let mut client = Client::new(&key, &left, PATIENCE).expect("a client needs a port");
        let id = standing.members.iter().find(|member| *member.name == *gone.name).expect("it belongs").id;
        let began = Instant::now();
        drop(gone);
        wait("it is suspect", || match client.read(Question::Shelves) {
            Ok(Reading::Shelves(shelves)) => shelves.iter().all(|shelf| shelf.node != id || shelf.suspect),
            _ => false,
        });
        detections.push(began.elapsed().as_secs_f64());
        wait("there are four copies again", || match client.locate("precious", None) {
            Ok(found) => found
                .holders
                .iter()
                .all(|holders| holders.iter().filter(|&&holder| holder != id).count() >= COPIES),
            Err(_) => false,
        });
        copies.push(began.elapsed().as_secs_f64());
    }
    println!("\nhealing of {megabytes} MB after a kill, in seconds since then");
    println!("  suspected      {}", spread(detections));
    println!("  copied         {}", spread(copies));
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let brief = words.iter().any(|word| word == "--test");
    let wanted = words.iter().position(|word| word == "--rounds").and_then(|place| words.get(place + 1));
    let rounds = wanted.map(|number| number.parse::<usize>().expect("a number of rounds"));
    let mut rng = Rng::new(1);
    println!("{:<8} {:>5}  {:<28} {:<28} ratio", "", "MB", "seconds, median (range)", "cp with fsync");
    for (megabytes, usual) in if brief { vec![(1, 1)] } else { vec![(25, 7), (500, 3)] } {
        files(megabytes, rounds.unwrap_or(usual), &mut rng);
    }
    let (megabytes, usual) = if brief { (5, 1) } else { (40, 5) };
    healing(megabytes, rounds.unwrap_or(usual), &mut rng);
}
