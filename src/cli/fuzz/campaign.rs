//! The campaign: scenarios one after the other, and what is said while they run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::super::text::count;
use super::super::{screen, trials};
use super::{Fuzz, Seeds};
use crate::fuzz::{Failure, Point, Profile, Reached, Trial};

/// Failures after which a campaign ends.
pub(super) const FAILURES_MAX: usize = 20;
/// Every this many seeds a scenario is run twice, to see that its trace is the same.
const TWICE_EVERY: u64 = 50;
/// Without a terminal it is said this often how far a campaign is.
const SAID_EVERY: Duration = Duration::from_mins(1);
/// How many seeds there are when nothing is said about it.
const SEEDS_USUAL: u64 = 1_000;

/// What a campaign came to.
#[derive(Default)]
pub(super) struct Campaign {
    /// Scenarios that ended.
    pub(super) seeds: u64,
    /// Scenarios that were under way when the time was over.
    pub(super) cut: u64,
    pub(super) events: u64,
    pub(super) seconds: f64,
    pub(super) reached: Reached,
    pub(super) failures: Vec<(u64, Failure, String)>,
}

/// Why a campaign ended before its last seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    Interrupted,
    TimeOver,
    Enough,
}

/// Runs all seeds, or as many as there is time for since it `began`.
pub(super) fn run(
    fuzz: &Fuzz,
    pool: &ThreadPool,
    stop: &AtomicBool,
    began: Instant,
) -> (Campaign, Option<Halt>) {
    let usual = if fuzz.lasting.is_some() { u64::from(u32::MAX) } else { SEEDS_USUAL };
    let seeds = fuzz.seeds.unwrap_or(Seeds { from: 0, to: usual });
    let mut teller = Teller::new(fuzz, seeds);
    let mut campaign = Campaign::default();
    // The first one that did not end in time.
    let mut late = None;
    let is_over = || fuzz.lasting.is_some_and(|lasting| began.elapsed() >= lasting);
    let make = |number: u32| {
        let seed = seeds.from + u64::from(number);
        let ends = || is_over() || stop.load(Ordering::Relaxed);
        (!ends()).then(|| Trial::run(&fuzz.drawn(seed), seed, seed.is_multiple_of(TWICE_EVERY), &ends))
    };
    let take = |number: u32, trial: Option<Trial>| {
        if stop.load(Ordering::Relaxed) {
            return Err(Halt::Interrupted);
        }
        let Some(trial) = trial.filter(|trial| {
            campaign.cut += u64::from(trial.stopped);
            !trial.stopped
        }) else {
            // Some that were begun later have ended nevertheless, and may have failed.
            let first = *late.get_or_insert(number);
            return if number - first < trials::begun_max(pool) { Ok(()) } else { Err(Halt::TimeOver) };
        };
        let seed = seeds.from + u64::from(number);
        campaign.seeds += 1;
        campaign.events += trial.events;
        campaign.seconds += trial.seconds;
        campaign.reached.add(&trial.reached);
        if let Some((failure, detail)) = trial.failure {
            teller.failed(seed, failure);
            campaign.failures.push((seed, failure, detail));
        }
        teller.goes_on(&campaign, began.elapsed());
        if campaign.failures.len() >= FAILURES_MAX { Err(Halt::Enough) } else { Ok(()) }
    };
    let halt = trials::in_order(pool, (seeds.to - seeds.from) as u32, make, take).err();
    teller.bar.finish_and_clear();
    (campaign, halt.or(late.map(|_| Halt::TimeOver)))
}

/// Says how a campaign goes on: in one line that changes where there is a terminal, else in a line now and then.
struct Teller {
    profile: Profile,
    quiet: bool,
    bar: ProgressBar,
    /// When the next line is due.
    due: Duration,
}

impl Teller {
    fn new(fuzz: &Fuzz, seeds: Seeds) -> Teller {
        let (bar, template) = match (fuzz.quiet, fuzz.seeds.is_none() && fuzz.lasting.is_some()) {
            (true, _) => (ProgressBar::hidden(), "{msg}"),
            (false, true) => (ProgressBar::new_spinner(), "{human_pos} seeds, {msg}"),
            (false, false) => (
                ProgressBar::new(seeds.to - seeds.from),
                "[{bar:20}] {human_pos} of {human_len} seeds, {msg}",
            ),
        };
        let style =
            ProgressStyle::with_template(template).expect("the template is right").progress_chars("=> ");
        bar.set_style(style);
        Teller { profile: fuzz.profile, quiet: fuzz.quiet, bar, due: SAID_EVERY }
    }

