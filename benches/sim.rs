//! How fast the simulator is: events per second and simulated node-hours per second of wall time, beside a hold model.
//!
//! An event is a delivered message or a wake-up. The *driver* runs a stand-in that only sends heartbeats, so that it measures
//! queue, network, clocks and trace hash alone; the *cluster* runs the real node. The *hold model* pops the earliest event of
//! std's `BinaryHeap` and pushes another, with as many pending as the simulator has, and does nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use idunno::base::{ClusterId, Draw, Epoch, Incarnation, NodeId, Rng, Span, Time, ViewId};
use idunno::history::Ignore;
use idunno::node::{
    Body, Config, Effect, Identity, Input, MembershipMessage, Message, Outbox, Start, Status,
};
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
    let node =
        |number| NodePlan { name: format!("n{number}").into(), kind: "cpu".into(), speed: 1.0, worker: true };
    Plan {
        name: "bench".into(),
        about: String::new(),
        seed: 1,
        trials: 1,
        until: Until::At(horizon),
        liveness_within: Span::secs(10),
        nodes: (1..=nodes).map(node).collect(),
        config: Arc::new(Config::default()),
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
        faults: Vec::new(),
    }
}

fn trial<P: Process>(plan: &Plan) -> Outcome {
    sim::run_process::<P>(plan, plan.seed, &mut Ignore, &|| false)
}

/// Pops the earliest of `pending` 24-byte items and pushes a later one, `holds` times.
fn hold(pending: usize, holds: u64) -> Duration {
    let mut rng = Rng::new(1);
    let mut heap: BinaryHeap<Reverse<(u64, u64, u64)>> =
        (0..pending as u64).map(|i| Reverse((rng.below(1_000_000), i, i))).collect();
    // Drawing is not part of the queue's work.
    let ahead: Vec<u64> = (0..4096).map(|_| rng.below(1_000_000)).collect();
    let began = Instant::now();
    for i in 0..holds {
        let Reverse((at, _, payload)) = heap.pop().expect("it holds its size");
        heap.push(Reverse((at + ahead[i as usize % ahead.len()], i, payload)));
    }
    black_box(&heap);
    began.elapsed()
}

/// Simulated time per iteration: about 300,000 events, or next to nothing when benches are only tried out.
fn horizon(nodes: usize) -> Span {
    let is_trial = std::env::args().any(|argument| argument == "--test");
    Span::millis(if is_trial { 20 } else { 2_500_000 / nodes as u64 })
}

fn wall<P: Process>(plan: &Plan, times: u64) -> Duration {
    // What it takes to found the cluster is not part of running it.
    let mut empty = plan.clone();
    empty.until = Until::At(Span::ZERO);
    (0..times)
        .map(|_| {
            let (before, _) = timed(|| trial::<P>(&empty));
            let (whole, _) = timed(|| trial::<P>(plan));
            whole.saturating_sub(before)
        })
        .sum()
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let result = run();
    (began.elapsed(), result)
}

fn benches(criterion: &mut Criterion) {
    let mut table = vec![format!(
        "{:>28} {:>12} {:>12} {:>14} {:>10}",
        "", "events", "events/s", "node-hours/s", "of hold"
    )];
    for nodes in SIZES {
        let plan = plan(nodes, horizon(nodes));
        // One wake-up per node, and the heartbeats on their way: 100 per node and second, 0.3 ms each.
        let pending = nodes + nodes * 100 * 3 / 10_000 + 1;
        let holds = trial::<Beats>(&plan).events.max(1);
        let mut group = criterion.benchmark_group("sim");
        group.sample_size(10).warm_up_time(Duration::from_millis(500));
        group.throughput(Throughput::Elements(holds));
        group.bench_function(BenchmarkId::new("hold", nodes), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| hold(pending, holds)).sum());
        });
        group.bench_function(BenchmarkId::new("driver", nodes), |bencher| {
            bencher.iter_custom(|times| wall::<Beats>(&plan, times));
        });
        let events = trial::<idunno::node::Node>(&plan).events.max(1);
        group.throughput(Throughput::Elements(events));
        group.bench_function(BenchmarkId::new("cluster", nodes), |bencher| {
            bencher.iter_custom(|times| wall::<idunno::node::Node>(&plan, times));
        });
        group.finish();

        let base = holds as f64 / hold(pending, holds).as_secs_f64();
        let mut row = |name: &str, events: u64, took: Duration| {
            let rate = events as f64 / took.as_secs_f64().max(1e-9);
            let Until::At(span) = plan.until else { unreachable!("benches end at a time") };
            let hours = nodes as f64 * span.as_secs() / 3600.0 / took.as_secs_f64().max(1e-9);
            let name = format!("{name}, {nodes} nodes");
            table.push(format!("{name:>28} {events:>12} {rate:>12.0} {hours:>14.1} {:>10.2}", rate / base));
        };
        row("hold", holds, hold(pending, holds));
        row("driver", holds, wall::<Beats>(&plan, 3) / 3);
        row("cluster", events, wall::<idunno::node::Node>(&plan, 3) / 3);
    }
    println!("\n{}\n", table.join("\n"));
}

criterion_group!(group, benches);
criterion_main!(group);
