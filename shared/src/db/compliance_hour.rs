//! Table `compliance_hour`: how many of the active jobs complied, looked at once an hour.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use deadpool_postgres::GenericClient;

use super::rollup::DAYS_KEPT;
use super::{Error, prepared};
use crate::job::JobName;

/// Notes how many of the active jobs comply, unless that was noted in this hour already or there is no active job.
pub async fn sample<C: GenericClient>(client: &C) -> Result<(), Error> {
    let statement = "insert into compliance_hour (at, jobs, compliant)
         select date_bin('1 hour', now(), 'epoch'), count(*), count(*) filter (where c.compliant)
         from compliance c join job j on j.id = c.job_id where j.active having count(*) > 0
         on conflict (at) do nothing";
    let statement = prepared(client, statement).await?;
    client.execute(&statement, &[]).await?;
    Ok(())
}

/// The share of the active jobs that complied, 0 to 1, averaged over the hours that began after `since`; `None` when none was noted.
pub async fn mean<C: GenericClient>(client: &C, since: DateTime<Utc>) -> Result<Option<f64>, Error> {
    let statement = "select avg(compliant::float8 / jobs) from compliance_hour where at > $1";
    let statement = prepared(client, statement).await?;
    Ok(client.query_one(&statement, &[&since]).await?.try_get(0)?)
}

/// The share of the active jobs that complied, 0 to 1, averaged over each day in UTC of a period; days without a note are absent.
pub async fn by_day<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<BTreeMap<NaiveDate, f64>, Error> {
    let statement = "select (date_bin('1 day', at, 'epoch') at time zone 'UTC')::date as day, avg(compliant::float8 / jobs) as share
         from compliance_hour where at >= $1 and at < $2 group by 1";
    let statement = prepared(client, statement).await?;
    let rows = client.query(&statement, &[&from, &to]).await?;
    rows.iter().map(|row| Ok((row.try_get("day")?, row.try_get("share")?))).collect()
}

/// As [`mean`], of a period that has ended or will.
pub async fn mean_of<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<f64>, Error> {
    let statement = "select avg(compliant::float8 / jobs) from compliance_hour where at >= $1 and at < $2";
    let statement = prepared(client, statement).await?;
    Ok(client.query_one(&statement, &[&from, &to]).await?.try_get(0)?)
}

/// The share of the active jobs, or of one, that comply now, 0 to 1; `None` without an active job.
pub async fn now<C: GenericClient>(client: &C, job: Option<&JobName>) -> Result<Option<f64>, Error> {
    let statement = "select count(*) filter (where c.compliant)::float8 / nullif(count(*), 0)
         from compliance c join job j on j.id = c.job_id where j.active and ($1::text is null or j.name = $1)";
    let statement = prepared(client, statement).await?;
    Ok(client.query_one(&statement, &[&job.map(JobName::as_str)]).await?.try_get(0)?)
}

/// Removes what is not kept any more: the same days as of the rollups.
pub async fn sweep<C: GenericClient>(client: &C, now: DateTime<Utc>) -> Result<u64, Error> {
    let statement = prepared(client, "delete from compliance_hour where at < $1").await?;
    Ok(client.execute(&statement, &[&(now - TimeDelta::days(DAYS_KEPT))]).await?)
}
