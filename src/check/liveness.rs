//! Invariants 7 and 8: deadlines that run while a connected majority of voters stands undisturbed.
//!
//! The cluster is *calm* while a majority of the voters runs, not paused, and no fault in force hinders their messages.
//! Every crash, start, pause and event of a fault restarts the calm; after a slow disk it begins when the last write that was begun
//! meanwhile must be through. Machines that are down, paused or cut off are
//! left out of the promise; the others must hold it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use super::attempts::Attempts;
use super::elections::Elections;
use super::ledger::{Job, Ledger};
use super::membership::Views;
use super::roster::{Roster, Seat};
use super::verdict::{Findings, Invariant, ceiling};
use crate::base::{JobId, NodeId, SessionId, Span, Time, ViewId};
use crate::history::Machine;
use crate::node::{JobSpec, Seats};
use crate::scenario::{FaultKind, Plan, Until};

/// What is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Leader,
    Member(NodeId),
    Request(SessionId, u64),
    Job(JobId),
}

/// What is wrong with a node's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// It lives and its life is not in the view.
    Absent,
    /// It does not run and is in the view.
    Ghost,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    what: Wrong,
    since: Time,
    reported: bool,
}

/// What the deadlines are judged by.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) roster: &'a Roster,
    pub(super) elections: &'a Elections,
    pub(super) views: &'a Views,
    pub(super) ledger: &'a Ledger,
    pub(super) attempts: &'a Attempts,
}

impl Facts<'_> {
    /// The machines that were given queries of a job and have not ended them.
    fn holders(&self, job: JobId) -> Vec<Machine> {
        let homes = self.attempts.holders(job).into_iter().filter_map(|id| self.roster.home(id));
        let homes: BTreeSet<Machine> = homes.collect();
        homes.into_iter().collect()
    }
}

/// All deadlines.
#[derive(Debug)]
pub(super) struct Liveness {
    within: Span,
    work: Work,
    until_done: bool,
    calm: Option<Time>,
    /// No calm begins before that: what a fault has begun may go on after the fault.
    aftermath: Time,
    /// The seats that were committed last.
    seats: Option<Arc<Seats>>,
    /// When the newest view was committed.
    viewed: Time,
    wrong: BTreeMap<NodeId, Fault>,
    /// Who was elected and has not stepped down since.
    leads: BTreeSet<NodeId>,
    led: bool,
    leaderless: Time,
    leaderless_reported: bool,
    /// Jobs that were reported.
    stranded: BTreeSet<JobId>,
    due: BinaryHeap<Reverse<(Time, Due)>>,
}

impl Liveness {
    pub(super) fn new(plan: &Plan) -> Liveness {
        let mut due = BinaryHeap::new();
        due.push(Reverse((Time::ZERO + plan.liveness_within, Due::Leader)));
        Liveness {
            within: plan.liveness_within,
            work: Work::new(plan),
            until_done: plan.until == Until::Done,
            calm: None,
            aftermath: Time::ZERO,
            seats: None,
            viewed: Time::ZERO,
            wrong: BTreeMap::new(),
            leads: BTreeSet::new(),
            led: false,
            stranded: BTreeSet::new(),
            leaderless: Time::ZERO,
            leaderless_reported: false,
            due,
        }
    }

    fn expect(&mut self, from: Time, due: Due) {
        self.due.push(Reverse((from + self.within, due)));
    }

    /// Something was disturbed: the calm starts again, if there is a majority for it.
    pub(super) fn disturb(&mut self, now: Time, facts: Facts<'_>) {
        self.calm = self.has_quorum(facts).then_some(now.max(self.aftermath));
    }

    /// A fault has ended, and what it has begun may go on until then.
    pub(super) fn lasts_until(&mut self, end: Time) {
        self.aftermath = self.aftermath.max(end);
    }

    /// The committed seats changed.
    pub(super) fn on_seats(&mut self, now: Time, seats: &Arc<Seats>, facts: Facts<'_>) {
        self.seats = Some(Arc::clone(seats));
        self.review(now, facts);
    }

    /// Some seats changed: whether there is a majority may be another question now.
    pub(super) fn review(&mut self, now: Time, facts: Facts<'_>) {
        let quorum = self.has_quorum(facts);
        if quorum != self.calm.is_some() {
            self.calm = quorum.then_some(now.max(self.aftermath));
        }
    }

