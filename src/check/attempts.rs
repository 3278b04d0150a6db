//! Invariant 4, the origin of results: who was given which query, and what became of it. Only open queries are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::gaps::Gaps;
use super::ledger::{Ledger, Standing};
use super::roster::Who;
use super::verdict::{Findings, Invariant};
use crate::base::{AttemptId, Epoch, JobId, NodeId, QueryId};

#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: AttemptId,
    worker: NodeId,
    /// What its worker said to the order: whether it took it.
    taken: Option<bool>,
    /// Whether its worker said that it ended, and then whether it brought predictions. What was refused has ended.
    ended: Option<bool>,
}

/// The attempts at queries that are still open.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    open: BTreeMap<QueryId, Vec<Attempt>>,
    /// The first and the last serial number of each reign.
    serials: BTreeMap<Epoch, (u64, u64)>,
    /// Whether attempts may have been made before the history began.
    begins_late: bool,
    /// Whether dispatches or ends may be untold, because a node's side is lacking.
    untold: bool,
}

impl Attempts {
    /// Those of a history that lacks something.
    pub(super) fn new(gaps: Gaps) -> Attempts {
        Attempts { begins_late: gaps.beginning, untold: gaps.nodes, ..Attempts::default() }
    }

    /// The history lacks what was before: nothing is known of open queries.
    pub(super) fn take_up(&mut self) {
        self.open.clear();
    }

    /// A coordinator gave a query to a worker.
    pub(super) fn on_dispatched(
        &mut self,
        who: Who,
        (query, id, worker): (QueryId, AttemptId, NodeId),
        ledger: &Ledger,
        findings: &mut Findings,
    ) {
        findings.census.attempts += 1;
        let (_, last) = self.serials.entry(id.epoch).or_insert((id.serial, 0));
        if id.serial <= *last {
            let detail = format_args!("it made attempt {id} after {}.{last}", id.epoch.0);
            findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
        }
        *last = id.serial;
        if self.untold {
            return;
        }
        match ledger.standing(query) {
            Standing::Unheard => {
                let detail = format_args!("it dispatched query {query}, which does not exist");
                findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
            }
            // The coordinator has not applied yet what settled it.
            Standing::Settled => {}
            Standing::Open(..) => {
                self.open.entry(query).or_default().push(Attempt { id, worker, taken: None, ended: None });
            }
        }
    }

    /// Whether the attempt may be older than the history: a node that restarts tells once more, from its log, how it was counted.
    fn is_older(&self, id: AttemptId) -> bool {
        self.begins_late && self.serials.get(&id.epoch).is_none_or(|(first, _)| id.serial < *first)
    }

    /// Someone says that a worker holds, or ended, an attempt.
    fn find(
        &mut self,
        (query, id, worker): (QueryId, AttemptId, NodeId),
        ledger: &Ledger,
    ) -> Result<Option<&mut Attempt>, &'static str> {
        let untold = self.untold || self.is_older(id);
        let attempts = self.open.get_mut(&query);
        match attempts.and_then(|attempts| attempts.iter_mut().find(|attempt| attempt.id == id)) {
            Some(attempt) if attempt.worker == worker => Ok(Some(attempt)),
            Some(_) => Err("was given to another worker"),
            None if untold => Ok(None),
            None if matches!(ledger.standing(query), Standing::Settled) => Ok(None),
            None => Err("nobody had dispatched"),
        }
    }

    /// A worker took an order, or a coordinator learned that a worker holds an attempt.
    pub(super) fn on_held(
        &mut self,
        who: Who,
        attempt: (QueryId, AttemptId, NodeId),
        ledger: &Ledger,
        findings: &mut Findings,
    ) {
        if let Err(flaw) = self.find(attempt, ledger) {
            let detail = format_args!("it took up attempt {} at {}, which {flaw}", attempt.1, attempt.0);
            findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
        }
    }

    /// A worker took an order, or refused it: one of the two, once.
    pub(super) fn on_answered(
        &mut self,
        who: Who,
        (query, id): (QueryId, AttemptId),
        taken: bool,
        ledger: &Ledger,
        findings: &mut Findings,
    ) {
        let word = if taken { "took" } else { "refused" };
        let flaw = match self.find((query, id, who.id), ledger) {
            Ok(Some(attempt)) if attempt.taken.is_some() => "had been answered before",
            Ok(Some(attempt)) => {
                attempt.taken = Some(taken);
                attempt.ended = attempt.ended.or((!taken).then_some(false));
                return;
            }
            Ok(None) => return,
            Err(flaw) => flaw,
        };
        let detail = format_args!("it {word} attempt {id} at {query}, which {flaw}");
        findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
    }

    /// A worker's attempt ended.
    pub(super) fn on_ended(
        &mut self,
        who: Who,
        (query, id): (QueryId, AttemptId),
        answered: bool,
        ledger: &Ledger,
        findings: &mut Findings,
    ) {
        match self.find((query, id, who.id), ledger) {
            Ok(Some(Attempt { taken: Some(false), .. })) => {
                let detail = format_args!("it ended attempt {id} at {query}, which it had refused");
                findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
            }
            Ok(Some(attempt)) => attempt.ended = Some(attempt.ended == Some(true) || answered),
            Ok(None) => {}
            Err(flaw) => {
                let detail = format_args!("it ended attempt {id} at {query}, which {flaw}");
                findings.report(Invariant::CountedOnce, who.at, &[who.machine], detail);
            }
        }
    }

    /// What forbids to count this attempt; `failed` when all its inputs failed.
    pub(super) fn flaw(
        &self,
        query: QueryId,
        id: AttemptId,
        worker: NodeId,
        failed: bool,
    ) -> Option<&'static str> {
        if self.untold || self.is_older(id) {
            return None;
        }
        let attempts = self.open.get(&query).map_or(&[][..], |attempts| attempts);
        match attempts.iter().find(|attempt| attempt.id == id) {
            None => Some("nobody had dispatched"),
            Some(attempt) if attempt.worker != worker => Some("another worker had"),
            Some(Attempt { ended: None, .. }) => Some("had not ended"),
            Some(Attempt { ended: Some(false), .. }) if !failed => Some("had brought no predictions"),
            Some(_) => None,
        }
    }

    /// Who was given queries of a job and has not ended them.
    pub(super) fn holders(&self, job: JobId) -> BTreeSet<NodeId> {
        let attempts = self.open.range(every(job)).flat_map(|(_, attempts)| attempts);
        attempts.filter(|attempt| attempt.ended.is_none()).map(|attempt| attempt.worker).collect()
    }

    /// A query was counted: its attempts do not matter any more.
    pub(super) fn settle(&mut self, query: QueryId) {
        self.open.remove(&query);
    }

    /// Only queries of this job for which `open` holds matter from now on.
    pub(super) fn retain(&mut self, job: JobId, open: impl Fn(QueryId) -> bool) {
        let settled: Vec<QueryId> =
            self.open.range(every(job)).map(|(&query, _)| query).filter(|&query| !open(query)).collect();
        for query in settled {
            self.open.remove(&query);
        }
    }
}

/// All queries that a job can have.
fn every(job: JobId) -> RangeInclusive<QueryId> {
    QueryId { job, cut: 0, number: 0 }..=QueryId { job, cut: u32::MAX, number: u32::MAX }
}
