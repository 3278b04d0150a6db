//! What the coordinator does about files: it puts them, hears what members hold, and sees to it that there are enough copies.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::super::config::limits::PUTS_MAX;
use super::super::super::entry::{Command, Inputs};
use super::super::super::file::{Located, Put, Shelved, Version};
use super::super::super::io::Outbox;
use super::super::super::message::{Body, Found, Holds, Refusal, Reply, Request, StoreMessage};
use super::super::super::mutant::Mutant;
use super::super::super::observation::{Change, Observation};
use super::super::{Coordinator, Facts, Wish};
use super::{IDLE, PUT_IDLE, Pending, Putting, REST, Shelf, Stock};
use crate::base::{Chunk, ChunkId, Epoch, Incarnation, JobId, NodeId, Time};

impl Coordinator {
    /// A member says which chunks it holds.
    pub(in super::super::super) fn holds(
        &mut self,
        from: NodeId,
        holds: &Holds,
        now: Time,
        out: &mut Outbox,
    ) {
        if holds.epoch == self.epoch && self.shelves.note(from, holds, now) {
            self.shelves.weigh(now, self.config.membership.patience());
            let Holds { epoch, incarnation, serial, .. } = *holds;
            out.send(from, Body::Store(StoreMessage::Noted { epoch, incarnation, serial }));
        }
    }

    /// A member has heard what it shall do.
    pub(in super::super::super) fn tends(
        &mut self,
        from: NodeId,
        (epoch, incarnation): (Epoch, Incarnation),
        now: Time,
    ) {
        let shelf = self.shelves.members.get_mut(&from).filter(|shelf| shelf.incarnation == incarnation);
        if let (true, Some(shelf)) = (epoch == self.epoch, shelf) {
            (shelf.asked, shelf.questioned) = (None, false);
            self.shelves.weigh(now, self.config.membership.patience());
        }
    }

    /// A client wants to put a file: its chunks are needed from now on, and it is written into the log once enough disks hold them.
    pub(in super::super) fn begin_put(
        &mut self,
        pending: Pending,
        request: &Arc<Request>,
        now: Time,
    ) -> Result<(), Refusal> {
        let Request::Put(put) = &**request else { unreachable!("only files are put") };
        let shelves = &mut self.shelves;
        if shelves.puts.len() >= PUTS_MAX {
            return Err(Refusal::Busy { what: "files that are being put".into(), limit: PUTS_MAX as u64 });
        }
        let chunks: BTreeSet<ChunkId> = put.content.chunks.iter().map(|chunk| chunk.id).collect();
        for chunk in &put.content.chunks {
            shelves.stocks.entry(chunk.id).or_insert_with(|| Stock::new(chunk.bytes));
        }
        for chunk in &chunks {
            shelves.stocks.get_mut(chunk).expect("it is there since just now").puts += 1;
        }
        shelves.dirty.extend(&chunks);
        let unplaced = chunks.clone();
        let putting =
            Putting { request: Arc::clone(request), chunks, unplaced, progress: now, proposed: false };
        shelves.puts.insert(pending, putting);
        shelves.sweep_at = shelves.sweep_at.min(now + PUT_IDLE);
        Ok(())
    }

    /// A request was answered, whatever it was.
    pub(in super::super) fn end_put(&mut self, pending: Pending) {
        self.shelves.end_put(pending);
    }

    /// The ledger has changed: chunks may be needed that were not, or the other way round.
    pub(in super::super) fn refiled(&mut self, change: &Change) {
        let (new, gone) = match change {
            Change::FilePut { version, gone, .. } => (Some(version), gone.as_slice()),
            Change::FileDeleted { gone, .. } => (None, gone.as_slice()),
            Change::Unpinned { version, .. } => (None, std::slice::from_ref(version)),
            _ => return,
        };
        let chunks = new.into_iter().chain(gone).flat_map(|version| &version.content.chunks);
        self.shelves.dirty.extend(chunks.map(|chunk| chunk.id));
    }

