//! The clients: each submits one job, through any node that lives, and asks again elsewhere until it has an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::host::{Local, Process};
use super::world::{Event, World};
use crate::base::{JobId, Rng, SessionId, Span, Time};
use crate::history::{ClientEvent, Machine, Watcher, What};
use crate::node::{JobSpec, Refusal, Reply, Request};
use crate::scenario::Plan;

/// How long a client waits for an answer before it asks another node.
const PATIENCE: Span = Span::millis(500);
/// How long a client waits after a refusal that may be gone elsewhere or later.
const BACK_OFF: Span = Span::millis(50);
/// The number of a client's only request.
const NUMBER: u64 = 1;

/// What happens to a client. `attempt` counts how often it has asked; what belongs to an earlier one is void.
#[derive(Debug)]
pub(super) enum ClientStep {
    /// It asks some node.
    Ask { attempt: u32 },
    /// Its request arrives at a machine.
    Arrive { attempt: u32, machine: Machine },
    /// An answer arrives.
    Answer { attempt: u32, reply: Arc<Reply> },
}

/// How far a client has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has no final answer; the last refusal, if there was one.
    Waiting(Option<Refusal>),
    /// Its job was accepted.
    Accepted(JobId),
    /// Its job was refused for good.
    Refused(Refusal),
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    /// When it asks first; `Time::NEVER` while it waits for another client's job to end.
    pub(super) at: Time,
    /// The client that asks once this one's job has ended.
    next: Option<u32>,
    pub(super) session: SessionId,
    pub(super) request: Arc<Request>,
    /// The job's name.
    pub(super) name: Arc<str>,
    pub(super) attempt: u32,
    /// The life of the process that it is connected to.
    pub(super) link: Option<(Machine, u32)>,
    /// The machine that it asked last.
    pub(super) asked: Option<Machine>,
    pub(super) standing: Standing,
    pub(super) rng: Rng,
}

/// All clients of a run.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) all: Vec<Client>,
    by_session: BTreeMap<SessionId, u32>,
}

impl Clients {
    /// One client per job of the plan and per job of its arrivals, with times drawn from forks of `rng`.
    pub(super) fn new(plan: &Plan, rng: &Rng) -> Clients {
        let mut clients = Clients { all: Vec::new(), by_session: BTreeMap::new() };
        for (number, job) in plan.jobs.iter().enumerate() {
            let mut rng = rng.fork("job").fork_number(number as u64);
            let at = Time::ZERO + job.at.sample(&mut rng);
            clients.add(at, job.spec.clone(), rng);
        }
        for (number, stream) in plan.arrivals.iter().enumerate() {
            let rng = rng.fork("arrivals").fork_number(number as u64);
            let mut gaps = rng.fork("gaps");
            let mut at = Time::ZERO + stream.from;
            for serial in 1..=stream.count {
                match stream.every {
                    Some(every) => at += every.sample(&mut gaps),
                    None if serial > 1 => {
                        at = Time::NEVER;
                        let next = clients.all.len() as u32;
                        clients.all.last_mut().expect("the one before").next = Some(next);
                    }
                    None => {}
                }
                let mut spec = stream.spec.clone();
                spec.name = format!("{}-{serial}", spec.name).into();
                clients.add(at, spec, rng.fork_number(u64::from(serial)));
            }
        }
        clients
    }

    fn add(&mut self, at: Time, spec: JobSpec, mut rng: Rng) {
        let session = SessionId(rng.bits());
        let name = Arc::clone(&spec.name);
        let before = self.by_session.insert(session, self.all.len() as u32);
        assert!(before.is_none(), "two clients drew the same 64 random bits");
        self.all.push(Client {
            at,
            next: None,
            session,
            request: Arc::new(Request::Submit(spec)),
            name,
            attempt: 0,
            link: None,
            asked: None,
            standing: Standing::Waiting(None),
            rng,
        });
    }

    /// Whose session this is.
    pub(super) fn of_session(&self, session: SessionId) -> Option<u32> {
        self.by_session.get(&session).copied()
    }
}

