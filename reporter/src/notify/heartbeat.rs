//! Dead man's switches: told again and again that the pipeline works. When they hear nothing they raise an alarm by themselves,
//! also when nothing of ours is left that could.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use metrics::{counter, gauge};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use shared::channel::{Channel, ChannelName, Heartbeat, Means};
use shared::db::delivery::Outcome;
use shared::db::{self, Database, channel};
use shared::settings;
use shared::tls::Trust;

use super::attempt::Attempted;
use super::pipeline;
use super::web::{self, Request};
use crate::events;
use crate::metrics::queues::Reach;
use crate::metrics::{HEARTBEATS, PIPELINE_WORKS};
use crate::untold::Untold;

/// How often it is looked which switches are due.
const LOOK: Duration = Duration::from_millis(500);

/// What is looked at, and how often at least.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The broker.
    pub broker: &'a Reach,
    /// Who may vouch for receivers.
    pub trust: &'a Trust,
    /// How often it is looked whether the pipeline works, when no switch is due: that is measured as well.
    pub every: Duration,
}

/// When each switch was told something last, or was kept from it.
#[derive(Debug, Default)]
pub(super) struct Beats {
    at: HashMap<ChannelName, Instant>,
    looked: Option<Instant>,
    trouble: Option<String>,
    untold: Untold,
}

impl Beats {
    /// Tells those that are due, again and again.
    pub(super) async fn go_on(&mut self, database: &Database, look: Look<'_>) {
        loop {
            if let Err(error) = self.beat(database, look).await {
                events::beating_failed(&error);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells all that are due, if the pipeline works.
    async fn beat(&mut self, database: &Database, look: Look<'_>) -> Result<(), db::Error> {
        let channels = self.untold.readable("channel", channel::all(&database.client().await?).await?);
        let due: Vec<(&Channel, &Heartbeat)> =
            channels.iter().filter_map(|channel| Some((channel, self.due(channel)?))).collect();
        if due.is_empty() && self.looked.is_some_and(|at| at.elapsed() < look.every) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let trouble = pipeline::trouble(database, look.broker).await;
        gauge!(PIPELINE_WORKS).set(if trouble.is_none() { 1.0 } else { 0.0 });
        if self.trouble != trouble {
            events::pipeline(trouble.as_deref());
        }
        self.trouble = trouble;
        for (channel, _) in &due {
            self.at.insert(channel.name.clone(), Instant::now());
        }
        if self.trouble.is_some() {
            // Where no switch is, none is withheld.
            if !due.is_empty() {
                counter!(HEARTBEATS, "outcome" => "withheld").increment(due.len() as u64);
            }
            return Ok(());
        }
        join_all(due.into_iter().map(|(channel, heartbeat)| told(channel, heartbeat, look.trust))).await;
        Ok(())
    }

    fn due<'a>(&self, channel: &'a Channel) -> Option<&'a Heartbeat> {
        let Means::Heartbeat(heartbeat) = &channel.means else { return None };
        let due = self.at.get(&channel.name).is_none_or(|at| at.elapsed() >= heartbeat.every);
        due.then_some(heartbeat)
    }
}

async fn told(channel: &Channel, heartbeat: &Heartbeat, trust: &Trust) {
    let attempted = ping(heartbeat, trust).await;
    counter!(HEARTBEATS, "outcome" => attempted.outcome.as_str()).increment(1);
    if attempted.outcome != Outcome::Delivered {
        events::not_pinged(&channel.name, attempted.error.as_deref());
    }
}

/// Asks for the URL once: the next time is soon enough for another try.
pub(super) async fn ping(heartbeat: &Heartbeat, trust: &Trust) -> Attempted {
    let url = match settings::secret(&heartbeat.url) {
        Ok(url) => url,
        Err(error) => return Attempted::failed(format!("url: {error}")),
    };
    let request = Request {
        url: url.expose_secret().trim().to_owned(),
        secret: true,
        allow_private: heartbeat.allow_private,
        method: Method::GET,
        headers: Vec::new(),
        body: None,
    };
    web::send(request, trust).await
}
