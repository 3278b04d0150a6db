//! What waits for a node's machine: from the machine itself, which is never lost, and from the network, of which the oldest goes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::disk::DiskError;
use super::net::link::lock;
use crate::base::{NodeId, SessionId};
use crate::engine;
use crate::node::{ChunkEvent, Message, Request, Token};

/// Messages that wait at most, and about how many bytes of them; the oldest are dropped.
const MESSAGES_MAX: usize = 16_384;
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// About how many bytes of clients' requests may wait; further ones are refused.
const CLIENT_BYTES_MAX: usize = 32 << 20;

/// Something for the machine.
#[derive(Debug)]
pub(super) enum Item {
    /// The disk: every record up to this one is durable, or it is broken.
    Disk(Result<Token, DiskError>),
    /// The engine.
    Engine(engine::Event),
    /// The weights of a network, which the engine shall load, are on the disk; or why they cannot be had.
    Weights { model: Arc<str>, fetched: Result<(), Arc<str>> },
    /// What became of a chunk.
    Chunk(ChunkEvent),
    /// A client asks.
    Client { session: SessionId, number: u64, request: Arc<Request> },
    /// The node shall leave.
    Leave,
    /// The process ends without further ado.
    Stop,
    /// Another node says something.
    Message(NodeId, Message),
}

/// The queue. What disk and engine say needs no limit: it answers what the machine has asked of them.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queues: Mutex<Queues>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    local: VecDeque<Item>,
    messages: VecDeque<(NodeId, Message)>,
    /// About how many bytes they take.
    message_bytes: usize,
    /// About how many bytes the clients' requests in `local` take.
    client_bytes: usize,
}

impl Inbox {
    /// Puts something in that is no client's.
    pub(super) fn put(&self, item: Item) {
        let mut queues = lock(&self.queues);
        match item {
            Item::Message(from, message) => {
                queues.message_bytes += message.weight();
                queues.messages.push_back((from, message));
                let Queues { messages, message_bytes, .. } = &mut *queues;
                while messages.len() > MESSAGES_MAX
                    || (*message_bytes > MESSAGE_BYTES_MAX && messages.len() > 1)
                {
                    let oldest = messages.pop_front();
                    *message_bytes -= oldest.map_or(0, |(_, message)| message.weight());
                }
            }
            local => queues.local.push_back(local),
        }
        self.ready.notify_one();
    }

    /// Puts a client's request in. `false` when too much of that waits already.
    pub(super) fn ask(&self, session: SessionId, number: u64, request: Arc<Request>) -> bool {
        let mut queues = lock(&self.queues);
        let weight = request.weight();
        if queues.client_bytes + weight > CLIENT_BYTES_MAX {
            return false;
        }
        queues.client_bytes += weight;
        queues.local.push_back(Item::Client { session, number, request });
        self.ready.notify_one();
        true
    }

    /// Takes the next thing out, if one comes within `wait`.
    pub(super) fn take(&self, wait: Duration) -> Option<Item> {
        let is_empty = |queues: &mut Queues| queues.local.is_empty() && queues.messages.is_empty();
        let waited = self.ready.wait_timeout_while(lock(&self.queues), wait, is_empty);
        let (mut queues, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(local) = queues.local.pop_front() {
            if let Item::Client { request, .. } = &local {
                queues.client_bytes -= request.weight();
            }
            return Some(local);
        }
        let (from, message) = queues.messages.pop_front()?;
        queues.message_bytes -= message.weight();
        Some(Item::Message(from, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, Epoch};
    use crate::node::{Body, Inputs, JobSpec, WorkMessage};

    #[test]
    fn clients_that_ask_too_much_at_once_are_refused_until_there_is_room() {
        let inbox = Inbox::default();
        let names = vec!["x".repeat(500_000).into()];
        let (name, model) = ("j".into(), "m".into());
        let spec =
            JobSpec { name, model, inputs: Inputs::Names(names.into()), batch: 1, weight: 1.0, priority: 0 };
        let request = Arc::new(Request::Submit(spec));
        let ask = |number| inbox.ask(SessionId(1), number, Arc::clone(&request));
        let taken = (0..1000).take_while(|number| ask(*number)).count();
        assert!((60..70).contains(&taken), "{taken} requests of half a megabyte");
        assert!(!ask(1000));
        inbox.take(Duration::ZERO);
        assert!(ask(1001) && !ask(1002));
    }

    #[test]
    fn of_too_many_messages_the_oldest_go_and_nothing_else_does() {
        let inbox = Inbox::default();
        inbox.put(Item::Disk(Ok(Token(1))));
        for epoch in 0..MESSAGES_MAX as u64 + 2 {
            let body = Body::Work(WorkMessage::Survey { epoch: Epoch(epoch) });
            inbox.put(Item::Message(NodeId::new(1), Message { cluster: ClusterId(1), body }));
        }
        assert!(matches!(inbox.take(Duration::ZERO), Some(Item::Disk(Ok(Token(1))))));
        let oldest = inbox.take(Duration::ZERO);
        let Some(Item::Message(_, Message { body: Body::Work(WorkMessage::Survey { epoch }), .. })) = oldest
        else {
            panic!("{oldest:?}")
        };
        assert_eq!(epoch, Epoch(2));
    }
}
