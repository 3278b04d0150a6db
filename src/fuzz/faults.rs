//! The faults of drawn scenarios, by family.

use super::family::Family;
use super::patterns;
use crate::base::{Draw, Rng, Span};
use crate::scenario::{Direction, Fault, FaultKind, Flaw, Loss, Repeat, Shape, Target, Trigger};

/// Where and when faults may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground {
    /// How many machines there are.
    pub(super) nodes: u32,
    /// How many of them vote in the beginning: the first ones.
    pub(super) voters: u32,
    /// When the last fault is over.
    pub(super) until: Span,
    /// From when on something breaks for good.
    pub(super) stays_from: Span,
    /// Whether slow queries are hedged.
    pub(super) hedges: bool,
    /// How many observers each machine has at most.
    pub(super) observers: u32,
}

impl Ground {
    fn node(self, rng: &mut Rng) -> u32 {
        rng.below(u64::from(self.nodes)) as u32
    }

    /// A machine, or whoever has some role.
    fn someone(self, rng: &mut Rng) -> Target {
        match rng.below(8) {
            0 => Target::Coordinator,
            1 => Target::Voter,
            2 => Target::BusiestWorker,
            3 => Target::Random(1 + rng.below(u64::from(self.nodes.div_ceil(2))) as u32),
            _ => Target::Node(self.node(rng)),
        }
    }

    /// When a fault begins and how long it lasts: over before the end.
    fn time(self, rng: &mut Rng, shortest_ms: u64, longest_ms: u64) -> (Span, Span) {
        let until = self.until.0 / 1_000_000;
        // Short ones are as likely as long ones, whatever their scale.
        let ratio = (longest_ms as f64 / shortest_ms as f64).max(1.0);
        let length = (shortest_ms as f64 * libm::pow(ratio, rng.unit())) as u64;
        let length = length.clamp(1, until / 2);
        (Span::millis(rng.below(until - length)), Span::millis(length))
    }
}

/// These machines, of which there is at least one.
pub(super) fn several(machines: &[u32]) -> Target {
    match machines {
        [one] => Target::Node(*one),
        many => Target::Several(many.iter().map(|machine| Target::Node(*machine)).collect()),
    }
}

pub(super) fn fault(at: Span, lasting: Span, kind: FaultKind, target: Target) -> Fault {
    Fault {
        at: Draw::Fixed(at),
        kind,
        target,
        lasting: Some(Draw::Fixed(lasting)),
        repeat: None,
        trigger: None,
        after: Draw::ZERO,
    }
}

fn moment(at: Span, kind: FaultKind, target: Target) -> Fault {
    Fault { at: Draw::Fixed(at), kind, target, lasting: None, repeat: None, trigger: None, after: Draw::ZERO }
}

/// The faults of one occurrence of `family`.
pub(super) fn draw(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    match family {
        Family::Kill
        | Family::KillLeader
        | Family::Wipe
        | Family::Restart
        | Family::CrashLoop
        | Family::JoinStorm
        | Family::Leave
        | Family::Rejoin => deaths(family, ground, rng),
        Family::Bursts | Family::SlowLink | Family::Jam | Family::Partial => links(family, ground, rng),
        Family::Starve | Family::Skew | Family::Suspend | Family::PauseStorm | Family::KillAmid => {
            processes(family, ground, rng)
        }
        Family::Pause | Family::PauseLeader => {
            let (at, lasting) = ground.time(rng, 20, 5_000);
            let target =
                if family == Family::PauseLeader { Target::Coordinator } else { ground.someone(rng) };
            vec![fault(at, lasting, FaultKind::Pause, target)]
        }
        Family::Isolate
        | Family::LeaderCut
        | Family::Halves
        | Family::OneWay
        | Family::DeadPair
        | Family::Bridge
        | Family::Ring
        | Family::Flap => cuts(family, ground, rng),
        Family::Loss | Family::Delay | Family::Duplicate | Family::Reorder => noise(family, ground, rng),
        Family::Slow
        | Family::Straggler
        | Family::LoadFailure
        | Family::EngineDeath
        | Family::Stuck
        | Family::BadOutput
        | Family::RepeatOutput => engines(family, ground, rng),
        Family::SlowDisk | Family::FullDisk | Family::Corrupt | Family::Rollback | Family::Rot => {
            disks(family, ground, rng)
        }
        Family::Storm
        | Family::OldLeader
        | Family::LastCopies
        | Family::LostVotes
        | Family::OldTerms
        | Family::HalfHeard
        | Family::Successors => patterns::draw(family, ground, rng),
    }
}

