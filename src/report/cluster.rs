//! Who was up, led, was suspected and belonged to the cluster, gathered while a run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::format::Seconds;
use super::rows::MembershipRow;
use crate::base::{Epoch, Incarnation, NodeId, Span, Time, ViewId};
use crate::history::{Change, FaultEvent, FaultPhase, Machine, Observation, Seats, StepDown, What};
use crate::scenario::Plan;

/// One machine as far as reports care.
#[derive(Debug)]
struct State {
    name: Arc<str>,
    /// When its process ended; `None` while it runs.
    down_since: Option<Time>,
    paused: bool,
    /// Faults in force that make it silent.
    silenced: u32,
    /// Until when silence is the fault's doing, faults in force aside.
    excused_until: Time,
    /// The newest of its lives that left the view.
    ended_life: Incarnation,
    /// The newest of its lives that was suspected.
    suspected_life: Incarnation,
    /// The voters that suspect that life.
    suspected_by: BTreeSet<Machine>,
    /// Whether the present suspicion, or the last one, was nobody's fault.
    falsely: bool,
    /// The node whose process ran on it last.
    node: Option<NodeId>,
    /// Whether that node belongs to the newest view.
    member: bool,
    /// The reign that it holds itself for the leader of.
    leads: Option<Epoch>,
    /// Faults in force that cut its connections.
    cut: u32,
}

/// What a machine is in at one moment, as far as it shows over time.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent facts, and every combination happens"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    /// Its process runs, be it paused.
    pub(super) up: bool,
    /// Its process stands still.
    pub(super) paused: bool,
    /// Its node belongs to the newest view.
    pub(super) member: bool,
    /// It is a member that some voter suspects.
    pub(super) suspect: bool,
    /// It was elected and has not stepped down since.
    pub(super) leads: bool,
    /// A fault cuts connections of its.
    pub(super) cut: bool,
}

/// The machines of one run.
#[derive(Debug)]
pub(super) struct Cluster {
    trial: u32,
    grace: Span,
    machines: Vec<State>,
    machine_of: BTreeMap<NodeId, Machine>,
    epoch: Epoch,
    view: ViewId,
    voters: Option<BTreeSet<NodeId>>,
    /// The newest reign that began: when, on which machine, and when it ended.
    reign: Option<(Epoch, Machine, Option<Time>)>,
    /// Every reign's beginning, in order of time.
    pub(super) led: Vec<(Time, Machine, Epoch)>,
    /// Every time that a voter missed its leader, in order of time.
    pub(super) stood: Vec<(Time, Machine)>,
    /// Every suspicion as (time, subject, voter), in order of time.
    pub(super) suspected: Vec<(Time, Machine, Machine)>,
    /// Suspicions of members that no fault had silenced; several voters' suspicions of the same silence are one.
    pub(super) false_suspicions: u64,
    /// Evictions of members that no fault had silenced.
    pub(super) false_evictions: u64,
    /// The rows of membership.csv.
    pub(super) rows: Vec<MembershipRow>,
}

impl Cluster {
    pub(super) fn new(plan: &Plan, trial: u32) -> Cluster {
        let fresh = |name: &Arc<str>| State {
            name: Arc::clone(name),
            down_since: Some(Time::ZERO),
            paused: false,
            silenced: 0,
            excused_until: Time::ZERO,
            ended_life: Incarnation(0),
            suspected_life: Incarnation(0),
            suspected_by: BTreeSet::new(),
            falsely: false,
            node: None,
            member: true,
            leads: None,
            cut: 0,
        };
        Cluster {
            trial,
            grace: plan.config.membership.suspect_after * 2,
            machines: plan.nodes.iter().map(|node| fresh(&node.name)).collect(),
            machine_of: BTreeMap::new(),
            epoch: Epoch(0),
            view: ViewId(0),
            voters: None,
            reign: None,
            led: Vec::new(),
            stood: Vec::new(),
            suspected: Vec::new(),
            false_suspicions: 0,
            false_evictions: 0,
            rows: Vec::new(),
        }
    }

