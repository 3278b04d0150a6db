//! The table of docs/targets.md: that it is what `make targets` shows, seen on the part of it that takes no time.

use std::fs;
use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/targets.md");

/// The cells of a line of the table, which at least two spaces part.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// The table that the page shows, without what stands below it.
fn shown() -> Vec<Vec<&'static str>> {
    let (_, rest) = PAGE.split_once("```text\n").expect("the page shows the table");
    let (table, _) = rest.split_once("\n\n").expect("a summary stands below it");
    table.lines().map(cells).collect()
}

#[cfg(unix)]
#[test]
fn the_page_says_how_many_messages_small_clusters_send() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let mut measure = Command::new(root.join("scenarios/targets/measure.sh"));
    measure.arg(env!("CARGO_BIN_EXE_idunno")).arg(folder.path()).arg("messages").env("THREADS", "1");
    let ran = measure.output().expect("there is a shell");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let printed = String::from_utf8(ran.stdout).expect("it is text");
    let measured: Vec<_> = printed.lines().skip(1).take_while(|line| !line.is_empty()).map(cells).collect();
    assert!(measured.len() >= 7, "{printed}");
    let shown = shown();
    for row in measured {
        assert!(shown.contains(&row), "the page does not show\n{row:?}\nbut\n{shown:#?}");
    }
    let table = fs::read_to_string(folder.path().join("targets.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + printed.lines().filter(|line| line.contains("<=")).count());
}

#[test]
fn no_percentile_comes_from_too_few_samples() {
    for row in shown().into_iter().skip(1) {
        let samples: u32 = row[2].parse().unwrap_or_else(|_| panic!("{row:?} has no number of samples"));
        let spans: Vec<&str> = row[3].split(" / ").collect();
        if let [_, p99, p999] = spans[..] {
            assert!(p99 == "-" || samples >= 662, "{row:?}");
            assert!(p999 == "- ms" || samples >= 6_700, "{row:?}");
        }
    }
}
