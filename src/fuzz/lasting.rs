//! What stays broken when the faults are over: at most as many machines as a quorum can spare, each or all of them in one way, or all
//! those that are dead at once and are not needed.

use super::faults::{Ground, several};
use crate::base::{Draw, Rng, Span};
use crate::scenario::{Direction, Fault, FaultKind, Loss, Shape, Target};

/// How many machines stay broken where the voters can do without `spare` of them: none but in that `share` of scenarios, else some, or all
/// but a quorum.
pub(super) fn count(rng: &mut Rng, ground: Ground, spare: usize, share: f64) -> usize {
    // Whoever votes alone cannot be spared; others are not needed.
    let most = if ground.voters == 1 && ground.nodes > 2 { 1 } else { spare };
    if most == 0 || rng.chance(1.0 - share) {
        0
    } else if rng.chance(0.4) {
        most
    } else {
        1 + rng.below(most as u64) as usize
    }
}

/// Faults without an end on at most `count` machines, and never on the last one for which `workers` says that it works.
pub(super) fn draw(rng: &mut Rng, ground: Ground, count: usize, workers: &[bool]) -> Vec<Fault> {
    let alone = ground.voters == 1;
    let mut machines: Vec<u32> = (u32::from(alone)..ground.nodes).collect();
    rng.shuffle(&mut machines);
    // Where more than the voters are there, the others often are not whom a quorum misses. The first machines are voters.
    if rng.chance(0.5) {
        machines.sort_by_key(|machine| *machine >= ground.voters);
    }
    let works = |machine: &u32| workers[*machine as usize];
    let mut left = (0..ground.nodes).filter(works).count();
    if count == 1 && !alone && ground.hedges && rng.chance(0.3) && left > 1 {
        // A coordinator that is heard and hears nothing. Where too many are suspect to believe it, what it holds as a worker comes
        // back by hedging alone.
        let kind = FaultKind::Cut { other: None, direction: Direction::In };
        return vec![for_good(ground, rng, kind, Target::Coordinator)];
    }
    machines.retain(|machine| {
        let last = works(machine) && left == 1;
        left -= usize::from(works(machine) && !last);
        !last
    });
    let rest = &machines[..count.min(machines.len())];
    if rest.len() > 1 && is_outvoted(ground) && rng.chance(0.3) {
        // They hear the others, but hardly each other.
        let shapes = [Shape::Chain, Shape::Star, Shape::Ring, Shape::Bridge];
        let shape = shapes[rng.below(shapes.len() as u64) as usize];
        return vec![for_good(ground, rng, FaultKind::Partial(shape), several(rest))];
    }
    let one = |machine: &u32| {
        let kind = kind(ground, rng);
        for_good(ground, rng, kind, Target::Node(*machine))
    };
    rest.iter().map(one).collect()
}

/// Machines that can be spared die at the same time, and for good: up to all but a quorum of the voters.
pub(super) fn rack(rng: &mut Rng, ground: Ground) -> Vec<Fault> {
    let crash = for_good(ground, rng, FaultKind::Crash { wipe: false }, Target::Spare);
    let count = if rng.chance(0.5) { ground.nodes - 1 } else { 1 + rng.below(ground.nodes.into()) as u32 };
    vec![crash; count as usize]
}

/// Whether a fault never ends. Some are over at once.
pub(super) fn is_for_good(fault: &Fault) -> bool {
    use FaultKind::{EngineDeath, Restart, Rot, Stuck};
    fault.lasting.is_none()
        && fault.repeat.is_none()
        && !matches!(fault.kind, Restart | EngineDeath | Stuck | Rot)
}

fn for_good(ground: Ground, rng: &mut Rng, kind: FaultKind, target: Target) -> Fault {
    let from = ground.stays_from;
    let at = Draw::Fixed(from + Span::millis(rng.below((ground.until - from).0 / 1_000_000)));
    Fault { at, kind, target, lasting: None, repeat: None, trigger: None, after: Draw::ZERO }
}

