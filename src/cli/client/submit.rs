//! `idunno submit` and `idunno predict`: jobs for a cluster.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::inputs::{inputs, range};
use super::jobs::score;
use super::sheet::{Cell, Sheet};
use super::{Misuse, Reach, Show, ended, read};
use crate::base::{JobId, Score};
use crate::cli::text::{count, list, some};
use crate::cli::{Exit, Format};
use crate::cluster::{Client, Standing};
use crate::node::limits::{PRIORITY_MAX, WEIGHT_MAX};
use crate::node::{Inputs, JobReport, JobSpec, Question, Reading, Reply, Request};

/// Between two looks at a job that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(in crate::cli) const SUBMIT_EXAMPLES: &str = "\
Examples:
  idunno submit letters 1000 --batch 10
      A hundred queries of ten inputs; the number of the job is printed as soon as a majority holds it.
  idunno submit letters 1000 --wait --node 10.0.0.1:7400,10.0.0.2:7400 --key cluster.key
      Ask whichever of two nodes answers, and wait until the job has ended.
  idunno submit letters photos.zip --range 0..500
      The first 500 files in a zip, in the order of their names.
  idunno submit letters node:/data/images --range 0..10000 --batch 50
      Inputs that are on the workers already.
  idunno submit letters store:data/letters --range 0..26000 --batch 50
      A folder that was put into the cluster's store (idunno put): workers fetch what their queries read.

INPUTS is a number, a file with a name per line, a folder, a zip, store:NAME for a file of the store (store:NAME@2 is version 2), or node:/path for
what is on the workers; a job takes at most 10,000 names. Of folders and zips here only the names travel: networks (engine torch) need store:NAME, or
node:/path where each worker has a copy; to synthetic models numbers are enough.

Exit codes: 0 fine; 1 failed, or with --wait: some inputs failed; 2 usage or a bad file; 5 no quorum;
130 interrupted, the job goes on.";

pub(in crate::cli) const PREDICT_EXAMPLES: &str = "\
Examples:
  idunno predict 1000 --models letters,digits --batch 10
      Both models on the same thousand inputs at once, a job each.
  idunno predict photos.zip --models letters,digits --wait
      The same with the files in a zip, until both jobs have ended.

INPUTS is what it is for idunno submit.

Exit codes: 0 fine; 1 failed, or with --wait: some inputs failed; 2 usage or a bad file; 5 no quorum;
130 interrupted, the jobs go on.";

/// What both are told.
#[derive(Clone, Debug, Args)]
struct Work {
    /// Inputs per query.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Only the inputs from A up to, but without, B, counted from 0.
    #[arg(long, value_name = "A..B", value_parser = range)]
    range: Option<Range<u64>>,
    /// The job's share of the workers relative to others, where the policy has a meaning for it.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = weight)]
    weight: f64,
    /// Jobs of a higher priority go first, where the policy has a meaning for it.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-i64::from(PRIORITY_MAX)..=i64::from(PRIORITY_MAX)))]
    priority: i32,
    /// Wait until the job has ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

fn weight(text: &str) -> Result<f64, String> {
    let weight = text.parse().ok().filter(|weight: &f64| *weight > 0.0 && *weight <= WEIGHT_MAX);
    weight.ok_or_else(|| format!("wanted a number above 0, at most {WEIGHT_MAX}"))
}

/// What `idunno submit` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Submit {
    /// The model to run; every node that takes queries has to know it by its configuration.
    #[arg(value_name = "MODEL")]
    model: String,
    /// What to run it on: a number of inputs, a list of names, a folder, a zip, `store:NAME`, or `node:/path`.
    #[arg(value_name = "INPUTS")]
    inputs: String,
    /// What people call the job [default: the model's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    work: Work,
}

/// What `idunno predict` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Predict {
    /// What to run the models on: a number of inputs, a list of names, a folder, a zip, `store:NAME`, or `node:/path`.
    #[arg(value_name = "INPUTS")]
    inputs: String,
    /// The models, a job for each.
    #[arg(long, required = true, value_name = "MODEL,...", value_delimiter = ',')]
    models: Vec<String>,
    #[command(flatten)]
    work: Work,
}

/// Does what `idunno submit` is told.
pub(in crate::cli) fn submit(submit: &Submit, stop: &AtomicBool) -> Exit {
    let jobs = [(submit.name.as_deref().unwrap_or(&submit.model), submit.model.as_str())];
    ended(submitted(&submit.inputs, &jobs, &submit.work, stop))
}

