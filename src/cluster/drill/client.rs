//! The clients of a drill: each asks one thing at a time, of any node that runs, and asks again elsewhere until it has an answer or
//! gives up. They ask what the clients of a rehearsal ask, at the same times.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use quinn::Connection;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::base::{JobId, NodeId, Rng, SessionId, Span, Time};
use crate::cluster::client::{Local, measured_by, put_by};
use crate::cluster::clock;
use crate::cluster::keys::Key;
use crate::cluster::net::endpoint::{Dialler, Lane};
use crate::cluster::net::link::lock;
use crate::cluster::net::wire::{self, Ask, Told};
use crate::cluster::{Calibration, Measured};
use crate::history::{ClientEvent, Progress};
use crate::node::{Put, Refusal, Reply, Request};
use crate::scenario::{Errand, Intent, Plan, Script, Wanted, back_off, scripts};

use super::files::files;

/// How long a client waits for an answer before it asks another node.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nothing may move of a file that is being put, before another node is tried.
const MOVES_WITHIN: Duration = Duration::from_secs(3);
/// How many round trips nodes try to each other before a drill, and how long they may take for that.
const TRIPS: u32 = 30;
const MEASURING: Duration = Duration::from_mins(1);

/// How far a client's job has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// There is no final answer.
    Waiting,
    /// The job was accepted.
    Accepted(JobId),
    /// The job was refused for good, or nobody will know.
    Hopeless,
    /// The client gave up before it knew.
    Unknown,
    /// It has none.
    Jobless,
}

/// One client.
#[derive(Debug)]
struct Client {
    name: Arc<str>,
    wanted: VecDeque<Wanted>,
    next: Option<u32>,
    standing: Standing,
    /// Its session for changes, and the number of the last one.
    session: SessionId,
    number: u64,
    /// Its session for reads, which are not written to the log.
    reads: SessionId,
    reads_number: u64,
    pending: Option<Pending>,
    rng: Rng,
}

/// What a client has asked and waits for.
#[derive(Debug)]
struct Pending {
    session: SessionId,
    number: u64,
    submits: bool,
    trying: Arc<Trying>,
}

/// How an attempt to get an answer goes.
#[derive(Debug, Default)]
struct Trying {
    attempts: AtomicU32,
    why: Mutex<String>,
}

/// What came of a request.
struct Answer {
    client: usize,
    at: Time,
    /// `None` when the client gave up.
    reply: Option<Reply>,
}

/// What those who ask share.
#[derive(Debug)]
struct Shared {
    dialler: Dialler,
    places: Vec<SocketAddr>,
    /// Which machines run a process.
    runs: Mutex<Vec<bool>>,
    open: Mutex<BTreeMap<usize, Connection>>,
}

/// All clients of a drill.
#[derive(Debug)]
pub(super) struct Clients {
    all: Vec<Client>,
    by_name: BTreeMap<Arc<str>, usize>,
    answers: Receiver<Answer>,
    answered: Sender<Answer>,
    shared: Arc<Shared>,
    /// What they put.
    files: BTreeMap<u32, Arc<Local>>,
    lane: Lane,
}

impl Clients {
    /// The clients of the plan; they ask the nodes at these places.
    pub(super) fn new(plan: &Plan, rng: &Rng, key: &Key, places: &[SocketAddr]) -> io::Result<Clients> {
        let client = |script: Script| {
            let Script { name, submits, wanted, next, mut rng } = script;
            let session = SessionId(rng.bits());
            let reads = SessionId(rng.fork("reads").bits());
            let standing = if submits { Standing::Waiting } else { Standing::Jobless };
            Client {
                name,
                wanted,
                next,
                standing,
                session,
                number: 0,
                reads,
                reads_number: 0,
                pending: None,
                rng,
            }
        };
        let all: Vec<Client> = scripts(plan, rng).into_iter().map(client).collect();
        let mut by_name = BTreeMap::new();
        for (place, client) in all.iter().enumerate() {
            by_name.entry(Arc::clone(&client.name)).or_insert(place);
        }
        let lane = Lane::start("clients")?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let dialler = Dialler::client(&lane, socket, key)?;
        let runs = Mutex::new(vec![true; places.len()]);
        let shared = Arc::new(Shared { dialler, places: places.to_vec(), runs, open: Mutex::default() });
        let (answered, answers) = mpsc::channel();
        let files = files(plan, &rng.fork("files"))?;
        Ok(Clients { all, by_name, answers, answered, shared, files, lane })
    }

