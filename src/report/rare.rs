//! What a count of rare events says about how often they happen.

/// Events that were counted over so many node-days: those of one node in as many days, or of as many nodes in one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rare {
    /// How many happened.
    pub count: u64,
    /// Over how many node-days, more than 0.
    pub node_days: f64,
}

impl Rare {
    /// Events per node and day.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.node_days
    }

    /// The rate that is not exceeded with 95 % confidence, if events are independent: 3 in all where none happened (the rule
    /// of three), else by Byar's approximation of the Poisson limit, which is right to a per cent.
    pub fn at_most(&self) -> f64 {
        /// −ln 0.05: so many are expected where none happens once in twenty times.
        const NONE_SEEN: f64 = 2.995_732;
        /// The 95th percentile of the normal distribution.
        const Z: f64 = 1.644_854;
        let most = if self.count == 0 { NONE_SEEN } else { byar(self.count as f64 + 1.0, Z) };
        most / self.node_days
    }

    /// The 95 % interval of the rate, by the same approximation.
    pub fn ci95(&self) -> (f64, f64) {
        /// −ln 0.025.
        const NONE_SEEN: f64 = 3.688_879;
        /// The 97.5th percentile of the normal distribution.
        const Z: f64 = 1.959_964;
        let count = self.count as f64;
        let (low, high) =
            if self.count == 0 { (0.0, NONE_SEEN) } else { (byar(count, -Z), byar(count + 1.0, Z)) };
        (low.max(0.0) / self.node_days, high / self.node_days)
    }
}

impl std::ops::Add for Rare {
    type Output = Rare;
    fn add(self, other: Rare) -> Rare {
        Rare { count: self.count + other.count, node_days: self.node_days + other.node_days }
    }
}

/// Byar's limit of a Poisson mean (Breslow and Day, Statistical Methods in Cancer Research II, p. 69).
fn byar(count: f64, z: f64) -> f64 {
    let root = 1.0 - 1.0 / (9.0 * count) + z / (3.0 * count.sqrt());
    count * root * root * root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_agree_with_tables_of_the_poisson_distribution() {
        // Exact one-sided 95 % limits, and two-sided ones, of a count.
        let exact = [(0, 2.9957, 0.0, 3.6889), (1, 4.7439, 0.0253, 5.5716), (10, 16.9622, 4.7954, 18.3904)];
        for (count, most, low, high) in exact {
            let rare = Rare { count, node_days: 1.0 };
            let (from, to) = rare.ci95();
            assert!((rare.at_most() / most - 1.0).abs() < 0.01, "{count}: {}", rare.at_most());
            assert!((from - low).abs() < 0.02 && (to / high - 1.0).abs() < 0.01, "{count}: {from} to {to}");
        }
    }

    #[test]
    fn more_days_without_an_event_rule_out_more() {
        let none = |node_days| Rare { count: 0, node_days }.at_most();
        assert!(none(3.0) < 1.0 && none(2.9) > 1.0);
        assert!(none(300.0) < 0.01);
    }
}
