//! Jobs on real nodes whose inputs are files of the store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use crate::cluster::{Node, ask, folder, formed, until};

/// Bytes that the files in and below a folder take on the disk.
fn taken(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let about = entry.metadata().unwrap();
            if about.is_dir() { taken(&entry.path()) } else { about.blocks() * 512 }
        })
        .sum()
}

#[test]
fn jobs_read_what_was_put_and_keep_it_within_a_limit() {
    let folder = folder();
    let folder = folder.path();
    // So that most of what a node reads is on the others.
    let settings = fs::read_to_string(folder.join("idunno.toml")).unwrap();
    let slow = "[model.slow]\nload = \"0s\"\nper_input = \"1h\"\n";
    fs::write(folder.join("idunno.toml"), format!("{settings}\n{slow}\n[store]\ncopies = 1\n")).unwrap();
    let words = ["--voters", "1", "--cache", "8"];
    let mut nodes = vec![Node::start_with(folder, "n1", &[], &words)];
    for name in ["n2", "n3"] {
        nodes.push(Node::start_with(folder, name, &[&nodes[0]], &words));
    }
    let all: Vec<&Node> = nodes.iter().collect();
    formed(folder, &all, 3, 1);
    let run = |words: &[&str], code: i32| {
        let output = ask(folder, &all, "key", words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for class in ["a", "b"] {
        fs::create_dir_all(folder.join("pictures").join(class)).unwrap();
        for number in 0..20_u8 {
            let name = format!("pictures/{class}/{number:02}.png");
            fs::write(folder.join(name), vec![number + class.as_bytes()[0]; 1 << 20]).unwrap();
        }
    }
    run(&["put", "pictures", "data/pictures"], 0);
    let submit = |file: &str, range: &str, code| {
        run(&["submit", "letters", file, "--range", range, "--batch", "4", "--wait"], code)
    };
    let (said, _) = submit("store:data/pictures", "0..40", 0);
    assert!(said.contains("40 of 40 inputs done and none failed"), "{said}");
    // Somebody read something, everybody keeps no more than it should, and none of it counts as a copy.
    let mut read = 0;
    for name in ["n1", "n2", "n3"] {
        // What second attempts read goes a little later. Folders take room as well.
        let least = |taken: &u64| *taken <= (8 << 20) + (64 << 10);
        let look = || Some(taken(&folder.join(name).join("staged"))).filter(least);
        let taken = until(&format!("{name} keeps no more than it should"), look);
        read += taken;
    }
    assert!(read >= 4 << 20, "{read} bytes are at hand");
    let (info, _) = run(&["info", "data/pictures", "--format", "json"], 0);
    let info: Value = serde_json::from_str(info.trim()).unwrap();
    assert_eq!((&info["copies_min"], &info["copies_max"]), (&1.into(), &1.into()), "{info}");
    // What is no zip is one input.
    fs::write(folder.join("one"), vec![7; 9 << 20]).unwrap();
    run(&["put", "one", "data/one"], 0);
    submit("store:data/one@1", "0..1", 0);
    // A job says which version it reads, which does not change with the file.
    let (said, _) = run(&["submit", "slow", "store:data/one", "--range", "0..1"], 0);
    run(&["put", "pictures/a/00.png", "data/one"], 0);
    let id = said.split(|letter: char| !letter.is_ascii_digit()).find(|word| !word.is_empty()).unwrap();
    let (about, _) = run(&["job", id], 0);
    assert!(about.contains("1 input of store:data/one@1, from number 0"), "{about}");
    run(&["cancel", id], 0);
    // What is not there is refused, and what makes no sense is not asked for.
    let (_, why) = submit("store:data/none", "0..1", 1);
    assert!(why.contains("the store has no file data/none"), "{why}");
    let (_, why) = submit("store:data/one@7", "0..1", 1);
    assert!(why.contains("data/one@7"), "{why}");
    let (_, why) = submit("store:../one", "0..1", 2);
    assert!(why.contains("store:../one: "), "{why}");
    let (_, why) = run(&["submit", "letters", "store:data/one"], 2);
    assert!(why.contains("--range A..B"), "{why}");
}
