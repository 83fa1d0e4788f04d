//! Monthly partitions of the history: created ahead, mended when they were missing, dropped when their time is over.
//!
//! What finds no month of its own lands in a default partition and is moved when the month is created. With a default
//! partition PostgreSQL detaches nothing concurrently, so a month is dropped at once, under a lock that is waited for
//! only for a moment: whoever records meanwhile waits no longer than that.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use deadpool_postgres::{Client, GenericClient, Transaction};
use tokio_postgres::Row;

use super::statement::{command, statement};
use super::{Error, evidence_kept, rollup};

/// A table that is partitioned by month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// `execution`, by the end of the attempt.
    Execution,
    /// `evidence`, by the time of the observation.
    Evidence,
}

impl History {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Execution, Self::Evidence];

    /// The table's name; that of its default partition is this with `_default`.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Evidence => "evidence",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Execution => "finished_at",
            Self::Evidence => "observed_at",
        }
    }

    fn partition(self, month: Month) -> String {
        format!("{}_{}", self.table(), month.0.format("%Y_%m"))
    }
}

/// A month in UTC, as its first day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Month(NaiveDate);

impl Month {
    fn of(moment: DateTime<Utc>) -> Option<Self> {
        NaiveDate::from_ymd_opt(moment.year(), moment.month(), 1).map(Self)
    }

    fn after(self, months: u32) -> Option<Self> {
        self.0.checked_add_months(Months::new(months)).map(Self)
    }

    /// The first moment after it.
    fn end(self) -> Option<DateTime<Utc>> {
        self.after(1).map(|next| next.0.and_time(NaiveTime::MIN).and_utc())
    }
}

/// A partition that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its name.
    pub name: String,
    /// Rows that had landed in the default partition, and are where they belong now.
    pub moved: u64,
}

/// Any constant will do, as long as it is ours alone: "part" in ASCII.
const ADVISORY_LOCK: i64 = 0x7061_7274;
/// How long a lock on a whole table is waited for. Whoever comes after the one that waits stands in line behind it.
const PATIENCE: &str = "set local lock_timeout = '500ms'";
/// What is only ever added to is frozen at its first vacuum, and that vacuum summarises the new pages.
const VACUUM: &str = "autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0.05";

/// Creates the partitions of `now`'s month and of the `ahead` months after it, and those of rows that found none, each
/// in a transaction of its own. Several processes may do so at once: they take turns.
///
/// # Errors
/// The database's. [`Error::is_busy`] when a table was in use for longer than anybody may be kept waiting.
pub async fn create_ahead(
    client: &mut Client,
    now: DateTime<Utc>,
    ahead: u32,
) -> Result<Vec<Created>, Error> {
    let mut created = Vec::new();
    for history in History::ALL {
        let months = (0..=ahead).filter_map(|month| Month::of(now)?.after(month));
        let homeless = homeless_months(client, history).await?;
        for month in months.chain(homeless) {
            if months_of(client, history).await?.contains(&month) {
                continue;
            }
            let transaction = client.transaction().await?;
            created.extend(create(&transaction, history, month).await?);
            transaction.commit().await?;
        }
    }
    Ok(created)
}

/// The months that [`drop_oldest`] would drop now.
///
/// # Errors
/// The database's.
pub async fn oldest<C: GenericClient>(
    client: &C,
    now: DateTime<Utc>,
    history: Duration,
) -> Result<Vec<String>, Error> {
    let mut oldest = Vec::new();
    for table in History::ALL {
        let month = months_of(client, table).await?.first().copied();
        let is_over =
            month.and_then(Month::end).zip(cutoff(now, history)).is_some_and(|(end, cutoff)| end <= cutoff);
        oldest.extend(month.filter(|_| is_over).map(|month| table.partition(month)));
    }
    Ok(oldest)
}

fn cutoff(now: DateTime<Utc>, history: Duration) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(chrono::Duration::from_std(history).unwrap_or(chrono::Duration::MAX))
}

/// Drops the oldest month of each table that ended longer than `history` before `now`, at most one of each at a time:
/// should the clock be wrong, somebody can notice. Evidence that facts and verdicts rest on still is kept.
///
/// # Errors
/// As of [`create_ahead`]; nothing is changed then, and trying again later is right.
pub async fn drop_oldest(
    client: &mut Client,
    now: DateTime<Utc>,
    history: Duration,
) -> Result<Vec<String>, Error> {
    let Some(cutoff) = cutoff(now, history) else { return Ok(Vec::new()) };
    let mut dropped = Vec::new();
    for table in History::ALL {
        let months = months_of(client, table).await?;
        let oldest = months.first().and_then(|month| Some((*month, month.end()?)));
        let Some((oldest, end)) = oldest.filter(|(_, end)| *end <= cutoff) else { continue };
        let transaction = client.transaction().await?;
        take_turns(&transaction).await?;
        // Another process may have been faster.
        if months_of(&transaction, table).await?.contains(&oldest) {
            let name = table.partition(oldest);
            if table == History::Evidence {
                evidence_kept::keep(&transaction, &name).await?;
            }
            patience(&transaction).await?;
            if table == History::Execution {
                rollup::note_dropped(&transaction, end).await?;
            }
            command!("partition.drop").run(&transaction, &format!("drop table {name}")).await?;
            dropped.push(name);
        }
        transaction.commit().await?;
    }
    Ok(dropped)
}

