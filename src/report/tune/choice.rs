//! Which of several settings to use: the quickest of those that keep the limits.

use super::Point;

/// Settings that are slower than the quickest by no more than this part of it count as equally quick.
const ALIKE: f64 = 0.05;

/// What settings have to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// False alarms per node and day, with 95 % confidence.
    pub alarms: f64,
    /// Messages per node and second, those of the work left out.
    pub messages: f64,
}

impl Limits {
    /// Whether a setting keeps the limit of false alarms.
    pub fn alarms_kept(&self, point: &Point) -> bool {
        point.alarms().at_most() <= self.alarms
    }

    /// Whether it keeps that of messages; it does where they are not looked at.
    pub fn messages_kept(&self, point: &Point) -> bool {
        point.messages().is_none_or(|messages| messages <= self.messages)
    }

    /// Whether it breaks one of them so clearly that more trials would not change that: the mean of the messages, and the lower end
    /// of the 95 % interval of the false alarms, are beyond it.
    pub fn surely_broken(&self, point: &Point) -> bool {
        !point.samples.is_empty() && (!self.messages_kept(point) || point.alarms().ci95().0 > self.alarms)
    }

    fn kept(&self, point: &Point) -> bool {
        self.alarms_kept(point) && self.messages_kept(point)
    }
}

/// What to use, and why nothing quicker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The position of the point.
    pub point: usize,
    /// Whether it keeps the limit of false alarms; when it does not, no point does that keeps the one of messages.
    pub alarms_kept: bool,
    /// Whether it keeps the limit of messages; when it does not, no point does.
    pub messages_kept: bool,
    /// Quicker points that were left out for their false alarms alone.
    pub alarming: usize,
    /// Quicker points that were left out for their messages.
    pub talkative: usize,
}

/// The quickest point that keeps both limits; of several that are about as quick, the one with the fewest messages. Where none
/// keeps both, the one with the fewest false alarms among those that keep the limit of messages, or among all.
///
/// There is at least one point.
pub fn choose(points: &[Point], limits: &Limits) -> Choice {
    assert!(!points.is_empty(), "there is something to choose from");
    let slowest: Vec<f64> = points.iter().map(|point| point.slowest().unwrap_or(f64::INFINITY)).collect();
    let fitting: Vec<usize> = (0..points.len()).filter(|&at| limits.kept(&points[at])).collect();
    let least = |among: &[usize], by: &dyn Fn(usize) -> f64| {
        among.iter().copied().min_by(|a, b| by(*a).total_cmp(&by(*b)))
    };
    let messages = |at: usize| points[at].messages().unwrap_or(0.0);
    let point = if let Some(first) = least(&fitting, &|at| slowest[at]) {
        let quick = slowest[first] * (1.0 + ALIKE);
        let alike: Vec<usize> = fitting.into_iter().filter(|&at| slowest[at] <= quick).collect();
        least(&alike, &messages).unwrap_or(first)
    } else {
        let quiet: Vec<usize> = (0..points.len()).filter(|&at| limits.messages_kept(&points[at])).collect();
        let all: Vec<usize> = (0..points.len()).collect();
        let among = if quiet.is_empty() { &all } else { &quiet };
        // Where several had as few false alarms, the quickest of them.
        let few = least(among, &|at| points[at].alarms().at_most()).map(|at| points[at].alarms().at_most());
        let best: Vec<usize> =
            among.iter().copied().filter(|&at| Some(points[at].alarms().at_most()) == few).collect();
        least(&best, &|at| slowest[at]).expect("there is a point")
    };
    let quicker = || (0..points.len()).filter(|&at| slowest[at] < slowest[point]);
    Choice {
        point,
        alarms_kept: limits.alarms_kept(&points[point]),
        messages_kept: limits.messages_kept(&points[point]),
        // What talks too much was tried less, so that little is known of its false alarms.
        alarming: quicker()
            .filter(|&at| limits.messages_kept(&points[at]) && !limits.alarms_kept(&points[at]))
            .count(),
        talkative: quicker().filter(|&at| !limits.messages_kept(&points[at])).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sample, Stage, Timing};
    use super::*;
    use crate::report::Rare;
    use crate::scenario::Config;

    const LIMITS: Limits = Limits { alarms: 1.0, messages: 150.0 };

    /// A point with this longest delay, as many false alarms in three node-days, and as many messages.
    fn point(delay: f64, alarms: u64, messages: f64) -> Point {
        let alarms = Rare { count: alarms, node_days: 3.0 };
        let sample = Sample { alarms, messages: Some(messages), delays: vec![delay], wasted: None };
        Point { stage: Stage::Detection, timing: Timing::of(&Config::default()), samples: vec![sample] }
    }

    #[test]
    fn the_quickest_that_keeps_both_limits_is_chosen_and_it_is_told_what_was_quicker() {
        let points =
            [point(0.3, 0, 100.0), point(0.1, 0, 200.0), point(0.05, 9, 100.0), point(0.2, 0, 120.0)];
        let choice = choose(&points, &LIMITS);
        assert_eq!((choice.point, choice.alarming, choice.talkative), (3, 1, 1));
        assert!(choice.alarms_kept && choice.messages_kept);
        // What talks too much is tried less, and has a wide bound of its false alarms; that is not why it is left out.
        let choice = choose(&[point(0.3, 0, 100.0), point(0.1, 1, 200.0)], &LIMITS);
        assert_eq!((choice.point, choice.alarming, choice.talkative), (0, 0, 1));
    }

    #[test]
    fn of_two_that_are_about_as_quick_the_one_with_fewer_messages_is_chosen() {
        let points = [point(0.200, 0, 140.0), point(0.208, 0, 70.0), point(0.3, 0, 10.0)];
        assert_eq!(choose(&points, &LIMITS).point, 1);
    }

    #[test]
    fn where_none_keeps_the_limit_the_quietest_that_is_allowed_to_talk_so_much_is_chosen() {
        let points =
            [point(0.1, 90, 100.0), point(0.3, 40, 100.0), point(0.4, 40, 90.0), point(0.9, 2, 500.0)];
        let choice = choose(&points, &LIMITS);
        assert_eq!((choice.point, choice.alarms_kept, choice.messages_kept), (1, false, true));
        let loud = [point(0.1, 90, 300.0), point(0.3, 4, 300.0)];
        let choice = choose(&loud, &LIMITS);
        assert_eq!((choice.point, choice.alarms_kept, choice.messages_kept), (1, false, false));
    }

    #[test]
    fn more_trials_are_for_settings_that_may_still_keep_the_limits() {
        let broken = |point: Point| LIMITS.surely_broken(&point);
        assert!(broken(point(0.1, 0, 151.0)) && broken(point(0.1, 20, 100.0)));
        assert!(!broken(point(0.1, 4, 149.0)), "four in three days may be one a day, or two");
        assert!(!broken(Point { samples: Vec::new(), ..point(0.1, 0, 0.0) }), "nothing is known of it");
    }

    #[test]
    fn what_never_notices_is_never_the_quickest() {
        let points = [point(f64::INFINITY, 0, 1.0), point(5.0, 0, 100.0)];
        assert_eq!(choose(&points, &LIMITS).point, 1);
    }
}
