//! The coordinator: what only the leader of the quorum log does. It exists for one reign.
//!
//! It gives queries to workers, proposes what they answer, takes client requests, and arranges views and seats. All it
//! knows beyond the ledger is soft: a new coordinator asks the members what they hold ([`WorkMessage::Survey`]) and goes
//! on from there.

mod council;
mod desk;
mod dispatch;
mod intake;
mod pace;
mod placement;
mod queue;
mod reading;
mod results;
mod seating;
mod shelves;
mod silence;
mod spares;
mod tally;
mod trial;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use council::Council;
pub(super) use council::next_seats;
use desk::WorkerDesk;
use intake::Intake;
use pace::Pace;
use queue::JobQueue;
use shelves::Shelves;
use tally::Tallies;
use trial::Trial;

use super::config::{Config, limits, longer};
use super::entry::{Command, Completion, Seats};
use super::io::Outbox;
use super::ledger::Ledger;
use super::message::{Body, Refusal, Reply, WorkMessage};
use super::mutant::Mutant;
use super::observation::{Change, Dispatch, GiveUp, Observation};
use super::timer::{Timer, add_due, earliest};
use super::view::View;
use crate::base::{AttemptId, Epoch, Incarnation, JobId, NodeId, QueryId, Rng, Span, Time};
use crate::policy::{self, JobView, Policy, WorkerView};

/// How often rates are looked at anew although nothing happened.
const REPLAN_EVERY: Span = Span::secs(1);
/// How often idle workers look for something to duplicate.
const SPARES_EVERY: Span = Span::millis(20);

/// About the bytes of a completion beside its answer.
const COMPLETION_BYTES: usize = 64;

/// What the rest of the node knows, as far as the coordinator needs it.
pub(super) struct Facts<'a> {
    pub(super) now: Time,
    /// Cluster time now.
    pub(super) cluster_now: Time,
    pub(super) ledger: &'a Ledger,
    /// The seats in force.
    pub(super) seats: &'a Seats,
    /// How many entries a voter or learner is behind, if it has answered in this reign.
    pub(super) lag: &'a dyn Fn(NodeId) -> Option<u64>,
    /// How long a voter or learner has not answered; no longer than the reign and its seat have lasted.
    pub(super) silence: &'a dyn Fn(NodeId) -> Span,
    /// The number of the last append that was sent.
    pub(super) round: u64,
    /// The number of the last append that a voter or learner has answered; zero if none.
    pub(super) answered: &'a dyn Fn(NodeId) -> u64,
    /// Whether a voter or learner holds the seats in force durably.
    pub(super) holds_seats: &'a dyn Fn(NodeId) -> bool,
    /// Whether a member is suspect.
    pub(super) suspect: &'a dyn Fn(NodeId) -> bool,
}

/// What the coordinator wants of the rest of the node.
#[derive(Debug)]
pub(super) enum Wish {
    /// Commit this.
    Propose(Command),
    /// Change the seats.
    Seat(Seats),
    /// See to it that there is a standby, in the classic design.
    Standby,
    /// Begin a read-index round.
    Read,
    /// End the reign in favour of this voter, or of the one that is closest to the end of the log.
    HandOver(Option<NodeId>),
}

