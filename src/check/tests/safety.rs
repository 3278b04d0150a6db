//! Invariants 1 to 6: each test tells one thing wrongly.

use std::sync::Arc;

use super::story::{SESSION, SIZE, Story, member, query, spec};
use crate::base::{AttemptId, Epoch, Incarnation, JobId, NodeId, Span, Time, ViewId};
use crate::history::{FaultEvent, FaultPhase, What};
use crate::node::{
    Answer, Change, Command, Completion, Entry, Index, JobStatus, Observation, Payload, Position, Reply,
    Request, Seats, Uncounted, ViewChange,
};

// 1: one leader per epoch.

#[test]
fn two_leaders_in_one_epoch_are_noticed() {
    let mut story = Story::eventful();
    story.node(2, Observation::Led { epoch: Epoch(4) });
    assert_eq!(story.broken(), [1]);
}

#[test]
fn a_leader_elected_again_in_its_epoch_is_noticed() {
    let mut story = Story::begin();
    story.crash(0);
    story.start(0);
    story.node(0, Observation::Led { epoch: Epoch(2) });
    assert_eq!(story.broken(), [1]);
}

#[test]
fn a_second_vote_in_an_epoch_is_noticed_even_across_a_restart() {
    let mut story = Story::begin();
    story.wait(Span::secs(1));
    story.crash(3);
    story.start(3);
    story.node(3, Observation::Voted { epoch: Epoch(2), candidate: story.id(1) });
    assert_eq!(story.broken(), [1]);
    let mut story = Story::begin();
    story.node(3, Observation::Voted { epoch: Epoch(2), candidate: story.id(1) });
    assert_eq!(story.broken(), [1]);
    let mut story = Story::begin();
    story.node(3, Observation::Voted { epoch: Epoch(1), candidate: story.id(0) });
    assert_eq!(story.broken(), [1]);
}

#[test]
fn a_vote_that_a_crash_took_before_it_was_on_disk_may_be_given_again() {
    let mut story = Story::begin();
    story.node(3, Observation::Voted { epoch: Epoch(3), candidate: story.id(1) });
    story.crash(3);
    story.start(3);
    story.node(3, Observation::Voted { epoch: Epoch(3), candidate: story.id(2) });
    assert_eq!(story.broken(), [0_u8; 0]);
}

/// The vote may have been lost in the crash, but the candidate could not have been elected without it.
#[test]
fn a_vote_that_decided_an_election_may_not_be_given_again() {
    let mut story = Story::begin();
    for voter in [1, 2, 3] {
        story.node(voter, Observation::Voted { epoch: Epoch(3), candidate: story.id(1) });
    }
    story.crash(3);
    story.node(1, Observation::Led { epoch: Epoch(3) });
    story.start(3);
    story.node(3, Observation::Voted { epoch: Epoch(3), candidate: story.id(2) });
    assert_eq!(story.broken(), [1]);
}

#[test]
fn a_leader_without_a_majority_is_noticed() {
    let mut story = Story::begin();
    for voter in [1, 2] {
        story.node(voter, Observation::Voted { epoch: Epoch(3), candidate: story.id(1) });
    }
    story.node(1, Observation::Led { epoch: Epoch(3) });
    assert_eq!(story.broken(), [1]);
    let mut story = Story::begin();
    story.node(1, Observation::Led { epoch: Epoch(3) });
    assert_eq!(story.broken(), [1]);
}

#[test]
fn a_majority_is_counted_by_the_seats_that_the_leader_has_in_force() {
    let mut story = Story::begin();
    let voters = story.ids[..3].to_vec();
    let seats = Arc::new(Seats { number: 2, voters, learners: Vec::new(), passing: None });
    story.node(1, Observation::Seated { seats });
    for voter in [1, 2] {
        story.node(voter, Observation::Voted { epoch: Epoch(3), candidate: story.id(1) });
    }
    story.node(1, Observation::Led { epoch: Epoch(3) });
    assert_eq!(story.broken(), [0_u8; 0]);
}

