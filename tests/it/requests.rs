//! What clients ask beside their jobs: what is done about it, who learns of it, and what nobody knows in the end.

use std::collections::BTreeMap;

use idunno::base::{QueryId, Span, Time};
use idunno::check::{Checker, Verdict};
use idunno::history::{Change, ClientEvent, Observation, Record, Reply, Request, What};
use idunno::scenario::Plan;
use idunno::sim::{self, Outcome};

/// A job of about eight seconds on five machines, about which clients ask all sorts of things, and another one beside it.
const ASKED: &str = r#"
    nodes = 5
    [model.m]
    load = "100ms"
    per_input = "lognormal(100ms, 0.2)"
    [[job]]
    name = "long"
    model = "m"
    inputs = 200
    [[job]]
    name = "other"
    model = "m"
    inputs = 100
    [[request]]
    at = "2s"
    kind = "stop"
    job = "long"
    client = "owner"
    [[request]]
    at = "4s"
    kind = "batch"
    job = "long"
    batch = 3
    client = "owner"
    [[request]]
    at = "6s"
    kind = "resume"
    job = "long"
    client = "owner"
    [[request]]
    at = "8s"
    kind = "cancel"
    job = "other"
    client = "long"
    [[request]]
    at = "8s"
    kind = "forget"
    job = "other"
    client = "long"
    [[request]]
    at = "3s"
    kind = "jobs"
    client = "reader"
    [[request]]
    at = "5s"
    kind = "jobs"
    client = "reader"
    [[request]]
    at = "9s"
    kind = "jobs"
    client = "another"
"#;

/// What was asked, when, and what was told when.
type Call = (Request, Time, Option<(Time, Reply)>);

struct Trial {
    verdict: Verdict,
    outcome: Outcome,
    records: Vec<Record>,
}

