//! The observer alone.

use super::super::watch::{Heard, Watch};
use super::net::member;
use crate::base::{Incarnation, NodeId, Span, Time, ViewId};
use crate::node::view::{View, ViewChange};

const LIMIT: Span = Span::millis(250);

/// Whom the watch accuses at `ms`.
fn accused(watch: &mut Watch, ms: u64) -> Vec<NodeId> {
    let mut accused = Vec::new();
    watch.sweep(at(ms), |id, _, _| accused.push(id));
    accused
}

fn at(ms: u64) -> Time {
    Time::ZERO + Span::millis(ms)
}

fn pair() -> (View, Watch) {
    let members = vec![member(NodeId::new(1), 1), member(NodeId::new(2), 3)];
    let view = View::new(ViewId(1), 5, members);
    let mut watch = Watch::new(LIMIT);
    watch.follow(Time::ZERO, &view, 0);
    (view, watch)
}

#[test]
fn a_new_edge_has_two_seconds_of_grace_and_a_known_one_a_quarter() {
    let (_, mut watch) = pair();
    let subject = NodeId::new(2);
    assert_eq!(accused(&mut watch, 1_999), []);
    assert_eq!(watch.due(), at(2_000));
    assert_eq!(accused(&mut watch, 2_000), [subject]);

    let (_, mut watch) = pair();
    assert_eq!(watch.hear(at(10), subject, Incarnation(3)), Heard::Subject);
    assert_eq!(watch.due(), at(260), "the first heartbeat ends the grace");
    assert_eq!(accused(&mut watch, 259), []);
    assert_eq!(accused(&mut watch, 260), [subject]);
    assert_eq!(watch.due(), at(360), "the alert is repeated every 100 ms");
    assert_eq!(accused(&mut watch, 359), []);
    assert_eq!(accused(&mut watch, 360), [subject]);
    watch.hear(at(400), subject, Incarnation(3));
    assert_eq!(accused(&mut watch, 460), [], "it is heard again");
    assert_eq!(watch.due(), at(650));
}

#[test]
fn an_earlier_life_is_no_sign_of_life() {
    let (_, mut watch) = pair();
    watch.hear(at(10), NodeId::new(2), Incarnation(3));
    assert_eq!(watch.hear(at(200), NodeId::new(2), Incarnation(2)), Heard::EarlierLife);
    assert_eq!(watch.hear(at(200), NodeId::new(1), Incarnation(1)), Heard::Stranger);
    assert_eq!(accused(&mut watch, 260), [NodeId::new(2)]);
}

#[test]
fn an_edge_in_both_views_keeps_its_clock_and_a_new_life_begins_anew() {
    let (view, mut watch) = pair();
    watch.hear(at(10), NodeId::new(2), Incarnation(3));
    let grown = view.after(&ViewChange { joined: vec![member(NodeId::new(3), 1)], gone: vec![] });
    watch.follow(at(200), &grown, 0);
    assert_eq!(accused(&mut watch, 260), [NodeId::new(2)]);
    assert_eq!(accused(&mut watch, 2_200), [NodeId::new(2), NodeId::new(3)]);
    let reborn = grown.after(&ViewChange { joined: vec![member(NodeId::new(2), 4)], gone: vec![] });
    watch.follow(at(2_300), &reborn, 0);
    assert_eq!(accused(&mut watch, 2_300), [NodeId::new(3)]);
    assert_eq!(accused(&mut watch, 4_300), [NodeId::new(2), NodeId::new(3)]);
}

#[test]
fn silence_that_the_observer_slept_through_does_not_count() {
    let (_, mut watch) = pair();
    watch.hear(at(10), NodeId::new(2), Incarnation(3));
    watch.overslept(Span::millis(1_500));
    assert_eq!(accused(&mut watch, 1_759), []);
    assert_eq!(accused(&mut watch, 1_760), [NodeId::new(2)]);
}
