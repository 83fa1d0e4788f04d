//! The sessions that workers have on the server.

use std::time::Duration;

use deadpool_postgres::GenericClient;

use super::{Error, prepared};

/// Ends the sessions in which a statement has waited for its worker for longer than `waited`, and returns how many they
/// were: rows on their way in, or results that nobody takes. The process is stopped or its machine gone, and what the
/// session has locked would stay so; for the server it is not idle, so that no time limit of its own ends it.
///
/// It reaches the sessions of the caller's own role.
pub async fn end_stuck<C: GenericClient>(client: &C, waited: Duration) -> Result<i64, Error> {
    let statement = "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and usename = current_user and application_name like 'holdfast worker%'
             and state = 'active' and wait_event_type = 'Client'
             and state_change < clock_timestamp() - make_interval(secs => $1)";
    let statement = prepared(client, statement).await?;
    Ok(client.query_one(&statement, &[&waited.as_secs_f64()]).await?.try_get(0)?)
}