/// The leader's work in one reign.
#[derive(Debug)]
pub(super) struct Coordinator {
    epoch: Epoch,
    me: NodeId,
    config: Arc<Config>,
    /// The policy in force.
    policy: Arc<dyn Policy>,
    rng: Rng,
    /// When the reign began, by this node's clock and in cluster time.
    began: Time,
    since: Time,
    /// Until when workers are asked what they hold; `None` once dispatch is open.
    survey_until: Option<Time>,
    survey_repeat: Time,
    survey_wait: Span,
    serial: u64,
    desks: BTreeMap<NodeId, WorkerDesk>,
    queues: BTreeMap<JobId, JobQueue>,
    /// What policies see: the unsuspected workers and the jobs that have not ended, each in order.
    roster: Vec<WorkerView>,
    jobs: Vec<JobView>,
    /// The workers with a free slot, those that hold least first.
    free: BTreeSet<(u32, NodeId)>,
    /// Answers that this step's entry will carry.
    completions: Vec<Completion>,
    /// Attempts under way beside another one of the same query.
    extras: usize,
    replan: bool,
    replan_at: Time,
    /// Not later than the next desk that is to be sent again for want of an answer.
    repeat_at: Time,
    spares_at: Time,
    /// When the next query that was refused has rested.
    rested_at: Time,
    /// Whether the policy begins with queries, and not with free workers; false until it was asked.
    places: bool,
    /// Desks that may have to be sent at the end of the step.
    touched: BTreeSet<NodeId>,
    /// Where workers ask for work: those whose reports came in this step.
    asking: BTreeSet<NodeId>,
    tallies: Tallies,
    intake: Intake,
    council: Council,
    trial: Trial,
    shelves: Shelves,
}

impl Coordinator {
    /// A new reign begins: everyone is asked what they hold.
    pub(super) fn new(
        me: NodeId,
        epoch: Epoch,
        config: Arc<Config>,
        rng: Rng,
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) -> Coordinator {
        let mut coordinator = Coordinator {
            epoch,
            me,
            policy: in_force(&config, facts),
            rng,
            began: facts.now,
            since: facts.cluster_now,
            survey_until: Some(facts.now + config.dispatch.survey),
            survey_repeat: facts.now + longer(None, config.dispatch.repeat),
            survey_wait: longer(None, config.dispatch.repeat),
            serial: 0,
            desks: BTreeMap::new(),
            queues: BTreeMap::new(),
            roster: Vec::new(),
            jobs: Vec::new(),
            free: BTreeSet::new(),
            completions: Vec::new(),
            extras: 0,
            replan: true,
            replan_at: Time::NEVER,
            repeat_at: Time::NEVER,
            spares_at: Time::NEVER,
            rested_at: Time::NEVER,
            places: false,
            touched: BTreeSet::new(),
            asking: BTreeSet::new(),
            tallies: Tallies::default(),
            intake: Intake::default(),
            council: Council::new(facts.now),
            trial: Trial::new(facts.now),
            shelves: Shelves::new(facts),
            config,
        };
        for (id, job) in facts.ledger.jobs().filter(|(_, job)| job.wants_workers()) {
            let since = facts.ledger.now().max(job.arrived());
            let pace = Pace::new(since, coordinator.config.scheduler.rate_window);
            coordinator.queues.insert(id, JobQueue::new(pace));
        }
        coordinator.meet(facts, out);
        for member in facts.ledger.view().members() {
            out.send(member.id, Body::Work(WorkMessage::Survey { epoch }));
        }
        coordinator
    }

    /// When [`Coordinator::wake`] is due.
    pub(super) fn deadline(&self) -> Time {
        earliest(self.timers())
    }

    /// Adds the timers that are due by `now`.
    pub(super) fn due(&self, now: Time, due: &mut Vec<Timer>) {
        let before = due.len();
        add_due(now, self.timers(), due);
        // Once dispatch is open this wakes nobody, but whoever wakes does it.
        if due.len() > before && self.survey_until.is_none() && now >= self.survey_repeat {
            due.push(Timer::SurveyAgain);
        }
    }

