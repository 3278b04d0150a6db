//! The course of each fault of the plan: when it is due, how often, what it waits for, and how far it has come.

use super::starvation::Starved;
use crate::base::{Draw, Rng, Span, Time};
use crate::history::Machine;
use crate::scenario::{Fault, Plan, Repeat, Target};

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
    /// The fault's position in the plan.
    pub(super) fault: u32,
    /// The machine whose own course this is.
    pub(super) own: Option<Machine>,
    /// When it is due, or was.
    pub(super) at: Time,
    /// How long it lasts this time; `None` is for good.
    pub(super) lasting: Option<Span>,
    /// How long after what it waits for it begins this time.
    pub(super) after: Span,
    /// Where what it does this time draws from.
    pub(super) rng: Rng,
    /// Where later times draw from.
    later: Rng,
    /// How often it was due.
    turns: u64,
    /// Whether it is due once more, be it now.
    due: bool,
    /// Whether the run waits for it: it is due, or will end and has not.
    open: bool,
    /// Whom it hits.
    pub(super) machines: Vec<Machine>,
    /// The machine in the midst of what it waited for.
    pub(super) concerned: Option<Machine>,
    /// The lives that a crash ended, to tell whether someone else has started the machine since.
    pub(super) lives: Vec<u32>,
    /// The machines that starve by it.
    pub(super) starved: Vec<Starved>,
    /// How far it has come this time.
    pub(super) standing: Standing,
    /// Whether it did something this time.
    pub(super) took_effect: bool,
}

impl Course {
    fn new(number: u32, fault: &Fault, own: Option<Machine>, mut rng: Rng) -> Course {
        Course {
            fault: number,
            own,
            at: Time::ZERO + fault.at.sample(&mut rng),
            lasting: fault.lasting.map(|lasting: Draw| lasting.sample(&mut rng)),
            after: fault.after.sample(&mut rng.fork("after")),
            rng: rng.fork("targets"),
            later: rng.fork("later"),
            turns: 1,
            due: true,
            open: true,
            machines: Vec::new(),
            concerned: None,
            lives: Vec::new(),
            starved: Vec::new(),
            standing: Standing::Due,
            took_effect: false,
        }
    }

    /// It begins, or is missed: this turn is no longer due.
    pub(super) fn arrive(&mut self) {
        self.due = false;
        self.took_effect = false;
    }

    /// When it is due the next time, if it happens again. What the present turn draws from stays until [`Course::renew`].
    pub(super) fn again(&mut self, repeat: Option<Repeat>) -> Option<Time> {
        let Repeat { every, times } = repeat?;
        if times.is_some_and(|times| self.turns >= u64::from(times)) {
            return None;
        }
        let mut rng = self.later.fork_number(self.turns);
        self.turns += 1;
        self.due = true;
        Some(self.at + every.sample(&mut rng))
    }

    /// A turn after the first one has come, at `now`: it draws anew.
    pub(super) fn renew(&mut self, fault: &Fault, now: Time) {
        let mut rng = self.later.fork_number(self.turns - 1).fork("turn");
        self.at = now;
        self.lasting = fault.lasting.map(|lasting| lasting.sample(&mut rng));
        self.after = fault.after.sample(&mut rng.fork("after"));
        self.rng = rng.fork("targets");
        self.concerned = None;
        self.standing = Standing::Due;
    }
}

/// All faults of a run.
#[derive(Debug)]
pub(super) struct Faults {
    /// The courses, in the order of the plan. Their numbers are what the simulator knows faults by.
    pub(super) all: Vec<Course>,
    /// Those that wait for something to happen, in order of their numbers.
    pub(super) waiting: Vec<u32>,
    /// Per machine: how many faults that never end keep it from being a useful member.
    pub(super) broken: Vec<u32>,
    /// How many faults are still due, or will end and have not.
    open: usize,
}

impl Faults {
    /// The faults of the plan, each with its times drawn from a fork of `rng`.
    pub(super) fn new(plan: &Plan, rng: &Rng) -> Faults {
        let mut all = Vec::new();
        for (number, fault) in (0..).zip(&plan.faults) {
            let rng = rng.fork_number(u64::from(number));
            if fault.target == Target::Each {
                let own = |machine: Machine| {
                    Course::new(number, fault, Some(machine), rng.fork("each").fork_number(machine.into()))
                };
                all.extend((0..plan.nodes.len() as Machine).map(own));
            } else {
                all.push(Course::new(number, fault, None, rng));
            }
        }
        Faults { open: all.len(), all, waiting: Vec::new(), broken: vec![0; plan.nodes.len()] }
    }

    /// When each fault is due for the first time.
    pub(super) fn begins(&self) -> impl Iterator<Item = Time> + use<> {
        let times: Vec<Time> = self.all.iter().map(|course| course.at).collect();
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

    /// This turn of a fault has ended or never will: unless it is due again, the run waits for it no more.
    pub(super) fn close(&mut self, number: u32) {
        let course = &mut self.all[number as usize];
        if course.open && !course.due {
            course.open = false;
            self.open -= 1;
        }
    }
}
