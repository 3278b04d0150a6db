//! What is said of a campaign when it is over: what it tried, what broke, and what it did not reach.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::ThreadPool;

use super::super::text::{count, some, wrapped};
use super::super::{Exit, screen};
use super::campaign::{Campaign, FAILURES_MAX, Halt};
use super::{Fuzz, keep};
use crate::check::Kind;
use crate::fuzz::{Failure, Point, Profile};

/// From this many seeds on, a campaign has to reach everything.
const COVERAGE_FROM: u64 = 10_000;
/// Failures that are made smaller; the others are only named.
const SHRUNK_MAX: usize = 3;

/// Says what the campaign came to, and shrinks what failed.
pub(super) fn tell(
    fuzz: &Fuzz,
    pool: &ThreadPool,
    campaign: &Campaign,
    halt: Option<Halt>,
    took: Duration,
    stop: &AtomicBool,
) -> Exit {
    // What cannot be shown is a failure, and less of one than what was found.
    let mut said = Exit::Fine;
    let ending = match halt {
        Some(Halt::Interrupted) => {
            format!("Interrupted after {}. ", some(campaign.seeds, "scenario", "scenarios"))
        }
        Some(Halt::TimeOver) if campaign.cut == 1 => {
            "The time was over; the scenario that was under way counts as not tried. ".to_owned()
        }
        Some(Halt::TimeOver) if campaign.cut > 1 => {
            let cut = count(campaign.cut);
            format!("The time was over; {cut} scenarios that were under way count as not tried. ")
        }
        _ => String::new(),
    } + &outcome(campaign);
    if !fuzz.quiet {
        said = said.graver(screen::say(&format!("{}\n{ending}\n", summary(fuzz, campaign, took))));
    } else if halt == Some(Halt::Interrupted) {
        screen::complain(&ending);
    }
    if halt == Some(Halt::Enough) {
        said = said.graver(screen::say(&format!("{FAILURES_MAX} seeds failed; the rest was not tried.\n")));
    }
    let mut shrunk: Vec<Failure> = Vec::new();
    for (seed, failure, detail) in &campaign.failures {
        // The finding first: what is done with it next can take long, and fail.
        let repeat = again(fuzz, *seed);
        said = said
            .graver(screen::say(&format!("\nseed {seed}: {failure}\n  {detail}\n  repeat it: {repeat}\n")));
        let wanted = !fuzz.shrink_for.is_zero() && shrunk.len() < SHRUNK_MAX && !shrunk.contains(failure);
        if !wanted || stop.load(Ordering::Relaxed) {
            continue;
        }
        shrunk.push(*failure);
        match keep::smaller(fuzz, pool, *seed, *failure, detail, stop) {
            Ok(text) => said = said.graver(screen::say(&text)),
            Err(error) => {
                screen::error(&error.context(format!("seed {seed} was made smaller, and is not kept")));
                said = said.graver(Exit::Failed);
            }
        }
    }
    let kinds = campaign.failures.iter().map(|(_, failure, _)| failure.kind());
    let found = match kinds.min() {
        Some(Kind::Safety) => Exit::Safety,
        Some(Kind::Liveness) => Exit::Liveness,
        // A campaign that was stopped need not have reached everything.
        None if halt == Some(Halt::Interrupted) => Exit::Interrupted,
        None if campaign.seeds == 0 => {
            screen::error(&anyhow::anyhow!("no scenario ended in the time"));
            Exit::Failed
        }
        None => coverage(fuzz, campaign),
    };
    found.graver(said)
}

/// The command that repeats one seed.
pub(super) fn again(fuzz: &Fuzz, seed: u64) -> String {
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
    let aims: Vec<Point> = Point::of(fuzz.profile).collect();
    for point in Point::all() {
        // What the profile does not aim at need not be reached.
        let times = campaign.reached.times(point);
        let times = if times == 0 && !aims.contains(&point) { "-".to_owned() } else { count(times) };
        writeln!(text, "  {:<50} {times:>11}", point.name()).expect("memory takes it");
    }
    text
}

/// Whether something broke.
fn outcome(campaign: &Campaign) -> String {
    match campaign.failures.len() as u64 {
        0 if campaign.seeds == 0 => "Nothing was tried to its end.".to_owned(),
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
    let idle = idle.map(|kind| format!("no fault of the kind {kind} took effect"));
    let missed = Point::of(fuzz.profile).filter(|point| reached.times(*point) == 0);
    let missed = missed.map(|point| format!("never: {}", point.name()));
    let all: Vec<String> = idle.chain(missed).collect();
    if all.is_empty() {
        return Exit::Fine;
    }
    let text = format!("The campaign has tested less than it should: {}.", all.join("; "));
    screen::error(&anyhow::anyhow!(wrapped(&text, "")));
    Exit::Failed
}
