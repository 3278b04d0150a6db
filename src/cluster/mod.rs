//! A real node: the same [`Node`] as in rehearsals, on real disks, sockets and processes; and its clients.
//!
//! [`start`] takes a data directory, founds a cluster or joins one, and returns while the node runs. Each part has a thread of its
//! own, so that none waits for another: the machine (`machine`), the disk (`disk`), the engine
//! ([`Supervisor`]), streams and datagrams (`net`). They reach the machine through one queue (`inbox`).
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
mod recording;
mod results;
mod serve;
#[cfg(test)]
mod tests;
mod weights;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use chunks::Unkept;
use chunks::{Chunks, Larder, Porter, Rack};
pub use client::{Client, ClientError, Local, LocalError, StoreError};
pub use collect::{Account, CollectError, Collected, Source, collect};
use diary::Diary;
pub use disk::DiskError;
use disk::{Folder, Log, Writer};
use inbox::{Inbox, Item};
pub use keys::{Key, KeyError};
use lending::Lender;
pub use machine::Ended;
use machine::{Machine, Routes, Waiting};
use measure::Gauge;
pub use measure::{Calibration, Findings, Measured};
use net::endpoint::{Dialler, Lane};
use net::link::{Form, Links};
use news::Board;
pub use news::News;
use recording::Recorder;
pub use recording::{Beginning, Given, Next, RecordTo, RecordingEnd, RecordingError, Replay, Stepped};
use results::Publisher;
use serve::Doors;
use weights::Weights;

use crate::base::{Chunk, NodeId, Rng};
use crate::engine::{Model, Setup, Supervisor};
use crate::node::{ChunkEvent, Config, Disk, Identity, Member, Node, Outbox, Seats, Start, Status, Token};

/// Between two rounds of asking those who shall let a node in who they are.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How often a free pair of ports is looked for.
const PORTS_TRIES_MAX: u32 = 50;
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
    /// The machine does not give it what it needs.
    #[error("{what}: {error}")]
    Machine {
        /// What for.
        what: &'static str,
        /// Why not.
        error: std::io::Error,
    },
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

/// Starts a node. Joining takes until one of `options.join` answers; `stop` is asked now and then whether to give up.
pub fn start(mut options: Options, stop: &dyn Fn() -> bool) -> Result<Running, StartError> {
    let seed = random()?;
    let folder = Folder::open(&options.data, NodeId::new(random()?))?;
    let id = folder.id;
    let (log, torn) = Log::open(folder)?;
    if torn > 0 {
        tracing::warn!(bytes = torn, "the end of the log was torn by a crash, and is cut");
    }
    let ports = Ports::open(&options, id)?;
    let inbox = Arc::new(Inbox::default());
    let rack = rack(&options, &inbox)?;
    let start = beginning(&options, log.disk(), rack.all(), || seeds(&options, &ports, id, stop))?;
    if matches!(start, Start::Found) {
        // A node that founds a cluster is told of no disk: it hears of each chunk as if it came.
        for chunk in rack.all() {
            inbox.put(Item::Chunk(ChunkEvent::Got { chunk }));
        }
    }
    let standing = Arc::new(Mutex::new(Standing {
        id,
        name: Arc::clone(&options.name),
        models: options.models.keys().cloned().collect(),
        status: None,
        members: Vec::new(),
        seats: Seats::default(),
        dropped: 0,
    }));
    let waiting: Arc<Waiting> = Arc::default();
    let board: Arc<Mutex<Board>> = Arc::default();
    // What results need, if they are to be put.
    let key = options.results.then(|| options.key.clone());
    let (asked, told, folder) = (Arc::clone(&standing), Arc::clone(&board), options.data.clone());
    let doors = Doors {
        inbox: Arc::clone(&inbox),
        routes: Arc::clone(&ports.routes),
        waiting: Arc::clone(&waiting),
        standing: Arc::clone(&standing),
        board: Arc::clone(&board),
        complaints: Arc::default(),
        gauge: Gauge::new(ports.diallers[0].clone(), options.data.clone()),
        lender: Arc::new(lender(&options, id)),
        porter: Arc::new(Porter::new(
            rack,
            ports.diallers[2].clone(),
            ports.lanes[2].handle.clone(),
            Arc::clone(&standing),
        )),
    };
    // The third port only dials.
    for (lane, dialler) in ports.lanes.iter().zip(&ports.diallers).take(2) {
        lane.handle.spawn(doors.clone().open(dialler.endpoint.clone(), id));
    }
    let view = log.disk().view.clone();
    let diary =
        Diary::begin(&doors.lender.folder, id, Arc::clone(&options.name)).map_err(needs("its diary"))?;
    let to_machine = Arc::clone(&inbox);
    let disk = Writer::start(log, move |told| to_machine.put(Item::Disk(told))).map_err(needs("a thread"))?;
    let identity = identity(&options, &ports, id);
    let founds = matches!(start, Start::Found);
    let recorder = recorder(&options, &identity, &start, seed)?;
    let (porter, cache) = (Arc::clone(&doors.porter), options.config.store.cache);
    let larder = Larder::open(porter, options.data.join("staged"), cache);
    let larder = Arc::new(larder.map_err(needs("a place for what queries read"))?);
    let wanted = weights::relocate(&mut options.models, &options.data.join("weights"))?;
    let weights =
        Weights::new(wanted, options.key.clone(), ports.address, Arc::clone(&standing), Arc::clone(&inbox));
    let machine = Machine {
        engine: engine(&options, seed, &inbox)?,
        chunks: Chunks::start(Arc::clone(&doors.porter), Arc::clone(&larder), options.scrub)
            .map_err(needs("a thread"))?,
        larder,
        weights,
        networks: networks(&options.models),
        node: Node::new(identity, options.config, start, Rng::new(seed)),
        recorder,
        founds,
        me: id,
        inbox: Arc::clone(&inbox),
        disk,
        diary,
        routes: Arc::clone(&ports.routes),
        waiting,
        standing,
        board,
        outbox: Outbox::new(),
        again: VecDeque::new(),
        settled: Token::default(),
        held: VecDeque::new(),
        ended: None,
    };
    if let Some((view, seats)) = view {
        machine.install(&view, &seats);
    }
    let thread = thread::Builder::new().name("machine".to_owned()).spawn(|| machine.run());
    let thread = thread.map_err(needs("a thread"))?;
    let Ports { address, diallers, lanes, .. } = ports;
    let mut running = Running { id, address, inbox, machine: Some(thread), diallers, lanes, publisher: None };
    if let Some(key) = key {
        let publisher = Publisher::start(key, address, asked, told, folder).map_err(needs("a thread"))?;
        running.publisher = Some(publisher);
    }
    Ok(running)
}

