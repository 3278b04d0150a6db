//! Shorter and rounder times: less happens nothing in between, and faults end sooner.

use super::Shrinker;
use crate::base::{Draw, Span};
use crate::scenario::Plan;

/// What times are rounded to, the coarsest first.
const GRAINS: [Span; 4] = [Span::secs(1), Span::millis(100), Span::millis(10), Span::millis(1)];
/// The pauses between two things that are tried, the shortest first.
const GAPS: [Span; 3] = [Span::ZERO, Span::millis(100), Span::secs(1)];

impl Shrinker<'_> {
    /// Shortens first, then rounds.
    pub(super) fn times(&mut self) {
        self.gaps();
        for place in 0..self.best.faults.len() {
            while let Some(Draw::Fixed(lasting)) = self.best.faults[place].lasting
                && lasting > Span::millis(1)
                && self.keep(|plan| plan.faults[place].lasting = Some(Draw::Fixed(half(lasting))))
            {
            }
        }
        for grain in GRAINS {
            for place in 0..moments(&mut self.best.clone()).len() {
                self.keep(|plan| round(moments(plan).swap_remove(place), grain));
            }
            for place in 0..self.best.faults.len() {
                self.keep(|plan| {
                    let lasting = &mut plan.faults[place].lasting;
                    let mut rounded = *lasting;
                    if let Some(draw) = &mut rounded {
                        round(draw, grain);
                    }
                    // One that lasts no time at all would be one that stays.
                    *lasting = rounded.filter(|draw| draw.mean() > Span::ZERO).or(*lasting);
                });
            }
        }
    }

    /// Lets things happen sooner after one another: all that comes after a pause is moved by the same length.
    fn gaps(&mut self) {
        let mut number = 0;
        while let Some(&at) = times(&self.best).get(number) {
            let before = number.checked_sub(1).map_or(Span::ZERO, |earlier| times(&self.best)[earlier]);
            let gap = at - before;
            let halved = half(gap);
            for shorter in GAPS.into_iter().chain([halved]) {
                if shorter < gap
                    && self.keep(|plan| {
                        for draw in moments(plan) {
                            if let Draw::Fixed(span) = draw
                                && *span >= at
                            {
                                *span = Span(span.0 - (gap - shorter).0);
                            }
                        }
                    })
                {
                    break;
                }
            }
            number += 1;
        }
    }
}

/// When faults, jobs and requests come.
fn moments(plan: &mut Plan) -> Vec<&mut Draw> {
    let jobs = plan.jobs.iter_mut().map(|job| &mut job.at);
    let requests = plan.requests.iter_mut().map(|request| &mut request.at);
    jobs.chain(requests).chain(plan.faults.iter_mut().map(|fault| &mut fault.at)).collect()
}

/// The moments that are known, each once, in their order.
fn times(plan: &Plan) -> Vec<Span> {
    let mut plan = plan.clone();
    let known = |draw: &mut Draw| if let Draw::Fixed(span) = draw { Some(*span) } else { None };
    let mut times: Vec<Span> = moments(&mut plan).into_iter().filter_map(known).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// Half of it, in whole milliseconds where it has any.
fn half(span: Span) -> Span {
    let half = span.0 / 2;
    Span(if half > 1_000_000 { half / 1_000_000 * 1_000_000 } else { half })
}

fn round(draw: &mut Draw, grain: Span) {
    if let Draw::Fixed(span) = draw {
        *span = Span((span.0 + grain.0 / 2) / grain.0 * grain.0);
    }
}