    fn failed(&self, seed: u64, failure: Failure) {
        let text = format!("seed {seed} failed: {failure}");
        if self.bar.is_hidden() {
            screen::complain(&text);
        } else {
            self.bar.println(text);
        }
    }

    fn goes_on(&mut self, campaign: &Campaign, took: Duration) {
        if self.quiet {
            return;
        }
        if !self.bar.is_hidden() {
            self.bar.set_position(campaign.seeds);
            self.bar.set_message(line(self.profile, campaign, took));
        } else if self.is_due(took) {
            let (minutes, seeds) = (took.as_secs() / 60, count(campaign.seeds));
            let line = line(self.profile, campaign, took);
            screen::complain(&format!("{minutes} min: {seeds} seeds, {line}"));
        }
    }

    /// Whether a line is due, after which the next one is later.
    fn is_due(&mut self, took: Duration) -> bool {
        let due = took >= self.due;
        if due {
            self.due = took + SAID_EVERY;
        }
        due
    }
}

/// How far a campaign is.
fn line(profile: Profile, campaign: &Campaign, took: Duration) -> String {
    let rate = campaign.seeds as f64 / took.as_secs_f64().max(0.001);
    let aims: Vec<Point> = Point::of(profile).collect();
    let points = aims.iter().filter(|point| campaign.reached.times(**point) > 0).count();
    let kinds: Vec<String> = (campaign.reached.effective.iter())
        .map(|(kind, times)| format!("{kind} {}", compact(*times)))
        .collect();
    let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
    format!(
        "{rate:.0} seeds/s, {} failed, {points} of {} points reached; took effect: {kinds}",
        campaign.failures.len(),
        aims.len()
    )
}

/// A number in few letters: `999`, `12k`, `3M`.
fn compact(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        fuzz: Fuzz,
    }

    fn told(arguments: &str) -> Fuzz {
        Only::parse_from(std::iter::once("fuzz").chain(arguments.split_whitespace())).fuzz
    }

    fn pool() -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
    }

    #[test]
    fn what_is_under_way_when_the_time_is_over_is_stopped_and_does_not_count() {
        let fuzz = told("--for 3ms --seeds 7..20 --profile stories");
        let (campaign, halt) = run(&fuzz, &pool(), &AtomicBool::new(false), Instant::now());
        assert_eq!((campaign.seeds, halt), (0, Some(Halt::TimeOver)));
        assert!(campaign.cut > 0);
    }

    #[test]
    fn seeds_that_end_before_the_time_does_are_all() {
        let fuzz = told("--for 1h --seeds 5..9");
        let (campaign, halt) = run(&fuzz, &pool(), &AtomicBool::new(false), Instant::now());
        assert_eq!((campaign.seeds, campaign.cut, halt), (4, 0, None));
    }

    #[test]
    fn a_line_is_due_once_a_minute() {
        let mut teller = Teller::new(&told("--seeds 10"), Seeds { from: 0, to: 10 });
        let due = [1, 59, 61, 62, 119, 122].map(|second| teller.is_due(Duration::from_secs(second)));
        assert_eq!(due, [false, false, true, false, false, true]);
    }

    #[test]
    fn the_line_counts_what_the_profile_aims_at_and_names_kinds() {
        let mut campaign = Campaign { seeds: 30, ..Campaign::default() };
        for (kind, times) in [("crash", 12_345), ("cut", 7)] {
            campaign.reached.effective.insert(kind.into(), times);
        }
        for point in Point::all() {
            campaign.reached.points.insert(point, 1);
        }
        let aims = Point::of(Profile::Swarm).count();
        assert!(aims < Point::all().count());
        let line = line(Profile::Swarm, &campaign, Duration::from_secs(10));
        let wanted =
            format!("3 seeds/s, 0 failed, {aims} of {aims} points reached; took effect: crash 12k, cut 7");
        assert_eq!(line, wanted);
    }
}
