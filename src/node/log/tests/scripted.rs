//! Conversations in which every message is chosen: the cases on which the safety argument turns.

use std::sync::Arc;

use super::super::super::{
    Disk, Entry, Index, LogMessage, Outbox, Payload, Position, Seats, Snapshot, StepDown,
};
use super::super::storage::Store;
use super::net::{Net, id};
use crate::base::{Epoch, Time};

/// Among whom messages pass.
fn among(nodes: &[usize]) -> impl Fn(usize, usize, &LogMessage) -> bool {
    move |from, to, _| nodes.contains(&from) && nodes.contains(&to)
}

/// Five voters, one entry per append, every message by hand.
fn by_hand() -> Net {
    let mut net = Net::new(1, 5, 0);
    net.resize(1);
    net.begin_anarchy();
    net.deliver(|_, _, _| false);
    net
}

/// Lets `node` miss its leader until the others, among themselves, have elected it.
fn elect(net: &mut Net, node: usize, electorate: &[usize]) {
    for _ in 0..6 {
        for &voter in electorate {
            // They have not heard of any leader for long, either.
            if voter != node && !net.machines[voter].log.leads() {
                net.time_passes(voter);
                net.deliver(|_, _, _| false);
            }
        }
        net.time_passes(node);
        net.deliver(|from, to, message| {
            electorate.contains(&from)
                && electorate.contains(&to)
                && !matches!(message, LogMessage::Append(_))
        });
        if net.machines[node].log.leads() {
            return;
        }
    }
    panic!("{node} is not elected");
}

/// Lets everyone hear everyone until all hold the same.
fn reunite(net: &mut Net) {
    for node in 0..net.machines.len() {
        net.restart(node);
    }
    net.end_anarchy();
    net.run_ms(6_000);
    let leader = net.leader().expect("all is well");
    net.propose(leader).expect("all is well");
    net.run_ms(1_000);
    for machine in &net.machines {
        assert_eq!(machine.applied(), net.machines[leader].applied(), "{}", machine.id);
    }
}

fn last(net: &Net, node: usize) -> (u64, u64) {
    let last = net.machines[node].log.last();
    (last.epoch.0, last.index.0)
}

/// Up to the point where entries of epoch 2 are on three nodes, an entry of epoch 3 on one, and node 0 leads in epoch 4 or later without
/// an entry of its own on any other. (Figure 8 of the Raft paper.)
fn figure_8() -> Net {
    let mut net = by_hand();
    elect(&mut net, 0, &[0, 1, 2, 3, 4]);
    for _ in 0..4 {
        net.time_passes(0);
        net.deliver(among(&[0, 1, 2, 3, 4]));
    }
    let committed = net.machines[0].applied();
    assert_eq!(committed, Index(3));
    for _ in 0..3 {
        net.propose(0);
        net.deliver(among(&[0, 1]));
    }
    assert_eq!(last(&net, 1).1, 6);
    net.crash(0);
    elect(&mut net, 4, &[2, 3, 4]);
    net.propose(4);
    net.propose(4);
    net.deliver(|_, _, _| false);
    assert_eq!(last(&net, 4).1, 6);
    net.crash(4);
    net.restart(0);
    elect(&mut net, 0, &[0, 1, 2]);
    let own = net.machines[0].log.epoch();
    for _ in 0..8 {
        net.time_passes(0);
        net.deliver(|from, to, message| {
            let own_entry =
                |append: &super::super::super::Append| append.entries.iter().any(|e| e.position.epoch == own);
            let blocked = matches!(message, LogMessage::Append(append) if own_entry(append));
            from <= 2 && to <= 2 && !blocked
        });
    }
    assert_eq!(last(&net, 2), (2, 6), "the third copy of what epoch 2 left");
    net
}

#[test]
fn an_entry_of_an_earlier_term_on_a_majority_is_not_committed() {
    let mut net = figure_8();
    assert!(net.machines[0].applied() <= Index(3), "nothing is committed by counting copies of old entries");
    // And rightly so, because the one with the later term can still win.
    net.crash(0);
    net.restart(4);
    elect(&mut net, 4, &[2, 3, 4]);
    reunite(&mut net);
}

