//! `idunno sim --trace` as people use it: what is shown, what is not, and how it ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use idunno::base::Time;
use idunno::history::{Ignore, Machine, Record, Watcher};
use idunno::node::{Input, Timer};
use idunno::scenario::{Plan, shipped};
use idunno::sim;

fn idunno(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idunno"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    idunno(arguments).output().expect("the command can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8")
}

/// Five nodes, two jobs and a dead coordinator, over in a moment.
const SMALL: &str = r#"
name = "small"
trials = 3
nodes = 5
seed = 4
[model.fast]
load = "50ms"
per_input = "lognormal(20ms, 0.3)"
[[job]]
name = "a"
model = "fast"
inputs = 100
[[job]]
name = "b"
model = "fast"
inputs = 50
at = "500ms"
[[fault]]
at = "1s"
kind = "crash"
target = "coordinator"
"#;

/// The lines of a trace of [`SMALL`]; it must end well.
fn traced(options: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.toml");
    fs::write(&path, SMALL).unwrap();
    let shown = output(&[&["sim", path.to_str().unwrap(), "--trace"], options].concat());
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    text(&shown.stdout).lines().map(str::to_owned).collect()
}

/// Time and node of a line.
fn place(line: &str) -> (f64, String) {
    let mut words = line.split_whitespace();
    let at = words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no time: {line}"));
    (at, words.next().unwrap_or_else(|| panic!("no node: {line}")).to_owned())
}

#[test]
fn a_trace_has_the_same_bytes_each_time_and_other_bytes_for_another_trial() {
    let first = traced(&[]);
    assert_eq!(first, traced(&[]));
    let other = traced(&["--trial", "1"]);
    assert_ne!(first, other);
    assert_eq!(other, traced(&["--seed", "5"]), "trial 1 has the next seed");
}

#[test]
fn lines_are_in_order_of_time_and_none_is_too_wide() {
    let lines = traced(&["--kind", "heartbeat,disk,timer,log,dispatch,result,engine,client,election"]);
    assert!(lines.iter().all(|line| line.chars().count() <= 120));
    assert!(lines.is_sorted_by_key(|line| place(line).0));
    assert!(lines.len() > 2000, "{}", lines.len());
}

#[test]
fn each_kind_can_be_shown_alone_and_signs_of_life_only_so() {
    let usual = traced(&[]).join("\n");
    for (kind, wanted) in [
        ("fault", "fault 0: crash"),
        ("client", "a is accepted as job 1"),
        ("election", "is elected and leads"),
        ("survey", "what do you hold?"),
        ("log", "append e"),
        ("membership", "silent for"),
        ("dispatch", "gives 1.0.0"),
        ("result", "counts 1.0.0"),
        ("engine", "has loaded fast"),
    ] {
        assert!(usual.contains(wanted), "{kind}: {wanted}");
        let alone = traced(&["--kind", kind]).join("\n");
        assert!(alone.contains(wanted) && alone.len() < usual.len(), "{kind}: {wanted}");
    }
    for (kind, wanted) in [("heartbeat", "heartbeat of life 1"), ("disk", "writes"), ("timer", "timer: ")] {
        let alone = traced(&["--kind", kind]).join("\n");
        assert!(alone.contains(wanted), "{kind}: {wanted}");
        assert!(kind == "timer" || !usual.contains(wanted), "{kind} is shown unasked");
    }
}

#[test]
fn one_can_look_at_nodes_at_jobs_at_queries_and_at_a_stretch_of_time() {
    let nodes: BTreeSet<String> = traced(&["--node", "n2", "--node", "n4", "--kind", "engine"])
        .iter()
        .map(|line| place(line).1)
        .collect();
    assert_eq!(nodes, BTreeSet::from(["n2".to_owned(), "n4".to_owned()]));
    let job = traced(&["--job", "b", "--kind", "engine"]);
    let about = |line: &String| line.contains(" 2.0.") || line.contains("(e");
    assert!(job.len() > 50 && job.iter().all(about), "{job:#?}");
    let query = traced(&["--query", "1.0.7", "--kind", "dispatch,engine,result"]);
    for wanted in
        ["gives 1.0.7 (e", "takes 1.0.7 (e", "runs 1.0.7 (e", "has ended 1.0.7 (e", "counts 1.0.7 (e"]
    {
        assert!(query.iter().any(|line| line.contains(wanted)), "{wanted}: {query:#?}");
    }
    assert!(traced(&["--query", "1.0.7"]).iter().any(|line| line.contains("fault 0: crash")));
    let all = traced(&[]);
    let part = traced(&["--from", "0.9", "--until", "1100ms"]);
    let same: Vec<&String> = all.iter().filter(|line| (0.9..=1.1).contains(&place(line).0)).collect();
    assert!(!part.is_empty());
    assert_eq!(part.iter().collect::<Vec<_>>(), same);
}

