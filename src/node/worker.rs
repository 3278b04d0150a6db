//! The worker's side of dispatch: a desk with orders, an engine that does one thing at a time, results kept until settled.
//!
//! The coordinator says what shall be on the desk ([`Desk`]), the worker reports what is on it ([`Report`]); both are
//! whole states, so that lost, late and repeated messages do no harm. Orders run in the order in which they came. A
//! result stays, and is reported again, until a desk no longer keeps it, whichever coordinator sends that desk.
//!
//! Where workers ask for work ([`DispatchMode::Pull`]), a report is the request as well: one that shows room asks, and a worker
//! with room reports again after the back-off.

mod engine;
mod supply;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use self::engine::{Engine, Task};
use self::supply::Supply;
use super::config::limits::{UNSETTLED_MAX, WINDOW_MAX};
use super::config::{Dispatch, DispatchMode, longer};
use super::entry::{Answer, Failure, Outcome};
use super::io::{ChunkEvent, EngineEvent, Outbox};
use super::message::{Body, Desk, Found, Held, Order, Progress, Report, WorkMessage};
use super::mutant::{Mutant, Planted};
use super::observation::Observation;
use crate::base::{AttemptId, Epoch, Incarnation, NodeId, QueryId, Rng, Span, Time};

/// How many attempts that left the desk are remembered, so that an order that comes too late does not bring them back.
const GONE_MAX: usize = 1024;
/// The longest reason that is passed on; engines can be talkative.
const REASON_BYTES_MAX: usize = 512;

/// What the worker must know of the rest of its node.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerFacts {
    /// The newest reign that the node knows.
    pub epoch: Epoch,
    /// Who leads that reign, if the node knows.
    pub coordinator: Option<NodeId>,
    /// The node's life.
    pub incarnation: Incarnation,
    /// Whether this life belongs to the view by which the node acts.
    pub member: bool,
}

/// The part of a node that runs queries.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) planted: Planted,
    takes_queries: bool,
    /// How likely it refuses an order, and the stream from which that is drawn.
    refuse: f64,
    rng: Rng,
    /// The longest time after which an unsettled result is reported again.
    repeat: Span,
    /// Where workers ask for work: how long after a report one with room asks again, and how many orders it wants to hold.
    asks: Option<(Span, usize)>,
    /// When it reported last.
    reported: Time,
    /// The newest reign that spoke to this worker, and who spoke for it.
    reign: (Epoch, Option<NodeId>),
    /// The last desk that was followed: its reign and version.
    followed: (Epoch, u64),
    /// Orders that have not begun, in order.
    waiting: VecDeque<Order>,
    /// What orders read of the file store.
    supply: Supply,
    engine: Engine,
    /// Results that nobody was told of.
    fresh: Vec<Unsettled>,
    /// Results that were reported, the one that is to be reported again first in front.
    told: VecDeque<Unsettled>,
    /// Attempts that left the desk, the newest last; at most [`GONE_MAX`].
    gone: VecDeque<AttemptId>,
    /// The latest attempt that ever lay on the desk of this life. Whatever is later is new, which saves a search.
    latest: Option<AttemptId>,
}

/// A result that the coordinator has not taken off the desk.
#[derive(Debug)]
struct Unsettled {
    held: Held,
    /// When it is reported again.
    again: Time,
    /// How long it waited, or waits, for that.
    wait: Span,
}

impl Unsettled {
    fn fresh(held: Held) -> Unsettled {
        Unsettled { held, again: Time::ZERO, wait: Span::ZERO }
    }
}

/// Which results a report names, beside the ones that are new or overdue.
#[derive(Clone, Copy, PartialEq)]
enum Results {
    All,
    Due,
}

