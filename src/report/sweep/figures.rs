//! The charts of a sweep: what the jobs got, and how faults were recovered from, by setting.

use super::compare::Comparisons;
use super::grid::{Grid, bare};
use crate::report::figure::{Axis, Bar, Bars, Curve, Curves, Estimate, Figure, Join, Panel, Scale};
use crate::report::figures::burden;
use crate::report::summary::Burden;
use crate::scenario::magnitude;

/// More groups of bars than this are not drawn.
const GROUPS_MAX: usize = 24;
/// More bars in a group, or curves, than this are not told apart by their colours.
const SERIES_MAX: usize = 6;
/// Points whose faults are told apart, by whether they hit the coordinator as well.
const APART_MAX: usize = 3;
/// The fewest values of a setting that make an axis.
const ALONG_MIN: usize = 3;

/// Curves that are nowhere further apart than this part of the highest value are not told apart.
const ALIKE: f64 = 0.005;

/// The metrics with a chart of their own: file, metric, title, axis.
const SINGLE: [(&str, &str, &str, &str); 3] = [
    ("rate_gap", "rate_gap", "How far the jobs' query rates are apart", "(highest − lowest) ÷ highest rate"),
    (
        "aggregate_qps",
        "aggregate_qps",
        "What the cluster answers in all",
        "Queries per second of all jobs together",
    ),
    (
        "makespan_s",
        "makespan_s",
        "How long it takes until all jobs have ended",
        "First submission to last end (s)",
    ),
];

/// The parts of a recovery: column of recovery.csv, name.
const SPANS: [(&str, &str); 5] = [
    ("detect_s", "detected"),
    ("promote_s", "new coordinator"),
    ("redispatch_s", "dispatching again"),
    ("first_result_s", "first result"),
    ("normal_s", "back at its pace"),
];

/// What is drawn, with the names of the files.
pub(super) fn figures(scenario: &str, grid: &Grid, compared: &Comparisons) -> Vec<(String, Figure)> {
    let layout = Layout::of(grid);
    let mut figures = Vec::new();
    for (file, metric, title, label) in SINGLE {
        let panel = layout.single(metric, label, compared);
        figures.extend(panel.map(|panel| (file.to_owned(), layout.figure(scenario, title, panel, compared))));
    }
    for kind in compared.kinds() {
        let title = format!("Recovery from {}", kind.replace('_', " "));
        let panel = layout.recovery(kind, compared);
        let figure = panel.map(|panel| layout.figure(scenario, &title, panel, compared));
        figures.extend(figure.map(|figure| (format!("recovery_{kind}"), figure)));
    }
    figures
}

/// How long recoveries took by what they had to see to; each of a few points on its own, many as one.
pub(super) fn by_load(scenario: &str, grid: &Grid, burdens: &[Vec<Burden>]) -> Option<Figure> {
    let values = |point: usize| grid.values(point).join(", ");
    let groups: Vec<(String, Vec<Burden>)> = if burdens.len() <= APART_MAX {
        burdens.iter().enumerate().map(|(point, found)| (values(point), found.clone())).collect()
    } else {
        vec![("all".to_owned(), burdens.concat())]
    };
    let keys: Vec<&str> = grid.keys().iter().map(|swept| swept.key.as_str()).collect();
    let runs = format!("{} points of {}", burdens.len(), keys.join(", "));
    burden::of(scenario, &runs, groups.into_iter())
}

/// How the points are laid out on paper.
struct Layout<'a> {
    grid: &'a Grid,
    /// The key along the axis with the numbers of its values, and their unit.
    along: Option<Along>,
}

struct Along {
    /// Its position among the keys.
    key: usize,
    numbers: Vec<f64>,
    unit: &'static str,
}

