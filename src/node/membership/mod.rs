//! Failure detection and the follower's side of views: heartbeats, alerts, suspicion, joins, announcements.
//!
//! Whoever this node observes must be heard, or [`Watch`] alerts the voters; on a voter, [`Jury`] turns alerts into
//! suspicion. In a ring ([`Detector::Ring`]) there is one observer, which asks and waits for the answer. A view is installed from an announcement, or by [`Membership::install`] once the log has committed it.
//! Nothing here decides: the coordinator acts on what the events say.

mod doors;
mod jury;
mod views;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::{Detector, Membership as MembershipConfig};
use super::entry::Seats;
use super::io::Outbox;
use super::message::{Announcement, Body, MembershipMessage};
use super::mutant::Planted;
use super::timer::{Timer, add_due, earliest};
use super::update::ViewUpdate;
use super::view::{Member, View};
use crate::base::{Epoch, Incarnation, NodeId, Rng, Span, Time};
use doors::Courtesy;
use jury::{Accusation, Jury};
use watch::{Heard, Watch};

/// What the rest of the node has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MembershipEvent {
    /// As a voter: a majority of this member's observers hear nothing from it.
    Suspected(NodeId, Incarnation),
    /// As a voter: that is over. Not said of a member that left the view while it was suspect.
    Trusted(NodeId, Incarnation),
    /// As a voter: it has been suspect for so long that it shall be evicted. Repeated every 100 ms while that lasts.
    Evict(NodeId, Incarnation),
    /// As coordinator: this life, which does not belong to the view, wants to.
    Joining(Arc<Member>),
    /// As coordinator: this member wants to leave. Like [`Self::Joining`], repeated until it is so and sometimes after.
    Leaving(NodeId, Incarnation),
    /// Someone knows a newer reign than this node, or who leads the newest.
    Reign {
        /// The reign.
        epoch: Epoch,
        /// Who leads it, if the sender knows.
        coordinator: Option<NodeId>,
    },
    /// The node acts by this view from now on. It need not contain the node.
    Installed(Arc<View>),
    /// Someone knows newer seats.
    Seats(Arc<Seats>),
    /// This life was evicted. Nothing is sent before [`Membership::reborn`] and [`Membership::begin`].
    Expelled,
    /// This node has left, as it wished. Nothing is sent any more.
    Left,
}

type Events = VecDeque<MembershipEvent>;

/// Who hears alerts about silent members, and judges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jurors {
    Voters,
    /// In the classic design, whose standby is a learner.
    VotersAndLearners,
}

/// What the log knows.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The newest reign.
    pub(super) epoch: Epoch,
    /// Who leads it.
    pub(super) coordinator: Option<NodeId>,
    /// Whether this node does.
    pub(super) leads: bool,
    pub(super) jurors: Jurors,
    /// Who votes.
    pub(super) seats: &'a Arc<Seats>,
}

/// How a node stands to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It must not speak: its life is not durable yet, or has ended.
    Silent,
    /// It asks to be let in.
    Joining,
    /// It belongs to the view.
    Member,
    /// It belongs to the view and asks to be let go.
    Leaving,
}

/// One node's part in failure detection, and what it knows of the membership.
#[derive(Debug)]
pub(super) struct Membership {
    me: Arc<Member>,
    detector: Detector,
    /// Between two heartbeats, or pings.
    period: Span,
    standing: Standing,
    view: Arc<View>,
    /// The members to which heartbeats go: the observers; in a ring those to which pings go: the observed.
    partners: Vec<NodeId>,
    beat_at: Time,
    pub(super) planted: Planted,
    watch: Watch,
    jury: Jury,
    seeds: Vec<NodeId>,
    rng: Rng,
    /// When to ask again to be let in or out.
    ask_at: Time,
    /// Counts whom to ask.
    turn: u64,
    /// The announcements of the last steps, the newest last and without gaps, for those who missed them.
    steps: VecDeque<Arc<Announcement>>,
    /// Since when a newer view is known to exist.
    behind: Option<Time>,
    fetch_at: Time,
    /// When to compare notes with a random member.
    compare_at: Time,
    courtesy: Courtesy,
}

