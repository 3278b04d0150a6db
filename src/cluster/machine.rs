//! The thread of a node's machine: it gives the machine its inputs, and passes its effects on to those who carry them out.
//!
//! Nothing waits here: records go to the disk's thread, messages to the queues of links, orders to the engine's thread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::chunks::{Chunks, Larder};
use super::clock;
use super::diary::Diary;
use super::disk::Writer;
use super::inbox::{Inbox, Item};
use super::net::link::{Links, lock};
use super::news::Board;
use super::recording::Recorder;
use super::weights::Weights;
use super::{Standing, work};
use crate::base::{NodeId, SessionId, Time};
use crate::engine::{Event, Said, Supervisor};
use crate::node::{
    Body, Effect, EngineCommand, Input, Member, MembershipMessage, Message, Node, Observation, Outbox,
    Record, Reply, Request, Seats, Token, View,
};

/// Who waits for an answer, by session and number of the request. A client that asks again takes the place of its earlier self.
pub(super) type Waiting = Mutex<BTreeMap<(SessionId, u64), Asker>>;

/// A client that waits for an answer.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) request: Arc<Request>,
    pub(super) answer: oneshot::Sender<Arc<Reply>>,
}

/// The ways out: streams, further ones for states that move in parts, which would hold up everything else, and datagrams one port
/// higher.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) streams: Links,
    pub(super) bulk: Links,
    pub(super) beats: Links,
}

impl Routes {
    /// A node listens on this port and the next.
    pub(super) fn learn(&self, id: NodeId, address: SocketAddr) {
        self.streams.learn(id, address);
        self.bulk.learn(id, address);
        self.beats.learn(id, SocketAddr::new(address.ip(), address.port().saturating_add(1)));
    }

    fn send(&self, to: NodeId, message: Message) {
        // What is sent again and again, and is worthless when late.
        let beat = matches!(
            message.body,
            Body::Membership(
                MembershipMessage::Heartbeat { .. }
                    | MembershipMessage::Alert { .. }
                    | MembershipMessage::Ping { .. }
            )
        );
        let way = match beat {
            true => &self.beats,
            false if message.is_bulk() => &self.bulk,
            false => &self.streams,
        };
        way.send(to, message);
    }
}

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It left as it was told to.
    Left,
    /// It was stopped without leaving.
    Stopped,
    /// It could not go on, for this reason.
    Broken(String),
}

/// What the thread owns.
pub(super) struct Machine {
    pub(super) node: Node,
    pub(super) me: NodeId,
    pub(super) inbox: Arc<Inbox>,
    pub(super) disk: Writer,
    pub(super) diary: Diary,
    pub(super) engine: Option<Supervisor>,
    pub(super) chunks: Chunks,
    pub(super) larder: Arc<Larder>,
    pub(super) weights: Weights,
    /// The models that read what is in their inputs.
    pub(super) networks: BTreeSet<Arc<str>>,
    pub(super) routes: Arc<Routes>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) standing: Arc<Mutex<Standing>>,
    pub(super) board: Arc<Mutex<Board>>,
    pub(super) outbox: Outbox,
    /// What is asked once more since another node leads: whoever led before may have died with the question. Its number makes sure
    /// that it takes effect once.
    pub(super) again: VecDeque<Item>,
    pub(super) recorder: Option<Recorder>,
    /// Whether it founds the cluster that it is about to belong to.
    pub(super) founds: bool,
    pub(super) settled: Token,
    /// Sends that wait for a write, in order of their tokens.
    pub(super) held: VecDeque<(Token, NodeId, Message)>,
    /// Whether the node has left, or why it cannot go on.
    pub(super) ended: Option<Ended>,
}

impl Machine {
    /// Runs until the node ends.
    pub(super) fn run(mut self) -> Ended {
        let ended = self.go();
        if let Some(recorder) = &mut self.recorder {
            recorder.end(match &ended {
                Ended::Left => "the node left",
                Ended::Stopped => "the node was stopped",
                Ended::Broken(why) => why,
            });
        }
        ended
    }

