//! Invariant 6: the line of views, and the lives that enter and leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::roster::Who;
use super::verdict::{Findings, Invariant};
use crate::base::{Incarnation, NodeId, Time, ViewId};
use crate::history::Machine;
use crate::node::{Member, View, ViewChange};

/// What is known of a view.
#[derive(Clone, Copy, Debug)]
struct Known {
    digest: u128,
    first: Machine,
    /// When it was installed or committed first.
    at: Time,
    committed: Option<Time>,
}

/// A node as the views have known it.
#[derive(Clone, Copy, Debug)]
struct Life {
    highest: Incarnation,
    /// The last life that left, and the view that it is not in any more.
    left: Option<(Incarnation, ViewId)>,
}

/// All views.
#[derive(Debug, Default)]
pub(super) struct Views {
    known: BTreeMap<ViewId, Known>,
    latest: Option<Arc<View>>,
    lives: BTreeMap<NodeId, Life>,
    /// The highest life of each node that began.
    born: BTreeMap<NodeId, Incarnation>,
    /// Nodes that were given an old copy of their disk, and have not begun a higher life than ever since.
    aged: BTreeSet<NodeId>,
    /// Those among them whose present life was in a view before it began: it was another process's.
    haunting: BTreeSet<NodeId>,
    /// Per machine what its present process installed, and the newest view in the log that it applied.
    installed: BTreeMap<Machine, ViewId>,
    applied: BTreeMap<Machine, ViewId>,
}

impl Views {
    /// The history lacks what was before: the next view need not follow from the last one.
    pub(super) fn take_up(&mut self) {
        self.latest = None;
    }

    /// The newest committed view.
    pub(super) fn latest(&self) -> Option<&Arc<View>> {
        self.latest.as_ref()
    }

    /// What the present process on a machine installed.
    pub(super) fn installed(&self, machine: Machine) -> Option<ViewId> {
        self.installed.get(&machine).copied()
    }

    /// When a view was committed.
    pub(super) fn committed_at(&self, view: ViewId) -> Option<Time> {
        self.known.get(&view).and_then(|known| known.committed)
    }

    pub(super) fn on_up(&mut self, machine: Machine) {
        self.installed.remove(&machine);
        self.applied.remove(&machine);
    }

    pub(super) fn on_born(&mut self, who: Who, incarnation: Incarnation, findings: &mut Findings) {
        let before = self.born.get(&who.id).copied();
        let highest = before.map_or(incarnation, |before| before.max(incarnation));
        self.born.insert(who.id, highest);
        if self.lives.get(&who.id).is_some_and(|life| life.highest >= incarnation)
            && self.aged.contains(&who.id)
        {
            self.haunting.insert(who.id);
        } else {
            self.haunting.remove(&who.id);
        }
        if before.is_none_or(|before| before < incarnation) {
            self.aged.remove(&who.id);
        } else if let Some(before) = before.filter(|_| !self.aged.contains(&who.id)) {
            let detail = format_args!("it began {incarnation} after {before}");
            findings.report(Invariant::ViewsOrdered, who.at, &[who.machine], detail);
        }
    }

    /// A node was given an old copy of its disk: it will count its lives from there, and only that is forgiven.
    pub(super) fn on_aged(&mut self, id: NodeId) {
        self.aged.insert(id);
    }

    pub(super) fn on_installed(&mut self, who: Who, view: ViewId, digest: u128, findings: &mut Findings) {
        findings.census.views_installed += 1;
        if let Some(before) = self.installed.insert(who.machine, view).filter(|&before| before > view) {
            let detail = format_args!("it went back from {before} to {view}");
            findings.report(Invariant::ViewsOrdered, who.at, &[who.machine], detail);
        }
        self.see(who, view, digest, findings);
    }

    /// Someone holds a view: all who do hold the same.
    fn see(&mut self, who: Who, view: ViewId, digest: u128, findings: &mut Findings) {
        let fresh = Known { digest, first: who.machine, at: who.at, committed: None };
        let known = *self.known.entry(view).or_insert(fresh);
        if known.digest != digest {
            let detail = format_args!("they hold different views under the name of {view}");
            findings.report(Invariant::ViewsOrdered, who.at, &[known.first, who.machine], detail);
        }
    }

    /// A node applied a view change, which need not be new.
    pub(super) fn on_applied(&mut self, who: Who, view: ViewId) {
        self.applied.insert(who.machine, view);
    }