/// Has the planner's statistics of the whole tables made anew where that was not done for a day: autovacuum looks at
/// each partition and never at all of them together.
pub async fn analyze(client: &Client) -> Result<u64, Error> {
    let due = statement!(
        "partition.analyze_due",
        "select relid::regclass::text from pg_stat_all_tables
         where relid = any($1::text[]::regclass[])
             and coalesce(last_analyze, '-infinity') < now() - interval '1 day' order by 1"
    );
    let tables = History::ALL.map(History::table);
    let due = due.query(client, &[&tables.as_slice()]).await?;
    // It reads a good part of the tables: at the pace of autovacuum.
    command!("partition.slowly").run(client, "set vacuum_cost_delay = '2ms'").await?;
    let analyzed = async {
        for row in &due {
            command!("partition.analyze")
                .run(client, &format!("analyze {}", row.try_get::<_, &str>(0)?))
                .await?;
        }
        Ok(due.len() as u64)
    };
    let analyzed = analyzed.await;
    command!("partition.as_usual").run(client, "reset vacuum_cost_delay").await?;
    analyzed
}

/// Rows that found no month of their own: more than zero means that creation ahead has failed.
pub async fn rows_in_default<C: GenericClient>(client: &C) -> Result<i64, Error> {
    let statement = statement!(
        "partition.rows_in_default",
        "select (select count(*) from execution_default) + (select count(*) from evidence_default)"
    );
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

/// Creates one partition with the rows that belong to it, at once: no reader finds a row nowhere, or twice.
// Names and dates are made here: nothing from outside enters the statements.
async fn create(
    transaction: &Transaction<'_>,
    history: History,
    month: Month,
) -> Result<Option<Created>, Error> {
    take_turns(transaction).await?;
    if months_of(transaction, history).await?.contains(&month) {
        return Ok(None);
    }
    let Some(next) = month.after(1) else { return Ok(None) };
    let (table, column, name) = (history.table(), history.column(), history.partition(month));
    let (from, to) = (format!("'{} 00:00:00+00'", month.0), format!("'{} 00:00:00+00'", next.0));
    let creating = format!("create table {name} (like {table} including all) with ({VACUUM})");
    command!("partition.create").run(transaction, &creating).await?;
    let moving = format!(
        "with gone as (delete from {table}_default where {column} >= {from} and {column} < {to} returning *)
         insert into {name} select * from gone"
    );
    let mut moved = command!("partition.move").execute(transaction, &moving).await?;
    patience(transaction).await?;
    if moved > 0 {
        // More may come at this moment, and whoever writes it is to wait before he chooses a partition, not after.
        let locking = format!("lock table only {table}, {table}_default in access exclusive mode");
        command!("partition.lock").run(transaction, &locking).await?;
        moved += command!("partition.move_late").execute(transaction, &moving).await?;
    }
    // Unlike `create table .. partition of`, this keeps nobody from writing into the table.
    let attaching = format!("alter table {table} attach partition {name} for values from ({from}) to ({to})");
    command!("partition.attach").run(transaction, &attaching).await?;
    Ok(Some(Created { name, moved }))
}

async fn patience(transaction: &Transaction<'_>) -> Result<(), Error> {
    Ok(command!("partition.patience").run(transaction, PATIENCE).await?)
}

async fn take_turns(transaction: &Transaction<'_>) -> Result<(), Error> {
    statement!("partition.take_turns", "select pg_advisory_xact_lock($1)")
        .query_one(transaction, &[&ADVISORY_LOCK])
        .await?;
    Ok(())
}

/// The months that have partitions.
async fn months_of<C: GenericClient>(client: &C, history: History) -> Result<BTreeSet<Month>, Error> {
    let statement = statement!(
        "partition.months",
        "select to_date(right(c.relname, 7), 'YYYY_MM') from pg_inherits i
             join pg_class c on c.oid = i.inhrelid
         where i.inhparent = $1::text::regclass and c.relname ~ ('^' || $1 || '_[0-9]{4}_[0-9]{2}$')"
    );
    statement.query(client, &[&history.table()]).await?.iter().map(month).collect()
}

/// The months of rows in the default partition.
async fn homeless_months<C: GenericClient>(client: &C, history: History) -> Result<Vec<Month>, Error> {
    let statement = match history {
        History::Execution => statement!("partition.homeless_executions", homeless(History::Execution)),
        History::Evidence => statement!("partition.homeless_evidence", homeless(History::Evidence)),
    };
    statement.query(client, &[]).await?.iter().map(month).collect()
}

fn homeless(history: History) -> String {
    let (table, column) = (history.table(), history.column());
    format!(
        "select distinct (date_trunc('month', {column}, 'UTC') at time zone 'UTC')::date from {table}_default
         where isfinite({column}) order by 1"
    )
}

fn month(row: &Row) -> Result<Month, Error> {
    Ok(Month(row.try_get(0)?))
}

#[cfg(test)]
mod tests {
    use super::{History, Month};

    #[test]
    fn months_follow_each_other_over_the_end_of_a_year() {
        let month = Month::of("2026-12-31T23:59:59Z".parse().unwrap()).unwrap();
        assert_eq!(History::Execution.partition(month), "execution_2026_12");
        assert_eq!(History::Evidence.partition(month.after(1).unwrap()), "evidence_2027_01");
        assert_eq!(month.end().unwrap().to_rfc3339(), "2027-01-01T00:00:00+00:00");
    }
}
