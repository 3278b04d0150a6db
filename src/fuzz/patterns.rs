//! Families that are stories: several faults in the order and at the distance in which clusters are known to lose data.

use super::faults::{Family, Ground, fault};
use crate::base::{Draw, Rng, Span};
use crate::scenario::{Direction, Fault, FaultKind, Target};

const CRASH: FaultKind = FaultKind::Crash { wipe: false };

/// A length in milliseconds, from the first to just below the second.
fn millis(rng: &mut Rng, from: u64, to: u64) -> Span {
    Span::millis(from + rng.below(to - from))
}

/// The faults of one occurrence of `family`, as far as the ground reaches.
pub(super) fn draw(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    // Stories are told within this time.
    let begin = Span(rng.below((ground.until - Span::secs(4)).0));
    let faults = match family {
        Family::Storm => storm(begin, rng),
        Family::OldLeader => old_leader(begin, rng),
        _ => last_copies(begin, ground, rng),
    };
    let ends = |fault: &Fault| fault.at.mean() + fault.lasting.map_or(Span::ZERO, Draw::mean);
    faults.into_iter().filter(|fault| ends(fault) < ground.until).collect()
}

/// One after the other dies for a moment, and now and then all at once: often while the voters choose a successor.
fn storm(begin: Span, rng: &mut Rng) -> Vec<Fault> {
    let mut at = begin;
    let mut faults = Vec::new();
    for _ in 0..3 + rng.below(6) {
        let target = match rng.below(4) {
            0 => Target::All,
            1 => Target::Voter,
            _ => Target::Coordinator,
        };
        let down = millis(rng, 1, 400);
        faults.push(fault(at, down, CRASH, target));
        at = at + down + millis(rng, 1, 500);
    }
    faults
}

/// The coordinator is cut off and keeps what nobody else has; about when it is back, its successor dies.
fn old_leader(begin: Span, rng: &mut Rng) -> Vec<Fault> {
    let direction = [Direction::In, Direction::Out, Direction::Both][rng.below(3) as usize];
    let (apart, down) = (millis(rng, 300, 2_000), millis(rng, 100, 1_500));
    let death = begin + (apart - Span::millis(100)) + millis(rng, 0, 200);
    vec![
        fault(begin, apart, FaultKind::Cut { other: None, direction }, Target::Coordinator),
        fault(death, down, CRASH, Target::Coordinator),
    ]
}

/// One voter is cut off and misses what the others commit. When it is back, another one loses its disk, and the coordinator dies:
/// what was committed is then only on the disk of the dead one.
fn last_copies(begin: Span, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (stale, wiped) = match ground.nodes {
        0..3 => (0, ground.nodes - 1),
        // The first machines are voters.
        _ => [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)][rng.below(6) as usize],
    };
    let apart = millis(rng, 300, 1_500);
    let death = begin + (apart - Span::millis(50)) + millis(rng, 0, 60);
    let (down, empty) = (millis(rng, 500, 2_000), millis(rng, 1, 100));
    vec![
        fault(begin, apart, FaultKind::Isolate, Target::Node(stale)),
        fault(death, empty, FaultKind::Crash { wipe: true }, Target::Node(wiped)),
        fault(death, down, CRASH, Target::Coordinator),
    ]
}
