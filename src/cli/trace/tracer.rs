//! Watches a trial and writes down, step by step, what made a node act and what came of it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use super::filter::{Filter, job_names};
use super::lines::{Lines, NOBODY};
use super::messages::{self, bare_commit};
use super::told::{About, Kind, Names, Told};
use super::{causes, changes};
use crate::base::{AttemptId, Epoch, JobId, NodeId, QueryId, Span, Time};
use crate::check::{self, Checker, Verdict, Violation};
use crate::cli::text::duration;
use crate::history::{ClientEvent, Fate, Machine, Record, Sink, Watcher, What};
use crate::node::{
    Body, Change, Effect, Index, Input, LogMessage, MembershipMessage, Message, Observation, Progress,
    Report, Request, Timer, WorkMessage,
};
use crate::scenario::Plan;

/// A message that takes at least this long is said to.
const LONG: Span = Span::millis(10);
/// More receivers of one message than this are not named, unless something happens to it on the way.
const RECEIVERS_MAX: usize = 12;

/// Writes a trace, and checks the trial on the way.
pub(super) struct Tracer<'a, O> {
    filter: Filter,
    names: Names,
    lines: Lines<O>,
    checker: Checker,
    /// How many violations were written.
    violations: usize,
    step: Option<Step>,
    /// What was recorded during the step under way and is not its node's.
    aside: Vec<(Option<Machine>, String, Told)>,
    /// The newest entry that any node has applied.
    applied: Index,
    /// The coordinators that ask what workers hold.
    surveying: BTreeSet<Machine>,
    /// The last sign of life in each direction between two nodes: it is news when it differs.
    signs: BTreeMap<Link, Sign>,
    /// The results that were reported in each direction between two nodes.
    results: BTreeSet<(Link, AttemptId)>,
    /// The last report in each direction between two nodes.
    reports: BTreeMap<Link, String>,
    /// In each direction between two nodes: for how long a third was silent by the last alert. One about a longer silence is no news.
    alerts: BTreeMap<(Link, NodeId), Span>,
    /// Names that several jobs have.
    shared: BTreeSet<String>,
    /// Set when the reader has enough, or when the output is broken.
    closed: &'a Cell<bool>,
}

/// Whether a message leaves or arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Out,
    In,
}

/// A direction between two nodes, as the first one sees it.
type Link = (Way, Machine, NodeId);

/// What an append without entries, or the answer to an append, tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Commit(Epoch, Index),
    Matched(Epoch, bool, Index),
}

/// A node's step under way.
struct Step {
    machine: Machine,
    cause: Told,
    /// It answers a survey.
    surveyed: bool,
    /// Whether anything at all came of it.
    moved: bool,
    effects: Vec<Effected>,
}

/// Something wanted that comes of a step.
struct Effected {
    told: Told,
    /// The receivers of a message, with what is special about its way to each.
    to: Vec<Receiver>,
}

/// One to whom a message goes. In order of their machines.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Receiver {
    machine: Option<Machine>,
    name: String,
    way: String,
}

