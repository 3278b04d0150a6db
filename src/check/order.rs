//! The search for an order of what clients did with one job: each request at one moment between question and answer, and every
//! answer right at that moment.
//!
//! This is the algorithm of Wing and Gong (1993) with Lowe's memory of where it has been (2017): whatever could come next is
//! tried, and a set of requests that led to a state is never tried twice. A request without an answer may come at any time
//! after its question, or never.

use std::collections::BTreeSet;

use crate::base::Time;

/// More requests about one job than this are not ordered together.
pub(super) const STEPS_MAX: usize = 500;
/// More places than this the search does not visit.
const VISITS_MAX: usize = 200_000;

/// What a client did with a job.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) asked: Time,
    /// `None`: the outcome is unknown.
    pub(super) told: Option<Time>,
    pub(super) act: Act,
}

/// What was asked, and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Submit,
    Cancel(Answer),
    SetBatch(u32, Answer),
    Forget(Answer),
    Stop(Answer),
    Resume(Answer),
    /// What was read of the job; `None`: there is no such job.
    Read(Option<Seen>),
}

/// How a change was answered; one without an answer counts as done, if it is done at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// There is no such job.
    NoJob,
    /// The job has not ended.
    NotEnded,
    /// The job is in no state for it, or there is too much of it.
    Refused,
}

/// What a read says about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) done: u64,
    pub(super) ended: bool,
    pub(super) stopped: bool,
    pub(super) batch: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Absent,
    Running,
    Complete,
    Cancelled,
    Forgotten,
}

/// A job as its clients know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    phase: Phase,
    stopped: bool,
    batch: u32,
    /// Inputs that are complete, at least; exactly, once a read has seen a cancelled job.
    done: u64,
    exact: bool,
}

/// What a job is like from the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    pub(super) inputs: u64,
    pub(super) batch: u32,
}

/// What came of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// There is one.
    Found,
    /// There is none; the search got to this step, by its position, and not past it.
    None(usize),
    /// The search was given up.
    Unknown,
}

impl State {
    fn first(model: Model) -> State {
        State { phase: Phase::Absent, stopped: false, batch: model.batch, done: 0, exact: false }
    }

    /// The job as it is once its last input is counted.
    fn completed(self, model: Model) -> State {
        State { phase: Phase::Complete, stopped: false, done: model.inputs, ..self }
    }

    /// Every state that `act` may lead to. A job that runs may be complete by the time that the request takes effect.
    fn after(self, act: Act, model: Model, next: &mut Vec<State>) {
        next.clear();
        self.at_once(act, model, next);
        if self.phase == Phase::Running {
            self.completed(model).at_once(act, model, next);
        }
    }

    fn at_once(self, act: Act, model: Model, next: &mut Vec<State>) {
        let (answer, wanted) = match act {
            Act::Submit => {
                if self.phase == Phase::Absent {
                    next.push(State { phase: Phase::Running, ..self });
                }
                return;
            }
            Act::Read(seen) => {
                next.extend(self.seen(seen, model));
                return;
            }
            Act::Cancel(answer) => (answer, State { phase: Phase::Cancelled, stopped: false, ..self }),
            Act::SetBatch(batch, answer) => (answer, State { batch, ..self }),
            Act::Forget(answer) => (answer, State { phase: Phase::Forgotten, ..self }),
            Act::Stop(answer) => (answer, State { stopped: true, ..self }),
            Act::Resume(answer) => (answer, State { stopped: false, ..self }),
        };
        let ended = matches!(self.phase, Phase::Complete | Phase::Cancelled);
        let exists = ended || self.phase == Phase::Running;
        match (answer, act) {
            (Answer::NoJob, _) if !exists => next.push(self),
            (Answer::NotEnded, Act::Forget(_)) if self.phase == Phase::Running => next.push(self),
            (Answer::Refused, Act::SetBatch(..)) if exists => next.push(self),
            (Answer::Refused, Act::Stop(_) | Act::Resume(_)) if ended => next.push(self),
            (Answer::Done, Act::Forget(_)) if ended => next.push(wanted),
            // What has ended already is not cancelled.
            (Answer::Done, Act::Cancel(_)) if exists => next.push(if ended { self } else { wanted }),
            (Answer::Done, Act::SetBatch(..)) if self.phase == Phase::Running => {
                next.push(wanted);
                // Nothing is divided anew where no query is left behind the last one that is counted.
                if wanted != self {
                    next.push(self);
                }
            }
            (Answer::Done, Act::Stop(_) | Act::Resume(_)) if self.phase == Phase::Running => {
                next.push(wanted);
            }
            _ => {}
        }
    }

