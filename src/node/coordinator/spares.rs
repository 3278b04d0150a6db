//! Hedging: an idle worker also tries a query that takes unusually long elsewhere.

use std::collections::BTreeMap;

use super::super::observation::Dispatch;
use super::{Coordinator, Facts, Outbox};
use crate::base::{NodeId, QueryId, Span, Time};

/// Attempts that a query can have at the same time: the second one may be stuck as well.
const ATTEMPTS_MAX: usize = 3;

impl Coordinator {
    /// Gives each idle worker a further attempt at the query that has run longest beyond its job's patience.
    pub(super) fn hedge(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        let mut late = self.late(facts.now);
        // The longest beyond its limit last, so that it is popped first.
        late.sort_unstable();
        while self.extras < self.extras_max()
            && let Some((_, query)) = late.pop()
        {
            if let Some(idle) = self.idle_for(query) {
                self.give(idle, query, Dispatch::Hedge, true, facts, out);
            }
        }
    }

    /// An idle worker that does not try this query yet: rather one that was not the last to fail at it.
    fn idle_for(&self, query: QueryId) -> Option<NodeId> {
        let queue = self.queues.get(&query.job)?;
        let idle = self.free.iter().take_while(|(held, _)| *held == 0).map(|&(_, worker)| worker);
        idle.filter(|&worker| !queue.is_tried_by(query, worker))
            .min_by_key(|&worker| !queue.suits(query, worker))
    }

    /// The queries all of whose attempts have run beyond their job's patience, and by how much the latest of them has.
    fn late(&self, now: Time) -> Vec<(Span, QueryId)> {
        // Per query: how many attempts are late, and the least lateness.
        let mut late: BTreeMap<QueryId, (usize, Span)> = BTreeMap::new();
        for desk in self.desks.values() {
            let head = desk.slots.values().find(|slot| !slot.arrived);
            let Some((slot, since)) = head.and_then(|slot| slot.head_since.map(|since| (slot, since))) else {
                continue;
            };
            let Some(queue) = self.queues.get(&slot.query.job) else { continue };
            let patience = queue.pace.patience();
            if now.since(since) > patience {
                let (attempts, least) = late.entry(slot.query).or_insert((0, Span::FOREVER));
                *attempts += 1;
                *least = (*least).min(now.since(since) - patience);
            }
        }
        let helps = |query: &QueryId, attempts: usize| {
            let effort = self.queues.get(&query.job).and_then(|queue| queue.efforts.get(query));
            effort.is_some_and(|effort| {
                let all = effort.attempts.len() == attempts && attempts < ATTEMPTS_MAX;
                // What was tried often enough ends with the attempts that it has: one that hangs wherever it runs would have no last one.
                let tried_enough = effort.failures > self.config.dispatch.retries_max;
                all && !tried_enough && now >= effort.alone_until && !effort.completing && !effort.waiting
            })
        };
        late.retain(|query, (attempts, _)| helps(query, *attempts));
        late.into_iter().map(|(query, (_, lateness))| (lateness, query)).collect()
    }
}
