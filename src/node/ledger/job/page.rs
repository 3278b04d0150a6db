//! What a job has brought so far, a bounded part at a time.

use std::sync::Arc;

use super::super::super::config::limits::{
    FAILURE_LOOKS_MAX, FAILURES_MAX, PAGE_BYTES_MAX, PAGE_LOOKS_MAX, PAGE_QUERIES_MAX,
};
use super::super::super::question::{Counted, Failed, JobReport, JobState, Page};
use super::{Cut, Job, State};
use crate::base::Time;

impl Job {
    /// Where it stands.
    pub(in crate::node) fn state(&self) -> JobState {
        match self.state {
            State::Running => JobState::Running,
            State::Complete => JobState::Complete,
            State::Cancelled => JobState::Cancelled,
            State::Stopped => JobState::Stopped,
        }
    }

    /// Inputs complete, those that failed, and how many inputs a query has at present.
    pub(in crate::node) fn progress(&self) -> (u64, u64, u32) {
        (self.derived.inputs_done, self.derived.inputs_failed, self.current().batch)
    }

    /// Everything about it at `now`, in cluster time; which file it reads is known elsewhere.
    pub(in crate::node) fn report(&self, reads: Option<Arc<str>>, now: Time) -> JobReport {
        JobReport {
            status: self.status(),
            reads,
            age: now.since(self.arrived),
            cancelled: self.cancelled(),
            queries: self.queries(),
            queries_counted: self.counted(),
            failures: self.failures(),
        }
    }

    /// The first inputs that failed, neighbours together.
    fn failures(&self) -> Vec<Failed> {
        let mut found: Vec<Failed> = Vec::new();
        let mut looks = 0;
        for cut in &self.cuts {
            for (&number, failures) in &cut.failures {
                let first = cut.first_input(number);
                for failure in failures.iter() {
                    looks += 1;
                    if looks > FAILURE_LOOKS_MAX {
                        return found;
                    }
                    let input = first + u64::from(failure.input);
                    let room = found.len() < FAILURES_MAX;
                    match found.last_mut() {
                        Some(last) if last.from + last.inputs == input && last.reason == failure.reason => {
                            last.inputs += 1;
                        }
                        _ if !room => return found,
                        _ => found.push(Failed { from: input, inputs: 1, reason: failure.reason.clone() }),
                    }
                }
            }
        }
        found
    }

    /// What the queries brought that begin at input `from` or later, as much of it as one answer takes.
    pub(in crate::node) fn page(&self, from: u64) -> Page {
        let mut page = Page { queries: Vec::new(), next: None, ended: self.ended() };
        let (mut bytes, mut looks) = (0, 0);
        for cut in self.cuts.iter().filter(|cut| cut.until > from) {
            let before = from.saturating_sub(cut.from).div_ceil(u64::from(cut.batch));
            for number in before as u32..cut.answers.len() as u32 {
                let first = cut.first_input(number);
                if bytes >= PAGE_BYTES_MAX
                    || page.queries.len() >= PAGE_QUERIES_MAX
                    || looks >= PAGE_LOOKS_MAX
                {
                    page.next = Some(first);
                    return page;
                }
                looks += 1;
                if let Some(counted) = cut.counted(number) {
                    let reasons: usize = counted.failed.iter().map(|failure| failure.reason.len() + 8).sum();
                    bytes += counted.predictions.len() + reasons;
                    page.queries.push(counted);
                }
            }
        }
        page
    }
}

impl Cut {
    /// What a query brought, if it is counted.
    fn counted(&self, number: u32) -> Option<Counted> {
        let predictions = self.answers.get(number as usize)?.clone()?;
        let (from, inputs) = self.range(number)?;
        let failed = self.failures.get(&number).cloned().unwrap_or_else(|| [].into());
        Some(Counted { from, inputs, predictions, failed })
    }
}
