//! What a waiting person sees of a fault.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use devstack::progress::emphasised;

/// Where no line can be rewritten, one is added this often.
const PLAIN_LINES_EVERY: Duration = Duration::from_secs(10);
/// Columns of the line that is rewritten: every terminal has them.
const COLUMNS: usize = 79;

/// Takes down what a fault is at; [`Screen::show`] shows it.
#[derive(Debug, Clone, Default)]
pub struct Screen(Arc<Mutex<String>>);

impl Screen {
    /// Says what is going on now.
    pub fn tell(&self, what: impl Display) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what.to_string();
    }

    /// Shows what is going on, until it is dropped: a line a second on a terminal, now and then one elsewhere.
    pub async fn show(&self, fault: &str) {
        let (began, on_terminal) = (Instant::now(), stderr().is_terminal());
        let _line = on_terminal.then_some(Line);
        let mut ticks =
            tokio::time::interval(if on_terminal { Duration::from_secs(1) } else { PLAIN_LINES_EVERY });
        loop {
            ticks.tick().await;
            let what = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let line = format!("for {:.0} s | {what}", began.elapsed().as_secs_f64());
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
