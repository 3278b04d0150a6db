//! `idunno tune`: which time-outs a cluster should have, found by trying many of them in its own circumstances.

mod own;
mod show;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;
use rayon::ThreadPool;

use self::own::Own;
use super::rehearsal::{observe, pausing, quiet, struck, working};
use super::text::{count, number, some, wrapped};
use super::values::seed;
use super::{Exit, Format, scenarios, screen, sim, trials};
use crate::base::Span;
use crate::report::tune::{Choice, Limits, Point, Sample, Stage, Timing, Tuning, choose};
use crate::report::{Rare, ReportError, Width};
use crate::scenario::{FailoverMode, Plan, Target, span, to_toml};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno tune coord_fail
      Time-outs for ten machines on a network that loses one message in a hundred.
  idunno tune my.toml --set network.loss=20% --false-suspicions-per-day 0.1
      What a bad network asks for, known to a tenth of a false alarm per node and day: with 240 trials of each setting.
  idunno tune my.toml --set 'network.latency=\"lognormal(80ms,0.3)\"' --pause 4s --quiet
      Machines that are far apart and stand still for seconds; the settings go into a file alone.

How long it takes: with ten machines and 24 trials of each setting, about nine minutes of one core, shared by
all of them; with 240 trials up to ten times as long, and longer with more machines. On a terminal a bar shows
which of the four steps is under way, and how long that one will still take.

Exit codes: 0 fine; 1 failed, or no settings keep all limits: those that come nearest are written, and
marked; 2 usage or a bad file, nothing changed; 3 a safety invariant broke; 4 a liveness bound broke;
130 interrupted, nothing changed.";

/// What `idunno tune` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Tune {
    /// A scenario file, or the name of a shipped scenario; its network, disks and machines count.
    scenario: String,
    /// How many false alarms a healthy node may raise in a day, with 95 % confidence.
    ///
    /// A false alarm is a suspicion, an eviction after a mere pause, or a needless change of the coordinator.
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true, value_parser = above_zero)]
    false_suspicions_per_day: f64,
    /// How many messages a node may send in a second, on average; those of the work are not counted.
    #[arg(long, value_name = "N", default_value_t = 150.0, allow_negative_numbers = true, value_parser = above_zero)]
    messages: f64,
    /// The longest that a healthy machine stands still; who pauses no longer than that shall not be evicted.
    #[arg(long, value_name = "TIME", default_value = "1500ms", value_parser = pause)]
    pause: Span,
    /// How many trials each setting has, an eighth of a node-day and up to 32 crashes each [default: as many as
    /// --false-suspicions-per-day needs, from 24 to 240].
    ///
    /// Three divided by the node-days is the least that can be said of false alarms that were not seen.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=i64::from(TRIALS_ASKED_MAX)))]
    trials: Option<u32>,
    /// The seed of the first trial; trial i has this seed plus i [default: the scenario's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,
    /// Where results go: into DIR/<scenario>/tune, in the place of earlier ones.
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Set a key of the scenario, such as network.loss=5%; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How many trials to run at the same time [default: one per core]. Results do not depend on it.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How wide the charts are on paper: 85mm is a column of a paper, 180mm a page; cm and in do as well.
    #[arg(long, value_name = "WIDTH", default_value = "180mm")]
    width: Width,
    /// Show only what went wrong; results are written all the same.
    #[arg(long, short)]
    quiet: bool,
    /// How to show the advice; csv is the whole of tune.csv.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

impl Tune {
    /// How many trials each setting has.
    fn trials(&self) -> u32 {
        self.trials.unwrap_or_else(|| self.trials_needed().clamp(TRIALS_MIN, TRIALS_MAX))
    }

    /// In how many trials there has to be no false alarm, so that the limit is known to be kept.
    fn trials_needed(&self) -> u32 {
        (in_one_trial() / self.false_suspicions_per_day).ceil() as u32
    }
}

/// How many false alarms a node and day may have of which one trial without any knows nothing.
fn in_one_trial() -> f64 {
    Rare { count: 0, node_days: NODE_DAYS }.at_most()
}

