//! Results as files: once a job is complete, whoever leads puts its predictions into the store, as `results/<job>.csv`.
//!
//! It does so as a client, and only where there is no such file: who dies in the midst of it leaves nothing behind, and its successor
//! begins anew. A file that somebody deletes comes back with the next leader, as long as its job is remembered.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::Standing;
use super::client::{Client, ClientError, Local, LocalError, StoreError};
use super::keys::Key;
use super::net::link::lock;
use super::news::Board;
use crate::base::{JobId, Prediction, Score, prediction};
use crate::node::{
    Counted, Expect, FileKind, Inputs, JobReport, JobState, Page, Put, Question, Reading, Refusal, Stats,
};

/// Between two looks at which jobs are complete.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Before it tries again what it could not do.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How long the cluster has to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Versions of a file of results that stay, if people put others.
const KEEP: u16 = 5;

/// Puts results for as long as it lives.
#[derive(Debug)]
pub(super) struct Publisher {
    /// Its end tells the thread to end.
    _alive: Sender<()>,
}

impl Publisher {
    /// Begins, on a thread of its own. `me` is where the node is reached, `folder` has room for a file at a time.
    pub(super) fn start(
        key: Key,
        me: SocketAddr,
        standing: Arc<Mutex<Standing>>,
        board: Arc<Mutex<Board>>,
        folder: PathBuf,
    ) -> io::Result<Publisher> {
        let (alive, over) = mpsc::channel();
        let clerk = Clerk { key, me, standing, board, folder, over, done: BTreeSet::new() };
        thread::Builder::new().name("results".to_owned()).spawn(move || clerk.run())?;
        Ok(Publisher { _alive: alive })
    }
}

/// Why results were not put.
#[derive(Debug, thiserror::Error)]
enum Unput {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error("no temporary file: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Table(#[from] csv::Error),
}

/// What the thread owns.
struct Clerk {
    key: Key,
    me: SocketAddr,
    standing: Arc<Mutex<Standing>>,
    board: Arc<Mutex<Board>>,
    folder: PathBuf,
    over: Receiver<()>,
    /// The jobs whose results are in the store.
    done: BTreeSet<JobId>,
}

impl Clerk {
    fn run(mut self) {
        let mut pause = LOOK_EVERY;
        // What it looked at in this reign: the news of up to this number.
        let mut looked = None;
        while let Err(RecvTimeoutError::Timeout) = self.over.recv_timeout(pause) {
            pause = LOOK_EVERY;
            let standing = lock(&self.standing).clone();
            if !standing.status.is_some_and(|status| status.leads) {
                looked = None;
                self.done.clear();
                continue;
            }
            let heard = lock(&self.board).newest("job");
            if looked == Some(heard) {
                continue;
            }
            match self.look(&standing) {
                Ok(()) => looked = Some(heard),
                Err(error) => {
                    tracing::warn!(%error, "results of complete jobs are not in the store yet");
                    pause = AGAIN_AFTER;
                }
            }
        }
    }

    /// Puts what is complete and not there.
    fn look(&mut self, standing: &Standing) -> Result<(), Unput> {
        let mut client = Client::new(&self.key, &[self.me], PATIENCE)?;
        client.learn(standing);
        let Reading::Stats(Stats { jobs, .. }) = client.read(Question::Stats)? else { return Ok(()) };
        let complete = jobs.iter().filter(|job| job.state == JobState::Complete).map(|job| job.job);
        let complete: BTreeSet<JobId> = complete.collect();
        self.done.retain(|job| complete.contains(job));
        for job in complete {
            if !self.done.contains(&job) {
                self.publish(&mut client, job)?;
                self.done.insert(job);
            }
        }
        Ok(())
    }

    /// Puts the results of one job, unless they are there.
    fn publish(&self, client: &mut Client, job: JobId) -> Result<(), Unput> {
        let name: Arc<str> = format!("results/{}.csv", job.0).into();
        match client.locate(&name, None) {
            Err(ClientError::Refused(Refusal::UnknownFile(_))) => {}
            other => return other.map(drop).map_err(Unput::from),
        }
        let Reading::Job(report) = client.read(Question::Job(job))? else { return Ok(()) };
        let local = Local::of(written(client, &report, &self.folder)?, FileKind::Plain, &|_| true)?;
        let content = Arc::clone(local.content());
        let put = Put { name: Arc::clone(&name), content, expect: Expect::Absent, keep: KEEP };
        let over = || matches!(self.over.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        match client.put(&Arc::new(put), &Arc::new(local), &|_| {}, &over) {
            Ok(_) => tracing::info!(%job, %name, "results are in the store"),
            // Somebody else was first.
            Err(StoreError::Client(ClientError::Refused(Refusal::Changed { .. }))) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// A file with the results of a job: a line for each input, and a last one that sums up.
fn written(client: &mut Client, report: &JobReport, folder: &Path) -> Result<File, Unput> {
    let job = report.status.job;
    let mut table = Table::new(BufWriter::new(tempfile::tempfile_in(folder)?))?;
    let mut next = Some(0);
    while let Some(from) = next {
        let Reading::Results(page) = client.read(Question::Results { job, from })? else { break };
        table.page(&page, &report.status.spec.inputs)?;
        next = page.next;
    }
    let file = table.end(report)?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(file)
}

/// Results as CSV.
struct Table<W: Write> {
    rows: csv::Writer<W>,
    score: Score,
}

impl<W: Write> Table<W> {
    fn new(to: W) -> Result<Table<W>, Unput> {
        let mut rows = csv::Writer::from_writer(to);
        rows.write_record(["input", "name", "prediction", "failure", "label", "right_top1", "right_top5"])?;
        Ok(Table { rows, score: Score::default() })
    }

    fn page(&mut self, page: &Page, inputs: &Inputs) -> Result<(), Unput> {
        for query in &page.queries {
            self.score = self.score.with(Score::of(&query.predictions, query.answered()));
            self.query(query, inputs)?;
        }
        Ok(())
    }

    fn query(&mut self, query: &Counted, inputs: &Inputs) -> Result<(), Unput> {
        for (input, outcome) in query.outcomes() {
            let predicted = outcome.ok().and_then(Prediction::decode);
            let right = |first| {
                let right = predicted.as_ref().and_then(|one| one.is_right(first));
                right.map_or_else(String::new, |right| u8::from(right).to_string())
            };
            let label = predicted.as_ref().and_then(|one| one.label);
            self.rows.write_record([
                input.to_string(),
                inputs.name(input).map_or_else(String::new, |name| name.to_string()),
                outcome.map(prediction::text).unwrap_or_default(),
                outcome.err().unwrap_or_default().to_owned(),
                label.map_or_else(String::new, |label| label.to_string()),
                right(1),
                right(prediction::TOP),
            ])?;
        }
        Ok(())
    }

    /// Says in the last line how much there was and how much of it is right.
    fn end(self, report: &JobReport) -> Result<W, Unput> {
        let mut to = self.rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        let status = &report.status;
        write!(to, "# {}: {} inputs, {} failed", status.job, status.inputs_done, status.inputs_failed)?;
        if let Some((first, five)) = self.score.accuracy() {
            write!(to, "; {first:.6} right, {five:.6} among the first five")?;
        }
        writeln!(to)?;
        Ok(to)
    }
}
