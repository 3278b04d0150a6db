//! What comes of a step: observations, what the ledger did, writes, answers, in a few words each.

use std::sync::Arc;

use super::clients::{reply, request};
use super::messages::{entries, place};
use super::told::{Kind, Names, Told, tried};
use crate::base::QueryId;
use crate::cli::text::some;
use crate::history::{ClientEvent, FaultEvent, FaultPhase};
use crate::node::{
    Change, ChunkCommand, Dispatch, Effect, EngineCommand, Entry, GiveUp, Observation, Passing, Payload,
    Record, Seats, StepDown, Uncounted,
};

/// What a node observed. `first` says that no other node has applied this entry before.
pub(super) fn observation(seen: &Observation, first: bool, names: &Names) -> Told {
    let told = |kind, text: String| Told::new(kind, text);
    match seen {
        Observation::Born { incarnation } => told(Kind::Membership, format!("{incarnation} begins")),
        Observation::Stood { epoch } => {
            told(Kind::Election, format!("misses its leader: who would vote for it in e{}?", epoch.0))
        }
        Observation::Voted { epoch, candidate } => {
            told(Kind::Election, format!("votes for {} in e{}", names.node(*candidate), epoch.0))
                .machine(names.find(*candidate))
        }
        Observation::Led { epoch } => told(Kind::Election, format!("is elected and leads e{}", epoch.0)),
        Observation::SteppedDown { epoch, reason } => {
            told(Kind::Election, format!("no longer leads e{}: {}", epoch.0, step_down(*reason)))
        }
        Observation::Seated { seats } => told(Kind::Log, self::seats(seats, names)),
        Observation::Applied { entry, changes, state: _ } => applied(entry, changes, first, names),
        Observation::Restored { last, state: _ } => {
            told(Kind::Log, format!("takes over the state at {}", place(*last)))
        }
        Observation::Suspected { subject, incarnation: _ } => {
            told(Kind::Membership, format!("suspects {}", names.node(*subject))).machine(names.find(*subject))
        }
        Observation::Trusted { subject, incarnation: _ } => {
            told(Kind::Membership, format!("trusts {} again", names.node(*subject)))
                .machine(names.find(*subject))
        }
        Observation::Installed { view, digest: _ } => told(Kind::Membership, format!("acts by {view}")),
        Observation::Expelled { incarnation } => {
            told(Kind::Membership, format!("learns that its {incarnation} was evicted, and joins anew"))
        }
        Observation::Opened { epoch } => {
            told(Kind::Survey, format!("knows who holds what and dispatches in e{}", epoch.0))
        }
        Observation::Allocated { workers } => {
            let workers: Vec<String> =
                workers.iter().map(|(job, workers)| format!("{} {workers}", names.job(*job))).collect();
            told(Kind::Dispatch, format!("workers per job: {}", workers.join(", ")))
        }
        work => self::work(work, names),
    }
}

