//! The charts of a tuning: being quick against false alarms, against messages, and against wasted work.

use super::{Limits, Point, Stage};
use crate::report::Rare;
use crate::report::figure::{Axis, Curve, Curves, Figure, Join, Panel, Scale};

/// What is drawn of a stage, with the names of the files.
pub(super) fn figures(
    scenario: &str,
    points: &[Point],
    chosen: usize,
    limits: &Limits,
) -> Vec<(&'static str, Figure)> {
    let Some(stage) = points.first().map(|point| point.stage) else { return Vec::new() };
    let chart = Chart { scenario, points, chosen, limits, stage };
    match stage {
        Stage::Detection => {
            let mut figures = vec![("detection", chart.alarms()), ("messages", chart.messages())];
            if points.iter().any(|point| point.wasted().is_some()) {
                figures.push(("wasted", chart.wasted()));
            }
            figures
        }
        Stage::Eviction => vec![("eviction", chart.alarms())],
        Stage::Election => vec![("election", chart.alarms())],
    }
}

struct Chart<'a> {
    scenario: &'a str,
    points: &'a [Point],
    chosen: usize,
    limits: &'a Limits,
    stage: Stage,
}

impl Chart<'_> {
    /// False alarms over delays: to the left is quick, at the bottom is quiet.
    fn alarms(&self) -> Figure {
        let at_most = |point: &Point| Some(point.alarms().at_most());
        let mut curves = self.curves(at_most);
        curves.extend(self.limit(self.limits.alarms));
        let word = self.stage.alarms();
        let days = self.points.iter().map(|point| point.alarms().node_days).fold(0.0, f64::max);
        let bounds = self.points.iter().map(|point| point.alarms().at_most());
        let (least, most) = bounds
            .chain([self.limits.alarms])
            .fold((f64::MAX, 0.0_f64), |(least, most), y| (least.min(y), most.max(y)));
        let y = Axis {
            // Most settings raise no alarm and share a line, which shall not be the bottom; nor shall it fill the chart alone.
            from: Some(least / 3.0),
            to: Some(most * 3.0),
            ..axis(&format!("{} per node and day, at most", capital(word)), Scale::Log)
        };
        let what = format!(
            "upper 95 % bounds; over {} node-days a setting without any cannot be below {:.2}",
            (days * 1e3).round() / 1e3,
            Rare { count: 0, node_days: days }.at_most()
        );
        self.figure(&format!("{}: quick against quiet", self.title()), &what, y, curves)
    }

    /// Messages over delays.
    fn messages(&self) -> Figure {
        let y = axis("Messages per node and second", Scale::Log);
        let what = "membership and quorum log of a quiet cluster";
        let mut curves = self.curves(Point::messages);
        curves.extend(self.limit(self.limits.messages));
        self.figure(&format!("{}: quick against talkative", self.title()), what, y, curves)
    }

    /// Wasted attempts over delays.
    fn wasted(&self) -> Figure {
        let y = axis("Of 1,000 attempts, wasted by a false suspicion", Scale::Linear);
        let what = "attempts given to somebody else because a healthy worker was suspect";
        let curves = self.curves(Point::wasted);
        self.figure(&format!("{}: quick against wasteful", self.title()), what, y, curves)
    }

    /// The shortest and the longest delay.
    fn delays(&self) -> (f64, f64) {
        let delays = self.points.iter().filter_map(Point::slowest).filter(|delay| delay.is_finite());
        delays.fold((f64::MAX, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)))
    }

    /// A line at what is still allowed, if there is room for a line.
    fn limit(&self, at: f64) -> Option<Curve> {
        let (low, high) = self.delays();
        (low < high).then(|| Curve {
            name: "limit".to_owned(),
            join: Join::Lines,
            points: vec![(low, at), (high, at)],
            spread: Vec::new(),
        })
    }

    fn title(&self) -> &'static str {
        match self.stage {
            Stage::Detection => "Noticing a crash",
            Stage::Eviction => "Evicting the dead",
            Stage::Election => "Replacing the coordinator",
        }
    }

    fn figure(&self, title: &str, what: &str, y: Axis, curves: Vec<Curve>) -> Figure {
        let slowest = "99 in 100 are quicker, or the slowest of fewer than 662";
        let (label, legend) = match self.stage {
            Stage::Detection => ("Time from a crash to suspicion (s)", "Heartbeat"),
            Stage::Eviction => ("Time from a crash to the eviction (s)", "Setting"),
            Stage::Election => ("Time from a coordinator's crash to its successor (s)", "Setting"),
        };
        let (low, high) = self.delays();
        // With a number at either end, where one is near.
        let x = if low < high {
            Axis { from: Some(low.min(near(low))), to: Some(high.max(near(high))), ..axis(label, Scale::Log) }
        } else {
            axis(label, Scale::Log)
        };
        let subtitle = format!("{}: {what}. Times: {slowest}.", self.scenario);
        let legend = legend.to_owned();
        let panel = Panel::Curves(Curves { x, y, legend, curves, marks: Vec::new() });
        Figure { title: title.to_owned(), subtitle, panel }
    }

    /// A curve per heartbeat, or one for all where heartbeats are not what differs; and a dot for what to use.
    fn curves(&self, value: impl Fn(&Point) -> Option<f64>) -> Vec<Curve> {
        let place = |point: &Point| Some((point.slowest().filter(|x| x.is_finite())?, value(point)?));
        let mut curves: Vec<Curve> = Vec::new();
        for point in self.points {
            let name = match self.stage {
                Stage::Detection => point.timing.heartbeat.to_string(),
                Stage::Eviction | Stage::Election => "tried".to_owned(),
            };
            let at = curves.iter().position(|curve| curve.name == name).unwrap_or_else(|| {
                curves.push(Curve { name, join: Join::DottedLines, points: Vec::new(), spread: Vec::new() });
                curves.len() - 1
            });
            curves[at].points.extend(place(point));
        }
        for curve in &mut curves {
            curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let used = Curve {
            name: "to use".to_owned(),
            join: Join::Dots,
            points: place(&self.points[self.chosen]).into_iter().collect(),
            spread: Vec::new(),
        };
        curves.push(used);
        curves
    }
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale, ..Axis::default() }
}

/// One, two or five times a power of ten that differs from a positive number by a tenth at most, or the number itself.
fn near(number: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(number)));
    let round = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    round.into_iter().find(|round| (round / number - 1.0).abs() <= 0.1).unwrap_or(number)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
