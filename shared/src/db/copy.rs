//! Table `copy`: the newest facts about each job's data on each target.

use std::collections::BTreeMap;

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;

use super::{Error, from_json, prepared};
use crate::evidence::Facts;
use crate::job::JobId;
use crate::target::TargetId;

/// Facts by job and target.
pub type FactsByCopy = BTreeMap<(JobId, TargetId), Facts>;

/// Reads the facts of some jobs.
pub async fn load<C: GenericClient>(client: &C, jobs: &[JobId]) -> Result<FactsByCopy, Error> {
    let statement =
        prepared(client, "select job_id, target_id, facts from copy where job_id = any($1)").await?;
    let jobs: Vec<i32> = jobs.iter().map(|job| job.0).collect();
    let rows = client.query(&statement, &[&jobs]).await?;
    rows.iter()
        .map(|row| {
            let key = (JobId(row.try_get("job_id")?), TargetId(row.try_get("target_id")?));
            Ok((key, from_json(row, "facts")?))
        })
        .collect()
}

/// Writes facts; the jobs' compliance rows must be locked.
pub async fn store(
    transaction: &Transaction<'_>,
    facts: &[((JobId, TargetId), &Facts)],
) -> Result<(), Error> {
    let statement = "insert into copy (job_id, target_id, facts)
         select * from unnest($1::integer[], $2::integer[], $3::jsonb[])
         on conflict (job_id, target_id) do update set facts = excluded.facts";
    let statement = prepared(transaction, statement).await?;
    let jobs: Vec<i32> = facts.iter().map(|((job, _), _)| job.0).collect();
    let targets: Vec<i32> = facts.iter().map(|((_, target), _)| target.0).collect();
    let values = facts.iter().map(|(_, facts)| Json(*facts)).collect::<Vec<_>>();
    transaction.execute(&statement, &[&jobs, &targets, &values]).await?;
    Ok(())
}
