//! Table `evidence`: observations, each job's in a hash chain, partitioned by month.

use deadpool_postgres::Transaction;
use tokio_postgres::types::{Json, Type};

use super::Error;
use super::bulk::Bulk;
use super::statement::command;
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

/// Writes observations; without any it asks for nothing, so that who only judges needs no right to write them.
pub async fn insert(transaction: &Transaction<'_>, links: &[Link]) -> Result<(), Error> {
    if links.is_empty() {
        return Ok(());
    }
    let columns = [
        ("id", Type::UUID),
        ("job_id", Type::INT4),
        ("target_id", Type::INT4),
        ("task_id", Type::UUID),
        ("kind", Type::TEXT),
        ("observed_at", Type::TIMESTAMPTZ),
        ("finding", Type::JSON),
        ("position", Type::INT8),
        ("hash", Type::BYTEA),
    ];
    let mut rows = Bulk::begin(command!("evidence.copy"), transaction, "evidence", &columns).await?;
    for Link { evidence, position, hash } in links {
        let Evidence { id, job, target, task, observed_at, finding } = evidence;
        rows.row(&[
            &id.0,
            &job.0,
            &target.0,
            &task.0,
            &finding.kind(),
            observed_at,
            &Json(finding),
            position,
            hash,
        ])
        .await?;
    }
    rows.finish().await?;
    Ok(())
}
