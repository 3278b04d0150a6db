//! Why inputs of jobs failed, asked of the cluster before it ends: histories only count them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::super::client::Client;
use super::super::keys::Key;
use crate::base::JobId;
use crate::history::{Change, Observation, Record, What};
use crate::node::{JobReport, Question, Reading};

/// The most jobs that are asked about.
const JOBS_MAX: usize = 3;
/// How long the cluster has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A line for each of the first jobs that had failed inputs: how many, and why the first of them did. Of a cluster that does not answer
/// nothing is known.
pub(super) fn failures(records: &[Record], key: &Path, nodes: &[SocketAddr]) -> Vec<String> {
    let jobs: BTreeSet<JobId> = records.iter().flat_map(of).take(JOBS_MAX).collect();
    if jobs.is_empty() {
        return Vec::new();
    }
    let client = Key::read(key).ok().and_then(|key| Client::new(&key, nodes, PATIENCE).ok());
    let Some(mut client) = client else { return Vec::new() };
    let ask = |job| match client.read(Question::Job(job)) {
        Ok(Reading::Job(report)) => line(&report),
        _ => None,
    };
    jobs.into_iter().filter_map(ask).collect()
}

/// The jobs of which a record says that inputs failed.
fn of(record: &Record) -> impl Iterator<Item = JobId> {
    let changes = match &record.what {
        What::Node(Observation::Applied { changes, .. }) => changes.iter(),
        _ => [].iter(),
    };
    changes.filter_map(|change| match change {
        Change::Counted { query, failed, .. } => (*failed > 0).then_some(query.job),
        _ => None,
    })
}

fn line(report: &JobReport) -> Option<String> {
    let first = report.failures.first()?;
    let status = &report.status;
    Some(format!(
        "{} of {} inputs of {} failed, the first for this reason: {}",
        status.inputs_failed,
        status.spec.inputs.count(),
        status.job,
        first.reason
    ))
}
