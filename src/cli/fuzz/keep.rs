//! What is kept of a failing scenario: a small one that fails in the same way, as a file.

use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::super::text::{quoted, some};
use super::Fuzz;
use super::report::again;
use crate::fuzz::{Failure, Shrunk, Trial, shrink};
use crate::scenario::{Plan, to_brief_toml};

/// Other seeds that a shrunk scenario is tried with.
const OTHER_SEEDS: usize = 100;
/// The part of the time for making smaller after which it is theirs.
const SHRINK_PART: f64 = 0.8;
/// What all files begin with.
const HEADER: &str = "# Found by idunno fuzz";
/// How many names are tried where files of others are in the way.
const NAMES_MAX: u32 = 1_000;

/// Shrinks one failing scenario, writes it down, and says where.
pub(super) fn smaller(
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
    let how = how(&shrunk, stop.load(Ordering::Relaxed));
    let found = Found { by: again(fuzz, seed), failure, detail, how: &how, others };
    let path = write(&fuzz.out, &shrunk.plan, &found)?;
    let plan = &shrunk.plan;
    Ok(format!(
        "  {how}: {}, {}, {}, in {}\n  {others}\n  look at it: idunno sim {}{}\n",
        some(plan.nodes.len() as u64, "node", "nodes"),
        some((plan.jobs.len() + plan.arrivals.len()) as u64, "job", "jobs"),
        some(plan.faults.len() as u64, "fault", "faults"),
        path.display(),
        quoted(&path.display().to_string()),
        fuzz.flaw()
    ))
}

/// How far making a scenario smaller came.
fn how(shrunk: &Shrunk, interrupted: bool) -> String {
    let why = if interrupted { "it was interrupted" } else { "there was no time" };
    let tries = some(shrunk.tried.into(), "try", "tries");
    match (shrunk.complete, shrunk.tried) {
        (true, _) => format!("made smaller in {tries} until nothing more could be left out"),
        (false, 0) => format!("not made smaller: {why}"),
        (false, _) => {
            format!("made smaller in {tries} until {}", why.replace("was no time", "was no time left"))
        }
    }
}

/// How many other seeds make a scenario fail as well.
#[derive(Clone, Copy, Debug)]
struct Others {
    failed: usize,
    /// How many ended in the time. Those that do not may well be those that fail: it is slow to do nothing until a bound is over.
    ended: usize,
}

impl Others {
    /// Tries as many as there are, or as `more` says true for.
    fn of(pool: &ThreadPool, plan: &Plan, failure: Failure, more: &(dyn Fn() -> bool + Sync)) -> Others {
        let fails = |number: usize| {
            let trial = Trial::run(plan, plan.seed.wrapping_add(number as u64), false, &|| !more());
            (!trial.stopped).then(|| trial.failure.is_some_and(|(other, _)| other == failure))
        };
        let all = || (1..=OTHER_SEEDS).into_par_iter();
        let fates: Vec<bool> = pool.install(|| all().filter(|_| more()).filter_map(fails).collect());
        Others { failed: fates.iter().filter(|failed| **failed).count(), ended: fates.len() }
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Others { failed, ended } = *self;
        match OTHER_SEEDS - ended {
            0 => write!(f, "it fails with {failed} of {OTHER_SEEDS} other seeds too"),
            OTHER_SEEDS => {
                write!(f, "whether it fails with other seeds too is unknown: none ended in the time")
            }
            unknown => write!(
                f,
                "of {OTHER_SEEDS} other seeds {ended} ended in the time: it fails with {failed} of these too, and \
                 with the other {unknown} it is unknown"
            ),
        }
    }
}

/// Sees that files can be written in `folder`; folders that were made for that go again.
pub(super) fn takes_files(folder: &Path) -> Result<()> {
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

/// What a file says beside the scenario.
struct Found<'a> {
    by: String,
    failure: Failure,
    detail: &'a str,
    how: &'a str,
    others: Others,
}

