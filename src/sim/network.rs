//! The network: which messages arrive, how often, and when; first by the plan, then by the faults in force.

mod rule;

use std::collections::BTreeMap;

pub(super) use self::rule::{Harm, Machines, Scope};
use self::rule::{Rule, pass};
use super::sampler::Sampler;
use crate::base::{Rng, Span, Time};
use crate::history::Machine;
use crate::scenario::NetworkPlan;

/// How many further latencies a message that is held back waits at most.
const HELD_BACK_MAX: f64 = 10.0;
/// How long it takes to find out that a source has nothing or cannot be reached.
pub(super) const TRIES: Span = Span::millis(50);
/// How long real nodes wait for a piece of 256 KiB before they give a transfer up.
const STALL: Span = Span::secs(5);
/// The bytes per second from which on they do not.
const SLOWEST: u64 = (256 << 10) / 5;
/// How many messages a jam holds at most; what comes on top is lost.
const JAM_MAX: u32 = 100_000;

/// The moments at which the copies of one message arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrivals {
    /// The message, unless it is lost.
    pub(super) first: Option<Time>,
    /// Its double, if there is one.
    pub(super) second: Option<Time>,
}

impl Arrivals {
    fn map(self, later: impl Fn(Time) -> Time) -> Arrivals {
        Arrivals { first: self.first.map(&later), second: self.second.map(&later) }
    }
}

/// The network of one run.
#[derive(Debug)]
pub(super) struct Network {
    plan: NetworkPlan,
    latency: Sampler,
    delays: Rng,
    fate: Rng,
    harm: Rng,
    rules: Vec<Rule>,
    /// Per machine: when what it has sent so far will be out. Empty without a bandwidth.
    out_at: Vec<Time>,
    /// Faults that took effect for the first time and were not asked for yet.
    pub(super) took_effect: Vec<u32>,
}

impl Network {
    /// The network of `machines` machines, drawing from forks of `rng`.
    pub(super) fn new(plan: &NetworkPlan, machines: usize, rng: &Rng) -> Network {
        Network {
            plan: plan.clone(),
            latency: Sampler::new(plan.latency),
            delays: rng.fork("latency"),
            fate: rng.fork("fate"),
            harm: rng.fork("harm"),
            rules: Vec::new(),
            out_at: if plan.bandwidth.is_some() { vec![Time::ZERO; machines] } else { Vec::new() },
            took_effect: Vec::new(),
        }
    }

    /// Whether the size of messages matters.
    pub(super) fn is_metered(&self) -> bool {
        let by_size = |rule: &Rule| match rule.harm {
            Harm::Slow(_) => true,
            Harm::Loss(loss) => loss.bytes_min > 0,
            _ => false,
        };
        self.plan.bandwidth.is_some() || self.rules.iter().any(by_size)
    }

    /// Puts a fault in force.
    pub(super) fn harm(&mut self, fault: u32, scope: Scope, harm: Harm) {
        self.rules.push(Rule {
            fault,
            scope,
            harm,
            took_effect: false,
            bursts: BTreeMap::new(),
            wires: BTreeMap::new(),
            held: 0,
        });
    }

    /// Ends a fault.
    pub(super) fn heal(&mut self, fault: u32) {
        self.rules.retain(|rule| rule.fault != fault);
    }

    /// One latency for a conversation that is not between nodes, from the caller's stream.
    pub(super) fn latency(&self, rng: &mut Rng) -> Span {
        self.latency.sample(rng)
    }

    /// Whether a client can talk with `machine` now.
    pub(super) fn admits_clients(&self, machine: Machine) -> bool {
        !self.rules.iter().any(|rule| matches!(rule.harm, Harm::Cut) && rule.scope.shuts_out(machine))
    }

