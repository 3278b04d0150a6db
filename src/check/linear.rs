//! Invariant 9: what clients are told fits one order of events, whatever came of requests without an answer.
//!
//! Jobs do not touch each other, so that each has an order of its own (Horn and Kroening's P-compositionality, 2015); what they
//! share, their numbers, is looked at here: a job comes of one submission and no other, and jobs are numbered in the order of
//! their submissions. The rest is in [`order`](super::order).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::order::{Act, Answer, Model, Order, STEPS_MAX, Seen, Step, order};
use super::verdict::{Findings, Invariant};
use super::versions::Register;
use crate::base::{JobId, SessionId, Time};
use crate::node::{JobSpec, JobStatus, Question, Reading, Refusal, Reply, Request};

/// One request of a client, and what it was told.
#[derive(Debug)]
struct Call {
    asked: Time,
    told: Option<(Time, Arc<Reply>)>,
    request: Arc<Request>,
}

/// What all clients asked and were told.
#[derive(Debug, Default)]
pub(super) struct Histories {
    calls: Vec<Call>,
    /// Where each request stands in `calls`.
    places: BTreeMap<(SessionId, u64), usize>,
}

/// A job and the submission that made it.
struct Origin<'a> {
    asked: Time,
    told: Option<Time>,
    spec: &'a JobSpec,
}

type Origins<'a> = BTreeMap<JobId, Origin<'a>>;

impl Histories {
    pub(super) fn on_asked(&mut self, at: Time, session: SessionId, number: u64, request: &Arc<Request>) {
        self.places.insert((session, number), self.calls.len());
        self.calls.push(Call { asked: at, told: None, request: Arc::clone(request) });
    }

    pub(super) fn on_told(&mut self, at: Time, session: SessionId, number: u64, reply: &Arc<Reply>) {
        if let Some(&place) = self.places.get(&(session, number)) {
            self.calls[place].told.get_or_insert_with(|| (at, Arc::clone(reply)));
        }
    }

    /// The trial is over.
    pub(super) fn finish(&self, findings: &mut Findings) {
        let unknown = self.calls.iter().filter(|call| call.outcome() == Outcome::Unknown);
        findings.census.outcomes_unknown += unknown.count() as u64;
        self.files(findings);
        let origins = self.origins(findings);
        let mut about: BTreeMap<JobId, Vec<Step>> = BTreeMap::new();
        for call in &self.calls {
            if let Some((job, act)) = call.change() {
                about.entry(job).or_default().push(call.step(act));
            }
        }
        let reads: Vec<(&Call, &[JobStatus])> =
            self.calls.iter().filter_map(|call| Some((call, call.read()?))).collect();
        for (&job, origin) in &origins {
            let changes = about.remove(&job).unwrap_or_default();
            order_of(job, origin, changes, &reads, findings);
        }
    }

    /// What clients were told of files.
    fn files(&self, findings: &mut Findings) {
        let mut names: BTreeMap<&Arc<str>, Register> = BTreeMap::new();
        for call in &self.calls {
            let told = call.told.as_ref().map(|(at, reply)| (*at, &**reply));
            let unknown = call.outcome() == Outcome::Unknown;
            match (&*call.request, told) {
                (Request::Put(put), Some((at, Reply::Stored(version)))) => {
                    let told = Some((at, *version));
                    names.entry(&put.name).or_default().put(call.asked, told, &put.content);
                }
                (Request::Put(put), _) if unknown => {
                    names.entry(&put.name).or_default().put(call.asked, None, &put.content);
                }
                (Request::Delete { name, .. }, Some((at, Reply::Done))) => {
                    names.entry(name).or_default().delete(call.asked, Some(at));
                }
                (Request::Delete { name, .. }, _) if unknown => {
                    names.entry(name).or_default().delete(call.asked, None);
                }
                (Request::Read(Question::Locate { name, version: None }), Some((at, reply))) => {
                    let seen = match reply {
                        Reply::Refused(Refusal::UnknownFile(_)) => None,
                        Reply::Read(reading) => match &**reading {
                            Reading::Located(located) => Some(Arc::new(located.version.clone())),
                            _ => continue,
                        },
                        _ => continue,
                    };
                    names.entry(name).or_default().read(call.asked, at, seen);
                }
                _ => {}
            }
        }
        for (name, register) in names {
            register.finish(name, findings);
            findings.census.registers += 1;
        }
    }

