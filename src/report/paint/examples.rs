//! Figures that are hard to draw.

use crate::base::Rng;
use crate::report::figure::{
    Axis, Bar, Bars, Curve, Curves, Estimate, Figure, Join, Lane, Lanes, Look, Mark, Panel, Scale, State,
    Stretch,
};

/// All of them, with their names.
pub(super) fn all() -> Vec<(&'static str, Figure)> {
    vec![
        ("shares", shares()),
        ("rates", rates()),
        ("latency", latency()),
        ("forty", forty()),
        ("odd_curves", odd_curves()),
        ("recovery", recovery()),
        ("few_bars", few_bars()),
        ("compare", compare()),
        ("fifty_bars", fifty_bars()),
        ("odd_bars", odd_bars()),
        ("timeline", timeline()),
        ("two_hundred", two_hundred()),
        ("odd_lanes", odd_lanes()),
        ("empty", empty()),
    ]
}

fn axis(label: &str) -> Axis {
    Axis { label: label.to_owned(), ..Axis::default() }
}

fn time(end: f64) -> Axis {
    Axis { from: Some(0.0), to: Some(end), ..axis("Time since the beginning of the trial (s)") }
}

fn log(label: &str) -> Axis {
    Axis { scale: Scale::Log, ..axis(label) }
}

fn curve(name: &str, join: Join, points: Vec<(f64, f64)>) -> Curve {
    Curve { name: name.to_owned(), join, points, spread: Vec::new() }
}

fn mark(from: f64, to: Option<f64>, label: &str) -> Mark {
    Mark { from, to, label: label.to_owned() }
}

fn figure(title: &str, subtitle: &str, panel: Panel) -> Figure {
    Figure { title: title.to_owned(), subtitle: subtitle.to_owned(), panel }
}

/// Staircases of three jobs, which meet, with faults close together.
fn shares() -> Figure {
    let mut rng = Rng::new(1);
    let mut steps = |from: usize, to: usize, level: f64| -> Vec<(f64, f64)> {
        (from..to).map(|second| (second as f64, level + (rng.below(3) as f64 - 1.0) / 2.0)).collect()
    };
    let curves = vec![
        curve("alexnet", Join::Steps, [steps(0, 20, 9.0), steps(20, 120, 5.0)].concat()),
        curve("resnet", Join::Steps, steps(20, 100, 4.5)),
        curve("a_job_with_a_rather_long_name-17", Join::Steps, steps(20, 90, 1.0)),
    ];
    let marks = vec![
        mark(30.0, None, "crash n3"),
        mark(31.0, Some(50.0), "cut off n4, n5"),
        mark(30.0, None, "crash n7"),
        mark(70.0, Some(71.5), "pause n1"),
        mark(72.0, None, "crash n1"),
        mark(119.0, None, "restart n3"),
    ];
    let panel = Curves {
        x: time(120.0),
        y: axis("Workers that serve the job"),
        legend: "Job".to_owned(),
        curves,
        marks,
    };
    figure(
        "Workers per job: coord_fail",
        "Trial 0, means over 1 s; dashed lines are faults, shaded while they last",
        Panel::Curves(panel),
    )
}

/// Eight noisy curves.
fn rates() -> Figure {
    let mut rng = Rng::new(2);
    let names =
        ["alexnet", "resnet", "vgg", "squeezenet", "inception", "densenet", "mobilenet", "all jobs together"];
    let mut noisy = |level: f64| -> Vec<(f64, f64)> {
        let value =
            |i: i32| if (300..330).contains(&i) { f64::NAN } else { level + rng.normal() * level / 30.0 };
        let mut value = value;
        (0..600).map(|i| (f64::from(i) * 0.2, value(i))).collect()
    };
    let curves =
        names.iter().enumerate().map(|(i, name)| curve(name, Join::Lines, noisy(20.0 + 13.0 * i as f64)));
    let panel = Curves {
        x: time(120.0),
        y: axis("Query rate over the last 10 s (queries/s)"),
        legend: "Job".to_owned(),
        curves: curves.collect(),
        marks: vec![mark(60.0, Some(66.0), "lose network n1, n2, n3")],
    };
    figure("Query rate per job", "Eight jobs of equal weight", Panel::Curves(panel))
}

