//! The settings of policies, and what some of them have to know.

/// The settings of all policies; each uses those that it has a meaning for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether every job that has something left to do gets a worker while there are enough. Default true.
    pub at_least_one: bool,
    /// No job gets a further worker that would raise its rate by less than this share of itself, 0 to 1; 0 is without a cap.
    /// Default 0.
    pub cap: f64,
    /// The previous allocation stays while its gap is at most `1 + hysteresis` times the least possible one plus `slack` times
    /// the mean rate. With both 0 every plan is the best one. Default 0.2.
    pub hysteresis: f64,
    /// See [`Options::hysteresis`]. Default 0.1.
    pub slack: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options { at_least_one: true, cap: 0.0, hysteresis: 0.2, slack: 0.1 }
    }
}

/// Something about jobs that not every caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// When the job arrived.
    Arrival,
    /// Its recent query rate.
    RecentRate,
    /// How long it would have taken alone.
    Isolated,
}
