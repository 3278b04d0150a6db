//! Where which query goes, for policies that begin with a query.

use std::sync::Arc;

use super::{Coordinator, Facts, Outbox};
use crate::policy::ClusterView;

impl Coordinator {
    /// Asks the policy which job's query is next and where it shall go, until it has no further answer. False when it has none
    /// at all, because it begins with free workers.
    pub(super) fn place_queries(&mut self, facts: &Facts<'_>, out: &mut Outbox) -> bool {
        let policy = Arc::clone(&self.policy);
        let mut passed: Vec<(usize, u64)> = Vec::new();
        let mut begins = false;
        // Every round places a query or takes one job out of the choice.
        while !self.free.is_empty() {
            let draw = self.rng.bits();
            let view = ClusterView { now: facts.cluster_now, jobs: &self.jobs, workers: &self.roster, draw };
            let Some(next) = policy.next(&view) else { break };
            begins = true;
            let is_urgent =
                |job: &crate::policy::JobView| job.waiting > 0 && self.queues[&job.job].is_urgent();
            let position = self.jobs.iter().position(is_urgent).unwrap_or(next);
            if !self.place_one(position, draw, facts, out) {
                passed.push((position, std::mem::take(&mut self.jobs[position].waiting)));
            }
        }
        for (position, waiting) in passed {
            self.jobs[position].waiting = waiting;
        }
        begins
    }

    /// Places the first query of a job for which the policy finds a worker. False when there is none near the front.
    fn place_one(&mut self, position: usize, draw: u64, facts: &Facts<'_>, out: &mut Outbox) -> bool {
        let policy = Arc::clone(&self.policy);
        let job = self.jobs[position].job;
        let state = facts.ledger.job(job).expect("queues belong to jobs");
        let mut place = 0;
        loop {
            let queue = self.queues.get_mut(&job).expect("the view lists the queues");
            let Some(query) = queue.peek(state, place) else { return false };
            // Whoever must not have this query seems full.
            let mut hidden: Vec<(usize, u32)> = Vec::new();
            for (worker, view) in self.roster.iter_mut().enumerate() {
                if view.free > 0 && !queue.suits(query, view.id) {
                    hidden.push((worker, std::mem::take(&mut view.free)));
                }
            }
            let view = ClusterView { now: facts.cluster_now, jobs: &self.jobs, workers: &self.roster, draw };
            let chosen = policy.place(&view, position).filter(|&worker| self.roster[worker].free > 0);
            for (worker, free) in hidden {
                self.roster[worker].free = free;
            }
            if let Some(worker) = chosen {
                let (query, reason) = queue.take_at(place).expect("the query was found there");
                self.jobs[position].waiting = queue.waiting() as u64;
                let worker = self.roster[worker].id;
                self.give(worker, query, reason, false, facts, out);
                return true;
            }
            place += 1;
        }
    }
}