fn run(text: &str, seed: u64) -> Trial {
    let plan = Plan::read(text, "requests.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut sinks = (Checker::new(&plan, seed), Vec::new());
    let outcome = sim::run(&plan, seed, &mut sinks, &|| false);
    let (mut checker, records) = sinks;
    checker.count_messages(outcome.sent.membership, outcome.sent.log);
    let verdict = checker.finish(outcome.ended_at);
    let wrong: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    assert!(outcome.unfinished.is_empty(), "seed {seed}: {:?}", outcome.unfinished);
    Trial { verdict, outcome, records }
}

impl Trial {
    /// When each request was asked and answered, in order of the questions.
    fn calls(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        for record in &self.records {
            let What::Client(ClientEvent::Asked { session, number, request }) = &record.what else {
                continue;
            };
            let told = self.records.iter().find_map(|record| match &record.what {
                What::Client(ClientEvent::Told { session: of, number: n, reply })
                    if (of, n) == (session, number) =>
                {
                    Some((record.at, (**reply).clone()))
                }
                _ => None,
            });
            calls.push(((**request).clone(), record.at, told));
        }
        calls
    }

    /// When something was done for the first time anywhere.
    fn first(&self, is: impl Fn(&Change) -> bool) -> Option<Time> {
        let done = self.records.iter().find(|record| match &record.what {
            What::Node(Observation::Applied { changes, .. }) => changes.iter().any(&is),
            _ => false,
        });
        done.map(|record| record.at)
    }
}

#[test]
fn a_stopped_job_rests_and_others_go_on() {
    for seed in 0..10 {
        let trial = run(ASKED, seed);
        let stopped = trial.first(|change| matches!(change, Change::JobStopped { .. })).unwrap();
        let resumed = trial.first(|change| matches!(change, Change::JobResumed { .. })).unwrap();
        let [mut long, mut other] = [0, 0];
        for record in &trial.records {
            if let What::Node(Observation::Dispatched { query, .. }) = &record.what
                && (stopped..resumed).contains(&record.at)
            {
                *(if query.job.0 == 1 { &mut long } else { &mut other }) += 1;
            }
        }
        // Which job is accepted first is chance; the one that was stopped gets nothing.
        assert!(long.min(other) == 0 && long.max(other) > 20, "seed {seed}: {long} and {other}");
        assert!(resumed.since(stopped) > Span::millis(3_900), "seed {seed}");
        assert_eq!(trial.verdict.census.histories, 2, "seed {seed}");
    }
}

#[test]
fn reads_see_what_was_answered_before() {
    let trial = run(ASKED, 1);
    let calls = trial.calls();
    let reads: Vec<_> = calls
        .iter()
        .filter_map(|(_, _, told)| match told {
            Some((_, Reply::Jobs(list))) => Some(list),
            _ => None,
        })
        .collect();
    let long = |read: usize| reads[read].iter().find(|job| &*job.spec.name == "long").unwrap();
    assert_eq!(reads.len(), 3);
    assert!(long(0).stopped && long(0).batch == 1);
    assert!(long(1).stopped && long(1).batch == 3);
    assert!(!long(2).stopped && reads[2].len() == 1, "one goes on, and one is forgotten");
    assert!(calls.iter().all(|(_, _, told)| told.is_some()));
}

#[test]
fn a_client_asks_one_thing_at_a_time_in_the_order_of_the_file() {
    let trial = run(ASKED, 2);
    let calls = trial.calls();
    let of = |wanted: fn(&Request) -> bool| calls.iter().find(|(request, ..)| wanted(request)).unwrap();
    let (_, _, cancelled) = of(|request| matches!(request, Request::Cancel(_)));
    let (_, forgets, _) = of(|request| matches!(request, Request::Forget(_)));
    assert!(cancelled.as_ref().is_some_and(|(told, _)| told <= forgets));
}

#[test]
fn who_gives_up_never_knows_and_what_was_accepted_is_finished_all_the_same() {
    // Half of all messages are lost, and one client waits for a tenth of a second only.
    let text = r#"
        nodes = 3
        [model.m]
        load = "10ms"
        per_input = "20ms"
        [network]
        loss = "50%"
        [membership]
        suspect_after = "1s"
        evict_after = "5s"
        [failover]
        election = "1s"
        [[job]]
        name = "hasty"
        model = "m"
        inputs = 20
        at = "5s"
        give_up = "100ms"
        [[request]]
        at = "6s"
        kind = "cancel"
        job = "hasty"
        [[request]]
        at = "8s"
        kind = "jobs"
    "#;
    let (mut unknown, mut made) = (0, 0);
    for seed in 0..30 {
        let trial = run(text, seed);
        let gave_up = trial
            .records
            .iter()
            .any(|record| matches!(record.what, What::Client(ClientEvent::GaveUp { .. })));
        if gave_up {
            unknown += 1;
            let exists = trial.first(|change| matches!(change, Change::JobAdded { .. })).is_some();
            made += u32::from(exists);
            assert_eq!(trial.verdict.census.outcomes_unknown, 1, "seed {seed}");
            assert!(trial.calls().iter().all(|(request, ..)| !matches!(request, Request::Cancel(_))));
            assert_eq!(trial.verdict.queries_open, 0, "seed {seed}: what was made is finished");
        }
    }
    assert!(made > 0 && unknown > made, "{made} of {unknown} were carried out all the same");
}

#[test]
fn a_drained_machine_gets_nothing_new_and_a_chosen_policy_stays_whoever_leads() {
    // The coordinator dies after both were chosen; whoever follows it knows of them from the log alone.
    let text = r#"
        nodes = 5
        [scheduler]
        policy = "rate_balance"
        [model.m]
        load = "100ms"
        per_input = "100ms"
        [[job]]
        name = "first"
        model = "m"
        inputs = 300
        [[job]]
        name = "second"
        model = "m"
        inputs = 100
        at = "1s"
        [[request]]
        at = "3s"
        kind = "drain"
        node = "n3"
        client = "operator"
        [[request]]
        at = "3s"
        kind = "policy"
        policy = "fifo"
        client = "operator"
        [[request]]
        at = "12s"
        kind = "undrain"
        node = "n3"
        client = "operator"
        [[fault]]
        at = "5s"
        kind = "crash"
        target = "coordinator"
        for = "2s"
    "#;
    for seed in 0..10 {
        let trial = run(text, seed);
        let drained = |wanted| {
            let is = move |change: &Change| matches!(change, Change::Drained { drained, .. } if *drained == wanted);
            trial.first(is).unwrap_or_else(|| panic!("seed {seed}: never"))
        };
        let (out, back) = (drained(true), drained(false));
        let node = trial.records.iter().find_map(|record| match &record.what {
            What::Node(Observation::Applied { changes, .. }) => {
                changes.iter().find_map(|change| match change {
                    Change::Drained { node, .. } => Some(*node),
                    _ => None,
                })
            }
            _ => None,
        });
        let given: Vec<(Time, bool, QueryId)> = (trial.records.iter())
            .filter_map(|record| match &record.what {
                What::Node(Observation::Dispatched { query, worker, .. }) => {
                    Some((record.at, Some(*worker) == node, *query))
                }
                _ => None,
            })
            .collect();
        let to_it =
            |from: Time, to: Time| given.iter().filter(|(at, it, _)| *it && (from..to).contains(at)).count();
        assert!(to_it(Time::ZERO, out) > 10, "seed {seed}");
        assert_eq!(to_it(out + Span::millis(1), back), 0, "seed {seed}");
        let later = trial.verdict.queries_open == 0 && to_it(back, Time::NEVER) > 0;
        let ended = trial.first(|change| matches!(change, Change::JobEnded { .. })).unwrap();
        assert!(later || ended < back, "seed {seed}");
        // First come, first served: once it is chosen the second job waits until each query of the first was given out.
        let chosen = trial.first(|change| matches!(change, Change::PolicySet { .. })).unwrap();
        let last = (given.iter().filter(|(_, _, query)| query.job.0 == 1))
            .fold(BTreeMap::new(), |mut first, (at, _, query)| {
                first.entry(query.number).or_insert(*at);
                first
            })
            .into_values()
            .max()
            .unwrap();
        let early = |(at, _, query): &&(Time, bool, QueryId)| {
            query.job.0 == 2 && (chosen + Span::millis(1)..last).contains(at)
        };
        assert_eq!(given.iter().filter(early).count(), 0, "seed {seed}");
        assert!(given.iter().any(|(at, _, query)| query.job.0 == 2 && *at < chosen), "seed {seed}");
    }
}

#[test]
fn requests_of_some_shift_nothing_of_others() {
    let without = ASKED.split("[[request]]").next().unwrap();
    let asked = format!("{without}[[request]]\nat = \"3s\"\nkind = \"jobs\"\n");
    let submissions = |text: &str| {
        let all = run(text, 4).calls();
        all.into_iter().filter(|(request, ..)| matches!(request, Request::Submit(_))).collect::<Vec<_>>()
    };
    assert_eq!(submissions(without), submissions(&asked));
    assert_eq!(run(&asked, 4).outcome.trace, run(&asked, 4).outcome.trace);
}