/// A number above 0.
fn above_zero(text: &str) -> std::result::Result<f64, String> {
    let number =
        text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0 && *number <= 1e9);
    number.ok_or_else(|| "wanted a number above 0, to a billion, such as 0.5".to_owned())
}

fn pause(text: &str) -> std::result::Result<Span, String> {
    let fits = |span: &Span| (Span::millis(1)..=Span::secs(600)).contains(span);
    span(text).filter(fits).ok_or_else(|| "wanted a time such as 1500ms or 4s, at most 600s".to_owned())
}

/// The heartbeats that are tried.
const HEARTBEATS_MS: [u64; 4] = [25, 50, 100, 200];
/// How many heartbeats are to be missed before an alarm.
const MISSED: [u64; 5] = [2, 3, 4, 6, 10];
/// Time from suspicion to eviction, as parts of the longest pause.
const EVICTIONS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// The shortest silences before an election.
const ELECTIONS_MS: [u64; 7] = [100, 150, 250, 400, 700, 1_200, 2_400];
/// The coordinator's signs of life that go into such a silence.
const BEATS: u64 = 5;
/// The node-days that a trial lasts.
const NODE_DAYS: f64 = 0.125;
/// The most crashes of a trial: with as many in 24 trials, 99th percentiles can be told.
const CRASHES_MAX: usize = 32;
/// Clusters larger than this have fewer crashes, down to four.
const CRASHES_NODES: usize = 20;
/// The fewest and the most trials of a setting, unless it is said how many.
const TRIALS_MIN: u32 = 24;
const TRIALS_MAX: u32 = 240;
/// The most that one can ask for.
const TRIALS_ASKED_MAX: u32 = 100_000;
/// How many steps there are: the stages, and the scenario itself.
const STEPS: usize = 4;
/// Trials after which a setting that breaks a limit beyond doubt is left alone.
const FIRST_TRIALS: u32 = 2;
/// Trials in which a setting is tried on the scenario's own work, and for how long each.
const OWN_TRIALS: u32 = 2;
const OWN_FOR: Span = Span::secs(60);

/// Why no advice came of it.
enum Halt {
    Interrupted,
    Failed(ReportError),
}

/// One stage, with what shall be used of it.
struct Staged {
    points: Vec<Point>,
    choice: Choice,
}

/// Finds the settings for the scenario; see [`Tune`].
pub(super) fn run(tune: &Tune, stop: &AtomicBool) -> Exit {
    let began = Instant::now();
    let (plan, pool, results) = match prepare(tune) {
        Ok(prepared) => prepared,
        Err(error) => {
            screen::error(&error);
            return Exit::Usage;
        }
    };
    let needed = tune.trials_needed();
    if tune.trials() < needed && !tune.quiet {
        screen::complain(&format!(
            "{} of each setting cannot tell whether there are at most {} false alarms per node and day; --trials {needed} would do.",
            some(u64::from(tune.trials()), "trial", "trials"),
            number(tune.false_suspicions_per_day)
        ));
    }
    let exit = match advise(tune, &plan, results, &pool, stop) {
        Ok(exit) => exit,
        Err(Halt::Interrupted) => {
            screen::interrupted(&plan, &tune.out, "tune", &[]);
            return Exit::Interrupted;
        }
        Err(Halt::Failed(error)) => {
            let what = format!("{} was not tuned", plan.name);
            screen::error(&anyhow::Error::new(error).context(what));
            return Exit::Failed;
        }
    };
    if !tune.quiet {
        screen::took(began.elapsed());
    }
    exit
}

