//! What workers report, and what follows from it.

use std::sync::Arc;

use super::super::config::DispatchMode;
use super::super::entry::{Answer, Completion, Failure, Outcome};
use super::super::message::{Held, Progress, Report};
use super::super::mutant::Mutant;
use super::super::observation::{Dispatch, Observation};
use super::{Coordinator, Facts, Outbox};
use crate::base::{AttemptId, NodeId, QueryId, Span};

impl Coordinator {
    /// A worker says what it holds.
    pub(in super::super) fn report(
        &mut self,
        from: NodeId,
        report: &Report,
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) {
        let Some(desk) = self.desks.get_mut(&from) else { return };
        if desk.incarnation != report.incarnation || report.epoch > self.epoch {
            return;
        }
        desk.reported_at = facts.now;
        let patience = self.config.membership.patience();
        let was_deaf = desk.is_deaf(facts.now, patience);
        if report.epoch == self.epoch {
            desk.acknowledge(facts.now, report.version);
        }
        let hears_again = was_deaf && !desk.is_deaf(facts.now, patience);
        if desk.view.warm != report.warm {
            desk.view.warm.clone_from(&report.warm);
        }
        // An older report may name what has ended or was withdrawn since, and what will not come back on this desk.
        let current = report.epoch == self.epoch && desk.is_followed(report.version);
        if hears_again {
            self.reassess(facts);
        }
        for held in &report.held {
            self.take_in(from, held, current, facts, out);
        }
        // One that does not know what is on its way to it may have less room than it says.
        if current && self.config.dispatch.mode == DispatchMode::Pull {
            self.asking.insert(from);
        }
        self.refresh(from);
        if self.survey_until.is_some()
            && self.desks.values().all(|desk| desk.surveyed || desk.doubt.is_some())
        {
            self.open(facts, out);
        }
    }

    fn take_in(&mut self, from: NodeId, held: &Held, current: bool, facts: &Facts<'_>, out: &mut Outbox) {
        let known = self.desks.get(&from).is_some_and(|desk| desk.slots.contains_key(&held.attempt));
        if !known && !self.inherit(from, held, current, facts, out) {
            if self.config.has(Mutant::LateResultClearsDesk) {
                self.clear_first(from, facts, out);
            }
            // It is not wanted any more, and its holder has to be told so.
            if let Some(desk) = self.desks.get_mut(&from) {
                desk.remind();
            }
            return;
        }
        if let Progress::Ended { outcome, took } = &held.progress {
            let desk = self.desks.get_mut(&from).expect("the attempt was found on it");
            if desk.arrive(facts.now, held.attempt) {
                self.count_held(held.query.job, -1);
                let answered = matches!(outcome, Outcome::Answered(_));
                out.observe(Observation::Arrived { query: held.query, attempt: held.attempt, answered });
                match outcome {
                    Outcome::Answered(answer) => self.answered(from, held, answer.clone(), *took, facts),
                    Outcome::Failed(reason) => {
                        self.failed(from, held.attempt, held.query, reason, facts, out);
                    }
                    Outcome::Refused => self.refused(from, held.attempt, held.query, facts, out),
                }
            }
        }
    }

    /// Takes the first query from a desk, as if its result were here.
    fn clear_first(&mut self, from: NodeId, facts: &Facts<'_>, out: &mut Outbox) {
        let first = self.desks.get(&from).and_then(|desk| desk.slots.keys().next().copied());
        if let Some(attempt) = first {
            self.remove_slot(from, attempt, facts.now, super::GiveUp::Settled, out);
        }
    }

    /// Takes over an attempt that this reign did not make, or has given up: an answer always, work that goes on only where
    /// no one else does it, and only if the report is `current`. False when it is of no use.
    fn inherit(
        &mut self,
        from: NodeId,
        held: &Held,
        current: bool,
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) -> bool {
        let Some(job) = facts.ledger.job(held.query.job) else { return false };
        let Some(queue) = self.queues.get_mut(&held.query.job) else { return false };
        if !job.is_open(held.query) {
            return false;
        }
        let effort = queue.efforts.entry(held.query).or_default();
        let useful = match &held.progress {
            Progress::Ended { outcome: Outcome::Answered(_), .. } => !effort.completing,
            Progress::Ended { outcome: Outcome::Failed(_) | Outcome::Refused, .. } => false,
            Progress::Waiting | Progress::Running => {
                current && effort.attempts.is_empty() && !effort.completing
            }
        };
        if !useful {
            return false;
        }
        effort.attempts.push((held.attempt, from));
        let cost = queue.pace.seconds();
        let desk = self.desks.get_mut(&from).expect("the report was matched with its desk");
        desk.put(facts.now, held.attempt, held.query, None, false, cost);
        desk.serve(facts.now, Some(held.query.job));
        self.count_held(held.query.job, 1);
        out.observe(Observation::Inherited { query: held.query, attempt: held.attempt, worker: from });
        true
    }

