//! Has what is open stay open in Alertmanagers, by posting it again and again.

use std::collections::HashMap;

use futures_util::future::join_all;
use shared::channel::{Alertmanager, ChannelName, Means};
use shared::db::delivery::Outcome;
use shared::db::unrouted::Told;
use shared::db::{self, Database, channel, unrouted};
use shared::tls::Trust;

use super::alertmanager;
use crate::events;
use crate::untold::Untold;

/// Posts again and again.
pub(super) async fn go_on(database: &Database, trust: &Trust) {
    let mut untold = Untold::default();
    let mut every = tokio::time::interval(alertmanager::REFRESH);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Err(error) = post(database, &mut untold, trust).await {
            events::refreshing_failed(&error);
        }
    }
}

/// Posts what is open to each Alertmanager that was told of it; one that is slow holds up no other for longer than until the next time.
async fn post(database: &Database, untold: &mut Untold, trust: &Trust) -> Result<(), db::Error> {
    let (alertmanagers, standing) = {
        let client = database.client().await?;
        let channels = untold.readable("channel", channel::all(&client).await?);
        let alertmanagers = channels.into_iter().filter_map(|channel| match channel.means {
            Means::Alertmanager(means) => Some((channel.name, means)),
            _ => None,
        });
        let alertmanagers: Vec<(ChannelName, Alertmanager)> = alertmanagers.collect();
        if alertmanagers.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = alertmanagers.iter().map(|(name, _)| name.as_str()).collect();
        let standing = unrouted::standing(&client, &names).await?;
        (alertmanagers, untold.readable("alert", standing))
    };
    let mut open: HashMap<String, Vec<Told>> = HashMap::new();
    for standing in standing {
        open.entry(standing.channel).or_default().push(standing.alert);
    }
    let posts = alertmanagers.iter().filter_map(|(name, means)| {
        let posts = post_to(name, means, open.get(name.as_str())?, trust);
        Some(async move {
            if tokio::time::timeout(alertmanager::REFRESH, posts).await.is_err() {
                events::not_refreshed(name, Some("not taken in time"));
            }
        })
    });
    join_all(posts).await;
    Ok(())
}

/// Posts as many as are taken.
async fn post_to(name: &ChannelName, means: &Alertmanager, alerts: &[Told], trust: &Trust) {
    for alerts in alerts.chunks(alertmanager::AT_ONCE) {
        let attempted = alertmanager::post(means, alerts.iter(), false, trust).await;
        if attempted.outcome != Outcome::Delivered {
            return events::not_refreshed(name, attempted.error.as_deref());
        }
    }
}