impl<'a, O: Write> Tracer<'a, O> {
    /// A tracer of the trial of `plan` under `seed` that writes to `out` and says through `closed` when there is no use in going on.
    pub(super) fn new(
        plan: &Plan,
        seed: u64,
        filter: Filter,
        out: O,
        closed: &'a Cell<bool>,
    ) -> Tracer<'a, O> {
        let names = Names::new(plan, &filter.queries);
        let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
        for name in job_names(plan) {
            if !seen.insert(name.clone()) {
                shared.insert(name);
            }
        }
        Tracer {
            lines: Lines::new(out, names.width()),
            names,
            filter,
            checker: Checker::new(plan, seed),
            violations: 0,
            step: None,
            aside: Vec::new(),
            applied: Index(0),
            surveying: BTreeSet::new(),
            signs: BTreeMap::new(),
            results: BTreeSet::new(),
            reports: BTreeMap::new(),
            alerts: BTreeMap::new(),
            shared,
            closed,
        }
    }

    /// The trial is over: the verdict, the lines that were written, and what kept more from being written.
    pub(super) fn finish(
        mut self,
        ended_at: Time,
        unfinished: &[String],
    ) -> (Verdict, u64, Option<std::io::Error>) {
        let shown = self.violations;
        let before: Vec<Violation> = self.checker.violations().to_vec();
        let verdict = self.checker.finish(ended_at);
        debug_assert_eq!(shown, before.len(), "violations are written as they are found");
        for violation in verdict.violations.iter().filter(|violation| !before.contains(violation)) {
            self.lines.wrong(ended_at, &wrong(violation, ended_at));
        }
        for left in unfinished {
            self.lines.wrong(ended_at, &format!("given up, still to do: {left}"));
        }
        self.lines.flush();
        (verdict, self.lines.written, self.lines.failed)
    }

    /// Writes something that is no step.
    fn say(&mut self, at: Time, machine: Option<Machine>, cause: &str, told: &Told) {
        if at >= self.filter.from && self.filter.wants(machine, told, &self.names) {
            let node = machine.map_or(NOBODY, |machine| self.names.machine(machine));
            self.lines.event(at, node, cause, std::slice::from_ref(&told.text));
        }
    }

    /// Something comes of the step under way, or of none.
    fn add(&mut self, at: Time, machine: Machine, cause: &str, told: Told) {
        match &mut self.step {
            Some(step) if step.machine == machine => {
                step.moved = true;
                if self.filter.wants(Some(machine), &told, &self.names) {
                    step.effects.push(Effected { told, to: Vec::new() });
                }
            }
            Some(_) => self.aside.push((Some(machine), cause.to_owned(), told)),
            None => self.say(at, Some(machine), cause, &told),
        }
    }

    /// Ends the step under way and writes it.
    fn write_step(&mut self, at: Time) {
        let Some(step) = self.step.take() else { return };
        let node = self.names.machine(step.machine);
        let alone = step.effects.is_empty()
            && (step.cause.kind != Kind::Timer || !step.moved)
            && self.filter.wants(Some(step.machine), &step.cause, &self.names);
        if at >= self.filter.from && (alone || !step.effects.is_empty()) {
            let effects: Vec<String> = step.effects.into_iter().map(Effected::text).collect();
            self.lines.event(at, node, &step.cause.text, &effects);
        }
        for (machine, cause, told) in std::mem::take(&mut self.aside) {
            self.say(at, machine, &cause, &told);
        }
    }

    /// What the checker has found since the last time.
    fn write_violations(&mut self, at: Time) {
        let found: Vec<String> =
            self.checker.violations()[self.violations..].iter().map(|one| wrong(one, at)).collect();
        if found.is_empty() {
            return;
        }
        self.violations += found.len();
        // The cause comes before what is wrong about it.
        self.write_step(at);
        for text in found {
            self.lines.wrong(at, &text);
        }
    }

    /// What a message says, and which kind of line that makes.
    fn message(&mut self, way: Way, machine: Machine, other: NodeId, body: &Body) -> Told {
        let mut told = messages::body(body, &self.names);
        if let Some(sign) = sign(body)
            && self.signs.insert((way, machine, other), sign) == Some(sign)
        {
            told.kind = Kind::Heartbeat;
        }
        if let Body::Membership(MembershipMessage::Alert { subject, silent_for, .. }) = body {
            let before = self.alerts.insert(((way, machine, other), *subject), *silent_for);
            if before.is_some_and(|before| before < *silent_for) {
                told.kind = Kind::Heartbeat;
            }
        }
        if let Body::Work(WorkMessage::Report(report)) = body {
            self.repeated(&mut told, (way, machine, other), report);
        }
        let surveys = match way {
            Way::In => self.surveying.contains(&machine),
            Way::Out => self.step.as_ref().is_some_and(|step| step.machine == machine && step.surveyed),
        };
        if surveys && matches!(body, Body::Work(WorkMessage::Report(_))) {
            told.kind = Kind::Survey;
        }
        told
    }

    /// A report of results is one the first time; then it is repeated until they are settled.
    fn repeated(&mut self, told: &mut Told, link: Link, report: &Report) {
        let ended = report.held.iter().filter(|held| matches!(held.progress, Progress::Ended { .. }));
        let results = &mut self.results;
        let fresh: Vec<QueryId> =
            ended.filter(|held| results.insert((link, held.attempt))).map(|held| held.query).collect();
        let same = self.reports.insert(link, told.text.clone()).is_some_and(|last| last == told.text);
        if fresh.is_empty() {
            told.kind = if same { Kind::Heartbeat } else { Kind::Dispatch };
        }
        told.about.queries = fresh;
    }

    /// Learns names and what goes on from what is recorded.
    fn learn(&mut self, record: &Record) {
        match &record.what {
            What::Up(id) => {
                if let Some(machine) = record.machine {
                    self.names.settle(*id, machine);
                    self.surveying.remove(&machine);
                }
            }
            What::Client(ClientEvent::Asked { session, request, .. }) => {
                if let Request::Submit(spec) = &**request {
                    self.names.sessions.insert(*session, Arc::clone(&spec.name));
                }
            }
            What::Node(Observation::Dispatched { query, attempt, .. }) => {
                self.names.attempts.insert(*attempt, *query);
            }
            What::Node(Observation::Applied { changes, .. }) => {
                for change in changes.iter() {
                    if let Change::JobAdded { job, spec } = change {
                        let name = self.job_name(*job, &spec.name);
                        self.names.jobs.entry(*job).or_insert(name);
                    }
                }
            }
            What::Node(Observation::Led { .. }) => {
                self.surveying.extend(record.machine);
            }
            What::Node(Observation::Opened { .. } | Observation::SteppedDown { .. }) => {
                if let Some(machine) = record.machine {
                    self.surveying.remove(&machine);
                }
            }
            What::Node(_)
            | What::Down(_)
            | What::Paused(_)
            | What::Resumed(_)
            | What::Fault(_)
            | What::Client(ClientEvent::Told { .. } | ClientEvent::GaveUp { .. }) => {}
        }
    }

    /// What results call a job.
    fn job_name(&self, job: JobId, name: &Arc<str>) -> Arc<str> {
        if name.is_empty() {
            job.to_string().into()
        } else if self.shared.contains(&**name) {
            format!("{name} #{}", job.0).into()
        } else {
            Arc::clone(name)
        }
    }

    fn tell(&mut self, record: &Record) {
        const PROCESS: &str = "process";
        let at = record.at;
        // That everybody starts at the beginning explains nothing.
        let process = |text: &str| Told {
            about: About { anything: at > Time::ZERO, ..About::default() },
            ..Told::new(Kind::Fault, text)
        };
        match (&record.what, record.machine) {
            (What::Node(seen), Some(machine)) => {
                let first = match seen {
                    Observation::Applied { entry, .. } => entry.position.index > self.applied,
                    _ => false,
                };
                if let Observation::Applied { entry, .. } = seen {
                    self.applied = self.applied.max(entry.position.index);
                }
                let told = changes::observation(seen, first, &self.names);
                self.add(at, machine, "", told);
            }
            (What::Up(_), Some(machine)) => self.add(at, machine, PROCESS, process("starts")),
            (What::Down(_), Some(machine)) => self.add(at, machine, PROCESS, process("dies")),
            (What::Paused(_), Some(machine)) => self.add(at, machine, PROCESS, process("stands still")),
            (What::Resumed(_), Some(machine)) => self.add(at, machine, PROCESS, process("goes on")),
            (What::Fault(event), machine) => {
                let told = changes::fault(event, &self.names);
                let cause = format!("fault {}: {}", event.fault, event.kind);
                self.outside(at, machine, cause, told);
            }
            (What::Client(event), machine) => {
                let (who, told) = changes::client(event, &self.names);
                self.outside(at, machine, who, told);
            }
            (What::Node(_) | What::Up(_) | What::Down(_) | What::Paused(_) | What::Resumed(_), None) => {}
        }
    }

    /// Something happens that is no node's doing: it is told after the step under way.
    fn outside(&mut self, at: Time, machine: Option<Machine>, cause: String, told: Told) {
        if self.step.is_some() {
            self.aside.push((machine, cause, told));
        } else {
            self.say(at, machine, &cause, &told);
        }
    }
}

