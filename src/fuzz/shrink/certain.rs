//! What is left to chance is made certain: a random time becomes a time, and who was hit at random is named.

use super::{Shrinker, draws, is_random};
use crate::base::{Draw, Span, Time};
use crate::scenario::Target;

impl Shrinker<'_> {
    /// Puts what happened under the seed in the place of what could have happened, else the middle of it.
    pub(super) fn certain(&mut self) {
        for place in 0..self.best.faults.len() {
            let Some((at, machines)) = self.hit.get(&(place as u32)).cloned() else { continue };
            if !matches!(self.best.faults[place].at, Draw::Fixed(_)) {
                self.keep(|plan| plan.faults[place].at = Draw::Fixed(at.since(Time::ZERO)));
            }
            if is_random(&self.best.faults[place].target) && !machines.is_empty() {
                self.keep(|plan| plan.faults[place].target = these(&machines));
            }
        }
        for place in 0..draws(&mut self.best.clone()).len() {
            self.keep(|plan| {
                let draw = draws(plan).swap_remove(place);
                *draw = Draw::Fixed(middle(*draw));
            });
        }
    }
}

/// These machines by name.
fn these(machines: &[u32]) -> Target {
    match machines {
        [one] => Target::Node(*one),
        several => Target::Several(several.iter().map(|machine| Target::Node(*machine)).collect()),
    }
}

/// A length of time in the middle of a random one, to two digits.
fn middle(draw: Draw) -> Span {
    let span = match draw {
        Draw::Fixed(span) => return span,
        Draw::LogNormal(median, _) => median,
        Draw::Uniform(..) | Draw::Exponential(_) => draw.mean(),
    };
    let mut grain = 1;
    while span.0 / grain >= 100 {
        grain *= 10;
    }
    Span(span.0 / grain * grain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_a_round_number() {
        assert_eq!(middle(Draw::Fixed(Span(1_234_567))), Span(1_234_567));
        assert_eq!(middle(Draw::LogNormal(Span::micros(150), 0.3)), Span::micros(150));
        assert_eq!(middle(Draw::Uniform(Span::micros(100), Span::millis(5))), Span::micros(2_500));
        assert_eq!(middle(Draw::Exponential(Span::ZERO)), Span::ZERO);
    }
}
