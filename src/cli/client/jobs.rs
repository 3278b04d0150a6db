//! `idunno jobs`, `job`, `result`, and what can be done with a job.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::classes::Classes;
use super::sheet::{Cell, Sheet};
use super::{Look, Reach, Show, ended, misuse, read};
use crate::base::{JobId, Prediction, Score, prediction};
use crate::cli::text::{count, duration, some};
use crate::cli::{Exit, Format};
use crate::cluster::Client;
use crate::node::{
    Counted, Inputs, JobReport, JobState, JobStats, Page, Question, Reading, Reply, Request, Stats,
};

pub(in crate::cli) const JOBS_EXAMPLES: &str = "\
Examples:
  idunno jobs
      How far every job is, as of now.
  idunno jobs --format json --node 10.0.0.1:7400 --key cluster.key
      The same, a JSON object per line, from another machine.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const JOB_EXAMPLES: &str = "\
Examples:
  idunno job 3
      All about job 3: how far it is, which inputs failed, and why.
  idunno job 3 --format csv
      Its failures, a line for each group of neighbours that failed for the same reason.

Exit codes: 0 fine; 1 failed, or there is no such job; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const RESULT_EXAMPLES: &str = "\
Examples:
  idunno result 3
      What has been predicted so far, a line per input. Lines are printed as they come, a page at a time.
  idunno result 3 --format csv > result.csv
      The same as a file for a spreadsheet.
  idunno result 3 --classes letters.safetensors
      With the names of the classes instead of their numbers.

Of a network the five likeliest classes are shown with their probabilities, and the right one as label, where it is known. A synthetic
model predicts four bytes, which are shown as eight hexadecimal digits.

Exit codes: 0 fine; 1 failed, or there is no such job; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const CANCEL_EXAMPLES: &str = "\
Examples:
  idunno cancel 3
      End job 3 for good. What is complete stays, until the job is removed.";

pub(in crate::cli) const STOP_EXAMPLES: &str = "\
Examples:
  idunno stop 3
      Give out no more queries of job 3 until idunno resume 3.";

pub(in crate::cli) const RESUME_EXAMPLES: &str = "\
Examples:
  idunno resume 3
      Go on with job 3, which was stopped.";

pub(in crate::cli) const REMOVE_EXAMPLES: &str = "\
Examples:
  idunno remove 3
      Forget job 3, which has ended, with its predictions; results/3.csv stays in the store until it is deleted there.";

pub(in crate::cli) const BATCH_EXAMPLES: &str = "\
Examples:
  idunno batch 3 50
      Divide what is left of job 3 into queries of 50 inputs.";

/// What commands about one job are told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct One {
    /// The job, by its number ("idunno jobs" shows them).
    #[arg(value_name = "ID", value_parser = job)]
    job: JobId,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// What `idunno result` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Results {
    #[command(flatten)]
    one: One,
    /// Show names of classes instead of numbers: those in weights of "idunno train", or a list with one per line, from class 0 on.
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
}

/// What `idunno batch` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Batch {
    #[command(flatten)]
    one: One,
    /// Inputs per query from now on.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
}

/// A job is a number, which its name in messages ends with.
fn job(text: &str) -> Result<JobId, String> {
    let number = text.strip_prefix("job ").unwrap_or(text).trim();
    let wanted = || "wanted the number of a job, such as 3".to_owned();
    number.parse().ok().filter(|number| *number > 0).map(JobId).ok_or_else(wanted)
}

/// Does what `idunno jobs` is told.
pub(in crate::cli) fn jobs(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let stats = stats(&mut client)?;
        Ok(look.show.sheet(&sheet(&stats.jobs), "There are no jobs."))
    }))
}

/// How far and how fast every job is.
pub(super) fn stats(client: &mut Client) -> Result<Stats> {
    read(client, Question::Stats, |reading| match reading {
        Reading::Stats(stats) => Some(stats),
        _ => None,
    })
}

