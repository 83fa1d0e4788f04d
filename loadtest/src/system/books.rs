//! What the database says became of the tasks: each must have run once.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use shared::db::{self, Database};
use shared::task::{Priority, TaskKind};
use shared::topology;
use uuid::Uuid;

/// Nothing may stand still for longer: the newest task, which is looked at, may be the slowest.
const PATIENCE: Duration = Duration::from_mins(5);

/// Counts the tasks of one kind that were asked for, and those that ran.
#[derive(Debug)]
pub(crate) struct Books {
    kind: TaskKind,
    amqp_url: String,
    /// What was recorded or died before is none of theirs, and is not read: there may be millions of it.
    since: DateTime<Utc>,
    /// Asked for since.
    asked: i64,
}

impl Books {
    /// Opens the books, while nothing runs.
    pub(crate) async fn open(database: &Database, amqp_url: &str, kind: TaskKind) -> anyhow::Result<Self> {
        let since = db::now(&database.client().await?).await?;
        Ok(Self { kind, amqp_url: amqp_url.to_owned(), since, asked: 0 })
    }

    /// Says that so many more tasks are about to be asked for.
    pub(crate) fn ask(&mut self, tasks: usize) -> anyhow::Result<()> {
        self.asked += i64::try_from(tasks)?;
        Ok(())
    }

    /// Waits until all that was asked for is recorded. To be called when all of it was handed over: counting costs
    /// the server time that the load should have.
    pub(crate) async fn until_recorded(&self, database: &Database) -> anyhow::Result<()> {
        self.until_delivered().await?;
        let client = database.client().await?;
        let (mut last, mut moved) = ((None, 0), Instant::now());
        loop {
            // The newest lease is found at the end of the index, and there is one nearly as long as anything is under
            // way.
            let newest = "select task_id from lease order by task_id desc limit 1";
            let running: Option<Uuid> =
                client.query_opt(newest, &[]).await?.map(|row| row.try_get(0)).transpose()?;
            let done = if running.is_none() { self.recorded(&client).await? } else { last.1 };
            if running.is_none() && done >= self.asked {
                return Ok(());
            }
            if (running, done) != last {
                (last, moved) = ((running, done), Instant::now());
            }
            if moved.elapsed() > PATIENCE {
                let elsewhere = "select (select count(*) from lease), (select count(*) from task),
                     (select count(*) from dead_task), (select min(last_error) from task)";
                let row = client.query_one(elsewhere, &[]).await?;
                let (running, waiting, dead): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
                let error: Option<String> = row.get(3);
                bail!(
                    "{done} of {} tasks recorded, {running} running, {waiting} waiting, {dead} dead, and no change for \
                     minutes; {}",
                    self.asked,
                    error.unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing waits in the queue: the broker is asked at less expense than the database.
    async fn until_delivered(&self) -> anyhow::Result<()> {
        let connection = Connection::connect(&self.amqp_url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let queue = topology::queue(self.kind, Priority::Normal);
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let ready = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?;
            let ready = ready.message_count();
            if ready == 0 {
                return Ok(connection.close(200, "done".into()).await?);
            }
            if ready != last {
                (last, moved) = (ready, Instant::now());
            }
            ensure!(moved.elapsed() < PATIENCE, "{ready} messages wait in {queue}, and none is taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Checks that each task that was asked for succeeded once, and that nothing is left anywhere.
    pub(crate) async fn check(&self, database: &Database) -> anyhow::Result<()> {
        let client = database.client().await?;
        let statement = "select count(*) as executions, count(distinct task_id) as tasks,
                 count(*) filter (where outcome <> 'success') as others,
                 (select count(*) from task where kind = $1 and (waiting_since is null or waiting_since >= $2)) \
                     as waiting, (select count(*) from lease) as running,
                 (select count(*) from dead_task where died_at >= $2) as dead
             from execution where kind = $1 and finished_at >= $2";
        let row = client.query_one(statement, &[&self.kind.as_str(), &self.since]).await?;
        let (executions, tasks): (i64, i64) = (row.try_get("executions")?, row.try_get("tasks")?);
        let (lost, doubled) = (self.asked - tasks, executions - tasks);
        let of = |column| row.try_get::<_, i64>(column);
        let (others, waiting, running, dead) = (of("others")?, of("waiting")?, of("running")?, of("dead")?);
        ensure!(
            [lost, doubled, others, waiting, running, dead] == [0; 6],
            "{lost} lost, {doubled} doubled, {others} without success, {waiting} waiting, {running} running, {dead} dead"
        );
        Ok(())
    }

    async fn recorded<C: GenericClient>(&self, client: &C) -> anyhow::Result<i64> {
        let statement = "select count(*) from execution where kind = $1 and finished_at >= $2";
        Ok(client.query_one(statement, &[&self.kind.as_str(), &self.since]).await?.try_get(0)?)
    }
}
