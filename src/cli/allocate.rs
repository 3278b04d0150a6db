//! `idunno allocate`: how policies would divide workers among jobs that a file describes.

mod answer;
mod jobs;
mod sheet;
mod show;

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::answer::{Outcome, Question};
use self::jobs::{Previous, Row};
use super::text::{list, wrapped};
use super::values::seed;
use super::{Exit, Format, screen};
use crate::policy::{self, Options, Policy};
use crate::scenario::nearest;

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno allocate jobs.csv --workers 10
      How many of ten workers each job gets for the fairest lifetime rates.
  idunno allocate jobs.csv --workers 10 --all
      The same for every policy, side by side.
  idunno allocate jobs.csv --workers 10 --format csv > before.csv
      As CSV, which can be given back as the allocation before.
  idunno allocate later.csv --workers 10 --previous before.csv --hysteresis 0.2 --slack 0.1
      Move workers only where it is worth the loading of models.

JOBS.csv has a row per job. The columns job, queries, elapsed_s, seconds_per_query and remaining are required; weight,
priority, arrival_s, recent_qps and isolated_s may be there, and some policies ask for them. Lines that begin with # are
left out.

Rates are those of the jobs' whole lives: queries / (elapsed_s + seconds_per_query * remaining / workers). Gap and Jain's
index compare them divided by the jobs' weights.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file.";

/// The policy that is asked when none is named.
const USUAL: &str = "fair_time";

/// What `idunno allocate` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Allocate {
    /// A CSV file of jobs; - is the standard input.
    #[arg(value_name = "JOBS.csv")]
    jobs: String,
    /// How many workers, all alike.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    workers: u32,
    // Said here and not as documentation, which would want backticks around the name.
    #[arg(
        long,
        value_name = "POLICY",
        conflicts_with = "all",
        help = "The policy to ask [default: fair_time]"
    )]
    policy: Option<String>,
    /// Ask every policy, and put the answers side by side.
    #[arg(long)]
    all: bool,
    /// The allocation before, a CSV file with the columns job and workers: what has to be loaded is counted against it.
    #[arg(long, value_name = "PREV.csv")]
    previous: Option<String>,
    /// What policies with chance in them draw from.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = seed)]
    seed: u64,
    /// No worker for a job that would raise its rate by less than this share of it, such as 1%; 0 is without a cap.
    #[arg(long, value_name = "SHARE", default_value = "0", allow_negative_numbers = true, value_parser = share)]
    cap: f64,
    /// Keep the allocation before while its gap is at most 1 plus this times the least possible one, plus the slack.
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = factor)]
    hysteresis: f64,
    /// See --hysteresis: this many times the mean rate.
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = factor)]
    slack: f64,
    /// Give every job a worker while there are enough; so it is unless --starve is given.
    #[arg(long, overrides_with = "starve")]
    at_least_one: bool,
    /// Let jobs go without a worker where that makes the gap smaller.
    #[arg(long, overrides_with = "at_least_one")]
    starve: bool,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

/// A share from 0 to 1, also in per cent.
fn share(text: &str) -> Result<f64, String> {
    let wanted = || "wanted a share from 0 to 1, such as 0.01 or 1%".to_owned();
    // The decimal point is moved in the text, so that 1% is the very number 0.01.
    let number = text
        .trim()
        .strip_suffix('%')
        .map_or_else(|| text.to_owned(), |number| format!("{}e-2", number.trim()));
    number.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wanted)
}

/// A number from 0 to 1,000.
fn factor(text: &str) -> Result<f64, String> {
    let wanted = || "wanted a number from 0 to 1,000".to_owned();
    text.parse().ok().filter(|factor| (0.0..=1000.0).contains(factor)).ok_or_else(wanted)
}

/// Does what `idunno allocate` is told.
pub(super) fn run(command: &Allocate) -> Exit {
    match answered(command) {
        Ok(text) => screen::say(&text),
        Err(error) => {
            screen::error(&error);
            Exit::Usage
        }
    }
}

fn answered(command: &Allocate) -> Result<String> {
    let policies = policies(command)?;
    let rows = jobs::read(&bytes(&command.jobs)?, origin(&command.jobs))?;
    let previous = match &command.previous {
        Some(path) if path == "-" && command.jobs == "-" => {
            bail!("the jobs and the previous allocation cannot both come from the standard input")
        }
        Some(path) => previous(path, &rows)?,
        None => Previous::default(),
    };
    let question = Question::new(rows, &previous, command.workers, command.seed);
    let answers: Vec<_> = policies.iter().map(|policy| question.ask(&**policy)).collect();
    if let [answer] = answers.as_slice()
        && let Outcome::Unable(why) = &answer.outcome
    {
        bail!("{}: {why}", answer.policy);
    }
    Ok(match command.format {
        Format::Table => show::table(&question, &answers),
        Format::Csv => show::csv(&question, &answers),
        Format::Json => show::json(&question, &answers),
    })
}

/// Whom to ask.
fn policies(command: &Allocate) -> Result<Vec<Arc<dyn Policy>>> {
    let Allocate { cap, hysteresis, slack, starve, .. } = *command;
    let options = Options { at_least_one: !starve, cap, hysteresis, slack };
    let all = policy::all(&options);
    if command.all {
        return Ok(all);
    }
    let name = command.policy.as_deref().unwrap_or(USUAL);
    let names: Vec<&str> = all.iter().map(|policy| policy.name()).collect();
    let Some(position) = names.iter().position(|known| *known == name) else {
        let guess = nearest(name, names.iter().copied()).map(|near| format!("\n  Did you mean {near}?"));
        let known = wrapped(&format!("There are {}.", names.join(", ")), "  ");
        bail!("there is no policy {name:?}{}\n{known}", guess.unwrap_or_default())
    };
    Ok(vec![Arc::clone(&all[position])])
}

/// What messages call a file.
fn origin(path: &str) -> &str {
    if path == "-" { "standard input" } else { path }
}

/// A whole file; one that is too long is cut behind its limit, and refused for it later.
fn bytes(path: &str) -> Result<Vec<u8>> {
    let most = sheet::BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let read = if path == "-" {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", origin(path)))?;
    Ok(bytes)
}

fn previous(path: &str, rows: &[Row]) -> Result<Previous> {
    let previous = jobs::read_previous(&bytes(path)?, origin(path), rows)?;
    if !previous.ended.is_empty() {
        let names: Vec<String> = previous.ended.iter().take(5).cloned().collect();
        let more = match previous.ended.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = if more.is_empty() { list(&names) } else { names.join(", ") + &more };
        screen::complain(&format!("Taken for ended, because the jobs do not name them: {names}."));
    }
    Ok(previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_may_be_per_cent() {
        assert_eq!((share("1%"), share("0.25"), share("0")), (Ok(0.01), Ok(0.25), Ok(0.0)));
        for wrong in ["-1%", "101%", "NaN", "inf", "", "%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn factors_are_finite_and_not_negative() {
        assert_eq!(factor("0.2"), Ok(0.2));
        for wrong in ["-0.1", "1001", "NaN", "inf", "a"] {
            assert!(factor(wrong).is_err(), "{wrong}");
        }
    }
}
