//! What-if questions as people ask them: `idunno allocate`, and sweeps over settings.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

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

/// What a command that goes well says.
fn said(arguments: &[&str]) -> String {
    let shown = output(arguments);
    assert_eq!(shown.status.code(), Some(0), "{}{}", text(&shown.stdout), text(&shown.stderr));
    text(&shown.stdout)
}

/// What a command that is refused complains about.
fn refused(arguments: &[&str]) -> String {
    let shown = output(arguments);
    assert_eq!(shown.status.code(), Some(2), "{}{}", text(&shown.stdout), text(&shown.stderr));
    assert!(shown.stdout.is_empty(), "{}", text(&shown.stdout));
    text(&shown.stderr)
}

fn written(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).expect("a temporary folder can be written");
    path.to_string_lossy().into_owned()
}

const JOBS: &str = "\
job,queries,elapsed_s,seconds_per_query,remaining
alexnet,400,60,0.25,250
resnet,300,60,1.75,280
vit,120,5,0.9,120
";

#[test]
fn an_answer_has_a_row_per_job_and_its_totals_follow() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = written(folder.path(), "jobs.csv", JOBS);
    let csv = said(&["allocate", &jobs, "--workers", "10", "--policy", "time_share", "--format", "csv"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[..2], ["policy,job,workers,rate_qps", "time_share,alexnet,1,3.265306"], "{csv}");
    assert_eq!(lines.len(), 5, "{csv}");
    assert!(lines[4].starts_with("# policy=time_share gap_qps=1.147659 relative_gap=0.351471"), "{csv}");
    assert!(
        lines[4].contains(" aggregate_qps=8.309782 instantaneous_qps=10.761905 jain=0.970671 loads=10"),
        "{csv}"
    );
}

#[test]
fn fair_time_is_asked_unless_another_policy_is_named_and_its_gap_is_the_least() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = written(folder.path(), "jobs.csv", JOBS);
    let answers = said(&["allocate", &jobs, "--workers", "10", "--all", "--format", "json"]);
    let gaps: Vec<(String, f64)> = answers
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON"))
        .filter(|answer| answer.get("no_answer").is_none())
        .map(|answer| (answer["policy"].as_str().unwrap().to_owned(), answer["gap_qps"].as_f64().unwrap()))
        .collect();
    let usual = said(&["allocate", &jobs, "--workers", "10", "--format", "json"]);
    let usual: serde_json::Value = serde_json::from_str(&usual).expect("it is JSON");
    assert_eq!(usual["policy"], "fair_time");
    let least = usual["gap_qps"].as_f64().unwrap();
    assert!(gaps.len() > 6 && gaps.iter().all(|(_, gap)| least <= *gap), "{least}: {gaps:?}");
    assert!(gaps.contains(&("fair_time".to_owned(), least)), "{gaps:?}");
}

#[test]
fn policies_that_lack_inputs_are_named_with_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = written(folder.path(), "jobs.csv", JOBS);
    let table = said(&["allocate", &jobs, "--workers", "10", "--all"]);
    assert!(table.contains("fifo: needs arrival_s of every job; that of alexnet is not known."), "{table}");
    let alone = refused(&["allocate", &jobs, "--workers", "10", "--policy", "fifo"]);
    assert!(alone.contains("fifo: needs arrival_s of every job"), "{alone}");
    let full = JOBS.replace("remaining\n", "remaining,arrival_s\n").replace("50\n", "50,3\n");
    let full = full.replace("280\n", "280,1\n").replace("120\n", "120,2\n");
    let full = written(folder.path(), "full.csv", full);
    let first = said(&["allocate", &full, "--workers", "10", "--policy", "fifo", "--format", "csv"]);
    assert!(first.contains("fifo,resnet,10,"), "the first to arrive gets all: {first}");
}

#[test]
fn an_answer_is_the_previous_allocation_of_the_next_question() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = written(folder.path(), "jobs.csv", JOBS);
    let ask =
        |more: &[&str]| said(&[&["allocate", &jobs, "--workers", "10", "--format", "csv"], more].concat());
    let before = ask(&[]);
    assert!(before.contains(" loads=10 "), "{before}");
    let before = written(folder.path(), "before.csv", before);
    let after = ask(&["--previous", &before]);
    assert!(after.contains(" loads=0 "), "{after}");
}