#[test]
fn a_leader_whose_seats_become_known_later_is_verified_then() {
    let mut story = Story::unled();
    story.omit(|record| matches!(record.what, What::Node(Observation::Seated { .. })));
    let mut good = story.clone();
    good.elect(0, 2);
    assert_eq!(good.broken(), [0_u8; 0]);
    assert_eq!(good.verdict().census.leaders_verified, 1);
    let mut bad = story;
    bad.elect(0, 2);
    bad.omit(|record| {
        record.machine.is_some_and(|machine| machine > 1)
            && matches!(record.what, What::Node(Observation::Voted { .. }))
    });
    assert_eq!(bad.broken(), [1]);
}

#[test]
fn a_leader_of_an_epoch_that_it_has_left_is_noticed() {
    let mut story = Story::begin();
    for voter in 0..SIZE {
        story.node(voter, Observation::Voted { epoch: Epoch(3), candidate: story.id(1) });
    }
    story.node(1, Observation::Voted { epoch: Epoch(4), candidate: story.id(2) });
    story.node(1, Observation::Led { epoch: Epoch(3) });
    assert_eq!(story.broken(), [1]);
}

// 2: the log.

#[test]
fn a_changed_entry_effect_or_state_is_noticed_on_whichever_machine() {
    type Retelling = fn(&mut Entry, &mut Arc<[Change]>, &mut u128);
    let retellings: [Retelling; 5] = [
        |_, _, state| *state ^= 1,
        |entry, _, _| entry.at += Span(1),
        |entry, _, _| entry.position.epoch = Epoch(99),
        |entry, _, _| entry.payload = Arc::new(Payload::Seats(Arc::default())),
        |_, changes, _| *changes = [Change::JobForgotten { job: JobId(1) }].into(),
    ];
    for (which, retell) in retellings.into_iter().enumerate() {
        for (machine, index) in (1..SIZE).flat_map(|machine| [1, 3, 5, 9].map(|index| (machine, index))) {
            let mut story = Story::eventful();
            let changed = story.retell(|on, observation| match observation {
                Observation::Applied { entry, changes, state }
                    if on == machine && entry.position.index == Index(index) =>
                {
                    retell(entry, changes, state);
                    true
                }
                _ => false,
            });
            assert_eq!(changed, 1);
            // What the first one says is believed, so that its lies break other things as well.
            let broken = story.broken();
            assert!(broken.contains(&2), "retelling {which}, machine {machine}, {index}: {broken:?}");
        }
    }
}

/// Long after the checker has let go of an entry it still knows it by its digest.
#[test]
fn a_changed_entry_of_long_ago_is_noticed() {
    for broken in [false, true] {
        let mut story = Story::begin();
        story.late = vec![4];
        for _ in 0..600 {
            story.commit(Payload::Noop, Vec::new());
        }
        if broken {
            story.log[9].0.at = Time(1);
        }
        story.catch_up(4);
        assert_eq!(story.broken(), if broken { vec![2] } else { vec![] });
    }
}

#[test]
fn entries_are_applied_one_after_another_in_each_life() {
    let mut story = Story::begin();
    story.omit(|record| {
        record.machine == Some(3)
            && matches!(&record.what, What::Node(Observation::Applied { entry, .. }) if entry.position.index == Index(2))
    });
    assert_eq!(story.broken(), [2]);
    let mut story = Story::begin();
    let (entry, changes, state) = story.log[1].clone();
    story.node(3, Observation::Applied { entry, changes, state });
    assert_eq!(story.broken(), [2]);
    let mut story = Story::begin();
    story.crash(3);
    story.start(3);
    story.catch_up(3);
    assert_eq!(story.broken(), [0_u8; 0], "a new life may start over");
}

#[test]
fn an_entry_that_skips_places_is_noticed() {
    let mut story = Story::begin();
    story.append(Payload::Noop, Vec::new());
    story.append(Payload::Noop, Vec::new());
    story.crash(3);
    story.start(3);
    story.applied[3] = story.log.len() - 1;
    story.catch_up(3);
    assert_eq!(story.broken(), [2]);
}

