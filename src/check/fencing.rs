//! Invariant 5: nobody obeys an old reign, and nobody acts for a reign that it knows to be over.

use super::elections::Elections;
use super::roster::Who;
use super::verdict::{Findings, Invariant};
use crate::base::{AttemptId, Epoch, QueryId};
use crate::history::Machine;

/// What one process knows.
#[derive(Clone, Copy, Debug, Default)]
struct Knowledge {
    /// The newest reign that certainly reached it, and how it did.
    seen: Epoch,
    /// The reign that it leads.
    leads: Option<Epoch>,
    /// Whether it may lead a reign that began before the history did.
    unsure: bool,
}

/// What every process knows of reigns.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    processes: Vec<Knowledge>,
}

impl Fencing {
    fn process(&mut self, machine: Machine) -> &mut Knowledge {
        let place = machine as usize;
        if place >= self.processes.len() {
            self.processes.resize(place + 1, Knowledge::default());
        }
        &mut self.processes[place]
    }

    /// A process runs; if it did not begin `anew`, it may lead already.
    pub(super) fn on_up(&mut self, machine: Machine, anew: bool) {
        *self.process(machine) = Knowledge { unsure: !anew, ..Knowledge::default() };
    }

    /// A process ended.
    pub(super) fn reset(&mut self, machine: Machine) {
        *self.process(machine) = Knowledge::default();
    }

    /// The process was elected.
    pub(super) fn on_led(&mut self, machine: Machine, epoch: Epoch) {
        let process = self.process(machine);
        (process.leads, process.unsure) = (Some(epoch), false);
        process.seen = process.seen.max(epoch);
    }

    /// The reign that the process on a machine leads.
    pub(super) fn leads(&self, machine: Machine) -> Option<Epoch> {
        self.processes.get(machine as usize)?.leads
    }

    /// It no longer leads.
    pub(super) fn on_stepped_down(&mut self, machine: Machine) {
        let process = self.process(machine);
        (process.leads, process.unsure) = (None, false);
    }

    /// It takes part in an election: a reign of its own before that is over.
    pub(super) fn on_voted(&mut self, machine: Machine, epoch: Epoch) {
        let process = self.process(machine);
        process.leads = process.leads.filter(|&leads| leads >= epoch);
    }

    /// It holds something that a reign made.
    pub(super) fn on_seen(&mut self, machine: Machine, epoch: Epoch) {
        self.on_voted(machine, epoch);
        let process = self.process(machine);
        process.seen = process.seen.max(epoch);
    }

    /// It does what only a coordinator does; `epoch` is the reign that it names, if it names one.
    pub(super) fn on_act(&mut self, who: Who, act: &str, epoch: Option<Epoch>, findings: &mut Findings) {
        let Knowledge { leads, unsure, .. } = *self.process(who.machine);
        if unsure {
            return;
        }
        let detail = match (leads, epoch) {
            (None, _) => format!("it {act} and does not lead"),
            (Some(leads), Some(epoch)) if leads != epoch => {
                format!("it {act} for {epoch} and leads {leads}")
            }
            (Some(_), _) => return,
        };
        findings.report(Invariant::Fenced, who.at, &[who.machine], format_args!("{detail}"));
    }

    /// As a worker it took an order.
    pub(super) fn on_accepted(
        &mut self,
        who: Who,
        (query, attempt): (QueryId, AttemptId),
        epoch: Epoch,
        elections: &Elections,
        findings: &mut Findings,
    ) {
        findings.census.orders += 1;
        let seen = self.process(who.machine).seen;
        let tells_all = !findings.gaps.any();
        let mut report = |detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::Fenced, who.at, &[who.machine], detail);
        };
        if epoch < seen {
            report(format_args!("it took query {query} from {epoch} after it had seen {seen}"));
        }
        if tells_all && elections.reign(epoch).is_none() {
            report(format_args!("it took query {query} from {epoch}, which nobody led"));
        }
        if attempt.epoch > epoch {
            report(format_args!("it took attempt {attempt} from the earlier {epoch}"));
        }
        self.on_seen(who.machine, epoch);
    }
}
