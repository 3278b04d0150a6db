//! What waits for a node's machine: from the machine itself, which is never lost, and from the network, of which the oldest goes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::disk::DiskError;
use super::net::link::lock;
use crate::base::{NodeId, SessionId};
use crate::engine;
use crate::node::{Message, Request, Token};

/// Messages that wait at most; the oldest is dropped.
const MESSAGES_MAX: usize = 16_384;

/// Something for the machine.
#[derive(Debug)]
pub(super) enum Item {
    /// The disk: every record up to this one is durable, or it is broken.
    Disk(Result<Token, DiskError>),
    /// The engine.
    Engine(engine::Event),
    /// A client asks.
    Client { session: SessionId, number: u64, request: Arc<Request> },
    /// The node shall leave.
    Leave,
    /// The process ends without further ado.
    Stop,
    /// Another node says something.
    Message(NodeId, Message),
}

/// The queue. Clients are few enough not to need a limit here: each has one request under way.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queues: Mutex<Queues>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    local: VecDeque<Item>,
    messages: VecDeque<(NodeId, Message)>,
}

impl Inbox {
    /// Puts something in.
    pub(super) fn put(&self, item: Item) {
        let mut queues = lock(&self.queues);
        match item {
            Item::Message(from, message) => {
                if queues.messages.len() == MESSAGES_MAX {
                    queues.messages.pop_front();
                }
                queues.messages.push_back((from, message));
            }
            local => queues.local.push_back(local),
        }
        self.ready.notify_one();
    }

    /// Takes the next thing out, if one comes within `wait`.
    pub(super) fn take(&self, wait: Duration) -> Option<Item> {
        let is_empty = |queues: &mut Queues| queues.local.is_empty() && queues.messages.is_empty();
        let waited = self.ready.wait_timeout_while(lock(&self.queues), wait, is_empty);
        let (mut queues, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let message = |(from, message)| Item::Message(from, message);
        queues.local.pop_front().or_else(|| queues.messages.pop_front().map(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, Epoch};
    use crate::node::{Body, WorkMessage};

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
