//! How long the cluster took to get over each fault: detected, led again, dispatching, committing, back at its pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cluster::{Cluster, takes_away};
use super::format::Seconds;
use super::rows::RecoveryRow;
use super::work::{Job, Work};
use crate::base::{Epoch, QueryId, Span, Time};
use crate::history::{FaultEvent, FaultPhase, Machine};
use crate::scenario::Plan;

/// Part of the pace before the fault, times what the survivors can give, that counts as normal again.
const NORMAL: f64 = 0.9;
/// The window over which the pace is measured.
const PACE: Span = Span::secs(1);

/// A fault at the moment when it began.
#[derive(Debug)]
pub(super) struct Hit {
    /// Its position in the plan.
    pub(super) fault: u32,
    /// Its kind.
    pub(super) kind: Arc<str>,
    /// The machines that it hit; none when it could not be injected.
    pub(super) machines: Vec<Machine>,
    /// When it began.
    pub(super) at: Time,
    /// When it ended.
    pub(super) ended: Option<Time>,
    /// The reign that it hit, if it hit the coordinator.
    reign: Option<Epoch>,
    /// The queries that the workers which it hit held.
    held: BTreeSet<QueryId>,
    /// How many queries were not counted yet.
    unfinished: u64,
    /// The part of the workers' speed that it left.
    survivors: f64,
}

/// All faults of one run, gathered while it goes on.
#[derive(Debug, Default)]
pub(super) struct Hits(pub(super) Vec<Hit>);

impl Hits {
    /// A fault was injected, ended, or could not be injected.
    pub(super) fn on_fault(
        &mut self,
        at: Time,
        event: &FaultEvent,
        plan: &Plan,
        cluster: &Cluster,
        work: &Work,
    ) {
        match event.phase {
            FaultPhase::Began => self.0.push(Hit::new(at, event, plan, cluster, work)),
            FaultPhase::Missed { .. } => {
                let nobody = FaultEvent { machines: Vec::new(), ..event.clone() };
                self.0.push(Hit::new(at, &nobody, plan, cluster, work));
            }
            FaultPhase::Ended => {
                let open = |hit: &&mut Hit| {
                    hit.fault == event.fault && hit.ended.is_none() && hit.machines == event.machines
                };
                if let Some(hit) = self.0.iter_mut().rev().find(open) {
                    hit.ended = Some(at);
                }
            }
            FaultPhase::TookEffect => {}
        }
    }

    /// The rows of recovery.csv, in order of the faults' beginnings.
    pub(super) fn rows(&self, trial: u32, cluster: &Cluster, work: &Work) -> Vec<RecoveryRow> {
        let row = |(position, hit): (usize, &Hit)| {
            let spans = hit.spans(self.horizon(position), cluster, work);
            let names: Vec<Arc<str>> = hit.machines.iter().map(|&m| cluster.machine_name(m)).collect();
            let since = |time: Option<Time>| Seconds::from(time.map(|time| time.since(hit.at)));
            RecoveryRow {
                trial,
                fault: hit.fault,
                kind: Arc::clone(&hit.kind),
                node: names.join(" ").into(),
                at_s: Seconds::from(hit.at),
                detect_s: since(spans.detect),
                promote_s: since(spans.promote),
                redispatch_s: since(spans.redispatch),
                first_result_s: since(spans.first_result),
                normal_s: since(spans.normal),
                total_s: since(spans.redispatch),
                held: hit.held.len() as u32,
                unfinished: hit.unfinished,
                regained_s: since(spans.regained),
            }
        };
        self.0.iter().enumerate().map(row).collect()
    }

    /// What happens from then on is no longer due to the hit at `position`: a later fault hits one of the same machines,
    /// or the coordinator again.
    fn horizon(&self, position: usize) -> Time {
        let hit = &self.0[position];
        let same = |later: &&Hit| {
            later.at > hit.at
                && (later.machines.iter().any(|machine| hit.machines.contains(machine))
                    || (hit.reign.is_some() && later.reign.is_some()))
        };
        self.0[position + 1..].iter().find(same).map_or(Time::NEVER, |later| later.at)
    }
}

/// When what followed from a fault happened.
#[derive(Debug, Default)]
struct Spans {
    detect: Option<Time>,
    promote: Option<Time>,
    redispatch: Option<Time>,
    first_result: Option<Time>,
    normal: Option<Time>,
    regained: Option<Time>,
}

impl Hit {
    fn new(at: Time, event: &FaultEvent, plan: &Plan, cluster: &Cluster, work: &Work) -> Hit {
        let machines = event.machines.clone();
        let leader = cluster.leader(at).filter(|(machine, _)| machines.contains(machine));
        let takes_away = takes_away(&event.kind);
        let speed = |counts: &dyn Fn(Machine) -> bool| -> f64 {
            let up = |machine: &Machine| cluster.is_up(*machine, at) && counts(*machine);
            let workers = (0..plan.nodes.len() as Machine).filter(|&m| plan.nodes[m as usize].worker);
            workers.filter(up).map(|m| plan.nodes[m as usize].speed).sum()
        };
        let all = speed(&|_| true);
        let left = speed(&|machine| !(takes_away && machines.contains(&machine)));
        let held = work.held_by(|node| cluster.machine(node).is_some_and(|m| machines.contains(&m)));
        Hit {
            fault: event.fault,
            kind: Arc::clone(&event.kind),
            at,
            ended: None,
            reign: leader.map(|(_, epoch)| epoch),
            held,
            unfinished: work.unfinished(),
            survivors: if all > 0.0 { left / all } else { 0.0 },
            machines,
        }
    }

