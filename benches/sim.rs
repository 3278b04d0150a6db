//! How fast the simulator is: events per second and simulated node-hours per second of wall time, beside a hold model.
//!
//! An event is a delivered message or a wake-up. The *driver* runs a stand-in that only sends heartbeats, so that it measures
//! queue, network, clocks and trace hash alone; the *cluster* runs the real node. The checker is attached to both. The *hold model* pops the earliest event of
//! std's `BinaryHeap` and pushes another, with as many pending as the simulator has, and does nothing else.
//!
//! *Fuzz* draws scenarios of five machines and carries each out for 30 simulated seconds under its faults, as `idunno fuzz` does:
//! drawing, checking and hashing count.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use idunno::base::{ClusterId, Draw, Epoch, Incarnation, NodeId, Rng, Span, Time, ViewId};
use idunno::check::Checker;
use idunno::fuzz::{self, Profile, Trial};
use idunno::node::{
    Body, Config, Effect, Identity, Input, MembershipMessage, Message, Node, Outbox, Start, Status,
};
use idunno::policy::Options;
use idunno::scenario::{DiskPlan, NetworkPlan, NodePlan, Plan, Until};
use idunno::sim::{self, Outcome, Process};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

/// A process that sends a heartbeat to each of its observers every 50 ms and counts those that it hears.
struct Beats {
    to: Vec<NodeId>,
    id: NodeId,
    next: Time,
    heard: u64,
}

impl Process for Beats {
    fn start(identity: Identity, _: Arc<Config>, start: Start, mut rng: Rng) -> Beats {
        let Start::Restart(disk) = start else { unreachable!("no disk is wiped here") };
        let (view, _) = disk.view.expect("formed disks have a view");
        let position = view.position(identity.id).expect("everyone is a member");
        let to =
            view.observers(position).iter().map(|&observer| view.members()[observer as usize].id).collect();
        Beats { to, id: identity.id, next: Time(rng.below(Span::millis(50).0)), heard: 0 }
    }

    fn deadline(&self) -> Time {
        self.next
    }

    fn step(&mut self, now: Time, input: Input, out: &mut Outbox) {
        if matches!(input, Input::Receive { .. }) {
            self.heard += 1;
        }
        if now < self.next {
            return;
        }
        self.next = now + Span::millis(50);
        for &to in &self.to {
            let body = Body::Membership(MembershipMessage::Heartbeat {
                epoch: Epoch(1),
                coordinator: Some(self.id),
                view: ViewId(1),
                incarnation: Incarnation(1),
            });
            out.push(Effect::Send { to, message: Message { cluster: ClusterId(1), body }, after: None });
        }
    }

    fn status(&self) -> Status {
        Status {
            incarnation: Incarnation(1),
            epoch: Epoch(1),
            coordinator: None,
            leads: false,
            votes: false,
            view: ViewId(1),
            member: true,
            held: 0,
        }
    }
}

/// `nodes` machines on a local network with 1 % loss, for this long.
fn plan(nodes: usize, horizon: Span) -> Plan {
    Plan {
        name: "bench".into(),
        about: String::new(),
        seed: 1,
        trials: 1,
        until: Until::At(horizon),
        liveness_within: Span::secs(10),
        nodes: (1..=nodes).map(NodePlan::usual).collect(),
        config: Arc::new(Config::default()),
        options: Options::default(),
        network: NetworkPlan {
            latency: Draw::LogNormal(Span::micros(300), 0.3),
            loss: 0.01,
            duplicate: 0.0,
            reorder: 0.0,
            bandwidth: None,
        },
        disk: DiskPlan { sync: Draw::LogNormal(Span::millis(2), 0.3) },
        models: BTreeMap::new(),
        jobs: Vec::new(),
        arrivals: Vec::new(),
        requests: Vec::new(),
        faults: Vec::new(),
    }
}

fn trial<P: Process>(plan: &Plan) -> Outcome {
    sim::run_process::<P>(plan, plan.seed, &mut Checker::new(plan, plan.seed), &|| false)
}

/// Pops the earliest of `pending` 24-byte items and pushes a later one, `holds` times.
fn hold(pending: usize, holds: u64) -> Duration {
    let mut rng = Rng::new(1);
    let mut heap: BinaryHeap<Reverse<(u64, u64, u64)>> =
        (0..pending as u64).map(|i| Reverse((rng.below(1_000_000), i, i))).collect();
    // Drawing is not part of the queue's work.
    let ahead: Vec<u64> = (0..4096).map(|_| rng.below(1_000_000)).collect();
    let (took, ()) = timed(|| {
        for i in 0..holds {
            let Reverse((at, _, payload)) = heap.pop().expect("it holds its size");
            heap.push(Reverse((at + ahead[i as usize % ahead.len()], i, payload)));
        }
    });
    black_box(&heap);
    took
}

/// How long the cluster runs before it is measured, so that founding it and electing a leader do not count.
fn warm_up() -> Span {
    if is_tried_out() { Span::ZERO } else { Span::secs(1) }
}

/// Simulated time that is measured: about 600,000 events, or next to nothing when benches are only tried out.
fn horizon(nodes: usize) -> Span {
    if is_tried_out() { Span::millis(20) } else { Span::millis(5_000_000 / nodes as u64) }
}

