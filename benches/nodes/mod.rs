//! Real nodes on this machine that end with the benchmark.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const IDUNNO: &str = env!("CARGO_BIN_EXE_idunno");
/// How long anything here may take before something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// A node that ends with the benchmark.
pub(crate) struct Node {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Node {
    /// Starts one whose data, key and settings are in `folder`; one that joins nobody founds a cluster.
    pub(crate) fn start(folder: &Path, name: &str, works: bool, join: Option<SocketAddr>) -> Node {
        let mut command = Command::new(IDUNNO);
        command.args(["run", "--listen", "127.0.0.1:0", "--key", "key", "--data", name, "--name", name]);
        command.args(["--log", "error", "--no-results"]).args((!works).then_some("--no-worker"));
        // Who interrupts the benchmark is not to be left with its nodes.
        if cfg!(target_os = "linux") {
            command.args(["--tied", &std::process::id().to_string()]);
        }
        command.args(join.map(|address| format!("--join={address}")));
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a node can be started");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        Node { process, address: address.expect("it says where it listens") }
    }
}