    fn timers(&self) -> [(Timer, Time); 9] {
        let (gather, seats) = self.council.deadlines();
        let survey_repeat = if self.survey_until.is_some() { self.survey_repeat } else { Time::NEVER };
        [
            (Timer::Survey, self.survey_until.unwrap_or(Time::NEVER)),
            (Timer::SurveyAgain, survey_repeat),
            (Timer::Replan, self.replan_at),
            (Timer::Desks, self.repeat_at),
            (Timer::Spares, self.spares_at),
            (Timer::Rested, self.rested_at),
            (Timer::Gather, gather),
            (Timer::Seats, seats),
            (Timer::Shelves, self.shelves.deadline()),
        ]
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, facts: &Facts<'_>, out: &mut Outbox, wishes: &mut VecDeque<Wish>) {
        let now = facts.now;
        if self.survey_until.is_some_and(|until| now >= until) {
            self.open(facts, out);
        }
        if now >= self.survey_repeat {
            self.survey_again(now, out);
        }
        if now >= self.replan_at {
            self.replan = true;
        }
        if now >= self.repeat_at {
            self.repeat_at = Time::NEVER;
            for (&id, desk) in &self.desks {
                if desk.again_at() <= now {
                    self.touched.insert(id);
                } else {
                    self.repeat_at = self.repeat_at.min(desk.again_at());
                }
            }
            let patience = self.config.membership.patience();
            if self.desks.values().any(|desk| desk.doubt.is_none() && desk.is_deaf(now, patience)) {
                self.reassess(facts);
            } else if self.desks.values().any(|desk| desk.is_deaf(now, patience)) {
                // It is not evicted, so that what there was no room for waits here for its turn.
                self.relieve_suspects();
            }
        }
        if now >= self.spares_at {
            self.spares_at = Time::NEVER;
            self.hedge(facts, out);
        }
        if now >= self.shelves.deadline() {
            self.tend(now);
        }
        self.spare_who_answered(facts);
        let facts = &Facts { suspect: &|id| self.trial.is_suspect(id, facts), ..*facts };
        self.council.wake(self.me, &self.config, facts, wishes);
    }

    /// Ends a step: proposes what was answered, fills free slots, and sends the desks that changed.
    pub(super) fn settle(&mut self, facts: &Facts<'_>, out: &mut Outbox, wishes: &mut VecDeque<Wish>) {
        while let Some(completions) = self.next_completions() {
            wishes.push_back(Wish::Propose(Command::Complete(completions)));
        }
        if self.survey_until.is_none() {
            self.dispatch(facts, out);
        }
        // Whoever asked was given work, or there is none for it: it gets nothing before it asks again.
        while let Some(worker) = self.asking.pop_first() {
            self.refresh(worker);
        }
        while let Some(id) = self.touched.pop_first() {
            if let Some(desk) = self.desks.get_mut(&id) {
                let repeat = self.config.dispatch.repeat;
                desk.flush(facts.now, self.epoch, repeat, self.config.planted, out);
                self.repeat_at = self.repeat_at.min(desk.again_at());
            }
        }
        self.settle_shelves(facts, out, wishes);
    }

    /// The answers that one entry takes: as many as fit well below the largest entry that the log accepts.
    fn next_completions(&mut self) -> Option<Vec<Completion>> {
        let mut bytes = 0;
        let fitting = self.completions.iter().take_while(|completion| {
            let answer = &completion.answer;
            let before = bytes;
            bytes += COMPLETION_BYTES
                + answer.predictions.len()
                + answer.failed.len() * (limits::FAILURE_BYTES_MAX + 8);
            before == 0 || bytes <= limits::APPEND_BYTES_MAX / 2
        });
        let count = fitting.count();
        (count > 0).then(|| self.completions.drain(..count).collect())
    }

    /// The log did not take a proposal: it hands over, or is full. Answers are proposed again, clients are told to come back,
    /// and views are changed when the next one is due.
    pub(super) fn not_proposed(&mut self, command: Command, out: &mut Outbox) {
        match command {
            Command::Complete(completions) => self.completions.extend(completions),
            Command::Request { session, number, .. } => {
                let refusal = Refusal::NoCoordinator;
                self.replied(session, number, Arc::new(Reply::Refused(refusal)), out);
            }
            Command::ChangeView(_) => {}
        }
    }

