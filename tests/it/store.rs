//! The file store on real nodes: files come back as they were put, whatever dies, rots or lies meanwhile.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use idunno::base::Rng;
use idunno::cluster::{Client, Key, Local};
use idunno::node::{Expect, FileKind, Put};
use serde_json::Value;

use crate::cluster::{Node, PATIENCE, ask, folder, formed, until};

const CHUNK: usize = 4 << 20;

/// A cluster of so many nodes, of which so many vote.
fn cluster(folder: &Path, count: usize, voters: usize, words: &[&str]) -> Vec<Node> {
    let voters_said = voters.to_string();
    let words = [&["--voters", &voters_said, "--no-worker"], words].concat();
    let first = Node::start_with(folder, "n1", &[], &words);
    let mut nodes = vec![first];
    for number in 2..=count {
        nodes.push(Node::start_with(folder, &format!("n{number}"), &[&nodes[0]], &words));
    }
    formed(folder, &nodes.iter().collect::<Vec<_>>(), count, voters);
    nodes
}

fn run(folder: &Path, nodes: &[Node], words: &[&str]) -> Output {
    ask(folder, &nodes.iter().collect::<Vec<_>>(), "key", words)
}

/// What a command prints that has to work.
fn said(folder: &Path, nodes: &[Node], words: &[&str]) -> String {
    let output = run(folder, nodes, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// The message of a command that has to fail with this code.
fn refused(folder: &Path, nodes: &[Node], words: &[&str], code: i32) -> String {
    let output = run(folder, nodes, words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).expect("it is text")
}

/// The objects that a command shows.
fn rows(folder: &Path, nodes: &[Node], words: &[&str]) -> Vec<Value> {
    let text = said(folder, nodes, &[words, &["--format", "json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

/// Bytes that repeat nowhere.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// The files of chunks that a node has on its disk.
fn chunks(folder: &Path, node: &str) -> Vec<PathBuf> {
    let below = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let shards = below(&folder.join(node).join("chunks"));
    shards.iter().filter(|shard| !shard.ends_with("new")).flat_map(|shard| below(shard)).collect()
}

#[test]
fn files_come_back_as_they_were_put() {
    let folder = folder();
    let folder = folder.path();
    let nodes = cluster(folder, 2, 1, &[]);
    let does = |words: &[&str]| said(folder, &nodes, words);
    assert_eq!(does(&["ls"]), "The store is empty.\n");
    for (name, length) in [("empty", 0), ("one", 1), ("chunk", CHUNK), ("more", 9 << 20)] {
        let bytes = bytes(length as u64, length);
        fs::write(folder.join("local"), &bytes).unwrap();
        let stored = format!("a/{name}");
        let told = does(&["put", "local", &stored]);
        assert!(told.starts_with(&format!("{stored} has version 1: a file of ")), "{told}");
        does(&["get", &stored, "back"]);
        assert!(fs::read(folder.join("back")).unwrap() == bytes, "{name}");
        let info = rows(folder, &nodes, &["info", &stored]).remove(0);
        assert_eq!(info["bytes"], length, "{info}");
        assert_eq!(info["chunks"].as_array().unwrap().len(), length.div_ceil(CHUNK));
        assert!(length == 0 || info["copies_min"] == 2, "it is on all disks: {info}");
    }
    let names: Vec<Value> =
        rows(folder, &nodes, &["ls", "a/"]).iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["a/chunk", "a/empty", "a/more", "a/one"]);
    // Without a place it goes here, by its last part; into a folder that is there; or out.
    does(&["get", "a/more"]);
    fs::create_dir(folder.join("there")).unwrap();
    does(&["get", "a/more", "there"]);
    for back in ["more", "there/more"] {
        assert!(fs::read(folder.join(back)).unwrap() == bytes(9 << 20, 9 << 20), "{back}");
    }
    let addresses = nodes[0].address.clone();
    let mut put = Command::new(env!("CARGO_BIN_EXE_idunno"))
        .args(["put", "-", "from/stdin", "--key", "key", "--node", &addresses])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let piped = bytes(5, CHUNK + 5);
    put.stdin.take().unwrap().write_all(&piped).unwrap();
    assert!(put.wait().unwrap().success());
    assert!(run(folder, &nodes, &["get", "from/stdin", "-"]).stdout == piped);
    // Nothing is left of what was on its way.
    let left = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".idunno")));
    // What nodes hold, and of which files.
    let held = rows(folder, &nodes, &["store"]);
    let all = chunks(folder, "n1").len();
    assert!(held.len() == 2 && held.iter().all(|row| row["chunks"] == all && all == 7), "{held:?}");
    assert_eq!(rows(folder, &nodes, &["store", "n2"]).len(), 4, "an empty file is nowhere");
    // A file that is deleted is gone, and another of its name is no version that there was.
    assert!(does(&["delete", "a/more"]).contains("a/more is deleted"));
    assert!(refused(folder, &nodes, &["get", "a/more"], 1).contains("the store has no file a/more"));
    fs::write(folder.join("local"), "new").unwrap();
    assert!(does(&["put", "local", "a/more"]).contains("version 2"));
    assert!(refused(folder, &nodes, &["get", "a/more@1"], 1).contains("a/more has no version 1"));
}

#[test]
fn versions_are_kept_compared_and_put_into_one_file() {
    let folder = folder();
    let folder = folder.path();
    let nodes = cluster(folder, 1, 1, &[]);
    let does = |words: &[&str]| said(folder, &nodes, words);
    let put = |text: &str, words: &[&str]| {
        fs::write(folder.join("local"), text).unwrap();
        run(folder, &nodes, &[&["put", "local", "notes"], words].concat())
    };
    for text in ["first\n", "second", "third\n"] {
        assert!(put(text, &["--keep", "2"]).status.success());
    }
    let versions = rows(folder, &nodes, &["versions", "notes"]);
    let column = |name: &str| -> Vec<&Value> { versions.iter().map(|row| &row[name]).collect() };
    assert_eq!(
        (column("version"), column("bytes")),
        (vec![&2.into(), &3.into()], vec![&6.into(), &6.into()])
    );
    let ages: Vec<f64> = column("age_s").iter().map(|age| age.as_f64().unwrap()).collect();
    assert!(ages[0] > ages[1] && ages[1] > 0.0 && ages[0] < 60.0, "{ages:?}");
    assert_eq!(does(&["get", "notes@2", "-"]), "second");
    assert!(does(&["versions", "notes", "--get", "all"]).contains("all holds 2 versions of notes"));
    let all = "=== notes@2: 6 bytes ===\nsecond\n=== notes@3: 6 bytes ===\nthird\n";
    assert_eq!(fs::read_to_string(folder.join("all")).unwrap(), all);
    assert_eq!(
        does(&["versions", "notes", "--last", "1", "--get", "-"]),
        all.split_once('\n').unwrap().1[7..]
    );
    // Compare and set.
    let conflict = put("x", &["--if-absent"]);
    assert_eq!(conflict.status.code(), Some(1), "{conflict:?}");
    assert!(
        String::from_utf8_lossy(&conflict.stderr).contains("the newest version of notes is 3"),
        "{conflict:?}"
    );
    assert_eq!(put("x", &["--if-version", "2"]).status.code(), Some(1));
    let why = refused(folder, &nodes, &["delete", "notes", "--if-version", "2"], 1);
    assert!(why.contains("the newest version of notes is 3"), "{why}");
    assert_eq!(does(&["get", "notes", "-"]), "third\n");
    assert!(put("fourth", &["--if-version", "3"]).status.success());
    assert_eq!(does(&["get", "notes", "-"]), "fourth");
    // What makes no sense is refused before anything is sent: nobody listens there.
    let long = "x".repeat(10_000);
    for name in ["../up", "/root", "a/../b", "a\u{1}b", "", "a//b", "a@b", &long] {
        for words in [&["put", "local", name][..], &["delete", name], &["versions", name]] {
            let words = [words, &["--node", "127.0.0.1:9", "--key", "key"]].concat();
            let output = Command::new(env!("CARGO_BIN_EXE_idunno")).args(&words).current_dir(folder).output();
            let output = output.unwrap();
            assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
            assert!(output.stderr.starts_with(b"error: "), "{output:?}");
        }
    }
    assert!(refused(folder, &nodes, &["put", "no/such/file", "x"], 2).contains("no/such/file"));
    assert!(refused(folder, &nodes, &["get", "notes@x"], 2).contains("is no version"));
    assert!(refused(folder, &nodes, &["get", "notes", "no/such/folder/file"], 2).contains("no/such/folder"));
}

#[test]
fn a_folder_becomes_one_again_and_a_hostile_zip_becomes_nothing() {
    let folder = folder();
    let folder = folder.path();
    let nodes = cluster(folder, 1, 1, &[]);
    fs::create_dir_all(folder.join("tree/sub/empty")).unwrap();
    fs::write(folder.join("tree/a"), "a").unwrap();
    fs::write(folder.join("tree/sub/b"), bytes(1, CHUNK)).unwrap();
    assert!(said(folder, &nodes, &["put", "tree", "kept/tree"]).contains("version 1: a folder of "));
    let number = chunks(folder, "n1").len();
    // The same folder is the same bytes.
    said(folder, &nodes, &["put", "tree", "kept/tree"]);
    assert_eq!(chunks(folder, "n1").len(), number);
    said(folder, &nodes, &["get", "kept/tree", "back"]);
    assert!(folder.join("back/sub/empty").is_dir());
    assert!(fs::read(folder.join("back/sub/b")).unwrap() == bytes(1, CHUNK));
    assert!(
        refused(folder, &nodes, &["get", "kept/tree", "back"], 2).contains("a folder goes where nothing is")
    );
    // Somebody has made a zip by hand that leads elsewhere.
    let mut zip = zip::ZipWriter::new(fs::File::create(folder.join("zip")).unwrap());
    let stored = zip::write::SimpleFileOptions::DEFAULT.compression_method(zip::CompressionMethod::Stored);
    zip.start_file("fine", stored).unwrap();
    zip.start_file("../escaped", stored).unwrap();
    zip.write_all(b"x").unwrap();
    zip.finish().unwrap();
    let key = Key::read(&folder.join("key")).unwrap();
    let mut client = Client::new(&key, &[nodes[0].address.parse().unwrap()], PATIENCE).unwrap();
    let local = fs::File::open(folder.join("zip")).unwrap();
    let local = Arc::new(Local::of(local, FileKind::Folder, &|_| true).unwrap());
    let content = Arc::clone(local.content());
    let put = Put { name: "evil".into(), content, expect: Expect::Anything, keep: 1 };
    assert_eq!(client.put(&Arc::new(put), &local, &|_| {}, &|| false).unwrap(), 1);
    fs::create_dir(folder.join("in")).unwrap();
    let why = refused(folder, &nodes, &["get", "evil", "in/evil"], 1);
    assert!(why.contains("../escaped"), "{why}");
    assert_eq!(fs::read_dir(folder.join("in")).unwrap().count(), 0);
    assert!(!folder.join("escaped").exists());
}

#[test]
fn what_was_acknowledged_outlives_three_of_ten_nodes_and_is_copied_anew() {
    let folder = folder();
    let folder = folder.path();
    let mut nodes = cluster(folder, 10, 7, &[]);
    let files: Vec<(String, Vec<u8>)> =
        (0..6).map(|n| (format!("f{n}"), bytes(n, 300_000 * n as usize * n as usize + 1))).collect();
    for (name, bytes) in &files {
        fs::write(folder.join("local"), bytes).unwrap();
        said(folder, &nodes, &["put", "local", name]);
    }
    let copies = |nodes: &[Node]| {
        let least = |name: &String| rows(folder, nodes, &["info", name])[0]["copies_min"].as_u64().unwrap();
        files.iter().map(|(name, _)| least(name)).min().unwrap()
    };
    assert!(copies(&nodes) >= 4);
    // The first one leads.
    let mut dead: Vec<Node> = nodes.drain(..3).collect();
    for node in &mut dead {
        node.process.kill().unwrap();
    }
    // At once, and again when all is copied.
    let back = |nodes: &[Node]| {
        for (name, bytes) in &files {
            said(folder, nodes, &["get", name, "back"]);
            assert!(fs::read(folder.join("back")).unwrap() == *bytes, "{name}");
        }
    };
    back(&nodes);
    until("the dead are no members, and there are four copies again", || {
        let members = rows(folder, &nodes, &["store"]);
        (members.len() == 7 && copies(&nodes) == 4).then_some(())
    });
    back(&nodes);
    let number: usize = files.iter().map(|(_, bytes)| bytes.len().div_ceil(CHUNK)).sum();
    let left = ["n4", "n5", "n6", "n7", "n8", "n9", "n10"];
    until("each chunk is on four disks", || {
        let all: usize = left.iter().map(|name| chunks(folder, name).len()).sum();
        (all == 4 * number).then_some(())
    });
    // One comes back with its disk: what is on it counts, and nothing is there five times for good.
    let returned = Node::start(folder, "n3", &[]);
    until("there are four copies of all on eight nodes", || {
        let held = rows(folder, &nodes, &["store"]);
        let all: u64 = held.iter().map(|row| row["chunks"].as_u64().unwrap()).sum();
        (held.len() == 8 && all == 4 * number as u64).then_some(())
    });
    drop(returned);
}

#[test]
fn a_flipped_bit_is_found_and_healed() {
    let folder = folder();
    let folder = folder.path();
    let nodes = cluster(folder, 2, 1, &["--scrub", "1000"]);
    fs::write(folder.join("local"), bytes(1, 2 * CHUNK + 9)).unwrap();
    said(folder, &nodes, &["put", "local", "precious"]);
    let all = chunks(folder, "n2");
    let whole: Vec<Vec<u8>> = all.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut bad = whole[0].clone();
    let place = bad.len() / 2;
    bad[place] ^= 1;
    fs::write(&all[0], bad).unwrap();
    fs::remove_file(&all[1]).unwrap();
    until("both are there again", || {
        let healed =
            all.iter().zip(&whole).all(|(path, whole)| fs::read(path).is_ok_and(|now| now == *whole));
        healed.then_some(())
    });
    assert_eq!(nodes[1].said().matches("a chunk is lost or damaged").count(), 2, "{}", nodes[1].said());
    assert!(!nodes[0].said().contains("a chunk is lost or damaged"));
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_not_stored() {
    let folder = folder();
    let folder = folder.path();
    let nodes = cluster(folder, 1, 1, &[]);
    // Holes are quickly made and slowly read.
    let local = fs::File::create(folder.join("local")).unwrap();
    local.set_len(20 << 30).unwrap();
    let put = Command::new(env!("CARGO_BIN_EXE_idunno"))
        .args(["put", "local", "x", "--key", "key", "--node", &nodes[0].address])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    local.set_len(1 << 20).unwrap();
    let output = put.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{why}");
    assert!(why.contains("local changed while it was read; nothing was stored"), "{why}");
    assert_eq!(said(folder, &nodes, &["ls"]), "The store is empty.\n");
}

#[test]
fn a_put_and_a_get_that_were_killed_go_on_where_they_ended() {
    let folder = folder();
    let folder = folder.path();
    let nodes = cluster(folder, 1, 1, &[]);
    let whole = bytes(3, 40 << 20);
    fs::write(folder.join("local"), &whole).unwrap();
    let begin = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_idunno"));
        command.args(words).args(["--key", "key", "--node", &nodes[0].address]).current_dir(folder);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let mut put = begin(&["put", "local", "big"]);
    until("some of it is there", || (chunks(folder, "n1").len() > 1).then_some(()));
    put.kill().unwrap();
    put.wait().unwrap();
    let made = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = chunks(folder, "n1").iter().map(|path| (path.clone(), made(path))).collect();
    said(folder, &nodes, &["put", "local", "big"]);
    assert_eq!(chunks(folder, "n1").len(), 10);
    assert!(before.iter().all(|(path, when)| made(path) == *when), "what was there was not sent again");
    // The same with a get: what has come is found by its name.
    let parts = || {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|end| end == "part")).collect::<Vec<_>>()
    };
    let mut get = begin(&["get", "big", "back"]);
    let part = until("some of it is there", || {
        parts().pop().filter(|part| fs::metadata(part).is_ok_and(|about| about.len() > CHUNK as u64))
    });
    get.kill().unwrap();
    get.wait().unwrap();
    assert!(!folder.join("back").exists() || parts().is_empty());
    // What is wrong in it is fetched again.
    if part.exists() {
        let mut damaged = fs::read(&part).unwrap();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        fs::write(&part, damaged).unwrap();
    }
    said(folder, &nodes, &["get", "big", "back"]);
    assert!(fs::read(folder.join("back")).unwrap() == whole && parts().is_empty());
}

/// A small disk of its own.
struct Small<'a>(&'a Path);

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy".as_ref(), self.0.as_os_str()]).status();
    }
}

