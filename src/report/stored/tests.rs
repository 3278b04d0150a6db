//! Histories read back: whole ones come out as they went in, all others are refused with what is wrong.

use std::path::Path;

use super::super::example::{ms, records, resolved};
use super::super::tests::{end, trial};
use super::super::{Gather, Messages, Trial, TrialEnd};
use super::*;
use crate::base::Rng;
use crate::check::Checker;
use crate::history::Ignore;

/// A whole history of these trials.
pub(in crate::report) fn history(trials: &[Trial]) -> Vec<u8> {
    let count = trials.len() as u32;
    let mut bytes = super::super::history::first_line("example", "sim", &resolved(count));
    for trial in trials {
        bytes.extend(&trial.history);
    }
    bytes.extend(super::super::history::last_line(count, Some(&Repetition { trace: 1, ended_at: ms(2) })));
    bytes
}

fn open(bytes: &[u8]) -> Result<(Plan, Stored<&[u8]>), StoredError> {
    Stored::read_from(bytes, Path::new("run/history.jsonl"), Path::new("run/scenario.toml"))
}

/// All trials of a history with their records.
pub(in crate::report) fn read(bytes: &[u8]) -> Result<Vec<(TrialLine, Vec<Record>)>, StoredError> {
    let (_, mut stored) = open(bytes)?;
    let mut trials = Vec::new();
    while let Some(trial) = stored.next_trial()? {
        let mut records: Vec<Record> = Vec::new();
        stored.read(&trial, &mut records)?;
        trials.push((trial, records));
    }
    Ok(trials)
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).expect_err("it is not as it was written").to_string()
}

