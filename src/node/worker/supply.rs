//! What orders read of the file store: where it is, and whether it is at hand.
//!
//! An order waits for its data, and nothing waits for it: others run meanwhile, and its model loads. Data that cannot be had are looked
//! for again a few times, because those who hold them may have changed; then the order fails, with the reason, like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::config::limits::{STAGED_MAX, STAGE_TRIES_MAX};
use super::super::config::longer;
use super::super::file::STORED;
use super::super::io::{ChunkCommand, Outbox, Stage};
use super::super::message::{Body, Found, Order, StoreMessage};
use super::WorkerFacts;
use crate::base::{AttemptId, JobId, NodeId, Epoch, Span, Time};

/// How long the longest wait for the coordinator's answer lasts; the first ones are shorter.
const WAIT_MAX: Span = Span::secs(1);
/// How long an order rests whose data could not be had.
const REST: Span = Span::millis(200);

/// What the orders on the desk read.
#[derive(Debug, Default)]
pub(super) struct Supply {
    /// Those that read files, the oldest first; never more than the desk holds.
    needs: BTreeMap<AttemptId, Need>,
    /// Where the data of their jobs are.
    sources: BTreeMap<JobId, Source>,
}

#[derive(Debug)]
struct Need {
    job: JobId,
    dataset: Arc<str>,
    from: u64,
    inputs: u32,
    state: State,
    /// How often it could not be had.
    failures: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Nobody was asked for it, not before this time.
    Open { not_before: Time },
    Coming,
    Here,
}

#[derive(Debug, Default)]
struct Source {
    found: Option<Arc<Found>>,
    /// When it is asked for again, and how long that wait is.
    again_at: Time,
    wait: Option<Span>,
    /// Whom it was asked of.
    asked: Option<(Epoch, NodeId)>,
}

impl Supply {
    /// An order came.
    pub(super) fn add(&mut self, order: &Order) {
        if !order.dataset.starts_with(STORED) {
            return;
        }
        let need = Need {
            job: order.query.job,
            dataset: Arc::clone(&order.dataset),
            from: order.from,
            inputs: order.inputs,
            state: State::Open { not_before: Time::ZERO },
            failures: 0,
        };
        self.needs.insert(order.attempt, need);
        self.sources.entry(order.query.job).or_default();
    }

    /// Whether everything that an order reads is at hand.
    pub(super) fn has(&self, attempt: AttemptId) -> bool {
        self.needs.get(&attempt).is_none_or(|need| need.state == State::Here)
    }

    /// Lets go of what orders read that are not wanted any more.
    pub(super) fn retain(&mut self, wanted: impl Fn(AttemptId) -> bool, out: &mut Outbox) {
        if self.needs.is_empty() {
            return;
        }
        self.needs.retain(|&attempt, need| {
            let stays = wanted(attempt);
            if !stays && !matches!(need.state, State::Open { .. }) {
                out.chunk(ChunkCommand::Unstage { attempt });
            }
            stays
        });
        let needs = &self.needs;
        self.sources.retain(|&job, _| needs.values().any(|need| need.job == job));
    }

    /// When [`Self::advance`] has something to do.
    pub(super) fn deadline(&self) -> Time {
        let rested = |need: &Need| match need.state {
            State::Open { not_before } if not_before > Time::ZERO && self.is_found(need.job) => not_before,
            _ => Time::NEVER,
        };
        let asked = self.sources.values().filter(|source| source.found.is_none());
        let asked = asked.map(|source| source.again_at).min().unwrap_or(Time::NEVER);
        self.needs.values().map(rested).fold(asked, Time::min)
    }

    fn is_found(&self, job: JobId) -> bool {
        self.sources.get(&job).is_some_and(|source| source.found.is_some())
    }

    /// Asks where data are, and has those brought that are needed next.
    pub(super) fn advance(&mut self, now: Time, facts: WorkerFacts, out: &mut Outbox) {
        if self.needs.is_empty() {
            return;
        }
        let to = facts.coordinator.map(|coordinator| (facts.epoch, coordinator));
        for (&job, source) in self.sources.iter_mut().filter(|(_, source)| source.found.is_none()) {
            if now < source.again_at && source.asked == to {
                continue;
            }
            if source.asked != to {
                (source.asked, source.wait) = (to, None);
            }
            let wait = longer(source.wait, WAIT_MAX);
            (source.wait, source.again_at) = (Some(wait), now + wait);
            if let Some((epoch, coordinator)) = to {
                out.send(coordinator, Body::Store(StoreMessage::Seek { epoch, job }));
            }
        }
        let mut staged = self.needs.values().filter(|need| need.state == State::Coming).count();
        for (&attempt, need) in &mut self.needs {
            let State::Open { not_before } = need.state else { continue };
            let found = self.sources.get(&need.job).and_then(|source| source.found.as_ref());
            let Some(found) = found.filter(|_| not_before <= now && staged < STAGED_MAX) else { continue };
            if found.located.is_none() {
                // A job by names may be called like a file, and reads none.
                need.state = State::Here;
                continue;
            }
            staged += 1;
            need.state = State::Coming;
            let Need { from, inputs, .. } = *need;
            let (dataset, found) = (Arc::clone(&need.dataset), Arc::clone(found));
            out.chunk(ChunkCommand::Stage(Arc::new(Stage { attempt, dataset, from, inputs, found })));
        }
    }

    /// The coordinator says where the data of a job are.
    pub(super) fn found(&mut self, found: &Arc<Found>) {
        if let Some(source) = self.sources.get_mut(&found.job) {
            source.found = Some(Arc::clone(found));
            source.wait = None;
        }
    }

    /// What an order reads is at hand.
    pub(super) fn staged(&mut self, attempt: AttemptId) {
        if let Some(need) = self.needs.get_mut(&attempt).filter(|need| need.state == State::Coming) {
            need.state = State::Here;
        }
    }

    /// What an order reads could not be had: whether it is given up. Those who hold the data may be others by now.
    pub(super) fn unstaged(&mut self, attempt: AttemptId, now: Time) -> bool {
        let Some(need) = self.needs.get_mut(&attempt).filter(|need| need.state == State::Coming) else {
            return false;
        };
        need.failures += 1;
        need.state = State::Open { not_before: now + REST };
        if need.failures >= STAGE_TRIES_MAX {
            return true;
        }
        if let Some(source) = self.sources.get_mut(&need.job)
            && source.found.take().is_some()
        {
            source.again_at = now + REST;
        }
        false
    }
}
