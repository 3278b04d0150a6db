//! What the trials of a scenario came to: what broke, what was left, how much was looked at.

use std::collections::BTreeMap;

use super::Exit;
use crate::base::Time;
use crate::check::{Census, Gaps, Invariant, Kind, Verdict, Violation};
use crate::report::Trial;

/// More violations than this are counted and not shown.
const VIOLATIONS_MAX: usize = 100;
/// More violations of one trial than this are counted and not shown.
const PER_TRIAL_MAX: usize = 10;
/// More violations of one invariant in one trial than this are counted and not shown: they tend to be alike.
const ALIKE_MAX: usize = 3;

/// What one scenario came to, beside its results.
pub(super) struct Findings {
    /// Invariants that did not hold, at most three times each and ten in all per trial, and a hundred in all.
    pub(super) violations: Vec<Violation>,
    /// How many there were.
    pub(super) violations_found: u64,
    /// How many of these were of each invariant.
    pub(super) violations_of: BTreeMap<Invariant, u64>,
    /// Trials that were given up, with their seed and what was left to do.
    pub(super) unfinished: Vec<(u64, Vec<String>)>,
    /// How much was looked at.
    pub(super) census: Census,
    /// Queries counted, lost, and counted more than once.
    pub(super) counted: u64,
    /// See `counted`.
    pub(super) lost: u64,
    /// See `counted`.
    pub(super) doubled: u64,
    /// Queries that have an answer in the tables, whichever coordinator counted it.
    pub(super) answered: u64,
    /// Inputs of these whose prediction is that they failed.
    pub(super) failed_inputs: u64,
    /// Inputs of these in all.
    pub(super) inputs: u64,
    /// Why inputs failed in the first trial where some did, with its seed, as far as that is known.
    pub(super) failures: Option<(u64, Vec<String>)>,
    /// How often a node that no fault had silenced was suspected, and how often one was evicted.
    pub(super) false_alarms: [u64; 2],
    /// Messages, wake-ups and other inputs of nodes.
    pub(super) events: u64,
    /// The trace hash of trial 0.
    trace: Option<u128>,
    /// Whether the nodes were real, so that nothing happens in the same way again.
    pub(super) real: bool,
    /// What the history lacks.
    pub(super) gaps: Gaps,
    /// Whether trial 0 was run a second time.
    pub(super) repeated: bool,
    gravest: Option<Kind>,
}

impl Findings {
    /// Nothing so far.
    pub(super) fn new() -> Findings {
        Findings {
            violations: Vec::new(),
            violations_found: 0,
            violations_of: BTreeMap::new(),
            unfinished: Vec::new(),
            census: Census::default(),
            counted: 0,
            lost: 0,
            doubled: 0,
            answered: 0,
            failed_inputs: 0,
            inputs: 0,
            failures: None,
            false_alarms: [0; 2],
            events: 0,
            trace: None,
            real: false,
            gaps: Gaps::default(),
            repeated: false,
            gravest: None,
        }
    }

    /// Adds the next trial: its tables, what the checker says, its trace hash, and what was left to do if it was given up.
    pub(super) fn add(&mut self, trial: &Trial, verdict: Verdict, trace: u128, unfinished: Vec<String>) {
        self.trace.get_or_insert(trace);
        let alarms = self.false_alarms.iter_mut().zip(trial.false_alarms());
        alarms.for_each(|(sum, one)| *sum += one);
        self.counted += verdict.queries_counted;
        self.lost += verdict.queries_lost;
        self.doubled += verdict.queries_doubled;
        self.answered += trial.tables.jobs.iter().map(|job| job.queries).sum::<u64>();
        self.failed_inputs += trial.tables.jobs.iter().map(|job| job.failed_inputs).sum::<u64>();
        self.inputs += trial.tables.jobs.iter().map(|job| job.inputs).sum::<u64>();
        self.violations_found += verdict.violations_found;
        self.gravest = [self.gravest, verdict.gravest()].into_iter().flatten().min();
        for (invariant, found) in verdict.violations_of {
            *self.violations_of.entry(invariant).or_default() += found;
        }
        let room = VIOLATIONS_MAX.saturating_sub(self.violations.len()).min(PER_TRIAL_MAX);
        let mut alike: BTreeMap<Invariant, usize> = BTreeMap::new();
        let shown = verdict.violations.into_iter().filter(|violation| {
            let alike = alike.entry(violation.invariant).or_default();
            *alike += 1;
            *alike <= ALIKE_MAX
        });
        self.violations.extend(shown.take(room));
        let (sum, one) = (&mut self.census, verdict.census);
        sum.records += one.records;
        sum.leaders += one.leaders;
        sum.entries_compared += one.entries_compared;
        sum.attempts += one.attempts;
        sum.deadlines += one.deadlines;
        sum.faults_began += one.faults_began;
        sum.faults_effective += one.faults_effective;
        sum.faults_missed += one.faults_missed;
        sum.histories_unchecked += one.histories_unchecked;
        if !unfinished.is_empty() {
            self.unfinished.push((verdict.seed, unfinished));
        }
    }

    /// Invariant 11: the same seed has the same trace. Trial 0, whose seed this is, was run again with this trace, up to
    /// `ended_at`.
    pub(super) fn compare(&mut self, seed: u64, again: u128, ended_at: Time) {
        let trace = self.trace.expect("the repetition comes after trial 0");
        self.repeated = true;
        if trace == again {
            return;
        }
        self.violations_found += 1;
        *self.violations_of.entry(Invariant::Repeatable).or_default() += 1;
        self.gravest = Some(Kind::Safety);
        self.violations.push(Violation {
            invariant: Invariant::Repeatable,
            at: ended_at,
            machines: Vec::new(),
            names: Vec::new(),
            seed,
            detail: format!("the trace hash was {trace:032x} first and {again:032x} then"),
        });
    }

    /// Adds why inputs failed in the trial of this seed.
    pub(super) fn heard(&mut self, seed: u64, failures: Vec<String>) {
        if self.failures.is_none() && !failures.is_empty() {
            self.failures = Some((seed, failures));
        }
    }

    /// Whether real nodes answered, and none of their answers is one: that is no drill of anything.
    pub(super) fn answered_nothing(&self) -> bool {
        self.real && self.inputs > 0 && self.failed_inputs == self.inputs
    }

    /// Whether there were faults, and none of them ever happened: that proves nothing.
    pub(super) fn all_missed(&self) -> bool {
        self.census.faults_missed > 0 && self.census.faults_began == 0
    }

    /// How a command that found this ends.
    pub(super) fn exit(&self) -> Exit {
        match self.gravest {
            Some(Kind::Safety) => Exit::Safety,
            Some(Kind::Liveness) => Exit::Liveness,
            None if !self.unfinished.is_empty() => Exit::Liveness,
            None if self.all_missed() || self.answered_nothing() => Exit::Failed,
            None => Exit::Fine,
        }
    }
}
