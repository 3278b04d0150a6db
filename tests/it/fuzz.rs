//! `idunno fuzz` as people use it: how it ends, what it says, what it leaves behind.

use std::fs;
use std::path::Path;

use super::command::{output, text};

/// Runs a campaign into `out`, and returns its exit code with what it said.
fn fuzz(out: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let out = out.to_str().expect("it is text");
    let all: Vec<&str> = ["fuzz", "--out", out].into_iter().chain(arguments.iter().copied()).collect();
    let ended = output(&all);
    (ended.status.code(), text(&ended.stdout), text(&ended.stderr))
}

#[test]
fn a_campaign_in_which_nothing_broke_ends_well_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("deep/fuzz");
    let (code, said, _) = fuzz(&out, &["--seeds", "6", "--profile", "work"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("work: 6 scenarios in ") && said.contains("Nothing broke."), "{said}");
    assert!(!home.path().join("deep").exists());
}

#[test]
fn a_campaign_that_must_reach_everything_says_what_it_missed() {
    let home = tempfile::tempdir().unwrap();
    let (code, _, said) = fuzz(home.path(), &["--seeds", "1", "--profile", "disks", "--require-coverage"]);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("tested less than it should") && said.contains("never: "), "{said}");
    assert!(said.contains("no fault of the kind "), "{said}");
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_runs() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let (code, said, why) = fuzz(&file, &["--seeds", "100000"]);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    assert!(why.contains("there is no place for scenarios that fail") && why.contains("file"), "{why}");
    let past = format!("{}..{}", u64::MAX - 1, u64::MAX);
    let past = ["--seeds", past.as_str(), "--show"];
    for wrong in [&["--seeds", "5..5"][..], &past, &["--profile", "luck"], &["--shrink-for", "1"]] {
        let (code, said, why) = fuzz(home.path(), wrong);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(why.contains(wrong[0]), "{why}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

/// A bug that is planted shows soon, as what it is; the scenario that is left fails in the same way when it is run as a file.
#[cfg(debug_assertions)]
#[test]
fn what_breaks_decides_the_exit_code_and_leaves_a_small_scenario() {
    let home = tempfile::tempdir().unwrap();
    for (mutant, seeds, code, word, kept) in [
        ("counts_twice", "60..90", 3, "miscounted_swarm", "invariant 4 "),
        ("no_second_order", "40", 4, "unfinished_swarm", "has not ended"),
    ] {
        let out = home.path().join(mutant);
        let arguments = ["--mutant", mutant, "--seeds", seeds, "--shrink-for", "6s", "--threads", "2"];
        let (ended, said, _) = fuzz(&out, &arguments);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains(kept) && said.contains("repeat it: idunno fuzz --seeds "), "{said}");
        let files = fs::read_dir(&out).unwrap().map(|file| file.unwrap().path());
        let found = files
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(word)));
        let path = found.min().unwrap_or_else(|| panic!("{said}"));
        let source = fs::read_to_string(&path).unwrap();
        assert!(
            source.starts_with("# Found by idunno fuzz --seeds ") && source.contains(" other seeds "),
            "{source}"
        );
        let path = path.to_str().unwrap();
        let results = home.path().join("results");
        let sim = |more: &[&str]| {
            let shared = ["sim", path, "--quiet", "--out", results.to_str().unwrap()];
            output(&shared.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
        };
        assert_eq!(sim(&[]).status.code(), Some(0), "nothing is wrong without the bug:\n{source}");
        let with = sim(&["--mutant", mutant]);
        assert_eq!(with.status.code(), Some(code), "{}\n{source}", text(&with.stdout));
        let why = text(&with.stderr);
        let repeats = why.lines().filter(|line| line.contains("repeat it with: idunno sim "));
        let mutant = format!(" --mutant {mutant}");
        assert!(repeats.clone().count() > 0 && repeats.clone().all(|line| line.contains(&mutant)), "{why}");
    }
}

/// What was found is said at once, and is not lost where the small scenario has no place in the end.
#[cfg(debug_assertions)]
#[test]
fn findings_are_told_before_they_are_written_down() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("my results/fuzz");
    let all =
        ["fuzz", "--mutant", "counts_twice", "--seeds", "60..90", "--shrink-for", "4s", "--quiet", "--out"];
    let mut campaign =
        super::command::idunno(&all).arg(&out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(campaign.stderr.take().unwrap());
    let mut first = String::new();
    told.read_line(&mut first).unwrap();
    assert!(first.starts_with("seed ") && first.contains(" failed: invariant 4 broke"), "{first}");
    // From now on nothing can be written there.
    fs::write(home.path().join("my results"), "in the way").unwrap();
    let mut why = String::new();
    told.read_to_string(&mut why).unwrap();
    let ended = campaign.wait_with_output().unwrap();
    let said = text(&ended.stdout);
    assert_eq!(ended.status.code(), Some(3), "{said}{why}");
    let failed =
        1 + why.lines().filter(|line| line.starts_with("seed ") && line.contains(" failed: ")).count();
    assert_eq!(said.matches("\n  repeat it: idunno fuzz --seeds ").count(), failed, "{said}");
    assert!(why.contains("is not kept: cannot make "), "{why}");
}

#[cfg(debug_assertions)]
#[test]
fn without_time_nothing_is_made_smaller_and_paths_are_quoted() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("my results");
    let (code, said, _) = fuzz(
        &out,
        &["--mutant", "counts_twice", "--seeds", "60..90", "--shrink-for", "1ms", "--threads", "2"],
    );
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("not made smaller: there was no time") && said.contains("none ended"), "{said}");
    let path = format!("idunno sim '{}/miscounted_swarm_", out.to_str().unwrap());
    assert!(said.contains(&path), "{said}");
    let file = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let source = fs::read_to_string(file).unwrap();
    assert!(source.contains(", and not made smaller: there was no time. At first:\n"), "{source}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_campaign_says_how_far_it_came() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let home = tempfile::tempdir().unwrap();
    let campaign = Command::new(env!("CARGO_BIN_EXE_idunno"))
        .args(["fuzz", "--for", "10m", "--out"])
        .arg(home.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let id = campaign.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let since = Instant::now();
    let ended = campaign.wait_with_output().unwrap();
    assert!(since.elapsed() < Duration::from_secs(20));
    assert_eq!(ended.status.code(), Some(130));
    let said = text(&ended.stdout);
    assert!(said.contains(" scenarios in "), "{said}");
    let last = said.trim_end().lines().last().expect("it says something");
    assert!(last.starts_with("Interrupted after ") && last.ends_with("Nothing broke."), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_campaign_whose_summary_cannot_be_written_has_failed() {
    let home = tempfile::tempdir().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let out = home.path().to_str().unwrap();
    let shown =
        super::command::idunno(&["fuzz", "--seeds", "2", "--out", out]).stdout(full).output().unwrap();
    assert_eq!(shown.status.code(), Some(1), "{}", text(&shown.stderr));
}
