//! The clients: each asks one thing at a time, of any node that lives, and asks again elsewhere until it has an answer or gives up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::host::{Local, Process};
use super::world::{Event, World};
use crate::base::{JobId, Rng, SessionId, Span, Time};
use crate::history::{ClientEvent, Machine, Watcher, What};
use crate::node::{Refusal, Reply, Request};
use crate::scenario::{Errand, Intent, Plan, Script, Wanted, back_off, scripts};

/// How long a client waits for an answer before it asks another node.
const PATIENCE: Span = Span::millis(500);

/// What happens to a client. `attempt` counts how often it has asked; what belongs to an earlier one is void.
#[derive(Debug)]
pub(super) enum ClientStep {
    /// Its next request may be due.
    Begin,
    /// It asks some node.
    Ask { attempt: u32 },
    /// Its request arrives at a machine.
    Arrive { attempt: u32, machine: Machine },
    /// An answer arrives.
    Answer { attempt: u32, reply: Arc<Reply> },
    /// It has waited long enough for an answer to its request number `serial`, from 1.
    GiveUp { serial: u32 },
}

/// How far a client's job has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no final answer; the last refusal, if there was one.
    Waiting(Option<Refusal>),
    /// The job was accepted.
    Accepted(JobId),
    /// The job was refused for good.
    Refused(Refusal),
    /// The client gave up before it knew.
    Unknown,
    /// It has none.
    Jobless,
}

/// What a client has asked and waits for.
#[derive(Debug)]
struct Pending {
    session: SessionId,
    number: u64,
    request: Arc<Request>,
    give_up: Option<Span>,
    /// Whether it has gone out.
    asked: bool,
    refusal: Option<Refusal>,
    /// How long it waited after the last refusal.
    waited: Option<Span>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    wanted: VecDeque<Wanted>,
    pending: Option<Pending>,
    /// The client that asks once this one's job has ended.
    next: Option<u32>,
    /// Its session for changes, and the number of the last one.
    session: SessionId,
    number: u64,
    /// Its session for reads: these are not written to the log, and what opens a session must be.
    reads: SessionId,
    reads_number: u64,
    /// How many requests it has begun.
    serial: u32,
    /// Its job's name, or its own if it has none.
    pub(super) name: Arc<str>,
    pub(super) attempt: u32,
    /// The life of the process that it is connected to.
    link: Option<(Machine, u32)>,
    /// The machine that it asked last.
    asked: Option<Machine>,
    pub(super) standing: Standing,
    rng: Rng,
}

/// All clients of a run.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) all: Vec<Client>,
    by_session: BTreeMap<SessionId, u32>,
    by_name: BTreeMap<Arc<str>, u32>,
    /// How often one of them asked another machine than the one that it had asked the same before.
    pub(super) elsewhere: u64,
}

impl Clients {
    /// The clients of the plan, each with its times drawn from a fork of `rng`.
    pub(super) fn new(plan: &Plan, rng: &Rng) -> Clients {
        let mut clients =
            Clients { all: Vec::new(), by_session: BTreeMap::new(), by_name: BTreeMap::new(), elsewhere: 0 };
        for script in scripts(plan, rng) {
            clients.add(script);
        }
        clients
    }

    fn add(&mut self, script: Script) {
        let Script { name, submits, wanted, next, mut rng } = script;
        let number = self.all.len() as u32;
        let session = SessionId(rng.bits());
        let reads = SessionId(rng.fork("reads").bits());
        let standing = if submits { Standing::Waiting(None) } else { Standing::Jobless };
        self.by_name.entry(Arc::clone(&name)).or_insert(number);
        self.all.push(Client {
            wanted,
            pending: None,
            next,
            session,
            number: 0,
            reads,
            reads_number: 0,
            serial: 0,
            name,
            attempt: 0,
            link: None,
            asked: None,
            standing,
            rng,
        });
        self.own(session, number);
        self.own(reads, number);
    }

