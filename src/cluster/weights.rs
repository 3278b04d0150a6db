//! Weights that stand in the file store: a node fetches them before it tells its engine to load a network, which finds them on the disk.
//!
//! | path | what |
//! |---|---|
//! | `weights/KEY/NAME` | the file of the store from which a network's weights are to be read; `KEY` follows from what settings say |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::client::{Client, ClientError, Local, StoreError};
use super::inbox::{Inbox, Item};
use super::keys::Key;
use super::net::link::lock;
use super::{Standing, StartError, needs};
use crate::base;
use crate::engine::Model;
use crate::node::{Content, stored};

/// How long the cluster has to answer, and the next chunk to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// For each model whose weights stand in the store: the file there, and where the engine looks for it.
type Wanted = BTreeMap<Arc<str>, (Arc<str>, PathBuf)>;

/// What a node's models need of the store.
#[derive(Debug)]
pub(super) struct Weights {
    pantry: Arc<Pantry>,
    wanted: Wanted,
    /// The model that the engine shall load once its weights are there.
    loading: Option<Arc<str>>,
}

/// What those who fetch share.
#[derive(Debug)]
struct Pantry {
    key: Key,
    me: SocketAddr,
    standing: Arc<Mutex<Standing>>,
    inbox: Arc<Inbox>,
    /// What each file on the disk holds. One fetches at a time.
    held: Mutex<BTreeMap<PathBuf, Arc<Content>>>,
}

/// Why weights cannot be had.
#[derive(Debug, thiserror::Error)]
enum Unfetched {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Has each of these models whose weights stand in the store look for them below `folder`, and says which these are.
pub(super) fn relocate(models: &mut BTreeMap<Arc<str>, Model>, folder: &Path) -> Result<Wanted, StartError> {
    let mut wanted = BTreeMap::new();
    for (name, model) in models {
        let Model::Torch(network) = model else { continue };
        let base::Weights::Stored(file) = &network.weights else { continue };
        let path = place(folder, file);
        let text = path.to_str().ok_or_else(|| io::Error::other("its path is no text"));
        let here = base::Weights::File(text.map_err(needs("the data directory"))?.into());
        wanted.insert(Arc::clone(name), (Arc::clone(file), path));
        network.weights = here;
    }
    Ok(wanted)
}

/// Where this file of the store is kept.
fn place(folder: &Path, file: &str) -> PathBuf {
    let key = digest(&SHA256, file.as_bytes());
    let key = u64::from_be_bytes(key.as_ref()[..8].try_into().expect("a digest is longer"));
    let name = file.split_once('@').map_or(file, |(name, _)| name);
    folder.join(format!("{key:016x}")).join(name.rsplit(['/', ':']).next().unwrap_or(name))
}

impl Weights {
    /// For models that were relocated. `me` is where the node is reached.
    pub(super) fn new(
        wanted: Wanted,
        key: Key,
        me: SocketAddr,
        standing: Arc<Mutex<Standing>>,
        inbox: Arc<Inbox>,
    ) -> Weights {
        let pantry = Pantry { key, me, standing, inbox, held: Mutex::default() };
        Weights { pantry: Arc::new(pantry), wanted, loading: None }
    }

    /// Whether the weights of this model have to be fetched before it is loaded: that begins, and [`Item::Weights`] follows.
    pub(super) fn fetch(&mut self, model: &Arc<str>) -> bool {
        let Some((file, path)) = self.wanted.get(model) else { return false };
        self.loading = Some(Arc::clone(model));
        let (pantry, model) = (Arc::clone(&self.pantry), Arc::clone(model));
        let (file, path) = (Arc::clone(file), path.clone());
        let inbox = Arc::clone(&self.pantry.inbox);
        let fetch = move || {
            let fetched = pantry.fetch(&file, &path).map_err(|error| match error {
                // Which names the file. Few letters are left where it is shown.
                Unfetched::Client(ClientError::Refused(why)) => why.to_string().into(),
                other => format!("{file}: {other}").into(),
            });
            pantry.inbox.put(Item::Weights { model, fetched });
        };
        if let Err(error) = thread::Builder::new().name("weights".to_owned()).spawn(fetch) {
            let model = self.loading.clone().expect("it was just set");
            inbox.put(Item::Weights { model, fetched: Err(format!("no thread: {error}").into()) });
        }
        true
    }

    /// Whether the engine still waits for these.
    pub(super) fn came(&mut self, model: &Arc<str>) -> bool {
        self.loading.take_if(|loading| loading == model).is_some()
    }

    /// The engine has died, and waits for nothing.
    pub(super) fn forget(&mut self) {
        self.loading = None;
    }
}

impl Pantry {
    /// Makes the version of the file that is meant stand at `path`.
    fn fetch(&self, file: &str, path: &Path) -> Result<(), Unfetched> {
        let mut held = lock(&self.held);
        let (name, version) = stored(file).and_then(Result::ok).expect("settings were read");
        let mut client = Client::new(&self.key, &[self.me], PATIENCE)?;
        client.learn(&lock(&self.standing));
        let located = client.locate(name, version)?;
        let content = Arc::clone(&located.version.content);
        if held.get(path) == Some(&content) && holds(path, &content) {
            return Ok(());
        }
        held.remove(path);
        let folder = path.parent().expect("it is in a folder of its own");
        fs::create_dir_all(folder)?;
        let coming = folder.join(".coming");
        let mut to = File::create(&coming)?;
        client.fetch(name, located, 0, &mut |bytes| to.write_all(bytes), &|| false)?;
        fs::rename(&coming, path)?;
        held.insert(path.to_owned(), content);
        Ok(())
    }
}

/// Whether a file still holds just this: it is read from a disk each time, and no copy of the store.
fn holds(path: &Path, content: &Arc<Content>) -> bool {
    let read = File::open(path).map(|file| Local::of(file, content.kind, &|_| true));
    matches!(read, Ok(Ok(local)) if local.content() == content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Chunk, ChunkId};
    use crate::node::FileKind;

    #[test]
    fn weights_that_were_damaged_since_are_not_what_was_fetched() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("w");
        let bytes = vec![7; 3_000];
        let chunk = |bytes: &[u8]| {
            let id = ChunkId(digest(&SHA256, bytes).as_ref().try_into().expect("as long as a name"));
            Chunk { id, bytes: bytes.len() as u32 }
        };
        let content = Arc::new(Content { kind: FileKind::Plain, chunks: vec![chunk(&bytes)] });
        assert!(!holds(&path, &content), "it is not there");
        fs::write(&path, &bytes).expect("it is writable");
        assert!(holds(&path, &content));
        for damaged in
            [[&bytes[..2_500], &[8], &bytes[2_501..]].concat(), bytes[1..].to_vec(), vec![7; 3_001]]
        {
            fs::write(&path, damaged).expect("it is writable");
            assert!(!holds(&path, &content));
        }
    }
}
