//! Chunks on a disk rot unseen: a slow walk reads and verifies all of them, again and again.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::rack::{Outgoing, Rack};

/// Between the beginnings of two walks, at least: a disk that holds little is not read all the time.
const WALK_MIN: Duration = Duration::from_secs(1);

/// Reads `rate` bytes per second until `stopped` is closed. What is missing or damaged is lost, and told.
pub(super) fn scrub(rack: &Arc<Rack>, rate: u64, stopped: &Receiver<()>) {
    let rests = |rest: Duration| stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout);
    loop {
        let began = Instant::now();
        let mut last = None;
        while let Some(id) = rack.after(last) {
            last = Some(id);
            let Some(mut chunk) = rack.read(id) else { continue };
            forget(&chunk);
            loop {
                let reading = Instant::now();
                // What is wrong with it was told.
                let Ok(Some(piece)) = chunk.piece() else { break };
                let due = Duration::from_nanos(piece.len() as u64 * 1_000_000_000 / rate);
                if !rests(due.saturating_sub(reading.elapsed())) {
                    return;
                }
            }
            forget(&chunk);
        }
        if !rests(WALK_MIN.saturating_sub(began.elapsed())) {
            return;
        }
    }
}

/// What memory holds of the file says nothing about the disk, and would take the place of something more useful.
fn forget(chunk: &Outgoing) {
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
        // It is advice: that it is not taken does no harm.
        let _ = posix_fadvise(&chunk.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = chunk;
}