    fn go(&mut self) -> Ended {
        let origin = clock::now();
        let now = || Time(clock::now().since(origin).0);
        loop {
            let wait = Duration::from_nanos(self.node.deadline().since(now()).0).min(Duration::from_hours(1));
            let input = match self.again.pop_front().or_else(|| self.inbox.take(wait)) {
                None => Input::Wake,
                Some(Item::Disk(Ok(token))) => {
                    self.release(token);
                    Input::Persisted(token)
                }
                Some(Item::Disk(Err(error))) => {
                    let why = format!("the disk failed: {error}");
                    return Ended::Broken(why);
                }
                Some(Item::Engine(event)) => {
                    if let (Event::Died { .. }, Some(engine)) = (&event, &mut self.engine) {
                        engine.heard_of_death();
                        self.weights.forget();
                    }
                    Input::Engine(work::event(event))
                }
                Some(Item::Weights { model, .. }) if !self.weights.came(&model) => continue,
                Some(Item::Weights { model, fetched: Ok(()) }) => {
                    if let Some(engine) = &self.engine {
                        work::command(engine, EngineCommand::Load { model }, |_, _| None);
                    }
                    continue;
                }
                Some(Item::Weights { model, fetched: Err(reason) }) => {
                    Input::Engine(work::event(Event::Said(Said::LoadFailed { model, reason })))
                }
                Some(Item::Chunk(event)) => Input::Chunk(event),
                Some(Item::Client { session, number, request }) => Input::Client { session, number, request },
                Some(Item::Leave) => Input::Leave,
                Some(Item::Stop) => return Ended::Stopped,
                Some(Item::Message(from, message)) => {
                    self.look(&message);
                    Input::Receive { from, message }
                }
            };
            let at = now();
            self.step(at, input);
            // Before anyone can hear of it, so that whatever follows from it elsewhere is later.
            self.diary.write(origin + at.since(Time::ZERO), self.outbox.effects());
            self.carry_out();
            self.look_at_status();
            if let Some(ended) = self.ended.take() {
                return ended;
            }
        }
    }

    /// Keeps how the node stands for those who ask, and asks anew what an earlier coordinator left unanswered.
    fn look_at_status(&mut self) {
        let status = self.node.status();
        let before = lock(&self.standing).status.replace(status);
        if before.is_none_or(|before| before.coordinator == status.coordinator) {
            return;
        }
        self.again = (lock(&self.waiting).iter())
            .filter(|(_, asker)| !asker.answer.is_closed())
            .map(|(&(session, number), asker)| {
                let request = Arc::clone(&asker.request);
                Item::Client { session, number, request }
            })
            .collect();
    }

    fn step(&mut self, now: Time, input: Input) {
        let Some(recorder) = &mut self.recorder else {
            return self.node.step(now, input, &mut self.outbox);
        };
        recorder.begins(now, &input);
        self.node.step(now, input, &mut self.outbox);
        recorder.ended(self.outbox.effects(), self.node.deadline());
    }

    /// Learns from a message where its sender lives, and what the engine is about to get.
    fn look(&self, message: &Message) {
        if let Some(engine) = &self.engine {
            work::expect(engine, message);
        }
        if let Body::Membership(MembershipMessage::Join(member)) = &message.body {
            self.learn(member);
        }
    }

    fn learn(&self, member: &Member) {
        match member.address.parse() {
            Ok(address) if member.id != self.me => self.routes.learn(member.id, address),
            Ok(_) => {}
            Err(_) => tracing::warn!(node = %member.name, address = %member.address, "is no address"),
        }
    }