    /// The log has applied an entry: the ledger in `facts` is past it.
    pub(super) fn applied(&mut self, changes: &[Change], facts: &Facts<'_>, out: &mut Outbox) {
        for change in changes {
            match change {
                Change::JobAdded { job, .. } | Change::JobResumed { job } => self.begin_job(*job, facts),
                Change::Recut { job, .. } => self.recut(*job, facts, out),
                Change::Counted { query, .. } => {
                    if let Some(queue) = self.queues.get_mut(&query.job) {
                        queue.pace.count(facts.ledger.now());
                    }
                    self.tallies.count(query.job, facts.ledger.now());
                    self.finish(*query, facts.now, out);
                }
                Change::Uncounted { query, attempt, .. } => self.discard(*query, *attempt, facts, out),
                // What workers hold of a stopped job is taken back, as of one that has ended.
                Change::JobEnded { job, .. } => {
                    self.end_job(*job, facts.now, out);
                    self.tallies.end(*job);
                }
                Change::JobStopped { job } => self.end_job(*job, facts.now, out),
                Change::JobForgotten { .. } | Change::Pinned { .. } => {}
                Change::PolicySet { .. } => {
                    self.policy = in_force(&self.config, facts);
                    // Whether it places queries is seen when it is asked.
                    self.places = false;
                    self.replan = true;
                }
                Change::FilePut { .. } | Change::FileDeleted { .. } | Change::Unpinned { .. } => {
                    self.refiled(change);
                }
                Change::Drained { .. } => {
                    self.reassess(facts);
                    self.clear_drained(facts, out);
                }
                Change::ViewChanged { .. } => {
                    self.council.view_changed();
                    self.trial.view_changed(facts.ledger.view());
                    self.meet(facts, out);
                }
            }
        }
    }

    /// A job wants workers from now on.
    fn begin_job(&mut self, job: JobId, facts: &Facts<'_>) {
        let state = facts.ledger.job(job).expect("the ledger has just added or resumed it");
        let pace = Pace::new(facts.ledger.now(), self.config.scheduler.rate_window);
        let mut queue = JobQueue::new(pace);
        queue.fill(state);
        self.queues.insert(job, queue);
        self.replan = true;
    }

