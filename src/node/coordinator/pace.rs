//! How fast a job goes: its recent rate, what its queries take, and from when on one of them takes unusually long.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::config::limits;
use crate::base::{Span, Time};

/// The rate window is kept in this many buckets.
const BUCKETS: u64 = 100;
/// Durations that the tail estimate looks back on.
const RECENT_MAX: usize = 128;
/// With fewer durations than this nothing is known about the tail.
const RECENT_MIN: usize = 16;
/// ... and a query is waited for as many times as long as the longest one so far took ...
const PATIENCE_FACTOR: u64 = 4;
/// ... or this long, when it is the first; its load is part of that.
const PATIENCE_UNKNOWN: Span = Span::secs(30);
/// No query is called stuck before this time.
const LIMIT_LEAST: Span = Span::secs(10);

/// The pace of one job in one reign.
#[derive(Debug)]
pub(super) struct Pace {
    bucket: Span,
    /// When counting began: the job's arrival, or the beginning of the reign.
    since: Time,
    counted: Buckets,
    taken: Buckets,
    by_kind: BTreeMap<Arc<str>, Buckets>,
    recent: VecDeque<Span>,
}

/// Numbers of events and sums of seconds, by bucket of time and in all.
#[derive(Debug, Default)]
struct Buckets {
    recent: VecDeque<(u64, u64, f64)>,
    count: u64,
    seconds: f64,
    count_all: u64,
    seconds_all: f64,
}

impl Buckets {
    fn add(&mut self, bucket: u64, seconds: f64) {
        match self.recent.back_mut() {
            Some((last, count, sum)) if *last == bucket => {
                *count += 1;
                *sum += seconds;
            }
            _ => self.recent.push_back((bucket, 1, seconds)),
        }
        self.count += 1;
        self.seconds += seconds;
        self.count_all += 1;
        self.seconds_all += seconds;
    }

    fn forget(&mut self, bucket: u64) {
        while let Some(&(first, count, seconds)) = self.recent.front()
            && first + BUCKETS <= bucket
        {
            self.recent.pop_front();
            self.count -= count;
            self.seconds = if self.count == 0 { 0.0 } else { self.seconds - seconds };
        }
    }

    /// The mean over the window, else over all time, else 0.
    fn mean(&self) -> f64 {
        match (self.count, self.count_all) {
            (0, 0) => 0.0,
            (0, all) => self.seconds_all / all as f64,
            (count, _) => self.seconds / count as f64,
        }
    }
}

impl Pace {
    /// The pace of a job of which nothing is known before `since` (cluster time), over windows of length `window`.
    pub(super) fn new(since: Time, window: Span) -> Pace {
        Pace {
            bucket: Span((window / BUCKETS).0.max(1)),
            since,
            counted: Buckets::default(),
            taken: Buckets::default(),
            by_kind: BTreeMap::new(),
            recent: VecDeque::new(),
        }
    }

    fn bucket(&self, at: Time) -> u64 {
        at.0 / self.bucket.0
    }

    /// A query was counted.
    pub(super) fn count(&mut self, at: Time) {
        let bucket = self.bucket(at);
        self.counted.add(bucket, 0.0);
    }

    /// A query was answered by a worker of this kind after `took`.
    pub(super) fn answered(&mut self, at: Time, kind: &Arc<str>, took: Span) {
        let bucket = self.bucket(at);
        self.taken.add(bucket, took.as_secs());
        self.by_kind.entry(Arc::clone(kind)).or_default().add(bucket, took.as_secs());
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
    }

    /// Leaves out what is older than the window; to be called before reading.
    pub(super) fn advance(&mut self, now: Time) {
        let bucket = self.bucket(now);
        self.counted.forget(bucket);
        self.taken.forget(bucket);
        for buckets in self.by_kind.values_mut() {
            buckets.forget(bucket);
        }
    }

    /// Queries counted per second over the window, or since the beginning if that is shorter.
    pub(super) fn rate(&self, now: Time) -> f64 {
        self.counted.count as f64 / self.span(now).as_secs()
    }

