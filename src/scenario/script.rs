//! What each client of a plan will ask, and when: the same for equal seeds, whoever plays the clients.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::plan::{Errand, Plan};
use crate::base::{Rng, Span, Time};
use crate::node::{JobSpec, Request};

/// How long a client waits after a refusal that may be gone elsewhere or later, when it waited for `before` after the last one: 5 ms at first,
/// then twice as long each time, at most 50 ms.
pub fn back_off(before: Option<Span>) -> Span {
    before.map_or(Span::millis(5), |before| (before * 2).min(Span::millis(50)))
}

/// Something that a client will ask.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// When, at the earliest; `Time::NEVER` while it waits for another client's job to end.
    pub at: Time,
    /// What.
    pub what: Intent,
    /// How long it waits for an answer; `None` is for ever.
    pub give_up: Option<Span>,
}

/// What a client wants.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Submit its job.
    Submit(Arc<Request>),
    /// Something else.
    Errand(Errand),
}

/// One client.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its job's name, or its own if it has none.
    pub name: Arc<str>,
    /// Whether it submits a job.
    pub submits: bool,
    /// What it will ask, one thing after the other.
    pub wanted: VecDeque<Wanted>,
    /// The client, by its place, that asks once this one's job has ended.
    pub next: Option<u32>,
    /// Where everything else that is random about it comes from.
    pub rng: Rng,
}

/// One client per job of the plan and per job of its arrivals, and one per further name under `[[request]]`; with times drawn
/// from forks of `rng`.
pub fn scripts(plan: &Plan, rng: &Rng) -> Vec<Script> {
    let mut all: Vec<Script> = Vec::new();
    for (number, job) in plan.jobs.iter().enumerate() {
        let mut rng = rng.fork("job").fork_number(number as u64);
        let at = Time::ZERO + job.at.sample(&mut rng);
        all.push(submit(at, job.give_up, job.spec.clone(), rng));
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
                    let next = all.len() as u32;
                    all.last_mut().expect("the one before").next = Some(next);
                }
                None => {}
            }
            let mut spec = stream.spec.clone();
            spec.name = format!("{}-{serial}", spec.name).into();
            all.push(submit(at, None, spec, rng.fork_number(u64::from(serial))));
        }
    }
    let mut places: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for (place, client) in all.iter().enumerate() {
        places.entry(Arc::clone(&client.name)).or_insert(place);
    }
    for (number, request) in plan.requests.iter().enumerate() {
        let mut rng = rng.fork("request").fork_number(number as u64);
        let at = Time::ZERO + request.at.sample(&mut rng);
        let place = *places.entry(Arc::clone(&request.client)).or_insert_with(|| {
            let name = Arc::clone(&request.client);
            all.push(Script { name, submits: false, wanted: VecDeque::new(), next: None, rng });
            all.len() - 1
        });
        let what = Intent::Errand(request.errand.clone());
        all[place].wanted.push_back(Wanted { at, what, give_up: request.give_up });
    }
    all
}

fn submit(at: Time, give_up: Option<Span>, spec: JobSpec, rng: Rng) -> Script {
    let name = Arc::clone(&spec.name);
    let what = Intent::Submit(Arc::new(Request::Submit(spec)));
    let wanted = VecDeque::from([Wanted { at, what, give_up }]);
    Script { name, submits: true, wanted, next: None, rng }
}
