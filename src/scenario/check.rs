//! What does not go together: settings that contradict each other or ask of the cluster what it cannot have.

use std::collections::BTreeSet;

use super::document::Document;
use super::error::{Wrong, nearest};
use super::keys::grouped;
use super::plan::{Errand, Fault, FaultKind, Plan, Shape, Target, Until};
use super::read::Problems;
use super::targets;
use super::units::{draw_range, draw_text};
use crate::base::{Draw, Span};
use crate::node::{Detector, FailoverMode, JobSpec, StandbyRule, limits};

/// The most faults that those which hit each machine on its own may amount to.
const OWN_MAX: usize = 100_000;

/// Notes every contradiction in a plan whose values are right one by one.
pub(super) fn contradictions(plan: &Plan, document: &Document, problems: &Problems) {
    let check = Check { plan, document, problems };
    check.timing();
    check.cluster();
    check.names();
    check.work();
    check.requests();
    check.faults();
}

struct Check<'a> {
    plan: &'a Plan,
    document: &'a Document,
    problems: &'a Problems,
}

impl Check<'_> {
    /// Notes a contradiction between keys, at the first of them that was written.
    fn refuse(&self, paths: &[&str], why: String) {
        let written = paths.iter().find_map(|path| Some((*path, self.document.written(path)?)));
        let (path, place) = written.unwrap_or_else(|| (paths[0], self.document.whole()));
        self.problems.add(place, path.to_owned(), Wrong::Contradiction(why));
    }

    /// A value, and whether it is a default that one will not find in the file.
    fn value(&self, path: &str, span: Span) -> String {
        let default = if self.document.written(path).is_some() { "" } else { " by default" };
        let name = path.rsplit('.').next().unwrap_or(path);
        format!("{name} (which is {span}{default})")
    }

    fn timing(&self) {
        let (membership, failover) = (&self.plan.config.membership, &self.plan.config.failover);
        let (beat, suspect, evict) =
            ("membership.heartbeat", "membership.suspect_after", "membership.evict_after");
        if membership.suspect_after < membership.heartbeat * 2 {
            let why = format!(
                "{} is less than two heartbeats: one lost message would raise the alarm; wanted a suspect_after of at least {}, twice {}",
                self.value(suspect, membership.suspect_after),
                membership.heartbeat * 2,
                self.value(beat, membership.heartbeat)
            );
            self.refuse(&[suspect, beat], why);
        }
        if membership.kind == Detector::Observers && membership.evict_after <= membership.suspect_after {
            let why = format!(
                "{} leaves no time between suspicion and eviction; wanted an evict_after of more than {}",
                self.value(evict, membership.evict_after),
                self.value(suspect, membership.suspect_after)
            );
            self.refuse(&[evict, suspect], why);
        }
        if failover.election < failover.beat * 2 {
            let why = format!(
                "{} is less than two beats: voters would depose a healthy coordinator; wanted an election of at least {}, twice {}",
                self.value("failover.election", failover.election),
                failover.beat * 2,
                self.value("failover.beat", failover.beat)
            );
            self.refuse(&["failover.election", "failover.beat"], why);
        }
        if self.plan.network.loss >= 1.0 {
            let why = "1 lets no message through, ever; wanted less than 1".to_owned();
            self.refuse(&["network.loss"], why);
        }
    }

    fn cluster(&self) {
        let count = self.plan.nodes.len();
        if count == 0 {
            self.refuse(&["node"], "no machine at all; wanted at least one [[node]]".to_owned());
            return;
        }
        self.standby();
        if let Some(voters) = self.plan.config.failover.voters
            && usize::from(voters) > count
        {
            let most = if count.is_multiple_of(2) { count - 1 } else { count };
            let why = format!(
                "{voters} are more than the cluster has nodes, {count}; wanted \"auto\" or at most {most}"
            );
            self.refuse(&["cluster.voters"], why);
        }
        if !self.plan.nodes.iter().any(|node| node.worker) {
            let why = "no machine takes queries; wanted worker = true for at least one".to_owned();
            self.refuse(&["node"], why);
        }
    }

    fn standby(&self) {
        let failover = &self.plan.config.failover;
        if failover.mode != FailoverMode::Standby {
            return;
        }
        if failover.voters.is_some_and(|voters| voters > 1) {
            let why =
                "nobody votes where a standby takes over (failover.mode); wanted \"auto\" or 1".to_owned();
            self.refuse(&["cluster.voters", "failover.mode"], why);
        }
        if let StandbyRule::Named(name) = &failover.standby
            && !self.plan.nodes.iter().any(|node| node.name == *name)
        {
            let why = format!(
                "no machine is called {name:?}; wanted \"earliest\", \"successor\" or a machine's name"
            );
            self.refuse(&["failover.standby"], why);
        }
        if let (StandbyRule::Named(name), Some(first)) = (&failover.standby, self.plan.nodes.first())
            && first.name == *name
        {
            let why = format!(
                "{name} is the first coordinator, and nobody takes over from itself; wanted \"earliest\", \"successor\" or \
                 another machine's name"
            );
            self.refuse(&["failover.standby"], why);
        }
    }

    fn names(&self) {
        let jobs = self.plan.jobs.iter().enumerate().map(|(i, job)| (format!("job.{i}"), &job.spec));
        let streams =
            self.plan.arrivals.iter().enumerate().map(|(i, stream)| (format!("arrivals.{i}"), &stream.spec));
        let mut seen = BTreeSet::new();
        for (path, spec) in jobs.chain(streams) {
            if !seen.insert(spec.name.clone()) {
                let why = format!("another job is called {:?} too", spec.name);
                self.refuse(&[&format!("{path}.name"), &path], why);
            }
            self.size(&path, spec);
        }
    }

    fn size(&self, path: &str, spec: &JobSpec) {
        let queries = spec.inputs.count().div_ceil(u64::from(spec.batch));
        if queries > limits::QUERIES_MAX {
            let why = format!(
                "{} inputs in batches of {} are {} queries; wanted at most {}",
                grouped(spec.inputs.count().into()),
                spec.batch,
                grouped(queries.into()),
                grouped(limits::QUERIES_MAX.into())
            );
            self.refuse(&[&format!("{path}.batch"), &format!("{path}.inputs")], why);
        }
    }

    fn work(&self) {
        let plan = self.plan;
        let arriving: u64 = plan.arrivals.iter().map(|stream| u64::from(stream.count)).sum();
        let jobs = plan.jobs.len() as u64 + arriving;
        if jobs > limits::JOBS_MAX as u64 {
            let why = format!(
                "{} jobs in all; wanted at most {}",
                grouped(jobs.into()),
                grouped(limits::JOBS_MAX as i128)
            );
            self.refuse(&["arrivals", "job"], why);
        }
        if jobs == 0 && plan.faults.is_empty() && plan.until == Until::Done {
            let why = "nothing happens: no job, no fault, and the trial ends when all is done; wanted a [[job]], an \
                       [[arrivals]], a [[fault]] or an end such as \"60s\"";
            self.refuse(&["until"], why.to_owned());
        }
        for (position, job) in plan.jobs.iter().enumerate() {
            self.before_the_end(&format!("job.{position}.at"), job.at);
        }
        for (position, stream) in plan.arrivals.iter().enumerate() {
            self.before_the_end(&format!("arrivals.{position}.from"), Draw::Fixed(stream.from));
        }
    }

    /// Requests are about jobs and machines that there are.
    fn requests(&self) {
        let jobs = self.plan.jobs.iter().map(|job| job.spec.name.to_string());
        let streams = self.plan.arrivals.iter();
        let streamed = streams.flat_map(|s| (1..=s.count).map(|serial| format!("{}-{serial}", s.spec.name)));
        let known: BTreeSet<String> = jobs.chain(streamed).collect();
        for (position, request) in self.plan.requests.iter().enumerate() {
            let path = format!("request.{position}");
            self.before_the_end(&format!("{path}.at"), request.at);
            if let Errand::Drain { node, .. } = &request.errand {
                self.machine(&path, node);
            }
            let Some(job) = request.errand.job().filter(|job| !known.contains(&***job)) else { continue };
            let near = nearest(job, known.iter().map(String::as_str));
            let hint = near.map_or_else(
                || "wanted the name of a [[job]], or of one of [[arrivals]] such as \"s-1\"".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            self.refuse(&[&format!("{path}.job"), &path], format!("no job is called {job:?}; {hint}"));
        }
    }

    fn machine(&self, path: &str, name: &str) {
        let names = || self.plan.nodes.iter().map(|node| &*node.name);
        if names().all(|known| known != name) {
            let near = nearest(name, names().take(100));
            let hint = near.map_or_else(
                || "wanted the name of a node, such as \"n1\"".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            self.refuse(&[&format!("{path}.node"), path], format!("no machine is called {name:?}; {hint}"));
        }
    }

    fn before_the_end(&self, path: &str, at: Draw) {
        if let Until::At(end) = self.plan.until
            && draw_range(at).1 >= end
        {
            let why = format!("{} may come after the trial has ended, at {end} (until)", draw_text(at));
            self.refuse(&[path, "until"], why);
        }
    }

    /// When and how often a fault happens, and whether that can be.
    fn times(&self, path: &str, fault: &Fault) {
        let refuse = |key: &str, why: &str| self.refuse(&[&format!("{path}.{key}"), path], why.to_owned());
        let must_end = match fault.kind {
            FaultKind::Jam => Some(
                "what is jammed arrives when the fault ends, and this one never does; wanted for = \"5s\"",
            ),
            FaultKind::Partial(Shape::Swizzle) => Some(
                "a swizzle divides the time that it lasts, and this one lasts for ever; wanted for = \"5s\"",
            ),
            _ => None,
        };
        if let Some(why) = must_end.filter(|_| fault.lasting.is_none()) {
            refuse("for", why);
        }
        if let FaultKind::Skew(factor) = fault.kind
            && !(0.5..=2.0).contains(&factor)
        {
            refuse("factor", "clocks run at least half and at most twice as fast; wanted 0.5 to 2");
        }
        if let Some(repeat) = fault.repeat {
            let moment = matches!(
                fault.kind,
                FaultKind::Restart | FaultKind::EngineDeath | FaultKind::Stuck | FaultKind::Rot
            );
            if fault.lasting.is_none() && !moment {
                refuse("every", "what lasts for ever cannot happen again; wanted for = \"1s\" or the like");
            }
            if repeat.times.is_none() && self.plan.until == Until::Done {
                refuse(
                    "every",
                    "it happens until the trial ends, and the trial ends when all faults are over; wanted times = 10 or \
                     until = \"60s\"",
                );
            }
        }
        if fault.trigger.is_none() && concerns(&fault.target) {
            refuse(
                "target",
                "nobody is concerned where a fault waits for nothing; wanted on = \"election\" or the like",
            );
        }
    }

    fn faults(&self) {
        let plan = self.plan;
        if plan.nodes.is_empty() {
            return;
        }
        let own = plan.faults.iter().filter(|fault| fault.target == Target::Each).count() * plan.nodes.len();
        if own > OWN_MAX {
            let why = format!(
                "\"each\" makes {} faults of them; wanted at most {}",
                grouped(own as i128),
                grouped(OWN_MAX as i128)
            );
            self.refuse(&["fault"], why);
        }
        let voters = plan.config.failover.voters_for(plan.nodes.len());
        let impossible =
            |target: &Target, kind: &FaultKind| targets::impossible(target, kind, &plan.nodes, voters);
        for (position, fault) in plan.faults.iter().enumerate() {
            let path = format!("fault.{position}");
            self.before_the_end(&format!("{path}.at"), fault.at);
            if fault.kind == FaultKind::Rollback && fault.lasting.is_none() {
                let why = "the copy of the disk is put back when the fault ends, and this one never does; wanted for = \"5s\"";
                self.refuse(&[&format!("{path}.for"), &path], why.to_owned());
            }
            self.times(&path, fault);
            if let Some(why) = impossible(&fault.target, &fault.kind) {
                self.refuse(&[&format!("{path}.target")], why);
            }
            let FaultKind::Cut { other, .. } = &fault.kind else { continue };
            if matches!(other, Some(Target::Each)) {
                let why = "\"each\" is a target and no other side; wanted \"all\"".to_owned();
                self.refuse(&[&format!("{path}.other")], why);
            }
            if let Some(why) = other.as_ref().and_then(|other| impossible(other, &fault.kind)) {
                self.refuse(&[&format!("{path}.other")], why);
            }
            let one_side = match other {
                None => fault.target == Target::All || plan.nodes.len() == 1,
                Some(other) => {
                    *other == fault.target
                        && matches!(other, Target::Node(_) | Target::Coordinator | Target::All)
                }
            };
            if one_side {
                let why = format!("nobody is left on the other side of {}", targets::text(&fault.target));
                self.refuse(&[&format!("{path}.other"), &format!("{path}.target")], why);
            }
        }
    }
}

/// Whether a target is, among others, the machine that what the fault waits for concerns.
fn concerns(target: &Target) -> bool {
    match target {
        Target::Concerned => true,
        Target::Several(targets) => targets.iter().any(concerns),
        _ => false,
    }
}
