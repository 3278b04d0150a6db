//! Where chunks of files shall be: copies on several members, more where some are missing, none of what nobody refers to.
//!
//! The coordinator knows what members say that they hold, and tells them what to get and what to drop. Nothing of it is durable: to
//! a new coordinator the members say everything again. That a chunk is never dropped which somebody counts on rests on three things.
//! Members obey the newest reign only, and whatever a member says to a reign it says after it obeyed the last one. Chunks of files that
//! are being put are needed from the moment the coordinator is asked. And it drops by stamp: see [`store`](super::super::store).

mod duties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::config::limits::{FETCHES_MAX, HOLDS_MAX};
use super::super::io::Outbox;
use super::super::message::{Body, Fetch, Holds, Request, StoreMessage, Tend};
use super::Facts;
use crate::base::{Chunk, ChunkId, Epoch, Fold, Incarnation, NodeId, SessionId, Span, Time};

/// How long members have to say what they hold before chunks are copied in a new reign, so that nothing is copied for want of a word.
const SETTLES: Span = Span::millis(300);
/// How long a chunk that nobody refers to is kept: its file may be about to be put.
const IDLE: Span = Span::secs(60);
/// How long a file that is being put may bring nothing new.
const PUT_IDLE: Span = Span::secs(60);
/// How long a chunk rests that could not be fetched.
const REST: Span = Span::millis(100);
/// How long the first wait for a member's word lasts; each further one is twice as long.
const FIRST_WAIT: Span = Span::millis(20);
/// How long the longest lasts.
const WAIT_MAX: Span = Span::secs(1);
/// How often one after the other a member may fail to get a chunk before it is left out for a while.
const FAILURES_MAX: u8 = 3;
/// How long it is left out: its disk may be full.
const UNABLE: Span = Span::secs(10);
/// Holders of a chunk that one who shall fetch it is told of.
const SOURCES_MAX: usize = 3;

type Pending = (SessionId, u64);

/// Everything that the coordinator knows about chunks.
#[derive(Debug)]
pub(super) struct Shelves {
    /// One for each member of the view.
    members: BTreeMap<NodeId, Shelf>,
    suspects: BTreeSet<NodeId>,
    /// The members that copies are counted on: those who are not suspect, unless so many are that the network is the likelier cause,
    /// and who answer when they are asked.
    live: Vec<NodeId>,
    /// Those of them that chunks are sent to: they do not fail to get what they shall hold.
    able: Vec<NodeId>,
    stocks: BTreeMap<ChunkId, Stock>,
    puts: BTreeMap<Pending, Putting>,
    /// Chunks to be looked at when the step ends.
    dirty: BTreeSet<ChunkId>,
    touched: BTreeSet<NodeId>,
    opens_at: Time,
    again_at: Time,
    /// When something has been kept, or has rested, for long enough.
    sweep_at: Time,
}

/// One member.
#[derive(Debug)]
struct Shelf {
    incarnation: Incarnation,
    /// What it said last.
    serial: u64,
    /// What it shall fetch once it has less to do.
    wanted: BTreeSet<ChunkId>,
    coming: BTreeSet<ChunkId>,
    /// What it shall drop, by which stamp. By that stamp it does not count, also once it is wanted there again.
    leaving: BTreeMap<ChunkId, (u32, u64)>,
    /// Whether there is something that it was not told yet.
    news: bool,
    /// Since when it has not answered.
    asked: Option<Time>,
    /// Whether it shall show that it answers, although there is nothing for it to do.
    questioned: bool,
    /// How often one after the other it failed to get something, and until when it is left out for that.
    failures: u8,
    unable_until: Time,
    /// Whether it failed for want of room, or of a sound disk.
    full: bool,
    again_at: Time,
    wait: Span,
}

/// One chunk.
#[derive(Debug)]
struct Stock {
    bytes: u32,
    /// Who holds it, by which stamp.
    holders: BTreeMap<NodeId, u64>,
    /// How many files that are being put consist of it.
    puts: u32,
    /// Since when nobody refers to it.
    idle_since: Option<Time>,
    rests_until: Time,
}

