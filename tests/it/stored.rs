//! Results read again: `idunno report` and `idunno check` over what `idunno sim` left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn output(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idunno"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    command.output().expect("the command can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// Every file in a folder with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("entries can be read").path()).filter(|path| path.is_file());
    let named = |path: PathBuf| {
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        (name, fs::read(&path).expect("results can be read"))
    };
    let mut files: Vec<(String, Vec<u8>)> = paths.map(named).collect();
    files.sort();
    files
}

/// Names of the files that differ.
fn differences(one: &[(String, Vec<u8>)], other: &[(String, Vec<u8>)]) -> Vec<String> {
    let lacks = |files: &[(String, Vec<u8>)], file: &(String, Vec<u8>)| !files.contains(file);
    let mut names: Vec<String> =
        one.iter().filter(|file| lacks(other, file)).map(|(name, _)| name.clone()).collect();
    names.extend(other.iter().filter(|file| lacks(one, file)).map(|(name, _)| name.clone()));
    names.sort();
    names.dedup();
    names
}

/// Runs a shipped scenario for some trials; gives the folder of its results and what was shown.
fn run(out: &Path, scenario: &str, trials: &str, more: &[&str]) -> (PathBuf, Output) {
    let shown = output(&[&["sim", scenario, "--trials", trials, "--out", path(out)], more].concat());
    (out.join(scenario).join("sim"), shown)
}

/// The history with `change` made to the first line that has `word` in it.
fn edit(folder: &Path, word: &str, change: impl Fn(&str) -> String) {
    let file = folder.join("history.jsonl");
    let history = fs::read_to_string(&file).unwrap();
    let line = history.lines().find(|line| line.contains(word)).expect("there is such a line");
    fs::write(&file, history.replacen(line, &change(line), 1)).unwrap();
}

#[test]
fn a_report_has_the_bytes_that_the_run_wrote_in_place_and_elsewhere() {
    let out = tempfile::tempdir().unwrap();
    for scenario in ["coord_fail", "second_job", "rolling_restart", "three_at_once"] {
        let (folder, shown) = run(out.path(), scenario, "2", &[]);
        assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
        let before = files(&folder);
        fs::remove_file(folder.join("queries.csv")).unwrap();
        fs::write(folder.join("workers.png"), "scribbled over").unwrap();
        fs::write(folder.join("summary.csv"), "").unwrap();
        let elsewhere = out.path().join("elsewhere").join(scenario);
        for more in [vec![], vec!["--out", path(&elsewhere)]] {
            let shown = output(&[&["report", path(&folder)], more.as_slice()].concat());
            assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
            assert!(text(&shown.stdout).contains("Results are in"), "{}", text(&shown.stdout));
        }
        assert_eq!(differences(&before, &files(&folder)), [""; 0], "{scenario}");
        assert_eq!(differences(&before, &files(&elsewhere)), [""; 0], "{scenario}");
    }
}

#[test]
fn another_trial_changes_the_charts_over_time_and_nothing_else() {
    let out = tempfile::tempdir().unwrap();
    let (folder, _) = run(out.path(), "coord_fail", "2", &[]);
    let other = out.path().join("other");
    let shown = output(&["report", path(&folder), "--trial", "1", "--out", path(&other), "--quiet"]);
    assert_eq!((shown.status.code(), shown.stdout.len(), shown.stderr.len()), (Some(0), 0, 0));
    let changed = differences(&files(&folder), &files(&other));
    let over_time = ["rates", "timeline", "workers"];
    assert!(changed.contains(&"workers.svg".to_owned()), "{changed:?}");
    for name in changed {
        assert!(over_time.contains(&name.split('.').next().unwrap()), "{name} changed");
    }
    let shown = output(&["report", path(&folder), "--trial", "2"]);
    assert_eq!(shown.status.code(), Some(2));
    let said = text(&shown.stderr);
    assert!(said.contains("there is no trial 2: the run had 2 trials, numbered from 0 to 1"), "{said}");
}

#[test]
fn a_check_says_what_the_run_said() {
    let out = tempfile::tempdir().unwrap();
    for scenario in ["coord_fail", "rolling_restart"] {
        let (folder, shown) = run(out.path(), scenario, "2", &[]);
        let again = output(&["check", path(&folder)]);
        assert_eq!((shown.status.code(), again.status.code()), (Some(0), Some(0)), "{}", text(&again.stderr));
        let (shown, again) = (text(&shown.stdout), text(&again.stdout));
        assert!(
            again.contains("0 lost, 0 counted twice") && again.contains("Invariants 1 to 12 held"),
            "{again}"
        );
        for paragraph in again.trim_end().split("\n\n") {
            assert!(shown.contains(paragraph), "{paragraph}\nis not in\n{shown}");
        }
        let quiet = output(&["check", path(&folder), "--quiet"]);
        assert_eq!((quiet.status.code(), quiet.stdout.len(), quiet.stderr.len()), (Some(0), 0, 0));
    }
}

#[test]
fn a_check_finds_the_liveness_that_the_run_found_broken() {
    let out = tempfile::tempdir().unwrap();
    let (folder, shown) = run(out.path(), "coord_fail", "2", &["--set", "liveness_within=10ms"]);
    let again = output(&["check", path(&folder)]);
    assert_eq!((shown.status.code(), again.status.code()), (Some(4), Some(4)), "{}", text(&again.stderr));
    let broken = |said: &[u8]| -> Vec<String> {
        text(said).lines().filter(|line| line.contains("liveness broke at")).map(ToOwned::to_owned).collect()
    };
    assert!(!broken(&shown.stderr).is_empty());
    assert_eq!(broken(&shown.stderr), broken(&again.stderr));
}