    fn has_quorum(&self, facts: Facts<'_>) -> bool {
        let Some(seats) = &self.seats else {
            // Nobody knows yet who votes: all must be there, each with the disk that it had.
            return facts.roster.is_whole() && !facts.roster.has_replaced();
        };
        let stands = |seats: &Seats| seats.is_quorum(|id| facts.roster.is_healthy(id));
        // A change of seats is in force before it is committed.
        let in_force = |id: &NodeId| {
            facts
                .roster
                .is_healthy(*id)
                .then(|| facts.roster.home(*id))
                .flatten()
                .map(|machine| facts.elections.seats(machine).is_none_or(|seats| stands(seats)))
        };
        stands(seats) && seats.voters.iter().filter_map(in_force).all(|stands| stands)
    }

    /// A node was elected, or no longer leads.
    pub(super) fn on_lead(&mut self, now: Time, id: NodeId, leads: bool, roster: &Roster) {
        if leads {
            self.leads.insert(id);
        } else {
            self.leads.remove(&id);
        }
        self.review_leader(now, roster);
    }

    /// A leader may stand still, or go on.
    pub(super) fn review_leader(&mut self, now: Time, roster: &Roster) {
        let acts = |id: &NodeId| roster.running(*id).is_some_and(|seat| !seat.paused);
        let led = self.leads.iter().any(acts);
        if self.led && !led {
            self.leaderless = now;
            self.leaderless_reported = false;
            self.expect(now, Due::Leader);
        }
        self.led = led;
    }

    pub(super) fn on_asked(&mut self, now: Time, session: SessionId, number: u64) {
        self.expect(now, Due::Request(session, number));
    }

    pub(super) fn on_job(&mut self, now: Time, id: JobId, ledger: &Ledger) {
        if let Some(job) = ledger.jobs.get(&id) {
            self.work.learn(job);
        }
        self.expect(now, Due::Job(id));
    }

    /// A view was committed: whoever it concerns is judged anew.
    pub(super) fn on_view(&mut self, now: Time, ids: impl Iterator<Item = NodeId>, facts: Facts<'_>) {
        self.viewed = now;
        for id in ids {
            self.judge(now, id, facts);
        }
    }

    /// Something about a node changed.
    pub(super) fn judge(&mut self, now: Time, id: NodeId, facts: Facts<'_>) {
        let Some(view) = facts.views.latest() else { return };
        let member = view.member(id).map(|member| member.incarnation);
        let what = match (facts.roster.running(id), member) {
            (None, Some(_)) => Some(Wrong::Ghost),
            (Some(seat), member) if seat.is_healthy() && (member.is_none() || member != seat.life) => {
                Some(Wrong::Absent)
            }
            (None, None) | (Some(_), _) => None,
        };
        let before = self.wrong.get(&id).map(|fault| fault.what);
        if let Some(what) = what {
            if before != Some(what) {
                self.wrong.insert(id, Fault { what, since: now, reported: false });
                self.expect(now, Due::Member(id));
            }
        } else if before.is_some() {
            self.wrong.remove(&id);
        }
    }

    /// Judges what became due before `now`.
    pub(super) fn advance(&mut self, now: Time, facts: Facts<'_>, findings: &mut Findings) {
        while let Some(&Reverse((at, due))) = self.due.peek() {
            if at >= now {
                return;
            }
            self.due.pop();
            if let Some(later) = self.fall_due(at, due, facts, findings) {
                self.due.push(Reverse((later.max(Time(at.0 + 1)), due)));
            }
        }
    }

    /// Judges one deadline: when to look again, if it is not settled.
    fn fall_due(&mut self, at: Time, due: Due, facts: Facts<'_>, findings: &mut Findings) -> Option<Time> {
        let Some((since, span)) = self.owed(due, facts) else {
            findings.census.deadlines += 1;
            return None;
        };
        // Whatever it is: nothing is promised before the calm has lasted long enough.
        let Some(calm) = self.calm else { return Some(at + self.within) };
        let deadline = since.max(calm) + span;
        if deadline > at {
            return Some(deadline);
        }
        findings.census.deadlines += 1;
        self.report(at, due, facts, findings)
    }

    /// Since when something is owed, and within which time; `None` when it was done, or was reported.
    fn owed(&self, due: Due, facts: Facts<'_>) -> Option<(Time, Span)> {
        match due {
            Due::Leader => (!self.led && !self.leaderless_reported).then_some((self.leaderless, self.within)),
            Due::Member(id) => {
                let fault = self.wrong.get(&id).filter(|fault| !fault.reported)?;
                Some((fault.since, self.within))
            }
            Due::Request(session, number) => {
                let asked = facts.ledger.asked.get(&session)?;
                (asked.number == number && !asked.answered).then_some((asked.at, self.within))
            }
            Due::Job(id) => {
                let job = facts.ledger.jobs.get(&id)?;
                // A policy that does not promise otherwise may let a job wait for as long as others go on.
                let others = facts.ledger.jobs.values().map(|job| job.progress);
                let progress = others.filter(|_| self.work.waits).fold(job.progress, Time::max);
                (!job.ended() && !job.stopped && !self.stranded.contains(&id))
                    .then(|| (progress.max(self.viewed), self.within + self.work.allowance(job, facts)))
            }
        }
    }

