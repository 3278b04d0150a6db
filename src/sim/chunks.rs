//! The chunks of files on the machines' disks, and their way there: it takes bandwidth, and time to write.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Address;
use super::host::{Local, Process};
use super::network::TRIES;
use super::world::{Event, World};
use crate::base::{AttemptId, Chunk, ChunkId, Draw, NodeId, Rng, SessionId, Span};
use crate::history::{Machine, Watcher};
use crate::node::{ChunkCommand, ChunkEvent, Content};

/// Bytes per second of a client's way to a node, and of the ways between nodes of a network whose bandwidth is not limited: 10 Gbit/s.
const BANDWIDTH: u64 = 1_250_000_000;
/// Bytes per second that a disk writes, beside its syncs.
const WRITES: u64 = 500_000_000;
/// Bytes per second that a disk reads.
const READS: u64 = 1_000_000_000;
/// Bytes per second that a node reads of its chunks to see whether they are sound, and how long a walk through all of them takes at
/// least: what real nodes do unless they are told otherwise.
const SCRUBS: u64 = 8 << 20;
const WALK_MIN: Span = Span::secs(1);
/// How long it takes to find that something is at hand.
const LOOKS: Span = Span::micros(100);
/// How long it takes to remove a chunk.
const DROPS: Span = Span::micros(100);

/// All chunks of a run.
#[derive(Debug)]
pub(super) struct Chunks {
    /// By machine: what is durable there.
    disks: Vec<BTreeMap<ChunkId, u32>>,
    /// What is not any more what it was on a machine's disk, and nobody has noticed.
    rotten: BTreeSet<(Machine, ChunkId)>,
    /// What is under way.
    moves: BTreeMap<u64, Move>,
    last: u64,
    rng: Rng,
}

/// Something that happens to a chunk and takes its time.
#[derive(Debug)]
struct Move {
    chunk: Chunk,
    stage: Stage,
}

/// What a chunk comes for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum For {
    /// To be kept for the store.
    Store,
    /// Because a query reads it.
    Query,
}

#[derive(Debug)]
enum Stage {
    /// It comes from this machine, and if nothing comes of that, from one of these.
    Travels { from: Option<Machine>, others: Vec<NodeId>, goal: For },
    /// A client brings it, as part of this request.
    Brought { session: SessionId, number: u64 },
    /// It is written.
    Written { goal: For },
    /// It is removed.
    Dropped,
    /// It is read to see whether it is sound.
    Scrubbed,
    /// Everything that a query reads was found to be at hand.
    AtHand { attempt: AttemptId },
}

impl Chunks {
    /// No chunks on `machines` machines.
    pub(super) fn new(machines: usize, rng: Rng) -> Chunks {
        let (disks, rotten) = (vec![BTreeMap::new(); machines], BTreeSet::new());
        Chunks { disks, rotten, moves: BTreeMap::new(), last: 0, rng }
    }

    /// What is durable on a machine.
    pub(super) fn on(&self, machine: Machine) -> Vec<Chunk> {
        self.disks[machine as usize].iter().map(|(&id, &bytes)| Chunk { id, bytes }).collect()
    }

    /// Whether a chunk is durable on a machine.
    pub(super) fn has(&self, machine: Machine, chunk: ChunkId) -> bool {
        self.disks[machine as usize].contains_key(&chunk)
    }

    /// Whether a chunk is durable on a machine, and what it was.
    pub(super) fn is_sound(&self, machine: Machine, chunk: ChunkId) -> bool {
        self.has(machine, chunk) && !self.rotten.contains(&(machine, chunk))
    }

    /// The chunks on a machine that are what they were.
    fn sound(&self, machine: Machine) -> impl Iterator<Item = ChunkId> {
        self.disks[machine as usize].keys().copied().filter(move |&id| self.is_sound(machine, id))
    }

    /// Whether a chunk on a machine can rot.
    pub(super) fn can_rot(&self, machine: Machine) -> bool {
        self.sound(machine).next().is_some()
    }

    /// The disk of a machine is lost.
    pub(super) fn wipe(&mut self, machine: Machine) {
        for chunk in std::mem::take(&mut self.disks[machine as usize]).into_keys() {
            self.rotten.remove(&(machine, chunk));
        }
    }

    /// A chunk is removed from a machine's disk.
    fn remove(&mut self, machine: Machine, chunk: ChunkId) {
        self.disks[machine as usize].remove(&chunk);
        self.rotten.remove(&(machine, chunk));
    }

    fn add(&mut self, chunk: Chunk, stage: Stage) -> u64 {
        self.last += 1;
        self.moves.insert(self.last, Move { chunk, stage });
        self.last
    }
}

