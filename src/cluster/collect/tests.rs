//! Diaries of made-up nodes on machines whose clocks have nothing to do with each other.

use super::*;
use crate::base::{Epoch, Time};
use crate::cluster::diary::Head;

const SECOND: i128 = 1_000_000_000;

fn stood(at: i128) -> (i128, What) {
    (at, What::Node(Observation::Stood { epoch: Epoch(at as u64) }))
}

fn source(number: u64, offset_ns: i128) -> Source {
    Source {
        id: NodeId::new(number),
        name: format!("n{number}").into(),
        kind: "cpu".into(),
        worker: true,
        offset_ns,
        error: Span::ZERO,
        moved_ns: 0,
        settings: "".into(),
    }
}

fn up(number: u64, at: i128) -> (i128, What) {
    (at, What::Up(NodeId::new(number)))
}

#[test]
fn what_nodes_said_becomes_one_history_that_begins_and_ends_for_all_of_them() {
    // By the clock of the machine that collects, everything happens between 100 s and 120 s.
    let early = 7_000 * SECOND;
    let one = Diarist {
        source: source(1, early),
        asked: early + 120 * SECOND,
        complete: i128::MIN,
        happened: vec![up(1, early + 90 * SECOND), stood(early + 105 * SECOND), stood(early + 119 * SECOND)],
    };
    let two = Diarist {
        source: source(2, -50 * SECOND),
        asked: 69 * SECOND,
        complete: i128::MIN,
        happened: vec![
            up(2, 30 * SECOND),
            stood(52 * SECOND),
            (56 * SECOND, What::Down(NodeId::new(2))),
            up(2, 58 * SECOND),
        ],
    };
    let all = merged(vec![two, one], Vec::new(), Span::secs(15));
    // It ends with the first who was asked, at 119 s, and begins 15 s before that, at 104 s.
    assert_eq!(all.lasted, Span::secs(15));
    let told: Vec<(u64, Option<u32>, &str)> = (all.records.iter())
        .map(|Record { at, machine, what }| {
            let what = match what {
                What::Up(_) => "up",
                What::Down(_) => "down",
                _ => "said",
            };
            (at.0 / 1_000_000_000, *machine, what)
        })
        .collect();
    let (n1, n2) = (Some(0), Some(1));
    assert_eq!(
        told,
        [(0, n1, "up"), (0, n2, "up"), (1, n1, "said"), (2, n2, "down"), (4, n2, "up"), (15, n1, "said")]
    );
    assert!(!all.lacks_nodes);
}

#[test]
fn a_diary_that_no_longer_goes_back_so_far_makes_the_history_shorter() {
    let long = Diarist {
        source: source(1, 0),
        asked: 100 * SECOND,
        complete: i128::MIN,
        happened: vec![up(1, SECOND), stood(50 * SECOND), stood(95 * SECOND)],
    };
    let short = Diarist {
        source: source(2, 0),
        asked: 100 * SECOND,
        complete: 90 * SECOND,
        happened: vec![up(2, 90 * SECOND), stood(91 * SECOND)],
    };
    let all = merged(vec![long, short], vec![("n3".into(), "gone".to_owned())], Span::secs(60));
    assert_eq!((all.lasted, all.records.len()), (Span::secs(10), 4));
    assert!(all.records[..2].iter().all(|record| record.at == Time::ZERO));
    assert!(all.lacks_nodes);
}

#[test]
fn files_from_before_the_machine_was_started_anew_are_left_where_they_are() {
    let volume = |number: u64, at_s: u64, unix_s: u64| {
        let (at, unix) = (Time(at_s * 1_000_000_000), unix_s * 1_000_000_000);
        let head = Head { format: 1, node: NodeId::new(1), name: "n1".into(), life: number, at, unix };
        Volume { number, head, bytes: 1 }
    };
    let numbers = |volumes: Vec<Volume>, from_s: i128| {
        reaching(volumes, from_s * SECOND).iter().map(|volume| volume.number).collect::<Vec<_>>()
    };
    let one_start = || vec![volume(1, 100, 1_100), volume(2, 200, 1_200), volume(3, 300, 1_300)];
    assert_eq!(numbers(one_start(), 350), [3]);
    assert_eq!(numbers(one_start(), 250), [2, 3]);
    assert_eq!(numbers(one_start(), -50), [1, 2, 3]);
    // The clock went back, or on by less than the time that passed.
    assert_eq!(numbers(vec![volume(1, 900, 1_000), volume(2, 100, 2_000)], 0), [2]);
    assert_eq!(numbers(vec![volume(1, 100, 1_000), volume(2, 200, 2_000)], 0), [2]);
    assert_eq!(numbers(Vec::new(), 0), [0_u64; 0]);
}
