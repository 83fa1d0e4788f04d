//! Table `silence`: alerts that nobody wants to be told of for a while.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::readable::Readable;
use super::statement::statement;
use super::{Error, parsed};
use crate::alert::{Matcher, SilenceId};

/// A silence.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Silence {
    /// Its number.
    pub id: SilenceId,
    /// Which alerts.
    #[serde(flatten)]
    pub matcher: Matcher,
    /// From when on.
    pub starts_at: DateTime<Utc>,
    /// Until when.
    pub ends_at: DateTime<Utc>,
    /// Who wants it.
    pub created_by: String,
    /// Why.
    pub why: String,
}

/// Writes one that begins at once.
pub async fn insert(
    transaction: &Transaction<'_>,
    matcher: &Matcher,
    lasts: Duration,
    by: &str,
    why: &str,
) -> Result<Silence, Error> {
    let statement = statement!(
        "silence.insert",
        "insert into silence (rule, job, target, owner, tag, severity, ends_at, created_by, why)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7), $8, $9) returning *"
    );
    let Matcher { rule, job, target, owner, tag, severity } = matcher;
    let row = statement
        .query_one(
            transaction,
            &[
                &rule.map(crate::alert::Rule::as_str),
                &job.as_ref().map(crate::job::JobName::as_str),
                &target.as_ref().map(crate::target::TargetName::as_str),
                &owner.as_ref().map(crate::limit::Label::as_str),
                &tag.as_ref().map(crate::alert::Tag::as_str),
                &severity.map(crate::alert::Severity::as_str),
                &lasts.as_secs_f64(),
                &by,
                &why,
            ],
        )
        .await?;
    silence(&row)
}

/// The first field of a matcher whose value no job and no target has, with the value.
pub async fn unknown_name<C: GenericClient>(
    client: &C,
    matcher: &Matcher,
) -> Result<Option<(&'static str, String)>, Error> {
    let statement = statement!(
        "silence.unknown_name",
        "select
             exists (select from job where removed_at is null and name = $1) as job,
             exists (select from target where removed_at is null and name = $2) as target,
             exists (select from job where removed_at is null and definition ->> 'owner' = $3) as owner,
             exists (select from job where removed_at is null and definition -> 'tags' ? $4) as tag"
    );
    let Matcher { job, target, owner, tag, .. } = matcher;
    let names = [
        ("job", job.as_ref().map(ToString::to_string)),
        ("target", target.as_ref().map(ToString::to_string)),
        ("owner", owner.as_ref().map(|owner| owner.as_str().to_owned())),
        ("tag", tag.as_ref().map(ToString::to_string)),
    ];
    let [job, target, owner, tag] = &names;
    let row = statement.query_one(client, &[&job.1, &target.1, &owner.1, &tag.1]).await?;
    for (field, name) in names {
        if let Some(name) = name
            && !row.try_get::<_, bool>(field)?
        {
            return Ok(Some((field, name)));
        }
    }
    Ok(None)
}

/// Those that are not over yet, in the order of their ends.
pub async fn current<C: GenericClient>(client: &C) -> Result<Readable<Silence, SilenceId>, Error> {
    let statement =
        statement!("silence.current", "select * from silence where ends_at > now() order by ends_at, id");
    let rows = statement.query(client, &[]).await?;
    Readable::each(&rows, |row| Ok(SilenceId(row.try_get("id")?)), silence)
}

/// Ends one that is not over yet; returns what it was.
pub async fn end(transaction: &Transaction<'_>, id: SilenceId) -> Result<Option<Silence>, Error> {
    let statement =
        statement!("silence.end", "delete from silence where id = $1 and ends_at > now() returning *");
    statement.query_opt(transaction, &[&id.0]).await?.as_ref().map(silence).transpose()
}

/// Which are old.
pub(super) const OLD: &str = "ends_at < now() - interval '90 days'";

/// Removes those that were over 90 days ago, at most `limit`; returns how many.
pub async fn sweep<C: GenericClient>(client: &C, limit: i64) -> Result<u64, Error> {
    let statement = statement!(
        "silence.sweep",
        format!("delete from silence where id in (select id from silence where {OLD} limit $1)")
    );
    Ok(statement.execute(client, &[&limit]).await?)
}

fn silence(row: &tokio_postgres::Row) -> Result<Silence, Error> {
    fn optional<T>(row: &tokio_postgres::Row, column: &'static str) -> Result<Option<T>, Error>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let text: Option<&str> = row.try_get(column)?;
        text.map(|_| parsed(row, column)).transpose()
    }
    Ok(Silence {
        id: SilenceId(row.try_get("id")?),
        matcher: Matcher {
            rule: optional(row, "rule")?,
            job: optional(row, "job")?,
            target: optional(row, "target")?,
            owner: optional(row, "owner")?,
            tag: optional(row, "tag")?,
            severity: optional(row, "severity")?,
        },
        starts_at: row.try_get("starts_at")?,
        ends_at: row.try_get("ends_at")?,
        created_by: row.try_get("created_by")?,
        why: row.try_get("why")?,
    })
}
