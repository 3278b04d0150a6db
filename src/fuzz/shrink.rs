//! Makes a failing scenario small: delta debugging (Zeller and Hildebrandt, 2002) over faults, work, machines, settings, times.

use std::sync::Arc;

use super::trial::{Failure, Trial};
use crate::base::{CostProfile, Draw, Span};
use crate::scenario::{
    Config, Direction, DiskPlan, Fault, FaultKind, Inputs, Loss, NetworkPlan, NodePlan, Plan, Target, to_toml,
};

/// A scenario that was made as small as was possible in the time.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario; it fails in the same way.
    pub plan: Plan,
    /// How many scenarios were tried.
    pub tried: u32,
    /// Whether nothing was left to try; otherwise the time was over.
    pub complete: bool,
}

/// More passes than this are not made over everything that can be taken away.
const PASSES_MAX: u32 = 12;

/// Makes `plan`, which fails with `failure` under its own seed, as small as it gets while `more` says true and the failure
/// stays of the same kind.
pub fn shrink(plan: &Plan, failure: Failure, more: &(dyn Fn() -> bool + Sync)) -> Shrunk {
    let mut shrinker = Shrinker { best: plan.clone(), failure, more, tried: 0 };
    for _ in 0..PASSES_MAX {
        let before = to_toml(&shrinker.best);
        shrinker.faults();
        shrinker.work();
        shrinker.nodes();
        shrinker.settings();
        shrinker.magnitudes();
        if !more() {
            return Shrunk { plan: shrinker.best, tried: shrinker.tried, complete: false };
        }
        if to_toml(&shrinker.best) == before {
            break;
        }
    }
    Shrunk { plan: shrinker.best, tried: shrinker.tried, complete: true }
}

struct Shrinker<'a> {
    best: Plan,
    failure: Failure,
    more: &'a (dyn Fn() -> bool + Sync),
    tried: u32,
}