#[test]
fn a_follower_that_adopted_a_contradicting_log_is_brought_back() {
    let mut net = figure_8();
    net.restart(4);
    // Node 2 hears only node 4, whose log ends in a later term, and adopts it.
    for _ in 0..3 {
        net.time_passes(2);
        net.deliver(among(&[2, 4]));
    }
    assert_eq!(last(&net, 2), last(&net, 4), "adopted");
    let before = net.machines[0].log.lag(id(2)).expect("it leads");
    assert!(net.machines[0].log.leads());
    for _ in 0..12 {
        net.time_passes(0);
        net.deliver(among(&[0, 1, 2]));
    }
    assert!(net.machines[0].log.leads(), "nobody deposed it");
    assert_eq!(last(&net, 2), last(&net, 0), "lag before: {before}");
    reunite(&mut net);
}

#[test]
fn a_longer_log_of_an_earlier_term_is_neither_elected_nor_adopted() {
    let mut net = by_hand();
    elect(&mut net, 0, &[0, 1, 2, 3, 4]);
    net.deliver(|_, _, _| false);
    // Node 0 goes on alone, and its log gets long.
    for _ in 0..9 {
        net.propose(0);
    }
    net.deliver(|_, _, _| false);
    net.crash(0);
    net.restart(0);
    // The others commit something in a later term.
    elect(&mut net, 1, &[1, 2, 3]);
    for _ in 0..6 {
        net.time_passes(1);
        net.deliver(among(&[1, 2, 3]));
    }
    assert!(net.machines[1].applied() >= Index(3));
    let held = last(&net, 2);
    net.crash(1);
    for _ in 0..4 {
        for node in [2, 3] {
            net.time_passes(node);
            net.deliver(among(&[0, 2, 3]));
        }
        net.time_passes(0);
        net.deliver(among(&[0, 2, 3]));
        assert!(last(&net, 2) >= held && last(&net, 3) >= held);
        if net.leaders() == [0] {
            assert!(last(&net, 0) > held, "only after it adopted what it lacked");
        }
    }
    reunite(&mut net);
}

#[test]
fn the_term_is_adopted_with_the_entries() {
    let mut net = by_hand();
    elect(&mut net, 0, &[0, 1, 2, 3, 4]);
    for _ in 0..4 {
        net.time_passes(0);
        net.deliver(among(&[0, 1, 2, 3, 4]));
    }
    // Node 1 hears from node 4 that node 4 knows more than it does, and asks for it.
    net.propose(0);
    net.deliver(among(&[0, 4]));
    net.crash(0);
    net.time_passes(1);
    let fetches = |message: &LogMessage| matches!(message, LogMessage::Fetch { .. });
    net.deliver_but_keep(among(&[1, 4]), fetches);
    // Before the question arrives, node 4 leads in a later term.
    let epoch = net.machines[1].log.epoch();
    net.meanwhile(|net| elect(net, 4, &[2, 3, 4]));
    assert!(net.machines[4].log.epoch() > epoch);
    net.deliver(|from, to, message| {
        [1, 4].contains(&from)
            && [1, 4].contains(&to)
            && !matches!(message, LogMessage::Append(_) | LogMessage::PreVoteReply { .. })
    });
    assert_eq!(last(&net, 1).0, 2, "one entry per message: the part of epoch 2");
    assert_eq!(
        net.machines[1].log.epoch(),
        net.machines[4].log.epoch(),
        "with the term of the one who had it"
    );
    reunite(&mut net);
}

#[test]
fn an_answer_to_an_earlier_reign_of_the_same_node_counts_for_nothing() {
    let mut net = by_hand();
    let all = [0, 1, 2, 3, 4];
    elect(&mut net, 0, &all);
    for _ in 0..4 {
        net.time_passes(0);
        net.deliver(among(&all));
    }
    for _ in 0..5 {
        net.propose(0);
    }
    // What node 1 answers stays on its way.
    net.deliver_but_keep(among(&[0, 1]), |message| matches!(message, LogMessage::AppendReply { .. }));
    net.meanwhile(|net| {
        elect(net, 2, &[2, 3, 4]);
        for _ in 0..4 {
            net.time_passes(2);
            net.deliver(among(&all));
        }
        assert!(net.transfer(2, 0));
        net.deliver(|_, _, message| !matches!(message, LogMessage::Append(_)));
        assert!(net.machines[0].log.leads());
    });
    let lag = net.machines[0].log.lag(id(1));
    assert!(net.read(0));
    net.deliver(|_, to, message| to == 0 && matches!(message, LogMessage::AppendReply { .. }));
    assert_eq!((net.machines[0].log.lag(id(1)), net.machines[0].reads_done), (lag, 0));
    reunite(&mut net);
}

