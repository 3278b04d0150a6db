//! What each kind of message, cause and change looks like, and how a whole step is put together.

use std::cell::Cell;
use std::sync::Arc;

use super::filter::{Filter, query};
use super::told::{Kind, Names};
use super::tracer::Tracer;
use super::{causes, changes, messages};
use crate::base::{
    AttemptId, ClusterId, Epoch, Incarnation, JobId, NodeId, QueryId, SessionId, Span, Time, ViewId,
};
use crate::history::{Fate, FaultEvent, FaultPhase, Record, Watcher, What};
use crate::node::{
    Announcement, Append, Ballot, Body, Change, ClientMessage, Command, Completion, Desk, Dispatch, Effect,
    EngineCommand, EngineEvent, Entry, GiveUp, Held, Index, Input, Inputs, JobSpec, LogMessage, Member,
    MembershipMessage, Message, Observation, Order, Outcome, Part, Payload, Position, Progress,
    Record as Written, Refusal, Reply, Report, Request, Seats, StepDown, Suffix, Timer, Token, Uncounted,
    View, ViewChange, ViewUpdate, WorkMessage,
};
use crate::scenario::{Plan, find_shipped};

fn plan() -> Plan {
    Plan::read(find_shipped("coord_fail").expect("it is shipped"), "coord_fail.toml").expect("it is right")
}

/// Node `n` lives on the machine called `n<n>`.
fn id(n: u64) -> NodeId {
    NodeId::new(n)
}

fn attempt(serial: u64) -> AttemptId {
    AttemptId { epoch: Epoch(4), serial }
}

fn q(number: u32) -> QueryId {
    QueryId { job: JobId(1), cut: 0, number }
}

fn names() -> Names {
    let mut names = Names::new(&plan(), &[]);
    (1..=10).for_each(|n| names.settle(id(n), n as u32 - 1));
    names.jobs.insert(JobId(1), "resnet".into());
    names.sessions.insert(SessionId(5), "resnet".into());
    names.attempts.insert(attempt(17), q(17));
    names
}

fn position(index: u64) -> Position {
    Position { epoch: Epoch(4), index: Index(index) }
}

fn entry(index: u64, payload: Payload) -> Entry {
    Entry { position: position(index), at: Time(0), payload: Arc::new(payload) }
}

fn completed(index: u64, numbers: &[u32]) -> Entry {
    let completion = |&number: &u32| Completion {
        query: q(number),
        attempt: attempt(u64::from(number)),
        worker: id(5),
        answer: crate::node::Answer::default(),
    };
    let completions = numbers.iter().map(completion).collect();
    entry(index, Payload::Command(Command::Complete(completions)))
}

fn spec() -> JobSpec {
    JobSpec {
        name: "resnet".into(),
        model: "resnet18".into(),
        inputs: Inputs::Range { dataset: "all".into(), from: 0, count: 1000 },
        batch: 10,
        weight: 1.0,
        priority: 0,
    }
}

fn member(n: u64) -> Member {
    Member {
        id: id(n),
        incarnation: Incarnation(2),
        birth: 0,
        name: format!("n{n}").into(),
        kind: "cpu".into(),
        worker: true,
        address: "".into(),
    }
}

fn seats(number: u64, voters: &[u64]) -> Arc<Seats> {
    Arc::new(Seats {
        number,
        voters: voters.iter().map(|&n| id(n)).collect(),
        learners: Vec::new(),
        passing: None,
    })
}

fn said(body: &Body) -> String {
    messages::body(body, &names()).text
}

fn log(message: LogMessage) -> String {
    said(&Body::Log(message))
}

fn membership(message: MembershipMessage) -> String {
    said(&Body::Membership(message))
}

fn appended(entries: Vec<Entry>) -> Body {
    let (round, time, previous, commit) = (7, Time::ZERO, position(119), Index(118));
    let append = Append { epoch: Epoch(4), round, time, previous, entries, commit };
    Body::Log(LogMessage::Append(Arc::new(append)))
}

