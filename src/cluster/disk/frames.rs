//! Frames in a file: a mark, a length, a checksum, and the bytes that they are about.

use xxhash_rust::xxh3::Xxh3;

/// What every frame begins with, so that good frames can be found after a bad one.
const MARK: [u8; 4] = [0x1d, 0xa9, 0x7e, 0xc3];
/// Mark, length (32 bits) and checksum (64 bits), little-endian.
pub(in super::super) const HEAD: usize = 16;
/// The most bytes in one frame.
pub(in super::super) const BYTES_MAX: usize = u32::MAX as usize;

/// Something other than a torn end is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Damaged {
    /// Where the bad frame begins.
    pub(in super::super) at: usize,
    /// Where the first good one after it begins.
    pub(in super::super) good: usize,
}

/// Adds a frame of `bytes` to `file`. The checksum depends on `seed` as well: files of another node are not taken for one's own.
pub(in super::super) fn add(file: &mut Vec<u8>, seed: u64, bytes: &[u8]) {
    assert!(bytes.len() <= BYTES_MAX, "the caller divides what is too long for a frame");
    let length = (bytes.len() as u32).to_le_bytes();
    file.extend_from_slice(&MARK);
    file.extend_from_slice(&length);
    file.extend_from_slice(&checksum(seed, length, bytes).to_le_bytes());
    file.extend_from_slice(bytes);
}

/// The bytes of every frame in order, and where the last one ends: what follows is a torn tail.
pub(in super::super) fn read(file: &[u8], seed: u64) -> Result<(Vec<&[u8]>, usize), Damaged> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(bytes) = frame(file, seed, at) {
        found.push(bytes);
        at += HEAD + bytes.len();
    }
    let later = file.windows(MARK.len()).enumerate().skip(at + 1).filter(|(_, window)| *window == MARK);
    match later.map(|(place, _)| place).find(|&place| frame(file, seed, place).is_some()) {
        Some(good) => Err(Damaged { at, good }),
        None => Ok((found, at)),
    }
}

/// How many bytes follow the head that `file` begins with, if it begins with one.
pub(in super::super) fn length(file: &[u8]) -> Option<usize> {
    let length = file.get(..HEAD)?.strip_prefix(&MARK)?.first_chunk()?;
    Some(u32::from_le_bytes(*length) as usize)
}

/// The bytes of the frame at `at`, if a good one is there.
fn frame(file: &[u8], seed: u64, at: usize) -> Option<&[u8]> {
    let head = file.get(at..at + HEAD)?;
    let (mark, rest) = head.split_at(4);
    let length: [u8; 4] = rest[..4].try_into().expect("four bytes");
    let sum = u64::from_le_bytes(rest[4..].try_into().expect("eight bytes"));
    let bytes = file.get(at + HEAD..)?.get(..u32::from_le_bytes(length) as usize)?;
    (mark == MARK && checksum(seed, length, bytes) == sum).then_some(bytes)
}

fn checksum(seed: u64, length: [u8; 4], bytes: &[u8]) -> u64 {
    let mut sum = Xxh3::with_seed(seed);
    sum.update(&length);
    sum.update(bytes);
    sum.digest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: u64 = 7;

    fn file(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for part in parts {
            add(&mut file, SEED, part);
        }
        file
    }

    fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Parts that contain the mark are the difficult ones.
        let part = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(proptest::sample::select(MARK.to_vec()), 0..40),
        ];
        proptest::collection::vec(part, 1..6)
    }

    proptest! {
        #[test]
        fn what_is_added_is_read(parts in parts()) {
            let file = file(&parts);
            let (found, end) = read(&file, SEED).unwrap();
            prop_assert_eq!(found, parts);
            prop_assert_eq!(end, file.len());
        }

        #[test]
        fn a_file_that_is_cut_anywhere_keeps_its_whole_frames(parts in parts(), cut in any::<prop::sample::Index>()) {
            let whole = file(&parts);
            let kept = cut.index(whole.len());
            let (found, end) = read(&whole[..kept], SEED).unwrap();
            prop_assert!(end <= kept);
            prop_assert_eq!(&file(&parts[..found.len()])[..], &whole[..end]);
            let next = file(&parts[..=found.len()]).len();
            prop_assert!(next > kept, "a whole frame was lost");
        }

        #[test]
        fn a_flipped_bit_is_never_overlooked(
            parts in parts(), place in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let mut bad = file(&parts);
            let place = place.index(bad.len());
            bad[place] ^= 1 << bit;
            let hit = (0..parts.len()).find(|&i| place < file(&parts[..=i]).len()).unwrap();
            let begins = file(&parts[..hit]).len();
            match read(&bad, SEED) {
                Ok((found, end)) => {
                    prop_assert_eq!(hit, parts.len() - 1, "only a bad last frame is a torn tail");
                    prop_assert_eq!((found.len(), end), (hit, begins));
                }
                Err(damaged) => {
                    prop_assert_eq!(damaged.at, begins);
                    prop_assert_eq!(damaged.good, file(&parts[..=hit]).len());
                }
            }
        }
    }

    #[test]
    fn frames_of_another_node_are_not_ones_own() {
        let file = file(&[vec![1, 2, 3]]);
        assert_eq!(read(&file, SEED + 1), Ok((Vec::new(), 0)));
    }
}
