//! `idunno top`: the cluster, its jobs and its workers, drawn anew every second.

use std::cmp::Reverse;
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
use crate::node::JobState;

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  idunno top
      Who leads, how fast every job is and what every worker does, drawn anew every second. q or Ctrl-C ends it.

Exit codes: 0 fine; 1 failed; 2 usage, or the standard output is no terminal.";

/// Between two drawings.
const EVERY: Duration = Duration::from_secs(1);
/// How long a question may take before the screen says that there is no answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines of the table of jobs, and of that of workers.
type Parts = [Vec<String>; 2];

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
    let mut last = [Vec::new(), Vec::new()];
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

/// The head line, and the tables of jobs and of workers.
fn look(client: &mut Client) -> Result<(String, Parts)> {
    let cluster = cluster(client)?;
    let (mut stats, workers) = (stats(client)?, assignments(client)?);
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
    // What runs is what people watch, and of that the newest.
    let is_over = |state| matches!(state, JobState::Complete | JobState::Cancelled);
    stats.jobs.sort_by_key(|job| (is_over(job.state), Reverse(job.job)));
    let lines = |table: &str| table.lines().map(str::to_owned).collect();
    let [jobs, workers] = tables(&stats, &workers);
    let jobs = if stats.jobs.is_empty() { vec!["There are no jobs.".to_owned()] } else { lines(&jobs) };
    Ok((head, [jobs, lines(&workers)]))
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
    fn draw(head: &str, parts: &Parts) -> Result<()> {
        let (width, height) = size().context("cannot tell the size of the terminal")?;
        let mut out = stdout().lock();
        queue!(out, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for line in fitted(head, parts, usize::from(width), usize::from(height)) {
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

/// The lines that fit on a terminal of this size. The last line of it stays empty, or it would scroll. Where not everything fits, neither
/// jobs nor workers push the others off the screen.
fn fitted(head: &str, [jobs, workers]: &Parts, width: usize, height: usize) -> Vec<String> {
    let room = height.saturating_sub(4);
    let for_workers = workers.len().min((room / 2).max(room.saturating_sub(jobs.len())));
    let gap = || std::iter::once(String::new());
    let lines = std::iter::once(head.to_owned());
    let lines = lines.chain(gap()).chain(part(jobs, room - for_workers));
    let lines = lines.chain(gap()).chain(part(workers, for_workers));
    lines.take(height.saturating_sub(1)).map(|line| line.chars().take(width).collect()).collect()
}

/// So many lines of a table, the last of which says how many more there are.
fn part(table: &[String], room: usize) -> Vec<String> {
    if table.len() <= room {
        return table.to_vec();
    }
    let (shown, hidden) = table.split_at(room.saturating_sub(1));
    let more = format!("… {} more", some(hidden.len() as u64, "line", "lines"));
    shown.iter().cloned().chain(Some(more).filter(|_| room > 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines = |what: &str, count: u32| (1..=count).map(|n| format!("{what} {n}")).collect::<Vec<_>>();
        let parts = [lines("job", 5), lines("worker", 3)];
        assert_eq!(fitted("head", &parts, 80, 24).len(), 1 + 1 + 5 + 1 + 3);
        let parts = [lines("job", 300), lines("worker", 2)];
        assert_eq!(
            fitted("head", &parts, 6, 9),
            ["head", "", "job 1", "job 2", "… 298 ", "", "worker", "worker"]
        );
        let parts = [lines("job", 1), lines("worker", 300)];
        assert_eq!(
            fitted("head", &parts, 80, 8),
            ["head", "", "job 1", "", "worker 1", "worker 2", "… 298 lines more"]
        );
        assert!(fitted("head", &parts, 80, 2).len() == 1 && fitted("head", &parts, 80, 0).is_empty());
    }
}
