//! Becoming the leader: asking whether one would be elected, standing for election, voting, handing over.

use std::collections::BTreeSet;

use super::super::entry::Position;
use super::super::io::Outbox;
use super::super::message::{Body, LogMessage};
use super::super::mutant::{Mutant, Planted};
use super::super::observation::Observation;
use super::super::record::Record;
use super::super::{Ballot, Token};
use super::adoption::Gathered;
use super::lead::{Follower, Handover};
use super::{Log, Role, Turn};
use crate::base::{Epoch, NodeId, Span, Time};

/// How often a voter that misses its leader asks at once again, between two time-outs.
const HURRIES_MAX: u8 = 3;

/// A voter that misses its leader and asks whether it would be elected. Nobody's term changes by it.
#[derive(Debug)]
pub(super) struct Asking {
    epoch: Epoch,
    granted: BTreeSet<NodeId>,
    /// Those whose log goes on where this one ends, and who were asked for the rest.
    fetched_from: BTreeSet<NodeId>,
    /// The end of the most complete log among theirs.
    pub(super) best: Position,
    pub(super) gathered: Option<Gathered>,
}

impl Asking {
    pub(super) fn fetched_from(&self, node: NodeId) -> bool {
        self.fetched_from.contains(&node)
    }
}

/// A candidate.
#[derive(Debug)]
pub(super) struct Standing {
    granted: BTreeSet<NodeId>,
    /// The write of its own vote, which counts once it is durable.
    own: Token,
}

impl Log {
    /// Draws the next election time-out: uniform between the shortest and twice the shortest.
    pub(super) fn reset_timer(&mut self, now: Time) {
        let extra = Span(self.rng.below(self.election.0.saturating_add(1)));
        self.timer = now + self.election + extra;
    }

    /// Whether nobody has ever led, and this voter is the one to begin.
    pub(super) fn is_to_be_first(&self) -> bool {
        self.store.last().epoch == Epoch(1) && self.store.seats().voters.first() == Some(&self.me)
    }

    /// Whether a leader was heard so recently that nobody should be elected in its place.
    fn content(&self, now: Time) -> bool {
        let heard = |at: Time| {
            let lately = now.since(at) < self.election || self.planted.has(Mutant::ContentForEver);
            self.leader.is_some() && lately
        };
        self.leads() || self.heard_at.is_some_and(heard)
    }

    /// Whether an election that this node took part in, for someone else than `asker`, may still succeed. Without this, one who asks
    /// while the votes of another are on their way would depose it in the next epoch.
    fn waits_for_another(&self, now: Time, asker: NodeId) -> bool {
        let fresh = self.voted_at.is_some_and(|at| now.since(at) < self.election);
        fresh && self.leader.is_none() && self.ballot.vote.is_some_and(|candidate| candidate != asker)
    }

    fn other_voters(&self) -> Vec<NodeId> {
        let mut voters = self.store.seats().voters.clone();
        let outsiders = self.planted.has(Mutant::OutsidersVote);
        if outsiders || self.planted.has(Mutant::RemovedVoterVotes) {
            voters.extend(self.store.voters_so_far());
            voters.extend(self.store.seats().learners.iter().filter(|_| outsiders));
            voters.sort_unstable();
            voters.dedup();
        }
        voters.retain(|&voter| voter != self.me);
        voters
    }

    /// Whether those who granted something are a majority of the voters.
    fn majority(&self, granted: &BTreeSet<NodeId>) -> bool {
        let seats = self.store.seats();
        if self.planted.has(Mutant::OutsidersVote) || self.planted.has(Mutant::RemovedVoterVotes) {
            return granted.len() >= seats.quorum();
        }
        seats.is_quorum(|voter| granted.contains(&voter))
    }

