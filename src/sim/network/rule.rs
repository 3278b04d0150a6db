//! Rules: what a fault in force does to the messages between some machines.

use std::collections::BTreeMap;

use crate::base::{Draw, Rng, Span, Time};
use crate::history::Machine;
use crate::scenario::{Direction, Links, Loss};

/// Messages up to this size leave at once, however much a machine has to send: a sender's queue is fair to small flows.
const SMALL_BYTES: u64 = 1024;
/// What a machine's send queue holds at most, as the time that it takes to send; what comes on top is lost.
const BACKLOG_MAX: Span = Span::secs(2);

/// A set of machines.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct Machines {
    words: Box<[u64]>,
}

impl Machines {
    /// The set of `members` among `n` machines.
    pub(in crate::sim) fn of(n: usize, members: &[Machine]) -> Machines {
        let mut words = vec![0; n.div_ceil(64)].into_boxed_slice();
        for &machine in members {
            words[machine as usize / 64] |= 1 << (machine % 64);
        }
        Machines { words }
    }

    /// Whether `machine` is in it.
    pub(in crate::sim) fn has(&self, machine: Machine) -> bool {
        self.words[machine as usize / 64] >> (machine % 64) & 1 == 1
    }
}

/// What a network fault does to the messages that it concerns.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) enum Harm {
    /// They are lost.
    Cut,
    /// They are lost, some of them.
    Loss(Loss),
    /// They share so many bytes per second with all else that one of the machines sends and receives.
    Slow(u64),
    /// They arrive at this moment at the earliest.
    Jam(Time),
    /// They take this much longer.
    Delay(Draw),
    /// They arrive twice with this probability.
    Duplicate(f64),
    /// They are held back with this probability.
    Reorder(f64),
}

/// Which messages a network fault concerns.
#[derive(Clone, Debug)]
pub(in crate::sim) enum Scope {
    /// Whatever one of these machines sends or receives.
    Touching(Machines),
    /// What passes between two groups in one or both directions.
    Between {
        /// The target.
        one: Machines,
        /// The other side; `None` is everyone who is not in `one`.
        other: Option<Machines>,
        /// Which direction, as seen from `one`.
        direction: Direction,
    },
    /// What would pass over links that are dead.
    Over(Links),
}

impl Scope {
    pub(super) fn concerns(&self, from: Machine, to: Machine, now: Time) -> bool {
        match self {
            Scope::Over(links) => links.is_dead(from, to, now),
            Scope::Touching(machines) => machines.has(from) || machines.has(to),
            Scope::Between { one, other, direction } => {
                let opposite = |m| other.as_ref().map_or(!one.has(m), |other| other.has(m));
                let out = one.has(from) && opposite(to);
                let into = one.has(to) && opposite(from);
                match direction {
                    Direction::Both => out || into,
                    Direction::In => into,
                    Direction::Out => out,
                }
            }
        }
    }

    /// Whether a client outside of all machines is kept from talking with `machine`, both ways counted as one.
    pub(super) fn shuts_out(&self, machine: Machine) -> bool {
        match self {
            Scope::Touching(machines) => machines.has(machine),
            Scope::Between { one, other: None, .. } => one.has(machine),
            Scope::Between { other: Some(_), .. } | Scope::Over(_) => false,
        }
    }
}

/// A network fault in force.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) fault: u32,
    pub(super) scope: Scope,
    pub(super) harm: Harm,
    pub(super) took_effect: bool,
    /// For losses in bursts: whether each machine's connection is bad, and until when it stays as it is.
    pub(super) bursts: BTreeMap<Machine, (bool, Time)>,
    /// For slow links: when what each machine has sent and received so far will have passed.
    pub(super) wires: BTreeMap<Machine, Time>,
    /// For jams: how many messages are held.
    pub(super) held: u32,
}

impl Rule {
    /// The machines at which the rule hits a message that it concerns.
    fn ends(&self, from: Machine, to: Machine) -> impl Iterator<Item = Machine> + use<> {
        let hit =
            |machine: &Machine| matches!(&self.scope, Scope::Touching(machines) if machines.has(*machine));
        let ends = [Some(from).filter(hit), Some(to).filter(hit)];
        ends.into_iter().flatten()
    }

    /// Whether a message of `bytes` bytes is lost by `loss`.
    pub(super) fn loses(
        &mut self,
        loss: Loss,
        (from, to): (Machine, Machine),
        bytes: u64,
        now: Time,
        rng: &mut Rng,
    ) -> bool {
        if bytes < loss.bytes_min {
            return false;
        }
        let Some(burst) = loss.burst.filter(|_| 0.0 < loss.rate && loss.rate < 1.0) else {
            return rng.chance(loss.rate);
        };
        let good = burst.scaled((1.0 - loss.rate) / loss.rate);
        let mut lost = false;
        for machine in self.ends(from, to) {
            // A connection that nobody has used is good or bad as any other would be.
            let (bad, until) = self.bursts.entry(machine).or_insert_with(|| (!rng.chance(loss.rate), now));
            while *until <= now {
                *bad = !*bad;
                *until = *until + if *bad { burst } else { good }.scaled(rng.exponential()) + Span(1);
            }
            lost |= *bad;
        }
        lost
    }

    /// How much longer a message of `bytes` bytes that leaves at `left` takes over slow links; nothing when it is lost.
    pub(super) fn slows(
        &mut self,
        bandwidth: u64,
        (from, to): (Machine, Machine),
        bytes: u64,
        left: Time,
    ) -> Option<Span> {
        let mut through = left;
        for machine in self.ends(from, to) {
            through = pass(self.wires.entry(machine).or_default(), bandwidth, bytes, through)?;
        }
        Some(through.since(left))
    }
}

/// When a message of `bytes` bytes that comes at `now` is through a wire that is busy until `busy`, if there is room for it.
pub(super) fn pass(busy: &mut Time, bandwidth: u64, bytes: u64, now: Time) -> Option<Time> {
    let takes = Span((u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth.max(1))) as u64);
    let begins = now.max(*busy);
    if bytes <= SMALL_BYTES {
        *busy = begins + takes;
        return Some(now + takes);
    }
    if begins.since(now) > BACKLOG_MAX {
        return None;
    }
    *busy = begins + takes;
    Some(*busy)
}
