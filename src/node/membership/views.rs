//! How views reach a node and go on to others: installed by the log, announced, fetched.
//!
//! An announcement can be lost, and those whose heartbeats a node gets may know no more than it does. So every member
//! also compares notes with a random one, over and over: whoever can be reached by anybody that knows more learns of it
//! sooner or later, whatever was lost, and nobody is asked more often than it asks.

use std::sync::Arc;

use super::{Events, Facts, Membership, MembershipEvent, Standing, announcement_of, learn_reign};
use crate::base::{NodeId, Span, Time, ViewId};
use crate::node::io::Outbox;
use crate::node::message::{Announcement, Body, MembershipMessage};
use crate::node::mutant::Mutant;
use crate::node::observation::Observation;
use crate::node::update::ViewUpdate;
use crate::node::view::View;

/// How long a node that hears of a newer view waits for the announcement before it asks.
const PATIENCE: Span = Span::millis(20);
/// Between two requests for a newer view.
const FETCH_PERIOD: Span = Span::millis(100);
/// How often a member asks a random one whether it knows more.
pub(super) const COMPARE_PERIOD: Span = Span::millis(500);
/// How many steps a node keeps for those who missed them.
const STEPS_MAX: usize = 4;

impl Membership {
    /// The log has committed this view. Ignored unless it is newer.
    pub(in crate::node) fn install(
        &mut self,
        now: Time,
        view: Arc<View>,
        facts: &Facts<'_>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        if view.id() <= self.view.id() && !self.planted.has(Mutant::InstallsOldView) {
            return;
        }
        let old = std::mem::replace(&mut self.view, view);
        self.behind = None;
        self.say_installed(out, events);
        if self.votes(facts) {
            self.jury.install(now, &old, &self.view, out, events);
        } else {
            self.jury.clear();
        }
        let (id, incarnation) = (self.me.id, self.me.incarnation);
        match self.standing {
            Standing::Silent => {}
            Standing::Joining if self.view.is_home_of(&self.me) => {
                self.standing = Standing::Member;
                self.ask_at = Time::NEVER;
                self.take_place(now);
            }
            // Another process may have had this life before.
            Standing::Joining
                if !self.view.is_ended(id, incarnation) && !self.view.contains(id, incarnation) => {}
            Standing::Member | Standing::Leaving if self.view.is_home_of(&self.me) => {
                self.take_place(now);
            }
            Standing::Joining | Standing::Member | Standing::Leaving => self.end_life(out, events),
        }
    }

    /// As coordinator, after a view or seat change: tells every other member, those who come, and those who go.
    ///
    /// After a seat change `update` is the present view as a whole; members are then told the last step, if there was
    /// one, because they know it and it is small.
    pub(in crate::node) fn announce(&mut self, update: ViewUpdate, facts: &Facts<'_>, out: &mut Outbox) {
        let resolved = if update.target() == self.view.id() {
            Some(Arc::clone(&self.view))
        } else {
            update.resolve(&self.view)
        };
        let Some(view) = resolved else { return };
        let mut newcomers = Vec::new();
        if let ViewUpdate::Step { change, .. } = &update {
            newcomers.extend(change.joined.iter().map(|member| member.id));
            newcomers.sort_unstable();
            for &(id, incarnation) in &change.gone {
                if id != self.me.id && view.is_ended(id, incarnation) {
                    let expelled = MembershipMessage::Expelled { incarnation, view: view.id() };
                    out.send(id, Body::Membership(expelled));
                }
            }
        }
        let whole = announcement_of(facts, ViewUpdate::Whole(Arc::clone(&view)));
        let last = self.steps.back().filter(|last| last.update.target() == view.id());
        let usual = match (&update, last) {
            (ViewUpdate::Whole(_), Some(last)) => announcement_of(facts, last.update.clone()),
            (ViewUpdate::Whole(_), None) => Arc::clone(&whole),
            (ViewUpdate::Step { .. }, _) => announcement_of(facts, update),
        };
        self.remember(&usual);
        for member in view.members() {
            if member.id != self.me.id {
                let is_new = newcomers.binary_search(&member.id).is_ok();
                let announcement = Arc::clone(if is_new { &whole } else { &usual });
                out.send(member.id, Body::Membership(MembershipMessage::Announce(announcement)));
            }
        }
    }

    pub(super) fn on_announce(
        &mut self,
        now: Time,
        from: NodeId,
        announcement: &Arc<Announcement>,
        facts: &Facts<'_>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        learn_reign(announcement.epoch, announcement.coordinator, facts, events);
        if announcement.seats.number > facts.seats.number {
            events.push_back(MembershipEvent::Seats(Arc::clone(&announcement.seats)));
        }
        if announcement.update.target() > self.view.id() {
            match announcement.update.resolve(&self.view) {
                Some(view) => self.install(now, view, facts, out, events),
                None => self.fetch(now, from, facts, out),
            }
        }
        if announcement.update.target() <= self.view.id() {
            self.remember(announcement);
        }
    }

    /// Keeps a step that this node has taken, for those who missed it.
    fn remember(&mut self, announcement: &Arc<Announcement>) {
        let ViewUpdate::Step { base, .. } = &announcement.update else { return };
        if let Some(last) = self.steps.back_mut() {
            let known = last.update.target();
            if known == base.next() && last.seats.number < announcement.seats.number {
                *last = Arc::clone(announcement);
            }
            if known > *base {
                return;
            }
            if known < *base {
                self.steps.clear();
            }
        }
        if self.steps.len() == STEPS_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back(Arc::clone(announcement));
    }

    /// Answers one whose view or seats are older: with the steps that it lacks where they are at hand, else with the whole view.
    pub(super) fn on_fetch(
        &mut self,
        now: Time,
        from: NodeId,
        (have, seats): (ViewId, u64),
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) {
        if have > self.view.id() {
            self.notice_newer(now, from, facts, out);
        }
        if have >= self.view.id() {
            if seats < facts.seats.number {
                self.correct_seats(now, from, facts, out);
            }
            return;
        }
        let reaches = self.steps.back().is_some_and(|last| last.update.target() == self.view.id());
        let first = self.steps.iter().position(|step| step.update.target() == have.next());
        match first.filter(|_| reaches) {
            Some(first) => {
                if self.courtesy.allows(now, from) {
                    for step in self.steps.range(first..) {
                        out.send(from, Body::Membership(MembershipMessage::Announce(Arc::clone(step))));
                    }
                }
            }
            None => self.announce_whole(now, from, facts, out),
        }
    }

    /// Asks someone at random whether it knows more: a member, a voter or a seed, for each of these lists may be out of date.
    pub(super) fn compare(&mut self, now: Time, facts: &Facts<'_>, out: &mut Outbox) {
        if now < self.compare_at {
            return;
        }
        self.compare_at = now + COMPARE_PERIOD;
        let members = self.view.members();
        let voters = &facts.seats.voters;
        let count = members.len() + voters.len() + self.seeds.len();
        let place = self.rng.below(count.max(1) as u64) as usize;
        let everyone = members.iter().map(|member| member.id).chain(voters.iter().copied());
        let other = everyone.chain(self.seeds.iter().copied()).nth(place);
        if let Some(other) = other.filter(|&other| other != self.me.id) {
            self.ask_for_news(other, facts, out);
        }
    }

    /// Sends the whole view to one node.
    pub(super) fn announce_whole(&mut self, now: Time, to: NodeId, facts: &Facts<'_>, out: &mut Outbox) {
        if self.courtesy.allows(now, to) {
            let announcement = announcement_of(facts, ViewUpdate::Whole(Arc::clone(&self.view)));
            out.send(to, Body::Membership(MembershipMessage::Announce(announcement)));
        }
    }

    /// Tells one who takes this node for a voter who votes now.
    pub(super) fn correct_seats(&mut self, now: Time, to: NodeId, facts: &Facts<'_>, out: &mut Outbox) {
        let Some(last) = self.steps.back().filter(|last| last.update.target() == self.view.id()) else {
            return self.announce_whole(now, to, facts, out);
        };
        if self.courtesy.allows(now, to) {
            let announcement = announcement_of(facts, last.update.clone());
            out.send(to, Body::Membership(MembershipMessage::Announce(announcement)));
        }
    }

    /// `from` holds a newer view. Its announcement is probably on its way here too.
    pub(super) fn notice_newer(&mut self, now: Time, from: NodeId, facts: &Facts<'_>, out: &mut Outbox) {
        let since = *self.behind.get_or_insert(now);
        if now >= since + PATIENCE {
            self.fetch(now, from, facts, out);
        }
    }

    /// Asks `from` for a newer view, unless someone was asked just now.
    fn fetch(&mut self, now: Time, from: NodeId, facts: &Facts<'_>, out: &mut Outbox) {
        if self.standing != Standing::Silent && now >= self.fetch_at {
            self.fetch_at = now + FETCH_PERIOD;
            self.ask_for_news(from, facts, out);
        }
    }

    fn ask_for_news(&self, of: NodeId, facts: &Facts<'_>, out: &mut Outbox) {
        let news = MembershipMessage::FetchView { have: self.view.id(), seats: facts.seats.number };
        out.send(of, Body::Membership(news));
    }

    pub(super) fn say_installed(&self, out: &mut Outbox, events: &mut Events) {
        out.observe(Observation::Installed { view: self.view.id(), digest: self.view.digest() });
        events.push_back(MembershipEvent::Installed(Arc::clone(&self.view)));
    }
}
