//! Two results side by side: each metric of both, how far B is from A, and whether that is more than their spread.
//!
//! The lines are the metrics of summary.csv and, of each job, `job.<name>.rate_qps`, `job.<name>.start_delay_s` and
//! `job.<name>.query_s` (the time that a query ran: `finished_s` − `started_s`).
//!
//! Trials are what is independent, so that they are what spreads: the standard deviation and the intervals are those
//! between trials, each of which counts as what it contributes to the mean over all samples. Metrics that only summary.csv tells are taken as they
//! stand there. The 95 % interval of the difference of the means is made from the differences of trials where both results ran
//! with the same seeds and the files tell each trial's value ([`Method::Paired`]), else from the two spreads
//! ([`Method::Welch`]).

mod chart;
mod error;
mod read;
mod settings;
mod spread;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use error::CompareError;
pub use settings::Setting;
pub use spread::Method;

use read::{Metric, Side};
use spread::Samples;

use super::stats::Stats;

/// Differences of means below this cannot be told from the rounding of the files to six decimals.
const VISIBLE: f64 = 1e-6;

/// One of the two results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The folder that was read.
    pub folder: PathBuf,
    /// The name of the scenario.
    pub scenario: String,
    /// The seed of trial 0.
    pub seed: u64,
    /// How many trials.
    pub trials: u32,
}

/// What two results say of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The one that is compared with.
    pub a: Origin,
    /// The one that is compared.
    pub b: Origin,
    /// Whether both ran the same number of trials with the same seeds, so that trials can be compared one by one.
    pub paired: bool,
    /// The settings that are not the same, in order of their paths; `about` is none.
    pub settings: Vec<Setting>,
    /// The metrics: recovery by kind of fault, jobs, cluster.
    pub lines: Vec<Line>,
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// How long the cluster took to get over faults of this kind.
    Recovery(String),
    /// The job of this name.
    Job(String),
    /// The whole cluster.
    Cluster,
}

impl Group {
    /// What stands in compare.csv: `recovery`, `job` or `cluster`.
    pub const fn word(&self) -> &'static str {
        match self {
            Group::Recovery(_) => "recovery",
            Group::Job(_) => "job",
            Group::Cluster => "cluster",
        }
    }
}

/// One metric of both results.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is about.
    pub group: Group,
    /// Its name: that in summary.csv, or `job.<name>.<column>`.
    pub metric: String,
    /// What it is in A, if A has it.
    pub a: Option<Values>,
    /// What it is in B, if B has it.
    pub b: Option<Values>,
    /// How far B is from A, if both have it.
    pub difference: Option<Difference>,
    /// What follows from that.
    pub verdict: Verdict,
}

impl Line {
    /// The metric without its group: `detect_s`, `rate_qps`, `makespan_s`.
    pub fn short(&self) -> &str {
        let name = self.metric.as_str();
        match &self.group {
            Group::Recovery(kind) => name.strip_prefix("recovery.").and_then(|rest| rest.strip_prefix(kind)),
            Group::Job(job) => name.strip_prefix("job.").and_then(|rest| rest.strip_prefix(job)),
            Group::Cluster => None,
        }
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(name)
    }
}

/// What one result says of a metric. What too few samples cannot say is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    /// How many samples.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their median, by the nearest rank.
    pub p50: Option<f64>,
    /// Their 95th percentile, by the nearest rank.
    pub p95: Option<f64>,
    /// In how many trials they were taken, where the files tell.
    pub trials: Option<usize>,
    /// The standard deviation between trials, from 2 trials up.
    pub std: Option<f64>,
    /// The 95 % interval of the mean by Student's t over trials, from 2 trials up.
    pub ci95: Option<(f64, f64)>,
}

/// How far B is from A.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean of B minus that of A.
    pub value: f64,
    /// Its 95 % interval and how that was made; `None` where a side has a single trial.
    pub interval: Option<(f64, f64, Method)>,
    /// What per cent are of: the size of A's mean; `None` where that is zero.
    pub base: Option<f64>,
}

