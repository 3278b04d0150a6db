//! A tiny cluster of logs: a network that loses, doubles, delays and cuts, disks that sync late, processes that die.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::super::{
    Body, Command, Disk, Effect, Index, LogMessage, Member, Observation, Outbox, Position, Record, Request,
    Seats, Snapshot, StepDown, Token, View,
};
use super::super::{Failover, Log, LogEvent, Sizes};
use super::oracle::{Oracle, state_after};
use crate::base::{ClusterId, Epoch, NodeId, Rng, SessionId, Span, Time, ViewId};

/// The node number `i` of a test, from 0.
pub(super) fn id(i: usize) -> NodeId {
    NodeId::new(i as u64 + 1)
}

/// One machine of the cluster.
pub(super) struct Machine {
    pub(super) id: NodeId,
    pub(super) log: Log,
    pub(super) up: bool,
    out: Outbox,
    life: u32,
    born: Time,
    /// Its own time under anarchy.
    clock: Time,
    pub(super) paused_until: Time,
    pub(super) disk: Disk,
    /// The disk with all writes, durable or not.
    written: Disk,
    unsynced: VecDeque<(Token, Record)>,
    syncing: bool,
    held: Vec<(Token, NodeId, LogMessage)>,
    armed: Time,
    applied: Index,
    state: u128,
    epoch: Epoch,
    reads: BTreeMap<u64, Index>,
    pub(super) reads_done: usize,
    pub(super) stepped_down: Vec<(Epoch, StepDown)>,
    pub(super) restored: usize,
    seats_number: u64,
}

/// What happened on a net, so that a test can tell that it tested something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) commits: usize,
    pub(super) reigns: usize,
    pub(super) restores: usize,
    pub(super) reads: usize,
    pub(super) suffixes: usize,
    /// Requests for the continuation of a suffix.
    pub(super) continued: usize,
    pub(super) superseded: usize,
    pub(super) no_quorum: usize,
    pub(super) handed_over: usize,
    pub(super) unseated: usize,
    /// Seats that went back to an earlier number.
    pub(super) undone: usize,
    /// Records that replace entries.
    pub(super) truncations: usize,
    /// Those after which the log's last position is less than before.
    pub(super) regressions: usize,
    /// Times that a crash lost a write.
    pub(super) lost_writes: usize,
}

#[derive(Clone)]
enum Event {
    Deliver { to: usize, from: NodeId, message: LogMessage },
    Hear { to: usize, epoch: Epoch, leader: Option<NodeId> },
    Wake { node: usize, life: u32 },
    Synced { node: usize, life: u32, token: Token },
}

/// What the network and the disks do at the moment.
#[derive(Clone)]
pub(super) struct Weather {
    pub(super) delay_ms: (u64, u64),
    /// Probability that a message takes up to a second.
    pub(super) straggle: f64,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    pub(super) sync_ms: (u64, u64),
    /// Directed links through which nothing passes.
    pub(super) cut: BTreeSet<(usize, usize)>,
}

impl Weather {
    pub(super) fn fair() -> Weather {
        Weather {
            delay_ms: (1, 3),
            straggle: 0.0,
            loss: 0.0,
            duplicate: 0.0,
            sync_ms: (1, 5),
            cut: BTreeSet::new(),
        }
    }
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) machines: Vec<Machine>,
    pub(super) weather: Weather,
    pub(super) rng: Rng,
    pub(super) oracle: Oracle,
    config: Failover,
    sizes: Sizes,
    queue: BTreeMap<(Time, u64), Event>,
    /// Under anarchy what may happen next, in any order; there is no common time then.
    bag: Vec<Event>,
    anarchy: bool,
    sequence: u64,
    next_number: u64,
    pub(super) messages: u64,
    pub(super) tally: Tally,
}

