//! What a waiting person sees.

use std::io::{IsTerminal as _, stderr};

/// Where to tell how far the servers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nowhere: for tests.
    #[default]
    Silent,
    /// One line per step to standard error, in colour on a terminal.
    Shown,
}

impl Progress {
    /// Tells one step about one server (or another subject), aligned with the others.
    pub(crate) fn tell(self, subject: &str, step: &str) {
        if self == Self::Shown {
            eprintln!("{} {step}", emphasised(&format!("{subject:>12}")));
        }
    }
}

/// Bold green on a terminal, as cargo shows its own steps; plain elsewhere and where `NO_COLOR` is set.
#[must_use]
pub fn emphasised(text: &str) -> String {
    let coloured =
        stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if coloured { format!("\x1b[1;32m{text}\x1b[0m") } else { text.to_owned() }
}
