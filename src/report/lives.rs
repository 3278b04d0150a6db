//! What each machine went through over time, gathered while a run goes on: what its engine did, and what it was in.

use super::cluster::{Cluster, Condition};
use crate::base::{AttemptId, JobId, Time};
use crate::history::{Machine, Observation};

/// What an engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    /// It loads a model.
    Loads,
    /// It runs a query of this job.
    Runs(JobId),
}

/// What a machine can be in, whatever its engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plight {
    /// Its process does not run, or its node does not belong to the newest view.
    Absent,
    /// Its process stands still.
    Paused,
    /// A voter suspects it.
    Suspect,
    /// A fault cuts connections of its.
    Cut,
    /// It was elected, has not stepped down, and does not stand still.
    Leads,
}

/// In the order of `Plight`.
const PLIGHTS: [Plight; 5] = [Plight::Absent, Plight::Paused, Plight::Suspect, Plight::Cut, Plight::Leads];

impl Plight {
    fn holds(self, now: Condition) -> bool {
        match self {
            Plight::Absent => !now.up || !now.member,
            Plight::Paused => now.paused,
            Plight::Suspect => now.suspect,
            Plight::Cut => now.cut,
            Plight::Leads => now.leads && !now.paused,
        }
    }
}

/// Something that lasted, longer than no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay<T> {
    pub(super) what: T,
    pub(super) from: Time,
    pub(super) to: Time,
}

/// One machine over time.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// What its engine did, in order of time and without overlaps. A query that nobody wants any more counts as ended, and
    /// while the process stands still nothing counts as done.
    pub(super) engine: Vec<Stay<Doing>>,
    /// What it was in, in order of the ends; those of one kind do not overlap.
    pub(super) plights: Vec<Stay<Plight>>,
    /// What the engine does now, since when, and for which attempt.
    pub(super) now: Option<(Doing, Time, Option<AttemptId>)>,
    pub(super) paused: bool,
    /// Since when each plight holds.
    pub(super) since: [Option<Time>; PLIGHTS.len()],
}

impl Life {
    fn begin(&mut self, at: Time, doing: Doing, attempt: Option<AttemptId>) {
        self.end(at);
        self.now = Some((doing, at, attempt));
    }

    /// The engine is free from now on.
    fn end(&mut self, at: Time) {
        if let Some((what, from, _)) = self.now.take() {
            self.note(what, from, at);
        }
    }

    fn note(&mut self, what: Doing, from: Time, to: Time) {
        if from < to && !self.paused {
            self.engine.push(Stay { what, from, to });
        }
    }

    fn settle(&mut self, at: Time, condition: Condition) {
        if !condition.up {
            self.end(at);
        }
        if self.paused != condition.paused {
            if let Some((what, from, attempt)) = self.now {
                self.note(what, from, at);
                self.now = Some((what, at, attempt));
            }
            self.paused = condition.paused;
        }
        for (what, since) in PLIGHTS.into_iter().zip(&mut self.since) {
            match (*since, what.holds(condition)) {
                (None, true) => *since = Some(at),
                (Some(from), false) => {
                    *since = None;
                    self.plights.extend((from < at).then_some(Stay { what, from, to: at }));
                }
                (None, false) | (Some(_), true) => {}
            }
        }
    }
}

/// All machines over time, in order of the plan.
#[derive(Debug, Default)]
pub(super) struct Lives(pub(super) Vec<Life>);

impl Lives {
    /// Nothing yet of so many machines.
    pub(super) fn new(machines: usize) -> Lives {
        Lives((0..machines).map(|_| Life::default()).collect())
    }

    /// A worker did something.
    pub(super) fn on_node(&mut self, at: Time, machine: Machine, observation: &Observation) {
        let Some(life) = self.0.get_mut(machine as usize) else { return };
        match observation {
            Observation::Loading { .. } => life.begin(at, Doing::Loads, None),
            Observation::Loaded { .. } if matches!(life.now, Some((Doing::Loads, ..))) => life.end(at),
            Observation::Began { query, attempt } => life.begin(at, Doing::Runs(query.job), Some(*attempt)),
            Observation::Ended { attempt, .. } | Observation::Dropped { attempt, .. } if matches!(life.now, Some((_, _, Some(running))) if running == *attempt) =>
            {
                life.end(at);
            }
            Observation::EngineDied { .. } => life.end(at),
            _ => {}
        }
    }

    /// Something may have changed what machines are in.
    pub(super) fn settle(&mut self, at: Time, cluster: &Cluster) {
        for (life, condition) in self.0.iter_mut().zip(cluster.conditions()) {
            life.settle(at, condition);
        }
    }

    /// The trial is over: what holds, holds until then.
    pub(super) fn finish(mut self, at: Time) -> Lives {
        for life in &mut self.0 {
            life.end(at);
            life.settle(at, Condition { up: true, member: true, ..Condition::default() });
        }
        self
    }
}
