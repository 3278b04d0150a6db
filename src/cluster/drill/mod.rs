//! A drill: the cluster of a scenario as real processes on this computer, which are really broken, and the history of it.
//!
//! [`run`] makes the disks that the formation of a cluster leaves behind (`form`), starts a node on each (`host`), and waits until they
//! are a cluster again. That moment is time zero; what was before it stands in the history at time zero. Then clients ask (`client`)
//! and faults begin and end (`fault`) when the scenario says so, until the drill is over. What the nodes observe is read from their
//! diaries while they run: it says who has which role, how far jobs are, and in the end what happened. All of it is on one computer,
//! whose clock its processes share.
//!
//! Every process is ended with the drill: nodes are tied to the process that started them, and engines to their nodes.

mod client;
mod failures;
mod fault;
mod files;
mod form;
mod host;
mod net;
mod role;
mod small;
mod strike;
mod unable;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use client::Clients;
use fault::Faults;
use host::{Common, Host};
use net::Net;
pub use net::networks_lack;
use role::Role;
use small::SmallDisk;
pub use unable::{Unable, unable};

use super::diary::Note;
use super::disk::DiskError;
use super::keys::KeyError;
use super::{Calibration, clock};
use crate::base::{Incarnation, NodeId, Span, Time};
use crate::history::{self, Machine, Observation, Progress, Record, Sink, What};
use crate::node::{Seats, Status};
use crate::scenario::{Plan, Scene, Until, can_decide};

/// How often everything is looked at.
const EVERY: Duration = Duration::from_millis(2);
/// Nodes of a drill: each is a process, and its disk takes some megabytes.
pub const NODES_MAX: usize = 250;
/// How long the nodes may take to become a cluster again after they were started.
const FORMING: Span = Span::secs(60);

/// A drill as it is wanted.
#[derive(Clone, Debug)]
pub struct Drill<'a> {
    /// The scenario.
    pub plan: &'a Plan,
    /// The seed of this trial.
    pub seed: u64,
    /// The program whose command `run` is a node.
    pub program: PathBuf,
    /// Whether each node has a network of its own.
    pub netns: bool,
    /// Whether the nodes measure their network and their disks before time zero, which takes a few seconds.
    pub measures: bool,
}

/// How a drill went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drilled {
    /// When it ended, since time zero.
    pub ended_at: Time,
    /// What was left to do when a drill that runs until it is done was given up; empty when it was not given up.
    pub unfinished: Vec<String>,
    /// Whether the caller stopped it before its end.
    pub stopped: bool,
    /// What network and disks are like, if that was measured.
    pub measured: Option<Calibration>,
    /// Why inputs failed, a line for each of the first jobs that had such.
    pub failures: Vec<String>,
}

impl Drilled {
    /// How one went that was stopped before there was a cluster.
    fn stopped() -> Drilled {
        Drilled { ended_at: Time::ZERO, unfinished: vec![], stopped: true, measured: None, failures: vec![] }
    }
}

/// Why a drill failed. Everything that it started has ended.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The computer does not give it what it needs.
    #[error("{what}: {error}")]
    Machine {
        /// What for.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// A disk could not be made.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A node ended, and no fault was the reason.
    #[error("{node} ended by itself ({status}); it said: {said}")]
    Ended {
        /// Which.
        node: Arc<str>,
        /// How.
        status: ExitStatus,
        /// The last that it said.
        said: Arc<str>,
    },
    /// The nodes did not become a cluster.
    #[error("the nodes did not form a cluster within {FORMING}: {}", left.join("; "))]
    NotFormed {
        /// What was missing.
        left: Vec<String>,
    },
}

fn needs(what: &'static str) -> impl Fn(io::Error) -> DrillError {
    move |error| DrillError::Machine { what, error }
}

/// Carries out one trial and feeds what happened to `sink` when it is over. `stop` is asked all the time whether to end early.
pub fn run(drill: &Drill<'_>, sink: &mut dyn Sink, stop: &dyn Fn() -> bool) -> Result<Drilled, DrillError> {
    let Some(mut stage) = Stage::formed(drill, stop)? else { return Ok(Drilled::stopped()) };
    let measured = drill.measures.then(|| stage.measure());
    let unfinished = stage.play(stop)?;
    let stopped = stop();
    // What is asked now is no part of the drill.
    let ended_at = stage.now();
    let failures = if stopped { Vec::new() } else { stage.failures() };
    stage.end(ended_at)?;
    for record in &stage.records {
        sink.record(record);
    }
    Ok(Drilled { ended_at, unfinished, stopped, measured, failures })
}