#[test]
fn the_history_comes_back_as_it_was() {
    let trials = [trial(0), trial(1)];
    let bytes = history(&trials);
    let (plan, mut stored) = open(&bytes).unwrap();
    assert_eq!((stored.head().driver.as_str(), plan.trials), ("sim", 2));
    let first = stored.next_trial().unwrap().expect("there are trials");
    assert_eq!((first.trial, first.seed, first.ended_at), (0, 7, ms(31_000)));
    assert_eq!(first.trace, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    assert_eq!(first.messages.map(Messages::total), Some(3_100));
    assert_eq!(TrialEnd::from(&first), end());
    let mut read: Vec<Record> = Vec::new();
    stored.read(&first, &mut read).unwrap();
    assert_eq!(read, records());
    let second = stored.next_trial().unwrap().expect("there are two");
    stored.read(&second, &mut Ignore).unwrap();
    assert_eq!(stored.next_trial().unwrap(), None);
    assert_eq!(stored.repetition(), Some(&Repetition { trace: 1, ended_at: ms(2) }));
}

#[test]
fn what_voters_agree_on_is_written_once() {
    let trial = trial(0);
    let text = String::from_utf8(trial.history).unwrap();
    let repeated = text.lines().filter(|line| line.contains("\"again\"")).count();
    let applied = text.lines().filter(|line| line.contains("\"Applied\"")).count();
    assert_eq!(repeated, 2 * applied, "three voters apply, and the first one's entry is written in full");
    let per_query = text.len() as u64 / trial.tables.jobs.iter().map(|job| job.queries).sum::<u64>();
    assert!(per_query < 2_000, "{per_query} bytes a query");
}

#[test]
fn a_history_that_was_cut_off_is_refused_wherever_that_was() {
    let bytes = history(&[trial(0)]);
    let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').map(|at| at + 1).collect();
    let whole = ends.len();
    // After lines near the beginning and the end, and within them.
    let lines = (1..4).chain(whole - 3..whole).map(|lines| (ends[lines - 1], lines + 1));
    for (kept, line) in lines.clone().chain(lines.map(|(kept, line)| (kept - 5, line - 1))) {
        let said = refusal(&bytes[..kept]);
        assert!(said.starts_with(&format!("run/history.jsonl, line {line}: ")), "{kept} bytes: {said}");
        assert!(said.contains("it was cut off") && said.contains("idunno sim run/scenario.toml"), "{said}");
    }
    assert!(refusal(b"").contains("line 1: the file is empty"), "{}", refusal(b""));
}

#[test]
fn each_kind_of_damage_is_named_with_the_line_and_what_would_be_right() {
    let text = String::from_utf8(history(&[trial(0), trial(1)])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let changed = |line: usize, from: &str, to: &str| {
        assert!(lines[line - 1].contains(from), "{}", lines[line - 1]);
        let fresh = lines[line - 1].replacen(from, to, 1);
        let all = lines.iter().enumerate().map(|(at, kept)| if at == line - 1 { &*fresh } else { kept });
        refusal(all.flat_map(|line| [line, "\n"]).collect::<String>().as_bytes())
    };
    let without = |line: usize| {
        let all = lines.iter().enumerate().filter(|(at, _)| *at != line - 1);
        refusal(all.flat_map(|(_, line)| [line, "\n"]).collect::<String>().as_bytes())
    };
    let second = lines.iter().skip(2).position(|line| line.starts_with("{\"trial\"")).unwrap() + 3;
    let again = lines.iter().position(|line| line.contains("\"again\"")).unwrap() + 1;
    for (said, line, wanted) in [
        (
            changed(1, "\"format\":2", "\"format\":two"),
            1,
            "this should be a line that says what wrote the file",
        ),
        (
            changed(2, "\"seed\":7", "\"seed\":8"),
            2,
            "trial 0 with seed 7 should begin, not trial 0 with seed 8",
        ),
        (changed(2, "\"trace\":\"0", "\"trace\":\""), 2, "32 hexadecimal digits"),
        (changed(3, "\"at\":0,", "\"at\":0"), 3, "this should be a record"),
        (changed(3, "\"machine\":0", "\"machine\":10"), 3, "they are numbered from 0 to 9"),
        (changed(3, "\"at\":0", "\"at\":99000000000000"), 3, "the trial's end, at 31.000000s"),
        (changed(second - 1, "\"at\":", "\"at\":0,\"time\":"), second - 1, "the one before it"),
        (changed(again, "\"again\":[1,", "\"again\":[9,"), again, "is applied again, but was not before"),
        (changed(4, "\"node\"", "\"none\""), 4, "one of \"node\", \"what\" and \"again\""),
        (changed(lines.len(), "\"trials\":2", "\"trials\":3"), lines.len(), "the scenario has 2"),
        (without(4), second - 1, "this should be a record"),
        (without(second), second, "this should be the line with which a trial begins"),
        (without(lines.len()), lines.len(), "the file ends where the line that says so"),
        (refusal(format!("{text}more\n").as_bytes()), lines.len() + 1, "should have ended before this line"),
    ] {
        let place = format!("run/history.jsonl, line {line}: ");
        assert!(
            said.starts_with(&place) && said.contains(wanted),
            "wanted {place}{wanted}, and it says {said}"
        );
    }
}

#[test]
fn another_format_is_refused_with_what_to_do() {
    let old = b"{\"idunno\":\"0.0.9\",\"format\":1,\"scenario\":\"example\",\"driver\":\"sim\"}\n";
    let said = refusal(old);
    for wanted in ["format 1, written by idunno 0.0.9", "reads format 2", "`idunno sim run/scenario.toml`"] {
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn an_edited_scenario_is_refused_with_the_line_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let resolved = resolved(1);
    std::fs::write(folder.path().join(HISTORY), history(&[trial(0)])).unwrap();
    let missing = Stored::open(folder.path()).unwrap_err().to_string();
    assert!(missing.contains("has no scenario.toml; give a folder"), "{missing}");
    let open = |text: &str| {
        std::fs::write(folder.path().join(SCENARIO), text).unwrap();
        Stored::open(folder.path()).map(|_| ())
    };
    open(&resolved).expect("this is what was run");
    let line = resolved.lines().position(|line| line == "seed = 7").unwrap() + 1;
    let shorter: String = resolved.lines().take(line - 1).flat_map(|line| [line, "\n"]).collect();
    for (text, line, wanted) in [
        (
            resolved.replacen("seed = 7", "seed = 9", 1),
            line,
            "this says `seed = 9`, and what was run says `seed = 7`",
        ),
        (shorter, line, "this is missing, and what was run says `seed = 7`"),
        (format!("{resolved}# a note\n"), resolved.lines().count() + 1, "what was run ends before it"),
        (resolved.replace('\n', "\r\n"), 0, "the ends of the lines differ"),
    ] {
        let said = open(&text).unwrap_err().to_string();
        let place = if line == 0 { "line ".to_owned() } else { format!("scenario.toml, line {line}: ") };
        assert!(said.contains(&place) && said.contains(wanted), "{said}");
    }
}

/// Whatever stands in a history, reading it ends in an answer: numbers changed, lines lost, doubled and exchanged.
#[test]
fn no_damage_makes_reading_checking_or_reporting_panic() {
    let text = String::from_utf8(history(&[trial(0)])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let seeds = std::env::var("IDUNNO_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for _ in 0..=rng.below(4) {
            let (one, other) = (
                2 + rng.below(lines.len() as u64 - 3) as usize,
                2 + rng.below(lines.len() as u64 - 3) as usize,
            );
            match rng.below(4) {
                0 => lines.swap(one, other),
                1 => lines[one] = lines[other].clone(),
                _ => lines[one] = renumbered(&lines[one], &mut rng),
            }
        }
        let bytes = lines.join("\n") + "\n";
        let Ok((plan, mut stored)) = open(bytes.as_bytes()) else { continue };
        let Ok(Some(trial)) = stored.next_trial() else { continue };
        let mut sinks = (Checker::new(&plan, 7), Gather::stored(&plan, 0, 7).with_figures());
        if stored.read(&trial, &mut sinks).is_ok() {
            sinks.0.finish(trial.ended_at);
            sinks.1.finish(TrialEnd::from(&trial));
        }
    }
}

/// The line with one of its numbers changed, but not its time.
fn renumbered(line: &str, rng: &mut Rng) -> String {
    let head = line.find(',').unwrap_or(0);
    let digit = |at: usize| line.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> = (head + 1..line.len()).filter(|&at| digit(at) && !digit(at - 1)).collect();
    if starts.is_empty() {
        return line.to_owned();
    }
    let from = starts[rng.below(starts.len() as u64) as usize];
    let to = (from..line.len()).find(|&at| !digit(at)).unwrap_or(line.len());
    let fresh = [0, 1, 2, 7, u64::from(u32::MAX), u64::MAX / 2, u64::MAX][rng.below(7) as usize];
    format!("{}{fresh}{}", &line[..from], &line[to..])
}
