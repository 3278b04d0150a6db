//! What the tables say about a run whose story is known.

use std::fs;
use std::path::Path;

use super::example::{ms, plan, records};
use super::*;
use crate::base::{Incarnation, Time};
use crate::history::{Observation, Record, Sink, What};

pub(super) fn end() -> TrialEnd {
    let trace = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
    TrialEnd {
        trace,
        ended_at: ms(31_000),
        messages: Some(Messages { membership: 1_550, log: 930, work: 310, client: 310 }),
        queries_lost: 0,
        queries_doubled: 0,
        unfinished: vec!["job cats".to_owned()],
    }
}

pub(super) fn trial(number: u32) -> Trial {
    let plan = plan();
    let mut gather = Gather::new(&plan, number, 7 + u64::from(number));
    if number == 0 {
        gather = gather.with_figures();
    }
    for record in records() {
        gather.record(&record);
    }
    gather.finish(end())
}

fn seconds(seconds: Seconds) -> f64 {
    seconds.value().expect("it happened")
}

#[test]
fn recovery_is_measured_from_the_fault() {
    let rows = trial(0).tables.recovery;
    let (crash, pause) = (&rows[0], &rows[1]);
    assert_eq!((crash.fault, &*crash.kind, &*crash.node), (0, "crash", "n1"));
    assert!((seconds(crash.at_s) - 10.0).abs() < 1e-9);
    assert!((seconds(crash.detect_s) - 0.290).abs() < 1e-9, "the first election, not the suspicion");
    assert!((seconds(crash.promote_s) - 0.300).abs() < 1e-9);
    assert!((seconds(crash.redispatch_s) - 0.350).abs() < 1e-9, "{:?}", crash.redispatch_s);
    assert!(seconds(crash.first_result_s) > 0.350 && seconds(crash.first_result_s) < 0.6);
    assert!(seconds(crash.normal_s) > seconds(crash.first_result_s) && seconds(crash.normal_s) < 2.0);
    assert_eq!(crash.total_s, crash.redispatch_s);
    let left = |name: &str, at: f64| {
        let rows = trial(0).tables.queries;
        let of = rows.iter().filter(|row| &*row.job == name);
        let counted = of.filter(|row| row.committed_s.value().is_some_and(|time| time < at)).count() as u64;
        let spec =
            plan().jobs.iter().find(|job| &*job.spec.name == name).expect("it is planned").spec.clone();
        spec.inputs.count() / u64::from(spec.batch) - counted
    };
    assert_eq!(crash.unfinished, left("cats", 10.0) + left("dogs", 10.0));
    assert_eq!((pause.fault, &*pause.kind, &*pause.node), (1, "pause", "n7"));
    assert!((seconds(pause.detect_s) - 0.270).abs() < 1e-9);
    assert_eq!(pause.promote_s, Seconds::NONE, "the coordinator was not hit");
    assert!((seconds(pause.redispatch_s) - 0.271).abs() < 1e-9);
}

#[test]
fn what_a_later_fault_causes_is_not_counted_for_an_earlier_one() {
    let plan = plan();
    let mut gather = Gather::new(&plan, 0, 7);
    // The same machine is hit at 10.2 s again, before anyone notices the first time.
    let mut all = records();
    let crash = all.iter().find(|record| record.at == ms(10_000) && matches!(record.what, What::Fault(_)));
    all.push(Record { at: ms(10_200), ..crash.expect("the coordinator crashes").clone() });
    all.sort_by_key(|record| record.at);
    for record in &all {
        gather.record(record);
    }
    let rows = gather.finish(end()).tables.recovery;
    assert_eq!(rows[0].detect_s, Seconds::NONE);
    assert!((seconds(rows[1].at_s) - 10.2).abs() < 1e-9);
}

#[test]
fn queries_tell_who_answered_and_when() {
    let tables = trial(0).tables;
    let first = &tables.queries[1];
    assert_eq!((&*first.job, &*first.query, first.attempts), ("cats", "1.0.1", 1));
    assert_eq!(first.inputs, Some(10));
    let times = [first.submitted_s, first.dispatched_s, first.started_s, first.finished_s, first.committed_s];
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        (seconds(first.committed_s) - seconds(first.finished_s) - 0.005).abs() < 1e-9,
        "the first machine counts"
    );
    let redone = &tables.queries[0];
    assert_eq!(redone.attempts, 3);
    let outcomes: Vec<&str> = tables
        .attempts
        .iter()
        .filter(|attempt| attempt.query == "1.0.0")
        .map(|attempt| attempt.outcome)
        .collect();
    assert_eq!(outcomes, ["counted", "gone", "unfinished"]);
}

