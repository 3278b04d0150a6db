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
    /// Those who have answered, and hold nothing.
    empty: Vec<NodeId>,
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
            seats: Seats { number: 7, voters: ids(voters), learners: ids(learners), passing: None },
            failover: Failover::default(),
            passed_over: BTreeMap::new(),
            departing: BTreeMap::new(),
            strangers: Vec::new(),
            silent: BTreeMap::new(),
            suspects: Vec::new(),
            behind: BTreeMap::new(),
            empty: Vec::new(),
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

    fn with_facts<T>(&self, then: impl FnOnce(&Facts<'_>) -> T) -> T {
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
        then(&Facts {
            now: Time::ZERO,
            cluster_now: Time::ZERO,
            ledger: &self.ledger,
            seats: &self.seats,
            pending: 0,
            lag: &lag,
            silence: &silence,
            round: 0,
            answered: &|_| 1,
            holds_seats: &|id| !self.empty.contains(&id),
            suspect: &|id| self.suspects.contains(&id),
            accused: &Vec::new,
            accuses: &|_, _| false,
        })
    }

    fn seating<'a>(&'a self, facts: &'a Facts<'a>) -> Seating<'a> {
        Seating {
            me: id(LEADER),
            failover: &self.failover,
            facts,
            passed_over: &self.passed_over,
            departing: &self.departing,
        }
    }

    /// The next step.
    fn next(&self) -> Option<Seats> {
        let next = self.with_facts(|facts| self.seating(facts).next())?;
        assert_eq!(next.number, self.seats.number + 1);
        Some(next)
    }

    /// The seat of `from` passes to `to`, who has just got it.
    fn passing(mut self, from: u64, to: u64) -> Cluster {
        self.seats.voters.push(id(to));
        self.seats.voters.sort_unstable();
        self.seats.passing = Some(Passing { from: id(from), to: id(to) });
        self
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
fn the_seat_of_a_lost_voter_passes_to_a_successor() {
    let one = Cluster::new(&[1, 2, 3, 4, 6, 7], &[1, 2, 3, 4, 5], &[]).silent(&[5], LONG);
    assert_eq!(one.step(), (ids(&[1, 2, 3, 4, 5]), ids(&[6])));
    assert_eq!(one.settle(), [ids(&[1, 2, 3, 4, 5, 6]), ids(&[1, 2, 3, 4, 6])]);
    // Also where no more answer than have to: it is never removed before its successor is there.
    let three = Cluster::new(&[1, 2, 4, 5], &[1, 2, 3], &[4]).silent(&[3], LONG);
    let begun = three.next().expect("it begins to pass");
    assert_eq!(begun.passing, Some(Passing { from: id(3), to: id(4) }));
    assert_eq!(three.settle(), [ids(&[1, 2, 3, 4]), ids(&[1, 2, 4])]);
    // One after the other, the one that has been silent for longest first.
    let both = Cluster::new(&[1, 2, 3, 6, 7], &[1, 2, 3, 4, 5], &[]).silent(&[4], LONG);
    let both = both.silent(&[5], LONG * 2);
    let steps = [&[1, 2, 3, 4, 5, 6][..], &[1, 2, 3, 4, 6], &[1, 2, 3, 4, 6, 7], &[1, 2, 3, 6, 7]];
    assert_eq!(both.settle(), steps.map(ids));
}

#[test]
fn a_seat_passes_on_to_a_successor_that_answers_or_back_to_one_who_is_there_again() {
    let cluster = || Cluster::new(&[1, 2, 4], &[1, 2, 3], &[]).passing(3, 4);
    assert_eq!(cluster().silent(&[3], LONG).step().0, ids(&[1, 2, 4]));
    // Its successor is gone as well, and can be replaced in turn.
    assert_eq!(cluster().silent(&[3, 4], LONG).step().0, ids(&[1, 2, 4]));
    let moment = Failover::default().election;
    assert_eq!(cluster().silent(&[4], moment).step().0, ids(&[1, 2, 3]), "it answers, if as no member yet");
    let back = Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[]).passing(3, 4);
    assert_eq!(back.settle(), [ids(&[1, 2, 3])]);
    // What comes after has to have a majority of its own.
    assert_eq!(cluster().silent(&[2, 3], LONG).step().0, ids(&[1, 2, 4]));
    assert_eq!(cluster().silent(&[2, 3, 4], LONG).step(), nothing());
}

/// The seats of `2f + 1` voters, `f` of whom are lost for good: those that are left decide before, while a seat passes, and after,
/// whichever is lost with the first, be it the successor.
#[test]
fn as_many_can_be_lost_while_a_seat_passes_as_before() {
    for lost in [&[3][..], &[1], &[2], &[4]] {
        let cluster = Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[]).passing(3, 4);
        let stands = |seats: &Seats| seats.is_quorum(|voter| !ids(lost).contains(&voter));
        assert!(stands(&cluster.seats), "{lost:?}");
    }
    let seats = Cluster::new(&[1, 2, 3, 4], &[1, 2, 3], &[]).passing(3, 4).seats;
    assert!(seats.is_quorum(|voter| ids(&[1, 2]).contains(&voter)), "with both of whom the seat is lost");
    assert!(!seats.is_quorum(|voter| ids(&[1, 4]).contains(&voter)), "those before were not asked");
    assert!(!seats.is_quorum(|voter| ids(&[1, 3]).contains(&voter)), "those after were not asked");
    assert_eq!(seats.quorum(), 2);
    let place = |voter: NodeId| ids(&[1, 2, 3, 4]).iter().position(|one| *one == voter).unwrap();
    let reached = |values: [u64; 4]| seats.reached(|voter| values[place(voter)]);
    assert_eq!(
        [reached([9, 5, 1, 7]), reached([9, 5, 7, 1]), reached([9, 1, 7, 7])],
        [Some(5), Some(5), Some(7)]
    );
}

#[test]
fn a_step_waits_until_a_quorum_has_answered_what_was_sent_since() {
    let cluster = Cluster::new(&[1, 2, 3, 4, 6], &[1, 2, 3, 4, 5], &[6]).silent(&[5], LONG);
    let next = cluster.next().expect("one gets a seat");
    let confirmed = |fresh: &[u64]| {
        let fresh = ids(fresh);
        cluster.with_facts(|facts| {
            let facts = &Facts { answered: &|id| 7 + u64::from(fresh.contains(&id)), ..*facts };
            cluster.seating(facts).is_confirmed(&next, 7)
        })
    };
    assert!(confirmed(&[2, 3, 4, 6]));
    assert!(confirmed(&[2, 3, 6]));
    assert!(!confirmed(&[2, 6]), "with the newcomer, who may die at once, there are three of five");
    assert!(!confirmed(&[2, 3, 4]), "the newcomer has not answered");
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
    // Without 2, only the leader answers.
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
fn a_learner_that_lags_is_empty_suspect_or_silent_gets_no_seat_yet() {
    let cluster = || Cluster::new(&[1, 2, 4], &[1, 2, 3], &[4]).silent(&[3], LONG);
    assert_eq!(cluster().step().0, ids(&[1, 2, 3, 4]));
    assert_eq!(cluster().suspects(&[4]).step(), nothing());
    assert_eq!(cluster().silent(&[4], Failover::default().election).step(), nothing());
    let mut lagging = cluster();
    lagging.behind.insert(id(4), CAUGHT_UP + 1);
    assert_eq!(lagging.step(), nothing());
    let mut empty = cluster();
    empty.empty = ids(&[4]);
    assert_eq!(empty.step(), nothing(), "of a short log it lacks little, and that is everything");
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