#[test]
fn epochs_and_cluster_time_never_go_back_along_the_log() {
    let mut story = Story::eventful();
    story.epoch = Epoch(2);
    story.commit(Payload::Noop, Vec::new());
    assert_eq!(story.broken(), [2]);
    let mut story = Story::begin();
    story.append(Payload::Noop, Vec::new());
    story.log.last_mut().expect("it was just appended").0.at = Time(1);
    story.catch_up(0);
    assert_eq!(story.broken(), [2]);
}

/// The new leader's log lacks a committed entry: its first own entry takes that place.
#[test]
fn a_leader_that_lacks_a_committed_entry_is_noticed() {
    let mut story = Story::begin();
    story.commit(Payload::Noop, Vec::new());
    for voter in 0..SIZE {
        story.node(voter, Observation::Voted { epoch: Epoch(5), candidate: story.id(1) });
    }
    story.node(1, Observation::Led { epoch: Epoch(5) });
    story.log.pop();
    story.applied = vec![story.log.len(); SIZE as usize];
    story.epoch = Epoch(5);
    story.append(Payload::Noop, Vec::new());
    story.crash(2);
    story.start(2);
    story.catch_up(2);
    assert_eq!(story.broken(), [2]);
}

#[test]
fn an_entry_of_an_epoch_that_nobody_led_is_noticed() {
    let mut story = Story::begin();
    story.epoch = Epoch(3);
    story.commit(Payload::Noop, Vec::new());
    assert_eq!(story.broken(), [2]);
}

#[test]
fn a_snapshot_has_the_state_of_its_place() {
    let mut story = Story::eventful();
    let changed = story.retell(|_, observation| match observation {
        Observation::Restored { state, .. } => {
            *state += 1;
            true
        }
        _ => false,
    });
    assert_eq!((changed, story.broken()), (1, vec![2]));
    for (index, epoch) in [(2, 1), (90, 4), (2, 4)] {
        let mut story = Story::begin();
        let last = Position { epoch: Epoch(epoch), index: Index(index) };
        story.node(3, Observation::Restored { last, state: story.log[1].2 });
        assert_eq!(story.broken(), [2], "{last:?}: a live node never goes back, nor beyond what is known");
    }
}

// 3: promises.

#[test]
fn a_lost_submission_is_noticed() {
    let mut story = Story::begin();
    let number = story.ask(Request::Submit(spec(100, 10)));
    story.tell(number, Reply::Submitted(JobId(1)));
    assert_eq!(story.broken(), [3]);
    assert_eq!(story.verdict().queries_lost, 10);
}

#[test]
fn an_answer_that_names_someone_elses_job_is_noticed() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    let number = story.ask(Request::Submit(spec(50, 10)));
    story.tell(number, Reply::Submitted(job));
    assert_eq!(story.broken(), [3, 9]);
}

#[test]
fn a_request_that_is_carried_out_twice_is_noticed() {
    let mut story = Story::begin();
    story.submit(100, 10);
    let spec = spec(100, 10);
    let added = Change::JobAdded { job: JobId(2), spec: Arc::new(spec.clone()) };
    story.request(1, Request::Submit(spec), vec![added]);
    assert_eq!(story.broken(), [3]);
}

#[test]
fn what_is_said_to_be_done_is_done() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    let number = story.ask(Request::Cancel(job));
    story.tell(number, Reply::Done);
    assert_eq!(story.broken(), [3]);
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.cancel(job);
    let number = story.ask(Request::Forget(job));
    story.tell(number, Reply::Done);
    assert_eq!(story.broken(), [3]);
}

#[test]
fn a_list_of_jobs_lacks_none_and_exaggerates_nothing() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.serve(job, 0, 1);
    let status = |inputs_done| {
        let spec = spec(100, 10);
        JobStatus { job, spec, inputs_done, inputs_failed: 0, ended: false, stopped: false, batch: 10 }
    };
    for (list, broken) in [
        (vec![status(10)], vec![]),
        (vec![status(0)], vec![]),
        (vec![status(20)], vec![3]),
        (vec![JobStatus { ended: true, ..status(10) }], vec![3, 9]),
        (vec![], vec![3, 9]),
    ] {
        let mut story = story.clone();
        let number = story.ask(Request::Jobs);
        story.tell(number, Reply::Jobs(list.clone()));
        assert_eq!(story.broken(), broken, "{list:?}");
    }
}