    /// The machine that a node lives on.
    pub(super) fn machine(&self, node: NodeId) -> Option<Machine> {
        self.machine_of.get(&node).copied()
    }

    /// The name of a node's machine, or its identity when it is on none.
    pub(super) fn name(&self, node: NodeId) -> Arc<str> {
        self.machine(node).map_or_else(|| node.to_string().into(), |machine| self.machine_name(machine))
    }

    /// The name of a machine.
    pub(super) fn machine_name(&self, machine: Machine) -> Arc<str> {
        match self.machines.get(machine as usize) {
            Some(state) => Arc::clone(&state.name),
            None => format!("machine {machine}").into(),
        }
    }

    /// The machine that leads at `at`, now at the latest, and its reign. One that dies at this very moment still does.
    pub(super) fn leader(&self, at: Time) -> Option<(Machine, Epoch)> {
        let (epoch, machine, ended) = self.reign?;
        ended.is_none_or(|ended| ended >= at).then_some((machine, epoch))
    }

    /// Whether the machine's process runs at `at`, now at the latest, or ended at this very moment.
    pub(super) fn is_up(&self, machine: Machine, at: Time) -> bool {
        self.machines
            .get(machine as usize)
            .is_some_and(|state| state.down_since.is_none_or(|down| down >= at))
    }

    /// What each machine is in now, in order of the plan.
    pub(super) fn conditions(&self) -> impl Iterator<Item = Condition> {
        self.machines.iter().map(|state| Condition {
            up: state.down_since.is_none(),
            paused: state.paused,
            member: state.member,
            suspect: state.member && !state.suspected_by.is_empty(),
            leads: state.leads.is_some(),
            cut: state.cut > 0,
        })
    }

    /// A process began, ended, or stood still.
    pub(super) fn on_process(&mut self, at: Time, machine: Option<Machine>, what: &What) {
        let Some(machine) = machine else { return };
        let until = at + self.grace;
        let Some(state) = self.machines.get_mut(machine as usize) else { return };
        let event = match what {
            What::Up(id) => {
                state.down_since = None;
                state.excused_until = until;
                if state.node.is_some_and(|before| before != *id) {
                    // Its disk was lost: another node, which has yet to join and counts its lives anew.
                    state.member = false;
                    (state.ended_life, state.suspected_life) = (Incarnation(0), Incarnation(0));
                    state.suspected_by.clear();
                }
                state.node = Some(*id);
                self.machine_of.insert(*id, machine);
                "up"
            }
            What::Down(_) => {
                state.down_since = Some(at);
                state.paused = false;
                state.leads = None;
                self.end_reign(machine, at);
                "down"
            }
            What::Paused(_) => {
                state.paused = true;
                "paused"
            }
            What::Resumed(_) => {
                state.paused = false;
                state.excused_until = until;
                "resumed"
            }
            What::Node(_) | What::Fault(_) | What::Client(_) => return,
        };
        self.row(at, self.machine_name(machine), event);
        if matches!(what, What::Down(_)) {
            self.silence(at, machine);
        }
    }

    /// A fault began or ended.
    pub(super) fn on_fault(&mut self, at: Time, event: &FaultEvent) {
        if !silences(&event.kind) {
            return;
        }
        let until = at + self.grace;
        for &machine in &event.machines {
            let Some(state) = self.machines.get_mut(machine as usize) else { continue };
            let cuts = u32::from(cuts(&event.kind));
            match event.phase {
                FaultPhase::Began => {
                    state.silenced += 1;
                    state.cut += cuts;
                }
                FaultPhase::Ended => {
                    state.silenced = state.silenced.saturating_sub(1);
                    state.cut = state.cut.saturating_sub(cuts);
                    state.excused_until = state.excused_until.max(until);
                }
                FaultPhase::TookEffect | FaultPhase::Missed { .. } => {}
            }
        }
    }

