//! Why a node steps: its inputs and timers, in a few words each.

use super::clients::request;
use super::messages;
use super::told::{Kind, Names, Told};
use crate::cli::text::duration;
use crate::node::{ChunkEvent, EngineEvent, Input, Timer};

/// What makes a node step. `due` is what it does before it looks at the input.
pub(super) fn input(input: &Input, due: &[Timer], names: &Names) -> Told {
    let timers = due.iter().map(|timer| self::timer(*timer)).collect::<Vec<_>>().join(", ");
    let mut told = match input {
        Input::Wake if due.is_empty() => Told::new(Kind::Timer, "timer: nothing is due"),
        Input::Wake => Told::new(Kind::Timer, format!("timer: {timers}")),
        Input::Receive { from, message } => {
            let mut told = messages::body(&message.body, names);
            told.text = format!("← {}  {}", names.node(*from), told.text);
            told
        }
        Input::Client { session, number: _, request: asked } => {
            let text = format!("{}: {}", names.client(*session), request(asked, names));
            Told::new(Kind::Client, text).job(names.sessions.get(session).cloned())
        }
        Input::Engine(event) => engine(event, names),
        Input::Persisted(_) => durable(),
        Input::Leave => Told::new(Kind::Fault, "it is told to leave"),
        Input::Chunk(event) => chunk(event),
    };
    if !timers.is_empty() && !matches!(input, Input::Wake) {
        told.text = format!("timer: {timers}; {}", told.text);
    }
    told
}

/// A sync has ended.
pub(super) fn durable() -> Told {
    Told::new(Kind::Disk, "disk: durable")
}

fn timer(timer: Timer) -> &'static str {
    match timer {
        Timer::Start => "start",
        Timer::Election => "election time-out",
        Timer::Lead => "leader's beat",
        Timer::Read => "read",
        Timer::Part => "snapshot part missing",
        Timer::Ask => "ask again",
        Timer::Beat => "heartbeat",
        Timer::Silence => "silence",
        Timer::Suspicion => "suspicion",
        Timer::Worker => "unsettled work",
        Timer::Leave => "leave again",
        Timer::Survey => "survey over",
        Timer::SurveyAgain => "survey again",
        Timer::Replan => "new rates",
        Timer::Desks => "desks again",
        Timer::Spares => "idle workers",
        Timer::Rested => "rest after a refusal",
        Timer::Gather => "view change",
        Timer::Seats => "seats",
        Timer::Backup => "backup",
        Timer::Holds => "chunks said again",
        Timer::Shelves => "chunks looked at again",
    }
}

fn chunk(event: &ChunkEvent) -> Told {
    let told = |text: String| Told::new(Kind::Files, format!("disk: {text}"));
    match event {
        ChunkEvent::Got { chunk } => told(format!("has chunk {:?}", chunk.id)),
        ChunkEvent::Failed { chunk, unwritten: false } => told(format!("did not get chunk {chunk:?}")),
        ChunkEvent::Failed { chunk, unwritten: true } => told(format!("could not write chunk {chunk:?}")),
        ChunkEvent::Lost { chunk } => told(format!("has lost chunk {chunk:?}")),
        ChunkEvent::Dropped { chunk } => told(format!("has chunk {chunk:?} no more")),
        ChunkEvent::Staged { attempt } => told(format!("has what {attempt} reads")),
        ChunkEvent::Unstaged { attempt, reason } => told(format!("has not what {attempt} reads: {reason}")),
    }
}

fn engine(event: &EngineEvent, names: &Names) -> Told {
    let told = |text: String| Told::new(Kind::Engine, format!("engine: {text}"));
    match event {
        EngineEvent::Loaded { model } => told(format!("{model} is in memory")),
        EngineEvent::LoadFailed { model, reason } => told(format!("{model} does not load: {reason}")),
        EngineEvent::Finished { attempt, answer: _, took } => {
            let took = duration(took.as_secs());
            told(format!("{} took {took}", names.attempt(*attempt)))
                .queries(names.attempts.get(attempt).copied())
        }
        EngineEvent::Failed { attempt, reason } => {
            told(format!("{} failed: {reason}", names.attempt(*attempt)))
                .queries(names.attempts.get(attempt).copied())
        }
        EngineEvent::Died { reason } => told(format!("it died: {reason}")),
    }
}
