//! Notifications: who is told of alerts, by an outbox.
//!
//! The leader decides who is told what ([`router`]) and writes that into the outbox, has open alerts stay open in Alertmanagers
//! ([`refresh`](mod@refresh)), and says to dead man's switches that the pipeline works ([`heartbeat`]). Every reporter delivers
//! ([`delivery`]) by [`send`], which knows a way for each kind of channel.

mod message;

mod report;

mod outbox;
mod router;

mod attempt;
mod delivery;
mod send;

mod alertmanager;
mod chat;
mod email;
mod slack;
mod teams;
mod webhook;

mod guard;
mod web;

mod heartbeat;
mod pipeline;

mod refresh;

pub mod trial;

use shared::db::Database;
use shared::tls::Trust;
use tokio_util::sync::CancellationToken;

pub use heartbeat::Look;

use crate::leadership::Lead;

/// Decides who is told what, whenever this process leads, until `stop`.
pub async fn route(mut lead: Lead, database: &Database, stop: &CancellationToken) {
    let mut router = router::Router::default();
    while lead.is_had(stop).await {
        lead.during(stop, |term| router.go_on(database, term)).await;
    }
}

/// Delivers what is in the outbox, until `stop`.
pub async fn deliver(database: &Database, trust: &Trust, stop: &CancellationToken) {
    delivery::run(database, trust, stop).await;
}

/// Says that the pipeline works as long as it does, whenever this process leads, until `stop`.
pub async fn beat(mut lead: Lead, database: &Database, look: Look<'_>, stop: &CancellationToken) {
    let mut beats = heartbeat::Beats::default();
    while lead.is_had(stop).await {
        lead.during(stop, |_| beats.go_on(database, look)).await;
    }
}

/// Has open alerts stay open in Alertmanagers, whenever this process leads, until `stop`.
pub async fn refresh(mut lead: Lead, database: &Database, trust: &Trust, stop: &CancellationToken) {
    while lead.is_had(stop).await {
        lead.during(stop, |_| refresh::go_on(database, trust)).await;
    }
}
