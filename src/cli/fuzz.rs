//! `idunno fuzz`: scenarios drawn from seeds, until one breaks something; then the smallest one that still does.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::text::{count, some, wrapped};
use super::{Exit, screen, trials};
use crate::base::Span;
use crate::check::Kind;
use crate::fuzz::{Failure, POINTS, Profile, Reached, Trial, scenario, shrink, silence_findings};
#[cfg(debug_assertions)]
use crate::scenario::Mutant;
use crate::scenario::{Plan, SEED_MAX, span, to_brief_toml, to_toml};

/// What stands below the help.
pub(super) fn examples() -> String {
    let profiles: String = Profile::ALL.iter().fold(String::new(), |text, profile| {
        format!("{text}  {:<10}  {}\n", profile.name(), profile.about())
    });
    format!(
        "\
Examples:
  idunno fuzz --seeds 10000
      Ten thousand scenarios with random clusters, work and faults.
  idunno fuzz --for 10m --profile partitions
      For ten minutes, with the network cut in every shape.

Profiles:
{profiles}
Exit codes: 0 nothing broke; 1 failed, or tested less than it should; 2 usage, nothing changed; 3 a safety invariant broke;
4 a liveness bound broke; 130 interrupted before anything broke."
    )
}

/// What `idunno fuzz` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Fuzz {
    /// The seeds: how many, from 0 on, or from the first to the one after the last, as in 500..1500 [default: 1000].
    #[arg(long, value_name = "N|A..B", value_parser = seeds)]
    seeds: Option<Seeds>,
    /// Go on for this long, such as 10m, instead of for a number of seeds.
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true, value_parser = lasting, conflicts_with = "seeds")]
    lasting: Option<Duration>,
    /// What to aim at: one of the profiles below.
    #[arg(long, value_name = "PROFILE", default_value = "swarm", value_parser = profile)]
    profile: Profile,
    /// Where scenarios that failed go, made as small as possible.
    #[arg(long, value_name = "DIR", default_value = "results/fuzz")]
    out: PathBuf,
    /// How long each kind of failure is made smaller; with "0s" failures are only named.
    #[arg(long, value_name = "TIME", value_parser = shrinking, default_value = "1m")]
    shrink_for: Duration,
    /// Print the scenario of the first seed as it is drawn, and run nothing.
    #[arg(long)]
    show: bool,
    /// Fail when a kind of fault of the profile never took effect, or a point of interest that it aims at was never reached; from 10,000
    /// seeds on this is always so.
    #[arg(long)]
    require_coverage: bool,
    /// How many scenarios to run at the same time [default: one per core]. What is found does not depend on it.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Plant this bug first, to see that it is found. Release builds cannot.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "NAME", hide = true, value_parser = mutant)]
    mutant: Option<Mutant>,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

impl Fuzz {
    /// The scenario of this seed.
    #[cfg(not(debug_assertions))]
    fn drawn(&self, seed: u64) -> Plan {
        scenario(seed, self.profile)
    }

    /// The scenario of this seed, with the bug that shall be planted.
    #[cfg(debug_assertions)]
    fn drawn(&self, seed: u64) -> Plan {
        let plan = scenario(seed, self.profile);
        match self.mutant {
            Some(mutant) => plan.planted(mutant),
            None => plan,
        }
    }

    /// How the bug that shall be planted is said on the command line.
    #[cfg(debug_assertions)]
    fn flaw(&self) -> String {
        self.mutant.map_or_else(String::new, |mutant| format!(" --mutant {}", mutant.name()))
    }

    /// Nothing is planted in release builds.
    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "debug builds ask it which bug")]
    fn flaw(&self) -> &'static str {
        ""
    }
}

/// The bug of this name.
#[cfg(debug_assertions)]
pub(super) fn mutant(name: &str) -> std::result::Result<Mutant, String> {
    let all = || Mutant::ALL.map(|mutant| format!("\n  {}", mutant.name())).concat();
    Mutant::by_name(name).ok_or_else(|| format!("wanted one of{}", all()))
}

