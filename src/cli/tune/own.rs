//! The scenario as it is, faults and all, with the settings that it has and with those that are advised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPool;

use super::super::findings::Findings;
use super::super::sim::{self, Made};
use super::super::{Exit, screen, trials};
use crate::report::tune::Timing;
use crate::report::{Stats, Trial};
use crate::scenario::Plan;

/// The most trials of the scenario itself.
const TRIALS_MAX: u32 = 10;

/// What one of the two came to.
pub(super) struct Side {
    /// What the checker found.
    pub(super) findings: Findings,
    /// For each kind of fault the seconds until work went on.
    pub(super) recovery: BTreeMap<Arc<str>, Vec<f64>>,
    /// For each trial the attempts that did not count.
    pub(super) wasted: Vec<f64>,
}

/// The scenario with its own settings, and with those that are advised.
pub(super) struct Own {
    /// In this order.
    pub(super) sides: Vec<Side>,
    /// Trials of each.
    pub(super) trials: u32,
    plans: Vec<Plan>,
}

impl Side {
    fn add(&mut self, trial: &Trial) {
        for row in &trial.tables.recovery {
            if let Some(total) = row.total_s.value() {
                self.recovery.entry(Arc::clone(&row.kind)).or_default().push(total);
            }
        }
        let wasted = trial.tables.attempts.iter().filter(|attempt| attempt.outcome != "counted").count();
        self.wasted.push(wasted as f64);
    }

    /// The mean time until work went on after faults of a kind.
    pub(super) fn recovery(&self, kind: &str) -> Option<f64> {
        self.recovery.get(kind).and_then(|seconds| Stats::of(seconds).mean)
    }

    /// The mean number of attempts of a trial that did not count.
    pub(super) fn wasted(&self) -> f64 {
        Stats::of(&self.wasted).mean.unwrap_or(0.0)
    }
}

impl Own {
    /// Runs both with the same seeds; `None` when it was interrupted.
    pub(super) fn run(
        plans: &[Plan; 2],
        at_most: u32,
        quiet: bool,
        pool: &ThreadPool,
        stop: &AtomicBool,
    ) -> Option<Own> {
        let trials = plans[0].trials.min(at_most).min(TRIALS_MAX);
        let plans: Vec<Plan> = plans.iter().map(|plan| Plan { trials, ..plan.clone() }).collect();
        let fresh = || Side { findings: Findings::new(), recovery: BTreeMap::new(), wasted: Vec::new() };
        let mut sides: Vec<Side> = plans.iter().map(|_| fresh()).collect();
        let bar =
            sim::bar(quiet, "step 4 of 4, the scenario itself, before and after", 2 * u64::from(trials));
        let each = trials + 1;
        let place = |number: u32| ((number / each) as usize, number % each);
        let make = |number: u32| {
            let (side, trial) = place(number);
            sim::made(&plans[side], trial, stop)
        };
        let take = |number: u32, made: Made| {
            if made.is_stopped() || stop.load(Ordering::Relaxed) {
                return Err(());
            }
            let side = &mut sides[place(number).0];
            match made {
                Made::Trial(trial) => {
                    let (trial, verdict, outcome) = *trial;
                    side.add(&trial);
                    side.findings.add(&trial, verdict, outcome.trace, outcome.unfinished);
                    bar.inc(1);
                }
                Made::Repetition(again) => side.findings.compare(plans[0].seed, again.trace, again.ended_at),
            }
            Ok(())
        };
        let ran = trials::in_order(pool, 2 * each, make, take);
        bar.finish_and_clear();
        ran.ok().map(|()| Own { sides, trials, plans })
    }

    /// Says what broke; how the command ends.
    pub(super) fn exit(&self, argument: &str, set: &[String]) -> Exit {
        let mut exit = Exit::Fine;
        for ((side, plan), name) in self.sides.iter().zip(&self.plans).zip(["as it is", "as advised"]) {
            let overrides = Timing::of(&plan.config).overrides();
            let set: Vec<String> = set.iter().cloned().chain(overrides).collect();
            for line in screen::complaints(argument, &set, plan, &side.findings) {
                screen::complain(&format!("{name}: {line}"));
            }
            exit = exit.graver(side.findings.exit());
        }
        exit
    }
}
