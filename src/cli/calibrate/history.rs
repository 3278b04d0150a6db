//! `idunno calibrate history`: what models took in a run, real or not, as the tables of a scenario.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;

use super::fit;
use super::free;
use super::times::{Times, figures, remarks};
use crate::base::{AttemptId, JobId, Time};
use crate::cli::client::Misuse;
use crate::cli::text::some;
use crate::cli::{Exit, screen};
use crate::history::{Change, JobSpec, Machine, Observation, Record, Sink, What};
use crate::report::Stored;
use crate::scenario::{Plan, model_to_toml, to_toml};

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno calibrate history results/torch_coord_fail/real
      What each model took in that drill: a line per size of its queries, then the tables for a scenario.
  idunno calibrate history results/torch_coord_fail/real --whole --out measured.toml
      The scenario of the drill, with the network and the disks that were measured before it, and these times: idunno
      sim measured.toml rehearses what was done.
  idunno collect --since 1h --out now
  idunno calibrate history now/collected/real
      Of a cluster that was started by hand.

Times are those on the engines, from the beginning of a query to its end, of queries every input of which was answered: where several engines share a
machine, as in a drill, they hold what that costs.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed.";

/// So many queries of a size are needed to say what it takes; of a model none of whose sizes has as many, all are taken.
const QUERIES_MIN: usize = 5;

/// What `idunno calibrate history` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Past {
    /// A folder of results, such as `results/coord_fail/real`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write the whole scenario of the run with what was measured, and not the models alone.
    #[arg(long)]
    whole: bool,
    /// Write it into this file, which must not exist, and not to the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Does what `idunno calibrate history` is told.
pub(super) fn measured(past: &Past) -> Result<Exit> {
    free(past.out.as_deref())?;
    let misuse = |error: crate::report::StoredError| Misuse(format!("{:#}", anyhow::Error::new(error)));
    let (mut plan, mut stored) = Stored::open(&past.folder).map_err(misuse)?;
    let mut all: BTreeMap<Arc<str>, Found> = BTreeMap::new();
    while let Some(trial) = stored.next_trial().map_err(misuse)? {
        let mut ears = Ears::of(&plan, &mut all);
        stored.read(&trial, &mut ears).map_err(misuse)?;
    }
    let engines = plan.nodes.iter().filter(|node| node.worker).count() as u32;
    let mut tables = Vec::new();
    for (name, model) in &mut plan.models {
        let Some(found) = all.remove(name).filter(|found| !found.queries.is_empty()) else {
            screen::complain(&format!("{name}: no query of it was answered; its costs stay as they are."));
            continue;
        };
        let times = found.times(engines);
        let fitted = fit::fit(&times.queries);
        // Where a run begins in the midst of things, models may have been loaded before.
        let load = fit::load(&times.loads).unwrap_or(model.profile.load);
        model.profile = fitted.profile(load);
        screen::complain(&format!("{name}\n{}", figures(&times, &fitted)));
        let origin = format!(
            "by idunno calibrate history in {}: {}",
            past.folder.display(),
            some(u64::from(engines), "worker", "workers")
        );
        tables.push(remarks(&origin, &times) + &model_to_toml(name, model));
    }
    if tables.is_empty() {
        return Err(Misuse(format!("no query was answered in {}", past.folder.display())).into());
    }
    let text = if past.whole { to_toml(&plan) } else { tables.join("\n") };
    match &past.out {
        Some(out) => {
            std::fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
            Ok(Exit::Fine)
        }
        None => Ok(screen::say(&text)),
    }
}

/// What one model took, in seconds at speed 1.
#[derive(Debug, Default)]
struct Found {
    loads: Vec<f64>,
    /// By the number of inputs.
    queries: BTreeMap<u32, Vec<f64>>,
}

impl Found {
    /// Sorted, without sizes of which there are too few.
    fn times(mut self, engines: u32) -> Times {
        if self.queries.values().any(|all| all.len() >= QUERIES_MIN) {
            self.queries.retain(|_, all| all.len() >= QUERIES_MIN);
        }
        self.loads.sort_by(f64::total_cmp);
        let sorted = |(size, mut all): (u32, Vec<f64>)| {
            all.sort_by(f64::total_cmp);
            (size, all)
        };
        Times { engines, loads: self.loads, queries: self.queries.into_iter().map(sorted).collect() }
    }
}

/// Listens to one trial.
#[derive(Debug)]
struct Ears<'a> {
    plan: &'a Plan,
    all: &'a mut BTreeMap<Arc<str>, Found>,
    jobs: BTreeMap<JobId, Arc<JobSpec>>,
    /// When engines began: with a load, and with an attempt.
    loading: BTreeMap<(Machine, Arc<str>), Time>,
    began: BTreeMap<AttemptId, Time>,
    /// What attempts took that have ended well and are not counted yet.
    took: BTreeMap<AttemptId, f64>,
    /// The last entry whose changes were looked at: every node applies it.
    applied: u64,
}

impl<'a> Ears<'a> {
    fn of(plan: &'a Plan, all: &'a mut BTreeMap<Arc<str>, Found>) -> Ears<'a> {
        let (jobs, loading, began, took) = Default::default();
        Ears { plan, all, jobs, loading, began, took, applied: 0 }
    }

    fn since(&self, from: Time, to: Time, machine: Machine) -> f64 {
        let speed = self.plan.nodes.get(machine as usize).map_or(1.0, |node| node.speed);
        to.since(from).as_secs() * speed
    }

    fn on_changes(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::JobAdded { job, spec } => {
                    self.jobs.insert(*job, Arc::clone(spec));
                }
                Change::Counted { query, attempt, inputs, failed, .. } => {
                    // What could not be answered took no time that an answer takes.
                    let took = self.took.remove(attempt).filter(|_| *failed == 0);
                    if let (Some(took), Some(spec)) = (took, self.jobs.get(&query.job)) {
                        let found = self.all.entry(Arc::clone(&spec.model)).or_default();
                        found.queries.entry(*inputs).or_default().push(took);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Sink for Ears<'_> {
    fn record(&mut self, record: &Record) {
        let (at, Some(machine), What::Node(observation)) = (record.at, record.machine, &record.what) else {
            return;
        };
        match observation {
            Observation::Loading { model } => {
                self.loading.insert((machine, Arc::clone(model)), at);
            }
            Observation::Loaded { model, ok } => {
                let began = self.loading.remove(&(machine, Arc::clone(model)));
                if let (Some(began), true) = (began, ok) {
                    let took = self.since(began, at, machine);
                    self.all.entry(Arc::clone(model)).or_default().loads.push(took);
                }
            }
            Observation::Began { attempt, .. } => {
                self.began.insert(*attempt, at);
            }
            Observation::Ended { attempt, error: None, .. } => {
                if let Some(began) = self.began.remove(attempt) {
                    self.took.insert(*attempt, self.since(began, at, machine));
                }
            }
            Observation::Applied { entry, changes, .. } if entry.position.index.0 > self.applied => {
                self.applied = entry.position.index.0;
                self.on_changes(changes);
            }
            _ => {}
        }
    }
}
