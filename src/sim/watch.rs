//! When a run is done, or stuck: which jobs have ended, and when anything last made progress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{JobId, NodeId, Span, Time};
use crate::node::{Change, Entry, Index, Payload, Seats, View};
use crate::scenario::{FaultKind, Plan};

/// How often a run is asked whether it is done.
pub(super) const EVERY: Span = Span::millis(100);
/// For how long nothing may be left to do before a run is done.
pub(super) const SETTLE: Span = Span::secs(1);
/// How many times the longest expected load and query a run may take without counting a query.
const WORK_FACTOR: f64 = 10.0;

/// What the committed log and the clock say about the run.
#[derive(Debug)]
pub(super) struct Watch {
    /// The newest entry that any node has applied.
    applied: Index,
    /// The newest committed view.
    pub(super) view: Arc<View>,
    /// The newest committed seats.
    pub(super) seats: Arc<Seats>,
    /// Inputs counted per job.
    counted: BTreeMap<JobId, u64>,
    added: BTreeSet<JobId>,
    ended: BTreeSet<JobId>,
    stopped: BTreeSet<JobId>,
    /// When a query was last counted, a job submitted or ended, or a fault began or ended.
    pub(super) progress: Time,
    /// Since when nothing is left to do.
    settled: Option<Time>,
    /// How long a run may go without progress while jobs are unfinished.
    pub(super) patience: Span,
}

impl Watch {
    /// The watch over a run that begins with `view` and `seats`.
    pub(super) fn new(plan: &Plan, view: Arc<View>, seats: Arc<Seats>) -> Watch {
        Watch {
            applied: Index(0),
            view,
            seats,
            counted: BTreeMap::new(),
            added: BTreeSet::new(),
            ended: BTreeSet::new(),
            stopped: BTreeSet::new(),
            progress: Time::ZERO,
            settled: None,
            patience: plan.liveness_within + allowance(plan),
        }
    }

    /// A node applied `entry`; only the first to do so tells something new: whether it is.
    pub(super) fn applied(&mut self, now: Time, entry: &Entry, changes: &[Change]) -> bool {
        if entry.position.index <= self.applied {
            return false;
        }
        self.applied = entry.position.index;
        if let Payload::Seats(seats) = &*entry.payload {
            self.seats = Arc::clone(seats);
        }
        for change in changes {
            match change {
                Change::Counted { query, inputs, .. } => {
                    *self.counted.entry(query.job).or_default() += u64::from(*inputs);
                    self.progress = now;
                }
                Change::JobEnded { job, .. } => {
                    self.ended.insert(*job);
                    self.progress = now;
                }
                Change::JobStopped { job } => {
                    self.stopped.insert(*job);
                    self.progress = now;
                }
                Change::JobResumed { job } => {
                    self.stopped.remove(job);
                    self.progress = now;
                }
                Change::ViewChanged { view, .. } => self.view = Arc::clone(view),
                Change::JobAdded { job, .. } => {
                    self.added.insert(*job);
                }
                Change::Recut { .. }
                | Change::Uncounted { .. }
                | Change::JobForgotten { .. }
                | Change::PolicySet { .. }
                | Change::Drained { .. } => {}
            }
        }
        true
    }

    /// Whether a job has ended.
    pub(super) fn has_ended(&self, job: JobId) -> bool {
        self.ended.contains(&job)
    }

    /// The jobs that were accepted, have not ended and are not stopped.
    pub(super) fn open(&self) -> impl Iterator<Item = JobId> {
        self.added.difference(&self.ended).copied().filter(|job| !self.stopped.contains(job))
    }

    /// Whether a client has stopped a job, so that nothing more is expected of it for now.
    pub(super) fn is_stopped(&self, job: JobId) -> bool {
        self.stopped.contains(&job)
    }

    /// How many inputs of a job were counted.
    pub(super) fn counted(&self, job: JobId) -> u64 {
        self.counted.get(&job).copied().unwrap_or(0)
    }

    /// Whether nothing has been left to do for long enough; `idle` says whether nothing is left now.
    pub(super) fn settles(&mut self, now: Time, idle: bool) -> bool {
        if !idle {
            self.settled = None;
            return false;
        }
        now.since(*self.settled.get_or_insert(now)) >= SETTLE
    }

    /// Members of the view that are not among `known`, by name.
    pub(super) fn strangers(&self, known: &BTreeSet<NodeId>) -> Vec<Arc<str>> {
        let unknown = self.view.members().iter().filter(|member| !known.contains(&member.id));
        unknown.map(|member| Arc::clone(&member.name)).collect()
    }
}

/// How long the plan's slowest load and query may take, generously: while they run nothing is counted.
fn allowance(plan: &Plan) -> Span {
    let workers = plan.nodes.iter().filter(|node| node.worker);
    let mut pace = workers.map(|node| node.speed).fold(f64::INFINITY, f64::min);
    for fault in &plan.faults {
        if let FaultKind::Slow(factor) = fault.kind {
            pace /= factor.max(1.0);
        }
    }
    let specs = plan.jobs.iter().map(|job| &job.spec).chain(plan.arrivals.iter().map(|stream| &stream.spec));
    let longest = specs
        .filter_map(|spec| {
            let profile = plan.models.get(&spec.model)?.profile;
            Some(profile.load.mean() + profile.query_mean(spec.batch))
        })
        .max()
        .unwrap_or(Span::ZERO);
    let injected = plan.stall_max().scaled(WORK_FACTOR) + plan.put_off_max();
    let longest = longest.scaled(WORK_FACTOR / pace);
    longest + injected + plan.stuck_max(longest)
}