/// What a node needs of the machine that it runs on, and did not get.
fn needs(what: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |error| StartError::Machine { what, error }
}

fn identity(options: &Options, ports: &Ports, id: NodeId) -> Identity {
    Identity {
        id,
        name: Arc::clone(&options.name),
        kind: Arc::clone(&options.kind),
        worker: options.worker,
        refuse: options.refuse,
        address: ports.address.to_string().into(),
    }
}

/// Who lends the node's diary to those who ask.
fn lender(options: &Options, id: NodeId) -> Lender {
    Lender {
        folder: options.diary.clone().unwrap_or_else(|| options.data.join("diary")),
        node: id,
        name: Arc::clone(&options.name),
        kind: Arc::clone(&options.kind),
        worker: options.worker,
        settings: Arc::clone(&options.settings),
        busy: tokio::sync::Mutex::new(()),
    }
}

/// Begins a recording, if one is wanted.
fn recorder(
    options: &Options,
    identity: &Identity,
    start: &Start,
    seed: u64,
) -> Result<Option<Recorder>, StartError> {
    let Some(to) = &options.record else { return Ok(None) };
    let beginning = Beginning {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        identity: identity.clone(),
        settings: to.settings.clone(),
        start: start.clone(),
        seed,
    };
    Ok(Some(Recorder::start(to, &beginning)?))
}

/// The chunks on its disk.
fn rack(options: &Options, inbox: &Arc<Inbox>) -> Result<Arc<Rack>, StartError> {
    let (path, inbox) = (options.data.join("chunks"), Arc::clone(inbox));
    let rack = Rack::open(&path, move |event| inbox.put(Item::Chunk(event)));
    Ok(Arc::new(rack.map_err(|error| DiskError::Io { path, error })?))
}

/// The engine of a node that takes queries.
fn engine(options: &Options, seed: u64, inbox: &Arc<Inbox>) -> Result<Option<Supervisor>, StartError> {
    if !options.worker {
        return Ok(None);
    }
    let setup = Setup { models: options.models.clone(), speed: options.speed, seed };
    let inbox = Arc::clone(inbox);
    let tell = move |event| inbox.put(Item::Engine(event));
    let started = Supervisor::start(options.program.clone(), setup, tell);
    started.map(Some).map_err(needs("the inference engine"))
}