#[test]
fn a_count_that_was_doubled_by_hand_is_caught() {
    let out = tempfile::tempdir().unwrap();
    let (folder, _) = run(out.path(), "coord_fail", "1", &[]);
    edit(&folder, "{\"Counted\":", |line| {
        let from = line.find("{\"Counted\":").expect("it is there");
        let to = from + line[from..].find("}}").expect("it ends") + 2;
        format!("{},{}", &line[..to], &line[from..])
    });
    let shown = output(&["check", path(&folder)]);
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(3), "{said}");
    assert!(said.contains("safety broke at") && said.contains("Invariant 4"), "{said}");
    // Wherever the lines are broken.
    let shown = text(&shown.stdout);
    let words: Vec<&str> = shown.split_whitespace().collect();
    let found =
        "2,000 queries answered, 2,001 of them in the log that the checker follows; 0 lost, 1 counted twice.";
    assert!(words.join(" ").contains(found), "{shown}");
}

#[test]
fn a_trace_that_did_not_repeat_is_caught() {
    let out = tempfile::tempdir().unwrap();
    let (folder, _) = run(out.path(), "steady", "1", &[]);
    edit(&folder, "\"repetition\":", |line| {
        let from = line.find("\"trace\":\"").expect("it has a trace") + 9;
        format!("{}{}{}", &line[..from], "0".repeat(32), &line[from + 32..])
    });
    let shown = output(&["check", path(&folder)]);
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(3), "{said}");
    assert!(said.contains("Invariant 11"), "{said}");
}

#[test]
fn bad_results_are_refused_and_nothing_is_changed() {
    let out = tempfile::tempdir().unwrap();
    let (folder, _) = run(out.path(), "steady", "1", &[]);
    let whole = files(&folder);
    let restore = || whole.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    let refused = |wanted: &str| {
        let before = files(&folder);
        for command in ["report", "check"] {
            let shown = output(&[command, path(&folder)]);
            let said = text(&shown.stderr);
            assert_eq!(shown.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains(wanted), "{command}: {wanted} is missing from {said}");
            assert_eq!(said.matches("error: ").count(), 1, "{said}");
        }
        assert_eq!(differences(&before, &files(&folder)), [""; 0]);
        let beside = fs::read_dir(folder.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "nothing is left beside it");
        restore();
    };
    edit(&folder, "\"Accepted\"", |line| line.replacen("\"Accepted\"", "\"Accepte\"", 1));
    refused("unknown variant `Accepte`");
    let history = &whole.iter().find(|(name, _)| name == "history.jsonl").expect("there is one").1;
    fs::write(folder.join("history.jsonl"), &history[..history.len() / 2]).unwrap();
    refused("the file ends within this line: it was cut off");
    let scenario = fs::read_to_string(folder.join("scenario.toml")).unwrap();
    fs::write(folder.join("scenario.toml"), scenario.replacen("trials = 1", "trials = 2", 1)).unwrap();
    refused("this says `trials = 2`, and what was run says `trials = 1`");
    fs::remove_file(folder.join("history.jsonl")).unwrap();
    refused("has no history.jsonl");
}

#[test]
fn reports_take_no_place_that_is_not_theirs() {
    let out = tempfile::tempdir().unwrap();
    let (folder, _) = run(out.path(), "steady", "1", &[]);
    let shown = output(&["report", path(folder.parent().unwrap())]);
    let said = text(&shown.stderr);
    assert!(shown.status.code() == Some(2) && said.contains("steady/sim is one"), "{said}");
    let home = out.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("diary.txt"), "mine").unwrap();
    let shown = output(&["report", path(&folder), "--out", path(&home)]);
    let said = text(&shown.stderr);
    assert!(
        shown.status.code() == Some(2) && said.contains("neither empty nor a folder of results"),
        "{said}"
    );
    assert_eq!(files(&home).len(), 1);
}

#[test]
fn files_of_other_people_stay_where_they_are_and_old_ones_of_ours_go() {
    let out = tempfile::tempdir().unwrap();
    let (folder, _) = run(out.path(), "steady", "1", &[]);
    fs::write(folder.join("notes.md"), "what I saw").unwrap();
    fs::create_dir_all(folder.join("paper/figures")).unwrap();
    fs::write(folder.join("paper/figures/mine.png"), "a picture").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("notes.md", folder.join("link")).unwrap();
    // A run without faults has no chart of them.
    fs::write(folder.join("recovery.svg"), "of an earlier run").unwrap();
    let ours =
        |folder: &Path| files(folder).iter().filter(|(name, _)| name != "notes.md" && name != "link").count();
    let fresh = tempfile::tempdir().unwrap();
    let (bare, _) = run(fresh.path(), "steady", "1", &[]);
    for command in [
        vec!["sim", "steady", "--trials", "1", "--quiet", "--out", path(out.path())],
        vec!["report", path(&folder)],
    ] {
        assert_eq!(output(&command).status.code(), Some(0), "{command:?}");
        assert_eq!(fs::read_to_string(folder.join("notes.md")).unwrap(), "what I saw");
        assert_eq!(fs::read_to_string(folder.join("paper/figures/mine.png")).unwrap(), "a picture");
        #[cfg(unix)]
        assert_eq!(fs::read_link(folder.join("link")).unwrap(), Path::new("notes.md"));
        assert!(!folder.join("recovery.svg").exists(), "{command:?}");
        assert_eq!(ours(&folder), ours(&bare));
        assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }
}
