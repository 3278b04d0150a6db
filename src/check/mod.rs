//! The invariants that every trial must keep, checked while it runs or over its finished history.
//!
//! A [`Checker`] is a [`Sink`]. It believes what nodes say of themselves and compares it: with what other nodes say, with
//! what the same node said before, and with books of its own. What the first node says of a place of the log is taken
//! for the truth, and all others must agree. It costs O(1) amortised per record (states are compared by the digests in
//! the records, deadlines wait in a heap), and its memory grows with jobs, queries and committed entries, never with
//! messages or heartbeats.
//!
//! | number | file | invariant |
//! |---|---|---|
//! | 1 | `elections` | one leader per epoch |
//! | 2 | `log` | committed entries never change |
//! | 3, 4 | `ledger`, `attempts`, `intervals`, `branches` | promises are kept, queries counted once |
//! | 5 | `fencing` | old reigns are not obeyed |
//! | 6 | `membership` | views form one line |
//! | 7, 8 | `liveness` | the cluster becomes whole again, nothing is stranded |
//! | 9 | `linear`, `order`, `versions` | what clients are told fits one order of events |
//! | 10 | `files` | what is stored stays stored |
//! | 11 | the caller | same seed, same trace: compares the digests of two runs |
//! | 12 | `pace` | leaders and messages stay under their bounds |

mod attempts;
mod branches;
mod elections;
mod fencing;
mod files;
mod gaps;
mod intervals;
mod ledger;
mod linear;
mod liveness;
mod log;
mod membership;
mod order;
mod pace;
mod roster;
#[cfg(test)]
mod tests;
mod verdict;
mod versions;

pub use gaps::Gaps;
pub use verdict::{Census, Invariant, Kind, VIOLATIONS_MAX, Verdict, Violation};

use std::sync::Arc;

use self::attempts::Attempts;
use self::branches::Branches;
use self::elections::Elections;
use self::fencing::Fencing;
use self::files::Files;
use self::ledger::Ledger;
use self::linear::Histories;
use self::liveness::{Facts, Liveness};
use self::log::Log;
use self::membership::Views;
use self::pace::Pace;
use self::roster::{Roster, Who};
use self::verdict::{Findings, ceiling};
use crate::base::{NodeId, Span, Time};
use crate::history::{ClientEvent, FaultEvent, FaultPhase, Machine, Record, Sink, What};
use crate::node::{Change, Command, Entry, FailoverMode, Observation, Payload};
use crate::scenario::{FaultKind, Plan};

/// Checks one trial.
#[derive(Debug)]
pub struct Checker {
    findings: Findings,
    roster: Roster,
    elections: Elections,
    log: Log,
    ledger: Ledger,
    attempts: Attempts,
    fencing: Fencing,
    views: Views,
    liveness: Liveness,
    histories: Histories,
    pace: Pace,
    files: Files,
    branches: Branches,
    /// Whether the trial is one of the classic design, which has no quorum and so nothing to lose by a change of seats.
    classic: bool,
    /// How long a write may take that was begun under a fault of the plan, by its position, if that slows disks.
    write_delays: Vec<Option<Span>>,
}

/// What deadlines are judged by, borrowed from the fields beside the one that is changed.
macro_rules! facts {
    ($checker:ident) => {
        Facts {
            roster: &$checker.roster,
            elections: &$checker.elections,
            views: &$checker.views,
            ledger: &$checker.ledger,
            attempts: &$checker.attempts,
        }
    };
}

impl Checker {
    /// A checker for the trial of `plan` under `seed`, which violations will name.
    pub fn new(plan: &Plan, seed: u64) -> Checker {
        Checker::with_gaps(plan, seed, Gaps::default())
    }

