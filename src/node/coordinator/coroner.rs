//! The dead whose observers are dead: so many of them died at once that nobody is left whose word would count.
//!
//! A member is suspect when a majority of its observers does not hear it. Where most of a cluster dies at once, and a quorum of the voters
//! lives, that can be a circle: each of the dead has a majority of dead observers, none of whom is suspect, because most of its own are
//! dead as well. They would stay members for ever, with their seats and with the copies that are counted on them.
//!
//! The coordinator, which a quorum hears, breaks the circle. It asks everyone who is accused by anybody. Whoever does not follow it for as
//! long as it takes to evict a suspect is mute, and those whom a mute one should observe are asked in turn. Observers that are mute count
//! like those that accuse: where they and the accusers are a majority, a member that is mute itself is evicted. One that answers
//! stays, whatever its observers say, and so does one that is mute, but heard by its observers.

use std::collections::BTreeSet;

use super::super::view::View;
use super::{Coordinator, Facts};
use crate::base::{NodeId, Span, Time};

/// How often the dead are looked for.
const LOOK_EVERY: Span = Span::millis(500);

/// When to look next.
#[derive(Debug)]
pub(super) struct Coroner {
    looks_at: Time,
}

impl Coroner {
    pub(super) fn new(now: Time) -> Coroner {
        Coroner { looks_at: now + LOOK_EVERY }
    }
}

impl Coordinator {
    /// Asks whoever may be dead, and has those evicted who are.
    pub(super) fn look_for_the_dead(&mut self, facts: &Facts<'_>) {
        if facts.now < self.coroner.looks_at {
            return;
        }
        self.coroner.looks_at = facts.now + LOOK_EVERY;
        let accused: BTreeSet<NodeId> = (facts.accused)().into_iter().collect();
        let mute = self.mute(facts);
        let doubtful = |id: NodeId| mute.contains(&id) || self.trial.is_suspect(id, facts);
        let view = facts.ledger.view();
        let outvoted = |id: NodeId| {
            let observers = view.position(id).map_or(&[][..], |position| view.observers(position));
            let against = |&&place: &&u32| {
                let observer = view.members()[place as usize].id;
                doubtful(observer) || (facts.accuses)(observer, id)
            };
            observers.iter().filter(against).count() * 2 > observers.len()
        };
        let (mut questioned, mut dead) = (Vec::new(), Vec::new());
        for id in self.perhaps_dead(&accused, &mute, view) {
            if outvoted(id) && mute.contains(&id) {
                dead.extend(view.member(id).map(|member| (id, member.incarnation)));
            } else {
                questioned.push(id);
            }
        }
        for id in questioned {
            // Who does not work has no desk to be asked about, but it may hold chunks.
            if self.desks.contains_key(&id) { self.question(id) } else { self.shelves.question(id) }
        }
        for (id, incarnation) in dead {
            self.evict(id, incarnation, facts);
        }
    }

    /// Those who do not follow what this coordinator says, or have a seat and do not answer it.
    fn mute(&self, facts: &Facts<'_>) -> BTreeSet<NodeId> {
        let patience = self.config.membership.patience();
        let deaf = self.desks.iter().filter(|(_, desk)| desk.is_deaf(facts.now, patience)).map(|(&id, _)| id);
        let seated = facts.seats.voters.iter().copied().filter(|&id| id != self.me);
        let silent = seated.filter(|&id| (facts.silence)(id) >= patience);
        deaf.chain(silent).chain(self.shelves.mute(facts.now, patience)).collect()
    }

    /// Everyone who is accused, or has an observer that is mute.
    fn perhaps_dead(
        &self,
        accused: &BTreeSet<NodeId>,
        mute: &BTreeSet<NodeId>,
        view: &View,
    ) -> BTreeSet<NodeId> {
        let places = |id: &NodeId| view.position(*id).map_or(&[][..], |position| view.subjects(position));
        let observed = mute.iter().flat_map(places);
        let observed = observed.map(|&place| view.members()[place as usize].id);
        let mut all: BTreeSet<NodeId> = accused.iter().copied().chain(observed).collect();
        all.remove(&self.me);
        all
    }
}
