//! Tasks that wait in the database for the relay, as commands of the producer would leave them.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use shared::clock;
use shared::db::task::Waiting;
use shared::db::{self, Database};
use shared::job::JobId;
use shared::params::Params;
use shared::task::{Priority, Task, TaskId};

use super::Load;

/// Rows of a transaction.
const BATCH: usize = 1000;

/// Writes so many tasks that are due now.
pub(crate) async fn fill(database: &Database, load: &Load, tasks: usize) -> anyhow::Result<()> {
    let mut client = database.client().await?;
    let statement = "select id from job where name like 'load-%' order by id";
    let jobs = client.query(statement, &[]).await?;
    let jobs = jobs.iter().map(|row| row.try_get(0).map(JobId)).collect::<Result<Vec<_>, _>>()?;
    let params = Params::from(&serde_json::from_str(load.params)?);
    let waiting = |number: usize| -> anyhow::Result<Waiting> {
        let task = Task {
            id: TaskId::generate(),
            kind: load.kind,
            priority: Priority::Normal,
            job: Some(*jobs.get(number % load.jobs).context("a job of the load is missing")?),
            params: params.clone(),
            requested_by: "loadtest".to_owned(),
            enqueued_at: clock::now(),
            trace: None,
        };
        Ok(Waiting::new(task, clock::now()))
    };
    for first in (0..tasks).step_by(BATCH) {
        let rows = (first..tasks.min(first + BATCH)).map(waiting).collect::<anyhow::Result<Vec<_>>>()?;
        let transaction = client.transaction().await?;
        insert(&transaction, &rows).await?;
        _ = db::commit(transaction).await?;
    }
    Ok(())
}

async fn insert(transaction: &Transaction<'_>, rows: &[Waiting]) -> Result<(), db::Error> {
    let ids: Vec<TaskId> = rows.iter().map(|waiting| waiting.task.id).collect();
    db::known_id::insert(transaction, &ids).await?;
    db::task::insert(transaction, rows).await
}
