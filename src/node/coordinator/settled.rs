//! What the log has settled: jobs begin and end, queries are finished, and their attempts leave the desks.

use super::super::io::Outbox;
use super::super::observation::{Change, Dispatch, GiveUp, Observation};
use super::pace::Pace;
use super::queue::JobQueue;
use super::{Coordinator, Facts, in_force};
use crate::base::{AttemptId, JobId, NodeId, QueryId, Time};

impl Coordinator {
    /// The log has applied an entry: the ledger in `facts` is past it.
    pub(in super::super) fn applied(&mut self, changes: &[Change], facts: &Facts<'_>, out: &mut Outbox) {
        for change in changes {
            match change {
                Change::JobAdded { job, .. } | Change::JobResumed { job } => self.begin_job(*job, facts),
                Change::Recut { job, .. } => self.recut(*job, facts, out),
                Change::Counted { query, .. } => {
                    if let Some(queue) = self.queues.get_mut(&query.job) {
                        queue.pace.count(facts.ledger.now());
                    }
                    self.tallies.count(query.job, facts.ledger.now());
                    self.finish(*query, facts.now, out);
                }
                Change::Uncounted { query, attempt, .. } => self.discard(*query, *attempt, facts, out),
                // What workers hold of a stopped job is taken back, as of one that has ended.
                Change::JobEnded { job, .. } => {
                    self.end_job(*job, facts.now, out);
                    self.tallies.end(*job);
                }
                Change::JobStopped { job } => self.end_job(*job, facts.now, out),
                Change::JobForgotten { .. } | Change::Pinned { .. } => {}
                Change::PolicySet { .. } => {
                    self.policy = in_force(&self.config, facts);
                    // Whether it places queries is seen when it is asked.
                    self.places = false;
                    self.replan = true;
                }
                Change::FilePut { .. } | Change::FileDeleted { .. } | Change::Unpinned { .. } => {
                    self.refiled(change);
                }
                Change::Drained { .. } => {
                    self.reassess(facts);
                    self.clear_drained(facts, out);
                }
                Change::ViewChanged { .. } => {
                    self.council.view_changed();
                    self.trial.view_changed(facts.ledger.view());
                    self.meet(facts, out);
                }
            }
        }
    }

    /// A job wants workers from now on.
    pub(super) fn begin_job(&mut self, job: JobId, facts: &Facts<'_>) {
        let state = facts.ledger.job(job).expect("the ledger has just added or resumed it");
        let pace = Pace::new(facts.ledger.now(), self.config.scheduler.rate_window);
        let mut queue = JobQueue::new(pace);
        queue.fill(state);
        self.queues.insert(job, queue);
        self.replan = true;
    }

    /// After a change of batch size: void attempts leave the desks, and the new queries wait.
    pub(super) fn recut(&mut self, job: JobId, facts: &Facts<'_>, out: &mut Outbox) {
        let Some(queue) = self.queues.get(&job) else { return };
        let state = facts.ledger.job(job).expect("the ledger has just cut it");
        let void: Vec<QueryId> =
            queue.efforts.keys().copied().filter(|&query| !state.is_open(query)).collect();
        for query in void {
            self.finish(query, facts.now, out);
        }
        if let Some(queue) = self.queues.get_mut(&job) {
            queue.fill(state);
        }
        self.replan = true;
    }

    /// A job has nothing left to do.
    pub(super) fn end_job(&mut self, job: JobId, now: Time, out: &mut Outbox) {
        let Some(queue) = self.queues.get(&job) else { return };
        let left: Vec<QueryId> = queue.efforts.keys().copied().collect();
        for query in left {
            self.finish(query, now, out);
        }
        self.queues.remove(&job);
        for desk in self.desks.values_mut().filter(|desk| desk.view.serving == Some(job)) {
            desk.serve(now, None);
        }
        for worker in self.roster.iter_mut().filter(|worker| worker.serving == Some(job)) {
            worker.serving = None;
        }
        self.replan = true;
    }

    /// Nothing more is expected of a query: its attempts leave all desks.
    pub(super) fn finish(&mut self, query: QueryId, now: Time, out: &mut Outbox) {
        let Some(queue) = self.queues.get_mut(&query.job) else { return };
        let Some(effort) = queue.efforts.remove(&query) else { return };
        for (attempt, worker) in effort.attempts {
            self.remove_slot(worker, attempt, now, GiveUp::Settled, out);
        }
    }

    /// A completion was not counted: its attempt is settled all the same.
    pub(super) fn discard(
        &mut self,
        query: QueryId,
        attempt: AttemptId,
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) {
        let holder = self.desks.iter().find(|(_, desk)| desk.slots.contains_key(&attempt)).map(|(&id, _)| id);
        if let Some(worker) = holder {
            self.remove_slot(worker, attempt, facts.now, GiveUp::Settled, out);
        }
        let open = facts.ledger.job(query.job).is_some_and(|job| job.is_open(query));
        let Some(queue) = self.queues.get_mut(&query.job) else { return };
        if let Some(effort) = queue.efforts.get_mut(&query) {
            effort.attempts.retain(|&(other, _)| other != attempt);
            // The answer is gone, and the query has to be tried again if it still counts.
            effort.completing = false;
            if open && effort.attempts.is_empty() {
                queue.put_first(query, Dispatch::Retry);
            }
        }
    }

    /// Takes an attempt off a desk. One that never brought a result is given up.
    pub(super) fn remove_slot(
        &mut self,
        worker: NodeId,
        attempt: AttemptId,
        now: Time,
        reason: GiveUp,
        out: &mut Outbox,
    ) {
        let Some(slot) = self.desks.get_mut(&worker).and_then(|desk| desk.take(now, attempt)) else { return };
        self.extras -= usize::from(slot.extra);
        if !slot.arrived {
            self.count_held(slot.query.job, -1);
            out.observe(Observation::GaveUp { query: slot.query, attempt, reason });
        }
        self.refresh(worker);
    }

    pub(super) fn count_held(&mut self, job: JobId, change: i32) {
        if let Some(queue) = self.queues.get_mut(&job) {
            queue.held = queue.held.checked_add_signed(change).expect("what leaves a desk was put there");
        }
    }

    /// A desk changed: what policies see of it, and whether it has room, follows.
    pub(super) fn refresh(&mut self, worker: NodeId) {
        let Some(desk) = self.desks.get_mut(&worker) else { return };
        let before = desk.view.held;
        desk.refresh(&self.config.dispatch, self.asking.contains(&worker));
        self.touched.insert(worker);
        if let Ok(place) = self.roster.binary_search_by_key(&worker, |view| view.id) {
            self.free.remove(&(before, worker));
            if desk.view.free > 0 {
                self.free.insert((desk.view.held, worker));
            }
            let view = &mut self.roster[place];
            (view.held, view.free, view.serving) = (desk.view.held, desk.view.free, desk.view.serving);
            view.refusals = desk.view.refusals;
            if view.warm != desk.view.warm {
                view.warm.clone_from(&desk.view.warm);
            }
        }
    }
}
