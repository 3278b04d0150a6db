//! Faults that happen again, on each machine on its own, or in the midst of something.

use super::*;
use crate::history::FaultEvent;
use crate::scenario::{Repeat, Trigger};

fn millis(ms: u64) -> Draw {
    Draw::Fixed(Span::millis(ms))
}

fn again(fault: Fault, every: Draw, times: Option<u32>) -> Fault {
    Fault { repeat: Some(Repeat { every, times }), ..fault }
}

/// The machines that a fault hit, with the milliseconds at which each time of it came to this phase.
fn hits(history: &[Record], phase: &FaultPhase) -> Vec<(u64, Vec<Machine>)> {
    let hit = history.iter().filter_map(|record| match &record.what {
        What::Fault(event) if event.phase == *phase => {
            Some((record.at.0 / 1_000_000, event.machines.clone()))
        }
        _ => None,
    });
    hit.collect()
}

#[test]
fn a_fault_with_an_every_happens_again_and_takes_effect_each_time() {
    let mut plan = plan(&["silent"; 2]);
    let crash = fault(100, FaultKind::Crash { wipe: false }, Target::Node(1), Some(30));
    plan.faults.push(again(crash, millis(200), Some(3)));
    let (_, history) = run(&plan, 1);
    for phase in [FaultPhase::Began, FaultPhase::TookEffect] {
        assert_eq!(reported(&history, 0, &phase), [100, 300, 500], "{phase:?}");
    }
    assert_eq!(reported(&history, 0, &FaultPhase::Ended), [130, 330, 530]);
    let starts = history.iter().filter(|record| matches!(record.what, What::Up(_)));
    assert_eq!(starts.filter(|record| record.machine == Some(1)).count(), 4);
}

#[test]
fn a_fault_does_not_happen_again_before_it_has_ended_and_goes_on_until_the_trial_ends() {
    let mut plan = plan(&["silent"; 2]);
    plan.faults.push(again(fault(100, FaultKind::Isolate, Target::Node(1), Some(250)), millis(100), None));
    let (_, history) = run(&plan, 1);
    assert_eq!(reported(&history, 0, &FaultPhase::Began), [100, 350, 600, 850]);
    assert_eq!(reported(&history, 0, &FaultPhase::Ended), [350, 600, 850]);
}

#[test]
fn a_run_that_ends_when_all_is_done_waits_for_the_last_time_of_a_fault() {
    let mut plan = plan(&["silent"; 2]);
    plan.until = Until::Done;
    let pause = fault(100, FaultKind::Pause, Target::Node(1), Some(20));
    plan.faults.push(again(pause, millis(3_000), Some(4)));
    plan.faults.push(again(fault(50, FaultKind::Restart, Target::Node(0), None), millis(100), Some(2)));
    let (outcome, history) = run(&plan, 1);
    assert_eq!(reported(&history, 0, &FaultPhase::Ended), [120, 3_120, 6_120, 9_120]);
    assert_eq!(reported(&history, 1, &FaultPhase::Ended), [50, 150]);
    assert!(outcome.ended_at >= Time::ZERO + Span::millis(9_120), "{}", outcome.ended_at);
}

#[test]
fn each_machine_draws_its_own_times_and_draws_them_anew() {
    let mut plan = plan(&["silent"; 8]);
    plan.until = Until::At(Span::secs(40));
    let mut pause = fault(0, FaultKind::Pause, Target::Each, Some(0));
    pause.at = Draw::Uniform(Span::ZERO, Span::secs(10));
    pause.lasting = Some(Draw::Uniform(Span::millis(1), Span::millis(1500)));
    plan.faults.push(again(pause, Draw::Uniform(Span::secs(8), Span::secs(12)), None));
    for seed in 0..20 {
        let (_, history) = run(&plan, seed);
        let began = hits(&history, &FaultPhase::Began);
        let ended = hits(&history, &FaultPhase::Ended);
        let mut lengths = std::collections::BTreeSet::new();
        for machine in 0..8 {
            let of = |hits: &[(u64, Vec<Machine>)]| -> Vec<u64> {
                hits.iter().filter(|(_, hit)| *hit == [machine]).map(|(at, _)| *at).collect()
            };
            let (began, ended) = (of(&began), of(&ended));
            assert!((3..=5).contains(&began.len()), "seed {seed}: {began:?}");
            let gaps: Vec<u64> = began.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(gaps.iter().all(|gap| (7_999..=12_001).contains(gap)), "seed {seed}: {gaps:?}");
            lengths.extend(began.iter().zip(&ended).map(|(from, to)| to - from));
            lengths.extend(gaps);
        }
        assert!(lengths.len() > 40, "seed {seed}: drawn once and not each time: {lengths:?}");
        assert_eq!(began.len(), hits(&history, &FaultPhase::TookEffect).len(), "seed {seed}");
    }
}

#[test]
fn a_fault_that_repeats_shifts_no_draw_of_its_first_time_or_of_others() {
    let mut plan = plan(&["silent"; 5]);
    for at in [100, 150] {
        let mut loss = fault(0, FaultKind::Isolate, Target::Random(2), Some(20));
        loss.at = Draw::Uniform(Span::millis(at), Span::millis(at + 50));
        plan.faults.push(loss);
    }
    let (_, once) = run(&plan, 3);
    plan.faults[0].repeat = Some(Repeat { every: millis(300), times: Some(2) });
    let (_, twice) = run(&plan, 3);
    let (once, twice) = (hits(&once, &FaultPhase::Began), hits(&twice, &FaultPhase::Began));
    assert_eq!(once[..], twice[..2]);
    assert_eq!((once.len(), twice.len()), (2, 3));
}

#[test]
fn what_waits_for_an_election_begins_in_its_midst_on_the_one_concerned() {
    let mut plan = plan(&["silent"; 3]);
    // To these processes every wake-up is an election, and they wake every 10 ms.
    let crash = fault(205, FaultKind::Crash { wipe: false }, Target::Concerned, Some(50));
    plan.faults.push(Fault { trigger: Some(Trigger::Election), ..crash });
    let (_, history) = run(&plan, 1);
    assert_eq!(hits(&history, &FaultPhase::Began), [(210, vec![0])]);
    assert_eq!(reported(&history, 0, &FaultPhase::TookEffect), [210]);
}

#[test]
fn what_waits_for_an_election_can_begin_some_time_after_it() {
    let mut plan = plan(&["silent"; 3]);
    let crash = fault(205, FaultKind::Crash { wipe: false }, Target::Concerned, Some(50));
    let after = Draw::Fixed(Span::millis(7));
    plan.faults.push(Fault { trigger: Some(Trigger::Election), after, ..crash });
    let (_, history) = run(&plan, 1);
    assert_eq!(hits(&history, &FaultPhase::Began), [(217, vec![0])]);
}

#[test]
fn what_waits_for_something_that_never_happens_is_missed_in_the_end() {
    let mut plan = plan(&["silent"; 3]);
    plan.until = Until::Done;
    let crash = fault(1_000, FaultKind::Restart, Target::Coordinator, None);
    plan.faults.push(Fault { trigger: Some(Trigger::Seats), ..crash });
    let (outcome, history) = run(&plan, 1);
    let missed = history.iter().find_map(|record| match &record.what {
        What::Fault(FaultEvent { phase: FaultPhase::Missed { reason }, .. }) => Some((record.at, reason)),
        _ => None,
    });
    let (at, reason) = missed.expect("it was missed");
    assert_eq!(at, Time::ZERO + Span::secs(61));
    assert!(reason.contains("seats"), "{reason}");
    assert!(outcome.ended_at > at);
}
