//! Has what is open stay open in Alertmanagers, by posting it again and again.

use std::collections::HashMap;

use futures_util::future::join_all;
use shared::channel::{Alertmanager, Channel, Means};
use shared::db::delivery::Outcome;
use shared::db::unrouted::Told;
use shared::db::{self, Database, channel, unrouted};

use super::alertmanager;
use crate::events;
use crate::untold::Untold;

/// Posts again and again.
pub(super) async fn go_on(database: &Database) {
    let mut untold = Untold::default();
    loop {
        if let Err(error) = post(database, &mut untold).await {
            events::refreshing_failed(&error);
        }
        tokio::time::sleep(alertmanager::REFRESH).await;
    }
}

/// Posts what is open to each Alertmanager that was told of it; one that is slow holds up no other.
async fn post(database: &Database, untold: &mut Untold) -> Result<(), db::Error> {
    let (channels, standing) = {
        let client = database.client().await?;
        let channels = untold.readable("channel", channel::all(&client).await?);
        if !channels.iter().any(|channel| matches!(channel.means, Means::Alertmanager(_))) {
            return Ok(());
        }
        (channels, unrouted::standing(&client).await?)
    };
    let mut open: HashMap<String, Vec<Told>> = HashMap::new();
    for standing in standing {
        open.entry(standing.channel).or_default().push(standing.alert);
    }
    let posts = channels.iter().filter_map(|channel| match &channel.means {
        Means::Alertmanager(means) => {
            Some(post_to(channel, means, open.get(channel.name.as_str())?.as_slice()))
        }
        _ => None,
    });
    join_all(posts).await;
    Ok(())
}

async fn post_to(channel: &Channel, means: &Alertmanager, alerts: &[Told]) {
    for alerts in alerts.chunks(alertmanager::AT_ONCE) {
        let attempted = alertmanager::post(means, alerts.iter(), false).await;
        if attempted.outcome != Outcome::Delivered {
            events::not_refreshed(&channel.name, attempted.error.as_deref());
        }
    }
}