fn deaths(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (at, lasting) = ground.time(rng, 10, 6_000);
    let target = ground.someone(rng);
    let crash = FaultKind::Crash { wipe: false };
    match family {
        Family::KillLeader => vec![fault(at, lasting, crash, Target::Coordinator)],
        Family::Wipe => {
            // One at a time: who loses more disks than a quorum can spare has lost its data.
            vec![fault(at, lasting, FaultKind::Crash { wipe: true }, Target::Node(ground.node(rng)))]
        }
        Family::Restart => vec![moment(at, FaultKind::Restart, target)],
        Family::CrashLoop => {
            let machine = Target::Node(ground.node(rng));
            let (down, up) = (Span::millis(1 + rng.below(200)), Span::millis(1 + rng.below(400)));
            let times = 2 + rng.below(5);
            let one = |i: u64| fault(at + (down + up) * i, down, crash.clone(), machine.clone());
            (0..times).map(one).filter(|fault| fault.at.mean() + down < ground.until).collect()
        }
        Family::JoinStorm => {
            // Also a majority: no disk is lost.
            let all = rng.chance(0.3) || ground.nodes < 2;
            let count = if all { ground.nodes } else { 2 + rng.below(u64::from(ground.nodes) - 1) as u32 };
            vec![fault(at, lasting, crash, Target::Random(count))]
        }
        Family::Leave => vec![fault(at, lasting, FaultKind::Leave, target)],
        Family::Rejoin => {
            let lasting = Span::millis(20 + rng.below(600));
            vec![fault(at.min(ground.until - lasting), lasting, FaultKind::Leave, target)]
        }
        _ => vec![fault(at, lasting, crash, target)],
    }
}

fn cuts(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (at, lasting) = ground.time(rng, 50, 8_000);
    let mut order: Vec<u32> = (0..ground.nodes).collect();
    rng.shuffle(&mut order);
    let direction = match rng.below(3) {
        0 => Direction::In,
        1 => Direction::Out,
        _ => Direction::Both,
    };
    let from_rest = |target, direction| fault(at, lasting, FaultKind::Cut { other: None, direction }, target);
    let between = |one, other| {
        fault(at, lasting, FaultKind::Cut { other: Some(other), direction: Direction::Both }, one)
    };
    if ground.nodes < 3 {
        return vec![from_rest(Target::Node(order[0]), direction)];
    }
    match family {
        Family::LeaderCut => vec![from_rest(Target::Coordinator, direction)],
        Family::Halves => {
            let (left, right) = order.split_at(1 + rng.below(u64::from(ground.nodes) - 1) as usize);
            vec![between(several(left), several(right))]
        }
        Family::OneWay => {
            let direction = if rng.chance(0.5) { Direction::In } else { Direction::Out };
            vec![from_rest(ground.someone(rng), direction)]
        }
        Family::DeadPair => vec![between(Target::Node(order[0]), Target::Node(order[1]))],
        Family::Bridge => {
            let (left, right) = order[1..].split_at((order.len() - 1) / 2);
            if left.is_empty() {
                return vec![between(Target::Node(order[0]), Target::Node(order[1]))];
            }
            vec![between(several(left), several(right))]
        }
        Family::Ring => ring(&order, |one, other| between(Target::Node(one), Target::Node(other))),
        Family::Flap => {
            let link = Span::millis(20 + rng.below(600));
            let times = 2 + rng.below(8);
            let one = |i: u64| {
                let kind = FaultKind::Cut { other: None, direction };
                fault(at + link * (2 * i), link, kind, Target::Node(order[0]))
            };
            (0..times).map(one).filter(|fault| fault.at.mean() + link < ground.until).collect()
        }
        _ => vec![fault(at, lasting, FaultKind::Isolate, ground.someone(rng))],
    }
}