/// Writes a failing scenario, whole or not at all, and returns where.
fn write(folder: &Path, plan: &Plan, found: &Found<'_>) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let statement = found.failure.to_string();
    let mut plan = plan.clone();
    plan.name = free_name(folder, &format!("{}_{}", found.failure.word(), plan.name))?;
    plan.about = format!("{}{}.", statement[..1].to_uppercase(), statement[1..].trim_end_matches('.'));
    let comment: String = found.detail.lines().fold(String::new(), |text, line| format!("{text}# {line}\n"));
    let text = format!(
        "# Found by {}, and {}. At first:\n{comment}# Under its own seed it fails every time; {}.\n\n{}",
        found.by,
        found.how,
        found.others,
        to_brief_toml(&plan)
    );
    let path = folder.join(format!("{}.toml", plan.name));
    let cannot = || format!("cannot write {}", path.display());
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(".idunno-").tempfile_in(folder).with_context(cannot)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).with_context(cannot)?;
    file.persist(&path).with_context(cannot)?;
    Ok(path)
}

/// `name`, or one like it if that is the name of a file which is not ours.
fn free_name(folder: &Path, name: &str) -> Result<String> {
    let names = (1..=NAMES_MAX).map(|n| if n == 1 { name.to_owned() } else { format!("{name}_{n}") });
    for name in names {
        let path = folder.join(format!("{name}.toml"));
        if path.symlink_metadata().is_err() || is_ours(&path) {
            return Ok(name);
        }
    }
    bail!("cannot write {name}.toml in {}: files of others are in the way", folder.display())
}

/// Whether an earlier campaign has written this file.
fn is_ours(path: &Path) -> bool {
    let mut begins = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(HEADER.len() as u64).read_to_end(&mut begins));
    read.is_ok() && begins == HEADER.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{Profile, scenario};

    fn found(others: Others) -> Found<'static> {
        Found {
            by: "idunno fuzz --seeds 3..4".to_owned(),
            failure: Failure::Panic,
            detail: "index out of bounds",
            how: "not made smaller: there was no time",
            others,
        }
    }

    #[test]
    fn files_of_others_stay_and_ours_are_replaced() {
        let home = tempfile::tempdir().unwrap();
        let plan = scenario(3, Profile::Swarm);
        let found = found(Others { failed: 1, ended: OTHER_SEEDS });
        let theirs = home.path().join("panic_swarm_3.toml");
        fs::write(&theirs, "name = \"mine\"\n").unwrap();
        let ours = home.path().join("panic_swarm_3_2.toml");
        for _ in 0..2 {
            assert_eq!(write(home.path(), &plan, &found).unwrap(), ours);
        }
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "name = \"mine\"\n");
        let text = fs::read_to_string(&ours).unwrap();
        assert!(text.starts_with("# Found by idunno fuzz --seeds 3..4, and not made smaller: "), "{text}");
        assert!(text.contains("name = \"panic_swarm_3_2\""), "{text}");
        // Nothing half written is left.
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
        fs::remove_file(&theirs).unwrap();
        assert_eq!(write(home.path(), &plan, &found).unwrap(), theirs);
    }

    #[test]
    fn what_was_not_tried_to_the_end_is_unknown() {
        let said = |failed, ended| Others { failed, ended }.to_string();
        assert_eq!(said(5, 100), "it fails with 5 of 100 other seeds too");
        assert_eq!(said(0, 0), "whether it fails with other seeds too is unknown: none ended in the time");
        let some = "of 100 other seeds 37 ended in the time: it fails with 5 of these too, and with the other 63 it \
                    is unknown";
        assert_eq!(said(5, 37), some);
    }

    #[test]
    fn what_there_was_no_time_for_is_not_said_to_be_complete() {
        let said = |tried, complete, interrupted| {
            how(&Shrunk { plan: scenario(3, Profile::Swarm), tried, complete }, interrupted)
        };
        assert_eq!(said(0, false, false), "not made smaller: there was no time");
        assert_eq!(said(0, false, true), "not made smaller: it was interrupted");
        assert_eq!(said(12, false, false), "made smaller in 12 tries until there was no time left");
        assert_eq!(said(1, true, false), "made smaller in 1 try until nothing more could be left out");
    }
}
