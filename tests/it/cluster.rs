//! Real nodes: processes on this machine that form a cluster, lose members, and finish their jobs.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use idunno::base::Rng;
use serde_json::Value;

const IDUNNO: &str = env!("CARGO_BIN_EXE_idunno");
/// Nothing here takes long; this is how long a busy machine may take over it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const MODELS: &str = "[model.letters]\nload = \"20ms\"\nper_input = \"2ms\"\n";

/// A process that ends with the test, whatever happens.
pub(crate) struct Node {
    pub(crate) process: Child,
    pub(crate) address: String,
    log: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

impl Node {
    /// Starts a node in a folder that has a key, and waits until it listens.
    pub(crate) fn start(folder: &Path, name: &str, join: &[&Node]) -> Node {
        Node::begin(&mut command(folder, name, join), folder, name)
    }

    /// The same with more words on its command line.
    pub(crate) fn start_with(folder: &Path, name: &str, join: &[&Node], words: &[&str]) -> Node {
        Node::begin(command(folder, name, join).args(words), folder, name)
    }

    /// What it has written into its log.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn begin(command: &mut Command, folder: &Path, name: &str) -> Node {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it can be started");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let node = Node { process, address, log: folder.join(format!("{name}.log")) };
        assert!(line.starts_with(&format!("{name} ")), "{name} says {line:?}");
        node
    }

    fn signal(&self, signal: &str) {
        send(signal, self.process.id());
    }
}

fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.expect("there is a kill").success());
}

fn command(folder: &Path, name: &str, join: &[&Node]) -> Command {
    command_at(folder, name, join, "127.0.0.1:0")
}

fn command_at(folder: &Path, name: &str, join: &[&Node], at: &str) -> Command {
    let mut command = Command::new(IDUNNO);
    command.args(["run", "--listen", at, "--key", "key", "--data", name, "--name", name]);
    for node in join {
        command.args(["--join", &node.address]);
    }
    let log = File::options().append(true).create(true).open(folder.join(format!("{name}.log")));
    command.current_dir(folder).stdin(Stdio::null()).stderr(log.expect("the folder is writable"));
    command
}

/// A folder with a key and models.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("idunno.toml"), MODELS).unwrap();
    let made = Command::new(IDUNNO).args(["key", "new", "key"]).current_dir(folder.path()).output();
    assert!(made.unwrap().status.success());
    folder
}

/// What a client's command comes to.
pub(crate) fn ask(folder: &Path, at: &[&Node], key: &str, words: &[&str]) -> Output {
    let nodes: Vec<&str> = at.iter().map(|node| node.address.as_str()).collect();
    let mut command = Command::new(IDUNNO);
    command.args(words).args(["--key", key, "--node", &nodes.join(",")]).current_dir(folder);
    command.output().expect("it can be started")
}

