//! Invariants 3 and 4: a book of jobs and counted inputs, kept from what committed entries did, apart from the nodes' own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attempts::Attempts;
use super::gaps::Gaps;
use super::intervals::Cover;
use super::roster::Who;
use super::verdict::{Findings, Invariant};
use crate::base::{AttemptId, JobId, NodeId, QueryId, SessionId, Time};
use crate::history::Machine;
use crate::node::{Change, Command, Entry, JobSpec, JobStatus, Payload, Reply, Request, Uncounted};

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) spec: Arc<JobSpec>,
    /// When its acceptance committed or a query of it was last counted.
    pub(super) progress: Time,
    /// When its client was told.
    acknowledged: Option<Time>,
    inputs: u64,
    /// The first input and the batch size of each cut.
    cuts: Vec<(u64, u32)>,
    counted: Cover,
    stage: Stage,
    /// Whether a client has stopped it, so that nothing is expected of it.
    pub(super) stopped: bool,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Complete,
    Cancelled,
    /// It had ended, and nobody remembers it.
    Forgotten,
}

/// What is to be thought of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was never a query of any job.
    Unheard,
    /// Its inputs are counted, or will not be: the job ended, or another cut has them.
    Settled,
    /// These inputs wait for it: the first and how many.
    Open(u64, u32),
}

impl Job {
    pub(super) fn ended(&self) -> bool {
        self.stage != Stage::Open
    }

    fn forgotten(&self) -> bool {
        self.stage == Stage::Forgotten
    }

    /// The inputs of a query, void or not: the first and the one after the last.
    fn range(&self, query: QueryId) -> Option<(u64, u64)> {
        let &(boundary, batch) = self.cuts.get(query.cut as usize)?;
        let from = boundary + u64::from(query.number) * u64::from(batch);
        (from < self.inputs).then(|| (from, self.inputs.min(from + u64::from(batch))))
    }

    fn has_counted(&self, query: QueryId) -> bool {
        self.range(query).is_some_and(|(from, to)| self.counted.contains(from, to))
    }

    fn standing(&self, query: QueryId) -> Standing {
        let Some((from, to)) = self.range(query) else { return Standing::Unheard };
        let is_void = self.cuts.get(query.cut as usize + 1).is_some_and(|&(next, _)| from >= next);
        if self.ended() || is_void || self.counted.contains(from, to) {
            Standing::Settled
        } else {
            Standing::Open(from, (to - from) as u32)
        }
    }

    /// Inputs per query at present.
    pub(super) fn batch(&self) -> u32 {
        self.cuts.last().map_or(1, |&(_, batch)| batch).max(1)
    }

    /// How many queries are missing, as its present batch size cuts them.
    fn missing(&self) -> u64 {
        (self.inputs - self.counted.size().min(self.inputs)).div_ceil(u64::from(self.batch()))
    }
}

/// What a client waits for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) at: Time,
    request: Arc<Request>,
    pub(super) answered: bool,
}

/// All jobs and clients.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// Which job a request made.
    made: BTreeMap<(SessionId, u64), JobId>,
    /// The last request of each session.
    pub(super) asked: BTreeMap<SessionId, Asked>,
    pub(super) counted: u64,
    pub(super) doubled: u64,
    lost: u64,
    /// Jobs that have not ended.
    pub(super) open_jobs: usize,
    /// The policy that a client has chosen.
    policy: Option<Arc<str>>,
    /// Who shall get no queries.
    pub(super) drained: BTreeSet<NodeId>,
    /// Whether there may be jobs of which nothing is known, because they were there before the history began.
    begins_late: bool,
}

impl Ledger {
    /// That of a history that lacks something.
    pub(super) fn new(gaps: Gaps) -> Ledger {
        Ledger { begins_late: gaps.any(), ..Ledger::default() }
    }

    /// The history lacks what was before: of the jobs so far nobody knows what became.
    pub(super) fn take_up(&mut self) {
        self.jobs.clear();
        self.made.clear();
        self.open_jobs = 0;
    }

