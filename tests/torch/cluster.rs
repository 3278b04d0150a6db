//! Three real nodes of this machine, all of which vote, and programs that ask them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use idunno::cluster::{Client, Key};
use idunno::node::{Question, Reading};

pub(crate) const IDUNNO: &str = env!("CARGO_BIN_EXE_idunno");
/// How long anything here may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Nodes of a cluster.
pub(crate) const NODES: usize = 3;

pub(crate) fn idunno(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(IDUNNO);
    command.args(words.split(' ')).current_dir(folder).env("IDUNNO_MODELS", folder.join("models"));
    command.output().expect("it can be started")
}

pub(crate) fn done(folder: &Path, words: &str) -> String {
    let output = idunno(folder, words);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "idunno {words}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

pub(crate) fn refused(folder: &Path, words: &str) -> String {
    let output = idunno(folder, words);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "idunno {words}: {err}");
    err
}

/// Looks every so often until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A node that ends with the test.
struct Node {
    process: Child,
    address: SocketAddr,
}

impl Node {
    /// Starts a node with the disk of this name: there, or where a port is free.
    fn start(folder: &Path, name: &str, at: Option<SocketAddr>, join: Option<SocketAddr>) -> Node {
        let listen = at.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let mut command = Command::new(IDUNNO);
        command.args([
            "run",
            "--tied",
            &std::process::id().to_string(),
            "--listen",
            &listen,
            "--key",
            "key",
            "--data",
            name,
            "--name",
            name,
        ]);
        command.args(join.map(|other| format!("--join={other}")));
        let log = folder.join(format!("{name}.log"));
        let said = fs::File::options().append(true).create(true).open(&log).unwrap();
        command.env("IDUNNO_MODELS", folder.join("models"));
        command.current_dir(folder).stdin(Stdio::null()).stderr(said).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it can be started");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        let address =
            address.unwrap_or_else(|| panic!("{line:?}: {}", fs::read_to_string(&log).unwrap_or_default()));
        Node { process, address }
    }

    /// SIGKILL, as a machine that loses its power ends.
    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Nodes n1 to n3. Where a test fails, what they said last is printed.
pub(crate) struct Cluster {
    folder: PathBuf,
    nodes: Vec<Node>,
}

impl Cluster {
    /// Founds it in `folder`, with these models, and waits until all vote.
    pub(crate) fn start(folder: &Path, models: &str) -> Cluster {
        done(folder, "key new key");
        fs::write(folder.join("idunno.toml"), models).unwrap();
        let first = Node::start(folder, "n1", None, None);
        let join = Some(first.address);
        let others = ["n2", "n3"].map(|name| Node::start(folder, name, None, join));
        let nodes = std::iter::once(first).chain(others).collect();
        let cluster = Cluster { folder: folder.to_owned(), nodes };
        let mut client = cluster.client();
        until("three nodes become a cluster", || {
            let standing = client.standing().unwrap();
            (standing.members.len() == NODES && standing.seats.voters.len() == NODES).then_some(())
        });
        cluster
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].address
    }

    /// A client that knows all of them.
    pub(crate) fn client(&self) -> Client {
        let key = Key::read(&self.folder.join("key")).unwrap();
        let all: Vec<SocketAddr> = self.nodes.iter().map(|node| node.address).collect();
        Client::new(&key, &all, PATIENCE).unwrap()
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// A killed node goes on from its disk, and belongs to the cluster once this returns.
    pub(crate) fn restart(&mut self, node: usize) {
        let at = self.nodes[node].address;
        self.nodes[node] = Node::start(&self.folder, &format!("n{}", node + 1), Some(at), None);
        let key = Key::read(&self.folder.join("key")).unwrap();
        let mut client = Client::new(&key, &[at], PATIENCE).unwrap();
        until("a node that starts again is a member", || {
            client.standing().unwrap().status.filter(|status| status.member)
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        for node in 1..=NODES {
            let said = fs::read_to_string(self.folder.join(format!("n{node}.log"))).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            println!("n{node} said last:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Which of the nodes leads.
pub(crate) fn leader(client: &mut Client) -> usize {
    let Ok(Reading::Cluster(overview)) = client.read(Question::Cluster) else {
        panic!("nobody knows who leads")
    };
    let seat = overview.seats.iter().find(|seat| seat.node == overview.leader);
    let name = seat.and_then(|seat| seat.name.as_deref()).expect("who leads votes and is a member");
    name.strip_prefix('n').and_then(|number| number.parse::<usize>().ok()).expect("n1 to n3") - 1
}
