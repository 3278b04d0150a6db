//! A tiny deterministic cluster of membership machines, with a coordinator that commits whatever it decides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use super::super::{Facts, Jurors, Membership, MembershipEvent as Event};
use crate::base::{Epoch, Incarnation, NodeId, Rng, Span, Time, ViewId};
use crate::node::config::{Detector, Membership as MembershipConfig};
use crate::node::entry::Seats;
use crate::node::io::{Effect, Outbox};
use crate::node::message::{Body, MembershipMessage};
use crate::node::update::{Memo, ViewUpdate};
use crate::node::view::{Member, View, ViewChange};

/// How long a write takes.
const SYNC: Span = Span::millis(4);
/// How long the coordinator gathers before it changes the view.
const GATHER: Span = Span::millis(100);
/// Lateness from which silence clocks move.
const LATE: Span = Span::millis(100);

pub(super) fn member(id: NodeId, incarnation: u32) -> Member {
    Member {
        id,
        incarnation: Incarnation(incarnation),
        birth: 0,
        name: "".into(),
        kind: "cpu".into(),
        worker: true,
        address: "".into(),
    }
}

enum Item {
    Wake(usize),
    Deliver(usize, NodeId, MembershipMessage),
    Durable(usize, Incarnation),
    Commit(usize, Arc<View>),
    Change,
    Resume(usize),
}

pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) machine: Membership,
    pub(super) life: Incarnation,
    pub(super) alive: bool,
    paused: Option<Vec<(NodeId, MembershipMessage)>>,
    wake_at: Time,
    seats: Arc<Seats>,
    epoch: Epoch,
    coordinator: Option<NodeId>,
    saved: Arc<View>,
    seeds: Vec<NodeId>,
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) seed: u64,
    config: MembershipConfig,
    pub(super) peers: Vec<Peer>,
    /// Probability that a message is lost.
    pub(super) loss: f64,
    /// Whether messages from the first to the second are cut off.
    pub(super) cut: Box<dyn Fn(usize, usize) -> bool>,
    pub(super) lead: usize,
    /// Everything that was said, but reigns.
    pub(super) log: Vec<(Time, usize, Event)>,
    /// Messages sent, by kind.
    pub(super) sent: BTreeMap<&'static str, u64>,
    /// Who sent an alert about whom, and when.
    pub(super) alerts: Vec<(Time, usize, usize)>,
    /// Every view that was committed.
    pub(super) views: Vec<Arc<View>>,
    /// Whether the coordinator acts on [`Event::Evict`].
    pub(super) evicts: bool,
    pending: ViewChange,
    changing: bool,
    places: BTreeMap<NodeId, usize>,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    items: BTreeMap<u64, Item>,
    sequence: u64,
    rng: Rng,
    out: Outbox,
    events: VecDeque<Event>,
}

impl Net {
    /// `n` members, of which the first `voters` vote and the first leads, all of them started at once.
    pub(super) fn new(seed: u64, n: usize, voters: usize) -> Net {
        Net::with_observers(seed, n, voters, 5)
    }

    pub(super) fn with_observers(seed: u64, n: usize, voters: usize, observers: u8) -> Net {
        Net::of(seed, n, voters, MembershipConfig { observers, ..MembershipConfig::default() })
    }

    /// The same, watching each other in a ring.
    pub(super) fn ring(seed: u64, n: usize, voters: usize) -> Net {
        Net::of(seed, n, voters, MembershipConfig { kind: Detector::Ring, ..MembershipConfig::default() })
    }

    fn of(seed: u64, n: usize, voters: usize, config: MembershipConfig) -> Net {
        let mut rng = Rng::new(seed);
        let ids: Vec<NodeId> = (0..n).map(|_| NodeId::new(rng.bits())).collect();
        let members = ids.iter().map(|&id| member(id, 1)).collect();
        let view = Arc::new(View::new(ViewId(1), config.observers_each(), members));
        let seats = Arc::new(Seats {
            number: 1,
            voters: ids[..voters].to_vec(),
            learners: Vec::new(),
            passing: None,
        });
        let mut net = Net {
            now: Time::ZERO,
            seed,
            config,
            peers: Vec::new(),
            loss: 0.0,
            cut: Box::new(|_, _| false),
            lead: 0,
            log: Vec::new(),
            sent: BTreeMap::new(),
            alerts: Vec::new(),
            views: vec![Arc::clone(&view)],
            evicts: true,
            pending: ViewChange::default(),
            changing: false,
            places: BTreeMap::new(),
            queue: BinaryHeap::new(),
            items: BTreeMap::new(),
            sequence: 0,
            rng,
            out: Outbox::new(),
            events: VecDeque::new(),
        };
        for id in ids {
            net.add(id, Arc::clone(&view), Arc::clone(&seats), Vec::new());
        }
        for peer in &mut net.peers {
            peer.coordinator = Some(peer.seats.voters[0]);
        }
        for i in 0..n {
            net.start(i);
        }
        net
    }