/// Two logarithmic axes, with spreads.
fn latency() -> Figure {
    let one = |name: &str, scale: f64| {
        let points: Vec<(f64, f64)> =
            (0..12).map(|i| (f64::from(1 << i), scale * f64::from(1 + i * i))).collect();
        let spread = points.iter().map(|(x, y)| (*x, y / 1.5, y * 1.4)).collect();
        Curve { spread, ..curve(name, Join::DottedLines, points) }
    };
    let curves = vec![one("ring", 0.3), one("observers", 0.002), one("one voter", 0.02)];
    let panel = Curves {
        x: log("Nodes"),
        y: log("Time until the failure is noticed (s)"),
        legend: "Detector".to_owned(),
        curves,
        marks: Vec::new(),
    };
    figure(
        "How long a failure goes unnoticed grows with the number of nodes, but much less where several observe each",
        "Means and 95 % confidence intervals of 30 trials",
        Panel::Curves(panel),
    )
}

/// Forty curves and as many marks.
fn forty() -> Figure {
    let mut rng = Rng::new(3);
    let mut steps = |from: usize| -> Vec<(f64, f64)> {
        (from..600)
            .map(|second| (second as f64, 5.0 + rng.below(4) as f64 / 4.0 + from as f64 / 50.0))
            .collect()
    };
    let curves = (0..40).map(|i| curve(&format!("stream-{i}"), Join::Steps, steps(i * 12))).collect();
    let kinds = ["crash", "restart", "cut off"];
    let marks =
        (0..40).map(|i| mark(14.0 * i as f64, None, &format!("{} n{}", kinds[i % 3], i + 1))).collect();
    let panel = Curves {
        x: time(600.0),
        y: axis("Workers that serve the job"),
        legend: "Job".to_owned(),
        curves,
        marks,
    };
    figure("Workers per job: forty jobs on 200 nodes", "Trial 0, means over 1 s", Panel::Curves(panel))
}

/// Numbers and names that nobody expects.
fn odd_curves() -> Figure {
    let curves = vec![
        curve("", Join::Lines, vec![(f64::NAN, 1.0), (1.0, f64::INFINITY), (2.0, 3e15)]),
        curve(
            "名前 <b>&amp;</b> \u{1}ü",
            Join::Dots,
            vec![(5.0, -1e15), (1.0, 0.0), (1e3, f64::NEG_INFINITY)],
        ),
        curve(&"endless".repeat(40), Join::Steps, vec![(-3.0, 2e15)]),
    ];
    let panel = Curves {
        x: axis(
            "A label of an axis that goes on and on, with explanations that nobody needs, until it does not fit any more, and then some",
        ),
        y: axis(
            "Another label that is far too long for the height of the chart, as it also explains (queries per second)",
        ),
        legend: "A heading that is long, too".to_owned(),
        curves,
        marks: vec![
            mark(f64::NAN, None, "never"),
            mark(2.0, Some(f64::NAN), &"x".repeat(300)),
            mark(1e9, None, "later"),
        ],
    };
    figure(
        &"A title that is much too long. ".repeat(30),
        &"And a subtitle. ".repeat(60),
        Panel::Curves(panel),
    )
}

fn estimate(value: f64, spread: f64) -> Estimate {
    Estimate { value, low: value - spread, high: value + spread }
}

/// Groups with long names and three bars each.
fn recovery() -> Figure {
    let groups =
        ["detect", "promote", "re-dispatch", "first result", "back to normal", "total, as clients see it"];
    let bar = |name: &str, scale: f64, none: usize| Bar {
        name: name.to_owned(),
        values: (0..groups.len())
            .map(|i| (i != none).then(|| estimate(scale * (0.2 + 0.37 * i as f64), scale * 0.1)))
            .collect(),
    };
    let panel = Bars {
        axis: axis("Time since the fault (s)"),
        groups: groups.map(str::to_owned).to_vec(),
        legend: "Fault".to_owned(),
        bars: vec![
            bar("crash of the coordinator", 1.0, 9),
            bar("crash of a worker", 0.4, 1),
            bar("cut", 2.3, 9),
        ],
    };
    figure(
        "Recovery, split into its parts",
        "Means and 95 % confidence intervals of 30 trials",
        Panel::Bars(panel),
    )
}

