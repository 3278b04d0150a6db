//! The voter's side of failure detection: alerts become suspicion, and lasting suspicion a call for eviction.

use std::collections::{BTreeMap, VecDeque};

use super::watch::{ALERT_PERIOD, GRACE};
use super::{Events, MembershipEvent};
use crate::base::{Incarnation, NodeId, Span, Time};
use crate::node::io::Outbox;
use crate::node::observation::Observation;
use crate::node::view::View;

/// How long an alert counts that is not repeated.
const ALERT_LIFE: Span = Span::millis(300);
/// How long an alert about a silence of more than eight times as long counts: whoever has been silent for that long hardly ever speaks just
/// when a few alerts are lost.
const ALERT_LIFE_MAX: Span = Span::secs(1);

/// The alerts that count at present, and what follows from them. Empty while nobody is accused.
///
/// A member is suspect while a majority of its observers accuse it. When at least one accuser is itself not accused by
/// a majority, two kinds of observers that are silent about the member count as agreeing: those that are suspect, who
/// may be unable to speak, and those that came to observe it by a view change while it was suspect, who are still in
/// their grace. The latter only keep it suspect; they do not evict it.
///
/// How old a suspicion is follows from the silence that the alerts report. So it does not start anew when alerts are lost and nobody
/// has heard the member in the meantime, and a voter that did not hear the first alerts is no later than the others.
#[derive(Debug)]
pub(super) struct Jury {
    suspect_after: Span,
    evict_after: Span,
    cases: BTreeMap<NodeId, Case>,
    /// Never later than the next expiry or eviction.
    due: Time,
}

#[derive(Debug)]
struct Case {
    incarnation: Incarnation,
    /// Observers of the current view, at most 16.
    accusers: Vec<Accuser>,
    /// Whether accusers alone are a majority.
    direct: bool,
    /// Since when a majority has been able to accuse it; `None` while the member is not suspect.
    since: Option<Time>,
    /// When the suspicion is or was due to become an eviction; never while the member is not suspect.
    evict_at: Time,
}

#[derive(Debug)]
struct Accuser {
    id: NodeId,
    until: Time,
    /// When it heard the member last, as its last alert says.
    heard: Time,
    /// It has not accused: it is new and in its grace, and the member was suspect before it came.
    presumed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Trusted,
    /// Suspect, but only because new observers are presumed to agree.
    Kept,
    Suspect,
}

/// One alert.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accusation {
    pub(super) by: NodeId,
    pub(super) subject: NodeId,
    pub(super) incarnation: Incarnation,
    /// How long the accuser has heard nothing.
    pub(super) silent_for: Span,
}

impl Jury {
    pub(super) fn new(suspect_after: Span, evict_after: Span) -> Jury {
        Jury { suspect_after, evict_after, cases: BTreeMap::new(), due: Time::NEVER }
    }

    /// When [`Jury::wake`] may have something to do.
    pub(super) fn due(&self) -> Time {
        self.due
    }

    pub(super) fn is_suspect(&self, id: NodeId) -> bool {
        self.cases.get(&id).is_some_and(|case| case.since.is_some())
    }

    /// The members that some observer accuses, in order of their ids.
    pub(super) fn accused(&self) -> impl Iterator<Item = NodeId> {
        self.cases.keys().copied()
    }

    /// Whether `by` accuses `id` at present.
    pub(super) fn accuses(&self, by: NodeId, id: NodeId) -> bool {
        let said = |accuser: &Accuser| accuser.id == by && !accuser.presumed;
        self.cases.get(&id).is_some_and(|case| case.accusers.iter().any(said))
    }

    /// The suspects, in order of their ids.
    #[cfg(test)]
    pub(super) fn suspects(&self) -> impl Iterator<Item = (NodeId, Incarnation)> {
        let suspect = |(&id, case): (&NodeId, &Case)| case.since.map(|_| (id, case.incarnation));
        self.cases.iter().filter_map(suspect)
    }

