//! Makes reports; they are stored with the record of their attempt.

mod daily;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use shared::clock;
use shared::db::report::Report;
use shared::task::Ended;
use shared::work::{ReportKind, ReportParams};
use uuid::Uuid;

use super::attempt::{Attempt, refuse, retry};
use crate::outcome::Outcome;

/// Makes one report.
pub(super) async fn run(attempt: &Attempt<'_>, params: &ReportParams) -> Result<Outcome, Ended> {
    let day = params.day.unwrap_or_else(|| clock::now().date_naive());
    let (period_start, period_end) = daily::period(day).map_err(|error| refuse(error.to_string()))?;
    let made = match params.report {
        ReportKind::Daily => daily::make(&attempt.worker.database, day).await,
    };
    let made = made.map_err(|error| retry(format!("{error:#}")))?;
    let report = Report {
        id: Uuid::now_v7(),
        kind: params.report,
        period_start,
        period_end,
        sha256: hex::encode(Sha256::digest(&made.html)),
        html: made.html,
        content: made.content,
        task: attempt.leased.task.id,
    };
    let detail = json!({ "report": report.id, "kind": report.kind, "day": day, "sha256": report.sha256 });
    Ok(Outcome { detail: Some(detail), report: Some(Box::new(report)), ..Outcome::done() })
}
