//! What clients ask of a real cluster: `submit`, `jobs`, `members`, `status`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::run::{HOME, addresses, key};
use super::text::columns;
use super::{Exit, Format, screen};
use crate::base::{JobId, Span};
use crate::cluster::Client;
use crate::node::{Inputs, JobSpec, JobStatus, Reply, Request};

/// Between two looks at a job that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) const SUBMIT_EXAMPLES: &str = "\
Examples:
  idunno submit letters 1000 --batch 10
      A hundred queries of ten inputs; the number of the job is printed as soon as a majority holds it.
  idunno submit letters 1000 --wait --node 10.0.0.1:7400,10.0.0.2:7400 --key cluster.key
      Ask whichever of two nodes answers, and wait until the job has ended.

Exit codes: 0 fine; 1 failed, or with --wait: some inputs failed; 2 usage or a bad file; 130 interrupted, the job goes on.";

pub(super) const JOBS_EXAMPLES: &str = "\
Examples:
  idunno jobs
      How far every job is, as of now.
  idunno jobs --format json --node 10.0.0.1:7400 --key cluster.key
      The same, a JSON object per line, from another machine.";

pub(super) const MEMBERS_EXAMPLES: &str = "\
Examples:
  idunno members
      Who belongs to the cluster, who votes and who leads, as the node sees it.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  idunno status --node 10.0.0.2:7400 --key cluster.key
      How this one node sees itself.";

/// Whom to ask.
#[derive(Clone, Debug, Args)]
pub(super) struct Reach {
    /// Where nodes listen; the first that answers is asked, and any will do [default: `IDUNNO_NODE`, or 127.0.0.1:7400].
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    node: Vec<String>,
    /// The file with the cluster's secret [default: `IDUNNO_KEY`, or the file key in your data folder].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How long to ask before giving up.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = patience)]
    timeout: Span,
}

fn patience(text: &str) -> Result<Span, String> {
    crate::scenario::span(text).ok_or_else(|| "wanted a time such as 30s or 500ms".to_owned())
}

impl Reach {
    pub(super) fn client(&self) -> Result<Client> {
        let from_outside = std::env::var("IDUNNO_NODE").ok().filter(|nodes| !nodes.is_empty());
        let nodes = if self.node.is_empty() {
            from_outside.as_deref().unwrap_or(HOME).split(',').map(str::to_owned).collect()
        } else {
            self.node.clone()
        };
        let file = self.key.clone().or_else(|| std::env::var_os("IDUNNO_KEY").map(PathBuf::from));
        let key = key(file.as_deref(), false)?;
        Ok(Client::new(&key, &addresses(&nodes)?, Duration::from_nanos(self.timeout.0))?)
    }
}

/// What `idunno submit` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Submit {
    /// The model to run; every node that takes queries has to know it by its configuration.
    #[arg(value_name = "MODEL")]
    model: String,
    /// How many inputs to run it on.
    #[arg(value_name = "INPUTS", value_parser = clap::value_parser!(u64).range(1..))]
    inputs: u64,
    /// Inputs per query.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// What people call the job [default: the model's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait until the job has ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    reach: Reach,
}

/// What `idunno jobs`, `members` and `status` are told.
#[derive(Clone, Debug, Args)]
pub(super) struct Look {
    #[command(flatten)]
    reach: Reach,
    /// How to show it.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

/// Does what `idunno submit` is told.
pub(super) fn submit(submit: &Submit, stop: &AtomicBool) -> Exit {
    ended(submitted(submit, stop))
}

/// Does what `idunno jobs` is told.
pub(super) fn jobs(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let jobs = all_jobs(&mut client)?;
        let rows = jobs.iter().map(|status| {
            let spec = &status.spec;
            vec![
                json!(status.job.0),
                json!(spec.name),
                json!(spec.model),
                json!(spec.inputs.count()),
                json!(status.inputs_done),
                json!(status.inputs_failed),
                json!(status.ended),
            ]
        });
        let names = ["job", "name", "model", "inputs", "done", "failed", "ended"];
        Ok(screen::say(&shown(look.format, &names, &rows.collect::<Vec<_>>())))
    }))
}

