//! Whom the quorum can do without: the machines that can lose their disk, or go for good, and leave a cluster that goes on.
//!
//! What voters have acknowledged survives as long as a majority of those who have seats keep their disks. Seats change while
//! machines come and go, and a change is in force before it is committed, so that this can be said only at the moment itself,
//! and of all seats that anyone acts by: those of the newest commit, and those after it that are in some log.

use std::sync::Arc;

use super::host::Process;
use super::world::World;
use crate::base::NodeId;
use crate::history::{Machine, Watcher};
use crate::node::{self, Payload, Seats, Status};
use crate::scenario::{Scene, can_decide};

impl<P: Process, W: Watcher> Scene for World<'_, P, W> {
    fn machines(&self) -> Machine {
        self.hosts.len() as Machine
    }

    fn status(&self, machine: Machine) -> Option<Status> {
        self.hosts[machine as usize].status()
    }

    fn works(&self, machine: Machine) -> bool {
        self.plan.nodes[machine as usize].worker
    }

    /// Whether `lost`, all at once, can lose their disks or go for good: of all seats in force a majority stays with those who
    /// have their disks and are there, or will be again; and somebody is left to work.
    fn can_spare(&self, lost: &[Machine]) -> bool {
        let stays =
            |machine: Machine| !lost.contains(&machine) && !self.faults.takes_for_good(machine, self.plan);
        let works = |machine: Machine| self.plan.nodes[machine as usize].worker;
        let keeps = |id: NodeId| {
            self.book.find(id).is_some_and(|address| {
                let (host, disk) =
                    (&self.hosts[address.machine as usize], &self.disks[address.machine as usize]);
                stays(address.machine) && host.disk == address.disk && disk.damage().is_empty()
            })
        };
        let stands = |seats: &Seats| can_decide(seats, keeps);
        let committed = &self.watch.seats;
        let machines = || 0..self.hosts.len() as Machine;
        let in_force = machines().map(|machine| self.seats_of(machine));
        stands(committed)
            && in_force.filter(|seats| seats.number > committed.number).all(|seats| stands(&seats))
            && machines().any(|machine| works(machine) && stays(machine))
    }
}

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// The seats by which the process on a machine acts, or by which the next one will.
    fn seats_of(&self, machine: Machine) -> Arc<Seats> {
        let said = self.hosts[machine as usize].seats.clone();
        said.unwrap_or_else(|| seats_on(self.disks[machine as usize].durable()))
    }
}

/// The newest seats in the log on a disk.
fn seats_on(disk: &node::Disk) -> Arc<Seats> {
    let appended = disk.entries.iter().rev().find_map(|entry| match &*entry.payload {
        Payload::Seats(seats) => Some(seats),
        Payload::Noop | Payload::Command(_) => None,
    });
    let covered = || disk.snapshot.as_ref().map(|snapshot| &snapshot.seats);
    appended.or_else(covered).cloned().unwrap_or_default()
}