impl Net {
    /// `voters` formed voters and `spares` nodes that hold nothing, all up.
    pub(super) fn new(seed: u64, voters: usize, spares: usize) -> Net {
        let rng = Rng::new(seed);
        let seats =
            Seats { number: 1, voters: (0..voters).map(id).collect(), learners: Vec::new(), passing: None };
        let view = View::new(ViewId(1), 5, Vec::<Member>::new());
        let mut net = Net {
            now: Time::ZERO,
            machines: Vec::new(),
            weather: Weather::fair(),
            rng: rng.fork("net"),
            oracle: Oracle::default(),
            config: Failover::default(),
            sizes: Sizes { append: 400, part: 24, keep: 500 },
            queue: BTreeMap::new(),
            bag: Vec::new(),
            anarchy: false,
            sequence: 0,
            next_number: 0,
            messages: 0,
            tally: Tally::default(),
        };
        for i in 0..voters + spares {
            let disk = if i < voters {
                Disk::formed(ClusterId(1), id(i), &Arc::new(view.clone()), &Arc::new(seats.clone()))
            } else {
                Disk::default()
            };
            net.oracle.formed(&disk);
            let log = net.log_of(id(i), &disk, 0);
            net.machines.push(Machine::new(id(i), log, disk));
            net.wake(i);
        }
        net
    }

    /// Begins new lives with these time-outs.
    pub(super) fn hasten(&mut self, election: Span, beat: Span) {
        self.config = Failover { election, beat, ..Failover::default() };
        self.restart_all();
    }

    /// Begins new lives with the sizes that are usual outside of tests.
    pub(super) fn enlarge(&mut self) {
        self.sizes = Sizes::USUAL;
        self.restart_all();
    }

    /// Begins new lives with so many bytes of entries in one message.
    pub(super) fn resize(&mut self, append: usize) {
        self.sizes.append = append;
        self.restart_all();
    }

    pub(super) fn restart_all(&mut self) {
        for i in 0..self.machines.len() {
            self.crash(i);
            self.restart(i);
        }
    }

    pub(super) fn election(&self) -> Span {
        self.config.election
    }

    fn log_of(&self, id: NodeId, disk: &Disk, life: u32) -> Log {
        let rng = self.rng.fork("log").fork_number(id.bits()).fork_number(u64::from(life));
        let mut log = Log::restart(id, disk, &self.config, rng);
        log.sizes = self.sizes;
        log
    }

    fn push(&mut self, at: Time, event: Event) {
        if self.anarchy {
            if !matches!(event, Event::Wake { .. }) {
                self.bag.push(event);
            }
            return;
        }
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    /// Runs for a while.
    pub(super) fn run_ms(&mut self, ms: u64) {
        let until = self.now + Span::millis(ms);
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.take(event);
        }
        self.now = until;
    }

    fn take(&mut self, event: Event) {
        let node = match &event {
            Event::Deliver { to, .. } | Event::Hear { to, .. } => *to,
            Event::Wake { node, .. } | Event::Synced { node, .. } => *node,
        };
        let machine = &self.machines[node];
        if machine.paused_until > self.now && machine.up {
            let at = machine.paused_until;
            self.push(at, event);
            return;
        }
        match event {
            Event::Deliver { to, from, message } => {
                self.step(to, |log, now, out, events| log.receive(now, from, message, out, events));
            }
            Event::Hear { to, epoch, leader } => {
                self.step(to, |log, now, out, events| log.hear(now, epoch, leader, out, events));
            }
            Event::Wake { node, life } if life == machine.life => {
                self.machines[node].armed = Time::NEVER;
                self.wake(node);
            }
            Event::Synced { node, life, token } if life == machine.life => self.synced(node, token),
            Event::Wake { .. } | Event::Synced { .. } => {}
        }
    }

    pub(super) fn wake(&mut self, node: usize) {
        self.step(node, Log::wake);
    }

    /// One step of a node, after what is due.
    fn step<R>(
        &mut self,
        node: usize,
        step: impl FnOnce(&mut Log, Time, &mut Outbox, &mut VecDeque<LogEvent>) -> R,
    ) -> Option<R> {
        let machine = &mut self.machines[node];
        if !machine.up {
            return None;
        }
        let now = if self.anarchy { machine.clock } else { Time(self.now.since(machine.born).0) };
        let mut events = VecDeque::new();
        if machine.log.deadline() <= now {
            machine.log.wake(now, &mut machine.out, &mut events);
        }
        let result = step(&mut machine.log, now, &mut machine.out, &mut events);
        self.effects(node);
        for event in events {
            self.event(node, event);
        }
        self.after(node);
        Some(result)
    }