fn is_tried_out() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Runs a trial `times` times: its events and its wall time, both without the warm-up.
fn wall<P: Process>(nodes: usize, times: u64) -> (u64, Duration) {
    let warm = plan(nodes, warm_up());
    let whole = plan(nodes, warm_up() + horizon(nodes));
    let mut sum = (0, Duration::ZERO);
    for _ in 0..times {
        let (before, events_before) = timed(|| trial::<P>(&warm).events);
        let (after, events_after) = timed(|| trial::<P>(&whole).events);
        sum.0 += events_after - events_before;
        sum.1 += after.saturating_sub(before);
    }
    sum
}

/// Runs something: how long it took, and its result.
fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let on_cpu = time_on_cpu();
    let result = run();
    let took = began.elapsed();
    (time_on_cpu().zip(on_cpu).map_or(took, |(after, before)| after.saturating_sub(before)), result)
}

/// How long this thread has been on a processor, where Linux tells it: so that busy neighbours do not count.
fn time_on_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// The first seeds whose scenarios have five machines.
fn seeds_of_five() -> Vec<u64> {
    let wanted = if is_tried_out() { 1 } else { 100 };
    (0..).filter(|&seed| fuzz::scenario(seed, Profile::Swarm).nodes.len() == 5).take(wanted).collect()
}

/// Draws the scenario of each seed and carries it out for 30 simulated seconds: how many inputs nodes were given.
fn fuzzed(seeds: &[u64]) -> u64 {
    let run = |&seed: &u64| {
        let drawn = fuzz::scenario(seed, Profile::Swarm);
        let horizon = if is_tried_out() { Span::millis(20) } else { Span::secs(30) };
        let plan = Plan { until: Until::At(horizon), ..drawn };
        Trial::run(&plan, seed, false, &|| false).events
    };
    seeds.iter().map(run).sum()
}

fn fuzzing(criterion: &mut Criterion) {
    let seeds = seeds_of_five();
    let mut group = criterion.benchmark_group("fuzz");
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.throughput(Throughput::Elements(seeds.len() as u64));
    group.bench_function("5 nodes, 30 s", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| timed(|| black_box(fuzzed(&seeds))).0).sum());
    });
    group.finish();
    let (took, events) = timed(|| fuzzed(&seeds));
    let took = took.as_secs_f64().max(1e-9);
    let (rate, per_seed) = (seeds.len() as f64 / took, events / seeds.len() as u64);
    let pending = 64;
    let hold = events as f64 / hold(pending, events).as_secs_f64().max(1e-9);
    println!(
        "\nfuzz, 5 nodes, 30 s: {rate:.0} scenarios/s on one core, {per_seed} events each, {:.2} M events/s, {:.2} of hold\n",
        events as f64 / took / 1e6,
        events as f64 / took / hold,
    );
}

fn benches(criterion: &mut Criterion) {
    let head = ["", "events", "events/s", "node-hours/s", "of hold"];
    let mut table =
        vec![format!("{:>24} {:>10} {:>12} {:>14} {:>8}", head[0], head[1], head[2], head[3], head[4])];
    for nodes in SIZES {
        // One wake-up per node, and the heartbeats on their way: 100 per node and second, 0.3 ms each.
        let pending = nodes + nodes * 3 / 100 + 1;
        let mut group = criterion.benchmark_group("sim");
        group.sample_size(10).warm_up_time(Duration::from_millis(500));
        let holds = wall::<Beats>(nodes, 1).0.max(1);
        group.throughput(Throughput::Elements(holds));
        group.bench_function(BenchmarkId::new("hold", nodes), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| hold(pending, holds)).sum());
        });
        group.bench_function(BenchmarkId::new("driver", nodes), |bencher| {
            bencher.iter_custom(|times| wall::<Beats>(nodes, times).1);
        });
        let events = wall::<Node>(nodes, 1).0.max(1);
        group.throughput(Throughput::Elements(events));
        group.bench_function(BenchmarkId::new("cluster", nodes), |bencher| {
            bencher.iter_custom(|times| wall::<Node>(nodes, times).1);
        });
        group.finish();

        let base = hold(pending, holds).as_secs_f64() / holds as f64;
        let mut row = |name: &str, (events, took): (u64, Duration), runs: f64| {
            let per_event = took.as_secs_f64().max(1e-9) / events.max(1) as f64;
            let hours = nodes as f64 * horizon(nodes).as_secs() / 3600.0;
            let hours_rate = hours * runs / took.as_secs_f64().max(1e-9);
            let (name, rate) = (format!("{name}, {nodes} nodes"), 1.0 / per_event);
            table.push(format!(
                "{name:>24} {events:>10} {rate:>12.0} {hours_rate:>14.1} {:>8.2}",
                base / per_event
            ));
        };
        row("hold", (holds, hold(pending, holds)), 1.0);
        row("driver", wall::<Beats>(nodes, 3), 3.0);
        row("cluster", wall::<Node>(nodes, 3), 3.0);
    }
    println!("\n{}\n", table.join("\n"));
}

criterion_group!(group, fuzzing, benches);
criterion_main!(group);
