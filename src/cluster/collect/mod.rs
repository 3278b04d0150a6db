//! What happened in a cluster that was started by hand: the diaries of its nodes, put together into one history.
//!
//! Each member is asked for its clock (`Ask::Clock`, many times, of which the quickest counts), for what there is of its diary
//! (`Ask::Shelf`), and for the files of it that reach back far enough, piece by piece (`Ask::Diary`). Their times are brought onto
//! this machine's clock, and corrected where an effect would come before its cause (`order`).
//!
//! Such a history begins in the midst of things. A process that ran then is up at time zero; what a node did before is not told. The
//! end of a process is known by the beginning of its next one alone, and stands at the last moment at which it said something.

mod account;
mod order;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quinn::Connection;

use super::clock;
use super::diary::{Note, Reader, named};
use super::lending::{Shelf, Volume};
use super::net::wire::{Ask, Told};
use super::{Client, ClientError};
use crate::base::{NodeId, Span};
use crate::history::{Change, Observation, Record, What};
pub use account::Account;
use account::whole;

/// Round trips by which the offset of a clock is estimated; the quickest counts.
const TRIPS: u32 = 20;
/// The clock of a machine that started anew counts from zero again. Two files of one diary belong to the same start when the time
/// between them is the same by the machine's own clock and by the one that people set, up to this.
const SET_CLOCK_MAX: i128 = 60_000_000_000;

/// Why nothing could be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Nobody says who belongs to the cluster.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was fetched cannot be kept or read.
    #[error("what a node observed: {0}")]
    Diary(#[from] io::Error),
    /// None of the members could be asked.
    #[error("no node told what it observed: {}", .0.join("; "))]
    Nobody(Vec<String>),
    /// It was stopped before everything was there.
    #[error("stopped before everything was collected")]
    Stopped,
}

/// A node that told what it observed.
#[derive(Clone, Debug)]
pub struct Source {
    /// The node.
    pub id: NodeId,
    /// Its name, which no other has.
    pub name: Arc<str>,
    /// Its kind of machine.
    pub kind: Arc<str>,
    /// Whether it takes queries.
    pub worker: bool,
    /// How far its clock is ahead of that of the machine that collects, in nanoseconds; 0 when it may be the same clock.
    pub offset_ns: i128,
    /// How far the offset may be from the truth: half of the quickest round trip.
    pub error: Span,
    /// By how much its times were moved so that no effect comes before its cause, in nanoseconds.
    pub moved_ns: i128,
    /// Its settings and models.
    settings: Arc<str>,
}

/// Everything that was collected.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The nodes, in order of their names; the machines of the records are places in this list.
    pub nodes: Vec<Source>,
    /// Members that could not be asked: their names, and why not.
    pub missing: Vec<(Arc<str>, String)>,
    /// Whether nodes that belonged to the cluster told nothing, be it that they are gone.
    pub lacks_nodes: bool,
    /// What happened, with times since the beginning.
    pub records: Vec<Record>,
    /// How long the time is that it is about.
    pub lasted: Span,
}

/// Whom to ask: its identity if that is known, its name, and where it lives or why nobody knows.
type Wanted = (Option<NodeId>, Arc<str>, Result<SocketAddr, String>);

/// What one node said, with times by its own clock.
struct Diarist {
    source: Source,
    /// When it was asked.
    asked: i128,
    /// The earliest time from which on everything is told.
    complete: i128,
    happened: Vec<(i128, What)>,
}

/// Collects what the members of a cluster observed during the last `since`. `stop` is asked now and then whether to give up.
pub fn collect(client: &mut Client, since: Span, stop: &dyn Fn() -> bool) -> Result<Collected, CollectError> {
    let standing = client.standing()?;
    let members = standing.members.iter().map(|member| {
        let address = member.address.parse().map_err(|_| format!("{} is no address", member.address));
        (Some(member.id), Arc::clone(&member.name), address)
    });
    let mut wanted: Vec<Wanted> = members.collect();
    // Whoever was named and belongs no more has something to tell all the same.
    for address in client.nodes() {
        if wanted.iter().all(|(_, _, known)| *known != Ok(address)) {
            wanted.push((None, address.to_string().into(), Ok(address)));
        }
    }
    let folder = tempfile::tempdir()?;
    let (mut told, mut missing) = (Vec::new(), Vec::new());
    for (id, name, address) in wanted {
        if stop() {
            return Err(CollectError::Stopped);
        }
        let place = folder.path().join(told.len().to_string());
        match address.and_then(|at| fetched(client, at, id, since, &place, stop)) {
            // A node may have been named by one address and be a member by another.
            Ok((source, ..)) if told.iter().any(|other: &Diarist| other.source.id == source.id) => {}
            Ok((source, asked, volumes)) => told.push(read(source, asked, &volumes, &place)?),
            Err(why) => missing.push((name, why)),
        }
    }
    if stop() {
        return Err(CollectError::Stopped);
    }
    if told.is_empty() {
        let why = missing.into_iter().map(|(name, why)| format!("{name}: {why}"));
        return Err(CollectError::Nobody(why.collect()));
    }
    Ok(merged(told, missing, since))
}

