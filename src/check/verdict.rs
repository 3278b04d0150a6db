//! What the checker found: the invariants, how they were violated, and how much was looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::gaps::Gaps;
use crate::base::{Span, Time};
use crate::history::Machine;

/// At most this many violations of a trial are kept; the rest are only counted.
pub const VIOLATIONS_MAX: usize = 100;

/// Something that must hold in every trial, whatever is broken on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// 1: one leader per epoch, one vote per voter and epoch.
    OneLeader,
    /// 2: what is committed stays.
    LogKept,
    /// 3: what a client was told stays.
    PromisesKept,
    /// 4: each query counts once.
    CountedOnce,
    /// 5: old reigns are not obeyed.
    Fenced,
    /// 6: views form one line.
    ViewsOrdered,
    /// 7: the cluster becomes whole again.
    WholeAgain,
    /// 8: work goes on.
    NothingStranded,
    /// 9: clients see one order of events.
    Linearizable,
    /// 10: what is stored stays stored.
    FilesKept,
    /// 11: a trial can be repeated.
    Repeatable,
    /// 12: leaders and messages are bounded.
    Bounded,
}

impl Invariant {
    /// All of them, in order of their numbers.
    pub const ALL: [Invariant; 12] = [
        Invariant::OneLeader,
        Invariant::LogKept,
        Invariant::PromisesKept,
        Invariant::CountedOnce,
        Invariant::Fenced,
        Invariant::ViewsOrdered,
        Invariant::WholeAgain,
        Invariant::NothingStranded,
        Invariant::Linearizable,
        Invariant::FilesKept,
        Invariant::Repeatable,
        Invariant::Bounded,
    ];

    /// Its number in the documentation.
    pub const fn number(self) -> u8 {
        match self {
            Invariant::OneLeader => 1,
            Invariant::LogKept => 2,
            Invariant::PromisesKept => 3,
            Invariant::CountedOnce => 4,
            Invariant::Fenced => 5,
            Invariant::ViewsOrdered => 6,
            Invariant::WholeAgain => 7,
            Invariant::NothingStranded => 8,
            Invariant::Linearizable => 9,
            Invariant::FilesKept => 10,
            Invariant::Repeatable => 11,
            Invariant::Bounded => 12,
        }
    }

    /// What must hold, in one sentence without a full stop.
    pub const fn statement(self) -> &'static str {
        match self {
            Invariant::OneLeader => {
                "each epoch has at most one leader, elected by a majority that votes once and never goes back"
            }
            Invariant::LogKept => {
                "committed entries never change, every later leader has them, and equal places mean equal states"
            }
            Invariant::PromisesKept => "what a client was told is done, once, and stays done",
            Invariant::CountedOnce => {
                "each query is counted exactly once, from an attempt that was dispatched and ran"
            }
            Invariant::Fenced => "nobody obeys, or acts for, a reign that it knows to be over",
            Invariant::ViewsOrdered => "views form one line, and a life that left it never returns",
            Invariant::WholeAgain => {
                "once a connected majority stands undisturbed, it is led, the living are members and the dead are not"
            }
            Invariant::NothingStranded => {
                "once a connected majority stands undisturbed, requests are answered and jobs go on"
            }
            Invariant::Linearizable => {
                "what clients are told fits one order of events in which each request takes effect once, between question and answer"
            }
            Invariant::FilesKept => {
                "a stored file is on as many disks as it should be, and readable until all of these are lost"
            }
            Invariant::Bounded => {
                "an undisturbed cluster keeps its leader, and leaders and messages stay under their bounds"
            }
            Invariant::Repeatable => "the same seed gives the same trace",
        }
    }

    /// Whether it says that nothing bad happens or that something good does.
    pub const fn kind(self) -> Kind {
        match self {
            Invariant::WholeAgain | Invariant::NothingStranded => Kind::Liveness,
            Invariant::OneLeader
            | Invariant::LogKept
            | Invariant::PromisesKept
            | Invariant::CountedOnce
            | Invariant::Fenced
            | Invariant::ViewsOrdered
            | Invariant::Linearizable
            | Invariant::FilesKept
            | Invariant::Repeatable
            | Invariant::Bounded => Kind::Safety,
        }
    }
}

/// The two kinds of invariants. The graver one compares less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing bad ever happens.
    Safety,
    /// Something good happens in time.
    Liveness,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// When it showed, since the run began.
    pub at: Time,
    /// The machines concerned, by their positions in the plan; may be empty.
    pub machines: Vec<Machine>,
    /// Their names, in the same order.
    pub names: Vec<Arc<str>>,
    /// The seed of the trial.
    pub seed: u64,
    /// What happened, in one sentence without a full stop.
    pub detail: String,
}

impl Violation {
    /// Whether safety or liveness broke.
    pub const fn kind(&self) -> Kind {
        self.invariant.kind()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, statement) = (self.invariant.number(), self.invariant.statement());
        write!(f, "{}", self.at)?;
        if !self.names.is_empty() {
            write!(f, " on {}", self.names.join(", "))?;
        }
        write!(f, ", seed {}: {}. Invariant {number}: {statement}.", self.seed, self.detail)
    }
}

