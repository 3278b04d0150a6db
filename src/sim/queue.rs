//! The event queue: what happens next, in order of (time, sequence), with the payloads out of the way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::Time;

/// Bits of a key below the time: 40 for the sequence, 24 for the place.
const SEQUENCE_BITS: u32 = 40;
const PLACE_BITS: u32 = 24;
/// How many bins the ring has.
const RING: u64 = 512;

/// A priority queue of events. Events at the same time come out in the order in which they went in.
///
/// A key is one `u128`: the time in the upper 64 bits, then a sequence number, then the place of the payload, which
/// never decides because sequence numbers are distinct. So 16 bytes per event are moved and nothing else. Places below
/// `bare` need no payload: they are the wake-ups of machines.
///
/// Time is divided into bins (a calendar queue). Only the bin under way is kept in order; what falls into one of the next bins
/// waits in a ring, and what comes later than those in a heap. A bin is as long as a cluster of that size needs to cause an event
/// or two, so that nearly all events cost the same, however many are pending.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// The keys of the bin under way, the earliest last.
    present: Vec<u128>,
    /// The number of the bin under way.
    bin: u64,
    /// A bin is two to this power nanoseconds long.
    bin_bits: u32,
    /// The keys of the next bins, in no order, each at its number modulo `RING`.
    ring: Vec<Vec<u128>>,
    /// Which of those hold something, a bit each.
    filled: [u64; RING as usize / 64],
    /// The keys of all later bins. As time goes on some of them come within reach of the ring, and stay here.
    later: BinaryHeap<Reverse<u128>>,
    slab: Vec<Option<T>>,
    free: Vec<u32>,
    bare: u32,
    sequence: u64,
}

/// What came out of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Popped<T> {
    /// A bare number.
    Bare(u32),
    /// A payload.
    Item(T),
}

impl<T> Queue<T> {
    /// An empty queue in which the numbers below `bare` can stand for themselves.
    pub(super) fn new(bare: u32) -> Queue<T> {
        Queue {
            present: Vec::new(),
            bin: 0,
            // 8 to 15 machines cause about one event per millisecond, which has 2 to the power of 20 nanoseconds.
            bin_bits: bare.leading_zeros().saturating_sub(8),
            ring: vec![Vec::new(); RING as usize],
            filled: [0; RING as usize / 64],
            later: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            bare,
            sequence: 0,
        }
    }

    /// Queues an item for `at`. An item for [`Time::NEVER`] is dropped.
    pub(super) fn push(&mut self, at: Time, item: T) {
        if at == Time::NEVER {
            return;
        }
        let place = if let Some(place) = self.free.pop() {
            self.slab[place as usize] = Some(item);
            place
        } else {
            self.slab.push(Some(item));
            (self.slab.len() - 1) as u32
        };
        self.push_key(at, place + self.bare);
    }

    /// Queues the bare number `number` for `at`; nothing for [`Time::NEVER`].
    pub(super) fn push_bare(&mut self, at: Time, number: u32) {
        debug_assert!(number < self.bare, "{number} is not below {}", self.bare);
        if at != Time::NEVER {
            self.push_key(at, number);
        }
    }

    fn push_key(&mut self, at: Time, place: u32) {
        assert!(place < 1 << PLACE_BITS, "more than {} events are pending", 1 << PLACE_BITS);
        assert!(
            self.sequence < 1 << SEQUENCE_BITS,
            "more than {} events were queued",
            1_u64 << SEQUENCE_BITS
        );
        let key = u128::from(at.0) << 64 | u128::from(self.sequence << PLACE_BITS | u64::from(place));
        self.sequence += 1;
        let bin = at.0 >> self.bin_bits;
        if bin <= self.bin {
            let place = self.present.partition_point(|other| *other > key);
            self.present.insert(place, key);
        } else if bin - self.bin < RING {
            let slot = (bin % RING) as usize;
            self.ring[slot].push(key);
            self.filled[slot / 64] |= 1 << (slot % 64);
        } else {
            self.later.push(Reverse(key));
        }
    }