    /// The jobs that were read, each with what it is said to be and when that was told first.
    fn seen(&self) -> BTreeMap<JobId, (Time, &JobSpec)> {
        let mut seen: BTreeMap<JobId, (Time, &JobSpec)> = BTreeMap::new();
        for call in &self.calls {
            let Some((told, list)) = call.told.as_ref().map(|(at, _)| *at).zip(call.read()) else { continue };
            for status in list {
                let first = seen.entry(status.job).or_insert((told, &status.spec));
                first.0 = first.0.min(told);
            }
        }
        seen
    }

    /// Which submission made each job that clients know of.
    fn origins(&self, findings: &mut Findings) -> Origins<'_> {
        let mut report = |at: Time, detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::Linearizable, at, &[], detail);
        };
        let mut origins: Origins<'_> = BTreeMap::new();
        let mut unknown: Vec<Option<Origin<'_>>> = Vec::new();
        for call in &self.calls {
            let Request::Submit(spec) = &*call.request else { continue };
            let told = call.told.as_ref().map(|(at, _)| *at);
            let origin = Origin { asked: call.asked, told, spec };
            match (call.outcome(), call.told.as_ref().map(|(_, reply)| &**reply)) {
                (Outcome::Unknown, _) => unknown.push(Some(Origin { told: None, ..origin })),
                (Outcome::Known, Some(Reply::Submitted(job))) => {
                    if origins.insert(*job, origin).is_some() {
                        report(call.asked, format_args!("two submissions are said to have made {job}"));
                    }
                }
                (Outcome::Known, _) => {}
            }
        }
        for (job, (told, spec)) in self.seen() {
            if let Some(origin) = origins.get(&job) {
                if origin.spec != spec {
                    report(told, format_args!("{job} is not what was submitted"));
                }
                continue;
            }
            // A job that nobody was told of comes of a submission whose outcome is unknown, each of which makes one at most.
            // Among equal ones the first made the first: if any other choice fits, this one does.
            let fits = |one: &&mut Option<Origin<'_>>| {
                one.as_ref().is_some_and(|one| one.spec == spec && one.asked <= told)
            };
            let origin = unknown.iter_mut().find(fits).and_then(Option::take);
            if let Some(origin) = origin {
                origins.insert(job, origin);
            } else {
                report(told, format_args!("{job} ({}) comes of no submission of its own", spec.name));
            }
        }
        let mut latest = (Time::ZERO, JobId(0));
        for (&job, origin) in &origins {
            if let Some(told) = origin.told.filter(|&told| told < latest.0) {
                let before = latest.1;
                report(told, format_args!("{job} was accepted before {before} was asked for"));
            }
            latest = latest.max((origin.asked, job));
        }
        origins
    }
}

/// Whether a client knows what came of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Known,
    Unknown,
}

impl Call {
    fn outcome(&self) -> Outcome {
        let unknown = match self.told.as_ref().map(|(_, reply)| &**reply) {
            None => true,
            Some(Reply::Refused(refusal)) => {
                matches!(refusal, Refusal::SessionLost | Refusal::Outdated | Refusal::NoQuorum { .. })
            }
            Some(Reply::Submitted(_) | Reply::Done | Reply::Jobs(_) | Reply::Read(_) | Reply::Stored(_)) => {
                false
            }
        };
        // What was read and did not arrive changed nothing.
        if unknown && !self.request.is_read() { Outcome::Unknown } else { Outcome::Known }
    }

