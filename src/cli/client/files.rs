//! `idunno ls`, `info`, `store` and `delete`: which files there are, and who holds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::jobs::changed;
use super::sheet::{Cell, Sheet};
use super::{Misuse, Reach, Show, ended, member, read};
use crate::base::NodeId;
use crate::cli::text::{count, some};
use crate::cli::{Exit, Format};
use crate::cluster::{Client, ClientError, Standing, StoreError};
use crate::node::{Expect, FileKind, Listed, Located, Question, Reading, Refusal, Request, name_flaw};

pub(in crate::cli) const LS_EXAMPLES: &str = "\
Examples:
  idunno ls
      Every file of the store, with its newest version.
  idunno ls letters/ --format json
      Those whose names begin with letters/, an object per line.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const INFO_EXAMPLES: &str = "\
Examples:
  idunno info letters/train
      The newest version: how large it is, how many copies there are of each part, and which nodes hold them.
  idunno info letters/train@3
      Version 3.

Exit codes: 0 fine; 1 failed, or there is no such file; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const STORE_EXAMPLES: &str = "\
Examples:
  idunno store
      How much each node holds.
  idunno store n2
      Of which files n2 holds something.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const DELETE_EXAMPLES: &str = "\
Examples:
  idunno delete letters/train
      Delete the file with all its versions.
  idunno delete letters/train --if-version 4
      Only if version 4 is still the newest.

Exit codes: 0 it is deleted; 1 failed, or there is no such file; 2 usage or a bad file, nothing changed; 5 no quorum.";

/// What `idunno ls` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Ls {
    /// How the names begin [default: all names].
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// What `idunno info` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Info {
    /// The file, or a version of it as NAME@VERSION.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// What `idunno store` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Store {
    /// A node, by its name or id: then the files are shown of which it holds something.
    #[arg(value_name = "NODE")]
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// What `idunno delete` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Delete {
    /// The file.
    #[arg(value_name = "NAME")]
    name: String,
    /// Delete it only if this is its newest version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// A name that can be one; anything else is refused before it is sent.
pub(super) fn sound(name: &str) -> Result<Arc<str>> {
    match name_flaw(name) {
        None => Ok(name.into()),
        Some(flaw) => Err(Misuse(flaw).into()),
    }
}

/// A name, and the version that may stand behind it.
pub(super) fn versioned(text: &str) -> Result<(Arc<str>, Option<u64>)> {
    match text.split_once('@') {
        None => Ok((sound(text)?, None)),
        Some((name, version)) => {
            let Ok(number) = version.parse() else {
                return Err(
                    Misuse(format!("{version:?} is no version; wanted a number, as in {name}@3")).into()
                );
            };
            Ok((sound(name)?, Some(number)))
        }
    }
}

/// What came of moving a file; the exit code depends on the cluster's part of it.
pub(super) fn told<T>(result: Result<T, StoreError>) -> Result<T> {
    result.map_err(|error| match error {
        StoreError::Client(error) => error.into(),
        StoreError::Local(error) => Misuse(format!("the file {error}")).into(),
        other => other.into(),
    })
}

/// A bar for so many bytes; nothing is drawn where nobody looks.
pub(super) fn bar(show: &Show, what: &'static str, bytes: u64) -> ProgressBar {
    if show.quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg} [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
    );
    let bar = ProgressBar::new(bytes);
    bar.set_style(style.expect("the template is right").progress_chars("=> "));
    bar.set_message(what);
    bar
}

/// What people and programs call what the bytes of a file are.
pub(super) fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Plain => "file",
        FileKind::Folder => "folder",
    }
}

/// Every file whose name begins so.
fn list(client: &mut Client, prefix: &str) -> Result<Vec<Listed>> {
    let (mut all, mut after): (Vec<Listed>, Option<Arc<str>>) = (Vec::new(), None);
    loop {
        let question = Question::Files { prefix: prefix.into(), after };
        let (files, more) = read(client, question, |reading| match reading {
            Reading::Files { files, more } => Some((files, more)),
            _ => None,
        })?;
        after = files.last().map(|file| Arc::clone(&file.name));
        all.extend(files);
        if !more || after.is_none() {
            return Ok(all);
        }
    }
}