impl Client {
    /// Takes in an answer to the request: whether it is the final one.
    pub(super) fn take(&mut self, reply: &Reply) -> bool {
        self.standing = match reply {
            Reply::Submitted(job) => Standing::Accepted(*job),
            Reply::Refused(
                refusal @ (Refusal::NoCoordinator | Refusal::NoQuorum { .. } | Refusal::Busy { .. }),
            ) => Standing::Waiting(Some(refusal.clone())),
            Reply::Refused(refusal) => Standing::Refused(refusal.clone()),
            Reply::Done | Reply::Jobs(_) => {
                Standing::Refused(Refusal::Invalid("the answer belongs to another kind of request".into()))
            }
        };
        !matches!(self.standing, Standing::Waiting(_))
    }
}

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// A job has ended: the client that waited for that asks now.
    pub(super) fn job_ended(&mut self, job: JobId) {
        let waited_for =
            |client: &Client| client.next.is_some() && client.standing == Standing::Accepted(job);
        if let Some(client) = self.clients.all.iter().position(waited_for) {
            self.follow(client);
        }
    }

    /// Lets the next client ask, if this one's job has ended or was refused for good.
    fn follow(&mut self, client: usize) {
        let client = &self.clients.all[client];
        let over = match &client.standing {
            Standing::Accepted(job) => self.watch.has_ended(*job),
            Standing::Refused(_) => true,
            Standing::Waiting(_) => false,
        };
        let Some(next) = client.next.filter(|_| over) else { return };
        let waiting = &mut self.clients.all[next as usize];
        if waiting.at == Time::NEVER {
            waiting.at = self.now;
            let step = ClientStep::Ask { attempt: 0 };
            self.queue.push(self.now, Event::Client { client: next, step });
        }
    }

    /// Something happens to a client.
    pub(super) fn client(&mut self, number: u32, step: ClientStep) {
        let client = &mut self.clients.all[number as usize];
        let (ClientStep::Ask { attempt }
        | ClientStep::Arrive { attempt, .. }
        | ClientStep::Answer { attempt, .. }) = step;
        if attempt != client.attempt || !matches!(client.standing, Standing::Waiting(_)) {
            return;
        }
        match step {
            ClientStep::Ask { .. } => self.ask(number),
            ClientStep::Arrive { machine, .. } => {
                let host = &self.hosts[machine as usize];
                if host.runs() && self.network.admits_clients(machine) {
                    client.link = Some((machine, host.life));
                    let (session, request) = (client.session, Arc::clone(&client.request));
                    self.local(machine, Local::Client { session, number: NUMBER, request });
                }
            }
            ClientStep::Answer { reply, .. } => {
                if client.take(&reply) {
                    let event = ClientEvent::Told { session: client.session, number: NUMBER, reply };
                    self.watch.progress = self.now;
                    self.note(None, What::Client(event));
                    // A short job may have ended before its client heard that it was accepted.
                    self.follow(number as usize);
                } else {
                    client.attempt += 1;
                    client.link = None;
                    let step = ClientStep::Ask { attempt: client.attempt };
                    self.queue.push(self.now + BACK_OFF, Event::Client { client: number, step });
                }
            }
        }
    }

    /// A client asks a node that runs, another one than the last time if there is one.
    fn ask(&mut self, number: u32) {
        let client = &mut self.clients.all[number as usize];
        let n = self.hosts.len() as u64;
        let from = client.rng.below(n);
        let candidates = (0..n).map(|i| ((from + i) % n) as Machine);
        let live = |machine: &Machine| self.hosts[*machine as usize].runs();
        let chosen = candidates
            .clone()
            .find(|machine| live(machine) && Some(*machine) != client.asked)
            .or_else(|| candidates.clone().find(live));
        let is_first = client.attempt == 0;
        client.attempt += 1;
        client.link = None;
        client.asked = chosen;
        let attempt = client.attempt;
        if let Some(machine) = chosen {
            let latency = self.network.latency(&mut client.rng);
            let step = ClientStep::Arrive { attempt, machine };
            self.queue.push(self.now + latency, Event::Client { client: number, step });
        }
        self.queue
            .push(self.now + PATIENCE, Event::Client { client: number, step: ClientStep::Ask { attempt } });
        if is_first {
            let (session, request) = (client.session, Arc::clone(&client.request));
            self.watch.progress = self.now;
            self.note(None, What::Client(ClientEvent::Asked { session, number: NUMBER, request }));
        }
    }

    /// A node answers a client, which hears it if it is still connected.
    pub(super) fn reply(&mut self, machine: Machine, session: SessionId, number: u64, reply: Arc<Reply>) {
        let Some(index) = self.clients.of_session(session).filter(|_| number == NUMBER) else { return };
        let client = &mut self.clients.all[index as usize];
        if client.link != Some((machine, self.hosts[machine as usize].life))
            || !self.network.admits_clients(machine)
        {
            return;
        }
        let latency = self.network.latency(&mut client.rng);
        let step = ClientStep::Answer { attempt: client.attempt, reply };
        self.queue.push(self.now + latency, Event::Client { client: index, step });
    }
}