/// What people and programs call where a job stands.
pub(super) fn state(state: JobState) -> &'static str {
    match state {
        JobState::Running => "running",
        JobState::Stopped => "stopped",
        JobState::Complete => "complete",
        JobState::Cancelled => "cancelled",
    }
}

/// Which part of a job is done.
pub(super) fn share(done: u64, all: u64) -> Cell {
    let share = done as f64 / all.max(1) as f64;
    // Nothing is complete before all of it is.
    Cell::amount(share, format!("{:.1} %", (share * 1000.0).floor() / 10.0))
}

fn sheet(jobs: &[JobStats]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("job", "job"),
        ("name", "name"),
        ("model", "model"),
        ("state", "state"),
        ("inputs", "inputs"),
        ("done", "done"),
        ("share", "share"),
        ("failed", "failed"),
        ("batch", "batch"),
        ("ended", "ended"),
    ]);
    for job in jobs {
        let over = matches!(job.state, JobState::Complete | JobState::Cancelled);
        sheet.row(vec![
            Cell::number(job.job.0),
            Cell::text(&*job.name),
            Cell::text(&*job.model),
            Cell::text(state(job.state)),
            Cell::count(job.inputs),
            Cell::count(job.inputs_done),
            share(job.inputs_done, job.inputs),
            Cell::count(job.inputs_failed),
            Cell::count(job.batch),
            Cell::flag(over),
        ]);
    }
    sheet
}

/// Does what `idunno job` is told.
pub(in crate::cli) fn one(one: &One) -> Exit {
    ended(one.reach.client().and_then(|mut client| {
        let report = report(&mut client, one.job)?;
        let accuracy = score(&mut client, one.job)?.accuracy();
        Ok(match one.show.format {
            Format::Table => one.show.say(&described(&report, accuracy)),
            Format::Json => one.show.say(&format!("{}\n", as_json(&report, accuracy))),
            Format::Csv => one.show.sheet(&failures(&report), ""),
        })
    }))
}

/// How often the predictions of a job are right so far. Of an engine that does not say what would be right, one page tells.
pub(super) fn score(client: &mut Client, job: JobId) -> Result<Score> {
    let (mut score, mut from) = (Score::default(), Some(0));
    while let Some(at) = from {
        let page = results(client, job, at)?;
        let of = |query: &Counted| Score::of(&query.predictions, query.answered());
        score = page.queries.iter().map(of).fold(score, Score::with);
        from = page.next.filter(|_| score.known > 0);
    }
    Ok(score)
}

/// The results of a job from an input on.
fn results(client: &mut Client, job: JobId, from: u64) -> Result<Page> {
    read(client, Question::Results { job, from }, |reading| match reading {
        Reading::Results(page) => Some(page),
        _ => None,
    })
}

fn report(client: &mut Client, job: JobId) -> Result<JobReport> {
    read(client, Question::Job(job), |reading| match reading {
        Reading::Job(report) => Some(report),
        _ => None,
    })
}

fn state_of(report: &JobReport) -> &'static str {
    match (report.cancelled, report.status.ended, report.status.stopped) {
        (true, _, _) => "cancelled",
        (_, true, _) => "complete",
        (_, _, true) => "stopped",
        _ => "running",
    }
}

