//! Files of the store, for clients: chunks are brought to the node that is asked, and fetched from whoever holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::local::{self, Local, LocalError};
use super::{Client, ClientError, PAUSE, connected};
use crate::base::{Chunk, ChunkId, NodeId, SessionId};
use crate::cluster::Unkept;
use crate::cluster::net::endpoint::Dialler;
use crate::cluster::net::link::lock;
use crate::cluster::net::wire::{self, Ask, Held, Told};
use crate::node::{Located, Put, Question, Reading, Refusal, Reply, Request};

/// Chunks that are on their way at the same time, each of which is in memory as a whole.
const AT_ONCE: usize = 4;
/// How long a node may take for one chunk.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether what was brought is still there, and whether copies are made of it.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes that are given to a connection at once.
const PIECE_BYTES: usize = 256 << 10;

/// Why a file was not put or fetched. Whether a file was put is unknown where [`ClientError`] says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The cluster.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file that shall be put.
    #[error("the file {0}")]
    Local(#[from] LocalError),
    /// A node did not keep a chunk, and no other did better.
    #[error("{at} does not keep a chunk: {why}")]
    Unkept {
        /// The node.
        at: SocketAddr,
        /// Why not.
        why: Unkept,
    },
    /// Nobody who answers has a chunk.
    #[error("chunk {place} of version {version} could not be had within {} s: {why}", waited.as_secs_f64())]
    Nowhere {
        /// Which chunk of the file, from 0.
        place: usize,
        /// Of which version.
        version: u64,
        /// How long it was looked for.
        waited: Duration,
        /// What the last who was asked said.
        why: String,
    },
    /// It was told to stop. A file that was being put may come to be stored all the same.
    #[error("stopped before it was done")]
    Stopped,
    /// What was fetched cannot be written.
    #[error("what is fetched cannot be written: {0}")]
    Write(io::Error),
}

/// Why an attempt came to nothing.
enum Vain {
    /// Another may do better.
    Silent(String),
    Refused(Refusal),
    Unkept(Unkept),
    Local(LocalError),
    Stopped,
}

fn silent(why: impl std::fmt::Display) -> Vain {
    Vain::Silent(why.to_string())
}

/// What moves while a file is put: as long as something does, it is waited for.
struct Watch<'a, T: ?Sized, S: ?Sized> {
    last: Mutex<Instant>,
    /// Told how many bytes of the file nodes have.
    there: &'a T,
    /// Asked whether to give up.
    stop: &'a S,
}

impl<T: Fn(u64) + ?Sized, S: Fn() -> bool + ?Sized> Watch<'_, T, S> {
    fn moved(&self) {
        *lock(&self.last) = Instant::now();
    }

    fn still(&self) -> Duration {
        lock(&self.last).elapsed()
    }

    /// Ends when nothing has moved for this long, or it shall be given up.
    async fn idle(&self, patience: Duration) -> Vain {
        while let Some(left) = patience.checked_sub(self.still()).filter(|left| !left.is_zero()) {
            if (self.stop)() {
                return Vain::Stopped;
            }
            sleep(left.min(PAUSE)).await;
        }
        silent("nothing has moved")
    }
}

impl Client {
    /// Puts a file, once, and says which version it is: enough disks hold all of it then, and its name is durable. `put.content` is
    /// that of `local`. It is given up when nothing has moved for as long as the client's patience lasts. `there` is told how many
    /// bytes of it are on at least one node; `stop` is asked now and then whether to give up.
    pub fn put(
        &mut self,
        put: &Arc<Put>,
        local: &Arc<Local>,
        there: &dyn Fn(u64),
        stop: &dyn Fn() -> bool,
    ) -> Result<u64, StoreError> {
        self.number += 1;
        let (session, number) = (self.session, self.number);
        let ask = Ask::Request { session, number, request: Request::Put(Arc::clone(put)) };
        let watch = Watch { last: Mutex::new(Instant::now()), there, stop };
        let (mut without_quorum, mut busy, mut unkept) = (None, None, BTreeMap::new());
        loop {
            let at = self.nodes[0];
            let attempt =
                attempt(&self.dialler, &mut self.connection, at, &ask, local, &watch, self.patience);
            let why = match self.lane.handle.block_on(attempt) {
                Ok(version) => return Ok(version),
                Err(Vain::Stopped) => return Err(StoreError::Stopped),
                Err(Vain::Local(error)) => return Err(error.into()),
                Err(Vain::Refused(
                    why @ (Refusal::NoCoordinator | Refusal::NoQuorum { .. } | Refusal::Busy { .. }),
                )) => {
                    let text = why.to_string();
                    let is_busy = matches!(why, Refusal::Busy { .. });
                    (busy, without_quorum) = if is_busy { (Some(why), None) } else { (None, Some(why)) };
                    text
                }
                Err(Vain::Refused(why)) => return Err(ClientError::Refused(why).into()),
                Err(Vain::Unkept(why)) => {
                    let text = why.to_string();
                    unkept.insert(at, why);
                    text
                }
                Err(Vain::Silent(why)) => why,
            };
            tracing::debug!(%at, why, "goes elsewhere");
            let nobody = self.nodes.iter().all(|node| unkept.contains_key(node));
            let waited = self.patience;
            if nobody || watch.still() >= waited {
                return Err(match (unkept.pop_last(), without_quorum, busy) {
                    (Some((at, why)), ..) => StoreError::Unkept { at, why },
                    (_, Some(why), _) => ClientError::NoQuorum { waited, why }.into(),
                    (.., Some(why)) => ClientError::Refused(why).into(),
                    _ => ClientError::NoAnswer { waited, at, why }.into(),
                });
            }
            self.connection = None;
            self.nodes.rotate_left(1);
            thread::sleep(PAUSE);
        }
    }