    fn effects(&mut self, node: usize) {
        let effects: Vec<Effect> = self.machines[node].out.drain().collect();
        for effect in effects {
            let machine = &mut self.machines[node];
            match effect {
                Effect::Persist { token, record } => {
                    self.oracle.writes(&machine.written, &record);
                    if let Record::Entries(entries) = &record {
                        let old = machine.written.entries.last().map(|entry| entry.position);
                        let replaces = old.is_some_and(|old| old.index >= entries[0].position.index);
                        let shrinks = replaces && old > entries.last().map(|entry| entry.position);
                        self.tally.truncations += usize::from(replaces);
                        self.tally.regressions += usize::from(shrinks);
                    }
                    machine.written.apply(&record);
                    machine.unsynced.push_back((token, record));
                    self.sync(node);
                }
                Effect::Send { to, message, after } => {
                    let Body::Log(message) = message.body else { panic!("not the log's") };
                    match after.filter(|after| machine.unsynced.iter().any(|(token, _)| token <= after)) {
                        Some(token) => machine.held.push((token, to, message)),
                        None => self.transmit(node, to, message),
                    }
                }
                Effect::Observe(Observation::Led { epoch }) => {
                    self.tally.reigns += 1;
                    self.oracle.leads(machine.id, machine.life, epoch, &machine.log);
                }
                Effect::Observe(Observation::SteppedDown { epoch, reason }) => {
                    machine.stepped_down.push((epoch, reason));
                    match reason {
                        StepDown::Superseded => self.tally.superseded += 1,
                        StepDown::NoQuorum => self.tally.no_quorum += 1,
                        StepDown::HandedOver => self.tally.handed_over += 1,
                        StepDown::Unseated => self.tally.unseated += 1,
                    }
                }
                Effect::Observe(_) => {}
                Effect::Reply { .. } | Effect::Engine(_) | Effect::Left | Effect::Chunk(_) => {
                    panic!("not the log's")
                }
            }
        }
    }

    fn sync(&mut self, node: usize) {
        let machine = &self.machines[node];
        if machine.syncing {
            return;
        }
        if let Some((token, _)) = machine.unsynced.back() {
            let event = Event::Synced { node, life: machine.life, token: *token };
            self.machines[node].syncing = true;
            let took = self.draw_ms(self.weather.sync_ms);
            self.push(self.now + took, event);
        }
    }

    fn synced(&mut self, node: usize, token: Token) {
        let machine = &mut self.machines[node];
        machine.syncing = false;
        while let Some((written, record)) = machine.unsynced.pop_front() {
            if written > token {
                machine.unsynced.push_front((written, record));
                break;
            }
            machine.disk.apply(&record);
        }
        let (due, held) = machine.held.drain(..).partition(|(after, ..)| *after <= token);
        machine.held = held;
        let due: Vec<(Token, NodeId, LogMessage)> = due;
        for (_, to, message) in due {
            self.transmit(node, to, message);
        }
        self.step(node, |log, now, out, events| log.persisted(now, token, out, events));
        self.sync(node);
    }

    fn draw_ms(&mut self, (low, high): (u64, u64)) -> Span {
        Span::millis(low) + Span(self.rng.below(Span::millis(high - low).0 + 1))
    }

    fn position_of(&self, id: NodeId) -> Option<usize> {
        self.machines.iter().position(|machine| machine.id == id)
    }

    fn transmit(&mut self, from: usize, to: NodeId, message: LogMessage) {
        let sender = &self.machines[from];
        self.oracle.sends(sender.id, to, &message, &sender.disk);
        self.messages += 1;
        match &message {
            LogMessage::Suffix(_) => self.tally.suffixes += 1,
            LogMessage::Fetch { after } if *after > sender.log.commit() => self.tally.continued += 1,
            _ => {}
        }
        let from_id = sender.id;
        let Some(to) = self.position_of(to) else { return };
        if self.rng.chance(self.weather.duplicate) {
            self.carry(from, to, Event::Deliver { to, from: from_id, message: message.clone() });
        }
        self.carry(from, to, Event::Deliver { to, from: from_id, message });
    }

    fn carry(&mut self, from: usize, to: usize, event: Event) {
        let cut = self.weather.cut.contains(&(from, to)) && !self.anarchy;
        if cut || self.rng.chance(self.weather.loss) {
            return;
        }
        let late = if self.rng.chance(self.weather.straggle) { self.draw_ms((0, 1_000)) } else { Span::ZERO };
        let delay = self.draw_ms(self.weather.delay_ms);
        self.push(self.now + delay + late, event);
    }

    /// `from` lets `to` know what it knows of the reign, as heartbeats do.
    pub(super) fn gossip(&mut self, from: usize, to: usize) {
        let machine = &self.machines[from];
        if machine.up {
            let (epoch, leader) = (machine.log.epoch(), machine.log.leader());
            self.carry(from, to, Event::Hear { to, epoch, leader });
        }
    }