#[test]
fn an_entry_counts_once_however_many_voters_apply_it() {
    let trial = trial(0);
    let counted: u64 = trial.tables.jobs.iter().map(|job| job.queries).sum();
    let committed = trial.tables.queries.iter().filter(|query| query.committed_s != Seconds::NONE).count();
    assert_eq!(counted, committed as u64);
    assert!(counted > 1000);
    let mut summary = Summary::default();
    summary.add(&trial);
    let together = counted as f64 / (30.0 - 1.0);
    assert!((summary.metric("aggregate_qps").mean.unwrap() - together).abs() < 1e-9);
}

#[test]
fn jobs_have_delays_rates_and_percentiles() {
    let tables = trial(0).tables;
    let [cats, dogs] = tables.jobs.as_slice() else { panic!("two jobs") };
    assert_eq!((&*cats.job, &*cats.model, cats.policy, cats.batch), ("cats", "resnet", "rate_balance", 10));
    assert!((seconds(cats.submitted_s) - 1.0).abs() < 1e-9);
    assert!((seconds(cats.start_delay_s) - 0.011).abs() < 1e-9, "{:?}", cats.start_delay_s);
    assert!((seconds(cats.done_s) - 30.0).abs() < 1e-9);
    let rate = cats.queries as f64 / (30.0 - 1.011);
    assert!((cats.rate_qps.0.unwrap() - rate).abs() < 1e-9);
    assert!(cats.p99_s.0.is_some() == (cats.queries >= 662), "{}", cats.queries);
    assert_eq!((dogs.queries, dogs.p99_s, dogs.accuracy_top1), (400, Number(None), Number(None)));
    assert!(dogs.p50_s.0.unwrap() > 0.229 && dogs.p50_s.0.unwrap() < 0.240);
}

#[test]
fn allocation_has_a_row_per_running_job_at_each_full_second() {
    let tables = trial(0).tables;
    for second in 2..=30_u64 {
        let rows = tables.allocation.iter().filter(|row| row.at_s == Seconds::from(ms(second * 1000)));
        let jobs: Vec<&str> = rows.map(|row| &*row.job).collect();
        let wanted: &[&str] = match second {
            2..=5 | 30 => &["cats"],
            _ => &["cats", "dogs"],
        };
        assert_eq!(jobs, wanted, "at {second} s");
    }
    let at =
        |second: u64| tables.allocation.iter().find(move |row| row.at_s == Seconds::from(ms(second * 1000)));
    assert_eq!(at(3).unwrap().workers, 10, "all workers serve the only job");
    assert_eq!(at(3).unwrap().gap, Number(None), "one job has nobody to be apart from");
    assert!(at(8).unwrap().gap.0.unwrap() > 0.0);
}

#[test]
fn workers_leave_before_they_serve_another_job() {
    let mut serving = std::collections::BTreeMap::new();
    for row in trial(0).tables.assignments {
        let before = match row.event {
            "serves" => serving.insert(row.worker.clone(), row.job.clone()),
            _ => Some(serving.remove(&row.worker).unwrap()).filter(|job| *job != row.job),
        };
        assert_eq!(before, None, "{row:?}");
    }
}

#[test]
fn a_machine_that_came_back_unnoticed_is_suspected_anew() {
    let subject = records().iter().find_map(|record| match record.what {
        What::Up(id) if record.machine == Some(0) => Some(id),
        _ => None,
    });
    let subject = subject.expect("the first machine starts");
    // It is back before it is evicted: it joins anew, and nobody says that the life that ended is trusted.
    let trusted = |record: &Record| matches!(&record.what, What::Node(Observation::Trusted { subject: whom, .. }) if *whom == subject);
    let mut all = records();
    all.retain(|record| !trusted(record));
    let anew = Observation::Suspected { subject, incarnation: Incarnation(2) };
    all.push(Record { at: ms(25_000), machine: Some(3), what: What::Node(anew) });
    all.sort_by_key(|record| record.at);
    let plan = plan();
    let mut gather = Gather::new(&plan, 0, 7);
    for record in &all {
        gather.record(record);
    }
    let trial = gather.finish(end());
    let suspected = |row: &&super::rows::MembershipRow| &*row.node == "n1" && &*row.event == "suspected";
    assert_eq!(trial.tables.membership.iter().filter(suspected).count(), 2);
    let mut summary = Summary::default();
    summary.add(&trial);
    assert_eq!(summary.metric("false_suspicions").mean, Some(2.0), "no fault explains the second one");
}

