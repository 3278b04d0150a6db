//! `idunno tune`: advice that follows the network, can be pasted, and is the same each time.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn output(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idunno"));
    command.args(arguments).output().expect("the command can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8")
}

const THREE: &str = r#"
nodes = 3
trials = 1
[model.m]
load = "10ms"
per_input = "50ms"
[[job]]
model = "m"
inputs = 100
[[fault]]
at = "1s"
kind = "crash"
target = "coordinator"
"#;

/// What is advised for three nodes on a network that loses so much, and the bytes of tune.csv.
fn advised(folder: &Path, loss: &str, threads: &str) -> (serde_json::Value, Vec<u8>) {
    let scenario = folder.join("three.toml");
    fs::write(&scenario, THREE).unwrap();
    let out = folder.join(format!("{loss}-{threads}"));
    let (scenario, out) = (scenario.to_str().unwrap(), out.to_str().unwrap());
    let loss = format!("network.loss={loss}");
    let few = ["--trials", "1", "--false-suspicions-per-day", "25", "--format", "json"];
    let shown =
        output(&[&["tune", scenario, "--set", &loss, "--threads", threads, "--out", out], &few[..]].concat());
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let csv = fs::read(Path::new(out).join("three/tune/tune.csv")).expect("every point is written");
    (serde_json::from_slice(&shown.stdout).expect("it is JSON"), csv)
}

fn milliseconds(advice: &serde_json::Value, key: &str) -> f64 {
    let text = advice["to_use"][key].as_str().expect("it is a time");
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.trim_end_matches('s'), 1_000.0),
    };
    number.parse::<f64>().unwrap_or_else(|_| panic!("{key}: {text}")) * factor
}

#[test]
fn a_bad_network_asks_for_patience_and_the_advice_is_the_same_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bytes) = advised(folder.path(), "0%", "1");
    let (_, again) = advised(folder.path(), "0%", "2");
    assert_eq!(bytes, again);
    let (bad, _) = advised(folder.path(), "20%", "2");
    let missed = |advice: &serde_json::Value| {
        milliseconds(advice, "membership.suspect_after") / milliseconds(advice, "membership.heartbeat")
    };
    assert!(missed(&good) < missed(&bad), "{good:#}\n{bad:#}");
    for key in ["membership.suspect_after", "failover.election"] {
        assert!(milliseconds(&good, key) < milliseconds(&bad, key), "{key}: {good:#}\n{bad:#}");
    }
    let stages = good["stages"].as_array().expect("there are stages");
    assert!(stages.iter().all(|stage| stage["alarms_kept"] == true), "{good:#}");

    // What is advised can be pasted, where there is nothing of the kind, and otherwise the message says what to do.
    let settings = fs::read_to_string(folder.path().join("20%-2/three/tune/settings.toml")).unwrap();
    let pasted = folder.path().join("pasted.toml");
    fs::write(&pasted, format!("{THREE}\n{settings}")).unwrap();
    let resolved = folder.path().join("20%-2/three/tune/scenario.toml");
    for file in [pasted, resolved] {
        let checked = output(&["scenario", "check", file.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    }
    let twice = folder.path().join("twice.toml");
    fs::write(&twice, format!("{THREE}\n[membership]\nheartbeat = \"70ms\"\n\n{settings}")).unwrap();
    let shown = output(&["scenario", "check", twice.to_str().unwrap()]);
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(2), "{said}");
    let line =
        |word: &str| 1 + fs::read_to_string(&twice).unwrap().lines().position(|line| line == word).unwrap();
    let first = line("[membership]");
    let wanted =
        format!("membership: written in line {first} already; wanted one [membership] with the keys of both");
    assert!(said.contains(&wanted), "{said}");
    for chart in ["detection", "messages", "wasted", "eviction", "election"] {
        let path = folder.path().join(format!("20%-2/three/tune/{chart}.png"));
        assert!(path.is_file(), "{chart} is drawn");
    }
}

/// One trial cannot tell of one false alarm a day: an eighth of a node-day, in which there may have been 24 a day.
#[test]
fn settings_that_keep_no_limit_are_marked_and_end_with_1_also_when_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let (scenario, out) = (folder.path().join("three.toml"), folder.path().join("out"));
    fs::write(&scenario, THREE).unwrap();
    let few = ["--trials", "1", "--false-suspicions-per-day", "1", "--quiet"];
    let of = ["tune", scenario.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let shown = output(&[&of[..], &few[..]].concat());
    let said = text(&shown.stderr);
    assert_eq!((shown.status.code(), text(&shown.stdout)), (Some(1), String::new()), "{said}");
    assert!(said.starts_with("three: no settings keep all limits"), "{said}");
    assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains("--trials 24 would do"), "{said}");
    let settings = fs::read_to_string(out.join("three/tune/settings.toml")).unwrap();
    assert!(settings.contains("# NO SETTINGS KEEP ALL LIMITS."), "{settings}");
    // The keys are still what they are without the comment, and so are the flags in it.
    let flags = settings.lines().find_map(|line| line.strip_prefix("# --set ")).expect("there are flags");
    let flags: Vec<&str> = flags.split(" --set ").collect();
    assert_eq!(flags.len(), 5, "{settings}");
    let set: Vec<&str> = flags.iter().flat_map(|flag| ["--set", flag]).collect();
    let path = scenario.to_str().unwrap();
    let checked = output(&[&["scenario", "show", path], &set[..]].concat());
    let resolved = fs::read_to_string(out.join("three/tune/scenario.toml")).unwrap();
    let keys = |text: &str| -> Vec<String> {
        let names = ["heartbeat", "suspect_after", "evict_after", "election", "beat"];
        let has = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name} = ")));
        text.lines().filter(has).map(ToOwned::to_owned).collect()
    };
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert_eq!(keys(&settings), keys(&resolved));
    assert_eq!(keys(&text(&checked.stdout)), keys(&resolved));
}

#[test]
fn what_cannot_be_tuned_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("two.toml"), THREE.replace("nodes = 3", "nodes = 2")).unwrap();
    let (two, out) = (path("two.toml"), path("out"));
    let refusals: [(&[&str], &str); 5] = [
        (&[&two], "2 nodes and 1 voter: nobody could take over"),
        (&["coord_fail", "--pause", "0s"], "wanted a time such as 1500ms"),
        (&["coord_fail", "--false-suspicions-per-day", "0"], "wanted a number above 0"),
        (&["coord_fail", "--messages=-3"], "wanted a number above 0"),
        (&["coord_fail", "--set", "membership.heartbeet=1s"], "heartbeat"),
    ];
    for (arguments, why) in refusals {
        let shown = output(&[&["tune", "--out", &out], arguments].concat());
        assert_eq!(shown.status.code(), Some(2), "{arguments:?}");
        assert!(text(&shown.stderr).contains(why), "{arguments:?}: {}", text(&shown.stderr));
        assert!(!Path::new(&out).exists(), "nothing was changed");
    }
}