    /// A message of a former time turns up.
    pub(super) fn say(&mut self, from: usize, to: usize, message: LogMessage) {
        self.carry(from, to, Event::Deliver { to, from: id(from), message });
    }

    /// `node` hears of a reign.
    pub(super) fn hear(&mut self, node: usize, epoch: Epoch, leader: Option<NodeId>) {
        self.step(node, |log, now, out, events| log.hear(now, epoch, leader, out, events));
    }

    fn event(&mut self, node: usize, event: LogEvent) {
        let machine = &mut self.machines[node];
        match event {
            LogEvent::Commit(entry) => {
                assert_eq!(entry.position.index, machine.applied.next(), "each entry once and in order");
                machine.applied = machine.applied.next();
                machine.state = state_after(machine.state, &entry);
                let seats = Arc::clone(machine.log.seats());
                let (epoch, led) = (machine.log.epoch(), machine.log.leads() || self.just_unseated(node));
                let disks = seats.voters.iter().filter_map(|id| self.position_of(*id));
                let disks = disks.map(|at| (self.machines[at].id, &self.machines[at].disk)).collect();
                self.tally.commits = self.oracle.committed.len();
                let state = self.oracle.commits(&entry, led.then_some((epoch, &seats, disks)));
                assert_eq!(self.machines[node].state, state, "equal index means equal state");
            }
            LogEvent::Compact(_) => unreachable!("the quorum log is told when to make snapshots"),
            LogEvent::Restore(snapshot) => {
                assert!(snapshot.last.index >= machine.applied, "a node's state never goes back");
                machine.applied = snapshot.last.index;
                machine.state = decode_state(&snapshot);
                machine.restored += 1;
                self.tally.restores += 1;
                assert_eq!(machine.state, self.oracle.state_at(machine.applied));
            }
            LogEvent::Readable { read, index } => {
                let floor = machine.reads.remove(&read).expect("a read is answered once");
                assert!(index >= floor, "a read at {index} misses what was committed at {floor}");
                assert!(index <= machine.applied, "a read waits for the commit");
                machine.reads_done += 1;
                self.tally.reads += 1;
            }
            LogEvent::Led { epoch } => assert!(epoch >= machine.epoch),
            LogEvent::Follow { epoch, .. } => assert!(epoch >= machine.epoch, "terms never go back"),
            LogEvent::Unled { .. } => machine.reads.clear(),
            LogEvent::Seated(seats) => {
                self.tally.undone += usize::from(seats.number < machine.seats_number);
                machine.seats_number = seats.number;
            }
        }
    }

    fn just_unseated(&self, node: usize) -> bool {
        self.machines[node].stepped_down.last().is_some_and(|(_, reason)| *reason == StepDown::Unseated)
    }

    fn after(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let log = &machine.log;
        assert!(log.epoch() >= machine.epoch, "terms never go back");
        machine.epoch = log.epoch();
        assert_eq!(log.commit(), machine.applied, "what is committed is told");
        assert_eq!(
            log.last().epoch,
            log.last().epoch.min(log.ballot.epoch),
            "the ballot is as new as the log"
        );
        assert_eq!(log.leads(), log.leads() && log.leader() == Some(machine.id));
        assert_eq!(log.votes(), log.seats().voters.contains(&machine.id));
        let end = machine.written.entries.last().map(|entry| entry.position);
        let end = end.or(machine.written.snapshot.as_ref().map(|snapshot| snapshot.last));
        assert_eq!(log.last(), end.unwrap_or_default(), "the log is what a restart would find");
        for (entry, held) in
            machine.written.entries.iter().rev().zip(log.store.entries_for_tests().rev()).take(8)
        {
            assert_eq!(entry.position, held.position);
        }
        let durable = log.store.position(log.store.durable());
        if let Some(durable) = durable.filter(|durable| durable.index > log.commit()) {
            assert!(
                machine.disk.entries.iter().any(|entry| entry.position == durable),
                "{durable:?} is taken for durable"
            );
        }
        let deadline = log.deadline();
        if machine.up && deadline < machine.armed && deadline != Time::NEVER {
            machine.armed = deadline;
            let at = (machine.born + Span(deadline.0)).max(self.now);
            let life = machine.life;
            self.push(at, Event::Wake { node, life });
        }
    }
}