#[test]
fn messages_of_elections_and_of_the_log_are_short_and_say_the_essentials() {
    let (epoch, last) = (Epoch(5), position(120));
    assert_eq!(log(LogMessage::PreVote { epoch, last }), "pre-vote e5? log to e4 #120");
    let reply = |granted| LogMessage::PreVoteReply { epoch, granted, term: Epoch(4), last };
    assert_eq!(log(reply(true)), "pre-vote e5: yes");
    assert_eq!(log(reply(false)), "pre-vote e5: no; in e4, log to e4 #120");
    assert_eq!(log(LogMessage::Vote { epoch, last, transfer: false }), "vote e5? log to e4 #120");
    let handed = LogMessage::Vote { epoch, last, transfer: true };
    assert_eq!(log(handed), "vote e5? log to e4 #120, handed over to me");
    assert_eq!(log(LogMessage::VoteReply { epoch, granted: false }), "vote e5: no");
    assert_eq!(log(LogMessage::TransferNow { epoch }), "I hand over e5: stand now");
    assert_eq!(said(&appended(Vec::new())), "append e4: nothing, commit #118");
    assert_eq!(said(&appended(vec![completed(120, &[17])])), "append e4 #120 (1.0.17), commit #118");
    let several = vec![
        entry(120, Payload::Noop),
        entry(121, Payload::Seats(seats(3, &[1]))),
        completed(122, &[1, 2, 3]),
        completed(123, &[4, 5]),
    ];
    assert_eq!(
        said(&appended(several.clone())),
        "append e4 #120..#123 (new reign, seats 3, 1.0.1, 1.0.2, 1.0.3 and 2 more), commit #118"
    );
    let ack = |matched| LogMessage::AppendReply { epoch: Epoch(4), round: 7, matched, index: Index(123) };
    assert_eq!(log(ack(true)), "ack #123");
    assert_eq!(log(ack(false)), "no match; at most up to #123, e4");
    assert_eq!(log(LogMessage::Fetch { after: Index(119) }), "what is in the log after #119?");
    let suffix = Suffix {
        epoch: Epoch(4),
        previous: position(119),
        entries: vec![several[0].clone()],
        commit: Index(1),
    };
    assert_eq!(log(LogMessage::Suffix(Arc::new(suffix))), "the log goes on: #120 (new reign), e4, commit #1");
    assert_eq!(
        log(LogMessage::Install { epoch: Epoch(4), last, size: 99 }),
        "take my snapshot at e4 #120, 99 bytes, e4"
    );
    assert_eq!(log(LogMessage::FetchPart { last, offset: 10 }), "snapshot at e4 #120, from byte 10?");
    let part = Part { epoch: Epoch(4), last, size: 99, offset: 10, bytes: vec![0; 5] };
    assert_eq!(log(LogMessage::Part(Arc::new(part))), "snapshot at e4 #120, bytes 10 to 15 of 99");
}

#[test]
fn messages_of_membership_name_nodes_lives_and_views() {
    use MembershipMessage as M;
    let (incarnation, view) = (Incarnation(2), ViewId(3));
    let heartbeat = M::Heartbeat { epoch: Epoch(4), coordinator: Some(id(1)), view, incarnation };
    assert_eq!(membership(heartbeat), "heartbeat of life 2: e4 of n1, view 3");
    let silent_for = Span::millis(251);
    let alert = M::Alert { subject: id(6), incarnation, view, silent_for, by: incarnation };
    assert_eq!(membership(alert), "alert: n6 silent for 251 ms");
    assert_eq!(membership(M::Join(Arc::new(member(6)))), "let n6 join as life 2");
    assert_eq!(membership(M::Leave { node: id(6), incarnation }), "let n6 leave, life 2");
    assert_eq!(membership(M::FetchView { have: view, seats: 2 }), "what is newer than view 3 and seats 2?");
    assert_eq!(membership(M::Expelled { incarnation, view }), "your life 2 is not in view 3");
    let whole = Arc::new(View::new(view, 5, vec![member(6)]));
    let news = Announcement {
        epoch: Epoch(4),
        coordinator: Some(id(1)),
        update: ViewUpdate::Whole(whole),
        seats: seats(2, &[1]),
    };
    assert_eq!(membership(M::Announce(Arc::new(news))), "view 3, seats 2 in force, e4 of n1");
}

