//! How fast an operation is, from the progress that it reports.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::protocol::Progress;

/// Speed is that of so long: short enough to show a stall, long enough not to jump.
const WINDOW: Duration = Duration::from_secs(10);

/// Measures bytes a second over the last ten seconds of a phase.
#[derive(Debug, Default)]
pub struct Speedometer(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    phase: String,
    samples: VecDeque<(Instant, u64)>,
}

impl Speedometer {
    /// Takes a report in and answers with the speed, in bytes a second; `None` before two reports of one phase.
    pub fn of(&self, progress: &Progress) -> Option<u64> {
        self.at(progress, Instant::now())
    }

    fn at(&self, progress: &Progress, now: Instant) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.phase != progress.phase {
            progress.phase.clone_into(&mut seen.phase);
            seen.samples.clear();
        }
        seen.samples.push_back((now, progress.bytes_done));
        while seen.samples.len() > 2 && seen.samples.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            seen.samples.pop_front();
        }
        let (since, before) = *seen.samples.front()?;
        let milliseconds = u64::try_from((now - since).as_millis()).ok()?;
        let bytes = progress.bytes_done.saturating_sub(before);
        bytes.saturating_mul(1000).checked_div(milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(phase: &str, bytes_done: u64) -> Progress {
        Progress {
            phase: phase.to_owned(),
            files_done: None,
            files_total: None,
            bytes_done,
            bytes_total: None,
        }
    }

    #[test]
    fn speed_is_that_of_the_last_seconds_of_the_phase() {
        let (speed, start) = (Speedometer::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(speed.at(&progress("reading", 0), at(0)), None);
        assert_eq!(speed.at(&progress("reading", 1000), at(10)), Some(100));
        // A stall shows: only the last ten seconds count.
        assert_eq!(speed.at(&progress("reading", 1000), at(20)), Some(0));
        assert_eq!(speed.at(&progress("writing", 500), at(21)), None);
    }
}