impl<'a> Layout<'a> {
    /// A key whose values are three numbers or more makes an axis, when the others leave few curves.
    fn of(grid: &'a Grid) -> Layout<'a> {
        let along = (0..grid.keys().len())
            .filter_map(|key| along(grid, key))
            .filter(|along| grid.points() / along.numbers.len() <= SERIES_MAX)
            .max_by_key(|along| (along.numbers.len(), std::cmp::Reverse(along.key)));
        Layout { grid, along }
    }

    fn figure(&self, scenario: &str, title: &str, panel: Panel, compared: &Comparisons) -> Figure {
        let trials = compared.rows().iter().map(|one| one.stats.n).max().unwrap_or(0);
        let of = if trials == 1 { "1 trial".to_owned() } else { format!("{trials} trials") };
        let spread = if trials > 1 { ", with the 95 % intervals of the means" } else { "" };
        let cut = match (&panel, self.grid.points()) {
            (Panel::Bars(bars), points) if bars.groups.len() * bars.bars.len() < points => {
                format!("; the first {} points of {points}", bars.groups.len())
            }
            _ => String::new(),
        };
        let keys: Vec<&str> = self.grid.keys().iter().map(|swept| swept.key.as_str()).collect();
        let keys = keys.join(", ");
        let subtitle = format!("{scenario}: means of {of} at each setting of {keys}{spread}{cut}");
        Figure { title: title.to_owned(), subtitle, panel }
    }

    /// One metric at all points.
    fn single(&self, metric: &str, label: &str, compared: &Comparisons) -> Option<Panel> {
        let value = |point: usize| estimate(compared, metric, point);
        if (0..self.grid.points()).all(|point| value(point).is_none()) {
            return None;
        }
        let axis = Axis { label: label.to_owned(), ..Axis::default() };
        if let Some(along) = &self.along {
            let (heading, series) = self.series(along);
            let curves = series.iter().map(|(name, points)| curve(name, along, points, &value));
            return Some(self.curves(along, axis, heading, curves.collect()));
        }
        if let [first, second] = self.grid.keys()
            && second.values.len() <= SERIES_MAX
            && first.values.len() <= GROUPS_MAX
        {
            let within = second.values.len();
            let bar = |(position, name): (usize, &String)| {
                let values = (0..first.values.len()).map(|group| value(group * within + position));
                Bar { name: bare(name).to_owned(), values: values.collect() }
            };
            return Some(Panel::Bars(Bars {
                axis,
                groups: first.values.iter().map(|value| bare(value).to_owned()).collect(),
                legend: second.key.clone(),
                bars: second.values.iter().enumerate().map(bar).collect(),
            }));
        }
        let groups = self.groups();
        let values = (0..groups.len()).map(value).collect();
        let bars = vec![Bar { name: label.to_owned(), values }];
        Some(Panel::Bars(Bars { axis, groups, legend: String::new(), bars }))
    }

    /// The parts of a recovery at all points.
    fn recovery(&self, kind: &str, compared: &Comparisons) -> Option<Panel> {
        let value =
            |column: &str, point: usize| estimate(compared, &format!("recovery.{kind}.{column}"), point);
        let occurs = |column: &str| (0..self.grid.points()).any(|point| value(column, point).is_some());
        let spans: Vec<(&str, &str)> = SPANS.into_iter().filter(|(column, _)| occurs(column)).collect();
        if spans.is_empty() {
            return None;
        }
        let axis = Axis { label: "Time since the fault (s)".to_owned(), ..Axis::default() };
        let legend = "Until".to_owned();
        if let Some(along) = &self.along
            && self.grid.keys().len() == 1
        {
            let points: Vec<usize> = (0..self.grid.points()).collect();
            let curve =
                |(column, name): &(&str, &str)| curve(name, along, &points, &|point| value(column, point));
            let curves = united(spans.iter().map(curve).collect());
            return Some(self.curves(along, axis, legend, curves));
        }
        let groups = self.groups();
        let bar = |(column, name): &(&str, &str)| {
            let values = (0..groups.len()).map(|point| value(column, point)).collect();
            Bar { name: (*name).to_owned(), values }
        };
        let bars = spans.iter().map(bar).collect();
        Some(Panel::Bars(Bars { axis, groups, legend, bars }))
    }

    /// What each point is called, as many as are drawn.
    fn groups(&self) -> Vec<String> {
        (0..self.grid.points().min(GROUPS_MAX)).map(|point| self.grid.values(point).join(", ")).collect()
    }

    fn curves(&self, along: &Along, y: Axis, legend: String, curves: Vec<Curve>) -> Panel {
        let key = &self.grid.keys()[along.key].key;
        let label = if along.unit.is_empty() { key.clone() } else { format!("{key} ({})", along.unit) };
        let (low, high) =
            along.numbers.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        // Values that span more than a decade and a half are usually chosen by factors.
        let scale = if low > 0.0 && high / low > 30.0 { Scale::Log } else { Scale::Linear };
        let x = Axis { label, scale, from: Some(low), to: Some(high) };
        Panel::Curves(Curves { x, y, legend, curves, marks: Vec::new() })
    }

    /// The curves over the key along the axis: their heading, and for each its name and points.
    fn series(&self, along: &Along) -> (String, Vec<(String, Vec<usize>)>) {
        let others = |point: usize| {
            let mut values = self.grid.values(point);
            values.remove(along.key);
            values.join(", ")
        };
        let mut series: Vec<(String, Vec<usize>)> = Vec::new();
        for point in 0..self.grid.points() {
            let name = others(point);
            match series.iter_mut().find(|(known, _)| *known == name) {
                Some((_, points)) => points.push(point),
                None => series.push((name, vec![point])),
            }
        }
        let keys = self.grid.keys().iter().enumerate().filter(|(key, _)| *key != along.key);
        (keys.map(|(_, swept)| swept.key.as_str()).collect::<Vec<_>>().join(", "), series)
    }
}

/// The key as an axis, when all its values are numbers of one unit, and enough of them.
fn along(grid: &Grid, key: usize) -> Option<Along> {
    let values = &grid.keys()[key].values;
    let read: Vec<(f64, &'static str)> =
        values.iter().map(|value| magnitude(bare(value))).collect::<Option<_>>()?;
    // Nothing is nothing in any unit.
    let unit = read.iter().find(|(number, _)| *number != 0.0)?.1;
    let one_unit = read.iter().all(|(number, other)| *other == unit || *number == 0.0);
    let numbers = read.into_iter().map(|(number, _)| number).collect();
    (values.len() >= ALONG_MIN && one_unit).then_some(Along { key, numbers, unit })
}

/// The points of one curve in order along the axis, with their spread.
fn curve(name: &str, along: &Along, points: &[usize], value: &dyn Fn(usize) -> Option<Estimate>) -> Curve {
    // The points of a curve have the values of the key in the order in which they were given.
    let mut found: Vec<(f64, Estimate)> = along
        .numbers
        .iter()
        .zip(points)
        .filter_map(|(&number, &point)| Some((number, value(point)?)))
        .collect();
    found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Curve {
        name: name.to_owned(),
        join: Join::DottedLines,
        points: found.iter().map(|(x, estimate)| (*x, estimate.value)).collect(),
        spread: found.iter().filter(|(_, e)| e.low < e.high).map(|(x, e)| (*x, e.low, e.high)).collect(),
    }
}

/// Curves that would hide each other are one, with the names of both.
fn united(curves: Vec<Curve>) -> Vec<Curve> {
    let all = curves.iter().flat_map(|curve| &curve.points);
    let least = ALIKE * all.map(|point| point.1).fold(0.0, f64::max);
    let mut united: Vec<Curve> = Vec::new();
    for curve in curves {
        let covers = |other: &Curve| {
            let pairs = || other.points.iter().zip(&curve.points);
            other.points.len() == curve.points.len()
                && pairs()
                    .all(|(one, two)| one.0.to_bits() == two.0.to_bits() && (one.1 - two.1).abs() <= least)
        };
        match united.iter_mut().find(|other| covers(other)) {
            Some(other) => other.name = format!("{}, {}", other.name, curve.name),
            None => united.push(curve),
        }
    }
    united
}

/// The mean of a metric at a point, with its 95 % interval; a time or a rate is never below zero.
fn estimate(compared: &Comparisons, metric: &str, point: usize) -> Option<Estimate> {
    let stats = &compared.of(metric, point)?.stats;
    let value = stats.mean?;
    let (low, high) = stats.ci95.unwrap_or((value, value));
    Some(Estimate { value, low: low.max(0.0).min(value), high })
}

#[cfg(test)]
mod tests {
    use super::super::compare::Comparison;
    use super::*;
    use crate::report::stats::Stats;

    fn grid(flags: &[&str]) -> Grid {
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        Grid::read(&flags, &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The metric is 10 times the point, give or take one.
    fn compared(metric: &str, points: usize) -> Comparisons {
        Comparisons::new(values(metric, points))
    }

    fn values(metric: &str, points: usize) -> Vec<Comparison> {
        let one = |point: usize| {
            let value = 10.0 * point as f64;
            let stats = Stats::of(&[value - 1.0, value + 1.0, value]);
            Comparison { metric: metric.to_owned(), point, stats, difference: Stats::default() }
        };
        (0..points).map(one).collect()
    }

    fn only(figures: Vec<(String, Figure)>, name: &str) -> Figure {
        let [(file, figure)] = <[_; 1]>::try_from(figures).expect("there is one figure");
        assert_eq!(file, name);
        figure
    }

    #[test]
    fn one_numeric_key_is_an_axis_whatever_its_unit_and_order() {
        let grid = grid(&["membership.suspect_after=1s,250ms,500ms"]);
        let figure = only(figures("x", &grid, &compared("rate_gap", 3)), "rate_gap");
        let Panel::Curves(curves) = figure.panel else { panic!("curves") };
        assert_eq!(curves.x.label, "membership.suspect_after (s)");
        assert_eq!(curves.curves[0].points, [(0.25, 10.0), (0.5, 20.0), (1.0, 0.0)]);
        assert_eq!(curves.curves[0].spread.len(), 3);
        assert!(curves.curves[0].spread.iter().all(|(_, low, _)| *low >= 0.0), "nothing is below zero");
    }

    #[test]
    fn words_are_bars_and_a_second_key_stands_within_their_groups() {
        let grid = grid(&["scheduler.policy=even,time_share", "cluster.voters=3,5"]);
        let figure = only(figures("x", &grid, &compared("aggregate_qps", 4)), "aggregate_qps");
        let Panel::Bars(bars) = figure.panel else { panic!("bars") };
        assert_eq!(
            (bars.groups.join(" "), bars.legend.as_str()),
            ("even time_share".to_owned(), "cluster.voters")
        );
        let value = |bar: usize, group: usize| bars.bars[bar].values[group].map(|estimate| estimate.value);
        assert_eq!((value(0, 0), value(1, 0), value(0, 1)), (Some(0.0), Some(10.0), Some(20.0)));
    }

    #[test]
    fn a_numeric_key_beside_words_has_a_curve_for_each_word() {
        let grid = grid(&["scheduler.policy=even,time_share", "network.loss=0,1%,2%"]);
        let figure = only(figures("x", &grid, &compared("makespan_s", 6)), "makespan_s");
        let Panel::Curves(curves) = figure.panel else { panic!("curves") };
        assert_eq!(curves.legend, "scheduler.policy");
        assert_eq!(curves.curves[1].name, "time_share");
        assert_eq!(curves.curves[1].points, [(0.0, 30.0), (1.0, 40.0), (2.0, 50.0)]);
    }

    #[test]
    fn a_recovery_is_split_into_its_parts() {
        let grid = grid(&["cluster.voters=3,5"]);
        let all = [values("recovery.crash.detect_s", 2), values("recovery.crash.redispatch_s", 2)].concat();
        let all = Comparisons::new(all);
        let figure = only(figures("x", &grid, &all), "recovery_crash");
        let Panel::Bars(bars) = figure.panel else { panic!("bars") };
        let names: Vec<&str> = bars.bars.iter().map(|bar| bar.name.as_str()).collect();
        assert_eq!((names, bars.groups.join(" ")), (vec!["detected", "dispatching again"], "3 5".to_owned()));
    }

    #[test]
    fn a_curve_that_another_one_would_hide_shares_its_name() {
        let grid = grid(&["cluster.voters=3,5,7"]);
        let kinds = ["detect_s", "redispatch_s", "first_result_s"];
        let mut all: Vec<Comparison> = Vec::new();
        for column in kinds {
            all.extend(values(&format!("recovery.crash.{column}"), 3));
        }
        // The first of them differs at one point.
        all[2] = Comparison { stats: Stats::of(&[15.0]), ..all[2].clone() };
        let figure = only(figures("x", &grid, &Comparisons::new(all)), "recovery_crash");
        let Panel::Curves(curves) = figure.panel else { panic!("curves") };
        let names: Vec<&str> = curves.curves.iter().map(|curve| curve.name.as_str()).collect();
        assert_eq!(names, ["detected", "dispatching again, first result"]);
    }

    #[test]
    fn more_points_than_can_be_read_are_cut_and_it_is_said() {
        let values: Vec<String> = (0..30).map(|i| format!("v{i}")).collect();
        let grid = grid(&[&format!("scheduler.policy={}", values.join(","))]);
        let figure = only(figures("x", &grid, &compared("rate_gap", 30)), "rate_gap");
        assert!(figure.subtitle.contains("the first 24 points of 30"), "{}", figure.subtitle);
    }
}