impl Membership {
    /// Knows `view`, observes nobody and says nothing before [`Membership::begin`]. `me.incarnation` is this life.
    pub(super) fn new(
        me: Member,
        config: &MembershipConfig,
        view: Arc<View>,
        seeds: Vec<NodeId>,
        rng: Rng,
    ) -> Membership {
        Membership {
            me: Arc::new(me),
            detector: config.kind,
            period: config.heartbeat,
            standing: Standing::Silent,
            view,
            partners: Vec::new(),
            beat_at: Time::NEVER,
            planted: Planted::default(),
            watch: Watch::new(config.suspect_after),
            jury: Jury::new(config.suspect_after, config.evict_after),
            seeds,
            rng,
            ask_at: Time::NEVER,
            turn: 0,
            steps: VecDeque::new(),
            behind: None,
            fetch_at: Time::ZERO,
            compare_at: Time::ZERO,
            courtesy: Courtesy::default(),
        }
    }

    /// This life is durable: beats if the view contains it, and asks to be let in otherwise.
    pub(super) fn begin(&mut self, now: Time, facts: &Facts<'_>, out: &mut Outbox, events: &mut Events) {
        if self.view.is_home_of(&self.me) {
            self.standing = Standing::Member;
            self.say_installed(out, events);
            self.take_place(now);
        } else {
            self.begin_asking(now, facts, out, events);
        }
    }

    /// This life has ended and the next has a number. Silent until [`Membership::begin`].
    pub(super) fn reborn(&mut self, incarnation: Incarnation) {
        Arc::make_mut(&mut self.me).incarnation = incarnation;
        self.fall_silent();
    }

    /// When [`Membership::wake`] is due.
    pub(super) fn deadline(&self) -> Time {
        earliest(self.timers())
    }

    /// Adds the timers that are due by `now`.
    pub(super) fn due(&self, now: Time, due: &mut Vec<Timer>) {
        let before = due.len();
        add_due(now, self.timers(), due);
        // Whoever wakes anyway looks ahead, see [`Membership::wake`].
        let next_beat = if self.beat_at <= now { self.beat_at + self.period } else { self.beat_at };
        let looked = now < self.watch.due() && self.watch.due() <= next_beat;
        if due.len() > before && looked && self.watch.due() != Time::NEVER {
            due.push(Timer::Silence);
        }
    }

    fn timers(&self) -> [(Timer, Time); 4] {
        [
            (Timer::Ask, self.ask_at),
            (Timer::Beat, self.beat_at),
            (Timer::Silence, self.watch.due()),
            (Timer::Suspicion, self.jury.due()),
        ]
    }

    /// Does what is due by `now`.
    pub(super) fn wake(&mut self, now: Time, facts: &Facts<'_>, out: &mut Outbox, events: &mut Events) {
        if now >= self.ask_at {
            self.ask(now, facts, out, events);
        }
        if now >= self.beat_at {
            self.beat(now, facts, out);
            // With a beat, because that saves a wake-up of its own.
            self.compare(now, facts, out);
        }
        // Looking now, when the next look would come before the next beat, saves a wake-up of its own.
        if self.watch.due() <= now.max(self.beat_at) {
            self.sweep(now, facts, out, events);
        }
        if now >= self.jury.due() {
            if self.votes(facts) {
                self.jury.wake(now, &self.view, out, events);
            } else {
                self.jury.clear();
            }
        }
    }

    /// The coming wake is late by this much, more than 100 ms: silence that this node slept through does not count.
    pub(super) fn overslept(&mut self, by: Span) {
        self.watch.overslept(by);
        self.jury.overslept(by);
    }

