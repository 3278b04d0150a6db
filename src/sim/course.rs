//! The course of each fault of the plan: when it is due, how often, what it waits for, and how far it has come.

use super::starvation::Starved;
use crate::base::{Rng, Time};
use crate::history::Machine;
use crate::scenario::{Fault, Plan, Turns};

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
    /// When it is due.
    pub(super) turns: Turns,
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
    fn new(turns: Turns) -> Course {
        Course {
            turns,
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
        self.turns.arrive();
        self.took_effect = false;
    }

    /// A turn after the first one has come, at `now`: it draws anew.
    pub(super) fn renew(&mut self, fault: &Fault, now: Time) {
        self.turns.renew(fault, now);
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
        let all: Vec<Course> = Turns::of(plan, rng).into_iter().map(Course::new).collect();
        Faults { open: all.len(), all, waiting: Vec::new(), broken: vec![0; plan.nodes.len()] }
    }

    /// When each fault is due for the first time.
    pub(super) fn begins(&self) -> impl Iterator<Item = Time> + use<> {
        let times: Vec<Time> = self.all.iter().map(|course| course.turns.at).collect();
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
        if course.open && !course.turns.is_due() {
            course.open = false;
            self.open -= 1;
        }
    }
}
