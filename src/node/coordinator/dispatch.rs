//! Which worker gets which query next.

use std::sync::Arc;

use super::super::config::DispatchMode;
use super::super::entry::Inputs;
use super::super::message::Order;
use super::super::observation::{Dispatch, GiveUp, Observation};
use super::{Coordinator, Facts, Outbox, REPLAN_EVERY, SPARES_EVERY};
use crate::base::{AttemptId, JobId, NodeId, QueryId, Span, Time};
use crate::policy::{ClusterView, JobView};

impl Coordinator {
    /// Fills free slots as the policy says.
    pub(super) fn dispatch(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        if self.queues.is_empty() {
            (self.replan, self.replan_at) = (false, Time::NEVER);
            (self.spares_at, self.rested_at) = (Time::NEVER, Time::NEVER);
            self.jobs.clear();
            return;
        }
        let rested = self.queues.values_mut().map(|queue| queue.rouse(facts.now)).min();
        self.rested_at = rested.unwrap_or(Time::NEVER);
        if self.replan {
            self.question_silent(facts.now);
            self.plan(facts, out);
        }
        if self.queues.values().all(|queue| queue.waiting() == 0) {
            self.use_spares(facts, out);
            return;
        }
        if self.free.is_empty() {
            return;
        }
        self.look(facts);
        if self.roster.len() == 1 {
            self.queues.values_mut().for_each(super::queue::JobQueue::forgive);
        }
        self.places = self.place_queries(facts, out);
        if !self.places {
            self.serve_workers(facts, out);
        }
        self.use_spares(facts, out);
    }

    /// Gives queries to free workers, for policies that begin with those.
    fn serve_workers(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        // Every round gives a worker a query or leaves it alone, so that the loop ends.
        let mut pending: Vec<(u32, NodeId)> = Vec::new();
        while let Some(&(held, worker)) = self.free.first() {
            if self.jobs.iter().all(|job| job.waiting == 0) {
                break;
            }
            if !self.serve(worker, facts, out) {
                self.free.remove(&(held, worker));
                pending.push((held, worker));
            }
        }
        self.free.extend(pending);
    }

    /// Asks the policy for a query for this worker. False when there is none for it.
    fn serve(&mut self, worker: NodeId, facts: &Facts<'_>, out: &mut Outbox) -> bool {
        let Ok(place) = self.roster.binary_search_by_key(&worker, |view| view.id) else { return false };
        let policy = Arc::clone(&self.policy);
        let draw = self.rng.bits();
        let mut passed: Vec<(usize, u64)> = Vec::new();
        let mut served = self.serve_urgent(worker, facts, out);
        // Each round serves the worker or takes one job out of the choice.
        while !served {
            let view = ClusterView { now: facts.cluster_now, jobs: &self.jobs, workers: &self.roster, draw };
            let Some(position) = policy.pick(&view, &self.roster[place]) else { break };
            let job = self.jobs[position].job;
            let state = facts.ledger.job(job).expect("queues belong to jobs");
            let queue = self.queues.get_mut(&job).expect("the view lists the queues");
            let taken = queue.take(state, worker);
            self.jobs[position].waiting = queue.waiting() as u64;
            if let Some((query, reason)) = taken {
                self.give(worker, query, reason, false, facts, out);
                served = true;
            } else {
                passed.push((position, std::mem::take(&mut self.jobs[position].waiting)));
            }
        }
        for (position, waiting) in passed {
            self.jobs[position].waiting = waiting;
        }
        served
    }

    /// Gives the worker a query that a dead or suspect one holds, if there is one.
    fn serve_urgent(&mut self, worker: NodeId, facts: &Facts<'_>, out: &mut Outbox) -> bool {
        for position in 0..self.jobs.len() {
            let job = self.jobs[position].job;
            let Some(queue) = self.queues.get_mut(&job).filter(|queue| queue.is_urgent()) else { continue };
            let taken = queue.take_urgent(facts.ledger.job(job).expect("queues belong to jobs"), worker);
            self.jobs[position].waiting = queue.waiting() as u64;
            if let Some((query, reason)) = taken {
                self.give(worker, query, reason, false, facts, out);
                return true;
            }
        }
        false
    }