    /// Whether the client of a session still waits for an answer to this request.
    pub(super) fn waits_for(&self, session: SessionId, number: u64) -> bool {
        let client = self.by_session.get(&session).map(|&client| &self.all[client as usize]);
        let pending = client.and_then(|client| client.pending.as_ref());
        pending.is_some_and(|pending| (pending.session, pending.number) == (session, number))
    }

    fn own(&mut self, session: SessionId, client: u32) {
        let before = self.by_session.insert(session, client);
        assert!(before.is_none(), "two sessions have the same 64 random bits");
    }
}

impl Client {
    /// When it begins its next request, if it waits for nothing but that time.
    pub(super) fn next_at(&self) -> Option<Time> {
        let next = self.wanted.front().filter(|_| self.pending.is_none())?;
        Some(next.at)
    }

    /// The job that it was told of.
    pub(super) fn job(&self) -> Option<JobId> {
        match self.standing {
            Standing::Accepted(job) => Some(job),
            _ => None,
        }
    }

    /// What it waits for an answer to beside its job, in words.
    pub(super) fn unanswered(&self) -> Option<String> {
        let pending =
            self.pending.as_ref().filter(|pending| !matches!(*pending.request, Request::Submit(_)))?;
        let why = pending.refusal.as_ref().map_or_else(String::new, |refusal| format!(": {refusal}"));
        Some(format!("a request of {} was not answered in {} attempts{why}", self.name, self.attempt))
    }

    /// Takes in an answer to what is pending: whether it is the final one.
    fn take(&mut self, reply: &Reply) -> bool {
        let pending = self.pending.as_mut().expect("answers to nothing are not taken in");
        let submits = matches!(*pending.request, Request::Submit(_));
        let puts = matches!(*pending.request, Request::Put(_));
        let again = match reply {
            Reply::Refused(Refusal::NoCoordinator | Refusal::NoQuorum { .. }) => true,
            // There may be room for a job later; a change that the ledger finds too much it always will.
            Reply::Refused(Refusal::Busy { .. }) => submits || puts,
            Reply::Submitted(_)
            | Reply::Done
            | Reply::Jobs(_)
            | Reply::Read(_)
            | Reply::Stored(_)
            | Reply::Refused(_) => false,
        };
        if let (true, Reply::Refused(refusal)) = (again, reply) {
            pending.refusal = Some(refusal.clone());
        }
        if submits {
            self.standing = match reply {
                Reply::Submitted(job) => Standing::Accepted(*job),
                Reply::Refused(refusal) if again => Standing::Waiting(Some(refusal.clone())),
                Reply::Refused(refusal) => Standing::Refused(refusal.clone()),
                Reply::Done | Reply::Jobs(_) | Reply::Read(_) | Reply::Stored(_) => Standing::Refused(
                    Refusal::Invalid("the answer belongs to another kind of request".into()),
                ),
            };
        }
        !again
    }

