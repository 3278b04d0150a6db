//! Tests of single steps towards the right seats, and of where a chain of them ends.

use std::sync::Arc;

use super::super::super::entry::{Command, Entry, Index, Payload, Position};
use super::super::super::ledger::Ledger;
use super::super::super::view::{Member, ViewChange};
use super::*;
use crate::base::{Epoch, Incarnation};

const LEADER: u64 = 1;
const LONG: Span = Span::secs(60);

fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

fn ids(numbers: &[u64]) -> Vec<NodeId> {
    numbers.iter().map(|&number| id(number)).collect()
}

/// A cluster as its leader, node 1, sees it.
struct Cluster {
    ledger: Ledger,
    seats: Seats,
    failover: Failover,
    passed_over: BTreeMap<NodeId, Time>,
    departing: BTreeMap<NodeId, (Incarnation, Time)>,
    /// Those who have never answered in this reign.
    strangers: Vec<NodeId>,
    /// Those who have not answered for a while, and for how long.
    silent: BTreeMap<NodeId, Span>,
    suspects: Vec<NodeId>,
    behind: BTreeMap<NodeId, u64>,
}

impl Cluster {
    /// All members answer and are up to date.
    fn new(members: &[u64], voters: &[u64], learners: &[u64]) -> Cluster {
        let member = |&number: &u64| Member {
            id: id(number),
            incarnation: Incarnation(1),
            birth: 0,
            name: format!("n{number}").into(),
            kind: "cpu".into(),
            worker: true,
            address: "".into(),
        };
        let change = ViewChange { joined: members.iter().map(member).collect(), gone: Vec::new() };
        let mut ledger = Ledger::new(5);
        ledger.apply(&Entry {
            position: Position { epoch: Epoch(1), index: Index(1) },
            at: Time::ZERO,
            payload: Arc::new(Payload::Command(Command::ChangeView(change))),
        });
        Cluster {
            ledger,
            seats: Seats { number: 7, voters: ids(voters), learners: ids(learners) },
            failover: Failover::default(),
            passed_over: BTreeMap::new(),
            departing: BTreeMap::new(),
            strangers: Vec::new(),
            silent: BTreeMap::new(),
            suspects: Vec::new(),
            behind: BTreeMap::new(),
        }
    }

    fn silent(mut self, numbers: &[u64], span: Span) -> Cluster {
        self.silent.extend(numbers.iter().map(|&number| (id(number), span)));
        self
    }

    /// They have just asked to leave.
    fn leaving(mut self, numbers: &[u64]) -> Cluster {
        self.departing.extend(numbers.iter().map(|&number| (id(number), (Incarnation(1), Time::ZERO))));
        self
    }

    fn suspects(mut self, numbers: &[u64]) -> Cluster {
        self.suspects = ids(numbers);
        self
    }

    fn next(&self) -> Option<Seats> {
        let seated = |id: &NodeId| self.seats.voters.contains(id) || self.seats.learners.contains(id);
        let silence = |id: NodeId| match self.silent.get(&id) {
            Some(&span) => span,
            None if seated(&id) => Span::ZERO,
            None => Span::FOREVER,
        };
        let lag = |id: NodeId| {
            let known = seated(&id) && id != self::id(LEADER) && !self.strangers.contains(&id);
            known.then(|| self.behind.get(&id).copied().unwrap_or(0))
        };
        let facts = Facts {
            now: Time::ZERO,
            cluster_now: Time::ZERO,
            ledger: &self.ledger,
            seats: &self.seats,
            lag: &lag,
            silence: &silence,
            suspect: &|id| self.suspects.contains(&id),
        };
        let (failover, passed_over) = (&self.failover, &self.passed_over);
        let departing = &self.departing;
        let seating = Seating { me: id(LEADER), failover, facts: &facts, passed_over, departing };
        let next = seating.next()?;
        assert_eq!(next.number, self.seats.number + 1);
        Some(next)
    }

    /// The voters and learners of the next step; both empty when there is none.
    fn step(&self) -> (Vec<NodeId>, Vec<NodeId>) {
        self.next().map_or_else(Default::default, |next| (next.voters, next.learners))
    }

    /// Takes steps until there is none, all learners catching up at once, and says who votes after each.
    fn settle(mut self) -> Vec<Vec<NodeId>> {
        let mut voters: Vec<Vec<NodeId>> = Vec::new();
        for _ in 0..100 {
            let Some(next) = self.next() else {
                assert!(self.seats.learners.is_empty(), "nobody learns for nothing");
                return voters;
            };
            if next.voters != self.seats.voters {
                voters.push(next.voters.clone());
            }
            self.seats = next;
        }
        panic!("the seats never come to rest: {voters:?}");
    }
}

fn nothing() -> (Vec<NodeId>, Vec<NodeId>) {
    Default::default()
}

#[test]
fn seats_that_are_held_by_members_stay_as_they_are() {
    assert_eq!(Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[]).step(), nothing());
    assert_eq!(Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[]).silent(&[3], LONG).step(), nothing());
}

