//! The same cluster in other circumstances: left alone, struck over and over, standing still now and then; and what is seen of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::{Draw, Span};
use crate::history::{Dispatch, Observation, Record, Sink, What};
use crate::report::{Gather, Messages, Rare, Tables, Trial, TrialEnd};
use crate::scenario::{Fault, FaultKind, Plan, Target, Until};
use crate::sim::{self, Outcome, Traffic};

/// What a cluster needs to be itself again after a node came back: to have it in the view, and the grace of new observers.
const REST: Span = Span::millis(3_500);
/// When the first fault may come.
const FIRST: Span = Span::secs(3);
/// The length of a day in seconds.
const DAY_S: f64 = 86_400.0;

/// No work and no faults, for so many node-days, at least ten seconds.
pub(super) fn quiet(plan: &Plan, node_days: f64) -> Plan {
    let lasting = Span::from_secs((node_days * DAY_S / plan.nodes.len() as f64).round());
    Plan {
        jobs: Vec::new(),
        arrivals: Vec::new(),
        faults: Vec::new(),
        until: Until::At(lasting.max(Span::secs(10))),
        ..plan.clone()
    }
}

/// Its own work without faults, at most for so long.
pub(super) fn working(plan: &Plan, at_most: Span) -> Plan {
    let until = match plan.until {
        Until::At(end) => end.min(at_most),
        Until::Done => at_most,
    };
    Plan { faults: Vec::new(), until: Until::At(until), ..plan.clone() }
}

/// No work, and `target` crashes `times` times, one after the other, each time to come back after `down`.
pub(super) fn struck(plan: &Plan, target: &Target, times: u32, down: Span) -> Plan {
    let every = down + REST + plan.config.membership.suspect_after;
    let jitter = Span::millis(500);
    let fault = |number: u32| {
        let from = FIRST + (every + jitter) * u64::from(number);
        Fault {
            at: Draw::Uniform(from, from + jitter),
            kind: FaultKind::Crash { wipe: false },
            target: target.clone(),
            lasting: Some(Draw::Fixed(down)),
            repeat: None,
            trigger: None,
            after: Draw::ZERO,
        }
    };
    let until = Until::At(FIRST + (every + jitter) * u64::from(times));
    Plan { faults: (0..times).map(fault).collect(), until, ..quiet(plan, 0.0) }
}

/// No work, and every node stands still once in each minute, for any time up to `longest` with the same probability, and then
/// not again for five seconds. Lasts at least as many node-days.
pub(super) fn pausing(plan: &Plan, node_days: f64, longest: Span) -> Plan {
    let minute = Span::secs(60).max(longest * 2 + Span::secs(10));
    let minutes = (node_days * DAY_S / plan.nodes.len() as f64 / minute.as_secs()).ceil().max(1.0) as u64;
    // From the last moment at which a pause may begin, it and the rest after it just fit into the minute.
    let latest = minute - longest - Span::secs(5);
    let pause = |minute_number: u64, node: usize| Fault {
        at: Draw::Uniform(minute * minute_number, minute * minute_number + latest),
        kind: FaultKind::Pause,
        target: Target::Node(node as u32),
        lasting: Some(Draw::Uniform(Span::ZERO, longest)),
        repeat: None,
        trigger: None,
        after: Draw::ZERO,
    };
    let faults = (0..minutes).flat_map(|number| (0..plan.nodes.len()).map(move |node| pause(number, node)));
    Plan { faults: faults.collect(), until: Until::At(minute * minutes), ..quiet(plan, 0.0) }
}

/// What was seen of one trial.
pub(super) struct Seen {
    /// Its tables and alarms.
    pub(super) trial: Trial,
    /// How it went.
    pub(super) outcome: Outcome,
    /// The node-days that it lasted.
    pub(super) node_days: f64,
    /// Attempts that were dispatched because the worker that held the query was suspect, and all attempts.
    pub(super) given_away: [u64; 2],
}

/// Counts attempts.
#[derive(Default)]
struct Attempts([u64; 2]);

impl Sink for Attempts {
    fn record(&mut self, record: &Record) {
        if let What::Node(Observation::Dispatched { reason, .. }) = &record.what {
            self.0[0] += u64::from(*reason == Dispatch::Suspect);
            self.0[1] += 1;
        }
    }
}

/// Runs one trial, keeping neither history nor charts.
pub(super) fn observe(plan: &Plan, seed: u64, stop: &AtomicBool) -> Seen {
    let mut sinks = (Gather::stored(plan, 0, seed), Attempts::default());
    let outcome = sim::run(plan, seed, &mut sinks, &|| stop.load(Ordering::Relaxed));
    let (gather, Attempts(given_away)) = sinks;
    let Traffic { membership, log, work, client, store } = outcome.sent;
    let trial = gather.finish(TrialEnd {
        trace: outcome.trace,
        ended_at: outcome.ended_at,
        messages: Some(Messages { membership, log, work, client: client + store }),
        queries_lost: 0,
        queries_doubled: 0,
        unfinished: outcome.unfinished.clone(),
    });
    let node_days = plan.nodes.len() as f64 * outcome.ended_at.as_secs() / DAY_S;
    Seen { trial, outcome, node_days, given_away }
}

impl Seen {
    /// Suspicions of nodes that no fault had silenced.
    pub(super) fn false_suspicions(&self) -> Rare {
        self.rare(self.trial.false_alarms()[0])
    }

    /// How often a node was evicted, whatever it had done.
    pub(super) fn evictions(&self) -> Rare {
        self.rare(self.events("evicted"))
    }

    /// How often somebody else became coordinator after the first one.
    pub(super) fn changes(&self) -> Rare {
        self.rare(self.events("led").saturating_sub(1))
    }

