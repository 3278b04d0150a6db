//! Invariants 7 and 8: what is due once the cluster is calm, and what is not.

use super::story::{SIZE, Story, WITHIN, query};
use crate::base::{Draw, Span, ViewId};
use crate::history::{FaultPhase, What};
use crate::node::{Observation, Request};
use crate::scenario::{FaultKind, Until};

const NOTHING: [u8; 0] = [];

#[test]
fn a_dead_member_that_is_never_evicted_is_noticed() {
    let mut story = Story::begin();
    story.crash(3);
    story.wait(WITHIN - Span::millis(100));
    assert_eq!(story.broken(), NOTHING);
    story.wait(Span::millis(200));
    assert_eq!(story.broken(), [7]);
    let violation = &story.verdict().violations[0];
    assert_eq!(&*violation.names[0], "n4");
    let mut good = Story::begin();
    good.crash(3);
    good.wait(WITHIN - Span::millis(100));
    good.evict(3);
    good.wait(WITHIN * 3);
    assert_eq!(good.broken(), NOTHING);
}

#[test]
fn a_deadline_counts_when_the_next_record_comes_much_later() {
    let mut story = Story::begin();
    story.crash(3);
    let crashed = story.now;
    story.wait(WITHIN * 4);
    story.evict(3);
    let verdict = story.verdict();
    assert_eq!(verdict.violations.len(), 1);
    assert_eq!(verdict.violations[0].at, crashed + WITHIN);
}

#[test]
fn a_member_that_lives_and_is_left_out_is_noticed() {
    let mut story = Story::begin();
    story.evict(3);
    story.node(3, Observation::Expelled { incarnation: story.lives[3] });
    story.birth(3);
    story.wait(WITHIN - Span::millis(100));
    let mut good = story.clone();
    good.join(3);
    good.wait(WITHIN * 3);
    assert_eq!(good.broken(), NOTHING);
    story.wait(WITHIN);
    assert_eq!(story.broken(), [7]);
}

#[test]
fn a_new_life_that_the_view_does_not_take_over_is_noticed() {
    let mut story = Story::begin();
    story.crash(3);
    story.start(3);
    story.wait(WITHIN + Span::millis(100));
    assert_eq!(story.broken(), [7]);
}

#[test]
fn a_wiped_machine_returns_under_a_new_name_and_the_old_one_leaves() {
    let mut story = Story::begin();
    story.crash(3);
    let old = story.clone();
    story.ids[3] = crate::base::NodeId::new(555);
    story.lives[3] = crate::base::Incarnation(0);
    story.start(3);
    story.join(3);
    let mut ghost = story.clone();
    ghost.wait(WITHIN * 2);
    assert_eq!(ghost.broken(), [7]);
    let gone = vec![(old.id(3), old.lives[3])];
    story.change_view(crate::node::ViewChange { joined: Vec::new(), gone });
    story.wait(WITHIN * 2);
    assert_eq!(story.broken(), NOTHING);
}

#[test]
fn nothing_is_promised_without_a_majority() {
    let mut story = Story::begin();
    story.submit(100, 10);
    story.ask(Request::Jobs);
    for machine in [0, 3, 4] {
        story.crash(machine);
    }
    story.wait(WITHIN * 10);
    assert_eq!(story.broken(), NOTHING);
    story.start(3);
    story.wait(WITHIN * 10);
    assert_eq!(story.broken(), [7, 8], "with three of five it is promised again");
}

#[test]
fn nothing_is_promised_to_or_of_a_machine_that_is_cut_off_or_paused() {
    for phase in [FaultPhase::Began, FaultPhase::Ended] {
        let mut story = Story::begin();
        story.fault(1, vec![3], FaultPhase::Began);
        story.say(Some(4), What::Paused(story.id(4)));
        story.evict(3);
        story.evict(4);
        story.wait(WITHIN * 10);
        let ended = phase == FaultPhase::Ended;
        if ended {
            story.fault(1, vec![3], phase);
            story.say(Some(4), What::Resumed(story.id(4)));
            story.wait(WITHIN + Span::millis(10));
        }
        assert_eq!(story.broken(), if ended { vec![7] } else { vec![] });
    }
}

#[test]
fn every_fault_restarts_the_clock() {
    let mut story = Story::begin();
    story.crash(3);
    for _ in 0..10 {
        story.wait(WITHIN - Span::millis(500));
        story.fault(0, vec![2], FaultPhase::Began);
    }
    assert_eq!(story.broken(), NOTHING);
}

