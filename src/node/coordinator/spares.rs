//! Hedging: an idle worker also tries a query that takes unusually long elsewhere.

use super::super::observation::Dispatch;
use super::{Coordinator, Facts, Outbox};
use crate::base::{QueryId, Span, Time};

/// Attempts that a query can have at the same time.
const ATTEMPTS_MAX: usize = 2;

impl Coordinator {
    /// Gives each idle worker a second attempt at the query that has run longest beyond what one in a hundred takes.
    pub(super) fn hedge(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        let mut late = self.late(facts.now);
        // The longest beyond its limit last, so that it is popped first.
        late.sort_unstable();
        while self.extras < self.extras_max()
            && let Some(&(0, idle)) = self.free.first()
            && let Some((_, query)) = late.pop()
        {
            if self.queues.get(&query.job).is_some_and(|queue| queue.is_tried_by(query, idle)) {
                continue;
            }
            self.give(idle, query, Dispatch::Hedge, true, facts, out);
        }
    }

    /// The queries with a single attempt that has run beyond its job's tail, and by how much.
    fn late(&self, now: Time) -> Vec<(Span, QueryId)> {
        let mut late = Vec::new();
        for desk in self.desks.values() {
            let head = desk.slots.values().find(|slot| !slot.arrived);
            let Some((slot, since)) = head.and_then(|slot| slot.head_since.map(|since| (slot, since))) else {
                continue;
            };
            let Some(queue) = self.queues.get(&slot.query.job) else { continue };
            let single = queue.efforts.get(&slot.query).is_some_and(|effort| {
                effort.attempts.len() < ATTEMPTS_MAX && !effort.completing && !effort.waiting
            });
            let Some(tail) = queue.pace.tail().filter(|_| single) else { continue };
            // A quarter on top of the tail: the slowest of many healthy queries is no reason for a second one.
            let patience = tail + tail / 4;
            if now.since(since) > patience {
                late.push((now.since(since) - patience, slot.query));
            }
        }
        late
    }
}
