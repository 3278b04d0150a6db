//! One job as its coordinator sees it: which queries wait, and which attempts are under way.

use std::collections::{BTreeMap, VecDeque};

use super::super::ledger::Job;
use super::super::observation::Dispatch;
use super::pace::Pace;
use crate::base::{AttemptId, NodeId, QueryId, Span, Time};

/// How far from the front a worker looks for a query that it has not failed before.
const LOOK_AHEAD: usize = 16;

/// What a coordinator knows of a query beyond the ledger.
#[derive(Debug, Default)]
pub(super) struct Effort {
    /// The attempts under way, and whose they are.
    pub(super) attempts: Vec<(AttemptId, NodeId)>,
    /// How many attempts have failed in this reign.
    pub(super) failures: u32,
    /// Who failed last.
    pub(super) avoid: Option<NodeId>,
    /// How often it was refused in this reign, second attempts beside another one left out.
    pub(super) refusals: u32,
    /// How many attempts beside another one brought nothing in this reign, and until when there is no further one for that.
    pub(super) in_vain: u32,
    pub(super) alone_until: Time,
    /// It waits for another attempt, or rests before that.
    pub(super) waiting: bool,
    /// An answer is here and waits for its commit.
    pub(super) completing: bool,
}

impl Effort {
    /// An attempt beside another one brought nothing: idle workers that fail at once would try it again and again, in no time at all.
    /// Each pause is twice as long as the last one, from the back-off, but 1 ms at least, to a second.
    pub(super) fn leave_alone(&mut self, now: Time, backoff: Span) {
        let pause = backoff.max(Span::millis(1)) * (1 << self.in_vain.min(10));
        self.alone_until = now + pause.min(Span::secs(1));
        self.in_vain += 1;
    }

    /// Whether this worker failed it last, or works on it already.
    fn unsuited(&self, worker: NodeId) -> bool {
        self.avoid == Some(worker) || self.attempts.iter().any(|&(_, other)| other == worker)
    }
}

/// One job's queries.
#[derive(Debug)]
pub(super) struct JobQueue {
    /// What dead or suspect workers hold: it goes to the first free slot, whatever the policy would pick.
    urgent: VecDeque<(QueryId, Dispatch)>,
    waiting: VecDeque<(QueryId, Dispatch)>,
    /// What was refused and waits again from then on, in order of time.
    resting: VecDeque<(Time, QueryId)>,
    /// Attempts that workers run or have waiting.
    pub(super) held: u32,
    /// Only queries that were touched in this reign.
    pub(super) efforts: BTreeMap<QueryId, Effort>,
    pub(super) pace: Pace,
}

impl JobQueue {
    pub(super) fn new(pace: Pace) -> JobQueue {
        JobQueue {
            urgent: VecDeque::new(),
            waiting: VecDeque::new(),
            resting: VecDeque::new(),
            held: 0,
            efforts: BTreeMap::new(),
            pace,
        }
    }

    /// Queues every open query that no one works on. What was queued before is forgotten.
    pub(super) fn fill(&mut self, job: &Job) {
        self.efforts.retain(|&query, effort| {
            effort.waiting = false;
            let tried = effort.failures > 0 || effort.refusals > 0;
            job.is_open(query) && (!effort.attempts.is_empty() || effort.completing || tried)
        });
        let busy = |query: &QueryId| {
            self.efforts.get(query).is_some_and(|effort| !effort.attempts.is_empty() || effort.completing)
        };
        self.urgent.clear();
        self.resting.clear();
        self.waiting = job.open().filter(|query| !busy(query)).map(|query| (query, Dispatch::Turn)).collect();
    }

    /// Forgets the queries before `number`.
    pub(super) fn begin_at(&mut self, number: u32) {
        self.waiting.retain(|(query, _)| query.number >= number);
    }