/// What a node observed of queries and models.
fn work(seen: &Observation, names: &Names) -> Told {
    let about = |kind, query: QueryId, text: String| Told::new(kind, text).queries([query]);
    match seen {
        Observation::Dispatched { query, attempt, worker, incarnation: _, reason } => {
            let text =
                format!("gives {} to {}{}", tried(*query, *attempt), names.node(*worker), dispatch(*reason));
            about(Kind::Dispatch, *query, text).machine(names.find(*worker))
        }
        Observation::Inherited { query, attempt, worker } => {
            let text = format!("takes over {}, held by {}", tried(*query, *attempt), names.node(*worker));
            about(Kind::Survey, *query, text).machine(names.find(*worker))
        }
        Observation::GaveUp { query, attempt, reason } => {
            let text = format!("expects {} no more: {}", tried(*query, *attempt), give_up(*reason));
            about(Kind::Dispatch, *query, text)
        }
        Observation::Arrived { query, attempt, answered } => {
            let what = if *answered { "has the result of" } else { "hears that nothing came of" };
            about(Kind::Result, *query, format!("{what} {}", tried(*query, *attempt)))
        }
        Observation::Accepted { query, attempt, epoch: _ } => {
            about(Kind::Dispatch, *query, format!("takes {}", tried(*query, *attempt)))
        }
        Observation::Refused { query, attempt, epoch: _ } => {
            about(Kind::Dispatch, *query, format!("refuses {}", tried(*query, *attempt)))
        }
        Observation::Dropped { query, attempt } => {
            about(Kind::Dispatch, *query, format!("drops {}", tried(*query, *attempt)))
        }
        Observation::Loading { model } => Told::new(Kind::Engine, format!("loads {model}")),
        Observation::Loaded { model, ok: true } => Told::new(Kind::Engine, format!("has loaded {model}")),
        Observation::Loaded { model, ok: false } => Told::new(Kind::Engine, format!("has no {model}")),
        Observation::Began { query, attempt } => {
            about(Kind::Engine, *query, format!("runs {}", tried(*query, *attempt)))
        }
        Observation::Ended { query, attempt, error: None } => {
            about(Kind::Engine, *query, format!("has ended {}", tried(*query, *attempt)))
        }
        Observation::Ended { query, attempt, error: Some(error) } => {
            about(Kind::Engine, *query, format!("has failed at {}: {error}", tried(*query, *attempt)))
        }
        Observation::EngineDied { reason } => Told::new(Kind::Engine, format!("lost its engine: {reason}")),
        Observation::ChunkHeld { chunk } => Told::new(Kind::Files, format!("holds chunk {chunk:?}")),
        Observation::ChunkDropped { chunk } => Told::new(Kind::Files, format!("drops chunk {chunk:?}")),
        Observation::ChunkLost { chunk } => Told::new(Kind::Files, format!("has lost chunk {chunk:?}")),
        Observation::Placed { name, content: _, copies, live: _ } => {
            let disks = some(u64::from(*copies), "disk holds", "disks hold");
            Told::new(Kind::Files, format!("proposes {name}, of which {disks} every chunk"))
        }
        Observation::Born { .. }
        | Observation::Stood { .. }
        | Observation::Voted { .. }
        | Observation::Led { .. }
        | Observation::SteppedDown { .. }
        | Observation::Seated { .. }
        | Observation::Applied { .. }
        | Observation::Restored { .. }
        | Observation::Suspected { .. }
        | Observation::Trusted { .. }
        | Observation::Installed { .. }
        | Observation::Expelled { .. }
        | Observation::Opened { .. }
        | Observation::Allocated { .. } => unreachable!("handled by the caller"),
    }
}

fn step_down(reason: StepDown) -> &'static str {
    match reason {
        StepDown::Superseded => "there is a later epoch",
        StepDown::NoQuorum => "no majority answers",
        StepDown::HandedOver => "it has handed over",
        StepDown::Unseated => "it lost its seat",
    }
}

fn dispatch(reason: Dispatch) -> &'static str {
    match reason {
        Dispatch::Turn => "",
        Dispatch::Retry => ", again after a failure",
        Dispatch::Suspect => ", because its worker is suspect",
        Dispatch::Gone => ", because its worker is gone",
        Dispatch::Hedge => ", beside another attempt",
        Dispatch::Moved => ", taken from another worker",
    }
}

fn give_up(reason: GiveUp) -> &'static str {
    match reason {
        GiveUp::Gone => "its worker is gone",
        GiveUp::Lost => "its worker does not hold it",
        GiveUp::Settled => "it is settled",
        GiveUp::Withdrawn => "it is taken back",
    }
}

fn seats(seats: &Seats, names: &Names) -> String {
    let voters = names.nodes(seats.voters.iter().copied());
    let learners = if seats.learners.is_empty() {
        String::new()
    } else {
        format!(", learning: {}", names.nodes(seats.learners.iter().copied()))
    };
    let passing = seats.passing.map_or_else(String::new, |Passing { from, to }| {
        format!(", a seat passes from {} to {}", names.node(from), names.node(to))
    });
    format!("seats {}: voters {voters}{passing}{learners}", seats.number)
}