    /// Does what is due.
    pub(in super::super) fn tend(&mut self, now: Time) {
        let shelves = &mut self.shelves;
        shelves.weigh(now, self.config.membership.patience());
        if now >= shelves.opens_at {
            shelves.opens_at = Time::NEVER;
            shelves.dirty.extend(shelves.stocks.keys().copied());
        }
        if now >= shelves.again_at {
            shelves.again_at = Time::NEVER;
            for (&node, shelf) in &shelves.members {
                if shelf.again_at <= now {
                    shelves.touched.insert(node);
                } else {
                    shelves.again_at = shelves.again_at.min(shelf.again_at);
                }
            }
        }
        if now >= shelves.sweep_at {
            shelves.sweep_at = Time::NEVER;
            for (&id, stock) in &shelves.stocks {
                if let Some(since) = stock.idle_since {
                    shelves.dirty.insert(id);
                    shelves.sweep_at = shelves.sweep_at.min((since + IDLE).max(now + REST));
                }
                if stock.rests_until > now {
                    shelves.sweep_at = shelves.sweep_at.min(stock.rests_until);
                } else if stock.rests_until > Time::ZERO {
                    shelves.dirty.insert(id);
                }
            }
            for shelf in shelves.members.values().filter(|shelf| shelf.unable_until > now) {
                shelves.sweep_at = shelves.sweep_at.min(shelf.unable_until);
            }
            for put in shelves.puts.values() {
                shelves.sweep_at = shelves.sweep_at.min((put.progress + PUT_IDLE).max(now + REST));
            }
        }
    }

    /// Ends a step: looks at what has changed, tells members what follows, and writes into the log what is placed.
    pub(in super::super) fn settle_shelves(
        &mut self,
        facts: &Facts<'_>,
        out: &mut Outbox,
        wishes: &mut VecDeque<Wish>,
    ) {
        // Members say what they hold before anything is done about it; to put a file does not wait for that.
        if self.shelves.opens_at == Time::NEVER || !self.shelves.puts.is_empty() {
            while let Some(chunk) = self.shelves.dirty.pop_first() {
                self.look_at(chunk, facts);
            }
        }
        self.place(facts, out, wishes);
        while let Some(node) = self.shelves.touched.pop_first() {
            self.shelves.flush(node, facts.now, self.epoch, out);
        }
    }

    /// Sees to it that a chunk is where it should be.
    fn look_at(&mut self, chunk: ChunkId, facts: &Facts<'_>) {
        let copies = self.shelves.copies(self.config.store.copies);
        let homes = self.shelves.homes(chunk, copies);
        let placed = self.shelves.is_placed(chunk, copies);
        let shelves = &mut self.shelves;
        let Some(stock) = shelves.stocks.get_mut(&chunk) else { return };
        let put = stock.puts > 0 && !self.config.has(Mutant::PutsPinNothing);
        let idle = !put && !facts.ledger.files().refer_to(chunk);
        if idle {
            let since = *stock.idle_since.get_or_insert(facts.now);
            if stock.holders.is_empty() {
                if stock.puts == 0 {
                    shelves.stocks.remove(&chunk);
                }
                return;
            }
            let until = since + if self.config.has(Mutant::PutsPinNothing) { REST } else { IDLE };
            if facts.now < until {
                shelves.sweep_at = shelves.sweep_at.min(until);
                return;
            }
            let holders: Vec<NodeId> = stock.holders.keys().copied().collect();
            for holder in holders {
                shelves.drop(holder, chunk);
            }
            return;
        }
        stock.idle_since = None;
        if facts.now < stock.rests_until {
            shelves.sweep_at = shelves.sweep_at.min(stock.rests_until);
            return;
        }
        stock.rests_until = Time::ZERO;
        if placed {
            for put in shelves.puts.values_mut() {
                put.unplaced.remove(&chunk);
            }
        }
        let missing: Vec<NodeId> =
            homes.iter().copied().filter(|home| !stock.holders.contains_key(home)).collect();
        if stock.holders.is_empty() {
            return;
        }
        if missing.is_empty() && !put {
            let surplus = |holder: &NodeId| !homes.contains(holder) && shelves.able.contains(holder);
            let surplus: Vec<NodeId> = stock.holders.keys().copied().filter(surplus).collect();
            for holder in surplus {
                shelves.drop(holder, chunk);
            }
        }
        for home in missing {
            shelves.want(home, chunk);
        }
    }

