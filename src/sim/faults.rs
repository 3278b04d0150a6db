//! The plan's faults: how each begins and ends, whom it hits, and what it did.

use super::course::{Course, Faults, Standing};
use super::host::Process;
use super::network::{Harm, Machines, Scope};
use super::world::{Event, World};
use crate::base::Span;
use crate::history::{FaultEvent, FaultPhase, Machine, Watcher, What};
use crate::node::Input;
use crate::scenario::{Aim, Fault, FaultKind, Links, Plan, Trigger};

/// How often a role that nobody has is looked for again.
const RETRY_EVERY: Span = Span::millis(10);
/// For how long a role that nobody has is looked for.
const RETRY_FOR: Span = Span::secs(5);
/// For how long a fault waits for what it shall begin in the midst of.
const WAIT_FOR: Span = Span::secs(60);
/// From this probability of loss on, a machine with a fault for good counts as broken.
const BROKEN_LOSS: f64 = 0.5;

/// What happens to a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum FaultStep {
    /// It is due: it begins, or waits for something to happen.
    Due,
    /// It begins, or is tried again when nobody has the role that it aims at.
    Begin,
    /// It has waited long enough.
    GiveUp,
    /// The machine at this place among those that starve by it gets its turn, or has had it.
    Turn(u32),
    /// Its time is over.
    End,
}

impl Faults {
    /// Whether `machine` is gone or broken by a fault without an end, or on its way out of the cluster.
    pub(super) fn takes_for_good(&self, machine: Machine, plan: &Plan) -> bool {
        let takes = |course: &Course| {
            let fault: &Fault = &plan.faults[course.turns.fault as usize];
            let gone = match fault.kind {
                FaultKind::Leave => true,
                FaultKind::Crash { .. } | FaultKind::FullDisk | FaultKind::Pause => {
                    course.turns.lasting.is_none()
                }
                ref kind => course.turns.lasting.is_none() && breaks(kind),
            };
            gone && course.standing == Standing::InForce && course.machines.contains(&machine)
        };
        self.all.iter().any(takes)
    }
}

/// Whether a fault of this kind without an end makes its target useless as a member.
fn breaks(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::Suspend
        | FaultKind::Starve(_)
        | FaultKind::Isolate
        | FaultKind::Cut { .. }
        | FaultKind::Partial(_)
        | FaultKind::SlowLink(_) => true,
        FaultKind::Loss(loss) => loss.rate >= BROKEN_LOSS,
        FaultKind::Delay(by) => by.mean() >= Span::millis(100),
        // These end with the life of a process, so that they are seen on it: it may have been started anew since.
        FaultKind::Crash { .. }
        | FaultKind::Pause
        | FaultKind::Restart
        | FaultKind::Leave
        | FaultKind::Jam
        | FaultKind::Skew(_)
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
        | FaultKind::Rot
        | FaultKind::BadOutput(_)
        | FaultKind::RepeatOutput => false,
    }
}

