//! Table `compliance_hour`: how many of the active jobs complied, looked at once an hour.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use deadpool_postgres::GenericClient;

use super::Error;
use super::rollup::DAYS_KEPT;
use super::statement::statement;
use crate::job::JobName;

/// Notes how many of the active jobs comply, unless that was noted in this hour already or there is no active job.
pub async fn sample<C: GenericClient>(client: &C) -> Result<(), Error> {
    let statement = statement!(
        "compliance_hour.sample",
        "insert into compliance_hour (at, jobs, compliant)
         select date_bin('1 hour', now(), 'epoch'), count(*), count(*) filter (where c.compliant)
         from compliance c join job j on j.id = c.job_id where j.active having count(*) > 0
         on conflict (at) do nothing"
    );
    statement.execute(client, &[]).await?;
    Ok(())
}

/// The share of the active jobs that complied, 0 to 1, averaged over the hours that began after `since`; `None` when none was noted.
pub async fn mean<C: GenericClient>(client: &C, since: DateTime<Utc>) -> Result<Option<f64>, Error> {
    let statement = statement!(
        "compliance_hour.mean",
        "select avg(compliant::float8 / jobs) from compliance_hour where at > $1"
    );
    Ok(statement.query_one(client, &[&since]).await?.try_get(0)?)
}

/// The share of the active jobs that complied, 0 to 1, averaged over each day in UTC of a period; days without a note are absent.
pub async fn by_day<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<BTreeMap<NaiveDate, f64>, Error> {
    let statement = statement!("compliance_hour.by_day", "select (date_bin('1 day', at, 'epoch') at time zone 'UTC')::date as day, avg(compliant::float8 / jobs) as share
         from compliance_hour where at >= $1 and at < $2 group by 1");
    let rows = statement.query(client, &[&from, &to]).await?;
    rows.iter().map(|row| Ok((row.try_get("day")?, row.try_get("share")?))).collect()
}

/// As [`mean`], of a period that has ended or will.
pub async fn mean_of<C: GenericClient>(
    client: &C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<f64>, Error> {
    let statement = statement!(
        "compliance_hour.mean_of",
        "select avg(compliant::float8 / jobs) from compliance_hour where at >= $1 and at < $2"
    );
    Ok(statement.query_one(client, &[&from, &to]).await?.try_get(0)?)
}

/// The share of the active jobs, or of one, that comply now, 0 to 1; `None` without an active job.
pub async fn now<C: GenericClient>(client: &C, job: Option<&JobName>) -> Result<Option<f64>, Error> {
    let statement = statement!(
        "compliance_hour.now",
        "select count(*) filter (where c.compliant)::float8 / nullif(count(*), 0)
         from compliance c join job j on j.id = c.job_id where j.active and ($1::text is null or j.name = $1)"
    );
    Ok(statement.query_one(client, &[&job.map(JobName::as_str)]).await?.try_get(0)?)
}

/// Removes what is not kept any more: the same days as of the rollups.
pub async fn sweep<C: GenericClient>(client: &C, now: DateTime<Utc>) -> Result<u64, Error> {
    let statement = statement!("compliance_hour.sweep", "delete from compliance_hour where at < $1");
    Ok(statement.execute(client, &[&(now - TimeDelta::days(DAYS_KEPT))]).await?)
}
