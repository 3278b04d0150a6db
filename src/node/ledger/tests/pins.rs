//! What jobs read stays until they have ended, and belongs to the state like everything else.

use super::*;
use crate::base::{Chunk, ChunkId};
use crate::node::file::{Content, Expect, FileKind, Put};

fn put(bench: &mut Bench, byte: u8, keep: u16) {
    let chunks = vec![Chunk { id: ChunkId([byte; 32]), bytes: 10 }];
    let content = Arc::new(Content { kind: FileKind::Plain, chunks });
    let put = Put { name: "a".into(), content, expect: Expect::Anything, keep };
    let reply = bench.request(Request::Put(Arc::new(put))).0;
    assert!(matches!(reply, Reply::Stored(_)), "{reply:?}");
}

fn submit(bench: &mut Bench, dataset: &str) -> (Reply, Arc<[Change]>) {
    let inputs = Inputs::Range { dataset: dataset.into(), from: 0, count: 4 };
    bench.request(Request::Submit(JobSpec { inputs, ..spec(4, 2) }))
}

fn delete(bench: &mut Bench) {
    let request = Request::Delete { name: "a".into(), expect: Expect::Anything };
    assert_eq!(bench.request(request).0, Reply::Done);
}

/// The state as one who gets a snapshot has it.
fn restored(bench: &Bench) -> Ledger {
    Ledger::decode(&bench.ledger.encode()).expect("it is sound")
}

#[test]
fn a_job_keeps_the_version_that_there_was_until_it_has_ended() {
    let mut bench = Bench::new();
    put(&mut bench, 1, 1);
    let (reply, changes) = submit(&mut bench, "store:a");
    assert_eq!(reply, Reply::Submitted(JobId(1)));
    assert!(matches!(&changes[1], Change::Pinned { job: JobId(1), version } if version.number == 1));
    // One more version, of which only one is kept; then none.
    put(&mut bench, 2, 1);
    assert_eq!(submit(&mut bench, "store:a@2").0, Reply::Submitted(JobId(2)));
    delete(&mut bench);
    for ledger in [&bench.ledger.clone(), &restored(&bench)] {
        let pins =
            [JobId(1), JobId(2)].map(|job| ledger.files().pinned(job).map(|pin| pin.dataset.to_string()));
        assert_eq!(pins, [Some("store:a@1".to_owned()), Some("store:a@2".to_owned())]);
        assert!([1, 2].iter().all(|&byte| ledger.files().refer_to(ChunkId([byte; 32]))));
        assert_eq!(ledger.digest(), bench.ledger.digest());
    }
    let last = bench.complete(JobId(1), 0, &[0, 1]);
    assert!(matches!(last.last(), Some(Change::Unpinned { job: JobId(1), .. })), "{last:?}");
    let (_, changes) = bench.request(Request::Cancel(JobId(2)));
    assert!(matches!(changes.last(), Some(Change::Unpinned { job: JobId(2), .. })), "{changes:?}");
    for ledger in [&bench.ledger.clone(), &restored(&bench)] {
        assert!([1, 2].iter().all(|&byte| !ledger.files().refer_to(ChunkId([byte; 32]))));
        assert_eq!(ledger.digest(), bench.ledger.digest());
    }
}

#[test]
fn a_job_that_reads_what_is_not_there_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new();
    let unknown = |name: &str| Reply::Refused(Refusal::UnknownFile(name.into()));
    assert_eq!(submit(&mut bench, "store:a").0, unknown("a"));
    put(&mut bench, 1, 5);
    assert_eq!(submit(&mut bench, "store:a@2").0, unknown("a@2"));
    let (reply, changes) = submit(&mut bench, "store:../a");
    assert!(matches!(reply, Reply::Refused(Refusal::Invalid(_))), "{reply:?}");
    assert!(changes.is_empty() && bench.ledger.jobs().next().is_none());
    // The number of a job that was refused is not lost.
    assert_eq!(submit(&mut bench, "store:a@1").0, Reply::Submitted(JobId(1)));
}