/// A write that was begun while the disk was slow takes as long as it takes.
#[test]
fn no_calm_begins_before_the_last_slow_write_is_through() {
    let delay = WITHIN * 3;
    let mut story = Story::unled();
    story.plan.faults[1].kind = FaultKind::SlowDisk(Draw::Fixed(delay));
    let all: Vec<u32> = (0..SIZE).collect();
    story.fault(1, all.clone(), FaultPhase::Began);
    story.wait(Span::secs(1));
    story.fault(1, all, FaultPhase::Ended);
    story.wait(delay + WITHIN - Span::millis(100));
    assert_eq!(story.broken(), NOTHING);
    story.wait(Span::millis(300));
    assert_eq!(story.broken(), [7]);
}

/// Nobody has said yet who votes. Before, as after, a majority of empty disks is none.
#[test]
fn nothing_is_promised_when_the_disks_are_lost_before_anybody_leads() {
    let mut story = Story::unled();
    for machine in 0..SIZE as usize {
        story.crash(machine as u32);
        story.ids[machine] = crate::base::NodeId::new(555 + machine as u64);
        story.lives[machine] = crate::base::Incarnation(0);
        story.start(machine as u32);
    }
    story.wait(WITHIN * 3);
    assert_eq!(story.broken(), NOTHING);
}

#[test]
fn a_cluster_that_elects_nobody_is_noticed() {
    let mut story = Story::unled();
    story.wait(WITHIN + Span::millis(100));
    assert_eq!(story.broken(), [7]);
    let mut story = Story::begin();
    story.depose(0, 2);
    story.wait(WITHIN + Span::millis(100));
    assert_eq!(story.broken(), [7]);
    let mut story = Story::begin();
    story.say(Some(0), What::Paused(story.id(0)));
    story.wait(Span::millis(300));
    story.say(Some(0), What::Resumed(story.id(0)));
    story.wait(WITHIN * 3);
    assert_eq!(story.broken(), NOTHING, "a leader that slept may lead on");
}

#[test]
fn a_member_that_never_hears_of_a_view_is_noticed() {
    let mut story = Story::begin();
    story.crash(3);
    story.evict(3);
    story.omit(|record| {
        record.machine == Some(4)
            && matches!(record.what, What::Node(Observation::Installed { view: ViewId(2), .. }))
    });
    story.wait(WITHIN - Span::millis(100));
    assert_eq!(story.broken(), NOTHING);
    story.wait(Span::millis(300));
    assert_eq!(story.broken(), [7]);
}

#[test]
fn a_stranded_query_is_noticed_once_its_work_must_be_over() {
    let mut story = Story::begin();
    let job = story.submit(100, 10);
    story.serve(job, 0, 1);
    story.wait(WITHIN + Span::millis(100));
    assert_eq!(story.broken(), NOTHING, "a load and two queries take a while as well");
    story.wait(Span::millis(200));
    assert_eq!(story.broken(), [8]);
    assert_eq!(story.verdict().queries_open, 9);
}

#[test]
fn one_job_that_starves_beside_a_busy_one_is_noticed() {
    let mut story = Story::begin();
    let busy = story.submit(1000, 10);
    story.submit(100, 10);
    for number in 0..70 {
        story.serve(busy, number, 1);
        story.wait(Span::millis(100));
    }
    let verdict = story.verdict();
    assert_eq!(story.broken(), [8]);
    assert_eq!(verdict.violations.len(), 1);
    assert!(verdict.violations[0].detail.contains("job 2"), "{}", verdict.violations[0]);
}

#[test]
fn a_job_without_any_worker_is_not_stranded() {
    let mut story = Story::begin();
    for node in &mut story.plan.nodes {
        node.worker = false;
    }
    story.submit(100, 10);
    story.wait(WITHIN * 10);
    assert_eq!(story.broken(), NOTHING);
}

#[test]
fn a_request_that_is_never_answered_is_noticed() {
    let mut story = Story::begin();
    story.ask(Request::Jobs);
    story.wait(WITHIN - Span::millis(10));
    assert_eq!(story.broken(), NOTHING);
    story.wait(Span::millis(20));
    assert_eq!(story.broken(), [8]);
}

#[test]
fn a_run_that_is_cut_short_owes_nothing_more() {
    let mut story = Story::begin();
    story.submit(100, 10);
    story.dispatch(query(1, 0, 0), 1);
    story.crash(SIZE - 1);
    story.wait(WITHIN / 2);
    assert_eq!(story.broken(), NOTHING);
    story.plan.until = Until::Done;
    assert_eq!(story.broken(), NOTHING);
}

#[test]
fn a_run_that_is_given_up_with_work_left_is_noticed() {
    let mut story = Story::begin();
    story.submit(100, 10);
    story.wait(WITHIN + Span::millis(20));
    assert_eq!(story.broken(), NOTHING);
    story.plan.until = Until::Done;
    assert_eq!(story.broken(), [8]);
}