#[test]
fn messages_of_work_name_what_is_new_and_count_the_rest() {
    let order = |number: u32| Order {
        attempt: attempt(u64::from(number)),
        query: q(number),
        model: "resnet18".into(),
        dataset: "all".into(),
        from: 0,
        inputs: 1,
        limit: Span::secs(1),
    };
    let desk = |orders: Vec<Order>, keep: usize| {
        let keep = vec![attempt(1); keep];
        let desk = Desk { epoch: Epoch(4), incarnation: Incarnation(1), version: 9, keep, orders };
        said(&Body::Work(WorkMessage::Desk(Arc::new(desk))))
    };
    assert_eq!(desk(Vec::new(), 0), "desk 9: empty");
    assert_eq!(desk(Vec::new(), 2), "desk 9: keep 2");
    assert_eq!(desk(vec![order(17)], 1), "desk 9: run 1.0.17 (e4.17)");
    assert_eq!(desk(vec![order(17), order(18)], 5), "desk 9: run 1.0.17 (e4.17), 1.0.18 (e4.18), keep 3");
    let held =
        |number: u32, progress| Held { attempt: attempt(u64::from(number)), query: q(number), progress };
    let ended = || Progress::Ended { outcome: Outcome::Failed("no".into()), took: Span::ZERO };
    let report = |held: Vec<Held>| {
        let report =
            Report { epoch: Epoch(4), incarnation: Incarnation(1), version: 9, held, warm: Vec::new() };
        said(&Body::Work(WorkMessage::Report(Arc::new(report))))
    };
    assert_eq!(report(Vec::new()), "report: holds nothing");
    let all = vec![held(17, ended()), held(18, Progress::Running), held(19, Progress::Waiting)];
    assert_eq!(report(all), "report: ended 1.0.17 (e4.17), runs 1.0.18, 1 wait");
    let survey = Body::Work(WorkMessage::Survey { epoch: Epoch(5) });
    assert_eq!(said(&survey), "survey e5: what do you hold?");
    let deposed = Body::Work(WorkMessage::Deposed { epoch: Epoch(5) });
    assert_eq!(said(&deposed), "you are deposed, it is e5");
    let (session, number) = (SessionId(5), 1);
    let forward = ClientMessage::Forward { session, number, request: Arc::new(Request::Submit(spec())) };
    assert_eq!(
        said(&Body::Client(forward)),
        "client of resnet: submit resnet, 1,000 inputs of resnet18, batch 10"
    );
    let answer =
        |reply| said(&Body::Client(ClientMessage::Answer { session, number, reply: Arc::new(reply) }));
    assert_eq!(answer(Reply::Submitted(JobId(1))), "client of resnet: resnet is accepted as job 1");
    let refused = Reply::Refused(Refusal::NoCoordinator);
    assert_eq!(answer(refused), "client of resnet: refused: no coordinator is known at present");
}

#[test]
fn a_query_that_is_looked_for_is_named_in_a_list_that_is_too_long() {
    let mut names = Names::new(&plan(), &[q(7)]);
    names.settle(id(1), 0);
    let body = appended(vec![completed(120, &[1, 2, 3, 4, 5, 6, 7, 8])]);
    assert_eq!(messages::body(&body, &names).text, "append e4 #120 (1.0.7 and 7 more), commit #118");
}

#[test]
fn causes_are_timers_messages_engines_disks_and_clients() {
    let told = |input: Input, due: &[Timer]| causes::input(&input, due, &names()).text;
    assert_eq!(told(Input::Wake, &[Timer::Election]), "timer: election time-out");
    assert_eq!(told(Input::Wake, &[Timer::Beat, Timer::Silence]), "timer: heartbeat, silence");
    assert_eq!(told(Input::Persisted(Token(3)), &[]), "disk: durable");
    assert_eq!(told(Input::Leave, &[]), "it is told to leave");
    let message = Message { cluster: ClusterId(1), body: appended(Vec::new()) };
    let receive = Input::Receive { from: id(3), message };
    assert_eq!(told(receive.clone(), &[]), "← n3  append e4: nothing, commit #118");
    assert_eq!(told(receive, &[Timer::Beat]), "timer: heartbeat; ← n3  append e4: nothing, commit #118");
    let died = EngineEvent::Died { reason: "out of memory".into() };
    assert_eq!(told(Input::Engine(died), &[]), "engine: it died: out of memory");
    let failed = EngineEvent::Failed { attempt: attempt(17), reason: "NaN".into() };
    assert_eq!(told(Input::Engine(failed), &[]), "engine: 1.0.17 (e4.17) failed: NaN");
    let asked = Input::Client {
        session: SessionId(5),
        number: 1,
        request: Arc::new(Request::SetBatch { job: JobId(1), batch: 4 }),
    };
    assert_eq!(told(asked, &[]), "client of resnet: set the batch of resnet to 4");
}