/// A drill under way.
#[derive(Debug)]
struct Stage<'a> {
    plan: &'a Plan,
    /// Declared before the folder that they live in, so that they end first.
    hosts: Vec<Host>,
    clients: Clients,
    faults: Faults,
    progress: Progress,
    common: Common,
    /// The networks of the nodes, if each has its own.
    net: Option<Net>,
    _disks: Vec<SmallDisk>,
    /// When the cluster was formed, by the clock of this computer; until then the beginning.
    zero: Time,
    /// What happened, with times by the clock of this computer until the end.
    records: Vec<Record>,
    _folder: tempfile::TempDir,
}

impl Stage<'_> {
    /// Now, since time zero.
    fn now(&self) -> Time {
        Time(clock::now().since(self.zero).0)
    }

    fn note(&mut self, machine: Option<Machine>, what: What) {
        self.records.push(Record { at: clock::now(), machine, what });
    }

    /// Starts a process on `machine`, where none runs.
    fn start(&mut self, machine: Machine) -> Result<(), DrillError> {
        let index = machine as usize;
        let n = self.hosts.len();
        // Everyone else that runs, beginning with the next machine, so that not all ask the same one.
        let others: Vec<_> = (1..n)
            .map(|i| &self.hosts[(index + i) % n])
            .filter(|host| host.runs() && !host.paused)
            .map(|host| host.address)
            .collect();
        let (host, common) = (&mut self.hosts[index], &self.common);
        let started = match &self.net {
            Some(net) => net.within(machine, || host.start(common, &others)),
            None => host.start(common, &others),
        };
        started.map_err(needs("a node"))?;
        self.clients.machine_runs(machine, true);
        Ok(())
    }

    /// The process on `machine` is killed; `false` when none runs.
    fn crash(&mut self, machine: Machine) -> Result<bool, DrillError> {
        // Whom nobody can ask is not to be told so by a connection that breaks.
        self.clients.machine_runs(machine, false);
        let killed = self.hosts[machine as usize].kill();
        if killed {
            self.gone(machine)?;
        }
        Ok(killed)
    }

    /// The process on `machine` has ended: what it still wrote down comes before that.
    fn gone(&mut self, machine: Machine) -> Result<(), DrillError> {
        self.clients.machine_runs(machine, false);
        self.read(machine)?;
        let host = &mut self.hosts[machine as usize];
        if host.role.take().is_some() {
            let id = host.id;
            self.note(Some(machine), What::Down(id));
        }
        Ok(())
    }

    /// Takes in what the node on `machine` has observed.
    fn read(&mut self, machine: Machine) -> Result<(), DrillError> {
        let Stage { hosts, records, progress, faults, .. } = self;
        let host = &mut hosts[machine as usize];
        let Host { diary, role, id, started, .. } = host;
        let mut died = false;
        let now = Time(clock::now().since(self.zero).0);
        let mut take = |note| match note {
            Note::Head(head) => {
                // Further files of the same life begin like the first one.
                if role.is_none() {
                    (*id, *role) = (head.node, Some(Role::default()));
                    records.push(Record { at: *started, machine: Some(machine), what: What::Up(head.node) });
                }
            }
            Note::Step { at, observed } => {
                for observation in observed {
                    if let Observation::Applied { entry, changes, .. } = &observation {
                        progress.applied(now, entry, changes);
                    }
                    if let Some(role) = role.as_mut() {
                        role.learn(&observation);
                    }
                    died |= matches!(observation, Observation::EngineDied { .. });
                    faults.witness(now, machine, *id, &observation);
                    records.push(Record { at, machine: Some(machine), what: What::Node(observation) });
                }
            }
        };
        diary.read(&mut take).map_err(needs("what a node observed"))?;
        if died {
            self.engine_died(machine);
        }
        Ok(())
    }

    /// Takes in what all nodes have observed, and which have ended.
    fn look(&mut self) -> Result<(), DrillError> {
        for machine in 0..self.hosts.len() as Machine {
            self.read(machine)?;
            if let Some(status) = self.hosts[machine as usize].reap() {
                self.gone(machine)?;
                if self.ends_by_fault(machine) {
                    continue;
                }
                if self.ends_late(machine) {
                    self.start(machine)?;
                } else {
                    let host = &self.hosts[machine as usize];
                    let (node, said) = (Arc::clone(&host.plan.name), host.said());
                    return Err(DrillError::Ended { node, status, said });
                }
            }
        }
        Ok(())
    }

    /// Has the nodes measure what is theirs. Time zero is after that.
    fn measure(&mut self) -> Calibration {
        let calibration = self.clients.calibration();
        self.zero = clock::now();
        calibration
    }

    /// Lets clients ask and faults happen until the drill is over; says what was left if it was given up.
    fn play(&mut self, stop: &dyn Fn() -> bool) -> Result<Vec<String>, DrillError> {
        let end = match self.plan.until {
            Until::Done => Time::NEVER,
            Until::At(span) => Time::ZERO + span,
        };
        let mut check = Time::ZERO + history::EVERY;
        let mut count = check;
        while !stop() {
            self.look()?;
            let now = self.now();
            if now >= end {
                break;
            }
            let Stage { clients, records, progress, zero, hosts, .. } = self;
            let id = |name: &str| {
                let host = hosts.iter().find(|host| *host.plan.name == *name);
                host.expect("plans name machines that there are").id
            };
            let mut asked = false;
            clients.advance(*zero, now, progress, &id, |at, event| {
                asked = true;
                records.push(Record { at, machine: None, what: What::Client(event) });
            });
            if asked {
                self.progress.progress = now;
            }
            self.harm(now)?;
            if now >= count {
                count = now + history::EVERY;
                self.count_dropped()?;
            }
            if self.plan.until == Until::Done && now >= check {
                check = now + history::EVERY;
                if let Some(left) = self.finished(now) {
                    return Ok(left);
                }
            }
            thread::sleep(EVERY);
        }
        Ok(Vec::new())
    }

    /// Why the drill is over, if it is: an empty list when everything is done, else what was left when it was given up.
    fn finished(&mut self, now: Time) -> Option<Vec<String>> {
        if !self.faults.are_over() || self.clients.asks_later(now) {
            return None;
        }
        let jobs = self.clients.unfinished(&self.progress);
        let left = if jobs.is_empty() { self.unsound() } else { jobs.clone() };
        if self.progress.settles(now, left.is_empty()) {
            return Some(Vec::new());
        }
        let patience = if jobs.is_empty() { self.plan.liveness_within } else { self.progress.patience };
        (!left.is_empty() && now.since(self.progress.progress) > patience).then_some(left)
    }

    /// What keeps the cluster from being whole.
    fn unsound(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut known: BTreeSet<NodeId> = BTreeSet::new();
        let mut leads = false;
        for (machine, host) in (0..).zip(&self.hosts) {
            if host.runs() && (host.paused || self.faults.is_broken(machine)) {
                known.insert(host.id);
                continue;
            }
            let Some(status) = self.status(machine) else { continue };
            known.insert(host.id);
            let (name, view) = (&host.plan.name, self.progress.view.id());
            if !status.member {
                left.push(format!("{name} runs and is not a member"));
            } else if status.view != view {
                left.push(format!("{name} acts by {} and not by {view}", status.view));
            }
            leads |= status.leads;
        }
        let strangers = self.progress.strangers(&known);
        left.extend(strangers.iter().map(|name| format!("{name} is dead and still a member")));
        if !leads {
            left.push("nobody leads".to_owned());
        }
        left
    }

    /// Why inputs failed, as the nodes say.
    fn failures(&self) -> Vec<String> {
        let nodes: Vec<SocketAddr> = self.hosts.iter().map(|host| host.address).collect();
        failures::failures(&self.records, &self.common.key, &nodes)
    }

    /// Ends all processes and brings the records of the drill, which ended at this time, into their order.
    fn end(&mut self, ended_at: Time) -> Result<(), DrillError> {
        for machine in 0..self.hosts.len() as Machine {
            self.hosts[machine as usize].kill();
            self.read(machine)?;
        }
        let zero = self.zero;
        // Nodes write down what they observe before anyone can hear of it, and all by one clock: causes come before effects.
        self.records.sort_by_key(|record| record.at);
        for record in &mut self.records {
            record.at = Time(record.at.since(zero).0);
        }
        self.records.retain(|record| record.at <= ended_at);
        Ok(())
    }
}