    /// Puts a query on a worker's desk.
    pub(super) fn give(
        &mut self,
        worker: NodeId,
        query: QueryId,
        reason: Dispatch,
        extra: bool,
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) {
        let job = facts.ledger.job(query.job).expect("the query was taken from its job's queue");
        let (from, inputs) = job.range(query).expect("an open query has a range");
        let spec = job.spec();
        let (dataset, first) = match &spec.inputs {
            // What a file was called when the job came may mean another version by now.
            Inputs::Range { dataset, from, .. } => {
                let pin = facts.ledger.files().pinned(query.job);
                (Arc::clone(pin.map_or(dataset, |pin| &pin.dataset)), *from)
            }
            Inputs::Names(_) => (Arc::clone(&spec.name), 0),
        };
        self.serial += 1;
        let attempt = AttemptId { epoch: self.epoch, serial: self.serial };
        let queue = self.queues.get_mut(&query.job).expect("the query was taken from it");
        queue.efforts.entry(query).or_default().attempts.push((attempt, worker));
        queue.held += 1;
        if let Some(view) = self.jobs.iter_mut().find(|view| view.job == query.job) {
            view.held = queue.held;
        }
        let limit = queue.pace.limit(queue.efforts.get(&query).map_or(0, |effort| effort.failures));
        let cost = queue.pace.seconds();
        let order = Order {
            attempt,
            query,
            model: Arc::clone(&spec.model),
            dataset,
            from: first + from,
            inputs,
            limit,
        };
        self.extras += usize::from(extra);
        let desk = self.desks.get_mut(&worker).expect("the roster lists the desks");
        // A model whose cost is unknown counts as slow: better a short queue than a long one of the wrong length.
        desk.put(facts.now, attempt, query, Some(order), extra, if cost > 0.0 { cost } else { 1.0 });
        let before = desk.serve(facts.now, Some(query.job));
        let incarnation = desk.incarnation;
        out.observe(Observation::Dispatched { query, attempt, worker, incarnation, reason });
        self.refresh(worker);
        if before != Some(query.job) {
            self.count_serving(before, -1);
            self.count_serving(Some(query.job), 1);
        }
    }

    fn count_serving(&mut self, job: Option<JobId>, change: i32) {
        if let Some(view) = self.jobs.iter_mut().find(|view| Some(view.job) == job) {
            view.serving = view.serving.saturating_add_signed(change);
        }
    }

    /// Brings what policies see of the jobs up to date.
    fn look(&mut self, facts: &Facts<'_>) {
        let now = facts.cluster_now;
        for view in &mut self.jobs {
            let queue = self.queues.get_mut(&view.job).expect("the view lists the queues");
            queue.pace.advance(now);
            view.elapsed = now.since(view.arrived);
            view.done = facts.ledger.job(view.job).map_or(0, |job| u64::from(job.counted()));
            view.waiting = queue.waiting() as u64;
            view.held = queue.held;
            view.rate = queue.pace.rate(now);
            view.rate_span = queue.pace.span(now);
            view.seconds_per_query = queue.pace.seconds();
        }
    }

    /// Lists the jobs anew and asks the policy how to divide the workers; queries that wait on a worker which shall now
    /// serve another job are taken back.
    fn plan(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        let before: Vec<(JobId, u32)> = self.jobs.iter().map(|view| (view.job, view.allocated)).collect();
        self.jobs = (self.queues.iter())
            .map(|(&id, queue)| {
                let job = facts.ledger.job(id).expect("queues belong to jobs");
                let spec = job.spec();
                JobView {
                    job: id,
                    model: Arc::clone(&spec.model),
                    arrived: job.arrived(),
                    elapsed: facts.cluster_now.since(job.arrived()),
                    total: u64::from(job.queries()),
                    done: u64::from(job.counted()),
                    waiting: queue.waiting() as u64,
                    serving: self.roster.iter().filter(|worker| worker.serving == Some(id)).count() as u32,
                    allocated: before.iter().find(|(job, _)| *job == id).map_or(0, |&(_, workers)| workers),
                    held: queue.held,
                    rate: 0.0,
                    rate_span: Span::ZERO,
                    seconds_per_query: 0.0,
                    seconds_by_kind: queue.pace.seconds_by_kind(),
                    isolated_seconds: None,
                    weight: spec.weight,
                    priority: spec.priority,
                }
            })
            .collect();
        self.look(facts);
        let view = ClusterView {
            now: facts.cluster_now,
            jobs: &self.jobs,
            workers: &self.roster,
            draw: self.rng.bits(),
        };
        let planned = self.policy.allocate(&view);
        let workers = planned.clone().unwrap_or_else(|| self.jobs.iter().map(|job| job.serving).collect());
        assert_eq!(workers.len(), self.jobs.len(), "a policy allocates to each job");
        for (job, &workers) in self.jobs.iter_mut().zip(&workers) {
            job.allocated = workers;
        }
        let allocation: Vec<(JobId, u32)> = self.jobs.iter().map(|job| (job.job, job.allocated)).collect();
        (self.replan, self.replan_at) = (false, facts.now + REPLAN_EVERY);
        let newcomers = allocation.iter().any(|(job, _)| before.iter().all(|(known, _)| known != job));
        let changed = allocation != before;
        if changed {
            out.observe(Observation::Allocated { workers: allocation.into() });
        }
        if newcomers || changed && planned.is_some() {
            self.take_back(facts, out);
        }
    }

