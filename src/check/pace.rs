//! Invariant 12: leaders change only where something disturbs them, and messages stay under a bound that follows from the settings.
//!
//! *Leaders.* Where everything runs and is connected, nothing has happened for `liveness_within`, and the network and the
//! disks are quicker than the election time-out, nobody is elected. Elsewhere an election needs a majority of voters that
//! have missed their leader for the whole time-out, or a process that began anew: more leaders than disturbances and
//! time-outs are too many.
//!
//! *Messages* of membership and the log; those of work go with the dispatches. With `N` nodes, or as many members as the largest view
//! has where machines lose their disks and come back as others, `K` observers of each (at
//! most `N − 1`), `V` voters and as many learners at most, a trial of `T` seconds in which `E` entries were committed has
//! at most
//!
//! ```text
//! N·K·T / heartbeat  +  2·(2V − 1)·T / beat  +  4·(2V − 1)·E  +  40·N
//! ```
//!
//! of them: heartbeats, the leader's signs of life with their answers, entries with theirs, and the start. Where faults are
//! planned or messages are lost, each node may be silent for each of its observers all the time, each voter may stand for
//! election all the time, and members may come and go:
//!
//! ```text
//! 2·N·K·T / heartbeat  +  10·N·K·V·T  +  4·V²·T / election  +  4·(2V − 1)·(T / beat + 2·E)  +  40·N·(T + 1)
//! ```

use super::roster::Who;
use super::verdict::{Findings, Invariant, ceiling};
use crate::base::{Epoch, Span, Time};
use crate::history::{FaultEvent, FaultPhase};
use crate::scenario::{Detector, Plan};

/// How often an observer announces a silence to a voter, per second.
const ALERTS_PER_S: f64 = 10.0;
/// Joins, views, fetches and their answers, per node and second while members come and go, and per node at the start.
const MOVES: f64 = 40.0;

/// How often leaders change, and how much is said.
#[derive(Debug)]
pub(super) struct Pace {
    shape: Shape,
    /// Whether the network and the disks alone never make a voter miss its leader.
    steady: bool,
    /// Whether faults are planned.
    faults: bool,
    grace: Span,
    /// Faults that have begun and not ended.
    in_force: i64,
    disturbed_at: Time,
    disturbances: u64,
    led: u64,
    messages: Option<u64>,
}

/// What the bounds are made of.
#[derive(Clone, Copy, Debug)]
struct Shape {
    nodes: f64,
    observers: f64,
    voters: f64,
    /// Seconds.
    heartbeat: f64,
    beat: f64,
    election: f64,
}

impl Shape {
    /// The most messages of a trial in which nothing was planned to go wrong.
    fn quiet(self, seconds: f64, entries: f64) -> f64 {
        let followers = 2.0 * self.voters - 1.0;
        self.nodes * self.observers * seconds / self.heartbeat
            + 2.0 * followers * seconds / self.beat
            + 4.0 * followers * entries
            + MOVES * self.nodes
    }

    /// The most messages of any trial.
    fn disturbed(self, seconds: f64, entries: f64) -> f64 {
        let followers = 2.0 * self.voters - 1.0;
        2.0 * self.nodes * self.observers * seconds / self.heartbeat
            + ALERTS_PER_S * self.nodes * self.observers * self.voters * seconds
            + 4.0 * self.voters * self.voters * seconds / self.election
            + 4.0 * followers * (seconds / self.beat + 2.0 * entries)
            + MOVES * self.nodes * (seconds + 1.0)
    }
}

impl Pace {
    pub(super) fn new(plan: &Plan) -> Pace {
        let (membership, failover) = (&plan.config.membership, &plan.config.failover);
        let network = &plan.network;
        let nodes = plan.nodes.len();
        let even = network.loss == 0.0 && network.reorder == 0.0 && network.bandwidth.is_none();
        let trip = ceiling(network.latency) * 2 + ceiling(plan.disk.sync) * 2;
        Pace {
            shape: Shape {
                nodes: nodes as f64,
                observers: usize::from(membership.observers_each()).min(nodes.saturating_sub(1)) as f64,
                voters: failover.voters_for(nodes) as f64,
                heartbeat: match membership.kind {
                    Detector::Observers => membership.heartbeat.as_secs(),
                    // In a ring each one is answered.
                    Detector::Ring => membership.heartbeat.as_secs() / 2.0,
                },
                beat: failover.beat.as_secs(),
                election: failover.election.as_secs(),
            },
            steady: even && failover.beat * 2 + trip <= failover.election,
            faults: !plan.faults.is_empty(),
            grace: plan.liveness_within,
            in_force: 0,
            disturbed_at: Time::ZERO,
            disturbances: 0,
            led: 0,
            messages: None,
        }
    }

    /// There is a view with so many members.
    pub(super) fn on_members(&mut self, members: usize) {
        self.shape.nodes = self.shape.nodes.max(members as f64);
    }

    /// Something happens that may cost a leader its place.
    pub(super) fn disturb(&mut self, at: Time) {
        self.disturbances += 1;
        self.disturbed_at = at;
    }

    pub(super) fn on_fault(&mut self, at: Time, event: &FaultEvent) {
        match event.phase {
            FaultPhase::Began => self.in_force += 1,
            FaultPhase::Ended => self.in_force -= 1,
            FaultPhase::TookEffect | FaultPhase::Missed { .. } => return,
        }
        self.disturb(at);
    }

    /// Somebody was elected; `whole` says whether every machine runs and is connected.
    pub(super) fn on_led(&mut self, who: Who, epoch: Epoch, whole: bool, findings: &mut Findings) {
        self.led += 1;
        let quiet = who.at.since(self.disturbed_at);
        if self.steady && whole && self.in_force <= 0 && quiet > self.grace {
            let detail =
                format_args!("it was elected in epoch {}, and nothing had happened for {quiet}", epoch.0);
            findings.report(Invariant::Bounded, who.at, &[who.machine], detail);
        }
    }

    pub(super) fn count_messages(&mut self, membership: u64, log: u64) {
        self.messages = Some(membership + log);
    }

    /// The trial is over.
    pub(super) fn finish(&self, ended_at: Time, findings: &mut Findings) {
        let seconds = ended_at.as_secs();
        let leaders = 2 + self.disturbances + (seconds / self.shape.election) as u64;
        if self.led > leaders {
            let led = self.led;
            let detail = format_args!(
                "{led} leaders were elected; {} disturbances explain {leaders} at most",
                self.disturbances
            );
            findings.report(Invariant::Bounded, ended_at, &[], detail);
        }
        let Some(messages) = self.messages else { return };
        let entries = findings.census.entries as f64;
        let calm = self.steady && !self.faults;
        let most =
            if calm { self.shape.quiet(seconds, entries) } else { self.shape.disturbed(seconds, entries) };
        if messages as f64 > most {
            let detail = format_args!(
                "{messages} messages of membership and the log were sent, and {most:.0} are explained by the settings"
            );
            findings.report(Invariant::Bounded, ended_at, &[], detail);
        }
    }
}
