//! The event queue: what happens next, in order of (time, sequence), with the payloads out of the heap's way.

use crate::base::Time;

/// Bits of a key below the time: 40 for the sequence, 24 for the place.
const SEQUENCE_BITS: u32 = 40;
const PLACE_BITS: u32 = 24;
/// Children per heap node: four 16-byte keys are one cache line.
const ARITY: usize = 4;

/// A priority queue of events. Events at the same time come out in the order in which they went in.
///
/// A key is one `u128`: the time in the upper 64 bits, then a sequence number, then the place of the payload, which
/// never decides because sequence numbers are distinct. So the heap moves 16 bytes per event and nothing else. Places below
/// `bare` need no payload: they are the wake-ups of machines.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: Vec<u128>,
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
        Queue { heap: Vec::new(), slab: Vec::new(), free: Vec::new(), bare, sequence: 0 }
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
        self.heap.push(key);
        self.rise(self.heap.len() - 1, key);
    }

    /// Takes out the earliest event: its time, its sequence number, itself.
    pub(super) fn pop(&mut self) -> Option<(Time, u64, Popped<T>)> {
        let first = *self.heap.first()?;
        let last = self.heap.pop().expect("it has a first");
        if !self.heap.is_empty() {
            self.sink(last);
        }
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
        self.heap.len()
    }

    /// Lets `key` rise from the hole at `hole`.
    fn rise(&mut self, mut hole: usize, key: u128) {
        let heap = self.heap.as_mut_slice();
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if heap[parent] <= key {
                break;
            }
            heap[hole] = heap[parent];
            hole = parent;
        }
        heap[hole] = key;
    }

    /// Lets `key` sink from the root. It came from the bottom, so the hole first goes all the way down along the
    /// smallest children, and the key then rises from there: fewer comparisons than stopping on the way.
    fn sink(&mut self, key: u128) {
        let heap = self.heap.as_mut_slice();
        let mut hole = 0;
        loop {
            let first = hole * ARITY + 1;
            if let Some(children) = heap.get(first..first + ARITY) {
                let (left, left_key) =
                    if children[1] < children[0] { (1, children[1]) } else { (0, children[0]) };
                let (right, right_key) =
                    if children[3] < children[2] { (3, children[3]) } else { (2, children[2]) };
                let (smallest, smallest_key) =
                    if right_key < left_key { (right, right_key) } else { (left, left_key) };
                heap[hole] = smallest_key;
                hole = first + smallest;
            } else {
                let Some(smallest) = (first..heap.len()).min_by_key(|&child| heap[child]) else { break };
                heap[hole] = heap[smallest];
                hole = smallest;
            }
        }
        self.rise(hole, key);
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
        for round in 0..4_000_u64 {
            // Few distinct times, so that ties are common, and pops in between, so that places are reused.
            let at = Time(rng.below(50));
            queue.push(at, round);
            expected.push((at, round));
            if rng.chance(0.3) {
                let (at, sequence, Popped::Item(item)) = queue.pop().expect("it is not empty") else {
                    panic!()
                };
                assert_eq!(sequence, item, "seed {seed}");
                expected.sort_unstable();
                assert_eq!(expected.remove(0), (at, item), "seed {seed}");
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
