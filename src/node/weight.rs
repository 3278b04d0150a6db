//! About how many bytes things take while they wait in queues, so that these can have a limit in bytes. Counting costs little: it
//! looks at lengths, never at bytes.

use super::entry::{Answer, Command, Entry, Inputs, JobSpec, Outcome, Payload, Seats};
use super::io::{EngineEvent, Input};
use super::message::{
    Body, ClientMessage, Fetch, LogMessage, MembershipMessage, Message, Progress, Reply, Request,
    StandbyMessage, StoreMessage, WorkMessage,
};
use super::question::{Counted, Reading};
use super::update::ViewUpdate;
use super::view::{Member, View, ViewChange};
use super::{Effect, Observation, Record, Snapshot};

/// What anything takes that has no large parts.
const SMALL: usize = 64;
/// The name and the length of a chunk.
const CHUNK: usize = 36;

impl Message {
    /// About how many bytes it takes, with everything that it shares; at least 64.
    pub fn weight(&self) -> usize {
        SMALL
            + match &self.body {
                Body::Membership(message) => membership(message),
                Body::Log(message) => log(message),
                Body::Work(message) => work(message),
                Body::Client(ClientMessage::Forward { request, .. }) => self::request(request),
                Body::Client(ClientMessage::Answer { reply, .. }) => self::reply(reply),
                Body::Standby(StandbyMessage::Backup(backup)) => {
                    let whole = backup.whole.as_ref();
                    entries(&backup.entries) + whole.map_or(0, |whole| snapshot(&whole.snapshot))
                }
                Body::Standby(StandbyMessage::Kept { .. }) => 0,
                Body::Store(message) => store(message),
            }
    }

    /// Whether it moves a large state in parts, which must not hold up anything else.
    pub fn is_bulk(&self) -> bool {
        match &self.body {
            Body::Log(LogMessage::Part(_)) => true,
            Body::Standby(StandbyMessage::Backup(backup)) => backup.whole.is_some(),
            Body::Log(_)
            | Body::Membership(_)
            | Body::Work(_)
            | Body::Client(_)
            | Body::Standby(_)
            | Body::Store(_) => false,
        }
    }
}

impl Request {
    /// About how many bytes it takes, with everything that it shares; at least 64.
    pub fn weight(&self) -> usize {
        SMALL + request(self)
    }
}

impl Input {
    /// About how many bytes it takes, with everything that it shares; at least 64.
    pub fn weight(&self) -> usize {
        match self {
            Input::Receive { message, .. } => message.weight(),
            Input::Client { request, .. } => SMALL + self::request(request),
            Input::Engine(EngineEvent::Finished { answer, .. }) => SMALL + self::answer(answer),
            Input::Wake | Input::Engine(_) | Input::Persisted(_) | Input::Leave | Input::Chunk(_) => SMALL,
        }
    }
}

impl Effect {
    /// About how many bytes it takes, with everything that it shares; at least 64.
    pub fn weight(&self) -> usize {
        match self {
            Effect::Send { message, .. } => message.weight(),
            Effect::Reply { reply, .. } => SMALL + self::reply(reply),
            Effect::Persist { record, .. } => SMALL + self::record(record),
            Effect::Observe(Observation::Applied { entry, changes, .. }) => {
                self::entry(entry) + SMALL * changes.len()
            }
            Effect::Observe(_) | Effect::Engine(_) | Effect::Left | Effect::Chunk(_) => SMALL,
        }
    }
}

fn membership(message: &MembershipMessage) -> usize {
    match message {
        MembershipMessage::Join(member) => self::member(member),
        MembershipMessage::Announce(news) => {
            let update = match &news.update {
                ViewUpdate::Whole(view) => self::view(view),
                ViewUpdate::Step { change, .. } => self::change(change),
            };
            update + seats(&news.seats)
        }
        MembershipMessage::Heartbeat { .. }
        | MembershipMessage::Alert { .. }
        | MembershipMessage::Leave { .. }
        | MembershipMessage::FetchView { .. }
        | MembershipMessage::Expelled { .. }
        | MembershipMessage::Ping { .. } => 0,
    }
}

