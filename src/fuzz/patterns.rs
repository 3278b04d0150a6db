//! Families that are stories: several faults in the order and at the distance in which clusters are known to lose data.

use super::family::Family;
use super::faults::{Ground, fault, several};
use crate::base::{Draw, Rng, Span};
use crate::scenario::{Direction, Fault, FaultKind, Target, Trigger};

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
        // Where one votes alone nobody succeeds another one.
        _ if ground.voters < 3 => storm(begin, rng),
        Family::OldLeader if rng.chance(0.3) => outwritten(begin, ground, rng),
        Family::OldLeader => old_leader(begin, rng),
        Family::LastCopies => last_copies(begin, ground, rng),
        Family::LostVotes => lost_votes(begin, rng),
        Family::OldTerms => old_terms(begin, rng),
        Family::HalfHeard => half_heard(begin, rng),
        Family::Successors => successors(begin, rng),
        _ => storm(begin, rng),
    };
    let ends = |fault: &Fault| fault.at.mean() + fault.lasting.map_or(Span::ZERO, Draw::mean);
    faults.into_iter().filter(|fault| ends(fault) < ground.until).collect()
}

/// The fault as it begins so long after `trigger`, for which it waits.
fn on(trigger: Trigger, after: Draw, fault: Fault) -> Fault {
    Fault { trigger: Some(trigger), after, ..fault }
}

/// Any time up to `most`.
fn up_to(most: Span) -> Draw {
    Draw::Uniform(Span::ZERO, most)
}

