//! Runs trials in parallel and hands them on in order, with few of them waiting at any time.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rayon::ThreadPool;

/// Finished trials that may wait for an earlier one, per thread.
const AHEAD: u32 = 4;

struct Line<T> {
    /// The next one to begin.
    next: u32,
    /// How many were handed on.
    taken: u32,
    /// Finished ones that wait.
    waiting: BTreeMap<u32, T>,
    /// Nothing more shall begin.
    halted: bool,
}

struct Shared<T> {
    line: Mutex<Line<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        // A panic elsewhere is passed on when the scope ends; the line itself is whole after each change.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, line: MutexGuard<'a, Line<T>>) -> MutexGuard<'a, Line<T>> {
        self.changed.wait(line).unwrap_or_else(PoisonError::into_inner)
    }

    fn halt(&self) {
        self.lock().halted = true;
        self.changed.notify_all();
    }
}

/// Halts everything when the thread that holds it panics, so that nobody waits for what will never come.
struct Alarm<'a, T>(&'a Shared<T>);

impl<T> Drop for Alarm<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt();
        }
    }
}

/// How many results at most are begun and not yet taken.
pub(super) fn begun_max(pool: &ThreadPool) -> u32 {
    pool.current_num_threads().max(1) as u32 * AHEAD
}

/// Makes the results `0..count` on the threads of `pool` and gives them to `take`, on this thread, in their order. The first
/// error of `take` ends it all. At most four results per thread are begun and not yet taken.
pub(super) fn in_order<T: Send, E>(
    pool: &ThreadPool,
    count: u32,
    make: impl Fn(u32) -> T + Sync,
    mut take: impl FnMut(u32, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = pool.current_num_threads().max(1) as u32;
    let line = Line { next: 0, taken: 0, waiting: BTreeMap::new(), halted: false };
    let shared = Shared { line: Mutex::new(line), changed: Condvar::new() };
    let work = || {
        let _alarm = Alarm(&shared);
        loop {
            let mut line = shared.lock();
            while !line.halted && line.next < count && line.next >= line.taken + threads * AHEAD {
                line = shared.wait(line);
            }
            if line.halted || line.next >= count {
                return;
            }
            let number = line.next;
            line.next += 1;
            drop(line);
            let made = make(number);
            shared.lock().waiting.insert(number, made);
            shared.changed.notify_all();
        }
    };
    pool.in_place_scope(|scope| {
        let _alarm = Alarm(&shared);
        for _ in 0..threads.min(count) {
            scope.spawn(|_| work());
        }
        for number in 0..count {
            let mut line = shared.lock();
            let made = loop {
                match line.waiting.remove(&number) {
                    Some(made) => break made,
                    // Only a panic halts from elsewhere; the scope passes it on.
                    None if line.halted => return Ok(()),
                    None => line = shared.wait(line),
                }
            };
            drop(line);
            let taken = take(number, made);
            if taken.is_err() {
                shared.halt();
                return taken;
            }
            shared.lock().taken += 1;
            shared.changed.notify_all();
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    fn pool(threads: usize) -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn results_come_in_order_and_few_of_them_wait() {
        let (begun, taken, most) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let make = |number: u32| {
            let ahead = begun.fetch_add(1, Ordering::SeqCst) + 1 - taken.load(Ordering::SeqCst);
            most.fetch_max(ahead, Ordering::SeqCst);
            // The first of each dozen is slow, so that later ones overtake it.
            std::thread::sleep(Duration::from_millis(if number.is_multiple_of(12) { 20 } else { 0 }));
            number
        };
        let mut seen = Vec::new();
        let take = |number: u32, made: u32| {
            assert_eq!(number, made);
            seen.push(made);
            taken.fetch_add(1, Ordering::SeqCst);
            Ok::<(), ()>(())
        };
        in_order(&pool(3), 60, make, take).unwrap();
        assert_eq!(seen, (0..60).collect::<Vec<_>>());
        assert!(most.into_inner() <= 3 * AHEAD + 1);
    }

    #[test]
    fn an_error_ends_it_early() {
        let begun = AtomicU32::new(0);
        let make = |_| begun.fetch_add(1, Ordering::SeqCst);
        let result =
            in_order(&pool(2), 1000, make, |number, _| if number == 5 { Err("full") } else { Ok(()) });
        assert_eq!(result, Err("full"));
        assert!(begun.into_inner() < 30);
    }

    #[test]
    #[should_panic(expected = "trial 3")]
    fn a_panic_is_passed_on_instead_of_waited_for() {
        let make = |number: u32| assert!(number != 3, "trial 3");
        let _ = in_order(&pool(2), 100, make, |_, ()| Ok::<(), ()>(()));
    }
}