/// A job in a few lines for people.
fn described(report: &JobReport, accuracy: Option<(f64, f64)>) -> String {
    let (status, spec) = (&report.status, &report.status.spec);
    let inputs = match &spec.inputs {
        Inputs::Range { dataset, from, count: all } => {
            // The version that it reads, also where whoever submitted it did not say which.
            let dataset = report.reads.as_ref().unwrap_or(dataset);
            format!("{} of {dataset}, from number {}", some(*all, "input", "inputs"), count(*from))
        }
        Inputs::Names(names) => some(names.len() as u64, "input by name", "inputs by name"),
    };
    let mut text = format!(
        "{}: {}, {}\n  model     {}\n  inputs    {inputs}\n  done      {}, {} failed\n  queries   {} of {} counted, {} each\n  submitted {} ago\n",
        status.job,
        spec.name,
        state_of(report),
        spec.model,
        count(status.inputs_done),
        count(status.inputs_failed),
        count(report.queries_counted.into()),
        count(report.queries.into()),
        some(status.batch.into(), "input", "inputs"),
        duration(report.age.as_secs()),
    );
    if let Some((first, five)) = accuracy {
        let _ = writeln!(
            text,
            "  accuracy  {:.2} % are right, {:.2} % among the first five",
            100.0 * first,
            100.0 * five
        );
    }
    if !report.failures.is_empty() {
        let shown: u64 = report.failures.iter().map(|failed| failed.inputs).sum();
        text += "\n";
        text += &failures(report).shown(Format::Table);
        if shown < status.inputs_failed {
            let _ =
                writeln!(text, "{} more failed inputs are not shown.", count(status.inputs_failed - shown));
        }
    }
    text
}

fn as_json(report: &JobReport, accuracy: Option<(f64, f64)>) -> serde_json::Value {
    let (status, spec) = (&report.status, &report.status.spec);
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|failed| {
            let name = spec.inputs.name(failed.from);
            serde_json::json!({ "from": failed.from, "name": name, "inputs": failed.inputs, "reason": failed.reason })
        })
        .collect();
    serde_json::json!({
        "job": status.job.0, "name": spec.name, "model": spec.model, "state": state_of(report),
        "inputs": spec.inputs.count(), "reads": report.reads, "done": status.inputs_done, "failed": status.inputs_failed,
        "queries": report.queries, "queries_counted": report.queries_counted, "batch": status.batch,
        "weight": spec.weight, "priority": spec.priority,
        "age_s": crate::cli::text::rounded(report.age.as_secs()), "ended": status.ended, "failures": failures,
        "accuracy_top1": accuracy.map(|accuracy| accuracy.0), "accuracy_top5": accuracy.map(|accuracy| accuracy.1),
    })
}

fn failures(report: &JobReport) -> Sheet {
    let columns = [("from", "from"), ("name", "name"), ("inputs", "inputs"), ("reason", "reason")];
    let mut sheet = Sheet::new(&columns);
    for failed in &report.failures {
        sheet.row(vec![
            Cell::number(failed.from),
            Cell::maybe(report.status.spec.inputs.name(failed.from), |name| Cell::text(&*name)),
            Cell::count(failed.inputs),
            Cell::text(&*failed.reason),
        ]);
    }
    sheet
}

/// Does what `idunno result` is told.
pub(in crate::cli) fn result(Results { one, classes }: &Results) -> Exit {
    ended(one.reach.client_of_all().and_then(|(mut client, _)| {
        let classes = classes.as_deref().map(Classes::read).transpose().map_err(|error| misuse(&error))?;
        let inputs = report(&mut client, one.job)?.status.spec.inputs;
        let mut from = Some(0);
        let mut first = true;
        while let Some(at) = from {
            let page = results(&mut client, one.job, at)?;
            let exit = one.show.say(&page_shown(&page, &inputs, classes.as_ref(), one.show.format, first));
            if exit != Exit::Fine {
                return Ok(exit);
            }
            (from, first) = (page.next, false);
        }
        Ok(Exit::Fine)
    }))
}

