//! What commands print for people: aligned tables, sizes and durations one can read.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use bytesize::ByteSize;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// One line, below the header: rows that wrap are told apart by their first column.
const UNDERLINED_HEADER: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Narrower, each word would be a column of letters.
const NARROWEST: u16 = 60;

/// Writes to standard output; a reader that has seen enough, such as `head`, is no error.
///
/// # Errors
/// It cannot be written to.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(format!("{}\n", text.trim_end()).as_bytes())
}

/// Writes bytes as they are, as [`print()`] does.
///
/// # Errors
/// Standard output cannot be written to.
pub fn write(content: &[u8]) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(content).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// What [`crate::say`] does: where standard output cannot be written to, that is said, and the work goes on.
#[doc(hidden)]
pub fn say(line: Arguments<'_>) {
    if let Err(error) = print(&line.to_string()) {
        eprintln!("error: {error:#}");
    }
}

/// Prints a line, as `println!` does, and goes on with the work where nobody reads any more.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => {
        $crate::terminal::say(format_args!($($line)*))
    };
}

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
