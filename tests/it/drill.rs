//! Drills: scenarios on real processes of this machine, which are killed, cut off and restarted, and what is left afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use idunno::cluster::drill::{Drill, run};
use idunno::history::Ignore;
use idunno::scenario::{Plan, to_toml};
use serde_json::Value;

const IDUNNO: &str = env!("CARGO_BIN_EXE_idunno");
/// Nothing here takes long; this is how long a busy machine may take over it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Five nodes and a job of some seconds.
const CLUSTER: &str = "nodes = 5\ntrials = 1\nliveness_within = \"60s\"\n\
    [model.m]\nload = \"50ms\"\nper_input = \"20ms\"\n[[job]]\nname = \"j\"\nmodel = \"m\"\ninputs = 1000\n";

fn fault(at: &str, rest: &str) -> String {
    format!("[[fault]]\nat = \"{at}\"\n{rest}\n")
}

/// A drill of the cluster with these faults, in `folder`, where everything that it makes is.
fn drill(folder: &Path, faults: &[String], more: &[&str]) -> Command {
    fs::write(folder.join("scenario.toml"), format!("name = \"s\"\n{CLUSTER}{}", faults.concat())).unwrap();
    let mut command = Command::new(IDUNNO);
    command.args(["drill", "scenario.toml", "--out", "results", "--format", "json"]).args(more);
    command.current_dir(folder).env("TMPDIR", folder).stdin(Stdio::null());
    command
}

/// Runs it, and says what it showed; it must have gone well, with every query counted once.
fn passed(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}\n{}", String::from_utf8_lossy(&output.stderr));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let counts = ["queries_counted", "queries_lost", "queries_doubled", "violations_found"];
    assert_eq!(counts.map(|count| shown[count].as_u64().unwrap()), [1000, 0, 0, 0], "{shown}");
    shown
}

/// How often something happened, as the table of members has it.
fn happened(folder: &Path, event: &str) -> usize {
    let table = fs::read_to_string(folder.join("results/s/real/membership.csv")).unwrap();
    table.lines().filter(|line| line.split(',').nth(3) == Some(event)).count()
}

/// The processes that were started for the drill in `folder`: all of them know the folder from their environment.
fn processes(folder: &Path) -> Vec<u32> {
    let mark = format!("TMPDIR={}\0", folder.display());
    let mine = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.windows(mark.len()).any(|part| part == mark.as_bytes()))
    };
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(mine).collect()
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_trial_begins_again_when_a_node_cannot_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // As when somebody else has just taken its port: so many starts fail, and then none does.
    let drilled = |fails: u32| {
        let program = folder.join("program");
        let starts = folder.join("starts");
        let _ = fs::remove_dir_all(&starts);
        let script = format!(
            "#!/bin/sh\nfor n in $(seq {fails}); do\n  mkdir -p {0} && mkdir {0}/$n 2>/dev/null && echo 'the port is taken' >&2 && exit 2\n\
             done\nexec {IDUNNO} \"$@\"\n",
            starts.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let text = "name = \"s\"\nnodes = 1\n[model.m]\nload = \"0s\"\nper_input = \"1ms\"\n[[job]]\nmodel = \"m\"\ninputs = 10\n";
        let plan = Plan::read(text, "s.toml").unwrap();
        let drill = Drill { plan: &plan, seed: 1, program, netns: false, measures: false };
        run(&drill, &mut Ignore, &|| false)
    };
    assert!(drilled(2).unwrap().unfinished.is_empty());
    let error = drilled(3).unwrap_err().to_string();
    assert!(error.contains("n1 ended by itself") && error.contains("the port is taken"), "{error}");
}

