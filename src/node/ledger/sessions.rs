//! Client sessions: the last request of each with its answer, so that a repeated request is answered and not done again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::config::limits::SESSIONS_MAX;
use super::super::message::{Refusal, Reply};
use crate::base::{Fold, SessionId};

/// What is known of a request from its session and number.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::node) enum Precheck {
    /// It has not been carried out.
    New,
    /// It was carried out, with this answer.
    Repeat(Arc<Reply>),
    /// It must not be carried out.
    Refused(Refusal),
}

/// All sessions, at most [`SESSIONS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sessions {
    known: BTreeMap<SessionId, Session>,
    /// Requests carried out in all sessions so far: the clock by which the least recently used is found.
    uses: u64,
    /// The sessions by their last use; follows from `known`.
    #[serde(skip)]
    by_use: BTreeMap<u64, SessionId>,
    /// The sum of the digests of `known`; follows from it.
    #[serde(skip)]
    digest: u128,
}

#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
struct Session {
    /// The number of the last request that was carried out or refused for good; 0 if none was.
    number: u64,
    /// Its answer.
    reply: Arc<Reply>,
    /// The value of [`Sessions::uses`] when it was carried out.
    used: u64,
}

impl Sessions {
    /// What to do with request `number` of `session`.
    ///
    /// Numbers may be skipped, because refused requests and reads are not all written to the log. Only a session's first
    /// request, number 1, opens it: any other that finds no session might have been carried out already.
    pub(super) fn check(&self, session: SessionId, number: u64) -> Precheck {
        match self.known.get(&session) {
            Some(last) if number > last.number => Precheck::New,
            Some(last) if number == last.number => Precheck::Repeat(Arc::clone(&last.reply)),
            Some(_) => Precheck::Refused(Refusal::Outdated),
            None if number == 1 => Precheck::New,
            None => Precheck::Refused(Refusal::SessionLost),
        }
    }

    /// Remembers the answer to a request that was new. The least recently used session leaves when there are too many.
    pub(super) fn record(&mut self, session: SessionId, number: u64, reply: Arc<Reply>) {
        self.forget(session);
        self.uses += 1;
        let entry = Session { number, reply, used: self.uses };
        self.digest = self.digest.wrapping_add(fact(session, &entry));
        self.by_use.insert(self.uses, session);
        self.known.insert(session, entry);
        if self.known.len() > SESSIONS_MAX {
            let (_, &oldest) = self.by_use.first_key_value().expect("there are more than SESSIONS_MAX");
            self.forget(oldest);
        }
    }

    /// The session exists from now on, though none of its requests may have been carried out.
    pub(super) fn open(&mut self, session: SessionId, refusal: &Arc<Reply>) {
        if !self.known.contains_key(&session) {
            self.record(session, 0, Arc::clone(refusal));
        }
    }

    /// A digest of all sessions, their answers, and the order in which they will leave.
    pub(super) fn digest(&self) -> u128 {
        self.digest.wrapping_add(Fold::of(&("uses", self.uses)))
    }

    /// Computes what follows from the rest, after decoding.
    pub(super) fn restore(&mut self) {
        self.by_use = self.known.iter().map(|(&id, session)| (session.used, id)).collect();
        self.digest =
            self.known.iter().fold(0, |sum: u128, (&id, session)| sum.wrapping_add(fact(id, session)));
    }

    fn forget(&mut self, session: SessionId) {
        if let Some(last) = self.known.remove(&session) {
            self.by_use.remove(&last.used);
            self.digest = self.digest.wrapping_sub(fact(session, &last));
        }
    }
}

fn fact(id: SessionId, session: &Session) -> u128 {
    Fold::of(&("session", id, session))
}