impl Shrinker<'_> {
    /// Keeps the plan as `change` makes it, if it can be read and fails in the same way.
    fn keep(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        if !(self.more)() {
            return false;
        }
        let mut candidate = self.best.clone();
        change(&mut candidate);
        let text = to_toml(&candidate);
        if text == to_toml(&self.best) {
            return false;
        }
        // What is kept is what a reader of the file gets.
        let Ok(mut candidate) = Plan::read(&text, "a smaller scenario") else { return false };
        Arc::make_mut(&mut candidate.config).planted = self.best.config.planted;
        if !is_survivable(&candidate) {
            return false;
        }
        self.tried += 1;
        let twice = self.failure == Failure::Invariant(crate::check::Invariant::Repeatable);
        let stop = || !(self.more)();
        let trial = Trial::run(&candidate, candidate.seed, twice, &stop);
        let same = trial.failure.is_some_and(|(failure, _)| failure == self.failure);
        if same {
            self.best = candidate;
        }
        same
    }

    /// Leaves out as many faults as possible: first large parts of the list, then smaller ones.
    fn faults(&mut self) {
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
    }

    /// Leaves out as many requests as possible, one by one, and lets clients wait for ever.
    fn requests(&mut self) {
        self.keep(|plan| plan.requests.clear());
        for place in (0..self.best.requests.len()).rev() {
            self.keep(|plan| {
                plan.requests.remove(place);
            });
        }
        for place in 0..self.best.requests.len() {
            self.keep(|plan| plan.requests[place].give_up = None);
        }
        for place in 0..self.best.jobs.len() {
            self.keep(|plan| plan.jobs[place].give_up = None);
        }
    }

    fn work(&mut self) {
        self.requests();
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
            while let Inputs::Range { count: 2.., .. } = self.best.jobs[place].spec.inputs {
                let halved = self.keep(|plan| {
                    if let Inputs::Range { count, .. } = &mut plan.jobs[place].spec.inputs {
                        *count /= 2;
                    }
                });
                if !halved {
                    break;
                }
            }
            self.keep(|plan| plan.jobs[place].at = Draw::ZERO);
            self.keep(|plan| {
                let spec = &mut plan.jobs[place].spec;
                (spec.batch, spec.weight, spec.priority) = (1, 1.0, 0);
            });
        }
        for place in 0..self.best.arrivals.len() {
            while self.best.arrivals[place].count > 1 && self.keep(|plan| plan.arrivals[place].count /= 2) {}
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

    /// Leaves out machines, the last ones first; faults that hit one go with it.
    fn nodes(&mut self) {
        let mut place = self.best.nodes.len();
        while place > 0 {
            place -= 1;
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

    /// Puts settings back to what they are by default, all at once and one by one.
    fn settings(&mut self) {
        let usual = Config::default();
        self.keep(|plan| plan.config = Arc::new(Config::default()));
        self.change(|config| config.membership = usual.membership.clone());
        self.change(|config| config.failover = usual.failover.clone());
        self.change(|config| config.dispatch = usual.dispatch.clone());
        self.change(|config| config.scheduler = usual.scheduler.clone());
        self.change(|config| config.failover.voters = None);
        self.change(|config| config.failover.backup_every = usual.failover.backup_every);
        self.change(|config| config.failover.standby = usual.failover.standby.clone());
        self.change(|config| config.failover.snapshot_every = usual.failover.snapshot_every);
        self.change(|config| config.failover.election = usual.failover.election);
        self.change(|config| config.membership.kind = usual.membership.kind);
        self.change(|config| config.membership.observers = usual.membership.observers);
        self.change(|config| config.membership.heartbeat = usual.membership.heartbeat);
        self.change(|config| config.membership.suspect_after = usual.membership.suspect_after);
        self.change(|config| config.membership.evict_after = usual.membership.evict_after);
        self.change(|config| config.dispatch.mode = usual.dispatch.mode);
        self.change(|config| config.dispatch.window = None);
        self.change(|config| config.dispatch.hedge = usual.dispatch.hedge);
        self.change(|config| config.dispatch.retries_max = usual.dispatch.retries_max);
        self.change(|config| config.scheduler.policy = Arc::clone(&usual.scheduler.policy));
        self.keep(|plan| {
            plan.network = NetworkPlan {
                latency: Draw::Fixed(Span::micros(100)),
                loss: 0.0,
                duplicate: 0.0,
                reorder: 0.0,
                bandwidth: None,
            };
        });
        self.keep(|plan| plan.network.loss = 0.0);
        self.keep(|plan| plan.network.duplicate = 0.0);
        self.keep(|plan| plan.network.reorder = 0.0);
        self.keep(|plan| plan.network.bandwidth = None);
        self.keep(|plan| plan.network.latency = Draw::Fixed(Span::micros(100)));
        self.keep(|plan| plan.disk = DiskPlan { sync: Draw::Fixed(Span::millis(1)) });
        let models: Vec<Arc<str>> = self.best.models.keys().cloned().collect();
        for model in models {
            self.keep(|plan| {
                let model = plan.models.get_mut(&model).expect("it is listed");
                model.profile = CostProfile {
                    load: Draw::ZERO,
                    setup: Draw::ZERO,
                    per_input: Draw::Fixed(Span::millis(10)),
                };
            });
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Config)) {
        self.keep(|plan| change(Arc::make_mut(&mut plan.config)));
    }

    /// Rounds and shortens the times of faults, and makes targets and shapes plainer.
    fn magnitudes(&mut self) {
        for place in 0..self.best.faults.len() {
            for grain in [1_000, 100, 10] {
                let rounded = |draw: Draw| match draw {
                    Draw::Fixed(span) => {
                        let grain = grain * 1_000_000;
                        Draw::Fixed(Span((span.0 + grain / 2) / grain * grain))
                    }
                    other => other,
                };
                self.keep(|plan| plan.faults[place].at = rounded(plan.faults[place].at));
                self.keep(|plan| {
                    let fault = &mut plan.faults[place];
                    // One that lasts no time at all would be one that stays.
                    let shorter = fault.lasting.map(rounded).filter(|draw| draw.mean() > Span::ZERO);
                    fault.lasting = shorter.or(fault.lasting);
                });
            }
            self.keep(|plan| plan.faults[place].repeat = None);
            self.keep(|plan| plan.faults[place].after = Draw::ZERO);
            self.keep(|plan| (plan.faults[place].trigger, plan.faults[place].after) = (None, Draw::ZERO));
            self.keep(|plan| plainer(&mut plan.faults[place]));
        }
        self.keep(|plan| {
            let earliest = plan.faults.iter().map(|fault| fault.at.mean()).min().unwrap_or(Span::ZERO);
            for fault in &mut plan.faults {
                if let Draw::Fixed(span) = &mut fault.at {
                    *span = Span(span.0 - earliest.0.min(span.0));
                }
            }
        });
    }
}

/// Whether a quorum of disks and machines is left in the end, and a worker, so that everything accepted has to finish: otherwise a smaller
/// scenario would fail for a reason of its own.
fn is_survivable(plan: &Plan) -> bool {
    let voters = plan.config.failover.voters_for(plan.nodes.len());
    let takes = |fault: &&Fault| match fault.kind {
        FaultKind::Crash { wipe } => wipe || fault.lasting.is_none(),
        FaultKind::Corrupt => true,
        FaultKind::Pause
        | FaultKind::Suspend
        | FaultKind::Isolate
        | FaultKind::Cut { .. }
        | FaultKind::Partial(_)
        | FaultKind::Loss(_)
        | FaultKind::SlowLink(_)
        | FaultKind::Delay(_)
        | FaultKind::Starve(_)
        | FaultKind::Skew(_)
        | FaultKind::Leave
        | FaultKind::FullDisk
        | FaultKind::SlowDisk(_) => fault.lasting.is_none(),
        _ => false,
    };
    let single = |target: &Target| {
        matches!(target, Target::Node(_) | Target::Coordinator | Target::Voter | Target::Concerned)
    };
    let known = |fault: &Fault| match &fault.target {
        Target::Several(targets) => targets.iter().all(single),
        target => single(target),
    };
    let taken: Vec<&Fault> = plan.faults.iter().filter(takes).collect();
    let machines: usize = taken.iter().map(|fault| fault.target.machines_max(plan.nodes.len())).sum();
    // Who leaves takes its seat along: with it a disk or a machine less may be one too many.
    let goodbyes = plan.faults.iter().any(|fault| fault.kind == FaultKind::Leave);
    let spare = if goodbyes { 0 } else { (voters - 1) / 2 };
    let gone = |place: usize| {
        let place = Target::Node(place as u32);
        taken.iter().any(|fault| match &fault.target {
            Target::Several(targets) => targets.contains(&place),
            target => *target == place,
        })
    };
    let works = plan.nodes.iter().enumerate().any(|(place, node)| node.worker && !gone(place));
    taken.iter().all(|fault| known(fault)) && machines <= spare && works
}

/// A fault of the same kind that is easier to understand.
fn plainer(fault: &mut Fault) {
    match &mut fault.kind {
        FaultKind::Cut { direction, .. } => *direction = Direction::Both,
        FaultKind::Crash { wipe } => *wipe = false,
        FaultKind::Loss(loss) => *loss = Loss::of(loss.rate),
        FaultKind::Duplicate(rate) | FaultKind::Reorder(rate) => *rate = 0.5,
        FaultKind::Delay(by) | FaultKind::SlowDisk(by) => *by = Draw::Fixed(Span::millis(100)),
        _ => {}
    }
}

/// Takes the machine at `gone` out of the plan, and out of all that names machines by their places.
fn remove_node(plan: &mut Plan, gone: u32) {
    plan.nodes.remove(gone as usize);
    for (node, number) in plan.nodes.iter_mut().zip(1..) {
        node.name = NodePlan::usual(number).name;
    }
    plan.faults.retain_mut(|fault| {
        let other = match &mut fault.kind {
            FaultKind::Cut { other: Some(other), .. } => without(other, gone),
            _ => true,
        };
        without(&mut fault.target, gone) && other
    });
}

/// Takes a machine out of a target; false when nothing is left of it.
fn without(target: &mut Target, gone: u32) -> bool {
    match target {
        Target::Node(place) if *place == gone => false,
        Target::Node(place) => {
            *place -= u32::from(*place > gone);
            true
        }
        Target::Several(targets) => {
            targets.retain_mut(|target| without(target, gone));
            if let [one] = targets.as_slice() {
                *target = one.clone();
                return true;
            }
            !targets.is_empty()
        }
        _ => true,
    }
}