    /// A view was committed, for the first time anywhere.
    pub(super) fn on_changed(
        &mut self,
        who: Who,
        view: &Arc<View>,
        change: &ViewChange,
        findings: &mut Findings,
    ) {
        findings.census.views += 1;
        self.see(who, view.id(), view.digest(), findings);
        if let Some(known) = self.known.get_mut(&view.id()) {
            known.committed.get_or_insert(who.at);
        }
        let lacks = findings.gaps.any();
        let mut report = |detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::ViewsOrdered, who.at, &[who.machine], detail);
        };
        let last = self.latest.as_ref().map_or(ViewId(0), |latest| latest.id());
        if self.latest.is_none() && lacks {
            // What it follows is not known: it is where the line is taken up.
            for member in view.members() {
                let life =
                    self.lives.entry(member.id).or_insert(Life { highest: Incarnation(0), left: None });
                life.highest = life.highest.max(member.incarnation);
            }
            self.latest = Some(Arc::clone(view));
            return;
        }
        if view.id() != last.next() {
            report(format_args!("{} was committed after {last}", view.id()));
        }
        let before = self.latest.replace(Arc::clone(view));
        let before = before.as_deref().map_or(&[][..], View::members);
        let joined: BTreeMap<NodeId, &Member> =
            change.joined.iter().map(|member| (member.id, member)).collect();
        let mut old = before.iter().peekable();
        for member in view.members() {
            while let Some(left) = old.next_if(|left| left.id < member.id) {
                self.leave(left, view.id(), change, &mut report);
            }
            let stays = old.next_if(|old| old.id == member.id);
            if stays != Some(member) {
                if joined.get(&member.id) != Some(&member) {
                    report(format_args!("{} is in {} and neither stayed nor joined", member.name, view.id()));
                }
                self.enter(member, stays, view.id(), lacks, &mut report);
            }
        }
        for left in old {
            self.leave(left, view.id(), change, &mut report);
        }
    }

    fn enter(
        &mut self,
        member: &Member,
        before: Option<&Member>,
        view: ViewId,
        lacks: bool,
        report: &mut dyn FnMut(std::fmt::Arguments<'_>),
    ) {
        let (id, incarnation, name) = (member.id, member.incarnation, &member.name);
        let founding = view == ViewId(1);
        // Where something is lacking it may have begun before, or have told nobody.
        if !founding && !lacks && self.born.get(&id).is_none_or(|&born| born < incarnation) {
            report(format_args!("{name} entered {view} in {incarnation}, which never began"));
        }
        let life = self.lives.entry(id).or_insert(Life { highest: Incarnation(0), left: None });
        if incarnation <= life.highest {
            report(format_args!("{name} entered {view} in {incarnation} after {}", life.highest));
        }
        life.highest = life.highest.max(incarnation);
        if let Some(before) = before {
            life.left = Some((before.incarnation, view));
        }
    }

    fn leave(
        &mut self,
        member: &Member,
        view: ViewId,
        change: &ViewChange,
        report: &mut dyn FnMut(std::fmt::Arguments<'_>),
    ) {
        if !change.gone.contains(&(member.id, member.incarnation)) {
            report(format_args!("{} is missing from {view} and did not leave", member.name));
        }
        if let Some(life) = self.lives.get_mut(&member.id) {
            life.left = Some((member.incarnation, view));
        }
    }

    /// A coordinator gave work to a life of a worker.
    pub(super) fn on_dispatched(
        &mut self,
        who: Who,
        worker: NodeId,
        incarnation: Incarnation,
        findings: &mut Findings,
    ) {
        let knows = self.applied.get(&who.machine).copied().unwrap_or_default();
        let left = self.lives.get(&worker).and_then(|life| life.left);
        if let Some((_, view)) = left.filter(|&(left, view)| incarnation <= left && view <= knows) {
            let detail = format_args!("it gave work to {incarnation} of {worker}, which left in {view}");
            findings.report(Invariant::ViewsOrdered, who.at, &[who.machine], detail);
        }
    }

    /// A worker took an order: what it was given was meant for its life, and so nobody else may have had that.
    pub(super) fn on_accepted(&mut self, who: Who, findings: &mut Findings) {
        if self.haunting.contains(&who.id) {
            let detail = format_args!("it took work in a life that an earlier process of its had before");
            findings.report(Invariant::ViewsOrdered, who.at, &[who.machine], detail);
        }
    }

    /// The trial is over: whoever holds a view that was never committed made it up.
    pub(super) fn finish(&self, findings: &mut Findings) {
        if findings.gaps.any() {
            return;
        }
        for (view, known) in &self.known {
            if known.committed.is_none() && *view > ViewId(1) {
                let detail = format_args!("it installed {view}, which was never committed");
                findings.report(Invariant::ViewsOrdered, known.at, &[known.first], detail);
            }
        }
    }
}