    /// Takes in one message. A node that must not speak learns from announcements and ignores all others.
    pub(super) fn receive(
        &mut self,
        now: Time,
        from: NodeId,
        message: MembershipMessage,
        facts: &Facts<'_>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        use MembershipMessage as M;
        if self.standing == Standing::Silent && !matches!(message, M::Announce(_)) {
            return;
        }
        match message {
            M::Heartbeat { epoch, coordinator, view, incarnation } => {
                learn_reign(epoch, coordinator, facts, events);
                let heard = self.watch.hear(now, from, incarnation);
                if view > self.view.id() {
                    self.notice_newer(now, from, facts, out);
                } else if heard != Heard::Subject && self.is_out(from, incarnation) {
                    self.refuse(now, from, incarnation, out);
                }
            }
            M::Ping { epoch, coordinator, view, incarnation } => {
                learn_reign(epoch, coordinator, facts, events);
                if view > self.view.id() {
                    self.notice_newer(now, from, facts, out);
                }
                if view <= self.view.id() && self.is_out(from, incarnation) {
                    self.refuse(now, from, incarnation, out);
                } else if self.is_member() {
                    out.send(from, Body::Membership(self.heartbeat(facts)));
                }
            }
            M::Alert { subject, incarnation, view, silent_for, by } => {
                if view > self.view.id() {
                    self.notice_newer(now, from, facts, out);
                }
                let accusation = Accusation { by: from, subject, incarnation, silent_for };
                if self.view.contains(from, by) {
                    if self.votes(facts) {
                        self.jury.accuse(now, accusation, &self.view, out, events);
                    } else {
                        self.correct_seats(now, from, facts, out);
                    }
                } else if view <= self.view.id() && self.is_out(from, by) {
                    self.refuse(now, from, by, out);
                }
            }
            M::Join(member) => self.on_join(now, from, member, facts, out, events),
            M::Leave { node, incarnation } => {
                self.on_leave(now, from, (node, incarnation), facts, out, events);
            }
            M::FetchView { have, seats } => self.on_fetch(now, from, (have, seats), facts, out),
            M::Announce(announcement) => self.on_announce(now, from, &announcement, facts, out, events),
            M::Expelled { incarnation, view } => self.on_expelled(incarnation, view, out, events),
        }
    }

    /// The view that this node acts by.
    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether, as a voter, it suspects `id` at present.
    pub(super) fn is_suspect(&self, id: NodeId) -> bool {
        self.jury.is_suspect(id)
    }

    /// Everyone whom some observer accuses, as far as it knows as a voter, in order of their ids.
    pub(super) fn accused(&self) -> Vec<NodeId> {
        self.jury.accused().collect()
    }

    /// Whether the observer `by` accuses `id` at present, as far as it knows as a voter.
    pub(super) fn accuses(&self, by: NodeId, id: NodeId) -> bool {
        self.jury.accuses(by, id)
    }

    /// Everyone whom it suspects as a voter, in order of their ids.
    #[cfg(test)]
    pub(super) fn suspects(&self) -> impl Iterator<Item = (NodeId, Incarnation)> {
        self.jury.suspects()
    }

    /// Whether this life belongs to the view that this node acts by.
    pub(super) fn is_member(&self) -> bool {
        matches!(self.standing, Standing::Member | Standing::Leaving)
    }

    /// This node, in this life.
    pub(super) fn me(&self) -> &Member {
        &self.me
    }

    /// Whether one who speaks as a member in this life, by a view that is not newer, was evicted.
    fn is_out(&self, id: NodeId, incarnation: Incarnation) -> bool {
        self.view.member(id).is_none_or(|member| member.incarnation > incarnation)
    }

    fn votes(&self, facts: &Facts<'_>) -> bool {
        jurors(facts).any(|juror| *juror == self.me.id)
    }

