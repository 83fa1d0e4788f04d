//! One line on a terminal that shows how far something is.

use std::io::{IsTerminal as _, Write as _};

/// Shows progress on standard error, if that is a terminal.
pub(super) struct Progress {
    on_terminal: bool,
    shown: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { on_terminal: std::io::stderr().is_terminal(), shown: String::new() }
    }

    /// Replaces the line.
    pub(super) fn show(&mut self, line: &str) {
        if self.on_terminal && self.shown != line {
            // A terminal that is gone is no reason to stop what is being watched.
            _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
            _ = std::io::stderr().flush();
            line.clone_into(&mut self.shown);
        }
    }

    /// Removes the line, so that what is printed next begins at the margin.
    pub(super) fn clear(&mut self) {
        if !self.shown.is_empty() {
            _ = write!(std::io::stderr(), "\r\x1b[2K");
            self.shown.clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
