//! Tests of the ledger: each rule by itself, and all of them under random commands against a naive count.

mod pins;

use super::*;
use crate::base::{AttemptId, Epoch, Incarnation, NodeId, QueryId, Rng};
use crate::node::config::limits::{CUTS_MAX, JOBS_MAX, PAGE_QUERIES_MAX, QUERIES_MAX, SESSIONS_MAX};
use crate::node::entry::{Answer, Failure, Index, Inputs, JobSpec, Position};
use crate::node::view::Member;

/// A ledger and the log that leads to it.
struct Bench {
    ledger: Ledger,
    log: Vec<Entry>,
}

const SESSION: SessionId = SessionId(7);

impl Bench {
    fn new() -> Bench {
        Bench { ledger: Ledger::new(5), log: Vec::new() }
    }

    fn apply(&mut self, payload: Payload) -> Applied {
        let index = self.log.len() as u64 + 1;
        let position = Position { epoch: Epoch(1), index: Index(index) };
        let entry = Entry { position, at: Time(index * 1000), payload: Arc::new(payload) };
        let applied = self.ledger.apply(&entry);
        self.log.push(entry);
        applied
    }

    fn command(&mut self, command: Command) -> Applied {
        self.apply(Payload::Command(command))
    }

    fn request_as(&mut self, session: SessionId, number: u64, request: Request) -> (Reply, Arc<[Change]>) {
        let applied = self.command(Command::Request { session, number, request: Arc::new(request) });
        let (to, what, reply) = applied.reply.expect("a request is answered");
        assert_eq!((to, what), (session, number));
        ((*reply).clone(), applied.changes)
    }

    /// The next request of the usual session.
    fn request(&mut self, request: Request) -> (Reply, Arc<[Change]>) {
        let number = self.log.len() as u64 + 1;
        self.request_as(SESSION, number, request)
    }

    fn submit(&mut self, inputs: u64, batch: u32) -> JobId {
        match self.request(Request::Submit(spec(inputs, batch))).0 {
            Reply::Submitted(job) => job,
            other => panic!("submission was answered by {other:?}"),
        }
    }

    /// Completes queries of a job's cut with sound answers.
    fn complete(&mut self, job: JobId, cut: u32, numbers: &[u32]) -> Arc<[Change]> {
        let query = |number| QueryId { job, cut, number };
        let sound = |number| {
            let inputs =
                self.ledger.job(job).and_then(|job| job.range(query(number))).map_or(1, |range| range.1);
            completion(query(number), answer(inputs, 3))
        };
        let completions = numbers.iter().map(|&number| sound(number)).collect();
        self.command(Command::Complete(completions)).changes
    }

    fn job(&self, id: JobId) -> &Job {
        self.ledger.job(id).expect("the job is known")
    }

    fn open(&self, id: JobId) -> Vec<(u32, u32)> {
        self.job(id).open().map(|query| (query.cut, query.number)).collect()
    }
}

fn spec(inputs: u64, batch: u32) -> JobSpec {
    JobSpec {
        name: "test".into(),
        model: "resnet".into(),
        inputs: Inputs::Range { dataset: "letters".into(), from: 100, count: inputs },
        batch,
        weight: 1.0,
        priority: 0,
    }
}

fn answer(inputs: u32, size: usize) -> Answer {
    Answer { inputs, predictions: vec![9; size].into(), failed: Arc::default() }
}

fn completion(query: QueryId, answer: Answer) -> Completion {
    let attempt = AttemptId { epoch: Epoch(1), serial: u64::from(query.number) + 1 };
    Completion { query, attempt, worker: NodeId::new(3), answer }
}

fn reasons(changes: &[Change]) -> Vec<Option<Uncounted>> {
    let reason = |change: &Change| match change {
        Change::Counted { .. } => Some(None),
        Change::Uncounted { reason, .. } => Some(Some(*reason)),
        _ => None,
    };
    changes.iter().filter_map(reason).collect()
}

fn member(id: u64, incarnation: u32) -> Member {
    Member {
        id: NodeId::new(id),
        incarnation: Incarnation(incarnation),
        birth: 0,
        name: format!("n{id}").into(),
        kind: "cpu".into(),
        worker: true,
        address: "".into(),
    }
}

#[test]
fn jobs_are_numbered_from_one_in_commit_order_and_end_with_their_last_query() {
    let mut bench = Bench::new();
    assert_eq!((bench.submit(10, 4), bench.submit(1, 1)), (JobId(1), JobId(2)));
    let job = bench.job(JobId(1));
    assert_eq!((job.queries(), job.counted(), job.cut(), job.arrived()), (3, 0, 0, Time(1000)));
    assert_eq!(job.range(QueryId { job: JobId(1), cut: 0, number: 2 }), Some((8, 2)));
    assert_eq!(job.range(QueryId { job: JobId(1), cut: 0, number: 3 }), None);
    assert_eq!(reasons(&bench.complete(JobId(1), 0, &[2, 0])), [None, None]);
    assert_eq!(bench.open(JobId(1)), [(0, 1)]);
    let last = bench.complete(JobId(1), 0, &[1]);
    assert_eq!(last[1], Change::JobEnded { job: JobId(1), cancelled: false });
    assert!(bench.job(JobId(1)).ended() && !bench.job(JobId(1)).cancelled());
    let status = &bench.ledger.status()[0];
    assert_eq!((status.inputs_done, status.inputs_failed, status.ended), (10, 0, true));
}

