//! latency.hlog: the latencies of each job's queries as a histogram, in the log format of HdrHistogram.
//!
//! One interval per job, tagged with its name, over all trials. Values are nanoseconds from a query's first dispatch to its
//! commit, to three significant digits. Times of day are all zero, so that equal runs give equal bytes.

use std::io;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::summary::Summary;
use crate::base::{Span, Time};

/// Significant decimal digits that the histograms keep.
const DIGITS: u8 = 3;
/// Greatest values are told in milliseconds, as readers expect.
const NANOSECONDS_PER_MILLISECOND: f64 = 1e6;

/// The file for trials the longest of which ended at `ended_at`.
pub(super) fn written(summary: &Summary, ended_at: Time) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("Nanoseconds from a query's first dispatch to its commit, one histogram per job, over all trials.")
        .with_start_time(SystemTime::UNIX_EPOCH)
        .with_base_time(SystemTime::UNIX_EPOCH)
        .with_max_value_divisor(NANOSECONDS_PER_MILLISECOND)
        .begin_log_with(&mut bytes, &mut serializer)?;
    for job in summary.samples().iter().filter(|job| !job.latencies.is_empty()) {
        // The bounds are those of the samples, so that the bytes do not depend on their order.
        let values = job.latencies.iter().map(|latency| Span::from_secs(*latency).0.max(1));
        let most = values.clone().max().unwrap_or(1).max(2);
        let mut histogram = Histogram::<u64>::new_with_bounds(1, most, DIGITS)
            .expect("from 1 to at least 2 with three digits is a range");
        for value in values {
            histogram.record(value).expect("the greatest value is within the bounds");
        }
        let name = tag(&job.name);
        let tag = Tag::new(&name).expect("what a tag may not have was taken out");
        log.write_histogram(&histogram, Duration::ZERO, Duration::from_nanos(ended_at.0), Some(tag))
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(bytes)
}

/// A job's name without what separates tags from what follows.
fn tag(name: &str) -> String {
    let apart = |c: char| c == ',' || c.is_whitespace();
    name.chars().map(|c| if apart(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::super::example::ms;
    use super::super::stats::Stats;
    use super::super::tests::trial;
    use super::*;

    #[test]
    fn its_own_reader_finds_the_percentiles_of_each_jobs_queries() {
        let mut summary = Summary::default();
        let trials = [trial(0), trial(1)];
        for trial in &trials {
            summary.add(trial);
        }
        let bytes = written(&summary, ms(31_000)).unwrap();
        let mut jobs = Vec::new();
        for entry in IntervalLogIterator::new(&bytes) {
            let interval = match entry.expect("the log can be read") {
                LogEntry::Interval(interval) => interval,
                LogEntry::StartTime(time) | LogEntry::BaseTime(time) => {
                    assert_eq!(time, Duration::ZERO);
                    continue;
                }
            };
            let job = interval.tag().expect("it is tagged").as_str();
            assert_eq!(
                (interval.start_timestamp(), interval.duration()),
                (Duration::ZERO, Duration::from_secs(31))
            );
            let rows = trials.iter().flat_map(|trial| &trial.tables.queries).filter(|row| &*row.job == job);
            let latencies = rows.filter_map(|row| Some(row.committed_s.value()? - row.dispatched_s.value()?));
            let stats = Stats::of(&latencies.collect::<Vec<_>>());
            let read = base64(interval.encoded_histogram());
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut read.as_slice()).unwrap();
            assert_eq!(histogram.len(), stats.n as u64);
            for (quantile, wanted) in
                [(0.5, stats.p50), (0.9, stats.p90), (0.95, stats.p95), (1.0, stats.max)]
            {
                let found = histogram.value_at_quantile(quantile) as f64 / 1e9;
                let wanted = wanted.expect("there are queries");
                assert!((found / wanted - 1.0).abs() < 1e-3, "{job}: {found} at {quantile}, not {wanted}");
            }
            assert!((interval.max() / 1e3 / stats.max.unwrap() - 1.0).abs() < 1e-3, "{}", interval.max());
            jobs.push(job.to_owned());
        }
        assert_eq!(jobs, ["cats", "dogs"]);
    }

    #[test]
    fn names_of_jobs_are_fit_to_be_tags() {
        assert_eq!(tag("cats #2, and\nmore"), "cats_#2__and_more");
        assert!(Tag::new(&tag("cats #2, and\nmore")).is_some());
    }

    /// What stands in a log is base64 without line breaks.
    fn base64(text: &str) -> Vec<u8> {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
        for letter in text.bytes().filter(|letter| *letter != b'=') {
            let digit = DIGITS.iter().position(|known| *known == letter).expect("it is base64");
            bits = bits << 6 | digit as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
            }
        }
        bytes
    }
}