#[test]
fn a_job_is_neither_forgotten_before_its_end_nor_numbered_out_of_turn() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.forget(job);
    assert_eq!(story.broken(), [3]);
    let mut story = Story::begin();
    let number = story.ask(Request::Submit(spec(10, 10)));
    let added = Change::JobAdded { job: JobId(7), spec: Arc::new(spec(10, 10)) };
    story.request(number, Request::Submit(spec(10, 10)), vec![added]);
    assert_eq!(story.broken(), [3]);
}

// 4: counting.

#[test]
fn a_query_counted_twice_is_noticed() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.serve(job, 0, 1);
    let attempt = AttemptId { epoch: Epoch(2), serial: 1 };
    story.count(query(1, 0, 0), attempt, 1, (0, 10), 0);
    assert_eq!(story.broken(), [4]);
    let verdict = story.verdict();
    assert_eq!((verdict.queries_counted, verdict.queries_doubled), (2, 1));
}

#[test]
fn inputs_that_an_old_and_a_new_cut_both_count_are_noticed() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.recut(job, 1, 0, 25);
    let attempt = story.work(query(1, 1, 0), 1);
    story.count(query(1, 1, 0), attempt, 1, (0, 25), 0);
    let void = story.work(query(1, 0, 2), 2);
    story.count(query(1, 0, 2), void, 2, (20, 10), 0);
    assert_eq!(story.broken(), [4]);
    assert_eq!(story.verdict().queries_doubled, 1);
}

#[test]
fn a_void_query_that_is_counted_is_noticed_even_without_overlap() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    let void = story.work(query(1, 0, 2), 2);
    story.recut(job, 1, 0, 25);
    story.count(query(1, 0, 2), void, 2, (20, 10), 0);
    assert_eq!(story.broken(), [4]);
}

#[test]
fn a_query_counted_for_other_inputs_than_its_own_is_noticed() {
    for range in [(10, 10), (0, 9), (0, 11), (95, 10)] {
        let mut story = Story::begin();
        story.submit(100, 10);
        let attempt = story.work(query(1, 0, 0), 1);
        story.count(query(1, 0, 0), attempt, 1, range, 0);
        assert_eq!(story.broken(), [4], "{range:?}");
    }
}

#[test]
fn a_result_out_of_nowhere_is_noticed() {
    let mut story = Story::begin();
    story.submit(100, 10);
    let attempt = AttemptId { epoch: Epoch(2), serial: 1 };
    story.count(query(1, 0, 0), attempt, 1, (0, 10), 0);
    assert_eq!(story.broken(), [4], "never dispatched");

    let mut story = Story::begin();
    story.submit(100, 10);
    let attempt = story.dispatch(query(1, 0, 0), 1);
    story.accept(query(1, 0, 0), attempt, 1);
    story.count(query(1, 0, 0), attempt, 1, (0, 10), 0);
    assert_eq!(story.broken(), [4], "never ended");

    let mut story = Story::begin();
    story.submit(100, 10);
    let attempt = story.work(query(1, 0, 0), 1);
    story.count(query(1, 0, 0), attempt, 2, (0, 10), 0);
    assert_eq!(story.broken(), [4], "by another worker");

    let mut story = Story::begin();
    story.submit(100, 10);
    let attempt = story.dispatch(query(1, 0, 0), 1);
    story.accept(query(1, 0, 0), attempt, 1);
    let error = Some("broke".into());
    story.node(1, Observation::Ended { query: query(1, 0, 0), attempt, error });
    let mut failed = story.clone();
    story.count(query(1, 0, 0), attempt, 1, (0, 10), 0);
    assert_eq!(story.broken(), [4], "it brought nothing");
    failed.count(query(1, 0, 0), attempt, 1, (0, 10), 10);
    assert_eq!(failed.broken(), [0_u8; 0], "all inputs may end as failures");

    let mut story = Story::begin();
    let attempt = story.dispatch(query(8, 0, 0), 1);
    story.count(query(8, 0, 0), attempt, 1, (0, 10), 0);
    assert_eq!(story.broken(), [4], "there is no such job");
}

