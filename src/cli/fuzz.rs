//! `idunno fuzz`: scenarios drawn from seeds, until one breaks something; then the smallest one that still does.

mod campaign;
mod keep;
mod report;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Args;

use super::text::count;
use super::{Exit, screen};
use crate::base::Span;
use crate::fuzz::{Profile, scenario, silence_findings};
#[cfg(debug_assertions)]
use crate::scenario::Mutant;
use crate::scenario::{Plan, SEED_MAX, span, to_toml};

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
  idunno fuzz --seeds 20000..30000 --for 1h
      Ten thousand scenarios that were not tried yet, or as many of them as end within an hour.

Profiles:
{profiles}
Exit codes: 0 nothing broke; 1 failed, or tested less than it should; 2 usage, nothing changed; 3 a safety invariant broke;
4 a liveness bound broke; 130 interrupted before anything broke."
    )
}

/// What `idunno fuzz` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Fuzz {
    /// The seeds: how many, from 0 on, or from the first to the one after the last, as in 500..1500 [default: 1000, or with --for as
    /// many as there is time for].
    #[arg(long, value_name = "N|A..B", value_parser = seeds)]
    seeds: Option<Seeds>,
    /// End after this time, such as 10m: what is under way then counts as not tried. Alone it begins at seed 0; "--seeds A..B" begins
    /// elsewhere, and whichever ends first ends it. Making smaller what failed comes on top of that.
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true, value_parser = lasting)]
    lasting: Option<Duration>,
    /// What to aim at: one of the profiles below.
    #[arg(long, value_name = "PROFILE", default_value = "swarm", value_parser = profile)]
    profile: Profile,
    /// Where scenarios that failed go, made as small as possible.
    #[arg(long, value_name = "DIR", default_value = "results/fuzz")]
    out: PathBuf,
    /// How long a failing scenario is made smaller, the first one of each of the first three kinds of failure; with "0s" failures are only
    /// named.
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

/// Does what `idunno fuzz` is told.
pub(super) fn run(fuzz: &Fuzz, stop: &AtomicBool) -> Exit {
    if fuzz.show {
        let seed = fuzz.seeds.map_or(0, |seeds| seeds.from);
        return screen::say(&to_toml(&fuzz.drawn(seed)));
    }
    // What fails shall not be lost in the end for want of a place.
    if let Err(error) = keep::takes_files(&fuzz.out) {
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
    let (campaign, halt) = campaign::run(fuzz, &pool, stop, began);
    report::tell(fuzz, &pool, &campaign, halt, began.elapsed(), stop)
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
