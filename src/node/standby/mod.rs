//! The classic way to survive the death of a coordinator: one hot standby and no quorum. **It is not safe**: it is here to
//! reproduce earlier systems, and to show what they lose.
//!
//! The first coordinator is named when the cluster is formed. It keeps the whole state in memory and mirrors it to one
//! standby, at every operation or every so often. When membership says that the coordinator is dead the standby takes over, without
//! asking anyone; it then chooses a standby of its own, and the members hear of the new reign by the usual ways.
//!
//! # What it does well, and what it loses
//!
//! Mirrored at every operation, nothing counts before the standby has it. As long as a silent coordinator is a dead one, and
//! coordinator and standby do not die together, nothing is lost then. But:
//!
//! - A coordinator that is only cut off goes on, and so there are two; both count, and accept work (a split brain).
//!   The older one gives up when it hears of the later reign, and all that it had counted since is gone. It need not ever hear:
//!   where each side has evicted the other, nobody speaks to the other side, and both go on.
//! - Mirrored every so often, a standby that takes over has forgotten what was counted, accepted and promised since the last time.
//! - When no standby has a copy, or both die, the state is gone and nobody leads again: nothing of it is on a disk.
//! - Two standbys that follow the same reign on two sides of a partition claim the same epoch.

mod copy;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::{Failover, StandbyRule, limits};
use super::entry::{Command, Entry, Index, Payload, Position, Seats};
use super::io::Outbox;
use super::log::{LogEvent, size};
use super::message::{Backup, Body, StandbyMessage, Whole};
use super::observation::{Observation, StepDown};
use super::record::Disk;
use super::timer::{Timer, add_due, earliest};
use super::view::View;
use crate::base::{Epoch, Incarnation, NodeId, Span, Time};
use copy::Copy;

/// Entries that wait for the standby; what is beyond is not taken.
const WAITING_MAX: u64 = 4096;
/// The seats of a later reign have higher numbers than any that an earlier one makes meanwhile.
const SEATS_PER_REIGN: u64 = 1 << 20;

type Events = VecDeque<LogEvent>;

/// One node's part in the classic design.
#[derive(Debug)]
pub(super) struct Standby {
    me: NodeId,
    rule: StandbyRule,
    /// Between two backups; zero: at every operation.
    backup_every: Span,
    /// After how long an unanswered backup is sent again.
    repeat: Span,
    /// The newest reign that this node knows of, and who leads it, if it knows.
    epoch: Epoch,
    leader: Option<NodeId>,
    copy: Copy,
    /// The reign that the copy is of: this node is, or was, the standby there.
    copy_of: Option<Epoch>,
    lead: Option<Lead>,
    /// It is the first coordinator, and its reign is still to begin.
    founds: bool,
    reads: u64,
}

/// What a coordinator knows.
#[derive(Debug)]
struct Lead {
    committed: Index,
    /// Cluster time at one moment of the own clock.
    clock: (Time, Time),
    mirror: Option<Mirror>,
}

/// What a coordinator knows of its standby.
#[derive(Debug)]
struct Mirror {
    to: NodeId,
    /// Up to where it has said that it holds the state; `None` while it needs the whole of it.
    kept: Option<Index>,
    /// It held all there was once: from then on operations wait for it, if they are mirrored one by one.
    caught_up: bool,
    /// Up to where the present backup goes; it may take several messages.
    goal: Index,
    /// When to send something, again or for the first time.
    due: Time,
}

impl Standby {
    /// One that knows nothing.
    pub(super) fn new(me: NodeId, config: &Failover) -> Standby {
        Standby {
            me,
            rule: config.standby.clone(),
            backup_every: config.backup_every,
            repeat: config.beat,
            epoch: Epoch(0),
            leader: None,
            copy: Copy::default(),
            copy_of: None,
            lead: None,
            founds: false,
            reads: 0,
        }
    }

    /// One that starts from a disk. Of the state there is nothing on it, unless the cluster was formed with this node as its
    /// coordinator and this is its first start.
    pub(super) fn restart(me: NodeId, disk: &Disk, config: &Failover) -> Standby {
        let mut standby = Standby::new(me, config);
        standby.epoch = disk.ballot.epoch;
        if disk.incarnation == Incarnation(0) && disk.snapshot.is_none() && !disk.entries.is_empty() {
            disk.entries.iter().for_each(|entry| standby.copy.append(entry.clone()));
            standby.founds = standby.copy.seats().voters == [me];
        }
        standby
    }