impl Worker {
    /// A worker with an empty desk and a cold engine. One that does not take queries answers surveys and nothing else.
    pub(super) fn new(takes_queries: bool, refuse: f64, config: &Dispatch, rng: Rng) -> Worker {
        Worker {
            planted: Planted::default(),
            takes_queries,
            refuse,
            rng,
            repeat: config.repeat,
            asks: (takes_queries && config.mode == DispatchMode::Pull)
                .then_some((config.backoff, usize::from(config.window.unwrap_or(1)))),
            reported: Time::ZERO,
            reign: (Epoch(0), None),
            followed: (Epoch(0), 0),
            waiting: VecDeque::new(),
            supply: Supply::default(),
            engine: Engine::default(),
            fresh: Vec::new(),
            told: VecDeque::new(),
            gone: VecDeque::new(),
            latest: None,
        }
    }

    /// When to call [`Self::wake`].
    pub(super) fn deadline(&self) -> Time {
        let engine = self.engine.stuck_at(!self.waiting.is_empty());
        self.repeat_at().min(engine).min(self.ask_at()).min(self.supply.deadline())
    }

    /// When it asks for work because none came.
    fn ask_at(&self) -> Time {
        let has_room = |(_, window): &(Span, usize)| self.held() < *window;
        self.asks.filter(has_room).map_or(Time::NEVER, |(backoff, _)| self.reported + backoff)
    }

    /// When the next unsettled result is reported again.
    fn repeat_at(&self) -> Time {
        let again = self.told.front().filter(|_| !self.planted.has(Mutant::NoSecondResult));
        again.map_or(Time::NEVER, |result| result.again)
    }

    /// Orders that wait or run; unsettled results are not among them.
    pub(super) fn held(&self) -> usize {
        self.waiting.len() + usize::from(self.engine.running().is_some())
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Time, facts: WorkerFacts, out: &mut Outbox) {
        if self.deadline() > now {
            return;
        }
        self.engine.check(now, !self.waiting.is_empty(), out);
        self.supply.advance(now, facts, out);
        if self.repeat_at() <= now || self.ask_at() <= now {
            self.report_unasked(now, facts, out);
        }
    }

    /// Takes in where the data of a job are.
    pub(super) fn found(&mut self, now: Time, found: &Arc<Found>, facts: WorkerFacts, out: &mut Outbox) {
        self.supply.found(found);
        self.go_on(now, facts, out);
    }

    /// Takes in whether what an order reads is at hand.
    pub(super) fn chunk(&mut self, now: Time, event: ChunkEvent, facts: WorkerFacts, out: &mut Outbox) {
        match event {
            ChunkEvent::Staged { attempt } => self.supply.staged(attempt),
            ChunkEvent::Unstaged { attempt, reason } => {
                if self.supply.unstaged(attempt, now)
                    && let Some(place) = self.waiting.iter().position(|order| order.attempt == attempt)
                {
                    let order = self.waiting.remove(place).expect("the place is from this list");
                    // The reason first: what is too long for an answer is cut, and everyone knows what the job reads.
                    let reason = format!("no data: {reason} ({})", order.dataset);
                    self.end(&order, Outcome::Failed(shorten(&reason.into())), Span::ZERO, out);
                }
            }
            ChunkEvent::Got { .. }
            | ChunkEvent::Failed { .. }
            | ChunkEvent::Lost { .. }
            | ChunkEvent::Dropped { .. } => {}
        }
        self.go_on(now, facts, out);
        if !self.fresh.is_empty() {
            self.report_unasked(now, facts, out);
        }
    }

    /// Has data brought, and begins with what has all that it needs.
    fn go_on(&mut self, now: Time, facts: WorkerFacts, out: &mut Outbox) {
        let (waiting, running) = (&self.waiting, self.engine.running().map(|order| order.attempt));
        let wanted =
            |attempt| running == Some(attempt) || waiting.iter().any(|order| order.attempt == attempt);
        self.supply.retain(wanted, out);
        self.supply.advance(now, facts, out);
        let supply = &self.supply;
        self.engine.go_on(now, &mut self.waiting, |order| supply.has(order.attempt), out);
    }

