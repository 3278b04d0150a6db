//! Tests of what a member says of its chunks, and of what it does when it is told late.

use super::*;
use crate::node::io::Effect;
use crate::node::message::Fetch;

const COORDINATOR: NodeId = NodeId::new(100);

fn chunk(number: u8) -> Chunk {
    Chunk { id: ChunkId([number; 32]), bytes: 10 }
}

fn facts(epoch: u64) -> WorkerFacts {
    WorkerFacts {
        epoch: Epoch(epoch),
        coordinator: Some(COORDINATOR),
        incarnation: Incarnation(2),
        member: true,
    }
}

/// What a step put out: what was said, and what the driver shall do.
fn step(store: &mut Store, step: impl FnOnce(&mut Store, &mut Outbox)) -> (Vec<Holds>, Vec<ChunkCommand>) {
    let mut out = Outbox::new();
    step(store, &mut out);
    let (mut said, mut commands) = (Vec::new(), Vec::new());
    for effect in out.drain() {
        match effect {
            Effect::Send { message, .. } => match message.body {
                Body::Store(StoreMessage::Holds(holds)) => said.push(Holds::clone(&holds)),
                Body::Store(StoreMessage::Tending { .. }) => {}
                other => panic!("a member says {other:?}"),
            },
            Effect::Chunk(command) => commands.push(command),
            Effect::Observe(_) => {}
            other => panic!("a member does {other:?}"),
        }
    }
    (said, commands)
}

fn settle(store: &mut Store, epoch: u64) -> Vec<Holds> {
    step(store, |store, out| store.settle(Time(1), facts(epoch), out)).0
}

fn hear(store: &mut Store, message: &StoreMessage) -> Vec<ChunkCommand> {
    step(store, |store, out| store.receive(COORDINATOR, message, out)).1
}

fn tend(fetch: &[u8], drop: &[(u8, u64)]) -> StoreMessage {
    let fetch = fetch.iter().map(|&number| Fetch { chunk: chunk(number), from: vec![COORDINATOR] });
    StoreMessage::Tend(Arc::new(Tend {
        epoch: Epoch(5),
        incarnation: Incarnation(2),
        fetch: fetch.collect(),
        drop: drop.iter().map(|&(number, stamp)| (chunk(number), stamp)).collect(),
    }))
}

fn noted(serial: u64) -> StoreMessage {
    StoreMessage::Noted { epoch: Epoch(5), incarnation: Incarnation(2), serial }
}

fn told(said: &[Holds]) -> Vec<(u8, Option<u64>)> {
    let holdings = said.iter().flat_map(|holds| &holds.chunks);
    holdings.map(|holding| (holding.chunk.id.0[0], holding.stamp)).collect()
}

/// One that holds chunks 1 and 2, and has said so to the coordinator of epoch 5.
fn known() -> Store {
    let mut store = Store::new(&[chunk(1), chunk(2)]);
    let said = settle(&mut store, 5);
    hear(&mut store, &noted(said[0].serial));
    store
}

#[test]
fn everything_is_said_to_each_new_coordinator_until_it_is_confirmed() {
    let mut store = Store::new(&[chunk(1), chunk(2)]);
    let first = settle(&mut store, 5);
    assert_eq!(told(&first), [(1, Some(1)), (2, Some(2))]);
    assert!(settle(&mut store, 5).is_empty(), "it waits for an answer");
    let again = step(&mut store, |store, out| store.wake(store.deadline(), out)).0;
    assert_eq!(told(&again), told(&first));
    hear(&mut store, &noted(first[0].serial));
    assert_ne!(store.deadline(), Time::NEVER, "that was about what it had said before");
    hear(&mut store, &noted(again[0].serial));
    assert_eq!(store.deadline(), Time::NEVER);
    assert!(settle(&mut store, 5).is_empty());
    assert_eq!(told(&settle(&mut store, 6)), told(&first));
    assert!(settle(&mut Store::new(&[]), 5).is_empty(), "whoever holds nothing says nothing");
}

#[test]
fn what_changes_while_an_answer_is_awaited_is_said_after_it() {
    let mut store = Store::new(&[chunk(1)]);
    let first = settle(&mut store, 5);
    step(&mut store, |store, out| store.event(&ChunkEvent::Lost { chunk: chunk(1).id }, out));
    hear(&mut store, &noted(first[0].serial));
    assert_eq!(told(&settle(&mut store, 5)), [(1, None)]);
}

#[test]
fn an_order_to_drop_that_is_late_does_not_touch_what_was_wanted_since() {
    let mut store = known();
    hear(&mut store, &tend(&[1], &[]));
    assert_eq!(told(&settle(&mut store, 5)), [(1, Some(3))], "wanted anew, by a new stamp");
    assert_eq!(hear(&mut store, &tend(&[], &[(1, 1)])), []);
    assert_eq!(hear(&mut store, &tend(&[], &[(1, 3)])), [ChunkCommand::Drop { chunk: chunk(1).id }]);
}

#[test]
fn a_reign_that_is_over_and_one_that_leads_nothing_are_not_obeyed() {
    let mut store = known();
    settle(&mut store, 6);
    assert_eq!(hear(&mut store, &tend(&[7], &[(1, 1)])), []);
    let stranger = step(&mut store, |store, out| {
        store.receive(NodeId::new(9), &tend(&[7], &[]), out);
    });
    assert_eq!(stranger.1, []);
}

#[test]
fn what_came_before_a_chunk_was_dropped_does_not_count_and_what_comes_after_does() {
    let mut store = known();
    let got =
        |store: &mut Store| step(store, |store, out| store.event(&ChunkEvent::Got { chunk: chunk(1) }, out));
    hear(&mut store, &tend(&[], &[(1, 1)]));
    // A client brought it just before the disk was told to drop it.
    got(&mut store);
    let said = settle(&mut store, 5);
    assert_eq!(told(&said), [(1, None)]);
    hear(&mut store, &noted(said[0].serial));
    step(&mut store, |store, out| store.event(&ChunkEvent::Dropped { chunk: chunk(1).id }, out));
    got(&mut store);
    assert_eq!(told(&settle(&mut store, 5)), [(1, Some(3))]);
}

#[test]
fn a_chunk_is_fetched_once_and_a_failure_is_told() {
    let mut store = known();
    assert_eq!(hear(&mut store, &tend(&[7], &[])).len(), 1);
    assert_eq!(hear(&mut store, &tend(&[7], &[])), [], "it is on its way");
    step(&mut store, |store, out| {
        store.event(&ChunkEvent::Failed { chunk: chunk(7).id, unwritten: true }, out);
    });
    let said = settle(&mut store, 5);
    assert_eq!(told(&said), [(7, None)]);
    assert!(said.iter().flat_map(|holds| &holds.chunks).all(|holding| holding.unwritten), "{said:?}");
    assert_eq!(hear(&mut store, &tend(&[7], &[])).len(), 1);
}
