//! What orders read of the file store: where it is, and whether it is at hand.
//!
//! An order waits for its data, and nothing waits for it: others run meanwhile, and its model loads. Data that cannot be had are looked
//! for again a few times, because those who hold them may have changed; then the order fails, with the reason, like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::config::limits::{STAGE_TRIES_MAX, STAGED_MAX};
use super::super::config::longer;
use super::super::file::STORED;
use super::super::io::{ChunkCommand, Outbox, Stage};
use super::super::message::{Body, Found, Order, StoreMessage};
use super::WorkerFacts;
use crate::base::{AttemptId, Epoch, JobId, NodeId, Span, Time};

/// How long the longest wait for the coordinator's answer lasts; the first ones are shorter.
const WAIT_MAX: Span = Span::secs(1);
/// How long an order rests whose data could not be had.
const REST: Span = Span::millis(100);

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
    Open {
        not_before: Time,
    },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Incarnation, QueryId};
    use crate::node::file::{Content, FileKind, Located, Version};
    use crate::node::io::Effect;

    const FACTS: WorkerFacts = WorkerFacts {
        epoch: Epoch(3),
        coordinator: Some(NodeId::new(9)),
        incarnation: Incarnation(1),
        member: true,
    };

    fn attempt(serial: u64) -> AttemptId {
        AttemptId { epoch: Epoch(3), serial }
    }

    fn order(serial: u64, dataset: &str) -> Order {
        let query = QueryId { job: JobId(1), cut: 0, number: serial as u32 };
        let (model, dataset) = ("m".into(), dataset.into());
        Order {
            attempt: attempt(serial),
            query,
            model,
            dataset,
            from: serial,
            inputs: 1,
            limit: Span::secs(1),
        }
    }

    fn found(reads: bool) -> Arc<Found> {
        let content = Arc::new(Content { kind: FileKind::Plain, chunks: Vec::new() });
        let version = Version { number: 1, at: Time::ZERO, content };
        let located = reads.then(|| Located { version, holders: Vec::new() });
        Arc::new(Found { job: JobId(1), inputs_end: 100, located })
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + Span::millis(millis)
    }

    /// What a step wants: how often it asks where data are, whose it wants brought, and whose not any more.
    fn wants(step: impl FnOnce(&mut Outbox)) -> (usize, Vec<u64>, Vec<u64>) {
        let mut out = Outbox::new();
        step(&mut out);
        let mut all = (0, Vec::new(), Vec::new());
        for effect in out.drain() {
            match effect {
                Effect::Send { message, .. } => {
                    assert!(matches!(message.body, Body::Store(StoreMessage::Seek { job: JobId(1), .. })));
                    all.0 += 1;
                }
                Effect::Chunk(ChunkCommand::Stage(stage)) => all.1.push(stage.attempt.serial),
                Effect::Chunk(ChunkCommand::Unstage { attempt }) => all.2.push(attempt.serial),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    #[test]
    fn it_asks_until_it_knows_and_brings_what_is_needed_next() {
        let mut supply = Supply::default();
        (1..=6).for_each(|serial| supply.add(&order(serial, "store:a@1")));
        supply.add(&order(7, "letters"));
        assert!(supply.has(attempt(7)) && !supply.has(attempt(1)));
        assert_eq!(wants(|out| supply.advance(at(0), FACTS, out)).0, 1);
        assert_eq!(wants(|out| supply.advance(at(0), FACTS, out)).0, 0, "it waits for the answer");
        let again = supply.deadline();
        assert!(again > at(0) && again <= at(1000));
        assert_eq!(wants(|out| supply.advance(again, FACTS, out)).0, 1);
        // Another who leads is asked at once.
        let other = WorkerFacts { epoch: Epoch(4), coordinator: Some(NodeId::new(8)), ..FACTS };
        assert_eq!(wants(|out| supply.advance(again, other, out)).0, 1);
        supply.found(&found(true));
        assert_eq!(wants(|out| supply.advance(again, FACTS, out)), (0, vec![1, 2, 3, 4], vec![]));
        assert_eq!(supply.deadline(), Time::NEVER);
        supply.staged(attempt(2));
        assert!(supply.has(attempt(2)) && !supply.has(attempt(1)));
        assert_eq!(wants(|out| supply.advance(again, FACTS, out)).1, [5]);
        // What leaves the desk is let go of, if it was asked for.
        assert_eq!(wants(|out| supply.retain(|attempt| attempt.serial == 3, out)).2, [1, 2, 4, 5]);
        assert_eq!(wants(|out| supply.retain(|_| false, out)).2, [3]);
        assert!(supply.sources.is_empty());
    }

    #[test]
    fn data_that_cannot_be_had_are_looked_for_anew_and_given_up() {
        let mut supply = Supply::default();
        supply.add(&order(1, "store:a@1"));
        let mut now = at(0);
        for failure in 1..=STAGE_TRIES_MAX {
            assert_eq!(wants(|out| supply.advance(now, FACTS, out)).0, 1, "failure {failure}");
            supply.found(&found(true));
            assert_eq!(wants(|out| supply.advance(now, FACTS, out)).1, [1], "failure {failure}");
            let given_up = supply.unstaged(attempt(1), now);
            assert_eq!(given_up, failure == STAGE_TRIES_MAX);
            assert!(!supply.unstaged(attempt(1), now), "it was said before");
            now += REST;
            assert!(given_up || supply.deadline() == now, "failure {failure}");
        }
    }

    #[test]
    fn a_job_by_names_may_be_called_like_a_file() {
        let mut supply = Supply::default();
        supply.add(&order(1, "store:a"));
        supply.found(&found(false));
        assert_eq!(wants(|out| supply.advance(at(0), FACTS, out)), (0, vec![], vec![]));
        assert!(supply.has(attempt(1)));
    }
}
