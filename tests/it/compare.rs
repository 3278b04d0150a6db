//! `idunno compare`: what it finds in results that are alike and in results that are not, and how it says so.

use std::fs;
use std::path::{Path, PathBuf};

use idunno::report::compare::{Comparison, Line, Method, Verdict};

use crate::command::{output, text};

fn simulated(scenario: &str, out: &Path, more: &[&str]) -> PathBuf {
    let arguments = ["sim", scenario, "--quiet", "--out", out.to_str().unwrap()];
    let shown = output(&[&arguments, more].concat());
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    out.to_owned()
}

fn detect(comparison: &Comparison) -> &Line {
    let found = comparison.lines.iter().find(|line| line.metric == "recovery.crash.detect_s");
    found.expect("the crash is detected")
}

#[test]
fn the_same_scenario_under_other_seeds_is_the_same_within_the_spread() {
    let folder = tempfile::tempdir().unwrap();
    let a = simulated("coord_fail", &folder.path().join("a"), &["--trials", "12", "--seed", "1"]);
    let b = simulated("coord_fail", &folder.path().join("b"), &["--trials", "12", "--seed", "100"]);
    let comparison = Comparison::of(&a, &b).unwrap();
    assert!(!comparison.paired);
    let all = comparison.lines.len();
    let alike = comparison.count(Verdict::Same) + comparison.count(Verdict::Equal);
    // One in twenty differs by chance.
    assert!(all >= 20 && alike + all / 8 >= all, "seeds 1 and 100: {alike} of {all} are alike");
    let settings: Vec<&str> = comparison.settings.iter().map(|setting| setting.path.as_str()).collect();
    assert_eq!(settings, ["seed"]);
}

#[test]
fn twice_the_silence_is_detected_that_much_later() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, set: &str, seed: &str| {
        let more = ["--trials", "10", "--seed", seed, "--set", set];
        simulated("worker_fail", &folder.path().join(name), &more)
    };
    let a = run("a", "membership.suspect_after=250ms", "1");
    for (seed, method) in [("1", Method::Paired), ("50", Method::Welch)] {
        let b = run(&format!("b{seed}"), "membership.suspect_after=500ms", seed);
        let comparison = Comparison::of(&a, &b).unwrap();
        let line = detect(&comparison);
        assert_eq!(line.verdict, Verdict::Differs, "seed {seed}");
        let difference = line.difference.unwrap();
        let (low, high, made) = difference.interval.unwrap();
        assert_eq!(made, method, "seed {seed}");
        assert!((difference.value - 0.250).abs() < 0.02, "seed {seed}: {}", difference.value);
        assert!(low > 0.2 && high < 0.3, "seed {seed}: {low} to {high}");
        let back = Comparison::of(&b, &a).unwrap();
        assert!(detect(&back).difference.unwrap().value < -0.2, "the other way round it is earlier");
    }
}

#[test]
fn equal_results_are_said_to_be_equal_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let a = simulated("steady", &folder.path().join("a"), &["--trials", "2"]);
    let b = simulated("steady", &folder.path().join("b"), &["--trials", "2", "--threads", "1"]);
    let shown = output(&["compare", a.to_str().unwrap(), b.to_str().unwrap()]);
    let said = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    assert!(
        said.starts_with("Everything is equal: 2 trials of steady on either side, the same settings"),
        "{said}"
    );
    assert_eq!(said.matches('.').count(), 1, "{said}");
}

#[test]
fn a_comparison_is_a_table_csv_json_lines_and_files_with_a_chart() {
    let folder = tempfile::tempdir().unwrap();
    let a = simulated("worker_fail", &folder.path().join("a"), &["--trials", "3"]);
    let set = "membership.suspect_after=600ms";
    let b = simulated("worker_fail", &folder.path().join("b"), &["--trials", "3", "--set", set]);
    let out = folder.path().join("compared");
    let compare = |more: &[&str]| {
        let shown = output(&[&["compare", a.to_str().unwrap(), b.to_str().unwrap()], more].concat());
        assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
        text(&shown.stdout)
    };
    let table = compare(&[]);
    for wanted in [
        "membership.suspect_after  250ms  600ms",
        "After a fault: crash",
        "differs",
        "A = B",
        "queries_lost",
        "trial by trial, because the seeds agree",
    ] {
        assert!(table.contains(wanted), "{wanted:?} is missing from\n{table}");
    }
    let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 124, "{widest} characters in a line:\n{table}");
    let csv = compare(&["--format", "csv"]);
    let json = compare(&["--format", "json"]);
    let objects: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(objects[0]["paired"], true);
    assert_eq!(
        (&objects[1]["setting"], &objects[1]["b"]),
        (&"membership.suspect_after".into(), &"600ms".into())
    );
    assert_eq!(objects.len() - 2, csv.lines().count() - 1, "as many metrics");
    assert_eq!(compare(&["--quiet", "--out", out.to_str().unwrap(), "--width", "85mm"]), "");
    assert_eq!(fs::read_to_string(out.join("compare.csv")).unwrap(), csv);
    let settings = fs::read_to_string(out.join("settings.csv")).unwrap();
    assert_eq!(settings, "setting,a,b\nmembership.suspect_after,250ms,600ms\n");
    assert!(fs::read(out.join("compare.png")).unwrap().starts_with(b"\x89PNG"));
    let svg = fs::read(out.join("compare.svg")).unwrap();
    assert_eq!(compare(&["--quiet", "--out", out.to_str().unwrap(), "--width", "85mm"]), "");
    assert!(fs::read(out.join("compare.svg")).unwrap() == svg, "the same bytes each time");
}

#[test]
fn what_cannot_be_compared_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("compared");
    let nowhere = folder.path().join("nowhere");
    let [nowhere, out] = [&nowhere, &out].map(|path| path.to_str().unwrap());
    let shown = output(&["compare", nowhere, nowhere, "--out", out]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(
        text(&shown.stderr).contains("nowhere is not a folder; wanted one with results"),
        "{}",
        text(&shown.stderr)
    );
    assert!(!Path::new(out).exists());
    let shown = output(&["compare", nowhere, nowhere, "--out", out, "--width", "85"]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(text(&shown.stderr).contains("85mm"), "{}", text(&shown.stderr));
}
