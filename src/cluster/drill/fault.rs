//! The faults of a drill: when each begins and ends, and whom it hits.

use nix::unistd::Pid;

use super::{DrillError, Stage, unable};
use crate::base::{NodeId, Rng, Span, Time};
use crate::history::{FaultEvent, FaultPhase, Machine, Observation, What};
use crate::scenario::{Aim, FaultKind, Plan, Trigger, Turns};

/// How often a role that nobody has is looked for again.
const RETRY_EVERY: Span = Span::millis(10);
/// For how long a role that nobody has is looked for.
const RETRY_FOR: Span = Span::secs(5);
/// For how long a fault waits for what it shall begin in the midst of.
const WAIT_FOR: Span = Span::secs(60);

/// From this probability of loss on, a machine with a fault for good counts as broken.
const BROKEN_LOSS: f64 = 0.5;
/// A process that found its disk full has ended by so long after there is room again.
const ENDING: Span = Span::secs(2);

/// Whether a fault of this kind without an end makes its target useless as a member.
fn breaks(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::Isolate | FaultKind::Cut { .. } | FaultKind::Partial(_) => true,
        FaultKind::Loss(loss) => loss.rate >= BROKEN_LOSS,
        _ => false,
    }
}

pub(super) fn is_of_network(kind: &FaultKind) -> bool {
    matches!(kind, FaultKind::Isolate | FaultKind::Cut { .. } | FaultKind::Partial(_) | FaultKind::Loss(_))
}

/// How far a fault has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its time has not come, or nobody has the role that it aims at.
    Due,
    /// It waits for something to happen.
    Waiting,
    /// It has begun and not ended.
    InForce,
    /// It has ended.
    Over,
    /// It could not be injected.
    Missed,
}

/// One fault of the plan; or, where the fault hits each machine on its own, that of one machine.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) turns: Turns,
    /// Why it cannot be injected.
    unable: Option<&'static str>,
    pub(super) standing: Standing,
    /// Whether the drill waits for it: it is due, or will end and has not.
    open: bool,
    pub(super) machines: Vec<Machine>,
    concerned: Option<Machine>,
    /// The lives that it ended, to tell whether someone else has started the machine since.
    pub(super) lives: Vec<u32>,
    /// The engines that stand still by it.
    pub(super) stuck: Vec<(Machine, Pid)>,
    pub(super) took_effect: bool,
    /// When it was over.
    over_at: Time,
}

/// What happens to a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Due,
    Begin,
    GiveUp,
    End,
}

/// All faults of a drill.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) all: Vec<Course>,
    /// What is to happen: when, to which, and what.
    queue: Vec<(Time, usize, Step)>,
    /// Per machine: how many faults that never end keep it from being a useful member.
    broken: Vec<u32>,
}

impl Faults {
    /// The faults of the plan, each with its times drawn from a fork of `rng`.
    pub(super) fn new(plan: &Plan, rng: &Rng, netns: bool) -> Faults {
        let unable = unable(plan, netns);
        let course = |turns: Turns| Course {
            unable: unable.iter().find(|unable| unable.fault == turns.fault).map(|unable| unable.why),
            turns,
            standing: Standing::Due,
            open: true,
            machines: Vec::new(),
            concerned: None,
            lives: Vec::new(),
            stuck: Vec::new(),
            took_effect: false,
            over_at: Time::ZERO,
        };
        let all: Vec<Course> = Turns::of(plan, rng).into_iter().map(course).collect();
        let queue = all.iter().enumerate().map(|(place, course)| (course.turns.at, place, Step::Due));
        Faults { queue: queue.collect(), broken: vec![0; plan.nodes.len()], all }
    }

    /// Whether no fault is due or will end any more.
    pub(super) fn are_over(&self) -> bool {
        self.all.iter().all(|course| !course.open)
    }

    /// Whether a fault that never ends keeps `machine` from being a useful member.
    pub(super) fn is_broken(&self, machine: Machine) -> bool {
        self.broken[machine as usize] > 0
    }