#[test]
fn a_lost_voter_is_replaced_and_its_successor_comes_first() {
    let cluster = Cluster::new(&[1, 2, 4, 5], &[1, 2, 3], &[]).silent(&[3], LONG);
    assert_eq!(cluster.step(), (ids(&[1, 2, 3]), ids(&[4])));
    assert_eq!(cluster.settle(), [ids(&[1, 2, 3, 4]), ids(&[1, 2, 4])]);
    let both = Cluster::new(&[1, 2, 3, 6, 7], &[1, 2, 3, 4, 5], &[]).silent(&[4, 5], LONG);
    let steps = both.settle();
    assert_eq!(steps.last(), Some(&ids(&[1, 2, 3, 6, 7])));
    assert!(steps.iter().all(|voters| voters.len() >= 5), "{steps:?}");
}

#[test]
fn an_evicted_voter_that_answers_keeps_its_seat() {
    assert_eq!(Cluster::new(&[1, 2, 4], &[1, 2, 3], &[]).step(), nothing());
    let moment = Failover::default().election * 2;
    assert_eq!(Cluster::new(&[1, 2, 4], &[1, 2, 3], &[]).silent(&[3], moment).step(), nothing());
}

#[test]
fn of_two_voters_that_are_no_members_the_one_that_does_not_answer_goes() {
    // Both 2, which lost its disk, and 3, which restarts, are gone from the view; 4 is who 2 is now.
    let cluster = Cluster::new(&[1, 4], &[1, 2, 3], &[4]).silent(&[2], LONG);
    assert_eq!(cluster.step(), (ids(&[1, 2, 3, 4]), ids(&[])));
    assert_eq!(cluster.settle().last(), Some(&ids(&[1, 3, 4])));
}

#[test]
fn no_step_is_taken_towards_voters_of_whom_no_majority_answers() {
    // Of 1, 2, 3 and 4 only two answer.
    let mut cluster = Cluster::new(&[1, 2, 4], &[1, 2, 3], &[4]).silent(&[3], LONG);
    cluster.silent.insert(id(2), Failover::default().election);
    assert_eq!(cluster.step(), nothing());
    cluster.silent.remove(&id(2));
    cluster.strangers.push(id(2));
    assert_eq!(cluster.step(), nothing(), "whoever has never answered may be dead");
    cluster.strangers.clear();
    assert_eq!(cluster.step().0, ids(&[1, 2, 3, 4]));
}

#[test]
fn a_learner_that_lags_is_suspect_or_silent_gets_no_seat_yet() {
    let cluster = || Cluster::new(&[1, 2, 4], &[1, 2, 3], &[4]).silent(&[3], LONG);
    assert_eq!(cluster().step().0, ids(&[1, 2, 3, 4]));
    assert_eq!(cluster().suspects(&[4]).step(), nothing());
    assert_eq!(cluster().silent(&[4], Failover::default().election).step(), nothing());
    let mut lagging = cluster();
    lagging.behind.insert(id(4), CAUGHT_UP + 1);
    assert_eq!(lagging.step(), nothing());
}

#[test]
fn a_learner_that_cannot_be_reached_makes_room_for_another() {
    let mut cluster = Cluster::new(&[1, 2, 4, 5], &[1, 2, 3], &[4]).silent(&[3, 4], LONG);
    assert_eq!(cluster.step(), (ids(&[1, 2, 3]), ids(&[5])));
    // Nobody else is there.
    assert_eq!(Cluster::new(&[1, 2, 4], &[1, 2, 3], &[4]).silent(&[3, 4], LONG).step(), nothing());
    // They take turns.
    cluster.seats.learners = ids(&[5]);
    cluster.silent.insert(id(5), LONG);
    cluster.passed_over.insert(id(4), Time(1));
    assert_eq!(cluster.step().1, ids(&[4]));
    cluster.seats.learners = Vec::new();
    assert_eq!(cluster.step().1, ids(&[5]), "who has not been passed over yet is asked first");
}

#[test]
fn a_learner_that_left_or_is_not_needed_any_more_is_let_go() {
    assert_eq!(Cluster::new(&[1, 2, 3], &[1, 2, 3], &[4]).step(), (ids(&[1, 2, 3]), ids(&[])));
    assert_eq!(Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[4]).step(), (ids(&[1, 2, 3]), ids(&[])));
}

#[test]
fn five_seats_shrink_only_when_two_are_lost_for_long_and_nobody_can_take_over() {
    let five = |members: &[u64]| Cluster::new(members, &[1, 2, 3, 4, 5], &[]);
    assert_eq!(five(&[1, 2, 3]).silent(&[4, 5], LONG).settle().last(), Some(&ids(&[1, 2, 3])));
    assert_eq!(five(&[1, 2, 3]).silent(&[4, 5], Span::secs(9)).step(), nothing());
    assert_eq!(five(&[1, 2, 3, 4]).silent(&[5], LONG).step(), nothing());
    assert_eq!(five(&[1, 2, 3]).silent(&[5], LONG).step(), nothing(), "4 will be back");
    let three = Cluster::new(&[1, 2], &[1, 2, 3], &[]).silent(&[3], LONG);
    assert_eq!(three.step(), nothing(), "never below three");
    let successor = five(&[1, 2, 3, 6]).silent(&[4, 5], LONG);
    assert_eq!(successor.settle().last().map(Vec::len), Some(5));
}

