//! Comparisons of small results that are written by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::report::figure::Panel;

/// Results of trials in each of which a job `a` ran one query and a node crashed.
struct Made {
    home: TempDir,
}

/// The files of three trials with these times to detect the crash.
fn made(seed: u64, detect: &[f64]) -> Made {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("x/sim");
    fs::create_dir_all(&folder).unwrap();
    let made = Made { home };
    made.write("scenario.toml", &format!("name = \"x\"\nseed = {seed}\ntrials = {}\n", detect.len()));
    let mut recovery = "trial,fault,kind,node,at_s,detect_s,promote_s\n".to_owned();
    let mut jobs = "trial,job,queries,submitted_s,first_start_s,start_delay_s,done_s,rate_qps\n".to_owned();
    let mut queries = "trial,job,query,started_s,finished_s,committed_s\n".to_owned();
    for (trial, detect) in detect.iter().enumerate() {
        writeln!(recovery, "{trial},0,crash,n1,1.000000,{detect:.6},").unwrap();
        writeln!(jobs, "{trial},a,1,0.000000,0.100000,0.100000,2.000000,{:.6}", 10.0 + detect).unwrap();
        writeln!(queries, "{trial},a,1.0.0,0.100000,{:.6},0.400000", 0.3 + detect / 10.0).unwrap();
    }
    for (name, text) in [("recovery.csv", recovery), ("jobs.csv", jobs), ("queries.csv", queries)] {
        made.write(name, &text);
    }
    let stats = Stats::of(detect);
    let mut summary = "metric,n,mean,std,ci95_low,ci95_high,min,p50,p90,p95,p99,p999,max\n".to_owned();
    writeln!(summary, "recovery.crash.detect_s,{},{:.6},,,,,,,,,,", detect.len(), stats.mean.unwrap())
        .unwrap();
    summary += "queries_lost,3,0.000000,0.000000,0.000000,0.000000,0,0,0,0,,,0\n";
    made.write("summary.csv", &summary);
    made
}

impl Made {
    fn path(&self) -> &Path {
        self.home.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join("x/sim").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// Puts `new` in the place of `old` in a file, where it must stand.
    fn mend(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.file(name)).unwrap();
        assert!(text.contains(old), "{old:?} is not in {name}");
        self.write(name, &text.replacen(old, new, 1));
    }
}

fn compared(a: &Made, b: &Made) -> Comparison {
    Comparison::of(a.path(), b.path()).unwrap_or_else(|error| panic!("{error}"))
}

fn line<'a>(comparison: &'a Comparison, metric: &str) -> &'a Line {
    let found = comparison.lines.iter().find(|line| line.metric == metric);
    found.unwrap_or_else(|| panic!("{metric} is missing"))
}

#[test]
fn results_are_equal_to_themselves() {
    let a = made(1, &[0.2, 0.3, 0.25]);
    let comparison = compared(&a, &made(1, &[0.2, 0.3, 0.25]));
    assert!(comparison.is_equal(), "{comparison:?}");
    let metrics: Vec<&str> = comparison.lines.iter().map(|line| line.metric.as_str()).collect();
    let wanted =
        ["recovery.crash.detect_s", "job.a.rate_qps", "job.a.start_delay_s", "job.a.query_s", "queries_lost"];
    assert_eq!(metrics, wanted);
    // The same values under other seeds are the same by chance.
    assert!(!compared(&a, &made(2, &[0.2, 0.3, 0.25])).is_equal());
}

