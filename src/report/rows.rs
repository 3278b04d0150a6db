//! The rows of the result files: each field is a column of that name.
//!
//! Times end in `_s` and are seconds, points in time counted from the beginning of the trial. An empty field means "did
//! not happen" or "not applicable". Jobs go by their name, with ` #` and their number added where several of a trial have
//! the same; workers and nodes by the name of their machine.

use std::sync::Arc;

use serde::Serialize;

use super::format::{Number, Seconds};

/// A row of queries.csv: one query that was dispatched or counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QueryRow {
    /// The trial, from 0.
    pub trial: u32,
    /// The job.
    pub job: Arc<str>,
    /// The query as `job.cut.number`: the number of its job, how often that had been cut into batches anew, and its place.
    pub query: String,
    /// How many attempts were dispatched.
    pub attempts: u32,
    /// Who ran the attempt that counted.
    pub worker: Arc<str>,
    /// When a client asked for the job.
    pub submitted_s: Seconds,
    /// When the first attempt was dispatched.
    pub dispatched_s: Seconds,
    /// When the engine began with the attempt that counted.
    pub started_s: Seconds,
    /// When that attempt ended.
    pub finished_s: Seconds,
    /// When its result was committed, as the first node to apply the entry saw it.
    pub committed_s: Seconds,
    /// How many inputs it covers, once it was counted.
    pub inputs: Option<u32>,
    /// How many of them ended without a prediction.
    pub failed_inputs: Option<u32>,
    /// Results of other attempts that were committed later and not counted.
    pub duplicates: u32,
}

/// A row of attempts.csv: one dispatch of a query to a worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AttemptRow {
    /// The trial, from 0.
    pub trial: u32,
    /// The job.
    pub job: Arc<str>,
    /// The query; see [`QueryRow::query`].
    pub query: String,
    /// The attempt as `e<epoch>.<serial>`: the reign that dispatched it and its number within that.
    pub attempt: String,
    /// To whom it was given.
    pub worker: Arc<str>,
    /// When.
    pub dispatched_s: Seconds,
    /// When it ended on the worker, was dropped there, or was given up by the coordinator, whichever came first.
    pub ended_s: Seconds,
    /// `counted`; `duplicate` (another was counted first); `void` (its job or cut was gone); `failed` (no predictions); `refused` (by
    /// the worker);
    /// given up as `lost` (the worker did not hold it), `gone` (the worker left the cluster), `withdrawn` (taken back
    /// before it ran) or `settled` (no longer needed); or `unfinished`.
    pub outcome: &'static str,
}

/// A row of jobs.csv: one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JobRow {
    /// The trial, from 0.
    pub trial: u32,
    /// The job.
    pub job: Arc<str>,
    /// The model that it ran.
    pub model: Arc<str>,
    /// The scheduling policy of the cluster.
    pub policy: &'static str,
    /// Inputs per query, as submitted.
    pub batch: u32,
    /// Its weight.
    pub weight: Number,
    /// Queries counted.
    pub queries: u64,
    /// Inputs counted.
    pub inputs: u64,
    /// Inputs among them that ended without a prediction.
    pub failed_inputs: u64,
    /// Results that came after another of the same query had been counted.
    pub duplicates: u64,
    /// When a client asked for it for the first time.
    pub submitted_s: Seconds,
    /// When an engine began with one of its queries for the first time.
    pub first_start_s: Seconds,
    /// From the one to the other.
    pub start_delay_s: Seconds,
    /// When its end was committed.
    pub done_s: Seconds,
    /// Queries counted per second from its first start to its end, or to the end of the trial.
    pub rate_qps: Number,
    /// Finish-time fairness: from submission to end, divided by what it would have taken with all workers of the scenario to
    /// itself and every model in memory (the time that its queries ran ÷ the number of workers, but at least its longest
    /// query); empty when it did not end.
    pub rho: Number,
    /// Mean time that a query ran: from start to end of the attempt that counted.
    pub mean_s: Number,
    /// Standard deviation of that time.
    pub std_s: Number,
    /// Its median.
    pub p50_s: Number,
    /// Its 90th percentile.
    pub p90_s: Number,
    /// Its 95th percentile.
    pub p95_s: Number,
    /// Its 99th percentile, from 662 queries up.
    pub p99_s: Number,
    /// Share of right first predictions; empty where the right ones are not known, as for synthetic engines.
    pub accuracy_top1: Number,
    /// Share of inputs whose right answer is among the first five predictions; empty likewise.
    pub accuracy_top5: Number,
}

/// A row of allocation.csv: one running job at one moment; a row for each of them at each change and at each full second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AllocationRow {
    /// The trial, from 0.
    pub trial: u32,
    /// When.
    pub at_s: Seconds,
    /// The job. It has a last row at the moment when it ends.
    pub job: Arc<str>,
    /// Workers that serve it: whose engine began a query of it last and that still have something on their desk.
    pub workers: u32,
    /// Its queries counted per second over `scheduler.rate_window`, or since its submission was committed if that is less.
    pub rate_qps: Number,
    /// How far the rates of the running jobs, each divided by its weight, are apart: (highest − lowest) ÷ highest; empty unless two or more run and
    /// one of them has been counted.
    pub gap: Number,
}