fn log(message: &LogMessage) -> usize {
    match message {
        LogMessage::Append(append) => entries(&append.entries),
        LogMessage::Suffix(suffix) => entries(&suffix.entries),
        LogMessage::Part(part) => part.bytes.len(),
        LogMessage::PreVote { .. }
        | LogMessage::PreVoteReply { .. }
        | LogMessage::Vote { .. }
        | LogMessage::VoteReply { .. }
        | LogMessage::AppendReply { .. }
        | LogMessage::Fetch { .. }
        | LogMessage::Install { .. }
        | LogMessage::FetchPart { .. }
        | LogMessage::TransferNow { .. } => 0,
    }
}

fn work(message: &WorkMessage) -> usize {
    match message {
        WorkMessage::Desk(desk) => 16 * desk.keep.len() + 2 * SMALL * desk.orders.len(),
        WorkMessage::Report(report) => {
            let held = report.held.iter().map(|held| match &held.progress {
                Progress::Ended { outcome: Outcome::Answered(answer), .. } => SMALL + self::answer(answer),
                Progress::Ended { outcome: Outcome::Failed(reason), .. } => SMALL + reason.len(),
                Progress::Ended { outcome: Outcome::Refused, .. } | Progress::Waiting | Progress::Running => {
                    SMALL
                }
            });
            held.sum::<usize>() + report.warm.iter().map(|model| 16 + model.len()).sum::<usize>()
        }
        WorkMessage::Survey { .. } | WorkMessage::Deposed { .. } => 0,
    }
}

fn store(message: &StoreMessage) -> usize {
    match message {
        StoreMessage::Holds(holds) => (CHUNK + 8) * holds.chunks.len(),
        StoreMessage::Tend(tend) => {
            let fetch = |fetch: &Fetch| CHUNK + 8 * fetch.from.len();
            tend.fetch.iter().map(fetch).sum::<usize>() + (CHUNK + 8) * tend.drop.len()
        }
        StoreMessage::Found(found) => found.located.as_ref().map_or(0, |located| {
            let holders = located.holders.iter().map(|holders| 24 + 8 * holders.len()).sum::<usize>();
            holders + CHUNK * located.version.content.chunks.len()
        }),
        StoreMessage::Noted { .. } | StoreMessage::Tending { .. } | StoreMessage::Seek { .. } => 0,
    }
}

fn request(request: &Request) -> usize {
    match request {
        Request::Submit(spec) => job(spec),
        Request::SetPolicy(name) | Request::Delete { name, .. } => SMALL + name.len(),
        Request::Put(put) => SMALL + put.name.len() + CHUNK * put.content.chunks.len(),
        _ => SMALL,
    }
}

fn reply(reply: &Reply) -> usize {
    match reply {
        Reply::Jobs(jobs) => jobs.iter().map(|status| job(&status.spec)).sum(),
        Reply::Read(reading) => SMALL + self::reading(reading),
        _ => SMALL,
    }
}

fn reading(reading: &Reading) -> usize {
    match reading {
        Reading::Job(report) => job(&report.status.spec) + SMALL * report.failures.len(),
        Reading::Results(page) => {
            let reasons = |query: &Counted| SMALL * query.failed.len();
            page.queries.iter().map(|query| SMALL + query.predictions.len() + reasons(query)).sum()
        }
        Reading::Stats(stats) => 2 * SMALL * stats.jobs.len(),
        Reading::Assignments(workers) => 2 * SMALL * workers.len(),
        Reading::Cluster(overview) => SMALL * overview.seats.len(),
        Reading::Files { files, .. } => files.iter().map(|file| SMALL + file.name.len()).sum(),
        Reading::Versions(versions) => SMALL * versions.len(),
        Reading::Located(located) => {
            let holders: usize = located.holders.iter().map(|holders| 8 * holders.len()).sum();
            holders + CHUNK * located.version.content.chunks.len()
        }
        Reading::Shelves(shelves) => 2 * SMALL * shelves.len(),
    }
}

