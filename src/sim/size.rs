//! How large a message would be on the wire, roughly: what a limited bandwidth is divided by.

use crate::node::{
    Answer, Body, ClientMessage, Command, Entry, Held, Inputs, JobSpec, Located, LogMessage,
    MembershipMessage, Message, Outcome, Payload, Progress, Reading, Reply, Request, StandbyMessage,
    StoreMessage, ViewChange, ViewUpdate, Whole, WorkMessage,
};

/// Frame, authentication and addresses of any message.
const FRAME: u64 = 80;
/// A member with its names.
const MEMBER: u64 = 48;
/// The name of a chunk and its length.
const CHUNK: u64 = 36;

/// The estimated size of a message in bytes.
pub(super) fn of_message(message: &Message) -> u64 {
    FRAME
        + match &message.body {
            Body::Membership(MembershipMessage::Announce(announcement)) => {
                let update = match &announcement.update {
                    ViewUpdate::Whole(view) => view.members().len() as u64 * MEMBER,
                    ViewUpdate::Step { change, .. } => of_change(change),
                };
                update + 16 * (announcement.seats.voters.len() + announcement.seats.learners.len()) as u64
            }
            Body::Membership(MembershipMessage::Join(_)) => MEMBER,
            Body::Membership(_)
            | Body::Store(
                StoreMessage::Noted { .. } | StoreMessage::Tending { .. } | StoreMessage::Seek { .. },
            ) => 24,
            Body::Log(LogMessage::Append(append)) => 48 + of_entries(&append.entries),
            Body::Log(LogMessage::Suffix(suffix)) => 32 + of_entries(&suffix.entries),
            Body::Log(LogMessage::Part(part)) => 48 + part.bytes.len() as u64,
            Body::Log(_) | Body::Standby(StandbyMessage::Kept { .. }) => 32,
            Body::Standby(StandbyMessage::Backup(backup)) => {
                let whole = |whole: &Whole| (whole.snapshot.state.len() + 8 * whole.seniority.len()) as u64;
                48 + backup.whole.as_ref().map_or(0, whole) + of_entries(&backup.entries)
            }
            Body::Work(WorkMessage::Desk(desk)) => {
                32 + 12 * desk.keep.len() as u64 + 80 * desk.orders.len() as u64
            }
            Body::Work(WorkMessage::Report(report)) => 32 + report.held.iter().map(of_held).sum::<u64>(),
            Body::Work(_) => 8,
            Body::Store(StoreMessage::Holds(holds)) => 32 + 44 * holds.chunks.len() as u64,
            Body::Store(StoreMessage::Found(found)) => 32 + found.located.as_ref().map_or(0, of_located),
            Body::Store(StoreMessage::Tend(tend)) => 32 + 52 * (tend.fetch.len() + tend.drop.len()) as u64,
            Body::Client(ClientMessage::Forward { request, .. }) => of_request(request),
            Body::Client(ClientMessage::Answer { reply, .. }) => match &**reply {
                Reply::Jobs(jobs) => jobs.iter().map(|job| 32 + of_spec(&job.spec)).sum(),
                Reply::Read(reading) => of_reading(reading),
                _ => 32,
            },
        }
}

fn of_entries(entries: &[Entry]) -> u64 {
    entries.iter().map(of_entry).sum()
}

fn of_entry(entry: &Entry) -> u64 {
    24 + match &*entry.payload {
        Payload::Noop => 0,
        Payload::Seats(seats) => 10 * (seats.voters.len() + seats.learners.len()) as u64,
        Payload::Command(Command::ChangeView(change)) => of_change(change),
        Payload::Command(Command::Request { request, .. }) => of_request(request),
        Payload::Command(Command::Complete(completions)) => {
            completions.iter().map(|completion| 40 + of_answer(&completion.answer)).sum()
        }
    }
}

fn of_change(change: &ViewChange) -> u64 {
    MEMBER * change.joined.len() as u64 + 12 * change.gone.len() as u64
}