/// Does what `idunno ls` is told.
pub(in crate::cli) fn ls(ls: &Ls) -> Exit {
    ended(ls.reach.client_of_all().and_then(|(mut client, _)| {
        let mut sheet = Sheet::new(&[
            ("name", "name"),
            ("kind", "kind"),
            ("version", "version"),
            ("bytes", "bytes"),
            ("versions", "versions"),
        ]);
        for file in list(&mut client, &ls.prefix)? {
            sheet.row(vec![
                Cell::text(&*file.name),
                Cell::text(kind(file.kind)),
                Cell::number(file.version),
                Cell::count(file.bytes),
                Cell::count(file.versions),
            ]);
        }
        let none = if ls.prefix.is_empty() {
            "The store is empty.".to_owned()
        } else {
            format!("No file's name begins with {}.", ls.prefix)
        };
        Ok(ls.show.sheet(&sheet, &none))
    }))
}

/// Does what `idunno info` is told.
pub(in crate::cli) fn info(info: &Info) -> Exit {
    ended(versioned(&info.name).and_then(|(name, version)| {
        let (mut client, own) = info.reach.client_of_all()?;
        let found = client.locate(&name, version)?;
        let kept = read(&mut client, Question::Versions(Arc::clone(&name)), |reading| match reading {
            Reading::Versions(versions) => Some(versions.len() as u64),
            _ => None,
        })?;
        Ok(match info.show.format {
            Format::Table => info.show.say(&described(&name, &found, kept, &own)),
            Format::Json => info.show.say(&format!("{}\n", as_json(&name, &found, kept, &own))),
            Format::Csv => info.show.sheet(&holders(&found, &own), ""),
        })
    }))
}

/// How many copies there are of the chunk that has fewest, and of that which has most; `None` when there are no chunks.
fn copies(found: &Located) -> Option<(u64, u64)> {
    let copies = || found.holders.iter().map(|holders| holders.len() as u64);
    Some((copies().min()?, copies().max()?))
}

fn described(name: &str, found: &Located, kept: u64, own: &Standing) -> String {
    let version = &found.version;
    let content = &version.content;
    let copies = match copies(found) {
        None => "none are needed".to_owned(),
        Some((least, most)) if least == most => format!("{most} of each chunk"),
        Some((least, most)) => format!("{least} to {most} of each chunk"),
    };
    let mut text = format!(
        "{name}: version {}, a {}\n  size      {}\n  chunks    {}\n  copies    {copies}\n  kept      {}\n",
        version.number,
        kind(content.kind),
        some(content.bytes(), "byte", "bytes"),
        count(content.chunks.len() as u64),
        some(kept, "version", "versions"),
    );
    let holders = holders(found, own);
    if !holders.is_empty() {
        let _ = write!(text, "\n{}", holders.shown(Format::Table));
    }
    text
}

fn as_json(name: &str, found: &Located, kept: u64, own: &Standing) -> serde_json::Value {
    let version = &found.version;
    let content = &version.content;
    let chunks = content.chunks.iter().zip(&found.holders).map(|(chunk, holders)| {
        let holders: Vec<String> = holders.iter().map(|&holder| name_of(own, holder)).collect();
        serde_json::json!({ "sha256": chunk.id.to_string(), "bytes": chunk.bytes, "holders": holders })
    });
    let chunks: Vec<serde_json::Value> = chunks.collect();
    let copies = copies(found);
    serde_json::json!({
        "name": name, "version": version.number, "kind": kind(content.kind), "bytes": content.bytes(),
        "copies_min": copies.map(|copies| copies.0), "copies_max": copies.map(|copies| copies.1),
        "versions": kept, "chunks": chunks,
    })
}