    /// Takes back the queries that wait behind another one on workers which would now be given another job.
    fn take_back(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        let policy = Arc::clone(&self.policy);
        for place in 0..self.roster.len() {
            let worker = self.roster[place].id;
            let queued: Vec<(AttemptId, QueryId)> =
                self.desks[&worker].queued().map(|(attempt, slot)| (attempt, slot.query)).collect();
            for (attempt, query) in queued {
                // The question is asked as if the query were back in its queue.
                let Some(own) = self.jobs.iter().position(|view| view.job == query.job) else { continue };
                self.jobs[own].waiting += 1;
                let draw = self.rng.bits();
                let view =
                    ClusterView { now: facts.cluster_now, jobs: &self.jobs, workers: &self.roster, draw };
                let choice = policy.pick(&view, &self.roster[place]);
                if let Some(choice) = choice.filter(|&choice| choice != own) {
                    self.withdraw(worker, attempt, query, facts.now, out);
                    // From here on the worker counts for the job that it will be given.
                    self.jobs[own].held = self.jobs[own].held.saturating_sub(1);
                    self.jobs[choice].held += 1;
                    self.reserve(place, self.jobs[choice].job, facts.now);
                } else {
                    self.jobs[own].waiting -= 1;
                }
            }
        }
    }

    fn reserve(&mut self, place: usize, job: JobId, now: Time) {
        let worker = self.roster[place].id;
        let before = self.roster[place].serving.replace(job);
        if let Some(desk) = self.desks.get_mut(&worker) {
            desk.serve(now, Some(job));
        }
        if before != Some(job) {
            self.count_serving(before, -1);
            self.count_serving(Some(job), 1);
        }
    }

    /// Puts a query that has not begun back in front of its queue.
    pub(super) fn withdraw(
        &mut self,
        worker: NodeId,
        attempt: AttemptId,
        query: QueryId,
        now: Time,
        out: &mut Outbox,
    ) {
        self.remove_slot(worker, attempt, now, GiveUp::Withdrawn, out);
        if let Some(queue) = self.queues.get_mut(&query.job) {
            if let Some(effort) = queue.efforts.get_mut(&query) {
                effort.attempts.retain(|&(other, _)| other != attempt);
            }
            queue.put_first(query, Dispatch::Moved);
        }
    }

    /// Nothing waits any more: idle workers take over what waits behind other queries, and later on watch for what takes
    /// unusually long. A policy that places queries has said where they shall wait.
    fn use_spares(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        if !self.places {
            self.even_out(facts, out);
        }
        let idle = self.config.dispatch.hedge && matches!(self.free.first(), Some((0, _)));
        match self.config.dispatch.mode {
            DispatchMode::Push if idle && self.spares_at == Time::NEVER => {
                self.spares_at = facts.now + SPARES_EVERY;
            }
            // Whoever asks is idle in this step only.
            DispatchMode::Pull if idle => self.hedge(facts, out),
            DispatchMode::Push | DispatchMode::Pull => {}
        }
    }

    /// Gives what waits behind other queries to idle workers.
    fn even_out(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
        if self.roster.iter().all(|worker| worker.held <= 1) {
            return;
        }
        let idle: Vec<NodeId> =
            self.free.iter().take_while(|(held, _)| *held == 0).map(|&(_, id)| id).collect();
        for idle in idle {
            if self.queues.values().any(|queue| queue.waiting() > 0) {
                break;
            }
            let fullest = self
                .roster
                .iter()
                .filter(|worker| worker.held > 1 && worker.id != idle)
                .max_by_key(|worker| (worker.held, std::cmp::Reverse(worker.id)))
                .map(|worker| worker.id);
            let Some(worker) = fullest else { break };
            // What the idle worker must not try would come back, to be moved again and again.
            let last = self.desks[&worker].queued().map(|(attempt, slot)| (attempt, slot.query)).find(
                |(_, query)| self.queues.get(&query.job).is_some_and(|queue| queue.suits(*query, idle)),
            );
            let Some((attempt, query)) = last else { continue };
            self.withdraw(worker, attempt, query, facts.now, out);
            let state = facts.ledger.job(query.job).expect("queues belong to jobs");
            let taken = self.queues.get_mut(&query.job).and_then(|queue| queue.take(state, idle));
            let Some((query, reason)) = taken else { break };
            self.give(idle, query, reason, false, facts, out);
        }
    }
}