/// What an entry did. Its kind is that of its effect where it shows first, and `log` where others follow.
fn applied(entry: &Entry, changes: &Arc<[Change]>, first: bool, names: &Names) -> Told {
    let index = entry.position.index;
    let (mut kind, mut said, mut counted) = (Kind::Log, Vec::new(), Vec::new());
    let (mut machines, mut jobs, mut queries) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes.iter() {
        match change {
            Change::JobAdded { job, spec } => {
                kind = Kind::Client;
                jobs.push(Arc::clone(&spec.name));
                said.push(format!("{} is {job}", spec.name));
            }
            Change::Recut { job, cut, boundary, batch } => {
                kind = Kind::Client;
                jobs.extend(names.jobs.get(job).cloned());
                said.push(format!("{} has cut {cut} from input {boundary}, batch {batch}", names.job(*job)));
            }
            Change::Counted { query, attempt, worker, .. } => {
                kind = Kind::Result;
                queries.push(*query);
                let by = names.node(*worker);
                counted.push((*query, format!("{query} (e{attempt} {by})")));
            }
            Change::Uncounted { query, attempt, reason } => {
                kind = Kind::Result;
                queries.push(*query);
                said.push(format!("does not count {}: {}", tried(*query, *attempt), uncounted(*reason)));
            }
            Change::JobEnded { job, cancelled } => {
                kind = Kind::Client;
                jobs.extend(names.jobs.get(job).cloned());
                let how = if *cancelled { "is cancelled" } else { "is done" };
                said.push(format!("{} {how}", names.job(*job)));
            }
            Change::JobForgotten { job } => {
                kind = Kind::Client;
                said.push(format!("{} is forgotten", names.job(*job)));
            }
            Change::JobStopped { job } => {
                kind = Kind::Client;
                said.push(format!("{} is stopped", names.job(*job)));
            }
            Change::JobResumed { job } => {
                kind = Kind::Client;
                said.push(format!("{} goes on", names.job(*job)));
            }
            Change::PolicySet { policy } => {
                kind = Kind::Client;
                said.push(format!("the policy is {policy}"));
            }
            Change::Drained { node, drained } => {
                kind = Kind::Client;
                machines.extend(names.find(*node));
                let how = if *drained { "gets no more queries" } else { "works again" };
                said.push(format!("{} {how}", names.node(*node)));
            }
            Change::FilePut { name, version, gone: _ } => {
                kind = Kind::Files;
                said.push(format!("{name} has version {}", version.number));
            }
            Change::FileDeleted { name, gone: _ } => {
                kind = Kind::Files;
                said.push(format!("{name} is deleted"));
            }
            Change::Pinned { job, version } => {
                said.push(format!("{} reads version {} of its file", names.job(*job), version.number));
            }
            Change::Unpinned { job, version: _ } => {
                said.push(format!("{} needs its file no more", names.job(*job)));
            }
            Change::ViewChanged { view, change } => {
                kind = Kind::Membership;
                let joined = change.joined.iter().map(|member| (member.id, format!("+{}", member.name)));
                let gone = change.gone.iter().map(|(id, _)| (*id, format!("-{}", names.node(*id))));
                let mut all: Vec<_> = joined.chain(gone).collect();
                all.sort_by_key(|(id, _)| names.find(*id));
                machines.extend(all.iter().filter_map(|(id, _)| names.find(*id)));
                let all: Vec<String> = all.into_iter().map(|(_, text)| text).collect();
                said.push(format!("{}: {}", view.id(), all.join(" ")));
            }
        }
    }
    if !counted.is_empty() {
        said.insert(0, format!("counts {}", names.list(&counted)));
    }
    if said.is_empty() {
        said.push(match &*entry.payload {
            Payload::Noop => format!("the reign e{} begins", entry.position.epoch.0),
            Payload::Seats(seats) => self::seats(seats, names),
            Payload::Command(_) => "nothing changes".to_owned(),
        });
    }
    let mut told =
        Told::new(if first { kind } else { Kind::Log }, format!("applies {index}: {}", said.join(", ")));
    told.about.machines = machines;
    told.about.jobs = jobs;
    told.about.queries = queries;
    told
}