    /// Whether this is about a job of which nothing is known.
    fn is_about_unknown(&self, change: &Change) -> bool {
        let job = match change {
            Change::Recut { job, .. }
            | Change::JobEnded { job, .. }
            | Change::JobForgotten { job }
            | Change::JobStopped { job }
            | Change::JobResumed { job } => *job,
            Change::Counted { query, .. } | Change::Uncounted { query, .. } => query.job,
            Change::JobAdded { .. }
            | Change::ViewChanged { .. }
            | Change::PolicySet { .. }
            | Change::Drained { .. }
            | Change::FilePut { .. }
            | Change::FileDeleted { .. }
            | Change::Pinned { .. }
            | Change::Unpinned { .. } => return false,
        };
        self.begins_late && !self.jobs.contains_key(&job)
    }

    /// What is to be thought of a query.
    pub(super) fn standing(&self, query: QueryId) -> Standing {
        // Of a job that was there before everything is taken for settled: nobody can tell.
        let unknown = if self.begins_late { Standing::Settled } else { Standing::Unheard };
        self.jobs.get(&query.job).map_or(unknown, |job| job.standing(query))
    }

    /// Queries of jobs that ended without them.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// What was counted of the job that a request made; nothing if it made none.
    pub(super) fn counted_of(&self, origin: (SessionId, u64)) -> Cover {
        let job = self.made.get(&origin).and_then(|job| self.jobs.get(job));
        job.map_or_else(Cover::default, |job| job.counted.clone())
    }

    /// Whether a client wants the job no more that this request made.
    pub(super) fn is_dropped(&self, origin: (SessionId, u64)) -> bool {
        let job = self.made.get(&origin).and_then(|job| self.jobs.get(job));
        job.is_some_and(|job| matches!(job.stage, Stage::Forgotten | Stage::Cancelled))
    }

    /// Queries that jobs still wait for.
    pub(super) fn open_queries(&self) -> u64 {
        self.jobs.values().filter(|job| !job.ended()).map(Job::missing).sum()
    }

    /// A committed entry took effect, for the first time anywhere.
    pub(super) fn on_entry(
        &mut self,
        who: Who,
        entry: &Entry,
        changes: &[Change],
        attempts: &mut Attempts,
        findings: &mut Findings,
    ) {
        // Completions and changes come in the same order, so that the search never starts over.
        let mut cursor = 0;
        for change in changes {
            if self.is_about_unknown(change) {
                if let Change::Counted { .. } = change {
                    self.counted += 1;
                }
                continue;
            }
            match change {
                Change::JobAdded { job, spec } => self.add(who, *job, spec, entry, findings),
                Change::Recut { job, cut, boundary, batch } => {
                    self.recut(who, *job, (*cut, *boundary, *batch), findings);
                    let jobs = &self.jobs;
                    let open = |query: QueryId| {
                        let standing = jobs.get(&query.job).map(|job| job.standing(query));
                        matches!(standing, Some(Standing::Open(..)))
                    };
                    attempts.retain(*job, open);
                }
                Change::Counted { query, attempt, worker, from, inputs, failed } => {
                    let count =
                        Count { query: *query, attempt: *attempt, worker: *worker, range: (*from, *inputs) };
                    let brought = Brought::find(entry, *query, *attempt, &mut cursor);
                    if brought
                        != Some(Brought { worker: Some(*worker), inputs: *inputs, failed: *failed as usize })
                    {
                        let detail =
                            format_args!("query {query} was counted otherwise than the entry completes it");
                        findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
                    }
                    self.count(who, &count, *failed, attempts, findings);
                }
                Change::Uncounted { query, attempt, reason } => {
                    let brought = Brought::find(entry, *query, *attempt, &mut cursor);
                    self.refuse(who, *query, *reason, brought, findings);
                }
                Change::JobEnded { job, cancelled } => {
                    self.end(who, *job, *cancelled, findings);
                    attempts.retain(*job, |_| false);
                }
                Change::JobForgotten { job } => self.forget(who, *job, findings),
                Change::JobStopped { job } => self.stop(who, *job, true, findings),
                Change::JobResumed { job } => self.stop(who, *job, false, findings),
                Change::ViewChanged { .. }
                | Change::FilePut { .. }
                | Change::FileDeleted { .. }
                | Change::Pinned { .. }
                | Change::Unpinned { .. } => {}
                Change::PolicySet { policy } => self.policy = Some(Arc::clone(policy)),
                Change::Drained { node, drained } => {
                    if *drained {
                        self.drained.insert(*node);
                    } else {
                        self.drained.remove(node);
                    }
                    // What it had not begun, or may have now, begins somewhere.
                    for job in self.jobs.values_mut().filter(|job| !job.ended()) {
                        job.progress = who.at;
                    }
                }
            }
        }
    }