#[test]
fn orders_and_ends_out_of_nowhere_are_noticed() {
    let attempt = AttemptId { epoch: Epoch(2), serial: 5 };
    let mut story = Story::begin();
    story.submit(100, 10);
    story.accept(query(1, 0, 0), attempt, 1);
    assert_eq!(story.broken(), [4]);
    let mut story = Story::begin();
    story.submit(100, 10);
    story.end(query(1, 0, 0), attempt, 1);
    assert_eq!(story.broken(), [4]);
    let mut story = Story::begin();
    story.submit(100, 10);
    story.node(0, Observation::Inherited { query: query(1, 0, 0), attempt, worker: story.id(1) });
    assert_eq!(story.broken(), [4]);
    let mut story = Story::begin();
    story.submit(100, 10);
    let attempt = story.dispatch(query(1, 0, 0), 1);
    story.accept(query(1, 0, 0), attempt, 2);
    assert_eq!(story.broken(), [4], "it was meant for another");
    let mut story = Story::begin();
    story.submit(100, 10);
    story.dispatch(query(1, 0, 10), 1);
    assert_eq!(story.broken(), [4], "there is no such query");
}

#[test]
fn late_news_of_a_counted_query_is_no_offence() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    let hedge = story.dispatch(query(1, 0, 0), 3);
    story.serve(job, 0, 1);
    story.accept(query(1, 0, 0), hedge, 3);
    story.end(query(1, 0, 0), hedge, 3);
    let completion = Completion {
        query: query(1, 0, 0),
        attempt: hedge,
        worker: story.id(3),
        answer: Answer { inputs: 10, ..Answer::default() },
    };
    let reason = Uncounted::Duplicate;
    let change = Change::Uncounted { query: query(1, 0, 0), attempt: hedge, reason };
    story.commit(Payload::Command(Command::Complete(vec![completion])), vec![change]);
    assert_eq!(story.broken(), [0_u8; 0]);
}

#[test]
fn an_answer_to_an_open_query_that_is_refused_is_noticed() {
    for reason in [Uncounted::Duplicate, Uncounted::Void, Uncounted::NoJob] {
        let mut story = Story::begin();
        story.submit(100, 10);
        let attempt = story.work(query(1, 0, 0), 1);
        let answer = Answer { inputs: 10, ..Answer::default() };
        let completion = Completion { query: query(1, 0, 0), attempt, worker: story.id(1), answer };
        let change = Change::Uncounted { query: query(1, 0, 0), attempt, reason };
        story.commit(Payload::Command(Command::Complete(vec![completion])), vec![change]);
        assert_eq!(story.broken(), [4], "{reason:?}");
    }
}

#[test]
fn a_job_that_ends_too_early_twice_or_goes_on_is_noticed() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.serve(job, 0, 1);
    let ended = Change::JobEnded { job, cancelled: false };
    story.commit(Payload::Noop, vec![ended.clone()]);
    assert_eq!(story.broken(), [4]);
    assert_eq!(story.verdict().queries_lost, 9);
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.cancel(job);
    story.commit(Payload::Noop, vec![ended]);
    assert_eq!(story.broken(), [4]);
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    let attempt = story.work(query(1, 0, 1), 1);
    story.cancel(job);
    story.count(query(1, 0, 1), attempt, 1, (10, 10), 0);
    assert_eq!(story.broken(), [4]);
}

#[test]
fn a_count_that_differs_from_the_completion_in_the_entry_is_noticed() {
    let mut story = Story::eventful();
    let hidden = |changes: &Arc<[Change]>| -> Option<Arc<[Change]>> {
        let mut changes = changes.to_vec();
        let Some(Change::Counted { failed, .. }) = changes.first_mut() else { return None };
        (*failed > 0).then(|| *failed = 0)?;
        Some(changes.into())
    };
    let changed = story.retell(|_, observation| match observation {
        Observation::Applied { changes, .. } => hidden(changes).map(|told| *changes = told).is_some(),
        _ => false,
    });
    assert!(changed > 0);
    assert_eq!(story.broken(), [4], "failed inputs that were swept under the carpet");
}