fn few_bars() -> Figure {
    let bar = |name: &str, values: [f64; 3]| Bar {
        name: name.to_owned(),
        values: values.iter().map(|value| Some(estimate(*value, value.abs() / 8.0))).collect(),
    };
    let panel = Bars {
        axis: axis("Start delay (s)"),
        groups: ["alexnet", "resnet", "vgg"].map(str::to_owned).to_vec(),
        legend: "Policy".to_owned(),
        bars: vec![bar("fair_time", [0.31, 0.84, 1.2]), bar("fifo", [0.2, 12.0, 23.4])],
    };
    figure("Start delay of jobs", "", Panel::Bars(panel))
}

/// Above and below zero.
fn compare() -> Figure {
    let names = [
        "aggregate_qps",
        "makespan_s",
        "rate_gap",
        "recovery.crash.detect_s",
        "recovery.crash.normal_s",
        "queries_lost",
    ];
    let values = [0.4, -3.2, 41.0, -12.75, 0.0, -0.02];
    let panel = Bars {
        axis: axis("Change from A to B (%)"),
        groups: names.map(str::to_owned).to_vec(),
        legend: String::new(),
        bars: vec![Bar {
            name: String::new(),
            values: values.map(|value| Some(estimate(value, 2.0))).to_vec(),
        }],
    };
    figure("What B does otherwise than A", "Whiskers: the spread between trials of A", Panel::Bars(panel))
}

fn fifty_bars() -> Figure {
    let panel = Bars {
        axis: log("99th percentile of the latency (s)"),
        groups: (0..50).map(|i| format!("stream-{i}")).collect(),
        legend: "Window".to_owned(),
        bars: (0..2)
            .map(|bar| Bar {
                name: format!("{} s", 10 * (bar + 1)),
                values: (0..50)
                    .map(|i| Some(estimate(0.003 * f64::from((i * 37 + bar * 11) % 50 + 1), 0.002)))
                    .collect(),
            })
            .collect(),
    };
    figure("Latency of fifty jobs", "", Panel::Bars(panel))
}

fn odd_bars() -> Figure {
    let odd = [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-300, 1e300, 5.0];
    let spread = [(0.0, f64::INFINITY), (f64::NAN, 1.0), (-1.0, 1.0)];
    let value = |i: usize| Some(Estimate { value: odd[i % 7], low: spread[i % 3].0, high: spread[i % 3].1 });
    let panel = Bars {
        axis: log("Something (1/s)"),
        groups: (0..7)
            .map(|i| if i == 3 { "ein sehr langer Name ".repeat(9) } else { "ß".repeat(i) })
            .collect(),
        legend: "What".to_owned(),
        bars: (0..30)
            .map(|bar| Bar { name: format!("bar number {bar}"), values: (0..bar % 9).map(value).collect() })
            .collect(),
    };
    figure("Odd bars", "", Panel::Bars(panel))
}

fn states() -> Vec<State> {
    let looks = [
        ("runs alexnet", Look::Filled(0)),
        ("runs resnet", Look::Filled(1)),
        ("runs vgg", Look::Filled(2)),
        ("leads", Look::Crowned),
        ("suspect", Look::Hatched),
        ("down", Look::Absent),
        ("cut off", Look::Boxed),
        ("never", Look::Filled(3)),
    ];
    looks.map(|(name, look)| State { name: name.to_owned(), look }).to_vec()
}

fn stretch(state: usize, from: f64, to: f64) -> Stretch {
    Stretch { state, from, to }
}

