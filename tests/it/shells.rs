//! What shells and `man` make of `idunno completions` and `idunno man`; those that are not installed are left out.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::command::{output, text};

/// Runs a program, if it is there.
fn ran(program: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).output().ok()
}

fn script(shell: &str, folder: &Path) -> String {
    let shown = output(&["completions", shell]);
    assert_eq!(shown.status.code(), Some(0), "{shell}: {}", text(&shown.stderr));
    assert!(!shown.stdout.is_empty(), "{shell}");
    let path = folder.join(shell);
    fs::write(&path, shown.stdout).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_shell_has_a_script_that_it_can_read() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let path = script(shell, folder.path());
        // The other two have no such check.
        if ["bash", "zsh", "fish"].contains(&shell)
            && let Some(read) = ran(shell, &["-n", &path])
        {
            assert!(read.status.success(), "{shell}: {}", text(&read.stderr));
        }
    }
    let shown = output(&["completions", "tcsh"]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(text(&shown.stderr).contains("bash, zsh, fish, elvish, powershell"), "{}", text(&shown.stderr));
}

#[test]
fn bash_completes_commands_scenarios_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = script("bash", folder.path());
    for (words, wanted) in [
        (vec!["idunno", "comp"], "compare completions"),
        (vec!["idunno", "sim", "coord_f"], "coord_fail"),
        (vec!["idunno", "scenario", "sh"], "show"),
        (vec!["idunno", "sim", "--set", "membership.sus"], "membership.suspect_after"),
        (vec!["idunno", "sim", "--format", "j"], "json"),
    ] {
        let (last, before) = (words.len() - 1, words[words.len() - 2]);
        let program = format!(
            "source {path}; COMP_WORDS=({}); COMP_CWORD={last}; _idunno idunno {} {before}; echo ${{COMPREPLY[*]}}",
            words.join(" "),
            words[last],
        );
        let Some(completed) = ran("bash", &["-c", &program]) else { return };
        assert_eq!(text(&completed.stdout).trim(), wanted, "{words:?}: {}", text(&completed.stderr));
    }
}

#[test]
fn manual_pages_are_there_for_each_command_and_are_read_without_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    let shown = output(&["man", "--out", out.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    for page in ["idunno.1", "idunno-sim.1", "idunno-compare.1", "idunno-scenario-show.1"] {
        assert!(out.join(page).is_file(), "{page} is missing");
    }
    assert_eq!(output(&["man"]).stdout, fs::read(out.join("idunno.1")).unwrap());
    for page in fs::read_dir(&out).unwrap() {
        let path = page.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        assert!(page.contains("\n.SH EXAMPLES\n.TP\n\\fBidunno "), "{} has no examples", path.display());
        if let Some(read) = ran("groff", &["-man", "-Tutf8", "-ww", path.to_str().unwrap()]) {
            assert!(
                read.status.success() && read.stderr.is_empty(),
                "{}: {}",
                path.display(),
                text(&read.stderr)
            );
        }
    }
}