/// Makes the disk of a node a small one, if that is allowed.
fn small(at: &Path) -> Option<Small<'_>> {
    fs::create_dir(at).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs"])
        .arg(at)
        .stderr(Stdio::null())
        .status();
    if mounted.is_ok_and(|status| status.success()) {
        return Some(Small(at));
    }
    eprintln!("only root can make a small disk");
    None
}

#[test]
fn a_file_is_on_as_many_disks_as_it_shall_be_or_it_is_not_stored() {
    let folder = folder();
    let folder = folder.path();
    let small_ones = [folder.join("n2"), folder.join("n3")];
    let Some(_mounted) = small_ones.iter().map(|at| small(at)).collect::<Option<Vec<_>>>() else { return };
    let nodes = cluster(folder, 3, 3, &[]);
    fs::write(folder.join("local"), bytes(2, 40 << 20)).unwrap();
    let why = refused(folder, &nodes, &["put", "local", "large"], 1);
    assert!(why.contains("n2") || why.contains("n3"), "{why}");
    assert!(why.contains("full") && why.contains("shall be on 3"), "{why}");
    assert!(rows(folder, &nodes, &["ls"]).is_empty());
    let full = |row: &&Value| row["full"] == true && row["suspect"] == false;
    assert!(rows(folder, &nodes, &["store"]).iter().filter(full).count() >= 1);
    // There is room for what is small, and all three hold it.
    until("there is room again", || {
        fs::write(folder.join("local"), "small").unwrap();
        run(folder, &nodes, &["put", "local", "small"]).status.success().then_some(())
    });
    // What came of the other one is dropped.
    until("each disk holds the small file and nothing else", || {
        let held = rows(folder, &nodes, &["store"]);
        (held.len() == 3 && held.iter().all(|row| row["chunks"] == 1)).then_some(())
    });
}