    fn carry_out(&mut self) {
        // Who newly belongs can be spoken to in the very step that let it in.
        let newest = self.outbox.effects().iter().rev().find_map(|effect| match effect {
            Effect::Persist { record: Record::View { view, seats }, .. } => {
                Some((view.clone(), seats.clone()))
            }
            _ => None,
        });
        if let Some((view, seats)) = newest {
            self.install(&view, &seats);
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        for effect in outbox.drain() {
            match effect {
                Effect::Send { to, message, after } => match after {
                    Some(token) if token > self.settled => {
                        let place = self.held.partition_point(|(after, ..)| *after <= token);
                        self.held.insert(place, (token, to, message));
                    }
                    _ => self.routes.send(to, message),
                },
                Effect::Reply { session, number, reply } => {
                    if let Some(client) = lock(&self.waiting).remove(&(session, number)) {
                        // It may have gone away.
                        let _ = client.answer.send(reply);
                    }
                }
                Effect::Persist { token, record } => {
                    if let Record::Cluster(cluster) = &record {
                        let how = if self.founds { "new cluster" } else { "joins the cluster" };
                        tracing::info!(%cluster, "{how}");
                    }
                    if !self.disk.write(token, record) && self.ended.is_none() {
                        self.ended = Some(Ended::Broken("the disk does not keep up".to_owned()));
                    }
                }
                // The engine is told once it can find what it needs.
                Effect::Engine(EngineCommand::Load { model }) if self.weights.fetch(&model) => {}
                Effect::Engine(command) => match &self.engine {
                    Some(engine) => {
                        let reads = |model: &str| self.networks.contains(model);
                        let staged = |model: &str, attempt| {
                            if reads(model) { self.larder.path(attempt) } else { None }
                        };
                        work::command(engine, command, staged);
                    }
                    None => unreachable!("a node that takes no queries gives its engine no commands"),
                },
                Effect::Chunk(command) => self.chunks.order(command),
                Effect::Left => self.ended = Some(Ended::Left),
                Effect::Observe(observation) => {
                    tell(&observation);
                    self.note(&observation);
                }
            }
        }
        self.outbox = outbox;
    }

    /// Keeps what is news, for those who follow.
    fn note(&self, observation: &Observation) {
        let name = |id: NodeId| {
            let standing = lock(&self.standing);
            let member = standing.members.iter().find(|member| member.id == id);
            member.map_or_else(|| id.to_string(), |member| member.name.to_string())
        };
        lock(&self.board).note(observation, &name);
    }

    /// Everything up to `token` is durable: what waited for it leaves.
    fn release(&mut self, token: Token) {
        self.settled = token;
        while self.held.front().is_some_and(|(after, ..)| *after <= token) {
            let (_, to, message) = self.held.pop_front().expect("there is a first one");
            self.routes.send(to, message);
        }
    }

    /// The node acts by this view: everyone in it can be reached, and voters stay connected with everyone.
    pub(super) fn install(&self, view: &View, seats: &Seats) {
        {
            // Who has moved is known by how it dials before its new life stands in a view.
            let before = &lock(&self.standing).members;
            let old = |member: &&Member| {
                before.iter().any(|known| known.id == member.id && known.address == member.address)
            };
            view.members().iter().filter(|member| !old(member)).for_each(|member| self.learn(member));
        }
        let votes = |id: NodeId| seats.voters.contains(&id) || seats.learners.contains(&id);
        let mine = votes(self.me);
        let keep = |id: NodeId| view.member(id).map(|_| mine || votes(id));
        self.routes.streams.review(keep);
        self.routes.beats.review(keep);
        self.routes.bulk.review(|id| keep(id).map(|_| false));
        let mut standing = lock(&self.standing);
        standing.members = view.members().to_vec();
        standing.seats = seats.clone();
        standing.dropped = self.routes.streams.dropped.load(Ordering::Relaxed)
            + self.routes.bulk.dropped.load(Ordering::Relaxed)
            + self.routes.beats.dropped.load(Ordering::Relaxed);
    }
}

/// Writes what the node noticed into the log for people.
fn tell(observation: &Observation) {
    match observation {
        Observation::Born { incarnation } => tracing::info!(%incarnation, "begins"),
        Observation::Led { epoch } => tracing::info!(%epoch, "leads"),
        Observation::SteppedDown { epoch, reason } => tracing::info!(%epoch, ?reason, "leads no more"),
        Observation::Suspected { subject, .. } => tracing::info!(node = %subject, "is suspect"),
        Observation::Trusted { subject, .. } => tracing::info!(node = %subject, "is heard again"),
        Observation::Installed { view, .. } => tracing::info!(%view, "acts by a new view"),
        Observation::Expelled { incarnation } => tracing::warn!(%incarnation, "was evicted and joins anew"),
        Observation::EngineDied { reason } => tracing::warn!(%reason, "the engine died"),
        Observation::Loaded { model, ok } => tracing::info!(%model, ok, "loaded"),
        other => tracing::debug!(?other),
    }
}