    /// A checker for a history that lacks something, which judges what can be judged all the same.
    pub fn with_gaps(plan: &Plan, seed: u64, gaps: Gaps) -> Checker {
        let names = plan.nodes.iter().map(|node| Arc::clone(&node.name)).collect();
        Checker {
            findings: Findings::new(seed, names, gaps),
            roster: Roster::new(plan),
            elections: Elections::new(plan),
            log: Log::default(),
            ledger: Ledger::new(gaps),
            attempts: Attempts::new(gaps),
            fencing: Fencing::default(),
            views: Views::default(),
            liveness: Liveness::new(plan),
            histories: Histories::default(),
            pace: Pace::new(plan),
            files: Files::new(plan.config.store.copies),
            branches: Branches::default(),
            classic: plan.config.failover.mode == FailoverMode::Standby,
            write_delays: plan.faults.iter().map(|fault| write_delay(&fault.kind)).collect(),
        }
    }

    /// It is `at` now, though nothing is recorded: deadlines that have passed are judged. The verdict is the same without.
    pub fn advance(&mut self, at: Time) {
        self.liveness.advance(at, facts!(self), &mut self.findings);
    }

    /// So many messages of membership and of the log were sent in the whole trial: they are judged when it ends.
    pub fn count_messages(&mut self, membership: u64, log: u64) {
        self.pace.count_messages(membership, log);
    }

    /// What did not hold so far, in the order in which it was found.
    pub fn violations(&self) -> &[Violation] {
        &self.findings.violations
    }

    /// The trial ended at `ended_at`: what there is to say about it. Deadlines after the end are not held against it.
    pub fn finish(mut self, ended_at: Time) -> Verdict {
        self.liveness.finish(ended_at, facts!(self), &mut self.findings);
        self.views.finish(&mut self.findings);
        self.histories.finish(&mut self.findings);
        self.pace.finish(ended_at, &mut self.findings);
        let Findings { seed, mut violations, found, found_of, mut census, gaps, .. } = self.findings;
        let (ledger, branches, log) = (&self.ledger, &self.branches, &self.log);
        // What a history lacks cannot be told from what the cluster has forgotten.
        let (doubled, lost) = if gaps.any() {
            (0, 0)
        } else {
            let leads = |machine| self.fencing.leads(machine).is_some();
            (branches.doubled(ledger, log), branches.lost(leads, !self.classic, ledger, log))
        };
        if gaps.any() {
            // They ran, and nothing was made of it.
            census.deadlines = 0;
        }
        violations.sort_by_key(|violation| violation.at);
        Verdict {
            seed,
            violations,
            violations_found: found,
            violations_of: found_of,
            queries_counted: self.ledger.counted,
            queries_doubled: self.ledger.doubled + doubled,
            queries_lost: self.ledger.lost() + lost,
            queries_open: self.ledger.open_queries(),
            census,
        }
    }

    fn on_process(&mut self, at: Time, machine: Machine, what: &What) {
        let (What::Up(id) | What::Down(id) | What::Paused(id) | What::Resumed(id)) = *what else { return };
        let who = Who { at, machine, id };
        self.pace.disturb(at);
        if matches!(what, What::Up(_) | What::Down(_)) {
            self.branches.on_process(machine);
        }
        let before = match what {
            What::Up(_) => {
                self.elections.on_up(who);
                self.log.on_up(machine);
                let anew = at > Time::ZERO || !self.findings.gaps.beginning;
                self.fencing.on_up(machine, anew);
                self.views.on_up(machine);
                self.files.on_up(who, &mut self.findings);
                self.roster.up(machine, id)
            }
            What::Down(_) => {
                self.elections.on_down(who);
                self.fencing.reset(machine);
                self.roster.down(machine);
                self.liveness.on_lead(at, id, false, &self.roster);
                None
            }
            What::Paused(_) => {
                self.elections.on_paused(who);
                self.roster.pause(machine, true);
                None
            }
            What::Resumed(_) => {
                self.elections.on_resumed(who);
                self.roster.pause(machine, false);
                None
            }
            What::Node(_) | What::Fault(_) | What::Client(_) => None,
        };
        self.liveness.review_leader(at, &self.roster);
        self.liveness.disturb(at, facts!(self));
        for id in before.into_iter().chain([id]) {
            self.liveness.judge(at, id, facts!(self));
        }
    }

