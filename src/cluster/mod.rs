//! A real node: the same `Node` as in rehearsals, on real disks, sockets and processes; and its clients.
//!
//! [`start`] takes a data directory, founds a cluster or joins one, and returns while the node runs. Each part has a thread of its
//! own, so that none waits for another: the machine (`machine`), the disk (`disk`), the engine (`crate::engine`), streams and datagrams
//! (`net`). They reach the machine through one queue (`inbox`).
//!
//! Everything that travels does so over mutual TLS, by certificates that are derived from the cluster's [`Key`].

mod chunks;
mod client;
mod clock;
mod collect;
mod diary;
mod disk;
#[cfg(target_os = "linux")]
pub mod drill;
mod inbox;
mod keys;
mod lending;
mod machine;
mod measure;
mod net;
mod news;
mod ports;
mod recording;
mod results;
mod serve;
mod start;
#[cfg(test)]
mod tests;
mod weights;
mod work;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use chunks::Unkept;
pub use client::{Client, ClientError, Local, LocalError, StoreError};
pub use collect::{Account, CollectError, Collected, Source, collect};
pub use disk::DiskError;
use inbox::{Inbox, Item};
pub use keys::{Key, KeyError};
pub use machine::Ended;
pub use measure::{Calibration, Findings, Measured};
use net::endpoint::{Dialler, Lane};
pub use news::News;
pub use recording::{Beginning, Given, Next, RecordTo, RecordingEnd, RecordingError, Replay, Stepped};
use results::Publisher;
pub use start::start;

use crate::base::NodeId;
use crate::engine::Model;
use crate::node::{Config, Member, Seats, Status};

/// How long connections have to close when a node ends.
const CLOSING: Duration = Duration::from_millis(500);

/// What a node is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name for people.
    pub name: Arc<str>,
    /// Its kind of machine, for schedulers that tell kinds apart.
    pub kind: Arc<str>,
    /// Whether it takes queries.
    pub worker: bool,
    /// How fast its engine shall be; 1 takes the time that the profiles of models say.
    pub speed: f64,
    /// How likely it refuses a query, 0 to 1.
    pub refuse: f64,
    /// Where it listens: this UDP port and the next. Port 0 takes two free ones.
    pub listen: SocketAddr,
    /// Where others reach it, when that is elsewhere.
    pub advertise: Option<SocketAddr>,
    /// Members of the cluster that it shall join, if its disk belongs to none yet; without any it founds one.
    pub join: Vec<SocketAddr>,
    /// The cluster's secret.
    pub key: Key,
    /// Its data directory.
    pub data: PathBuf,
    /// Where it writes down what it observes; `None` is the folder `diary` in its data directory.
    pub diary: Option<PathBuf>,
    /// The settings of the state machine.
    pub config: Arc<Config>,
    /// The models that it can run.
    pub models: BTreeMap<Arc<str>, Model>,
    /// Settings and models as text, as a file with settings has them: what it says of them to those who ask.
    pub settings: Arc<str>,
    /// The program whose command `engine` is the inference engine.
    pub program: PathBuf,
    /// How many bytes of the chunks on its disk it reads and verifies per second, again and again; 0 for none. 8 MiB is usual.
    pub scrub: u64,
    /// Whether it puts the predictions of complete jobs into the file store while it leads.
    pub results: bool,
    /// Where everything that its machine is given is recorded, if anywhere.
    pub record: Option<RecordTo>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its recording.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// It cannot listen there.
    #[error("cannot listen on the UDP ports {address} and the next: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// Nobody could reach it.
    #[error("{0} is no address that others can reach; say with --advertise which one they shall use")]
    NowhereToBeFound(SocketAddr),
    /// An earlier start was told to join, and did not come to it.
    #[error(
        "{} was to join a cluster and belongs to none yet; say with --join where its members are", path.display()
    )]
    JoinWhom {
        /// The data directory.
        path: PathBuf,
    },
    /// It was told to stop before anyone let it in.
    #[error("stopped before any of the members that it was to join had answered")]
    Stopped,
    /// It cannot write down what it observes.
    #[error("cannot write its diary in {}: {error}", folder.display())]
    Diary {
        /// Where.
        folder: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The machine does not give it what it needs.
    #[error("{what}: {error}")]
    Machine {
        /// What for.
        what: &'static str,
        /// Why not.
        error: std::io::Error,
    },
}

impl StartError {
    /// Whether a disk is full, which can pass by itself.
    pub fn is_for_want_of_room(&self) -> bool {
        let (StartError::Disk(DiskError::Io { error, .. })
        | StartError::Diary { error, .. }
        | StartError::Machine { error, .. }) = self
        else {
            return false;
        };
        error.kind() == std::io::ErrorKind::StorageFull
    }
}

/// How a node sees itself and its cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// The node.
    pub id: NodeId,
    /// Its name.
    pub name: Arc<str>,
    /// The models that its settings name.
    pub models: Vec<Arc<str>>,
    /// What it is; `None` before its first step.
    pub status: Option<Status>,
    /// The members of its view.
    pub members: Vec<Member>,
    /// Who votes.
    pub seats: Seats,
    /// Messages that it dropped because a queue was full or nobody knew where their receiver lives.
    pub dropped: u64,
}

/// A node that runs. Dropping it ends the node as a crash would.
#[derive(Debug)]
pub struct Running {
    /// Who it is.
    pub id: NodeId,
    /// Where others reach it.
    pub address: SocketAddr,
    inbox: Arc<Inbox>,
    machine: Option<JoinHandle<Ended>>,
    diallers: [Dialler; 3],
    lanes: [Lane; 3],
    publisher: Option<Publisher>,
}

impl Running {
    /// Tells the node to leave the cluster; it ends once it has.
    pub fn leave(&self) {
        self.inbox.put(Item::Leave);
    }

    /// Whether the node has ended.
    pub fn is_over(&self) -> bool {
        self.machine.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of the node.
    pub fn wait(mut self) -> Ended {
        self.end()
    }

    fn end(&mut self) -> Ended {
        let Some(machine) = self.machine.take() else { return Ended::Stopped };
        let ended = machine.join().unwrap_or_else(|_| Ended::Broken("its machine panicked".to_owned()));
        self.publisher = None;
        for (dialler, lane) in self.diallers.iter().zip(&self.lanes) {
            dialler.endpoint.close(0_u32.into(), b"it ends");
            let idle = async { tokio::time::timeout(CLOSING, dialler.endpoint.wait_idle()).await };
            // Those who do not hear of it find out by themselves.
            let _ = lane.handle.block_on(idle);
        }
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.machine.is_some() {
            self.inbox.put(Item::Stop);
            self.end();
        }
    }
}

/// What a node needs of the machine that it runs on, and did not get.
fn needs(what: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |error| StartError::Machine { what, error }
}
