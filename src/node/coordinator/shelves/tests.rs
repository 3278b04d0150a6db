//! Tests of what is believed of a member's shelf, and of what it is told.

use super::*;
use crate::node::io::Effect;
use crate::node::message::Holding;

const ANN: NodeId = NodeId::new(1);
const BEN: NodeId = NodeId::new(2);
const LIFE: Incarnation = Incarnation(1);

fn chunk(number: u8) -> Chunk {
    Chunk { id: ChunkId([number; 32]), bytes: 10 }
}

/// The shelves of two members, on the first of which these chunks are.
fn shelves(held: &[u8]) -> Shelves {
    let stock = |&number: &u8| {
        let mut stock = Stock::new(10);
        stock.holders.insert(ANN, 1);
        (chunk(number).id, stock)
    };
    Shelves {
        members: [ANN, BEN].map(|node| (node, Shelf::new(LIFE))).into(),
        suspects: BTreeSet::new(),
        live: vec![ANN, BEN],
        able: vec![ANN, BEN],
        stocks: held.iter().map(stock).collect(),
        puts: BTreeMap::new(),
        dirty: BTreeSet::new(),
        touched: BTreeSet::new(),
        opens_at: Time::NEVER,
        again_at: Time::NEVER,
        sweep_at: Time::NEVER,
    }
}

fn at(millis: u64) -> Time {
    Time::ZERO + Span::millis(millis)
}

/// What to fetch, and what to drop by which stamp.
type Told = (Vec<Chunk>, Vec<(Chunk, u64)>);

/// What a member is told: the chunks that it shall fetch, and those that it shall drop.
fn told(shelves: &mut Shelves, node: NodeId, now: Time) -> Option<Told> {
    let mut out = Outbox::new();
    shelves.flush(node, now, Epoch(1), &mut out);
    let mut told = out.drain().map(|effect| match effect {
        Effect::Send { message, .. } => match message.body {
            Body::Store(StoreMessage::Tend(tend)) => {
                (tend.fetch.iter().map(|fetch| fetch.chunk).collect(), tend.drop.clone())
            }
            other => panic!("a member is told {other:?}"),
        },
        other => panic!("{other:?}"),
    });
    let first = told.next();
    assert!(told.next().is_none());
    first
}

/// A member says that it holds a chunk by this stamp, or that it does not.
fn says(shelves: &mut Shelves, node: NodeId, number: u8, stamp: Option<u64>, now: Time) {
    let serial = shelves.members[&node].serial + 1;
    let chunks = vec![Holding { chunk: chunk(number), stamp, unwritten: false }];
    assert!(shelves.note(node, &Holds { epoch: Epoch(1), incarnation: LIFE, serial, chunks }, now));
}

#[test]
fn what_shall_go_counts_again_only_by_another_stamp() {
    let mut shelves = shelves(&[1]);
    let placed = |shelves: &Shelves| shelves.stocks[&chunk(1).id].holders.contains_key(&BEN);
    says(&mut shelves, BEN, 1, Some(7), at(0));
    assert!(placed(&shelves));
    shelves.drop(BEN, chunk(1).id);
    assert_eq!(told(&mut shelves, BEN, at(1)), Some((vec![], vec![(chunk(1), 7)])));
    // It is wanted there after all, while that order may still be on its way.
    shelves.want(BEN, chunk(1).id);
    assert_eq!(told(&mut shelves, BEN, at(2)), Some((vec![chunk(1)], vec![])));
    says(&mut shelves, BEN, 1, Some(7), at(3));
    assert!(!placed(&shelves), "the order to drop it by that stamp may come yet");
    assert_eq!(told(&mut shelves, BEN, at(500)), Some((vec![chunk(1)], vec![])), "it is told again");
    says(&mut shelves, BEN, 1, Some(8), at(501));
    assert!(placed(&shelves));
}

#[test]
fn who_only_repeats_itself_has_not_answered() {
    let mut shelves = shelves(&[1, 2]);
    let patience = Span::secs(3);
    shelves.want(BEN, chunk(1).id);
    assert!(told(&mut shelves, BEN, at(0)).is_some());
    for second in 0..4 {
        // What it said before it became deaf, and what it could not get.
        says(&mut shelves, BEN, 2, Some(7), at(1000 * second));
        says(&mut shelves, BEN, 1, None, at(1000 * second));
        shelves.want(BEN, chunk(1).id);
        assert!(told(&mut shelves, BEN, at(1000 * second + 900)).is_some());
    }
    assert_eq!(shelves.mute(at(3000), patience).collect::<Vec<_>>(), [BEN]);
    shelves.weigh(at(3000), patience);
    assert_eq!(shelves.live, [ANN]);
}

#[test]
fn who_did_all_it_was_told_is_asked_until_it_answers() {
    let mut shelves = shelves(&[1]);
    shelves.want(BEN, chunk(1).id);
    assert!(told(&mut shelves, BEN, at(0)).is_some());
    says(&mut shelves, BEN, 1, Some(1), at(10));
    // "I see to it" was lost.
    assert_eq!(told(&mut shelves, BEN, at(500)), Some((vec![], vec![])));
    (shelves.members.get_mut(&BEN).unwrap()).asked = None;
    assert_eq!(told(&mut shelves, BEN, at(5000)), None);
}

#[test]
fn what_nobody_has_any_more_is_not_waited_for() {
    let mut shelves = shelves(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for number in 1..=9 {
        shelves.want(BEN, chunk(number).id);
    }
    let (fetch, _) = told(&mut shelves, BEN, at(0)).expect("there is something to do");
    assert_eq!(fetch.len(), FETCHES_MAX);
    shelves.stocks.retain(|id, _| *id == chunk(9).id);
    assert_eq!(told(&mut shelves, BEN, at(500)), Some((vec![chunk(9)], vec![])));
}
