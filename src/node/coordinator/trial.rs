//! Before a suspect is evicted the coordinator asks it itself: whoever answers is kept, and goes on working.
//!
//! A suspect is silent to a majority of its observers, and to nobody else perhaps: where the network is cut in part, the
//! coordinator may well reach it. It would ask to be let in again as soon as it was evicted, be let in, be observed by the
//! same members as before, and be evicted again, for as long as the cut lasts. Its work suffers only from that.
//!
//! It is asked when it becomes suspect, and has some time to answer even if it is to be evicted at once: a suspicion that is made of alerts of
//! different moments may be as old as an eviction when it comes. And it is kept if it answers before the view changes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::view::View;
use super::{Coordinator, Facts};
use crate::base::{Incarnation, NodeId, Span, Time};

/// How long a new coordinator waits for answers before it evicts anybody.
const FIRST_ANSWERS: Span = Span::millis(500);
/// How long a suspect has to answer before it is evicted.
const ANSWER: Span = Span::millis(100);

/// The suspects that answer.
#[derive(Debug)]
pub(super) struct Trial {
    /// The coordinator itself.
    me: NodeId,
    /// When the reign began.
    began: Time,
    /// Those that would have been evicted, and answered.
    acquitted: BTreeSet<NodeId>,
    /// The suspects, each since when: then it was asked.
    asked: BTreeMap<NodeId, Time>,
    /// Those that did not answer, and have until the view changes: each since when it was asked once more.
    condemned: BTreeMap<NodeId, (Incarnation, Time)>,
}

impl Trial {
    pub(super) fn new(me: NodeId, began: Time) -> Trial {
        Trial { me, began, acquitted: BTreeSet::new(), asked: BTreeMap::new(), condemned: BTreeMap::new() }
    }

    /// Whether `id` is suspect and has not shown that it answers. The coordinator always answers itself: a quorum follows it, whatever its
    /// observers say.
    pub(super) fn is_suspect(&self, id: NodeId, facts: &Facts<'_>) -> bool {
        id != self.me && (facts.suspect)(id) && !self.acquitted.contains(&id)
    }

    /// It is heard by its observers again.
    pub(super) fn absolve(&mut self, id: NodeId) {
        self.acquitted.remove(&id);
        self.asked.remove(&id);
        self.condemned.remove(&id);
    }

    /// Whether it has been suspect for too short a time to have answered.
    fn waits_for(&self, id: NodeId, now: Time) -> bool {
        self.asked.get(&id).is_some_and(|&since| now.since(since) < ANSWER)
    }

    /// It does not answer any more.
    fn end(&mut self, id: NodeId) -> bool {
        self.acquitted.remove(&id)
    }

    pub(super) fn view_changed(&mut self, view: &View) {
        self.acquitted.retain(|&id| view.member(id).is_some());
        self.asked.retain(|&id, _| view.member(id).is_some());
        self.condemned.retain(|&id, (incarnation, _)| view.contains(id, *incarnation));
    }
}

impl Coordinator {
    /// A member has become suspect: its desk is sent, and asks it.
    pub(in super::super) fn suspect(&mut self, id: NodeId, facts: &Facts<'_>) {
        self.trial.asked.insert(id, facts.now);
        self.reassess(facts);
    }

    /// A member has been suspect for so long that it is evicted unless it answers.
    pub(in super::super) fn evict(&mut self, id: NodeId, incarnation: Incarnation, facts: &Facts<'_>) {
        if self.answers(id, incarnation, self.config.membership.evict_after, facts) {
            self.question(id);
            if self.trial.acquitted.insert(id) {
                self.reassess(facts);
            }
        } else if facts.now.since(self.trial.began) < FIRST_ANSWERS || self.trial.waits_for(id, facts.now) {
            self.question(id);
        } else {
            if self.trial.end(id) {
                self.reassess(facts);
            }
            self.question(id);
            self.trial.condemned.entry(id).or_insert((incarnation, facts.now));
            self.let_go(id, incarnation, facts);
        }
    }

    /// Whoever has answered since it was to be evicted stays, unless the view has changed by then.
    pub(super) fn spare_who_answered(&mut self, facts: &Facts<'_>) {
        let has_answered = |(&id, &(incarnation, since)): (&NodeId, &(Incarnation, Time))| {
            let answers = self.answers(id, incarnation, facts.now.since(since), facts);
            answers.then_some((id, incarnation))
        };
        let spared: Vec<(NodeId, Incarnation)> =
            self.trial.condemned.iter().filter_map(has_answered).collect();
        for &(id, incarnation) in &spared {
            self.trial.condemned.remove(&id);
            self.trial.acquitted.insert(id);
            self.council.leaving_is_off(id, incarnation);
        }
        if !spared.is_empty() {
            self.reassess(facts);
        }
    }

    /// Whether it has answered this coordinator within the last `within`.
    fn answers(&self, id: NodeId, incarnation: Incarnation, within: Span, facts: &Facts<'_>) -> bool {
        let desk = self.desks.get(&id).filter(|desk| desk.incarnation == incarnation);
        let works = desk.and_then(|desk| desk.answered_at).is_some_and(|at| facts.now.since(at) < within);
        works || (facts.lag)(id).is_some() && (facts.silence)(id) < within
    }

    pub(super) fn question(&mut self, id: NodeId) {
        if let Some(desk) = self.desks.get_mut(&id) {
            desk.question(self.survey_until.is_none());
            self.touched.insert(id);
        }
    }
}