/// Anarchy: every order of events is possible, and every node's clock goes as it likes.
impl Net {
    pub(super) fn begin_anarchy(&mut self) {
        self.anarchy = true;
        let queue = std::mem::take(&mut self.queue);
        self.bag = queue.into_values().filter(|event| !matches!(event, Event::Wake { .. })).collect();
    }

    /// Back to a common time.
    pub(super) fn end_anarchy(&mut self) {
        self.anarchy = false;
        let events = std::mem::take(&mut self.bag);
        self.restart_all();
        for event in events {
            self.push(self.now + Span::millis(1), event);
        }
    }

    /// Of the messages that cannot arrive at present, most never will.
    pub(super) fn forget_most_of_what_is_cut(&mut self, rng: &mut Rng) {
        let bag = std::mem::take(&mut self.bag);
        let mut stays = |event: &Event| match event {
            Event::Deliver { to, from, .. } => {
                let from = self.position_of(*from).expect("one of us");
                !self.weather.cut.contains(&(from, *to)) || rng.chance(0.1)
            }
            Event::Hear { .. } | Event::Wake { .. } | Event::Synced { .. } => true,
        };
        self.bag = bag.into_iter().filter(|event| stays(event)).collect();
    }

    /// Lets the messages that `passes` allows arrive, in their order, and what follows from them; the rest is lost.
    pub(super) fn deliver(&mut self, passes: impl Fn(usize, usize, &LogMessage) -> bool) {
        while !self.bag.is_empty() {
            let event = self.bag.remove(0);
            if let Event::Deliver { to, from, message } = &event {
                let from = self.position_of(*from).expect("one of us");
                if !passes(from, *to, message) {
                    continue;
                }
            }
            self.take(event);
        }
    }

    /// Runs `meanwhile` as if nothing were on its way.
    pub(super) fn meanwhile(&mut self, meanwhile: impl FnOnce(&mut Net)) {
        let bag = std::mem::take(&mut self.bag);
        meanwhile(self);
        self.bag.splice(0..0, bag);
    }

    /// As [`Net::deliver`], but what `keep` picks neither arrives nor is lost.
    pub(super) fn deliver_but_keep(
        &mut self,
        passes: impl Fn(usize, usize, &LogMessage) -> bool,
        keep: impl Fn(&LogMessage) -> bool,
    ) {
        let mut kept = Vec::new();
        while !self.bag.is_empty() {
            let event = self.bag.remove(0);
            if let Event::Deliver { to, from, message } = &event {
                let from = self.position_of(*from).expect("one of us");
                if keep(message) {
                    kept.push(event);
                    continue;
                }
                if !passes(from, *to, message) {
                    continue;
                }
            }
            self.take(event);
        }
        self.bag = kept;
    }

    /// Nothing is on its way.
    pub(super) fn idle(&self) -> bool {
        self.bag.is_empty()
    }

    /// Some message arrives, or is lost, or arrives and will arrive again; or some disk has synced.
    pub(super) fn something_arrives(&mut self, rng: &mut Rng) {
        if self.bag.is_empty() {
            return;
        }
        // The older half is preferred, so that not everything is stale.
        let among = if rng.chance(0.7) { self.bag.len().div_ceil(2) } else { self.bag.len() };
        let event = self.bag.remove(rng.below(among as u64) as usize);
        if let Event::Deliver { to, from, .. } = &event {
            let from = self.position_of(*from).expect("one of us");
            if self.weather.cut.contains(&(from, *to)) {
                if rng.chance(0.2) {
                    self.bag.push(event);
                }
                return;
            }
            if rng.chance(self.weather.duplicate) {
                self.bag.push(event.clone());
            }
        }
        self.take(event);
    }

    /// The next deadline of `node` is reached.
    pub(super) fn time_passes(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let deadline = machine.log.deadline();
        if deadline != Time::NEVER {
            machine.clock = machine.clock.max(deadline);
            self.wake(node);
        }
    }
}

/// What a test does to the cluster.
impl Net {
    /// The process dies. Of what was not synced yet a random beginning may have reached the disk.
    pub(super) fn crash(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let survive = self.rng.below(machine.unsynced.len() as u64 + 1) as usize;
        for (_, record) in machine.unsynced.drain(..survive) {
            machine.disk.apply(&record);
        }
        self.tally.lost_writes += usize::from(!machine.unsynced.is_empty());
        machine.unsynced.clear();
        machine.held.clear();
        machine.up = false;
        machine.life += 1;
    }