/// The profile of this name.
fn profile(name: &str) -> std::result::Result<Profile, String> {
    let all = || Profile::ALL.iter().map(|profile| format!("\n  {}: {}", profile.name(), profile.about()));
    Profile::by_name(name).ok_or_else(|| format!("wanted one of{}", all().collect::<String>()))
}

/// A length of time, as in scenarios.
fn lasting(text: &str) -> std::result::Result<Duration, String> {
    let span = span(text).ok_or_else(|| "wanted a length of time such as 90s or 10m".to_owned())?;
    if span == Span::ZERO { Err("is no time at all".to_owned()) } else { Ok(Duration::from_nanos(span.0)) }
}

/// The same, which may be none.
fn shrinking(text: &str) -> std::result::Result<Duration, String> {
    let span = span(text).ok_or_else(|| "wanted a length of time such as 30s or 2m".to_owned())?;
    Ok(Duration::from_nanos(span.0))
}

/// From this many seeds on, a campaign has to reach everything.
const COVERAGE_FROM: u64 = 10_000;
/// Failures that are made smaller; the others are only named.
const SHRUNK_MAX: usize = 3;
/// Failures after which a campaign ends.
const FAILURES_MAX: usize = 20;
/// Every this many seeds a scenario is run twice, to see that its trace is the same.
const TWICE_EVERY: u64 = 50;
/// Other seeds that a shrunk scenario is tried with.
const OTHER_SEEDS: u64 = 100;
/// The part of the time for making smaller after which it is theirs.
const SHRINK_PART: f64 = 0.8;

/// The seeds of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seeds {
    from: u64,
    to: u64,
}

/// Reads `A..B`, or `N` for `0..N`.
fn seeds(text: &str) -> std::result::Result<Seeds, String> {
    let wanted = || "wanted a number of seeds, such as 1000, or the first and the one after the last, such as 500..1500";
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().map_err(|_| wanted().to_owned());
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (0, number(text)?),
    };
    if from >= to {
        return Err(format!("holds no seed; {}", wanted()));
    }
    if to - from > u64::from(u32::MAX) {
        return Err(format!("are more than {} seeds", count(u64::from(u32::MAX))));
    }
    if to - 1 > SEED_MAX {
        return Err(format!("go past the largest seed of a scenario, which is {SEED_MAX}"));
    }
    Ok(Seeds { from, to })
}

/// What a campaign came to.
#[derive(Default)]
struct Campaign {
    seeds: u64,
    events: u64,
    seconds: f64,
    reached: Reached,
    failures: Vec<(u64, Failure, String)>,
}

/// Why a campaign ended before its last seed.
enum Halt {
    Interrupted,
    TimeOver,
    Enough,
}

/// Does what `idunno fuzz` is told.
pub(super) fn run(fuzz: &Fuzz, stop: &AtomicBool) -> Exit {
    if fuzz.show {
        let seed = fuzz.seeds.map_or(0, |seeds| seeds.from);
        return screen::say(&to_toml(&fuzz.drawn(seed)));
    }
    // What fails shall not be lost in the end for want of a place.
    if let Err(error) = takes_files(&fuzz.out) {
        screen::error(&error.context("there is no place for scenarios that fail"));
        return Exit::Usage;
    }
    let threads = fuzz.threads.map_or(0, usize::from);
    let pool = match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool,
        Err(error) => {
            screen::error(&anyhow::Error::new(error).context("cannot start threads"));
            return Exit::Failed;
        }
    };
    silence_findings();
    let began = Instant::now();
    let (campaign, halt) = campaign(fuzz, &pool, stop, began);
    let took = began.elapsed();
    let shown = report(fuzz, &pool, &campaign, halt.as_ref(), took, stop);
    match shown {
        Ok(exit) => exit,
        Err(error) => {
            screen::error(&error);
            Exit::Failed
        }
    }
}

