//! Messages in a few words each.

use super::clients::{reply, request};
use super::told::{Kind, Names, Told};
use crate::base::QueryId;
use crate::cli::text::{duration, some};
use crate::node::{
    Body, ClientMessage, Command, Desk, Entry, Index, LogMessage, MembershipMessage, Payload, Position,
    Progress, Report, StandbyMessage, StoreMessage, WorkMessage,
};

/// What a message says.
pub(super) fn body(body: &Body, names: &Names) -> Told {
    match body {
        Body::Membership(message) => membership(message, names),
        Body::Log(message) => log(message, names),
        Body::Work(message) => work(message, names),
        Body::Client(message) => client(message, names),
        Body::Standby(message) => standby(message, names),
        Body::Store(message) => store(message),
    }
}

fn store(message: &StoreMessage) -> Told {
    let told = |text: String| Told::new(Kind::Files, text);
    match message {
        StoreMessage::Holds(holds) => {
            let held = holds.chunks.iter().filter(|holding| holding.stamp.is_some()).count();
            let chunks = some(held as u64, "chunk", "chunks");
            told(format!("{}: holds {chunks}, and {} not", holds.serial, holds.chunks.len() - held))
        }
        StoreMessage::Noted { serial, .. } => told(format!("knows {serial}")),
        StoreMessage::Tending { .. } => told("sees to it".to_owned()),
        StoreMessage::Seek { job, .. } => told(format!("where are the data of {job}?")),
        StoreMessage::Found(found) => told(match &found.located {
            Some(located) => format!("{} reads version {}", found.job, located.version.number),
            None => format!("{} reads no file", found.job),
        }),
        StoreMessage::Tend(tend) => {
            let fetch = some(tend.fetch.len() as u64, "chunk", "chunks");
            told(format!("shall hold {fetch} more and drop {}", tend.drop.len()))
        }
    }
}

fn membership(message: &MembershipMessage, names: &Names) -> Told {
    use MembershipMessage as M;
    let told = |text: String| Told::new(Kind::Membership, text);
    match message {
        M::Heartbeat { epoch, coordinator, view, incarnation } => {
            let of = coordinator.map_or_else(String::new, |id| format!(" of {}", names.node(id)));
            Told::new(Kind::Heartbeat, format!("heartbeat of {incarnation}: e{}{of}, {view}", epoch.0))
        }
        M::Ping { epoch, coordinator, view, incarnation } => {
            let of = coordinator.map_or_else(String::new, |id| format!(" of {}", names.node(id)));
            Told::new(Kind::Heartbeat, format!("ping of {incarnation}: e{}{of}, {view}", epoch.0))
        }
        M::Alert { subject, incarnation: _, view: _, silent_for, by: _ } => {
            let silent = duration(silent_for.as_secs());
            told(format!("alert: {} silent for {silent}", names.node(*subject))).machine(names.find(*subject))
        }
        M::Join(member) => {
            told(format!("let {} join as {}", member.name, member.incarnation)).machine(names.find(member.id))
        }
        M::Leave { node, incarnation } => {
            told(format!("let {} leave, {incarnation}", names.node(*node))).machine(names.find(*node))
        }
        // Whoever knows nothing newer does not answer.
        M::FetchView { have, seats } => {
            Told::new(Kind::Heartbeat, format!("what is newer than {have} and seats {seats}?"))
        }
        M::Announce(news) => {
            let of = news.coordinator.map_or_else(String::new, |id| format!(" of {}", names.node(id)));
            let (view, seats) = (news.update.target(), news.seats.number);
            told(format!("{view}, seats {seats} in force, e{}{of}", news.epoch.0))
        }
        M::Expelled { incarnation, view } => told(format!("your {incarnation} is not in {view}")),
    }
}

