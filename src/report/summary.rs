//! What all trials together say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::{Number, Seconds};
use super::gather::Trial;
use super::rows::{RecoveryRow, SummaryRow};
use super::stats::Stats;

/// What one trial adds to the summary, its faults aside.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) jobs: Vec<JobSample>,
    pub(super) start_delays: Vec<f64>,
    pub(super) settles: Vec<f64>,
    pub(super) rhos: Vec<f64>,
    pub(super) makespan: Option<f64>,
    pub(super) gap: Option<f64>,
    pub(super) gap_short: Option<f64>,
    pub(super) gap_long: Option<f64>,
    pub(super) lifetime_gap: Option<f64>,
    pub(super) jain: Option<f64>,
    pub(super) aggregate: Option<f64>,
    pub(super) utilisation: Option<f64>,
    pub(super) loads: u64,
    pub(super) false_suspicions: u64,
    pub(super) false_evictions: u64,
    /// All messages per node and second; those of the membership, of the log, and of the work among them.
    pub(super) messages: Option<[f64; 4]>,
    pub(super) lost: u64,
    pub(super) doubled: u64,
}

/// What one trial says about one job.
#[derive(Debug)]
pub(super) struct JobSample {
    pub(super) name: Arc<str>,
    pub(super) rate: Option<f64>,
    pub(super) start_delay: Option<f64>,
    /// The times that its queries ran.
    pub(super) times: Vec<f64>,
    /// The times from its queries' first dispatches to their commits.
    pub(super) latencies: Vec<f64>,
    pub(super) ended: bool,
}

/// The columns of recovery.csv that are measured.
const SPANS: [&str; 7] =
    ["detect_s", "promote_s", "redispatch_s", "first_result_s", "normal_s", "total_s", "regained_s"];

fn spans(row: &RecoveryRow) -> [Seconds; 7] {
    [
        row.detect_s,
        row.promote_s,
        row.redispatch_s,
        row.first_result_s,
        row.normal_s,
        row.total_s,
        row.regained_s,
    ]
}

/// What a fault found, and how long the cluster took to get over it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Burden {
    /// Whether it hit the coordinator.
    pub(super) led: bool,
    /// The queries that it made the cluster see to: all that were left, when it hit the coordinator; else those that the workers
    /// held which it hit.
    pub(super) queries: u64,
    /// The seconds until the cluster was at work again; for workers, until all that they held was given out again.
    pub(super) seconds: f64,
}

/// What a fault found; `None` when nothing had to be got over.
pub(super) fn burden(row: &RecoveryRow) -> Option<Burden> {
    let led = row.promote_s.value().is_some();
    let (queries, span) =
        if led { (row.unfinished, row.redispatch_s) } else { (u64::from(row.held), row.regained_s) };
    Some(Burden { led, queries, seconds: span.value()? })
}

/// The metrics of all trials, after those of recovery.
const METRICS: [&str; 20] = [
    "start_delay_s",
    "settle_s",
    "rho",
    "makespan_s",
    "rate_gap",
    "rate_gap_2s",
    "rate_gap_10s",
    "lifetime_gap",
    "jain",
    "aggregate_qps",
    "utilisation",
    "model_loads",
    "false_suspicions",
    "false_evictions",
    "messages_per_node_s",
    "messages_membership_per_node_s",
    "messages_log_per_node_s",
    "work_messages_per_node_s",
    "queries_lost",
    "queries_doubled",
];

