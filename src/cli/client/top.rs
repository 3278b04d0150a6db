//! `idunno top`: the cluster, its jobs and its workers, drawn anew every second.

use std::io::{IsTerminal, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue};

use super::jobs::stats;
use super::nodes::cluster;
use super::work::{assignments, tables};
use super::{Misuse, Reach, ended};
use crate::cli::Exit;
use crate::cli::text::{duration, some};
use crate::cluster::Client;

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  idunno top
      Who leads, how fast every job is and what every worker does, drawn anew every second. q or Ctrl-C ends it.

Exit codes: 0 fine; 1 failed; 2 usage, or the standard output is no terminal.";

/// Between two drawings.
const EVERY: Duration = Duration::from_secs(1);
/// How long a question may take before the screen says that there is no answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `idunno top` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Top {
    #[command(flatten)]
    reach: Reach,
}

/// Does what `idunno top` is told.
pub(in crate::cli) fn top(top: &Top, stop: &AtomicBool) -> Exit {
    ended(watch(top, stop))
}

fn watch(top: &Top, stop: &AtomicBool) -> Result<Exit> {
    if !stdout().is_terminal() {
        let why = "top draws on a terminal, and the standard output is none; idunno status, stats and assignments print the \
                   same once";
        return Err(Misuse(why.to_owned()).into());
    }
    // What is wrong with flags, key or nodes is said before the screen is taken.
    let (mut client, _) = top.reach.client_of_all()?;
    client.set_patience(PATIENCE);
    let _screen = Screen::take()?;
    let mut last = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let head = match look(&mut client) {
            Ok((head, lines)) => {
                last = lines;
                head
            }
            // What was seen last stays, under a line that says so.
            Err(error) => format!("idunno top   {error:#}"),
        };
        Screen::draw(&head, &last)?;
        if wants_to_end(EVERY.saturating_sub(began.elapsed()))? {
            break;
        }
    }
    Ok(Exit::Fine)
}

/// The head line, and all that follows.
fn look(client: &mut Client) -> Result<(String, Vec<String>)> {
    let cluster = cluster(client)?;
    let (stats, workers) = (stats(client)?, assignments(client)?);
    let seat = cluster.seats.iter().find(|seat| seat.node == cluster.leader);
    let leader = seat.and_then(|seat| seat.name.as_deref()).unwrap_or("somebody");
    let voters = cluster.seats.iter().filter(|seat| seat.votes).count() as u64;
    let head = format!(
        "idunno top   term {}, led by {leader} for {}; {}; policy {}   (q ends)",
        cluster.epoch.0,
        duration(cluster.reign.as_secs()),
        some(voters, "voter", "voters"),
        cluster.policy
    );
    let [jobs, workers] = tables(&stats, &workers);
    let mut lines = vec![String::new()];
    // The newest jobs are those that people watch.
    let (first, jobs) = jobs.split_once('\n').unwrap_or(("There are no jobs.", ""));
    lines.push(first.to_owned());
    lines.extend(jobs.lines().rev().map(str::to_owned));
    lines.push(String::new());
    lines.extend(workers.lines().map(str::to_owned));
    Ok((head, lines))
}

/// Waits for a key that ends it.
fn wants_to_end(wait: Duration) -> Result<bool> {
    let until = Instant::now() + wait;
    while poll(until.saturating_duration_since(Instant::now())).context("cannot read the keyboard")? {
        match read().context("cannot read the keyboard")? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let interrupt =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
            // It is drawn for the new size at once.
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// The whole terminal, which is given back as it was.
struct Screen;

impl Screen {
    fn take() -> Result<Screen> {
        enable_raw_mode().context("cannot take over the terminal")?;
        // From here on it is given back, whatever happens.
        let screen = Screen;
        execute!(stdout(), EnterAlternateScreen, cursor::Hide).context("cannot take over the terminal")?;
        Ok(screen)
    }

    /// Draws as much as there is room for.
    fn draw(head: &str, lines: &[String]) -> Result<()> {
        let (width, height) = size().context("cannot tell the size of the terminal")?;
        let mut out = stdout().lock();
        queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for line in fitted(head, lines, usize::from(width), usize::from(height)) {
            write!(out, "{line}")?;
            queue!(out, Clear(ClearType::UntilNewLine), cursor::MoveToNextLine(1))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        out.flush().context("cannot write to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = execute!(stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// The lines that fit on a terminal of this size. The last line of it stays empty, or it would scroll.
fn fitted(head: &str, lines: &[String], width: usize, height: usize) -> Vec<String> {
    let cut = |line: &str| line.chars().take(width).collect();
    let room = height.saturating_sub(1);
    let mut fitted: Vec<String> =
        std::iter::once(head).chain(lines.iter().map(String::as_str)).map(cut).collect();
    if fitted.len() > room {
        let hidden = fitted.len() - room + 1;
        fitted.truncate(room.saturating_sub(1));
        fitted.push(cut(&format!("… {} more", some(hidden as u64, "line", "lines"))));
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines: Vec<String> = (1..=5).map(|n| format!("line {n}")).collect();
        assert_eq!(fitted("head", &lines, 80, 24).len(), 6);
        assert_eq!(fitted("head", &lines, 6, 5), ["head", "line 1", "line 2", "… 3 li"]);
    }
}