/// How long so many bytes take at this rate.
fn takes(bytes: u32, per_second: u64) -> Span {
    Span(u64::from(bytes) * 1_000_000_000 / per_second.max(1))
}

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// A node wants something done with a chunk.
    pub(super) fn chunk_command(&mut self, machine: Machine, command: &ChunkCommand) {
        match command {
            ChunkCommand::Fetch { chunk, from } => {
                self.travel(machine, *chunk, from.to_vec(), For::Store);
            }
            ChunkCommand::Stage(stage) => self.stage(machine, stage),
            ChunkCommand::Unstage { attempt } => self.unstage(machine, *attempt),
            ChunkCommand::Drop { chunk } => {
                self.chunks.remove(machine, *chunk);
                let number = self.chunks.add(Chunk { id: *chunk, bytes: 1 }, Stage::Dropped);
                self.later(machine, number, DROPS);
            }
        }
    }

    /// A client brings a file to a node: its chunks come one after the other, but for those that are there.
    pub(super) fn bring(&mut self, machine: Machine, (session, number): (SessionId, u64), content: &Content) {
        let mut after = Span::ZERO;
        for &chunk in &content.chunks {
            if self.chunks.has(machine, chunk.id) {
                self.local(machine, Local::Chunk(ChunkEvent::Got { chunk }));
                continue;
            }
            after += takes(chunk.bytes, self.plan.network.bandwidth.unwrap_or(BANDWIDTH));
            let brought = self.chunks.add(chunk, Stage::Brought { session, number });
            self.later(machine, brought, after);
        }
    }

    /// How long a client needs to bring a file.
    pub(super) fn brings(&self, content: &Content) -> Span {
        let bandwidth = self.plan.network.bandwidth.unwrap_or(BANDWIDTH);
        content.chunks.iter().fold(Span::ZERO, |sum, chunk| sum + takes(chunk.bytes, bandwidth))
    }

    /// A chunk sets out from the first source that has it and can be reached.
    pub(super) fn travel(&mut self, machine: Machine, chunk: Chunk, mut sources: Vec<NodeId>, goal: For) {
        let mut tried = Span::ZERO;
        while !sources.is_empty() {
            let source = sources.remove(0);
            let from = self.book.find(source).map(|Address { machine, .. }| machine);
            let from = from.filter(|&from| from != machine && self.lends(from, source, chunk.id));
            let arrives = from.ok_or(TRIES).and_then(|from| {
                self.network.transfer(from, machine, u64::from(chunk.bytes), BANDWIDTH, self.now)
            });
            match arrives {
                Ok(at) => {
                    let number = self.chunks.add(chunk, Stage::Travels { from, others: sources, goal });
                    return self.later(machine, number, tried + at.since(self.now));
                }
                Err(in_vain) => tried += in_vain,
            }
        }
        let number = self.chunks.add(chunk, Stage::Travels { from: None, others: Vec::new(), goal });
        self.later(machine, number, tried + TRIES);
    }

    /// A chunk is read from the machine's own disk, for a query.
    pub(super) fn copy(&mut self, machine: Machine, chunk: Chunk, others: Vec<NodeId>) {
        let stage = Stage::Travels { from: Some(machine), others, goal: For::Query };
        let number = self.chunks.add(chunk, stage);
        self.later(machine, number, takes(chunk.bytes, READS));
    }

    /// Nothing has to be brought for a query, which takes a look.
    pub(super) fn at_hand(&mut self, machine: Machine, attempt: AttemptId) {
        let none = Chunk { id: ChunkId([0; 32]), bytes: 1 };
        let number = self.chunks.add(none, Stage::AtHand { attempt });
        self.later(machine, number, LOOKS);
    }

    /// Bits of a chunk on a machine's disk flip: any one that is sound, of which there is one. It is noticed when it is read.
    pub(super) fn rot(&mut self, machine: Machine, rng: &mut Rng) {
        let sound: Vec<ChunkId> = self.chunks.sound(machine).collect();
        let chunk = sound[rng.below(sound.len() as u64) as usize];
        self.chunks.rotten.insert((machine, chunk));
        self.scrub(machine, chunk);
    }

    /// A process begins, and with it the walk through the chunks on its disk.
    pub(super) fn scrub_all(&mut self, machine: Machine) {
        let of = (machine, ChunkId([0; 32]))..=(machine, ChunkId([u8::MAX; 32]));
        let rotten: Vec<ChunkId> = self.chunks.rotten.range(of).map(|(_, chunk)| *chunk).collect();
        for chunk in rotten {
            self.scrub(machine, chunk);
        }
    }

    /// A process that runs comes by a chunk some time within its walk.
    fn scrub(&mut self, machine: Machine, id: ChunkId) {
        let disk = &self.chunks.disks[machine as usize];
        let all: u64 = disk.values().map(|&bytes| u64::from(bytes)).sum();
        let walk = WALK_MIN.max(Span::millis(all * 1_000 / SCRUBS));
        let after = Draw::Uniform(Span::ZERO, walk).sample(&mut self.chunks.rng);
        let number = self.chunks.add(Chunk { id, bytes: 1 }, Stage::Scrubbed);
        self.later(machine, number, after);
    }

    /// A chunk is read on a machine, which notices if it is not what it was; whether it is.
    fn read_chunk(&mut self, machine: Machine, chunk: ChunkId) -> bool {
        let sound = self.chunks.is_sound(machine, chunk);
        if !sound && self.chunks.has(machine, chunk) {
            self.chunks.remove(machine, chunk);
            self.local(machine, Local::Chunk(ChunkEvent::Lost { chunk }));
        }
        sound
    }

    /// Whether a machine runs as `id` and can give a chunk. One that gets little of its processor gives all the same.
    fn lends(&self, machine: Machine, id: NodeId, chunk: ChunkId) -> bool {
        let host = &self.hosts[machine as usize];
        host.runs() && host.id == id && !host.paused && self.chunks.has(machine, chunk)
    }

    fn later(&mut self, machine: Machine, number: u64, after: Span) {
        let life = self.hosts[machine as usize].life;
        self.queue.push(self.now + after, Event::Chunk { machine, life, number });
    }

    /// The next thing happens to a chunk, unless the process that waits for it is gone.
    pub(super) fn chunk_moves(&mut self, machine: Machine, life: u32, number: u64) {
        let Some(Move { chunk, stage }) = self.chunks.moves.remove(&number) else { return };
        let host = &self.hosts[machine as usize];
        if host.life != life || !host.runs() {
            return;
        }
        match stage {
            Stage::Travels { from, others, goal } => {
                let came = from.is_some_and(|from| {
                    let source = self.hosts[from as usize].id;
                    self.lends(from, source, chunk.id)
                        && self.read_chunk(from, chunk.id)
                        && !self.network.is_cut(from, machine, self.now)
                });
                match came {
                    true => self.write_chunk(machine, chunk, goal),
                    false if !others.is_empty() => self.travel(machine, chunk, others, goal),
                    false => self.chunk_fails(machine, chunk.id, goal, false),
                }
            }
            Stage::Brought { session, number } => {
                // Whoever has given up brings nothing more.
                if self.network.admits_clients(machine) && self.clients.waits_for(session, number) {
                    self.write_chunk(machine, chunk, For::Store);
                }
            }
            Stage::Written { goal: For::Query } => self.staged(machine, chunk.id),
            Stage::Written { goal: For::Store } => {
                self.chunks.disks[machine as usize].insert(chunk.id, chunk.bytes);
                self.chunks.rotten.remove(&(machine, chunk.id));
                self.local(machine, Local::Chunk(ChunkEvent::Got { chunk }));
            }
            Stage::AtHand { attempt } => self.local(machine, Local::Chunk(ChunkEvent::Staged { attempt })),
            Stage::Scrubbed => {
                self.read_chunk(machine, chunk.id);
            }
            Stage::Dropped => {
                self.local(machine, Local::Chunk(ChunkEvent::Dropped { chunk: chunk.id }));
            }
        }
    }

    /// A chunk does not come; `unwritten` says that it is for want of room.
    fn chunk_fails(&mut self, machine: Machine, chunk: ChunkId, goal: For, unwritten: bool) {
        match goal {
            For::Store => self.local(machine, Local::Chunk(ChunkEvent::Failed { chunk, unwritten })),
            For::Query if unwritten => self.unstaged(machine, chunk, "the disk has no room for it"),
            For::Query => self.unstaged(machine, chunk, "nobody who was asked has it"),
        }
    }

    /// A chunk is written, where there is room for it. What a query reads need not be durable.
    pub(super) fn write_chunk(&mut self, machine: Machine, chunk: Chunk, goal: For) {
        if self.disks[machine as usize].is_full() {
            let faults = self.disks[machine as usize].full().to_vec();
            self.took_effect(faults);
            return self.chunk_fails(machine, chunk.id, goal, true);
        }
        let sync = match goal {
            For::Store => self.plan.disk.sync.sample(&mut self.chunks.rng),
            For::Query => Span::ZERO,
        };
        let number = self.chunks.add(chunk, Stage::Written { goal });
        self.later(machine, number, sync + takes(chunk.bytes, WRITES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;

    #[test]
    fn large_chunks_take_longer() {
        assert_eq!(takes(0, 10), Span::ZERO);
        assert_eq!(takes(20, 10), Span::secs(2));
        assert_eq!(takes(u32::MAX, 0), Span(u64::from(u32::MAX) * 1_000_000_000));
        assert!(Time::ZERO + takes(4 << 20, WRITES) < Time::ZERO + Span::millis(10));
    }
}
