//! The command as people use it: what it writes, what it says, how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(super) fn idunno(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idunno"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    command
}

pub(super) fn output(arguments: &[&str]) -> Output {
    idunno(arguments).output().expect("the command can be started")
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8")
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let path = entry.expect("entries can be read").path();
            let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("results can be read"))
        })
        .collect();
    files.sort();
    files
}

fn place(out: &Path, scenario: &str) -> PathBuf {
    out.join(scenario).join("sim")
}

/// Two jobs and a dead worker on five nodes, over in a moment.
const SMALL: &str = r#"
name = "small"
trials = 3
nodes = 5
[model.fast]
load = "50ms"
per_input = "lognormal(20ms, 0.3)"
[[job]]
name = "a"
model = "fast"
inputs = 400
[[job]]
name = "b"
model = "fast"
inputs = 200
at = "500ms"
[[fault]]
at = "1s..2s"
kind = "crash"
target = "coordinator"
"#;

fn small(folder: &Path) -> String {
    let path = folder.join("small.toml");
    fs::write(&path, SMALL).expect("a temporary folder can be written");
    path.to_string_lossy().into_owned()
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_another_process_with_other_threads() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = small(folder.path());
    let run = |name: &str, threads: &str| {
        let out = folder.path().join(name);
        let shown =
            output(&["sim", &scenario, "--seed", "11", "--threads", threads, "--out", out.to_str().unwrap()]);
        assert_eq!(shown.status.code(), Some(0), "{}{}", text(&shown.stdout), text(&shown.stderr));
        files(&place(&out, "small"))
    };
    let (first, second) = (run("a", "1"), run("b", "2"));
    assert_eq!(first.len(), 24);
    for ((name, left), (_, right)) in first.iter().zip(&second) {
        assert!(left == right, "{name} differs");
    }
}

#[test]
fn a_run_tells_jobs_recovery_checks_and_where_the_files_are() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = small(folder.path());
    let out = folder.path().join("out");
    let shown = output(&["sim", &scenario, "--seed", "3", "--out", out.to_str().unwrap()]);
    let said = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{said}{}", text(&shown.stderr));
    for wanted in [
        "small: 3 trials, seeds 3 to 5; 5 nodes, policy rate_balance.",
        "3 of 3",
        "After the crash of the coordinator",
        "dispatching again",
        "1,800 queries: 0 lost, 0 counted twice.",
        "Invariants 1 to 12 held",
        "Results are in",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is missing from\n{said}");
    }
    assert!(text(&shown.stderr).starts_with("Took "), "{}", text(&shown.stderr));
    let quiet = output(&["sim", &scenario, "--quiet", "--trials", "1", "--out", out.to_str().unwrap()]);
    assert_eq!((quiet.stdout.len(), quiet.stderr.len()), (0, 0));
}

#[test]
fn the_page_about_results_explains_every_file_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = small(folder.path());
    let out = folder.path().join("out");
    output(&["sim", &scenario, "--trials", "1", "--out", out.to_str().unwrap()]);
    let readme = include_str!("../../docs/results.md");
    for (file, bytes) in files(&place(&out, "small")) {
        assert!(readme.contains(&format!("`{file}`")), "{file} is missing");
        if Path::new(&file).extension().is_some_and(|extension| extension == "csv") {
            for column in text(&bytes).lines().next().unwrap().split(',') {
                assert!(readme.contains(&format!("`{column}`")), "{column} of {file} is missing");
            }
        }
    }
}

