//! The whole simulated world: it takes events out of the queue, gives them to whom they concern, and carries out what follows.

use std::sync::Arc;

use super::book::{Address, Book};
use super::chunks::Chunks;
use super::client::{Client, ClientStep, Clients};
use super::course::Faults;
use super::disk::Disk;
use super::engine::{Alarm, Engine};
use super::faults::FaultStep;
use super::host::{Host, Local, Process, Waiting};
use super::network::Network;
use super::queue::{Popped, Queue};
use super::staging::Staging;
use super::trace::Trace;
use super::{Outcome, Traffic, size};
use crate::base::{ClusterId, Incarnation, NodeId, Rng, Span, Time, ViewId};
use crate::history::{self, Fate, Machine, Progress, Record, Sink, Watcher, What};
use crate::node::{
    self, Body, Change, Effect, EngineCommand, EngineEvent, Entry, Input, LogMessage, Member, Message,
    Observation, Outbox, Seats, View,
};
use crate::scenario::{Plan, Trigger, Until};

/// More events at one moment than any cluster needs: something of no length goes round and round.
const AT_ONCE_MAX: u64 = 10_000_000;
/// How many events pass between two questions whether to stop.
const STOP_EVERY: u64 = 4096;
/// A node that is due again at the very moment of its step waits this long, so that time goes on.
const REST: Span = Span::micros(1);

/// What can happen. Wake-ups are bare numbers in the queue.
#[derive(Debug)]
pub(super) enum Event {
    /// A message arrives at a machine, if it still has the disk that the message was meant for.
    Arrive { to: Machine, disk: u32, from: NodeId, message: Message },
    /// A machine's sync ends.
    Synced { machine: Machine, life: u32 },
    /// A machine's engine has something to say.
    Engine { machine: Machine, serial: u64 },
    /// Something happens to a client.
    Client { client: u32, step: ClientStep },
    /// Something happens to a fault.
    Fault { fault: u32, step: FaultStep },
    /// The next thing happens to a chunk of a file.
    Chunk { machine: Machine, life: u32, number: u64 },
    /// Is the run done?
    Check,
}

const _: () = assert!(size_of::<Event>() <= 88, "events are copied through the queue's slab");

/// One trial under way.
pub(super) struct World<'a, P, W> {
    pub(super) plan: &'a Plan,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) watcher: &'a mut W,
    pub(super) rng: Rng,
    pub(super) now: Time,
    sequence: u64,
    pub(super) queue: Queue<Event>,
    pub(super) hosts: Vec<Host<P>>,
    /// What waits for the processes that stand still.
    pub(super) waiting: std::collections::BTreeMap<Machine, Waiting>,
    pub(super) disks: Vec<Disk>,
    pub(super) engines: Vec<Engine>,
    pub(super) chunks: Chunks,
    pub(super) staging: Staging,
    pub(super) book: Book,
    pub(super) network: Network,
    pub(super) clients: Clients,
    pub(super) faults: Faults,
    pub(super) watch: Progress,
    outbox: Outbox,
    /// Whether the step under way wrote something.
    wrote: bool,
    trace: Trace,
    events: u64,
    sent: Traffic,
}

