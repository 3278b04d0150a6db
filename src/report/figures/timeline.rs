//! The timeline: a lane per node with what it ran, who led, who was suspect, who was gone or cut off.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Facts;
use crate::base::{JobId, Span, Time};
use crate::report::figure::{Figure, Lane, Lanes, Look, Panel, State, Stretch};
use crate::report::lives::{Doing, Life, Plight, Stay};
use crate::scenario::NodePlan;

/// Jobs, models or groups of jobs with a colour of their own: the first ones of the palette.
const COLORS_MAX: usize = 6;
/// Two greys of the palette, for engines that load and processes that stand still.
const PALE: usize = 13;
const DARK: usize = 20;
/// More stretches of what engines did than this are not drawn one by one.
const STRETCHES_MAX: usize = 8_000;

/// What each node did and went through.
pub(super) fn figure(facts: &Facts<'_>) -> Figure {
    let groups = Groups::of(facts);
    let (engines, cell) = engines(facts, &groups);
    let mut states = groups.states;
    let plights = states.len();
    states.extend(PLIGHTS.map(|(_, name, look)| State { name: name.to_owned(), look }));
    let lane = |((life, engine), node): ((&Life, Vec<Stay<usize>>), &NodePlan)| {
        let mut stretches: Vec<Stretch> = engine.iter().map(stretch).collect();
        let place = |plight| PLIGHTS.iter().position(|(known, ..)| *known == plight);
        stretches.extend(life.plights.iter().map(|stay| {
            let state = place(stay.what).expect("every plight is listed") + plights;
            stretch(&Stay { what: state, from: stay.from, to: stay.to })
        }));
        Lane { name: node.name.to_string(), stretches }
    };
    let lanes = facts.lives.0.iter().zip(engines).zip(&facts.plan.nodes).map(lane).collect();
    let shown = match cell {
        None => "what each node's engine ran".to_owned(),
        Some(cell) => format!("what each node's engine did most of each {cell}"),
    };
    Figure {
        title: format!("What each node did and went through: {}", facts.plan.name),
        subtitle: facts.subtitle(&shown),
        panel: Panel::Lanes(Lanes { x: facts.time(), states, lanes, marks: facts.marks() }),
    }
}

/// How each plight is called and drawn, in the order of the legend.
const PLIGHTS: [(Plight, &str, Look); 5] = [
    (Plight::Leads, "leads", Look::Crowned),
    (Plight::Suspect, "is suspected", Look::Hatched),
    (Plight::Cut, "connections cut", Look::Boxed),
    (Plight::Paused, "stands still", Look::Filled(DARK)),
    (Plight::Absent, "dead or evicted", Look::Absent),
];

fn stretch(stay: &Stay<usize>) -> Stretch {
    Stretch { state: stay.what, from: stay.from.as_secs(), to: stay.to.as_secs() }
}

/// The states that engines can be in, and which one each job has.
struct Groups {
    states: Vec<State>,
    of: BTreeMap<JobId, usize>,
}

impl Groups {
    /// Jobs have a state each when they are few; else those of a model share one, and when that would be one for all, or
    /// too many, those that arrived one after another.
    fn of(facts: &Facts<'_>) -> Groups {
        let jobs = &facts.source.work.jobs;
        let mut models: Vec<(&Arc<str>, usize)> = Vec::new();
        for job in jobs.values() {
            match models.iter_mut().find(|(model, _)| **model == job.spec.model) {
                Some((_, count)) => *count += 1,
                None => models.push((&job.spec.model, 1)),
            }
        }
        let size = jobs.len().div_ceil(COLORS_MAX).max(1);
        let mut names: Vec<String> = Vec::new();
        let mut of = BTreeMap::new();
        for (number, (id, job)) in jobs.iter().enumerate() {
            let name = if jobs.len() <= COLORS_MAX {
                format!("runs {}", facts.source.name(*id))
            } else if (2..=COLORS_MAX).contains(&models.len()) {
                let model = &job.spec.model;
                let count = models.iter().find(|(known, _)| *known == model).map_or(0, |(_, count)| *count);
                format!("runs {model} ({count} {})", if count == 1 { "job" } else { "jobs" })
            } else {
                let first = number / size * size + 1;
                format!("runs jobs {first} to {}", (first + size - 1).min(jobs.len()))
            };
            let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            of.insert(*id, place);
        }
        let color = |(number, name)| State { name, look: Look::Filled(number) };
        let mut states: Vec<State> = names.into_iter().enumerate().map(color).collect();
        states.push(State { name: "loads a model".to_owned(), look: Look::Filled(PALE) });
        Groups { states, of }
    }