#[test]
fn a_job_that_nobody_asked_for_or_not_like_this_is_noticed() {
    let mut story = Story::begin();
    let added = Change::JobAdded { job: JobId(1), spec: Arc::new(spec(10, 10)) };
    story.commit(Payload::Noop, vec![added.clone()]);
    assert_eq!(story.broken(), [4]);
    let mut story = Story::begin();
    let number = story.ask(Request::Submit(spec(99, 10)));
    story.request(number, Request::Submit(spec(10, 10)), vec![added.clone()]);
    assert_eq!(story.broken(), [4]);
    let mut story = Story::begin();
    let number = story.ask(Request::Submit(spec(99, 10)));
    story.request(number, Request::Submit(spec(99, 10)), vec![added]);
    assert_eq!(story.broken(), [4]);
}

#[test]
fn a_cut_that_does_not_follow_from_the_last_is_noticed() {
    for (cut, boundary, batch) in [(2, 0, 5), (0, 0, 5), (1, 100, 5), (1, 0, 0)] {
        let mut story = Story::begin();
        let job = story.submit(100, 10);
        story.recut(job, cut, boundary, batch);
        assert_eq!(story.broken(), [4], "cut {cut} at {boundary} in batches of {batch}");
    }
}

#[test]
fn attempts_are_never_numbered_alike() {
    let mut story = Story::begin();
    story.submit(100, 10);
    story.dispatch(query(1, 0, 0), 1);
    story.dispatch(query(1, 0, 1), 2);
    let changed = story.retell(|_, observation| match observation {
        Observation::Dispatched { attempt, .. } if attempt.serial == 2 => {
            attempt.serial = 1;
            true
        }
        _ => false,
    });
    assert_eq!((changed, story.broken()), (1, vec![4]));
}

// 5: fencing.

#[test]
fn a_worker_that_obeys_an_old_reign_is_noticed() {
    let mut story = Story::eventful();
    let job = story.submit(100, 10);
    story.serve(job, 0, 2);
    let attempt = story.dispatch(query(3, 0, 1), 2);
    story.node(2, Observation::Accepted { query: query(3, 0, 1), attempt, epoch: Epoch(2) });
    assert_eq!(story.broken(), [5]);
}

#[test]
fn an_order_of_a_reign_that_nobody_led_is_noticed() {
    let mut story = Story::begin();
    story.submit(100, 10);
    let attempt = story.dispatch(query(1, 0, 0), 1);
    story.node(1, Observation::Accepted { query: query(1, 0, 0), attempt, epoch: Epoch(9) });
    assert_eq!(story.broken(), [5]);
}

#[test]
fn a_deposed_coordinator_that_goes_on_is_noticed() {
    for how in 0..4 {
        let mut story = Story::begin();
        story.submit(100, 10);
        let other = story.id(1);
        match how {
            0 => story.depose(0, 2),
            1 => story.node(0, Observation::Voted { epoch: Epoch(3), candidate: other }),
            2 => {
                story.elect(1, 3);
                (story.leader, story.epoch) = (0, Epoch(2));
            }
            _ => {
                story.crash(0);
                story.start(0);
            }
        }
        let good = story.clone();
        assert_eq!(good.broken(), [0_u8; 0], "way {how}");
        story.dispatch(query(1, 0, 0), 3);
        assert_eq!(story.broken(), [5], "way {how}");
        for act in [
            Observation::Opened { epoch: Epoch(2) },
            Observation::Allocated { workers: [(JobId(1), 5)].into() },
            Observation::Arrived {
                query: query(1, 0, 0),
                attempt: AttemptId { epoch: Epoch(2), serial: 1 },
                answered: true,
            },
        ] {
            let mut story = good.clone();
            story.node(0, act.clone());
            assert_eq!(story.broken(), [5], "way {how}: {act:?}");
        }
    }
}