impl Scene for Stage<'_> {
    fn machines(&self) -> Machine {
        self.hosts.len() as Machine
    }

    fn status(&self, machine: Machine) -> Option<Status> {
        let host = &self.hosts[machine as usize];
        let role = host.role.as_ref().filter(|_| host.runs())?;
        let member = role.life.is_some_and(|life: Incarnation| self.progress.view.contains(host.id, life));
        Some(role.status(host.id, &self.progress.seats, member))
    }

    fn works(&self, machine: Machine) -> bool {
        self.plan.nodes[machine as usize].worker
    }

    fn can_spare(&self, lost: &[Machine]) -> bool {
        let stays =
            |machine: Machine| !lost.contains(&machine) && !self.faults.takes_for_good(machine, self.plan);
        let keeps = |id: NodeId| {
            let home = self.hosts.iter().position(|host| host.id == id);
            home.is_some_and(|machine| stays(machine as Machine))
        };
        let stands = |seats: &Seats| can_decide(seats, keeps);
        let committed = &self.progress.seats;
        let in_force = self.hosts.iter().filter_map(|host| host.role.as_ref()?.seats.as_ref());
        stands(committed)
            && in_force.filter(|seats| seats.number > committed.number).all(|seats| stands(seats))
            && (0..self.machines()).any(|machine| self.works(machine) && stays(machine))
    }
}
