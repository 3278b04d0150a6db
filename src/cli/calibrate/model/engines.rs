//! Engines as nodes have them, which are given the same work at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::times::Times;
use crate::base::{AttemptId, Epoch, Network};
use crate::cli::STOP;
use crate::engine::{Event, Model, Order, Said, Setup, Supervisor};

/// How long a load or a query may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at whether somebody wants it to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often it is loaded, each time by a fresh process.
const LOADS: u32 = 5;
/// What no model is called.
const NOBODYS: &str = "";
/// Rounds of queries before those that count.
const WARM_UP: u32 = 3;

/// What the engines are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    pub(super) name: &'a str,
    pub(super) network: &'a Network,
    pub(super) dataset: &'a str,
    /// How many there are in the dataset.
    pub(super) inputs: u64,
}

/// What one engine took: loads, and queries of each size.
type Taken = (Vec<f64>, Vec<Vec<f64>>);

/// How far the engines are that run together.
#[derive(Debug)]
struct Pace {
    engines: u32,
    /// How many have begun with queries, and how many have measured all.
    begun: AtomicU32,
    done: AtomicU32,
    /// Whether one of them has given up.
    failed: AtomicBool,
}

impl Pace {
    /// Whether all are so far; an error when one never will be.
    fn all(&self, counted: &AtomicU32) -> Result<bool> {
        if self.failed.load(Ordering::SeqCst) {
            bail!("another engine failed");
        }
        Ok(counted.load(Ordering::SeqCst) >= self.engines)
    }
}

/// Measures loads, and `repeats` queries of each of these sizes, on each of so many engines, which do the same at the same time. No size
/// may be larger than the dataset.
pub(super) fn measure(work: &Work<'_>, engines: u32, sizes: &[u32], repeats: u32) -> Result<Times> {
    let (begun, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let pace = Pace { engines, begun, done, failed: AtomicBool::new(false) };
    let one = || {
        let measured = all_sizes(work, sizes, repeats, &pace);
        if measured.is_err() {
            pace.failed.store(true, Ordering::SeqCst);
        }
        measured
    };
    let mut found: Vec<Result<Taken>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..engines).map(|_| scope.spawn(one)).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|found| found.unwrap_or_else(|_| bail!("a thread that measures panicked"))).collect()
    });
    // The first to fail knows why; the others only that one did.
    found.sort_by_key(|one| one.as_ref().is_err_and(|error| error.to_string() == "another engine failed"));
    let mut times =
        Times { engines, loads: Vec::new(), queries: sizes.iter().map(|size| (*size, Vec::new())).collect() };
    for one in found {
        let (loads, queries) = one?;
        times.loads.extend(loads);
        for ((_, all), more) in times.queries.iter_mut().zip(queries) {
            all.extend(more);
        }
    }
    times.loads.sort_by(f64::total_cmp);
    for (_, all) in &mut times.queries {
        all.sort_by(f64::total_cmp);
    }
    Ok(times)
}

/// What one engine takes for loads, and for queries of each size.
fn all_sizes(work: &Work<'_>, sizes: &[u32], repeats: u32, pace: &Pace) -> Result<Taken> {
    let mut loads = Vec::new();
    let mut child = Child::start(work)?;
    loads.push(child.load()?);
    for _ in 1..LOADS {
        child = Child::start(work)?;
        loads.push(child.load()?);
    }
    // Sizes take turns, so that a machine that grows slower or faster is not held against one of them.
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); sizes.len()];
    let next = |place: usize| sizes[(place + 1) % sizes.len()];
    let mut round = |counted: Option<&mut Vec<Vec<f64>>>| -> Result<()> {
        let mut counted = counted;
        for (place, size) in sizes.iter().enumerate() {
            let took = child.infer(work, *size, next(place))?;
            if let Some(all) = &mut counted {
                all[place].push(took);
            }
        }
        Ok(())
    };
    pace.begun.fetch_add(1, Ordering::SeqCst);
    let mut warm = 0;
    while warm < WARM_UP || !pace.all(&pace.begun)? {
        round(None)?;
        warm += 1;
    }
    for _ in 0..repeats {
        round(Some(&mut all))?;
    }
    pace.done.fetch_add(1, Ordering::SeqCst);
    // Whoever still measures is not to have the machine to itself.
    while !pace.all(&pace.done)? {
        round(None)?;
    }
    Ok((loads, all))
}

