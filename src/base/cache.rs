//! What is kept because it may be needed again, within a limit.

use std::collections::BTreeMap;

/// Keeps account of what is at hand. What somebody uses stays, even if that is more than the limit; of the rest, what was used longest
/// ago goes first.
#[derive(Clone, Debug)]
pub struct Cache<K> {
    limit: u64,
    bytes: u64,
    held: BTreeMap<K, Held>,
    /// Counts uses, so that it is known which one was longest ago.
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: u64,
    uses: u32,
    used: u64,
}

impl<K: Ord + Copy> Cache<K> {
    /// With nothing in it, and so many bytes at most.
    pub fn new(limit: u64) -> Cache<K> {
        Cache { limit, bytes: 0, held: BTreeMap::new(), clock: 0 }
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Someone begins to use it: whether it is there already. If not it counts as kept from now on, to be brought.
    pub fn hold(&mut self, key: K, bytes: u64) -> bool {
        self.clock += 1;
        let there = self.held.contains_key(&key);
        let held = self.held.entry(key).or_insert(Held { bytes, uses: 0, used: 0 });
        held.uses += 1;
        held.used = self.clock;
        if !there {
            self.bytes += bytes;
        }
        there
    }

    /// Someone uses it no more.
    pub fn release(&mut self, key: K) {
        if let Some(held) = self.held.get_mut(&key) {
            held.uses = held.uses.saturating_sub(1);
        }
    }

    /// It is not there, or not any more.
    pub fn remove(&mut self, key: K) {
        if let Some(held) = self.held.remove(&key) {
            self.bytes -= held.bytes;
        }
    }

    /// Takes out what has to go for the rest to be within the limit.
    pub fn shrink(&mut self) -> Vec<K> {
        let mut gone = Vec::new();
        while self.bytes > self.limit {
            let unused = self.held.iter().filter(|(_, held)| held.uses == 0);
            let Some((&oldest, _)) = unused.min_by_key(|(_, held)| held.used) else { break };
            self.remove(oldest);
            gone.push(oldest);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_used_stays() {
        let mut cache = Cache::new(10);
        assert!(!cache.hold('a', 4) && !cache.hold('b', 4) && cache.hold('a', 4));
        assert_eq!(cache.bytes(), 8);
        cache.hold('c', 8);
        assert_eq!(cache.shrink(), []);
        cache.release('b');
        cache.release('a');
        // One of two who use it still does.
        assert_eq!(cache.shrink(), ['b']);
        assert_eq!(cache.bytes(), 12);
        cache.release('c');
        cache.release('a');
        cache.hold('a', 4);
        cache.release('a');
        assert_eq!(cache.shrink(), ['c']);
        assert!(cache.hold('a', 4) && !cache.hold('c', 8));
        cache.remove('c');
        assert_eq!(cache.bytes(), 4);
    }
}
