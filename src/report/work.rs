//! What became of every job, query and attempt, gathered while a run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{AttemptId, JobId, NodeId, QueryId, Score, SessionId, Time};
use crate::history::{
    Change, ClientEvent, Command, Entry, GiveUp, JobSpec, Observation, Payload, Request, Uncounted,
};

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    /// What was submitted.
    pub(super) spec: Arc<JobSpec>,
    /// When the client asked for the first time; the commit, where no client is known.
    pub(super) submitted: Time,
    /// When the submission was committed.
    pub(super) added: Time,
    /// When the first of its attempts began to run.
    pub(super) started: Option<Time>,
    /// When it ended.
    pub(super) ended: Option<Time>,
    /// How many of its inputs were counted.
    pub(super) counted: u64,
}

impl Job {
    /// How many queries are left of it, in the batches in which it was submitted.
    fn unfinished(&self) -> u64 {
        let left = self.spec.inputs.count().saturating_sub(self.counted);
        if self.ended.is_some() { 0 } else { left.div_ceil(u64::from(self.spec.batch.max(1))) }
    }

    /// When it ended; never, if it did not.
    pub(super) fn end(&self) -> Time {
        self.ended.unwrap_or(Time::NEVER)
    }
}

/// A query.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// Its attempts in the order in which they were dispatched.
    pub(super) attempts: Vec<AttemptId>,
    /// How it was counted, if it was.
    pub(super) counted: Option<Counted>,
    /// Completions that came after the one that counted.
    pub(super) duplicates: u32,
}

/// The commit that counted a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) at: Time,
    pub(super) attempt: AttemptId,
    pub(super) worker: NodeId,
    pub(super) inputs: u32,
    pub(super) failed: u32,
    pub(super) score: Score,
}

/// A try at a query.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) query: QueryId,
    pub(super) worker: NodeId,
    pub(super) dispatched: Time,
    pub(super) began: Option<Time>,
    pub(super) ended: Option<Time>,
    pub(super) outcome: Outcome,
}

/// What became of an attempt; of several things the greatest stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Nothing, by the end of the run.
    Unfinished,
    /// Its coordinator expected nothing from it any more.
    GaveUp(&'static str),
    /// It brought no predictions.
    Failed,
    /// Its worker refused it.
    Refused,
    /// Its query was void or its job gone.
    Void,
    /// Another attempt had been counted before.
    Duplicate,
    /// It was the one that counted.
    Counted,
}

impl Outcome {
    /// The word for it in attempts.csv.
    pub(super) fn word(self) -> &'static str {
        match self {
            Outcome::Unfinished => "unfinished",
            Outcome::GaveUp(why) => why,
            Outcome::Failed => "failed",
            Outcome::Refused => "refused",
            Outcome::Void => "void",
            Outcome::Duplicate => "duplicate",
            Outcome::Counted => "counted",
        }
    }
}

/// All jobs, queries and attempts of one run.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) queries: BTreeMap<QueryId, Query>,
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    /// Every dispatch, in order of time.
    pub(super) dispatches: Vec<(Time, AttemptId, QueryId)>,
    /// How often a worker began to load a model.
    pub(super) loads: u64,
    /// Every counted query, in order of time: when it was counted for the first time.
    pub(super) commits: Vec<(Time, JobId)>,
    /// Attempts from which a coordinator still expects something.
    open: BTreeSet<AttemptId>,
    /// When each submission was first asked for.
    asked: BTreeMap<(SessionId, u64), Time>,
}

impl Work {
    /// A client asked or was told something.
    pub(super) fn on_client(&mut self, at: Time, event: &ClientEvent) {
        if let ClientEvent::Asked { session, number, request } = event
            && let Request::Submit(_) = **request
        {
            self.asked.entry((*session, *number)).or_insert(at);
        }
    }