impl<O: Write> Watcher for Tracer<'_, O> {
    fn synced(&mut self, _: Time, machine: Machine) {
        let cause = causes::durable();
        self.step = Some(Step { machine, cause, surveyed: false, moved: false, effects: Vec::new() });
    }

    fn given(&mut self, _: Time, machine: Machine, input: &Input, due: &[Timer]) {
        let mut cause = causes::input(input, due, &self.names);
        let mut surveyed = false;
        if let Input::Receive { from, message } = input {
            cause.kind = self.message(Way::In, machine, *from, &message.body).kind;
            surveyed = matches!(message.body, Body::Work(WorkMessage::Survey { .. }));
        }
        match &mut self.step {
            // What waited for the sync has left already.
            Some(step) => step.cause = cause,
            None => {
                self.step = Some(Step { machine, cause, surveyed, moved: false, effects: Vec::new() });
            }
        }
    }

    fn wanted(&mut self, at: Time, machine: Machine, effect: &Effect) {
        if let Some(told) = changes::effect(effect, &self.names) {
            self.add(at, machine, "", told);
        }
    }

    fn sent(&mut self, at: Time, machine: Machine, to: NodeId, message: &Message, fate: Fate) {
        let mut told = self.message(Way::Out, machine, to, &message.body);
        let way = special(at, fate);
        if !matches!(fate, Fate::Arrives { .. }) {
            // One who looks for the receiver would wait for it in vain.
            told = told.machine(self.names.find(to));
        }
        let receiver = Receiver { machine: self.names.find(to), name: self.names.node(to), way };
        let Some(step) = &mut self.step else { return };
        step.moved = true;
        if !self.filter.wants(Some(machine), &told, &self.names) {
            return;
        }
        let alike = |one: &&mut Effected| !one.to.is_empty() && one.told.text == told.text;
        if let Some(one) = step.effects.iter_mut().find(alike) {
            one.to.push(receiver);
        } else {
            step.effects.push(Effected { told, to: vec![receiver] });
        }
    }

    fn stepped(&mut self, at: Time, _: Machine) {
        self.write_step(at);
        self.checker.advance(at);
        self.write_violations(at);
        if self.lines.failed.is_some() {
            self.closed.set(true);
        }
    }

    fn dropped(&mut self, at: Time, machine: Machine, from: NodeId, message: &Message) {
        let mut told = self.message(Way::In, machine, from, &message.body);
        let cause = format!("← {}  {}", self.names.node(from), told.text);
        "nobody is there to hear it".clone_into(&mut told.text);
        self.say(at, Some(machine), &cause, &told);
    }

    fn recorded(&mut self, record: &Record) {
        self.learn(record);
        self.tell(record);
        self.checker.record(record);
        self.write_violations(record.at);
    }
}

