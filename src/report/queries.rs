//! The rows about queries, attempts and jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cluster::Cluster;
use super::format::{Number, Seconds};
use super::rows::{AttemptRow, JobRow, QueryRow};
use super::stats::Stats;
use super::work::{Job, Work};
use crate::base::{JobId, Score, Time};

/// What all of these tables are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) trial: u32,
    pub(super) policy: &'static str,
    pub(super) work: &'a Work,
    pub(super) cluster: &'a Cluster,
    /// See [`Work::names`].
    pub(super) names: &'a BTreeMap<JobId, Arc<str>>,
    /// How many machines of the plan take queries.
    pub(super) workers: usize,
    /// When the trial ended.
    pub(super) end: Time,
}

impl Source<'_> {
    /// What a job is called.
    pub(super) fn name(&self, job: JobId) -> Arc<str> {
        self.names.get(&job).map_or_else(|| format!("job {}", job.0).into(), Arc::clone)
    }

    pub(super) fn queries(&self) -> Vec<QueryRow> {
        let row = |(id, query): (&crate::base::QueryId, &super::work::Query)| {
            let counting = query.counted.and_then(|counted| self.work.attempts.get(&counted.attempt));
            let first = query.attempts.first().and_then(|attempt| self.work.attempts.get(attempt));
            QueryRow {
                trial: self.trial,
                job: self.name(id.job),
                query: id.to_string(),
                attempts: query.attempts.len() as u32,
                worker: query.counted.map_or_else(|| "".into(), |counted| self.cluster.name(counted.worker)),
                submitted_s: self.work.jobs.get(&id.job).map(|job| job.submitted).into(),
                dispatched_s: first.map(|attempt| attempt.dispatched).into(),
                started_s: counting.and_then(|attempt| attempt.began).into(),
                finished_s: counting.and_then(|attempt| attempt.ended).into(),
                committed_s: query.counted.map(|counted| counted.at).into(),
                inputs: query.counted.map(|counted| counted.inputs),
                failed_inputs: query.counted.map(|counted| counted.failed),
                duplicates: query.duplicates,
            }
        };
        self.work.queries.iter().map(row).collect()
    }

    pub(super) fn attempts(&self) -> Vec<AttemptRow> {
        let row = |&(at, id, query): &(Time, crate::base::AttemptId, crate::base::QueryId)| {
            let attempt = &self.work.attempts[&id];
            AttemptRow {
                trial: self.trial,
                job: self.name(query.job),
                query: query.to_string(),
                attempt: format!("e{id}"),
                worker: self.cluster.name(attempt.worker),
                dispatched_s: Seconds::from(at),
                ended_s: attempt.ended.into(),
                outcome: attempt.outcome.word(),
            }
        };
        self.work.dispatches.iter().map(row).collect()
    }

    pub(super) fn jobs(&self) -> Vec<JobRow> {
        self.work.jobs.iter().map(|(id, job)| self.job(*id, job)).collect()
    }

    fn job(&self, id: JobId, job: &Job) -> JobRow {
        let counted = || self.work.of(id).filter_map(|(_, query)| query.counted);
        let times: Vec<f64> = self.work.processing(id).collect();
        let stats = Stats::of(&times);
        let queries = counted().count() as u64;
        let score = counted().fold(Score::default(), |sum, counted| sum.with(counted.score));
        JobRow {
            trial: self.trial,
            job: self.name(id),
            model: Arc::clone(&job.spec.model),
            policy: self.policy,
            batch: job.spec.batch,
            weight: Number(Some(job.spec.weight)),
            queries,
            inputs: counted().map(|counted| u64::from(counted.inputs)).sum(),
            failed_inputs: counted().map(|counted| u64::from(counted.failed)).sum(),
            duplicates: self.work.of(id).map(|(_, query)| u64::from(query.duplicates)).sum(),
            submitted_s: job.submitted.into(),
            first_start_s: job.started.into(),
            start_delay_s: job.started.map(|started| started.since(job.submitted)).into(),
            done_s: job.ended.into(),
            rate_qps: Number(self.rate(job, queries)),
            rho: Number(self.rho(job, &times)),
            mean_s: Number(stats.mean),
            std_s: Number(stats.std),
            p50_s: Number(stats.p50),
            p90_s: Number(stats.p90),
            p95_s: Number(stats.p95),
            p99_s: Number(stats.p99),
            accuracy_top1: Number(score.accuracy().map(|accuracy| accuracy.0)),
            accuracy_top5: Number(score.accuracy().map(|accuracy| accuracy.1)),
        }
    }

    /// Finish-time fairness, the time taken together with others ÷ the time alone (Mahajan and others, Themis, 2020).
    fn rho(&self, job: &Job, times: &[f64]) -> Option<f64> {
        let longest = times.iter().copied().fold(0.0, f64::max);
        let alone = (times.iter().sum::<f64>() / self.workers.max(1) as f64).max(longest);
        let shared = job.ended?.since(job.submitted).as_secs();
        (alone > 0.0).then(|| shared / alone)
    }

    fn rate(&self, job: &Job, queries: u64) -> Option<f64> {
        let seconds = job.end().min(self.end).since(job.started?).as_secs();
        (seconds > 0.0).then(|| queries as f64 / seconds)
    }
}
