//! The classic design by itself: a coordinator and its standby, with every message in the test's hands.

use super::*;
use crate::base::{ClusterId, Rng};
use crate::node::io::Effect;
use crate::node::record::Snapshot;
use crate::node::view::{Member, ViewChange};

/// Two nodes or more; a message waits until the test delivers or drops it.
struct Bench {
    now: Time,
    nodes: Vec<Standby>,
    view: Arc<View>,
    /// From, to, what.
    mail: VecDeque<(usize, NodeId, StandbyMessage)>,
    /// Per node the places that counted, in order; a copy of another's state begins them anew.
    counted: Vec<Vec<u64>>,
    led: Vec<Vec<Epoch>>,
}

fn id(place: usize) -> NodeId {
    NodeId::new(place as u64 + 1)
}

impl Bench {
    /// A cluster of `n`, formed with the first as coordinator, which has begun.
    fn new(n: usize, config: &Failover) -> Bench {
        let member = |place: usize| Member {
            id: id(place),
            incarnation: Incarnation(1),
            birth: 0,
            name: format!("n{}", place + 1).into(),
            kind: "cpu".into(),
            worker: true,
            address: "".into(),
        };
        let view = Arc::new(View::new(crate::base::ViewId(1), 1, (0..n).map(member).collect()));
        let seats = Arc::new(Seats { number: 1, voters: vec![id(0)], learners: Vec::new(), passing: None });
        let node = |place| {
            let disk = Disk::formed(ClusterId(1), id(place), &view, &seats);
            Standby::restart(id(place), &disk, config)
        };
        let nodes = (0..n).map(node).collect();
        let (counted, led) = (vec![Vec::new(); n], vec![Vec::new(); n]);
        let mut bench = Bench { now: Time::ZERO, nodes, view, mail: VecDeque::new(), counted, led };
        bench.step(0, Standby::wake);
        bench
    }

    fn step<R>(
        &mut self,
        node: usize,
        step: impl FnOnce(&mut Standby, Time, &mut Outbox, &mut Events) -> R,
    ) -> R {
        let (mut out, mut events) = (Outbox::new(), Events::new());
        let result = step(&mut self.nodes[node], self.now, &mut out, &mut events);
        while let Some(event) = events.pop_front() {
            match event {
                LogEvent::Commit(entry) => self.counted[node].push(entry.position.index.0),
                LogEvent::Compact(last) => self.nodes[node].compact(self.now, last, [].into(), &mut out),
                LogEvent::Restore(snapshot) => self.counted[node] = (1..=snapshot.last.index.0).collect(),
                LogEvent::Led { epoch } => self.led[node].push(epoch),
                _ => {}
            }
        }
        for effect in out.drain() {
            if let Effect::Send { to, message, .. } = effect
                && let Body::Standby(message) = message.body
            {
                self.mail.push_back((node, to, message));
            }
        }
        result
    }

    /// Delivers what is on its way, and what follows from it.
    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.mail.pop_front() {
            let to = (0..self.nodes.len()).find(|&place| id(place) == to).expect("it is one of them");
            self.step(to, |node, now, out, events| node.receive(now, id(from), message, out, events));
        }
    }

    /// Lets `span` pass, with a wake-up of every node that wants one by then, and delivers nothing.
    fn pass(&mut self, span: Span) {
        self.now += span;
        for node in 0..self.nodes.len() {
            if self.nodes[node].deadline() <= self.now {
                self.step(node, Standby::wake);
            }
        }
    }

    fn choose(&mut self, node: usize, suspects: &[usize]) {
        let view = Arc::clone(&self.view);
        let suspect = |member| suspects.iter().any(|&place| id(place) == member);
        self.step(node, |standby, now, out, events| standby.choose(now, &view, suspect, out, events));
    }

    fn propose(&mut self, node: usize) -> Option<u64> {
        let command = Command::ChangeView(ViewChange::default());
        let position =
            self.step(node, |standby, now, out, events| standby.propose(now, command, out, events));
        position.map(|position| position.index.0)
    }

    /// Membership tells `node` that `dead` is dead, and the newest seats name `standby`.
    fn dead(&mut self, node: usize, dead: usize, standby: usize) {
        let seats = Seats { number: 2, voters: vec![id(0)], learners: vec![id(standby)], passing: None };
        self.step(node, |node, now, out, events| node.dead(now, id(dead), &seats, out, events));
    }

    fn last(&self, node: usize) -> u64 {
        self.nodes[node].copy.last().index.0
    }
}

