//! Processes that starve, are suspended, or have clocks that run wrong.

use super::*;

/// The milliseconds at which a machine woke, by the run's clock and by its own.
fn wakes(history: &[Record], machine: Machine) -> Vec<(u64, u64)> {
    let stood = |(at, seen): (u64, &Observation)| match seen {
        Observation::Stood { epoch } => Some((at, epoch.0 / 1_000_000)),
        _ => None,
    };
    seen(history, machine).into_iter().filter_map(stood).collect()
}

#[test]
fn a_skewed_clock_runs_so_many_times_as_fast_and_others_do_not() {
    for (factor, beats) in [(2.0, 140), (0.5, 80)] {
        let mut plan = plan(&["silent"; 2]);
        plan.faults.push(fault(200, FaultKind::Skew(factor), Target::Node(1), Some(400)));
        let (_, history) = run(&plan, 1);
        let skewed = wakes(&history, 1);
        assert!(skewed.len().abs_diff(beats) <= 2, "{factor}: {} wake-ups", skewed.len());
        let last = skewed.last().expect("it woke").1;
        assert!(last.abs_diff(beats as u64 * 10) <= 20, "{factor}: its clock shows {last} ms");
        assert_eq!(wakes(&history, 0).len(), 101);
    }
}

#[test]
fn for_a_suspended_process_no_time_has_passed_and_for_a_paused_one_it_has() {
    for (kind, shown) in [(FaultKind::Suspend, 700), (FaultKind::Pause, 1_000)] {
        let mut plan = plan(&["silent"; 2]);
        plan.faults.push(fault(205, kind.clone(), Target::Node(1), Some(300)));
        let (_, history) = run(&plan, 1);
        let wakes = wakes(&history, 1);
        assert!(wakes.iter().all(|(at, _)| !(206..505).contains(at)), "{kind:?}: {wakes:?}");
        let last = wakes.last().expect("it woke").1;
        assert!(last.abs_diff(shown) <= 10, "{kind:?}: its clock shows {last} ms");
    }
}

#[test]
fn a_starved_process_does_everything_late_and_in_order_and_is_whole_again_afterwards() {
    let mut plan = plan(&["silent"; 2]);
    let late = Draw::Uniform(Span::millis(40), Span::millis(80));
    plan.faults.push(fault(200, FaultKind::Starve(late), Target::Node(1), Some(500)));
    let (_, history) = run(&plan, 1);
    let wakes: Vec<u64> = wakes(&history, 1).iter().map(|(at, _)| *at).collect();
    let starved: Vec<u64> = wakes.iter().copied().filter(|at| (201..700).contains(at)).collect();
    assert!((5..=13).contains(&starved.len()), "{starved:?}");
    let gaps = starved.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.clone().all(|gap| (40..=82).contains(&gap)), "{starved:?}");
    assert!(wakes.iter().filter(|at| **at > 710).count() >= 28, "{wakes:?}");
    let pings = seen(&history, 1).into_iter().filter_map(|(_, seen)| match seen {
        Observation::Voted { epoch, .. } if epoch.0 % 2 == 0 => Some(epoch.0),
        _ => None,
    });
    let pings: Vec<u64> = pings.collect();
    assert!(pings.is_sorted() && pings.len() >= 99, "{} pings, or out of order", pings.len());
    assert_eq!(reported(&history, 0, &FaultPhase::Ended), [700]);
    assert_eq!(reported(&history, 0, &FaultPhase::TookEffect).len(), 1);
}

#[test]
fn a_process_that_begins_on_a_starved_machine_starves_as_well() {
    let mut plan = plan(&["silent"; 2]);
    let late = Draw::Fixed(Span::millis(100));
    plan.faults.push(fault(200, FaultKind::Starve(late), Target::Node(1), Some(500)));
    plan.faults.push(fault(250, FaultKind::Restart, Target::Node(1), None));
    let (_, history) = run(&plan, 1);
    let wakes: Vec<u64> = wakes(&history, 1).iter().map(|(at, _)| *at).collect();
    assert!(wakes.iter().all(|at| !(251..300).contains(at)), "{wakes:?}");
    assert!(wakes.contains(&300) && wakes.iter().filter(|at| **at > 700).count() >= 28, "{wakes:?}");
}

#[test]
fn what_waits_for_a_starved_process_survives_a_pause_that_begins_meanwhile() {
    let mut plan = plan(&["silent"; 2]);
    plan.faults.push(fault(
        202,
        FaultKind::Starve(Draw::Fixed(Span::millis(100))),
        Target::Node(1),
        Some(90),
    ));
    plan.faults.push(fault(250, FaultKind::Pause, Target::Node(1), Some(100)));
    let (_, history) = run(&plan, 1);
    // The sync of the write at 200 ms ends at 204 ms, while the process starves; without it nothing is ever durable again.
    let durable = |(at, seen): (u64, &Observation)| match seen {
        Observation::Led { epoch } if at >= 202 => Some((at, epoch.0)),
        _ => None,
    };
    let durable: Vec<_> = seen(&history, 1).into_iter().filter_map(durable).collect();
    assert_eq!(durable.first(), Some(&(350, 21)), "{durable:?}");
    assert!(durable.len() > 50, "{durable:?}");
}
