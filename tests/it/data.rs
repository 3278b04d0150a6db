//! Jobs whose inputs are files of the store, in the simulator.

use std::collections::BTreeMap;

use idunno::base::{AttemptId, JobId, Span, Time};
use idunno::check::Checker;
use idunno::history::{Change, Observation, Record, Sink, What};
use idunno::scenario::Plan;
use idunno::sim;

/// When jobs came, began and ended, and what became of their inputs.
#[derive(Default)]
struct Jobs {
    names: BTreeMap<JobId, String>,
    added: BTreeMap<String, Time>,
    began: BTreeMap<String, Time>,
    ended: BTreeMap<String, Time>,
    failed: BTreeMap<String, u32>,
    reasons: BTreeMap<AttemptId, String>,
    /// Chunks on disks.
    chunks: usize,
}

impl Sink for Jobs {
    fn record(&mut self, record: &Record) {
        let What::Node(observation) = &record.what else { return };
        let at = record.at;
        match observation {
            Observation::Began { query, .. } => {
                self.began.entry(self.names[&query.job].clone()).or_insert(at);
            }
            Observation::Ended { attempt, error: Some(error), .. } => {
                self.reasons.insert(*attempt, error.to_string());
            }
            Observation::ChunkHeld { .. } => self.chunks += 1,
            Observation::ChunkDropped { .. } | Observation::ChunkLost { .. } => self.chunks -= 1,
            Observation::Applied { changes, .. } => {
                for change in changes.iter() {
                    match change {
                        Change::JobAdded { job, spec } => {
                            let name = spec.name.to_string();
                            self.added.entry(name.clone()).or_insert(at);
                            self.names.insert(*job, name);
                        }
                        Change::JobEnded { job, .. } => {
                            self.ended.entry(self.names[job].clone()).or_insert(at);
                        }
                        Change::Counted { query, failed, .. } if self.names.contains_key(&query.job) => {
                            let all = self.failed.entry(self.names[&query.job].clone()).or_default();
                            *all = (*all).max(*failed);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

impl Jobs {
    /// How long it took from a job's acceptance to the beginning of its first query.
    fn start(&self, job: &str) -> Span {
        self.began[job].since(self.added[job])
    }
}

/// Runs a scenario under a seed: nothing may break, and everything comes to its end.
fn run(text: &str, seed: u64) -> Jobs {
    let plan = Plan::read(text, "data.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut sink = (Checker::new(&plan, seed), Jobs::default());
    let outcome = sim::run(&plan, seed, &mut sink, &|| false);
    let (checker, jobs) = sink;
    let verdict = checker.finish(outcome.ended_at);
    assert!(verdict.is_clean(), "seed {seed}: {:?}", verdict.violations);
    assert!(outcome.unfinished.is_empty(), "seed {seed}: {:?}", outcome.unfinished);
    jobs
}

#[test]
fn the_start_of_a_second_job_includes_the_fetch_of_its_data() {
    let text = include_str!("../../scenarios/second_job_stored.toml");
    let mut from_afar = 0;
    for seed in 1..6 {
        let jobs = run(text, seed);
        let (fetched, plain) = (jobs.start("second"), jobs.start("plain"));
        // One chunk at 1 Gbit/s takes 33.5 ms and 8.4 ms to be written. Seldom a worker happens to hold all five of a query for the
        // store; then it takes 12.6 ms to copy them.
        assert!((Span::millis(12)..Span::millis(300)).contains(&fetched), "seed {seed}: {fetched}");
        from_afar += u32::from(fetched > Span::millis(40));
        assert!(plain < Span::millis(10), "seed {seed}: {plain}");
        assert_eq!(jobs.failed["second"], 0, "seed {seed}");
    }
    assert!(from_afar >= 3, "{from_afar} of 5 starts waited for the network");
}

const MODEL: &str = r#"
    [model.m]
    load = "100ms"
    per_input = "20ms"
"#;

#[test]
fn a_job_reads_the_version_that_there_was_whatever_becomes_of_the_file() {
    for seed in 0..5 {
        let text = |until: &str| {
            format!(
                r#"
                name = "pinned"
                nodes = 6
                until = "{until}"
                {MODEL}
                [[request]]
                at = "1s"
                kind = "put"
                file = "a"
                bytes = 9_000_000
                client = "c"
                # The store has it for a while after it is deleted, and the job needs it longer than that.
                [[request]]
                at = "5s"
                kind = "delete"
                file = "a"
                client = "c"
                [store]
                cache = 0
                [[job]]
                name = "reads"
                model = "m"
                inputs = "store:a:0..30000"
                batch = 10
                at = "3s"
                "#
            )
        };
        let all = run(&text("400s"), seed);
        assert!(all.ended["reads"].since(Time::ZERO) > Span::secs(90), "seed {seed}: {:?}", all.ended);
        assert_eq!(all.failed["reads"], 0, "seed {seed}");
        assert_eq!(all.chunks, 0, "seed {seed}: what nobody needs any more is still there");
        assert!(run(&text("80s"), seed).chunks >= 12, "seed {seed}: what the job reads is gone");
    }
}

#[test]
fn data_that_cannot_be_had_fail_with_a_reason_and_hold_up_nobody_else() {
    // Three disks, each with the only copy of what is on it.
    let lost = |node| {
        format!("[[fault]]\nat = \"3200ms\"\nkind = \"crash\"\ntarget = \"node {node}\"\nwipe = true\n")
    };
    let lost: String = (4..=6).map(lost).collect();
    for seed in 0..5 {
        let jobs = run(
            &format!(
                r#"
                name = "lost"
                nodes = 8
                {MODEL}
                [cluster]
                voters = 3
                [store]
                copies = 1
                [[request]]
                at = "1s"
                kind = "put"
                file = "a"
                bytes = 160_000_000
                {lost}
                [[job]]
                name = "reads"
                model = "m"
                inputs = "store:a:0..200"
                batch = 10
                at = "3s"
                [[job]]
                name = "other"
                model = "m"
                inputs = 1000
                batch = 10
                at = "3s"
                "#
            ),
            seed,
        );
        assert!(jobs.failed["reads"] > 0 && jobs.failed["other"] == 0, "seed {seed}: {:?}", jobs.failed);
        let said = jobs.reasons.values().any(|why| why.starts_with("no data: ") && why.contains("store:a@1"));
        assert!(said, "seed {seed}: {:?}", jobs.reasons);
    }
}
