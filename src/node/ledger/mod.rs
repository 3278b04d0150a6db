//! The replicated state: jobs, counted queries, sessions and the view, changed by committed entries and by nothing else.
//!
//! [`Ledger::apply`] is deterministic: the same entries in the same order give the same state, the same changes, the
//! same replies and the same digest, whether they were applied one by one or partly stand in a snapshot. The digest is
//! the sum of the digests of all facts in the state, so that each entry costs only the facts that it touches.

mod files;
mod job;
mod refuse;
mod sessions;
mod steering;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(super) use job::Job;
pub(super) use sessions::Precheck;

use self::files::Files;
use self::sessions::Sessions;
use self::steering::Steering;
use super::entry::{Command, Completion, Entry, Payload};
use super::message::{JobStatus, Refusal, Reply, Request};
use super::mutant::{Mutant, Planted};
use super::observation::{Change, Uncounted};
use super::view::{View, ViewChange};
use crate::base::{Fold, JobId, NodeId, SessionId, Time, ViewId};

/// Why plain values become bytes.
const ENCODES: &str = "plain values in growing memory always encode";

/// The state that every holder of the log agrees on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    now: Time,
    view: Arc<View>,
    /// The last job that was accepted.
    last_job: JobId,
    jobs: BTreeMap<JobId, Job>,
    sessions: Sessions,
    /// Encoded after the rest, and only if somebody has chosen something.
    #[serde(skip)]
    steering: Steering,
    /// Encoded last, and only if a file was ever put.
    #[serde(skip)]
    files: Files,
    /// The sum of the digests of all jobs; follows from them.
    #[serde(skip)]
    jobs_digest: u128,
    /// The bytes of predictions in all jobs; follows from them.
    #[serde(skip)]
    bytes: u64,
    /// No part of the state.
    #[serde(skip)]
    pub(super) planted: Planted,
}

/// What one entry did.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Applied {
    /// To the state, in order.
    pub changes: Arc<[Change]>,
    /// The client to be answered, if the entry was a request: its session, the request's number, the answer.
    pub reply: Option<(SessionId, u64, Arc<Reply>)>,
}

impl Ledger {
    /// The state before the first entry; its views will give each member up to `observers_max` observers.
    pub(super) fn new(observers_max: u8) -> Ledger {
        Ledger {
            now: Time::ZERO,
            view: Arc::new(View::new(ViewId(0), observers_max, Vec::new())),
            last_job: JobId(0),
            jobs: BTreeMap::new(),
            sessions: Sessions::default(),
            steering: Steering::default(),
            files: Files::default(),
            jobs_digest: 0,
            bytes: 0,
            planted: Planted::default(),
        }
    }

    /// Takes in the next committed entry.
    pub(super) fn apply(&mut self, entry: &Entry) -> Applied {
        assert!(entry.at >= self.now, "cluster time goes back from {} to {}", self.now, entry.at);
        self.now = entry.at;
        let mut changes = Vec::new();
        let mut reply = None;
        match &*entry.payload {
            Payload::Noop | Payload::Seats(_) => {}
            Payload::Command(Command::ChangeView(change)) => changes.push(self.change_view(change)),
            Payload::Command(Command::Complete(completions)) => {
                for completion in completions {
                    self.complete(completion, &mut changes);
                }
            }
            Payload::Command(Command::Request { session, number, request }) => {
                reply = Some((*session, *number, self.answer(*session, *number, request, &mut changes)));
            }
        }
        if !self.files.is_unused() {
            self.unpin_ended(&mut changes);
        }
        Applied { changes: changes.into(), reply }
    }

    /// What jobs have read that have just ended may go.
    fn unpin_ended(&mut self, changes: &mut Vec<Change>) {
        let ended = |change: &Change| match change {
            Change::JobEnded { job, .. } => Some(*job),
            _ => None,
        };
        let ended: Vec<JobId> = changes.iter().filter_map(ended).collect();
        changes.extend(ended.into_iter().filter_map(|job| self.files.unpin(job)));
    }

    /// A digest of the whole state: equal states have equal digests, whatever path led to them.
    pub(super) fn digest(&self) -> u128 {
        Fold::of(&(self.now, self.view.digest(), self.last_job))
            .wrapping_add(self.jobs_digest)
            .wrapping_add(self.sessions.digest())
            .wrapping_add(self.steering.digest())
            .wrapping_add(self.files.digest())
    }

