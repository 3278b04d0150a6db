//! Makes a failing scenario small: delta debugging (Zeller and Hildebrandt, 2002) over faults, work, machines, settings, times.

mod certain;
mod parts;
mod plain;
#[cfg(test)]
mod tests;
mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::trial::{Failure, Trial};
use crate::base::{Draw, Time};
use crate::check::Invariant;
use crate::history::Machine;
use crate::scenario::{FailoverMode, Fault, FaultKind, Plan, Target, to_brief_toml};

/// A scenario that was made as small as was possible in the time.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario; it fails in the same way under its own seed, every time.
    pub plan: Plan,
    /// How many scenarios were tried.
    pub tried: u32,
    /// Whether nothing was left to try; otherwise the time was over, perhaps before anything could be tried.
    pub complete: bool,
}

/// More passes than this are not made over everything that can be taken away.
const PASSES_MAX: u32 = 12;

/// Makes `plan`, which fails with `failure` under its own seed, as small as it gets while `more` says true and the failure
/// stays of the same kind. A plan that does not fail so stays as it is. What is left to chance is made certain where the failure stays.
pub fn shrink(plan: &Plan, failure: Failure, more: &(dyn Fn() -> bool + Sync)) -> Shrunk {
    let mut shrinker = Shrinker {
        best: plan.clone(),
        failure,
        more,
        tried: 0,
        refused: BTreeSet::new(),
        hit: BTreeMap::new(),
    };
    // What it is about is said anew once it is known what is left of it.
    shrinker.best.about.clear();
    let first = shrinker.carried_out(&shrinker.best);
    let complete = !first.stopped;
    let Some(hit) = shrinker.hit_by(first) else {
        return Shrunk { plan: plan.clone(), tried: 0, complete };
    };
    shrinker.hit = hit;
    for _ in 0..PASSES_MAX {
        let before = to_brief_toml(&shrinker.best);
        shrinker.faults();
        shrinker.nodes();
        shrinker.work();
        shrinker.settings();
        shrinker.certain();
        shrinker.times();
        shrinker.kinds();
        if !more() {
            break;
        }
        if to_brief_toml(&shrinker.best) == before {
            return Shrunk { plan: shrinker.best, tried: shrinker.tried, complete: true };
        }
    }
    Shrunk { plan: shrinker.best, tried: shrinker.tried, complete: false }
}

struct Shrinker<'a> {
    best: Plan,
    failure: Failure,
    more: &'a (dyn Fn() -> bool + Sync),
    tried: u32,
    /// What was tried and does not fail in the same way, as text.
    refused: BTreeSet<String>,
    /// When the faults of `best` begin, and whom they hit.
    hit: BTreeMap<u32, (Time, Vec<Machine>)>,
}

impl Shrinker<'_> {
    /// Keeps the plan as `change` makes it, if it can be read and fails in the same way.
    fn keep(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.keep_text(&to_brief_toml(&candidate))
    }

    /// The same for a scenario as a reader of the file gets it.
    fn keep_text(&mut self, text: &str) -> bool {
        let Ok(mut candidate) = Plan::read(text, "a smaller scenario") else { return false };
        Arc::make_mut(&mut candidate.config).planted = self.best.config.planted;
        let text = to_brief_toml(&candidate);
        if text == to_brief_toml(&self.best)
            || self.refused.contains(&text)
            || chances(&candidate) > chances(&self.best)
            || !is_survivable(&candidate)
            || !(self.more)()
        {
            return false;
        }
        self.tried += 1;
        let Some(hit) = self.hit_by(self.carried_out(&candidate)) else {
            self.refused.insert(text);
            return false;
        };
        (self.best, self.hit) = (candidate, hit);
        true
    }

    fn carried_out(&self, plan: &Plan) -> Trial {
        let twice = self.failure == Failure::Invariant(Invariant::Repeatable);
        Trial::run(plan, plan.seed, twice, &|| !(self.more)())
    }

    /// Whom the faults of a trial hit, if it failed in the same way.
    fn hit_by(&self, trial: Trial) -> Option<BTreeMap<u32, (Time, Vec<Machine>)>> {
        trial.failure.is_some_and(|(failure, _)| failure == self.failure).then_some(trial.reached.hit)
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
    let is_other = |target: &Target| matches!(target, Target::Node(place) if *place > 0);
    let known = |fault: &Fault| match &fault.target {
        Target::Several(targets) => targets.iter().all(single),
        target => single(target),
    };
    let taken: Vec<&Fault> = plan.faults.iter().filter(takes).collect();
    let machines: usize = taken.iter().map(|fault| fault.target.machines_max(plan.nodes.len())).sum();
    // Who leaves takes its seat along: with it a disk or a machine less may be one too many.
    let goodbyes = plan.faults.iter().any(|fault| fault.kind == FaultKind::Leave);
    let spare = match plan.config.failover.mode {
        _ if goodbyes => 0,
        // Whoever dies, the other one of the two goes on.
        FailoverMode::Standby => 1,
        // Whoever votes alone, which is the first machine, does without another one.
        FailoverMode::Log if voters == 1 => usize::from(taken.iter().all(|fault| is_other(&fault.target))),
        FailoverMode::Log => (voters - 1) / 2,
    };
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

/// How much of a plan is left to chance: its random lengths of time, and faults that hit anybody.
fn chances(plan: &Plan) -> usize {
    let mut plan = plan.clone();
    let draws = draws(&mut plan).into_iter().filter(|draw| !matches!(draw, Draw::Fixed(_))).count();
    draws + plan.faults.iter().filter(|fault| is_random(&fault.target)).count()
}

/// All lengths of time of a plan that may be random, always in the same order.
fn draws(plan: &mut Plan) -> Vec<&mut Draw> {
    let mut all = vec![&mut plan.network.latency, &mut plan.disk.sync];
    for model in plan.models.values_mut() {
        let profile = &mut model.profile;
        all.extend([&mut profile.load, &mut profile.setup, &mut profile.per_input]);
    }
    all.extend(plan.jobs.iter_mut().map(|job| &mut job.at));
    all.extend(plan.arrivals.iter_mut().filter_map(|stream| stream.every.as_mut()));
    all.extend(plan.requests.iter_mut().map(|request| &mut request.at));
    for Fault { at, after, kind, lasting, repeat, .. } in &mut plan.faults {
        all.extend([at, after]);
        all.extend(lasting.as_mut());
        all.extend(repeat.as_mut().map(|repeat| &mut repeat.every));
        if let FaultKind::Delay(draw) | FaultKind::SlowDisk(draw) | FaultKind::Starve(draw) = kind {
            all.push(draw);
        }
    }
    all
}

/// Whether chance decides whom it means. A coordinator and the like are what they are, whoever it is.
fn is_random(target: &Target) -> bool {
    match target {
        Target::Random(_) | Target::Minority | Target::Voter | Target::Worker | Target::Spare => true,
        Target::Node(_)
        | Target::Coordinator
        | Target::BusiestWorker
        | Target::All
        | Target::Each
        | Target::Concerned => false,
        Target::Several(targets) => targets.iter().any(is_random),
    }
}
