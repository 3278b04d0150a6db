//! Disks and engines that fail in ways of their own: what comes of it for a whole cluster, under many seeds.

use idunno::base::{NodeId, Span, Time};
use idunno::check::{Checker, Verdict};
use idunno::history::{Change, FaultPhase, Observation, Record, What};
use idunno::scenario::Plan;
use idunno::sim;

/// A trial in which nothing that must hold was broken and the first fault took effect.
struct Trial {
    seed: u64,
    verdict: Verdict,
    records: Vec<Record>,
}

/// Runs five machines, or as many as `fault` says, with one job, under a fault.
fn run(fault: &str, seed: u64) -> Trial {
    let nodes = if fault.contains("nodes =") { "" } else { "nodes = 5" };
    let text = format!(
        r#"
        {nodes}
        {fault}
        [model.m]
        load = "100ms"
        per_input = "lognormal(50ms, 0.3)"
        [[job]]
        name = "job"
        model = "m"
        inputs = 600
        batch = 4
        "#
    );
    let plan = Plan::read(&text, "ailment.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut sink = (Checker::new(&plan, seed), Vec::new());
    let outcome = sim::run(&plan, seed, &mut sink, &|| false);
    let (checker, records) = sink;
    let trial = Trial { seed, verdict: checker.finish(outcome.ended_at), records };
    assert!(outcome.unfinished.is_empty(), "seed {seed}: {:?}", outcome.unfinished);
    assert!(trial.verdict.is_clean(), "seed {seed}: {:?}", trial.verdict.violations);
    let lost = (trial.verdict.queries_lost, trial.verdict.queries_doubled, trial.verdict.queries_counted);
    assert_eq!(lost, (0, 0, 150), "seed {seed}");
    trial
}

impl Trial {
    /// When the first fault came to this phase.
    fn phase(&self, phase: &FaultPhase) -> Option<Time> {
        let of = |record: &&Record| match &record.what {
            What::Fault(event) => event.fault == 0 && event.phase == *phase,
            _ => false,
        };
        self.records.iter().find(of).map(|record| record.at)
    }

    /// When the first fault began, took effect and ended.
    fn course(&self) -> (Time, Time, Time) {
        let at = |phase| self.phase(&phase).unwrap_or_else(|| panic!("seed {}: no {phase:?}", self.seed));
        (at(FaultPhase::Began), at(FaultPhase::TookEffect), at(FaultPhase::Ended))
    }

    /// The starts and ends of processes on a machine after the beginning.
    fn lives(&self, machine: u32) -> Vec<(Time, bool, NodeId)> {
        let one = |record: &Record| match record.what {
            What::Up(id) => Some((record.at, true, id)),
            What::Down(id) => Some((record.at, false, id)),
            _ => None,
        };
        let of = self.records.iter().filter(|record| record.machine == Some(machine));
        of.filter_map(one).filter(|(at, ..)| *at > Time::ZERO).collect()
    }

    fn observations(&self) -> impl Iterator<Item = (Time, &Observation)> {
        self.records.iter().filter_map(|record| match &record.what {
            What::Node(observation) => Some((record.at, observation)),
            _ => None,
        })
    }

    /// How many inputs failed in the end.
    fn failed(&self) -> u32 {
        let mut last = 0;
        let mut failed = 0;
        for (_, observation) in self.observations() {
            let Observation::Applied { entry, changes, .. } = observation else { continue };
            if entry.position.index.0 <= last {
                continue;
            }
            last = entry.position.index.0;
            for change in &**changes {
                if let Change::Counted { failed: some, .. } = change {
                    failed += some;
                }
            }
        }
        failed
    }

    /// Why attempts ended without an answer.
    fn errors(&self) -> Vec<&str> {
        let error = |(_, observation)| match observation {
            &Observation::Ended { error: Some(ref error), .. } => Some(&**error),
            _ => None,
        };
        self.observations().filter_map(error).collect()
    }
}

/// Half of all syncs take longer than 64 ms, one in a hundred longer than a quarter of a second.
#[test]
fn slow_disks_disturb_no_heartbeat_and_depose_nobody() {
    for seed in 0..20 {
        let trial = run(
            r#"
            [[fault]]
            at = "1s"
            kind = "slow_disk"
            target = "all"
            delay = "lognormal(60ms, 0.6)"
            for = "10s"
            "#,
            seed,
        );
        let (began, ..) = trial.course();
        for (at, observation) in trial.observations().filter(|(at, _)| *at > began) {
            let disturbs = matches!(
                observation,
                Observation::Suspected { .. } | Observation::Stood { .. } | Observation::SteppedDown { .. }
            );
            assert!(!disturbs, "seed {seed}, at {at}: {observation:?}");
        }
    }
}

#[test]
fn a_process_whose_disk_is_full_ends_and_is_back_when_there_is_room() {
    for seed in 0..20 {
        let trial = run(
            r#"
            [[fault]]
            at = "2s..3s"
            kind = "full_disk"
            target = "node 1"
            for = "3s"
            [[fault]]
            at = "1s"
            kind = "crash"
            target = "node 1"
            for = "2s..4s"
            "#,
            seed,
        );
        let (_, took_effect, ended) = trial.course();
        let lives = trial.lives(0);
        // It ends by the crash or for lack of room, and starts once: when there is room.
        let [(down, false, old), (up, true, new)] = lives[..] else { panic!("seed {seed}: {lives:?}") };
        assert_eq!(old, new, "seed {seed}: it keeps its disk");
        assert!(down < took_effect && up == ended, "seed {seed}: {lives:?}");
    }
}

#[test]
fn a_coordinator_whose_disk_is_full_is_replaced() {
    for seed in 0..20 {
        let trial = run(
            r#"
            [[fault]]
            at = "2s..3s"
            kind = "full_disk"
            target = "coordinator"
            for = "3s"
            "#,
            seed,
        );
        let (began, took_effect, ended) = trial.course();
        let led = |(at, observation): &(Time, &Observation)| {
            *at > took_effect && *at < ended && matches!(observation, Observation::Led { .. })
        };
        assert!(trial.observations().any(|seen| led(&seen)), "seed {seed}: began at {began}");
    }
}

#[test]
fn a_damaged_disk_is_refused_and_its_machine_joins_as_somebody_else() {
    for seed in 0..20 {
        let trial = run(
            r#"
            [[fault]]
            at = "2s..3s"
            kind = "corrupt"
            target = "voter"
            for = "1s"
            "#,
            seed,
        );
        let (.., took_effect, ended) = trial.course();
        let machines: Vec<Vec<_>> = (0..5).map(|machine| trial.lives(machine)).collect();
        let hit: Vec<_> = machines.into_iter().filter(|lives| !lives.is_empty()).collect();
        let [lives] = &hit[..] else { panic!("seed {seed}: {hit:?}") };
        let [(down, false, old), (up, true, new)] = lives[..] else { panic!("seed {seed}: {lives:?}") };
        assert_ne!(old, new, "seed {seed}: it keeps its identity");
        assert_eq!((down, up), (took_effect, ended), "seed {seed}");
    }
}

#[test]
fn inputs_whose_prediction_is_no_number_have_failed_and_say_why() {
    for seed in 0..10 {
        let trial = run(
            r#"
            [[fault]]
            at = "0s"
            kind = "bad_output"
            target = "all"
            for = "2s"
            "#,
            seed,
        );
        trial.course();
        assert!(trial.failed() > 20, "seed {seed}: {} failed", trial.failed());
        assert!(trial.errors().is_empty(), "seed {seed}: an answer with gaps is an answer");
    }
}

#[test]
fn an_answer_of_the_wrong_length_is_tried_again_elsewhere() {
    for seed in 0..10 {
        let trial = run(
            r#"
            [[fault]]
            at = "0s"
            kind = "bad_output"
            target = "node 2"
            flaw = "count"
            "#,
            seed,
        );
        assert!(trial.phase(&FaultPhase::TookEffect).is_some(), "seed {seed}");
        let errors = trial.errors();
        assert!(errors.iter().all(|error| error.contains("instead of 4")), "seed {seed}: {errors:?}");
        assert_eq!((errors.is_empty(), trial.failed()), (false, 0), "seed {seed}");
    }
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    for seed in 0..10 {
        let trial = run(
            r#"
            [[fault]]
            at = "0s"
            kind = "repeat_output"
            target = "all"
            "#,
            seed,
        );
        assert!(trial.phase(&FaultPhase::TookEffect).is_some(), "seed {seed}");
        assert_eq!((trial.errors().len(), trial.failed()), (0, 0), "seed {seed}");
    }
}

/// The copy is of the first life. By the time at which it comes back, the machine is in its second or third one: it would be
/// taken for the process that was there before, and wait for work that nobody would give it again.
#[test]
fn a_machine_that_goes_back_to_an_old_disk_is_nobody_that_it_was_before() {
    for (seed, restarts) in (0..30).map(|seed| (seed, 1 + seed % 3)) {
        let restart = |at| format!("[[fault]]\nat = \"{at}s\"\nkind = \"restart\"\ntarget = \"node 5\"\n");
        let trial = run(
            &format!(
                r#"
                nodes = 5
                [cluster]
                voters = 3
                [[fault]]
                at = "1s"
                kind = "rollback"
                target = "node 5"
                for = "3s..5s"
                {}
                "#,
                (2..2 + restarts).map(restart).collect::<String>()
            ),
            seed,
        );
        let (.., took_effect, ended) = trial.course();
        assert_eq!(took_effect, ended, "seed {seed}");
        let lives = trial.lives(4);
        assert_eq!(lives.len() as u64, 2 * (restarts + 1), "seed {seed}: {lives:?}");
    }
}

#[test]
fn no_voter_is_given_an_old_disk() {
    for seed in 0..10 {
        let trial = run(
            r#"
            [[fault]]
            at = "1s"
            kind = "rollback"
            target = "voter"
            for = "3s"
            "#,
            seed,
        );
        let missed = |record: &Record| match &record.what {
            What::Fault(event) => match &event.phase {
                FaultPhase::Missed { reason } => Some(reason.to_string()),
                _ => None,
            },
            _ => None,
        };
        let missed: Vec<String> = trial.records.iter().filter_map(missed).collect();
        assert_eq!(missed, ["nothing that it aims at runs without a vote"], "seed {seed}");
    }
}

/// Node 7 reaches the coordinator and nobody else for half a minute, while a job runs.
#[test]
fn one_whom_its_observers_miss_and_its_coordinator_hears_stays_and_works() {
    for seed in 0..10 {
        let trial = run(
            r#"
            nodes = 7
            cluster.voters = 1
            [[fault]]
            at = "2s"
            kind = "cut"
            target = "node 7"
            other = ["node 2", "node 3", "node 4", "node 5", "node 6"]
            for = "30s"
            [[fault]]
            at = "2s"
            kind = "slow"
            target = "all"
            factor = 10
            for = "30s"
            "#,
            seed,
        );
        let (began, _, ended) = trial.course();
        let noticed = |(_, seen): (Time, &Observation)| matches!(seen, Observation::Suspected { .. });
        assert!(trial.observations().any(noticed), "seed {seed}: the cut was not noticed");
        for (at, observation) in trial.observations().filter(|(at, _)| (began..ended).contains(at)) {
            let changed = matches!(observation, Observation::Applied { changes, .. }
                if changes.iter().any(|change| matches!(change, Change::ViewChanged { .. })));
            assert!(!changed, "seed {seed}: the view changed at {at}");
        }
        let up = |record: &Record| match record.what {
            What::Up(id) if record.machine == Some(6) => Some(id),
            _ => None,
        };
        let seventh = trial.records.iter().find_map(up).expect("node 7 runs");
        let worked = |(at, seen): (Time, &Observation)| {
            // What it was given before it would have been evicted counts for nothing.
            let late = (began + Span::secs(10)..ended).contains(&at);
            late && matches!(seen, Observation::Dispatched { worker, .. } if *worker == seventh)
        };
        assert!(trial.observations().any(worked), "seed {seed}: it was given nothing to do");
    }
}

/// Nothing comes into node 5 any more, which goes on to be heard: what it holds is given to others although nobody suspects it and
/// nothing is hedged.
#[test]
fn what_a_deaf_worker_holds_is_given_to_others() {
    for seed in 0..10 {
        let trial = run(
            r#"
            nodes = 5
            cluster.voters = 3
            dispatch.hedge = false
            [[fault]]
            at = "2s"
            kind = "cut"
            target = "node 5"
            direction = "in"
            "#,
            seed,
        );
        let up = |record: &Record| match record.what {
            What::Up(id) if record.machine == Some(4) => Some(id),
            _ => None,
        };
        let deaf = trial.records.iter().find_map(up).expect("node 5 runs");
        let late = trial.phase(&FaultPhase::Began).expect("it is cut off") + Span::secs(3);
        let gives = |(at, seen): (Time, &Observation)| {
            at > late && matches!(seen, Observation::Dispatched { worker, .. } if *worker == deaf)
        };
        assert!(!trial.observations().any(gives), "seed {seed}: it is given work of which it cannot hear");
    }
}

/// A query at which every engine hangs, whoever tries it: it ends as failed after as many attempts as it may have, and those that idle
/// workers had begun beside them by then.
#[test]
fn a_query_that_hangs_wherever_it_runs_ends_as_failed() {
    let text = r#"
        name = "hangs"
        nodes = 4
        dispatch.retries_max = 1
        [model.m]
        load = "0s"
        per_input = "10ms"
        [[job]]
        model = "m"
        inputs = 1
        [[fault]]
        at = "0s"
        every = "5s"
        times = 300
        kind = "stuck"
        target = ["node 1", "node 2", "node 3", "node 4"]
    "#;
    let plan = Plan::read(text, "hangs.toml").unwrap_or_else(|error| panic!("{error}"));
    for seed in 0..10 {
        let mut sink = (Checker::new(&plan, seed), Vec::<Record>::new());
        let outcome = sim::run(&plan, seed, &mut sink, &|| false);
        let (checker, records) = sink;
        let trial = Trial { seed, verdict: checker.finish(outcome.ended_at), records };
        assert!(trial.verdict.is_clean(), "seed {seed}: {:?}", trial.verdict.violations);
        let dispatched = |seen: &(Time, &Observation)| matches!(seen.1, Observation::Dispatched { .. });
        let attempts = trial.observations().filter(dispatched).count();
        assert_eq!(trial.failed(), 1, "seed {seed}");
        assert!((2..=4).contains(&attempts), "seed {seed}: {attempts} attempts");
    }
}
