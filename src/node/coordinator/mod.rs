//! The coordinator: what only the leader of the quorum log does. It exists for one reign.
//!
//! It gives queries to workers, proposes what they answer, takes client requests, and arranges views and seats. All it
//! knows beyond the ledger is soft: a new coordinator asks the members what they hold ([`WorkMessage::Survey`]) and goes
//! on from there.

mod coroner;
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
mod settled;
mod shelves;
mod silence;
mod spares;
mod survey;
mod tally;
mod trial;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use coroner::Coroner;
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
use super::observation::GiveUp;
use super::timer::{Timer, add_due, earliest};
use crate::base::{Epoch, JobId, NodeId, Rng, Span, Time};
use crate::policy::{self, JobView, Policy, WorkerView};

/// How often rates are looked at anew although nothing happened.
const REPLAN_EVERY: Span = Span::secs(1);
/// How often idle workers look for something to duplicate.
const SPARES_EVERY: Span = Span::millis(20);

/// About the bytes of a completion beside its answer.
const COMPLETION_BYTES: usize = 64;
/// While so many entries are not committed, further answers wait for them and share the next one: under load an entry, which costs every
/// voter a message and a write, is then worth many answers, and without load none waits.
const ENTRIES_UNDER_WAY: u64 = 2;

/// What the rest of the node knows, as far as the coordinator needs it.
pub(super) struct Facts<'a> {
    pub(super) now: Time,
    /// Cluster time now.
    pub(super) cluster_now: Time,
    pub(super) ledger: &'a Ledger,
    /// The seats in force.
    pub(super) seats: &'a Seats,
    /// How many entries are not committed yet.
    pub(super) pending: u64,
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
    /// The members that some observer does not hear.
    pub(super) accused: &'a dyn Fn() -> Vec<NodeId>,
    /// Whether the first, an observer of the second, does not hear it.
    pub(super) accuses: &'a dyn Fn(NodeId, NodeId) -> bool,
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
    coroner: Coroner,
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
            trial: Trial::new(me, facts.now),
            coroner: Coroner::new(facts.now),
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
        self.look_for_the_dead(facts);
        let facts = &Facts { suspect: &|id| self.trial.is_suspect(id, facts), ..*facts };
        self.council.wake(self.me, &self.config, facts, wishes);
    }

    /// Ends a step: proposes what was answered, fills free slots, and sends the desks that changed.
    pub(super) fn settle(&mut self, facts: &Facts<'_>, out: &mut Outbox, wishes: &mut VecDeque<Wish>) {
        for _ in facts.pending..ENTRIES_UNDER_WAY {
            let Some(completions) = self.next_completions() else { break };
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

    /// A change of seats is committed.
    pub(super) fn reseated(&mut self, now: Time) {
        self.council.reseated(now);
    }
}

/// The policy that a client has chosen, or else that of the settings.
fn in_force(config: &Config, facts: &Facts<'_>) -> Arc<dyn Policy> {
    let scheduler = &config.scheduler;
    let chosen = facts.ledger.policy().and_then(|name| policy::by_name(name, &scheduler.options));
    chosen.unwrap_or_else(|| Arc::clone(&scheduler.policy))
}