    /// A deadline has passed.
    fn report(&mut self, at: Time, due: Due, facts: Facts<'_>, findings: &mut Findings) -> Option<Time> {
        let within = self.within;
        match due {
            Due::Leader => {
                self.leaderless_reported = true;
                let detail = format_args!("there has been no coordinator for {within} of calm");
                findings.report(Invariant::WholeAgain, at, &[], detail);
            }
            Due::Member(id) => {
                let fault = self.wrong.get_mut(&id)?;
                fault.reported = true;
                let detail = match fault.what {
                    Wrong::Absent => "it lives, can be reached, and is not a member",
                    Wrong::Ghost => "it is gone and still a member",
                };
                let machines: Vec<Machine> = facts.roster.home(id).into_iter().collect();
                let detail = format_args!("{detail} ({id}) after {within} of calm");
                findings.report(Invariant::WholeAgain, at, &machines, detail);
            }
            Due::Request(session, number) => {
                let detail =
                    format_args!("request {number} of {session} is not answered after {within} of calm");
                findings.report(Invariant::NothingStranded, at, &[], detail);
            }
            Due::Job(id) => {
                // Without any worker there is nothing to expect; with one, some query must end.
                if Work::workers(facts) == 0 {
                    return Some(at + within);
                }
                let job = facts.ledger.jobs.get(&id)?;
                self.stranded.insert(id);
                let (name, idle) = (&job.spec.name, at.since(job.progress).as_secs());
                let detail = format_args!(
                    "no query of {id} ({name}) was counted for {idle:.1} s, longer than its work can take; these hold some"
                );
                findings.report(Invariant::NothingStranded, at, &facts.holders(id), detail);
            }
        }
        None
    }

    /// The trial is over.
    pub(super) fn finish(&mut self, end: Time, facts: Facts<'_>, findings: &mut Findings) {
        self.advance(Time(end.0.saturating_add(1)), facts, findings);
        let Some(calm) = self.calm else { return };
        if self.until_done {
            self.given_up(end, calm, facts, findings);
        }
        self.lagging(end, calm, facts, findings);
    }

    /// A trial that runs until it is done ended with work left: for no good reason, if nothing moved for long enough.
    fn given_up(&self, end: Time, calm: Time, facts: Facts<'_>, findings: &mut Findings) {
        for (id, job) in &facts.ledger.jobs {
            let since = job.progress.max(calm).max(self.viewed);
            if !job.ended()
                && !job.stopped
                && since + self.within + self.work.stuck <= end
                && Work::workers(facts) > 0
                && !self.stranded.contains(id)
            {
                let (name, idle) = (&job.spec.name, end.since(job.progress).as_secs());
                let detail = format_args!(
                    "the trial was given up with {id} ({name}) unfinished, {idle:.1} s after its last query was \
                     counted; these hold some"
                );
                findings.report(Invariant::NothingStranded, end, &facts.holders(*id), detail);
            }
        }
    }

    /// Members that have not heard of a view for too long.
    fn lagging(&self, end: Time, calm: Time, facts: Facts<'_>, findings: &mut Findings) {
        let Some(latest) = facts.views.latest() else { return };
        for (machine, seat) in facts.roster.seats() {
            let member = seat.runs.and_then(|id| latest.member(id));
            if !seat.is_healthy() || member.is_none_or(|member| Some(member.incarnation) != seat.life) {
                continue;
            }
            let holds = facts.views.installed(machine).unwrap_or(ViewId(0));
            let next = facts.views.committed_at(holds.next()).unwrap_or(Time::NEVER);
            if holds < latest.id() && next.max(calm) + self.within <= end {
                let detail = format_args!("it still acts by {holds}, and {} is committed", latest.id());
                findings.report(Invariant::WholeAgain, end, &[machine], detail);
            }
        }
    }
}

/// How long work may take, going by the plan.
#[derive(Debug)]
struct Work {
    /// Per model the longest load, the longest fixed part and the longest part per input, on the slowest worker.
    models: BTreeMap<Arc<str>, [Span; 3]>,
    /// The longest load and query of any job so far.
    longest: Span,
    window: Option<u8>,
    /// How often a query may be tried where attempts fail by plan.
    tries: u64,
    /// How long an engine may stand still before a query, and how long refusals may put one off.
    stall: Span,
    refusals: Span,
    /// Whether a policy is in force, or may come to be, under which a job may have to wait for others.
    waits: bool,
    /// How long it may take until what is stuck by plan is found to be so, whatever job it hits.
    stuck: Span,
}

