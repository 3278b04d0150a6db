//! What an allocation costs: exact fair time beside the published program, max-min, and simple heaps.
//!
//! Sizes are (m jobs, n workers). `fair_time` is the exact least range of lifetime rates and `max_min` their leximin division,
//! both by selection; `heaps` deals worker after worker to the job with the lowest rate, with std's `BinaryHeap`; `fair_time_dp` is
//! the published program, O(m n²). The program's large sizes are timed once, and only when `IDUNNO_BENCH_FULL=1`. The table at the end and
//! `results/bench/` have the least of several timings, so that busy neighbours count as little as possible.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use idunno::base::Rng;
use idunno::policy::fair::{Job, Terms, allocate, leximin, nearest, published, steady};
use idunno::report::{Axis, Curve, Curves, Figure, Join, Panel, Scale, Width, png, svg};

const SIZES: [(usize, u64); 5] = [(2, 10), (10, 100), (100, 1_000), (1_000, 10_000), (10_000, 100_000)];
/// Steps of the published program that are taken in every run of the benchmarks, and those that are taken at all.
const STEPS_USUAL: u64 = 200_000_000;
const STEPS_FULL: u64 = 200_000_000_000;

/// Jobs of a service: hundreds of queries of tenths of seconds, arrived within the last minute, partly done.
fn jobs(count: usize) -> Vec<Job> {
    let mut rng = Rng::new(1).fork_number(count as u64);
    let job = |_| {
        let total = 100 + rng.below(900);
        let left = 1 + rng.below(total);
        let seconds = 0.05 + rng.unit();
        Job { queries: total as f64, elapsed: rng.unit() * 60.0, work: seconds * left as f64, weight: 1.0 }
    };
    (0..count).map(job).collect()
}

/// Worker after worker goes to the job with the lowest rate: max-min by the simplest means.
fn heaps(jobs: &[Job], workers: u64) -> Vec<u64> {
    let rate = |job: &Job, workers: u64| job.queries / job.weight / (job.elapsed + job.work / workers as f64);
    let mut given = vec![0; jobs.len()];
    let mut heap: BinaryHeap<Lowest> = (0..jobs.len()).map(|job| Lowest { rate: 0.0, job }).collect();
    for _ in 0..workers {
        let mut lowest = heap.peek_mut().expect("there are jobs");
        given[lowest.job] += 1;
        lowest.rate = rate(&jobs[lowest.job], given[lowest.job]);
    }
    given
}

/// A job with its rate; the lowest compares greatest.
struct Lowest {
    rate: f64,
    job: usize,
}

impl Ord for Lowest {
    fn cmp(&self, other: &Lowest) -> Ordering {
        other.rate.total_cmp(&self.rate).then(other.job.cmp(&self.job))
    }
}

