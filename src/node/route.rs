//! Routing inside a node: the events that come of a step in one sub-machine go to the others, until none is left.

use std::sync::Arc;

use super::coordinator::{self, Coordinator, Wish};
use super::facts::{coordinator_facts, membership_facts};
use super::log::LogEvent;
use super::membership::MembershipEvent;
use super::mutant::Mutant;
use super::observation::{Change, Observation, StepDown};
use super::update::{Memo, ViewUpdate};
use super::{
    ClusterId, Command, Entry, FailoverMode, Ledger, Life, Node, Outbox, Payload, Record, Snapshot, Start,
    Token, View, ViewChange,
};
use crate::base::{Incarnation, NodeId, Span, Time};

/// A node that could not leave tries again after this time.
const LEAVE_AGAIN: Span = Span::millis(500);
/// How long a reign lasts before whoever leads it can tell who else wants to leave: these ask as often as this node tries.
const ALL_HAVE_ASKED: Span = Span::secs(1);
/// Events that one step may cause. More is a loop between sub-machines, which is a bug.
const EVENTS_MAX: usize = 1_000_000;

impl Node {
    /// The first step: the new life is put on record before anything is said.
    pub(super) fn start(&mut self, now: Time, out: &mut Outbox) {
        let incarnation = self.membership.me().incarnation;
        let life = Life::Expecting { incarnation, durable_by: Token(0) };
        if let Life::Unborn(Start::Found) = std::mem::replace(&mut self.life, life) {
            self.cluster = ClusterId(self.rng.fork("cluster").bits());
            out.cluster = self.cluster;
            out.persist(Record::Cluster(self.cluster));
            let me = self.membership.me().clone();
            let founding = Command::ChangeView(ViewChange { joined: vec![me], gone: Vec::new() });
            self.log.found(now, founding, out, &mut self.log_events);
        }
        self.expect(incarnation, out);
    }

    /// A new life begins once its record is durable.
    fn expect(&mut self, incarnation: Incarnation, out: &mut Outbox) {
        let durable_by = out.persist(Record::Incarnation(incarnation));
        self.life = Life::Expecting { incarnation, durable_by };
    }

    pub(super) fn persisted(&mut self, now: Time, token: Token, out: &mut Outbox) {
        self.log.persisted(now, token, out, &mut self.log_events);
        if let Life::Expecting { incarnation, durable_by } = self.life
            && token >= durable_by
        {
            self.life = Life::Living;
            out.observe(Observation::Born { incarnation });
            let facts = membership_facts!(self);
            self.membership.begin(now, &facts, out, &mut self.membership_events);
        }
    }

    /// Does what is due, in a fixed order.
    pub(super) fn wake(&mut self, now: Time, out: &mut Outbox) {
        if now >= self.log.deadline() {
            self.log.wake(now, out, &mut self.log_events);
        }
        if now >= self.membership.deadline() {
            let facts = membership_facts!(self);
            self.membership.wake(now, &facts, out, &mut self.membership_events);
        }
        if now >= self.worker.deadline() {
            self.worker.wake(now, self.worker_facts(), out);
        }
        if now >= self.store.deadline() {
            self.store.wake(now, out);
        }
        if now >= self.leave_at {
            self.leave(now, out);
        }
        self.route(now, out);
        if let Some(coordinator) = &mut self.coordinator
            && now >= coordinator.deadline()
        {
            coordinator.wake(&coordinator_facts!(self, now), out, &mut self.wishes);
        }
    }

