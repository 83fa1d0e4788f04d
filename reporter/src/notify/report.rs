//! A report that goes by mail: what it says in short as the text, and its files beside it.

use std::fmt::Write as _;

use deadpool_postgres::GenericClient;
use shared::db::Error;
use shared::db::report::{self, Report};
use shared::work::ReportFormat;
use uuid::Uuid;

/// Many servers refuse a mail of more than 10 MB, and base64 makes a third more of each file.
const MOST_BYTES: usize = 6 * 1024 * 1024;
/// What is sent, the most useful first.
const SENT: [ReportFormat; 2] = [ReportFormat::Pdf, ReportFormat::Html];

/// A report on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mailed {
    /// What it says.
    pub(super) report: Report,
    /// Those of its files that fit.
    pub(super) files: Vec<Attached>,
}

/// A file beside a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    /// What it is called.
    pub(super) name: String,
    /// What it is.
    pub(super) format: ReportFormat,
    /// All of it.
    pub(super) content: Vec<u8>,
}

/// Reads what is sent of a report; `None` when it is not kept any more.
pub(super) async fn read<C: GenericClient>(client: &C, id: Uuid) -> Result<Option<Mailed>, Error> {
    let Some(report) = report::by_id(client, id).await? else { return Ok(None) };
    let (mut files, mut room) = (Vec::new(), MOST_BYTES);
    for format in SENT {
        let size = report.files.iter().find(|file| file.format == format).map(|file| file.bytes);
        let fits = size.and_then(|size| usize::try_from(size).ok()).is_some_and(|size| size <= room);
        // What is too large is not even read.
        if fits && let Some(file) = report::file(client, id, format).await? {
            room = room.saturating_sub(file.content.len());
            files.push(Attached { name: name(&report, format), format, content: file.content });
        }
    }
    Ok(Some(Mailed { report, files }))
}

/// A name that every system takes.
fn name(report: &Report, format: ReportFormat) -> String {
    format!("holdfast-{}-{}.{format}", report.kind, report.period_start.format("%Y-%m-%d"))
}

impl Mailed {
    /// What stands in the mail itself.
    pub(super) fn text(&self, channel: &str, notification: Uuid) -> String {
        let Self { report, files } = self;
        let id = report.id;
        let mut text = format!("{}\n\n{}\n\n", report.title, report.summary);
        if files.len() < SENT.len() {
            text.push_str("Not all of it fits into a mail. ");
        }
        text.push_str("The whole report: ");
        _ = writeln!(text, "reporter report save {id} --format pdf --out report.pdf (or html, csv, json)");
        for file in &report.files {
            _ = writeln!(text, "SHA-256 of {}: {}", file.format, file.sha256);
        }
        _ = write!(text, "\n-- \nHoldfast, channel {channel}, notification {notification}\n");
        text
    }
}
