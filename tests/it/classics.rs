//! The classic designs that are settings here: what they do, and what they lose.

use std::collections::BTreeMap;

use idunno::base::{NodeId, Span, Time};
use idunno::check::{Checker, Invariant, Kind, Verdict};
use idunno::fuzz::{self, Profile};
use idunno::history::{FaultPhase, Observation, Record, What};
use idunno::scenario::{Fault, Plan, find_shipped, to_toml};
use idunno::sim::{self, Outcome};

/// Five machines, one job after another.
const TWO_JOBS: &str = r#"
    nodes = 5
    [model.m]
    load = "100ms"
    per_input = "lognormal(200ms, 0.2)"
    [[job]]
    name = "first"
    model = "m"
    inputs = 100
    [[job]]
    name = "second"
    model = "m"
    at = "20s"
    inputs = 100
"#;

struct Trial {
    outcome: Outcome,
    verdict: Verdict,
    records: Vec<Record>,
}

fn read(text: &str, overrides: &[&str]) -> Plan {
    Plan::with_overrides(text, "classic.toml", overrides).unwrap_or_else(|error| panic!("{error}"))
}

fn run(plan: &Plan, seed: u64) -> Trial {
    let mut sink = (Checker::new(plan, seed), Vec::new());
    let outcome = sim::run(plan, seed, &mut sink, &|| false);
    let (checker, records) = sink;
    Trial { verdict: checker.finish(outcome.ended_at), outcome, records }
}

