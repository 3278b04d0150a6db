//! One worker as its coordinator sees it: what should be on its desk, and what it is known to have followed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::config::{Dispatch as DispatchConfig, DispatchMode, longer};
use super::super::io::Outbox;
use super::super::message::{Body, Desk, Order, WorkMessage};
use super::super::mutant::{Mutant, Planted};
use super::super::question::Last;
use crate::base::{AttemptId, Epoch, Incarnation, JobId, NodeId, QueryId, Span, Time};
use crate::policy::WorkerView;

/// Without a configured window a worker holds at least this many queries, so that it never waits for the network ...
const WINDOW_LEAST: u32 = 2;
/// ... and as many more as make up this much work ...
const WINDOW_WORK: f64 = 0.002;
/// ... but no more than these, because each of them stands in every report and on every desk.
const WINDOW_MOST: u32 = 16;

/// One attempt on a worker's desk.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) query: QueryId,
    /// What the worker was told; `None` for an attempt that was inherited from an earlier reign.
    pub(super) order: Option<Order>,
    /// The version of the desk that brought it.
    since: u64,
    /// Since when nothing stands before it on the desk, so that it runs, as far as one can tell from afar.
    pub(super) head_since: Option<Time>,
    /// Its result is here and waits for its commit; it no longer takes up room.
    pub(super) arrived: bool,
    /// A second attempt beside another one, which counts against the limit on those.
    pub(super) extra: bool,
    /// Expected seconds of work.
    cost: f64,
}

/// Why a member gets no queries, and others get what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Its observers do not hear it.
    Suspect,
    /// It follows nothing of what it is told, although its observers hear it. Nobody evicts it for that.
    Deaf,
}

/// One worker.
#[derive(Debug)]
pub(super) struct WorkerDesk {
    pub(super) incarnation: Incarnation,
    pub(super) view: WorkerView,
    /// Why it gets nothing for now.
    pub(super) doubt: Option<Doubt>,
    /// Which job it serves, and since when.
    served: Option<(JobId, Time)>,
    /// The last query that it answered in this reign, how long that took, and when the answer came.
    last: Option<(QueryId, Span, Time)>,
    /// It has said in this reign what it holds.
    pub(super) surveyed: bool,
    /// In the order of the attempts, which is the order in which they were given.
    pub(super) slots: BTreeMap<AttemptId, Slot>,
    version: u64,
    acknowledged: u64,
    /// When it last followed a desk that it had not followed before, or said for the first time what it holds: proof that it hears
    /// this coordinator and is heard by it.
    pub(super) answered_at: Option<Time>,
    /// Since when the worker has followed nothing of what it was sent.
    unheard_since: Option<Time>,
    /// When its last report came, or the desk was set up.
    pub(super) reported_at: Time,
    /// When it is sent again unless the worker answers, and how long that waits.
    again: Time,
    wait: Span,
    dirty: bool,
    /// Expected seconds of the work it holds.
    work: f64,
}

impl WorkerDesk {
    pub(super) fn new(
        id: NodeId,
        incarnation: Incarnation,
        kind: Arc<str>,
        now: Time,
        config: &DispatchConfig,
    ) -> WorkerDesk {
        let view = WorkerView { id, kind, warm: Vec::new(), serving: None, held: 0, free: 0, refusals: 0 };
        let mut desk = WorkerDesk {
            incarnation,
            view,
            doubt: None,
            served: None,
            last: None,
            surveyed: false,
            slots: BTreeMap::new(),
            version: 0,
            acknowledged: 0,
            answered_at: None,
            unheard_since: None,
            reported_at: now,
            again: Time::ZERO,
            wait: Span::ZERO,
            dirty: false,
            work: 0.0,
        };
        desk.refresh(config, false);
        desk
    }

    /// Puts an attempt on the desk.
    pub(super) fn put(
        &mut self,
        now: Time,
        attempt: AttemptId,
        query: QueryId,
        order: Option<Order>,
        extra: bool,
        cost: f64,
    ) {
        let slot =
            Slot { query, order, since: self.version + 1, head_since: None, arrived: false, extra, cost };
        self.slots.insert(attempt, slot);
        self.dirty = true;
        self.work += cost;
        self.advance_head(now);
    }

    /// Takes an attempt off the desk.
    pub(super) fn take(&mut self, now: Time, attempt: AttemptId) -> Option<Slot> {
        let slot = self.slots.remove(&attempt)?;
        self.dirty = true;
        if !slot.arrived {
            self.relieve(&slot);
        }
        self.advance_head(now);
        Some(slot)
    }

    /// The attempt's result is here: its room is free. False when that was known, or the attempt is not on the desk.
    pub(super) fn arrive(&mut self, now: Time, attempt: AttemptId) -> bool {
        let Some(slot) = self.slots.get_mut(&attempt) else { return false };
        if std::mem::replace(&mut slot.arrived, true) {
            return false;
        }
        let cost = slot.cost;
        self.work = (self.work - cost).max(0.0);
        self.advance_head(now);
        true
    }

    /// It serves this job from now on. Returns which one it served before.
    pub(super) fn serve(&mut self, now: Time, job: Option<JobId>) -> Option<JobId> {
        if self.view.serving != job {
            self.served = job.map(|job| (job, now));
        }
        std::mem::replace(&mut self.view.serving, job)
    }