#[test]
fn only_the_first_completion_of_a_query_counts() {
    let mut bench = Bench::new();
    let job = bench.submit(8, 4);
    assert_eq!(reasons(&bench.complete(job, 0, &[0, 0])), [None, Some(Uncounted::Duplicate)]);
    let before = bench.ledger.clone();
    let other = completion(QueryId { job, cut: 0, number: 0 }, answer(4, 100));
    let changes = bench.command(Command::Complete(vec![other])).changes;
    assert_eq!(reasons(&changes), [Some(Uncounted::Duplicate)]);
    assert_eq!((&before.jobs, before.bytes), (&bench.ledger.jobs, bench.ledger.bytes));
    bench.complete(job, 0, &[1]);
    assert_eq!(reasons(&bench.complete(job, 0, &[1])), [Some(Uncounted::Duplicate)], "after the end as well");
}

#[test]
fn a_completion_that_fits_no_live_query_is_void() {
    let mut bench = Bench::new();
    let job = bench.submit(10, 4);
    let last = QueryId { job, cut: 0, number: 2 };
    let failed = |inputs: &[u32]| {
        inputs.iter().map(|&input| Failure { input, reason: "unreadable".into() }).collect::<Arc<[Failure]>>()
    };
    let unfit = [
        completion(QueryId { job, cut: 0, number: 3 }, answer(4, 3)),
        completion(QueryId { job, cut: 1, number: 0 }, answer(4, 3)),
        completion(last, answer(4, 3)),
        completion(last, answer(2, 129)),
        completion(last, Answer { failed: failed(&[2]), ..answer(2, 3) }),
        completion(last, Answer { failed: failed(&[1, 1]), ..answer(2, 3) }),
        completion(last, Answer { failed: failed(&[1]), ..answer(2, 65) }),
    ];
    let before = bench.ledger.jobs_digest;
    let changes = bench.command(Command::Complete(unfit.to_vec())).changes;
    assert_eq!(reasons(&changes), [Some(Uncounted::Void); 7]);
    assert_eq!(bench.ledger.jobs_digest, before);
    let fits = completion(last, Answer { failed: failed(&[0]), ..answer(2, 64) });
    assert_eq!(reasons(&bench.command(Command::Complete(vec![fits])).changes), [None]);
    assert_eq!(bench.ledger.status()[0].inputs_failed, 1);
}

#[test]
fn a_recut_keeps_what_is_counted_and_what_lies_before_it() {
    let mut bench = Bench::new();
    let job = bench.submit(100, 10);
    bench.complete(job, 0, &[1, 3]);
    let (reply, changes) = bench.request(Request::SetBatch { job, batch: 25 });
    assert_eq!(reply, Reply::Done);
    assert_eq!(*changes, [Change::Recut { job, cut: 1, boundary: 40, batch: 25 }]);
    assert_eq!(bench.open(job), [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]);
    assert_eq!(bench.job(job).range(QueryId { job, cut: 1, number: 2 }), Some((90, 10)));
    assert_eq!((bench.job(job).queries(), bench.job(job).cut()), (7, 1));
    assert_eq!(
        reasons(&bench.complete(job, 0, &[4, 3])),
        [Some(Uncounted::Void), Some(Uncounted::Duplicate)]
    );
    let first = bench.complete(job, 1, &[0, 1, 2]);
    assert!(!bench.job(job).ended(), "{first:?}");
    let last = bench.complete(job, 0, &[0, 2]);
    assert_eq!(last.last(), Some(&Change::JobEnded { job, cancelled: false }));
    assert_eq!(bench.ledger.status()[0].inputs_done, 100);
}

#[test]
fn a_recut_with_nothing_counted_replaces_the_cut() {
    let mut bench = Bench::new();
    let job = bench.submit(100, 10);
    for batch in [7, 9, 50] {
        bench.request(Request::SetBatch { job, batch });
    }
    assert_eq!((bench.open(job), bench.job(job).queries()), (vec![(3, 0), (3, 1)], 2));
    assert_eq!(reasons(&bench.complete(job, 2, &[0])), [Some(Uncounted::Void)]);
    assert_eq!(bench.job(job).range(QueryId { job, cut: 1, number: 0 }), None);
}

#[test]
fn a_recut_that_would_change_nothing_makes_no_cut() {
    let mut bench = Bench::new();
    let job = bench.submit(100, 10);
    assert_eq!(*bench.request(Request::SetBatch { job, batch: 10 }).1, []);
    bench.complete(job, 0, &[9]);
    let (reply, changes) = bench.request(Request::SetBatch { job, batch: 5 });
    assert_eq!((reply, &*changes, bench.job(job).cut()), (Reply::Done, &[][..], 0));
}