/// All disks take so much longer, each time, that what was written last is on none of them.
fn slow_disks(begin: Span, lasting: Span, rng: &mut Rng) -> Fault {
    fault(begin, lasting, FaultKind::SlowDisk(up_to(millis(rng, 20, 500))), Target::All)
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

/// The coordinator is cut off and keeps what nobody else has. Its successor dies: about when the old one is back, or before much
/// more was committed than what the old one kept.
fn old_leader(begin: Span, rng: &mut Rng) -> Vec<Fault> {
    let direction = [Direction::In, Direction::Both, Direction::Out, Direction::Out][rng.below(4) as usize];
    let cut = FaultKind::Cut { other: None, direction };
    if rng.chance(0.6) {
        let (apart, down) = (millis(rng, 300, 1_200), millis(rng, 800, 2_500));
        let death = fault(begin + Span::millis(1), down, CRASH, Target::Concerned);
        let soon = up_to(millis(rng, 10, 300));
        return vec![fault(begin, apart, cut, Target::Coordinator), on(Trigger::Reign, soon, death)];
    }
    let (apart, down) = (millis(rng, 300, 2_000), millis(rng, 100, 1_500));
    let death = begin + (apart - Span::millis(100)) + millis(rng, 0, 200);
    vec![fault(begin, apart, cut, Target::Coordinator), fault(death, down, CRASH, Target::Coordinator)]
}

/// As many voters as are not needed are cut off and miss what the others commit. When they are back, another one loses its disk, and
/// the coordinator dies: those who are left could be a majority that has never heard of what was committed.
fn last_copies(begin: Span, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    // The first machines are voters.
    let mut voters: Vec<u32> = (0..ground.voters).collect();
    rng.shuffle(&mut voters);
    let (stale, others) = voters.split_at((voters.len() - 1) / 2);
    let apart = millis(rng, 300, 1_500);
    let death = begin + (apart - Span::millis(50)) + millis(rng, 0, 60);
    let (down, empty) = (millis(rng, 500, 2_000), millis(rng, 1, 100));
    vec![
        fault(begin, apart, FaultKind::Isolate, several(stale)),
        fault(death, empty, FaultKind::Crash { wipe: true }, Target::Node(others[0])),
        fault(death, down, CRASH, Target::Coordinator),
    ]
}

/// The coordinator dies. Whoever votes for its successor, or this one itself, dies as well before the vote is on its disk, and
/// whoever else knows of the election is cut off: those who are left elect once more.
fn lost_votes(begin: Span, rng: &mut Rng) -> Vec<Fault> {
    let (away, moment) = (millis(rng, 400, 1_800), millis(rng, 1, 100));
    let alone = away + millis(rng, 500, 2_000);
    let mut faults = vec![fault(begin, away, CRASH, Target::Coordinator)];
    let from = begin + Span::millis(1);
    if rng.chance(0.5) {
        let forgets = fault(from, moment, CRASH, Target::Concerned);
        let knows = fault(from, alone, FaultKind::Isolate, Target::Coordinator);
        faults.extend([on(Trigger::Vote, Draw::ZERO, forgets), on(Trigger::Vote, Draw::ZERO, knows)]);
    } else {
        faults.push(slow_disks(begin, alone, rng));
        let forgets = fault(from, moment, CRASH, Target::Concerned);
        let knows = fault(from, alone, FaultKind::Isolate, Target::Voter);
        faults.extend([on(Trigger::Reign, Draw::ZERO, forgets), on(Trigger::Reign, Draw::ZERO, knows)]);
    }
    faults
}

/// Two coordinators, one after the other, are cut off with an entry that nobody else has. The first is back, and a third one goes on
/// with what the first had, while disks are slow, until all die but the second (figure 8 of the Raft paper: Ongaro and Ousterhout,
/// 2014).
fn old_terms(begin: Span, rng: &mut Rng) -> Vec<Fault> {
    let first = millis(rng, 400, 1_400);
    let second = first + millis(rng, 0, 1_200);
    let (elected, back) = (begin + Span::millis(1), begin + first);
    let deaf = FaultKind::Cut { other: None, direction: Direction::In };
    let slow = slow_disks(begin + first.scaled(rng.unit()), Span::secs(2), rng);
    let soon = Draw::Fixed(millis(rng, 20, 300));
    let gone = fault(back, millis(rng, 800, 2_000), CRASH, Target::Coordinator);
    let forget = fault(back, millis(rng, 1, 100), CRASH, Target::All);
    vec![
        fault(begin, first, FaultKind::Isolate, Target::Coordinator),
        // Whoever votes for the second does not hear what it writes first.
        on(Trigger::Vote, Draw::ZERO, fault(elected, millis(rng, 20, 300), deaf, Target::Concerned)),
        on(Trigger::Reign, Draw::ZERO, fault(elected, second, FaultKind::Isolate, Target::Concerned)),
        slow,
        on(Trigger::Reign, soon, gone),
        on(Trigger::Reign, soon, forget),
    ]
}

/// A coordinator is not heard any more and keeps what nobody else has. Then it hears its successor, which has become deaf, and is content
/// with it; whoever elected that one hears neither, starts anew, and knows of nothing that was committed.
fn half_heard(begin: Span, rng: &mut Rng) -> Vec<Fault> {
    let (apart, half) = (millis(rng, 300, 1_200), millis(rng, 800, 2_500));
    let elected = begin + Span::millis(1);
    let one_way = |direction| FaultKind::Cut { other: None, direction };
    let from_successor = FaultKind::Cut { other: Some(Target::Coordinator), direction: Direction::Both };
    let soon = millis(rng, 5, 80);
    let (later, last) = (soon + millis(rng, 5, 100), millis(rng, 1, 100));
    let deaf = fault(elected, half, one_way(Direction::In), Target::Concerned);
    let unreached = fault(elected, half, from_successor, Target::Concerned);
    let anew = fault(elected, millis(rng, 1, 50), CRASH, Target::Concerned);
    vec![
        fault(begin, apart, one_way(Direction::Out), Target::Coordinator),
        on(Trigger::Reign, Draw::Fixed(soon), deaf),
        on(Trigger::Vote, Draw::Fixed(later), unreached),
        on(Trigger::Vote, Draw::Fixed(later + last), anew),
    ]
}

/// The coordinator is cut off with as many voters as are not needed and all who do not vote, so that it goes on writing for a while.
/// Its successor writes less, which is committed all the same, and dies. When the cut is over, the longest log is not the best one.
fn outwritten(begin: Span, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let mut apart = vec![Target::Coordinator];
    apart.resize((ground.voters as usize - 1) / 2, Target::Voter);
    apart.resize(apart.len() + (ground.nodes - ground.voters) as usize, Target::Worker);
    let cut = FaultKind::Cut { other: None, direction: Direction::Both };
    let death = fault(begin + Span::millis(1), millis(rng, 1_500, 3_500), CRASH, Target::Concerned);
    let soon = up_to(millis(rng, 5, 150));
    vec![fault(begin, millis(rng, 600, 1_500), cut, Target::Several(apart)), on(Trigger::Reign, soon, death)]
}

/// A voter is gone for so long that another one takes its seat, and the coordinator dies in the midst of that, while disks are slow.
fn successors(begin: Span, rng: &mut Rng) -> Vec<Fault> {
    let (away, down) = (millis(rng, 1_500, 3_900), millis(rng, 200, 2_000));
    let death = fault(begin + Span::millis(1), down, CRASH, Target::Coordinator);
    vec![
        fault(begin, away, CRASH, Target::Voter),
        on(Trigger::Seats, up_to(millis(rng, 1, 300)), death),
        slow_disks(begin + Span::secs(1).scaled(rng.unit()), Span::millis(2_800), rng),
    ]
}
