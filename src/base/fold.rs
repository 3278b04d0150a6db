//! Hashing with the same result on every machine: of byte strings, of values, of whole runs.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// A [`Hasher`] whose result depends on nothing but what is fed to it: integers go in little-endian, lengths and
/// enum tags as 64 bits, whatever the machine.
///
/// It is a multiply-and-fold mixer (the idea of wyhash): two 64-bit lanes of the product of state and input. It
/// is made for traces and maps of trusted data, not against an adversary.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    high: u64,
    low: u64,
}

const FACTOR_HIGH: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR_LOW: u64 = 0xd1b5_4a32_d192_ed03;

impl Fold {
    /// A hasher that starts from `seed`.
    pub const fn new(seed: u64) -> Fold {
        Fold { high: seed ^ FACTOR_LOW, low: seed.wrapping_add(FACTOR_HIGH) }
    }

    /// The digest of one value.
    pub fn of(value: &impl Hash) -> u128 {
        let mut fold = Fold::new(0);
        value.hash(&mut fold);
        fold.wide()
    }

    /// The whole state after a last mixing: 128 bits.
    pub fn wide(&self) -> u128 {
        let a = mix(self.high ^ FACTOR_HIGH, self.low ^ FACTOR_LOW);
        let b = mix(self.low.wrapping_add(a), FACTOR_HIGH);
        u128::from(a) << 64 | u128::from(b)
    }
}

impl Default for Fold {
    fn default() -> Fold {
        Fold::new(0)
    }
}

const fn mix(a: u64, b: u64) -> u64 {
    let wide = (a as u128).wrapping_mul(b as u128);
    (wide >> 64) as u64 ^ wide as u64
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        mix(self.high ^ FACTOR_HIGH, self.low ^ FACTOR_LOW)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(xxh3_64_with_seed(bytes, bytes.len() as u64));
    }

    fn write_u64(&mut self, word: u64) {
        let high = mix(self.high ^ word, FACTOR_HIGH);
        // The second lane sees the word from another side, so that a word that sends one product to zero does not
        // erase the whole state.
        self.low = mix(self.low.wrapping_add(word), FACTOR_LOW) ^ self.high;
        self.high = high;
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
    fn write_u128(&mut self, n: u128) {
        self.write_u64(n as u64);
        self.write_u64((n >> 64) as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_i8(&mut self, n: i8) {
        self.write_u64(n as u64);
    }
    fn write_i16(&mut self, n: i16) {
        self.write_u64(n as u64);
    }
    fn write_i32(&mut self, n: i32) {
        self.write_u64(n as u64);
    }
    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}

/// The 128-bit digest of a byte string under a seed (XXH3).
pub fn digest(seed: u64, bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_value_is_frozen() {
        assert_eq!(
            Fold::of(&(1_u8, 2_u64, "three", [4_u32, 5])),
            320_154_462_925_831_892_090_085_725_063_328_825_104
        );
        assert_eq!(digest(7, b"idunno"), 332_310_391_694_643_534_718_279_958_548_169_615_964);
    }

    #[test]
    fn every_bit_of_the_input_reaches_the_digest() {
        let base = Fold::of(&0_u64);
        for bit in 0..64 {
            assert_ne!(Fold::of(&(1_u64 << bit)), base, "bit {bit}");
        }
        assert_ne!(Fold::of(&(0_u64, 1_u64)), Fold::of(&(1_u64, 0_u64)));
    }
}
