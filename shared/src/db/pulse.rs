//! Signs of life of the pipeline: of the producer, of the workers, and of whoever looks for what is wrong.

use deadpool_postgres::GenericClient;

use super::Error;
use super::statement::statement;

/// What the database knows about whether work goes on, in seconds where it is a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pulse {
    /// A producer was heard of within the time that its lead lasts.
    pub producer: bool,
    /// For how long the oldest task could have been published that the broker has not taken; 0 without any.
    pub unpublished: f64,
    /// For how long the oldest task that the broker has taken waits, when no worker runs anything; 0 otherwise.
    pub idle: f64,
    /// How long ago the rules of alerts were looked at; `None` when they never were.
    pub evaluated: Option<f64>,
}

/// Looks at all of it at one moment.
pub async fn look<C: GenericClient>(client: &C) -> Result<Pulse, Error> {
    let statement = statement!(
        "pulse.look",
        "select exists (select from leader where role = 'scheduler' and expires_at > now()) as producer,
             coalesce(extract(epoch from now() - min(run_at) filter (where confirmed = 0)), 0)::float8 as unpublished,
             case when exists (select from lease where lease_until > now()) then 0
                 else coalesce(extract(epoch from now() - min(run_at) filter (where confirmed > 0)), 0) end::float8 as idle,
             (select extract(epoch from now() - evaluated_at)::float8 from alert_evaluation) as evaluated
         from task where run_at <= now() and waiting_for is null"
    );
    let row = statement.query_one(client, &[]).await?;
    Ok(Pulse {
        producer: row.try_get("producer")?,
        unpublished: row.try_get("unpublished")?,
        idle: row.try_get("idle")?,
        evaluated: row.try_get("evaluated")?,
    })
}