#[test]
fn observations_say_what_changed_and_why() {
    let told = |seen: Observation| changes::observation(&seen, true, &names()).text;
    let (query, attempt, worker) = (q(17), attempt(17), id(5));
    let gives = |reason| {
        told(Observation::Dispatched { query, attempt, worker, incarnation: Incarnation(1), reason })
    };
    assert_eq!(gives(Dispatch::Turn), "gives 1.0.17 (e4.17) to n5");
    assert_eq!(gives(Dispatch::Suspect), "gives 1.0.17 (e4.17) to n5, because its worker is suspect");
    assert_eq!(gives(Dispatch::Hedge), "gives 1.0.17 (e4.17) to n5, beside another attempt");
    assert_eq!(
        told(Observation::GaveUp { query, attempt, reason: GiveUp::Gone }),
        "expects 1.0.17 (e4.17) no more: its worker is gone"
    );
    assert_eq!(
        told(Observation::Inherited { query, attempt, worker }),
        "takes over 1.0.17 (e4.17), held by n5"
    );
    assert_eq!(
        told(Observation::Ended { query, attempt, error: Some("NaN".into()) }),
        "has failed at 1.0.17 (e4.17): NaN"
    );
    assert_eq!(
        told(Observation::SteppedDown { epoch: Epoch(4), reason: StepDown::NoQuorum }),
        "no longer leads e4: no majority answers"
    );
    assert_eq!(told(Observation::Seated { seats: seats(2, &[10, 2, 1]) }), "seats 2: voters n1 n2 n10");
    assert_eq!(told(Observation::Suspected { subject: id(6), incarnation: Incarnation(1) }), "suspects n6");
}

fn applied(changes: Vec<Change>, first: bool) -> (Kind, String) {
    let seen = Observation::Applied { entry: entry(120, Payload::Noop), changes: changes.into(), state: 0 };
    let told = changes::observation(&seen, first, &names());
    (told.kind, told.text)
}

#[test]
fn an_entry_is_told_by_what_it_did_and_counts_as_that_only_where_it_shows_first() {
    let (query, attempt, worker) = (q(17), attempt(17), id(5));
    let counted = Change::Counted { query, attempt, worker, from: 0, inputs: 1, failed: 0 };
    let text = "applies #120: counts 1.0.17 (e4.17 n5)";
    assert_eq!(applied(vec![counted.clone()], true), (Kind::Result, text.to_owned()));
    assert_eq!(applied(vec![counted], false), (Kind::Log, text.to_owned()));
    let again = Change::Uncounted { query, attempt, reason: Uncounted::Duplicate };
    assert_eq!(
        applied(vec![again], true).1,
        "applies #120: does not count 1.0.17 (e4.17): it was counted before"
    );
    assert_eq!(applied(Vec::new(), true).1, "applies #120: the reign e4 begins");
    let change = ViewChange { joined: vec![member(10)], gone: vec![(id(6), Incarnation(1))] };
    let view = Arc::new(View::new(ViewId(2), 5, vec![member(10)]));
    let changed = Change::ViewChanged { view, change: Arc::new(change) };
    assert_eq!(applied(vec![changed], true), (Kind::Membership, "applies #120: view 2: -n6 +n10".to_owned()));
}

#[test]
fn effects_are_told_unless_messages_and_observations_do() {
    let told = |effect: &Effect| changes::effect(effect, &names()).map(|told| told.text);
    let record = Written::Ballot(Ballot { epoch: Epoch(5), vote: Some(id(2)) });
    let persist = Effect::Persist { token: Token(1), record };
    assert_eq!(told(&persist).as_deref(), Some("writes e5 and its vote for n2"));
    assert_eq!(told(&Effect::Engine(EngineCommand::Kill)).as_deref(), Some("kills its engine"));
    assert_eq!(told(&Effect::Engine(EngineCommand::Load { model: "m".into() })), None);
    let event = FaultEvent { fault: 0, kind: "cut".into(), machines: vec![0, 9], phase: FaultPhase::Began };
    assert_eq!(changes::fault(&event, &names()).text, "begins on n1 n10");
}