#[test]
fn a_shift_that_the_spread_hides_is_seen_trial_by_trial_when_the_seeds_agree() {
    let (a, b) = ([0.20, 0.30, 0.25, 0.40], [0.211, 0.309, 0.261, 0.409]);
    let paired = compared(&made(1, &a), &made(1, &b));
    let detect = line(&paired, "recovery.crash.detect_s");
    assert_eq!(detect.verdict, Verdict::Differs);
    let difference = detect.difference.unwrap();
    let (low, high, method) = difference.interval.unwrap();
    assert_eq!(method, Method::Paired);
    assert!((difference.value - 0.010).abs() < 1e-9 && low > 0.008 && high < 0.012, "{low} {high}");
    let (error, _) = difference.percent().unwrap();
    assert!((error - 0.010 / 0.2875 * 100.0).abs() < 1e-6, "{error}");
    let apart = compared(&made(1, &a), &made(9, &b));
    let detect = line(&apart, "recovery.crash.detect_s");
    assert_eq!(
        (detect.verdict, detect.difference.unwrap().interval.unwrap().2),
        (Verdict::Same, Method::Welch)
    );
    assert_eq!(apart.settings.len(), 1, "the seed");
}

#[test]
fn a_metric_of_one_side_is_listed_as_such() {
    let (a, b) = (made(1, &[0.2, 0.3]), made(1, &[0.2, 0.3]));
    b.mend("summary.csv", "queries_lost", "novelty");
    let comparison = compared(&a, &b);
    assert_eq!(line(&comparison, "queries_lost").verdict, Verdict::OnlyA);
    let novelty = line(&comparison, "novelty");
    assert_eq!((novelty.verdict, novelty.a, novelty.difference), (Verdict::OnlyB, None, None));
    assert!(novelty.b.is_some());
}

#[test]
fn where_a_is_zero_there_is_a_difference_and_no_per_cent() {
    let (a, b) = (made(1, &[0.2, 0.3]), made(1, &[0.2, 0.3]));
    b.mend(
        "summary.csv",
        "queries_lost,3,0.000000,0.000000,0.000000",
        "queries_lost,3,2.000000,0.100000,1.750000",
    );
    let comparison = compared(&a, &b);
    let lost = line(&comparison, "queries_lost");
    let difference = lost.difference.unwrap();
    assert_eq!((difference.value.to_bits(), difference.percent()), (2.0_f64.to_bits(), None));
    assert_eq!(lost.verdict, Verdict::Differs);
    let row = comparison.csv().lines().find(|row| row.contains("queries_lost")).unwrap().to_owned();
    assert!(row.contains(",2.000000,1.") && row.contains(",,,,,,welch,differs"), "{row}");
}

#[test]
fn a_single_trial_has_no_spread_and_says_so() {
    let comparison = compared(&made(1, &[0.2]), &made(2, &[0.3]));
    let detect = line(&comparison, "recovery.crash.detect_s");
    assert_eq!((detect.verdict, detect.difference.unwrap().interval), (Verdict::NoSpread, None));
    assert!((detect.difference.unwrap().percent().unwrap().0 - 50.0).abs() < 1e-9);
    // One trial against many has none either.
    let comparison = compared(&made(1, &[0.2]), &made(2, &[0.3, 0.4, 0.5]));
    assert_eq!(line(&comparison, "recovery.crash.detect_s").verdict, Verdict::NoSpread);
}

#[test]
fn the_chart_shows_the_error_of_each_metric_that_has_one() {
    let (a, b) = (made(1, &[0.2, 0.3]), made(1, &[0.4, 0.6]));
    let figure = compared(&a, &b).figure().unwrap();
    let Panel::Bars(bars) = figure.panel else { panic!("bars stand side by side") };
    assert_eq!(bars.groups, ["crash: detect_s", "a: rate_qps", "a: start_delay_s", "a: query_s"]);
    let detect = bars.bars[0].values[0].unwrap();
    assert!((detect.value - 100.0).abs() < 1e-6 && detect.low < 100.0 && detect.high > 100.0, "{detect:?}");
}