    /// An alert arrived. It counts if `view` has this life of the subject, and the accuser as its observer.
    pub(super) fn accuse(
        &mut self,
        now: Time,
        accusation: Accusation,
        view: &View,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        let Accusation { by, subject, incarnation, silent_for } = accusation;
        if !view.contains(subject, incarnation) || !observers(view, subject).any(|observer| observer == by) {
            return;
        }
        let until = now + Span(silent_for.0 / 8).clamp(ALERT_LIFE, ALERT_LIFE_MAX);
        let accuser = Accuser { id: by, until, heard: now - silent_for, presumed: false };
        self.due = self.due.min(until);
        let case = self.cases.entry(subject).or_insert_with(|| Case {
            incarnation,
            accusers: Vec::new(),
            direct: false,
            since: None,
            evict_at: Time::NEVER,
        });
        match case.accusers.iter_mut().find(|known| known.id == by) {
            Some(known) => {
                let repeats = !known.presumed;
                *known = accuser;
                if repeats {
                    return;
                }
            }
            None => case.accusers.push(accuser),
        }
        let mut touched = Vec::new();
        self.recount(subject, view, &mut touched);
        self.settle(now, &touched, view, out, events);
    }

    /// Drops alerts that were not repeated, and calls for evictions that are due.
    pub(super) fn wake(&mut self, now: Time, view: &View, out: &mut Outbox, events: &mut Events) {
        let mut changed = Vec::new();
        for (&id, case) in &mut self.cases {
            let before = case.accusers.len();
            case.accusers.retain(|accuser| accuser.until > now);
            if case.accusers.len() != before {
                changed.push(id);
            }
        }
        self.resettle(now, &changed, view, out, events);
        self.evict(now, view, events);
    }

    fn evict(&mut self, now: Time, view: &View, events: &mut Events) {
        let due: Vec<NodeId> =
            self.cases.iter().filter(|(_, case)| case.evict_at <= now).map(|(&id, _)| id).collect();
        for id in due {
            let firm = self.weigh(id, view) == Verdict::Suspect;
            if let Some(case) = self.cases.get_mut(&id) {
                case.evict_at = now + ALERT_PERIOD;
                if firm {
                    events.push_back(MembershipEvent::Evict(id, case.incarnation));
                }
            }
        }
        self.look_ahead();
    }

    /// From now on `new` decides who observes whom.
    pub(super) fn install(
        &mut self,
        now: Time,
        old: &View,
        new: &View,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        self.cases.retain(|&id, case| new.contains(id, case.incarnation));
        for (&id, case) in &mut self.cases {
            case.accusers.retain(|accuser| observers(new, id).any(|observer| observer == accuser.id));
            if case.since.is_none() {
                continue;
            }
            for observer in observers(new, id) {
                let is_new = !observers(old, id).any(|earlier| earlier == observer);
                if is_new && case.accusers.iter().all(|accuser| accuser.id != observer) {
                    let until = now + GRACE + ALERT_LIFE;
                    case.accusers.push(Accuser { id: observer, until, heard: now, presumed: true });
                }
            }
        }
        let all: Vec<NodeId> = self.cases.keys().copied().collect();
        self.resettle(now, &all, new, out, events);
        self.look_ahead();
    }

    /// Forgets all alerts: this node has no vote.
    pub(super) fn clear(&mut self) {
        self.cases.clear();
        self.due = Time::NEVER;
    }

    /// This node was not awake for `by`: alerts may wait to be received, and no suspicion grew older.
    pub(super) fn overslept(&mut self, by: Span) {
        for case in self.cases.values_mut() {
            for accuser in &mut case.accusers {
                accuser.until += by;
                accuser.heard += by;
            }
            case.since = case.since.map(|at| at + by);
            case.evict_at += by;
        }
    }

    /// Decides anew about `changed`, whose accusers changed, and everyone whose case depends on theirs.
    fn resettle(
        &mut self,
        now: Time,
        changed: &[NodeId],
        view: &View,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        let mut touched = Vec::new();
        for &id in changed {
            self.recount(id, view, &mut touched);
        }
        self.settle(now, &touched, view, out, events);
        self.cases.retain(|_, case| case.accusers.iter().any(|accuser| !accuser.presumed));
    }

    /// Counts the accusers of `id` and adds to `touched` whose verdict may change by it.
    fn recount(&mut self, id: NodeId, view: &View, touched: &mut Vec<NodeId>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let direct = case.accusers.iter().filter(|accuser| !accuser.presumed).count() >= majority(view, id);
        touched.push(id);
        if direct != case.direct {
            case.direct = direct;
            touched.extend(subjects(view, id).filter(|subject| self.cases.contains_key(subject)));
        }
    }