/// The samples of all trials so far.
///
/// A sample of `recovery.<kind>.<column>` is a fault of that kind; of `start_delay_s` and `rho` (finish-time fairness) a job;
/// of `settle_s` an arrival beside running jobs after which the rates over 2 s came within 10 % for a second: how long that
/// took; of all other metrics a trial: `makespan_s` (first submission to last end, where all jobs ended), `rate_gap` (mean gap
/// of the jobs' rates at the full seconds at which two or more jobs had all been running for the rate window), `rate_gap_2s`
/// and `rate_gap_10s` (the same for these windows), `lifetime_gap` and `jain` (the gap of the rates over the whole lives, and
/// Jain's index of those over 10 s, at the seconds that count for `rate_gap_10s`), `aggregate_qps` (queries counted per second
/// from the first submission to the last end), `utilisation` (the part of the workers' time from the first submission to the
/// last end in which queries ran that counted), `model_loads` (how often a worker began to load a model), `false_suspicions`
/// and `false_evictions` (of nodes that no fault had silenced), `messages_per_node_s` (messages sent between nodes
/// without those of work and clients), `messages_membership_per_node_s` (heartbeats, alerts and views among them),
/// `messages_log_per_node_s` (the quorum log), `work_messages_per_node_s` (dispatch and results), `queries_lost`, `queries_doubled`.
#[derive(Debug, Default)]
pub struct Summary {
    /// For each fault of the scenario, its kind and the samples of each of [`SPANS`].
    faults: BTreeMap<u32, (Arc<str>, [Vec<f64>; SPANS.len()])>,
    metrics: [Vec<f64>; METRICS.len()],
    jobs: Vec<JobSamples>,
    /// For each fault, what it found each time.
    burdens: Vec<(u32, Burden)>,
}

/// The samples of one job, over all trials.
#[derive(Debug)]
pub(super) struct JobSamples {
    pub(super) name: Arc<str>,
    rates: Vec<f64>,
    /// Seconds from its submission to the start of its first query.
    pub(super) delays: Vec<f64>,
    /// Seconds that its queries ran.
    pub(super) times: Vec<f64>,
    /// Seconds from its queries' first dispatches to their commits.
    pub(super) latencies: Vec<f64>,
    trials: u32,
    ended: u32,
}

/// What all trials say about one job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSummary {
    /// Its name.
    pub name: Arc<str>,
    /// In how many trials it was accepted.
    pub trials: u32,
    /// In how many it ended.
    pub ended: u32,
    /// Its rate in queries per second; a sample is a trial.
    pub rate_qps: Stats,
    /// The seconds from its submission to the start of its first query; a sample is a trial.
    pub start_delay_s: Stats,
    /// The seconds that a query ran; a sample is a query of any trial.
    pub query_s: Stats,
}

impl Summary {
    /// Adds a trial.
    pub(super) fn add(&mut self, trial: &Trial) {
        for row in &trial.tables.recovery {
            let (_, samples) = self.faults.entry(row.fault).or_insert_with(|| {
                let none = [const { Vec::new() }; SPANS.len()];
                (Arc::clone(&row.kind), none)
            });
            for (samples, span) in samples.iter_mut().zip(spans(row)) {
                samples.extend(span.value());
            }
            self.burdens.extend(burden(row).map(|burden| (row.fault, burden)));
        }
        let sample = &trial.sample;
        let many = [&sample.start_delays, &sample.settles, &sample.rhos];
        for (samples, values) in self.metrics.iter_mut().zip(many) {
            samples.extend(values);
        }
        let messages = |part: usize| sample.messages.map(|messages| messages[part]);
        let one = [
            sample.makespan,
            sample.gap,
            sample.gap_short,
            sample.gap_long,
            sample.lifetime_gap,
            sample.jain,
            sample.aggregate,
            sample.utilisation,
            Some(sample.loads as f64),
            Some(sample.false_suspicions as f64),
            Some(sample.false_evictions as f64),
            messages(0),
            messages(1),
            messages(2),
            messages(3),
            Some(sample.lost as f64),
            Some(sample.doubled as f64),
        ];
        for (samples, value) in self.metrics[many.len()..].iter_mut().zip(one) {
            samples.extend(value);
        }
        for one in &sample.jobs {
            let job = self.job(&one.name);
            job.rates.extend(one.rate);
            job.delays.extend(one.start_delay);
            job.times.extend(&one.times);
            job.latencies.extend(&one.latencies);
            job.trials += 1;
            job.ended += u32::from(one.ended);
        }
    }