#[test]
fn a_reign_heard_of_deposes_an_older_one_and_is_written_by_voters() {
    let mut net = Net::new(2, 3, 1);
    net.run_ms(1_500);
    let leader = net.leader().expect("all is well");
    let epoch = net.machines[leader].log.epoch();
    let newer = Epoch(epoch.0 + 5);
    net.hear(3, newer, Some(id(1)));
    assert_eq!((net.machines[3].log.epoch(), net.machines[3].log.leader()), (newer, Some(id(1))));
    let other = (leader + 1) % 3;
    net.hear(other, newer, None);
    net.hear(leader, newer, None);
    assert_eq!(net.machines[leader].stepped_down.last(), Some(&(epoch, StepDown::Superseded)));
    net.run_ms(10);
    let written = [leader, other, 3].map(|i| net.machines[i].disk.ballot.epoch);
    assert_eq!(written, [newer, newer, Epoch(0)]);
}

#[test]
fn who_led_before_it_crashed_does_not_believe_that_it_still_leads() {
    let mut net = Net::new(3, 3, 0);
    net.run_ms(1_500);
    let leader = net.leader().expect("all is well");
    let epoch = net.machines[leader].log.epoch();
    net.crash(leader);
    net.restart(leader);
    net.hear(leader, epoch, Some(id(leader)));
    assert_eq!((net.machines[leader].log.epoch(), net.machines[leader].log.leader()), (epoch, None));
}

#[test]
fn a_leader_that_nobody_hears_answers_no_read() {
    let mut net = Net::new(4, 3, 0);
    net.run_ms(1_500);
    let leader = net.leader().expect("all is well");
    net.run_ms(100);
    net.cut(|a, _| a == leader);
    assert!(net.read(leader));
    net.run_ms(1_000);
    assert_eq!(net.machines[leader].reads_done, 0);
}

#[test]
fn a_vote_is_refused_to_a_longer_log_of_an_earlier_term() {
    let mut net = by_hand();
    elect(&mut net, 0, &[0, 1, 2, 3, 4]);
    for _ in 0..4 {
        net.time_passes(0);
        net.deliver(among(&[0, 1]));
    }
    assert_eq!(last(&net, 1), (2, 3));
    for (index, epoch, granted) in [(100, 1, false), (2, 2, false), (3, 2, true)] {
        let term = Epoch(net.machines[1].log.epoch().0 + 1);
        let last = Position { epoch: Epoch(epoch), index: Index(index) };
        net.say(4, 1, LogMessage::Vote { epoch: term, last, transfer: true });
        net.deliver(|from, to, _| (from, to) == (4, 1));
        assert_eq!(net.machines[1].disk.ballot.vote, granted.then_some(id(4)), "{last:?}");
    }
}

#[test]
fn a_learner_that_hears_of_a_new_term_while_it_draws_writes_it_before_it_answers_in_it() {
    let mut net = Net::new(6, 3, 1);
    net.run_ms(1_500);
    let leader = net.leader().expect("all is well");
    for _ in 0..20 {
        net.propose(leader);
        net.run_ms(10);
    }
    net.compact(leader);
    net.propose(leader);
    net.run_ms(100);
    net.compact(leader);
    let mut seats = net.seats_of(leader);
    seats.number += 1;
    seats.learners.push(id(3));
    assert!(net.propose_seats(leader, seats));
    while net.machines[3].log.draw.is_none() {
        net.run_ms(1);
    }
    let newer = Epoch(net.machines[leader].log.epoch().0 + 1);
    net.hear(3, newer, Some(id(leader)));
    net.run_ms(2_000);
    assert!(net.machines[3].restored > 0 && net.machines[3].disk.ballot.epoch >= newer);
}

