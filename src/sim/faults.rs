//! The plan's faults: when each begins and ends, whom it hits, and what it did.

use super::aim::Aim;
use super::host::Process;
use super::network::{Harm, Machines, Scope};
use super::world::{Event, World};
use crate::base::{Draw, Rng, Span, Time};
use crate::history::{FaultEvent, FaultPhase, Machine, Watcher, What};
use crate::node::Input;
use crate::scenario::{FaultKind, Plan};

/// How often a role that nobody has is looked for again.
const RETRY_EVERY: Span = Span::millis(10);
/// For how long a role that nobody has is looked for.
const RETRY_FOR: Span = Span::secs(5);
/// From this probability of loss on, a machine with a fault for good counts as broken.
const BROKEN_LOSS: f64 = 0.5;

/// What happens to a fault.
#[derive(Debug)]
pub(super) enum FaultStep {
    /// It is due: it begins, or is tried again when nobody has the role that it aims at.
    Begin,
    /// Its time is over.
    End,
}

/// How far a fault has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Due,
    InForce,
    Over,
    Missed,
}

/// One fault of the plan.
#[derive(Debug)]
struct State {
    at: Time,
    lasting: Option<Span>,
    rng: Rng,
    machines: Vec<Machine>,
    /// The lives that a crash ended, to tell whether someone else has started the machine since.
    lives: Vec<u32>,
    standing: Standing,
    took_effect: bool,
}

/// All faults of a run.
#[derive(Debug)]
pub(super) struct Faults {
    all: Vec<State>,
    /// Per machine: how many faults that never end keep it from being a useful member.
    broken: Vec<u32>,
    /// How many faults are still due, or will end and have not.
    open: usize,
}

impl Faults {
    /// The faults of the plan, each with its times drawn from a fork of `rng`.
    pub(super) fn new(plan: &Plan, rng: &Rng) -> Faults {
        let draw = |(number, fault): (usize, &crate::scenario::Fault)| {
            let mut rng = rng.fork_number(number as u64);
            State {
                at: Time::ZERO + fault.at.sample(&mut rng),
                lasting: fault.lasting.map(|lasting: Draw| lasting.sample(&mut rng)),
                rng: rng.fork("targets"),
                machines: Vec::new(),
                lives: Vec::new(),
                standing: Standing::Due,
                took_effect: false,
            }
        };
        let all: Vec<State> = plan.faults.iter().enumerate().map(draw).collect();
        Faults { open: all.len(), all, broken: vec![0; plan.nodes.len()] }
    }

    /// When each fault is due.
    pub(super) fn begins(&self) -> impl Iterator<Item = Time> + use<> {
        let times: Vec<Time> = self.all.iter().map(|state| state.at).collect();
        times.into_iter()
    }

    /// Whether no fault is due or will end any more.
    pub(super) fn are_over(&self) -> bool {
        self.open == 0
    }

    /// Whether a fault that never ends keeps `machine` from being a useful member.
    pub(super) fn is_broken(&self, machine: Machine) -> bool {
        self.broken[machine as usize] > 0
    }
}