    /// The whole state as bytes.
    pub(super) fn encode(&self) -> Arc<[u8]> {
        if self.planted.has(Mutant::SnapshotLosesQueued) && self.jobs.values().any(Job::is_queued) {
            let mut part = self.clone();
            part.jobs.retain(|_, job| !job.is_queued());
            part.jobs_digest = part.jobs.values().fold(0, |sum, job| sum.wrapping_add(job.digest()));
            return part.encode();
        }
        let mut bytes = postcard::to_stdvec(&(self.digest(), self)).expect(ENCODES);
        if !self.steering.is_usual() || !self.files.is_unused() {
            bytes = postcard::to_extend(&self.steering, bytes).expect(ENCODES);
        }
        if !self.files.is_unused() {
            bytes = postcard::to_extend(&self.files, bytes).expect(ENCODES);
        }
        bytes.into()
    }

    /// The state that [`Self::encode`] made `bytes` of; an error when they are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Result<Ledger, postcard::Error> {
        let ((digest, mut ledger), rest) = postcard::take_from_bytes::<(u128, Ledger)>(bytes)?;
        let mut rest = rest;
        if !rest.is_empty() {
            (ledger.steering, rest) = postcard::take_from_bytes(rest)?;
        }
        if !rest.is_empty() {
            (ledger.files, rest) = postcard::take_from_bytes(rest)?;
        }
        if !ledger.files.restore() {
            return Err(postcard::Error::SerdeDeCustom);
        }
        ledger.sessions.restore();
        ledger.jobs_digest =
            ledger.jobs.values_mut().fold(0, |sum: u128, job| sum.wrapping_add(job.restore_digest()));
        let misplaced = ledger.jobs.iter().any(|(&id, job)| id != job.id());
        if misplaced || digest != ledger.digest() || !rest.is_empty() {
            return Err(postcard::Error::SerdeDeCustom);
        }
        // Only now: counting trusts the numbers that it reads.
        for job in ledger.jobs.values_mut() {
            job.restore_counts();
            ledger.bytes += job.bytes();
        }
        Ok(ledger)
    }

    /// Cluster time of the last applied entry.
    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// The membership.
    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// What can be said of a request before it is proposed.
    ///
    /// A refusal here is one that no entry still under way could turn into anything else, even when this node's state is
    /// old; all others are left to [`Self::apply`]. The first request of a session always goes through the log, because
    /// that is what opens the session.
    pub(super) fn precheck(&self, session: SessionId, number: u64, request: &Request) -> Precheck {
        if request.is_read() {
            return Precheck::New;
        }
        match self.sessions.check(session, number) {
            Precheck::Repeat(_) if self.planted.has(Mutant::RepeatsRequest) => Precheck::New,
            Precheck::New if number > 1 => match self.refuse(request) {
                Some(refusal) => Precheck::Refused(refusal),
                None => Precheck::New,
            },
            // A state that is old does not know the newest sessions.
            Precheck::Refused(Refusal::SessionLost) => Precheck::New,
            other => other,
        }
    }

    /// How far every job is.
    pub(super) fn status(&self) -> Vec<JobStatus> {
        self.jobs.values().map(Job::status).collect()
    }

    /// All jobs, in order.
    pub(super) fn jobs(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.jobs.iter().map(|(&id, job)| (id, job))
    }

    /// One job.
    pub(super) fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// The policy that a client has chosen.
    pub(super) fn policy(&self) -> Option<&Arc<str>> {
        self.steering.policy.as_ref()
    }

    /// The names of the file store.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Whether a member shall get no queries.
    pub(super) fn is_drained(&self, node: NodeId) -> bool {
        self.steering.drained.contains(&node)
    }

    /// Those who shall get no queries, members or not.
    pub(super) fn drained(&self) -> impl Iterator<Item = NodeId> {
        self.steering.drained.iter().copied()
    }

    fn change_view(&mut self, change: &ViewChange) -> Change {
        self.view = Arc::new(self.view.after(change));
        Change::ViewChanged { view: Arc::clone(&self.view), change: Arc::new(change.clone()) }
    }

    /// Answers a request: carries it out, unless its session shows that this was done before.
    fn answer(
        &mut self,
        session: SessionId,
        number: u64,
        request: &Request,
        changes: &mut Vec<Change>,
    ) -> Arc<Reply> {
        match self.sessions.check(session, number) {
            Precheck::Repeat(reply) if !self.planted.has(Mutant::RepeatsRequest) => reply,
            Precheck::Refused(refusal) => Arc::new(Reply::Refused(refusal)),
            Precheck::New | Precheck::Repeat(_) => {
                let reply = Arc::new(self.execute(request, changes).unwrap_or_else(Reply::Refused));
                let takes_room = matches!(request, Request::Submit(_) | Request::Put(_));
                if takes_room && matches!(*reply, Reply::Refused(Refusal::Busy { .. })) {
                    // There may be room when its client asks again, and then it shall be carried out.
                    self.sessions.open(session, &reply);
                } else {
                    self.sessions.record(session, number, Arc::clone(&reply));
                }
                reply
            }
        }
    }

    /// Carries out a request, or says why not and changes nothing.
    fn execute(&mut self, request: &Request, changes: &mut Vec<Change>) -> Result<Reply, Refusal> {
        if let Some(refusal) = self.refuse(request) {
            return Err(refusal);
        }
        match request {
            Request::Submit(spec) => {
                let pin = self.files.pin_of(&spec.inputs)?;
                self.last_job = self.last_job.next();
                let job = Job::new(self.last_job, Arc::new(spec.clone()), self.now);
                changes.push(Change::JobAdded { job: self.last_job, spec: Arc::clone(job.spec()) });
                self.jobs_digest = self.jobs_digest.wrapping_add(job.digest());
                self.jobs.insert(self.last_job, job);
                changes.extend(pin.map(|pin| self.files.pin(self.last_job, pin)));
                Ok(Reply::Submitted(self.last_job))
            }
            Request::Cancel(id) => {
                changes.extend(self.change_job(*id, Job::cancel)?);
                Ok(Reply::Done)
            }
            Request::SetBatch { job, batch } => {
                changes.extend(self.change_job(*job, |job| job.recut(*batch))??);
                Ok(Reply::Done)
            }
            Request::Stop(id) => {
                changes.extend(self.change_job(*id, |job| job.stop(true))??);
                Ok(Reply::Done)
            }
            Request::Resume(id) => {
                changes.extend(self.change_job(*id, |job| job.stop(false))??);
                Ok(Reply::Done)
            }
            Request::Forget(id) => {
                let job = self.jobs.get(id).ok_or(Refusal::UnknownJob(*id))?;
                if !job.ended() {
                    return Err(Refusal::NotEnded(*id));
                }
                self.jobs_digest = self.jobs_digest.wrapping_sub(job.digest());
                self.bytes -= job.bytes();
                self.jobs.remove(id);
                changes.push(Change::JobForgotten { job: *id });
                Ok(Reply::Done)
            }
            Request::SetPolicy(name) => {
                changes.extend(self.steering.set_policy(name));
                Ok(Reply::Done)
            }
            Request::Drain { node, drained } => {
                changes.extend(self.steering.drain(*node, *drained, &self.view)?);
                Ok(Reply::Done)
            }
            Request::Put(put) => {
                let (number, change) = self.files.put(put, self.now)?;
                changes.push(change);
                Ok(Reply::Stored(number))
            }
            Request::Delete { name, expect } => {
                changes.push(self.files.delete(name, *expect)?);
                Ok(Reply::Done)
            }
            Request::Jobs | Request::Read(_) => {
                Err(Refusal::Invalid("what is only read is not written to the log".into()))
            }
            Request::HandOver { .. } => {
                Err(Refusal::Invalid("a reign is handed over outside of the log".into()))
            }
        }
    }

    /// Why a request must be refused whatever the jobs are like.
    fn refuse(&self, request: &Request) -> Option<Refusal> {
        refuse::unsound(request).or_else(|| match request {
            Request::Submit(_) => refuse::full(self.jobs.len(), self.bytes),
            _ => None,
        })
    }

    fn complete(&mut self, completion: &Completion, changes: &mut Vec<Change>) {
        let Completion { query, attempt, worker, answer } = completion;
        let planted = self.planted;
        let counted = self.change_job(query.job, |job| job.count(*query, answer, planted));
        match counted.unwrap_or(Err(Uncounted::NoJob)) {
            Ok(counted) => {
                self.bytes += answer.predictions.len() as u64;
                changes.push(Change::Counted {
                    query: *query,
                    attempt: *attempt,
                    worker: *worker,
                    from: counted.from,
                    inputs: answer.inputs,
                    failed: answer.failed.len() as u32,
                });
                if counted.last {
                    changes.push(Change::JobEnded { job: query.job, cancelled: false });
                }
            }
            Err(reason) => {
                changes.push(Change::Uncounted { query: *query, attempt: *attempt, reason });
            }
        }
    }

    /// Changes one job and keeps the digest in step.
    fn change_job<T>(&mut self, id: JobId, change: impl FnOnce(&mut Job) -> T) -> Result<T, Refusal> {
        let job = self.jobs.get_mut(&id).ok_or(Refusal::UnknownJob(id))?;
        let before = job.digest();
        let result = change(job);
        self.jobs_digest = self.jobs_digest.wrapping_sub(before).wrapping_add(job.digest());
        Ok(result)
    }
}