    fn on_fault(&mut self, at: Time, event: &FaultEvent) {
        self.pace.on_fault(at, event);
        let census = &mut self.findings.census;
        match event.phase {
            FaultPhase::Began => census.faults_began += 1,
            FaultPhase::TookEffect => census.faults_effective += 1,
            FaultPhase::Missed { .. } => census.faults_missed += 1,
            FaultPhase::Ended => {}
        }
        if event.phase == FaultPhase::TookEffect && *event.kind == *FaultKind::Rollback.name() {
            for &machine in &event.machines {
                if let Some(id) = self.roster.last(machine) {
                    self.views.on_aged(id);
                }
            }
        }
        if event.phase == FaultPhase::Ended
            && let Some(delay) = self.write_delays.get(event.fault as usize).copied().flatten()
        {
            self.liveness.lasts_until(at + delay);
        }
        let touched = self.roster.fault(event);
        self.liveness.disturb(at, facts!(self));
        for id in touched.into_iter().filter_map(|machine| self.roster.runs(machine)).collect::<Vec<NodeId>>()
        {
            self.liveness.judge(at, id, facts!(self));
        }
    }

    fn on_client(&mut self, at: Time, event: &ClientEvent) {
        match event {
            ClientEvent::Asked { session, number, request } => {
                self.ledger.on_asked(at, *session, *number, request);
                self.branches.on_asked(*session, *number, request);
                self.liveness.on_asked(at, *session, *number);
                self.histories.on_asked(at, *session, *number, request);
            }
            ClientEvent::Told { session, number, reply } => {
                self.ledger.on_told(at, *session, *number, reply, &mut self.findings);
                self.branches.on_told(*session, *number, reply);
                self.histories.on_told(at, *session, *number, reply);
            }
            ClientEvent::GaveUp { session, number } => self.ledger.on_gave_up(*session, *number),
        }
    }

    fn on_observation(&mut self, who: Who, observation: &Observation) {
        let (at, machine) = (who.at, who.machine);
        let findings = &mut self.findings;
        match observation {
            Observation::Born { incarnation } => {
                self.roster.live(machine, Some(*incarnation));
                self.views.on_born(who, *incarnation, findings);
                self.liveness.judge(at, who.id, facts!(self));
            }
            Observation::Expelled { .. } => {
                self.roster.live(machine, None);
                self.liveness.judge(at, who.id, facts!(self));
            }
            Observation::Voted { epoch, candidate } => {
                self.elections.on_voted(who, *epoch, *candidate, findings);
                self.fencing.on_voted(machine, *epoch);
            }
            Observation::Led { epoch } => {
                self.elections.on_led(who, *epoch, self.log.committed(), &self.roster, findings);
                self.fencing.on_led(machine, *epoch);
                self.liveness.on_lead(at, who.id, true, &self.roster);
                self.pace.on_led(who, *epoch, self.roster.is_whole(), findings);
            }
            Observation::SteppedDown { .. } => {
                self.fencing.on_stepped_down(machine);
                self.liveness.on_lead(at, who.id, false, &self.roster);
            }
            Observation::Seated { seats } => {
                self.elections.on_seated(who, seats, &self.roster, findings);
                if !self.classic {
                    self.log.on_seated(who, self.fencing.leads(machine), findings);
                }
                self.liveness.review(at, facts!(self));
            }
            Observation::Applied { entry, changes, state } => self.on_applied(who, entry, changes, *state),
            Observation::Restored { last, state } => {
                let known = self.log.taken_up();
                self.log.on_restored(who, *last, *state, findings);
                self.branches.on_restored(machine, *last);
                if self.log.taken_up() != known {
                    self.ledger.take_up();
                    self.attempts.take_up();
                    self.views.take_up();
                }
                self.fencing.on_seen(machine, last.epoch);
            }
            Observation::Installed { view, digest } => {
                self.views.on_installed(who, *view, *digest, findings);
            }
            _ => self.on_work(who, observation),
        }
    }