#[test]
fn the_first_coordinator_leads_at_once_and_no_other_does() {
    let bench = Bench::new(3, &Failover::default());
    assert_eq!(bench.led, [vec![Epoch(2)], vec![], vec![]]);
    assert_eq!(bench.counted[0], [1, 2, 3]);
    assert_eq!(bench.nodes[1].deadline(), Time::NEVER);
}

#[test]
fn an_operation_counts_once_the_standby_has_it() {
    let mut bench = Bench::new(3, &Failover::default());
    bench.choose(0, &[]);
    bench.deliver();
    let index = bench.propose(0).unwrap();
    assert!(!bench.counted[0].contains(&index), "the standby has not said that it has it");
    bench.mail.clear();
    bench.pass(Failover::default().beat);
    bench.deliver();
    assert!(bench.counted[0].contains(&index), "what was lost is sent again");
    assert_eq!(bench.counted[0], bench.counted[1]);
    assert_eq!(bench.nodes[0].deadline(), Time::NEVER, "nothing is left to send");

    let index = bench.propose(0).unwrap();
    bench.dead(0, 1, 1);
    assert!(bench.counted[0].contains(&index), "a dead standby is not waited for");
}

#[test]
fn the_standby_takes_over_with_all_that_counted_and_nobody_else_does() {
    let mut bench = Bench::new(3, &Failover::default());
    bench.choose(0, &[]);
    bench.deliver();
    for _ in 0..5 {
        bench.propose(0).unwrap();
        bench.deliver();
    }
    let counted = bench.counted[0].clone();
    bench.dead(2, 0, 1);
    assert_eq!(bench.led[2], [], "it has no copy");
    bench.dead(1, 0, 2);
    assert_eq!(bench.led[1], [], "another one is the standby now");
    bench.dead(1, 0, 1);
    assert_eq!(bench.led[1], [Epoch(3)]);
    assert!(bench.counted[1].starts_with(&counted), "{:?}", bench.counted);
    let seats = bench.nodes[1].seats();
    assert_eq!((&seats.voters, &seats.learners), (&vec![id(1)], &vec![]));

    bench.choose(1, &[0]);
    bench.deliver();
    assert_eq!(bench.counted[2], bench.counted[1], "it has a standby of its own");
}

#[test]
fn a_coordinator_that_was_only_cut_off_goes_on_and_gives_up_when_it_hears_of_the_other() {
    let mut bench = Bench::new(3, &Failover::default());
    bench.choose(0, &[]);
    bench.deliver();
    bench.dead(1, 0, 1);
    bench.dead(0, 1, 1);
    bench.propose(0).unwrap();
    bench.propose(1).unwrap();
    let both = bench.counted[0].last() > Some(&3) && bench.counted[1].last() > Some(&3);
    assert!(
        both && bench.nodes[0].leads() && bench.nodes[1].leads(),
        "two count at once: {:?}",
        bench.counted
    );
    bench.step(0, |standby, _, out, events| standby.hear(Epoch(3), Some(id(1)), out, events));
    assert_eq!((bench.nodes[0].leads(), bench.nodes[0].leader()), (false, Some(id(1))));
    assert_eq!(bench.propose(0), None);
}

#[test]
fn between_two_backups_the_standby_knows_nothing() {
    let config = Failover { backup_every: Span::secs(10), ..Failover::default() };
    let mut bench = Bench::new(3, &config);
    bench.choose(0, &[]);
    bench.deliver();
    let known = bench.last(1);
    for _ in 0..5 {
        bench.propose(0).unwrap();
        bench.deliver();
    }
    assert_eq!(bench.counted[0].last(), Some(&bench.last(0)), "what is proposed counts at once");
    assert_eq!(bench.last(1), known);
    bench.pass(Span::millis(9_999));
    bench.deliver();
    assert_eq!(bench.last(1), known);
    bench.pass(Span::millis(1));
    bench.deliver();
    assert_eq!(bench.last(1), bench.last(0));
}

#[test]
fn a_standby_that_starts_again_is_given_everything_once_more() {
    let mut bench = Bench::new(2, &Failover { snapshot_every: 4, ..Failover::default() });
    bench.choose(0, &[]);
    bench.deliver();
    bench.nodes[1] = Standby::restart(id(1), &Disk::default(), &Failover::default());
    bench.counted[1].clear();
    let index = bench.propose(0).unwrap();
    bench.deliver();
    assert!(bench.counted[0].contains(&index), "one that has forgotten everything is not waited for");
    bench.pass(Failover::default().beat);
    bench.deliver();
    assert_eq!((bench.last(1), &bench.counted[1]), (bench.last(0), &bench.counted[0]));
}