impl<'a, P: Process, W: Watcher> World<'a, P, W> {
    /// The fault of the plan whose course has this number.
    pub(super) fn planned(&self, fault: u32) -> &'a Fault {
        &self.plan.faults[self.faults.all[fault as usize].turns.fault as usize]
    }

    /// A fault is due, or its time is over.
    pub(super) fn fault(&mut self, fault: u32, step: FaultStep) {
        match step {
            FaultStep::Due => self.due(fault),
            FaultStep::Begin => self.try_begin(fault),
            FaultStep::GiveUp => {
                let course = &self.faults.all[fault as usize];
                if course.standing == Standing::Waiting && self.now.since(course.turns.at) >= WAIT_FOR {
                    self.faults.waiting.retain(|waiting| *waiting != fault);
                    let trigger = self.planned(fault).trigger.map_or("", Trigger::name);
                    self.miss(
                        fault,
                        format!("what it waits for ({trigger}) has not happened for {WAIT_FOR}"),
                    );
                }
            }
            FaultStep::Turn(place) => self.turn(fault, place),
            FaultStep::End => self.end(fault),
        }
    }

    /// Its time has come, for the first time or again.
    fn due(&mut self, fault: u32) {
        let planned = self.planned(fault);
        // Only what ends by itself, like a stuck query, can still be in force.
        self.end(fault);
        let course = &mut self.faults.all[fault as usize];
        if course.standing != Standing::Due {
            course.renew(planned, self.now);
        }
        if planned.trigger.is_none() {
            return self.try_begin(fault);
        }
        course.standing = Standing::Waiting;
        let place = self.faults.waiting.partition_point(|waiting| *waiting < fault);
        self.faults.waiting.insert(place, fault);
        self.queue.push(self.now + WAIT_FOR, Event::Fault { fault, step: FaultStep::GiveUp });
    }

    /// Something happens that faults may wait for: they begin in the midst of it, as soon as the step under way is done, or some time
    /// after that if they say so.
    pub(super) fn happens(&mut self, trigger: Trigger, machine: Machine) {
        let waiting = std::mem::take(&mut self.faults.waiting);
        let (begin, wait) =
            waiting.into_iter().partition(|fault| self.planned(*fault).trigger == Some(trigger));
        self.faults.waiting = wait;
        for fault in begin {
            let course = &mut self.faults.all[fault as usize];
            course.standing = Standing::Due;
            course.concerned = Some(machine);
            course.turns.at = self.now + course.turns.after;
            self.queue.push(course.turns.at, Event::Fault { fault, step: FaultStep::Begin });
        }
    }

    fn try_begin(&mut self, fault: u32) {
        match self.aim(fault) {
            Ok(Aimed { machines, .. }) if machines.is_empty() => {
                let reason = match self.planned(fault).kind {
                    FaultKind::Rollback => "nothing that it aims at runs without a vote",
                    FaultKind::Corrupt => "nothing is on the disks that it aims at",
                    FaultKind::Rot => "no chunk of a file is on the disks that it aims at",
                    _ => "nothing that it aims at runs",
                };
                self.miss(fault, reason.to_owned());
            }
            Ok(aimed) => self.begin(fault, &aimed),
            Err(reason) => {
                let since = self.now.since(self.faults.all[fault as usize].turns.at);
                if since < RETRY_FOR {
                    let step = FaultStep::Begin;
                    self.queue.push(self.now + RETRY_EVERY, Event::Fault { fault, step });
                } else {
                    self.miss(fault, reason);
                }
            }
        }
    }

    /// The fault cannot be injected this time.
    fn miss(&mut self, fault: u32, reason: String) {
        let course = &mut self.faults.all[fault as usize];
        course.standing = Standing::Missed;
        course.machines.clear();
        course.arrive();
        // A run that waited for it has its whole patience from now on.
        self.watch.progress = self.now;
        self.report(fault, FaultPhase::Missed { reason: reason.into() });
        self.again(fault);
        self.faults.close(fault);
    }

    /// Queues the fault's next turn, if it has one, not before the present one is over.
    fn again(&mut self, fault: u32) {
        let repeat = self.planned(fault).repeat;
        let course = &mut self.faults.all[fault as usize];
        let lasting = if course.standing == Standing::InForce { course.turns.lasting } else { None };
        if let Some(at) = course.turns.again(repeat) {
            let ends = self.now + lasting.unwrap_or(Span::ZERO);
            self.queue.push(at.max(ends), Event::Fault { fault, step: FaultStep::Due });
        }
    }

    /// Whom the fault hits now; an error when nobody has a role that it aims at.
    fn aim(&self, fault: u32) -> Result<Aimed, String> {
        let plan = self.planned(fault);
        let course = &self.faults.all[fault as usize];
        let mut rng = course.turns.rng.clone();
        let aim = Aim { scene: self, own: course.turns.own, concerned: course.concerned };
        let mut machines = Vec::new();
        aim.resolve(&plan.target, &[], &mut machines, &mut rng)?;
        let applicable = |machine: &Machine| {
            let host = &self.hosts[*machine as usize];
            match plan.kind {
                FaultKind::Crash { wipe: false }
                | FaultKind::Restart
                | FaultKind::EngineDeath
                | FaultKind::Stuck => host.runs(),
                FaultKind::Pause | FaultKind::Suspend => host.runs() && !host.paused,
                FaultKind::Leave => host.runs() && !host.stands_still(),
                FaultKind::Corrupt => !self.disks[*machine as usize].is_empty(),
                FaultKind::Rot => self.chunks.can_rot(*machine),
                FaultKind::Rollback => {
                    let disk = &self.disks[*machine as usize];
                    disk.has_lived() && host.status().is_some_and(|status| !status.votes)
                }
                FaultKind::Crash { wipe: true }
                | FaultKind::Isolate
                | FaultKind::Cut { .. }
                | FaultKind::Loss(_)
                | FaultKind::SlowLink(_)
                | FaultKind::Jam
                | FaultKind::Partial(_)
                | FaultKind::Starve(_)
                | FaultKind::Skew(_)
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
        let kind = &self.planned(fault).kind;
        let course = &mut self.faults.all[fault as usize];
        course.machines.clone_from(&aimed.machines);
        course.standing = Standing::InForce;
        course.arrive();
        let lasting = match kind {
            // These are over as soon as they have begun, whatever the plan says.
            FaultKind::Restart | FaultKind::EngineDeath | FaultKind::Rot => Some(Span::ZERO),
            _ => course.turns.lasting,
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
            }
        }
        self.again(fault);
        if lasting.is_none_or(|lasting| lasting == Span::ZERO) {
            // Nothing waits for the end of what has none.
            self.faults.close(fault);
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
            FaultKind::Suspend => {
                self.suspend(machines);
                self.took_effect(vec![fault]);
            }
            FaultKind::Skew(factor) => {
                self.skew(fault, machines, Some(*factor));
                self.took_effect(vec![fault]);
            }
            FaultKind::Starve(_) => self.starve(fault),
            FaultKind::Isolate
            | FaultKind::Cut { .. }
            | FaultKind::SlowLink(_)
            | FaultKind::Jam
            | FaultKind::Partial(_)
            | FaultKind::Loss(_)
            | FaultKind::Delay(_)
            | FaultKind::Duplicate(_)
            | FaultKind::Reorder(_) => self.harm_network(fault, kind, aimed),
            FaultKind::SlowDisk(_) | FaultKind::FullDisk | FaultKind::Corrupt | FaultKind::Rollback => {
                for &machine in machines {
                    let rng = self.faults.all[fault as usize]
                        .turns
                        .rng
                        .fork("disk")
                        .fork_number(u64::from(machine));
                    self.disks[machine as usize].fall_ill(fault, kind, rng);
                }
            }
            FaultKind::Rot => {
                let rng = self.faults.all[fault as usize].turns.rng.fork("rot");
                for &machine in machines {
                    self.rot(machine, &mut rng.fork_number(u64::from(machine)));
                }
                self.took_effect(vec![fault]);
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
        let course = &self.faults.all[fault as usize];
        let lasting = course.turns.lasting.unwrap_or(Span::ZERO);
        let harm = match kind {
            FaultKind::Loss(loss) => Harm::Loss(*loss),
            FaultKind::SlowLink(bandwidth) => Harm::Slow(*bandwidth),
            FaultKind::Jam => Harm::Jam(self.now + lasting),
            FaultKind::Delay(by) => Harm::Delay(*by),
            FaultKind::Duplicate(p) => Harm::Duplicate(*p),
            FaultKind::Reorder(p) => Harm::Reorder(*p),
            _ => Harm::Cut,
        };
        let scope = if let FaultKind::Cut { direction, .. } = kind {
            let (one, other) = (group(machines), other.as_deref().map(group));
            Scope::Between { one, other, direction: *direction }
        } else if let FaultKind::Partial(shape) = kind {
            let rng = course.turns.rng.fork("shape");
            Scope::Over(Links::new(*shape, self.plan.nodes.len(), machines, self.now, lasting, &rng))
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
        self.faults.close(fault);
        match &self.planned(fault).kind {
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
            FaultKind::Suspend => self.wake_up(&machines),
            FaultKind::Skew(_) => self.skew(fault, &machines, None),
            FaultKind::Starve(_) => self.feed(fault),
            FaultKind::Isolate
            | FaultKind::Cut { .. }
            | FaultKind::SlowLink(_)
            | FaultKind::Jam
            | FaultKind::Partial(_)
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
            FaultKind::EngineDeath | FaultKind::Rot => {}
        }
        self.report(fault, FaultPhase::Ended);
    }

    /// A node has left, and its process ends.
    pub(super) fn left(&mut self, machine: Machine) {
        self.crash(machine);
        let leaves = |fault: &u32| {
            let course = &self.faults.all[*fault as usize];
            course.standing == Standing::InForce
                && course.machines.contains(&machine)
                && matches!(self.planned(*fault).kind, FaultKind::Leave)
        };
        let faults = (0..self.faults.all.len() as u32).filter(leaves).collect();
        self.took_effect(faults);
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
            if state.turns.lasting.is_none() && state.standing == Standing::InForce {
                state.standing = Standing::Over;
                self.watch.progress = self.now;
                self.report(fault, FaultPhase::Ended);
            }
        }
    }

    fn report(&mut self, fault: u32, phase: FaultPhase) {
        let course = &self.faults.all[fault as usize];
        let (fault, machines) = (course.turns.fault, course.machines.clone());
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