    /// Founds a cluster that consists of this node.
    pub(super) fn found(&mut self, founding: Command) {
        assert_eq!(self.copy.last(), Position::default(), "a cluster is founded once");
        self.epoch = Epoch(1);
        let seats = Seats { number: 1, voters: vec![self.me], learners: Vec::new(), passing: None };
        for (index, payload) in (1..).zip([Payload::Seats(Arc::new(seats)), Payload::Command(founding)]) {
            let position = Position { epoch: Epoch(1), index: Index(index) };
            self.copy.append(Entry { position, at: Time::ZERO, payload: Arc::new(payload) });
        }
        self.founds = true;
    }

    /// When [`Standby::wake`] is due.
    pub(super) fn deadline(&self) -> Time {
        earliest(self.timers())
    }

    /// Adds the timers that are due by `now`.
    pub(super) fn due(&self, now: Time, due: &mut Vec<Timer>) {
        add_due(now, self.timers(), due);
    }

    fn timers(&self) -> [(Timer, Time); 2] {
        let mirror = self.lead.as_ref().and_then(|lead| lead.mirror.as_ref());
        [
            (Timer::Start, if self.founds { Time::ZERO } else { Time::NEVER }),
            (Timer::Backup, mirror.map_or(Time::NEVER, |mirror| mirror.due)),
        ]
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Time, out: &mut Outbox, events: &mut Events) {
        if std::mem::take(&mut self.founds) {
            let seats = Arc::clone(self.copy.seats());
            self.reign(now, Index(0), &seats, out, events);
        }
        let last = self.copy.last().index;
        if let Some(mirror) = self.mirror_mut()
            && mirror.due <= now
        {
            mirror.goal = last;
            self.send(now, out);
        }
    }

    fn mirror_mut(&mut self) -> Option<&mut Mirror> {
        self.lead.as_mut()?.mirror.as_mut()
    }

    /// A reign begins, of one who asks nobody. What the copy holds beyond `committed` counts from now on.
    fn reign(
        &mut self,
        now: Time,
        committed: Index,
        seats: &Arc<Seats>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        let epoch = self.epoch.next();
        (self.epoch, self.leader) = (epoch, Some(self.me));
        out.observe(Observation::Stood { epoch });
        out.observe(Observation::Seated { seats: Arc::clone(seats) });
        // The only vote that counts here is its own.
        out.observe(Observation::Voted { epoch, candidate: self.me });
        out.observe(Observation::Led { epoch });
        events.push_back(LogEvent::Led { epoch });
        self.lead = Some(Lead { committed, clock: (self.copy.last_at(), now), mirror: None });
        self.append(now, Payload::Noop, out, events);
        if self.copy.seats() != seats {
            self.append(now, Payload::Seats(Arc::clone(seats)), out, events);
        }
    }

    /// Takes in a message.
    pub(super) fn receive(
        &mut self,
        now: Time,
        from: NodeId,
        message: StandbyMessage,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        match message {
            StandbyMessage::Backup(backup) => self.on_backup(from, &backup, out, events),
            StandbyMessage::Kept { epoch, last } => self.on_kept(now, from, epoch, last, out, events),
        }
    }

    /// The coordinator's state, or what is new in it.
    fn on_backup(&mut self, from: NodeId, backup: &Backup, out: &mut Outbox, events: &mut Events) {
        if backup.epoch > self.epoch || backup.epoch == self.epoch && self.lead.is_none() {
            self.hear(backup.epoch, Some(from), out, events);
            self.take_in(backup, events);
        }
        let last = self.copy_of.filter(|of| *of == backup.epoch).map(|_| self.copy.last());
        let kept = StandbyMessage::Kept { epoch: self.epoch, last: last.unwrap_or_default() };
        out.send(from, Body::Standby(kept));
    }

    fn take_in(&mut self, backup: &Backup, events: &mut Events) {
        // One reign never changes what it has sent: of a copy of the same reign only the end is news.
        let news = |whole: &&Whole| {
            self.copy_of != Some(backup.epoch) || whole.snapshot.last.index > self.copy.last().index
        };
        if let Some(whole) = backup.whole.as_ref().filter(news) {
            self.copy = Copy::of(whole);
            self.copy_of = Some(backup.epoch);
            events.push_back(LogEvent::Restore(Arc::clone(&whole.snapshot)));
        }
        if self.copy_of != Some(backup.epoch) {
            return;
        }
        for entry in &backup.entries {
            if entry.position.index == self.copy.last().index.next() {
                self.copy.append(entry.clone());
                events.push_back(LogEvent::Commit(entry.clone()));
            }
        }
    }