    /// Asks all voters whether they would elect this node; alone, it need not ask.
    pub(super) fn ask(&mut self, t: &mut Turn) {
        assert!(self.seated && !self.leads(), "only a voter that does not lead stands for election");
        let epoch = self.epoch().next();
        t.observe(Observation::Stood { epoch });
        self.reset_timer(t.now);
        if self.is_to_be_first() {
            // Others may not have begun yet.
            self.timer = t.now + self.beat;
        }
        // A suffix that is still growing is not begun anew.
        let gathered = match &mut self.role {
            Role::Asking(asking) => asking.gathered.take().and_then(Gathered::carried_over),
            Role::Follower | Role::Standing(_) | Role::Leading(_) => None,
        };
        let asking = Asking {
            epoch,
            granted: BTreeSet::from([self.me]),
            fetched_from: BTreeSet::new(),
            best: Position::default(),
            gathered,
        };
        let alone = self.majority(&asking.granted);
        self.role = Role::Asking(asking);
        if alone {
            self.stand(t, false);
            return;
        }
        for voter in self.other_voters() {
            t.send(voter, LogMessage::PreVote { epoch, last: self.store.last() });
        }
    }

    /// Asks again at once, because the answers may be better now; not more than a few times until the next time-out, because whoever
    /// runs after a log that keeps growing would ask for ever.
    pub(super) fn ask_again(&mut self, t: &mut Turn) {
        if self.seated && self.hurries < HURRIES_MAX {
            self.hurries += 1;
            self.ask(t);
        }
    }

    /// Whether a log that ends at `last` is at least as complete as this one.
    fn is_complete(&self, last: Position, mistakes_length: bool) -> bool {
        let own = self.store.last();
        if mistakes_length {
            return last.index >= own.index;
        }
        last >= own
    }

    /// Someone asks whether it would be elected.
    pub(super) fn on_pre_vote(&mut self, t: &mut Turn, from: NodeId, epoch: Epoch, last: Position) {
        let own = self.store.last();
        let free = !self.content(t.now) && !self.waits_for_another(t.now, from);
        let longer = self.planted.has(Mutant::ElectsLonger) || self.planted.has(Mutant::AdoptsLonger);
        let granted = epoch > self.epoch() && self.is_complete(last, longer) && free;
        t.send(from, LogMessage::PreVoteReply { epoch, granted, term: self.epoch(), last: own });
    }

    /// What a voter says to being asked.
    pub(super) fn on_pre_vote_reply(
        &mut self,
        t: &mut Turn,
        from: NodeId,
        epoch: Epoch,
        granted: bool,
        term: Epoch,
        last: Position,
    ) {
        if term > self.epoch() {
            let asked = matches!(self.role, Role::Asking(_));
            self.raise(t, term);
            if asked {
                self.ask_again(t);
            }
        }
        let Role::Asking(asking) = &mut self.role else { return };
        if granted && epoch == asking.epoch {
            asking.granted.insert(from);
            let granted = asking.granted.clone();
            if self.majority(&granted) {
                self.stand(t, false);
            }
        } else if !granted && is_better(last, self.store.last().max(asking.best), self.planted) {
            asking.best = last;
            asking.fetched_from.insert(from);
            let own = self.store.last();
            let after = match &asking.gathered {
                Some(gathered) => gathered.end().index,
                // Of two logs that end in the same term the shorter one is the beginning of the longer one.
                None if own.epoch == last.epoch => own.index,
                None => self.store.commit(),
            };
            t.send(from, LogMessage::Fetch { after });
        }
    }

    /// Stands for election in the next epoch. The request goes out once the own vote is durable: a candidate that forgot that it
    /// stood would stand in the same epoch again, perhaps with a shorter log, and votes for its first life would count for its second.
    pub(super) fn stand(&mut self, t: &mut Turn, transfer: bool) {
        let epoch = self.epoch().next();
        self.draw = None;
        self.leader = None;
        self.heard_at = None;
        let own = self.write_ballot(t, Ballot { epoch, vote: Some(self.me) });
        t.observe(Observation::Voted { epoch, candidate: self.me });
        self.role = Role::Standing(Standing { granted: BTreeSet::new(), own });
        self.reset_timer(t.now);
        let hasty = self.planted.has(Mutant::StandsBeforeDurable);
        for voter in self.other_voters() {
            let message = LogMessage::Vote { epoch, last: self.store.last(), transfer };
            t.send_after(voter, message, Some(own).filter(|_| !hasty));
        }
        if hasty {
            self.count_own_vote(t, own);
        }
    }