    /// A version of a file, the newest unless a number is said, and where its chunks are.
    pub fn locate(&mut self, name: &str, version: Option<u64>) -> Result<Located, ClientError> {
        match self.read(Question::Locate { name: name.into(), version })? {
            Reading::Located(located) => Ok(located),
            _ => Err(ClientError::Refused(Refusal::Invalid("the node answered another question".into()))),
        }
    }

    /// Fetches the chunks of a version from number `from` on, in order; `take` is given the bytes of each, which are what its name
    /// says. It is given up when nothing has come for as long as the client's patience lasts, or when `stop` says so.
    pub fn fetch(
        &mut self,
        name: &str,
        located: Located,
        from: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        let version = located.version.number;
        let pool = Arc::new(Pool { dialler: self.dialler.clone(), open: Mutex::default() });
        let (mut located, mut next, mut last) = (located, from, Instant::now());
        loop {
            let standing = self.standing()?;
            let members = standing.members.iter();
            let addresses: BTreeMap<NodeId, SocketAddr> =
                members.filter_map(|member| Some((member.id, member.address.parse().ok()?))).collect();
            let before = next;
            let pulled = async {
                tokio::select! {
                    pulled = pull(&pool, &addresses, &located, &mut next, take) => pulled,
                    () = stopped(stop) => Err(Unpulled::Stopped),
                }
            };
            let why = match self.lane.handle.block_on(pulled) {
                Ok(()) => return Ok(()),
                Err(Unpulled::Stopped) => return Err(StoreError::Stopped),
                Err(Unpulled::Write(error)) => return Err(StoreError::Write(error)),
                Err(Unpulled::Nowhere(why)) => why,
            };
            if next > before {
                last = Instant::now();
            }
            let waited = self.patience;
            if last.elapsed() >= waited {
                return Err(StoreError::Nowhere { place: next, version, waited, why });
            }
            tracing::debug!(place = next, why, "a chunk is looked for again");
            thread::sleep(PAUSE);
            // Those who held it may have died, and others hold it now.
            located = self.locate(name, Some(version))?;
        }
    }
}

/// Puts a file by one node, for clients that have sessions of their own: what the node answers, or why it does not. It is given up when
/// nothing has moved for as long as `patience`.
pub(in crate::cluster) async fn put_by(
    dialler: &Dialler,
    at: SocketAddr,
    ask: &Ask,
    local: &Arc<Local>,
    patience: Duration,
) -> Result<Reply, String> {
    let watch = Watch { last: Mutex::new(Instant::now()), there: &|_| {}, stop: &|| false };
    match attempt(dialler, &mut None, at, ask, local, &watch, patience).await {
        Ok(version) => Ok(Reply::Stored(version)),
        Err(Vain::Refused(why)) => Ok(Reply::Refused(why)),
        Err(Vain::Silent(why)) => Err(why),
        Err(Vain::Unkept(why)) => Err(why.to_string()),
        Err(Vain::Local(why)) => Err(why.to_string()),
        Err(Vain::Stopped) => unreachable!("nobody stops it"),
    }
}