fn uncounted(reason: Uncounted) -> &'static str {
    match reason {
        Uncounted::Duplicate => "it was counted before",
        Uncounted::Void => "its cut is void",
        Uncounted::NoJob => "its job is gone",
    }
}

/// What a node wants done beside sending; `None` where messages and observations say it already.
pub(super) fn effect(effect: &Effect, names: &Names) -> Option<Told> {
    match effect {
        Effect::Send { .. }
        | Effect::Observe(_)
        | Effect::Chunk(ChunkCommand::Drop { .. } | ChunkCommand::Unstage { .. })
        | Effect::Engine(EngineCommand::Load { .. } | EngineCommand::Infer { .. }) => None,
        Effect::Reply { session, number: _, reply: answer } => {
            let text = format!("→ {}  {}", names.client(*session), reply(answer, names));
            Some(Told::new(Kind::Client, text).job(names.sessions.get(session).cloned()))
        }
        Effect::Persist { token: _, record } => Some(Told::new(Kind::Disk, self::record(record, names))),
        Effect::Engine(EngineCommand::Kill) => Some(Told::new(Kind::Engine, "kills its engine")),
        Effect::Chunk(ChunkCommand::Fetch { chunk, from }) => {
            let from = names.nodes(from.iter().copied());
            Some(Told::new(Kind::Files, format!("fetches chunk {:?} from {from}", chunk.id)))
        }
        Effect::Chunk(ChunkCommand::Stage(stage)) => {
            let text = format!("needs {} for {}", stage.dataset, stage.attempt);
            Some(Told::new(Kind::Files, text))
        }
        Effect::Left => Some(Told::new(Kind::Membership, "has left")),
    }
}

fn record(record: &Record, names: &Names) -> String {
    match record {
        Record::Cluster(_) => "writes the cluster's number".to_owned(),
        Record::Incarnation(incarnation) => format!("writes {incarnation}"),
        Record::Ballot(ballot) => match ballot.vote {
            Some(vote) => format!("writes e{} and its vote for {}", ballot.epoch.0, names.node(vote)),
            None => format!("writes e{}", ballot.epoch.0),
        },
        Record::Entries(written) => format!("writes {}", entries(written, names)),
        Record::Snapshot(snapshot) => {
            format!("writes a snapshot at {}, {} bytes", place(snapshot.last), snapshot.state.len())
        }
        Record::View { view, seats } => format!("writes {} and seats {}", view.id(), seats.number),
    }
}

/// What became of a fault: whom it is about, and what.
pub(super) fn fault(event: &FaultEvent, names: &Names) -> Told {
    let what = match &event.phase {
        FaultPhase::Began => "begins".to_owned(),
        FaultPhase::TookEffect => "takes effect".to_owned(),
        FaultPhase::Ended => "is over".to_owned(),
        FaultPhase::Missed { reason } => format!("cannot be injected: {reason}"),
    };
    let on: Vec<&str> = event.machines.iter().map(|&machine| names.machine(machine)).collect();
    let on = if on.is_empty() { String::new() } else { format!(" on {}", on.join(" ")) };
    let mut told = Told::new(Kind::Fault, format!("{what}{on}")).anything();
    told.about.machines.clone_from(&event.machines);
    told
}

/// A client's side: who, and what.
pub(super) fn client(event: &ClientEvent, names: &Names) -> (String, Told) {
    let (session, text) = match event {
        ClientEvent::Asked { session, number: _, request: asked } => {
            (session, format!("asks: {}", request(asked, names)))
        }
        ClientEvent::Told { session, number: _, reply: answer } => {
            (session, format!("is told: {}", reply(answer, names)))
        }
        ClientEvent::GaveUp { session, number: _ } => {
            (session, "gives up, and will not know whether it was done".to_owned())
        }
    };
    (names.client(*session), Told::new(Kind::Client, text).job(names.sessions.get(session).cloned()))
}
