//! The database's server, as it tells of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_postgres::GenericClient;
use metrics::{counter, gauge};
use shared::db::care::server;
use shared::db::care::table::{self, Size};
use shared::db::{self, Error, session};
use shared::metric;
use shared::metric::Metric;

metric!(BYTES: Metric::gauge(
    "holdfast_postgres_bytes", &[], "Size of the database"
));
metric!(SESSIONS: Metric::gauge(
    "holdfast_postgres_sessions", &["state"],
    "Sessions of the database, by state: active, idle, idle in transaction, .."
));
metric!(SESSIONS_LIMIT: Metric::gauge(
    "holdfast_postgres_sessions_limit", &[], "Sessions that the server takes at most"
));
metric!(OLDEST: Metric::gauge(
    "holdfast_postgres_oldest_transaction_seconds", &[],
    "For how long the oldest transaction of the database has been open; 0 without any"
));
metric!(BLOCKED: Metric::gauge(
    "holdfast_postgres_blocked_sessions", &[], "Sessions that wait for a lock"
));
metric!(COMMITS: Metric::counter(
    "holdfast_postgres_commits_total", &[],
    "Transactions that were committed, as the server has counted them"
));
metric!(ROLLBACKS: Metric::counter(
    "holdfast_postgres_rollbacks_total", &[],
    "Transactions that were rolled back, as the server has counted them"
));
metric!(DEADLOCKS: Metric::counter(
    "holdfast_postgres_deadlocks_total", &[], "Deadlocks, as the server has counted them"
));
metric!(BLOCKS_READ: Metric::counter(
    "holdfast_postgres_blocks_read_total", &[],
    "Blocks of 8 KiB that the server had to ask the operating system for"
));
metric!(BLOCKS_HIT: Metric::counter(
    "holdfast_postgres_blocks_hit_total", &[], "Blocks that it found in its own memory"
));
metric!(SPILLED: Metric::counter(
    "holdfast_postgres_spilled_bytes_total", &[],
    "Bytes that did not fit into the memory of a sort or a join"
));
metric!(TABLE_BYTES: Metric::gauge(
    "holdfast_postgres_table_bytes", &["table"], "Size of a table with its indexes and months, as VACUUM and ANALYZE have found it last"
));
metric!(DEAD_ROWS: Metric::gauge(
    "holdfast_postgres_dead_rows", &["table"],
    "Rows of a table that nobody sees any more and VACUUM has not removed, as the server estimates \
     them"
));

/// What the server had counted when it was looked at last. It begins anew after a crash, a failover and a reset of its statistics.
#[derive(Debug, Default)]
pub(super) struct Counted(BTreeMap<&'static str, u64>);

impl Counted {
    /// By how much a count has grown; all of it, if it has begun anew.
    fn grown(&mut self, name: &'static str, count: u64) -> u64 {
        let before = self.0.insert(name, count).unwrap_or(0);
        count.checked_sub(before).unwrap_or(count)
    }
}

/// Sets what changes from moment to moment.
pub(super) async fn set<C: GenericClient>(client: &C, seen: &mut Counted) -> Result<(), Error> {
    let (mut by_state, mut blocked) = (BTreeMap::<String, i64>::new(), 0);
    for sessions in server::sessions(client).await? {
        *by_state.entry(sessions.state).or_default() += sessions.sessions;
        blocked += sessions.waiting_for_locks;
    }
    for (state, sessions) in by_state {
        gauge!(SESSIONS, "state" => state).set(sessions as f64);
    }
    gauge!(BLOCKED).set(blocked as f64);
    let oldest = session::oldest_transaction(client, Duration::ZERO).await?;
    let now = db::now(client).await?;
    gauge!(OLDEST).set(oldest.map_or(0.0, |oldest| (now - oldest.began_at).as_seconds_f64().max(0.0)));
    let activity = server::activity(client).await?;
    for (name, count) in [
        (COMMITS, activity.commits),
        (ROLLBACKS, activity.rollbacks),
        (DEADLOCKS, activity.deadlocks),
        (BLOCKS_READ, activity.blocks_read),
        (BLOCKS_HIT, activity.blocks_hit),
        (SPILLED, activity.spilled_bytes),
    ] {
        counter!(name).increment(seen.grown(name, count));
    }
    gauge!(SESSIONS_LIMIT).set(f64::from(activity.most_sessions));
    Ok(())
}

/// How large everything is: files are looked at for it.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    bytes: i64,
    tables: Vec<Size>,
}

impl Sizes {
    pub(super) async fn read<C: GenericClient>(client: &C) -> Result<Self, Error> {
        let bytes = server::usage(client).await?.bytes;
        Ok(Self { bytes, tables: table::sizes(client).await? })
    }

    pub(super) fn set(&self) {
        gauge!(BYTES).set(self.bytes as f64);
        for Size { table, bytes, dead_rows } in &self.tables {
            gauge!(TABLE_BYTES, "table" => table.as_str()).set(*bytes as f64);
            gauge!(DEAD_ROWS, "table" => table.as_str()).set(*dead_rows as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_counts_anew_grows_by_all_of_it() {
        let mut seen = Counted::default();
        assert_eq!([7, 7, 10, 2, 3].map(|count| seen.grown(COMMITS, count)), [7, 0, 3, 2, 1]);
    }
}
