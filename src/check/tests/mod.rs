//! Runs that went well are clean, and each way of telling them wrongly breaks the invariant that it should.

mod linear;
mod liveness;
mod safety;
mod story;

use self::story::Story;
use super::*;
use crate::base::{Epoch, Rng, Span};

#[test]
fn an_eventful_run_that_went_well_is_clean_and_was_looked_at() {
    let mut story = Story::eventful();
    story.wait(Span::secs(100));
    let verdict = story.verdict();
    assert_eq!(verdict.violations, []);
    assert!(verdict.is_clean() && verdict.gravest().is_none());
    assert_eq!((verdict.queries_counted, verdict.queries_doubled, verdict.queries_lost), (8, 0, 0));
    assert_eq!(verdict.queries_open, 0);
    let census = verdict.census;
    assert_eq!((census.leaders, census.leaders_verified, census.jobs, census.views), (2, 2, 2, 3));
    assert_eq!((census.snapshots_compared, census.faults_began, census.faults_effective), (1, 1, 1));
    assert_eq!(census.entries, story.log.len() as u64);
    assert!(census.entries_compared > 3 * census.entries && census.votes == 9 && census.orders == 9);
    assert_eq!(census.unattributed, 0);
}

/// Whoever applies late says the same, whenever that is.
#[test]
fn a_clean_run_stays_clean_when_followers_apply_later() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut story = Story::eventful();
        let is_applied = |record: &Record| matches!(record.what, What::Node(Observation::Applied { .. }));
        // What a follower applied moves to a later place, behind what the same follower says next at the latest.
        for _ in 0..60 {
            let place = rng.below(story.records.len() as u64 - 1) as usize;
            let (here, next) = (&story.records[place], &story.records[place + 1]);
            let leads = story.records[..place].iter().rev().any(|record| {
                record.machine == here.machine && matches!(record.what, What::Node(Observation::Led { .. }))
            });
            if is_applied(here) && here.machine != next.machine && !leads && next.machine.is_some() {
                let (at, later) = (here.at, next.at);
                story.records.swap(place, place + 1);
                (story.records[place].at, story.records[place + 1].at) = (at, later);
            }
        }
        let verdict = story.verdict();
        assert!(verdict.is_clean(), "seed {seed}: {:?}", verdict.violations);
    }
}

#[test]
fn a_violation_names_invariant_time_machines_and_seed() {
    let mut story = Story::begin();
    story.node(3, Observation::Led { epoch: Epoch(2) });
    let verdict = story.verdict();
    let text = verdict.violations[0].to_string();
    let at = story.now;
    assert_eq!(
        text,
        format!(
            "{at} on n1, n4, seed 77: both were elected in epoch 2. Invariant 1: each epoch has at most one leader, \
             elected by a majority that votes once and never goes back."
        )
    );
    assert_eq!(verdict.gravest(), Some(Kind::Safety));
    assert_eq!(verdict.violations[0].machines, [0, 3]);
}

#[test]
fn at_most_a_hundred_violations_are_kept_and_all_are_counted() {
    let mut story = Story::begin();
    for _ in 0..250 {
        story.node(3, Observation::Led { epoch: Epoch(2) });
    }
    let verdict = story.verdict();
    // So many leaders are a violation of their own as well.
    assert_eq!((verdict.violations.len(), verdict.violations_found), (VIOLATIONS_MAX, 251));
}

#[test]
fn every_invariant_has_its_own_number_and_words() {
    let numbers: Vec<u8> = Invariant::ALL.iter().map(|invariant| invariant.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    for invariant in Invariant::ALL {
        assert!(!invariant.statement().ends_with('.'));
        assert_eq!(invariant.kind() == Kind::Liveness, matches!(invariant.number(), 7 | 8));
    }
}

#[test]
fn what_nodes_say_that_never_came_up_is_passed_over_and_counted() {
    let mut story = Story::begin();
    story.omit(|record| matches!(record.what, What::Up(_)));
    let census = story.verdict().census;
    assert!(census.unattributed > 0 && census.entries == 0 && census.leaders == 0);
}

#[test]
fn a_checker_is_a_sink_that_may_run_beside_others() {
    let story = Story::eventful();
    let mut kept: Vec<Record> = Vec::new();
    let mut both = (Checker::new(&story.plan, 1), &mut kept);
    for record in &story.records {
        both.record(record);
    }
    assert!(both.0.finish(story.now).is_clean());
    assert_eq!(kept, story.records);
}