    /// Ends a step: everything that follows from it within this node has happened, and the coordinator has acted on it.
    pub(super) fn settle(&mut self, now: Time, out: &mut Outbox) {
        self.route(now, out);
        self.store.settle(now, self.worker_facts(), out);
        self.route(now, out);
        if self.config.has(Mutant::ReseatsEarly) && self.coordinator.is_none() && self.log.leads() {
            let facts = coordinator_facts!(self, now);
            if let Some(seats) = coordinator::next_seats(self.me, &self.config, &facts) {
                self.wishes.push_back(Wish::Seat(seats));
            }
            self.route(now, out);
        }
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.settle(&coordinator_facts!(self, now), out, &mut self.wishes);
            self.route(now, out);
        }
    }

    /// Routes events until none is left. Most steps cause none: a heartbeat that was heard is the usual one.
    pub(super) fn route(&mut self, now: Time, out: &mut Outbox) {
        let quiet = self.log_events.is_empty() && self.membership_events.is_empty() && self.wishes.is_empty();
        if !quiet || out.has_local() {
            self.route_events(now, out);
        }
    }

    fn route_events(&mut self, now: Time, out: &mut Outbox) {
        for _ in 0..EVENTS_MAX {
            if let Some(event) = self.log_events.pop_front() {
                self.on_log(now, event, out);
            } else if let Some(event) = self.membership_events.pop_front() {
                self.on_membership(now, event, out);
            } else if let Some(wish) = self.wishes.pop_front() {
                self.on_wish(now, wish, out);
            } else if let Some(body) = out.take_local() {
                if matches!(self.life, Life::Living) {
                    self.deliver(now, self.me, body, out);
                }
            } else {
                return;
            }
        }
        panic!("the parts of a node keep each other busy");
    }

    fn on_log(&mut self, now: Time, event: LogEvent, out: &mut Outbox) {
        match event {
            // The coordinator is made when the first entry of the reign is applied, see `commit`.
            LogEvent::Led { .. } | LogEvent::Follow { .. } | LogEvent::Seated(_) => {}
            LogEvent::Unled { reason, .. } => {
                if self.config.has(Mutant::DeposedGoesOn) {
                    return;
                }
                if let Some(mut coordinator) = self.coordinator.take() {
                    coordinator.handed_over(out);
                    if reason == StepDown::NoQuorum {
                        coordinator.abandon(&self.log.silent_voters(now), out);
                    }
                }
            }
            LogEvent::Commit(entry) => self.commit(now, entry, out),
            LogEvent::Compact(last) => {
                self.compacted = last;
                self.log.compact(now, last, self.ledger.encode(), out);
            }
            LogEvent::Restore(snapshot) => self.restore(now, &snapshot, out),
            LogEvent::Readable { .. } => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.readable(&coordinator_facts!(self, now), out, &mut self.wishes);
                }
            }
        }
    }

    /// Applies a committed entry.
    fn commit(&mut self, now: Time, entry: Entry, out: &mut Outbox) {
        let position = entry.position;
        let payload = Arc::clone(&entry.payload);
        let applied = self.ledger.apply(&entry);
        let changes = Arc::clone(&applied.changes);
        out.observe(Observation::Applied { entry, changes: applied.changes, state: self.ledger.digest() });
        if let Payload::Seats(seats) = &*payload
            && seats.number > self.seats.number
        {
            self.seats = Arc::clone(seats);
            self.remember(out);
        }
        for change in changes.iter() {
            if let Change::ViewChanged { view, .. } = change {
                let facts = membership_facts!(self);
                self.membership.install(now, Arc::clone(view), &facts, out, &mut self.membership_events);
            }
        }
        if self.coordinator.is_none() && self.log.leads() && position.epoch == self.log.epoch() {
            let rng = self.rng.fork("coordinator").fork_number(position.epoch.0);
            let facts = coordinator_facts!(self, now);
            self.coordinator =
                Some(Coordinator::new(self.me, position.epoch, Arc::clone(&self.config), rng, &facts, out));
        } else if let Some(coordinator) = &mut self.coordinator {
            coordinator.applied(&changes, &coordinator_facts!(self, now), out);
            if let Some((session, number, reply)) = applied.reply {
                coordinator.replied(session, number, reply, out);
            }
            if let Payload::Seats(_) = &*payload {
                coordinator.reseated(now);
            }
            self.announce(&payload, &changes, out);
        }
        if position.index.0 >= self.compacted.0 + self.config.failover.snapshot_every {
            self.compacted = position.index;
            self.log.compact(now, position.index, self.ledger.encode(), out);
        }
    }

    /// The coordinator tells everyone what has changed in view or seats.
    fn announce(&mut self, payload: &Payload, changes: &[Change], out: &mut Outbox) {
        let facts = membership_facts!(self);
        for change in changes {
            if let Change::ViewChanged { view, change } = change {
                let update = ViewUpdate::Step {
                    base: crate::base::ViewId(view.id().0 - 1),
                    change: (**change).clone(),
                    result: Memo::of(Arc::clone(view)),
                };
                self.membership.announce(update, &facts, out);
            }
        }
        if let Payload::Seats(_) = payload {
            let update = ViewUpdate::Whole(Arc::clone(self.membership.view()));
            self.membership.announce(update, &facts, out);
        }
    }

    /// Replaces the replicated state.
    fn restore(&mut self, now: Time, snapshot: &Snapshot, out: &mut Outbox) {
        self.ledger = Ledger::decode(&snapshot.state)
            .expect("snapshots are checked where they are stored and received");
        self.ledger.planted = self.config.planted;
        self.compacted = snapshot.last.index;
        out.observe(Observation::Restored { last: snapshot.last, state: self.ledger.digest() });
        if snapshot.seats.number > self.seats.number {
            self.seats = Arc::clone(&snapshot.seats);
        }
        let view: Arc<View> = Arc::clone(self.ledger.view());
        let facts = membership_facts!(self);
        self.membership.install(now, view, &facts, out, &mut self.membership_events);
    }

    fn on_membership(&mut self, now: Time, event: MembershipEvent, out: &mut Outbox) {
        match event {
            MembershipEvent::Reign { epoch, coordinator } => {
                self.log.hear(now, epoch, coordinator, out, &mut self.log_events);
            }
            MembershipEvent::Installed(_) => self.remember(out),
            MembershipEvent::Seats(seats) => {
                if seats.number > self.seats.number {
                    self.seats = seats;
                    self.remember(out);
                }
            }
            MembershipEvent::Expelled => self.expelled(now, out),
            MembershipEvent::Left => {
                self.leave_at = Time::NEVER;
                out.left();
            }
            MembershipEvent::Evict(id, _) => {
                self.log.dead(now, id, &self.seats, out, &mut self.log_events);
                self.advise(now, event);
            }
            MembershipEvent::Suspected(..)
            | MembershipEvent::Trusted(..)
            | MembershipEvent::Joining(_)
            | MembershipEvent::Leaving(..) => self.advise(now, event),
        }
    }

    /// Tells the coordinator, if there is one here, what membership has noticed.
    fn advise(&mut self, now: Time, event: MembershipEvent) {
        let Some(coordinator) = &mut self.coordinator else { return };
        let facts = coordinator_facts!(self, now);
        match event {
            MembershipEvent::Suspected(id, _) => coordinator.suspect(id, &facts),
            MembershipEvent::Trusted(id, incarnation) => {
                coordinator.trust(id, incarnation);
                coordinator.reassess(&facts);
            }
            MembershipEvent::Evict(id, incarnation) => coordinator.evict(id, incarnation, &facts),
            MembershipEvent::Leaving(id, incarnation) => coordinator.depart(id, incarnation, &facts),
            MembershipEvent::Joining(member) => coordinator.join(&member, &facts),
            MembershipEvent::Reign { .. }
            | MembershipEvent::Installed(_)
            | MembershipEvent::Seats(_)
            | MembershipEvent::Left
            | MembershipEvent::Expelled => {}
        }
    }

    /// This life was evicted: its work is dropped, and a new life asks to be let in.
    fn expelled(&mut self, now: Time, out: &mut Outbox) {
        self.worker.expel(now, out);
        self.log.expelled(out, &mut self.log_events);
        let before = self.membership.me().incarnation;
        let incarnation = if self.config.has(Mutant::EvictedReturns) { before } else { before.next() };
        self.membership.reborn(incarnation);
        self.expect(incarnation, out);
    }

    /// Leaves: first the lead, to a voter that stays, then the membership.
    pub(super) fn leave(&mut self, now: Time, out: &mut Outbox) {
        self.leave_at = now + LEAVE_AGAIN;
        if !self.log.leads() {
            let facts = membership_facts!(self);
            self.membership.leave(now, &facts, out, &mut self.membership_events);
            return;
        }
        // One that has just been elected does not know who else leaves.
        let Some(coordinator) = &mut self.coordinator else { return };
        coordinator.depart(self.me, self.membership.me().incarnation, &coordinator_facts!(self, now));
        let alone = self.ledger.view().members().iter().all(|member| member.id == self.me);
        if alone || self.config.failover.mode == FailoverMode::Standby {
            // No one is left to lead: the cluster ends with its last member, and goes on when it returns. In the classic design nobody
            // can be handed anything.
            out.left();
        } else if coordinator.reigns_for(now) >= ALL_HAVE_ASKED
            && let Some(heir) = self.heir()
        {
            self.log.transfer(now, heir, out);
        }
    }

    /// The voter that is closest to the end of the log, and stays.
    fn heir(&self) -> Option<NodeId> {
        let leaves = |id| self.coordinator.as_ref().is_some_and(|coordinator| coordinator.is_departing(id));
        let others =
            self.log.seats().voters.iter().copied().filter(|&voter| voter != self.me && !leaves(voter));
        let heir = others
            .filter(|&voter| !self.membership.is_suspect(voter))
            .map(|voter| (self.log.lag(voter).unwrap_or(u64::MAX), voter))
            .min();
        heir.map(|(_, voter)| voter)
    }

    /// Puts view and seats on record, for a restart.
    fn remember(&self, out: &mut Outbox) {
        out.persist(Record::View {
            view: Arc::clone(self.membership.view()),
            seats: Arc::clone(&self.seats),
        });
    }

    fn on_wish(&mut self, now: Time, wish: Wish, out: &mut Outbox) {
        match wish {
            Wish::Propose(command) => {
                if self.log.propose(now, command.clone(), out, &mut self.log_events).is_none()
                    && let Some(coordinator) = &mut self.coordinator
                {
                    coordinator.not_proposed(command, out);
                }
            }
            // A change that cannot be made now is wished for again.
            Wish::Seat(seats) => {
                self.log.propose_seats(now, seats, out, &mut self.log_events);
            }
            Wish::Standby => {
                let suspect = |id| self.membership.is_suspect(id);
                self.log.choose(now, self.ledger.view(), suspect, out, &mut self.log_events);
            }
            Wish::HandOver(to) => {
                let voters = &self.log.seats().voters;
                let heir = match to {
                    Some(to) => Some(to).filter(|to| *to != self.me && voters.contains(to)),
                    None => self.heir(),
                };
                match (heir, &mut self.coordinator) {
                    // One that is under way already goes on.
                    (Some(heir), _) => self.log.transfer(now, heir, out),
                    (None, Some(coordinator)) => coordinator.no_heir(out),
                    (None, None) => {}
                }
            }
            Wish::Read => {
                if self.log.read(now, out, &mut self.log_events).is_none()
                    && let Some(coordinator) = &mut self.coordinator
                {
                    coordinator.not_readable(out);
                }
            }
        }
    }
}
