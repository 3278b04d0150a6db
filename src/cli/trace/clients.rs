//! What clients ask and are told, in a few words each.

use super::told::Names;
use crate::cli::text::{count, some};
use crate::node::{Expect, Reply, Request};

/// What a client asks.
pub(super) fn request(request: &Request, names: &Names) -> String {
    match request {
        Request::Submit(spec) => {
            let inputs = count(spec.inputs.count());
            format!("submit {}, {inputs} inputs of {}, batch {}", spec.name, spec.model, spec.batch)
        }
        Request::Cancel(job) => format!("cancel {}", names.job(*job)),
        Request::SetBatch { job, batch } => format!("set the batch of {} to {batch}", names.job(*job)),
        Request::Forget(job) => format!("forget {}", names.job(*job)),
        Request::Stop(job) => format!("stop {}", names.job(*job)),
        Request::Resume(job) => format!("resume {}", names.job(*job)),
        Request::Jobs => "how far are the jobs?".to_owned(),
        Request::Read(_) => "show something".to_owned(),
        Request::SetPolicy(policy) => format!("divide workers by {policy}"),
        Request::Drain { node, drained: true } => format!("give {} no more queries", names.node(*node)),
        Request::Drain { node, drained: false } => format!("let {} work again", names.node(*node)),
        Request::HandOver { epoch, .. } => format!("end the reign e{}", epoch.0),
        Request::Put(put) => {
            let chunks = some(put.content.chunks.len() as u64, "chunk", "chunks");
            format!("put {} of {chunks}{}", put.name, expected(put.expect))
        }
        Request::Delete { name, expect } => format!("delete {name}{}", expected(*expect)),
    }
}

fn expected(expect: Expect) -> String {
    match expect {
        Expect::Anything => String::new(),
        Expect::Absent => ", if there is none".to_owned(),
        Expect::Version(version) => format!(", if its newest version is {version}"),
    }
}

/// What a client is told.
pub(super) fn reply(reply: &Reply, names: &Names) -> String {
    match reply {
        Reply::Submitted(job) => match names.jobs.get(job) {
            Some(name) => format!("{name} is accepted as {job}"),
            None => format!("accepted as {job}"),
        },
        Reply::Done => "done".to_owned(),
        Reply::Jobs(jobs) => format!("how far {} are", some(jobs.len() as u64, "job", "jobs")),
        Reply::Stored(version) => format!("stored as version {version}"),
        Reply::Read(_) => "what it wanted to see".to_owned(),
        Reply::Refused(refusal) => format!("refused: {refusal}"),
    }
}
