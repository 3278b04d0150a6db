//! Nodes are killed while networks run on them: the answers are, bit by bit, those of a plain loop over the same queries.

use idunno::base::{JobId, Prediction};
use idunno::cluster::Client;
use idunno::node::{Inputs, JobReport, JobSpec, Question, Reading, Reply, Request};

use super::cluster::{Cluster, NODES, leader, until};
use super::serve::BATCH;

/// What is asked, and what is to be answered.
pub(crate) struct Job {
    pub(crate) model: &'static str,
    pub(crate) dataset: String,
    /// For each input.
    pub(crate) wanted: Vec<Result<Prediction, String>>,
}

/// How often a node is killed anew because all was done before it died: what is left then depends on the machine.
const KILLS: u32 = 10;

/// Jobs run at the same time. In the midst of them a worker is killed that does not lead, and starts again from its disk once others have gone
/// on; then the coordinator. Where little would be left to do at that moment, all is asked once more.
pub(crate) fn answers_through_faults(cluster: &mut Cluster, jobs: &[Job], trial: u32) {
    let mut client = cluster.client();
    let mut submitted: Vec<(&Job, JobId)> = Vec::new();
    let round: u64 = jobs.iter().map(|job| job.wanted.len() as u64).sum();
    for leads in [false, true] {
        let in_the_midst = (0..KILLS).any(|_| {
            if left(&mut client, &submitted) < round / 2 {
                submitted.extend(jobs.iter().map(|job| (job, submit(&mut client, job))));
            }
            goes_on(&mut client, &submitted, round / 20);
            let leader = leader(&mut client);
            let node = if leads { leader } else { (leader + 1) % NODES };
            cluster.kill(node);
            let in_the_midst = left(&mut client, &submitted) > 0;
            goes_on(&mut client, &submitted, round / 20);
            cluster.restart(node);
            in_the_midst
        });
        assert!(in_the_midst, "trial {trial}: all was done before a node died, {KILLS} times");
    }
    for (job, id) in submitted {
        let report = until("the jobs end", || Some(report(&mut client, id)).filter(|job| job.status.ended));
        assert_eq!(report.queries_counted, report.queries, "trial {trial}, {}", job.model);
        let found = answers(&mut client, id, job.wanted.len());
        for (input, (found, wanted)) in found.iter().zip(&job.wanted).enumerate() {
            let wanted = wanted.as_ref().map(Prediction::encode);
            let same = match (found, &wanted) {
                (Ok(found), Ok(wanted)) => found == wanted,
                (Err(found), Err(wanted)) => found == *wanted,
                _ => false,
            };
            assert!(same, "trial {trial}, {}, input {input}: {found:?} instead of {wanted:?}", job.model);
        }
    }
}

/// How many inputs of these jobs are not done.
fn left(client: &mut Client, jobs: &[(&Job, JobId)]) -> u64 {
    jobs.iter().map(|(job, id)| job.wanted.len() as u64 - report(client, *id).status.inputs_done).sum()
}

/// Waits until so many more are done, or all.
fn goes_on(client: &mut Client, jobs: &[(&Job, JobId)], more: u64) {
    let goal = left(client, jobs).saturating_sub(more);
    until("the jobs go on", || (left(client, jobs) <= goal).then_some(()));
}

fn submit(client: &mut Client, job: &Job) -> JobId {
    let inputs =
        Inputs::Range { dataset: job.dataset.as_str().into(), from: 0, count: job.wanted.len() as u64 };
    let (name, model) = (job.model.into(), job.model.into());
    let spec = JobSpec { name, model, inputs, batch: BATCH as u32, weight: 1.0, priority: 0 };
    match client.request(&Request::Submit(spec)) {
        Ok(Reply::Submitted(job)) => job,
        other => panic!("{other:?}"),
    }
}

fn report(client: &mut Client, job: JobId) -> JobReport {
    match client.read(Question::Job(job)) {
        Ok(Reading::Job(report)) => report,
        other => panic!("{other:?}"),
    }
}

/// What a job has brought for each of its inputs: the bytes of the prediction, or why there is none.
fn answers(client: &mut Client, job: JobId, inputs: usize) -> Vec<Result<Vec<u8>, String>> {
    let mut all = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let page = match client.read(Question::Results { job, from }) {
            Ok(Reading::Results(page)) => page,
            other => panic!("{other:?}"),
        };
        for query in page.queries {
            assert_eq!(query.from, all.len() as u64, "queries are in order, and none is missing");
            let mut answered = query.predictions.chunks_exact(idunno::base::prediction::BYTES);
            for input in 0..query.inputs {
                let failed = query.failed.iter().find(|failed| failed.input == input);
                let one = match failed {
                    Some(failed) => Err(failed.reason.to_string()),
                    None => Ok(answered.next().expect("there is an answer to each input").to_vec()),
                };
                all.push(one);
            }
            assert!(answered.next().is_none(), "more answers than inputs");
        }
        next = page.next;
    }
    assert_eq!(all.len(), inputs);
    all
}
