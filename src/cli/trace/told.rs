//! What the trace says about one thing that happened: a kind, a text, and what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::ValueEnum;

use crate::base::{AttemptId, JobId, NodeId, QueryId, SessionId};
use crate::history::Machine;
use crate::scenario::Plan;

/// Kinds of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// Faults, and processes that start, die, stand still and go on.
    Fault,
    /// What clients ask and are told.
    Client,
    /// Who stands, votes, leads and steps down.
    Election,
    /// A new coordinator asks what workers hold, and opens.
    Survey,
    /// The quorum log: appends, acknowledgements, entries that followers apply, seats.
    Log,
    /// Alerts, suspicions, joins, evictions, views.
    Membership,
    /// Heartbeats and whatever else is repeated without news: beats of the leader, growing silences, results reported again. Left
    /// out unless asked for.
    Heartbeat,
    /// Queries on their way to workers: allocations, desks, orders.
    Dispatch,
    /// Queries on their way back: reports of results, and what is counted.
    Result,
    /// Loads, inferences, deaths of engines.
    Engine,
    /// Files, their chunks and who holds these.
    Files,
    /// Writes and syncs. Left out unless asked for.
    Disk,
    /// Wake-ups of which nothing came. Left out unless asked for.
    Timer,
}

impl Kind {
    /// Whether lines of this kind are shown when no kind was asked for.
    pub(super) fn is_usual(self) -> bool {
        match self {
            Kind::Heartbeat | Kind::Disk | Kind::Timer => false,
            Kind::Fault
            | Kind::Client
            | Kind::Files
            | Kind::Election
            | Kind::Survey
            | Kind::Log
            | Kind::Membership
            | Kind::Dispatch
            | Kind::Result
            | Kind::Engine => true,
        }
    }
}

/// What a text is about, for those who look for something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// Machines beside the one on which it happened.
    pub(super) machines: Vec<Machine>,
    /// Jobs, by name.
    pub(super) jobs: Vec<Arc<str>>,
    /// Queries.
    pub(super) queries: Vec<QueryId>,
    /// It may explain what happens to any job or query.
    pub(super) anything: bool,
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) about: About,
}

impl Told {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Told {
        Told { kind, text: text.into(), about: About::default() }
    }

    pub(super) fn machine(mut self, machine: Option<Machine>) -> Told {
        self.about.machines.extend(machine);
        self
    }

    pub(super) fn anything(mut self) -> Told {
        self.about.anything = true;
        self
    }

    pub(super) fn job(mut self, job: Option<Arc<str>>) -> Told {
        self.about.jobs.extend(job);
        self
    }

    pub(super) fn queries(mut self, queries: impl IntoIterator<Item = QueryId>) -> Told {
        self.about.queries.extend(queries);
        self
    }
}

/// What identities are called.
#[derive(Debug)]
pub(super) struct Names {
    machines: Vec<Arc<str>>,
    ids: BTreeMap<NodeId, Machine>,
    /// By the ledger's numbers.
    pub(super) jobs: BTreeMap<JobId, Arc<str>>,
    /// The job that a client submits.
    pub(super) sessions: BTreeMap<SessionId, Arc<str>>,
    /// The query of each attempt.
    pub(super) attempts: BTreeMap<AttemptId, QueryId>,
    /// Queries that lists name even where they are too long to name all.
    focus: Vec<QueryId>,
}

/// More than this many of anything are not listed one by one.
const LISTED_MAX: usize = 4;

impl Names {
    pub(super) fn new(plan: &Plan, focus: &[QueryId]) -> Names {
        let machines = plan.nodes.iter().map(|node| Arc::clone(&node.name)).collect();
        Names { machines, ..Names::of(focus) }
    }

    /// No names yet.
    pub(super) fn of(focus: &[QueryId]) -> Names {
        Names {
            machines: Vec::new(),
            ids: BTreeMap::new(),
            jobs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            attempts: BTreeMap::new(),
            focus: focus.to_vec(),
        }
    }

    /// From now on `id` lives on `machine`.
    pub(super) fn settle(&mut self, id: NodeId, machine: Machine) {
        self.ids.insert(id, machine);
    }

    /// `id` is called `name`: where no plan says which machines there are.
    pub(super) fn meet(&mut self, id: NodeId, name: &Arc<str>) {
        if !self.ids.contains_key(&id) {
            self.settle(id, self.machines.len() as Machine);
            self.machines.push(Arc::clone(name));
        }
    }

    /// The longest name of a machine, in letters.
    pub(super) fn width(&self) -> usize {
        self.machines.iter().map(|name| name.chars().count()).max().unwrap_or(0)
    }

    pub(super) fn find(&self, id: NodeId) -> Option<Machine> {
        self.ids.get(&id).copied()
    }

    pub(super) fn machine(&self, machine: Machine) -> &str {
        self.machines.get(machine as usize).map_or("?", |name| name)
    }

    /// The name of the machine on which `id` lives; the identity itself of one that nobody has seen.
    pub(super) fn node(&self, id: NodeId) -> String {
        self.find(id).map_or_else(|| id.to_string(), |machine| self.machine(machine).to_owned())
    }

    pub(super) fn nodes(&self, ids: impl IntoIterator<Item = NodeId>) -> String {
        let mut ids: Vec<NodeId> = ids.into_iter().collect();
        ids.sort_by_key(|id| (self.find(*id).is_none(), self.find(*id), *id));
        ids.into_iter().map(|id| self.node(id)).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn job(&self, job: JobId) -> String {
        self.jobs.get(&job).map_or_else(|| job.to_string(), ToString::to_string)
    }

    /// The job whose client has this session.
    pub(super) fn client(&self, session: SessionId) -> String {
        self.sessions.get(&session).map_or_else(|| "a client".to_owned(), |name| format!("client of {name}"))
    }

    /// An attempt with its query, as far as that is known: `1.0.17 (e4.120)`.
    pub(super) fn attempt(&self, attempt: AttemptId) -> String {
        match self.attempts.get(&attempt) {
            Some(query) => tried(*query, attempt),
            None => format!("e{attempt}"),
        }
    }

    /// `items`, the first few of them or those that are looked for, and how many more there are. Each stands with its query.
    pub(super) fn list(&self, items: &[(QueryId, String)]) -> String {
        let sought = || items.iter().filter(|(query, _)| self.focus.contains(query));
        let shown: Vec<&str> = if items.len() <= LISTED_MAX {
            items.iter().map(|(_, text)| &**text).collect()
        } else if sought().next().is_some() {
            sought().take(LISTED_MAX).map(|(_, text)| &**text).collect()
        } else {
            items.iter().take(LISTED_MAX - 1).map(|(_, text)| &**text).collect()
        };
        let more = items.len() - shown.len();
        let shown = shown.join(", ");
        if more == 0 { shown } else { format!("{shown} and {more} more") }
    }
}

/// A query and the attempt at it: `1.0.17 (e4.120)`.
pub(super) fn tried(query: QueryId, attempt: AttemptId) -> String {
    format!("{query} (e{attempt})")
}