#[test]
fn queries_outlive_a_worker_and_the_coordinator_and_the_history_is_like_a_rehearsal_s() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let faults = [
        fault("800ms", "kind = \"crash\"\ntarget = \"busiest worker\"\nfor = \"2s\""),
        fault("1500ms", "kind = \"crash\"\ntarget = \"coordinator\"\nfor = \"2s\""),
    ];
    passed(&mut drill(folder, &faults, &[]));
    assert_eq!(processes(folder), [0_u32; 0]);
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}: the scenario and its results");
    assert_eq!((happened(folder, "down"), happened(folder, "up")), (2, 7));
    assert!(happened(folder, "led") >= 2);
    let recovery = fs::read_to_string(folder.join("results/s/real/recovery.csv")).unwrap();
    assert_eq!(recovery.lines().count(), 3, "{recovery}");
    // What was written can be checked again, and compared with the rehearsal of the same file.
    let idunno = |words: &[&str]| {
        let output = Command::new(IDUNNO).args(words).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    idunno(&["check", "results/s/real"]);
    // The scenario that is kept says what network and disk were like, and the rehearsal of that one is what is to be compared.
    let kept = fs::read_to_string(folder.join("results/s/real/scenario.toml")).unwrap();
    let of = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("latency = ") || line.starts_with("sync = "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let supposed = to_toml(&Plan::read(&format!("name = \"s\"\n{CLUSTER}"), "s.toml").unwrap());
    let (kept, supposed) = (of(&kept), of(&supposed));
    assert_eq!((kept.len(), supposed.len()), (2, 2), "{kept:?} {supposed:?}");
    assert!(kept.iter().zip(&supposed).all(|(kept, supposed)| kept != supposed), "{kept:?} {supposed:?}");
    idunno(&["sim", "results/s/real/scenario.toml", "--out", "results", "--quiet"]);
    let compared = idunno(&["compare", "results/s/sim", "results/s/real"]);
    assert!(compared.contains("After a fault: crash") && compared.contains("redispatch_s"), "{compared}");
}

#[test]
fn files_are_put_found_and_read_by_a_job_while_the_coordinator_dies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let request = |at: &str, kind: &str| format!("[[request]]\nat = \"{at}\"\nkind = {kind}\n");
    let put = "\"put\"\nfile = \"f\"\nbytes = 9_000_000";
    let requests = [
        request("200ms", put),
        request("1400ms", put),
        request("1600ms", "\"get\"\nfile = \"f\"\nclient = \"reader\""),
        request("6s", "\"get\"\nfile = \"f\"\nclient = \"reader\""),
        fault("1500ms", "kind = \"crash\"\ntarget = \"coordinator\"\nfor = \"2s\""),
    ];
    let scenario = CLUSTER.replace("inputs = 1000", "inputs = \"store:f:0..1000\"\nat = \"3s\"");
    fs::write(folder.join("scenario.toml"), format!("name = \"s\"\n{scenario}{}", requests.concat()))
        .unwrap();
    let mut command = Command::new(IDUNNO);
    command.args(["drill", "scenario.toml", "--out", "results", "--format", "json"]);
    passed(command.current_dir(folder).env("TMPDIR", folder).stdin(Stdio::null()));
    let history = fs::read_to_string(folder.join("results/s/real/history.jsonl")).unwrap();
    assert_eq!(history.matches("\"Stored\"").count(), 2);
    assert_eq!(history.matches("\"Located\"").count(), 2);
}

#[test]
fn nodes_that_start_again_at_once_are_neither_missed_nor_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let restart = |node: u32| {
        fault(&format!("{}ms", 500 * node), &format!("kind = \"restart\"\ntarget = \"node {node}\""))
    };
    let faults: Vec<String> = (1..=5).map(restart).collect();
    passed(&mut drill(folder, &faults, &[]));
    assert_eq!((happened(folder, "down"), happened(folder, "evicted")), (5, 0));
}

#[test]
fn a_wiped_node_joins_as_a_new_one_and_stuck_engines_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let faults = [
        fault("500ms", "kind = \"pause\"\ntarget = \"coordinator\"\nfor = \"1s\""),
        fault("700ms", "kind = \"stuck\"\ntarget = \"node 5\""),
        fault("3s", "kind = \"crash\"\nwipe = true\ntarget = \"voter\"\nfor = \"1s\""),
        fault("4s", "kind = \"engine_death\"\ntarget = \"worker\""),
    ];
    passed(&mut drill(folder, &faults, &[]));
    assert_eq!(processes(folder), [0_u32; 0]);
    let history = fs::read_to_string(folder.join("results/s/real/history.jsonl")).unwrap();
    let ups = history.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["what"]["Up"].as_u64()
    });
    let mut nodes: Vec<u64> = ups.collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), 6, "five, and the one with the new disk");
    for seen in ["Paused", "Resumed", "EngineDied"] {
        assert!(history.contains(seen), "{seen}");
    }
}

