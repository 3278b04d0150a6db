//! Random faults on random clusters: safety all the while, and liveness once the faults are over.

use super::super::super::{Passing, Seats};
use super::net::{Net, Tally, Weather};
use crate::base::{Rng, Span};

/// Makes one random thing happen.
fn act(net: &mut Net, rng: &mut Rng) {
    let n = net.machines.len() as u64;
    let node = rng.below(n) as usize;
    let other = rng.below(n) as usize;
    let leader = net.leader();
    match rng.below(48) {
        0..=9 | 41..=43 => {
            let burst = [1, 4, 30][rng.below(3) as usize];
            for _ in 0..=rng.below(burst) {
                if let Some(leader) = net.leaders().get(rng.below(2) as usize) {
                    net.propose(*leader);
                }
            }
        }
        10 | 11 if net.machines[node].up => net.crash(node),
        10..=13 | 39 | 40 => net.restart(node),
        14 => {
            if let Some(leader) = leader {
                net.crash(leader);
            }
        }
        15 => net.machines[node].paused_until = net.now + Span::millis(rng.below(1_200)),
        16 => {
            net.weather.cut.insert((node, other));
        }
        17 => net.cut(|a, b| a == node && b == other),
        18 => net.cut(|a, b| a < node && b >= node),
        19 => match rng.below(4) {
            // Only `node` reaches everyone: quorum-loss, or constrained when `other` is cut off altogether.
            0 => net.cut(|a, b| a != node && b != node),
            1 => net.cut(|a, b| a != node && b != node || a == other),
            // A chain.
            2 => net.cut(|a, b| a + 1 < b),
            // A ring.
            _ => net.cut(|a, b| a + 1 < b && (a, b) != (0, n as usize - 1)),
        },
        20..=22 | 34..=38 => net.weather.cut.clear(),
        23 => net.weather.loss = [0.0, 0.01, 0.1, 0.4][rng.below(4) as usize],
        24 => net.weather.sync_ms = [(1, 5), (0, 0), (5, 60), (50, 500)][rng.below(4) as usize],
        25 => {
            net.weather.duplicate = [0.0, 0.1, 0.5][rng.below(3) as usize];
            net.weather.straggle = [0.0, 0.05, 0.3][rng.below(3) as usize];
            net.weather.delay_ms = [(1, 3), (1, 30), (20, 200)][rng.below(3) as usize];
        }
        44 => {
            if let Some(leader) = leader {
                net.crash(leader);
                net.restart(leader);
            }
        }
        45 => {
            net.crash(node);
            net.restart(node);
        }
        26 | 46 => {
            if let Some(leader) = leader {
                net.transfer(leader, node);
            }
        }
        27 | 28 => net.compact(node),
        29 => {
            if let Some(leader) = net.leaders().first() {
                net.read(*leader);
            }
        }
        30 | 31 => {
            if let Some(leader) = leader {
                change_seats(net, rng, leader);
            }
        }
        _ => net.gossip(node, other),
    }
}

/// Proposes one random change of seats, a legal one.
fn change_seats(net: &mut Net, rng: &mut Rng, leader: usize) {
    let mut seats: Seats = net.seats_of(leader);
    seats.number += 1;
    let id = net.machines[rng.below(net.machines.len() as u64) as usize].id;
    if let Some(Passing { from, to }) = seats.passing.take() {
        let goes = if rng.chance(0.7) { from } else { to };
        seats.voters.retain(|voter| *voter != goes);
        net.propose_seats(leader, seats);
        return;
    }
    if !seats.voters.contains(&id) && rng.chance(0.5) {
        let from = seats.voters[rng.below(seats.voters.len() as u64) as usize];
        seats.passing = Some(Passing { from, to: id });
        seats.learners.retain(|learner| *learner != id);
        seats.voters.push(id);
        seats.voters.sort_unstable();
        net.propose_seats(leader, seats);
        return;
    }
    if let Some(at) = seats.learners.iter().position(|learner| *learner == id) {
        seats.learners.remove(at);
        if rng.chance(0.8) {
            seats.voters.push(id);
        }
    } else if let Some(at) = seats.voters.iter().position(|voter| *voter == id) {
        if seats.voters.len() == 1 {
            return;
        }
        seats.voters.remove(at);
        if rng.chance(0.3) {
            seats.learners.push(id);
        }
    } else {
        seats.learners.push(id);
    }
    seats.voters.sort_unstable();
    seats.learners.sort_unstable();
    net.propose_seats(leader, seats);
}

