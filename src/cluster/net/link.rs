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

/// Messages that wait for one node in streams, and about how many bytes of them; the oldest are dropped.
const STREAM_WAITING_MAX: (usize, usize) = (4096, 32 << 20);
/// Datagrams that wait for one node: what is old is of no use.
const DATAGRAM_WAITING_MAX: (usize, usize) = (16, 64 << 10);
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
    waiting: Mutex<Waiting>,
    /// Rung when something waits, the address changes, or the link is not needed any more.
    bell: Notify,
    /// Whether a connection is kept even when there is nothing to say.
    keep: AtomicBool,
    /// When it was last spoken to, or became known.
    used: Mutex<Instant>,
    closed: AtomicBool,
}

/// Messages in order, and about how many bytes they take.
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Waiting {
    /// Adds one; so many of the oldest go that no more than `limit` wait, but the new one stays. Says how many went.
    fn push(&mut self, message: Message, (count_max, bytes_max): (usize, usize)) -> u64 {
        self.bytes += message.weight();
        self.messages.push_back(message);
        let mut gone = 0;
        while self.messages.len() > 1 && (self.messages.len() > count_max || self.bytes > bytes_max) {
            self.pop();
            gone += 1;
        }
        gone
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.weight();
        Some(message)
    }
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
        let gone = lock(&link.waiting).push(message, limit);
        self.dropped.fetch_add(gone, Ordering::Relaxed);
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
        if !link.keep.load(Ordering::Relaxed) && lock(&link.waiting).messages.is_empty() {
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
    lock(&link.waiting).pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, Epoch};
    use crate::node::{Body, LogMessage, Part, Position};

    fn part(bytes: usize) -> Message {
        let part =
            Part { epoch: Epoch(1), last: Position::default(), size: 9, offset: 0, bytes: vec![1; bytes] };
        Message { cluster: ClusterId(1), body: Body::Log(LogMessage::Part(Arc::new(part))) }
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_in_bytes_and_the_newest_stays() {
        let mut waiting = Waiting::default();
        let gone: u64 = (0..10).map(|_| waiting.push(part(100), (8, 10_000))).sum();
        assert_eq!((gone, waiting.messages.len()), (2, 8));
        // 9,064 bytes leave room for five of 164.
        assert_eq!((waiting.push(part(9_000), (8, 10_000)), waiting.messages.len()), (3, 6));
        assert_eq!((waiting.push(part(20_000), (8, 10_000)), waiting.messages.len()), (6, 1));
        assert_eq!(waiting.pop(), Some(part(20_000)));
        assert_eq!((waiting.bytes, waiting.pop()), (0, None));
    }
}
