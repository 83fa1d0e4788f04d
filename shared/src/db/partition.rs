//! Monthly partitions of the history, created ahead.

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::{Error, prepared};

/// The tables that are partitioned by month.
pub const PARTITIONED: [&str; 2] = ["execution", "evidence"];

/// Any constant will do, as long as it is ours alone: "part" in ASCII.
const ADVISORY_LOCK: i64 = 0x7061_7274;

/// Creates the partition of `now`'s month and of the `ahead` months after it; returns the names of the new ones.
///
/// Several processes may do so at once: they take turns until their transactions end.
pub async fn create_ahead(
    client: &Transaction<'_>,
    now: DateTime<Utc>,
    ahead: u32,
) -> Result<Vec<String>, Error> {
    client.execute("select pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK]).await?;
    let mut created = Vec::new();
    for table in PARTITIONED {
        for month in 0..=ahead {
            let Some((from, to)) = bounds(now, month) else { continue };
            let name = format!("{table}_{}", from.format("%Y_%m"));
            if exists(client, &name).await? {
                continue;
            }
            // Names and dates are made here: nothing from outside enters the statement.
            let statement = format!(
                "create table if not exists {name} partition of {table} \
                 for values from ('{from} 00:00:00+00') to ('{to} 00:00:00+00')"
            );
            client.batch_execute(&statement).await?;
            created.push(name);
        }
    }
    Ok(created)
}

/// Rows that found no month of their own: more than zero means that creation ahead has failed.
pub async fn rows_in_default<C: GenericClient>(client: &C) -> Result<i64, Error> {
    let statement =
        "select (select count(*) from execution_default) + (select count(*) from evidence_default)";
    let statement = prepared(client, statement).await?;
    Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
}

async fn exists<C: GenericClient>(client: &C, table: &str) -> Result<bool, Error> {
    let statement = prepared(client, "select to_regclass($1) is not null").await?;
    Ok(client.query_one(&statement, &[&table]).await?.try_get(0)?)
}

fn bounds(now: DateTime<Utc>, months_ahead: u32) -> Option<(NaiveDate, NaiveDate)> {
    let first = NaiveDate::from_ymd_opt(now.year(), now.month(), 1)?;
    let from = first.checked_add_months(Months::new(months_ahead))?;
    Some((from, from.checked_add_months(Months::new(1))?))
}

#[cfg(test)]
mod tests {
    use super::bounds;

    #[test]
    fn months_follow_each_other_over_the_end_of_a_year() {
        let now = "2026-12-31T23:59:59Z".parse().unwrap();
        let (from, to) = bounds(now, 1).unwrap();
        assert_eq!((from.to_string(), to.to_string()), ("2027-01-01".into(), "2027-02-01".into()));
    }
}