/// Ten nodes: work, a crash, a partition, a change of the coordinator.
fn timeline() -> Figure {
    let mut rng = Rng::new(4);
    let mut lanes: Vec<Lane> = (0..10)
        .map(|node| {
            let mut at = 1.0 + rng.unit();
            let mut stretches = Vec::new();
            while at < 58.0 {
                let length = 0.4 + rng.unit();
                stretches.push(stretch((rng.below(3) as usize + node / 4) % 3, at, at + length));
                at += length + rng.unit() * rng.unit();
            }
            Lane { name: format!("n{}", node + 1), stretches }
        })
        .collect();
    let mut without = |lane: usize, from: f64, to: f64| {
        lanes[lane].stretches.retain(|stretch| stretch.to < from || stretch.from > to);
    };
    without(0, 20.0, 45.0);
    without(4, 10.0, 30.0);
    lanes[0].stretches.extend([stretch(3, 0.5, 20.0), stretch(5, 20.0, 45.0), stretch(4, 20.25, 22.0)]);
    lanes[1].stretches.extend([stretch(3, 20.8, 60.0), stretch(4, 33.0, 33.3)]);
    lanes[2].stretches.extend([stretch(6, 30.0, 40.0), stretch(4, 30.3, 40.4), stretch(3, 31.0, 39.0)]);
    lanes[3].stretches.extend([stretch(6, 30.0, 40.0), stretch(4, 30.3, 35.4)]);
    lanes[4].stretches.extend([stretch(0, 15.0, 15.001), stretch(1, 25.0, 25.02), stretch(4, 27.0, 27.1)]);
    let marks = vec![
        mark(20.0, Some(45.0), "crash n1"),
        mark(30.0, Some(40.0), "cut off n3, n4"),
        mark(33.0, None, "pause n2"),
    ];
    let panel = Lanes { x: time(60.0), states: states(), lanes, marks };
    figure(
        "What each node went through: coord_fail",
        "Trial 0; dashed lines are faults, shaded while they last",
        Panel::Lanes(panel),
    )
}

/// Two hundred nodes and as many thousands of queries.
fn two_hundred() -> Figure {
    let mut rng = Rng::new(5);
    let lanes = (0..200)
        .map(|node| {
            let mut stretches: Vec<Stretch> = (0..1000)
                .map(|i| {
                    let from = f64::from(i) * 0.3;
                    stretch(rng.below(3) as usize, from, from + 0.3 * rng.unit())
                })
                .collect();
            if node % 30 == 7 {
                stretches.retain(|stretch| stretch.to < 100.0 || stretch.from > 160.0);
                stretches.extend([stretch(5, 100.0, 160.0), stretch(4, 100.2, 102.0)]);
            }
            if (60..90).contains(&node) {
                stretches.extend([stretch(6, 200.0, 230.0), stretch(4, 200.3, 230.5)]);
            }
            stretches.push(stretch(3, f64::from(node) * 1.5, f64::from(node + 1) * 1.5));
            Lane { name: format!("node-{node}"), stretches }
        })
        .collect();
    let marks = (0..30).map(|i| mark(f64::from(i) * 10.0, None, &format!("crash node-{i}"))).collect();
    let panel = Lanes { x: time(300.0), states: states(), lanes, marks };
    figure("What each node went through: 200 nodes", "Trial 0", Panel::Lanes(panel))
}

fn odd_lanes() -> Figure {
    let odd = [f64::NAN, f64::NEG_INFINITY, -5.0, 0.0, 0.0, 1e-12, 7.0, f64::INFINITY];
    let lane = |number: usize| Lane {
        name: if number == 2 { "ein sehr langer Name ".repeat(9) } else { "узел".repeat(number) },
        stretches: (0..20).map(|i| stretch((i + number) % 10, odd[i % 8], odd[(i + number) % 8])).collect(),
    };
    let states = (0..9)
        .map(|i| {
            let looks = [Look::Filled(99), Look::Hatched, Look::Crowned, Look::Boxed, Look::Absent];
            State { name: format!("a state with the number {i}"), look: looks[i % 5] }
        })
        .collect();
    let panel = Lanes { x: axis("Time (s)"), states, lanes: (0..6).map(lane).collect(), marks: Vec::new() };
    figure("Odd lanes", "", Panel::Lanes(panel))
}

fn empty() -> Figure {
    let panel = Lanes { x: axis("Time (s)"), states: states(), lanes: Vec::new(), marks: Vec::new() };
    figure("What each node went through", "There were none", Panel::Lanes(panel))
}
