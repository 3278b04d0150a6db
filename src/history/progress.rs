//! When a run is done, or stuck: which jobs have ended, and when anything last made progress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{ChunkId, JobId, NodeId, Span, Time, ViewId};
use crate::node::{Change, Entry, Index, Payload, Seats, Version, View};

/// How often a run is asked whether it is done.
pub const EVERY: Span = Span::millis(100);
/// For how long nothing may be left to do before a run is done.
pub const SETTLE: Span = Span::secs(1);

/// What the committed log and the clock say about the run.
#[derive(Debug)]
pub struct Progress {
    /// The newest entry that any node has applied.
    applied: Index,
    /// The newest committed view.
    pub view: Arc<View>,
    /// When each later one was committed.
    views: BTreeMap<ViewId, Time>,
    /// The newest committed seats.
    pub seats: Arc<Seats>,
    /// Inputs counted per job.
    counted: BTreeMap<JobId, u64>,
    added: BTreeSet<JobId>,
    ended: BTreeSet<JobId>,
    stopped: BTreeSet<JobId>,
    /// How many versions of files refer to each chunk.
    chunks: BTreeMap<ChunkId, u32>,
    /// When a query was last counted, a job submitted or ended, or a fault began, ended or was missed.
    pub progress: Time,
    /// Since when nothing is left to do.
    settled: Option<Time>,
    /// How long a run may go without progress while jobs are unfinished.
    pub patience: Span,
}

impl Progress {
    /// That of a run that begins with `view` and `seats`, and may go so long without any.
    pub fn new(view: Arc<View>, seats: Arc<Seats>, patience: Span) -> Progress {
        Progress {
            applied: Index(0),
            view,
            views: BTreeMap::new(),
            seats,
            counted: BTreeMap::new(),
            added: BTreeSet::new(),
            ended: BTreeSet::new(),
            stopped: BTreeSet::new(),
            chunks: BTreeMap::new(),
            progress: Time::ZERO,
            settled: None,
            patience,
        }
    }

    /// A node applied `entry`; only the first to do so tells something new: whether it is.
    pub fn applied(&mut self, now: Time, entry: &Entry, changes: &[Change]) -> bool {
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
                Change::ViewChanged { view, .. } => {
                    self.view = Arc::clone(view);
                    self.views.insert(view.id(), now);
                }
                Change::JobAdded { job, .. } => {
                    self.added.insert(*job);
                }
                Change::Recut { .. }
                | Change::Uncounted { .. }
                | Change::JobForgotten { .. }
                | Change::PolicySet { .. }
                | Change::Drained { .. } => {}
                Change::FilePut { version, gone, .. } => {
                    self.need(version);
                    self.forget(gone);
                }
                Change::FileDeleted { gone, .. } => self.forget(gone),
                Change::Pinned { version, .. } => self.need(version),
                Change::Unpinned { version, .. } => self.forget(std::slice::from_ref(version)),
            }
        }
        true
    }

    fn need(&mut self, version: &Version) {
        for chunk in &version.content.chunks {
            *self.chunks.entry(chunk.id).or_default() += 1;
        }
    }

    fn forget(&mut self, gone: &[Arc<Version>]) {
        for chunk in gone.iter().flat_map(|version| &version.content.chunks) {
            if let Some(versions) = self.chunks.get_mut(&chunk.id) {
                *versions -= 1;
                if *versions == 0 {
                    self.chunks.remove(&chunk.id);
                }
            }
        }
    }

    /// The chunks of all files and of what jobs read, in order.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkId> {
        self.chunks.keys().copied()
    }

    /// Whether a job has ended.
    pub fn has_ended(&self, job: JobId) -> bool {
        self.ended.contains(&job)
    }

    /// The jobs that were accepted, have not ended and are not stopped.
    pub fn open(&self) -> impl Iterator<Item = JobId> {
        self.added.difference(&self.ended).copied().filter(|job| !self.stopped.contains(job))
    }

    /// Whether a client has stopped a job, so that nothing more is expected of it for now.
    pub fn is_stopped(&self, job: JobId) -> bool {
        self.stopped.contains(&job)
    }

    /// How many inputs of a job were counted.
    pub fn counted(&self, job: JobId) -> u64 {
        self.counted.get(&job).copied().unwrap_or(0)
    }

    /// Whether nothing has been left to do for long enough; `idle` says whether nothing is left now.
    pub fn settles(&mut self, now: Time, idle: bool) -> bool {
        if !idle {
            self.settled = None;
            return false;
        }
        now.since(*self.settled.get_or_insert(now)) >= SETTLE
    }

    /// Whether there has been a newer view than this one for at least so long.
    pub fn is_outdated(&self, view: ViewId, now: Time, lasting: Span) -> bool {
        let since = self.views.get(&view.next());
        view != self.view.id() && since.is_none_or(|&at| now.since(at) >= lasting)
    }

    /// Members of the view that are not among `known`, by name.
    pub fn strangers(&self, known: &BTreeSet<NodeId>) -> Vec<Arc<str>> {
        let unknown = self.view.members().iter().filter(|member| !known.contains(&member.id));
        unknown.map(|member| Arc::clone(&member.name)).collect()
    }
}