#[test]
fn the_standby_is_chosen_as_the_rule_says() {
    let chosen = |rule: StandbyRule, suspects: &[usize]| {
        let mut bench = Bench::new(12, &Failover { standby: rule, ..Failover::default() });
        bench.choose(0, suspects);
        bench.nodes[0].seats().learners.clone()
    };
    assert_eq!(chosen(StandbyRule::Earliest, &[]), [id(1)]);
    assert_eq!(chosen(StandbyRule::Earliest, &[1, 2]), [id(3)], "n4 comes before n10");
    assert_eq!(chosen(StandbyRule::Named("n7".into()), &[]), [id(6)]);
    assert_eq!(chosen(StandbyRule::Named("n7".into()), &[6]), [], "no other will do");
    let next = chosen(StandbyRule::Successor, &[])[0];
    let bench = Bench::new(12, &Failover::default());
    let place = bench.view.position(id(0)).unwrap();
    assert_eq!(next, bench.view.members()[bench.view.observers(place)[0] as usize].id);
    let skipped = (0..12).find(|&place| id(place) == next).unwrap();
    assert!(!chosen(StandbyRule::Successor, &[skipped]).contains(&next), "the one after it");
}

/// Whatever arrives, in whatever order, twice or never: copies of one reign agree, and nobody panics.
#[test]
fn copies_agree_whatever_the_network_does() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let every = if rng.chance(0.5) { Span::ZERO } else { Span::millis(30) };
        let mut bench = Bench::new(3, &Failover { backup_every: every, ..Failover::default() });
        for _ in 0..200 {
            match rng.below(6) {
                0 => drop(bench.propose(rng.below(3) as usize)),
                1 => bench.choose(rng.below(3) as usize, &[]),
                2 => bench.pass(Span::millis(rng.below(60))),
                3 if rng.chance(0.05) => {
                    let (node, standby) = (rng.below(3) as usize, rng.below(3) as usize);
                    bench.dead(node, (node + 1) % 3, standby);
                }
                3 => bench.mail.truncate(rng.below(4) as usize),
                4 if !bench.mail.is_empty() => {
                    let place = rng.below(bench.mail.len() as u64) as usize;
                    let twice = bench.mail[place].clone();
                    bench.mail.push_back(twice);
                }
                _ if rng.chance(0.5) => bench.deliver(),
                _ => {
                    let Some(end) = bench.mail.len().checked_sub(1) else { continue };
                    bench.mail.swap(0, end.min(2));
                }
            }
        }
        bench.deliver();
        let leaders: Vec<usize> = (0..3).filter(|&node| bench.nodes[node].leads()).collect();
        for &leader in &leaders {
            let own = &bench.nodes[leader];
            for follower in bench.nodes.iter().filter(|node| !node.leads() && node.copy_of == Some(own.epoch))
            {
                let last = follower.copy.last();
                if leaders.iter().filter(|&&other| bench.nodes[other].epoch == own.epoch).count() == 1 {
                    let same = own.copy.position(last.index).is_none_or(|position| position == last);
                    assert!(same, "seed {seed}: {last:?}");
                }
            }
        }
    }
}

#[test]
fn a_copy_that_stands_for_a_snapshot_goes_on_where_it_ends() {
    let mut copy = Copy::default();
    for index in 1..=10 {
        let position = Position { epoch: Epoch(1), index: Index(index) };
        copy.append(Entry { position, at: Time(index), payload: Arc::new(Payload::Noop) });
    }
    copy.compact(Index(6), [1, 2].into());
    let whole = copy.whole().expect("there is one now");
    let expected = Snapshot {
        last: Position { epoch: Epoch(1), index: Index(6) },
        at: Time(6),
        seats: Arc::default(),
        state: [1, 2].into(),
    };
    assert_eq!(*whole.snapshot, expected);
    let places = |after: u64| copy.after(Index(after)).iter().map(|e| e.position.index.0).collect::<Vec<_>>();
    assert_eq!((places(6), places(9), places(10)), (vec![7, 8, 9, 10], vec![10], vec![]));
    assert_eq!((copy.position(Index(5)), copy.last().index, copy.last_at()), (None, Index(10), Time(10)));
}
