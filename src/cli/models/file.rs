//! What only libtorch can tell of a file with weights.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::base::{Architecture, InputShape, Network};

/// What `idunno train` wrote beside its weights.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) network: Architecture,
    pub(super) input: InputShape,
    /// The names of its classes, by number.
    pub(super) classes: Vec<Arc<str>>,
}

/// What shows when a network is loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The names and shapes of what it has learnt.
    pub(super) parameters: Vec<(String, Vec<i64>)>,
    /// Why it has no answer to an input that is all zeros, if it has none.
    pub(super) silent: Option<String>,
}

#[cfg(feature = "torch")]
mod with {
    use super::{Loaded, Network, Path, Result, Trained};
    use crate::engine::torch::{Facts, Model};

    impl Trained {
        /// What this file says; `None` when something else wrote it.
        pub(in crate::cli::models) fn read(file: &Path) -> Result<Option<Trained>> {
            if file.extension().is_none_or(|ending| ending != "safetensors") {
                return Ok(None);
            }
            let facts = Facts::of(file).map_err(anyhow::Error::msg)?;
            Ok(facts.map(|Facts { network, input, classes, .. }| Trained { network, input, classes }))
        }
    }

    /// Loads a network; an error says why it cannot be.
    pub(in crate::cli::models) fn load(network: &Network) -> Result<Loaded> {
        let loaded = || {
            let model = Model::load(network)?;
            let answers = model.run(&[&vec![0.0; network.input.numbers()]])?;
            let silent = answers.into_iter().find_map(Result::err);
            Ok(Loaded { parameters: model.parameters(), silent })
        };
        loaded().map_err(|why: String| anyhow::Error::msg(why))
    }
}

#[cfg(not(feature = "torch"))]
mod with {
    use super::{Loaded, Network, Path, Result, Trained};

    impl Trained {
        /// Nothing: this idunno was built without libtorch.
        #[expect(clippy::unnecessary_wraps, reason = "with libtorch it can fail")]
        pub(in crate::cli::models) fn read(_: &Path) -> Result<Option<Trained>> {
            Ok(None)
        }
    }

    /// Only libtorch can.
    pub(in crate::cli::models) fn load(_: &Network) -> Result<Loaded> {
        anyhow::bail!("{}", crate::engine::NO_TORCH)
    }
}

pub(super) use with::load;
