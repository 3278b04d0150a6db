//! Which node's process runs on which machine, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Incarnation, NodeId, Time};
use crate::history::{FaultEvent, FaultPhase, Machine};
use crate::scenario::{FaultKind, Plan};

/// Who observed something, where and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) at: Time,
    pub(super) machine: Machine,
    pub(super) id: NodeId,
}

/// One machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    /// The node whose process runs here.
    pub(super) runs: Option<NodeId>,
    /// The node whose process ran here last.
    last: Option<NodeId>,
    /// Whether that process stands still.
    pub(super) paused: bool,
    /// The life that it is in; `None` before it is born and after it was expelled.
    pub(super) life: Option<Incarnation>,
    /// Faults in force that keep messages from it or from others.
    severed: u32,
}

impl Seat {
    /// Whether a process runs here undisturbed.
    pub(super) fn is_healthy(&self) -> bool {
        self.runs.is_some() && !self.paused && self.severed == 0
    }
}

/// All machines.
#[derive(Debug)]
pub(super) struct Roster {
    seats: Vec<Seat>,
    /// How many of them are not healthy.
    unwell: usize,
    workers: Vec<bool>,
    homes: BTreeMap<NodeId, Machine>,
    /// Whether a machine has ever come back as another node.
    replaced: bool,
    /// Whether a fault of the plan, by its position, hinders messages while it is in force.
    severs: Vec<bool>,
    /// The faults in force, by position and machines: one that hits each machine on its own is there once for each.
    in_force: BTreeSet<(u32, Vec<Machine>)>,
}

impl Roster {
    pub(super) fn new(plan: &Plan) -> Roster {
        Roster {
            seats: vec![Seat::default(); plan.nodes.len()],
            unwell: plan.nodes.len(),
            workers: plan.nodes.iter().map(|node| node.worker).collect(),
            homes: BTreeMap::new(),
            replaced: false,
            severs: plan.faults.iter().map(|fault| severs(&fault.kind)).collect(),
            in_force: BTreeSet::new(),
        }
    }

    /// Changes the machine at this position; one that the plan does not know is added.
    fn change(&mut self, machine: Machine, change: impl FnOnce(&mut Seat)) {
        let place = machine as usize;
        if place >= self.seats.len() {
            self.unwell += place + 1 - self.seats.len();
            self.seats.resize(place + 1, Seat::default());
            self.workers.resize(place + 1, true);
        }
        let seat = &mut self.seats[place];
        let before = seat.is_healthy();
        change(seat);
        match (before, seat.is_healthy()) {
            (true, false) => self.unwell += 1,
            (false, true) => self.unwell -= 1,
            (true, true) | (false, false) => {}
        }
    }

    /// Whether every machine runs undisturbed.
    pub(super) fn is_whole(&self) -> bool {
        self.unwell == 0
    }

    /// Whether a machine has ever lost its disk.
    pub(super) fn has_replaced(&self) -> bool {
        self.replaced
    }

    /// All machines, in order of their positions.
    pub(super) fn seats(&self) -> impl Iterator<Item = (Machine, &Seat)> {
        (0..).zip(&self.seats)
    }

    /// Who runs on a machine.
    pub(super) fn runs(&self, machine: Machine) -> Option<NodeId> {
        self.seats.get(machine as usize).and_then(|seat| seat.runs)
    }

    /// Where a node runs, or ran last.
    pub(super) fn home(&self, id: NodeId) -> Option<Machine> {
        self.homes.get(&id).copied()
    }

    /// The machine on which a node's process runs at present.
    pub(super) fn running(&self, id: NodeId) -> Option<&Seat> {
        let seat = &self.seats[self.home(id)? as usize];
        (seat.runs == Some(id)).then_some(seat)
    }

    /// Whether a node's process runs at present, undisturbed.
    pub(super) fn is_healthy(&self, id: NodeId) -> bool {
        self.running(id).is_some_and(Seat::is_healthy)
    }

    /// Whether a machine takes queries.
    pub(super) fn is_worker(&self, machine: Machine) -> bool {
        self.workers.get(machine as usize).copied().unwrap_or(true)
    }

    /// A process began: who ran on the machine before, if that is another node.
    pub(super) fn up(&mut self, machine: Machine, id: NodeId) -> Option<NodeId> {
        let before = self.last(machine).filter(|&before| before != id);
        self.replaced |= before.is_some();
        self.homes.insert(id, machine);
        self.change(machine, |seat| {
            *seat = Seat { runs: Some(id), last: Some(id), severed: seat.severed, ..Seat::default() };
        });
        before
    }

    /// Who ran on a machine last.
    pub(super) fn last(&self, machine: Machine) -> Option<NodeId> {
        self.seats.get(machine as usize).and_then(|seat| seat.last)
    }

    /// A process ended.
    pub(super) fn down(&mut self, machine: Machine) {
        self.change(machine, |seat| {
            *seat = Seat { last: seat.last, severed: seat.severed, ..Seat::default() };
        });
    }

    /// A process stands still, or goes on.
    pub(super) fn pause(&mut self, machine: Machine, paused: bool) {
        self.change(machine, |seat| seat.paused = paused);
    }

    /// A process begins a life, or its life was ended by others.
    pub(super) fn live(&mut self, machine: Machine, life: Option<Incarnation>) {
        self.change(machine, |seat| seat.life = life);
    }

    /// A fault began or ended: the machines whose health may have changed.
    pub(super) fn fault(&mut self, event: &FaultEvent) -> Vec<Machine> {
        // A fault that the plan does not know is taken for one that hinders messages: the more careful reading.
        if !self.severs.get(event.fault as usize).copied().unwrap_or(true) {
            return Vec::new();
        }
        match event.phase {
            FaultPhase::Began => {
                if self.in_force.insert((event.fault, event.machines.clone())) {
                    for &machine in &event.machines {
                        self.change(machine, |seat| seat.severed += 1);
                    }
                }
                event.machines.clone()
            }
            FaultPhase::Ended => {
                if !self.in_force.remove(&(event.fault, event.machines.clone())) {
                    return Vec::new();
                }
                for &machine in &event.machines {
                    self.change(machine, |seat| seat.severed -= 1);
                }
                event.machines.clone()
            }
            FaultPhase::TookEffect | FaultPhase::Missed { .. } => Vec::new(),
        }
    }
}

/// Whether a fault hinders messages, or what they wait for, while it is in force. What processes and engines suffer shows in other records.
fn severs(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::Isolate
        | FaultKind::Cut { .. }
        | FaultKind::Loss(_)
        | FaultKind::SlowLink(_)
        | FaultKind::Jam
        | FaultKind::Partial(_)
        // Who starves or has a clock that runs wrong is late, or takes others for late.
        | FaultKind::Starve(_)
        | FaultKind::Skew(_)
        | FaultKind::Delay(_)
        | FaultKind::Duplicate(_)
        | FaultKind::Reorder(_)
        // Who waits for a slow disk votes late and acknowledges late.
        | FaultKind::SlowDisk(_) => true,
        FaultKind::Crash { .. }
        | FaultKind::Restart
        | FaultKind::Leave
        | FaultKind::Pause
        | FaultKind::Suspend
        | FaultKind::Slow(_)
        | FaultKind::LoadFailure { .. }
        | FaultKind::EngineDeath
        | FaultKind::Stuck
        | FaultKind::FullDisk
        | FaultKind::Corrupt
        | FaultKind::Rollback
        | FaultKind::Rot
        | FaultKind::BadOutput(_)
        | FaultKind::RepeatOutput => false,
    }
}