    /// Nothing is pending any more, and what is still under way is void.
    fn rest(&mut self) {
        self.pending = None;
        self.attempt += 1;
        self.link = None;
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
            Standing::Refused(_) | Standing::Unknown => true,
            Standing::Waiting(_) | Standing::Jobless => false,
        };
        let Some(next) = client.next.filter(|_| over) else { return };
        let waiting = self.clients.all[next as usize].wanted.front_mut();
        if let Some(waiting) = waiting.filter(|waiting| waiting.at == Time::NEVER) {
            waiting.at = self.now;
            self.queue.push(self.now, Event::Client { client: next, step: ClientStep::Begin });
        }
    }

    /// Something happens to a client.
    pub(super) fn client(&mut self, number: u32, step: ClientStep) {
        let client = &mut self.clients.all[number as usize];
        match step {
            ClientStep::Begin => return self.next_request(number),
            ClientStep::GiveUp { serial } => {
                if serial == client.serial && client.pending.is_some() {
                    self.give_up(number);
                }
                return;
            }
            ClientStep::Ask { attempt }
            | ClientStep::Arrive { attempt, .. }
            | ClientStep::Answer { attempt, .. } => {
                if attempt != client.attempt {
                    return;
                }
            }
        }
        let Some(pending) = &client.pending else { return };
        match step {
            ClientStep::Begin | ClientStep::GiveUp { .. } => unreachable!("handled above"),
            ClientStep::Ask { .. } => self.ask(number),
            ClientStep::Arrive { machine, .. } => {
                let host = &self.hosts[machine as usize];
                if host.runs() && self.network.admits_clients(machine) {
                    client.link = Some((machine, host.life));
                    let (session, number) = (pending.session, pending.number);
                    let request = Arc::clone(&pending.request);
                    let local = Local::Client { session, number, request: Arc::clone(&request) };
                    self.local(machine, local);
                    if let Request::Put(put) = &*request {
                        self.bring(machine, (session, number), &put.content);
                    }
                }
            }
            ClientStep::Answer { reply, .. } => {
                let (session, serial) = (pending.session, pending.number);
                if client.take(&reply) {
                    client.rest();
                    let event = ClientEvent::Told { session, number: serial, reply };
                    self.watch.progress = self.now;
                    self.note(None, What::Client(event));
                    self.settled(number);
                } else {
                    client.attempt += 1;
                    client.link = None;
                    let pending = client.pending.as_mut().expect("it was seen above");
                    let wait = back_off(pending.waited);
                    pending.waited = Some(wait);
                    let step = ClientStep::Ask { attempt: client.attempt };
                    self.queue.push(self.now + wait, Event::Client { client: number, step });
                }
            }
        }
    }

    /// A client has done with a request: its next one may be due, and those who wait for its job may go on.
    fn settled(&mut self, number: u32) {
        // A short job may have ended before its client heard that it was accepted.
        self.follow(number as usize);
        if self.plan.requests.is_empty() {
            return;
        }
        let name = Arc::clone(&self.clients.all[number as usize].name);
        let waits = |client: &Client| {
            let next = client.wanted.front().filter(|_| client.pending.is_none());
            next.is_some_and(
                |next| matches!(&next.what, Intent::Errand(errand) if errand.job() == Some(&name)),
            )
        };
        let all = self.clients.all.iter().enumerate();
        let waiting: Vec<u32> =
            all.filter(|(_, client)| waits(client)).map(|(place, _)| place as u32).collect();
        for client in waiting.into_iter().filter(|&client| client != number).chain([number]) {
            self.next_request(client);
        }
    }

    /// Begins the next request of a client, if nothing is pending, its time has come, and the job that it is about is known.
    fn next_request(&mut self, number: u32) {
        loop {
            let client = &self.clients.all[number as usize];
            let Some(next) = client.wanted.front().filter(|_| client.pending.is_none()) else { return };
            if next.at > self.now {
                if next.at != Time::NEVER {
                    self.queue.push(next.at, Event::Client { client: number, step: ClientStep::Begin });
                }
                return;
            }
            let request = match &next.what {
                Intent::Submit(request) => Some(Arc::clone(request)),
                Intent::Errand(errand) => match self.resolved(errand) {
                    Resolved::Later => return,
                    Resolved::Never => None,
                    Resolved::Now(request) => Some(Arc::new(request)),
                },
            };
            let client = &mut self.clients.all[number as usize];
            let wanted = client.wanted.pop_front().expect("it was seen above");
            let Some(request) = request else { continue };
            let (session, serial) = if request.is_read() {
                client.reads_number += 1;
                (client.reads, client.reads_number)
            } else {
                client.number += 1;
                (client.session, client.number)
            };
            client.serial += 1;
            client.pending = Some(Pending {
                session,
                number: serial,
                request,
                give_up: wanted.give_up,
                asked: false,
                refusal: None,
                waited: None,
            });
            return self.ask(number);
        }
    }

    /// What a client has to ask, now that it knows about the job.
    fn resolved(&self, errand: &Errand) -> Resolved {
        let job = match errand.job() {
            None => None,
            Some(name) => {
                let owner = self.clients.by_name.get(name).expect("plans name jobs that there are");
                match &self.clients.all[*owner as usize].standing {
                    Standing::Accepted(job) => Some(*job),
                    Standing::Waiting(_) => return Resolved::Later,
                    Standing::Refused(_) | Standing::Unknown | Standing::Jobless => return Resolved::Never,
                }
            }
        };
        let id = |name: &str| {
            let machine = self.plan.nodes.iter().position(|plan| *plan.name == *name);
            self.hosts[machine.expect("plans name machines that there are")].id
        };
        Resolved::Now(errand.request(job, id).expect("its job is known"))
    }

    /// A client has waited long enough.
    fn give_up(&mut self, number: u32) {
        let client = &mut self.clients.all[number as usize];
        let Some(pending) = client.pending.take() else { return };
        client.rest();
        if matches!(*pending.request, Request::Submit(_)) {
            client.standing = Standing::Unknown;
        }
        let event = ClientEvent::GaveUp { session: pending.session, number: pending.number };
        if pending.session == client.session && pending.number == 1 {
            // Nobody knows whether the session was opened: what follows needs another one.
            (client.session, client.number) = (SessionId(client.rng.bits()), 0);
            let session = client.session;
            self.clients.own(session, number);
        }
        self.watch.progress = self.now;
        self.note(None, What::Client(event));
        self.settled(number);
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
        let asked_before = client.pending.as_ref().is_some_and(|pending| pending.asked);
        if asked_before && chosen.is_some() && client.asked.is_some() && chosen != client.asked {
            self.clients.elsewhere += 1;
        }
        let client = &mut self.clients.all[number as usize];
        client.attempt += 1;
        client.link = None;
        client.asked = chosen;
        let attempt = client.attempt;
        if let Some(machine) = chosen {
            let latency = self.network.latency(&mut client.rng);
            let step = ClientStep::Arrive { attempt, machine };
            self.queue.push(self.now + latency, Event::Client { client: number, step });
        }
        let pending =
            self.clients.all[number as usize].pending.as_ref().expect("only what is pending is asked");
        // Whoever brings a file waits until it is there, and has been copied.
        let patience = match &*pending.request {
            Request::Put(put) => PATIENCE * 4 + self.brings(&put.content) * 8,
            _ => PATIENCE,
        };
        self.queue
            .push(self.now + patience, Event::Client { client: number, step: ClientStep::Ask { attempt } });
        let client = &mut self.clients.all[number as usize];
        let pending = client.pending.as_mut().expect("only what is pending is asked");
        if !std::mem::replace(&mut pending.asked, true) {
            if let Some(span) = pending.give_up {
                let step = ClientStep::GiveUp { serial: client.serial };
                self.queue.push(self.now + span, Event::Client { client: number, step });
            }
            let (session, serial) = (pending.session, pending.number);
            let request = Arc::clone(&pending.request);
            self.watch.progress = self.now;
            self.note(None, What::Client(ClientEvent::Asked { session, number: serial, request }));
        }
    }

    /// A node answers a client, which hears it if it is still connected.
    pub(super) fn reply(&mut self, machine: Machine, session: SessionId, number: u64, reply: Arc<Reply>) {
        let Some(&index) = self.clients.by_session.get(&session) else { return };
        let client = &mut self.clients.all[index as usize];
        let is_pending = |pending: &Pending| (pending.session, pending.number) == (session, number);
        if !client.pending.as_ref().is_some_and(is_pending)
            || client.link != Some((machine, self.hosts[machine as usize].life))
            || !self.network.admits_clients(machine)
        {
            return;
        }
        let latency = self.network.latency(&mut client.rng);
        let step = ClientStep::Answer { attempt: client.attempt, reply };
        self.queue.push(self.now + latency, Event::Client { client: index, step });
    }
}

/// What a request about a job comes to.
enum Resolved {
    /// It can be asked.
    Now(Request),
    /// It is not known yet whether the job is accepted.
    Later,
    /// The job was refused, or nobody will know.
    Never,
}
