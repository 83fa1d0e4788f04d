//! What is to be reached, and whether it was.

use serde::Serialize;

use crate::measure::number;
use crate::report::Table;

/// Something to be reached.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bar {
    what: &'static str,
    /// In words.
    to_reach: String,
    found: f64,
    met: bool,
}

impl Bar {
    /// As much as this, and no more.
    pub(super) fn at_most(what: &'static str, most: f64, found: f64) -> Self {
        let to_reach = if most > 0.0 { format!("at most {}", number(most)) } else { "none".to_owned() };
        Self { what, to_reach, found, met: found <= most }
    }

    /// As much as this, and no less.
    pub(super) fn at_least(what: &'static str, least: f64, found: f64) -> Self {
        Self { what, to_reach: format!("at least {}", number(least)), found, met: found >= least }
    }
}

/// All of them, for people.
pub(super) fn table(bars: &[Bar]) -> Table {
    let mut table = Table::new(["bar", "to reach", "here", ""]);
    for bar in bars {
        let met = if bar.met { "met" } else { "missed" };
        table.row([bar.what.to_owned(), bar.to_reach.clone(), number(bar.found), met.to_owned()]);
    }
    table
}