    /// Whether `machine` is gone or broken by a fault without an end, or on its way out of the cluster.
    pub(super) fn takes_for_good(&self, machine: Machine, plan: &Plan) -> bool {
        let takes = |course: &Course| {
            let gone = match plan.faults[course.turns.fault as usize].kind {
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

    /// The node `me` on `machine` observes something in the midst of which, or soon after which, a fault may begin.
    pub(super) fn witness(&mut self, now: Time, machine: Machine, me: NodeId, observation: &Observation) {
        let happens = match observation {
            Observation::Stood { .. } => Trigger::Election,
            Observation::Voted { candidate, .. } if *candidate == me => Trigger::Candidacy,
            Observation::Voted { .. } => Trigger::Vote,
            Observation::Led { .. } => Trigger::Reign,
            Observation::Seated { .. } => Trigger::Seats,
            _ => return,
        };
        for (place, course) in self.all.iter_mut().enumerate() {
            if course.standing == Standing::Waiting && course.turns.awaits == Some(happens) {
                course.standing = Standing::Due;
                course.concerned = Some(machine);
                course.turns.at = now + course.turns.after;
                self.queue.push((course.turns.at, place, Step::Begin));
            }
        }
    }

    /// The next thing that is to happen by `now`.
    fn next(&mut self, now: Time) -> Option<(usize, Step)> {
        let due = self.queue.iter().enumerate().filter(|(_, (at, ..))| *at <= now);
        let (place, _) = due.min_by_key(|(_, (at, course, _))| (*at, *course))?;
        let (_, course, step) = self.queue.remove(place);
        Some((course, step))
    }

    /// This turn of a fault has ended or never will: unless it is due again, the drill waits for it no more.
    fn close(&mut self, number: usize) {
        let course = &mut self.all[number];
        course.open &= course.turns.is_due();
    }
}

impl<'a> Stage<'a> {
    pub(super) fn kind(&self, number: usize) -> &'a FaultKind {
        &self.plan.faults[self.faults.all[number].turns.fault as usize].kind
    }

    /// Lets happen to faults what is due by `now`.
    pub(super) fn harm(&mut self, now: Time) -> Result<(), DrillError> {
        while let Some((number, step)) = self.faults.next(now) {
            match step {
                Step::Due => self.due(number, now)?,
                Step::Begin => self.try_begin(number, now)?,
                Step::GiveUp => {
                    let course = &self.faults.all[number];
                    if course.standing == Standing::Waiting && now.since(course.turns.at) >= WAIT_FOR {
                        let reason = format!("what it waits for has not happened for {WAIT_FOR}");
                        self.miss(number, now, reason);
                    }
                }
                Step::End => self.finish(number, now)?,
            }
        }
        Ok(())
    }

    /// Its time has come, for the first time or again.
    fn due(&mut self, number: usize, now: Time) -> Result<(), DrillError> {
        // Only what ends by itself, like a stuck query, can still be in force.
        self.finish(number, now)?;
        let course = &mut self.faults.all[number];
        let planned = &self.plan.faults[course.turns.fault as usize];
        if course.standing != Standing::Due {
            course.turns.renew(planned, now);
            course.concerned = None;
            course.standing = Standing::Due;
        }
        if let Some(why) = course.unable {
            self.miss(number, now, format!("left out of the drill: {why}"));
            return Ok(());
        }
        if planned.trigger.is_none() {
            return self.try_begin(number, now);
        }
        course.standing = Standing::Waiting;
        self.faults.queue.push((now + WAIT_FOR, number, Step::GiveUp));
        Ok(())
    }

    fn try_begin(&mut self, number: usize, now: Time) -> Result<(), DrillError> {
        let course = &self.faults.all[number];
        let target = &self.plan.faults[course.turns.fault as usize].target;
        let mut rng = course.turns.rng.clone();
        let kind = self.kind(number);
        let aim = Aim { scene: self, own: course.turns.own, concerned: course.concerned };
        let (mut machines, mut other) = (Vec::new(), None);
        let mut aimed = aim.resolve(target, &[], &mut machines, &mut rng);
        if let (Ok(()), FaultKind::Cut { other: Some(target), .. }) = (&aimed, kind) {
            aimed = aim.resolve(target, &machines, other.insert(Vec::new()), &mut rng);
        }
        if let Err(reason) = aimed {
            if now.since(course.turns.at) < RETRY_FOR {
                self.faults.queue.push((now + RETRY_EVERY, number, Step::Begin));
            } else {
                self.miss(number, now, reason);
            }
            return Ok(());
        }
        machines.retain(|&machine| {
            let host = &self.hosts[machine as usize];
            match kind {
                FaultKind::Pause | FaultKind::Leave => host.runs() && !host.paused,
                FaultKind::Crash { wipe: false }
                | FaultKind::Restart
                | FaultKind::EngineDeath
                | FaultKind::Stuck => host.runs(),
                _ => true,
            }
        });
        if machines.is_empty() {
            self.miss(number, now, "nothing that it aims at runs".to_owned());
            return Ok(());
        }
        self.begin(number, now, &machines, other.as_deref())
    }

    /// The fault cannot be injected this time.
    fn miss(&mut self, number: usize, now: Time, reason: String) {
        let course = &mut self.faults.all[number];
        course.standing = Standing::Missed;
        course.machines.clear();
        course.turns.arrive();
        // A trial that waited for it has its whole patience from now on.
        self.progress.progress = now;
        self.report(number, FaultPhase::Missed { reason: reason.into() });
        self.again(number, now);
        self.faults.close(number);
    }

    /// Queues the fault's next turn, if it has one, not before the present one is over.
    fn again(&mut self, number: usize, now: Time) {
        let course = &mut self.faults.all[number];
        let repeat = self.plan.faults[course.turns.fault as usize].repeat;
        let lasting = if course.standing == Standing::InForce { course.turns.lasting } else { None };
        if let Some(at) = course.turns.again(repeat) {
            let ends = now + lasting.unwrap_or(Span::ZERO);
            self.faults.queue.push((at.max(ends), number, Step::Due));
        }
    }

    fn begin(
        &mut self,
        number: usize,
        now: Time,
        machines: &[Machine],
        other: Option<&[Machine]>,
    ) -> Result<(), DrillError> {
        let kind = self.kind(number);
        let course = &mut self.faults.all[number];
        course.machines = machines.to_vec();
        course.standing = Standing::InForce;
        course.took_effect = false;
        course.turns.arrive();
        let lasting = match kind {
            // These are over as soon as they have begun, whatever the plan says.
            FaultKind::Restart | FaultKind::EngineDeath => Some(Span::ZERO),
            _ => course.turns.lasting,
        };
        self.progress.progress = now;
        self.report(number, FaultPhase::Began);
        self.inject(number, kind, machines, other)?;
        match lasting {
            Some(Span::ZERO) => self.finish(number, now)?,
            Some(lasting) => self.faults.queue.push((now + lasting, number, Step::End)),
            None => {
                for &machine in machines.iter().chain(other.unwrap_or_default()).filter(|_| breaks(kind)) {
                    self.faults.broken[machine as usize] += 1;
                }
            }
        }
        self.again(number, now);
        if lasting.is_none_or(|lasting| lasting == Span::ZERO) {
            // Nothing waits for the end of what has none.
            self.faults.close(number);
        }
        Ok(())
    }

    pub(super) fn lives(&self, machines: &[Machine], more: u32) -> Vec<u32> {
        machines.iter().map(|&machine| self.hosts[machine as usize].life + more).collect()
    }

    /// Its time is over.
    fn finish(&mut self, number: usize, now: Time) -> Result<(), DrillError> {
        if self.faults.all[number].standing != Standing::InForce {
            return Ok(());
        }
        self.count_dropped()?;
        let course = &mut self.faults.all[number];
        (course.standing, course.over_at) = (Standing::Over, now);
        let (machines, lives) = (course.machines.clone(), course.lives.clone());
        let stuck = std::mem::take(&mut course.stuck);
        self.progress.progress = now;
        self.faults.close(number);
        self.undo(number, &machines, &lives, stuck)?;
        self.report(number, FaultPhase::Ended);
        Ok(())
    }

    /// Whether a fault in force keeps the process on `machine` from being there.
    pub(super) fn is_kept_off(&self, machine: Machine) -> bool {
        self.faults.all.iter().any(|course| {
            let kind = &self.plan.faults[course.turns.fault as usize].kind;
            let gone = matches!(kind, FaultKind::Crash { .. } | FaultKind::Leave | FaultKind::FullDisk);
            gone && course.standing == Standing::InForce && course.machines.contains(&machine)
        })
    }

    /// Whether a fault is the reason for which the node on `machine` has ended by itself; such faults have done something.
    pub(super) fn ends_by_fault(&mut self, machine: Machine) -> bool {
        let mut by_fault = false;
        for number in 0..self.faults.all.len() {
            let course = &self.faults.all[number];
            if course.standing == Standing::InForce
                && course.machines.contains(&machine)
                && matches!(self.kind(number), FaultKind::Leave | FaultKind::FullDisk)
            {
                by_fault = true;
                self.took_effect(number);
            }
        }
        by_fault
    }

    /// Whether the node on `machine` has ended, a moment late, because of a disk that is full no more: it takes some time to end.
    pub(super) fn ends_late(&mut self, machine: Machine) -> bool {
        let now = self.now();
        let met = |course: &Course, kind: &FaultKind| {
            *kind == FaultKind::FullDisk
                && course.standing == Standing::Over
                && course.machines.contains(&machine)
                && now.since(course.over_at) < ENDING
        };
        let found =
            (0..self.faults.all.len()).find(|&number| met(&self.faults.all[number], self.kind(number)));
        if let Some(number) = found {
            self.took_effect(number);
        }
        found.is_some()
    }

    /// An engine of `machine` died: queries that were stuck on it are gone.
    pub(super) fn engine_died(&mut self, machine: Machine) {
        for number in 0..self.faults.all.len() {
            let course = &mut self.faults.all[number];
            let before = course.stuck.len();
            course.stuck.retain(|(on, _)| *on != machine);
            if before > 0
                && course.stuck.is_empty()
                && course.turns.lasting.is_none()
                && course.standing == Standing::InForce
            {
                course.standing = Standing::Over;
                self.progress.progress = self.now();
                self.report(number, FaultPhase::Ended);
            }
        }
    }

    /// The fault did something; reported the first time.
    pub(super) fn took_effect(&mut self, number: usize) {
        if !std::mem::replace(&mut self.faults.all[number].took_effect, true) {
            self.report(number, FaultPhase::TookEffect);
        }
    }

    fn report(&mut self, number: usize, phase: FaultPhase) {
        let course = &self.faults.all[number];
        let (fault, machines) = (course.turns.fault, course.machines.clone());
        let kind = self.plan.faults[fault as usize].kind.name().into();
        let machine = if let [one] = machines[..] { Some(one) } else { None };
        self.note(machine, What::Fault(FaultEvent { fault, kind, machines, phase }));
    }
}
