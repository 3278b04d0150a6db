//! The observer's side of failure detection: who is silent, and for how long.

use crate::base::{Incarnation, NodeId, Span, Time};
use crate::node::view::View;

/// How long a new edge may stay silent: its subject has to learn of the view first.
pub(super) const GRACE: Span = Span::secs(2);
/// How often an alert is repeated while the silence lasts.
pub(super) const ALERT_PERIOD: Span = Span::millis(100);

/// The members that this node observes, with a silence clock each.
#[derive(Debug)]
pub(super) struct Watch {
    suspect_after: Span,
    /// In order of their ids; about as many as each member has observers.
    subjects: Vec<Subject>,
    /// Never later than the earliest alert; sometimes earlier, because a heartbeat does not move it.
    due: Time,
}

#[derive(Clone, Copy, Debug)]
struct Subject {
    id: NodeId,
    incarnation: Incarnation,
    /// When it was last heard; during its grace, later than now, so that the silence limit ends with the grace.
    heard: Time,
    /// The earliest time of the next alert.
    alert_at: Time,
}

/// What a heartbeat meant to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A sign of life of one whom this node observes.
    Subject,
    /// One whom this node observes, but in a life before the one that it observes: no sign of life.
    EarlierLife,
    /// One whom this node does not observe.
    Stranger,
}

impl Watch {
    pub(super) fn new(suspect_after: Span) -> Watch {
        Watch { suspect_after, subjects: Vec::new(), due: Time::NEVER }
    }

    /// When [`Watch::sweep`] may have something to do.
    pub(super) fn due(&self) -> Time {
        self.due
    }

    /// A heartbeat of this life of `from` arrived. This is the most frequent thing that happens in a cluster.
    pub(super) fn hear(&mut self, now: Time, from: NodeId, incarnation: Incarnation) -> Heard {
        for subject in &mut self.subjects {
            if subject.id == from {
                if incarnation < subject.incarnation {
                    return Heard::EarlierLife;
                }
                subject.heard = now;
                // Only the end of a grace can bring the limit forward.
                self.due = self.due.min(now + self.suspect_after);
                return Heard::Subject;
            }
        }
        Heard::Stranger
    }

    /// Calls `alert` with everyone who has been silent for too long, at most once per alert period, and the length of the
    /// silence.
    pub(super) fn sweep(&mut self, now: Time, mut alert: impl FnMut(NodeId, Incarnation, Span)) {
        self.due = Time::NEVER;
        for subject in &mut self.subjects {
            let mut next = (subject.heard + self.suspect_after).max(subject.alert_at);
            if now >= next {
                alert(subject.id, subject.incarnation, now.since(subject.heard));
                subject.alert_at = now + ALERT_PERIOD;
                next = subject.alert_at;
            }
            self.due = self.due.min(next);
        }
    }

    /// Observes whomever the member at `position` of `view` observes. Edges that were there before keep their clocks,
    /// new ones (a new life among them) begin with a grace.
    pub(super) fn follow(&mut self, now: Time, view: &View, position: usize) {
        let before = std::mem::take(&mut self.subjects);
        // The positions come in order, so the ids do.
        self.subjects.extend(view.subjects(position).iter().map(|&place| {
            let member = &view.members()[place as usize];
            let kept = before
                .iter()
                .find(|subject| subject.id == member.id && subject.incarnation == member.incarnation);
            kept.copied().unwrap_or_else(|| Subject {
                id: member.id,
                incarnation: member.incarnation,
                heard: now + (GRACE - self.suspect_after),
                alert_at: Time::ZERO,
            })
        }));
        self.due = self
            .subjects
            .iter()
            .map(|subject| subject.heard + self.suspect_after)
            .min()
            .unwrap_or(Time::NEVER);
    }

    /// Observes nobody.
    pub(super) fn clear(&mut self) {
        self.subjects = Vec::new();
        self.due = Time::NEVER;
    }

    /// This node was not awake for `by`, which therefore does not count as silence of others.
    pub(super) fn overslept(&mut self, by: Span) {
        for subject in &mut self.subjects {
            subject.heard += by;
        }
    }
}