/// Whether a fault of this kind without an end makes its target useless as a member.
fn breaks(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::Pause | FaultKind::Isolate | FaultKind::Cut { .. } => true,
        FaultKind::Loss(p) => *p >= BROKEN_LOSS,
        FaultKind::Delay(by) => by.mean() >= Span::millis(100),
        FaultKind::Crash { .. }
        | FaultKind::Restart
        | FaultKind::Leave
        | FaultKind::Duplicate(_)
        | FaultKind::Reorder(_)
        | FaultKind::Slow(_)
        | FaultKind::LoadFailure { .. }
        | FaultKind::EngineDeath
        | FaultKind::Stuck
        | FaultKind::SlowDisk(_)
        | FaultKind::FullDisk
        | FaultKind::Corrupt
        | FaultKind::Rollback
        | FaultKind::BadOutput(_)
        | FaultKind::RepeatOutput => false,
    }
}

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// A fault is due, or its time is over.
    pub(super) fn fault(&mut self, fault: u32, step: FaultStep) {
        match step {
            FaultStep::Begin => match self.aim(fault) {
                Ok(Aimed { machines, .. }) if machines.is_empty() => {
                    let reason = match self.plan.faults[fault as usize].kind {
                        FaultKind::Rollback => "nothing that it aims at runs without a vote",
                        FaultKind::Corrupt => "nothing is on the disks that it aims at",
                        _ => "nothing that it aims at runs",
                    };
                    self.miss(fault, reason.to_owned());
                }
                Ok(aimed) => self.begin(fault, &aimed),
                Err(reason) => {
                    let since = self.now.since(self.faults.all[fault as usize].at);
                    if since < RETRY_FOR {
                        self.queue.push(self.now + RETRY_EVERY, Event::Fault { fault, step });
                    } else {
                        self.miss(fault, reason);
                    }
                }
            },
            FaultStep::End => self.end(fault),
        }
    }

    /// The fault cannot be injected.
    fn miss(&mut self, fault: u32, reason: String) {
        self.faults.all[fault as usize].standing = Standing::Missed;
        self.close();
        self.report(fault, FaultPhase::Missed { reason: reason.into() });
    }

    /// Whom the fault hits now; an error when nobody has a role that it aims at.
    fn aim(&self, fault: u32) -> Result<Aimed, String> {
        let plan = &self.plan.faults[fault as usize];
        let mut rng = self.faults.all[fault as usize].rng.clone();
        let aim = Aim { world: self };
        let mut machines = Vec::new();
        aim.resolve(&plan.target, &[], &mut machines, &mut rng)?;
        let applicable = |machine: &Machine| {
            let host = &self.hosts[*machine as usize];
            match plan.kind {
                FaultKind::Crash { wipe: false }
                | FaultKind::Restart
                | FaultKind::EngineDeath
                | FaultKind::Stuck => host.runs(),
                FaultKind::Pause | FaultKind::Leave => host.runs() && !host.paused,
                FaultKind::Corrupt => !self.disks[*machine as usize].is_empty(),
                FaultKind::Rollback => {
                    let disk = &self.disks[*machine as usize];
                    disk.has_lived() && host.status().is_some_and(|status| !status.votes)
                }
                FaultKind::Crash { wipe: true }
                | FaultKind::Isolate
                | FaultKind::Cut { .. }
                | FaultKind::Loss(_)
                | FaultKind::Delay(_)
                | FaultKind::Duplicate(_)
                | FaultKind::Reorder(_)
                | FaultKind::Slow(_)
                | FaultKind::LoadFailure { .. }
                | FaultKind::SlowDisk(_)
                | FaultKind::FullDisk
                | FaultKind::BadOutput(_)
                | FaultKind::RepeatOutput => true,
            }
        };
        machines.retain(applicable);
        let FaultKind::Cut { other: Some(target), .. } = &plan.kind else {
            return Ok(Aimed { machines, other: None });
        };
        let mut other = Vec::new();
        aim.resolve(target, &machines, &mut other, &mut rng)?;
        Ok(Aimed { machines, other: Some(other) })
    }

    fn begin(&mut self, fault: u32, aimed: &Aimed) {
        let kind = &self.plan.faults[fault as usize].kind;
        let state = &mut self.faults.all[fault as usize];
        state.machines.clone_from(&aimed.machines);
        state.standing = Standing::InForce;
        let lasting = match kind {
            // These are over as soon as they have begun, whatever the plan says.
            FaultKind::Restart | FaultKind::EngineDeath => Some(Span::ZERO),
            _ => state.lasting,
        };
        self.watch.progress = self.now;
        self.report(fault, FaultPhase::Began);
        self.inject(fault, kind, aimed);
        match lasting {
            Some(Span::ZERO) => self.end(fault),
            Some(lasting) => {
                self.queue.push(self.now + lasting, Event::Fault { fault, step: FaultStep::End });
            }
            None => {
                if breaks(kind) {
                    for &machine in aimed.machines.iter().chain(aimed.other.iter().flatten()) {
                        self.faults.broken[machine as usize] += 1;
                    }
                }
                // Nothing waits for the end of what has none.
                self.close();
            }
        }
    }

    /// Does what the fault does when it begins.
    fn inject(&mut self, fault: u32, kind: &FaultKind, aimed: &Aimed) {
        let machines = &aimed.machines;
        match kind {
            FaultKind::Crash { .. } | FaultKind::Restart => {
                for &machine in machines {
                    self.crash(machine);
                    if matches!(kind, FaultKind::Crash { wipe: true }) {
                        self.wipe(machine);
                    }
                }
                let lives = machines.iter().map(|&machine| self.hosts[machine as usize].life).collect();
                self.faults.all[fault as usize].lives = lives;
                self.took_effect(vec![fault]);
            }
            FaultKind::Leave => {
                // The life that follows the one that leaves.
                let next = |&machine: &Machine| self.hosts[machine as usize].life + 1;
                self.faults.all[fault as usize].lives = machines.iter().map(next).collect();
                for &machine in machines {
                    self.step(machine, Input::Leave);
                }
            }
            FaultKind::Pause => {
                for &machine in machines {
                    self.pause(machine);
                }
                self.took_effect(vec![fault]);
            }
            FaultKind::Isolate
            | FaultKind::Cut { .. }
            | FaultKind::Loss(_)
            | FaultKind::Delay(_)
            | FaultKind::Duplicate(_)
            | FaultKind::Reorder(_) => self.harm_network(fault, kind, aimed),
            FaultKind::SlowDisk(_) | FaultKind::FullDisk | FaultKind::Corrupt | FaultKind::Rollback => {
                for &machine in machines {
                    let rng =
                        self.faults.all[fault as usize].rng.fork("disk").fork_number(u64::from(machine));
                    self.disks[machine as usize].fall_ill(fault, kind, rng);
                }
            }
            FaultKind::EngineDeath => {
                for &machine in machines {
                    let alarm = self.engines[machine as usize].die("injected death of the engine");
                    self.heed(machine, alarm);
                }
                self.took_effect(vec![fault]);
            }
            FaultKind::Slow(_)
            | FaultKind::LoadFailure { .. }
            | FaultKind::Stuck
            | FaultKind::BadOutput(_)
            | FaultKind::RepeatOutput => {
                for &machine in machines {
                    self.engines[machine as usize].suffer(fault, kind);
                    self.heed(machine, None);
                }
            }
        }
    }

    /// Puts a fault of the network in force.
    fn harm_network(&mut self, fault: u32, kind: &FaultKind, Aimed { machines, other }: &Aimed) {
        let group = |members| Machines::of(self.plan.nodes.len(), members);
        let harm = match kind {
            FaultKind::Loss(p) => Harm::Loss(*p),
            FaultKind::Delay(by) => Harm::Delay(*by),
            FaultKind::Duplicate(p) => Harm::Duplicate(*p),
            FaultKind::Reorder(p) => Harm::Reorder(*p),
            _ => Harm::Cut,
        };
        let scope = if let FaultKind::Cut { direction, .. } = kind {
            let (one, other) = (group(machines), other.as_deref().map(group));
            Scope::Between { one, other, direction: *direction }
        } else {
            Scope::Touching(group(machines))
        };
        self.network.harm(fault, scope, harm);
    }

    fn end(&mut self, fault: u32) {
        let state = &mut self.faults.all[fault as usize];
        if state.standing != Standing::InForce {
            return;
        }
        state.standing = Standing::Over;
        let (machines, lives) = (state.machines.clone(), state.lives.clone());
        self.watch.progress = self.now;
        self.close();
        match &self.plan.faults[fault as usize].kind {
            FaultKind::Crash { .. } | FaultKind::Restart => {
                for (&machine, life) in machines.iter().zip(lives) {
                    let host = &self.hosts[machine as usize];
                    if !host.runs() && host.life == life {
                        self.start(machine);
                    }
                }
            }
            FaultKind::Leave => {
                for (&machine, life) in machines.iter().zip(lives) {
                    // Who could not leave in time is ended like any process that takes too long.
                    if self.hosts[machine as usize].life + 1 == life {
                        self.crash(machine);
                    }
                    let host = &self.hosts[machine as usize];
                    if !host.runs() && host.life == life {
                        self.start(machine);
                    }
                }
            }
            FaultKind::Pause => machines.iter().for_each(|&machine| self.resume(machine)),
            FaultKind::Isolate
            | FaultKind::Cut { .. }
            | FaultKind::Loss(_)
            | FaultKind::Delay(_)
            | FaultKind::Duplicate(_)
            | FaultKind::Reorder(_) => self.network.heal(fault),
            FaultKind::Slow(_)
            | FaultKind::LoadFailure { .. }
            | FaultKind::Stuck
            | FaultKind::BadOutput(_)
            | FaultKind::RepeatOutput => {
                for &machine in &machines {
                    self.engines[machine as usize].heal(fault);
                }
            }
            FaultKind::SlowDisk(_) | FaultKind::FullDisk => {
                for &machine in &machines {
                    self.disks[machine as usize].recover(fault);
                    self.make_room(machine);
                }
            }
            FaultKind::Corrupt => {
                for &machine in &machines {
                    if self.disks[machine as usize].is_damaged_by(fault) && self.crash(machine) {
                        self.start(machine);
                    }
                }
            }
            FaultKind::Rollback => self.roll_back(fault, &machines),
            FaultKind::EngineDeath => {}
        }
        self.report(fault, FaultPhase::Ended);
    }

    /// A node has left, and its process ends.
    pub(super) fn left(&mut self, machine: Machine) {
        self.crash(machine);
        let leaves = |fault: &u32| {
            let asked = matches!(self.plan.faults[*fault as usize].kind, FaultKind::Leave);
            asked && self.faults.all[*fault as usize].machines.contains(&machine)
        };
        let faults = (0..self.plan.faults.len() as u32).filter(leaves).collect();
        self.took_effect(faults);
    }

    /// One fault less is due or will end.
    fn close(&mut self) {
        self.faults.open -= 1;
    }

    /// These faults did something; reported the first time.
    pub(super) fn took_effect(&mut self, faults: Vec<u32>) {
        for fault in faults {
            let state = &mut self.faults.all[fault as usize];
            if !state.took_effect {
                state.took_effect = true;
                self.report(fault, FaultPhase::TookEffect);
            }
        }
    }

    /// The queries that these faults stuck are gone.
    pub(super) fn stuck_over(&mut self, faults: Vec<u32>) {
        for fault in faults {
            let state = &mut self.faults.all[fault as usize];
            if state.lasting.is_none() && state.standing == Standing::InForce {
                state.standing = Standing::Over;
                self.watch.progress = self.now;
                self.report(fault, FaultPhase::Ended);
            }
        }
    }

    fn report(&mut self, fault: u32, phase: FaultPhase) {
        let machines = self.faults.all[fault as usize].machines.clone();
        let kind = self.plan.faults[fault as usize].kind.name().into();
        let machine = if let [one] = machines[..] { Some(one) } else { None };
        self.note(machine, What::Fault(FaultEvent { fault, kind, machines, phase }));
    }
}

/// Whom a fault hits.
#[derive(Debug)]
struct Aimed {
    machines: Vec<Machine>,
    /// The other side of a cut, unless that is everyone else.
    other: Option<Vec<Machine>>,
}