    /// A node observed something about itself, its leader or its peers.
    pub(super) fn on_node(&mut self, at: Time, machine: Machine, observation: &Observation) {
        match observation {
            Observation::Born { incarnation } => {
                let event = format!("born {}", incarnation.0);
                self.row(at, self.machine_name(machine), &event);
            }
            Observation::Stood { epoch } => {
                self.stood.push((at, machine));
                self.row_in(at, self.machine_name(machine), "stood", *epoch);
            }
            Observation::Led { epoch } => {
                self.led.push((at, machine, *epoch));
                self.epoch = self.epoch.max(*epoch);
                if let Some(state) = self.machines.get_mut(machine as usize) {
                    state.leads = Some(*epoch);
                }
                if self.reign.is_none_or(|(newest, ..)| *epoch > newest) {
                    self.reign = Some((*epoch, machine, None));
                }
                self.row_in(at, self.machine_name(machine), "led", *epoch);
            }
            Observation::SteppedDown { epoch, reason } => {
                if self.reign.is_some_and(|(newest, ..)| newest == *epoch) {
                    self.end_reign(machine, at);
                }
                if let Some(state) = self.machines.get_mut(machine as usize)
                    && state.leads == Some(*epoch)
                {
                    state.leads = None;
                }
                self.row_in(at, self.machine_name(machine), step_down_word(*reason), *epoch);
            }
            Observation::Opened { epoch } => {
                self.row_in(at, self.machine_name(machine), "opened", *epoch);
            }
            Observation::Seated { seats } if self.voters.is_none() => self.seat(at, seats),
            Observation::Suspected { subject, incarnation } => {
                self.suspect(at, *subject, *incarnation, machine);
            }
            Observation::Trusted { subject, incarnation } => {
                self.trust(at, *subject, *incarnation, machine);
            }
            Observation::Expelled { .. } => self.row(at, self.machine_name(machine), "expelled"),
            _ => {}
        }
    }

    /// An entry was applied for the first time by anyone.
    pub(super) fn on_changes(&mut self, at: Time, changes: &[Change]) {
        for change in changes {
            let Change::ViewChanged { view, change } = change else { continue };
            self.view = view.id();
            for (node, life) in &change.gone {
                self.evict(at, *node, *life);
            }
            for member in &change.joined {
                self.row(at, self.name(member.id), "joined");
                let Some(state) = self.state(member.id) else { continue };
                state.member = true;
                state.ended_life = state.ended_life.max(Incarnation(member.incarnation.0.saturating_sub(1)));
                if state.suspected_life < member.incarnation {
                    state.suspected_by.clear();
                }
            }
        }
    }

    /// The seats in force changed, for the first time anywhere.
    pub(super) fn seat(&mut self, at: Time, seats: &Seats) {
        let after: BTreeSet<NodeId> = seats.voters.iter().copied().collect();
        let before = self.voters.replace(after.clone()).unwrap_or_default();
        for node in before.difference(&after) {
            self.row(at, self.name(*node), "unseated");
        }
        for node in after.difference(&before) {
            self.row(at, self.name(*node), "seated");
        }
    }

    fn suspect(&mut self, at: Time, node: NodeId, life: Incarnation, voter: Machine) {
        let Some(subject) = self.machine(node) else { return };
        self.suspected.push((at, subject, voter));
        let voter_is_well = self.is_well(voter, at);
        let subject_is_well = self.is_well(subject, at);
        let voter_belongs = self.machines.get(voter as usize).is_some_and(|state| state.member);
        let state = &mut self.machines[subject as usize];
        // A voter that lags suspects what has left the view already, and will not say that it was wrong.
        // So does one that has left the view itself; it may not know.
        if !voter_belongs
            || state.node != Some(node)
            || life <= state.ended_life
            || life < state.suspected_life
        {
            return;
        }
        if life > state.suspected_life {
            // A machine that came back before it was evicted is a member again, and nobody says that it is trusted.
            state.suspected_life = life;
            state.suspected_by.clear();
        }
        let first = state.suspected_by.is_empty();
        state.suspected_by.insert(voter);
        if first {
            state.falsely = voter_is_well && subject_is_well;
            self.false_suspicions += u64::from(voter_is_well && subject_is_well);
            self.row(at, self.machine_name(subject), "suspected");
        }
    }