/// A file that is being put.
#[derive(Debug)]
struct Putting {
    request: Arc<Request>,
    chunks: BTreeSet<ChunkId>,
    /// Those that not enough disks hold.
    unplaced: BTreeSet<ChunkId>,
    progress: Time,
    /// Whether it is in the log.
    proposed: bool,
}

impl Shelves {
    pub(super) fn new(facts: &Facts<'_>) -> Shelves {
        let stock = |(id, bytes)| (id, Stock::new(bytes));
        let stocks: BTreeMap<ChunkId, Stock> = facts.ledger.files().chunks().map(stock).collect();
        let any = !stocks.is_empty();
        Shelves {
            members: BTreeMap::new(),
            suspects: BTreeSet::new(),
            live: Vec::new(),
            able: Vec::new(),
            stocks,
            puts: BTreeMap::new(),
            dirty: BTreeSet::new(),
            touched: BTreeSet::new(),
            opens_at: if any { facts.now + SETTLES } else { Time::NEVER },
            again_at: Time::NEVER,
            sweep_at: Time::NEVER,
        }
    }

    /// When [`Coordinator::tend`] is due.
    pub(super) fn deadline(&self) -> Time {
        self.opens_at.min(self.again_at).min(self.sweep_at)
    }

    /// Brings the shelves in line with the committed view.
    pub(super) fn meet(&mut self, facts: &Facts<'_>) {
        let view = facts.ledger.view();
        let belongs = |id: NodeId, shelf: &Shelf| {
            view.member(id).is_some_and(|member| member.incarnation == shelf.incarnation)
        };
        self.members.retain(|&id, shelf| belongs(id, shelf));
        // A new life says anew what it holds, by stamps of its own, and knows of nothing that the last one was to fetch.
        for stock in self.stocks.values_mut() {
            stock.holders.retain(|holder, _| self.members.contains_key(holder));
        }
        for member in view.members() {
            self.members.entry(member.id).or_insert_with(|| Shelf::new(member.incarnation));
        }
        self.dirty.extend(self.stocks.keys().copied());
    }

    /// Who is suspect has changed.
    pub(super) fn reassess(&mut self, suspect: impl Fn(NodeId) -> bool, now: Time, patience: Span) {
        self.suspects = self.members.keys().copied().filter(|&id| suspect(id)).collect();
        self.weigh(now, patience);
    }

    /// A member is asked to show that it answers.
    pub(super) fn question(&mut self, node: NodeId) {
        if let Some(shelf) = self.members.get_mut(&node) {
            (shelf.questioned, shelf.news) = (true, true);
            self.touched.insert(node);
        }
    }

    /// The members that have not answered for this long although they were asked again and again.
    pub(super) fn mute(&self, now: Time, patience: Span) -> impl Iterator<Item = NodeId> {
        self.members.iter().filter(move |(_, shelf)| shelf.is_mute(now, patience)).map(|(&id, _)| id)
    }

    /// Works out on whom copies are counted. Whoever does not answer for as long as it takes to evict a suspect is not, although it
    /// stays a member: it may be heard, and deaf. Whoever has no room is: a file is durable on as many disks as it shall be, or it is
    /// not stored.
    fn weigh(&mut self, now: Time, patience: Span) {
        let many = self.suspects.len() * 3 > self.members.len();
        let counts = |(id, shelf): &(&NodeId, &Shelf)| {
            (many || !self.suspects.contains(id)) && !shelf.is_mute(now, patience)
        };
        let live: Vec<NodeId> = self.members.iter().filter(counts).map(|(&id, _)| id).collect();
        let is_able = |id: &NodeId| now >= self.members[id].unable_until;
        let able: Vec<NodeId> = live.iter().copied().filter(is_able).collect();
        if (&live, &able) != (&self.live, &self.able) {
            (self.live, self.able) = (live, able);
            self.dirty.extend(self.stocks.keys().copied());
        }
    }

    /// How many copies there shall be of each chunk: at least one, also while there is nobody to hold it.
    fn copies(&self, wanted: u8) -> usize {
        usize::from(wanted).min(self.live.len()).max(1)
    }