    pub(super) fn write_ballot(&mut self, t: &mut Turn, ballot: Ballot) -> Token {
        assert!(
            ballot.epoch > self.ballot.epoch
                || ballot.epoch == self.ballot.epoch && self.ballot.vote.is_none()
        );
        self.voted_at = ballot.vote.map(|_| t.now);
        self.ballot = ballot;
        self.heard = self.heard.max(ballot.epoch);
        let token = t.out.persist(Record::Ballot(ballot));
        self.ballot_write = Some(token);
        token
    }

    /// Someone stands for election.
    pub(super) fn on_vote(
        &mut self,
        t: &mut Turn,
        from: NodeId,
        epoch: Epoch,
        last: Position,
        transfer: bool,
    ) {
        let premature = epoch > self.epoch() && !transfer && self.content(t.now);
        if epoch < self.epoch() || premature {
            t.send(from, LogMessage::VoteReply { epoch: self.epoch(), granted: false });
            return;
        }
        self.raise(t, epoch);
        let free = self.ballot.vote.is_none() && self.leader.is_none();
        if free && self.is_complete(last, self.planted.has(Mutant::ElectsLonger)) {
            self.role = Role::Follower;
            self.write_ballot(t, Ballot { epoch, vote: Some(from) });
            t.observe(Observation::Voted { epoch, candidate: from });
            self.reset_timer(t.now);
        }
        let granted = self.ballot.vote == Some(from);
        let durable = self.ballot_write.filter(|_| !self.planted.has(Mutant::VoteBeforeDurable));
        t.send_after(from, LogMessage::VoteReply { epoch, granted }, durable);
    }

    /// What a voter says to a candidate.
    pub(super) fn on_vote_reply(&mut self, t: &mut Turn, from: NodeId, epoch: Epoch, granted: bool) {
        if epoch > self.epoch() {
            self.raise(t, epoch);
        }
        if let Role::Standing(standing) = &mut self.role
            && granted
            && epoch == self.ballot.epoch
        {
            standing.granted.insert(from);
            self.count_votes(t);
        }
    }

    /// The own vote may have become durable.
    pub(super) fn count_own_vote(&mut self, t: &mut Turn, token: Token) {
        if let Role::Standing(standing) = &mut self.role
            && standing.own <= token
        {
            standing.granted.insert(self.me);
            self.count_votes(t);
        }
    }

    /// A candidate with the votes of a majority leads, if its own is among them: then its log and its candidacy are durable.
    fn count_votes(&mut self, t: &mut Turn) {
        let Role::Standing(standing) = &self.role else { return };
        if standing.granted.contains(&self.me) && self.majority(&standing.granted) {
            self.lead_now(t);
        }
    }

    /// The leader asks this node to stand for election in its place.
    pub(super) fn on_transfer_now(&mut self, t: &mut Turn, from: NodeId, epoch: Epoch) {
        if epoch == self.epoch() && self.leader == Some(from) && self.seated && !self.leads() {
            self.stand(t, true);
        }
    }

    /// Begins to hand over to the voter `to`: nothing is accepted any more until it leads, or an election time-out has passed. False, with
    /// nothing changed, when this node does not lead, hands over already, or `to` is not another voter.
    pub(in super::super) fn transfer(&mut self, now: Time, to: NodeId, out: &mut Outbox) -> bool {
        let until = now + self.election;
        let eligible = to != self.me && self.store.seats().voters.contains(&to);
        let Some(lead) = self.lead_mut().filter(|lead| eligible && lead.handover.is_none()) else {
            return false;
        };
        lead.handover = Some(Handover { to, until });
        self.transfer_if_ready(out);
        true
    }

    /// Tells the successor to stand once it holds the whole log.
    pub(super) fn transfer_if_ready(&mut self, out: &mut Outbox) {
        let Some(lead) = self.lead() else { return };
        let Some(to) = lead.handover.as_ref().map(|handover| handover.to) else { return };
        let complete = |follower: &Follower| follower.matched == self.store.last().index;
        if lead.followers.get(&to).is_some_and(complete) {
            out.send(to, Body::Log(LogMessage::TransferNow { epoch: self.epoch() }));
        }
    }
}

/// Whether a log that ends at `last` has what one that ends at `own` lacks.
fn is_better(last: Position, own: Position, planted: Planted) -> bool {
    last > own || last.index > own.index && planted.has(Mutant::AdoptsLonger)
}