#[test]
fn a_node_that_cannot_start_on_a_full_disk_may_be_started_again() {
    let folder = folder();
    let folder = folder.path();
    let at = folder.join("n1");
    let Some(_small) = small(&at) else { return };
    // Whatever it writes first finds no room.
    assert!(fs::write(at.join("filler"), vec![0; 25 << 20]).is_err());
    let mut command = Command::new(env!("CARGO_BIN_EXE_idunno"));
    command.args(["run", "--name", "n1", "--listen", "127.0.0.1:0", "--key", "key", "--data", "n1"]);
    let output = command.current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("n1/") && said.contains("No space left on device"), "{said}");
}

#[test]
fn a_full_disk_is_said_and_the_node_lives_on() {
    let folder = folder();
    let folder = folder.path();
    let at = folder.join("n1");
    let Some(_small) = small(&at) else { return };
    let nodes = cluster(folder, 1, 1, &[]);
    fs::write(folder.join("local"), bytes(1, 40 << 20)).unwrap();
    let began = Instant::now();
    let why = refused(folder, &nodes, &["put", "local", "large"], 1);
    assert!(why.contains("its disk has no room for more"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    until("what was not complete is gone", || {
        (fs::read_dir(at.join("chunks/new")).unwrap().count() == 0).then_some(())
    });
    // What fits is stored, and the node still answers.
    fs::write(folder.join("local"), "small").unwrap();
    said(folder, &nodes, &["put", "local", "small"]);
    assert_eq!(said(folder, &nodes, &["get", "small", "-"]), "small");
    assert_eq!(rows(folder, &nodes, &["ls"]).len(), 1);
}