    /// How many entries wait; some may turn out not to be open any more.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.urgent.len()
    }

    /// The query at `place` among those that wait and are still wanted, urgent ones first; what is not wanted any more leaves.
    /// `None` beyond the last one, and further back than workers look.
    pub(super) fn peek(&mut self, job: &Job, place: usize) -> Option<QueryId> {
        if place >= LOOK_AHEAD {
            return None;
        }
        // Each round answers or shortens a list.
        loop {
            let urgent = self.urgent.len();
            let (list, place) =
                if place < urgent { (&mut self.urgent, place) } else { (&mut self.waiting, place - urgent) };
            let (query, _) = *list.get(place)?;
            if job.is_open(query) && !self.efforts.get(&query).is_some_and(|effort| effort.completing) {
                return Some(query);
            }
            list.remove(place);
        }
    }

    /// Takes the query that [`Self::peek`] found at `place`.
    pub(super) fn take_at(&mut self, place: usize) -> Option<(QueryId, Dispatch)> {
        let urgent = self.urgent.len();
        let taken =
            if place < urgent { self.urgent.remove(place) } else { self.waiting.remove(place - urgent) };
        taken.inspect(|(query, _)| self.no_longer_waits(*query))
    }

    /// A query that was refused rests until then; unless it waits already or its answer is here.
    pub(super) fn rest(&mut self, query: QueryId, until: Time) {
        let effort = self.efforts.entry(query).or_default();
        if !effort.waiting && !effort.completing {
            effort.waiting = true;
            // All rest equally long, so that the order is that of the times.
            self.resting.push_back((until, query));
        }
    }

    /// What has rested long enough waits in front of all others. Returns when the next one will have.
    pub(super) fn rouse(&mut self, now: Time) -> Time {
        while let Some((_, query)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.waiting.push_front((query, Dispatch::Retry));
        }
        self.resting.front().map_or(Time::NEVER, |&(until, _)| until)
    }

    /// Whether this worker may try it: it did not fail it last, and does not work on it already.
    pub(super) fn suits(&self, query: QueryId, worker: NodeId) -> bool {
        self.efforts.get(&query).is_none_or(|effort| !effort.unsuited(worker))
    }

    /// Whether this worker has an attempt at it.
    pub(super) fn is_tried_by(&self, query: QueryId, worker: NodeId) -> bool {
        self.efforts
            .get(&query)
            .is_some_and(|effort| effort.attempts.iter().any(|&(_, other)| other == worker))
    }

    /// Whether something waits that dead or suspect workers hold.
    pub(super) fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// Puts a query in front of all others, unless it waits already or its answer is here.
    pub(super) fn put_first(&mut self, query: QueryId, reason: Dispatch) {
        let effort = self.efforts.entry(query).or_default();
        if !effort.waiting && !effort.completing {
            effort.waiting = true;
            match reason {
                Dispatch::Suspect | Dispatch::Gone => self.urgent.push_back((query, reason)),
                Dispatch::Turn | Dispatch::Retry | Dispatch::Hedge | Dispatch::Moved => {
                    self.waiting.push_front((query, reason));
                }
            }
        }
    }

    /// Takes the first query that `worker` may try; one that it has not failed before, if there is one near.
    pub(super) fn take(&mut self, job: &Job, worker: NodeId) -> Option<(QueryId, Dispatch)> {
        self.take_urgent(job, worker).or_else(|| {
            let taken = take_from(&mut self.waiting, &self.efforts, job, worker);
            taken.inspect(|(query, _)| self.no_longer_waits(*query))
        })
    }

    /// The same among the queries that dead or suspect workers hold.
    pub(super) fn take_urgent(&mut self, job: &Job, worker: NodeId) -> Option<(QueryId, Dispatch)> {
        let taken = take_from(&mut self.urgent, &self.efforts, job, worker);
        taken.inspect(|(query, _)| self.no_longer_waits(*query))
    }

    fn no_longer_waits(&mut self, query: QueryId) {
        if let Some(effort) = self.efforts.get_mut(&query) {
            effort.waiting = false;
        }
    }

    /// Lets every worker try the queries that wait, even those that it failed: there may be no other worker.
    pub(super) fn forgive(&mut self) {
        for (query, _) in self.urgent.iter().chain(&self.waiting).take(LOOK_AHEAD) {
            if let Some(effort) = self.efforts.get_mut(query) {
                effort.avoid = None;
            }
        }
    }
}

/// Takes the first query in `list` that is still wanted and suits `worker`. Those that are not wanted any more (counted, void,
/// or answered meanwhile) leave the list on the way.
fn take_from(
    list: &mut VecDeque<(QueryId, Dispatch)>,
    efforts: &BTreeMap<QueryId, Effort>,
    job: &Job,
    worker: NodeId,
) -> Option<(QueryId, Dispatch)> {
    let mut place = 0;
    while place < LOOK_AHEAD {
        let (query, _) = *list.get(place)?;
        let effort = efforts.get(&query);
        if !job.is_open(query) || effort.is_some_and(|effort| effort.completing) {
            list.remove(place);
        } else if effort.is_some_and(|effort| effort.unsuited(worker)) {
            place += 1;
        } else {
            return list.remove(place);
        }
    }
    None
}