#[test]
fn scenarios_are_listed_shown_checked_and_explained() {
    let said = |arguments: &[&str]| {
        let shown = output(arguments);
        assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
        text(&shown.stdout)
    };
    assert!(said(&["scenario", "list"]).contains("coord_fail\n    The coordinator dies"));
    assert!(said(&["scenario", "keys"]).contains("membership.suspect_after\n"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coord_fail.toml");
    fs::write(&path, said(&["scenario", "show", "coord_fail", "--set", "trials=2"])).unwrap();
    let path = path.to_str().unwrap();
    assert!(said(&["scenario", "check", path, "steady"]).contains("steady is right"));
    fs::write(path, "nodes = 3\ncolour = 1\n").unwrap();
    let shown = output(&["scenario", "check", path]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(text(&shown.stderr).contains("colour"), "{}", text(&shown.stderr));
}

#[test]
fn other_programs_can_read_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = small(folder.path());
    let out = folder.path().join("out");
    let run = |format: &str| {
        let trials = ["--trials", "1", "--format", format, "--out", out.to_str().unwrap()];
        text(&output(&[&["sim", &scenario], trials.as_slice()].concat()).stdout)
    };
    let json: serde_json::Value = serde_json::from_str(&run("json")).expect("it is JSON");
    assert_eq!(json["queries_lost"], 0);
    assert_eq!(json["metrics"]["recovery.crash.total_s"]["n"], 1);
    let mut decimals = json["metrics"].as_object().unwrap().values().map(|metric| metric["mean"].to_string());
    let noisy = |number: &String| number.split_once('.').is_some_and(|(_, after)| after.len() > 6);
    assert_eq!(decimals.find(noisy), None, "six decimals, as in the files");
    let csv = run("csv");
    let summary = fs::read_to_string(place(&out, "small").join("summary.csv")).unwrap();
    assert!(csv.starts_with("scenario,metric,n,mean,"), "{csv}");
    let unnamed = csv.lines().map(|line| line.split_once(',').unwrap().1);
    assert!(unnamed.eq(summary.lines()), "{csv}");
}

#[test]
fn csv_of_several_scenarios_says_which_row_is_of_which() {
    let folder = tempfile::tempdir().unwrap();
    let first = small(folder.path());
    let second = folder.path().join("other.toml");
    fs::write(&second, SMALL.replace("name = \"small\"", "name = \"other\"")).unwrap();
    let out = folder.path().join("out");
    let more = ["--trials", "1", "--format", "csv", "--out", out.to_str().unwrap()];
    let shown = output(&[&["sim", &first, second.to_str().unwrap()], more.as_slice()].concat());
    let said = text(&shown.stdout);
    let of = |name: &str| said.lines().filter(|line| line.starts_with(&format!("{name},"))).count();
    assert_eq!(of("scenario"), 1, "one line of column names:\n{said}");
    assert!(of("small") > 10 && of("small") == of("other"), "{said}");
    assert_eq!(of("small") * 2 + 1, said.lines().count(), "{said}");
}

#[test]
fn a_mistyped_scenario_is_refused_with_a_suggestion_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let shown = output(&["sim", "steady", "cord_fail", "--out", out.to_str().unwrap()]);
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(2), "{said}");
    assert!(said.contains("Did you mean coord_fail?"), "{said}");
    assert!(!out.exists());
}

