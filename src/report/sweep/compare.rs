//! The metrics of all trials at all points of a sweep, and what is different from the first point.

use std::collections::BTreeMap;

use super::super::gather::Trial;
use super::super::stats::Stats;
use super::super::summary::Summary;

/// The metric of attempts that did not count.
const WASTED: &str = "wasted_attempts";

/// What one trial at one point came to.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) trial: u32,
    pub(super) seed: u64,
    /// The metrics that have a value, by their number in [`Runs::names`].
    values: Vec<(u16, f64)>,
}

impl Run {
    /// The value of a metric, if it has one.
    pub(super) fn value(&self, metric: usize) -> Option<f64> {
        self.values.iter().find(|(known, _)| usize::from(*known) == metric).map(|(_, value)| *value)
    }
}

/// All trials at all points.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The metrics, in the order in which they were met.
    names: Vec<String>,
    /// Their numbers in the order in which they are written.
    order: Vec<usize>,
    /// For each point its trials, in order.
    pub(super) points: Vec<Vec<Run>>,
}

/// A metric at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The metric, called as in summary.csv.
    pub metric: String,
    /// The point, from 0.
    pub point: usize,
    /// Its values there; a sample is a trial, and the mean of its faults or jobs where a metric is about those.
    pub stats: Stats,
    /// The differences from the first point, trial by trial; no samples at the first point itself.
    pub difference: Stats,
}

impl Comparison {
    /// Whether the 95 % interval of the difference leaves out zero.
    pub fn is_significant(&self) -> bool {
        self.difference.ci95.is_some_and(|(low, high)| low > 0.0 || high < 0.0)
    }
}

/// All comparisons, metric by metric.
#[derive(Debug, Default)]
pub struct Comparisons {
    rows: Vec<Comparison>,
    /// For each metric the rows of its points.
    places: BTreeMap<String, BTreeMap<usize, usize>>,
}

impl Comparisons {
    pub(super) fn new(rows: Vec<Comparison>) -> Comparisons {
        let mut places: BTreeMap<String, BTreeMap<usize, usize>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            places.entry(row.metric.clone()).or_default().insert(row.point, place);
        }
        Comparisons { rows, places }
    }

    /// Every metric at every point that has values of it, in the order of comparison.csv.
    pub fn rows(&self) -> &[Comparison] {
        &self.rows
    }

    /// A metric at a point, if it has values there.
    pub fn of(&self, metric: &str, point: usize) -> Option<&Comparison> {
        self.places.get(metric)?.get(&point).map(|&place| &self.rows[place])
    }

    /// Whether any point has values of the metric.
    pub fn has(&self, metric: &str) -> bool {
        self.places.contains_key(metric)
    }

    /// The kinds of faults that were recovered from, in order of their names.
    pub fn kinds(&self) -> Vec<&str> {
        let metrics = self.places.keys().filter_map(|metric| metric.strip_prefix("recovery."));
        let mut kinds: Vec<&str> = metrics.filter_map(|rest| Some(rest.rsplit_once('.')?.0)).collect();
        kinds.dedup();
        kinds
    }
}

impl Runs {
    /// No trials at so many points.
    pub(super) fn new(points: usize) -> Runs {
        Runs { names: Vec::new(), order: Vec::new(), points: vec![Vec::new(); points] }
    }

    /// Adds a trial of a point; those of a point come in order.
    pub(super) fn add(&mut self, point: usize, trial: &Trial) {
        assert_eq!(trial.number as usize, self.points[point].len(), "trials of a point come in order");
        let mut summary = Summary::default();
        summary.add(trial);
        let attempts = &trial.tables.attempts;
        let wasted = attempts.iter().filter(|attempt| attempt.outcome != "counted").count();
        let metrics = summary.rows().into_iter().filter_map(|row| Some((row.metric, row.mean.0?)));
        let metrics: Vec<(String, f64)> = metrics.chain([(WASTED.to_owned(), wasted as f64)]).collect();
        self.push(point, trial.number, trial.seed, &metrics);
    }

    fn push(&mut self, point: usize, trial: u32, seed: u64, metrics: &[(String, f64)]) {
        let mut before = None;
        let mut values = Vec::with_capacity(metrics.len());
        for (name, value) in metrics {
            let number = self.number(name, before);
            before = Some(number);
            values.push((u16::try_from(number).expect("metrics are few"), *value));
        }
        self.points[point].push(Run { trial, seed, values });
    }