/// Puts a file by one node: asks it, and brings it meanwhile what it lacks.
async fn attempt<T: Fn(u64) + ?Sized, S: Fn() -> bool + ?Sized>(
    dialler: &Dialler,
    connection: &mut Option<Connection>,
    at: SocketAddr,
    ask: &Ask,
    local: &Arc<Local>,
    watch: &Watch<'_, T, S>,
    patience: Duration,
) -> Result<u64, Vain> {
    let open = connected(dialler, connection, at).await.map_err(silent)?;
    // The question is on its way first: from then on the cluster keeps what comes.
    let (mut send, mut receive) = open.open_bi().await.map_err(silent)?;
    wire::write(&mut send, ask).await.map_err(silent)?;
    let told = tokio::select! {
        told = wire::read::<Told>(&mut receive) => told.map_err(silent)?,
        vain = bring_all(&open, local, watch) => return Err(vain),
        vain = watch.idle(patience) => return Err(vain),
    };
    *connection = Some(open);
    match told {
        Told::Reply(Reply::Stored(version)) => Ok(version),
        Told::Reply(Reply::Refused(why)) => Err(Vain::Refused(why)),
        _ => Err(silent("an answer to another question")),
    }
}

/// Brings a node what it lacks, and looks again and again whether it is still there. Ends only with what went wrong.
async fn bring_all<T: Fn(u64) + ?Sized, S: Fn() -> bool + ?Sized>(
    open: &Connection,
    local: &Arc<Local>,
    watch: &Watch<'_, T, S>,
) -> Vain {
    let mut seen = BTreeSet::new();
    let chunks = local.content().chunks.iter().enumerate();
    // A chunk that occurs more than once is brought once.
    let places: Arc<[(usize, Chunk)]> =
        chunks.map(|(place, &chunk)| (place, chunk)).filter(|(_, chunk)| seen.insert(chunk.id)).collect();
    let ids: Vec<ChunkId> = places.iter().map(|(_, chunk)| chunk.id).collect();
    let mut shelves = Shelves { session: SessionId(getrandom::u64().unwrap_or(1)), number: 0, most: None };
    loop {
        let vain = async {
            let missing = missing(open, &ids).await?;
            let weight = |ids: &[u32]| {
                ids.iter()
                    .filter_map(|&id| places.get(id as usize))
                    .map(|(_, chunk)| u64::from(chunk.bytes))
                    .sum::<u64>()
            };
            // What occurs more than once counts as there with the first.
            let mut there = local.content().bytes() - weight(&missing);
            (watch.there)(there);
            let mut left = missing.iter().filter_map(|&place| places.get(place as usize).copied());
            let mut moves = JoinSet::new();
            loop {
                while moves.len() < AT_ONCE
                    && let Some((place, chunk)) = left.next()
                {
                    moves.spawn(bring(open.clone(), Arc::clone(local), place, chunk));
                }
                let Some(brought) = moves.join_next().await else { break };
                there += u64::from(brought.map_err(silent)??.bytes);
                (watch.there)(there);
                watch.moved();
            }
            sleep(LOOK_EVERY).await;
            // What the node passes on to others takes its time as well.
            if shelves.have_more(open).await? {
                watch.moved();
            }
            Ok(())
        };
        if let Err(vain) = vain.await {
            return vain;
        }
    }
}

/// Which of these chunks a node lacks, by their places.
async fn missing(open: &Connection, ids: &[ChunkId]) -> Result<Vec<u32>, Vain> {
    match ask(open, &Ask::Offer(ids.to_vec())).await? {
        Told::Missing(missing) => Ok(missing),
        _ => Err(silent("an answer to another question")),
    }
}