#[test]
fn a_coordinator_that_does_not_know_yet_that_it_is_deposed_does_no_wrong() {
    let mut story = Story::begin();
    story.submit(100, 10);
    story.say(Some(0), What::Paused(story.id(0)));
    story.late = vec![0];
    for voter in 1..SIZE {
        story.node(voter, Observation::Voted { epoch: Epoch(3), candidate: story.id(1) });
    }
    story.node(1, Observation::Led { epoch: Epoch(3) });
    story.say(Some(0), What::Resumed(story.id(0)));
    story.dispatch(query(1, 0, 0), 3);
    story.depose(0, 2);
    assert_eq!(story.broken(), [0_u8; 0]);
}

#[test]
fn a_reign_that_signs_with_anothers_name_is_noticed() {
    let mut story = Story::eventful();
    story.submit(100, 10);
    story.epoch = Epoch(3);
    story.dispatch(query(3, 0, 0), 2);
    assert_eq!(story.broken(), [5]);
}

// 6: views.

#[test]
fn a_fork_of_views_is_noticed() {
    let mut story = Story::eventful();
    story.node(3, Observation::Installed { view: ViewId(3), digest: 5 });
    assert_eq!(story.broken(), [6]);
    let mut story = Story::eventful();
    let changed = story.retell(|machine, observation| match observation {
        Observation::Installed { view, digest } if machine == 2 && *view == ViewId(2) => {
            *digest += 1;
            true
        }
        _ => false,
    });
    assert_eq!((changed, story.broken()), (1, vec![6]));
}

#[test]
fn views_neither_go_back_nor_skip_nor_come_from_nowhere() {
    let mut story = Story::eventful();
    let first = story.log[1].1.clone();
    let Change::ViewChanged { view, .. } = &first[0] else { panic!("the second entry founds the view") };
    story.node(3, Observation::Installed { view: view.id(), digest: view.digest() });
    assert_eq!(story.broken(), [6]);
    let mut story = Story::begin();
    story.node(3, Observation::Installed { view: ViewId(2), digest: 5 });
    assert_eq!(story.broken(), [6]);
    let mut story = Story::begin();
    story.view = Arc::new(story.view.after(&ViewChange::default()));
    story.evict(3);
    assert_eq!(story.broken(), [6]);
}

#[test]
fn an_evicted_life_that_returns_is_noticed() {
    let mut story = Story::begin();
    story.evict(3);
    let mut reborn = story.clone();
    story.join(3);
    assert_eq!(story.broken(), [6]);
    reborn.node(3, Observation::Expelled { incarnation: Incarnation(1) });
    reborn.birth(3);
    reborn.join(3);
    assert_eq!(reborn.broken(), [0_u8; 0]);
}

#[test]
fn a_life_that_is_replaced_by_an_older_one_is_noticed() {
    let mut story = Story::begin();
    story.crash(3);
    story.start(3);
    story.join(3);
    assert_eq!(story.broken(), [0_u8; 0]);
    let old = member(story.id(3), 3, Incarnation(1));
    story.change_view(ViewChange { joined: vec![old], gone: Vec::new() });
    assert_eq!(story.broken(), [6]);
}

#[test]
fn a_member_that_never_lived_is_noticed() {
    let mut story = Story::begin();
    let ghost = member(NodeId::new(666), 6, Incarnation(1));
    story.change_view(ViewChange { joined: vec![ghost], gone: Vec::new() });
    assert_eq!(story.broken(), [6]);
}