/// Everything that can go wrong before anything runs.
fn prepare(tune: &Tune) -> Result<(Plan, ThreadPool, Tuning)> {
    let mut plan = scenarios::plan(&tune.scenario, &tune.set)?;
    plan.seed = tune.seed.unwrap_or(plan.seed);
    if plan.config.failover.mode == FailoverMode::Standby {
        bail!(
            "{} has failover.mode = \"standby\", where nobody is elected; tune needs failover.mode = \"log\"",
            tune.scenario
        );
    }
    let least = in_one_trial() / f64::from(TRIALS_ASKED_MAX);
    if tune.false_suspicions_per_day < least {
        bail!(
            "--false-suspicions-per-day {}: it would take more than {} trials of each setting to see so few; wanted at least {:.5}",
            tune.false_suspicions_per_day,
            count(TRIALS_ASKED_MAX.into()),
            (least * 1e5).ceil() / 1e5
        );
    }
    let voters = plan.config.failover.voters_for(plan.nodes.len());
    if voters < 3 {
        bail!(
            "{} has {} and {}: nobody could take over, so that there is nothing to tune; wanted at least 3 of both",
            tune.scenario,
            some(plan.nodes.len() as u64, "node", "nodes"),
            some(voters as u64, "voter", "voters")
        );
    }
    let threads = tune.threads.map_or(0, usize::from);
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start threads")?;
    let results = Tuning::create(&tune.out, &plan.name, tune.width);
    Ok((plan, pool, results.context("there is no place for the results")?))
}

/// All stages, each with what the one before it advised.
fn advise(
    tune: &Tune,
    plan: &Plan,
    results: Tuning,
    pool: &ThreadPool,
    stop: &AtomicBool,
) -> Result<Exit, Halt> {
    let limits = Limits { alarms: tune.false_suspicions_per_day, messages: tune.messages };
    let bench = Bench { tune, plan, limits: &limits, pool, stop };
    let now = Timing::of(&plan.config);
    let mut advised = now;
    let mut staged = Vec::new();
    for (step, stage) in (1..).zip([Stage::Detection, Stage::Eviction, Stage::Election]) {
        let tried = tried(stage, &advised, &now, tune.pause);
        let settings = some(tried.len() as u64, "setting", "settings");
        let bar = format!("step {step} of {STEPS}, {} with {settings}", stage.name());
        let bar = sim::bar(tune.quiet, &bar, tried.len() as u64 * u64::from(tune.trials()));
        let points = measured(&bench, stage, &tried, &bar);
        bar.finish_and_clear();
        let points = points?;
        let choice = choose(&points, &limits);
        advised = points[choice.point].timing;
        staged.push(Staged { points, choice });
    }
    // Evictions were tried with the suspicion that was advised, and elections with both.
    let plans = [plan.clone(), with(plan, &advised)];
    let own = Own::run(&plans, tune.trials(), tune.quiet, pool, stop).ok_or(Halt::Interrupted)?;
    let kept: Vec<(Vec<Point>, usize)> =
        staged.iter().map(|one| (one.points.clone(), one.choice.point)).collect();
    let broken = staged.iter().filter(|one| !one.keeps_limits());
    let broken: Vec<String> = broken.map(|one| show::why(one, &limits, tune.trials())).collect();
    let settings = show::settings(&plan.name, &advised, &broken);
    let folder = results.finish(&kept, &limits, &settings, &to_toml(&plans[1])).map_err(Halt::Failed)?;
    let advice =
        show::Advice { tune, plan, limits, now, advised, staged: &staged, own: &own, folder: &folder };
    let exit = own.exit(&tune.scenario, &tune.set).graver(advice.show());
    if broken.is_empty() {
        return Ok(exit);
    }
    screen::complain(&format!(
        "{}: no settings keep all limits; those that come nearest are in {}.\n{}",
        plan.name,
        folder.display(),
        broken.iter().map(|why| wrapped(why, "  ")).collect::<Vec<_>>().join("\n")
    ));
    Ok(exit.graver(Exit::Failed))
}

/// The same scenario with these time-outs.
fn with(plan: &Plan, timing: &Timing) -> Plan {
    Plan { config: Arc::new(timing.set(&plan.config)), ..plan.clone() }
}