    /// Writes into the log what enough disks hold, and gives up what brings nothing new.
    fn place(&mut self, facts: &Facts<'_>, out: &mut Outbox, wishes: &mut VecDeque<Wish>) {
        let copies = self.shelves.copies(self.config.store.copies);
        let mut over = Vec::new();
        let ready: Vec<Pending> = (self.shelves.puts.iter())
            .filter(|(_, put)| {
                !put.proposed && (put.unplaced.is_empty() || self.config.has(Mutant::PutsUnplaced))
            })
            .map(|(&pending, _)| pending)
            .collect();
        for pending in ready {
            // Some may have been lost while others came.
            let chunks = &self.shelves.puts[&pending].chunks;
            let unplaced: BTreeSet<ChunkId> =
                (chunks.iter().copied()).filter(|&chunk| !self.shelves.is_placed(chunk, copies)).collect();
            let put = self.shelves.puts.get_mut(&pending).expect("it is put");
            if unplaced.is_empty() || self.config.has(Mutant::PutsUnplaced) {
                put.proposed = true;
                let (session, number) = pending;
                let request = Arc::clone(&put.request);
                if let Request::Put(put) = &*request {
                    let Put { name, content, .. } = &**put;
                    let (name, content) = (Arc::clone(name), Arc::clone(content));
                    let live = self.shelves.live.len() as u32;
                    out.observe(Observation::Placed { name, content, copies: copies as u8, live });
                }
                wishes.push_back(Wish::Propose(Command::Request { session, number, request }));
            } else {
                put.unplaced = unplaced;
            }
        }
        let someone_is_full = self.shelves.able.len() < self.shelves.live.len();
        for (&pending, put) in self.shelves.puts.iter().filter(|(_, put)| !put.proposed) {
            let full = || put.unplaced.iter().map(|&chunk| self.shelves.in_the_way(chunk, copies)).max();
            let full = if someone_is_full { full().unwrap_or_default() } else { Vec::new() };
            if !full.is_empty() {
                over.push((pending, self.no_room(&full, copies, facts)));
            } else if facts.now >= put.progress + PUT_IDLE {
                over.push((pending, Refusal::Incomplete { chunks: put.unplaced.len() as u64 }));
            }
        }
        for ((session, number), refusal) in over {
            self.replied(session, number, Arc::new(Reply::Refused(refusal)), out);
        }
    }

    /// Why a file cannot be put, when these members have no room for a chunk of it.
    fn no_room(&self, full: &[NodeId], copies: usize, facts: &Facts<'_>) -> Refusal {
        let view = facts.ledger.view();
        let name = |&node: &NodeId| view.member(node).map(|member| Arc::clone(&member.name));
        Refusal::NoRoom {
            nodes: full.iter().filter_map(name).collect(),
            able: (self.shelves.live.len() - full.len()) as u64,
            wanted: copies as u64,
        }
    }

    /// What each member holds.
    pub(in super::super) fn shelved(&self, facts: &Facts<'_>) -> Vec<Shelved> {
        let view = facts.ledger.view();
        let shelved = |(&node, shelf): (&NodeId, &Shelf)| {
            let held = self.shelves.stocks.values().filter(|stock| stock.holders.contains_key(&node));
            let (chunks, bytes) =
                held.fold((0, 0), |(chunks, bytes), stock| (chunks + 1, bytes + u64::from(stock.bytes)));
            Shelved {
                node,
                name: view.member(node).map_or_else(|| "".into(), |member| Arc::clone(&member.name)),
                chunks,
                bytes,
                coming: (shelf.coming.len() + shelf.wanted.len()) as u64,
                suspect: !self.shelves.live.contains(&node),
                full: shelf.full && facts.now < shelf.unable_until,
            }
        };
        self.shelves.members.iter().map(shelved).collect()
    }

    /// A worker asks where the data of a job are. Of one that has ended it will hear otherwise.
    pub(in super::super::super) fn sought(
        &self,
        from: NodeId,
        (epoch, job): (Epoch, JobId),
        facts: &Facts<'_>,
        out: &mut Outbox,
    ) {
        let Some(state) = facts.ledger.job(job).filter(|_| epoch == self.epoch) else { return };
        let pin = facts.ledger.files().pinned(job);
        let inputs_end = match &state.spec().inputs {
            Inputs::Range { from, count, .. } => from + count,
            Inputs::Names(names) => names.len() as u64,
        };
        let located = pin.map(|pin| self.locate(&pin.version));
        out.send(from, Body::Store(StoreMessage::Found(Arc::new(Found { job, inputs_end, located }))));
    }

    /// Where the chunks of a version are; live holders come first.
    pub(in super::super) fn locate(&self, version: &Version) -> Located {
        let holders = |chunk: &Chunk| {
            let stock = self.shelves.stocks.get(&chunk.id);
            let mut holders: Vec<NodeId> =
                stock.into_iter().flat_map(|stock| stock.holders.keys().copied()).collect();
            holders.sort_by_key(|holder| !self.shelves.live.contains(holder));
            holders
        };
        Located { version: version.clone(), holders: version.content.chunks.iter().map(holders).collect() }
    }
}