/// Each machine hears as many neighbours on a circle as make a majority with itself, and no one else. Large circles would be
/// hundreds of cuts: there the first seven stand for all.
fn ring(order: &[u32], cut: impl Fn(u32, u32) -> Fault) -> Vec<Fault> {
    let circle = &order[..order.len().min(7)];
    let n = circle.len();
    let reach = (n / 2).div_ceil(2);
    let mut faults = Vec::new();
    for i in 0..n {
        for j in i + 1..n {
            let apart = (j - i).min(n - (j - i));
            if apart > reach {
                faults.push(cut(circle[i], circle[j]));
            }
        }
    }
    faults
}

fn noise(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (at, lasting) = ground.time(rng, 50, 10_000);
    let target = if rng.chance(0.3) { Target::All } else { ground.someone(rng) };
    let rate = [0.01, 0.05, 0.2, 0.5, 0.8][rng.below(5) as usize];
    // Also so late that what was sent in one reign arrives in the next.
    let longest = if rng.chance(0.3) { 3_000 } else { 600 };
    let kind = match family {
        Family::Loss => FaultKind::Loss(Loss::of(rate)),
        Family::Duplicate => FaultKind::Duplicate(rate),
        Family::Reorder => FaultKind::Reorder(rate),
        _ => FaultKind::Delay(Draw::Uniform(Span::millis(1), Span::millis(2 + rng.below(longest)))),
    };
    vec![fault(at, lasting, kind, target)]
}

fn engines(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (at, lasting) = ground.time(rng, 100, 8_000);
    let target = ground.someone(rng);
    match family {
        Family::Slow => {
            let factor = [2.0, 5.0, 20.0, 100.0][rng.below(4) as usize];
            vec![fault(at, lasting, FaultKind::Slow(factor), target)]
        }
        Family::Straggler => {
            // As long as it takes until one or two queries begin.
            let (factor, lasting) = (10.0 + rng.below(91) as f64, Span::millis(1 + rng.below(100)));
            vec![fault(at, lasting, FaultKind::Slow(factor), target)]
        }
        Family::BadOutput => {
            let flaw = if rng.chance(0.5) { Flaw::Nan } else { Flaw::Count };
            vec![fault(at, lasting, FaultKind::BadOutput(flaw), target)]
        }
        Family::RepeatOutput => vec![fault(at, lasting, FaultKind::RepeatOutput, target)],
        Family::LoadFailure => vec![fault(at, lasting, FaultKind::LoadFailure { model: None }, target)],
        Family::Stuck => vec![moment(at, FaultKind::Stuck, target)],
        _ => vec![moment(at, FaultKind::EngineDeath, target)],
    }
}

fn disks(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (at, lasting) = ground.time(rng, 100, 8_000);
    let (node, someone) = (Target::Node(ground.node(rng)), ground.someone(rng));
    match family {
        Family::SlowDisk => {
            let longest = Span::millis([20, 150, 1_000][rng.below(3) as usize]);
            vec![fault(at, lasting, FaultKind::SlowDisk(Draw::Uniform(Span::ZERO, longest)), someone)]
        }
        Family::FullDisk => vec![fault(at, lasting, FaultKind::FullDisk, someone)],
        // One at a time, like wipes.
        Family::Corrupt => vec![fault(at, lasting, FaultKind::Corrupt, node)],
        Family::Rot => vec![moment(at, FaultKind::Rot, node)],
        _ => {
            let mut faults = vec![fault(at, lasting, FaultKind::Rollback, node.clone())];
            // What the copy does not know of makes it an old one: lives that began since.
            for _ in 0..rng.below(4) {
                let at = at + Span(rng.below(lasting.0));
                faults.push(moment(at, FaultKind::Restart, node.clone()));
            }
            faults
        }
    }
}