    /// What becomes of a message of `bytes` bytes (0 when not metered) that `from` sends to `to` at `now`.
    pub(super) fn send(&mut self, from: Machine, to: Machine, bytes: u64, now: Time) -> Arrivals {
        let Some(left) = self.leave(from, bytes, now) else { return Arrivals::default() };
        let NetworkPlan { loss, duplicate, reorder, .. } = self.plan;
        if loss > 0.0 && self.fate.chance(loss) {
            return Arrivals::default();
        }
        let mut first = left + self.latency.sample(&mut self.delays);
        if reorder > 0.0 && self.fate.chance(reorder) {
            first += held_back(&self.latency, &mut self.fate);
        }
        let second = (duplicate > 0.0 && self.fate.chance(duplicate))
            .then(|| left + self.latency.sample(&mut self.delays));
        let arrivals = Arrivals { first: Some(first), second };
        if self.rules.is_empty() { arrivals } else { self.suffer((from, to), bytes, left, arrivals) }
    }

    /// When `bytes` bytes that `from` sends to `to` at `now` over a connection are there, or how long it takes to find out that they
    /// will not come. Single packets that are lost are sent again and are not counted. `usual` is the bandwidth where none is planned.
    pub(super) fn transfer(
        &mut self,
        from: Machine,
        to: Machine,
        bytes: u64,
        usual: u64,
        now: Time,
    ) -> Result<Time, Span> {
        if self.is_cut(from, to, now) || self.is_cut(to, from, now) {
            return Err(TRIES);
        }
        let left = match self.plan.bandwidth {
            Some(_) => self.leave(from, bytes, now).ok_or(TRIES)?,
            None => now + Span((u128::from(bytes) * 1_000_000_000 / u128::from(usual.max(1))) as u64),
        };
        let mut at = left + self.latency.sample(&mut self.delays);
        for rule in &mut self.rules {
            if let Harm::Slow(bandwidth) = rule.harm
                && rule.scope.concerns(from, to, now)
            {
                if bandwidth < SLOWEST {
                    return Err(STALL);
                }
                at += rule.slows(bandwidth, (from, to), bytes, left).ok_or(TRIES)?;
            }
        }
        Ok(at)
    }

    /// Whether a fault in force lets nothing through from `from` to `to`. For those who watch.
    pub(super) fn is_cut(&self, from: Machine, to: Machine, now: Time) -> bool {
        let cuts = |rule: &Rule| matches!(rule.harm, Harm::Cut) && rule.scope.concerns(from, to, now);
        self.rules.iter().any(cuts)
    }

    /// When the message is out of its sender, if its queue has room.
    fn leave(&mut self, from: Machine, bytes: u64, now: Time) -> Option<Time> {
        let Some(bandwidth) = self.plan.bandwidth else { return Some(now) };
        pass(&mut self.out_at[from as usize], bandwidth, bytes, now)
    }

    /// What the faults in force make of it.
    fn suffer(
        &mut self,
        (from, to): (Machine, Machine),
        bytes: u64,
        left: Time,
        mut arrivals: Arrivals,
    ) -> Arrivals {
        for rule in self.rules.iter_mut().filter(|rule| rule.scope.concerns(from, to, left)) {
            let hit = match rule.harm {
                Harm::Cut => {
                    arrivals = Arrivals::default();
                    true
                }
                Harm::Loss(loss) => {
                    let hit = rule.loses(loss, (from, to), bytes, left, &mut self.harm);
                    if hit {
                        arrivals = Arrivals::default();
                    }
                    hit
                }
                Harm::Slow(bandwidth) => {
                    let hit = arrivals.first.is_some();
                    arrivals = match rule.slows(bandwidth, (from, to), bytes, left) {
                        Some(by) => arrivals.map(|at| at + by),
                        None => Arrivals::default(),
                    };
                    hit
                }
                Harm::Jam(until) => {
                    let hit = arrivals.first.is_some_and(|at| at < until);
                    if hit {
                        rule.held += 1;
                        arrivals = arrivals.map(|at| at.max(until));
                    }
                    if rule.held > JAM_MAX {
                        arrivals = Arrivals::default();
                    }
                    hit
                }
                Harm::Delay(by) => {
                    let by = by.sample(&mut self.harm);
                    arrivals = arrivals.map(|at| at + by);
                    arrivals.first.is_some()
                }
                Harm::Duplicate(p) => {
                    let hit = self.harm.chance(p) && arrivals.first.is_some();
                    if hit {
                        arrivals.second = Some(left + self.latency.sample(&mut self.harm));
                    }
                    hit
                }
                Harm::Reorder(p) => {
                    let hit = self.harm.chance(p) && arrivals.first.is_some();
                    if hit {
                        let by = held_back(&self.latency, &mut self.harm);
                        arrivals.first = arrivals.first.map(|at| at + by);
                    }
                    hit
                }
            };
            if hit && !rule.took_effect {
                rule.took_effect = true;
                self.took_effect.push(rule.fault);
            }
        }
        arrivals
    }
}