#[test]
fn only_a_suspicion_that_no_fault_explains_is_false_and_it_counts_once() {
    let mut summary = Summary::default();
    summary.add(&trial(0));
    assert_eq!(summary.metric("false_suspicions").mean, Some(1.0));
    assert_eq!(summary.metric("false_evictions").mean, Some(0.0));
}

#[test]
fn a_member_that_nobody_can_reach_is_not_suspected_falsely() {
    let plan = plan();
    let mut gather = Gather::new(&plan, 0, 7);
    for mut record in records() {
        match &mut record.what {
            What::Paused(_) | What::Resumed(_) => continue,
            What::Fault(event) if &*event.kind == "pause" => event.kind = "isolate".into(),
            _ => {}
        }
        gather.record(&record);
    }
    let mut summary = Summary::default();
    summary.add(&gather.finish(end()));
    assert_eq!(summary.metric("false_suspicions").mean, Some(1.0), "the other one remains");
}

#[test]
fn an_application_that_disagrees_is_written_in_full() {
    let plan = plan();
    let mut gather = Gather::new(&plan, 0, 7);
    let mut all = records();
    let mut applied = all.iter_mut().filter_map(|record| match &mut record.what {
        What::Node(Observation::Applied { state, .. }) => Some(state),
        _ => None,
    });
    *applied.nth(1).expect("a second voter applies") ^= 1;
    for record in &all {
        gather.record(record);
    }
    let back = super::stored::tests::read(&super::stored::tests::history(&[gather.finish(end())])).unwrap();
    assert_eq!(back[0].1, all);
}

#[test]
fn the_summary_pools_faults_of_a_kind_and_names_each_metric() {
    let mut summary = Summary::default();
    for number in 0..3 {
        summary.add(&trial(number));
    }
    let rows = summary.rows();
    let row = |name: &str| rows.iter().find(|row| row.metric == name).unwrap();
    assert_eq!((row("recovery.crash.total_s").n, row("recovery.pause.detect_s").n), (3, 3));
    assert!((row("recovery.crash.total_s").p50.0.unwrap() - 0.35).abs() < 1e-9);
    assert_eq!(row("recovery.crash.total_s").p99, Number(None));
    assert_eq!(row("start_delay_s").n, 6);
    assert!((row("makespan_s").mean.0.unwrap() - 29.0).abs() < 1e-9);
    for (part, rate) in
        [("messages", 8.0), ("messages_membership", 5.0), ("messages_log", 3.0), ("work_messages", 1.0)]
    {
        let mean = row(&format!("{part}_per_node_s")).mean.0.unwrap();
        assert!((mean - rate).abs() < 1e-9, "{part}: {mean}");
    }
    assert_eq!(row("queries_lost").max, Number(Some(0.0)));
    assert!(row("rate_gap").mean.0.unwrap() > 0.0);
    assert_eq!(summary.jobs()[1].query_s.n, 1200);
    assert!(!rows.iter().any(|row| row.metric == "recovery.pause.promote_s"), "no samples, no row");
}