/// The lines of a trace of what `happen` tells a watcher.
fn traced(filter: Filter, happen: impl FnOnce(&mut Tracer<'_, &mut Vec<u8>>)) -> String {
    let (mut bytes, closed) = (Vec::new(), Cell::new(false));
    let mut tracer = Tracer::new(&plan(), 1, filter, &mut bytes, &closed);
    for n in 1..=10_u32 {
        let up = Record { at: Time(0), machine: Some(n - 1), what: What::Up(id(u64::from(n))) };
        tracer.recorded(&up);
    }
    happen(&mut tracer);
    tracer.finish(AT, &[]);
    String::from_utf8(bytes).expect("it is text")
}

const AT: Time = Time(14_500_000_000);

fn prevote() -> Message {
    let body = Body::Log(LogMessage::PreVote { epoch: Epoch(5), last: position(120) });
    Message { cluster: ClusterId(1), body }
}

fn step(tracer: &mut Tracer<'_, &mut Vec<u8>>, fates: &[(u64, Fate)]) {
    tracer.given(AT, 1, &Input::Wake, &[Timer::Election]);
    let stood = What::Node(Observation::Stood { epoch: Epoch(5) });
    tracer.recorded(&Record { at: AT, machine: Some(1), what: stood });
    for (to, fate) in fates {
        tracer.sent(AT, 1, id(*to), &prevote(), *fate);
    }
    tracer.stepped(AT, 1);
}

fn arrives(after: Span) -> Fate {
    Fate::Arrives { first: AT + after, second: None }
}

#[test]
fn a_step_is_its_cause_and_what_came_of_it_with_equal_messages_together() {
    let later = || Filter { from: AT, ..Filter::default() };
    let soon = arrives(Span::micros(150));
    let fates = [(10, soon), (3, Fate::Lost), (4, Fate::Cut), (1, arrives(Span::millis(40)))];
    let text = traced(later(), |tracer| step(tracer, &fates));
    assert_eq!(
        text,
        "  14.500000  n2   timer: election time-out              misses its leader: who would vote for it in e5?\n  \
         14.500000  n2                                         → n1(in 40 ms) n3(lost) n4(cut) n10  pre-vote e5? log to e4 #120\n"
    );
}

#[test]
fn a_message_that_is_lost_is_shown_to_those_who_look_for_its_receiver() {
    let at_three = || Filter { from: AT, machines: vec![2], ..Filter::default() };
    let soon = arrives(Span::micros(150));
    assert_eq!(traced(at_three(), |tracer| step(tracer, &[(3, soon)])), "");
    let text = traced(at_three(), |tracer| step(tracer, &[(4, soon), (3, Fate::Lost)]));
    assert!(text.contains("n2   timer: election time-out"), "the cause is there: {text}");
    assert!(text.contains("→ n3(lost)  pre-vote e5?") && !text.contains("n4"), "{text}");
}

#[test]
fn only_the_kinds_that_are_wanted_are_shown_and_causes_go_with_what_came_of_them() {
    let of = |kind| Filter { from: AT, kinds: vec![kind], ..Filter::default() };
    let happen = |tracer: &mut Tracer<'_, &mut Vec<u8>>| step(tracer, &[(3, arrives(Span::micros(150)))]);
    let text = traced(of(Kind::Election), happen);
    assert!(text.contains("timer: election time-out") && text.lines().count() == 2, "{text}");
    assert_eq!(traced(of(Kind::Log), happen), "");
    assert_eq!(traced(of(Kind::Timer), happen), "", "something came of this one");
}

#[test]
fn repeated_signs_of_life_and_growing_silences_are_no_news() {
    let filter = Filter { from: AT, ..Filter::default() };
    let alert = |millis| {
        let alert = MembershipMessage::Alert {
            subject: id(6),
            incarnation: Incarnation(1),
            view: ViewId(1),
            silent_for: Span::millis(millis),
            by: Incarnation(1),
        };
        Body::Membership(alert)
    };
    let text = traced(filter, |tracer| {
        let bodies =
            [appended(Vec::new()), appended(Vec::new()), alert(250), alert(350), alert(260), alert(360)];
        for body in bodies {
            let message = Message { cluster: ClusterId(1), body };
            tracer.given(AT, 1, &Input::Receive { from: id(3), message }, &[]);
            tracer.stepped(AT, 1);
        }
    });
    let told: Vec<&str> = text.lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(
        told,
        ["append e4: nothing, commit #118", "alert: n6 silent for 250 ms", "alert: n6 silent for 260 ms"]
    );
}

#[test]
fn a_violation_stands_behind_the_step_that_shows_it_whatever_is_looked_for() {
    let filter = Filter { from: AT, queries: vec![query("1.0.17").unwrap()], ..Filter::default() };
    let text = traced(filter, |tracer| {
        for machine in [1, 2] {
            tracer.given(AT, machine, &Input::Wake, &[Timer::Election]);
            let led = What::Node(Observation::Led { epoch: Epoch(9) });
            tracer.recorded(&Record { at: AT, machine: Some(machine), what: led });
            tracer.stepped(AT, machine);
        }
    });
    let wrong: Vec<&str> = text.lines().filter(|line| line.contains("  !!   ")).collect();
    assert!(!wrong.is_empty(), "{text}");
    assert!(text.contains("safety broke") && text.contains("Invariant 1:"), "{text}");
    assert!(text.contains("n2") && text.contains("n3"), "{text}");
}