    fn step(&self, act: Act) -> Step {
        let told = self.told.as_ref().map(|(at, _)| *at).filter(|_| self.outcome() == Outcome::Known);
        Step { asked: self.asked, told, act }
    }

    /// The list of jobs that it was told.
    fn read(&self) -> Option<&[JobStatus]> {
        match self.told.as_ref().map(|(_, reply)| &**reply) {
            Some(Reply::Jobs(list)) => Some(list),
            _ => None,
        }
    }

    /// The change of a job that it asks for, with its answer; `None` where nothing can have changed.
    fn change(&self) -> Option<(JobId, Act)> {
        let answer = match self.told.as_ref().map(|(_, reply)| &**reply) {
            _ if self.outcome() == Outcome::Unknown => Answer::Done,
            Some(Reply::Refused(Refusal::UnknownJob(_))) => Answer::NoJob,
            Some(Reply::Refused(Refusal::NotEnded(_))) => Answer::NotEnded,
            Some(Reply::Refused(Refusal::Invalid(_) | Refusal::Busy { .. })) => Answer::Refused,
            // Whatever else a change was refused for says nothing about its job.
            Some(Reply::Refused(_)) => return None,
            Some(Reply::Done | Reply::Submitted(_) | Reply::Jobs(_) | Reply::Read(_) | Reply::Stored(_))
            | None => Answer::Done,
        };
        match *self.request {
            Request::Cancel(job) => Some((job, Act::Cancel(answer))),
            Request::SetBatch { job, batch } => Some((job, Act::SetBatch(batch, answer))),
            Request::Forget(job) => Some((job, Act::Forget(answer))),
            Request::Stop(job) => Some((job, Act::Stop(answer))),
            Request::Resume(job) => Some((job, Act::Resume(answer))),
            // These change no job.
            Request::Submit(_)
            | Request::Jobs
            | Request::Read(_)
            | Request::SetPolicy(_)
            | Request::Drain { .. }
            | Request::HandOver { .. }
            | Request::Put(_)
            | Request::Delete { .. } => None,
        }
    }
}

/// Looks for the order of what was done with one job.
fn order_of(
    job: JobId,
    origin: &Origin<'_>,
    changes: Vec<Step>,
    reads: &[(&Call, &[JobStatus])],
    findings: &mut Findings,
) {
    let mut steps = changes;
    steps.push(Step { asked: origin.asked, told: origin.told, act: Act::Submit });
    let mut looks: Vec<Step> = Vec::new();
    for (call, list) in reads {
        let told = call.told.as_ref().map(|(at, _)| *at);
        // Before anybody asked for the job there is nothing to see of it.
        if told.is_none_or(|told| told < origin.asked) {
            continue;
        }
        let place = list.binary_search_by_key(&job, |status| status.job).ok();
        let seen = place.map(|place| &list[place]).map(|status| Seen {
            done: status.inputs_done,
            ended: status.ended,
            stopped: status.stopped,
            batch: status.batch,
        });
        looks.push(Step { asked: call.asked, told, act: Act::Read(seen) });
    }
    // To leave out reads hides nothing but what they saw; the oldest go first.
    let surplus = (steps.len() + looks.len()).saturating_sub(STEPS_MAX);
    steps.extend(looks.into_iter().skip(surplus));
    steps.sort_by_key(|step| step.asked);
    let model = Model { inputs: origin.spec.inputs.count(), batch: origin.spec.batch };
    let found = if steps.len() > STEPS_MAX { Order::Unknown } else { order(&steps, model) };
    match found {
        Order::Found => findings.census.histories += 1,
        Order::Unknown => findings.census.histories_unchecked += 1,
        Order::None(stuck) => {
            let Step { asked, told, act } = &steps[stuck];
            let detail = format_args!(
                "what clients were told about {job} ({}) fits no order; none has room for {act:?}, asked at {asked}",
                origin.spec.name
            );
            findings.report(Invariant::Linearizable, told.unwrap_or(*asked), &[], detail);
        }
    }
}