    fn add(&mut self, id: NodeId, view: Arc<View>, seats: Arc<Seats>, seeds: Vec<NodeId>) -> usize {
        let place = self.peers.len();
        self.places.insert(id, place);
        self.peers.push(Peer {
            id,
            machine: self.machine(member(id, 0), &view, &seeds, Rng::new(0)),
            life: Incarnation(0),
            alive: false,
            paused: None,
            wake_at: Time::NEVER,
            seats,
            epoch: Epoch(1),
            coordinator: None,
            saved: view,
            seeds,
        });
        place
    }

    /// A node with an empty disk that knows these seeds; it starts now.
    pub(super) fn join(&mut self, seeds: &[usize]) -> usize {
        let id = NodeId::new(self.rng.bits());
        let seeds = seeds.iter().map(|&i| self.peers[i].id).collect();
        let place = self.add(id, Arc::new(View::empty()), Arc::default(), seeds);
        self.peers[place].epoch = Epoch(0);
        self.start(place);
        place
    }

    /// Starts, or restarts, a node from its disk.
    pub(super) fn start(&mut self, i: usize) {
        let peer = &self.peers[i];
        assert!(!peer.alive, "node {i} runs already");
        let life = peer.life.next();
        let rng = self.rng.fork_number(i as u64).fork_number(u64::from(life.0));
        let machine = self.machine(member(peer.id, life.0), &peer.saved, &peer.seeds, rng);
        let peer = &mut self.peers[i];
        (peer.alive, peer.life, peer.machine) = (true, life, machine);
        (peer.paused, peer.wake_at) = (None, Time::NEVER);
        self.push(SYNC, Item::Durable(i, life));
    }

    pub(super) fn crash(&mut self, i: usize) {
        self.peers[i].alive = false;
    }

    pub(super) fn pause(&mut self, i: usize, span: Span) {
        self.peers[i].paused = Some(Vec::new());
        self.push(span, Item::Resume(i));
    }

    pub(super) fn leave(&mut self, i: usize) {
        self.with(i, Membership::leave);
    }

    /// Node `i` leads the next reign, and the voters that live know it.
    pub(super) fn elect(&mut self, i: usize) {
        let epoch = Epoch(self.peers[self.lead].epoch.0 + 1);
        let leader = self.peers[i].id;
        self.lead = i;
        self.pending = ViewChange::default();
        let view = Arc::clone(self.view());
        for place in 0..self.peers.len() {
            if self.peers[place].alive && self.peers[place].seats.voters.contains(&self.peers[place].id) {
                self.peers[place].epoch = epoch;
                self.peers[place].coordinator = Some(leader);
                self.push(Span::ZERO, Item::Commit(place, Arc::clone(&view)));
            }
        }
    }

    /// Gives the seats to others; only the coordinator knows at first, and announces it.
    pub(super) fn seat(&mut self, voters: &[usize]) {
        let voters = voters.iter().map(|&i| self.peers[i].id).collect();
        let lead = self.lead;
        let number = self.peers[lead].seats.number + 1;
        self.peers[lead].seats = Arc::new(Seats { number, voters, learners: Vec::new(), passing: None });
        self.with(lead, |machine, _, facts, out, _| {
            machine.announce(ViewUpdate::Whole(Arc::clone(machine.view())), facts, out);
        });
    }

    /// The newest committed view.
    pub(super) fn view(&self) -> &Arc<View> {
        self.views.last().expect("there is a first view")
    }

    pub(super) fn place(&self, id: NodeId) -> usize {
        self.places[&id]
    }