    /// The standby says how far it holds the state.
    fn on_kept(
        &mut self,
        now: Time,
        from: NodeId,
        epoch: Epoch,
        last: Position,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        if epoch != self.epoch {
            self.hear(epoch, None, out, events);
            return;
        }
        let held = self.copy.position(last.index) == Some(last) && last != Position::default();
        let (end, every, repeat) = (self.copy.last().index, self.backup_every, self.repeat);
        let Some(mirror) = self.mirror_mut().filter(|mirror| mirror.to == from) else { return };
        if held {
            mirror.kept = mirror.kept.max(Some(last.index));
            mirror.caught_up |= mirror.kept == Some(end);
            if every == Span::ZERO {
                mirror.goal = end;
            }
            mirror.due = match mirror.kept >= Some(mirror.goal) {
                true if every == Span::ZERO => Time::NEVER,
                true => now + every,
                false => now,
            };
        } else {
            // It has forgotten everything, as one does that starts again; nothing waits for it until it has caught up.
            (mirror.kept, mirror.caught_up) = (None, false);
            mirror.due = now + repeat;
        }
        self.advance(now, out, events);
    }

    /// A reign, or its leader, was heard of.
    pub(super) fn hear(
        &mut self,
        epoch: Epoch,
        leader: Option<NodeId>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        if epoch > self.epoch {
            self.step_down(StepDown::Superseded, out, events);
            self.epoch = epoch;
            self.leader = None;
        }
        if epoch == self.epoch && self.leader.is_none() {
            self.leader = leader.filter(|leader| *leader != self.me);
        }
    }

    /// The reign of this node ends, if it leads.
    pub(super) fn step_down(&mut self, reason: StepDown, out: &mut Outbox, events: &mut Events) {
        if self.lead.take().is_some() {
            let epoch = self.epoch;
            self.leader = None;
            out.observe(Observation::SteppedDown { epoch, reason });
            events.push_back(LogEvent::Unled { epoch, reason });
        }
    }

    /// Membership says that `id` is dead. `seats` are the newest that this node knows of.
    pub(super) fn dead(
        &mut self,
        now: Time,
        id: NodeId,
        seats: &Seats,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        if let Some(lead) = &mut self.lead {
            if lead.mirror.as_ref().is_some_and(|mirror| mirror.to == id) {
                // What waited for it waits no longer.
                lead.mirror = None;
                self.advance(now, out, events);
            }
        } else if self.leader == Some(id)
            && self.copy_of == Some(self.epoch)
            && seats.learners.contains(&self.me)
        {
            let number = (seats.number + 1).max(self.epoch.next().0 * SEATS_PER_REIGN);
            let own = Seats { number, voters: vec![self.me], learners: Vec::new(), passing: None };
            self.reign(now, self.copy.last().index, &Arc::new(own), out, events);
        }
    }

    /// Sees to it that there is a standby: a member of `view` that is not suspect.
    pub(super) fn choose(
        &mut self,
        now: Time,
        view: &View,
        suspect: impl Fn(NodeId) -> bool,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        let Some(lead) = &mut self.lead else { return };
        lead.mirror.take_if(|mirror| view.member(mirror.to).is_none());
        if lead.mirror.is_some() {
            return;
        }
        let free = |id: &NodeId| *id != self.me && view.member(*id).is_some() && !suspect(*id);
        let Some(to) = self.candidates(view).into_iter().find(free) else {
            self.advance(now, out, events);
            return;
        };
        let number = self.copy.seats().number + 1;
        let seats = Seats { number, voters: vec![self.me], learners: vec![to], passing: None };
        self.append(now, Payload::Seats(Arc::new(seats)), out, events);
        let goal = self.copy.last().index;
        let mirror = Mirror { to, kept: None, caught_up: false, goal, due: now };
        if let Some(lead) = &mut self.lead {
            lead.mirror = Some(mirror);
        }
        match self.copy.whole() {
            Some(_) => self.send(now, out),
            // It is sent when the node has made it.
            None => events.push_back(LogEvent::Compact(goal)),
        }
    }

    /// Who could be the standby, the first choice first.
    fn candidates(&self, view: &View) -> Vec<NodeId> {
        match &self.rule {
            StandbyRule::Earliest => self.copy.seniority().to_vec(),
            StandbyRule::Successor => {
                let next = |&place: &usize| view.observers(place).first().map(|&next| next as usize);
                let around = std::iter::successors(view.position(self.me), next);
                around.skip(1).take(view.members().len() - 1).map(|place| view.members()[place].id).collect()
            }
            StandbyRule::Named(name) => {
                let named = view.members().iter().filter(|member| member.name == *name);
                named.map(|member| member.id).collect()
            }
        }
    }

