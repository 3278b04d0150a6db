//! A machine's clock: what its process takes for the time, which may run fast, slow, or not at all.

use crate::base::{Span, Time};

/// The clock of one process. It shows zero when the process begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Since when it runs at its present rate.
    since: Time,
    /// What it showed then.
    shown: Time,
    /// How fast it runs; 0 is not at all.
    rate: f64,
}

impl Clock {
    /// The clock of a process that begins at `now`.
    pub(super) fn new(now: Time, rate: f64) -> Clock {
        Clock { since: now, shown: Time::ZERO, rate }
    }

    /// From `now` on it runs at this rate.
    pub(super) fn run_at(&mut self, now: Time, rate: f64) {
        *self = Clock { since: now, shown: self.shows(now), rate };
    }

    /// Whether it runs as fast as time goes by.
    fn is_right(&self) -> bool {
        self.rate.to_bits() == 1.0_f64.to_bits()
    }

    /// What it shows at `now`.
    pub(super) fn shows(&self, now: Time) -> Time {
        let passed = now.since(self.since);
        // Whole nanoseconds have no room in a float; a clock that is right needs none.
        self.shown + if self.is_right() { passed } else { passed.scaled(self.rate) }
    }

    /// When it will show `time`, rounded up; never, if it stands still until then.
    pub(super) fn when(&self, time: Time) -> Time {
        let left = time.since(self.shown);
        if time == Time::NEVER || (self.rate == 0.0 && left > Span::ZERO) {
            Time::NEVER
        } else if self.is_right() || left == Span::ZERO {
            self.since + left
        } else {
            self.since + left.scaled(1.0 / self.rate) + Span(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO + Span::millis(ms)
    }

    #[test]
    fn what_it_will_show_it_shows_then() {
        for rate in [0.5, 0.7, 1.0, 1.3, 2.0] {
            let mut clock = Clock::new(at(100), 1.0);
            clock.run_at(at(150), rate);
            let due = clock.when(at(80));
            assert!(clock.shows(due) >= at(80), "rate {rate}: {}", clock.shows(due));
            assert!(clock.shows(due) <= at(80) + Span(4), "rate {rate}: {}", clock.shows(due));
            assert_eq!(clock.when(at(20)), at(150), "what is past is due at once");
        }
    }

    #[test]
    fn a_clock_that_stands_still_goes_on_where_it_stopped() {
        let mut clock = Clock::new(at(100), 1.0);
        clock.run_at(at(150), 0.0);
        assert_eq!((clock.shows(at(900)), clock.when(at(51))), (at(50), Time::NEVER));
        clock.run_at(at(1_000), 1.0);
        assert_eq!((clock.shows(at(1_010)), clock.when(at(60))), (at(60), at(1_010)));
    }
}