#[test]
fn a_suffix_that_takes_longer_than_a_time_out_arrives_all_the_same() {
    let mut net = Net::new(7, 5, 0);
    net.resize(1);
    net.run_ms(1_500);
    let old = net.leader().expect("all is well");
    let hub = (old + 1) % 5;
    net.run_ms(100);
    net.weather.delay_ms = (2, 2);
    // The hub holds a long end of the log, and does not know that it is committed.
    for _ in 0..200 {
        net.propose(old).expect("it leads");
    }
    net.run_ms(3);
    net.cut(|a, _| a == hub);
    net.run_ms(200);
    net.crash(old);
    net.run_ms(1_500);
    let new = net.leader().expect("three are enough");
    assert!(
        net.machines[hub].log.last().index.0 - net.machines[hub].applied().0 >= 200,
        "not the case that is meant"
    );
    net.restart(old);
    net.weather.delay_ms = (5, 8);
    net.weather.cut.clear();
    net.cut(|a, b| a != hub && b != hub || a == new);
    net.run_ms(8_000);
    assert_eq!(net.leaders(), [hub]);
}

fn entry(epoch: u64, index: u64) -> Entry {
    let position = Position { epoch: Epoch(epoch), index: Index(index) };
    Entry { position, at: Time::ZERO, payload: Arc::new(Payload::Noop) }
}

#[test]
fn what_replaces_durable_entries_is_not_durable_itself() {
    let mut out = Outbox::new();
    let disk = Disk { entries: (1..=6).map(|index| entry(1, index)).collect(), ..Disk::default() };
    let mut store = Store::of(&disk);
    assert_eq!(store.durable(), Index(6));
    assert!(store.merge(&[entry(2, 4), entry(2, 5), entry(2, 6)], &mut out));
    assert_eq!(store.durable(), Index(3));
    let first = store.awaits(Index(5)).expect("under way");
    assert!(store.merge(&[entry(3, 5)], &mut out));
    let second = store.awaits(Index(5)).expect("under way");
    assert!(second > first);
    store.persisted(first);
    assert_eq!((store.durable(), store.awaits(Index(5))), (Index(4), Some(second)));
    store.persisted(second);
    assert_eq!((store.durable(), store.awaits(Index(5))), (Index(5), None));
}

#[test]
fn what_follows_an_installed_snapshot_is_kept_only_if_it_continues_it() {
    let snapshot = |epoch, index| {
        Arc::new(Snapshot {
            last: entry(epoch, index).position,
            at: Time::ZERO,
            seats: Arc::new(Seats { number: 9, voters: vec![id(0)], learners: Vec::new(), passing: None }),
            state: Arc::default(),
        })
    };
    let disk = Disk { entries: (1..=6).map(|index| entry(1, index)).collect(), ..Disk::default() };
    let mut out = Outbox::new();
    let mut store = Store::of(&disk);
    store.install(&snapshot(1, 4), &mut out);
    assert_eq!((store.last().index, store.durable(), store.commit()), (Index(6), Index(6), Index(4)));

    let mut store = Store::of(&disk);
    let token = store.install(&snapshot(2, 4), &mut out);
    assert_eq!((store.last().index, store.durable(), store.commit()), (Index(4), Index(0), Index(4)));
    assert_eq!(store.seats().number, 9);
    assert!(store.merge(&[entry(2, 5)], &mut out));
    assert_eq!(store.durable(), Index(0), "neither the snapshot nor what follows is on the disk yet");
    store.persisted(token);
    assert_eq!(store.durable(), Index(4));
}

#[test]
fn what_contradicts_committed_entries_changes_nothing() {
    let mut out = Outbox::new();
    let disk = Disk { entries: (1..=6).map(|index| entry(1, index)).collect(), ..Disk::default() };
    let mut store = Store::of(&disk);
    assert_eq!(store.commit_to(Index(4)).count(), 4);
    assert!(!store.merge(&[entry(1, 3), entry(2, 4), entry(2, 5)], &mut out));
    assert_eq!((store.last(), store.commit(), out.effects().len()), (entry(1, 6).position, Index(4), 0));
    assert!(store.merge(&[entry(1, 3), entry(1, 4)], &mut out), "a late part of it is welcome");
    assert_eq!((store.last(), out.effects().len()), (entry(1, 6).position, 0));
}
