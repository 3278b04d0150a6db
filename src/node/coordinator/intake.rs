//! Client requests: from the node that a client is connected to, through the log, and back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::config::limits;
use super::super::entry::Command;
use super::super::ledger::Precheck;
use super::super::message::{Body, ClientMessage, Refusal, Reply, Request};
use super::super::mutant::Mutant;
use super::reading::{self, Answers};
use super::{Coordinator, Facts, Outbox, Wish};
use crate::base::{JobId, NodeId, SessionId};

/// A request whose answer is still to come.
type Pending = (SessionId, u64);

/// A read, and to whom its answer goes.
type Read = (Pending, NodeId, Arc<Request>);

/// The requests under way.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Proposed, and to whom the answer goes.
    proposed: BTreeMap<Pending, NodeId>,
    /// Reads that the next read-index round will cover.
    waiting: Vec<Read>,
    /// Reads that the round under way covers.
    reading: Vec<Read>,
    round: bool,
    /// Those who wait for the end of the reign, and to whom the answer goes.
    handing: BTreeMap<Pending, NodeId>,
}

impl Coordinator {
    /// A client's request, as it came from the node `from` (perhaps this one).
    pub(in super::super) fn request(
        &mut self,
        from: NodeId,
        (session, number): (SessionId, u64),
        request: &Arc<Request>,
        facts: &Facts<'_>,
        out: &mut Outbox,
        wishes: &mut VecDeque<Wish>,
    ) {
        let pending = (session, number);
        let busy = self.intake.proposed.len() + self.intake.waiting.len() + self.intake.handing.len()
            >= limits::REQUESTS_MAX;
        if busy && !self.intake.proposed.contains_key(&pending) {
            let what = "client requests under way".into();
            let refusal = Refusal::Busy { what, limit: limits::REQUESTS_MAX as u64 };
            answer(from, pending, Arc::new(Reply::Refused(refusal)), out);
            return;
        }
        if request.is_read() {
            self.intake.waiting.push((pending, from, Arc::clone(request)));
            self.next_read(wishes);
            return;
        }
        if let Request::HandOver { epoch, to } = **request {
            if epoch == self.epoch {
                self.intake.handing.insert(pending, from);
                wishes.push_back(Wish::HandOver(to));
            } else {
                answer(from, pending, Arc::new(Reply::Done), out);
            }
            return;
        }
        if let Some(origin) = self.intake.proposed.get_mut(&pending) {
            // Asked again, perhaps through another node: it is proposed once, and answered where it was asked last.
            *origin = from;
            return;
        }
        match facts.ledger.precheck(session, number, request) {
            Precheck::Repeat(reply) => answer(from, pending, reply, out),
            Precheck::Refused(refusal) => answer(from, pending, Arc::new(Reply::Refused(refusal)), out),
            Precheck::New => {
                self.intake.proposed.insert(pending, from);
                if self.config.has(Mutant::AnswersBeforeCommit) && matches!(**request, Request::Submit(_)) {
                    let next = facts.ledger.jobs().last().map_or(JobId(0), |(last, _)| last).next();
                    answer(from, pending, Arc::new(Reply::Submitted(next)), out);
                }
                if let Request::Put(_) = **request {
                    if let Err(refusal) = self.begin_put(pending, request, facts.now) {
                        self.replied(session, number, Arc::new(Reply::Refused(refusal)), out);
                    }
                    return;
                }
                let request = Arc::clone(request);
                wishes.push_back(Wish::Propose(Command::Request { session, number, request }));
            }
        }
    }

    fn next_read(&mut self, wishes: &mut VecDeque<Wish>) {
        if !self.intake.round && !self.intake.waiting.is_empty() {
            self.intake.round = true;
            self.intake.reading = std::mem::take(&mut self.intake.waiting);
            wishes.push_back(Wish::Read);
        }
    }

    /// No read-index round could begin: those who wait are told to come back.
    pub(in super::super) fn not_readable(&mut self, out: &mut Outbox) {
        let reply = Arc::new(Reply::Refused(Refusal::NoCoordinator));
        for (pending, from, _) in std::mem::take(&mut self.intake.reading) {
            answer(from, pending, Arc::clone(&reply), out);
        }
        self.intake.round = false;
    }

    /// Nobody can take the reign over.
    pub(in super::super) fn no_heir(&mut self, out: &mut Outbox) {
        let refusal = Refusal::Invalid("there is no other voter that could lead".into());
        self.end_handing(&Arc::new(Reply::Refused(refusal)), out);
    }

    /// The reign is over: that is what those wanted who asked for it to be handed over.
    pub(in super::super) fn handed_over(&mut self, out: &mut Outbox) {
        self.end_handing(&Arc::new(Reply::Done), out);
    }

    fn end_handing(&mut self, reply: &Arc<Reply>, out: &mut Outbox) {
        for (pending, from) in std::mem::take(&mut self.intake.handing) {
            answer(from, pending, Arc::clone(reply), out);
        }
    }

    /// The read-index round is done: the ledger is fresh enough for the reads that waited for it.
    pub(in super::super) fn readable(
        &mut self,
        facts: &Facts<'_>,
        out: &mut Outbox,
        wishes: &mut VecDeque<Wish>,
    ) {
        let mut answers = Answers::new();
        for (pending, from, request) in std::mem::take(&mut self.intake.reading) {
            let key = reading::key(&request);
            if answers.len() >= limits::QUESTIONS_MAX && !answers.contains_key(&key) {
                self.intake.waiting.push((pending, from, request));
                continue;
            }
            let reply = answers.entry(key).or_insert_with(|| Arc::new(self.read(&request, facts)));
            answer(from, pending, Arc::clone(reply), out);
        }
        self.intake.round = false;
        self.next_read(wishes);
    }

    /// A request was committed, and this is the reply to it.
    pub(in super::super) fn replied(
        &mut self,
        session: SessionId,
        number: u64,
        reply: Arc<Reply>,
        out: &mut Outbox,
    ) {
        self.end_put((session, number));
        if let Some(from) = self.intake.proposed.remove(&(session, number)) {
            answer(from, (session, number), reply, out);
        }
    }

    /// The reign ends without a quorum: whoever waits is told so.
    pub(in super::super) fn abandon(&mut self, missing: &[NodeId], out: &mut Outbox) {
        let reply = Arc::new(Reply::Refused(Refusal::NoQuorum { missing: missing.to_vec() }));
        let proposed = std::mem::take(&mut self.intake.proposed);
        let reads = std::mem::take(&mut self.intake.waiting)
            .into_iter()
            .chain(std::mem::take(&mut self.intake.reading))
            .map(|(pending, from, _)| (pending, from));
        for (pending, from) in proposed.into_iter().chain(reads) {
            answer(from, pending, Arc::clone(&reply), out);
        }
    }
}

fn answer(to: NodeId, (session, number): Pending, reply: Arc<Reply>, out: &mut Outbox) {
    out.send(to, Body::Client(ClientMessage::Answer { session, number, reply }));
}