/// The faults are over, but for the nodes in `dead`, which are few: soon one leads, for good, and everyone with a seat
/// holds everything.
fn recover(net: &mut Net, dead: &[usize], seed: u64) {
    net.weather = Weather::fair();
    for i in 0..net.machines.len() {
        net.machines[i].paused_until = net.now;
        if dead.contains(&i) {
            if net.machines[i].up {
                net.crash(i);
            }
        } else {
            net.restart(i);
        }
    }
    let election_ms = net.election().0 / 1_000_000;
    net.run_ms(20 * election_ms);
    let leader = net.leader().unwrap_or_else(|| panic!("seed {seed}: nobody leads though all is well"));
    let epoch = net.machines[leader].log.epoch();
    let (number, _) = net.propose(leader).unwrap_or_else(|| panic!("seed {seed}: the leader refuses"));
    let reads = net.machines[leader].reads_done;
    net.read(leader);
    net.run_ms(500 + 4 * election_ms);
    assert!(net.oracle.has(number), "seed {seed}: nothing is committed though all is well");
    assert_eq!(
        (net.leaders(), net.machines[leader].log.epoch()),
        (vec![leader], epoch),
        "seed {seed}: unrest"
    );
    let seats = net.seats_of(leader);
    for machine in net.machines.iter().filter(|machine| machine.up) {
        if seats.voters.contains(&machine.id) || seats.learners.contains(&machine.id) {
            assert_eq!(
                machine.applied(),
                net.machines[leader].applied(),
                "seed {seed}: {} is behind",
                machine.id
            );
            assert_eq!(machine.log.leader(), Some(net.machines[leader].id), "seed {seed}");
        }
    }
    assert!(net.machines[leader].reads_done > reads, "seed {seed}: a read is not answered");
}

/// A minority of the voters, by the newest seats that anyone has.
fn minority(net: &Net) -> Vec<usize> {
    let newest = (0..net.machines.len()).map(|i| net.seats_of(i)).max_by_key(|seats| seats.number);
    let newest = newest.expect("there are machines");
    // Where a seat passes, nobody knows on which side one that is lost was missed.
    let decide = newest.voters.len() - usize::from(newest.passing.is_some());
    let spared = decide.saturating_sub(newest.quorum());
    let dead = newest.voters[newest.voters.len() - spared..].iter();
    dead.filter_map(|id| net.machines.iter().position(|machine| machine.id == *id)).collect()
}

fn storm(seed: u64) -> Tally {
    let mut rng = Rng::new(seed).fork("storm");
    let voters = [1, 2, 3, 3, 3, 5, 5, 4][rng.below(8) as usize];
    let spares = rng.below(3) as usize;
    let mut net = Net::new(seed, voters, spares);
    if rng.chance(0.7) {
        // More happens when elections are quick.
        net.hasten(Span::millis(60), Span::millis(10));
    }
    for round in 0..2 {
        for _ in 0..100 + rng.below(200) {
            act(&mut net, &mut rng);
            let pause = [0, 3, 30, 300][rng.below(4) as usize];
            net.run_ms(rng.below(pause + 1));
        }
        recover(&mut net, &[], seed);
        if round == 1 {
            let dead = minority(&net);
            recover(&mut net, &dead, seed);
        }
    }
    net.tally
}

