//! The address book: which machine a node's identity lives on.

use crate::base::NodeId;
use crate::history::Machine;

/// Where a [`NodeId`] lives: a machine, and how often that machine's disk had been wiped when the identity was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) machine: Machine,
    pub(super) disk: u32,
}

/// An open-addressing table from identity to address. Identities are random bits, so they are their own hash. Entries are
/// never removed: a message to an identity whose disk was wiped must find out that nobody is there.
#[derive(Debug)]
pub(super) struct Book {
    slots: Vec<Option<(NodeId, Address)>>,
    used: usize,
}

impl Book {
    /// An empty book with room for `nodes` identities.
    pub(super) fn new(nodes: usize) -> Book {
        Book { slots: vec![None; (nodes * 2).next_power_of_two().max(16)], used: 0 }
    }

    /// Where the look-up of `id` begins.
    fn home(&self, id: NodeId) -> usize {
        id.bits() as usize & (self.slots.len() - 1)
    }

    /// Enters `id`; a known one is replaced.
    pub(super) fn insert(&mut self, id: NodeId, address: Address) {
        if (self.used + 1) * 2 > self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![None; old.len() * 2];
            self.used = 0;
            for (id, address) in old.into_iter().flatten() {
                self.insert(id, address);
            }
        }
        let mut slot = self.home(id);
        while self.slots[slot].is_some_and(|(other, _)| other != id) {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.used += usize::from(self.slots[slot].is_none());
        self.slots[slot] = Some((id, address));
    }

    /// Where `id` lives.
    pub(super) fn find(&self, id: NodeId) -> Option<Address> {
        let mut slot = self.home(id);
        // Half of the slots are empty, so the walk ends.
        while let Some((other, address)) = self.slots[slot] {
            if other == id {
                return Some(address);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_found_even_when_identities_collide_and_the_book_grows() {
        let mut book = Book::new(1);
        let ids: Vec<NodeId> = (0..500).map(|i| NodeId::new((i % 7) << 40 | i << 8)).collect();
        for (machine, &id) in ids.iter().enumerate() {
            book.insert(id, Address { machine: machine as Machine, disk: 0 });
        }
        for (machine, &id) in ids.iter().enumerate() {
            assert_eq!(book.find(id), Some(Address { machine: machine as Machine, disk: 0 }));
        }
        assert_eq!(book.find(NodeId::new(u64::MAX)), None);
    }
}
