//! Partial connectivity: patterns of links that are dead among some machines while all other links live.

use super::plan::Shape;
use crate::base::{Rng, Span, Time};

/// A machine, by its position in the plan.
type Machine = u32;

/// The dead links of one fault.
#[derive(Clone, Debug)]
pub struct Links {
    shape: Shape,
    /// The machines in the order in which the shape takes them, and how many there are.
    place: Vec<Option<u32>>,
    count: u32,
    /// For a swizzle: from when to when each of them, by its place, hears nobody.
    silent: Vec<(Time, Time)>,
}

impl Links {
    /// A pattern among `machines`, of `n` in all, from `now` on and for so long; who is where is drawn.
    pub fn new(shape: Shape, n: usize, machines: &[Machine], now: Time, lasting: Span, rng: &Rng) -> Links {
        let mut order = machines.to_vec();
        rng.fork("order").shuffle(&mut order);
        let mut place = vec![None; n];
        for (rank, &machine) in (0..).zip(&order) {
            place[machine as usize] = Some(rank);
        }
        let mut back: Vec<u64> = (0..order.len() as u64).collect();
        rng.fork("back").shuffle(&mut back);
        // They fall silent one by one in the first half, and come back one by one, in another order, in the second.
        let step = Span(lasting.0 / (2 * order.len().max(1) as u64));
        let half = now + step * order.len() as u64;
        let silent = (0..).zip(&back).map(|(rank, back)| (now + step * rank, half + step * (back + 1)));
        Links { shape, place, count: order.len() as u32, silent: silent.collect() }
    }

    /// Whether the link between two machines is dead at `now`.
    pub fn is_dead(&self, one: Machine, other: Machine, now: Time) -> bool {
        let place = |machine: Machine| self.place.get(machine as usize).copied().flatten();
        if self.shape == Shape::Swizzle {
            let silent = |rank: u32| {
                let (from, to) = self.silent[rank as usize];
                from <= now && now < to
            };
            return place(one).is_some_and(silent) || place(other).is_some_and(silent);
        }
        let (Some(one), Some(other)) = (place(one), place(other)) else { return false };
        let apart = one.abs_diff(other);
        match self.shape {
            Shape::Chain => apart > 1,
            Shape::Star => one != 0 && other != 0,
            // Each hears so many on both sides that it hears a majority with itself.
            Shape::Ring => apart.min(self.count - apart) > (self.count / 2).div_ceil(2),
            Shape::Bridge => {
                let left = |rank: u32| rank <= (self.count - 1) / 2;
                one != 0 && other != 0 && left(one) != left(other)
            }
            Shape::Swizzle => unreachable!("it was answered above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `n` machines each hears, itself among them, in order of size.
    fn heard(shape: Shape, n: u32) -> Vec<usize> {
        let machines: Vec<Machine> = (0..n).collect();
        let links = Links::new(shape, n as usize, &machines, Time::ZERO, Span::secs(1), &Rng::new(7));
        let hears =
            |one: &Machine| machines.iter().filter(|other| !links.is_dead(*one, **other, Time::ZERO)).count();
        let mut counts: Vec<usize> = machines.iter().map(hears).collect();
        counts.sort_unstable();
        counts
    }

    #[test]
    fn shapes_leave_the_links_that_they_are_named_after() {
        assert_eq!(heard(Shape::Chain, 5), [2, 2, 3, 3, 3]);
        assert_eq!(heard(Shape::Bridge, 5), [3, 3, 3, 3, 5]);
        assert_eq!(heard(Shape::Ring, 5), [3; 5]);
        assert_eq!(heard(Shape::Ring, 7), [5; 7]);
        // All but one, itself among them, hear the first one and nobody else.
        let star = heard(Shape::Star, 5);
        assert_eq!(star[4], 5);
        assert!(star[..4].iter().all(|heard| *heard < 3), "{star:?}");
    }

    #[test]
    fn a_swizzle_silences_one_after_the_other_and_lets_them_back_in_another_order() {
        let machines: Vec<Machine> = (1..6).collect();
        let links = Links::new(Shape::Swizzle, 8, &machines, Time::ZERO, Span::secs(1), &Rng::new(7));
        let silent = |ms: u64| -> Vec<Machine> {
            let at = Time::ZERO + Span::millis(ms);
            machines.iter().copied().filter(|machine| links.is_dead(*machine, 7, at)).collect()
        };
        let counts: Vec<usize> = (0..20).map(|step| silent(step * 50 + 25).len()).collect();
        assert_eq!(counts, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1]);
        assert!(!links.is_dead(0, 7, Time::ZERO + Span::millis(450)), "others hear each other");
    }
}