#[test]
fn a_folder_stands_for_the_only_results_in_it() {
    let a = made(1, &[0.2, 0.3]);
    for path in [a.path().to_owned(), a.path().join("x"), a.path().join("x/sim")] {
        assert_eq!(read::find(&path).unwrap(), a.path().join("x/sim"), "{}", path.display());
    }
    // Another run under way is none of them, a second scenario is.
    fs::create_dir_all(a.path().join("x/.tmp-1")).unwrap();
    fs::write(a.path().join("x/.tmp-1/summary.csv"), "").unwrap();
    assert!(read::find(a.path()).is_ok());
    fs::create_dir_all(a.path().join("y/sim")).unwrap();
    fs::write(a.path().join("y/sim/summary.csv"), "").unwrap();
    let error = read::find(a.path()).unwrap_err().to_string();
    assert!(error.contains("several results; name one of") && error.contains("y/sim"), "{error}");
    let error = read::find(&a.path().join("nowhere")).unwrap_err().to_string();
    assert!(error.contains("nowhere is not a folder"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = read::find(empty.path()).unwrap_err().to_string();
    assert!(error.contains("there are no results in"), "{error}");
}

/// A file, what is changed in it, and the message.
const DAMAGES: [(&str, &str, &str, &str); 16] = [
    (
        "summary.csv",
        "queries_lost,3,0.000000",
        "queries_lost,3,naught",
        "summary.csv:3: column mean: \"naught\" is not a number",
    ),
    ("summary.csv", "queries_lost,3,0.000000", "queries_lost,3,", "summary.csv:3: column mean: empty"),
    (
        "summary.csv",
        "queries_lost,3",
        "queries_lost,-3",
        "summary.csv:3: column n: \"-3\" is not a whole number",
    ),
    ("summary.csv", "metric,n,mean", "metric,n,average", "summary.csv:1: there is no column mean"),
    (
        "summary.csv",
        "queries_lost",
        "recovery.crash.detect_s",
        "summary.csv:3: the metric recovery.crash.detect_s stands twice",
    ),
    (
        "summary.csv",
        "detect_s,2,0.25",
        "detect_s,2,0.35",
        "summary.csv:2: recovery.crash.detect_s has 2 samples with the mean 0.350000, but",
    ),
    ("recovery.csv", "1,0,crash", "1,0,crash,", "recovery.csv:3: 8 fields; wanted 7, as in the first line"),
    ("recovery.csv", "1,0,crash", "2,0,crash", "recovery.csv:3: there is no trial 2; wanted one of the 2"),
    ("recovery.csv", "0.200000", "NaN", "recovery.csv:2: column detect_s: \"NaN\" is not a number"),
    ("jobs.csv", "1,a,1", "0,a,1", "jobs.csv:3: the job \"a\" stands twice in trial 0"),
    ("jobs.csv", "1,a,1", "1,a,2", "queries.csv: 1 counted queries of \"a\" in trial 1 are missing"),
    (
        "queries.csv",
        "1,a,1.0.0",
        "1,b,1.0.0",
        "queries.csv:3: a counted query of \"b\" in trial 1 that jobs.csv does not count",
    ),
    ("queries.csv", "0.100000", "\"0.1", "queries.csv"),
    ("scenario.toml", "seed = 1", "seed = \"one\"", "scenario.toml: seed is missing; wanted a whole number"),
    ("scenario.toml", "seed = 1", "seed = = 1", "scenario.toml:2: not TOML"),
    ("scenario.toml", "name = \"x\"", "", "scenario.toml: name is missing"),
];

#[test]
fn damaged_files_are_refused_by_file_line_and_what_is_wanted() {
    let whole = made(1, &[0.2, 0.3]);
    for (file, old, new, wanted) in DAMAGES {
        let damaged = made(1, &[0.2, 0.3]);
        damaged.mend(file, old, new);
        let error = Comparison::of(whole.path(), damaged.path()).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{file}, {new:?}: {error}");
        assert!(error.contains(damaged.path().to_str().unwrap()), "the folder is named: {error}");
    }
}

#[test]
fn missing_files_are_named() {
    let whole = made(1, &[0.2, 0.3]);
    for file in ["scenario.toml", "jobs.csv", "recovery.csv", "queries.csv"] {
        let lacking = made(1, &[0.2, 0.3]);
        fs::remove_file(lacking.file(file)).unwrap();
        let error = Comparison::of(lacking.path(), whole.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("{file} is missing; to be compared")), "{error}");
    }
}