/// The settings of a stage; what earlier stages advised stays, and what the scenario has is always among them.
fn tried(stage: Stage, advised: &Timing, now: &Timing, longest: Span) -> Vec<Timing> {
    let mut all = match stage {
        Stage::Detection => {
            let of = |heartbeat: Span, suspect_after: Span| {
                // Nobody shall be evicted meanwhile.
                let evict_after = now.evict_after.max(suspect_after * 4);
                Timing { heartbeat, suspect_after, evict_after, ..*now }
            };
            let grid =
                HEARTBEATS_MS.iter().flat_map(|beat| MISSED.iter().map(move |missed| (*beat, *missed)));
            let mut all: Vec<Timing> =
                grid.map(|(beat, missed)| of(Span::millis(beat), Span::millis(beat * missed))).collect();
            all.push(of(now.heartbeat, now.suspect_after));
            all
        }
        Stage::Eviction => {
            let spans = EVICTIONS.iter().map(|part| longest.scaled(*part)).chain([now.evict_after]);
            let longer = spans.filter(|evict_after| *evict_after > advised.suspect_after);
            let mut all: Vec<Timing> = longer.map(|evict_after| Timing { evict_after, ..*advised }).collect();
            // Where every one of them is too short, the shortest that there can be.
            if all.is_empty() {
                all.push(Timing { evict_after: advised.suspect_after * 2, ..*advised });
            }
            all
        }
        Stage::Election => {
            let of = |silence: &u64| {
                let election = Span::millis(*silence);
                Timing { election, beat: election / BEATS, ..*advised }
            };
            let mut all: Vec<Timing> = ELECTIONS_MS.iter().map(of).collect();
            all.push(Timing { election: now.election, beat: now.beat, ..*advised });
            all
        }
    };
    let order = |timing: &Timing| {
        (timing.heartbeat, timing.suspect_after, timing.evict_after, timing.election, timing.beat)
    };
    all.sort_by_key(order);
    all.dedup();
    all
}

/// What is tried, and until when.
struct Bench<'a> {
    tune: &'a Tune,
    plan: &'a Plan,
    limits: &'a Limits,
    pool: &'a ThreadPool,
    stop: &'a AtomicBool,
}

/// Runs the trials of a stage: the first few at each setting, and the others where these leave a doubt.
fn measured(
    bench: &Bench<'_>,
    stage: Stage,
    tried: &[Timing],
    bar: &ProgressBar,
) -> Result<Vec<Point>, Halt> {
    let Bench { tune, plan, limits, pool, stop } = *bench;
    let plans: Vec<Plan> = tried.iter().map(|timing| with(plan, timing)).collect();
    let mut points: Vec<Point> =
        tried.iter().map(|timing| Point { stage, timing: *timing, samples: Vec::new() }).collect();
    let first = tune.trials().min(FIRST_TRIALS);
    for trials in [0..first, first..tune.trials()] {
        // What breaks a limit beyond doubt need not be known any better.
        let open: Vec<usize> = (0..points.len()).filter(|&at| !limits.surely_broken(&points[at])).collect();
        let count = trials.len() as u32;
        bar.inc((points.len() - open.len()) as u64 * u64::from(count));
        let place = |number: u32| (open[(number / count) as usize], trials.start + number % count);
        let make = |number: u32| {
            let (point, trial) = place(number);
            sample(stage, &plans[point], trial, tune.pause, stop)
        };
        let take = |number: u32, sample: Sample| {
            if stop.load(Ordering::Relaxed) {
                return Err(Halt::Interrupted);
            }
            points[place(number).0].samples.push(sample);
            bar.inc(1);
            Ok(())
        };
        trials::in_order(pool, open.len() as u32 * count, make, take)?;
    }
    Ok(points)
}

