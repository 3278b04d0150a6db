//! What the ledger refuses, whatever its jobs are like: requests that make no sense, and more than the limits allow.

use super::super::config::limits::{
    BATCH_MAX, INPUTS_MAX, JOB_NAME_BYTES_MAX, JOBS_MAX, NAMES_MAX, PRIORITY_MAX, QUERIES_MAX,
    RESULT_BYTES_MAX, SPEC_BYTES_MAX, WEIGHT_MAX,
};
use super::super::entry::{Inputs, JobSpec};
use super::super::file::{name_flaw, stored};
use super::super::message::{Refusal, Request};
use crate::policy::{self, Options};

/// Why `request` makes no sense in any state.
pub(super) fn unsound(request: &Request) -> Option<Refusal> {
    let flaw = match request {
        Request::Submit(spec) => spec_flaw(spec),
        Request::SetBatch { batch, .. } => batch_flaw(*batch),
        Request::SetPolicy(name) => policy_flaw(name),
        Request::Put(put) => put.flaw(),
        Request::Delete { name, .. } => name_flaw(name),
        Request::Cancel(_)
        | Request::Forget(_)
        | Request::Jobs
        | Request::Stop(_)
        | Request::Resume(_)
        | Request::Read(_)
        | Request::Drain { .. }
        | Request::HandOver { .. } => None,
    };
    flaw.map(|flaw| Refusal::Invalid(flaw.into()))
}

/// Why a ledger with that many jobs and bytes of predictions takes no further job.
pub(super) fn full(jobs: usize, bytes: u64) -> Option<Refusal> {
    if jobs >= JOBS_MAX {
        return Some(Refusal::Busy { what: "jobs that are not forgotten".into(), limit: JOBS_MAX as u64 });
    }
    let what = "bytes of predictions that are not forgotten";
    (bytes >= RESULT_BYTES_MAX).then(|| Refusal::Busy { what: what.into(), limit: RESULT_BYTES_MAX })
}

fn spec_flaw(spec: &JobSpec) -> Option<String> {
    let count = spec.inputs.count();
    if spec.model.is_empty() {
        return Some("a job needs a model".to_owned());
    }
    if !(spec.weight > 0.0 && spec.weight <= WEIGHT_MAX) {
        return Some(format!("a weight is a number above 0, at most {WEIGHT_MAX}, not {}", spec.weight));
    }
    if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&spec.priority) {
        return Some(format!("a priority is from -{PRIORITY_MAX} to {PRIORITY_MAX}, not {}", spec.priority));
    }
    if let Some(flaw) = batch_flaw(spec.batch) {
        return Some(flaw);
    }
    if spec.name.is_empty() || spec.name.len() > JOB_NAME_BYTES_MAX || spec.name.contains(char::is_control) {
        return Some(format!(
            "a job's name has 1 to {JOB_NAME_BYTES_MAX} bytes and no control characters such as line breaks"
        ));
    }
    let mut text = spec.name.len() + spec.model.len();
    match &spec.inputs {
        Inputs::Range { dataset, from, .. } => {
            text += dataset.len();
            if let Some(Err(flaw)) = stored(dataset) {
                return Some(flaw);
            }
            if count == 0 || count > INPUTS_MAX || from.checked_add(count).is_none() {
                return Some(format!("a job has 1 to {INPUTS_MAX} inputs, not {count} from {from}"));
            }
        }
        Inputs::Names(names) => {
            text += names.iter().map(|name| name.len()).sum::<usize>();
            if names.is_empty() || names.len() > NAMES_MAX {
                return Some(format!("a job has 1 to {NAMES_MAX} inputs by name, not {count}"));
            }
        }
    }
    if text > SPEC_BYTES_MAX {
        return Some(format!("a job's text takes at most {SPEC_BYTES_MAX} bytes, not {text}"));
    }
    let queries = count.div_ceil(u64::from(spec.batch));
    (queries > QUERIES_MAX).then(|| too_many(queries))
}

fn batch_flaw(batch: u32) -> Option<String> {
    let fits = (1..=BATCH_MAX).contains(&batch);
    (!fits).then(|| format!("a batch has 1 to {BATCH_MAX} inputs, not {batch}"))
}

fn policy_flaw(name: &str) -> Option<String> {
    let all = policy::all(&Options::default());
    let known = all.iter().any(|policy| policy.name() == name);
    let names = || all.iter().map(|policy| policy.name()).collect::<Vec<_>>().join(", ");
    (!known).then(|| format!("there is no such policy; wanted one of {}", names()))
}

/// Says that a job would have too many queries.
pub(super) fn too_many(queries: u64) -> String {
    format!("a job has at most {QUERIES_MAX} queries, not {queries}; choose a larger batch")
}
