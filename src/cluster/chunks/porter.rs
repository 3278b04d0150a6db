//! Chunks on their way: from other nodes to this one, from this one to whoever asks, and from clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quinn::{Connection, RecvStream, SendStream};
use ring::digest::{SHA256, digest};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::PIECE_BYTES;
use super::rack::{Incoming, Rack, Unkept};
use crate::base::{Chunk, ChunkId, NodeId};
use crate::cluster::Standing;
use crate::cluster::net::endpoint::Dialler;
use crate::cluster::net::link::lock;
use crate::cluster::net::wire::{self, Call, Held, WireError};

/// Chunks that are given out at the same time; whoever asks for more waits.
const GIVEN_MAX: usize = 16;
/// Chunks that clients bring at the same time; further ones wait.
const BROUGHT_MAX: usize = 16;
/// How long the other side may take for a piece.
const STALL: Duration = Duration::from_secs(5);
/// How long a connection is kept that is not used.
const KEPT: Duration = Duration::from_secs(5);
/// The time between two complaints about the disk.
const COMPLAINTS_EVERY: Duration = Duration::from_secs(10);

/// Why a chunk did not come.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum CarryError {
    /// It came, and was not kept.
    #[error("{0}")]
    Unkept(#[from] Unkept),
    /// The way broke.
    #[error("{0}")]
    Broken(String),
    /// Whoever was asked does not have it.
    #[error("it does not have it")]
    NotThere,
}

fn broken(error: impl std::fmt::Display) -> CarryError {
    CarryError::Broken(error.to_string())
}

/// Carries chunks.
#[derive(Debug)]
pub(in super::super) struct Porter {
    pub(in super::super) rack: Arc<Rack>,
    /// A port of its own, so that what is fetched holds up nothing else.
    dialler: Dialler,
    handle: Handle,
    /// Knows where members live.
    standing: Arc<Mutex<Standing>>,
    /// The ways to other nodes, and when each was used last.
    ways: Mutex<BTreeMap<NodeId, (Connection, Instant)>>,
    given: Semaphore,
    brought: Semaphore,
    /// One looks at a time for many chunks.
    looking: tokio::sync::Mutex<()>,
    /// When it was last said that the disk takes nothing.
    complained: Mutex<Option<Instant>>,
}

impl Porter {
    pub(in super::super) fn new(
        rack: Arc<Rack>,
        dialler: Dialler,
        handle: Handle,
        standing: Arc<Mutex<Standing>>,
    ) -> Porter {
        Porter {
            rack,
            dialler,
            handle,
            standing,
            ways: Mutex::default(),
            given: Semaphore::new(GIVEN_MAX),
            brought: Semaphore::new(BROUGHT_MAX),
            looking: tokio::sync::Mutex::default(),
            complained: Mutex::default(),
        }
    }

    /// Gets a chunk from one of these nodes, unless it is here, and tells what came of it.
    pub(super) fn fetch(self: &Arc<Porter>, chunk: Chunk, from: Arc<[NodeId]>) {
        if !self.rack.has(chunk.id) {
            let porter = Arc::clone(self);
            self.handle.spawn(async move {
                porter.fetched(chunk, &from).await;
                sleep(KEPT).await;
                porter.tidy();
            });
        }
    }

    async fn fetched(&self, chunk: Chunk, from: &[NodeId]) {
        let mut unwritten = false;
        for &node in from {
            match self.fetch_from(chunk, node).await {
                Ok(()) => return,
                Err(CarryError::Unkept(error @ (Unkept::Full | Unkept::Disk(_)))) => {
                    self.complain(chunk, &error);
                    unwritten = true;
                    break;
                }
                Err(error) => tracing::debug!(chunk = ?chunk.id, %node, %error, "a chunk does not come"),
            }
        }
        self.rack.failed(chunk.id, unwritten);
    }

