//! How fairly the jobs were served over time: fairness.csv, and what the summary says of it.

use super::format::{Number, Seconds};
use super::queries::Source;
use super::rows::FairnessRow;
use crate::base::{Span, Time};

/// The window over which a gap shows transients.
const SHORT: Span = Span::secs(2);
/// The window over which a gap shows what lasts.
const LONG: Span = Span::secs(10);
/// A job has settled in when the gap over [`SHORT`] is at most this ...
const SETTLED_GAP: f64 = 0.10;
/// ... for this long.
const SETTLED_FOR: Span = Span::secs(1);
/// How often that is looked at.
const LOOK_EVERY: Span = Span::millis(100);

/// What one trial says about fairness.
#[derive(Debug, Default)]
pub(super) struct Fairness {
    /// A row for each full second at which something ran.
    pub(super) rows: Vec<FairnessRow>,
    /// Means over those full seconds at which two or more jobs had all been running for the window.
    pub(super) gap_short: Option<f64>,
    pub(super) gap_long: Option<f64>,
    /// Mean over the full seconds at which two or more jobs had all been running for [`LONG`].
    pub(super) lifetime_gap: Option<f64>,
    pub(super) jain: Option<f64>,
    /// For each arrival beside running jobs after which the rates came together: how long that took.
    pub(super) settles: Vec<f64>,
}

/// One job, as far as its rates go.
struct Line {
    /// When its queries were counted, in order.
    commits: Vec<Time>,
    added: Time,
    ended: Time,
    weight: f64,
}

impl Line {
    fn runs(&self, at: Time) -> bool {
        self.added <= at && at < self.ended
    }

    fn counted_by(&self, at: Time) -> usize {
        self.commits.partition_point(|commit| *commit <= at)
    }

    /// Queries counted per second and unit of weight in the window that ends at `at`, or since the arrival if that is shorter.
    fn rate(&self, at: Time, window: Span) -> f64 {
        let length = window.min(at.since(self.added));
        let before = if length == at.since(self.added) { 0 } else { self.counted_by(Time(at.0 - length.0)) };
        let seconds = length.as_secs();
        if seconds > 0.0 { (self.counted_by(at) - before) as f64 / seconds / self.weight } else { 0.0 }
    }

    /// The same since its arrival.
    fn lifetime_rate(&self, at: Time) -> f64 {
        self.rate(at, Span(u64::MAX))
    }
}

impl Fairness {
    pub(super) fn of(source: &Source<'_>) -> Fairness {
        let lines = lines(source);
        let mut fairness = Fairness { settles: settles(&lines, source.end), ..Fairness::default() };
        let (mut short, mut long, mut lifetime, mut index) =
            (Mean::default(), Mean::default(), Mean::default(), Mean::default());
        for second in 1..=source.end.0 / SECOND {
            let at = Time(second * SECOND);
            let running: Vec<&Line> = lines.iter().filter(|line| line.runs(at)).collect();
            if running.is_empty() {
                continue;
            }
            let rates = |window| running.iter().map(|line| line.rate(at, window)).collect::<Vec<f64>>();
            let (gap_short, gap_long) = (gap(&rates(SHORT)), gap(&rates(LONG)));
            let lifetimes: Vec<f64> = running.iter().map(|line| line.lifetime_rate(at)).collect();
            let (lifetime_gap, jain) = (gap(&lifetimes), jain(&rates(LONG)));
            let counted = |at: Time| lines.iter().map(|line| line.counted_by(at)).sum::<usize>();
            let last_second = counted(at) - counted(Time(at.0 - SECOND));
            fairness.rows.push(FairnessRow {
                trial: source.trial,
                at_s: Seconds::from(at),
                jobs: running.len() as u32,
                gap_2s: Number(gap_short),
                gap_10s: Number(gap_long),
                lifetime_gap: Number(lifetime_gap),
                jain: Number(jain),
                aggregate_qps: Number(Some(last_second as f64)),
            });
            let youngest = running.iter().map(|line| at.since(line.added)).min();
            if youngest >= Some(SHORT) {
                short.add(gap_short);
            }
            if youngest >= Some(LONG) {
                long.add(gap_long);
                lifetime.add(lifetime_gap);
                index.add(jain);
            }
        }
        (fairness.gap_short, fairness.gap_long) = (short.mean(), long.mean());
        (fairness.lifetime_gap, fairness.jain) = (lifetime.mean(), index.mean());
        fairness
    }
}

const SECOND: u64 = 1_000_000_000;

fn lines(source: &Source<'_>) -> Vec<Line> {
    let jobs = &source.work.jobs;
    let mut lines: Vec<Line> = jobs
        .values()
        .map(|job| {
            let (added, ended, weight) = (job.added, job.end(), job.spec.weight);
            Line { commits: Vec::new(), added, ended, weight }
        })
        .collect();
    let places: Vec<_> = jobs.keys().copied().collect();
    for (at, job) in &source.work.commits {
        if let Ok(place) = places.binary_search(job) {
            lines[place].commits.push(*at);
        }
    }
    lines
}

