//! The predictions of complete jobs as files of the store.

use std::fs;
use std::path::Path;

use crate::cluster::{Node, ask, folder, formed, rows, until};

fn said(folder: &Path, at: &[&Node], words: &[&str]) -> String {
    let output = ask(folder, at, "key", words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// The file of a job, once it is there.
fn file(folder: &Path, at: &[&Node], job: u32) -> String {
    until(&format!("results of job {job} are in the store"), || {
        let got = ask(folder, at, "key", &["get", &format!("results/{job}.csv"), "got", "--quiet"]);
        got.status.success().then(|| fs::read_to_string(folder.join("got")).unwrap())
    })
}

#[test]
fn results_of_complete_jobs_come_to_stand_in_the_store_whoever_leads() {
    let folder = folder();
    let folder = folder.path();
    let first = Node::start(folder, "n1", &[]);
    let others = ["n2", "n3"].map(|name| Node::start(folder, name, &[&first]));
    let all = [&first, &others[0], &others[1]];
    formed(folder, &all, 3, 3);
    said(folder, &all, &["submit", "letters", "60", "--batch", "10", "--wait"]);
    let shown = said(folder, &all, &["result", "1", "--format", "csv"]);
    let wanted: Vec<String> = shown.lines().skip(1).map(|line| format!("{line},,")).collect();
    assert_eq!(wanted.len(), 60);
    let kept = file(folder, &all, 1);
    let lines: Vec<&str> = kept.lines().collect();
    assert_eq!(lines[0], "input,name,prediction,failure,label,right_top1,right_top5");
    assert_eq!(lines[1..61], wanted);
    assert_eq!(lines[61..], ["# job 1: 60 inputs, 0 failed"]);

    // Its successor puts what the first leader did not come to; what is cancelled has no results.
    said(folder, &all, &["submit", "letters", "3000", "--batch", "10"]);
    said(folder, &all, &["submit", "letters", "3000", "--batch", "10"]);
    said(folder, &all, &["cancel", "3"]);
    drop(first);
    let left = [&others[0], &others[1]];
    let kept = file(folder, &left, 2);
    assert_eq!(kept.lines().count(), 3002);
    assert!(kept.ends_with("\n# job 2: 3000 inputs, 0 failed\n"));
    let files = rows(folder, &left, "ls");
    let files: Vec<_> =
        files.iter().map(|row| (row["name"].as_str().unwrap(), row["version"].as_u64())).collect();
    assert_eq!(files, [("results/1.csv", Some(1)), ("results/2.csv", Some(1))]);
}