    /// Makes an operation the next entry. `None`, with nothing changed, when this node does not lead, when too many wait for
    /// the standby, or when the operation is larger than an entry may be.
    pub(super) fn propose(
        &mut self,
        now: Time,
        command: Command,
        out: &mut Outbox,
        events: &mut Events,
    ) -> Option<Position> {
        self.append(now, Payload::Command(command), out, events)
    }

    fn append(
        &mut self,
        now: Time,
        payload: Payload,
        out: &mut Outbox,
        events: &mut Events,
    ) -> Option<Position> {
        let lead = self.lead.as_ref()?;
        let index = self.copy.last().index.next();
        let position = Position { epoch: self.epoch, index };
        let entry = Entry { position, at: self.cluster_time(now), payload: Arc::new(payload) };
        if index.0 - lead.committed.0 > WAITING_MAX || size(&entry) > limits::APPEND_BYTES_MAX {
            return None;
        }
        self.copy.append(entry);
        if let Some(mirror) = self.mirror_mut()
            && mirror.due == Time::NEVER
        {
            (mirror.goal, mirror.due) = (index, now);
        }
        self.advance(now, out, events);
        Some(position)
    }

    /// Lets count what may count, and sends the standby what is due.
    fn advance(&mut self, now: Time, out: &mut Outbox, events: &mut Events) {
        let last = self.copy.last().index;
        let one_by_one = self.backup_every == Span::ZERO;
        let Some(lead) = &mut self.lead else { return };
        let waits_for = lead.mirror.as_ref().filter(|mirror| one_by_one && mirror.caught_up);
        let end = waits_for.map_or(last, |mirror| mirror.kept.unwrap_or(last)).max(lead.committed);
        let fresh = (end.0 - lead.committed.0) as usize;
        let from = std::mem::replace(&mut lead.committed, end);
        events.extend(self.copy.all_after(from).take(fresh).cloned().map(LogEvent::Commit));
        if self.mirror_mut().is_some_and(|mirror| mirror.due <= now && mirror.kept.is_some()) {
            self.send(now, out);
        }
    }

    /// Sends the standby what it lacks, and again if it does not answer.
    fn send(&mut self, now: Time, out: &mut Outbox) {
        let (epoch, repeat) = (self.epoch, self.repeat);
        let Some(mirror) = self.lead.as_mut().and_then(|lead| lead.mirror.as_mut()) else { return };
        mirror.due = now + repeat;
        mirror.kept.take_if(|kept| self.copy.position(*kept).is_none());
        let (whole, from) = match (mirror.kept, self.copy.whole()) {
            (Some(kept), _) => (None, kept),
            (None, Some(whole)) => {
                let from = whole.snapshot.last.index;
                (Some(whole), from)
            }
            (None, None) => return,
        };
        let entries = self.copy.after(from);
        let backup = StandbyMessage::Backup(Arc::new(Backup { epoch, whole, entries }));
        out.send(mirror.to, Body::Standby(backup));
    }

    /// A snapshot of the state after the entry at `last`, which counts.
    pub(super) fn compact(&mut self, now: Time, last: Index, state: Arc<[u8]>, out: &mut Outbox) {
        self.copy.compact(last, state);
        if self.mirror_mut().is_some_and(|mirror| mirror.kept.is_none() && mirror.due <= now) {
            self.send(now, out);
        }
    }

    /// Begins a read, which needs nobody's consent here: it may be answered at once.
    pub(super) fn read(&mut self, events: &mut Events) -> Option<u64> {
        let index = self.lead.as_ref()?.committed;
        self.reads += 1;
        events.push_back(LogEvent::Readable { read: self.reads, index });
        Some(self.reads)
    }

    /// The newest reign that this node knows.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Who leads that reign, if this node knows.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Whether this node leads.
    pub(super) fn leads(&self) -> bool {
        self.lead.is_some()
    }

    /// Whether this node holds the state: it leads, or is the standby.
    pub(super) fn holds(&self) -> bool {
        self.leads() || self.copy_of == Some(self.epoch)
    }

    /// Who holds the state, as far as the copy says.
    pub(super) fn seats(&self) -> &Arc<Seats> {
        self.copy.seats()
    }

    /// Cluster time.
    pub(super) fn cluster_time(&self, now: Time) -> Time {
        let last = self.copy.last_at();
        self.lead.as_ref().map_or(last, |lead| last.max(lead.clock.0 + now.since(lead.clock.1)))
    }
}