/// One trial of one setting: what it takes for broken while all is well, and how it takes what is broken.
fn sample(stage: Stage, plan: &Plan, trial: u32, longest: Span, stop: &AtomicBool) -> Sample {
    let seed = plan.seed.wrapping_add(u64::from(trial));
    let Timing { suspect_after, evict_after, election, .. } = Timing::of(&plan.config);
    let crashes = (CRASHES_MAX * CRASHES_NODES / plan.nodes.len()).clamp(4, CRASHES_MAX) as u32;
    let see = |plan: &Plan| observe(plan, seed, stop);
    match stage {
        Stage::Detection => {
            let down = suspect_after * 2 + Span::millis(500);
            let quiet = see(&quiet(plan, NODE_DAYS));
            let struck = see(&struck(plan, &Target::Random(1), crashes, down));
            let works = trial < OWN_TRIALS && !(plan.jobs.is_empty() && plan.arrivals.is_empty());
            let wasted = works.then(|| see(&working(plan, OWN_FOR)).given_away);
            let messages = Some(quiet.messages());
            Sample { alarms: quiet.false_suspicions(), messages, delays: struck.noticed(), wasted }
        }
        Stage::Eviction => {
            let down = suspect_after + evict_after + Span::secs(1);
            let paused = see(&pausing(plan, NODE_DAYS, longest));
            let struck = see(&struck(plan, &Target::Random(1), crashes.div_ceil(8), down));
            Sample { alarms: paused.evictions(), messages: None, delays: struck.evicted(), wasted: None }
        }
        Stage::Election => {
            let down = election * 4 + Span::secs(1);
            let quiet = see(&quiet(plan, NODE_DAYS));
            let struck = see(&struck(plan, &Target::Coordinator, crashes, down));
            let messages = Some(quiet.messages());
            Sample { alarms: quiet.changes(), messages, delays: struck.succeeded(), wasted: None }
        }
    }
}

impl Staged {
    /// The point to use.
    fn used(&self) -> &Point {
        &self.points[self.choice.point]
    }

    /// Whether the point to use keeps both limits.
    fn keeps_limits(&self) -> bool {
        self.choice.alarms_kept && self.choice.messages_kept
    }

    /// The point that the scenario has now.
    fn current(&self, now: &Timing) -> Option<&Point> {
        self.points.iter().find(|point| match point.stage {
            Stage::Detection => {
                (point.timing.heartbeat, point.timing.suspect_after) == (now.heartbeat, now.suspect_after)
            }
            Stage::Eviction => point.timing.evict_after == now.evict_after,
            Stage::Election => (point.timing.election, point.timing.beat) == (now.election, now.beat),
        })
    }

    /// The rate of false alarms that as many trials as the longest tried setting had cannot rule out.
    fn ruled_out(&self) -> f64 {
        let days = self.points.iter().map(|point| point.alarms().node_days).fold(0.0, f64::max);
        Rare { count: 0, node_days: days }.at_most()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Config;

    #[test]
    fn every_setting_that_is_tried_is_one_that_a_scenario_may_have() {
        let now = Timing::of(&Config::default());
        for longest in [Span::millis(1), Span::millis(1_500), Span::secs(600)] {
            let mut advised = vec![now];
            for stage in [Stage::Detection, Stage::Eviction, Stage::Election] {
                let all: Vec<Timing> =
                    advised.iter().flat_map(|timing| tried(stage, timing, &now, longest)).collect();
                for timing in &all {
                    let scenario = format!("nodes = 3\nuntil = \"1s\"\n{}", timing.toml());
                    let plan = Plan::read(&scenario, "tried.toml");
                    let plan = plan.unwrap_or_else(|error| panic!("{error}\n{scenario}"));
                    assert_eq!(Timing::of(&plan.config), *timing);
                }
                advised = all;
            }
        }
    }

    #[test]
    fn what_the_scenario_has_is_among_what_is_tried() {
        let now =
            Timing { heartbeat: Span::millis(33), beat: Span::millis(77), ..Timing::of(&Config::default()) };
        let advised = Timing::of(&Config::default());
        let all = tried(Stage::Detection, &advised, &now, Span::secs(1));
        assert!(all.iter().any(|timing| timing.heartbeat == Span::millis(33)));
        let all = tried(Stage::Election, &advised, &now, Span::secs(1));
        assert!(all.iter().any(|timing| timing.beat == Span::millis(77)));
        assert!(all.iter().all(|timing| timing.heartbeat == advised.heartbeat), "earlier advice stays");
    }
}
