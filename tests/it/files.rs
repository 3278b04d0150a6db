//! The file store in the simulator: what is on whose disk when machines die for good, and what is left when nobody needs it.

use std::collections::{BTreeMap, BTreeSet};

use idunno::base::ChunkId;
use idunno::check::Checker;
use idunno::history::{Change, Machine, Observation, Record, Sink, What};
use idunno::scenario::Plan;
use idunno::sim;

/// The chunks on each machine's disk, and those that files consist of.
#[derive(Default)]
struct Disks {
    of: BTreeMap<Machine, idunno::base::NodeId>,
    hold: BTreeMap<Machine, BTreeSet<ChunkId>>,
    files: BTreeMap<ChunkId, u32>,
    puts: BTreeSet<u64>,
    /// How often a chunk was found to be lost or damaged.
    lost: usize,
}

impl Sink for Disks {
    fn record(&mut self, record: &Record) {
        let Some(machine) = record.machine else { return };
        match &record.what {
            What::Up(id) if self.of.insert(machine, *id) != Some(*id) => {
                self.hold.insert(machine, BTreeSet::new());
            }
            What::Node(Observation::ChunkHeld { chunk }) => {
                self.hold.entry(machine).or_default().insert(*chunk);
            }
            What::Node(Observation::ChunkDropped { chunk }) => {
                self.hold.entry(machine).or_default().remove(chunk);
            }
            What::Node(Observation::ChunkLost { chunk }) => {
                self.lost += 1;
                self.hold.entry(machine).or_default().remove(chunk);
            }
            What::Node(Observation::Applied { entry, changes, .. }) => {
                if !self.puts.insert(entry.position.index.0) {
                    return;
                }
                for change in changes.iter() {
                    let gone = match change {
                        Change::FilePut { version, gone, .. } => {
                            for chunk in &version.content.chunks {
                                *self.files.entry(chunk.id).or_default() += 1;
                            }
                            gone
                        }
                        Change::FileDeleted { gone, .. } => gone,
                        _ => continue,
                    };
                    for chunk in gone.iter().flat_map(|version| &version.content.chunks) {
                        *self.files.get_mut(&chunk.id).expect("it was put") -= 1;
                    }
                }
            }
            _ => {}
        }
    }
}

impl Disks {
    /// How many disks hold each chunk that a file consists of, the fewest first.
    fn copies(&self) -> Vec<usize> {
        let needed = self.files.iter().filter(|(_, versions)| **versions > 0);
        let on = |chunk: &ChunkId| self.hold.values().filter(|disk| disk.contains(chunk)).count();
        let mut copies: Vec<usize> = needed.map(|(chunk, _)| on(chunk)).collect();
        copies.sort_unstable();
        copies
    }

    /// Files consist of so many chunks, each of which is on so many disks at least.
    fn are_whole(&self, chunks: usize, least: usize, seed: u64) {
        let copies = self.copies();
        assert_eq!(copies.len(), chunks, "seed {seed}");
        assert!(copies.iter().all(|&copies| copies >= least), "seed {seed}: {copies:?}");
    }

    /// Chunks that no file consists of, on any disk.
    fn garbage(&self) -> usize {
        let needed = |chunk: &&ChunkId| self.files.get(*chunk).is_some_and(|versions| *versions > 0);
        self.hold.values().flatten().filter(|chunk| !needed(chunk)).count()
    }
}

/// Runs a scenario under a seed: nothing may break.
fn run(text: &str, seed: u64) -> Disks {
    let plan = Plan::read(text, "files.toml").unwrap_or_else(|error| panic!("{error}"));
    let mut sink = (Checker::new(&plan, seed), Disks::default());
    let outcome = sim::run(&plan, seed, &mut sink, &|| false);
    let (checker, disks) = sink;
    let verdict = checker.finish(outcome.ended_at);
    assert!(verdict.is_clean(), "seed {seed}: {:?}", verdict.violations);
    assert!(outcome.unfinished.is_empty(), "seed {seed}: {:?}", outcome.unfinished);
    disks
}

#[test]
fn any_three_of_ten_disks_can_be_lost_at_once_and_the_copies_come_back() {
    for seed in 0..10 {
        let disks = run(
            r#"
            name = "three_lost"
            nodes = 10
            [[request]]
            at = "1s"
            kind = "put"
            file = "letters"
            bytes = 40_000_000
            [[fault]]
            at = "5s"
            kind = "crash"
            target = "random 3"
            wipe = true
            "#,
            seed,
        );
        // What is on the disks of the dead counts no more: nobody came back.
        disks.are_whole(10, 4, seed);
    }
}

#[test]
fn what_rots_on_disks_is_found_and_copied_anew() {
    for seed in 0..10 {
        let disks = run(
            r#"
            name = "rot"
            nodes = 5
            [[request]]
            at = "1s"
            kind = "put"
            file = "letters"
            bytes = 40_000_000
            [[fault]]
            at = "3s"
            kind = "rot"
            target = "random 3"
            [[fault]]
            at = "12s"
            kind = "rot"
            target = "random 3"
            "#,
            seed,
        );
        assert_eq!(disks.lost, 6, "seed {seed}");
        disks.are_whole(10, 4, seed);
    }
}

#[test]
fn what_nobody_refers_to_is_gone_after_a_while() {
    for seed in 0..5 {
        let text = |until: &str| {
            format!(
                r#"
                name = "garbage"
                nodes = 6
                until = "{until}"
                [[request]]
                at = "1s"
                kind = "put"
                file = "a"
                bytes = 9_000_000
                keep = 1
                client = "c"
                [[request]]
                at = "2s"
                kind = "put"
                file = "a"
                bytes = 5_000_000
                keep = 1
                client = "c"
                [[request]]
                at = "1s"
                kind = "put"
                file = "b"
                client = "d"
                [[request]]
                at = "3s"
                kind = "delete"
                file = "b"
                client = "d"
                # Its client gives up before it is placed.
                [[request]]
                at = "4s"
                kind = "put"
                file = "late"
                bytes = 2_000_000_000
                client = "e"
                give_up = "100ms"
                "#
            )
        };
        let soon = run(&text("10s"), seed);
        assert!(soon.garbage() > 0, "seed {seed}: nothing was left to be collected");
        let late = run(&text("400s"), seed);
        assert_eq!(late.garbage(), 0, "seed {seed}");
        let whole = late.copies();
        assert!(!whole.is_empty() && whole.iter().all(|&copies| copies == 4), "seed {seed}: {whole:?}");
    }
}
