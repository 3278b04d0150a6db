//! Pieces of files, named by what they hold.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a chunk: the SHA-256 digest of its bytes. Whoever holds bytes of that digest holds the chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId(pub [u8; 32]);

impl ChunkId {
    /// The name that its hexadecimal form means; `None` when `text` is not 64 such digits.
    pub fn parse(text: &str) -> Option<ChunkId> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |of: u8| char::from(of).to_digit(16).filter(|_| !of.is_ascii_uppercase());
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(ChunkId(bytes))
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

/// A chunk and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Chunk {
    /// Its name.
    pub id: ChunkId,
    /// How many bytes it has: at least 1.
    pub bytes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let id = ChunkId(std::array::from_fn(|place| place as u8 * 7));
        assert_eq!(ChunkId::parse(&id.to_string()), Some(id));
        for wrong in ["", "00", &"0".repeat(63), &"g".repeat(64), &"A".repeat(64), &"ä".repeat(32)] {
            assert_eq!(ChunkId::parse(wrong), None, "{wrong}");
        }
    }
}
