//! The server: its sessions, its cache, and what it counts.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use tokio_postgres::error::SqlState;

use super::super::statement::statement;
use super::super::{Error, unsigned};

/// How this database is used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// The server's version.
    pub version: String,
    /// Bytes of the database.
    pub bytes: i64,
    /// Since when the server counts: since somebody had it begin anew, or since it has started.
    pub counted_since: DateTime<Utc>,
    /// Pages that were found in the server's own cache, of all that were asked for, from 0 to 1; `None` before the first.
    pub cache_hits: Option<f64>,
    /// Bytes that did not fit into the memory of a sort or a join.
    pub spilled_bytes: i64,
    /// Deadlocks.
    pub deadlocks: i64,
    /// Sessions that the server takes.
    pub most_sessions: i32,
}

/// How this database is used.
pub async fn usage<C: GenericClient>(client: &C) -> Result<Usage, Error> {
    let statement = statement!(
        "care.usage",
        "select current_setting('server_version') as version, pg_database_size(datname) as bytes,
             coalesce(stats_reset, pg_postmaster_start_time()) as counted_since,
             blks_hit::float8 / nullif(blks_hit + blks_read, 0) as cache_hits, temp_bytes as spilled_bytes, deadlocks,
             current_setting('max_connections')::integer as most_sessions
         from pg_stat_database where datname = current_database()"
    );
    let row = statement.query_one(client, &[]).await?;
    Ok(Usage {
        version: row.try_get("version")?,
        bytes: row.try_get("bytes")?,
        counted_since: row.try_get("counted_since")?,
        cache_hits: row.try_get("cache_hits")?,
        spilled_bytes: row.try_get("spilled_bytes")?,
        deadlocks: row.try_get("deadlocks")?,
        most_sessions: row.try_get("most_sessions")?,
    })
}

/// What the server has counted of this database since [`Usage::counted_since`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Transactions that were committed.
    pub commits: u64,
    /// Transactions that were rolled back.
    pub rollbacks: u64,
    /// Deadlocks.
    pub deadlocks: u64,
    /// Blocks that were asked of the operating system.
    pub blocks_read: u64,
    /// Blocks that were found in the server's own cache.
    pub blocks_hit: u64,
    /// Bytes that did not fit into the memory of a sort or a join.
    pub spilled_bytes: u64,
    /// Sessions that the server takes.
    pub most_sessions: i32,
}

/// What the server has counted of this database.
pub async fn activity<C: GenericClient>(client: &C) -> Result<Activity, Error> {
    let statement = statement!(
        "care.activity",
        "select xact_commit, xact_rollback, deadlocks, blks_read, blks_hit, temp_bytes,
             current_setting('max_connections')::integer as most_sessions
         from pg_stat_database where datname = current_database()"
    );
    let row = statement.query_one(client, &[]).await?;
    let count = |column| row.try_get::<_, i64>(column).map(unsigned);
    Ok(Activity {
        commits: count("xact_commit")?,
        rollbacks: count("xact_rollback")?,
        deadlocks: count("deadlocks")?,
        blocks_read: count("blks_read")?,
        blocks_hit: count("blks_hit")?,
        spilled_bytes: count("temp_bytes")?,
        most_sessions: row.try_get("most_sessions")?,
    })
}

/// The sessions of a program in one state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sessions {
    /// What the program calls itself.
    pub program: String,
    /// `active`, `idle`, `idle in transaction`.
    pub state: String,
    /// How many.
    pub sessions: i64,
    /// How many of them wait for a lock.
    pub waiting_for_locks: i64,
    /// How long the longest has been in this state, in seconds.
    pub longest_seconds: f64,
}

/// The sessions of this database, by program and state.
pub async fn sessions<C: GenericClient>(client: &C) -> Result<Vec<Sessions>, Error> {
    let statement = statement!(
        "care.sessions",
        "select application_name as program, coalesce(state, 'unknown') as state, count(*) as sessions,
             count(*) filter (where wait_event_type = 'Lock') as waiting_for_locks,
             coalesce(max(extract(epoch from clock_timestamp() - state_change)), 0)::float8 as longest_seconds
         from pg_stat_activity
         where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
         group by 1, 2 order by 1, 2"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Sessions {
                program: row.try_get("program")?,
                state: row.try_get("state")?,
                sessions: row.try_get("sessions")?,
                waiting_for_locks: row.try_get("waiting_for_locks")?,
                longest_seconds: row.try_get("longest_seconds")?,
            })
        })
        .collect()
}

/// A statement that the server has counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counted {
    /// Its name, where it is one of ours; else the beginning of its text, without values.
    pub statement: String,
    /// How often it ran.
    pub calls: i64,
    /// All times together, in seconds.
    pub total_seconds: f64,
    /// In milliseconds.
    pub mean_milliseconds: f64,
    /// The longest time, in milliseconds.
    pub longest_milliseconds: f64,
    /// Rows for each call.
    pub rows_per_call: f64,
}

/// The statements that took the server the most time, at most `most`; `None` without the extension `pg_stat_statements`.
pub async fn statements<C: GenericClient>(client: &C, most: i64) -> Result<Option<Vec<Counted>>, Error> {
    let statement = statement!(
        "care.counts_statements",
        "select exists (select from pg_extension where extname = 'pg_stat_statements')"
    );
    if !statement.query_one(client, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    // Not a named statement: the view is there only with the extension.
    let text = "select coalesce(substring(query from '^/\\* ([a-z_]+\\.[a-z_]+) \\*/'),
                 left(regexp_replace(query, '\\s+', ' ', 'g'), 60)) as statement, calls, total_exec_time / 1000 as total,
             mean_exec_time as mean, max_exec_time as longest, rows::float8 / greatest(calls, 1) as rows
         from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
         order by total_exec_time desc limit $1";
    let rows = match client.query(text, &[&most]).await {
        // The extension is there, and its library was not loaded when the server started.
        Err(error) if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => return Ok(None),
        answered => answered?,
    };
    let counted = rows.iter().map(|row| {
        Ok(Counted {
            statement: row.try_get("statement")?,
            calls: row.try_get("calls")?,
            total_seconds: row.try_get("total")?,
            mean_milliseconds: row.try_get("mean")?,
            longest_milliseconds: row.try_get("longest")?,
            rows_per_call: row.try_get("rows")?,
        })
    });
    counted.collect::<Result<_, Error>>().map(Some)
}