#[test]
fn recuts_have_limits() {
    let mut bench = Bench::new();
    let job = bench.submit(QUERIES_MAX * 2, 2);
    let refused = bench.request(Request::SetBatch { job, batch: 1 }).0;
    assert!(matches!(refused, Reply::Refused(Refusal::Invalid(_))), "{refused:?}");
    for change in 0..CUTS_MAX {
        assert_eq!(bench.request(Request::SetBatch { job, batch: 3 + change % 2 }).0, Reply::Done);
    }
    let refused = bench.request(Request::SetBatch { job, batch: 9 }).0;
    assert!(matches!(refused, Reply::Refused(Refusal::Busy { .. })), "{refused:?}");
    assert_eq!(bench.job(job).cut(), CUTS_MAX);
    assert!(bench.ledger.encode().len() < 1000, "cuts without a counted query leave nothing behind");
}

#[test]
fn a_cancelled_job_keeps_what_is_counted_and_counts_no_more() {
    let mut bench = Bench::new();
    let job = bench.submit(30, 10);
    bench.complete(job, 0, &[1]);
    let (reply, changes) = bench.request(Request::Cancel(job));
    assert_eq!((reply, &*changes), (Reply::Done, &[Change::JobEnded { job, cancelled: true }][..]));
    assert_eq!(
        reasons(&bench.complete(job, 0, &[0, 1])),
        [Some(Uncounted::NoJob), Some(Uncounted::Duplicate)]
    );
    assert!(bench.open(job).is_empty() && !bench.job(job).is_open(QueryId { job, cut: 0, number: 0 }));
    assert_eq!(bench.ledger.status()[0].inputs_done, 10);
    assert!(bench.job(job).cancelled());
    let (reply, changes) = bench.request(Request::Cancel(job));
    assert_eq!((reply, &*changes), (Reply::Done, &[][..]), "cancelling twice");
    let refused = bench.request(Request::SetBatch { job, batch: 5 }).0;
    assert!(matches!(refused, Reply::Refused(Refusal::Invalid(_))), "{refused:?}");
}

#[test]
fn only_an_ended_job_can_be_forgotten_and_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let job = bench.submit(20, 10);
    bench.complete(job, 0, &[0]);
    assert_eq!(bench.request(Request::Forget(job)).0, Reply::Refused(Refusal::NotEnded(job)));
    bench.complete(job, 0, &[1]);
    let (reply, changes) = bench.request(Request::Forget(job));
    assert_eq!((reply, &*changes), (Reply::Done, &[Change::JobForgotten { job }][..]));
    assert_eq!((bench.ledger.jobs_digest, bench.ledger.bytes, bench.ledger.jobs().count()), (0, 0, 0));
    assert_eq!(reasons(&bench.complete(job, 0, &[1])), [Some(Uncounted::NoJob)]);
    for request in [Request::Forget(job), Request::Cancel(job), Request::SetBatch { job, batch: 1 }] {
        assert_eq!(bench.request(request).0, Reply::Refused(Refusal::UnknownJob(job)));
    }
    assert_eq!(bench.submit(1, 1), JobId(2), "numbers are never used twice");
}

#[test]
fn a_stopped_job_counts_what_comes_and_goes_on_where_it_was() {
    let mut bench = Bench::new();
    let job = bench.submit(30, 10);
    assert_eq!(&*bench.request(Request::Stop(job)).1, &[Change::JobStopped { job }]);
    assert_eq!(bench.request(Request::Stop(job)), (Reply::Done, [].into()), "stopping twice");
    let state = bench.job(job);
    assert!(state.stopped() && !state.ended() && !state.wants_workers());
    assert_eq!(reasons(&bench.complete(job, 0, &[0])), [None], "what was under way counts");
    assert_eq!(bench.request(Request::Forget(job)).0, Reply::Refused(Refusal::NotEnded(job)));
    let again = Ledger::decode(&bench.ledger.encode()).unwrap();
    assert_eq!((again.digest(), again.job(job).unwrap().stopped()), (bench.ledger.digest(), true));
    assert_eq!(&*bench.request(Request::Resume(job)).1, &[Change::JobResumed { job }]);
    assert_eq!(bench.job(job).counted(), 1);
    bench.request(Request::Stop(job));
    bench.complete(job, 0, &[1, 2]);
    assert!(bench.job(job).ended() && !bench.job(job).stopped());
    for request in [Request::Stop(job), Request::Resume(job)] {
        assert!(matches!(bench.request(request).0, Reply::Refused(Refusal::Invalid(_))));
    }
}