#[test]
fn a_bad_number_is_refused_with_what_is_allowed() {
    for (option, value, wanted) in [
        ("--seed", "-1", "from 0 to 18,446,744,073,708,551,615"),
        ("--seed", "18446744073709551615", "from 0 to 18,446,744,073,708,551,615"),
        ("--trials", "-1", "1..=1000000"),
        ("--threads", "0", "1..=1024"),
    ] {
        let shown = output(&["sim", "steady", option, value]);
        let said = text(&shown.stderr);
        assert_eq!(shown.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{option} {value}: {said}");
    }
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenario.toml");
    fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    let shown = output(&["scenario", "check", path.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(text(&shown.stderr).contains("not text"), "{}", text(&shown.stderr));
}

/// Runs a scenario of three machines and one job with this fault.
fn with_fault(fault: &str) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("mine.toml");
    let text_of = format!(
        "trials = 1\nnodes = 3\n[model.m]\nload = \"10ms\"\nper_input = \"20ms\"\n[[job]]\nmodel = \"m\"\n\
         inputs = 30\n[[fault]]\n{fault}\n"
    );
    fs::write(&path, text_of).unwrap();
    let out = home.path().join("out");
    let shown = output(&["sim", path.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let flat = |bytes: &[u8]| text(bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    (shown.status.code(), flat(&shown.stdout), flat(&shown.stderr))
}

#[test]
fn inputs_that_ended_as_failures_are_told() {
    let (code, said, _) = with_fault("kind = \"load_failure\"\ntarget = \"all\"\nat = \"0s\"");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 lost, 0 counted twice. 30 inputs ended as failed."), "{said}");
}

#[test]
fn a_run_in_which_no_fault_happened_says_why_it_failed() {
    let fault = "kind = \"rollback\"\ntarget = \"n1\"\nat = \"100ms\"\nfor = \"200ms\"";
    let (code, said, why) = with_fault(fault);
    assert_eq!(code, Some(1), "{said}{why}");
    assert!(why.contains("error: mine: none of its faults happened"), "{why}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_summary_that_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let shown = idunno(&["scenario", "keys"]).stdout(full).output().unwrap();
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to the standard output"), "{said}");
}

#[test]
fn a_bad_setting_is_refused_by_its_name() {
    let shown = output(&["sim", "steady", "--set", "membership.heartbaet=20ms"]);
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(2), "{said}");
    assert!(said.contains("heartbaet"), "{said}");
}

#[test]
fn results_that_cannot_be_written_are_an_error_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let began = Instant::now();
    let shown = output(&["sim", "coord_fail", "--trials", "10000", "--out", file.to_str().unwrap()]);
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no place for the results") && said.contains("cannot write"), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "the cause is said once: {said}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_and_leaves_earlier_results_whole() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = small(folder.path());
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    assert_eq!(output(&["sim", &scenario, "--trials", "1", "--out", out]).status.code(), Some(0));
    let before = files(&place(Path::new(out), "small"));
    let mut command = idunno(&["sim", &scenario, "--trials", "1000000", "--out", out]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As soon as it writes beside the earlier results it is in the middle of things.
    let home = Path::new(out).join("small");
    let deadline = Instant::now() + Duration::from_mins(1);
    while fs::read_dir(&home).unwrap().count() < 2 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let shown = child.wait_with_output().unwrap();
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(130), "{said}");
    assert!(said.contains("nothing of it was written") && said.contains("are as they were"), "{said}");
    assert_eq!(files(&place(Path::new(out), "small")), before);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn help_shows_an_example() {
    let said = text(&output(&["sim", "--help"]).stdout);
    assert!(said.contains("idunno sim coord_fail"), "{said}");
    assert!(said.contains("Exit codes"), "{said}");
}

/// Without libtorch a network is refused by what it takes to have it; nothing is started or written.
#[cfg(not(feature = "torch"))]
#[test]
fn an_idunno_without_libtorch_says_so_and_how_to_get_one_with_it() {
    let at = tempfile::tempdir().unwrap();
    let model =
        "[model.resnet18]\nengine = \"torch\"\nrandom_weights = 1\nload = \"1s\"\nper_input = \"1ms\"\n";
    let job = "[[job]]\nmodel = \"resnet18\"\ninputs = 10\n";
    fs::write(at.path().join("idunno.toml"), model).unwrap();
    fs::write(at.path().join("real.toml"), format!("{model}{job}")).unwrap();
    for words in
        ["run --key key --data data", "drill real.toml --out out", "train lenet letters --out w.safetensors"]
    {
        let ended = idunno(&words.split(' ').collect::<Vec<_>>()).current_dir(at.path()).output().unwrap();
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains("built without libtorch") && said.contains("make libtorch"), "{words}: {said}");
        assert!(said.contains("--features torch"), "{words}: {said}");
        assert!(said.contains("resnet18") || words.starts_with("train"), "{words}: {said}");
    }
    for made in ["data", "out", "w.safetensors"] {
        assert!(!at.path().join(made).exists(), "{made} was made");
    }
    // A rehearsal only draws times, and needs nothing.
    let rehearsed =
        idunno(&["sim", "real.toml", "--quiet", "--out", "out"]).current_dir(at.path()).output().unwrap();
    assert!(rehearsed.status.success(), "{}", text(&rehearsed.stderr));
}
