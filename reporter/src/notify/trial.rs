//! Tries a channel out: a message that says so, past the outbox, once.

use shared::channel::{Channel, Means};
use shared::clock;
use shared::db::delivery::Outcome;
use shared::tls::Trust;
use uuid::Uuid;

use super::attempt::Attempted;
use super::{heartbeat, message, send};

/// What came of a trial.
#[derive(Debug, serde::Serialize)]
pub struct Trial {
    /// By which channel.
    pub channel: String,
    /// Of which kind it is.
    pub kind: &'static str,
    /// What the receiver knows the message by.
    pub id: Uuid,
    /// What came of it.
    pub outcome: Outcome,
    /// The code of the answer.
    pub status: Option<u16>,
    /// Why it was not delivered.
    pub error: Option<String>,
}

/// Sends the message; a heartbeat is told once that all is well, whatever is.
pub async fn run(channel: &Channel, trust: &Trust) -> Trial {
    let id = Uuid::now_v7();
    let attempted = match &channel.means {
        Means::Heartbeat(heartbeat) => heartbeat::ping(heartbeat, trust).await,
        _ => send::send(channel, &message::trial(id, channel.name.as_str(), clock::now()), trust).await,
    };
    let Attempted { outcome, status, error, .. } = attempted;
    Trial { channel: channel.name.to_string(), kind: channel.means.kind(), id, outcome, status, error }
}