#[test]
fn a_trace_leaves_no_results_unless_it_is_said_where_and_they_are_those_of_that_trial_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), SMALL).unwrap();
    let run = |arguments: &[&str]| {
        let shown = idunno(arguments).current_dir(folder.path()).output().unwrap();
        assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    };
    run(&["sim", "small.toml", "--trace"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    run(&["sim", "small.toml", "--trace", "--trial", "2", "--out", "watched"]);
    run(&["sim", "small.toml", "--seed", "6", "--trials", "1", "--quiet", "--out", "unwatched"]);
    // The last line of the history tells of the repetition of trial 0, which a trace does not make.
    let history = |out: &str| {
        let text = fs::read_to_string(folder.path().join(out).join("small/sim/history.jsonl")).unwrap();
        text.trim_end().rsplit_once('\n').expect("it has lines").0.to_owned()
    };
    assert!(history("watched") == history("unwatched"), "the history differs: watching changes something");
    for file in ["queries.csv", "recovery.csv", "summary.csv", "scenario.toml"] {
        let bytes = |out: &str| fs::read(folder.path().join(out).join("small/sim").join(file)).unwrap();
        assert!(bytes("watched") == bytes("unwatched"), "{file} differs: watching changes something");
    }
}

#[test]
fn until_ends_trials_without_a_trace_too_but_must_not_cut_off_what_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.toml");
    fs::write(&path, SMALL).unwrap();
    let out = folder.path().join("out");
    let run = |until| {
        output(&["sim", path.to_str().unwrap(), "--until", until, "--out", out.to_str().unwrap(), "--quiet"])
    };
    assert_eq!(run("1.5s").status.code(), Some(0));
    let read = fs::read_to_string(out.join("small/sim/scenario.toml")).unwrap();
    assert!(read.contains("until = \"1500ms\""), "{read}");
    let shown = run("700ms");
    assert_eq!(shown.status.code(), Some(2));
    assert!(text(&shown.stderr).contains("after the trial has ended"), "{}", text(&shown.stderr));
}

#[test]
fn a_reader_who_has_enough_ends_it_quietly() {
    let mut child = idunno(&["sim", "coord_fail", "--trace", "--kind", "heartbeat"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(first.contains("heartbeat"), "{first}");
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), String::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_trace_that_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let shown = idunno(&["sim", "coord_fail", "--trace", "--until", "1s"]).stdout(full).output().unwrap();
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to the standard output"), "{said}");
}

#[test]
fn what_does_not_exist_is_refused_with_what_does() {
    for (options, wanted) in [
        (["--kind", "elections"], "'election'"),
        (["--kind", "elections"], "membership"),
        (["--node", "m7"], "Did you mean n7?"),
        (["--job", "renset"], "Did you mean resnet?"),
        (["--query", "17"], "such as 1.0.17"),
        (["--from", "soon"], "such as 12.5s"),
    ] {
        let shown = output(&["sim", "coord_fail", "--trace", options[0], options[1]]);
        let said = text(&shown.stderr);
        assert_eq!((shown.status.code(), shown.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains(wanted), "{options:?}: {said}");
    }
    for (arguments, wanted) in [
        (["sim", "coord_fail", "--node", "n1"].as_slice(), "--trace"),
        (&["sim", "coord_fail", "--trace", "--trials", "3"], "cannot be used with"),
        (&["sim", "coord_fail", "steady", "--trace"], "one trial of one scenario"),
    ] {
        let shown = output(arguments);
        let said = text(&shown.stderr);
        assert_eq!(shown.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}

#[test]
fn a_trace_in_which_nothing_fits_says_so_beside_it() {
    let shown = output(&["sim", "steady", "--trace", "--query", "1.0.999999", "--until", "2s"]);
    assert_eq!((shown.status.code(), shown.stdout.len()), (Some(0), 0));
    assert!(text(&shown.stderr).contains("no line fits"), "{}", text(&shown.stderr));
}

/// Notes each wake-up without a reason.
#[derive(Default)]
struct Reasons {
    wakes: u64,
    nameless: Vec<(Time, Machine)>,
    records: u64,
}

impl Watcher for Reasons {
    fn given(&mut self, at: Time, machine: Machine, input: &Input, due: &[Timer]) {
        if matches!(input, Input::Wake) {
            self.wakes += 1;
            if due.is_empty() {
                self.nameless.push((at, machine));
            }
        }
    }
    fn recorded(&mut self, _: &Record) {
        self.records += 1;
    }
}

#[test]
fn every_wake_up_names_its_reason_and_watching_changes_nothing() {
    let with_all_troubles = ["partition_minority", "rolling_restart", "stragglers"];
    for (name, source) in shipped().iter().filter(|(name, _)| with_all_troubles.contains(name)) {
        let plan = Plan::read(source, Path::new(name).with_extension("toml").to_str().unwrap()).unwrap();

        let mut reasons = Reasons::default();
        let watched = sim::run_watched(&plan, plan.seed, &mut Ignore, &mut reasons, &|| false);
        assert!(reasons.nameless.is_empty(), "{name}, seed {}: {:?}", plan.seed, reasons.nameless);
        assert!(reasons.wakes > 1000 && reasons.records > 1000, "{name}: {} wakes", reasons.wakes);
        let mut history = Vec::new();
        let alone = sim::run(&plan, plan.seed, &mut history, &|| false);
        assert_eq!(watched, alone, "{name}, seed {}", plan.seed);
        assert_eq!(reasons.records, history.len() as u64, "{name}");
    }
}