    /// Whether a process runs on `machine`, so that it can be asked.
    pub(super) fn machine_runs(&self, machine: u32, runs: bool) {
        lock(&self.shared.runs)[machine as usize] = runs;
        if !runs {
            lock(&self.shared.open).remove(&(machine as usize));
        }
    }

    /// What all nodes find their network and disks to be like. They measure at the same time, with few round trips, so that the drill
    /// goes on within seconds.
    pub(super) fn calibration(&self) -> Calibration {
        self.lane.handle.block_on(async {
            let mut asked = JoinSet::new();
            for &at in &self.shared.places {
                let shared = Arc::clone(&self.shared);
                asked.spawn(async move { measured_by(&shared.dialler, at, TRIPS, MEASURING).await });
            }
            let measured: Vec<Measured> = asked.join_all().await.into_iter().filter_map(Result::ok).collect();
            Calibration::of(&measured)
        })
    }

    /// Takes in what came, and asks what is due at `now`, counted from `zero`; `id` says which node a machine runs, and `told` is given
    /// what happened, and when.
    pub(super) fn advance(
        &mut self,
        zero: Time,
        now: Time,
        progress: &Progress,
        id: &dyn Fn(&str) -> NodeId,
        mut told: impl FnMut(Time, ClientEvent),
    ) {
        while let Ok(answer) = self.answers.try_recv() {
            let client = &mut self.all[answer.client];
            let Pending { session, number, submits, .. } =
                client.pending.take().expect("only what is pending is answered");
            let event = if let Some(reply) = answer.reply {
                if submits {
                    client.standing = match &reply {
                        Reply::Submitted(job) => Standing::Accepted(*job),
                        _ => Standing::Hopeless,
                    };
                }
                ClientEvent::Told { session, number, reply: Arc::new(reply) }
            } else {
                if submits {
                    client.standing = Standing::Unknown;
                }
                if session == client.session && number == 1 {
                    // Nobody knows whether the session was opened: what follows needs another one.
                    (client.session, client.number) = (SessionId(client.rng.bits()), 0);
                }
                ClientEvent::GaveUp { session, number }
            };
            told(answer.at, event);
        }
        for place in 0..self.all.len() {
            self.follow(place, now, progress);
        }
        for place in 0..self.all.len() {
            while let Some((session, number, request)) = self.next_request(place, now, id) {
                told(zero + now.since(Time::ZERO), ClientEvent::Asked { session, number, request });
            }
        }
    }

    /// Lets the next client ask, if this one's job has ended or was refused for good.
    fn follow(&mut self, place: usize, now: Time, progress: &Progress) {
        let client = &self.all[place];
        let over = match client.standing {
            Standing::Accepted(job) => progress.has_ended(job),
            Standing::Hopeless | Standing::Unknown => true,
            Standing::Waiting | Standing::Jobless => false,
        };
        let Some(next) = client.next.filter(|_| over) else { return };
        if let Some(waiting) = self.all[next as usize].wanted.front_mut()
            && waiting.at == Time::NEVER
        {
            waiting.at = now;
        }
    }

