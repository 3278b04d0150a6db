//! One job: its inputs divided into queries, which of them are counted, and their predictions.
//!
//! A change of the batch size makes a new *cut* from a *boundary*: the end of the last query (by number) of the current
//! cut that is counted, or the current cut's beginning when none is. Queries of the current cut before the boundary
//! stay as they are, counted or not; those from the boundary on are void, and their inputs belong to the new cut. So
//! the live queries of all cuts always divide the inputs without gap or overlap, no counted query is ever void, and
//! counting each live query once counts each input once.

mod page;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::config::limits::{CUTS_MAX, QUERIES_MAX};
use super::super::entry::{Answer, Failure, JobSpec};
use super::super::message::{JobStatus, Refusal};
use super::super::mutant::{Mutant, Planted};
use super::super::observation::{Change, Uncounted};
use super::refuse;
use crate::base::{Fold, JobId, QueryId, Time};

/// A job that the ledger holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::node) struct Job {
    id: JobId,
    spec: Arc<JobSpec>,
    arrived: Time,
    state: State,
    /// The cuts that have live queries, by number; the last one is the current one.
    cuts: Vec<Cut>,
    /// What follows from the rest.
    #[serde(skip)]
    derived: Derived,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    Running,
    Complete,
    Cancelled,
    Stopped,
}

/// One division into batches: inputs `from..until` in queries of `batch`, the last one perhaps smaller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cut {
    number: u32,
    from: u64,
    until: u64,
    batch: u32,
    /// The predictions of the counted queries, up to the last counted one.
    answers: Vec<Option<Arc<[u8]>>>,
    /// The failed inputs of those counted queries that have any.
    failures: BTreeMap<u32, Arc<[Failure]>>,
    /// No query before this one is open; follows from the rest.
    #[serde(skip)]
    low: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Derived {
    digest: u128,
    queries: u32,
    counted: u32,
    inputs_done: u64,
    inputs_failed: u64,
    bytes: u64,
}

/// A query that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Its first input.
    pub from: u64,
    /// Whether nothing is left to do.
    pub last: bool,
}

impl Job {
    /// A job that arrives; `spec` was checked before.
    pub(super) fn new(id: JobId, spec: Arc<JobSpec>, arrived: Time) -> Job {
        let cut = Cut::new(0, 0, spec.inputs.count(), spec.batch);
        let derived = Derived { queries: cut.queries(), ..Derived::default() };
        let mut job = Job { id, spec, arrived, state: State::Running, cuts: vec![cut], derived };
        job.restore_digest();
        job
    }

    /// Its number.
    pub(super) fn id(&self) -> JobId {
        self.id
    }

    /// What was submitted.
    pub(in crate::node) fn spec(&self) -> &Arc<JobSpec> {
        &self.spec
    }

    /// Cluster time at which the submission was committed.
    pub(in crate::node) fn arrived(&self) -> Time {
        self.arrived
    }

    /// Whether nothing is left to do: it is complete or cancelled.
    pub(in crate::node) fn ended(&self) -> bool {
        matches!(self.state, State::Complete | State::Cancelled)
    }

    /// Whether none of its queries is counted yet.
    pub(super) fn is_queued(&self) -> bool {
        !self.ended() && self.derived.counted == 0
    }

    /// Whether a client cancelled it before it was complete.
    pub(in crate::node) fn cancelled(&self) -> bool {
        self.state == State::Cancelled
    }

    /// Whether a client stopped it, and nobody has resumed it since.
    pub(in crate::node) fn stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// Whether its queries shall be given to workers.
    pub(in crate::node) fn wants_workers(&self) -> bool {
        self.state == State::Running
    }

    /// The number of the current cut.
    #[cfg(test)]
    pub(in crate::node) fn cut(&self) -> u32 {
        self.current().number
    }

    /// How many queries are not void, counted ones among them.
    pub(in crate::node) fn queries(&self) -> u32 {
        self.derived.queries
    }

    /// How many queries are counted.
    pub(in crate::node) fn counted(&self) -> u32 {
        self.derived.counted
    }

    /// Whether a query waits for its answer: it exists, is not void and not counted, and the job has not ended.
    pub(in crate::node) fn is_open(&self, query: QueryId) -> bool {
        let open = |cut: &Cut| cut.range(query.number).is_some() && !cut.is_counted(query.number);
        !self.ended() && self.find(query).is_some_and(open)
    }

    /// The inputs of a query that exists and is not void: the first, counted within the job's inputs, and how many.
    pub(in crate::node) fn range(&self, query: QueryId) -> Option<(u64, u32)> {
        self.find(query)?.range(query.number)
    }

