//! The end of a demo: its facts as tables.

use std::{
    io::{IsTerminal as _, stdout},
    path::Path,
};

use comfy_table::{Cell, Color, ContentArrangement, LineStyle, Table, TableStyle};

use super::{
    facts::{Facts, RestorePoint, Verdict},
    figures,
    screen::width,
};

/// Prints everything to standard output.
pub(super) fn print(facts: &Facts) {
    println!("\nrestore points\n{}", points(&facts.restore_points));
    println!("\nverdicts\n{}", verdicts(&facts.verdicts));
    print_totals(facts);
}

fn points(points: &[RestorePoint]) -> Table {
    let mut table = table(&["target", "media", "site", "snapshot", "files", "size", "stored", "took"]);
    for RestorePoint { written, media, site } in points {
        table.add_row([
            written.target.clone(),
            media.clone(),
            site.clone(),
            written.snapshot.chars().take(8).collect(),
            written.files.to_string(),
            figures::bytes(written.bytes),
            figures::bytes(written.bytes_added),
            figures::seconds(written.seconds),
        ]);
    }
    table
}

fn verdicts(verdicts: &[Verdict]) -> Table {
    let mut table = table(&["rule", "answer", "reason", "evidence", "expires (UTC)"]);
    for verdict in verdicts {
        let colour = if verdict.passes() { Color::Green } else { Color::Red };
        let answer = Cell::new(&verdict.answer);
        table.add_row([
            Cell::new(&verdict.rule),
            if std::env::var_os("NO_COLOR").is_some() { answer } else { answer.fg(colour) },
            Cell::new(&verdict.reason),
            Cell::new(figures::count(verdict.evidence.len() as u64, "piece", "pieces")),
            Cell::new(verdict.expires_at.as_deref().map(minute).unwrap_or_default()),
        ]);
    }
    table
}

fn print_totals(facts: &Facts) {
    let Facts { source, restore, comparison, .. } = facts;
    let size =
        |files, bytes| format!("{}, {}", figures::count(files, "file", "files"), figures::bytes(bytes));
    let line = |name: &str, value: &str, place: &Path| println!("{name:<11} {value:<38} {}", place.display());
    println!();
    line("source", &size(source.files, source.bytes), &source.path);
    let restored = size(comparison.files, comparison.bytes);
    line("restore", &format!("{restored} in {}", figures::seconds(restore.seconds)), &restore.into);
    let differences = figures::count(comparison.differences, "difference", "differences");
    let entries = figures::count(comparison.entries, "entry", "entries");
    println!("{:<11} {differences} in {entries}", "comparison");
    println!("{:<11} {}", "report", facts.report.display());
    println!("{:<11} {}", "everything", figures::seconds(facts.seconds));
}

/// Columns align, and long cells wrap at the terminal's width.
fn table(headers: &[&str]) -> Table {
    let mut table = Table::new();
    let underline = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(underline));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if stdout().is_terminal() {
        // Narrower, each word would be a column of letters.
        table.set_width(u16::try_from(width(stdout()).max(60)).unwrap_or(u16::MAX));
    }
    table.set_header(headers.iter().copied());
    table
}

/// A moment in RFC 3339, to the minute.
fn minute(moment: &str) -> String {
    moment.get(..16).unwrap_or(moment).replace('T', " ")
}