fn campaign(fuzz: &Fuzz, pool: &ThreadPool, stop: &AtomicBool, began: Instant) -> (Campaign, Option<Halt>) {
    let seeds = fuzz.seeds.unwrap_or(match fuzz.lasting {
        Some(_) => Seeds { from: 0, to: u64::from(u32::MAX) },
        None => Seeds { from: 0, to: 1_000 },
    });
    let bar = bar(fuzz, seeds);
    let mut campaign = Campaign::default();
    let make = |number: u32| {
        let seed = seeds.from + u64::from(number);
        let plan = fuzz.drawn(seed);
        Trial::run(&plan, seed, seed.is_multiple_of(TWICE_EVERY), &|| stop.load(Ordering::Relaxed))
    };
    let take = |number: u32, trial: Trial| {
        if trial.stopped || stop.load(Ordering::Relaxed) {
            return Err(Halt::Interrupted);
        }
        let seed = seeds.from + u64::from(number);
        campaign.seeds += 1;
        campaign.events += trial.events;
        campaign.seconds += trial.seconds;
        campaign.reached.add(&trial.reached);
        if let Some((failure, detail)) = trial.failure {
            bar.println(format!("seed {seed} failed: {failure}"));
            campaign.failures.push((seed, failure, detail));
        }
        bar.set_position(campaign.seeds);
        bar.set_message(said(&campaign, began.elapsed()));
        if campaign.failures.len() >= FAILURES_MAX {
            return Err(Halt::Enough);
        }
        if fuzz.lasting.is_some_and(|lasting| began.elapsed() >= lasting) {
            return Err(Halt::TimeOver);
        }
        Ok(())
    };
    let halt = trials::in_order(pool, (seeds.to - seeds.from) as u32, make, take).err();
    bar.finish_and_clear();
    (campaign, halt)
}

/// The progress line.
fn said(campaign: &Campaign, took: Duration) -> String {
    let rate = campaign.seeds as f64 / took.as_secs_f64().max(0.001);
    let kinds = campaign.reached.effective.len();
    let points = campaign.reached.points.iter().filter(|times| **times > 0).count();
    format!(
        "{rate:.0} seeds/s, {kinds} kinds of faults took effect, {points} of {} points reached, {} failed",
        POINTS.len(),
        campaign.failures.len()
    )
}

fn bar(fuzz: &Fuzz, seeds: Seeds) -> ProgressBar {
    if fuzz.quiet {
        return ProgressBar::hidden();
    }
    let (bar, template) = if fuzz.lasting.is_some() {
        (ProgressBar::new_spinner(), "{human_pos} seeds, {msg}")
    } else {
        (ProgressBar::new(seeds.to - seeds.from), "[{bar:20}] {human_pos} of {human_len} seeds, {msg}")
    };
    let style = ProgressStyle::with_template(template).expect("the template is right").progress_chars("=> ");
    bar.set_style(style);
    bar
}

/// Says what the campaign came to, and shrinks what failed.
fn report(
    fuzz: &Fuzz,
    pool: &ThreadPool,
    campaign: &Campaign,
    halt: Option<&Halt>,
    took: Duration,
    stop: &AtomicBool,
) -> Result<Exit> {
    // What cannot be shown is a failure, and less of one than what was found.
    let mut said = Exit::Fine;
    let interrupted = matches!(halt, Some(Halt::Interrupted))
        .then(|| format!("Interrupted after {}. ", some(campaign.seeds, "scenario", "scenarios")));
    let ending = interrupted.clone().unwrap_or_default() + &outcome(campaign);
    if !fuzz.quiet {
        said = said.graver(screen::say(&format!("{}\n{ending}\n", summary(fuzz, campaign, took))));
    } else if interrupted.is_some() {
        screen::complain(&ending);
    }
    if matches!(halt, Some(Halt::Enough)) {
        said = said.graver(screen::say(&format!("{FAILURES_MAX} seeds failed; the rest was not tried.\n")));
    }
    let mut shrunk: Vec<Failure> = Vec::new();
    for (seed, failure, detail) in &campaign.failures {
        let mut text = format!("\nseed {seed}: {failure}\n  {detail}\n  repeat it: {}\n", again(fuzz, *seed));
        let wanted = !fuzz.shrink_for.is_zero() && shrunk.len() < SHRUNK_MAX && !shrunk.contains(failure);
        if wanted && !stop.load(Ordering::Relaxed) {
            shrunk.push(*failure);
            text.push_str(&smaller(fuzz, pool, *seed, *failure, detail, stop)?);
        }
        said = said.graver(screen::say(&text));
    }
    let kinds = campaign.failures.iter().map(|(_, failure, _)| failure.kind());
    let found = match kinds.min() {
        Some(Kind::Safety) => Exit::Safety,
        Some(Kind::Liveness) => Exit::Liveness,
        // A campaign that was stopped need not have reached everything.
        None if interrupted.is_some() => Exit::Interrupted,
        None => coverage(fuzz, campaign),
    };
    Ok(found.graver(said))
}

