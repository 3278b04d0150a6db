//! Who works: a desk for each worker of the view, and the survey with which a reign begins and in which they say what they hold.

use std::sync::Arc;

use super::super::config::longer;
use super::super::io::Outbox;
use super::super::message::{Body, WorkMessage};
use super::super::mutant::Mutant;
use super::super::observation::{Dispatch, GiveUp, Observation};
use super::super::view::View;
use super::desk::WorkerDesk;
use super::{Coordinator, Facts};
use crate::base::{AttemptId, Incarnation, NodeId, QueryId, Time};

impl Coordinator {
    /// Brings desks and roster in line with the committed view and with who is suspect.
    pub(super) fn meet(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        let view: &View = facts.ledger.view();
        let belongs = |id: NodeId, incarnation: Incarnation| {
            view.member(id).is_some_and(|member| member.worker && member.incarnation == incarnation)
        };
        let kept = self.config.has(Mutant::GoneGetWork);
        let gone: Vec<NodeId> = (self.desks.iter())
            .filter(|&(&id, desk)| !belongs(id, desk.incarnation) && !kept)
            .map(|(&id, _)| id)
            .collect();
        for id in gone {
            self.dismiss(id, out);
        }
        for member in view.members().iter().filter(|member| member.worker) {
            self.desks.entry(member.id).or_insert_with(|| {
                // Whoever joins during a reign is told of it, and says what it holds.
                if self.survey_until.is_none() {
                    out.send(member.id, Body::Work(WorkMessage::Survey { epoch: self.epoch }));
                }
                WorkerDesk::new(
                    member.id,
                    member.incarnation,
                    Arc::clone(&member.kind),
                    facts.now,
                    &self.config.dispatch,
                )
            });
        }
        self.shelves.meet(facts);
        self.reassess(facts);
    }

    /// What drained workers have not begun goes to others, as if it had never been given out.
    pub(super) fn clear_drained(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        let drained: Vec<NodeId> = facts.ledger.drained().collect();
        for worker in drained {
            let Some(desk) = self.desks.get(&worker) else { continue };
            let queued: Vec<(AttemptId, QueryId)> =
                desk.queued().map(|(attempt, slot)| (attempt, slot.query)).collect();
            for (attempt, query) in queued {
                self.withdraw(worker, attempt, query, facts.now, out);
            }
        }
    }

    /// A worker is gone, or lives a new life: its work goes to others at once.
    pub(super) fn dismiss(&mut self, id: NodeId, out: &mut Outbox) {
        let Some(desk) = self.desks.remove(&id) else { return };
        for (&attempt, slot) in desk.slots.iter().rev() {
            self.extras -= usize::from(slot.extra);
            if slot.arrived {
                continue;
            }
            self.count_held(slot.query.job, -1);
            out.observe(Observation::GaveUp { query: slot.query, attempt, reason: GiveUp::Gone });
            let Some(queue) = self.queues.get_mut(&slot.query.job) else { continue };
            let effort = queue.efforts.entry(slot.query).or_default();
            effort.attempts.retain(|&(other, _)| other != attempt);
            if effort.attempts.is_empty() && !self.config.has(Mutant::WorkDiesWithWorker) {
                queue.put_first(slot.query, Dispatch::Gone);
            }
        }
    }

    /// The survey is over: whatever no one holds waits for a worker.
    pub(super) fn open(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        self.survey_until = None;
        for (&id, queue) in &mut self.queues {
            let job = facts.ledger.job(id).expect("queues belong to jobs");
            queue.fill(job);
            if self.config.has(Mutant::ResumesByCount) {
                queue.begin_at(job.counted());
            }
        }
        self.clear_drained(facts, out);
        self.replan = true;
        out.observe(Observation::Opened { epoch: self.epoch });
    }

    /// Asks those who have not answered yet; a few of them may be dead.
    pub(super) fn survey_again(&mut self, now: Time, out: &mut Outbox) {
        let silent: Vec<NodeId> =
            self.desks.iter().filter(|(_, desk)| !desk.surveyed).map(|(&id, _)| id).collect();
        for &id in &silent {
            out.send(id, Body::Work(WorkMessage::Survey { epoch: self.epoch }));
        }
        self.survey_wait = longer(Some(self.survey_wait), self.config.dispatch.repeat);
        self.survey_repeat = now + self.survey_wait;
    }
}
