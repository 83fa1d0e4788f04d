//! The rows of each task, as the model has them and as the database has them.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use harness::model::{Execution, Lease, Millis, NEVER, Rows, State, TASKS, TaskNo, Waiting};
use shared::db::dead_task::Reason;
use shared::task::{Outcome, TaskId, WorkerId};
use tokio_postgres::Row;

use super::Mirror;

/// The rows of one task, with times as the model counts them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Table {
    known: bool,
    waiting: Option<Waiting>,
    lease: Option<Lease>,
    dead: Option<Reason>,
    executions: Vec<(i64, i32, Outcome)>,
}

/// The model's tables, without what no column holds.
pub(crate) fn tables_of(state: &State) -> Vec<Table> {
    TaskNo::all().map(|task| table_of(&state.database[task])).collect()
}

fn table_of(rows: &Rows) -> Table {
    let lease = rows.lease.clone().map(|lease| Lease { granted_at_skew: 0, ..lease });
    let mut executions: Vec<_> = rows
        .executions
        .iter()
        .map(|Execution { epoch, attempt, outcome }| (*epoch, *attempt, *outcome))
        .collect();
    executions.sort_unstable();
    Table { known: rows.known, waiting: rows.waiting.clone(), lease, dead: rows.dead, executions }
}

impl Mirror {
    /// All rows, in this transaction.
    pub(super) async fn read(
        &self,
        transaction: &Transaction<'_>,
        now: DateTime<Utc>,
        clock: Millis,
    ) -> Vec<Table> {
        let time = |at: Option<DateTime<Utc>>| {
            at.map_or(NEVER, |at| {
                let from_now = at - now;
                let millis = from_now.num_milliseconds();
                assert_eq!(from_now, TimeDelta::milliseconds(millis), "the model counts milliseconds");
                clock + millis
            })
        };
        let mut tables: [Table; TASKS] = Default::default();
        for row in rows(transaction, "select id from known_id").await {
            tables[self.place(&row)].known = true;
        }
        let waiting = "select id, nullif(run_at, 'infinity'), nullif(publish_at, 'infinity'),
             waiting_for is not null, publication, confirmed, attempt, rescues, epoch from task";
        for row in rows(transaction, waiting).await {
            tables[self.place(&row)].waiting = Some(Waiting {
                run_at: time(row.get(1)),
                publish_at: time(row.get(2)),
                for_target: row.get(3),
                publication: row.get(4),
                confirmed: row.get(5),
                attempt: row.get(6),
                rescues: row.get(7),
                epoch: row.get(8),
            });
        }
        let lease =
            "select task_id, worker_id, attempt, rescues, epoch, lease_until, cancelled_by is not null
             from lease";
        for row in rows(transaction, lease).await {
            let worker = WorkerId(row.get(1));
            tables[self.place(&row)].lease = Some(Lease {
                owner: *self.workers.iter().find(|(_, id)| **id == worker).unwrap().0,
                attempt: row.get(2),
                rescues: row.get(3),
                epoch: row.get(4),
                lease_until: time(row.get(5)),
                cancelled: row.get(6),
                granted_at_skew: 0,
            });
        }
        for row in rows(transaction, "select id, reason from dead_task").await {
            tables[self.place(&row)].dead = Some(row.get::<_, &str>(1).parse().unwrap());
        }
        let executions = "select task_id, epoch, attempt, outcome from execution";
        for row in rows(transaction, executions).await {
            let outcome = row.get::<_, &str>(3).parse().unwrap();
            tables[self.place(&row)].executions.push((row.get(1), row.get(2), outcome));
        }
        for table in &mut tables {
            table.executions.sort_unstable();
        }
        tables.into()
    }

    fn place(&self, row: &Row) -> usize {
        self.number(TaskId(row.get(0))).0
    }
}

async fn rows(transaction: &Transaction<'_>, statement: &str) -> Vec<Row> {
    let statement = transaction.prepare_cached(statement).await.unwrap();
    transaction.query(&statement, &[]).await.unwrap()
}
