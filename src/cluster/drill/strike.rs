//! How faults are really done, and undone.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fault::{Course, Standing, is_of_network};
use super::net::{self, Harm};
use super::{DrillError, Stage, needs, small};
use crate::base::{Span, Time};
use crate::history::{Machine, What};
use crate::scenario::{Direction, FaultKind, Links};

impl Stage<'_> {
    /// Does what the fault does when it begins.
    pub(super) fn inject(
        &mut self,
        number: usize,
        kind: &FaultKind,
        machines: &[Machine],
        other: Option<&[Machine]>,
    ) -> Result<(), DrillError> {
        match kind {
            FaultKind::Crash { .. } | FaultKind::Restart => {
                for &machine in machines {
                    self.crash(machine)?;
                    if matches!(kind, FaultKind::Crash { wipe: true }) {
                        self.hosts[machine as usize].wipe().map_err(needs("an empty disk"))?;
                    }
                }
                self.faults.all[number].lives = self.lives(machines, 0);
                self.took_effect(number);
            }
            FaultKind::Leave => {
                // The life that follows the one that leaves.
                self.faults.all[number].lives = self.lives(machines, 1);
                for &machine in machines {
                    self.hosts[machine as usize].signal(Signal::SIGTERM);
                }
            }
            FaultKind::Pause => {
                for &machine in machines {
                    if self.hosts[machine as usize].pause() {
                        self.read(machine)?;
                        let id = self.hosts[machine as usize].id;
                        self.note(Some(machine), What::Paused(id));
                    }
                }
                self.took_effect(number);
            }
            FaultKind::EngineDeath | FaultKind::Stuck => {
                let stuck = *kind == FaultKind::Stuck;
                let signal = if stuck { Signal::SIGSTOP } else { Signal::SIGKILL };
                let engines: Vec<(Machine, Pid)> = machines
                    .iter()
                    .flat_map(|&machine| {
                        let engines = self.hosts[machine as usize].engines();
                        engines.into_iter().map(move |engine| (machine, engine))
                    })
                    .collect();
                let hit = engines.iter().filter(|(_, engine)| kill(*engine, signal).is_ok()).count();
                if stuck {
                    self.faults.all[number].stuck = engines;
                }
                if hit > 0 {
                    self.took_effect(number);
                }
            }
            kind if is_of_network(kind) => self.break_links(number, kind, machines, other)?,
            FaultKind::FullDisk => {
                for &machine in machines {
                    small::fill(&self.hosts[machine as usize].disk()).map_err(needs("a full disk"))?;
                }
            }
            other => unreachable!("{} is among what cannot be injected", other.name()),
        }
        Ok(())
    }

    /// Breaks the links that a fault of the network concerns.
    fn break_links(
        &mut self,
        number: usize,
        kind: &FaultKind,
        machines: &[Machine],
        other: Option<&[Machine]>,
    ) -> Result<(), DrillError> {
        let count = self.hosts.len() as u32;
        let one = |machine: u32| machines.contains(&machine);
        let across = |machine: u32| other.map_or(!one(machine), |other| other.contains(&machine));
        let links = match kind {
            FaultKind::Cut { direction, .. } => net::links(count, |from, to| {
                let (comes, goes) = (across(from) && one(to), one(from) && across(to));
                match direction {
                    Direction::Both => comes || goes,
                    Direction::In => comes,
                    Direction::Out => goes,
                }
            }),
            FaultKind::Partial(shape) => {
                let rng = self.faults.all[number].turns.rng.fork("shape");
                let shaped = Links::new(*shape, count as usize, machines, Time::ZERO, Span::ZERO, &rng);
                net::links(count, |from, to| shaped.is_dead(from, to, Time::ZERO))
            }
            _ => net::links(count, |from, to| one(from) || one(to)),
        };
        let rate = if let FaultKind::Loss(loss) = kind { loss.rate } else { 1.0 };
        let shut = match kind {
            FaultKind::Isolate | FaultKind::Cut { other: None, .. } => machines.to_vec(),
            _ => Vec::new(),
        };
        let net = self.net.as_mut().expect("without networks of their own these faults are left out");
        net.harm(Harm { fault: Some(number), links, shut, rate }).map_err(needs("a broken link"))
    }

    /// Faults of the network that have dropped something have taken effect.
    pub(super) fn count_dropped(&mut self) -> Result<(), DrillError> {
        let waits = |course: &Course| {
            let kind = &self.plan.faults[course.turns.fault as usize].kind;
            course.standing == Standing::InForce && !course.took_effect && is_of_network(kind)
        };
        let Some(net) = self.net.as_ref().filter(|_| self.faults.all.iter().any(waits)) else {
            return Ok(());
        };
        let effective = net.effective().map_err(needs("what was dropped"))?;
        for number in effective {
            self.took_effect(number);
        }
        Ok(())
    }

    /// Undoes what can be undone of a fault that is over: on these machines, of which these lives ended by it, and these engines stood still.
    pub(super) fn undo(
        &mut self,
        number: usize,
        machines: &[Machine],
        lives: &[u32],
        stuck: Vec<(Machine, Pid)>,
    ) -> Result<(), DrillError> {
        match self.kind(number) {
            kind @ (FaultKind::Crash { .. } | FaultKind::Restart | FaultKind::Leave) => {
                for (&machine, &life) in machines.iter().zip(lives) {
                    // Who could not leave in time is ended like any process that takes too long.
                    if *kind == FaultKind::Leave && self.hosts[machine as usize].life + 1 == life {
                        self.crash(machine)?;
                    }
                    let host = &self.hosts[machine as usize];
                    if !host.runs() && host.life == life {
                        self.start(machine)?;
                    }
                }
            }
            FaultKind::Pause => {
                for &machine in machines {
                    let host = &self.hosts[machine as usize];
                    if host.runs() && host.paused {
                        let id = host.id;
                        self.note(Some(machine), What::Resumed(id));
                        self.hosts[machine as usize].resume();
                    }
                }
            }
            FaultKind::Stuck => {
                for (machine, engine) in stuck {
                    // Its number may belong to another process by now, unless it is still the node's.
                    if self.hosts[machine as usize].engines().contains(&engine) {
                        let _ = kill(engine, Signal::SIGCONT);
                    }
                }
            }
            FaultKind::FullDisk => {
                for &machine in machines {
                    let host = &self.hosts[machine as usize];
                    small::empty(&host.disk()).map_err(needs("a disk with room"))?;
                    if !host.runs() && !self.is_kept_off(machine) {
                        self.start(machine)?;
                    }
                }
            }
            kind if is_of_network(kind) => {
                let net = self.net.as_mut().expect("it was needed to break links");
                net.heal(number).map_err(needs("links as they were"))?;
            }
            _ => {}
        }
        Ok(())
    }
}