    /// Brings desks and roster in line with the committed view and with who is suspect.
    fn meet(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
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
    fn clear_drained(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
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
    fn dismiss(&mut self, id: NodeId, out: &mut Outbox) {
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

    /// A change of seats is committed.
    pub(super) fn reseated(&mut self, now: Time) {
        self.council.reseated(now);
    }

    /// The survey is over: whatever no one holds waits for a worker.
    fn open(&mut self, facts: &Facts<'_>, out: &mut Outbox) {
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
    fn survey_again(&mut self, now: Time, out: &mut Outbox) {
        let silent: Vec<NodeId> =
            self.desks.iter().filter(|(_, desk)| !desk.surveyed).map(|(&id, _)| id).collect();
        for &id in &silent {
            out.send(id, Body::Work(WorkMessage::Survey { epoch: self.epoch }));
        }
        self.survey_wait = longer(Some(self.survey_wait), self.config.dispatch.repeat);
        self.survey_repeat = now + self.survey_wait;
    }

    /// After a change of batch size: void attempts leave the desks, and the new queries wait.
    fn recut(&mut self, job: JobId, facts: &Facts<'_>, out: &mut Outbox) {
        let Some(queue) = self.queues.get(&job) else { return };
        let state = facts.ledger.job(job).expect("the ledger has just cut it");
        let void: Vec<QueryId> =
            queue.efforts.keys().copied().filter(|&query| !state.is_open(query)).collect();
        for query in void {
            self.finish(query, facts.now, out);
        }
        if let Some(queue) = self.queues.get_mut(&job) {
            queue.fill(state);
        }
        self.replan = true;
    }

    /// A job has nothing left to do.
    fn end_job(&mut self, job: JobId, now: Time, out: &mut Outbox) {
        let Some(queue) = self.queues.get(&job) else { return };
        let left: Vec<QueryId> = queue.efforts.keys().copied().collect();
        for query in left {
            self.finish(query, now, out);
        }
        self.queues.remove(&job);
        for desk in self.desks.values_mut().filter(|desk| desk.view.serving == Some(job)) {
            desk.serve(now, None);
        }
        for worker in self.roster.iter_mut().filter(|worker| worker.serving == Some(job)) {
            worker.serving = None;
        }
        self.replan = true;
    }

    /// Nothing more is expected of a query: its attempts leave all desks.
    fn finish(&mut self, query: QueryId, now: Time, out: &mut Outbox) {
        let Some(queue) = self.queues.get_mut(&query.job) else { return };
        let Some(effort) = queue.efforts.remove(&query) else { return };
        for (attempt, worker) in effort.attempts {
            self.remove_slot(worker, attempt, now, GiveUp::Settled, out);
        }
    }

    /// A completion was not counted: its attempt is settled all the same.
    fn discard(&mut self, query: QueryId, attempt: AttemptId, facts: &Facts<'_>, out: &mut Outbox) {
        let holder = self.desks.iter().find(|(_, desk)| desk.slots.contains_key(&attempt)).map(|(&id, _)| id);
        if let Some(worker) = holder {
            self.remove_slot(worker, attempt, facts.now, GiveUp::Settled, out);
        }
        let open = facts.ledger.job(query.job).is_some_and(|job| job.is_open(query));
        let Some(queue) = self.queues.get_mut(&query.job) else { return };
        if let Some(effort) = queue.efforts.get_mut(&query) {
            effort.attempts.retain(|&(other, _)| other != attempt);
            // The answer is gone, and the query has to be tried again if it still counts.
            effort.completing = false;
            if open && effort.attempts.is_empty() {
                queue.put_first(query, Dispatch::Retry);
            }
        }
    }

    /// Takes an attempt off a desk. One that never brought a result is given up.
    fn remove_slot(
        &mut self,
        worker: NodeId,
        attempt: AttemptId,
        now: Time,
        reason: GiveUp,
        out: &mut Outbox,
    ) {
        let Some(slot) = self.desks.get_mut(&worker).and_then(|desk| desk.take(now, attempt)) else { return };
        self.extras -= usize::from(slot.extra);
        if !slot.arrived {
            self.count_held(slot.query.job, -1);
            out.observe(Observation::GaveUp { query: slot.query, attempt, reason });
        }
        self.refresh(worker);
    }

    fn count_held(&mut self, job: JobId, change: i32) {
        if let Some(queue) = self.queues.get_mut(&job) {
            queue.held = queue.held.checked_add_signed(change).expect("what leaves a desk was put there");
        }
    }

    /// A desk changed: what policies see of it, and whether it has room, follows.
    fn refresh(&mut self, worker: NodeId) {
        let Some(desk) = self.desks.get_mut(&worker) else { return };
        let before = desk.view.held;
        desk.refresh(&self.config.dispatch, self.asking.contains(&worker));
        self.touched.insert(worker);
        if let Ok(place) = self.roster.binary_search_by_key(&worker, |view| view.id) {
            self.free.remove(&(before, worker));
            if desk.view.free > 0 {
                self.free.insert((desk.view.held, worker));
            }
            let view = &mut self.roster[place];
            (view.held, view.free, view.serving) = (desk.view.held, desk.view.free, desk.view.serving);
            view.refusals = desk.view.refusals;
            if view.warm != desk.view.warm {
                view.warm.clone_from(&desk.view.warm);
            }
        }
    }
}

/// The policy that a client has chosen, or else that of the settings.
fn in_force(config: &Config, facts: &Facts<'_>) -> Arc<dyn Policy> {
    let scheduler = &config.scheduler;
    let chosen = facts.ledger.policy().and_then(|name| policy::by_name(name, &scheduler.options));
    chosen.unwrap_or_else(|| Arc::clone(&scheduler.policy))
}