#[test]
fn what_cannot_be_done_to_real_nodes_is_refused_by_name_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let faults = [
        fault("1s", "kind = \"crash\"\ntarget = \"worker\""),
        fault("2s", "kind = \"skew\"\nfactor = 2\ntarget = \"worker\"\nfor = \"1s\""),
        fault("2s", "kind = \"isolate\"\ntarget = \"worker\"\nfor = \"1s\""),
    ];
    let refused = drill(folder, &faults, &[]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("fault 2 (skew)") && said.contains("fault 3 (isolate)"), "{said}");
    assert!(!said.contains("fault 1") && said.contains("--skip-unsupported"), "{said}");
    assert!(!folder.join("results").exists());
    let output = drill(folder, &faults, &["--skip-unsupported", "--set", "disk.sync=9ms"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("fault 2 (skew) was left out"), "{said}");
    assert!(said.contains("s: what it says in [disk] was not in force;"), "{said}");
}

/// A drill that goes on until something ends it, once all its nodes run and one of their engines stands still.
fn under_way(folder: &Path) -> Child {
    let faults = [
        fault("100ms", "kind = \"stuck\"\ntarget = \"worker\""),
        fault("500ms", "kind = \"pause\"\ntarget = \"worker\"\nfor = \"50s\""),
        fault("60s", "kind = \"crash\"\ntarget = \"worker\""),
    ];
    let mut command = drill(folder, &faults, &["--quiet"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let is_stopped = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    };
    // The drill, five nodes, five engines; an engine and a node stand still.
    until("everything runs", || {
        let all = processes(folder);
        all.len() >= 11 && all.iter().filter(|pid| is_stopped(pid)).count() >= 2
    });
    child
}

#[test]
fn nothing_is_left_of_a_drill_that_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = under_way(folder.path());
    signal("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(processes(folder.path()), [0_u32; 0]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["scenario.toml"]);
}

#[test]
fn a_drill_ends_at_an_interrupt_also_while_it_makes_disks_and_has_not_more_nodes_than_a_machine_takes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut command = drill(folder, &[], &["--quiet", "--set", "nodes=250"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let made = || -> usize {
        let mine = fs::read_dir(folder).unwrap().filter_map(Result::ok);
        let drills = mine.filter(|entry| entry.file_name().to_string_lossy().starts_with("idunno-drill-"));
        drills.map(|entry| fs::read_dir(entry.path()).map_or(0, Iterator::count)).sum()
    };
    until("disks are made", || made() > 5);
    signal("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(processes(folder), [0_u32; 0]);
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["scenario.toml"]);

    let output = drill(folder, &[], &["--set", "nodes=251"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("at most 250 of them, not 251"), "{said}");
}

#[test]
fn nothing_runs_on_after_a_drill_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = under_way(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    until("its processes end", || processes(folder.path()).is_empty());
}

#[test]
fn nothing_runs_on_after_a_drill_that_is_killed_while_it_starts() {
    for milliseconds in [50, 150, 250, 350] {
        let folder = tempfile::tempdir().unwrap();
        let mut child =
            drill(folder.path(), &[], &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        until("its processes end", || processes(folder.path()).is_empty());
    }
}

#[test]
fn a_real_partition_costs_no_query_and_leaves_no_device() {
    let has = |program: &str| Command::new(program).arg("-V").output().is_ok();
    if !nix::unistd::geteuid().is_root() || !has("nft") || !has("ip") {
        // Whoever may not make networks cannot try them.
        return;
    }
    let devices = || fs::read_to_string("/proc/self/net/dev").unwrap().lines().count();
    let before = devices();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let faults = [
        fault("700ms", "kind = \"cut\"\ndirection = \"in\"\ntarget = \"coordinator\"\nfor = \"2s\""),
        fault("4s", "kind = \"full_disk\"\ntarget = \"voter\"\nfor = \"1s\""),
    ];
    passed(&mut drill(folder, &faults, &["--netns"]));
    assert_eq!((processes(folder).len(), devices()), (0, before));
    assert!(happened(folder, "led") >= 2, "a coordinator that hears nobody is followed by another one");
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