/// Does what `idunno members` is told.
pub(super) fn members(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let standing = client.standing()?;
        let leader = standing.status.and_then(|status| status.coordinator);
        let rows = standing.members.iter().map(|member| {
            vec![
                json!(member.name),
                json!(member.id.to_string()),
                json!(member.incarnation.0),
                json!(member.kind),
                json!(member.worker),
                json!(standing.seats.voters.contains(&member.id)),
                json!(leader == Some(member.id)),
                json!(member.address),
            ]
        });
        let names = ["name", "id", "life", "kind", "worker", "votes", "leads", "address"];
        Ok(screen::say(&shown(look.format, &names, &rows.collect::<Vec<_>>())))
    }))
}

/// Does what `idunno status` is told.
pub(super) fn status(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let standing = client.standing()?;
        let Some(status) = standing.status else { bail!("the node has only just begun") };
        let row = vec![
            json!(standing.name),
            json!(standing.id.to_string()),
            json!(status.incarnation.0),
            json!(status.member),
            json!(status.view.0),
            json!(status.epoch.0),
            json!(status.coordinator.map(|id| id.to_string())),
            json!(status.leads),
            json!(status.votes),
            json!(status.held),
            json!(standing.dropped),
        ];
        let names = [
            "name",
            "id",
            "life",
            "member",
            "view",
            "epoch",
            "coordinator",
            "leads",
            "votes",
            "held",
            "dropped",
        ];
        Ok(screen::say(&shown(look.format, &names, &[row])))
    }))
}

fn ended(result: Result<Exit>) -> Exit {
    result.unwrap_or_else(|error| {
        screen::error(&error);
        Exit::Failed
    })
}

fn submitted(submit: &Submit, stop: &AtomicBool) -> Result<Exit> {
    let mut client = submit.reach.client()?;
    // Who else could answer is good to know before anything has to be repeated.
    let standing = client.standing()?;
    client.learn(&standing);
    let spec = JobSpec {
        name: submit.name.as_deref().unwrap_or(&submit.model).into(),
        model: submit.model.as_str().into(),
        inputs: Inputs::Range { dataset: "synthetic".into(), from: 0, count: submit.inputs },
        batch: submit.batch,
        weight: 1.0,
        priority: 0,
    };
    let job = match client.request(&Request::Submit(spec))? {
        Reply::Submitted(job) => job,
        Reply::Refused(refusal) => bail!("refused: {refusal}"),
        Reply::Done | Reply::Jobs(_) => bail!("the node answered another question"),
    };
    let exit = screen::say(&format!("{job}\n"));
    if !submit.wait || exit != Exit::Fine {
        return Ok(exit);
    }
    while !stop.load(Ordering::Relaxed) {
        let status = one_job(&mut client, job)?;
        if status.ended {
            let (done, failed) = (status.inputs_done, status.inputs_failed);
            let text = format!("{job} has ended: {done} of {} inputs done, {failed} failed\n", submit.inputs);
            let exit = screen::say(&text);
            return Ok(if failed > 0 || done < submit.inputs { Exit::Failed } else { exit });
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(Exit::Interrupted)
}

fn one_job(client: &mut Client, job: JobId) -> Result<JobStatus> {
    let found = all_jobs(client)?.into_iter().find(|status| status.job == job);
    found.ok_or_else(|| anyhow!("{job} was forgotten meanwhile"))
}

fn all_jobs(client: &mut Client) -> Result<Vec<JobStatus>> {
    match client.request(&Request::Jobs)? {
        Reply::Jobs(jobs) => Ok(jobs),
        Reply::Refused(refusal) => bail!("refused: {refusal}"),
        Reply::Done | Reply::Submitted(_) => bail!("the node answered another question"),
    }
}

/// Rows under their names, in the form that was asked for.
fn shown(format: Format, names: &[&str], rows: &[Vec<Value>]) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let lines: Vec<String> = match format {
        Format::Json => rows
            .iter()
            .map(|row| {
                let fields = names.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned());
                Value::Object(fields.collect::<Map<_, _>>()).to_string()
            })
            .collect(),
        Format::Table => {
            let head = names.iter().map(|name| (*name).to_owned()).collect();
            let rows = rows.iter().map(|row| row.iter().map(plain).collect());
            vec![columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())]
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            let cells = rows.iter().map(|row| row.iter().map(plain).collect::<Vec<_>>());
            let head = names.iter().map(|name| (*name).to_owned()).collect();
            for line in std::iter::once(head).chain(cells) {
                writer.write_record(line).expect("memory takes everything");
            }
            let bytes = writer.into_inner().expect("memory takes everything");
            vec![String::from_utf8(bytes).expect("texts are texts").trim_end().to_owned()]
        }
    };
    if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
}
