//! When each fault of a plan is due, how often, and what each time draws from: the same for equal seeds, whoever injects it.

use super::plan::{Fault, Plan, Repeat, Target, Trigger};
use crate::base::{Rng, Span, Time};

/// The times of one fault of the plan; or, where the fault hits each machine on its own, those of one machine.
#[derive(Clone, Debug)]
pub struct Turns {
    /// The fault's position in the plan.
    pub fault: u32,
    /// The machine whose own times these are.
    pub own: Option<u32>,
    /// When it is due, or was.
    pub at: Time,
    /// What it waits for once its time has come.
    pub awaits: Option<Trigger>,
    /// How long it lasts this time; `None` is for good.
    pub lasting: Option<Span>,
    /// How long after what it waits for it begins this time.
    pub after: Span,
    /// Where what it does this time draws from.
    pub rng: Rng,
    /// Where later times draw from.
    later: Rng,
    /// How often it was due.
    count: u64,
    /// Whether it is due once more, be it now.
    due: bool,
}

impl Turns {
    /// Those of all faults of the plan, in its order, each with its times drawn from a fork of `rng`.
    pub fn of(plan: &Plan, rng: &Rng) -> Vec<Turns> {
        let mut all = Vec::new();
        for (number, fault) in (0..).zip(&plan.faults) {
            let rng = rng.fork_number(u64::from(number));
            if fault.target == Target::Each {
                let own = |machine: u32| {
                    Turns::new(number, fault, Some(machine), rng.fork("each").fork_number(machine.into()))
                };
                all.extend((0..plan.nodes.len() as u32).map(own));
            } else {
                all.push(Turns::new(number, fault, None, rng));
            }
        }
        all
    }

    fn new(number: u32, fault: &Fault, own: Option<u32>, mut rng: Rng) -> Turns {
        Turns {
            fault: number,
            own,
            at: Time::ZERO + fault.at.sample(&mut rng),
            awaits: fault.trigger,
            lasting: fault.lasting.map(|lasting| lasting.sample(&mut rng)),
            after: fault.after.sample(&mut rng.fork("after")),
            rng: rng.fork("targets"),
            later: rng.fork("later"),
            count: 1,
            due: true,
        }
    }

    /// It begins, or is missed: this turn is no longer due.
    pub fn arrive(&mut self) {
        self.due = false;
    }

    /// Whether it is due once more, be it now.
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// When it is due the next time, if it happens again. What the present turn draws from stays until [`Turns::renew`].
    pub fn again(&mut self, repeat: Option<Repeat>) -> Option<Time> {
        let Repeat { every, times } = repeat?;
        if times.is_some_and(|times| self.count >= u64::from(times)) {
            return None;
        }
        let mut rng = self.later.fork_number(self.count);
        self.count += 1;
        self.due = true;
        Some(self.at + every.sample(&mut rng))
    }

    /// A turn after the first one has come, at `now`: it draws anew.
    pub fn renew(&mut self, fault: &Fault, now: Time) {
        let mut rng = self.later.fork_number(self.count - 1).fork("turn");
        self.at = now;
        self.lasting = fault.lasting.map(|lasting| lasting.sample(&mut rng));
        self.after = fault.after.sample(&mut rng.fork("after"));
        self.rng = rng.fork("targets");
    }
}