impl Work {
    fn new(plan: &Plan) -> Work {
        let workers = plan.nodes.iter().filter(|node| node.worker);
        let mut pace = workers.map(|node| node.speed).fold(f64::INFINITY, f64::min);
        let mut fails = false;
        for fault in &plan.faults {
            match &fault.kind {
                FaultKind::Slow(factor) => pace /= factor.max(1.0),
                FaultKind::LoadFailure { .. }
                | FaultKind::EngineDeath
                | FaultKind::Stuck
                | FaultKind::BadOutput(_) => fails = true,
                FaultKind::Crash { .. }
                | FaultKind::Restart
                | FaultKind::Leave
                | FaultKind::Pause
                | FaultKind::Isolate
                | FaultKind::Cut { .. }
                | FaultKind::Loss(_)
                | FaultKind::SlowLink(_)
                | FaultKind::Jam
                | FaultKind::Partial(_)
                | FaultKind::Starve(_)
                | FaultKind::Skew(_)
                | FaultKind::Suspend
                | FaultKind::Delay(_)
                | FaultKind::Duplicate(_)
                | FaultKind::Reorder(_)
                | FaultKind::SlowDisk(_)
                | FaultKind::FullDisk
                | FaultKind::Corrupt
                | FaultKind::Rollback
                | FaultKind::Rot
                | FaultKind::RepeatOutput => {}
            }
        }
        let longest = |draw| ceiling(draw).scaled(1.0 / pace.max(f64::MIN_POSITIVE));
        let models = plan.models.iter().map(|(name, model)| {
            let profile = &model.profile;
            let most = profile.by_size.most();
            let [load, setup, per_input] = [profile.load, profile.setup, profile.per_input].map(longest);
            (name.clone(), [load, setup.scaled(most), per_input.scaled(most)])
        });
        let models: BTreeMap<Arc<str>, [Span; 3]> = models.collect();
        let query = |(spec, batch): (&JobSpec, u32)| {
            let [_, setup, per_input] = models.get(&spec.model).copied().unwrap_or_default();
            plan.stall_max() + setup + per_input * u64::from(batch)
        };
        Work {
            stuck: plan.stuck_max(plan.batches_max().map(query).max().unwrap_or(Span::ZERO)),
            models,
            waits: plan.policies().any(|policy| !policy.starves_nobody()),
            stall: plan.stall_max(),
            refusals: plan.put_off_max(),
            longest: Span::ZERO,
            window: plan.config.dispatch.window,
            tries: if fails { u64::from(plan.config.dispatch.retries_max) + 1 } else { 1 },
        }
    }

    /// Healthy members that take queries, and shall get some.
    fn workers(facts: Facts<'_>) -> usize {
        let Some(view) = facts.views.latest() else { return 0 };
        let takes =
            |id| view.member(id).is_some_and(|member| member.worker) && !facts.ledger.drained.contains(&id);
        let fit = |(machine, seat): &(Machine, &Seat)| {
            seat.is_healthy() && facts.roster.is_worker(*machine) && seat.runs.is_some_and(takes)
        };
        facts.roster.seats().filter(fit).count()
    }

    /// The longest load of a job's model and the longest query of the job.
    fn of(&self, job: &Job) -> (Span, Span) {
        let [load, setup, per_input] = self.models.get(&job.spec.model).copied().unwrap_or_default();
        (load, self.stall + setup + per_input * u64::from(job.batch().max(job.spec.batch)))
    }

    fn learn(&mut self, job: &Job) {
        let (load, query) = self.of(job);
        self.longest = self.longest.max(load + query);
    }

    /// How long it may take, at most, until a query of this job is counted when all goes well: those before it in a
    /// worker's window, each with a load of its model, and the turns of other jobs where there are more jobs than workers.
    fn allowance(&self, job: &Job, facts: Facts<'_>) -> Span {
        let (load, query) = self.of(job);
        // By default a worker holds two queries, or as many as make 2 ms of work.
        let small = (Span::millis(2).0 / query.0.max(1)).clamp(2, 64);
        let window = self.window.map_or(small, u64::from);
        let turns = 1 + facts.ledger.open_jobs as u64 / Work::workers(facts).max(1) as u64;
        self.longest.max(load + query) * window * turns * self.tries + self.refusals + self.stuck
    }
}
