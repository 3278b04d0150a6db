//! The clients: each submits one job, through any node that lives, and asks again elsewhere until it has an answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{JobId, Rng, SessionId, Span, Time};
use crate::history::Machine;
use crate::node::{JobSpec, Refusal, Reply, Request};
use crate::scenario::Plan;

/// How long a client waits for an answer before it asks another node.
pub(super) const PATIENCE: Span = Span::millis(500);
/// How long a client waits after a refusal that may be gone elsewhere or later.
pub(super) const BACK_OFF: Span = Span::millis(50);
/// The number of a client's only request.
pub(super) const NUMBER: u64 = 1;

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
    /// When it asks first.
    pub(super) at: Time,
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
                at += stream.every.sample(&mut gaps);
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