fn log(message: &LogMessage, names: &Names) -> Told {
    use LogMessage as M;
    let vote = |text: String| Told::new(Kind::Election, text);
    let told = |text: String| Told::new(Kind::Log, text);
    match message {
        M::PreVote { epoch, last } => vote(format!("pre-vote e{}? log to {}", epoch.0, place(*last))),
        M::PreVoteReply { epoch, granted: true, .. } => vote(format!("pre-vote e{}: yes", epoch.0)),
        M::PreVoteReply { epoch, granted: false, term, last } => {
            vote(format!("pre-vote e{}: no; in e{}, log to {}", epoch.0, term.0, place(*last)))
        }
        M::Vote { epoch, last, transfer } => {
            let handed = if *transfer { ", handed over to me" } else { "" };
            vote(format!("vote e{}? log to {}{handed}", epoch.0, place(*last)))
        }
        M::VoteReply { epoch, granted } => {
            vote(format!("vote e{}: {}", epoch.0, if *granted { "yes" } else { "no" }))
        }
        M::Append(append) if append.entries.is_empty() => {
            told(format!("append e{}: nothing, commit {}", append.epoch.0, append.commit))
        }
        M::Append(append) => {
            let entries = entries(&append.entries, names);
            told(format!("append e{} {entries}, commit {}", append.epoch.0, append.commit))
                .queries(queries(&append.entries))
        }
        M::AppendReply { epoch: _, round: _, matched: true, index } => told(format!("ack {index}")),
        M::AppendReply { epoch, round: _, matched: false, index } => {
            told(format!("no match; at most up to {index}, e{}", epoch.0))
        }
        M::Fetch { after } => told(format!("what is in the log after {after}?")),
        M::Suffix(suffix) => {
            let what = if suffix.entries.is_empty() {
                "nothing".to_owned()
            } else {
                entries(&suffix.entries, names)
            };
            told(format!("the log goes on: {what}, e{}, commit {}", suffix.epoch.0, suffix.commit))
                .queries(queries(&suffix.entries))
        }
        M::Install { epoch, last, size } => {
            told(format!("take my snapshot at {}, {size} bytes, e{}", place(*last), epoch.0))
        }
        M::FetchPart { last, offset } => told(format!("snapshot at {}, from byte {offset}?", place(*last))),
        M::Part(part) => {
            let end = part.offset + part.bytes.len() as u64;
            told(format!("snapshot at {}, bytes {} to {end} of {}", place(part.last), part.offset, part.size))
        }
        M::TransferNow { epoch } => vote(format!("I hand over e{}: stand now", epoch.0)),
    }
}

fn standby(message: &StandbyMessage, names: &Names) -> Told {
    let told = |text: String| Told::new(Kind::Log, text);
    match message {
        StandbyMessage::Backup(backup) => {
            let whole = backup
                .whole
                .as_ref()
                .map_or_else(String::new, |whole| format!("all up to {}, ", place(whole.snapshot.last)));
            let entries = entries(&backup.entries, names);
            told(format!("backup e{}: {whole}{entries}", backup.epoch.0)).queries(queries(&backup.entries))
        }
        StandbyMessage::Kept { epoch, last } => told(format!("kept up to {}, e{}", place(*last), epoch.0)),
    }
}

fn work(message: &WorkMessage, names: &Names) -> Told {
    match message {
        WorkMessage::Survey { epoch } => {
            Told::new(Kind::Survey, format!("survey e{}: what do you hold?", epoch.0))
        }
        WorkMessage::Desk(message) => desk(message, names),
        WorkMessage::Report(message) => report(message, names),
        WorkMessage::Deposed { epoch } => {
            Told::new(Kind::Survey, format!("you are deposed, it is e{}", epoch.0))
        }
    }
}

/// New orders by name, the others by number: they were named when they were new.
fn desk(desk: &Desk, names: &Names) -> Told {
    let known = desk.keep.len().saturating_sub(desk.orders.len());
    let orders: Vec<(QueryId, String)> = desk
        .orders
        .iter()
        .map(|order| (order.query, super::told::tried(order.query, order.attempt)))
        .collect();
    let what = match (orders.is_empty(), known) {
        (true, 0) => "empty".to_owned(),
        (true, known) => format!("keep {known}"),
        (false, 0) => format!("run {}", names.list(&orders)),
        (false, known) => format!("run {}, keep {known}", names.list(&orders)),
    };
    Told::new(Kind::Dispatch, format!("desk {}: {what}", desk.version))
        .queries(orders.into_iter().map(|(query, _)| query))
}

