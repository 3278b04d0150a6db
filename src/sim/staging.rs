//! What queries read of the file store, brought to the machines that run them: it takes bandwidth, and time to write.
//!
//! A simulated file has no directory. Its inputs are taken to be equally large, and the last one of the job the last one of the file, so
//! that which chunks a query reads follows from its place among the job's inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chunks::For;
use super::host::{Local, Process};
use super::world::World;
use crate::base::{AttemptId, Cache, Chunk, ChunkId, NodeId};
use crate::history::{Machine, Watcher};
use crate::node::{ChunkEvent, Located, Stage};

/// What is at hand on each machine, beside what its disk holds for the store.
#[derive(Debug)]
pub(super) struct Staging {
    machines: Vec<Hand>,
}

#[derive(Debug)]
struct Hand {
    cache: Cache<ChunkId>,
    /// What is on its way.
    coming: BTreeSet<ChunkId>,
    /// By attempt: the chunks that it reads.
    staged: BTreeMap<AttemptId, Need>,
}

#[derive(Debug)]
struct Need {
    all: Vec<ChunkId>,
    missing: BTreeSet<ChunkId>,
}

impl Staging {
    /// Nothing on `machines` machines, each of which keeps at most `limit` bytes that nobody needs.
    pub(super) fn new(machines: usize, limit: u64) -> Staging {
        let hand = || Hand { cache: Cache::new(limit), coming: BTreeSet::new(), staged: BTreeMap::new() };
        Staging { machines: (0..machines).map(|_| hand()).collect() }
    }

    /// A process begins on a machine: what an earlier one had at hand is gone.
    pub(super) fn forget(&mut self, machine: Machine, limit: u64) {
        let hand = &mut self.machines[machine as usize];
        if hand.cache.bytes() > 0 {
            hand.cache = Cache::new(limit);
        }
        hand.coming.clear();
        hand.staged.clear();
    }
}

impl Hand {
    fn release(&mut self, attempt: AttemptId) {
        let Some(need) = self.staged.remove(&attempt) else { return };
        for chunk in need.all {
            self.cache.release(chunk);
        }
        self.cache.shrink();
    }
}

/// The chunks that a query reads, with those who hold them.
fn reads(stage: &Stage) -> Vec<(Chunk, Vec<NodeId>)> {
    let Some(Located { version, holders }) = &stage.found.located else { return Vec::new() };
    let chunks = &version.content.chunks;
    let (count, end) = (chunks.len() as u128, u128::from(stage.found.inputs_end.max(1)));
    let place = |input: u128| input * count / end;
    let (first, after) = (u128::from(stage.from), u128::from(stage.from) + u128::from(stage.inputs));
    let last = (after * count).div_ceil(end).min(count);
    (place(first)..last)
        .map(|place| (chunks[place as usize], holders.get(place as usize).cloned().unwrap_or_default()))
        .collect()
}

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// A node wants to have at hand what a query reads.
    pub(super) fn stage(&mut self, machine: Machine, stage: &Stage) {
        let attempt = stage.attempt;
        let reads = reads(stage);
        let hand = &mut self.staging.machines[machine as usize];
        let mut need = Need { all: Vec::new(), missing: BTreeSet::new() };
        let mut fetch = Vec::new();
        // A chunk may stand in a file twice.
        let once: BTreeMap<ChunkId, (Chunk, Vec<NodeId>)> =
            reads.into_iter().map(|read| (read.0.id, read)).collect();
        for (id, (chunk, holders)) in once {
            need.all.push(id);
            if !hand.cache.hold(id, u64::from(chunk.bytes)) {
                hand.coming.insert(id);
                fetch.push((chunk, holders));
            }
            if hand.coming.contains(&id) {
                need.missing.insert(id);
            }
        }
        let here = need.missing.is_empty();
        hand.staged.insert(attempt, need);
        hand.cache.shrink();
        if here {
            return self.at_hand(machine, attempt);
        }
        for (chunk, mut holders) in fetch {
            // Not everyone begins with the same holder, and what the machine itself holds for the store is nearest.
            if !holders.is_empty() {
                let first = (u64::from(machine) % holders.len() as u64) as usize;
                holders.rotate_left(first);
            }
            if self.chunks.has(machine, chunk.id) {
                self.copy(machine, chunk, holders);
            } else {
                self.travel(machine, chunk, holders, For::Query);
            }
        }
    }

    /// What a query reads need not be at hand any more.
    pub(super) fn unstage(&mut self, machine: Machine, attempt: AttemptId) {
        self.staging.machines[machine as usize].release(attempt);
    }

    /// A chunk that queries read has come.
    pub(super) fn staged(&mut self, machine: Machine, chunk: ChunkId) {
        let hand = &mut self.staging.machines[machine as usize];
        hand.coming.remove(&chunk);
        let mut whole = Vec::new();
        for (&attempt, need) in &mut hand.staged {
            if need.missing.remove(&chunk) && need.missing.is_empty() {
                whole.push(attempt);
            }
        }
        for attempt in whole {
            self.local(machine, Local::Chunk(ChunkEvent::Staged { attempt }));
        }
    }

    /// A chunk that queries read cannot be had.
    pub(super) fn unstaged(&mut self, machine: Machine, chunk: ChunkId, why: &str) {
        let hand = &mut self.staging.machines[machine as usize];
        hand.coming.remove(&chunk);
        let failed = hand.staged.iter().filter(|(_, need)| need.missing.contains(&chunk));
        let failed: Vec<AttemptId> = failed.map(|(&attempt, _)| attempt).collect();
        for &attempt in &failed {
            hand.release(attempt);
        }
        hand.cache.remove(chunk);
        for attempt in failed {
            let reason: Arc<str> = why.into();
            self.local(machine, Local::Chunk(ChunkEvent::Unstaged { attempt, reason }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Epoch, JobId, Time};
    use crate::node::{Content, FileKind, Found, Version};

    #[test]
    fn queries_read_their_share_of_a_file() {
        let chunk = |place: u8| Chunk { id: ChunkId([place; 32]), bytes: 10 };
        let places = |chunks: u8, (from, inputs): (u64, u32), inputs_end| -> Vec<u8> {
            let content =
                Content { kind: FileKind::Plain, chunks: (0..chunks).map(chunk).collect::<Vec<_>>() };
            let version = Version { number: 1, at: Time::ZERO, content: Arc::new(content) };
            let located = Some(Located { version, holders: Vec::new() });
            let found = Arc::new(Found { job: JobId(1), inputs_end, located });
            let attempt = AttemptId { epoch: Epoch(1), serial: 1 };
            let stage = Stage { attempt, dataset: "store:x@1".into(), from, inputs, found };
            reads(&stage).iter().map(|(chunk, _)| chunk.id.0[0]).collect()
        };
        assert_eq!(places(10, (0, 10), 100), [0]);
        assert_eq!(places(10, (95, 5), 100), [9]);
        assert_eq!(places(10, (5, 10), 100), [0, 1]);
        assert_eq!(places(3, (0, 100), 100), [0, 1, 2]);
        assert_eq!(places(1, (40, 1), 100), [0]);
        assert!(places(0, (0, 1), 100).is_empty());
        assert_eq!(places(4, (u64::MAX - 1, 1), u64::MAX), [3]);
    }
}
