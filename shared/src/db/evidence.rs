//! Table `evidence`: observations, each job's in a hash chain, partitioned by month.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Error, prepared};
use crate::evidence::Evidence;

/// An observation with its place in its job's chain.
#[derive(Debug)]
pub struct Link {
    /// What was observed.
    pub evidence: Evidence,
    /// Its position, from 1.
    pub position: i64,
    /// The chain's hash up to here.
    pub hash: Vec<u8>,
}

/// Writes observations.
pub async fn insert(transaction: &Transaction<'_>, links: &[Link]) -> Result<(), Error> {
    let statement = "insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
         select * from unnest($1::uuid[], $2::integer[], $3::integer[], $4::uuid[], $5::text[], $6::timestamptz[], \
             $7::jsonb[], $8::bigint[], $9::bytea[])";
    let statement = prepared(transaction, statement).await?;
    let each = || links.iter().map(|link| &link.evidence);
    let id: Vec<Uuid> = each().map(|evidence| evidence.id.0).collect();
    let job: Vec<i32> = each().map(|evidence| evidence.job.0).collect();
    let target: Vec<i32> = each().map(|evidence| evidence.target.0).collect();
    let task: Vec<Uuid> = each().map(|evidence| evidence.task.0).collect();
    let kind: Vec<&str> = each().map(|evidence| evidence.finding.kind()).collect();
    let observed_at: Vec<_> = each().map(|evidence| evidence.observed_at).collect();
    let finding: Vec<_> = each().map(|evidence| Json(&evidence.finding)).collect();
    let position: Vec<i64> = links.iter().map(|link| link.position).collect();
    let hash: Vec<&[u8]> = links.iter().map(|link| link.hash.as_slice()).collect();
    transaction
        .execute(&statement, &[&id, &job, &target, &task, &kind, &observed_at, &finding, &position, &hash])
        .await?;
    Ok(())
}