impl<'a, P: Process, W: Watcher> World<'a, P, W> {
    /// The world at time zero: every machine has the disk that the formation of the cluster left it, and starts.
    pub(super) fn new(
        plan: &'a Plan,
        seed: u64,
        sink: &'a mut dyn Sink,
        watcher: &'a mut W,
    ) -> World<'a, P, W> {
        let rng = Rng::new(seed);
        let cluster = ClusterId(rng.fork("cluster").bits());
        let ids: Vec<NodeId> = (0..plan.nodes.len()).map(|machine| identity(&rng, machine, 0)).collect();
        let members = plan.nodes.iter().zip(&ids).map(|(node, &id)| Member {
            id,
            incarnation: Incarnation(1),
            birth: 0,
            name: Arc::clone(&node.name),
            kind: Arc::clone(&node.kind),
            worker: node.worker,
            address: Arc::clone(&node.name),
        });
        let view = Arc::new(View::new(ViewId(1), plan.config.membership.observers_each(), members.collect()));
        let mut voters = ids[..plan.config.failover.voters_for(ids.len())].to_vec();
        voters.sort_unstable();
        let seats = Arc::new(Seats { number: 1, voters, learners: Vec::new(), passing: None });
        let mut book = Book::new(ids.len());
        for (machine, &id) in ids.iter().enumerate() {
            book.insert(id, Address { machine: machine as Machine, disk: 0 });
        }
        let streams = [rng.fork("disk"), rng.fork("engine")];
        let of = |stream: usize, machine: usize| streams[stream].fork_number(machine as u64);
        let formed = |(machine, &id): (usize, &NodeId)| {
            Disk::new(node::Disk::formed(cluster, id, &view, &seats), of(0, machine))
        };
        let engine = |(machine, node): (usize, &crate::scenario::NodePlan)| Engine::new(node, of(1, machine));
        let mut world = World {
            plan,
            sink,
            watcher,
            now: Time::ZERO,
            sequence: 0,
            queue: Queue::new(ids.len() as u32),
            disks: ids.iter().enumerate().map(formed).collect(),
            engines: plan.nodes.iter().enumerate().map(engine).collect(),
            chunks: Chunks::new(ids.len(), rng.fork("chunks")),
            staging: Staging::new(ids.len(), plan.config.store.cache),
            hosts: ids.iter().map(|&id| Host::new(id)).collect(),
            waiting: std::collections::BTreeMap::new(),
            book,
            network: Network::new(&plan.network, ids.len(), &rng.fork("network")),
            clients: Clients::new(plan, &rng.fork("workload")),
            faults: Faults::new(plan, &rng.fork("faults")),
            watch: Progress::new(Arc::clone(&view), seats, plan.patience()),
            outbox: Outbox::new(),
            wrote: false,
            trace: Trace::new(seed),
            events: 0,
            sent: Traffic::default(),
            rng,
        };
        for machine in 0..ids.len() as Machine {
            world.start(machine);
        }
        world.queue_plan();
        world
    }

    /// Queues what the plan says will happen.
    fn queue_plan(&mut self) {
        let planned = self.clients.all.iter().map(Client::next_at).enumerate();
        for (client, at) in planned.filter_map(|(client, at)| Some((client, at?))) {
            if at != Time::NEVER {
                self.queue.push(at, Event::Client { client: client as u32, step: ClientStep::Begin });
            }
        }
        for (fault, at) in self.faults.begins().enumerate() {
            self.queue.push(at, Event::Fault { fault: fault as u32, step: FaultStep::Due });
        }
        if self.plan.until == Until::Done {
            self.queue.push(Time::ZERO + history::EVERY, Event::Check);
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self, stop: &dyn Fn() -> bool) -> Outcome {
        let end = match self.plan.until {
            Until::Done => Time::NEVER,
            Until::At(span) => Time::ZERO + span,
        };
        let mut unfinished = Vec::new();
        let mut stopped = false;
        let mut asked = 0;
        let mut at_once = 0;
        while let Some((at, sequence, popped)) = self.queue.pop() {
            if at > end {
                break;
            }
            debug_assert!(at >= self.now, "time went back from {} to {at}", self.now);
            at_once = if at == self.now { at_once + 1 } else { 0 };
            assert!(at_once < AT_ONCE_MAX, "time stands still at {at}: {at_once} events, and no end of them");
            self.now = at;
            self.sequence = sequence;
            match popped {
                Popped::Bare(machine) => self.wake(machine),
                Popped::Item(Event::Arrive { to, disk, from, message }) => {
                    self.arrive(to, disk, from, message);
                }
                Popped::Item(Event::Check) => {
                    if let Some(left) = self.finished() {
                        unfinished = left;
                        break;
                    }
                    self.queue.push(self.now + history::EVERY, Event::Check);
                }
                Popped::Item(event) => self.other(event),
            }
            asked += 1;
            if asked % STOP_EVERY == 0 && stop() {
                stopped = true;
                break;
            }
        }
        if end != Time::NEVER && !stopped {
            self.now = end;
        }
        Outcome {
            trace: self.trace.digest(),
            events: self.events,
            ended_at: self.now,
            unfinished,
            stopped,
            sent: self.sent,
            asked_elsewhere: self.clients.elsewhere,
        }
    }

    /// What happens seldom.
    fn other(&mut self, event: Event) {
        match event {
            Event::Synced { machine, life } => self.sync_ends(machine, life),
            Event::Engine { machine, serial } => {
                let engine = &mut self.engines[machine as usize];
                if let Some(event) = engine.ring(serial) {
                    let again = engine.repeats(&event).then(|| event.clone());
                    for event in std::iter::once(event).chain(again) {
                        self.local(machine, Local::Engine(event));
                    }
                    self.heed(machine, None);
                }
            }
            Event::Client { client, step } => self.client(client, step),
            Event::Fault { fault, step } => self.fault(fault, step),
            Event::Chunk { machine, life, number } => self.chunk_moves(machine, life, number),
            Event::Arrive { .. } | Event::Check => unreachable!("the loop handles these"),
        }
    }

    /// Writes into the history.
    pub(super) fn note(&mut self, machine: Option<Machine>, what: What) {
        let record = Record { at: self.now, machine, what };
        self.sink.record(&record);
        self.watcher.recorded(&record);
    }

    // Wake-ups and steps.

    fn wake(&mut self, machine: Machine) {
        let host = &mut self.hosts[machine as usize];
        if host.armed != self.now {
            return;
        }
        host.armed = Time::NEVER;
        let Some(process) = host.process.as_ref().filter(|_| !host.stands_still()) else { return };
        if host.clock.when(process.deadline()) > self.now {
            self.arm(machine);
        } else {
            self.step(machine, Input::Wake);
        }
    }

    /// Makes sure that the process wakes at its deadline at the latest.
    pub(super) fn arm(&mut self, machine: Machine) {
        let host = &mut self.hosts[machine as usize];
        let Some(process) = &host.process else { return };
        let deadline = process.deadline();
        if deadline == Time::NEVER {
            return;
        }
        let due = host.clock.when(deadline).max(self.now + REST);
        // A later deadline is not queued: the wake-up in the queue finds it out when its time comes.
        if due < host.armed {
            host.armed = due;
            self.queue.push_bare(due, machine);
        }
    }

    /// Gives an input to the process on `machine`, which runs, and carries out what follows.
    pub(super) fn step(&mut self, machine: Machine, input: Input) {
        self.events += 1;
        self.trace.add(self.now, self.sequence, machine, &input);
        let host = &mut self.hosts[machine as usize];
        let process = host.process.as_mut().expect("only a process that runs is given inputs");
        let now = host.clock.shows(self.now);
        if W::WATCHES {
            self.watcher.given(self.now, machine, &input, &process.due(now));
        }
        process.step(now, input, &mut self.outbox);
        if !self.outbox.effects().is_empty() {
            let mut outbox = std::mem::take(&mut self.outbox);
            for effect in outbox.drain() {
                // A node that has left does nothing more, whatever it still wanted to.
                if self.hosts[machine as usize].runs() {
                    self.carry_out(machine, effect);
                }
            }
            self.outbox = outbox;
            if std::mem::take(&mut self.wrote) && self.hosts[machine as usize].runs() {
                self.sync(machine);
            }
        }
        self.watcher.stepped(self.now, machine);
        self.arm(machine);
    }

    fn arrive(&mut self, to: Machine, disk: u32, from: NodeId, message: Message) {
        let host = &self.hosts[to as usize];
        if host.process.is_none() || host.disk != disk {
            self.watcher.dropped(self.now, to, from, &message);
            return;
        }
        if host.stands_still() {
            self.waiting.entry(to).or_default().receive(from, message);
        } else {
            self.step(to, Input::Receive { from, message });
        }
    }

    /// The machine has something for its process.
    pub(super) fn local(&mut self, machine: Machine, local: Local) {
        let host = &self.hosts[machine as usize];
        if !host.runs() {
            return;
        }
        if host.stands_still() {
            self.waiting.entry(machine).or_default().local.push(local);
            return;
        }
        match local {
            Local::Synced => self.synced(machine),
            Local::Engine(event) => {
                if matches!(event, EngineEvent::Died { .. }) {
                    self.engines[machine as usize].heard();
                }
                self.step(machine, Input::Engine(event));
            }
            Local::Client { session, number, request } => {
                self.step(machine, Input::Client { session, number, request });
            }
            Local::Chunk(event) => self.step(machine, Input::Chunk(event)),
        }
    }

    // Effects.

    fn carry_out(&mut self, machine: Machine, effect: Effect) {
        self.watcher.wanted(self.now, machine, &effect);
        match effect {
            Effect::Send { to, message, after } => match after {
                Some(token) if !self.disks[machine as usize].is_settled(token) => {
                    self.disks[machine as usize].hold(token, to, message);
                }
                _ => self.send(machine, to, message),
            },
            Effect::Reply { session, number, reply } => self.reply(machine, session, number, reply),
            Effect::Persist { token, record } => {
                self.disks[machine as usize].write(token, record);
                self.wrote = true;
            }
            Effect::Engine(command) => self.command(machine, command),
            Effect::Chunk(command) => self.chunk_command(machine, &command),
            // A node that has left needs its process no more.
            Effect::Left => self.left(machine),
            Effect::Observe(observation) => {
                match &observation {
                    Observation::Applied { entry, changes, .. } => self.applied(entry, changes),
                    Observation::Seated { seats } => {
                        self.hosts[machine as usize].seats = Some(Arc::clone(seats));
                    }
                    _ => {}
                }
                if !self.faults.waiting.is_empty() {
                    self.witness(machine, &observation);
                }
                self.note(Some(machine), What::Node(observation));
            }
        }
    }

    /// A node observes something in the midst of which a fault may begin.
    fn witness(&mut self, machine: Machine, observation: &Observation) {
        match observation {
            Observation::Stood { .. } => self.happens(Trigger::Election, machine),
            Observation::Voted { candidate, .. } if *candidate == self.hosts[machine as usize].id => {
                self.happens(Trigger::Candidacy, machine);
            }
            Observation::Voted { .. } => self.happens(Trigger::Vote, machine),
            Observation::Led { .. } => self.happens(Trigger::Reign, machine),
            Observation::Seated { .. } => self.happens(Trigger::Seats, machine),
            _ => {}
        }
    }

    fn applied(&mut self, entry: &Entry, changes: &[Change]) {
        if self.watch.applied(self.now, entry, changes) {
            for change in changes {
                if let Change::JobEnded { job, .. } = change {
                    self.job_ended(*job);
                }
            }
        }
    }

    pub(super) fn send(&mut self, from: Machine, to: NodeId, message: Message) {
        match &message.body {
            Body::Membership(_) => self.sent.membership += 1,
            Body::Log(_) | Body::Standby(_) => self.sent.log += 1,
            Body::Work(_) => self.sent.work += 1,
            Body::Client(_) => self.sent.client += 1,
            Body::Store(_) => self.sent.store += 1,
        }
        let Some(Address { machine, disk }) = self.book.find(to) else {
            self.watcher.sent(self.now, from, to, &message, Fate::Lost);
            return;
        };
        if !self.faults.waiting.is_empty() && matches!(message.body, Body::Log(LogMessage::Part(_))) {
            self.happens(Trigger::Snapshot, machine);
        }
        let bytes = if self.network.is_metered() { size::of_message(&message) } else { 0 };
        let arrivals = self.network.send(from, machine, bytes, self.now);
        if W::WATCHES {
            let fate = match arrivals.first {
                Some(first) => Fate::Arrives { first, second: arrivals.second },
                None if self.network.is_cut(from, machine, self.now) => Fate::Cut,
                None => Fate::Lost,
            };
            self.watcher.sent(self.now, from, to, &message, fate);
        }
        let sender = self.hosts[from as usize].id;
        if let Some(at) = arrivals.second {
            let message = message.clone();
            self.queue.push(at, Event::Arrive { to: machine, disk, from: sender, message });
        }
        if let Some(at) = arrivals.first {
            self.queue.push(at, Event::Arrive { to: machine, disk, from: sender, message });
        }
        if !self.network.took_effect.is_empty() {
            let faults = std::mem::take(&mut self.network.took_effect);
            self.took_effect(faults);
        }
    }

    fn command(&mut self, machine: Machine, command: EngineCommand) {
        let alarm = self.engines[machine as usize].command(command, &self.plan.models);
        self.heed(machine, alarm);
    }

    /// Sets an engine's alarm and reports what faults did to it.
    pub(super) fn heed(&mut self, machine: Machine, alarm: Option<Alarm>) {
        if let Some(Alarm { after, serial }) = alarm {
            self.queue.push(self.now + after, Event::Engine { machine, serial });
        }
        let engine = &mut self.engines[machine as usize];
        if !engine.took_effect.is_empty() || !engine.over.is_empty() {
            let (took, over) = (std::mem::take(&mut engine.took_effect), std::mem::take(&mut engine.over));
            self.took_effect(took);
            self.stuck_over(over);
        }
    }
}

/// The identity of the `wipes`-th disk of a machine.
pub(super) fn identity(rng: &Rng, machine: usize, wipes: u32) -> NodeId {
    NodeId::new(rng.fork("identity").fork_number(machine as u64).fork_number(u64::from(wipes)).bits())
}
