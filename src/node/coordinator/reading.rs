//! What clients are shown: the ledger's part of it is the truth, the rest is what this reign has seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::file::Kept;
use super::super::message::{Refusal, Reply, Request};
use super::super::question::{Assignment, JobStats, Overview, Question, Reading, Seat, Stats};
use super::tally::RECENT;
use super::{Coordinator, Facts};
use crate::base::NodeId;

impl Coordinator {
    /// The answer to something that is only read, as of now.
    pub(super) fn read(&self, request: &Request, facts: &Facts<'_>) -> Reply {
        match request {
            Request::Jobs => Reply::Jobs(facts.ledger.status()),
            Request::Read(question) => match self.reading(question, facts) {
                Ok(reading) => Reply::Read(Arc::new(reading)),
                Err(refusal) => Reply::Refused(refusal),
            },
            other => unreachable!("{other:?} is no question"),
        }
    }

    fn reading(&self, question: &Question, facts: &Facts<'_>) -> Result<Reading, Refusal> {
        let files = facts.ledger.files();
        let unknown = |name: &Arc<str>| Refusal::UnknownFile(Arc::clone(name));
        let known = |id| facts.ledger.job(id).ok_or(Refusal::UnknownJob(id));
        Ok(match question {
            Question::Job(job) => {
                let reads = files.pinned(*job).map(|pin| Arc::clone(&pin.dataset));
                Reading::Job(known(*job)?.report(reads, facts.cluster_now))
            }
            Question::Results { job, from } => Reading::Results(known(*job)?.page(*from)),
            Question::Stats => Reading::Stats(self.stats(facts)),
            Question::Assignments => Reading::Assignments(self.assignments(facts)),
            Question::Cluster => Reading::Cluster(self.standing(facts)),
            Question::Files { prefix, after } => {
                let (files, more) = files.list(prefix, after.as_deref());
                Reading::Files { files, more }
            }
            Question::Versions(name) => {
                let versions: Vec<_> =
                    files.versions(name).map(|version| Kept::of(version, facts.cluster_now)).collect();
                if versions.is_empty() {
                    return Err(unknown(name));
                }
                Reading::Versions(versions)
            }
            Question::Locate { name, version: wanted } => match files.version(name, *wanted) {
                Some(version) => Reading::Located(self.locate(version)),
                None => {
                    return Err(match (wanted, files.version(name, None)) {
                        (Some(number), Some(newest)) => Refusal::Invalid(
                            format!(
                                "{name} has no version {number} (any more); the newest is {}",
                                newest.number
                            )
                            .into(),
                        ),
                        _ => unknown(name),
                    });
                }
            },
            Question::Shelves => Reading::Shelves(self.shelved(facts)),
        })
    }

    fn stats(&self, facts: &Facts<'_>) -> Stats {
        let counting = facts.cluster_now.since(self.since);
        let stats = |(id, job): (_, &super::super::ledger::Job)| {
            let spec = job.spec();
            let (inputs_done, inputs_failed, batch) = job.progress();
            JobStats {
                job: id,
                name: Arc::clone(&spec.name),
                model: Arc::clone(&spec.model),
                state: job.state(),
                batch,
                inputs: spec.inputs.count(),
                inputs_done,
                inputs_failed,
                queries: job.queries(),
                queries_counted: job.counted(),
                recent: self.tallies.recent(id, facts.cluster_now),
                recent_over: RECENT.min(counting),
                took: self.tallies.took(id),
            }
        };
        Stats { counting, jobs: facts.ledger.jobs().map(stats).collect() }
    }

    fn assignments(&self, facts: &Facts<'_>) -> Vec<Assignment> {
        let view = facts.ledger.view();
        let assignment = |(&worker, desk): (&NodeId, &super::WorkerDesk)| {
            let (serving, last) = desk.history(facts.now);
            Assignment {
                worker,
                name: view.member(worker).map_or_else(|| "".into(), |member| Arc::clone(&member.name)),
                kind: Arc::clone(&desk.view.kind),
                incarnation: desk.incarnation,
                suspect: desk.doubt.is_some(),
                drained: facts.ledger.is_drained(worker),
                serving,
                running: desk.running(facts.now),
                held: desk.view.held,
                last,
                warm: desk.view.warm.clone(),
            }
        };
        self.desks.iter().map(assignment).collect()
    }

    fn standing(&self, facts: &Facts<'_>) -> Overview {
        let view = facts.ledger.view();
        let seat = |id: NodeId, votes| Seat {
            node: id,
            name: view.member(id).map(|member| Arc::clone(&member.name)),
            votes,
            lag: if id == self.me { Some(0) } else { (facts.lag)(id) },
            silence: if id == self.me { crate::base::Span::ZERO } else { (facts.silence)(id) },
        };
        let voters = facts.seats.voters.iter().map(|&id| seat(id, true));
        Overview {
            epoch: self.epoch,
            leader: self.me,
            reign: facts.now.since(self.began),
            view: view.id(),
            seats: voters.chain(facts.seats.learners.iter().map(|&id| seat(id, false))).collect(),
            policy: self.policy.name().into(),
            drained: facts.ledger.drained().filter(|&id| view.member(id).is_some()).collect(),
        }
    }
}

/// Answers of one round, each worked out once.
pub(super) type Answers = BTreeMap<Option<Question>, Arc<Reply>>;

/// What makes two reads the same.
pub(super) fn key(request: &Request) -> Option<Question> {
    match request {
        Request::Read(question) => Some(question.clone()),
        _ => None,
    }
}