/// An engine as a node has one.
struct Child {
    engine: Supervisor,
    heard: Receiver<Event>,
    model: Arc<str>,
    serial: u64,
    /// The first input of the next query.
    next: u64,
}

impl Child {
    fn start(work: &Work<'_>) -> Result<Child> {
        let program = std::env::current_exe().context("where this program is")?;
        let model: Arc<str> = work.name.into();
        let models = [(Arc::clone(&model), Model::Torch(work.network.clone()))].into();
        let (sender, heard) = mpsc::channel();
        let tell = move |event| {
            // Whoever measures may have given up.
            let _ = sender.send(event);
        };
        let engine = Supervisor::start(program, Setup { models, speed: 1.0, seed: 1 }, tell);
        let engine = engine.context("the inference engine")?;
        let child = Child { engine, heard, model, serial: 0, next: 0 };
        // A node has its engine at hand long before it is given a model: what it cannot load is refused as soon as the process listens.
        child.engine.order(Order::Load { model: NOBODYS.into() });
        match child.answer()? {
            Said::LoadFailed { .. } => Ok(child),
            other => bail!("the engine answered {other:?}"),
        }
    }

    /// Brings the model into memory; the seconds that took.
    fn load(&mut self) -> Result<f64> {
        let began = Instant::now();
        self.engine.order(Order::Load { model: Arc::clone(&self.model) });
        match self.answer()? {
            Said::Loaded { .. } => Ok(began.elapsed().as_secs_f64()),
            Said::LoadFailed { reason, .. } => bail!("{} cannot be loaded: {reason}", self.model),
            other => bail!("the engine answered {other:?}"),
        }
    }

    /// Runs a query of so many inputs, while those of the next one, of which there will be `then`, are decoded, as on a node that is given
    /// queries ahead; the seconds that took.
    fn infer(&mut self, work: &Work<'_>, inputs: u32, then: u32) -> Result<f64> {
        self.serial += 1;
        let attempt = AttemptId { epoch: Epoch(1), serial: self.serial };
        let (model, dataset): (_, Arc<str>) = (Arc::clone(&self.model), work.dataset.into());
        // Queries go through the inputs, from the beginning again where not enough are left.
        let begin = |from: u64, inputs: u32| if from + u64::from(inputs) > work.inputs { 0 } else { from };
        let from = begin(self.next, inputs);
        self.next = begin(from + u64::from(inputs), then);
        self.engine.order(Order::Infer { attempt, model, dataset: Arc::clone(&dataset), from, inputs });
        self.engine.expect(&self.model, &dataset, self.next, then);
        match self.answer()? {
            Said::Finished { failed, took, .. } => match failed.first() {
                None => Ok(took.as_secs()),
                Some(first) => bail!("input {} failed: {}", from + u64::from(first.input), first.reason),
            },
            Said::Failed { reason, .. } => bail!("a query of {inputs} inputs failed: {reason}"),
            other => bail!("the engine answered {other:?}"),
        }
    }

    fn answer(&self) -> Result<Said> {
        let began = Instant::now();
        loop {
            let heard = self.heard.recv_timeout(LOOK_EVERY);
            // Before the answer: an engine that always answers between two looks would be asked to the end.
            if STOP.load(Ordering::Relaxed) {
                bail!("interrupted; nothing was written");
            }
            match heard {
                Ok(Event::Said(said)) => return Ok(said),
                Ok(Event::Died { reason }) => bail!("the engine died: {reason}"),
                Err(_) if began.elapsed() > PATIENCE => {
                    bail!("the engine did not answer within {} s", PATIENCE.as_secs())
                }
                Err(_) => {}
            }
        }
    }
}