#[test]
fn jobs_can_come_from_the_standard_input() {
    let mut command = idunno(&["allocate", "-", "--workers", "4", "--policy", "even", "--format", "csv"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(JOBS.as_bytes()).unwrap();
    let shown = child.wait_with_output().unwrap();
    assert!(text(&shown.stdout).contains("even,alexnet,2,"), "{}", text(&shown.stdout));
}

#[test]
fn a_billion_workers_are_divided_and_more_than_can_be_picked_one_by_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = written(folder.path(), "jobs.csv", JOBS);
    let many = said(&["allocate", &jobs, "--workers", "1000000000", "--format", "json"]);
    let many: serde_json::Value = serde_json::from_str(&many).expect("it is JSON");
    let given: u64 =
        many["jobs"].as_array().unwrap().iter().map(|job| job["workers"].as_u64().unwrap()).sum();
    assert_eq!(given, 1_000_000_000);
    let few = refused(&["allocate", &jobs, "--workers", "1000000", "--policy", "count_balance"]);
    assert!(few.contains("with 3 jobs it can be asked about 100,000 workers, not 1,000,000"), "{few}");
}

#[test]
fn bad_questions_are_refused_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = written(folder.path(), "jobs.csv", JOBS);
    let bad =
        written(folder.path(), "bad.csv", JOBS.replace("1.75", "-1.75").replace("remaining", "remainnig"));
    let problems = refused(&["allocate", &bad, "--workers", "10"]);
    assert!(
        problems.contains("bad.csv:1: column 5 (remainnig): no column of this name is known."),
        "{problems}"
    );
    assert!(problems.contains("Did you mean remaining?"), "{problems}");
    let bad = written(folder.path(), "bad.csv", JOBS.replace("1.75", "-1.75"));
    let problems = refused(&["allocate", &bad, "--workers", "10"]);
    assert!(
        problems.contains("bad.csv:3: column 4 (seconds_per_query): -1.75 is negative; wanted seconds"),
        "{problems}"
    );
    for (arguments, said) in [
        (&[jobs.as_str(), "--workers", "0"][..], "1..=1000000000"),
        (&[&jobs, "--workers", "-3"], "1..=1000000000"),
        (&[&jobs], "--workers"),
        (&[&jobs, "--workers", "3", "--policy", "fair_tmie"], "Did you mean fair_time?"),
        (&[&jobs, "--workers", "3", "--cap", "200%"], "wanted a share from 0 to 1"),
        (&[&jobs, "--workers", "3", "--slack", "NaN"], "wanted a number from 0 to 1,000"),
        (&[&jobs, "--workers", "3", "--policy", "even", "--all"], "cannot be used with"),
        (&["nowhere.csv", "--workers", "3"], "cannot read nowhere.csv"),
        (&["-", "--workers", "3", "--previous", "-"], "standard input"),
    ] {
        let problems = refused(&[&["allocate"], arguments].concat());
        assert!(problems.contains(said), "{said:?} is not in {problems}");
    }
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

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn a_sweep_writes_runs_comparison_scenarios_and_charts_whatever_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    let small = written(folder.path(), "small.toml", SMALL);
    let run = |name: &str, threads: &str| {
        let out = folder.path().join(name);
        let sweep = ["--sweep", "scheduler.policy=even,time_share", "--sweep", "cluster.voters=3,5"];
        let rest = ["--threads", threads, "--out", out.to_str().unwrap()];
        (said(&[&["sim", &small][..], &sweep, &rest].concat()), out.join("small/sweep"))
    };
    let ((shown, first), (_, second)) = (run("a", "1"), run("b", "2"));
    let files = names(&first);
    for wanted in [
        "runs.csv",
        "comparison.csv",
        "point-0.toml",
        "point-3.toml",
        "makespan_s.svg",
        "makespan_s.png",
        "aggregate_qps.svg",
        "recovery_crash.svg",
        "recovery_crash.png",
    ] {
        assert!(files.iter().any(|file| file == wanted), "{wanted} is not among {files:?}");
    }
    assert_eq!(files, names(&second));
    for file in &files {
        assert!(
            fs::read(first.join(file)).unwrap() == fs::read(second.join(file)).unwrap(),
            "{file} differs"
        );
    }
    let runs = fs::read_to_string(first.join("runs.csv")).unwrap();
    assert!(
        runs.starts_with("point,scheduler.policy,cluster.voters,trial,seed,recovery.crash.detect_s,"),
        "{runs}"
    );
    assert_eq!(runs.lines().count(), 1 + 4 * 3);
    assert!(runs.lines().nth(12).unwrap().starts_with("3,time_share,5,2,3,"), "{runs}");
    for wanted in ["small: 4 points, 3 trials at each, seeds 1 to 3.", "From point 0", "held at every point"]
    {
        assert!(shown.contains(wanted), "{wanted:?} is missing from\n{shown}");
    }
}

