//! What a waiting person sees of an act.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use devstack::progress::emphasised;

use super::figures;

/// Where no line can be rewritten, one is added this often.
const PLAIN_LINES_EVERY: Duration = Duration::from_secs(5);

/// An act on the screen: one line that tells how far it is, and in the end what came of it.
pub(super) struct Act {
    verb: &'static str,
    began: Instant,
    on_terminal: bool,
    last_line: Instant,
}

impl Act {
    /// Begins with what is being done, such as `Copying`.
    pub(super) fn begin(verb: &'static str) -> Self {
        let began = Instant::now();
        let act = Self { verb, began, on_terminal: stderr().is_terminal(), last_line: began };
        if act.on_terminal {
            act.rewrite("");
        }
        act
    }

    /// Tells how far it is.
    pub(super) fn tell(&mut self, how_far: &str) {
        let line = format!("for {:.0} s | {how_far}", self.began.elapsed().as_secs_f64());
        if self.on_terminal {
            self.rewrite(&line);
        } else if self.last_line.elapsed() >= PLAIN_LINES_EVERY {
            eprintln!("{:>12} {line}", self.verb);
            self.last_line = Instant::now();
        }
    }

    /// Ends with what was done, such as `Copied`, and its figures; answers with its seconds.
    pub(super) fn done(self, verb: &str, figures: &str) -> f64 {
        let seconds = self.began.elapsed().as_secs_f64();
        drop(self);
        crate::report::step(verb, &format!("{figures} in {}", figures::seconds(seconds)));
        seconds
    }

    fn rewrite(&self, line: &str) {
        let verb = format!("{:>12}", self.verb);
        // One column stays free: a full line would wrap, and only its last part be rewritten.
        let room = width(stderr()).saturating_sub(verb.len() + 2);
        let line: String = line.chars().take(room).collect();
        // A terminal that is gone is no reason to stop what it would show.
        write!(stderr(), "\r\x1b[2K{} {line}", emphasised(&verb)).ok();
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        if self.on_terminal {
            write!(stderr(), "\r\x1b[2K").ok();
        }
    }
}

/// The columns of a terminal; 80 if it does not tell, as those of some recorders.
pub(super) fn width(terminal: impl AsFd) -> usize {
    let size = rustix::termios::tcgetwinsize(terminal);
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(80)
}
