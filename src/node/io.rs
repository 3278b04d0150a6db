//! What goes into a node and what comes out of it: the whole contract between the state machine and its drivers.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::Answer;
use super::message::{Body, Found, Message, Reply, Request};
use super::observation::Observation;
use super::record::Record;
use crate::base::{AttemptId, Chunk, ChunkId, ClusterId, NodeId, QueryId, SessionId, Span};

/// Names a write; counted per life of a node, from 1. [`Input::Persisted`] with a token covers all earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u64);

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Input {
    /// Time has passed: [`Node::deadline`](super::Node::deadline) is due. Spurious ones do no harm.
    Wake,
    /// A message arrived.
    Receive {
        /// The sender, as the transport knows it.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// A client that is connected to this node asks for something.
    Client {
        /// Its session.
        session: SessionId,
        /// The request's number within the session.
        number: u64,
        /// The request.
        request: Arc<Request>,
    },
    /// The inference engine has something to say.
    Engine(EngineEvent),
    /// Every write up to this token is durable.
    Persisted(Token),
    /// The node shall leave on purpose: it hands over if it leads, and asks to be let go. [`Effect::Left`] follows.
    Leave,
    /// Something became of a chunk of the file store. Drivers say it in the order in which it happened to the disk.
    Chunk(ChunkEvent),
}

/// What a node wants done. The driver carries effects out in their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effect {
    /// Send a message; it may be lost.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
        /// Not before this write is durable. `None`: at once, whatever the disk does.
        after: Option<Token>,
    },
    /// Answer a client that is, or was, connected to this node.
    Reply {
        /// Its session.
        session: SessionId,
        /// Which of its requests.
        number: u64,
        /// The answer.
        reply: Arc<Reply>,
    },
    /// Write a record. Never blocks; [`Input::Persisted`] follows once it is durable.
    Persist {
        /// Names the write.
        token: Token,
        /// What to write.
        record: Record,
    },
    /// Tell the inference engine to do something.
    Engine(EngineCommand),
    /// The node has left as [`Input::Leave`] asked: its process can end.
    Left,
    /// Something worth recording happened. Changes nothing.
    Observe(Observation),
    /// Move a chunk of the file store. The driver does it beside everything else, and one after the other what concerns one chunk.
    Chunk(ChunkCommand),
}

/// What a node wants done with a chunk of the file store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChunkCommand {
    /// Get it from one of these and keep it. Answered by [`ChunkEvent::Got`] once it is durable, or by [`ChunkEvent::Failed`].
    Fetch {
        /// The chunk.
        chunk: Chunk,
        /// Who should have it; tried in this order.
        from: Arc<[NodeId]>,
    },
    /// Remove it. Answered by [`ChunkEvent::Dropped`].
    Drop {
        /// Which.
        chunk: ChunkId,
    },
    /// Have what a query reads at hand, beside the chunks that are kept for the store and never counted among them. Answered by
    /// [`ChunkEvent::Staged`] or [`ChunkEvent::Unstaged`].
    Stage(Arc<Stage>),
    /// What was staged for an attempt need not be at hand any more. Not answered, and neither is its [`Self::Stage`] from now on.
    Unstage {
        /// The attempt.
        attempt: AttemptId,
    },
}

/// What a query reads of a file of the store. Which of its bytes these are, only the driver can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stage {
    /// Who needs it.
    pub attempt: AttemptId,
    /// The file and its version, as the order calls them.
    pub dataset: Arc<str>,
    /// The first input.
    pub from: u64,
    /// How many inputs.
    pub inputs: u32,
    /// The file and who holds what of it, and where the job's inputs end.
    pub found: Arc<Found>,
}

/// What became of a chunk of the file store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChunkEvent {
    /// It is durable on the disk: fetched, or brought by a client. Said also when it was there already.
    Got {
        /// The chunk.
        chunk: Chunk,
    },
    /// Nobody had it, or it was not what its name says, or it could not be written.
    Failed {
        /// Which.
        chunk: ChunkId,
        /// Whether it was this node's own disk that could not take it.
        unwritten: bool,
    },
    /// It is not on the disk any more, or damaged, although nobody dropped it.
    Lost {
        /// Which.
        chunk: ChunkId,
    },
    /// It is dropped.
    Dropped {
        /// Which.
        chunk: ChunkId,
    },
    /// What a query reads is at hand, and stays so until it is unstaged.
    Staged {
        /// Whose.
        attempt: AttemptId,
    },
    /// It could not be had, and nothing is kept for it any more.
    Unstaged {
        /// Whose.
        attempt: AttemptId,
        /// Why.
        reason: Arc<str>,
    },
}

