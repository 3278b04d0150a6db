//! The clock by which nodes count: nanoseconds since the machine started. All processes of one machine share it.

use crate::base::Time;

/// What it shows.
#[cfg(unix)]
pub(super) fn now() -> Time {
    use nix::time::{ClockId, clock_gettime};
    let shown = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every machine has this clock");
    Time(shown.tv_sec() as u64 * 1_000_000_000 + shown.tv_nsec() as u64)
}

/// What it shows: on this system each process has a clock of its own.
#[cfg(not(unix))]
pub(super) fn now() -> Time {
    use std::sync::LazyLock;
    use std::time::Instant;
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Time(ORIGIN.elapsed().as_nanos() as u64)
}

/// Nanoseconds since 1970, for people.
pub(super) fn unix() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