    /// Takes in what a coordinator says. Reports and [`WorkMessage::Deposed`] are not for workers and change nothing.
    pub(super) fn receive(
        &mut self,
        now: Time,
        from: NodeId,
        message: &WorkMessage,
        facts: WorkerFacts,
        out: &mut Outbox,
    ) {
        match message {
            WorkMessage::Survey { epoch } => {
                if self.obeys(from, *epoch, facts, out) {
                    self.report(now, from, Results::All, facts, out);
                }
            }
            WorkMessage::Desk(desk) => {
                // Whoever is not a member was evicted, or will be told of its membership in a moment; in the first case
                // the desk is a late one, in the second it will be repeated.
                if self.takes_queries
                    && facts.member
                    && desk.incarnation == facts.incarnation
                    && self.obeys(from, desk.epoch, facts, out)
                {
                    self.on_desk(now, from, desk, facts, out);
                }
            }
            WorkMessage::Report(_) | WorkMessage::Deposed { .. } => {}
        }
    }

    /// Takes in what the engine says.
    pub(super) fn engine(&mut self, now: Time, event: EngineEvent, facts: WorkerFacts, out: &mut Outbox) {
        match event {
            EngineEvent::Loaded { model } => {
                if self.engine.on_loaded(&model) {
                    out.observe(Observation::Loaded { model, ok: true });
                }
            }
            EngineEvent::LoadFailed { model, reason } => {
                if self.engine.on_load_failed(&model) {
                    out.observe(Observation::Loaded { model: Arc::clone(&model), ok: false });
                    self.fail_model(&model, &format!("{model} did not load: {reason}"), out);
                }
            }
            EngineEvent::Finished { attempt, answer, took } => {
                if let Some((order, _)) = self.engine.on_end(attempt) {
                    self.end(&order, judge(answer, order.inputs), took, out);
                }
            }
            EngineEvent::Failed { attempt, reason } => {
                if let Some((order, since)) = self.engine.on_end(attempt) {
                    self.end(&order, Outcome::Failed(shorten(&reason)), now.since(since), out);
                }
            }
            EngineEvent::Died { reason } => self.on_death(now, &reason, out),
        }
        self.go_on(now, facts, out);
        if !self.fresh.is_empty() {
            self.report_unasked(now, facts, out);
        }
    }

    /// This life was evicted: everything leaves the desk, and what runs is killed.
    pub(super) fn expel(&mut self, _now: Time, out: &mut Outbox) {
        let results = self.fresh.drain(..).chain(self.told.drain(..));
        for held in results.map(|result| result.held) {
            out.observe(Observation::Dropped { query: held.query, attempt: held.attempt });
        }
        for order in self.waiting.drain(..) {
            out.observe(Observation::Dropped { query: order.query, attempt: order.attempt });
        }
        if let Some(order) = self.engine.abandon(|_| true) {
            out.observe(Observation::Dropped { query: order.query, attempt: order.attempt });
        }
        self.supply.retain(|_| false, out);
        self.engine.kill_inference(out);
        self.gone.clear();
        self.latest = None;
        // The next life counts its desks anew.
        self.followed = (Epoch(0), 0);
    }

    /// The newest reign that the worker or the rest of its node has heard of.
    fn newest(&self, facts: WorkerFacts) -> Epoch {
        self.reign.0.max(facts.epoch)
    }

    /// Whether the coordinator of `epoch` may command; if not, it is told so.
    fn obeys(&mut self, from: NodeId, epoch: Epoch, facts: WorkerFacts, out: &mut Outbox) -> bool {
        let newest = self.newest(facts);
        if epoch < newest && !self.planted.has(Mutant::ObeysOldReign) {
            out.send(from, Body::Work(WorkMessage::Deposed { epoch: newest }));
            return false;
        }
        self.reign = (epoch, Some(from));
        true
    }

    fn on_desk(&mut self, now: Time, from: NodeId, desk: &Desk, facts: WorkerFacts, out: &mut Outbox) {
        let obeys_all = self.planted.has(Mutant::ObeysOldReign) && self.followed.0 != desk.epoch;
        if self.followed.0 < desk.epoch || obeys_all {
            self.followed = (desk.epoch, 0);
        }
        if desk.version < self.followed.1 {
            return;
        }
        if desk.version > self.followed.1 {
            self.followed.1 = desk.version;
            self.drop_unkept(&desk.keep, out);
            self.accept(desk, out);
            self.engine.check(now, !self.waiting.is_empty(), out);
            self.go_on(now, facts, out);
        }
        self.report(now, from, Results::Due, facts, out);
    }

