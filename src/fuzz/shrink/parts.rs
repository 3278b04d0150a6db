//! What can be left out: faults, machines, jobs, requests, inputs.

use std::sync::Arc;

use super::Shrinker;
use crate::base::Draw;
use crate::scenario::{FaultKind, Inputs, NodePlan, Plan, Target};

impl Shrinker<'_> {
    /// Leaves out as many faults as possible, first large parts of the list, then smaller ones; then machines that they hit.
    pub(super) fn faults(&mut self) {
        let mut part = self.best.faults.len();
        while part >= 1 {
            let mut from = 0;
            while from < self.best.faults.len() {
                let to = (from + part).min(self.best.faults.len());
                let left_out = self.keep(|plan| {
                    plan.faults.drain(from..to);
                });
                if !left_out {
                    from = to;
                }
            }
            part /= 2;
        }
        for place in 0..self.best.faults.len() {
            self.keep(|plan| plan.faults[place].repeat = None);
            self.keep(|plan| plan.faults[place].after = Draw::ZERO);
            self.keep(|plan| (plan.faults[place].trigger, plan.faults[place].after) = (None, Draw::ZERO));
            self.targets(|plan| Some(&mut plan.faults[place].target));
            self.targets(|plan| match &mut plan.faults[place].kind {
                FaultKind::Cut { other, .. } => other.as_mut(),
                _ => None,
            });
        }
        // Told in the order in which they happen.
        self.keep(|plan| plan.faults.sort_by_key(|fault| fault.at.mean()));
    }

    /// Leaves out parts of a target that has several.
    fn targets(&mut self, target: impl Fn(&mut Plan) -> Option<&mut Target>) {
        let mut plan = self.best.clone();
        let Some(Target::Several(targets)) = target(&mut plan) else { return };
        for part in (0..targets.len()).rev() {
            self.keep(|plan| {
                if let Some(whole @ Target::Several(_)) = target(plan) {
                    leave_out(whole, part);
                }
            });
        }
    }

    /// Leaves out machines, the last ones first; faults that hit one go with it.
    pub(super) fn nodes(&mut self) {
        for place in (0..self.best.nodes.len()).rev() {
            if self.best.nodes.len() > 1 {
                self.keep(|plan| remove_node(plan, place as u32));
            }
        }
        self.keep(|plan| {
            for (node, number) in plan.nodes.iter_mut().zip(1..) {
                *node = NodePlan::usual(number);
            }
        });
    }

    /// Leaves out as much of what clients ask as possible.
    pub(super) fn work(&mut self) {
        self.keep(|plan| plan.requests.clear());
        for place in (0..self.best.requests.len()).rev() {
            self.keep(|plan| {
                plan.requests.remove(place);
            });
        }
        for place in (0..self.best.arrivals.len()).rev() {
            self.keep(|plan| {
                let prefix = format!("{}-", plan.arrivals.remove(place).spec.name);
                plan.requests.retain(|one| one.errand.job().is_none_or(|job| !job.starts_with(&prefix)));
            });
        }
        for place in (0..self.best.jobs.len()).rev() {
            self.keep(|plan| {
                let name = plan.jobs.remove(place).spec.name;
                plan.requests.retain(|one| one.errand.job() != Some(&name));
            });
        }
        for place in 0..self.best.jobs.len() {
            self.inputs(|plan| &mut plan.jobs[place].spec.inputs);
        }
        for place in 0..self.best.arrivals.len() {
            while self.best.arrivals[place].count > 1 && self.keep(|plan| plan.arrivals[place].count /= 2) {}
            self.inputs(|plan| &mut plan.arrivals[place].spec.inputs);
        }
        let used: Vec<Arc<str>> = (self.best.models.keys())
            .filter(|model| {
                let jobs = self.best.jobs.iter().map(|job| &job.spec);
                let mut specs = jobs.chain(self.best.arrivals.iter().map(|stream| &stream.spec));
                specs.any(|spec| spec.model == **model)
            })
            .cloned()
            .collect();
        self.keep(|plan| plan.models.retain(|model, _| used.contains(model)));
    }

    /// Halves a number of inputs until that is too few.
    fn inputs(&mut self, of: impl Fn(&mut Plan) -> &mut Inputs) {
        loop {
            let halved = self.keep(|plan| {
                if let Inputs::Range { count, .. } = of(plan)
                    && *count > 1
                {
                    *count /= 2;
                }
            });
            if !halved {
                break;
            }
        }
    }
}

/// Takes one part out of a target of several.
fn leave_out(whole: &mut Target, part: usize) {
    let Target::Several(targets) = whole else { return };
    targets.remove(part);
    if let [one] = targets.as_slice() {
        *whole = one.clone();
    }
}

/// Takes the machine at `gone` out of the plan, and out of all that names machines by their places.
pub(super) fn remove_node(plan: &mut Plan, gone: u32) {
    plan.nodes.remove(gone as usize);
    let left = plan.nodes.len() as u32;
    for (node, number) in plan.nodes.iter_mut().zip(1..) {
        node.name = NodePlan::usual(number).name;
    }
    let failover = &mut Arc::make_mut(&mut plan.config).failover;
    failover.voters = failover.voters.filter(|voters| u32::from(*voters) <= left);
    plan.faults.retain_mut(|fault| {
        let other = match &mut fault.kind {
            FaultKind::Cut { other: Some(other), .. } => without(other, gone, left),
            _ => true,
        };
        without(&mut fault.target, gone, left) && other
    });
}

/// Takes a machine out of a target, so that `left` ones are; false when nothing is left of it.
fn without(target: &mut Target, gone: u32, left: u32) -> bool {
    match target {
        Target::Node(place) if *place == gone => false,
        Target::Node(place) => {
            *place -= u32::from(*place > gone);
            true
        }
        Target::Random(count) => {
            *count = left.min(*count);
            true
        }
        Target::Several(targets) => {
            targets.retain_mut(|target| without(target, gone, left));
            if let [one] = targets.as_slice() {
                *target = one.clone();
                return true;
            }
            !targets.is_empty()
        }
        _ => true,
    }
}