    /// The state once a read has seen this, if it can have.
    fn seen(self, seen: Option<Seen>, model: Model) -> Option<State> {
        let Some(Seen { done, ended, stopped, batch }) = seen else {
            return matches!(self.phase, Phase::Absent | Phase::Forgotten).then_some(self);
        };
        let fits = match self.phase {
            Phase::Absent | Phase::Forgotten => false,
            Phase::Running => !ended && stopped == self.stopped && done >= self.done && done < model.inputs,
            Phase::Complete => ended && !stopped && done == model.inputs,
            Phase::Cancelled => {
                let grown = if self.exact { done == self.done } else { done >= self.done };
                ended && !stopped && grown && done < model.inputs
            }
        };
        let exact = self.exact || self.phase == Phase::Cancelled;
        (fits && batch == self.batch).then_some(State { done, exact, ..self })
    }
}

/// Which steps are placed already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Placed([u64; STEPS_MAX.div_ceil(64)]);

impl Placed {
    fn has(&self, step: usize) -> bool {
        self.0[step / 64] >> (step % 64) & 1 == 1
    }

    fn with(mut self, step: usize) -> Placed {
        self.0[step / 64] |= 1 << (step % 64);
        self
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// Looks for an order of `steps`, at most [`STEPS_MAX`] of them, sorted by when they were asked.
pub(super) fn order(steps: &[Step], model: Model) -> Order {
    assert!(steps.len() <= STEPS_MAX && steps.is_sorted_by_key(|step| step.asked));
    let begin = (Placed::default(), State::first(model));
    let mut seen = BTreeSet::from([begin]);
    let mut open = vec![begin];
    let (mut furthest, mut stuck) = (0, 0);
    let mut next = Vec::new();
    while let Some((placed, state)) = open.pop() {
        let candidates = candidates(steps, &placed);
        // The one that must be next at the latest.
        let Some(&last) = candidates
            .iter()
            .filter(|&&step| steps[step].told.is_some())
            .min_by_key(|&&step| steps[step].told)
        else {
            return Order::Found;
        };
        if placed.count() >= furthest {
            (furthest, stuck) = (placed.count(), last);
        }
        let reads = |step: &&usize| matches!(steps[**step].act, Act::Read(seen) if state.seen(seen, model) == Some(state));
        // A read that changes nothing may as well come now.
        let now = candidates.iter().find(reads).copied();
        let tried = now.map_or(candidates, |step| vec![step]);
        // Those that come first are tried first, and those without an answer last: the last one pushed is the next one taken.
        for &step in tried.iter().rev() {
            state.after(steps[step].act, model, &mut next);
            if now.is_some() {
                next.truncate(1);
            }
            for &state in next.iter().rev() {
                let place = (placed.with(step), state);
                if seen.insert(place) {
                    open.push(place);
                }
            }
        }
        if seen.len() > VISITS_MAX {
            return Order::Unknown;
        }
    }
    Order::None(stuck)
}

/// The steps that may come next: nothing that is not placed was answered before they were asked. Those with an answer come
/// first, in order of their answers.
fn candidates(steps: &[Step], placed: &Placed) -> Vec<usize> {
    let mut earliest = Time::NEVER;
    let mut candidates = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        if placed.has(place) {
            continue;
        }
        if step.asked > earliest {
            break;
        }
        earliest = earliest.min(step.told.unwrap_or(Time::NEVER));
        candidates.push(place);
    }
    candidates.sort_by_key(|&place| steps[place].told.unwrap_or(Time::NEVER));
    candidates
}