impl Difference {
    /// The error of B against A in per cent of A's mean, with its interval; A's mean is taken as exact. `None` where A's
    /// mean is zero.
    pub fn percent(&self) -> Option<(f64, Option<(f64, f64)>)> {
        let percent = |value: f64, base: f64| value / base * 100.0;
        self.base.map(|base| {
            let interval = self.interval.map(|(low, high, _)| (percent(low, base), percent(high, base)));
            (percent(self.value, base), interval)
        })
    }
}

/// Whether two results agree in a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every sample, as far as the files tell them, is the same.
    Equal,
    /// The 95 % interval of the difference holds zero.
    Same,
    /// It does not.
    Differs,
    /// A side has a single trial, which has no spread.
    NoSpread,
    /// B has no such metric.
    OnlyA,
    /// A has no such metric.
    OnlyB,
}

impl Verdict {
    /// In plain words, as they stand in compare.csv.
    pub const fn words(self) -> &'static str {
        match self {
            Verdict::Equal => "equal",
            Verdict::Same => "same within the spread",
            Verdict::Differs => "differs",
            Verdict::NoSpread => "a single trial has no spread",
            Verdict::OnlyA => "only in A",
            Verdict::OnlyB => "only in B",
        }
    }
}

impl Comparison {
    /// Compares the results that `a` and `b` mean: folders with results, or with exactly one such folder up to three levels
    /// below.
    pub fn of(a: &Path, b: &Path) -> Result<Comparison, CompareError> {
        let (a, b) = (Side::read(read::find(a)?)?, Side::read(read::find(b)?)?);
        let paired = (a.seed, a.trials) == (b.seed, b.trials);
        let settings = settings::differences(&a.settings, &b.settings);
        let lines = names(&a, &b).into_iter().map(|(group, metric)| line(group, metric, &a, &b, paired));
        let lines = lines.filter(|line| line.a.is_some() || line.b.is_some()).collect();
        let origin = |side: Side| Origin {
            folder: side.folder,
            scenario: side.scenario,
            seed: side.seed,
            trials: side.trials,
        };
        Ok(Comparison { a: origin(a), b: origin(b), paired, settings, lines })
    }

    /// Whether the two have the same settings and the same samples of every metric.
    pub fn is_equal(&self) -> bool {
        self.settings.is_empty() && self.lines.iter().all(|line| line.verdict == Verdict::Equal)
    }

    /// How many lines have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }
}

/// What is measured of each job.
const OF_JOBS: [&str; 3] = ["rate_qps", "start_delay_s", "query_s"];

/// Every metric of either, with its group: recovery by kind, jobs, cluster.
fn names(a: &Side, b: &Side) -> Vec<(Group, String)> {
    let summary: Vec<&str> = merged(
        a.summary.iter().map(|metric| metric.name.as_str()),
        b.summary.iter().map(|metric| metric.name.as_str()),
    );
    let kind = |name: &str| {
        let rest = name.strip_prefix("recovery.")?;
        rest.rsplit_once('.').map(|(kind, _)| kind.to_owned())
    };
    let mut kinds: Vec<String> = summary.iter().filter_map(|name| kind(name)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut names = Vec::new();
    for wanted in kinds {
        let of_kind = summary.iter().filter(|name| kind(name).as_ref() == Some(&wanted));
        names.extend(of_kind.map(|name| (Group::Recovery(wanted.clone()), (*name).to_owned())));
    }
    for job in merged(a.jobs.iter().map(String::as_str), b.jobs.iter().map(String::as_str)) {
        names.extend(OF_JOBS.map(|column| (Group::Job(job.to_owned()), format!("job.{job}.{column}"))));
    }
    let cluster = summary.iter().filter(|name| kind(name).is_none());
    names.extend(cluster.map(|name| (Group::Cluster, (*name).to_owned())));
    names
}

/// The names of A in their order, then those that only B has.
fn merged<'a>(a: impl Iterator<Item = &'a str>, b: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = a.collect();
    let known: std::collections::BTreeSet<&str> = all.iter().copied().collect();
    all.extend(b.filter(|name| !known.contains(name)));
    all
}

