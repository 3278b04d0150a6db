//! Workers that are not heard: their observers suspect them, or they follow nothing of what they are told although their observers
//! hear them. They get no queries, and what they hold is given to others as well.

use std::collections::BTreeSet;

use super::super::config::DispatchMode;
use super::super::observation::Dispatch;
use super::desk::{Doubt, WorkerDesk};
use super::{Coordinator, Facts};
use crate::base::{QueryId, Time};

impl Coordinator {
    /// Someone became suspect, or is trusted again: the roster changes, and what suspects hold may be given to others. Whoever follows
    /// nothing for as long as it takes to evict who falls silent is treated like one, although it stays a member: it may be heard, and deaf.
    pub(in super::super) fn reassess(&mut self, facts: &Facts<'_>) {
        let patience = self.config.membership.patience();
        for (&id, desk) in &mut self.desks {
            let suspect = self.trial.is_suspect(id, facts);
            if suspect && desk.doubt.is_none() {
                desk.question(self.survey_until.is_none());
                self.touched.insert(id);
            }
            let deaf = desk.is_deaf(facts.now, patience);
            desk.doubt = suspect.then_some(Doubt::Suspect).or(deaf.then_some(Doubt::Deaf));
            desk.refresh(&self.config.dispatch, self.asking.contains(&id));
        }
        self.shelves.reassess(|id| self.trial.is_suspect(id, facts), facts.now, patience);
        let works = |desk: &&WorkerDesk| desk.doubt.is_none() && !facts.ledger.is_drained(desk.view.id);
        self.roster = self.desks.values().filter(works).map(|desk| desk.view.clone()).collect();
        self.free = self
            .roster
            .iter()
            .filter(|worker| worker.free > 0)
            .map(|worker| (worker.held, worker.id))
            .collect();
        self.replan = true;
        self.relieve_suspects();
    }

    /// Questions those who should have reported and have not: whoever holds queries reports their ends, and whoever has room asks for
    /// work where workers have to. They may be heard by their observers, and yet not by this coordinator.
    pub(super) fn question_silent(&mut self, now: Time) {
        let patience = self.config.membership.patience();
        let asks = self.config.dispatch.mode == DispatchMode::Pull;
        // A suspect was questioned when it became one.
        for (&id, desk) in self.desks.iter_mut().filter(|(_, desk)| desk.doubt.is_none()) {
            if now.since(desk.reported_at) > patience && (asks || desk.view.held > 0) {
                desk.question(true);
                self.touched.insert(id);
            }
        }
    }

    /// Queues once more what suspects hold, within the limit on second attempts.
    pub(super) fn relieve_suspects(&mut self) {
        // When many fall silent at once the network is the likelier cause: only eviction moves their work. Nobody evicts the deaf.
        let silent = self.desks.values().filter(|desk| desk.doubt == Some(Doubt::Suspect)).count();
        let many = silent * 3 > self.desks.len();
        let is_relieved = |desk: &WorkerDesk| match desk.doubt {
            Some(Doubt::Suspect) => !many,
            Some(Doubt::Deaf) => true,
            None => false,
        };
        // Where the second attempt is lost as well, it makes room for a third.
        let held = self.desks.values().filter(|desk| is_relieved(desk)).flat_map(|desk| desk.slots.values());
        let again: BTreeSet<QueryId> =
            held.filter(|slot| slot.extra && !slot.arrived).map(|slot| slot.query).collect();
        for query in again {
            if self.is_forsaken(query)
                && let Some(queue) = self.queues.get_mut(&query.job)
            {
                queue.put_first(query, Dispatch::Suspect);
            }
        }
        let mut room = self.extras_max().saturating_sub(self.extras);
        for desk in self.desks.values_mut().filter(|desk| is_relieved(desk)) {
            for slot in desk.slots.values_mut().filter(|slot| !slot.arrived && !slot.extra) {
                if room == 0 {
                    return;
                }
                room -= 1;
                slot.extra = true;
                self.extras += 1;
                if let Some(queue) = self.queues.get_mut(&slot.query.job) {
                    queue.put_first(slot.query, Dispatch::Suspect);
                }
            }
        }
    }

    /// Second attempts never hold more than a quarter of all slots, but one is always allowed.
    pub(super) fn extras_max(&self) -> usize {
        let slots: u32 = self.roster.iter().map(|worker| worker.held + worker.free).sum();
        (slots as usize / 4).max(1)
    }
}