    /// A coordinator or a worker did something.
    pub(super) fn on_node(&mut self, at: Time, observation: &Observation) {
        match observation {
            Observation::Dispatched { query, attempt, worker, .. } => {
                self.dispatched(at, *query, *attempt, *worker);
            }
            Observation::Arrived { attempt, answered, .. } => {
                self.open.remove(attempt);
                if !answered {
                    self.settle(*attempt, Outcome::Failed);
                }
            }
            Observation::GaveUp { attempt, reason, .. } => {
                self.open.remove(attempt);
                self.close(*attempt, at);
                self.settle(*attempt, Outcome::GaveUp(give_up_word(*reason)));
            }
            Observation::Began { query, attempt } => {
                if let Some(known) = self.attempts.get_mut(attempt) {
                    known.began.get_or_insert(at);
                }
                if let Some(job) = self.jobs.get_mut(&query.job) {
                    job.started.get_or_insert(at);
                }
            }
            Observation::Ended { attempt, error, .. } => {
                self.close(*attempt, at);
                if error.is_some() {
                    self.settle(*attempt, Outcome::Failed);
                }
            }
            Observation::Refused { attempt, .. } => {
                self.close(*attempt, at);
                self.settle(*attempt, Outcome::Refused);
            }
            Observation::Dropped { attempt, .. } => self.close(*attempt, at),
            Observation::Loading { .. } => self.loads += 1,
            _ => {}
        }
    }

    /// An entry was applied for the first time by anyone. Where a coordinator has forgotten what others had counted, it counts again,
    /// in entries of its own: what counted first stands.
    pub(super) fn on_entry(&mut self, at: Time, entry: &Entry, changes: &[Change]) {
        for change in changes {
            match change {
                Change::JobAdded { job, spec } => {
                    let submitted = self.submission(entry).unwrap_or(at);
                    let spec = Arc::clone(spec);
                    let fresh = Job { spec, submitted, added: at, started: None, ended: None, counted: 0 };
                    self.jobs.entry(*job).or_insert(fresh);
                }
                Change::Counted { query, attempt, worker, inputs, failed, .. } => {
                    let (attempt, worker, inputs, failed) = (*attempt, *worker, *inputs, *failed);
                    let score = score(entry, attempt);
                    self.counted(*query, Counted { at, attempt, worker, inputs, failed, score });
                }
                Change::Uncounted { query, attempt, reason } => {
                    self.open.remove(attempt);
                    if *reason == Uncounted::Duplicate {
                        self.queries.entry(*query).or_default().duplicates += 1;
                        self.settle(*attempt, Outcome::Duplicate);
                    } else {
                        self.settle(*attempt, Outcome::Void);
                    }
                }
                Change::JobEnded { job, .. } => {
                    if let Some(known) = self.jobs.get_mut(job) {
                        known.ended.get_or_insert(at);
                    }
                    let attempts = &self.attempts;
                    self.open.retain(|attempt| attempts[attempt].query.job != *job);
                }
                Change::Recut { .. }
                | Change::JobForgotten { .. }
                | Change::JobStopped { .. }
                | Change::JobResumed { .. }
                | Change::PolicySet { .. }
                | Change::Drained { .. }
                | Change::FilePut { .. }
                | Change::FileDeleted { .. }
                | Change::Pinned { .. }
                | Change::Unpinned { .. }
                | Change::ViewChanged { .. } => {}
            }
        }
    }

    /// The queries that `holds` a worker from which their results are still expected.
    pub(super) fn held_by(&self, holds: impl Fn(NodeId) -> bool) -> BTreeSet<QueryId> {
        let open = self.open.iter().map(|attempt| &self.attempts[attempt]);
        open.filter(|attempt| holds(attempt.worker)).map(|attempt| attempt.query).collect()
    }

    /// How many queries of all jobs are not counted yet.
    pub(super) fn unfinished(&self) -> u64 {
        self.jobs.values().map(Job::unfinished).sum()
    }

    /// The time from start to end of the attempt that counted, for each counted query of the job, in order of the queries.
    pub(super) fn processing(&self, job: JobId) -> impl Iterator<Item = f64> {
        self.of(job).filter_map(|(_, query)| {
            let attempt = self.attempts.get(&query.counted?.attempt)?;
            Some(attempt.ended?.since(attempt.began?).as_secs())
        })
    }