#[test]
fn what_operators_choose_is_part_of_the_state_and_takes_no_room_before() {
    let mut bench = Bench::new();
    bench.submit(30, 10);
    bench.command(Command::ChangeView(ViewChange { joined: vec![member(4, 1)], gone: Vec::new() }));
    let plain = bench.ledger.clone();
    let node = NodeId::new(4);
    let stranger = NodeId::new(0xdead);
    let refused = bench.request(Request::Drain { node: stranger, drained: true }).0;
    assert!(
        matches!(&refused, Reply::Refused(Refusal::Invalid(why)) if why.contains("no member")),
        "{refused:?}"
    );
    let refused = bench.request(Request::SetPolicy("nonsense".into())).0;
    assert!(matches!(&refused, Reply::Refused(Refusal::Invalid(why)) if why.contains("fifo")), "{refused:?}");
    assert_eq!(bench.ledger.steering.digest(), 0);
    let policy: Arc<str> = "fifo".into();
    let (reply, changes) = bench.request(Request::SetPolicy(Arc::clone(&policy)));
    assert_eq!((reply, &*changes), (Reply::Done, &[Change::PolicySet { policy: Arc::clone(&policy) }][..]));
    assert_eq!(&*bench.request(Request::SetPolicy(policy)).1, &[], "choosing twice");
    let (_, changes) = bench.request(Request::Drain { node, drained: true });
    assert_eq!(&*changes, &[Change::Drained { node, drained: true }]);
    assert_eq!(&*bench.request(Request::Drain { node, drained: true }).1, &[], "draining twice");
    assert_ne!(bench.ledger.digest(), plain.digest());
    let bytes = bench.ledger.encode();
    let again = Ledger::decode(&bytes).unwrap();
    assert_eq!((again.digest(), &again.steering), (bench.ledger.digest(), &bench.ledger.steering));
    assert!(Ledger::decode(&bytes[..bytes.len() - 1]).is_err(), "a snapshot without its end is damaged");
    assert_eq!(Ledger::decode(&plain.encode()).unwrap().steering, Steering::default());
}

#[test]
fn results_come_in_pages_across_cuts_and_failures_in_groups() {
    let mut bench = Bench::new();
    let job = bench.submit(100, 10);
    bench.complete(job, 0, &[0, 2]);
    bench.request(Request::SetBatch { job, batch: 7 });
    bench.complete(job, 1, &[0]);
    let page = bench.job(job).page(0);
    let seen: Vec<(u64, u32)> = page.queries.iter().map(|query| (query.from, query.inputs)).collect();
    assert_eq!((seen, page.next, page.ended), (vec![(0, 10), (20, 10), (30, 7)], None, false));
    let rest: Vec<u64> = bench.job(job).page(15).queries.iter().map(|query| query.from).collect();
    assert_eq!(rest, [20, 30]);
    let many = bench.submit(10_000, 1);
    let all: Vec<u32> = (0..10_000).collect();
    bench.complete(many, 0, &all);
    let (mut next, mut count) = (Some(0), 0);
    while let Some(from) = next {
        let page = bench.job(many).page(from);
        assert!(page.ended && page.queries.len() <= PAGE_QUERIES_MAX);
        assert_eq!(page.queries.first().map(|query| query.from), Some(count));
        count += page.queries.len() as u64;
        next = page.next;
    }
    assert_eq!(count, 10_000);
}

#[test]
fn submissions_that_make_no_sense_are_refused_before_and_in_the_log() {
    let mut bench = Bench::new();
    bench.submit(1, 1);
    let range = |from, count| Inputs::Range { dataset: "letters".into(), from, count };
    let names = |n: usize, name: &str| Inputs::Names(vec![name.into(); n].into());
    let sound = spec(10, 1);
    let unsound = [
        JobSpec { model: "".into(), ..sound.clone() },
        JobSpec { batch: 0, ..sound.clone() },
        JobSpec { batch: 10_001, ..sound.clone() },
        JobSpec { inputs: range(0, 0), ..sound.clone() },
        JobSpec { inputs: range(0, (1 << 32) + 1), batch: 10_000, ..sound.clone() },
        JobSpec { inputs: range(u64::MAX, 2), ..sound.clone() },
        JobSpec { inputs: range(0, QUERIES_MAX + 1), ..sound.clone() },
        JobSpec { inputs: names(0, "a"), ..sound.clone() },
        JobSpec { inputs: names(10_001, "a"), ..sound.clone() },
        JobSpec { inputs: names(10_000, &"a".repeat(60)), ..sound.clone() },
        JobSpec { weight: 0.0, ..sound.clone() },
        JobSpec { weight: f64::NAN, ..sound.clone() },
        JobSpec { weight: f64::INFINITY, ..sound.clone() },
        JobSpec { weight: 1e6 + 1.0, ..sound.clone() },
        JobSpec { priority: 1_001, ..sound.clone() },
        JobSpec { priority: i32::MIN, ..sound.clone() },
    ];
    for spec in unsound {
        let request = Request::Submit(spec);
        let early = bench.ledger.precheck(SESSION, 1000, &request);
        assert!(matches!(early, Precheck::Refused(Refusal::Invalid(_))), "{request:?}: {early:?}");
        let (late, changes) = bench.request(request.clone());
        assert_eq!(early, Precheck::Refused(as_refusal(late)), "{request:?}");
        assert!(changes.is_empty());
    }
    for spec in
        [JobSpec { inputs: range(0, QUERIES_MAX), ..sound.clone() }, JobSpec { batch: 10_000, ..sound }]
    {
        assert_eq!(bench.ledger.precheck(SESSION, 1000, &Request::Submit(spec.clone())), Precheck::New);
        assert!(matches!(bench.request(Request::Submit(spec)).0, Reply::Submitted(_)));
    }
}