    /// Begins the next request of a client, if nothing is pending, its time has come, and the job that it is about is known.
    fn next_request(
        &mut self,
        place: usize,
        now: Time,
        id: &dyn Fn(&str) -> NodeId,
    ) -> Option<(SessionId, u64, Arc<Request>)> {
        loop {
            let client = &self.all[place];
            let next = client.wanted.front().filter(|next| client.pending.is_none() && next.at <= now)?;
            let (request, file) = match &next.what {
                Intent::Submit(request) => (Some(Arc::clone(request)), None),
                Intent::Errand(errand) => match self.resolved(errand, id) {
                    Poll::Ready(request) => (request.map(Arc::new), self.file(errand)),
                    Poll::Pending => return None,
                },
            };
            let client = &mut self.all[place];
            let Wanted { give_up, .. } = client.wanted.pop_front().expect("it was seen above");
            let Some(request) = request else { continue };
            let (session, number) = if request.is_read() {
                client.reads_number += 1;
                (client.reads, client.reads_number)
            } else {
                client.number += 1;
                (client.session, client.number)
            };
            let submits = matches!(*request, Request::Submit(_));
            let trying: Arc<Trying> = Arc::default();
            client.pending = Some(Pending { session, number, submits, trying: Arc::clone(&trying) });
            let rng = client.rng.fork("asks").fork_number(number);
            let (shared, answered) = (Arc::clone(&self.shared), self.answered.clone());
            let asked = Arc::clone(&request);
            self.lane.handle.spawn(async move {
                let ask = Ask::Request { session, number, request: (*asked).clone() };
                let asking = shared.until_final(&ask, submits, file.as_ref(), rng, &trying);
                let reply = match give_up {
                    Some(Span(nanos)) => timeout(Duration::from_nanos(nanos), asking).await.ok(),
                    None => Some(asking.await),
                };
                // Nobody listens once the drill is over.
                let _ = answered.send(Answer { client: place, at: clock::now(), reply });
            });
            return Some((session, number, request));
        }
    }

    /// What a client has to ask, once it knows about the job: nothing where there is none.
    fn resolved(&self, errand: &Errand, id: &dyn Fn(&str) -> NodeId) -> Poll<Option<Request>> {
        let job = match errand.job().map(|name| &self.all[self.by_name[name]].standing) {
            None => None,
            Some(Standing::Accepted(job)) => Some(*job),
            Some(Standing::Waiting) => return Poll::Pending,
            Some(Standing::Hopeless | Standing::Unknown | Standing::Jobless) => return Poll::Ready(None),
        };
        let request = errand.request(job, id);
        // The bytes of a rehearsal are only called so.
        Poll::Ready(match (request, self.file(errand)) {
            (Some(Request::Put(put)), Some(file)) => {
                let content = Arc::clone(file.content());
                Some(Request::Put(Arc::new(Put { content, ..(*put).clone() })))
            }
            (request, _) => request,
        })
    }

    /// What is put by an errand, if it is one that puts something.
    fn file(&self, errand: &Errand) -> Option<Arc<Local>> {
        let Errand::Put { salt, .. } = errand else { return None };
        self.files.get(salt).cloned()
    }

    /// Whether somebody will ask something at a time that is yet to come.
    pub(super) fn asks_later(&self, now: Time) -> bool {
        let comes = |client: &Client| {
            let next = client.wanted.front().filter(|_| client.pending.is_none());
            next.is_some_and(|next| next.at > now && next.at != Time::NEVER)
        };
        self.all.iter().any(comes)
    }

