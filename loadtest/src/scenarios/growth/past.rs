//! What a year of work would have left in a database.

use std::ops::Range;
use std::pin::pin;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::db::{Database, partition};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};
use uuid::{NoContext, Timestamp, Uuid};

use crate::system::connect;

/// How far it goes back.
const PERIOD: TimeDelta = TimeDelta::days(365);
/// How long ids are kept.
const ID_WINDOW: TimeDelta = TimeDelta::days(7);
/// Attempts of one transaction, as a worker records them.
const BATCH: u32 = 500;
/// One attempt of so many is a backup, with a restore point: at 10 million more than one a day for each of 1000 jobs.
const BACKUP_EVERY: u32 = 25;
/// One attempt of so many failed.
const FAILURE_EVERY: u32 = 50;
/// One attempt of so many was the last one of a task that died.
const DEAD_EVERY: u32 = 1_000;
/// After so many attempts one hears how far it is.
const PROGRESS_EVERY: u32 = 1_000_000;

/// A year of work that ended a moment ago.
pub(in crate::scenarios) struct Past {
    /// Attempts, evenly spread.
    pub(in crate::scenarios) executions: u32,
    /// Ids within the window, those of attempts included.
    pub(in crate::scenarios) ids: u32,
    /// When it ended.
    pub(in crate::scenarios) end: DateTime<Utc>,
}

/// What rows refer to.
struct Definitions {
    jobs: Vec<i32>,
    target: i32,
}

impl Past {
    /// All attempts, as their numbers.
    pub(in crate::scenarios) fn all(&self) -> Range<u32> {
        0..self.executions
    }