    /// The time from first dispatch to commit, for each counted query of the job, in order of the queries.
    pub(super) fn latencies(&self, job: JobId) -> impl Iterator<Item = f64> {
        self.of(job).filter_map(|(_, query)| {
            let first = self.attempts.get(query.attempts.first()?)?;
            Some(query.counted?.at.since(first.dispatched).as_secs())
        })
    }

    /// The queries of a job in order.
    pub(super) fn of(&self, job: JobId) -> impl Iterator<Item = (&QueryId, &Query)> {
        let first = QueryId { job, cut: 0, number: 0 };
        let last = QueryId { job, cut: u32::MAX, number: u32::MAX };
        self.queries.range(first..=last)
    }

    /// What each job is called in the results: its name, with its number added where several jobs have that name.
    pub(super) fn names(&self) -> BTreeMap<JobId, Arc<str>> {
        let mut uses: BTreeMap<&str, u32> = BTreeMap::new();
        for job in self.jobs.values() {
            *uses.entry(&job.spec.name).or_default() += 1;
        }
        let name = |id: &JobId, job: &Job| {
            let name = &job.spec.name;
            if name.is_empty() {
                format!("job {}", id.0).into()
            } else if uses[&**name] > 1 {
                format!("{name} #{}", id.0).into()
            } else {
                Arc::clone(name)
            }
        };
        self.jobs.iter().map(|(id, job)| (*id, name(id, job))).collect()
    }

    fn dispatched(&mut self, at: Time, query: QueryId, attempt: AttemptId, worker: NodeId) {
        self.dispatches.push((at, attempt, query));
        self.queries.entry(query).or_default().attempts.push(attempt);
        let outcome = Outcome::Unfinished;
        let fresh = Attempt { query, worker, dispatched: at, began: None, ended: None, outcome };
        self.attempts.entry(attempt).or_insert(fresh);
        self.open.insert(attempt);
    }

    fn counted(&mut self, query: QueryId, counted: Counted) {
        let known = self.queries.entry(query).or_default();
        if known.counted.is_none() {
            known.counted = Some(counted);
            self.commits.push((counted.at, query.job));
            if let Some(job) = self.jobs.get_mut(&query.job) {
                job.counted += u64::from(counted.inputs);
            }
        }
        for attempt in &known.attempts {
            self.open.remove(attempt);
        }
        self.settle(counted.attempt, Outcome::Counted);
    }

    /// When a client first asked for what `entry` carries out.
    fn submission(&self, entry: &Entry) -> Option<Time> {
        match &*entry.payload {
            Payload::Command(Command::Request { session, number, .. }) => {
                self.asked.get(&(*session, *number)).copied()
            }
            _ => None,
        }
    }

    fn settle(&mut self, attempt: AttemptId, outcome: Outcome) {
        if let Some(known) = self.attempts.get_mut(&attempt) {
            known.outcome = known.outcome.max(outcome);
        }
    }

    fn close(&mut self, attempt: AttemptId, at: Time) {
        if let Some(known) = self.attempts.get_mut(&attempt) {
            known.ended.get_or_insert(at);
        }
    }
}

fn give_up_word(reason: GiveUp) -> &'static str {
    match reason {
        GiveUp::Gone => "gone",
        GiveUp::Lost => "lost",
        GiveUp::Settled => "settled",
        GiveUp::Withdrawn => "withdrawn",
    }
}

/// How often the predictions are right that an entry brings from an attempt.
fn score(entry: &Entry, attempt: AttemptId) -> Score {
    let Payload::Command(Command::Complete(completions)) = &*entry.payload else { return Score::default() };
    let found = completions.iter().find(|completion| completion.attempt == attempt);
    found.map_or_else(Score::default, |completion| {
        let answer = &completion.answer;
        Score::of(&answer.predictions, (answer.inputs as usize).saturating_sub(answer.failed.len()))
    })
}