/// How long after each arrival beside running jobs the rates came together: from then on the gap over [`SHORT`] was at most
/// [`SETTLED_GAP`] for [`SETTLED_FOR`]. Arrivals after which that did not happen before the next arrival or end are left out.
fn settles(lines: &[Line], end: Time) -> Vec<f64> {
    let mut samples = Vec::new();
    for newcomer in lines {
        let arrived = newcomer.added;
        let beside: Vec<&Line> = lines.iter().filter(|line| line.runs(arrived)).collect();
        if beside.len() < 2 {
            continue;
        }
        let arrivals = lines.iter().map(|line| line.added).filter(|added| *added > arrived);
        let ends = beside.iter().map(|line| line.ended);
        let until = arrivals.chain(ends).min().map_or(end, |change| change.min(end));
        // Before the window is full the newcomer's rate says little.
        let (mut at, mut since) = (arrived + SHORT, None);
        while at < until {
            let rates: Vec<f64> = beside.iter().map(|line| line.rate(at, SHORT)).collect();
            if gap(&rates).is_some_and(|gap| gap <= SETTLED_GAP) {
                let since = *since.get_or_insert(at);
                if at.since(since) >= SETTLED_FOR {
                    samples.push(since.since(arrived).as_secs());
                    break;
                }
            } else {
                since = None;
            }
            at += LOOK_EVERY;
        }
    }
    samples
}

/// (highest − lowest) ÷ highest; `None` unless there are two rates or more, and one above 0.
pub(super) fn gap(rates: &[f64]) -> Option<f64> {
    let high = rates.iter().copied().fold(0.0, f64::max);
    let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
    (rates.len() > 1 && high > 0.0).then(|| (high - low) / high)
}

/// Jain's index of fairness, (Σx)² ÷ (n · Σx²): 1 when all are equal, 1/n when one has everything (Jain, Chiu and Hawe, 1984).
fn jain(rates: &[f64]) -> Option<f64> {
    let (sum, squares) = rates.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    (rates.len() > 1 && squares > 0.0).then(|| sum * sum / (rates.len() as f64 * squares))
}

#[derive(Default)]
struct Mean {
    sum: f64,
    n: u32,
}

impl Mean {
    fn add(&mut self, sample: Option<f64>) {
        self.sum += sample.unwrap_or(0.0);
        self.n += u32::from(sample.is_some());
    }

    fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(added_ms: u64, ended_ms: u64, every_ms: u64, first_ms: u64) -> Line {
        let commits = (0..).map(|i| first_ms + i * every_ms).take_while(|at| *at < ended_ms);
        let commits = commits.map(|at| Time(at * 1_000_000)).collect();
        Line { commits, added: Time(added_ms * 1_000_000), ended: Time(ended_ms * 1_000_000), weight: 1.0 }
    }

    #[test]
    fn rates_count_the_window_or_the_life_if_that_is_shorter() {
        let line = line(1_000, 60_000, 100, 1_100);
        let at = Time(3_000_000_000);
        assert!((line.rate(at, LONG) - 10.0).abs() < 1e-9, "20 queries in 2 s of life");
        assert!((line.rate(Time(30_000_000_000), SHORT) - 10.0).abs() < 1e-9);
        assert!(line.rate(Time(1_000_000_000), SHORT).abs() < 1e-9);
    }

    #[test]
    fn a_newcomer_settles_when_its_rate_has_come_up() {
        // The second job arrives at 10 s, and only from 13 s on is it served as often as the first one.
        let lines = [line(0, 60_000, 100, 100), line(10_000, 60_000, 100, 13_000)];
        let samples = settles(&lines, Time(60_000_000_000));
        assert_eq!(samples.len(), 1);
        assert!((4.5..=5.0).contains(&samples[0]), "the window is full of equal rates at 15 s: {samples:?}");
    }

    #[test]
    fn who_never_settles_is_no_sample() {
        let lines = [line(0, 60_000, 100, 100), line(10_000, 60_000, 200, 10_100)];
        assert!(settles(&lines, Time(60_000_000_000)).is_empty());
        assert!(settles(&lines[..1], Time(60_000_000_000)).is_empty(), "nobody else was there");
    }

    #[test]
    fn jains_index_is_one_for_equals_and_a_share_for_a_monopoly() {
        assert_eq!(jain(&[3.0, 3.0, 3.0]), Some(1.0));
        assert_eq!(jain(&[4.0, 0.0]), Some(0.5));
        assert_eq!((jain(&[1.0]), jain(&[0.0, 0.0])), (None, None));
    }
}