    /// It has answered a query.
    pub(super) fn note_answer(&mut self, now: Time, query: QueryId, took: Span) {
        self.last = Some((query, took, now));
    }

    /// Which job it serves and for how long, and the last query that it answered.
    pub(super) fn history(&self, now: Time) -> (Option<(JobId, Span)>, Option<Last>) {
        let serving = self.served.map(|(job, since)| (job, now.since(since)));
        let last = self.last.map(|(query, took, at)| Last { query, took, ago: now.since(at) });
        (serving, last)
    }

    /// The query that it runs, as far as one can tell from afar, and for how long.
    pub(super) fn running(&self, now: Time) -> Option<(QueryId, Span)> {
        let head = self.slots.values().find(|slot| !slot.arrived)?;
        Some((head.query, now.since(head.head_since?)))
    }

    fn relieve(&mut self, slot: &Slot) {
        self.work = (self.work - slot.cost).max(0.0);
    }

    /// The worker must hear about its desk even though nothing on it changed.
    pub(super) fn remind(&mut self) {
        self.dirty = true;
    }

    fn advance_head(&mut self, now: Time) {
        if let Some(head) = self.slots.values_mut().find(|slot| !slot.arrived) {
            head.head_since.get_or_insert(now);
        }
    }

    /// Brings the policy's view of this worker up to date; `asks` where workers have to and this one does.
    pub(super) fn refresh(&mut self, config: &DispatchConfig, asks: bool) {
        let held = self.slots.values().filter(|slot| !slot.arrived).count() as u32;
        self.view.held = held;
        self.view.free = match (config.mode, config.window) {
            // Whoever does not ask seems full.
            (DispatchMode::Pull, _) if !asks => 0,
            (DispatchMode::Pull, window) => u32::from(window.unwrap_or(1)).saturating_sub(held),
            (DispatchMode::Push, Some(window)) => u32::from(window).saturating_sub(held),
            (DispatchMode::Push, None) if held < WINDOW_LEAST => WINDOW_LEAST - held,
            (DispatchMode::Push, None) if self.work < WINDOW_WORK && held < WINDOW_MOST => 1,
            (DispatchMode::Push, None) => 0,
        };
    }

    /// The attempts that wait behind another one, the last one first.
    pub(super) fn queued(&self) -> impl Iterator<Item = (AttemptId, &Slot)> {
        self.slots
            .iter()
            .rev()
            .filter(|(_, slot)| !slot.arrived && slot.head_since.is_none())
            .map(|(&attempt, slot)| (attempt, slot))
    }

    /// The worker says that it has followed the desk of this version.
    pub(super) fn acknowledge(&mut self, now: Time, version: u64) {
        let before = self.acknowledged;
        self.acknowledged = before.max(version.min(self.version));
        if self.acknowledged > before {
            self.unheard_since = (self.acknowledged < self.version).then_some(now);
        }
        if self.acknowledged > before || !self.surveyed {
            self.surveyed = true;
            self.answered_at = Some(now);
        }
    }

    /// Whether the worker has followed nothing for longer than `patience`, although it was told again and again: it may well be heard
    /// by its observers, and yet hear nobody.
    pub(super) fn is_deaf(&self, now: Time, patience: Span) -> bool {
        self.unheard_since.is_some_and(|since| now.since(since) > patience)
    }

    /// Sends the desk even though nothing on it may have changed, so that the worker shows whether it answers. A desk that is sent
    /// before the worker has said what it holds would take that away: until dispatch is `open`, the survey is the question.
    pub(super) fn question(&mut self, open: bool) {
        if (self.surveyed || open) && self.acknowledged == self.version {
            self.dirty = true;
        }
    }

    /// Sends the desk if it changed, or if it is unanswered for as long as it had to be; `repeat` is the longest such time.
    pub(super) fn flush(
        &mut self,
        now: Time,
        epoch: Epoch,
        repeat: Span,
        planted: Planted,
        out: &mut Outbox,
    ) {
        if !self.dirty && self.again_at() > now {
            return;
        }
        let before = Some(self.wait).filter(|_| !self.dirty);
        self.wait = longer(before, repeat);
        self.again = now + self.wait;
        if !self.dirty && planted.has(Mutant::NoSecondOrder) {
            return;
        }
        self.version += u64::from(std::mem::take(&mut self.dirty));
        if self.acknowledged < self.version {
            self.unheard_since.get_or_insert(now);
        }
        let told = if planted.has(Mutant::NoSecondOrder) { self.version - 1 } else { self.acknowledged };
        let news = self.slots.values().filter(|slot| slot.since > told);
        let desk = Desk {
            epoch,
            incarnation: self.incarnation,
            version: self.version,
            keep: self.slots.keys().copied().collect(),
            orders: news.filter_map(|slot| slot.order.clone()).collect(),
        };
        out.send(self.view.id, Body::Work(WorkMessage::Desk(Arc::new(desk))));
    }

    /// Whether a worker that has followed this version has followed all that its coordinator wants so far.
    pub(super) fn is_followed(&self, version: u64) -> bool {
        !self.dirty && version == self.version
    }

    /// When the desk is sent again, for want of an answer.
    pub(super) fn again_at(&self) -> Time {
        if self.acknowledged < self.version { self.again } else { Time::NEVER }
    }
}