#[test]
fn the_seats_grow_with_the_cluster_by_two_at_a_time() {
    let grown = |members: &[u64], voters: &[u64]| Cluster::new(members, voters, &[]).settle();
    assert_eq!(grown(&[1, 2], &[1]), Vec::<Vec<NodeId>>::new());
    assert_eq!(grown(&[1, 2, 3], &[1]), [ids(&[1, 2]), ids(&[1, 2, 3])]);
    assert_eq!(grown(&[1, 2, 3, 4, 5], &[1, 2, 3]).last(), Some(&ids(&[1, 2, 3, 4, 5])));
    let one_is_suspect = Cluster::new(&[1, 2, 3], &[1], &[]).suspects(&[3]);
    assert_eq!(one_is_suspect.step(), (ids(&[1]), ids(&[2])));
    let one_learns = Cluster::new(&[1, 2, 3], &[1], &[2]).suspects(&[3]);
    assert_eq!(one_learns.step(), nothing(), "two voters would be worse than one");
}

#[test]
fn an_even_number_of_voters_becomes_odd_again() {
    // A successor has come, and then its predecessor has come back.
    let cluster = || Cluster::new(&[1, 2, 3, 4], &[1, 2, 3, 4], &[]);
    assert_eq!(cluster().step().0.len(), 3);
    assert_eq!(cluster().suspects(&[3]).step().0, ids(&[1, 2, 4]));
    assert_eq!(Cluster::new(&[1, 2, 4], &[1, 2, 3, 4], &[]).step().0, ids(&[1, 2, 4]));
    assert!(cluster().suspects(&[2, 3, 4]).step().0.contains(&id(LEADER)));
    // Whatever was asked for.
    let mut four = Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[]);
    four.failover.voters = Some(5);
    assert_eq!(four.step(), nothing());
}

#[test]
fn whoever_leaves_gives_its_seat_to_one_who_stays() {
    let cluster = || Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[]).leaving(&[3]);
    assert_eq!(cluster().step(), (ids(&[1, 2, 3]), ids(&[4])));
    assert_eq!(cluster().settle(), [ids(&[1, 2, 3, 4]), ids(&[1, 2, 4])]);
    let learner = Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[4]).leaving(&[4]);
    assert_eq!(learner.step(), (ids(&[1, 2, 3]), ids(&[])));
}

#[test]
fn however_many_leave_those_who_stay_have_a_quorum() {
    let all = [1, 2, 3, 4, 5, 6, 7];
    for leaving in [&[2, 3][..], &[3, 4, 5], &[2, 3, 4, 5, 6, 7]] {
        let steps = Cluster::new(&all, &[1, 2, 3, 4, 5], &[]).leaving(leaving).settle();
        let last = steps.last().expect("seats are given up");
        let staying: Vec<u64> = all.iter().copied().filter(|number| !leaving.contains(number)).collect();
        assert!(last.iter().all(|voter| ids(&staying).contains(voter)), "{leaving:?}: {steps:?}");
        // Each step keeps most of the seats, so that it can be taken with the seats that there are.
        let sizes: Vec<usize> = steps.iter().map(Vec::len).collect();
        assert!(sizes.windows(2).all(|pair| pair[0].abs_diff(pair[1]) == 1), "{steps:?}");
    }
}

#[test]
fn a_leader_that_leaves_keeps_its_seat_and_gets_an_heir() {
    let two = Cluster::new(&[1, 2], &[1], &[]).leaving(&[LEADER]);
    assert_eq!(two.step(), (ids(&[1]), ids(&[2])));
    assert_eq!(two.settle(), [ids(&[1, 2])]);
    let three = Cluster::new(&[1, 2, 3], &[1, 2, 3], &[]).leaving(&[LEADER]);
    assert_eq!(three.step(), nothing(), "it has heirs");
    let everyone = Cluster::new(&[1, 2, 3], &[1, 2, 3], &[]).leaving(&[1, 2, 3]);
    assert_eq!(everyone.settle().last(), Some(&ids(&[LEADER])));
}

#[test]
fn the_dead_do_not_keep_others_from_leaving() {
    // With 2 and the dead 4 and 5 there is no majority of those who answer without 3.
    let cluster = Cluster::new(&[1, 2, 3], &[1, 2, 3, 4, 5], &[]).silent(&[4, 5], LONG).leaving(&[3]);
    assert_eq!(cluster.step().0.len(), 4);
    let last = cluster.settle().pop().expect("seats are given up");
    assert!(!last.contains(&id(3)), "{last:?}");
}
