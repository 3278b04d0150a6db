//! Planted bugs: the fuzzer finds each of them, says which invariant it breaks, and makes a small scenario of it.
//!
//! `IDUNNO_SEEDS=4000` looks longer, `IDUNNO_BUG=counts_twice` looks for that one alone, and `IDUNNO_KEEP=folder` keeps the small
//! scenarios.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use idunno::check::Invariant::{
    CountedOnce, Fenced, FilesKept, LogKept, NothingStranded, OneLeader, PromisesKept, ViewsOrdered,
    WholeAgain,
};
use idunno::fuzz::{Failure, Profile, Trial, scenario, shrink, silence_findings};
use idunno::scenario::{Mutant, Plan, to_toml};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

/// A bug is found within this many scenarios. All but a few are found within 200; the rarest takes half of them.
const SEEDS_MAX: u64 = 2_000;
/// A scenario that takes more than this many thousands of events proves nothing.
const KILOEVENTS_MAX: u32 = 2_000;
/// The work that is put into making a scenario smaller: its tries, and the thousands of events in them divided by four.
const SHRINK_MAX: u32 = 2_500;

/// A bug, the profile that aims at it, and the ways in which it may show.
struct Case(Mutant, Profile, &'static [Failure]);

const fn breaks(invariant: idunno::check::Invariant) -> Failure {
    Failure::Invariant(invariant)
}

/// An entry that was committed is gone: other nodes differ, or a node notices itself.
const LOST: &[Failure] = &[breaks(LogKept), breaks(OneLeader), Failure::Panic];
/// Nothing goes on, whoever notices it first.
const STANDS_STILL: &[Failure] = &[breaks(WholeAgain), breaks(NothingStranded), Failure::Unfinished];
const STRANDED: &[Failure] = &[breaks(NothingStranded), Failure::Unfinished];

const CASES: &[Case] = {
    use Mutant as M;
    use Profile::{Churn, Elections, Files, Partitions, Stories, Swarm, Work};
    &[
        Case(M::VoteBeforeDurable, Stories, LOST),
        Case(M::StandsBeforeDurable, Stories, LOST),
        Case(M::ElectsLonger, Stories, LOST),
        Case(M::AdoptsLonger, Stories, LOST),
        Case(M::WipedKeepsIdentity, Stories, LOST),
        Case(M::CommitsEarlierTerms, Stories, LOST),
        Case(M::RemovedVoterVotes, Churn, LOST),
        Case(M::ReseatsEarly, Churn, LOST),
        Case(M::LostVoterStays, Churn, STANDS_STILL),
        Case(M::VoidCutCounts, Work, &[breaks(CountedOnce)]),
        Case(M::AcknowledgesBeforeDurable, Elections, LOST),
        Case(M::AssumesProgress, Elections, LOST),
        Case(M::OutsidersVote, Partitions, &[breaks(OneLeader)]),
        Case(M::SnapshotLosesSeats, Churn, STANDS_STILL),
        Case(M::SnapshotLosesQueued, Churn, &[breaks(LogKept)]),
        Case(M::NoCheckQuorum, Partitions, STANDS_STILL),
        Case(M::ContentForEver, Partitions, STANDS_STILL),
        Case(M::ObeysOldReign, Elections, &[breaks(Fenced)]),
        Case(M::DeposedGoesOn, Churn, &[breaks(Fenced)]),
        Case(M::AnswersBeforeCommit, Swarm, &[breaks(PromisesKept)]),
        Case(M::RepeatsRequest, Swarm, &[breaks(PromisesKept)]),
        Case(M::CountsTwice, Swarm, &[breaks(CountedOnce)]),
        Case(M::DuplicateEndsJob, Swarm, &[breaks(CountedOnce)]),
        Case(M::ResumesByCount, Elections, STRANDED),
        Case(M::DropsFailures, Work, STRANDED),
        Case(M::LateResultClearsDesk, Swarm, STRANDED),
        Case(M::NoSecondOrder, Swarm, STRANDED),
        Case(M::NoSecondResult, Swarm, STRANDED),
        Case(M::WorkDiesWithWorker, Work, STRANDED),
        Case(M::GoneGetWork, Work, &[breaks(ViewsOrdered), breaks(NothingStranded)]),
        Case(M::EvictedReturns, Partitions, &[breaks(ViewsOrdered)]),
        Case(M::NobodyIsEvicted, Partitions, &[breaks(WholeAgain)]),
        Case(M::InstallsOldView, Churn, &[breaks(ViewsOrdered)]),
        Case(M::PutsUnplaced, Files, &[breaks(FilesKept)]),
        Case(M::PutsPinNothing, Files, &[breaks(FilesKept), breaks(NothingStranded), Failure::Unfinished]),
    ]
};

/// How a scenario fails; `None` also when it takes too long to say.
fn failure(plan: &Plan) -> Option<Failure> {
    let asked = AtomicU32::new(0);
    let stop = || asked.fetch_add(4, Ordering::Relaxed) >= KILOEVENTS_MAX;
    Trial::run(plan, plan.seed, false, &stop).failure.map(|(failure, _)| failure)
}

/// The first of the first `seeds` scenarios that fails as it should, and does not without the bug.
fn find(case: &Case, seeds: u64) -> Option<(u64, Plan, Failure)> {
    let Case(mutant, profile, ways) = case;
    (0..seeds).find_map(|seed| {
        let plan = scenario(seed, *profile);
        let way = failure(&plan.clone().planted(*mutant)).filter(|way| ways.contains(way))?;
        failure(&plan).is_none().then_some((seed, plan, way))
    })
}

/// A line of the table, or what is wrong.
fn look_at(case: &Case, seeds: u64) -> Result<String, String> {
    let name = case.0.name();
    let Some((seed, plan, way)) = find(case, seeds) else {
        return Err(format!("{name} is not found in {seeds} scenarios of {}", case.1.name()));
    };
    let tries = AtomicU32::new(0);
    let more = || tries.fetch_add(1, Ordering::Relaxed) < SHRINK_MAX;
    let small = shrink(&plan.planted(case.0), way, &more).plan;
    let text = to_toml(&small);
    let read = Plan::read(&text, &name).map_err(|error| format!("{name}: {error}"))?;
    let (with, without) = (failure(&read.clone().planted(case.0)), failure(&read));
    if with != Some(way) || without.is_some() {
        return Err(format!(
            "{name}, seed {seed}: the small scenario gives {with:?} with the bug and {without:?} without:\n{text}"
        ));
    }
    if let Ok(folder) = std::env::var("IDUNNO_KEEP") {
        let path = std::path::Path::new(&folder).join(format!("{name}.toml"));
        std::fs::write(path, &text).map_err(|error| error.to_string())?;
    }
    let mut line = format!("{name:<28} {:<10} {:>5}  ", case.1.name(), seed + 1);
    let sizes = (read.nodes.len(), read.jobs.len() + read.arrivals.len(), read.faults.len());
    write!(line, "{:>5} {:>4} {:>6}  {way}", sizes.0, sizes.1, sizes.2).expect("memory takes it");
    Ok(line)
}

#[test]
fn every_planted_bug_is_found_and_made_small() {
    silence_findings();
    let asked = std::env::var("IDUNNO_SEEDS").ok().and_then(|text| text.parse().ok());
    let all = CASES.iter();
    let cases: Vec<&Case> = match std::env::var("IDUNNO_BUG") {
        Ok(name) => all.filter(|case| case.0.name() == name).collect(),
        Err(_) => all.collect(),
    };
    assert!(!cases.is_empty(), "no planted bug has that name");
    let results: Vec<_> = cases.par_iter().map(|case| look_at(case, asked.unwrap_or(SEEDS_MAX))).collect();
    println!("bug                          profile    found in  nodes jobs faults  how");
    let mut missed = Vec::new();
    for result in results {
        match result {
            Ok(line) => println!("{line}"),
            Err(why) => missed.push(why),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_bug_that_can_be_planted_is_looked_for() {
    let mut named: Vec<Mutant> = CASES.iter().map(|case| case.0).collect();
    named.sort_unstable();
    assert_eq!(named, Mutant::ALL);
}