fn as_refusal(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_submission_that_found_no_room_is_carried_out_when_it_is_repeated_and_there_is_some() {
    let mut bench = Bench::new();
    for _ in 0..JOBS_MAX {
        bench.submit(1, 1);
    }
    let (newcomer, old) = (SessionId(8), SessionId(9));
    assert_eq!(bench.request_as(old, 1, Request::Cancel(JobId(5))).0, Reply::Done);
    let submit = Request::Submit(spec(1, 1));
    for (session, number) in [(newcomer, 1), (old, 2), (newcomer, 1)] {
        let (reply, changes) = bench.request_as(session, number, submit.clone());
        assert!(matches!(reply, Reply::Refused(Refusal::Busy { .. })), "{reply:?}");
        assert!(changes.is_empty());
    }
    let (repeated, _) = bench.request_as(old, 1, Request::Cancel(JobId(5)));
    assert_eq!(repeated, Reply::Done, "its last answer is still known");
    for job in [5, 6, 7] {
        bench.request(Request::Cancel(JobId(job)));
        bench.request(Request::Forget(JobId(job)));
    }
    let next = |more: u32| Reply::Submitted(JobId(JOBS_MAX as u32 + more));
    assert_eq!(bench.ledger.precheck(newcomer, 1, &submit), Precheck::New);
    assert_eq!(bench.request_as(newcomer, 1, submit.clone()).0, next(1));
    assert_eq!(
        bench.request_as(newcomer, 1, submit.clone()).0,
        next(1),
        "once, however often it is repeated"
    );
    assert_eq!(bench.request_as(old, 2, submit.clone()).0, next(2));
    // One whose first submission was refused may also ask for something else.
    let third = SessionId(10);
    bench.submit(1, 1);
    assert!(matches!(bench.request_as(third, 1, submit).0, Reply::Refused(Refusal::Busy { .. })));
    assert_eq!(bench.request_as(third, 2, Request::Cancel(JobId(8))).0, Reply::Done);
    let restored = Ledger::decode(&bench.ledger.encode()).expect("it was just encoded");
    assert_eq!(restored.digest(), bench.ledger.digest());
}

#[test]
fn a_full_ledger_takes_no_more_jobs_until_one_is_forgotten() {
    let mut bench = Bench::new();
    for _ in 0..JOBS_MAX {
        bench.submit(1, 1);
    }
    let request = Request::Submit(spec(1, 1));
    let Precheck::Refused(early) = bench.ledger.precheck(SESSION, u64::MAX, &request) else {
        panic!("a full ledger accepts")
    };
    assert!(matches!(early, Refusal::Busy { limit, .. } if limit == JOBS_MAX as u64));
    assert_eq!(bench.request(request.clone()).0, Reply::Refused(early));
    bench.request(Request::Cancel(JobId(5)));
    bench.request(Request::Forget(JobId(5)));
    assert_eq!(bench.request(request).0, Reply::Submitted(JobId(JOBS_MAX as u32 + 1)));
}

#[test]
fn a_repeated_request_is_answered_and_not_done_again() {
    let mut bench = Bench::new();
    let request = || Request::Submit(spec(5, 1));
    assert_eq!(bench.request_as(SESSION, 1, request()).0, Reply::Submitted(JobId(1)));
    assert_eq!(
        bench.ledger.precheck(SESSION, 1, &request()),
        Precheck::Repeat(Arc::new(Reply::Submitted(JobId(1))))
    );
    let (reply, changes) = bench.request_as(SESSION, 1, request());
    assert_eq!((reply, &*changes), (Reply::Submitted(JobId(1)), &[][..]));
    assert_eq!(bench.ledger.jobs().count(), 1);
    assert_eq!(
        bench.request_as(SESSION, 4, request()).0,
        Reply::Submitted(JobId(2)),
        "numbers may be skipped"
    );
    assert_eq!(bench.request_as(SESSION, 3, request()).0, Reply::Refused(Refusal::Outdated));
    assert_eq!(bench.ledger.precheck(SESSION, 3, &request()), Precheck::Refused(Refusal::Outdated));
    assert_eq!(bench.ledger.jobs().count(), 2);
    let cancel = Request::Cancel(JobId(9));
    let refused = Reply::Refused(Refusal::UnknownJob(JobId(9)));
    assert_eq!(bench.request_as(SESSION, 5, cancel.clone()).0, refused);
    assert_eq!(bench.request_as(SESSION, 5, cancel).0, refused, "refusals are repeated too");
}

#[test]
fn a_request_whose_session_is_unknown_is_refused_unless_it_is_the_first() {
    let mut bench = Bench::new();
    for number in [0, 2, 99] {
        let (reply, changes) = bench.request_as(SESSION, number, Request::Submit(spec(5, 1)));
        assert_eq!((reply, &*changes), (Reply::Refused(Refusal::SessionLost), &[][..]));
    }
    assert_eq!(bench.ledger.precheck(SESSION, 2, &Request::Submit(spec(5, 1))), Precheck::New);
    assert_eq!(bench.ledger.precheck(SESSION, 1, &Request::Submit(spec(5, 0))), Precheck::New);
    let reply = bench.request_as(SESSION, 1, Request::Submit(spec(5, 0))).0;
    assert!(matches!(reply, Reply::Refused(Refusal::Invalid(_))));
    let reply = bench.request_as(SESSION, 2, Request::Submit(spec(5, 1))).0;
    assert_eq!(reply, Reply::Submitted(JobId(1)), "a refused first request opens the session as well");
}

#[test]
fn the_least_recently_used_session_leaves() {
    let mut bench = Bench::new();
    let cancel = || Request::Cancel(JobId(1));
    for id in 0..SESSIONS_MAX as u64 {
        bench.request_as(SessionId(id), 1, cancel());
    }
    bench.request_as(SessionId(0), 2, cancel());
    bench.request_as(SessionId(u64::MAX), 1, cancel());
    assert_eq!(bench.request_as(SessionId(1), 2, cancel()).0, Reply::Refused(Refusal::SessionLost));
    assert_ne!(bench.request_as(SessionId(0), 3, cancel()).0, Reply::Refused(Refusal::SessionLost));
    assert_ne!(bench.request_as(SessionId(2), 2, cancel()).0, Reply::Refused(Refusal::SessionLost));
    // A restored ledger lets the same one leave next: the third, as the others were used since.
    let mut restored = Ledger::decode(&bench.ledger.encode()).expect("sound bytes");
    bench.request_as(SessionId(u64::MAX - 1), 1, cancel());
    restored.apply(bench.log.last().unwrap());
    assert_eq!(restored, bench.ledger);
    assert_eq!(bench.request_as(SessionId(3), 2, cancel()).0, Reply::Refused(Refusal::SessionLost));
}

#[test]
fn reads_are_not_for_the_log_and_pass_the_check_whatever_their_number() {
    let mut bench = Bench::new();
    assert_eq!(bench.ledger.precheck(SESSION, 17, &Request::Jobs), Precheck::New);
    bench.submit(1, 1);
    assert_eq!(bench.ledger.precheck(SESSION, 1, &Request::Jobs), Precheck::New);
    assert!(matches!(bench.request(Request::Jobs).0, Reply::Refused(Refusal::Invalid(_))));
}

#[test]
fn views_change_step_by_step_and_other_entries_only_move_the_clock() {
    let mut bench = Bench::new();
    let change = ViewChange { joined: vec![member(1, 1), member(2, 1)], gone: vec![] };
    let applied = bench.command(Command::ChangeView(change.clone()));
    let Change::ViewChanged { view, .. } = &applied.changes[0] else { panic!("{applied:?}") };
    assert_eq!((view.id(), view), (ViewId(1), bench.ledger.view()));
    assert_eq!(**view, View::new(ViewId(0), 5, vec![]).after(&change));
    let before = bench.ledger.clone();
    let applied = bench.apply(Payload::Noop);
    assert_eq!(applied, Applied { changes: Arc::default(), reply: None });
    assert_ne!(before.digest(), bench.ledger.digest(), "the clock is part of the state");
    assert_eq!(Ledger { now: bench.ledger.now(), ..before }, bench.ledger);
}

#[test]
#[should_panic(expected = "cluster time goes back")]
fn cluster_time_never_goes_back() {
    let mut bench = Bench::new();
    bench.apply(Payload::Noop);
    let mut entry = bench.log[0].clone();
    entry.at = Time(999);
    bench.ledger.apply(&entry);
}

#[test]
fn damaged_snapshots_are_refused() {
    let mut bench = Bench::new();
    let job = bench.submit(40, 10);
    bench.complete(job, 0, &[0, 2]);
    bench.request(Request::SetBatch { job, batch: 3 });
    bench.command(Command::ChangeView(ViewChange { joined: vec![member(1, 1)], gone: vec![] }));
    let bytes = bench.ledger.encode();
    assert_eq!(Ledger::decode(&bytes).as_ref(), Ok(&bench.ledger));
    for place in 0..bytes.len() {
        assert!(Ledger::decode(&bytes[..place]).is_err(), "cut at {place}");
        for bit in 0..8 {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 1 << bit;
            assert!(Ledger::decode(&damaged).is_err(), "bit {bit} of byte {place}");
        }
    }
    assert!(Ledger::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_job_of_a_million_queries_is_light() {
    let mut bench = Bench::new();
    let job = bench.submit(10_000_000, 10);
    assert_eq!(bench.job(job).open().next(), Some(QueryId { job, cut: 0, number: 0 }));
    for start in (0..1_000_000).step_by(1000) {
        let numbers: Vec<u32> = (start..start + 1000).rev().filter(|number| number % 1000 != 7).collect();
        bench.complete(job, 0, &numbers);
        bench.log.clear();
        bench.ledger.now = Time::ZERO;
    }
    assert_eq!(bench.job(job).counted(), 999_000);
    assert_eq!(bench.job(job).open().count(), 1000);
    let restored = Ledger::decode(&bench.ledger.encode()).expect("sound bytes");
    assert_eq!(restored.digest(), bench.ledger.digest());
    assert_eq!(restored.job(job).unwrap().open().nth(1), Some(QueryId { job, cut: 0, number: 1007 }));
}

/// What the changes alone say about jobs: which inputs are counted.
#[derive(Default)]
struct Count(BTreeMap<JobId, Vec<bool>>);

impl Count {
    fn take(&mut self, changes: &[Change], seed: u64) {
        for change in changes {
            match change {
                Change::JobAdded { job, spec } => {
                    self.0.insert(*job, vec![false; spec.inputs.count() as usize]);
                }
                Change::Counted { query, from, inputs, .. } => {
                    for input in *from..from + u64::from(*inputs) {
                        let counted = &mut self.0.get_mut(&query.job).expect("a known job")[input as usize];
                        assert!(!*counted, "seed {seed}: input {input} of {} is counted twice", query.job);
                        *counted = true;
                    }
                }
                Change::JobEnded { job, cancelled } => {
                    assert_ne!(self.0[job].iter().all(|&counted| counted), *cancelled, "seed {seed}: {job}");
                }
                Change::JobStopped { job } | Change::JobResumed { job } => assert!(self.0.contains_key(job)),
                Change::JobForgotten { job } => assert!(self.0.remove(job).is_some()),
                Change::Recut { .. }
                | Change::Uncounted { .. }
                | Change::ViewChanged { .. }
                | Change::PolicySet { .. }
                | Change::Drained { .. }
                | Change::FilePut { .. }
                | Change::FileDeleted { .. }
                | Change::Pinned { .. }
                | Change::Unpinned { .. } => {}
            }
        }
    }

    /// Counted inputs and those of open queries are all inputs, and none is both or in two queries.
    fn agrees(&self, ledger: &Ledger, seed: u64) {
        assert_eq!(
            ledger.jobs().map(|(id, _)| id).collect::<Vec<_>>(),
            self.0.keys().copied().collect::<Vec<_>>()
        );
        for (id, job) in ledger.jobs() {
            let mut seen = self.0[&id].clone();
            let done = seen.iter().filter(|&&counted| counted).count() as u64;
            assert_eq!(job.status().inputs_done, done, "seed {seed}: {id}");
            assert_eq!(u64::from(job.queries() - job.counted()) > 0, !job.ended() || job.cancelled());
            assert!(job.cancelled() || job.open().count() as u32 == job.queries() - job.counted());
            for query in job.open() {
                assert!(job.is_open(query), "seed {seed}: {query}");
                let (from, inputs) = job.range(query).expect("an open query has inputs");
                for input in from..from + u64::from(inputs) {
                    assert!(!seen[input as usize], "seed {seed}: input {input} of {id} is in two queries");
                    seen[input as usize] = true;
                }
            }
            assert!(job.cancelled() || seen.iter().all(|&seen| seen), "seed {seed}: {id} lost an input");
        }
    }
}

/// Something that could stand in the log, sensible or not.
fn random_payload(rng: &mut Rng, ledger: &Ledger) -> Payload {
    let job = JobId(rng.below(u64::from(ledger.last_job.0) + 2) as u32);
    let completion = |rng: &mut Rng| {
        let open: Vec<QueryId> = ledger.job(job).into_iter().flat_map(Job::open).take(12).collect();
        let query = if open.is_empty() || rng.chance(0.2) {
            QueryId { job, cut: rng.below(4) as u32, number: rng.below(30) as u32 }
        } else {
            open[rng.below(open.len() as u64) as usize]
        };
        let inputs = ledger.job(job).and_then(|job| job.range(query)).map_or(1, |range| range.1);
        let failed =
            (0..inputs).filter(|_| rng.chance(0.1)).map(|input| Failure { input, reason: "bad".into() });
        let failed: Arc<[Failure]> = failed.collect();
        let inputs = if rng.chance(0.05) { inputs + 1 } else { inputs };
        let predictions = (0..rng.below(4)).map(|_| rng.bits() as u8).collect();
        completion(query, Answer { inputs, predictions, failed })
    };
    let request = match rng.below(20) {
        0 => return Payload::Noop,
        1 => {
            let joined = vec![member(1 + rng.below(8), rng.below(3) as u32)];
            let gone = vec![(NodeId::new(1 + rng.below(8)), Incarnation(rng.below(3) as u32))];
            return Payload::Command(Command::ChangeView(ViewChange { joined, gone }));
        }
        2..=13 => {
            let completions = (0..=rng.below(4)).map(|_| completion(rng)).collect();
            return Payload::Command(Command::Complete(completions));
        }
        14..=15 => Request::Submit(spec(rng.below(120), rng.below(12) as u32)),
        16..=17 => Request::SetBatch { job, batch: rng.below(15) as u32 },
        18 if rng.chance(0.3) => Request::Cancel(job),
        18 if rng.chance(0.5) => Request::Stop(job),
        18 => Request::Resume(job),
        _ => Request::Forget(job),
    };
    let (session, number) =
        (SessionId(rng.below(4)), 1 + rng.below(2) + ledger.now().0 / 1000 / 4 * rng.below(2));
    Payload::Command(Command::Request { session, number, request: Arc::new(request) })
}

#[test]
fn every_input_is_counted_exactly_once_and_snapshots_change_nothing() {
    let mut ended = 0;
    let mut recut = 0;
    for seed in 0..200 {
        let mut rng = Rng::new(seed).fork("ledger");
        let mut bench = Bench::new();
        let mut other = Ledger::new(5);
        let mut count = Count::default();
        for step in 0..300 {
            let payload = random_payload(&mut rng, &bench.ledger);
            let applied = bench.apply(payload);
            assert_eq!(other.apply(bench.log.last().unwrap()), applied, "seed {seed}, step {step}");
            count.take(&applied.changes, seed);
            count.agrees(&bench.ledger, seed);
            if rng.chance(0.05) {
                let bytes = other.encode();
                assert_eq!(bytes, bench.ledger.encode(), "seed {seed}, step {step}");
                other = Ledger::decode(&bytes).expect("sound bytes");
            }
            assert_eq!(other.digest(), bench.ledger.digest(), "seed {seed}, step {step}");
            assert_eq!(other, bench.ledger, "seed {seed}, step {step}");
            ended += applied
                .changes
                .iter()
                .filter(|c| matches!(c, Change::JobEnded { cancelled: false, .. }))
                .count();
            recut +=
                applied.changes.iter().filter(|c| matches!(c, Change::Recut { boundary: 1.., .. })).count();
        }
    }
    assert!(ended > 200 && recut > 200, "the random commands do too little: {ended} ended, {recut} recut");
}

/// Whatever part of the state two ledgers differ in, their digests differ.
#[test]
fn the_digest_covers_everything() {
    let mut bench = Bench::new();
    let job = bench.submit(40, 10);
    bench.complete(job, 0, &[0, 2]);
    let base = &bench.ledger;
    let differs = |what: &str, change: &dyn Fn(&mut Bench)| {
        let mut changed = Bench { ledger: base.clone(), log: bench.log.clone() };
        change(&mut changed);
        // Only the part in question may differ.
        changed.ledger.now = base.now;
        assert_ne!(changed.ledger.digest(), base.digest(), "{what}");
        changed.ledger.digest()
    };
    let complete = |number, predictions: &'static [u8], failed: &'static [u32]| {
        let failed = failed.iter().map(|&input| Failure { input, reason: "bad".into() }).collect();
        let answer = Answer { inputs: 10, predictions: predictions.into(), failed };
        move |bench: &mut Bench| {
            let query = QueryId { job, cut: 0, number };
            bench.command(Command::Complete(vec![completion(query, answer.clone())]));
        }
    };
    let set_batch = |batch| {
        move |bench: &mut Bench| {
            bench.ledger.change_job(job, |job| job.recut(batch)).unwrap().unwrap();
        }
    };
    let session = |id, number, reply: Reply| {
        move |bench: &mut Bench| bench.ledger.sessions.record(SessionId(id), number, Arc::new(reply.clone()))
    };
    let mut digests = vec![
        differs("a counted query", &complete(1, b"1", &[])),
        differs("which query is counted", &complete(3, b"1", &[])),
        differs("predictions", &complete(1, b"2", &[])),
        differs("failures", &complete(1, b"1", &[4])),
        differs("which input failed", &complete(1, b"1", &[5])),
        differs("a cut", &set_batch(3)),
        differs("the cut's size", &set_batch(4)),
        differs("a cancelled job", &|bench| {
            bench.ledger.change_job(job, Job::cancel).unwrap();
        }),
        differs("a session", &session(1, 1, Reply::Done)),
        differs("its id", &session(2, 1, Reply::Done)),
        differs("its number", &session(1, 2, Reply::Done)),
        differs("its reply", &session(1, 1, Reply::Refused(Refusal::Outdated))),
        differs("one order of use", &|bench| {
            session(1, 1, Reply::Done)(bench);
            session(2, 1, Reply::Done)(bench);
        }),
        differs("the other order of use", &|bench| {
            session(2, 1, Reply::Done)(bench);
            session(1, 1, Reply::Done)(bench);
        }),
        differs("uses", &|bench| {
            let uses = &mut bench.ledger.sessions;
            uses.record(SESSION, 1, Arc::new(Reply::Submitted(job)));
        }),
        differs("a view", &|bench| {
            bench.command(Command::ChangeView(ViewChange::default()));
        }),
        differs("the next job's number", &|bench| bench.ledger.last_job = JobId(2)),
    ];
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 17, "different changes have different digests");
}
