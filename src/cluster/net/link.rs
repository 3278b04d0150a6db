//! What leaves for other nodes: a bounded queue and a connection for each, kept alive where that matters.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::endpoint::Dialler;
use super::wire;
use crate::base::NodeId;
use crate::node::Message;

/// Messages that wait for one node in streams; the oldest is dropped.
const STREAM_WAITING_MAX: usize = 4096;
/// Datagrams that wait for one node: what is old is of no use.
const DATAGRAM_WAITING_MAX: usize = 16;
/// Nodes that stay known though they do not belong to the cluster.
const STRANGERS_MAX: usize = 64;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 64 << 10;
/// The shortest and the longest time between two attempts to reach a node.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// In what form messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In a stream, in order, as long as the connection holds.
    Stream,
    /// Each on its own, perhaps not at all.
    Datagram,
}

/// The ways to all other nodes from one port.
#[derive(Debug)]
pub(crate) struct Links {
    form: Form,
    handle: Handle,
    dialler: Dialler,
    all: Mutex<BTreeMap<NodeId, Arc<Link>>>,
    /// Messages that were dropped because a queue was full or nobody knew where their receiver lives.
    pub(crate) dropped: Arc<AtomicU64>,
}

/// The way to one node.
#[derive(Debug)]
struct Link {
    id: NodeId,
    address: Mutex<SocketAddr>,
    waiting: Mutex<VecDeque<Message>>,
    /// Rung when something waits, the address changes, or the link is not needed any more.
    bell: Notify,
    /// Whether a connection is kept even when there is nothing to say.
    keep: AtomicBool,
    /// When it was last spoken to, or became known.
    used: Mutex<Instant>,
    closed: AtomicBool,
}

impl Links {
    pub(crate) fn new(form: Form, handle: Handle, dialler: Dialler) -> Links {
        Links { form, handle, dialler, all: Mutex::default(), dropped: Arc::default() }
    }

    /// Node `id` can be reached at `address`.
    pub(crate) fn learn(&self, id: NodeId, address: SocketAddr) {
        let mut all = lock(&self.all);
        if let Some(link) = all.get(&id) {
            if std::mem::replace(&mut *lock(&link.address), address) != address {
                link.bell.notify_one();
            }
            return;
        }
        let link = Arc::new(Link {
            id,
            address: Mutex::new(address),
            waiting: Mutex::default(),
            bell: Notify::new(),
            keep: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
            closed: AtomicBool::new(false),
        });
        all.insert(id, Arc::clone(&link));
        self.handle.spawn(run(self.form, self.dialler.clone(), link));
    }

    /// A connection is kept to the nodes of which `keep` says true. Those of which it says `None` do not belong here: they may be
    /// about to join, or have to be told that they were evicted, so that the last few that were spoken to stay known.
    pub(crate) fn review(&self, keep: impl Fn(NodeId) -> Option<bool>) {
        let mut all = lock(&self.all);
        let mut strangers = Vec::new();
        for (&id, link) in all.iter() {
            let keep = keep(id);
            link.keep.store(keep == Some(true), Ordering::Relaxed);
            link.bell.notify_one();
            if keep.is_none() {
                strangers.push((*lock(&link.used), id));
            }
        }
        strangers.sort_unstable();
        for (_, id) in &strangers[..strangers.len().saturating_sub(STRANGERS_MAX)] {
            if let Some(link) = all.remove(id) {
                link.closed.store(true, Ordering::Relaxed);
                link.bell.notify_one();
            }
        }
    }

    /// Queues a message, which may be lost.
    pub(crate) fn send(&self, to: NodeId, message: Message) {
        let limit = match self.form {
            Form::Stream => STREAM_WAITING_MAX,
            Form::Datagram => DATAGRAM_WAITING_MAX,
        };
        let all = lock(&self.all);
        let Some(link) = all.get(&to) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        *lock(&link.used) = Instant::now();
        let mut waiting = lock(&link.waiting);
        if waiting.len() >= limit {
            waiting.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back(message);
        link.bell.notify_one();
    }
}

/// Poisoned means that another thread panicked, which is said elsewhere; what is in here is whole all the same.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps one link going until it is closed.
async fn run(form: Form, dialler: Dialler, link: Arc<Link>) {
    let mut pause = PAUSE.0;
    while !link.closed.load(Ordering::Relaxed) {
        if !link.keep.load(Ordering::Relaxed) && lock(&link.waiting).is_empty() {
            link.bell.notified().await;
            continue;
        }
        let address = *lock(&link.address);
        match dialler.dial(address, Some(link.id)).await {
            Ok((connection, _)) => {
                pause = PAUSE.0;
                tracing::debug!(to = %link.id, %address, "connected");
                let reason = carry(form, &connection, &link, address).await;
                connection.close(0_u32.into(), b"");
                tracing::debug!(to = %link.id, %address, reason, "disconnected");
            }
            Err(error) => {
                tracing::debug!(to = %link.id, %address, %error, "cannot be reached");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// Carries messages over a connection until it is of no more use, and says why.
async fn carry(form: Form, connection: &Connection, link: &Link, address: SocketAddr) -> String {
    let mut stream = match form {
        Form::Stream => match connection.open_uni().await {
            Ok(stream) => Some(stream),
            Err(error) => return error.to_string(),
        },
        Form::Datagram => None,
    };
    loop {
        let mut bytes = Vec::new();
        while bytes.len() < WRITE_BYTES
            && let Some(message) = pop(link)
        {
            if stream.is_some() {
                wire::encode(&message, &mut bytes);
            } else {
                let datagram = postcard::to_stdvec(&message).expect("messages can be encoded");
                // One that is too large for a datagram is lost, as any may be.
                let _ = connection.send_datagram(datagram.into());
            }
        }
        if let Some(stream) = stream.as_mut().filter(|_| !bytes.is_empty()) {
            if let Err(error) = stream.write_all(&bytes).await {
                return error.to_string();
            }
            continue;
        }
        tokio::select! {
            () = link.bell.notified() => {}
            reason = connection.closed() => return reason.to_string(),
        }
        if link.closed.load(Ordering::Relaxed) {
            // A last message may be on its way.
            let _ = timeout(PAUSE.1, connection.closed()).await;
            return "not needed any more".to_owned();
        }
        if *lock(&link.address) != address {
            return "it has moved".to_owned();
        }
    }
}

fn pop(link: &Link) -> Option<Message> {
    lock(&link.waiting).pop_front()
}
