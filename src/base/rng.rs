//! Seeded randomness: streams forked by label, and samplers whose results are the same on every machine.

use rand_core::{Rng as _, SeedableRng};
use rand_pcg::Pcg64;

use super::fold::digest;

/// One stream of random numbers (PCG XSL RR 128/64).
///
/// Streams are forked by label, and a fork depends on the seed and the labels alone, never on how much was drawn
/// before: adding a draw in one place shifts nothing anywhere else. The samplers use the `libm` crate, because the
/// standard library's `exp`, `ln` and `cos` differ between platforms.
#[derive(Clone, Debug)]
pub struct Rng {
    key: u128,
    stream: Pcg64,
}

impl Rng {
    /// The root stream of a seed.
    pub fn new(seed: u64) -> Rng {
        Rng::from_key(digest(seed, b"idunno"))
    }

    fn from_key(key: u128) -> Rng {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&key.to_le_bytes());
        seed[16..].copy_from_slice(&digest(1, &key.to_le_bytes()).to_le_bytes());
        Rng { key, stream: Pcg64::from_seed(seed) }
    }

    /// An independent stream named `label`.
    #[must_use]
    pub fn fork(&self, label: &str) -> Rng {
        self.fork_bytes(0, label.as_bytes())
    }

    /// An independent stream named by a number: the node's, the job's, the fault's.
    #[must_use]
    pub fn fork_number(&self, number: u64) -> Rng {
        self.fork_bytes(1, &number.to_le_bytes())
    }

    fn fork_bytes(&self, kind: u64, label: &[u8]) -> Rng {
        let key = self.key ^ digest(kind, label);
        Rng::from_key(digest(2, &key.to_le_bytes()))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A whole number in `0..bound`; 0 when `bound` is 0. Without modulo bias (Lemire's multiplication).
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        loop {
            let wide = u128::from(self.bits()) * u128::from(bound);
            let low = wide as u64;
            // Rejecting below 2^64 mod bound makes every result equally likely.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// True with probability `p`. Draws even when the answer is certain, so that a probability of zero shifts nothing.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A standard normal number (Box and Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// A number from the exponential distribution with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Brings `items` into a random order, each equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_frozen() {
        let mut rng = Rng::new(42).fork("network").fork_number(7);
        assert_eq!(
            [rng.bits(), rng.bits(), rng.bits()],
            [16_597_307_404_088_841_200, 11_088_665_294_534_209_799, 10_904_696_325_075_866_278]
        );
        assert_eq!(
            [rng.normal(), rng.exponential(), rng.unit()].map(f64::to_bits),
            [13_827_068_728_612_319_899, 4_602_075_909_789_736_800, 4_605_987_475_034_957_970]
        );
    }

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn_before() {
        let mut drawn = Rng::new(1);
        drawn.bits();
        assert_eq!(drawn.fork("a").bits(), Rng::new(1).fork("a").bits());
        assert_ne!(Rng::new(1).fork("a").bits(), Rng::new(1).fork("b").bits());
    }

    #[test]
    fn samples_have_the_moments_of_their_distributions() {
        let mut rng = Rng::new(3);
        let n = 200_000;
        let mean = |f: &mut dyn FnMut() -> f64| (0..n).map(|_| f()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || rng.exponential()) - 1.0).abs() < 0.02);
        assert!(mean(&mut || rng.normal()).abs() < 0.02);
        assert!((mean(&mut || rng.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean(&mut || rng.below(10) as f64) - 4.5).abs() < 0.05);
    }
}