    fn add(&mut self, who: Who, id: JobId, spec: &Arc<JobSpec>, entry: &Entry, findings: &mut Findings) {
        findings.census.jobs += 1;
        let mut report = |invariant, detail: std::fmt::Arguments<'_>| {
            findings.report(invariant, who.at, &[who.machine], detail);
        };
        if let Payload::Command(Command::Request { session, number, request }) = &*entry.payload
            && matches!(&**request, Request::Submit(submitted) if *submitted == **spec)
        {
            if let Some(before) = self.made.insert((*session, *number), id) {
                report(Invariant::PromisesKept, format_args!("one request made both {before} and {id}"));
            }
            let asked = self.asked.get(session);
            if asked.is_some_and(|asked| {
                asked.number < *number || (asked.number == *number && asked.request != *request)
            }) {
                report(Invariant::CountedOnce, format_args!("{id} is not what its client asked for"));
            }
        } else {
            report(Invariant::CountedOnce, format_args!("{id} was added without its submission"));
        }
        let expected = self.jobs.last_key_value().map_or(JobId(1), |(last, _)| last.next());
        if id != expected && !(self.begins_late && self.jobs.is_empty()) {
            report(Invariant::PromisesKept, format_args!("{id} was added where {expected} comes next"));
        }
        let job = Job {
            spec: Arc::clone(spec),
            progress: who.at,
            acknowledged: None,
            inputs: spec.inputs.count(),
            cuts: vec![(0, spec.batch)],
            counted: Cover::default(),
            stage: Stage::Open,
            stopped: false,
        };
        if self.jobs.insert(id, job).is_none_or(|before| before.ended()) {
            self.open_jobs += 1;
        }
    }

    fn recut(&mut self, who: Who, id: JobId, cut: (u32, u64, u32), findings: &mut Findings) {
        let (number, boundary, batch) = cut;
        let fits = self.jobs.get_mut(&id).filter(|job| {
            let last = job.cuts.last().map_or(0, |&(last, _)| last);
            !job.ended()
                && job.cuts.len() == number as usize
                && (last..job.inputs).contains(&boundary)
                && batch > 0
        });
        let Some(job) = fits else {
            let detail =
                format_args!("cut {number} of {id} at input {boundary} does not follow from the last");
            findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
            return;
        };
        job.cuts.push((boundary, batch));
    }

    fn count(
        &mut self,
        who: Who,
        count: &Count,
        failed: u32,
        attempts: &mut Attempts,
        findings: &mut Findings,
    ) {
        self.counted += 1;
        let Count { query, attempt, worker, range: (from, inputs) } = *count;
        let mut report = |machines: &[Machine], detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::CountedOnce, who.at, machines, detail);
        };
        let Some(job) = self.jobs.get_mut(&query.job) else {
            report(&[who.machine], format_args!("query {query} of a job that nobody added was counted"));
            return;
        };
        let ended = job.ended();
        let standing = job.standing(query);
        let doubled = job.counted.insert(from, from.saturating_add(u64::from(inputs)));
        job.progress = who.at;
        if doubled > 0 {
            self.doubled += 1;
            let detail =
                format_args!("query {query} was counted, {doubled} of its inputs for the second time");
            report(&[who.machine], detail);
        } else if ended {
            report(&[who.machine], format_args!("query {query} was counted after its job had ended"));
        } else if standing != Standing::Open(from, inputs) {
            let to = from.saturating_add(u64::from(inputs));
            let detail =
                format_args!("query {query} was counted for inputs {from} to {to}, which are not its");
            report(&[who.machine], detail);
        } else if let Some(flaw) = attempts.flaw(query, attempt, worker, failed == inputs) {
            let detail = format_args!("query {query} was counted by attempt {attempt}, which {flaw}");
            report(&[who.machine], detail);
        }
        if failed > inputs {
            report(&[who.machine], format_args!("query {query} has {inputs} inputs, and {failed} failed"));
        }
        attempts.settle(query);
    }

    fn refuse(
        &mut self,
        who: Who,
        query: QueryId,
        reason: Uncounted,
        brought: Option<Brought>,
        findings: &mut Findings,
    ) {
        let wrong = match (reason, self.standing(query)) {
            (Uncounted::Duplicate, _) => !self.jobs.get(&query.job).is_some_and(|job| job.has_counted(query)),
            (Uncounted::NoJob, Standing::Open(..)) => true,
            // An answer that does not fit its query is refused as void.
            (Uncounted::Void, Standing::Open(_, inputs)) => {
                brought.is_some_and(|brought| brought.inputs == inputs && brought.failed == 0)
            }
            (Uncounted::NoJob | Uncounted::Void, Standing::Settled | Standing::Unheard) => false,
        };
        if wrong {
            let detail = format_args!("an answer to query {query} was refused wrongly ({reason:?})");
            findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
        }
    }

    fn end(&mut self, who: Who, id: JobId, cancelled: bool, findings: &mut Findings) {
        let mut report = |detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
        };
        let Some(job) = self.jobs.get_mut(&id) else {
            report(format_args!("{id} ended, and nobody had added it"));
            return;
        };
        if job.ended() {
            report(format_args!("{id} ended twice"));
            return;
        }
        job.stage = if cancelled { Stage::Cancelled } else { Stage::Complete };
        self.open_jobs -= 1;
        if !cancelled && !job.counted.contains(0, job.inputs) {
            let missing = job.missing();
            self.lost += missing;
            let (counted, all) = (job.counted.size(), job.inputs);
            report(format_args!("{id} ended with {counted} of {all} inputs counted"));
        }
    }

    fn stop(&mut self, who: Who, id: JobId, stopped: bool, findings: &mut Findings) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.ended() && job.stopped != stopped) {
            job.stopped = stopped;
            job.progress = who.at;
        } else {
            let what = if stopped { "stopped" } else { "resumed" };
            let detail = format_args!("{id} was {what}, which had ended or was {what} already");
            findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
        }
    }

    fn forget(&mut self, who: Who, id: JobId, findings: &mut Findings) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.ended() && !job.forgotten()) {
            job.stage = Stage::Forgotten;
            job.counted = Cover::default();
        } else {
            let detail = format_args!("{id} was forgotten before it had ended, or twice");
            findings.report(Invariant::PromisesKept, who.at, &[who.machine], detail);
        }
    }

    /// A client asked something.
    pub(super) fn on_asked(&mut self, at: Time, session: SessionId, number: u64, request: &Arc<Request>) {
        let asked = Asked { number, at, request: Arc::clone(request), answered: false };
        self.asked.insert(session, asked);
    }

    /// A client waits no longer.
    pub(super) fn on_gave_up(&mut self, session: SessionId, number: u64) {
        if let Some(asked) = self.asked.get_mut(&session).filter(|asked| asked.number == number) {
            asked.answered = true;
        }
    }

    /// A client was told something.
    pub(super) fn on_told(
        &mut self,
        at: Time,
        session: SessionId,
        number: u64,
        reply: &Reply,
        findings: &mut Findings,
    ) {
        findings.census.answers += 1;
        let asked = self.asked.get_mut(&session).filter(|asked| asked.number == number);
        let asked = asked.map(|asked| {
            asked.answered = true;
            asked.clone()
        });
        let mut report = |detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::PromisesKept, at, &[], detail);
        };
        match reply {
            Reply::Submitted(id) => {
                let own = self.made.get(&(session, number));
                if own != Some(id) {
                    let what = own.map_or("nothing".to_owned(), ToString::to_string);
                    report(format_args!(
                        "a client was told that it had submitted {id}; its request made {what}"
                    ));
                } else if let Some(job) = self.jobs.get_mut(id) {
                    job.acknowledged.get_or_insert(at);
                }
            }
            Reply::Done => {
                let done = match asked.as_ref().map(|asked| &*asked.request) {
                    Some(Request::Cancel(id)) => self.jobs.get(id).is_some_and(Job::ended),
                    Some(Request::Forget(id)) => self.jobs.get(id).is_some_and(Job::forgotten),
                    Some(Request::Submit(_) | Request::Jobs | Request::Read(_) | Request::Put(_)) => false,
                    // Another client may have chosen otherwise meanwhile.
                    Some(Request::SetPolicy(_)) => self.policy.is_some(),
                    // What is told of files is compared elsewhere.
                    None
                    | Some(Request::Drain { .. } | Request::HandOver { .. } | Request::Delete { .. }) => true,
                    // Nothing changes where the size is the old one or nothing is left to divide.
                    Some(Request::SetBatch { job, .. } | Request::Stop(job) | Request::Resume(job)) => {
                        self.jobs.contains_key(job)
                    }
                };
                if !done {
                    report(format_args!("a client was told that its request is done, and it is not"));
                }
            }
            Reply::Jobs(list) => self.compare(list, asked.map(|asked| asked.at), &mut report),
            Reply::Refused(_) | Reply::Read(_) | Reply::Stored(_) => {}
        }
    }

    /// Whether a list of jobs lacks none that had been promised before it was asked for, and adds nothing.
    fn compare(
        &self,
        list: &[JobStatus],
        asked: Option<Time>,
        report: &mut dyn FnMut(std::fmt::Arguments<'_>),
    ) {
        for status in list {
            let job = self.jobs.get(&status.job);
            let known = job.is_some_and(|job| {
                job.forgotten()
                    || (*job.spec == status.spec
                        && status.inputs_done <= job.counted.size()
                        && (!status.ended || job.ended()))
            });
            if !known {
                report(format_args!("a client was told of progress of {} that there was not", status.job));
            }
        }
        for (id, job) in &self.jobs {
            let promised = job.acknowledged.zip(asked).is_some_and(|(told, asked)| told < asked);
            if promised && !job.forgotten() && list.iter().all(|status| status.job != *id) {
                report(format_args!("a client was told of all jobs except {id}, which had been accepted"));
            }
        }
    }
}

/// A query that was counted.
struct Count {
    query: QueryId,
    attempt: AttemptId,
    worker: NodeId,
    range: (u64, u32),
}

/// What an entry brings for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Brought {
    worker: Option<NodeId>,
    inputs: u32,
    failed: usize,
}

impl Brought {
    fn find(entry: &Entry, query: QueryId, attempt: AttemptId, cursor: &mut usize) -> Option<Brought> {
        let Payload::Command(Command::Complete(completions)) = &*entry.payload else { return None };
        let rest = completions.get(*cursor..).unwrap_or_default();
        let place = rest.iter().position(|c| (c.query, c.attempt) == (query, attempt))? + *cursor;
        *cursor = place + 1;
        let completion = &completions[place];
        Some(Brought {
            worker: Some(completion.worker),
            inputs: completion.answer.inputs,
            failed: completion.answer.failed.len(),
        })
    }
}