    /// Takes everything off the desk that is not kept. What runs already runs on, because a new engine would first have
    /// to load its models again; nobody will hear of its end.
    fn drop_unkept(&mut self, keep: &[AttemptId], out: &mut Outbox) {
        let gone = &mut self.gone;
        let mut stays = |attempt: AttemptId, query: QueryId, settled: bool, out: &mut Outbox| {
            if keep.binary_search(&attempt).is_ok() {
                return true;
            }
            if !settled {
                out.observe(Observation::Dropped { query, attempt });
            }
            if gone.len() == GONE_MAX {
                gone.pop_front();
            }
            gone.push_back(attempt);
            false
        };
        self.waiting.retain(|order| stays(order.attempt, order.query, false, out));
        self.engine.abandon(|order| !stays(order.attempt, order.query, false, out));
        self.fresh.retain(|result| stays(result.held.attempt, result.held.query, true, out));
        self.told.retain(|result| stays(result.held.attempt, result.held.query, true, out));
    }

    /// Appends the orders that are new, or refuses them. One for which there is no room is left out, which the report shows.
    fn accept(&mut self, desk: &Desk, out: &mut Outbox) {
        for order in &desk.orders {
            let room = self.held() < usize::from(WINDOW_MAX)
                && self.held() + self.fresh.len() + self.told.len() < UNSETTLED_MAX;
            if !room || desk.keep.binary_search(&order.attempt).is_err() || self.knows(order.attempt) {
                continue;
            }
            self.latest = self.latest.max(Some(order.attempt));
            let (query, attempt, epoch) = (order.query, order.attempt, desk.epoch);
            if self.rng.chance(self.refuse) {
                out.observe(Observation::Refused { query, attempt, epoch });
                let progress = Progress::Ended { outcome: Outcome::Refused, took: Span::ZERO };
                self.fresh.push(Unsettled::fresh(Held { attempt, query, progress }));
            } else {
                out.observe(Observation::Accepted { query, attempt, epoch });
                self.supply.add(order);
                self.waiting.push_back(order.clone());
            }
        }
    }

    /// Whether the attempt is on the desk, or left it not long ago.
    fn knows(&self, attempt: AttemptId) -> bool {
        if Some(attempt) > self.latest {
            return false;
        }
        let results = self.fresh.iter().chain(&self.told).map(|result| result.held.attempt);
        let orders = self.waiting.iter().chain(self.engine.running()).map(|order| order.attempt);
        orders.chain(results).chain(self.gone.iter().copied()).any(|known| known == attempt)
    }

    fn on_death(&mut self, now: Time, reason: &Arc<str>, out: &mut Outbox) {
        out.observe(Observation::EngineDied { reason: shorten(reason) });
        let Some(busy) = self.engine.on_death() else { return };
        let why = |limit: Span| {
            if busy.killed {
                format!("took longer than {limit}")
            } else {
                format!("the engine died: {reason}")
            }
        };
        match &busy.task {
            // A model whose load kills the engine must not be tried for ever.
            Task::Load(model) => {
                out.observe(Observation::Loaded { model: Arc::clone(model), ok: false });
                let why = why(engine::LOAD_LIMIT);
                self.fail_model(model, &format!("{model} did not load: {why}"), out);
            }
            Task::Infer(order) => {
                let outcome = Outcome::Failed(shorten(&why(order.limit).into()));
                self.end(order, outcome, now.since(busy.since), out);
            }
            Task::Unwanted(..) => {}
        }
    }

    /// All that waits for `model` at this moment fails.
    fn fail_model(&mut self, model: &str, reason: &str, out: &mut Outbox) {
        let reason = shorten(&reason.into());
        let (failed, waiting) = self.waiting.drain(..).partition(|order: &Order| &*order.model == model);
        self.waiting = waiting;
        for order in VecDeque::into_iter(failed) {
            self.end(&order, Outcome::Failed(Arc::clone(&reason)), Span::ZERO, out);
        }
    }