    /// What coordinators and workers do with queries.
    fn on_work(&mut self, who: Who, observation: &Observation) {
        let findings = &mut self.findings;
        match observation {
            Observation::Opened { epoch } => {
                self.fencing.on_act(who, "opened for business", Some(*epoch), findings);
            }
            Observation::Allocated { .. } => {
                self.fencing.on_act(who, "divided the workers", None, findings);
            }
            Observation::Dispatched { query, attempt, worker, incarnation, .. } => {
                self.fencing.on_act(who, "dispatched a query", Some(attempt.epoch), findings);
                self.views.on_dispatched(who, *worker, *incarnation, findings);
                self.attempts.on_dispatched(who, (*query, *attempt, *worker), &self.ledger, findings);
            }
            Observation::Inherited { query, attempt, worker } => {
                self.fencing.on_act(who, "took over a query", None, findings);
                self.attempts.on_held(who, (*query, *attempt, *worker), &self.ledger, findings);
            }
            Observation::Arrived { .. } => {
                self.fencing.on_act(who, "took in a result", None, findings);
            }
            Observation::Accepted { query, attempt, epoch } => {
                self.fencing.on_accepted(who, (*query, *attempt), *epoch, &self.elections, findings);
                self.views.on_accepted(who, findings);
                self.attempts.on_answered(who, (*query, *attempt), true, &self.ledger, findings);
            }
            Observation::Refused { query, attempt, epoch } => {
                self.fencing.on_accepted(who, (*query, *attempt), *epoch, &self.elections, findings);
                self.attempts.on_answered(who, (*query, *attempt), false, &self.ledger, findings);
            }
            Observation::Ended { query, attempt, error } => {
                let answered = error.is_none();
                self.attempts.on_ended(who, (*query, *attempt), answered, &self.ledger, findings);
            }
            Observation::ChunkHeld { chunk } => self.files.on_held(who, *chunk),
            Observation::ChunkDropped { chunk } => self.files.on_dropped(who, *chunk, findings),
            Observation::ChunkLost { chunk } => self.files.on_lost(who, *chunk, findings),
            Observation::Placed { name, content, copies, live } => {
                self.fencing.on_act(who, "proposed a file", None, findings);
                self.files.on_placed(who, (name, content), (*copies, *live), findings);
            }
            Observation::Stood { .. }
            | Observation::Suspected { .. }
            | Observation::Trusted { .. }
            | Observation::GaveUp { .. }
            | Observation::Dropped { .. }
            | Observation::Loading { .. }
            | Observation::Loaded { .. }
            | Observation::Began { .. }
            | Observation::EngineDied { .. } => {}
            Observation::Born { .. }
            | Observation::Expelled { .. }
            | Observation::Voted { .. }
            | Observation::Led { .. }
            | Observation::SteppedDown { .. }
            | Observation::Seated { .. }
            | Observation::Applied { .. }
            | Observation::Restored { .. }
            | Observation::Installed { .. } => unreachable!("handled by the caller"),
        }
    }

