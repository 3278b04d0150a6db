//! Which inputs of a job are covered: a set of whole numbers, kept as ranges that neither touch nor overlap.

use std::collections::BTreeMap;

/// A set of whole numbers as ranges.
#[derive(Clone, Debug, Default)]
pub(super) struct Cover {
    /// From the first number of each range to the one after its last.
    ranges: BTreeMap<u64, u64>,
    size: u64,
}

impl Cover {
    /// How many numbers are covered.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether `from..to` is covered without a gap. An empty range always is.
    pub(super) fn contains(&self, from: u64, to: u64) -> bool {
        from >= to || self.ranges.range(..=from).next_back().is_some_and(|(_, &end)| to <= end)
    }

    /// Covers `from..to` and says how many of these numbers were covered before.
    pub(super) fn insert(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        let (mut start, mut end, mut overlap) = (from, to, 0);
        // Ranges that touch or overlap the new one are swallowed by it, the last of them first.
        while let Some((&left, &right)) = self.ranges.range(..=to).next_back() {
            if right < from {
                break;
            }
            overlap += right.min(to).saturating_sub(left.max(from));
            start = start.min(left);
            end = end.max(right);
            self.ranges.remove(&left);
        }
        self.ranges.insert(start, end);
        self.size += to - from - overlap;
        overlap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn neighbours_merge_and_overlaps_are_measured() {
        let mut cover = Cover::default();
        assert_eq!(cover.insert(10, 20), 0);
        assert_eq!(cover.insert(20, 30), 0);
        assert_eq!(cover.ranges.len(), 1);
        assert_eq!(cover.insert(40, 50), 0);
        assert_eq!(cover.insert(5, 45), 25);
        assert_eq!((cover.size(), cover.ranges.len()), (45, 1));
        assert!(cover.contains(5, 50) && !cover.contains(4, 6) && !cover.contains(49, 51));
        assert!(cover.contains(99, 99));
        assert_eq!(cover.insert(7, 7), 0);
    }

    #[test]
    fn it_agrees_with_a_list_of_booleans() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut cover = Cover::default();
            let mut plain = [false; 64];
            for _ in 0..30 {
                let from = rng.below(64);
                let to = from + rng.below(65 - from);
                let before = (from..to).filter(|&i| plain[i as usize]).count() as u64;
                (from..to).for_each(|i| plain[i as usize] = true);
                assert_eq!(cover.insert(from, to), before, "seed {seed}");
                assert_eq!(cover.size(), plain.iter().filter(|&&set| set).count() as u64, "seed {seed}");
                let (a, b) = (rng.below(64), rng.below(65));
                assert_eq!(cover.contains(a, b), (a..b).all(|i| plain[i as usize]), "seed {seed}");
            }
        }
    }
}