    /// Whether node `i` in its present life belongs to the newest view and knows it.
    pub(super) fn is_settled(&self, i: usize) -> bool {
        let peer = &self.peers[i];
        peer.machine.is_member()
            && peer.machine.view() == self.view()
            && self.view().contains(peer.id, peer.life)
    }

    pub(super) fn suspects(&self, i: usize) -> Vec<usize> {
        self.peers[i].machine.suspects().map(|(id, _)| self.place(id)).collect()
    }

    /// What was said by anyone since `from` and that `pick` picks.
    pub(super) fn said(&self, from: Time, pick: impl Fn(&Event) -> bool) -> Vec<(Time, usize, Event)> {
        self.log.iter().filter(|(at, _, event)| *at >= from && pick(event)).cloned().collect()
    }

    pub(super) fn run(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(&Reverse((at, sequence))) = self.queue.peek() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = at;
            let item = self.items.remove(&sequence).expect("each key has its item");
            self.handle(item);
        }
        self.now = end;
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::Wake(i) => {
                if self.peers[i].wake_at == self.now && self.peers[i].paused.is_none() {
                    self.peers[i].wake_at = Time::NEVER;
                    self.with(i, |_, _, _, _, _| ());
                }
            }
            Item::Deliver(i, ..) if !self.peers[i].alive => {}
            Item::Deliver(i, from, message) => match &mut self.peers[i].paused {
                Some(waiting) => waiting.push((from, message)),
                None => self.with(i, |machine, now, facts, out, events| {
                    machine.receive(now, from, message, facts, out, events);
                }),
            },
            Item::Durable(i, life) => {
                if self.peers[i].alive && self.peers[i].life == life {
                    self.with(i, |machine, now, facts, out, events| {
                        if machine.me().incarnation != life {
                            machine.reborn(life);
                        }
                        machine.begin(now, facts, out, events);
                    });
                }
            }
            Item::Commit(i, view) => {
                if self.peers[i].alive && self.peers[i].paused.is_none() {
                    self.with(i, |machine, now, facts, out, events| {
                        machine.install(now, view, facts, out, events);
                    });
                }
            }
            Item::Change => self.change(),
            Item::Resume(i) => {
                for (from, message) in self.peers[i].paused.take().unwrap_or_default() {
                    self.push(Span::ZERO, Item::Deliver(i, from, message));
                }
                self.push(Span::ZERO, Item::Wake(i));
                self.peers[i].wake_at = self.now;
            }
        }
    }

    /// The coordinator commits what it gathered.
    fn change(&mut self) {
        self.changing = false;
        let lead = self.lead;
        let mut change = std::mem::take(&mut self.pending);
        // Requests are repeated, some of them after they were met.
        let view = Arc::clone(self.view());
        change.joined.retain(|member| !view.contains(member.id, member.incarnation));
        change.gone.retain(|&(id, life)| view.contains(id, life));
        if !self.peers[lead].alive || (change.joined.is_empty() && change.gone.is_empty()) {
            return;
        }
        let view = Arc::new(self.view().after(&change));
        self.views.push(Arc::clone(&view));
        for i in 0..self.peers.len() {
            let votes = self.peers[lead].seats.voters.contains(&self.peers[i].id);
            if votes && i != lead && !(self.cut)(lead, i) {
                self.push(Span::millis(2), Item::Commit(i, Arc::clone(&view)));
            }
        }
        let base = ViewId(view.id().0 - 1);
        self.with(lead, |machine, now, facts, out, events| {
            machine.install(now, Arc::clone(&view), facts, out, events);
            machine.announce(ViewUpdate::Step { base, change, result: Memo::of(view) }, facts, out);
        });
    }

    /// One step of node `i`: what is due, then `input`, then what follows.
    fn with(
        &mut self,
        i: usize,
        input: impl FnOnce(&mut Membership, Time, &Facts<'_>, &mut Outbox, &mut VecDeque<Event>),
    ) {
        let now = self.now;
        let leads = self.lead == i;
        let peer = &mut self.peers[i];
        if !peer.alive {
            return;
        }
        let facts = Facts {
            epoch: peer.epoch,
            coordinator: peer.coordinator,
            leads,
            jurors: Jurors::Voters,
            seats: &Arc::clone(&peer.seats),
        };
        let late = now.since(peer.machine.deadline());
        if late > LATE {
            peer.machine.overslept(late);
        }
        if now >= peer.machine.deadline() {
            peer.machine.wake(now, &facts, &mut self.out, &mut self.events);
            assert!(peer.machine.deadline() > now, "node {i} would wake for ever, seed {}", self.seed);
        }
        let by_itself: Vec<Effect> = self.out.drain().collect();
        input(&mut peer.machine, now, &facts, &mut self.out, &mut self.events);
        while let Some(event) = self.events.pop_front() {
            self.on_event(i, event);
        }
        let drawn: Vec<Effect> = self.out.drain().collect();
        let drawn = drawn.into_iter().map(|effect| (effect, true));
        for (effect, drawn) in by_itself.into_iter().map(|effect| (effect, false)).chain(drawn) {
            if let Effect::Send { to, message, .. } = effect {
                self.send(i, to, message.body, drawn);
            }
        }
        let deadline = self.peers[i].machine.deadline();
        // A wake-up that is due earlier does no harm and asks again.
        if deadline < self.peers[i].wake_at {
            self.peers[i].wake_at = deadline;
            self.push_at(deadline, Item::Wake(i));
        }
    }

    fn on_event(&mut self, i: usize, event: Event) {
        let leads = self.lead == i;
        let peer = &mut self.peers[i];
        match &event {
            Event::Evict(id, life) if leads && self.evicts => self.pending.gone.push((*id, *life)),
            Event::Leaving(id, life) if leads => self.pending.gone.push((*id, *life)),
            Event::Joining(member) if leads => self.pending.joined.push((**member).clone()),
            Event::Evict(..)
            | Event::Leaving(..)
            | Event::Joining(_)
            | Event::Suspected(..)
            | Event::Trusted(..)
            | Event::Left => {}
            Event::Reign { epoch, coordinator } => {
                if (*epoch, *coordinator) > (peer.epoch, peer.coordinator) {
                    (peer.epoch, peer.coordinator) = (*epoch, *coordinator);
                }
                return;
            }
            Event::Installed(view) => peer.saved = Arc::clone(view),
            Event::Seats(seats) => peer.seats = Arc::clone(seats),
            Event::Expelled => {
                peer.life = peer.life.next();
                let life = peer.life;
                self.push(SYNC, Item::Durable(i, life));
            }
        }
        self.log.push((self.now, i, event));
        let idle = self.pending.joined.is_empty() && self.pending.gone.is_empty();
        if !self.changing && !idle {
            self.changing = true;
            self.push(GATHER, Item::Change);
        }
    }

    /// Sends what the node sends by itself, or what an input has `drawn` from it.
    fn send(&mut self, from: usize, to: NodeId, body: Body, drawn: bool) {
        let Body::Membership(message) = body else { panic!("not a membership message") };
        let kind = match &message {
            MembershipMessage::Heartbeat { .. } => "heartbeat",
            MembershipMessage::Ping { .. } => "ping",
            MembershipMessage::Alert { subject, .. } => {
                self.alerts.push((self.now, from, self.places[subject]));
                "alert"
            }
            MembershipMessage::Join(_) => "join",
            MembershipMessage::Leave { .. } => "leave",
            MembershipMessage::FetchView { .. } => {
                if drawn {
                    "fetch"
                } else {
                    "compare"
                }
            }
            MembershipMessage::Announce(announcement) => match announcement.update {
                ViewUpdate::Whole(_) => "whole",
                ViewUpdate::Step { .. } => "step",
            },
            MembershipMessage::Expelled { .. } => "expelled",
        };
        *self.sent.entry(kind).or_default() += 1;
        let to = self.places[&to];
        assert_ne!(from, to, "a node sent a {kind} to itself, seed {}", self.seed);
        let lost = self.rng.chance(self.loss) || (self.cut)(from, to);
        let latency = Span::micros(200 + self.rng.below(600));
        if !lost && self.peers[to].alive {
            let from = self.peers[from].id;
            self.push(latency, Item::Deliver(to, from, message));
        }
    }

    fn machine(&self, me: Member, view: &Arc<View>, seeds: &[NodeId], rng: Rng) -> Membership {
        Membership::new(me, &self.config, Arc::clone(view), seeds.to_vec(), rng)
    }

    fn push(&mut self, after: Span, item: Item) {
        self.push_at(self.now + after, item);
    }

    fn push_at(&mut self, at: Time, item: Item) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.items.insert(self.sequence, item);
    }
}