fn of_held(held: &Held) -> u64 {
    32 + match &held.progress {
        Progress::Waiting | Progress::Running | Progress::Ended { outcome: Outcome::Refused, .. } => 0,
        Progress::Ended { outcome: Outcome::Answered(answer), .. } => of_answer(answer),
        Progress::Ended { outcome: Outcome::Failed(reason), .. } => reason.len() as u64,
    }
}

fn of_answer(answer: &Answer) -> u64 {
    let reasons: usize = answer.failed.iter().map(|failure| 4 + failure.reason.len()).sum();
    (answer.predictions.len() + reasons) as u64
}

fn of_reading(reading: &Reading) -> u64 {
    32 + match reading {
        Reading::Job(report) => of_spec(&report.status.spec) + 32 * report.failures.len() as u64,
        Reading::Results(page) => page.queries.iter().map(|query| 24 + query.predictions.len() as u64).sum(),
        Reading::Stats(stats) => 128 * stats.jobs.len() as u64,
        Reading::Assignments(workers) => 96 * workers.len() as u64,
        Reading::Cluster(standing) => 32 * standing.seats.len() as u64,
        Reading::Files { files, .. } => files.iter().map(|file| 32 + file.name.len() as u64).sum(),
        Reading::Versions(versions) => 32 * versions.len() as u64,
        Reading::Located(located) => of_located(located),
        Reading::Shelves(shelves) => 48 * shelves.len() as u64,
    }
}

fn of_located(located: &Located) -> u64 {
    let holders: usize = located.holders.iter().map(Vec::len).sum();
    8 * holders as u64 + CHUNK * located.version.content.chunks.len() as u64
}

fn of_request(request: &Request) -> u64 {
    24 + match request {
        Request::Submit(spec) => of_spec(spec),
        Request::Put(put) => put.name.len() as u64 + CHUNK * put.content.chunks.len() as u64,
        _ => 0,
    }
}

fn of_spec(spec: &JobSpec) -> u64 {
    let names: usize = match &spec.inputs {
        Inputs::Range { .. } => 24,
        Inputs::Names(names) => names.iter().map(|name| name.len() + 1).sum(),
    };
    (names + spec.name.len() + spec.model.len()) as u64 + 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ClusterId, Epoch, Incarnation, ViewId};
    use crate::node::{Append, Completion, Index, Part, Position};

    #[test]
    fn a_heartbeat_is_small_and_bulk_counts_its_bytes() {
        let sized = |body| of_message(&Message { cluster: ClusterId(1), body });
        let heartbeat = MembershipMessage::Heartbeat {
            epoch: Epoch(1),
            coordinator: None,
            view: ViewId(1),
            incarnation: Incarnation(1),
        };
        assert!(sized(Body::Membership(heartbeat)) < 200);
        let bytes = vec![0; 100_000];
        let part = Part { epoch: Epoch(1), last: Position::default(), size: 1 << 20, offset: 0, bytes };
        assert!(sized(Body::Log(LogMessage::Part(part.into()))) > 100_000);
        let answer = Answer { inputs: 1000, predictions: vec![7; 4000].into(), failed: [].into() };
        let completion = Completion {
            query: crate::base::QueryId { job: crate::base::JobId(1), cut: 0, number: 0 },
            attempt: crate::base::AttemptId { epoch: Epoch(1), serial: 1 },
            worker: crate::base::NodeId::new(1),
            answer,
        };
        let entry = Entry {
            position: Position { epoch: Epoch(1), index: Index(1) },
            at: crate::base::Time::ZERO,
            payload: Payload::Command(Command::Complete(vec![completion])).into(),
        };
        let append = Append {
            epoch: Epoch(1),
            round: 1,
            time: crate::base::Time::ZERO,
            previous: Position::default(),
            entries: vec![entry],
            commit: Index(0),
        };
        assert!(sized(Body::Log(LogMessage::Append(append.into()))) > 4000);
    }
}