/// A page of results; its columns are named on the first one alone.
fn page_shown(
    page: &Page,
    inputs: &Inputs,
    classes: Option<&Classes>,
    format: Format,
    first: bool,
) -> String {
    let columns = [
        ("input", "input"),
        ("name", "name"),
        ("prediction", "prediction"),
        ("failure", "failure"),
        ("label", "label"),
    ];
    let mut sheet = Sheet::new(&columns);
    for query in &page.queries {
        for (input, outcome) in query.outcomes() {
            let (prediction, failure) = match outcome {
                Ok(bytes) => (Some(bytes), None),
                Err(reason) => (None, Some(reason)),
            };
            let of_network = prediction.and_then(Prediction::decode);
            let label = of_network.as_ref().and_then(|prediction| prediction.label);
            sheet.row(vec![
                Cell::number(input),
                Cell::maybe(inputs.name(input), |name| Cell::text(&*name)),
                match (classes, &of_network) {
                    (Some(classes), Some(of_network)) => Cell::text(classes.text(of_network)),
                    _ => Cell::maybe(prediction, |bytes| Cell::text(prediction::text(bytes))),
                },
                Cell::maybe(failure, Cell::text),
                Cell::maybe(label, |label| match classes {
                    Some(classes) => Cell::text(classes.name(label)),
                    None => Cell::number(label),
                }),
            ]);
        }
    }
    match format {
        Format::Csv => sheet.csv(first),
        Format::Json => sheet.shown(format),
        Format::Table => {
            let table = sheet.shown(format);
            if first {
                table
            } else {
                table.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned())
            }
        }
    }
}

/// Does what `idunno cancel`, `stop`, `resume` and `remove` are told: `ask` is the request, `done` what has become of the job.
pub(in crate::cli) fn change(one: &One, ask: fn(JobId) -> Request, done: &str) -> Exit {
    changed(&one.reach, &one.show, &ask(one.job), &format!("{} {done}", one.job))
}

/// Does what `idunno batch` is told.
pub(in crate::cli) fn batch(batch: &Batch) -> Exit {
    let One { job, reach, show } = &batch.one;
    let request = Request::SetBatch { job: *job, batch: batch.batch };
    let per = some(batch.batch.into(), "input", "inputs");
    changed(reach, show, &request, &format!("{job} is divided into queries of {per} from here on"))
}

/// Changes something once, and says so.
pub(super) fn changed(reach: &Reach, show: &Show, request: &Request, done: &str) -> Exit {
    ended(reach.client_of_all().and_then(|(mut client, _)| match client.request(request)? {
        Reply::Done => Ok(show.note(done)),
        _ => bail!("the node answered another question"),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::node::Failure;

    #[test]
    fn every_input_has_a_prediction_or_a_reason() {
        let failed: Arc<[Failure]> = [Failure { input: 1, reason: "unreadable".into() }].into();
        let query = Counted { from: 10, inputs: 3, predictions: vec![1, 2, 0xab, 0xcd].into(), failed };
        let page = Page { queries: vec![query], next: None, ended: true };
        let names: Arc<[Arc<str>]> = (0..13).map(|n| format!("{n}.png").into()).collect();
        let shown = page_shown(&page, &Inputs::Names(names), None, Format::Csv, true);
        let wanted = "input,name,prediction,failure,label\n10,10.png,0102,,\n11,11.png,,unreadable,\n12,12.png,abcd,,\n";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_a_network_predicts_is_shown_with_what_would_be_right() {
        let bytes = Prediction { label: Some(2), top: vec![(2, 0.75), (0, 0.25)] }.encode();
        let query = Counted { from: 0, inputs: 1, predictions: bytes.to_vec().into(), failed: [].into() };
        let page = Page { queries: vec![query], next: None, ended: true };
        let inputs = Inputs::Range { dataset: "node:/data".into(), from: 0, count: 1 };
        let shown = |classes| page_shown(&page, &inputs, classes, Format::Csv, false);
        assert_eq!(shown(None), "0,node:/data:0,2:0.7500 0:0.2500,,2\n");
        // What has no name keeps its number.
        let named = Classes::of(&["cat", "dog"]);
        assert_eq!(shown(Some(&named)), "0,node:/data:0,2:0.7500 | cat:0.2500,,2\n");
        let named = Classes::of(&["cat", "dog", "cow"]);
        assert_eq!(shown(Some(&named)), "0,node:/data:0,cow:0.7500 | cat:0.2500,,cow\n");
    }

    #[test]
    fn nearly_complete_is_not_complete() {
        assert!(format!("{:?}", share(99_999, 100_000)).contains("99.9 %"));
        assert!(format!("{:?}", share(5, 5)).contains("100.0 %"));
    }
}
