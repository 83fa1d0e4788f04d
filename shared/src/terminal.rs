//! What commands print for people: aligned tables, sizes and durations one can read.

use std::time::Duration;

use bytesize::ByteSize;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// One line, below the header: rows that wrap are told apart by their first column.
const UNDERLINED_HEADER: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Narrower, each word would be a column of letters.
const NARROWEST: u16 = 60;

/// An empty table; columns align, and long cells wrap at the terminal's width.
#[must_use]
pub fn table(headers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UNDERLINED_HEADER);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_some_and(|width| width < NARROWEST) {
        // Some terminals say that they have no columns at all.
        table.set_width(NARROWEST);
    }
    table.set_header(headers.iter().copied());
    table
}

/// A size such as `1.5 GiB`; a negative one is shown as nothing.
#[must_use]
pub fn bytes(bytes: i64) -> String {
    ByteSize::b(u64::try_from(bytes).unwrap_or(0)).to_string()
}

/// A length of time such as `0.42 s` or `2h 5m`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{seconds:.2} s");
    }
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}