/// Does what `idunno predict` is told.
pub(in crate::cli) fn predict(predict: &Predict, stop: &AtomicBool) -> Exit {
    let jobs: Vec<(&str, &str)> =
        predict.models.iter().map(|model| (model.as_str(), model.as_str())).collect();
    ended(submitted(&predict.inputs, &jobs, &predict.work, stop))
}

/// Submits a job per name and model.
fn submitted(what: &str, jobs: &[(&str, &str)], work: &Work, stop: &AtomicBool) -> Result<Exit> {
    if jobs.iter().any(|(_, model)| model.is_empty()) {
        return Err(Misuse("a model needs a name".to_owned()).into());
    }
    let inputs = inputs(what, work.range.as_ref())?;
    // Who else could answer is good to know before anything has to be repeated.
    let (mut client, own) = work.reach.client_of_all()?;
    for (_, model) in jobs {
        known(model, &own)?;
    }
    let mut accepted = Vec::new();
    for (name, model) in jobs {
        accepted.push(one(&mut client, name, model, &inputs, work)?);
    }
    let mut sheet = Sheet::new(&[("job", "job"), ("name", "name"), ("model", "model"), ("inputs", "inputs")]);
    for (job, (name, model)) in accepted.iter().zip(jobs) {
        sheet.row(vec![
            Cell::number(job.0),
            Cell::text(*name),
            Cell::text(*model),
            Cell::count(inputs.count()),
        ]);
    }
    let exit = match work.show.format {
        Format::Table => {
            work.show.note(&accepted.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
        _ => work.show.sheet(&sheet, ""),
    };
    if !work.wait || exit != Exit::Fine {
        return Ok(exit);
    }
    let mut exit = Exit::Fine;
    for job in accepted {
        exit = match waited(&mut client, job, stop)? {
            Some(report) => exit.graver(told(&report, score(&mut client, job)?, &work.show)),
            None => return Ok(Exit::Interrupted),
        };
    }
    Ok(exit)
}

/// Refuses a model that the node knows nothing of, before it is asked for anything: every node has the same settings.
fn known(model: &str, own: &Standing) -> Result<()> {
    let works = own.members.iter().any(|member| member.id == own.id && member.worker);
    // Who takes no queries need not know what can be run.
    if own.models.iter().any(|known| **known == *model) || (own.models.is_empty() && !works) {
        return Ok(());
    }
    let names: Vec<String> = own.models.iter().map(ToString::to_string).collect();
    let there = if names.is_empty() { "none".to_owned() } else { list(&names) };
    let why = format!("there is no model {model:?}; the settings of {} name {there}", own.name);
    Err(Misuse(why).into())
}

fn one(client: &mut Client, name: &str, model: &str, inputs: &Inputs, work: &Work) -> Result<JobId> {
    let spec = JobSpec {
        name: name.into(),
        model: model.into(),
        inputs: inputs.clone(),
        batch: work.batch,
        weight: work.weight,
        priority: work.priority,
    };
    match client.request(&Request::Submit(spec))? {
        Reply::Submitted(job) => Ok(job),
        _ => bail!("the node answered another question"),
    }
}

/// Waits until a job has ended; `None` when interrupted.
fn waited(client: &mut Client, job: JobId, stop: &AtomicBool) -> Result<Option<JobReport>> {
    while !stop.load(Ordering::Relaxed) {
        let report = read(client, Question::Job(job), |reading| match reading {
            Reading::Job(report) => Some(report),
            _ => None,
        })?;
        if report.status.ended {
            return Ok(Some(report));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(None)
}

/// Says how a job ended.
fn told(report: &JobReport, score: Score, show: &Show) -> Exit {
    let status = &report.status;
    let (done, failed, all) = (status.inputs_done, status.inputs_failed, status.spec.inputs.count());
    let mut parts = vec![format!("{} of {} done", count(done), some(all, "input", "inputs"))];
    parts.push(if failed == 0 { "none failed".to_owned() } else { format!("{} failed", count(failed)) });
    if let Some((first, _)) = score.accuracy() {
        parts.push(format!("{:.2} % right", 100.0 * first));
    }
    let how = if report.cancelled { "was cancelled" } else { "has ended" };
    show.note(&format!("{} {how}: {}", status.job, list(&parts)));
    if failed > 0 || done < all { Exit::Failed } else { Exit::Fine }
}