    /// The process starts again from its disk.
    pub(super) fn restart(&mut self, node: usize) {
        if self.machines[node].up {
            return;
        }
        let machine = &self.machines[node];
        let log = self.log_of(machine.id, &machine.disk, machine.life);
        assert!(log.epoch() == machine.disk.ballot.epoch);
        let (life, disk, restored) = (machine.life, machine.disk.clone(), machine.restored);
        let mut reborn = Machine::new(machine.id, log, disk);
        reborn.life = life;
        reborn.restored = restored;
        reborn.born = self.now;
        self.machines[node] = reborn;
        self.wake(node);
    }

    /// Nodes that lead, each in its own term.
    pub(super) fn leaders(&self) -> Vec<usize> {
        (0..self.machines.len()).filter(|&i| self.machines[i].up && self.machines[i].log.leads()).collect()
    }

    /// The leader of the newest term.
    pub(super) fn leader(&self) -> Option<usize> {
        self.leaders().into_iter().max_by_key(|&i| self.machines[i].log.epoch())
    }

    /// Proposes something new to `node`; returns its number.
    pub(super) fn propose(&mut self, node: usize) -> Option<(u64, Position)> {
        self.next_number += 1;
        let number = self.next_number;
        let command = Command::Request { session: SessionId(1), number, request: Arc::new(Request::Jobs) };
        let position = self.step(node, |log, now, out, events| log.propose(now, command, out, events))??;
        Some((number, position))
    }

    pub(super) fn propose_seats(&mut self, node: usize, seats: Seats) -> bool {
        self.step(node, |log, now, out, events| log.propose_seats(now, seats, out, events)) == Some(true)
    }

    pub(super) fn read(&mut self, node: usize) -> bool {
        let floor = Index(self.oracle.committed.len() as u64);
        let read = self.step(node, |log, now, out, _| log.read(now, out)).flatten();
        if let Some(read) = read {
            self.machines[node].reads.insert(read, floor);
        }
        read.is_some()
    }

    pub(super) fn transfer(&mut self, from: usize, to: usize) -> bool {
        let to = self.machines[to].id;
        self.step(from, |log, now, out, _| log.transfer(now, to, out)) == Some(true)
    }

    pub(super) fn compact(&mut self, node: usize) {
        let machine = &self.machines[node];
        let (applied, state) = (machine.applied, machine.state);
        if machine.up && applied > Index(0) {
            let bytes: Vec<u8> = state.to_le_bytes().repeat(4);
            self.step(node, |log, _, out, _| log.compact(applied, bytes.into(), out));
        }
    }

    pub(super) fn found(&mut self, node: usize) {
        let founding = Command::ChangeView(super::super::super::ViewChange::default());
        self.step(node, |log, now, out, events| log.found(now, founding, out, events));
    }

    pub(super) fn seats_of(&self, node: usize) -> Seats {
        (**self.machines[node].log.seats()).clone()
    }

    /// Cuts, in both directions, every pair for which `apart` holds.
    pub(super) fn cut(&mut self, apart: impl Fn(usize, usize) -> bool) {
        for a in 0..self.machines.len() {
            for b in 0..self.machines.len() {
                if a != b && (apart(a, b) || apart(b, a)) {
                    self.weather.cut.insert((a, b));
                }
            }
        }
    }
}

fn decode_state(snapshot: &Snapshot) -> u128 {
    let bytes: [u8; 16] = snapshot.state[..16].try_into().expect("four copies of 16 bytes");
    assert_eq!(*snapshot.state, *bytes.repeat(4), "a snapshot arrives whole");
    u128::from_le_bytes(bytes)
}

impl Machine {
    fn new(id: NodeId, log: Log, disk: Disk) -> Machine {
        Machine {
            id,
            log,
            up: true,
            out: Outbox::new(),
            life: 0,
            born: Time::ZERO,
            clock: Time::ZERO,
            paused_until: Time::ZERO,
            written: disk.clone(),
            epoch: disk.ballot.epoch,
            disk,
            unsynced: VecDeque::new(),
            syncing: false,
            held: Vec::new(),
            armed: Time::NEVER,
            applied: Index(0),
            state: 0,
            reads: BTreeMap::new(),
            reads_done: 0,
            stepped_down: Vec::new(),
            restored: 0,
            seats_number: 0,
        }
    }

    pub(super) fn applied(&self) -> Index {
        self.applied
    }
}