/// How much each node holds of a version.
fn holders(found: &Located, own: &Standing) -> Sheet {
    let mut held: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
    for (chunk, holders) in found.version.content.chunks.iter().zip(&found.holders) {
        for &holder in holders {
            let (chunks, bytes) = held.entry(holder).or_default();
            (*chunks, *bytes) = (*chunks + 1, *bytes + u64::from(chunk.bytes));
        }
    }
    let mut held: Vec<(String, (u64, u64))> =
        held.into_iter().map(|(node, held)| (name_of(own, node), held)).collect();
    held.sort();
    let mut sheet = Sheet::new(&[("node", "node"), ("chunks", "chunks"), ("bytes", "bytes")]);
    for (node, (chunks, bytes)) in held {
        sheet.row(vec![Cell::text(node), Cell::count(chunks), Cell::count(bytes)]);
    }
    sheet
}

fn name_of(own: &Standing, id: NodeId) -> String {
    let member = own.members.iter().find(|member| member.id == id);
    member.map_or_else(|| id.to_string(), |member| member.name.to_string())
}

/// Does what `idunno store` is told.
pub(in crate::cli) fn store(store: &Store) -> Exit {
    ended(store.reach.client_of_all().and_then(|(mut client, own)| match &store.name {
        None => shelves(&mut client, &store.show),
        Some(name) => {
            let node = member(&own, name)?;
            held_by(&mut client, node, name, &store.show)
        }
    }))
}

fn shelves(client: &mut Client, show: &Show) -> Result<Exit> {
    let shelves = read(client, Question::Shelves, |reading| match reading {
        Reading::Shelves(shelves) => Some(shelves),
        _ => None,
    })?;
    let mut sheet = Sheet::new(&[
        ("node", "node"),
        ("id", "id"),
        ("chunks", "chunks"),
        ("bytes", "bytes"),
        ("coming", "coming"),
        ("suspect", "suspect"),
        ("full", "full"),
    ]);
    for shelf in shelves {
        sheet.row(vec![
            Cell::text(&*shelf.name),
            Cell::text(shelf.node.to_string()),
            Cell::count(shelf.chunks),
            Cell::count(shelf.bytes),
            Cell::count(shelf.coming),
            Cell::flag(shelf.suspect),
            Cell::flag(shelf.full),
        ]);
    }
    Ok(show.sheet(&sheet, "The cluster has no members."))
}

/// The files of whose newest version a node holds something.
fn held_by(client: &mut Client, node: NodeId, name: &str, show: &Show) -> Result<Exit> {
    let mut sheet = Sheet::new(&[
        ("name", "name"),
        ("version", "version"),
        ("held", "chunks held"),
        ("chunks", "of"),
        ("bytes", "bytes held"),
    ]);
    for file in list(client, "")? {
        let found = match client.locate(&file.name, None) {
            // It was deleted since it was listed.
            Err(ClientError::Refused(Refusal::UnknownFile(_))) => continue,
            found => found?,
        };
        let chunks = &found.version.content.chunks;
        let held = chunks.iter().zip(&found.holders).filter(|(_, holders)| holders.contains(&node));
        let (held, bytes) =
            held.fold((0_u64, 0), |(held, bytes), (chunk, _)| (held + 1, bytes + u64::from(chunk.bytes)));
        if held > 0 {
            sheet.row(vec![
                Cell::text(&*file.name),
                Cell::number(found.version.number),
                Cell::count(held),
                Cell::count(chunks.len() as u64),
                Cell::count(bytes),
            ]);
        }
    }
    Ok(show.sheet(&sheet, &format!("{name} holds nothing of the newest version of any file.")))
}

/// Does what `idunno delete` is told.
pub(in crate::cli) fn delete(delete: &Delete) -> Exit {
    match sound(&delete.name) {
        Ok(name) => {
            let expect = delete.if_version.map_or(Expect::Anything, Expect::Version);
            let done = format!("{name} is deleted, with all its versions");
            changed(&delete.reach, &delete.show, &Request::Delete { name, expect }, &done)
        }
        Err(error) => ended(Err(error)),
    }
}

/// The last part of a name, by which a file is called that is fetched.
pub(super) fn last_part(name: &str) -> Result<&str> {
    match name.rsplit('/').next() {
        Some(last) if !last.is_empty() => Ok(last),
        _ => bail!("{name} has no last part"),
    }
}
