//! What clients are told of a job's speed: queries counted within the last seconds, and how long its inferences took.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;

use super::super::config::limits;
use super::super::question::Took;
use crate::base::{JobId, Span, Time};

/// What "recent" means.
pub(super) const RECENT: Span = Span::secs(10);
/// In how many parts it is counted.
const PARTS: u64 = 100;

/// The speed of every job in one reign. Jobs that ended long ago are forgotten.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    jobs: BTreeMap<JobId, Tally>,
    ended: VecDeque<JobId>,
}

#[derive(Debug)]
struct Tally {
    /// Queries counted, by part of time.
    counted: VecDeque<(u64, u64)>,
    /// In nanoseconds.
    took: Histogram<u64>,
}

impl Tally {
    fn new() -> Tally {
        Tally { counted: VecDeque::new(), took: Histogram::new(2).expect("two digits are allowed") }
    }

    fn forget(&mut self, now: Time) {
        let part = part(now);
        while self.counted.front().is_some_and(|(first, _)| first + PARTS <= part) {
            self.counted.pop_front();
        }
    }
}

fn part(at: Time) -> u64 {
    at.0 / (RECENT / PARTS).0
}

impl Tallies {
    /// A query was counted at this cluster time.
    pub(super) fn count(&mut self, job: JobId, at: Time) {
        let tally = self.jobs.entry(job).or_insert_with(Tally::new);
        tally.forget(at);
        match tally.counted.back_mut() {
            Some((last, count)) if *last == part(at) => *count += 1,
            _ => tally.counted.push_back((part(at), 1)),
        }
    }

    /// A query was answered, after an inference of this length.
    pub(super) fn answered(&mut self, job: JobId, took: Span) {
        let tally = self.jobs.entry(job).or_insert_with(Tally::new);
        tally.took.record(took.0).expect("it grows as needed");
    }

    /// A job has ended.
    pub(super) fn end(&mut self, job: JobId) {
        self.ended.push_back(job);
        if self.ended.len() > limits::TALLIES_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.jobs.remove(&oldest);
        }
    }

    /// How many queries of a job were counted recently.
    pub(super) fn recent(&self, job: JobId, now: Time) -> u64 {
        let is_recent = |(first, _): &&(u64, u64)| first + PARTS > part(now);
        let counted = self.jobs.get(&job).into_iter().flat_map(|tally| &tally.counted);
        counted.filter(is_recent).map(|(_, count)| count).sum()
    }

    /// How long the inferences of a job took.
    pub(super) fn took(&self, job: JobId) -> Took {
        let Some(took) = self.jobs.get(&job).map(|tally| &tally.took).filter(|took| !took.is_empty()) else {
            return Took::default();
        };
        let at = |quantile| Span(took.value_at_quantile(quantile).min(took.max()));
        Took {
            samples: took.len(),
            mean: Span(took.mean() as u64),
            std: Span(took.stdev() as u64),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max: Span(took.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_is_ten_seconds_and_durations_are_kept_within_a_hundredth() {
        let (mut tallies, job) = (Tallies::default(), JobId(1));
        assert_eq!((tallies.recent(job, Time::ZERO), tallies.took(job)), (0, Took::default()));
        for i in 0..200_u64 {
            tallies.count(job, Time(i * 100_000_000));
            tallies.answered(job, Span::millis(i + 1));
        }
        let now = Time(199 * 100_000_000);
        assert_eq!((tallies.recent(job, now), tallies.recent(job, now + Span::secs(11))), (100, 0));
        let took = tallies.took(job);
        let near = |span: Span, wanted: f64| (span.as_secs() / wanted - 1.0).abs() < 0.01;
        assert_eq!(took.samples, 200);
        assert!(near(took.mean, 0.1005) && near(took.std, 0.0577), "{took:?}");
        assert!(near(took.p50, 0.1) && near(took.p90, 0.18) && near(took.p95, 0.19), "{took:?}");
        assert!(near(took.p99, 0.198) && near(took.max, 0.2), "{took:?}");
    }

    #[test]
    fn of_the_jobs_that_have_ended_the_oldest_are_forgotten() {
        let mut tallies = Tallies::default();
        for job in 1..=limits::TALLIES_MAX as u32 + 1 {
            tallies.answered(JobId(job), Span::millis(1));
            tallies.end(JobId(job));
        }
        assert_eq!((tallies.took(JobId(1)).samples, tallies.took(JobId(2)).samples), (0, 1));
    }
}