    /// The number of a metric; a new one is written after the one before it.
    fn number(&mut self, name: &str, before: Option<usize>) -> usize {
        if let Some(number) = self.names.iter().position(|known| known == name) {
            return number;
        }
        let number = self.names.len();
        self.names.push(name.to_owned());
        let place = before.and_then(|before| self.order.iter().position(|known| *known == before));
        self.order.insert(place.map_or(0, |place| place + 1), number);
        number
    }

    /// The metrics with their numbers, in the order in which they are written.
    pub(super) fn metrics(&self) -> impl Iterator<Item = (usize, &str)> {
        self.order.iter().map(|&number| (number, self.names[number].as_str()))
    }

    /// Every metric at every point that has values of it, metric by metric.
    pub(super) fn compared(&self) -> Comparisons {
        let point = |number: usize, name: &str, point: usize| {
            let runs = &self.points[point];
            let values: Vec<f64> = runs.iter().filter_map(|run| run.value(number)).collect();
            let pairs = runs.iter().zip(&self.points[0]).filter(|_| point > 0);
            let differences: Vec<f64> = pairs
                .filter_map(|(run, first)| {
                    assert_eq!(run.seed, first.seed, "points run the same seeds");
                    Some(run.value(number)? - first.value(number)?)
                })
                .collect();
            let (stats, difference) = (Stats::of(&values), Stats::of(&differences));
            (stats.n > 0).then(|| Comparison { metric: name.to_owned(), point, stats, difference })
        };
        let points = self.points.len();
        let of = |(number, name)| (0..points).filter_map(move |at| point(number, name, at));
        Comparisons::new(self.metrics().flat_map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each point the metrics of its trials.
    fn runs(points: &[Vec<Vec<(&str, f64)>>]) -> Runs {
        let mut runs = Runs::new(points.len());
        for (point, trials) in points.iter().enumerate() {
            for (trial, metrics) in trials.iter().enumerate() {
                let metrics: Vec<(String, f64)> =
                    metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
                runs.push(point, trial as u32, 7 + trial as u64, &metrics);
            }
        }
        runs
    }

    /// The trials of a point that have one metric.
    fn point(values: &[f64]) -> Vec<Vec<(&'static str, f64)>> {
        values.iter().map(|value| vec![("m", *value)]).collect()
    }

    fn of<'a>(compared: &'a Comparisons, metric: &str, point: usize) -> &'a Comparison {
        compared.of(metric, point).expect("it is compared")
    }

    #[test]
    fn pairing_shows_what_the_spread_between_trials_hides() {
        // Trials differ by tens, the points by one.
        let compared = runs(&[point(&[10.0, 40.0, 70.0]), point(&[11.0, 40.9, 71.1])]).compared();
        let [here, there] = [of(&compared, "m", 0), of(&compared, "m", 1)];
        assert_eq!((here.stats.mean, here.difference.n), (Some(40.0), 0));
        assert!(!here.is_significant());
        let (own, other) = (here.stats.ci95.unwrap(), there.stats.ci95.unwrap());
        assert!(own.1 > other.0, "the intervals of the means overlap");
        // 1 ± 4.302653 · 0.1 / √3.
        let (low, high) = there.difference.ci95.unwrap();
        assert!((low - 0.751_586).abs() < 1e-5 && (high - 1.248_414).abs() < 1e-5, "{low} {high}");
        assert!(there.is_significant());
    }

    #[test]
    fn only_trials_with_a_value_at_both_points_make_a_pair() {
        let first = vec![vec![("m", 1.0)], vec![], vec![("m", 3.0)]];
        let second = vec![vec![("m", 2.0)], vec![("m", 9.0)], vec![]];
        let compared = runs(&[first, second]).compared();
        let there = of(&compared, "m", 1);
        assert_eq!((there.stats.n, there.difference.n, there.difference.mean), (2, 1, Some(1.0)));
        assert!(!there.is_significant(), "a single pair proves nothing");
    }

    #[test]
    fn no_difference_at_all_is_not_significant_and_the_same_one_every_time_is() {
        let compared = runs(&[point(&[0.0, 0.0]), point(&[0.0, 0.0]), point(&[2.0, 2.0])]).compared();
        assert!(!of(&compared, "m", 1).is_significant());
        assert!(of(&compared, "m", 2).is_significant());
    }

    #[test]
    fn metrics_keep_their_order_whichever_trial_has_them_first() {
        let first = vec![vec![("b", 1.0), ("d", 1.0)]];
        let second = vec![vec![("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)]];
        let runs = runs(&[first, second]);
        let names: Vec<&str> = runs.metrics().map(|(_, name)| name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(runs.points[0][0].value(0), Some(1.0));
    }
}
