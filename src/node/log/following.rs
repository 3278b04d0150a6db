//! Following: taking over what the leader sends.

use std::sync::Arc;

use super::super::message::{Append, LogMessage};
use super::super::mutant::Mutant;
use super::{Log, Role, Turn};
use crate::base::NodeId;

impl Log {
    /// The leader's entries, or its sign of life.
    pub(super) fn on_append(&mut self, t: &mut Turn, from: NodeId, append: &Append) {
        let round = append.round;
        if append.epoch < self.epoch() {
            let (epoch, index) = (self.epoch(), self.store.commit());
            t.send(from, LogMessage::AppendReply { epoch, round, matched: false, index });
            return;
        }
        self.raise(t, append.epoch);
        assert!(!self.leads(), "a term has at most one leader");
        self.role = Role::Follower;
        self.leader = Some(from);
        self.heard_at = Some(t.now);
        if append.time > self.clock.0 {
            self.clock = (append.time, t.now);
        }
        self.reset_timer(t.now);

        let epoch = append.epoch;
        let previous = append.previous;
        // What is committed here is in every later leader's log.
        let agrees =
            previous.index <= self.store.commit() || self.store.position(previous.index) == Some(previous);
        if !agrees {
            let index = self.store.may_agree(previous);
            let reply = LogMessage::AppendReply { epoch, round, matched: false, index };
            t.send_after(from, reply, self.ballot_write);
            return;
        }
        let before = Arc::clone(self.store.seats());
        assert!(self.store.merge(&append.entries, t.out), "every later leader holds what is committed");
        self.reseat(t, &before);
        let end = append.entries.last().map_or(previous.index, |entry| entry.position.index);
        if append.commit.min(end) > self.store.commit() {
            self.commit_to(t, append.commit.min(end));
            self.drop_useless_draw();
        }
        let (index, written) = if self.planted.has(Mutant::AcknowledgesBeforeDurable) {
            (end, None)
        } else if append.entries.is_empty() {
            (end.min(self.store.durable()), None)
        } else {
            (end, self.store.awaits(end))
        };
        let reply = LogMessage::AppendReply { epoch, round, matched: true, index };
        t.send_after(from, reply, written.max(self.ballot_write));
    }
}
