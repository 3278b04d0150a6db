//! Invariant 10: a file that is stored stays on as many disks as it should, as long as no more disks are lost than it has copies.
//!
//! What counts are the disks: members say when a chunk becomes durable, when they drop it and when it is lost. A machine whose process
//! begins as another node has lost its disk, and with it every chunk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::roster::Who;
use super::verdict::{Findings, Invariant};
use crate::base::{ChunkId, NodeId};
use crate::history::Machine;
use crate::node::{Content, Version, View};

/// What is known of files and disks.
#[derive(Debug)]
pub(super) struct Files {
    /// How many disks shall hold each chunk.
    copies: usize,
    disks: BTreeMap<Machine, Disk>,
    chunks: BTreeMap<ChunkId, Known>,
    /// The members, by the newest view that was applied.
    members: BTreeSet<NodeId>,
}

/// The disk of one machine.
#[derive(Debug, Default)]
struct Disk {
    of: Option<NodeId>,
    holds: BTreeSet<ChunkId>,
}

/// One chunk.
#[derive(Debug, Default)]
struct Known {
    /// How many disks hold it.
    on: usize,
    /// How many versions refer to it.
    versions: u32,
    /// On how many disks it had to be when all copies were there last.
    full: usize,
    /// How many disks have lost it since.
    lost: usize,
    /// The nodes whose disks were lost with it since, and those of earlier times that are members all the same: until they are
    /// evicted a coordinator may count on them.
    dead: Vec<NodeId>,
}

impl Known {
    /// On how many disks it was that may be counted on although they have it no more.
    fn missing(&self) -> usize {
        self.lost + self.dead.len()
    }
}

impl Files {
    pub(super) fn new(copies: u8) -> Files {
        Files {
            copies: usize::from(copies),
            disks: BTreeMap::new(),
            chunks: BTreeMap::new(),
            members: BTreeSet::new(),
        }
    }

    /// A process begins.
    pub(super) fn on_up(&mut self, who: Who, findings: &mut Findings) {
        let disk = self.disks.entry(who.machine).or_default();
        let of = disk.of.replace(who.id);
        if of == Some(who.id) {
            return;
        }
        for chunk in std::mem::take(&mut disk.holds) {
            self.lose(who, chunk, of, findings);
        }
    }

    pub(super) fn on_view(&mut self, view: &View) {
        self.members = view.members().iter().map(|member| member.id).collect();
    }

    pub(super) fn on_held(&mut self, who: Who, chunk: ChunkId) {
        let fresh = self.disks.entry(who.machine).or_default().holds.insert(chunk);
        let all = self.copies.min(self.members.len());
        let known = self.chunks.entry(chunk).or_default();
        known.on += usize::from(fresh);
        if known.on >= all {
            (known.full, known.lost) = (all, 0);
            known.dead.retain(|node| self.members.contains(node));
        }
    }

    pub(super) fn on_dropped(&mut self, who: Who, chunk: ChunkId, findings: &mut Findings) {
        if !self.disks.entry(who.machine).or_default().holds.remove(&chunk) {
            return;
        }
        let Some(known) = self.chunks.get_mut(&chunk) else { return };
        known.on -= 1;
        // Another that was counted on may just have been lost.
        if known.on == 0 && known.versions > 0 && known.missing() < known.full {
            let (lost, full) = (known.missing(), known.full);
            let detail = format_args!(
                "the last copy of chunk {chunk:?} was dropped, and a file consists of it; {lost} of {full} disks that held it were lost"
            );
            findings.report(Invariant::FilesKept, who.at, &[who.machine], detail);
        }
        self.forget(chunk);
    }

    pub(super) fn on_lost(&mut self, who: Who, chunk: ChunkId, findings: &mut Findings) {
        if self.disks.entry(who.machine).or_default().holds.remove(&chunk) {
            self.lose(who, chunk, None, findings);
        }
    }

    /// A disk has a chunk no more; with it the node is dead whose disk it was.
    fn lose(&mut self, who: Who, chunk: ChunkId, dead: Option<NodeId>, findings: &mut Findings) {
        let Some(known) = self.chunks.get_mut(&chunk) else { return };
        known.on -= 1;
        match dead {
            Some(node) => known.dead.push(node),
            None => known.lost += 1,
        }
        if known.on == 0 && known.versions > 0 && known.missing() < known.full {
            let (lost, full) = (known.missing(), known.full);
            let detail = format_args!(
                "chunk {chunk:?} of a stored file is gone after {lost} of the {full} disks that held it were lost"
            );
            findings.report(Invariant::FilesKept, who.at, &[who.machine], detail);
        }
        self.forget(chunk);
    }

    fn forget(&mut self, chunk: ChunkId) {
        // What was lost counts on: a coordinator that does not know of it yet may propose a file of it.
        if self
            .chunks
            .get(&chunk)
            .is_some_and(|known| (known.on, known.missing(), known.versions) == (0, 0, 0))
        {
            self.chunks.remove(&chunk);
        }
    }

    /// A coordinator says that so many disks hold all of a file, which it proposes. A disk that was lost a moment ago may be among
    /// them: it counts as one of those that may be lost.
    pub(super) fn on_placed(
        &mut self,
        who: Who,
        (name, content): (&Arc<str>, &Content),
        (copies, live): (u8, u32),
        findings: &mut Findings,
    ) {
        let mut report = |detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::FilesKept, who.at, &[who.machine], detail);
        };
        let wanted = self.copies.min(live as usize).max(1);
        if usize::from(copies) < wanted {
            report(format_args!("{name} was proposed for {copies} disks although {wanted} could hold it"));
        }
        for chunk in &content.chunks {
            let on = self.chunks.get(&chunk.id).map_or(0, |known| known.on + known.missing());
            if on < usize::from(copies) {
                let id = chunk.id;
                report(format_args!(
                    "{name} was proposed when {on} disks held its chunk {id:?} and not {copies}"
                ));
            }
        }
    }

    /// A version of a file is committed, and others are gone.
    pub(super) fn on_put(&mut self, version: &Version, gone: &[Arc<Version>]) {
        let all = self.copies.min(self.members.len());
        for chunk in &version.content.chunks {
            let known = self.chunks.entry(chunk.id).or_default();
            if known.versions == 0 {
                (known.full, known.lost) = (known.on.min(all), 0);
                known.dead.retain(|node| self.members.contains(node));
            }
            known.versions += 1;
        }
        self.on_gone(gone);
    }

    /// Versions are gone.
    pub(super) fn on_gone(&mut self, gone: &[Arc<Version>]) {
        for chunk in gone.iter().flat_map(|version| &version.content.chunks) {
            if let Some(known) = self.chunks.get_mut(&chunk.id) {
                known.versions = known.versions.saturating_sub(1);
            }
            self.forget(chunk.id);
        }
    }
}