    fn on_applied(&mut self, who: Who, entry: &Entry, changes: &Arc<[Change]>, state: u128) {
        let findings = &mut self.findings;
        self.fencing.on_seen(who.machine, entry.position.epoch);
        for change in &**changes {
            if let Change::ViewChanged { view, .. } = change {
                self.views.on_applied(who, view.id());
            }
        }
        let known = self.log.taken_up();
        let is_new = self.log.on_applied(who, (entry, changes, state), &self.elections, findings);
        if self.log.taken_up() != known {
            self.ledger.take_up();
            self.attempts.take_up();
            self.views.take_up();
        }
        if !findings.gaps.any() {
            self.branches.on_applied(who.machine, entry, changes, is_new, &self.log);
        }
        if !is_new {
            return;
        }
        self.ledger.on_entry(who, entry, changes, &mut self.attempts, findings);
        match &*entry.payload {
            Payload::Seats(seats) => {
                self.elections.learn(seats, &self.roster, findings);
                self.liveness.on_seats(who.at, seats, facts!(self));
            }
            Payload::Noop | Payload::Command(_) => {}
        }
        let mut views = 0;
        for change in &**changes {
            match change {
                Change::ViewChanged { view, change } => {
                    views += 1;
                    self.files.on_view(view);
                    self.pace.on_members(view.members().len());
                    let first = self.views.latest().is_none();
                    self.views.on_changed(who, view, change, findings);
                    let listed = change.joined.iter().map(|member| member.id);
                    let listed = listed.chain(change.gone.iter().map(|(id, _)| *id));
                    // Before the first view nobody was judged.
                    let running = self.roster.seats().filter(|_| first).filter_map(|(_, seat)| seat.runs);
                    let concerned: Vec<NodeId> = listed.chain(running).collect();
                    self.liveness.on_view(who.at, concerned.into_iter(), facts!(self));
                }
                Change::JobAdded { job, .. } | Change::JobResumed { job } => {
                    self.liveness.on_job(who.at, *job, &self.ledger);
                }
                Change::Recut { .. }
                | Change::JobStopped { .. }
                | Change::Counted { .. }
                | Change::Uncounted { .. }
                | Change::JobEnded { .. }
                | Change::JobForgotten { .. }
                | Change::PolicySet { .. }
                | Change::Drained { .. } => {}
                Change::FilePut { version, gone, .. } => self.files.on_put(version, gone),
                Change::FileDeleted { gone, .. } => self.files.on_gone(gone),
                Change::Pinned { version, .. } => self.files.on_put(version, &[]),
                Change::Unpinned { version, .. } => self.files.on_gone(std::slice::from_ref(version)),
            }
        }
        let is_change = matches!(&*entry.payload, Payload::Command(Command::ChangeView(_)));
        if views != u32::from(is_change) {
            let detail = format_args!("{} made {views} views", entry.position.index);
            findings.report(Invariant::ViewsOrdered, who.at, &[who.machine], detail);
        }
    }
}

impl Sink for Checker {
    fn record(&mut self, record: &Record) {
        let at = record.at;
        self.findings.census.records += 1;
        self.liveness.advance(at, facts!(self), &mut self.findings);
        match (&record.what, record.machine) {
            (What::Fault(event), _) => self.on_fault(at, event),
            (What::Client(event), _) => self.on_client(at, event),
            (What::Up(_) | What::Down(_) | What::Paused(_) | What::Resumed(_), Some(machine)) => {
                self.on_process(at, machine, &record.what);
            }
            (What::Node(observation), Some(machine)) => match self.roster.runs(machine) {
                Some(id) => self.on_observation(Who { at, machine, id }, observation),
                None => self.findings.census.unattributed += 1,
            },
            (What::Up(_) | What::Down(_) | What::Paused(_) | What::Resumed(_) | What::Node(_), None) => {
                self.findings.census.unattributed += 1;
            }
        }
    }
}

/// How long a write may take that is begun under this fault: it goes on when the fault has ended. `None` if that slows no disk.
fn write_delay(kind: &FaultKind) -> Option<Span> {
    if let FaultKind::SlowDisk(delay) = kind { Some(ceiling(*delay)) } else { None }
}

/// Checks a finished history of the trial of `plan` under `seed` that ended at `ended_at`.
pub fn check(plan: &Plan, seed: u64, records: &[Record], ended_at: Time) -> Verdict {
    let mut checker = Checker::new(plan, seed);
    for record in records {
        checker.record(record);
    }
    checker.finish(ended_at)
}