/// Results by name, what runs by name, the rest by number.
fn report(report: &Report, names: &Names) -> Told {
    let (mut ended, mut running, mut waiting) = (Vec::new(), Vec::new(), 0);
    for held in &report.held {
        match &held.progress {
            Progress::Waiting => waiting += 1,
            Progress::Running => running.push((held.query, held.query.to_string())),
            Progress::Ended { .. } => {
                ended.push((held.query, super::told::tried(held.query, held.attempt)));
            }
        }
    }
    let mut parts = Vec::new();
    if !ended.is_empty() {
        parts.push(format!("ended {}", names.list(&ended)));
    }
    if !running.is_empty() {
        parts.push(format!("runs {}", names.list(&running)));
    }
    if waiting > 0 {
        parts.push(format!("{waiting} wait"));
    }
    if parts.is_empty() {
        parts.push("holds nothing".to_owned());
    }
    let kind = if ended.is_empty() { Kind::Dispatch } else { Kind::Result };
    Told::new(kind, format!("report: {}", parts.join(", ")))
        .queries(ended.into_iter().map(|(query, _)| query))
}

fn client(message: &ClientMessage, names: &Names) -> Told {
    let told = |session, text: String| {
        let job = names.sessions.get(session).cloned();
        Told::new(Kind::Client, format!("{}: {text}", names.client(*session))).job(job)
    };
    match message {
        ClientMessage::Forward { session, number: _, request: asked } => told(session, request(asked, names)),
        ClientMessage::Answer { session, number: _, reply: answer } => told(session, reply(answer, names)),
    }
}

/// A place in the log with its term: `e4 #120`.
pub(super) fn place(position: Position) -> String {
    format!("e{} {}", position.epoch.0, position.index)
}

/// The places of entries and what they say: `#120..#123 (1.0.17, 1.0.18)`.
pub(super) fn entries(entries: &[Entry], names: &Names) -> String {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return "nothing".to_owned() };
    let (first, last) = (first.position.index, last.position.index);
    let places = if first == last { first.to_string() } else { format!("{first}..{last}") };
    let completions: Vec<(QueryId, String)> =
        queries(entries).map(|query| (query, query.to_string())).collect();
    let others: Vec<String> = entries.iter().filter_map(|entry| other(&entry.payload, names)).collect();
    let mut said = others;
    if said.len() > 3 {
        said = vec![some(said.len() as u64, "other entry", "other entries")];
    }
    if !completions.is_empty() {
        said.push(names.list(&completions));
    }
    format!("{places} ({})", said.join(", "))
}

/// The queries that these entries complete.
pub(super) fn queries(entries: &[Entry]) -> impl Iterator<Item = QueryId> {
    entries
        .iter()
        .flat_map(|entry| match &*entry.payload {
            Payload::Command(Command::Complete(completions)) => completions.as_slice(),
            Payload::Noop
            | Payload::Seats(_)
            | Payload::Command(Command::ChangeView(_) | Command::Request { .. }) => &[],
        })
        .map(|completion| completion.query)
}

/// What an entry says that completes no queries.
fn other(payload: &Payload, names: &Names) -> Option<String> {
    match payload {
        Payload::Noop => Some("new reign".to_owned()),
        Payload::Seats(seats) => Some(format!("seats {}", seats.number)),
        Payload::Command(Command::ChangeView(_)) => Some("view change".to_owned()),
        Payload::Command(Command::Request { session: _, number: _, request: asked }) => {
            Some(request(asked, names))
        }
        Payload::Command(Command::Complete(_)) => None,
    }
}

/// The commit index that an append carries when it brings no entries.
pub(super) fn bare_commit(body: &Body) -> Option<Index> {
    match body {
        Body::Log(LogMessage::Append(append)) if append.entries.is_empty() => Some(append.commit),
        Body::Log(_)
        | Body::Membership(_)
        | Body::Work(_)
        | Body::Client(_)
        | Body::Standby(_)
        | Body::Store(_) => None,
    }
}
