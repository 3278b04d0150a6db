//! The start of a node: what it finds on its disk, what it needs of the machine, and how its parts are joined.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread;

use super::chunks::{Chunks, Larder, Porter, Rack};
use super::diary::Diary;
use super::disk::{Folder, Log, Writer};
use super::inbox::{Inbox, Item};
use super::lending::Lender;
use super::machine::Machine;
use super::measure::Gauge;
use super::ports::{self, Ports};
use super::recording::Recorder;
use super::results::Publisher;
use super::serve::Doors;
use super::weights::{self, Weights};
use super::{Beginning, DiskError, Options, Running, Standing, StartError, needs};
use crate::base::{Chunk, NodeId, Rng};
use crate::engine::{Model, Setup, Supervisor};
use crate::node::{ChunkEvent, Disk, Identity, Node, Outbox, Seats, Start, Token};

/// Starts a node. Joining takes until one of `options.join` answers; `stop` is asked now and then whether to give up.
pub fn start(options: Options, stop: &dyn Fn() -> bool) -> Result<Running, StartError> {
    if !options.data.exists() {
        // Whoever cannot listen there makes no directory.
        Ports::possible(&options)?;
    }
    let folder = Folder::open(&options.data, NodeId::new(random()?))?;
    let id = folder.id;
    let (log, torn) = Log::open(folder)?;
    if torn > 0 {
        tracing::warn!(bytes = torn, "the end of the log was torn by a crash, and is cut");
    }
    let ports = Ports::open(&options, id)?;
    let inbox = Arc::new(Inbox::default());
    let rack = rack(&options, &inbox)?;
    let start = beginning(&options, log.disk(), rack.all(), || ports.seeds(&options, id, stop))?;
    if matches!(start, Start::Found) {
        // A node that founds a cluster is told of no disk: it hears of each chunk as if it came.
        for chunk in rack.all() {
            inbox.put(Item::Chunk(ChunkEvent::Got { chunk }));
        }
    }
    if let Start::Restart(disk) = &start
        && !options.join.is_empty()
    {
        let members = disk.view.iter().flat_map(|(view, _)| view.members()).map(|member| member.id).collect();
        let (dialler, routes) = (ports.diallers[0].clone(), Arc::clone(&ports.routes));
        ports.lanes[0].handle.spawn(ports::look_up(dialler, routes, options.join.clone(), id, members));
    }
    let doors = doors(&options, &ports, id, &inbox, rack);
    // The third port only dials.
    for (lane, dialler) in ports.lanes.iter().zip(&ports.diallers).take(2) {
        lane.handle.spawn(doors.clone().open(dialler.endpoint.clone(), id));
    }
    // What results need, if they are to be put.
    let publishes = options.results.then(|| (options.key.clone(), options.data.clone()));
    let machine = machine(options, &ports, id, &doors, log, start)?;
    let thread = thread::Builder::new().name("machine".to_owned()).spawn(|| machine.run());
    let machine = Some(thread.map_err(needs("a thread"))?);
    let Ports { address, diallers, lanes, .. } = ports;
    let mut running = Running { id, address, inbox, machine, diallers, lanes, publisher: None };
    if let Some((key, folder)) = publishes {
        let publisher = Publisher::start(key, address, doors.standing, doors.board, folder);
        running.publisher = Some(publisher.map_err(needs("a thread"))?);
    }
    Ok(running)
}

/// Whom its streams are given to, from others and from clients.
fn doors(options: &Options, ports: &Ports, id: NodeId, inbox: &Arc<Inbox>, rack: Arc<Rack>) -> Doors {
    let standing = Arc::new(Mutex::new(Standing {
        id,
        name: Arc::clone(&options.name),
        models: options.models.keys().cloned().collect(),
        status: None,
        members: Vec::new(),
        seats: Seats::default(),
        dropped: 0,
    }));
    let (bulk, lane) = (ports.diallers[2].clone(), ports.lanes[2].handle.clone());
    Doors {
        inbox: Arc::clone(inbox),
        routes: Arc::clone(&ports.routes),
        waiting: Arc::default(),
        board: Arc::default(),
        complaints: Arc::default(),
        gauge: Gauge::new(ports.diallers[0].clone(), options.data.clone()),
        lender: Arc::new(lender(options, id)),
        porter: Arc::new(Porter::new(rack, bulk, lane, Arc::clone(&standing))),
        standing,
    }
}

/// The machine, and everything that has to run for it: its disk, its diary, its engine, what it fetches.
fn machine(
    mut options: Options,
    ports: &Ports,
    id: NodeId,
    doors: &Doors,
    log: Log,
    start: Start,
) -> Result<Machine, StartError> {
    let seed = random()?;
    let view = log.disk().view.clone();
    let diary = Diary::begin(&doors.lender.folder, id, Arc::clone(&options.name));
    let folder = || doors.lender.folder.clone();
    let diary = diary.map_err(|error| StartError::Diary { folder: folder(), error })?;
    let inbox = Arc::clone(&doors.inbox);
    let disk = Writer::start(log, move |told| inbox.put(Item::Disk(told))).map_err(needs("a thread"))?;
    let identity = identity(&options, ports, id);
    let (porter, cache) = (Arc::clone(&doors.porter), options.config.store.cache);
    let larder = Larder::open(porter, options.data.join("staged"), cache);
    let larder = Arc::new(larder.map_err(needs("a place for what queries read"))?);
    let wanted = weights::relocate(&mut options.models, &options.data.join("weights"))?;
    let (standing, inbox) = (Arc::clone(&doors.standing), Arc::clone(&doors.inbox));
    let machine = Machine {
        engine: engine(&options, seed, &doors.inbox)?,
        chunks: Chunks::start(Arc::clone(&doors.porter), Arc::clone(&larder), options.scrub)
            .map_err(needs("a thread"))?,
        larder,
        weights: Weights::new(wanted, options.key.clone(), ports.address, standing, inbox),
        networks: networks(&options.models),
        recorder: recorder(&options, &identity, &start, seed)?,
        founds: matches!(start, Start::Found),
        node: Node::new(identity, options.config, start, Rng::new(seed)),
        me: id,
        inbox: Arc::clone(&doors.inbox),
        disk,
        diary,
        routes: Arc::clone(&ports.routes),
        waiting: Arc::clone(&doors.waiting),
        standing: Arc::clone(&doors.standing),
        board: Arc::clone(&doors.board),
        outbox: Outbox::new(),
        again: VecDeque::new(),
        settled: Token::default(),
        held: VecDeque::new(),
        ended: None,
    };
    if let Some((view, seats)) = view {
        machine.install(&view, &seats);
    }
    Ok(machine)
}

/// Who it is, for the state machine.
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

/// 64 random bits.
fn random() -> Result<u64, StartError> {
    getrandom::u64()
        .map_err(|error| StartError::Machine { what: "randomness", error: std::io::Error::other(error) })
}
