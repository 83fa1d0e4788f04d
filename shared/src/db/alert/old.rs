//! Alerts that have been over for long.

use deadpool_postgres::GenericClient;

use super::super::Error;
use super::super::statement::statement;

/// Whether something is old enough to be removed, of alerts, of what they rest on, or of reports.
pub async fn is_sweep_due<C: GenericClient>(client: &C) -> Result<bool, Error> {
    let statement = statement!(
        "alert.is_sweep_due",
        format!(
            "select exists (select from alert where state = 'resolved' and resolved_at < now() - interval '90 days')
             or exists (select from report where {})
             or exists (select from notification where {})
             or exists (select from silence where ends_at < now() - interval '90 days')
             or exists (select from job_day where day < (now() at time zone 'UTC')::date - {})",
        super::super::report::OLD,
            super::super::notification::OLD,
            super::super::job_health::DAYS
        )
    );
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// Which are old.
pub(in crate::db) const OLD: &str = "state = 'resolved' and resolved_at < now() - interval '90 days'";

/// Removes alerts that were over 90 days ago with their events, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "alert.sweep",
        format!("delete from alert where id in (select id from alert where {OLD} limit $1)")
    );
    Ok(statement.execute(client, &[&limit]).await?)
}