    /// Says that the disk takes nothing, now and then: it is tried again and again.
    fn complain(&self, chunk: Chunk, error: &Unkept) {
        let mut complained = lock(&self.complained);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAINTS_EVERY) {
            *complained = Some(Instant::now());
            tracing::warn!(chunk = ?chunk.id, %error, "a chunk cannot be kept");
        }
    }

    async fn fetch_from(&self, chunk: Chunk, node: NodeId) -> Result<(), CarryError> {
        let mut receive = self.asked(chunk, node).await?;
        self.take_in(chunk, &mut receive).await
    }

    /// Asks a node for a chunk: its bytes follow on the stream.
    async fn asked(&self, chunk: Chunk, node: NodeId) -> Result<RecvStream, CarryError> {
        let way = self.way(node).await?;
        let asked = async {
            let (mut send, mut receive) = way.open_bi().await.map_err(broken)?;
            wire::write(&mut send, &Call::Chunk(chunk.id)).await.map_err(broken)?;
            let _ = send.finish();
            let Held(bytes) = wire::read(&mut receive).await.map_err(broken)?;
            Ok((receive, bytes))
        };
        let (receive, bytes) = within(asked).await?;
        match bytes {
            None => Err(CarryError::NotThere),
            Some(bytes) if bytes != chunk.bytes => Err(Unkept::Untrue.into()),
            Some(_) => Ok(receive),
        }
    }

    /// What runs the moves of chunks.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until ways that were used just now may be let go of.
    pub(super) async fn rest(&self) {
        sleep(KEPT).await;
        self.tidy();
    }

    /// The bytes of a chunk, from this node's own disk or one of these nodes. Nothing is kept.
    pub(super) async fn carry(&self, chunk: Chunk, from: &[NodeId]) -> Result<Vec<u8>, CarryError> {
        let rack = Arc::clone(&self.rack);
        let own = move || rack.read(chunk.id).and_then(|outgoing| outgoing.whole().ok());
        if let Some(bytes) = aside(own).await? {
            return Ok(bytes);
        }
        if !aside({
            let rack = Arc::clone(&self.rack);
            move || rack.has_room()
        })
        .await?
        .map_err(broken)?
        {
            return Err(Unkept::Full.into());
        }
        let mut last = broken("nobody is known to hold it");
        for &node in from {
            match self.carry_from(chunk, node).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn carry_from(&self, chunk: Chunk, node: NodeId) -> Result<Vec<u8>, CarryError> {
        let mut receive = self.asked(chunk, node).await?;
        let mut bytes = vec![0; chunk.bytes as usize];
        for piece in bytes.chunks_mut(PIECE_BYTES) {
            within(async { receive.read_exact(piece).await.map_err(broken) }).await?;
        }
        let sound = move || (digest(&SHA256, &bytes).as_ref() == chunk.id.0).then_some(bytes);
        aside(sound).await?.ok_or(Unkept::Untrue.into())
    }

    /// Lets go of the ways that were not used of late. One that is in use lasts until it is not.
    fn tidy(&self) {
        lock(&self.ways).retain(|_, (way, used)| way.close_reason().is_none() && used.elapsed() < KEPT);
    }

    /// The way to a node: one that there is, or a new one.
    async fn way(&self, node: NodeId) -> Result<Connection, CarryError> {
        if let Some((way, used)) =
            lock(&self.ways).get_mut(&node).filter(|(way, _)| way.close_reason().is_none())
        {
            *used = Instant::now();
            return Ok(way.clone());
        }
        let address = {
            let standing = lock(&self.standing);
            let member = standing.members.iter().find(|member| member.id == node);
            member.and_then(|member| member.address.parse().ok())
        };
        let address = address.ok_or_else(|| broken("nobody knows where it lives"))?;
        let (way, _) = self.dialler.dial(address, Some(node)).await.map_err(broken)?;
        lock(&self.ways).insert(node, (way.clone(), Instant::now()));
        Ok(way)
    }

    /// Takes the bytes of a chunk to the disk, piece by piece.
    async fn take_in(&self, chunk: Chunk, receive: &mut RecvStream) -> Result<(), CarryError> {
        let rack = Arc::clone(&self.rack);
        let mut incoming: Incoming = aside(move || rack.begin(chunk)).await??;
        let mut left = chunk.bytes as usize;
        while left > 0 {
            let mut piece = vec![0; PIECE_BYTES.min(left)];
            left -= piece.len();
            within(async { receive.read_exact(&mut piece).await.map_err(broken) }).await?;
            incoming = aside(move || incoming.write(&piece).map(|()| incoming)).await??;
        }
        Ok(aside(move || incoming.keep()).await??)
    }

    /// A client brings a chunk: its bytes follow on the stream.
    pub(in super::super) async fn bring(
        &self,
        chunk: Chunk,
        receive: &mut RecvStream,
    ) -> Result<(), CarryError> {
        let _room = self.brought.acquire().await.map_err(broken)?;
        self.take_in(chunk, receive).await
    }

    /// Which of these chunks are not here, by their places.
    pub(in super::super) async fn missing(&self, ids: Vec<ChunkId>) -> Result<Vec<u32>, CarryError> {
        let _alone = self.looking.lock().await;
        let rack = Arc::clone(&self.rack);
        let look =
            move || (0..).zip(&ids).filter(|(_, id)| !rack.has(**id)).map(|(place, _)| place).collect();
        aside(look).await
    }

    /// Gives a chunk to whoever asked for it: whether it is here, and its bytes.
    pub(in super::super) async fn give(&self, send: &mut SendStream, id: ChunkId) -> Result<(), WireError> {
        let fails = |error: CarryError| WireError::Broken(error.to_string());
        let _room = self.given.acquire().await.map_err(|error| fails(broken(error)))?;
        let rack = Arc::clone(&self.rack);
        let found = aside(move || rack.read(id)).await.map_err(fails)?;
        wire::write(send, &Held(found.as_ref().map(|outgoing| outgoing.chunk.bytes))).await?;
        let Some(mut outgoing) = found else { return Ok(()) };
        loop {
            let read =
                aside(move || outgoing.piece().map(|piece| piece.map(|piece| (piece, outgoing)))).await;
            let piece;
            (piece, outgoing) = match read.map_err(fails)? {
                Ok(Some(read)) => read,
                Ok(None) => return Ok(()),
                Err(damaged) => {
                    let _ = send.reset(1_u32.into());
                    return Err(fails(broken(damaged)));
                }
            };
            let sent = async { send.write_chunk(piece.into()).await.map_err(broken) };
            if let Err(error) = within(sent).await {
                let _ = send.reset(1_u32.into());
                return Err(fails(error));
            }
        }
    }
}

/// What has to come within the time for a piece.
async fn within<T>(done: impl Future<Output = Result<T, CarryError>>) -> Result<T, CarryError> {
    timeout(STALL, done).await.map_err(|_| broken("the other side has stalled"))?
}

/// Does what waits for the disk elsewhere.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CarryError> {
    tokio::task::spawn_blocking(work).await.map_err(broken)
}
