//! Notifications: who is told of alerts, by an outbox.
//!
//! One reporter leads: it decides who is told what ([`router`]) and writes that into the outbox, has open alerts stay open in
//! Alertmanagers, and says to dead man's switches that the pipeline works ([`heartbeat`]). Every reporter delivers
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

pub mod trial;

use std::time::{Duration, Instant};

use shared::db::{self, Database, leader};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events;
use crate::metrics::queues::Reach;

/// How often the leader looks, and the others whether they are to lead.
const LOOK: Duration = Duration::from_millis(500);
/// How long a leader may go without a word.
const TTL: Duration = Duration::from_secs(5);
/// How often it is looked whether something is to be told again.
const REPEATS: Duration = Duration::from_secs(10);
/// The role in the table of leaders.
const ROLE: &str = "notifier";

/// A notifier among others.
#[derive(Debug)]
pub struct Notifier {
    id: Uuid,
    leads: watch::Sender<bool>,
    repeated: Option<Instant>,
}

impl Default for Notifier {
    fn default() -> Self {
        Self { id: Uuid::now_v7(), leads: watch::Sender::new(false), repeated: None }
    }
}

impl Notifier {
    /// Whether this one leads, for those who act outside the database.
    #[must_use]
    pub fn lead(&self) -> Lead {
        Lead(self.leads.subscribe())
    }

    /// Routes while it leads, until `stop`.
    pub async fn route(mut self, database: &Database, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match db::within(TTL, self.step(database)).await {
                Ok(0) => _ = tokio::time::timeout(LOOK, stop.cancelled()).await,
                Ok(routed) => events::routed(routed),
                Err(error) => {
                    events::routing_failed(&error);
                    _ = tokio::time::timeout(LOOK, stop.cancelled()).await;
                }
            }
        }
        let led = self.leads.send_replace(false);
        let resigned = async { leader::resign(&database.client().await?, ROLE, self.id).await };
        // Otherwise it expires.
        if led && let Err(error) = db::within(Duration::from_secs(2), resigned).await {
            events::routing_failed(&error);
        }
    }

    /// Leads if nobody else does, and routes; returns how much it has routed.
    async fn step(&mut self, database: &Database) -> Result<usize, db::Error> {
        let term = {
            let client = database.client().await?;
            let now = db::now(&client).await?;
            leader::hold(&client, ROLE, self.id, now, TTL).await?
        };
        if self.leads.send_replace(term.is_some()) != term.is_some() {
            events::notifier_leads(term);
        }
        if term.is_none() {
            return Ok(0);
        }
        let routed = router::route(database, ROLE, self.id).await?;
        // What is new goes first, and repeats that take too long hold up nothing but themselves.
        if routed == 0 && self.repeated.is_none_or(|at| at.elapsed() >= REPEATS) {
            self.repeated = Some(Instant::now());
            router::repeat(database, ROLE, self.id).await?;
        }
        Ok(routed)
    }
}

/// Whether this process leads.
#[derive(Debug, Clone)]
pub struct Lead(watch::Receiver<bool>);

impl Lead {
    /// Waits until it leads.
    async fn taken(&mut self) {
        if self.0.wait_for(|leads| *leads).await.is_err() {
            // Who leads has ended: nobody will here.
            std::future::pending::<()>().await;
        }
    }
}

/// Delivers what is in the outbox, until `stop`.
pub async fn deliver(database: &Database, stop: &CancellationToken) {
    delivery::run(database, stop).await;
}

/// Says that the pipeline works as long as it does, and has open alerts stay open elsewhere, while this process leads and until
/// `stop`.
pub async fn sustain(database: &Database, broker: &Reach, mut lead: Lead, stop: &CancellationToken) {
    let mut beats = heartbeat::Beats::default();
    let mut refreshed: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = lead.taken() => {}
        }
        let due = refreshed.is_none_or(|at| at.elapsed() >= alertmanager::REFRESH);
        let (refresh, beat) = tokio::join!(
            async { if due { delivery::refresh(database).await } else { Ok(()) } },
            beats.beat(database, broker),
        );
        if due {
            refreshed = Some(Instant::now());
        }
        for error in [refresh, beat].into_iter().filter_map(Result::err) {
            events::sustaining_failed(&error);
        }
        _ = tokio::time::timeout(LOOK, stop.cancelled()).await;
    }
}
