//! What inputs are decoded by: threads of their own, a piece ahead of the network.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::picture;
use crate::base::InputShape;
use crate::dataset::{Dataset, DatasetError};

/// The most inputs that are decoded together, and that a network is given at once.
pub(super) const PIECE_MAX: u32 = 64;
/// The most pieces that are decoded before they are asked for.
const AHEAD_MAX: usize = 2;
/// How many queries are remembered that were begun: whoever says what is to come says it again, until it knows better.
const BEGUN_MAX: usize = 4;
/// The most datasets whose lists of names are kept.
const DATASETS_MAX: usize = 4;
/// What inputs on the workers are called.
const HERE: &str = "node:";

/// Some inputs of a dataset, for a network that takes this shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) dataset: Arc<str>,
    pub(super) from: u64,
    pub(super) inputs: u32,
    pub(super) shape: InputShape,
}

/// A piece that was decoded.
pub(super) struct Decoded {
    /// Where its inputs are from; `None` where that cannot be read, which each input then says.
    pub(super) dataset: Option<Arc<Dataset>>,
    /// The numbers of each input, or why it cannot be read.
    pub(super) inputs: Vec<Result<Vec<f32>, String>>,
}

impl Decoded {
    /// Whether the dataset has changed since, or could not be read then.
    pub(super) fn is_stale(&self) -> bool {
        self.dataset.as_ref().is_none_or(|dataset| !dataset.is_current())
    }
}

/// Decodes pieces. Shared by the thread that runs networks and the one that hears what is to come.
#[derive(Debug)]
pub(super) struct Feed {
    pool: ThreadPool,
    ahead: Mutex<Ahead>,
    datasets: Arc<Mutex<VecDeque<Arc<Dataset>>>>,
}

/// What is decoded before it is asked for, and what need not be any more.
#[derive(Debug, Default)]
struct Ahead {
    decoding: VecDeque<(Piece, Receiver<Decoded>)>,
    /// The first pieces of the queries that were begun last.
    begun: VecDeque<Piece>,
}

impl Feed {
    /// With so many threads.
    pub(super) fn new(threads: usize) -> std::io::Result<Feed> {
        let name = |number| format!("decode {number}");
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        let pool = pool.map_err(std::io::Error::other)?;
        Ok(Feed { pool, ahead: Mutex::default(), datasets: Arc::default() })
    }

    /// A piece will be asked for soon. Nothing happens when there is enough to do already.
    pub(super) fn expect(&self, piece: Piece) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.begun.contains(&piece) || ahead.decoding.iter().any(|(other, _)| *other == piece) {
            return;
        }
        // What was expected and not asked for is not wanted any more.
        if ahead.decoding.len() >= AHEAD_MAX {
            ahead.decoding.pop_front();
        }
        let decoding = self.decode(piece.clone());
        ahead.decoding.push_back((piece, decoding));
    }

    /// Begins with a query, or goes on with what was expected of it; the inputs of its first piece come through the channel.
    pub(super) fn begin(&self, first: Piece) -> Receiver<Decoded> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let place = ahead.decoding.iter().position(|(other, _)| *other == first);
        let found = place.and_then(|place| ahead.decoding.remove(place));
        if ahead.begun.len() >= BEGUN_MAX {
            ahead.begun.pop_front();
        }
        ahead.begun.push_back(first.clone());
        drop(ahead);
        found.map_or_else(|| self.decode(first), |(_, decoding)| decoding)
    }

    /// Decodes a piece.
    pub(super) fn decode(&self, piece: Piece) -> Receiver<Decoded> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let datasets = Arc::clone(&self.datasets);
        self.pool.spawn(move || {
            // Nobody may want it any more.
            let _ = sender.send(decode(&piece, &datasets));
        });
        receiver
    }
}

fn decode(piece: &Piece, datasets: &Mutex<VecDeque<Arc<Dataset>>>) -> Decoded {
    let last = piece.from.saturating_add(u64::from(piece.inputs).saturating_sub(1));
    let dataset = match dataset(&piece.dataset, last, datasets) {
        Ok(dataset) => dataset,
        Err(why) => return Decoded { dataset: None, inputs: vec![Err(why); piece.inputs as usize] },
    };
    let one = |reader: &mut Result<crate::dataset::Reader, DatasetError>, place: u32| {
        let number = piece.from.saturating_add(u64::from(place));
        let reader = reader.as_mut().map_err(|error| short(error))?;
        let bytes = reader.read(number).map_err(|error| short(&error))?;
        picture::numbers(&bytes, &piece.shape)
    };
    let inputs = (0..piece.inputs).into_par_iter().map_init(|| dataset.reader(), one).collect();
    Decoded { dataset: Some(dataset), inputs }
}

/// The dataset that is called so, from the list or from the disk: anew when it has changed since.
fn dataset(
    called: &str,
    last: u64,
    datasets: &Mutex<VecDeque<Arc<Dataset>>>,
) -> Result<Arc<Dataset>, String> {
    let Some(path) = called.strip_prefix(HERE).map(Path::new) else {
        return Err(format!("its name says no path; submit store:NAME or {HERE}/path"));
    };
    let mut datasets = datasets.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = datasets.iter().position(|dataset| dataset.path() == path)
        && let Some(found) = datasets.remove(place)
        && last < found.names().len() as u64
        && found.is_current()
    {
        datasets.push_back(Arc::clone(&found));
        return Ok(found);
    }
    let found = Arc::new(Dataset::open(path).map_err(|error| short(&error))?);
    if datasets.len() >= DATASETS_MAX {
        datasets.pop_front();
    }
    datasets.push_back(Arc::clone(&found));
    Ok(found)
}

/// Why an input cannot be read, the essential first: long reasons are cut.
fn short(error: &DatasetError) -> String {
    match error {
        DatasetError::NoInput { inputs, .. } => format!("the dataset has only {inputs} inputs"),
        // Of a path its end says most, and the list of inputs says the rest.
        DatasetError::Disk { path, error } => {
            let name = path.file_name().unwrap_or(path.as_os_str());
            format!("{}: {}", error.kind(), name.to_string_lossy())
        }
        DatasetError::Zip { why, .. } => format!("unsound zip: {why}"),
        DatasetError::TooMany { what, most, .. } => format!("more than {most} {what}"),
        DatasetError::Empty { .. } => "the dataset is empty".to_owned(),
        DatasetError::NoDataset { .. } => "no dataset: neither a folder nor a zip".to_owned(),
        DatasetError::Hostile { name, .. } => format!("the name {name:?} leads elsewhere or is none"),
        DatasetError::Labels { line, why, .. } => format!("labels.csv:{line}: {why}"),
    }
}