impl PartialOrd for Lowest {
    fn partial_cmp(&self, other: &Lowest) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Lowest {
    fn eq(&self, other: &Lowest) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Lowest {}

fn is_tried_out() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

fn is_full() -> bool {
    std::env::var_os("IDUNNO_BENCH_FULL").is_some_and(|value| value == "1")
}

fn timed(run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64()
}

/// Seconds that a run takes: the least mean of several rounds of about 5 ms, or one run where that is longer.
fn least(mut run: impl FnMut()) -> f64 {
    let mut times = 1_u32;
    loop {
        let took = timed(|| (0..times).for_each(|_| run()));
        let enough = took >= 0.005 || is_tried_out();
        if enough {
            let rounds = if took > 1.0 || is_tried_out() { 0 } else { 20 };
            let more = (0..rounds).map(|_| timed(|| (0..times).for_each(|_| run())));
            return more.fold(took, f64::min) / f64::from(times);
        }
        times *= 2;
    }
}

/// One figure.
struct Cost {
    what: &'static str,
    jobs: usize,
    workers: u64,
    seconds: f64,
}

/// Something that divides workers among jobs.
type Divide = fn(&[Job], u64);

const METHODS: [(&str, Divide); 3] = [
    ("fair_time", |jobs, workers| drop(black_box(allocate(jobs, workers, &Terms::default())))),
    ("max_min", |jobs, workers| drop(black_box(leximin(jobs, workers, &Terms::default())))),
    ("heaps", |jobs, workers| drop(black_box(heaps(jobs, workers)))),
];

fn program(jobs: &[Job], workers: u64) {
    black_box(published(jobs, workers, &Terms::default(), u64::MAX).expect("there is no bound"));
}

fn steps(jobs: usize, workers: u64) -> u64 {
    jobs as u64 * workers * workers
}

fn benches(criterion: &mut Criterion) {
    let mut costs = Vec::new();
    let mut group = criterion.benchmark_group("allocation");
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    for (count, workers) in SIZES {
        let jobs = jobs(count);
        let size = format!("{count}x{workers}");
        for (what, divide) in METHODS {
            group.bench_function(BenchmarkId::new(what, &size), |bencher| {
                bencher.iter(|| divide(black_box(&jobs), workers));
            });
            costs.push(Cost {
                what,
                jobs: count,
                workers,
                seconds: least(|| divide(black_box(&jobs), workers)),
            });
        }
        let (steps, tried) = (steps(count, workers), is_tried_out());
        let most = if tried {
            STEPS_USUAL / 1000
        } else if is_full() {
            STEPS_FULL
        } else {
            STEPS_USUAL
        };
        if steps <= most {
            let seconds = least(|| program(black_box(&jobs), workers));
            costs.push(Cost { what: "fair_time_dp", jobs: count, workers, seconds });
        }
        replan(&mut group, &jobs, workers, &mut costs);
    }
    group.finish();
    growth(criterion, &mut costs);
    if !is_tried_out() {
        println!("\n{}", table(&costs));
        keep(&costs);
    }
}

/// Planning anew after one job has come to cost more: near the last division, and with hysteresis.
fn replan(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    jobs: &[Job],
    workers: u64,
    costs: &mut Vec<Cost>,
) {
    let terms = Terms::default();
    let before = allocate(jobs, workers, &terms).workers;
    let mut changed = jobs.to_vec();
    changed[0].work *= 1.5;
    for job in &mut changed {
        job.elapsed += 1.0;
    }
    let near = || drop(black_box(nearest(black_box(&changed), workers, &terms, &before)));
    let stay = || drop(black_box(steady(black_box(&changed), workers, &terms, &before, 0.2, 0.1)));
    let size = format!("{}x{workers}", jobs.len());
    group.bench_function(BenchmarkId::new("replan_nearest", &size), |bencher| bencher.iter(near));
    group.bench_function(BenchmarkId::new("replan_steady", &size), |bencher| bencher.iter(stay));
    costs.push(Cost { what: "replan_nearest", jobs: jobs.len(), workers, seconds: least(near) });
    costs.push(Cost { what: "replan_steady", jobs: jobs.len(), workers, seconds: least(stay) });
}

/// Growth in the workers with a thousand jobs, and in the jobs with a million workers.
fn growth(criterion: &mut Criterion, costs: &mut Vec<Cost>) {
    let more_workers = (4..=9).map(|digits| ("growth_in_workers", 1_000, 10_u64.pow(digits)));
    let more_jobs = (1..=5).map(|digits| ("growth_in_jobs", 10_usize.pow(digits), 1_000_000));
    let mut group = criterion.benchmark_group("growth");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    for (what, count, workers) in more_workers.chain(more_jobs) {
        let jobs = jobs(count);
        let run = || drop(black_box(allocate(black_box(&jobs), workers, &Terms::default())));
        group.bench_function(BenchmarkId::new(what, format!("{count}x{workers}")), |bencher| {
            bencher.iter(run);
        });
        costs.push(Cost { what, jobs: count, workers, seconds: least(run) });
    }
    group.finish();
}

/// The figures for people, with what they say about each other.
fn table(costs: &[Cost]) -> String {
    let mut text = format!("{:>18} {:>8} {:>12} {:>14}\n", "", "jobs", "workers", "µs");
    for Cost { what, jobs, workers, seconds } in costs {
        let _ = writeln!(text, "{what:>18} {jobs:>8} {workers:>12} {:>14.3}", seconds * 1e6);
    }
    let find = |what: &str, jobs: usize| {
        costs.iter().find(|cost| cost.what == what && cost.jobs == jobs).map(|cost| cost.seconds)
    };
    for (jobs, workers) in SIZES {
        let Some(exact) = find("fair_time", jobs) else { continue };
        for other in ["heaps", "fair_time_dp"] {
            if let Some(seconds) = find(other, jobs) {
                let times = seconds / exact;
                let _ = writeln!(
                    text,
                    "({jobs}, {workers}): {other} takes {times:.2} times as long as fair_time"
                );
            }
        }
    }
    text
}

/// Writes the figures as CSV and as a chart.
fn keep(costs: &[Cost]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/bench");
    let mut text = "what,jobs,workers,microseconds\n".to_owned();
    for Cost { what, jobs, workers, seconds } in costs {
        let _ = writeln!(text, "{what},{jobs},{workers},{:.3}", seconds * 1e6);
    }
    fs::create_dir_all(&folder).expect("results/ can be written");
    let picture = svg(&figure(costs), Width::default()).expect("the chart can be drawn");
    let bitmap = png(&picture).expect("the chart can be a bitmap");
    let files = [("csv", text.into_bytes()), ("svg", picture.into_bytes()), ("png", bitmap)];
    for (kind, bytes) in files {
        let path = folder.join("allocation").with_extension(kind);
        fs::write(path, bytes).expect("results/bench/ can be written");
    }
    println!("The figures and a chart of them are in {}.", folder.display());
}

/// Cost against size, both by their logarithms.
fn figure(costs: &[Cost]) -> Figure {
    let curve = |name: &str, what: &str| Curve {
        name: name.to_owned(),
        join: Join::DottedLines,
        points: (costs.iter().filter(|cost| cost.what == what))
            .map(|cost| (cost.workers as f64, cost.seconds * 1e6))
            .collect(),
        spread: Vec::new(),
    };
    let axis = |label: &str| Axis { label: label.to_owned(), scale: Scale::Log, ..Axis::default() };
    Figure {
        title: "What an allocation costs".to_owned(),
        subtitle: "One job for ten workers, two for the first ten; and a thousand jobs on ever more workers. Exact fair \
                   time grows with the jobs alone, the published dynamic program with jobs times workers squared. \
                   Least of several timings."
            .to_owned(),
        panel: Panel::Curves(Curves {
            x: axis("Workers"),
            y: axis("Time of one allocation (µs)"),
            legend: "Method".to_owned(),
            curves: vec![
                curve("published program", "fair_time_dp"),
                curve("heaps, worker by worker", "heaps"),
                curve("fair time, exact", "fair_time"),
                curve("max-min", "max_min"),
                curve("fair time, 1,000 jobs", "growth_in_workers"),
            ],
            marks: Vec::new(),
        }),
    }
}

criterion_group!(group, benches);
criterion_main!(group);
