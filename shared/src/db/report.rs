//! Table `report`: reports that were made. What they are written as is in `report_file`.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::statement::statement;
use super::{Error, from_json, parsed};
use crate::channel::ChannelName;
use crate::task::TaskId;
use crate::work::{ReportFormat, ReportKind};

/// For how many days a report is kept.
pub const DAYS_KEPT: i32 = 90;

/// A finished report that is to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct New {
    /// Its identity.
    pub id: Uuid,
    /// Which one.
    pub kind: ReportKind,
    /// The first moment that it covers.
    pub period_start: DateTime<Utc>,
    /// The first moment after it.
    pub period_end: DateTime<Utc>,
    /// What it is called, with its period.
    pub title: String,
    /// How things stand, in a sentence.
    pub headline: String,
    /// What matters, in some lines of text.
    pub summary: String,
    /// The only job that it is about.
    pub job: Option<String>,
    /// The owner of the only jobs that it is about.
    pub owner: Option<String>,
    /// What it is written as.
    pub files: Vec<File>,
    /// By which channels it is sent.
    pub mail_to: Vec<ChannelName>,
    /// The task that made it.
    pub task: TaskId,
}

/// A report in one format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Which.
    pub format: ReportFormat,
    /// SHA-256 of `content`, in hexadecimal.
    pub sha256: String,
    /// What is downloaded.
    pub content: Vec<u8>,
}

/// Stores a report with its files, unless its task has made one already; returns whether it did.
pub async fn insert(transaction: &Transaction<'_>, report: &New) -> Result<bool, Error> {
    let statement = statement!(
        "report.insert",
        "insert into report (id, kind, period_start, period_end, title, headline, summary, job, owner, task_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (task_id) do nothing"
    );
    let kind = report.kind.as_str();
    let stored = statement
        .execute(
            transaction,
            &[
                &report.id,
                &kind,
                &report.period_start,
                &report.period_end,
                &report.title,
                &report.headline,
                &report.summary,
                &report.job,
                &report.owner,
                &report.task.0,
            ],
        )
        .await?;
    if stored == 0 {
        return Ok(false);
    }
    let statement = statement!(
        "report.insert_file",
        "insert into report_file (report_id, format, sha256, content) values ($1, $2, $3, $4)"
    );
    for file in &report.files {
        statement
            .execute(transaction, &[&report.id, &file.format.as_str(), &file.sha256, &file.content])
            .await?;
    }
    Ok(true)
}

/// A report as readers see it, without its files' content.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Its identity.
    pub id: Uuid,
    /// Which one.
    pub kind: ReportKind,
    /// The first moment that it covers.
    pub period_start: DateTime<Utc>,
    /// The first moment after it.
    pub period_end: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// What it is called.
    pub title: String,
    /// How things stand, in a sentence; empty where an earlier version made it.
    pub headline: String,
    /// What matters, in some lines of text.
    pub summary: String,
    /// The only job that it is about.
    pub job: Option<String>,
    /// The owner of the only jobs that it is about.
    pub owner: Option<String>,
    /// The task that made it.
    pub task: TaskId,
    /// What it is written as.
    pub files: Vec<Written>,
}

/// A format of a report, and what its file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Written {
    /// Which.
    pub format: ReportFormat,
    /// SHA-256 of what is downloaded, in hexadecimal.
    pub sha256: String,
    /// Its length.
    pub bytes: i64,
}

const REPORT: &str = "select id, kind, period_start, period_end, created_at, title, headline, summary, job, owner, task_id,
         (select coalesce(json_agg(json_build_object('format', format, 'sha256', sha256, 'bytes', bytes) order by format), '[]')
             from report_file f where f.report_id = r.id) as files
     from report r";

/// The place of a report among those that are listed, the newest first.
pub type Place = (DateTime<Utc>, Uuid);

/// Reports that come after a place, the newest first, at most `limit`.
pub async fn list<C: GenericClient>(
    client: &C,
    kind: Option<ReportKind>,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<Report>, Error> {
    let statement = statement!("report.list", format!(
        "{REPORT} where ($1::text is null or kind = $1) and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
         order by created_at desc, id desc limit $4"
    ));
    let (at, id) = after.unzip();
    let rows = statement.query(client, &[&kind.map(ReportKind::as_str), &at, &id, &limit]).await?;
    rows.iter().map(report).collect()
}

/// A report.
pub async fn by_id<C: GenericClient>(client: &C, id: Uuid) -> Result<Option<Report>, Error> {
    let statement = statement!("report.by_id", format!("{REPORT} where id = $1"));
    statement.query_opt(client, &[&id]).await?.as_ref().map(report).transpose()
}

/// The report that was made last about all jobs.
pub async fn newest<C: GenericClient>(client: &C, kind: ReportKind) -> Result<Option<Report>, Error> {
    let statement = statement!(
        "report.newest",
        format!(
            "{REPORT} where kind = $1 and job is null and owner is null order by created_at desc limit 1"
        )
    );
    statement.query_opt(client, &[&kind.as_str()]).await?.as_ref().map(report).transpose()
}

fn report(row: &Row) -> Result<Report, Error> {
    Ok(Report {
        id: row.try_get("id")?,
        kind: parsed(row, "kind")?,
        period_start: row.try_get("period_start")?,
        period_end: row.try_get("period_end")?,
        created_at: row.try_get("created_at")?,
        title: row.try_get("title")?,
        headline: row.try_get("headline")?,
        summary: row.try_get("summary")?,
        job: row.try_get("job")?,
        owner: row.try_get("owner")?,
        task: TaskId(row.try_get("task_id")?),
        files: from_json(row, "files")?,
    })
}

/// A report in a format; `None` where there is no such report, or it was not written as that.
pub async fn file<C: GenericClient>(
    client: &C,
    id: Uuid,
    format: ReportFormat,
) -> Result<Option<File>, Error> {
    let statement = statement!(
        "report.file",
        "select sha256, content from report_file where report_id = $1 and format = $2"
    );
    let row = statement.query_opt(client, &[&id, &format.as_str()]).await?;
    let file =
        |row: Row| Ok(File { format, sha256: row.try_get("sha256")?, content: row.try_get("content")? });
    row.map(file).transpose()
}

/// Which are old.
pub(super) const OLD: &str = "created_at < now() - interval '90 days'";

/// Removes reports that were made 90 days ago with their files, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "report.sweep",
        format!("delete from report where id in (select id from report where {OLD} limit $1)")
    );
    Ok(statement.execute(client, &[&limit]).await?)
}