    fn job(&mut self, name: &Arc<str>) -> &mut JobSamples {
        let place = self.jobs.iter().position(|job| job.name == *name).unwrap_or_else(|| {
            let name = Arc::clone(name);
            self.jobs.push(JobSamples {
                name,
                rates: Vec::new(),
                delays: Vec::new(),
                times: Vec::new(),
                latencies: Vec::new(),
                trials: 0,
                ended: 0,
            });
            self.jobs.len() - 1
        });
        &mut self.jobs[place]
    }

    /// The rows of summary.csv: recovery by kind of fault, then the other metrics. A metric without samples has no row.
    pub fn rows(&self) -> Vec<SummaryRow> {
        let mut kinds: Vec<&Arc<str>> = self.faults.values().map(|(kind, _)| kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut rows = Vec::new();
        for kind in kinds {
            let faults: Vec<u32> =
                self.faults.iter().filter(|(_, (of, _))| of == kind).map(|(fault, _)| *fault).collect();
            for (name, stats) in SPANS.iter().zip(self.recovery(&faults)) {
                rows.push(row(format!("recovery.{kind}.{name}"), &stats));
            }
        }
        rows.extend(
            METRICS
                .iter()
                .zip(&self.metrics)
                .map(|(name, samples)| row((*name).to_owned(), &Stats::of(samples))),
        );
        rows.retain(|row| row.n > 0);
        rows
    }

    /// What these faults (numbered from 0) together took to be detected, to have a new leader, to be dispatching again, to
    /// have a first result, to be back at the usual pace, in all, and until all that was held was given out again.
    pub fn recovery(&self, faults: &[u32]) -> [Stats; SPANS.len()] {
        self.recovery_samples(faults).map(|samples| Stats::of(&samples))
    }

    /// The samples behind [`Summary::recovery`].
    pub(super) fn recovery_samples(&self, faults: &[u32]) -> [Vec<f64>; SPANS.len()] {
        std::array::from_fn(|span| {
            let samples = faults.iter().filter_map(|fault| self.faults.get(fault));
            samples.flat_map(|(_, spans)| spans[span].iter().copied()).collect()
        })
    }

    /// What these faults found, each time that they hit somebody.
    pub(super) fn burdens(&self, faults: &[u32]) -> impl Iterator<Item = Burden> {
        self.burdens.iter().filter(|(fault, _)| faults.contains(fault)).map(|(_, burden)| *burden)
    }

    /// The samples of each job, in the order in which they first appeared.
    pub(super) fn samples(&self) -> &[JobSamples] {
        &self.jobs
    }

    /// What is said about each job, in the order in which they first appeared.
    pub fn jobs(&self) -> Vec<JobSummary> {
        let summary = |job: &JobSamples| JobSummary {
            name: Arc::clone(&job.name),
            trials: job.trials,
            ended: job.ended,
            rate_qps: Stats::of(&job.rates),
            start_delay_s: Stats::of(&job.delays),
            query_s: Stats::of(&job.times),
        };
        self.jobs.iter().map(summary).collect()
    }

    /// The statistics of one of the metrics that are not about recovery; no samples where there is no such metric.
    pub fn metric(&self, name: &str) -> Stats {
        let place = METRICS.iter().position(|metric| *metric == name);
        place.map_or_else(Stats::default, |place| Stats::of(&self.metrics[place]))
    }
}

fn row(metric: String, stats: &Stats) -> SummaryRow {
    SummaryRow {
        metric,
        n: stats.n,
        mean: Number(stats.mean),
        std: Number(stats.std),
        ci95_low: Number(stats.ci95.map(|(low, _)| low)),
        ci95_high: Number(stats.ci95.map(|(_, high)| high)),
        min: Number(stats.min),
        p50: Number(stats.p50),
        p90: Number(stats.p90),
        p95: Number(stats.p95),
        p99: Number(stats.p99),
        p999: Number(stats.p999),
        max: Number(stats.max),
    }
}