/// The rows that a command shows; none when it fails.
pub(crate) fn rows(folder: &Path, at: &[&Node], what: &str) -> Vec<Value> {
    let shown = ask(folder, at, "key", &[what, "--format", "json", "--timeout", "5s"]);
    let text = String::from_utf8(shown.stdout).expect("it is text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

/// Looks until `look` finds something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The members, once there are `count` and so many of them vote.
pub(crate) fn formed(folder: &Path, at: &[&Node], count: usize, voters: usize) -> Vec<Value> {
    until(&format!("{count} members, {voters} of them voters"), || {
        let members = rows(folder, at, "members");
        let votes = members.iter().filter(|member| member["votes"] == true).count();
        (members.len() == count && votes == voters).then_some(members)
    })
}

fn submit(folder: &Path, at: &[&Node], inputs: &str) -> Output {
    let submitted = ask(folder, at, "key", &["submit", "letters", inputs, "--batch", "10"]);
    assert!(submitted.status.success(), "{submitted:?}");
    submitted
}

/// Waits for the only job, of which every input must have been counted once and none have failed.
fn done(folder: &Path, at: &[&Node], inputs: u64) {
    let job = until("the job ends", || rows(folder, at, "jobs").pop().filter(|job| job["ended"] == true));
    assert_eq!((job["done"].as_u64(), job["failed"].as_u64()), (Some(inputs), Some(0)), "{job}");
}

#[test]
fn a_job_outlives_the_leader_which_returns_from_its_disk() {
    let folder = folder();
    let folder = folder.path();
    let first = Node::start(folder, "n1", &[]);
    let mut nodes = vec![Node::start(folder, "n2", &[&first]), Node::start(folder, "n3", &[&first])];
    nodes.push(first);
    formed(folder, &nodes.iter().collect::<Vec<_>>(), 3, 3);
    submit(folder, &[&nodes[0]], "3000");
    // The job is under way, and whoever leads now is killed.
    let leader = until("someone leads a job that is under way", || {
        let job = rows(folder, &[&nodes[0]], "jobs").pop()?;
        let under_way = job["done"].as_u64()? > 0;
        assert_ne!(job["ended"], true, "the job is too short to be interrupted");
        let members = rows(folder, &[&nodes[0]], "members");
        let leader = members.iter().find(|member| member["leads"] == true)?;
        nodes.iter().position(|node| under_way && leader["address"] == node.address.as_str())
    });
    let mut dead = nodes.remove(leader);
    dead.process.kill().unwrap();
    dead.process.wait().unwrap();
    let name = dead.log.file_stem().unwrap().to_str().unwrap().to_owned();
    let left: Vec<&Node> = nodes.iter().collect();
    done(folder, &left, 3000);
    // It comes back as the same node in a new life, without being told whom to join.
    let back = Node::start(folder, &name, &[]);
    let life = until("it belongs to the cluster again", || {
        let members = rows(folder, &left, "members");
        let own = members.iter().find(|member| member["address"] == back.address.as_str())?;
        own["life"].as_u64()
    });
    assert!(life >= 2, "life {life}");
    done(folder, &[&back], 3000);
    // And leaves when it is told to.
    formed(folder, &left, 3, 3);
    let mut back = back;
    back.signal("TERM");
    let status = until("it ends", || back.process.try_wait().unwrap());
    assert!(status.success(), "{status}");
    until("the others are two", || (rows(folder, &left, "members").len() == 2).then_some(()));
    done(folder, &left, 3000);
}

#[test]
fn the_death_of_an_engine_costs_no_input() {
    let folder = folder();
    let folder = folder.path();
    let node = Node::start(folder, "n1", &[]);
    submit(folder, &[&node], "2000");
    until("the job is under way", || {
        rows(folder, &[&node], "jobs").pop()?["done"].as_u64().filter(|&done| done > 0)
    });
    let engine = until("it has an engine", || children(node.process.id()).pop());
    send("KILL", engine);
    done(folder, &[&node], 2000);
    assert_ne!(until("it has another engine", || children(node.process.id()).pop()), engine);
    let log = fs::read_to_string(&node.log).unwrap();
    assert!(log.contains("the engine died") && log.contains("signal: 9"), "{log}");
    // The engine does not outlive its node, however that ends.
    let last = children(node.process.id())[0];
    node.signal("KILL");
    until("the engine ends", || (!is_engine(last)).then_some(()));
}

#[test]
fn an_engine_that_hangs_is_killed_after_its_time_and_costs_no_input() {
    let folder = folder();
    let folder = folder.path();
    let node = Node::start(folder, "n1", &[]);
    submit(folder, &[&node], "2000");
    let done_so_far = || rows(folder, &[&node], "jobs").pop()?["done"].as_u64();
    // By then enough is known of the model that its queries have a limit of their own, of some hundred milliseconds.
    until("much is done", || done_so_far().filter(|&done| done > 300));
    let engine = until("it has an engine", || children(node.process.id()).pop());
    send("STOP", engine);
    let hung = Instant::now();
    // A child that was just forked is not an engine yet.
    let is_next = |id: &u32| *id != engine && is_engine(*id);
    until("it has another engine", || children(node.process.id()).pop().filter(is_next));
    assert!(hung.elapsed() < Duration::from_secs(30), "{:?}", hung.elapsed());
    assert!(!is_engine(engine));
    done(folder, &[&node], 2000);
    // Operators read of it, in the log and among the events.
    let log = fs::read_to_string(&node.log).unwrap();
    assert!(log.contains("the engine died") && log.contains("signal: 9"), "{log}");
    let events = rows(folder, &[&node], "events");
    assert!(
        events.iter().any(|event| event["text"].as_str().unwrap().contains("the engine died")),
        "{events:?}"
    );
}

/// The processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn is_engine(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0engine\0"))
}

#[test]
fn whoever_has_another_key_is_told_nothing_and_not_let_in() {
    let (own, other) = (folder(), folder());
    let node = Node::start(own.path(), "n1", &[]);
    formed(own.path(), &[&node], 1, 1);
    let refused = ask(other.path(), &[&node], "key", &["members", "--timeout", "1s"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{refused:?}");
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("it has another key"), "{why}");
    let mut stranger = command(other.path(), "n2", &[&node])
        .stdout(Stdio::null())
        .spawn()
        .map(|process| Node { process, address: String::new(), log: other.path().join("n2.log") });
    let stranger = stranger.as_mut().unwrap();
    until("it says why it cannot join", || {
        fs::read_to_string(&stranger.log).unwrap().contains("cannot be joined yet").then_some(())
    });
    // It goes on trying until it is told to end.
    stranger.signal("TERM");
    let status = until("it ends", || stranger.process.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    formed(own.path(), &[&node], 1, 1);
}

#[test]
fn who_asks_nobody_ends_when_it_is_told_to() {
    let folder = folder();
    // Nobody listens on a port that was just let go of.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(IDUNNO);
    command.args(["members", "--key", "key", "--timeout", "60s", "--node", &nobody.to_string()]);
    let mut client =
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    send("INT", client.id());
    assert_eq!(client.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_directory_serves_one_node_and_a_key_that_others_can_read_none() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let folder = folder.path();
    let _node = Node::start(folder, "n1", &[]);
    let second = command(folder, "n1", &[]).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(2) && said.contains("n1 is in use by another process"), "{said}");
    fs::set_permissions(folder.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = command(folder, "n2", &[]).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&open.stderr).into_owned();
    assert!(open.status.code() == Some(2) && said.contains("chmod 600 key"), "{said}");
    assert!(!folder.join("n2").exists(), "nothing was made");
}

#[test]
fn with_nothing_at_all_one_has_a_cluster_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(IDUNNO);
    command.args(["run", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
    command.env("XDG_DATA_HOME", folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let log = folder.path().join("log");
    let mut process = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let node = Node { process, address, log };
    let own = folder.path().join("idunno");
    formed(&own, &[&node], 1, 1);
    let tried = ask(&own, &[&node], "key", &["submit", "demo", "50", "--batch", "10", "--wait"]);
    assert!(tried.status.success(), "{tried:?}");
    done(&own, &[&node], 50);
}

#[test]
fn a_node_that_nobody_can_let_go_ends_all_the_same_and_stays_a_member() {
    let folder = folder();
    let folder = folder.path();
    let mut first = Node::start(folder, "n1", &[]);
    let (second, third) = (Node::start(folder, "n2", &[&first]), Node::start(folder, "n3", &[&first]));
    let before = formed(folder, &[&first, &second, &third], 3, 3);
    drop((second, third));
    first.signal("TERM");
    let status = until("it ends", || first.process.try_wait().unwrap());
    assert!(
        status.code() == Some(5) && first.said().contains("nobody let it go"),
        "{status}: {}",
        first.said()
    );
    // Both come back at other ports.
    let first = Node::start(folder, "n1", &[]);
    let second = Node::start(folder, "n2", &[&first]);
    until("they are led", || {
        let status = rows(folder, &[&first, &second], "status").pop()?;
        (!status["leader"].is_null()).then_some(())
    });
    let again = rows(folder, &[&first], "members");
    let own =
        |members: &[Value]| members.iter().find(|member| member["name"] == "n1").map(|n| n["id"].clone());
    assert_eq!(own(&again), own(&before), "{again:?}");
}

#[test]
fn a_recorded_node_is_replayed_with_the_same_effects() {
    let folder = folder();
    let folder = folder.path();
    let first = Node::begin(command(folder, "n1", &[]).args(["--record", "n1.rec"]), folder, "n1");
    let mut second = Node::begin(command(folder, "n2", &[&first]).args(["--record", "n2.rec"]), folder, "n2");
    formed(folder, &[&first, &second], 2, 1);
    submit(folder, &[&second], "500");
    done(folder, &[&first], 500);
    let log = |node: &Node| fs::read_to_string(&node.log).unwrap();
    assert!(
        log(&first).contains("new cluster cluster=") && log(&second).contains("joins the cluster cluster=")
    );
    // Nothing is measured for a file that is there already, and that is said as a mistake.
    let occupied = ask(folder, &[&second], "key", &["calibrate", "network", "--out", "key"]);
    assert_eq!(occupied.status.code(), Some(2), "{occupied:?}");
    let keyless = ask(folder, &[&second], "no-key", &["calibrate", "network"]);
    assert_eq!(keyless.status.code(), Some(2), "{keyless:?}");
    // What the nodes measure can be rehearsed.
    let measured = ask(folder, &[&second], "key", &["calibrate", "network", "--out", "network.toml"]);
    let said = String::from_utf8_lossy(&measured.stderr).into_owned();
    assert!(measured.status.success() && said.contains("round trip  200 "), "{said}");
    let tables = fs::read_to_string(folder.join("network.toml")).unwrap();
    assert!(tables.starts_with("[network]\nlatency") && tables.contains("[disk]\nsync"), "{tables}");
    fs::write(folder.join("my.toml"), format!("nodes = 2\nuntil = \"1s\"\n{tables}")).unwrap();
    let right =
        Command::new(IDUNNO).args(["scenario", "check", "my.toml"]).current_dir(folder).output().unwrap();
    assert!(right.status.success(), "{right:?}");
    second.signal("TERM");
    until("it leaves", || second.process.try_wait().unwrap());
    drop(first);
    // The one was killed, the other left; both did what they would do again.
    for (name, end) in [("n1.rec", "without a word"), ("n2.rec", "the node left")] {
        let replayed =
            Command::new(IDUNNO).args(["replay", name, "--print"]).current_dir(folder).output().unwrap();
        let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
        assert!(replayed.status.success(), "{name}: {said}");
        assert!(said.contains("The same effects at every step") && said.contains(end), "{name}: {said}");
        let lines = String::from_utf8_lossy(&replayed.stdout).into_owned();
        assert!(lines.contains("let n2 join as"), "{name}: {lines}");
    }
}

#[test]
fn a_cluster_that_is_killed_as_a_whole_goes_on_from_its_disks_and_a_wiped_node_is_a_new_one() {
    let folder = folder();
    let folder = folder.path();
    let first = Node::start(folder, "n1", &[]);
    let second = Node::start(folder, "n2", &[&first]);
    let third = Node::start(folder, "n3", &[&first]);
    let before = formed(folder, &[&first, &second, &third], 3, 3);
    submit(folder, &[&first], "2000");
    until("the job is under way", || {
        rows(folder, &[&first], "jobs").pop()?["done"].as_u64().filter(|&done| done > 0)
    });
    // They come back at the ports that their views name.
    let ports = [first.address.clone(), second.address.clone()];
    drop((first, second, third));
    let back = |name: &str, at: &str| Node::begin(&mut command_at(folder, name, &[], at), folder, name);
    fs::remove_dir_all(folder.join("n3")).unwrap();
    let first = back("n1", &ports[0]);
    let second = back("n2", &ports[1]);
    done(folder, &[&first, &second], 2000);
    let third = Node::start(folder, "n3", &[&first]);
    let fresh = until("the wiped node is let in as a new one", || {
        let members = rows(folder, &[&first, &second], "members");
        let own = members.iter().find(|member| member["address"] == third.address.as_str())?;
        (members.len() == 3).then(|| own["id"].clone())
    });
    assert!(before.iter().all(|member| member["id"] != fresh), "{fresh} in {before:?}");
    done(folder, &[&third], 2000);
}

#[test]
fn noise_and_strangers_cost_a_node_neither_memory_nor_its_log() {
    let (own, other) = (folder(), folder());
    let mut command = command(own.path(), "n1", &[]);
    let node = Node::begin(command.args(["--log-format", "json"]), own.path(), "n1");
    formed(own.path(), &[&node], 1, 1);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", node.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    let mut rng = Rng::new(3);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut at: SocketAddr = node.address.parse().unwrap();
    for _ in 0..2 {
        for length in (0..1_400).cycle().take(20_000) {
            let mut bytes: Vec<u8> = (0..length).map(|_| rng.below(256) as u8).collect();
            // Half of them look like the beginning of a connection.
            if let Some(first) = bytes.first_mut().filter(|_| length % 2 == 0) {
                *first |= 0xc0;
                bytes[1..5.min(length)].copy_from_slice(&[0, 0, 0, 1][..4.min(length - 1)]);
            }
            socket.send_to(&bytes, at).unwrap();
        }
        at.set_port(at.port() + 1);
    }
    for _ in 0..3 {
        let refused = ask(other.path(), &[&node], "key", &["members", "--timeout", "500ms"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    }
    formed(own.path(), &[&node], 1, 1);
    submit(own.path(), &[&node], "100");
    done(own.path(), &[&node], 100);
    assert!(resident() < before + 64 * 1024, "{before} KiB have become {}", resident());
    let log = fs::read_to_string(&node.log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = lines.iter().filter(|line| line["fields"]["message"] == "someone was not let in");
    assert!((1..=2).contains(&refused.count()), "once for each port: {log}");
}
