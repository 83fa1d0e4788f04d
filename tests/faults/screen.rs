//! What a waiting person sees of a fault.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use devstack::progress::emphasised;

/// Where no line can be rewritten, one is added this often.
const PLAIN_LINES_EVERY: Duration = Duration::from_secs(10);
/// Columns of the line that is rewritten: every terminal has them.
const COLUMNS: usize = 79;

/// Takes down what a fault is at; [`Screen::show`] shows it.
#[derive(Debug, Clone, Default)]
pub struct Screen(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    what: Mutex<String>,
    injections: AtomicUsize,
    confirmed: AtomicUsize,
}

impl Screen {
    /// Says what is going on now.
    pub fn tell(&self, what: impl Display) {
        *self.0.what.lock().unwrap_or_else(PoisonError::into_inner) = what.to_string();
    }

    /// Counts one more injection.
    pub(super) fn injected(&self) {
        self.0.injections.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the fault was brought about.
    pub(super) fn injections(&self) -> usize {
        self.0.injections.load(Ordering::Relaxed)
    }

    /// Counts one more confirmed publish.
    pub(super) fn confirmed(&self) {
        self.0.confirmed.fetch_add(1, Ordering::Relaxed);
    }

    fn line(&self, began: Instant) -> String {
        let what = self.0.what.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (injections, confirmed) = (self.injections(), self.0.confirmed.load(Ordering::Relaxed));
        let seconds = began.elapsed().as_secs();
        format!("for {seconds} s | {what} | {injections} injections, {confirmed} tasks confirmed")
    }

    /// Shows what is going on, until it is dropped: a line a second on a terminal, now and then one elsewhere.
    pub async fn show(&self, fault: &str) {
        let (began, on_terminal) = (Instant::now(), stderr().is_terminal());
        let _line = on_terminal.then_some(Line);
        let mut ticks =
            tokio::time::interval(if on_terminal { Duration::from_secs(1) } else { PLAIN_LINES_EVERY });
        loop {
            ticks.tick().await;
            let line = self.line(began);
            let name = emphasised(&format!("{fault:>12}"));
            if on_terminal {
                let line: String = line.chars().take(COLUMNS - 13).collect();
                // A terminal that is gone is no reason to stop what it would show.
                write!(stderr(), "\r\x1b[2K{name} {line}").ok();
            } else {
                eprintln!("{name} {line}");
            }
        }
    }
}

/// Wipes the line away when it is over.
struct Line;

impl Drop for Line {
    fn drop(&mut self) {
        write!(stderr(), "\r\x1b[2K").ok();
    }
}