/// Brings one chunk.
async fn bring(open: Connection, local: Arc<Local>, place: usize, chunk: Chunk) -> Result<Chunk, Vain> {
    let read = tokio::task::spawn_blocking(move || local.read(place)).await;
    let bytes = read.map_err(silent)?.map_err(Vain::Local)?;
    let brought = async {
        let (mut send, mut receive) = open.open_bi().await.map_err(silent)?;
        wire::write(&mut send, &Ask::Bring(chunk)).await.map_err(silent)?;
        for piece in bytes.chunks(PIECE_BYTES) {
            // A node that does not want it says why below.
            if send.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = send.finish();
        match wire::read(&mut receive).await.map_err(silent)? {
            Told::Kept(Ok(())) => Ok(chunk),
            Told::Kept(Err(why @ (Unkept::Full | Unkept::Disk(_)))) => Err(Vain::Unkept(why)),
            Told::Kept(Err(why)) => Err(silent(why)),
            _ => Err(silent("an answer to another question")),
        }
    };
    timeout(CHUNK_PATIENCE, brought).await.map_err(|_| silent("a chunk takes too long"))?
}

async fn ask(open: &Connection, ask: &Ask) -> Result<Told, Vain> {
    let asked = async {
        let (mut send, mut receive) = open.open_bi().await.map_err(silent)?;
        wire::write(&mut send, ask).await.map_err(silent)?;
        wire::read(&mut receive).await.map_err(silent)
    };
    timeout(CHUNK_PATIENCE, asked).await.map_err(|_| silent("it does not answer"))?
}

/// The most chunks that the nodes have held together, as a sign that something moves.
struct Shelves {
    session: SessionId,
    number: u64,
    most: Option<u64>,
}

impl Shelves {
    async fn have_more(&mut self, open: &Connection) -> Result<bool, Vain> {
        self.number += 1;
        let (session, number) = (self.session, self.number);
        let request = Request::Read(Question::Shelves);
        let Told::Reply(Reply::Read(reading)) = ask(open, &Ask::Request { session, number, request }).await?
        else {
            return Ok(false);
        };
        let Reading::Shelves(shelves) = &*reading else { return Ok(false) };
        let now = shelves.iter().map(|shelf| shelf.chunks).sum();
        let before = self.most;
        self.most = before.max(Some(now));
        Ok(before.is_some_and(|before| now > before))
    }
}

/// Connections to those who hold chunks.
struct Pool {
    dialler: Dialler,
    open: Mutex<BTreeMap<SocketAddr, Connection>>,
}

/// Ends when something shall be given up.
async fn stopped(stop: &dyn Fn() -> bool) {
    while !stop() {
        sleep(PAUSE).await;
    }
}

enum Unpulled {
    Stopped,
    Nowhere(String),
    Write(io::Error),
}

/// Fetches chunks in order from number `next` on, several at a time, until all are there or one cannot be had.
async fn pull(
    pool: &Arc<Pool>,
    addresses: &BTreeMap<NodeId, SocketAddr>,
    located: &Located,
    next: &mut usize,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Unpulled> {
    let chunks = &located.version.content.chunks;
    let (mut begun, mut ready, mut moves) = (*next, BTreeMap::new(), JoinSet::new());
    while *next < chunks.len() {
        while begun < chunks.len().min(*next + AT_ONCE) {
            let mut from: Vec<SocketAddr> = (located.holders.get(begun).into_iter().flatten())
                .filter_map(|holder| addresses.get(holder).copied())
                .collect();
            // Nobody may be known yet, or those who are may be dead: anyone may have it.
            if from.is_empty() {
                from = addresses.values().copied().collect();
            }
            // Not all chunks come from the same node.
            let first = begun % from.len().max(1);
            from.rotate_left(first);
            let (pool, chunk, place) = (Arc::clone(pool), chunks[begun], begun);
            moves.spawn(async move { (place, pool.fetch(chunk, &from).await) });
            begun += 1;
        }
        match moves.join_next().await.expect("the next chunk is on its way") {
            Ok((place, Ok(bytes))) => drop(ready.insert(place, bytes)),
            Ok((_, Err(why))) => return Err(Unpulled::Nowhere(why)),
            Err(error) => return Err(Unpulled::Nowhere(error.to_string())),
        }
        while let Some(bytes) = ready.remove(next) {
            take(&bytes).map_err(Unpulled::Write)?;
            *next += 1;
        }
    }
    Ok(())
}

impl Pool {
    /// A chunk, from the first of these nodes that has it.
    async fn fetch(&self, chunk: Chunk, from: &[SocketAddr]) -> Result<Vec<u8>, String> {
        let mut last = "no member is known".to_owned();
        for &at in from {
            let fetched = timeout(CHUNK_PATIENCE, self.fetch_from(chunk, at)).await;
            match fetched.unwrap_or_else(|_| Err("it takes too long".to_owned())) {
                Ok(bytes) => return Ok(bytes),
                Err(why) => last = format!("{at}: {why}"),
            }
        }
        Err(last)
    }

    async fn fetch_from(&self, chunk: Chunk, at: SocketAddr) -> Result<Vec<u8>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let known = lock(&self.open).get(&at).filter(|open| open.close_reason().is_none()).cloned();
        let open = if let Some(open) = known {
            open
        } else {
            let (open, _) = self.dialler.dial(at, None).await.map_err(|error| text(&error))?;
            lock(&self.open).insert(at, open.clone());
            open
        };
        let (mut send, mut receive) = open.open_bi().await.map_err(|error| text(&error))?;
        wire::write(&mut send, &Ask::Chunk(chunk.id)).await.map_err(|error| text(&error))?;
        let Held(bytes) = wire::read(&mut receive).await.map_err(|error| text(&error))?;
        match bytes {
            None => return Err("it does not have it".to_owned()),
            Some(bytes) if bytes != chunk.bytes => return Err("it has something else".to_owned()),
            Some(_) => {}
        }
        let mut bytes = vec![0; chunk.bytes as usize];
        receive.read_exact(&mut bytes).await.map_err(|error| text(&error))?;
        let checked = tokio::task::spawn_blocking(move || (local::chunk(&bytes) == chunk).then_some(bytes));
        let checked = checked.await.map_err(|error| text(&error))?;
        checked.ok_or_else(|| "it has something else".to_owned())
    }
}
