//! The settings of drawn scenarios, what they are when nothing is said among them.

use super::draw::pick;
use super::profile::Profile;
use crate::base::{Draw, Rng, Span};
use crate::scenario::{
    Config, Detector, DiskPlan, DispatchConfig, DispatchMode, Failover, MembershipConfig, NetworkPlan,
    PolicyOptions, Scheduler, policies,
};

/// From this loss on, settings have to be patient.
const LOSSY: f64 = 0.05;

/// How often the times of failure detection and of elections are those that nobody has changed.
const UNCHANGED: f64 = 0.2;

/// The settings of a cluster of so many nodes.
pub(super) fn config(rng: &mut Rng, nodes: usize, profile: Profile) -> Config {
    let usual = Config::default();
    let one = if profile == Profile::Stories { Some(3) } else { Some(1) };
    let voters: Vec<Option<u8>> = [None, one, Some(3), Some(5), Some(7)]
        .into_iter()
        .filter(|v| v.is_none_or(|v| usize::from(v) <= nodes))
        .collect();
    let heartbeat = pick(rng, &[10, 20, 50, 50, 100]);
    let suspect_after = heartbeat * pick(rng, &[3, 5, 5, 8]);
    let beat = pick(rng, &[20, 50, 50, 75]);
    let policies = policies(&PolicyOptions::default());
    let mut config = Config {
        membership: MembershipConfig {
            kind: Detector::Observers,
            heartbeat: Span::millis(heartbeat),
            suspect_after: Span::millis(suspect_after),
            evict_after: Span::millis(suspect_after + pick(rng, &[100, 500, 2_000, 2_000])),
            observers: pick(rng, &[1, 2, 3, 4, 5, 5, 5, 7]),
        },
        failover: Failover {
            election: Span::millis(beat * pick(rng, &[3, 5, 5, 8])),
            beat: Span::millis(beat),
            snapshot_every: pick(rng, &[4, 16, 64, 512, 4_096]),
            voters: pick(rng, &voters),
            ..usual.failover
        },
        dispatch: DispatchConfig {
            window: pick(rng, &[None, None, Some(1), Some(2), Some(8), Some(64)]),
            retries_max: pick(rng, &[0, 1, 3, 3, 10]),
            hedge: rng.chance(0.75),
            repeat: Span::millis(pick(rng, &[20, 100, 100, 500])),
            survey: Span::millis(pick(rng, &[10, 50, 50, 300])),
            ..usual.dispatch
        },
        scheduler: Scheduler {
            policy: pick(rng, &policies),
            rate_window: Span::secs(pick(rng, &[1, 10, 10])),
            ..usual.scheduler
        },
        store: usual.store,
        planted: usual.planted,
    };
    if rng.chance(UNCHANGED) {
        let usual = Config::default();
        config.membership = usual.membership;
        (config.failover.election, config.failover.beat) = (usual.failover.election, usual.failover.beat);
        (config.dispatch.repeat, config.dispatch.survey) = (usual.dispatch.repeat, usual.dispatch.survey);
    }
    config
}

/// What policies are told.
pub(super) fn options(rng: &mut Rng) -> PolicyOptions {
    PolicyOptions {
        at_least_one: rng.chance(0.8),
        cap: pick(rng, &[0.0, 0.0, 0.05, 0.5]),
        hysteresis: pick(rng, &[0.2, 0.2, 0.0, 1.0]),
        slack: pick(rng, &[0.1, 0.1, 0.0, 1.0]),
    }
}

/// Makes settings bear what the network loses.
pub(super) fn patient(network: &NetworkPlan, config: &mut Config) {
    if network.loss < LOSSY {
        return;
    }
    // Three heartbeats of silence are nothing there: whoever chooses that evicts healthy nodes all the time.
    let membership = &mut config.membership;
    membership.suspect_after = membership.suspect_after.max(membership.heartbeat * 10);
    membership.evict_after = membership.suspect_after + Span::secs(2);
    // Likewise three beats of a leader, where every other one of them may be lost on its way or on the way back.
    config.failover.election = config.failover.election.max(config.failover.beat * 10);
}

/// Now and then the classic designs that lose nothing.
pub(super) fn classic(rng: &mut Rng, config: &mut Config) {
    if rng.chance(0.15) {
        config.dispatch.mode = DispatchMode::Pull;
        config.dispatch.backoff = Span::millis(pick(rng, &[20, 50, 500]));
    }
    if rng.chance(0.15) {
        config.membership.kind = Detector::Ring;
    }
}

/// How the network is when no fault is in force.
pub(super) fn network(rng: &mut Rng) -> NetworkPlan {
    NetworkPlan {
        latency: pick(
            rng,
            &[
                Draw::Fixed(Span::micros(10)),
                Draw::LogNormal(Span::micros(150), 0.3),
                Draw::Uniform(Span::micros(100), Span::millis(5)),
                Draw::LogNormal(Span::millis(3), 1.0),
            ],
        ),
        loss: pick(rng, &[0.0, 0.0, 0.0, 0.01, 0.05, 0.2]),
        duplicate: pick(rng, &[0.0, 0.0, 0.0, 0.05]),
        reorder: pick(rng, &[0.0, 0.0, 0.0, 0.05]),
        bandwidth: pick(rng, &[None, None, None, Some(10_000_000)]),
    }
}

/// How disks are when no fault is in force.
pub(super) fn disk(rng: &mut Rng) -> DiskPlan {
    let sync = [
        Draw::ZERO,
        Draw::Fixed(Span::micros(100)),
        Draw::LogNormal(Span::millis(4), 0.3),
        Draw::LogNormal(Span::millis(4), 0.3),
        Draw::Uniform(Span::millis(1), Span::millis(100)),
    ];
    DiskPlan { sync: pick(rng, &sync) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was drawn from two hundred seeds.
    fn drawn<T>(draw: impl Fn(&mut Rng) -> T) -> Vec<T> {
        (0..200).map(|seed| draw(&mut Rng::new(seed))).collect()
    }

    #[test]
    fn what_nobody_has_changed_is_drawn_as_well_as_what_somebody_has() {
        let usual = Config::default();
        let configs = drawn(|rng| config(rng, 5, Profile::Swarm));
        let as_usual = configs.iter().filter(|config| {
            config.membership == usual.membership
                && (config.failover.beat, config.failover.election)
                    == (usual.failover.beat, usual.failover.election)
        });
        assert!((20..70).contains(&as_usual.count()));
        let repeats: Vec<Span> = configs.iter().map(|config| config.dispatch.repeat).collect();
        let surveys: Vec<Span> = configs.iter().map(|config| config.dispatch.survey).collect();
        for (all, usual) in [(repeats, usual.dispatch.repeat), (surveys, usual.dispatch.survey)] {
            assert!(all.contains(&usual) && all.iter().any(|one| *one < usual), "{all:?}");
            assert!(all.iter().any(|one| *one > usual), "{all:?}");
        }
        let options = drawn(options);
        assert!(options.contains(&PolicyOptions::default()));
        assert!(options.iter().any(|options| !options.at_least_one && options.cap > 0.0));
    }
}