/// Whether a machine that is half broken is not the only one that watches another: nobody else would notice when that one dies.
fn is_outvoted(ground: Ground) -> bool {
    ground.observers >= 3
}

/// How one machine stays broken.
fn kind(ground: Ground, rng: &mut Rng) -> FaultKind {
    if !is_outvoted(ground) {
        return if rng.chance(0.5) { FaultKind::Crash { wipe: false } } else { FaultKind::Isolate };
    }
    let one_way = |direction| FaultKind::Cut { other: None, direction };
    match rng.below(12) {
        0 | 1 => FaultKind::Crash { wipe: false },
        2 => FaultKind::Isolate,
        3 => FaultKind::Pause,
        4 => one_way(Direction::Out),
        // Heard and hearing nothing: likewise.
        5 if ground.hedges => one_way(Direction::In),
        5 | 6 => FaultKind::SlowDisk(up_to(rng, &[150, 1_000])),
        7 | 8 => FaultKind::Starve(up_to(rng, &[200, 3_000])),
        9 => {
            let burst = rng.chance(0.5).then(|| Span::millis(1 + rng.below(1_000)));
            let rate = [0.5, 0.8, 0.95][rng.below(3) as usize];
            FaultKind::Loss(Loss { burst, ..Loss::of(rate) })
        }
        10 => FaultKind::Skew([0.5, 0.9, 1.1, 2.0][rng.below(4) as usize]),
        _ => FaultKind::Suspend,
    }
}

/// Any time up to one of these milliseconds.
fn up_to(rng: &mut Rng, most: &[u64]) -> Draw {
    Draw::Uniform(Span::millis(1), Span::millis(most[rng.below(most.len() as u64) as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_leaves_a_quorum_and_a_worker_and_is_of_many_kinds() {
        let ground = Ground {
            nodes: 6,
            voters: 5,
            until: Span::secs(20),
            stays_from: Span::ZERO,
            hedges: true,
            observers: 5,
        };
        let workers = [true, false, true, false, false, false];
        let mut kinds: Vec<&str> = Vec::new();
        for seed in 0..500 {
            let faults = draw(&mut Rng::new(seed), ground, 2, &workers);
            let hit: usize = faults.iter().map(|fault| fault.target.machines_max(6)).sum();
            assert!(hit <= 2, "seed {seed}: {faults:?}");
            let takes = |machine| faults.iter().any(|fault| fault.target == Target::Node(machine));
            assert!(!(takes(0) && takes(2)), "seed {seed}: nobody works");
            assert!(faults.iter().all(is_for_good), "seed {seed}");
            kinds.extend(faults.iter().map(|fault| fault.kind.name()));
        }
        kinds.sort_unstable();
        kinds.dedup();
        let all =
            ["crash", "cut", "isolate", "loss", "partial", "pause", "skew", "slow_disk", "starve", "suspend"];
        assert_eq!(kinds, all);
    }

    #[test]
    fn whoever_votes_alone_stays_whole() {
        let ground = Ground {
            nodes: 4,
            voters: 1,
            until: Span::secs(20),
            stays_from: Span::ZERO,
            hedges: true,
            observers: 5,
        };
        let mut broken = 0;
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let count = count(&mut rng, ground, 0, 0.5);
            let faults = draw(&mut rng, ground, count, &[true; 4]);
            assert!(count <= 1 && faults.len() == count, "seed {seed}: {faults:?}");
            let others = |fault: &Fault| matches!(fault.target, Target::Node(machine) if machine > 0);
            assert!(faults.iter().all(others), "seed {seed}: {faults:?}");
            broken += faults.len();
        }
        assert!((60..140).contains(&broken), "{broken} of 200");
        let two = Ground { nodes: 2, ..ground };
        assert!((0..50).all(|seed| count(&mut Rng::new(seed), two, 0, 1.0) == 0));
    }
}