    /// What is left to do for clients, in words.
    pub(super) fn unfinished(&self, progress: &Progress) -> Vec<String> {
        let mut left = Vec::new();
        for client in &self.all {
            match client.standing {
                Standing::Accepted(job) if !progress.has_ended(job) && !progress.is_stopped(job) => {
                    let counted = progress.counted(job);
                    left.push(format!(
                        "{job} ({}) was accepted and has not ended: {counted} inputs are counted",
                        client.name
                    ));
                }
                Standing::Waiting if client.pending.is_none() => {
                    left.push(format!("{} waits for another job to end", client.name));
                }
                _ => {}
            }
            if let Some(pending) = &client.pending {
                let (attempts, why) =
                    (pending.trying.attempts.load(Ordering::Relaxed), lock(&pending.trying.why));
                left.push(format!("{} was not answered in {attempts} attempts: {why}", client.name));
            }
        }
        let known: Vec<JobId> = self.all.iter().filter_map(Client::job).collect();
        if self.all.iter().any(|client| client.standing == Standing::Unknown) {
            let nobodys = progress.open().filter(|job| !known.contains(job));
            left.extend(nobodys.map(|job| format!("{job} has not ended, and no client knows of it")));
        }
        left
    }
}

impl Client {
    fn job(&self) -> Option<JobId> {
        match self.standing {
            Standing::Accepted(job) => Some(job),
            _ => None,
        }
    }
}

impl Shared {
    /// Asks one node after the other until an answer is final.
    async fn until_final(
        &self,
        ask: &Ask,
        submits: bool,
        file: Option<&Arc<Local>>,
        mut rng: Rng,
        trying: &Trying,
    ) -> Reply {
        let mut last = None;
        let mut waited = None;
        loop {
            let wait = back_off(waited);
            waited = Some(wait);
            let wait = Duration::from_nanos(wait.0);
            let Some(place) = self.choose(&mut rng, last) else {
                tokio::time::sleep(wait).await;
                continue;
            };
            last = Some(place);
            trying.attempts.fetch_add(1, Ordering::Relaxed);
            let told = match file {
                Some(file) => {
                    put_by(&self.dialler, self.places[place], ask, file, MOVES_WITHIN).await.map(Told::Reply)
                }
                None => timeout(PATIENCE, self.exchange(place, ask))
                    .await
                    .unwrap_or_else(|_| Err("it does not answer".to_owned())),
            };
            let has_to_fit = submits || file.is_some();
            let why = match told {
                Ok(Told::Reply(Reply::Refused(refusal))) if passes(&refusal, has_to_fit) => {
                    refusal.to_string()
                }
                Ok(Told::Reply(reply)) => return reply,
                Ok(_) => "an answer to another question".to_owned(),
                Err(why) => {
                    lock(&self.open).remove(&place);
                    why
                }
            };
            *lock(&trying.why) = why;
            tokio::time::sleep(wait).await;
        }
    }

    /// A node that runs, another one than the last time if there is one.
    fn choose(&self, rng: &mut Rng, last: Option<usize>) -> Option<usize> {
        let runs = lock(&self.runs);
        let n = runs.len();
        let from = rng.below(n as u64) as usize;
        let all = || (0..n).map(|i| (from + i) % n).filter(|place| runs[*place]);
        all().find(|place| Some(*place) != last).or_else(|| all().next())
    }

    async fn exchange(&self, place: usize, ask: &Ask) -> Result<Told, String> {
        let open = lock(&self.open).get(&place).filter(|open| open.close_reason().is_none()).cloned();
        let open = if let Some(open) = open {
            open
        } else {
            let dialled = self.dialler.dial(self.places[place], None).await;
            let (open, _) = dialled.map_err(|error| error.to_string())?;
            lock(&self.open).insert(place, open.clone());
            open
        };
        let (mut send, mut receive) = open.open_bi().await.map_err(|error| error.to_string())?;
        wire::write(&mut send, ask).await.map_err(|error| error.to_string())?;
        wire::read(&mut receive).await.map_err(|error| error.to_string())
    }
}

/// Whether a refusal may be gone later or elsewhere.
fn passes(refusal: &Refusal, has_to_fit: bool) -> bool {
    match refusal {
        Refusal::NoCoordinator | Refusal::NoQuorum { .. } => true,
        // There may be room for a job or a file later; a change that the ledger finds too much it always will.
        Refusal::Busy { .. } => has_to_fit,
        _ => false,
    }
}
