//! `idunno replay`: the recording of a real node, lived again.

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::text::{duration, some};
use super::trace::{self, Life};
use super::values::moment;
use super::{Exit, screen};
use crate::base::{Span, Time};
use crate::cluster::{Beginning, Next, RecordingEnd, RecordingError, Replay};
use crate::node::Start;

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno replay n1.rec
      Steps a fresh machine through all that the node was given, and says whether it did the same.
  idunno replay n1.rec --until 12.5s --print
      What the node was given and did up to then, a line per step, and what it was at that moment.
  idunno replay n1.rec --print --kind election,membership
      Who stood, voted and led, who was suspected and evicted.

\"idunno run --record FILE\" writes a recording. A node cannot be taken up in the middle of its life, so that
a recording that is full ends, and says so.

Exit codes: 0 the same came of every step; 1 a step came out differently; 2 usage or a bad file;
101 the machine panicked, as it was recorded or not: the last line names the step.";

/// What `idunno replay` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Replaying {
    /// The recording.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Stop before the first step after TIME, such as 12.5s, counted from the start of the node.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Span>,
    /// Write what the node is given and what comes of it, a line per step, to the standard output.
    #[arg(long)]
    print: bool,
    /// Only lines of this kind. Heartbeats, disks and idle timers are left out unless they are asked for here.
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',', requires = "print")]
    kind: Vec<trace::Kind>,
}

/// Does what `idunno replay` is told.
pub(super) fn run(replaying: &Replaying, stop: &AtomicBool) -> Exit {
    match live_again(replaying, stop) {
        Ok(exit) => exit,
        Err(error) => {
            screen::error(&error.into());
            Exit::Usage
        }
    }
}

fn live_again(replaying: &Replaying, stop: &AtomicBool) -> Result<Exit, RecordingError> {
    let mut replay = Replay::open(&replaying.file)?;
    screen::complain(&beginning(&replay.beginning));
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut life = Life::new(&replay.beginning, &replaying.kind, out);
    let until = replaying.until.map_or(Time::NEVER, |until| Time::ZERO + until);
    let (mut last, mut different) = ((0, Time::ZERO), None);
    let end = loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(Exit::Interrupted);
        }
        let given = match replay.ask()? {
            Next::Given(given) if given.now > until => break format!("stopped at {until}, as asked"),
            Next::Given(given) => given,
            Next::End(RecordingEnd::Said(why)) => break format!("the recording ends: {why}"),
            Next::End(RecordingEnd::Torn) => {
                break "the recording ends without a word, as when the process was killed".to_owned();
            }
        };
        let Some((effects, _)) = given.had else {
            screen::complain(&format!(
                "The machine panicked in step {} at {}; it was given",
                given.number, given.now
            ));
            life.given(&given);
            life.finish();
            replay.take(&given);
            screen::complain("It does not panic now.");
            return Ok(Exit::Failed);
        };
        let stepped = replay.take(&given);
        if replaying.print {
            life.stepped(&given, &stepped);
        }
        last = (given.number, given.now);
        if !stepped.same {
            different = Some((given, effects, stepped));
            break "stopped there".to_owned();
        }
    };
    if let Some((given, effects, stepped)) = &different {
        let (number, now) = (given.number, given.now);
        screen::complain(&format!("Step {number} at {now} comes out differently. It was given"));
        life.given(given);
        life.wrong(
            now,
            &format!(
                "it had {} when it was recorded, and has {} now",
                some(u64::from(*effects), "effect", "effects"),
                some(stepped.effects.len() as u64, "effect", "effects"),
            ),
        );
        if !replaying.print {
            life.stepped(given, stepped);
        }
    }
    if let Some(error) = life.finish().filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        screen::error(&anyhow::Error::new(error).context("cannot write to the standard output"));
        return Ok(Exit::Failed);
    }
    let (steps, at) = last;
    let steps =
        format!("{} over {}; {end}.", some(steps, "step", "steps"), duration(at.since(Time::ZERO).as_secs()));
    if different.is_some() {
        screen::complain(&steps);
        return Ok(Exit::Failed);
    }
    screen::complain(&format!(
        "{steps}\nThe same effects at every step; their digest is {:032x}.",
        replay.digest()
    ));
    if replaying.until.is_some() {
        screen::complain(&standing(&replay));
    }
    Ok(Exit::Fine)
}

fn beginning(beginning: &Beginning) -> String {
    let Beginning { program, identity, settings: _, start, seed: _ } = beginning;
    let how = match start {
        Start::Found => "founded a cluster".to_owned(),
        Start::Join { .. } => "joined a cluster".to_owned(),
        Start::Restart(disk) => {
            format!("went on from its disk, of which life {} was the last", disk.incarnation.0)
        }
    };
    let other = env!("CARGO_PKG_VERSION");
    let version = if program == other {
        String::new()
    } else {
        format!(
            " It was recorded by idunno {program}, and this is {other}: steps may differ for that reason."
        )
    };
    format!("{} {} {how}.{version}", identity.name, identity.id)
}

/// What the node was where the replay stopped.
fn standing(replay: &Replay) -> String {
    let status = replay.node().status();
    let role = match (status.leads, status.votes) {
        (true, _) => "leads",
        (false, true) => "votes",
        (false, false) => "neither votes nor leads",
    };
    let leader = status.coordinator.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    format!(
        "Then it {role} in e{}, follows {leader}, acts by {} and holds {}.",
        status.epoch.0,
        status.view,
        some(status.held as u64, "query", "queries"),
    )
}