/// The models that read what is in their inputs.
fn networks(models: &BTreeMap<Arc<str>, Model>) -> BTreeSet<Arc<str>> {
    let reads = |(name, model): (&Arc<str>, &Model)| match model {
        Model::Torch(_) => Some(Arc::clone(name)),
        Model::Synthetic(_) => None,
    };
    models.iter().filter_map(reads).collect()
}

/// A node's two ports, a third one from which it fetches what is large, and the ways out of them.
struct Ports {
    /// Where others reach the first.
    address: SocketAddr,
    lanes: [Lane; 3],
    diallers: [Dialler; 3],
    routes: Arc<Routes>,
}

impl Ports {
    fn open(options: &Options, id: NodeId) -> Result<Ports, StartError> {
        let ([for_streams, for_beats], listens) = listen(options.listen)?;
        let address = options.advertise.unwrap_or(listens);
        if address.ip().is_unspecified() {
            return Err(StartError::NowhereToBeFound(address));
        }
        let lane = |name| Lane::start(name).map_err(needs("a thread"));
        let lanes = [lane("streams")?, lane("beats")?, lane("bulk")?];
        let dialler = |lane, socket| {
            Dialler::node(lane, socket, &options.key, id, address).map_err(needs("a port with TLS"))
        };
        let any = SocketAddr::new(options.listen.ip(), 0);
        let outward = UdpSocket::bind(any)
            .and_then(|for_bulk| Dialler::outward(&lanes[2], for_bulk, &options.key, id, address));
        let outward = outward.map_err(needs("a port with TLS"))?;
        let diallers = [dialler(&lanes[0], for_streams)?, dialler(&lanes[1], for_beats)?, outward];
        let links = |form, lane: usize| Links::new(form, lanes[lane].handle.clone(), diallers[lane].clone());
        let routes = Arc::new(Routes {
            streams: links(Form::Stream, 0),
            bulk: links(Form::Stream, 0),
            beats: links(Form::Datagram, 1),
        });
        Ok(Ports { address, lanes, diallers, routes })
    }
}

/// How the node starts, by what its disk holds.
fn beginning(
    options: &Options,
    disk: &Disk,
    chunks: Vec<Chunk>,
    seeds: impl FnOnce() -> Result<Vec<NodeId>, StartError>,
) -> Result<Start, StartError> {
    let boxed = || Box::new(Disk { chunks, ..disk.clone() });
    if disk.view.is_some() || disk.snapshot.is_some() || !disk.entries.is_empty() {
        tracing::info!("goes on from its disk");
        Ok(Start::Restart(boxed()))
    } else if !options.join.is_empty() {
        Ok(Start::Join { seeds: seeds()?, disk: boxed() })
    } else if *disk == Disk::default() {
        tracing::info!("founds a new cluster");
        Ok(Start::Found)
    } else {
        Err(StartError::JoinWhom { path: options.data.clone() })
    }
}

/// Who lives at the addresses that the node was told to join: at least one of them.
fn seeds(
    options: &Options,
    ports: &Ports,
    me: NodeId,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<NodeId>, StartError> {
    let mut said = false;
    while !stop() {
        let mut found = Vec::new();
        for &address in &options.join {
            match ports.lanes[0].handle.block_on(ports.diallers[0].dial(address, None)) {
                Ok((connection, id)) => {
                    connection.close(0_u32.into(), b"");
                    if id != me {
                        ports.routes.learn(id, address);
                        found.push(id);
                    }
                }
                Err(error) if !said => tracing::warn!(%address, %error, "cannot be joined yet"),
                Err(error) => tracing::debug!(%address, %error, "cannot be joined yet"),
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        said = true;
        thread::sleep(ASK_AGAIN);
    }
    Err(StartError::Stopped)
}

/// The ports of a node, bound.
fn listen(at: SocketAddr) -> Result<([UdpSocket; 2], SocketAddr), StartError> {
    let both = || {
        let first = UdpSocket::bind(at)?;
        let address = first.local_addr()?;
        let next =
            address.port().checked_add(1).ok_or_else(|| std::io::Error::other("there is no next port"))?;
        Ok(([first, UdpSocket::bind(SocketAddr::new(at.ip(), next))?], address))
    };
    let mut result = both();
    for _ in 0..PORTS_TRIES_MAX {
        if result.is_ok() || at.port() != 0 {
            break;
        }
        result = both();
    }
    result.map_err(|error| StartError::Listen { address: at, error })
}

/// 64 random bits.
fn random() -> Result<u64, StartError> {
    getrandom::u64()
        .map_err(|error| StartError::Machine { what: "randomness", error: std::io::Error::other(error) })
}