fn job(spec: &JobSpec) -> usize {
    let inputs = match &spec.inputs {
        Inputs::Range { dataset, .. } => dataset.len(),
        Inputs::Names(names) => names.iter().map(|name| 32 + name.len()).sum(),
    };
    2 * SMALL + spec.name.len() + spec.model.len() + inputs
}

fn answer(answer: &Answer) -> usize {
    answer.predictions.len() + answer.failed.iter().map(|failure| 32 + failure.reason.len()).sum::<usize>()
}

fn entries(entries: &[Entry]) -> usize {
    entries.iter().map(entry).sum()
}

fn entry(entry: &Entry) -> usize {
    let payload = match &*entry.payload {
        Payload::Noop => 0,
        Payload::Seats(seats) => self::seats(seats),
        Payload::Command(Command::ChangeView(change)) => self::change(change),
        Payload::Command(Command::Request { request, .. }) => self::request(request),
        Payload::Command(Command::Complete(ended)) => {
            ended.iter().map(|one| SMALL + answer(&one.answer)).sum()
        }
    };
    SMALL + payload
}

fn record(record: &Record) -> usize {
    match record {
        Record::Entries(written) => entries(written),
        Record::Snapshot(written) => snapshot(written),
        Record::View { view, seats } => self::view(view) + self::seats(seats),
        Record::Cluster(_) | Record::Incarnation(_) | Record::Ballot(_) => 0,
    }
}

fn snapshot(snapshot: &Snapshot) -> usize {
    snapshot.state.len() + seats(&snapshot.seats)
}

fn view(view: &View) -> usize {
    // The rings take about as much as the members.
    2 * view.members().iter().map(member).sum::<usize>()
}

fn member(member: &Member) -> usize {
    SMALL + member.name.len() + member.kind.len() + member.address.len()
}

fn change(change: &ViewChange) -> usize {
    change.joined.iter().map(member).sum::<usize>() + 16 * change.gone.len()
}

fn seats(seats: &Seats) -> usize {
    8 * (seats.voters.len() + seats.learners.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Append, Completion, Index, Part, Position};
    use super::*;
    use crate::base::{AttemptId, ClusterId, Epoch, JobId, NodeId, QueryId, Time};

    fn message(body: Body) -> Message {
        Message { cluster: ClusterId(1), body }
    }

    #[test]
    fn large_messages_weigh_about_what_they_take_on_the_wire() {
        let answer = Answer { inputs: 500, predictions: vec![7; 30_000].into(), failed: [].into() };
        let attempt = AttemptId { epoch: Epoch(1), serial: 1 };
        let query = QueryId { job: JobId(1), cut: 0, number: 1 };
        let ended = Completion { query, attempt, worker: NodeId::new(1), answer };
        let payload = Arc::new(Payload::Command(Command::Complete(vec![ended; 3])));
        let position = Position { epoch: Epoch(1), index: Index(1) };
        let entry = Entry { position, at: Time(1), payload };
        let entries = vec![entry; 4];
        let append = Append {
            epoch: Epoch(1),
            round: 1,
            time: Time(1),
            previous: position,
            entries,
            commit: Index(0),
        };
        let part =
            Part { epoch: Epoch(1), last: position, size: 300_000, offset: 0, bytes: vec![1; 262_144] };
        let (append, part) = (LogMessage::Append(Arc::new(append)), LogMessage::Part(Arc::new(part)));
        for (body, is_bulk) in [(append, false), (part, true)] {
            let message = message(Body::Log(body));
            let (weight, bytes) = (message.weight(), postcard::to_stdvec(&message).unwrap().len());
            assert!(weight.abs_diff(bytes) < bytes / 50, "{weight} for {bytes} bytes");
            assert_eq!(message.is_bulk(), is_bulk);
        }
    }

    #[test]
    fn nothing_weighs_nothing() {
        assert_eq!(message(Body::Log(LogMessage::TransferNow { epoch: Epoch(1) })).weight(), SMALL);
        assert_eq!(Input::Wake.weight(), SMALL);
        assert_eq!(Effect::Left.weight(), SMALL);
    }
}