/// The command that repeats one seed.
fn again(fuzz: &Fuzz, seed: u64) -> String {
    let profile = match fuzz.profile {
        Profile::Swarm => String::new(),
        other => format!(" --profile {}", other.name()),
    };
    format!("idunno fuzz --seeds {seed}..{}{profile}{}", seed + 1, fuzz.flaw())
}

fn summary(fuzz: &Fuzz, campaign: &Campaign, took: Duration) -> String {
    let rate = campaign.seeds as f64 / took.as_secs_f64().max(0.001);
    let mut text = format!(
        "{}: {} in {:.1} s ({rate:.0} per second), {:.1} simulated hours, {} events.\n\n",
        fuzz.profile.name(),
        some(campaign.seeds, "scenario", "scenarios"),
        took.as_secs_f64(),
        campaign.seconds / 3_600.0,
        count(campaign.events)
    );
    text.push_str("  Faults            began  took effect\n");
    for (kind, began) in &campaign.reached.began {
        let effective = campaign.reached.effective.get(kind).copied().unwrap_or(0);
        writeln!(text, "  {kind:<13} {:>9}  {:>11}", count(*began), count(effective))
            .expect("memory takes it");
    }
    text.push_str("\n  Points of interest                                       times\n");
    for (point, times) in POINTS.iter().zip(campaign.reached.points) {
        // What the profile does not aim at need not be reached.
        let times = if times == 0 && !fuzz.profile.expects(point) { "-".to_owned() } else { count(times) };
        writeln!(text, "  {point:<50} {times:>11}").expect("memory takes it");
    }
    text
}

/// Whether something broke.
fn outcome(campaign: &Campaign) -> String {
    match campaign.failures.len() as u64 {
        0 => "Nothing broke.".to_owned(),
        failed => {
            format!("{} of {} failed.", count(failed), some(campaign.seeds, "scenario", "scenarios"))
        }
    }
}

/// Whether everything was reached that had to be.
fn coverage(fuzz: &Fuzz, campaign: &Campaign) -> Exit {
    if !fuzz.require_coverage && campaign.seeds < COVERAGE_FROM {
        return Exit::Fine;
    }
    let reached = &campaign.reached;
    let idle = fuzz.profile.kinds().into_iter().filter(|kind| !reached.effective.contains_key(*kind));
    let idle: Vec<String> = idle.map(|kind| format!("no fault of the kind {kind} took effect")).collect();
    let missed =
        POINTS.iter().zip(reached.points).filter(|(point, times)| *times == 0 && fuzz.profile.expects(point));
    let missed: Vec<String> = missed.map(|(point, _)| format!("never: {point}")).collect();
    let all: Vec<String> = idle.into_iter().chain(missed).collect();
    if all.is_empty() {
        return Exit::Fine;
    }
    let text = format!("The campaign has tested less than it should: {}.", all.join("; "));
    screen::error(&anyhow::anyhow!(wrapped(&text, "")));
    Exit::Failed
}