    fn heartbeat(&self, facts: &Facts<'_>) -> MembershipMessage {
        MembershipMessage::Heartbeat {
            epoch: facts.epoch,
            coordinator: facts.coordinator,
            view: self.view.id(),
            incarnation: self.me.incarnation,
        }
    }

    /// Tells the observers that this life goes on; in a ring, asks the observed whether theirs do.
    fn beat(&mut self, now: Time, facts: &Facts<'_>, out: &mut Outbox) {
        for &partner in &self.partners {
            let message = match self.detector {
                Detector::Observers => self.heartbeat(facts),
                Detector::Ring => MembershipMessage::Ping {
                    epoch: facts.epoch,
                    coordinator: facts.coordinator,
                    view: self.view.id(),
                    incarnation: self.me.incarnation,
                },
            };
            out.send(partner, Body::Membership(message));
        }
        self.beat_at += self.period;
        if self.beat_at <= now {
            self.beat_at = now + self.period;
        }
    }

    /// Alerts the voters, this node among them, about everyone who is silent.
    fn sweep(&mut self, now: Time, facts: &Facts<'_>, out: &mut Outbox, events: &mut Events) {
        let Membership { watch, jury, view, me, .. } = self;
        watch.sweep(now, |subject, incarnation, silent_for| {
            for &voter in jurors(facts) {
                if voter == me.id {
                    let accusation = Accusation { by: me.id, subject, incarnation, silent_for };
                    jury.accuse(now, accusation, view, out, events);
                } else {
                    let (view, by) = (view.id(), me.incarnation);
                    let alert = MembershipMessage::Alert { subject, incarnation, view, silent_for, by };
                    out.send(voter, Body::Membership(alert));
                }
            }
        });
    }

    /// Takes the place among observers and subjects that the view gives to this life, or none.
    fn take_place(&mut self, now: Time) {
        let position = self.view.position(self.me.id).filter(|_| self.is_member());
        self.partners.clear();
        let Some(position) = position else {
            self.watch.clear();
            self.beat_at = Time::NEVER;
            return;
        };
        let members = self.view.members();
        let places = match self.detector {
            Detector::Observers => self.view.observers(position),
            Detector::Ring => self.view.subjects(position),
        };
        self.partners.extend(places.iter().map(|&place| members[place as usize].id));
        self.watch.follow(now, &self.view, position);
        if self.partners.is_empty() {
            self.beat_at = Time::NEVER;
        } else if self.beat_at == Time::NEVER {
            // Members that start together shall not beat together.
            self.beat_at = now + Span(self.rng.below(self.period.0.max(1)));
            self.compare_at = now + Span(self.rng.below(views::COMPARE_PERIOD.0));
        }
    }

    fn fall_silent(&mut self) {
        self.standing = Standing::Silent;
        self.ask_at = Time::NEVER;
        self.partners.clear();
        self.watch.clear();
        self.beat_at = Time::NEVER;
    }
}

fn jurors<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a NodeId> {
    let learners = match facts.jurors {
        Jurors::Voters => &[][..],
        Jurors::VotersAndLearners => &facts.seats.learners,
    };
    facts.seats.voters.iter().chain(learners)
}

/// Says so when others know more about who leads than the log does.
fn learn_reign(epoch: Epoch, coordinator: Option<NodeId>, facts: &Facts<'_>, events: &mut Events) {
    let names_it = epoch == facts.epoch && facts.coordinator.is_none() && coordinator.is_some();
    if epoch > facts.epoch || names_it {
        events.push_back(MembershipEvent::Reign { epoch, coordinator });
    }
}

/// The newest view that a node holds, as it tells others.
fn announcement_of(facts: &Facts<'_>, update: ViewUpdate) -> Arc<Announcement> {
    Arc::new(Announcement {
        epoch: facts.epoch,
        coordinator: facts.coordinator,
        update,
        seats: Arc::clone(facts.seats),
    })
}