#[test]
fn a_point_is_the_scenario_with_its_settings_and_the_same_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let small = written(folder.path(), "small.toml", SMALL);
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    said(&["sim", &small, "--seed", "5", "--sweep", "cluster.voters=3,5", "--out", out]);
    let json =
        said(&["sim", &small, "--seed", "5", "--set", "cluster.voters=5", "--format", "json", "--out", out]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let alone = json["metrics"]["makespan_s"]["mean"].as_f64().unwrap();
    let comparison = fs::read_to_string(Path::new(out).join("small/sweep/comparison.csv")).unwrap();
    let row = |start: &str| -> Vec<String> {
        let line =
            comparison.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{comparison}"));
        line.split(',').map(str::to_owned).collect()
    };
    let (first, second) = (row("makespan_s,0,3,"), row("makespan_s,1,5,"));
    assert_eq!(second[4], format!("{alone:.6}"));
    let difference: f64 = second[8].parse().unwrap();
    let means: f64 = second[4].parse::<f64>().unwrap() - first[4].parse::<f64>().unwrap();
    assert!((difference - means).abs() < 2e-6, "{comparison}");
    assert_eq!((first[7].as_str(), second[7].as_str()), ("", "3"), "pairs of trials");
    let resolved = |file: &str| fs::read_to_string(Path::new(out).join(file)).unwrap();
    assert_eq!(resolved("small/sweep/point-1.toml"), resolved("small/sim/scenario.toml"));
}

#[test]
fn a_grid_that_does_not_fit_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let small = written(folder.path(), "small.toml", SMALL);
    let out = folder.path().join("out");
    for (sweep, said) in [
        (&["scheduler.polcy=even,fifo"][..], "scheduler.polcy: unknown key; did you mean \"policy\"?"),
        (&["cluster.voters=3,4"], "at point 1 (cluster.voters=4)"),
        (&["cluster.voters=3,5", "cluster.voters=7"], "cluster.voters is swept twice"),
        (&["cluster.voters=3,,5"], "value 2 is empty"),
        (&["seed=1,2"], "every point runs the same seeds"),
        (&["nodes=3,1", "cluster.voters=1,3"], "at point 3 (nodes=1, cluster.voters=3)"),
    ] {
        let mut arguments = vec!["sim", &small, "--out", out.to_str().unwrap()];
        arguments.extend(sweep.iter().flat_map(|sweep| ["--sweep", sweep]));
        let problems = refused(&arguments);
        assert!(problems.contains(said), "{said:?} is not in {problems}");
    }
    let values = (1..=1001).map(|i| format!("{i}ms")).collect::<Vec<_>>().join(",");
    let many = format!("disk.sync={values}");
    assert!(refused(&["sim", &small, "--sweep", &many]).contains("1001 points; wanted at most 1000"));
    assert!(!out.exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_sweep_and_leaves_earlier_results_whole() {
    let folder = tempfile::tempdir().unwrap();
    let small = written(folder.path(), "small.toml", SMALL);
    let out = folder.path().join("out");
    let arguments = ["sim", &small, "--sweep", "cluster.voters=3,5", "--out", out.to_str().unwrap()];
    said(&[&arguments[..], &["--trials", "1"]].concat());
    let home = out.join("small");
    let before = fs::read(home.join("sweep/runs.csv")).unwrap();
    let mut command = idunno(&[&arguments[..], &["--trials", "100000"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while names(&home).len() < 2 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let shown = child.wait_with_output().unwrap();
    assert_eq!(shown.status.code(), Some(130), "{}", text(&shown.stderr));
    assert!(text(&shown.stderr).contains("small/sweep are as they were"), "{}", text(&shown.stderr));
    assert_eq!(names(&home), ["sweep"]);
    assert_eq!(fs::read(home.join("sweep/runs.csv")).unwrap(), before);
}