/// What a node tells its inference engine, which does one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EngineCommand {
    /// Bring a model into memory. Answered by [`EngineEvent::Loaded`] or [`EngineEvent::LoadFailed`].
    Load {
        /// The model.
        model: Arc<str>,
    },
    /// Run a query on a model that is in memory. Answered by [`EngineEvent::Finished`] or [`EngineEvent::Failed`].
    Infer {
        /// The attempt that the result will name.
        attempt: AttemptId,
        /// The query.
        query: QueryId,
        /// The model.
        model: Arc<str>,
        /// The dataset of the inputs.
        dataset: Arc<str>,
        /// The first input.
        from: u64,
        /// How many inputs.
        inputs: u32,
    },
    /// Kill the engine and start a new one, because what it does takes too long or is not wanted any more. Answered by
    /// [`EngineEvent::Died`], after which no model is in memory.
    Kill,
}

/// What an inference engine tells its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EngineEvent {
    /// The model is in memory.
    Loaded {
        /// The model.
        model: Arc<str>,
    },
    /// The model could not be brought into memory.
    LoadFailed {
        /// The model.
        model: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// A query ended with predictions.
    Finished {
        /// The attempt.
        attempt: AttemptId,
        /// The predictions.
        answer: Answer,
        /// How long the inference took.
        took: Span,
    },
    /// A query ended without any.
    Failed {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        reason: Arc<str>,
    },
    /// The engine died and a new one is ready; whatever ran is lost, and no model is in memory.
    Died {
        /// Why.
        reason: Arc<str>,
    },
}

/// Collects the effects of one step. A driver keeps one and drains it after each.
#[derive(Debug, Default)]
pub struct Outbox {
    effects: Vec<Effect>,
    me: Option<NodeId>,
    /// What the node says to itself.
    local: VecDeque<Body>,
    pub(super) cluster: ClusterId,
    pub(super) last_token: Token,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Takes the effects of the last step, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// The effects of the last step, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Begins a step of the node `me`.
    pub(super) fn begin(&mut self, me: NodeId, cluster: ClusterId, last_token: Token) {
        assert!(self.effects.is_empty(), "the driver takes the effects of each step before the next");
        (self.me, self.cluster, self.last_token) = (Some(me), cluster, last_token);
    }

    /// Whether the node has something to say to itself.
    pub(super) fn has_local(&self) -> bool {
        !self.local.is_empty()
    }

    /// The next thing that the node says to itself; it never travels.
    pub(super) fn take_local(&mut self) -> Option<Body> {
        self.local.pop_front()
    }

    /// Adds an effect: for stand-ins that drivers are tested with.
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn send(&mut self, to: NodeId, body: Body) {
        self.send_after(to, body, None);
    }

    pub(super) fn send_after(&mut self, to: NodeId, body: Body, after: Option<Token>) {
        if Some(to) == self.me {
            assert!(after.is_none(), "a node waits for its own disk through Input::Persisted");
            self.local.push_back(body);
            return;
        }
        self.effects.push(Effect::Send { to, message: Message { cluster: self.cluster, body }, after });
    }

    pub(super) fn reply(&mut self, session: SessionId, number: u64, reply: Arc<Reply>) {
        self.effects.push(Effect::Reply { session, number, reply });
    }

    pub(super) fn persist(&mut self, record: Record) -> Token {
        self.last_token = Token(self.last_token.0 + 1);
        self.effects.push(Effect::Persist { token: self.last_token, record });
        self.last_token
    }

    pub(super) fn left(&mut self) {
        self.effects.push(Effect::Left);
    }

    pub(super) fn engine(&mut self, command: EngineCommand) {
        self.effects.push(Effect::Engine(command));
    }

    pub(super) fn chunk(&mut self, command: ChunkCommand) {
        self.effects.push(Effect::Chunk(command));
    }

    pub(super) fn observe(&mut self, observation: Observation) {
        self.effects.push(Effect::Observe(observation));
    }
}