/// Asks one node for its clock and its diary, of which it puts what is needed into `place`. Says when it was asked, by its own clock.
fn fetched(
    client: &Client,
    at: SocketAddr,
    id: Option<NodeId>,
    since: Span,
    place: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<(Source, i128, Vec<Volume>), String> {
    let mut connection: Option<Connection> = None;
    let mut ask = |ask: &Ask| client.ask_one(&mut connection, at, ask);
    let (mut offset_ns, mut error) = (0, i128::MAX);
    for _ in 0..TRIPS {
        let began = i128::from(clock::now().0);
        let Told::Clock(shown) = ask(&Ask::Clock)? else { return Err(astray()) };
        let trip = i128::from(clock::now().0) - began;
        if trip / 2 < error {
            (offset_ns, error) = (i128::from(shown.0) - began - trip / 2, trip / 2);
        }
    }
    // Clocks of different machines count from different beginnings: what agrees this well is the same clock.
    if offset_ns.abs() <= error {
        (offset_ns, error) = (0, 0);
    }
    let Told::Shelf(shelf) = ask(&Ask::Shelf)? else { return Err(astray()) };
    let Shelf { node, name, kind, worker, settings, now, volumes } = *shelf;
    if id.is_some_and(|id| id != node) {
        return Err(format!("another node, {name}, lives at its address"));
    }
    let volumes = reaching(volumes, i128::from(now.0) - i128::from(since.0));
    fs::create_dir_all(place).map_err(|error| error.to_string())?;
    for Volume { number, bytes, .. } in &volumes {
        let mut file = File::create(place.join(named(*number))).map_err(|error| error.to_string())?;
        let mut have = 0;
        while have < *bytes && !stop() {
            let Told::Diary(piece) = ask(&Ask::Diary { number: *number, from: have })? else {
                return Err(astray());
            };
            let piece =
                piece.filter(|piece| !piece.is_empty()).ok_or("its diary vanished while it was read")?;
            let wanted = piece.len().min((*bytes - have) as usize);
            file.write_all(&piece[..wanted]).map_err(|error| error.to_string())?;
            have += wanted as u64;
        }
    }
    let error = Span(u64::try_from(error).unwrap_or(u64::MAX));
    let source = Source { id: node, name, kind, worker, offset_ns, error, moved_ns: 0, settings };
    Ok((source, i128::from(now.0), volumes))
}

fn astray() -> String {
    "an answer to another question".to_owned()
}

/// The files that are needed to know everything from `from` on, as far as they are there: of one start of the machine, without which
/// times mean nothing.
fn reaching(mut volumes: Vec<Volume>, from: i128) -> Vec<Volume> {
    let at = |volume: &Volume| i128::from(volume.head.at.0);
    let unix = |volume: &Volume| i128::from(volume.head.unix);
    let mut first = volumes.len().saturating_sub(1);
    while first > 0 && at(&volumes[first]) > from {
        let (older, newer) = (&volumes[first - 1], &volumes[first]);
        let passed = at(newer) - at(older);
        if passed < 0 || (unix(newer) - unix(older) - passed).abs() > SET_CLOCK_MAX {
            break;
        }
        first -= 1;
    }
    volumes.drain(..first);
    volumes
}

/// What a fetched diary says.
fn read(source: Source, asked: i128, volumes: &[Volume], place: &Path) -> io::Result<Diarist> {
    let (id, mut happened, mut life, mut last) = (source.id, Vec::new(), None, 0);
    Reader::new(place).read(|note| match note {
        Note::Head(head) => {
            let at = i128::from(head.at.0);
            if life != Some(head.life) {
                if life.is_some() {
                    happened.push((last, What::Down(id)));
                }
                happened.push((at, What::Up(id)));
                life = Some(head.life);
            }
            last = at;
        }
        Note::Step { at, observed } => {
            last = i128::from(at.0);
            happened.extend(observed.into_iter().map(|observation| (last, What::Node(observation))));
        }
    })?;
    // What earlier files told is not known.
    let complete = match volumes.first() {
        Some(first) if first.number > 1 => i128::from(first.head.at.0),
        Some(_) => i128::MIN,
        None => asked,
    };
    Ok(Diarist { source, asked, complete, happened })
}

/// One history of what all of them said.
fn merged(mut told: Vec<Diarist>, missing: Vec<(Arc<str>, String)>, since: Span) -> Collected {
    told.sort_by(|one, other| (&one.source.name, one.source.id).cmp(&(&other.source.name, other.source.id)));
    for Diarist { source, asked, complete, happened } in &mut told {
        let offset = source.offset_ns;
        *asked -= offset;
        *complete = complete.saturating_sub(offset);
        for (at, _) in happened {
            *at -= offset;
        }
    }
    let moves = order::corrections(&told.iter().map(|one| &one.happened[..]).collect::<Vec<_>>());
    for (Diarist { source, asked, complete, happened }, by) in told.iter_mut().zip(moves) {
        source.moved_ns = by;
        *asked += by;
        *complete = complete.saturating_add(by);
        for (at, _) in happened {
            *at += by;
        }
    }
    // Up to here all were asked, and from there on all tell everything.
    let until = told.iter().map(|one| one.asked).min().unwrap_or_default();
    let earliest = told.iter().filter_map(|one| one.happened.first()).map(|(at, _)| *at).min();
    let from = (until - i128::from(since.0)).max(earliest.unwrap_or(until));
    let from = told.iter().map(|one| one.complete).fold(from, i128::max).min(until);
    let mut all: Vec<(i128, u32, What)> = Vec::new();
    for (machine, one) in (0..).zip(&mut told) {
        let split = one.happened.partition_point(|(at, _)| *at < from);
        let rest = one.happened.split_off(split);
        let mut before = one.happened.iter().rev();
        let runs = before.find_map(|(_, what)| match what {
            What::Up(id) => Some(Some(*id)),
            What::Down(_) => Some(None),
            _ => None,
        });
        all.extend(runs.flatten().map(|id| (from, machine, What::Up(id))));
        let within = rest.into_iter().filter(|(at, _)| *at <= until);
        all.extend(within.map(|(at, what)| (at, machine, what)));
    }
    all.sort_by_key(|(at, ..)| *at);
    let records: Vec<Record> = (all.into_iter())
        .map(|(at, machine, what)| Record { at: whole(at - from), machine: Some(machine), what })
        .collect();
    let mut nodes: Vec<Source> = told.into_iter().map(|one| one.source).collect();
    let ids: BTreeSet<NodeId> = nodes.iter().map(|source| source.id).collect();
    let lacks_nodes = !missing.is_empty() || records.iter().any(|record| names_others(&record.what, &ids));
    // Names tell nodes apart in what is written, also where people called two the same.
    for place in 0..nodes.len() {
        let name = Arc::clone(&nodes[place].name);
        if nodes.iter().filter(|other| other.name == name).count() > 1 {
            nodes[place].name = format!("{name} {}", nodes[place].id).into();
        }
    }
    Collected { nodes, missing, lacks_nodes, records, lasted: Span(whole(until - from).0) }
}

/// Whether a node has a part in this that is not among those who told what they observed.
fn names_others(what: &What, told: &BTreeSet<NodeId>) -> bool {
    let other = |id: &NodeId| !told.contains(id);
    match what {
        What::Node(Observation::Dispatched { worker, .. } | Observation::Inherited { worker, .. }) => {
            other(worker)
        }
        What::Node(Observation::Voted { candidate, .. }) => other(candidate),
        What::Node(Observation::Applied { changes, .. }) => changes.iter().any(|change| match change {
            Change::ViewChanged { view, change } => {
                let gone = change.gone.iter().map(|(id, _)| id);
                view.members().iter().map(|member| &member.id).chain(gone).any(other)
            }
            Change::Counted { worker, .. } => other(worker),
            _ => false,
        }),
        _ => false,
    }
}