    /// The state of an engine; none for what is not known to be a job.
    fn state(&self, doing: Doing) -> Option<usize> {
        match doing {
            Doing::Loads => Some(self.states.len() - 1),
            Doing::Runs(job) => self.of.get(&job).copied(),
        }
    }
}

/// What each engine did: exactly, or, when that is too much to be drawn, what it did most of each cell of time.
fn engines(facts: &Facts<'_>, groups: &Groups) -> (Vec<Vec<Stay<usize>>>, Option<Span>) {
    let known =
        |stay: &Stay<Doing>| groups.state(stay.what).map(|what| Stay { what, from: stay.from, to: stay.to });
    let exact: Vec<Vec<Stay<usize>>> =
        facts.lives.0.iter().map(|life| joined(life.engine.iter().filter_map(known))).collect();
    let count = |lanes: &[Vec<Stay<usize>>]| lanes.iter().map(Vec::len).sum::<usize>();
    if count(&exact) <= STRETCHES_MAX {
        return (exact, None);
    }
    // 20 ms, 50 ms, 100 ms, 200 ms and so on; cells longer than the trial would show nothing more of it.
    let (mut cell, mut factors) = (Span::millis(10), [(2, 1), (5, 2), (2, 1)].into_iter().cycle());
    loop {
        let (times, part) = factors.next().expect("it never ends");
        cell = Span(cell.0 * times / part);
        let coarse: Vec<_> = exact.iter().map(|lane| mostly(lane, cell)).collect();
        if count(&coarse) <= STRETCHES_MAX || Time::ZERO + cell > facts.source.end {
            return (coarse, Some(cell));
        }
    }
}

/// Stretches that follow each other without a gap, and are alike, as one.
fn joined(stays: impl Iterator<Item = Stay<usize>>) -> Vec<Stay<usize>> {
    let mut all: Vec<Stay<usize>> = Vec::new();
    for stay in stays {
        match all.last_mut() {
            Some(last) if last.what == stay.what && last.to == stay.from => last.to = stay.to,
            _ => all.push(stay),
        }
    }
    all
}

/// For each cell of time what was done most of it; nothing where that was nothing.
fn mostly(stays: &[Stay<usize>], cell: Span) -> Vec<Stay<usize>> {
    // The time spent in each cell with each thing.
    let mut cells: BTreeMap<u64, BTreeMap<usize, u64>> = BTreeMap::new();
    for stay in stays {
        let mut at = stay.from.0;
        while at < stay.to.0 {
            let next = ((at / cell.0 + 1) * cell.0).min(stay.to.0);
            *cells.entry(at / cell.0).or_default().entry(stay.what).or_default() += next - at;
            at = next;
        }
    }
    let end = stays.last().map_or(0, |stay| stay.to.0);
    let most = cells.into_iter().filter_map(|(number, times)| {
        let (from, to) = (number * cell.0, ((number + 1) * cell.0).min(end));
        let busy: u64 = times.values().sum();
        let (what, time) = times.into_iter().rev().max_by_key(|(_, time)| *time)?;
        (time >= (to - from).saturating_sub(busy)).then_some(Stay { what, from: Time(from), to: Time(to) })
    });
    joined(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(what: usize, from_ms: u64, to_ms: u64) -> Stay<usize> {
        Stay { what, from: Time(from_ms * 1_000_000), to: Time(to_ms * 1_000_000) }
    }

    #[test]
    fn stretches_without_a_gap_are_one() {
        let stays = [stay(0, 0, 10), stay(0, 10, 30), stay(0, 31, 40), stay(1, 40, 50)];
        assert_eq!(joined(stays.into_iter()), [stay(0, 0, 30), stay(0, 31, 40), stay(1, 40, 50)]);
    }

    #[test]
    fn a_cell_shows_what_was_done_most_of_it_and_nothing_where_that_was_nothing() {
        let stays =
            [stay(0, 0, 60), stay(1, 60, 100), stay(0, 100, 190), stay(1, 200, 240), stay(1, 310, 350)];
        // In the third cell the engine was idle most of the time; the last one ends with the last stretch.
        assert_eq!(mostly(&stays, Span::millis(100)), [stay(0, 0, 200), stay(1, 300, 350)]);
        assert_eq!(mostly(&[], Span::millis(100)), []);
    }

    #[test]
    fn cells_make_few_stretches_of_many() {
        let flicker: Vec<Stay<usize>> =
            (0..10_000).map(|i| stay(i as usize % 2, i * 10, i * 10 + 10)).collect();
        let coarse = mostly(&flicker, Span::millis(1_000));
        assert_eq!(coarse, [stay(0, 0, 100_000)], "of equal shares the first one shows");
    }
}