/// Any order of events, with clocks that have nothing to do with each other: far denser in contradictions than anything that happens
/// in time.
fn anarchy(seed: u64) -> Tally {
    let mut rng = Rng::new(seed).fork("anarchy");
    let n = [2, 3, 3, 5, 5][rng.below(5) as usize];
    let spares = rng.below(2) as usize;
    let mut net = Net::new(seed, n, spares);
    let n = n + spares;
    net.resize([1, 130, 400][rng.below(3) as usize]);
    net.begin_anarchy();
    net.weather.duplicate = [0.0, 0.05, 0.3][rng.below(3) as usize];
    let reluctance = [0.1, 0.3, 0.6][rng.below(3) as usize];
    let mut order: Vec<usize> = (0..n).collect();
    let mut inside = order.clone();
    for _ in 0..6_000 {
        match rng.below(100) {
            0 => {
                // From now on only these hear each other.
                rng.shuffle(&mut order);
                let most = if rng.chance(0.6) { n / 2 + 1 } else { 1 + rng.below(n as u64) as usize };
                inside = order[..most].to_vec();
                if let Some(leader) = net.leader().filter(|_| rng.chance(0.4)) {
                    inside.retain(|node| *node != leader);
                }
                inside.push(order[n - 1]);
                net.weather.cut.clear();
                if rng.chance(0.8) {
                    net.cut(|a, b| inside.contains(&a) != inside.contains(&b));
                } else {
                    // Only the first of them reaches everyone.
                    let hub = inside[0];
                    net.cut(|a, b| a != hub && b != hub);
                }
                net.forget_most_of_what_is_cut(&mut rng);
            }
            1..=5 => {
                for leader in net.leaders() {
                    net.propose(leader);
                    if rng.chance(0.1) {
                        net.read(leader);
                    }
                }
            }
            6 => {
                let node = rng.below(n as u64) as usize;
                net.crash(node);
                net.restart(node);
            }
            7 => {
                let node = rng.below(n as u64) as usize;
                if rng.chance(0.05) {
                    net.compact(node);
                } else if let Some(leader) = net.leader().filter(|_| rng.chance(0.3)) {
                    change_seats(&mut net, &mut rng, leader);
                } else if let Some(leader) = net.leader().filter(|_| rng.chance(0.2)) {
                    net.transfer(leader, node);
                } else {
                    net.gossip(node, rng.below(n as u64) as usize);
                }
            }
            8 => {
                if let Some(leader) = net.leader().filter(|_| rng.chance(0.5)) {
                    net.transfer(leader, inside[rng.below(inside.len() as u64) as usize]);
                }
            }
            9..=22 if net.idle() || rng.chance(reluctance) => {
                let node = inside[rng.below(inside.len() as u64) as usize];
                let node = if rng.chance(0.2) { rng.below(n as u64) as usize } else { node };
                if !net.machines[node].log.leads() || rng.chance(0.15) {
                    net.time_passes(node);
                }
            }
            _ => net.something_arrives(&mut rng),
        }
    }
    net.end_anarchy();
    recover(&mut net, &[], seed);
    net.tally
}

/// Seeds per run; `IDUNNO_SEEDS=from..to` chooses others.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let chosen = std::env::var("IDUNNO_SEEDS").ok();
    let parse = |text: &str| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    };
    chosen.map_or(0..default, |text| parse(&text).expect("IDUNNO_SEEDS=from..to"))
}

/// What to count, how, and how much of it there must be per run.
type Wanted = (&'static str, fn(&Tally) -> usize, f64);

/// Runs every seed and prints how much of each thing happened on average, which must be enough to mean something.
fn run_all(default: u64, run: fn(u64) -> Tally, wanted: &[Wanted]) {
    let mut all: Vec<Tally> = Vec::new();
    for seed in seeds(default) {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(tally) => all.push(tally),
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    let mean = |of: fn(&Tally) -> usize| all.iter().map(of).sum::<usize>() as f64 / all.len() as f64;
    for (what, of, _) in wanted {
        println!("{what}: {:.2} per run", mean(*of));
    }
    for (what, of, at_least) in wanted {
        assert!(mean(*of) >= *at_least, "too few {what}");
    }
}

#[test]
fn storms_break_no_promise_and_leave_a_cluster_that_works() {
    run_all(
        200,
        storm,
        &[
            ("commits", |tally| tally.commits, 80.0),
            ("reigns", |tally| tally.reigns, 8.0),
            ("restores", |tally| tally.restores, 1.0),
            ("reads", |tally| tally.reads, 3.0),
            ("suffixes", |tally| tally.suffixes, 1.0),
            ("continued suffixes", |tally| tally.continued, 0.1),
            ("superseded leaders", |tally| tally.superseded, 0.05),
            ("leaders without a quorum", |tally| tally.no_quorum, 1.0),
            ("handovers", |tally| tally.handed_over, 0.2),
            ("leaders that lost their seat", |tally| tally.unseated, 0.1),
            ("undone seats", |tally| tally.undone, 0.02),
            ("crashes that lost a write", |tally| tally.lost_writes, 1.0),
        ],
    );
}

#[test]
fn no_order_of_events_breaks_a_promise() {
    run_all(
        800,
        anarchy,
        &[
            ("commits", |tally| tally.commits, 20.0),
            ("reigns", |tally| tally.reigns, 10.0),
            ("truncations", |tally| tally.truncations, 1.0),
            ("truncations that shorten the last term", |tally| tally.regressions, 0.05),
            ("suffixes", |tally| tally.suffixes, 5.0),
            ("restores", |tally| tally.restores, 0.5),
        ],
    );
}
