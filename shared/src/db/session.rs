//! The sessions on the server: those of workers that hang, and those that hold up others.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};

use super::Error;
use super::statement::{command, statement};

/// Ends the sessions in which a statement has waited for its worker for longer than `waited`, and returns how many they
/// were: rows on their way in, or results that nobody takes. The process is stopped or its machine gone, and what the
/// session has locked would stay so; for the server it is not idle, so that no time limit of its own ends it.
///
/// It reaches the sessions of the caller's own role, and those of other roles if its role has `pg_signal_backend` and `pg_read_all_stats`; never a
/// superuser's, which only a superuser may end.
pub async fn end_stuck<C: GenericClient>(client: &C, waited: Duration) -> Result<i64, Error> {
    let statement = statement!(
        "session.end_stuck",
        "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name like 'holdfast worker%'
             and (usename = current_user or pg_has_role('pg_signal_backend', 'usage')
                 and not exists (select from pg_roles where rolname = usename and rolsuper))
             and state = 'active' and wait_event_type = 'Client'
             and state_change < clock_timestamp() - make_interval(secs => $1)"
    );
    Ok(statement.query_one(client, &[&waited.as_secs_f64()]).await?.try_get(0)?)
}

/// Ends this transaction when its client does not say anything for so long, to the millisecond.
pub async fn set_longest_idle(transaction: &Transaction<'_>, longest: Duration) -> Result<(), Error> {
    let setting = format!("set local idle_in_transaction_session_timeout = {}", longest.as_millis());
    Ok(command!("session.set_longest_idle").run(transaction, &setting).await?)
}

/// Ends each statement of this transaction that takes so long, to the millisecond.
pub async fn set_longest_statement(transaction: &Transaction<'_>, longest: Duration) -> Result<(), Error> {
    let setting = format!("set local statement_timeout = {}", longest.as_millis());
    Ok(command!("session.set_longest_statement").run(transaction, &setting).await?)
}

/// A transaction that is open for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldTransaction {
    /// The server's process; 0 for one that is prepared and belongs to nobody.
    pub pid: i32,
    /// What its program calls itself; the name of one that is prepared.
    pub program: String,
    /// Whose it is.
    pub role: String,
    /// What the session does.
    pub state: String,
    /// When it began.
    pub began_at: DateTime<Utc>,
}

/// The oldest transaction of this database that is open for longer than `after`. Of other roles' sessions it sees what the caller's
/// role may see.
pub async fn oldest_transaction<C: GenericClient>(
    client: &C,
    after: Duration,
) -> Result<Option<OldTransaction>, Error> {
    let statement = statement!(
        "session.oldest_transaction",
        "select * from (
             select pid, application_name as program, usename::text as role, coalesce(state, 'unknown') as state, xact_start as began_at
             from pg_stat_activity
             where datname = current_database() and backend_type = 'client backend' and usename is not null
                 and pid <> pg_backend_pid()
             union all
             select 0, gid, owner::text, 'prepared', prepared from pg_prepared_xacts where database = current_database()) t
         where began_at < clock_timestamp() - make_interval(secs => $1) order by began_at limit 1"
    );
    let row = statement.query_opt(client, &[&after.as_secs_f64()]).await?;
    row.map(|row| {
        Ok(OldTransaction {
            pid: row.try_get("pid")?,
            program: row.try_get("program")?,
            role: row.try_get("role")?,
            state: row.try_get("state")?,
            began_at: row.try_get("began_at")?,
        })
    })
    .transpose()
}

/// Sessions that wait for the locks of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// How many.
    pub sessions: i64,
    /// Since when the first of them waits.
    pub since: DateTime<Utc>,
    /// The server's processes that are in their way.
    pub blockers: Vec<i32>,
}

/// The sessions of this database that have waited for a lock for longer than `after`; `None` without any.
pub async fn blocked<C: GenericClient>(client: &C, after: Duration) -> Result<Option<Blocked>, Error> {
    let statement = statement!(
        "session.blocked",
        "with waiting as (
             select l.pid, min(l.waitstart) as since from pg_locks l join pg_stat_activity a on a.pid = l.pid
             where not l.granted and a.datname = current_database()
                 and l.waitstart < clock_timestamp() - make_interval(secs => $1)
             group by l.pid)
         select (select count(*) from waiting) as sessions, (select min(since) from waiting) as since,
             array(select distinct unnest(pg_blocking_pids(pid)) from waiting order by 1 limit 10) as blockers
         where exists (select from waiting)"
    );
    let row = statement.query_opt(client, &[&after.as_secs_f64()]).await?;
    row.map(|row| {
        Ok(Blocked {
            sessions: row.try_get("sessions")?,
            since: row.try_get("since")?,
            blockers: row.try_get("blockers")?,
        })
    })
    .transpose()
}