    fn rare(&self, count: u64) -> Rare {
        Rare { count, node_days: self.node_days }
    }

    fn events(&self, event: &str) -> u64 {
        self.trial.tables.membership.iter().filter(|row| &*row.event == event).count() as u64
    }

    /// Messages of membership and log that a node sent in a second.
    pub(super) fn messages(&self) -> f64 {
        (self.outcome.sent.membership + self.outcome.sent.log) as f64 / (self.node_days * DAY_S)
    }

    /// For each crash of a node that did not lead: the seconds until a voter suspected it.
    pub(super) fn noticed(&self) -> Vec<f64> {
        let tables = &self.trial.tables;
        let hits = tables.recovery.iter().filter(|row| !row.node.is_empty());
        let others = hits.filter(|row| leader_before(tables, row.at_s.value()).as_ref() != Some(&row.node));
        others.map(|row| row.detect_s.value().unwrap_or(f64::INFINITY)).collect()
    }

    /// For each crash: the seconds until the node was evicted.
    pub(super) fn evicted(&self) -> Vec<f64> {
        let tables = &self.trial.tables;
        let hits = tables.recovery.iter().filter(|row| !row.node.is_empty());
        let until = |(node, at): (&Arc<str>, f64)| {
            let mut later =
                tables.membership.iter().filter(|row| &*row.event == "evicted" && row.node == *node);
            let found = later.find_map(|row| row.at_s.value().filter(|then| *then >= at));
            found.map_or(f64::INFINITY, |then| then - at)
        };
        hits.filter_map(|row| Some((&row.node, row.at_s.value()?))).map(until).collect()
    }

    /// For each crash of the coordinator: the seconds until somebody else led.
    pub(super) fn succeeded(&self) -> Vec<f64> {
        let hits = self.trial.tables.recovery.iter().filter(|row| !row.node.is_empty());
        hits.map(|row| row.promote_s.value().unwrap_or(f64::INFINITY)).collect()
    }
}

/// Who led last before that time.
fn leader_before(tables: &Tables, at: Option<f64>) -> Option<Arc<str>> {
    let mut led = tables.membership.iter().filter(|row| &*row.event == "led" && row.at_s.value() < at);
    led.next_back().map(|row| Arc::clone(&row.node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Plan {
        let plan = Plan::read(text, "rehearsal.toml");
        plan.unwrap_or_else(|error| panic!("{error}"))
    }

    const FIVE: &str = "nodes = 5\nuntil = \"10s\"\n[network]\nloss = \"1%\"\n";

    fn seen(plan: &Plan, seed: u64) -> Seen {
        observe(plan, seed, &AtomicBool::new(false))
    }

    #[test]
    fn a_quiet_cluster_lasts_as_long_as_it_should_and_raises_no_alarm() {
        let seen = seen(&quiet(&plan(FIVE), 0.01), 7);
        assert!((seen.node_days - 0.01).abs() < 0.001, "{}", seen.node_days);
        let alarms = [seen.false_suspicions(), seen.evictions(), seen.changes()];
        assert_eq!(alarms.map(|rare| rare.count), [0; 3]);
        // Four observers each, 20 heartbeats a second; and the beats of five voters.
        assert!((80.0..160.0).contains(&seen.messages()), "{}", seen.messages());
    }

    #[test]
    fn every_crash_is_told_once_and_all_are_noticed() {
        let plan = struck(&plan(FIVE), &Target::Random(1), 12, Span::secs(1));
        let seen = seen(&plan, 7);
        let noticed = seen.noticed();
        assert!((6..=12).contains(&noticed.len()), "{noticed:?}");
        assert!(noticed.iter().all(|delay| (0.15..0.6).contains(delay)), "{noticed:?}");
    }

    #[test]
    fn every_coordinator_that_crashes_has_a_successor() {
        let plan = struck(&plan(FIVE), &Target::Coordinator, 5, Span::secs(1));
        let succeeded = seen(&plan, 7).succeeded();
        assert_eq!(succeeded.len(), 5);
        assert!(succeeded.iter().all(|delay| (0.1..1.5).contains(delay)), "{succeeded:?}");
    }

    #[test]
    fn who_stays_down_is_evicted_and_who_only_pauses_is_not() {
        let down = struck(&plan(FIVE), &Target::Random(1), 3, Span::secs(4));
        let evicted = seen(&down, 7).evicted();
        assert_eq!(evicted.len(), 3);
        assert!(evicted.iter().all(|delay| (2.0..3.0).contains(delay)), "{evicted:?}");
        let pausing = pausing(&plan(FIVE), 0.02, Span::millis(1_500));
        let paused = seen(&pausing, 7);
        assert_eq!(paused.evictions().count, 0);
        assert!(pausing.faults.len() >= 25, "{}", pausing.faults.len());
        let long = seen(&self::pausing(&plan(FIVE), 0.02, Span::secs(8)), 7);
        assert!(long.evictions().count > 0, "pauses of up to eight seconds are longer than anybody waits");
    }

    #[test]
    fn pauses_of_one_node_keep_their_distance() {
        let faults = pausing(&plan(FIVE), 0.05, Span::millis(1_500)).faults;
        for node in 0..5 {
            let of: Vec<&Fault> = faults.iter().filter(|one| one.target == Target::Node(node)).collect();
            for pair in of.windows(2) {
                let (Draw::Uniform(_, latest), Draw::Uniform(next, _)) = (pair[0].at, pair[1].at) else {
                    panic!("pauses begin at any time")
                };
                assert!(latest + Span::millis(1_500) + Span::secs(5) <= next, "{latest} and {next}");
            }
        }
    }
}
