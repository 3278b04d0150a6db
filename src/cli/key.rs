//! `idunno key`: the secret of a cluster.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Exit, screen};
use crate::cluster::Key;

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno key new cluster.key
      A new secret, which only you can read. Copy it to every machine of the cluster.";

/// What `idunno key` is told.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Keys {
    /// Make the secret of a new cluster; whoever holds it can join and command the cluster.
    #[command(after_help = EXAMPLES)]
    New {
        /// The file to write, which must not exist; only its owner will be able to read it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Does what `idunno key` is told.
pub(super) fn run(keys: &Keys) -> Exit {
    let Keys::New { file } = keys;
    match Key::random().and_then(|key| key.write(file)) {
        Ok(()) => screen::say(&format!("{}\n", file.display())),
        Err(error) => {
            screen::error(&error.into());
            Exit::Usage
        }
    }
}
