//! Table `delivery`: the attempts to deliver notifications, begun and ended together with their rows.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use uuid::Uuid;

use super::statement::statement;
use super::{Error, parsed};
use crate::name::text_enum;

text_enum! {
    /// What came of an attempt.
    Outcome {
        /// The receiver took it.
        Delivered = "delivered",
        /// It may succeed another time.
        Failed = "failed",
        /// The receiver does not want it, whenever it is tried.
        Refused = "refused",
    }
}

/// An attempt that came to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The code of the answer, of HTTP or SMTP.
    pub status: Option<u16>,
    /// Why it was not delivered: without secrets.
    pub error: Option<String>,
}

/// An attempt as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// Of which notification.
    #[serde(skip)]
    pub notification: Uuid,
    /// Which, from 1.
    pub attempt: i32,
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in seconds; absent while it is under way, and for ever when its process is gone.
    pub seconds: Option<f64>,
    /// What came of it, if that is known.
    pub outcome: Option<Outcome>,
    /// The code of the answer.
    pub status: Option<i32>,
    /// Why it was not delivered.
    pub error: Option<String>,
}

/// The attempts of some notifications, in their order.
pub async fn of<C: GenericClient>(client: &C, notifications: &[Uuid]) -> Result<Vec<Attempt>, Error> {
    let statement = statement!(
        "delivery.of",
        "select notification_id, attempt, at, seconds, outcome, status, error from delivery
         where notification_id = any($1) order by notification_id, attempt"
    );
    let rows = statement.query(client, &[&notifications]).await?;
    rows.iter()
        .map(|row| {
            let outcome: Option<&str> = row.try_get("outcome")?;
            Ok(Attempt {
                notification: row.try_get("notification_id")?,
                attempt: row.try_get("attempt")?,
                at: row.try_get("at")?,
                seconds: row.try_get("seconds")?,
                outcome: outcome.map(|_| parsed(row, "outcome")).transpose()?,
                status: row.try_get("status")?,
                error: row.try_get("error")?,
            })
        })
        .collect()
}
