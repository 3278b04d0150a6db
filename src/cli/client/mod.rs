//! What clients ask of a real cluster, through any of its nodes.
//!
//! There are four kinds of commands. **Changes** (`submit`, `predict`, `cancel`, `stop`, `resume`, `remove`, `batch`, `policy NAME`,
//! `drain`) are entries of the log: a client asks again and elsewhere until it has an answer, and its session makes sure that each is
//! carried out once. **Reads** (`jobs`, `job`, `result`, `stats`, `assignments`, `policy`, the cluster's part of `status`) are answered
//! by the coordinator after a quorum has confirmed that it still leads. **Local** questions (`members`, `events`, the node's part of
//! `status`, `leave`) concern the one node that answers. `handover` is neither: it names the reign that shall end, so that it ends no other.
//!
//! **Files** (`put`, `get`, `delete`, `ls`, `store`, `versions`, `info`) are changes and reads of their names; their bytes travel beside
//! that, to the node that is asked and from those that hold them.

mod classes;
mod commands;
mod events;
pub(super) mod files;
mod folder;
pub(super) mod get;
pub(super) mod inputs;
pub(super) mod jobs;
pub(super) mod nodes;
pub(super) mod put;
mod sheet;
pub(super) mod submit;
pub(super) mod top;
pub(super) mod versions;
pub(super) mod work;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::run::{HOME, addresses, key};
use super::{Exit, Format, STOP, screen};
use crate::base::{NodeId, Span};
use crate::cluster::{Client, ClientError, Standing, StoreError};
use crate::node::{Question, Reading};

pub(super) use commands::Commands;
use sheet::Sheet;

/// Whom to ask.
#[derive(Clone, Debug, Args)]
pub(super) struct Reach {
    /// Where nodes listen; the first that answers is asked, and any will do [default: `IDUNNO_NODE`, or 127.0.0.1:7400].
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    node: Vec<String>,
    /// The file with the cluster's secret [default: `IDUNNO_KEY`, or the file key in your data folder].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How long to ask before giving up.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Span,
}

fn time(text: &str) -> Result<Span, String> {
    crate::scenario::span(text).ok_or_else(|| "wanted a time such as 30s or 500ms".to_owned())
}

/// What was said or written wrongly; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

fn misuse(error: &anyhow::Error) -> anyhow::Error {
    Misuse(format!("{error:#}")).into()
}

impl Reach {
    fn nodes(&self) -> Vec<String> {
        let from_outside = std::env::var("IDUNNO_NODE").ok().filter(|nodes| !nodes.is_empty());
        if self.node.is_empty() {
            from_outside.as_deref().unwrap_or(HOME).split(',').map(str::to_owned).collect()
        } else {
            self.node.clone()
        }
    }

    /// A client that knows the nodes that it was told of.
    pub(super) fn client(&self) -> Result<Client> {
        self.client_of(&self.nodes())
    }

    fn client_of(&self, nodes: &[String]) -> Result<Client> {
        let from_outside = std::env::var_os("IDUNNO_KEY").filter(|file| !file.is_empty()).map(PathBuf::from);
        let file = self.key.clone().or(from_outside);
        let known = key(file.as_deref(), false).and_then(|key| Ok((key, addresses(nodes)?)));
        let (key, nodes) = known.map_err(|error| misuse(&error))?;
        let mut client = Client::new(&key, &nodes, Duration::from_nanos(self.timeout.0))?;
        client.stop_when(&STOP);
        Ok(client)
    }

    /// A client that also knows the other members, and so has whom to ask when a node dies; and what it heard of them.
    fn client_of_all(&self) -> Result<(Client, Standing)> {
        let mut client = self.client()?;
        let standing = client.standing()?;
        client.learn(&standing);
        Ok((client, standing))
    }
}

/// How to show something.
#[derive(Clone, Debug, Args)]
pub(super) struct Show {
    /// How to show it.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
    /// Show only what went wrong.
    #[arg(long, short)]
    quiet: bool,
}

impl Show {
    /// Prints a sheet; to people, when it is empty, what that means.
    fn sheet(&self, sheet: &Sheet, empty: &str) -> Exit {
        match self.format {
            Format::Table if sheet.is_empty() => self.note(empty),
            format => self.say(&sheet.shown(format)),
        }
    }

    /// Prints a sentence, but not to programs.
    fn note(&self, text: &str) -> Exit {
        if self.format == Format::Table { self.say(&format!("{text}\n")) } else { Exit::Fine }
    }

    fn say(&self, text: &str) -> Exit {
        if self.quiet { Exit::Fine } else { screen::say(text) }
    }
}

/// What commands are told that only look.
#[derive(Clone, Debug, Args)]
pub(super) struct Look {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// How a command ends, after saying why if it failed.
pub(super) fn ended(result: Result<Exit>) -> Exit {
    result.unwrap_or_else(|error| {
        screen::error(&error);
        match error.downcast_ref::<ClientError>() {
            Some(ClientError::NoQuorum { .. }) => Exit::NoQuorum,
            Some(ClientError::Stopped) => Exit::Interrupted,
            _ if matches!(error.downcast_ref(), Some(StoreError::Stopped)) => Exit::Interrupted,
            _ if error.is::<Misuse>() => Exit::Usage,
            _ => Exit::Failed,
        }
    })
}

/// Asks to be shown something; `take` takes the answer to this question and no other.
fn read<T>(client: &mut Client, question: Question, take: impl FnOnce(Reading) -> Option<T>) -> Result<T> {
    let reading = client.read(question)?;
    take(reading).ok_or_else(|| anyhow::anyhow!("the node answered another question"))
}

/// The member of this name or id.
fn member(standing: &Standing, name: &str) -> Result<NodeId> {
    let named: Vec<NodeId> = (standing.members.iter())
        .filter(|member| *member.name == *name || member.id.to_string() == name)
        .map(|member| member.id)
        .collect();
    let names = standing.members.iter().map(|member| &*member.name).take(20).collect::<Vec<_>>().join(", ");
    match named[..] {
        [id] => Ok(id),
        [] => Err(Misuse(format!("no member is called {name:?}; there are {names}")).into()),
        _ => {
            Err(Misuse(format!("several members are called {name:?}; say the id of one (idunno members)"))
                .into())
        }
    }
}