/// A trial in which nothing goes wrong.
fn clean(plan: &Plan, seed: u64) -> Trial {
    let trial = run(plan, seed);
    let wrong: Vec<String> = trial.verdict.violations.iter().map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{}, seed {seed}: {wrong:#?}", plan.name);
    assert!(
        trial.outcome.unfinished.is_empty(),
        "{}, seed {seed}: {:?}",
        plan.name,
        trial.outcome.unfinished
    );
    trial
}

impl Trial {
    fn observations(&self) -> impl Iterator<Item = (Time, u32, &Observation)> {
        self.records.iter().filter_map(|record| match (&record.what, record.machine) {
            (What::Node(observation), Some(machine)) => Some((record.at, machine, observation)),
            _ => None,
        })
    }

    /// How many queries a worker has been given and not answered, at the most.
    fn most_held(&self) -> usize {
        let mut holders: BTreeMap<_, NodeId> = BTreeMap::new();
        let mut most = 0;
        for (_, _, observation) in self.observations() {
            match observation {
                Observation::Dispatched { attempt, worker, .. } => {
                    holders.insert(*attempt, *worker);
                    most = most.max(holders.values().filter(|holder| *holder == worker).count());
                }
                Observation::Arrived { attempt, .. } | Observation::GaveUp { attempt, .. } => {
                    holders.remove(attempt);
                }
                _ => {}
            }
        }
        most
    }

    /// The first dispatch to each worker from `from` on, counted from there, the earliest first.
    fn first_dispatches(&self, from: Time) -> Vec<Span> {
        let mut first: BTreeMap<NodeId, Span> = BTreeMap::new();
        for (at, _, observation) in self.observations() {
            if let Observation::Dispatched { worker, .. } = observation
                && at >= from
            {
                first.entry(*worker).or_insert(at.since(from));
            }
        }
        let mut spans: Vec<Span> = first.into_values().collect();
        spans.sort_unstable();
        spans
    }
}

#[test]
fn workers_that_pull_hold_one_query_and_wait_for_work_up_to_a_back_off() {
    let pull = read(TWO_JOBS, &["dispatch.mode=pull", "dispatch.backoff=500ms"]);
    let push = read(TWO_JOBS, &["dispatch.window=1"]);
    for seed in 1..=5 {
        let (pull, push) = (clean(&pull, seed), clean(&push, seed));
        assert_eq!((pull.most_held(), push.most_held()), (1, 1), "seed {seed}");
        let second = Time::ZERO + Span::secs(20);
        let (asked, given) = (pull.first_dispatches(second), push.first_dispatches(second));
        assert_eq!((asked.len(), given.len()), (5, 5), "seed {seed}: everybody gets work");
        let last = *given.last().unwrap();
        assert!(last < Span::millis(50), "seed {seed}: push gives it at once, and took {last}");
        let last = *asked.last().unwrap();
        assert!(
            last > Span::millis(50) && last < Span::millis(550),
            "seed {seed}: pull waits to be asked, and took {last}"
        );
    }
}

#[test]
fn workers_that_pull_get_what_the_dead_held() {
    let text = format!(
        "{TWO_JOBS}[[fault]]\nat = \"2s\"\nkind = \"crash\"\ntarget = [\"worker\", \"coordinator\"]\n"
    );
    for window in ["auto", "3"] {
        let plan = read(&text, &["dispatch.mode=pull", &format!("dispatch.window={window}")]);
        for seed in 1..=5 {
            let trial = clean(&plan, seed);
            assert_eq!((trial.verdict.queries_lost, trial.verdict.queries_counted), (0, 200), "seed {seed}");
        }
    }
}

/// The last query of a job takes a hundred times as long on a slow machine; whoever asks next gets it as well.
#[test]
fn workers_that_pull_are_given_second_attempts() {
    let text =
        TWO_JOBS.replace("nodes = 5", "[[node]]\ncount = 4\n[[node]]\nname = \"slow\"\nspeed = 0.01\n");
    let plan = read(&text, &["dispatch.mode=pull", "dispatch.hedge=true"]);
    let without = read(&text, &["dispatch.mode=pull", "dispatch.hedge=false"]);
    for seed in 1..=3 {
        let hedges = |trial: &Trial| {
            use idunno::node::Dispatch;
            let hedge = |(_, _, seen): &(Time, u32, &Observation)| {
                matches!(seen, Observation::Dispatched { reason: Dispatch::Hedge, .. })
            };
            trial.observations().filter(hedge).count()
        };
        assert!(hedges(&clean(&plan, seed)) > 0, "seed {seed}");
        assert_eq!(hedges(&clean(&without, seed)), 0, "seed {seed}");
    }
}

/// With one voter, the first machine leads; here it takes no queries.
#[test]
fn a_coordinator_can_do_nothing_but_coordinate() {
    let text = TWO_JOBS.replace(
        "nodes = 5",
        "cluster.voters = 1\n[[node]]\nname = \"coordinator-only\"\nworker = false\n[[node]]\nname = \"w\"\ncount = 4\n",
    );
    for mode in ["push", "pull"] {
        let plan = read(&text, &[&format!("dispatch.mode={mode}")]);
        for seed in 1..=3 {
            let trial = clean(&plan, seed);
            let led = trial
                .observations()
                .find_map(|(_, machine, seen)| matches!(seen, Observation::Led { .. }).then_some(machine));
            assert_eq!(led, Some(0), "seed {seed}");
            let ran = |(_, machine, seen): (Time, u32, &Observation)| {
                matches!(seen, Observation::Began { .. }).then_some(machine)
            };
            let workers: std::collections::BTreeSet<u32> = trial.observations().filter_map(ran).collect();
            assert_eq!(workers, (1..5).collect(), "seed {seed}");
        }
    }
}

/// A false eviction costs a life and some queries run twice, never a result.
#[test]
fn a_ring_on_a_bad_network_evicts_the_living_and_loses_nothing() {
    let text = format!("{TWO_JOBS}[network]\nloss = \"30%\"\n");
    let overrides = ["membership.suspect_after=250ms", "membership.evict_after=10ms", "failover.election=2s"];
    let ring = read(&text, &[&overrides[..], &["membership.kind=ring"]].concat());
    let mut expelled = 0;
    for seed in 1..=5 {
        let trial = clean(&ring, seed);
        assert_eq!((trial.verdict.queries_lost, trial.verdict.queries_counted), (0, 200), "seed {seed}");
        let gone = |(_, _, seen): &(Time, u32, &Observation)| matches!(seen, Observation::Expelled { .. });
        expelled += trial.observations().filter(gone).count();
    }
    assert!(expelled > 0, "nobody was evicted, so that this shows nothing");
}

fn shipped(name: &str, overrides: &[&str]) -> Plan {
    read(find_shipped(name).unwrap_or_else(|| panic!("{name} is not shipped")), overrides)
}

impl Trial {
    fn fault(&self, number: u32) -> Time {
        let began = self.records.iter().find_map(|record| match &record.what {
            What::Fault(event) if event.fault == number && event.phase == FaultPhase::Began => {
                Some(record.at)
            }
            _ => None,
        });
        began.expect("the fault began")
    }

    /// From the second fault, which is the coordinator's death, to the first dispatch of a later reign.
    fn coordinator_recovery(&self) -> Span {
        let at = self.fault(1);
        let reign = self.observations().filter_map(|(time, _, seen)| match seen {
            Observation::Led { epoch } if time < at => Some(*epoch),
            _ => None,
        });
        let reign = reign.max().expect("someone led");
        let next = self.observations().find_map(|(time, _, seen)| match seen {
            Observation::Dispatched { attempt, .. } if attempt.epoch > reign => Some(time),
            _ => None,
        });
        next.expect("a later reign dispatches").since(at)
    }

    /// From the first fault, which is a worker's death, to the first dispatch because of it.
    fn worker_recovery(&self) -> Span {
        use idunno::node::Dispatch;
        let at = self.fault(0);
        let again = self.observations().find_map(|(time, _, seen)| match seen {
            Observation::Dispatched { reason: Dispatch::Suspect | Dispatch::Gone, .. } if time > at => {
                Some(time)
            }
            _ => None,
        });
        again.expect("what it held is dispatched again").since(at)
    }

    /// The last allocation before `at`.
    fn shares(&self, at: Span) -> Vec<u32> {
        let allocated = self.observations().filter_map(|(time, _, seen)| match seen {
            Observation::Allocated { workers } if time < Time::ZERO + at => {
                Some(workers.iter().map(|&(_, workers)| workers).collect())
            }
            _ => None,
        });
        allocated.last().unwrap_or_default()
    }
}

fn median(mut spans: Vec<Span>) -> f64 {
    spans.sort_unstable();
    spans[spans.len() / 2].as_secs()
}

#[test]
fn a_standby_without_a_partition_loses_nothing() {
    let plan = shipped("standby_works", &[]);
    for seed in 1..=10 {
        let trial = clean(&plan, seed);
        assert_eq!((trial.verdict.queries_lost, trial.verdict.queries_counted), (0, 2000), "seed {seed}");
        let recovery = trial.coordinator_recovery();
        assert!(recovery > Span::secs(1) && recovery < Span::secs(2), "seed {seed}: {recovery}");
        let voted = |(_, _, seen): &(Time, u32, &Observation)| matches!(seen, Observation::Led { .. });
        assert_eq!(trial.observations().filter(voted).count(), 2, "seed {seed}: it leads once each");
    }
}

#[test]
fn a_partition_splits_the_brain_of_a_standby_and_not_that_of_a_quorum() {
    let (standby, log) =
        (shipped("standby_partition", &[]), shipped("standby_partition", &["failover.mode=log"]));
    let kept = |violation: &idunno::check::Violation| violation.invariant == Invariant::LogKept;
    let two_histories = |seed: &u64| run(&standby, *seed).verdict.violations.iter().any(kept);
    let split: Vec<u64> = (1..=10).filter(two_histories).collect();
    assert!(split.len() >= 8, "only the seeds {split:?} of 1 to 10 have two histories");
    for seed in split {
        let doubled = run(&standby, seed).verdict.queries_doubled;
        assert!(doubled > 100, "seed {seed}: both sides count, and only {doubled} queries are counted twice");
    }
    for seed in 1..=10 {
        let trial = clean(&log, seed);
        let Verdict { queries_lost, queries_counted, queries_doubled, .. } = trial.verdict;
        assert_eq!((queries_lost, queries_counted, queries_doubled), (0, 2000, 0), "seed {seed}");
    }
}

/// A split brain breaks the order of views hundreds of times, and the second time says nothing new.
#[test]
fn violations_that_are_alike_are_shown_a_few_times_and_counted() {
    let out = tempfile::tempdir().unwrap();
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_idunno"))
        .args(["sim", "standby_partition", "--trials", "4", "--quiet", "--out"])
        .arg(out.path())
        .output()
        .expect("the command can be started");
    let said = String::from_utf8(shown.stderr).expect("it speaks UTF-8");
    assert_eq!(shown.status.code(), Some(3), "{said}");
    for number in [2, 6] {
        let alike = said.lines().filter(|line| line.contains(&format!(" Invariant {number}: "))).count();
        assert!((1..=3).contains(&alike), "{alike} of invariant {number}: {said}");
    }
    assert!(said.contains(" more violations of invariant 6."), "{said}");
}

#[test]
fn a_backup_every_so_often_forgets_what_one_at_each_operation_keeps() {
    let name = "standby_lagging_backup";
    let lagging = shipped(name, &[]);
    // A job that is submitted after the backup is accepted, and then nobody knows of it any more.
    let late = shipped(name, &["job.1.at=12s"]);
    for seed in 1..=10 {
        let verdict = run(&lagging, seed).verdict;
        assert_eq!(verdict.gravest(), Some(Kind::Safety), "seed {seed}");
        assert_eq!(verdict.queries_lost, 0, "seed {seed}: the standby has both jobs");
        // Of the two thousand at least those of four seconds, at sixty or so a second.
        let Verdict { queries_counted: counted, queries_doubled: doubled, .. } = verdict;
        assert!((200..900).contains(&doubled), "seed {seed}: {doubled} counted twice, {counted} in the log");
        assert_eq!(run(&late, seed).verdict.queries_lost, 1000, "seed {seed}");
        for kept in ["failover.mode=log", "failover.backup_every=0s"] {
            let trial = clean(&shipped(name, &[kept]), seed);
            let counted = (trial.verdict.queries_lost, trial.verdict.queries_counted);
            assert_eq!(counted, (0, 2000), "seed {seed}, {kept}");
        }
    }
}

/// Where the design decides how long a recovery takes, ours is what was published, less what is not modelled. The published figures are
/// means of five or six; the bounds are what their spread and the page on classic designs leave open.
#[test]
fn earlier_systems_recover_as_slowly_here_as_they_did() {
    // The scenario, and within what a worker's and the coordinator's death is to come out, in seconds.
    let published = [
        // 3.88 (σ 0.44, the shortest 3.59) and 3.57 (σ 0.19, the shortest 3.23), with all that its code takes after detection.
        ("classic_query_counts", 2.5..3.6, 2.4..3.3),
        // 3 s of detection and the sending, which comes when another machine has ended its query: up to the seven seconds in which
        // one of nine ends a query of a minute.
        ("classic_time_shares", 3.0..10.0, 3.0..10.0),
        // 5.43, and about 8, of which 5 s are detection and the fetching of files is not modelled.
        ("classic_pull", 4.4..5.6, 4.4..5.6),
        // 1.26 (σ 0.25), and 3.59 (σ 0.55), two seconds of it in code that is not modelled.
        ("classic_successor", 1.0..1.52, 1.0..1.6),
    ];
    for (name, worker, coordinator) in published {
        let plan = shipped(name, &[]);
        let trials: Vec<Trial> = (1..=9).map(|seed| clean(&plan, seed)).collect();
        let ours = (
            median(trials.iter().map(Trial::worker_recovery).collect()),
            median(trials.iter().map(Trial::coordinator_recovery).collect()),
        );
        assert!(worker.contains(&ours.0), "{name}: {} s after a worker's death, not {worker:?}", ours.0);
        let of = "after the coordinator's death";
        assert!(coordinator.contains(&ours.1), "{name}: {} s {of}, not {coordinator:?}", ours.1);
        let detection = plan.config.membership.suspect_after.as_secs();
        assert!(
            ours.0 > 0.8 * detection && ours.1 > 0.8 * detection,
            "{name}: {ours:?} begins with detection"
        );
    }
}

/// The script prints what the page says; the cheapest of it is looked at here.
#[test]
fn the_page_about_classic_designs_has_the_figures_of_its_script() {
    let root = env!("CARGO_MANIFEST_DIR");
    let page = std::fs::read_to_string(format!("{root}/docs/classic_designs.md")).unwrap();
    let shown = std::process::Command::new(format!("{root}/scripts/classic_designs.sh"))
        .args([env!("CARGO_BIN_EXE_idunno"), "systems"])
        .env("SYSTEMS", "classic_successor classic_query_counts")
        .output()
        .expect("there is a bash");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let said = String::from_utf8(shown.stdout).expect("it is text");
    assert_eq!(said.lines().count(), 2, "{said}");
    for line in said.lines() {
        let (name, figures) = line.split_once(": ").expect("a name and its figures");
        let row = page.lines().find(|row| row.starts_with(&format!("| `{name}` |"))).expect("it has a row");
        let ours = row.split('|').skip(3).filter_map(|cell| cell.trim().rsplit_once(", "));
        let ours: Vec<&str> = ours.map(|(_, ours)| ours).collect();
        assert_eq!(
            ours.join(", "),
            figures,
            "{name}: docs/classic_designs.md says otherwise than its script"
        );
    }
}

#[test]
fn earlier_systems_share_their_machines_as_published() {
    // The two methods of sharing weigh what was measured in the last seconds, so a division comes and goes.
    let comes_to = |name, wanted: [u32; 2], from, to| {
        let plan = shipped(name, &[]);
        for seed in 1..=5 {
            let trial = clean(&plan, seed);
            let shares: Vec<_> = (from..=to).map(|at| trial.shares(Span::secs(at))).collect();
            assert!(shares.iter().any(|shares| **shares == wanted), "{name}, seed {seed}: {shares:?}");
        }
    };
    comes_to("classic_pull", [6, 4], 40, 60);
    comes_to("classic_successor", [5, 5], 4, 4);
}

/// Unsafe is not the same as broken: whatever happens, the code of the classic design goes on.
#[test]
fn a_standby_never_panics_in_storms() {
    let seeds =
        std::env::var("IDUNNO_SEEDS").map_or(60, |text| text.parse().expect("IDUNNO_SEEDS is a number"));
    let mut ran = 0;
    for seed in 0..seeds {
        let mut plan = fuzz::scenario(seed, Profile::Swarm);
        let every = ["0s", "1s"][seed as usize % 2];
        let standby = ["earliest", "successor"][seed as usize / 2 % 2];
        let overrides = [
            "failover.mode=standby".to_owned(),
            "cluster.voters=auto".to_owned(),
            format!("failover.backup_every={every}"),
            format!("failover.standby={standby}"),
            "until=40s".to_owned(),
        ];
        let readable = |plan: &Plan| Plan::with_overrides(&to_toml(plan), "storm.toml", &overrides);
        // Nobody votes there, so that faults of voters are left out.
        let possible =
            |fault: &Fault| readable(&Plan { faults: vec![fault.clone()], ..plan.clone() }).is_ok();
        let faults = plan.faults.iter().filter(|fault| possible(fault)).cloned().collect();
        plan.faults = faults;
        let Ok(plan) = readable(&plan) else { continue };
        run(&plan, seed);
        ran += 1;
    }
    assert!(ran > seeds / 2, "only {ran} of {seeds} could be run");
}