/// Shrinks one failing scenario, writes it down, and says where.
fn smaller(
    fuzz: &Fuzz,
    pool: &ThreadPool,
    seed: u64,
    failure: Failure,
    detail: &str,
    stop: &AtomicBool,
) -> Result<String> {
    let began = Instant::now();
    let within = |time: Duration| began.elapsed() < time && !stop.load(Ordering::Relaxed);
    let shrunk = shrink(&fuzz.drawn(seed), failure, &|| within(fuzz.shrink_for.mul_f64(SHRINK_PART)));
    let others = Others::of(pool, &shrunk.plan, failure, &|| within(fuzz.shrink_for));
    let path = write(fuzz, seed, failure, detail, &shrunk.plan, others)?;
    let plan = &shrunk.plan;
    let how = match (shrunk.complete, stop.load(Ordering::Relaxed)) {
        (true, _) => "nothing more can be left out",
        (false, true) => "interrupted",
        (false, false) => "the time was over",
    };
    Ok(format!(
        "  shrunk to {}, {}, {} in {} ({how}): {}\n  \
         {others}\n  look at it: idunno sim {}{}\n",
        some(plan.nodes.len() as u64, "node", "nodes"),
        some((plan.jobs.len() + plan.arrivals.len()) as u64, "job", "jobs"),
        some(plan.faults.len() as u64, "fault", "faults"),
        some(shrunk.tried.into(), "try", "tries"),
        path.display(),
        path.display(),
        fuzz.flaw()
    ))
}

/// How many other seeds make a scenario fail as well.
#[derive(Clone, Copy, Debug)]
struct Others {
    failed: usize,
    tried: usize,
}

impl Others {
    /// Tries as many as there are, or as `more` says true for.
    fn of(pool: &ThreadPool, plan: &Plan, failure: Failure, more: &(dyn Fn() -> bool + Sync)) -> Others {
        let fails = |number: u64| {
            let trial = Trial::run(plan, plan.seed.wrapping_add(number), false, &|| !more());
            (!trial.stopped).then(|| trial.failure.is_some_and(|(other, _)| other == failure))
        };
        let fates = || (1..=OTHER_SEEDS).into_par_iter().filter_map(fails).collect();
        let fates: Vec<bool> = pool.install(fates);
        Others { failed: fates.iter().filter(|failed| **failed).count(), tried: fates.len() }
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tried {
            0 => f.write_str("whether it fails with other seeds was not tried"),
            tried => write!(f, "it fails with {} of {tried} other seeds too", self.failed),
        }
    }
}

/// Sees that files can be written in `folder`; folders that were made for that go again.
fn takes_files(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|one| !one.as_os_str().is_empty() && !one.exists()).collect();
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let tried =
        tempfile::tempfile_in(folder).with_context(|| format!("cannot write in {}", folder.display()));
    for made in missing {
        // One in which somebody else has put something meanwhile stays, as it should.
        let _ = fs::remove_dir(made);
    }
    tried.map(drop)
}

fn write(
    fuzz: &Fuzz,
    seed: u64,
    failure: Failure,
    detail: &str,
    plan: &Plan,
    others: Others,
) -> Result<PathBuf> {
    let statement = failure.to_string();
    let mut plan = plan.clone();
    plan.name = format!("{}_{}", failure.word(), plan.name);
    plan.about = format!("{}{}.", statement[..1].to_uppercase(), statement[1..].trim_end_matches('.'));
    let comment: String = detail.lines().fold(String::new(), |text, line| format!("{text}# {line}\n"));
    let text = format!(
        "# Found by {} and made smaller. Before that:\n{comment}# Under its own seed it fails every time; {others}.\n\n{}",
        again(fuzz, seed),
        to_brief_toml(&plan)
    );
    let out = &fuzz.out;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let path = out.join(format!("{}.toml", plan.name));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(seeds("10"), Ok(Seeds { from: 0, to: 10 }));
        assert_eq!(seeds("500..1_500"), Ok(Seeds { from: 500, to: 1500 }));
        let past = format!("{SEED_MAX}..{}", u64::MAX);
        for wrong in ["", "0", "7..7", "9..3", "a..b", "-1", "0..99999999999", &past] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
        assert!(seeds(&format!("{SEED_MAX}..{}", SEED_MAX + 1)).is_ok());
    }
}
