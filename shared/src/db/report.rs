//! Table `report`: reports as they were made.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::Value;
use uuid::Uuid;

use super::statement::statement;
use super::{Error, parsed};
use crate::task::TaskId;
use crate::work::ReportKind;

/// A finished report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its identity.
    pub id: Uuid,
    /// Which one.
    pub kind: ReportKind,
    /// The first moment that it covers.
    pub period_start: DateTime<Utc>,
    /// The first moment after it.
    pub period_end: DateTime<Utc>,
    /// For people: one page that needs nothing else.
    pub html: String,
    /// The same facts for programs.
    pub content: Value,
    /// SHA-256 of `html`, in hexadecimal.
    pub sha256: String,
    /// The task that made it.
    pub task: TaskId,
}

/// Stores one report.
pub async fn insert(transaction: &Transaction<'_>, report: &Report) -> Result<(), Error> {
    let statement = statement!(
        "report.insert",
        "insert into report (id, kind, period_start, period_end, html, content, sha256, task_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    let kind = report.kind.as_str();
    statement
        .execute(
            transaction,
            &[
                &report.id,
                &kind,
                &report.period_start,
                &report.period_end,
                &report.html,
                &report.content,
                &report.sha256,
                &report.task.0,
            ],
        )
        .await?;
    Ok(())
}

/// The report that was made last.
pub async fn newest<C: GenericClient>(client: &C, kind: ReportKind) -> Result<Option<Report>, Error> {
    let statement = statement!(
        "report.newest",
        "select id, kind, period_start, period_end, html, content, sha256, task_id
         from report where kind = $1 order by created_at desc limit 1"
    );
    let Some(row) = statement.query_opt(client, &[&kind.as_str()]).await? else { return Ok(None) };
    Ok(Some(Report {
        id: row.try_get("id")?,
        kind: parsed(&row, "kind")?,
        period_start: row.try_get("period_start")?,
        period_end: row.try_get("period_end")?,
        html: row.try_get("html")?,
        content: row.try_get("content")?,
        sha256: row.try_get("sha256")?,
        task: TaskId(row.try_get("task_id")?),
    }))
}

/// Which are old.
pub(super) const OLD: &str = "created_at < now() - interval '90 days'";

/// Removes reports that were made 90 days ago, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "report.sweep",
        format!("delete from report where id in (select id from report where {OLD} limit $1)")
    );
    Ok(statement.execute(client, &[&limit]).await?)
}