    /// Notes a result, to be reported at the end of the step.
    fn end(&mut self, order: &Order, outcome: Outcome, took: Span, out: &mut Outbox) {
        let error = match &outcome {
            Outcome::Answered(_) => None,
            Outcome::Failed(reason) => Some(Arc::clone(reason)),
            Outcome::Refused => unreachable!("what was refused does not run"),
        };
        let (query, attempt) = (order.query, order.attempt);
        out.observe(Observation::Ended { query, attempt, error });
        let held = Held { attempt, query, progress: Progress::Ended { outcome, took } };
        self.fresh.push(Unsettled::fresh(held));
    }

    /// Reports to whoever leads. When nobody is known to, the results count as told, and their turn comes again.
    fn report_unasked(&mut self, now: Time, facts: WorkerFacts, out: &mut Outbox) {
        let (epoch, speaker) = self.reign;
        let coordinator =
            if epoch >= facts.epoch { speaker.or(facts.coordinator) } else { facts.coordinator };
        if let Some(coordinator) = coordinator {
            self.report(now, coordinator, Results::Due, facts, out);
        } else {
            self.reported = now;
            drop(self.results(now, Results::Due));
        }
    }

    fn report(&mut self, now: Time, to: NodeId, results: Results, facts: WorkerFacts, out: &mut Outbox) {
        self.reported = now;
        let epoch = self.newest(facts);
        let loading = self.engine.loading();
        let named = |order: &Order, progress| Held { attempt: order.attempt, query: order.query, progress };
        let mut held = Vec::new();
        held.extend(self.engine.running().map(|order| named(order, Progress::Running)));
        for (place, order) in self.waiting.iter().enumerate() {
            let begun = place == 0 && loading.is_some_and(|model| *model == order.model);
            held.push(named(order, if begun { Progress::Running } else { Progress::Waiting }));
        }
        held.extend(self.results(now, results));
        let report = Report {
            epoch,
            incarnation: facts.incarnation,
            version: if self.followed.0 == epoch { self.followed.1 } else { 0 },
            held,
            warm: self.engine.warm(),
        };
        out.send(to, Body::Work(WorkMessage::Report(Arc::new(report))));
    }

    /// The results to report now, which count as told from now on. The turn of each comes again soon, in case that the report is
    /// lost, and then after ever longer times, in case that nobody is there to settle it.
    fn results(&mut self, now: Time, results: Results) -> Vec<Held> {
        let repeats = !self.planted.has(Mutant::NoSecondResult);
        let due = |result: &Unsettled| repeats && (results == Results::All || result.again <= now);
        let overdue = self.told.iter().take_while(|result| due(result)).count();
        if overdue == 0 && self.fresh.is_empty() {
            return Vec::new();
        }
        let mut told: Vec<Unsettled> = self.told.drain(..overdue).chain(self.fresh.drain(..)).collect();
        let held = told.iter().map(|result| result.held.clone()).collect();
        for result in &mut told {
            // Whoever asks for all has just begun to listen.
            let before = Some(result.wait).filter(|_| results == Results::Due);
            result.wait = longer(before, self.repeat);
            result.again = now + result.wait;
        }
        for result in told {
            let place = self.told.partition_point(|other| other.again <= result.again);
            self.told.insert(place, result);
        }
        held
    }
}

/// The outcome of an inference that brought `answer`.
fn judge(mut answer: Answer, inputs: u32) -> Outcome {
    if let Some(flaw) = answer.flaw(inputs) {
        return Outcome::Failed(flaw.into());
    }
    let failed = answer.failed.iter().map(|failure| Failure::new(failure.input, &failure.reason));
    answer.failed = failed.collect();
    Outcome::Answered(answer)
}

/// `reason`, cut at [`REASON_BYTES_MAX`].
fn shorten(reason: &Arc<str>) -> Arc<str> {
    if reason.len() <= REASON_BYTES_MAX {
        return Arc::clone(reason);
    }
    let end = (0..=REASON_BYTES_MAX).rev().find(|&end| reason.is_char_boundary(end));
    reason[..end.expect("0 is a boundary")].into()
}