fn links(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (at, lasting) = ground.time(rng, 50, 8_000);
    let target = if rng.chance(0.3) { Target::All } else { ground.someone(rng) };
    let kind = match family {
        Family::SlowLink => FaultKind::SlowLink([1_000, 10_000, 100_000][rng.below(3) as usize]),
        Family::Jam => FaultKind::Jam,
        Family::Partial => {
            let shape = Shape::ALL[rng.below(Shape::ALL.len() as u64) as usize];
            return vec![fault(at, lasting, FaultKind::Partial(shape), Target::All)];
        }
        _ => {
            let rate = [0.05, 0.2, 0.5, 0.9][rng.below(4) as usize];
            let burst = rng.chance(0.7).then(|| Span::millis(1 + rng.below(1_000)));
            let bytes_min = if burst.is_none() || rng.chance(0.3) { 130 + rng.below(1_000) } else { 0 };
            FaultKind::Loss(Loss { rate, burst, bytes_min })
        }
    };
    vec![fault(at, lasting, kind, target)]
}

/// What becomes of processes that get no time, or whose clocks are wrong, or that die at the worst moment.
fn processes(family: Family, ground: Ground, rng: &mut Rng) -> Vec<Fault> {
    let (at, lasting) = ground.time(rng, 20, 5_000);
    let target = if rng.chance(0.2) { Target::Minority } else { ground.someone(rng) };
    let target = if ground.nodes < 3 { Target::Node(ground.node(rng)) } else { target };
    match family {
        Family::Starve => {
            let longest = Span::millis(2 + rng.below(3_000));
            vec![fault(at, lasting, FaultKind::Starve(Draw::Uniform(Span::millis(1), longest)), target)]
        }
        Family::Skew => {
            let factor = [0.5, 0.9, 1.1, 2.0][rng.below(4) as usize];
            vec![fault(at, lasting, FaultKind::Skew(factor), target)]
        }
        Family::PauseStorm => {
            // Over before the end, however they fall.
            let times = 2 + rng.below(4);
            let part = Span::millis(((ground.until.0 - at.0) / 1_000_000 / (2 * times)).max(2));
            let pause = fault(at, part, FaultKind::Pause, Target::Each);
            let pause = Fault { lasting: Some(Draw::Uniform(Span::millis(1), part)), ..pause };
            vec![Fault {
                repeat: Some(Repeat { every: Draw::Fixed(part), times: Some(times as u32) }),
                ..pause
            }]
        }
        Family::KillAmid => {
            let triggers = [
                Trigger::Election,
                Trigger::Candidacy,
                Trigger::Vote,
                Trigger::Reign,
                Trigger::Snapshot,
                Trigger::Seats,
            ];
            let trigger = triggers[rng.below(triggers.len() as u64) as usize];
            let target = if rng.chance(0.7) { Target::Concerned } else { Target::Coordinator };
            let crash = fault(at, lasting, FaultKind::Crash { wipe: false }, target);
            vec![Fault { trigger: Some(trigger), ..crash }]
        }
        _ => vec![fault(at, lasting, FaultKind::Suspend, target)],
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::FAMILIES;
    use super::*;

    #[test]
    fn every_family_stands_in_the_table_once_and_draws_what_the_table_says() {
        let ground = Ground {
            nodes: 7,
            voters: 5,
            until: Span::secs(20),
            stays_from: Span::ZERO,
            hedges: true,
            observers: 5,
        };
        for (position, (family, kind, _)) in FAMILIES.iter().enumerate() {
            assert_eq!(*family as usize, position, "{family:?}: the table is in the order of the families");
            let faults = (0..20).flat_map(|seed| draw(*family, ground, &mut Rng::new(seed)));
            let others: &[&str] = match family {
                Family::Rollback => &["restart"],
                Family::OldLeader | Family::HalfHeard => &["crash"],
                Family::LastCopies => &["isolate"],
                Family::LostVotes => &["isolate", "slow_disk"],
                Family::Successors => &["slow_disk"],
                Family::OldTerms => &["crash", "cut", "slow_disk"],
                _ => &[],
            };
            for fault in faults {
                let name = fault.kind.name();
                assert!(name == *kind || others.contains(&name), "{family:?} draws {fault:?}");
                let ends = fault.at.mean() + fault.lasting.map_or(Span::ZERO, Draw::mean);
                assert!(ends <= ground.until, "{family:?} goes on after the end: {fault:?}");
            }
        }
    }
}