    fn trust(&mut self, at: Time, subject: NodeId, life: Incarnation, voter: Machine) {
        let Some(machine) = self.machine(subject) else { return };
        let Some(state) = self.state(subject).filter(|state| state.suspected_life == life) else { return };
        if state.suspected_by.remove(&voter) && state.suspected_by.is_empty() {
            self.row(at, self.machine_name(machine), "trusted");
        }
    }

    fn evict(&mut self, at: Time, node: NodeId, life: Incarnation) {
        self.row(at, self.name(node), "evicted");
        let Some(machine) = self.machine(node) else { return };
        let well = self.is_well(machine, at);
        let Some(state) = self.state(node) else { return };
        state.member = false;
        state.ended_life = state.ended_life.max(life);
        state.suspected_by.clear();
        let falsely = std::mem::take(&mut state.falsely);
        self.false_evictions += u64::from(well && falsely);
        self.silence(at, machine);
    }

    /// A voter is gone, and its suspicions with it.
    fn silence(&mut self, at: Time, voter: Machine) {
        for subject in 0..self.machines.len() {
            let state = &mut self.machines[subject];
            if state.suspected_by.remove(&voter) && state.suspected_by.is_empty() {
                self.row(at, self.machine_name(subject as Machine), "trusted");
            }
        }
    }

    /// The machine on which a node lives; none once that machine has lost its disk and is another node.
    fn state(&mut self, node: NodeId) -> Option<&mut State> {
        let machine = self.machine(node)?;
        self.machines.get_mut(machine as usize).filter(|state| state.node == Some(node))
    }

    /// Whether nothing that was injected keeps this machine from being heard.
    fn is_well(&self, machine: Machine, at: Time) -> bool {
        self.machines.get(machine as usize).is_some_and(|state| {
            state.down_since.is_none() && !state.paused && state.silenced == 0 && state.excused_until <= at
        })
    }

    fn end_reign(&mut self, machine: Machine, at: Time) {
        if let Some((_, leader, ended @ None)) = &mut self.reign
            && *leader == machine
        {
            *ended = Some(at);
        }
    }

    fn row(&mut self, at: Time, node: Arc<str>, event: &str) {
        self.row_in(at, node, event, self.epoch);
    }

    fn row_in(&mut self, at: Time, node: Arc<str>, event: &str, epoch: Epoch) {
        self.rows.push(MembershipRow {
            trial: self.trial,
            at_s: Seconds::from(at),
            node,
            event: event.into(),
            epoch: epoch.0,
            view: self.view.0,
        });
    }
}

/// Whether a fault of this kind can keep a machine from being heard.
pub(super) fn silences(kind: &str) -> bool {
    takes_away(kind) || matches!(kind, "loss" | "delay" | "slow_link" | "jam" | "starve" | "skew")
}

/// Whether a fault of this kind takes its machines away for as long as it lasts.
pub(super) fn takes_away(kind: &str) -> bool {
    matches!(
        kind,
        "crash"
            | "wipe"
            | "restart"
            | "leave"
            | "pause"
            | "suspend"
            | "isolate"
            | "cut"
            | "partial"
            | "full_disk"
    )
}

/// Whether a fault of this kind cuts connections.
fn cuts(kind: &str) -> bool {
    matches!(kind, "isolate" | "cut" | "partial")
}

fn step_down_word(reason: StepDown) -> &'static str {
    match reason {
        StepDown::Superseded => "stepped down: superseded",
        StepDown::NoQuorum => "stepped down: no quorum",
        StepDown::HandedOver => "stepped down: handed over",
        StepDown::Unseated => "stepped down: unseated",
    }
}