/// How much was looked at, so that "no violation" can be told from "nothing to see".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Records taken in.
    pub records: u64,
    /// Records of nodes that never came up, which were passed over.
    pub unattributed: u64,
    /// Votes given.
    pub votes: u64,
    /// Leaders elected.
    pub leaders: u64,
    /// Leaders whose majority was verified.
    pub leaders_verified: u64,
    /// Places of the log that were committed.
    pub entries: u64,
    /// Times that a node's entry, effects and state were compared with what another had at that place.
    pub entries_compared: u64,
    /// Snapshots whose state was compared.
    pub snapshots_compared: u64,
    /// Jobs accepted.
    pub jobs: u64,
    /// Answers that clients were given.
    pub answers: u64,
    /// Attempts dispatched.
    pub attempts: u64,
    /// Orders taken by workers.
    pub orders: u64,
    /// Views committed.
    pub views: u64,
    /// Views that nodes installed.
    pub views_installed: u64,
    /// Jobs for which everything that clients asked and were told was put into one order.
    pub histories: u64,
    /// Jobs with so much asked at once that the search for an order was given up.
    pub histories_unchecked: u64,
    /// Files for which that was looked at.
    pub registers: u64,
    /// Requests whose outcome their clients do not know.
    pub outcomes_unknown: u64,
    /// Promises of liveness that were judged, kept or not: of members, coordinators, requests and jobs.
    pub deadlines: u64,
    /// Faults that began.
    pub faults_began: u64,
    /// Faults that took effect.
    pub faults_effective: u64,
    /// Faults that could not be injected.
    pub faults_missed: u64,
}

/// What the checker has to say about one trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The seed of the trial.
    pub seed: u64,
    /// What did not hold, in order of time; at most [`VIOLATIONS_MAX`].
    pub violations: Vec<Violation>,
    /// How many violations there were, kept or not.
    pub violations_found: u64,
    /// How many of these were of each invariant that did not hold.
    pub violations_of: BTreeMap<Invariant, u64>,
    /// Queries that were counted in the log that the checker follows.
    pub queries_counted: u64,
    /// Queries that were counted although their inputs, or some of them, had been counted before, by whichever coordinator.
    pub queries_doubled: u64,
    /// Queries that their job ended without, uncancelled, and those of jobs that were accepted and that no coordinator has in the
    /// end.
    pub queries_lost: u64,
    /// Queries that jobs still wait for at the end.
    pub queries_open: u64,
    /// How much was looked at.
    pub census: Census,
}

impl Verdict {
    /// Whether everything held.
    pub const fn is_clean(&self) -> bool {
        self.violations_found == 0
    }

    /// The gravest kind of violation; `None` when everything held.
    pub fn gravest(&self) -> Option<Kind> {
        self.violations.iter().map(Violation::kind).min()
    }
}

/// Collects violations while a trial is checked.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) seed: u64,
    names: Vec<Arc<str>>,
    pub(super) violations: Vec<Violation>,
    pub(super) found: u64,
    pub(super) found_of: BTreeMap<Invariant, u64>,
    pub(super) census: Census,
    /// What the history lacks.
    pub(super) gaps: Gaps,
}

impl Findings {
    pub(super) fn new(seed: u64, names: Vec<Arc<str>>, gaps: Gaps) -> Findings {
        let (violations, found_of) = (Vec::new(), BTreeMap::new());
        Findings { seed, names, violations, found: 0, found_of, census: Census::default(), gaps }
    }

    /// The name of a machine for people; one that the plan does not know goes by its position.
    pub(super) fn name(&self, machine: Machine) -> Arc<str> {
        let known = self.names.get(machine as usize).cloned();
        known.unwrap_or_else(|| format!("machine {machine}").into())
    }

    pub(super) fn report(
        &mut self,
        invariant: Invariant,
        at: Time,
        machines: &[Machine],
        detail: fmt::Arguments<'_>,
    ) {
        if !self.gaps.judges(invariant) {
            return;
        }
        self.found += 1;
        *self.found_of.entry(invariant).or_default() += 1;
        // Liveness never crowds out safety: the last places are kept for it.
        let limit = if invariant.kind() == Kind::Safety { VIOLATIONS_MAX } else { VIOLATIONS_MAX * 9 / 10 };
        if self.violations.len() < limit {
            let mut machines = machines.to_vec();
            machines.dedup();
            let names = machines.iter().map(|&machine| self.name(machine)).collect();
            let (seed, detail) = (self.seed, detail.to_string());
            self.violations.push(Violation { invariant, at, machines, names, seed, detail });
        }
    }
}

/// A length that `draw` practically never exceeds: its upper end, or about one in a thousand million.
pub(super) fn ceiling(draw: crate::base::Draw) -> Span {
    use crate::base::Draw;
    match draw {
        Draw::Fixed(span) | Draw::Uniform(_, span) => span,
        Draw::LogNormal(median, sigma) => median.scaled(libm::exp(6.0 * sigma)),
        Draw::Exponential(mean) => mean * 21,
    }
}