/// One metric of one side: its row in the summary, its samples by trial, or both.
#[derive(Clone, Copy)]
struct Known<'a> {
    row: Option<&'a Metric>,
    samples: Option<&'a Samples>,
}

impl<'a> Known<'a> {
    fn of(side: &'a Side, metric: &str) -> Option<Known<'a>> {
        let row = side.summary.iter().find(|row| row.name == metric);
        let samples = side.samples.get(metric);
        (row.is_some() || samples.is_some()).then_some(Known { row, samples })
    }

    fn values(self) -> Values {
        let Some(samples) = self.samples else {
            let row = self.row.expect("what is known has a row or samples");
            let Metric { n, mean, std, ci95, p50, p95, .. } = *row;
            return Values { n, mean, p50, p95, trials: None, std, ci95 };
        };
        let all = Stats::of(&samples.all());
        let trials = Stats::of(&samples.contributions().into_values().collect::<Vec<_>>());
        Values {
            n: all.n,
            // The summary's was made from exact numbers.
            mean: self.row.map_or_else(|| all.mean.expect("there are samples"), |row| row.mean),
            p50: all.p50,
            p95: all.p95,
            trials: Some(trials.n),
            std: trials.std,
            ci95: trials.ci95,
        }
    }

    /// Whether nothing tells the two apart. `paired` says that trials can be compared one by one.
    fn equals(self, other: Known<'_>, paired: bool) -> bool {
        match (self.samples, other.samples) {
            (Some(a), Some(b)) => paired && a == b,
            _ => match (self.row, other.row) {
                (Some(a), Some(b)) => Metric { line: b.line, ..a.clone() } == *b,
                _ => false,
            },
        }
    }
}

fn line(group: Group, metric: String, a: &Side, b: &Side, paired: bool) -> Line {
    let known = (Known::of(a, &metric), Known::of(b, &metric));
    let (difference, verdict) = match known {
        (Some(of_a), Some(of_b)) => {
            let difference = difference(of_a, of_b, paired);
            (Some(difference), verdict(&difference, of_a.equals(of_b, paired)))
        }
        (Some(_), None) => (None, Verdict::OnlyA),
        (None, _) => (None, Verdict::OnlyB),
    };
    let [a, b] = [known.0, known.1].map(|known| known.map(Known::values));
    Line { group, metric, a, b, difference, verdict }
}

fn difference(a: Known<'_>, b: Known<'_>, paired: bool) -> Difference {
    let [of_a, of_b] = [a, b].map(Known::values);
    let value = of_b.mean - of_a.mean;
    let pairs = a.samples.zip(b.samples).filter(|_| paired);
    let pairs = pairs.map(|(a, b)| (a.contributions(), b.contributions()));
    let interval = if let Some((a, b)) = pairs.filter(|(a, b)| a.keys().eq(b.keys())) {
        spread::paired(&a, &b).map(|(low, high)| (low, high, Method::Paired))
    } else {
        let side = |values: &Values| {
            let trials = values.trials.unwrap_or(values.n);
            values.std.map_or((1, values.mean, 0.0), |std| (trials, values.mean, std))
        };
        spread::welch(side(&of_a), side(&of_b)).map(|(low, high)| (low, high, Method::Welch))
    };
    let base = Some(of_a.mean.abs()).filter(|base| *base > 0.0);
    Difference { value, interval, base }
}

fn verdict(difference: &Difference, equal: bool) -> Verdict {
    match difference.interval {
        _ if equal => Verdict::Equal,
        None => Verdict::NoSpread,
        Some(_) if difference.value.abs() < VISIBLE => Verdict::Same,
        Some((low, high, _)) if low <= 0.0 && high >= 0.0 => Verdict::Same,
        Some(_) => Verdict::Differs,
    }
}
