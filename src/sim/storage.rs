//! What disks do to their processes: they let them wait, send them away when there is no room, and forget.

use super::host::{Local, Process};
use super::world::{Event, World};
use crate::history::{Machine, Watcher};
use crate::node::{Input, Token};

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// Begins a sync if something waits for one. Where there is no room the process ends instead.
    pub(super) fn sync(&mut self, machine: Machine) {
        let disk = &mut self.disks[machine as usize];
        if disk.refuses() {
            self.crash(machine);
            self.await_room(machine);
            return;
        }
        if let Some(takes) = disk.sync(&self.plan.disk) {
            let faults = std::mem::take(&mut disk.took_effect);
            let life = self.hosts[machine as usize].life;
            self.queue.push(self.now + takes, Event::Synced { machine, life });
            self.took_effect(faults);
        }
    }

    /// A sync has ended: what waited for it leaves, the next begins, and the process is told.
    pub(super) fn synced(&mut self, machine: Machine) {
        let token: Token = self.disks[machine as usize].synced();
        self.watcher.synced(self.now, machine);
        while let Some(held) = self.disks[machine as usize].release() {
            self.send(machine, held.to, held.message);
        }
        self.sync(machine);
        if self.hosts[machine as usize].runs() {
            self.step(machine, Input::Persisted(token));
        }
    }

    /// A sync has ended, if the process that began it still lives.
    pub(super) fn sync_ends(&mut self, machine: Machine, life: u32) {
        if self.hosts[machine as usize].life == life {
            self.local(machine, Local::Synced);
        }
    }

    /// Whether a process can begin on `machine`: its disk must have room for the record of the new life, and one that is
    /// damaged is refused, so that the process begins with an empty one.
    pub(super) fn admits(&mut self, machine: Machine) -> bool {
        if self.disks[machine as usize].is_full() {
            self.await_room(machine);
            return false;
        }
        let damage = self.disks[machine as usize].damage().to_vec();
        if !damage.is_empty() {
            self.wipe(machine);
            self.took_effect(damage);
        }
        true
    }

    /// The process on `machine`, which does not run, begins as soon as there is room.
    fn await_room(&mut self, machine: Machine) {
        self.hosts[machine as usize].awaits_room = true;
        let faults = self.disks[machine as usize].full().to_vec();
        self.took_effect(faults);
    }

    /// Starts the process that waited for room, if there is some now.
    pub(super) fn make_room(&mut self, machine: Machine) {
        if self.hosts[machine as usize].awaits_room && !self.disks[machine as usize].is_full() {
            self.start(machine);
        }
    }

    /// Puts back the copies that `fault` has made; processes that run end and start from them. A disk on which the log has
    /// changed since is left alone: its node may vote, or be about to, and what voters have acknowledged is never lost.
    pub(super) fn roll_back(&mut self, fault: u32, machines: &[Machine]) {
        let mut ran = Vec::new();
        let mut changed = false;
        for &machine in machines {
            if self.crash(machine) {
                ran.push(machine);
            }
            changed |= self.disks[machine as usize].restore(fault);
        }
        if changed {
            self.took_effect(vec![fault]);
        }
        for machine in ran {
            self.start(machine);
        }
    }
}
