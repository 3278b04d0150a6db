//! Machines that get no processor time, and clocks that run wrong.

use super::course::Standing;
use super::faults::FaultStep;
use super::host::Process;
use super::world::{Event, World};
use crate::base::{Rng, Span, Time};
use crate::history::{Machine, Watcher};
use crate::scenario::FaultKind;

/// What a starved machine gets at a time, and the least that it waits for it.
const TURN: Span = Span::millis(1);

/// How one machine starves.
#[derive(Debug)]
pub(super) struct Starved {
    machine: Machine,
    /// Whether it waits for its turn, or has it.
    waits: bool,
    /// When that ends; what was queued for another moment is void.
    due: Time,
    rng: Rng,
}

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// The machines that `fault` hits starve from now on: each stands still, time and again, until it has its turn.
    pub(super) fn starve(&mut self, fault: u32) {
        let course = &mut self.faults.all[fault as usize];
        let starved = |&machine: &Machine| Starved {
            machine,
            waits: false,
            due: self.now,
            rng: course.turns.rng.fork("starve").fork_number(machine.into()),
        };
        course.starved = course.machines.iter().map(starved).collect();
        for place in 0..self.faults.all[fault as usize].starved.len() {
            self.turn(fault, place as u32);
        }
    }

    /// A starved machine gets its turn, or has had it.
    pub(super) fn turn(&mut self, fault: u32, place: u32) {
        let now = self.now;
        let FaultKind::Starve(late) = self.planned(fault).kind else { return };
        let course = &mut self.faults.all[fault as usize];
        let Some(starved) = course.starved.get_mut(place as usize) else { return };
        if course.standing != Standing::InForce || starved.due != now {
            return;
        }
        starved.waits = !starved.waits;
        let (waits, machine) = (starved.waits, starved.machine);
        let takes = if waits { late.sample(&mut starved.rng).max(TURN) } else { TURN };
        starved.due = now + takes;
        self.queue.push(now + takes, Event::Fault { fault, step: FaultStep::Turn(place) });
        if waits {
            self.hosts[machine as usize].starved += 1;
            if self.hosts[machine as usize].runs() {
                self.took_effect(vec![fault]);
            }
        } else {
            self.hosts[machine as usize].starved -= 1;
            self.catch_up(machine);
        }
    }

    /// The machines that `fault` starves are fed.
    pub(super) fn feed(&mut self, fault: u32) {
        for starved in std::mem::take(&mut self.faults.all[fault as usize].starved) {
            if starved.waits {
                self.hosts[starved.machine as usize].starved -= 1;
                self.catch_up(starved.machine);
            }
        }
    }

    /// The clocks of these machines run `factor` times as fast, or as ever when it is `None`.
    pub(super) fn skew(&mut self, fault: u32, machines: &[Machine], factor: Option<f64>) {
        for &machine in machines {
            let host = &mut self.hosts[machine as usize];
            host.skews.retain(|(of, _)| *of != fault);
            host.skews.extend(factor.map(|factor| (fault, factor)));
            host.set_clock(self.now);
            self.rearm(machine);
        }
    }

    /// The processes on these machines stand still, and their clocks with them.
    pub(super) fn suspend(&mut self, machines: &[Machine]) {
        for &machine in machines {
            if self.pause(machine) {
                let host = &mut self.hosts[machine as usize];
                host.suspended = true;
                host.set_clock(self.now);
            }
        }
    }

    /// They go on, and for them no time has passed.
    pub(super) fn wake_up(&mut self, machines: &[Machine]) {
        for &machine in machines {
            let host = &mut self.hosts[machine as usize];
            if std::mem::take(&mut host.suspended) {
                host.set_clock(self.now);
                self.resume(machine);
            }
        }
    }
}