fn write_results(out: &Path, trials: u32) -> Result<Finished, ReportError> {
    let mut results = Results::create(out, &plan(), "sim", "name = \"example\"\n")?;
    for number in 0..trials {
        results.add(trial(number))?;
    }
    results.finish()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn equal_runs_give_equal_bytes_and_leave_no_rubbish() {
    let out = tempfile::tempdir().unwrap();
    let (a, b) = (out.path().join("a"), out.path().join("b"));
    write_results(&a, 2).unwrap();
    write_results(&b, 1).unwrap();
    write_results(&b, 2).unwrap();
    assert_eq!(names(&b.join("example")), ["sim"]);
    let files = names(&a.join("example/sim"));
    assert_eq!(
        files,
        [
            "allocation.csv",
            "assignments.csv",
            "attempts.csv",
            "fairness.csv",
            "history.jsonl",
            "jobs.csv",
            "latency.hlog",
            "latency.png",
            "latency.svg",
            "membership.csv",
            "queries.csv",
            "rates.png",
            "rates.svg",
            "recovery.csv",
            "recovery.png",
            "recovery.svg",
            "scenario.toml",
            "start_delay.png",
            "start_delay.svg",
            "summary.csv",
            "timeline.png",
            "timeline.svg",
            "workers.png",
            "workers.svg"
        ]
    );
    for file in files {
        let [left, right] = [&a, &b].map(|out| fs::read(out.join("example/sim").join(&file)).unwrap());
        assert!(left == right, "{file} differs");
    }
}

#[test]
fn the_columns_are_the_documented_ones() {
    let out = tempfile::tempdir().unwrap();
    let folder = write_results(out.path(), 1).unwrap().folder;
    let header = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        text.lines().next().unwrap().replace(',', ", ")
    };
    for (file, columns) in [
        (
            "queries.csv",
            "trial, job, query, attempts, worker, submitted_s, dispatched_s, started_s, finished_s, committed_s, \
             inputs, failed_inputs, duplicates",
        ),
        ("attempts.csv", "trial, job, query, attempt, worker, dispatched_s, ended_s, outcome"),
        (
            "jobs.csv",
            "trial, job, model, policy, batch, weight, queries, inputs, failed_inputs, duplicates, submitted_s, \
             first_start_s, start_delay_s, done_s, rate_qps, rho, mean_s, std_s, p50_s, p90_s, p95_s, p99_s, \
             accuracy_top1, accuracy_top5",
        ),
        ("allocation.csv", "trial, at_s, job, workers, rate_qps, gap"),
        ("fairness.csv", "trial, at_s, jobs, gap_2s, gap_10s, lifetime_gap, jain, aggregate_qps"),
        ("assignments.csv", "trial, at_s, job, worker, event"),
        ("membership.csv", "trial, at_s, node, event, epoch, view"),
        (
            "recovery.csv",
            "trial, fault, kind, node, at_s, detect_s, promote_s, redispatch_s, first_result_s, normal_s, total_s, \
             held, unfinished, regained_s",
        ),
        ("summary.csv", "metric, n, mean, std, ci95_low, ci95_high, min, p50, p90, p95, p99, p999, max"),
    ] {
        assert_eq!(header(file), columns, "{file}");
    }
}

#[test]
fn an_interrupted_run_leaves_earlier_results_whole_and_nothing_else() {
    let out = tempfile::tempdir().unwrap();
    let folder = write_results(out.path(), 1).unwrap().folder;
    let before = fs::read(folder.join("queries.csv")).unwrap();
    let mut results = Results::create(out.path(), &plan(), "sim", "").unwrap();
    results.add(trial(0)).unwrap();
    drop(results);
    assert_eq!(fs::read(folder.join("queries.csv")).unwrap(), before);
    assert_eq!(names(&out.path().join("example")), ["sim"]);
    let fresh = out.path().join("fresh");
    drop(Results::create(&fresh, &plan(), "sim", "").unwrap());
    assert!(!fresh.exists(), "folders made for nothing go again");
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_before_anything_runs() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let error = Results::create(&file, &plan(), "sim", "").unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    let mut escaping = plan();
    escaping.name = "../elsewhere".into();
    assert!(matches!(Results::create(out.path(), &escaping, "sim", ""), Err(ReportError::Name { .. })));
}

#[test]
fn a_run_in_which_nothing_happened_has_empty_tables() {
    let plan = plan();
    let gather = Gather::new(&plan, 0, 7);
    let nothing = TrialEnd {
        trace: 0,
        ended_at: Time::ZERO,
        messages: None,
        queries_lost: 0,
        queries_doubled: 0,
        unfinished: Vec::new(),
    };
    let trial = gather.finish(nothing);
    assert_eq!(trial.tables, Tables::default());
    let out = tempfile::tempdir().unwrap();
    let mut results = Results::create(out.path(), &plan, "sim", "").unwrap();
    results.add(trial).unwrap();
    results.finish().unwrap();
}
