//! The timeline: a lane per node with what it ran, who led, who was suspect, who was gone or cut off.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Facts;
use crate::base::{JobId, Time};
use crate::report::figure::{Figure, Lane, Lanes, Look, Panel, State, Stretch};
use crate::report::lives::{Doing, Life, Plight, Stay};
use crate::scenario::NodePlan;

/// Jobs, models or groups of jobs with a colour of their own: the first ones of the palette.
const COLORS_MAX: usize = 6;
/// Two greys of the palette, for engines that load and processes that stand still.
const PALE: usize = 13;
const DARK: usize = 6;

/// What each node did and went through.
pub(super) fn figure(facts: &Facts<'_>) -> Figure {
    let groups = Groups::of(facts);
    let engines: Vec<Vec<Stretch>> = facts.lives.0.iter().map(|life| groups.stretches(life)).collect();
    let mut states = groups.states;
    let plights = states.len();
    states.extend(PLIGHTS.map(|(_, name, look)| State { name: name.to_owned(), look }));
    let lane = |((life, mut stretches), node): ((&Life, Vec<Stretch>), &NodePlan)| {
        let place = |plight| PLIGHTS.iter().position(|(known, ..)| *known == plight);
        stretches.extend(life.plights.iter().map(|stay| {
            let state = place(stay.what).expect("every plight is listed") + plights;
            stretch(stay, state)
        }));
        Lane { name: node.name.to_string(), stretches }
    };
    let lanes = facts.lives.0.iter().zip(engines).zip(&facts.plan.nodes).map(lane).collect();
    Figure {
        title: format!("What each node did and went through: {}", facts.plan.name),
        subtitle: facts.subtitle("engines are idle where nothing is drawn"),
        panel: Panel::Lanes(Lanes { x: facts.time(), states, lanes, marks: facts.marks() }),
    }
}

/// How each plight is called and drawn, in the order of the legend.
const PLIGHTS: [(Plight, &str, Look); 5] = [
    (Plight::Leads, "leads", Look::Crowned),
    (Plight::Suspect, "a voter suspects it", Look::Hatched),
    (Plight::Cut, "connections are cut", Look::Boxed),
    (Plight::Paused, "stands still", Look::Filled(DARK)),
    (Plight::Absent, "dead or evicted", Look::Absent),
];

fn stretch<T>(stay: &Stay<T>, state: usize) -> Stretch {
    Stretch { state, from: stay.from.as_secs(), to: stay.to.as_secs() }
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
                let last = (first + size - 1).min(jobs.len());
                if first == last {
                    format!("runs job {first}")
                } else {
                    format!("runs jobs {first} to {last}")
                }
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

    /// What an engine did; queries that follow each other without a gap, and show alike, as one.
    fn stretches(&self, life: &Life) -> Vec<Stretch> {
        let mut all: Vec<Stretch> = Vec::new();
        let mut end = Time::ZERO;
        for stay in &life.engine {
            let Some(state) = self.state(stay.what) else { continue };
            match all.last_mut() {
                Some(last) if last.state == state && end == stay.from => last.to = stay.to.as_secs(),
                _ => all.push(stretch(stay, state)),
            }
            end = stay.to;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(job: u32, from_s: u64, to_s: u64) -> Stay<Doing> {
        let time = |s: u64| Time(s * 1_000_000_000);
        Stay { what: Doing::Runs(JobId(job)), from: time(from_s), to: time(to_s) }
    }

    #[test]
    fn queries_of_a_job_that_follow_each_other_without_a_gap_are_one_stretch() {
        let groups =
            Groups { states: Vec::new(), of: (1..=3).map(|job| (JobId(job), job as usize / 3)).collect() };
        let mut life = Life::default();
        life.engine.extend([stay(1, 0, 10), stay(2, 10, 30), stay(2, 31, 40), stay(3, 40, 50)]);
        let found: Vec<_> = groups.stretches(&life).iter().map(|s| (s.state, s.from, s.to)).collect();
        assert_eq!(found, [(0, 0.0, 30.0), (0, 31.0, 40.0), (1, 40.0, 50.0)]);
    }
}