    fn spans(&self, horizon: Time, cluster: &Cluster, work: &Work) -> Spans {
        if self.machines.is_empty() {
            return Spans::default();
        }
        let near = |time: &Time| *time >= self.at && *time < horizon;
        let other = |machine: Machine| !self.machines.contains(&machine);
        let stood = || {
            let noticed = |(time, machine): &&(Time, Machine)| near(time) && other(*machine);
            cluster.stood.iter().find(noticed).map(|(time, _)| *time)
        };
        let suspected = || {
            let noticed = |(time, subject, voter): &&(Time, Machine, Machine)| {
                near(time) && self.machines.contains(subject) && other(*voter)
            };
            cluster.suspected.iter().find(noticed).map(|(time, ..)| *time)
        };
        let detect = if self.reign.is_some() { stood() } else { suspected() };
        let promote = self.reign.and_then(|old| {
            let led = |(time, _, epoch): &&(Time, Machine, Epoch)| near(time) && *epoch > old;
            cluster.led.iter().find(led).map(|(time, ..)| *time)
        });
        let from = work.dispatches.partition_point(|(time, ..)| *time < self.at);
        let mut dispatches = work.dispatches[from..].iter().filter(|(time, ..)| near(time));
        let redispatch = match self.reign {
            Some(old) => dispatches.find(|(_, attempt, _)| attempt.epoch > old),
            None => dispatches.find(|(_, _, query)| self.held.contains(query)),
        };
        let redispatch = redispatch.map(|(time, ..)| *time);
        let first_result = redispatch.and_then(|since| {
            let next = work.commits.partition_point(|(time, _)| *time <= since);
            work.commits.get(next).map(|(time, _)| *time).filter(near)
        });
        let normal = match (redispatch, first_result) {
            // Nothing came of it.
            (Some(_), None) => None,
            (None, _) if !takes_away(&self.kind) => None,
            (_, from) => self.normal(from, work).filter(near),
        };
        let regained = self.regained(work).filter(near);
        Spans { detect, promote, redispatch, first_result, normal, regained }
    }

    /// When the last of the queries that were held was dispatched again, or counted without that.
    fn regained(&self, work: &Work) -> Option<Time> {
        let mut again: BTreeMap<QueryId, Time> = BTreeMap::new();
        let from = work.dispatches.partition_point(|(time, ..)| *time < self.at);
        for (time, _, query) in &work.dispatches[from..] {
            if again.len() == self.held.len() {
                break;
            }
            if self.held.contains(query) {
                again.entry(*query).or_insert(*time);
            }
        }
        let counted = |query: &QueryId| Some(work.queries.get(query)?.counted?.at);
        let out = |query: &QueryId| again.get(query).copied().into_iter().chain(counted(query)).min();
        // One that was never given out again is not regained, nor are all.
        self.held.iter().map(out).max_by_key(|time| time.unwrap_or(Time::NEVER))?
    }

    /// The first moment from `from` on at which the pace over the last second is back. Where nothing was given out again, it may
    /// never have been gone; whether it was, only what was counted after the fault can tell.
    fn normal(&self, from: Option<Time>, work: &Work) -> Option<Time> {
        let until = |time: Time| work.commits.partition_point(|(at, _)| *at <= time);
        let before = work.commits.partition_point(|(at, _)| *at < self.at);
        let first = work.commits.first()?.0;
        // The pace of the last ten seconds before the fault, or of as much as there was.
        let window = self.at.since(first).min(PACE * 10);
        if before == 0 || window < PACE || self.survivors <= 0.0 {
            return None;
        }
        let pace = (before - until(self.at - window)) as f64 / window.as_secs();
        let enough = NORMAL * pace * self.survivors * PACE.as_secs();
        let recent = |time: Time| (until(time) - until(time - PACE)) as f64;
        let last = work.jobs.values().map(Job::end).max()?;
        let from = if let Some(from) = from {
            if recent(from) >= enough {
                return Some(from);
            }
            from
        } else {
            let next = (self.at + PACE).min(last);
            let part = next.since(self.at).as_secs() / PACE.as_secs();
            if next > self.at && (until(next) - until(self.at)) as f64 >= enough * part {
                return Some(self.at);
            }
            self.at + PACE
        };
        // The pace rises only when something commits.
        let later = work.commits[until(from)..].iter().map(|(at, _)| *at);
        later.take_while(|at| *at <= last).find(|&at| recent(at) >= enough)
    }
}
