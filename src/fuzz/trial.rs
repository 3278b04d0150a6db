//! One drawn scenario carried out: what it found, and what it reached.

use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};

use super::points::Point;
use super::reached::Reached;
use crate::check::{Checker, Invariant, Kind, Verdict, Violation};
use crate::history::Ignore;
use crate::scenario::Plan;
use crate::sim;

thread_local! {
    /// Whether this thread carries out a trial, whose panics are findings.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// From now on panics within a trial print nothing, since they are reported as findings; all others are printed as before.
pub fn silence_findings() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !WATCHED.get() {
            before(info);
        }
    }));
}

/// In what way a scenario failed. Two failures of the same way are taken for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// An assertion of idunno itself did not hold.
    Panic,
    /// An invariant did not hold.
    Invariant(Invariant),
    /// It was given up: something was left to do, and nothing was done about it.
    Unfinished,
}

impl Failure {
    /// Whether something that must never happen did, rather than something that must happen at last did not.
    pub fn kind(self) -> Kind {
        match self {
            Failure::Panic => Kind::Safety,
            Failure::Invariant(invariant) => invariant.kind(),
            Failure::Unfinished => Kind::Liveness,
        }
    }
}

impl Failure {
    /// What came of it in a word or two, which may stand in the name of a file.
    pub const fn word(self) -> &'static str {
        match self {
            Failure::Panic => "panic",
            Failure::Unfinished => "unfinished",
            Failure::Invariant(invariant) => match invariant {
                Invariant::OneLeader => "two_leaders",
                Invariant::LogKept => "lost_entry",
                Invariant::PromisesKept => "broken_promise",
                Invariant::CountedOnce => "miscounted",
                Invariant::Fenced => "old_reign_obeyed",
                Invariant::ViewsOrdered => "views_apart",
                Invariant::WholeAgain => "not_whole_again",
                Invariant::NothingStranded => "stranded",
                Invariant::Linearizable => "out_of_order",
                Invariant::FilesKept => "lost_file",
                Invariant::Repeatable => "not_repeatable",
                Invariant::Bounded => "too_much",
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Panic => write!(f, "an assertion of idunno itself failed"),
            Failure::Invariant(invariant) => {
                write!(f, "invariant {} broke: {}", invariant.number(), invariant.statement())
            }
            Failure::Unfinished => write!(f, "work was left undone and nobody did anything about it"),
        }
    }
}

/// A scenario carried out.
#[derive(Debug)]
pub struct Trial {
    /// The gravest way in which it failed, and what exactly happened; `None` when everything held.
    pub failure: Option<(Failure, String)>,
    /// What it reached; after a panic, what it had reached by then.
    pub reached: Reached,
    /// Inputs that nodes were given.
    pub events: u64,
    /// The simulated time that it took, in seconds.
    pub seconds: f64,
    /// Whether it was stopped before its end, which proves nothing.
    pub stopped: bool,
}

impl Trial {
    /// Carries out `plan` under `seed`; with `twice`, two times, to see that both have the same trace (invariant 11). `stop` is
    /// asked now and then and ends it early.
    pub fn run(plan: &Plan, seed: u64, twice: bool, stop: &(dyn Fn() -> bool + Sync)) -> Trial {
        let mut sinks = (Checker::new(plan, seed), Reached::in_trial_of(plan));
        // A panic is a finding like any other: it has a seed, and can be shrunk.
        let before = WATCHED.replace(true);
        let run = || Trial::watched(plan, seed, twice, stop, &mut sinks);
        let result = catch_unwind(AssertUnwindSafe(run));
        WATCHED.set(before);
        result.unwrap_or_else(|panic| {
            // What was wrong before says more than the panic that came of it.
            let first = sinks.0.violations().iter().find(|violation| violation.kind() == Kind::Safety);
            let failure = first.map_or_else(|| (Failure::Panic, message(&*panic)), found);
            Trial { failure: Some(failure), reached: sinks.1, events: 0, seconds: 0.0, stopped: false }
        })
    }

    fn watched(
        plan: &Plan,
        seed: u64,
        twice: bool,
        stop: &(dyn Fn() -> bool + Sync),
        sinks: &mut (Checker, Reached),
    ) -> Trial {
        let outcome = sim::run(plan, seed, sinks, stop);
        let (mut checker, mut reached) =
            std::mem::replace(sinks, (Checker::new(plan, seed), Reached::default()));
        reached.reach_times(Point::AskedElsewhere, outcome.asked_elsewhere);
        checker.count_messages(outcome.sent.membership, outcome.sent.log);
        let verdict = checker.finish(outcome.ended_at);
        let mut failure = gravest(&verdict);
        if failure.is_none() && !outcome.unfinished.is_empty() {
            failure = Some((Failure::Unfinished, outcome.unfinished.join("; ")));
        }
        let mut stopped = outcome.stopped;
        if twice && failure.is_none() && !stopped {
            let again = sim::run(plan, seed, &mut Ignore, stop);
            stopped = again.stopped;
            if !stopped && again.trace != outcome.trace {
                let detail = format!("trace {:032x} first and {:032x} then", outcome.trace, again.trace);
                failure = Some((Failure::Invariant(Invariant::Repeatable), detail));
            }
        }
        let (events, seconds) = (outcome.events, outcome.ended_at.as_secs());
        Trial { failure: failure.filter(|_| !stopped), reached, events, seconds, stopped }
    }
}

/// The first violation of the gravest kind.
fn gravest(verdict: &Verdict) -> Option<(Failure, String)> {
    let first = verdict.violations.iter().min_by_key(|violation| (violation.kind(), violation.at))?;
    Some(found(first))
}

fn found(violation: &Violation) -> (Failure, String) {
    (Failure::Invariant(violation.invariant), violation.to_string())
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why").to_owned()
}