    /// What the rate is measured over, never nothing.
    pub(super) fn span(&self, now: Time) -> Span {
        (self.bucket * BUCKETS).min(now.since(self.since)).max(self.bucket)
    }

    /// Mean seconds per query; 0 when nothing is known.
    pub(super) fn seconds(&self) -> f64 {
        self.taken.mean()
    }

    /// Mean seconds per query on each kind of worker that has answered.
    pub(super) fn seconds_by_kind(&self) -> Vec<(Arc<str>, f64)> {
        self.by_kind.iter().map(|(kind, buckets)| (Arc::clone(kind), buckets.mean())).collect()
    }

    /// What only one in a hundred recent queries exceeds; `None` while too little is known.
    pub(super) fn tail(&self) -> Option<Span> {
        if self.recent.len() < RECENT_MIN {
            return None;
        }
        let mut recent: Vec<Span> = self.recent.iter().copied().collect();
        let place = (recent.len() * 99).div_ceil(100) - 1;
        Some(*recent.select_nth_unstable(place).1)
    }

    /// A query that takes longer than this is worth a further attempt on an idle worker.
    pub(super) fn patience(&self) -> Span {
        match (self.tail(), self.recent.iter().max()) {
            // A quarter on top of the tail: the slowest of many healthy queries is no reason for a second one.
            (Some(tail), _) => tail + tail / 4,
            (None, Some(&longest)) => longest * PATIENCE_FACTOR,
            (None, None) => PATIENCE_UNKNOWN,
        }
    }

    /// An attempt at a query that takes longer than this is stuck. The limit grows with the attempts that have `failed`, so that
    /// one that was wrong does not fail the query for good.
    pub(super) fn limit(&self, failed: u32) -> Span {
        let slowest = self.tail().or_else(|| self.recent.iter().copied().max());
        let limit = slowest
            .map_or(limits::QUERY_UNKNOWN_MAX, |slowest| (slowest * limits::STUCK_FACTOR).max(LIMIT_LEAST));
        limit * (1 << failed.min(limits::DOUBLINGS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_looks_back_one_window_and_no_further() {
        let mut pace = Pace::new(Time::ZERO, Span::secs(10));
        for i in 0..300 {
            pace.count(Time(i * 100_000_000));
        }
        let now = Time(30_000_000_000);
        pace.advance(now);
        assert!((pace.rate(now) - 10.0).abs() < 0.2, "{}", pace.rate(now));
        let later = now + Span::secs(11);
        pace.advance(later);
        assert!(pace.rate(later) < 1e-9);
    }

    #[test]
    fn means_survive_an_idle_window_and_the_tail_needs_samples() {
        let mut pace = Pace::new(Time::ZERO, Span::secs(10));
        assert_eq!((pace.tail(), pace.patience()), (None, Span::secs(30)));
        pace.answered(Time(0), &"cpu".into(), Span::millis(1));
        assert_eq!((pace.tail(), pace.patience()), (None, Span::millis(4)));
        let mut pace = Pace::new(Time::ZERO, Span::secs(10));
        for i in 1..=100 {
            pace.answered(Time(i), &"cpu".into(), Span::millis(i));
        }
        assert_eq!(pace.tail(), Some(Span::millis(99)));
        pace.advance(Time(60_000_000_000));
        assert!((pace.seconds() - 0.0505).abs() < 1e-9);
        assert_eq!((pace.limit(0), pace.limit(2)), (Span::secs(10), Span::secs(40)));
    }

    #[test]
    fn a_query_of_which_nothing_is_known_is_not_waited_for_without_end() {
        let mut pace = Pace::new(Time::ZERO, Span::secs(10));
        assert_eq!((pace.limit(0), pace.limit(1)), (Span::secs(60), Span::secs(120)));
        pace.answered(Time(1), &"cpu".into(), Span::secs(2));
        assert_eq!(pace.limit(0), Span::secs(40));
    }
}