    /// The queries for which [`Self::is_open`], in order. Starts at once; skipping a counted one costs a glance.
    pub(in crate::node) fn open(&self) -> impl Iterator<Item = QueryId> {
        let cuts = if self.ended() { &[][..] } else { &self.cuts[..] };
        cuts.iter().flat_map(move |cut| {
            let open = (cut.low..cut.queries()).filter(|&number| !cut.is_counted(number));
            open.map(move |number| QueryId { job: self.id, cut: cut.number, number })
        })
    }

    /// How far it is.
    pub(super) fn status(&self) -> JobStatus {
        JobStatus {
            job: self.id,
            spec: (*self.spec).clone(),
            inputs_done: self.derived.inputs_done,
            inputs_failed: self.derived.inputs_failed,
            ended: self.ended(),
            stopped: self.stopped(),
            batch: self.current().batch,
        }
    }

    /// A digest of everything in it.
    pub(super) fn digest(&self) -> u128 {
        self.derived.digest
    }

    /// Bytes of predictions in it.
    pub(super) fn bytes(&self) -> u64 {
        self.derived.bytes
    }

    /// Counts a query, or says why not and changes nothing. An answer that does not fit the query is void.
    pub(super) fn count(
        &mut self,
        query: QueryId,
        answer: &Answer,
        planted: Planted,
    ) -> Result<Counted, Uncounted> {
        let void = self.range(query).is_none() && planted.has(Mutant::VoidCutCounts);
        let query = if void { QueryId { cut: self.current().number, ..query } } else { query };
        let live = self.find(query).and_then(|cut| Some((cut, cut.range(query.number)?)));
        let again = live.is_some_and(|(cut, _)| cut.is_counted(query.number));
        if again && !planted.has(Mutant::CountsTwice) {
            self.derived.counted += u32::from(planted.has(Mutant::DuplicateEndsJob));
            return Err(Uncounted::Duplicate);
        }
        if self.cancelled() {
            return Err(Uncounted::NoJob);
        }
        let (_, (from, inputs)) = live.ok_or(Uncounted::Void)?;
        if answer.flaw(inputs).is_some() && !void {
            return Err(Uncounted::Void);
        }
        let place = self.place(query).expect("the query was found above");
        self.cuts[place].count(query.number, answer);
        self.add(answer_fact(query, &answer.predictions, &answer.failed));
        self.derived.counted += 1;
        self.derived.inputs_done += u64::from(inputs);
        self.derived.inputs_failed += answer.failed.len() as u64;
        self.derived.bytes += answer.predictions.len() as u64;
        let last = self.derived.counted >= self.derived.queries && !self.ended();
        if last {
            self.set_state(State::Complete);
        }
        Ok(Counted { from, last })
    }

    /// Ends the job; nothing happens when it has ended already.
    pub(super) fn cancel(&mut self) -> Option<Change> {
        if self.ended() {
            return None;
        }
        self.set_state(State::Cancelled);
        Some(Change::JobEnded { job: self.id, cancelled: true })
    }

    /// Stops the job or lets it go on; nothing happens when that is so already.
    pub(super) fn stop(&mut self, stopped: bool) -> Result<Option<Change>, Refusal> {
        if self.ended() {
            return Err(self.over());
        }
        if self.stopped() == stopped {
            return Ok(None);
        }
        self.set_state(if stopped { State::Stopped } else { State::Running });
        let job = self.id;
        Ok(Some(if stopped { Change::JobStopped { job } } else { Change::JobResumed { job } }))
    }

    fn over(&self) -> Refusal {
        Refusal::Invalid(format!("{} has ended", self.id).into())
    }

    /// Divides what is left from the boundary on into queries of `batch` inputs. Nothing happens when that is the size
    /// already, or when nothing is left there.
    pub(super) fn recut(&mut self, batch: u32) -> Result<Option<Change>, Refusal> {
        if self.ended() {
            return Err(self.over());
        }
        let current = self.current();
        let (boundary, until) = (current.boundary(), current.until);
        if batch == current.batch || boundary == until {
            return Ok(None);
        }
        if current.number >= CUTS_MAX {
            let what = "changes of the job's batch size".into();
            return Err(Refusal::Busy { what, limit: u64::from(CUTS_MAX) });
        }
        let next = Cut::new(current.number + 1, boundary, until, batch);
        let kept = self.derived.queries - current.queries() + current.answers.len() as u32;
        let queries = u64::from(kept) + u64::from(next.queries());
        if queries > QUERIES_MAX {
            return Err(Refusal::Invalid(refuse::too_many(queries).into()));
        }
        let mut current = self.cuts.pop().expect("a job always has a current cut");
        self.subtract(self.cut_fact(&current));
        if boundary > current.from {
            current.until = boundary;
            self.add(self.cut_fact(&current));
            self.cuts.push(current);
        }
        self.add(self.cut_fact(&next));
        let change = Change::Recut { job: self.id, cut: next.number, boundary, batch };
        self.cuts.push(next);
        self.derived.queries = queries as u32;
        Ok(Some(change))
    }