    /// Those of the able members on which a chunk shall be, by rendezvous hashing (Thaler and Ravishankar, 1998): every chunk ranks all
    /// members in an order of its own, so that one that comes or goes moves nothing but its own share.
    fn homes(&self, chunk: ChunkId, copies: usize) -> Vec<NodeId> {
        let mut ranked: Vec<(u128, NodeId)> =
            self.able.iter().map(|&node| (Fold::of(&(chunk, node)), node)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(copies).map(|(_, node)| node).collect()
    }

    /// Whether enough live members hold a chunk.
    fn is_placed(&self, chunk: ChunkId, copies: usize) -> bool {
        self.stocks.get(&chunk).is_some_and(|stock| {
            self.live.iter().filter(|node| stock.holders.contains_key(node)).count() >= copies
        })
    }

    /// The live members that neither hold a chunk nor have room for it, if they are so many that it cannot be held as often as it shall.
    fn in_the_way(&self, chunk: ChunkId, copies: usize) -> Vec<NodeId> {
        let Some(stock) = self.stocks.get(&chunk) else { return Vec::new() };
        let full = |node: &NodeId| {
            !self.able.contains(node) && self.members[node].full && !stock.holders.contains_key(node)
        };
        let full: Vec<NodeId> = self.live.iter().copied().filter(full).collect();
        if self.live.len() - full.len() < copies { full } else { Vec::new() }
    }

    /// A chunk is needed on a shelf.
    fn want(&mut self, node: NodeId, chunk: ChunkId) {
        let Some(shelf) = self.members.get_mut(&node) else { return };
        if !shelf.coming.contains(&chunk) && shelf.wanted.insert(chunk) {
            self.touched.insert(node);
        }
    }

    /// A shelf shall hold a chunk no longer, and is not counted on from now on.
    fn drop(&mut self, node: NodeId, chunk: ChunkId) {
        let Some(stock) = self.stocks.get_mut(&chunk) else { return };
        let stamp = stock.holders.remove(&node);
        if let (Some(stamp), Some(shelf)) = (stamp, self.members.get_mut(&node)) {
            shelf.leaving.insert(chunk, (stock.bytes, stamp));
            shelf.news = true;
            self.touched.insert(node);
        }
    }

    /// A file that was being put is not any more.
    fn end_put(&mut self, pending: Pending) {
        let Some(put) = self.puts.remove(&pending) else { return };
        for chunk in put.chunks {
            if let Some(stock) = self.stocks.get_mut(&chunk) {
                stock.puts -= 1;
            }
            self.dirty.insert(chunk);
        }
    }

    /// Sends a member what it shall do, if there is something.
    fn flush(&mut self, node: NodeId, now: Time, epoch: Epoch, out: &mut Outbox) {
        let Some(shelf) = self.members.get_mut(&node) else { return };
        // What nobody has any more cannot be fetched.
        shelf.coming.retain(|chunk| self.stocks.contains_key(chunk));
        while shelf.coming.len() < FETCHES_MAX
            && let Some(chunk) = shelf.wanted.pop_first()
        {
            if self.stocks.contains_key(&chunk) {
                shelf.coming.insert(chunk);
                shelf.news = true;
            }
        }
        let has_answered = shelf.asked.is_none() && !shelf.questioned;
        if shelf.coming.is_empty() && shelf.leaving.is_empty() && has_answered {
            shelf.again_at = Time::NEVER;
            shelf.news = false;
            return;
        }
        if !std::mem::take(&mut shelf.news) && now < shelf.again_at {
            self.again_at = self.again_at.min(shelf.again_at);
            return;
        }
        let (stocks, live) = (&self.stocks, &self.live);
        let fetch = |id: &ChunkId| {
            let stock = stocks.get(id)?;
            let (mut near, far): (Vec<_>, Vec<_>) = (stock.holders.keys().copied())
                .filter(|&holder| holder != node)
                .partition(|holder| live.contains(holder));
            // Not everyone begins with the same one, and nobody with one that is suspect.
            if !near.is_empty() {
                let first = (Fold::of(&(id, node)) % near.len() as u128) as usize;
                near.rotate_left(first);
            }
            let from: Vec<NodeId> = near.into_iter().chain(far).take(SOURCES_MAX).collect();
            Some(Fetch { chunk: Chunk { id: *id, bytes: stock.bytes }, from })
        };
        let fetch = shelf.coming.iter().filter_map(fetch).collect();
        let leaves = |id: &ChunkId| !shelf.coming.contains(id) && !shelf.wanted.contains(id);
        let drop = (shelf.leaving.iter().filter(|(id, _)| leaves(id)).take(HOLDS_MAX))
            .map(|(&id, &(bytes, stamp))| (Chunk { id, bytes }, stamp))
            .collect();
        let tend = Tend { epoch, incarnation: shelf.incarnation, fetch, drop };
        out.send(node, Body::Store(StoreMessage::Tend(Arc::new(tend))));
        shelf.asked.get_or_insert(now);
        shelf.again_at = now + shelf.wait;
        shelf.wait = (shelf.wait * 2).min(WAIT_MAX);
        self.again_at = self.again_at.min(shelf.again_at);
    }

    /// Takes in what a member says that it holds; false when it was said before, or by an earlier life.
    fn note(&mut self, from: NodeId, holds: &Holds, now: Time) -> bool {
        let Some(shelf) = self.members.get_mut(&from) else { return false };
        if shelf.incarnation != holds.incarnation {
            return false;
        }
        if holds.serial <= shelf.serial {
            return true;
        }
        shelf.serial = holds.serial;
        let mut fresh = Vec::new();
        for holding in &holds.chunks {
            let Chunk { id, bytes } = holding.chunk;
            // An order to drop it may still be on its way, also where it is wanted again by now: then it gets another stamp.
            if shelf.leaving.get(&id).is_some_and(|(_, dropped)| holding.stamp == Some(*dropped)) {
                continue;
            }
            shelf.leaving.remove(&id);
            let stock = self.stocks.entry(id).or_insert_with(|| Stock::new(bytes));
            let came = shelf.coming.remove(&id);
            shelf.wanted.remove(&id);
            if came && holding.stamp.is_none() && (holding.unwritten || stock.is_spread(from)) {
                shelf.failures += 1;
                if shelf.failures >= FAILURES_MAX {
                    (shelf.failures, shelf.unable_until) = (0, now + UNABLE);
                    shelf.full = holding.unwritten;
                    self.sweep_at = self.sweep_at.min(shelf.unable_until);
                }
            } else if came && holding.stamp.is_some() {
                shelf.failures = 0;
            }
            if let Some(stamp) = holding.stamp {
                if stock.holders.insert(from, stamp).is_none() {
                    fresh.push(id);
                }
            } else {
                stock.holders.remove(&from);
                if came {
                    stock.rests_until = now + REST;
                }
            }
            self.dirty.insert(id);
        }
        for put in self.puts.values_mut() {
            // What failed, or was there already, brings no file further.
            if fresh.iter().any(|chunk| put.unplaced.contains(chunk)) {
                put.progress = now;
            }
        }
        // It has not heard what it was told for that: one that is deaf says the same again and again.
        shelf.wait = FIRST_WAIT;
        self.touched.insert(from);
        if self.opens_at == Time::NEVER && self.again_at == Time::NEVER {
            self.again_at = now;
        }
        true
    }
}

impl Shelf {
    /// Whether it has not answered for this long although it was asked again and again.
    fn is_mute(&self, now: Time, patience: Span) -> bool {
        self.asked.is_some_and(|asked| now.since(asked) >= patience)
    }

    fn new(incarnation: Incarnation) -> Shelf {
        Shelf {
            incarnation,
            serial: 0,
            wanted: BTreeSet::new(),
            coming: BTreeSet::new(),
            leaving: BTreeMap::new(),
            news: false,
            asked: None,
            questioned: false,
            failures: 0,
            unable_until: Time::ZERO,
            full: false,
            again_at: Time::NEVER,
            wait: FIRST_WAIT,
        }
    }
}

impl Stock {
    /// Whether there are several to fetch it from, so that it is hardly their fault when `node` does not get it. The only one that
    /// holds a chunk may be slow, or out of reach for everyone.
    fn is_spread(&self, node: NodeId) -> bool {
        self.holders.keys().filter(|&&holder| holder != node).count() > 1
    }

    fn new(bytes: u32) -> Stock {
        Stock { bytes, holders: BTreeMap::new(), puts: 0, idle_since: None, rests_until: Time::ZERO }
    }
}
