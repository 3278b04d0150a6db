//! A node of its own is recorded and lives again.

use std::fs;
use std::path::Path;

use super::*;
use crate::base::{NodeId, Rng, SessionId};
use crate::node::{Config, Inputs, JobSpec, Node, Outbox, Request};
use crate::scenario::Settings;

fn beginning(seed: u64) -> Beginning {
    let identity = Identity {
        id: NodeId::new(7),
        name: "n1".into(),
        kind: "cpu".into(),
        worker: true,
        refuse: 0.0,
        address: "127.0.0.1:7400".into(),
    };
    let settings = Settings::read("", "none").unwrap().to_toml();
    Beginning { program: "test".to_owned(), identity, settings, start: Start::Found, seed }
}

/// A life of a few seconds with a job in it: every write is durable at the next step.
fn live(to: &RecordTo, seed: u64, mut each: impl FnMut(u64)) -> Recorder {
    let told = beginning(seed);
    let mut recorder = Recorder::start(to, &told).unwrap();
    let mut node = Node::new(told.identity, Config::default().into(), Start::Found, Rng::new(seed));
    let (mut outbox, mut durable, mut now) = (Outbox::new(), None, Time::ZERO);
    for number in 1..=300 {
        let input = match (durable.take(), number) {
            (Some(token), _) => Input::Persisted(token),
            (None, 200) => {
                let (name, model) = ("j".into(), "m".into());
                let inputs = Inputs::Range { dataset: "d".into(), from: 0, count: 100 };
                let spec = JobSpec { name, model, inputs, batch: 10, weight: 1.0, priority: 0 };
                Input::Client { session: SessionId(1), number: 1, request: Request::Submit(spec).into() }
            }
            (None, _) => {
                now = node.deadline().min(Time(now.0 + 1_000_000_000));
                Input::Wake
            }
        };
        recorder.begins(now, &input);
        node.step(now, input, &mut outbox);
        recorder.ended(outbox.effects(), node.deadline());
        for effect in outbox.drain() {
            if let Effect::Persist { token, .. } = effect {
                durable = Some(token);
            }
        }
        each(number);
    }
    recorder
}

fn to(folder: &Path) -> RecordTo {
    RecordTo { file: folder.join("rec"), bytes_max: 1 << 20, settings: String::new() }
}

/// Steps until the end or the first step that differs: how many were the same, and how it ended.
fn again(path: &Path) -> (u64, Option<RecordingEnd>) {
    let mut replay = Replay::open(path).unwrap();
    let mut same = 0;
    loop {
        match replay.ask().unwrap() {
            Next::End(end) => return (same, Some(end)),
            Next::Given(given) if !replay.take(&given).same => return (same, None),
            Next::Given(_) => same += 1,
        }
    }
}

fn said(why: &str) -> RecordingEnd {
    RecordingEnd::Said(why.to_owned())
}

#[test]
fn a_recorded_life_is_lived_again_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = live(&to(folder.path()), 3, |_| {});
    recorder.end("it was enough");
    drop(recorder);
    assert_eq!(again(&folder.path().join("rec")), (300, Some(said("it was enough"))));
}

#[test]
fn the_first_step_that_comes_out_differently_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rec");
    drop(live(&to(folder.path()), 3, |_| {}));
    let mut replay = Replay::open(&path).unwrap();
    // A machine that lacks one input does something else.
    for number in 1..=300 {
        let Next::Given(mut given) = replay.ask().unwrap() else { panic!("{number} of 300 steps") };
        if given.number == 200 {
            given.input = Input::Wake;
        }
        assert_eq!(replay.take(&given).same, number < 200, "step {number}");
    }
}

#[test]
fn a_full_recording_ends_and_says_so_and_keeps_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let to = RecordTo { bytes_max: 4096, ..to(folder.path()) };
    // The thread gets a chance to find out.
    drop(live(&to, 3, |_| std::thread::sleep(std::time::Duration::from_micros(100))));
    let path = folder.path().join("rec");
    let (same, end) = again(&path);
    assert!(same > 0 && same < 300, "{same} steps");
    assert_eq!(end, Some(said("it was as long as it may be")));
    let size = fs::metadata(&path).unwrap().len();
    assert!(size < 4096 + 2048, "{size} bytes");
}

#[test]
fn earlier_recordings_are_kept_under_other_names() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 1..=4 {
        drop(live(&to(folder.path()), seed, |_| {}));
    }
    let seed = |name: &str| Replay::open(&folder.path().join(name)).unwrap().beginning.seed;
    assert_eq!((seed("rec"), seed("rec.1"), seed("rec.2")), (4, 3, 2));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn a_recording_that_was_cut_is_good_up_to_there_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rec");
    // Frames of a few steps each.
    drop(live(&to(folder.path()), 3, |_| std::thread::sleep(std::time::Duration::from_micros(50))));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let (same, end) = again(&path);
    assert_eq!(end, Some(RecordingEnd::Torn), "after {same} steps");
    let mut damaged = whole.clone();
    // Behind the beginning and its 16 bytes of head.
    let head = 16 + frames_length(&whole);
    damaged[head + 20] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let mut replay = Replay::open(&path).unwrap();
    let wrong = replay.ask().unwrap_err().to_string();
    assert!(wrong.contains(&format!("byte {head} is bad")), "{wrong}");
    for other in ["", "something else that is long enough for a head"] {
        fs::write(&path, other).unwrap();
        assert!(matches!(Replay::open(&path), Err(RecordingError::Bad { .. })), "{other:?}");
    }
}

fn frames_length(file: &[u8]) -> usize {
    crate::cluster::disk::frames::length(file).unwrap()
}

#[test]
fn the_step_in_which_a_machine_panics_is_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let to = to(folder.path());
    let ended = std::thread::spawn(move || {
        let mut recorder = live(&to, 3, |_| {});
        recorder.begins(Time(u64::MAX - 1), &Input::Leave);
        panic!("as a machine might");
    });
    assert!(ended.join().is_err());
    let mut replay = Replay::open(&folder.path().join("rec")).unwrap();
    let mut last = None;
    let end = loop {
        match replay.ask().unwrap() {
            Next::Given(given) => last = Some(given),
            Next::End(end) => break end,
        }
    };
    let last = last.unwrap();
    assert!(last.had.is_none() && last.number == 301 && last.input == Input::Leave, "{last:?}");
    assert_eq!(end, said("the machine panicked"));
}