    /// Computes the digest from everything in the job, and returns it.
    pub(super) fn restore_digest(&mut self) -> u128 {
        let mut sum = self.head_fact();
        for cut in &self.cuts {
            sum = sum.wrapping_add(self.cut_fact(cut));
            for (number, predictions) in (0..).zip(&cut.answers) {
                let Some(predictions) = predictions else { continue };
                let failed = cut.failures.get(&number).map_or(&[][..], |failed| failed);
                let query = QueryId { job: self.id, cut: cut.number, number };
                sum = sum.wrapping_add(answer_fact(query, predictions, failed));
            }
        }
        self.derived.digest = sum;
        sum
    }

    /// Computes the counts from everything in the job, after decoding.
    pub(super) fn restore_counts(&mut self) {
        self.derived = Derived { digest: self.derived.digest, ..Derived::default() };
        for cut in &mut self.cuts {
            self.derived.queries += cut.queries();
            for (number, predictions) in (0..).zip(&cut.answers) {
                if let (Some(predictions), Some((_, inputs))) = (predictions, cut.range(number)) {
                    self.derived.counted += 1;
                    self.derived.inputs_done += u64::from(inputs);
                    self.derived.bytes += predictions.len() as u64;
                }
            }
            let failed: usize = cut.failures.values().map(|failed| failed.len()).sum();
            self.derived.inputs_failed += failed as u64;
            cut.raise_low();
        }
    }

    fn current(&self) -> &Cut {
        self.cuts.last().expect("a job always has a current cut")
    }

    fn place(&self, query: QueryId) -> Option<usize> {
        self.cuts.binary_search_by_key(&query.cut, |cut| cut.number).ok()
    }

    fn find(&self, query: QueryId) -> Option<&Cut> {
        Some(&self.cuts[self.place(query)?])
    }

    fn set_state(&mut self, state: State) {
        self.subtract(self.head_fact());
        self.state = state;
        self.add(self.head_fact());
    }

    fn add(&mut self, fact: u128) {
        self.derived.digest = self.derived.digest.wrapping_add(fact);
    }

    fn subtract(&mut self, fact: u128) {
        self.derived.digest = self.derived.digest.wrapping_sub(fact);
    }

    fn head_fact(&self) -> u128 {
        Fold::of(&("job", self.id, &self.spec, self.arrived, self.state))
    }

    fn cut_fact(&self, cut: &Cut) -> u128 {
        Fold::of(&("cut", self.id, cut.number, cut.from, cut.until, cut.batch))
    }
}

fn answer_fact(query: QueryId, predictions: &[u8], failed: &[Failure]) -> u128 {
    Fold::of(&("answer", query, predictions, failed))
}

impl Cut {
    fn new(number: u32, from: u64, until: u64, batch: u32) -> Cut {
        Cut { number, from, until, batch, answers: Vec::new(), failures: BTreeMap::new(), low: 0 }
    }

    fn queries(&self) -> u32 {
        (self.until - self.from).div_ceil(u64::from(self.batch)) as u32
    }

    fn first_input(&self, number: u32) -> u64 {
        self.from + u64::from(number) * u64::from(self.batch)
    }

    fn range(&self, number: u32) -> Option<(u64, u32)> {
        let from = self.first_input(number);
        let left = self.until.checked_sub(from).filter(|&left| left > 0)?;
        Some((from, left.min(u64::from(self.batch)) as u32))
    }

    fn is_counted(&self, number: u32) -> bool {
        self.answers.get(number as usize).is_some_and(Option::is_some)
    }

    /// The first input after the last counted query.
    fn boundary(&self) -> u64 {
        self.first_input(self.answers.len() as u32).min(self.until)
    }

    fn count(&mut self, number: u32, answer: &Answer) {
        let place = number as usize;
        if self.answers.len() <= place {
            self.answers.resize(place + 1, None);
        }
        self.answers[place] = Some(Arc::clone(&answer.predictions));
        if !answer.failed.is_empty() {
            self.failures.insert(number, Arc::clone(&answer.failed));
        }
        self.raise_low();
    }

    fn raise_low(&mut self) {
        while self.is_counted(self.low) {
            self.low += 1;
        }
    }
}
