//! The narrowest window of rates: its lower end goes up through the few values at which something changes.

use super::{Bounds, Problem, Window};

/// The narrowest window in which the rates of all jobs can lie, the lowest of several.
///
/// Windows are compared by their exact widths. With `high` at the least it can be, a job has a rate in `[low, high]` if its
/// highest one there is not below `low`; else its rate is the next one above `high`, and stays that as `low` goes on up to the
/// most it can be. So the lower ends to be tried are those highest rates, and that most. A job that can have no more workers has no
/// rate above, and ends the search there.
pub(super) fn best(problem: &Problem, bounds: Bounds) -> Window {
    let Bounds { low_most, high_least } = bounds;
    // Of each job that may have to move: its highest rate in the window at first, and the rate that it moves to.
    let mut moves: Vec<(f64, f64)> = Vec::with_capacity(problem.curves.len());
    for curve in &problem.curves {
        let workers = curve.at_most(high_least, curve.most);
        let rate = curve.rate(workers);
        if rate < low_most {
            moves.push((rate, if workers < curve.most { curve.rate(workers + 1) } else { f64::INFINITY }));
        }
    }
    moves.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut high = high_least;
    let mut best = Window { low: f64::NEG_INFINITY, high: f64::INFINITY };
    let mut moves = moves.into_iter().peekable();
    while let Some((low, next)) = moves.next() {
        consider(&mut best, Window { low, high });
        high = high.max(next);
        while let Some((_, next)) = moves.next_if(|(other, _)| *other <= low) {
            high = high.max(next);
        }
        if high - low_most > best.high - best.low {
            return best;
        }
    }
    consider(&mut best, Window { low: low_most, high });
    best
}

fn consider(best: &mut Window, window: Window) {
    if window.width() < best.width() {
        *best = window;
    }
}

impl Window {
    /// The exact width: rounded, and what the rounding took away (Knuth's `TwoSum`). Pairs compare as the widths do, because
    /// rounding keeps the order.
    fn width(self) -> (f64, f64) {
        let width = self.high - self.low;
        let low = width - self.high;
        let rest = (self.high - (width - low)) - (self.low + low);
        (width, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn windows_that_differ_less_than_a_double_can_tell_are_told_apart() {
        let [wide, narrow] = [1e-17, 2e-17].map(|low| Window { low, high: 1.0 });
        assert_eq!((wide.high - wide.low).to_bits(), (narrow.high - narrow.low).to_bits());
        assert!(narrow.width() < wide.width());
        let infinite = Window { low: 0.0, high: f64::INFINITY };
        assert!(wide.width() < infinite.width() && (infinite.width().0).is_infinite());
    }
}