    /// Begins the next bin that holds something; false when nothing is pending.
    fn advance(&mut self) -> bool {
        let bin_of = |key: u128| (key >> 64) as u64 >> self.bin_bits;
        let later = self.later.peek().map(|Reverse(key)| bin_of(*key));
        let near = self.next_filled();
        let Some(bin) = near.into_iter().chain(later).min() else { return false };
        self.bin = bin;
        if near == Some(bin) {
            let slot = (bin % RING) as usize;
            std::mem::swap(&mut self.present, &mut self.ring[slot]);
            self.filled[slot / 64] &= !(1 << (slot % 64));
        }
        while let Some(&Reverse(key)) = self.later.peek()
            && bin_of(key) == bin
        {
            self.present.push(key);
            self.later.pop();
        }
        self.present.sort_unstable_by(|one, other| other.cmp(one));
        true
    }

    /// The next bin of the ring that holds something.
    fn next_filled(&self) -> Option<u64> {
        let first = self.bin + 1;
        let words = RING / 64;
        let (word, bit) = (first % RING / 64, first % 64);
        let ahead = self.filled[word as usize] >> bit;
        if ahead != 0 {
            return Some(first + u64::from(ahead.trailing_zeros()));
        }
        // The last of these is the first word once more: its lower bits are the farthest bins.
        (1..=words).find_map(|steps| {
            let bits = self.filled[((word + steps) % words) as usize];
            (bits != 0).then(|| first - bit + steps * 64 + u64::from(bits.trailing_zeros()))
        })
    }

    /// Takes out the earliest event: its time, its sequence number, itself.
    pub(super) fn pop(&mut self) -> Option<(Time, u64, Popped<T>)> {
        if self.present.is_empty() && !self.advance() {
            return None;
        }
        let first = self.present.pop()?;
        let low = first as u64;
        let place = low as u32 & ((1 << PLACE_BITS) - 1);
        let popped = if place < self.bare {
            Popped::Bare(place)
        } else {
            let slot = place - self.bare;
            self.free.push(slot);
            Popped::Item(self.slab[slot as usize].take().expect("a key owns its payload until it is popped"))
        };
        Some((Time((first >> 64) as u64), low >> PLACE_BITS, popped))
    }

    /// How many events are pending.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.present.len() + self.ring.iter().map(Vec::len).sum::<usize>() + self.later.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn events_come_out_by_time_and_then_in_the_order_in_which_they_went_in() {
        let seed = 11;
        let mut rng = Rng::new(seed);
        let mut queue = Queue::new(0);
        let mut expected = Vec::new();
        let mut out = Vec::new();
        let mut now = 0;
        for round in 0..4_000_u64 {
            // Few distinct times, so that ties are common, and pops in between, so that places are reused. Some are within the
            // bin under way, some within the ring, some beyond.
            let ahead = [1 << 10, 1 << 27, 1 << 36][rng.below(3) as usize];
            let at = Time(now + rng.below(50) * ahead);
            queue.push(at, round);
            expected.push((at, round));
            if rng.chance(0.3) {
                let (at, sequence, Popped::Item(item)) = queue.pop().expect("it is not empty") else {
                    panic!()
                };
                assert_eq!(sequence, item, "seed {seed}");
                expected.sort_unstable();
                assert_eq!(expected.remove(0), (at, item), "seed {seed}");
                now = at.0;
            }
        }
        assert_eq!(queue.len(), expected.len());
        while let Some((at, _, Popped::Item(item))) = queue.pop() {
            out.push((at, item));
        }
        expected.sort_unstable();
        assert_eq!(out, expected, "seed {seed}");
    }

    #[test]
    fn bare_numbers_and_payloads_share_one_order() {
        let mut queue = Queue::new(3);
        queue.push(Time(5), "five");
        queue.push_bare(Time(5), 2);
        queue.push_bare(Time(1), 0);
        queue.push(Time::NEVER, "never");
        let mut popped = std::iter::from_fn(|| queue.pop()).map(|(at, _, popped)| (at.0, popped));
        assert_eq!(popped.next(), Some((1, Popped::Bare(0))));
        assert_eq!(popped.next(), Some((5, Popped::Item("five"))));
        assert_eq!(popped.next(), Some((5, Popped::Bare(2))));
        assert_eq!(popped.next(), None);
    }
}