    /// An attempt brought predictions: they are proposed at the end of the step.
    fn answered(&mut self, from: NodeId, held: &Held, answer: Answer, took: Span, facts: &Facts<'_>) {
        let kind = self.desks.get_mut(&from).map(|desk| {
            desk.note_answer(facts.now, held.query, took);
            Arc::clone(&desk.view.kind)
        });
        let Some(queue) = self.queues.get_mut(&held.query.job) else { return };
        if let Some(kind) = kind {
            queue.pace.answered(facts.cluster_now, &kind, took);
        }
        self.tallies.answered(held.query.job, took);
        let effort = queue.efforts.entry(held.query).or_default();
        let range = facts.ledger.job(held.query.job).and_then(|job| job.range(held.query));
        let fits = range.is_some_and(|(_, inputs)| answer.flaw(inputs).is_none());
        let twice = self.config.has(Mutant::CountsTwice) || self.config.has(Mutant::DuplicateEndsJob);
        if effort.completing && !twice || !fits {
            return;
        }
        effort.completing = true;
        self.completions.push(Completion { query: held.query, attempt: held.attempt, worker: from, answer });
    }

    /// An attempt brought nothing: its query is tried again, or ends as failed when that was tried often enough.
    fn failed(
        &mut self,
        from: NodeId,
        attempt: AttemptId,
        query: QueryId,
        reason: &Arc<str>,
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) {
        let mut extra = false;
        if let Some(desk) = self.desks.get_mut(&from) {
            desk.view.refusals += 1;
            extra = desk.slots.get(&attempt).is_some_and(|slot| slot.extra);
        }
        let others = self.roster.len() > 1;
        let Some(queue) = self.queues.get_mut(&query.job) else { return };
        let effort = queue.efforts.entry(query).or_default();
        effort.failures += 1;
        if extra {
            effort.leave_alone(facts.now, self.config.dispatch.backoff);
        }
        effort.avoid = others.then_some(from);
        effort.attempts.retain(|&(other, _)| other != attempt);
        let exhausted = effort.failures > self.config.dispatch.retries_max;
        if self.is_forsaken(query) {
            if exhausted {
                self.give_up(from, attempt, query, reason, facts);
            } else if let Some(queue) = self.queues.get_mut(&query.job) {
                queue.put_first(query, Dispatch::Retry);
            }
        }
        self.remove_slot(from, attempt, facts.now, super::GiveUp::Settled, out);
    }

    /// A worker refused an attempt: after the back-off its query goes wherever the policy says then, or ends as failed when it
    /// was refused often enough. A refusal is no failure: it says nothing about the query, and is not held against the
    /// worker.
    fn refused(
        &mut self,
        from: NodeId,
        attempt: AttemptId,
        query: QueryId,
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) {
        let Some(desk) = self.desks.get_mut(&from) else { return };
        desk.view.refusals += 1;
        // A second attempt beside another one costs the query nothing.
        let extra = desk.slots.get(&attempt).is_some_and(|slot| slot.extra);
        let Some(queue) = self.queues.get_mut(&query.job) else { return };
        let effort = queue.efforts.entry(query).or_default();
        effort.refusals += u32::from(!extra);
        if extra {
            effort.leave_alone(facts.now, self.config.dispatch.backoff);
        }
        effort.attempts.retain(|&(other, _)| other != attempt);
        let exhausted = effort.refusals > self.config.dispatch.retries_max;
        if self.is_forsaken(query) {
            if exhausted {
                self.give_up(from, attempt, query, "refused", facts);
            } else if let Some(queue) = self.queues.get_mut(&query.job) {
                queue.rest(query, facts.now + self.config.dispatch.backoff);
            }
        }
        self.remove_slot(from, attempt, facts.now, super::GiveUp::Settled, out);
    }

    /// Whether no answer is here, and nobody has an attempt at the query but suspects, beside each of whose attempts there may be
    /// another: those may well hear nothing for ever and be members all the same.
    pub(super) fn is_forsaken(&self, query: QueryId) -> bool {
        let Some(queue) = self.queues.get(&query.job) else { return false };
        let Some(effort) = queue.efforts.get(&query) else { return true };
        let is_given_on = |(attempt, worker): &(AttemptId, NodeId)| {
            self.desks.get(worker).is_some_and(|desk| {
                desk.doubt.is_some()
                    && desk.slots.get(attempt).is_some_and(|slot| slot.extra && !slot.arrived)
            })
        };
        !effort.completing && effort.attempts.iter().all(is_given_on)
    }

    /// The last attempt at a query has ended without an answer, and so all its inputs end as failed.
    fn give_up(&mut self, from: NodeId, attempt: AttemptId, query: QueryId, reason: &str, facts: &Facts<'_>) {
        let Some(queue) = self.queues.get_mut(&query.job) else { return };
        let range = facts.ledger.job(query.job).and_then(|job| job.range(query));
        let range = range.filter(|_| !self.config.has(Mutant::DropsFailures));
        if let Some((_, inputs)) = range {
            queue.efforts.entry(query).or_default().completing = true;
            let first = Failure::new(0, &reason.into());
            let failed = (0..inputs).map(|input| Failure { input, ..first.clone() }).collect();
            let answer = Answer { inputs, predictions: Arc::from([]), failed };
            self.completions.push(Completion { query, attempt, worker: from, answer });
        }
    }
}
