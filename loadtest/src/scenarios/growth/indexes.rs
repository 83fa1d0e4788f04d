//! What each index is worth to the statements that it is for, and what it costs those who write.

use deadpool_postgres::{GenericClient, Transaction};
use serde::Serialize;
use shared::db::Database;
use std::time::Instant;

use super::queries::{Query, Sample};
use crate::measure::{Spread, number};
use crate::report::Table;

/// Measured calls with an index, and without it.
pub(super) const CALLS: usize = 7;
/// Inserts with an index, and without it.
pub(super) const INSERTS: usize = 5;
/// Rows of an insert.
pub(super) const ROWS: i32 = 100_000;

/// The indexes that are neither keys nor constraints, with what they are for.
const INDEXES: [(&str, &[Query]); 5] = [
    ("execution_finished_at_idx", &[Query::TallyOfADay, Query::TroubledOfADay]),
    ("execution_task_id_idx", &[Query::OfTask, Query::TaskState]),
    ("execution_xact_idx", &[Query::Slices]),
    (
        "restore_point_job_id_target_id_data_time_idx",
        &[Query::NewestPoint, Query::ReachablePoints, Query::NewestOfEach, Query::WithPointsOn],
    ),
    ("dead_task_died_at_id_idx", &[Query::DeadList]),
];

/// Writes rows into the present month.
const WRITES: [(&str, &str); 2] = [
    (
        "execution",
        "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, enqueued_at, \
             started_at, seconds)
         select gen_random_uuid(), 1, 1, 'probe', n % 1000, 1, 'success', 'loadtest', now(), now(), 1
         from generate_series(1, $1) n",
    ),
    (
        "evidence",
        "insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
         select gen_random_uuid(), n % 1000, 1, gen_random_uuid(), 'listing', now(), '{\"kind\":\"listing\"}', n, '\\x07'
         from generate_series(1, $1) n",
    ),
];

/// Indexes of the history: whether they are there, the table, and what they are on.
const OF_HISTORY: [(bool, &str, &str); 7] = [
    (true, "execution", "(finished_at)"),
    (true, "execution", "(task_id)"),
    (true, "execution", "(xact)"),
    (false, "execution", "using brin ((xact::text::bigint))"),
    (true, "execution", "(job_id, finished_at)"),
    (true, "evidence", "(id)"),
    (true, "evidence", "(job_id, id)"),
];

/// One statement with an index and without it, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Worth {
    index: &'static str,
    statement: &'static str,
    with_ms: f64,
    without_ms: f64,
}

/// Asks with and without each index, in transactions that are rolled back.
pub(super) async fn worth(database_url: &str) -> anyhow::Result<Vec<Worth>> {
    let database = Database::new(&database_url.into(), "holdfast loadtest")?;
    let mut client = database.client().await?;
    let sample = Sample::of(&client).await?;
    let mut found = Vec::new();
    for (index, queries) in INDEXES {
        for query in queries {
            let with = client.transaction().await?;
            let with_ms = ask(&with, *query, &sample).await?;
            with.rollback().await?;
            let without = client.transaction().await?;
            without.batch_execute(&format!("drop index {index}")).await?;
            let without_ms = ask(&without, *query, &sample).await?;
            without.rollback().await?;
            found.push(Worth { index, statement: query.name(), with_ms, without_ms });
        }
    }
    Ok(found)
}

async fn ask(transaction: &Transaction<'_>, query: Query, sample: &Sample) -> anyhow::Result<f64> {
    query.ask(transaction, sample).await?;
    let mut times = Vec::new();
    for _ in 0..CALLS {
        times.push(query.time(transaction, sample).await?);
    }
    Ok(Spread::of(times).median)
}

/// What an index adds to an insert.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Cost {
    table: &'static str,
    index: &'static str,
    /// Whether Holdfast has it.
    present: bool,
    rows: i32,
    with_ms: f64,
    without_ms: f64,
}

/// Inserts with no index but one, and with none, in turn, in transactions that are rolled back.
pub(super) async fn costs(database_url: &str) -> anyhow::Result<Vec<Cost>> {
    let database = Database::new(&database_url.into(), "holdfast loadtest")?;
    let mut client = database.client().await?;
    let mut found = Vec::new();
    for (present, table, index) in OF_HISTORY {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        // The first of each warms up.
        for _ in 0..=INSERTS {
            with.push(insert(&client.transaction().await?, table, Some(index)).await?);
            without.push(insert(&client.transaction().await?, table, None).await?);
        }
        let median = |times: Vec<f64>| Spread::of(times.into_iter().skip(1)).median;
        let (with_ms, without_ms) = (median(with), median(without));
        found.push(Cost { table, index, present, rows: ROWS, with_ms, without_ms });
    }
    Ok(found)
}

/// Inserts into a table like the history's, because a rolled back insert would leave its rows there.
async fn insert(transaction: &Transaction<'_>, table: &str, index: Option<&str>) -> anyhow::Result<f64> {
    transaction
        .batch_execute(&format!("create table loadtest_{table} (like {table} including defaults)"))
        .await?;
    if let Some(index) = index {
        let (using, columns) = index.split_at(index.find('(').unwrap_or(0));
        transaction.batch_execute(&format!("create index on loadtest_{table} {using} {columns}")).await?;
    }
    let write = WRITES.iter().find(|(name, _)| *name == table).map_or("", |(_, write)| write);
    let write = write.replacen(table, &format!("loadtest_{table}"), 1);
    let started = Instant::now();
    transaction.execute(&write, &[&ROWS]).await?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

pub(super) fn worth_table(worth: &[Worth]) -> Table {
    let mut table = Table::new(["index", "statement", "ms with", "ms without"]);
    for Worth { index, statement, with_ms, without_ms } in worth {
        table.row([(*index).to_owned(), (*statement).to_owned(), number(*with_ms), number(*without_ms)]);
    }
    table
}

pub(super) fn costs_table(costs: &[Cost]) -> Table {
    let mut table = Table::new(["index alone", "there", "ms an insert with", "ms without any", "µs a row"]);
    for Cost { table: of, index, present, rows, with_ms, without_ms } in costs {
        let each = (with_ms - without_ms) * 1e3 / f64::from(*rows);
        let there = if *present { "yes" } else { "no" };
        table.row([
            format!("{of} {index}"),
            there.to_owned(),
            number(*with_ms),
            number(*without_ms),
            number(each),
        ]);
    }
    table
}
