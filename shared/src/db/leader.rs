//! Table `leader`: which of several processes does what only one is to do.
//!
//! Leadership saves work and contention. What a leader writes must be safe without it: a process that was stopped may go on
//! as leader after another one has taken over.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::Error;
use super::statement::statement;
use crate::metric;
use crate::metric::Metric;

metric!(pub LEADER: Metric::gauge(
    "holdfast_leader", &["duty"],
    "Whether this process does what only one of its kind does at a time: 1 or 0; schedules by a producer, reports (rollups, alerts, who \
     is told) by a reporter"
));

/// Takes a role, or extends it, at a moment; `None` if somebody else has it. The number is that of the term: it grows each time the
/// role changes hands.
pub async fn hold<C: GenericClient>(
    client: &C,
    role: &str,
    holder: Uuid,
    now: DateTime<Utc>,
    ttl: Duration,
) -> Result<Option<i64>, Error> {
    let statement = statement!(
        "leader.hold",
        "insert into leader as l (role, holder, term, expires_at)
         values ($1, $2, 1, $3::timestamptz + make_interval(secs => $4))
         on conflict (role) do update set holder = $2,
             expires_at = case when l.holder = $2 then greatest(l.expires_at, excluded.expires_at) else excluded.expires_at end,
             term = l.term + case when l.holder = $2 then 0 else 1 end
         where l.holder = $2 or l.expires_at <= $3
         returning term"
    );
    let row = statement.query_opt(client, &[&role, &holder, &now, &ttl.as_secs_f64()]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Whether somebody's term in a role lasts. If so, nobody else has it before the transaction ends: what a leader writes together with
/// this look, it writes as leader.
pub async fn holds(
    transaction: &Transaction<'_>,
    role: &str,
    holder: Uuid,
    term: i64,
) -> Result<bool, Error> {
    let statement = statement!(
        "leader.holds",
        "select from leader
         where role = $1 and holder = $2 and term = $3 and expires_at > clock_timestamp() for no key update"
    );
    Ok(statement.query_opt(transaction, &[&role, &holder, &term]).await?.is_some())
}

/// Gives a role up, so that another process need not wait until it expires.
pub async fn resign<C: GenericClient>(client: &C, role: &str, holder: Uuid) -> Result<(), Error> {
    let statement = statement!(
        "leader.resign",
        "update leader set expires_at = '-infinity' where role = $1 and holder = $2"
    );
    statement.execute(client, &[&role, &holder]).await?;
    Ok(())
}
