//! The chunks of the file store on a real node: on its disk (`rack`, in its `folder`), on their way (`porter`), looked through for damage (`scrub`), and
//! at hand for queries (`larder`).
//!
//! The machine orders what shall be fetched and dropped, and hears of everything that happens to the disk in the order in which it
//! happened. Nothing of it waits for anything else: orders are taken up by a thread of their own, chunks travel over connections of
//! their own, and the disk is written and read elsewhere than on the threads that carry messages.

mod folder;
mod larder;
mod porter;
mod rack;
mod scrub;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

pub(super) use larder::Larder;
pub(super) use porter::{CarryError, Porter};
pub(super) use rack::Rack;
pub use rack::Unkept;

use crate::node::ChunkCommand;

/// Bytes that are read, written and sent at once: a chunk is never in memory as a whole.
const PIECE_BYTES: usize = 256 << 10;

/// The way to a node's chunks for its machine. Dropping it waits for what is being done to the disk.
#[derive(Debug)]
pub(super) struct Chunks {
    /// There are never more orders than chunks, of which a node drops each once and fetches only a few at a time, and queries.
    orders: Option<Sender<ChunkCommand>>,
    /// Ends the scrubbing when it is dropped.
    stop: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Chunks {
    /// Starts the threads, which carry out orders with the help of `larder`; `scrub` is how many bytes of chunks are read and verified per second, 0 for none.
    pub(super) fn start(porter: Arc<Porter>, larder: Arc<Larder>, scrub: u64) -> io::Result<Chunks> {
        let (orders, inbox) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let mut chunks = Chunks { orders: Some(orders), stop: Some(stop), threads: Vec::new() };
        if scrub > 0 {
            let rack = Arc::clone(&porter.rack);
            chunks.begin("scrub", move || scrub::scrub(&rack, scrub, &stopped))?;
        }
        chunks.begin("chunks", move || follow(&porter, &larder, &inbox))?;
        Ok(chunks)
    }

    fn begin(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Passes an order of the machine on.
    pub(super) fn order(&self, command: ChunkCommand) {
        if let Some(orders) = &self.orders {
            // Whoever does not take it any more has panicked, and said so.
            let _ = orders.send(command);
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        (self.orders, self.stop) = (None, None);
        for thread in self.threads.drain(..) {
            // What a panic there had to say was said when it happened.
            let _ = thread.join();
        }
    }
}

/// Follows orders one after the other, so that a chunk that is to be fetched after it was dropped is not taken for the dropped one.
fn follow(porter: &Arc<Porter>, larder: &Arc<Larder>, orders: &Receiver<ChunkCommand>) {
    while let Ok(order) = orders.recv() {
        match order {
            ChunkCommand::Drop { chunk } => porter.rack.discard(chunk),
            ChunkCommand::Fetch { chunk, from } => porter.fetch(chunk, from),
            ChunkCommand::Stage(stage) => larder.stage(stage),
            ChunkCommand::Unstage { attempt } => larder.unstage(attempt),
        }
    }
}
