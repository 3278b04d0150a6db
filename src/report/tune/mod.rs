//! Tuning: settings that were tried, how quickly each notices what is broken, and what it takes for broken that is not.
//!
//! There are three stages, each a list of points that differ in a few time-outs: detection (heartbeat and suspicion), eviction,
//! election. At each of them being quick is weighed against false alarms and messages, and [`choose`] says which point to use.

mod choice;
mod figures;
mod files;

pub use choice::{Choice, Limits, choose};
pub use files::Tuning;

use super::rare::Rare;
use super::stats::{P99_SAMPLES_MIN, nearest_rank};
use crate::base::Span;
use crate::scenario::Config;

/// The time-outs that are tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time between two heartbeats.
    pub heartbeat: Span,
    /// Silence before an alarm, at least two heartbeats.
    pub suspect_after: Span,
    /// Suspicion before eviction, more than `suspect_after`.
    pub evict_after: Span,
    /// Silence of the coordinator before an election, at least two beats.
    pub election: Span,
    /// Time between two signs of life of the coordinator.
    pub beat: Span,
}

impl Timing {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Timing {
        let (membership, failover) = (&config.membership, &config.failover);
        Timing {
            heartbeat: membership.heartbeat,
            suspect_after: membership.suspect_after,
            evict_after: membership.evict_after,
            election: failover.election,
            beat: failover.beat,
        }
    }

    /// The same configuration with these.
    pub fn set(&self, config: &Config) -> Config {
        let mut config = config.clone();
        let (membership, failover) = (&mut config.membership, &mut config.failover);
        membership.heartbeat = self.heartbeat;
        membership.suspect_after = self.suspect_after;
        membership.evict_after = self.evict_after;
        failover.election = self.election;
        failover.beat = self.beat;
        config
    }

    /// As part of a scenario.
    pub fn toml(&self) -> String {
        let Timing { heartbeat, suspect_after, evict_after, election, beat } = self;
        format!(
            "[membership]\nheartbeat = \"{heartbeat}\"\nsuspect_after = \"{suspect_after}\"\nevict_after = \"{evict_after}\"\n\n\
             [failover]\nelection = \"{election}\"\nbeat = \"{beat}\"\n"
        )
    }

    /// As what `--set` takes, key by key.
    pub fn overrides(&self) -> [String; 5] {
        let Timing { heartbeat, suspect_after, evict_after, election, beat } = self;
        [
            format!("membership.heartbeat={heartbeat}"),
            format!("membership.suspect_after={suspect_after}"),
            format!("membership.evict_after={evict_after}"),
            format!("failover.election={election}"),
            format!("failover.beat={beat}"),
        ]
    }
}

/// What is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Heartbeat and `suspect_after`: from a crash to the first suspicion, against false suspicions in a quiet cluster.
    Detection,
    /// `evict_after`: from a crash to the eviction, against evictions of nodes that only paused.
    Eviction,
    /// Election and beat: from a coordinator's crash to its successor, against changes of a healthy coordinator.
    Election,
}

impl Stage {
    /// What tune.csv calls it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Detection => "detection",
            Stage::Eviction => "eviction",
            Stage::Election => "election",
        }
    }

    /// What a false alarm is, in the plural.
    pub fn alarms(self) -> &'static str {
        match self {
            Stage::Detection => "false suspicions",
            Stage::Eviction => "evictions of nodes that paused",
            Stage::Election => "needless changes of the coordinator",
        }
    }
}

/// What one trial at a point came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// False alarms.
    pub alarms: Rare,
    /// Messages of membership and log that a node sends in a second while nothing happens; none where that is not looked at.
    pub messages: Option<f64>,
    /// For each crash the seconds until it was dealt with; infinite when it was not within the time that it was given.
    pub delays: Vec<f64>,
    /// Attempts given to somebody else because a healthy worker was suspect, and all attempts; none where no work was done.
    pub wasted: Option<[u64; 2]>,
}

/// One setting with all that was seen of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What it is about.
    pub stage: Stage,
    /// The settings.
    pub timing: Timing,
    /// Trial by trial.
    pub samples: Vec<Sample>,
}

impl Point {
    /// All false alarms.
    pub fn alarms(&self) -> Rare {
        self.samples.iter().fold(Rare::default(), |sum, sample| sum + sample.alarms)
    }

    /// The mean number of messages that a node sends in a second.
    pub fn messages(&self) -> Option<f64> {
        let each: Vec<f64> = self.samples.iter().filter_map(|sample| sample.messages).collect();
        (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
    }

    /// All delays, in ascending order.
    pub fn delays(&self) -> Vec<f64> {
        let mut all: Vec<f64> =
            self.samples.iter().flat_map(|sample| sample.delays.iter().copied()).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    /// The delay that so many of a thousand crashes do not exceed; infinite when that many were not dealt with.
    pub fn delay(&self, per_mille: usize) -> Option<f64> {
        let delays = self.delays();
        (!delays.is_empty()).then(|| nearest_rank(&delays, per_mille))
    }

    /// The 99th percentile of the delays, or the longest of them where there are too few for that.
    pub fn slowest(&self) -> Option<f64> {
        let enough = self.delays().len() >= P99_SAMPLES_MIN;
        self.delay(if enough { 990 } else { 1000 })
    }

    /// Of a thousand attempts, those that a false suspicion wasted.
    pub fn wasted(&self) -> Option<f64> {
        let seen = self.samples.iter().filter_map(|sample| sample.wasted);
        let [wasted, all] = seen.fold([0, 0], |[wasted, all], one| [wasted + one[0], all + one[1]]);
        (all > 0).then(|| wasted as f64 * 1000.0 / all as f64)
    }
}