    /// Brings the verdicts to rest: first everything that becomes suspect, then everything that becomes trusted.
    ///
    /// More suspects never make a verdict milder, so each phase ends, and after the second the first has nothing to add.
    fn settle(&mut self, now: Time, touched: &[NodeId], view: &View, out: &mut Outbox, events: &mut Events) {
        for suspecting in [true, false] {
            let mut queue: VecDeque<NodeId> = touched.iter().copied().collect();
            while let Some(id) = queue.pop_front() {
                let suspect = self.weigh(id, view) != Verdict::Trusted;
                let since = self.silent_since(now, id, view);
                let Some(case) = self.cases.get_mut(&id) else { continue };
                let incarnation = case.incarnation;
                if suspect != suspecting || case.since.is_some() == suspecting {
                    continue;
                }
                if suspect {
                    case.since = Some(since);
                    case.evict_at = since + self.evict_after;
                    self.due = self.due.min(case.evict_at);
                    out.observe(Observation::Suspected { subject: id, incarnation });
                    events.push_back(MembershipEvent::Suspected(id, incarnation));
                } else {
                    (case.since, case.evict_at) = (None, Time::NEVER);
                    out.observe(Observation::Trusted { subject: id, incarnation });
                    events.push_back(MembershipEvent::Trusted(id, incarnation));
                }
                queue.extend(subjects(view, id).filter(|subject| self.cases.contains_key(subject)));
            }
        }
    }

    /// What the alerts about `id` amount to at present.
    fn weigh(&self, id: NodeId, view: &View) -> Verdict {
        let Some(case) = self.cases.get(&id) else { return Verdict::Trusted };
        if case.direct {
            return Verdict::Suspect;
        }
        // Whoever a majority accuses cannot speak for the silent ones. Suspects by agreement alone still can: otherwise
        // three members that accuse each other could turn one another's verdicts round for ever.
        let lends = |accuser: &Accuser| {
            !accuser.presumed && !self.cases.get(&accuser.id).is_some_and(|own| own.direct)
        };
        if !case.accusers.iter().any(lends) {
            return Verdict::Trusted;
        }
        let (mut firm, mut presumed) = (0, 0);
        for observer in observers(view, id) {
            match case.accusers.iter().find(|accuser| accuser.id == observer) {
                Some(accuser) if !accuser.presumed => firm += 1,
                _ if self.is_suspect(observer) => firm += 1,
                Some(_) => presumed += 1,
                None => {}
            }
        }
        let majority = majority(view, id);
        if firm >= majority {
            Verdict::Suspect
        } else if firm + presumed >= majority {
            Verdict::Kept
        } else {
            Verdict::Trusted
        }
    }

    /// Since when a majority of the observers has been silent about `id` for long enough to accuse it, those among them that are suspect
    /// themselves since they are; `now` if there is no majority of those who have said so.
    fn silent_since(&self, now: Time, id: NodeId, view: &View) -> Time {
        let Some(case) = self.cases.get(&id) else { return now };
        let said = |observer: NodeId| {
            let accuser = case.accusers.iter().find(|accuser| accuser.id == observer && !accuser.presumed);
            let lent = || self.cases.get(&observer).and_then(|own| own.since);
            accuser.map(|accuser| accuser.heard + self.suspect_after).or_else(lent)
        };
        let mut times: Vec<Time> = observers(view, id).filter_map(said).collect();
        times.sort_unstable();
        times.get(majority(view, id) - 1).map_or(now, |since| now.min(*since))
    }

    fn look_ahead(&mut self) {
        let next = |case: &Case| {
            let expiry = case.accusers.iter().map(|accuser| accuser.until).min();
            expiry.map_or(case.evict_at, |expiry| expiry.min(case.evict_at))
        };
        self.due = self.cases.values().map(next).min().unwrap_or(Time::NEVER);
    }
}

fn observers(view: &View, id: NodeId) -> impl Iterator<Item = NodeId> {
    let places = view.position(id).map_or(&[][..], |position| view.observers(position));
    places.iter().map(|&place| view.members()[place as usize].id)
}

fn subjects(view: &View, id: NodeId) -> impl Iterator<Item = NodeId> {
    let places = view.position(id).map_or(&[][..], |position| view.subjects(position));
    places.iter().map(|&place| view.members()[place as usize].id)
}

fn majority(view: &View, id: NodeId) -> usize {
    view.position(id).map_or(0, |position| view.observers(position).len()) / 2 + 1
}