    /// The attempts of the last day.
    pub(in crate::scenarios) fn last_day(&self) -> Range<u32> {
        let first = f64::from(self.executions) * (1.0 - 1.0 / 365.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below `executions`")]
        let first = first.ceil() as u32;
        first..self.executions
    }

    /// Writes some attempts with all that they left, and as many ids as the same share of the window has.
    pub(in crate::scenarios) async fn fill(
        &self,
        database_url: &str,
        which: Range<u32>,
    ) -> anyhow::Result<()> {
        let database = Database::new(&database_url.into(), "holdfast loadtest")?;
        partition::create_ahead(&mut database.client().await?, self.end - PERIOD, 12).await?;
        let mut client = connect(database_url).await?;
        let definitions = Definitions::read(&client).await?;
        for first in which.clone().step_by(BATCH as usize) {
            let batch = first..first.saturating_add(BATCH).min(which.end);
            let transaction = client.transaction().await?;
            self.copy_executions(&transaction, &definitions, batch.clone()).await?;
            self.copy_evidence(&transaction, &definitions, batch.clone()).await?;
            self.copy_restore_points(&transaction, &definitions, batch).await?;
            transaction.commit().await?;
            if first > which.start && first % PROGRESS_EVERY == 0 {
                eprintln!("{first} of {} attempts", self.executions);
            }
        }
        self.copy_ids(&client, self.at(which.start)).await?;
        bury(&client).await?;
        // As it would be after so long: vacuumed, with statistics, and written to disk.
        client.batch_execute("vacuum (analyze)").await?;
        client.batch_execute("checkpoint").await?;
        Ok(())
    }

    fn at(&self, number: u32) -> DateTime<Utc> {
        let share = f64::from(self.executions - number) / f64::from(self.executions);
        #[expect(clippy::cast_possible_truncation, reason = "a year in microseconds")]
        let before = (PERIOD.as_seconds_f64() * share * 1e6) as i64;
        self.end - TimeDelta::microseconds(before)
    }

    async fn copy_executions(
        &self,
        transaction: &Transaction<'_>,
        definitions: &Definitions,
        batch: Range<u32>,
    ) -> anyhow::Result<()> {
        let statement = "copy execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, \
             enqueued_at, started_at, finished_at, seconds, error, worker_id) from stdin binary";
        let moment = Type::TIMESTAMPTZ;
        let types = [
            Type::UUID,
            Type::INT8,
            Type::INT4,
            Type::TEXT,
            Type::INT4,
            Type::INT4,
            Type::TEXT,
            Type::TEXT,
            moment.clone(),
            moment.clone(),
            moment,
            Type::FLOAT8,
            Type::TEXT,
            Type::UUID,
        ];
        let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(statement).await?, &types));
        for number in batch {
            let at = self.at(number);
            let started = at - TimeDelta::seconds(1);
            let (kind, failed) = (kind(number), number % FAILURE_EVERY == 1);
            let outcome = if failed { "failed" } else { "success" };
            let error = failed.then_some("the simulated work failed, as it was told to");
            let (id, job) = (id_at(at), definitions.job(number));
            let row: [&(dyn ToSql + Sync); 14] = [
                &id,
                &1_i64,
                &1_i32,
                &kind,
                &job,
                &definitions.target,
                &outcome,
                &"loadtest",
                &started,
                &started,
                &at,
                &1.0_f64,
                &error,
                &Uuid::nil(),
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    async fn copy_evidence(
        &self,
        transaction: &Transaction<'_>,
        definitions: &Definitions,
        batch: Range<u32>,
    ) -> anyhow::Result<()> {
        let statement = "copy evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash) \
             from stdin binary";
        let types = [
            Type::UUID,
            Type::INT4,
            Type::INT4,
            Type::UUID,
            Type::TEXT,
            Type::TIMESTAMPTZ,
            Type::JSON,
            Type::INT8,
            Type::BYTEA,
        ];
        let finding: Value = json!({ "kind": "listing", "present": true });
        let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(statement).await?, &types));
        for number in batch {
            let at = self.at(number);
            let (id, task, job, position) =
                (id_at(at), id_at(at), definitions.job(number), i64::from(number) / 1000);
            let row: [&(dyn ToSql + Sync); 9] = [
                &id,
                &job,
                &definitions.target,
                &task,
                &"listing",
                &at,
                &finding,
                &position,
                &[7_u8; 32].as_slice(),
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    async fn copy_restore_points(
        &self,
        transaction: &Transaction<'_>,
        definitions: &Definitions,
        batch: Range<u32>,
    ) -> anyhow::Result<()> {
        let statement = "copy restore_point (id, job_id, target_id, snapshot, data_time, created_at, seconds, files, \
             bytes, bytes_added, source_errors, task_id) from stdin binary";
        let moment = Type::TIMESTAMPTZ;
        let types = [
            Type::UUID,
            Type::INT4,
            Type::INT4,
            Type::TEXT,
            moment.clone(),
            moment,
            Type::FLOAT8,
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::UUID,
        ];
        let snapshot = "7".repeat(64);
        let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(statement).await?, &types));
        for number in batch.filter(|number| kind(*number) == "backup") {
            let at = self.at(number);
            let (id, task, job) = (id_at(at), id_at(at), definitions.job(number));
            let row: [&(dyn ToSql + Sync); 12] = [
                &id,
                &job,
                &definitions.target,
                &snapshot,
                &at,
                &at,
                &1.0_f64,
                &1000_i64,
                &1_000_000_i64,
                &1000_i64,
                &0_i64,
                &task,
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    /// The ids of recent attempts, and as many others as it takes.
    async fn copy_ids(&self, client: &Client, since: DateTime<Utc>) -> anyhow::Result<()> {
        let since = since.max(self.end - ID_WINDOW);
        let of_attempts = "insert into known_id select task_id, finished_at::date from execution
             where finished_at >= $1 on conflict do nothing";
        let known = client.execute(of_attempts, &[&since]).await?;
        let share = (self.end - since).as_seconds_f64() / ID_WINDOW.as_seconds_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of `ids`")]
        let others = ((f64::from(self.ids) * share) as u64).saturating_sub(known);
        let types = [Type::UUID, Type::DATE];
        let copying = client.copy_in("copy known_id (id, day) from stdin binary").await?;
        let mut writer = pin!(BinaryCopyInWriter::new(copying, &types));
        let step = (self.end - since).as_seconds_f64() / others.max(1) as f64;
        for number in 0..others {
            #[expect(clippy::cast_possible_truncation, reason = "a week in microseconds")]
            let at = since + TimeDelta::microseconds((step * number as f64 * 1e6) as i64);
            writer.as_mut().write(&[&id_at(at), &at.date_naive()]).await?;
        }
        writer.finish().await?;
        Ok(())
    }
}

impl Definitions {
    async fn read(client: &Client) -> anyhow::Result<Self> {
        let jobs = client.query("select id from job order by id", &[]).await?;
        Ok(Self {
            jobs: jobs.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
            target: client.query_one("select min(id) from target", &[]).await?.try_get(0)?,
        })
    }

    /// Each job has its backups, and as many other attempts as the next one.
    fn job(&self, number: u32) -> i32 {
        let (day, place) = (number / BACKUP_EVERY, number % BACKUP_EVERY);
        self.jobs[(day as usize + place as usize * 40) % self.jobs.len()]
    }
}

fn kind(number: u32) -> &'static str {
    match number % BACKUP_EVERY {
        0 => "backup",
        1..=3 => "verify",
        _ => "probe",
    }
}

/// An id as publishers make them: it begins with its time.
fn id_at(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()))
}

/// Dead tasks that somebody decided about, and a few of the last day that nobody did.
async fn bury(client: &Client) -> anyhow::Result<()> {
    let statement = format!(
        "insert into dead_task (id, kind, priority, job_id, params, requested_by, enqueued_at, attempts, rescues, reason, \
             last_error, died_at, state, settled_at, settled_by)
         select task_id, kind, 'normal', job_id, '{{}}', requested_by, enqueued_at, 5, 0, 'failed', error, finished_at, \
             case when finished_at > now() - interval '1 day' then 'open' else 'dropped' end, \
             case when finished_at > now() - interval '1 day' then null else finished_at end, \
             case when finished_at > now() - interval '1 day' then null else 'loadtest' end
         from (select *, row_number() over (order by finished_at) as number from execution where outcome = 'failed') e
         where number % {} = 0",
        DEAD_EVERY / FAILURE_EVERY
    );
    client.execute(&statement, &[]).await?;
    Ok(())
}