#[test]
fn a_view_that_is_not_what_its_change_makes_of_the_last_one_is_noticed() {
    for (left, joined) in [(Some(3), None), (None, Some(7))] {
        let mut story = Story::begin();
        let mut change = ViewChange::default();
        change.gone.extend(left.map(|machine| (story.id(machine), Incarnation(1))));
        if let Some(machine) = joined {
            story.ids.resize(machine as usize + 1, NodeId::new(7));
            let incarnation = Incarnation(1);
            story.say(Some(machine), What::Up(NodeId::new(7)));
            story.node(machine, Observation::Born { incarnation });
            change.joined.push(member(NodeId::new(7), machine, incarnation));
        }
        let view = Arc::new(story.view.after(&change));
        let quiet = ViewChange::default();
        let changed = Change::ViewChanged { view, change: Arc::new(quiet.clone()) };
        story.commit(Payload::Command(Command::ChangeView(quiet)), vec![changed]);
        assert_eq!(story.broken(), [6]);
    }
}

#[test]
fn work_for_a_life_that_has_left_is_noticed() {
    let mut story = Story::begin();
    story.submit(100, 10);
    story.dispatch(query(1, 0, 0), 3);
    story.evict(3);
    assert_eq!(story.broken(), [0_u8; 0]);
    story.dispatch(query(1, 0, 1), 3);
    assert_eq!(story.broken(), [6]);
}

#[test]
fn a_life_that_begins_twice_is_noticed() {
    let mut story = Story::begin();
    story.crash(3);
    story.lives[3] = Incarnation(0);
    story.start(3);
    assert_eq!(story.broken(), [6]);
}

#[test]
fn who_has_an_old_disk_counts_its_lives_again_and_gets_no_work_before_it_has_a_new_one() {
    let mut story = Story::begin();
    story.submit(100, 10);
    story.crash(3);
    story.lives[3] = Incarnation(0);
    let (kind, phase) = ("rollback".into(), FaultPhase::TookEffect);
    story.say(None, What::Fault(FaultEvent { fault: 0, kind, machines: vec![3], phase }));
    story.start(3);
    let mut reborn = story.clone();
    story.work(query(1, 0, 0), 3);
    assert_eq!(story.broken(), [6]);
    reborn.node(3, Observation::Expelled { incarnation: Incarnation(1) });
    reborn.birth(3);
    reborn.join(3);
    reborn.work(query(1, 0, 0), 3);
    assert_eq!(reborn.broken(), [0_u8; 0]);
    // That is forgiven once.
    reborn.crash(3);
    reborn.lives[3] = Incarnation(0);
    reborn.start(3);
    assert_eq!(reborn.broken(), [6]);
}

#[test]
fn a_repeated_answer_to_a_client_is_no_offence() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.request(1, Request::Submit(spec(100, 10)), Vec::new());
    story.tell(1, Reply::Submitted(job));
    assert_eq!(SESSION.0, 9);
    assert_eq!(story.broken(), [0_u8; 0]);
}

#[test]
fn a_refusal_ends_an_attempt_and_cannot_be_taken_back() {
    let refuse = |story: &mut Story, attempt| {
        let epoch = story.epoch;
        story.node(1, Observation::Refused { query: query(1, 0, 0), attempt, epoch });
    };
    let mut story = Story::begin();
    story.submit(100, 10);
    let attempt = story.dispatch(query(1, 0, 0), 1);
    refuse(&mut story, attempt);
    let (mut counted, mut accepted, mut ended, mut twice) =
        (story.clone(), story.clone(), story.clone(), story.clone());
    story.count(query(1, 0, 0), attempt, 1, (0, 10), 10);
    assert_eq!(story.broken(), [0_u8; 0], "all inputs may end as failures");
    counted.count(query(1, 0, 0), attempt, 1, (0, 10), 0);
    assert_eq!(counted.broken(), [4], "it brought nothing");
    accepted.accept(query(1, 0, 0), attempt, 1);
    assert_eq!(accepted.broken(), [4], "it takes up what it refused");
    ended.end(query(1, 0, 0), attempt, 1);
    assert_eq!(ended.broken(), [4], "it ends what it refused");
    refuse(&mut twice, attempt);
    assert_eq!(twice.broken(), [4], "it refuses twice");
    let mut foreign = Story::begin();
    foreign.submit(100, 10);
    let attempt = foreign.dispatch(query(1, 0, 0), 2);
    refuse(&mut foreign, attempt);
    assert_eq!(foreign.broken(), [4], "it was given to another worker");
}