impl Effected {
    fn text(mut self) -> String {
        if self.to.is_empty() {
            return self.told.text;
        }
        self.to.sort_unstable();
        let many = self.to.len() > RECEIVERS_MAX;
        let named = |place: usize, one: &Receiver| !many || place < 3 || !one.way.is_empty();
        let shown = self.to.iter().enumerate().filter(|(place, one)| named(*place, one));
        let mut to: Vec<String> = shown.map(|(_, one)| format!("{}{}", one.name, one.way)).collect();
        if to.len() < self.to.len() {
            to.push(format!("and {} more", self.to.len() - to.len()));
        }
        format!("→ {}  {}", to.join(" "), self.told.text)
    }
}

/// What is special about a message's way.
fn special(at: Time, fate: Fate) -> String {
    match fate {
        Fate::Lost => "(lost)".to_owned(),
        Fate::Cut => "(cut)".to_owned(),
        Fate::Arrives { first, second } => {
            let takes = first.since(at);
            let late = takes >= LONG;
            let takes = duration(takes.as_secs());
            match (late, second) {
                (false, None) => String::new(),
                (false, Some(_)) => "(twice)".to_owned(),
                (true, None) => format!("(in {takes})"),
                (true, Some(_)) => format!("(in {takes}, twice)"),
            }
        }
    }
}

/// What a message tells that is repeated as a sign of life.
fn sign(body: &Body) -> Option<Sign> {
    match body {
        Body::Log(LogMessage::AppendReply { epoch, round: _, matched, index }) => {
            Some(Sign::Matched(*epoch, *matched, *index))
        }
        Body::Log(LogMessage::Append(append)) => {
            // With entries it is news, and so may be the next one without.
            bare_commit(body).map(|commit| Sign::Commit(append.epoch, commit))
        }
        Body::Log(_)
        | Body::Membership(_)
        | Body::Work(_)
        | Body::Client(_)
        | Body::Standby(_)
        | Body::Store(_) => None,
    }
}

/// A violation that shows at `now`.
fn wrong(violation: &Violation, now: Time) -> String {
    let kind = match violation.kind() {
        check::Kind::Safety => "safety",
        check::Kind::Liveness => "liveness",
    };
    let (number, statement) = (violation.invariant.number(), violation.invariant.statement());
    let on = if violation.names.is_empty() {
        String::new()
    } else {
        format!(" on {}", violation.names.join(", "))
    };
    let since = if violation.at == now { String::new() } else { format!(" (at {})", violation.at) };
    format!("{kind} broke{on}{since}: {}. Invariant {number}: {statement}.", violation.detail)
}