/// By how much a message is held back: up to ten further latencies.
fn held_back(latency: &Sampler, rng: &mut Rng) -> Span {
    let factor = rng.unit() * HELD_BACK_MAX;
    latency.sample(rng).scaled(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Draw;
    use crate::scenario::{Direction, Loss};

    fn network(loss: f64, duplicate: f64, reorder: f64) -> Network {
        let plan =
            NetworkPlan { latency: Draw::Fixed(Span::millis(1)), loss, duplicate, reorder, bandwidth: None };
        Network::new(&plan, 10, &Rng::new(5))
    }

    fn group(members: &[Machine]) -> Machines {
        Machines::of(10, members)
    }

    #[test]
    fn loss_and_doubling_have_the_rates_of_the_plan() {
        let mut network = network(0.2, 0.1, 0.0);
        let n = 100_000;
        let arrivals: Vec<Arrivals> = (0..n).map(|_| network.send(0, 1, 0, Time::ZERO)).collect();
        let share = |count: usize| count as f64 / f64::from(n);
        let lost = share(arrivals.iter().filter(|a| a.first.is_none()).count());
        let doubled = share(arrivals.iter().filter(|a| a.second.is_some()).count());
        assert!((lost - 0.2).abs() < 0.005, "{lost} lost");
        assert!((doubled - 0.8 * 0.1).abs() < 0.004, "{doubled} doubled");
    }

    #[test]
    fn a_message_that_is_held_back_is_overtaken_but_not_for_long() {
        let mut network = network(0.0, 0.0, 0.5);
        let times: Vec<u64> =
            (0..1000).map(|_| network.send(0, 1, 0, Time::ZERO).first.expect("nothing is lost").0).collect();
        let late = times.iter().filter(|&&at| at > 1_000_000).count();
        assert!((400..600).contains(&late), "{late} of 1000");
        assert!(times.iter().all(|&at| at <= 11_000_000));
    }

    #[test]
    fn a_one_way_cut_closes_one_direction() {
        let mut network = network(0.0, 0.0, 0.0);
        let scope =
            Scope::Between { one: group(&[2]), other: Some(group(&[3, 4])), direction: Direction::Out };
        network.harm(7, scope, Harm::Cut);
        let passes = |network: &mut Network, from, to| network.send(from, to, 0, Time::ZERO).first.is_some();
        assert!(passes(&mut network, 3, 2) && passes(&mut network, 2, 5) && passes(&mut network, 4, 3));
        assert!(network.took_effect.is_empty());
        assert!(!passes(&mut network, 2, 3) && !passes(&mut network, 2, 4));
        assert_eq!(network.took_effect, [7]);
        network.heal(7);
        assert!(passes(&mut network, 2, 3));
    }

    #[test]
    fn a_group_cut_off_from_everyone_else_still_talks_within_itself_but_isolated_ones_do_not() {
        let mut network = network(0.0, 0.0, 0.0);
        let scope = Scope::Between { one: group(&[1, 2]), other: None, direction: Direction::Both };
        network.harm(0, scope, Harm::Cut);
        let passes = |network: &mut Network, from, to| network.send(from, to, 0, Time::ZERO).first.is_some();
        assert!(passes(&mut network, 1, 2) && passes(&mut network, 5, 6));
        assert!(!passes(&mut network, 1, 5) && !passes(&mut network, 5, 2));
        assert!(!network.admits_clients(1) && network.admits_clients(5));
        network.harm(1, Scope::Touching(group(&[1, 2])), Harm::Cut);
        assert!(!passes(&mut network, 1, 2) && passes(&mut network, 5, 6));
    }

    #[test]
    fn delays_and_losses_of_faults_touch_only_their_targets() {
        let mut network = network(0.0, 0.0, 0.0);
        network.harm(0, Scope::Touching(group(&[1])), Harm::Delay(Draw::Fixed(Span::millis(9))));
        network.harm(1, Scope::Touching(group(&[2])), Harm::Loss(Loss::of(0.5)));
        assert_eq!(network.send(1, 3, 0, Time::ZERO).first, Some(Time(10_000_000)));
        assert_eq!(network.send(4, 3, 0, Time::ZERO).first, Some(Time(1_000_000)));
        let lost = (0..1000).filter(|_| network.send(3, 2, 0, Time::ZERO).first.is_none()).count();
        assert!((420..580).contains(&lost), "{lost} of 1000");
    }

    #[test]
    fn large_messages_wait_for_the_wire_and_small_ones_do_not() {
        let plan = NetworkPlan {
            latency: Draw::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            bandwidth: Some(1_000_000),
        };
        let mut network = Network::new(&plan, 2, &Rng::new(5));
        let mut send = |bytes| network.send(0, 1, bytes, Time::ZERO).first;
        assert_eq!(send(500_000), Some(Time::ZERO + Span::millis(500)));
        assert_eq!(send(500_000), Some(Time::ZERO + Span::secs(1)));
        assert_eq!(send(1_000), Some(Time::ZERO + Span::millis(1)));
        assert_eq!(send(2_000_000), Some(Time::ZERO + Span::millis(3001)));
        assert_eq!(send(2_000_000), None, "more than two seconds wait already");
    }

    /// A network in which one machine suffers from `harm`.
    fn harmed(harm: Harm) -> Network {
        let mut network = network(0.0, 0.0, 0.0);
        network.harm(0, Scope::Touching(group(&[1])), harm);
        network
    }

    fn ms(ms: u64) -> Time {
        Time::ZERO + Span::millis(ms)
    }

    #[test]
    fn losses_in_bursts_have_the_rate_and_the_length_that_were_asked_for() {
        let burst = Some(Span::millis(200));
        let mut network = harmed(Harm::Loss(Loss { rate: 0.1, burst, bytes_min: 0 }));
        let lost: Vec<bool> = (0..400_000).map(|at| network.send(1, 2, 0, ms(at)).first.is_none()).collect();
        let share = lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let mean = share * lost.len() as f64 / bursts as f64;
        assert!((0.08..0.12).contains(&share), "{share} lost");
        assert!((160.0..240.0).contains(&mean), "bursts of {mean} ms");
        assert!(network.send(3, 2, 0, ms(0)).first.is_some(), "others are not concerned");
    }

    #[test]
    fn large_messages_can_be_lost_while_small_ones_pass() {
        let mut network = harmed(Harm::Loss(Loss { rate: 1.0, burst: None, bytes_min: 1_000 }));
        assert!(network.is_metered());
        assert!(network.send(1, 2, 999, ms(0)).first.is_some());
        assert!(network.took_effect.is_empty());
        assert!(network.send(2, 1, 1_000, ms(0)).first.is_none());
        assert_eq!(network.took_effect, [0]);
    }

    #[test]
    fn a_slow_link_delays_what_is_large_in_both_directions() {
        let mut network = harmed(Harm::Slow(1_000_000));
        assert_eq!(network.send(1, 2, 500_000, ms(0)).first, Some(ms(501)));
        assert_eq!(network.send(3, 1, 500_000, ms(0)).first, Some(ms(1_001)), "it shares the wire");
        assert_eq!(network.send(1, 2, 1_000, ms(0)).first, Some(ms(2)), "small ones do not wait");
        assert_eq!(network.send(2, 3, 500_000, ms(0)).first, Some(ms(1)));
    }

    #[test]
    fn a_jam_holds_what_comes_and_lets_it_go_at_once() {
        let mut network = harmed(Harm::Jam(ms(100)));
        let arrivals: Vec<Option<Time>> =
            [0, 50, 98, 150].map(|at| network.send(2, 1, 0, ms(at)).first).to_vec();
        assert_eq!(arrivals, [Some(ms(100)), Some(ms(100)), Some(ms(100)), Some(ms(151))]);
        assert_eq!(network.send(2, 3, 0, ms(0)).first, Some(ms(1)));
        let lost = (0..JAM_MAX).filter(|_| network.send(1, 2, 0, ms(0)).first.is_none()).count();
        assert_eq!(lost, 3, "a jam holds a limited number");
    }
}