/// A row of fairness.csv: how far the running jobs' rates are apart at one full second. Rates are divided by the jobs' weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FairnessRow {
    /// The trial, from 0.
    pub trial: u32,
    /// When.
    pub at_s: Seconds,
    /// How many jobs run.
    pub jobs: u32,
    /// (highest − lowest) ÷ highest of the rates over the last 2 s, or since a job's submission was committed if that is less;
    /// empty unless two or more run and one of them has been counted.
    pub gap_2s: Number,
    /// The same over the last 10 s.
    pub gap_10s: Number,
    /// The same over the jobs' whole lives so far.
    pub lifetime_gap: Number,
    /// Jain's index of the rates over the last 10 s: 1 when they are equal, 1 ÷ `jobs` when one job has everything.
    pub jain: Number,
    /// Queries of all jobs counted in the last second.
    pub aggregate_qps: Number,
}

/// A row of assignments.csv: a worker turned to a job or from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AssignmentRow {
    /// The trial, from 0.
    pub trial: u32,
    /// When.
    pub at_s: Seconds,
    /// The job.
    pub job: Arc<str>,
    /// The worker.
    pub worker: Arc<str>,
    /// `serves` from now on, or `leaves`.
    pub event: &'static str,
}

/// A row of membership.csv: something about who is there, who leads and who votes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MembershipRow {
    /// The trial, from 0.
    pub trial: u32,
    /// When.
    pub at_s: Seconds,
    /// Whom it is about.
    pub node: Arc<str>,
    /// `up`, `down`, `paused`, `resumed` (its process); `born N` (its Nth life may speak); `stood`, `led`, `opened`
    /// (dispatches from now on), `stepped down: why`; `suspected` (by the first voter), `trusted` (by the last one, or
    /// because that died or left the view);
    /// `joined`, `evicted`, `expelled` (it has learned of that); `seated`, `unseated` (as a voter).
    pub event: Arc<str>,
    /// The epoch that the event names, else the newest in which anyone has led.
    pub epoch: u64,
    /// The newest committed view.
    pub view: u64,
}

/// A row of recovery.csv: one fault, and how long after it what happened. Anything after a later fault that hits one of
/// the same machines, or the coordinator again, is not counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecoveryRow {
    /// The trial, from 0.
    pub trial: u32,
    /// Which `[[fault]]` of the scenario, from 0: the N of its keys `fault.N`.
    pub fault: u32,
    /// Its kind.
    pub kind: Arc<str>,
    /// The nodes that it hit; empty when it could not be injected.
    pub node: Arc<str>,
    /// When it began.
    pub at_s: Seconds,
    /// Until a voter suspected a node that was hit; when the coordinator was hit, until another voter stood for election.
    pub detect_s: Seconds,
    /// Until another one led, when the coordinator was hit.
    pub promote_s: Seconds,
    /// Until a query that the hit workers held was dispatched again; when the coordinator was hit, until the new one
    /// dispatched for the first time.
    pub redispatch_s: Seconds,
    /// Until the first query was counted after that, by an entry beyond all that had been applied before.
    pub first_result_s: Seconds,
    /// Until, from the first result on (the redispatch or the fault itself where there is none), as many queries had been
    /// counted within one second as 90 % of what the survivors can give: the rate of the ten seconds before the fault, or
    /// of as much as there was, times the survivors' part of the workers' speed. Empty where there was less than a second.
    pub normal_s: Seconds,
    /// The same as `redispatch_s`: until the cluster was at work again.
    pub total_s: Seconds,
    /// How many queries the hit workers held: dispatched to them, and their results still expected.
    pub held: u32,
    /// How many queries of all jobs were not counted yet, in the batches in which the jobs were submitted.
    pub unfinished: u64,
    /// Until each query that the hit workers held had been dispatched again or was counted. Empty where they held none.
    pub regained_s: Seconds,
}

/// A row of summary.csv: one metric over all trials.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SummaryRow {
    /// The metric; see [`super::Summary`].
    pub metric: String,
    /// How many samples.
    pub n: usize,
    /// Their mean.
    pub mean: Number,
    /// Their standard deviation.
    pub std: Number,
    /// Where the 95 % confidence interval of the mean begins, by Student's t.
    pub ci95_low: Number,
    /// Where it ends.
    pub ci95_high: Number,
    /// The smallest sample.
    pub min: Number,
    /// The median. Percentiles are nearest ranks.
    pub p50: Number,
    /// The 90th percentile.
    pub p90: Number,
    /// The 95th percentile.
    pub p95: Number,
    /// The 99th percentile, from 662 samples up.
    pub p99: Number,
    /// The 99.9th percentile, from 6,700 samples up.
    pub p999: Number,
    /// The largest sample.
    pub max: Number,
}

/// What one trial adds to the result files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// For queries.csv, in order of the queries.
    pub queries: Vec<QueryRow>,
    /// For attempts.csv, in order of dispatch.
    pub attempts: Vec<AttemptRow>,
    /// For jobs.csv, in order of the jobs.
    pub jobs: Vec<JobRow>,
    /// For allocation.csv, in order of time.
    pub allocation: Vec<AllocationRow>,
    /// For fairness.csv, in order of time.
    pub fairness: Vec<FairnessRow>,
    /// For assignments.csv, in order of time.
    pub assignments: Vec<AssignmentRow>,
    /// For membership.csv, in order of time.
    pub membership: Vec<MembershipRow>,
    /// For recovery.csv, in order of the faults' beginnings.
    pub recovery: Vec<RecoveryRow>,
}
