//! What others say to a node goes to the part of it that it concerns, and so does what clients ask.

use std::sync::Arc;

use super::facts::{coordinator_facts, membership_facts};
use super::{
    Body, ClientMessage, ClusterId, Life, LogMessage, MembershipMessage, Message, Node, Outbox, Record,
    Refusal, Reply, Request, StoreMessage, WorkMessage,
};
use crate::base::{NodeId, SessionId, Time};

impl Node {
    pub(super) fn receive(&mut self, now: Time, from: NodeId, message: Message, out: &mut Outbox) {
        let foreign = message.cluster != self.cluster;
        match (&self.life, &message.body) {
            (Life::Living, _) if !foreign => self.deliver(now, from, message.body, out),
            // One who joins does not know the cluster yet, and learns it from the view that lets it in.
            (Life::Living, Body::Membership(MembershipMessage::Join(_)))
                if message.cluster == ClusterId(0) =>
            {
                self.deliver(now, from, message.body, out);
            }
            // ... or from being told that its life is over already: it was let in, never heard of that, and was evicted.
            (
                Life::Living,
                Body::Membership(MembershipMessage::Announce(_) | MembershipMessage::Expelled { .. }),
            ) if self.cluster == ClusterId(0) => {
                self.cluster = message.cluster;
                out.cluster = message.cluster;
                out.persist(Record::Cluster(message.cluster));
                self.deliver(now, from, message.body, out);
            }
            (Life::Unborn(_) | Life::Expecting { .. } | Life::Living, _) => {}
        }
    }

    pub(super) fn deliver(&mut self, now: Time, from: NodeId, body: Body, out: &mut Outbox) {
        match body {
            Body::Membership(message) => {
                let facts = membership_facts!(self);
                self.membership.receive(now, from, message, &facts, out, &mut self.membership_events);
            }
            Body::Log(message) => self.log_message(now, from, message, out),
            Body::Standby(message) => {
                self.log.receive_standby(now, from, message, out, &mut self.log_events);
            }
            Body::Work(message) => self.work(now, from, message, out),
            Body::Client(message) => self.client_message(now, from, message, out),
            Body::Store(message) => self.store_message(now, from, &message, out),
        }
    }

    fn log_message(&mut self, now: Time, from: NodeId, message: LogMessage, out: &mut Outbox) {
        self.log.receive(now, from, message, out, &mut self.log_events);
    }

    fn work(&mut self, now: Time, from: NodeId, message: WorkMessage, out: &mut Outbox) {
        match &message {
            WorkMessage::Survey { epoch } => {
                self.log.hear(now, *epoch, Some(from), out, &mut self.log_events);
            }
            WorkMessage::Desk(desk) => self.log.hear(now, desk.epoch, Some(from), out, &mut self.log_events),
            WorkMessage::Deposed { epoch } => self.log.hear(now, *epoch, None, out, &mut self.log_events),
            WorkMessage::Report(report) => self.log.hear(now, report.epoch, None, out, &mut self.log_events),
        }
        match message {
            WorkMessage::Survey { .. } | WorkMessage::Desk(_) => {
                self.worker.receive(now, from, &message, self.worker_facts(), out);
            }
            WorkMessage::Report(report) => {
                // Hearing of a later reign may have ended this one.
                self.route(now, out);
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.report(from, &report, &coordinator_facts!(self, now), out);
                }
            }
            WorkMessage::Deposed { .. } => {}
        }
    }

    fn store_message(&mut self, now: Time, from: NodeId, message: &StoreMessage, out: &mut Outbox) {
        // A reign that is over is not obeyed, and one that this node has not heard of begins for it.
        if let StoreMessage::Tend(tend) = message {
            self.log.hear(now, tend.epoch, Some(from), out, &mut self.log_events);
        }
        match message {
            StoreMessage::Tend(_) | StoreMessage::Noted { .. } => {
                self.store.settle(now, self.worker_facts(), out);
                self.store.receive(from, message, out);
            }
            StoreMessage::Tending { epoch, incarnation } => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.tends(from, (*epoch, *incarnation), now);
                }
            }
            StoreMessage::Seek { epoch, job } => {
                if let Some(coordinator) = &self.coordinator {
                    coordinator.sought(from, (*epoch, *job), &coordinator_facts!(self, now), out);
                }
            }
            StoreMessage::Found(found) => self.worker.found(now, found, self.worker_facts(), out),
            StoreMessage::Holds(holds) => {
                self.log.hear(now, holds.epoch, None, out, &mut self.log_events);
                self.route(now, out);
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.holds(from, holds, now, out);
                }
            }
        }
    }

    fn client_message(&mut self, now: Time, from: NodeId, message: ClientMessage, out: &mut Outbox) {
        match message {
            ClientMessage::Forward { session, number, request } => {
                if let Some(coordinator) = &mut self.coordinator {
                    let facts = coordinator_facts!(self, now);
                    coordinator.request(from, (session, number), &request, &facts, out, &mut self.wishes);
                } else {
                    let reply = self.refusal();
                    out.send(from, Body::Client(ClientMessage::Answer { session, number, reply }));
                }
            }
            ClientMessage::Answer { session, number, reply } => out.reply(session, number, reply),
        }
    }

    pub(super) fn client(
        &mut self,
        now: Time,
        session: SessionId,
        number: u64,
        request: Arc<Request>,
        out: &mut Outbox,
    ) {
        let leader = self.coordinator().filter(|&leader| leader != self.me);
        if let (Some(coordinator), Life::Living) = (&mut self.coordinator, &self.life) {
            let facts = coordinator_facts!(self, now);
            coordinator.request(self.me, (session, number), &request, &facts, out, &mut self.wishes);
        } else if let (Some(leader), Life::Living) = (leader, &self.life) {
            out.send(leader, Body::Client(ClientMessage::Forward { session, number, request }));
        } else {
            let reply = self.refusal();
            out.reply(session, number, reply);
        }
    }

    /// Who leads, as far as this node can tell: nobody once too few voters are heard, or once a voter misses its leader, even if it
    /// has not heard of a later reign.
    pub(super) fn coordinator(&self) -> Option<NodeId> {
        let heard = self.hears_a_quorum() && !self.log.misses_leader();
        self.log.leader().filter(|&leader| leader == self.me || heard)
    }

    /// Whether a voter is not heard: a suspect, or one who is evicted and still has its seat.
    fn is_missing(&self, voter: NodeId) -> bool {
        self.membership.is_suspect(voter) || self.membership.view().member(voter).is_none()
    }

    fn hears_a_quorum(&self) -> bool {
        self.seats.is_quorum(|voter| !self.is_missing(voter))
    }

    /// Why a request cannot be served here.
    fn refusal(&self) -> Arc<Reply> {
        // Whoever knows of no voters has not been let into a cluster yet.
        Arc::new(Reply::Refused(if self.hears_a_quorum() || self.seats.voters.is_empty() {
            Refusal::NoCoordinator
        } else {
            let voters = self.seats.voters.iter().copied();
            Refusal::NoQuorum { missing: voters.filter(|&voter| self.is_missing(voter)).collect() }
        }))
    }
}
