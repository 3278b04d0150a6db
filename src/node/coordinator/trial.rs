//! Before a suspect is evicted the coordinator asks it itself: whoever answers is kept, and goes on working.
//!
//! A suspect is silent to a majority of its observers, and to nobody else perhaps: where the network is cut in part, the
//! coordinator may well reach it. It would ask to be let in again as soon as it was evicted, be let in, be observed by the
//! same members as before, and be evicted again, for as long as the cut lasts. Its work suffers only from that.

use std::collections::BTreeSet;

use super::super::view::View;
use super::{Coordinator, Facts};
use crate::base::{Incarnation, NodeId, Span, Time};

/// How long a new coordinator waits for answers before it evicts anybody.
const FIRST_ANSWERS: Span = Span::millis(500);

/// The suspects that answer.
#[derive(Debug)]
pub(super) struct Trial {
    /// When the reign began.
    began: Time,
    /// Those that would have been evicted, and answered.
    acquitted: BTreeSet<NodeId>,
}

impl Trial {
    pub(super) fn new(began: Time) -> Trial {
        Trial { began, acquitted: BTreeSet::new() }
    }

    /// Whether `id` is suspect and has not shown that it answers.
    pub(super) fn is_suspect(&self, id: NodeId, facts: &Facts<'_>) -> bool {
        (facts.suspect)(id) && !self.acquitted.contains(&id)
    }

    /// It is heard by its observers again, or does not answer any more.
    pub(super) fn end(&mut self, id: NodeId) -> bool {
        self.acquitted.remove(&id)
    }

    pub(super) fn view_changed(&mut self, view: &View) {
        self.acquitted.retain(|&id| view.member(id).is_some());
    }
}

impl Coordinator {
    /// A member has been suspect for so long that it is evicted unless it answers.
    pub(in super::super) fn evict(&mut self, id: NodeId, incarnation: Incarnation, facts: &Facts<'_>) {
        if self.answers(id, incarnation, facts) {
            self.question(id);
            if self.trial.acquitted.insert(id) {
                self.reassess(facts);
            }
        } else if facts.now.since(self.trial.began) < FIRST_ANSWERS {
            self.question(id);
        } else {
            if self.trial.end(id) {
                self.reassess(facts);
            }
            self.let_go(id, incarnation, facts);
        }
    }

    /// Whether it has answered this coordinator within the time that it takes to evict a suspect.
    fn answers(&self, id: NodeId, incarnation: Incarnation, facts: &Facts<'_>) -> bool {
        let within = self.config.membership.evict_after;
        let desk = self.desks.get(&id).filter(|desk| desk.incarnation == incarnation);
        let works = desk.and_then(|desk| desk.answered_at).is_some_and(|at| facts.now.since(at) < within);
        works || (facts.lag)(id).is_some() && (facts.silence)(id) < within
    }

    fn question(&mut self, id: NodeId) {
        if let Some(desk) = self.desks.get_mut(&id) {
            desk.question(self.survey_until.is_none());
            self.touched.insert(id);
        }
    }
}
